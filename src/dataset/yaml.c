/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The little of YAML that a dataset.yaml needs, line by line. What it says to download or to run is passed over unread.
 */
#include "labels.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES_MAX 10000

/* ---- class names ------------------------------------------------------------------------------------------------ */

void mynah__classes_deinit(mynah__classes *c) {
  for (int i = 0; i < c->n; i++) mynah_free(c->names[i]);
  mynah_free(c->names);
  *c = (mynah__classes){0};
}

mynah_status mynah__classes_put(mynah__classes *c, long number, const char *name) {
  if (number < 0 || number >= CLASSES_MAX) return mynah_fail(MYNAH_LIMIT, "class %ld: 0 … %d", number, CLASSES_MAX - 1);
  MYNAH_TRY(mynah_grow((void **)&c->names, &c->capacity, (size_t)number + 1, sizeof *c->names));
  for (; c->n <= number; c->n++) c->names[c->n] = NULL;
  if (c->names[number]) return mynah_fail(MYNAH_CORRUPT, "class %ld has two names", number);
  c->names[number] = mynah_strdup(name);
  return c->names[number] ? MYNAH_OK : MYNAH_NO_MEMORY;
}

mynah_status mynah__classes_check(const mynah__classes *c) {
  for (int i = 0; i < c->n; i++)
    if (!c->names[i]) return mynah_fail(MYNAH_CORRUPT, "class %d has no name", i);
  return c->n > 0 ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "has no names of classes");
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static char *trim(char *text) {
  while (isspace((unsigned char)*text)) text++;
  size_t n = strlen(text);
  while (n > 0 && isspace((unsigned char)text[n - 1])) text[--n] = 0;
  return text;
}

/* Cuts a comment off: a # at the beginning or after a blank, outside quotes. */
static void cut_comment(char *line) {
  char quote = 0;
  for (char *p = line; *p; p++) {
    if (quote) quote = *p == quote ? 0 : quote;
    else if (*p == '\'' || *p == '"') quote = *p;
    else if (*p == '#' && (p == line || isspace((unsigned char)p[-1]))) *p = 0;
    if (!*p) return;
  }
}

/* A plain or quoted scalar, in place. */
static mynah_status scalar(char *text, char **out) {
  text = trim(text);
  size_t n = strlen(text);
  bool is_quoted = n >= 1 && (*text == '\'' || *text == '"');
  if (is_quoted && (n < 2 || text[n - 1] != *text || strchr(text, '\\')))
    return mynah_fail(MYNAH_CORRUPT, "a quote that does not end here");
  if (is_quoted) text[n - 1] = 0, text++;
  else if (strchr("&*!|>%@`{}[]", *text) && *text)
    return mynah_fail(MYNAH_CORRUPT, "'%.20s' is beyond what is read here", text);
  *out = text;
  return MYNAH_OK;
}

enum { NAMES = 3 }; /* keys: 0 train, 1 val, 2 test, 3 names */

/* One value under a key: a name of class `number` (-1: the next), or a part's folder. */
static mynah_status put(mynah__yaml *y, int key, long number, char *text) {
  char *value = NULL;
  MYNAH_TRY(scalar(text, &value));
  if (key == NAMES) return mynah__classes_put(&y->names, number < 0 ? y->names.n : number, value);
  if (!value[0]) return MYNAH_OK;
  if (y->n_entries[key] == MYNAH__YAML_ENTRIES) return mynah_fail(MYNAH_LIMIT, "over %d folders", MYNAH__YAML_ENTRIES);
  char *copy = mynah_strdup(value);
  if (!copy) return MYNAH_NO_MEMORY;
  y->entries[key][y->n_entries[key]++] = copy;
  return MYNAH_OK;
}

/* "3: cone" of a map: the number, and what follows. */
static mynah_status put_pair(mynah__yaml *y, int key, char *text) {
  char *end, *at = trim(text), quote = *at == '\'' || *at == '"' ? *at++ : 0;
  long number = strtol(at, &end, 10);
  if (quote && *end == quote) end++;
  end += strspn(end, " \t");
  if (key != NAMES || end == at || *end != ':' || number < 0)
    return mynah_fail(MYNAH_CORRUPT, "'%.20s' is no NUMBER: NAME", at);
  return put(y, key, number, end + 1);
}

/* "[a, b]" or "{0: a, 1: b}", on one line. */
static mynah_status put_flow(mynah__yaml *y, int key, char *text) {
  bool is_map = *text == '{';
  size_t n = strlen(text);
  if (text[n - 1] != (is_map ? '}' : ']')) return mynah_fail(MYNAH_CORRUPT, "a list must end on its line");
  text[n - 1] = 0;
  for (char *at = trim(text + 1), *next; *at; at = next) {
    char quote = 0, *p = at;
    for (; *p && (quote || *p != ','); p++)
      if (*p == '\'' || *p == '"') quote = quote == *p ? 0 : quote ? quote : *p;
    next = *p ? p + 1 : p;
    *p = 0;
    MYNAH_TRY(is_map ? put_pair(y, key, at) : put(y, key, -1, at));
    next += strspn(next, " \t");
  }
  return MYNAH_OK;
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static int key_of(const char *name) {
  static const char *const names[] = {"train", "val", "test", "names"};
  for (int i = 0; i < 4; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

/* "key: value" at the margin; the key is what indented lines belong to. */
static mynah_status take_key(mynah__yaml *y, char *line, int *key) {
  char *colon = strchr(line, ':'), *value;
  *key = -1;
  if (!colon) return mynah_fail(MYNAH_CORRUPT, "'%.20s' is no key: value", line);
  *colon = 0;
  *key = key_of(trim(line));
  value = trim(colon + 1);
  if (strcmp(trim(line), "path") == 0) {
    MYNAH_TRY(scalar(value, &value));
    return mynah_copy_text(y->path, sizeof y->path, value);
  }
  if (*key < 0 || !*value) return MYNAH_OK;
  if (*value == '[' || *value == '{') return put_flow(y, *key, value);
  return *key == NAMES ? mynah_fail(MYNAH_CORRUPT, "names: is neither a list nor a map") : put(y, *key, -1, value);
}

static mynah_status take_line(mynah__yaml *y, char *line, int *key) {
  bool is_indented = *line == ' ' || *line == '\t';
  cut_comment(line);
  char *text = trim(line);
  if (!*text || strcmp(text, "---") == 0) return MYNAH_OK;
  bool is_item = text[0] == '-' && (text[1] == ' ' || text[1] == 0);
  if (!is_indented && !is_item) return take_key(y, text, key);
  if (*key < 0) return MYNAH_OK;
  return is_item ? put(y, *key, -1, text + 1) : put_pair(y, *key, text);
}

mynah_status mynah__yaml_parse(char *text, size_t length, mynah__yaml *out) {
  mynah__yaml y = {0};
  int key = -1;
  char *rest = text, *line;
  mynah_status status = strlen(text) == length ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "is no text");
  for (int number = 1; status == MYNAH_OK && (line = strsep(&rest, "\n")); number++) {
    status = take_line(&y, line, &key);
    if (status != MYNAH_OK) status = mynah_error_context(status, "line %d", number);
  }
  if (status == MYNAH_OK) status = mynah__classes_check(&y.names);
  if (status == MYNAH_OK) *out = y;
  else mynah__yaml_deinit(&y);
  return status;
}

void mynah__yaml_deinit(mynah__yaml *y) {
  mynah__classes_deinit(&y->names);
  for (int part = 0; part < 3; part++)
    for (int i = 0; i < y->n_entries[part]; i++) mynah_free(y->entries[part][i]);
  *y = (mynah__yaml){0};
}
