/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing: what is refused, what a kill, a full disk or a reader that looks on leaves; sealed episodes are always
 * there. */
#include "dataset_case.h"

#include "support/soak.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* One number that SQLite finds in the file. */
static int64_t ask(const char *path, const char *text) {
  sqlite3 *db;
  sqlite3_stmt *q;
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(q), SQLITE_ROW);
  int64_t n = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  sqlite3_close(db);
  return n;
}

/* ---- frames that are refused ---------------------------------------------------------------------------------------
 */

static void test_frames_are_checked(void **state) {
  const char *path = case_path("writer");
  mynah_dataset *d;
  case_frame f;
  mynah_value v[CASE_N_FEATURES];
  case_fill(&f, 1, 0);
  case_values(&f, v);
  case_ok(case_create(path, MYNAH_CODEC_PNG, &d));
  case_fails(mynah_episode_add(d, 0, v, NULL), MYNAH_INVALID, "no episode is open");
  case_fails(mynah_episode_seal(d, NULL), MYNAH_INVALID, "no episode is open");
  mynah_episode_discard(d);
  case_ok(case_begin(d, 1));
  case_fails(case_begin(d, 2), MYNAH_BUSY, "open already");
  case_ok(mynah_episode_add(d, 100, v, NULL));
  case_fails(mynah_episode_add(d, 99, v, NULL), MYNAH_INVALID, "goes back");
  v[0].bytes = 8;
  case_fails(mynah_episode_add(d, 100, v, NULL), MYNAH_MISMATCH, "'observation.state' has 8 bytes where 12 are due");
  v[0] = (mynah_value){NULL, 12, 0};
  case_fails(mynah_episode_add(d, 100, v, NULL), MYNAH_MISMATCH, "observation.state");
  case_values(&f, v);
  v[7].bytes--;
  case_fails(mynah_episode_add(d, 100, v, NULL), MYNAH_MISMATCH, "images.top");
  case_values(&f, v);
  f.action[1] = (float)NAN;
  case_fails(mynah_episode_add(d, 100, v, NULL), MYNAH_NONFINITE, "'action' element 1 of frame 1");
  f.action[1] = 0;
  f.f64[0] = -(double)INFINITY;
  case_fails(mynah_episode_add(d, 100, v, NULL), MYNAH_NONFINITE, "'observation.f64' element 0");
  f.f64[0] = 0;
  f.bf16[1] = 0x7f80;
  case_fails(mynah_episode_add(d, 100, v, NULL), MYNAH_NONFINITE, "'observation.bf16' element 1");
  f.bf16[1] = 0;
  case_ok(mynah_episode_add(d, 100, v, NULL));
  int64_t id = 0;
  mynah_episode_mark(d, 0);
  case_ok(mynah_episode_seal(d, &id));
  assert_int_equal(id, 1);
  assert_int_equal(mynah_dataset_episode(d, 0)->n_frames, 2);
  assert_int_equal(mynah_dataset_episode(d, 0)->success, 0);
  case_ok(case_begin(d, 2));
  case_fails(mynah_episode_seal(d, NULL), MYNAH_INVALID, "without frames");
  case_fails(mynah_episode_begin(d, &(mynah_episode){.success = 2}), MYNAH_INVALID, "success");
  case_verify(d);
  mynah_dataset_close(d);
}

static void test_discard(void **state) {
  const char *path = case_path("writer");
  mynah_dataset *d;
  int64_t id;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 70));
  case_ok(case_begin(d, 2));
  for (int t = 0; t < 150; t++) case_ok(case_add(d, 2, t));
  usleep(510000);
  case_ok(case_add(d, 2, 150)); /* commits what came before */
  assert_int_equal(ask(path, "SELECT count(*) FROM episode"), 2);
  mynah_episode_discard(d);
  assert_int_equal(ask(path, "SELECT count(*) FROM episode"), 1);
  assert_int_equal(ask(path, "SELECT count(*) FROM block WHERE episode<>1"), 0);
  assert_int_equal(ask(path, "SELECT count(*) FROM picture WHERE episode<>1"), 0);
  case_ok(case_begin(d, 3));
  case_ok(case_add(d, 3, 0));
  case_ok(mynah_episode_seal(d, &id));
  assert_true(id > 1);
  assert_int_equal(mynah_dataset_n_episodes(d), 2);
  case_ok(case_begin(d, 4)); /* left open: lost by closing */
  case_ok(case_add(d, 4, 0));
  mynah_dataset_close(d);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_episodes(d), 2);
  for (int i = 0; i < 2; i++) case_check(d, i, true);
  case_verify(d);
  mynah_dataset_close(d);
}

/* ---- reading while it is written
 * ------------------------------------------------------------------------------------- */

static void test_reader_looks_on(void **state) {
  const char *path = case_path("writer");
  mynah_dataset *d, *reader;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 100));
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &reader));
  case_ok(case_begin(d, 2));
  for (int t = 0; t < 70; t++) {
    case_ok(case_add(d, 2, t));
    if (t % 10 == 0) case_check(reader, 0, true);
  }
  assert_int_equal(mynah_dataset_n_episodes(reader), 1);
  int64_t start = mynah_now_ns();
  case_ok(mynah_episode_seal(d, NULL));
  assert_true(mynah_now_ns() - start < 1000000000); /* a reader does not hold the seal up */
  case_check(reader, 0, true);
  mynah_dataset_close(reader);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &reader));
  assert_int_equal(mynah_dataset_n_episodes(reader), 2);
  case_check(reader, 1, true);
  start = mynah_now_ns();
  mynah_dataset_close(d);
  assert_true(mynah_now_ns() - start < 1000000000);
  case_check(reader, 1, true);
  mynah_dataset_close(reader);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d));
  case_ok(case_write(d, 3, 5));
  mynah_dataset_close(d);
}

/* A read transaction that stays open keeps the log from being moved into the file, but not the episode from being safe.
 */
static void test_stuck_reader(void **state) {
  const char *path = case_path("writer");
  mynah_dataset *d;
  sqlite3 *db;
  sqlite3_stmt *q;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 10));
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "SELECT id FROM block", -1, &q, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(q), SQLITE_ROW);
  int64_t start = mynah_now_ns();
  for (uint64_t i = 2; i < 6; i++) case_ok(case_write(d, i, 10));
  assert_true(mynah_now_ns() - start < 1500000000);
  sqlite3_finalize(q);
  sqlite3_close(db);
  mynah_dataset_close(d);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_episodes(d), 5);
  case_verify(d);
  mynah_dataset_close(d);
}

/* ---- kill -9
 * --------------------------------------------------------------------------------------------------------- */

/* Seals episodes until killed and tells the seed of each that is sealed. */
static void write_until_killed(const char *path, uint64_t seed, int out) {
  mynah_dataset *d;
  if (mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d) != MYNAH_OK) _exit(1);
  for (;; seed++) {
    if (case_write(d, seed, (int64_t)(seed * 37 % 150) + 1) != MYNAH_OK) _exit(2);
    if (write(out, &seed, sizeof seed) != sizeof seed) _exit(3);
  }
}

static void test_kill(void **state) {
  const char *path = case_path("writer");
  mynah_dataset *d;
  mynah_rng r = mynah_rng_make(7, 7);
  static uint64_t told[1 << 16];
  uint64_t seed = 1;
  size_t n_told = 0;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  mynah_dataset_close(d);
  int64_t end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000;
  int64_t least = mynah_test_at_least(40, 200);
  int n_rounds = 0; /* on a slow machine as many more as it takes to have something to lose */
  for (int round = 0; round < least || (n_told <= 40 && round < 1000) || (mynah_now_ns() < end && n_told < 60000); round++, n_rounds++) {
    int ends[2], code;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) write_until_killed(path, seed, ends[1]);
    assert_true(child > 0);
    close(ends[1]);
    usleep((useconds_t)(2000 + mynah_rng_below(&r, 30000) * (uint32_t)(1 + round / 40 % 25)));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFSIGNALED(code));
    size_t before = n_told;
    while (n_told < sizeof told / sizeof *told && read(ends[0], &told[n_told], sizeof told[0]) == sizeof told[0]) n_told++;
    close(ends[0]);
    seed += (uint64_t)(n_told - before) + 1;
    /* Reading first: it must work beside the log of the dead. */
    case_ok(mynah_dataset_open(path, round % 2 ? MYNAH_OPEN_READ : MYNAH_OPEN_WRITE, &d));
    case_verify(d);
    int64_t n = mynah_dataset_n_episodes(d), next = 0;
    assert_true(n >= (int64_t)n_told);
    for (size_t i = 0; i < n_told; i++) { /* each that was told is there, whole, in order */
      while (next < n && mynah_dataset_episode(d, next)->seed != told[i]) next++;
      assert_true(next < n);
      assert_int_equal(mynah_dataset_episode(d, next)->n_frames, told[i] * 37 % 150 + 1);
      if (i + 3 >= n_told) case_check(d, next, true);
    }
    if (n > (int64_t)n_told)
      seed = mynah_dataset_episode(d, n - 1)->seed + 1; /* sealed, but death came before telling */
    mynah_dataset_close(d);
  }
  print_message("%d kills, %zu episodes told, all there\n", n_rounds, n_told);
  assert_true(n_told > 40);
}

/* The part of an episode that was committed on the way is not seen, and goes when the file is next written. */
static void test_tail_is_removed(void **state) {
  const char *path = case_path("writer");
  mynah_dataset *d;
  int code;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 20));
  mynah_dataset_close(d);
  pid_t child = fork();
  if (child == 0) {
    if (mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d) != MYNAH_OK || case_begin(d, 2) != MYNAH_OK) _exit(1);
    for (int t = 0; t < 130; t++)
      if (case_add(d, 2, t) != MYNAH_OK) _exit(1);
    usleep(510000);
    if (case_add(d, 2, 130) != MYNAH_OK) _exit(1);
    kill(getpid(), SIGKILL);
  }
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_true(WIFSIGNALED(code));
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_episodes(d), 1);
  case_verify(d);
  mynah_dataset_close(d);
  assert_int_equal(ask(path, "SELECT count(*) FROM picture WHERE episode=2"), 131);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d));
  assert_int_equal(mynah_dataset_n_episodes(d), 1);
  assert_int_equal(ask(path, "SELECT count(*) FROM picture WHERE episode=2"), 0);
  assert_int_equal(ask(path, "SELECT count(*) FROM block WHERE episode=2"), 0);
  assert_int_equal(ask(path, "SELECT count(*) FROM episode"), 1);
  case_ok(case_write(d, 3, 5));
  assert_int_equal(mynah_dataset_episode(d, 1)->id, 3); /* an id is not used again */
  mynah_dataset_close(d);
}

/* ---- a full disk ---------------------------------------------------------------------------------------------------
 */

/* Writes until there is no space; everything sealed must be there, then and when there is space again. */
static void fill_up(const char *path, mynah_dataset *d, uint64_t seed) {
  mynah_status status = MYNAH_OK;
  int64_t n = mynah_dataset_n_episodes(d);
  while (status == MYNAH_OK && n < 1000) {
    status = case_write(d, seed++, 40);
    if (status == MYNAH_OK) n++;
  }
  if (status != MYNAH_NO_SPACE) fail_msg("%s: %s", mynah_status_name(status), mynah_error());
  assert_non_null(strstr(mynah_error(), "no space left"));
  assert_int_equal(mynah_dataset_n_episodes(d), n);
  mynah_dataset *reader;
  if (mynah_dataset_open(path, MYNAH_OPEN_READ, &reader) == MYNAH_OK) { /* it may need space for its index of the log */
    assert_int_equal(mynah_dataset_n_episodes(reader), n);
    mynah_dataset_close(reader);
  }
}

static void test_full_disk(void **state) {
  struct rlimit old, tiny;
  getrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, SIG_IGN);
  for (int k = 0; k < 12; k++) {
    const char *path = case_path("writer");
    mynah_dataset *d;
    case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
    case_ok(case_write(d, 1, 40));
    tiny = (struct rlimit){.rlim_cur = 200000 + (rlim_t)k * 77777, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tiny);
    fill_up(path, d, 2);
    setrlimit(RLIMIT_FSIZE, &old);
    int64_t n = mynah_dataset_n_episodes(d);
    case_ok(case_write(d, 1000, 40)); /* goes on when there is space */
    mynah_dataset_close(d);
    case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
    assert_int_equal(mynah_dataset_n_episodes(d), n + 1);
    for (int64_t i = 0; i <= n; i++) case_check(d, i, true);
    case_verify(d);
    mynah_dataset_close(d);
  }
}

/* The same on a real file system of its own, where this may be made. Returns 77 for "cannot", 0 for "right". */
static int fill_small_disk(const char *folder, const char *size) {
  char path[MYNAH_PATH_MAX];
  mynah_dataset *d;
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 77;
  if (mount("none", folder, "tmpfs", 0, size) != 0) return 77;
  snprintf(path, sizeof path, "%s/set.demos", folder);
  mynah_status status = case_create(path, MYNAH_CODEC_RAW, &d);
  if (status != MYNAH_OK) return status == MYNAH_NO_SPACE && !mynah_file_exists(path) ? 0 : 1;
  int64_t n = 0;
  while (n < 100000 && (status = case_write(d, (uint64_t)n + 1, 40)) == MYNAH_OK) n++;
  if (status != MYNAH_NO_SPACE || mynah_dataset_n_episodes(d) != n) return 2;
  mynah_dataset_close(d);
  if (mynah_dataset_open(path, MYNAH_OPEN_READ, &d) != MYNAH_OK) return 3;
  mynah_verify_report r;
  if (mynah_dataset_n_episodes(d) != n) return 4;
  if (mynah_dataset_verify(d, NULL, &r) != MYNAH_OK || r.n_damaged != 0) return 5;
  mynah_dataset_close(d);
  return 0;
}

static void test_small_disk(void **state) {
  static const char *const sizes[] = {"size=128k", "size=400k", "size=700k", "size=1m", "size=1500k", "size=3m",
                                      "size=2m", "size=4m", "size=5m", "size=6m", "size=8m", "size=10m", "size=12m", "size=14m",
                                      "size=16m", "size=18m", "size=20m", "size=22m", "size=25m", "size=30m"};
  size_t n_sizes = mynah_test_soak_seconds() > 0 ? sizeof sizes / sizeof *sizes : 6;
  const char *folder = mynah_test_folder("small-disk");
  for (size_t i = 0; i < n_sizes; i++) {
    int code;
    pid_t child = fork();
    if (child == 0) _exit(fill_small_disk(folder, sizes[i]));
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == 77) {
      print_message("skipped: nothing can be mounted here\n");
      skip();
    }
    if (WEXITSTATUS(code) != 0) fail_msg("%s: case %d", sizes[i], WEXITSTATUS(code));
  }
  print_message("%zu sizes of disk filled, nothing sealed was lost\n", n_sizes);
}

/* With a ballast an episode that meets the full disk is whole: all its frames are sealed, and no other is begun. */
static int fill_with_ballast(const char *folder) {
  char path[MYNAH_PATH_MAX], ballast[MYNAH_PATH_MAX + 16];
  mynah_dataset *d;
  case_frame f;
  mynah_value v[CASE_N_FEATURES];
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 77;
  if (mount("none", folder, "tmpfs", 0, "size=12m") != 0) return 77;
  snprintf(path, sizeof path, "%s/d.demos", folder);
  snprintf(ballast, sizeof ballast, "%s.ballast", path);
  if (case_create(path, MYNAH_CODEC_RAW, &d) != MYNAH_OK) return 1;
  if (mynah_dataset_keep_room(d, (int64_t)64 << 20) != MYNAH_NO_SPACE || mynah_file_exists(ballast)) return 2;
  if (mynah_dataset_keep_room(d, (int64_t)4 << 20) != MYNAH_OK || !mynah_file_exists(ballast)) return 3;
  int64_t n_frames = 0, looked_ns = mynah_now_ns();
  if (case_begin(d, 1) != MYNAH_OK) return 4;
  for (; !mynah_dataset_is_short(d) && n_frames < 1000000; n_frames++) {
    case_fill(&f, 1, n_frames);
    case_values(&f, v);
    if (mynah_episode_add(d, n_frames, v, NULL) != MYNAH_OK) return 5;
    for (; n_frames % 100 == 99 && mynah_now_ns() - looked_ns < 110000000;) usleep(1000); /* it looks ten times a second */
    if (n_frames % 100 == 99) looked_ns = mynah_now_ns();
  }
  if (mynah_file_exists(ballast)) return 6;
  if (mynah_episode_seal(d, NULL) != MYNAH_OK) return 7;
  if (mynah_dataset_n_episodes(d) != 1 || case_begin(d, 2) != MYNAH_NO_SPACE) return 8;
  mynah_dataset_close(d);
  mynah_verify_report r;
  if (mynah_dataset_open(path, MYNAH_OPEN_READ, &d) != MYNAH_OK || mynah_dataset_n_frames(d) != n_frames) return 9;
  if (mynah_dataset_verify(d, NULL, &r) != MYNAH_OK || r.n_damaged != 0) return 10;
  mynah_dataset_close(d);
  return 0;
}

static void test_ballast(void **state) {
  const char *folder = mynah_test_folder("ballast");
  int code;
  pid_t child = fork();
  if (child == 0) _exit(fill_with_ballast(folder));
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_true(WIFEXITED(code));
  if (WEXITSTATUS(code) == 77) {
    print_message("skipped: nothing can be mounted here\n");
    skip();
  }
  assert_int_equal(WEXITSTATUS(code), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frames_are_checked),
      cmocka_unit_test(test_discard),
      cmocka_unit_test(test_reader_looks_on),
      cmocka_unit_test(test_stuck_reader),
      cmocka_unit_test(test_kill),
      cmocka_unit_test(test_tail_is_removed),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_small_disk),
      cmocka_unit_test(test_ballast),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
