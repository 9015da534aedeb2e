/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How accumulated error grows: least-squares fits of four laws, and which describes it best, with resampled episodes. */
#include "run_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RESAMPLES 400
#define GOLDEN 0.6180339887498949
#define SEARCHES 48 /* each shrinks the bracket by GOLDEN */

/* linear a t; quadratic a t + b t^2; exponential a (exp(c t) - 1); power a t^p */
enum { LINEAR, QUADRATIC, EXPONENTIAL, POWER, N_LAWS };
static const char *const law_names[N_LAWS] = {"linear", "quadratic", "exponential", "order"};

typedef struct fit {
  double a, second, sse; /* second: b, c or p */
} fit;

typedef struct series {
  const double *y; /* (n): after 1, 2 … steps */
  int64_t n;
  double dt_s;
} series;

/* a of a f(t) and what is left, f by law and its parameter. */
static fit fit_scaled(const series *s, int law, double second) {
  double fy = 0, ff = 0, yy = 0;
  for (int64_t i = 0; i < s->n; i++) {
    double t = (double)(i + 1) * s->dt_s, f = law == POWER ? pow(t, second) : law == EXPONENTIAL ? expm1(second * t) : t;
    fy += f * s->y[i];
    ff += f * f;
    yy += s->y[i] * s->y[i];
  }
  double a = ff > 0 ? fy / ff : 0;
  return (fit){a, second, fmax(yy - a * fy, 0)};
}

/* Normal equations of a t + b t^2. */
static fit fit_quadratic(const series *s) {
  double t2 = 0, t3 = 0, t4 = 0, ty = 0, t2y = 0, yy = 0;
  for (int64_t i = 0; i < s->n; i++) {
    double t = (double)(i + 1) * s->dt_s, y = s->y[i];
    t2 += t * t;
    t3 += t * t * t;
    t4 += t * t * t * t;
    ty += t * y;
    t2y += t * t * y;
    yy += y * y;
  }
  double det = t2 * t4 - t3 * t3, a = (ty * t4 - t2y * t3) / det, b = (t2 * t2y - t3 * ty) / det;
  return (fit){a, b, fmax(yy - a * ty - b * t2y, 0)};
}

/* The parameter with the least left, between two ends: golden section on its logarithm. */
static fit search(const series *s, int law, double low, double high) {
  double a = log(low), b = log(high), c = b - GOLDEN * (b - a), d = a + GOLDEN * (b - a);
  double at_c = fit_scaled(s, law, exp(c)).sse, at_d = fit_scaled(s, law, exp(d)).sse;
  for (int i = 0; i < SEARCHES; i++) {
    if (at_c < at_d) {
      b = d, d = c, at_d = at_c;
      c = b - GOLDEN * (b - a);
      at_c = fit_scaled(s, law, exp(c)).sse;
    } else {
      a = c, c = d, at_c = at_d;
      d = a + GOLDEN * (b - a);
      at_d = fit_scaled(s, law, exp(d)).sse;
    }
  }
  return fit_scaled(s, law, exp((a + b) / 2));
}

static void fit_all(const series *s, fit out[N_LAWS]) {
  double length_s = (double)s->n * s->dt_s;
  out[LINEAR] = fit_scaled(s, LINEAR, 0);
  out[QUADRATIC] = fit_quadratic(s);
  out[EXPONENTIAL] = search(s, EXPONENTIAL, 1e-3 / length_s, 30 / length_s);
  out[POWER] = search(s, POWER, 0.1, 10);
}

/* Least n ln(sse/n) + k ln n (Schwarz 1978) among the first three. */
static int best_of(const fit f[N_LAWS], int64_t n) {
  static const double parameters[] = {1, 2, 2};
  int best = 0;
  double least = INFINITY;
  for (int k = 0; k < POWER; k++) {
    double bic = (double)n * log(fmax(f[k].sse, 1e-300) / (double)n) + parameters[k] * log((double)n);
    if (bic < least) least = bic, best = k;
  }
  return best;
}

/* "a": {"value", "ci"} from resampled values, which are sorted. */
static void set_parameter(mynah_json *j, const char *key, double value, double *resampled) {
  qsort(resampled, RESAMPLES, sizeof *resampled, mynah__by_value);
  mynah_interval v = {value, resampled[(int)(0.025 * (RESAMPLES - 1) + 0.5)], resampled[(int)(0.975 * (RESAMPLES - 1) + 0.5)]};
  mynah_json_set(j, key, mynah__interval_json("value", v));
}

typedef struct resampled {
  double a[RESAMPLES], second[RESAMPLES];
} resampled;

static void fill(const series *s, const fit f[N_LAWS], resampled *r, const int chosen[POWER], mynah_json *result) {
  static const char *const seconds[] = {NULL, "b", "c"};
  double mean = 0, spread = 0;
  for (int64_t i = 0; i < s->n; i++) mean += s->y[i] / (double)s->n;
  for (int64_t i = 0; i < s->n; i++) spread += (s->y[i] - mean) * (s->y[i] - mean);
  mynah_json *shares = mynah_json_object();
  for (int k = 0; k < POWER; k++) {
    mynah_json *j = mynah_json_object();
    set_parameter(j, "a", f[k].a, r[k].a);
    if (seconds[k]) set_parameter(j, seconds[k], f[k].second, r[k].second);
    mynah_json_set(j, "r2", mynah_json_number(spread > 0 ? 1 - f[k].sse / spread : NAN));
    mynah_json_set(result, law_names[k], j);
    mynah_json_set(shares, law_names[k], mynah_json_number((double)chosen[k] / RESAMPLES));
  }
  set_parameter(result, law_names[POWER], f[POWER].second, r[POWER].second);
  mynah_json_set(result, "curve", mynah_json_numbers(s->y, (size_t)s->n));
  mynah_json_set(result, "best", mynah_json_string(law_names[best_of(f, s->n)]));
  mynah_json_set(result, "chosen", shares);
}

/* The mean of the curves, or with rng of as many drawn from them. */
static void average(const double *curves, int64_t n_episodes, int64_t n, mynah_rng *rng, double *out) {
  memset(out, 0, (size_t)n * sizeof *out);
  for (int64_t e = 0; e < n_episodes; e++) {
    const double *curve = curves + (rng ? (int64_t)mynah_rng_below(rng, (uint64_t)n_episodes) : e) * n;
    for (int64_t i = 0; i < n; i++) out[i] += curve[i] / (double)n_episodes;
  }
}

mynah_status mynah_growth_fit(const double *curves, int64_t n_episodes, int64_t n, double dt_s, uint64_t seed,
                              mynah_json *result) {
  if (n < 4 || n_episodes < 1)
    return mynah_fail(MYNAH_INVALID, "growth: %lld curves of %lld steps are too few", (long long)n_episodes, (long long)n);
  double *y = mynah_calloc((size_t)n, sizeof *y);
  resampled *r = mynah_calloc(N_LAWS, sizeof *r);
  mynah_status status = y && r ? MYNAH_OK : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) {
    mynah_rng rng = mynah_rng_make(seed, 78);
    series s = {y, n, dt_s};
    fit f[N_LAWS];
    int chosen[POWER] = {0};
    for (int i = 0; i < RESAMPLES; i++) {
      average(curves, n_episodes, n, &rng, y);
      fit_all(&s, f);
      for (int k = 0; k < N_LAWS; k++) r[k].a[i] = f[k].a, r[k].second[i] = f[k].second;
      chosen[best_of(f, n)]++;
    }
    average(curves, n_episodes, n, NULL, y);
    fit_all(&s, f);
    fill(&s, f, r, chosen, result);
  }
  mynah_free(r);
  mynah_free(y);
  return status;
}
