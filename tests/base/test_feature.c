/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Features: sizes, checks, JSON both ways. */
#include <mynah/base.h>

#include "support/torture.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void test_dtypes(void **state) {
  for (int i = 0; i < MYNAH_DTYPE_COUNT; i++) {
    mynah_dtype back = MYNAH_DTYPE_COUNT;
    assert_true(mynah_dtype_parse(mynah_dtype_name((mynah_dtype)i), &back));
    assert_int_equal(back, i);
    assert_true(mynah_dtype_bytes(back) >= 1);
  }
  mynah_dtype out;
  assert_false(mynah_dtype_parse("float", &out));
  assert_int_equal(mynah_dtype_bytes((mynah_dtype)77), 0);
}

static void test_sizes(void **state) {
  mynah_feature v = mynah_feature_vector("observation.state", 5, "a,b,c,d,e", "m"),
                i = mynah_feature_image("observation.images.top", 96, 128);
  assert_int_equal(mynah_feature_size(&v), 5);
  assert_int_equal(mynah_feature_bytes(&v), 20);
  assert_int_equal(mynah_feature_bytes(&i), 96 * 128 * 3);
  assert_int_equal(mynah_feature_check(&v), MYNAH_OK);
  assert_int_equal(mynah_feature_check(&i), MYNAH_OK);
  mynah_feature both[] = {v, i};
  assert_int_equal(mynah_feature_find(both, 2, "observation.images.top"), 1);
  assert_int_equal(mynah_feature_find(both, 2, "action"), -1);
}

static void expect_bad(mynah_feature f, mynah_status want) {
  if (mynah_feature_check(&f) != want) fail_msg("'%.20s' gave %s", f.name, mynah_error());
}

static void test_check_refuses(void **state) {
  mynah_feature good = mynah_feature_vector("action", 2, "x,y", ""), f;
  f = good, f.dims[0] = 0, expect_bad(f, MYNAH_INVALID);
  f = good, f.dims[0] = INT64_MAX, f.n_dims = 2, f.dims[1] = 3, expect_bad(f, MYNAH_LIMIT);
  f = good, f.n_dims = 7, expect_bad(f, MYNAH_LIMIT);
  f = good, f.n_dims = -1, expect_bad(f, MYNAH_LIMIT);
  f = good, f.dtype = MYNAH_DTYPE_COUNT, expect_bad(f, MYNAH_INVALID);
  f = good, f.angle_mask = 4, expect_bad(f, MYNAH_INVALID);
  f = good, f.dims[0] = 3, expect_bad(f, MYNAH_MISMATCH); /* two names for three elements */
  f = good, f.is_image = true, expect_bad(f, MYNAH_INVALID);
  f = good, f.name[0] = ' ', expect_bad(f, MYNAH_INVALID);
  f = good, f.name[0] = 0, expect_bad(f, MYNAH_INVALID);
  f = good, memset(f.name, 'a', sizeof f.name), expect_bad(f, MYNAH_LIMIT);
  char long_text[600];
  memset(long_text, 'u', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = 0;
  expect_bad(mynah_feature_vector(long_text, 1, "", ""), MYNAH_LIMIT);
  expect_bad(mynah_feature_vector("a", 1, "", long_text), MYNAH_LIMIT);
  expect_bad(mynah_feature_vector("a", 1, long_text, ""), MYNAH_LIMIT);
}

static mynah_status round_trip(void *context) {
  mynah_feature f = mynah_feature_vector("observation.state", 3, "x,y,angle", "mixed"), back;
  f.angle_mask = 4;
  mynah_feature_mirror(&f, (int[]){-2, 1, -3}, (float[]){512, 0.5f, 1.5f});
  mynah_json *j = mynah_feature_to_json(&f);
  mynah_str s = {0};
  mynah_status status = mynah_json_dump(j, 0, &s);
  mynah_str_deinit(&s);
  if (status == MYNAH_OK) status = mynah_feature_from_json(f.name, j, &back);
  mynah_json_destroy(j);
  if (status == MYNAH_OK && memcmp(&f, &back, sizeof f) != 0)
    status = mynah_fail(MYNAH_INTERNAL, "came back different");
  return status;
}

static void test_json_round_trip(void **state) {
  assert_true(mynah_test_torture(round_trip, NULL) > 10);
  mynah_feature i = mynah_feature_image("observation.images.top", 96, 128), back;
  mynah_json *j = mynah_feature_to_json(&i);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "dtype"), ""), "image");
  assert_int_equal(mynah_feature_from_json(i.name, j, &back), MYNAH_OK);
  mynah_json_destroy(j);
  assert_memory_equal(&i, &back, sizeof i);
}

static void test_json_refuses(void **state) {
  static const char *const bad[] = {"[]",
                                    "{}",
                                    "{\"dtype\":\"float33\",\"shape\":[1]}",
                                    "{\"dtype\":\"float32\"}",
                                    "{\"dtype\":\"float32\",\"shape\":[0]}",
                                    "{\"dtype\":\"float32\",\"shape\":[1.5]}",
                                    "{\"dtype\":\"float32\",\"shape\":[1,1,1,1,1,1,1]}",
                                    "{\"dtype\":\"float32\",\"shape\":[2],\"names\":[\"a,b\",\"c\"]}",
                                    "{\"dtype\":\"float32\",\"shape\":[2],\"names\":[1,2]}",
                                    "{\"dtype\":\"float32\",\"shape\":[2],\"angles\":[64]}",
                                    "{\"dtype\":\"float32\",\"shape\":[2],\"mirror\":3}",
                                    "{\"dtype\":\"float32\",\"shape\":[2],\"mirror\":{\"from\":[-3,1],\"offset\":[0,0]}}",
                                    "{\"dtype\":\"image\",\"shape\":[4,4,4]}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    mynah_json *j;
    mynah_feature f = {.name = "untouched"};
    assert_int_equal(mynah_json_parse(bad[i], strlen(bad[i]), &j), MYNAH_OK);
    if (mynah_feature_from_json("action", j, &f) == MYNAH_OK) fail_msg("accepted: %s", bad[i]);
    assert_non_null(strstr(mynah_error(), "action"));
    assert_string_equal(f.name, "untouched");
    mynah_json_destroy(j);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_dtypes), cmocka_unit_test(test_sizes),
                                     cmocka_unit_test(test_check_refuses), cmocka_unit_test(test_json_round_trip),
                                     cmocka_unit_test(test_json_refuses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
