/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The module mynah-mpi.so: the only code that knows MPI. */
#include "ranks_mpi.h"

#include <mpi.h>
#include <stdio.h>

/* A rank has a message for each shard to and from each other: at most twice 1024 shards, and some small ones. */
#define MAX_REQUESTS 8192

static MPI_Request requests[MAX_REQUESTS];
static int n_requests;

static int begin(int *rank, int *count) {
  int given, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);
  if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (error == MPI_SUCCESS) error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return error == MPI_SUCCESS ? MPI_Comm_size(MPI_COMM_WORLD, count) : error;
}

static int send(const void *data, int64_t n_words, int to) {
  if (n_requests == MAX_REQUESTS) return MPI_ERR_REQUEST;
  return MPI_Isend(data, (int)n_words, MPI_INT32_T, to, 0, MPI_COMM_WORLD, &requests[n_requests++]);
}

static int receive(void *data, int64_t n_words, int from) {
  if (n_requests == MAX_REQUESTS) return MPI_ERR_REQUEST;
  return MPI_Irecv(data, (int)n_words, MPI_INT32_T, from, 0, MPI_COMM_WORLD, &requests[n_requests++]);
}

static int test(int *is_done) {
  int error = MPI_Testall(n_requests, requests, is_done, MPI_STATUSES_IGNORE);
  if (error == MPI_SUCCESS && *is_done) n_requests = 0;
  return error;
}

static void explain(int error, char *out, size_t size) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length;
  MPI_Error_string(error, text, &length);
  snprintf(out, size, "%s", text);
}

static void end(void) { MPI_Finalize(); }
static void abandon(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

extern const mynah__mpi mynah_mpi;
__attribute__((visibility("default"))) const mynah__mpi mynah_mpi = {begin, send, receive, test, explain, end, abandon};
