/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks from elsewhere, as typed: a policy from ONNX is evaluated; a detector from ONNX looks at a dataset, its
 * boxes become a state, a policy trained on that state is evaluated with the same eyes and refuses others. */
#include "support/movie.h"
#include "support/program.h"

#include <mynah/base.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char networks[600];
static const char *folder;

static int set_up(void **state) {
  char here[512];
  if (!getcwd(here, sizeof here)) return 1;
  snprintf(networks, sizeof networks, "%s/tests/onnx/networks", here);
  folder = mynah_test_program_folder();
  mynah_json_destroy(mynah_test_run_json("record sim=follow out=d.demos episodes=2 limit=2"));
  mynah_json_destroy(mynah_test_run_json("record sim=follow labels=true state=none width=64 every=10 episodes=2 limit=2 out=l.demos"));
  mynah_json_destroy(mynah_test_run_json("import-model %s/detector-old.onnx out=eyes.safetensors", networks));
  return 0;
}

static int tear_down(void **state) {
  mynah_test_program_remove();
  return 0;
}

static void policy_from_onnx(void **state) {
  mynah_json *j = mynah_test_run_json(
      "import-model %s/mlp-new.onnx out=p.safetensors map=observation.state:observation.environment_state", networks);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "type"), ""), "onnx");
  assert_string_equal(mynah_json_to_string(mynah_json_at(mynah_json_get(j, "inputs"), 0), ""),
                      "observation.environment_state");
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("selfcheck p.safetensors"));
  j = mynah_test_run_json("eval p.safetensors sim=follow episodes=1 limit=2");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "steps"), 0), 40);
  const mynah_json *followed = mynah_json_get(j, "followed"), *ms = mynah_json_get(j, "infer_ms");
  assert_true(mynah_json_is_number(mynah_json_get(followed, "mean")));
  assert_int_equal(mynah_json_size(mynah_json_get(followed, "ci")), 2);
  assert_true(mynah_json_is_number(mynah_json_get(j, "lost_per_minute")));
  assert_true(mynah_json_to_number(mynah_json_get(ms, "p99"), 0) >= mynah_json_to_number(mynah_json_get(ms, "p50"), 1));
  mynah_json_destroy(j);
  char out[4096];
  assert_int_equal(mynah_test_run(out, sizeof out, "train onnx data=d.demos out=x 2>&1"), 1); /* it is not trained here */
  assert_non_null(strstr(out, "import-model"));
}

static void boxes_in_pictures(void **state) {
  mynah_json *j = mynah_test_run_json("detect eyes.safetensors source=d.demos conf=0.01 max_det=3");
  const mynah_json *first = mynah_json_at(mynah_json_get(j, "images"), 0), *ms = mynah_json_get(j, "ms");
  assert_int_equal(mynah_json_size(mynah_json_get(j, "images")), 80);
  assert_true(mynah_json_size(mynah_json_get(first, "boxes")) <= 3);
  for (int k = 0; k < 4; k++)
    assert_true(mynah_json_to_number(
                    mynah_json_get(ms, (const char *const[]){"decode", "letterbox", "network", "select"}[k]), -1) >= 0);
  mynah_json_destroy(j);
}

/* Frames of a video at their own times; an unchanging picture keeps its ids; what is no video is said. */
static void boxes_in_videos(void **state) {
  static uint8_t pixels[48 * 64 * 3];
  const mynah_image frame = {pixels, 64, 48}, frames[3] = {frame, frame, frame};
  const int ms[3] = {50, 2500, 50};
  char out[4096], path[MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%s/v.mp4", folder);
  mynah_test_movie(path, frames, ms, 3);
  if (mynah_test_run(out, sizeof out, "detect eyes.safetensors source=v.mp4 --quiet 2>&1") == 1 && strstr(out, "mynah-video, which decodes")) {
    print_message("skipped: mynah-video is not there\n");
    skip();
  }
  mynah_json *j = mynah_test_run_json("detect eyes.safetensors source=v.mp4 conf=0.3 max_det=2");
  const mynah_json *images = mynah_json_get(j, "images");
  const double due[3] = {0, 0.05, 2.55};
  assert_int_equal(mynah_json_size(images), 3);
  for (size_t i = 0; i < 3; i++) {
    const mynah_json *entry = mynah_json_at(images, i), *box = mynah_json_at(mynah_json_get(entry, "boxes"), 0);
    assert_int_equal(mynah_json_to_integer(mynah_json_get(entry, "frame"), -1), i);
    assert_float_equal(mynah_json_to_number(mynah_json_get(entry, "time"), -1), due[i], 1e-9);
    assert_int_equal(mynah_json_to_integer(mynah_json_get(box, "id"), -1), i < 2 ? 0 : -1); /* after 2.5 s the track is forgotten */
  }
  mynah_json_destroy(j);
  j = mynah_test_run_json("detect eyes.safetensors source=v.mp4 frames=2 out=drawn");
  assert_int_equal(mynah_json_size(mynah_json_get(j, "images")), 2);
  mynah_json_destroy(j);
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/drawn/%06d.jpg", folder, i);
    assert_int_equal(mynah_file_exists(path), i < 2);
  }
  snprintf(path, sizeof path, "%s/bad.mkv", folder);
  assert_int_equal(mynah_file_write(path, "no video", 8), MYNAH_OK);
  assert_int_equal(mynah_test_run(out, sizeof out, "detect eyes.safetensors source=bad.mkv 2>&1"), 1);
  assert_non_null(strstr(out, "bad.mkv: is no video"));
  assert_int_equal(mynah_test_run(out, sizeof out, "detect eyes.safetensors source=none.webm 2>&1"), 1);
  assert_non_null(strstr(out, "missing"));
}

static void boxes_as_a_state(void **state) {
  char out[4096];
  mynah_json *j = mynah_test_run_json(
      "data detect d.demos model=eyes.safetensors slots=ball slots.motion=true imgsz=160 out=e.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "frames"), 0), 80);
  mynah_json_destroy(j);
  j = mynah_test_run_json("data info e.demos");
  const mynah_json *f = mynah_json_get(mynah_json_get(j, "features"), "observation.environment_state");
  assert_int_equal(strncmp(mynah_json_to_string(mynah_json_get(f, "unit"), ""), "eyes ", 5), 0);
  mynah_json_destroy(j);
  mynah_json_destroy(
      mynah_test_run_json("train mlp data=e.demos inputs=observation.environment_state widths= steps=5 out=t"));
  j = mynah_test_run_json(
      "eval t/policy.safetensors sim=follow state=detector detector=eyes.safetensors episodes=1 limit=2");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "steps"), 0), 40);
  mynah_json_destroy(j);
  assert_int_equal(
      mynah_test_run(out, sizeof out, "eval t/policy.safetensors sim=follow state=boxes episodes=1 limit=2 2>&1"), 1);
  assert_non_null(strstr(out, "another detector"));
  assert_int_equal(mynah_test_run(out, sizeof out, "eval t/policy.safetensors sim=follow state=none episodes=1 limit=2 2>&1"), 1);
  assert_non_null(strstr(out, "detector=FILE"));
  assert_int_equal(
      mynah_test_run(out, sizeof out, "data detect d.demos model=eyes.safetensors slots=zebra out=f.demos"), 1);
}

static double mean_of(const mynah_json *j, const char *metric) { return mynah_json_to_number(mynah_json_get(mynah_json_get(j, metric), "mean"), -1); }

/* The clone of e.demos looks itself: the same as when the simulator looks, step for step; with other eyes it does not move. */
static void clone_with_eyes(void **state) {
  char out[4096];
  mynah_json *a = mynah_test_run_json("eval t/policy.safetensors sim=follow state=detector detector=eyes.safetensors episodes=2 limit=2"),
             *b = mynah_test_run_json("eval t/policy.safetensors sim=follow detector=eyes.safetensors detector.threads=2 episodes=2 limit=2");
  assert_true(mean_of(a, "followed") == mean_of(b, "followed") && mean_of(a, "distance_m") == mean_of(b, "distance_m"));
  mynah_json_destroy(a);
  mynah_json_destroy(b);
  mynah_json_destroy(mynah_test_run_json("eval t/policy.safetensors data=e.demos detector=eyes.safetensors"));
  /* What the simulator's own eyes recorded is acted on as well. */
  mynah_json_destroy(mynah_test_run_json("record sim=follow state=detector detector=eyes.safetensors out=s.demos episodes=2 limit=1"));
  mynah_json_destroy(mynah_test_run_json("data merge s.demos s.demos out=ss.demos"));
  mynah_json_destroy(mynah_test_run_json("train mlp data=ss.demos inputs=observation.environment_state,observation.state widths= steps=5 out=u"));
  b = mynah_test_run_json("run u/policy.safetensors robot=sim:follow detector=eyes.safetensors rate=20 seconds=1 limit=2 lock=false");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(b, "allocations"), -1), 0);
  assert_true(mynah_json_to_integer(mynah_json_get(b, "chunks"), 0) > 5);
  assert_null(mynah_json_get(mynah_json_get(b, "faults"), "prediction"));
  mynah_json_destroy(b);
  /* Other weights of the same network, and states of two eyes in one file. */
  mynah_json_destroy(mynah_test_run_json("train detector data=l.demos imgsz=64 steps=1 batch=2 warmup=0 out=other"));
  assert_int_equal(mynah_test_run(out, sizeof out, "eval t/policy.safetensors sim=follow detector=other/policy.safetensors episodes=1 limit=2 2>&1"), 1);
  assert_non_null(strstr(out, "another detector"));
  assert_int_equal(mynah_test_run(out, sizeof out, "eval p.safetensors sim=follow detector=eyes.safetensors episodes=1 limit=2 2>&1"), 1);
  assert_non_null(strstr(out, "says nothing of eyes"));
  mynah_json_destroy(mynah_test_run_json("data detect d.demos model=eyes.safetensors slots=ball slots.motion=true imgsz=96 out=g.demos"));
  assert_int_equal(mynah_test_run(out, sizeof out, "data merge e.demos g.demos out=m.demos 2>&1"), 1);
  assert_non_null(strstr(out, "observation.environment_state"));
}

/* Eyes that see nothing of what a slot requires: the loop brakes. */
static void blind_clone(void **state) {
  mynah_json_destroy(mynah_test_run_json("data detect d.demos model=eyes.safetensors slots=ball! conf=0.999 imgsz=160 out=n.demos"));
  mynah_json_destroy(mynah_test_run_json("train mlp data=n.demos inputs=observation.environment_state widths= steps=5 out=n"));
  mynah_json *j = mynah_test_run_json("run n/policy.safetensors robot=sim:follow detector=eyes.safetensors rate=20 seconds=1.5 lock=false");
  int64_t lost = mynah_json_to_integer(mynah_json_get(mynah_json_get(j, "faults"), "lost_target"), 0);
  assert_true(lost >= 10 && lost <= 25); /* half a second is waited */
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "response"), ""), "braked");
  mynah_json_destroy(j);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(policy_from_onnx), cmocka_unit_test(boxes_in_pictures),
                                     cmocka_unit_test(boxes_in_videos),
                                     cmocka_unit_test(boxes_as_a_state), cmocka_unit_test(clone_with_eyes), cmocka_unit_test(blind_clone)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
