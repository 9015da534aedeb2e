/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Episodes compared with each other: copies, copies on both sides of a split, near states with far actions. */
#include "lint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GRAM 4 /* rows in a series that make a copy: one alone may well come twice */
#define MANY_EPISODES 3000
#define NEIGHBOURS 5

/* ---- what is kept -------------------------------------------------------------------------------------------------
 */

/* FNV-1a over 32-bit words, mixed. */
static uint64_t hash_rows(const float *x, size_t n) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    h = (h ^ bits) * 0x100000001b3u;
    h ^= h >> 29;
  }
  return h;
}

mynah_status lint_keep(lint *l, int64_t i) {
  size_t width = (size_t)l->n_columns;
  MYNAH_TRY(mynah_grow((void **)&l->grams, &l->cap_grams, l->n_grams + (size_t)l->n + 1, sizeof *l->grams));
  for (int64_t t = 0; t + GRAM <= l->n; t++) /* a rest is no copy of itself */
    if (memcmp(&l->x[(size_t)t * width], &l->x[(size_t)(t + 1) * width], width * sizeof *l->x) != 0)
      l->grams[l->n_grams++] = (lint_gram){hash_rows(&l->x[(size_t)t * width], GRAM * width), i};
  for (int s = 0; s < LINT_SIGNATURE; s++)
    memcpy(&l->signatures[((size_t)i * LINT_SIGNATURE + (size_t)s) * width],
           &l->x[(size_t)(s * (l->n - 1) / (LINT_SIGNATURE - 1)) * width], width * sizeof *l->x);
  for (int64_t t = i % l->stride; t < l->n; t += l->stride) {
    size_t n = (size_t)l->n_samples;
    MYNAH_TRY(mynah_grow((void **)&l->samples, &l->cap_samples, (n + 1) * width + 1, sizeof *l->samples));
    MYNAH_TRY(mynah_grow((void **)&l->sample_episode, &l->cap_sample_episode, n + 1, sizeof *l->sample_episode));
    MYNAH_TRY(mynah_grow((void **)&l->sample_frame, &l->cap_sample_frame, n + 1, sizeof *l->sample_frame));
    memcpy(&l->samples[n * width], &l->x[(size_t)t * width], width * sizeof *l->x);
    l->sample_episode[n] = i;
    l->sample_frame[n] = t;
    l->n_samples++;
  }
  return MYNAH_OK;
}

/* ---- copies -------------------------------------------------------------------------------------------------------
 */

static int by_hash(const void *a, const void *b) {
  const lint_gram *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->episode > y->episode) - (x->episode < y->episode);
}

/* twin[i]: an earlier episode that holds most of i, or −1. Shape: twin, shared, total (episodes) */
static void find_copies(lint *l, int64_t *twin, int64_t *shared, int64_t *total) {
  for (size_t i = 0; i < l->d->n_episodes; i++) twin[i] = -1;
  if (l->n_grams > 0) qsort(l->grams, l->n_grams, sizeof *l->grams, by_hash);
  for (size_t i = 0, end; i < l->n_grams; i = end) {
    for (end = i; end < l->n_grams && l->grams[end].hash == l->grams[i].hash; end++) {
      int64_t e = l->grams[end].episode, first = l->grams[i].episode;
      total[e]++;
      if (e == first) continue;
      shared[e]++;
      if (twin[e] < 0) twin[e] = first;
    }
  }
  for (size_t i = 0; i < l->d->n_episodes; i++)
    if (twin[i] >= 0 && 2 * shared[i] < total[i]) twin[i] = -1;
}

/* The same run with other digits: every compared frame within 1 % of the ranges, and something moves. */
static bool is_near_copy(const lint *l, size_t a, size_t b) {
  size_t each = (size_t)LINT_SIGNATURE * (size_t)l->n_columns;
  const float *x = &l->signatures[a * each], *y = &l->signatures[b * each];
  double na = (double)l->d->episodes[a].n_frames, nb = (double)l->d->episodes[b].n_frames;
  bool moves = false;
  if (fabs(na - nb) > 0.02 * na + 1) return false;
  for (size_t i = 0; i < each; i++) {
    double range = lint_range(&l->columns[i % (size_t)l->n_columns]);
    if (!(fabs((double)(x[i] - y[i])) <= 0.005 * range)) return false;
    moves = moves || (double)fabsf(x[i] - x[i % (size_t)l->n_columns]) > 0.1 * range;
  }
  return moves;
}

static void find_near_copies(const lint *l, int64_t *twin) {
  if (l->d->n_episodes > MANY_EPISODES || l->n_columns == 0) return;
  for (size_t b = 1; b < l->d->n_episodes; b++)
    for (size_t a = 0; a < b && twin[b] < 0; a++)
      if (is_near_copy(l, a, b)) twin[b] = (int64_t)a;
}

static mynah_status note_copies(lint *l, const int64_t *twin, const int8_t *parts) {
  static const char *const names[] = {"train", "valid", "test"};
  for (int64_t i = 0; i < (int64_t)l->d->n_episodes; i++) {
    if (twin[i] < 0) continue;
    long long other = (long long)l->d->episodes[twin[i]].id;
    int64_t last = l->d->episodes[i].n_frames - 1;
    MYNAH_TRY(lint_note(l, MYNAH_LINT_DUPLICATE, MYNAH_SEVERITY_WARNING, i, 0, last,
                        "most of it is in episode %lld too: delete one, or they count double and may leak", other));
    int a = parts ? parts[i] : -1, b = parts ? parts[twin[i]] : -1;
    if (a < 0 || b < 0 || a == b || a > 2 || b > 2) continue;
    MYNAH_TRY(lint_note(l, MYNAH_LINT_LEAKAGE, MYNAH_SEVERITY_ERROR, i, 0, last,
                        "is in '%s', its copy %lld in '%s': scores there would flatter; delete one, or split anew",
                        names[a], other, names[b]));
  }
  return MYNAH_OK;
}

mynah_status lint_duplicates(lint *l, const int8_t *parts) {
  size_t n = l->d->n_episodes;
  int64_t *twin = mynah_calloc(3 * n, sizeof *twin);
  if (!twin) return MYNAH_NO_MEMORY;
  find_copies(l, twin, twin + n, twin + 2 * n);
  find_near_copies(l, twin);
  mynah_status status = note_copies(l, twin, parts);
  mynah_free(twin);
  return status;
}

/* ---- near states, far actions -------------------------------------------------------------------------------------
 */

/* Mean squared difference in standard deviations, of what is seen or of what is done. */
static double distance(const lint *l, const double *scale, int64_t a, int64_t b, bool of_actions) {
  double sum = 0, n = 0;
  const float *x = &l->samples[a * l->n_columns], *y = &l->samples[b * l->n_columns];
  for (int k = 0; k < l->n_columns; k++) {
    if (l->columns[k].is_action != of_actions || scale[k] == 0) continue;
    double d = (double)x[k] - (double)y[k];
    if (l->columns[k].is_angle) d = remainder(d, 6.283185307179586);
    d *= scale[k];
    sum += d * d;
    n++;
  }
  return n > 0 ? sum / n : 0;
}

/* Of one sample: its nearest ones in other episodes. */
typedef struct near_ones {
  double seen[NEIGHBOURS]; /* ascending */
  int64_t place[NEIGHBOURS];
} near_ones;

static void find_near(const lint *l, const double *scale, int64_t a, near_ones *out) {
  for (int i = 0; i < NEIGHBOURS; i++) out->seen[i] = INFINITY, out->place[i] = -1;
  for (int64_t b = 0; b < l->n_samples; b++) {
    if (l->sample_episode[b] == l->sample_episode[a]) continue;
    double d = distance(l, scale, a, b, false);
    if (!(d < out->seen[NEIGHBOURS - 1])) continue;
    int at = NEIGHBOURS - 1;
    for (; at > 0 && out->seen[at - 1] > d; at--)
      out->seen[at] = out->seen[at - 1], out->place[at] = out->place[at - 1];
    out->seen[at] = d;
    out->place[at] = b;
  }
}

static int by_double(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The least difference in action to any near one, and to as many at random: where those are alike, states do not
 * decide. */
static bool states_decide(const lint *l, const double *scale, const near_ones *near, double *work) {
  int64_t n = l->n_samples;
  for (int64_t a = 0; a < n; a++) {
    mynah_rng r = mynah_rng_make(1, (uint64_t)a);
    work[a] = work[n + a] = INFINITY;
    for (int i = 0; i < NEIGHBOURS; i++) {
      int64_t other = (int64_t)mynah_rng_below(&r, (uint64_t)n);
      if (near[a].place[i] >= 0) work[a] = fmin(work[a], distance(l, scale, a, near[a].place[i], true));
      if (l->sample_episode[other] != l->sample_episode[a])
        work[n + a] = fmin(work[n + a], distance(l, scale, a, other, true));
    }
  }
  qsort(work, (size_t)n, sizeof *work, by_double);
  qsort(work + n, (size_t)n, sizeof *work, by_double);
  return work[n / 2] < 0.15 * work[n + n / 2];
}

static mynah_status note_conflicts(lint *l, const double *scale, const near_ones *near, double radius) {
  for (int64_t from = 0, to; from < l->n_samples; from = to) {
    int64_t episode = l->sample_episode[from], n_near = 0, n_far = 0, first = -1, last = -1, other = -1;
    for (to = from; to < l->n_samples && l->sample_episode[to] == episode; to++) {
      int64_t b = near[to].place[0];
      if (b < 0 || near[to].seen[0] > radius) continue;
      n_near++;
      if (distance(l, scale, to, b, true) < 2.25) continue;
      n_far++;
      if (first < 0) first = l->sample_frame[to], other = l->sample_episode[b];
      last = l->sample_frame[to];
    }
    if (n_far < 4 || (double)n_far < 0.3 * (double)n_near) continue;
    MYNAH_TRY(lint_note(
        l, MYNAH_LINT_CONFLICT, MYNAH_SEVERITY_WARNING, episode, first, last,
        "acts otherwise than episode %lld in the same states (%.0f%% of the near ones): keep one way of doing it",
        (long long)l->d->episodes[other].id, 100.0 * (double)n_far / (double)n_near));
  }
  return MYNAH_OK;
}

static mynah_status compare(lint *l, const double *scale, near_ones *near, double *work) {
  for (int64_t a = 0; a < l->n_samples; a++) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: lint was interrupted", l->d->path);
    find_near(l, scale, a, &near[a]);
  }
  if (!states_decide(l, scale, near, work)) return MYNAH_OK;
  for (int64_t a = 0; a < l->n_samples; a++) work[a] = near[a].seen[0];
  qsort(work, (size_t)l->n_samples, sizeof *work, by_double);
  return note_conflicts(l, scale, near, fmin(work[l->n_samples / 2], 0.05));
}

mynah_status lint_conflicts(lint *l) {
  double scale[LINT_COLUMNS];
  int n_seen = 0, n_done = 0;
  for (int k = 0; k < l->n_columns; k++) {
    const lint_column *c = &l->columns[k];
    double mean = c->n > 0 ? c->sum / c->n : 0, variance = c->n > 0 ? c->squares / c->n - mean * mean : 0;
    scale[k] = lint_range(c) > 0 && variance > 0 ? 1 / sqrt(variance) : 0;
    n_seen += !c->is_action && scale[k] > 0;
    n_done += c->is_action && scale[k] > 0;
  }
  if (n_seen == 0 || n_done == 0 || l->d->n_episodes < 3 || l->n_samples < 20) return MYNAH_OK;
  near_ones *near = mynah_calloc((size_t)l->n_samples, sizeof *near);
  double *work = mynah_calloc(2 * (size_t)l->n_samples, sizeof *work);
  mynah_status status = near && work ? compare(l, scale, near, work) : MYNAH_NO_MEMORY;
  mynah_free(near);
  mynah_free(work);
  return status;
}
