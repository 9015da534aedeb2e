/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Losses and their gradients: mean of a function of one error, and the mixture of Gaussians; softmax rows. */
#include "level.h"
#include "vec.h"

#include <math.h>

/* ---- mean of a function of one error ----------------------------------------------------------------------------- */

INLINE vec square_of(vec e, vec delta) { return e * e; }
INLINE vec square_slope(vec e, vec delta) { return e + e; }
INLINE vec l1_of(vec e, vec delta) { return absolute(e); }
/* 0 at 0, NaN at NaN */
INLINE vec l1_slope(vec e, vec delta) { return choose(e > (vec){0}, splat(1), choose(e < (vec){0}, splat(-1), e)); }
INLINE vec huber_of(vec e, vec delta) {
  vec size = absolute(e);
  return choose(size < delta, 0.5f * e * e, delta * (size - 0.5f * delta));
}
INLINE vec huber_slope(vec e, vec delta) { return choose(e >= delta, delta, choose(e <= -delta, -delta, e)); }

/* Vectors summed in float before they are added to the total in double. */
#define SUM_VECTORS 64

#define POINTWISE_LOSS(name, of, slope)                                                                  \
  /* loss = sum_i mask_i f(p_i - t_i) / n */                                                             \
  void FAST(name)(const mynah__call *call) {                                                             \
    int64_t n = mynah_shape_size(call->step->in[0].shape);                                               \
    const float *p = call->in[0], *t = call->in[1], *mask = call->in[2]; /* (n), mask or NULL */         \
    vec delta = splat((float)call->step->a.f[0]);                                                        \
    double total = 0;                                                                                    \
    for (int64_t i = 0; i < n;) {                                                                        \
      vec sum = {0};                                                                                     \
      for (int k = 0; k < SUM_VECTORS && i < n; k++, i += VL) {                                          \
        int64_t part = n - i < VL ? n - i : 0;                                                           \
        vec y = of(load_at(p, i, part) - load_at(t, i, part), delta);                                    \
        sum += mask ? y * load_at(mask, i, part) : y;                                                    \
      }                                                                                                  \
      total += (double)sum_lanes(sum);                                                                   \
    }                                                                                                    \
    *(float *)call->out[0] = (float)(total / (double)n);                                                 \
  }                                                                                                      \
  /* dp_i = dy mask_i f'(p_i - t_i) / n */                                                               \
  void FAST(name##_grad)(const mynah__call *call) {                                                      \
    int64_t n = mynah_shape_size(call->step->in[0].shape);                                               \
    const float *p = call->in[0], *t = call->in[1], *mask = call->in[2]; /* (n), mask or NULL */         \
    vec delta = splat((float)call->step->a.f[0]), scale = splat(*(const float *)call->in[3] / (float)n); \
    float *dp = call->out[0]; /* (n) */                                                                  \
    for (int64_t i = 0; i < n; i += VL) {                                                                \
      int64_t part = n - i < VL ? n - i : 0;                                                             \
      vec d = scale * slope(load_at(p, i, part) - load_at(t, i, part), delta);                           \
      store_at(dp, i, part, mask ? d *load_at(mask, i, part) : d);                                       \
    }                                                                                                    \
  }
POINTWISE_LOSS(mse, square_of, square_slope)
POINTWISE_LOSS(l1, l1_of, l1_slope)
POINTWISE_LOSS(huber, huber_of, huber_slope)

/* ---- mixture of Gaussians ---------------------------------------------------------------------------------------- */

#define HALF_LOG_TWO_PI 0.91893853320467274178

/* sum_d mask_d (-((t_d - m_d) / exp(s_d))^2 / 2 - s_d - log(2 pi) / 2); all (d), mask or NULL */
INLINE double log_normal(const float *t, const float *m, const float *s, const float *mask, int64_t d) {
  vec sum = {0}, count = {0};
  for (int64_t i = 0; i < d; i += VL) {
    int64_t part = d - i < VL ? d - i : 0;
    vec si = load_at(s, i, part), z = (load_at(t, i, part) - load_at(m, i, part)) * exponential(-si);
    vec term = -0.5f * z * z - si;
    if (mask) {
      vec w = load_at(mask, i, part);
      term *= w;
      count += w;
    }
    sum += term;
  }
  return (double)sum_lanes(sum) - (mask ? (double)sum_lanes(count) : (double)d) * HALF_LOG_TWO_PI;
}

/* log sum_j exp(x_j), the maximum taken off first; x (n) */
static double log_sum_exp(const float *x, int64_t n) {
  double m = (double)x[0], sum = 0;
  for (int64_t i = 1; i < n; i++) m = (double)x[i] > m ? (double)x[i] : m;
  for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - m);
  return m + log(sum);
}

/* As ref/loss.c: loss = -mean_b (LSE_k (x_bk + log N_bk) - LSE_k x_bk), out 1 the responsibilities (Bishop 1994). */
void FAST(gmm_nll)(const mynah__call *call) {
  const int64_t *dims = call->step->in[1].shape.dims;
  int64_t batch = dims[0], k = dims[1], d = dims[2];
  const float *x = call->in[0];                      /* logits (batch,K) */
  const float *m = call->in[1], *s = call->in[2];    /* means, log stds (batch,K,D) */
  const float *t = call->in[3], *mask = call->in[4]; /* (batch,D), mask or NULL */
  float *r = call->out[1];                           /* (batch,K) */
  double sum = 0;
  for (int64_t b = 0; b < batch; b++, x += k, r += k) {
    for (int64_t j = 0; j < k; j++)
      r[j] = (float)((double)x[j] +
                     log_normal(t + b * d, m + (b * k + j) * d, s + (b * k + j) * d, mask ? mask + b * d : NULL, d));
    double joint = log_sum_exp(r, k);
    sum += log_sum_exp(x, k) - joint;
    for (int64_t j = 0; j < k; j++) r[j] = (float)exp((double)r[j] - joint);
  }
  *(float *)call->out[0] = (float)(sum / (double)batch);
}

/* dm = -w z / exp(s), ds = w (1 - z^2), w = weight mask; all (d) */
INLINE void normal_slopes(const float *t, const float *m, const float *s, const float *mask, float weight, int64_t d,
                          float *dm, float *ds) {
  for (int64_t i = 0; i < d; i += VL) {
    int64_t part = d - i < VL ? d - i : 0;
    vec precision = exponential(-load_at(s, i, part));
    vec z = (load_at(t, i, part) - load_at(m, i, part)) * precision, w = splat(weight);
    if (mask) w *= load_at(mask, i, part);
    store_at(dm, i, part, -w * z * precision);
    store_at(ds, i, part, w * (1.0f - z * z));
  }
}

void FAST(gmm_nll_grad)(const mynah__call *call) {
  const int64_t *dims = call->step->in[1].shape.dims;
  int64_t batch = dims[0], k = dims[1], d = dims[2];
  const float *x = call->in[0];                      /* (batch,K) */
  const float *m = call->in[1], *s = call->in[2];    /* (batch,K,D) */
  const float *t = call->in[3], *mask = call->in[4]; /* (batch,D), mask or NULL */
  const float *r = call->in[5];                      /* (batch,K) */
  double scale = (double)*(const float *)call->in[6] / (double)batch;
  float *dx = call->out[0];                     /* (batch,K) */
  float *dm = call->out[1], *ds = call->out[2]; /* (batch,K,D) */
  for (int64_t b = 0; b < batch; b++) {
    double lse = log_sum_exp(x + b * k, k);
    for (int64_t row = b * k; row < (b + 1) * k; row++) {
      dx[row] = (float)(scale * (exp((double)x[row] - lse) - (double)r[row]));
      normal_slopes(t + b * d, m + row * d, s + row * d, mask ? mask + b * d : NULL, (float)(scale * (double)r[row]), d,
                    dm + row * d, ds + row * d);
    }
  }
}

/* ---- softmax rows ------------------------------------------------------------------------------------------------ */

static float largest_of(const float *x, int64_t n) {
  float best = x[0];
  int64_t i = 0;
  if (n >= VL) {
    vec v = load(x);
    for (i = VL; i + VL <= n; i += VL) v = larger(load(x + i), v);
    best = largest_lane(v);
  }
  for (; i < n; i++) best = x[i] > best ? x[i] : best;
  return best;
}

/* Sum of exp(x - m), which are also written to y when it is there. */
INLINE float sum_exponentials(const float *x, int64_t n, float m, float *y) {
  vec sum = {0}, vm = splat(m);
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    vec e = exponential(load_at(x, i, part) - vm);
    if (y) store_at(y, i, part, e);
    sum += keep_part(e, part);
  }
  return sum_lanes(sum);
}

INLINE float dot(const float *a, const float *b, int64_t n) {
  vec sum = {0};
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    sum += load_at(a, i, part) * load_at(b, i, part);
  }
  return sum_lanes(sum);
}

typedef struct rows {
  int64_t rows, n;
} rows;
static rows rows_of(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t n = s.dims[s.n_dims - 1];
  return (rows){mynah_shape_size(s) / n, n};
}

void FAST(softmax)(const mynah__call *call) {
  rows v = rows_of(call);
  const float *x = call->in[0]; /* (rows,n) */
  float *y = call->out[0];      /* (rows,n) */
  mynah__share own = mynah__share_of(v.rows, call);
  x += own.first * v.n, y += own.first * v.n;
  for (int64_t r = own.first; r < own.last; r++, x += v.n, y += v.n) {
    vec by = splat(1 / sum_exponentials(x, v.n, largest_of(x, v.n), y));
    for (int64_t i = 0; i < v.n; i += VL) {
      int64_t part = v.n - i < VL ? v.n - i : 0;
      store_at(y, i, part, load_at(y, i, part) * by);
    }
  }
}

/* dx_i = y_i (dy_i - sum_j dy_j y_j) */
void FAST(softmax_grad)(const mynah__call *call) {
  rows v = rows_of(call);
  const float *y = call->in[0], *dy = call->in[1]; /* (rows,n) */
  float *dx = call->out[0];                        /* (rows,n) */
  for (int64_t r = 0; r < v.rows; r++, y += v.n, dy += v.n, dx += v.n) {
    vec sum = splat(dot(y, dy, v.n));
    for (int64_t i = 0; i < v.n; i += VL) {
      int64_t part = v.n - i < VL ? v.n - i : 0;
      store_at(dx, i, part, load_at(y, i, part) * (load_at(dy, i, part) - sum));
    }
  }
}

void FAST(log_softmax)(const mynah__call *call) {
  rows v = rows_of(call);
  const float *x = call->in[0]; /* (rows,n) */
  float *y = call->out[0];      /* (rows,n) */
  for (int64_t r = 0; r < v.rows; r++, x += v.n, y += v.n) {
    float m = largest_of(x, v.n);
    vec vm = splat(m), log_sum = splat(logf(sum_exponentials(x, v.n, m, NULL)));
    for (int64_t i = 0; i < v.n; i += VL) {
      int64_t part = v.n - i < VL ? v.n - i : 0;
      store_at(y, i, part, load_at(x, i, part) - vm - log_sum);
    }
  }
}

/* dx_i = dy_i - exp(y_i) sum_j dy_j */
void FAST(log_softmax_grad)(const mynah__call *call) {
  rows v = rows_of(call);
  const float *y = call->in[0], *dy = call->in[1]; /* (rows,n) */
  float *dx = call->out[0];                        /* (rows,n) */
  for (int64_t r = 0; r < v.rows; r++, y += v.n, dy += v.n, dx += v.n) {
    vec sum = {0};
    for (int64_t i = 0; i < v.n; i += VL) sum += load_at(dy, i, v.n - i < VL ? v.n - i : 0);
    sum = splat(sum_lanes(sum));
    for (int64_t i = 0; i < v.n; i += VL) {
      int64_t part = v.n - i < VL ? v.n - i : 0;
      store_at(dx, i, part, load_at(dy, i, part) - exponential(load_at(y, i, part)) * sum);
    }
  }
}
