/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* HDF5: import of robomimic (data/demo_N, mask/NAME becomes tags), ALOHA and ACT (a file an episode), Minari
 * (episode_N); export as robomimic. The only file that knows libhdf5. Nothing outside the file is followed: no external
 * links, storage or plug-ins. */
#include "export.h"
#include "ingest.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MAX_FIELDS 64
#define MAX_DEPTH 4
#define MAX_FRAMES 100000000
#define MAX_CHUNK_BYTES ((size_t)512 << 20) /* unpacked */
#define DEFLATE_RATIO 1032                  /* no stream unpacks to more times its size */
#define READ_BYTES ((size_t)4 << 20) /* rows are read in pieces of about this */

/* A dataset of the episode at hand. */
typedef struct field {
  char name[MYNAH_NAME_MAX];
  hid_t set, type; /* type: in memory */
  mynah__item item;
  int n_dims;
  int64_t dims[MYNAH_MAX_DIMS]; /* rows first */
  size_t row_bytes;
  uint8_t *rows; /* from first … */
  int64_t first, count;
} field;

typedef struct import {
  const mynah__array_config *config;
  mynah__ingest *in;
  const struct layout *layout;
  hid_t file;
  field fields[MAX_FIELDS];
  int n_fields;
  char names[MYNAH__MAX_FEATURES][MYNAH_NAME_MAX]; /* of the field that each feature is */
  bool is_blob[MYNAH__MAX_FEATURES];               /* rows are encoded pictures */
  field *source[MYNAH__MAX_FEATURES];
  mynah_json *tags;
} import;

typedef struct layout {
  const char *name, *group, *prefix; /* where episodes are: GROUP/PREFIXn */
  double rate_hz;
  const char *expert;
} layout;
static const layout robomimic = {"robomimic", "data", "demo_", 20, "human"},
                    minari = {"minari", "/", "episode_", 10, ""}, aloha = {"aloha", "/", "", 50, "human"};

static mynah_status broken(const import *m, const char *what, const char *name) {
  return mynah_fail(MYNAH_CORRUPT, "%s: %s '%.80s'", m->in->path, what, name);
}

/* ---- one dataset
 * -------------------------------------------------------------------------------------------------------- */

static void close_fields(import *m) {
  for (int i = 0; i < m->n_fields; i++) {
    H5Tclose(m->fields[i].type);
    H5Dclose(m->fields[i].set);
    mynah_free(m->fields[i].rows);
  }
  m->n_fields = 0;
}

static bool read_type(field *f) {
  hid_t stored = H5Dget_type(f->set);
  H5T_class_t kind = H5Tget_class(stored);
  bool is_signed = kind == H5T_INTEGER && H5Tget_sign(stored) == H5T_SGN_2;
  f->type =
      kind == H5T_INTEGER || kind == H5T_FLOAT || kind == H5T_ENUM ? H5Tget_native_type(stored, H5T_DIR_ASCEND) : -1;
  H5Tclose(stored);
  if (f->type < 0) return false;
  char text[8];
  size_t bytes = H5Tget_size(f->type);
  snprintf(text, sizeof text, "<%c%d",
           kind == H5T_FLOAT  ? 'f'
           : kind == H5T_ENUM ? 'b'
           : is_signed        ? 'i'
                              : 'u',
           (int)(bytes & 15));
  if (mynah__item_parse("", text, &f->item) == MYNAH_OK) return true;
  H5Tclose(f->type);
  return false;
}

/* Whether a stream unpacks to at most so many bytes; libhdf5 would make room for whatever it holds. */
static bool unpacks_within(const uint8_t *data, size_t n, size_t most) {
  uint8_t scratch[1 << 14];
  z_stream s = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n};
  size_t total = 0;
  int code = inflateInit(&s);
  while (code == Z_OK && total <= most) {
    s.next_out = scratch;
    s.avail_out = sizeof scratch;
    code = inflate(&s, Z_NO_FLUSH);
    total += sizeof scratch - s.avail_out;
  }
  inflateEnd(&s);
  return code == Z_STREAM_END && total <= most;
}

static bool has_good_chunk(hid_t set, hid_t space, hsize_t i, size_t chunk_bytes) {
  hsize_t at[H5S_MAX_RANK], stored = 0;
  unsigned skipped = 0;
  haddr_t address;
  uint32_t mask;
  if (H5Dget_chunk_info(set, space, i, at, &skipped, &address, &stored) < 0 || stored > MAX_CHUNK_BYTES) return false;
  if (stored * DEFLATE_RATIO <= MAX_CHUNK_BYTES) return true;
  uint8_t *data = mynah_alloc((size_t)stored + 1);
  bool is_good = data && H5Dread_chunk(set, H5P_DEFAULT, at, &mask, data) >= 0 && unpacks_within(data, (size_t)stored, chunk_bytes);
  mynah_free(data);
  return is_good;
}

/* Chunks are no larger than allowed, and packed ones hold what fits one. */
static bool has_good_chunks(hid_t set, hid_t made, size_t item) {
  hsize_t dims[H5S_MAX_RANK], n_chunks = 0;
  size_t bytes = item;
  bool is_packed = false;
  if (H5Pget_layout(made) != H5D_CHUNKED) return true;
  int n = H5Pget_chunk(made, H5S_MAX_RANK, dims), n_filters = H5Pget_nfilters(made);
  for (int i = 0; i < n; i++)
    if (!mynah_mul_size(bytes, (size_t)dims[i], &bytes)) return false;
  if (bytes > MAX_CHUNK_BYTES) return false;
  for (int i = 0; i < n_filters; i++) { /* packed once, and after that at most a checksum is added */
    H5Z_filter_t filter = H5Pget_filter2(made, (unsigned)i, NULL, &(size_t){0}, NULL, 0, NULL, NULL);
    if (is_packed && filter != H5Z_FILTER_FLETCHER32) return false;
    is_packed = is_packed || filter == H5Z_FILTER_DEFLATE;
  }
  hid_t space = H5Dget_space(set); /* not H5S_ALL, which 1.10 does not take here */
  bool is_good = !is_packed || H5Dget_num_chunks(set, space, &n_chunks) >= 0;
  for (hsize_t i = 0; i < n_chunks && is_good; i++) is_good = has_good_chunk(set, space, i, bytes);
  H5Sclose(space);
  return is_good;
}

/* Fails: CORRUPT. */
static mynah_status check_storage(const import *m, const field *f) {
  hid_t made = H5Dget_create_plist(f->set);
  bool is_outside = H5Pget_layout(made) == H5D_VIRTUAL || H5Pget_external_count(made) > 0;
  bool is_good = is_outside || has_good_chunks(f->set, made, H5Tget_size(f->type));
  H5Pclose(made);
  if (is_outside) return broken(m, "another file holds", f->name);
  return is_good ? MYNAH_OK : broken(m, "chunks of over 512 MiB, or that unpack to more than they should, in", f->name);
}

static bool read_shape(field *f) {
  hsize_t dims[H5S_MAX_RANK];
  hid_t space = H5Dget_space(f->set);
  int n = H5Sget_simple_extent_ndims(space);
  bool is_good = n >= 1 && n <= MYNAH_MAX_DIMS && H5Sget_simple_extent_dims(space, dims, NULL) == n;
  H5Sclose(space);
  f->n_dims = is_good ? n : 0;
  f->row_bytes = (size_t)f->item.bytes;
  for (int i = 0; i < n && is_good; i++) {
    is_good = dims[i] >= 1 && dims[i] <= MAX_FRAMES &&
              (i == 0 || mynah_mul_size(f->row_bytes, (size_t)dims[i], &f->row_bytes));
    f->dims[i] = (int64_t)dims[i];
  }
  return is_good && f->row_bytes <= MYNAH__MAX_PICTURE_BYTES;
}

/* Datasets that are no arrays of numbers are left out. */
static mynah_status add_field(import *m, hid_t group, const char *link, const char *name) {
  field f = {.first = -1};
  if (m->n_fields == MAX_FIELDS)
    return mynah_fail(MYNAH_LIMIT, "%s: an episode has over %d arrays", m->in->path, MAX_FIELDS);
  if (strlen(name) >= sizeof f.name) return MYNAH_OK;
  snprintf(f.name, sizeof f.name, "%s", name);
  f.set = H5Dopen2(group, link, H5P_DEFAULT);
  if (f.set < 0) return broken(m, "cannot open", name);
  bool has_type = read_type(&f), is_good = has_type && read_shape(&f);
  size_t n = READ_BYTES / (f.row_bytes + 1) + 1;
  mynah_status status = is_good ? check_storage(m, &f) : MYNAH_OK;
  if (is_good && status == MYNAH_OK) status = (f.rows = mynah_alloc(f.row_bytes * n)) ? MYNAH_OK : MYNAH_NO_MEMORY;
  if (!f.rows) {
    if (has_type) H5Tclose(f.type);
    H5Dclose(f.set);
    return status;
  }
  f.count = (int64_t)n; /* room; the first read says how many are there */
  m->fields[m->n_fields++] = f;
  return MYNAH_OK;
}

static mynah_status walk(import *m, hid_t group, const char *prefix, int depth) {
  H5G_info_t info;
  if (H5Gget_info(group, &info) < 0) return broken(m, "cannot list", prefix);
  for (hsize_t i = 0; i < info.nlinks && i < 4096; i++) {
    char link[MYNAH_NAME_MAX], name[2 * MYNAH_NAME_MAX + 2];
    H5L_info_t what;
    H5O_info_t object;
    ssize_t n = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, link, sizeof link, H5P_DEFAULT);
    if (n <= 0 || (size_t)n >= sizeof link) continue;
    if (H5Lget_info(group, link, &what, H5P_DEFAULT) < 0 || what.type != H5L_TYPE_HARD)
      continue; /* links lead elsewhere */
    if (H5Oget_info_by_name(group, link, &object, H5P_DEFAULT) < 0) return broken(m, "cannot open", link);
    if (snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "/" : "", link) >= MYNAH_NAME_MAX) continue;
    if (strcmp(name, "next_obs") == 0 || strcmp(name, "infos") == 0) continue;
    if (object.type == H5O_TYPE_DATASET) MYNAH_TRY(add_field(m, group, link, name));
    if (object.type != H5O_TYPE_GROUP || depth >= MAX_DEPTH) continue;
    hid_t below = H5Gopen2(group, link, H5P_DEFAULT);
    if (below < 0) return broken(m, "cannot open", name);
    mynah_status status = walk(m, below, name, depth + 1);
    H5Gclose(below);
    MYNAH_TRY(status);
  }
  return MYNAH_OK;
}

/* Row t of a field, from the piece that is in memory. */
static mynah_status read_row(const import *m, field *f, int64_t t, const uint8_t **row) {
  if (t >= f->dims[0]) return broken(m, "too few rows in", f->name);
  if (f->first < 0 || t < f->first || t >= f->first + f->count) {
    int64_t room = (int64_t)(READ_BYTES / (f->row_bytes + 1) + 1), n = f->dims[0] - t < room ? f->dims[0] - t : room;
    hsize_t start[MYNAH_MAX_DIMS] = {(hsize_t)t}, count[MYNAH_MAX_DIMS] = {(hsize_t)n};
    for (int i = 1; i < f->n_dims; i++) count[i] = (hsize_t)f->dims[i];
    hid_t file = H5Dget_space(f->set), memory = H5Screate_simple(f->n_dims, count, NULL);
    herr_t code = H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL);
    if (code >= 0) code = H5Dread(f->set, f->type, memory, file, H5P_DEFAULT, f->rows);
    H5Sclose(file);
    H5Sclose(memory);
    f->first = -1;
    if (code < 0) return broken(m, "cannot read", f->name);
    f->first = t;
    f->count = n;
  }
  *row = f->rows + (size_t)(t - f->first) * f->row_bytes;
  return MYNAH_OK;
}

/* ---- features
 * ----------------------------------------------------------------------------------------------------------- */

static int64_t count_frames(const import *m) {
  for (int i = 0; i < m->n_fields; i++) {
    char name[MYNAH_NAME_MAX];
    if (mynah__map_name(m->config->map, m->fields[i].name, false, name) == MYNAH_OK && strcmp(name, "action") == 0)
      return m->fields[i].dims[0];
  }
  return 0;
}

/* ALOHA's compressed cameras: JPEG files padded to rows of one length. */
static mynah_status add_blob_field(import *m, field *f) {
  char name[MYNAH_NAME_MAX];
  const uint8_t *row = NULL;
  mynah_codec codec;
  int width, height;
  MYNAH_TRY(mynah__map_name(m->config->map, f->name, true, name));
  MYNAH_TRY(read_row(m, f, 0, &row));
  if (!name[0] || m->in->n == MYNAH__MAX_FEATURES || !mynah__picture_size(row, f->row_bytes, &codec, &width, &height))
    return MYNAH_OK;
  snprintf(m->names[m->in->n], MYNAH_NAME_MAX, "%s", f->name);
  m->is_blob[m->in->n] = true;
  m->in->features[m->in->n++] = mynah_feature_image(name, height, width);
  return MYNAH_OK;
}

static mynah_status find_features(import *m, int64_t n_frames) {
  for (int i = 0; i < m->n_fields; i++) {
    field *f = &m->fields[i];
    static const int64_t one = 1;
    int at;
    if (f->dims[0] != n_frames && f->dims[0] != n_frames + 1)
      continue; /* Minari keeps the observation after the last action */
    if (strstr(f->name, "images/") && f->n_dims == 2) {
      MYNAH_TRY(add_blob_field(m, f));
      continue;
    }
    MYNAH_TRY(mynah__ingest_field(m->in, m->config->map, f->name, &f->item, f->n_dims > 1 ? f->n_dims - 1 : 1,
                                  f->n_dims > 1 ? f->dims + 1 : &one, &at));
    if (at >= 0) snprintf(m->names[at], MYNAH_NAME_MAX, "%s", f->name);
  }
  return MYNAH_OK;
}

/* The episode's field of each feature, with the same rows as in the first. */
static mynah_status match_features(import *m) {
  for (int k = 0; k < m->in->n; k++) {
    m->source[k] = NULL;
    for (int i = 0; i < m->n_fields; i++)
      if (strcmp(m->fields[i].name, m->names[k]) == 0) m->source[k] = &m->fields[i];
    const field *f = m->source[k];
    const mynah_feature *want = &m->in->features[k];
    if (!f) return broken(m, "an episode lacks", m->names[k]);
    size_t n = f->row_bytes / (size_t)f->item.bytes;
    bool fits = m->is_blob[k] || (n == (size_t)mynah_feature_size(want) &&
                                  (want->is_image ? f->item.bytes == 1 : f->item.dtype == want->dtype));
    if (!fits) return broken(m, "another shape or type than in the first episode has", m->names[k]);
  }
  return MYNAH_OK;
}

static mynah_status fetch(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns) {
  import *m = context;
  for (int k = 0; k < m->in->n; k++) {
    const uint8_t *row = NULL;
    const field *f = m->source[k];
    MYNAH_TRY(read_row(m, m->source[k], t, &row));
    if (m->is_blob[k]) values[k] = (mynah_value){row, f->row_bytes, 0}, is_encoded[k] = true;
    else mynah__items_convert(&f->item, row, f->row_bytes / (size_t)f->item.bytes, m->in->values[k]);
  }
  return MYNAH_OK;
}

/* ---- attributes and masks
 * ------------------------------------------------------------------------------------------------ */

/* A text attribute, at most 64 KiB; "" when there is none. */
static void read_text(hid_t object, const char *name, mynah_str *out) {
  if (H5Aexists(object, name) <= 0) return;
  hid_t a = H5Aopen(object, name, H5P_DEFAULT), type = H5Aget_type(a), space = H5Aget_space(a);
  size_t n = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1 && n <= 65536) {
    if (H5Tis_variable_str(type) > 0) {
      char *text = NULL;
      if (H5Aread(a, type, &text) >= 0 && text) mynah_str_append(out, text, strnlen(text, 65536));
      if (text) H5free_memory(text);
    } else {
      char *text = mynah_calloc(1, n + 1);
      if (text && H5Aread(a, type, text) >= 0) mynah_str_append(out, text, strlen(text));
      mynah_free(text);
    }
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(a);
}

/* robomimic: {"env_name", "env_kwargs":{"control_freq"}} */
static double rate_of(const import *m, hid_t group) {
  mynah_str text = {0};
  mynah_json *j = NULL;
  read_text(group, "env_args", &text);
  double rate = m->layout->rate_hz;
  if (text.length > 0 && mynah_json_parse(mynah_str_text(&text), text.length, &j) == MYNAH_OK)
    rate = mynah_json_to_number(mynah_json_get(mynah_json_get(j, "env_kwargs"), "control_freq"), rate);
  mynah_json_destroy(j);
  mynah_str_deinit(&text);
  return rate;
}

/* True when mask/NAME, a list of fixed-length texts, has the episode. */
static bool is_masked(hid_t masks, const char *name, const char *episode) {
  hid_t set = H5Dopen2(masks, name, H5P_DEFAULT);
  if (set < 0) return false;
  hid_t type = H5Dget_type(set), space = H5Dget_space(set);
  hssize_t n = H5Sget_simple_extent_npoints(space);
  size_t each = H5Tget_size(type);
  bool is_found = false, is_fixed = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && each < 256;
  char *text = is_fixed && n > 0 && n < 10000000 ? mynah_calloc((size_t)n, each) : NULL;
  if (text && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0)
    for (hssize_t i = 0; i < n && !is_found; i++)
      is_found = strlen(episode) <= each && strncmp(text + (size_t)i * each, episode, each) == 0;
  mynah_free(text);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(set);
  return is_found;
}

static void read_masks(import *m, const char *episode, int64_t id) {
  H5G_info_t info;
  if (H5Lexists(m->file, "mask", H5P_DEFAULT) <= 0) return;
  hid_t masks = H5Gopen2(m->file, "mask", H5P_DEFAULT);
  if (masks < 0) return;
  mynah_json *list = mynah_json_array();
  for (hsize_t i = 0; H5Gget_info(masks, &info) >= 0 && i < info.nlinks && i < 256; i++) {
    char name[64];
    ssize_t n = H5Lget_name_by_idx(masks, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
    if (n > 0 && n < 63 && is_masked(masks, name, episode)) mynah_json_append(list, mynah_json_string(name));
  }
  char key[24];
  snprintf(key, sizeof key, "%lld", (long long)id);
  mynah_json_set(m->tags, key, list);
  H5Gclose(masks);
}

/* ---- episodes
 * -------------------------------------------------------------------------------------------------------------- */

static mynah_status load_episode(import *m, hid_t group, int64_t number, const char *name) {
  MYNAH_TRY(walk(m, group, "", 0));
  int64_t n = count_frames(m);
  if (n < 1) return mynah_fail(MYNAH_CORRUPT, "%s: '%s' has no actions", m->in->path, name);
  if (!m->in->file.dataset) {
    m->in->n = 0;
    MYNAH_TRY(find_features(m, n));
    char source[32];
    hid_t top = H5Gopen2(m->file, m->layout->group, H5P_DEFAULT);
    double rate = top < 0 ? m->layout->rate_hz : rate_of(m, top);
    H5Gclose(top);
    snprintf(source, sizeof source, "import %s", m->layout->name);
    MYNAH_TRY(mynah__ingest_create_arrays(m->in, m->config, rate, source));
  }
  MYNAH_TRY(match_features(m));
  mynah_episode info = mynah__episode_of(m->config, m->layout->expert);
  int64_t before = m->in->report.n_episodes;
  MYNAH_TRY(mynah__ingest_episode(m->in, &info, number, n, fetch, m));
  const mynah_dataset *d = m->in->file.dataset;
  if (m->in->report.n_episodes > before) read_masks(m, name, d->episodes[d->n_episodes - 1].id);
  return MYNAH_OK;
}

/* A bad one before the writer saw it is reported as well. */
static mynah_status take_episode(import *m, hid_t group, int64_t number, const char *name) {
  mynah_status status = group < 0 ? broken(m, "cannot open", name) : load_episode(m, group, number, name);
  close_fields(m);
  if (status == MYNAH_OK || !mynah__ingest_is_bad(status)) return status;
  mynah__ingest_skip(m->in, "episode", number, mynah_error());
  return MYNAH_OK;
}

/* By its descriptor: the file that was looked at is the one that is read. */
static mynah_status open_file(import *m, const char *path) {
  char name[40];
  int fd;
  if (!mynah_file_exists(path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: is not there", path);
  MYNAH_TRY(mynah_file_open(path, &fd));
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  m->file = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
  close(fd);
  return m->file < 0 ? mynah_fail(MYNAH_CORRUPT, "%s: is no HDF5 file, or is damaged", path) : MYNAH_OK;
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* The numbers N of names PREFIXnTAIL, ascending. */
static mynah_status add_number(int64_t **numbers, size_t *n, size_t *capacity, const char *name, const char *prefix,
                               const char *tail) {
  char *end;
  size_t head = strlen(prefix);
  if (strncmp(name, prefix, head) != 0 || name[head] < '0' || name[head] > '9') return MYNAH_OK;
  long long number = strtoll(name + head, &end, 10);
  if (strcmp(end, tail) != 0) return MYNAH_OK;
  MYNAH_TRY(mynah_grow((void **)numbers, capacity, *n + 1, sizeof **numbers));
  (*numbers)[(*n)++] = number;
  return MYNAH_OK;
}

/* One file with a group an episode. */
static mynah_status read_groups(import *m, const char *path) {
  int64_t *numbers = NULL;
  size_t n = 0, capacity = 0;
  MYNAH_TRY(open_file(m, path));
  hid_t top = H5Gopen2(m->file, m->layout->group, H5P_DEFAULT);
  H5G_info_t info = {0};
  if (top < 0 || H5Gget_info(top, &info) < 0) return broken(m, "has no group", m->layout->group);
  mynah_status status = MYNAH_OK;
  for (hsize_t i = 0; i < info.nlinks && status == MYNAH_OK; i++) {
    char name[64];
    ssize_t length = H5Lget_name_by_idx(top, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
    if (length > 0 && length < 64) status = add_number(&numbers, &n, &capacity, name, m->layout->prefix, "");
  }
  if (n > 0) qsort(numbers, n, sizeof *numbers, by_value);
  for (size_t i = 0; i < n && status == MYNAH_OK; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s%lld", m->layout->prefix, (long long)numbers[i]);
    hid_t group = H5Gopen2(top, name, H5P_DEFAULT);
    status = take_episode(m, group, numbers[i], name);
    if (group >= 0) H5Gclose(group);
    mynah_progress_tell(m->in->progress, "import", (double)i + 1, (double)n, "episodes", "");
  }
  mynah_free(numbers);
  H5Gclose(top);
  return status;
}

/* A folder with a file an episode. */
static mynah_status read_files(import *m, const char *folder) {
  char **names, path[MYNAH_PATH_MAX];
  int64_t *numbers = NULL;
  size_t n_names, n = 0, capacity = 0;
  MYNAH_TRY(mynah_list_dir(folder, &names, &n_names));
  mynah_status status = MYNAH_OK;
  for (size_t i = 0; i < n_names && status == MYNAH_OK; i++)
    status = add_number(&numbers, &n, &capacity, names[i], "episode_", ".hdf5");
  mynah_names_free(names, n_names);
  if (n > 0) qsort(numbers, n, sizeof *numbers, by_value);
  for (size_t i = 0; i < n && status == MYNAH_OK; i++) {
    char name[64];
    snprintf(name, sizeof name, "episode_%lld.hdf5", (long long)numbers[i]);
    status = mynah_path_join(path, sizeof path, folder, name);
    bool is_open = status == MYNAH_OK && open_file(m, path) == MYNAH_OK;
    if (status == MYNAH_OK && !is_open) mynah__ingest_skip(m->in, "episode", numbers[i], mynah_error());
    if (is_open) status = take_episode(m, m->file, numbers[i], name);
    if (m->file >= 0) H5Fclose(m->file);
    m->file = -1;
    mynah_progress_tell(m->in->progress, "import", (double)i + 1, (double)n, "episodes", "");
  }
  mynah_free(numbers);
  return status;
}

static mynah_status read_all(import *m) {
  char path[MYNAH_PATH_MAX], **names;
  size_t n;
  bool is_folder = mynah_list_dir(m->in->path, &names, &n) == MYNAH_OK;
  if (is_folder) mynah_names_free(names, n);
  if (m->layout == &aloha && is_folder) return read_files(m, m->in->path);
  if (m->layout == &aloha) {
    MYNAH_TRY(open_file(m, m->in->path));
    return take_episode(m, m->file, 0, "");
  }
  if (!is_folder) return read_groups(m, m->in->path);
  MYNAH_TRY(mynah_path_join(path, sizeof path, m->in->path, "data/main_data.hdf5"));
  if (!mynah_file_exists(path)) MYNAH_TRY(mynah_path_join(path, sizeof path, m->in->path, "main_data.hdf5"));
  return read_groups(m, path);
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  mynah_str text = {0};
  m->in = in;
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5PLset_loading_state(0);
  MYNAH_TRY(read_all(m));
  if (mynah_json_size(m->tags) == 0 || !in->file.dataset) return MYNAH_OK;
  mynah_status status = mynah_json_dump(m->tags, 0, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(in->file.dataset, "tags", mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

static mynah_status run(const layout *l, const char *path, const char *out_path, const void *config,
                        const mynah_progress *progress, mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  m->layout = l;
  m->file = -1;
  m->tags = mynah_json_object();
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  close_fields(m);
  if (m->file >= 0) H5Fclose(m->file);
  mynah_json_destroy(m->tags);
  mynah_free(m);
  return status;
}

#define RUN(name)                                                                               \
  static mynah_status run_##name(const char *path, const char *out_path, const void *config,    \
                                 const mynah_progress *progress, mynah_import_report *report) { \
    return run(&name, path, out_path, config, progress, report);                                \
  }
RUN(robomimic)
RUN(aloha)
RUN(minari)

const mynah_importer mynah__import_robomimic = {"robomimic", "robomimic HDF5 (data/demo_N; masks become tags)",
                                                &mynah__array_table, run_robomimic};
const mynah_importer mynah__import_aloha = {"aloha", "ALOHA and ACT HDF5 (episode_N.hdf5 in a folder)",
                                            &mynah__array_table, run_aloha};
const mynah_importer mynah__import_minari = {"minari", "Minari HDF5 (a dataset's folder, or main_data.hdf5)",
                                             &mynah__array_table, run_minari};

/* ---- export as robomimic
 * ------------------------------------------------------------------------------------------------- */

/* "obs/top_image", "obs/state", "actions", "rewards", "dones". */
static void their_name(const mynah_feature *f, char *out, size_t size) {
  const char *name = f->name;
  if (strcmp(name, "action") == 0) snprintf(out, size, "actions");
  else if (strcmp(name, "next.reward") == 0) snprintf(out, size, "rewards");
  else if (strcmp(name, "next.done") == 0) snprintf(out, size, "dones");
  else if (f->is_image)
    snprintf(out, size, "obs/%s_image", strncmp(name, "observation.images.", 19) == 0 ? name + 19 : name);
  else snprintf(out, size, "obs/%s", strncmp(name, "observation.", 12) == 0 ? name + 12 : name);
}

static mynah_status cannot_write(const mynah_dataset *d, const char *what) {
  return mynah_fail(MYNAH_IO, "%s: '%s' cannot be written", d->path, what);
}

/* Rows from … of a dataset that is being written. */
static bool put_rows(hid_t set, hid_t type, int n_dims, const hsize_t *dims, hsize_t from, hsize_t n,
                     const void *data) {
  hsize_t start[MYNAH_MAX_DIMS + 1] = {from}, count[MYNAH_MAX_DIMS + 1] = {n};
  for (int i = 1; i < n_dims; i++) count[i] = dims[i];
  hid_t file = H5Dget_space(set), memory = H5Screate_simple(n_dims, count, NULL);
  bool is_done = H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                 H5Dwrite(set, type, memory, file, H5P_DEFAULT, data) >= 0;
  H5Sclose(file);
  H5Sclose(memory);
  return is_done;
}

/* Pictures go in chunks of one, deflated; vectors whole. */
static mynah_status put_feature(mynah_dataset *d, hid_t group, int64_t e, int feature) {
  const hid_t types[MYNAH_DTYPE_COUNT] = {
      H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_NATIVE_INT64, H5T_NATIVE_INT32, H5T_NATIVE_UINT8, H5T_NATIVE_UINT8, -1};
  const mynah_feature *f = &d->features[feature];
  int64_t n = d->episodes[e].n_frames;
  char name[MYNAH_NAME_MAX + 16];
  hsize_t dims[MYNAH_MAX_DIMS + 1] = {(hsize_t)n}, chunk[MYNAH_MAX_DIMS + 1] = {1};
  bool is_flat = strncmp(f->name, "next.", 5) == 0 && mynah_feature_size(f) == 1; /* rewards and dones are (N) */
  int n_dims = is_flat ? 1 : 1 + f->n_dims;
  hid_t type = f->is_image ? H5T_NATIVE_UINT8 : types[f->dtype];
  if (type < 0) return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%s' has a type that HDF5 lacks", d->path, f->name);
  for (int i = 0; i < f->n_dims; i++) dims[i + 1] = chunk[i + 1] = (hsize_t)f->dims[i];
  their_name(f, name, sizeof name);
  hid_t space = H5Screate_simple(n_dims, dims, NULL), how = H5Pcreate(H5P_DATASET_CREATE),
        links = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  if (f->is_image) {
    H5Pset_chunk(how, n_dims, chunk);
    H5Pset_deflate(how, 4);
  }
  hid_t set = H5Dcreate2(group, name, type, space, links, how, H5P_DEFAULT);
  mynah_status status = set < 0 ? cannot_write(d, name) : MYNAH_OK;
  for (int64_t t = 0; t < n && status == MYNAH_OK;) {
    mynah_image p;
    const mynah__block *b;
    if (f->is_image) {
      status = mynah_dataset_read_image(d, e, f->name, t, 0, 0, &p);
      if (status != MYNAH_OK) break;
      if (!put_rows(set, type, n_dims, dims, (hsize_t)t++, 1, p.data)) status = cannot_write(d, name);
      mynah_image_deinit(&p);
    } else if ((status = mynah__read_block(d, &d->episodes[e], feature, t, &b)) == MYNAH_OK) {
      if (!put_rows(set, type, n_dims, dims, (hsize_t)b->start, (hsize_t)b->count, b->data))
        status = cannot_write(d, name);
      t = b->start + b->count;
    }
  }
  if (set >= 0) H5Dclose(set);
  H5Pclose(links);
  H5Pclose(how);
  H5Sclose(space);
  return status;
}

static bool put_attribute(hid_t object, const char *name, hid_t type, const void *value) {
  hid_t space = H5Screate(H5S_SCALAR), a = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  bool is_done = a >= 0 && H5Awrite(a, type, value) >= 0;
  if (a >= 0) H5Aclose(a);
  H5Sclose(space);
  return is_done;
}

static bool put_text(hid_t object, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  bool is_done = put_attribute(object, name, type, &text);
  H5Tclose(type);
  return is_done;
}

static mynah_status put_episode(mynah_dataset *d, hid_t data, int64_t e) {
  char name[64];
  int64_t n = d->episodes[e].n_frames;
  snprintf(name, sizeof name, "demo_%lld", (long long)e);
  hid_t group = H5Gcreate2(data, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (group < 0) return cannot_write(d, name);
  mynah_status status = put_attribute(group, "num_samples", H5T_NATIVE_INT64, &n) ? MYNAH_OK : cannot_write(d, name);
  for (int i = 0; i < d->n_features && status == MYNAH_OK; i++) status = put_feature(d, group, e, i);
  hsize_t rows = (hsize_t)n;
  int64_t *ends = mynah_calloc((size_t)n, sizeof *ends);
  for (int k = 0; k < 2 && ends && status == MYNAH_OK; k++) { /* robomimic wants both */
    const char *what = k ? "rewards" : "dones";
    if (H5Lexists(group, what, H5P_DEFAULT) > 0) continue;
    ends[n - 1] = k ? d->episodes[e].success == 1 : 1;
    hid_t space = H5Screate_simple(1, &rows, NULL);
    hid_t set =
        H5Dcreate2(group, what, k ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, ends) < 0)
      status = cannot_write(d, what);
    if (set >= 0) H5Dclose(set);
    H5Sclose(space);
  }
  if (!ends && status == MYNAH_OK) status = MYNAH_NO_MEMORY;
  mynah_free(ends);
  H5Gclose(group);
  return status;
}

/* mask/train, valid, test: which demo is in which part. */
static mynah_status put_masks(mynah_dataset *d, hid_t file) {
  static const char *const parts[] = {"train", "valid", "test"};
  enum { EACH = 32 };
  char *names = mynah_calloc(d->n_episodes, EACH);
  if (!names) return MYNAH_NO_MEMORY;
  mynah_status status = MYNAH_OK;
  hid_t masks = -1;
  for (int p = 0; p < 3 && status == MYNAH_OK; p++) {
    hsize_t n = 0;
    for (int64_t e = 0; e < (int64_t)d->n_episodes; e++)
      if (mynah_dataset_part(d, e) == p) snprintf(names + EACH * n++, EACH, "demo_%lld", (long long)e);
    if (n == 0) continue;
    if (masks < 0) masks = H5Gcreate2(file, "mask", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &n, NULL);
    H5Tset_size(type, EACH);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    hid_t set = H5Dcreate2(masks, parts[p], type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names) < 0) status = cannot_write(d, parts[p]);
    if (set >= 0) H5Dclose(set);
    H5Sclose(space);
    H5Tclose(type);
    memset(names, 0, EACH * d->n_episodes);
  }
  if (masks >= 0) H5Gclose(masks);
  mynah_free(names);
  return status;
}

static mynah_status export_work(mynah_dataset *d, const char *path, const mynah_progress *progress) {
  char text[256];
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  if (!mynah_dataset_find(d, "action"))
    return mynah_fail(MYNAH_INVALID, "%s: robomimic needs a feature 'action'", d->path);
  hid_t file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
  if (file < 0) return mynah_fail(MYNAH_IO, "%s: cannot be made", path);
  hid_t data = H5Gcreate2(file, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  mynah_status status = MYNAH_OK;
  for (int64_t e = 0; e < (int64_t)d->n_episodes && status == MYNAH_OK; e++) {
    status = mynah_is_interrupted() ? mynah_fail(MYNAH_INTERRUPTED, "export: interrupted; nothing is left")
                                    : put_episode(d, data, e);
    mynah_progress_tell(progress, "export", (double)e + 1, (double)d->n_episodes, "episodes", "");
  }
  int64_t total = mynah_dataset_n_frames(d);
  snprintf(text, sizeof text, "{\"env_name\": \"%.100s\", \"type\": 1, \"env_kwargs\": {\"control_freq\": %.9g}}",
           strpbrk(d->robot, "\"\\") || strlen(d->robot) > 100 ? "" : d->robot, d->rate_hz);
  if (status == MYNAH_OK &&
      (!put_attribute(data, "total", H5T_NATIVE_INT64, &total) || !put_text(data, "env_args", text)))
    status = cannot_write(d, "data");
  if (status == MYNAH_OK) status = put_masks(d, file);
  H5Gclose(data);
  if (H5Fclose(file) < 0 && status == MYNAH_OK) status = mynah_fail(MYNAH_IO, "%s: cannot be written", path);
  return status;
}

static mynah_status run_export(mynah_dataset *d, const char *out_path, const mynah_progress *progress) {
  return mynah__export_run(d, out_path, progress, export_work);
}
const mynah_exporter mynah__export_robomimic = {"robomimic", "robomimic HDF5 (data/demo_N, mask/train …)", run_export};
