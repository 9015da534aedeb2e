/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One training from settings to policy file: wires dataset, policy, feed and trainer, and the evaluation between. */
#include "tool.h"

#include <math.h>
#include <string.h>

#define TEST_SEED 100000 /* where `mynah eval` begins unless told otherwise */

#define TRAIN_COMMAND_ROW(type, field, name, value, low, high, unit, help)                         \
  MYNAH_KEY_OF(train_command_config, type, field, name, value, low, high, unit, help)
static const mynah_key train_command_keys[] = {TRAIN_COMMAND_KEYS(TRAIN_COMMAND_ROW)};
const mynah_config_table train_command_table = {"train", train_command_keys,
                                                sizeof train_command_keys / sizeof *train_command_keys,
                                                sizeof(train_command_config)};

mynah_status train_job_init(train_job *job, const char *policy_name) {
  *job = (train_job){0};
  MYNAH_TRY(mynah_policy_find(policy_name, &job->type));
  job->policy_config = mynah_calloc(1, job->type->config->bytes);
  if (!job->policy_config) return MYNAH_NO_MEMORY;
  mynah_config_bind binds[TOOL_MAX_BINDS];
  int n = train_job_binds(job, binds);
  for (int i = 0; i < n; i++) mynah_config_default(binds[i].table, binds[i].config);
  return MYNAH_OK;
}

void train_job_deinit(train_job *job) {
  mynah_free(job->policy_config);
  *job = (train_job){0};
}

int train_job_binds(train_job *job, mynah_config_bind *binds) {
  binds[0] = (mynah_config_bind){&train_command_table, &job->command};
  binds[1] = (mynah_config_bind){&mynah_train_table, &job->train};
  binds[2] = (mynah_config_bind){&mynah_feed_table, &job->feed};
  binds[3] = (mynah_config_bind){&mynah_policy_table, &job->policy};
  binds[4] = (mynah_config_bind){job->type->config, job->policy_config};
  return 5;
}

/* ---- what the trainer calls back -------------------------------------------------------------------------------------- */

typedef struct wiring {
  train_job *job;
  mynah_policy *policy;
  sim_choice sim;
} wiring;

static mynah_status build(void *context, int64_t batch, mynah_graph *g, mynah_node *loss) {
  const mynah_policy *p = ((wiring *)context)->policy;
  return p->type->build_train(p, g, batch, loss);
}

static mynah_status save(void *context, mynah_weights *acting, const mynah_json *summary, const char *path) {
  (void)summary;
  return mynah_policy_save(((wiring *)context)->policy, acting, path);
}

/* Mean of the simulator's first metric, over the evaluation's own seeds. */
static mynah_status evaluate(void *context, mynah_weights *acting, int64_t step, double *score, mynah_json **details) {
  wiring *w = context;
  (void)step;
  mynah_clone *clone;
  MYNAH_TRY(mynah_clone_create(w->policy, acting, &clone));
  mynah_eval_config c = {.device = w->sim.type, .device_config = w->sim.config, .clone = clone,
                         .n_episodes = w->job->command.eval_episodes, .seed = (uint64_t)w->job->command.eval_seed,
                         .n_threads = (int)w->job->train.threads};
  mynah_eval_result r;
  mynah_status status = mynah_evaluate(&c, NULL, &r);
  mynah_clone_destroy(clone);
  if (status != MYNAH_OK) return status;
  double sum = 0;
  for (int64_t i = 0; i < r.n_episodes; i++) sum += r.values[i * r.n_metrics];
  *score = sum / (double)r.n_episodes;
  mynah_json *j = mynah_json_object();
  status = mynah_eval_to_json(&r, j);
  mynah_eval_result_deinit(&r);
  if (status == MYNAH_OK) *details = j;
  else mynah_json_destroy(j);
  return status;
}

/* ---- preparation ------------------------------------------------------------------------------------------------------ */

/* Keys that cannot change the weights stay out of the policy file, so that its hash does not depend on them. */
static const char *const not_in_file[] = {"threads",      "feed.workers",     "feed.ahead",       "cache.mb",
                                          "log.every",    "checkpoint.every", "checkpoint.keep",  "data",
                                          "checkpoint.policies",
                                          "out",          "resume",           NULL};

static bool is_in_file(const char *key) {
  for (int i = 0; not_in_file[i]; i++)
    if (strcmp(not_in_file[i], key) == 0) return false;
  return true;
}

static mynah_json *training_json(train_job *job) {
  mynah_json *all = mynah_json_object(), *kept = mynah_json_object();
  mynah_config_to_json(&train_command_table, &job->command, all);
  mynah_config_to_json(&mynah_train_table, &job->train, all);
  mynah_config_to_json(&mynah_feed_table, &job->feed, all);
  const char *key;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(all, i, &key, &value); i++)
    if (is_in_file(key)) mynah_json_set(kept, key, mynah_json_copy(value));
  mynah_json_destroy(all);
  return kept;
}

/* config.json: every key, resolved, and what it was run on. */
static mynah_status write_config(train_job *job, const mynah_policy *p) {
  mynah_config_bind binds[TOOL_MAX_BINDS];
  int n = train_job_binds(job, binds);
  mynah_json *j = mynah_json_object(), *config = mynah_json_object();
  for (int i = 0; i < n; i++) mynah_config_to_json(binds[i].table, binds[i].config, config);
  mynah_json_set(j, "policy", mynah_json_string(job->type->name));
  mynah_json_set(j, "dataset_hash", mynah_json_string(p->dataset_hash));
  mynah_json_set(j, "config", config);
  mynah_str text = {0};
  char path[MYNAH_PATH_MAX];
  mynah_status status = mynah_json_dump(j, 2, &text);
  mynah_json_destroy(j);
  if (status == MYNAH_OK) status = mynah_make_dirs(job->command.out);
  if (status == MYNAH_OK) status = mynah_path_join(path, sizeof path, job->command.out, "config.json");
  if (status == MYNAH_OK) status = mynah_file_write(path, mynah_str_text(&text), text.length);
  mynah_str_deinit(&text);
  return status;
}

/* The episodes that have a training range, in order. */
static mynah_status training_episodes(const mynah_split *split, int64_t **episodes, int64_t *n) {
  *episodes = mynah_calloc((size_t)split->n_train + 1, sizeof **episodes);
  if (!*episodes) return MYNAH_NO_MEMORY;
  *n = 0;
  for (int64_t i = 0; i < split->n_train; i++)
    if (*n == 0 || (*episodes)[*n - 1] != split->train[i].episode) (*episodes)[(*n)++] = split->train[i].episode;
  return MYNAH_OK;
}

static mynah_status make_policy(train_job *job, mynah_dataset *d, const mynah_split *split, mynah_policy **out) {
  int64_t *episodes = NULL, n = 0;
  mynah_status status = training_episodes(split, &episodes, &n);
  if (status == MYNAH_OK)
    status = mynah_policy_create(job->type, &job->policy, job->policy_config, d, episodes, n, out);
  mynah_free(episodes);
  if (status == MYNAH_OK) (*out)->training = training_json(job);
  return status;
}

static mynah_status make_weights(train_job *job, const mynah_policy *p, mynah_weights **out) {
  mynah_graph *g;
  mynah_node loss;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = p->type->build_train(p, g, 1, &loss);
  if (status == MYNAH_OK) status = mynah_weights_create(g, (uint64_t)job->train.seed, out);
  mynah_graph_destroy(g);
  return status;
}

/* ---- the run ---------------------------------------------------------------------------------------------------------- */

typedef struct training {
  wiring wiring;
  mynah_dataset *dataset;
  mynah_split split;
  mynah_weights *weights;
  mynah_frames *frames;
  mynah_trainer *trainer;
  mynah_window windows[MYNAH_POLICY_INPUTS_MAX + 4];
  int n_windows;
} training;

/* Whatever is chosen by an evaluation is chosen without the episodes that `mynah eval` measures on. */
static mynah_status check_evaluation(const train_command_config *c) {
  if (c->eval_sim[0] && c->eval_seed + c->eval_episodes > TEST_SEED)
    return mynah_fail(MYNAH_INVALID, "eval.seed=%lld eval.episodes=%lld: seeds from %d on are for testing: choose by others",
                      (long long)c->eval_seed, (long long)c->eval_episodes, TEST_SEED);
  return MYNAH_OK;
}

static mynah_status prepare(training *t, train_job *job) {
  bool is_resumed = job->command.resume[0] != 0;
  MYNAH_TRY(check_evaluation(&job->command));
  MYNAH_TRY(mynah_dataset_open(job->command.data, MYNAH_OPEN_READ, &t->dataset));
  MYNAH_TRY(mynah_split_create(t->dataset, &job->feed, (uint64_t)job->train.seed, &t->split));
  MYNAH_TRY(make_policy(job, t->dataset, &t->split, &t->wiring.policy));
  MYNAH_TRY(make_weights(job, t->wiring.policy, &t->weights));
  t->n_windows = mynah_policy_windows(t->wiring.policy, t->windows, MYNAH_POLICY_INPUTS_MAX + 4);
  if (job->command.eval_sim[0]) {
    MYNAH_TRY(sim_choice_init(&t->wiring.sim, job->command.eval_sim));
    MYNAH_TRY(sim_choice_fit(&t->wiring.sim, t->wiring.policy));
  }
  MYNAH_TRY(mynah_frames_open(job->command.data, &job->feed, t->windows, t->n_windows, &t->frames));
  t->wiring.job = job;
  mynah_learn_task task = {.context = &t->wiring, .build = build, .precision = mynah_policy_precision(&job->policy),
                           .weights = t->weights, .frames = t->frames,
                           .windows = t->windows, .n_windows = t->n_windows, .feed = &job->feed, .split = &t->split,
                           .save = save, .evaluate = job->command.eval_sim[0] ? evaluate : NULL};
  MYNAH_TRY(mynah_trainer_create(&job->train, &task, job->command.out, is_resumed, &t->trainer));
  return is_resumed || mynah_ranks_now().index > 0 ? MYNAH_OK : write_config(job, t->wiring.policy);
}

static void clean_up(training *t) {
  mynah_trainer_destroy(t->trainer);
  mynah_frames_destroy(t->frames);
  mynah_weights_destroy(t->weights);
  mynah_policy_destroy(t->wiring.policy);
  mynah_split_deinit(&t->split);
  sim_choice_deinit(&t->wiring.sim);
  mynah_dataset_close(t->dataset);
}

mynah_status train_job_run(train_job *job, mynah_train_report *report, char policy_path[MYNAH_PATH_MAX]) {
  training t = {0};
  mynah_status status = prepare(&t, job);
  if (status == MYNAH_OK) status = mynah_trainer_run(t.trainer, tool_progress(), report);
  clean_up(&t);
  if (status == MYNAH_OK && policy_path)
    status = mynah_path_join(policy_path, MYNAH_PATH_MAX, job->command.out, "policy.safetensors");
  return status;
}

mynah_status train_report_to_json(const mynah_train_report *r, const char *policy_path, mynah_json *j) {
  char hash[65];
  MYNAH_TRY(mynah_sha256_file(policy_path, hash));
  mynah_json_set(j, "policy", mynah_json_string(policy_path));
  mynah_json_set(j, "steps", mynah_json_integer(r->steps));
  mynah_json_set(j, "seconds", mynah_json_number(r->seconds));
  mynah_json_set(j, "total_seconds", mynah_json_number(r->total_seconds));
  mynah_json_set(j, "samples_per_s", mynah_json_number(r->samples_per_s));
  mynah_json_set(j, "gflop_per_step", mynah_json_number(r->flops_per_step * 1e-9));
  mynah_json_set(j, "parameters", mynah_json_integer(r->n_parameters));
  mynah_json_set(j, "train_windows", mynah_json_integer(r->n_train_windows));
  mynah_json_set(j, "valid_windows", mynah_json_integer(r->n_valid_windows));
  mynah_json_set(j, "train_loss", mynah_json_number(r->train_loss));
  mynah_json_set(j, "val_loss", mynah_json_number(r->valid_loss));
  mynah_json_set(j, "best_val_loss", mynah_json_number(r->best_loss));
  if (!isnan(r->best_score)) mynah_json_set(j, "best_score", mynah_json_number(r->best_score));
  mynah_json_set(j, "best_step", mynah_json_integer(r->best_step));
  mynah_json_set(j, "nonfinite_steps", mynah_json_integer(r->n_nonfinite));
  mynah_json_set(j, "resumed", mynah_json_bool(r->was_resumed));
  mynah_json_set(j, "sha256", mynah_json_string(hash));
  return MYNAH_OK;
}
