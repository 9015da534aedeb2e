/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Images: made, freed, and decoded by what their first bytes say they are. */
#include <mynah/base.h>

#include "image_internal.h"

#include <string.h>

#define MAX_BYTES ((size_t)1 << 28)

static mynah_status check_size(int64_t width, int64_t height) {
  if (width < 1 || height < 1)
    return mynah_fail(MYNAH_CORRUPT, "image of %lldx%lld px", (long long)width, (long long)height);
  if (width > MYNAH_IMAGE_MAX_SIDE || height > MYNAH_IMAGE_MAX_SIDE ||
      (uint64_t)width * (uint64_t)height * 3 > MAX_BYTES)
    return mynah_fail(MYNAH_LIMIT, "image of %lldx%lld px: too large", (long long)width, (long long)height);
  return MYNAH_OK;
}

mynah_status mynah__image_make(int64_t width, int64_t height, mynah_image *out) {
  MYNAH_TRY(check_size(width, height));
  uint8_t *data = mynah_alloc((size_t)width * (size_t)height * 3);
  if (!data) return MYNAH_NO_MEMORY;
  *out = (mynah_image){.data = data, .width = (int)width, .height = (int)height};
  return MYNAH_OK;
}

mynah_status mynah__image_check(const mynah_image *image) {
  if (!image->data) return mynah_fail(MYNAH_INVALID, "image without pixels");
  return check_size(image->width, image->height);
}

void mynah_image_deinit(mynah_image *image) {
  mynah_free(image->data);
  *image = (mynah_image){0};
}

mynah_status mynah_image_decode(const void *data, size_t length, int min_width, int min_height, mynah_image *out) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
  if (length >= sizeof png && memcmp(data, png, sizeof png) == 0) return mynah__png_decode(data, length, out);
  if (length >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0)
    return mynah__jpeg_decode(data, length, min_width, min_height, out);
  return mynah_fail(MYNAH_UNSUPPORTED, "image: neither JPEG nor PNG");
}

mynah_status mynah_image_load(const char *path, mynah_image *out) {
  mynah_map map;
  MYNAH_TRY(mynah_map_open(path, &map));
  mynah_status status = mynah_image_decode(map.data, map.size, 0, 0, out);
  mynah_map_close(&map);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}
