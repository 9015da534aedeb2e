/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Episodes copied: into the same file (trim) or a new one (merge, select, resample, reencode). */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One frame of the source: the nearest one, or for numbers a mixture of two. */
typedef struct frame_at {
  int64_t a, b;
  double weight; /* of b */
} frame_at;

static double mix(double x, double y, double w, bool is_angle) {
  double step = is_angle ? remainder(y - x, 6.283185307179586) : y - x;
  return x + w * step;
}

static mynah_status take_vector(mynah_dataset *from, int64_t i, const mynah_feature *f, const frame_at *at,
                                uint8_t *out) {
  size_t bytes = mynah_feature_bytes(f);
  bool is_boxes = strncmp(f->name, "boxes.", 6) == 0; /* what is in a picture goes with the picture */
  bool is_mixed = at->weight > 0 && (f->dtype == MYNAH_F32 || f->dtype == MYNAH_F64) && !is_boxes;
  MYNAH_TRY(mynah_dataset_read_raw(from, i, f->name, is_mixed || at->weight < 0.5 ? at->a : at->b, 1, out));
  if (!is_mixed) return MYNAH_OK;
  uint8_t *other = out + bytes;
  MYNAH_TRY(mynah_dataset_read_raw(from, i, f->name, at->b, 1, other));
  for (int64_t k = 0; k < mynah_feature_size(f); k++) {
    bool is_angle = k < 64 && (f->angle_mask >> k & 1);
    if (f->dtype == MYNAH_F32) {
      float x, y;
      memcpy(&x, out + 4 * k, 4);
      memcpy(&y, other + 4 * k, 4);
      x = (float)mix((double)x, (double)y, at->weight, is_angle);
      memcpy(out + 4 * k, &x, 4);
    } else {
      double x, y;
      memcpy(&x, out + 8 * k, 8);
      memcpy(&y, other + 8 * k, 8);
      x = mix(x, y, at->weight, is_angle);
      memcpy(out + 8 * k, &x, 8);
    }
  }
  return MYNAH_OK;
}

/* d->picture holds one picture at a time, so each goes to a place of its own. */
static mynah_status take_picture(mynah_dataset *from, int64_t i, int feature, int64_t t, mynah_str *out,
                                 bool *is_encoded) {
  mynah_codec codec;
  size_t bytes;
  MYNAH_TRY(mynah__read_picture(from, &from->episodes[i], feature, t, &codec, &bytes));
  out->length = 0;
  out->max = MYNAH__MAX_PICTURE_BYTES + 1;
  mynah_str_append(out, from->picture, bytes);
  *is_encoded = codec != MYNAH_CODEC_RAW;
  return out->is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}

static mynah_status take_pixels(mynah_dataset *from, int64_t i, const mynah_feature *f, int64_t t, mynah_str *out) {
  mynah_image picture;
  MYNAH_TRY(mynah_dataset_read_image(from, i, f->name, t, 0, 0, &picture));
  out->length = 0;
  out->max = mynah_feature_bytes(f) + 1;
  mynah_str_append(out, (const char *)picture.data, mynah_feature_bytes(f));
  mynah_image_deinit(&picture);
  return out->is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}

typedef struct copier {
  mynah_dataset *from, *to;
  const mynah__copy *how;
  int64_t i;
  const int *map;
  uint8_t *values[MYNAH__MAX_FEATURES]; /* twice a frame: room to mix */
  mynah_str pictures[MYNAH__MAX_FEATURES];
  int64_t shown[MYNAH__MAX_FEATURES]; /* the frame there whose picture was copied last; -1: none */
} copier;

/* A picture, or that it is the one before. */
static mynah_status copy_picture(copier *c, int k, int64_t t, mynah_value *v, bool *is_encoded) {
  const mynah_feature *f = &c->from->features[c->map[k]];
  if (c->how->is_reencoded) MYNAH_TRY(take_pixels(c->from, c->i, f, t, &c->pictures[k]));
  else MYNAH_TRY(take_picture(c->from, c->i, c->map[k], t, &c->pictures[k], is_encoded));
  bool is_repeated = c->from->picture_frame == c->shown[k];
  c->shown[k] = c->from->picture_frame;
  *v = is_repeated ? (mynah_value){0} : (mynah_value){c->pictures[k].data, c->pictures[k].length, 0};
  return MYNAH_OK;
}

static mynah_status copy_frame(copier *c, const frame_at *at, int64_t time_ns) {
  mynah_value v[MYNAH__MAX_FEATURES];
  bool is_encoded[MYNAH__MAX_FEATURES] = {false};
  for (int k = 0; k < c->to->n_features; k++) {
    if (c->map[k] < 0) {
      mynah_frame_place place = {c->i, at->a, time_ns};
      MYNAH_TRY(c->how->work_out(c->how->context, c->from, &place, (float *)(void *)c->values[k]));
      v[k] = (mynah_value){c->values[k], mynah_feature_bytes(&c->to->features[k]), 0};
      continue;
    }
    const mynah_feature *f = &c->from->features[c->map[k]];
    if (f->is_image) {
      int64_t t = at->weight < 0.5 ? at->a : at->b;
      MYNAH_TRY(copy_picture(c, k, t, &v[k], &is_encoded[k]));
    } else {
      MYNAH_TRY(take_vector(c->from, c->i, f, at, c->values[k]));
      v[k] = (mynah_value){c->values[k], mynah_feature_bytes(f), 0};
    }
  }
  return mynah_episode_add(c->to, time_ns, v, is_encoded);
}

/* At a new rate: frames at the first time plus k periods, up to the last time. Shape: times (n) */
static mynah_status copy_resampled(copier *c, const int64_t *times, int64_t n, double rate_hz) {
  int64_t a = 0;
  for (int64_t k = 0;; k++) {
    int64_t t = times[0] + llround((double)k * 1e9 / rate_hz);
    if (t > times[n - 1]) return MYNAH_OK;
    while (a + 1 < n && times[a + 1] <= t) a++;
    frame_at at = {a, a + 1 < n ? a + 1 : a, 0};
    if (at.b > a && times[at.b] > times[a]) at.weight = (double)(t - times[a]) / (double)(times[at.b] - times[a]);
    MYNAH_TRY(copy_frame(c, &at, t));
  }
}

static mynah_status copy_frames(copier *c) {
  const mynah__copy *how = c->how;
  const mynah_episode *e = &c->from->episodes[c->i];
  int64_t last = how->last < 0 ? e->n_frames - 1 : how->last, n = last - how->first + 1;
  int64_t *times = mynah_calloc((size_t)n, sizeof *times);
  if (!times) return MYNAH_NO_MEMORY;
  mynah_status status = mynah_dataset_read_times(c->from, c->i, how->first, n, times);
  if (status == MYNAH_OK && how->rate_hz > 0) status = copy_resampled(c, times, n, how->rate_hz);
  else
    for (int64_t t = 0; t < n && status == MYNAH_OK; t++)
      status = copy_frame(c, &(frame_at){how->first + t, how->first + t, 0}, times[t]);
  mynah_free(times);
  return status;
}

mynah_status mynah__copy_episode(mynah_dataset *from, int64_t i, mynah_dataset *to, const int *map,
                                 const mynah__copy *how, int64_t *id) {
  copier c = {.from = from, .to = to, .how = how, .i = i, .map = map};
  memset(c.shown, -1, sizeof c.shown);
  mynah_episode info = from->episodes[i];
  mynah_status status = MYNAH_OK;
  for (int k = 0; k < to->n_features && status == MYNAH_OK; k++)
    if (!to->features[k].is_image && !(c.values[k] = mynah_calloc(2, mynah_feature_bytes(&to->features[k]))))
      status = MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) status = mynah_episode_begin(to, &info);
  if (status == MYNAH_OK) status = copy_frames(&c);
  if (status == MYNAH_OK) status = mynah_episode_seal(to, id);
  else mynah_episode_discard(to);
  for (int k = 0; k < to->n_features; k++) {
    mynah_free(c.values[k]);
    mynah_str_deinit(&c.pictures[k]);
  }
  return status;
}

/* ---- into a new file -----------------------------------------------------------------------------------------------
 */

/* The features to keep, in their order there; "": all. Shape: map, out (MYNAH__MAX_FEATURES) */
static mynah_status choose_features(const mynah_dataset *d, const char *names, mynah_feature *out, int *map, int *n) {
  char text[4096], *rest = text;
  *n = 0;
  if (!names || !names[0]) {
    for (; *n < d->n_features; ++*n) out[*n] = d->features[*n], map[*n] = *n;
    return MYNAH_OK;
  }
  MYNAH_TRY(mynah_copy_text(text, sizeof text, names));
  for (char *name; (name = strsep(&rest, ","));) {
    int i = mynah_feature_find(d->features, d->n_features, name);
    if (i < 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'", d->path, name);
    if (mynah_feature_find(out, *n, name) >= 0) return mynah_fail(MYNAH_INVALID, "feature '%s' is named twice", name);
    out[*n] = d->features[i];
    map[(*n)++] = i;
  }
  return MYNAH_OK;
}

/* Finds the new file's features in another source. */
static mynah_status match_features(const mynah_dataset *from, const mynah_dataset *to, const mynah_copy_options *o, int *map) {
  double rate_hz = o->rate_hz;
  for (int k = 0; k < to->n_features; k++) {
    const mynah_feature *want = &to->features[k];
    if (o->added && strcmp(want->name, o->added->name) == 0) {
      map[k] = -1;
      continue;
    }
    map[k] = mynah_feature_find(from->features, from->n_features, want->name);
    const mynah_feature *f = map[k] < 0 ? NULL : &from->features[map[k]];
    if (!f || f->dtype != want->dtype || f->is_image != want->is_image || f->n_dims != want->n_dims ||
        memcmp(f->dims, want->dims, (size_t)f->n_dims * sizeof *f->dims) != 0)
      return mynah_fail(MYNAH_MISMATCH, "%s: %s '%s' of the same type and shape: select or rename first", from->path,
                        f ? "its feature is not the" : "has no feature", want->name);
    if (strcmp(f->unit, want->unit) != 0)
      return mynah_fail(MYNAH_MISMATCH, "%s: '%s' is in '%s' here, in '%s' in %s", from->path, want->name, f->unit, want->unit, to->path);
  }
  if (rate_hz <= 0 && fabs(from->rate_hz / to->rate_hz - 1) > 0.01)
    return mynah_fail(MYNAH_MISMATCH, "%s: %g Hz beside %g Hz: give rate_hz", from->path, from->rate_hz, to->rate_hz);
  return MYNAH_OK;
}

static bool is_chosen(const mynah_copy_options *o, int64_t id) {
  for (int64_t i = 0; i < o->n_ids; i++)
    if (o->ids[i] == id) return true;
  return !o->ids;
}

static mynah_status copy_tags(mynah_dataset *from, int64_t id, int64_t made, mynah_json *tags) {
  const mynah_json *list;
  char key[24];
  MYNAH_TRY(mynah__tags_of(from, id, &list));
  snprintf(key, sizeof key, "%lld", (long long)made);
  if (mynah_json_size(list) > 0) mynah_json_set(tags, key, mynah_json_copy(list));
  return MYNAH_OK;
}

static mynah_status copy_file(mynah_dataset *from, mynah_dataset *to, const mynah_copy_options *o, mynah_json *tags) {
  int map[MYNAH__MAX_FEATURES];
  MYNAH_TRY(match_features(from, to, o, map));
  for (int64_t i = 0; i < (int64_t)from->n_episodes; i++) {
    int64_t id;
    if (!is_chosen(o, from->episodes[i].id)) continue;
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: interrupted; nothing was written", to->path);
    mynah__copy how = {0, -1, o->rate_hz, o->is_reencoded, o->work_out, o->context};
    MYNAH_TRY(mynah__copy_episode(from, i, to, map, &how, &id));
    MYNAH_TRY(copy_tags(from, from->episodes[i].id, id, tags));
    mynah_progress_tell(o->progress, "copy", (double)i + 1, (double)from->n_episodes, "episodes", from->path);
  }
  return MYNAH_OK;
}

/* What says what features are goes along: the classes of boxes, the eyes of a state. All files have the first one's features. */
static mynah_status copy_note(mynah_dataset *from, mynah_dataset *to, const char *key) {
  mynah_str text = {0};
  mynah_status status = mynah_dataset_get_note(from, key, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(to, key, mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status == MYNAH_NOT_FOUND ? MYNAH_OK : status;
}

/* The feature that is worked out, in the place of one of its name or before the action. */
static mynah_status add_feature(const mynah_copy_options *o, mynah_feature *features, int *n) {
  if (!o->added) return MYNAH_OK;
  if (o->rate_hz > 0 || o->added->dtype != MYNAH_F32 || o->added->is_image)
    return mynah_fail(MYNAH_INVALID, "copy: '%s': only vectors of floats are added, and not at another rate", o->added->name);
  int at = mynah_feature_find(features, *n, o->added->name), action = mynah_feature_find(features, *n, "action");
  if (at < 0) {
    if (*n == MYNAH__MAX_FEATURES) return mynah_fail(MYNAH_LIMIT, "copy: over %d features", MYNAH__MAX_FEATURES);
    at = action < 0 ? *n : action;
    memmove(features + at + 1, features + at, (size_t)(*n - at) * sizeof *features);
    ++*n;
  }
  features[at] = *o->added;
  return MYNAH_OK;
}

static mynah_status copy_all(mynah_dataset *const *from, int n, const mynah_copy_options *o, mynah__import_file *file) {
  mynah_feature features[MYNAH__MAX_FEATURES];
  int map[MYNAH__MAX_FEATURES], n_features;
  mynah_str text = {0};
  MYNAH_TRY(choose_features(from[0], o->features, features, map, &n_features));
  MYNAH_TRY(add_feature(o, features, &n_features));
  mynah_dataset_config c = {.features = features,
                            .n_features = n_features,
                            .rate_hz = o->rate_hz > 0 ? o->rate_hz : from[0]->rate_hz,
                            .robot = from[0]->robot,
                            .source = "mynah data",
                            .codec = o->is_reencoded ? o->codec : from[0]->codec,
                            .jpeg_quality = o->is_reencoded ? o->jpeg_quality : from[0]->jpeg_quality};
  MYNAH_TRY(mynah__import_create(file, &c));
  mynah_json *tags = mynah_json_object();
  mynah_status status = MYNAH_OK;
  for (int i = 0; i < n && status == MYNAH_OK; i++) status = copy_file(from[i], file->dataset, o, tags);
  if (status == MYNAH_OK && file->dataset->n_episodes == 0)
    status = mynah_fail(MYNAH_INVALID, "%s: no episode was chosen", file->out_path);
  if (status == MYNAH_OK) status = copy_note(from[0], file->dataset, "classes");
  if (status == MYNAH_OK)
    status = o->eyes ? mynah_dataset_set_note(file->dataset, "eyes", o->eyes) : copy_note(from[0], file->dataset, "eyes");
  if (status == MYNAH_OK) status = mynah_json_dump(tags, 0, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(file->dataset, "tags", mynah_str_text(&text));
  mynah_json_destroy(tags);
  mynah_str_deinit(&text);
  return status;
}

mynah_status mynah_dataset_copy(mynah_dataset *const *from, int n, const mynah_copy_options *options,
                                const char *out_path) {
  mynah__import_file file;
  MYNAH_TRY(mynah__import_begin(out_path, &file));
  return mynah__import_end(&file, copy_all(from, n, options, &file));
}
