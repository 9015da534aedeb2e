/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Slots in training: boxes jitter and objects are lost as often as the keys say, alike in all frames of a sample. */
#include "src/feed/feed_internal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define SAMPLES 4000
static const char names[] = "obj.ball.0.valid,obj.ball.0.cx,obj.ball.0.cy,obj.ball.0.w,obj.ball.0.h,obj.ball.0.conf,"
                            "obj.car.0.valid,obj.car.0.cx,obj.car.0.cy,obj.car.0.w,obj.car.0.h,obj.car.0.conf";
static const float state_of[12] = {1, 0.5f, 0.5f, 0.2f, 0.4f, 0.9f, 0, 0.1f, 0.2f, 0.3f, 0.4f, 0};

static void test_lost_and_moved(void **state) {
  mynah_feature f = mynah_feature_vector("observation.environment_state", 12, names, "");
  mynah_feed_config c;
  mynah_config_default(&mynah_feed_table, &c);
  c.slots_drop = 0.25;
  c.slots_jitter = 0.02;
  int n_lost = 0;
  double sum = 0, squares = 0;
  for (int i = 0; i < SAMPLES; i++) {
    mynah__augmentation a = {.slots = (uint64_t)i};
    float x[12], again[12];
    memcpy(x, state_of, sizeof x);
    memcpy(again, state_of, sizeof x);
    mynah__augment_slots(&a, &c, &f, x);
    mynah__augment_slots(&a, &c, &f, again);
    assert_memory_equal(x, again, sizeof x);
    assert_memory_equal(x + 6, state_of + 6, 6 * sizeof *x); /* what was not seen stays */
    bool is_lost = x[0] < 0.5f;
    n_lost += is_lost;
    assert_true(is_lost ? x[5] <= 0 : x[5] > 0.8f);
    sum += (double)x[1] - 0.5;
    squares += ((double)x[1] - 0.5) * ((double)x[1] - 0.5);
    assert_true(fabsf(x[3] - 0.2f) < 0.04f && x[4] > 0);
  }
  assert_in_range(n_lost, SAMPLES / 4 - 150, SAMPLES / 4 + 150);
  assert_true(fabs(sum / SAMPLES) < 0.002 && fabs(sqrt(squares / SAMPLES) - 0.02) < 0.002);
}

static void test_others_stay(void **state) {
  mynah_feature plain = mynah_feature_vector("observation.state", 2, "a,b", ""),
                slots = mynah_feature_vector("observation.environment_state", 12, names, "");
  mynah_feed_config c;
  mynah_config_default(&mynah_feed_table, &c);
  float x[12];
  memcpy(x, state_of, sizeof x);
  mynah__augment_slots(&(mynah__augmentation){.slots = 1}, &c, &slots, x); /* both keys are 0 */
  assert_memory_equal(x, state_of, sizeof x);
  c.slots_drop = 1;
  mynah__augment_slots(&(mynah__augmentation){.slots = 1}, &c, &plain, x);
  assert_memory_equal(x, state_of, sizeof x);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lost_and_moved), cmocka_unit_test(test_others_stay)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
