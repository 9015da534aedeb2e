/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading zarr v2 arrays from a folder: metadata, chunks, byte order, element types.
 * Source: the zarr storage specification, version 2. */
#include "zarr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_CHUNK_BYTES ((size_t)1 << 29)
#define MAX_DIM ((int64_t)1 << 40)

/* ---- metadata
 * -------------------------------------------------------------------------------------------------------- */

static mynah_status read_dims(const mynah__zarr *z, const mynah_json *a, const char *key, int64_t low, int64_t *out,
                              int *n) {
  size_t count = mynah_json_size(a);
  if (!mynah_json_is_array(a) || count < 1 || count > MYNAH__ZARR_DIMS)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%s' must list 1 … %d numbers", z->path, key, MYNAH__ZARR_DIMS);
  for (size_t i = 0; i < count; i++) {
    out[i] = mynah_json_to_integer(mynah_json_at(a, i), -1);
    if (out[i] < low || out[i] > MAX_DIM) return mynah_fail(MYNAH_CORRUPT, "%s: '%s' makes no sense", z->path, key);
  }
  *n = (int)count;
  return MYNAH_OK;
}

static mynah_status read_codec(mynah__zarr *z, const mynah_json *meta) {
  const mynah_json *filters = mynah_json_get(meta, "filters"), *codec = mynah_json_get(meta, "compressor");
  if (mynah_json_size(filters) > 0) return mynah_fail(MYNAH_UNSUPPORTED, "%s: filters cannot be read", z->path);
  const char *id = mynah_json_is_object(codec) ? mynah_json_to_string(mynah_json_get(codec, "id"), "?") : "";
  for (z->codec = 0; z->codec < mynah__n_unpackers; z->codec++)
    if (strcmp(id, mynah__unpackers[z->codec].name) == 0) return MYNAH_OK;
  return mynah_fail(MYNAH_UNSUPPORTED, "%s: the compressor '%.32s' cannot be read (blosc, gzip, zlib, zstd can)",
                    z->path, id);
}

/* The fill value as one item: a number, true or false, or "NaN", "Infinity", "-Infinity"; null stands for 0. */
static void read_fill(mynah__zarr *z, const mynah_json *j) {
  const char *text = mynah_json_to_string(j, "");
  double v = mynah_json_is_bool(j) ? mynah_json_to_bool(j, false) : mynah_json_to_number(j, 0);
  if (strcmp(text, "NaN") == 0) v = (double)NAN;
  else if (strcmp(text, "Infinity") == 0) v = (double)INFINITY;
  else if (strcmp(text, "-Infinity") == 0) v = -(double)INFINITY;
  if (z->item.kind == 'f' && z->item.bytes == 8) {
    memcpy(z->fill, &v, 8);
  } else if (z->item.kind == 'f' && z->item.bytes == 4) {
    float f = (float)v;
    memcpy(z->fill, &f, 4);
  } else if (z->item.kind == 'f') { /* of halves: 0, or what stops the import */
    uint16_t half = v == 0 ? 0 : 0x7e00;
    memcpy(z->fill, &half, 2);
  } else {
    int64_t i = v >= -9e18 && v <= 9e18 ? (int64_t)v : 0;
    memcpy(z->fill, &i, (size_t)z->item.bytes);
  }
}

static mynah_status read_sizes(mynah__zarr *z, const mynah_json *meta) {
  int n_chunks = 0;
  MYNAH_TRY(read_dims(z, mynah_json_get(meta, "shape"), "shape", 0, z->dims, &z->n_dims));
  MYNAH_TRY(read_dims(z, mynah_json_get(meta, "chunks"), "chunks", 1, z->chunks, &n_chunks));
  if (n_chunks != z->n_dims) return mynah_fail(MYNAH_CORRUPT, "%s: shape and chunks differ in length", z->path);
  size_t chunk = (size_t)z->item.bytes, row = 1, rows = (size_t)z->item.bytes;
  bool fits = true;
  for (int i = 0; i < z->n_dims; i++) {
    fits = fits && mynah_mul_size(chunk, (size_t)z->chunks[i], &chunk);
    if (i > 0) fits = fits && mynah_mul_size(row, (size_t)z->dims[i], &row);
  }
  size_t n_rows = (size_t)(z->chunks[0] < z->dims[0] ? z->chunks[0] : z->dims[0]);
  fits = fits && mynah_mul_size(rows, row, &rows) && mynah_mul_size(rows, n_rows, &rows);
  if (!fits || chunk > MAX_CHUNK_BYTES || rows > MAX_CHUNK_BYTES)
    return mynah_fail(MYNAH_LIMIT, "%s: chunks, or a row of them, of over %zu MiB", z->path, MAX_CHUNK_BYTES >> 20);
  z->row_size = (int64_t)row;
  z->chunk_bytes = chunk;
  z->chunk = mynah_alloc(chunk);
  z->rows = mynah_alloc(rows);
  return z->chunk && z->rows ? MYNAH_OK : mynah_error_context(MYNAH_NO_MEMORY, "%s", z->path);
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
  mynah_status status = MYNAH_OK;
  if (mynah_json_to_integer(mynah_json_get(meta, "zarr_format"), 0) != 2)
    status = mynah_fail(MYNAH_UNSUPPORTED, "%s: is not zarr version 2", z->path);
  else if (strcmp(separator, ".") != 0 && strcmp(separator, "/") != 0)
    status = mynah_fail(MYNAH_UNSUPPORTED, "%s: the separator '%.32s' cannot be read", z->path, separator);
  if (status == MYNAH_OK) status = mynah__item_parse(z->path, mynah_json_to_string(mynah_json_get(meta, "dtype"), "?"), &z->item);
  if (status == MYNAH_OK) status = read_codec(z, meta);
  if (status == MYNAH_OK) status = read_sizes(z, meta);
  if (status == MYNAH_OK) read_fill(z, mynah_json_get(meta, "fill_value"));
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

/* ---- chunks
 * ---------------------------------------------------------------------------------------------------------- */

/* Chunk number at[] into z->chunk. */
static mynah_status load_chunk(mynah__zarr *z, const int64_t *at) {
  char name[128] = "", path[MYNAH_PATH_MAX];
  size_t used = 0, n;
  for (int i = 0; i < z->n_dims; i++)
    used += (size_t)snprintf(name + used, sizeof name - used, "%.*s%lld", i > 0, &z->separator, (long long)at[i]);
  MYNAH_TRY(mynah_path_join(path, sizeof path, z->path, name));
  if (!mynah_file_exists(path)) {
    if (!z->fills_missing)
      return mynah_fail(MYNAH_NOT_FOUND, "%s: the chunk is missing; missing=fill takes the array's fill value instead",
                        path);
    for (size_t i = 0; i < z->chunk_bytes; i += (size_t)z->item.bytes)
      memcpy(z->chunk + i, z->fill, (size_t)z->item.bytes);
    return MYNAH_OK;
  }
  char *data;
  MYNAH_TRY(mynah_file_read(path, MAX_CHUNK_BYTES + (1 << 20), &data, &n));
  mynah_status status = mynah__unpackers[z->codec].run(path, (const uint8_t *)data, n, z->chunk, z->chunk_bytes);
  mynah_free(data);
  if (status == MYNAH_OK && z->item.is_swapped) mynah__items_swap(z->chunk, z->chunk_bytes, z->item.bytes);
  return status;
}

/* Copies the part of chunk at[] that lies inside the array to its rows. */
static void place_chunk(mynah__zarr *z, const int64_t *at) {
  int64_t n[MYNAH__ZARR_DIMS] = {1, 1, 1, 1}, dims[MYNAH__ZARR_DIMS] = {1, 1, 1, 1}, from[MYNAH__ZARR_DIMS] = {0};
  size_t stride[MYNAH__ZARR_DIMS] = {0}, step = 1, item = (size_t)z->item.bytes;
  bool is_whole = !z->is_fortran; /* the chunk's rows are the array's */
  for (int k = 0; k < z->n_dims; k++) {
    int i = z->is_fortran ? k : z->n_dims - 1 - k;
    stride[i] = step;
    step *= (size_t)z->chunks[i];
  }
  for (int i = 0; i < z->n_dims; i++) {
    dims[i] = z->dims[i];
    from[i] = at[i] * z->chunks[i];
    n[i] = dims[i] - from[i] < z->chunks[i] ? dims[i] - from[i] : z->chunks[i];
    is_whole = is_whole && (i == 0 || z->chunks[i] == dims[i]);
  }
  if (is_whole) {
    memcpy(z->rows, z->chunk, (size_t)(n[0] * z->row_size) * item);
    return;
  }
  for (int64_t a = 0; a < n[0]; a++)
    for (int64_t b = 0; b < n[1]; b++)
      for (int64_t c = 0; c < n[2]; c++)
        for (int64_t e = 0; e < n[3]; e++) {
          int64_t to = ((a * dims[1] + from[1] + b) * dims[2] + from[2] + c) * dims[3] + from[3] + e;
          size_t i = (size_t)a * stride[0] + (size_t)b * stride[1] + (size_t)c * stride[2] + (size_t)e * stride[3];
          memcpy(z->rows + (size_t)to * item, z->chunk + i * item, item);
        }
}

mynah_status mynah__zarr_row(mynah__zarr *z, int64_t i, const uint8_t **row) {
  if (i < 0 || i >= z->dims[0]) return mynah_fail(MYNAH_CORRUPT, "%s: has no row %lld", z->path, (long long)i);
  if (z->first_row < 0 || i < z->first_row || i >= z->first_row + z->n_rows) {
    int64_t at[MYNAH__ZARR_DIMS] = {i / z->chunks[0]}, counts[MYNAH__ZARR_DIMS] = {1, 1, 1, 1};
    for (int k = 1; k < z->n_dims; k++) counts[k] = (z->dims[k] + z->chunks[k] - 1) / z->chunks[k];
    z->first_row = -1;
    for (at[1] = 0; at[1] < counts[1]; at[1]++)
      for (at[2] = 0; at[2] < counts[2]; at[2]++)
        for (at[3] = 0; at[3] < counts[3]; at[3]++) {
          MYNAH_TRY(load_chunk(z, at));
          place_chunk(z, at);
        }
    z->first_row = at[0] * z->chunks[0];
    z->n_rows = z->dims[0] - z->first_row < z->chunks[0] ? z->dims[0] - z->first_row : z->chunks[0];
  }
  *row = z->rows + (size_t)((i - z->first_row) * z->row_size) * (size_t)z->item.bytes;
  return MYNAH_OK;
}
