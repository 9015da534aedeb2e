/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading frames: blocks and pictures, each checked against its checksum before it is believed. */
#include "store.h"

#include <stdio.h>
#include <string.h>

static mynah_status damaged(const mynah_dataset *d, const mynah_episode *e, int64_t feature, int64_t frame, const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "%s: episode %lld, %s, frame %lld: %s", d->path, (long long)e->id,
                    feature == MYNAH__TIMES ? "times" : d->features[feature].name, (long long)frame, what);
}

static size_t frame_bytes(const mynah_dataset *d, int64_t feature) {
  return feature == MYNAH__TIMES ? sizeof(int64_t) : mynah_feature_bytes(&d->features[feature]);
}

mynah_status mynah__read_block(mynah_dataset *d, const mynah_episode *e, int64_t feature, int64_t frame) {
  int64_t start = frame / MYNAH__BLOCK_FRAMES * MYNAH__BLOCK_FRAMES;
  if (d->block_episode == e->id && d->block_feature == feature && d->block_start == start) return MYNAH_OK;
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, MYNAH__GET_BLOCK, &q));
  sqlite3_bind_int64(q, 1, e->id);
  sqlite3_bind_int64(q, 2, feature);
  sqlite3_bind_int64(q, 3, start);
  d->block_episode = -1;
  int code = sqlite3_step(q);
  mynah_status status = MYNAH_OK;
  if (code == SQLITE_DONE) status = damaged(d, e, feature, start, "the block is missing");
  else if (code != SQLITE_ROW) status = mynah__sql_fail(d, "cannot be read");
  if (status == MYNAH_OK) {
    int64_t n = sqlite3_column_int64(q, 0), due = e->n_frames - start;
    if (due > MYNAH__BLOCK_FRAMES) due = MYNAH__BLOCK_FRAMES;
    const void *data = sqlite3_column_blob(q, 2);
    size_t bytes = (size_t)sqlite3_column_bytes(q, 2);
    if (n != due || bytes != (size_t)n * frame_bytes(d, feature)) status = damaged(d, e, feature, start, "the block has a wrong size");
    else if (mynah_crc32c(0, data, bytes) != (uint32_t)sqlite3_column_int64(q, 1)) status = damaged(d, e, feature, start, "the checksum of the block is wrong");
    else status = mynah_grow((void **)&d->block, &d->block_capacity, bytes, 1);
    if (status == MYNAH_OK) {
      memcpy(d->block, data, bytes);
      d->block_episode = e->id;
      d->block_feature = feature;
      d->block_start = start;
      d->block_count = n;
    }
  }
  sqlite3_reset(q);
  return status;
}

mynah_status mynah__read_picture(mynah_dataset *d, const mynah_episode *e, int feature, int64_t frame, const void **data,
                                 size_t *bytes) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, MYNAH__GET_PICTURE, &q));
  sqlite3_bind_int64(q, 1, e->id);
  sqlite3_bind_int(q, 2, feature);
  sqlite3_bind_int64(q, 3, frame);
  int code = sqlite3_step(q);
  if (code == SQLITE_DONE) return damaged(d, e, feature, frame, "the picture is missing");
  if (code != SQLITE_ROW) return mynah__sql_fail(d, "cannot be read");
  const void *blob = sqlite3_column_blob(q, 1);
  size_t n = (size_t)sqlite3_column_bytes(q, 1);
  if (!blob || mynah_crc32c(0, blob, n) != (uint32_t)sqlite3_column_int64(q, 0))
    return damaged(d, e, feature, frame, "the checksum of the picture is wrong");
  *data = blob;
  *bytes = n;
  return MYNAH_OK;
}

/* ---- public ---------------------------------------------------------------------------------------------------------- */

static mynah_status check_place(const mynah_dataset *d, int64_t i, int64_t start, int64_t count) {
  if (i < 0 || i >= (int64_t)d->n_episodes)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no episode number %lld of %zu", d->path, (long long)i, d->n_episodes);
  if (start < 0 || count < 0 || count > d->episodes[i].n_frames || start > d->episodes[i].n_frames - count)
    return mynah_fail(MYNAH_INVALID, "%s: episode %lld has %lld frames, asked for %lld from %lld", d->path,
                      (long long)d->episodes[i].id, (long long)d->episodes[i].n_frames, (long long)count, (long long)start);
  return MYNAH_OK;
}

static mynah_status read_rows(mynah_dataset *d, int64_t i, int64_t feature, int64_t start, int64_t count, uint8_t *out) {
  MYNAH_TRY(check_place(d, i, start, count));
  size_t bytes = frame_bytes(d, feature);
  for (int64_t t = start; t < start + count;) {
    MYNAH_TRY(mynah__read_block(d, &d->episodes[i], feature, t));
    int64_t end = d->block_start + d->block_count;
    if (end > start + count) end = start + count;
    memcpy(out + (size_t)(t - start) * bytes, d->block + (size_t)(t - d->block_start) * bytes, (size_t)(end - t) * bytes);
    t = end;
  }
  return MYNAH_OK;
}

static mynah_status find_feature(const mynah_dataset *d, const char *name, bool is_image, int *out) {
  int feature = mynah__feature_index(d, name);
  if (feature < 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'", d->path, name);
  if (d->features[feature].is_image != is_image)
    return mynah_fail(MYNAH_INVALID, "%s: '%s' is %s", d->path, name, is_image ? "no picture" : "a picture");
  *out = feature;
  return MYNAH_OK;
}

mynah_status mynah_dataset_read_raw(mynah_dataset *d, int64_t i, const char *name, int64_t start, int64_t count, void *out) {
  int feature = -1;
  MYNAH_TRY(find_feature(d, name, false, &feature));
  return read_rows(d, i, feature, start, count, out);
}

/* One element in any type as a float. */
static float to_float(mynah_dtype dtype, const uint8_t *at) {
  double f64;
  int64_t i64;
  int32_t i32;
  float f32;
  switch (dtype) {
    case MYNAH_F64: return memcpy(&f64, at, 8), (float)f64;
    case MYNAH_I64: return memcpy(&i64, at, 8), (float)i64;
    case MYNAH_I32: return memcpy(&i32, at, 4), (float)i32;
    case MYNAH_F32: return memcpy(&f32, at, 4), f32;
    default: return (float)*at;
  }
}

mynah_status mynah_dataset_read(mynah_dataset *d, int64_t i, const char *name, int64_t start, int64_t count, float *out) {
  int feature = -1;
  MYNAH_TRY(find_feature(d, name, false, &feature));
  const mynah_feature *f = &d->features[feature];
  if (f->dtype == MYNAH_F32) return read_rows(d, i, feature, start, count, (uint8_t *)out);
  MYNAH_TRY(check_place(d, i, start, count));
  size_t size = (size_t)mynah_feature_size(f), each = mynah_dtype_bytes(f->dtype);
  for (int64_t t = start; t < start + count; t++) {
    MYNAH_TRY(mynah__read_block(d, &d->episodes[i], feature, t));
    const uint8_t *row = d->block + (size_t)(t - d->block_start) * size * each;
    for (size_t k = 0; k < size; k++) *out++ = to_float(f->dtype, row + k * each);
  }
  return MYNAH_OK;
}

mynah_status mynah_dataset_read_times(mynah_dataset *d, int64_t i, int64_t start, int64_t count, int64_t *time_ns) {
  return read_rows(d, i, MYNAH__TIMES, start, count, (uint8_t *)time_ns);
}

mynah_status mynah_dataset_read_blob(mynah_dataset *d, int64_t i, const char *name, int64_t frame, const void **data,
                                     size_t *bytes) {
  int feature = -1;
  MYNAH_TRY(find_feature(d, name, true, &feature));
  MYNAH_TRY(check_place(d, i, frame, 1));
  return mynah__read_picture(d, &d->episodes[i], feature, frame, data, bytes);
}

/* A raw picture is told from an encoded one by its size and by not beginning as JPEG or PNG do. */
static bool is_raw(const mynah_dataset *d, const mynah_feature *f, const uint8_t *data, size_t bytes) {
  if (d->codec != MYNAH_CODEC_RAW || bytes != mynah_feature_bytes(f)) return false;
  return !(data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff) && memcmp(data, "\x89PNG", 4) != 0;
}

mynah_status mynah_dataset_read_image(mynah_dataset *d, int64_t i, const char *name, int64_t frame, int min_width,
                                      int min_height, mynah_image *out) {
  const void *data;
  size_t bytes;
  MYNAH_TRY(mynah_dataset_read_blob(d, i, name, frame, &data, &bytes));
  const mynah_feature *f = mynah_dataset_find(d, name);
  int width = (int)f->dims[1], height = (int)f->dims[0];
  mynah_image picture;
  if (is_raw(d, f, data, bytes)) {
    picture = (mynah_image){mynah_alloc(bytes), width, height};
    if (!picture.data) return MYNAH_NO_MEMORY;
    memcpy(picture.data, data, bytes);
  } else {
    mynah_status status = mynah_image_decode(data, bytes, min_width, min_height, &picture);
    if (status != MYNAH_OK) return mynah_error_context(status, "%s: episode %lld, %s, frame %lld", d->path,
                                                       (long long)d->episodes[i].id, name, (long long)frame);
  }
  bool is_whole = picture.width == width && picture.height == height;
  bool is_scaled = (min_width > 0 || min_height > 0) && picture.width <= width && picture.height <= height;
  if (!is_whole && !is_scaled) {
    mynah_status status = mynah_fail(MYNAH_MISMATCH, "%s: episode %lld, %s, frame %lld: %d x %d pixels instead of %d x %d",
                                     d->path, (long long)d->episodes[i].id, name, (long long)frame, picture.width,
                                     picture.height, width, height);
    mynah_image_deinit(&picture);
    return status;
  }
  *out = picture;
  return MYNAH_OK;
}
