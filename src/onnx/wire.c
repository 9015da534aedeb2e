/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The wire format: every length is checked against what encloses it. */
#include "wire.h"

#include <string.h>

#define TEXT_MAX ((size_t)1 << 20)

mynah_status mynah__onnx_damaged(const char *what) { return mynah_fail(MYNAH_CORRUPT, "onnx: %s", what); }

mynah_status mynah__wire_varint(mynah__span *s, uint64_t *out) {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (s->at == s->end) return mynah__onnx_damaged("a number is cut off");
    uint8_t byte = *s->at++;
    v |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) {
      *out = v;
      return MYNAH_OK;
    }
  }
  return mynah__onnx_damaged("a number is too long");
}

mynah_status mynah__wire_next(mynah__span *s, mynah__field *f) {
  uint64_t key = 0, n = 0;
  const uint8_t *start = s->at;
  *f = (mynah__field){.wire = -1};
  if (s->at == s->end) return MYNAH_OK;
  MYNAH_TRY(mynah__wire_varint(s, &key));
  f->number = key >> 3;
  f->wire = (int)(key & 7);
  if (f->number == 0) return mynah__onnx_damaged("a field has the number 0");
  switch (f->wire) {
  case MYNAH__WIRE_VARINT: MYNAH_TRY(mynah__wire_varint(s, &f->value)); break;
  case MYNAH__WIRE_BYTES: MYNAH_TRY(mynah__wire_varint(s, &n)); break;
  case MYNAH__WIRE_64: n = 8; break;
  case MYNAH__WIRE_32: n = 4; break;
  default: return mynah__onnx_damaged("a field has an unknown type");
  }
  if (n > mynah__span_size(*s)) return mynah__onnx_damaged("a field is longer than what holds it");
  f->bytes = (mynah__span){s->at, s->at + n};
  s->at += n;
  f->whole = (mynah__span){start, s->at};
  return MYNAH_OK;
}

mynah_status mynah__wire_each(mynah__span message, mynah__field_fn fn, void *context) {
  for (;;) {
    mynah__field f;
    MYNAH_TRY(mynah__wire_next(&message, &f));
    if (f.wire < 0) return MYNAH_OK;
    MYNAH_TRY(fn(context, &f));
  }
}

mynah_status mynah__wire_text(mynah__span s, char **out) {
  size_t n = mynah__span_size(s);
  if (n > TEXT_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: a text of %zu bytes, at most %zu are read", n, TEXT_MAX);
  if (n && memchr(s.at, 0, n)) return mynah__onnx_damaged("a text has a NUL inside");
  char *text = mynah_alloc(n + 1);
  if (!text) return MYNAH_NO_MEMORY;
  if (n) memcpy(text, s.at, n);
  text[n] = 0;
  mynah_free(*out);
  *out = text;
  return MYNAH_OK;
}

static void put_varint(mynah_str *out, uint64_t v) {
  for (; v > 127; v >>= 7) mynah_str_append(out, &(uint8_t){(uint8_t)(v | 128)}, 1);
  mynah_str_append(out, &(uint8_t){(uint8_t)v}, 1);
}

void mynah__wire_put(mynah_str *out, int number, const void *bytes, size_t n) {
  put_varint(out, (uint64_t)number << 3 | MYNAH__WIRE_BYTES);
  put_varint(out, n);
  mynah_str_append(out, bytes, n);
}

void mynah__wire_put_number(mynah_str *out, int number, uint64_t value) {
  put_varint(out, (uint64_t)number << 3 | MYNAH__WIRE_VARINT);
  put_varint(out, value);
}
