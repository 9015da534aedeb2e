/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Parts of paths that the file functions share. */
#ifndef MYNAH_BASE_PATH_INTERNAL_H
#define MYNAH_BASE_PATH_INTERNAL_H

#include <mynah/base.h>

/* The folder a path lies in: "a/b" -> "a", "/b" -> "/", "b" -> ".". Longer paths than MYNAH_PATH_MAX are cut. */
void mynah__path_folder(char out[MYNAH_PATH_MAX], const char *path);

#endif
