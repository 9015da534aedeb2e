/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Disks that fail and power that is cut: a sealed episode is there afterwards, whatever happened when. */
#include "dataset_case.h"

#include "support/faulty_vfs.h"
#include "support/soak.h"

#include <unistd.h>

#define N_EPISODES 6
#define N_CUTS 500

static uint64_t told[N_EPISODES]; /* seeds of episodes that were said to be safe */
static int64_t told_at[N_EPISODES]; /* after so many operations */
static int n_told;

/* Records; goes on after a failure as a recorder would. */
static void record(const char *path) {
  mynah_dataset *d;
  n_told = 0;
  if (case_create(path, MYNAH_CODEC_RAW, &d) != MYNAH_OK) return;
  for (uint64_t seed = 1; seed <= N_EPISODES; seed++) {
    if (case_write(d, seed, (int64_t)(seed * 37 % 90) + 1) != MYNAH_OK) continue;
    told[n_told] = seed;
    told_at[n_told++] = mynah_test_vfs_count();
  }
  mynah_dataset_close(d);
}

/* Opens for writing, as the next recording would; everything that was told of before the cut is there and whole. */
static void check(const char *path, int64_t cut, bool is_whole) {
  mynah_dataset *d = NULL;
  int n_due = 0;
  while (n_due < n_told && told_at[n_due] <= cut) n_due++;
  mynah_status status = mynah_file_exists(path) ? mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d) : MYNAH_NOT_FOUND;
  if (status != MYNAH_OK && n_due == 0) return; /* nothing was promised yet */
  if (status != MYNAH_OK) fail_msg("after %lld operations, %d episodes told: %s", (long long)cut, n_due, mynah_error());
  case_verify(d);
  int64_t next = 0, n = mynah_dataset_n_episodes(d);
  for (int i = 0; i < n_due; i++) {
    while (next < n && mynah_dataset_episode(d, next)->seed != told[i]) next++;
    if (next == n) fail_msg("after %lld operations: episode %llu is lost", (long long)cut, (unsigned long long)told[i]);
    assert_int_equal(mynah_dataset_episode(d, next)->n_frames, told[i] * 37 % 90 + 1);
    if (is_whole || i + 1 == n_due) case_check(d, next, true);
  }
  case_ok(case_write(d, 999, 5)); /* and recording goes on */
  mynah_dataset_close(d);
}

static void remove_files(const char *path) {
  static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
  for (int i = 0; i < 4; i++) {
    char name[MYNAH_PATH_MAX + 16];
    snprintf(name, sizeof name, "%s%s", path, tails[i]);
    unlink(name);
  }
}

static void fail_each(mynah_test_fault fault) {
  const char *path = case_path("power");
  int64_t n = 0, n_failed = 0;
  mynah_test_vfs_install();
  for (bool is_clean = false; !is_clean; n++, n_failed++) {
    remove_files(path);
    mynah_test_vfs_fail(n + 1, fault);
    record(path);
    is_clean = !mynah_test_vfs_has_failed();
    mynah_test_vfs_fail(0, fault);
    check(path, INT64_MAX, false);
  }
  mynah_test_vfs_remove();
  print_message("%lld places where an operation failed, every episode told is there\n", (long long)n_failed - 1);
  assert_true(n_failed > 30);
}
static void test_one_operation_fails(void **state) { fail_each(MYNAH_TEST_FAULT_ONCE); }
static void test_the_disk_goes_away(void **state) { fail_each(MYNAH_TEST_FAULT_STAYS); }
static void test_writes_are_torn(void **state) { fail_each(MYNAH_TEST_FAULT_TORN); }

static void test_power_is_cut(void **state) {
  char path[MYNAH_PATH_MAX], other[MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%s", case_path("power"));
  snprintf(other, sizeof other, "%s", case_path("power-cut"));
  mynah_test_vfs_install();
  mynah_test_vfs_record();
  record(path);
  int64_t n_operations = mynah_test_vfs_count(), n_cuts = 0, end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000;
  assert_int_equal(n_told, N_EPISODES);
  mynah_rng r = mynah_rng_make(3, 0);
  for (; n_cuts < N_CUTS || mynah_now_ns() < end; n_cuts++) {
    int64_t at = (int64_t)mynah_rng_below(&r, (uint64_t)n_operations + 1);
    remove_files(other);
    mynah_test_vfs_cut(at, (uint64_t)n_cuts, path, other);
    check(other, at, n_cuts % 8 == 0);
  }
  mynah_test_vfs_remove();
  print_message("%lld power cuts over %lld operations, no sealed episode lost\n", (long long)n_cuts, (long long)n_operations);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_operation_fails), cmocka_unit_test(test_the_disk_goes_away),
                                     cmocka_unit_test(test_writes_are_torn), cmocka_unit_test(test_power_is_cut)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
