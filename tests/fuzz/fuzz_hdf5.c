/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An HDF5 file, read as each of the layouts. */
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_make_folder();
  fuzz_put("a.hdf5", data, size);
  fuzz_import("robomimic", "a.hdf5");
  fuzz_import("minari", "a.hdf5");
  fuzz_import("aloha", "a.hdf5");
  return 0;
}
