/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A tub: the input is manifest.json up to its first zero byte, then a catalogue; one picture is there. */
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (fuzz_make_folder()) {
    uint8_t pixels[8 * 8 * 3] = {0};
    char path[512];
    mynah_str jpeg = {0};
    snprintf(path, sizeof path, "%s/tub/images", fuzz_folder);
    FUZZ_CHECK(mynah_make_dirs(path) == MYNAH_OK);
    FUZZ_CHECK(mynah_jpeg_encode(&(mynah_image){pixels, 8, 8}, 90, &jpeg) == MYNAH_OK);
    fuzz_put("tub/images/0.jpg", jpeg.data, jpeg.length);
    mynah_str_deinit(&jpeg);
  }
  const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
  size_t n = end ? (size_t)(end - data) : size;
  fuzz_put("tub/manifest.json", data, n);
  fuzz_put("tub/c.catalog", end ? end + 1 : data, end ? size - n - 1 : 0);
  fuzz_import("tub", "tub");
  return 0;
}
