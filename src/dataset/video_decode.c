/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah-video: decodes one video through FFmpeg's libraries and writes its frames as RGB bytes to descriptor 3. A
 * program of its own, so that those libraries are loaded only for this, and what a hostile file breaks is only this.
 * usage: mynah-video file:PATH WIDTH HEIGHT SKIP      (of frames; one of another size ends the work) */
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_SIDE 16384

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
  d->scale =
      sws_getCachedContext(d->scale, d->width, d->height, (enum AVPixelFormat)d->frame->format, d->width, d->height,
                           AV_PIX_FMT_RGB24, SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
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
  if (avformat_open_input(&d->format, path, NULL, NULL) < 0 || avformat_find_stream_info(d->format, NULL) < 0)
    return false;
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

int main(int argc, char **argv) {
  decoder d = {.out = 3};
  if (argc != 5) return 2;
  d.width = (int)strtol(argv[2], NULL, 10);
  d.height = (int)strtol(argv[3], NULL, 10);
  d.skip = strtoll(argv[4], NULL, 10);
  if (d.width < 1 || d.height < 1 || d.width > MAX_SIDE || d.height > MAX_SIDE) return 2;
  d.rgb = av_malloc((size_t)d.width * (size_t)d.height * 3);
  av_log_set_level(AV_LOG_QUIET);
  if (d.rgb) decode(&d, argv[1]);
  return 0;
}
