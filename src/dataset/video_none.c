/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* In place of video.c where FFmpeg's libraries are not there. */
#include "video.h"

bool mynah__video_is_supported(void) { return false; }
mynah_status mynah__video_read(mynah__video *v, const char *path, int64_t frame, int width, int height, uint8_t *out) {
  return mynah_fail(MYNAH_UNSUPPORTED, "%s: this build cannot decode videos (libavformat-dev, libavcodec-dev, libswscale-dev)", path);
}
void mynah__video_close(mynah__video *v) { *v = (mynah__video){.fd = -1}; }
