/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The text of a label file: boxes that are taken lie in the picture and have a class. */
#include "fuzz.h"

#include "src/dataset/labels.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  float *boxes;
  size_t n;
  char *text = mynah_alloc(size + 1);
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = 0;
  if (mynah__label_text_parse(text, size, 10, &boxes, &n) == MYNAH_OK) {
    FUZZ_CHECK(n <= MYNAH_LABELS_BOXES_MAX);
    for (size_t i = 0; i < 5 * n; i++) FUZZ_CHECK(boxes[i] >= 0 && boxes[i] <= (i % 5 ? 1 : 9));
    mynah_free(boxes);
  }
  mynah_free(text);
  return 0;
}
