/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah eval: a clone in closed loop, two clones on shared seeds, or a clone against recorded actions. */
#include "tool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EVAL_KEYS(K)                                                                                                \
  K(STRING, sim, "sim", "", 0, 0, "", "the simulator")                                                              \
  K(STRING, data, "data", "", 0, 0, "", "instead of a simulator: recorded demonstrations, the part that validated") \
  K(INT, episodes, "episodes", 50, 1, 1.0e7, "episodes", "how many")                                                \
  K(INT, seed, "seed", 100000, 0, 9.0e15, "", "episode i runs with seed + i")                                       \
  K(INT, threads, "threads", 0, 0, 256, "threads", "0: all processors")

typedef struct eval_config {
#define EVAL_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  EVAL_KEYS(EVAL_FIELD)
} eval_config;
#define EVAL_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(eval_config, type, field, name, value, low, high, unit, help)
static const mynah_key eval_keys[] = {EVAL_KEYS(EVAL_ROW)};
static const mynah_config_table eval_table = {"eval", eval_keys, sizeof eval_keys / sizeof *eval_keys,
                                              sizeof(eval_config)};

/* ---- closed loop ------------------------------------------------------------------------------------------------ */

static void say_metric(const char *name, const mynah_json *v) {
  const mynah_json *ci = mynah_json_get(v, "ci");
  double low = mynah_json_to_number(mynah_json_at(ci, 0), NAN), high = mynah_json_to_number(mynah_json_at(ci, 1), NAN);
  if (mynah_json_get(v, "k"))
    tool_say("  %-20s %lld/%lld = %.3f  [%.3f, %.3f]", name,
             (long long)mynah_json_to_integer(mynah_json_get(v, "k"), 0),
             (long long)mynah_json_to_integer(mynah_json_get(v, "n"), 0),
             mynah_json_to_number(mynah_json_get(v, "rate"), NAN), low, high);
  else if (mynah_json_get(v, "p95"))
    tool_say("  %-20s mean %.4g, p95 %.4g", name, mynah_json_to_number(mynah_json_get(v, "mean"), NAN),
             mynah_json_to_number(mynah_json_get(v, "p95"), NAN));
  else if (mynah_json_get(v, "mean"))
    tool_say("  %-20s %.4f  [%.4f, %.4f]", name, mynah_json_to_number(mynah_json_get(v, "mean"), NAN), low, high);
  else if (mynah_json_get(v, "difference"))
    tool_say("  %-20s %+.4f  [%+.4f, %+.4f]", name, mynah_json_to_number(mynah_json_get(v, "difference"), NAN), low,
             high);
  else if (mynah_json_is_number(v)) tool_say("  %-20s %.4g", name, mynah_json_to_number(v, NAN));
}

void tool_say_metrics(const mynah_json *j) {
  const char *key;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(j, i, &key, &value); i++) say_metric(key, value);
}

/* What was typed over eval's keys, the simulator's and those of the execution, which begins as the policy's own. */
static mynah_status apply(const tool_args *args, const sim_choice *sim, eval_config *c, mynah_execute_config *execute) {
  tool_acting_config acting;
  mynah_config_bind binds[4] = {{&eval_table, c}, {&mynah_execute_table, execute}};
  int n = 2;
  if (sim->config) binds[n++] = (mynah_config_bind){sim->type->config, sim->config};
  binds[n++] = (mynah_config_bind){&tool_acting_table, &acting};
  return tool_apply(args, binds, n);
}

static mynah_status run_episodes(const tool_args *args, const char *path, sim_choice *sim, eval_config *c,
                                 mynah_eval_result *r) {
  mynah_clone *clone = NULL;
  mynah_execute_config execute;
  mynah_config_default(&mynah_execute_table, &execute);
  if (strcmp(path, "expert") != 0) MYNAH_TRY(tool_load_clone(args, path, &clone));
  if (clone) execute = mynah_clone_policy(clone)->common.execute;
  mynah_status status = clone ? sim_choice_fit(sim, mynah_clone_policy(clone)) : MYNAH_OK;
  if (status == MYNAH_OK) status = apply(args, sim, c, &execute);
  mynah_eval_config e = {.device = sim->type,
                         .device_config = sim->config,
                         .clone = clone,
                         .execute = &execute,
                         .n_episodes = c->episodes,
                         .seed = (uint64_t)c->seed,
                         .n_threads = (int)c->threads};
  if (status == MYNAH_OK) status = mynah_evaluate(&e, tool_progress(), r);
  mynah_clone_destroy(clone);
  return status;
}

static mynah_status evaluate_one(const tool_args *args, const char *path, sim_choice *sim, eval_config *c,
                                 mynah_eval_result *r, mynah_json *j) {
  mynah_status status = run_episodes(args, path, sim, c, r);
  if (status != MYNAH_OK) return status;
  mynah_json *metrics = mynah_json_object();
  status = mynah_eval_to_json(r, metrics);
  tool_say("%s on sim=%s, %lld episodes from seed %llu (95 %% intervals):", path, sim->type->name,
           (long long)c->episodes, (unsigned long long)r->seed);
  tool_say_metrics(metrics);
  mynah_json_set(j, "policy", mynah_json_string(path));
  mynah_json_set(j, "sim", mynah_json_string(sim->type->name));
  mynah_json_set(j, "episodes", mynah_json_integer(c->episodes));
  mynah_json_set(j, "seed", mynah_json_integer((int64_t)r->seed));
  const char *key;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(metrics, i, &key, &value); i++) mynah_json_set(j, key, mynah_json_copy(value));
  mynah_json_destroy(metrics);
  mynah_json *ms = mynah_json_object();
  mynah_json_set(ms, "p50", mynah_json_number(r->infer_ms_p50));
  mynah_json_set(ms, "p99", mynah_json_number(r->infer_ms_p99));
  mynah_json_set(j, "infer_ms", ms);
  mynah_json_set(j, "steps", mynah_json_integer(r->n_steps));
  mynah_json_set(j, "seconds", mynah_json_number(r->seconds));
  return status;
}

/* Two policies: each one's result under its place, and the paired difference, first minus second. */
static mynah_status evaluate_two(const tool_args *args, sim_choice *sim, eval_config *c, mynah_json *result) {
  mynah_eval_result a = {0}, b = {0};
  mynah_json *first = mynah_json_object(), *second = mynah_json_object(), *difference = mynah_json_object();
  mynah_status status = evaluate_one(args, args->positional[0], sim, c, &a, first);
  if (status == MYNAH_OK) status = evaluate_one(args, args->positional[1], sim, c, &b, second);
  if (status == MYNAH_OK) status = mynah_eval_compare(&a, &b, difference);
  if (status == MYNAH_OK) {
    tool_say("paired difference, first minus second:");
    tool_say_metrics(difference);
  }
  mynah_json_set(result, "first", first);
  mynah_json_set(result, "second", second);
  mynah_json_set(result, "difference", difference);
  mynah_eval_result_deinit(&a);
  mynah_eval_result_deinit(&b);
  return status;
}

static mynah_status evaluate_closed(const tool_args *args, eval_config *c, mynah_json *result) {
  sim_choice sim;
  MYNAH_TRY(sim_choice_init(&sim, tool_setting(args, "sim")));
  mynah_execute_config typed;
  mynah_config_default(&mynah_execute_table, &typed);
  mynah_status status = apply(args, &sim, c, &typed); /* what is wrong is said before anything is loaded */
  mynah_eval_result r = {0};
  if (status == MYNAH_OK)
    status = args->n_positional == 2 ? evaluate_two(args, &sim, c, result)
                                     : evaluate_one(args, args->positional[0], &sim, c, &r, result);
  mynah_eval_result_deinit(&r);
  sim_choice_deinit(&sim);
  return status;
}

/* ---- against recorded actions ----------------------------------------------------------------------------------- */

/* The split the policy was trained with, from its file. */
static mynah_status validation_ranges(const mynah_policy *p, mynah_dataset *d, mynah_split *split) {
  mynah_feed_config feed;
  mynah_train_config train;
  mynah_config_default(&mynah_feed_table, &feed);
  mynah_config_default(&mynah_train_table, &train);
  mynah_config_bind binds[2] = {{&mynah_feed_table, &feed}, {&mynah_train_table, &train}};
  static const char *const keys[] = {"valid.by", "valid.share", "seed"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const mynah_json *value = mynah_json_get(p->training, keys[i]);
    if (!value) continue;
    mynah_json *one = mynah_json_object();
    mynah_json_set(one, keys[i], mynah_json_copy(value));
    mynah_status status = mynah_config_from_json(binds, 2, one);
    mynah_json_destroy(one);
    if (status != MYNAH_OK) return status;
  }
  return mynah_split_create(d, &feed, (uint64_t)train.seed, split);
}

static mynah_json *agreement_json(const mynah_agreement *a) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "correlation", mynah_json_number(a->correlation));
  mynah_json_set(j, "mse", mynah_json_number(a->mse));
  mynah_json_set(j, "constant_mse", mynah_json_number(a->constant_mse));
  mynah_json_set(j, "times_better", mynah_json_number(a->constant_mse / a->mse));
  mynah_json_set(j, "frames", mynah_json_integer(a->n_frames));
  return j;
}

static mynah_status compare_recorded(const mynah_clone *clone, mynah_dataset *d, mynah_json *result) {
  const mynah_policy *p = mynah_clone_policy(clone);
  mynah_split split;
  MYNAH_TRY(validation_ranges(p, d, &split));
  mynah_agreement out[64];
  _Static_assert(sizeof(mynah_range) == sizeof(mynah_frame_range), "ranges of feed and run are the same numbers");
  mynah_frame_range *ranges = mynah_calloc((size_t)split.n_valid + 1, sizeof *ranges);
  mynah_status status = ranges ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (int64_t i = 0; ranges && i < split.n_valid; i++)
    ranges[i] = (mynah_frame_range){split.valid[i].episode, split.valid[i].from, split.valid[i].to};
  if (status == MYNAH_OK && split.n_valid == 0)
    status = mynah_fail(MYNAH_INVALID, "the policy was trained without a validation part: nothing to compare on");
  if (status == MYNAH_OK) status = mynah_evaluate_recorded(clone, d, ranges, split.n_valid, tool_progress(), out);
  mynah_free(ranges);
  mynah_split_deinit(&split);
  if (status != MYNAH_OK) return status;
  char names[sizeof p->action.names], *rest = NULL;
  memcpy(names, p->action.names, sizeof names);
  char *name = strtok_r(names, ",", &rest);
  for (int64_t k = 0; k < mynah_feature_size(&p->action); k++) {
    char number[32];
    snprintf(number, sizeof number, "action.%lld", (long long)k);
    mynah_json_set(result, name ? name : number, agreement_json(&out[k]));
    tool_say("  %-12s correlation %.3f, MSE %.5g, constant predictor's %.5g (%.2f times), %lld frames",
             name ? name : number, out[k].correlation, out[k].mse, out[k].constant_mse,
             out[k].constant_mse / out[k].mse, (long long)out[k].n_frames);
    if (name) name = strtok_r(NULL, ",", &rest);
  }
  return MYNAH_OK;
}

static mynah_status evaluate_recorded(const tool_args *args, eval_config *c, mynah_json *result) {
  tool_acting_config acting;
  mynah_config_bind binds[2] = {{&eval_table, c}, {&tool_acting_table, &acting}};
  MYNAH_TRY(tool_apply(args, binds, 2));
  mynah_clone *clone;
  mynah_dataset *d = NULL;
  MYNAH_TRY(tool_load_clone(args, args->positional[0], &clone));
  mynah_status status = mynah_dataset_open(c->data, MYNAH_OPEN_READ, &d);
  if (status == MYNAH_OK) {
    tool_say("%s on the validation part of %s:", args->positional[0], c->data);
    mynah_json_set(result, "policy", mynah_json_string(args->positional[0]));
    mynah_json_set(result, "data", mynah_json_string(c->data));
    status = compare_recorded(clone, d, result);
  }
  mynah_dataset_close(d);
  mynah_clone_destroy(clone);
  return status;
}

/* A file of mynah's that holds a detector. */
static bool is_detector(const char *path) {
  mynah_safetensors *f;
  if (mynah_safetensors_open(path, &f) != MYNAH_OK) return false;
  const char *text = mynah_safetensors_metadata(f, "mynah");
  mynah_json *j = NULL;
  bool is_one = text && mynah_json_parse(text, strlen(text), &j) == MYNAH_OK && mynah_json_get(j, "detector");
  mynah_json_destroy(j);
  mynah_safetensors_close(f);
  return is_one;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  eval_config c;
  mynah_config_default(&eval_table, &c);
  if (args->n_positional == 1 && is_detector(args->positional[0])) return eval_detector_run(args, result);
  if (args->n_positional < 1 || args->n_positional > 2)
    return tool_usage_error("name one policy file, or two to compare");
  const char *sim = tool_setting(args, "sim"), *data = tool_setting(args, "data");
  if (!sim == !data) return tool_usage_error("give sim=NAME or data=X.demos");
  if (data && args->n_positional == 1) return evaluate_recorded(args, &c, result);
  if (data) return tool_usage_error("data= takes one policy");
  return evaluate_closed(args, &c, result);
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  const char *sim = tool_setting(args, "sim");
  const mynah_device_type *type;
  int n = 0;
  if (args->n_positional == 1 && is_detector(args->positional[0])) return out[0] = &eval_detector_table, 1;
  out[n++] = &eval_table;
  out[n++] = &mynah_execute_table;
  out[n++] = &tool_acting_table;
  if (sim && mynah_sim_find(sim, &type) == MYNAH_OK && type->config) out[n++] = type->config;
  return n;
}

const tool_command tool_eval = {"eval",
                                "eval POLICY.safetensors|expert [OTHER] sim=NAME [episodes=50] [seed=100000] "
                                "[execute.mode=...] | eval POLICY|DETECTOR data=X.demos",
                                "measure a policy in closed loop, with intervals", run, tables};
