/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of CSV: a header, a row a frame. Columns NAME.ELEMENT, NAME[3] or NAME_3 side by side are one feature;
 * episode, time_s or time_ns, task are understood; a column of picture files is a camera. */
#include "ingest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)2 << 30)
#define MAX_PICTURE_BYTES ((size_t)32 << 20)
#define MAX_COLUMNS 1024

typedef struct column {
  int feature, element; /* feature −1: not one */
} column;

typedef struct import {
  const mynah__array_config *config;
  mynah__ingest *in;
  char *text, **rows; /* rows point into text */
  size_t n_rows, cap_rows;
  char *header[MAX_COLUMNS];
  column columns[MAX_COLUMNS];
  int n_columns, episode, time, task;
  double time_scale; /* to nanoseconds */
  char *fields[MAX_COLUMNS];
  char *pictures[MYNAH__MAX_FEATURES];
  size_t from;
} import;

/* Splits a line in place; "a ""b""" loses its quotes. Returns how many fields, at most MAX_COLUMNS. */
static int split_line(char *line, char **fields) {
  int n = 0;
  for (char *at = line; at && n < MAX_COLUMNS;) {
    char *to = at;
    bool is_quoted = *at == '"';
    fields[n++] = at;
    if (!is_quoted) {
      to = at + strcspn(at, ",\r");
      at = *to == ',' ? to + 1 : NULL;
    } else {
      for (at++; *at && !(at[0] == '"' && at[1] != '"'); *to++ = *at++) at += *at == '"';
      at += *at == '"';
      at = *at == ',' ? at + 1 : NULL;
    }
    *to = 0;
  }
  return n;
}

/* "action.x", "action[3]", "action_3", "observation.state.x", "force.x": the part before the element, or all of it. */
static size_t stem_length(const char *name) {
  static const char *const heads[] = {"action", "observation.", "next."};
  size_t n = strlen(name), k = n;
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; i < 3; i++) {
    size_t head = strlen(heads[i]);
    if (strncmp(name, heads[i], head) == 0 && (i > 0 || strchr(".[", name[head])))
      return head + strcspn(name + head, ".[");
  }
  if (n > 0 && name[n - 1] == ']' && strrchr(name, '[')) return (size_t)(strrchr(name, '[') - name);
  while (k > 0 && name[k - 1] >= '0' && name[k - 1] <= '9') k--;
  if (k < n && k > 1 && name[k - 1] == '_') return k - 1;
  return dot && dot > name ? (size_t)(dot - name) : n;
}

static bool is_picture_name(const char *text) {
  size_t n = strlen(text);
  return n > 4 &&
         (strcmp(text + n - 4, ".jpg") == 0 || strcmp(text + n - 4, ".png") == 0 || strcmp(text + n - 4, "jpeg") == 0);
}

/* The picture lies beside the file or below it. */
static mynah_status load_picture(const import *m, const char *name, char **data, size_t *bytes) {
  char folder[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX];
  const char *slash = strrchr(m->in->path, '/');
  if (!mynah_path_is_inside(name))
    return mynah_fail(MYNAH_INVALID, "%s: the picture '%.80s' is not below its folder", m->in->path, name);
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - m->in->path) : 1, slash ? m->in->path : ".");
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, name));
  const char *before = mynah_confine(folder);
  mynah_status status = mynah_file_read(path, MAX_PICTURE_BYTES, data, bytes);
  mynah_confine(before);
  return status;
}

static mynah_status add_camera(import *m, int k, const char *file) {
  char *data, name[MYNAH_NAME_MAX];
  size_t bytes;
  mynah_codec codec;
  int width, height;
  MYNAH_TRY(mynah__map_name(m->config->map, m->header[k], true, name));
  if (!name[0] || m->in->n == MYNAH__MAX_FEATURES) return MYNAH_OK;
  MYNAH_TRY(load_picture(m, file, &data, &bytes));
  bool is_known = mynah__picture_size(data, bytes, &codec, &width, &height);
  mynah_free(data);
  if (!is_known) return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%.80s' is neither JPEG nor PNG", m->in->path, file);
  m->columns[k].feature = m->in->n;
  m->in->features[m->in->n++] = mynah_feature_image(name, height, width);
  return MYNAH_OK;
}

/* The first of a run of columns with one stem makes the feature, with as many elements as there are. */
static mynah_status add_vector(import *m, int k, int *end) {
  static const mynah__item number = {'f', 8, MYNAH_F32, false};
  char stem[MYNAH_TEXT_MAX];
  size_t n = stem_length(m->header[k]);
  snprintf(stem, sizeof stem, "%.*s", (int)(n < sizeof stem ? n : sizeof stem - 1), m->header[k]);
  for (*end = k + 1;
       *end < m->n_columns && stem_length(m->header[*end]) == n && strncmp(m->header[*end], stem, n) == 0;)
    ++*end;
  int64_t size = *end - k;
  int at;
  MYNAH_TRY(mynah__ingest_field(m->in, m->config->map, stem, &number, 1, &size, &at));
  for (int i = k; i < *end; i++) {
    m->columns[i] = (column){at, i - k};
    const char *element = m->header[i] + n + strspn(m->header[i] + n, ".[_");
    if (at < 0 || size == 1) continue;
    char *names = m->in->features[at].names;
    size_t used = strlen(names);
    snprintf(names + used, sizeof m->in->features[at].names - used, "%s%.*s", i > k ? "," : "",
             (int)strcspn(element, "]"), element);
  }
  return MYNAH_OK;
}

static mynah_status read_header(import *m) {
  static const struct {
    const char *name;
    double scale;
  } times[] = {{"time_ns", 1},  {"timestamp_ns", 1}, {"time_ms", 1e6},  {"timestamp_ms", 1e6},
               {"time_s", 1e9}, {"time", 1e9},       {"timestamp", 1e9}};
  m->n_columns = split_line(m->rows[0], m->header);
  m->episode = m->time = m->task = -1;
  for (int k = 0; k < m->n_columns; k++) {
    m->columns[k].feature = -1;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
      if (strcmp(m->header[k], times[i].name) == 0) m->time = k, m->time_scale = times[i].scale;
    if (strcmp(m->header[k], "episode") == 0 || strcmp(m->header[k], "episode_index") == 0) m->episode = k;
    if (strcmp(m->header[k], "task") == 0) m->task = k;
  }
  size_t n = strlen(m->rows[1]);
  char *first = mynah_strdup(m->rows[1]);
  if (!first) return MYNAH_NO_MEMORY;
  int n_fields = n > 0 ? split_line(first, m->fields) : 0;
  mynah_status status = n_fields == m->n_columns ? MYNAH_OK
                                                 : mynah_fail(MYNAH_CORRUPT, "%s: line 2 has %d fields, the header %d",
                                                              m->in->path, n_fields, m->n_columns);
  for (int k = 0, end; k < m->n_columns && status == MYNAH_OK; k = end) {
    end = k + 1;
    if (k == m->episode || k == m->time || k == m->task) continue;
    status = is_picture_name(m->fields[k]) ? add_camera(m, k, m->fields[k]) : add_vector(m, k, &end);
  }
  mynah_free(first);
  return status;
}

/* ---- rows
 * -------------------------------------------------------------------------------------------------------------- */

static mynah_status take_number(const import *m, int64_t line, int k, double *out) {
  char *end;
  *out = strtod(m->fields[k], &end);
  if (end != m->fields[k] && *end == 0) return MYNAH_OK;
  return mynah_fail(MYNAH_CORRUPT, "%s: line %lld: '%.40s' in '%.40s' is no number", m->in->path, (long long)line,
                    m->fields[k], m->header[k]);
}

static mynah_status fetch(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns) {
  import *m = context;
  int64_t line = (int64_t)m->from + t + 1;
  if (split_line(m->rows[m->from + (size_t)t], m->fields) != m->n_columns)
    return mynah_fail(MYNAH_CORRUPT, "%s: line %lld has another number of fields than the header", m->in->path,
                      (long long)line);
  for (int k = 0; k < m->n_columns; k++) {
    double v;
    int f = m->columns[k].feature;
    if (k == m->time) {
      MYNAH_TRY(take_number(m, line, k, &v));
      char *end;
      *time_ns =
          m->time_scale == 1 ? strtoll(m->fields[k], &end, 10) : llround(fmax(-9e18, fmin(9e18, v * m->time_scale)));
    }
    if (f < 0) continue;
    if (!m->in->features[f].is_image) {
      MYNAH_TRY(take_number(m, line, k, &v));
      ((float *)(void *)m->in->values[f])[m->columns[k].element] = (float)v;
      continue;
    }
    mynah_free(m->pictures[f]);
    m->pictures[f] = NULL;
    size_t bytes;
    MYNAH_TRY(load_picture(m, m->fields[k], &m->pictures[f], &bytes));
    values[f] = (mynah_value){m->pictures[f], bytes, 0};
    is_encoded[f] = true;
  }
  return MYNAH_OK;
}

/* The field of a row that is still whole; short texts only. */
static void peek(const import *m, size_t row, int k, char *out, size_t size) {
  char *copy = mynah_strdup(m->rows[row]), *fields[MAX_COLUMNS];
  int n = copy ? split_line(copy, fields) : 0;
  snprintf(out, size, "%s", k >= 0 && k < n ? fields[k] : "");
  mynah_free(copy);
}

static mynah_status read_episodes(import *m) {
  char id[64], next[64];
  for (size_t to = 1, number = 0; to < m->n_rows; m->from = to, number++) {
    mynah_episode info = mynah__episode_of(m->config, "");
    peek(m, m->from = to, m->episode, id, sizeof id);
    if (m->task >= 0) peek(m, to, m->task, info.task, sizeof info.task);
    while (++to < m->n_rows) {
      if (m->episode < 0) continue;
      peek(m, to, m->episode, next, sizeof next);
      if (strcmp(id, next) != 0) break;
    }
    MYNAH_TRY(mynah__ingest_episode(m->in, &info, (int64_t)number, (int64_t)(to - m->from), fetch, m));
    mynah_progress_tell(m->in->progress, "import", (double)to, (double)m->n_rows, "rows", "");
  }
  return MYNAH_OK;
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  size_t length;
  m->in = in;
  MYNAH_TRY(mynah_file_read(in->path, MAX_BYTES, &m->text, &length));
  if (strlen(m->text) != length) return mynah_fail(MYNAH_CORRUPT, "%s: is no text", in->path);
  char *rest = m->text + (strncmp(m->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0);
  for (char *line; (line = strsep(&rest, "\n"));) {
    if (line[strspn(line, " \r")] == 0) continue;
    MYNAH_TRY(mynah_grow((void **)&m->rows, &m->cap_rows, m->n_rows + 1, sizeof *m->rows));
    m->rows[m->n_rows++] = line;
  }
  if (m->n_rows < 2) return mynah_fail(MYNAH_CORRUPT, "%s: needs a header and rows", in->path);
  MYNAH_TRY(read_header(m));
  in->file.may_resume = true;
  MYNAH_TRY(mynah__ingest_create_arrays(in, m->config, 0, "import csv"));
  return read_episodes(m);
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  for (int i = 0; i < MYNAH__MAX_FEATURES; i++) mynah_free(m->pictures[i]);
  mynah_free(m->rows);
  mynah_free(m->text);
  mynah_free(m);
  return status;
}

const mynah_importer mynah__import_csv = {
    "csv", "CSV with a header: action.x, observation.state[0], episode, time_s, picture files", &mynah__array_table,
    run};
