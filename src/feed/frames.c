/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The frames that some windows need, in memory: vectors as floats, pictures cropped, shrunk and decoded once. */
#include "feed_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* A file without a name beside the dataset, mapped: what does not fit into memory is written out and read again. */
static mynah_status map_scratch(const char *dataset_path, size_t bytes, uint8_t **out) {
  char path[MYNAH_PATH_MAX];
  if (snprintf(path, sizeof path, "%s.cache-XXXXXX", dataset_path) >= (int)sizeof path)
    return mynah_fail(MYNAH_INVALID, "%s: the path is too long", dataset_path);
  int fd = mkstemp(path);
  if (fd < 0) return mynah_fail_errno(path, "cannot make the cache");
  unlink(path);
  mynah_status status = MYNAH_OK;
  int code = posix_fallocate(fd, 0, (off_t)bytes);
  if (code != 0) status = mynah_fail(MYNAH_NO_SPACE, "%s: no room for a cache of %zu MB: raise cache.mb or free space", path, bytes >> 20);
  void *data = MAP_FAILED;
  if (status == MYNAH_OK) data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (status == MYNAH_OK && data == MAP_FAILED) status = mynah_fail_errno(path, "cannot map the cache");
  close(fd);
  if (status == MYNAH_OK) *out = data;
  return status;
}

static mynah_status allocate_pictures(mynah__column *c, const char *path, int64_t n_frames, int n_views, size_t *budget) {
  size_t bytes;
  if (!mynah_mul_size(c->frame_bytes, (size_t)n_frames, &bytes)) return mynah_fail(MYNAH_LIMIT, "%s: too many pictures", path);
  c->picture_bytes = bytes;
  c->is_mapped = bytes > *budget / (size_t)n_views;
  for (int v = 0; v < n_views; v++) {
    if (c->is_mapped) {
      MYNAH_TRY(map_scratch(path, bytes, &c->pictures[v]));
      continue;
    }
    c->pictures[v] = mynah_alloc(bytes);
    if (!c->pictures[v]) return MYNAH_NO_MEMORY;
    *budget -= bytes;
  }
  return MYNAH_OK;
}

void mynah_frames_destroy(mynah_frames *f) {
  if (!f) return;
  for (int i = 0; i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with >= 0) continue;
    mynah_free(c->vectors);
    for (int v = 0; v < MYNAH__VIEWS; v++) {
      if (c->pictures[v] && c->is_mapped) munmap(c->pictures[v], c->picture_bytes);
      else mynah_free(c->pictures[v]);
    }
  }
  mynah_free(f->first);
  mynah_free(f);
}

/* ---- what to load ---------------------------------------------------------------------------------------------------- */

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

/* ---- loading --------------------------------------------------------------------------------------------------------- */

typedef struct loading {
  mynah_frames *frames;
  const mynah_feed_config *config;
  const mynah_progress *progress;
  const char *path;
  mynah_dataset **datasets; /* one a worker */
  mynah_status *statuses;   /* one an episode */
  char (*errors)[256];      /* one a worker */
  int64_t n_done;
} loading;

static mynah_status load_picture(mynah_dataset *d, mynah__column *c, int view, const char *name, int64_t episode, int64_t t,
                                 int64_t frame) {
  const mynah_window *w = &c->window;
  int part[4];
  int width = (int)c->feature.dims[1], height = (int)c->feature.dims[0];
  mynah_window_part(w, width, height, part);
  mynah_image picture;
  /* No scaled decoding: acting sees whole pictures, and training must see what acting sees. */
  MYNAH_TRY(mynah_dataset_read_image(d, episode, name, t, 0, 0, &picture));
  mynah_image small = {c->pictures[view] + (size_t)frame * c->frame_bytes, w->width, w->height};
  mynah_image_resample(&picture, part[0], part[1], part[2], part[3], &small);
  mynah_image_deinit(&picture);
  return MYNAH_OK;
}

static mynah_status load_column(loading *l, mynah_dataset *d, mynah__column *c, int64_t episode) {
  const mynah_frames *f = l->frames;
  int64_t first = f->first[episode], n = f->first[episode + 1] - first;
  static const char *const sides[MYNAH__VIEWS] = {"", "left", "right"};
  if (c->shared_with >= 0 || c->window.is_padding_mask) return MYNAH_OK;
  if (!c->feature.is_image)
    return mynah_dataset_read(d, episode, c->feature.name, 0, n, c->vectors + first * mynah_feature_size(&c->feature));
  for (int v = 0; v < MYNAH__VIEWS; v++) {
    char name[MYNAH_NAME_MAX];
    if (!c->pictures[v]) continue;
    if (v == 0) memcpy(name, c->feature.name, sizeof name);
    else twin_name(c->feature.name, sides[v], name);
    for (int64_t t = 0; t < n; t++) MYNAH_TRY(load_picture(d, c, v, name, episode, t, first + t));
  }
  return MYNAH_OK;
}

static void load_episode(void *context, int task, int worker) {
  loading *l = context;
  mynah_status status = MYNAH_OK;
  if (!l->datasets[worker]) status = mynah_dataset_open(l->path, MYNAH_OPEN_READ, &l->datasets[worker]);
  if (status == MYNAH_OK && mynah_is_interrupted()) status = mynah_fail(MYNAH_INTERRUPTED, "loading: interrupted");
  for (int i = 0; i < l->frames->n_columns && status == MYNAH_OK; i++)
    status = load_column(l, l->datasets[worker], &l->frames->columns[i], task);
  l->statuses[task] = status;
  if (status != MYNAH_OK && !l->errors[worker][0]) snprintf(l->errors[worker], sizeof l->errors[worker], "%s", mynah_error());
  int64_t done = __atomic_add_fetch(&l->n_done, 1, __ATOMIC_RELAXED);
  if (worker == 0) mynah_progress_tell(l->progress, "load", (double)done, (double)l->frames->n_episodes, "episodes", "");
}

static mynah_status load_all(loading *l, int n_threads) {
  size_t n = (size_t)n_threads;
  l->datasets = mynah_calloc(n, sizeof *l->datasets);
  l->errors = mynah_calloc(n, sizeof *l->errors);
  l->statuses = mynah_calloc((size_t)l->frames->n_episodes, sizeof *l->statuses);
  mynah_pool *pool = NULL;
  mynah_status status = l->datasets && l->errors && l->statuses ? mynah_pool_create(n_threads, &pool) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) mynah_pool_run(pool, (int)l->frames->n_episodes, load_episode, l);
  for (int64_t i = 0; status == MYNAH_OK && i < l->frames->n_episodes; i++) status = l->statuses[i];
  for (int w = 0; status != MYNAH_OK && l->errors && w < n_threads; w++)
    if (l->errors[w][0]) status = mynah_fail(status, "%s", l->errors[w]);
  for (int w = 0; l->datasets && w < n_threads; w++) mynah_dataset_close(l->datasets[w]);
  mynah_pool_destroy(pool);
  mynah_free(l->datasets);
  mynah_free(l->errors);
  mynah_free(l->statuses);
  return status;
}

static mynah_status prepare(mynah_frames *f, mynah_dataset *d, const mynah_feed_config *config, const mynah_window *windows, int n) {
  size_t budget = (size_t)config->cache_mb << 20;
  f->n_episodes = mynah_dataset_n_episodes(d);
  if (f->n_episodes < 1 || f->n_episodes > INT32_MAX) return mynah_fail(MYNAH_INVALID, "%s: has no episodes", mynah_dataset_path(d));
  f->first = mynah_calloc((size_t)f->n_episodes + 1, sizeof *f->first);
  if (!f->first) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < f->n_episodes; i++) f->first[i + 1] = f->first[i] + mynah_dataset_episode(d, i)->n_frames;
  f->n_frames = f->first[f->n_episodes];
  MYNAH_TRY(describe_columns(f, d, windows, n));
  MYNAH_TRY(check_sides(f, d, config));
  for (int i = 0; i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with >= 0 || c->window.is_padding_mask) continue;
    if (c->feature.is_image) {
      int n_views = f->has_sides && strcmp(c->feature.name, config->side_camera) == 0 ? MYNAH__VIEWS : 1;
      MYNAH_TRY(allocate_pictures(c, mynah_dataset_path(d), f->n_frames, n_views, &budget));
    } else if (!(c->vectors = mynah_calloc((size_t)f->n_frames, (size_t)mynah_feature_size(&c->feature) * sizeof(float)))) {
      return MYNAH_NO_MEMORY;
    }
  }
  return MYNAH_OK;
}

mynah_status mynah_frames_load(const char *dataset_path, const mynah_feed_config *config, const mynah_window *windows,
                               int n_windows, int n_threads, const mynah_progress *progress, mynah_frames **out) {
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(dataset_path, MYNAH_OPEN_READ, &d));
  mynah_frames *f = mynah_calloc(1, sizeof *f);
  mynah_status status = f ? prepare(f, d, config, windows, n_windows) : MYNAH_NO_MEMORY;
  mynah_dataset_close(d);
  loading l = {.frames = f, .config = config, .progress = progress, .path = dataset_path};
  if (status == MYNAH_OK) status = load_all(&l, n_threads > 0 ? n_threads : 1);
  for (int i = 0; status == MYNAH_OK && i < f->n_columns; i++) {
    mynah__column *c = &f->columns[i];
    if (c->shared_with < 0) continue;
    c->vectors = f->columns[c->shared_with].vectors;
    memcpy(c->pictures, f->columns[c->shared_with].pictures, sizeof c->pictures);
  }
  if (status != MYNAH_OK) {
    mynah_frames_destroy(f);
    return status;
  }
  *out = f;
  return MYNAH_OK;
}
