/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Resampling against the plain definition of area averaging and bilinear interpolation. */
#include <mynah/base.h>

#include <math.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* Weight of source pixel i in output pixel o along one axis, straight from the definitions. */
static double weight(int o, int i, int in, int out) {
  double scale = (double)in / out;
  if (in >= out) {
    double low = fmax(o * scale, i), high = fmin((o + 1) * scale, i + 1);
    return high > low ? (high - low) / scale : 0;
  }
  double at = fmin(fmax((o + 0.5) * scale - 0.5, 0), in - 1);
  return fmax(0, 1 - fabs(at - i));
}

static double reference(const mynah_image *in, const int part[4], const mynah_image *out, int x, int y, int c) {
  double sum = 0;
  for (int j = 0; j < part[3]; j++) {
    double down = weight(y, j, part[3], out->height);
    for (int i = 0; down > 0 && i < part[2]; i++) {
      double across = weight(x, i, part[2], out->width);
      if (across > 0) sum += down * across * in->data[((part[1] + j) * in->width + part[0] + i) * 3 + c];
    }
  }
  return sum;
}

static void compare(int in_w, int in_h, const int part[4], int out_w, int out_h) {
  mynah_rng r = mynah_rng_make(1, (uint64_t)(in_w * 1000 + out_w));
  mynah_image in = {mynah_alloc((size_t)(in_w * in_h * 3)), in_w, in_h},
              out = {mynah_alloc((size_t)(out_w * out_h * 3)), out_w, out_h};
  for (int i = 0; i < in_w * in_h * 3; i++) in.data[i] = (uint8_t)mynah_rng_u32(&r);
  memset(out.data, 0xa5, (size_t)(out_w * out_h * 3));
  assert_int_equal(mynah_alloc_trap(true), 0);
  mynah_image_resample(&in, part[0], part[1], part[2], part[3], &out);
  assert_int_equal(mynah_alloc_trap(false), 0);
  for (int y = 0; y < out_h; y++)
    for (int x = 0; x < out_w; x++)
      for (int c = 0; c < 3; c++) {
        double want = reference(&in, part, &out, x, y, c), got = out.data[(y * out_w + x) * 3 + c];
        if (fabs(got - want) > 0.5 + 1e-6)
          fail_msg("%dx%d -> %dx%d: (%d,%d,%d) is %g, should be %g", part[2], part[3], out_w, out_h, x, y, c, got,
                   want);
      }
  mynah_image_deinit(&in);
  mynah_image_deinit(&out);
}

static void test_against_definition(void **state) {
  compare(20, 10, (int[]){0, 0, 20, 10}, 10, 5);    /* halves */
  compare(20, 10, (int[]){3, 2, 13, 7}, 5, 3);      /* a part, uneven */
  compare(20, 10, (int[]){0, 0, 20, 10}, 1, 1);     /* the mean */
  compare(7, 5, (int[]){0, 0, 7, 5}, 20, 16);       /* growing */
  compare(7, 50, (int[]){1, 0, 5, 50}, 20, 16);     /* growing across, shrinking down */
  compare(1, 1, (int[]){0, 0, 1, 1}, 4, 4);         /* one pixel */
  compare(1400, 3, (int[]){0, 0, 1400, 3}, 700, 3); /* several strips */
  compare(1500, 2, (int[]){0, 0, 1500, 2}, 2, 1);   /* a column wider than a strip */
  compare(3, 2, (int[]){0, 0, 3, 2}, 1300, 2);      /* several strips of growing */
  compare(320, 160, (int[]){0, 40, 320, 100}, 160, 66);
}

static void test_same_size_copies(void **state) {
  uint8_t in[4 * 4 * 3], out[2 * 2 * 3];
  for (int i = 0; i < 48; i++) in[i] = (uint8_t)i;
  const mynah_image from = {in, 4, 4};
  mynah_image to = {out, 2, 2};
  mynah_image_resample(&from, 1, 2, 2, 2, &to);
  assert_memory_equal(out, in + (2 * 4 + 1) * 3, 6);
  assert_memory_equal(out + 6, in + (3 * 4 + 1) * 3, 6);
}

static void test_outside_is_left_alone(void **state) {
  uint8_t in[12] = {0}, out[3] = {7, 7, 7};
  const mynah_image from = {in, 2, 2};
  mynah_image to = {out, 1, 1};
  mynah_image_resample(&from, 1, 0, 2, 2, &to);
  mynah_image_resample(&from, -1, 0, 1, 1, &to);
  mynah_image_resample(&from, 0, 0, 0, 2, &to);
  mynah_image_resample(&from, 2147483647, 0, 1, 1, &to);
  assert_int_equal(out[0] + out[1] + out[2], 21);
}

/* White stays white and black black at any ratio, also at the largest sizes. */
static void test_extremes(void **state) {
  enum { N = MYNAH_IMAGE_MAX_SIDE };
  mynah_image in = {mynah_alloc((size_t)N * 3 * 3), N, 3}, out = {mynah_alloc(100 * 2 * 3), 100, 2};
  memset(in.data, 255, (size_t)N * 3 * 3);
  mynah_image_resample(&in, 0, 0, N, 3, &out);
  for (int i = 0; i < 600; i++) assert_int_equal(out.data[i], 255);
  out.width = 3, out.height = 3;
  mynah_image_resample(&in, 0, 0, N, 3, &out);
  for (int i = 0; i < 27; i++) assert_int_equal(out.data[i], 255);
  mynah_image_deinit(&in);
  mynah_image_deinit(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_definition), cmocka_unit_test(test_same_size_copies),
                                     cmocka_unit_test(test_outside_is_left_alone), cmocka_unit_test(test_extremes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
