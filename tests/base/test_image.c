/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JPEG and PNG: there and back, every kind of pixel, damaged and oversized files, failing memory. */
#include <mynah/base.h>

#include "support/shared.h"
#include "support/torture.h"

#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#define W 61
#define H 47
static uint8_t pixels[H][W][3];
static const mynah_image picture = {.data = &pixels[0][0][0], .width = W, .height = H};

static int paint(void **state) {
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) {
      pixels[y][x][0] = (uint8_t)(4 * x);
      pixels[y][x][1] = (uint8_t)(5 * y);
      pixels[y][x][2] = (uint8_t)(2 * (x + y));
    }
  return 0;
}

static void test_png_is_exact(void **state) {
  mynah_str s = {0};
  mynah_image back = {0};
  assert_int_equal(mynah_png_encode(&picture, &s), MYNAH_OK);
  assert_int_equal(mynah_image_decode(s.data, s.length, 0, 0, &back), MYNAH_OK);
  assert_int_equal(back.width, W);
  assert_int_equal(back.height, H);
  assert_memory_equal(back.data, pixels, sizeof pixels);
  mynah_image_deinit(&back);
  assert_null(back.data);
  mynah_str_deinit(&s);
}

static void test_jpeg_is_near(void **state) {
  mynah_str s = {0};
  mynah_image back = {0};
  assert_int_equal(mynah_jpeg_encode(&picture, 95, &s), MYNAH_OK);
  assert_int_equal(mynah_image_decode(s.data, s.length, 0, 0, &back), MYNAH_OK);
  assert_int_equal(back.width, W);
  assert_int_equal(back.height, H);
  for (size_t i = 0; i < sizeof pixels; i++) assert_true(abs(back.data[i] - picture.data[i]) <= 12);
  mynah_image_deinit(&back);
  assert_int_equal(mynah_jpeg_encode(&picture, 0, &s), MYNAH_INVALID);
  assert_int_equal(mynah_jpeg_encode(&picture, 101, &s), MYNAH_INVALID);
  mynah_str_deinit(&s);
}

static void test_jpeg_reduced(void **state) {
  static uint8_t big[200 * 300 * 3];
  const mynah_image in = {.data = big, .width = 300, .height = 200};
  const int want[][4] = {{75, 50, 75, 50}, {76, 50, 150, 100}, {38, 25, 38, 25},
                         {1, 1, 38, 25},   {301, 1, 300, 200}, {0, 0, 300, 200}};
  mynah_str s = {0};
  assert_int_equal(mynah_jpeg_encode(&in, 80, &s), MYNAH_OK);
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    mynah_image out;
    assert_int_equal(mynah_image_decode(s.data, s.length, want[i][0], want[i][1], &out), MYNAH_OK);
    assert_int_equal(out.width, want[i][2]);
    assert_int_equal(out.height, want[i][3]);
    mynah_image_deinit(&out);
  }
  mynah_str_deinit(&s);
}

/* Every cut of a file is refused, and so is every file with a few bytes changed, or it is read: never a crash. */
static void damage(const mynah_str *file, bool is_jpeg) {
  mynah_image out;
  for (size_t n = 0; n < file->length - (is_jpeg ? 2 : 12); n += 1 + n / 16) {
    char *cut = mynah_alloc(n + 1); /* its own block: reading past the end is seen */
    memcpy(cut, file->data, n);
    if (mynah_image_decode(cut, n, 0, 0, &out) == MYNAH_OK)
      fail_msg("accepted the first %zu of %zu bytes", n, file->length);
    mynah_free(cut);
  }
  mynah_rng r = mynah_rng_make(9, is_jpeg);
  for (int i = 0; i < 400; i++) {
    char *bad = mynah_alloc(file->length);
    memcpy(bad, file->data, file->length);
    for (int k = 0; k < 3; k++) bad[3 + mynah_rng_below(&r, file->length - 3)] = (char)mynah_rng_u32(&r);
    if (mynah_image_decode(bad, file->length, 0, 0, &out) == MYNAH_OK) mynah_image_deinit(&out);
    mynah_free(bad);
  }
}

static void test_damaged(void **state) {
  mynah_str s = {0};
  int64_t blocks = mynah_alloc_count().live_blocks;
  assert_int_equal(mynah_png_encode(&picture, &s), MYNAH_OK);
  damage(&s, false);
  mynah_str_deinit(&s);
  assert_int_equal(mynah_jpeg_encode(&picture, 90, &s), MYNAH_OK);
  damage(&s, true);
  mynah_str_deinit(&s);
  assert_int_equal(mynah_alloc_count().live_blocks, blocks);
}

static void test_refused(void **state) {
  mynah_image out;
  assert_int_equal(mynah_image_decode("", 0, 0, 0, &out), MYNAH_UNSUPPORTED);
  assert_int_equal(mynah_image_decode("GIF89a..........", 16, 0, 0, &out), MYNAH_UNSUPPORTED);
  /* a PNG header that promises 2^31 - 1 by 2^31 - 1, with a right CRC (zlib's CRC-32 of the chunk) */
  static const uint8_t huge[] = {0x89, 'P',  'N',  'G',  13,   10,   26,   10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0x7f,
                                 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 8,  2, 0, 0, 0,  0,   0,   0,   0};
  assert_int_not_equal(mynah_image_decode(huge, sizeof huge, 0, 0, &out), MYNAH_OK);
  /* a JPEG of 65500 x 65500: start, one quantisation table, frame header */
  mynah_str s = {0};
  assert_int_equal(mynah_jpeg_encode(&picture, 90, &s), MYNAH_OK);
  for (size_t i = 0; i + 9 < s.length; i++) {
    if ((uint8_t)s.data[i] != 0xff || (uint8_t)s.data[i + 1] != 0xc0) continue;
    memcpy(s.data + i + 5, "\xff\xdc\xff\xdc", 4);
    break;
  }
  int64_t peak = mynah_alloc_count().peak_bytes;
  assert_int_equal(mynah_image_decode(s.data, s.length, 0, 0, &out), MYNAH_LIMIT);
  assert_int_equal(mynah_alloc_count().peak_bytes, peak); /* refused before anything was allocated */
  mynah_str_deinit(&s);
  const mynah_image empty = {0}, wide = {.data = &pixels[0][0][0], .width = MYNAH_IMAGE_MAX_SIDE + 1, .height = 1};
  assert_int_equal(mynah_png_encode(&empty, &s), MYNAH_INVALID);
  assert_int_equal(mynah_jpeg_encode(&wide, 90, &s), MYNAH_LIMIT);
}

static mynah_status png_there_and_back(void *context) {
  mynah_str s = {0};
  mynah_image out = {0};
  mynah_status status = mynah_png_encode(&picture, &s);
  if (status == MYNAH_OK) status = mynah_image_decode(s.data, s.length, 0, 0, &out);
  mynah_image_deinit(&out);
  mynah_str_deinit(&s);
  return status;
}

static mynah_status jpeg_there_and_back(void *context) {
  mynah_str s = {0};
  mynah_image out = {0};
  mynah_status status = mynah_jpeg_encode(&picture, 90, &s);
  if (status == MYNAH_OK) status = mynah_image_decode(s.data, s.length, 0, 0, &out);
  mynah_image_deinit(&out);
  mynah_str_deinit(&s);
  return status;
}

static void test_torture(void **state) {
  assert_true(mynah_test_torture(png_there_and_back, NULL) > 5);
  assert_true(mynah_test_torture(jpeg_there_and_back, NULL) >= 2);
}

/* Pictures that nobody here made: whatever a simulator of the field wrote. */
static void test_real_pictures(void **state) {
  const char *folder = mynah_test_shared("data/udacity_sim_raspberrycar/IMG");
  char **names, path[MYNAH_PATH_MAX];
  size_t n;
  assert_int_equal(mynah_list_dir(folder, &names, &n), MYNAH_OK);
  for (size_t i = 0; i < n && i < 20; i++) {
    mynah_image out;
    assert_int_equal(mynah_path_join(path, sizeof path, folder, names[i]), MYNAH_OK);
    if (mynah_image_load(path, &out) != MYNAH_OK) fail_msg("%s", mynah_error());
    assert_true(out.width == 320 && out.height == 160);
    mynah_image_deinit(&out);
  }
  mynah_names_free(names, n);
}

/* What a camera does not send: no pixels, one, far too many, inks, half a file. */
static void test_hostile_sizes(void **state) {
  static const uint8_t sizes[][4] = {{0, 0, 0, 0}, {0, H, 0, 0}, {255, 255, 255, 255}}; /* height, width, big-endian */
  mynah_str s = {0};
  mynah_image back = {0};
  assert_int_equal(mynah_jpeg_encode(&picture, 90, &s), MYNAH_OK);
  uint8_t *sof = NULL;
  for (size_t i = 0; i + 9 < s.length && !sof; i++)
    if ((uint8_t)s.data[i] == 0xff && (uint8_t)s.data[i + 1] == 0xc0) sof = (uint8_t *)s.data + i;
  assert_non_null(sof);
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    memcpy(sof + 5, sizes[k], 4);
    assert_int_not_equal(mynah_image_decode(s.data, s.length, 0, 0, &back), MYNAH_OK);
    assert_null(back.data);
  }
  mynah_str_deinit(&s);
  const mynah_image one = {.data = &pixels[0][0][0], .width = 1, .height = 1};
  assert_int_equal(mynah_jpeg_encode(&one, 90, &s), MYNAH_OK);
  assert_int_equal(mynah_image_decode(s.data, s.length, 0, 0, &back), MYNAH_OK);
  assert_true(back.width == 1 && back.height == 1);
  mynah_image_deinit(&back);
  for (size_t n = 0; n < s.length / 2; n++) assert_int_not_equal(mynah_image_decode(s.data, n, 0, 0, &back), MYNAH_OK);
  mynah_str_deinit(&s);
}

/* An 8x8 picture of inks 200, 40, 0 with black 60 of 255, as Adobe writes it. */
static void test_cmyk(void **state) {
  static const uint8_t file[] = {
      0xff, 0xd8, 0xff, 0xee, 0x00, 0x0e, 0x41, 0x64, 0x6f, 0x62, 0x65, 0x00, 0x64, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xdb, 0x00, 0x43,
      0x00, 0x02, 0x01, 0x01, 0x01, 0x01, 0x01, 0x02, 0x01, 0x01, 0x01, 0x02, 0x02, 0x02, 0x02, 0x02, 0x04, 0x03, 0x02, 0x02, 0x02, 0x02,
      0x05, 0x04, 0x04, 0x03, 0x04, 0x06, 0x05, 0x06, 0x06, 0x06, 0x05, 0x06, 0x06, 0x06, 0x07, 0x09, 0x08, 0x06, 0x07, 0x09, 0x07, 0x06,
      0x06, 0x08, 0x0b, 0x08, 0x09, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x06, 0x08, 0x0b, 0x0c, 0x0b, 0x0a, 0x0c, 0x09, 0x0a, 0x0a, 0x0a, 0xff,
      0xc0, 0x00, 0x14, 0x08, 0x00, 0x08, 0x00, 0x08, 0x04, 0x43, 0x11, 0x00, 0x4d, 0x11, 0x00, 0x59, 0x11, 0x00, 0x4b, 0x11, 0x00, 0xff,
      0xc4, 0x00, 0x14, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0xff,
      0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff,
      0xda, 0x00, 0x0e, 0x04, 0x43, 0x00, 0x4d, 0x00, 0x59, 0x00, 0x4b, 0x00, 0x00, 0x3f, 0x00, 0x36, 0xca, 0xe1, 0xfc, 0x21, 0x8f, 0xff,
      0xd9,
  };
  mynah_image back = {0};
  assert_int_equal(mynah_image_decode(file, sizeof file, 0, 0, &back), MYNAH_OK);
  assert_true(back.width == 8 && back.height == 8);
  static const int due[3] = {55 * 195 / 255, 215 * 195 / 255, 195};
  for (int i = 0; i < 8 * 8 * 3; i++) assert_in_range(back.data[i], due[i % 3] - 3, due[i % 3] + 3);
  mynah_image_deinit(&back);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile_sizes), cmocka_unit_test(test_cmyk),
      cmocka_unit_test(test_png_is_exact), cmocka_unit_test(test_jpeg_is_near),
                                     cmocka_unit_test(test_jpeg_reduced), cmocka_unit_test(test_damaged),
                                     cmocka_unit_test(test_refused),      cmocka_unit_test(test_torture),
                                     cmocka_unit_test(test_real_pictures)};
  return cmocka_run_group_tests(tests, paint, NULL);
}
