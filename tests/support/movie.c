/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The boxes of a QuickTime file, as ISO/IEC 14496-12 has them, with one track of JPEG pictures at 1000 ticks a second. */
#include "support/movie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void put(mynah_str *s, int n_bytes, uint64_t v) {
  for (int i = n_bytes - 1; i >= 0; i--) mynah_str_append(s, &(uint8_t){(uint8_t)(v >> 8 * i)}, 1);
}

static void zeros(mynah_str *s, int n) {
  for (int i = 0; i < n; i++) put(s, 1, 0);
}

/* Begins a box; its size is filled in by end. */
static size_t begin(mynah_str *s, const char *kind) {
  size_t at = s->length;
  put(s, 4, 0);
  mynah_str_append(s, kind, 4);
  return at;
}

static void end(mynah_str *s, size_t at) {
  size_t n = s->length - at;
  for (int i = 0; i < 4; i++) s->data[at + (size_t)i] = (char)(n >> 8 * (3 - i));
}

static void matrix(mynah_str *s) {
  static const uint32_t one[9] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
  for (int i = 0; i < 9; i++) put(s, 4, one[i]);
}

static void movie_header(mynah_str *s, int total) {
  size_t at = begin(s, "mvhd");
  zeros(s, 12);
  put(s, 4, 1000), put(s, 4, (uint64_t)total), put(s, 4, 0x10000), put(s, 2, 0x100), zeros(s, 10);
  matrix(s);
  zeros(s, 24), put(s, 4, 2);
  end(s, at);
}

static void track_header(mynah_str *s, const mynah_image *f, int total) {
  size_t at = begin(s, "tkhd");
  put(s, 4, 7), zeros(s, 8), put(s, 4, 1), zeros(s, 4), put(s, 4, (uint64_t)total), zeros(s, 16);
  matrix(s);
  put(s, 4, (uint64_t)f->width << 16), put(s, 4, (uint64_t)f->height << 16);
  end(s, at);
}

static void description(mynah_str *s, const mynah_image *f) {
  size_t at = begin(s, "stsd");
  zeros(s, 4), put(s, 4, 1);
  size_t entry = begin(s, "jpeg");
  zeros(s, 6), put(s, 2, 1), zeros(s, 16), put(s, 2, (uint64_t)f->width), put(s, 2, (uint64_t)f->height);
  put(s, 4, 0x480000), put(s, 4, 0x480000), zeros(s, 4), put(s, 2, 1), zeros(s, 32), put(s, 2, 24), put(s, 2, 0xffff);
  end(s, entry);
  end(s, at);
}

/* Durations, all samples in one chunk at this place, sizes. */
static void samples(mynah_str *s, const int *ms, const size_t *sizes, int n, size_t place) {
  size_t at = begin(s, "stts");
  zeros(s, 4), put(s, 4, (uint64_t)n);
  for (int i = 0; i < n; i++) put(s, 4, 1), put(s, 4, (uint64_t)ms[i]);
  end(s, at);
  at = begin(s, "stsc");
  zeros(s, 4), put(s, 4, 1), put(s, 4, 1), put(s, 4, (uint64_t)n), put(s, 4, 1);
  end(s, at);
  at = begin(s, "stsz");
  zeros(s, 8), put(s, 4, (uint64_t)n);
  for (int i = 0; i < n; i++) put(s, 4, sizes[i]);
  end(s, at);
  at = begin(s, "stco");
  zeros(s, 4), put(s, 4, 1), put(s, 4, place);
  end(s, at);
}

static void media(mynah_str *s, int total) {
  size_t at = begin(s, "mdhd");
  zeros(s, 12), put(s, 4, 1000), put(s, 4, (uint64_t)total), zeros(s, 4);
  end(s, at);
  at = begin(s, "hdlr");
  zeros(s, 8), mynah_str_append(s, "vide", 4), zeros(s, 13);
  end(s, at);
}

static void information(mynah_str *s) {
  size_t at = begin(s, "vmhd");
  put(s, 4, 1), zeros(s, 8);
  end(s, at);
  at = begin(s, "dinf");
  size_t inner = begin(s, "dref");
  zeros(s, 4), put(s, 4, 1), put(s, 4, 12), mynah_str_append(s, "url ", 4), put(s, 4, 1);
  end(s, inner);
  end(s, at);
}

void mynah_test_movie(const char *path, const mynah_image *frames, const int *ms, int n) {
  mynah_str s = {0};
  size_t sizes[64], at[6];
  int total = 0;
  assert_true(n > 0 && n <= 64);
  for (int i = 0; i < n; i++) total += ms[i];
  at[0] = begin(&s, "ftyp");
  mynah_str_append(&s, "qt  ", 4), zeros(&s, 4), mynah_str_append(&s, "qt  ", 4);
  end(&s, at[0]);
  at[0] = begin(&s, "mdat");
  size_t place = s.length;
  for (int i = 0; i < n; i++) {
    size_t before = s.length;
    assert_int_equal(mynah_jpeg_encode(&frames[i], 95, &s), MYNAH_OK);
    sizes[i] = s.length - before;
  }
  end(&s, at[0]);
  at[1] = begin(&s, "moov");
  movie_header(&s, total);
  at[2] = begin(&s, "trak");
  track_header(&s, frames, total);
  at[3] = begin(&s, "mdia");
  media(&s, total);
  at[4] = begin(&s, "minf");
  information(&s);
  at[5] = begin(&s, "stbl");
  description(&s, frames);
  samples(&s, ms, sizes, n, place);
  for (int i = 5; i > 0; i--) end(&s, at[i]);
  assert_false(s.is_failed);
  assert_int_equal(mynah_file_write(path, s.data, s.length), MYNAH_OK);
  mynah_str_deinit(&s);
}
