/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The eyes of a clone: its policy takes a detector's slots, the actor is shown pictures. */
#include "policy_internal.h"

#include <string.h>

/* The input that the detector's slots are. */
static mynah_status find_input(const mynah_policy *p, int *out) {
  const char *name = mynah_json_to_string(mynah_json_get(p->eyes, "feature"), "");
  int at = mynah_feature_find(p->inputs, p->n_inputs, name);
  if (!p->eyes || at < 0)
    return mynah_fail(MYNAH_UNSUPPORTED, "the policy's file says nothing of eyes: it was not trained on what `mynah data detect` adds");
  *out = at;
  return MYNAH_OK;
}

static mynah_status check(const mynah__eyes *e) {
  mynah_feature mark;
  MYNAH_TRY(mynah_sight_mark(e->detector, &e->config, &mark));
  if (strcmp(mark.unit, e->seen.unit) == 0) return MYNAH_OK;
  return mynah_fail(MYNAH_MISMATCH, "'%s': the policy was trained with another detector (%s, this is %s)", e->seen.name, e->seen.unit, mark.unit);
}

mynah_status mynah__eyes_open(mynah_policy *p, const char *detector, int n_threads, mynah__eyes *out) {
  mynah__eyes e = {.is_open = true};
  mynah_feature camera;
  MYNAH_TRY(find_input(p, &e.input));
  MYNAH_TRY(mynah_sight_read(p->eyes, &e.config, &camera));
  e.seen = p->inputs[e.input];
  e.width = (int)camera.dims[1];
  e.height = (int)camera.dims[0];
  MYNAH_TRY(mynah_detector_load(detector, &e.detector));
  mynah_status status = check(&e);
  e.config.detect.threads = n_threads;
  if (status == MYNAH_OK) {
    p->inputs[e.input] = camera;
    *out = e;
  } else mynah_detector_destroy(e.detector);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", detector);
}

void mynah__eyes_close(mynah__eyes *e) {
  mynah_detector_destroy(e->detector);
  *e = (mynah__eyes){0};
}

/* One look at nothing makes the network ready, so that no later one allocates. */
static mynah_status prepare(const mynah__eyes *e, mynah__gaze *l) {
  mynah_image nothing = {mynah_calloc((size_t)e->width * (size_t)e->height, 3), e->width, e->height};
  l->state = mynah_calloc((size_t)mynah_feature_size(&e->seen), sizeof *l->state);
  mynah_status status = nothing.data && l->state ? mynah_sight_create(e->detector, &e->config, &l->sight) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK && mynah_feature_size(mynah_sight_feature(l->sight)) != mynah_feature_size(&e->seen))
    status = mynah_fail(MYNAH_MISMATCH, "'%s': the slots are not those of the training", e->seen.name);
  if (status == MYNAH_OK) status = mynah_sight_look(l->sight, &nothing, 0, l->state);
  mynah_image_deinit(&nothing);
  mynah__gaze_reset(l, e);
  return status;
}

mynah_status mynah__gaze_create(const mynah__eyes *e, mynah__gaze *out) {
  mynah_status status = prepare(e, out);
  if (status != MYNAH_OK) mynah__gaze_destroy(out);
  return status;
}

void mynah__gaze_destroy(mynah__gaze *l) {
  mynah_sight_destroy(l->sight);
  mynah_free(l->state);
  *l = (mynah__gaze){0};
}

void mynah__gaze_reset(mynah__gaze *l, const mynah__eyes *e) {
  if (l->sight) mynah_sight_reset(l->sight);
  if (l->state) memset(l->state, 0, mynah_feature_bytes(&e->seen));
  l->time_ns = INT64_MIN;
  atomic_store(&l->is_blind, false);
}

void mynah__look(mynah__gaze *l, const mynah__eyes *e, const mynah_value *picture) {
  l->ns = 0;
  if (!picture->data || picture->time_ns <= l->time_ns) return;
  mynah_image image = {(uint8_t *)(uintptr_t)picture->data, e->width, e->height};
  int64_t start = mynah_now_ns();
  l->time_ns = picture->time_ns;
  bool is_seen = mynah_sight_look(l->sight, &image, picture->time_ns, l->state) == MYNAH_OK;
  atomic_store(&l->is_blind, !is_seen || mynah_sight_is_lost(l->sight));
  l->ns = mynah_now_ns() - start;
}
