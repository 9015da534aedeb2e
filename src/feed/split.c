/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which frames train and which validate. */
#include "feed_internal.h"

#include <math.h>

#define FEED_ROW(type, field, name, value, low, high, unit, help)                                  \
  MYNAH_KEY_OF(mynah_feed_config, type, field, name, value, low, high, unit, help)
static const mynah_key feed_keys[] = {MYNAH_FEED_KEYS(FEED_ROW)};
const mynah_config_table mynah_feed_table = {"data feed", feed_keys, sizeof feed_keys / sizeof *feed_keys,
                                             sizeof(mynah_feed_config)};

#define SPLIT_STREAM 21

/* Frames before `border` of the whole dataset train, the others validate; an episode may be cut. */
static void split_by_time(const mynah_dataset *d, double share, mynah_split *s) {
  int64_t border = (int64_t)floor((double)mynah_dataset_n_frames(d) * (1 - share) + 0.5), before = 0;
  for (int64_t i = 0; i < mynah_dataset_n_episodes(d); i++) {
    int64_t n = mynah_dataset_episode(d, i)->n_frames, cut = border - before;
    cut = cut < 0 ? 0 : cut > n ? n : cut;
    if (cut > 0) s->train[s->n_train++] = (mynah_range){i, 0, cut};
    if (cut < n) s->valid[s->n_valid++] = (mynah_range){i, cut, n};
    before += n;
  }
}

/* What `mynah data split` wrote, if anything; what is in its test part is in neither. */
static bool split_as_stored(mynah_dataset *d, mynah_split *s) {
  for (int64_t i = 0; i < mynah_dataset_n_episodes(d); i++) {
    int part = mynah_dataset_part(d, i);
    mynah_range whole = {i, 0, mynah_dataset_episode(d, i)->n_frames};
    if (part == 0) s->train[s->n_train++] = whole;
    if (part == 1) s->valid[s->n_valid++] = whole;
  }
  return s->n_train > 0;
}

/* A random split shuffles episode numbers and lets the last ones validate; order within each part stays. */
static void split_by_episode(const mynah_dataset *d, const mynah_feed_config *c, uint64_t seed, mynah_split *s) {
  int64_t n = mynah_dataset_n_episodes(d), n_valid = (int64_t)floor((double)n * c->valid_share + 0.5);
  if (c->valid_share > 0 && n_valid == 0 && n > 1) n_valid = 1;
  uint64_t key = seed * 1000003u + SPLIT_STREAM;
  for (int64_t i = 0; i < n; i++) {
    int64_t place = c->valid_by == MYNAH_VALID_LAST ? i : (int64_t)mynah_rng_permute((uint64_t)i, (uint64_t)n, key);
    mynah_range whole = {i, 0, mynah_dataset_episode(d, i)->n_frames};
    if (place < n - n_valid) s->train[s->n_train++] = whole;
    else s->valid[s->n_valid++] = whole;
  }
}

mynah_status mynah_split_create(mynah_dataset *d, const mynah_feed_config *config, uint64_t seed, mynah_split *out) {
  size_t n = (size_t)mynah_dataset_n_episodes(d);
  mynah_split s = {0};
  if (n == 0) return mynah_fail(MYNAH_INVALID, "%s: has no episodes", mynah_dataset_path(d));
  s.train = mynah_calloc(n, sizeof *s.train);
  s.valid = mynah_calloc(n, sizeof *s.valid);
  if (!s.train || !s.valid) {
    mynah_split_deinit(&s);
    return MYNAH_NO_MEMORY;
  }
  if (config->valid_by == MYNAH_VALID_TIME) split_by_time(d, config->valid_share, &s);
  else if (config->valid_by != MYNAH_VALID_RANDOM || config->valid_share == 0 || !split_as_stored(d, &s))
    split_by_episode(d, config, seed, &s);
  if (s.n_train == 0 || (config->valid_share > 0 && s.n_valid == 0)) {
    mynah_status status = mynah_fail(MYNAH_INVALID, "valid.share=%g of %zu episodes leaves %s: change it, or record more",
                                     config->valid_share, n, s.n_train == 0 ? "nothing to train on" : "nothing to validate on");
    mynah_split_deinit(&s);
    return status;
  }
  *out = s;
  return MYNAH_OK;
}

void mynah_split_deinit(mynah_split *s) {
  mynah_free(s->train);
  mynah_free(s->valid);
  *s = (mynah_split){0};
}
