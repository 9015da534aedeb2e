/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* V4L2 cameras: formats are negotiated, frames come in mapped buffers, the newest becomes RGB. */
#include "camera.h"

#include <linux/videodev2.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFERS = 4 };
#define FRAME_MAX ((size_t)1 << 30) /* bytes of a buffer */

struct mynah_camera {
  const mynah__camera_io *io;
  char path[MYNAH_PATH_MAX];
  int fd, n_buffers;
  struct {
    void *data;
    size_t length;
  } buffers[BUFFERS];
  uint32_t format;
  int width, height;
  size_t stride; /* of YUYV, bytes */
  double fps;
  mynah_camera_counts counts;
};

/* ---- the system ------------------------------------------------------------------------------------------------------- */

static int open_file(const char *path) { return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); }
static void close_file(int fd) { close(fd); }
static int control_file(int fd, unsigned long request, void *argument) {
  int rc;
  do rc = ioctl(fd, request, argument);
  while (rc < 0 && errno == EINTR);
  return rc;
}
static void *map_file(int fd, size_t length, int64_t offset) {
  void *data = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
  return data == MAP_FAILED ? NULL : data;
}
static void unmap_file(void *data, size_t length) { munmap(data, length); }
static int wait_for_file(int fd, int timeout_ms) { return poll(&(struct pollfd){fd, POLLIN, 0}, 1, timeout_ms); }

static const mynah__camera_io linux_io = {open_file, close_file, control_file, map_file, unmap_file, wait_for_file};

static int ask(const mynah_camera *c, unsigned long request, void *argument) { return c->io->control(c->fd, request, argument); }

static mynah_status fail(const mynah_camera *c, const char *what) {
  if (errno == ENODEV || errno == ENXIO) return mynah_fail(MYNAH_IO, "%s: was unplugged", c->path);
  if (errno == EBUSY) return mynah_fail(MYNAH_BUSY, "%s: another program uses it", c->path);
  return mynah_fail_errno(c->path, what);
}

/* ---- the format ------------------------------------------------------------------------------------------------------- */

/* Asks for a format; *is_given: it is this one and of the size wanted. */
static mynah_status try_format(mynah_camera *c, const mynah_camera_config *want, uint32_t format, bool *is_given) {
  struct v4l2_format f = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  struct v4l2_streamparm rate = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  struct v4l2_fract *period = &rate.parm.capture.timeperframe;
  *is_given = false;
  if (ask(c, VIDIOC_G_FMT, &f) < 0) return fail(c, "tells no format");
  if (want->width > 0) f.fmt.pix.width = (uint32_t)want->width, f.fmt.pix.height = (uint32_t)want->height;
  f.fmt.pix.pixelformat = format;
  f.fmt.pix.field = V4L2_FIELD_NONE;
  f.fmt.pix.bytesperline = f.fmt.pix.sizeimage = 0;
  if (ask(c, VIDIOC_S_FMT, &f) < 0) return errno == EINVAL ? MYNAH_OK : fail(c, "takes no format");
  const struct v4l2_pix_format *p = &f.fmt.pix;
  if (p->pixelformat != format) return MYNAH_OK;
  if (p->width < 2 || p->height < 1 || p->width > MYNAH_IMAGE_MAX_SIDE || p->height > MYNAH_IMAGE_MAX_SIDE || p->width % 2)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: pictures of %ux%u", c->path, p->width, p->height);
  c->width = (int)p->width, c->height = (int)p->height;
  c->stride = p->bytesperline > 2 * p->width ? p->bytesperline : 2 * (size_t)p->width;
  c->format = format;
  *is_given = want->width <= 0 || (c->width == want->width && c->height == want->height);
  if (want->fps > 0) { /* a camera that cannot be asked keeps its own rate */
    *period = (struct v4l2_fract){1000, (uint32_t)lround(want->fps * 1000)};
    (void)ask(c, VIDIOC_S_PARM, &rate);
  } else (void)ask(c, VIDIOC_G_PARM, &rate);
  c->fps = period->numerator > 0 ? (double)period->denominator / period->numerator : 0;
  return MYNAH_OK;
}

/* YUYV costs nothing to decode; on USB 2 it is slow in large sizes, where motion JPEG reaches the rate. */
static mynah_status choose_format(mynah_camera *c, const mynah_camera_config *want) {
  static const uint32_t formats[] = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV};
  bool is_given[3] = {false};
  for (int i = 0; i < 3; i++) {
    if (i == 2 && !is_given[0]) break;
    MYNAH_TRY(try_format(c, want, formats[i], &is_given[i]));
    if (!is_given[i]) continue;
    if (i > 0 || want->fps <= 0 || c->fps <= 0 || c->fps >= 0.9 * want->fps) return MYNAH_OK;
  }
  if (c->format == 0) return mynah_fail(MYNAH_UNSUPPORTED, "%s: gives neither YUYV nor motion JPEG", c->path);
  return mynah_fail(MYNAH_MISMATCH, "%s: has no pictures of %dx%d; the nearest are %dx%d", c->path, want->width, want->height, c->width,
                    c->height);
}

/* ---- the stream ------------------------------------------------------------------------------------------------------- */

static struct v4l2_buffer buffer_of(uint32_t index) {
  return (struct v4l2_buffer){.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
}

static mynah_status map_buffers(mynah_camera *c) {
  struct v4l2_requestbuffers request = {.count = BUFFERS, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
  if (ask(c, VIDIOC_REQBUFS, &request) < 0) return fail(c, "gives no buffers");
  if (request.count < 2 || request.count > BUFFERS)
    return mynah_fail(MYNAH_LIMIT, "%s: gives %u buffers instead of %d", c->path, request.count, BUFFERS);
  for (uint32_t i = 0; i < request.count; i++) {
    struct v4l2_buffer b = buffer_of(i);
    if (ask(c, VIDIOC_QUERYBUF, &b) < 0) return fail(c, "describes no buffer");
    if (b.length == 0 || b.length > FRAME_MAX) return mynah_fail(MYNAH_LIMIT, "%s: a buffer of %u bytes", c->path, b.length);
    if (!(c->buffers[i].data = c->io->map(c->fd, b.length, (int64_t)b.m.offset))) return fail(c, "cannot be mapped");
    c->buffers[i].length = b.length;
    c->n_buffers++;
    if (ask(c, VIDIOC_QBUF, &b) < 0) return fail(c, "takes no buffer");
  }
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  return ask(c, VIDIOC_STREAMON, &type) < 0 ? fail(c, "does not stream") : MYNAH_OK;
}

static mynah_status start(mynah_camera *c, const mynah_camera_config *config) {
  struct v4l2_capability has = {0};
  c->fd = c->io->open(c->path);
  if (c->fd < 0) return errno == ENOENT || errno == EACCES
                            ? mynah_fail_errno(c->path, errno == EACCES ? "cannot be opened: is this user in the group video?" : "cannot be opened")
                            : fail(c, "cannot be opened");
  uint32_t bits = ask(c, VIDIOC_QUERYCAP, &has) < 0 ? 0 : has.capabilities & V4L2_CAP_DEVICE_CAPS ? has.device_caps : has.capabilities;
  if (!(bits & V4L2_CAP_VIDEO_CAPTURE) || !(bits & V4L2_CAP_STREAMING))
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: is no camera that streams; a camera's second device only describes it", c->path);
  MYNAH_TRY(choose_format(c, config));
  return map_buffers(c);
}

mynah_status mynah__camera_open(const mynah__camera_io *io, const char *path, const mynah_camera_config *config, mynah_camera **out) {
  static const mynah_camera_config as_it_stands = {0};
  if (!config) config = &as_it_stands;
  if ((config->width > 0) != (config->height > 0) || config->width < 0 || config->height < 0 || config->width % 2 ||
      config->width > MYNAH_IMAGE_MAX_SIDE || config->height > MYNAH_IMAGE_MAX_SIDE || !(config->fps >= 0 && config->fps <= 1000))
    return mynah_fail(MYNAH_INVALID, "%s: no camera has pictures of %dx%d, %g a second", path, config->width, config->height, config->fps);
  mynah_camera *c = mynah_calloc(1, sizeof *c);
  if (!c) return MYNAH_NO_MEMORY;
  c->io = io;
  c->fd = -1;
  mynah_status status = mynah_copy_text(c->path, sizeof c->path, path);
  if (status == MYNAH_OK) status = start(c, config);
  if (status != MYNAH_OK) {
    mynah_camera_close(c);
    return status;
  }
  *out = c;
  return MYNAH_OK;
}

mynah_status mynah_camera_open(const char *path, const mynah_camera_config *config, mynah_camera **out) {
  return mynah__camera_open(&linux_io, path, config, out);
}

void mynah_camera_close(mynah_camera *c) {
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (!c) return;
  if (c->n_buffers > 0) (void)ask(c, VIDIOC_STREAMOFF, &type);
  for (int i = 0; i < c->n_buffers; i++) c->io->unmap(c->buffers[i].data, c->buffers[i].length);
  if (c->fd >= 0) c->io->close(c->fd);
  mynah_free(c);
}

/* ---- frames ------------------------------------------------------------------------------------------------------------- */

static uint8_t clamp(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* Source: ITU-R BT.601, in 1/256. */
void mynah_yuyv_to_rgb(const uint8_t *yuyv, size_t stride, mynah_image *out) {
  for (int y = 0; y < out->height; y++) {
    const uint8_t *in = yuyv + (size_t)y * stride;
    uint8_t *to = out->data + (size_t)y * (size_t)out->width * 3;
    for (int x = 0; x < out->width; x += 2, in += 4, to += 6) {
      int u = in[1] - 128, v = in[3] - 128;
      int red = 409 * v + 128, green = -100 * u - 208 * v + 128, blue = 516 * u + 128;
      for (int k = 0; k < 2; k++) {
        int light = 298 * (in[2 * k] - 16);
        to[3 * k] = clamp((light + red) >> 8);
        to[3 * k + 1] = clamp((light + green) >> 8);
        to[3 * k + 2] = clamp((light + blue) >> 8);
      }
    }
  }
}

static bool decode(const mynah_camera *c, const struct v4l2_buffer *b, mynah_image *out) {
  const void *data = c->buffers[b->index].data;
  size_t length = c->buffers[b->index].length;
  if (b->flags & V4L2_BUF_FLAG_ERROR || b->bytesused > length) return false;
  if (c->format == V4L2_PIX_FMT_MJPEG) return mynah_jpeg_decode_into(data, b->bytesused, out) == MYNAH_OK;
  if (b->bytesused < c->stride * (size_t)(c->height - 1) + 2 * (size_t)c->width) return false;
  mynah_yuyv_to_rgb(data, c->stride, out);
  return true;
}

/* Drivers say when on the monotonic clock; of the few others it is known only that the frame is here now. */
static int64_t time_of(const struct v4l2_buffer *b) {
  int64_t now = mynah_now_ns(), time = (int64_t)b->timestamp.tv_sec * 1000000000 + (int64_t)b->timestamp.tv_usec * 1000;
  bool is_ours = (b->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  return is_ours && time > 0 && time < now ? time : now;
}

/* Takes all that is queued and gives back all but the newest. n: how many there were. */
static mynah_status take_newest(mynah_camera *c, struct v4l2_buffer *newest, int *n) {
  for (*n = 0; *n < c->n_buffers; ++*n) {
    struct v4l2_buffer b = buffer_of(0);
    if (ask(c, VIDIOC_DQBUF, &b) < 0) {
      if (errno == EAGAIN) break;
      if (errno != EIO) return fail(c, "gives no frame");
      c->counts.n_bad++;
      break;
    }
    if (b.index >= (uint32_t)c->n_buffers) return mynah_fail(MYNAH_IO, "%s: gives a buffer it does not have", c->path);
    if (*n > 0 && ask(c, VIDIOC_QBUF, newest) < 0) return fail(c, "takes no buffer");
    c->counts.n_old += *n > 0;
    *newest = b;
  }
  return MYNAH_OK;
}

/* A full queue takes no more frames: what is in it is as old as the caller was away. */
static bool is_stale(const mynah_camera *c, const struct v4l2_buffer *b, int n) {
  double age = (double)(mynah_now_ns() - time_of(b)) * 1e-9;
  bool is_known = (b->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  return n == c->n_buffers && (!is_known || age > (c->fps > 0 ? 1 / c->fps : 1.0 / 30));
}

mynah_status mynah_camera_read(mynah_camera *c, double timeout_s, mynah_image *out, int64_t *time_ns) {
  int64_t end = mynah_now_ns() + (int64_t)(fmin(fmax(timeout_s, 0), 1e6) * 1e9);
  if (out->width != c->width || out->height != c->height)
    return mynah_fail(MYNAH_MISMATCH, "%s: gives %dx%d, not %dx%d", c->path, c->width, c->height, out->width, out->height);
  for (;;) {
    struct v4l2_buffer b;
    int n = 0;
    int64_t left = end - mynah_now_ns();
    int ready = c->io->wait(c->fd, left > 0 ? (int)((left + 999999) / 1000000) : 0);
    if (ready < 0 && errno != EINTR) return fail(c, "cannot be waited for");
    if (ready > 0) MYNAH_TRY(take_newest(c, &b, &n));
    if (n > 0) {
      bool is_old = is_stale(c, &b, n), is_good = !is_old && decode(c, &b, out);
      *time_ns = time_of(&b);
      if (ask(c, VIDIOC_QBUF, &b) < 0) return fail(c, "takes no buffer");
      c->counts.n_old += is_old;
      c->counts.n_bad += !is_old && !is_good;
      c->counts.n_frames += is_good;
      if (is_good) return MYNAH_OK;
    } else if (ready > 0) mynah_sleep_until_ns(mynah_now_ns() + 1000000); /* an error that is no frame: not in a hurry */
    if (mynah_now_ns() >= end)
      return mynah_fail(MYNAH_TIMEOUT, "%s: no good frame for %g s (%lld bad ones so far)", c->path, timeout_s, (long long)c->counts.n_bad);
    if (ready < 0 && mynah_is_interrupted()) return MYNAH_INTERRUPTED;
  }
}

mynah_image mynah_camera_size(const mynah_camera *c) { return (mynah_image){.width = c->width, .height = c->height}; }
double mynah_camera_fps(const mynah_camera *c) { return c->fps; }
const char *mynah_camera_format(const mynah_camera *c) { return c->format == V4L2_PIX_FMT_MJPEG ? "MJPG" : "YUYV"; }
mynah_camera_counts mynah_camera_count(const mynah_camera *c) { return c->counts; }
