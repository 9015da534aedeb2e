/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ONNX files: what is accepted has texts that end and numbers that fit its shapes; recognising it does not fail badly. The
 * same bytes are also read as class names. */
#include "fuzz.h"

#include "src/perceive/perceive_internal.h"

#include <stdlib.h>
#include <string.h>

static void use(const mynah__onnx *o) {
  volatile float sum = 0;
  mynah_detector *d;
  for (size_t i = 0; i < o->n_tensors; i++) {
    const mynah_safetensor *t = &o->tensors[i];
    FUZZ_CHECK((size_t)mynah_shape_size(t->shape) * sizeof(float) == t->bytes);
    FUZZ_CHECK(strlen(t->name) < (size_t)1 << 21);
    for (size_t k = 0; k < t->bytes / sizeof(float); k++) sum += ((const float *)t->data)[k];
  }
  (void)sum;
  const char *names = mynah__onnx_note_of(o, "names");
  FUZZ_CHECK(!names || strlen(names) < (size_t)1 << 21);
  if (mynah__detector_from_onnx(o, &d) == MYNAH_OK) mynah_detector_destroy(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah__onnx *o;
  mynah__names names;
  char *text = malloc(size + 1); /* a block of its own, so that a sanitizer sees one byte too far */
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = 0;
  if (mynah__names_parse(text, &names) == MYNAH_OK) {
    for (int i = 0; i < names.n; i++) FUZZ_CHECK(names.text[i] != NULL);
    mynah__names_deinit(&names);
  }
  char *file = realloc(text, size ? size : 1);
  if (!file) file = text;
  if (mynah__onnx_parse(file, size, &o) == MYNAH_OK) {
    use(o);
    mynah__onnx_destroy(o);
  }
  free(file);
  return 0;
}
