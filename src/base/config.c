/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Configuration tables: defaults, key=value, JSON and help from one list of keys. */
#include <mynah/base.h>

#include "number_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_NAMES 512 /* candidates for "did you mean" */
#define MAX_NAME 128  /* of a dotted key */
#define MAX_NESTING 8

static void *field_of(const mynah_key *key, void *config) { return (char *)config + key->offset; }
static const void *const_field_of(const mynah_key *key, const void *config) {
  return (const char *)config + key->offset;
}

/* The i-th word of "a|b|c"; NULL past the end. */
static const char *choice_at(const char *choices, int64_t i, size_t *length) {
  if (i < 0) return NULL;
  for (; i > 0; i--) {
    choices = strchr(choices, '|');
    if (!choices) return NULL;
    choices++;
  }
  *length = strcspn(choices, "|");
  return choices;
}

static mynah_status set_choice(const mynah_key *key, const char *value, int64_t *out) {
  size_t length;
  const char *word;
  for (int64_t i = 0; (word = choice_at(key->unit, i, &length)) != NULL; i++) {
    if (strlen(value) != length || memcmp(word, value, length) != 0) continue;
    *out = i;
    return MYNAH_OK;
  }
  return mynah_fail(MYNAH_INVALID, "%s=%s: not one of %s", key->name, value, key->unit);
}

static mynah_status check_range(const mynah_key *key, const char *value, double v) {
  if (v >= key->min && v <= key->max) return MYNAH_OK;
  char low[MYNAH__NUMBER_BYTES], high[MYNAH__NUMBER_BYTES];
  mynah__number_text(key->min, low);
  mynah__number_text(key->max, high);
  return mynah_fail(MYNAH_INVALID, "%s=%s: out of range: %s to %s%s%s", key->name, value, low, high,
                    key->unit && key->unit[0] ? " " : "", key->unit ? key->unit : "");
}

/* Plain digits are read exactly; "1e6" and "6.0" are whole numbers too. */
static bool parse_int(const char *text, int64_t *out) {
  size_t digits = strspn(text + (text[0] == '-' || text[0] == '+'), "0123456789");
  if (digits > 0 && digits <= 18 && strlen(text) == digits + (text[0] == '-' || text[0] == '+')) {
    *out = strtoll(text, NULL, 10);
    return true;
  }
  double v;
  if (!mynah__number_parse(text, &v) || v != floor(v) || fabs(v) > 0x1p53) return false;
  *out = (int64_t)v;
  return true;
}

static bool parse_bool(const char *text, bool *out) {
  static const char *const words[] = {"false", "true", "no", "yes", "0", "1", "off", "on"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (strcasecmp(text, words[i]) != 0) continue;
    *out = i % 2 == 1;
    return true;
  }
  return false;
}

/* Writes the field only when the value is good. */
static mynah_status set_value(const mynah_key *key, void *config, const char *value) {
  void *field = field_of(key, config);
  int64_t whole;
  double number;
  switch (key->type) {
  case MYNAH_KEY_BOOL:
    if (parse_bool(value, field)) return MYNAH_OK;
    return mynah_fail(MYNAH_INVALID, "%s=%s: not true or false", key->name, value);
  case MYNAH_KEY_INT:
    if (!parse_int(value, &whole)) return mynah_fail(MYNAH_INVALID, "%s=%s: not a whole number", key->name, value);
    MYNAH_TRY(check_range(key, value, (double)whole));
    memcpy(field, &whole, sizeof whole);
    return MYNAH_OK;
  case MYNAH_KEY_FLOAT:
    if (!mynah__number_parse(value, &number)) return mynah_fail(MYNAH_INVALID, "%s=%s: not a number", key->name, value);
    MYNAH_TRY(check_range(key, value, number));
    memcpy(field, &number, sizeof number);
    return MYNAH_OK;
  case MYNAH_KEY_STRING:
    if (strlen(value) < MYNAH_TEXT_MAX) return mynah_copy_text(field, MYNAH_TEXT_MAX, value);
    return mynah_fail(MYNAH_INVALID, "%s: text longer than %d bytes", key->name, MYNAH_TEXT_MAX - 1);
  case MYNAH_KEY_CHOICE: return set_choice(key, value, field);
  }
  return mynah_fail(MYNAH_INTERNAL, "%s: key of unknown type", key->name);
}

/* A default is written by us, in a table: a mistake in it is found by the first test that asks for defaults, which
 * checks that nothing was logged. Range is not asked of defaults: "0 = off" may lie outside. */
void mynah_config_default(const mynah_config_table *table, void *config) {
  memset(config, 0, table->bytes);
  for (size_t i = 0; i < table->n_keys; i++) {
    mynah_key key = table->keys[i];
    key.min = -HUGE_VAL;
    key.max = HUGE_VAL;
    if (set_value(&key, config, key.default_text) != MYNAH_OK)
      mynah_log(MYNAH_LOG_ERROR, "default of %s", mynah_error());
  }
}

static const mynah_key *find_key(const mynah_config_bind *binds, size_t n, const char *name, void **config) {
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < binds[i].table->n_keys; k++) {
      if (strcmp(binds[i].table->keys[k].name, name) != 0) continue;
      *config = binds[i].config;
      return &binds[i].table->keys[k];
    }
  }
  return NULL;
}

static mynah_status fail_unknown(const mynah_config_bind *binds, size_t n, const char *name) {
  const char *names[MAX_NAMES];
  size_t n_names = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < binds[i].table->n_keys && n_names < MAX_NAMES; k++)
      names[n_names++] = binds[i].table->keys[k].name;
  const char *nearest = mynah_nearest(name, names, n_names);
  if (nearest) return mynah_fail(MYNAH_INVALID, "unknown key '%s': did you mean '%s'?", name, nearest);
  return mynah_fail(MYNAH_INVALID, "unknown key '%s': --help lists the keys", name);
}

mynah_status mynah_config_set(const mynah_config_bind *binds, size_t n, const char *key, const char *value) {
  void *config = NULL;
  const mynah_key *found = find_key(binds, n, key, &config);
  return found ? set_value(found, config, value) : fail_unknown(binds, n, key);
}

/* A scalar of JSON as the text that key=value would have. */
static mynah_status set_from_scalar(const mynah_config_bind *binds, size_t n, const char *key, const mynah_json *j) {
  char number[MYNAH__NUMBER_BYTES];
  mynah_str text = {0};
  mynah_status status;
  if (mynah_json_is_string(j)) status = mynah_config_set(binds, n, key, mynah_json_to_string(j, ""));
  else if (mynah_json_is_bool(j))
    status = mynah_config_set(binds, n, key, mynah_json_to_bool(j, false) ? "true" : "false");
  else if (mynah_json_is_number(j)) {
    status = mynah_json_dump(j, 0, &text); /* keeps all digits of a 64-bit integer */
    if (status == MYNAH_OK && strlen(mynah_str_text(&text)) < sizeof number)
      status = mynah_config_set(binds, n, key, mynah_str_text(&text));
  } else status = mynah_fail(MYNAH_INVALID, "%s: a text, a number, true or false is needed", key);
  mynah_str_deinit(&text);
  return status;
}

static mynah_status set_from_object(const mynah_config_bind *binds, size_t n, const char *prefix,
                                    const mynah_json *object, int depth) {
  const char *name;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(object, i, &name, &value); i++) {
    char key[MAX_NAME];
    size_t used = strlen(prefix), length = strlen(name);
    if (used + length + 2 > sizeof key) return mynah_fail(MYNAH_INVALID, "unknown key '%.40s%.40s...'", prefix, name);
    memcpy(key, prefix, used);
    memcpy(key + used, name, length + 1);
    if (!mynah_json_is_object(value)) {
      MYNAH_TRY(set_from_scalar(binds, n, key, value));
      continue;
    }
    if (depth >= MAX_NESTING) return mynah_fail(MYNAH_INVALID, "%s: nested too deep", key);
    memcpy(key + used + length, ".", 2);
    MYNAH_TRY(set_from_object(binds, n, key, value, depth + 1));
  }
  return MYNAH_OK;
}

mynah_status mynah_config_from_json(const mynah_config_bind *binds, size_t n, const mynah_json *object) {
  if (!mynah_json_is_object(object)) return mynah_fail(MYNAH_INVALID, "configuration: a JSON object is needed");
  return set_from_object(binds, n, "", object, 0);
}

static mynah_json *value_to_json(const mynah_key *key, const void *config) {
  const void *field = const_field_of(key, config);
  int64_t whole;
  double number;
  mynah_str text = {0};
  mynah_json *j = NULL;
  switch (key->type) {
  case MYNAH_KEY_BOOL: return mynah_json_bool(*(const bool *)field);
  case MYNAH_KEY_INT: memcpy(&whole, field, sizeof whole); return mynah_json_integer(whole);
  case MYNAH_KEY_FLOAT: memcpy(&number, field, sizeof number); return mynah_json_number(number);
  case MYNAH_KEY_STRING: return mynah_json_string(field);
  case MYNAH_KEY_CHOICE:
    mynah_config_value(key, config, &text);
    if (!text.is_failed) j = mynah_json_string(mynah_str_text(&text));
    mynah_str_deinit(&text);
    return j;
  }
  return NULL;
}

void mynah_config_to_json(const mynah_config_table *table, const void *config, mynah_json *object) {
  for (size_t i = 0; i < table->n_keys; i++)
    mynah_json_set(object, table->keys[i].name, value_to_json(&table->keys[i], config));
}

void mynah_config_value(const mynah_key *key, const void *config, mynah_str *out) {
  const void *field = const_field_of(key, config);
  char text[MYNAH__NUMBER_BYTES];
  int64_t whole;
  double number;
  size_t length = 0;
  const char *word;
  switch (key->type) {
  case MYNAH_KEY_BOOL: mynah_str_printf(out, "%s", *(const bool *)field ? "true" : "false"); break;
  case MYNAH_KEY_INT:
    memcpy(&whole, field, sizeof whole);
    mynah_str_printf(out, "%" PRId64, whole);
    break;
  case MYNAH_KEY_FLOAT:
    memcpy(&number, field, sizeof number);
    mynah__number_text(number, text);
    mynah_str_printf(out, "%s", text);
    break;
  case MYNAH_KEY_STRING: mynah_str_printf(out, "%s", (const char *)field); break;
  case MYNAH_KEY_CHOICE:
    memcpy(&whole, field, sizeof whole);
    word = choice_at(key->unit, whole, &length);
    mynah_str_append(out, word ? word : "?", word ? length : 1);
    break;
  }
}

mynah_status mynah_parse_ints(const char *text, int64_t *out, size_t max, size_t *n) {
  int64_t found[64];
  size_t count = 0;
  const char *at = text;
  for (;;) {
    while (isspace((unsigned char)*at)) at++;
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || digits > 18) return mynah_fail(MYNAH_INVALID, "'%.60s': not a list of whole numbers", text);
    if (count >= max || count >= sizeof found / sizeof *found)
      return mynah_fail(MYNAH_INVALID, "'%.60s': more than %zu numbers", text, max);
    found[count] = strtoll(at, NULL, 10);
    if (found[count++] <= 0) return mynah_fail(MYNAH_INVALID, "'%.60s': numbers must be positive", text);
    at += digits;
    while (isspace((unsigned char)*at)) at++;
    if (!*at) break;
    if (*at++ != ',') return mynah_fail(MYNAH_INVALID, "'%.60s': numbers are separated by commas", text);
  }
  memcpy(out, found, count * sizeof *out);
  *n = count;
  return MYNAH_OK;
}
