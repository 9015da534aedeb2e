/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A LeRobot data set: the input is info.json up to its first zero byte, then the one data file. */
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const folders[] = {"meta", "data/chunk-000"};
  for (int i = 0, is_first = fuzz_make_folder(); i < 2 && is_first; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/set/%s", fuzz_folder, folders[i]);
    FUZZ_CHECK(mynah_make_dirs(path) == MYNAH_OK);
  }
  const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
  size_t n = end ? (size_t)(end - data) : size;
  fuzz_put("set/meta/info.json", data, n);
  fuzz_put("set/data/chunk-000/file-000.parquet", end ? end + 1 : data, end ? size - n - 1 : 0);
  fuzz_import("lerobot", "set");
  return 0;
}
