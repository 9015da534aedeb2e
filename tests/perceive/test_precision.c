/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Average precision: pycocotools' numbers (peer_detection.py), and cases one can work out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <mynah/perceive.h>

#include "support/detection_vectors.h"

#include <math.h>
#include <string.h>

/* a is within tolerance of b; NaN is not. */
#define assert_near(a, b, tolerance)                                                             \
  do {                                                                                           \
    double a_ = (double)(a), b_ = (double)(b);                                                   \
    if (!(fabs(a_ - b_) <= (double)(tolerance))) fail_msg("%s is %.12g, not %.12g", #a, a_, b_); \
  } while (0)

/* Number i of the sequence that a name seeds: as in peer_training.py. */
static uint64_t word(const char *name, int64_t i) {
  uint64_t z = 0xCBF29CE484222325u;
  for (const char *p = name; *p; p++) z = (z ^ (uint8_t)*p) * 0x100000001B3u;
  z += (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static int64_t at;
static int draw(int n) { return (int)(word("coco", at++) % (uint64_t)n); }
static float quarter(int n) { return (float)draw(n) / 4; }

static mynah_box box_at(int label, float x, float y, float w, float h, float score) {
  return (mynah_box){x, y, x + w, y + h, score, label, -1};
}

static mynah_box anywhere(void) {
  int label = draw(3);
  float x = quarter(300), y = quarter(300), w = 8 + quarter(160), h = 8 + quarter(160);
  return box_at(label, x, y, w, h, 0);
}

static float moved(float v) { return v + (float)(draw(33) - 16) / 4; }

/* The same draws in the same order as `pictures` there. */
static void make_picture(mynah_box *truth, int *n_truth, mynah_box *found, int *n_found) {
  *n_found = 0;
  *n_truth = draw(6);
  for (int i = 0; i < *n_truth; i++) truth[i] = anywhere();
  for (int i = 0; i < *n_truth; i++)
    for (int k = draw(3); k > 0; k--) {
      const mynah_box *t = &truth[i];
      float x = moved(t->x1), y = moved(t->y1), w = fmaxf(2, moved(t->x2 - t->x1)), h = fmaxf(2, moved(t->y2 - t->y1));
      int label = draw(8) ? t->label : draw(3);
      found[(*n_found)++] = box_at(label, x, y, w, h, (float)draw(64) / 64);
    }
  for (int k = draw(4); k > 0; k--) {
    mynah_box b = anywhere();
    b.confidence = (float)draw(64) / 64;
    found[(*n_found)++] = b;
  }
}

static void test_as_pycocotools(void **state) {
  (void)state;
  mynah_precision *p;
  mynah_precision_result r;
  mynah_box truth[8], found[32];
  int n_truth, n_found, all = 0;
  double classes[3];
  at = 0;
  assert_int_equal(mynah_precision_create(3, &p), MYNAH_OK);
  for (int i = 0; i < 30; i++, all += n_found) {
    make_picture(truth, &n_truth, found, &n_found);
    assert_int_equal(mynah_precision_add(p, truth, n_truth, found, n_found), MYNAH_OK);
  }
  assert_int_equal(mynah_precision_finish(p, &r, classes), MYNAH_OK);
  assert_int_equal(r.n_objects, peer_n_truth);
  assert_int_equal(all, peer_n_found);
  assert_int_equal(r.n_pictures, 30);
  assert_near(r.map50, peer_map50, 1e-12);
  assert_near(r.map50_95, peer_map50_95, 1e-12);
  for (int i = 0; i < 3; i++) assert_near(classes[i], peer_classes[i], 1e-12);
  mynah_precision_destroy(p);
}

/* All found exactly: 1. A double of a lower score costs nothing; one of a higher score than the second object's does.
 */
static void test_by_hand(void **state) {
  (void)state;
  mynah_precision *p;
  mynah_precision_result r;
  const mynah_box truth[2] = {box_at(0, 0, 0, 10, 10, 1), box_at(0, 50, 50, 10, 10, 1)};
  const mynah_box found[3] = {box_at(0, 0, 0, 10, 10, 0.9f), box_at(0, 0, 0, 10, 10, 0.8f),
                              box_at(0, 50, 50, 10, 10, 0.7f)};
  assert_int_equal(mynah_precision_create(2, &p), MYNAH_OK);
  assert_int_equal(mynah_precision_add(p, truth, 2, found, 3), MYNAH_OK);
  assert_int_equal(mynah_precision_finish(p, &r, NULL), MYNAH_OK);
  /* precision 1 up to recall 0.5 (51 points), 2/3 behind (50) */
  assert_near(r.map50, (51 + 50 * 2.0 / 3) / 101, 1e-12);
  assert_near(r.map50_95, r.map50, 1e-12);
  mynah_precision_destroy(p);
}

static void test_nothing(void **state) {
  (void)state;
  mynah_precision *p;
  mynah_precision_result r;
  const mynah_box one = box_at(0, 0, 0, 10, 10, 0.5f);
  assert_int_equal(mynah_precision_create(1, &p), MYNAH_OK);
  assert_int_equal(mynah_precision_add(p, NULL, 0, &one, 1), MYNAH_OK);
  assert_int_equal(mynah_precision_finish(p, &r, NULL), MYNAH_OK);
  assert_true(isnan(r.map50) && isnan(r.map50_95));
  mynah_precision_destroy(p);
  assert_int_equal(mynah_precision_create(1, &p), MYNAH_OK);
  assert_int_equal(mynah_precision_add(p, &one, 1, NULL, 0), MYNAH_OK);
  assert_int_equal(mynah_precision_finish(p, &r, NULL), MYNAH_OK);
  assert_near(r.map50, 0, 0);
  mynah_precision_destroy(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_pycocotools), cmocka_unit_test(test_by_hand),
                                     cmocka_unit_test(test_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
