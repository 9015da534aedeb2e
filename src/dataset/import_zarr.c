/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of zarr replay buffers, as Diffusion Policy keeps them: data/NAME arrays over all frames, meta/episode_ends.
 */
#include "store.h"
#include "zarr.h"

#include <float.h>
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
  const mynah_progress *progress;
  mynah_import_report *report;
  char data_folder[MYNAH_PATH_MAX];
  mynah__zarr arrays[MAX_ARRAYS];
  mynah_feature features[MAX_ARRAYS];
  int n;
  void *values[MAX_ARRAYS]; /* one frame of each */
  float scales[MAX_ARRAYS]; /* of pictures: 1 for 0 … 255, 255 for 0 … 1 */
  int64_t *ends, n_episodes, n_frames;
  mynah__import_file file;
} import;

/* ---- what is there
 * --------------------------------------------------------------------------------------------------- */

static mynah_status add_array(import *m, const char *array, const char *feature, bool is_image) {
  if (!array[0]) return MYNAH_OK;
  if (m->n == MAX_ARRAYS) return mynah_fail(MYNAH_LIMIT, "zarr: too many arrays");
  mynah__zarr *z = &m->arrays[m->n];
  MYNAH_TRY(mynah__zarr_open(m->data_folder, array, m->config->missing == 1, z));
  m->n++;
  mynah_feature *f = &m->features[m->n - 1];
  if (is_image) {
    if (z->n_dims != 4 || z->dims[3] != 3 || z->kind == 'b')
      return mynah_fail(MYNAH_MISMATCH, "%s: pictures must be (frames, height, width, 3) numbers", z->path);
    *f = mynah_feature_image(feature, z->dims[1], z->dims[2]);
  } else {
    *f = mynah_feature_vector(feature, z->row_size, "", "");
    f->dtype = z->dtype;
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
    bool is_image = z.n_dims == 4 && z.dims[3] == 3 && z.kind != 'b';
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
  int state = mynah_feature_find(m->features, m->n, "observation.state");
  int action = mynah_feature_find(m->features, m->n, "action");
  int points = mynah_feature_find(m->features, m->n, "observation.environment_state");
  bool fits = state >= 0 && mynah_feature_size(&m->features[state]) == 5 && action >= 0 &&
              mynah_feature_size(&m->features[action]) == 2 &&
              (points < 0 || mynah_feature_size(&m->features[points]) == 18);
  if (m->config->task == TASK_NONE || (m->config->task == TASK_AUTO && !fits)) return MYNAH_OK;
  if (!fits)
    return mynah_fail(MYNAH_MISMATCH, "task=pusht: needs a state of 5, an action of 2, keypoints of 18 numbers");
  mynah_feature unused;
  mynah_pusht_features(&m->features[state], points >= 0 ? &m->features[points] : &unused, &m->features[action]);
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
    double end = mynah__zarr_number(&z, row);
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
  if (z->kind != 'f') return MYNAH_OK;
  MYNAH_TRY(mynah__zarr_row(z, 0, &row));
  size_t n = (size_t)(z->n_rows * z->row_size), item = (size_t)z->item_bytes;
  for (size_t k = 0; k < n; k++)
    if (mynah__zarr_number(z, row + k * item) > 1.5) return MYNAH_OK;
  *scale = 255;
  return MYNAH_OK;
}

static mynah_status not_finite(const mynah__zarr *z, const uint8_t *row, int64_t frame) {
  int64_t k = 0;
  while (k + 1 < z->row_size && isfinite(mynah__zarr_number(z, row + k * z->item_bytes))) k++;
  return mynah_fail(MYNAH_NONFINITE, "%s: row %lld, element %lld is not a finite number", z->path, (long long)frame,
                    (long long)k);
}

/* Pictures to 0 … 255, rounded; false: a number is not finite. The plain loop over floats is most of an import. */
static bool convert_picture(const mynah__zarr *z, const uint8_t *row, float scale, uint8_t *out) {
  size_t n = (size_t)z->row_size, item = (size_t)z->item_bytes;
  bool is_finite = true;
  if (z->kind == 'u' && item == 1) {
    memcpy(out, row, n);
  } else if (z->kind == 'f' && item == 4) {
    const float *v = (const float *)(const void *)row;
    int n_bad = 0;
    for (size_t k = 0; k < n; k++) {
      float x = v[k] * scale + 0.5F;
      n_bad |= !(fabsf(v[k]) <= FLT_MAX);
      x = x > 0 ? x : 0;
      out[k] = (uint8_t)(int)(x < 255 ? x : 255);
    }
    is_finite = n_bad == 0;
  } else {
    for (size_t k = 0; k < n; k++) {
      double x = mynah__zarr_number(z, row + k * item);
      is_finite = is_finite && isfinite(x);
      x = x * (double)scale + 0.5;
      out[k] = (uint8_t)(x > 0 ? (x < 255 ? x : 255) : 0);
    }
  }
  return is_finite;
}

static mynah_status load_value(import *m, int i, int64_t frame) {
  const uint8_t *row;
  mynah__zarr *z = &m->arrays[i];
  bool is_finite = true;
  MYNAH_TRY(mynah__zarr_row(z, frame, &row));
  if (m->features[i].is_image) {
    is_finite = convert_picture(z, row, m->scales[i], m->values[i]);
  } else {
    mynah__zarr_convert(z, row, m->values[i]);
    for (int64_t k = 0; k < z->row_size && z->kind == 'f'; k++)
      is_finite = is_finite && isfinite(mynah__zarr_number(z, row + k * z->item_bytes));
  }
  return is_finite ? MYNAH_OK : not_finite(z, row, frame);
}

static mynah_status copy_episode(import *m, int64_t from, int64_t to) {
  mynah_value values[MAX_ARRAYS];
  for (int64_t t = from; t < to; t++) {
    for (int i = 0; i < m->n; i++) {
      MYNAH_TRY(load_value(m, i, t));
      values[i] = (mynah_value){m->values[i], mynah_feature_bytes(&m->features[i]), 0};
    }
    MYNAH_TRY(mynah_episode_add(m->file.dataset, llround((double)(t - from) * 1e9 / m->config->rate_hz), values, NULL));
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "import: interrupted; nothing was written");
  }
  return MYNAH_OK;
}

static void note_skipped(import *m, int64_t episode) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "episode", mynah_json_integer(episode));
  mynah_json_set(j, "why", mynah_json_string(mynah_error()));
  mynah_json_append(m->report->skipped, j);
  m->report->n_skipped++;
}

static mynah_status copy_all(import *m) {
  for (int i = 0; i < m->n; i++)
    if (!(m->values[i] = mynah_calloc(1, mynah_feature_bytes(&m->features[i])))) return MYNAH_NO_MEMORY;
  for (int i = 0; i < m->n; i++)
    if (m->features[i].is_image) MYNAH_TRY(find_scale(&m->arrays[i], &m->scales[i]));
  for (int64_t e = 0, from = 0; e < m->n_episodes; from = m->ends[e++]) {
    mynah_episode info = {.success = -1};
    snprintf(info.expert, sizeof info.expert, "human");
    MYNAH_TRY(mynah_episode_begin(m->file.dataset, &info));
    mynah_status status = copy_episode(m, from, m->ends[e]);
    if (status == MYNAH_NONFINITE && m->config->nonfinite == 1) {
      note_skipped(m, e);
      mynah_episode_discard(m->file.dataset);
      continue;
    }
    if (status == MYNAH_OK) status = mynah_episode_seal(m->file.dataset, NULL);
    MYNAH_TRY(status);
    m->report->n_episodes++;
    m->report->n_frames += m->ends[e] - from;
    mynah_progress_tell(m->progress, "import", (double)m->ends[e], (double)m->n_frames, "frames", "");
  }
  return MYNAH_OK;
}

static mynah_status run_import(import *m, const char *path, const char *out_path) {
  MYNAH_TRY(mynah__import_begin(out_path, &m->file));
  MYNAH_TRY(look(m, path));
  mynah_dataset_config c = {.features = m->features,
                            .n_features = m->n,
                            .rate_hz = m->config->rate_hz,
                            .robot = "",
                            .source = "import zarr",
                            .codec = (mynah_codec)m->config->codec,
                            .jpeg_quality = (int)m->config->jpeg_quality};
  MYNAH_TRY(mynah__import_create(&m->file, &c));
  MYNAH_TRY(copy_all(m));
  return m->report->n_frames > 0 ? MYNAH_OK : mynah_fail(MYNAH_NONFINITE, "%s: no episode is left", path);
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  mynah_import_report r = {.skipped = mynah_json_array()};
  m->config = config;
  m->progress = progress;
  m->report = &r;
  mynah_status status = mynah__import_end(&m->file, run_import(m, path, out_path));
  for (int i = 0; i < m->n; i++) {
    mynah__zarr_close(&m->arrays[i]);
    mynah_free(m->values[i]);
  }
  mynah_free(m->ends);
  mynah_free(m);
  if (status != MYNAH_OK) {
    mynah_json_destroy(r.skipped);
    return status;
  }
  *report = r;
  return MYNAH_OK;
}

const mynah_importer mynah__import_zarr = {"zarr", "Diffusion Policy replay buffers (zarr v2 folders)", &zarr_table,
                                           run};
