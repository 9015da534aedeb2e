/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Export as a LeRobot v3.0 data set: data/ and meta/ in Parquet, a row group an episode, pictures in the data files. */
#include "export.h"
#include "parquet_write.h"

#include <string.h>

#define MAX_FIELDS (MYNAH__MAX_FEATURES + 5)
#define FILE_BYTES ((int64_t)100 << 20) /* a data file ends with the episode that passes this, as LeRobot's do */
#define PAGE_BYTES ((size_t)4 << 20)
enum { TIMESTAMP, FRAME_INDEX, EPISODE_INDEX, INDEX, TASK_INDEX, N_OWN };
static const char *const own_names[N_OWN] = {"timestamp", "frame_index", "episode_index", "index", "task_index"};

typedef struct export {
  mynah_dataset *d;
  const char *folder;
  mynah__pq_field fields[MAX_FIELDS];
  int n_fields; /* features, then LeRobot's own */
  mynah__pq_writer data;
  bool is_open;
  int64_t n_files;
  int64_t *file_of; /* (episodes) */
  int64_t *task_of; /* (episodes) */
  mynah_json *tasks;
}
export;

static mynah_status make_path(const export *x, const char *name, char out[MYNAH_PATH_MAX]) {
  char folder[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_path_join(out, MYNAH_PATH_MAX, x->folder, name));
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(out, '/') - out), out);
  return mynah_make_dirs(folder);
}

/* ---- data
 * ---------------------------------------------------------------------------------------------------------------- */

static mynah_status describe_fields(export *x) {
  static const mynah__pq_kind kinds[MYNAH_DTYPE_COUNT] = {MYNAH__PQ_F32, MYNAH__PQ_F64,  MYNAH__PQ_I64, MYNAH__PQ_I32,
                                                          MYNAH__PQ_I32, MYNAH__PQ_BOOL, MYNAH__PQ_F32};
  for (int i = 0; i < x->d->n_features; i++) {
    const mynah_feature *f = &x->d->features[i];
    int64_t size = mynah_feature_size(f);
    mynah__pq_field *g = &x->fields[x->n_fields++];
    *g = (mynah__pq_field){.kind = kinds[f->dtype],
                           .size = size,
                           .shape = f->is_image ? MYNAH__PQ_PICTURE
                                    : size == 1 ? MYNAH__PQ_ONE
                                                : MYNAH__PQ_LIST};
    MYNAH_TRY(mynah_copy_text(g->name, sizeof g->name, f->name));
  }
  for (int k = 0; k < N_OWN; k++) {
    mynah__pq_field *g = &x->fields[x->n_fields++];
    *g = (mynah__pq_field){.kind = k == TIMESTAMP ? MYNAH__PQ_F32 : MYNAH__PQ_I64, .size = 1};
    MYNAH_TRY(mynah_copy_text(g->name, sizeof g->name, own_names[k]));
  }
  return MYNAH_OK;
}

/* A frame's elements as the column has them. */
static void put_elements(const mynah_feature *f, const uint8_t *row, mynah_str *s) {
  for (int64_t k = 0; k < mynah_feature_size(f); k++) {
    const uint8_t *at = row + (size_t)k * mynah_dtype_bytes(f->dtype);
    float single = (float)mynah__to_double(f->dtype, at);
    if (f->dtype == MYNAH_BF16) mynah_str_append(s, &single, 4);
    else if (f->dtype == MYNAH_U8) mynah_str_append(s, &(int32_t){*at}, 4);
    else mynah_str_append(s, at, mynah_dtype_bytes(f->dtype));
  }
}

static mynah_status put_picture(export *x, int64_t e, int feature, int64_t t, int part, mynah_str *s) {
  char path[64];
  mynah_codec codec;
  size_t bytes;
  snprintf(path, sizeof path, "frame-%06lld.png", (long long)t);
  if (part == 1) return mynah__pq_put_text(s, path, strlen(path)), MYNAH_OK;
  MYNAH_TRY(mynah__read_picture(x->d, &x->d->episodes[e], feature, t, &codec, &bytes));
  if (codec != MYNAH_CODEC_RAW) return mynah__pq_put_text(s, x->d->picture, bytes), MYNAH_OK;
  mynah_str png = {0};
  const mynah_feature *f = &x->d->features[feature];
  mynah_status status = mynah_png_encode(&(mynah_image){x->d->picture, (int)f->dims[1], (int)f->dims[0]}, &png);
  if (status == MYNAH_OK) mynah__pq_put_text(s, png.data, png.length);
  mynah_str_deinit(&png);
  return status;
}

/* LeRobot counts time from the episode's first frame. */
static mynah_status put_own(export *x, int64_t e, int which, int64_t t, int64_t before, mynah_str *s) {
  int64_t times[2], whole = which == FRAME_INDEX     ? t
                            : which == EPISODE_INDEX ? e
                            : which == INDEX         ? before + t
                                                     : x->task_of[e];
  if (which != TIMESTAMP) return mynah_str_append(s, &whole, 8), MYNAH_OK;
  MYNAH_TRY(mynah_dataset_read_times(x->d, e, 0, 1, &times[0]));
  MYNAH_TRY(mynah_dataset_read_times(x->d, e, t, 1, &times[1]));
  float seconds = (float)((double)(times[1] - times[0]) * 1e-9);
  mynah_str_append(s, &seconds, 4);
  return MYNAH_OK;
}

static mynah_status put_column(export *x, int64_t e, int column, int part, int64_t before, mynah_str *s) {
  int64_t n = x->d->episodes[e].n_frames, from = 0;
  s->length = 0;
  for (int64_t t = 0; t < n; t++) {
    const mynah__block *b;
    if (column >= x->d->n_features) MYNAH_TRY(put_own(x, e, column - x->d->n_features, t, before, s));
    else if (x->d->features[column].is_image) MYNAH_TRY(put_picture(x, e, column, t, part, s));
    else {
      const mynah_feature *f = &x->d->features[column];
      MYNAH_TRY(mynah__read_block(x->d, &x->d->episodes[e], column, t, &b));
      put_elements(f, b->data + (size_t)(t - b->start) * mynah_feature_bytes(f), s);
    }
    if (s->length < PAGE_BYTES && t + 1 < n) continue;
    if (s->is_failed) return MYNAH_NO_MEMORY;
    MYNAH_TRY(mynah__pq_page(&x->data, column, t + 1 - from, s->data, s->length));
    from = t + 1;
    s->length = 0;
  }
  mynah__pq_end_column(&x->data, column, part);
  return MYNAH_OK;
}

static mynah_status put_episode(export *x, int64_t e, int64_t before, mynah_str *s) {
  char name[64], path[MYNAH_PATH_MAX];
  if (!x->is_open) {
    snprintf(name, sizeof name, "data/chunk-%03lld/file-%03lld.parquet", (long long)(x->n_files / 1000),
             (long long)(x->n_files % 1000));
    MYNAH_TRY(make_path(x, name, path));
    MYNAH_TRY(mynah__pq_create(path, x->fields, x->n_fields, &x->data));
    x->is_open = true;
    x->n_files++;
  }
  x->file_of[e] = x->n_files - 1;
  for (int i = 0; i < x->n_fields; i++)
    for (int part = 0; part < (x->fields[i].shape == MYNAH__PQ_PICTURE ? 2 : 1); part++)
      MYNAH_TRY(put_column(x, e, i, part, before, s));
  mynah__pq_end_group(&x->data, x->d->episodes[e].n_frames);
  if (x->data.offset < FILE_BYTES) return MYNAH_OK;
  x->is_open = false;
  return mynah__pq_close(&x->data, NULL, NULL, MYNAH_OK);
}

static mynah_status put_data(export *x, const mynah_progress *progress) {
  mynah_str s = {.max = MYNAH__MAX_PICTURE_BYTES + PAGE_BYTES + 64};
  mynah_status status = MYNAH_OK;
  int64_t before = 0;
  for (int64_t e = 0; e < (int64_t)x->d->n_episodes && status == MYNAH_OK; e++) {
    status = mynah_is_interrupted() ? mynah_fail(MYNAH_INTERRUPTED, "export: interrupted; nothing is left")
                                    : put_episode(x, e, before, &s);
    before += x->d->episodes[e].n_frames;
    mynah_progress_tell(progress, "export", (double)e + 1, (double)x->d->n_episodes, "episodes", "");
  }
  mynah_str_deinit(&s);
  return x->is_open ? mynah__pq_close(&x->data, NULL, NULL, status) : status;
}

/* ---- meta
 * ---------------------------------------------------------------------------------------------------------------- */

static mynah_status find_tasks(export *x) {
  for (size_t e = 0; e < x->d->n_episodes; e++) {
    const mynah_json *known = mynah_json_get(x->tasks, x->d->episodes[e].task);
    x->task_of[e] = known ? mynah_json_to_integer(known, 0) : (int64_t)mynah_json_size(x->tasks);
    if (!known) mynah_json_set(x->tasks, x->d->episodes[e].task, mynah_json_integer(x->task_of[e]));
  }
  return x->tasks ? MYNAH_OK : MYNAH_NO_MEMORY;
}

/* A page and an end of a column of which all rows are here. */
static mynah_status put_whole(mynah__pq_writer *w, int field, int64_t n_rows, mynah_str *s) {
  mynah_status status = s->is_failed ? MYNAH_NO_MEMORY : mynah__pq_page(w, field, n_rows, s->data, s->length);
  mynah__pq_end_column(w, field, 0);
  s->length = 0;
  return status;
}

/* pandas finds the tasks as the index of the table. */
static mynah_status put_tasks(const export *x) {
  static const mynah__pq_field fields[2] = {{"task_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                            {"__index_level_0__", MYNAH__PQ_TEXT, MYNAH__PQ_ONE, 1}};
  static const char pandas[] = "{\"index_columns\": [\"__index_level_0__\"], \"column_indexes\": [{\"name\": null, "
                               "\"field_name\": null, \"pandas_type\": \"unicode\", "
                               "\"numpy_type\": \"object\", \"metadata\": {\"encoding\": \"UTF-8\"}}], \"columns\": "
                               "[{\"name\": \"task_index\", \"field_name\": \"task_index\", "
                               "\"pandas_type\": \"int64\", \"numpy_type\": \"int64\", \"metadata\": null}, {\"name\": "
                               "null, \"field_name\": \"__index_level_0__\", "
                               "\"pandas_type\": \"unicode\", \"numpy_type\": \"object\", \"metadata\": null}], "
                               "\"creator\": {\"library\": \"mynah\", \"version\": \"0\"}, "
                               "\"pandas_version\": \"2.2.0\"}";
  char path[MYNAH_PATH_MAX];
  mynah__pq_writer w;
  mynah_str s = {0};
  int64_t n = (int64_t)mynah_json_size(x->tasks);
  MYNAH_TRY(make_path(x, "meta/tasks.parquet", path));
  MYNAH_TRY(mynah__pq_create(path, fields, 2, &w));
  for (int64_t i = 0; i < n; i++) mynah_str_append(&s, &i, 8);
  mynah_status status = put_whole(&w, 0, n, &s);
  for (int64_t i = 0; i < n; i++) {
    const char *task = "";
    const mynah_json *unused;
    mynah_json_entry(x->tasks, (size_t)i, &task, &unused);
    mynah__pq_put_text(&s, task, strlen(task));
  }
  if (status == MYNAH_OK) status = put_whole(&w, 1, n, &s);
  mynah__pq_end_group(&w, n);
  mynah_str_deinit(&s);
  return mynah__pq_close(&w, "pandas", pandas, status);
}

static mynah_status put_episodes(const export *x) {
  static const mynah__pq_field fields[] = {{"episode_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"tasks", MYNAH__PQ_TEXT, MYNAH__PQ_LIST, 1},
                                           {"length", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"data/chunk_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"data/file_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"dataset_from_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"dataset_to_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"meta/episodes/chunk_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1},
                                           {"meta/episodes/file_index", MYNAH__PQ_I64, MYNAH__PQ_ONE, 1}};
  enum { N = sizeof fields / sizeof *fields };
  char path[MYNAH_PATH_MAX];
  mynah__pq_writer w;
  mynah_str s = {0};
  int64_t n = (int64_t)x->d->n_episodes;
  MYNAH_TRY(make_path(x, "meta/episodes/chunk-000/file-000.parquet", path));
  MYNAH_TRY(mynah__pq_create(path, fields, N, &w));
  mynah_status status = MYNAH_OK;
  for (int k = 0; k < N && status == MYNAH_OK; k++) {
    int64_t before = 0;
    for (int64_t e = 0; e < n; e++) {
      const mynah_episode *a = &x->d->episodes[e];
      int64_t values[N] = {e, 0, a->n_frames, x->file_of[e] / 1000, x->file_of[e] % 1000, before, before + a->n_frames,
                           0, 0};
      if (k == 1) mynah__pq_put_text(&s, a->task, strlen(a->task));
      else mynah_str_append(&s, &values[k], 8);
      before += a->n_frames;
    }
    status = put_whole(&w, k, n, &s);
  }
  mynah__pq_end_group(&w, n);
  mynah_str_deinit(&s);
  return mynah__pq_close(&w, NULL, NULL, status);
}

static mynah_json *names_of(const mynah_feature *f) {
  mynah_json *list = mynah_json_array();
  static const char *const sides[] = {"height", "width", "channels"};
  for (int k = 0; k < 3 && f->is_image; k++) mynah_json_append(list, mynah_json_string(sides[k]));
  for (int64_t k = 0; k < mynah_feature_size(f) && !f->is_image && f->names[0]; k++) {
    char name[128];
    mynah__element_name(f, k, name, sizeof name);
    mynah_json_append(list, mynah_json_string(name));
  }
  if (mynah_json_size(list) > 0) return list;
  mynah_json_destroy(list);
  return mynah_json_null();
}

static mynah_json *feature_json(const char *dtype, const mynah_feature *f) {
  mynah_json *j = mynah_json_object(), *shape = mynah_json_array();
  mynah_json_set(j, "dtype", mynah_json_string(dtype));
  for (int k = 0; f && k < f->n_dims && f->is_image; k++) mynah_json_append(shape, mynah_json_integer(f->dims[k]));
  if (!f || !f->is_image) mynah_json_append(shape, mynah_json_integer(f ? mynah_feature_size(f) : 1));
  mynah_json_set(j, "shape", shape);
  mynah_json_set(j, "names", f ? names_of(f) : mynah_json_null());
  return j;
}

static mynah_status save(const export *x, const char *name, mynah_json *j) {
  char path[MYNAH_PATH_MAX];
  mynah_str text = {0};
  mynah_status status = make_path(x, name, path);
  if (status == MYNAH_OK) status = mynah_json_dump(j, 4, &text);
  if (status == MYNAH_OK) status = mynah_file_write(path, text.data, text.length);
  mynah_str_deinit(&text);
  mynah_json_destroy(j);
  return status;
}

static mynah_status put_info(const export *x) {
  static const char *const dtypes[MYNAH_DTYPE_COUNT] = {"float32", "float64", "int64",  "int32",
                                                        "int32",   "bool",    "float32"};
  mynah_json *j = mynah_json_object(), *features = mynah_json_object(), *splits = mynah_json_object();
  const mynah_dataset *d = x->d;
  char train[32];
  for (int i = 0; i < d->n_features; i++)
    mynah_json_set(features, d->features[i].name,
                   feature_json(d->features[i].is_image ? "image" : dtypes[d->features[i].dtype], &d->features[i]));
  for (int k = 0; k < N_OWN; k++)
    mynah_json_set(features, own_names[k], feature_json(k == TIMESTAMP ? "float32" : "int64", NULL));
  snprintf(train, sizeof train, "0:%zu", d->n_episodes);
  mynah_json_set(splits, "train", mynah_json_string(train));
  mynah_json_set(j, "codebase_version", mynah_json_string("v3.0"));
  mynah_json_set(j, "robot_type", mynah_json_string(d->robot));
  mynah_json_set(j, "total_episodes", mynah_json_integer((int64_t)d->n_episodes));
  mynah_json_set(j, "total_frames", mynah_json_integer(mynah_dataset_n_frames(d)));
  mynah_json_set(j, "total_tasks", mynah_json_integer((int64_t)mynah_json_size(x->tasks)));
  mynah_json_set(j, "chunks_size", mynah_json_integer(1000));
  mynah_json_set(j, "data_files_size_in_mb", mynah_json_integer(100));
  mynah_json_set(j, "video_files_size_in_mb", mynah_json_integer(200));
  mynah_json_set(j, "fps",
                 d->rate_hz == (double)(int64_t)d->rate_hz ? mynah_json_integer((int64_t)d->rate_hz)
                                                           : mynah_json_number(d->rate_hz));
  mynah_json_set(j, "splits", splits);
  mynah_json_set(j, "data_path", mynah_json_string("data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"));
  mynah_json_set(j, "video_path", mynah_json_null());
  mynah_json_set(j, "features", features);
  return save(x, "meta/info.json", j);
}

/* Of a picture each number stands alone in [[…]]: (3,1,1). */
static mynah_json *stat_list(const double *v, size_t n, bool is_image) {
  mynah_json *list = mynah_json_array();
  for (size_t k = 0; k < n; k++) {
    mynah_json *one = mynah_json_number(v[k]);
    for (int depth = 0; depth < 2 && is_image; depth++) {
      mynah_json *outer = mynah_json_array();
      mynah_json_append(outer, one);
      one = outer;
    }
    mynah_json_append(list, one);
  }
  return list;
}

static mynah_status put_stats(const export *x) {
  mynah_json *j = mynah_json_object();
  mynah_status status = MYNAH_OK;
  for (int i = 0; i < x->d->n_features && status == MYNAH_OK; i++) {
    const mynah_feature *f = &x->d->features[i];
    mynah_stats s;
    if ((status = mynah_dataset_stats(x->d, f->name, NULL, 0, 1000, &s)) != MYNAH_OK) break;
    const double *const lists[] = {s.min, s.max, s.mean, s.std};
    static const char *const names[] = {"min", "max", "mean", "std"};
    mynah_json *one = mynah_json_object(), *count = mynah_json_array();
    for (int k = 0; k < 4; k++) mynah_json_set(one, names[k], stat_list(lists[k], (size_t)s.size, f->is_image));
    mynah_json_append(count, mynah_json_integer(s.n_frames));
    mynah_json_set(one, "count", count);
    mynah_json_set(j, f->name, one);
    mynah_stats_deinit(&s);
  }
  if (status == MYNAH_OK) return save(x, "meta/stats.json", j);
  mynah_json_destroy(j);
  return status;
}

static mynah_status put_all(export *x, const mynah_progress *progress) {
  x->file_of = mynah_calloc(x->d->n_episodes, sizeof *x->file_of);
  x->task_of = mynah_calloc(x->d->n_episodes, sizeof *x->task_of);
  if (!x->file_of || !x->task_of) return MYNAH_NO_MEMORY;
  MYNAH_TRY(describe_fields(x));
  MYNAH_TRY(find_tasks(x));
  MYNAH_TRY(put_data(x, progress));
  MYNAH_TRY(put_tasks(x));
  MYNAH_TRY(put_episodes(x));
  MYNAH_TRY(put_info(x));
  return put_stats(x);
}

static mynah_status work(mynah_dataset *d, const char *folder, const mynah_progress *progress) {
  export *x = mynah_calloc(1, sizeof *x);
  if (!x) return MYNAH_NO_MEMORY;
  x->d = d;
  x->folder = folder;
  x->tasks = mynah_json_object();
  mynah_status status = put_all(x, progress);
  mynah_json_destroy(x->tasks);
  mynah_free(x->file_of);
  mynah_free(x->task_of);
  mynah_free(x);
  return status;
}

static mynah_status run(mynah_dataset *d, const char *out_path, const mynah_progress *progress) {
  return mynah__export_run(d, out_path, progress, work);
}
const mynah_exporter mynah__export_lerobot = {"lerobot", "a LeRobot v3.0 data set, pictures in its data files", run};
