/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing episodes: vectors gathered into blocks, pictures one by one, a commit twice a second, the seal at the end. */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COMMIT_NS 500000000

void mynah__hash_item(mynah_sha256 *s, int64_t feature, const void *bytes, size_t n) {
  uint64_t head[2] = {(uint64_t)feature, (uint64_t)n};
  mynah_sha256_update(s, head, sizeof head);
  mynah_sha256_update(s, bytes, n);
}

static mynah_status step_write(mynah_dataset *d, sqlite3_stmt *q) {
  int code = sqlite3_step(q);
  if (code == SQLITE_DONE) {
    sqlite3_reset(q);
    return MYNAH_OK;
  }
  mynah_status status = mynah__sql_fail(d, "cannot be written");
  sqlite3_reset(q);
  return status;
}

static mynah_status insert_episode(mynah_dataset *d, mynah_episode *e) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, "INSERT INTO episode(n_frames, seed, success, task, expert, hash, is_sealed, is_deleted) "
                         "VALUES(0,?1,?2,?3,?4,'',0,0)", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "cannot be written");
  sqlite3_bind_int64(q, 1, (sqlite3_int64)e->seed);
  sqlite3_bind_int(q, 2, e->success);
  sqlite3_bind_text(q, 3, e->task, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 4, e->expert, -1, SQLITE_STATIC);
  mynah_status status = step_write(d, q);
  sqlite3_finalize(q);
  e->id = sqlite3_last_insert_rowid(d->db);
  return status;
}

mynah_status mynah_episode_begin(mynah_dataset *d, const mynah_episode *info) {
  mynah__open_episode *w = &d->writing;
  if (!d->is_writable) return mynah_fail(MYNAH_INVALID, "%s: is open for reading only", d->path);
  if (w->is_open) return mynah_fail(MYNAH_BUSY, "%s: an episode is open already", d->path);
  for (int i = 0; i < d->n_features; i++) {
    if (d->features[i].is_image || w->rows[i]) continue;
    w->rows[i] = mynah_calloc(MYNAH__BLOCK_FRAMES, mynah_feature_bytes(&d->features[i]));
    if (!w->rows[i]) return MYNAH_NO_MEMORY;
  }
  w->info = *info;
  w->info.n_frames = 0;
  w->n_pending = 0;
  w->last_time_ns = INT64_MIN;
  w->committed_ns = mynah_now_ns();
  mynah_sha256_init(&w->hash);
  MYNAH_TRY(mynah__sql_run(d, "BEGIN IMMEDIATE"));
  mynah_status status = insert_episode(d, &w->info);
  if (status != MYNAH_OK) {
    sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
  }
  w->is_open = true;
  return MYNAH_OK;
}

/* ---- frames -------------------------------------------------------------------------------------------------------- */

static mynah_status check_finite(const mynah_dataset *d, const mynah_feature *f, const void *data) {
  int64_t n = mynah_feature_size(f);
  for (int64_t i = 0; i < n; i++) {
    bool is_bad = f->dtype == MYNAH_F32 ? !isfinite(((const float *)data)[i])
                                        : f->dtype == MYNAH_F64 && !isfinite(((const double *)data)[i]);
    if (is_bad)
      return mynah_fail(MYNAH_NONFINITE, "%s: '%s' element %lld of frame %lld is not a finite number", d->path, f->name,
                        (long long)i, (long long)d->writing.info.n_frames);
  }
  return MYNAH_OK;
}

static mynah_status check_frame(const mynah_dataset *d, int64_t time_ns, const mynah_value *values, const bool *is_encoded) {
  const mynah__open_episode *w = &d->writing;
  if (!w->is_open) return mynah_fail(MYNAH_INVALID, "%s: no episode is open", d->path);
  if (time_ns < w->last_time_ns)
    return mynah_fail(MYNAH_INVALID, "%s: the time of frame %lld goes back by %lld ns", d->path,
                      (long long)w->info.n_frames, (long long)(w->last_time_ns - time_ns));
  for (int i = 0; i < d->n_features; i++) {
    const mynah_feature *f = &d->features[i];
    bool is_blob = f->is_image && is_encoded && is_encoded[i];
    if (!values[i].data || (is_blob ? values[i].bytes == 0 || values[i].bytes > (size_t)1 << 27
                                    : values[i].bytes != mynah_feature_bytes(f)))
      return mynah_fail(MYNAH_MISMATCH, "%s: '%s' has %zu bytes where %zu are due", d->path, f->name, values[i].bytes,
                        mynah_feature_bytes(f));
    if (!f->is_image) MYNAH_TRY(check_finite(d, f, values[i].data));
  }
  return MYNAH_OK;
}

static mynah_status put_picture_blob(mynah_dataset *d, int feature, const void *data, size_t bytes) {
  mynah__open_episode *w = &d->writing;
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, MYNAH__PUT_PICTURE, &q));
  sqlite3_bind_int64(q, 1, w->info.id);
  sqlite3_bind_int(q, 2, feature);
  sqlite3_bind_int64(q, 3, w->info.n_frames);
  sqlite3_bind_int64(q, 4, mynah_crc32c(0, data, bytes));
  sqlite3_bind_blob64(q, 5, data, bytes, SQLITE_STATIC);
  mynah__hash_item(&w->hash, feature, data, bytes);
  return step_write(d, q);
}

static mynah_status put_picture(mynah_dataset *d, int feature, const mynah_value *v, bool is_encoded) {
  const mynah_feature *f = &d->features[feature];
  if (is_encoded || d->codec == MYNAH_CODEC_RAW) return put_picture_blob(d, feature, v->data, v->bytes);
  mynah_image picture = {(uint8_t *)(uintptr_t)v->data, (int)f->dims[1], (int)f->dims[0]};
  mynah_str blob = {0};
  mynah_status status = d->codec == MYNAH_CODEC_PNG ? mynah_png_encode(&picture, &blob)
                                                    : mynah_jpeg_encode(&picture, d->jpeg_quality, &blob);
  if (status == MYNAH_OK) status = put_picture_blob(d, feature, blob.data, blob.length);
  mynah_str_deinit(&blob);
  return status;
}

static mynah_status put_block(mynah_dataset *d, int64_t feature, const void *data, size_t bytes) {
  mynah__open_episode *w = &d->writing;
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, MYNAH__PUT_BLOCK, &q));
  sqlite3_bind_int64(q, 1, w->info.id);
  sqlite3_bind_int64(q, 2, feature);
  sqlite3_bind_int64(q, 3, w->info.n_frames - w->n_pending);
  sqlite3_bind_int(q, 4, w->n_pending);
  sqlite3_bind_int64(q, 5, mynah_crc32c(0, data, bytes));
  sqlite3_bind_blob64(q, 6, data, bytes, SQLITE_STATIC);
  mynah__hash_item(&w->hash, feature, data, bytes);
  return step_write(d, q);
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

mynah_status mynah_episode_add(mynah_dataset *d, int64_t time_ns, const mynah_value *values, const bool *is_encoded) {
  mynah__open_episode *w = &d->writing;
  MYNAH_TRY(check_frame(d, time_ns, values, is_encoded));
  for (int i = 0; i < d->n_features; i++) {
    size_t bytes = mynah_feature_bytes(&d->features[i]);
    if (d->features[i].is_image) MYNAH_TRY(put_picture(d, i, &values[i], is_encoded && is_encoded[i]));
    else memcpy(w->rows[i] + (size_t)w->n_pending * bytes, values[i].data, bytes);
  }
  w->times[w->n_pending++] = time_ns;
  w->last_time_ns = time_ns;
  w->info.n_frames++;
  if (w->n_pending == MYNAH__BLOCK_FRAMES) MYNAH_TRY(flush_blocks(d));
  int64_t now = mynah_now_ns();
  if (now - w->committed_ns < COMMIT_NS) return MYNAH_OK;
  w->committed_ns = now;
  MYNAH_TRY(mynah__sql_run(d, "COMMIT"));
  return mynah__sql_run(d, "BEGIN IMMEDIATE");
}

void mynah_episode_mark(mynah_dataset *d, int success) { d->writing.info.success = success; }

/* ---- the end of an episode ------------------------------------------------------------------------------------------- */

static mynah_status write_seal(mynah_dataset *d) {
  mynah__open_episode *w = &d->writing;
  if (w->info.n_frames == 0) return mynah_fail(MYNAH_INVALID, "%s: an episode without frames cannot be sealed", d->path);
  MYNAH_TRY(flush_blocks(d));
  mynah_sha256_final(&w->hash, w->info.hash);
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, MYNAH__SEAL, &q));
  sqlite3_bind_int64(q, 1, w->info.id);
  sqlite3_bind_int64(q, 2, w->info.n_frames);
  sqlite3_bind_int(q, 3, w->info.success);
  sqlite3_bind_text(q, 4, w->info.hash, -1, SQLITE_STATIC);
  MYNAH_TRY(step_write(d, q));
  return mynah__sql_run(d, "COMMIT");
}

/* Moves the log into the file and syncs both; a reader that is looking delays only the move, not the safety, so the log
 * itself is synced then by a FULL checkpoint of what can be moved. */
static mynah_status checkpoint(mynah_dataset *d) {
  int code = sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  if (code == SQLITE_BUSY) code = sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  return code == SQLITE_OK ? MYNAH_OK : mynah__sql_fail(d, "the episode could not be made safe");
}

mynah_status mynah_episode_seal(mynah_dataset *d, int64_t *id) {
  mynah__open_episode *w = &d->writing;
  if (!w->is_open) return mynah_fail(MYNAH_INVALID, "%s: no episode is open", d->path);
  mynah_status status = mynah_grow((void **)&d->episodes, &d->cap_episodes, d->n_episodes + 1, sizeof *d->episodes);
  if (status == MYNAH_OK) status = write_seal(d);
  if (status != MYNAH_OK) {
    char text[512];
    snprintf(text, sizeof text, "%s", mynah_error());
    mynah_episode_discard(d);
    return mynah_fail(status, "%s", text);
  }
  w->is_open = false;
  MYNAH_TRY(checkpoint(d));
  d->episodes[d->n_episodes++] = w->info;
  if (id) *id = w->info.id;
  return MYNAH_OK;
}

void mynah_episode_discard(mynah_dataset *d) {
  mynah__open_episode *w = &d->writing;
  if (!w->is_open) return;
  w->is_open = false;
  sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
  static const char *const texts[] = {"DELETE FROM block WHERE episode=%lld", "DELETE FROM picture WHERE episode=%lld",
                                      "DELETE FROM episode WHERE id=%lld"};
  for (int i = 0; i < 3; i++) { /* what was committed on the way; if this fails too, the next opening removes it */
    char sql[96];
    snprintf(sql, sizeof sql, texts[i], (long long)w->info.id);
    sqlite3_exec(d->db, sql, NULL, NULL, NULL);
  }
  sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}
