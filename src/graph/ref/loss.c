/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference losses and their gradients. Sums over a batch run in double: 10^4 … 10^6 terms, of which a float sum would
 * keep only three or four digits, and a loss is what people compare. */
#include "ref.h"

#include <math.h>

/* ---- pointwise --------------------------------------------------------------------------------------------------- */

/* A loss of one error e = prediction - target, and its derivative. */
typedef real (*error_fn)(real e, real delta);

/* loss = sum_i mask_i f(p_i - t_i) / n, masked elements counted in n */
static void pointwise_loss(const mynah__call *call, error_fn f) {
  int64_t n = mynah_shape_size(call->step->in[0].shape);
  const real *p = call->in[0], *t = call->in[1]; /* (n) */
  const real *mask = call->in[2];                /* (n) or NULL */
  real delta = (real)call->step->a.f[0];
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)((mask ? mask[i] : 1) * f(p[i] - t[i], delta));
  *(real *)call->out[0] = (real)(sum / (double)n);
}

/* dp_i = dy mask_i f'(p_i - t_i) / n */
static void pointwise_slope(const mynah__call *call, error_fn derivative) {
  int64_t n = mynah_shape_size(call->step->in[0].shape);
  const real *p = call->in[0], *t = call->in[1]; /* (n) */
  const real *mask = call->in[2];                /* (n) or NULL */
  real delta = (real)call->step->a.f[0], scale = *(const real *)call->in[3] / (real)n;
  real *dp = call->out[0]; /* (n) */
  for (int64_t i = 0; i < n; i++) dp[i] = scale * (mask ? mask[i] : 1) * derivative(p[i] - t[i], delta);
}

static real absolute(real e) { return e < 0 ? -e : e; }
static real sign(real e) { return (real)(e > 0) - (real)(e < 0); } /* 0 at 0, as PyTorch */

static real square_of(real e, real delta) { return e * e; }
static real square_slope(real e, real delta) { return 2 * e; }
static real absolute_of(real e, real delta) { return absolute(e); }
/* A NaN error must not become a zero slope. */
static real absolute_slope(real e, real delta) { return isnan(e) ? e : sign(e); }
/* Huber (1964): e^2/2 inside |e| < delta, delta (|e| - delta/2) outside */
static real huber_of(real e, real delta) {
  real size = absolute(e);
  return size < delta ? e * e / 2 : delta * (size - delta / 2);
}
static real huber_slope(real e, real delta) { return absolute(e) < delta || isnan(e) ? e : delta * sign(e); }

static void run_mse(const mynah__call *call) { pointwise_loss(call, square_of); }
static void run_mse_grad(const mynah__call *call) { pointwise_slope(call, square_slope); }
static void run_l1(const mynah__call *call) { pointwise_loss(call, absolute_of); }
static void run_l1_grad(const mynah__call *call) { pointwise_slope(call, absolute_slope); }
static void run_huber(const mynah__call *call) { pointwise_loss(call, huber_of); }
static void run_huber_grad(const mynah__call *call) { pointwise_slope(call, huber_slope); }
MYNAH__REF_KERNEL(mse);
MYNAH__REF_KERNEL(mse_grad);
MYNAH__REF_KERNEL(l1);
MYNAH__REF_KERNEL(l1_grad);
MYNAH__REF_KERNEL(huber);
MYNAH__REF_KERNEL(huber_grad);

/* ---- cross-entropy ----------------------------------------------------------------------------------------------- */

/* log sum_j exp(x_j), the maximum taken off first; x (n) */
static double log_sum_exp(const real *x, int64_t n) {
  double m = (double)x[0], sum = 0;
  for (int64_t i = 1; i < n; i++) m = (double)x[i] > m ? (double)x[i] : m;
  for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - m);
  return m + log(sum);
}

/* Mean over rows of -sum_k q_k log softmax(x)_k, q = (1-s) onehot(target) + s/K   (label smoothing: Szegedy et al.
 * 2016, section 7). A class outside 0 … K-1 makes the loss NaN, which stops a training at the door. */
static void run_cross_entropy(const mynah__call *call) {
  mynah_shape shape = call->step->in[0].shape;
  int64_t k = shape.dims[shape.n_dims - 1], rows = mynah_shape_size(shape) / k;
  const real *x = call->in[0];         /* (rows,K) */
  const int32_t *target = call->in[1]; /* (rows) */
  double smoothing = call->step->a.f[0], sum = 0;
  for (int64_t r = 0; r < rows; r++, x += k) {
    double lse = log_sum_exp(x, k), mean = 0;
    for (int64_t i = 0; i < k; i++) mean += (double)x[i] / (double)k;
    double hit = target[r] >= 0 && target[r] < k ? (double)x[target[r]] : (double)NAN;
    sum += (1 - smoothing) * (lse - hit) + smoothing * (lse - mean);
  }
  *(real *)call->out[0] = (real)(sum / (double)rows);
}
MYNAH__REF_KERNEL(cross_entropy);

/* dx_k = dy / rows (softmax(x)_k - q_k) */
static void run_cross_entropy_grad(const mynah__call *call) {
  mynah_shape shape = call->step->in[0].shape;
  int64_t k = shape.dims[shape.n_dims - 1], rows = mynah_shape_size(shape) / k;
  const real *x = call->in[0];         /* (rows,K) */
  const int32_t *target = call->in[1]; /* (rows) */
  double scale = (double)*(const real *)call->in[2] / (double)rows, smoothing = call->step->a.f[0];
  real *dx = call->out[0]; /* (rows,K) */
  for (int64_t r = 0; r < rows; r++, x += k, dx += k) {
    double lse = log_sum_exp(x, k);
    bool is_class = target[r] >= 0 && target[r] < k;
    for (int64_t i = 0; i < k; i++) {
      double q = smoothing / (double)k + (i == target[r] ? 1 - smoothing : 0);
      dx[i] = is_class ? (real)(scale * (exp((double)x[i] - lse) - q)) : (real)NAN;
    }
  }
}
MYNAH__REF_KERNEL(cross_entropy_grad);

/* ---- Gaussian ---------------------------------------------------------------------------------------------------- */

/* Mean of (log v + (m - t)^2 / v) / 2, v = max(var, eps)   (torch.nn.GaussianNLLLoss, full=False) */
static void run_gaussian_nll(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->in[0].shape);
  const real *mean = call->in[0], *var = call->in[1], *target = call->in[2]; /* (n) */
  double eps = call->step->a.f[0], sum = 0;
  for (int64_t i = 0; i < n; i++) {
    double v = (double)var[i] < eps ? eps : (double)var[i], e = (double)mean[i] - (double)target[i];
    sum += (log(v) + e * e / v) / 2;
  }
  *(real *)call->out[0] = (real)(sum / (double)n);
}
MYNAH__REF_KERNEL(gaussian_nll);

/* dm = dy/n (m - t) / v ; dvar = dy/n (1 - (m - t)^2 / v) / (2 v); the clamp passes the gradient on, as PyTorch's does
 */
static void run_gaussian_nll_grad(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->in[0].shape);
  const real *mean = call->in[0], *var = call->in[1], *target = call->in[2]; /* (n) */
  real *dmean = call->out[0], *dvar = call->out[1];                          /* (n) */
  double eps = call->step->a.f[0], scale = (double)*(const real *)call->in[3] / (double)n;
  for (int64_t i = 0; i < n; i++) {
    double v = (double)var[i] < eps ? eps : (double)var[i], e = (double)mean[i] - (double)target[i];
    dmean[i] = (real)(scale * e / v);
    dvar[i] = (real)(scale * (1 - e * e / v) / (2 * v));
  }
}
MYNAH__REF_KERNEL(gaussian_nll_grad);

/* ---- mixture of Gaussians ---------------------------------------------------------------------------------------- */

#define HALF_LOG_TWO_PI 0.91893853320467274178

/* log N(t; m, exp(s)) = sum_d mask_d (-((t_d - m_d) / exp(s_d))^2 / 2 - s_d - log(2 pi) / 2); all (d), mask or NULL */
static double log_normal(const real *t, const real *m, const real *s, const real *mask, int64_t d) {
  double sum = 0;
  for (int64_t i = 0; i < d; i++) {
    double z = ((double)t[i] - (double)m[i]) * exp(-(double)s[i]);
    sum += (mask ? (double)mask[i] : 1) * (-z * z / 2 - (double)s[i] - HALF_LOG_TWO_PI);
  }
  return sum;
}

/* loss = -mean_b log sum_k softmax(x_b)_k N(t_b; m_bk, exp(s_bk))          (Bishop 1994, eq. 29)
 *      = -mean_b (LSE_k (x_bk + log N_bk) - LSE_k x_bk)
 * responsibilities r_bk = softmax_k (x_bk + log N_bk)                      (eq. 33)
 * A narrow component puts log N near -1e5: hence log-sum-exp in both places. */
static void run_gmm_nll(const mynah__call *call) {
  const int64_t *dims = call->step->in[1].shape.dims;
  int64_t batch = dims[0], k = dims[1], d = dims[2];
  const real *x = call->in[0];                      /* logits (batch,K) */
  const real *m = call->in[1], *s = call->in[2];    /* means, log stds (batch,K,D) */
  const real *t = call->in[3], *mask = call->in[4]; /* (batch,D), mask or NULL */
  real *r = call->out[1];                           /* (batch,K) */
  double sum = 0;
  for (int64_t b = 0; b < batch; b++, x += k, r += k) {
    for (int64_t j = 0; j < k; j++)
      r[j] = (real)((double)x[j] +
                    log_normal(t + b * d, m + (b * k + j) * d, s + (b * k + j) * d, mask ? mask + b * d : NULL, d));
    double joint = log_sum_exp(r, k);
    sum += log_sum_exp(x, k) - joint;
    for (int64_t j = 0; j < k; j++) r[j] = (real)exp((double)r[j] - joint);
  }
  *(real *)call->out[0] = (real)(sum / (double)batch);
}
MYNAH__REF_KERNEL(gmm_nll);

/* With z = (t - m) / exp(s), scale = dy / batch          (Bishop 1994, eqs. 35, 39 and 37 for d/ds)
 *   dx_k = scale (softmax(x)_k - r_k) ;  dm_kd = -scale r_k mask_d z_d / exp(s_kd) ;  ds_kd = scale r_k mask_d (1 -
 * z_d^2) */
static void run_gmm_nll_grad(const mynah__call *call) {
  const int64_t *dims = call->step->in[1].shape.dims;
  int64_t batch = dims[0], k = dims[1], d = dims[2];
  const real *x = call->in[0];                      /* (batch,K) */
  const real *m = call->in[1], *s = call->in[2];    /* (batch,K,D) */
  const real *t = call->in[3], *mask = call->in[4]; /* (batch,D), mask or NULL */
  const real *r = call->in[5];                      /* (batch,K) */
  double scale = (double)*(const real *)call->in[6] / (double)batch;
  real *dx = call->out[0];                     /* (batch,K) */
  real *dm = call->out[1], *ds = call->out[2]; /* (batch,K,D) */
  for (int64_t b = 0; b < batch; b++) {
    double lse = log_sum_exp(x + b * k, k);
    for (int64_t j = 0; j < k; j++) {
      int64_t row = b * k + j;
      dx[row] = (real)(scale * (exp((double)x[row] - lse) - (double)r[row]));
      for (int64_t i = 0; i < d; i++) {
        double precision = exp(-(double)s[row * d + i]);
        double z = ((double)t[b * d + i] - (double)m[row * d + i]) * precision;
        double weight = scale * (double)r[row] * (mask ? (double)mask[b * d + i] : 1);
        dm[row * d + i] = (real)(-weight * z * precision);
        ds[row * d + i] = (real)(weight * (1 - z * z));
      }
    }
  }
}
MYNAH__REF_KERNEL(gmm_nll_grad);
