/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Growable text with a ceiling, and small text helpers. */
#include <mynah/base.h>

#include <stdio.h>
#include <string.h>

#define DEFAULT_MAX ((size_t)64 << 20)
#define NEAREST_MAX 64 /* longer words are not compared */

/* Room for n more bytes and the NUL. */
static bool make_room(mynah_str *s, size_t n) {
  size_t max = s->max ? s->max : DEFAULT_MAX;
  if (s->is_failed) return false;
  if (n > max || s->length > max - n) {
    mynah_fail(MYNAH_LIMIT, "text over its ceiling of %zu bytes", max);
    s->is_failed = true;
    return false;
  }
  size_t need = s->length + n + 1;
  if (need <= s->capacity) return true;
  size_t wanted = s->capacity * 2 > need ? s->capacity * 2 : need;
  if (wanted < 64) wanted = 64;
  char *grown = mynah_realloc(s->data, wanted, 1);
  if (!grown) {
    s->is_failed = true;
    return false;
  }
  s->data = grown;
  s->capacity = wanted;
  return true;
}

void mynah_str_append(mynah_str *s, const void *bytes, size_t n) {
  if (!make_room(s, n)) return;
  if (n) memcpy(s->data + s->length, bytes, n);
  s->length += n;
  s->data[s->length] = 0;
}

void mynah_str_printf(mynah_str *s, const char *format, ...) {
  if (s->is_failed) return;
  va_list args;
  va_start(args, format);
  size_t left = s->capacity - s->length;
  int n = vsnprintf(left ? s->data + s->length : NULL, left, format, args);
  va_end(args);
  if (n < 0) {
    mynah_fail(MYNAH_INTERNAL, "text format '%s' failed", format);
    s->is_failed = true;
    return;
  }
  if ((size_t)n >= left) {
    if (!make_room(s, (size_t)n)) {
      if (left) s->data[s->length] = 0; /* the part that fitted is taken back */
      return;
    }
    va_start(args, format);
    vsnprintf(s->data + s->length, (size_t)n + 1, format, args);
    va_end(args);
  } else if (s->length + (size_t)n > (s->max ? s->max : DEFAULT_MAX)) {
    s->data[s->length] = 0;
    make_room(s, (size_t)n); /* says why */
    return;
  }
  s->length += (size_t)n;
}

const char *mynah_str_text(const mynah_str *s) { return s->data ? s->data : ""; }

void mynah_str_deinit(mynah_str *s) {
  mynah_free(s->data);
  *s = (mynah_str){0};
}

mynah_status mynah_copy_text(char *out, size_t size, const char *text) {
  size_t n = strlen(text);
  if (n >= size)
    return mynah_fail(MYNAH_INVALID, "'%.60s%s': text of %zu bytes does not fit %zu", text, n > 60 ? "..." : "", n,
                      size);
  memcpy(out, text, n + 1);
  return MYNAH_OK;
}

/* Levenshtein distance with one row kept; both words shorter than NEAREST_MAX. */
static size_t edit_distance(const char *a, const char *b) {
  size_t row[NEAREST_MAX + 1], n = strlen(b);
  for (size_t j = 0; j <= n; j++) row[j] = j;
  for (size_t i = 0; a[i]; i++) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < n; j++) {
      size_t best = diagonal + (a[i] != b[j]);
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j + 1] + 1 < best) best = row[j + 1] + 1;
      diagonal = row[j + 1];
      row[j + 1] = best;
    }
  }
  return row[n];
}

const char *mynah_nearest(const char *word, const char *const *candidates, size_t n) {
  size_t length = strlen(word), best = SIZE_MAX;
  const char *nearest = NULL;
  if (length > NEAREST_MAX) return NULL;
  for (size_t i = 0; i < n; i++) {
    size_t other = strlen(candidates[i]);
    if (other > NEAREST_MAX) continue;
    size_t distance = edit_distance(word, candidates[i]);
    /* "near": at most a third of the longer word changed, or the word is the beginning of the candidate */
    size_t allowed = (length > other ? length : other) / 3 + 1;
    if (length >= 2 && length < other && strncmp(word, candidates[i], length) == 0) distance = 1;
    if (distance <= allowed && distance < best) {
      best = distance;
      nearest = candidates[i];
    }
  }
  return nearest;
}
