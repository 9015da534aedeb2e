/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the image codecs share. */
#ifndef MYNAH_BASE_IMAGE_INTERNAL_H
#define MYNAH_BASE_IMAGE_INTERNAL_H

#include <mynah/base.h>

/* Allocates the pixels of an image after checking its size. Fails: LIMIT, NO_MEMORY. */
MYNAH_CHECKED mynah_status mynah__image_make(int64_t width, int64_t height, mynah_image *out);
MYNAH_CHECKED mynah_status mynah__image_check(const mynah_image *image);
MYNAH_CHECKED mynah_status mynah__jpeg_decode(const void *data, size_t length, int min_width, int min_height,
                                              mynah_image *out);
MYNAH_CHECKED mynah_status mynah__png_decode(const void *data, size_t length, mynah_image *out);

#endif
