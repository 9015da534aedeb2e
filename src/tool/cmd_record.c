/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah record: demonstrations of a simulator's expert. */
#include "tool.h"

#include <string.h>

#define RECORD_COMMAND_KEYS(K)                                                                     \
  K(STRING, sim, "sim", "", 0, 0, "", "the simulator")                                             \
  K(STRING, out, "out", "", 0, 0, "", "the dataset; new episodes are added to one that exists")    \
  K(CHOICE, source, "source", "expert", 0, 0, "expert", "who demonstrates")
typedef struct record_command_config {
#define RECORD_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  RECORD_COMMAND_KEYS(RECORD_FIELD)
} record_command_config;
#define RECORD_ROW(type, field, name, value, low, high, unit, help)                                \
  MYNAH_KEY_OF(record_command_config, type, field, name, value, low, high, unit, help)
static const mynah_key record_keys[] = {RECORD_COMMAND_KEYS(RECORD_ROW)};
static const mynah_config_table record_table = {"record", record_keys, sizeof record_keys / sizeof *record_keys,
                                                sizeof(record_command_config)};

static void saved(void *context, int64_t episode, int64_t frames) {
  (void)context;
  tool_say("saved episode %lld: %lld frames", (long long)episode, (long long)frames);
}

static mynah_status record(const tool_args *args, const sim_choice *sim, mynah_json *result) {
  record_command_config c;
  mynah_record_config record_config;
  mynah_config_default(&record_table, &c);
  mynah_config_default(&mynah_record_table, &record_config);
  mynah_config_bind binds[3] = {{&record_table, &c}, {&mynah_record_table, &record_config}, {sim->type->config, sim->config}};
  MYNAH_TRY(tool_apply(args, binds, sim->config ? 3 : 2));
  if (!c.out[0]) return tool_usage_error("out=NAME.demos is missing");
  mynah_device *device;
  MYNAH_TRY(sim->type->open(sim->config, &device));
  mynah_record_report report = {0};
  mynah_record_options options = {.progress = tool_progress(), .saved = saved};
  mynah_status status = mynah_record_expert(device, &record_config, c.out, &options, &report);
  sim->type->close(device);
  mynah_json_set(result, "out", mynah_json_string(c.out));
  mynah_json_set(result, "episodes", mynah_json_integer(report.n_episodes));
  mynah_json_set(result, "frames", mynah_json_integer(report.n_frames));
  mynah_json_set(result, "seconds", mynah_json_number(report.seconds));
  tool_say("recorded %lld episodes, %lld frames in %.1f s: %s", (long long)report.n_episodes, (long long)report.n_frames,
           report.seconds, c.out);
  return status;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  const char *name = tool_setting(args, "sim");
  if (args->n_positional > 0) return tool_usage_error("'%s': settings are typed key=value", args->positional[0]);
  if (!name) return tool_usage_error("sim=NAME is missing");
  sim_choice sim;
  MYNAH_TRY(sim_choice_init(&sim, name));
  mynah_status status = record(args, &sim, result);
  sim_choice_deinit(&sim);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  const char *sim = tool_setting(args, "sim");
  const mynah_device_type *type;
  int n = 0;
  out[n++] = &record_table;
  out[n++] = &mynah_record_table;
  if (sim && mynah_sim_find(sim, &type) == MYNAH_OK && type->config) out[n++] = type->config;
  return n;
}

const tool_command tool_record = {"record", "record sim=NAME out=X.demos [episodes=10] [seed=1] [noise=0.2] [key=value ...]",
                                  "record demonstrations", run, tables};
