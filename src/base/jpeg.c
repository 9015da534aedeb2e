/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JPEG in and out (libjpeg-turbo). Its errors come back by longjmp to the one setjmp of each direction. */
#include <mynah/base.h>

#include "image_internal.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
/* after stdio.h, which it forgets */
#include <jerror.h>
#include <jpeglib.h>

#define MAX_SCANS 200 /* a progressive file may ask for any number of passes over the whole image */
#define OUT_BYTES 16384

typedef struct jpeg_errors {
  struct jpeg_error_mgr base; /* first: libjpeg knows only this part */
  jmp_buf escape;
  mynah_status status;
} jpeg_errors;

_Noreturn static void on_error(j_common_ptr info) {
  jpeg_errors *errors = (jpeg_errors *)info->err;
  char text[JMSG_LENGTH_MAX];
  int code = info->err->msg_code;
  errors->base.format_message(info, text);
  errors->status = code == JERR_OUT_OF_MEMORY ? MYNAH_NO_MEMORY
                   : info->is_decompressor    ? MYNAH_CORRUPT
                                              : MYNAH_INTERNAL;
  mynah_fail(errors->status, "JPEG: %s", text);
  longjmp(errors->escape, 1);
}

/* libjpeg fills in what is missing and warns; we want whole pictures. Harmless: bytes between markers, odd headers. */
static void on_message(j_common_ptr info, int level) {
  int code = info->err->msg_code;
  if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR) return;
  on_error(info);
}

static void on_text(j_common_ptr info) { (void)info; }

static struct jpeg_error_mgr *use_errors(jpeg_errors *errors) {
  jpeg_std_error(&errors->base);
  errors->base.error_exit = on_error;
  errors->base.emit_message = on_message;
  errors->base.output_message = on_text;
  return &errors->base;
}

static void on_progress(j_common_ptr info) {
  const struct jpeg_decompress_struct *in = (const struct jpeg_decompress_struct *)(const void *)info;
  if (in->input_scan_number <= MAX_SCANS) return;
  jpeg_errors *errors = (jpeg_errors *)info->err;
  errors->status = mynah_fail(MYNAH_LIMIT, "JPEG: more than %d scans", MAX_SCANS);
  longjmp(errors->escape, 1);
}

/* Adobe's files keep CMYK inverted, so that ink C with black K is red = C * K. Shape: both (n, ·), the same buffer is
 * fine. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n, bool is_inverted) {
  for (size_t i = 0; i < n; i++) {
    unsigned k = is_inverted ? cmyk[4 * i + 3] : 255u - cmyk[4 * i + 3];
    for (int c = 0; c < 3; c++) {
      unsigned ink = is_inverted ? cmyk[4 * i + (size_t)c] : 255u - cmyk[4 * i + (size_t)c];
      rgb[3 * i + (size_t)c] = (uint8_t)((ink * k + 127) / 255);
    }
  }
}

/* The strongest of libjpeg's cheap reductions that leaves the picture at least this large. */
static unsigned choose_reduction(const struct jpeg_decompress_struct *in, int min_width, int min_height) {
  if (min_width <= 0 || min_height <= 0) return 1;
  for (unsigned denominator = 8; denominator > 1; denominator /= 2) {
    unsigned width = (in->image_width + denominator - 1) / denominator;
    unsigned height = (in->image_height + denominator - 1) / denominator;
    if (width >= (unsigned)min_width && height >= (unsigned)min_height) return denominator;
  }
  return 1;
}

typedef struct jpeg_reader {
  struct jpeg_decompress_struct in;
  struct jpeg_progress_mgr progress;
  jpeg_errors errors;
  mynah_image image;
  bool is_given; /* the image is the caller's: its size is what is wanted */
  uint8_t *cmyk; /* one row, (width, 4) */
  int min_width, min_height;
} jpeg_reader;

static mynah_status read_header(jpeg_reader *r) {
  jpeg_read_header(&r->in, TRUE);
  mynah_image unscaled = {.data = (uint8_t *)r, .width = (int)r->in.image_width, .height = (int)r->in.image_height};
  MYNAH_TRY(mynah__image_check(&unscaled)); /* the file's own size counts, not what it is reduced to */
  bool is_cmyk = r->in.jpeg_color_space == JCS_CMYK || r->in.jpeg_color_space == JCS_YCCK;
  r->in.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  r->in.scale_num = 1;
  r->in.scale_denom = choose_reduction(&r->in, r->min_width, r->min_height);
  jpeg_calc_output_dimensions(&r->in);
  if (r->is_given) {
    bool fits = !is_cmyk && (int)r->in.output_width == r->image.width && (int)r->in.output_height == r->image.height;
    return fits ? MYNAH_OK : mynah_fail(MYNAH_MISMATCH, "JPEG: is no RGB picture of %dx%d", r->image.width, r->image.height);
  }
  MYNAH_TRY(mynah__image_make(r->in.output_width, r->in.output_height, &r->image));
  if (is_cmyk && !(r->cmyk = mynah_alloc((size_t)r->in.output_width * 4))) return MYNAH_NO_MEMORY;
  return MYNAH_OK;
}

static void read_rows(jpeg_reader *r) {
  jpeg_start_decompress(&r->in);
  size_t row_bytes = (size_t)r->image.width * 3;
  while (r->in.output_scanline < r->in.output_height) {
    uint8_t *to = r->image.data + r->in.output_scanline * row_bytes;
    JSAMPROW row = r->cmyk ? r->cmyk : to;
    jpeg_read_scanlines(&r->in, &row, 1);
    if (r->cmyk) cmyk_to_rgb(r->cmyk, to, (size_t)r->image.width, r->in.saw_Adobe_marker);
  }
  jpeg_finish_decompress(&r->in);
}

/* All that changes after setjmp lives in *r, where a longjmp cannot lose it. */
static mynah_status read_jpeg(jpeg_reader *r, const void *data, size_t length) {
  r->in.err = use_errors(&r->errors);
  if (setjmp(r->errors.escape)) return r->errors.status;
  jpeg_create_decompress(&r->in);
  r->progress.progress_monitor = on_progress;
  r->in.progress = &r->progress;
  jpeg_mem_src(&r->in, data, (unsigned long)length);
  MYNAH_TRY(read_header(r));
  read_rows(r);
  return MYNAH_OK;
}

mynah_status mynah__jpeg_decode(const void *data, size_t length, int min_width, int min_height, mynah_image *out) {
  jpeg_reader r;
  memset(&r, 0, sizeof r);
  r.min_width = min_width;
  r.min_height = min_height;
  mynah_status status = read_jpeg(&r, data, length);
  jpeg_destroy_decompress(&r.in);
  mynah_free(r.cmyk);
  if (status == MYNAH_OK) *out = r.image;
  else mynah_image_deinit(&r.image);
  return status;
}

mynah_status mynah_jpeg_decode_into(const void *data, size_t length, mynah_image *image) {
  jpeg_reader r;
  MYNAH_TRY(mynah__image_check(image));
  memset(&r, 0, sizeof r);
  r.image = *image;
  r.is_given = true;
  mynah_status status = read_jpeg(&r, data, length);
  jpeg_destroy_decompress(&r.in);
  return status;
}

typedef struct jpeg_writer {
  struct jpeg_compress_struct to;
  struct jpeg_destination_mgr destination;
  jpeg_errors errors;
  mynah_str *out;
  uint8_t buffer[OUT_BYTES];
} jpeg_writer;

static void begin_output(j_compress_ptr to) {
  jpeg_writer *w = to->client_data;
  w->destination.next_output_byte = w->buffer;
  w->destination.free_in_buffer = OUT_BYTES;
}

static boolean flush_output(j_compress_ptr to) {
  jpeg_writer *w = to->client_data;
  mynah_str_append(w->out, w->buffer, OUT_BYTES);
  begin_output(to);
  return TRUE;
}

static void end_output(j_compress_ptr to) {
  jpeg_writer *w = to->client_data;
  mynah_str_append(w->out, w->buffer, OUT_BYTES - w->destination.free_in_buffer);
}

static mynah_status write_jpeg(jpeg_writer *w, const mynah_image *image, int quality) {
  w->to.err = use_errors(&w->errors);
  if (setjmp(w->errors.escape)) return w->errors.status;
  jpeg_create_compress(&w->to);
  w->to.client_data = w;
  w->destination.init_destination = begin_output;
  w->destination.empty_output_buffer = flush_output;
  w->destination.term_destination = end_output;
  w->to.dest = &w->destination;
  w->to.image_width = (JDIMENSION)image->width;
  w->to.image_height = (JDIMENSION)image->height;
  w->to.input_components = 3;
  w->to.in_color_space = JCS_RGB;
  jpeg_set_defaults(&w->to);
  jpeg_set_quality(&w->to, quality, TRUE);
  jpeg_start_compress(&w->to, TRUE);
  while (w->to.next_scanline < w->to.image_height) {
    JSAMPROW row = image->data + (size_t)w->to.next_scanline * (size_t)image->width * 3;
    jpeg_write_scanlines(&w->to, &row, 1);
  }
  jpeg_finish_compress(&w->to);
  return w->out->is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}

mynah_status mynah_jpeg_encode(const mynah_image *image, int quality, mynah_str *out) {
  MYNAH_TRY(mynah__image_check(image));
  if (quality < 1 || quality > 100)
    return mynah_fail(MYNAH_INVALID, "JPEG: quality %d is not between 1 and 100", quality);
  jpeg_writer w;
  memset(&w, 0, sizeof w);
  w.out = out;
  mynah_status status = write_jpeg(&w, image, quality);
  jpeg_destroy_compress(&w.to);
  return status;
}
