/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of rollouts as the `imitation` library saves them: a NumPy .npz with obs, acts and indices, where each of the
 * episodes that indices cut acts into has one observation more than actions. */
#include "store.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define ROLLOUT_KEYS(K)                                                                            \
  K(FLOAT, rate_hz, "rate_hz", 50, 0.001, 100000, "Hz", "control rate: rollouts keep no time")     \
  K(STRING, expert, "expert", "policy", 0, 0, "", "who is imitated")
typedef struct rollout_config {
#define ROLLOUT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  ROLLOUT_KEYS(ROLLOUT_FIELD)
} rollout_config;
#define ROLLOUT_ROW(type, field, name, value, low, high, unit, help)                               \
  MYNAH_KEY_OF(rollout_config, type, field, name, value, low, high, unit, help)
static const mynah_key rollout_keys[] = {ROLLOUT_KEYS(ROLLOUT_ROW)};
static const mynah_config_table rollout_table = {"rollouts", rollout_keys, sizeof rollout_keys / sizeof *rollout_keys,
                                                 sizeof(rollout_config)};

#define MAX_BYTES ((size_t)1 << 30)

/* One array of the archive. Shape: items (rows, width) */
typedef struct array {
  uint8_t *bytes; /* header and items */
  const uint8_t *items;
  int64_t rows, width;
  mynah_dtype dtype;
} array;

typedef struct import {
  const rollout_config *config;
  const mynah_progress *progress;
  mynah_import_report *report;
  const char *path;
  char *file;
  size_t n_bytes;
  array obs, acts, indices;
  mynah__import_file out;
} import;

/* ---- the archive: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.16 ---------------------------------------------- */

static uint32_t number(const uint8_t *p, int n) {
  uint32_t v = 0;
  for (int i = 0; i < n; i++) v |= (uint32_t)p[i] << 8 * i;
  return v;
}

static mynah_status damaged(const import *m, const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "%s: %s: no .npz archive, or a damaged one", m->path, what);
}

static mynah_status inflate_raw(const import *m, const uint8_t *data, size_t n, uint8_t *out, size_t due) {
  z_stream s = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)due};
  if (inflateInit2(&s, -15) != Z_OK) return MYNAH_NO_MEMORY;
  int code = inflate(&s, Z_FINISH);
  bool is_whole = code == Z_STREAM_END && s.avail_out == 0;
  inflateEnd(&s);
  return is_whole ? MYNAH_OK : damaged(m, "a member cannot be unpacked");
}

/* The member that a row of the central directory describes. */
static mynah_status unpack(const import *m, const uint8_t *row, uint8_t **out, size_t *length) {
  size_t packed = number(row + 20, 4), due = number(row + 24, 4), at = number(row + 42, 4);
  uint32_t method = number(row + 10, 2);
  if (at > m->n_bytes || m->n_bytes - at < 30 || number((uint8_t *)m->file + at, 4) != 0x04034b50)
    return damaged(m, "a member lies outside the file");
  const uint8_t *head = (const uint8_t *)m->file + at;
  at += 30 + number(head + 26, 2) + number(head + 28, 2);
  if (at > m->n_bytes || packed > m->n_bytes - at || due > MAX_BYTES) return damaged(m, "a member is cut or too long");
  if (method != 0 && method != 8) return mynah_fail(MYNAH_UNSUPPORTED, "%s: compression method %u", m->path, method);
  uint8_t *bytes = mynah_alloc(due + 1);
  if (!bytes) return MYNAH_NO_MEMORY;
  mynah_status status = MYNAH_OK;
  if (method == 8) status = inflate_raw(m, (const uint8_t *)m->file + at, packed, bytes, due);
  else if (packed == due) memcpy(bytes, m->file + at, due);
  else status = damaged(m, "a stored member");
  if (status == MYNAH_OK && crc32(0, bytes, (uInt)due) != number(row + 16, 4)) status = damaged(m, "a checksum");
  if (status != MYNAH_OK) {
    mynah_free(bytes);
    return status;
  }
  *out = bytes;
  *length = due;
  return MYNAH_OK;
}

/* The last record, behind at most 65535 bytes of comment, says where the directory is. */
static mynah_status find_member(const import *m, const char *name, const uint8_t **out) {
  const uint8_t *file = (const uint8_t *)m->file;
  size_t end = m->n_bytes < 22 ? 0 : m->n_bytes - 22, tried = 0;
  if (m->n_bytes < 22) return damaged(m, "too short");
  while (number(file + end, 4) != 0x06054b50) {
    if (end-- == 0 || ++tried > 65535) return damaged(m, "no directory");
  }
  size_t at = number(file + end + 16, 4), n = number(file + end + 10, 2);
  for (size_t i = 0; i < n; i++) {
    if (at > end || end - at < 46 || number(file + at, 4) != 0x02014b50) return damaged(m, "the directory");
    size_t length = number(file + at + 28, 2), next = 46 + length + number(file + at + 30, 2) + number(file + at + 32, 2);
    if (next > end - at) return damaged(m, "the directory is cut");
    if (length == strlen(name) && memcmp(file + at + 46, name, length) == 0) {
      *out = file + at;
      return MYNAH_OK;
    }
    at += next;
  }
  return mynah_fail(MYNAH_NOT_FOUND, "%s: has no array %s", m->path, name);
}

/* ---- arrays: numpy.lib.format, versions 1 to 3 ---------------------------------------------------------------------- */

static const struct {
  const char *descr;
  mynah_dtype dtype;
} types[] = {{"'<f4'", MYNAH_F32}, {"'<f8'", MYNAH_F64}, {"'<i4'", MYNAH_I32}, {"'<i8'", MYNAH_I64}};

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), } in a text that ends in 0. */
static mynah_status read_header(const import *m, const char *text, const char *name, array *a) {
  const char *descr = strstr(text, "'descr': "), *shape = strstr(text, "'shape': (");
  long long rows = 0, width = 1;
  size_t k = 0, n_types = sizeof types / sizeof *types;
  for (; descr && k < n_types && strncmp(descr + 9, types[k].descr, 5) != 0;) k++;
  if (!descr || k == n_types || !strstr(text, "'fortran_order': False"))
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: %s: %s: 4- or 8-byte little-endian numbers by rows are read", m->path, name, text);
  int found = shape ? sscanf(shape + 10, "%lld, %lld", &rows, &width) : 0;
  if (found < 1 || rows < 0 || width < 1 || rows > INT32_MAX || width > 65536 || (found == 2 && strchr(shape + 10, ')') == NULL))
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: %s: %s: one or two dimensions are read", m->path, name, text);
  *a = (array){.rows = rows, .width = width, .dtype = types[k].dtype};
  return MYNAH_OK;
}

static mynah_status read_array(const import *m, const char *name, array *out) {
  const uint8_t *row = NULL;
  uint8_t *bytes = NULL;
  size_t n = 0;
  char text[512] = {0};
  MYNAH_TRY(find_member(m, name, &row));
  MYNAH_TRY(unpack(m, row, &bytes, &n));
  size_t prefix = n > 12 && bytes[6] >= 2 ? 12 : 10, length = n > 12 ? number(bytes + 8, prefix == 12 ? 4 : 2) : 0;
  array a = {0};
  mynah_status status = n > 12 && memcmp(bytes, "\x93NUMPY", 6) == 0 && length < sizeof text && length <= n - prefix
                            ? MYNAH_OK : damaged(m, name);
  if (status == MYNAH_OK) {
    memcpy(text, bytes + prefix, length);
    status = read_header(m, text, name, &a);
  }
  if (status == MYNAH_OK && (size_t)(a.rows * a.width) * mynah_dtype_bytes(a.dtype) != n - prefix - length)
    status = damaged(m, name);
  if (status != MYNAH_OK) {
    mynah_free(bytes);
    return status;
  }
  a.bytes = bytes;
  a.items = bytes + prefix + length;
  *out = a;
  return MYNAH_OK;
}

/* ---- episodes ------------------------------------------------------------------------------------------------------- */

static mynah_value value_of(const array *a, int64_t row) {
  size_t bytes = (size_t)a->width * mynah_dtype_bytes(a->dtype);
  return (mynah_value){a->items + (size_t)row * bytes, bytes, 0};
}

/* Where episode e ends in acts; indices hold the ends of all but the last. */
static int64_t end_of(const import *m, int64_t e) {
  return e < m->indices.rows ? (int64_t)mynah__to_double(m->indices.dtype, value_of(&m->indices, e).data) : m->acts.rows;
}

static mynah_status copy_episode(import *m, int64_t e, int64_t from, int64_t to) {
  mynah_episode info = {.success = -1};
  if (to <= from || to > m->acts.rows)
    return mynah_fail(MYNAH_CORRUPT, "%s: episode %lld ends at %lld, begun at %lld of %lld", m->path, (long long)e,
                      (long long)to, (long long)from, (long long)m->acts.rows);
  MYNAH_TRY(mynah_copy_text(info.expert, sizeof info.expert, m->config->expert));
  MYNAH_TRY(mynah_episode_begin(m->out.dataset, &info));
  for (int64_t t = from; t < to; t++) {
    mynah_value values[2] = {value_of(&m->obs, t + e), value_of(&m->acts, t)};
    MYNAH_TRY(mynah_episode_add(m->out.dataset, (int64_t)((double)(t - from) * 1e9 / m->config->rate_hz + 0.5), values, NULL));
  }
  MYNAH_TRY(mynah_episode_seal(m->out.dataset, NULL));
  m->report->n_episodes++;
  m->report->n_frames += to - from;
  mynah_progress_tell(m->progress, "import", (double)to, (double)m->acts.rows, "frames", "");
  return mynah_is_interrupted() ? mynah_fail(MYNAH_INTERRUPTED, "import: interrupted; nothing was written") : MYNAH_OK;
}

static mynah_status run_import(import *m, const char *out_path) {
  MYNAH_TRY(mynah__import_begin(out_path, &m->out));
  MYNAH_TRY(mynah_file_read(m->path, MAX_BYTES, &m->file, &m->n_bytes));
  MYNAH_TRY(read_array(m, "obs.npy", &m->obs));
  MYNAH_TRY(read_array(m, "acts.npy", &m->acts));
  MYNAH_TRY(read_array(m, "indices.npy", &m->indices));
  int64_t n_episodes = m->indices.rows + 1;
  if (m->obs.rows != m->acts.rows + n_episodes)
    return mynah_fail(MYNAH_MISMATCH, "%s: %lld observations for %lld actions in %lld episodes: one more each is expected",
                      m->path, (long long)m->obs.rows, (long long)m->acts.rows, (long long)n_episodes);
  mynah_feature features[2] = {mynah_feature_vector("observation.state", m->obs.width, "", ""),
                               mynah_feature_vector("action", m->acts.width, "", "")};
  features[0].dtype = m->obs.dtype;
  features[1].dtype = m->acts.dtype;
  mynah_dataset_config c = {.features = features, .n_features = 2, .rate_hz = m->config->rate_hz,
                            .source = "import rollouts"};
  MYNAH_TRY(mynah__import_create(&m->out, &c));
  for (int64_t e = 0, from = 0; e < n_episodes; from = end_of(m, e++)) MYNAH_TRY(copy_episode(m, e, from, end_of(m, e)));
  return MYNAH_OK;
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  mynah_import_report r = {.skipped = mynah_json_array()};
  import m = {.config = config, .progress = progress, .report = &r, .path = path};
  mynah_status status = mynah__import_end(&m.out, run_import(&m, out_path));
  mynah_free(m.file);
  mynah_free(m.obs.bytes);
  mynah_free(m.acts.bytes);
  mynah_free(m.indices.bytes);
  if (status != MYNAH_OK) mynah_json_destroy(r.skipped);
  else *report = r;
  return status;
}

const mynah_importer mynah__import_rollouts = {"rollouts", "rollouts of the imitation library (.npz)", &rollout_table, run};
