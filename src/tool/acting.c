/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Loading a policy to act, in the precision, by the threads and with the detector that were typed. */
#include "tool.h"

#include <string.h>

#define ACTING_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(tool_acting_config, type, field, name, value, low, high, unit, help)
static const mynah_key acting_keys[] = {TOOL_ACTING_KEYS(ACTING_ROW)};
const mynah_config_table tool_acting_table = {"acting", acting_keys, sizeof acting_keys / sizeof *acting_keys,
                                              sizeof(tool_acting_config)};
const mynah_config_table tool_precision_table = {"acting", acting_keys, sizeof acting_keys / sizeof *acting_keys - 1, sizeof(tool_acting_config)};

/* These settings alone: what else was typed may belong to tables that the policy is needed for. */
static mynah_status read_acting(const tool_args *args, tool_acting_config *c) {
  tool_args only = {.command = args->command};
  mynah_config_default(&tool_acting_table, c);
  for (int i = 0; i < args->n_settings; i++)
    for (size_t k = 0; k < tool_acting_table.n_keys; k++) {
      size_t n = strlen(acting_keys[k].name);
      if (strncmp(args->settings[i], acting_keys[k].name, n) == 0 && args->settings[i][n] == '=') only.settings[only.n_settings++] = args->settings[i];
    }
  return tool_apply(&only, &(mynah_config_bind){&tool_acting_table, c}, 1);
}

/* A clone is checked before it is given eyes: its golden observations are states, not pictures. */
static mynah_status load(const tool_args *args, const char *path, const tool_acting_config *c, int n_threads, bool is_checked, mynah_clone **out) {
  mynah_clone *clone;
  mynah_selfcheck check;
  const char *state = tool_setting(args, "state"); /* detector: the simulator looks, with the detector that was typed */
  bool has_eyes = c->detector[0] && !(state && strcmp(state, "detector") == 0);
  MYNAH_TRY(mynah_clone_load_with(path, &(mynah_clone_config){(int)c->precision, n_threads}, &clone));
  mynah_status status = is_checked && mynah_clone_policy(clone)->golden ? mynah_clone_selfcheck(clone, &check) : MYNAH_OK;
  if (status != MYNAH_OK) status = mynah_error_context(status, "%s", path);
  else if (has_eyes) status = mynah_clone_open_eyes(clone, c->detector, (int)c->detector_threads);
  if (status == MYNAH_OK) *out = clone;
  else mynah_clone_destroy(clone);
  return status;
}

mynah_status tool_load_clone_for(const tool_args *args, const char *path, int n_threads, mynah_clone **out) {
  tool_acting_config c;
  MYNAH_TRY(read_acting(args, &c));
  return load(args, path, &c, n_threads, false, out);
}

mynah_status tool_load_clone(const tool_args *args, const char *path, mynah_clone **out) {
  tool_acting_config c;
  MYNAH_TRY(read_acting(args, &c));
  return load(args, path, &c, (int)c.threads, false, out);
}

mynah_status tool_load_checked(const tool_args *args, const char *path, mynah_clone **out) {
  tool_acting_config c;
  MYNAH_TRY(read_acting(args, &c));
  return load(args, path, &c, (int)c.threads, true, out);
}
