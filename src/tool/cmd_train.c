/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah train: a policy from a dataset, or a run that goes on. */
#include "tool.h"

#include <stdio.h>
#include <string.h>

/* All keys of a run folder's config.json; then what is typed may change threads and the like. */
static mynah_status load_resumed(const char *folder, train_job *job) {
  char path[MYNAH_PATH_MAX];
  mynah_json *j;
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, "config.json"));
  MYNAH_TRY(mynah_json_load(path, &j));
  mynah_status status = train_job_init(job, mynah_json_to_string(mynah_json_get(j, "policy"), ""));
  if (status == MYNAH_OK) {
    mynah_config_bind binds[TOOL_MAX_BINDS];
    int n = train_job_binds(job, binds);
    status = mynah_config_from_json(binds, (size_t)n, mynah_json_get(j, "config"));
  }
  mynah_json_destroy(j);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s", path);
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

static mynah_status run(const tool_args *args, mynah_json *result) {
  train_job job = {0};
  mynah_train_report report;
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_ranks_begin());
  bool is_first = mynah_ranks_now().index == 0;
  if (!is_first) tool_be_silent();
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
    "train", "train POLICY [preset=NAME] data=X.demos out=DIR [key=value ...] | train resume=DIR",
    "train a policy on demonstrations", run, tables};
