/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Class names as exporters write them into metadata: a Python dict or list of texts. Read by these few rules, never
 * evaluated: the file comes from strangers. */
#include "perceive_internal.h"

#include <stdio.h>
#include <string.h>

#define NAME_TEXT_MAX 256

typedef struct reader {
  const char *text, *at;
  mynah__names names; /* n: places that may be filled; NULL: not yet */
  size_t capacity;
} reader;

static mynah_status wrong(const reader *r, const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "class names: %s at byte %zu", what, (size_t)(r->at - r->text));
}

static void skip_blanks(reader *r) {
  while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r') r->at++;
}

static bool take(reader *r, char c) {
  skip_blanks(r);
  if (*r->at != c) return false;
  r->at++;
  return true;
}

/* Digits in base 16: the code of \xNN (2), \uNNNN (4) or \UNNNNNNNN (8). */
static mynah_status hexadecimal(reader *r, int n, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < n; i++, r->at++) {
    static const char digits[] = "0123456789abcdef";
    char c = *r->at >= 'A' && *r->at <= 'F' ? (char)(*r->at - 'A' + 'a') : *r->at;
    const char *digit = c ? strchr(digits, c) : NULL;
    if (!digit) return wrong(r, "a wrong digit");
    *out = *out << 4 | (uint32_t)(digit - digits);
  }
  return MYNAH_OK;
}

static void put_utf8(uint32_t code, char out[5]) {
  int n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 63));
  out[0] = (char)(lead[n] | code);
  out[n] = 0;
}

/* What stands behind a backslash. */
static mynah_status escaped(reader *r, char out[5]) {
  static const char from[] = "\\'\"nrtabfv0", to[] = "\\'\"\n\r\t\a\b\f\v";
  char c = *r->at;
  uint32_t code;
  if (c == 0) return wrong(r, "a text without an end");
  r->at++;
  if (c == 'x' || c == 'u' || c == 'U') {
    MYNAH_TRY(hexadecimal(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, &code));
    if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return wrong(r, "no character has this code");
    put_utf8(code, out);
    return MYNAH_OK;
  }
  const char *known = strchr(from, c);
  if (!known || c == '0') return wrong(r, "an unknown escape");
  out[0] = to[known - from];
  out[1] = 0;
  return MYNAH_OK;
}

static mynah_status text_value(reader *r, char out[NAME_TEXT_MAX]) {
  size_t n = 0;
  skip_blanks(r);
  char quote = *r->at;
  if (quote != '\'' && quote != '"') return wrong(r, "a text is expected");
  r->at++;
  while (*r->at != quote) {
    char piece[5] = {*r->at, 0};
    if (*r->at == 0 || *r->at == '\n') return wrong(r, "a text without an end");
    r->at++;
    if (piece[0] == '\\') MYNAH_TRY(escaped(r, piece));
    size_t length = strlen(piece);
    if (n + length >= NAME_TEXT_MAX) return mynah_fail(MYNAH_LIMIT, "class names: a name has over %d bytes", NAME_TEXT_MAX - 1);
    memcpy(out + n, piece, length);
    n += length;
  }
  r->at++;
  out[n] = 0;
  return MYNAH_OK;
}

static mynah_status number_key(reader *r, int64_t *out) {
  skip_blanks(r);
  if (*r->at < '0' || *r->at > '9') return wrong(r, "a number is expected");
  for (*out = 0; *r->at >= '0' && *r->at <= '9'; r->at++) {
    *out = *out * 10 + (*r->at - '0');
    if (*out >= MYNAH_YOLO26_CLASSES_MAX)
      return mynah_fail(MYNAH_LIMIT, "class names: a number over %d", MYNAH_YOLO26_CLASSES_MAX - 1);
  }
  return take(r, ':') ? MYNAH_OK : wrong(r, "':' is expected");
}

static mynah_status keep(reader *r, int64_t place, const char *text) {
  if (place >= MYNAH_YOLO26_CLASSES_MAX)
    return mynah_fail(MYNAH_LIMIT, "class names: over %d of them", MYNAH_YOLO26_CLASSES_MAX);
  MYNAH_TRY(mynah_grow((void **)&r->names.text, &r->capacity, (size_t)place + 1, sizeof *r->names.text));
  while (r->names.n <= place) r->names.text[r->names.n++] = NULL;
  if (r->names.text[place]) return wrong(r, "a class has two names");
  r->names.text[place] = mynah_strdup(text);
  return r->names.text[place] ? MYNAH_OK : MYNAH_NO_MEMORY;
}

static mynah_status parse(reader *r) {
  char text[NAME_TEXT_MAX];
  bool is_dict = take(r, '{');
  char end = is_dict ? '}' : ']';
  if (!is_dict && !take(r, '[')) return wrong(r, "'{' or '[' is expected");
  for (int64_t place = 0; !take(r, end); place++) {
    if (is_dict) MYNAH_TRY(number_key(r, &place));
    MYNAH_TRY(text_value(r, text));
    MYNAH_TRY(keep(r, place, text));
    if (take(r, ',')) continue;
    if (!take(r, end)) return wrong(r, "',' or the end is expected");
    break;
  }
  skip_blanks(r);
  if (*r->at) return wrong(r, "more than one value");
  for (int i = 0; i < r->names.n; i++)
    if (!r->names.text[i]) return mynah_fail(MYNAH_CORRUPT, "class names: class %d has none", i);
  return MYNAH_OK;
}

mynah_status mynah__names_parse(const char *text, mynah__names *out) {
  reader r = {.text = text, .at = text};
  mynah_status status = parse(&r);
  if (status == MYNAH_OK) *out = r.names;
  else mynah__names_deinit(&r.names);
  return status;
}

mynah_status mynah__names_numbered(int64_t n, mynah__names *out) {
  reader r = {.text = "", .at = ""};
  mynah_status status = MYNAH_OK;
  for (int64_t i = 0; i < n && status == MYNAH_OK; i++) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)i);
    status = keep(&r, i, text);
  }
  if (status == MYNAH_OK) *out = r.names;
  else mynah__names_deinit(&r.names);
  return status;
}

void mynah__names_deinit(mynah__names *names) {
  for (int i = 0; i < names->n; i++) mynah_free(names->text[i]);
  mynah_free(names->text);
  *names = (mynah__names){0};
}
