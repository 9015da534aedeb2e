/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of Donkeycar tubs: version 2 (manifest.json, catalogues of one record a line) and version 1 (record_N.json).
 */
#include "ingest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)256 << 20)
#define MAX_PICTURE_BYTES ((size_t)32 << 20)
#define MAX_RECORDS 100000000

typedef struct record {
  char picture[128], session[64];
  double angle, throttle;
  int64_t index, time_ns; /* −1: not said */
} record;

typedef struct import {
  const mynah__array_config *config;
  mynah__ingest *in;
  record *records;
  size_t n, capacity, from;
  int64_t *deleted;
  size_t n_deleted;
  char *blob;
} import;

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int by_index(const void *a, const void *b) {
  return by_value(&((const record *)a)->index, &((const record *)b)->index);
}

static mynah_status take_record(import *m, const mynah_json *j, int64_t index) {
  const char *picture = mynah_json_to_string(mynah_json_get(j, "cam/image_array"), "");
  const mynah_json *angle = mynah_json_get(j, "user/angle"), *throttle = mynah_json_get(j, "user/throttle");
  record r = {.index = mynah_json_to_integer(mynah_json_get(j, "_index"), index), .time_ns = -1};
  if (!mynah_json_is_number(angle) || !mynah_json_is_number(throttle) || !picture[0] ||
      strlen(picture) >= sizeof r.picture)
    return mynah__ingest_skip(m->in, "record", r.index, "lacks cam/image_array, user/angle or user/throttle"), MYNAH_OK;
  if (m->n_deleted > 0 && bsearch(&r.index, m->deleted, m->n_deleted, sizeof *m->deleted, by_value))
    return MYNAH_OK; /* the driver threw it away */
  int64_t ms = mynah_json_to_integer(mynah_json_get(j, "_timestamp_ms"),
                                     mynah_json_to_integer(mynah_json_get(j, "milliseconds"), -1));
  if (ms >= 0 && ms < INT64_MAX / 1000000) r.time_ns = ms * 1000000;
  r.angle = mynah_json_to_number(angle, 0);
  r.throttle = mynah_json_to_number(throttle, 0);
  snprintf(r.picture, sizeof r.picture, "%s", picture);
  snprintf(r.session, sizeof r.session, "%.63s", mynah_json_to_string(mynah_json_get(j, "_session_id"), ""));
  if (m->n >= MAX_RECORDS) return mynah_fail(MYNAH_LIMIT, "%s: too many records", m->in->path);
  MYNAH_TRY(mynah_grow((void **)&m->records, &m->capacity, m->n + 1, sizeof *m->records));
  m->records[m->n++] = r;
  return MYNAH_OK;
}

/* ---- version 2
 * -------------------------------------------------------------------------------------------------------- */

/* A bad line, as a killed recorder leaves, is reported and left out. */
static mynah_status read_catalog(import *m, const char *name) {
  char path[MYNAH_PATH_MAX], *text;
  size_t length;
  if (!mynah_path_is_inside(name))
    return mynah_fail(MYNAH_INVALID, "%s: the catalogue '%.80s' is not inside it", m->in->path, name);
  MYNAH_TRY(mynah_path_join(path, sizeof path, m->in->path, name));
  MYNAH_TRY(mynah_file_read(path, MAX_FILE_BYTES, &text, &length));
  char *rest = text;
  mynah_status status = MYNAH_OK;
  for (char *line; status == MYNAH_OK && (line = strsep(&rest, "\n"));) {
    mynah_json *j;
    if (line[strspn(line, " \r")] == 0) continue;
    status = mynah_json_parse(line, strlen(line), &j);
    if (status == MYNAH_OK) {
      status = take_record(m, j, (int64_t)m->n);
      mynah_json_destroy(j);
    } else if (status == MYNAH_CORRUPT) {
      mynah__ingest_skip(m->in, "record", (int64_t)m->n, mynah_error());
      status = MYNAH_OK;
    }
  }
  mynah_free(text);
  return status;
}

/* The last line that is an object with "paths". */
static mynah_status read_manifest(import *m, const char *path) {
  char *text;
  size_t length;
  mynah_json *manifest = NULL;
  MYNAH_TRY(mynah_file_read(path, MAX_FILE_BYTES, &text, &length));
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));) {
    mynah_json *j;
    if (line[0] != '{' || mynah_json_parse(line, strlen(line), &j) != MYNAH_OK) continue;
    mynah_json_destroy(mynah_json_get(j, "paths") ? manifest : j);
    if (mynah_json_get(j, "paths")) manifest = j;
  }
  mynah_free(text);
  if (!manifest) return mynah_fail(MYNAH_CORRUPT, "%s: names no catalogues", path);
  const mynah_json *deleted = mynah_json_get(manifest, "deleted_indexes"), *paths = mynah_json_get(manifest, "paths");
  m->deleted = mynah_calloc(mynah_json_size(deleted) + 1, sizeof *m->deleted);
  mynah_status status = m->deleted ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (size_t i = 0; m->deleted && i < mynah_json_size(deleted); i++)
    m->deleted[m->n_deleted++] = mynah_json_to_integer(mynah_json_at(deleted, i), -1);
  if (m->n_deleted > 0) qsort(m->deleted, m->n_deleted, sizeof *m->deleted, by_value);
  for (size_t i = 0; i < mynah_json_size(paths) && status == MYNAH_OK; i++)
    status = read_catalog(m, mynah_json_to_string(mynah_json_at(paths, i), ""));
  mynah_json_destroy(manifest);
  return status;
}

/* ---- version 1
 * -------------------------------------------------------------------------------------------------------- */

static mynah_status read_records(import *m) {
  char **names, path[MYNAH_PATH_MAX];
  size_t n;
  MYNAH_TRY(mynah_list_dir(m->in->path, &names, &n));
  mynah_status status = MYNAH_OK;
  for (size_t i = 0; i < n && status == MYNAH_OK; i++) {
    mynah_json *j;
    char *end;
    if (strncmp(names[i], "record_", 7) != 0 || !isdigit((unsigned char)names[i][7])) continue;
    int64_t index = strtoll(names[i] + 7, &end, 10);
    if (strcmp(end, ".json") != 0 || mynah_path_join(path, sizeof path, m->in->path, names[i]) != MYNAH_OK) continue;
    status = mynah_json_load(path, &j);
    if (status == MYNAH_OK) {
      status = take_record(m, j, index);
      mynah_json_destroy(j);
    } else if (mynah__ingest_is_bad(status)) {
      mynah__ingest_skip(m->in, "record", index, mynah_error());
      status = MYNAH_OK;
    }
  }
  mynah_names_free(names, n);
  return status;
}

/* ---- frames
 * ----------------------------------------------------------------------------------------------------------- */

static mynah_status load_picture(import *m, const record *r, size_t *bytes) {
  char name[160], path[MYNAH_PATH_MAX];
  mynah_free(m->blob);
  m->blob = NULL;
  if (!mynah_path_is_inside(r->picture))
    return mynah_fail(MYNAH_INVALID, "%s: the picture '%s' is not inside it", m->in->path, r->picture);
  snprintf(name, sizeof name, "images/%s", r->picture);
  MYNAH_TRY(mynah_path_join(path, sizeof path, m->in->path, name));
  if (!mynah_file_exists(path)) MYNAH_TRY(mynah_path_join(path, sizeof path, m->in->path, r->picture));
  return mynah_file_read(path, MAX_PICTURE_BYTES, &m->blob, bytes);
}

static mynah_status fetch(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns) {
  import *m = context;
  const record *r = &m->records[m->from + (size_t)t];
  size_t bytes;
  MYNAH_TRY(load_picture(m, r, &bytes));
  float action[2] = {(float)r->angle, (float)r->throttle};
  memcpy(m->in->values[1], action, sizeof action);
  values[0] = (mynah_value){m->blob, bytes, 0};
  is_encoded[0] = true;
  if (r->time_ns >= 0) *time_ns = r->time_ns;
  return MYNAH_OK;
}

/* Records without a readable picture go before episodes are made, so that one lost picture does not lose a session. */
static mynah_status check_pictures(import *m) {
  size_t kept = 0, bytes;
  for (size_t i = 0; i < m->n; i++) {
    mynah_codec codec;
    int width = 0, height = 0;
    mynah_status status = load_picture(m, &m->records[i], &bytes);
    if (status == MYNAH_OK && !mynah__picture_size(m->blob, bytes, &codec, &width, &height))
      status = mynah_fail(MYNAH_CORRUPT, "the picture '%s' is neither JPEG nor PNG", m->records[i].picture);
    if (status == MYNAH_OK && (width > MYNAH_IMAGE_MAX_SIDE || height > MYNAH_IMAGE_MAX_SIDE ||
                               (size_t)width * (size_t)height * 3 > MYNAH__MAX_PICTURE_BYTES))
      status = mynah_fail(MYNAH_LIMIT, "the picture '%s' of %d x %d px is too large", m->records[i].picture, width, height);
    if (status == MYNAH_OK && m->in->n == 0)
      m->in->features[m->in->n++] = mynah_feature_image("observation.images.front", height, width);
    if (status == MYNAH_OK && (m->in->features[0].dims[0] != height || m->in->features[0].dims[1] != width))
      status = mynah_fail(MYNAH_MISMATCH, "the picture '%s' has another size than the first", m->records[i].picture);
    if (status == MYNAH_OK) m->records[kept++] = m->records[i];
    else if (mynah__ingest_is_bad(status)) mynah__ingest_skip(m->in, "record", m->records[i].index, mynah_error());
    else return status;
  }
  m->n = kept;
  if (kept > 0) return MYNAH_OK;
  const mynah_json *why = mynah_json_get(mynah_json_at(m->in->report.skipped, 0), "why");
  return mynah_fail(MYNAH_NOT_FOUND, "%s: has no record with a picture; first: %s", m->in->path, mynah_json_to_string(why, "it has no records"));
}

/* Frames a second by the median step; 20, Donkeycar's own, when times are not said. */
static mynah_status measure_rate(const import *m, double *rate_hz) {
  int64_t *steps = mynah_calloc(m->n, sizeof *steps);
  size_t n = 0;
  if (!steps) return MYNAH_NO_MEMORY;
  for (size_t i = 1; i < m->n; i++)
    if (m->records[i - 1].time_ns >= 0 && m->records[i].time_ns > m->records[i - 1].time_ns)
      steps[n++] = m->records[i].time_ns - m->records[i - 1].time_ns;
  qsort(steps, n, sizeof *steps, by_value);
  *rate_hz = n > 0 ? fmax(0.1, round(1e10 / (double)steps[n / 2]) / 10) : 20;
  mynah_free(steps);
  return MYNAH_OK;
}

/* A session, a pause of over a second, time running back, or deleted records between end an episode. */
static bool is_break(const record *a, const record *b) {
  bool has_times = a->time_ns >= 0 && b->time_ns >= 0;
  return strcmp(a->session, b->session) != 0 || b->index != a->index + 1 ||
         (has_times && (b->time_ns < a->time_ns || b->time_ns - a->time_ns > 1000000000));
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  char manifest[MYNAH_PATH_MAX];
  double rate_hz;
  m->in = in;
  MYNAH_TRY(mynah_path_join(manifest, sizeof manifest, in->path, "manifest.json"));
  MYNAH_TRY(mynah_file_exists(manifest) ? read_manifest(m, manifest) : read_records(m));
  if (m->n > 0) qsort(m->records, m->n, sizeof *m->records, by_index);
  MYNAH_TRY(check_pictures(m));
  in->features[0].is_mirrorable = true;
  in->features[in->n] = mynah_feature_vector("action", 2, "steering,throttle", "");
  mynah_feature_mirror(&in->features[in->n++], (int[]){-1, 2}, NULL);
  MYNAH_TRY(measure_rate(m, &rate_hz));
  in->file.may_resume = true;
  MYNAH_TRY(mynah__ingest_create_arrays(in, m->config, rate_hz, "import tub"));
  mynah_episode info = mynah__episode_of(m->config, "human");
  if (!info.task[0]) snprintf(info.task, sizeof info.task, "drive");
  for (size_t to, number = 0; m->from < m->n; m->from = to, number++) {
    for (to = m->from + 1; to < m->n && !is_break(&m->records[to - 1], &m->records[to]);) to++;
    MYNAH_TRY(mynah__ingest_episode(in, &info, (int64_t)number, (int64_t)(to - m->from), fetch, m));
    mynah_progress_tell(in->progress, "import", (double)to, (double)m->n, "frames", "");
  }
  return MYNAH_OK;
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  mynah_free(m->records);
  mynah_free(m->deleted);
  mynah_free(m->blob);
  mynah_free(m);
  return status;
}

const mynah_importer mynah__import_tub = {"tub", "Donkeycar tubs, versions 1 and 2", &mynah__array_table, run};
