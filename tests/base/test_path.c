/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths and folders: joining, what stays inside, making, listing, removing without following links. */
#include <mynah/base.h>

#include "support/shared.h"
#include "support/torture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

static void reads(const char *path, mynah_status want, const char *why) {
  char *data;
  size_t n;
  mynah_status status = mynah_file_read(path, 100, &data, &n);
  if (status != want) fail_msg("%s: %s", path, status ? mynah_error() : "was read");
  if (status == MYNAH_OK) mynah_free(data);
  else if (why && !strstr(mynah_error(), why)) fail_msg("'%s' lacks '%s'", mynah_error(), why);
}

/* Of links below the folder those that stay in it are followed; a pipe is not waited for; elsewhere nothing changes. */
static void test_confine(void **state) {
  char folder[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX], top[MYNAH_PATH_MAX], secret[MYNAH_PATH_MAX];
  make(top, mynah_test_folder("confine"), "set");
  make(folder, top, "a");
  make(secret, mynah_test_folder("confine"), "secret");
  assert_int_equal(mynah_make_dirs(folder), MYNAH_OK);
  assert_int_equal(mynah_make_dirs(secret), MYNAH_OK);
  make(path, secret, "f");
  assert_int_equal(mynah_file_write(path, "1", 1), MYNAH_OK);
  make(path, folder, "f");
  assert_int_equal(mynah_file_write(path, "1", 1), MYNAH_OK);
  static const char *const links[][2] = {{"in", "f"}, {"up", "../a/f"}, {"out", "../../secret/f"}, {"folder", "../../secret"},
                                         {"chain", "folder/f"}, {"loop", "loop"}, {"gone", "nothing"}};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    make(path, folder, links[i][0]);
    assert_int_equal(symlink(links[i][1], path), 0);
  }
  make(path, folder, "absolute");
  assert_int_equal(symlink(secret, path), 0);
  make(path, folder, "pipe");
  assert_int_equal(mkfifo(path, 0600), 0);
  static const char *const good[] = {"a/f", "a//f", "./a/f", "a/in", "a/up", "a/../a/f"};
  static const char *const bad[] = {"a/out", "a/folder/f", "a/chain", "a/absolute/f", "../secret/f", "a/../../secret/f"};
  assert_null(mynah_confine(top));
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) reads((make(path, top, good[i]), path), MYNAH_OK, NULL);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) reads((make(path, top, bad[i]), path), MYNAH_INVALID, "out of");
  reads((make(path, folder, "gone"), path), MYNAH_NOT_FOUND, NULL);
  reads((make(path, folder, "loop"), path), MYNAH_INVALID, NULL);
  reads((make(path, folder, "pipe"), path), MYNAH_INVALID, "plain");
  char **names;
  size_t n;
  mynah_map map;
  make(path, folder, "folder");
  assert_int_equal(mynah_list_dir(path, &names, &n), MYNAH_INVALID);
  make(path, folder, "out");
  assert_int_equal(mynah_map_open(path, &map), MYNAH_INVALID);
  make(path, secret, "f"); /* beside it */
  reads(path, MYNAH_OK, NULL);
  assert_string_equal(mynah_confine(NULL), top);
  reads((make(path, folder, "chain"), path), MYNAH_OK, NULL);
}

/* A kernel without openat2: then no link below the folder is followed. */
static bool is_confined_by_parts(const char *top) {
  struct sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
                                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog filter = {sizeof steps / sizeof *steps, steps};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return false;
  static const char *const names[] = {"a/f", "a//f", "a/in", "a/folder/f", "a/../a/f", "a/out"};
  mynah_confine(top);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[MYNAH_PATH_MAX], *data;
    size_t n;
    make(path, top, names[i]);
    mynah_status status = mynah_file_read(path, 100, &data, &n);
    if (status == MYNAH_OK) mynah_free(data);
    if (status != (i < 2 ? MYNAH_OK : MYNAH_INVALID)) return false;
  }
  return true;
}

static void test_confine_by_parts(void **state) {
  char top[MYNAH_PATH_MAX], folder[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX];
  int code;
  make(top, mynah_test_folder("parts"), "set");
  make(folder, top, "a");
  assert_int_equal(mynah_make_dirs(folder), MYNAH_OK);
  make(path, folder, "f");
  assert_int_equal(mynah_file_write(path, "1", 1), MYNAH_OK);
  static const char *const links[][2] = {{"in", "f"}, {"out", "/etc/passwd"}, {"folder", "."}};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    make(path, folder, links[i][0]);
    assert_int_equal(symlink(links[i][1], path), 0);
  }
  pid_t child = fork();
  if (child == 0) _exit(is_confined_by_parts(top) ? 0 : 1);
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_int_equal(code, 0);
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
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_join), cmocka_unit_test(test_inside), cmocka_unit_test(test_confine),
                                     cmocka_unit_test(test_confine_by_parts),
                                     cmocka_unit_test(test_make_list_remove), cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
