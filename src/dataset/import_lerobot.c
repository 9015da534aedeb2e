/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of LeRobot data sets v2.0, v2.1 and v3.0: meta/info.json, Parquet files below data/, tasks, pictures in the
 * files or in videos. Which file holds which episode is read from the files themselves. */
#include "ingest.h"
#include "parquet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEROBOT_KEYS(K)                                                                                        \
  K(STRING, map, "map", "", 0, 0, "", MYNAH__MAP_HELP)                                                         \
  K(CHOICE, cameras, "cameras", "auto", 0, 0, "auto|need|none",                                                \
    "auto: cameras whose videos are all there; need: episodes without a video are left out; none: no cameras") \
  K(CHOICE, codec, "codec", "jpeg", 0, 0, "jpeg|png|raw", "how frames of videos are kept")                     \
  K(INT, jpeg_quality, "jpeg.quality", 95, 1, 100, "", "of codec=jpeg")

typedef struct lerobot_config {
#define LEROBOT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  LEROBOT_KEYS(LEROBOT_FIELD)
} lerobot_config;
#define LEROBOT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(lerobot_config, type, field, name, value, low, high, unit, help)
static const mynah_key lerobot_keys[] = {LEROBOT_KEYS(LEROBOT_ROW)};
static const mynah_config_table lerobot_table = {"lerobot", lerobot_keys, sizeof lerobot_keys / sizeof *lerobot_keys,
                                                 sizeof(lerobot_config)};
enum { CAMERAS_AUTO, CAMERAS_NEED, CAMERAS_NONE };

#define MAX_EPISODES 10000000

/* Rows first … first+n-1 of a data file. */
typedef struct run_of_rows {
  int64_t episode, first, n;
  size_t file;
} run_of_rows;

typedef struct source {     /* of a feature */
  char key[MYNAH_NAME_MAX]; /* its name there */
  int leaf;                 /* in the open file; −1: a video */
  bool is_video;
  mynah__column column; /* of the group at hand */
  mynah_video *video; /* the file that is open, and its path */
  char video_path[MYNAH_PATH_MAX];
} source;

typedef struct video_place { /* v3.0: where an episode lies in a file of several */
  int64_t chunk, file;
  double from_s;
} video_place;

typedef struct import {
  const lerobot_config *config;
  mynah__ingest *in;
  mynah_json *info;
  bool is_v3;
  double fps;
  char **files; /* data files, sorted */
  size_t n_files, cap_files;
  char **tasks; /* by task_index */
  size_t n_tasks, cap_tasks;
  run_of_rows *runs;
  size_t n_runs, cap_runs;
  source sources[MYNAH__MAX_FEATURES];
  video_place *places; /* (episodes, features) of v3.0 */
  int64_t n_episodes;
  mynah__parquet open;
  size_t open_file; /* 1 + its number; 0: none */
  int64_t group, group_first;
  mynah__column times, task_indices;
  const run_of_rows *at;
} import;

/* ---- meta
 * ---------------------------------------------------------------------------------------------------------------- */

static mynah_status join(const import *m, char *out, const char *name) {
  return mynah_path_join(out, MYNAH_PATH_MAX, m->in->path, name);
}

static mynah_status put_task(import *m, int64_t index, const char *text, size_t n) {
  if (index < 0 || index > 1000000)
    return mynah_fail(MYNAH_CORRUPT, "%s: task number %lld", m->in->path, (long long)index);
  size_t before = m->n_tasks;
  MYNAH_TRY(mynah_grow((void **)&m->tasks, &m->cap_tasks, (size_t)index + 1, sizeof *m->tasks));
  if ((size_t)index >= before) {
    memset(m->tasks + before, 0, ((size_t)index + 1 - before) * sizeof *m->tasks);
    m->n_tasks = (size_t)index + 1;
  }
  mynah_free(m->tasks[index]);
  char *copy = m->tasks[index] = mynah_alloc(n + 1);
  if (!copy) return MYNAH_NO_MEMORY;
  memcpy(copy, text, n);
  copy[n] = 0;
  return MYNAH_OK;
}

static mynah_status read_task_lines(import *m, const char *path) {
  char *text;
  size_t length;
  MYNAH_TRY(mynah_file_read(path, (size_t)64 << 20, &text, &length));
  char *rest = text;
  mynah_status status = MYNAH_OK;
  for (char *line; status == MYNAH_OK && (line = strsep(&rest, "\n"));) {
    mynah_json *j;
    if (line[strspn(line, " \r")] == 0) continue;
    status = mynah_json_parse(line, strlen(line), &j);
    if (status != MYNAH_OK) break;
    const char *task = mynah_json_to_string(mynah_json_get(j, "task"), "");
    status = put_task(m, mynah_json_to_integer(mynah_json_get(j, "task_index"), -1), task, strlen(task));
    mynah_json_destroy(j);
  }
  mynah_free(text);
  return status;
}

static mynah_status read_task_table(import *m, const char *path) {
  mynah__parquet p;
  mynah__column index = {0}, task = {0};
  MYNAH_TRY(mynah__parquet_open(path, &p));
  int i = mynah__parquet_find(&p, "task_index", NULL), t = mynah__parquet_find(&p, "__index_level_0__", NULL);
  if (t < 0) t = mynah__parquet_find(&p, "task", NULL);
  mynah_status status =
      i < 0 || t < 0 || p.leaves[t].width != 0 ? mynah_fail(MYNAH_UNSUPPORTED, "%s: has no tasks", path) : MYNAH_OK;
  for (size_t g = 0; g < p.n_groups && status == MYNAH_OK; g++) {
    status = mynah__parquet_read(&p, g, i, &index);
    if (status == MYNAH_OK) status = mynah__parquet_read(&p, g, t, &task);
    for (int64_t k = 0; status == MYNAH_OK && k < index.n_values && k < task.n_values; k++)
      status = put_task(m, mynah__column_integer(&p.leaves[i], &index, k), (const char *)task.texts[k].data,
                        task.texts[k].bytes);
    mynah__column_deinit(&index);
    mynah__column_deinit(&task);
  }
  mynah__parquet_close(&p);
  return status;
}

static mynah_status read_meta(import *m) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(join(m, path, "meta/info.json"));
  MYNAH_TRY(mynah_json_load(path, &m->info));
  const char *version = mynah_json_to_string(mynah_json_get(m->info, "codebase_version"), "");
  m->is_v3 = strncmp(version, "v3.", 3) == 0;
  if (!m->is_v3 && strncmp(version, "v2.", 3) != 0)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: version '%.20s' (v2.0, v2.1, v3.0 can be read)", path, version);
  m->fps = mynah_json_to_number(mynah_json_get(m->info, "fps"), 0);
  if (!(m->fps > 0 && m->fps < 1e6)) return mynah_fail(MYNAH_CORRUPT, "%s: says no rate", path);
  m->n_episodes = mynah_json_to_integer(mynah_json_get(m->info, "total_episodes"), 0);
  if (m->n_episodes < 0 || m->n_episodes > MAX_EPISODES)
    return mynah_fail(MYNAH_CORRUPT, "%s: total_episodes makes no sense", path);
  MYNAH_TRY(join(m, path, m->is_v3 ? "meta/tasks.parquet" : "meta/tasks.jsonl"));
  if (!mynah_file_exists(path)) return MYNAH_OK;
  return m->is_v3 ? read_task_table(m, path) : read_task_lines(m, path);
}

/* ---- features
 * ------------------------------------------------------------------------------------------------------------ */

/* ["a","b"], [["a","b"]] or {"motors":["a","b"]} as "a,b", when there are as many as elements. */
static void take_names(const mynah_json *names, mynah_feature *f) {
  const mynah_json *inner = names;
  const char *key;
  if (mynah_json_is_object(names) && !mynah_json_entry(names, 0, &key, &inner)) return;
  if (mynah_json_is_array(mynah_json_at(inner, 0))) inner = mynah_json_at(inner, 0);
  if (!mynah_json_is_array(inner) || (int64_t)mynah_json_size(inner) != mynah_feature_size(f)) return;
  char text[sizeof f->names];
  size_t n = 0;
  for (size_t i = 0; i < mynah_json_size(inner) && n < sizeof text; i++) {
    const char *name = mynah_json_to_string(mynah_json_at(inner, i), "");
    if (!name[0] || strchr(name, ',')) return;
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? "," : "", name);
  }
  if (n < sizeof text) memcpy(f->names, text, n + 1);
}

static bool is_camera(const char *dtype) { return strcmp(dtype, "image") == 0 || strcmp(dtype, "video") == 0; }

static mynah_status add_feature(import *m, const char *key, const mynah_json *j) {
  static const char *const types[][2] = {{"float32", "<f4"}, {"float64", "<f8"}, {"float16", "<f2"}, {"int64", "<i8"},
                                         {"int32", "<i4"},   {"int16", "<i2"},   {"int8", "<i1"},    {"uint8", "|u1"},
                                         {"uint16", "<u2"},  {"uint32", "<u4"},  {"bool", "|b1"},    {"image", "|u1"},
                                         {"video", "|u1"}};
  const char *dtype = mynah_json_to_string(mynah_json_get(j, "dtype"), ""), *code = NULL;
  const mynah_json *shape = mynah_json_get(j, "shape");
  int64_t dims[MYNAH_MAX_DIMS];
  size_t n = mynah_json_size(shape);
  mynah__item item;
  int at;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(dtype, types[i][0]) == 0) code = types[i][1];
  if (is_camera(dtype) && m->config->cameras == CAMERAS_NONE) return MYNAH_OK;
  for (size_t i = 0; i < n && i < MYNAH_MAX_DIMS; i++) dims[i] = mynah_json_to_integer(mynah_json_at(shape, i), -1);
  if (is_camera(dtype) && n == 3 && dims[0] == 3 && dims[2] != 3)
    dims[0] = dims[1], dims[1] = dims[2], dims[2] = 3; /* channels first */
  if (!code || n < 1 || n > MYNAH_MAX_DIMS || (is_camera(dtype) && (n != 3 || dims[2] != 3))) {
    mynah_log(MYNAH_LOG_WARNING, "%s: '%s' is left out: neither numbers nor colour pictures (dtype %s)", m->in->path, key, dtype);
    return MYNAH_OK;
  }
  MYNAH_TRY(mynah__item_parse(key, code, &item));
  MYNAH_TRY(mynah__ingest_field(m->in, m->config->map, key, &item, (int)n, dims, &at));
  if (at < 0) return MYNAH_OK;
  MYNAH_TRY(mynah_copy_text(m->sources[at].key, sizeof m->sources[at].key, key));
  if (strchr(key, '/') || strstr(key, ".."))
    return mynah_fail(MYNAH_INVALID, "%s: the feature '%s' cannot be in a path", m->in->path, key);
  m->sources[at].is_video = strcmp(dtype, "video") == 0;
  if (!is_camera(dtype)) take_names(mynah_json_get(j, "names"), &m->in->features[at]);
  return MYNAH_OK;
}

static mynah_status read_features(import *m) {
  const char *key;
  const mynah_json *j, *features = mynah_json_get(m->info, "features");
  for (size_t i = 0; mynah_json_entry(features, i, &key, &j); i++) MYNAH_TRY(add_feature(m, key, j));
  return MYNAH_OK;
}

/* ---- data files
 * ---------------------------------------------------------------------------------------------------------- */

/* FOLDER/chunk-NNN/NAME.parquet, in order. */
static mynah_status list_files(import *m, const char *folder) {
  char **chunks, **names, below[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX], top[MYNAH_PATH_MAX];
  size_t n_chunks, n;
  MYNAH_TRY(join(m, top, folder));
  MYNAH_TRY(mynah_list_dir(top, &chunks, &n_chunks));
  mynah_status status = MYNAH_OK;
  for (size_t i = 0; i < n_chunks && status == MYNAH_OK; i++) {
    if (strncmp(chunks[i], "chunk-", 6) != 0 || mynah_path_join(below, sizeof below, top, chunks[i]) != MYNAH_OK)
      continue;
    status = mynah_list_dir(below, &names, &n);
    for (size_t k = 0; status == MYNAH_OK && k < n; k++) {
      size_t length = strlen(names[k]);
      if (length < 8 || strcmp(names[k] + length - 8, ".parquet") != 0) continue;
      status = mynah_path_join(path, sizeof path, below, names[k]);
      if (status == MYNAH_OK) status = mynah_grow((void **)&m->files, &m->cap_files, m->n_files + 1, sizeof *m->files);
      if (status == MYNAH_OK) status = (m->files[m->n_files] = mynah_strdup(path)) ? MYNAH_OK : MYNAH_NO_MEMORY;
      m->n_files += status == MYNAH_OK;
    }
    if (status == MYNAH_OK) mynah_names_free(names, n);
  }
  mynah_names_free(chunks, n_chunks);
  return status;
}

static void close_group(import *m) {
  for (int i = 0; i < m->in->n; i++) mynah__column_deinit(&m->sources[i].column);
  mynah__column_deinit(&m->times);
  mynah__column_deinit(&m->task_indices);
  m->group = -1;
}

static mynah_status open_file(import *m, size_t file) {
  if (m->open_file == file + 1) return MYNAH_OK;
  close_group(m);
  mynah__parquet_close(&m->open);
  m->open_file = 0;
  MYNAH_TRY(mynah__parquet_open(m->files[file], &m->open));
  m->open_file = file + 1;
  for (int i = 0; i < m->in->n; i++) {
    source *s = &m->sources[i];
    s->leaf = s->is_video ? -1 : mynah__parquet_find(&m->open, s->key, m->in->features[i].is_image ? "bytes" : NULL);
    if (s->leaf < 0 && !s->is_video) return mynah_fail(MYNAH_CORRUPT, "%s: has no column '%s'", m->files[file], s->key);
    if (s->leaf >= 0 && (m->open.leaves[s->leaf].width == 0) != m->in->features[i].is_image)
      return mynah_fail(MYNAH_UNSUPPORTED, "%s: the column '%s' is of another type than info.json says", m->files[file],
                        s->key);
  }
  return MYNAH_OK;
}

static mynah_status add_runs(import *m, size_t file) {
  mynah__column ids = {0};
  MYNAH_TRY(open_file(m, file));
  int leaf = mynah__parquet_find(&m->open, "episode_index", NULL);
  if (leaf < 0) return mynah_fail(MYNAH_CORRUPT, "%s: has no column 'episode_index'", m->files[file]);
  int64_t row = 0;
  for (size_t g = 0; g < m->open.n_groups; g++) {
    MYNAH_TRY(mynah__parquet_read(&m->open, g, leaf, &ids));
    mynah_status status = ids.n_values == ids.n_rows
                              ? MYNAH_OK
                              : mynah_fail(MYNAH_CORRUPT, "%s: rows without an episode", m->files[file]);
    for (int64_t i = 0; i < ids.n_values && status == MYNAH_OK; i++, row++) {
      int64_t e = mynah__column_integer(&m->open.leaves[leaf], &ids, i);
      run_of_rows *last = m->n_runs > 0 ? &m->runs[m->n_runs - 1] : NULL;
      if (last && last->file == file && last->episode == e) last->n++;
      else if ((status = mynah_grow((void **)&m->runs, &m->cap_runs, m->n_runs + 1, sizeof *m->runs)) == MYNAH_OK)
        m->runs[m->n_runs++] = (run_of_rows){e, row, 1, file};
    }
    mynah__column_deinit(&ids);
    MYNAH_TRY(status);
  }
  return MYNAH_OK;
}

/* A file that cannot be read is reported; for v2 its name says which episode it is. */
static mynah_status find_runs(import *m) {
  for (size_t i = 0; i < m->n_files; i++) {
    mynah_status status = add_runs(m, i);
    if (status == MYNAH_OK) continue;
    if (!mynah__ingest_is_bad(status)) return status;
    const char *digits = strrchr(m->files[i], '_');
    mynah__ingest_skip(m->in, "episode", digits && !m->is_v3 ? strtoll(digits + 1, NULL, 10) : -1, mynah_error());
  }
  return MYNAH_OK;
}

/* ---- videos
 * --------------------------------------------------------------------------------------------------------------- */

/* v3.0: meta/episodes says which video an episode is in, and from when. */
static mynah_status read_places(import *m, const mynah__parquet *p, size_t group, int feature) {
  static const char *const what[] = {"chunk_index", "file_index", "from_timestamp"};
  mynah__column c = {0}, ids = {0};
  int id = mynah__parquet_find(p, "episode_index", NULL);
  mynah_status status =
      id < 0 ? mynah_fail(MYNAH_CORRUPT, "%s: has no episode_index", p->path) : mynah__parquet_read(p, group, id, &ids);
  for (int k = 0; k < 3 && status == MYNAH_OK; k++) {
    char name[MYNAH_NAME_MAX + 40];
    snprintf(name, sizeof name, "videos/%s/%s", m->sources[feature].key, what[k]);
    int leaf = mynah__parquet_find(p, name, NULL);
    if (leaf < 0) break;
    status = mynah__parquet_read(p, group, leaf, &c);
    for (int64_t i = 0; status == MYNAH_OK && i < ids.n_values && i < c.n_values; i++) {
      int64_t e = mynah__column_integer(&p->leaves[id], &ids, i);
      if (e < 0 || e >= m->n_episodes) continue;
      video_place *v = &m->places[e * m->in->n + feature];
      if (k == 0) v->chunk = mynah__column_integer(&p->leaves[leaf], &c, i);
      if (k == 1) v->file = mynah__column_integer(&p->leaves[leaf], &c, i);
      if (k == 2) v->from_s = mynah__column_number(&p->leaves[leaf], &c, i);
    }
    mynah__column_deinit(&c);
  }
  mynah__column_deinit(&ids);
  return status;
}

static mynah_status find_places(import *m) {
  size_t n_data = m->n_files, total;
  if (!mynah_mul_size((size_t)m->n_episodes + 1, (size_t)m->in->n, &total))
    return mynah_fail(MYNAH_LIMIT, "%s: too large", m->in->path);
  if (!(m->places = mynah_calloc(total, sizeof *m->places))) return MYNAH_NO_MEMORY;
  if (!m->is_v3) return MYNAH_OK;
  mynah_status status = list_files(m, "meta/episodes");
  for (size_t i = n_data; i < m->n_files && status == MYNAH_OK; i++) {
    mynah__parquet p;
    status = mynah__parquet_open(m->files[i], &p);
    for (size_t g = 0; status == MYNAH_OK && g < p.n_groups; g++)
      for (int k = 0; k < m->in->n && status == MYNAH_OK; k++)
        if (m->sources[k].is_video) status = read_places(m, &p, g, k);
    if (status == MYNAH_OK) mynah__parquet_close(&p);
  }
  while (m->n_files > n_data) mynah_free(m->files[--m->n_files]);
  return status;
}

static mynah_status video_path(const import *m, int feature, int64_t episode, char *out) {
  char name[MYNAH_NAME_MAX + 80];
  const char *key = m->sources[feature].key;
  int64_t per_chunk = mynah_json_to_integer(mynah_json_get(m->info, "chunks_size"), 1000);
  if (m->is_v3) {
    const video_place *v = &m->places[episode * m->in->n + feature];
    snprintf(name, sizeof name, "videos/%s/chunk-%03lld/file-%03lld.mp4", key, (long long)v->chunk, (long long)v->file);
  } else
    snprintf(name, sizeof name, "videos/chunk-%03lld/%s/episode_%06lld.mp4",
             (long long)(episode / (per_chunk > 0 ? per_chunk : 1000)), key, (long long)episode);
  return join(m, out, name);
}

/* Takes a feature away, with its source. */
static void drop_feature(import *m, int i) {
  for (; i + 1 < m->in->n; i++) {
    m->in->features[i] = m->in->features[i + 1];
    m->sources[i] = m->sources[i + 1];
  }
  m->in->n--;
}

/* Which videos are missing is reported; a camera that lacks some is left out, unless they are needed. */
static mynah_status check_videos(import *m) {
  char path[MYNAH_PATH_MAX], why[MYNAH_NAME_MAX + 128];
  for (int i = m->in->n - 1; i >= 0; i--) {
    int64_t n_missing = 0;
    bool is_dropped = false;
    if (!m->sources[i].is_video) continue;
    if (!mynah_video_is_supported()) {
      snprintf(why, sizeof why, "%s: left out: mynah-video, which decodes, is not there", m->sources[i].key);
      mynah__ingest_skip(m->in, "episode", -1, why);
      is_dropped = true;
    }
    for (size_t k = 0; k < m->n_runs && !is_dropped && m->config->cameras == CAMERAS_AUTO; k++) {
      int64_t e = m->runs[k].episode;
      if (e >= 0 && e < m->n_episodes && video_path(m, i, e, path) == MYNAH_OK && mynah_file_exists(path)) continue;
      snprintf(why, sizeof why, "its video is missing: brought in without %s (cameras=need leaves such episodes out)",
               m->sources[i].key);
      mynah__ingest_skip(m->in, "episode", e, why);
      n_missing++;
    }
    if (is_dropped || n_missing > 0) drop_feature(m, i);
  }
  return MYNAH_OK;
}

/* ---- frames
 * ---------------------------------------------------------------------------------------------------------------- */

/* The row group that holds a row of the open file. */
static mynah_status open_group(import *m, int64_t row) {
  int64_t first = 0;
  size_t g = 0;
  while (g < m->open.n_groups && row >= first + m->open.group_rows[g]) first += m->open.group_rows[g++];
  if (g == m->open.n_groups) return mynah_fail(MYNAH_CORRUPT, "%s: too few rows", m->open.path);
  if (m->group == (int64_t)g) return MYNAH_OK;
  close_group(m);
  for (int i = 0; i < m->in->n; i++)
    if (m->sources[i].leaf >= 0) MYNAH_TRY(mynah__parquet_read(&m->open, g, m->sources[i].leaf, &m->sources[i].column));
  int time = mynah__parquet_find(&m->open, "timestamp", NULL), task = mynah__parquet_find(&m->open, "task_index", NULL);
  if (time >= 0) MYNAH_TRY(mynah__parquet_read(&m->open, g, time, &m->times));
  if (task >= 0) MYNAH_TRY(mynah__parquet_read(&m->open, g, task, &m->task_indices));
  m->group = (int64_t)g;
  m->group_first = first;
  return MYNAH_OK;
}

static mynah_status take_vector(const import *m, int i, int64_t row, uint8_t *out) {
  const mynah_feature *f = &m->in->features[i];
  const mynah__column *c = &m->sources[i].column;
  const mynah__leaf *leaf = &m->open.leaves[m->sources[i].leaf];
  int64_t from = c->starts[row], n = c->starts[row + 1] - from;
  if (n != mynah_feature_size(f))
    return mynah_fail(MYNAH_MISMATCH, "%s: '%s' has %lld elements where %lld are due", m->open.path, m->sources[i].key,
                      (long long)n, (long long)mynah_feature_size(f));
  for (int64_t k = 0; k < n; k++) {
    double v = mynah__column_number(leaf, c, from + k);
    int64_t whole = mynah__column_integer(leaf, c, from + k);
    switch (f->dtype) {
    case MYNAH_F32: memcpy(out + 4 * k, &(float){(float)v}, 4); break;
    case MYNAH_F64: memcpy(out + 8 * k, &v, 8); break;
    case MYNAH_I64: memcpy(out + 8 * k, &whole, 8); break;
    case MYNAH_I32: memcpy(out + 4 * k, &(int32_t){(int32_t)whole}, 4); break;
    default: out[k] = (uint8_t)whole;
    }
  }
  return MYNAH_OK;
}

/* Goes on in the open file where it can, else opens it anew. */
static mynah_status read_video(source *s, const char *path, int64_t frame, const mynah_image *image) {
  int64_t time_ns;
  bool is_over = false;
  if (!s->video || strcmp(s->video_path, path) != 0 || mynah_video_position(s->video) > frame) {
    mynah_video_close(s->video);
    s->video = NULL;
    MYNAH_TRY(mynah_copy_text(s->video_path, sizeof s->video_path, path));
    MYNAH_TRY(mynah_video_open(path, frame, &s->video));
  }
  mynah_status status = MYNAH_OK;
  while (mynah_video_position(s->video) <= frame && status == MYNAH_OK && !is_over) status = mynah_video_read(s->video, image, &time_ns, &is_over);
  if (is_over) status = mynah_fail(MYNAH_CORRUPT, "%s: has %lld frames, %lld is not there", path, (long long)mynah_video_position(s->video), (long long)frame);
  if (status == MYNAH_OK) return MYNAH_OK;
  mynah_video_close(s->video);
  s->video = NULL;
  return status;
}

static mynah_status fetch(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns) {
  import *m = context;
  MYNAH_TRY(open_group(m, m->at->first + t));
  int64_t row = m->at->first + t - m->group_first;
  for (int i = 0; i < m->in->n; i++) {
    source *s = &m->sources[i];
    const mynah_feature *f = &m->in->features[i];
    if (s->is_video) {
      char path[MYNAH_PATH_MAX];
      if (m->at->episode < 0 || m->at->episode >= m->n_episodes)
        return mynah_fail(MYNAH_CORRUPT, "episode %lld is not in info.json", (long long)m->at->episode);
      MYNAH_TRY(video_path(m, i, m->at->episode, path));
      double from_s = m->places[m->at->episode * m->in->n + i].from_s;
      if (!(from_s >= 0 && from_s < 1e7)) return mynah_fail(MYNAH_CORRUPT, "%s: begins at %g s", path, from_s);
      mynah_image image = {m->in->values[i], (int)f->dims[1], (int)f->dims[0]};
      MYNAH_TRY(read_video(s, path, llround(from_s * m->fps) + t, &image));
    } else if (f->is_image) {
      if (s->column.starts[row + 1] - s->column.starts[row] != 1)
        return mynah_fail(MYNAH_CORRUPT, "%s: '%s' lacks a picture", m->open.path, s->key);
      int64_t at = s->column.starts[row];
      values[i] = (mynah_value){s->column.texts[at].data, s->column.texts[at].bytes, 0};
      is_encoded[i] = true;
    } else MYNAH_TRY(take_vector(m, i, row, m->in->values[i]));
  }
  int time = mynah__parquet_find(&m->open, "timestamp", NULL);
  if (time >= 0 && m->times.n_values == m->times.n_rows) {
    /* Times are multiples of the period in float32: where they are, the exact ones are taken. */
    double s = mynah__column_number(&m->open.leaves[time], &m->times, row), exact = (double)t / m->fps;
    if (fabs(s - exact) > 1e-4 + 1e-6 * fabs(exact) && s >= 0 && s < 9e9) *time_ns = llround(s * 1e9);
  }
  return MYNAH_OK;
}

static mynah_status copy_run(import *m, const run_of_rows *r) {
  mynah_episode info = {.success = -1, .expert = "human"};
  mynah_status status = open_file(m, r->file);
  if (status == MYNAH_OK) status = open_group(m, r->first);
  if (status != MYNAH_OK) {
    if (!mynah__ingest_is_bad(status)) return status;
    mynah__ingest_skip(m->in, "episode", r->episode, mynah_error());
    return MYNAH_OK;
  }
  int task = mynah__parquet_find(&m->open, "task_index", NULL);
  if (task >= 0 && m->task_indices.n_values == m->task_indices.n_rows) {
    int64_t k = mynah__column_integer(&m->open.leaves[task], &m->task_indices, r->first - m->group_first);
    if (k >= 0 && (size_t)k < m->n_tasks && m->tasks[k]) snprintf(info.task, sizeof info.task, "%.127s", m->tasks[k]);
  }
  m->at = r;
  return mynah__ingest_episode(m->in, &info, r->episode, r->n, fetch, m);
}

static mynah_status report_absent(import *m) {
  uint8_t *seen = mynah_calloc((size_t)m->n_episodes + 1, 1);
  if (!seen) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < m->n_runs; i++)
    if (m->runs[i].episode >= 0 && m->runs[i].episode < m->n_episodes) seen[m->runs[i].episode] = 1;
  for (int64_t e = 0; e < m->n_episodes; e++)
    if (!seen[e]) mynah__ingest_skip(m->in, "episode", e, "is in no data file");
  mynah_free(seen);
  return MYNAH_OK;
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  m->in = in;
  MYNAH_TRY(read_meta(m));
  MYNAH_TRY(read_features(m));
  MYNAH_TRY(list_files(m, "data"));
  MYNAH_TRY(find_runs(m));
  MYNAH_TRY(report_absent(m));
  for (bool is_again = true; is_again;) { /* places lie by feature, so they are found anew when one goes */
    int n = in->n;
    mynah_free(m->places);
    m->places = NULL;
    MYNAH_TRY(find_places(m));
    MYNAH_TRY(check_videos(m));
    is_again = in->n != n;
  }
  close_group(m);
  m->open_file = 0;
  mynah__parquet_close(&m->open);
  const char *robot = mynah_json_to_string(mynah_json_get(m->info, "robot_type"), "");
  in->robot = strlen(robot) < 100 ? robot : "";
  mynah__array_config c = {.codec = m->config->codec, .jpeg_quality = m->config->jpeg_quality};
  in->file.may_resume = true;
  MYNAH_TRY(mynah__ingest_create_arrays(in, &c, m->fps, "import lerobot"));
  for (size_t i = 0; i < m->n_runs; i++) {
    MYNAH_TRY(copy_run(m, &m->runs[i]));
    mynah_progress_tell(in->progress, "import", (double)i + 1, (double)m->n_runs, "episodes", "");
  }
  return MYNAH_OK;
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  m->group = -1;
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  for (int i = 0; i < MYNAH__MAX_FEATURES; i++) {
    mynah__column_deinit(&m->sources[i].column);
    mynah_video_close(m->sources[i].video);
  }
  mynah__column_deinit(&m->times);
  mynah__column_deinit(&m->task_indices);
  mynah__parquet_close(&m->open);
  for (size_t i = 0; i < m->n_files; i++) mynah_free(m->files[i]);
  for (size_t i = 0; i < m->n_tasks; i++) mynah_free(m->tasks[i]);
  mynah_free(m->files);
  mynah_free(m->tasks);
  mynah_free(m->runs);
  mynah_free(m->places);
  mynah_json_destroy(m->info);
  mynah_free(m);
  return status;
}

const mynah_importer mynah__import_lerobot = {
    "lerobot", "LeRobot data sets v2.0, v2.1, v3.0 (Parquet, pictures, videos)", &lerobot_table, run};
