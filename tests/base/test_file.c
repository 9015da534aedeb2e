/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Files: reading with limits, atomic writing, mapping. */
#include <mynah/base.h>

#include "support/shared.h"
#include "support/torture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static char path[MYNAH_PATH_MAX];
static const char *folder;

static int set_up(void **state) {
  folder = mynah_test_folder("file");
  return mynah_path_join(path, sizeof path, folder, "a.bin");
}

static void expect_content(const char *want) {
  char *data;
  size_t n;
  assert_int_equal(mynah_file_read(path, 1000, &data, &n), MYNAH_OK);
  assert_int_equal(n, strlen(want));
  assert_string_equal(data, want);
  mynah_free(data);
}

static size_t count_files(void) {
  char **names;
  size_t n;
  assert_int_equal(mynah_list_dir(folder, &names, &n), MYNAH_OK);
  mynah_names_free(names, n);
  return n;
}

static void test_write_and_read(void **state) {
  assert_false(mynah_file_exists(path));
  assert_int_equal(mynah_file_write(path, "hello", 5), MYNAH_OK);
  expect_content("hello");
  assert_int_equal(mynah_file_write(path, "", 0), MYNAH_OK);
  expect_content("");
  assert_int_equal(count_files(), 1);
  int64_t size;
  assert_int_equal(mynah_file_size(path, &size), MYNAH_OK);
  assert_int_equal(size, 0);
  assert_int_equal(mynah_file_remove(path), MYNAH_OK);
  assert_int_equal(mynah_file_remove(path), MYNAH_OK);
  assert_int_equal(mynah_file_size(path, &size), MYNAH_NOT_FOUND);
}

static void test_read_refuses(void **state) {
  char *data = NULL;
  size_t n = 0;
  assert_int_equal(mynah_file_read(path, 10, &data, &n), MYNAH_NOT_FOUND);
  assert_non_null(strstr(mynah_error(), "a.bin"));
  assert_int_equal(mynah_file_read(folder, 10, &data, &n), MYNAH_INVALID);
  assert_int_equal(mynah_file_write(path, "12345678901", 11), MYNAH_OK);
  assert_int_equal(mynah_file_read(path, 10, &data, &n), MYNAH_LIMIT);
  assert_int_equal(mynah_file_read("/dev/zero", 100000, &data, &n), MYNAH_LIMIT); /* endless */
  assert_null(data);
  assert_int_equal(mynah_file_read(path, 11, &data, &n), MYNAH_OK);
  mynah_free(data);
}

static void test_read_without_size(void **state) {
  char *data;
  size_t n;
  assert_int_equal(mynah_file_read("/proc/self/maps", 1 << 20, &data, &n), MYNAH_OK);
  assert_true(n > 0 && strlen(data) == n);
  mynah_free(data);
}

/* A failed write leaves the old file and nothing beside it. */
static void test_failed_write_keeps_the_old(void **state) {
  static char big[1 << 20];
  struct rlimit old, tiny;
  assert_int_equal(mynah_file_write(path, "old", 3), MYNAH_OK);
  getrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, SIG_IGN);
  tiny = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tiny);
  mynah_status status = mynah_file_write(path, big, sizeof big);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_int_equal(status, MYNAH_IO);
  expect_content("old");
  assert_int_equal(count_files(), 1);
  assert_int_equal(mynah_file_write("/dev/full/x", "a", 1), MYNAH_NOT_FOUND);
  char longest[2 * MYNAH_PATH_MAX];
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  assert_int_equal(mynah_file_write(longest, "a", 1), MYNAH_INVALID);
}

static void test_map(void **state) {
  mynah_map map = {0};
  assert_int_equal(mynah_map_open(path, &map), MYNAH_NOT_FOUND);
  assert_int_equal(mynah_file_write(path, "mapped", 6), MYNAH_OK);
  assert_int_equal(mynah_map_open(path, &map), MYNAH_OK);
  assert_int_equal(map.size, 6);
  assert_memory_equal(map.data, "mapped", 6);
  mynah_map_close(&map);
  assert_null(map.data);
  assert_int_equal(mynah_file_write(path, "", 0), MYNAH_OK);
  assert_int_equal(mynah_map_open(path, &map), MYNAH_OK);
  assert_null(map.data);
  mynah_map_close(&map);
  assert_int_equal(mynah_map_open("/dev/null", &map), MYNAH_UNSUPPORTED);
}

/* Parts of a file; one that was cut while it was open is an error, not a signal. */
static void test_reader(void **state) {
  mynah_reader reader;
  char part[4] = "";
  assert_int_equal(mynah_reader_open(path, &reader), MYNAH_NOT_FOUND);
  assert_int_equal(mynah_reader_open("/dev/null", &reader), MYNAH_UNSUPPORTED);
  assert_int_equal(mynah_file_write(path, "0123456789", 10), MYNAH_OK);
  assert_int_equal(mynah_reader_open(path, &reader), MYNAH_OK);
  assert_int_equal(reader.size, 10);
  assert_int_equal(mynah_reader_read(&reader, 6, part, 4), MYNAH_OK);
  assert_memory_equal(part, "6789", 4);
  assert_int_equal(mynah_reader_read(&reader, 7, part, 4), MYNAH_CORRUPT);
  assert_int_equal(truncate(path, 5), 0);
  assert_int_equal(mynah_reader_read(&reader, 2, part, 3), MYNAH_OK);
  assert_int_equal(mynah_reader_read(&reader, 6, part, 4), MYNAH_CORRUPT);
  assert_non_null(strstr(mynah_error(), "cut"));
  mynah_reader_close(&reader);
}

static mynah_status read_it(void *context) {
  char *data;
  size_t n;
  MYNAH_TRY(mynah_file_read("/proc/self/status", 1 << 20, &data, &n));
  mynah_free(data);
  return MYNAH_OK;
}

static void test_torture(void **state) { assert_true(mynah_test_torture(read_it, NULL) >= 1); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_write_and_read, set_up),
                                     cmocka_unit_test_setup(test_read_refuses, set_up),
                                     cmocka_unit_test_setup(test_read_without_size, set_up),
                                     cmocka_unit_test_setup(test_failed_write_keeps_the_old, set_up),
                                     cmocka_unit_test_setup(test_map, set_up),
                                     cmocka_unit_test_setup(test_reader, set_up),
                                     cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
