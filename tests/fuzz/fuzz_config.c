/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Configuration: lines "key=value" and JSON; whatever comes in, fields stay inside their ranges. */
#include "fuzz.h"

#include <mynah/base.h>

#include <string.h>

#define FUZZ_KEYS(K)                                 \
  K(INT, count, "count", 1, 1, 64, "", "")           \
  K(FLOAT, rate, "learning.rate", 0.5, 0, 1, "", "") \
  K(BOOL, is_fast, "fast", true, 0, 0, "", "")       \
  K(STRING, text, "text", "", 0, 0, "", "")          \
  K(CHOICE, head, "head", "b", 0, 0, "a|b|c", "")
typedef struct fuzz_config {
  FUZZ_KEYS(MYNAH_FIELD_ROW)
} fuzz_config;
#define ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(fuzz_config, type, field, name, value, low, high, unit, help)
static const mynah_key keys[] = {FUZZ_KEYS(ROW)};
static const mynah_config_table table = {"fuzz", keys, sizeof keys / sizeof *keys, sizeof(fuzz_config)};

static void check(const fuzz_config *c) {
  FUZZ_CHECK(c->count >= 1 && c->count <= 64);
  FUZZ_CHECK(c->rate >= 0 && c->rate <= 1);
  FUZZ_CHECK(c->head >= 0 && c->head < 3);
  FUZZ_CHECK(memchr(c->text, 0, sizeof c->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_config config;
  mynah_config_bind bind = {&table, &config};
  mynah_config_default(&table, &config);
  mynah_str text = {0};
  mynah_json *j;
  int64_t list[8];
  size_t n;
  mynah_str_append(&text, data, size);
  if (text.is_failed) return 0;
  if (mynah_json_parse(text.data, text.length, &j) == MYNAH_OK) {
    mynah_status status = mynah_config_from_json(&bind, 1, j);
    (void)status; /* either way: the fields are checked below */
    mynah_json_destroy(j);
  }
  for (char *line = text.data, *end; line && *line; line = end) {
    end = strchr(line, '\n');
    if (end) *end++ = 0;
    char *value = strchr(line, '=');
    if (!value) continue;
    *value++ = 0;
    mynah_status status = mynah_config_set(&bind, 1, line, value);
    if (mynah_parse_ints(value, list, 8, &n) == MYNAH_OK) FUZZ_CHECK(n >= 1 && n <= 8 && list[0] > 0);
    (void)status;
  }
  check(&config);
  mynah_str_deinit(&text);
  return 0;
}
