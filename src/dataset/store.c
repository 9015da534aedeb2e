/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The file: creating, opening, closing; what is known of it. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one writer ----------------------------------------------------------------------------------------------------
 */

/* The lock lies on NAME.demos.lock: a lock on the file itself is SQLite's. Who gets it while another one unlinks it
 * holds a lock on nothing, so the name must still lead to what was locked. */
static mynah_status lock_writer(mynah_dataset *d) {
  char path[MYNAH_PATH_MAX + 8];
  snprintf(path, sizeof path, "%s.lock", d->path);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return mynah_fail_errno(path, "cannot make the lock");
  struct stat locked, named;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &locked) == 0 && stat(path, &named) == 0 &&
      locked.st_ino == named.st_ino) {
    d->lock_fd = fd;
    return MYNAH_OK;
  }
  close(fd);
  return mynah_fail(MYNAH_BUSY, "%s: another program is writing to it", d->path);
}

static void unlock_writer(mynah_dataset *d) {
  char path[MYNAH_PATH_MAX + 8];
  if (d->lock_fd < 0) return;
  snprintf(path, sizeof path, "%s.lock", d->path);
  unlink(path); /* while it is still held */
  close(d->lock_fd);
}

/* ---- opening -------------------------------------------------------------------------------------------------------
 */

/* What a killed writer left of an episode it never sealed. */
static mynah_status remove_unsealed(mynah_dataset *d) {
  static const char *const steps[] = {"BEGIN IMMEDIATE",
                                      "DELETE FROM block WHERE episode IN (SELECT id FROM episode WHERE is_sealed=0)",
                                      "DELETE FROM picture WHERE episode IN (SELECT id FROM episode WHERE is_sealed=0)",
                                      "DELETE FROM episode WHERE is_sealed=0", "COMMIT"};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    mynah_status status = mynah__sql_run(d, steps[i]);
    if (status == MYNAH_OK) continue;
    sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
  }
  mynah_log(MYNAH_LOG_WARNING, "%s: removed %lld unfinished episode(s) of a writer that was stopped", d->path,
            (long long)d->n_unsealed);
  d->n_unsealed = 0;
  return mynah__sql_make_safe(d);
}

/* Nobody counts on the file of an import before its end, so it is synced once, there; 1024 pages of log are 16 MiB. */
static mynah_status prepare_writer(mynah_dataset *d, bool is_full_sync) {
  const char *sync = d->is_bulk     ? "PRAGMA synchronous=OFF"
                     : is_full_sync ? "PRAGMA synchronous=FULL"
                                    : "PRAGMA synchronous=NORMAL";
  MYNAH_TRY(mynah__sql_run(d, "PRAGMA journal_mode=WAL"));
  MYNAH_TRY(mynah__sql_run(d, sync));
  /* Zeroing what is deleted would write it all again. */
  MYNAH_TRY(mynah__sql_run(d, "PRAGMA secure_delete=FAST"));
  return mynah__sql_run(d, d->is_bulk ? "PRAGMA wal_autocheckpoint=1024" : "PRAGMA wal_autocheckpoint=0");
}

mynah_status mynah__make_bulk(mynah_dataset *d) {
  d->is_bulk = true;
  return prepare_writer(d, false);
}

/* A reader needs a small index of the log beside the file. On a medium or in a folder that cannot be written, and with
 * no log there, the file is read as one that nobody changes. */
static mynah_status open_reader(mynah_dataset *d) {
  char log[MYNAH_PATH_MAX + 8];
  struct stat info;
  int64_t version;
  mynah_status status = mynah__sql_open(d, SQLITE_OPEN_READONLY, NULL);
  if (status == MYNAH_OK) status = mynah__sql_number(d, "PRAGMA user_version", &version);
  int code = d->db ? sqlite3_errcode(d->db) & 0xff : SQLITE_OK;
  if (status == MYNAH_OK || (code != SQLITE_CANTOPEN && code != SQLITE_READONLY))
    return MYNAH_OK; /* the check says what */
  snprintf(log, sizeof log, "%s-wal", d->path);
  if (stat(log, &info) == 0 && info.st_size > 0)
    return mynah_error_context(status, "%s: its log cannot be read: copy both elsewhere", d->path);
  sqlite3_close(d->db);
  d->db = NULL;
  return mynah__sql_open(d, SQLITE_OPEN_READONLY, "immutable=1");
}

static mynah_status open_existing(mynah_dataset *d, mynah_open_mode mode) {
  struct stat info;
  if (stat(d->path, &info) != 0) return mynah_fail_errno(d->path, "cannot open");
  if (!S_ISREG(info.st_mode)) return mynah_fail(MYNAH_UNSUPPORTED, "%s: is no file", d->path);
  if (info.st_size == 0) return mynah_fail(MYNAH_CORRUPT, "%s: is empty", d->path);
  d->is_writable = mode == MYNAH_OPEN_WRITE;
  if (d->is_writable) MYNAH_TRY(lock_writer(d));
  MYNAH_TRY(d->is_writable ? mynah__sql_open(d, SQLITE_OPEN_READWRITE, NULL) : open_reader(d));
  MYNAH_TRY(mynah__schema_check(d));
  if (d->is_writable) MYNAH_TRY(prepare_writer(d, false));
  MYNAH_TRY(mynah__load_meta(d));
  MYNAH_TRY(mynah__load_features(d));
  MYNAH_TRY(mynah__load_episodes(d));
  return d->is_writable && d->n_unsealed > 0 ? remove_unsealed(d) : MYNAH_OK;
}

static mynah_status new_handle(const char *path, mynah_dataset **out) {
  if (!path[0]) return mynah_fail(MYNAH_INVALID, "a dataset needs a path");
  mynah_dataset *d = mynah_calloc(1, sizeof *d);
  if (!d) return MYNAH_NO_MEMORY;
  d->lock_fd = -1;
  mynah_status status = mynah_copy_text(d->path, sizeof d->path - 16, path); /* room for "-journal" */
  if (status != MYNAH_OK) {
    mynah_free(d);
    return status;
  }
  *out = d;
  return MYNAH_OK;
}

mynah_status mynah_dataset_open(const char *path, mynah_open_mode mode, mynah_dataset **out) {
  if (mode == MYNAH_OPEN_CREATE)
    return mynah_fail(MYNAH_INVALID, "%s: a new file is made with mynah_dataset_create", path);
  mynah_dataset *d = NULL;
  MYNAH_TRY(new_handle(path, &d));
  mynah_status status = open_existing(d, mode);
  if (status != MYNAH_OK) {
    mynah_dataset_close(d);
    return status;
  }
  *out = d;
  return MYNAH_OK;
}

/* ---- creating ------------------------------------------------------------------------------------------------------
 */

static mynah_status take_config(mynah_dataset *d, const mynah_dataset_config *c) {
  if (c->n_features < 1 || c->n_features > MYNAH__MAX_FEATURES)
    return mynah_fail(MYNAH_INVALID, "%s: needs 1 … %d features", d->path, MYNAH__MAX_FEATURES);
  for (int i = 0; i < c->n_features; i++) {
    MYNAH_TRY(mynah_feature_check(&c->features[i]));
    if (mynah_feature_bytes(&c->features[i]) > MYNAH__MAX_PICTURE_BYTES / MYNAH__BLOCK_FRAMES &&
        !c->features[i].is_image)
      return mynah_fail(MYNAH_LIMIT, "%s: feature '%s' is too large for a vector", d->path, c->features[i].name);
    if (mynah_feature_bytes(&c->features[i]) > MYNAH__MAX_PICTURE_BYTES)
      return mynah_fail(MYNAH_LIMIT, "%s: feature '%s' is too large", d->path, c->features[i].name);
    if (mynah_feature_find(d->features, i, c->features[i].name) >= 0)
      return mynah_fail(MYNAH_INVALID, "%s: feature '%s' is named twice", d->path, c->features[i].name);
    d->features[i] = c->features[i];
  }
  d->n_features = c->n_features;
  if (!(c->rate_hz > 0 && c->rate_hz < 1e6))
    return mynah_fail(MYNAH_INVALID, "%s: a rate of %g Hz makes no sense", d->path, c->rate_hz);
  if (c->codec < MYNAH_CODEC_JPEG || c->codec > MYNAH_CODEC_RAW || c->jpeg_quality < 0 || c->jpeg_quality > 100)
    return mynah_fail(MYNAH_INVALID, "%s: a codec of that number or quality does not exist", d->path);
  d->rate_hz = c->rate_hz;
  d->codec = c->codec;
  d->jpeg_quality = c->jpeg_quality > 0 ? c->jpeg_quality : 92;
  return mynah_copy_text(d->robot, sizeof d->robot, c->robot ? c->robot : "");
}

/* The lock comes before the look whether the file exists, so that two who create it do not both go on. */
static mynah_status create(mynah_dataset *d, const mynah_dataset_config *c) {
  d->is_writable = true;
  MYNAH_TRY(take_config(d, c));
  MYNAH_TRY(lock_writer(d));
  if (mynah_file_exists(d->path)) return mynah_fail(MYNAH_BUSY, "%s: exists already", d->path);
  MYNAH_TRY(mynah__sql_open(d, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL));
  MYNAH_TRY(mynah__sql_run(d, "PRAGMA page_size=16384"));
  MYNAH_TRY(prepare_writer(d, c->is_full_sync));
  MYNAH_TRY(mynah__schema_create(d, c));
  return mynah__sql_make_safe(d); /* the file itself says what it is, whatever becomes of the log */
}

/* A file that could not be made whole is not left there. */
static void remove_created(mynah_dataset *d) {
  static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
  sqlite3_close(d->db);
  d->db = NULL;
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    char path[MYNAH_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s%s", d->path, tails[i]);
    unlink(path);
  }
}

mynah_status mynah_dataset_create(const char *path, const mynah_dataset_config *config, mynah_dataset **out) {
  return mynah__create(path, config, false, out);
}

mynah_status mynah__create(const char *path, const mynah_dataset_config *config, bool is_bulk, mynah_dataset **out) {
  mynah_dataset *d = NULL;
  MYNAH_TRY(new_handle(path, &d));
  d->is_bulk = is_bulk;
  mynah_status status = create(d, config);
  if (status != MYNAH_OK) {
    if (d->db) remove_created(d);
    mynah_dataset_close(d);
    return status;
  }
  *out = d;
  return MYNAH_OK;
}

void mynah_dataset_close(mynah_dataset *d) {
  if (!d) return;
  if (d->writing.is_open) mynah_episode_discard(d);
  mynah__guard_end(d);
  for (int i = 0; i < MYNAH__QUERY_COUNT; i++) sqlite3_finalize(d->queries[i]);
  if (d->db && d->is_writable) { /* at rest the file needs no log beside it; while a reader looks on, it stays */
    sqlite3_busy_timeout(d->db, 0);
    sqlite3_exec(d->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
  }
  sqlite3_close(d->db);
  unlock_writer(d);
  for (int i = 0; i < MYNAH__MAX_FEATURES; i++) {
    mynah_free(d->writing.rows[i]);
    mynah_str_deinit(&d->writing.pictures[i]);
  }
  for (int i = 0; i <= MYNAH__MAX_FEATURES; i++) mynah_free(d->blocks[i].data);
  mynah_free(d->picture);
  mynah_free(d->episodes);
  mynah_json_destroy(d->tags);
  mynah_free(d);
}

/* ---- asking --------------------------------------------------------------------------------------------------------
 */

int mynah_dataset_n_features(const mynah_dataset *d) { return d->n_features; }
const mynah_feature *mynah_dataset_feature(const mynah_dataset *d, int i) { return &d->features[i]; }
const mynah_feature *mynah_dataset_find(const mynah_dataset *d, const char *name) {
  int i = mynah_feature_find(d->features, d->n_features, name);
  return i < 0 ? NULL : &d->features[i];
}
double mynah_dataset_rate_hz(const mynah_dataset *d) { return d->rate_hz; }
const char *mynah_dataset_robot(const mynah_dataset *d) { return d->robot; }
const char *mynah_dataset_path(const mynah_dataset *d) { return d->path; }
int64_t mynah_dataset_n_episodes(const mynah_dataset *d) { return (int64_t)d->n_episodes; }
const mynah_episode *mynah_dataset_episode(const mynah_dataset *d, int64_t i) { return &d->episodes[i]; }

int64_t mynah_dataset_n_frames(const mynah_dataset *d) {
  int64_t n = 0;
  for (size_t i = 0; i < d->n_episodes; i++) n += d->episodes[i].n_frames;
  return n;
}

mynah_status mynah_dataset_hash(const mynah_dataset *d, char hex[65]) {
  mynah_sha256 s;
  mynah_sha256_init(&s);
  for (int i = 0; i < d->n_features; i++) {
    mynah_str text = {0};
    mynah_json *j = mynah_feature_to_json(&d->features[i]);
    mynah_status status = mynah_json_dump(j, 0, &text);
    mynah_json_destroy(j);
    mynah_sha256_update(&s, d->features[i].name, strlen(d->features[i].name) + 1);
    mynah_sha256_update(&s, mynah_str_text(&text), text.length);
    mynah_str_deinit(&text);
    MYNAH_TRY(status);
  }
  for (size_t i = 0; i < d->n_episodes; i++) mynah_sha256_update(&s, d->episodes[i].hash, 64);
  mynah_sha256_final(&s, hex);
  return MYNAH_OK;
}
