/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The choice of boxes against ultralytics' (../shared/goldens/yolo26), with ties, and suppression by hand. */
#include "support/shared.h"

#include <mynah/graph.h>
#include <mynah/perceive.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const mynah_safetensor *tensor(const mynah_safetensors *f, const char *name) {
  const mynah_safetensor *t = mynah_safetensors_find(f, name);
  if (!t) fail_msg("the file lacks %s", name);
  return t;
}

static int choose(const mynah_select *s, const mynah_candidates *c, mynah_box *out) {
  void *scratch = malloc(mynah_select_scratch(s, c->n_anchors));
  assert_non_null(scratch);
  int n = mynah_select_boxes(s, c, scratch, out);
  free(scratch);
  return n;
}

static void check(const mynah_select *s, const mynah_candidates *c, const float *due) {
  mynah_box *out = malloc((size_t)s->max * sizeof *out);
  assert_int_equal(choose(s, c, out), s->max);
  for (int i = 0; i < s->max; i++, due += 6) {
    const float row[6] = {out[i].x1, out[i].y1, out[i].x2, out[i].y2, out[i].confidence, (float)out[i].label};
    if (memcmp(row, due, sizeof row) != 0) fail_msg("row %d: class %g score %g, not %g %g", i, (double)row[5], (double)row[4], (double)due[5], (double)due[4]);
  }
  free(out);
}

static void test_goldens(void **state) {
  mynah_safetensors *f;
  assert_int_equal(mynah_safetensors_open(mynah_test_shared("goldens/yolo26/topk.safetensors"), &f), MYNAH_OK);
  mynah_candidates c = {tensor(f, "boxes")->data, tensor(f, "scores")->data, 500, 6};
  check(&(mynah_select){50, 0, false, 1}, &c, tensor(f, "out_max50")->data);
  check(&(mynah_select){50, 0, true, 1}, &c, tensor(f, "out_max50_one_class_per_anchor")->data);
  mynah_safetensors_close(f);
}

static void test_of_640(void **state) {
  mynah_safetensors *f;
  assert_int_equal(mynah_safetensors_open(mynah_test_shared("goldens/yolo26/goldens.safetensors"), &f), MYNAH_OK);
  const float *rows = tensor(f, "pre_topk_640")->data;
  float *boxes = malloc(8400 * 4 * sizeof *boxes), *scores = malloc(8400 * 80 * sizeof *scores);
  for (int i = 0; i < 8400; i++, rows += 84) {
    memcpy(boxes + 4 * i, rows, 4 * sizeof *boxes);
    memcpy(scores + 80 * i, rows + 4, 80 * sizeof *scores);
  }
  mynah_candidates c = {boxes, scores, 8400, 80};
  const float *due = tensor(f, "output_640")->data;
  check(&(mynah_select){300, 0, false, 1}, &c, due);
  mynah_box out[300];
  float least = due[6 * 100 + 4]; /* a threshold changes nothing above it */
  assert_int_equal(choose(&(mynah_select){300, least, false, 1}, &c, out), 101);
  assert_memory_equal(&out[100].x1, due + 6 * 100, 4 * sizeof(float));
  free(boxes);
  free(scores);
  mynah_safetensors_close(f);
}

static void test_suppression(void **state) {
  static const float boxes[6][4] = {{0, 0, 10, 10}, {1, 0, 11, 10}, {1, 0, 11, 10}, {20, 20, 30, 30}, {0, 0, 10, 10}, {5, 5, 5, 5}};
  static const float scores[6][2] = {{0.5f, 0}, {0.9f, 0}, {0, 0.8f}, {0.3f, 0.1f}, {0.2f, 0}, {NAN, NAN}};
  mynah_candidates c = {&boxes[0][0], &scores[0][0], 6, 2};
  mynah_box out[6];
  assert_int_equal(choose(&(mynah_select){6, 0.25f, false, 0.7f}, &c, out), 3);
  assert_true(out[0].label == 0 && out[1].label == 1 && out[2].label == 0);
  assert_true(fabsf(out[0].x1 - 1) < 1e-6f && fabsf(out[2].x1 - 20) < 1e-6f);
  assert_int_equal(choose(&(mynah_select){2, 0.25f, false, 0.7f}, &c, out), 2);
  assert_int_equal(choose(&(mynah_select){6, 0.25f, false, 0.9f}, &c, out), 4);
  assert_int_equal(choose(&(mynah_select){6, 2, false, 1}, &c, out), 0);
  mynah_box a = {0, 0, 2, 2, 1, 0, -1}, b = {1, 1, 3, 3, 1, 0, -1}, none = {0, 0, 0, 0, 1, 0, -1};
  assert_true(fabsf(mynah_box_iou(&a, &b) - 1.0f / 7) < 1e-6f);
  assert_true(mynah_box_iou(&none, &none) <= 0 && mynah_box_iou(&a, &a) >= 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_of_640), cmocka_unit_test(test_suppression)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
