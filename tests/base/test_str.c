/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Growable text: appending, ceilings, sticking failure; copying and nearest words. */
#include <mynah/base.h>

#include "support/torture.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void test_append_and_print(void **state) {
  mynah_str s = {0};
  assert_string_equal(mynah_str_text(&s), "");
  mynah_str_append(&s, "ab\0c", 4);
  assert_int_equal(s.length, 4);
  for (int i = 0; i < 1000; i++) mynah_str_printf(&s, "%d,", i);
  assert_false(s.is_failed);
  assert_int_equal(s.length, 4 + 10 * 2 + 90 * 3 + 900 * 4);
  assert_memory_equal(s.data + s.length - 8, "998,999,", 9);
  mynah_str_deinit(&s);
  assert_null(s.data);
}

static void test_ceiling(void **state) {
  mynah_str s = {.max = 10};
  mynah_str_printf(&s, "12345");
  mynah_str_printf(&s, "67890");
  assert_false(s.is_failed);
  mynah_str_append(&s, "x", 1);
  assert_true(s.is_failed);
  mynah_str_printf(&s, "y");
  assert_string_equal(mynah_str_text(&s), "1234567890");
  mynah_str_deinit(&s);
  mynah_str t = {.max = 10};
  mynah_str_printf(&t, "abc");
  mynah_str_printf(&t, "%050d", 1); /* fits the block, not the ceiling */
  assert_true(t.is_failed);
  assert_string_equal(mynah_str_text(&t), "abc");
  mynah_str_deinit(&t);
}

static mynah_status build_text(void *context) {
  mynah_str s = {0};
  for (int i = 0; i < 100; i++) mynah_str_printf(&s, "line %d\n", i);
  mynah_status status = s.is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
  mynah_str_deinit(&s);
  return status;
}

static void test_torture(void **state) { assert_true(mynah_test_torture(build_text, NULL) >= 3); }

static void test_copy_text(void **state) {
  char out[4] = "zzz";
  assert_int_equal(mynah_copy_text(out, sizeof out, "four"), MYNAH_INVALID);
  assert_string_equal(out, "zzz");
  assert_int_equal(mynah_copy_text(out, sizeof out, "abc"), MYNAH_OK);
  assert_string_equal(out, "abc");
}

static void test_nearest(void **state) {
  const char *const words[] = {"batch", "steps", "learning_rate", "seed", "image.size"};
  size_t n = sizeof words / sizeof *words;
  assert_string_equal(mynah_nearest("sed", words, n), "seed");
  assert_string_equal(mynah_nearest("bacth", words, n), "batch");
  assert_string_equal(mynah_nearest("learning-rate", words, n), "learning_rate");
  assert_string_equal(mynah_nearest("learn", words, n), "learning_rate");
  assert_null(mynah_nearest("zzzzzzzzz", words, n));
  assert_null(mynah_nearest("", words, 0));
  char long_word[300];
  memset(long_word, 'a', sizeof long_word - 1);
  long_word[sizeof long_word - 1] = 0;
  assert_null(mynah_nearest(long_word, words, n));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_append_and_print), cmocka_unit_test(test_ceiling),
                                     cmocka_unit_test(test_torture), cmocka_unit_test(test_copy_text),
                                     cmocka_unit_test(test_nearest)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
