/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of zarr replay buffers, as Diffusion Policy keeps them: data/NAME arrays over all frames, meta/episode_ends. */
#include "store.h"
#include "zarr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ZARR_KEYS(K)                                                                               \
  K(STRING, state, "state", "state", 0, 0, "", "array that becomes observation.state; empty: none") \
  K(STRING, environment, "environment", "keypoint", 0, 0, "", "array that becomes observation.environment_state; empty: none") \
  K(STRING, image, "image", "img", 0, 0, "", "array of pictures; empty: none")                     \
  K(STRING, camera, "camera", "top", 0, 0, "", "its name: observation.images.CAMERA")              \
  K(STRING, action, "action", "action", 0, 0, "", "array that becomes action")                     \
  K(CHOICE, task, "task", "auto", 0, 0, "auto|pusht|none", "whose names, units and angles the features get; auto: by their shapes") \
  K(FLOAT, rate_hz, "rate_hz", 10, 0.001, 100000, "Hz", "control rate: such stores keep no time")  \
  K(CHOICE, codec, "codec", "png", 0, 0, "jpeg|png|raw", "how pictures are kept")                  \
  K(INT, jpeg_quality, "jpeg.quality", 95, 1, 100, "", "of codec=jpeg")                            \
  K(CHOICE, nonfinite, "nonfinite", "error", 0, 0, "error|skip", "an episode with a number that is not finite: give up, or leave it out and report it") \
  K(CHOICE, missing, "missing", "error", 0, 0, "error|fill", "a missing chunk: give up, or take the array's fill value")

typedef struct zarr_config {
#define ZARR_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  ZARR_KEYS(ZARR_FIELD)
} zarr_config;
#define ZARR_ROW(type, field, name, value, low, high, unit, help)                                  \
  MYNAH_KEY_OF(zarr_config, type, field, name, value, low, high, unit, help)
static const mynah_key zarr_keys[] = {ZARR_KEYS(ZARR_ROW)};
static const mynah_config_table zarr_table = {"zarr", zarr_keys, sizeof zarr_keys / sizeof *zarr_keys, sizeof(zarr_config)};

enum { TASK_AUTO, TASK_PUSHT, TASK_NONE };
#define MAX_ARRAYS 4

typedef struct import {
  const zarr_config *config;
  const mynah_progress *progress;
  mynah_import_report *report;
  char data_folder[MYNAH_PATH_MAX];
  mynah__zarr arrays[MAX_ARRAYS];
  mynah_feature features[MAX_ARRAYS];
  int n;
  void *values[MAX_ARRAYS]; /* one frame of each */
  double picture_scale;     /* 1 for 0 … 255, 255 for 0 … 1 */
  int64_t *ends, n_episodes, n_frames;
  mynah_dataset *dataset;
} import;

/* ---- what is there --------------------------------------------------------------------------------------------------- */

static mynah_status add_array(import *m, const char *array, const char *feature, bool is_image) {
  if (!array[0]) return MYNAH_OK;
  if (m->n == MAX_ARRAYS) return mynah_fail(MYNAH_LIMIT, "zarr: too many arrays");
  mynah__zarr *z = &m->arrays[m->n];
  MYNAH_TRY(mynah__zarr_open(m->data_folder, array, m->config->missing == 1, z));
  m->n++;
  mynah_feature *f = &m->features[m->n - 1];
  if (is_image) {
    if (z->n_dims != 4 || z->dims[3] != 3)
      return mynah_fail(MYNAH_MISMATCH, "%s: pictures must be (frames, height, width, 3)", z->path);
    *f = mynah_feature_image(feature, z->dims[1], z->dims[2]);
  } else {
    *f = mynah_feature_vector(feature, z->row_size, "", "");
  }
  return mynah_feature_check(f);
}

/* An optional array that is absent is left out; one that was named explicitly must be there, so absence of the default
 * name only is forgiven. */
static mynah_status add_optional(import *m, const char *array, const char *by_default, const char *feature, bool is_image) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_path_join(path, sizeof path, m->data_folder, array));
  if (strcmp(array, by_default) == 0 && !mynah_file_exists(path)) return MYNAH_OK;
  return add_array(m, array, feature, is_image);
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
  if (!fits) return mynah_fail(MYNAH_MISMATCH, "task=pusht: needs a state of 5, an action of 2, keypoints of 18 numbers");
  mynah_feature *f = &m->features[state];
  *f = mynah_feature_vector(f->name, 5, "agent_x,agent_y,block_x,block_y,block_angle", "px");
  f->angle_mask = 1 << 4;
  m->features[action] = mynah_feature_vector("action", 2, "x,y", "px");
  if (points >= 0) snprintf(m->features[points].unit, sizeof m->features[points].unit, "px");
  return MYNAH_OK;
}

static mynah_status read_ends(import *m, const char *path) {
  char folder[MYNAH_PATH_MAX];
  mynah__zarr z;
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, path, "meta"));
  MYNAH_TRY(mynah__zarr_open(folder, "episode_ends", false, &z));
  mynah_status status = MYNAH_OK;
  if (z.n_dims != 1 || z.dims[0] < 1 || z.dims[0] > 100000000) status = mynah_fail(MYNAH_CORRUPT, "%s: must list the ends of episodes", z.path);
  if (status == MYNAH_OK && !(m->ends = mynah_calloc((size_t)z.dims[0], sizeof *m->ends))) status = MYNAH_NO_MEMORY;
  for (int64_t i = 0, before = 0; status == MYNAH_OK && i < z.dims[0]; i++) {
    const double *row;
    status = mynah__zarr_row(&z, i, &row);
    if (status != MYNAH_OK) break;
    if (!(row[0] > (double)before && row[0] <= (double)m->n_frames))
      status = mynah_fail(MYNAH_CORRUPT, "%s: episode %lld ends at %g, after %lld of %lld frames", z.path, (long long)i, row[0],
                          (long long)before, (long long)m->n_frames);
    else before = m->ends[i] = (int64_t)row[0];
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
  MYNAH_TRY(add_array(m, c->action, "action", false));
  if (m->n == 0 || strcmp(m->features[m->n - 1].name, "action") != 0) return mynah_fail(MYNAH_INVALID, "action=: is empty");
  m->n_frames = m->arrays[0].dims[0];
  for (int i = 0; i < m->n; i++)
    if (m->arrays[i].dims[0] != m->n_frames)
      return mynah_fail(MYNAH_MISMATCH, "%s: has %lld rows, %s has %lld", m->arrays[i].path, (long long)m->arrays[i].dims[0],
                        m->arrays[0].path, (long long)m->n_frames);
  MYNAH_TRY(describe_pusht(m));
  return read_ends(m, path);
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* Pictures in floats are 0 … 255 when the first one has a value over 1.5, else 0 … 1. */
static mynah_status find_picture_scale(import *m) {
  m->picture_scale = 1;
  for (int i = 0; i < m->n; i++) {
    const double *row;
    if (!m->features[i].is_image || m->arrays[i].kind != 'f') continue;
    MYNAH_TRY(mynah__zarr_row(&m->arrays[i], 0, &row));
    double high = 0;
    for (int64_t k = 0; k < m->arrays[i].row_size; k++) high = row[k] > high ? row[k] : high;
    if (high <= 1.5) m->picture_scale = 255;
  }
  return MYNAH_OK;
}

static mynah_status load_value(import *m, int i, int64_t frame) {
  const double *row;
  mynah__zarr *z = &m->arrays[i];
  MYNAH_TRY(mynah__zarr_row(z, frame, &row));
  for (int64_t k = 0; k < z->row_size; k++) {
    if (!isfinite(row[k]))
      return mynah_fail(MYNAH_NONFINITE, "%s: row %lld, element %lld is not a finite number", z->path, (long long)frame,
                        (long long)k);
    if (m->features[i].is_image) {
      double v = row[k] * m->picture_scale + 0.5;
      ((uint8_t *)m->values[i])[k] = v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
    } else {
      ((float *)m->values[i])[k] = (float)row[k];
    }
  }
  return MYNAH_OK;
}

static mynah_status copy_episode(import *m, int64_t from, int64_t to) {
  mynah_value values[MAX_ARRAYS];
  for (int64_t t = from; t < to; t++) {
    for (int i = 0; i < m->n; i++) {
      MYNAH_TRY(load_value(m, i, t));
      values[i] = (mynah_value){m->values[i], mynah_feature_bytes(&m->features[i]), 0};
    }
    MYNAH_TRY(mynah_episode_add(m->dataset, (int64_t)((double)(t - from) * 1e9 / m->config->rate_hz), values, NULL));
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
  MYNAH_TRY(find_picture_scale(m));
  for (int64_t e = 0, from = 0; e < m->n_episodes; from = m->ends[e++]) {
    mynah_episode info = {.success = -1};
    snprintf(info.expert, sizeof info.expert, "human");
    MYNAH_TRY(mynah_episode_begin(m->dataset, &info));
    mynah_status status = copy_episode(m, from, m->ends[e]);
    if (status == MYNAH_NONFINITE && m->config->nonfinite == 1) {
      note_skipped(m, e);
      mynah_episode_discard(m->dataset);
      continue;
    }
    if (status == MYNAH_OK) status = mynah_episode_seal(m->dataset, NULL);
    MYNAH_TRY(status);
    m->report->n_episodes++;
    m->report->n_frames += m->ends[e] - from;
    mynah_progress_tell(m->progress, "import", (double)m->ends[e], (double)m->n_frames, "frames", "");
  }
  return MYNAH_OK;
}

static mynah_status run_import(import *m, const char *path, const char *out) {
  MYNAH_TRY(look(m, path));
  mynah_dataset_config c = {.features = m->features, .n_features = m->n, .rate_hz = m->config->rate_hz,
                            .robot = "", .source = "import zarr", .codec = (mynah_codec)m->config->codec,
                            .jpeg_quality = (int)m->config->jpeg_quality};
  MYNAH_TRY(mynah_dataset_create(out, &c, &m->dataset));
  mynah_status status = copy_all(m);
  mynah_dataset_close(m->dataset);
  return status;
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  mynah_import_report r = {.skipped = mynah_json_array()};
  char temporary[MYNAH_PATH_MAX];
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  m->progress = progress;
  m->report = &r;
  mynah_status status = mynah__import_begin(out_path, temporary);
  if (status == MYNAH_OK) status = mynah__import_end(run_import(m, path, temporary), temporary, out_path);
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

const mynah_importer mynah__import_zarr = {"zarr", "Diffusion Policy replay buffers (zarr v2 folders)", &zarr_table, run};
