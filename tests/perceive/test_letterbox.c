/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Letterboxes against OpenCV's and ultralytics' (../shared/goldens/yolo26/letterbox.safetensors), and back. */
#include "support/formula.h"
#include "support/shared.h"

#include <mynah/perceive.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static uint8_t *run(const mynah_letterbox *l, const uint8_t *picture) {
  mynah_image image = {(uint8_t *)(uintptr_t)picture, l->in_width, l->in_height};
  uint8_t *out = malloc((size_t)l->width * (size_t)l->height * 3);
  void *scratch = malloc(mynah_letterbox_scratch(l));
  assert_non_null(out);
  assert_non_null(scratch);
  mynah_letterbox_run(l, &image, scratch, out);
  free(scratch);
  return out;
}

static void test_goldens(void **state) {
  mynah_safetensors *f;
  assert_int_equal(mynah_safetensors_open(mynah_test_shared("goldens/yolo26/letterbox.safetensors"), &f), MYNAH_OK);
  int n_off = 0, n_all = 0;
  for (int i = 0; i < 7; i++) {
    char name[32];
    snprintf(name, sizeof name, "%d.shape", i);
    const int64_t *s = mynah_safetensors_find(f, name)->data; /* h, w, H, W, auto */
    snprintf(name, sizeof name, "%d.out", i);
    const mynah_safetensor *due = mynah_safetensors_find(f, name);
    uint8_t *picture = malloc((size_t)(s[0] * s[1] * 3));
    snprintf(name, sizeof name, "yolo.letterbox.%d", i);
    formula_image(name, s[0], s[1], picture);
    mynah_letterbox l = mynah_letterbox_plan((int)s[1], (int)s[0], (int)s[3], (int)s[2], s[4] != 0);
    assert_int_equal(l.height, due->shape.dims[0]);
    assert_int_equal(l.width, due->shape.dims[1]);
    uint8_t *out = run(&l, picture);
    const uint8_t *want = due->data;
    for (size_t k = 0; k < due->bytes; k++, n_all++) {
      int off = abs((int)out[k] - (int)want[k]);
      if (off > 1) fail_msg("case %d: byte %zu is %d, not %d", i, k, out[k], want[k]);
      n_off += off;
    }
    free(out);
    free(picture);
  }
  print_message("%d of %d bytes differ, by 1\n", n_off, n_all);
  mynah_safetensors_close(f);
}

/* Any size fits, borders are grey, and the corners of the inner picture come back as the picture's. */
static void test_sizes(void **state) {
  static const int sizes[][2] = {{1, 1}, {1, 3000}, {3000, 1}, {640, 480}, {31, 33}, {100, 100}, {2, 640}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int is_rect = 0; is_rect < 2; is_rect++) {
      int w = sizes[i][0], h = sizes[i][1];
      uint8_t *picture = malloc((size_t)(w * h * 3));
      memset(picture, 200, (size_t)(w * h * 3));
      mynah_letterbox l = mynah_letterbox_plan(w, h, 96, 64, is_rect);
      assert_true(l.width <= 96 && l.height <= 64 && l.inner_width >= 1 && l.inner_height >= 1);
      if (is_rect) assert_true(l.width % 32 == 0 && l.height % 32 == 0);
      else assert_true(l.width == 96 && l.height == 64);
      uint8_t *out = run(&l, picture);
      for (int y = 0; y < l.height; y++)
        for (int x = 0; x < l.width; x++) {
          bool is_in = x >= l.left && x < l.left + l.inner_width && y >= l.top && y < l.top + l.inner_height;
          assert_int_equal(out[(y * l.width + x) * 3 + 1], is_in ? 200 : 114);
        }
      free(out);
      free(picture);
    }
}

static void test_undo(void **state) {
  mynah_letterbox l = mynah_letterbox_plan(810, 1080, 640, 640, true);
  assert_int_equal(l.width, 480);
  assert_int_equal(l.height, 640);
  mynah_box box = {-5, 64, 240, 700, 1, 0, -1};
  mynah_letterbox_undo(&l, &box);
  assert_true(fabsf(box.x1) < 1e-6f && fabsf(box.y1 - 108) < 1e-3f && fabsf(box.x2 - 405) < 1e-3f && fabsf(box.y2 - 1080) < 1e-3f);
  l = mynah_letterbox_plan(640, 480, 640, 640, false);
  box = (mynah_box){10, 80, 20, 560, 1, 0, -1};
  mynah_letterbox_undo(&l, &box);
  assert_true(fabsf(box.y1) < 1e-6f && fabsf(box.y2 - 480) < 1e-3f && fabsf(box.x1 - 10) < 1e-3f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_sizes), cmocka_unit_test(test_undo)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
