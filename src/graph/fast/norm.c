/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Layer norm and its gradient, a row at a time: a row is read three times, twice from the first-level cache.
 * Group norm and its gradient, a sample at a time: sums are kept a channel, and joined a group at the end.
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
  mynah__share own = mynah__share_of(rows, call);
  x += own.first * c, y += own.first * c;
  for (int64_t r = own.first; r < own.last; r++, x += c, y += c) {
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

/* ---- group norm ------------------------------------------------------------------------------------------------------ */

/* Places of a sample and channels: x (batch,places,c). */
typedef struct extent {
  int64_t batch, places, c, groups;
} extent;

static extent extent_of(const mynah__step *step) {
  mynah_shape s = step->in[0].shape;
  int64_t c = s.dims[s.n_dims - 1];
  return (extent){s.dims[0], mynah_shape_size(s) / s.dims[0] / c, c, step->a.i[0]};
}

/* sum (c) += x; with a mean (c), the squares of x - mean. */
INLINE void add_channels(int64_t c, const float *x, const float *mean, float *sum) {
  for (int64_t i = 0; i < c; i += VL) {
    int64_t part = c - i < VL ? c - i : 0;
    vec v = load_at(x, i, part);
    if (mean) v -= load_at(mean, i, part), v *= v;
    store_at(sum, i, part, load_at(sum, i, part) + v);
  }
}

/* The sum over each group's channels in every one of them, times scale. */
static void join_groups(const extent *e, float *sum, float scale) {
  int64_t n = e->c / e->groups;
  for (int64_t g = 0; g < e->groups; g++, sum += n) {
    float total = 0;
    for (int64_t i = 0; i < n; i++) total += sum[i];
    for (int64_t i = 0; i < n; i++) sum[i] = total * scale;
  }
}

/* y = x a + b with a = inv_std gamma, b = beta - mean a; scratch: mean, then b, and variance, then a (c) */
void FAST(group_norm)(const mynah__call *call) {
  extent e = extent_of(call->step);
  const float *x = call->in[0];                          /* (batch,places,c) */
  const float *gamma = call->in[1], *beta = call->in[2]; /* (c) or NULL */
  float *y = call->out[0];                               /* (batch,places,c) */
  float *mean = call->out[1], *inv_std = call->out[2];   /* (batch,groups) */
  float *b = call->scratch, *a = b + e.c;
  int64_t n = e.c / e.groups;
  float share = 1 / (float)(e.places * n);
  for (int64_t k = 0; k < e.batch; k++, mean += e.groups, inv_std += e.groups) {
    memset(b, 0, 2 * (size_t)e.c * sizeof *b);
    for (int64_t t = 0; t < e.places; t++) add_channels(e.c, x + t * e.c, NULL, b);
    join_groups(&e, b, share);
    for (int64_t t = 0; t < e.places; t++) add_channels(e.c, x + t * e.c, b, a);
    join_groups(&e, a, share);
    for (int64_t i = 0; i < e.c; i++) {
      float m = b[i], scale = 1 / sqrtf(a[i] + (float)call->step->a.f[0]);
      mean[i / n] = m;
      inv_std[i / n] = scale;
      a[i] = gamma ? scale * gamma[i] : scale;
      b[i] = (beta ? beta[i] : 0) - m * a[i];
    }
    for (int64_t t = 0; t < e.places; t++, x += e.c, y += e.c)
      for (int64_t i = 0; i < e.c; i += VL) {
        int64_t part = e.c - i < VL ? e.c - i : 0;
        store_at(y, i, part, load_at(x, i, part) * load_at(a, i, part) + load_at(b, i, part));
      }
  }
}

/* What one sample's reverse pass knows of each channel (c). */
typedef struct channels {
  float *mean, *inv_std, *sum, *sum_xhat;
} channels;

/* sum += dy, sum_xhat += dy xhat. x, dy (places,c) */
INLINE void sum_slopes(const extent *e, const float *x, const float *dy, const channels *v) {
  for (int64_t t = 0; t < e->places; t++, x += e->c, dy += e->c)
    for (int64_t i = 0; i < e->c; i += VL) {
      int64_t part = e->c - i < VL ? e->c - i : 0;
      vec d = load_at(dy, i, part), xhat = (load_at(x, i, part) - load_at(v->mean, i, part)) * load_at(v->inv_std, i, part);
      store_at(v->sum, i, part, load_at(v->sum, i, part) + d);
      store_at(v->sum_xhat, i, part, load_at(v->sum_xhat, i, part) + d * xhat);
    }
}

/* dx = inv_std (dy gamma - sum - xhat sum_xhat), where the sums are by now the group's means. */
INLINE void apply_slopes(const extent *e, const float *x, const float *dy, const float *gamma, const channels *v, float *dx) {
  for (int64_t t = 0; t < e->places; t++, x += e->c, dy += e->c, dx += e->c)
    for (int64_t i = 0; i < e->c; i += VL) {
      int64_t part = e->c - i < VL ? e->c - i : 0;
      vec d = load_at(dy, i, part), s = load_at(v->inv_std, i, part), xhat = (load_at(x, i, part) - load_at(v->mean, i, part)) * s;
      if (gamma) d *= load_at(gamma, i, part);
      store_at(dx, i, part, s * (d - load_at(v->sum, i, part) - xhat * load_at(v->sum_xhat, i, part)));
    }
}

/* scratch: the four of channels (c) */
void FAST(group_norm_grad)(const mynah__call *call) {
  extent e = extent_of(call->step);
  const float *x = call->in[0], *dy = call->in[1];         /* (batch,places,c) */
  const float *mean = call->in[2], *inv_std = call->in[3]; /* (batch,groups) */
  const float *gamma = call->in[4];                        /* (c) or NULL */
  float *dx = call->out[0];                                /* (batch,places,c) */
  float *dgamma = call->out[1], *dbeta = call->out[2];     /* (c) */
  float *room = call->scratch;
  channels v = {room, room + e.c, room + 2 * e.c, room + 3 * e.c};
  int64_t n = e.c / e.groups, sample = e.places * e.c;
  float share = 1 / (float)(e.places * n);
  memset(dgamma, 0, (size_t)e.c * sizeof *dgamma);
  memset(dbeta, 0, (size_t)e.c * sizeof *dbeta);
  for (int64_t k = 0; k < e.batch; k++, x += sample, dy += sample, dx += sample) {
    for (int64_t i = 0; i < e.c; i++) v.mean[i] = mean[k * e.groups + i / n], v.inv_std[i] = inv_std[k * e.groups + i / n];
    memset(v.sum, 0, 2 * (size_t)e.c * sizeof *v.sum);
    sum_slopes(&e, x, dy, &v);
    for (int64_t i = 0; i < e.c; i++) {
      dgamma[i] += v.sum_xhat[i];
      dbeta[i] += v.sum[i];
      if (gamma) v.sum[i] *= gamma[i], v.sum_xhat[i] *= gamma[i];
    }
    join_groups(&e, v.sum, share);
    join_groups(&e, v.sum_xhat, share);
    apply_slopes(&e, x, dy, gamma, &v, dx);
  }
}
