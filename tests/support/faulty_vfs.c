/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "faulty_vfs.h"

#include <mynah/base.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#define SECTOR 512
#define N_FILES 16

typedef enum operation_kind { IS_WRITE, IS_TRUNCATE, IS_SYNC, IS_REMOVAL } operation_kind;
typedef struct operation {
  operation_kind kind;
  int file;
  int64_t offset; /* of a write; the new size of a truncation */
  size_t bytes;
  uint8_t *data;
} operation;

typedef struct shim {
  sqlite3_file base;
  int file; /* -1: not one that is looked at */
  sqlite3_file *real;
} shim;

static sqlite3_vfs vfs, *real_vfs;
static char names[N_FILES][MYNAH_PATH_MAX];
static int n_names;
static operation *log_of_operations;
static int64_t n_logged, cap_logged, n_counted, fail_at;
static mynah_test_fault fault_kind;
static bool is_recording, has_failed;

static int name_of(const char *path) {
  for (int i = 0; i < n_names; i++)
    if (strcmp(names[i], path) == 0) return i;
  assert_true(n_names < N_FILES && strlen(path) < MYNAH_PATH_MAX);
  strcpy(names[n_names], path);
  return n_names++;
}

static void keep(operation_kind kind, int file, int64_t offset, const void *data, size_t bytes) {
  if (!is_recording) return;
  if (n_logged == cap_logged) {
    cap_logged = cap_logged ? 2 * cap_logged : 1024;
    log_of_operations = realloc(log_of_operations, (size_t)cap_logged * sizeof *log_of_operations);
    assert_non_null(log_of_operations);
  }
  operation *o = &log_of_operations[n_logged++];
  *o = (operation){kind, file, offset, bytes, NULL};
  if (!data) return;
  o->data = malloc(bytes ? bytes : 1);
  assert_non_null(o->data);
  memcpy(o->data, data, bytes);
}

/* Counts an operation; whether it has to fail. */
static bool is_due(void) {
  n_counted++;
  bool fails = fail_at > 0 && (fault_kind == MYNAH_TEST_FAULT_STAYS ? n_counted >= fail_at : n_counted == fail_at);
  has_failed = has_failed || fails;
  return fails;
}

/* ---- the methods of a file ------------------------------------------------------------------------------------------- */

static sqlite3_file *real_of(sqlite3_file *f) { return ((shim *)f)->real; }

static int shim_close(sqlite3_file *f) { return real_of(f)->pMethods ? real_of(f)->pMethods->xClose(real_of(f)) : SQLITE_OK; }

static int shim_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at) {
  return real_of(f)->pMethods->xRead(real_of(f), out, n, at);
}

static int shim_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at) {
  bool fails = is_due();
  if (fails && fault_kind != MYNAH_TEST_FAULT_TORN) return SQLITE_IOERR_WRITE;
  if (fails) n /= 2;
  keep(IS_WRITE, ((shim *)f)->file, at, data, (size_t)n);
  int code = real_of(f)->pMethods->xWrite(real_of(f), data, n, at);
  return fails ? SQLITE_FULL : code;
}

static int shim_truncate(sqlite3_file *f, sqlite3_int64 size) {
  if (is_due()) return SQLITE_IOERR_TRUNCATE;
  keep(IS_TRUNCATE, ((shim *)f)->file, size, NULL, 0);
  return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int shim_sync(sqlite3_file *f, int flags) {
  (void)flags;
  if (is_due()) return SQLITE_IOERR_FSYNC;
  keep(IS_SYNC, ((shim *)f)->file, 0, NULL, 0);
  return SQLITE_OK; /* what is safe is worked out here, not asked of the disk */
}

static int shim_size(sqlite3_file *f, sqlite3_int64 *size) { return real_of(f)->pMethods->xFileSize(real_of(f), size); }
static int shim_lock(sqlite3_file *f, int level) { return real_of(f)->pMethods->xLock(real_of(f), level); }
static int shim_unlock(sqlite3_file *f, int level) { return real_of(f)->pMethods->xUnlock(real_of(f), level); }
static int shim_reserved(sqlite3_file *f, int *out) { return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out); }
static int shim_control(sqlite3_file *f, int which, void *argument) {
  return real_of(f)->pMethods->xFileControl(real_of(f), which, argument);
}
static int shim_sector(sqlite3_file *f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); }
static int shim_device(sqlite3_file *f) { /* no promise that a write beyond the old end comes after the data */
  (void)f;
  return 0;
}
static int shim_shm_map(sqlite3_file *f, int page, int bytes, int extends, void volatile **out) {
  return real_of(f)->pMethods->xShmMap(real_of(f), page, bytes, extends, out);
}
static int shim_shm_lock(sqlite3_file *f, int at, int n, int flags) {
  return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}
static void shim_shm_barrier(sqlite3_file *f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); }
static int shim_shm_unmap(sqlite3_file *f, int removes) { return real_of(f)->pMethods->xShmUnmap(real_of(f), removes); }

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = shim_close,
                                           .xRead = shim_read,
                                           .xWrite = shim_write,
                                           .xTruncate = shim_truncate,
                                           .xSync = shim_sync,
                                           .xFileSize = shim_size,
                                           .xLock = shim_lock,
                                           .xUnlock = shim_unlock,
                                           .xCheckReservedLock = shim_reserved,
                                           .xFileControl = shim_control,
                                           .xSectorSize = shim_sector,
                                           .xDeviceCharacteristics = shim_device,
                                           .xShmMap = shim_shm_map,
                                           .xShmLock = shim_shm_lock,
                                           .xShmBarrier = shim_shm_barrier,
                                           .xShmUnmap = shim_shm_unmap};

static int shim_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags) {
  (void)v;
  shim *s = (shim *)f;
  s->real = (sqlite3_file *)(s + 1);
  s->file = name ? name_of(name) : -1;
  int code = real_vfs->xOpen(real_vfs, name, s->real, flags, out_flags);
  s->base.pMethods = s->real->pMethods ? &methods : NULL;
  return code;
}

static int shim_delete(sqlite3_vfs *v, const char *name, int syncs) {
  (void)v;
  if (is_due()) return SQLITE_IOERR_DELETE;
  keep(IS_REMOVAL, name_of(name), 0, NULL, 0);
  return real_vfs->xDelete(real_vfs, name, syncs);
}

/* ---- in the test's hands --------------------------------------------------------------------------------------------- */

void mynah_test_vfs_install(void) {
  real_vfs = sqlite3_vfs_find(NULL);
  vfs = *real_vfs;
  vfs.zName = "mynah-faulty";
  vfs.szOsFile = (int)sizeof(shim) + real_vfs->szOsFile;
  vfs.pNext = NULL;
  vfs.xOpen = shim_open;
  vfs.xDelete = shim_delete;
  assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
  mynah_test_vfs_fail(0, MYNAH_TEST_FAULT_ONCE);
}

void mynah_test_vfs_remove(void) {
  sqlite3_vfs_unregister(&vfs);
  sqlite3_vfs_register(real_vfs, 1);
  for (int64_t i = 0; i < n_logged; i++) free(log_of_operations[i].data);
  free(log_of_operations);
  log_of_operations = NULL;
  n_logged = cap_logged = 0;
  n_names = 0;
  is_recording = false;
}

void mynah_test_vfs_fail(int64_t n, mynah_test_fault fault) {
  n_counted = 0;
  fail_at = n;
  fault_kind = fault;
  has_failed = false;
}

int64_t mynah_test_vfs_count(void) { return n_counted; }
bool mynah_test_vfs_has_failed(void) { return has_failed; }

void mynah_test_vfs_record(void) {
  mynah_test_vfs_fail(0, MYNAH_TEST_FAULT_ONCE);
  is_recording = true;
}

/* ---- the power cut --------------------------------------------------------------------------------------------------- */

typedef struct content {
  uint8_t *data;
  int64_t size, room;
} content;

static void resize(content *c, int64_t size) {
  if (size > c->room) {
    c->data = realloc(c->data, (size_t)(2 * size));
    assert_non_null(c->data);
    c->room = 2 * size;
  }
  if (size > c->size) memset(c->data + c->size, 0, (size_t)(size - c->size));
  c->size = size;
}

static void put(content *c, const operation *o, int64_t from, int64_t to) {
  if (o->offset + to > c->size) resize(c, o->offset + to);
  memcpy(c->data + o->offset + from, o->data + from, (size_t)(to - from));
}

/* An operation that no sync followed: whole, not at all, or some sectors of it. */
static void perhaps(content *c, const operation *o, mynah_rng *r) {
  uint64_t fate = mynah_rng_below(r, 3);
  if (fate == 0) return;
  if (o->kind == IS_TRUNCATE) resize(c, o->offset);
  for (int64_t from = 0; o->kind == IS_WRITE && from < (int64_t)o->bytes; from += SECTOR) {
    int64_t to = from + SECTOR < (int64_t)o->bytes ? from + SECTOR : (int64_t)o->bytes;
    if (fate == 1 || mynah_rng_below(r, 2)) put(c, o, from, to);
  }
}

static bool replay(int file, int64_t n, mynah_rng *r, content *c) {
  int64_t safe = 0; /* what came before this is on the disk */
  bool is_there = false;
  for (int64_t i = 0; i < n; i++)
    if (log_of_operations[i].file == file && log_of_operations[i].kind == IS_SYNC) safe = i;
  for (int64_t i = 0; i < n; i++) {
    const operation *o = &log_of_operations[i];
    if (o->file != file) continue;
    is_there = o->kind != IS_REMOVAL;
    if (o->kind == IS_REMOVAL) resize(c, 0);
    else if (i > safe) perhaps(c, o, r);
    else if (o->kind == IS_WRITE) put(c, o, 0, (int64_t)o->bytes);
    else if (o->kind == IS_TRUNCATE) resize(c, o->offset);
  }
  return is_there;
}

void mynah_test_vfs_cut(int64_t n, uint64_t seed, const char *from, const char *to) {
  mynah_rng r = mynah_rng_make(seed, (uint64_t)n);
  for (int k = 0; k < n_names; k++) {
    char path[2 * MYNAH_PATH_MAX];
    content c = {0};
    if (strncmp(names[k], from, strlen(from)) != 0) continue;
    snprintf(path, sizeof path, "%s%s", to, names[k] + strlen(from));
    unlink(path);
    if (replay(k, n < n_logged ? n : n_logged, &r, &c)) {
      FILE *file = fopen(path, "wb");
      assert_non_null(file);
      if (c.size > 0) assert_int_equal(fwrite(c.data, 1, (size_t)c.size, file), c.size);
      assert_int_equal(fclose(file), 0);
    }
    free(c.data);
  }
}
