/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading frames: blocks and pictures, each checked against its checksum before it is believed.
 * Every statement is reset at once: one left open would hold up the writer's checkpoints. */
#include "store.h"

#include <string.h>

static mynah_status damaged(const mynah_dataset *d, const mynah_episode *e, int64_t feature, int64_t frame,
                            const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "%s: damaged: episode %lld, %s, frame %lld: %s", d->path, (long long)e->id,
                    feature == MYNAH__TIMES ? "times" : d->features[feature].name, (long long)frame, what);
}

static size_t frame_bytes(const mynah_dataset *d, int64_t feature) {
  return feature == MYNAH__TIMES ? sizeof(int64_t) : mynah_feature_bytes(&d->features[feature]);
}

/* ---- blocks --------------------------------------------------------------------------------------------------------
 */

static mynah_status take_block(mynah_dataset *d, const mynah_episode *e, int64_t feature, sqlite3_stmt *q,
                               mynah__block *b) {
  int64_t n = sqlite3_column_int64(q, 0), start = b->start, due = e->n_frames - start;
  if (due > MYNAH__BLOCK_FRAMES) due = MYNAH__BLOCK_FRAMES;
  const void *data = sqlite3_column_blob(q, 2);
  size_t bytes = (size_t)sqlite3_column_bytes(q, 2);
  if (n != due || !data || bytes != (size_t)n * frame_bytes(d, feature))
    return damaged(d, e, feature, start, "the block has a wrong size");
  if ((int64_t)mynah__place_crc(e->id, feature, start, n, data, bytes) != sqlite3_column_int64(q, 1))
    return damaged(d, e, feature, start, "the checksum of the block is wrong");
  MYNAH_TRY(mynah_grow((void **)&b->data, &b->capacity, bytes, 1));
  memcpy(b->data, data, bytes);
  b->count = n;
  b->episode = e->id;
  return MYNAH_OK;
}

mynah_status mynah__read_block(mynah_dataset *d, const mynah_episode *e, int64_t feature, int64_t frame,
                               const mynah__block **out) {
  mynah__block *b = &d->blocks[1 + feature];
  int64_t start = frame / MYNAH__BLOCK_FRAMES * MYNAH__BLOCK_FRAMES;
  *out = b;
  if (b->episode == e->id && b->start == start) return MYNAH_OK;
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_query(d, MYNAH__GET_BLOCK, &q));
  sqlite3_bind_int64(q, 1, e->id);
  sqlite3_bind_int64(q, 2, feature);
  sqlite3_bind_int64(q, 3, start);
  b->episode = 0;
  b->start = start;
  int code = sqlite3_step(q);
  mynah_status status;
  if (code == SQLITE_ROW) status = take_block(d, e, feature, q, b);
  else if (code == SQLITE_DONE) status = damaged(d, e, feature, start, "the block is missing");
  else status = mynah__sql_fail(d, "cannot be read");
  sqlite3_reset(q);
  return status;
}

/* ---- pictures ------------------------------------------------------------------------------------------------------
 */

/* One row, into d->picture; kind: a codec, or MYNAH__CODEC_REPEAT. */
static mynah_status read_row(mynah_dataset *d, const mynah_episode *e, int feature, int64_t frame, int64_t *codec, size_t *bytes) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_query(d, MYNAH__GET_PICTURE, &q));
  sqlite3_bind_int64(q, 1, e->id);
  sqlite3_bind_int(q, 2, feature);
  sqlite3_bind_int64(q, 3, frame);
  int code = sqlite3_step(q);
  mynah_status status = MYNAH_OK;
  if (code == SQLITE_DONE) status = damaged(d, e, feature, frame, "the picture is missing");
  else if (code != SQLITE_ROW) status = mynah__sql_fail(d, "cannot be read");
  if (status == MYNAH_OK) {
    int64_t kind = sqlite3_column_int64(q, 0);
    const void *data = sqlite3_column_blob(q, 2);
    size_t n = (size_t)sqlite3_column_bytes(q, 2);
    if (!data || kind < MYNAH_CODEC_JPEG || kind > MYNAH__CODEC_REPEAT ||
        (int64_t)mynah__place_crc(e->id, feature, frame, kind, data, n) != sqlite3_column_int64(q, 1))
      status = damaged(d, e, feature, frame, "the checksum of the picture is wrong");
    else if (n != (kind == MYNAH_CODEC_RAW ? frame_bytes(d, feature) : kind == MYNAH__CODEC_REPEAT ? sizeof(int64_t) : n))
      status = damaged(d, e, feature, frame, "the picture has a wrong size");
    if (status == MYNAH_OK) status = mynah_grow((void **)&d->picture, &d->picture_capacity, n, 1);
    if (status == MYNAH_OK) {
      memcpy(d->picture, data, n);
      *codec = kind;
      *bytes = n;
    }
  }
  sqlite3_reset(q);
  return status;
}

mynah_status mynah__read_picture(mynah_dataset *d, const mynah_episode *e, int feature, int64_t frame,
                                 mynah_codec *codec, size_t *bytes) {
  int64_t kind = -1, earlier;
  d->picture_frame = frame;
  MYNAH_TRY(read_row(d, e, feature, frame, &kind, bytes));
  if (kind == MYNAH__CODEC_REPEAT) {
    memcpy(&earlier, d->picture, sizeof earlier);
    if (earlier < 0 || earlier >= frame) return damaged(d, e, feature, frame, "it repeats a frame that is not before it");
    d->picture_frame = earlier;
    MYNAH_TRY(read_row(d, e, feature, earlier, &kind, bytes));
    if (kind == MYNAH__CODEC_REPEAT) return damaged(d, e, feature, frame, "it repeats a frame without a picture");
  }
  *codec = (mynah_codec)kind;
  return MYNAH_OK;
}

/* ---- public
 * ---------------------------------------------------------------------------------------------------------- */

static mynah_status check_place(const mynah_dataset *d, int64_t i, int64_t start, int64_t count) {
  if (i < 0 || i >= (int64_t)d->n_episodes)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no episode number %lld of %zu", d->path, (long long)i,
                      d->n_episodes);
  if (start < 0 || count < 0 || count > d->episodes[i].n_frames || start > d->episodes[i].n_frames - count)
    return mynah_fail(MYNAH_INVALID, "%s: episode %lld has %lld frames, asked for %lld from %lld", d->path,
                      (long long)d->episodes[i].id, (long long)d->episodes[i].n_frames, (long long)count,
                      (long long)start);
  return MYNAH_OK;
}

static mynah_status read_rows(mynah_dataset *d, int64_t i, int64_t feature, int64_t start, int64_t count,
                              uint8_t *out) {
  MYNAH_TRY(check_place(d, i, start, count));
  size_t bytes = frame_bytes(d, feature);
  for (int64_t t = start; t < start + count;) {
    const mynah__block *b;
    MYNAH_TRY(mynah__read_block(d, &d->episodes[i], feature, t, &b));
    int64_t end = b->start + b->count;
    if (end > start + count) end = start + count;
    memcpy(out + (size_t)(t - start) * bytes, b->data + (size_t)(t - b->start) * bytes, (size_t)(end - t) * bytes);
    t = end;
  }
  return MYNAH_OK;
}

static mynah_status find_feature(const mynah_dataset *d, const char *name, bool is_image, int *out) {
  int feature = mynah_feature_find(d->features, d->n_features, name);
  if (feature < 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'", d->path, name);
  if (d->features[feature].is_image != is_image)
    return mynah_fail(MYNAH_INVALID, "%s: '%s' is %s", d->path, name, is_image ? "no picture" : "a picture");
  *out = feature;
  return MYNAH_OK;
}

mynah_status mynah_dataset_read_raw(mynah_dataset *d, int64_t i, const char *feature, int64_t start, int64_t count,
                                    void *out) {
  int index = -1;
  MYNAH_TRY(find_feature(d, feature, false, &index));
  return read_rows(d, i, index, start, count, out);
}

mynah_status mynah_dataset_read(mynah_dataset *d, int64_t i, const char *feature, int64_t start, int64_t count,
                                float *out) {
  int index = -1;
  MYNAH_TRY(find_feature(d, feature, false, &index));
  const mynah_feature *f = &d->features[index];
  if (f->dtype == MYNAH_F32) return read_rows(d, i, index, start, count, (uint8_t *)out);
  MYNAH_TRY(check_place(d, i, start, count));
  size_t size = (size_t)mynah_feature_size(f), each = mynah_dtype_bytes(f->dtype);
  for (int64_t t = start; t < start + count; t++) {
    const mynah__block *b;
    MYNAH_TRY(mynah__read_block(d, &d->episodes[i], index, t, &b));
    const uint8_t *row = b->data + (size_t)(t - b->start) * size * each;
    for (size_t k = 0; k < size; k++) *out++ = (float)mynah__to_double(f->dtype, row + k * each);
  }
  return MYNAH_OK;
}

mynah_status mynah_dataset_read_times(mynah_dataset *d, int64_t i, int64_t start, int64_t count, int64_t *time_ns) {
  return read_rows(d, i, MYNAH__TIMES, start, count, (uint8_t *)time_ns);
}

mynah_status mynah_dataset_read_blob(mynah_dataset *d, int64_t i, const char *feature, int64_t frame, const void **data,
                                     size_t *bytes) {
  int index = -1;
  mynah_codec codec;
  MYNAH_TRY(find_feature(d, feature, true, &index));
  MYNAH_TRY(check_place(d, i, frame, 1));
  MYNAH_TRY(mynah__read_picture(d, &d->episodes[i], index, frame, &codec, bytes));
  *data = d->picture;
  return MYNAH_OK;
}

mynah_status mynah_dataset_read_image(mynah_dataset *d, int64_t i, const char *feature, int64_t frame, int min_width,
                                      int min_height, mynah_image *out) {
  int index = -1;
  mynah_codec codec;
  size_t bytes;
  MYNAH_TRY(find_feature(d, feature, true, &index));
  MYNAH_TRY(check_place(d, i, frame, 1));
  MYNAH_TRY(mynah__read_picture(d, &d->episodes[i], index, frame, &codec, &bytes));
  int width = (int)d->features[index].dims[1], height = (int)d->features[index].dims[0];
  mynah_image picture;
  if (codec == MYNAH_CODEC_RAW) {
    picture = (mynah_image){mynah_alloc(bytes), width, height};
    if (!picture.data) return MYNAH_NO_MEMORY;
    memcpy(picture.data, d->picture, bytes);
  } else {
    mynah_status status = mynah_image_decode(d->picture, bytes, min_width, min_height, &picture);
    if (status != MYNAH_OK)
      return mynah_error_context(status, "%s: episode %lld, %s, frame %lld", d->path, (long long)d->episodes[i].id,
                                 feature, (long long)frame);
  }
  bool is_whole = picture.width == width && picture.height == height;
  bool is_scaled = (min_width > 0 || min_height > 0) && picture.width <= width && picture.height <= height;
  if (!is_whole && !is_scaled) {
    mynah_status status = mynah_fail(
        MYNAH_MISMATCH, "%s: episode %lld, %s, frame %lld: %d x %d pixels instead of %d x %d", d->path,
        (long long)d->episodes[i].id, feature, (long long)frame, picture.width, picture.height, width, height);
    mynah_image_deinit(&picture);
    return status;
  }
  *out = picture;
  return MYNAH_OK;
}
