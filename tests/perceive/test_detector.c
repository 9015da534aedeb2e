/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Detectors from ONNX files (../shared/goldens/yolo26) against what ONNX Runtime and PyTorch said of the same pictures; their
 * own files there and back; damaged ones named. */
#include "support/formula.h"
#include "support/shared.h"
#include "support/torture.h"

#include "src/perceive/perceive_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

static mynah_detector *import(const char *name) {
  char path[256];
  mynah_detector *d;
  snprintf(path, sizeof path, "goldens/yolo26/%s", name);
  ok(mynah_detector_import(mynah_test_shared(path), &d));
  return d;
}

static mynah_image picture(const char *name, int side) {
  mynah_image image = {malloc((size_t)(side * side * 3)), side, side};
  assert_non_null(image.data);
  formula_image(name, side, side, image.data);
  return image;
}

static mynah_eye *eye_of(const mynah_detector *d, const char *key, const char *value) {
  mynah_detect_config c;
  mynah_eye *e;
  mynah_config_default(&mynah_detect_table, &c);
  c.confidence = 0;
  if (key) ok(mynah_config_set(&(mynah_config_bind){&mynah_detect_table, &c}, 1, key, value));
  ok(mynah_eye_create(d, &c, &e));
  return e;
}

static float clipped(float v) { return v < 0 ? 0 : v > 640 ? 640 : v; }

/* Row i of the golden rows, or one within two places: scores may lie closer than rounding. */
static bool is_there(const float *rows, int n, int i, const mynah_box *b) {
  for (int k = i - 2; k <= i + 2; k++) {
    if (k < 0 || k >= n) continue;
    const float *r = rows + 6 * k;
    const float off[4] = {clipped(r[0]) - b->x1, clipped(r[1]) - b->y1, clipped(r[2]) - b->x2, clipped(r[3]) - b->y2};
    bool is_same = (int)r[5] == b->label && fabsf(r[4] - b->confidence) <= 2e-5f;
    for (int c = 0; c < 4; c++) is_same = is_same && fabsf(off[c]) <= 0.02f;
    if (is_same) return true;
  }
  return false;
}

static void test_end_to_end(void **state) {
  mynah_safetensors *f;
  const mynah_box *boxes;
  int n;
  ok(mynah_safetensors_open(mynah_test_shared("goldens/yolo26/goldens.safetensors"), &f));
  mynah_detector *d = import("yolo26n_640_e2e.onnx");
  assert_true(mynah_detector_scale(d) == 'n' && mynah_detector_is_end_to_end(d));
  assert_int_equal(mynah_detector_n_classes(d), 80);
  assert_int_equal(mynah_detector_size(d), 640);
  assert_string_equal(mynah_detector_class(d, 79), "79");
  assert_string_equal(mynah_detector_class(d, 80), "?");
  mynah_eye *e = eye_of(d, NULL, NULL);
  mynah_image image = picture("yolo.img.640", 640);
  for (int round = 0; round < 2; round++) {
    ok(mynah_eye_look(e, &image, &boxes, &n));
    assert_int_equal(n, 300);
    for (int which = 0; which < 2; which++) {
      const float *due = mynah_safetensors_find(f, which ? "onnxruntime_output_640" : "output_640")->data;
      for (int i = 0; i < n; i++)
        if (!is_there(due, 300, i, &boxes[i])) fail_msg("box %d: %s has another", i, which ? "ONNX Runtime" : "PyTorch");
    }
  }
  mynah_eye_destroy(e);
  e = eye_of(d, "classes", "50, 76");
  ok(mynah_eye_look(e, &image, &boxes, &n));
  assert_int_equal(n, 141 + 38);
  for (int i = 0; i < n; i++) assert_true(boxes[i].label == 50 || boxes[i].label == 76);
  mynah_eye_destroy(e);
  free(image.data);
  mynah_detector_destroy(d);
  mynah_safetensors_close(f);
}

/* The raw head: what is kept is among its candidates, sorted, apart from each other, and hides all that is left out. */
static void test_raw(void **state) {
  const mynah_box *boxes;
  int n;
  mynah_detector *d = import("yolo26n_320_raw.onnx");
  assert_false(mynah_detector_is_end_to_end(d));
  mynah_eye *e = eye_of(d, "conf", "0.3");
  mynah_image image = picture("yolo.img.320", 320);
  ok(mynah_eye_look(e, &image, &boxes, &n));
  assert_true(n > 0 && n <= 300);
  for (int i = 0; i < n; i++) {
    assert_true(boxes[i].confidence >= 0.3f && boxes[i].id == -1);
    if (i) assert_true(boxes[i].confidence <= boxes[i - 1].confidence);
  }
  mynah_eye_destroy(e);
  free(image.data);
  mynah_detector_destroy(d);
}

static void test_files(void **state) {
  char path[512], hash[2][65];
  mynah_detector_check check;
  mynah_detector *d = import("yolo26n_640_e2e.onnx"), *again;
  snprintf(path, sizeof path, "%s/d.safetensors", mynah_test_folder("detector"));
  assert_int_equal(mynah_detector_selfcheck(d, &check), MYNAH_NOT_FOUND);
  ok(mynah_detector_save(d, path));
  ok(mynah_detector_load(path, &again));
  ok(mynah_detector_selfcheck(again, &check));
  assert_int_equal(check.n_numbers, 5 * 126);
  mynah_detector_hash(d, hash[0]);
  mynah_detector_hash(again, hash[1]);
  assert_string_equal(hash[0], hash[1]);
  /* One weight changed: the golden numbers say so. */
  mynah_weights_data(again->weights)[mynah_weights_find(again->weights, "model.4.cv2.conv.weight")->offset] += 0.5f;
  assert_int_equal(mynah_detector_selfcheck(again, &check), MYNAH_MISMATCH);
  mynah_detector_destroy(again);
  mynah_detector_destroy(d);
}

/* Pictures of any shape; an empty one is refused. */
static void test_shapes(void **state) {
  static const int sizes[][2] = {{1, 1}, {1, 500}, {500, 1}, {97, 33}, {64, 64}, {33, 97}, {300, 200}, {200, 300}, {31, 31}, {97, 33}};
  const mynah_box *boxes;
  int n;
  mynah_detector *d = import("yolo26n_320_raw.onnx");
  mynah_eye *e = eye_of(d, "imgsz", "96");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    mynah_image image = {calloc((size_t)(sizes[i][0] * sizes[i][1]), 3), sizes[i][0], sizes[i][1]};
    ok(mynah_eye_look(e, &image, &boxes, &n));
    for (int k = 0; k < n; k++)
      assert_true(boxes[k].x1 >= 0 && boxes[k].x2 <= (float)image.width && boxes[k].y1 >= 0 && boxes[k].y2 <= (float)image.height);
    mynah_boxes_draw(&image, d, boxes, n);
    free(image.data);
  }
  assert_int_equal(mynah_eye_look(e, &(mynah_image){NULL, 0, 0}, &boxes, &n), MYNAH_INVALID);
  mynah_eye_destroy(e);
  mynah_detect_config c;
  mynah_config_default(&mynah_detect_table, &c);
  snprintf(c.classes, sizeof c.classes, "zebra");
  assert_int_equal(mynah_eye_create(d, &c, &e), MYNAH_NOT_FOUND);
  mynah_detector_destroy(d);
}

/* Another detector's raw head, described from its file: what PyTorch made of the same picture, also from our own file. */
static void test_network(void **state) {
  char path[512];
  mynah_safetensors *f;
  mynah_detector *d, *again;
  mynah_detector_check check;
  mynah__detector_run r;
  ok(mynah_safetensors_open("tests/onnx/networks/detector-old.safetensors", &f));
  ok(mynah_detector_import("tests/onnx/networks/detector-old.onnx", &d));
  assert_string_equal(mynah_detector_kind(d), "network");
  assert_string_equal(mynah_detector_class(d, 1), "cone");
  snprintf(path, sizeof path, "%s/n.safetensors", mynah_test_folder("detector"));
  ok(mynah_detector_save(d, path));
  ok(mynah_detector_load(path, &again));
  ok(mynah_detector_selfcheck(again, &check));
  ok(mynah__detector_run_init(again, 32, 48, NULL, &r));
  assert_int_equal(r.n_anchors, 30);
  const float *in = mynah_safetensors_find(f, "in.images")->data, *due = mynah_safetensors_find(f, "out.out")->data;
  uint8_t *image = mynah_state_input(r.state, "image");
  for (int i = 0; i < 32 * 48 * 3; i++) image[i] = (uint8_t)lrintf(255 * in[i % 3 * 32 * 48 + i / 3]);
  mynah_state_run(r.state);
  const float *boxes = mynah_state_output(r.state, "boxes"), *scores = mynah_state_output(r.state, "scores");
  for (int a = 0; a < 30; a++) { /* the picture is rounded to 8 bits, hence the tolerances */
    for (int k = 0; k < 2; k++) {
      assert_true(fabsf((boxes[4 * a + k] + boxes[4 * a + 2 + k]) / 2 - due[k * 30 + a]) < 0.02f);
      assert_true(fabsf(boxes[4 * a + 2 + k] - boxes[4 * a + k] - due[(2 + k) * 30 + a]) < 0.02f);
    }
    for (int k = 0; k < 3; k++) assert_true(fabsf(scores[3 * a + k] - due[(4 + k) * 30 + a]) < 1e-3f);
  }
  mynah__detector_run_deinit(&r);
  mynah_eye *e = eye_of(again, NULL, NULL);
  const mynah_box *found;
  int n;
  uint8_t pixels[100 * 40 * 3] = {0};
  ok(mynah_eye_look(e, &(mynah_image){pixels, 100, 40}, &found, &n));
  mynah_eye_destroy(e);
  mynah_detector_destroy(again);
  mynah_detector_destroy(d);
  mynah_safetensors_close(f);
  assert_int_equal(mynah_detector_import("tests/onnx/networks/mlp-new.onnx", &d), MYNAH_UNSUPPORTED);
}

/* YOLO26 described from its file is the YOLO26 that is written here. */
static void test_network_is_yolo26(void **state) {
  mynah_onnx *o;
  mynah_detector *d, *native = import("yolo26n_320_raw.onnx");
  mynah__detector_run r[2];
  ok(mynah_onnx_open(mynah_test_shared("goldens/yolo26/yolo26n_320_raw.onnx"), &o));
  ok(mynah__detector_from_network(o, &d));
  mynah_onnx_destroy(o);
  mynah_image image = picture("yolo.img.320", 320);
  for (int k = 0; k < 2; k++) {
    ok(mynah__detector_run_init(k ? d : native, 320, 320, NULL, &r[k]));
    memcpy(mynah_state_input(r[k].state, "image"), image.data, 320 * 320 * 3);
    mynah_state_run(r[k].state);
  }
  static const char *const names[] = {"boxes", "scores"};
  for (int k = 0; k < 2; k++) {
    size_t n = mynah_state_output_bytes(r[0].state, names[k]) / sizeof(float);
    assert_int_equal(n * sizeof(float), mynah_state_output_bytes(r[1].state, names[k]));
    const float *a = mynah_state_output(r[0].state, names[k]), *b = mynah_state_output(r[1].state, names[k]);
    for (size_t i = 0; i < n; i++)
      if (!(fabsf(a[i] - b[i]) <= (k ? 2e-5f : 0.02f))) fail_msg("%s %zu: %g, %g", names[k], i, (double)a[i], (double)b[i]);
  }
  for (int k = 0; k < 2; k++) mynah__detector_run_deinit(&r[k]);
  free(image.data);
  mynah_detector_destroy(d);
  mynah_detector_destroy(native);
}

static mynah_status work(void *context) {
  mynah_detector *d = context;
  mynah_eye *e;
  const mynah_box *boxes;
  int n;
  uint8_t pixels[32 * 32 * 3] = {0};
  mynah_detect_config c;
  mynah_config_default(&mynah_detect_table, &c);
  c.size = 32;
  MYNAH_TRY(mynah_eye_create(d, &c, &e));
  mynah_status status = mynah_eye_look(e, &(mynah_image){pixels, 32, 32}, &boxes, &n);
  mynah_eye_destroy(e);
  return status;
}

static void test_torture(void **state) {
  mynah_detector *d = import("yolo26n_320_raw.onnx");
  mynah_test_torture(work, d);
  mynah_detector_destroy(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_end_to_end), cmocka_unit_test(test_raw), cmocka_unit_test(test_files),
                                     cmocka_unit_test(test_shapes), cmocka_unit_test(test_torture),
                                     cmocka_unit_test(test_network), cmocka_unit_test(test_network_is_yolo26)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
