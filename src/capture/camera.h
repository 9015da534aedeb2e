/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a camera needs of the system, so that tests can be the system. */
#ifndef MYNAH_CAPTURE_CAMERA_H
#define MYNAH_CAPTURE_CAMERA_H

#include <mynah/capture.h>

/* Each returns as its system call does, with errno set. */
typedef struct mynah__camera_io {
  int (*open)(const char *path);
  void (*close)(int fd);
  int (*control)(int fd, unsigned long request, void *argument);
  void *(*map)(int fd, size_t length, int64_t offset); /* NULL: failed */
  void (*unmap)(void *data, size_t length);
  int (*wait)(int fd, int timeout_ms); /* > 0: a frame or an error is there, 0: time is up, < 0: errno */
} mynah__camera_io;

MYNAH_CHECKED mynah_status mynah__camera_open(const mynah__camera_io *io, const char *path, const mynah_camera_config *config,
                                              mynah_camera **out);

#endif
