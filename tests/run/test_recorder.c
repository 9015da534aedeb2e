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
#include <string.h>
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
  if (mynah__recorder_create(path, d, &(mynah__recorder_config){.rate_hz = RATE_HZ, .expert = "test"}, &r) != MYNAH_OK) fail_msg("%s", mynah_error());
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
  if (mynah_dataset_get_note(set, "ledger", &text) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(mynah_json_parse(mynah_str_text(&text), text.length, &j), MYNAH_OK);
  for (int i = 0; i < 16; i++) {
    char key[8];
    snprintf(key, sizeof key, "%d", i);
    const mynah_json *e = mynah_json_get(j, key);
    sum += mynah_json_to_integer(mynah_json_get(e, "frames"), 0);
    assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_get(e, "dropped"), "observation.state"), 0),
                     mynah_json_to_integer(mynah_json_get(e, "frames"), 0)); /* a simulator's frame is all of its features */
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

/* A live device of 1 kHz with a camera of 62 Hz that once comes late and gives JPEG: each picture is stored once as it came, each frame
 * shows the one of its time, and the late one is in the ledger. */
static void slow_cameras_are_kept_once(void **state) {
  (void)state;
  char path[MYNAH_PATH_MAX];
  mynah__recorder *r;
  mynah__recorder_report report;
  uint8_t pixels[16 * 16 * 3];
  float x = 0, action = 1;
  mynah_device d = {.type = &fake_device, .n_features = 3, .n_observations = 2, .rate_hz = 1000, .is_live = true};
  d.features[0] = mynah_feature_vector("observation.state", 1, "", "");
  d.features[1] = mynah_feature_image("observation.images.eye", 16, 16);
  d.features[2] = mynah_feature_vector("action", 1, "", "");
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("recorder"), "live.demos"), MYNAH_OK);
  if (mynah__recorder_create(path, &d, &(mynah__recorder_config){.rate_hz = 1000, .expert = "test"}, &r) != MYNAH_OK) fail_msg("%s", mynah_error());
  mynah_str codes[3] = {{0}};
  for (int k = 0; k < 3; k++) {
    memset(pixels, 80 * k, sizeof pixels);
    assert_int_equal(mynah_jpeg_encode(&(mynah_image){pixels, 16, 16}, 95, &codes[k]), MYNAH_OK);
  }
  enum { N = 400, LATE = 160 };
  int shown[N];
  int64_t came = 0;
  for (int t = 0, k = 0; t < N; t++) {
    if (t % 16 == 0 && t != LATE) k = (k + 1) % 3, came = t;
    shown[t] = 80 * k;
    x = (float)t;
    mynah_value values[2] = {{&x, sizeof x, 1000000000 + t * 1000000}, {codes[k].data, codes[k].length, 1000000000 + came * 1000000}};
    assert_true(mynah__recorder_frame(r, values, &action, values[0].time_ns));
  }
  mynah__recorder_end(r, 1);
  if (mynah__recorder_close(r, &report) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(report.n_frames, N);
  assert_int_equal(report.n_dropped, 0);
  assert_int_equal(report.n_late, 1);
  mynah_dataset *set;
  mynah_verify_report v;
  mynah_str text = {0};
  int64_t times[2];
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &set), MYNAH_OK);
  assert_int_equal(mynah_dataset_get_note(set, "ledger", &text), MYNAH_OK);
  assert_non_null(strstr(mynah_str_text(&text), "\"late\":{\"observation.images.eye\":1}"));
  mynah_str_deinit(&text);
  assert_int_equal(mynah_dataset_verify(set, NULL, &v), MYNAH_OK);
  assert_int_equal(v.n_damaged, 0);
  assert_int_equal(mynah_dataset_read_times(set, 0, 7, 2, times), MYNAH_OK);
  assert_int_equal(times[0], 1007000000); /* as captured */
  for (int t = 0; t < N; t++) {
    const void *code;
    size_t n;
    mynah_image picture;
    assert_int_equal(mynah_dataset_read_blob(set, 0, "observation.images.eye", t, &code, &n), MYNAH_OK);
    assert_int_equal(n, codes[shown[t] / 80].length);
    assert_memory_equal(code, codes[shown[t] / 80].data, n);
    assert_int_equal(mynah_dataset_read_image(set, 0, "observation.images.eye", t, 0, 0, &picture), MYNAH_OK);
    assert_in_range(picture.data[0] + 3, shown[t], shown[t] + 6);
    mynah_image_deinit(&picture);
  }
  mynah_dataset_close(set);
  for (int k = 0; k < 3; k++) mynah_str_deinit(&codes[k]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(drops_are_noted), cmocka_unit_test(slow_cameras_are_kept_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
