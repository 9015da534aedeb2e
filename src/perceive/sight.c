/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pictures to a state: detector, tracker and slots in a row, and the mark by which a policy knows the eyes it was
 * trained with. */
#include "perceive_internal.h"

#include <stdio.h>
#include <string.h>

#define BOXES_MAX 512
#define PICTURE_MAX ((size_t)1 << 28) /* bytes */

struct mynah_sight {
  mynah_eye *eye;
  mynah_tracker *tracker;
  mynah_slots *slots;
  mynah_feature feature;
  mynah_box boxes[BOXES_MAX];
};

/* All settings that change what is seen: the number of threads does not. */
static mynah_json *settings_of(const mynah_sight_config *c) {
  mynah_json *j = mynah_json_object();
  mynah_detect_config detect = c->detect;
  detect.threads = 1;
  mynah_config_to_json(&mynah_detect_table, &detect, j);
  mynah_config_to_json(&mynah_tracker_table, &c->tracker, j);
  mynah_config_to_json(&mynah_slots_table, &c->slots, j);
  return j;
}

/* SHA-256 over the detector and its settings' JSON. */
static mynah_status hash_of(const mynah_detector *d, const mynah_sight_config *c, char hex[65]) {
  char weights[65];
  mynah_sha256 s;
  mynah_str text = {0};
  mynah_json *j = settings_of(c);
  mynah_status status = mynah_json_dump(j, 0, &text);
  mynah_detector_hash(d, weights);
  mynah_sha256_init(&s);
  mynah_sha256_update(&s, weights, strlen(weights));
  mynah_sha256_update(&s, mynah_str_text(&text), text.length);
  mynah_sha256_final(&s, hex);
  mynah_json_destroy(j);
  mynah_str_deinit(&text);
  return status;
}

mynah_status mynah_sight_mark(const mynah_detector *d, const mynah_sight_config *c, mynah_feature *f) {
  char hex[65];
  MYNAH_TRY(hash_of(d, c, hex));
  snprintf(f->unit, sizeof f->unit, MYNAH_SIGHT_MARK "%.16s", hex);
  return MYNAH_OK;
}

static mynah_json *named(const mynah_feature *f) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "name", mynah_json_string(f->name));
  mynah_json_set(j, "feature", mynah_feature_to_json(f));
  return j;
}

mynah_status mynah_sight_describe(const mynah_detector *d, const mynah_sight_config *c, const mynah_feature *camera,
                                  const mynah_feature *seen, mynah_json **out) {
  char hash[65];
  mynah_json *j = mynah_json_object();
  mynah_detector_hash(d, hash);
  mynah_json_set(j, "feature", mynah_json_string(seen->name));
  mynah_json_set(j, "camera", named(camera));
  mynah_json_set(j, "detector", mynah_json_string(hash));
  mynah_json_set(j, "settings", settings_of(c));
  if (!j) return MYNAH_NO_MEMORY;
  *out = j;
  return MYNAH_OK;
}

mynah_status mynah_sight_read(const mynah_json *j, mynah_sight_config *c, mynah_feature *camera) {
  const mynah_json *from = mynah_json_get(j, "camera");
  mynah_config_default(&mynah_detect_table, &c->detect);
  mynah_config_default(&mynah_tracker_table, &c->tracker);
  mynah_config_default(&mynah_slots_table, &c->slots);
  mynah_config_bind binds[3] = {{&mynah_detect_table, &c->detect}, {&mynah_tracker_table, &c->tracker}, {&mynah_slots_table, &c->slots}};
  mynah_status status = mynah_config_from_json(binds, 3, mynah_json_get(j, "settings"));
  if (status == MYNAH_OK)
    status = mynah_feature_from_json(mynah_json_to_string(mynah_json_get(from, "name"), ""), mynah_json_get(from, "feature"), camera);
  if (status == MYNAH_OK && camera->is_image && mynah_feature_bytes(camera) <= PICTURE_MAX) return MYNAH_OK;
  return status == MYNAH_NO_MEMORY ? status : mynah_fail(MYNAH_CORRUPT, "eyes: camera or settings make no sense");
}

static mynah_status prepare(mynah_sight *s, const mynah_detector *d, const mynah_sight_config *c) {
  MYNAH_TRY(mynah_eye_create(d, &c->detect, &s->eye));
  MYNAH_TRY(mynah_tracker_create(&c->tracker, &s->tracker));
  MYNAH_TRY(mynah_slots_create(&c->slots, d, &s->slots));
  s->feature = mynah_slots_feature(s->slots);
  return mynah_sight_mark(d, c, &s->feature);
}

mynah_status mynah_sight_create(const mynah_detector *d, const mynah_sight_config *c, mynah_sight **out) {
  mynah_sight *s = mynah_calloc(1, sizeof *s);
  if (!s) return MYNAH_NO_MEMORY;
  mynah_status status = prepare(s, d, c);
  if (status == MYNAH_OK) *out = s;
  else mynah_sight_destroy(s);
  return status;
}

void mynah_sight_destroy(mynah_sight *s) {
  if (!s) return;
  mynah_slots_destroy(s->slots);
  mynah_tracker_destroy(s->tracker);
  mynah_eye_destroy(s->eye);
  mynah_free(s);
}

void mynah_sight_reset(mynah_sight *s) {
  mynah_tracker_reset(s->tracker);
  mynah_slots_reset(s->slots);
}

const mynah_feature *mynah_sight_feature(const mynah_sight *s) { return &s->feature; }
bool mynah_sight_is_lost(const mynah_sight *s) { return mynah_slots_is_lost(s->slots); }

mynah_status mynah_sight_look(mynah_sight *s, const mynah_image *image, int64_t time_ns, float *out) {
  const mynah_box *found;
  int n, n_tracks;
  MYNAH_TRY(mynah_eye_look(s->eye, image, &found, &n));
  if (n > BOXES_MAX) n = BOXES_MAX;
  memcpy(s->boxes, found, (size_t)n * sizeof *s->boxes);
  mynah_tracker_update(s->tracker, time_ns, s->boxes, n);
  const mynah_tracked *tracks = mynah_tracker_all(s->tracker, &n_tracks);
  mynah_slots_update(s->slots, tracks, n_tracks, time_ns, image->width, image->height, out);
  return MYNAH_OK;
}
