/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of the Udacity driving simulator's recordings: driving_log.csv and a folder of JPEG pictures. */
#include "ingest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UDACITY_KEYS(K)                                                                                \
  K(FLOAT, gap_s, "gap_s", 1, 0.01, 86400, "s", "a longer pause between two pictures ends an episode") \
  K(BOOL, brake, "brake", true, 0, 1, "",                                                              \
    "throttle minus brake becomes the action's second element, else throttle alone")

typedef struct udacity_config {
#define UDACITY_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  UDACITY_KEYS(UDACITY_FIELD)
} udacity_config;
#define UDACITY_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(udacity_config, type, field, name, value, low, high, unit, help)
static const mynah_key udacity_keys[] = {UDACITY_KEYS(UDACITY_ROW)};
static const mynah_config_table udacity_table = {"udacity", udacity_keys, sizeof udacity_keys / sizeof *udacity_keys,
                                                 sizeof(udacity_config)};

#define MPH_IN_M_S 0.44704 /* the simulator writes miles per hour */
#define NS_PER_S 1000000000
#define MAX_LOG_BYTES ((size_t)256 << 20)
#define MAX_PICTURE_BYTES ((size_t)32 << 20)

typedef struct row {
  const char *pictures[3]; /* centre, left, right: base names; "" when absent */
  double steering, throttle, brake, speed;
  int64_t time_ns;
  int line;
} row;

typedef struct import {
  const udacity_config *config;
  mynah__ingest *in;
  char *text; /* the log; rows point into it */
  row *rows;
  size_t n_rows, cap_rows;
  bool has_sides;
} import;

/* ---- the log
 * --------------------------------------------------------------------------------------------------------- */

/* The last part of an absolute, relative or Windows path, without blanks around it. */
static const char *base_name(char *path) {
  while (isspace((unsigned char)*path)) path++;
  size_t n = strlen(path);
  while (n > 0 && isspace((unsigned char)path[n - 1])) path[--n] = 0;
  for (size_t i = n; i > 0; i--)
    if (path[i - 1] == '/' || path[i - 1] == '\\') return path + i;
  return path;
}

/* center_2016_12_01_13_30_48_287.jpg -> nanoseconds; -1 when the name does not say. */
static int64_t time_of(const char *name) {
  enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MS, N };
  static const int widths[N] = {4, 2, 2, 2, 2, 2, 3}, low[N] = {1970, 1, 1}, high[N] = {2200, 12, 31, 23, 59, 60, 999};
  int v[N] = {0};
  const char *p = name + strcspn(name, "0123456789");
  for (int i = 0; i < N; i++) {
    for (int k = 0; k < widths[i]; k++, p++) {
      if (*p < '0' || *p > '9') return -1;
      v[i] = 10 * v[i] + *p - '0';
    }
    if (v[i] < low[i] || v[i] > high[i] || (i < MS && *p++ != '_')) return -1;
  }
  struct tm t = {.tm_year = v[YEAR] - 1900,
                 .tm_mon = v[MONTH] - 1,
                 .tm_mday = v[DAY],
                 .tm_hour = v[HOUR],
                 .tm_min = v[MINUTE],
                 .tm_sec = v[SECOND]};
  return (int64_t)timegm(&t) * NS_PER_S + (int64_t)v[MS] * 1000000;
}

static bool read_number(const char *text, double *out) {
  char *end;
  *out = strtod(text, &end);
  while (isspace((unsigned char)*end)) end++;
  return end != text && *end == 0;
}

/* One line into fields; the row is kept, or reported and left out. */
static mynah_status take_line(import *m, char *line, int number) {
  char *fields[7], *rest = line;
  int n = 0;
  for (char *f; n < 7 && (f = strsep(&rest, ",")); n++) fields[n] = f;
  if (n == 1 && base_name(fields[0])[0] == 0) return MYNAH_OK;
  row r = {.line = number};
  if (n < 7 || !read_number(fields[3], &r.steering) || !read_number(fields[4], &r.throttle) ||
      !read_number(fields[5], &r.brake) || !read_number(fields[6], &r.speed)) {
    if (number > 1)
      mynah__ingest_skip(m->in, "line", number, "is not center,left,right,steering,throttle,brake,speed"); /* line 1: a header */
    return MYNAH_OK;
  }
  if (!isfinite(r.steering) || !isfinite(r.throttle) || !isfinite(r.brake) || !isfinite(r.speed))
    return mynah_fail(MYNAH_NONFINITE, "%s/driving_log.csv: line %d: a number is not finite", m->in->path, number);
  for (int i = 0; i < 3; i++) r.pictures[i] = base_name(fields[i]);
  r.time_ns = time_of(r.pictures[0]);
  MYNAH_TRY(mynah_grow((void **)&m->rows, &m->cap_rows, m->n_rows + 1, sizeof *m->rows));
  m->rows[m->n_rows++] = r;
  return MYNAH_OK;
}

static mynah_status read_log(import *m) {
  char path[MYNAH_PATH_MAX];
  size_t length;
  MYNAH_TRY(mynah_path_join(path, sizeof path, m->in->path, "driving_log.csv"));
  MYNAH_TRY(mynah_file_read(path, MAX_LOG_BYTES, &m->text, &length));
  if (strlen(m->text) != length) return mynah_fail(MYNAH_CORRUPT, "%s: is no text", path);
  char *rest = m->text, *line;
  for (int number = 1; (line = strsep(&rest, "\n")); number++) MYNAH_TRY(take_line(m, line, number));
  if (m->n_rows == 0)
    return mynah_fail(MYNAH_CORRUPT, "%s: has no rows of center,left,right,steering,throttle,brake,speed", path);
  return MYNAH_OK;
}

/* ---- pictures
 * -------------------------------------------------------------------------------------------------------- */

/* The picture lies in IMG/ or beside the log, whatever folder the log names. */
static bool find_picture(const import *m, const char *name, char path[MYNAH_PATH_MAX]) {
  if (!mynah_path_is_inside(name) || strchr(name, '/')) return false;
  int n = snprintf(path, MYNAH_PATH_MAX, "%s/IMG/%s", m->in->path, name);
  if (n < MYNAH_PATH_MAX && mynah_file_exists(path)) return true;
  n = snprintf(path, MYNAH_PATH_MAX, "%s/%s", m->in->path, name);
  return n < MYNAH_PATH_MAX && mynah_file_exists(path);
}

/* Rows without their centre picture go; side cameras are used when every row that stays has both. */
static mynah_status check_pictures(import *m) {
  char path[MYNAH_PATH_MAX];
  size_t kept = 0, n_sides = 0;
  for (size_t i = 0; i < m->n_rows; i++) {
    if (!find_picture(m, m->rows[i].pictures[0], path)) {
      mynah__ingest_skip(m->in, "line", m->rows[i].line, "the centre picture is missing");
      continue;
    }
    n_sides += find_picture(m, m->rows[i].pictures[1], path) && find_picture(m, m->rows[i].pictures[2], path);
    m->rows[kept++] = m->rows[i];
  }
  m->n_rows = kept;
  if (kept == 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: none of the log's pictures is there", m->in->path);
  m->has_sides = n_sides == kept;
  if (n_sides > 0 && n_sides < kept)
    mynah_log(MYNAH_LOG_WARNING, "%s: side cameras left out: only %zu of %zu rows have them", m->in->path, n_sides, kept);
  mynah_image picture;
  if (!find_picture(m, m->rows[0].pictures[0], path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: vanished", path);
  MYNAH_TRY(mynah_image_load(path, &picture));
  static const char *const names[3] = {"observation.images.front", "observation.images.left",
                                       "observation.images.right"};
  for (int i = 0; i < (m->has_sides ? 3 : 1); i++) {
    m->in->features[m->in->n] = mynah_feature_image(names[i], picture.height, picture.width);
    m->in->features[m->in->n++].is_mirrorable = true;
  }
  mynah_image_deinit(&picture);
  m->in->features[m->in->n] = mynah_feature_vector("observation.state", 1, "speed", "m/s");
  mynah_feature_mirror(&m->in->features[m->in->n++], (int[]){1}, NULL);
  m->in->features[m->in->n] = mynah_feature_vector("action", 2, "steering,throttle", "");
  mynah_feature_mirror(&m->in->features[m->in->n++], (int[]){-1, 2}, NULL);
  return MYNAH_OK;
}

/* ---- frames
 * ---------------------------------------------------------------------------------------------------------- */

static mynah_status add_row(import *m, const row *r, int64_t time_ns) {
  mynah_value values[5];
  char *blobs[3] = {NULL};
  static const bool is_encoded[5] = {true, true, true, false, false};
  int n_pictures = m->has_sides ? 3 : 1;
  mynah_status status = MYNAH_OK;
  for (int i = 0; i < n_pictures && status == MYNAH_OK; i++) {
    char path[MYNAH_PATH_MAX];
    size_t bytes = 0;
    mynah_image picture;
    if (!find_picture(m, r->pictures[i], path)) status = mynah_fail(MYNAH_NOT_FOUND, "%s: vanished", path);
    if (status == MYNAH_OK) status = mynah_file_read(path, MAX_PICTURE_BYTES, &blobs[i], &bytes);
    if (status == MYNAH_OK) status = mynah_image_decode(blobs[i], bytes, 0, 0, &picture);
    if (status != MYNAH_OK) break;
    if (picture.width != m->in->features[0].dims[1] || picture.height != m->in->features[0].dims[0])
      status = mynah_fail(MYNAH_MISMATCH, "%s: has another size than the first picture", path);
    mynah_image_deinit(&picture);
    values[i] = (mynah_value){blobs[i], bytes, 0};
  }
  float speed = (float)(r->speed * MPH_IN_M_S);
  float action[2] = {(float)r->steering, (float)(r->throttle - (m->config->brake ? r->brake : 0))};
  values[n_pictures] = (mynah_value){&speed, sizeof speed, 0};
  values[n_pictures + 1] = (mynah_value){action, sizeof action, 0};
  if (status == MYNAH_OK) status = mynah_episode_add(m->in->file.dataset, time_ns, values, is_encoded + 3 - n_pictures);
  for (int i = 0; i < 3; i++) mynah_free(blobs[i]);
  return status;
}

/* Rows from … to-1 as one episode; a row whose picture is damaged is reported and left out. */
static mynah_status add_episode(import *m, size_t from, size_t to, double rate_hz) {
  mynah_episode info = {.success = -1};
  snprintf(info.task, sizeof info.task, "drive");
  snprintf(info.expert, sizeof info.expert, "human");
  int64_t n = 0;
  MYNAH_TRY(mynah_episode_begin(m->in->file.dataset, &info));
  for (size_t i = from; i < to; i++) {
    int64_t time_ns = m->rows[i].time_ns >= 0 ? m->rows[i].time_ns : (int64_t)((double)(i - from) * 1e9 / rate_hz);
    mynah_status status = add_row(m, &m->rows[i], time_ns);
    if (status == MYNAH_CORRUPT || status == MYNAH_MISMATCH || status == MYNAH_UNSUPPORTED) {
      mynah__ingest_skip(m->in, "line", m->rows[i].line, mynah_error());
      continue;
    }
    MYNAH_TRY(status);
    n++;
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "import: interrupted; nothing was written");
  }
  mynah_progress_tell(m->in->progress, "import", (double)to, (double)m->n_rows, "frames", "");
  if (n == 0) {
    mynah_episode_discard(m->in->file.dataset);
    return MYNAH_OK;
  }
  m->in->report.n_episodes++;
  m->in->report.n_frames += n;
  return mynah_episode_seal(m->in->file.dataset, NULL);
}

/* Frames a second while driving: the median step. */
static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static mynah_status measure_rate(const import *m, double *rate_hz) {
  int64_t *steps = mynah_calloc(m->n_rows, sizeof *steps);
  size_t n = 0;
  if (!steps) return MYNAH_NO_MEMORY;
  for (size_t i = 1; i < m->n_rows; i++)
    if (m->rows[i].time_ns > m->rows[i - 1].time_ns && m->rows[i - 1].time_ns >= 0)
      steps[n++] = m->rows[i].time_ns - m->rows[i - 1].time_ns;
  qsort(steps, n, sizeof *steps, by_value);
  *rate_hz = n > 0 ? round(1e10 / (double)steps[n / 2]) / 10 : 10;
  if (*rate_hz < 0.1) *rate_hz = 0.1;
  mynah_free(steps);
  return MYNAH_OK;
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  m->in = in;
  double rate_hz;
  MYNAH_TRY(read_log(m));
  MYNAH_TRY(check_pictures(m));
  MYNAH_TRY(measure_rate(m, &rate_hz));
  MYNAH_TRY(mynah__ingest_create(
      m->in, &(mynah_dataset_config){.rate_hz = rate_hz, .robot = "udacity simulator", .source = "import udacity"}));
  for (size_t from = 0, to; from < m->n_rows; from = to) {
    for (to = from + 1; to < m->n_rows; to++) {
      double step_s = (double)(m->rows[to].time_ns - m->rows[to - 1].time_ns) * 1e-9;
      if (step_s < 0 || step_s > m->config->gap_s) break;
    }
    MYNAH_TRY(add_episode(m, from, to, rate_hz));
  }
  return m->in->report.n_frames > 0 ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "%s: no picture could be read", m->in->path);
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  mynah_free(m->rows);
  mynah_free(m->text);
  mynah_free(m);
  return status;
}

const mynah_importer mynah__import_udacity = {
    "udacity", "the Udacity driving simulator's recordings (driving_log.csv, IMG/)", &udacity_table, run};
