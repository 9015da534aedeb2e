/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah record: demonstrations by an expert, a person or a script, in a simulator or on a robot. */
#include "tool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORD_COMMAND_KEYS(K)                                                                     \
  K(STRING, sim, "sim", "", 0, 0, "", "the simulator; the same as robot=sim:NAME")                 \
  K(STRING, robot, "robot", "", 0, 0, "", "a robot's JSON file (docs/formats.md), or sim:NAME")    \
  K(STRING, out, "out", "", 0, 0, "", "the dataset; new episodes are added to one that exists")    \
  K(CHOICE, source, "source", "expert", 0, 0, "expert|person|script", "who demonstrates: the simulator's expert, someone at the keyboard or a gamepad, or actions from elsewhere") \
  K(STRING, script, "script", "", 0, 0, "", "X.demos; a text file, an action a line, an empty line after each episode; or \"|COMMAND\", which answers a JSON line an observation with such a line")
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

/* ---- a simulator's expert, or a script in a simulator: as fast as it goes --------------------------------------------- */

static mynah_status record(const tool_args *args, const sim_choice *sim, mynah_json *result) {
  record_command_config c;
  mynah_record_config record_config;
  mynah_config_default(&record_table, &c);
  mynah_config_default(&mynah_record_table, &record_config);
  mynah_config_bind binds[3] = {{&record_table, &c}, {&mynah_record_table, &record_config}, {sim->type->config, sim->config}};
  MYNAH_TRY(tool_apply(args, binds, sim->config ? 3 : 2));
  if (c.source == 2 && !c.script[0]) return tool_usage_error("script= is missing: X.demos, a text file, or \"|COMMAND\"");
  if (c.source == 2 && !tool_setting(args, "episodes")) record_config.episodes = INT32_MAX; /* the script ends it */
  mynah_device *device;
  MYNAH_TRY(sim->type->open(sim->config, &device));
  mynah_record_report report = {0};
  mynah_record_options options = {.progress = tool_progress(), .saved = saved};
  mynah_status status = c.source == 2 ? mynah_script_open(c.script, mynah_feature_size(mynah_device_action(device)), &options.script) : MYNAH_OK;
  if (status == MYNAH_OK) status = mynah_record_expert(device, &record_config, c.out, &options, &report);
  mynah_script_close(options.script);
  sim->type->close(device);
  mynah_json_set(result, "out", mynah_json_string(c.out));
  mynah_json_set(result, "episodes", mynah_json_integer(report.n_episodes));
  mynah_json_set(result, "frames", mynah_json_integer(report.n_frames));
  mynah_json_set(result, "seconds", mynah_json_number(report.seconds));
  tool_say("recorded %lld episodes, %lld frames in %.1f s: %s", (long long)report.n_episodes, (long long)report.n_frames,
           report.seconds, c.out);
  return status;
}

/* ---- a person, or a robot: at its rate, within limits, as mynah run does ---------------------------------------------- */

/* The same settings in run's words, after what is usual here. */
static mynah_status record_at_rate(const tool_args *args, const char *robot, const char *source, mynah_json *result) {
  static char texts[3][MYNAH_TEXT_MAX + 16];
  tool_args run = {.command = "record", .is_json = args->is_json, .is_quiet = args->is_quiet};
  const char *script = tool_setting(args, "script");
  bool is_person = strcmp(source, "person") == 0;
  snprintf(texts[0], sizeof texts[0], "robot=%s", robot);
  snprintf(texts[1], sizeof texts[1], "record=%s", tool_setting(args, "out"));
  snprintf(texts[2], sizeof texts[2], "replay=%s", script ? script : "");
  run.settings[run.n_settings++] = "seconds=7200";
  run.settings[run.n_settings++] = texts[0];
  run.settings[run.n_settings++] = texts[1];
  if (is_person) {
    run.positional[run.n_positional++] = "person";
    run.settings[run.n_settings++] = "person=terminal";
    run.settings[run.n_settings++] = "reset.seconds=2";
    if (isatty(2) && !args->is_quiet) run.settings[run.n_settings++] = "view=terminal";
  } else {
    if (!script || strchr("|", script[0]) || !strstr(script, ".demos"))
      return tool_usage_error("source=script on a robot takes script=X.demos; a program of your own drives it as a server: mynah run ws://HOST:PORT record=…");
    run.settings[run.n_settings++] = texts[2];
  }
  static const char *const ours[] = {"sim=", "robot=", "out=", "source=", "script="};
  for (int i = 0; i < args->n_settings; i++) {
    bool is_ours = false;
    for (int k = 0; k < 5; k++) is_ours = is_ours || strncmp(args->settings[i], ours[k], strlen(ours[k])) == 0;
    if (is_ours) continue;
    if (run.n_settings == TOOL_MAX_ARGS) return tool_usage_error("too many settings");
    run.settings[run.n_settings++] = args->settings[i];
  }
  mynah_json_set(result, "out", mynah_json_string(tool_setting(args, "out")));
  return tool_run_robot(&run, result);
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  char robot[MYNAH_TEXT_MAX + 8];
  const char *name = tool_setting(args, "sim"), *typed = tool_setting(args, "robot"), *source = tool_setting(args, "source");
  if (args->n_positional > 0) return tool_usage_error("'%s': settings are typed key=value", args->positional[0]);
  if (!name == !typed) return tool_usage_error(name ? "sim= and robot= say the same thing" : "sim=NAME or robot=FILE.json is missing");
  if (!tool_setting(args, "out") || !tool_setting(args, "out")[0]) return tool_usage_error("out=NAME.demos is missing");
  if (name) snprintf(robot, sizeof robot, "sim:%s", name);
  else snprintf(robot, sizeof robot, "%s", typed);
  if (!source) source = "expert";
  bool is_sim = strncmp(robot, "sim:", 4) == 0;
  if (!is_sim && strcmp(source, "expert") == 0) return tool_usage_error("a robot has no expert: source=person or source=script");
  if (!is_sim || strcmp(source, "person") == 0) return record_at_rate(args, robot, source, result);
  sim_choice sim;
  MYNAH_TRY(sim_choice_init(&sim, robot + 4));
  mynah_status status = record(args, &sim, result);
  sim_choice_deinit(&sim);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  const char *sim = tool_setting(args, "sim"), *robot = tool_setting(args, "robot"), *source = tool_setting(args, "source");
  const mynah_device_type *type;
  int n = 0;
  if (!sim && robot && strncmp(robot, "sim:", 4) == 0) sim = robot + 4;
  out[n++] = &record_table;
  if ((source && strcmp(source, "person") == 0) || (robot && !sim)) n += tool_run.tables(args, out + n);
  else out[n++] = &mynah_record_table;
  if (sim && mynah_sim_find(sim, &type) == MYNAH_OK && type->config) out[n++] = type->config;
  return n;
}

const tool_command tool_record = {"record",
                                  "record sim=NAME|robot=FILE.json [source=expert|person|script] out=X.demos [episodes=10] [seed=1] [key=value ...]",
                                  "record demonstrations: an expert's, a person's, a script's", run, tables};
