/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah demo: the whole story with no input. An expert drives, a clone learns from its camera, both drive roads that
 * neither training has seen; the same demonstrations without noise and side cameras are shown beside it. */
#include "demo.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEMO_ROW(type, field, name, value, low, high, unit, help)                                  \
  MYNAH_KEY_OF(demo_config, type, field, name, value, low, high, unit, help)
static const mynah_key demo_keys[] = {DEMO_KEYS(DEMO_ROW)};
const mynah_config_table demo_table = {"demo", demo_keys, sizeof demo_keys / sizeof *demo_keys, sizeof(demo_config)};

/* ---- recording ---------------------------------------------------------------------------------------------------- */

/* A simulator setting by key, e.g. cameras=3. */
static mynah_status set_sim(sim_choice *sim, const char *key, const char *value) {
  mynah_config_bind bind = {sim->type->config, sim->config};
  return mynah_config_set(&bind, 1, key, value);
}

/* The same roads and starts, a little off the middle; rich demonstrations are also disturbed and seen by three cameras. */
static mynah_status configure_track(const demo *d, bool is_rich, sim_choice *sim) {
  char seconds[32];
  snprintf(seconds, sizeof seconds, "%.17g", d->config.road_s);
  MYNAH_TRY(set_sim(sim, "limit", seconds));
  MYNAH_TRY(set_sim(sim, "start.offset", "0.5"));
  MYNAH_TRY(set_sim(sim, "start.heading", "0.1"));
  return is_rich ? set_sim(sim, "cameras", "3") : MYNAH_OK;
}

static mynah_status record(demo *d, const char *path, bool is_rich, mynah_record_report *report) {
  sim_choice sim;
  MYNAH_TRY(sim_choice_init(&sim, "track"));
  mynah_record_config c;
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = d->config.roads;
  c.seed = d->config.seed;
  c.noise = is_rich ? d->config.noise : 0;
  mynah_record_options options = {.progress = tool_progress()};
  mynah_device *device = NULL;
  mynah_status status = configure_track(d, is_rich, &sim);
  if (status == MYNAH_OK) status = sim.type->open(sim.config, &device);
  if (status == MYNAH_OK) status = mynah_file_remove(path);
  if (status == MYNAH_OK) status = mynah_record_expert(device, &c, path, &options, report);
  if (device) sim.type->close(device);
  sim_choice_deinit(&sim);
  if (status == MYNAH_OK)
    tool_say("recorded on %lld roads, %lld frames%s in %.1f s", (long long)report->n_episodes, (long long)report->n_frames,
             is_rich ? " with noise and three cameras" : ", plain", report->seconds);
  return status;
}

/* ---- training ----------------------------------------------------------------------------------------------------- */

static mynah_status train(demo *d, demo_training *t, const char *data, const char *name, bool is_rich) {
  MYNAH_TRY(mynah_path_join(t->folder, sizeof t->folder, d->config.out, name));
  MYNAH_TRY(mynah_remove_tree(t->folder));
  MYNAH_TRY(train_job_init(&t->job, "mlp"));
  mynah_config_bind binds[TOOL_MAX_BINDS];
  int n = train_job_binds(&t->job, binds);
  MYNAH_TRY(tool_apply_preset("track", binds, n));
  MYNAH_TRY(mynah_copy_text(t->job.command.data, sizeof t->job.command.data, data));
  MYNAH_TRY(mynah_copy_text(t->job.command.out, sizeof t->job.command.out, t->folder));
  t->job.train.seed = d->config.seed;
  t->job.train.threads = d->config.threads;
  if (d->config.steps > 0) t->job.train.steps = d->config.steps;
  if (!is_rich) t->job.feed.side_share = 0;
  MYNAH_TRY(train_job_run(&t->job, &t->report, t->policy));
  tool_say("trained %s: %lld steps in %.1f s (%.0f pictures/s), validation loss %.4f", name, (long long)t->report.steps,
           t->report.seconds, t->report.samples_per_s, t->report.valid_loss);
  return MYNAH_OK;
}

/* ---- evaluation --------------------------------------------------------------------------------------------------- */

static mynah_status evaluate(demo *d, const char *policy, mynah_eval_result *out, mynah_json **metrics) {
  mynah_clone *clone = NULL;
  sim_choice sim;
  MYNAH_TRY(sim_choice_init(&sim, "track"));
  mynah_status status = policy ? mynah_clone_load(policy, &clone) : MYNAH_OK;
  mynah_eval_config c = {.device = sim.type, .device_config = sim.config, .clone = clone,
                         .n_episodes = d->config.episodes, .seed = (uint64_t)d->config.eval_seed,
                         .n_threads = (int)d->config.threads, .n_traces = DEMO_TRACES};
  if (status == MYNAH_OK) status = mynah_evaluate(&c, tool_progress(), out);
  mynah_clone_destroy(clone);
  sim_choice_deinit(&sim);
  if (status != MYNAH_OK) return status;
  *metrics = mynah_json_object();
  return mynah_eval_to_json(out, *metrics);
}

static void say_driver(const char *name, const mynah_json *m) {
  const mynah_json *finished = mynah_json_get(m, "finished"), *autonomy = mynah_json_get(m, "autonomy");
  tool_say("%-7s autonomy %.3f, laps finished %lld of %lld", name,
           mynah_json_to_number(mynah_json_get(autonomy, "mean"), 0),
           (long long)mynah_json_to_integer(mynah_json_get(finished, "k"), 0),
           (long long)mynah_json_to_integer(mynah_json_get(finished, "n"), 0));
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static mynah_status play(demo *d) {
  char rich[MYNAH_PATH_MAX], plain[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_make_dirs(d->config.out));
  MYNAH_TRY(mynah_path_join(rich, sizeof rich, d->config.out, "demonstrations.demos"));
  MYNAH_TRY(mynah_path_join(plain, sizeof plain, d->config.out, "plain.demos"));
  MYNAH_TRY(record(d, rich, true, &d->recorded[0]));
  MYNAH_TRY(record(d, plain, false, &d->recorded[1]));
  MYNAH_TRY(train(d, &d->trained[0], rich, "clone", true));
  MYNAH_TRY(train(d, &d->trained[1], plain, "plain", false));
  const char *policies[DEMO_DRIVERS] = {NULL, d->trained[0].policy, d->trained[1].policy};
  for (int i = 0; i < DEMO_DRIVERS; i++) {
    MYNAH_TRY(evaluate(d, policies[i], &d->results[i], &d->metrics[i]));
    say_driver(demo_driver_names[i], d->metrics[i]);
  }
  MYNAH_TRY(mynah_copy_text(d->data, sizeof d->data, rich));
  MYNAH_TRY(mynah_path_join(d->report, sizeof d->report, d->config.out, "report.html"));
  d->seconds = (double)(mynah_now_ns() - d->start_ns) * 1e-9;
  MYNAH_TRY(demo_report_write(d));
  d->seconds = (double)(mynah_now_ns() - d->start_ns) * 1e-9;
  return MYNAH_OK;
}

static void fill_result(demo *d, mynah_json *result) {
  mynah_json_set(result, "seconds", mynah_json_number(d->seconds));
  mynah_json_set(result, "report", mynah_json_string(d->report));
  mynah_json_set(result, "policy", mynah_json_string(d->trained[0].policy));
  mynah_json_set(result, "episodes", mynah_json_integer(d->config.episodes));
  mynah_json_set(result, "seed", mynah_json_integer(d->config.eval_seed));
  for (int i = 0; i < DEMO_DRIVERS; i++)
    mynah_json_set(result, demo_driver_names[i], mynah_json_copy(d->metrics[i]));
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  if (args->n_positional > 0) return tool_usage_error("'%s': settings are typed key=value", args->positional[0]);
  demo *d = mynah_calloc(1, sizeof *d);
  if (!d) return MYNAH_NO_MEMORY;
  d->start_ns = mynah_now_ns();
  mynah_config_default(&demo_table, &d->config);
  mynah_config_bind bind = {&demo_table, &d->config};
  mynah_status status = tool_apply(args, &bind, 1);
  if (status == MYNAH_OK) status = play(d);
  if (status == MYNAH_OK) {
    fill_result(d, result);
    tool_say("done in %.0f s; look at %s", d->seconds, d->report);
  }
  for (int i = 0; i < DEMO_DRIVERS; i++) {
    mynah_eval_result_deinit(&d->results[i]);
    mynah_json_destroy(d->metrics[i]);
  }
  for (int i = 0; i < 2; i++) train_job_deinit(&d->trained[i].job);
  mynah_free(d);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &demo_table;
  return 1;
}

const tool_command tool_demo = {"demo", "demo [out=demo] [key=value ...]",
                                "the whole story with no input: an expert drives, a clone learns, a report shows it", run,
                                tables};
