/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah-video: decodes one video through FFmpeg's libraries and writes what it says to descriptor 3. A program of its own, so
 * that those libraries are loaded only for this, and what a hostile file breaks is only this.
 * usage: mynah-video file:PATH SKIP      (so many frames at the beginning are left out)
 * Written, in this machine's byte order: width, height, duration in ns (0: not said), 8 bytes each; for each frame its time in
 * ns since the video's beginning and its pixels, RGB; after the last one the time -1. Anything else is a video that broke off. */
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_SIDE 16384
/* Containers that are one file: a list of other files is none. */
#define FORMATS "mov,matroska,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,ivf,nut,h264,hevc,m4v,mjpeg,gif,apng,yuv4mpegpipe"

typedef struct decoder {
  AVFormatContext *format;
  AVCodecContext *codec;
  struct SwsContext *scale;
  AVFrame *frame;
  AVPacket *packet;
  uint8_t *rgb;
  int stream, out, width, height;
  int64_t skip, n_frames, first; /* first: time of the first frame, in the stream's unit */
} decoder;

static bool write_all(int fd, const void *data, size_t n) {
  for (const uint8_t *at = data; n > 0;) {
    ssize_t done = write(fd, at, n);
    if (done <= 0 && errno != EINTR) return false;
    if (done > 0) at += done, n -= (size_t)done;
  }
  return true;
}

/* When the present frame is shown; by the frame rate where the file does not say. */
static int64_t frame_time_ns(decoder *d) {
  const AVStream *s = d->format->streams[d->stream];
  int64_t at = d->frame->best_effort_timestamp;
  if (at != AV_NOPTS_VALUE && d->n_frames == 0) d->first = at;
  if (at != AV_NOPTS_VALUE && d->first != AV_NOPTS_VALUE) return av_rescale_q(at - d->first, s->time_base, (AVRational){1, 1000000000});
  AVRational rate = s->avg_frame_rate.num > 0 && s->avg_frame_rate.den > 0 ? s->avg_frame_rate : (AVRational){25, 1};
  return av_rescale_q(d->n_frames, av_inv_q(rate), (AVRational){1, 1000000000});
}

static bool send_frame(decoder *d) {
  int64_t time_ns = frame_time_ns(d);
  d->n_frames++;
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
  return write_all(d->out, &time_ns, sizeof time_ns) && write_all(d->out, d->rgb, (size_t)stride * (size_t)d->height);
}

/* What the decoder has ready; false when something is wrong. */
static bool drain(decoder *d) {
  for (;;) {
    int code = avcodec_receive_frame(d->codec, d->frame);
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return true;
    if (code < 0 || !send_frame(d)) return false;
  }
}

static bool open_file(decoder *d, const char *path) {
  AVDictionary *options = NULL;
  av_dict_set(&options, "format_whitelist", FORMATS, 0);
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  int code = avformat_open_input(&d->format, path, NULL, &options);
  av_dict_free(&options);
  return code >= 0 && avformat_find_stream_info(d->format, NULL) >= 0;
}

static bool open_decoder(decoder *d, const char *path) {
  const AVCodec *codec = NULL;
  if (!open_file(d, path)) return false;
  d->stream = av_find_best_stream(d->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (d->stream < 0 || !codec || !(d->codec = avcodec_alloc_context3(codec))) return false;
  const AVCodecParameters *p = d->format->streams[d->stream]->codecpar;
  d->width = p->width, d->height = p->height;
  if (d->width < 1 || d->height < 1 || d->width > MAX_SIDE || d->height > MAX_SIDE) return false;
  if (avcodec_parameters_to_context(d->codec, p) < 0) return false;
  d->codec->thread_count = 1;
  return avcodec_open2(d->codec, codec, NULL) >= 0;
}

static bool send_head(decoder *d) {
  int64_t duration = d->format->duration == AV_NOPTS_VALUE || d->format->duration > INT64_MAX / 1000 ? 0 : d->format->duration;
  const int64_t head[3] = {d->width, d->height, duration * (1000000000 / AV_TIME_BASE)};
  return write_all(d->out, head, sizeof head);
}

/* False: something is wrong before the end. A packet that cannot be decoded is. */
static bool decode(decoder *d) {
  int code;
  while ((code = av_read_frame(d->format, d->packet)) >= 0) {
    bool is_good = d->packet->stream_index != d->stream || (avcodec_send_packet(d->codec, d->packet) >= 0 && drain(d));
    av_packet_unref(d->packet);
    if (!is_good) return false;
  }
  return code == AVERROR_EOF && avcodec_send_packet(d->codec, NULL) >= 0 && drain(d);
}

int main(int argc, char **argv) {
  decoder d = {.out = 3, .first = AV_NOPTS_VALUE};
  const int64_t end = -1;
  if (argc != 3) return 2;
  d.skip = strtoll(argv[2], NULL, 10);
  av_log_set_level(AV_LOG_QUIET);
  if (!open_decoder(&d, argv[1]) || !(d.frame = av_frame_alloc()) || !(d.packet = av_packet_alloc())) return 1;
  d.rgb = av_malloc((size_t)d.width * (size_t)d.height * 3);
  return d.rgb && send_head(&d) && decode(&d) && write_all(d.out, &end, sizeof end) ? 0 : 1;
}
