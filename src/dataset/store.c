/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The file: creating, opening with distrust, closing; what is known of features and episodes. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Kept word by word in the file, and compared when it is opened. */
static const char *const schema[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE feature(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL) STRICT",
    "CREATE TABLE episode(id INTEGER PRIMARY KEY AUTOINCREMENT, n_frames INTEGER NOT NULL, seed INTEGER NOT NULL, "
    "success INTEGER NOT NULL, task TEXT NOT NULL, expert TEXT NOT NULL, hash TEXT NOT NULL, is_sealed INTEGER NOT NULL, "
    "is_deleted INTEGER NOT NULL) STRICT",
    "CREATE TABLE block(id INTEGER PRIMARY KEY, episode INTEGER NOT NULL, feature INTEGER NOT NULL, "
    "start INTEGER NOT NULL, n_frames INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE UNIQUE INDEX block_place ON block(episode, feature, start)",
    "CREATE TABLE picture(id INTEGER PRIMARY KEY, episode INTEGER NOT NULL, feature INTEGER NOT NULL, "
    "frame INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE UNIQUE INDEX picture_place ON picture(episode, feature, frame)",
};
#define N_SCHEMA (sizeof schema / sizeof *schema)
static const char *const codec_names[] = {"jpeg", "png", "raw"};

mynah_status mynah__sql_fail(mynah_dataset *d, const char *what) {
  int code = sqlite3_extended_errcode(d->db), primary = code & 0xff;
  mynah_status status = primary == SQLITE_FULL                                ? MYNAH_NO_SPACE
                        : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ? MYNAH_CORRUPT
                        : primary == SQLITE_NOMEM                             ? MYNAH_NO_MEMORY
                        : primary == SQLITE_BUSY || primary == SQLITE_LOCKED  ? MYNAH_BUSY
                                                                              : MYNAH_IO;
  if (primary == SQLITE_IOERR && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) status = MYNAH_NO_SPACE;
  return mynah_fail(status, "%s: %s: %s", d->path, what, sqlite3_errmsg(d->db));
}

mynah_status mynah__sql_run(mynah_dataset *d, const char *sql) {
  return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? MYNAH_OK : mynah__sql_fail(d, sql);
}

mynah_status mynah__sql_prepare(mynah_dataset *d, mynah__query q, sqlite3_stmt **out) {
  static const char *const texts[MYNAH__QUERY_COUNT] = {
      [MYNAH__PUT_BLOCK] = "INSERT INTO block(episode, feature, start, n_frames, crc, data) VALUES(?1,?2,?3,?4,?5,?6)",
      [MYNAH__PUT_PICTURE] = "INSERT INTO picture(episode, feature, frame, crc, data) VALUES(?1,?2,?3,?4,?5)",
      [MYNAH__GET_BLOCK] = "SELECT n_frames, crc, data FROM block WHERE episode=?1 AND feature=?2 AND start=?3",
      [MYNAH__GET_PICTURE] = "SELECT crc, data FROM picture WHERE episode=?1 AND feature=?2 AND frame=?3",
      [MYNAH__SEAL] = "UPDATE episode SET n_frames=?2, success=?3, hash=?4, is_sealed=1 WHERE id=?1"};
  if (!d->queries[q] &&
      sqlite3_prepare_v3(d->db, texts[q], -1, SQLITE_PREPARE_PERSISTENT, &d->queries[q], NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "cannot prepare");
  sqlite3_reset(d->queries[q]);
  *out = d->queries[q];
  return MYNAH_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

/* One writer at a time: a lock on the file itself is SQLite's, so it lies on NAME.demos.lock. */
static mynah_status lock_writer(mynah_dataset *d) {
  char path[MYNAH_PATH_MAX];
  if (snprintf(path, sizeof path, "%s.lock", d->path) >= (int)sizeof path)
    return mynah_fail(MYNAH_INVALID, "%s: the path is too long", d->path);
  d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (d->lock_fd < 0) return mynah_fail_errno(path, "cannot make the lock");
  if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0) return MYNAH_OK;
  close(d->lock_fd);
  d->lock_fd = -1;
  return mynah_fail(MYNAH_BUSY, "%s: another program is writing to it", d->path);
}

/* Nothing in the file may run code, reach other files or make SQLite take much memory. */
static void distrust(mynah_dataset *d) {
  sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
  sqlite3_limit(d->db, SQLITE_LIMIT_LENGTH, 1 << 28);
  sqlite3_limit(d->db, SQLITE_LIMIT_SQL_LENGTH, 100000);
  sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_busy_timeout(d->db, 2000);
}

static mynah_status open_file(mynah_dataset *d, int flags) {
  int code = sqlite3_open_v2(d->path, &d->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
  if (!d->db) return mynah_fail(MYNAH_NO_MEMORY, "%s: out of memory", d->path);
  if (code != SQLITE_OK) return mynah__sql_fail(d, "cannot open");
  sqlite3_extended_result_codes(d->db, 1);
  distrust(d);
  return MYNAH_OK;
}

static mynah_status pragma_number(mynah_dataset *d, const char *sql, int64_t *out) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, sql, -1, &q, NULL) != SQLITE_OK) return mynah__sql_fail(d, "cannot be read");
  mynah_status status = sqlite3_step(q) == SQLITE_ROW ? MYNAH_OK : mynah__sql_fail(d, "cannot be read");
  if (status == MYNAH_OK) *out = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  return status;
}

/* The schema must be exactly ours, statement by statement: nothing more, nothing changed. */
static mynah_status check_schema(mynah_dataset *d) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
                         -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "the schema cannot be read");
  mynah_status status = MYNAH_OK;
  size_t n = 0;
  int code;
  for (; (code = sqlite3_step(q)) == SQLITE_ROW && status == MYNAH_OK; n++) {
    const char *text = (const char *)sqlite3_column_text(q, 0);
    if (n >= N_SCHEMA || !text || strcmp(text, schema[n]) != 0)
      status = mynah_fail(MYNAH_CORRUPT, "%s: its tables are not those of a .demos file", d->path);
  }
  if (status == MYNAH_OK && code != SQLITE_DONE && code != SQLITE_ROW) status = mynah__sql_fail(d, "the schema cannot be read");
  if (status == MYNAH_OK && n != N_SCHEMA)
    status = mynah_fail(MYNAH_CORRUPT, "%s: its tables are not those of a .demos file", d->path);
  sqlite3_finalize(q);
  return status;
}

static mynah_status check_header(mynah_dataset *d) {
  int64_t id = 0, version = 0;
  MYNAH_TRY(pragma_number(d, "PRAGMA application_id", &id));
  MYNAH_TRY(pragma_number(d, "PRAGMA user_version", &version));
  if (id != MYNAH__APPLICATION_ID) return mynah_fail(MYNAH_UNSUPPORTED, "%s: is no .demos file", d->path);
  if (version > MYNAH__FORMAT_VERSION)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: has format %lld, newer than this program's %d: use a newer mynah", d->path,
                      (long long)version, MYNAH__FORMAT_VERSION);
  if (version < 1) return mynah_fail(MYNAH_CORRUPT, "%s: has format %lld", d->path, (long long)version);
  return check_schema(d);
}

/* ---- what the file says of itself ---------------------------------------------------------------------------------- */

static mynah_status load_features(mynah_dataset *d) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, "SELECT name, description FROM feature ORDER BY id", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "the features cannot be read");
  mynah_status status = MYNAH_OK;
  int code = SQLITE_ROW;
  while (status == MYNAH_OK && (code = sqlite3_step(q)) == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(q, 0), *text = (const char *)sqlite3_column_text(q, 1);
    mynah_json *j = NULL;
    if (d->n_features == MYNAH__MAX_FEATURES) status = mynah_fail(MYNAH_LIMIT, "%s: has over %d features", d->path, MYNAH__MAX_FEATURES);
    else if (!name || !text) status = mynah_fail(MYNAH_CORRUPT, "%s: a feature has no name", d->path);
    else status = mynah_json_parse(text, strlen(text), &j);
    if (status == MYNAH_OK) status = mynah_feature_from_json(name, j, &d->features[d->n_features]);
    if (status == MYNAH_OK) d->n_features++;
    mynah_json_destroy(j);
  }
  if (status == MYNAH_OK && code != SQLITE_DONE) status = mynah__sql_fail(d, "the features cannot be read");
  sqlite3_finalize(q);
  if (status == MYNAH_OK && d->n_features == 0) status = mynah_fail(MYNAH_CORRUPT, "%s: has no features", d->path);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", d->path);
}

static mynah_status load_meta(mynah_dataset *d) {
  mynah_str text = {0};
  mynah_status status = mynah_dataset_get_note(d, "dataset", &text);
  mynah_json *j = NULL;
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &j);
  mynah_str_deinit(&text);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s: cannot be read", d->path);
  d->rate_hz = mynah_json_to_number(mynah_json_get(j, "rate_hz"), 0);
  status = mynah_copy_text(d->robot, sizeof d->robot, mynah_json_to_string(mynah_json_get(j, "robot"), ""));
  const char *codec = mynah_json_to_string(mynah_json_get(j, "codec"), "jpeg");
  for (int i = 0; i < 3; i++)
    if (strcmp(codec, codec_names[i]) == 0) d->codec = (mynah_codec)i;
  int64_t quality = mynah_json_to_integer(mynah_json_get(j, "jpeg_quality"), 92);
  d->jpeg_quality = quality >= 1 && quality <= 100 ? (int)quality : 92;
  mynah_json_destroy(j);
  if (status == MYNAH_OK && !(d->rate_hz > 0 && d->rate_hz < 1e6))
    status = mynah_fail(MYNAH_CORRUPT, "%s: its rate of %g Hz makes no sense", d->path, d->rate_hz);
  return status;
}

static mynah_status read_episode(mynah_dataset *d, sqlite3_stmt *q, mynah_episode *e) {
  *e = (mynah_episode){.id = sqlite3_column_int64(q, 0), .n_frames = sqlite3_column_int64(q, 1),
                       .seed = (uint64_t)sqlite3_column_int64(q, 2), .success = sqlite3_column_int(q, 3)};
  const char *task = (const char *)sqlite3_column_text(q, 4), *expert = (const char *)sqlite3_column_text(q, 5);
  const char *hash = (const char *)sqlite3_column_text(q, 6);
  if (!task || !expert || !hash || strlen(hash) != 64 || strlen(task) >= sizeof e->task ||
      strlen(expert) >= sizeof e->expert || e->n_frames < 1 || e->n_frames > (int64_t)1 << 40 || e->id < 1)
    return mynah_fail(MYNAH_CORRUPT, "%s: the entry of episode %lld is damaged", d->path, (long long)e->id);
  strcpy(e->task, task);
  strcpy(e->expert, expert);
  strcpy(e->hash, hash);
  return MYNAH_OK;
}

mynah_status mynah__load_episodes(mynah_dataset *d) {
  sqlite3_stmt *q;
  d->n_episodes = 0;
  if (sqlite3_prepare_v2(d->db, "SELECT id, n_frames, seed, success, task, expert, hash FROM episode "
                         "WHERE is_sealed=1 AND is_deleted=0 ORDER BY id", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "the episodes cannot be read");
  mynah_status status = MYNAH_OK;
  int code = SQLITE_ROW;
  while (status == MYNAH_OK && (code = sqlite3_step(q)) == SQLITE_ROW) {
    status = mynah_grow((void **)&d->episodes, &d->cap_episodes, d->n_episodes + 1, sizeof *d->episodes);
    if (status == MYNAH_OK) status = read_episode(d, q, &d->episodes[d->n_episodes]);
    if (status == MYNAH_OK) d->n_episodes++;
  }
  if (status == MYNAH_OK && code != SQLITE_DONE) status = mynah__sql_fail(d, "the episodes cannot be read");
  sqlite3_finalize(q);
  return status;
}

/* What a killed writer left of an episode it never sealed. */
static mynah_status remove_unsealed(mynah_dataset *d) {
  int64_t n = 0;
  MYNAH_TRY(pragma_number(d, "SELECT count(*) FROM episode WHERE is_sealed=0", &n));
  if (n == 0) return MYNAH_OK;
  MYNAH_TRY(mynah__sql_run(d, "BEGIN IMMEDIATE"));
  static const char *const steps[] = {"DELETE FROM block WHERE episode IN (SELECT id FROM episode WHERE is_sealed=0)",
                                      "DELETE FROM picture WHERE episode IN (SELECT id FROM episode WHERE is_sealed=0)",
                                      "DELETE FROM episode WHERE is_sealed=0", "COMMIT"};
  for (size_t i = 0; i < 4; i++) {
    mynah_status status = mynah__sql_run(d, steps[i]);
    if (status == MYNAH_OK) continue;
    sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
  }
  mynah_log(MYNAH_LOG_WARNING, "%s: removed %lld unfinished episode(s) of a writer that was stopped", d->path, (long long)n);
  return MYNAH_OK;
}

static mynah_status prepare_writer(mynah_dataset *d, bool is_full_sync) {
  d->is_writable = true;
  MYNAH_TRY(mynah__sql_run(d, "PRAGMA journal_mode=WAL"));
  MYNAH_TRY(mynah__sql_run(d, is_full_sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  return mynah__sql_run(d, "PRAGMA wal_autocheckpoint=0");
}

static mynah_status open_existing(mynah_dataset *d, mynah_open_mode mode) {
  if (!mynah_file_exists(d->path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no such file", d->path);
  bool is_writer = mode == MYNAH_OPEN_WRITE;
  if (is_writer) MYNAH_TRY(lock_writer(d));
  MYNAH_TRY(open_file(d, is_writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY));
  MYNAH_TRY(check_header(d));
  if (is_writer) MYNAH_TRY(prepare_writer(d, false));
  MYNAH_TRY(load_meta(d));
  MYNAH_TRY(load_features(d));
  if (is_writer) MYNAH_TRY(remove_unsealed(d));
  return mynah__load_episodes(d);
}

static mynah_status new_handle(const char *path, mynah_dataset **out) {
  mynah_dataset *d = mynah_calloc(1, sizeof *d);
  if (!d) return MYNAH_NO_MEMORY;
  d->lock_fd = -1;
  d->block_episode = -1;
  mynah_status status = mynah_copy_text(d->path, sizeof d->path - 8, path);
  if (status != MYNAH_OK) {
    mynah_free(d);
    return status;
  }
  *out = d;
  return MYNAH_OK;
}

mynah_status mynah_dataset_open(const char *path, mynah_open_mode mode, mynah_dataset **out) {
  if (mode == MYNAH_OPEN_CREATE) return mynah_fail(MYNAH_INVALID, "%s: a new file is made with mynah_dataset_create", path);
  mynah_dataset *d;
  MYNAH_TRY(new_handle(path, &d));
  mynah_status status = open_existing(d, mode);
  if (status != MYNAH_OK) {
    mynah_dataset_close(d);
    return status;
  }
  *out = d;
  return MYNAH_OK;
}

/* ---- creating ------------------------------------------------------------------------------------------------------ */

static mynah_status write_features(mynah_dataset *d) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, "INSERT INTO feature(id, name, description) VALUES(?1,?2,?3)", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "cannot be written");
  mynah_status status = MYNAH_OK;
  for (int i = 0; i < d->n_features && status == MYNAH_OK; i++) {
    mynah_str text = {0};
    mynah_json *j = mynah_feature_to_json(&d->features[i]);
    status = mynah_json_dump(j, 0, &text);
    mynah_json_destroy(j);
    if (status == MYNAH_OK) {
      sqlite3_bind_int(q, 1, i);
      sqlite3_bind_text(q, 2, d->features[i].name, -1, SQLITE_STATIC);
      sqlite3_bind_text(q, 3, mynah_str_text(&text), -1, SQLITE_TRANSIENT);
      if (sqlite3_step(q) != SQLITE_DONE) status = mynah__sql_fail(d, "cannot be written");
      sqlite3_reset(q);
    }
    mynah_str_deinit(&text);
  }
  sqlite3_finalize(q);
  return status;
}

static mynah_status write_meta(mynah_dataset *d, const mynah_dataset_config *c) {
  mynah_json *j = mynah_json_object();
  mynah_str text = {0};
  mynah_json_set(j, "rate_hz", mynah_json_number(d->rate_hz));
  mynah_json_set(j, "robot", mynah_json_string(d->robot));
  mynah_json_set(j, "source", mynah_json_string(c->source ? c->source : ""));
  mynah_json_set(j, "codec", mynah_json_string(codec_names[d->codec]));
  mynah_json_set(j, "jpeg_quality", mynah_json_integer(d->jpeg_quality));
  mynah_json_set(j, "made_by", mynah_json_string("mynah " MYNAH_VERSION));
  mynah_status status = mynah_json_dump(j, 0, &text);
  mynah_json_destroy(j);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(d, "dataset", mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

static mynah_status take_config(mynah_dataset *d, const mynah_dataset_config *c) {
  if (c->n_features < 1 || c->n_features > MYNAH__MAX_FEATURES)
    return mynah_fail(MYNAH_INVALID, "%s: needs 1 … %d features", d->path, MYNAH__MAX_FEATURES);
  for (int i = 0; i < c->n_features; i++) {
    MYNAH_TRY(mynah_feature_check(&c->features[i]));
    if (mynah_feature_find(d->features, i, c->features[i].name) >= 0)
      return mynah_fail(MYNAH_INVALID, "%s: feature '%s' is named twice", d->path, c->features[i].name);
    d->features[i] = c->features[i];
  }
  d->n_features = c->n_features;
  if (!(c->rate_hz > 0 && c->rate_hz < 1e6)) return mynah_fail(MYNAH_INVALID, "%s: a rate of %g Hz makes no sense", d->path, c->rate_hz);
  d->rate_hz = c->rate_hz;
  d->codec = c->codec;
  d->jpeg_quality = c->jpeg_quality > 0 ? c->jpeg_quality : 92;
  return mynah_copy_text(d->robot, sizeof d->robot, c->robot ? c->robot : "");
}

static mynah_status create(mynah_dataset *d, const mynah_dataset_config *c) {
  if (mynah_file_exists(d->path)) return mynah_fail(MYNAH_BUSY, "%s: exists already", d->path);
  MYNAH_TRY(take_config(d, c));
  MYNAH_TRY(lock_writer(d));
  MYNAH_TRY(open_file(d, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE));
  MYNAH_TRY(mynah__sql_run(d, "PRAGMA page_size=16384"));
  MYNAH_TRY(prepare_writer(d, c->is_full_sync));
  char sql[128];
  snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", MYNAH__APPLICATION_ID, MYNAH__FORMAT_VERSION);
  MYNAH_TRY(mynah__sql_run(d, "BEGIN IMMEDIATE"));
  MYNAH_TRY(mynah__sql_run(d, sql));
  for (size_t i = 0; i < N_SCHEMA; i++) MYNAH_TRY(mynah__sql_run(d, schema[i]));
  MYNAH_TRY(write_meta(d, c));
  MYNAH_TRY(write_features(d));
  MYNAH_TRY(mynah__sql_run(d, "COMMIT"));
  return mynah__sql_run(d, "PRAGMA wal_checkpoint(TRUNCATE)");
}

mynah_status mynah_dataset_create(const char *path, const mynah_dataset_config *config, mynah_dataset **out) {
  mynah_dataset *d;
  MYNAH_TRY(new_handle(path, &d));
  mynah_status status = create(d, config);
  if (status != MYNAH_OK) {
    bool is_ours = d->db != NULL;
    char text[512];
    snprintf(text, sizeof text, "%s", mynah_error());
    mynah_dataset_close(d);
    if (is_ours) (void)!mynah_file_remove(path);
    return mynah_fail(status, "%s", text);
  }
  *out = d;
  return MYNAH_OK;
}

void mynah_dataset_close(mynah_dataset *d) {
  if (!d) return;
  if (d->writing.is_open) mynah_episode_discard(d);
  for (int i = 0; i < MYNAH__QUERY_COUNT; i++) sqlite3_finalize(d->queries[i]);
  /* At rest the file needs no log beside it, so that one who only reads leaves none behind. */
  if (d->db && d->is_writable) sqlite3_exec(d->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
  sqlite3_close(d->db);
  if (d->lock_fd >= 0) {
    char path[MYNAH_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.lock", d->path);
    unlink(path); /* while it is still held: who opens it anew makes another one */
    close(d->lock_fd);
  }
  for (int i = 0; i < MYNAH__MAX_FEATURES; i++) mynah_free(d->writing.rows[i]);
  mynah_free(d->episodes);
  mynah_free(d->block);
  mynah_free(d);
}

/* ---- asking -------------------------------------------------------------------------------------------------------- */

int mynah_dataset_n_features(const mynah_dataset *d) { return d->n_features; }
const mynah_feature *mynah_dataset_feature(const mynah_dataset *d, int i) { return &d->features[i]; }
int mynah__feature_index(const mynah_dataset *d, const char *name) { return mynah_feature_find(d->features, d->n_features, name); }
const mynah_feature *mynah_dataset_find(const mynah_dataset *d, const char *name) {
  int i = mynah__feature_index(d, name);
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

mynah_status mynah_dataset_set_note(mynah_dataset *d, const char *key, const char *text) {
  sqlite3_stmt *q;
  if (!d->is_writable) return mynah_fail(MYNAH_INVALID, "%s: is open for reading only", d->path);
  if (sqlite3_prepare_v2(d->db, "INSERT OR REPLACE INTO meta(key, value) VALUES(?1,?2)", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "cannot be written");
  sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 2, text, -1, SQLITE_STATIC);
  mynah_status status = sqlite3_step(q) == SQLITE_DONE ? MYNAH_OK : mynah__sql_fail(d, "cannot be written");
  sqlite3_finalize(q);
  return status;
}

mynah_status mynah_dataset_get_note(mynah_dataset *d, const char *key, mynah_str *out) {
  sqlite3_stmt *q;
  if (sqlite3_prepare_v2(d->db, "SELECT value FROM meta WHERE key=?1", -1, &q, NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "cannot be read");
  sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
  int code = sqlite3_step(q);
  mynah_status status = MYNAH_OK;
  if (code == SQLITE_ROW) mynah_str_append(out, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
  else if (code == SQLITE_DONE) status = mynah_fail(MYNAH_NOT_FOUND, "%s: has no note '%s'", d->path, key);
  else status = mynah__sql_fail(d, "cannot be read");
  if (status == MYNAH_OK && out->is_failed) status = MYNAH_NO_MEMORY;
  sqlite3_finalize(q);
  return status;
}
