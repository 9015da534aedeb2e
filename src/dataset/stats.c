/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Minimum, maximum, mean and standard deviation of features, in double precision. */
#include "store.h"

#include <math.h>

/* Welford 1962: mean += (x - mean)/n, m2 += (x - mean_before)(x - mean_after). std holds m2 until the end. */
static void add(mynah_stats *s, int64_t k, double x, double n) {
  if (n == 1 || x < s->min[k]) s->min[k] = x;
  if (n == 1 || x > s->max[k]) s->max[k] = x;
  double before = x - s->mean[k];
  s->mean[k] += before / n;
  s->std[k] += before * (x - s->mean[k]);
}

static mynah_status add_vectors(mynah_dataset *d, int64_t i, int feature, mynah_stats *s) {
  const mynah_feature *f = &d->features[feature];
  size_t each = mynah_dtype_bytes(f->dtype);
  for (int64_t t = 0; t < d->episodes[i].n_frames;) {
    const mynah__block *b;
    MYNAH_TRY(mynah__read_block(d, &d->episodes[i], feature, t, &b));
    const uint8_t *at = b->data;
    for (int64_t end = b->start + b->count; t < end; t++) {
      s->n_frames++;
      for (int64_t k = 0; k < s->size; k++, at += each) add(s, k, mynah__to_double(f->dtype, at), (double)s->n_frames);
    }
  }
  return MYNAH_OK;
}

/* Pixels of every `stride`-th frame; sums of whole numbers are exact. */
typedef struct channel_sums {
  double n, sum[3], squares[3]; /* of 0 … 255 */
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
      c->sum[k] += (double)sum;
      c->squares[k] += (double)squares;
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
      double mean = c->sum[k] / c->n;
      s->mean[k] = mean / 255;
      s->std[k] = sqrt(fmax(0, c->squares[k] / c->n - mean * mean)) / 255;
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
    if (e < 0 || e >= (int64_t)d->n_episodes)
      return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no episode number %lld", d->path, (long long)e);
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
    status =
        f->is_image ? add_pictures(d, e, f, &next, stride, &s, &sums) : add_vectors(d, e, (int)(f - d->features), &s);
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
