/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah drift: how a clone's errors compound, how it recovers, what disturbs it, and an alarm; a page of it all. */
#include "drift.h"

#include <math.h>

#define DRIFT_COMMAND_KEYS(K)                                                                      \
  K(STRING, sim, "sim", "", 0, 0, "", "the simulator")                                             \
  K(STRING, data, "data", "", 0, 0, "", "the demonstrations that the policy was trained on, for distances and the alarm") \
  K(STRING, out, "out", "", 0, 0, "", "a folder for drift.html and drift.json; empty: none")
typedef struct drift_command_config {
#define DRIFT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  DRIFT_COMMAND_KEYS(DRIFT_FIELD)
} drift_command_config;
#define DRIFT_ROW(type, field, name, value, low, high, unit, help)                                 \
  MYNAH_KEY_OF(drift_command_config, type, field, name, value, low, high, unit, help)
static const mynah_key drift_keys[] = {DRIFT_COMMAND_KEYS(DRIFT_ROW)};
static const mynah_config_table drift_table = {"drift page", drift_keys, sizeof drift_keys / sizeof *drift_keys,
                                               sizeof(drift_command_config)};

typedef struct drift_command {
  drift_command_config command;
  mynah_drift_config drift;
  sim_choice sim;
} drift_command;

static void say(const char *path, const mynah_json *j) {
  static const struct {
    const char *name, *keys[3]; /* a number lies under these keys */
  } rows[] = {{"expert's states", {"expert_states", "error"}},   {"own states", {"own_states", "error"}},
              {"own / expert's", {"ratio", "value"}},            {"order of growth", {"growth", "order", "value"}},
              {"recovery", {"recovery", "clone", "rate"}},       {"alarm, balanced", {"alarm", "balanced_accuracy"}}};
  tool_say("%s:", path);
  tool_say_metrics(j);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const mynah_json *v = j;
    for (int k = 0; k < 3 && v && rows[i].keys[k]; k++) v = mynah_json_get(v, rows[i].keys[k]);
    if (v) tool_say("  %-20s %.4f", rows[i].name, mynah_json_to_number(v, NAN));
  }
}

static mynah_status measure(const drift_command *c, const char *path, mynah_json *j) {
  mynah_clone *clone;
  mynah_dataset *data = NULL;
  MYNAH_TRY(mynah_clone_load(path, &clone));
  mynah_status status = c->command.data[0] ? mynah_dataset_open(c->command.data, MYNAH_OPEN_READ, &data) : MYNAH_OK;
  mynah_drift_task task = {.device = c->sim.type, .device_config = c->sim.config, .clone = clone, .data = data};
  mynah_json_set(j, "policy", mynah_json_string(path));
  if (status == MYNAH_OK) status = mynah_drift(&c->drift, &task, tool_progress(), j);
  if (status == MYNAH_OK) say(path, j);
  mynah_dataset_close(data);
  mynah_clone_destroy(clone);
  return status;
}

static mynah_status write_files(const drift_command *c, const drift_page *page, mynah_json *result) {
  char path[MYNAH_PATH_MAX], html[MYNAH_PATH_MAX];
  mynah_str text = {0};
  MYNAH_TRY(mynah_make_dirs(c->command.out));
  MYNAH_TRY(mynah_path_join(html, sizeof html, c->command.out, "drift.html"));
  MYNAH_TRY(mynah_path_join(path, sizeof path, c->command.out, "drift.json"));
  MYNAH_TRY(drift_page_write(page, html));
  mynah_json_set(result, "report", mynah_json_string(html));
  mynah_status status = mynah_json_dump(result, 0, &text);
  if (status == MYNAH_OK) status = mynah_file_write(path, mynah_str_text(&text), text.length);
  mynah_str_deinit(&text);
  if (status == MYNAH_OK) tool_say("look at %s", html);
  return status;
}

/* One policy's numbers lie at the top; of two under "before" and "after". */
static mynah_status measure_all(const tool_args *args, const drift_command *c, mynah_json *result) {
  static const char *const names[DRIFT_POLICIES] = {"before", "after"};
  drift_page page = {.n = args->n_positional, .sim = c->sim.type->name, .config = &c->drift};
  mynah_json_set(result, "sim", mynah_json_string(c->sim.type->name));
  for (int i = 0; i < page.n; i++) {
    mynah_json *j = page.n == 1 ? result : mynah_json_object();
    if (page.n == 2) mynah_json_set(result, names[i], j);
    page.names[i] = page.n == 1 ? "clone" : names[i];
    page.results[i] = j;
    MYNAH_TRY(measure(c, args->positional[i], j));
  }
  return c->command.out[0] ? write_files(c, &page, result) : MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  const char *sim = tool_setting(args, "sim");
  if (args->n_positional < 1 || args->n_positional > DRIFT_POLICIES)
    return tool_usage_error("name one policy file, or two: before and after a repair");
  if (!sim) return tool_usage_error("sim=NAME is missing");
  drift_command c = {0};
  mynah_config_default(&drift_table, &c.command);
  mynah_config_default(&mynah_drift_table, &c.drift);
  MYNAH_TRY(sim_choice_init(&c.sim, sim));
  mynah_config_bind binds[3] = {{&drift_table, &c.command}, {&mynah_drift_table, &c.drift}};
  int n = 2;
  if (c.sim.config) binds[n++] = (mynah_config_bind){c.sim.type->config, c.sim.config};
  mynah_status status = tool_apply(args, binds, n);
  if (status == MYNAH_OK) status = measure_all(args, &c, result);
  sim_choice_deinit(&c.sim);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  const char *sim = tool_setting(args, "sim");
  const mynah_device_type *type;
  int n = 0;
  out[n++] = &drift_table;
  out[n++] = &mynah_drift_table;
  if (sim && mynah_sim_find(sim, &type) == MYNAH_OK && type->config) out[n++] = type->config;
  return n;
}

const tool_command tool_drift = {
    "drift", "drift POLICY.safetensors [AFTER] sim=NAME [data=X.demos] [out=DIR] [episodes=100] [seed=100000] [key=value ...]",
    "measure how a policy's errors compound, and how it recovers", run, tables};
