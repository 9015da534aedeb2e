/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A zarr array: the input is .zarray up to its first zero byte, then the bytes of every chunk. */
#include "../../src/dataset/zarr.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const chunks[] = {"a/0", "a/0.0", "a/0.0.0", "a/0.0.0.0"};
  if (fuzz_make_folder()) {
    char path[512];
    snprintf(path, sizeof path, "%s/a", fuzz_folder);
    FUZZ_CHECK(mynah_make_dirs(path) == MYNAH_OK);
  }
  const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
  size_t n_meta = end ? (size_t)(end - data) : size, n_chunk = end ? size - n_meta - 1 : 0;
  fuzz_put("a/.zarray", data, n_meta);
  for (int i = 0; i < 4; i++) fuzz_put(chunks[i], end ? end + 1 : data, n_chunk);
  mynah__zarr z;
  mynah_status status = mynah__zarr_open(fuzz_folder, "a", false, &z);
  FUZZ_CHECK(status == MYNAH_OK || mynah_error()[0] != 0);
  if (status != MYNAH_OK) return 0;
  /* Sums read every byte that a row is said to have. */
  double *row = z.row_size < 100000 ? mynah_calloc((size_t)z.row_size + 1, sizeof *row) : NULL;
  for (int64_t i = 0; row && i < z.dims[0] && i < 8; i++) {
    const uint8_t *items;
    volatile double sum = 0;
    if (mynah__zarr_row(&z, i, &items) != MYNAH_OK) break;
    mynah__items_convert(&z.item, items, (size_t)z.row_size, row);
    for (int64_t k = 0; k < z.row_size; k++) sum = sum + mynah__item_number(&z.item, items + k * z.item.bytes);
  }
  mynah_free(row);
  mynah__zarr_close(&z);
  return 0;
}
