/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The recorder when frames come faster than they can be written: what is dropped is counted and noted in the file. */
#include <mynah/run.h>

#include "src/run/worker.h"
#include "support/fake_device.h"
#include "support/shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define RATE_HZ 1 /* room for 3 s and 8 frames */
#define N_FRAMES 200

/* Two episodes, each as fast as the processor goes, in a session of their own. Returns the frames that had no room. */
static int64_t record_session(const char *path, int64_t *n_frames) {
  mynah_device *d;
  mynah__recorder *r;
  mynah__recorder_report report;
  mynah_value values[2];
  float action = 1;
  int64_t n_refused = 0, n_kept = 0;
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  assert_int_equal(d->type->reset(d, 1), MYNAH_OK);
  if (mynah__recorder_create(path, d, &(mynah__recorder_config){RATE_HZ, "test", NULL, NULL}, &r) != MYNAH_OK) fail_msg("%s", mynah_error());
  for (int episode = 0; episode < 2; episode++) {
    for (int i = 0; i < N_FRAMES; i++) {
      d->type->observe(d, values);
      bool is_kept = mynah__recorder_frame(r, values, &action, (int64_t)(episode * N_FRAMES + i) * 1000);
      n_refused += !is_kept;
      n_kept += is_kept;
      if (i == 0 && !is_kept) i--; /* an episode begins: offered until there is room */
    }
    mynah__recorder_end(r, 1);
  }
  if (mynah__recorder_close(r, &report) != MYNAH_OK) fail_msg("%s", mynah_error());
  fake_device.close(d);
  *n_frames = report.n_frames;
  assert_int_equal(report.n_episodes, 2);
  assert_int_equal(report.n_dropped, n_refused);
  assert_int_equal(report.n_frames, n_kept);
  return n_refused;
}

/* The sum of what the ledger says, and the frames of all episodes. */
static int64_t read_ledger(const char *path, int64_t *n_frames) {
  mynah_dataset *set;
  mynah_str text = {0};
  mynah_json *j;
  int64_t sum = 0;
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &set), MYNAH_OK);
  if (mynah_dataset_get_note(set, "dropped", &text) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(mynah_json_parse(mynah_str_text(&text), text.length, &j), MYNAH_OK);
  for (int i = 0; i < 16; i++) {
    char key[8];
    snprintf(key, sizeof key, "%d", i);
    sum += mynah_json_to_integer(mynah_json_get(j, key), 0);
  }
  *n_frames = mynah_dataset_n_frames(set);
  mynah_json_destroy(j);
  mynah_str_deinit(&text);
  mynah_dataset_close(set);
  return sum;
}

/* Every frame offered is either in the file or in its ledger, and a second session forgets nothing of the first. */
static void drops_are_noted(void **state) {
  (void)state;
  char path[MYNAH_PATH_MAX];
  int64_t n_frames, n_first, n_second;
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("recorder"), "r.demos"), MYNAH_OK);
  int64_t first = record_session(path, &n_first);
  assert_true(first > 0);
  int64_t noted = read_ledger(path, &n_frames);
  assert_true(noted > 0);
  int64_t second = record_session(path, &n_second);
  assert_true(second > 0);
  int64_t noted_in_all = read_ledger(path, &n_frames);
  assert_int_equal(noted, first);
  assert_int_equal(noted_in_all, first + second);
  assert_int_equal(n_frames, n_first + n_second);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(drops_are_noted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
