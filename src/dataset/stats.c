/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Minimum, maximum, mean and standard deviation of features; the whole file compared with its checksums. */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- statistics ------------------------------------------------------------------------------------------------------ */

/* Welford 1962: mean += (x - mean)/n, m2 += (x - mean_before)(x - mean_after). std holds m2 until the end. */
static void add(mynah_stats *s, int64_t k, double x, double n) {
  if (n == 1 || x < s->min[k]) s->min[k] = x;
  if (n == 1 || x > s->max[k]) s->max[k] = x;
  double before = x - s->mean[k];
  s->mean[k] += before / n;
  s->std[k] += before * (x - s->mean[k]);
}

static mynah_status add_vectors(mynah_dataset *d, int64_t i, const mynah_feature *f, mynah_stats *s) {
  int64_t n = d->episodes[i].n_frames;
  float *row = mynah_calloc((size_t)s->size, sizeof *row);
  if (!row) return MYNAH_NO_MEMORY;
  mynah_status status = MYNAH_OK;
  for (int64_t t = 0; t < n && status == MYNAH_OK; t++) {
    status = mynah_dataset_read(d, i, f->name, t, 1, row);
    s->n_frames++;
    for (int64_t k = 0; status == MYNAH_OK && k < s->size; k++) add(s, k, (double)row[k], (double)s->n_frames);
  }
  mynah_free(row);
  return status;
}

/* Pixels of every `stride`-th frame; per channel, in [0,1], by sums of integers. */
typedef struct channel_sums {
  double n, sum[3], squares[3];
} channel_sums;

static mynah_status add_pictures(mynah_dataset *d, int64_t i, const mynah_feature *f, int64_t *next, int64_t stride,
                                 mynah_stats *s, channel_sums *c) {
  for (; *next < d->episodes[i].n_frames; *next += stride) {
    mynah_image picture;
    MYNAH_TRY(mynah_dataset_read_image(d, i, f->name, *next, 0, 0, &picture));
    size_t n = (size_t)picture.width * (size_t)picture.height;
    for (int k = 0; k < 3; k++) {
      uint64_t sum = 0, squares = 0;
      int low = 255, high = 0;
      for (size_t p = 0; p < n; p++) {
        int v = picture.data[3 * p + (size_t)k];
        sum += (uint64_t)v;
        squares += (uint64_t)(v * v);
        low = v < low ? v : low;
        high = v > high ? v : high;
      }
      c->sum[k] += (double)sum / 255;
      c->squares[k] += (double)squares / 65025;
      if (s->n_frames == 0 || low / 255.0 < s->min[k]) s->min[k] = low / 255.0;
      if (s->n_frames == 0 || high / 255.0 > s->max[k]) s->max[k] = high / 255.0;
    }
    c->n += (double)n;
    s->n_frames++;
    mynah_image_deinit(&picture);
  }
  *next -= d->episodes[i].n_frames;
  return MYNAH_OK;
}

static void finish(mynah_stats *s, const channel_sums *c, bool is_image) {
  for (int64_t k = 0; k < s->size; k++) {
    if (is_image && c->n > 0) {
      s->mean[k] = c->sum[k] / c->n;
      s->std[k] = sqrt(fmax(0, c->squares[k] / c->n - s->mean[k] * s->mean[k]));
    } else if (s->n_frames > 0) {
      s->std[k] = sqrt(s->std[k] / (double)s->n_frames);
    }
  }
}

mynah_status mynah_dataset_stats(mynah_dataset *d, const char *feature, const int64_t *episodes, int64_t n_episodes,
                                 int64_t max_images, mynah_stats *out) {
  const mynah_feature *f = mynah_dataset_find(d, feature);
  if (!f) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'", d->path, feature);
  int64_t n = episodes ? n_episodes : (int64_t)d->n_episodes, total = 0, next = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t e = episodes ? episodes[i] : i;
    if (e < 0 || e >= (int64_t)d->n_episodes) return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no episode number %lld", d->path, (long long)e);
    total += d->episodes[e].n_frames;
  }
  if (total == 0) return mynah_fail(MYNAH_INVALID, "%s: no frames to take statistics of", d->path);
  mynah_stats s = {.size = f->is_image ? 3 : mynah_feature_size(f)};
  s.min = mynah_calloc((size_t)s.size * 4, sizeof(double));
  if (!s.min) return MYNAH_NO_MEMORY;
  s.max = s.min + s.size;
  s.mean = s.max + s.size;
  s.std = s.mean + s.size;
  channel_sums sums = {0};
  int64_t stride = max_images > 0 && total > max_images ? (total + max_images - 1) / max_images : 1;
  mynah_status status = MYNAH_OK;
  for (int64_t i = 0; i < n && status == MYNAH_OK; i++) {
    int64_t e = episodes ? episodes[i] : i;
    status = f->is_image ? add_pictures(d, e, f, &next, stride, &s, &sums) : add_vectors(d, e, f, &s);
  }
  if (status != MYNAH_OK) {
    mynah_stats_deinit(&s);
    return status;
  }
  finish(&s, &sums, f->is_image);
  *out = s;
  return MYNAH_OK;
}

void mynah_stats_deinit(mynah_stats *s) {
  mynah_free(s->min);
  *s = (mynah_stats){0};
}

/* ---- verifying ------------------------------------------------------------------------------------------------------- */

/* Replays the order in which the writer hashed: pictures of each frame, blocks when they were full. */
static mynah_status verify_episode(mynah_dataset *d, const mynah_episode *e, mynah_verify_report *r) {
  mynah_sha256 s;
  char hash[65];
  mynah_sha256_init(&s);
  for (int64_t t = 0; t < e->n_frames; t++) {
    for (int i = 0; i < d->n_features; i++) {
      const void *data;
      size_t bytes;
      if (!d->features[i].is_image) continue;
      MYNAH_TRY(mynah__read_picture(d, e, i, t, &data, &bytes));
      mynah__hash_item(&s, i, data, bytes);
      r->n_blobs++;
    }
    if ((t + 1) % MYNAH__BLOCK_FRAMES != 0 && t + 1 != e->n_frames) continue;
    for (int64_t i = MYNAH__TIMES; i < d->n_features; i++) {
      if (i >= 0 && d->features[i].is_image) continue;
      MYNAH_TRY(mynah__read_block(d, e, i, t));
      size_t each = i == MYNAH__TIMES ? sizeof(int64_t) : mynah_feature_bytes(&d->features[i]);
      mynah__hash_item(&s, i, d->block, (size_t)d->block_count * each);
    }
  }
  mynah_sha256_final(&s, hash);
  if (strcmp(hash, e->hash) == 0) return MYNAH_OK;
  return mynah_fail(MYNAH_CORRUPT, "%s: episode %lld: its hash is wrong", d->path, (long long)e->id);
}

/* SQLite's own look at the structure of the file. */
static mynah_status check_structure(mynah_dataset *d) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, "PRAGMA integrity_check(1)", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "the structure cannot be read");
  mynah_status status = MYNAH_OK;
  if (sqlite3_step(q) != SQLITE_ROW) status = mynah__sql_fail(d, "the structure cannot be read");
  const char *text = status == MYNAH_OK ? (const char *)sqlite3_column_text(q, 0) : NULL;
  if (status == MYNAH_OK && (!text || strcmp(text, "ok") != 0))
    status = mynah_fail(MYNAH_CORRUPT, "%s: structure: %.160s", d->path, text ? text : "unreadable");
  sqlite3_finalize(q);
  return status;
}

static void note_damage(mynah_verify_report *r) {
  if (r->n_damaged++ == 0) snprintf(r->first_damage, sizeof r->first_damage, "%s", mynah_error());
}

mynah_status mynah_dataset_verify(mynah_dataset *d, const mynah_progress *progress, mynah_verify_report *out) {
  mynah_verify_report r = {.n_episodes = (int64_t)d->n_episodes};
  for (size_t i = 0; i < d->n_episodes; i++) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: verification was interrupted", d->path);
    mynah_status status = verify_episode(d, &d->episodes[i], &r);
    if (status == MYNAH_NO_MEMORY) return status;
    if (status != MYNAH_OK) note_damage(&r);
    r.n_frames += d->episodes[i].n_frames;
    mynah_progress_tell(progress, "verify", (double)(i + 1), (double)d->n_episodes, "episodes", "");
  }
  if (r.n_damaged == 0 && check_structure(d) != MYNAH_OK) note_damage(&r);
  *out = r;
  return MYNAH_OK;
}
