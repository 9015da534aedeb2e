/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON: reading with limits, building under failing memory, writing, walking. */
#include <mynah/base.h>

#include "support/shared.h"
#include "support/torture.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void expect_dump(mynah_json *j, int indent, const char *want) {
  mynah_str s = {0};
  assert_int_equal(mynah_json_dump(j, indent, &s), MYNAH_OK);
  assert_string_equal(mynah_str_text(&s), want);
  mynah_str_deinit(&s);
  mynah_json_destroy(j);
}

static mynah_json *parse(const char *text) {
  mynah_json *j = NULL;
  if (mynah_json_parse(text, strlen(text), &j) != MYNAH_OK) fail_msg("%s: %s", text, mynah_error());
  return j;
}

static void test_round_trip(void **state) {
  expect_dump(parse(" {\"b\" : [1, 2.5, -0.1, 1e22, true, null], \"a\":{\"x\":\"q\\\"\\n\\u00e9\\u0001\"}} "), 0,
              "{\"b\":[1,2.5,-0.1,1e+22,true,null],\"a\":{\"x\":\"q\\\"\\n\xc3\xa9\\u0001\"}}");
  expect_dump(parse("{\"a\":[1,2],\"b\":[{\"c\":{}}]}"), 2,
              "{\n  \"a\": [1, 2],\n  \"b\": [\n    {\n      \"c\": {}\n    }\n  ]\n}");
  expect_dump(parse("[9223372036854775807,-9223372036854775808]"), 0, "[9223372036854775807,-9223372036854775808]");
  expect_dump(parse("3"), 0, "3");
}

static void test_numbers_are_exact_and_short(void **state) {
  const double v[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, NAN, INFINITY, 123456789.125};
  expect_dump(mynah_json_numbers(v, sizeof v / sizeof *v), 0,
              "[0.1,0.3333333333333333,4.94065645841247e-324,1.7976931348623157e+308,-0.0,null,null,123456789.125]");
  const float f[] = {0.1f, 16777216.0f, 1.0f / 3};
  expect_dump(mynah_json_floats(f, 3), 0, "[0.1,16777216,0.33333334]");
}

static void test_bad_text_is_refused(void **state) {
  static const char *const bad[] = {"",      "{",          "[1,]",  "{\"a\":1,\"a\":2}",    "nul",         "\"\xff\"",
                                    "[1] 2", "{\"a\" 1}",  "1e999", "99999999999999999999", "\"\\u0000\"", "'a'",
                                    "[01]",  "\"\\ud800\""};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    mynah_json *j = (mynah_json *)1;
    if (mynah_json_parse(bad[i], strlen(bad[i]), &j) != MYNAH_CORRUPT) fail_msg("accepted: %s", bad[i]);
    assert_ptr_equal(j, (mynah_json *)1);
    assert_non_null(strstr(mynah_error(), "line 1"));
  }
  mynah_json *j;
  char deep[400];
  memset(deep, '[', 200);
  memset(deep + 200, ']', 200);
  assert_int_equal(mynah_json_parse(deep, 400, &j), MYNAH_LIMIT);
  assert_int_equal(mynah_json_parse(deep + 150, 100, &j), MYNAH_OK);
  mynah_json_destroy(j);
}

static void test_invalid_utf8_is_replaced(void **state) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "k\xff", mynah_json_string("a\xc3(\xed\xa0\x80"));
  expect_dump(j, 0, "{\"k\xef\xbf\xbd\":\"a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
}

static void test_access(void **state) {
  mynah_json *j = parse("{\"n\":2.0,\"i\":7,\"s\":\"t\",\"b\":true,\"a\":[5,6]}");
  assert_true(mynah_json_to_number(mynah_json_get(j, "i"), 0) == 7);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "n"), -1), 2);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "s"), -1), -1);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "s"), "x"), "t");
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "nothing"), "x"), "x");
  assert_true(mynah_json_to_bool(mynah_json_get(j, "b"), false));
  assert_int_equal(mynah_json_size(j), 5);
  assert_int_equal(mynah_json_size(mynah_json_get(j, "a")), 2);
  assert_int_equal(mynah_json_to_integer(mynah_json_at(mynah_json_get(j, "a"), 1), 0), 6);
  assert_null(mynah_json_at(mynah_json_get(j, "a"), 2));
  assert_null(mynah_json_get(NULL, "a"));
  const char *key, *want[] = {"n", "i", "s", "b", "a"};
  const mynah_json *value;
  for (size_t i = 0; i < 5; i++) {
    assert_true(mynah_json_entry(j, i, &key, &value));
    assert_string_equal(key, want[i]);
  }
  assert_false(mynah_json_entry(j, 5, &key, &value));
  assert_true(mynah_json_entry(j, 1, &key, &value)); /* back again */
  assert_string_equal(key, "i");
  mynah_json_set(j, "i", mynah_json_bool(false)); /* replaced in its place */
  assert_true(mynah_json_entry(j, 1, &key, &value));
  assert_true(mynah_json_is_bool(value));
  mynah_json_destroy(j);
}

static void test_missing_values_fail_the_dump(void **state) {
  mynah_str s = {0};
  mynah_json *inner = mynah_json_object(), *j = mynah_json_object();
  mynah_json_set(inner, "gone", NULL);
  mynah_json_set(j, "inner", inner);
  assert_null(mynah_json_copy(j));
  assert_int_equal(mynah_json_dump(j, 0, &s), MYNAH_NO_MEMORY);
  mynah_json_set(j, "inner", mynah_json_integer(1)); /* takes the broken part out */
  assert_int_equal(mynah_json_dump(j, 0, &s), MYNAH_OK);
  assert_string_equal(mynah_str_text(&s), "{\"inner\":1}");
  mynah_json_set(NULL, "a", mynah_json_integer(1));
  mynah_json_append(NULL, mynah_json_integer(1));
  mynah_json_append(j, mynah_json_integer(1)); /* not an array */
  assert_int_equal(mynah_json_dump(j, 0, &s), MYNAH_NO_MEMORY);
  assert_int_equal(mynah_json_dump(NULL, 0, &s), MYNAH_NO_MEMORY);
  mynah_json_destroy(j);
  mynah_json_destroy(NULL);
  mynah_str_deinit(&s);
}

static mynah_status build_and_read(void *context) {
  const float v[] = {1, 2, 3};
  mynah_str s = {0};
  mynah_json *j = mynah_json_object(), *back = NULL;
  mynah_json_set(j, "name", mynah_json_string("value\xff"));
  mynah_json_set(j, "list", mynah_json_floats(v, 3));
  mynah_json_set(j, "name", mynah_json_number(0.5));
  mynah_json *copy = mynah_json_copy(j);
  mynah_status status = copy ? mynah_json_dump(j, 2, &s) : mynah_fail(MYNAH_NO_MEMORY, "no copy");
  mynah_json_destroy(copy);
  mynah_json_destroy(j);
  if (status == MYNAH_OK) status = mynah_json_parse(s.data, s.length, &back);
  mynah_json_destroy(back);
  mynah_str_deinit(&s);
  return status;
}

static void test_torture(void **state) { assert_true(mynah_test_torture(build_and_read, NULL) > 20); }

static void test_load_names_the_file(void **state) {
  char path[MYNAH_PATH_MAX];
  mynah_json *j;
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("json"), "bad.json"), MYNAH_OK);
  assert_int_equal(mynah_json_load(path, &j), MYNAH_NOT_FOUND);
  assert_int_equal(mynah_file_write(path, "{\n oops }", 9), MYNAH_OK);
  assert_int_equal(mynah_json_load(path, &j), MYNAH_CORRUPT);
  assert_non_null(strstr(mynah_error(), "bad.json: line 2, column"));
}

/* A walk over a hostile number of keys must not take quadratic time. */
static void test_many_keys(void **state) {
  mynah_str s = {0};
  mynah_str_printf(&s, "{");
  for (int i = 0; i < 200000; i++) mynah_str_printf(&s, "%s\"k%d\":%d", i ? "," : "", i, i);
  mynah_str_printf(&s, "}");
  mynah_json *j = parse(mynah_str_text(&s));
  mynah_str_deinit(&s);
  int64_t start = mynah_now_ns(), sum = 0;
  const char *key;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(j, i, &key, &value); i++) sum += mynah_json_to_integer(value, 0);
  assert_true(sum == INT64_C(199999) * 100000);
  assert_true(mynah_now_ns() - start < INT64_C(5000000000));
  mynah_json_destroy(j);
}

static void test_locale(void **state) {
  if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) {
    print_message("skipped: no German locale here\n");
    skip();
  }
  expect_dump(parse("[0.5]"), 0, "[0.5]");
  setlocale(LC_NUMERIC, "C");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_numbers_are_exact_and_short),
                                     cmocka_unit_test(test_bad_text_is_refused),
                                     cmocka_unit_test(test_invalid_utf8_is_replaced),
                                     cmocka_unit_test(test_access),
                                     cmocka_unit_test(test_missing_values_fail_the_dump),
                                     cmocka_unit_test(test_torture),
                                     cmocka_unit_test(test_load_names_the_file),
                                     cmocka_unit_test(test_many_keys),
                                     cmocka_unit_test(test_locale)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
