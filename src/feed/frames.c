/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The frames that some windows need: read when they are first asked for, pictures cropped, shrunk and decoded; kept as far as cache.mb
 * goes. What lies beyond is read anew each time: frames are asked for in random order, and then no choice of what to keep hits more
 * often than the first frames that fit. */
#include "feed_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EMPTY, TAKEN, READY }; /* of a frame or an episode in memory */

void mynah_frames_destroy(mynah_frames *f) {
  if (!f) return;
  for (int i = 0; i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with >= 0) continue;
    mynah_free(c->vectors);
    for (int v = 0; v < MYNAH__VIEWS; v++) {
      mynah_free(c->pictures[v]);
      mynah_free(c->states[v]);
    }
  }
  mynah_free(f->episode_states);
  mynah_free(f->first);
  mynah_free(f);
}

/* ---- what is needed ---------------------------------------------------------------------------------------------------- */

/* observation.images.front -> observation.images.left: the last part of a camera's name replaced. */
static void twin_name(const char *camera, const char *side, char out[MYNAH_NAME_MAX]) {
  const char *dot = strrchr(camera, '.');
  snprintf(out, MYNAH_NAME_MAX, "%.*s.%s", dot ? (int)(dot - camera) : 0, camera, side);
}

static mynah_status check_sides(mynah_frames *f, const mynah_dataset *d, const mynah_feed_config *config) {
  static const char *const sides[2] = {"left", "right"};
  if (config->side_share <= 0) return MYNAH_OK;
  const mynah_feature *camera = mynah_dataset_find(d, config->side_camera);
  if (!camera) return mynah_fail(MYNAH_NOT_FOUND, "side.camera=%s: the dataset has no such feature", config->side_camera);
  for (int i = 0; i < 2; i++) {
    char name[MYNAH_NAME_MAX];
    twin_name(config->side_camera, sides[i], name);
    const mynah_feature *twin = mynah_dataset_find(d, name);
    if (!twin || memcmp(twin->dims, camera->dims, sizeof twin->dims) != 0)
      return mynah_fail(MYNAH_NOT_FOUND, "side.share=%g: the dataset has no '%s' of the camera's size; side.share=0 does without",
                        config->side_share, name);
  }
  const mynah_feature *action = mynah_dataset_find(d, "action");
  if (!action || config->side_element >= mynah_feature_size(action))
    return mynah_fail(MYNAH_INVALID, "side.element=%lld: the action has no such element", (long long)config->side_element);
  f->has_sides = true;
  return MYNAH_OK;
}

static mynah_status describe_columns(mynah_frames *f, const mynah_dataset *d, const mynah_window *windows, int n) {
  if (n < 1 || n > MYNAH__FEED_WINDOWS) return mynah_fail(MYNAH_INVALID, "feed: 1 … %d windows", MYNAH__FEED_WINDOWS);
  f->can_mirror = true;
  for (int i = 0; i < n; i++) {
    mynah__column *c = &f->columns[f->n_columns++];
    const mynah_feature *feature = mynah_dataset_find(d, windows[i].feature);
    *c = (mynah__column){.window = windows[i], .shared_with = -1, .boxes = -1};
    if (!feature) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'", mynah_dataset_path(d), windows[i].feature);
    if (windows[i].count < 1 || windows[i].count > 4096) return mynah_fail(MYNAH_INVALID, "feed: a window of %d frames", windows[i].count);
    c->feature = *feature;
    if (windows[i].is_padding_mask) c->frame_bytes = sizeof(float);
    else if (feature->is_image) c->frame_bytes = (size_t)windows[i].width * (size_t)windows[i].height * 3;
    else c->frame_bytes = windows[i].is_class ? sizeof(int32_t) : (size_t)mynah_feature_size(feature) * sizeof(float);
    f->can_mirror = f->can_mirror && feature->is_mirrorable;
    if (windows[i].is_boxes) {
      if (i == 0 || !c[-1].feature.is_image || c[-1].window.count != 1 || c->window.count != 1 || feature->n_dims != 2 || feature->dims[1] != 5)
        return mynah_fail(MYNAH_INVALID, "feed: boxes '%s' do not follow one picture", feature->name);
      c[-1].boxes = i;
    }
    for (int k = 0; k < i && c->shared_with < 0; k++) {
      const mynah__column *o = &f->columns[k];
      bool is_same = strcmp(o->window.feature, c->window.feature) == 0 && o->shared_with < 0 && !o->window.is_padding_mask;
      if (is_same && (!feature->is_image || (o->window.width == c->window.width && o->window.height == c->window.height &&
                                             memcmp(o->window.crop, c->window.crop, sizeof c->window.crop) == 0)))
        c->shared_with = k;
    }
  }
  return MYNAH_OK;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* Vectors first, if all of them fit; the rest of the budget is for the pictures of the first frames. */
static mynah_status allocate(mynah_frames *f, size_t budget, const mynah_feed_config *config) {
  size_t vector_bytes = 0, picture_bytes = 0, n = (size_t)f->n_frames;
  for (int i = 0; i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with >= 0 || c->window.is_padding_mask) continue;
    c->n_views = f->has_sides && strcmp(c->feature.name, config->side_camera) == 0 ? MYNAH__VIEWS : 1;
    if (c->feature.is_image) picture_bytes += (size_t)c->n_views * (c->frame_bytes + 1);
    else vector_bytes += (size_t)mynah_feature_size(&c->feature) * sizeof(float);
  }
  bool has_vectors = vector_bytes == 0 || n <= budget / vector_bytes;
  if (has_vectors) budget -= n * vector_bytes;
  f->n_resident = picture_bytes == 0 || n <= budget / picture_bytes ? f->n_frames : (int64_t)(budget / picture_bytes);
  for (int i = 0; i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with >= 0 || c->window.is_padding_mask) continue;
    for (int v = 0; v < c->n_views && c->feature.is_image && f->n_resident > 0; v++) {
      c->pictures[v] = mynah_alloc((size_t)f->n_resident * c->frame_bytes);
      c->states[v] = mynah_calloc((size_t)f->n_resident, sizeof *c->states[v]);
      if (!c->pictures[v] || !c->states[v]) return MYNAH_NO_MEMORY;
    }
    if (c->feature.is_image || !has_vectors) continue;
    c->vectors = mynah_alloc(n * (size_t)mynah_feature_size(&c->feature) * sizeof(float));
    if (!c->vectors) return MYNAH_NO_MEMORY;
  }
  f->episode_states = mynah_calloc((size_t)f->n_episodes, sizeof *f->episode_states);
  return f->episode_states ? MYNAH_OK : MYNAH_NO_MEMORY;
}

static mynah_status prepare(mynah_frames *f, mynah_dataset *d, const mynah_feed_config *config, const mynah_window *windows, int n) {
  MYNAH_TRY(mynah_copy_text(f->path, sizeof f->path, mynah_dataset_path(d)));
  MYNAH_TRY(mynah_dataset_hash(d, f->hash));
  f->n_episodes = mynah_dataset_n_episodes(d);
  if (f->n_episodes < 1 || f->n_episodes > INT32_MAX) return mynah_fail(MYNAH_INVALID, "%s: has no episodes", mynah_dataset_path(d));
  f->first = mynah_calloc((size_t)f->n_episodes + 1, sizeof *f->first);
  if (!f->first) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < f->n_episodes; i++) f->first[i + 1] = f->first[i] + mynah_dataset_episode(d, i)->n_frames;
  f->n_frames = f->first[f->n_episodes];
  MYNAH_TRY(describe_columns(f, d, windows, n));
  MYNAH_TRY(check_sides(f, d, config));
  MYNAH_TRY(allocate(f, (size_t)config->cache_mb << 20, config));
  for (int i = 0; i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with < 0) continue;
    const mynah__column *o = &f->columns[c->shared_with];
    c->vectors = o->vectors;
    c->n_views = o->n_views;
    memcpy(c->pictures, o->pictures, sizeof c->pictures);
    memcpy(c->states, o->states, sizeof c->states);
  }
  return MYNAH_OK;
}

mynah_status mynah_frames_open(const char *dataset_path, const mynah_feed_config *config, const mynah_window *windows, int n_windows,
                               mynah_frames **out) {
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(dataset_path, MYNAH_OPEN_READ, &d));
  mynah_frames *f = mynah_calloc(1, sizeof *f);
  mynah_status status = f ? prepare(f, d, config, windows, n_windows) : MYNAH_NO_MEMORY;
  mynah_dataset_close(d);
  if (status == MYNAH_OK) *out = f;
  else mynah_frames_destroy(f);
  return status;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

mynah_status mynah__reader_init(const mynah_frames *f, mynah__reader *r) {
  size_t picture = 1, vector = 1;
  for (int i = 0; i < f->n_columns; i++) {
    const mynah__column *c = &f->columns[i];
    size_t n = (size_t)mynah_feature_size(&c->feature);
    if (c->feature.is_image && c->frame_bytes > picture) picture = c->frame_bytes;
    if (!c->feature.is_image && n > vector) vector = n;
  }
  r->picture_bytes = picture;
  r->vector_size = vector;
  r->picture = mynah_alloc(MYNAH__BUFFERS * picture);
  r->vector = mynah_alloc(MYNAH__BUFFERS * vector * sizeof(float));
  return r->picture && r->vector ? MYNAH_OK : MYNAH_NO_MEMORY;
}

void mynah__reader_deinit(mynah__reader *r) {
  mynah_dataset_close(r->dataset);
  mynah_free(r->picture);
  mynah_free(r->vector);
  *r = (mynah__reader){0};
}

/* A handle of the reader's own; what it leads to must be what was opened. */
static mynah_status need_dataset(const mynah_frames *f, mynah__reader *r) {
  char hash[65];
  if (r->dataset) return MYNAH_OK;
  MYNAH_TRY(mynah_dataset_open(f->path, MYNAH_OPEN_READ, &r->dataset));
  mynah_status status = mynah_dataset_hash(r->dataset, hash);
  if (status == MYNAH_OK && strcmp(hash, f->hash) != 0) status = mynah_fail(MYNAH_MISMATCH, "%s: was changed while it was in use", f->path);
  if (status == MYNAH_OK) return MYNAH_OK;
  mynah_dataset_close(r->dataset);
  r->dataset = NULL;
  return status;
}

static mynah_status decode(const mynah__column *c, mynah_dataset *d, int view, int64_t episode, int64_t t, uint8_t *out) {
  static const char *const sides[MYNAH__VIEWS] = {"", "left", "right"};
  const mynah_window *w = &c->window;
  int part[4];
  char name[MYNAH_NAME_MAX];
  mynah_image picture, small = {out, w->width, w->height};
  mynah_window_part(w, (int)c->feature.dims[1], (int)c->feature.dims[0], part);
  if (view == 0) memcpy(name, c->feature.name, sizeof name);
  else twin_name(c->feature.name, sides[view], name);
  /* No scaled decoding: acting sees whole pictures, and training must see what acting sees. */
  MYNAH_TRY(mynah_dataset_read_image(d, episode, name, t, 0, 0, &picture));
  mynah_image_resample(&picture, part[0], part[1], part[2], part[3], &small);
  mynah_image_deinit(&picture);
  return MYNAH_OK;
}

mynah_status mynah__read_picture_of(const mynah_frames *f, const mynah__column *c, mynah__reader *r, const mynah__place *at, const uint8_t **out) {
  int64_t frame = f->first[at->episode] + at->t;
  int view = at->view < c->n_views ? at->view : 0;
  bool is_resident = frame < f->n_resident;
  atomic_uchar *state = is_resident ? &c->states[view][frame] : NULL;
  uint8_t *kept = is_resident ? c->pictures[view] + (size_t)frame * c->frame_bytes : NULL;
  unsigned char empty = EMPTY;
  *out = kept;
  if (state && atomic_load_explicit(state, memory_order_acquire) == READY) return MYNAH_OK;
  MYNAH_TRY(need_dataset(f, r));
  /* Who comes while another one decodes it does so for itself: nobody waits. */
  bool is_ours = state && atomic_compare_exchange_strong(state, &empty, TAKEN);
  uint8_t *to = is_ours ? kept : r->picture + (size_t)at->buffer * r->picture_bytes;
  mynah_status status = decode(c, r->dataset, view, at->episode, at->t, to);
  *out = to;
  if (is_ours) atomic_store_explicit(state, status == MYNAH_OK ? READY : EMPTY, memory_order_release);
  return status;
}

static mynah_status read_episode(const mynah_frames *f, mynah_dataset *d, int64_t episode) {
  int64_t first = f->first[episode], n = f->first[episode + 1] - first;
  for (int i = 0; i < f->n_columns; i++) {
    const mynah__column *c = &f->columns[i];
    if (c->shared_with >= 0 || !c->vectors) continue;
    MYNAH_TRY(mynah_dataset_read(d, episode, c->feature.name, 0, n, c->vectors + first * mynah_feature_size(&c->feature)));
  }
  return MYNAH_OK;
}

mynah_status mynah__read_vector_of(const mynah_frames *f, const mynah__column *c, mynah__reader *r, const mynah__place *at, const float **out) {
  atomic_uchar *state = &f->episode_states[at->episode];
  unsigned char empty = EMPTY;
  *out = c->vectors ? c->vectors + (f->first[at->episode] + at->t) * mynah_feature_size(&c->feature) : NULL;
  if (c->vectors && atomic_load_explicit(state, memory_order_acquire) == READY) return MYNAH_OK;
  MYNAH_TRY(need_dataset(f, r));
  if (c->vectors && atomic_compare_exchange_strong(state, &empty, TAKEN)) {
    mynah_status status = read_episode(f, r->dataset, at->episode);
    atomic_store_explicit(state, status == MYNAH_OK ? READY : EMPTY, memory_order_release);
    return status;
  }
  float *to = r->vector + (size_t)at->buffer * r->vector_size;
  *out = to;
  return mynah_dataset_read(r->dataset, at->episode, c->feature.name, at->t, 1, to);
}
