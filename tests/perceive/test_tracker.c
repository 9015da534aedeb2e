/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Assignments against all permutations; tracks through crossings, gaps, late pictures and weak boxes. */
#include "src/perceive/perceive_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

/* ---- assignment ------------------------------------------------------------------------------------------------------------ */

/* The least total over all ways, a row alone costing half of NEVER. */
static double least(const double *cost, int rows, int cols, int row, unsigned taken) {
  if (row == rows) return 0;
  double found = MYNAH__ASSIGN_NEVER / 2 + least(cost, rows, cols, row + 1, taken);
  for (int j = 0; j < cols; j++)
    if (!(taken >> j & 1)) found = fmin(found, cost[row * cols + j] + least(cost, rows, cols, row + 1, taken | 1u << j));
  return found;
}

static void test_assignment(void **state) {
  static mynah__assign_room room;
  mynah_rng r = mynah_rng_make(1, 1);
  for (int round = 0; round < 400; round++) {
    int rows = 1 + (int)mynah_rng_below(&r, 6), cols = (int)mynah_rng_below(&r, 7), column_of[6];
    double cost[42] = {0}, total = 0;
    for (int i = 0; i < rows * cols; i++) cost[i] = mynah_rng_below(&r, 3) ? mynah_rng_uniform(&r) : MYNAH__ASSIGN_NEVER;
    mynah__assign(&room, cost, rows, cols, column_of);
    unsigned taken = 0;
    for (int i = 0; i < rows; i++) {
      total += column_of[i] < 0 ? MYNAH__ASSIGN_NEVER / 2 : cost[i * cols + column_of[i]];
      if (column_of[i] < 0) continue;
      assert_true(cost[i * cols + column_of[i]] < 1 && !(taken >> column_of[i] & 1));
      taken |= 1u << column_of[i];
    }
    double due = least(cost, rows, cols, 0, 0);
    if (fabs(total - due) > 1e-6) fail_msg("round %d: %g, not %g", round, total, due);
  }
}

/* ---- tracks ------------------------------------------------------------------------------------------------------------------- */

#define STEP_NS 50000000 /* 20 Hz */

static mynah_box box_at(double x, double y, double size, float confidence) {
  float h = (float)size / 2;
  return (mynah_box){(float)x - h, (float)y - h, (float)x + h, (float)y + h, confidence, 0, -7};
}

static mynah_tracker *tracker(void) {
  mynah_tracker *t;
  ok(mynah_tracker_create(NULL, &t));
  return t;
}

/* Two balls pass each other; their ids stay with them. */
static void test_crossing(void **state) {
  mynah_tracker *t = tracker();
  for (int i = 0; i < 60; i++) {
    mynah_box boxes[2] = {box_at(100 + 6 * i, 100, 40, 0.9f), box_at(460 - 6 * i, 125, 40, 0.9f)};
    mynah_tracker_update(t, (int64_t)i * STEP_NS, boxes, 2);
    assert_int_equal(boxes[0].id, 0);
    assert_int_equal(boxes[1].id, 1);
  }
  int n;
  const mynah_tracked *all = mynah_tracker_all(t, &n);
  assert_int_equal(n, 2);
  assert_true(fabsf(all[0].vx - 120) < 3 && fabsf(all[1].vx + 120) < 3 && fabsf(all[0].vy) < 3);
  mynah_tracker_destroy(t);
}

/* Hidden for less than a second: the same id, and the box is shown where it must be. Longer: another. */
static void test_gaps(void **state) {
  mynah_tracker *t = tracker();
  int n;
  for (int i = 0; i < 100; i++) {
    mynah_box b = box_at(50 + 4 * i, 80, 60, 0.8f);
    bool is_hidden = (i >= 30 && i < 42) || (i >= 60 && i < 90);
    mynah_tracker_update(t, (int64_t)i * STEP_NS, &b, !is_hidden);
    const mynah_tracked *all = mynah_tracker_all(t, &n);
    if (i < 60) {
      assert_int_equal(n, 1);
      assert_int_equal(all[0].box.id, 0);
      if (fabs((double)(all[0].box.x1 + all[0].box.x2) / 2 - (50 + 4 * i)) > 4) fail_msg("step %d: %g", i, (double)(all[0].box.x1 + 30));
    }
    if (i == 41) assert_int_equal(all[0].seen_ns, (int64_t)29 * STEP_NS);
    if (i == 88) assert_int_equal(n, 0);
    if (i == 99) assert_int_equal(b.id, 1);
  }
  mynah_tracker_destroy(t);
}

/* Pictures come when they come: what counts is their time. */
static void test_true_times(void **state) {
  mynah_tracker *t = tracker();
  mynah_rng r = mynah_rng_make(2, 2);
  int64_t now = 0;
  for (int i = 0; i < 60; i++) {
    mynah_box b = box_at(50 + 200e-9 * (double)now, 100, 60, 0.8f); /* 200 px/s */
    mynah_tracker_update(t, now, &b, 1);
    assert_int_equal(b.id, 0);
    now += (int64_t)mynah_rng_range(&r, 10e6, 200e6);
  }
  int n;
  assert_true(fabsf(mynah_tracker_all(t, &n)[0].vx - 200) < 5);
  mynah_tracker_destroy(t);
}

/* No picture for longer than track.age: the box in the next one is another object's, however well it fits. */
static void test_long_gap(void **state) {
  mynah_tracker *t = tracker();
  mynah_box b = box_at(100, 100, 40, 0.9f);
  int n;
  mynah_tracker_update(t, 0, &b, 1);
  mynah_tracker_update(t, INT64_C(1000000000), &b, 1); /* just in time */
  assert_int_equal(b.id, 0);
  mynah_tracker_update(t, INT64_C(2000000001), &b, 1);
  assert_int_equal(b.id, -1);
  (void)mynah_tracker_all(t, &n);
  assert_int_equal(n, 0);
  mynah_tracker_update(t, INT64_C(2000000001) + STEP_NS, &b, 1);
  assert_int_equal(b.id, 1);
  mynah_tracker_destroy(t);
}

/* A weak box continues a track and begins none; a box seen once gets no id; other classes are other tracks. */
static void test_scores(void **state) {
  mynah_tracker *t = tracker();
  int n;
  mynah_box b = box_at(100, 100, 40, 0.9f);
  mynah_tracker_update(t, 0, &b, 1);
  assert_int_equal(b.id, 0);
  mynah_box two[2] = {box_at(100, 100, 40, 0.15f), box_at(300, 100, 40, 0.15f)};
  mynah_tracker_update(t, STEP_NS, two, 2);
  assert_true(two[0].id == 0 && two[1].id == -1);
  mynah_box other = box_at(100, 100, 40, 0.9f);
  other.label = 1;
  mynah_tracker_update(t, 2 * STEP_NS, &other, 1);
  assert_int_equal(other.id, -1);
  (void)mynah_tracker_all(t, &n);
  assert_int_equal(n, 1);
  mynah_tracker_update(t, 3 * STEP_NS, &other, 1);
  assert_int_equal(other.id, 1);
  mynah_tracker_reset(t);
  mynah_tracker_update(t, 0, &other, 1);
  assert_int_equal(other.id, 0);
  mynah_tracker_destroy(t);
}

/* More boxes than there is room for, empty boxes, times that stand still. */
static void test_limits(void **state) {
  static mynah_box many[700];
  mynah_tracker *t = tracker();
  int n;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 700; i++) many[i] = box_at(30 * (i % 30), 30 * i / 30, i % 7 ? 20 : 0, 0.9f);
    mynah_tracker_update(t, 0, many, 700);
  }
  (void)mynah_tracker_all(t, &n);
  assert_true(n <= 256);
  mynah_tracker_destroy(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_assignment), cmocka_unit_test(test_crossing), cmocka_unit_test(test_gaps),
                                     cmocka_unit_test(test_true_times), cmocka_unit_test(test_long_gap), cmocka_unit_test(test_scores),
                                     cmocka_unit_test(test_limits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
