/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A simulator chosen by name, with a config to apply settings to. */
#include "tool.h"

#include <string.h>

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

mynah_status sim_choice_fit(sim_choice *s, const mynah_policy *p) {
  for (size_t k = 0; s->config && k < s->type->config->n_keys; k++) {
    if (strcmp(s->type->config->keys[k].name, "image") != 0) continue;
    for (int i = 0; i < p->n_inputs; i++)
      if (p->inputs[i].is_image) return mynah_config_set(&(mynah_config_bind){s->type->config, s->config}, 1, "image", "1");
  }
  return MYNAH_OK;
}

void sim_choice_deinit(sim_choice *s) {
  mynah_free(s->config);
  *s = (sim_choice){0};
}
