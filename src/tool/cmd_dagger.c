/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah dagger: a clone drives, the expert labels what it saw, it learns again; or the expert drives through noise. */
#include "tool.h"

#include <stdio.h>

#define DAGGER_COMMAND_KEYS(K)                                                                     \
  K(STRING, sim, "sim", "", 0, 0, "", "the simulator; its expert labels")                          \
  K(CHOICE, expert, "expert", "simulator", 0, 0, "simulator", "who labels: the simulator's own driver or planner; for a person see mynah run record.only=person") \
  K(STRING, out, "out", "", 0, 0, "", "the folder, made if missing")                               \
  K(STRING, policy, "policy", "mlp", 0, 0, "", "what is trained")                                  \
  K(STRING, preset, "preset", "", 0, 0, "", "settings of the training to begin with; sim=track: track-small")
typedef struct dagger_command_config {
#define DAGGER_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  DAGGER_COMMAND_KEYS(DAGGER_FIELD)
} dagger_command_config;
#define DAGGER_ROW(type, field, name, value, low, high, unit, help)                                \
  MYNAH_KEY_OF(dagger_command_config, type, field, name, value, low, high, unit, help)
static const mynah_key dagger_keys[] = {DAGGER_COMMAND_KEYS(DAGGER_ROW)};
static const mynah_config_table dagger_table = {"dagger", dagger_keys, sizeof dagger_keys / sizeof *dagger_keys,
                                                sizeof(dagger_command_config)};

typedef struct dagger {
  dagger_command_config command;
  mynah_dagger_config rounds;
  sim_choice sim;
  train_job job;
} dagger;

/* ---- what the loop calls back --------------------------------------------------------------------------------------- */

static mynah_status train(void *context, const char *data, const char *out, mynah_clone **clone) {
  train_job *job = &((dagger *)context)->job;
  mynah_train_report report;
  char policy[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_copy_text(job->command.data, sizeof job->command.data, data));
  MYNAH_TRY(mynah_copy_text(job->command.out, sizeof job->command.out, out));
  MYNAH_TRY(train_job_run(job, &report, policy));
  return mynah_clone_load(policy, clone);
}

static void told(void *context, const mynah_json *j) {
  (void)context;
  char name[32] = "plain";
  if (!mynah_json_get(j, "plain"))
    snprintf(name, sizeof name, "round %lld", (long long)mynah_json_to_integer(mynah_json_get(j, "round"), 0));
  tool_say("%s: %lld labelled frames", name, (long long)mynah_json_to_integer(mynah_json_get(j, "frames"), 0));
  tool_say_metrics(j);
}

/* ---- settings ------------------------------------------------------------------------------------------------------- */

/* The training's own tables, without data and out, which the loop fills. */
static int binds_of(dagger *d, mynah_config_bind *binds) {
  mynah_config_bind training[TOOL_MAX_BINDS];
  int n_training = train_job_binds(&d->job, training), n = 0;
  binds[n++] = (mynah_config_bind){&dagger_table, &d->command};
  binds[n++] = (mynah_config_bind){&mynah_dagger_table, &d->rounds};
  for (int i = 1; i < n_training; i++) binds[n++] = training[i];
  if (d->sim.config) binds[n++] = (mynah_config_bind){d->sim.type->config, d->sim.config};
  return n;
}

static mynah_status configure(const tool_args *args, dagger *d) {
  const char *sim = tool_setting(args, "sim"), *policy = tool_setting(args, "policy"), *preset = tool_setting(args, "preset");
  mynah_config_bind binds[TOOL_MAX_BINDS];
  if (args->n_positional > 0) return tool_usage_error("'%s': settings are typed key=value", args->positional[0]);
  if (!sim) return tool_usage_error("sim=NAME is missing");
  MYNAH_TRY(sim_choice_init(&d->sim, sim));
  if (train_job_init(&d->job, policy ? policy : "mlp") != MYNAH_OK) return tool_usage_error("%s", mynah_error());
  mynah_config_default(&dagger_table, &d->command);
  mynah_config_default(&mynah_dagger_table, &d->rounds);
  int n = binds_of(d, binds);
  if (!preset && d->sim.type == &mynah_sim_track) preset = "track-small";
  if (preset) MYNAH_TRY(tool_apply_preset(preset, binds, n));
  MYNAH_TRY(tool_apply(args, binds, n));
  if (!d->command.out[0]) return tool_usage_error("out=FOLDER is missing");
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  dagger *d = mynah_calloc(1, sizeof *d);
  if (!d) return MYNAH_NO_MEMORY;
  int64_t start = mynah_now_ns();
  mynah_status status = configure(args, d);
  mynah_dagger_task task = {.device = d->sim.type, .device_config = d->sim.config, .folder = d->command.out,
                            .train = train, .told = told, .context = d, .feed = &d->job.feed,
                            .seed = (uint64_t)d->job.train.seed, .n_threads = (int)d->job.train.threads,
                            .progress = tool_progress()};
  if (status == MYNAH_OK) status = mynah_dagger(&d->rounds, &task, result);
  if (status == MYNAH_OK) mynah_json_set(result, "seconds", mynah_json_number((double)(mynah_now_ns() - start) * 1e-9));
  train_job_deinit(&d->job);
  sim_choice_deinit(&d->sim);
  mynah_free(d);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  const char *sim = tool_setting(args, "sim"), *policy = tool_setting(args, "policy");
  const mynah_device_type *device;
  const mynah_policy_type *type;
  int n = 0;
  if (mynah_policy_find(policy ? policy : "mlp", &type) != MYNAH_OK) type = mynah_policy_types()[0];
  out[n++] = &dagger_table;
  out[n++] = &mynah_dagger_table;
  out[n++] = &mynah_train_table;
  out[n++] = &mynah_feed_table;
  out[n++] = &mynah_policy_table;
  out[n++] = type->config;
  if (sim && mynah_sim_find(sim, &device) == MYNAH_OK && device->config) out[n++] = device->config;
  return n;
}

const tool_command tool_dagger = {
    "dagger", "dagger sim=NAME out=DIR [method=dagger|hg-dagger|safe|dart] [rounds=9] [frames=1000] [key=value ...]",
    "let a clone drive, an expert label, and learn again", run, tables};
