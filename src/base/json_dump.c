/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON to text. Own writer: shortest numbers, keys in the order they were set, growth under our ceiling. */
#include <mynah/base.h>

#include "json_internal.h"
#include "number_internal.h"
#include "status_internal.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 256

typedef struct writer {
  mynah_str *out;
  int indent, depth;
} writer;

static void put(writer *w, const char *text) { mynah_str_append(w->out, text, strlen(text)); }

static void new_line(writer *w) {
  if (w->indent <= 0) return;
  put(w, "\n");
  for (int i = 0; i < w->indent * w->depth; i++) put(w, " ");
}

static void write_string(writer *w, const char *text, size_t length) {
  put(w, "\"");
  for (size_t i = 0, start = 0; i <= length; i++) {
    unsigned char c = i < length ? (unsigned char)text[i] : '"';
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    mynah_str_append(w->out, text + start, i - start);
    start = i + 1;
    if (i == length) break;
    if (c == '"' || c == '\\') mynah_str_printf(w->out, "\\%c", c);
    else if (c == '\n') put(w, "\\n");
    else if (c == '\t') put(w, "\\t");
    else mynah_str_printf(w->out, "\\u%04x", c);
  }
  put(w, "\"");
}

double mynah__json_shortest_float(float v) {
  char text[MYNAH__NUMBER_BYTES];
  for (int digits = 6; digits < 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, (double)v);
    double wide = strtod(text, NULL);
    if ((float)wide == v) return wide;
  }
  return (double)v;
}

static mynah_status write_value(writer *w, const json_t *j);

/* Arrays of numbers stay on one line even when the rest is indented. */
static mynah_status write_array(writer *w, const json_t *array) {
  bool is_flat = true;
  size_t n = json_array_size(array);
  for (size_t i = 0; i < n && is_flat; i++)
    is_flat = !json_is_object(json_array_get(array, i)) && !json_is_array(json_array_get(array, i));
  put(w, "[");
  w->depth++;
  for (size_t i = 0; i < n; i++) {
    if (i > 0) put(w, is_flat && w->indent > 0 ? ", " : ",");
    if (!is_flat) new_line(w);
    MYNAH_TRY(write_value(w, json_array_get(array, i)));
  }
  w->depth--;
  if (!is_flat) new_line(w);
  put(w, "]");
  return MYNAH_OK;
}

static mynah_status write_object(writer *w, const json_t *object) {
  json_t *owner = (json_t *)(uintptr_t)object;
  put(w, "{");
  w->depth++;
  bool is_first = true;
  for (void *at = json_object_iter(owner); at; at = json_object_iter_next(owner, at)) {
    const char *key = json_object_iter_key(at);
    if (!is_first) put(w, ",");
    is_first = false;
    new_line(w);
    write_string(w, key, strlen(key));
    put(w, w->indent > 0 ? ": " : ":");
    MYNAH_TRY(write_value(w, json_object_iter_value(at)));
  }
  w->depth--;
  if (!is_first) new_line(w);
  put(w, "}");
  return MYNAH_OK;
}

static mynah_status write_value(writer *w, const json_t *j) {
  char number[MYNAH__NUMBER_BYTES];
  if (w->depth > MAX_DEPTH) return mynah_fail(MYNAH_LIMIT, "JSON nested deeper than %d", MAX_DEPTH);
  switch (json_typeof(j)) {
  case JSON_OBJECT: return write_object(w, j);
  case JSON_ARRAY: return write_array(w, j);
  case JSON_STRING: write_string(w, json_string_value(j), json_string_length(j)); break;
  case JSON_INTEGER: mynah_str_printf(w->out, "%" PRId64, (int64_t)json_integer_value(j)); break;
  case JSON_REAL:
    mynah__number_text(json_real_value(j), number);
    put(w, isfinite(json_real_value(j)) ? strcmp(number, "-0") == 0 ? "-0.0" : number : "null");
    break;
  case JSON_TRUE: put(w, "true"); break;
  case JSON_FALSE: put(w, "false"); break;
  case JSON_NULL: put(w, "null"); break;
  }
  return MYNAH_OK;
}

mynah_status mynah_json_dump(const mynah_json *j, int indent, mynah_str *out) {
  if (mynah__json_is_incomplete(j)) return mynah_fail(MYNAH_NO_MEMORY, "JSON: out of memory while it was built");
  mynah__status_clear();
  writer w = {.out = out, .indent = indent};
  MYNAH_TRY(write_value(&w, (const json_t *)(const void *)j));
  if (!out->is_failed) return MYNAH_OK;
  return mynah__status_last() == MYNAH_LIMIT ? MYNAH_LIMIT : MYNAH_NO_MEMORY;
}
