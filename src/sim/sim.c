/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of simulators. A new one is a file and a row. */
#include <mynah/sim.h>

#include <string.h>

static const mynah_device_type *const types[] = {&mynah_sim_track,    &mynah_sim_pusht,    &mynah_sim_follow,
                                                 &mynah_sim_cartpole, &mynah_sim_pendulum, NULL};
#define N_TYPES (sizeof types / sizeof *types - 1)

const mynah_device_type *const *mynah_sim_types(void) { return types; }

mynah_status mynah_sim_find(const char *name, const mynah_device_type **out) {
  const char *names[N_TYPES];
  for (size_t i = 0; i < N_TYPES; i++) {
    names[i] = types[i]->name;
    if (strcmp(name, names[i]) != 0) continue;
    *out = types[i];
    return MYNAH_OK;
  }
  const char *near = mynah_nearest(name, names, N_TYPES);
  mynah_str known = {0};
  for (size_t i = 0; i < N_TYPES; i++) mynah_str_printf(&known, "%s%s", i ? ", " : "", names[i]);
  mynah_status status =
      near ? mynah_fail(MYNAH_NOT_FOUND, "simulator '%s': unknown: did you mean '%s'?", name, near)
           : mynah_fail(MYNAH_NOT_FOUND, "simulator '%s': unknown: there are %s", name, mynah_str_text(&known));
  mynah_str_deinit(&known);
  return status;
}

/* "key=value" applied to the config; the '=' must be there. */
static mynah_status apply(const mynah_config_bind *bind, const char *setting) {
  const char *equals = strchr(setting, '=');
  char key[MYNAH_NAME_MAX];
  if (!equals || equals == setting || (size_t)(equals - setting) >= sizeof key)
    return mynah_fail(MYNAH_INVALID, "'%s': a setting is key=value", setting);
  memcpy(key, setting, (size_t)(equals - setting));
  key[equals - setting] = 0;
  return mynah_config_set(bind, 1, key, equals + 1);
}

mynah_status mynah_sim_open(const char *name, const char *const *settings, int n_settings, mynah_device **out) {
  const mynah_device_type *type;
  MYNAH_TRY(mynah_sim_find(name, &type));
  if (!type->config) {
    if (n_settings > 0) return mynah_fail(MYNAH_INVALID, "'%s': sim=%s has no settings", settings[0], name);
    return type->open(NULL, out);
  }
  void *config = mynah_alloc(type->config->bytes);
  if (!config) return MYNAH_NO_MEMORY;
  mynah_config_default(type->config, config);
  mynah_config_bind bind = {type->config, config};
  mynah_status status = MYNAH_OK;
  for (int i = 0; status == MYNAH_OK && i < n_settings; i++) status = apply(&bind, settings[i]);
  if (status != MYNAH_OK) status = mynah_error_context(status, "sim=%s", name);
  else status = type->open(config, out);
  mynah_free(config);
  return status;
}
