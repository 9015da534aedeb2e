/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Wilson's interval against known values; the bootstrap's coverage. */
#include <mynah/run.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void near(double a, double b, double tolerance) { assert_true(fabs(a - b) <= tolerance); }

/* Values from the formula worked by hand with z = 1.959964 (Brown, Cai, DasGupta 2001 use the same form). */
static void wilson_values(void **state) {
  (void)state;
  mynah_interval v = mynah_wilson(8, 10);
  near(v.value, 0.8, 1e-15);
  near(v.low, 0.490162, 1e-5);
  near(v.high, 0.943318, 1e-5);
  v = mynah_wilson(0, 10);
  near(v.low, 0, 0);
  near(v.high, 0.277533, 1e-5);
  v = mynah_wilson(10, 10);
  near(v.low, 1 - 0.277533, 1e-5);
  near(v.high, 1, 0);
  assert_true(isnan(mynah_wilson(0, 0).value));
}

static void bootstrap_of_a_constant(void **state) {
  (void)state;
  double x[5] = {2, 2, 2, 2, 2};
  mynah_interval v;
  assert_int_equal(mynah_bootstrap_mean(x, 5, 1, &v), MYNAH_OK);
  near(v.value, 2, 0);
  near(v.low, 2, 0);
  near(v.high, 2, 0);
}

/* Of 200 samples of 40 normal numbers, about 95 % of the intervals hold the true mean (percentile bootstrap: a little less). */
static void bootstrap_coverage(void **state) {
  (void)state;
  mynah_rng rng = mynah_rng_make(5, 0);
  int n_hits = 0;
  for (int t = 0; t < 200; t++) {
    double x[40];
    for (int i = 0; i < 40; i++) x[i] = 1 + mynah_rng_normal(&rng);
    mynah_interval v;
    assert_int_equal(mynah_bootstrap_mean(x, 40, (uint64_t)t, &v), MYNAH_OK);
    n_hits += v.low <= 1 && 1 <= v.high;
  }
  assert_in_range(n_hits, 176, 199);
}

static void ratio_weighs(void **state) {
  (void)state;
  double x[3] = {1, 0, 3}, w[3] = {10, 10, 20};
  mynah_interval v;
  assert_int_equal(mynah_bootstrap_ratio(x, w, 3, 1, &v), MYNAH_OK);
  near(v.value, 0.1, 1e-15);
  assert_true(v.low <= v.value && v.value <= v.high);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(wilson_values), cmocka_unit_test(bootstrap_of_a_constant),
                                     cmocka_unit_test(bootstrap_coverage), cmocka_unit_test(ratio_weighs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
