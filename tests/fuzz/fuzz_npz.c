/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An .npz file. */
#include "../../src/dataset/npz.h"
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah__npz z;
  fuzz_make_folder();
  mynah_status status = mynah__npz_parse("fuzz.npz", data, size, &z);
  FUZZ_CHECK(status == MYNAH_OK || mynah_error()[0] != 0);
  if (status != MYNAH_OK) return 0;
  volatile double sum = 0;
  for (size_t i = 0; i < z.n; i++)
    for (int64_t k = 0; z.arrays[i].n_dims > 0 && k < z.arrays[i].dims[0] && z.arrays[i].row_bytes >= (size_t)z.arrays[i].item.bytes; k++)
      sum = sum + mynah__item_number(&z.arrays[i].item, z.arrays[i].data + (size_t)k * z.arrays[i].row_bytes);
  mynah__npz_close(&z);
  fuzz_put("a.npz", data, size);
  fuzz_import("npz", "a.npz");
  return 0;
}
