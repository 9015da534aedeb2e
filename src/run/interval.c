/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* 95 % intervals: Wilson's for rates, percentile bootstrap for means and ratios. */
#include "run_internal.h"

#include <math.h>
#include <stdlib.h>

#define Z_95 1.959963984540054
#define RESAMPLES 10000

/* centre = (p + z^2/2n) / (1 + z^2/n), half = z/(1 + z^2/n) sqrt(p(1-p)/n + z^2/4n^2)   Wilson 1927 */
mynah_interval mynah_wilson(int64_t k, int64_t n) {
  if (n <= 0) return (mynah_interval){NAN, NAN, NAN};
  double p = (double)k / (double)n, z2n = Z_95 * Z_95 / (double)n;
  double centre = (p + z2n / 2) / (1 + z2n);
  double half = Z_95 / (1 + z2n) * sqrt(p * (1 - p) / (double)n + z2n / (4 * (double)n));
  return (mynah_interval){p, k == 0 ? 0 : centre - half, k == n ? 1 : centre + half};
}

int mynah__by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* sum(x)/sum(w); the plain mean when w is NULL. */
mynah_status mynah_bootstrap_ratio(const double *x, const double *w, int64_t n, uint64_t seed, mynah_interval *out) {
  if (n <= 0) {
    *out = (mynah_interval){NAN, NAN, NAN};
    return MYNAH_OK;
  }
  double *means = mynah_calloc(RESAMPLES, sizeof *means);
  if (!means) return MYNAH_NO_MEMORY;
  double sum = 0, weight = 0;
  for (int64_t i = 0; i < n; i++) {
    sum += x[i];
    weight += w ? w[i] : 1;
  }
  mynah_rng rng = mynah_rng_make(seed, 77);
  int n_good = 0;
  for (int r = 0; r < RESAMPLES; r++) {
    double s = 0, ws = 0;
    for (int64_t i = 0; i < n; i++) {
      uint64_t k = mynah_rng_below(&rng, (uint64_t)n);
      s += x[k];
      ws += w ? w[k] : 1;
    }
    if (ws != 0) means[n_good++] = s / ws;
  }
  qsort(means, (size_t)n_good, sizeof *means, mynah__by_value);
  double low = n_good ? means[(int)(0.025 * (n_good - 1) + 0.5)] : NAN;
  double high = n_good ? means[(int)(0.975 * (n_good - 1) + 0.5)] : NAN;
  *out = (mynah_interval){weight != 0 ? sum / weight : NAN, low, high};
  mynah_free(means);
  return MYNAH_OK;
}

mynah_status mynah_bootstrap_mean(const double *x, int64_t n, uint64_t seed, mynah_interval *out) {
  return mynah_bootstrap_ratio(x, NULL, n, seed, out);
}
