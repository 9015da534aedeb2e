/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Configuration tables: defaults, key=value, JSON both ways, help, lists. */
#include <mynah/base.h>

#include "support/torture.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#define DEMO_KEYS(K)                                                          \
  K(INT, steps, "steps", 1000, 1, 1e9, "steps", "how long")                   \
  K(FLOAT, rate, "learning.rate", 1e-3, 0, 1, "", "how fast")                 \
  K(BOOL, is_fast, "fast", true, 0, 0, "", "or not")                          \
  K(STRING, hidden, "hidden", "256,256", 0, 0, "", "widths of hidden layers") \
  K(CHOICE, head, "head", "gmm", 0, 0, "mse|l1|gmm", "what comes out")
typedef struct demo_config {
  DEMO_KEYS(MYNAH_FIELD_ROW)
} demo_config;
#define ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(demo_config, type, field, name, value, low, high, unit, help)
static const mynah_key demo_keys[] = {DEMO_KEYS(ROW)};
static const mynah_config_table demo_table = {"demo", demo_keys, 5, sizeof(demo_config)};

static const mynah_key other_keys[] = {{"seed", MYNAH_KEY_INT, 0, "7", 0, 0x1p53, "", "seed"}};
static const mynah_config_table other_table = {"other", other_keys, 1, sizeof(int64_t)};

static demo_config config;
static int64_t seed;
static const mynah_config_bind binds[] = {{&demo_table, &config}, {&other_table, &seed}};

static int set_up(void **state) {
  mynah_config_default(&demo_table, &config);
  mynah_config_default(&other_table, &seed);
  return 0;
}

static mynah_status set(const char *key, const char *value) { return mynah_config_set(binds, 2, key, value); }

static void test_defaults(void **state) {
  assert_int_equal(config.steps, 1000);
  assert_true(config.rate == 1e-3);
  assert_true(config.is_fast);
  assert_string_equal(config.hidden, "256,256");
  assert_int_equal(config.head, 2);
  assert_int_equal(seed, 7);
}

static void test_good_values(void **state) {
  assert_int_equal(set("steps", "1e6"), MYNAH_OK);
  assert_int_equal(config.steps, 1000000);
  assert_int_equal(set("learning.rate", "3E-4"), MYNAH_OK);
  assert_true(config.rate == 3e-4);
  assert_int_equal(set("head", "l1"), MYNAH_OK);
  assert_int_equal(config.head, 1);
  assert_int_equal(set("hidden", ""), MYNAH_OK);
  assert_string_equal(config.hidden, "");
  assert_int_equal(set("seed", "100000"), MYNAH_OK);
  assert_int_equal(seed, 100000);
  static const char *const yes[] = {"true", "yes", "1", "TRUE", "on"}, *const no[] = {"false", "no", "0", "off"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
    config.is_fast = false;
    assert_int_equal(set("fast", yes[i]), MYNAH_OK);
    assert_true(config.is_fast);
  }
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
    config.is_fast = true;
    assert_int_equal(set("fast", no[i]), MYNAH_OK);
    assert_false(config.is_fast);
  }
}

static void test_bad_values_change_nothing(void **state) {
  static const char *const bad[][2] = {{"steps", "0"},
                                       {"steps", "1.5"},
                                       {"steps", "ten"},
                                       {"steps", ""},
                                       {"steps", "2e9"},
                                       {"learning.rate", "nan"},
                                       {"fast", "maybe"},
                                       {"learning.rate", "0x1"},
                                       {"head", "gm"},
                                       {"learning.rate", "1.01"},
                                       {"head", ""},
                                       {"learning.rate", "1e-3 "},
                                       {"head", "l1|gmm"},
                                       {"learning.rate", "inf"},
                                       {"steps", "99999999999999999999"}};
  demo_config before = config;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (set(bad[i][0], bad[i][1]) != MYNAH_INVALID) fail_msg("accepted: %s=%s", bad[i][0], bad[i][1]);
    assert_non_null(strstr(mynah_error(), bad[i][0]));
  }
  char long_text[400];
  memset(long_text, 'a', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = 0;
  assert_int_equal(set("hidden", long_text), MYNAH_INVALID);
  assert_memory_equal(&before, &config, sizeof config);
}

static void test_unknown_key_names_the_nearest(void **state) {
  assert_int_equal(set("stesp", "1"), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "'steps'"));
  assert_int_equal(set("sed", "1"), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "'seed'"));
  assert_int_equal(set("qqqqqqqqqqqqqqqqqqqqqq", "1"), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "--help"));
}

static mynah_status from_json(const char *text) {
  mynah_json *j;
  MYNAH_TRY(mynah_json_parse(text, strlen(text), &j));
  mynah_status status = mynah_config_from_json(binds, 2, j);
  mynah_json_destroy(j);
  return status;
}

static void test_json(void **state) {
  assert_int_equal(
      from_json("{\"learning\":{\"rate\":0.25},\"head\":\"mse\",\"fast\":false,\"steps\":5,\"seed\":9007199254740992}"),
      MYNAH_OK);
  assert_true(config.rate == 0.25 && config.head == 0 && !config.is_fast && config.steps == 5);
  assert_int_equal(seed, INT64_C(9007199254740992));
  assert_int_equal(from_json("{\"learning.rate\":0.5}"), MYNAH_OK);
  assert_true(config.rate == 0.5);
  static const char *const bad[] = {"[]", "{\"steps\":[1]}", "{\"steps\":null}", "{\"learning\":{\"rte\":1}}",
                                    "{\"head\":1}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(from_json(bad[i]), MYNAH_INVALID);
  config.rate = 0.1 + 0.2;
  mynah_json *j = mynah_json_object();
  mynah_config_to_json(&demo_table, &config, j);
  demo_config back = config;
  mynah_config_default(&demo_table, &config);
  assert_int_equal(mynah_config_from_json(binds, 2, j), MYNAH_OK);
  mynah_json_destroy(j);
  assert_true(config.rate == back.rate && config.steps == back.steps && config.head == back.head);
}

static mynah_status dump_and_help(void *context) {
  mynah_str s = {0};
  mynah_json *j = mynah_json_object();
  mynah_config_to_json(&demo_table, &config, j);
  mynah_status status = mynah_json_dump(j, 0, &s);
  mynah_json_destroy(j);
  mynah_str_deinit(&s);
  return status;
}

static void test_torture(void **state) { assert_true(mynah_test_torture(dump_and_help, NULL) > 10); }

static void test_value_and_help(void **state) {
  mynah_str s = {0};
  for (size_t i = 0; i < demo_table.n_keys; i++) {
    mynah_config_value(&demo_keys[i], &config, &s);
    mynah_str_printf(&s, ";");
  }
  assert_string_equal(mynah_str_text(&s), "1000;0.001;true;256,256;gmm;");
  mynah_str_deinit(&s);
  mynah_config_help(&demo_table, &s);
  assert_string_equal(mynah_str_text(&s), "  steps          1000     1..1000000000 steps  how long\n"
                                          "  learning.rate  1e-3     0..1                 how fast\n"
                                          "  fast           true     true|false           or not\n"
                                          "  hidden         256,256  text                 widths of hidden layers\n"
                                          "  head           gmm      mse|l1|gmm           what comes out\n");
  mynah_str_deinit(&s);
}

static void test_parse_ints(void **state) {
  int64_t v[4] = {0};
  size_t n = 9;
  assert_int_equal(mynah_parse_ints("256, 128,1", v, 4, &n), MYNAH_OK);
  assert_int_equal(n, 3);
  assert_int_equal(v[0] + v[1] + v[2], 385);
  static const char *const bad[] = {"", ",", "1,", "1,,2", "0", "-1", "1 2", "a", "1,2,3,4,5", "9999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(mynah_parse_ints(bad[i], v, 4, &n), MYNAH_INVALID);
  assert_int_equal(n, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_defaults, set_up),
                                     cmocka_unit_test_setup(test_good_values, set_up),
                                     cmocka_unit_test_setup(test_bad_values_change_nothing, set_up),
                                     cmocka_unit_test_setup(test_unknown_key_names_the_nearest, set_up),
                                     cmocka_unit_test_setup(test_json, set_up),
                                     cmocka_unit_test_setup(test_torture, set_up),
                                     cmocka_unit_test_setup(test_value_and_help, set_up),
                                     cmocka_unit_test(test_parse_ints)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
