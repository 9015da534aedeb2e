/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* safetensors in memory: whatever is accepted lies inside the file, is aligned, has a size that fits its shape. */
#include "fuzz.h"

#include <mynah/graph.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah_safetensors *f;
  /* A block of exactly this size, so that a sanitizer sees one byte too far. */
  uint8_t *file = malloc(size ? size : 1);
  if (!file) return 0;
  if (size) memcpy(file, data, size);
  if (mynah_safetensors_parse(file, size, &f) == MYNAH_OK) {
    volatile uint8_t sum = 0;
    size_t bytes = 0;
    for (int i = 0; i < mynah_safetensors_count(f); i++) {
      const mynah_safetensor *t = mynah_safetensors_at(f, i);
      FUZZ_CHECK(mynah_safetensors_find(f, t->name) == t);
      FUZZ_CHECK((uintptr_t)t->data % mynah_dtype_bytes(t->dtype) == 0);
      FUZZ_CHECK((size_t)mynah_shape_size(t->shape) * mynah_dtype_bytes(t->dtype) == t->bytes);
      for (size_t k = 0; k < t->bytes; k++) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
      bytes += t->bytes;
    }
    FUZZ_CHECK(bytes <= size);
    const char *note = mynah_safetensors_metadata(f, "note");
    FUZZ_CHECK(!note || strlen(note) < size);
    mynah_safetensors_close(f);
  }
  free(file);
  return 0;
}
