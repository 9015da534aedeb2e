/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah eval of a detector: average precision on pictures with boxes. */
#include "tool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EVAL_DETECTOR_KEYS(K)                                                                                   \
  K(STRING, data, "data", "", 0, 0, "", "X.demos with boxes, a folder with dataset.yaml, that file, or NDJSON") \
  K(CHOICE, part, "part", "auto", 0, 0, "auto|all|train|valid|test",                                            \
    "of the data; auto: what validates, without a split all")                                                   \
  K(INT, size, "imgsz", 0, 0, 8192, "px", "the longer side of the network's input; 0: what the detector was made for")      \
  K(INT, threads, "threads", 1, 1, 256, "threads", "that share the work on a picture")                                     \
  K(CHOICE, precision, "precision", "f32", 0, 0, "f32|bf16", "of the operands of convolutions and matrix products")
typedef struct eval_detector_config {
  EVAL_DETECTOR_KEYS(MYNAH_FIELD_ROW)
} eval_detector_config;
#define EVAL_DETECTOR_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(eval_detector_config, type, field, name, value, low, high, unit, help)
static const mynah_key eval_detector_keys[] = {EVAL_DETECTOR_KEYS(EVAL_DETECTOR_ROW)};
const mynah_config_table eval_detector_table = {"detector evaluation", eval_detector_keys,
                                                sizeof eval_detector_keys / sizeof *eval_detector_keys,
                                                sizeof(eval_detector_config)};
enum { PART_AUTO, PART_ALL, PART_TRAIN, PART_VALID, PART_TEST };

typedef struct work {
  eval_detector_config config;
  const mynah_detector *detector;
  mynah_eye *eye;
  mynah_precision *precision;
  int *label_of; /* [classes of the data] the detector's class of that name */
  int n_classes;
  int64_t n_left_out;
} work;

/* Classes are matched by their names. */
static mynah_status match_classes(work *w, const char *const *names, int n) {
  w->label_of = mynah_calloc((size_t)n + 1, sizeof *w->label_of);
  if (!w->label_of) return MYNAH_NO_MEMORY;
  w->n_classes = n;
  for (int i = 0; i < n; i++) {
    w->label_of[i] = mynah_detector_find_class(w->detector, names[i]);
    if (w->label_of[i] < 0)
      return mynah_fail(MYNAH_MISMATCH, "the data's class '%s' is unknown to the detector", names[i]);
  }
  return MYNAH_OK;
}

/* Shape: boxes (n,5) as in the data */
static mynah_status add(work *w, const mynah_image *image, const float *boxes, int n) {
  const mynah_box *found;
  int n_found, n_truth = 0;
  mynah_box *truth = mynah_calloc((size_t)n + 1, sizeof *truth);
  if (!truth) return MYNAH_NO_MEMORY;
  for (int i = 0; i < n; i++, boxes += 5) {
    int label = boxes[0] >= 0 && boxes[0] < (float)w->n_classes ? w->label_of[(int)boxes[0]] : -1;
    float x = boxes[1] * (float)image->width, y = boxes[2] * (float)image->height,
          a = boxes[3] * (float)image->width / 2, b = boxes[4] * (float)image->height / 2;
    if (label >= 0) truth[n_truth++] = (mynah_box){x - a, y - b, x + a, y + b, 1, label, -1};
  }
  mynah_status status = mynah_eye_look(w->eye, image, &found, &n_found);
  if (status == MYNAH_OK) status = mynah_precision_add(w->precision, truth, n_truth, found, n_found);
  mynah_free(truth);
  return status;
}

static bool is_chosen(const work *w, int part, bool has_split) {
  int wanted = (int)w->config.part;
  if (wanted == PART_ALL || (wanted == PART_AUTO && !has_split)) return true;
  return part == (wanted == PART_AUTO ? 1 : wanted - PART_TRAIN);
}

/* ---- .demos ----------------------------------------------------------------------------------------------------- */

static mynah_status look_at_range(work *w, mynah_dataset *d, const mynah_range *r, const char *picture, const mynah_feature *boxes) {
  float *room = mynah_calloc((size_t)mynah_feature_size(boxes), sizeof *room);
  mynah_status status = room ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (int64_t t = r->from; t < r->to && status == MYNAH_OK; t++) {
    mynah_image image;
    if (mynah_is_interrupted()) status = mynah_fail(MYNAH_INTERRUPTED, "eval: interrupted");
    if (status == MYNAH_OK) status = mynah_dataset_read(d, r->episode, boxes->name, t, 1, room);
    if (status == MYNAH_OK) status = mynah_dataset_read_image(d, r->episode, picture, t, 0, 0, &image);
    if (status != MYNAH_OK) break;
    status = add(w, &image, room, (int)boxes->dims[0]);
    mynah_image_deinit(&image);
  }
  mynah_free(room);
  return status;
}

static mynah_status look_at_episodes(work *w, mynah_dataset *d, const char *picture, const mynah_feature *boxes) {
  int64_t n = mynah_dataset_n_episodes(d);
  bool has_split = false;
  for (int64_t e = 0; e < n; e++) has_split = has_split || mynah_dataset_part(d, e) == 1;
  for (int64_t e = 0; e < n; e++) {
    const mynah_range whole = {e, 0, mynah_dataset_episode(d, e)->n_frames};
    if (is_chosen(w, mynah_dataset_part(d, e), has_split)) MYNAH_TRY(look_at_range(w, d, &whole, picture, boxes));
    mynah_progress_tell(tool_progress(), "eval", (double)e + 1, (double)n, "episodes", "");
  }
  return MYNAH_OK;
}

static mynah_status look_at_dataset(work *w) {
  mynah_dataset *d;
  char **classes = NULL, picture[MYNAH_NAME_MAX];
  size_t n = 0;
  const mynah_feature *boxes = NULL;
  MYNAH_TRY(mynah_dataset_open(w->config.data, MYNAH_OPEN_READ, &d));
  mynah_status status = tool_find_boxes(d, picture, &boxes);
  if (status == MYNAH_OK) status = mynah_dataset_get_classes(d, &classes, &n);
  if (status == MYNAH_OK) status = match_classes(w, (const char *const *)classes, (int)n);
  if (status == MYNAH_OK) status = look_at_episodes(w, d, picture, boxes);
  if (classes) mynah_names_free(classes, n);
  mynah_dataset_close(d);
  return status;
}

/* ---- lists of pictures ------------------------------------------------------------------------------------------ */

static mynah_status look_at_pictures(work *w, const mynah_labels *l) {
  int64_t n = mynah_labels_n(l);
  bool has_split = false;
  for (int64_t i = 0; i < n; i++) has_split = has_split || mynah_labels_at(l, i)->part == 1;
  for (int64_t i = 0; i < n; i++) {
    const mynah_labelled *p = mynah_labels_at(l, i);
    mynah_image image;
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "eval: interrupted");
    if (!is_chosen(w, p->part, has_split)) continue;
    mynah_progress_tell(tool_progress(), "eval", (double)i + 1, (double)n, "pictures", "");
    mynah_status status = mynah_image_load(p->path, &image);
    if (status == MYNAH_NO_MEMORY) return status;
    if (status != MYNAH_OK) {
      tool_say("left out: %s", mynah_error());
      w->n_left_out++;
      continue;
    }
    status = add(w, &image, p->boxes, p->n_boxes);
    mynah_image_deinit(&image);
    MYNAH_TRY(status);
  }
  return MYNAH_OK;
}

static mynah_status look_at_labels(work *w) {
  mynah_labels *l;
  int n;
  MYNAH_TRY(mynah_labels_open(w->config.data, &l));
  mynah_labels_skipped(l, &w->n_left_out);
  const char *const *classes = mynah_labels_classes(l, &n);
  mynah_status status = match_classes(w, classes, n);
  if (status == MYNAH_OK) status = look_at_pictures(w, l);
  mynah_labels_close(l);
  return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static mynah_status tell(work *w, mynah_json *result) {
  mynah_precision_result r;
  int n = mynah_detector_n_classes(w->detector);
  double *own = mynah_calloc((size_t)n + 1, sizeof *own);
  mynah_status status = own ? mynah_precision_finish(w->precision, &r, own) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK && r.n_pictures == 0)
    status = mynah_fail(MYNAH_NOT_FOUND, "%s: no picture to look at", w->config.data);
  if (status == MYNAH_OK) {
    mynah_json *classes = mynah_json_object();
    tool_say("%lld pictures, %lld objects: mAP50 %.4f, mAP50-95 %.4f", (long long)r.n_pictures, (long long)r.n_objects,
             r.map50, r.map50_95);
    for (int i = 0; i < n; i++) {
      if (isnan(own[i])) continue;
      mynah_json_set(classes, mynah_detector_class(w->detector, i), mynah_json_number(own[i]));
      tool_say("  %-12s mAP50-95 %.4f", mynah_detector_class(w->detector, i), own[i]);
    }
    mynah_json_set(result, "map50", mynah_json_number(r.map50));
    mynah_json_set(result, "map50_95", mynah_json_number(r.map50_95));
    mynah_json_set(result, "images", mynah_json_integer(r.n_pictures));
    mynah_json_set(result, "objects", mynah_json_integer(r.n_objects));
    mynah_json_set(result, "left_out", mynah_json_integer(w->n_left_out));
    mynah_json_set(result, "classes", classes);
  }
  mynah_free(own);
  return status;
}

static mynah_status begin(work *w) {
  mynah_detect_config c;
  mynah_config_default(&mynah_detect_table, &c);
  c.confidence = 0.001;
  c.size = w->config.size;
  c.threads = w->config.threads;
  c.precision = w->config.precision;
  MYNAH_TRY(mynah_eye_create(w->detector, &c, &w->eye));
  return mynah_precision_create(mynah_detector_n_classes(w->detector), &w->precision);
}

static void end(work *w) {
  mynah_free(w->label_of);
  mynah_precision_destroy(w->precision);
  mynah_eye_destroy(w->eye);
}

static mynah_status measure(work *w, mynah_dataset *d, const mynah_range *ranges, int64_t n, mynah_precision_result *out) {
  char picture[MYNAH_NAME_MAX];
  const mynah_feature *boxes = NULL;
  int n_classes = mynah_detector_n_classes(w->detector);
  MYNAH_TRY(begin(w));
  MYNAH_TRY(tool_find_boxes(d, picture, &boxes));
  if (!(w->label_of = mynah_calloc((size_t)n_classes + 1, sizeof *w->label_of))) return MYNAH_NO_MEMORY;
  for (; w->n_classes < n_classes; w->n_classes++) w->label_of[w->n_classes] = w->n_classes;
  for (int64_t i = 0; i < n; i++) MYNAH_TRY(look_at_range(w, d, &ranges[i], picture, boxes));
  return mynah_precision_finish(w->precision, out, NULL);
}

mynah_status eval_detector_ranges(const mynah_detector *detector, mynah_dataset *d, const mynah_range *ranges, int64_t n,
                                  mynah_precision_result *out) {
  work w = {.detector = detector};
  mynah_config_default(&eval_detector_table, &w.config);
  mynah_status status = measure(&w, d, ranges, n, out);
  end(&w);
  return status;
}

static mynah_status evaluate(work *w, mynah_json *result) {
  MYNAH_TRY(begin(w));
  MYNAH_TRY(mynah_labels_is(w->config.data) ? look_at_labels(w) : look_at_dataset(w));
  tool_progress_end();
  return tell(w, result);
}

mynah_status eval_detector_run(const tool_args *args, mynah_json *result) {
  work w = {0};
  mynah_detector *d;
  mynah_config_bind bind = {&eval_detector_table, &w.config};
  mynah_config_default(&eval_detector_table, &w.config);
  MYNAH_TRY(tool_apply(args, &bind, 1));
  if (!w.config.data[0]) return tool_usage_error("data= is missing");
  MYNAH_TRY(mynah_detector_load(args->positional[0], &d));
  w.detector = d;
  mynah_status status = evaluate(&w, result);
  end(&w);
  mynah_detector_destroy(d);
  return status;
}
