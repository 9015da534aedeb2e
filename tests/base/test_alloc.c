/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The allocator: alignment, counters, overflow, failing on demand, the trap. */
#include <mynah/base.h>

#include "support/torture.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void test_alignment_and_counts(void **state) {
  mynah_alloc_stats before = mynah_alloc_count();
  uint8_t *a = mynah_alloc(1), *b = mynah_calloc(7, 100), *c = mynah_alloc(0);
  assert_non_null(a);
  assert_non_null(b);
  assert_non_null(c);
  assert_int_equal((uintptr_t)a % 64 + (uintptr_t)b % 64, 0);
  for (int i = 0; i < 700; i++) assert_int_equal(b[i], 0);
  mynah_alloc_stats with = mynah_alloc_count();
  assert_int_equal(with.live_blocks - before.live_blocks, 3);
  assert_int_equal(with.n_calls - before.n_calls, 3);
  assert_true(with.live_bytes - before.live_bytes >= 701);
  assert_true(with.peak_bytes >= with.live_bytes);
  mynah_free(a);
  mynah_free(b);
  mynah_free(c);
  mynah_free(NULL);
  mynah_alloc_stats after = mynah_alloc_count();
  assert_int_equal(after.live_blocks, before.live_blocks);
  assert_int_equal(after.live_bytes, before.live_bytes);
}

static void test_overflow_is_refused(void **state) {
  assert_null(mynah_calloc(SIZE_MAX / 2, 3));
  assert_null(mynah_alloc(SIZE_MAX));
  assert_null(mynah_realloc(NULL, SIZE_MAX / 8, 16));
  assert_true(mynah_error()[0] != 0);
  size_t product;
  assert_false(mynah_mul_size(SIZE_MAX, 2, &product));
  assert_true(mynah_mul_size(6, 7, &product));
  assert_int_equal(product, 42);
}

static void test_realloc_and_grow(void **state) {
  int *numbers = NULL;
  size_t capacity = 0;
  for (int i = 0; i < 1000; i++) {
    assert_int_equal(mynah_grow((void **)&numbers, &capacity, (size_t)i + 1, sizeof *numbers), MYNAH_OK);
    numbers[i] = i;
  }
  assert_int_equal((uintptr_t)numbers % 64, 0);
  for (int i = 0; i < 1000; i++) assert_int_equal(numbers[i], i);
  size_t kept = capacity;
  assert_int_equal(mynah_grow((void **)&numbers, &capacity, SIZE_MAX / 2, sizeof *numbers), MYNAH_NO_MEMORY);
  assert_int_equal(capacity, kept); /* and the old block is still ours */
  numbers = mynah_realloc(numbers, 10, sizeof *numbers);
  for (int i = 0; i < 10; i++) assert_int_equal(numbers[i], i);
  mynah_free(numbers);
}

static void test_fail_at(void **state) {
  mynah_alloc_fail_at(2);
  void *first = mynah_alloc(8), *second = mynah_alloc(8), *third = mynah_alloc(8);
  mynah_alloc_fail_at(0);
  assert_non_null(first);
  assert_null(second);
  assert_null(third);
  mynah_free(first);
  void *later = mynah_alloc(8);
  assert_non_null(later);
  mynah_free(later);
}

static void test_trap(void **state) {
  assert_int_equal(mynah_alloc_trap(true), 0);
  void *a = mynah_alloc(8), *b = mynah_alloc(8);
  assert_int_equal(mynah_alloc_trap(false), 2);
  assert_null(a);
  assert_null(b);
  char *text = mynah_strdup("works again");
  assert_string_equal(text, "works again");
  mynah_free(text);
  assert_int_equal(mynah_alloc_trap(false), 0);
}

/* What lies outside the released pages stays; the released part can be used again. */
static void test_release(void **state) {
  size_t bytes = (size_t)8 << 20;
  unsigned char *block = mynah_alloc(bytes);
  assert_non_null(block);
  mynah_memory_huge(block, bytes);
  memset(block, 7, bytes);
  mynah_memory_release(block + 100, bytes / 2);
  for (size_t i = 0; i < 100; i++) assert_int_equal(block[i], 7);
  for (size_t i = 100 + bytes / 2; i < bytes; i++) assert_int_equal(block[i], 7);
  memset(block, 9, bytes);
  for (size_t i = 0; i < bytes; i++) assert_int_equal(block[i], 9);
  mynah_memory_release(block, 10);
  mynah_memory_release(NULL, 0);
  assert_int_equal(block[0], 9);
  mynah_free(block);
}

static mynah_status two_blocks(void *context) {
  void *a = mynah_alloc(10);
  if (!a) return MYNAH_NO_MEMORY;
  void *b = mynah_alloc(10);
  mynah_free(a);
  if (!b) return MYNAH_NO_MEMORY;
  mynah_free(b);
  return MYNAH_OK;
}

static void test_torture_counts(void **state) { assert_int_equal(mynah_test_torture(two_blocks, NULL), 2); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_alignment_and_counts),
                                     cmocka_unit_test(test_overflow_is_refused),
                                     cmocka_unit_test(test_realloc_and_grow),
                                     cmocka_unit_test(test_fail_at),
                                     cmocka_unit_test(test_trap),
                                     cmocka_unit_test(test_release),
                                     cmocka_unit_test(test_torture_counts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
