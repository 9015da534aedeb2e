/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Error texts: made, nested, cut, per thread. */
#include <mynah/base.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void test_names(void **state) {
  assert_string_equal(mynah_status_name(MYNAH_OK), "OK");
  assert_string_equal(mynah_status_name(MYNAH_INTERNAL), "INTERNAL");
  assert_string_equal(mynah_status_text(MYNAH_NO_SPACE), "no space left");
  assert_string_equal(mynah_status_name((mynah_status)99), "UNKNOWN");
  assert_string_equal(mynah_status_text((mynah_status)-1), "unknown status");
}

static void test_fail_and_context(void **state) {
  assert_int_equal(mynah_fail(MYNAH_CORRUPT, "x.bin: block %d", 7), MYNAH_CORRUPT);
  assert_int_equal(mynah_error_context(MYNAH_CORRUPT, "data/%s", "a"), MYNAH_CORRUPT);
  assert_string_equal(mynah_error(), "data/a: x.bin: block 7");
  mynah_fail(MYNAH_IO, "again: %s", mynah_error()); /* the argument is the old text itself */
  assert_string_equal(mynah_error(), "again: data/a: x.bin: block 7");
}

static void test_long_text_is_cut(void **state) {
  char text[5000];
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = 0;
  mynah_fail(MYNAH_IO, "%s", text);
  size_t n = strlen(mynah_error());
  assert_true(n > 500 && n < sizeof text);
  mynah_error_context(MYNAH_IO, "front");
  assert_memory_equal(mynah_error(), "front: aaa", 10);
  mynah_error_context(MYNAH_IO, "%s", text);
  assert_true(strlen(mynah_error()) < sizeof text);
}

static void test_errno(void **state) {
  const struct {
    int code;
    mynah_status status;
  } rows[] = {{ENOSPC, MYNAH_NO_SPACE},
              {EDQUOT, MYNAH_NO_SPACE},
              {ENOENT, MYNAH_NOT_FOUND},
              {ENOMEM, MYNAH_NO_MEMORY},
              {EIO, MYNAH_IO}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    errno = rows[i].code;
    assert_int_equal(mynah_fail_errno("p", "cannot do"), rows[i].status);
    assert_memory_equal(mynah_error(), "p: cannot do: ", 14);
  }
}

static void *other_thread(void *argument) {
  *(bool *)argument = mynah_error()[0] == 0;
  mynah_fail(MYNAH_IO, "other");
  return NULL;
}

static void test_threads_do_not_share(void **state) {
  pthread_t thread;
  bool was_empty = false;
  mynah_fail(MYNAH_IO, "mine");
  assert_int_equal(pthread_create(&thread, NULL, other_thread, &was_empty), 0);
  pthread_join(thread, NULL);
  assert_true(was_empty);
  assert_string_equal(mynah_error(), "mine");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_fail_and_context),
                                     cmocka_unit_test(test_long_text_is_cut), cmocka_unit_test(test_errno),
                                     cmocka_unit_test(test_threads_do_not_share)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
