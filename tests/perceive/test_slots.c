/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Slots: lists in text, order, holding, no swapping, the feature and its mirror. */
#include <mynah/perceive.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *const classes[] = {"ball", "cone", "car"};
#define SECOND 1000000000

static mynah_status make(const char *list, bool has_motion, mynah_slots **out) {
  mynah_slots_config c;
  mynah_config_default(&mynah_slots_table, &c);
  snprintf(c.slots, sizeof c.slots, "%s", list);
  c.has_motion = has_motion;
  return mynah_slots_create_named(&c, classes, 3, out);
}

static mynah_slots *slots(const char *list, bool has_motion) {
  mynah_slots *s;
  if (make(list, has_motion, &s) != MYNAH_OK) fail_msg("%s", mynah_error());
  return s;
}

static mynah_tracked at(int label, int64_t id, float x, float size, int64_t seen_ns) {
  return (mynah_tracked){{x, 0, x + size, size, 0.5f, label, id}, 10, 20, seen_ns};
}

static void near(float got, double want) {
  if (fabs((double)got - want) > 1e-5) fail_msg("%g, not %g", (double)got, want);
}

static void test_feature(void **state) {
  mynah_slots *s = slots("cone*2@left, ball!", false);
  mynah_feature f = mynah_slots_feature(s);
  assert_string_equal(f.name, "observation.environment_state");
  assert_int_equal(mynah_feature_size(&f), 15);
  assert_non_null(strstr(f.names, "obj.cone.1.cx,obj.cone.1.cy"));
  assert_non_null(strstr(f.names, "obj.ball.0.h"));
  assert_false(f.is_mirrorable); /* the leftmost of a mirrored picture is another */
  assert_int_equal(mynah_feature_check(&f), MYNAH_OK);
  mynah_slots_destroy(s);
  s = slots("ball", true);
  f = mynah_slots_feature(s);
  assert_int_equal(mynah_feature_size(&f), 9);
  float x[9] = {1, 0.25f, 0.5f, 0.1f, 0.2f, 0.9f, 3, 4, 0};
  mynah_feature_apply_mirror(&f, x);
  near(x[1], 0.75), near(x[2], 0.5), near(x[6], -3), near(x[7], 4);
  mynah_slots_destroy(s);
}

/* The larger ball is taken; when the other grows, the slot stays; hidden, it waits, then takes the other. */
static void test_holding(void **state) {
  mynah_slots *s = slots("ball!", true);
  float out[9];
  mynah_tracked two[2] = {at(0, 5, 0, 10, 0), at(0, 6, 50, 20, 0)};
  mynah_slots_update(s, two, 2, 0, 100, 100, out);
  near(out[0], 1), near(out[1], 0.6), near(out[3], 0.2), near(out[5], 0.5), near(out[6], 0.1), near(out[7], 0.2), near(out[8], 0);
  two[0] = at(0, 5, 0, 90, SECOND / 10), two[1] = at(0, 6, 60, 20, SECOND / 10);
  mynah_slots_update(s, two, 2, SECOND / 10, 100, 100, out);
  near(out[1], 0.7);
  two[0].seen_ns = SECOND / 2; /* ball 6 is hidden, its track lives on */
  mynah_slots_update(s, two, 2, SECOND / 2, 100, 100, out);
  near(out[0], 0), near(out[1], 0.7), near(out[8], 0.4);
  assert_false(mynah_slots_is_lost(s));
  two[0].seen_ns = SECOND;
  mynah_slots_update(s, two, 2, SECOND, 100, 100, out);
  near(out[0], 1), near(out[1], 0.45), near(out[8], 0);
  mynah_slots_update(s, NULL, 0, 2 * (int64_t)SECOND, 100, 100, out);
  near(out[0], 0), near(out[1], 0.45), near(out[8], 1);
  assert_true(mynah_slots_is_lost(s));
  mynah_slots_reset(s);
  assert_false(mynah_slots_is_lost(s));
  mynah_slots_update(s, NULL, 0, 0, 100, 100, out);
  near(out[0], 0), near(out[1], 0);
  mynah_slots_destroy(s);
}

/* Two cones cross from left to right: each keeps its slot. */
static void test_no_swap(void **state) {
  mynah_slots *s = slots("cone*2@left", false);
  float out[10];
  for (int i = 0; i < 20; i++) {
    int64_t now = (int64_t)i * SECOND / 20;
    mynah_tracked two[2] = {at(1, 3, (float)(80 - 4 * i), 10, now), at(1, 4, (float)(4 * i), 10, now)};
    mynah_slots_update(s, two, 2, now, 100, 100, out);
    near(out[1], (4.0 * i + 5) / 100), near(out[6], (85 - 4.0 * i) / 100);
  }
  mynah_slots_destroy(s);
}

static void test_refused(void **state) {
  static const char *const bad[] = {"", "zebra", "ball,", "ball*0", "ball*x", "ball*17", "ball@biggest", "ball,ball", "ball*99999999999999999999", ",", "!"};
  mynah_slots *s;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (make(bad[i], false, &s) == MYNAH_OK) fail_msg("'%s' was taken", bad[i]);
  assert_int_equal(make("ball*16", true, &s), MYNAH_LIMIT); /* names too long together */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_feature), cmocka_unit_test(test_holding), cmocka_unit_test(test_no_swap),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
