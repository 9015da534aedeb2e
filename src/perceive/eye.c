/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A detector at work: picture, letterbox, network, choice. A network is made ready for each shape of picture that comes, and
 * the last few stay ready, because the borders that a picture gets depend on its proportions. */
#include "perceive_internal.h"

#include <stdlib.h>
#include <string.h>

#define SHAPES_MAX 8
#define SIZE_FALLBACK 640

#define DETECT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_detect_config, type, field, name, value, low, high, unit, help)
static const mynah_key detect_keys[] = {MYNAH_DETECT_KEYS(DETECT_ROW)};
const mynah_config_table mynah_detect_table = {"detect", detect_keys, sizeof detect_keys / sizeof *detect_keys,
                                               sizeof(mynah_detect_config)};

struct mynah_eye {
  const mynah_detector *detector;
  mynah_detect_config config;
  bool *is_wanted; /* [n_classes] */
  mynah__detector_run runs[SHAPES_MAX];
  int64_t used[SHAPES_MAX], n_looks; /* at which look each was last used; 0: never */
  mynah_box *boxes;                  /* [max] */
  void *scratch;
  size_t scratch_bytes;
  mynah_eye_times times;
};

/* One entry of "person,car,3" */
static mynah_status want(mynah_eye *e, const char *name, size_t length) {
  char text[MYNAH_TEXT_MAX], *end;
  while (length && *name == ' ') name++, length--;
  while (length && name[length - 1] == ' ') length--;
  memcpy(text, name, length);
  text[length] = 0;
  int label = mynah_detector_find_class(e->detector, text);
  if (label < 0 && text[0] >= '0' && text[0] <= '9') {
    long number = strtol(text, &end, 10);
    if (*end == 0 && number < e->detector->names.n) label = (int)number;
  }
  if (label < 0) {
    const char *near = mynah_nearest(text, (const char *const *)e->detector->names.text, (size_t)e->detector->names.n);
    return mynah_fail(MYNAH_NOT_FOUND, "classes: the detector knows no '%s'%s%s%s", text, near ? "; did you mean '" : "",
                      near ? near : "", near ? "'?" : "");
  }
  e->is_wanted[label] = true;
  return MYNAH_OK;
}

static mynah_status want_all(mynah_eye *e) {
  const char *at = e->config.classes;
  if (!at[0])
    for (int i = 0; i < e->detector->names.n; i++) e->is_wanted[i] = true;
  while (*at) {
    size_t n = strcspn(at, ",");
    if (n) MYNAH_TRY(want(e, at, n));
    at += n + (at[n] == ',');
  }
  return MYNAH_OK;
}

mynah_status mynah_eye_create(const mynah_detector *d, const mynah_detect_config *c, mynah_eye **out) {
  mynah_eye *e = mynah_calloc(1, sizeof *e);
  if (!e) return MYNAH_NO_MEMORY;
  e->detector = d;
  if (c) e->config = *c;
  else mynah_config_default(&mynah_detect_table, &e->config);
  e->is_wanted = mynah_calloc((size_t)d->names.n + 1, sizeof *e->is_wanted);
  e->boxes = mynah_calloc((size_t)e->config.max, sizeof *e->boxes);
  mynah_status status = e->is_wanted && e->boxes ? want_all(e) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) *out = e;
  else mynah_eye_destroy(e);
  return status;
}

void mynah_eye_destroy(mynah_eye *e) {
  if (!e) return;
  for (int i = 0; i < SHAPES_MAX; i++) mynah__detector_run_deinit(&e->runs[i]);
  mynah_free(e->is_wanted);
  mynah_free(e->boxes);
  mynah_free(e->scratch);
  mynah_free(e);
}

/* The network for this size; the one unused for longest makes room. */
static mynah_status ready(mynah_eye *e, int height, int width, mynah__detector_run **out) {
  int oldest = 0;
  for (int i = 0; i < SHAPES_MAX; i++) {
    if (e->runs[i].state && e->runs[i].height == height && e->runs[i].width == width) {
      e->used[i] = e->n_looks;
      *out = &e->runs[i];
      return MYNAH_OK;
    }
    if (e->used[i] < e->used[oldest]) oldest = i;
  }
  mynah__detector_run made;
  MYNAH_TRY(mynah__detector_run_init(e->detector, height, width, &e->config, &made));
  mynah__detector_run_deinit(&e->runs[oldest]);
  e->runs[oldest] = made;
  e->used[oldest] = e->n_looks;
  *out = &e->runs[oldest];
  return MYNAH_OK;
}

static mynah_status make_room(mynah_eye *e, size_t bytes) {
  if (bytes <= e->scratch_bytes) return MYNAH_OK;
  void *room = mynah_alloc(bytes);
  if (!room) return MYNAH_NO_MEMORY;
  mynah_free(e->scratch);
  e->scratch = room;
  e->scratch_bytes = bytes;
  return MYNAH_OK;
}

static int network_side(const mynah_eye *e) {
  int side = e->config.size ? (int)e->config.size : mynah_detector_size(e->detector);
  if (!side) side = SIZE_FALLBACK;
  return (side + MYNAH_YOLO26_STRIDE - 1) / MYNAH_YOLO26_STRIDE * MYNAH_YOLO26_STRIDE;
}

/* Boxes of the classes wanted, in the picture's pixels. */
static int keep_wanted(mynah_eye *e, const mynah_letterbox *l, int n) {
  int kept = 0;
  for (int i = 0; i < n; i++) {
    if (!e->is_wanted[e->boxes[i].label]) continue;
    e->boxes[kept] = e->boxes[i];
    mynah_letterbox_undo(l, &e->boxes[kept++]);
  }
  return kept;
}

mynah_status mynah_eye_look(mynah_eye *e, const mynah_image *image, const mynah_box **boxes, int *n) {
  int side = network_side(e);
  if (!image->data || image->width < 1 || image->height < 1) return mynah_fail(MYNAH_INVALID, "detect: the picture is empty");
  bool is_fixed = mynah__detector_is_network(e->detector);
  mynah_letterbox l = is_fixed ? mynah_letterbox_plan(image->width, image->height, e->detector->width, e->detector->height, false)
                               : mynah_letterbox_plan(image->width, image->height, side, side, e->config.is_rect);
  mynah_select s = {(int)e->config.max, (float)e->config.confidence, false, e->detector->is_one_to_one ? 1 : (float)e->config.iou};
  mynah__detector_run *r;
  e->n_looks++;
  MYNAH_TRY(ready(e, l.height, l.width, &r));
  size_t first = mynah_letterbox_scratch(&l), second = mynah_select_scratch(&s, r->n_anchors);
  MYNAH_TRY(make_room(e, first > second ? first : second));
  int64_t at[4] = {mynah_now_ns()};
  mynah_letterbox_run(&l, image, e->scratch, mynah_state_input(r->state, "image"));
  at[1] = mynah_now_ns();
  mynah_state_run(r->state);
  at[2] = mynah_now_ns();
  mynah_candidates c = {mynah_state_output(r->state, "boxes"), mynah_state_output(r->state, "scores"), r->n_anchors, e->detector->names.n};
  *n = keep_wanted(e, &l, mynah_select_boxes(&s, &c, e->scratch, e->boxes));
  at[3] = mynah_now_ns();
  e->times = (mynah_eye_times){at[1] - at[0], at[2] - at[1], at[3] - at[2]};
  *boxes = e->boxes;
  return MYNAH_OK;
}

mynah_eye_times mynah_eye_last_times(const mynah_eye *e) { return e->times; }
