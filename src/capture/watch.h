/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A camera and the thread that reads it; whoever wants a picture gets the latest and never waits. */
#ifndef MYNAH_CAPTURE_WATCH_H
#define MYNAH_CAPTURE_WATCH_H

#include <mynah/capture.h>

typedef struct mynah__watch mynah__watch;
/* Owns the camera from here on, also when it fails. Returns after the first frame. Fails: as mynah_camera_read, LIMIT (no thread). */
MYNAH_CHECKED mynah_status mynah__watch_start(mynah_camera *camera, mynah__watch **out);
void mynah__watch_end(mynah__watch *w);
/* The latest frame, valid until the next call. One thread. */
MYNAH_RT mynah_value mynah__watch_latest(mynah__watch *w);
/* Fails: IO, with what the camera said last. */
mynah_status mynah__watch_health(const mynah__watch *w);

#endif
