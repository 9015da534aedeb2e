/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Results of evaluations as JSON, and two of them compared on shared seeds. */
#include "run_internal.h"

#include <math.h>
#include <string.h>

#define BOOTSTRAP_SEED 20240607u

void mynah_eval_result_deinit(mynah_eval_result *r) {
  for (int64_t i = 0; r->traces && i < r->n_traces; i++) mynah_free(r->traces[i].rows);
  mynah_free(r->traces);
  mynah_free(r->values);
  mynah_free(r->weights);
  mynah_free(r->spread);
  *r = (mynah_eval_result){0};
}

double mynah_eval_value(const mynah_eval_result *r, const char *metric, int64_t episode) {
  for (int m = 0; m < r->n_metrics; m++)
    if (strcmp(r->kinds[m].name, metric) == 0) return r->values[episode * r->n_metrics + m];
  return NAN;
}

mynah_json *mynah__interval_json(const char *key, mynah_interval v) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, key, mynah_json_number(v.value));
  mynah_json_set(j, "ci", mynah_json_numbers((double[]){v.low, v.high}, 2));
  return j;
}

mynah_json *mynah__rate_json(int64_t k, int64_t n) {
  mynah_json *j = mynah_json_object();
  mynah_interval v = mynah_wilson(k, n);
  mynah_json_set(j, "k", mynah_json_integer(k));
  mynah_json_set(j, "n", mynah_json_integer(n));
  mynah_json_set(j, "rate", mynah_json_number(v.value));
  mynah_json_set(j, "ci", mynah_json_numbers((double[]){v.low, v.high}, 2));
  return j;
}

/* Mean and 95th percentile of sorted values. */
static mynah_json *spread_json(const double *sorted, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += sorted[i];
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "mean", mynah_json_number(n ? sum / (double)n : NAN));
  mynah_json_set(j, "p95", mynah_json_number(n ? sorted[(int64_t)(0.95 * (double)(n - 1) + 0.5)] : NAN));
  return j;
}

mynah_status mynah_eval_to_json(const mynah_eval_result *r, mynah_json *object) {
  int64_t n = r->n_episodes;
  double *x = mynah_calloc((size_t)n * 2, sizeof *x);
  if (!x) return MYNAH_NO_MEMORY;
  double *w = x + n;
  const double *spread = r->spread;
  mynah_status status = MYNAH_OK;
  for (int m = 0; m < r->n_metrics && status == MYNAH_OK; m++) {
    mynah_interval v = {NAN, NAN, NAN};
    const char *name = r->kinds[m].name;
    for (int64_t i = 0; i < n; i++) {
      x[i] = r->values[i * r->n_metrics + m];
      w[i] = r->weights[i * r->n_metrics + m];
    }
    if (r->kinds[m].kind == MYNAH_METRIC_RATE) {
      int64_t k = 0;
      for (int64_t i = 0; i < n; i++) k += x[i] > 0.5;
      mynah_json_set(object, name, mynah__rate_json(k, n));
    } else if (r->kinds[m].kind == MYNAH_METRIC_SPREAD) {
      mynah_json_set(object, name, spread_json(spread, r->n_spread[m]));
      spread += r->n_spread[m];
    } else {
      bool is_ratio = r->kinds[m].kind == MYNAH_METRIC_RATIO;
      status = mynah_bootstrap_ratio(x, is_ratio ? w : NULL, n, BOOTSTRAP_SEED, &v);
      mynah_json_set(object, name, is_ratio ? mynah_json_number(v.value) : mynah__interval_json("mean", v));
      if (is_ratio) {
        mynah_str key = {0};
        mynah_str_printf(&key, "%s_ci", name);
        mynah_json_set(object, mynah_str_text(&key), mynah_json_numbers((double[]){v.low, v.high}, 2));
        mynah_str_deinit(&key);
      }
    }
  }
  mynah_free(x);
  if (isnan(r->motion.stale_share)) return status; /* the expert */
  mynah_json_set(object, "seam_jump", mynah_json_number(r->motion.seam_jump));
  mynah_json_set(object, "jerk", mynah_json_number(r->motion.jerk));
  mynah_json_set(object, "stale_share", mynah_json_number(r->motion.stale_share));
  return status;
}

mynah_status mynah_eval_compare(const mynah_eval_result *a, const mynah_eval_result *b, mynah_json *object) {
  if (a->n_episodes != b->n_episodes || a->seed != b->seed || a->n_metrics != b->n_metrics)
    return mynah_fail(MYNAH_MISMATCH, "the two evaluations did not run the same episodes");
  int64_t n = a->n_episodes;
  double *x = mynah_calloc((size_t)n, sizeof *x);
  if (!x) return MYNAH_NO_MEMORY;
  mynah_status status = MYNAH_OK;
  for (int m = 0; m < a->n_metrics && status == MYNAH_OK; m++) {
    mynah_metric_kind kind = a->kinds[m].kind;
    if (kind != MYNAH_METRIC_MEAN && kind != MYNAH_METRIC_RATE) continue;
    for (int64_t i = 0; i < n; i++) x[i] = a->values[i * a->n_metrics + m] - b->values[i * a->n_metrics + m];
    mynah_interval v = {NAN, NAN, NAN};
    status = mynah_bootstrap_mean(x, n, BOOTSTRAP_SEED, &v);
    mynah_json_set(object, a->kinds[m].name, mynah__interval_json("difference", v));
  }
  mynah_free(x);
  return status;
}
