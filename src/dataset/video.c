/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Decoding videos through FFmpeg's libraries in a child process: what a hostile file breaks is the child, which has no
 * files but the video and the pipe, little memory and limited time. The only file that knows libav. */
#include "video.h"

#include <errno.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MEMORY ((rlim_t)4 << 30)
#define MAX_SECONDS 3600

typedef struct decoder {
  AVFormatContext *format;
  AVCodecContext *codec;
  struct SwsContext *scale;
  AVFrame *frame;
  AVPacket *packet;
  uint8_t *rgb;
  int stream, out, width, height;
  int64_t skip;
} decoder;

bool mynah__video_is_supported(void) { return true; }

/* ---- the child ------------------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *data, size_t n) {
  for (const uint8_t *at = data; n > 0;) {
    ssize_t done = write(fd, at, n);
    if (done <= 0 && errno != EINTR) return false;
    if (done > 0) at += done, n -= (size_t)done;
  }
  return true;
}

static bool send_frame(decoder *d) {
  if (d->skip > 0) return d->skip--, true;
  if (d->frame->width != d->width || d->frame->height != d->height) return false;
  d->scale = sws_getCachedContext(d->scale, d->width, d->height, (enum AVPixelFormat)d->frame->format, d->width, d->height, AV_PIX_FMT_RGB24,
                                  SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
  if (!d->scale) return false;
  const int *table = sws_getCoefficients(d->frame->colorspace == AVCOL_SPC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
  sws_setColorspaceDetails(d->scale, table, d->frame->color_range == AVCOL_RANGE_JPEG, table, 1, 0, 1 << 16, 1 << 16);
  int stride = 3 * d->width;
  sws_scale(d->scale, (const uint8_t *const *)d->frame->data, d->frame->linesize, 0, d->height, &d->rgb, &stride);
  return write_all(d->out, d->rgb, (size_t)stride * (size_t)d->height);
}

/* What the decoder has ready; false when something is wrong. */
static bool drain(decoder *d) {
  for (;;) {
    int code = avcodec_receive_frame(d->codec, d->frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return true;
    if (code < 0 || !send_frame(d)) return false;
  }
}

static bool open_decoder(decoder *d, const char *path) {
  const AVCodec *codec = NULL;
  if (avformat_open_input(&d->format, path, NULL, NULL) < 0 || avformat_find_stream_info(d->format, NULL) < 0) return false;
  d->stream = av_find_best_stream(d->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (d->stream < 0 || !codec || !(d->codec = avcodec_alloc_context3(codec))) return false;
  const AVCodecParameters *p = d->format->streams[d->stream]->codecpar;
  if (p->width != d->width || p->height != d->height || avcodec_parameters_to_context(d->codec, p) < 0) return false;
  d->codec->thread_count = 1;
  return avcodec_open2(d->codec, codec, NULL) >= 0;
}

static void decode(decoder *d, const char *path) {
  if (!open_decoder(d, path) || !(d->frame = av_frame_alloc()) || !(d->packet = av_packet_alloc())) return;
  while (av_read_frame(d->format, d->packet) >= 0) {
    bool is_good = d->packet->stream_index != d->stream || (avcodec_send_packet(d->codec, d->packet) >= 0 && drain(d));
    av_packet_unref(d->packet);
    if (!is_good) return;
  }
  if (avcodec_send_packet(d->codec, NULL) >= 0) drain(d);
}

/* Gives away every right that decoding does not need. */
static void confine(void) {
  const struct {
    int what;
    rlim_t most;
  } limits[] = {{RLIMIT_AS, MAX_MEMORY}, {RLIMIT_CPU, MAX_SECONDS}, {RLIMIT_FSIZE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 16}};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    setrlimit(limits[i].what, &(struct rlimit){limits[i].most, limits[i].most});
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void run_child(decoder *d, const char *path, int keep) {
  int nothing = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(nothing, fd);
  dup2(keep, 3);
  for (int fd = 4; fd < 1024; fd++) close(fd);
  d->out = 3;
  confine();
  av_log_set_level(AV_LOG_QUIET);
  decode(d, path);
  _exit(0);
}

/* ---- the parent ------------------------------------------------------------------------------------------------------ */

void mynah__video_close(mynah__video *v) {
  if (v->fd >= 0) close(v->fd);
  if (v->child > 0) {
    kill(v->child, SIGKILL);
    while (waitpid(v->child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  *v = (mynah__video){.fd = -1};
}

static mynah_status start(mynah__video *v, const char *path, int64_t frame, int width, int height) {
  int ends[2];
  char full[MYNAH_PATH_MAX + 8];
  decoder d = {.width = width, .height = height, .skip = frame};
  size_t bytes = (size_t)width * (size_t)height * 3;
  mynah__video_close(v);
  if (!mynah_file_exists(path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: the video is missing", path);
  MYNAH_TRY(mynah_copy_text(v->path, sizeof v->path, path));
  if (pipe2(ends, O_CLOEXEC) != 0) return mynah_fail_errno(path, "cannot make a pipe");
  memcpy(full, "file:", 5); /* never another protocol */
  memcpy(full + 5, path, strlen(path) + 1);
  d.rgb = mynah_alloc(bytes);
  v->child = d.rgb ? fork() : -1;
  if (v->child == 0) run_child(&d, full, ends[1]);
  mynah_free(d.rgb);
  close(ends[1]);
  v->fd = ends[0];
  v->next = frame;
  v->width = width;
  v->height = height;
  return v->child > 0 ? MYNAH_OK : mynah_fail(MYNAH_NO_MEMORY, "%s: cannot start a decoder", path);
}

static mynah_status read_frame(mynah__video *v, uint8_t *out) {
  size_t bytes = (size_t)v->width * (size_t)v->height * 3;
  for (size_t n = 0; n < bytes;) {
    ssize_t got = read(v->fd, out + n, bytes - n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return mynah_fail(MYNAH_CORRUPT, "%s: frame %lld cannot be decoded as %d x %d pixels, or is not there", v->path, (long long)v->next, v->width, v->height);
    n += (size_t)got;
  }
  v->next++;
  return MYNAH_OK;
}

mynah_status mynah__video_read(mynah__video *v, const char *path, int64_t frame, int width, int height, uint8_t *out) {
  bool goes_on = v->fd >= 0 && v->child > 0 && strcmp(v->path, path) == 0 && v->width == width && v->height == height && v->next <= frame;
  if (!goes_on) MYNAH_TRY(start(v, path, frame, width, height));
  mynah_status status = MYNAH_OK;
  while (v->next <= frame && status == MYNAH_OK) status = read_frame(v, out);
  if (status != MYNAH_OK) mynah__video_close(v);
  return status;
}
