/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Layer norm and its gradient, a row at a time: a row is read three times, twice from the first-level cache.
 *
 * Sums run in VL floats side by side: with C below 10^5 that is as good as pairwise. */
#include "level.h"
#include "vec.h"

#include <math.h>

/* Rows whose parts of dgamma and dbeta are summed before they go to the total. */
#define ROW_BLOCK 256

INLINE float sum_of(const float *x, int64_t n) {
  vec s0 = {0}, s1 = {0};
  int64_t i = 0;
  for (; i + 2 * VL <= n; i += 2 * VL) s0 += load(x + i), s1 += load(x + i + VL);
  for (; i < n; i += VL) s0 += load_at(x, i, n - i < VL ? n - i : 0);
  return sum_lanes(s0 + s1);
}

/* Sum of (x - mean)^2 */
INLINE float squares_of(const float *x, int64_t n, float mean) {
  vec s0 = {0}, s1 = {0}, m = splat(mean);
  int64_t i = 0;
  for (; i + 2 * VL <= n; i += 2 * VL) {
    vec a = load(x + i) - m, b = load(x + i + VL) - m;
    s0 += a * a, s1 += b * b;
  }
  for (; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    vec a = keep_part(load_at(x, i, part) - m, part); /* lanes beyond the row must not count as -mean */
    s0 += a * a;
  }
  return sum_lanes(s0 + s1);
}

/* y = (x - mean) inv_std gamma + beta */
void FAST(layer_norm)(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t c = s.dims[s.n_dims - 1], rows = mynah_shape_size(s) / c;
  const float *x = call->in[0];                          /* (rows,c) */
  const float *gamma = call->in[1], *beta = call->in[2]; /* (c) or NULL */
  float *y = call->out[0];                               /* (rows,c) */
  float *mean = call->out[1], *inv_std = call->out[2];   /* (rows) */
  for (int64_t r = 0; r < rows; r++, x += c, y += c) {
    float m = sum_of(x, c) / (float)c;
    float scale = (float)(1 / sqrt((double)(squares_of(x, c, m) / (float)c) + call->step->a.f[0]));
    vec vm = splat(m), vs = splat(scale);
    mean[r] = m;
    inv_std[r] = scale;
    for (int64_t i = 0; i < c; i += VL) {
      int64_t part = c - i < VL ? c - i : 0;
      vec v = (load_at(x, i, part) - vm) * vs;
      if (gamma) v *= load_at(gamma, i, part);
      if (beta) v += load_at(beta, i, part);
      store_at(y, i, part, v);
    }
  }
}

/* One row: dx = inv_std (g - mean(g) - xhat mean(g xhat)), g = dy gamma; adds dy xhat and dy to the sums (c). */
INLINE void layer_norm_row(int64_t c, const float *x, const float *dy, float mean, float inv_std, const float *gamma,
                           float *dx, float *dgamma, float *dbeta) {
  vec vm = splat(mean), vs = splat(inv_std), sum = {0}, sum_xhat = {0};
  for (int64_t i = 0; i < c; i += VL) {
    int64_t part = c - i < VL ? c - i : 0;
    vec d = load_at(dy, i, part), xhat = (load_at(x, i, part) - vm) * vs; /* lanes beyond the row: d is 0 */
    store_at(dgamma, i, part, load_at(dgamma, i, part) + d * xhat);
    store_at(dbeta, i, part, load_at(dbeta, i, part) + d);
    if (gamma) d *= load_at(gamma, i, part);
    sum += d;
    sum_xhat += d * xhat;
  }
  vec mean_g = splat(sum_lanes(sum) / (float)c), mean_g_xhat = splat(sum_lanes(sum_xhat) / (float)c);
  for (int64_t i = 0; i < c; i += VL) {
    int64_t part = c - i < VL ? c - i : 0;
    vec g = load_at(dy, i, part), xhat = (load_at(x, i, part) - vm) * vs;
    if (gamma) g *= load_at(gamma, i, part);
    store_at(dx, i, part, vs * (g - mean_g - xhat * mean_g_xhat));
  }
}

/* scratch: two partial sums (c) */
void FAST(layer_norm_grad)(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t c = s.dims[s.n_dims - 1], rows = mynah_shape_size(s) / c;
  const float *x = call->in[0], *dy = call->in[1];         /* (rows,c) */
  const float *mean = call->in[2], *inv_std = call->in[3]; /* (rows) */
  const float *gamma = call->in[4];                        /* (c) or NULL */
  float *dx = call->out[0];                                /* (rows,c) */
  float *total = call->out[1], *total_beta = call->out[2]; /* (c) */
  float *dgamma = call->scratch, *dbeta = dgamma + c;
  memset(total, 0, (size_t)c * sizeof *total);
  memset(total_beta, 0, (size_t)c * sizeof *total_beta);
  for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
    memset(dgamma, 0, 2 * (size_t)c * sizeof *dgamma);
    for (int64_t i = r; i < rows && i < r + ROW_BLOCK; i++)
      layer_norm_row(c, x + i * c, dy + i * c, mean[i], inv_std[i], gamma, dx + i * c, dgamma, dbeta);
    for (int64_t i = 0; i < c; i++) total[i] += dgamma[i], total_beta[i] += dbeta[i];
  }
}
