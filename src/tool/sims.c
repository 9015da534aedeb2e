/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A simulator chosen by name, with a config to apply settings to. */
#include "tool.h"

mynah_status sim_choice_init(sim_choice *s, const char *name) {
  const mynah_device_type *type;
  mynah_status status = mynah_sim_find(name, &type);
  if (status != MYNAH_OK) return tool_usage_error("sim=%s: %s", name, mynah_error());
  void *config = NULL;
  if (type->config) {
    config = mynah_calloc(1, type->config->bytes);
    if (!config) return MYNAH_NO_MEMORY;
    mynah_config_default(type->config, config);
  }
  *s = (sim_choice){type, config};
  return MYNAH_OK;
}

void sim_choice_deinit(sim_choice *s) {
  mynah_free(s->config);
  *s = (sim_choice){0};
}
