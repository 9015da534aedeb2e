/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Loading a policy to act, in the precision and with the detector that were typed. */
#include "tool.h"

#include <string.h>

#define ACTING_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(tool_acting_config, type, field, name, value, low, high, unit, help)
static const mynah_key acting_keys[] = {TOOL_ACTING_KEYS(ACTING_ROW)};
const mynah_config_table tool_acting_table = {"acting", acting_keys, sizeof acting_keys / sizeof *acting_keys,
                                              sizeof(tool_acting_config)};

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

mynah_status tool_load_clone(const tool_args *args, const char *path, mynah_clone **out) {
  tool_acting_config c;
  mynah_clone *clone;
  const char *state = tool_setting(args, "state"); /* detector: the simulator looks, with the detector that was typed */
  MYNAH_TRY(read_acting(args, &c));
  if (c.precision == 0) MYNAH_TRY(mynah_clone_load(path, &clone));
  else MYNAH_TRY(mynah_clone_load_at(path, c.precision == 1 ? MYNAH_F32 : MYNAH_BF16, &clone));
  bool has_eyes = c.detector[0] && !(state && strcmp(state, "detector") == 0);
  mynah_status status = has_eyes ? mynah_clone_open_eyes(clone, c.detector, (int)c.detector_threads) : MYNAH_OK;
  if (status == MYNAH_OK) *out = clone;
  else mynah_clone_destroy(clone);
  return status;
}
