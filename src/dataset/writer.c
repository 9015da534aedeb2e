/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing episodes: vectors gathered into blocks, pictures one by one, a commit twenty times a second, the seal at the end. */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* An episode does not live in memory: what is older than this is in the log. */
#define COMMIT_NS 50000000
/* So much in the log is moved into the file while an episode goes on, so that sealing a long one does not take long and the log does
 * not become as large as the file. */
#define LOG_BYTES ((int64_t)64 << 20)

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static mynah_status check_info(const mynah_dataset *d, const mynah_episode *info) {
  if (!d->is_writable) return mynah_fail(MYNAH_INVALID, "%s: is open for reading only", d->path);
  if (d->writing.is_open) return mynah_fail(MYNAH_BUSY, "%s: an episode is open already", d->path);
  if (info->success < -1 || info->success > 1)
    return mynah_fail(MYNAH_INVALID, "%s: success must be 1, 0 or -1 (unknown), not %d", d->path, info->success);
  if (!memchr(info->task, 0, sizeof info->task) || !memchr(info->expert, 0, sizeof info->expert))
    return mynah_fail(MYNAH_INVALID, "%s: the task or the expert has no end", d->path);
  return MYNAH_OK;
}

mynah_status mynah_episode_begin(mynah_dataset *d, const mynah_episode *info) {
  mynah__open_episode *w = &d->writing;
  MYNAH_TRY(check_info(d, info));
  mynah__guard_look(d);
  if (d->is_short) return mynah_fail(MYNAH_NO_SPACE, "%s: the disk is nearly full: no new episode is begun", d->path);
  for (int i = 0; i < d->n_features; i++) {
    if (d->features[i].is_image || w->rows[i]) continue;
    w->rows[i] = mynah_calloc(MYNAH__BLOCK_FRAMES, mynah_feature_bytes(&d->features[i]));
    if (!w->rows[i]) return MYNAH_NO_MEMORY;
  }
  w->info = *info;
  w->info.n_frames = 0;
  w->info.is_deleted = false;
  w->info.hash[0] = 0;
  w->n_pending = 0;
  w->is_broken = false;
  w->last_time_ns = INT64_MIN;
  w->committed_ns = mynah_now_ns();
  w->log_bytes = 0;
  mynah_sha256_init(&w->hash);
  MYNAH_TRY(mynah__sql_run(d, "BEGIN IMMEDIATE"));
  mynah_status status = mynah__insert_episode(d, &w->info);
  if (status != MYNAH_OK) {
    sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
  }
  w->is_open = true;
  return MYNAH_OK;
}

/* ---- checking a frame, before anything is written
 * -------------------------------------------------------------------- */

static mynah_status check_finite(const mynah_dataset *d, const mynah_feature *f, const void *data) {
  if (f->dtype != MYNAH_F32 && f->dtype != MYNAH_F64 && f->dtype != MYNAH_BF16) return MYNAH_OK;
  int64_t n = mynah_feature_size(f);
  size_t each = mynah_dtype_bytes(f->dtype);
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(mynah__to_double(f->dtype, (const uint8_t *)data + (size_t)i * each)))
      return mynah_fail(MYNAH_NONFINITE, "%s: '%s' element %lld of frame %lld is not a finite number", d->path, f->name,
                        (long long)i, (long long)d->writing.info.n_frames);
  return MYNAH_OK;
}

static mynah_status check_blob(const mynah_dataset *d, const mynah_feature *f, const mynah_value *v) {
  mynah_codec codec;
  int width = 0, height = 0;
  if (v->bytes > MYNAH__MAX_PICTURE_BYTES)
    return mynah_fail(MYNAH_LIMIT, "%s: '%s' has a picture of %zu bytes", d->path, f->name, v->bytes);
  if (!mynah__picture_size(v->data, v->bytes, &codec, &width, &height))
    return mynah_fail(MYNAH_MISMATCH, "%s: '%s' is given as encoded but is neither JPEG nor PNG", d->path, f->name);
  if (width == f->dims[1] && height == f->dims[0]) return MYNAH_OK;
  return mynah_fail(MYNAH_MISMATCH, "%s: '%s' has a picture of %d x %d pixels where %lld x %lld are due", d->path,
                    f->name, width, height, (long long)f->dims[1], (long long)f->dims[0]);
}

static mynah_status check_frame(const mynah_dataset *d, int64_t time_ns, const mynah_value *values,
                                const bool *is_encoded) {
  const mynah__open_episode *w = &d->writing;
  if (!w->is_open) return mynah_fail(MYNAH_INVALID, "%s: no episode is open", d->path);
  if (w->is_broken) return mynah_fail(MYNAH_INVALID, "%s: a frame could not be written: discard the episode", d->path);
  if (time_ns < w->last_time_ns)
    return mynah_fail(MYNAH_INVALID, "%s: the time of frame %lld goes back from %lld to %lld ns", d->path,
                      (long long)w->info.n_frames, (long long)w->last_time_ns, (long long)time_ns);
  for (int i = 0; i < d->n_features; i++) {
    const mynah_feature *f = &d->features[i];
    bool is_blob = f->is_image && is_encoded && is_encoded[i];
    if (f->is_image && !values[i].data && w->info.n_frames > 0) continue; /* as before */
    if (!values[i].data || (!is_blob && values[i].bytes != mynah_feature_bytes(f)))
      return mynah_fail(MYNAH_MISMATCH, "%s: '%s' has %zu bytes where %zu are due", d->path, f->name,
                        values[i].data ? values[i].bytes : 0, mynah_feature_bytes(f));
    if (is_blob) MYNAH_TRY(check_blob(d, f, &values[i]));
    else if (!f->is_image) MYNAH_TRY(check_finite(d, f, values[i].data));
  }
  return MYNAH_OK;
}

/* ---- writing a frame -----------------------------------------------------------------------------------------------
 */

static mynah_status encode_pictures(mynah_dataset *d, const mynah_value *values, const bool *is_encoded) {
  for (int i = 0; i < d->n_features; i++) {
    const mynah_feature *f = &d->features[i];
    if (!f->is_image || !values[i].data || (is_encoded && is_encoded[i]) || d->codec == MYNAH_CODEC_RAW) continue;
    mynah_image picture = {(uint8_t *)(uintptr_t)values[i].data, (int)f->dims[1], (int)f->dims[0]};
    mynah_str *blob = &d->writing.pictures[i];
    blob->length = 0; /* its memory is used again */
    mynah_status status = d->codec == MYNAH_CODEC_PNG ? mynah_png_encode(&picture, blob)
                                                      : mynah_jpeg_encode(&picture, d->jpeg_quality, blob);
    if (status == MYNAH_OK && blob->is_failed)
      status = mynah_fail(MYNAH_NO_MEMORY, "%s: '%s' cannot be encoded", d->path, f->name);
    if (status == MYNAH_OK) continue;
    mynah_str_deinit(blob);
    *blob = (mynah_str){0};
    return status;
  }
  return MYNAH_OK;
}

/* What is stored of a picture: it, its code, or the number of the earlier frame that has it. */
static mynah_value stored_picture(mynah_dataset *d, int feature, const mynah_value *v, bool is_encoded, int *codec) {
  mynah__open_episode *w = &d->writing;
  int width, height;
  mynah_codec kind = d->codec;
  if (!v->data) {
    *codec = MYNAH__CODEC_REPEAT;
    return (mynah_value){&w->shown[feature], sizeof w->shown[feature], 0};
  }
  w->shown[feature] = w->info.n_frames;
  if (is_encoded) mynah__picture_size(v->data, v->bytes, &kind, &width, &height);
  *codec = kind;
  if (is_encoded || kind == MYNAH_CODEC_RAW) return *v;
  return (mynah_value){w->pictures[feature].data, w->pictures[feature].length, 0};
}

static mynah_status put_picture(mynah_dataset *d, int feature, const mynah_value *v, bool is_encoded) {
  mynah__open_episode *w = &d->writing;
  int codec;
  mynah_value stored = stored_picture(d, feature, v, is_encoded, &codec);
  const void *data = stored.data;
  size_t bytes = stored.bytes;
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_query(d, MYNAH__PUT_PICTURE, &q));
  sqlite3_bind_int64(q, 1, w->info.id);
  sqlite3_bind_int(q, 2, feature);
  sqlite3_bind_int64(q, 3, w->info.n_frames);
  sqlite3_bind_int(q, 4, codec);
  sqlite3_bind_int64(q, 5, mynah__place_crc(w->info.id, feature, w->info.n_frames, codec, data, bytes));
  sqlite3_bind_blob64(q, 6, data, bytes, SQLITE_STATIC);
  mynah__hash_item(&w->hash, feature, data, bytes);
  w->log_bytes += (int64_t)bytes;
  return mynah__sql_step(d, q);
}

static mynah_status put_block(mynah_dataset *d, int64_t feature, const void *data, size_t bytes) {
  mynah__open_episode *w = &d->writing;
  int64_t start = w->info.n_frames - w->n_pending;
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_query(d, MYNAH__PUT_BLOCK, &q));
  sqlite3_bind_int64(q, 1, w->info.id);
  sqlite3_bind_int64(q, 2, feature);
  sqlite3_bind_int64(q, 3, start);
  sqlite3_bind_int(q, 4, w->n_pending);
  sqlite3_bind_int64(q, 5, mynah__place_crc(w->info.id, feature, start, w->n_pending, data, bytes));
  sqlite3_bind_blob64(q, 6, data, bytes, SQLITE_STATIC);
  mynah__hash_item(&w->hash, feature, data, bytes);
  return mynah__sql_step(d, q);
}

/* Stores the frames gathered so far. */
static mynah_status flush_blocks(mynah_dataset *d) {
  mynah__open_episode *w = &d->writing;
  if (w->n_pending == 0) return MYNAH_OK;
  size_t n = (size_t)w->n_pending;
  MYNAH_TRY(put_block(d, MYNAH__TIMES, w->times, n * sizeof *w->times));
  for (int i = 0; i < d->n_features; i++)
    if (!d->features[i].is_image) MYNAH_TRY(put_block(d, i, w->rows[i], n * mynah_feature_bytes(&d->features[i])));
  w->n_pending = 0;
  return MYNAH_OK;
}

/* Moves the log into the file as far as readers allow. The first commit afterwards begins the log anew and syncs its head, which takes
 * long: it is made here, with nothing in it that matters. */
static mynah_status move_log(mynah_dataset *d) {
  int64_t start = mynah_now_ns();
  char text[64];
  d->writing.log_bytes = 0;
  int code = sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) & 0xff;
  if (code != SQLITE_OK && code != SQLITE_BUSY && code != SQLITE_FULL && code != SQLITE_IOERR)
    return mynah__sql_fail(d, "the log cannot be moved into the file");
  snprintf(text, sizeof text, "PRAGMA user_version=%d", 1000 * MYNAH__MAJOR + MYNAH__MINOR);
  MYNAH_TRY(mynah__sql_run(d, text));
  d->move_ns = mynah_now_ns() - start;
  return MYNAH_OK;
}

static mynah_status commit(mynah_dataset *d) {
  mynah__open_episode *w = &d->writing;
  int64_t start = mynah_now_ns();
  w->committed_ns = start;
  mynah__guard_look(d);
  MYNAH_TRY(mynah__sql_run(d, "COMMIT"));
  d->commit_ns = mynah_now_ns() - start;
  if (w->log_bytes > LOG_BYTES && !d->is_bulk) MYNAH_TRY(move_log(d));
  return mynah__sql_run(d, "BEGIN IMMEDIATE");
}

static mynah_status write_frame(mynah_dataset *d, int64_t time_ns, const mynah_value *values, const bool *is_encoded) {
  mynah__open_episode *w = &d->writing;
  for (int i = 0; i < d->n_features; i++) {
    size_t bytes = mynah_feature_bytes(&d->features[i]);
    if (d->features[i].is_image) MYNAH_TRY(put_picture(d, i, &values[i], is_encoded && is_encoded[i]));
    else memcpy(w->rows[i] + (size_t)w->n_pending * bytes, values[i].data, bytes);
  }
  w->times[w->n_pending++] = time_ns;
  w->last_time_ns = time_ns;
  w->info.n_frames++;
  if (w->n_pending == MYNAH__BLOCK_FRAMES) MYNAH_TRY(flush_blocks(d));
  return mynah_now_ns() - w->committed_ns < COMMIT_NS ? MYNAH_OK : commit(d);
}

mynah_status mynah_episode_add(mynah_dataset *d, int64_t time_ns, const mynah_value *values, const bool *is_encoded) {
  d->commit_ns = d->move_ns = 0;
  MYNAH_TRY(check_frame(d, time_ns, values, is_encoded));
  MYNAH_TRY(encode_pictures(d, values, is_encoded));
  mynah_status status = write_frame(d, time_ns, values, is_encoded);
  d->writing.is_broken = status != MYNAH_OK; /* half a frame may be there */
  return status;
}

void mynah_episode_mark(mynah_dataset *d, int success) { d->writing.info.success = success < 0 ? -1 : success > 0; }

int64_t mynah_dataset_commit_ns(const mynah_dataset *d, int64_t *move_ns) {
  *move_ns = d->move_ns;
  return d->commit_ns;
}

/* ---- the end of an episode
 * ------------------------------------------------------------------------------------------- */

static mynah_status write_seal(mynah_dataset *d) {
  mynah__open_episode *w = &d->writing;
  if (w->is_broken)
    return mynah_fail(MYNAH_INVALID, "%s: a frame could not be written: the episode cannot be sealed", d->path);
  if (w->info.n_frames == 0)
    return mynah_fail(MYNAH_INVALID, "%s: an episode without frames cannot be sealed", d->path);
  MYNAH_TRY(flush_blocks(d));
  mynah_sha256_final(&w->hash, w->info.hash);
  MYNAH_TRY(mynah__update_episode(d, &w->info, true));
  return mynah__sql_run(d, "COMMIT");
}

mynah_status mynah_episode_seal(mynah_dataset *d, int64_t *id) {
  mynah__open_episode *w = &d->writing;
  if (!w->is_open) return mynah_fail(MYNAH_INVALID, "%s: no episode is open", d->path);
  mynah_status status = mynah_grow((void **)&d->episodes, &d->cap_episodes, d->n_episodes + 1, sizeof *d->episodes);
  if (status == MYNAH_OK) status = write_seal(d);
  if (status != MYNAH_OK) {
    mynah_episode_discard(d); /* which leaves the error text */
    return status;
  }
  w->is_open = false;
  if (!d->is_bulk) MYNAH_TRY(mynah__sql_make_safe(d));
  d->episodes[d->n_episodes++] = w->info;
  if (id) *id = w->info.id;
  return MYNAH_OK;
}

void mynah_episode_discard(mynah_dataset *d) {
  mynah__open_episode *w = &d->writing;
  if (!w->is_open) return;
  w->is_open = false;
  static const char *const texts[] = {"DELETE FROM block WHERE episode=?1", "DELETE FROM picture WHERE episode=?1",
                                      "DELETE FROM episode WHERE id=?1"};
  sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
  sqlite3_exec(d->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
  for (int i = 0; i < 3; i++) { /* what was committed on the way; if this fails too, the next opening removes it */
    sqlite3_stmt *q;
    if (sqlite3_prepare_v2(d->db, texts[i], -1, &q, NULL) != SQLITE_OK) break;
    sqlite3_bind_int64(q, 1, w->info.id);
    int code = sqlite3_step(q);
    sqlite3_finalize(q);
    if (code != SQLITE_DONE) break;
  }
  if (sqlite3_exec(d->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
}
