/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A detector from pictures to boxes, as a user would: recorded, trained, killed and gone on with, measured, used,
 * exported. */
#include "support/program.h"

#include <mynah/graph.h>

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

#define SMALL                                                                                                  \
  "imgsz=64 batch=4 shards=2 steps=6 valid.every=100 checkpoint.every=2 augment.mosaic=0.3 augment.scale=0.2 " \
  "augment.hue=0.1"

static const char *folder;

static int set_up(void **state) {
  (void)state;
  folder = mynah_test_program_folder();
  mynah_json_destroy(mynah_test_run_json(
      "record sim=follow target=any labels=true state=none width=64 limit=2 every=10 episodes=6 out=d.demos"));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  mynah_test_program_remove();
  return 0;
}

static void take_hash(mynah_json *j, char hash[65]) {
  snprintf(hash, 65, "%s", mynah_json_to_string(mynah_json_get(j, "sha256"), ""));
  assert_int_equal(strlen(hash), 64);
  mynah_json_destroy(j);
}

static bool is_there(const char *name) {
  char path[MYNAH_PATH_MAX];
  assert_int_equal(mynah_path_join(path, sizeof path, folder, name), MYNAH_OK);
  return mynah_file_exists(path);
}

/* The same file for any number of threads, and after kill -9 in the middle. */
static void test_same_file(void **state) {
  (void)state;
  char one[65], two[65], again[65];
  take_hash(mynah_test_run_json("train detector data=d.demos out=one threads=1 " SMALL), one);
  take_hash(mynah_test_run_json("train detector data=d.demos out=two threads=2 " SMALL), two);
  assert_string_equal(one, two);
  int code;
  pid_t child = mynah_test_start("log", "train detector data=d.demos out=killed threads=1 " SMALL);
  for (int i = 0; i < 6000 && !is_there("killed/last"); i++) usleep(10000);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_true(is_there("killed/last"));
  take_hash(mynah_test_run_json("train resume=killed"), again);
  assert_string_equal(one, again);
}

static void test_used(void **state) {
  (void)state;
  if (!is_there("one/policy.safetensors"))
    mynah_json_destroy(mynah_test_run_json("train detector data=d.demos out=one " SMALL));
  mynah_json_destroy(mynah_test_run_json("selfcheck one/policy.safetensors"));
  mynah_json *j = mynah_test_run_json("eval one/policy.safetensors data=d.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "images"), 0), 24);
  double map50 = mynah_json_to_number(mynah_json_get(j, "map50"), -1),
         map = mynah_json_to_number(mynah_json_get(j, "map50_95"), -1);
  assert_true(map50 >= 0 && map50 <= 1 && map >= 0 && map <= map50);
  mynah_json_destroy(j);
  char said[4096]; /* cameras that are none */
  assert_int_not_equal(mynah_test_run(said, sizeof said, "detect one/policy.safetensors source=camera:front 2>&1"), 0);
  assert_non_null(strstr(said, "takes a number"));
  assert_int_not_equal(mynah_test_run(said, sizeof said, "detect one/policy.safetensors source=camera:987 2>&1"), 0);
  assert_non_null(strstr(said, "/dev/video987"));
  j = mynah_test_run_json("detect one/policy.safetensors source=d.demos conf=0.001");
  assert_int_equal(mynah_json_size(mynah_json_get(j, "images")), 24);
  const mynah_json *box = mynah_json_at(mynah_json_get(mynah_json_at(mynah_json_get(j, "images"), 0), "boxes"), 0);
  assert_non_null(strstr("ball cone car person", mynah_json_to_string(mynah_json_get(box, "name"), "none")));
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json(
      "eval expert sim=follow state=detector detector=one/policy.safetensors width=64 episodes=1 limit=1"));
}

/* How many boxes of all pictures have an id, and how many of those were seen with it in the picture before. */
static void count_ids(mynah_json *j, int *n_ids, int *n_again) {
  const mynah_json *images = mynah_json_get(j, "images"), *before = NULL;
  *n_ids = *n_again = 0;
  for (size_t i = 0; i < mynah_json_size(images); i++) {
    const mynah_json *boxes = mynah_json_get(mynah_json_at(images, i), "boxes");
    for (size_t k = 0; k < mynah_json_size(boxes); k++) {
      int64_t id = mynah_json_to_integer(mynah_json_get(mynah_json_at(boxes, k), "id"), -1);
      *n_ids += id >= 0;
      for (size_t m = 0; m < mynah_json_size(boxes); m++) /* once in a picture */
        assert_true(m == k || id < 0 || mynah_json_to_integer(mynah_json_get(mynah_json_at(boxes, m), "id"), -1) != id);
      for (size_t m = 0; m < mynah_json_size(before); m++)
        *n_again += id >= 0 && mynah_json_to_integer(mynah_json_get(mynah_json_at(before, m), "id"), -1) == id;
    }
    before = boxes;
  }
  mynah_json_destroy(j);
}

/* Boxes in pictures that follow one another have the ids of their tracks, others have none. */
static void test_ids(void **state) {
  (void)state;
#define ALL "conf=0.00001 max_det=20 track.high=0.00001 track.low=0.00001 track.start=0.00001 track.iou=0.01 "
  int n_ids, n_again;
  mynah_json_destroy(mynah_test_run_json("record sim=follow state=none labels=true width=64 limit=1 episodes=1 out=seq.demos"));
  mynah_json_destroy(mynah_test_run_json("export yolo seq.demos out=seq"));
  count_ids(mynah_test_run_json("detect one/policy.safetensors source=seq.demos " ALL), &n_ids, &n_again);
  assert_true(n_ids > 20 && n_again > 10);
  count_ids(mynah_test_run_json("detect one/policy.safetensors source=seq/images/train " ALL), &n_ids, &n_again);
  assert_int_equal(n_ids, 0);
  count_ids(mynah_test_run_json("detect one/policy.safetensors source=seq/images/train track=true fps=20 " ALL), &n_ids, &n_again);
  assert_true(n_again > 10);
}

/* The other way in: a folder as others write it, whose hostile pictures are left out and told. */
static void test_folder(void **state) {
  (void)state;
  char out[4096], path[MYNAH_PATH_MAX];
  mynah_json_destroy(mynah_test_run_json("export yolo d.demos out=set"));
  static const char *const bad[] = {"cut.jpg", "empty.png", "huge.png"};
  /* a JPEG's first bytes; nothing; a PNG that says it is 100000 x 100000 */
  static const char *const bytes[] = {
      "\xff\xd8\xff\xe0\0\x10JFIF", "",
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x08\2\0\0\0\xea\x5d\x0e\x5e"};
  static const size_t sizes[] = {10, 0, 33};
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/set/images/train/%s", folder, bad[i]);
    assert_int_equal(mynah_file_write(path, bytes[i], sizes[i]), MYNAH_OK);
  }
  mynah_json *j = mynah_test_run_json("import yolo set out=set.demos imgsz=64");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "frames"), 0), 24);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "n_skipped"), 0), 3);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("train detector data=set/dataset.yaml out=from_set valid.by=time from=one/policy.safetensors " SMALL));
  j = mynah_test_run_json("eval from_set/policy.safetensors data=set");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "images"), 0), 24);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "left_out"), 0), 3);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("train detector preset=detector-follow data=d.demos out=preset imgsz=64 steps=1 valid.share=0.2"));
  assert_int_equal(mynah_test_run(out, sizeof out, "train detector data=d.demos out=x eval.sim=follow 2>&1"), 2);
  assert_int_equal(mynah_test_run(out, sizeof out, "train detector out=x 2>&1"), 2);
  assert_int_equal(mynah_test_run(out, sizeof out, "train detector data=none.yaml out=x 2>&1"), 1);
  assert_non_null(strstr(out, "none.yaml"));
  j = mynah_test_run_json("detect from_set/policy.safetensors source=set/images/train");
  assert_int_equal(mynah_json_size(mynah_json_get(j, "images")), 24);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "left_out"), 0), 3);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("record sim=follow state=none width=64 limit=1 episodes=2 out=plain.demos"));
  assert_int_equal(mynah_test_run(out, sizeof out, "train detector data=plain.demos out=x 2>&1"), 1);
  assert_non_null(strstr(out, "labels=true"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_file), cmocka_unit_test(test_used), cmocka_unit_test(test_ids),
                                     cmocka_unit_test(test_folder)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
