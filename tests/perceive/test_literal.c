/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Class names in Python's notation. */
#include "src/perceive/perceive_internal.h"

#include "support/torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

static void test_names(void **state) {
  mynah__names n;
  ok(mynah__names_parse("{0: 'person', 2: \"it's\", 1: 'caf\\xe9 \\u2603 \\'x\\\\', }", &n));
  assert_int_equal(n.n, 3);
  assert_string_equal(n.text[0], "person");
  assert_string_equal(n.text[1], "caf\xc3\xa9 \xe2\x98\x83 'x\\");
  assert_string_equal(n.text[2], "it's");
  mynah__names_deinit(&n);
  ok(mynah__names_parse(" [ 'a' , \"b\" ] ", &n));
  assert_int_equal(n.n, 2);
  mynah__names_deinit(&n);
  ok(mynah__names_parse("{}", &n));
  assert_int_equal(n.n, 0);
  mynah__names_deinit(&n);
  ok(mynah__names_numbered(12, &n));
  assert_string_equal(n.text[11], "11");
  mynah__names_deinit(&n);
}

static void test_bad_names(void **state) {
  static const char *const bad[] = {"",
                                    "0",
                                    "{",
                                    "{0}",
                                    "{0:",
                                    "{0: 'a",
                                    "{0: 'a' 1: 'b'}",
                                    "{0: 'a', 0: 'b'}",
                                    "{1: 'a'}",
                                    "{0: __import__('os')}",
                                    "['a'] + ['b']",
                                    "{99999999999999999999: 'a'}",
                                    "{-1: 'a'}",
                                    "['\\q']",
                                    "['\\x4']",
                                    "['\\ud800']",
                                    "['\\",
                                    "['\\x00']",
                                    "['a\n']",
                                    "{0: 5}",
                                    "[[]]"};
  mynah__names n;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (mynah__names_parse(bad[i], &n) == MYNAH_OK) fail_msg("'%s' was taken", bad[i]);
}

static mynah_status names_work(void *context) {
  mynah__names n;
  MYNAH_TRY(mynah__names_parse("{0: 'a', 3: 'b', 1: 'c', 2: 'd'}", &n));
  mynah__names_deinit(&n);
  return MYNAH_OK;
}

static void test_torture(void **state) { mynah_test_torture(names_work, NULL); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_bad_names),
                                     cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
