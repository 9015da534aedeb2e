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

mynah_status tool_load_clone_for(const tool_args *args, const char *path, int n_threads, mynah_clone **out) {
  tool_acting_config c;
  MYNAH_TRY(read_acting(args, &c));
  mynah_clone *clone;
  const char *state = tool_setting(args, "state"); /* detector: the simulator looks, with the detector that was typed */
  MYNAH_TRY(mynah_clone_load_with(path, &(mynah_clone_config){(int)c.precision, n_threads}, &clone));
  bool has_eyes = c.detector[0] && !(state && strcmp(state, "detector") == 0);
  mynah_status status = has_eyes ? mynah_clone_open_eyes(clone, c.detector, (int)c.detector_threads) : MYNAH_OK;
  if (status == MYNAH_OK) *out = clone;
  else mynah_clone_destroy(clone);
  return status;
}

mynah_status tool_load_clone(const tool_args *args, const char *path, mynah_clone **out) {
  tool_acting_config c;
  MYNAH_TRY(read_acting(args, &c));
  return tool_load_clone_for(args, path, (int)c.threads, out);
}

mynah_status tool_load_checked(const tool_args *args, const char *path, mynah_clone **out) {
  mynah_clone *clone;
  mynah_selfcheck check;
  MYNAH_TRY(tool_load_clone(args, path, &clone));
  mynah_status status = mynah_clone_policy(clone)->golden ? mynah_clone_selfcheck(clone, &check) : MYNAH_OK;
  if (status != MYNAH_OK) {
    mynah_clone_destroy(clone);
    return mynah_error_context(status, "%s", path);
  }
  *out = clone;
  return MYNAH_OK;
}
