/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference softmax and log-softmax over the last axis, and their gradients. */
#include "ref.h"

#include <math.h>

/* The maximum is taken off first, so that no exponential overflows. x (n) */
static real largest(const real *x, int64_t n) {
  real best = x[0];
  for (int64_t i = 1; i < n; i++)
    if (x[i] > best) best = x[i];
  return best;
}

/* y_i = exp(x_i - m) / sum_j exp(x_j - m), m = max x */
static void run_softmax(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t n = s.dims[s.n_dims - 1], rows = mynah_shape_size(s) / n;
  const real *x = call->in[0]; /* (rows,n) */
  real *y = call->out[0];      /* (rows,n) */
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    real m = largest(x, n), sum = 0;
    for (int64_t i = 0; i < n; i++) {
      y[i] = (real)exp((double)(x[i] - m));
      sum += y[i];
    }
    for (int64_t i = 0; i < n; i++) y[i] /= sum;
  }
}
MYNAH__REF_KERNEL(softmax);

/* dx_i = y_i (dy_i - sum_j dy_j y_j) */
static void run_softmax_grad(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t n = s.dims[s.n_dims - 1], rows = mynah_shape_size(s) / n;
  const real *y = call->in[0], *dy = call->in[1]; /* (rows,n) */
  real *dx = call->out[0];                        /* (rows,n) */
  for (int64_t r = 0; r < rows; r++, y += n, dy += n, dx += n) {
    real dot = 0;
    for (int64_t i = 0; i < n; i++) dot += dy[i] * y[i];
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - dot);
  }
}
MYNAH__REF_KERNEL(softmax_grad);

/* y_i = x_i - m - log sum_j exp(x_j - m) */
static void run_log_softmax(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t n = s.dims[s.n_dims - 1], rows = mynah_shape_size(s) / n;
  const real *x = call->in[0]; /* (rows,n) */
  real *y = call->out[0];      /* (rows,n) */
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    real m = largest(x, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)(x[i] - m));
    real log_sum = (real)log(sum);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - m - log_sum;
  }
}
MYNAH__REF_KERNEL(log_softmax);

/* dx_i = dy_i - exp(y_i) sum_j dy_j */
static void run_log_softmax_grad(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t n = s.dims[s.n_dims - 1], rows = mynah_shape_size(s) / n;
  const real *y = call->in[0], *dy = call->in[1]; /* (rows,n) */
  real *dx = call->out[0];                        /* (rows,n) */
  for (int64_t r = 0; r < rows; r++, y += n, dy += n, dx += n) {
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += dy[i];
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] - (real)exp((double)y[i]) * sum;
  }
}
MYNAH__REF_KERNEL(log_softmax_grad);
