/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Small QuickTime films of JPEG pictures, written without the libraries that read them. */
#ifndef MYNAH_TEST_MOVIE_H
#define MYNAH_TEST_MOVIE_H

#include <mynah/base.h>

/* Frames one after the other, frame i shown for ms[i]; all of the first one's size. Shape: frames, ms (n) */
void mynah_test_movie(const char *path, const mynah_image *frames, const int *ms, int n);

#endif
