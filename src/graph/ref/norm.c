/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference layer norm, group norm and batch norm, and their gradients: one loop nest for all three.
 *
 * x is seen as (rows,C). The norms differ only in which elements share a mean and a variance ("a set"): layer norm a
 * row, batch norm a channel, group norm a sample's rows in one group of channels. */
#include "ref.h"

#include <math.h>

/* Set k holds rows (k / sets_a_row) rows_a_set … and channels (k % sets_a_row) channels_a_set … */
typedef struct sets {
  int64_t rows, c;
  int64_t rows_a_set, channels_a_set, sets_a_row;
} sets;

static sets sets_by_row(mynah_shape x) {
  int64_t c = x.dims[x.n_dims - 1];
  return (sets){mynah_shape_size(x) / c, c, 1, c, 1};
}

static sets sets_by_channel(mynah_shape x) {
  int64_t c = x.dims[x.n_dims - 1], rows = mynah_shape_size(x) / c;
  return (sets){rows, c, rows, 1, c};
}

static sets sets_by_group(mynah_shape x, int64_t groups) {
  int64_t c = x.dims[x.n_dims - 1], rows = mynah_shape_size(x) / c;
  return (sets){rows, c, rows / x.dims[0], c / groups, groups};
}

static int64_t n_sets(const sets *s) { return s->rows / s->rows_a_set * s->sets_a_row; }
static int64_t set_of(const sets *s, int64_t row, int64_t c) {
  return row / s->rows_a_set * s->sets_a_row + c / s->channels_a_set;
}

/* Mean and biased variance of set k of x (rows,C). In double: a set of batch norm may hold 10^6 values, and the
 * variance is a difference of what may be large numbers. */
static void set_statistics(const sets *s, const real *x, int64_t k, double *mean, double *var) {
  int64_t row0 = k / s->sets_a_row * s->rows_a_set, c0 = k % s->sets_a_row * s->channels_a_set;
  double count = (double)(s->rows_a_set * s->channels_a_set), sum = 0, squares = 0;
  for (int64_t row = row0; row < row0 + s->rows_a_set; row++)
    for (int64_t c = c0; c < c0 + s->channels_a_set; c++) sum += (double)x[row * s->c + c];
  *mean = sum / count;
  for (int64_t row = row0; row < row0 + s->rows_a_set; row++)
    for (int64_t c = c0; c < c0 + s->channels_a_set; c++) {
      double d = (double)x[row * s->c + c] - *mean;
      squares += d * d;
    }
  *var = squares / count;
}

/* y = (x - mean) inv_std gamma + beta, with call's in: x, gamma, beta and out: y, mean, inv_std */
static void normalise(const mynah__call *call, const sets *s) {
  const real *x = call->in[0];                              /* (rows,C) */
  const real *gamma = call->in[1], *beta = call->in[2];     /* (C) or NULL */
  const real *mean = call->out[1], *inv_std = call->out[2]; /* (sets) */
  real *y = call->out[0];                                   /* (rows,C) */
  for (int64_t row = 0; row < s->rows; row++)
    for (int64_t c = 0; c < s->c; c++) {
      int64_t i = row * s->c + c, k = set_of(s, row, c);
      real v = (x[i] - mean[k]) * inv_std[k];
      if (gamma) v *= gamma[c];
      y[i] = beta ? v + beta[c] : v;
    }
}

/* Statistics of every set from the data, then normalise. variance (sets) or NULL. */
static void normalise_by_data(const mynah__call *call, const sets *s, real *variance) {
  real *mean = call->out[1], *inv_std = call->out[2]; /* (sets) */
  for (int64_t k = 0; k < n_sets(s); k++) {
    double m, var;
    set_statistics(s, call->in[0], k, &m, &var);
    mean[k] = (real)m;
    inv_std[k] = (real)(1 / sqrt(var + call->step->a.f[0]));
    if (variance) variance[k] = (real)var;
  }
  normalise(call, s);
}

/* dgamma_c = sum over rows of dy xhat, dbeta_c = sum over rows of dy, xhat = (x - mean) inv_std; in double, as above */
static void channel_slopes(const mynah__call *call, const sets *s) {
  const real *x = call->in[0], *dy = call->in[1];         /* (rows,C) */
  const real *mean = call->in[2], *inv_std = call->in[3]; /* (sets) */
  real *dgamma = call->out[1], *dbeta = call->out[2];     /* (C) */
  for (int64_t c = 0; c < s->c; c++) {
    double sum = 0, sum_xhat = 0;
    for (int64_t row = 0; row < s->rows; row++) {
      int64_t i = row * s->c + c, k = set_of(s, row, c);
      sum += (double)dy[i];
      sum_xhat += (double)dy[i] * (double)((x[i] - mean[k]) * inv_std[k]);
    }
    dgamma[c] = (real)sum_xhat;
    dbeta[c] = (real)sum;
  }
}

/* dx = inv_std (g - mean(g) - xhat mean(g xhat)), g = dy gamma, means over x's set: the derivative of normalise with
 * mean and inv_std as functions of x. When they are constants: dx = inv_std g. */
static void norm_slopes(const mynah__call *call, const sets *s, bool is_constant) {
  const real *x = call->in[0], *dy = call->in[1];         /* (rows,C) */
  const real *mean = call->in[2], *inv_std = call->in[3]; /* (sets) */
  const real *gamma = call->in[4];                        /* (C) or NULL */
  real *dx = call->out[0];                                /* (rows,C) */
  double count = (double)(s->rows_a_set * s->channels_a_set);
  for (int64_t k = 0; k < n_sets(s); k++) {
    int64_t row0 = k / s->sets_a_row * s->rows_a_set, c0 = k % s->sets_a_row * s->channels_a_set;
    double sum = 0, sum_xhat = 0;
    for (int64_t row = row0; row < row0 + s->rows_a_set && !is_constant; row++)
      for (int64_t c = c0; c < c0 + s->channels_a_set; c++) {
        int64_t i = row * s->c + c;
        double g = (double)dy[i] * (gamma ? (double)gamma[c] : 1);
        sum += g;
        sum_xhat += g * (double)((x[i] - mean[k]) * inv_std[k]);
      }
    real mean_g = (real)(sum / count), mean_g_xhat = (real)(sum_xhat / count);
    for (int64_t row = row0; row < row0 + s->rows_a_set; row++)
      for (int64_t c = c0; c < c0 + s->channels_a_set; c++) {
        int64_t i = row * s->c + c;
        real g = gamma ? dy[i] * gamma[c] : dy[i], xhat = (x[i] - mean[k]) * inv_std[k];
        dx[i] = inv_std[k] * (g - mean_g - xhat * mean_g_xhat);
      }
  }
  channel_slopes(call, s);
}

static void run_layer_norm(const mynah__call *call) {
  sets s = sets_by_row(call->step->in[0].shape);
  normalise_by_data(call, &s, NULL);
}
MYNAH__REF_KERNEL(layer_norm);

static void run_layer_norm_grad(const mynah__call *call) {
  sets s = sets_by_row(call->step->in[0].shape);
  norm_slopes(call, &s, false);
}
MYNAH__REF_KERNEL(layer_norm_grad);

static void run_group_norm(const mynah__call *call) {
  sets s = sets_by_group(call->step->in[0].shape, call->step->a.i[0]);
  normalise_by_data(call, &s, NULL);
}
MYNAH__REF_KERNEL(group_norm);

static void run_group_norm_grad(const mynah__call *call) {
  sets s = sets_by_group(call->step->in[0].shape, call->step->a.i[0]);
  norm_slopes(call, &s, false);
}
MYNAH__REF_KERNEL(group_norm_grad);

/* Training: statistics of this batch. Otherwise, or when frozen: the running ones. */
static void run_batch_norm(const mynah__call *call) {
  sets s = sets_by_channel(call->step->in[0].shape);
  real *variance = call->out[3]; /* (C), biased */
  if (call->step->is_training && !call->step->a.i[0]) {
    normalise_by_data(call, &s, variance);
    return;
  }
  const real *running_mean = call->in[3], *running_var = call->in[4]; /* (C) */
  real *mean = call->out[1], *inv_std = call->out[2];                 /* (C) */
  for (int64_t c = 0; c < s.c; c++) {
    mean[c] = running_mean[c];
    variance[c] = running_var[c];
    inv_std[c] = (real)(1 / sqrt((double)running_var[c] + call->step->a.f[0]));
  }
  normalise(call, &s);
}
MYNAH__REF_KERNEL(batch_norm);

static void run_batch_norm_grad(const mynah__call *call) {
  sets s = sets_by_channel(call->step->in[0].shape);
  norm_slopes(call, &s, call->step->a.i[0] != 0);
}
MYNAH__REF_KERNEL(batch_norm_grad);
