/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Denormal numbers: gone between flush and restore, back afterwards. */
#include <mynah/base.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static volatile float small = 1e-38f, half = 0.1f;

static void flushed_and_restored(void **state) {
  (void)state;
  assert_true(small * half > 0);
  uint64_t before = mynah_flush_denormals();
#if defined(__x86_64__) || defined(__aarch64__)
  assert_true(small * half == 0);
#endif
  mynah_restore_denormals(before);
  assert_true(small * half > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(flushed_and_restored)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
