/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Closed-loop evaluation: episodes in parallel, each worker with its own device and actor. */
#include "run_internal.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORKERS 256
#define MAX_ACTION 64

typedef struct worker {
  mynah_device *device;
  mynah_actor *actor; /* NULL: the expert drives */
  int order[MYNAH_POLICY_INPUTS_MAX]; /* input i of the policy is feature order[i] of the device */
  int n_inputs;
} worker;

/* Sums over one episode; see mynah_motion. */
typedef struct motion_sums {
  double seam, jerk;
  int64_t n_seam, n_jerk, n_stale, n_steps;
} motion_sums;

typedef struct evaluation {
  const mynah_eval_config *config;
  mynah_eval_result *result;
  const mynah_progress *progress;
  worker workers[MAX_WORKERS];
  int n_workers;
  int n_columns;
  double **spread;     /* (n_episodes): one block an episode, n_rows for each spread metric in turn */
  int64_t *n_rows;     /* (n_episodes): steps + 1 */
  motion_sums *motion; /* (n_episodes) */
  float *infer_ms;     /* grows */
  size_t n_infer, infer_capacity;
  pthread_mutex_t lock; /* over infer_ms, status, n_done */
  mynah_status status;
  char error[512];
  int64_t n_done;
} evaluation;

static void note_failure(evaluation *e, mynah_status status) {
  pthread_mutex_lock(&e->lock);
  if (e->status == MYNAH_OK) {
    e->status = status;
    strncpy(e->error, mynah_error(), sizeof e->error - 1);
  }
  pthread_mutex_unlock(&e->lock);
}

static mynah_status open_worker(const mynah_eval_config *c, worker *w) {
  MYNAH_TRY(c->device->open(c->device_config, &w->device));
  if (!c->clone) {
    if (c->device->expert) return MYNAH_OK;
    return mynah_fail(MYNAH_UNSUPPORTED, "sim=%s has no expert", c->device->name);
  }
  const mynah_policy *p = mynah_clone_policy(c->clone);
  MYNAH_TRY(mynah_policy_match(p, w->device->features, w->device->n_features, w->order));
  w->n_inputs = p->n_inputs;
  if (mynah_feature_size(&p->action) > MAX_ACTION)
    return mynah_fail(MYNAH_LIMIT, "an action of more than %d elements", MAX_ACTION);
  MYNAH_TRY(mynah_actor_create(c->clone, &w->actor));
  return c->execute ? mynah_actor_configure(w->actor, c->execute) : MYNAH_OK;
}

static void close_worker(worker *w) {
  mynah_actor_destroy(w->actor);
  if (w->device) w->device->type->close(w->device);
}

/* ---- one episode ---------------------------------------------------------------------------------------------------- */

typedef struct episode_log {
  double *rows; /* (n, n_columns) */
  size_t n, capacity;
  float *infer_ms;
  size_t n_infer, infer_capacity;
  motion_sums motion;
  float actions[4][MAX_ACTION]; /* of steps t, t-1, t-2, t-3 */
} episode_log;

double mynah__share_of_range(const mynah_policy *p, const double *d) {
  double sum = 0;
  int64_t counted = 0, size = mynah_feature_size(&p->action);
  for (int64_t k = 0; k < size; k++) {
    double range = (double)p->action_norm.max[k] - (double)p->action_norm.min[k];
    if (!(range > 0)) continue;
    sum += d[k] * d[k] / (range * range);
    counted++;
  }
  return counted > 0 ? sqrt(sum / (double)counted) : 0;
}

/* |sum of weights[i] a_(t-i)| as a share of the demonstrated range. */
static double difference(const mynah_policy *p, const episode_log *log, const float *weights, int n) {
  double d[MAX_ACTION] = {0};
  for (int64_t k = 0; k < mynah_feature_size(&p->action); k++)
    for (int i = 0; i < n; i++) d[k] += (double)weights[i] * (double)log->actions[i][k];
  return mynah__share_of_range(p, d);
}

static void log_motion(const worker *w, const mynah_policy *p, const float *action, episode_log *log) {
  static const float first[2] = {1, -1}, third[4] = {1, -3, 3, -1};
  motion_sums *m = &log->motion;
  mynah_actor_source source = mynah_actor_last(w->actor);
  memmove(log->actions[1], log->actions[0], 3 * sizeof log->actions[0]);
  memcpy(log->actions[0], action, sizeof log->actions[0]);
  double rate = w->device->rate_hz;
  if (source.is_seam) {
    m->seam += difference(p, log, first, 2);
    m->n_seam++;
  }
  if (m->n_steps >= 3) {
    m->jerk += difference(p, log, third, 4) * rate * rate * rate;
    m->n_jerk++;
  }
  m->n_stale += source.is_stale;
  m->n_steps++;
}

static mynah_status log_row(const mynah_device *d, int n_columns, episode_log *log) {
  if (n_columns == 0) return MYNAH_OK;
  MYNAH_TRY(mynah_grow((void **)&log->rows, &log->capacity, (log->n + 1) * (size_t)n_columns, sizeof *log->rows));
  d->type->trace(d, log->rows + log->n * (size_t)n_columns);
  log->n++;
  return MYNAH_OK;
}

static mynah_status drive(const evaluation *e, worker *w, uint64_t seed, episode_log *log) {
  mynah_device *d = w->device;
  int n_columns = e->n_columns;
  mynah_value observed[16], ordered[MYNAH_POLICY_INPUTS_MAX];
  float action[MAX_ACTION] = {0};
  MYNAH_TRY(d->type->reset(d, seed));
  if (w->actor) mynah_actor_reset(w->actor, seed);
  MYNAH_TRY(log_row(d, n_columns, log));
  while (!d->is_done && d->step < d->max_steps) {
    if (w->actor) {
      d->type->observe(d, observed);
      for (int i = 0; i < w->n_inputs; i++) ordered[i] = observed[w->order[i]];
      mynah_actor_act(w->actor, ordered, action);
      log_motion(w, mynah_clone_policy(e->config->clone), action, log);
      int64_t ns = mynah_actor_infer_ns(w->actor);
      if (ns > 0) {
        MYNAH_TRY(mynah_grow((void **)&log->infer_ms, &log->infer_capacity, log->n_infer + 1, sizeof *log->infer_ms));
        log->infer_ms[log->n_infer++] = (float)((double)ns * 1e-6);
      }
    } else {
      d->type->expert(d, action);
    }
    if (e->config->hook)
      e->config->hook(e->config->hook_context, &(mynah_eval_step){(int64_t)(seed - e->config->seed), d,
                                                                  w->actor ? observed : NULL, action, w->actor});
    d->type->act(d, action);
    MYNAH_TRY(log_row(d, n_columns, log));
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "evaluation: interrupted");
  }
  return MYNAH_OK;
}

int mynah__column_of(const mynah_device_type *type, const char *name) {
  for (int k = 0; type->trace_names && type->trace_names[k]; k++)
    if (strcmp(type->trace_names[k], name) == 0) return k;
  return -1;
}

/* The episode's metrics, its spread columns and its trace go to their places. */
static mynah_status keep(evaluation *e, worker *w, int64_t i, episode_log *log) {
  mynah_eval_result *r = e->result;
  mynah_metric metrics[MYNAH_METRICS_MAX];
  int n = w->device->type->metrics(w->device, metrics);
  for (int m = 0; m < n && m < r->n_metrics; m++) {
    r->values[i * r->n_metrics + m] = metrics[m].value;
    r->weights[i * r->n_metrics + m] = metrics[m].weight;
  }
  int n_spread = 0;
  for (int m = 0; m < r->n_metrics; m++) n_spread += r->kinds[m].kind == MYNAH_METRIC_SPREAD;
  e->n_rows[i] = (int64_t)log->n;
  e->motion[i] = log->motion;
  if (n_spread > 0 && log->n > 0) {
    e->spread[i] = mynah_calloc((size_t)n_spread * log->n, sizeof(double));
    if (!e->spread[i]) return MYNAH_NO_MEMORY;
    double *to = e->spread[i];
    for (int m = 0; m < r->n_metrics; m++) {
      if (r->kinds[m].kind != MYNAH_METRIC_SPREAD) continue;
      int column = mynah__column_of(w->device->type, r->kinds[m].name);
      for (size_t row = 0; row < log->n; row++)
        *to++ = column < 0 ? NAN : fabs(log->rows[row * (size_t)e->n_columns + (size_t)column]);
    }
  }
  if (i < r->n_traces && log->n > 0) {
    r->traces[i] = (mynah_trace){(int64_t)log->n, e->n_columns, log->rows};
    log->rows = NULL;
  }
  return MYNAH_OK;
}

static mynah_status keep_shared(evaluation *e, const worker *w, const episode_log *log) {
  mynah_status status = MYNAH_OK;
  pthread_mutex_lock(&e->lock);
  e->result->n_steps += w->device->step;
  e->n_done++;
  if (log->n_infer > 0) {
    status = mynah_grow((void **)&e->infer_ms, &e->infer_capacity, e->n_infer + log->n_infer, sizeof *e->infer_ms);
    if (status == MYNAH_OK) {
      memcpy(e->infer_ms + e->n_infer, log->infer_ms, log->n_infer * sizeof *log->infer_ms);
      e->n_infer += log->n_infer;
    }
  }
  mynah_progress_tell(e->progress, "evaluate", (double)e->n_done, (double)e->config->n_episodes, "episodes", "");
  pthread_mutex_unlock(&e->lock);
  return status;
}

static void run_episode(void *context, int task, int worker_index) {
  evaluation *e = context;
  worker *w = &e->workers[worker_index];
  if (e->status != MYNAH_OK) return;
  episode_log log = {0};
  mynah_status status = drive(e, w, e->config->seed + (uint64_t)task, &log);
  if (status == MYNAH_OK) status = keep(e, w, task, &log);
  if (status == MYNAH_OK) status = keep_shared(e, w, &log);
  if (status != MYNAH_OK) note_failure(e, status);
  mynah_free(log.rows);
  mynah_free(log.infer_ms);
}

/* ---- all episodes --------------------------------------------------------------------------------------------------- */

static int by_float(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Pools each spread metric over episodes in their order, then sorts it: independent of threads. */
static mynah_status pool_spread(evaluation *e) {
  mynah_eval_result *r = e->result;
  int64_t total = 0;
  int n_spread = 0;
  for (int m = 0; m < r->n_metrics; m++) n_spread += r->kinds[m].kind == MYNAH_METRIC_SPREAD;
  for (int64_t i = 0; i < r->n_episodes; i++) total += e->n_rows[i];
  if (n_spread == 0 || total == 0) return MYNAH_OK;
  r->spread = mynah_calloc((size_t)(total * n_spread), sizeof(double));
  if (!r->spread) return MYNAH_NO_MEMORY;
  double *block = r->spread;
  for (int m = 0, s = 0; m < r->n_metrics; m++) {
    if (r->kinds[m].kind != MYNAH_METRIC_SPREAD) continue;
    double *to = block;
    for (int64_t i = 0; i < r->n_episodes; i++) {
      memcpy(to, e->spread[i] + s * e->n_rows[i], (size_t)e->n_rows[i] * sizeof(double));
      to += e->n_rows[i];
    }
    qsort(block, (size_t)total, sizeof(double), mynah__by_value);
    r->n_spread[m] = total;
    block += total;
    s++;
  }
  return MYNAH_OK;
}

static mynah_status allocate(evaluation *e) {
  mynah_eval_result *r = e->result;
  const mynah_eval_config *c = e->config;
  const mynah_device *d = e->workers[0].device;
  size_t n = (size_t)c->n_episodes;
  r->n_metrics = d->type->metrics ? d->type->metrics(d, r->kinds) : 0;
  for (e->n_columns = 0; d->type->trace_names && d->type->trace_names[e->n_columns];) e->n_columns++;
  r->n_traces = c->n_traces < c->n_episodes ? c->n_traces : c->n_episodes;
  r->values = mynah_calloc(n * (size_t)r->n_metrics + 1, sizeof(double));
  r->weights = mynah_calloc(n * (size_t)r->n_metrics + 1, sizeof(double));
  r->traces = mynah_calloc((size_t)r->n_traces + 1, sizeof *r->traces);
  e->spread = mynah_calloc(n, sizeof *e->spread);
  e->n_rows = mynah_calloc(n, sizeof *e->n_rows);
  e->motion = mynah_calloc(n, sizeof *e->motion);
  return r->values && r->weights && r->traces && e->spread && e->n_rows && e->motion ? MYNAH_OK : MYNAH_NO_MEMORY;
}

/* Sums over episodes in their order: independent of threads. */
static mynah_motion pool_motion(const evaluation *e) {
  motion_sums all = {0};
  for (int64_t i = 0; i < e->config->n_episodes; i++) {
    const motion_sums *m = &e->motion[i];
    all.seam += m->seam;
    all.jerk += m->jerk;
    all.n_seam += m->n_seam;
    all.n_jerk += m->n_jerk;
    all.n_stale += m->n_stale;
    all.n_steps += m->n_steps;
  }
  return (mynah_motion){.seam_jump = all.n_seam ? all.seam / (double)all.n_seam : NAN,
                        .jerk = all.n_jerk ? all.jerk / (double)all.n_jerk : NAN,
                        .stale_share = all.n_steps ? (double)all.n_stale / (double)all.n_steps : NAN};
}

static mynah_status run_all(evaluation *e) {
  const mynah_eval_config *c = e->config;
  int n = c->n_threads > 0 ? c->n_threads : mynah_cpu_count();
  if (n > MAX_WORKERS) n = MAX_WORKERS;
  if (n > c->n_episodes) n = (int)c->n_episodes;
  for (; e->n_workers < n;) MYNAH_TRY(open_worker(c, &e->workers[e->n_workers++]));
  MYNAH_TRY(e->workers[0].device->type->reset(e->workers[0].device, c->seed));
  MYNAH_TRY(allocate(e));
  mynah_pool *pool;
  MYNAH_TRY(mynah_pool_create(n, &pool));
  int64_t start = mynah_now_ns();
  mynah_pool_run(pool, (int)c->n_episodes, run_episode, e);
  e->result->seconds = (double)(mynah_now_ns() - start) * 1e-9;
  mynah_pool_destroy(pool);
  if (e->status != MYNAH_OK) return mynah_fail(e->status, "%s", e->error);
  if (e->n_infer > 0) {
    qsort(e->infer_ms, e->n_infer, sizeof *e->infer_ms, by_float);
    e->result->infer_ms_p50 = (double)e->infer_ms[(e->n_infer - 1) / 2];
    e->result->infer_ms_p99 = (double)e->infer_ms[(size_t)((double)(e->n_infer - 1) * 0.99)];
  }
  e->result->motion = pool_motion(e);
  return pool_spread(e);
}

mynah_status mynah_evaluate(const mynah_eval_config *config, const mynah_progress *progress, mynah_eval_result *out) {
  if (config->n_episodes < 1 || config->n_episodes > 10000000)
    return mynah_fail(MYNAH_INVALID, "episodes=%lld: from 1 to 10000000", (long long)config->n_episodes);
  mynah_eval_result r = {.n_episodes = config->n_episodes, .seed = config->seed, .infer_ms_p50 = NAN,
                         .infer_ms_p99 = NAN};
  evaluation *e = mynah_calloc(1, sizeof *e);
  if (!e) return MYNAH_NO_MEMORY;
  e->config = config;
  e->result = &r;
  e->progress = progress;
  pthread_mutex_init(&e->lock, NULL);
  mynah_status status = run_all(e);
  for (int i = 0; i < e->n_workers; i++) close_worker(&e->workers[i]);
  for (int64_t i = 0; e->spread && i < config->n_episodes; i++) mynah_free(e->spread[i]);
  mynah_free(e->spread);
  mynah_free(e->n_rows);
  mynah_free(e->motion);
  mynah_free(e->infer_ms);
  pthread_mutex_destroy(&e->lock);
  mynah_free(e);
  if (status != MYNAH_OK) {
    mynah_eval_result_deinit(&r);
    return status;
  }
  *out = r;
  return MYNAH_OK;
}
