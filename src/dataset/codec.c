/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Elements, pictures and what is summed over them. */
#include "store.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "blocks are kept in little-endian order: this machine's is another"
#endif

uint32_t mynah__place_crc(int64_t a, int64_t b, int64_t c, int64_t d, const void *bytes, size_t n) {
  int64_t place[4] = {a, b, c, d};
  return mynah_crc32c(mynah_crc32c(0, place, sizeof place), bytes, n);
}

void mynah__hash_item(mynah_sha256 *s, int64_t feature, const void *bytes, size_t n) {
  int64_t head[2] = {feature, (int64_t)n};
  mynah_sha256_update(s, head, sizeof head);
  mynah_sha256_update(s, bytes, n);
}

double mynah__to_double(mynah_dtype dtype, const void *element) {
  union {
    double f64;
    float f32;
    int64_t i64;
    int32_t i32;
    uint32_t bits;
    uint16_t half[2];
    uint8_t u8;
  } v = {0};
  switch (dtype) {
  case MYNAH_F64: return memcpy(&v, element, 8), v.f64;
  case MYNAH_I64: return memcpy(&v, element, 8), (double)v.i64;
  case MYNAH_I32: return memcpy(&v, element, 4), (double)v.i32;
  case MYNAH_F32: return memcpy(&v, element, 4), (double)v.f32;
  case MYNAH_BF16: return memcpy(&v.half[1], element, 2), (double)v.f32; /* the upper half of a float */
  default: return memcpy(&v, element, 1), (double)v.u8;
  }
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

static int big_endian(const uint8_t *p, int n) {
  uint32_t v = 0;
  for (int i = 0; i < n; i++) v = v << 8 | p[i];
  return v > INT32_MAX ? -1 : (int)v;
}

/* Walks a JPEG's segments to the frame header, SOF0 … SOF15 without DHT, JPG and DAC (ITU-T T.81, table B.1). */
static bool jpeg_size(const uint8_t *p, size_t n, int *width, int *height) {
  for (size_t at = 2; at + 9 <= n && p[at] == 0xff;) {
    uint8_t marker = p[at + 1];
    if (marker == 0xff) { /* fill byte */
      at++;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
      *height = big_endian(p + at + 5, 2);
      *width = big_endian(p + at + 7, 2);
      return true;
    }
    at += 2 + (size_t)big_endian(p + at + 2, 2);
  }
  return false;
}

bool mynah__picture_size(const void *data, size_t n, mynah_codec *codec, int *width, int *height) {
  const uint8_t *p = data;
  if (n >= 24 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0) {
    *codec = MYNAH_CODEC_PNG;
    *width = big_endian(p + 16, 4);
    *height = big_endian(p + 20, 4);
    return true;
  }
  if (n < 4 || p[0] != 0xff || p[1] != 0xd8) return false;
  *codec = MYNAH_CODEC_JPEG;
  return jpeg_size(p, n, width, height);
}
