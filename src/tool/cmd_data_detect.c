/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah data detect: the boxes of a detector in recorded pictures, tracked and put into slots, as a state of each
 * frame. */
#include "data.h"

#include <string.h>

#define SIGHT_COMMAND_KEYS(K)                                                                 \
  K(STRING, model, "model", "", 0, 0, "path", "the detector")                                 \
  K(STRING, camera, "camera", "", 0, 0, "", "the pictures it looks at; empty: the only ones") \
  K(STRING, out, "out", "", 0, 0, "", "the new dataset, NAME.demos")
typedef struct sight_command {
  SIGHT_COMMAND_KEYS(MYNAH_FIELD_ROW)
} sight_command;
#define SIGHT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(sight_command, type, field, name, value, low, high, unit, help)
static const mynah_key sight_keys[] = {SIGHT_COMMAND_KEYS(SIGHT_ROW)};
static const mynah_config_table sight_table = {"data detect", sight_keys, sizeof sight_keys / sizeof *sight_keys,
                                               sizeof(sight_command)};

typedef struct work {
  mynah_sight *sight;
  const char *camera;
  int64_t n_frames;
} work;

/* The state of one frame; frames come in their order, episodes begin at frame 0. */
static mynah_status look(void *context, mynah_dataset *from, const mynah_frame_place *at, float *out) {
  work *w = context;
  mynah_image image;
  if (at->frame == 0) mynah_sight_reset(w->sight);
  MYNAH_TRY(mynah_dataset_read_image(from, at->episode, w->camera, at->frame, 0, 0, &image));
  mynah_status status = mynah_sight_look(w->sight, &image, at->time_ns, out);
  mynah_image_deinit(&image);
  w->n_frames++;
  return status;
}

static mynah_status find_camera(const mynah_dataset *d, const char *wanted, const char **out) {
  int n = 0;
  for (int i = 0; i < mynah_dataset_n_features(d); i++) {
    const mynah_feature *f = mynah_dataset_feature(d, i);
    if (!f->is_image || (wanted[0] && strcmp(f->name, wanted) != 0)) continue;
    *out = f->name;
    n++;
  }
  if (n == 1) return MYNAH_OK;
  return n ? tool_usage_error("%d cameras: say which, camera=NAME", n)
           : mynah_fail(MYNAH_NOT_FOUND, "%s: has no pictures %s", mynah_dataset_path(d), wanted);
}

/* The note "eyes" of the new dataset. */
static mynah_status describe(const mynah_dataset *d, const work *w, const mynah_detector *detector, const mynah_sight_config *s,
                             mynah_str *out) {
  mynah_json *j;
  MYNAH_TRY(mynah_sight_describe(detector, s, mynah_dataset_find(d, w->camera), mynah_sight_feature(w->sight), &j));
  mynah_status status = mynah_json_dump(j, 0, out);
  mynah_json_destroy(j);
  return status;
}

static mynah_status detect(const sight_command *c, const mynah_sight_config *s, mynah_dataset *d, mynah_json *result) {
  mynah_detector *detector;
  mynah_str eyes = {0};
  work w = {0};
  MYNAH_TRY(find_camera(d, c->camera, &w.camera));
  MYNAH_TRY(mynah_detector_load(c->model, &detector));
  mynah_status status = mynah_sight_create(detector, s, &w.sight);
  if (status == MYNAH_OK) status = describe(d, &w, detector, s, &eyes);
  if (status == MYNAH_OK) {
    mynah_copy_options o = {
        .added = mynah_sight_feature(w.sight), .work_out = look, .context = &w, .eyes = mynah_str_text(&eyes), .progress = tool_progress()};
    status = mynah_dataset_copy(&d, 1, &o, c->out);
    tool_progress_end();
  }
  if (status == MYNAH_OK) {
    const mynah_feature *f = mynah_sight_feature(w.sight);
    tool_say("%s: %lld frames with '%s' (%lld), %s", c->out, (long long)w.n_frames, f->name,
             (long long)mynah_feature_size(f), f->unit);
    mynah_json_set(result, "out", mynah_json_string(c->out));
    mynah_json_set(result, "frames", mynah_json_integer(w.n_frames));
    mynah_json_set(result, "feature", mynah_feature_to_json(f));
  }
  mynah_str_deinit(&eyes);
  mynah_sight_destroy(w.sight);
  mynah_detector_destroy(detector);
  return status;
}

mynah_status data_detect(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  sight_command c;
  mynah_sight_config s;
  mynah_config_default(&sight_table, &c);
  mynah_config_default(&mynah_detect_table, &s.detect);
  mynah_config_default(&mynah_tracker_table, &s.tracker);
  mynah_config_default(&mynah_slots_table, &s.slots);
  mynah_config_bind binds[4] = {{&sight_table, &c},
                                {&mynah_detect_table, &s.detect},
                                {&mynah_tracker_table, &s.tracker},
                                {&mynah_slots_table, &s.slots}};
  s.detect.confidence = s.tracker.low; /* the tracker chooses */
  MYNAH_TRY(tool_apply(args, binds, 4));
  if (!c.model[0] || !c.out[0] || !s.slots.slots[0])
    return tool_usage_error("model=DETECTOR, slots=CLASS,… and out=NEW.demos are needed");
  return detect(&c, &s, d, result);
}

int data_detect_tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &sight_table;
  out[1] = &mynah_detect_table;
  out[2] = &mynah_tracker_table;
  out[3] = &mynah_slots_table;
  return 4;
}
