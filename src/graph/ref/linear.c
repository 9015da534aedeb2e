/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference linear layers and matrix products. */
#include "ref.h"

/* y_r,o = post(b_o + sum_i x_r,i w_o,i + residual_r,o) */
static void run_linear(const mynah__call *call) {
  const mynah__step *step = call->step;
  int64_t n_out = step->in[1].shape.dims[0], n_in = step->in[1].shape.dims[1];
  int64_t rows = mynah_shape_size(step->out[0].shape) / n_out;
  const real *x = call->in[0];                                                  /* (rows,n_in) */
  const real *w = call->in[1];                                                  /* (n_out,n_in) */
  const real *b = call->in[2];                                                  /* (n_out) or NULL */
  const real *residual = step->residual >= 0 ? call->in[step->residual] : NULL; /* (rows,n_out) */
  real *y = call->out[0];                                                       /* (rows,n_out) */
  for (int64_t r = 0; r < rows; r++)
    for (int64_t o = 0; o < n_out; o++) {
      real sum = b ? b[o] : 0;
      for (int64_t i = 0; i < n_in; i++)
        sum += mynah__ref_operand(step, x[r * n_in + i]) * mynah__ref_operand(step, w[o * n_in + i]);
      y[r * n_out + o] = mynah__ref_post(step, residual ? sum + residual[r * n_out + o] : sum);
    }
}
const mynah__kernel MYNAH__REF(linear) = {
    .name = "ref:linear", .is_rt = true, .takes_post = true, .accepts = mynah__ref_accepts, .run = run_linear};

/* dx_r,i = sum_o dy_r,o w_o,i */
static void run_linear_grad_x(const mynah__call *call) {
  const mynah__step *step = call->step;
  int64_t n_out = step->in[1].shape.dims[0], n_in = step->in[1].shape.dims[1];
  int64_t rows = mynah_shape_size(step->in[0].shape) / n_out;
  const real *dy = call->in[0]; /* (rows,n_out) */
  const real *w = call->in[1];  /* (n_out,n_in) */
  real *dx = call->out[0];      /* (rows,n_in) */
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < n_in; i++) {
      real sum = 0;
      for (int64_t o = 0; o < n_out; o++)
        sum += mynah__ref_operand(step, dy[r * n_out + o]) * mynah__ref_operand(step, w[o * n_in + i]);
      dx[r * n_in + i] = sum;
    }
}
MYNAH__REF_KERNEL(linear_grad_x);

/* dw_o,i = sum_r dy_r,o x_r,i ; db_o = sum_r dy_r,o */
static void run_linear_grad_w(const mynah__call *call) {
  const mynah__step *step = call->step;
  int64_t n_out = step->out[0].shape.dims[0], n_in = step->out[0].shape.dims[1];
  int64_t rows = mynah_shape_size(step->in[0].shape) / n_in;
  const real *x = call->in[0];  /* (rows,n_in) */
  const real *dy = call->in[1]; /* (rows,n_out) */
  real *dw = call->out[0];      /* (n_out,n_in) */
  real *db = call->out[1];      /* (n_out) or NULL */
  for (int64_t o = 0; o < n_out; o++) {
    for (int64_t i = 0; i < n_in; i++) {
      real sum = 0;
      for (int64_t r = 0; r < rows; r++)
        sum += mynah__ref_operand(step, dy[r * n_out + o]) * mynah__ref_operand(step, x[r * n_in + i]);
      dw[o * n_in + i] = sum;
    }
    real sum = 0;
    for (int64_t r = 0; r < rows; r++) sum += dy[r * n_out + o];
    if (db) db[o] = sum;
  }
}
MYNAH__REF_KERNEL(linear_grad_w);

/* y_t,m,n = sum_k A_t,m,k B_t,k,n, A and B being a and b or their transposes; b may be one for all t */
static void run_matmul(const mynah__call *call) {
  const mynah__step *step = call->step;
  mynah_shape as = step->in[0].shape, bs = step->in[1].shape, ys = step->out[0].shape;
  bool ta = step->a.i[0], tb = step->a.i[1];
  int64_t m = ys.dims[ys.n_dims - 2], n = ys.dims[ys.n_dims - 1], k = as.dims[as.n_dims - 1 - (ta ? 1 : 0)];
  int64_t batch = mynah_shape_size(ys) / (m * n), b_step = mynah_shape_size(bs) > k * n ? k * n : 0;
  const real *a = call->in[0]; /* (batch,m,k) or (batch,k,m) */
  const real *b = call->in[1]; /* (batch,k,n) or (batch,n,k), or one of them */
  real *y = call->out[0];      /* (batch,m,n) */
  for (int64_t t = 0; t < batch; t++, a += m * k, b += b_step, y += m * n)
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) {
        real sum = 0;
        for (int64_t l = 0; l < k; l++)
          sum += mynah__ref_operand(step, a[ta ? l * m + i : i * k + l]) *
                 mynah__ref_operand(step, b[tb ? j * k + l : l * n + j]);
        y[i * n + j] = sum;
      }
}
MYNAH__REF_KERNEL(matmul);
