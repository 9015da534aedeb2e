/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Three pictures change hands by one atomic exchange: one is written, one is read, one lies between. */
#include "watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define FIRST_S 5.0 /* cameras need a while until their first frame */
#define WAIT_S 0.2  /* between looks at whether it shall end */
enum { IS_FRESH = 4 };

struct mynah__watch {
  mynah_camera *camera;
  mynah_image pictures[3];
  int64_t times_ns[3];
  int written, read;  /* of the thread; of who looks */
  atomic_int between; /* index, and IS_FRESH until it was read */
  pthread_t thread;
  bool has_thread;
  atomic_bool is_ending, is_lost;
  char error[512]; /* before is_lost */
};

static void *watch(void *context) {
  mynah__watch *w = context;
  while (!atomic_load(&w->is_ending)) {
    mynah_status status = mynah_camera_read(w->camera, WAIT_S, &w->pictures[w->written], &w->times_ns[w->written]);
    if (status == MYNAH_OK) w->written = atomic_exchange(&w->between, w->written | IS_FRESH) & 3;
    if (status == MYNAH_OK || status == MYNAH_TIMEOUT || status == MYNAH_INTERRUPTED) continue; /* old pictures are the control loop's to judge */
    snprintf(w->error, sizeof w->error, "%s", mynah_error());
    atomic_store(&w->is_lost, true);
    break;
  }
  return NULL;
}

static mynah_status start(mynah__watch *w) {
  mynah_image size = mynah_camera_size(w->camera);
  for (int i = 0; i < 3; i++) {
    w->pictures[i] = size;
    if (!(w->pictures[i].data = mynah_calloc((size_t)size.width * (size_t)size.height, 3))) return MYNAH_NO_MEMORY;
  }
  w->written = 0, w->read = 2;
  atomic_store(&w->between, 1);
  MYNAH_TRY(mynah_camera_read(w->camera, FIRST_S, &w->pictures[2], &w->times_ns[2]));
  if (pthread_create(&w->thread, NULL, watch, w) != 0) return mynah_fail(MYNAH_LIMIT, "the camera's thread cannot be made");
  w->has_thread = true;
  return MYNAH_OK;
}

mynah_status mynah__watch_start(mynah_camera *camera, mynah__watch **out) {
  mynah__watch *w = mynah_calloc(1, sizeof *w);
  if (!w) {
    mynah_camera_close(camera);
    return MYNAH_NO_MEMORY;
  }
  w->camera = camera;
  mynah_status status = start(w);
  if (status == MYNAH_OK) *out = w;
  else mynah__watch_end(w);
  return status;
}

void mynah__watch_end(mynah__watch *w) {
  if (!w) return;
  atomic_store(&w->is_ending, true);
  if (w->has_thread) pthread_join(w->thread, NULL);
  mynah_camera_close(w->camera);
  for (int i = 0; i < 3; i++) mynah_free(w->pictures[i].data);
  mynah_free(w);
}

mynah_value mynah__watch_latest(mynah__watch *w) {
  if (atomic_load(&w->between) & IS_FRESH) w->read = atomic_exchange(&w->between, w->read) & 3;
  const mynah_image *p = &w->pictures[w->read];
  return (mynah_value){p->data, (size_t)p->width * (size_t)p->height * 3, w->times_ns[w->read]};
}

mynah_status mynah__watch_health(const mynah__watch *w) { return atomic_load(&w->is_lost) ? mynah_fail(MYNAH_IO, "%s", w->error) : MYNAH_OK; }
