/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The tables of a .demos file, and the rows that describe: notes, features, episodes; each row has a checksum. */
#include "store.h"

#include <stdio.h>
#include <string.h>

/* Kept word by word in the file, and compared when it is opened. */
static const char *const schema[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) STRICT",
    "CREATE TABLE feature(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL, "
    "crc INTEGER NOT NULL) STRICT",
    "CREATE TABLE episode(id INTEGER PRIMARY KEY AUTOINCREMENT, n_frames INTEGER NOT NULL, seed INTEGER NOT NULL, "
    "success INTEGER NOT NULL, task TEXT NOT NULL, expert TEXT NOT NULL, hash TEXT NOT NULL, is_sealed INTEGER NOT "
    "NULL, "
    "is_deleted INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT",
    "CREATE TABLE block(id INTEGER PRIMARY KEY, episode INTEGER NOT NULL, feature INTEGER NOT NULL, "
    "start INTEGER NOT NULL, n_frames INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE UNIQUE INDEX block_place ON block(episode, feature, start)",
    "CREATE TABLE picture(id INTEGER PRIMARY KEY, episode INTEGER NOT NULL, feature INTEGER NOT NULL, "
    "frame INTEGER NOT NULL, codec INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE UNIQUE INDEX picture_place ON picture(episode, feature, frame)",
};
#define N_SCHEMA (sizeof schema / sizeof *schema)
#define MAX_EPISODE_FRAMES ((int64_t)1 << 40)
static const char *const codec_names[] = {"jpeg", "png", "raw"};

/* ---- checking ------------------------------------------------------------------------------------------------------
 */

static mynah_status damaged(const mynah_dataset *d, const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "%s: damaged: %s", d->path, what);
}

/* The first bytes, looked at before SQLite does, to say plainly that a file is something else. */
static mynah_status check_magic(mynah_dataset *d) {
  uint8_t head[100] = {0};
  sqlite3_file *file = NULL;
  sqlite3_file_control(d->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (!file || !file->pMethods) return mynah_fail(MYNAH_IO, "%s: cannot be read", d->path);
  int code = file->pMethods->xRead(file, head, sizeof head, 0);
  if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return mynah_fail(MYNAH_IO, "%s: cannot be read", d->path);
  uint32_t id = (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 | head[71];
  bool has_magic = memcmp(head, "SQLite format 3", 16) == 0, has_id = id == MYNAH__APPLICATION_ID;
  if (has_magic && has_id) return MYNAH_OK;
  if (!has_magic && !has_id)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: is no .demos file (mynah import makes one of other formats)", d->path);
  if (has_id) return damaged(d, "its first bytes are not those of a SQLite file");
  return mynah_fail(MYNAH_UNSUPPORTED, "%s: is a SQLite file but not marked as .demos, or its header is damaged",
                    d->path);
}

/* Each of our statements must be there word by word. More is allowed to a newer minor version alone, and never what
 * could act: triggers, views. */
static mynah_status check_tables(mynah_dataset *d, bool may_have_more) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(
      d, "SELECT type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name<>'sqlite_sequence'", &q));
  size_t n_ours = 0;
  bool has_strangers = false;
  int code;
  while ((code = sqlite3_step(q)) == SQLITE_ROW) {
    const char *type = (const char *)sqlite3_column_text(q, 0), *sql = (const char *)sqlite3_column_text(q, 1);
    bool is_ours = false;
    for (size_t i = 0; i < N_SCHEMA && sql; i++) is_ours = is_ours || strcmp(sql, schema[i]) == 0;
    bool is_harmless = type && (strcmp(type, "table") == 0 || strcmp(type, "index") == 0);
    n_ours += is_ours;
    has_strangers = has_strangers || (!is_ours && !(may_have_more && is_harmless));
  }
  mynah_status status = code == SQLITE_DONE ? MYNAH_OK : mynah__sql_fail(d, "its tables cannot be read");
  sqlite3_finalize(q);
  if (status == MYNAH_OK && (has_strangers || n_ours != N_SCHEMA))
    status = damaged(d, "its tables are not those of a .demos file");
  return status;
}

/* The structure of the small tables; that of the large ones is met with distrust when it is read, and looked through by
 * verify, so that a large file opens at once. */
static mynah_status check_structure(mynah_dataset *d) {
  static const char *const texts[] = {"PRAGMA quick_check(meta)", "PRAGMA quick_check(feature)",
                                      "PRAGMA quick_check(episode)"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    sqlite3_stmt *q;
    MYNAH_TRY(mynah__sql_prepare(d, texts[i], &q));
    mynah_status status = MYNAH_OK;
    if (sqlite3_step(q) != SQLITE_ROW) status = mynah__sql_fail(d, "its structure cannot be read");
    const char *text = status == MYNAH_OK ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (status == MYNAH_OK && (!text || strcmp(text, "ok") != 0)) status = damaged(d, text ? text : "unreadable");
    sqlite3_finalize(q);
    MYNAH_TRY(status);
  }
  return MYNAH_OK;
}

mynah_status mynah__schema_check(mynah_dataset *d) {
  int64_t version = 0;
  MYNAH_TRY(check_magic(d));
  MYNAH_TRY(mynah__sql_number(d, "PRAGMA user_version", &version));
  int major = (int)(version / 1000), minor = (int)(version % 1000);
  bool is_newer = minor > MYNAH__MINOR;
  if (version < 1000) return damaged(d, "its format number makes no sense");
  if (major > MYNAH__MAJOR || (is_newer && d->is_writable))
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: has format %d.%d, this program knows %d.%d: use a newer mynah", d->path,
                      major, minor, MYNAH__MAJOR, MYNAH__MINOR);
  MYNAH_TRY(check_tables(d, is_newer));
  return check_structure(d);
}

/* ---- notes and features --------------------------------------------------------------------------------------------
 */

static uint32_t text_crc(int64_t id, const char *a, const char *b) {
  return mynah_crc32c(mynah__place_crc(id, 0, 0, 0, a, strlen(a) + 1), b, strlen(b) + 1);
}

static bool is_crc(sqlite3_stmt *q, int column, uint32_t crc) {
  return sqlite3_column_int64(q, column) == (sqlite3_int64)crc;
}

mynah_status mynah_dataset_set_note(mynah_dataset *d, const char *key, const char *text) {
  if (!d->is_writable) return mynah_fail(MYNAH_INVALID, "%s: is open for reading only", d->path);
  /* Within an episode's transaction the note would vanish with a discarded episode. */
  if (d->writing.is_open) return mynah_fail(MYNAH_BUSY, "%s: a note cannot be set while an episode is open", d->path);
  return mynah__put_note(d, key, text);
}

mynah_status mynah__put_note(mynah_dataset *d, const char *key, const char *text) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, "INSERT OR REPLACE INTO meta(key, value, crc) VALUES(?1,?2,?3)", &q));
  sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 2, text, -1, SQLITE_STATIC);
  sqlite3_bind_int64(q, 3, text_crc(0, key, text));
  mynah_status status = mynah__sql_step(d, q);
  sqlite3_finalize(q);
  return status;
}

mynah_status mynah_dataset_get_note(mynah_dataset *d, const char *key, mynah_str *out) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, "SELECT value, crc FROM meta WHERE key=?1", &q));
  sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
  int code = sqlite3_step(q);
  const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
  mynah_status status = MYNAH_OK;
  if (code == SQLITE_DONE) status = mynah_fail(MYNAH_NOT_FOUND, "%s: has no note '%s'", d->path, key);
  else if (code != SQLITE_ROW || !text) status = mynah__sql_fail(d, "cannot be read");
  else if (!is_crc(q, 1, text_crc(0, key, text)))
    status = mynah_fail(MYNAH_CORRUPT, "%s: damaged: note '%s'", d->path, key);
  else mynah_str_append(out, text, strlen(text));
  if (status == MYNAH_OK && out->is_failed) status = MYNAH_NO_MEMORY;
  sqlite3_finalize(q);
  return status;
}

mynah_status mynah__load_meta(mynah_dataset *d) {
  mynah_str text = {0};
  mynah_json *j = NULL;
  mynah_status status = mynah_dataset_get_note(d, "dataset", &text);
  if (status == MYNAH_NOT_FOUND) status = damaged(d, "what it holds is not said");
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &j);
  if (status == MYNAH_OK) {
    const char *codec = mynah_json_to_string(mynah_json_get(j, "codec"), "");
    d->rate_hz = mynah_json_to_number(mynah_json_get(j, "rate_hz"), 0);
    d->jpeg_quality = (int)mynah_json_to_integer(mynah_json_get(j, "jpeg_quality"), 92);
    int known = -1;
    for (int i = 0; i < 3; i++)
      if (strcmp(codec, codec_names[i]) == 0) known = i;
    d->codec = (mynah_codec)(known < 0 ? 0 : known);
    status = mynah_copy_text(d->robot, sizeof d->robot, mynah_json_to_string(mynah_json_get(j, "robot"), ""));
    bool is_sane = known >= 0 && d->rate_hz > 0 && d->rate_hz < 1e6 && d->jpeg_quality > 0 && d->jpeg_quality <= 100;
    if (status != MYNAH_OK || !is_sane) status = damaged(d, "what it says of itself makes no sense");
  } else if (status != MYNAH_NO_MEMORY) status = mynah_error_context(status, "%s", d->path);
  mynah_json_destroy(j);
  mynah_str_deinit(&text);
  return status;
}

static mynah_status load_feature(mynah_dataset *d, sqlite3_stmt *q) {
  const char *name = (const char *)sqlite3_column_text(q, 1), *text = (const char *)sqlite3_column_text(q, 2);
  if (d->n_features == MYNAH__MAX_FEATURES)
    return mynah_fail(MYNAH_LIMIT, "%s: has over %d features", d->path, MYNAH__MAX_FEATURES);
  if (!name || !text || sqlite3_column_int64(q, 0) != d->n_features ||
      !is_crc(q, 3, text_crc(d->n_features, name, text)))
    return damaged(d, "the description of a feature");
  mynah_json *j = NULL;
  mynah_feature *f = &d->features[d->n_features];
  mynah_status status = mynah_json_parse(text, strlen(text), &j);
  if (status == MYNAH_OK) status = mynah_feature_from_json(name, j, f);
  mynah_json_destroy(j);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s: feature '%s'", d->path, name);
  d->n_features++;
  return MYNAH_OK;
}

mynah_status mynah__load_features(mynah_dataset *d) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, "SELECT id, name, description, crc FROM feature ORDER BY id", &q));
  mynah_status status = MYNAH_OK;
  int code = SQLITE_ROW;
  while (status == MYNAH_OK && (code = sqlite3_step(q)) == SQLITE_ROW) status = load_feature(d, q);
  if (status == MYNAH_OK && code != SQLITE_DONE) status = mynah__sql_fail(d, "the features cannot be read");
  if (status == MYNAH_OK && d->n_features == 0) status = damaged(d, "it has no features");
  sqlite3_finalize(q);
  return status;
}

mynah_status mynah__save_features(mynah_dataset *d) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, "INSERT INTO feature(id, name, description, crc) VALUES(?1,?2,?3,?4)", &q));
  mynah_status status = MYNAH_OK;
  for (int i = 0; i < d->n_features && status == MYNAH_OK; i++) {
    mynah_str text = {0};
    mynah_json *j = mynah_feature_to_json(&d->features[i]);
    status = mynah_json_dump(j, 0, &text);
    mynah_json_destroy(j);
    if (status == MYNAH_OK) {
      sqlite3_bind_int(q, 1, i);
      sqlite3_bind_text(q, 2, d->features[i].name, -1, SQLITE_STATIC);
      sqlite3_bind_text(q, 3, mynah_str_text(&text), -1, SQLITE_STATIC);
      sqlite3_bind_int64(q, 4, text_crc(i, d->features[i].name, mynah_str_text(&text)));
      status = mynah__sql_step(d, q);
    }
    mynah_str_deinit(&text);
  }
  sqlite3_finalize(q);
  return status;
}

static mynah_status save_meta(mynah_dataset *d, const mynah_dataset_config *c) {
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

mynah_status mynah__schema_create(mynah_dataset *d, const mynah_dataset_config *config) {
  char sql[128];
  snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", MYNAH__APPLICATION_ID,
           1000 * MYNAH__MAJOR + MYNAH__MINOR);
  MYNAH_TRY(mynah__sql_run(d, "BEGIN IMMEDIATE"));
  MYNAH_TRY(mynah__sql_run(d, sql));
  for (size_t i = 0; i < N_SCHEMA; i++) MYNAH_TRY(mynah__sql_run(d, schema[i]));
  MYNAH_TRY(save_meta(d, config));
  MYNAH_TRY(mynah__save_features(d));
  return mynah__sql_run(d, "COMMIT");
}

/* ---- episodes ------------------------------------------------------------------------------------------------------
 */

static uint32_t episode_crc(const mynah_episode *e, bool is_sealed) {
  int64_t numbers[4] = {e->success, is_sealed, e->is_deleted, 0};
  uint32_t crc = mynah__place_crc(e->id, e->n_frames, (int64_t)e->seed, 0, numbers, sizeof numbers);
  const char *const texts[] = {e->task, e->expert, e->hash};
  for (int i = 0; i < 3; i++) crc = mynah_crc32c(crc, texts[i], strlen(texts[i]) + 1);
  return crc;
}

/* False when a value is not what a writer would have put there. */
static bool read_episode(sqlite3_stmt *q, mynah_episode *e, bool *is_sealed) {
  *e = (mynah_episode){.id = sqlite3_column_int64(q, 0),
                       .n_frames = sqlite3_column_int64(q, 1),
                       .seed = (uint64_t)sqlite3_column_int64(q, 2),
                       .success = sqlite3_column_int(q, 3),
                       .is_deleted = sqlite3_column_int(q, 8) != 0};
  *is_sealed = sqlite3_column_int(q, 7) != 0;
  struct {
    char *to;
    size_t size;
  } texts[3] = {{e->task, sizeof e->task}, {e->expert, sizeof e->expert}, {e->hash, sizeof e->hash}};
  for (int i = 0; i < 3; i++) {
    const char *text = (const char *)sqlite3_column_text(q, 4 + i);
    if (!text || mynah_copy_text(texts[i].to, texts[i].size, text) != MYNAH_OK) return false;
  }
  bool is_whole = !*is_sealed || (e->n_frames > 0 && strlen(e->hash) == 64);
  return is_whole && e->n_frames >= 0 && e->n_frames <= MAX_EPISODE_FRAMES && e->success >= -1 && e->success <= 1 &&
         is_crc(q, 9, episode_crc(e, *is_sealed));
}

#define EPISODES "SELECT id, n_frames, seed, success, task, expert, hash, is_sealed, is_deleted, crc FROM episode "
mynah_status mynah__load_episodes(mynah_dataset *d) {
  sqlite3_stmt *q;
  d->n_episodes = 0;
  d->n_unsealed = 0;
  MYNAH_TRY(mynah__sql_prepare(d, EPISODES "ORDER BY id", &q));
  mynah_status status = MYNAH_OK;
  int code = SQLITE_ROW;
  while (status == MYNAH_OK && (code = sqlite3_step(q)) == SQLITE_ROW) {
    mynah_episode e;
    bool is_sealed;
    if (!read_episode(q, &e, &is_sealed))
      status = mynah_fail(MYNAH_CORRUPT, "%s: damaged: the record of episode %lld", d->path,
                          (long long)sqlite3_column_int64(q, 0));
    else if (!is_sealed) d->n_unsealed++;
    else if (!e.is_deleted) {
      status = mynah_grow((void **)&d->episodes, &d->cap_episodes, d->n_episodes + 1, sizeof *d->episodes);
      if (status == MYNAH_OK) d->episodes[d->n_episodes++] = e;
    }
  }
  if (status == MYNAH_OK && code != SQLITE_DONE) status = mynah__sql_fail(d, "the episodes cannot be read");
  sqlite3_finalize(q);
  return status;
}

mynah_status mynah__find_episode(mynah_dataset *d, int64_t id, mynah_episode *out) {
  sqlite3_stmt *q;
  mynah_episode e;
  bool is_sealed;
  MYNAH_TRY(mynah__sql_prepare(d, EPISODES "WHERE id=?1", &q));
  sqlite3_bind_int64(q, 1, id);
  int code = sqlite3_step(q);
  mynah_status status = MYNAH_OK;
  if (code == SQLITE_DONE) status = mynah_fail(MYNAH_NOT_FOUND, "%s: there is no episode %lld", d->path, (long long)id);
  else if (code != SQLITE_ROW) status = mynah__sql_fail(d, "the episodes cannot be read");
  else if (!read_episode(q, &e, &is_sealed) || !is_sealed) status = damaged(d, "the record of an episode");
  sqlite3_finalize(q);
  if (status == MYNAH_OK) *out = e;
  return status;
}

mynah_status mynah__insert_episode(mynah_dataset *d, mynah_episode *e) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_query(d, MYNAH__PUT_EPISODE, &q));
  MYNAH_TRY(mynah__sql_step(d, q));
  e->id = sqlite3_last_insert_rowid(d->db);
  return mynah__update_episode(d, e, false);
}

mynah_status mynah__update_episode(mynah_dataset *d, const mynah_episode *e, bool is_sealed) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_query(d, MYNAH__SET_EPISODE, &q));
  sqlite3_bind_int64(q, 1, e->id);
  sqlite3_bind_int64(q, 2, e->n_frames);
  sqlite3_bind_int64(q, 3, (sqlite3_int64)e->seed);
  sqlite3_bind_int(q, 4, e->success);
  sqlite3_bind_text(q, 5, e->task, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 6, e->expert, -1, SQLITE_STATIC);
  sqlite3_bind_text(q, 7, e->hash, -1, SQLITE_STATIC);
  sqlite3_bind_int(q, 8, is_sealed);
  sqlite3_bind_int(q, 9, e->is_deleted);
  sqlite3_bind_int64(q, 10, episode_crc(e, is_sealed));
  return mynah__sql_step(d, q);
}
