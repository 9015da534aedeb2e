/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Nearest demonstrated frames, by comparing with each: exact, and fast enough for thousands. */
#include "run_internal.h"

#include <math.h>
#include <string.h>

#define GRID_WIDTH 8 /* coarse: where the road lies, not what it looks like */
#define GRID_HEIGHT 4
#define GRID (GRID_WIDTH * GRID_HEIGHT)
#define POINT_MAX 1024   /* numbers of an observation */
#define HIDDEN_MAX 4096  /* of a hidden layer; one that is wider is not used */
#define K_MAX 64
#define LANES 16 /* sums in flight; points are padded with zeros to whole lanes */
#define FLAT 4.0 /* grey levels: a picture that varies less is treated as if it varied so much */

/* Shape: points (capacity, size) */
typedef struct cloud {
  int64_t size; /* of a point, whole lanes; 0: there are none */
  float *points;
} cloud;

struct mynah__neighbours {
  const mynah_policy *policy;
  mynah_window geometry; /* the crop of its pictures */
  cloud observed, hidden;
  int64_t n, capacity, stride, n_seen;
  int k;
};

static void describe_picture(const mynah__neighbours *n, const mynah_feature *f, const mynah_value *v, float *out) {
  uint8_t small[GRID * 3];
  int part[4];
  mynah_window_part(&n->geometry, (int)f->dims[1], (int)f->dims[0], part);
  mynah_image in = {(uint8_t *)(uintptr_t)v->data, (int)f->dims[1], (int)f->dims[0]};
  mynah_image grid = {small, GRID_WIDTH, GRID_HEIGHT};
  mynah_image_resample(&in, part[0], part[1], part[2], part[3], &grid);
  double mean = 0, square = 0;
  for (int i = 0; i < GRID; i++) {
    out[i] = 0.299f * (float)small[3 * i] + 0.587f * (float)small[3 * i + 1] + 0.114f * (float)small[3 * i + 2];
    mean += (double)out[i] / GRID;
    square += (double)out[i] * (double)out[i] / GRID;
  }
  double scale = 1 / (fmax(sqrt(fmax(square - mean * mean, 0)), FLAT) * sqrt((double)GRID));
  for (int i = 0; i < GRID; i++) out[i] = (float)(((double)out[i] - mean) * scale);
}

/* Vectors of other types than float are left out: they are ids and flags. */
static int64_t width_of(const mynah_feature *f) {
  return f->is_image ? GRID : f->dtype == MYNAH_F32 ? mynah_feature_size(f) : 0;
}

/* Shape: out (size), zeros where nothing is written */
static void describe(const mynah__neighbours *n, const mynah_value *values, float *out) {
  const mynah_policy *p = n->policy;
  memset(out, 0, (size_t)n->observed.size * sizeof *out);
  for (int i = 0; i < p->n_inputs; i++) {
    const mynah_feature *f = &p->inputs[i];
    int64_t width = width_of(f);
    if (f->is_image) {
      describe_picture(n, f, &values[i], out);
    } else {
      const mynah_norm *norm = &p->input_norms[i];
      float root = sqrtf((float)width);
      for (int64_t k = 0; k < width; k++)
        if (norm->std[k] > 0) out[k] = (((const float *)values[i].data)[k] - norm->mean[k]) / (norm->std[k] * root);
    }
    out += width;
  }
}

/* The hidden layer of the actor's newest prediction, of length 1. Shape: out (size), zeros beyond */
static void describe_hidden(const mynah__neighbours *n, const mynah_actor *actor, float *out) {
  int64_t size;
  const float *x = mynah_actor_hidden(actor, &size);
  double square = 0;
  memset(out, 0, (size_t)n->hidden.size * sizeof *out);
  for (int64_t i = 0; i < size; i++) square += (double)x[i] * (double)x[i];
  for (int64_t i = 0; i < size && square > 0; i++) out[i] = (float)((double)x[i] / sqrt(square));
}

static void add(void *context, const mynah_compared_frame *frame) {
  mynah__neighbours *n = context;
  if (n->n_seen++ % n->stride != 0 || n->n >= n->capacity) return;
  describe(n, frame->values, n->observed.points + n->n * n->observed.size);
  if (n->hidden.size > 0) describe_hidden(n, frame->actor, n->hidden.points + n->n * n->hidden.size);
  n->n++;
}

static int64_t whole_lanes(int64_t size) { return (size + LANES - 1) / LANES * LANES; }

static mynah_status measure_observed(mynah__neighbours *n) {
  mynah_window windows[MYNAH_POLICY_INPUTS_MAX + 4];
  int64_t size = 0;
  int n_windows = mynah_policy_windows(n->policy, windows, MYNAH_POLICY_INPUTS_MAX + 4);
  for (int i = 0; i < n_windows; i++)
    if (windows[i].width > 0) n->geometry = windows[i];
  for (int i = 0; i < n->policy->n_inputs; i++) size += width_of(&n->policy->inputs[i]);
  n->observed.size = whole_lanes(size);
  if (n->observed.size > POINT_MAX) return mynah_fail(MYNAH_LIMIT, "drift: observations of more than %d numbers", POINT_MAX);
  return MYNAH_OK;
}

/* Vectors alone say more of how far two frames are apart than a layer that keeps what the answer needs. */
static mynah_status measure_hidden(mynah__neighbours *n, const mynah_clone *c) {
  bool has_pictures = false;
  int64_t size;
  mynah_actor *actor;
  for (int i = 0; i < n->policy->n_inputs; i++) has_pictures = has_pictures || n->policy->inputs[i].is_image;
  if (!has_pictures) return MYNAH_OK;
  MYNAH_TRY(mynah_actor_create(c, &actor));
  mynah_actor_hidden(actor, &size);
  mynah_actor_destroy(actor);
  if (size <= HIDDEN_MAX) n->hidden.size = whole_lanes(size);
  return MYNAH_OK;
}

static mynah_status fill(mynah__neighbours *n, const mynah_clone *c, mynah_dataset *d, int64_t max_frames) {
  int64_t n_frames = mynah_dataset_n_frames(d), n_episodes = mynah_dataset_n_episodes(d);
  MYNAH_TRY(measure_observed(n));
  MYNAH_TRY(measure_hidden(n, c));
  if (n_frames < n->k) return mynah_fail(MYNAH_INVALID, "%s: fewer frames than neighbours", mynah_dataset_path(d));
  n->stride = (n_frames + max_frames - 1) / max_frames;
  n->capacity = (n_frames + n->stride - 1) / n->stride;
  n->observed.points = mynah_calloc((size_t)n->capacity * (size_t)n->observed.size + 1, sizeof(float));
  n->hidden.points = mynah_calloc((size_t)n->capacity * (size_t)n->hidden.size + 1, sizeof(float));
  if (!n->observed.points || !n->hidden.points) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < n_episodes; i++) {
    mynah_frame_range whole = {i, 0, mynah_dataset_episode(d, i)->n_frames};
    MYNAH_TRY(mynah_compare_recorded(c, d, &whole, 1, NULL, add, n));
  }
  return MYNAH_OK;
}

mynah_status mynah__neighbours_create(const mynah_clone *c, mynah_dataset *d, int k, int64_t max_frames,
                                      mynah__neighbours **out) {
  mynah__neighbours *n = mynah_calloc(1, sizeof *n);
  if (!n) return MYNAH_NO_MEMORY;
  n->policy = mynah_clone_policy(c);
  n->k = k < K_MAX ? k : K_MAX;
  mynah_status status = fill(n, c, d, max_frames);
  if (status == MYNAH_OK && n->n < n->k) n->k = (int)n->n;
  if (status != MYNAH_OK) {
    mynah__neighbours_destroy(n);
    return status;
  }
  *out = n;
  return MYNAH_OK;
}

void mynah__neighbours_destroy(mynah__neighbours *n) {
  if (!n) return;
  mynah_free(n->observed.points);
  mynah_free(n->hidden.points);
  mynah_free(n);
}

static float distance2(const float *a, const float *b, int64_t size) {
  float sums[LANES] = {0}, sum = 0;
  for (int64_t i = 0; i < size; i += LANES)
    for (int l = 0; l < LANES; l++) sums[l] += (a[i + l] - b[i + l]) * (a[i + l] - b[i + l]);
  for (int l = 0; l < LANES; l++) sum += sums[l];
  return sum;
}

/* Mean distance of a point to its k nearest; *nearest: to the nearest. */
static double look_up(const mynah__neighbours *n, const cloud *c, const float *point, double *nearest) {
  float best[K_MAX]; /* squares, ascending */
  for (int i = 0; i < n->k; i++) best[i] = INFINITY;
  for (int64_t i = 0; i < n->n; i++) {
    float d = distance2(point, c->points + i * c->size, c->size);
    if (d >= best[n->k - 1]) continue;
    int at = n->k - 1;
    for (; at > 0 && best[at - 1] > d; at--) best[at] = best[at - 1];
    best[at] = d;
  }
  double sum = 0;
  for (int i = 0; i < n->k; i++) sum += sqrt((double)best[i]);
  *nearest = sqrt((double)best[0]);
  return sum / n->k;
}

double mynah__neighbours_score(const mynah__neighbours *n, const mynah_value *values, const mynah_actor *actor, double *nearest) {
  float point[HIDDEN_MAX];
  double closest;
  describe(n, values, point);
  double score = look_up(n, &n->observed, point, nearest);
  if (n->hidden.size == 0) return score;
  describe_hidden(n, actor, point);
  return look_up(n, &n->hidden, point, &closest);
}
