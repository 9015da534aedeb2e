/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DAgger and its kin: rounds of driving, labelling, training and measuring. */
#include <mynah/teach.h>

#include <stdio.h>
#include <string.h>

#define SEEDS_A_RUN 1000003 /* episodes of runs with neighbouring seeds do not meet */
#define PATIENCE 10         /* a round drives at most so many times round.episodes episodes */

#define DAGGER_ROW(type, field, name, value, low, high, unit, help)                                \
  MYNAH_KEY_OF(mynah_dagger_config, type, field, name, value, low, high, unit, help)
static const mynah_key dagger_keys[] = {MYNAH_DAGGER_KEYS(DAGGER_ROW)};
const mynah_config_table mynah_dagger_table = {"rounds", dagger_keys, sizeof dagger_keys / sizeof *dagger_keys,
                                               sizeof(mynah_dagger_config)};

typedef struct teaching {
  const mynah_dagger_config *config;
  const mynah_dagger_task *task;
  mynah_device *device; /* where demonstrations are driven */
  char data[MYNAH_PATH_MAX], plain[MYNAH_PATH_MAX];
  mynah_clone *clone; /* of the last round */
  int64_t n_frames;   /* in data */
  mynah_dart_noise noise;
} teaching;

/* ---- one round ------------------------------------------------------------------------------------------------------ */

/* At most n_frames on the round's own episodes, added to the file. Without options the expert drives. */
static mynah_status record(teaching *t, int64_t round, int64_t n_frames, const char *path,
                           const mynah_record_options *options, mynah_record_report *report) {
  const mynah_dagger_config *c = t->config;
  mynah_record_config r;
  mynah_config_default(&mynah_record_table, &r);
  r.episodes = PATIENCE * c->episodes;
  r.seed = (int64_t)t->task->seed * SEEDS_A_RUN + round * r.episodes;
  r.max_frames = n_frames;
  if (options->noise_factor) r.noise_tau_s = t->noise.tau_s;
  return mynah_record_expert(t->device, &r, path, options, report);
}

static mynah_status fit_noise(teaching *t) {
  mynah_dataset *d;
  mynah_split split;
  MYNAH_TRY(mynah_dataset_open(t->data, MYNAH_OPEN_READ, &d));
  mynah_status status = mynah_split_create(d, t->task->feed, t->task->seed, &split);
  if (status == MYNAH_OK) {
    status = mynah_dart_fit(t->clone, d, &split, t->config->dart_scale, &t->noise);
    mynah_split_deinit(&split);
  }
  mynah_dataset_close(d);
  return status;
}

static mynah_json *noise_json(const mynah_dart_noise *o) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "covariance", mynah_json_numbers(o->covariance, (size_t)(o->n * o->n)));
  mynah_json_set(j, "tau_s", mynah_json_number(o->tau_s));
  mynah_json_set(j, "held_out_frames", mynah_json_integer(o->n_frames));
  return j;
}

/* Who drives in this round, and says so in j. Round 0 is the expert's. */
static mynah_status choose_driver(teaching *t, int64_t round, mynah_record_options *o, mynah_json *j) {
  const mynah_dagger_config *c = t->config;
  *o = (mynah_record_options){.progress = t->task->progress};
  if (round == 0) return MYNAH_OK;
  if (c->method == MYNAH_DAGGER_DART) {
    MYNAH_TRY(fit_noise(t));
    o->noise_factor = t->noise.factor;
    mynah_json_set(j, "noise", noise_json(&t->noise));
    return MYNAH_OK;
  }
  static const mynah_gate gates[] = {MYNAH_GATE_MIX, MYNAH_GATE_HANDOVER, MYNAH_GATE_SAFE};
  o->driver = t->clone;
  o->gate = gates[c->method];
  o->threshold = c->threshold;
  o->hold_steps = c->hold_steps;
  o->expert_share = 1;
  for (int64_t i = 0; i < round; i++) o->expert_share *= c->beta;
  if (o->gate == MYNAH_GATE_MIX) mynah_json_set(j, "beta", mynah_json_number(o->expert_share));
  else mynah_json_set(j, "threshold", mynah_json_number(o->threshold));
  return MYNAH_OK;
}

/* Trains on the file into FOLDER/name and measures if asked to; the clone replaces t's. */
static mynah_status learn(teaching *t, const char *data, const char *name, bool is_measured, mynah_json *j) {
  const mynah_dagger_task *task = t->task;
  char folder[MYNAH_PATH_MAX], policy[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, task->folder, name));
  MYNAH_TRY(mynah_path_join(policy, sizeof policy, folder, "policy.safetensors"));
  mynah_clone_destroy(t->clone);
  t->clone = NULL;
  MYNAH_TRY(task->train(task->context, data, folder, &t->clone));
  mynah_json_set(j, "policy", mynah_json_string(policy));
  if (!is_measured) {
    if (task->told) task->told(task->context, j);
    return MYNAH_OK;
  }
  mynah_eval_config e = {.device = task->device, .device_config = task->device_config, .clone = t->clone,
                         .n_episodes = t->config->eval_episodes, .seed = (uint64_t)t->config->eval_seed,
                         .n_threads = task->n_threads};
  mynah_eval_result r;
  MYNAH_TRY(mynah_evaluate(&e, task->progress, &r));
  mynah_status status = mynah_eval_to_json(&r, j);
  mynah_eval_result_deinit(&r);
  if (status == MYNAH_OK && task->told) task->told(task->context, j);
  return status;
}

static mynah_status run_round(teaching *t, int64_t round, mynah_json *j) {
  mynah_record_options options;
  mynah_record_report report = {0};
  char name[32];
  mynah_json_set(j, "round", mynah_json_integer(round));
  MYNAH_TRY(choose_driver(t, round, &options, j));
  MYNAH_TRY(record(t, round, t->config->frames, t->data, &options, &report));
  t->n_frames += report.n_frames;
  mynah_json_set(j, "frames", mynah_json_integer(t->n_frames));
  mynah_json_set(j, "driven", mynah_json_integer(report.n_driven));
  mynah_json_set(j, "episodes", mynah_json_integer(report.n_episodes));
  snprintf(name, sizeof name, "round-%lld", (long long)round);
  int64_t every = t->config->eval_every;
  return learn(t, t->data, name, round == t->config->rounds || (every > 0 && round % every == 0), j);
}

/* ---- the plain clone ------------------------------------------------------------------------------------------------ */

/* As many frames as were labelled, of the expert alone, on the rounds' episodes. */
static mynah_status run_plain(teaching *t, mynah_json *j) {
  mynah_record_options options = {.progress = t->task->progress};
  int64_t left = t->n_frames;
  for (int64_t round = 0; left > 0; round++) {
    mynah_record_report report = {0};
    int64_t n = left < t->config->frames ? left : t->config->frames;
    MYNAH_TRY(record(t, round, n, t->plain, &options, &report));
    if (report.n_frames == 0) return mynah_fail(MYNAH_INTERNAL, "dagger: episodes of sim=%s without frames", t->device->type->name);
    left -= report.n_frames;
  }
  mynah_json_set(j, "plain", mynah_json_bool(true));
  mynah_json_set(j, "frames", mynah_json_integer(t->n_frames));
  return learn(t, t->plain, "plain", true, j);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

static mynah_status begin(teaching *t) {
  const mynah_dagger_task *task = t->task;
  const mynah_dagger_config *c = t->config;
  if (!task->device->expert)
    return mynah_fail(MYNAH_UNSUPPORTED, "sim=%s has no expert to label what the clone sees", task->device->name);
  if (c->frames < c->episodes)
    return mynah_fail(MYNAH_INVALID, "frames=%lld over round.episodes=%lld: less than one each", (long long)c->frames,
                      (long long)c->episodes);
  MYNAH_TRY(mynah_make_dirs(task->folder));
  MYNAH_TRY(mynah_path_join(t->data, sizeof t->data, task->folder, "labelled.demos"));
  MYNAH_TRY(mynah_path_join(t->plain, sizeof t->plain, task->folder, "plain.demos"));
  if (mynah_file_exists(t->data))
    return mynah_fail(MYNAH_BUSY, "%s: exists: give another folder, or remove it", t->data);
  MYNAH_TRY(task->device->open(task->device_config, &t->device));
  int64_t share = (c->frames + c->episodes - 1) / c->episodes;
  if (share < t->device->max_steps) t->device->max_steps = share;
  return MYNAH_OK;
}

static mynah_status run(teaching *t, mynah_json *result) {
  MYNAH_TRY(begin(t));
  mynah_json *rounds = mynah_json_array();
  mynah_json *settings = mynah_json_object();
  mynah_config_to_json(&mynah_dagger_table, t->config, settings);
  mynah_json_set(result, "method", mynah_json_copy(mynah_json_get(settings, "method")));
  mynah_json_set(result, "settings", settings);
  mynah_json_set(result, "sim", mynah_json_string(t->task->device->name));
  mynah_json_set(result, "data", mynah_json_string(t->data));
  mynah_json_set(result, "rounds", rounds);
  for (int64_t round = 0; round <= t->config->rounds; round++) {
    mynah_json *j = mynah_json_object();
    mynah_json_append(rounds, j);
    MYNAH_TRY(run_round(t, round, j));
  }
  if (!t->config->has_plain) return MYNAH_OK;
  mynah_json *plain = mynah_json_object();
  mynah_json_set(result, "plain", plain);
  return run_plain(t, plain);
}

mynah_status mynah_dagger(const mynah_dagger_config *config, const mynah_dagger_task *task, mynah_json *result) {
  teaching *t = mynah_calloc(1, sizeof *t);
  if (!t) return MYNAH_NO_MEMORY;
  t->config = config;
  t->task = task;
  mynah_status status = run(t, result);
  mynah_clone_destroy(t->clone);
  if (t->device) t->device->type->close(t->device);
  mynah_free(t);
  return status;
}
