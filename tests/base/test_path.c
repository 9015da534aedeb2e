/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths and folders: joining, what stays inside, making, listing, removing without following links. */
#include <mynah/base.h>

#include "support/shared.h"
#include "support/torture.h"

#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void make(char *out, const char *folder, const char *name) {
  assert_int_equal(mynah_path_join(out, MYNAH_PATH_MAX, folder, name), MYNAH_OK);
}

static void test_join(void **state) {
  char out[8];
  assert_int_equal(mynah_path_join(out, sizeof out, "a", "b"), MYNAH_OK);
  assert_string_equal(out, "a/b");
  assert_int_equal(mynah_path_join(out, sizeof out, "a/", "b"), MYNAH_OK);
  assert_string_equal(out, "a/b");
  assert_int_equal(mynah_path_join(out, sizeof out, "", "b"), MYNAH_OK);
  assert_string_equal(out, "b");
  assert_int_equal(mynah_path_join(out, sizeof out, "abcd", "efg"), MYNAH_INVALID);
  assert_string_equal(out, "b");
}

static void test_inside(void **state) {
  static const char *const good[] = {"a", "a/b.jpg", "..a", "a..", "a/...b", "./a"};
  static const char *const bad[] = {"", "/a", "..", "../a", "a/..", "a/../b", "a\\b", "..\\a"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(mynah_path_is_inside(good[i]));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(mynah_path_is_inside(bad[i]));
}

static void test_make_list_remove(void **state) {
  const char *folder = mynah_test_folder("path");
  char deep[MYNAH_PATH_MAX], file[MYNAH_PATH_MAX], keep[MYNAH_PATH_MAX], link[MYNAH_PATH_MAX], tree[MYNAH_PATH_MAX];
  make(tree, folder, "tree");
  make(deep, tree, "x//y/z/");
  assert_int_equal(mynah_make_dirs(deep), MYNAH_OK);
  assert_int_equal(mynah_make_dirs(deep), MYNAH_OK);
  make(file, deep, "f");
  assert_int_equal(mynah_file_write(file, "1", 1), MYNAH_OK);
  assert_int_not_equal(mynah_make_dirs(file), MYNAH_OK); /* a file is in the way */
  make(keep, folder, "keep");
  assert_int_equal(mynah_make_dirs(keep), MYNAH_OK);
  make(file, keep, "precious");
  assert_int_equal(mynah_file_write(file, "1", 1), MYNAH_OK);
  make(link, tree, "link");
  assert_int_equal(symlink(keep, link), 0);
  char **names;
  size_t n;
  assert_int_equal(mynah_list_dir(tree, &names, &n), MYNAH_OK);
  assert_int_equal(n, 2);
  assert_string_equal(names[0], "link");
  assert_string_equal(names[1], "x");
  mynah_names_free(names, n);
  assert_int_equal(mynah_remove_tree(tree), MYNAH_OK);
  assert_false(mynah_file_exists(tree));
  assert_true(mynah_file_exists(file)); /* behind the link */
  assert_int_equal(mynah_remove_tree(tree), MYNAH_OK);
  assert_int_equal(symlink(keep, tree), 0);
  assert_int_equal(mynah_remove_tree(tree), MYNAH_OK); /* the link itself */
  assert_true(mynah_file_exists(file));
  assert_int_equal(mynah_list_dir(tree, &names, &n), MYNAH_NOT_FOUND);
}

static mynah_status list(void *context) {
  char **names;
  size_t n;
  MYNAH_TRY(mynah_list_dir(context, &names, &n));
  mynah_names_free(names, n);
  return MYNAH_OK;
}

static void test_torture(void **state) {
  const char *folder = mynah_test_folder("path");
  char file[MYNAH_PATH_MAX];
  for (char name[2] = "a"; name[0] < 'd'; name[0]++) {
    make(file, folder, name);
    assert_int_equal(mynah_file_write(file, "", 0), MYNAH_OK);
  }
  assert_int_equal(mynah_test_torture(list, (void *)(uintptr_t)folder), 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_join), cmocka_unit_test(test_inside),
                                     cmocka_unit_test(test_make_list_remove), cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
