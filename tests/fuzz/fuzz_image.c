/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JPEG and PNG files: an accepted picture has sane sides and pixels that can all be read. */
#include "fuzz.h"

#include <mynah/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah_image image = {0};
  uint8_t small[8 * 8 * 3];
  mynah_image out = {.data = small, .width = 8, .height = 8};
  if (mynah_image_decode(data, size, size % 3 ? 0 : 16, 16, &image) != MYNAH_OK) return 0;
  FUZZ_CHECK(image.width > 0 && image.height > 0);
  FUZZ_CHECK(image.width <= MYNAH_IMAGE_MAX_SIDE && image.height <= MYNAH_IMAGE_MAX_SIDE);
  mynah_image_resample(&image, 0, 0, image.width, image.height, &out);
  mynah_image_deinit(&image);
  return 0;
}
