/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Elements of arrays that other programs wrote: types, byte order, conversion. */
#include "ingest.h"

#include <float.h>
#include <math.h>
#include <string.h>

mynah_status mynah__item_parse(const char *where, const char *text, mynah__item *out) {
  static const struct {
    const char *name;
    mynah_dtype dtype;
  } known[] = {{"f2", MYNAH_F32}, {"f4", MYNAH_F32}, {"f8", MYNAH_F64}, {"i1", MYNAH_I32},
               {"i2", MYNAH_I32}, {"i4", MYNAH_I32}, {"i8", MYNAH_I64}, {"u1", MYNAH_U8},
               {"u2", MYNAH_I32}, {"u4", MYNAH_I64}, {"b1", MYNAH_BOOL}};
  for (size_t i = 0; strlen(text) == 3 && strchr("<>|=", text[0]) && i < sizeof known / sizeof *known; i++) {
    if (strcmp(text + 1, known[i].name) != 0) continue;
    *out = (mynah__item){text[1], text[2] - '0', known[i].dtype, text[0] == '>' && text[2] > '1'};
    return MYNAH_OK;
  }
  return mynah_fail(MYNAH_UNSUPPORTED, "%s: elements of type '%.32s' cannot be read", where, text);
}

void mynah__items_swap(uint8_t *items, size_t bytes, int each) {
  for (uint8_t *p = items; p + each <= items + bytes; p += each)
    for (int i = 0; i < each / 2; i++) {
      uint8_t t = p[i];
      p[i] = p[each - 1 - i];
      p[each - 1 - i] = t;
    }
}

/* IEEE 754 binary16. */
static double from_half(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  double v = exponent == 0    ? ldexp(mantissa, -24)
             : exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                              : ldexp(1024 + mantissa, exponent - 25);
  return h >> 15 ? -v : v;
}

/* An integer item, sign-extended where it has a sign. */
static int64_t whole_number(const mynah__item *type, const uint8_t *item) {
  uint64_t bits = 0;
  memcpy(&bits, item, (size_t)type->bytes);
  int shift = 64 - 8 * type->bytes;
  return type->kind == 'i' ? (int64_t)(bits << shift) >> shift : (int64_t)bits;
}

double mynah__item_number(const mynah__item *type, const uint8_t *item) {
  float f;
  double d;
  uint16_t half;
  if (type->kind != 'f') return (double)whole_number(type, item);
  if (type->bytes == 8) return memcpy(&d, item, 8), d;
  if (type->bytes == 4) return memcpy(&f, item, 4), (double)f;
  return memcpy(&half, item, 2), from_half(half);
}

void mynah__items_convert(const mynah__item *type, const uint8_t *items, size_t n, void *out) {
  if (mynah_dtype_bytes(type->dtype) == (size_t)type->bytes) {
    memcpy(out, items, n * (size_t)type->bytes);
    return;
  }
  for (size_t k = 0; k < n; k++, items += type->bytes) {
    if (type->dtype == MYNAH_F32) ((float *)out)[k] = (float)mynah__item_number(type, items);
    else if (type->dtype == MYNAH_I32) ((int32_t *)out)[k] = (int32_t)whole_number(type, items);
    else ((int64_t *)out)[k] = whole_number(type, items);
  }
}

/* The plain loop over floats is most of an import. */
bool mynah__items_to_picture(const mynah__item *type, const uint8_t *items, size_t n, float scale, uint8_t *out) {
  bool is_finite = true;
  if (type->kind == 'u' && type->bytes == 1) {
    memcpy(out, items, n);
  } else if (type->kind == 'f' && type->bytes == 4) {
    const float *v = (const float *)(const void *)items;
    int n_bad = 0;
    for (size_t k = 0; k < n; k++) {
      float x = v[k] * scale + 0.5F;
      n_bad |= !(fabsf(v[k]) <= FLT_MAX);
      x = x > 0 ? x : 0;
      out[k] = (uint8_t)(int)(x < 255 ? x : 255);
    }
    is_finite = n_bad == 0;
  } else {
    for (size_t k = 0; k < n; k++) {
      double x = mynah__item_number(type, items + k * (size_t)type->bytes);
      is_finite = is_finite && isfinite(x);
      x = x * (double)scale + 0.5;
      out[k] = (uint8_t)(x > 0 ? (x < 255 ? x : 255) : 0);
    }
  }
  return is_finite;
}
