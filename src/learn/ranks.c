/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training by several processes: each runs some of the shards, sums and updates some of the weights. Gradients are summed
 * in the same tree as one process sums them in, so that the weights are the same, bit for bit.
 *
 * A step sends each rank its slice of everybody's gradients, and everybody each rank's slice of the new weights: what a
 * reduce-scatter and an all-gather move, 2 (R-1)/R times the weights. Optimiser moments and the average live where their
 * slice is updated (as in ZeRO: Rajbhandari et al. 2020, stage 1) and are gathered for a checkpoint. */
#include "trainer_internal.h"

#include "ranks_mpi.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPINS 2000           /* looks at a transfer before the processor is offered to others */
#define GRACE_NS 300000000   /* a rank told to end waits so long, and two steps, for the others */

static const mynah__mpi *mpi; /* NULL: alone */
static mynah_ranks ranks = {0, 1};

/* ---- beginning and ending -------------------------------------------------------------------------------------------- */

/* How many processes a launcher says it has started; 1: it says nothing. */
static int count_launched(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
  const char *text = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !text; i++) text = getenv(names[i]);
  if (!text && getenv("PMIX_RANK")) text = getenv("SLURM_NTASKS");
  long n = text ? strtol(text, NULL, 10) : 1;
  return n > 1 && n < 1000000 ? (int)n : 1;
}

/* Beside this program, or a folder above, or where it is installed, or where MYNAH_MPI says. */
static void *open_module(void) {
  static const char *const places[] = {"mynah-mpi.so", "../mynah-mpi.so", "../" MYNAH_LIBDIR "/mynah/mynah-mpi.so"};
  char self[MYNAH_PATH_MAX - 64], path[MYNAH_PATH_MAX];
  const char *chosen = getenv("MYNAH_MPI");
  if (chosen && chosen[0]) return dlopen(chosen, RTLD_NOW | RTLD_GLOBAL);
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0) return NULL;
  self[n] = 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(self, '/') - self), self, places[i]);
    /* Global: MPI opens modules of its own that look for its symbols. */
    if (access(path, R_OK) == 0) return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  }
  return NULL;
}

static mynah_status fail_mpi(int error, const char *what) {
  char text[256];
  mpi->explain(error, text, sizeof text);
  return mynah_fail(MYNAH_IO, "ranks: %s: %s", what, text);
}

mynah_status mynah_ranks_begin(void) {
  int n = count_launched();
  if (n == 1 || mpi) return MYNAH_OK;
  void *module = open_module();
  const mynah__mpi *found = module ? dlsym(module, MYNAH__MPI_SYMBOL) : NULL;
  if (!found)
    return mynah_fail(MYNAH_UNSUPPORTED, "ranks: started as one of %d, but mynah-mpi.so is not there (it is built with "
                      "libopenmpi-dev) or MPI's libraries are missing", n);
  mynah_ranks begun;
  int error = found->begin(&begun.index, &begun.count);
  mpi = found;
  if (error) return fail_mpi(error, "MPI does not start");
  if (begun.count != n) {
    mynah_ranks_end(0);
    return mynah_fail(MYNAH_MISMATCH, "ranks: the launcher started %d processes and MPI sees %d: they are of two kinds of MPI",
                      n, begun.count);
  }
  ranks = begun;
  return MYNAH_OK;
}

mynah_ranks mynah_ranks_now(void) { return ranks; }

void mynah_ranks_end(int code) {
  if (!mpi) return;
  if (code == 0) mpi->end();
  else mpi->abandon(code);
  mpi = NULL;
  ranks = (mynah_ranks){0, 1};
}

/* ---- who does what --------------------------------------------------------------------------------------------------- */

static int64_t first_shard(const mynah_trainer *t, int rank) { return (int64_t)t->n_shards * rank / t->part.ranks.count; }

/* Pieces are shared out by the floats in them. */
static int64_t first_piece(const mynah_trainer *t, int rank) {
  int64_t due = mynah_weights_n_trained(t->task.weights) * rank / t->part.ranks.count;
  int i = 0;
  while (i < t->n_pieces && t->pieces[i].offset < due) i++;
  return rank == t->part.ranks.count ? t->n_pieces : i;
}

static int64_t first_float(const mynah_trainer *t, int rank) {
  int64_t i = first_piece(t, rank);
  return i < t->n_pieces ? t->pieces[i].offset : mynah_weights_n_trained(t->task.weights);
}

mynah_status mynah__part_shards(mynah_trainer *t) {
  mynah__part *p = &t->part;
  p->ranks = ranks;
  if (t->n_shards < ranks.count)
    return mynah_fail(MYNAH_INVALID, "ranks: a batch of %lld is cut into %d shards, too few for %d ranks: start fewer, or give "
                      "shards=%d or more (another sum, so other weights in their last bits)",
                      (long long)t->config.batch, t->n_shards, ranks.count, ranks.count);
  p->first_shard = (int)first_shard(t, ranks.index);
  p->n_shards = (int)first_shard(t, ranks.index + 1) - p->first_shard;
  /* Whole subtrees of the sum are sent as one: the largest that no border between ranks cuts. */
  p->block = 1;
  for (bool is_whole = ranks.count > 1; is_whole;) {
    for (int r = 1; r <= ranks.count; r++) is_whole = is_whole && first_shard(t, r) % (2 * p->block) == 0;
    if (is_whole) p->block *= 2;
  }
  return MYNAH_OK;
}

/* Alone the sum reads the shards' gradients. Else it reads, over this rank's slice, sums of blocks: own and received. */
mynah_status mynah__part_floats(mynah_trainer *t) {
  mynah__part *p = &t->part;
  int64_t n_all = mynah_weights_n_trained(t->task.weights);
  p->first_piece = (int)first_piece(t, p->ranks.index);
  p->n_pieces = (int)first_piece(t, p->ranks.index + 1) - p->first_piece;
  p->offset = first_float(t, p->ranks.index);
  int64_t n = first_float(t, p->ranks.index + 1) - p->offset;
  p->n_sources = t->n_shards / p->block;
  int n_own = p->n_shards / p->block, first_own = p->first_shard / p->block;
  if (mynah_weights_n_floats(t->task.weights) > INT32_MAX) return mynah_fail(MYNAH_LIMIT, "training: too many weights");
  p->sources = mynah_calloc((size_t)p->n_sources, sizeof *p->sources);
  p->told = mynah_calloc((size_t)t->n_shards, sizeof *p->told);
  if (!p->sources || !p->told) return MYNAH_NO_MEMORY;
  if (p->block > 1) p->sums = mynah_calloc((size_t)(n_own * n_all), sizeof *p->sums);
  if (p->ranks.count > 1) p->received = mynah_calloc((size_t)((p->n_sources - n_own) * n + 1), sizeof *p->received);
  if ((p->block > 1 && !p->sums) || (p->ranks.count > 1 && !p->received)) return MYNAH_NO_MEMORY;
  float *next = p->received;
  for (int i = 0; i < p->n_sources; i++) {
    int own = i - first_own;
    if (own < 0 || own >= n_own) {
      p->sources[i] = next;
      next += n;
    } else {
      p->sources[i] = (p->block > 1 ? p->sums + own * n_all : mynah_state_gradients(t->train.states[own])) + p->offset;
    }
  }
  return MYNAH_OK;
}

void mynah__part_destroy(mynah__part *p) {
  mynah_free(p->sources);
  mynah_free(p->told);
  mynah_free(p->sums);
  mynah_free(p->received);
  mynah_free(p->updates);
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

static mynah_status fail_lost(const mynah_trainer *t) {
  long long step = (long long)t->cursor.step + 1, last = (long long)t->checkpoint_step;
  if (last == 0) return mynah_fail(MYNAH_IO, "training: another rank was lost, or all were told to end, in step %lld: there is no checkpoint yet", step);
  return mynah_fail(MYNAH_IO, "training: another rank was lost, or all were told to end, in step %lld: train resume=FOLDER goes on "
                    "from the checkpoint of step %lld", step, last);
}

/* Until all transfers are done. Whoever is told to end while a rank does not answer gives up: a launcher that has lost a
 * process tells the rest to end. */
static mynah_status wait_for_all(const mynah_trainer *t) {
  int64_t told_ns = 0, patience = GRACE_NS + 2 * t->step_ns;
  for (int spins = 0;; spins++) {
    int is_done = 0, error = mpi->test(&is_done);
    if (error) return fail_mpi(error, "another rank was lost");
    if (is_done) return MYNAH_OK;
    if (spins < SPINS) continue;
    sched_yield();
    if (!mynah_is_interrupted()) continue;
    if (told_ns == 0) told_ns = mynah_now_ns();
    if (mynah_now_ns() - told_ns > patience) return fail_lost(t);
  }
}

/* data: elements of n_words words; those from first(t, rank) to first(t, rank + 1) are a rank's and go to all. */
static mynah_status start_gather(const mynah_trainer *t, void *data, int64_t n_words, int64_t (*first)(const mynah_trainer *, int)) {
  int32_t *words = data;
  int me = t->part.ranks.index, error = 0;
  for (int r = 0; r < t->part.ranks.count && !error; r++) {
    int64_t from = first(t, r) * n_words, n = first(t, r + 1) * n_words - from;
    int64_t own = first(t, me) * n_words, n_own = first(t, me + 1) * n_words - own;
    if (r == me) continue;
    if (n > 0) error = mpi->receive(words + from, n, r);
    if (n_own > 0 && !error) error = mpi->send(words + own, n_own, r);
  }
  return error ? fail_mpi(error, "a message cannot be sent") : MYNAH_OK;
}

mynah_status mynah__part_check(mynah_trainer *t) {
  const mynah_ranks *r = &t->part.ranks;
  if (r->count == 1) return MYNAH_OK;
  int64_t told[4] = {t->config.seed, t->n_steps, mynah_feed_n_samples(t->feed), mynah_weights_n_floats(t->task.weights)}, due[4];
  memcpy(due, told, sizeof due);
  MYNAH_TRY(mynah__part_share(t, due, sizeof due / 4));
  if (memcmp(due, told, sizeof due) != 0)
    return mynah_fail(MYNAH_MISMATCH, "ranks: rank %d trains something else than rank 0: are settings and dataset the same?", r->index);
  return mynah__part_share(t, mynah_weights_data(t->task.weights), mynah_weights_n_floats(t->task.weights));
}

mynah_status mynah__part_share(const mynah_trainer *t, void *data, int64_t n_words) {
  const mynah_ranks *r = &t->part.ranks;
  int error = 0;
  if (r->count == 1) return MYNAH_OK;
  if (r->index > 0) error = mpi->receive(data, n_words, 0);
  for (int to = 1; to < r->count && r->index == 0 && !error; to++) error = mpi->send(data, n_words, to);
  return error ? fail_mpi(error, "a message cannot be sent") : wait_for_all(t);
}

static void sum_block(void *context, int task, int worker) {
  mynah_trainer *t = context;
  const mynah__part *p = &t->part;
  const mynah__piece *piece = &t->pieces[task];
  int64_t n_all = mynah_weights_n_trained(t->task.weights);
  const float *shards[1024];
  (void)worker;
  uint64_t floats = mynah_flush_denormals();
  for (int b = 0; b < p->n_shards / p->block; b++) {
    for (int s = 0; s < p->block; s++) shards[s] = mynah_state_gradients(t->train.states[b * p->block + s]) + piece->offset;
    mynah_sweep_tree_sum(p->block, shards, 1, piece->n, p->sums + b * n_all + piece->offset);
  }
  mynah_restore_denormals(floats);
}

/* Each rank's slice of own blocks to it; its blocks' slice of this rank from it. */
static mynah_status start_exchange(const mynah_trainer *t) {
  const mynah__part *p = &t->part;
  int64_t n = first_float(t, p->ranks.index + 1) - p->offset;
  int error = 0;
  for (int r = 0; r < p->ranks.count; r++) {
    int64_t from = first_float(t, r), n_theirs = first_float(t, r + 1) - from;
    int64_t first = first_shard(t, r) / p->block, last = first_shard(t, r + 1) / p->block;
    if (r == p->ranks.index) continue;
    for (int64_t b = first; b < last && n > 0 && !error; b++) error = mpi->receive((float *)p->sources[b], n, r);
    for (int b = 0; b < p->n_shards / p->block && n_theirs > 0 && !error; b++)
      error = mpi->send(p->sources[p->first_shard / p->block + b] - p->offset + from, n_theirs, r);
  }
  return error ? fail_mpi(error, "a message cannot be sent") : MYNAH_OK;
}

mynah_status mynah__part_gather_told(mynah_trainer *t) {
  if (t->part.ranks.count == 1) return MYNAH_OK;
  MYNAH_TRY(start_gather(t, t->part.told, sizeof *t->part.told / 4, first_shard));
  return wait_for_all(t);
}

mynah_status mynah__part_exchange(mynah_trainer *t) {
  mynah__part *p = &t->part;
  if (p->ranks.count == 1) return MYNAH_OK;
  if (p->block > 1) mynah_pool_run(t->pool, t->n_pieces, sum_block, t);
  MYNAH_TRY(start_exchange(t));
  MYNAH_TRY(start_gather(t, p->told, sizeof *p->told / 4, first_shard));
  if (p->updates) MYNAH_TRY(start_gather(t, p->updates, p->n_updates, first_shard));
  return wait_for_all(t);
}

mynah_status mynah__part_gather_squares(mynah_trainer *t) {
  if (t->part.ranks.count == 1) return MYNAH_OK;
  MYNAH_TRY(start_gather(t, t->squares, sizeof *t->squares / 4, first_piece));
  return wait_for_all(t);
}

mynah_status mynah__part_gather(mynah_trainer *t, float *flat) {
  if (t->part.ranks.count == 1) return MYNAH_OK;
  MYNAH_TRY(start_gather(t, flat, 1, first_float));
  return wait_for_all(t);
}
