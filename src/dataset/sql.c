/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SQLite with our errors: opening with distrust, statements, making the log safe. */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How long a checkpoint waits for readers; what they hold up stays in the log, which is safe by then. */
#define CHECKPOINT_WAIT_MS 20
#define BUSY_WAIT_MS 2000

mynah_status mynah__sql_fail(mynah_dataset *d, const char *what) {
  int code = sqlite3_extended_errcode(d->db), system = sqlite3_system_errno(d->db);
  bool is_disk_full = system == ENOSPC || system == EDQUOT || system == EFBIG;
  mynah_status status = MYNAH_IO;
  switch (code & 0xff) {
  case SQLITE_FULL: status = MYNAH_NO_SPACE; break;
  case SQLITE_IOERR:
    status = is_disk_full ? MYNAH_NO_SPACE : code == SQLITE_IOERR_NOMEM ? MYNAH_NO_MEMORY : MYNAH_IO;
    break;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
  case SQLITE_SCHEMA:
  case SQLITE_ERROR:
  case SQLITE_MISMATCH:
  case SQLITE_CONSTRAINT: status = MYNAH_CORRUPT; break; /* our own statements are right: so the file is not */
  case SQLITE_NOMEM: status = MYNAH_NO_MEMORY; break;
  case SQLITE_TOOBIG: status = MYNAH_LIMIT; break;
  case SQLITE_BUSY:
  case SQLITE_LOCKED: status = MYNAH_BUSY; break;
  default: break;
  }
  return mynah_fail(status, "%s: %s: %s", d->path, what,
                    status == MYNAH_NO_SPACE ? "no space left on the disk" : sqlite3_errmsg(d->db));
}

mynah_status mynah__sql_run(mynah_dataset *d, const char *sql) {
  return sqlite3_exec(d->db, sql, NULL, NULL, NULL) == SQLITE_OK ? MYNAH_OK : mynah__sql_fail(d, sql);
}

mynah_status mynah__sql_prepare(mynah_dataset *d, const char *sql, sqlite3_stmt **out) {
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(d->db, sql, -1, &q, NULL) != SQLITE_OK) return mynah__sql_fail(d, "cannot be read");
  *out = q;
  return MYNAH_OK;
}

mynah_status mynah__sql_number(mynah_dataset *d, const char *sql, int64_t *out) {
  sqlite3_stmt *q = NULL;
  MYNAH_TRY(mynah__sql_prepare(d, sql, &q));
  mynah_status status = sqlite3_step(q) == SQLITE_ROW ? MYNAH_OK : mynah__sql_fail(d, "cannot be read");
  if (status == MYNAH_OK) *out = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  return status;
}

mynah_status mynah__sql_query(mynah_dataset *d, mynah__query q, sqlite3_stmt **out) {
  static const char *const texts[MYNAH__QUERY_COUNT] = {
      [MYNAH__PUT_BLOCK] = "INSERT INTO block(episode, feature, start, n_frames, crc, data) VALUES(?1,?2,?3,?4,?5,?6)",
      [MYNAH__PUT_PICTURE] = "INSERT INTO picture(episode, feature, frame, codec, crc, data) VALUES(?1,?2,?3,?4,?5,?6)",
      [MYNAH__GET_BLOCK] = "SELECT n_frames, crc, data FROM block WHERE episode=?1 AND feature=?2 AND start=?3",
      [MYNAH__GET_PICTURE] = "SELECT codec, crc, data FROM picture WHERE episode=?1 AND feature=?2 AND frame=?3",
      [MYNAH__PUT_EPISODE] =
          "INSERT INTO episode(n_frames, seed, success, task, expert, hash, is_sealed, is_deleted, crc) "
          "VALUES(0,0,-1,'','','',0,0,0)",
      [MYNAH__SET_EPISODE] = "UPDATE episode SET n_frames=?2, seed=?3, success=?4, task=?5, expert=?6, hash=?7, "
                             "is_sealed=?8, is_deleted=?9, crc=?10 WHERE id=?1"};
  if (!d->queries[q] &&
      sqlite3_prepare_v3(d->db, texts[q], -1, SQLITE_PREPARE_PERSISTENT, &d->queries[q], NULL) != SQLITE_OK)
    return mynah__sql_fail(d, "cannot prepare");
  sqlite3_reset(d->queries[q]);
  *out = d->queries[q];
  return MYNAH_OK;
}

mynah_status mynah__sql_step(mynah_dataset *d, sqlite3_stmt *q) {
  mynah_status status = sqlite3_step(q) == SQLITE_DONE ? MYNAH_OK : mynah__sql_fail(d, "cannot be written");
  sqlite3_reset(q);
  sqlite3_clear_bindings(q); /* they point to the caller's bytes */
  return status;
}

/* Nothing in the file may run code, reach other files or make SQLite take much memory. */
static void distrust(sqlite3 *db) {
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1 << 28);
  sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 100000);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_busy_timeout(db, BUSY_WAIT_MS);
}

/* file:PATH?TAIL with the characters that mean something in a URI as %XX. */
static void write_uri(const char *path, const char *tail, char *out, size_t size) {
  size_t n = (size_t)snprintf(out, size, "file:");
  for (; *path && n + 4 < size; path++)
    n += (size_t)snprintf(out + n, size - n, strchr("%?#", *path) ? "%%%02X" : "%c", (unsigned char)*path);
  snprintf(out + n, size - n, "?%s", tail);
}

mynah_status mynah__sql_open(mynah_dataset *d, int flags, const char *uri_tail) {
  char uri[3 * MYNAH_PATH_MAX + 32], plain[MYNAH_PATH_MAX + 4];
  /* Names like ":memory:" and "file:a" are no plain files to SQLite. */
  bool is_odd = d->path[0] == ':' || strncmp(d->path, "file:", 5) == 0;
  snprintf(plain, sizeof plain, "%s%s", is_odd ? "./" : "", d->path);
  if (uri_tail) write_uri(plain, uri_tail, uri, sizeof uri);
  int code =
      sqlite3_open_v2(uri_tail ? uri : plain, &d->db,
                      flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | (uri_tail ? SQLITE_OPEN_URI : 0), NULL);
  if (!d->db) return mynah_fail(MYNAH_NO_MEMORY, "%s: out of memory", d->path);
  if (code != SQLITE_OK) return mynah__sql_fail(d, "cannot open");
  sqlite3_extended_result_codes(d->db, 1);
  distrust(d->db);
  return mynah__sql_run(d, "PRAGMA cell_size_check=ON");
}

/* The file behind SQLite's back would lose SQLite's locks when closed, so SQLite's own handle is asked to sync. */
static mynah_status sync_file(mynah_dataset *d, int which) {
  sqlite3_file *file = NULL;
  sqlite3_file_control(d->db, "main", which, &file);
  if (!file || !file->pMethods) return MYNAH_OK;
  if (file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK) return MYNAH_OK;
  return mynah_fail(MYNAH_IO, "%s: cannot be synced to the disk", d->path);
}

mynah_status mynah__sql_make_safe(mynah_dataset *d) {
  MYNAH_TRY(sync_file(d, SQLITE_FCNTL_JOURNAL_POINTER));
  sqlite3_busy_timeout(d->db, CHECKPOINT_WAIT_MS);
  int code = sqlite3_wal_checkpoint_v2(d->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  sqlite3_busy_timeout(d->db, BUSY_WAIT_MS);
  if (code == SQLITE_OK) return sync_file(d, SQLITE_FCNTL_FILE_POINTER);
  if ((code & 0xff) == SQLITE_BUSY) return MYNAH_OK; /* a reader looks on: a later checkpoint moves it */
  mynah_status status = mynah__sql_fail(d, "the log cannot be moved into the file");
  if (status != MYNAH_NO_SPACE) return status;
  mynah_log(MYNAH_LOG_WARNING, "%s; it is safe in the log beside it", mynah_error());
  return MYNAH_OK;
}
