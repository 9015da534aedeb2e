/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A dataset.yaml: what is taken has a name for every class. */
#include "fuzz.h"

#include "src/dataset/labels.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah__yaml y;
  char *text = mynah_alloc(size + 1);
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = 0;
  if (mynah__yaml_parse(text, size, &y) == MYNAH_OK) {
    FUZZ_CHECK(y.names.n > 0);
    for (int i = 0; i < y.names.n; i++) FUZZ_CHECK(y.names.names[i] && !strchr(y.names.names[i], '\n'));
    for (int part = 0; part < 3; part++)
      for (int i = 0; i < y.n_entries[part]; i++) FUZZ_CHECK(y.entries[part][i] && y.entries[part][i][0]);
    mynah__yaml_deinit(&y);
  }
  mynah_free(text);
  return 0;
}
