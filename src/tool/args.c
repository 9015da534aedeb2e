/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Settings and presets. */
#include "tool.h"

#include <stdio.h>
#include <string.h>

#include "presets_embedded.h" /* made at build time from configs: static const struct { name, text } presets[] */

static bool is_usage;
static int chosen_exit;

mynah_status tool_usage_error(const char *format, ...) {
  char text[1024];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  is_usage = true;
  return mynah_fail(MYNAH_INVALID, "%s", text);
}

bool tool_is_usage_error(void) { return is_usage; }
void tool_exit_with(int code) { chosen_exit = code; }
int tool_chosen_exit(void) { return chosen_exit; }

mynah_status tool_apply(const tool_args *args, const mynah_config_bind *binds, int n_binds) {
  for (int i = 0; i < args->n_settings; i++) {
    const char *equals = strchr(args->settings[i], '=');
    char key[128];
    snprintf(key, sizeof key, "%.*s", (int)(equals - args->settings[i]), args->settings[i]);
    mynah_status status = mynah_config_set(binds, (size_t)n_binds, key, equals + 1);
    if (status != MYNAH_OK) {
      is_usage = true;
      return status;
    }
  }
  return MYNAH_OK;
}

const char *tool_setting(const tool_args *args, const char *key) {
  size_t n = strlen(key);
  const char *found = NULL;
  for (int i = 0; i < args->n_settings; i++)
    if (strncmp(args->settings[i], key, n) == 0 && args->settings[i][n] == '=') found = args->settings[i] + n + 1;
  return found;
}

const char *const *tool_preset_names(void) {
  static const char *names[sizeof presets / sizeof *presets + 1];
  for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) names[i] = presets[i].name;
  return names;
}

const char *tool_preset_text(const char *name) {
  for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
    if (strcmp(presets[i].name, name) == 0) return presets[i].text;
  return NULL;
}

mynah_status tool_apply_preset(const char *name, const mynah_config_bind *binds, int n_binds) {
  const char *text = tool_preset_text(name);
  mynah_json *j = NULL;
  if (text) {
    MYNAH_TRY(mynah_json_parse(text, strlen(text), &j));
  } else if (strchr(name, '/') || strstr(name, ".json")) {
    MYNAH_TRY(mynah_json_load(name, &j));
  } else {
    size_t n = sizeof presets / sizeof *presets;
    const char *near = mynah_nearest(name, tool_preset_names(), n);
    return tool_usage_error("preset=%s: there is none of that name%s%s%s", name, near ? "; did you mean '" : "",
                            near ? near : "", near ? "'?" : "");
  }
  mynah_status status = mynah_config_from_json(binds, (size_t)n_binds, j);
  mynah_json_destroy(j);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "preset=%s", name);
}
