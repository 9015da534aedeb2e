/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the module mynah-mpi.so (ranks_mpi.c) offers to ranks.c: messages between processes. A module of its own, so that
 * the program links no MPI and starts as fast as without. */
#ifndef MYNAH_LEARN_RANKS_MPI_H
#define MYNAH_LEARN_RANKS_MPI_H

#include <stddef.h>
#include <stdint.h>

/* Functions that return int return 0 or an error for `explain`. Messages of a pair of ranks arrive in the order sent. */
typedef struct mynah__mpi {
  int (*begin)(int *rank, int *count);
  /* Starts a transfer of at most 2^31 - 1 words of 4 bytes; the memory is in use until `test` says that all are done. */
  int (*send)(const void *data, int64_t n_words, int to);
  int (*receive)(void *data, int64_t n_words, int from);
  int (*test)(int *is_done);
  void (*explain)(int error, char *out, size_t size);
  void (*end)(void);
  void (*abandon)(int code); /* ends every rank; does not come back */
} mynah__mpi;

/* The module's one symbol, a mynah__mpi. */
#define MYNAH__MPI_SYMBOL "mynah_mpi"

#endif
