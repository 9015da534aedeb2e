/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A CSV file. */
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_make_folder();
  fuzz_put("a.csv", data, size);
  fuzz_import("csv", "a.csv");
  return 0;
}
