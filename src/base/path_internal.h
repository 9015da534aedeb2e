/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Parts of paths that the file functions share. */
#ifndef MYNAH_BASE_PATH_INTERNAL_H
#define MYNAH_BASE_PATH_INTERNAL_H

#include <mynah/base.h>

/* The folder a path lies in: "a/b" -> "a", "/b" -> "/", "b" -> ".". Longer paths than MYNAH_PATH_MAX are cut. */
void mynah__path_folder(char out[MYNAH_PATH_MAX], const char *path);
/* Opens for reading, where mynah_confine lets it. flags: O_DIRECTORY or 0, for open(2). (confine.c) */
mynah_status mynah__open_reading(const char *path, int flags, int *fd);

#endif
