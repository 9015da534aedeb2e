/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The last layer before a motor: whatever is asked for, no limit is passed; what is asked for within limits is done. */
#include <mynah/run.h>

#include "support/soak.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define N 4
#define RATE 100.0

static const mynah_limits limits[N] = {
    {-1, 1, 2, 20, 400},
    {-3.1, 2.5, 0.7, 3, 0},
    {0, 10, 0, 50, 5000},
    {-1, 1, 0, 0, 0},
};

/* Numbers as a broken policy, an attacker or a sensor may give them. */
static float adversary(mynah_rng *r, int64_t t) {
  switch (mynah_rng_below(r, 12)) {
    case 0: return NAN;
    case 1: return INFINITY;
    case 2: return -INFINITY;
    case 3: return FLT_MAX;
    case 4: return -FLT_MIN;
    case 5: return t / 7 % 2 ? 1e6f : -1e6f;
    case 6: return (float)mynah_rng_normal(r) * 100;
    case 7: return t / 50 % 2 ? 1.0f : -1.0f;
    default: return (float)mynah_rng_normal(r);
  }
}

/* Velocity, acceleration and jerk by differences of the commands, in double; float commands carry their rounding. */
typedef struct watch {
  double x, v, a;
} watch;

static void check_joint(const mynah_limits *l, watch *w, float command, int64_t t) {
  double x = (double)command, v = (x - w->x) * RATE, a = (v - w->v) * RATE, jerk = (a - w->a) * RATE;
  double step = 4 * FLT_EPSILON * fmax(fabs(x), 1); /* of the command's rounding */
  if (!(x >= l->low - step && x <= l->high + step)) fail_msg("step %lld: %g is outside %g … %g", (long long)t, x, l->low, l->high);
  if (l->velocity > 0 && fabs(v) > l->velocity + step * RATE) fail_msg("step %lld: velocity %g", (long long)t, v);
  if (l->acceleration > 0 && fabs(a) > l->acceleration + 4 * step * RATE * RATE) fail_msg("step %lld: acceleration %g", (long long)t, a);
  if (l->jerk > 0 && fabs(jerk) > l->jerk + 8 * step * RATE * RATE * RATE) fail_msg("step %lld: jerk %g", (long long)t, jerk);
  *w = (watch){x, v, a};
}

static void nothing_passes_the_limits(void **state) {
  (void)state;
  mynah_safety *s;
  float pose[N] = {0.5f, -1, 3, 0}, target[N], command[N];
  watch w[N];
  mynah_rng r = mynah_rng_make(5, 0);
  int64_t n = mynah_test_soak_seconds() > 0 ? 25000000 : 200000; /* times N actions */
  assert_int_equal(mynah_safety_create(limits, N, RATE, &s), MYNAH_OK);
  mynah_safety_start(s, pose);
  for (int k = 0; k < N; k++) w[k] = (watch){(double)pose[k], 0, 0};
  for (int64_t t = 0; t < n; t++) {
    for (int k = 0; k < N; k++)
      if (mynah_rng_below(&r, 1 + (uint64_t)(t / 1000 % 30)) == 0) target[k] = adversary(&r, t);
    if (t % 5000 > 4900) mynah_safety_brake(s, command);
    else mynah_safety_step(s, target, command);
    for (int k = 0; k < N; k++) check_joint(&limits[k], &w[k], command[k], t);
  }
  print_message("%lld adversarial actions, none outside the limits\n", (long long)n * N);
  mynah_safety_destroy(s);
}

static void targets_are_reached(void **state) {
  (void)state;
  mynah_safety *s;
  float pose[N] = {0, 0, 5, 0}, target[N] = {0.9f, -2, 1, -0.25f}, command[N];
  assert_int_equal(mynah_safety_create(limits, N, RATE, &s), MYNAH_OK);
  mynah_safety_start(s, pose);
  assert_true(mynah_safety_step(s, target, command) & MYNAH_FAULT_FAR_START);
  assert_float_equal(command[3], -0.25, 1e-6); /* nothing but positions is limited */
  for (int t = 0; t < 600; t++) mynah_safety_step(s, target, command);
  for (int k = 0; k < N; k++) assert_float_equal(command[k], target[k], 1e-3);
  assert_int_equal(mynah_safety_step(s, target, command) & ~(unsigned)MYNAH_FAULT_LIMITED, 0);
  mynah_safety_destroy(s);
}

static void brakes_to_rest(void **state) {
  (void)state;
  mynah_safety *s;
  float pose[N] = {-1, -3, 0, 0}, target[N] = {1, 2, 10, 1}, command[N], before[N];
  assert_int_equal(mynah_safety_create(limits, N, RATE, &s), MYNAH_OK);
  mynah_safety_start(s, pose);
  for (int t = 0; t < 40; t++) mynah_safety_step(s, target, command);
  for (int t = 0; t < 300; t++) mynah_safety_brake(s, command);
  for (int k = 0; k < N; k++) before[k] = command[k];
  mynah_safety_brake(s, command);
  for (int k = 0; k < N; k++) assert_float_equal(command[k], before[k], 1e-6);
  mynah_safety_destroy(s);
}

static void wrong_limits_are_refused(void **state) {
  (void)state;
  mynah_safety *s;
  assert_int_equal(mynah_safety_create(&(mynah_limits){2, 1, 0, 0, 0}, 1, 50, &s), MYNAH_INVALID);
  assert_int_equal(mynah_safety_create(&(mynah_limits){0, 1, NAN, 0, 0}, 1, 50, &s), MYNAH_INVALID);
  assert_int_equal(mynah_safety_create(&(mynah_limits){0, 1, 0, -1, 0}, 1, 50, &s), MYNAH_INVALID);
  assert_int_equal(mynah_safety_create(&(mynah_limits){0, 1, 0, 0, 0}, 1, 0, &s), MYNAH_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_passes_the_limits), cmocka_unit_test(targets_are_reached),
                                     cmocka_unit_test(brakes_to_rest), cmocka_unit_test(wrong_limits_are_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
