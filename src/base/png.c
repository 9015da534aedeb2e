/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* PNG in and out (libpng). Its errors come back by longjmp to the one setjmp of each direction. */
#include <mynah/base.h>

#include "alloc_internal.h"
#include "image_internal.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

#define MAX_CHUNK_BYTES ((size_t)16 << 20) /* of what libpng wants to keep besides the pixels */

typedef struct png_job {
  png_structp png;
  png_infop info;
  jmp_buf escape;
  mynah_status status;
  const uint8_t *data; /* reading: what is left */
  size_t length;
  mynah_str *out; /* writing */
  mynah_image image;
} png_job;

_Noreturn static void on_error(png_structp png, png_const_charp text) {
  png_job *job = png_get_error_ptr(png);
  if (job->status == MYNAH_OK) job->status = mynah_fail(MYNAH_CORRUPT, "PNG: %s", text);
  longjmp(job->escape, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t bytes) {
  png_job *job = png_get_mem_ptr(png);
  void *block = mynah__malloc(bytes);
  if (!block) job->status = MYNAH_NO_MEMORY;
  return block;
}

static void on_free(png_structp png, png_voidp block) {
  (void)png;
  mynah__free(block);
}

static void on_read(png_structp png, png_bytep to, size_t n) {
  png_job *job = png_get_io_ptr(png);
  if (n > job->length) png_error(png, "file is cut short");
  memcpy(to, job->data, n);
  job->data += n;
  job->length -= n;
}

static void on_write(png_structp png, png_bytep from, size_t n) {
  png_job *job = png_get_io_ptr(png);
  mynah_str_append(job->out, from, n);
  if (!job->out->is_failed) return;
  job->status = MYNAH_NO_MEMORY;
  png_error(png, "out of memory");
}

static void on_flush(png_structp png) { (void)png; }

/* Every kind of pixel becomes 8-bit RGB. */
static void ask_for_rgb(png_job *job) {
  png_set_expand(job->png);
  png_set_scale_16(job->png);
  png_set_gray_to_rgb(job->png);
  png_set_strip_alpha(job->png);
}

static mynah_status read_png(png_job *job) {
  if (setjmp(job->escape)) return job->status;
  job->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, job, on_error, on_warning, job, on_alloc, on_free);
  job->info = job->png ? png_create_info_struct(job->png) : NULL;
  if (!job->info) return mynah_fail(MYNAH_NO_MEMORY, "PNG: out of memory");
  png_set_user_limits(job->png, MYNAH_IMAGE_MAX_SIDE, MYNAH_IMAGE_MAX_SIDE);
  png_set_chunk_malloc_max(job->png, MAX_CHUNK_BYTES);
  png_set_read_fn(job->png, job, on_read);
  png_read_info(job->png, job->info);
  MYNAH_TRY(mynah__image_make(png_get_image_width(job->png, job->info), png_get_image_height(job->png, job->info),
                              &job->image));
  ask_for_rgb(job);
  int n_passes = png_set_interlace_handling(job->png);
  png_read_update_info(job->png, job->info);
  size_t row_bytes = (size_t)job->image.width * 3;
  if (png_get_rowbytes(job->png, job->info) != row_bytes)
    return mynah_fail(MYNAH_UNSUPPORTED, "PNG: unusual pixel format");
  if (n_passes > 1) memset(job->image.data, 0, row_bytes * (size_t)job->image.height);
  for (int pass = 0; pass < n_passes; pass++)
    for (int y = 0; y < job->image.height; y++) png_read_row(job->png, job->image.data + (size_t)y * row_bytes, NULL);
  png_read_end(job->png, NULL);
  return MYNAH_OK;
}

mynah_status mynah__png_decode(const void *data, size_t length, mynah_image *out) {
  png_job job;
  memset(&job, 0, sizeof job);
  job.data = data;
  job.length = length;
  mynah_status status = read_png(&job);
  png_destroy_read_struct(&job.png, &job.info, NULL);
  if (status == MYNAH_OK) *out = job.image;
  else mynah_image_deinit(&job.image);
  return status;
}

static mynah_status write_png(png_job *job) {
  if (setjmp(job->escape)) return job->status;
  job->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, job, on_error, on_warning, job, on_alloc, on_free);
  job->info = job->png ? png_create_info_struct(job->png) : NULL;
  if (!job->info) return mynah_fail(MYNAH_NO_MEMORY, "PNG: out of memory");
  png_set_write_fn(job->png, job, on_write, on_flush);
  png_set_compression_level(job->png, 1); /* recording has to keep up: a third of the time for some more bytes */
  png_set_filter(job->png, 0, PNG_FILTER_SUB);
  png_set_IHDR(job->png, job->info, (png_uint_32)job->image.width, (png_uint_32)job->image.height, 8,
               PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(job->png, job->info);
  for (int y = 0; y < job->image.height; y++)
    png_write_row(job->png, job->image.data + (size_t)y * (size_t)job->image.width * 3);
  png_write_end(job->png, NULL);
  return MYNAH_OK;
}

mynah_status mynah_png_encode(const mynah_image *image, mynah_str *out) {
  MYNAH_TRY(mynah__image_check(image));
  png_job job;
  memset(&job, 0, sizeof job);
  job.image = *image; /* only lent */
  job.out = out;
  mynah_status status = write_png(&job);
  png_destroy_write_struct(&job.png, &job.info);
  return status;
}
