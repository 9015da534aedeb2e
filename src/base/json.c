/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON values: made, read and walked (on jansson).
 *
 * A mynah_json is a jansson value. When a value cannot be put into its container for want of memory, the container is
 * marked as incomplete, so that writing it fails later instead of leaving something out. The mark is a reference count
 * that no value of ours can have (we never share values); destroying takes the marks off first. */
#include <mynah/base.h>

#include "alloc_internal.h"
#include "json_internal.h"
#include "status_internal.h"
#include "utf8_internal.h"

#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define MAX_BYTES ((size_t)64 << 20)
#define MAX_DEPTH 64
#define INCOMPLETE ((size_t)1 << 40)

static atomic_int n_incomplete;        /* marks ever set: while 0, nothing needs to be searched */
static atomic_uint_fast64_t n_changes; /* of any object, for mynah_json_entry */

__attribute__((constructor)) static void use_counted_memory(void) { json_set_alloc_funcs(mynah__malloc, mynah__free); }

static json_t *in(const mynah_json *j) { return (json_t *)(uintptr_t)j; }
static mynah_json *out_of(json_t *j) { return (mynah_json *)j; }
static bool is_container(const json_t *j) { return json_is_object(j) || json_is_array(j); }

static void mark_incomplete(json_t *container) {
  if (!is_container(container)) return;
  atomic_fetch_add(&n_incomplete, 1);
  container->refcount = INCOMPLETE;
}

/* Finds a mark in the tree; `is_healing` also takes all of them off. Depth: our values are built or parsed by us. */
static bool find_incomplete(json_t *j, bool is_healing) {
  bool is_found = is_container(j) && j->refcount == INCOMPLETE;
  if (is_found && is_healing) j->refcount = 1;
  size_t i;
  const char *key;
  json_t *child;
  if (json_is_array(j)) json_array_foreach(j, i, child) is_found = find_incomplete(child, is_healing) || is_found;
  if (json_is_object(j)) json_object_foreach(j, key, child) is_found = find_incomplete(child, is_healing) || is_found;
  return is_found;
}

bool mynah__json_is_incomplete(const mynah_json *j) {
  return !j || (atomic_load(&n_incomplete) > 0 && find_incomplete(in(j), false));
}

void mynah_json_destroy(mynah_json *j) {
  if (!j) return;
  atomic_fetch_add_explicit(&n_changes, 1, memory_order_relaxed);
  if (atomic_load(&n_incomplete) > 0) find_incomplete(in(j), true);
  json_decref(in(j));
}

/* jansson recurses; a depth that its stack use makes dangerous is refused before it starts. */
static mynah_status check_depth(const char *text, size_t length) {
  int depth = 0;
  bool is_string = false;
  for (size_t i = 0; i < length; i++) {
    if (is_string) {
      if (text[i] == '\\') i++;
      else if (text[i] == '"') is_string = false;
    } else if (text[i] == '"') is_string = true;
    else if (text[i] == '{' || text[i] == '[') depth++;
    else if (text[i] == '}' || text[i] == ']') depth--;
    if (depth > MAX_DEPTH) return mynah_fail(MYNAH_LIMIT, "JSON nested deeper than %d", MAX_DEPTH);
  }
  return MYNAH_OK;
}

mynah_status mynah_json_parse(const char *text, size_t length, mynah_json **out) {
  if (length > MAX_BYTES)
    return mynah_fail(MYNAH_LIMIT, "JSON of %zu bytes is over the limit of %zu", length, MAX_BYTES);
  MYNAH_TRY(check_depth(text, length));
  json_error_t error;
  mynah__status_clear();
  json_t *j = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
  if (j) {
    *out = out_of(j);
    return MYNAH_OK;
  }
  if (mynah__status_last() == MYNAH_NO_MEMORY) return mynah_error_context(MYNAH_NO_MEMORY, "JSON");
  return mynah_fail(MYNAH_CORRUPT, "line %d, column %d: %s", error.line, error.column, error.text);
}

mynah_status mynah_json_load(const char *path, mynah_json **out) {
  char *text;
  size_t length;
  MYNAH_TRY(mynah_file_read(path, MAX_BYTES, &text, &length));
  mynah_status status = mynah_json_parse(text, length, out);
  mynah_free(text);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}

mynah_json *mynah_json_copy(const mynah_json *j) {
  return mynah__json_is_incomplete(j) ? NULL : out_of(json_deep_copy(in(j)));
}

mynah_json *mynah_json_object(void) { return out_of(json_object()); }
mynah_json *mynah_json_array(void) { return out_of(json_array()); }
mynah_json *mynah_json_number(double v) { return out_of(isfinite(v) ? json_real(v) : json_null()); }
mynah_json *mynah_json_integer(int64_t v) { return out_of(json_integer(v)); }
mynah_json *mynah_json_bool(bool v) { return out_of(json_boolean(v)); }
mynah_json *mynah_json_null(void) { return out_of(json_null()); }

mynah_json *mynah_json_string(const char *v) {
  if (!v) return NULL;
  size_t n = 0, step;
  while ((step = mynah__utf8_char(v + n)) > 0) n += step;
  if (!v[n]) return out_of(json_stringn_nocheck(v, n));
  mynah_str repaired = {0};
  mynah__utf8_repair(v, &repaired);
  json_t *j = repaired.is_failed ? NULL : json_stringn_nocheck(repaired.data, repaired.length);
  mynah_str_deinit(&repaired);
  return out_of(j);
}

mynah_json *mynah_json_numbers(const double *v, size_t n) {
  mynah_json *array = mynah_json_array();
  for (size_t i = 0; i < n && array; i++) mynah_json_append(array, mynah_json_number(v[i]));
  return array;
}

/* A float is written with as few digits as bring the same float back: 0.1f as 0.1, not 0.10000000149. */
mynah_json *mynah_json_floats(const float *v, size_t n) {
  mynah_json *array = mynah_json_array();
  for (size_t i = 0; i < n && array; i++) mynah_json_append(array, mynah_json_number(mynah__json_shortest_float(v[i])));
  return array;
}

void mynah_json_set(mynah_json *object, const char *key, mynah_json *value) {
  atomic_fetch_add_explicit(&n_changes, 1, memory_order_relaxed);
  if (!object || !value || !json_is_object(in(object)) || !key) {
    mynah_json_destroy(value);
    mark_incomplete(in(object));
    return;
  }
  mynah_str repaired = {0};
  mynah__utf8_repair(key, &repaired);
  json_t *old = json_object_get(in(object), mynah_str_text(&repaired));
  if (old && atomic_load(&n_incomplete) > 0) find_incomplete(old, true);
  /* the form that does not steal: jansson would free a refused value without taking its marks off */
  bool is_set = !repaired.is_failed && json_object_set_nocheck(in(object), repaired.data, in(value)) == 0;
  if (is_set) json_decref(in(value));
  mynah_str_deinit(&repaired);
  if (is_set) return;
  mynah_json_destroy(value);
  mark_incomplete(in(object));
}

void mynah_json_append(mynah_json *array, mynah_json *value) {
  if (array && value && json_is_array(in(array)) && json_array_append(in(array), in(value)) == 0) {
    json_decref(in(value));
    return;
  }
  mynah_json_destroy(value);
  mark_incomplete(in(array));
}

const mynah_json *mynah_json_get(const mynah_json *object, const char *key) {
  return out_of(json_object_get(in(object), key));
}
const mynah_json *mynah_json_at(const mynah_json *array, size_t i) { return out_of(json_array_get(in(array), i)); }

size_t mynah_json_size(const mynah_json *j) {
  if (!j) return 0;
  return json_is_array(in(j)) ? json_array_size(in(j)) : json_object_size(in(j));
}

/* jansson's objects are lists: the place of the last entry asked for is remembered, so that a walk is linear. Any
 * change of any object since then makes the place void. */
bool mynah_json_entry(const mynah_json *object, size_t i, const char **key, const mynah_json **value) {
  static _Thread_local struct {
    const mynah_json *object;
    size_t i;
    void *place;
    uint64_t n_changes;
  } last;
  if (!object || !json_is_object(in(object)) || i >= json_object_size(in(object))) return false;
  uint64_t now = atomic_load_explicit(&n_changes, memory_order_relaxed);
  size_t at = 0;
  void *place = NULL;
  if (last.object == object && last.n_changes == now && last.i <= i) {
    at = last.i;
    place = last.place;
  }
  if (!place) {
    at = 0;
    place = json_object_iter(in(object));
  }
  for (; place && at < i; at++) place = json_object_iter_next(in(object), place);
  if (!place) return false;
  last.object = object;
  last.i = i;
  last.place = place;
  last.n_changes = now;
  *key = json_object_iter_key(place);
  *value = out_of(json_object_iter_value(place));
  return true;
}

bool mynah_json_is_object(const mynah_json *j) { return j && json_is_object(in(j)); }
bool mynah_json_is_array(const mynah_json *j) { return j && json_is_array(in(j)); }
bool mynah_json_is_string(const mynah_json *j) { return j && json_is_string(in(j)); }
bool mynah_json_is_number(const mynah_json *j) { return j && json_is_number(in(j)); }
bool mynah_json_is_bool(const mynah_json *j) { return j && json_is_boolean(in(j)); }

double mynah_json_to_number(const mynah_json *j, double fallback) {
  return mynah_json_is_number(j) ? json_number_value(in(j)) : fallback;
}

int64_t mynah_json_to_integer(const mynah_json *j, int64_t fallback) {
  if (!mynah_json_is_number(j)) return fallback;
  if (json_is_integer(in(j))) return json_integer_value(in(j));
  double v = json_real_value(in(j));
  return v >= -0x1p63 && v < 0x1p63 && v == floor(v) ? (int64_t)v : fallback;
}

bool mynah_json_to_bool(const mynah_json *j, bool fallback) {
  return mynah_json_is_bool(j) ? json_is_true(in(j)) : fallback;
}

const char *mynah_json_to_string(const mynah_json *j, const char *fallback) {
  return mynah_json_is_string(j) ? json_string_value(in(j)) : fallback;
}
