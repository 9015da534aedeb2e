/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The loss on the validation part: every window once, with the weights that act. */
#include "trainer_internal.h"

#include <math.h>

#define VALIDATION_SEED 0x6d796e6168u

mynah_status mynah__validation_create(mynah_trainer *t) {
  const mynah_split *s = t->task.split;
  if (s->n_valid == 0) return MYNAH_OK;
  mynah_feed_options o = {.ranges = s->valid, .n_ranges = s->n_valid, .batch = t->shard_batch * t->n_shards,
                          .first = t->part.first_shard * t->shard_batch, .count = t->part.n_shards * t->shard_batch};
  MYNAH_TRY(mynah_feed_create(t->task.frames, t->task.feed, &o, &t->valid_feed));
  int64_t n = mynah_feed_n_samples(t->valid_feed), rest = n % t->shard_batch;
  if (n >= t->shard_batch)
    MYNAH_TRY(mynah__engine_create(t, t->shard_batch, t->part.n_shards, false, mynah__acting(t), &t->valid));
  return rest > 0 ? mynah__engine_create(t, rest, 1, false, mynah__acting(t), &t->rest) : MYNAH_OK;
}

static void run_part(void *context, int task, int worker) {
  mynah_trainer *t = context;
  (void)worker;
  int shard = t->part.first_shard + task;
  int64_t from = shard * t->shard_batch;
  bool is_whole = from + t->shard_batch <= t->batch.size;
  mynah__engine *e = is_whole ? &t->valid : &t->rest;
  int state = is_whole ? task : 0;
  /* Losses that draw (noise levels) draw the same at every validation. */
  mynah_state_seed(e->states[state], VALIDATION_SEED, (uint64_t)(t->valid_batch * t->n_shards + shard));
  mynah__engine_run(t, e, state, &t->batch, from);
  t->part.told[shard].loss = (double)e->losses[state][0];
}

mynah_status mynah__validate(mynah_trainer *t, double *loss) {
  *loss = NAN;
  if (!t->valid_feed) return MYNAH_OK;
  if (t->average) MYNAH_TRY(mynah__part_gather(t, mynah_weights_data(t->average)));
  if (t->valid.binding) mynah_binding_refresh(t->valid.binding, t->pool);
  if (t->rest.binding) mynah_binding_refresh(t->rest.binding, t->pool);
  mynah_feed_seek(t->valid_feed, 0);
  double sum = 0;
  for (t->valid_batch = 0;; t->valid_batch++) {
    MYNAH_TRY(mynah_feed_next(t->valid_feed, &t->batch));
    if (t->batch.size == 0) break;
    int n = (int)((t->batch.size + t->shard_batch - 1) / t->shard_batch), own = n - t->part.first_shard;
    if (own > t->part.n_shards) own = t->part.n_shards;
    if (own > 0) mynah_pool_run(t->pool, own, run_part, t);
    mynah_feed_release(t->valid_feed, &t->batch);
    MYNAH_TRY(mynah__part_gather_told(t));
    for (int i = 0; i < n; i++) {
      int64_t left = t->batch.size - i * t->shard_batch;
      sum += t->part.told[i].loss * (double)(left < t->shard_batch ? left : t->shard_batch);
    }
  }
  *loss = sum / (double)mynah_feed_n_samples(t->valid_feed);
  return MYNAH_OK;
}
