/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that runs out, ours and SQLite's: an error, no leak, no crash, and sealed episodes stay. */
#include "dataset_case.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

static char path[MYNAH_PATH_MAX];

static mynah_status use(mynah_dataset *d) {
  mynah_stats s;
  mynah_image picture;
  mynah_verify_report r;
  char hash[65];
  float row[3];
  MYNAH_TRY(case_write(d, 1, 66));
  MYNAH_TRY(mynah_dataset_hash(d, hash));
  MYNAH_TRY(mynah_dataset_read(d, 0, "observation.state", 65, 1, row));
  MYNAH_TRY(mynah_dataset_read_image(d, 0, "observation.images.top", 3, 0, 0, &picture));
  mynah_image_deinit(&picture);
  MYNAH_TRY(mynah_dataset_stats(d, "action", NULL, 0, 0, &s));
  mynah_stats_deinit(&s);
  MYNAH_TRY(mynah_dataset_set_note(d, "a", "b"));
  MYNAH_TRY(mynah_dataset_verify(d, NULL, &r));
  return r.n_damaged == 0 ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "%s", r.first_damage);
}

/* Everything once: create, write, read, close, open, write more. */
static mynah_status work(void *context) {
  mynah_dataset *d;
  const mynah_codec *codec = context;
  MYNAH_TRY(mynah_file_remove(path));
  MYNAH_TRY(case_create(path, *codec, &d));
  mynah_status status = use(d);
  mynah_dataset_close(d);
  MYNAH_TRY(status);
  MYNAH_TRY(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d));
  status = case_write(d, 2, 3);
  mynah_dataset_close(d);
  return status;
}

static void test_ours(void **state) {
  mynah_codec codec = MYNAH_CODEC_RAW;
  snprintf(path, sizeof path, "%s", case_path("memory"));
  assert_true(mynah_test_torture(work, &codec) > 20);
}

/* ---- SQLite's
 * -------------------------------------------------------------------------------------------------------- */

static sqlite3_mem_methods real;
static int64_t n_calls, fail_at;

static bool is_failing(void) { return ++n_calls >= fail_at && fail_at > 0; }
static void *limited_alloc(int n) { return is_failing() ? NULL : real.xMalloc(n); }
static void *limited_realloc(void *p, int n) { return is_failing() ? NULL : real.xRealloc(p, n); }

/* A sealed episode is what a later opening finds, whenever memory ended. */
static void check_what_is_left(bool was_sealed) {
  mynah_dataset *d;
  if (!was_sealed) return;
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  assert_true(mynah_dataset_n_episodes(d) >= 1);
  case_check(d, 0, true);
  case_verify(d);
  mynah_dataset_close(d);
}

static void test_sqlites(void **state) {
  int n_failed = 0, n_sealed = 0;
  int64_t blocks = mynah_alloc_count().live_blocks;
  snprintf(path, sizeof path, "%s", case_path("memory"));
  for (int64_t n = 1; n < 1000000; n += 1 + n / 16) {
    mynah_dataset *d = NULL;
    bool is_sealed = false;
    case_ok(mynah_file_remove(path));
    n_calls = 0;
    fail_at = n;
    mynah_fail(MYNAH_OK, "%s", "");
    mynah_status status = case_create(path, MYNAH_CODEC_RAW, &d);
    if (status == MYNAH_OK) {
      status = case_write(d, 1, 70);
      is_sealed = status == MYNAH_OK;
      if (status == MYNAH_OK) status = case_write(d, 2, 70);
      mynah_dataset_close(d);
    }
    bool was_failed = n_calls >= n;
    fail_at = 0;
    assert_int_equal(mynah_alloc_count().live_blocks, blocks);
    if (status != MYNAH_OK) assert_true(was_failed && mynah_error()[0] != 0);
    n_failed += status != MYNAH_OK;
    n_sealed += is_sealed;
    check_what_is_left(is_sealed);
    if (!was_failed) break;
  }
  print_message("SQLite without memory at %d places, an episode sealed before that at %d\n", n_failed, n_sealed);
  assert_true(n_failed > 20 && n_sealed > 1);
}

int main(void) {
  /* Before SQLite is used: its memory comes through the counting functions. */
  if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) != SQLITE_OK) return 1;
  sqlite3_mem_methods limited = real;
  limited.xMalloc = limited_alloc;
  limited.xRealloc = limited_realloc;
  if (sqlite3_config(SQLITE_CONFIG_MALLOC, &limited) != SQLITE_OK) return 1;
  /* Lookaside memory would hide most allocations. */
  sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ours), cmocka_unit_test(test_sqlites)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
