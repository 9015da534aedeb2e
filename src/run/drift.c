/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The drift meter: what a clone does where the expert goes and where it goes itself, pushed and disturbed; and an alarm. */
#include "run_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ACTION 64
#define MAX_DELAY 8
#define CURVE_POINTS 200
#define BOOTSTRAP_SEED 20240608u
#define NOISE_STREAM 12

#define DRIFT_ROW(type, field, name, value, low, high, unit, help)                                 \
  MYNAH_KEY_OF(mynah_drift_config, type, field, name, value, low, high, unit, help)
static const mynah_key drift_keys[] = {MYNAH_DRIFT_KEYS(DRIFT_ROW)};
const mynah_config_table mynah_drift_table = {"drift", drift_keys, sizeof drift_keys / sizeof *drift_keys,
                                              sizeof(mynah_drift_config)};

/* What is kept of an episode; apart: chunks' disagreement. Shape: error, nearest, score, apart (n_steps), NULL when not asked for */
typedef struct episode {
  float *error, *nearest, *score, *apart;
  int64_t n_steps, failure; /* the step it failed at; -1: it did not */
  bool is_success;
  mynah_rng rng;
  float last[MAX_ACTION], queue[MAX_DELAY][MAX_ACTION];
  double n_pushes, n_recovered;
} episode;

typedef struct drift {
  const mynah_drift_config *config;
  const mynah_drift_task *task;
  const mynah_progress *progress;
  mynah__neighbours *neighbours; /* NULL: no demonstrations */
  double rate_hz;
  int64_t max_steps;
} drift;

/* One way of driving all episodes. */
typedef struct probe {
  const drift *drift;
  bool expert_drives, is_measured, is_pushed;
  int64_t delay;      /* steps */
  double noise, drop; /* share of half the range; share of steps that repeat the last action */
  int64_t n;
  episode *episodes; /* (n) */
  float *memory;
  mynah_eval_result result;
} probe;

/* ---- at each step --------------------------------------------------------------------------------------------------- */

static double half_range(const mynah_policy *p, int64_t k) {
  return ((double)p->action_norm.max[k] - (double)p->action_norm.min[k]) / 2;
}

static void measure(const probe *p, episode *e, const mynah_eval_step *s, const float *label) {
  const drift *d = p->drift;
  const mynah_policy *policy = mynah_clone_policy(d->task->clone);
  int64_t t = s->device->step;
  if (label) {
    double apart[MAX_ACTION];
    for (int64_t k = 0; k < policy->action_norm.size; k++) apart[k] = (double)s->action[k] - (double)label[k];
    e->error[t] = (float)mynah__share_of_range(policy, apart);
  }
  e->apart[t] = (float)mynah_actor_disagreement(s->actor);
  if (!d->neighbours) return;
  mynah_value values[MYNAH_POLICY_INPUTS_MAX];
  double nearest;
  for (int i = 0; i < policy->n_inputs; i++)
    values[i] = s->observed[mynah_feature_find(s->device->features, s->device->n_features, policy->inputs[i].name)];
  e->score[t] = (float)mynah__neighbours_score(d->neighbours, values, s->actor, &nearest);
  e->nearest[t] = (float)nearest;
}

/* Steps of a push and from push to push; the first begins half a period after the start. */
static int64_t push_period(const drift *d) { return 2 * (int64_t)ceil(d->config->recover_s * d->rate_hz); }
static int64_t push_start(const drift *d, int64_t i) { return push_period(d) * i + push_period(d) / 2; }

static double pushed(const drift *d, int64_t index, int64_t t) {
  int64_t i = (t - push_period(d) / 2) / push_period(d);
  if (t < push_start(d, 0) || (double)(t - push_start(d, i)) >= d->config->push_s * d->rate_hz) return 0;
  return (i + index) % 2 ? -d->config->push : d->config->push;
}

static void disturb(const probe *p, episode *e, const mynah_eval_step *s) {
  const mynah_policy *policy = mynah_clone_policy(p->drift->task->clone);
  size_t bytes = (size_t)policy->action_norm.size * sizeof(float);
  int64_t t = s->device->step;
  if (p->drop > 0 && mynah_rng_uniform(&e->rng) < p->drop && t > 0) memcpy(s->action, e->last, bytes);
  memcpy(e->last, s->action, bytes);
  if (p->delay > 0) { /* until the first one arrives it is waited for */
    memcpy(e->queue[t % MAX_DELAY], s->action, bytes);
    memcpy(s->action, e->queue[(t < p->delay ? 0 : t - p->delay) % MAX_DELAY], bytes);
  }
  for (int64_t k = 0; p->noise > 0 && k < policy->action_norm.size; k++)
    s->action[k] += (float)(p->noise * half_range(policy, k) * mynah_rng_normal(&e->rng));
  if (p->is_pushed) s->action[0] += (float)(half_range(policy, 0) * pushed(p->drift, s->episode, t));
}

static void on_step(void *context, const mynah_eval_step *s) {
  const probe *p = context;
  episode *e = &p->episodes[s->episode];
  float label[MAX_ACTION];
  bool has_expert = s->device->type->expert != NULL;
  if (has_expert) s->device->type->expert(s->device, label);
  if (p->is_measured) measure(p, e, s, has_expert ? label : NULL);
  if (p->expert_drives) memcpy(s->action, label, (size_t)mynah_feature_size(mynah_device_action(s->device)) * sizeof *label);
  disturb(p, e, s);
}

/* ---- one way of driving --------------------------------------------------------------------------------------------- */

static double first_rate(const mynah_eval_result *r, int64_t i) {
  for (int m = 0; m < r->n_metrics; m++)
    if (r->kinds[m].kind == MYNAH_METRIC_RATE) return r->values[i * r->n_metrics + m];
  return NAN;
}

/* Row t + 1 of a trace shows what step t came to. */
static void judge(const probe *p, int64_t i) {
  const drift *d = p->drift;
  const mynah_trace *trace = &p->result.traces[i];
  episode *e = &p->episodes[i];
  int column = mynah__column_of(d->task->device, "intervention");
  double rate = first_rate(&p->result, i);
  int64_t window = (int64_t)ceil(d->config->recover_s * d->rate_hz);
  e->n_steps = trace->n_rows - 1;
  e->failure = -1;
  e->is_success = rate > 0.5;
  for (int64_t t = 0, push = 0; t <= e->n_steps; t++) {
    bool is_end = t == e->n_steps;
    bool fails = is_end ? column < 0 && rate == 0 : column >= 0 && trace->rows[(t + 1) * trace->n_columns + column] != 0;
    if (fails && e->failure < 0) e->failure = is_end ? t - 1 : t;
    if (t < push_start(d, push)) continue;
    if (fails || t >= push_start(d, push) + window) { /* pushed, and it failed or came through */
      e->n_pushes++;
      e->n_recovered += !fails;
      push++;
    }
  }
}

static mynah_status run_probe(probe *p) {
  const drift *d = p->drift;
  int n_series = p->is_measured ? 4 : 0;
  bool clone_answers = p->is_measured || !p->expert_drives;
  mynah_eval_config c = {.device = d->task->device, .device_config = d->task->device_config,
                         .clone = clone_answers ? d->task->clone : NULL,
                         .n_episodes = p->n, .seed = (uint64_t)d->config->seed, .n_threads = (int)d->config->threads,
                         .n_traces = p->n, .hook = on_step, .hook_context = p};
  p->episodes = mynah_calloc((size_t)p->n, sizeof *p->episodes);
  p->memory = mynah_calloc((size_t)p->n * (size_t)d->max_steps * (size_t)n_series + 1, sizeof *p->memory);
  if (!p->episodes || !p->memory) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < p->n; i++) {
    episode *e = &p->episodes[i];
    e->rng = mynah_rng_make((uint64_t)(d->config->seed + i), NOISE_STREAM);
    if (n_series == 0) continue;
    e->error = p->memory + i * n_series * d->max_steps;
    e->nearest = e->error + d->max_steps;
    e->score = e->nearest + d->max_steps;
    e->apart = e->score + d->max_steps;
  }
  MYNAH_TRY(mynah_evaluate(&c, d->progress, &p->result));
  if (p->result.n_traces == p->n && p->result.traces[0].n_rows > 0)
    for (int64_t i = 0; i < p->n; i++) judge(p, i);
  return MYNAH_OK;
}

static void probe_deinit(probe *p) {
  mynah_eval_result_deinit(&p->result);
  mynah_free(p->episodes);
  mynah_free(p->memory);
}

/* ---- errors, distances, growth -------------------------------------------------------------------------------------- */

/* The series that lies at this offset of an episode. */
static const float *series_of(const episode *e, size_t offset) { return *(float *const *)(const void *)((const char *)e + offset); }

/* Of step t; a failed episode stays where it failed. */
static float held(const episode *e, const float *series, int64_t t) {
  return series[e->failure >= 0 && t > e->failure ? e->failure : t];
}

static int64_t curve_stride(const drift *d) { return (d->max_steps + CURVE_POINTS - 1) / CURVE_POINTS; }

/* {"error"|"distance": mean over episodes, "ci", "curve": mean over the episodes that still run}; means: (n) of each. */
static mynah_status series_json(const probe *p, size_t offset, const char *name, double *means, mynah_json **out) {
  double curve[CURVE_POINTS];
  int64_t n_points = 0, stride = curve_stride(p->drift);
  for (int64_t at = 0; at < p->drift->max_steps; at += stride) {
    double sum = 0, n = 0;
    for (int64_t i = 0; i < p->n; i++) {
      const episode *e = &p->episodes[i];
      const float *series = series_of(e, offset);
      for (int64_t t = at; t < at + stride && t < e->n_steps; t++) sum += (double)held(e, series, t), n++;
    }
    if (n == 0) break;
    curve[n_points++] = sum / n;
  }
  for (int64_t i = 0; i < p->n; i++) {
    const episode *e = &p->episodes[i];
    const float *series = series_of(e, offset);
    means[i] = 0;
    for (int64_t t = 0; t < e->n_steps; t++) means[i] += (double)held(e, series, t) / (double)e->n_steps;
  }
  mynah_interval v;
  MYNAH_TRY(mynah_bootstrap_mean(means, p->n, BOOTSTRAP_SEED, &v));
  *out = mynah__interval_json(name, v);
  mynah_json_set(*out, "curve", mynah_json_numbers(curve, (size_t)n_points));
  return MYNAH_OK;
}

static mynah_status add_series(const probe *expert, const probe *own, mynah_json *result) {
  mynah_json *a = NULL, *b = NULL, *distance;
  double *x = mynah_calloc((size_t)own->n * 2, sizeof *x);
  if (!x) return MYNAH_NO_MEMORY;
  mynah_status status = series_json(expert, offsetof(episode, error), "error", x, &a);
  if (status == MYNAH_OK) status = series_json(own, offsetof(episode, error), "error", x + own->n, &b);
  mynah_interval ratio;
  if (status == MYNAH_OK) status = mynah_bootstrap_ratio(x + own->n, x, own->n, BOOTSTRAP_SEED, &ratio);
  if (status == MYNAH_OK) {
    mynah_json_set(result, "expert_states", a);
    mynah_json_set(result, "own_states", b);
    mynah_json_set(result, "ratio", mynah__interval_json("value", ratio));
  }
  if (status == MYNAH_OK && own->drift->neighbours) {
    distance = mynah_json_object();
    status = series_json(expert, offsetof(episode, nearest), "distance", x, &a);
    if (status == MYNAH_OK) mynah_json_set(distance, "expert", a);
    if (status == MYNAH_OK) status = series_json(own, offsetof(episode, nearest), "distance", x, &b);
    if (status == MYNAH_OK) mynah_json_set(distance, "own", b);
    mynah_json_set(result, "distance", distance);
  }
  mynah_free(x);
  return status;
}

/* Accumulated error of the episodes that last the horizon, or fail in it. */
static mynah_status add_growth(const probe *own, mynah_json *result) {
  const drift *d = own->drift;
  int64_t n = (int64_t)floor(d->config->horizon_s * d->rate_hz + 0.5), n_curves = 0;
  if (n > d->max_steps) n = d->max_steps;
  double *curves = mynah_calloc((size_t)(own->n * n) + 1, sizeof *curves);
  if (!curves) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < own->n; i++) {
    const episode *e = &own->episodes[i];
    if (e->n_steps < n && e->failure < 0) continue;
    double sum = 0;
    for (int64_t t = 0; t < n; t++) curves[n_curves * n + t] = sum += (double)held(e, e->error, t) / d->rate_hz;
    n_curves++;
  }
  mynah_status status = MYNAH_OK;
  if (n_curves > 0 && n >= 4) {
    mynah_json *j = mynah_json_object();
    mynah_json_set(result, "growth", j);
    status = mynah_growth_fit(curves, n_curves, n, 1 / d->rate_hz, BOOTSTRAP_SEED, j);
  }
  mynah_free(curves);
  return status;
}

/* ---- recovery and stress -------------------------------------------------------------------------------------------- */

static mynah_status add_recovery(const drift *d, bool expert_drives, const char *name, mynah_json *result) {
  probe p = {.drift = d, .expert_drives = expert_drives, .is_pushed = true, .n = d->config->episodes};
  mynah_status status = run_probe(&p);
  double *x = mynah_calloc((size_t)p.n * 2, sizeof *x), k = 0, n = 0;
  if (status == MYNAH_OK && !x) status = MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < p.n && status == MYNAH_OK; i++) {
    k += x[i] = p.episodes[i].n_recovered;
    n += x[p.n + i] = p.episodes[i].n_pushes;
  }
  mynah_interval v;
  if (status == MYNAH_OK) status = mynah_bootstrap_ratio(x, x + p.n, p.n, BOOTSTRAP_SEED, &v);
  if (status == MYNAH_OK) {
    mynah_json *j = mynah__interval_json("rate", v);
    mynah_json_set(j, "k", mynah_json_integer((int64_t)k));
    mynah_json_set(j, "n", mynah_json_integer((int64_t)n));
    mynah_json_set(result, name, j);
  }
  mynah_free(x);
  probe_deinit(&p);
  return status;
}

static mynah_status add_stress(const drift *d, mynah_json *list) {
  static const struct {
    const char *kind;
    double value;
  } conditions[] = {{"none", 0},    {"delay", 1},   {"delay", 2},   {"delay", 4},  {"noise", 0.1},
                    {"noise", 0.3}, {"drop", 0.25}, {"drop", 0.5}, {"drop", 0.75}};
  for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
    double value = conditions[i].value;
    char kind = conditions[i].kind[1];
    probe p = {.drift = d, .n = d->config->stress_episodes, .delay = kind == 'e' ? (int64_t)value : 0,
               .noise = kind == 'o' ? value : 0, .drop = kind == 'r' ? value : 0};
    mynah_json *j = mynah_json_object();
    mynah_json_append(list, j);
    mynah_json_set(j, "kind", mynah_json_string(conditions[i].kind));
    mynah_json_set(j, "value", mynah_json_number(value));
    mynah_status status = run_probe(&p);
    if (status == MYNAH_OK) status = mynah_eval_to_json(&p.result, j);
    probe_deinit(&p);
    if (status != MYNAH_OK) return status;
  }
  return MYNAH_OK;
}

/* ---- alarm ---------------------------------------------------------------------------------------------------------- */

double mynah_conformal_threshold(double *scores, int64_t n, double share) {
  int64_t k = (int64_t)ceil((double)(n + 1) * (1 - share) - 1e-9);
  if (k > n) return INFINITY;
  qsort(scores, (size_t)n, sizeof *scores, mynah__by_value);
  return scores[k > 0 ? k - 1 : 0];
}

/* The smoothed score's maximum until failure; *first: the first step over the threshold, -1: none. What is not a number yet counts as
 * 0. Shape: series (n_steps) */
static double alarm_score(const drift *d, const episode *e, const float *series, double threshold, int64_t *first) {
  double keep = d->config->smooth_s > 0 ? exp(-1 / (d->rate_hz * d->config->smooth_s)) : 0, level = 0, most = 0;
  int64_t n = e->failure >= 0 ? e->failure + 1 : e->n_steps;
  *first = -1;
  for (int64_t t = 0; t < n; t++) {
    double now = isnan(series[t]) ? 0 : (double)series[t];
    level = t == 0 ? now : keep * level + (1 - keep) * now;
    most = fmax(most, level);
    if (level > threshold && *first < 0) *first = t;
  }
  return most;
}

typedef struct verdicts {
  int64_t n_set, n_checked, n_false, n_failed, n_detected;
} verdicts;

static void fill_alarm(const verdicts *v, double threshold, double *lead, mynah_json *j) {
  double specificity = v->n_checked ? 1 - (double)v->n_false / (double)v->n_checked : NAN;
  double sensitivity = v->n_failed ? (double)v->n_detected / (double)v->n_failed : NAN;
  qsort(lead, (size_t)v->n_detected, sizeof *lead, mynah__by_value);
  mynah_json_set(j, "threshold", isfinite(threshold) ? mynah_json_number(threshold) : mynah_json_null());
  mynah_json_set(j, "calibrated_on", mynah_json_integer(v->n_set));
  mynah_json_set(j, "false_alarms", mynah__rate_json(v->n_false, v->n_checked));
  mynah_json_set(j, "detected", mynah__rate_json(v->n_detected, v->n_failed));
  mynah_json_set(j, "balanced_accuracy", mynah_json_number((specificity + sensitivity) / 2));
  mynah_json_set(j, "lead_s", mynah_json_number(v->n_detected ? lead[v->n_detected / 2] : NAN));
}

/* Of the series that lies at this offset of an episode. memory: (4 n) scores of successes and failures, those that set the threshold,
 * lead times. */
static void set_alarm(const probe *own, size_t offset, double *memory, mynah_json *j) {
  const drift *d = own->drift;
  double *success = memory, *failure = success + own->n, *setting = failure + own->n, *lead = setting + own->n;
  verdicts v = {0};
  int64_t n_success = 0, first;
  for (int64_t i = 0; i < own->n; i++) {
    const episode *e = &own->episodes[i];
    double score = alarm_score(d, e, series_of(e, offset), INFINITY, &first);
    if (e->failure >= 0) failure[v.n_failed++] = score;
    if (e->failure >= 0 || !e->is_success) continue;
    if (n_success % 2 == 0) setting[v.n_set++] = score;
    success[n_success++] = score;
  }
  double threshold = mynah_conformal_threshold(setting, v.n_set, d->config->alarm_share);
  n_success = 0;
  for (int64_t i = 0; i < own->n; i++) {
    const episode *e = &own->episodes[i];
    alarm_score(d, e, series_of(e, offset), threshold, &first);
    if (e->failure >= 0 && first >= 0) lead[v.n_detected++] = (double)(e->failure - first) / d->rate_hz;
    if (e->failure >= 0 || !e->is_success || n_success++ % 2 == 0) continue;
    v.n_checked++;
    v.n_false += first >= 0;
  }
  fill_alarm(&v, threshold, lead, j);
  mynah_json *scores = mynah_json_object();
  mynah_json_set(scores, "success", mynah_json_numbers(success, (size_t)n_success));
  mynah_json_set(scores, "failure", mynah_json_numbers(failure, (size_t)v.n_failed));
  mynah_json_set(j, "scores", scores);
}

static mynah_status add_alarm(const probe *own, size_t offset, const char *name, mynah_json *result) {
  double *memory = mynah_calloc((size_t)own->n * 4, sizeof *memory);
  if (!memory) return MYNAH_NO_MEMORY;
  mynah_json *j = mynah_json_object();
  set_alarm(own, offset, memory, j);
  mynah_json_set(result, name, j);
  mynah_free(memory);
  return MYNAH_OK;
}

/* Whether chunks overlapped, so that they could disagree. */
static bool has_disagreement(const probe *own) {
  for (int64_t i = 0; i < own->n; i++)
    for (int64_t t = 0; t < own->episodes[i].n_steps; t++)
      if (!isnan(own->episodes[i].apart[t])) return true;
  return false;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

static mynah_status prepare(drift *d) {
  const mynah_drift_task *task = d->task;
  mynah_device *device;
  MYNAH_TRY(task->device->open(task->device_config, &device));
  d->rate_hz = device->rate_hz;
  d->max_steps = device->max_steps;
  bool has_trace = task->device->trace != NULL;
  task->device->close(device);
  if (!has_trace) return mynah_fail(MYNAH_UNSUPPORTED, "sim=%s has no trace to measure drift by", task->device->name);
  if (!task->data) return MYNAH_OK;
  return mynah__neighbours_create(task->clone, task->data, (int)d->config->neighbours, d->config->index_frames, &d->neighbours);
}

static void add_times(const drift *d, mynah_json *result) {
  double times[CURVE_POINTS];
  int64_t n = 0, stride = curve_stride(d);
  for (int64_t at = 0; at < d->max_steps; at += stride) times[n++] = ((double)at + 0.5 * (double)(stride - 1)) / d->rate_hz;
  mynah_json_set(result, "time_s", mynah_json_numbers(times, (size_t)n));
  mynah_json_set(result, "rate_hz", mynah_json_number(d->rate_hz));
}

static mynah_status run(drift *d, probe *expert, probe *own, mynah_json *result) {
  bool has_expert = d->task->device->expert != NULL;
  MYNAH_TRY(prepare(d));
  add_times(d, result);
  MYNAH_TRY(run_probe(own));
  MYNAH_TRY(mynah_eval_to_json(&own->result, result));
  if (has_expert) {
    MYNAH_TRY(run_probe(expert));
    MYNAH_TRY(add_series(expert, own, result));
    MYNAH_TRY(add_growth(own, result));
  }
  mynah_json *recovery = mynah_json_object(), *stress = mynah_json_array();
  mynah_json_set(result, "recovery", recovery);
  mynah_json_set(result, "stress", stress);
  if (d->config->push > 0) MYNAH_TRY(add_recovery(d, false, "clone", recovery));
  if (d->config->push > 0 && has_expert) MYNAH_TRY(add_recovery(d, true, "expert", recovery));
  if (d->config->stress_episodes > 0) MYNAH_TRY(add_stress(d, stress));
  if (d->neighbours) MYNAH_TRY(add_alarm(own, offsetof(episode, score), "alarm", result));
  return has_disagreement(own) ? add_alarm(own, offsetof(episode, apart), "chunk_alarm", result) : MYNAH_OK;
}

mynah_status mynah_drift(const mynah_drift_config *config, const mynah_drift_task *task, const mynah_progress *progress,
                         mynah_json *result) {
  drift d = {.config = config, .task = task, .progress = progress};
  probe expert = {.drift = &d, .expert_drives = true, .is_measured = true, .n = config->episodes};
  probe own = {.drift = &d, .is_measured = true, .n = config->episodes};
  mynah_status status = run(&d, &expert, &own, result);
  probe_deinit(&expert);
  probe_deinit(&own);
  mynah__neighbours_destroy(d.neighbours);
  return status;
}
