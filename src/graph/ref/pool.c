/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference pooling: maximum, average, adaptive average, and their gradients. */
#include "ref.h"

#include <math.h>

typedef struct range {
  int64_t begin, end;
} range;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* The part of the input (n rows or columns) that the window of output position `out` covers. */
static range window_of(const mynah__attributes *a, int axis, int64_t out, int64_t n) {
  int64_t begin = out * a->i[2 + axis] - a->i[4 + axis];
  return (range){larger(begin, 0), smaller(begin + a->i[axis], n)};
}

/* How many elements an average divides by along one axis: those inside the input, or, counting padding, those inside
 * the padded input (a rounded-up last window may reach beyond even that). */
static int64_t divisor_of(const mynah__attributes *a, int axis, int64_t out, int64_t n) {
  range inside = window_of(a, axis, out, n);
  if (!a->i[9]) return inside.end - inside.begin;
  int64_t begin = out * a->i[2 + axis] - a->i[4 + axis];
  return smaller(begin + a->i[axis], n + a->i[6 + axis]) - begin;
}

/* Index into the sample x (h,w,c) of the first maximum in row-major order of one window; NaN counts as the maximum. */
static int64_t argmax_of(const real *x, range rows, range cols, int64_t w, int64_t c, int64_t ch) {
  int64_t best = (rows.begin * w + cols.begin) * c + ch;
  for (int64_t ih = rows.begin; ih < rows.end; ih++)
    for (int64_t iw = cols.begin; iw < cols.end; iw++) {
      int64_t i = (ih * w + iw) * c + ch;
      if (x[i] > x[best] || (isnan(x[i]) && !isnan(x[best]))) best = i;
    }
  return best;
}

/* y[b,oh,ow,c] = max over the window; padding never wins (it is -inf) */
static void run_max_pool(const mynah__call *call) {
  const mynah__attributes *a = &call->step->a;
  const int64_t *xs = call->step->in[0].shape.dims, *ys = call->step->out[0].shape.dims;
  const real *x = call->in[0]; /* (B,H,W,C) */
  real *y = call->out[0];      /* (B,H',W',C) */
  for (int64_t b = 0; b < ys[0]; b++, x += xs[1] * xs[2] * xs[3])
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++)
        for (int64_t c = 0; c < ys[3]; c++)
          *y++ = x[argmax_of(x, window_of(a, 0, oh, xs[1]), window_of(a, 1, ow, xs[2]), xs[2], xs[3], c)];
}
MYNAH__REF_KERNEL(max_pool);

/* dx of the first maximum of each window gets that window's dy */
static void run_max_pool_grad(const mynah__call *call) {
  const mynah__attributes *a = &call->step->a;
  const int64_t *xs = call->step->in[0].shape.dims, *ys = call->step->in[1].shape.dims;
  const real *x = call->in[0];  /* (B,H,W,C) */
  const real *dy = call->in[1]; /* (B,H',W',C) */
  real *dx = call->out[0];      /* (B,H,W,C) */
  int64_t sample = xs[1] * xs[2] * xs[3];
  for (int64_t i = 0; i < xs[0] * sample; i++) dx[i] = 0;
  for (int64_t b = 0; b < ys[0]; b++, x += sample, dx += sample)
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++)
        for (int64_t c = 0; c < ys[3]; c++)
          dx[argmax_of(x, window_of(a, 0, oh, xs[1]), window_of(a, 1, ow, xs[2]), xs[2], xs[3], c)] += *dy++;
}
MYNAH__REF_KERNEL(max_pool_grad);

/* y[b,oh,ow,c] = sum over the window / number of elements */
static void run_avg_pool(const mynah__call *call) {
  const mynah__attributes *a = &call->step->a;
  const int64_t *xs = call->step->in[0].shape.dims, *ys = call->step->out[0].shape.dims;
  const real *x = call->in[0]; /* (B,H,W,C) */
  real *y = call->out[0];      /* (B,H',W',C) */
  for (int64_t b = 0; b < ys[0]; b++, x += xs[1] * xs[2] * xs[3])
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++)
        for (int64_t c = 0; c < ys[3]; c++) {
          range rows = window_of(a, 0, oh, xs[1]), cols = window_of(a, 1, ow, xs[2]);
          real sum = 0;
          for (int64_t ih = rows.begin; ih < rows.end; ih++)
            for (int64_t iw = cols.begin; iw < cols.end; iw++) sum += x[(ih * xs[2] + iw) * xs[3] + c];
          *y++ = sum / (real)(divisor_of(a, 0, oh, xs[1]) * divisor_of(a, 1, ow, xs[2]));
        }
}
MYNAH__REF_KERNEL(avg_pool);

/* each element of a window gets dy / number of elements */
static void run_avg_pool_grad(const mynah__call *call) {
  const mynah__attributes *a = &call->step->a;
  const int64_t *xs = call->step->out[0].shape.dims, *ys = call->step->in[0].shape.dims;
  const real *dy = call->in[0]; /* (B,H',W',C) */
  real *dx = call->out[0];      /* (B,H,W,C) */
  int64_t sample = xs[1] * xs[2] * xs[3];
  for (int64_t i = 0; i < xs[0] * sample; i++) dx[i] = 0;
  for (int64_t b = 0; b < ys[0]; b++, dx += sample)
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++)
        for (int64_t c = 0; c < ys[3]; c++) {
          range rows = window_of(a, 0, oh, xs[1]), cols = window_of(a, 1, ow, xs[2]);
          real share = *dy++ / (real)(divisor_of(a, 0, oh, xs[1]) * divisor_of(a, 1, ow, xs[2]));
          for (int64_t ih = rows.begin; ih < rows.end; ih++)
            for (int64_t iw = cols.begin; iw < cols.end; iw++) dx[(ih * xs[2] + iw) * xs[3] + c] += share;
        }
}
MYNAH__REF_KERNEL(avg_pool_grad);

/* Bin i of o over n elements covers floor(i n / o) … ceil((i+1) n / o) - 1 (torch.nn.AdaptiveAvgPool2d); bins overlap
 * when o does not divide n. */
static range bin_of(int64_t i, int64_t n, int64_t o) { return (range){i * n / o, ((i + 1) * n + o - 1) / o}; }

static void run_adaptive_avg_pool(const mynah__call *call) {
  const int64_t *xs = call->step->in[0].shape.dims, *ys = call->step->out[0].shape.dims;
  const real *x = call->in[0]; /* (B,H,W,C) */
  real *y = call->out[0];      /* (B,H',W',C) */
  for (int64_t b = 0; b < ys[0]; b++, x += xs[1] * xs[2] * xs[3])
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++)
        for (int64_t c = 0; c < ys[3]; c++) {
          range rows = bin_of(oh, xs[1], ys[1]), cols = bin_of(ow, xs[2], ys[2]);
          real sum = 0;
          for (int64_t ih = rows.begin; ih < rows.end; ih++)
            for (int64_t iw = cols.begin; iw < cols.end; iw++) sum += x[(ih * xs[2] + iw) * xs[3] + c];
          *y++ = sum / (real)((rows.end - rows.begin) * (cols.end - cols.begin));
        }
}
MYNAH__REF_KERNEL(adaptive_avg_pool);

static void run_adaptive_avg_pool_grad(const mynah__call *call) {
  const int64_t *xs = call->step->out[0].shape.dims, *ys = call->step->in[0].shape.dims;
  const real *dy = call->in[0]; /* (B,H',W',C) */
  real *dx = call->out[0];      /* (B,H,W,C) */
  int64_t sample = xs[1] * xs[2] * xs[3];
  for (int64_t i = 0; i < xs[0] * sample; i++) dx[i] = 0;
  for (int64_t b = 0; b < ys[0]; b++, dx += sample)
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++)
        for (int64_t c = 0; c < ys[3]; c++) {
          range rows = bin_of(oh, xs[1], ys[1]), cols = bin_of(ow, xs[2], ys[2]);
          real share = *dy++ / (real)((rows.end - rows.begin) * (cols.end - cols.begin));
          for (int64_t ih = rows.begin; ih < rows.end; ih++)
            for (int64_t iw = cols.begin; iw < cols.end; iw++) dx[(ih * xs[2] + iw) * xs[3] + c] += share;
        }
}
MYNAH__REF_KERNEL(adaptive_avg_pool_grad);
