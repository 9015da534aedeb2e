/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Cameras against a device that is not there: formats, frames that are short, garbled, old or missing, and a pulled plug. */
#include "src/capture/camera.h"
#include "src/capture/watch.h"

#include "support/shared.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <cmocka.h>

enum { BUFFERS = 4, BYTES = 4096, WIDTH = 8, HEIGHT = 4 };

/* ---- the camera --------------------------------------------------------------------------------------------------------- */

static struct {
  bool has_yuyv, has_mjpeg, is_unplugged, is_busy, is_metadata, is_open;
  double yuyv_fps;
  uint32_t padding;              /* of a YUYV row, bytes */
  int width, height;             /* the only size it has */
  uint32_t format;               /* as set */
  uint8_t memory[BUFFERS][BYTES];
  int empty[BUFFERS], n_empty;   /* given to the camera, in order */
  struct v4l2_buffer full[BUFFERS];
  int n_full, n_mapped, n_streaming, n_waits, unplug_after; /* so many waits */
  const uint8_t *late;           /* a frame that is put when the program waits */
  size_t late_bytes;
} fake;

static void put_frame(const void *data, size_t bytes, uint32_t flags, int64_t time_ns) {
  assert_true(fake.n_empty > 0 && bytes <= BYTES);
  int i = fake.empty[0];
  memmove(fake.empty, fake.empty + 1, (size_t)--fake.n_empty * sizeof *fake.empty);
  memcpy(fake.memory[i], data, bytes);
  fake.full[fake.n_full++] = (struct v4l2_buffer){.index = (uint32_t)i, .bytesused = (uint32_t)bytes, .flags = flags,
      .timestamp = {.tv_sec = time_ns / 1000000000, .tv_usec = time_ns % 1000000000 / 1000}};
}

/* A frame of one grey. */
static void put_grey(uint8_t y, int64_t time_ns) {
  uint8_t frame[2 * WIDTH * HEIGHT];
  for (size_t i = 0; i < sizeof frame; i += 2) frame[i] = y, frame[i + 1] = 128;
  put_frame(frame, sizeof frame, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, time_ns);
}

static int fail_with(int error) {
  errno = error;
  return -1;
}

static int fake_open(const char *path) {
  if (strcmp(path, "/dev/video0") != 0) return fail_with(ENOENT);
  fake.is_open = true;
  return 7;
}
static void fake_close(int fd) {
  assert_int_equal(fd, 7);
  fake.is_open = false;
}

static int set_format(struct v4l2_format *f) {
  bool has = f->fmt.pix.pixelformat == V4L2_PIX_FMT_YUYV ? fake.has_yuyv : f->fmt.pix.pixelformat == V4L2_PIX_FMT_MJPEG && fake.has_mjpeg;
  if (fake.is_busy) return fail_with(EBUSY);
  f->fmt.pix.pixelformat = fake.format = has ? f->fmt.pix.pixelformat : V4L2_PIX_FMT_GREY;
  f->fmt.pix.width = (uint32_t)fake.width, f->fmt.pix.height = (uint32_t)fake.height;
  f->fmt.pix.bytesperline = 2 * f->fmt.pix.width + fake.padding;
  return 0;
}

static int take_frame(struct v4l2_buffer *b) {
  if (fake.n_full == 0) return fail_with(EAGAIN);
  *b = fake.full[0];
  memmove(fake.full, fake.full + 1, (size_t)--fake.n_full * sizeof *fake.full);
  return 0;
}

static int fake_control(int fd, unsigned long request, void *argument) {
  assert_int_equal(fd, 7);
  if (fake.is_unplugged) return fail_with(ENODEV);
  switch (request) {
  case VIDIOC_QUERYCAP: {
    struct v4l2_capability *c = argument;
    c->capabilities = V4L2_CAP_DEVICE_CAPS | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    c->device_caps = fake.is_metadata ? V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING : V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    return 0;
  }
  case VIDIOC_G_FMT: return 0;
  case VIDIOC_S_FMT: return set_format(argument);
  case VIDIOC_G_PARM:
  case VIDIOC_S_PARM: {
    double fps = fake.format == V4L2_PIX_FMT_YUYV ? fake.yuyv_fps : 30;
    ((struct v4l2_streamparm *)argument)->parm.capture.timeperframe = (struct v4l2_fract){10, (uint32_t)lround(fps * 10)};
    return 0;
  }
  case VIDIOC_REQBUFS: ((struct v4l2_requestbuffers *)argument)->count = BUFFERS; return 0;
  case VIDIOC_QUERYBUF: {
    struct v4l2_buffer *b = argument;
    b->length = BYTES;
    b->m.offset = b->index * BYTES;
    return 0;
  }
  case VIDIOC_QBUF:
    assert_true(fake.n_empty < BUFFERS);
    fake.empty[fake.n_empty++] = (int)((struct v4l2_buffer *)argument)->index;
    return 0;
  case VIDIOC_DQBUF: return take_frame(argument);
  case VIDIOC_STREAMON: fake.n_streaming++; return 0;
  case VIDIOC_STREAMOFF:
    fake.n_streaming--;
    fake.n_empty = fake.n_full = 0;
    return 0;
  default: return fail_with(ENOTTY);
  }
}

static void *fake_map(int fd, size_t length, int64_t offset) {
  assert_int_equal(length, BYTES);
  fake.n_mapped++;
  return fake.memory[offset / BYTES];
}
static void fake_unmap(void *data, size_t length) { fake.n_mapped--; }

static int fake_wait(int fd, int timeout_ms) {
  if (++fake.n_waits == fake.unplug_after) fake.is_unplugged = true;
  if (fake.late && fake.n_full == 0) {
    put_frame(fake.late, fake.late_bytes, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, mynah_now_ns());
    fake.late = NULL;
  }
  if (fake.n_full > 0 || fake.is_unplugged) return 1;
  mynah_sleep_until_ns(mynah_now_ns() + (int64_t)timeout_ms * 1000000);
  return 0;
}

static const mynah__camera_io fake_io = {fake_open, fake_close, fake_control, fake_map, fake_unmap, fake_wait};
static const mynah_camera_config usual = {.width = WIDTH, .height = HEIGHT, .fps = 30};

static void plug_in(void) {
  memset(&fake, 0, sizeof fake);
  fake.has_yuyv = fake.has_mjpeg = true;
  fake.yuyv_fps = 30;
  fake.width = WIDTH, fake.height = HEIGHT;
}

static mynah_camera *open_camera(void) {
  mynah_camera *c = NULL;
  if (mynah__camera_open(&fake_io, "/dev/video0", &usual, &c) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(fake.n_streaming, 1);
  assert_int_equal(fake.n_empty, BUFFERS);
  return c;
}

static void close_camera(mynah_camera *c) {
  mynah_camera_close(c);
  assert_false(fake.is_open);
  assert_int_equal(fake.n_mapped, 0);
  if (!fake.is_unplugged) assert_int_equal(fake.n_streaming, 0);
}

/* ---- tests --------------------------------------------------------------------------------------------------------------- */

static void formats_are_negotiated(void **state) {
  plug_in();
  mynah_camera *c = open_camera();
  assert_string_equal(mynah_camera_format(c), "YUYV");
  assert_float_equal(mynah_camera_fps(c), 30, 1e-9);
  assert_int_equal(mynah_camera_size(c).width, WIDTH);
  close_camera(c);
  fake.yuyv_fps = 5; /* too slow: motion JPEG is there */
  c = open_camera();
  assert_string_equal(mynah_camera_format(c), "MJPG");
  close_camera(c);
  fake.has_mjpeg = false; /* or not */
  c = open_camera();
  assert_string_equal(mynah_camera_format(c), "YUYV");
  assert_int_equal(fake.format, V4L2_PIX_FMT_YUYV);
  assert_float_equal(mynah_camera_fps(c), 5, 1e-9);
  close_camera(c);
  fake.has_mjpeg = true, fake.has_yuyv = false;
  c = open_camera();
  assert_string_equal(mynah_camera_format(c), "MJPG");
  close_camera(c);
}

static void refuse(const char *path, const mynah_camera_config *config, mynah_status want, const char *text) {
  mynah_camera *c;
  assert_int_equal(mynah__camera_open(&fake_io, path, config, &c), want);
  if (!strstr(mynah_error(), text)) fail_msg("'%s' does not say '%s'", mynah_error(), text);
  assert_false(fake.is_open);
  assert_int_equal(fake.n_mapped, 0);
}

static void what_is_no_camera_is_refused(void **state) {
  plug_in();
  refuse("/dev/video9", &usual, MYNAH_NOT_FOUND, "/dev/video9");
  refuse("/dev/video0", &(mynah_camera_config){640, 480, 30}, MYNAH_MISMATCH, "nearest are 8x4");
  refuse("/dev/video0", &(mynah_camera_config){640, 0, 30}, MYNAH_INVALID, "640x0");
  refuse("/dev/video0", &(mynah_camera_config){641, 480, 30}, MYNAH_INVALID, "641");
  refuse("/dev/video0", &(mynah_camera_config){640, 480, (double)NAN}, MYNAH_INVALID, "nan");
  fake.width = 7;
  refuse("/dev/video0", NULL, MYNAH_UNSUPPORTED, "7x4");
  plug_in();
  fake.has_yuyv = fake.has_mjpeg = false;
  refuse("/dev/video0", &usual, MYNAH_UNSUPPORTED, "neither YUYV nor motion JPEG");
  plug_in();
  fake.is_metadata = true;
  refuse("/dev/video0", &usual, MYNAH_UNSUPPORTED, "no camera");
  plug_in();
  fake.is_busy = true;
  refuse("/dev/video0", &usual, MYNAH_BUSY, "another program");
  mynah_camera *c; /* the real system */
  assert_int_equal(mynah_camera_open("/dev/null", &usual, &c), MYNAH_UNSUPPORTED);
  assert_int_equal(mynah_camera_open("/dev/video-that-is-not-there", &usual, &c), MYNAH_NOT_FOUND);
}

/* BT.601 by hand: round down of (298 (Y - 16) + 409 V + 128) / 256 and so on. */
static void yuyv_becomes_rgb(void **state) {
  const uint8_t in[2][12] = {{16, 128, 235, 128, 126, 128, 16, 128, 9, 9, 9, 9}, {81, 90, 145, 240, 255, 0, 0, 255, 9, 9, 9, 9}}; /* rows have padding */
  const uint8_t want[24] = {0,   0, 0, 255, 255, 255, 128, 128, 128, 0,   0, 0, /* black, white, grey, black */
                            255, 0, 0, 255, 74,  74,  255, 225, 20,  184, 0, 0};
  uint8_t got[24];
  mynah_image out = {got, 4, 2};
  mynah_yuyv_to_rgb(in[0], sizeof in[0], &out);
  assert_memory_equal(got, want, sizeof want);
}

static void the_newest_frame_is_taken(void **state) {
  uint8_t data[3 * WIDTH * HEIGHT], late[2 * WIDTH * HEIGHT];
  mynah_image out = {data, WIDTH, HEIGHT};
  int64_t time, now = mynah_now_ns();
  plug_in();
  mynah_camera *c = open_camera();
  for (int i = 0; i < 3; i++) put_grey((uint8_t)(50 + 50 * i), now - 3000000 + 1000000 * i);
  assert_int_equal(mynah_camera_read(c, 1, &out, &time), MYNAH_OK);
  assert_int_equal(data[0], (298 * (150 - 16) + 128) >> 8);
  assert_int_equal(time, (now - 1000000) / 1000 * 1000);
  assert_int_equal(fake.n_empty, BUFFERS);
  assert_int_equal(mynah_camera_count(c).n_old, 2);
  /* A full queue of old frames: the next is waited for. */
  for (int i = 0; i < BUFFERS; i++) put_grey(50, mynah_now_ns() - 1000000000);
  for (size_t i = 0; i < sizeof late; i += 2) late[i] = 200, late[i + 1] = 128;
  fake.late = late, fake.late_bytes = sizeof late;
  assert_int_equal(mynah_camera_read(c, 1, &out, &time), MYNAH_OK);
  assert_int_equal(data[0], (298 * (200 - 16) + 128) >> 8);
  assert_int_equal(mynah_camera_count(c).n_old, 6);
  assert_int_equal(mynah_camera_count(c).n_frames, 2);
  /* A clock that is not ours says nothing. */
  put_frame(late, sizeof late, V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN, 5);
  now = mynah_now_ns();
  assert_int_equal(mynah_camera_read(c, 1, &out, &time), MYNAH_OK);
  assert_true(time >= now && time <= mynah_now_ns());
  close_camera(c);
}

static void rows_may_have_padding(void **state) {
  uint8_t data[3 * WIDTH * HEIGHT], frame[(2 * WIDTH + 16) * HEIGHT];
  mynah_image out = {data, WIDTH, HEIGHT};
  int64_t time;
  plug_in();
  fake.padding = 16;
  mynah_camera *c = open_camera();
  memset(frame, 255, sizeof frame);
  for (size_t y = 0; y < HEIGHT; y++)
    for (size_t x = 0; x < WIDTH; x++) frame[y * (2 * WIDTH + 16) + 2 * x] = 126, frame[y * (2 * WIDTH + 16) + 2 * x + 1] = 128;
  put_frame(frame, sizeof frame - 16, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, mynah_now_ns());
  assert_int_equal(mynah_camera_read(c, 1, &out, &time), MYNAH_OK);
  for (size_t i = 0; i < sizeof data; i++) assert_int_equal(data[i], 128);
  put_frame(frame, sizeof frame - 17, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, mynah_now_ns()); /* a byte is missing */
  assert_int_equal(mynah_camera_read(c, 0.01, &out, &time), MYNAH_TIMEOUT);
  assert_int_equal(mynah_camera_count(c).n_bad, 1);
  close_camera(c);
}

static void bad_motion_jpeg_is_skipped(void **state) {
  uint8_t pixels[3 * 2 * WIDTH * HEIGHT], data[3 * WIDTH * HEIGHT], garbled[BYTES];
  mynah_image in = {pixels, WIDTH, HEIGHT}, large = {pixels, 2 * WIDTH, HEIGHT}, out = {data, WIDTH, HEIGHT};
  mynah_str jpeg = {0}, other = {0};
  int64_t time;
  memset(pixels, 100, sizeof pixels);
  assert_int_equal(mynah_jpeg_encode(&in, 90, &jpeg), MYNAH_OK);
  assert_int_equal(mynah_jpeg_encode(&large, 90, &other), MYNAH_OK);
  plug_in();
  fake.has_yuyv = false;
  mynah_camera *c = open_camera();
  for (int k = 0; k < 6; k++) { /* empty, rubbish, cut, of another size, marked as damaged, longer than its buffer */
    const void *bytes = k == 3 ? other.data : jpeg.data;
    size_t n = k == 0 ? 0 : k == 2 ? jpeg.length / 2 : k == 3 ? other.length : jpeg.length;
    memset(garbled, 0x5a, sizeof garbled);
    put_frame(k == 1 ? garbled : bytes, n, V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | (k == 4 ? V4L2_BUF_FLAG_ERROR : 0), mynah_now_ns());
    if (k == 5) fake.full[0].bytesused = BYTES + 1;
    fake.late = (const uint8_t *)jpeg.data, fake.late_bytes = jpeg.length;
    memset(data, 0, sizeof data);
    if (mynah_camera_read(c, 1, &out, &time) != MYNAH_OK) fail_msg("%d: %s", k, mynah_error());
    assert_int_equal(mynah_camera_count(c).n_bad, k + 1);
    assert_int_equal(mynah_camera_count(c).n_frames, k + 1);
    for (size_t i = 0; i < sizeof data; i++) assert_in_range(data[i], 98, 102);
    assert_int_equal(fake.n_empty, BUFFERS);
  }
  close_camera(c);
  mynah_str_deinit(&jpeg);
  mynah_str_deinit(&other);
}

static void a_pulled_plug_is_said(void **state) {
  uint8_t data[3 * WIDTH * HEIGHT];
  mynah_image out = {data, WIDTH, HEIGHT}, small = {data, 4, 4};
  int64_t time, start = mynah_now_ns();
  plug_in();
  mynah_camera *c = open_camera();
  assert_int_equal(mynah_camera_read(c, 1, &small, &time), MYNAH_MISMATCH);
  assert_int_equal(mynah_camera_read(c, 0.05, &out, &time), MYNAH_TIMEOUT); /* nothing comes */
  assert_true(mynah_now_ns() - start >= 50000000);
  fake.full[0] = (struct v4l2_buffer){.index = 99};
  fake.n_full = 1;
  assert_int_equal(mynah_camera_read(c, 1, &out, &time), MYNAH_IO); /* a buffer that was never made */
  fake.is_unplugged = true;
  assert_int_equal(mynah_camera_read(c, 1, &out, &time), MYNAH_IO);
  assert_non_null(strstr(mynah_error(), "/dev/video0: was unplugged"));
  close_camera(c);
}

/* A robot's camera: read by a thread, the latest picture is there at once, a pulled plug is the device's failure. */
static void a_thread_watches(void **state) {
  mynah__watch *w;
  mynah_camera *c;
  uint8_t late[2 * WIDTH * HEIGHT];
  int64_t start = mynah_now_ns();
  plug_in();
  c = open_camera();
  for (size_t i = 0; i < sizeof late; i += 2) late[i] = 200, late[i + 1] = 128;
  put_grey(50, start - 5000000);
  if (mynah__watch_start(c, &w) != MYNAH_OK) fail_msg("%s", mynah_error());
  mynah_value v = mynah__watch_latest(w);
  assert_int_equal(v.bytes, 3 * WIDTH * HEIGHT);
  assert_int_equal(((const uint8_t *)v.data)[0], (298 * (50 - 16) + 128) >> 8);
  assert_int_equal(v.time_ns, (start - 5000000) / 1000 * 1000);
  assert_int_equal(mynah__watch_health(w), MYNAH_OK);
  mynah__watch_end(w); /* while it waits */
  assert_int_equal(fake.n_mapped, 0);
  plug_in();
  c = open_camera();
  put_grey(50, start - 5000000);
  fake.late = late, fake.late_bytes = sizeof late, fake.unplug_after = 3;
  if (mynah__watch_start(c, &w) != MYNAH_OK) fail_msg("%s", mynah_error());
  while (mynah__watch_health(w) == MYNAH_OK && mynah_now_ns() - start < 10000000000) mynah_sleep_until_ns(mynah_now_ns() + 1000000);
  assert_int_equal(mynah__watch_health(w), MYNAH_IO);
  assert_non_null(strstr(mynah_error(), "was unplugged"));
  v = mynah__watch_latest(w);
  assert_int_equal(((const uint8_t *)v.data)[0], (298 * (200 - 16) + 128) >> 8);
  assert_ptr_equal(mynah__watch_latest(w).data, v.data); /* nothing newer */
  mynah__watch_end(w);
  assert_int_equal(fake.n_mapped, 0);
  plug_in();
  c = open_camera();
  fake.is_unplugged = true;
  assert_int_equal(mynah__watch_start(c, &w), MYNAH_IO);
  assert_int_equal(fake.n_mapped, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(formats_are_negotiated), cmocka_unit_test(what_is_no_camera_is_refused),
                                     cmocka_unit_test(yuyv_becomes_rgb), cmocka_unit_test(the_newest_frame_is_taken),
                                     cmocka_unit_test(rows_may_have_padding), cmocka_unit_test(bad_motion_jpeg_is_skipped),
                                     cmocka_unit_test(a_pulled_plug_is_said), cmocka_unit_test(a_thread_watches)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
