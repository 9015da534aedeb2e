/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A folder for fuzz targets whose parsers read files; it goes when the program ends. */
#ifndef MYNAH_TEST_FUZZ_SCRATCH_H
#define MYNAH_TEST_FUZZ_SCRATCH_H

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mynah/base.h>

static char fuzz_folder[256];

static inline void fuzz_remove_folder(void) { (void)!mynah_remove_tree(fuzz_folder); }

/* True the first time. */
static inline int fuzz_make_folder(void) {
  if (fuzz_folder[0]) return 0;
  const char *base = getenv("TMPDIR");
  snprintf(fuzz_folder, sizeof fuzz_folder, "%s/mynah-fuzz-XXXXXX", base && base[0] ? base : "/tmp");
  FUZZ_CHECK(mkdtemp(fuzz_folder) != NULL);
  atexit(fuzz_remove_folder);
  return 1;
}

static inline void fuzz_put(const char *name, const void *data, size_t n) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
  FILE *file = fopen(path, "wb");
  FUZZ_CHECK(file != NULL);
  FUZZ_CHECK(n == 0 || fwrite(data, 1, n, file) == n);
  FUZZ_CHECK(fclose(file) == 0);
}

#endif
