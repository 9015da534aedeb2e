/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of zarr replay buffers, as Diffusion Policy keeps them: data/NAME arrays over all frames, meta/episode_ends.
 */
#include "zarr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ZARR_KEYS(K)                                                                                          \
  K(STRING, state, "state", "state", 0, 0, "", "array that becomes observation.state; empty: none")           \
  K(STRING, environment, "environment", "keypoint", 0, 0, "",                                                 \
    "array that becomes observation.environment_state; empty: none")                                          \
  K(STRING, image, "image", "img", 0, 0, "", "array of pictures (frames, height, width, 3); empty: none")     \
  K(STRING, camera, "camera", "top", 0, 0, "", "its name: observation.images.CAMERA")                         \
  K(STRING, action, "action", "action", 0, 0, "", "array that becomes action")                                \
  K(STRING, extra, "extra", "", 0, 0, "",                                                                     \
    "more arrays, comma-separated: NAME becomes observation.NAME, or observation.images.NAME")                \
  K(CHOICE, task, "task", "auto", 0, 0, "auto|pusht|none",                                                    \
    "whose names, units and angles the features get; auto: by their shapes")                                  \
  K(FLOAT, rate_hz, "rate_hz", 10, 0.001, 100000, "Hz", "control rate: such stores keep no time")             \
  K(CHOICE, codec, "codec", "png", 0, 0, "jpeg|png|raw", "how pictures are kept; png and raw keep every bit") \
  K(INT, jpeg_quality, "jpeg.quality", 95, 1, 100, "", "of codec=jpeg")                                       \
  K(CHOICE, nonfinite, "nonfinite", "error", 0, 0, "error|skip",                                              \
    "an episode with a number that is not finite: give up, or leave it out and report it")                    \
  K(CHOICE, missing, "missing", "error", 0, 0, "error|fill", "a missing chunk: give up, or take the array's fill value")

typedef struct zarr_config {
#define ZARR_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  ZARR_KEYS(ZARR_FIELD)
} zarr_config;
#define ZARR_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(zarr_config, type, field, name, value, low, high, unit, help)
static const mynah_key zarr_keys[] = {ZARR_KEYS(ZARR_ROW)};
static const mynah_config_table zarr_table = {"zarr", zarr_keys, sizeof zarr_keys / sizeof *zarr_keys,
                                              sizeof(zarr_config)};

enum { TASK_AUTO, TASK_PUSHT, TASK_NONE };
#define MAX_ARRAYS 16

typedef struct import {
  const zarr_config *config;
  mynah__ingest *in;
  char data_folder[MYNAH_PATH_MAX];
  mynah__zarr arrays[MAX_ARRAYS];
  int n;      /* of both arrays and features */
  int64_t from; /* where the episode at hand begins */
  float scales[MAX_ARRAYS]; /* of pictures: 1 for 0 … 255, 255 for 0 … 1 */
  int64_t *ends, n_episodes, n_frames;
} import;

/* ---- what is there
 * --------------------------------------------------------------------------------------------------- */

static mynah_status add_array(import *m, const char *array, const char *feature, bool is_image) {
  if (!array[0]) return MYNAH_OK;
  if (m->n == MAX_ARRAYS) return mynah_fail(MYNAH_LIMIT, "zarr: too many arrays");
  mynah__zarr *z = &m->arrays[m->n];
  MYNAH_TRY(mynah__zarr_open(m->data_folder, array, m->config->missing == 1, z));
  m->in->n = ++m->n;
  mynah_feature *f = &m->in->features[m->n - 1];
  if (is_image) {
    if (z->n_dims != 4 || z->dims[3] != 3 || z->item.kind == 'b')
      return mynah_fail(MYNAH_MISMATCH, "%s: pictures must be (frames, height, width, 3) numbers", z->path);
    *f = mynah_feature_image(feature, z->dims[1], z->dims[2]);
  } else {
    *f = mynah_feature_vector(feature, z->row_size, "", "");
    f->dtype = z->item.dtype;
  }
  mynah_status status = mynah_feature_check(f);
  return status == MYNAH_OK ? status : mynah_error_context(status, "%s", z->path);
}

/* An optional array that is absent is left out; one that was named explicitly must be there, so absence of the default
 * name only is forgiven. */
static mynah_status add_optional(import *m, const char *array, const char *by_default, const char *feature,
                                 bool is_image) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_path_join(path, sizeof path, m->data_folder, array));
  if (strcmp(array, by_default) == 0 && !mynah_file_exists(path)) return MYNAH_OK;
  return add_array(m, array, feature, is_image);
}

/* extra=a,b: pictures by their shape. */
static mynah_status add_extras(import *m) {
  char names[MYNAH_TEXT_MAX], feature[MYNAH_NAME_MAX + MYNAH_TEXT_MAX], *rest = names;
  snprintf(names, sizeof names, "%s", m->config->extra);
  for (char *name; (name = strsep(&rest, ","));) {
    mynah__zarr z;
    if (!name[0]) continue;
    MYNAH_TRY(mynah__zarr_open(m->data_folder, name, false, &z));
    bool is_image = z.n_dims == 4 && z.dims[3] == 3 && z.item.kind != 'b';
    mynah__zarr_close(&z);
    snprintf(feature, sizeof feature, "observation.%s%s", is_image ? "images." : "", name);
    if (strlen(feature) >= MYNAH_NAME_MAX) return mynah_fail(MYNAH_INVALID, "extra=%s: the name is too long", name);
    MYNAH_TRY(add_array(m, name, feature, is_image));
  }
  return MYNAH_OK;
}

/* Says which arrays are not brought in. */
static mynah_status tell_unused(const import *m) {
  char **names, path[MYNAH_PATH_MAX], meta[MYNAH_PATH_MAX];
  size_t n;
  mynah_str text = {0};
  MYNAH_TRY(mynah_list_dir(m->data_folder, &names, &n));
  for (size_t i = 0; i < n; i++) {
    bool is_used = false;
    if (mynah_path_join(path, sizeof path, m->data_folder, names[i]) != MYNAH_OK) continue;
    if (mynah_path_join(meta, sizeof meta, path, ".zarray") != MYNAH_OK || !mynah_file_exists(meta)) continue;
    for (int k = 0; k < m->n; k++) is_used = is_used || strcmp(m->arrays[k].path, path) == 0;
    if (!is_used) mynah_str_printf(&text, "%s%s", text.length > 0 ? "," : "", names[i]);
  }
  if (text.length > 0)
    mynah_log(MYNAH_LOG_INFO, "%s: left out: %s (extra=%s brings them in)", m->data_folder, mynah_str_text(&text),
              mynah_str_text(&text));
  mynah_str_deinit(&text);
  mynah_names_free(names, n);
  return MYNAH_OK;
}

/* Push-T: the names and units that sim=pusht gives. */
static mynah_status describe_pusht(import *m) {
  int state = mynah_feature_find(m->in->features, m->n, "observation.state");
  int action = mynah_feature_find(m->in->features, m->n, "action");
  int points = mynah_feature_find(m->in->features, m->n, "observation.environment_state");
  bool fits = state >= 0 && mynah_feature_size(&m->in->features[state]) == 5 && action >= 0 &&
              mynah_feature_size(&m->in->features[action]) == 2 &&
              (points < 0 || mynah_feature_size(&m->in->features[points]) == 18);
  if (m->config->task == TASK_NONE || (m->config->task == TASK_AUTO && !fits)) return MYNAH_OK;
  if (!fits)
    return mynah_fail(MYNAH_MISMATCH, "task=pusht: needs a state of 5, an action of 2, keypoints of 18 numbers");
  mynah_feature unused;
  mynah_pusht_features(&m->in->features[state], points >= 0 ? &m->in->features[points] : &unused, &m->in->features[action]);
  return MYNAH_OK;
}

static mynah_status read_ends(import *m, const char *path) {
  char folder[MYNAH_PATH_MAX];
  mynah__zarr z;
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, path, "meta"));
  MYNAH_TRY(mynah__zarr_open(folder, "episode_ends", false, &z));
  mynah_status status = MYNAH_OK;
  if (z.n_dims != 1 || z.dims[0] < 1 || z.dims[0] > 100000000)
    status = mynah_fail(MYNAH_CORRUPT, "%s: must list the ends of episodes", z.path);
  if (status == MYNAH_OK && !(m->ends = mynah_calloc((size_t)z.dims[0], sizeof *m->ends))) status = MYNAH_NO_MEMORY;
  for (int64_t i = 0, before = 0; status == MYNAH_OK && i < z.dims[0]; i++) {
    const uint8_t *row;
    status = mynah__zarr_row(&z, i, &row);
    if (status != MYNAH_OK) break;
    double end = mynah__item_number(&z.item, row);
    if (!(end > (double)before && end <= (double)m->n_frames))
      status = mynah_fail(MYNAH_CORRUPT, "%s: episode %lld ends at %g, after %lld of %lld frames", z.path, (long long)i,
                          end, (long long)before, (long long)m->n_frames);
    else before = m->ends[i] = (int64_t)end;
  }
  m->n_episodes = z.dims[0];
  mynah__zarr_close(&z);
  return status;
}

static mynah_status look(import *m, const char *path) {
  const zarr_config *c = m->config;
  char camera[MYNAH_NAME_MAX + MYNAH_TEXT_MAX];
  if (!mynah_file_exists(path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no such folder", path);
  MYNAH_TRY(mynah_path_join(m->data_folder, sizeof m->data_folder, path, "data"));
  snprintf(camera, sizeof camera, "observation.images.%s", c->camera);
  if (strlen(camera) >= MYNAH_NAME_MAX) return mynah_fail(MYNAH_INVALID, "camera=%s: the name is too long", c->camera);
  MYNAH_TRY(add_optional(m, c->state, "state", "observation.state", false));
  MYNAH_TRY(add_optional(m, c->environment, "keypoint", "observation.environment_state", false));
  MYNAH_TRY(add_optional(m, c->image, "img", camera, true));
  if (!c->action[0]) return mynah_fail(MYNAH_INVALID, "action=: must name an array");
  MYNAH_TRY(add_array(m, c->action, "action", false));
  MYNAH_TRY(add_extras(m));
  m->n_frames = m->arrays[0].dims[0];
  for (int i = 0; i < m->n; i++)
    if (m->arrays[i].dims[0] != m->n_frames)
      return mynah_fail(MYNAH_MISMATCH, "%s: has %lld rows, %s has %lld", m->arrays[i].path,
                        (long long)m->arrays[i].dims[0], m->arrays[0].path, (long long)m->n_frames);
  MYNAH_TRY(describe_pusht(m));
  MYNAH_TRY(tell_unused(m));
  return read_ends(m, path);
}

/* ---- frames
 * ---------------------------------------------------------------------------------------------------------- */

/* Pictures in floats are 0 … 255 when a value of the first chunk is over 1.5, else 0 … 1. */
static mynah_status find_scale(mynah__zarr *z, float *scale) {
  const uint8_t *row;
  *scale = 1;
  if (z->item.kind != 'f') return MYNAH_OK;
  MYNAH_TRY(mynah__zarr_row(z, 0, &row));
  size_t n = (size_t)(z->n_rows * z->row_size), item = (size_t)z->item.bytes;
  for (size_t k = 0; k < n; k++)
    if (mynah__item_number(&z->item, row + k * item) > 1.5) return MYNAH_OK;
  *scale = 255;
  return MYNAH_OK;
}

static mynah_status not_finite(const mynah__zarr *z, const uint8_t *row, int64_t frame) {
  int64_t k = 0;
  while (k + 1 < z->row_size && isfinite(mynah__item_number(&z->item, row + k * z->item.bytes))) k++;
  return mynah_fail(MYNAH_NONFINITE, "%s: row %lld, element %lld is not a finite number", z->path, (long long)frame,
                    (long long)k);
}

static mynah_status load_value(import *m, int i, int64_t frame) {
  const uint8_t *row;
  mynah__zarr *z = &m->arrays[i];
  bool is_finite = true;
  MYNAH_TRY(mynah__zarr_row(z, frame, &row));
  if (m->in->features[i].is_image) {
    is_finite = mynah__items_to_picture(&z->item, row, (size_t)z->row_size, m->scales[i], m->in->values[i]);
  } else {
    mynah__items_convert(&z->item, row, (size_t)z->row_size, m->in->values[i]);
    for (int64_t k = 0; k < z->row_size && z->item.kind == 'f'; k++)
      is_finite = is_finite && isfinite(mynah__item_number(&z->item, row + k * z->item.bytes));
  }
  return is_finite ? MYNAH_OK : not_finite(z, row, frame);
}

static mynah_status fetch(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns) {
  import *m = context;
  for (int i = 0; i < m->n; i++) MYNAH_TRY(load_value(m, i, m->from + t));
  return MYNAH_OK;
}

static mynah_status copy_all(import *m) {
  for (int i = 0; i < m->n; i++)
    if (m->in->features[i].is_image) MYNAH_TRY(find_scale(&m->arrays[i], &m->scales[i]));
  mynah_episode info = {.success = -1, .expert = "human"};
  for (int64_t e = 0; e < m->n_episodes; m->from = m->ends[e++]) {
    MYNAH_TRY(mynah__ingest_episode(m->in, &info, e, m->ends[e] - m->from, fetch, m));
    mynah_progress_tell(m->in->progress, "import", (double)m->ends[e], (double)m->n_frames, "frames", "");
  }
  return m->in->report.n_frames > 0 ? MYNAH_OK : mynah_fail(MYNAH_NONFINITE, "%s: no episode is left", m->in->path);
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  m->in = in;
  in->is_strict = m->config->nonfinite == 0;
  MYNAH_TRY(look(m, in->path));
  in->file.may_resume = true;
  MYNAH_TRY(mynah__ingest_create(in, &(mynah_dataset_config){.rate_hz = m->config->rate_hz,
                                                             .source = "import zarr",
                                                             .codec = (mynah_codec)m->config->codec,
                                                             .jpeg_quality = (int)m->config->jpeg_quality}));
  return copy_all(m);
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  for (int i = 0; i < m->n; i++) mynah__zarr_close(&m->arrays[i]);
  mynah_free(m->ends);
  mynah_free(m);
  return status;
}

const mynah_importer mynah__import_zarr = {"zarr", "Diffusion Policy replay buffers (zarr v2 folders)", &zarr_table,
                                           run};
