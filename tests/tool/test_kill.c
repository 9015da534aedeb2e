/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The program killed at any moment, and its files damaged: nothing that was said to be safe is lost, nothing damaged is
 * used. A few rounds each, or as many as MYNAH_SOAK_SECONDS allow. */
#include "support/program.h"
#include "support/soak.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MIN_ROUNDS 8
#define MAX_TOLD 100000

static const char *folder;
static int64_t frames_told[MAX_TOLD]; /* of episode id, as the program said; 0: not a word */

static int set_up(void **state) {
  (void)state;
  folder = mynah_test_program_folder();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  mynah_test_program_remove();
  return 0;
}

static void in_folder(char *out, size_t size, const char *name) {
  if (mynah_path_join(out, size, folder, name) != MYNAH_OK) fail_msg("%s", mynah_error());
}

static void kill_after(pid_t child, int64_t us) {
  int code;
  usleep((useconds_t)us);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &code, 0), child);
}

/* Notes each whole line "saved episode N: F frames". Returns how many were new. */
static int read_told(const char *log) {
  char path[MYNAH_PATH_MAX], line[512];
  int n = 0;
  in_folder(path, sizeof path, log);
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) {
    long long id, frames;
    const char *at = strstr(line, "saved episode ");
    if (!at || !strchr(line, '\n') || sscanf(at, "saved episode %lld: %lld frames", &id, &frames) != 2) continue;
    assert_true(id > 0 && id < MAX_TOLD);
    frames_told[id] = frames;
    n++;
  }
  if (file) fclose(file);
  return n;
}

/* Every episode told is listed with its frames, and all verifies. */
static void check_told(void) {
  mynah_json *j = mynah_test_run_json("data verify d.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "damaged"), -1), 0);
  mynah_json_destroy(j);
  j = mynah_test_run_json("data list d.demos");
  const mynah_json *list = mynah_json_get(j, "episodes");
  assert_true(mynah_json_is_array(list));
  static int64_t frames[MAX_TOLD];
  memset(frames, 0, sizeof frames);
  for (size_t i = 0; i < mynah_json_size(list); i++) {
    int64_t id = mynah_json_to_integer(mynah_json_get(mynah_json_at(list, i), "id"), 0);
    assert_true(id > 0 && id < MAX_TOLD);
    frames[id] = mynah_json_to_integer(mynah_json_get(mynah_json_at(list, i), "frames"), 0);
  }
  for (int64_t id = 1; id < MAX_TOLD; id++)
    if (frames_told[id] > 0 && frames[id] != frames_told[id])
      fail_msg("episode %lld was saved with %lld frames and has %lld", (long long)id, (long long)frames_told[id],
               (long long)frames[id]);
  mynah_json_destroy(j);
}

static void recording_is_killed(void **state) {
  (void)state;
  mynah_rng r = mynah_rng_make(11, 0);
  int64_t end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000;
  int n_told = 0, rounds = 0;
  mynah_json_destroy(mynah_test_run_json("record sim=track out=d.demos episodes=1 max_frames=20"));
  for (; rounds < MIN_ROUNDS || n_told < 4 || mynah_now_ns() < end; rounds++) {
    char command[200];
    snprintf(command, sizeof command, "record sim=track source=expert episodes=500 out=d.demos seed=%d limit=5", rounds);
    kill_after(mynah_test_start("log", command), 20000 + (int64_t)mynah_rng_below(&r, 900000));
    n_told += read_told("log");
    if (rounds % 4 == 3) check_told();
    assert_true(rounds < 1000000);
  }
  check_told();
  print_message("%d recordings killed, %d episodes told, all there\n", rounds, n_told);
}

/* A killed import leaves no file under the name it was to make, and can be begun again. */
static void import_is_killed(void **state) {
  (void)state;
  mynah_rng r = mynah_rng_make(12, 0);
  int64_t end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000;
  char out[4096];
  mynah_json_destroy(mynah_test_run_json("record sim=track out=e.demos episodes=3 max_frames=400"));
  mynah_json_destroy(mynah_test_run_json("export npz e.demos out=e.npz"));
  mynah_json_destroy(mynah_test_run_json("import npz e.npz out=whole.demos"));
  mynah_json *whole = mynah_test_run_json("data info whole.demos");
  int rounds = 0;
  for (; rounds < MIN_ROUNDS || mynah_now_ns() < end; rounds++) {
    kill_after(mynah_test_start("log", "import npz e.npz out=i.demos"), (int64_t)mynah_rng_below(&r, 400000));
    char path[MYNAH_PATH_MAX];
    in_folder(path, sizeof path, "i.demos");
    if (!mynah_file_exists(path)) continue;
    mynah_json *j = mynah_test_run_json("data info i.demos");
    assert_string_equal(mynah_json_to_string(mynah_json_get(j, "hash"), "a"),
                        mynah_json_to_string(mynah_json_get(whole, "hash"), "b"));
    mynah_json_destroy(j);
    assert_int_equal(mynah_test_run(out, sizeof out, "data verify i.demos --quiet 2>&1"), 0);
    assert_int_equal(unlink(path), 0);
  }
  mynah_json_destroy(mynah_test_run_json("import npz e.npz out=i.demos"));
  mynah_json_destroy(whole);
}

/* One byte of a policy changed, or its end cut: selfcheck and eval refuse it, each time. */
static void policies_are_damaged(void **state) {
  (void)state;
  char path[MYNAH_PATH_MAX], other[MYNAH_PATH_MAX], out[4096], *data;
  size_t n;
  int64_t end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000;
  mynah_rng r = mynah_rng_make(13, 0);
  mynah_json_destroy(mynah_test_run_json("record sim=track out=t.demos episodes=2 max_frames=100"));
  mynah_json_destroy(mynah_test_run_json("train mlp data=t.demos inputs=observation.state widths=16 chunk=2 steps=20 batch=16 valid.by=time out=t"));
  in_folder(path, sizeof path, "t/policy.safetensors");
  in_folder(other, sizeof other, "x.safetensors");
  assert_int_equal(mynah_file_read(path, (size_t)64 << 20, &data, &n), MYNAH_OK);
  int rounds = 0;
  for (; rounds < 4 * MIN_ROUNDS || mynah_now_ns() < end; rounds++) {
    size_t at = (size_t)mynah_rng_below(&r, n), length = rounds % 4 == 3 ? at : n;
    char old = data[at];
    data[at] = (char)(old ^ 1 << mynah_rng_below(&r, 8));
    FILE *file = fopen(other, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    data[at] = old;
    int status = mynah_test_run(out, sizeof out, "selfcheck x.safetensors 2>&1");
    if (status != 1 && status != 0) fail_msg("changed at %zu: exit status %d: %s", at, status, out);
    if (status == 0 && at >= 8) /* harmless only where nothing that acts is said: the notes of how it was trained */
      assert_int_equal(mynah_test_run(out, sizeof out, "eval x.safetensors sim=track episodes=1 limit=5 --quiet 2>&1"), 0);
    if (status == 0 && length < n) fail_msg("cut to %zu bytes and accepted", length);
    if (status == 1 && mynah_test_run(out, sizeof out, "eval x.safetensors sim=track episodes=1 limit=5 --quiet 2>&1") == 0)
      fail_msg("changed at %zu: eval did not see it", at);
  }
  mynah_free(data);
  print_message("%d damaged policies\n", rounds);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(recording_is_killed), cmocka_unit_test(import_is_killed),
                                     cmocka_unit_test(policies_are_damaged)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
