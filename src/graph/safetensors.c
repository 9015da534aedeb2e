/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading safetensors: header length (8 bytes, little-endian), JSON header, data.
 * Source: the format's description in its public repository: every offset in a byte buffer without holes or overlaps.
 *
 * The header comes from strangers: nothing in it is believed before it was checked against the size of the file. A file that
 * mynah wrote has checksums in its metadata; without them it is what any other program may have written. */
#include "core.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Where a tensor begins in the data. */
typedef struct place {
  const char *name;
  size_t begin, bytes;
  uint32_t crc; /* of its bytes, if the file says */
} place;

struct mynah_safetensors {
  mynah_safetensor *tensors; /* [n], sorted by name */
  place *places;             /* [n], too */
  int n;
  mynah_json *header;
  bool is_checked; /* the file has checksums */
  mynah_map map;   /* of an opened file */
  char *aligned;   /* a copy of the data, when a tensor lies where its type cannot be read */
  mynah_reader reader; /* of a streamed file */
  bool is_streamed;
  size_t data_begin; /* in a streamed file */
};

/* Larger headers are refused, as the format's own library does. */
#define HEADER_MAX ((size_t)100 << 20)
#define CHECKSUMS "crc32c"
#define HEX 8 /* digits of a checksum */

static const struct {
  const char *name;
  mynah_dtype dtype;
} dtypes[] = {{"F32", MYNAH_F32}, {"F64", MYNAH_F64},   {"I64", MYNAH_I64},  {"I32", MYNAH_I32},
              {"U8", MYNAH_U8},   {"BOOL", MYNAH_BOOL}, {"BF16", MYNAH_BF16}};

static mynah_status parse_dtype(const char *name, const char *text, mynah_dtype *out) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (!strcmp(dtypes[i].name, text)) {
      *out = dtypes[i].dtype;
      return MYNAH_OK;
    }
  return mynah_fail(MYNAH_UNSUPPORTED, "safetensors: tensor '%s': type '%.16s' is not supported", name, text);
}

/* A JSON number that is a whole one from 0 to 2^53; -1 otherwise. */
static int64_t whole(const mynah_json *j) {
  double d = mynah_json_is_number(j) ? mynah_json_to_number(j, -1) : -1;
  int64_t v = mynah_json_to_integer(j, -1);
  return d >= 0 && d <= 9007199254740992.0 && (double)v >= d && (double)v <= d ? v : -1;
}

static mynah_status parse_shape(const char *name, const mynah_json *j, mynah_shape *shape, size_t *elements) {
  if (!mynah_json_is_array(j)) return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': no shape", name);
  if (mynah_json_size(j) > MYNAH_MAX_DIMS)
    return mynah_fail(MYNAH_UNSUPPORTED, "safetensors: tensor '%s': %zu dimensions, at most %d are supported", name,
                      mynah_json_size(j), MYNAH_MAX_DIMS);
  *elements = 1;
  for (size_t i = 0; i < mynah_json_size(j); i++) {
    int64_t dim = whole(mynah_json_at(j, i));
    if (dim < 0) return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': dimension %zu is no size", name, i);
    if (!mynah_mul_size(*elements, (size_t)dim, elements) || *elements > INT64_MAX / 16)
      return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': the shape is too large", name);
    shape->dims[shape->n_dims++] = dim;
  }
  return MYNAH_OK;
}

/* One entry of the header against the `size` bytes of data that there are. */
static mynah_status parse_tensor(const char *name, const mynah_json *j, const char *data, size_t size, mynah_safetensor *t,
                                 place *at) {
  *t = (mynah_safetensor){.name = name};
  size_t elements = 0;
  if (!mynah_json_is_object(j) || mynah_json_size(j) != 3)
    return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': an entry has dtype, shape and data_offsets", name);
  const mynah_json *dtype = mynah_json_get(j, "dtype"), *offsets = mynah_json_get(j, "data_offsets");
  if (!mynah_json_is_string(dtype)) return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': no dtype", name);
  MYNAH_TRY(parse_dtype(name, mynah_json_to_string(dtype, ""), &t->dtype));
  MYNAH_TRY(parse_shape(name, mynah_json_get(j, "shape"), &t->shape, &elements));
  if (!mynah_json_is_array(offsets) || mynah_json_size(offsets) != 2)
    return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': no data_offsets", name);
  int64_t begin = whole(mynah_json_at(offsets, 0)), end = whole(mynah_json_at(offsets, 1));
  if (begin < 0 || end < begin || (uint64_t)end > size)
    return mynah_fail(MYNAH_CORRUPT,
                      "safetensors: tensor '%s': bytes %" PRId64 " to %" PRId64 " of %zu: the file is cut "
                      "or the header is wrong",
                      name, begin, end, size);
  if (!mynah_mul_size(elements, mynah_dtype_bytes(t->dtype), &t->bytes) || t->bytes != (size_t)(end - begin))
    return mynah_fail(MYNAH_CORRUPT,
                      "safetensors: tensor '%s': shape and type need another size than its %" PRId64 " bytes", name,
                      end - begin);
  if (data) t->data = data + begin;
  *at = (place){name, (size_t)begin, t->bytes, 0};
  return MYNAH_OK;
}

static int by_place(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones first */
  return strcmp(x->name, y->name);
}
static int by_place_name(const void *a, const void *b) { return strcmp(((const place *)a)->name, ((const place *)b)->name); }

static int by_name(const void *a, const void *b) {
  return strcmp(((const mynah_safetensor *)a)->name, ((const mynah_safetensor *)b)->name);
}

/* Sorted by place: each tensor begins where the one before ended, and the last ends with the file. */
static mynah_status check_cover(const mynah_safetensors *f, size_t size) {
  size_t next = 0;
  for (int i = 0; i < f->n; i++) {
    const place *p = &f->places[i];
    if (p->begin != next)
      return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s': %s before it", p->name,
                        p->begin < next ? "an overlap with the one" : "a hole");
    next = p->begin + p->bytes;
  }
  if (next != size) return mynah_fail(MYNAH_CORRUPT, "safetensors: %zu bytes after the last tensor", size - next);
  return MYNAH_OK;
}

/* Our own files are aligned; in others a tensor may begin anywhere, and is moved to where it can be read. */
static mynah_status align_data(mynah_safetensors *f) {
  size_t bytes = 0;
  bool is_aligned = true;
  for (int i = 0; i < f->n; i++) {
    is_aligned = is_aligned && (uintptr_t)f->tensors[i].data % mynah_dtype_bytes(f->tensors[i].dtype) == 0;
    bytes += mynah__align(f->tensors[i].bytes);
  }
  if (is_aligned) return MYNAH_OK;
  f->aligned = mynah_alloc(bytes + 1);
  if (!f->aligned) return MYNAH_NO_MEMORY;
  char *next = f->aligned;
  for (int i = 0; i < f->n; i++) {
    memcpy(next, f->tensors[i].data, f->tensors[i].bytes);
    f->tensors[i].data = next;
    next += mynah__align(f->tensors[i].bytes);
  }
  return MYNAH_OK;
}

static mynah_status check_metadata(const mynah_json *metadata) {
  const char *key;
  const mynah_json *value;
  if (!mynah_json_is_object(metadata)) return mynah_fail(MYNAH_CORRUPT, "safetensors: __metadata__ is no object");
  for (size_t i = 0; mynah_json_entry(metadata, i, &key, &value); i++)
    if (!mynah_json_is_string(value)) return mynah_fail(MYNAH_CORRUPT, "safetensors: metadata '%s' is no text", key);
  return MYNAH_OK;
}

/* ---- checksums ------------------------------------------------------------------------------------------------------- */

/* Of all entries but the checksums themselves, whatever their order. */
static uint32_t metadata_crc(const mynah_json *metadata) {
  const char *key;
  const mynah_json *value;
  uint32_t crc = 0;
  for (size_t i = 0; mynah_json_entry(metadata, i, &key, &value); i++) {
    const char *text = mynah_json_to_string(value, "");
    if (strcmp(key, CHECKSUMS) != 0) crc ^= mynah_crc32c(mynah_crc32c(0, key, strlen(key) + 1), text, strlen(text));
  }
  return crc;
}

static bool parse_hex(const char *text, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < HEX; i++) {
    const char *digits = "0123456789abcdef", *digit = text[i] ? strchr(digits, text[i]) : NULL;
    if (!digit) return false;
    *out = *out << 4 | (uint32_t)(digit - digits);
  }
  return true;
}

/* metadata crc32c: eight digits for the other metadata, then eight for each tensor in the order of their places. */
static mynah_status take_checksums(mynah_safetensors *f) {
  const mynah_json *metadata = mynah_json_get(f->header, "__metadata__"), *given = mynah_json_get(metadata, CHECKSUMS);
  if (!given) return MYNAH_OK;
  const char *text = mynah_json_to_string(given, "");
  uint32_t crc = 0;
  bool is_whole = strlen(text) == HEX * ((size_t)f->n + 1) && parse_hex(text, &crc);
  for (int i = 0; is_whole && i < f->n; i++) is_whole = parse_hex(text + HEX * (i + 1), &f->places[i].crc);
  if (!is_whole) return mynah_fail(MYNAH_CORRUPT, "safetensors: the checksums are not those of %d tensors", f->n);
  if (crc != metadata_crc(metadata)) return mynah_fail(MYNAH_CORRUPT, "safetensors: the metadata is not what was written");
  f->is_checked = true;
  return MYNAH_OK;
}

/* ---- the header ------------------------------------------------------------------------------------------------------- */

/* data: NULL in a streamed file, or `size` bytes */
static mynah_status parse_header(mynah_safetensors *f, const char *header, size_t length, const char *data, size_t size) {
  const char *name;
  const mynah_json *entry;
  if (length == 0 || header[0] != '{') return mynah_fail(MYNAH_CORRUPT, "safetensors: the header is no JSON object");
  mynah_status status = mynah_json_parse(header, length, &f->header);
  if (status != MYNAH_OK) return mynah_error_context(status, "safetensors: header");
  if (!mynah_json_is_object(f->header)) return mynah_fail(MYNAH_CORRUPT, "safetensors: the header is no JSON object");
  f->tensors = mynah_calloc(mynah_json_size(f->header) + 1, sizeof *f->tensors);
  f->places = mynah_calloc(mynah_json_size(f->header) + 1, sizeof *f->places);
  if (!f->tensors || !f->places) return MYNAH_NO_MEMORY;
  for (size_t i = 0; mynah_json_entry(f->header, i, &name, &entry); i++) {
    if (!strcmp(name, "__metadata__")) {
      MYNAH_TRY(check_metadata(entry));
      continue;
    }
    MYNAH_TRY(parse_tensor(name, entry, data, size, &f->tensors[f->n], &f->places[f->n]));
    f->n++;
  }
  qsort(f->places, (size_t)f->n, sizeof *f->places, by_place);
  MYNAH_TRY(check_cover(f, size));
  MYNAH_TRY(take_checksums(f));
  if (data) MYNAH_TRY(align_data(f));
  qsort(f->tensors, (size_t)f->n, sizeof *f->tensors, by_name);
  qsort(f->places, (size_t)f->n, sizeof *f->places, by_place_name);
  return MYNAH_OK;
}

static mynah_status header_length(const char *file, size_t size, size_t *length) {
  uint64_t stated = 0;
  if (size < 8) return mynah_fail(MYNAH_CORRUPT, "safetensors: %zu bytes are too few for a header", size);
  for (int i = 7; i >= 0; i--) stated = stated << 8 | (uint8_t)file[i];
  if (stated > size - 8)
    return mynah_fail(MYNAH_CORRUPT,
                      "safetensors: a header of %" PRIu64 " bytes in a file of %zu: the file is cut or is "
                      "something else",
                      stated, size);
  if (stated > HEADER_MAX) return mynah_fail(MYNAH_LIMIT, "safetensors: a header of %" PRIu64 " bytes is too long", stated);
  *length = (size_t)stated;
  return MYNAH_OK;
}

static mynah_status parse(mynah_safetensors *f, const char *file, size_t size) {
  size_t length = 0;
  MYNAH_TRY(header_length(file, size, &length));
  return parse_header(f, file + 8, length, file + 8 + length, size - 8 - length);
}

mynah_status mynah_safetensors_parse(const void *data, size_t size, mynah_safetensors **out) {
  mynah_safetensors *f = mynah_calloc(1, sizeof *f);
  if (!f) return MYNAH_NO_MEMORY;
  mynah_status status = parse(f, data, size);
  if (status != MYNAH_OK) {
    mynah_safetensors_close(f);
    return status;
  }
  *out = f;
  return MYNAH_OK;
}

mynah_status mynah_safetensors_open(const char *path, mynah_safetensors **out) {
  mynah_map map;
  MYNAH_TRY(mynah_map_open(path, &map));
  mynah_safetensors *f;
  mynah_status status = mynah_safetensors_parse(map.data, map.size, &f);
  if (status != MYNAH_OK) {
    mynah_map_close(&map);
    return mynah_error_context(status, "%s", path);
  }
  f->map = map;
  *out = f;
  return MYNAH_OK;
}

static mynah_status read_header(mynah_safetensors *f) {
  char first[8];
  size_t length = 0, size = f->reader.size;
  MYNAH_TRY(mynah_reader_read(&f->reader, 0, first, size < 8 ? size : 8));
  MYNAH_TRY(header_length(first, size, &length));
  char *header = mynah_alloc(length);
  if (!header) return MYNAH_NO_MEMORY;
  f->data_begin = 8 + length;
  mynah_status status = mynah_reader_read(&f->reader, 8, header, length);
  if (status == MYNAH_OK) status = parse_header(f, header, length, NULL, size - 8 - length);
  mynah_free(header);
  return status;
}

mynah_status mynah_safetensors_stream(const char *path, mynah_safetensors **out) {
  mynah_safetensors *f = mynah_calloc(1, sizeof *f);
  if (!f) return MYNAH_NO_MEMORY;
  mynah_status status = mynah_reader_open(path, &f->reader);
  if (status == MYNAH_OK) {
    f->is_streamed = true;
    status = read_header(f);
    if (status != MYNAH_OK) status = mynah_error_context(status, "%s", path);
  }
  if (status != MYNAH_OK) {
    mynah_safetensors_close(f);
    return status;
  }
  *out = f;
  return MYNAH_OK;
}

static mynah_status not_what_was_written(const mynah_safetensor *t) {
  return mynah_fail(MYNAH_CORRUPT, "safetensors: tensor '%s' is not what was written: the file is damaged, or was changed by a "
                    "program that does not know its checksums", t->name);
}

/* A piece at a time, so that the checksum finds what was read in the cache. */
#define PIECE ((size_t)64 << 10)
mynah_status mynah_safetensors_read(const mynah_safetensors *f, const mynah_safetensor *t, void *out) {
  const place *at = &f->places[t - f->tensors];
  uint32_t crc = 0;
  for (size_t i = 0; i < at->bytes; i += PIECE) {
    size_t n = at->bytes - i < PIECE ? at->bytes - i : PIECE;
    char *to = (char *)out + i;
    if (f->is_streamed) MYNAH_TRY(mynah_reader_read(&f->reader, f->data_begin + at->begin + i, to, n));
    else memcpy(to, (const char *)t->data + i, n);
    if (f->is_checked) crc = mynah_crc32c(crc, to, n);
  }
  return !f->is_checked || crc == at->crc ? MYNAH_OK : not_what_was_written(t);
}

mynah_status mynah__safetensors_verify(const mynah_safetensors *f, const mynah_safetensor *t) {
  if (!f->is_checked || mynah_crc32c(0, t->data, t->bytes) == f->places[t - f->tensors].crc) return MYNAH_OK;
  return not_what_was_written(t);
}

bool mynah_safetensors_is_checked(const mynah_safetensors *f) { return f->is_checked; }

void mynah_safetensors_close(mynah_safetensors *f) {
  if (!f) return;
  if (f->map.data) mynah_map_close(&f->map);
  if (f->is_streamed) mynah_reader_close(&f->reader);
  mynah_json_destroy(f->header);
  mynah_free(f->tensors);
  mynah_free(f->places);
  mynah_free(f->aligned);
  mynah_free(f);
}

int mynah_safetensors_count(const mynah_safetensors *f) { return f->n; }

const mynah_safetensor *mynah_safetensors_at(const mynah_safetensors *f, int i) {
  return i >= 0 && i < f->n ? &f->tensors[i] : NULL;
}

const mynah_safetensor *mynah_safetensors_find(const mynah_safetensors *f, const char *name) {
  mynah_safetensor key = {.name = name};
  return f->n ? bsearch(&key, f->tensors, (size_t)f->n, sizeof *f->tensors, by_name) : NULL;
}

const char *mynah_safetensors_metadata(const mynah_safetensors *f, const char *key) {
  return mynah_json_to_string(mynah_json_get(mynah_json_get(f->header, "__metadata__"), key), NULL);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static const char *dtype_text(mynah_dtype dtype) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (dtypes[i].dtype == dtype) return dtypes[i].name;
  return NULL;
}

/* Wide types first, so that all lie aligned without gaps; then by name. */
static int by_width(const void *a, const void *b) {
  const mynah_safetensor *x = a, *y = b;
  size_t wx = mynah_dtype_bytes(x->dtype), wy = mynah_dtype_bytes(y->dtype);
  if (wx != wy) return wx > wy ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b) {
  return strcmp(((const mynah_metadata *)a)->key, ((const mynah_metadata *)b)->key);
}

static mynah_status check_tensors(const mynah_safetensor *sorted, int n, size_t *bytes) {
  *bytes = 0;
  for (int i = 0; i < n; i++) {
    const mynah_safetensor *t = &sorted[i];
    size_t need;
    if (!t->name || !strcmp(t->name, "__metadata__"))
      return mynah_fail(MYNAH_INVALID, "safetensors: a tensor cannot be called '%s'", t->name ? t->name : "");
    if (!dtype_text(t->dtype)) return mynah_fail(MYNAH_INVALID, "safetensors: tensor '%s': unknown type", t->name);
    if (!mynah_mul_size((size_t)mynah_shape_size(t->shape), mynah_dtype_bytes(t->dtype), &need) || need != t->bytes)
      return mynah_fail(MYNAH_INVALID, "safetensors: tensor '%s': shape and size differ", t->name);
    if (__builtin_add_overflow(*bytes, need, bytes)) return mynah_fail(MYNAH_LIMIT, "safetensors: too large");
  }
  return MYNAH_OK;
}

static void set_checksums(mynah_json *metadata, const mynah_safetensor *sorted, int n) {
  mynah_str text = {0};
  mynah_str_printf(&text, "%08" PRIx32, metadata_crc(metadata));
  for (int i = 0; i < n; i++) mynah_str_printf(&text, "%08" PRIx32, mynah_crc32c(0, sorted[i].data, sorted[i].bytes));
  mynah_json_set(metadata, CHECKSUMS, mynah_json_string(text.is_failed ? NULL : mynah_str_text(&text)));
  mynah_str_deinit(&text);
}

static mynah_json *header_json(const mynah_safetensor *sorted, int n, const mynah_metadata *metadata, int n_metadata) {
  mynah_json *header = mynah_json_object(), *m = mynah_json_object();
  for (int i = 0; i < n_metadata; i++) mynah_json_set(m, metadata[i].key, mynah_json_string(metadata[i].value));
  set_checksums(m, sorted, n);
  mynah_json_set(header, "__metadata__", m);
  int64_t begin = 0;
  for (int i = 0; i < n; i++) {
    mynah_json *entry = mynah_json_object(), *shape = mynah_json_array(), *offsets = mynah_json_array();
    for (int d = 0; d < sorted[i].shape.n_dims; d++)
      mynah_json_append(shape, mynah_json_integer(sorted[i].shape.dims[d]));
    mynah_json_append(offsets, mynah_json_integer(begin));
    begin += (int64_t)sorted[i].bytes;
    mynah_json_append(offsets, mynah_json_integer(begin));
    mynah_json_set(entry, "dtype", mynah_json_string(dtype_text(sorted[i].dtype)));
    mynah_json_set(entry, "shape", shape);
    mynah_json_set(entry, "data_offsets", offsets);
    mynah_json_set(header, sorted[i].name, entry);
  }
  return header;
}

/* Header length, header padded with spaces to a multiple of 8, then the tensors. */
static mynah_status write_sorted(const char *path, const mynah_safetensor *sorted, int n, mynah_str *header,
                                 size_t bytes) {
  while (header->length % 8) mynah_str_append(header, " ", 1);
  if (header->is_failed) return mynah_fail(MYNAH_NO_MEMORY, "%s: no memory for a header", path);
  size_t total;
  if (__builtin_add_overflow(bytes, header->length + 8, &total)) return mynah_fail(MYNAH_LIMIT, "%s: too large", path);
  char *file = mynah_alloc(total), *next = file;
  if (!file) return MYNAH_NO_MEMORY;
  for (int i = 0; i < 8; i++) *next++ = (char)(uint8_t)((uint64_t)header->length >> 8 * i);
  memcpy(next, header->data, header->length);
  next += header->length;
  for (int i = 0; i < n; i++) {
    if (sorted[i].bytes) memcpy(next, sorted[i].data, sorted[i].bytes);
    next += sorted[i].bytes;
  }
  mynah_status status = mynah_file_write(path, file, total);
  mynah_free(file);
  return status;
}

/* Keys twice would make a header that no reader takes. */
static mynah_status check_names(const mynah_json *header, const mynah_metadata *metadata, int n, int n_metadata) {
  if (!header || mynah_json_size(header) != (size_t)n + 1)
    return mynah_fail(MYNAH_INVALID, "safetensors: two tensors have the same name");
  for (int i = 1; i < n_metadata; i++)
    if (!strcmp(metadata[i - 1].key, metadata[i].key))
      return mynah_fail(MYNAH_INVALID, "safetensors: metadata '%s' is given twice", metadata[i].key);
  return MYNAH_OK;
}

mynah_status mynah_safetensors_write(const char *path, const mynah_safetensor *tensors, int n,
                                     const mynah_metadata *metadata, int n_metadata) {
  mynah_safetensor *sorted = mynah_calloc((size_t)n + 1, sizeof *sorted);
  mynah_metadata *keys = mynah_calloc((size_t)n_metadata + 1, sizeof *keys);
  mynah_status status = sorted && keys ? MYNAH_OK : MYNAH_NO_MEMORY;
  mynah_str header = {0};
  mynah_json *json = NULL;
  size_t bytes = 0;
  if (status == MYNAH_OK) {
    if (n) memcpy(sorted, tensors, (size_t)n * sizeof *sorted);
    if (n_metadata) memcpy(keys, metadata, (size_t)n_metadata * sizeof *keys);
    qsort(sorted, (size_t)n, sizeof *sorted, by_width);
    qsort(keys, (size_t)n_metadata, sizeof *keys, by_key);
    status = check_tensors(sorted, n, &bytes);
  }
  if (status == MYNAH_OK) {
    json = header_json(sorted, n, keys, n_metadata);
    status = mynah_json_dump(json, 0, &header);
  }
  if (status == MYNAH_OK) status = check_names(json, keys, n, n_metadata);
  if (status == MYNAH_OK) status = write_sorted(path, sorted, n, &header, bytes);
  mynah_json_destroy(json);
  mynah_str_deinit(&header);
  mynah_free(sorted);
  mynah_free(keys);
  return status;
}
