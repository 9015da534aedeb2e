/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of pictures with boxes (labels.h): each fitted into one size, grey around, its boxes beside it. Episodes are
 * up to 64 pictures of one part, and the parts become the split. */
#include "ingest.h"
#include "labels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define YOLO_KEYS(K)                                                                                        \
  K(INT, size, "imgsz", 640, 32, 8192, "px", "pictures are fitted into a square of this side, grey around") \
  K(INT, jpeg_quality, "jpeg.quality", 95, 1, 100, "", "of stored pictures")
typedef struct yolo_config {
  YOLO_KEYS(MYNAH_FIELD_ROW)
} yolo_config;
#define YOLO_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(yolo_config, type, field, name, value, low, high, unit, help)
static const mynah_key yolo_keys[] = {YOLO_KEYS(YOLO_ROW)};
static const mynah_config_table yolo_table = {"yolo", yolo_keys, sizeof yolo_keys / sizeof *yolo_keys,
                                              sizeof(yolo_config)};

#define GREY 114
#define EPISODE_PICTURES 64

typedef struct import {
  const yolo_config *config;
  mynah__ingest *in;
  mynah_labels *labels;
  mynah_json *tags;
  uint8_t *scratch; /* (size,size,3) */
} import;

/* The picture in the middle of a grey square, boxes moved along. Shape: square (size,size,3), boxes (n_boxes_max,5) */
static void fit(const import *m, const mynah_image *picture, const mynah_labelled *l, uint8_t *square, float *boxes) {
  int size = (int)m->config->size;
  double scale = fmin((double)size / picture->width, (double)size / picture->height);
  int w = (int)fmax(1, nearbyint(picture->width * scale)), h = (int)fmax(1, nearbyint(picture->height * scale));
  int left = (size - w) / 2, top = (size - h) / 2;
  mynah_image small = {m->scratch, w, h};
  memset(square, GREY, (size_t)size * (size_t)size * 3);
  mynah_image_resample(picture, 0, 0, picture->width, picture->height, &small);
  for (int y = 0; y < h; y++)
    memcpy(square + ((size_t)(top + y) * (size_t)size + (size_t)left) * 3, m->scratch + (size_t)y * (size_t)w * 3,
           (size_t)w * 3);
  for (int64_t i = 0; i < m->in->features[1].dims[0]; i++) {
    float *out = boxes + 5 * i;
    memset(out, 0, 5 * sizeof *out);
    out[0] = -1;
    if (i >= l->n_boxes) continue;
    const float *b = l->boxes + 5 * i;
    out[0] = b[0];
    out[1] = (b[1] * (float)w + (float)left) / (float)size, out[2] = (b[2] * (float)h + (float)top) / (float)size;
    out[3] = b[3] * (float)w / (float)size, out[4] = b[4] * (float)h / (float)size;
  }
}

/* A picture that cannot be read is reported and left out. */
static mynah_status add_frame(import *m, int64_t i, int64_t t, bool *is_added) {
  const mynah_labelled *l = mynah_labels_at(m->labels, i);
  mynah_image picture;
  *is_added = false;
  mynah_status status = mynah_image_load(l->path, &picture);
  if (status != MYNAH_OK) {
    if (!mynah__ingest_is_bad(status)) return status;
    mynah__ingest_skip(m->in, "picture", i, mynah_error());
    return MYNAH_OK;
  }
  fit(m, &picture, l, m->in->values[0], (float *)(void *)m->in->values[1]);
  mynah_image_deinit(&picture);
  mynah_value values[2];
  for (int k = 0; k < 2; k++) values[k] = (mynah_value){m->in->values[k], mynah_feature_bytes(&m->in->features[k]), 0};
  *is_added = true;
  return mynah_episode_add(m->in->file.dataset, t * 1000000000, values, NULL);
}

static mynah_status tag(import *m, int64_t id, int part) {
  static const char *const names[3] = {"train", "valid", "test"};
  char key[32];
  mynah_json *list = mynah_json_array();
  snprintf(key, sizeof key, "%lld", (long long)id);
  mynah_json_append(list, mynah_json_string(names[part]));
  mynah_json_set(m->tags, key, list);
  return MYNAH_OK;
}

/* Pictures *i … of one part, at most EPISODE_PICTURES. */
static mynah_status add_episode(import *m, int64_t *i) {
  mynah_episode info = {.success = -1, .task = "detect", .expert = "labels"};
  int part = mynah_labels_at(m->labels, *i)->part;
  int64_t n = 0, id, end = mynah_labels_n(m->labels);
  bool is_added;
  MYNAH_TRY(mynah_episode_begin(m->in->file.dataset, &info));
  for (; *i < end && n < EPISODE_PICTURES && mynah_labels_at(m->labels, *i)->part == part; ++*i) {
    MYNAH_TRY(add_frame(m, *i, n, &is_added));
    n += is_added;
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "import: interrupted; nothing was written");
    mynah_progress_tell(m->in->progress, "import", (double)*i + 1, (double)end, "pictures", "");
  }
  if (n == 0) return mynah_episode_discard(m->in->file.dataset), MYNAH_OK;
  MYNAH_TRY(mynah_episode_seal(m->in->file.dataset, &id));
  m->in->report.n_episodes++;
  m->in->report.n_frames += n;
  return tag(m, id, part);
}

static mynah_status write_notes(import *m) {
  mynah_str text = {0};
  int n;
  const char *const *classes = mynah_labels_classes(m->labels, &n);
  mynah_status status = mynah_dataset_set_classes(m->in->file.dataset, classes, n);
  if (status == MYNAH_OK) status = mynah_json_dump(m->tags, 0, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(m->in->file.dataset, "tags", mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  int64_t size = m->config->size, n_skipped;
  m->in = in;
  MYNAH_TRY(mynah_labels_open(in->path, &m->labels));
  const mynah_json *skipped = mynah_labels_skipped(m->labels, &n_skipped);
  for (size_t i = 0; i < mynah_json_size(skipped); i++)
    mynah_json_append(in->report.skipped, mynah_json_copy(mynah_json_at(skipped, i)));
  in->report.n_skipped = n_skipped;
  int n_boxes = mynah_labels_n_boxes_max(m->labels);
  m->scratch = mynah_alloc((size_t)size * (size_t)size * 3);
  m->tags = mynah_json_object();
  if (!m->scratch || !m->tags) return MYNAH_NO_MEMORY;
  in->features[0] = mynah_feature_image("observation.images.front", size, size);
  in->features[0].is_mirrorable = true;
  in->features[1] = mynah_feature_boxes("observation.images.front", n_boxes > 0 ? n_boxes : 1);
  in->n = 2;
  mynah_dataset_config c = {
      .rate_hz = 1, .robot = "", .source = "import yolo", .jpeg_quality = (int)m->config->jpeg_quality};
  MYNAH_TRY(mynah__ingest_create(in, &c));
  for (int64_t i = 0; i < mynah_labels_n(m->labels);) MYNAH_TRY(add_episode(m, &i));
  return write_notes(m);
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
import m = {.config = config };
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, &m, report);
  mynah_labels_close(m.labels);
  mynah_json_destroy(m.tags);
  mynah_free(m.scratch);
  return status;
}
const mynah_importer mynah__import_yolo = {
    "yolo", "pictures with boxes: a folder with dataset.yaml and YOLO's label files, or NDJSON", &yolo_table, run};
