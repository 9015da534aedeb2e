/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames of a video file in their order, decoded by a child process that can do nothing else. */
#ifndef MYNAH_DATASET_VIDEO_H
#define MYNAH_DATASET_VIDEO_H

#include <mynah/base.h>

typedef struct mynah__video {
  char path[MYNAH_PATH_MAX];
  int fd; /* where frames come from; −1: not open */
  int child, width, height;
  int64_t next;
} mynah__video;

/* Whether this build can decode videos. */
bool mynah__video_is_supported(void);
/* Frame number `frame` as RGB. Goes on in the open file where it can, else opens it anew and reads up to there.
 * Shape: out (height, width, 3). Fails: NOT_FOUND, CORRUPT, MISMATCH (another size), UNSUPPORTED. */
mynah_status mynah__video_read(mynah__video *v, const char *path, int64_t frame, int width, int height, uint8_t *out);
void mynah__video_close(mynah__video *v);

#endif
