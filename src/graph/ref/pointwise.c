/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference pointwise ops. */
#include "ref.h"

#include <math.h>

/* ---- functions of one number ------------------------------------------------------------------------------------- */

static void run_unary(const mynah__call *call) {
  const mynah__unary *u = mynah__unary_find(call->step->a.text);
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  const real *x = call->in[0]; /* (n) */
  real *y = call->out[0];      /* (n) */
  for (int64_t i = 0; i < n; i++) y[i] = (real)u->f((double)x[i], call->step->a.f);
}
MYNAH__REF_KERNEL(unary);

/* dx = dy f'(x), or of y = f(x) where that suffices */
static void run_unary_grad(const mynah__call *call) {
  const mynah__unary *u = mynah__unary_find(call->step->a.text);
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  const real *kept = call->in[0], *dy = call->in[1]; /* (n) */
  real *dx = call->out[0];                           /* (n) */
  for (int64_t i = 0; i < n; i++) {
    double x = (double)kept[i], y = u->is_from_output ? x : u->f(x, call->step->a.f);
    dx[i] = dy[i] * (real)u->derivative(u->is_from_output ? (double)NAN : x, y, call->step->a.f);
  }
}
MYNAH__REF_KERNEL(unary_grad);

/* ---- two operands ------------------------------------------------------------------------------------------------ */

/* Distance in elements between neighbours of x along each axis of y; 0 where x is stretched. */
static void strides(mynah_shape x, mynah_shape y, int64_t stride[MYNAH_MAX_DIMS]) {
  int64_t step = 1;
  for (int i = y.n_dims - 1, k = x.n_dims - 1; i >= 0; i--, k--) {
    stride[i] = k >= 0 && x.dims[k] != 1 ? step : 0;
    if (k >= 0) step *= x.dims[k];
  }
}

typedef real (*binary_fn)(real a, real b);

static void run_binary(const mynah__call *call, binary_fn f) {
  mynah_shape ys = call->step->out[0].shape;
  int64_t sa[MYNAH_MAX_DIMS], sb[MYNAH_MAX_DIMS], n = mynah_shape_size(ys);
  const real *a = call->in[0], *b = call->in[1];
  real *y = call->out[0]; /* (n) */
  strides(call->step->in[0].shape, ys, sa);
  strides(call->step->in[1].shape, ys, sb);
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i, ia = 0, ib = 0;
    for (int d = ys.n_dims - 1; d >= 0; d--) {
      ia += rest % ys.dims[d] * sa[d];
      ib += rest % ys.dims[d] * sb[d];
      rest /= ys.dims[d];
    }
    y[i] = f(a[ia], b[ib]);
  }
}

static real sum_of(real a, real b) { return a + b; }
static real difference_of(real a, real b) { return a - b; }
static real product_of(real a, real b) { return a * b; }
static real quotient_of(real a, real b) { return a / b; }
static void run_add(const mynah__call *call) { run_binary(call, sum_of); }
static void run_sub(const mynah__call *call) { run_binary(call, difference_of); }
static void run_mul(const mynah__call *call) { run_binary(call, product_of); }
static void run_div(const mynah__call *call) { run_binary(call, quotient_of); }
MYNAH__REF_KERNEL(add);
MYNAH__REF_KERNEL(sub);
MYNAH__REF_KERNEL(mul);
MYNAH__REF_KERNEL(div);

/* ---- affine, clamp, pictures ------------------------------------------------------------------------------------- */

/* y = scale x + shift */
static void run_affine(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  real scale = (real)call->step->a.f[0], shift = (real)call->step->a.f[1];
  const real *x = call->in[0]; /* (n) */
  real *y = call->out[0];      /* (n) */
  for (int64_t i = 0; i < n; i++) y[i] = scale * x[i] + shift;
}
MYNAH__REF_KERNEL(affine);

static void run_clamp(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  real low = (real)call->step->a.f[0], high = (real)call->step->a.f[1];
  const real *x = call->in[0]; /* (n) */
  real *y = call->out[0];      /* (n) */
  for (int64_t i = 0; i < n; i++) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
MYNAH__REF_KERNEL(clamp);

static void run_clamp_grad(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  real low = (real)call->step->a.f[0], high = (real)call->step->a.f[1];
  const real *x = call->in[0], *dy = call->in[1]; /* (n) */
  real *dx = call->out[0];                        /* (n) */
  for (int64_t i = 0; i < n; i++) dx[i] = x[i] < low || x[i] > high ? 0 : dy[i];
}
MYNAH__REF_KERNEL(clamp_grad);

/* y_c = scale_c x_c + shift_c */
static void run_from_u8(const mynah__call *call) {
  mynah_shape s = call->step->out[0].shape;
  int64_t n = mynah_shape_size(s), channels = s.dims[s.n_dims - 1], n_scales = call->step->a.i[0];
  const float *scale = call->step->a.array, *shift = scale + n_scales; /* (n_scales) */
  const uint8_t *x = call->in[0];                                      /* (…,channels) */
  real *y = call->out[0];                                              /* (…,channels) */
  for (int64_t i = 0; i < n; i++) {
    int64_t c = n_scales == 1 ? 0 : i % channels;
    y[i] = (real)scale[c] * (real)x[i] + (real)shift[c];
  }
}
MYNAH__REF_KERNEL(from_u8);

/* ---- random ------------------------------------------------------------------------------------------------------ */

/* y = x mask. Element i takes the i-th 32-bit draw u of its stream and is dropped when u < probability 2^32. */
static void run_dropout(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  double probability = call->step->a.f[0];
  uint64_t threshold = (uint64_t)(probability * 4294967296.0);
  real keep = (real)(1 / (1 - probability));
  const real *x = call->in[0];                  /* (n) */
  real *y = call->out[0], *mask = call->out[1]; /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  for (int64_t i = 0; i < n; i++) {
    mask[i] = mynah_rng_u32(&r) < threshold ? 0 : keep;
    y[i] = x[i] * mask[i];
  }
}
MYNAH__REF_KERNEL(dropout);

/* y = x + sigma N(0,1), drawn in pieces as float in both precisions */
static void run_gaussian_noise(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  real sigma = (real)call->step->a.f[0];
  const real *x = call->in[0]; /* (n) */
  real *y = call->out[0];      /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  float noise[256];
  for (int64_t i = 0; i < n; i += 256) {
    int64_t piece = n - i < 256 ? n - i : 256;
    mynah_rng_fill_normal(&r, noise, (size_t)piece);
    for (int64_t k = 0; k < piece; k++) y[i + k] = x[i + k] + sigma * (real)noise[k];
  }
}
MYNAH__REF_KERNEL(gaussian_noise);
