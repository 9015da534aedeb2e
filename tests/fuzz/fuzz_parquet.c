/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A Parquet file: every column of every row group. */
#include "../../src/dataset/parquet.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[512];
  mynah__parquet p;
  fuzz_make_folder();
  fuzz_put("a.parquet", data, size);
  snprintf(path, sizeof path, "%s/a.parquet", fuzz_folder);
  mynah_status status = mynah__parquet_open(path, &p);
  FUZZ_CHECK(status == MYNAH_OK || mynah_error()[0] != 0);
  if (status != MYNAH_OK) return 0;
  volatile double sum = 0;
  for (size_t g = 0; g < p.n_groups && g < 8; g++)
    for (int leaf = 0; leaf < (int)p.n_leaves && leaf < 16; leaf++) {
      mynah__column c;
      if (mynah__parquet_read(&p, g, leaf, &c) != MYNAH_OK) continue;
      FUZZ_CHECK(c.starts[c.n_rows] == c.n_values);
      for (int64_t i = 0; i < c.n_values; i++) {
        if (p.leaves[leaf].width) sum = sum + mynah__column_number(&p.leaves[leaf], &c, i);
        else
          for (size_t k = 0; k < c.texts[i].bytes; k++) sum = sum + c.texts[i].data[k];
      }
      mynah__column_deinit(&c);
    }
  mynah__parquet_close(&p);
  return 0;
}
