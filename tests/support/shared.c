/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The folder of data sets and golden files beside the project, which a user need not have. */
#include "support/shared.h"

#include <mynah/base.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after the headers that it needs */
#include <cmocka.h>

static char path[MYNAH_PATH_MAX];

static bool find(const char *name) {
  const char *folder = getenv("MYNAH_SHARED");
  int n = snprintf(path, sizeof path, "%s/%s", folder && folder[0] ? folder : "../shared", name);
  return n > 0 && (size_t)n < sizeof path && mynah_file_exists(path);
}

bool mynah_test_has_shared(const char *name) { return find(name); }

const char *mynah_test_shared(const char *name) {
  if (find(name)) return path;
  print_message("skipped: %s is not there\n", path);
  skip();
  return NULL;
}

const char *mynah_test_folder(const char *name) {
  static char folder[MYNAH_PATH_MAX];
  const char *base = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/mynah-tests-%ld/%s", base && base[0] ? base : "/tmp", (long)getpid(), name);
  if (mynah_remove_tree(folder) != MYNAH_OK || mynah_make_dirs(folder) != MYNAH_OK) fail_msg("%s", mynah_error());
  return folder;
}
