/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading zarr v2 arrays from a folder: metadata, chunks, decompression, byte order.
 * Source: the zarr storage specification, version 2. */
#include "zarr.h"

#include <blosc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_CHUNK_BYTES ((size_t)1 << 30)
#define MAX_ROWS ((int64_t)1 << 40)

/* ---- metadata -------------------------------------------------------------------------------------------------------- */

static mynah_status read_dims(const mynah__zarr *z, const mynah_json *a, const char *key, int64_t low, int64_t *out, int *n) {
  size_t count = mynah_json_size(a);
  if (!mynah_json_is_array(a) || count < 1 || count > MYNAH__ZARR_DIMS)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%s' must list 1 … %d numbers", z->path, key, MYNAH__ZARR_DIMS);
  for (size_t i = 0; i < count; i++) {
    out[i] = mynah_json_to_integer(mynah_json_at(a, i), -1);
    if (out[i] < low || out[i] > MAX_ROWS) return mynah_fail(MYNAH_CORRUPT, "%s: '%s' makes no sense", z->path, key);
  }
  *n = (int)count;
  return MYNAH_OK;
}

/* "<f4", ">i8", "|u1", "|b1" */
static mynah_status read_dtype(mynah__zarr *z, const char *text) {
  static const char *const known[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "b1"};
  if (strlen(text) == 3 && strchr("<>|", text[0])) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
      if (strcmp(text + 1, known[i]) != 0) continue;
      z->kind = text[1];
      z->item_bytes = text[2] - '0';
      z->is_swapped = text[0] == '>' && z->item_bytes > 1;
      return MYNAH_OK;
    }
  }
  return mynah_fail(MYNAH_UNSUPPORTED, "%s: elements of type '%s' cannot be read", z->path, text);
}

static mynah_status read_codec(mynah__zarr *z, const mynah_json *meta) {
  const mynah_json *filters = mynah_json_get(meta, "filters"), *codec = mynah_json_get(meta, "compressor");
  if (mynah_json_size(filters) > 0) return mynah_fail(MYNAH_UNSUPPORTED, "%s: filters cannot be read", z->path);
  const char *id = mynah_json_is_object(codec) ? mynah_json_to_string(mynah_json_get(codec, "id"), "?") : "";
  static const char *const known[] = {"", "blosc", "zlib", "gzip"};
  for (size_t i = 0; i < 4; i++)
    if (strcmp(id, known[i]) == 0) return mynah_copy_text(z->codec, sizeof z->codec, id);
  return mynah_fail(MYNAH_UNSUPPORTED, "%s: the compressor '%s' cannot be read (blosc, zlib, gzip can)", z->path, id);
}

static mynah_status read_sizes(mynah__zarr *z, const mynah_json *meta) {
  int n_chunks = 0;
  MYNAH_TRY(read_dims(z, mynah_json_get(meta, "shape"), "shape", 0, z->dims, &z->n_dims));
  MYNAH_TRY(read_dims(z, mynah_json_get(meta, "chunks"), "chunks", 1, z->chunks, &n_chunks));
  if (n_chunks != z->n_dims) return mynah_fail(MYNAH_CORRUPT, "%s: shape and chunks differ in length", z->path);
  size_t bytes = (size_t)z->item_bytes, row = 1, rows = sizeof(double);
  z->row_size = 1;
  for (int i = 0; i < z->n_dims; i++) {
    bool fits = mynah_mul_size(bytes, (size_t)z->chunks[i], &bytes) && bytes <= MAX_CHUNK_BYTES;
    if (i > 0) fits = fits && mynah_mul_size(row, (size_t)z->dims[i], &row) && row <= MAX_CHUNK_BYTES;
    if (!fits) return mynah_fail(MYNAH_LIMIT, "%s: chunks over %zu bytes", z->path, MAX_CHUNK_BYTES);
  }
  z->row_size = (int64_t)row;
  if (!mynah_mul_size(rows, row, &rows) || !mynah_mul_size(rows, (size_t)z->chunks[0], &rows) || rows > 8 * MAX_CHUNK_BYTES)
    return mynah_fail(MYNAH_LIMIT, "%s: a row of chunks is over %zu bytes", z->path, 8 * MAX_CHUNK_BYTES);
  z->chunk = mynah_alloc(bytes);
  z->rows = mynah_alloc(rows);
  return z->chunk && z->rows ? MYNAH_OK : MYNAH_NO_MEMORY;
}

static mynah_status read_meta(mynah__zarr *z) {
  char path[MYNAH_PATH_MAX];
  mynah_json *meta;
  MYNAH_TRY(mynah_path_join(path, sizeof path, z->path, ".zarray"));
  MYNAH_TRY(mynah_json_load(path, &meta));
  const char *order = mynah_json_to_string(mynah_json_get(meta, "order"), "C");
  const char *separator = mynah_json_to_string(mynah_json_get(meta, "dimension_separator"), ".");
  z->is_fortran = strcmp(order, "F") == 0;
  z->separator = separator[0];
  z->fill = mynah_json_to_number(mynah_json_get(meta, "fill_value"), 0);
  mynah_status status = MYNAH_OK;
  if (mynah_json_to_integer(mynah_json_get(meta, "zarr_format"), 0) != 2)
    status = mynah_fail(MYNAH_UNSUPPORTED, "%s: is not zarr version 2", z->path);
  else if (strcmp(separator, ".") != 0 && strcmp(separator, "/") != 0)
    status = mynah_fail(MYNAH_UNSUPPORTED, "%s: the separator '%s' cannot be read", z->path, separator);
  if (status == MYNAH_OK) status = read_dtype(z, mynah_json_to_string(mynah_json_get(meta, "dtype"), "?"));
  if (status == MYNAH_OK) status = read_codec(z, meta);
  if (status == MYNAH_OK) status = read_sizes(z, meta);
  mynah_json_destroy(meta);
  return status;
}

mynah_status mynah__zarr_open(const char *folder, const char *name, bool fills_missing, mynah__zarr *out) {
  mynah__zarr z = {.fills_missing = fills_missing, .first_row = -1};
  if (!mynah_path_is_inside(name)) return mynah_fail(MYNAH_INVALID, "%s: '%s' is no array inside it", folder, name);
  MYNAH_TRY(mynah_path_join(z.path, sizeof z.path, folder, name));
  mynah_status status = read_meta(&z);
  if (status != MYNAH_OK) {
    mynah__zarr_close(&z);
    return status;
  }
  *out = z;
  return MYNAH_OK;
}

void mynah__zarr_close(mynah__zarr *z) {
  mynah_free(z->chunk);
  mynah_free(z->rows);
  *z = (mynah__zarr){0};
}

/* ---- chunks ---------------------------------------------------------------------------------------------------------- */

static size_t chunk_bytes(const mynah__zarr *z) {
  size_t n = (size_t)z->item_bytes;
  for (int i = 0; i < z->n_dims; i++) n *= (size_t)z->chunks[i];
  return n;
}

static mynah_status inflate_chunk(const mynah__zarr *z, const char *path, const void *data, size_t n) {
  z_stream s = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n, .next_out = z->chunk, .avail_out = (uInt)chunk_bytes(z)};
  if (inflateInit2(&s, 15 + 32) != Z_OK) return mynah_fail(MYNAH_NO_MEMORY, "%s: cannot be unpacked", path);
  int code = inflate(&s, Z_FINISH);
  size_t left = s.avail_out;
  inflateEnd(&s);
  if (code == Z_STREAM_END && left == 0) return MYNAH_OK;
  return mynah_fail(MYNAH_CORRUPT, "%s: the chunk is damaged or cut", path);
}

/* c-blosc trusts the sizes in a chunk's header, so they are compared with what is due first. */
static mynah_status unblosc_chunk(const mynah__zarr *z, const char *path, const void *data, size_t n) {
  size_t due = chunk_bytes(z), unpacked = 0, packed = 0, block = 0;
  if (n >= BLOSC_MIN_HEADER_LENGTH) blosc_cbuffer_sizes(data, &unpacked, &packed, &block);
  if (n < BLOSC_MIN_HEADER_LENGTH || unpacked != due || packed != n || blosc_cbuffer_validate(data, n, &unpacked) != 0)
    return mynah_fail(MYNAH_CORRUPT, "%s: the chunk is damaged or cut (%zu bytes)", path, n);
  if (blosc_decompress_ctx(data, z->chunk, due, 1) != (int)due)
    return mynah_fail(MYNAH_CORRUPT, "%s: the chunk cannot be unpacked", path);
  return MYNAH_OK;
}

/* Chunk number at[] into z->chunk; *is_filled: it is missing and stands for the fill value. */
static mynah_status load_chunk(mynah__zarr *z, const int64_t *at, bool *is_filled) {
  char name[128] = "", path[MYNAH_PATH_MAX];
  size_t used = 0;
  for (int i = 0; i < z->n_dims; i++)
    used += (size_t)snprintf(name + used, sizeof name - used, "%.*s%lld", i > 0, &z->separator, (long long)at[i]);
  MYNAH_TRY(mynah_path_join(path, sizeof path, z->path, name));
  *is_filled = !mynah_file_exists(path);
  if (*is_filled && z->fills_missing) return MYNAH_OK;
  if (*is_filled)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: the chunk is missing; missing=fill takes the array's fill value instead", path);
  char *data;
  size_t n;
  MYNAH_TRY(mynah_file_read(path, MAX_CHUNK_BYTES + (1 << 20), &data, &n));
  mynah_status status = MYNAH_OK;
  if (strcmp(z->codec, "blosc") == 0) status = unblosc_chunk(z, path, data, n);
  else if (z->codec[0]) status = inflate_chunk(z, path, data, n);
  else if (n != chunk_bytes(z)) status = mynah_fail(MYNAH_CORRUPT, "%s: the chunk has %zu bytes instead of %zu", path, n, chunk_bytes(z));
  else memcpy(z->chunk, data, n);
  mynah_free(data);
  return status;
}

/* ---- elements -------------------------------------------------------------------------------------------------------- */

/* IEEE 754 binary16. */
static double from_half(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  double v = exponent == 0    ? ldexp(mantissa, -24)
             : exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                              : ldexp(1024 + mantissa, exponent - 25);
  return h >> 15 ? -v : v;
}

static double element(const mynah__zarr *z, size_t index) {
  uint8_t b[8] = {0};
  int n = z->item_bytes;
  memcpy(b, z->chunk + index * (size_t)n, (size_t)n);
  for (int i = 0; z->is_swapped && i < n / 2; i++) {
    uint8_t t = b[i];
    b[i] = b[n - 1 - i];
    b[n - 1 - i] = t;
  }
  uint64_t bits;
  float f;
  double d;
  memcpy(&bits, b, 8);
  if (z->kind == 'f' && n == 8) return memcpy(&d, b, 8), d;
  if (z->kind == 'f' && n == 4) return memcpy(&f, b, 4), (double)f;
  if (z->kind == 'f') return from_half((uint16_t)bits);
  if (z->kind != 'i') return (double)bits;
  int shift = 64 - 8 * n; /* sign extension */
  return (double)((int64_t)(bits << shift) >> shift);
}

/* Copies the part of chunk at[] that lies inside the array to its rows. */
static void place_chunk(mynah__zarr *z, const int64_t *at, bool is_filled) {
  int64_t n[MYNAH__ZARR_DIMS] = {1, 1, 1, 1}, size[MYNAH__ZARR_DIMS] = {1, 1, 1, 1};
  int64_t dims[MYNAH__ZARR_DIMS] = {1, 1, 1, 1}, from[MYNAH__ZARR_DIMS] = {0};
  size_t stride[MYNAH__ZARR_DIMS] = {0};
  size_t step = 1;
  for (int k = 0; k < z->n_dims; k++) {
    int i = z->is_fortran ? k : z->n_dims - 1 - k;
    stride[i] = step;
    step *= (size_t)z->chunks[i];
  }
  for (int i = 0; i < z->n_dims; i++) {
    dims[i] = z->dims[i];
    from[i] = at[i] * z->chunks[i];
    size[i] = z->chunks[i];
    n[i] = from[i] + size[i] > dims[i] ? dims[i] - from[i] : size[i];
  }
  for (int64_t a = 0; a < n[0]; a++)
    for (int64_t b = 0; b < n[1]; b++)
      for (int64_t c = 0; c < n[2]; c++) {
        double *to = z->rows + ((a * dims[1] + from[1] + b) * dims[2] + from[2] + c) * dims[3] + from[3];
        size_t base = (size_t)a * stride[0] + (size_t)b * stride[1] + (size_t)c * stride[2];
        for (int64_t e = 0; e < n[3]; e++) to[e] = is_filled ? z->fill : element(z, base + (size_t)e * stride[3]);
      }
}

mynah_status mynah__zarr_row(mynah__zarr *z, int64_t i, const double **row) {
  if (i < 0 || i >= z->dims[0]) return mynah_fail(MYNAH_CORRUPT, "%s: has no row %lld", z->path, (long long)i);
  if (z->first_row < 0 || i < z->first_row || i >= z->first_row + z->n_rows) {
    int64_t at[MYNAH__ZARR_DIMS] = {i / z->chunks[0]}, counts[MYNAH__ZARR_DIMS] = {1, 1, 1, 1};
    for (int k = 1; k < z->n_dims; k++) counts[k] = (z->dims[k] + z->chunks[k] - 1) / z->chunks[k];
    z->first_row = -1;
    for (at[1] = 0; at[1] < counts[1]; at[1]++)
      for (at[2] = 0; at[2] < counts[2]; at[2]++)
        for (at[3] = 0; at[3] < counts[3]; at[3]++) {
          bool is_filled;
          MYNAH_TRY(load_chunk(z, at, &is_filled));
          place_chunk(z, at, is_filled);
        }
    z->first_row = at[0] * z->chunks[0];
    z->n_rows = z->dims[0] - z->first_row < z->chunks[0] ? z->dims[0] - z->first_row : z->chunks[0];
  }
  *row = z->rows + (i - z->first_row) * z->row_size;
  return MYNAH_OK;
}
