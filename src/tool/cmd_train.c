/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah train: a policy or a detector from a dataset, or a run that goes on. */
#include "tool.h"

#include <string.h>

static mynah_status read_run(const char *folder, mynah_json **out) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, "config.json"));
  return mynah_json_load(path, out);
}

mynah_status tool_run_kind(const char *folder, char kind[MYNAH_NAME_MAX]) {
  mynah_json *j;
  MYNAH_TRY(read_run(folder, &j));
  mynah_status status = mynah_copy_text(kind, MYNAH_NAME_MAX, mynah_json_to_string(mynah_json_get(j, "policy"), ""));
  mynah_json_destroy(j);
  return status;
}

mynah_status tool_load_run(const char *folder, const mynah_config_bind *binds, int n_binds) {
  mynah_json *j;
  MYNAH_TRY(read_run(folder, &j));
  mynah_status status = mynah_config_from_json(binds, (size_t)n_binds, mynah_json_get(j, "config"));
  mynah_json_destroy(j);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s/config.json", folder);
}

/* All keys of a run folder's config.json; then what is typed may change threads and the like. */
static mynah_status load_resumed(const char *folder, train_job *job) {
  char kind[MYNAH_NAME_MAX];
  mynah_config_bind binds[TOOL_MAX_BINDS];
  MYNAH_TRY(tool_run_kind(folder, kind));
  MYNAH_TRY(train_job_init(job, kind));
  MYNAH_TRY(tool_load_run(folder, binds, train_job_binds(job, binds)));
  MYNAH_TRY(mynah_copy_text(job->command.out, sizeof job->command.out, folder));
  return mynah_copy_text(job->command.resume, sizeof job->command.resume, folder);
}

static mynah_status configure(const tool_args *args, train_job *job) {
  const char *resume = tool_setting(args, "resume"), *preset = tool_setting(args, "preset");
  mynah_config_bind binds[TOOL_MAX_BINDS];
  if (resume) {
    MYNAH_TRY(load_resumed(resume, job));
    return tool_apply(args, binds, train_job_binds(job, binds));
  }
  if (args->n_positional != 1) return tool_usage_error("name one policy, e.g. mlp");
  mynah_status status = train_job_init(job, args->positional[0]);
  if (status != MYNAH_OK) return tool_usage_error("%s", mynah_error());
  int n = train_job_binds(job, binds);
  if (preset) MYNAH_TRY(tool_apply_preset(preset, binds, n));
  MYNAH_TRY(tool_apply(args, binds, n));
  if (!job->command.data[0]) return tool_usage_error("data=NAME.demos is missing");
  if (!job->command.out[0]) return tool_usage_error("out=FOLDER is missing");
  return MYNAH_OK;
}

static bool is_detector(const tool_args *args) {
  char kind[MYNAH_NAME_MAX];
  const char *resume = tool_setting(args, "resume");
  if (resume) return tool_run_kind(resume, kind) == MYNAH_OK && strcmp(kind, "detector") == 0;
  return args->n_positional == 1 && strcmp(args->positional[0], "detector") == 0;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  train_job job = {0};
  mynah_train_report report;
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_ranks_begin());
  bool is_first = mynah_ranks_now().index == 0;
  if (!is_first) tool_be_silent();
  if (is_detector(args)) return train_detector_run(args, result);
  mynah_status status = configure(args, &job);
  if (status == MYNAH_OK) status = train_job_run(&job, &report, path);
  if (status == MYNAH_OK && is_first) status = train_report_to_json(&report, path, result);
  if (status == MYNAH_OK && is_first)
    tool_say("trained %s: %lld steps in %.1f s (%.0f samples/s), loss %.5g, validation %.5g\n%s", job.type->name,
             (long long)report.steps, report.seconds, report.samples_per_s, report.train_loss, report.valid_loss, path);
  if (status == MYNAH_INTERRUPTED) tool_say("stopped; go on with: mynah train resume=%s", job.command.out);
  train_job_deinit(&job);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  if (is_detector(args)) return train_detector_tables(out);
  const mynah_policy_type *type = mynah_policy_types()[0];
  if (args->n_positional > 0 && mynah_policy_find(args->positional[0], &type) != MYNAH_OK)
    type = mynah_policy_types()[0];
  out[0] = &train_command_table;
  out[1] = &mynah_train_table;
  out[2] = &mynah_feed_table;
  out[3] = &mynah_policy_table;
  out[4] = type->config;
  return 5;
}

const tool_command tool_train = {
    "train", "train POLICY|detector [preset=NAME] data=X.demos out=DIR [key=value ...] | train resume=DIR",
    "train a policy on demonstrations, or a detector on pictures with boxes", run, tables};
