/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random numbers: published answers, positions, distributions, vector widths, permutations. */
#include <mynah/base.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
void mynah__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
void mynah__rng_fill_normal_plain(mynah_rng *r, float *out, size_t n);

/* The known answers of Random123 for philox4x32 with 10 rounds. */
static void test_known_answers(void **state) {
  static const uint32_t rows[3][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                       {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                       {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
                                        0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int i = 0; i < 3; i++) {
    uint32_t out[4];
    mynah__philox(rows[i], rows[i] + 4, out);
    assert_memory_equal(out, rows[i] + 6, sizeof out);
  }
  mynah_rng r = mynah_rng_make(0, 0);
  for (int i = 0; i < 4; i++) assert_int_equal(mynah_rng_u32(&r), rows[0][6 + i]);
}

static void test_position_decides(void **state) {
  uint32_t all[40];
  mynah_rng r = mynah_rng_make(12345, 7);
  for (int i = 0; i < 40; i++) all[i] = mynah_rng_u32(&r);
  for (uint64_t p = 0; p + 2 < 40; p++) {
    r = mynah_rng_make(12345, 7);
    r.position = p;
    uint64_t wide = mynah_rng_u64(&r);
    assert_int_equal(wide, all[p] | (uint64_t)all[p + 1] << 32);
    assert_int_equal(r.position, p + 2);
    assert_int_equal(mynah_rng_u32(&r), all[p + 2]);
  }
  mynah_rng other = mynah_rng_make(12345, 8), another = mynah_rng_make(12346, 7);
  assert_int_not_equal(mynah_rng_u64(&other), all[0] | (uint64_t)all[1] << 32);
  assert_int_not_equal(mynah_rng_u64(&another), all[0] | (uint64_t)all[1] << 32);
}

static void test_uniform_and_below(void **state) {
  mynah_rng r = mynah_rng_make(1, 1);
  double sum = 0;
  int hits[7] = {0};
  for (int i = 0; i < 100000; i++) {
    double u = mynah_rng_uniform(&r);
    assert_true(u >= 0 && u < 1);
    sum += u;
    uint64_t k = mynah_rng_below(&r, 7);
    assert_true(k < 7);
    hits[k]++;
  }
  assert_true(fabs(sum / 100000 - 0.5) < 0.004); /* four standard errors */
  for (int k = 0; k < 7; k++) assert_true(abs(hits[k] - 14286) < 450);
  assert_int_equal(mynah_rng_below(&r, 1), 0);
  double v = mynah_rng_range(&r, -2, -1);
  assert_true(v >= -2 && v < -1);
}

static void test_normal_moments(void **state) {
  enum { N = 400000 };
  static float v[N];
  mynah_rng r = mynah_rng_make(3, 0);
  mynah_rng_fill_normal(&r, v, N);
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, neighbours = 0;
  int beyond_3 = 0;
  for (int i = 0; i < N; i++) {
    double x = (double)v[i];
    assert_true(isfinite(x) && fabs(x) < 7);
    m1 += x;
    m2 += x * x;
    m3 += x * x * x;
    m4 += x * x * x * x;
    if (i > 0) neighbours += x * (double)v[i - 1];
    beyond_3 += fabs(x) > 3;
  }
  assert_true(fabs(m1 / N) < 0.0065);
  assert_true(fabs(m2 / N - 1) < 0.009);
  assert_true(fabs(m3 / N) < 0.025);
  assert_true(fabs(m4 / N - 3) < 0.065);
  assert_true(fabs(neighbours / N) < 0.0065);
  assert_true(abs(beyond_3 - 1080) < 140);
}

/* Against the formula in double, from the same draws (u rounded to float): error of log, sine and cosine together. */
static void test_normal_accuracy(void **state) {
  enum { N = 100000 };
  static float v[N];
  double worst = 0;
  mynah_rng r = mynah_rng_make(5, 9), raw = mynah_rng_make(5, 9);
  mynah_rng_fill_normal(&r, v, N);
  for (int i = 0; i < N; i += 2) {
    uint32_t a = mynah_rng_u32(&raw), b = mynah_rng_u32(&raw);
    double u = (double)(((float)(int32_t)(a >> 1) + 0.5f) * 0x1p-31f);
    double radius = sqrt(-2 * log(u)), angle = 2 * acos(-1) * (double)b / 0x1p32;
    worst = fmax(worst, fabs((double)v[i] - radius * cos(angle)));
    worst = fmax(worst, fabs((double)v[i + 1] - radius * sin(angle)));
  }
  if (!(worst < 1e-6)) fail_msg("worst error %g", worst);
}

static void test_normal_cuts_and_widths_agree(void **state) {
  float whole[1000], cut[1000], plain[1000];
  mynah_rng r = mynah_rng_make(11, 22), p = r;
  mynah_rng_fill_normal(&r, whole, 1000);
  assert_int_equal(r.position, 1000);
  mynah__rng_fill_normal_plain(&p, plain, 1000);
  assert_memory_equal(whole, plain, sizeof whole);
  r = mynah_rng_make(11, 22);
  for (size_t at = 0, n = 1; at < 1000; at += n, n = n * 5 % 313 + 1) {
    if (n > 1000 - at) n = 1000 - at;
    mynah_rng_fill_normal(&r, cut + at, n);
  }
  assert_memory_equal(whole, cut, sizeof whole);
  r = mynah_rng_make(11, 22);
  for (int i = 0; i < 1000; i++) assert_true((float)mynah_rng_normal(&r) == whole[i]);
}

static void test_permute(void **state) {
  static uint8_t is_seen[5000];
  for (uint64_t n = 1; n < 5000; n = n * 3 / 2 + 1) {
    memset(is_seen, 0, sizeof is_seen);
    for (uint64_t i = 0; i < n; i++) {
      uint64_t k = mynah_rng_permute(i, n, 42);
      assert_true(k < n && !is_seen[k]);
      is_seen[k] = 1;
    }
  }
  int n_fixed = 0, n_same = 0;
  for (uint64_t i = 0; i < 1000; i++) {
    n_fixed += mynah_rng_permute(i, 1000, 1) == i;
    n_same += mynah_rng_permute(i, 1000, 1) == mynah_rng_permute(i, 1000, 2);
  }
  assert_true(n_fixed < 10 && n_same < 10); /* one each is expected */
  assert_true(mynah_rng_permute(UINT64_MAX - 1, UINT64_MAX, 5) < UINT64_MAX);
}

/* How often the first element comes to each place over many seeds: flat. */
static void test_permute_is_flat(void **state) {
  int hits[10] = {0};
  for (uint64_t seed = 0; seed < 20000; seed++) hits[mynah_rng_permute(0, 10, seed)]++;
  for (int k = 0; k < 10; k++) assert_true(abs(hits[k] - 2000) < 190);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_answers),     cmocka_unit_test(test_position_decides),
      cmocka_unit_test(test_uniform_and_below), cmocka_unit_test(test_normal_moments),
      cmocka_unit_test(test_normal_accuracy),   cmocka_unit_test(test_normal_cuts_and_widths_agree),
      cmocka_unit_test(test_permute),           cmocka_unit_test(test_permute_is_flat)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
