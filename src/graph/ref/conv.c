/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference convolution, its data gradient and its weight gradient. */
#include "ref.h"

/* Sizes of one convolution; see ops/conv.c for the attributes. */
typedef struct conv {
  int64_t batch, h, w, c;    /* x (batch,h,w,c) */
  int64_t out_h, out_w, o;   /* y (batch,out_h,out_w,o) */
  int64_t kh, kw, per_group; /* w (o,per_group,kh,kw), per_group = c / groups */
  int64_t stride[2], dilation[2], top, left;
  int64_t o_per_group;
  const mynah__step *step;
} conv;

static conv conv_of(const mynah__step *step, const int64_t *x, const int64_t *w, const int64_t *y) {
  const int64_t *i = step->a.i;
  return (conv){.batch = x[0],
                .h = x[1],
                .w = x[2],
                .c = x[3],
                .out_h = y[1],
                .out_w = y[2],
                .o = y[3],
                .kh = w[2],
                .kw = w[3],
                .per_group = w[1],
                .stride = {i[0], i[1]},
                .dilation = {i[2], i[3]},
                .top = i[4],
                .left = i[5],
                .o_per_group = y[3] / i[8],
                .step = step};
}

/* The input row (axis 0) or column (axis 1) that output position `out` sees through kernel position k. */
static int64_t in_row(const conv *v, int64_t out, int64_t k) {
  return out * v->stride[0] + k * v->dilation[0] - v->top;
}
static int64_t in_col(const conv *v, int64_t out, int64_t k) {
  return out * v->stride[1] + k * v->dilation[1] - v->left;
}

/* Sum over the window of one output element: x (h,w,c) of one sample, w (per_group,kh,kw) of one filter, whose group
 * begins at channel c0. */
static real window_sum(const conv *v, const real *x, const real *w, int64_t oh, int64_t ow, int64_t c0) {
  real sum = 0;
  for (int64_t kh = 0; kh < v->kh; kh++)
    for (int64_t kw = 0; kw < v->kw; kw++) {
      int64_t ih = in_row(v, oh, kh), iw = in_col(v, ow, kw);
      if (ih < 0 || ih >= v->h || iw < 0 || iw >= v->w) continue; /* padding is zero */
      for (int64_t c = 0; c < v->per_group; c++)
        sum += mynah__ref_operand(v->step, x[(ih * v->w + iw) * v->c + c0 + c]) *
               mynah__ref_operand(v->step, w[(c * v->kh + kh) * v->kw + kw]);
    }
  return sum;
}

/* y[b,oh,ow,o] = bias[o] + sum_{kh,kw,c} x[b, oh s - p + kh d, ow s - p + kw d, c] w[o,c,kh,kw]   (torch.nn.Conv2d),
 * then the fused residual and function. */
static void run_conv2d(const mynah__call *call) {
  const mynah__step *step = call->step;
  conv v = conv_of(step, step->in[0].shape.dims, step->in[1].shape.dims, step->out[0].shape.dims);
  const real *x = call->in[0];                                                  /* (batch,h,w,c) */
  const real *w = call->in[1];                                                  /* (o,per_group,kh,kw) */
  const real *bias = call->in[2];                                               /* (o) or NULL */
  const real *residual = step->residual >= 0 ? call->in[step->residual] : NULL; /* as y, or NULL */
  real *y = call->out[0];                                                       /* (batch,out_h,out_w,o) */
  for (int64_t b = 0; b < v.batch; b++)
    for (int64_t oh = 0; oh < v.out_h; oh++)
      for (int64_t ow = 0; ow < v.out_w; ow++)
        for (int64_t o = 0; o < v.o; o++) {
          int64_t i = ((b * v.out_h + oh) * v.out_w + ow) * v.o + o;
          real sum = window_sum(&v, x + b * v.h * v.w * v.c, w + o * v.per_group * v.kh * v.kw, oh, ow,
                                o / v.o_per_group * v.per_group);
          if (bias) sum += bias[o];
          if (residual) sum += residual[i];
          y[i] = step->post ? (real)step->post->f((double)sum, step->post_parameters) : sum;
        }
}
const mynah__kernel MYNAH__REF(conv2d) = {
    .name = "ref:conv2d", .is_rt = true, .takes_post = true, .accepts = mynah__ref_accepts, .run = run_conv2d};

/* dx[b,ih,iw,c] = sum over all outputs that saw it: dy[b,oh,ow,o] w[o,c,kh,kw]; written by scattering each dy. */
static void run_conv2d_grad_x(const mynah__call *call) {
  const mynah__step *step = call->step;
  conv v = conv_of(step, step->out[0].shape.dims, step->in[1].shape.dims, step->in[0].shape.dims);
  const real *dy = call->in[0]; /* (batch,out_h,out_w,o) */
  const real *w = call->in[1];  /* (o,per_group,kh,kw) */
  real *dx = call->out[0];      /* (batch,h,w,c) */
  for (int64_t i = 0; i < v.batch * v.h * v.w * v.c; i++) dx[i] = 0;
  for (int64_t b = 0; b < v.batch; b++)
    for (int64_t oh = 0; oh < v.out_h; oh++)
      for (int64_t ow = 0; ow < v.out_w; ow++)
        for (int64_t kh = 0; kh < v.kh; kh++)
          for (int64_t kw = 0; kw < v.kw; kw++) {
            int64_t ih = in_row(&v, oh, kh), iw = in_col(&v, ow, kw);
            if (ih < 0 || ih >= v.h || iw < 0 || iw >= v.w) continue;
            real *pixel = dx + ((b * v.h + ih) * v.w + iw) * v.c;               /* (c) */
            const real *slope = dy + ((b * v.out_h + oh) * v.out_w + ow) * v.o; /* (o) */
            for (int64_t o = 0; o < v.o; o++)
              for (int64_t c = 0; c < v.per_group; c++)
                pixel[o / v.o_per_group * v.per_group + c] +=
                    mynah__ref_operand(step, slope[o]) *
                    mynah__ref_operand(step, w[((o * v.per_group + c) * v.kh + kh) * v.kw + kw]);
          }
}
MYNAH__REF_KERNEL(conv2d_grad_x);

/* Sum over batch and output positions of dy[b,oh,ow,o] x[b,ih,iw,ch]. In double: a batch of pictures has 10^5 … 10^6
 * terms of both signs, and this is the value that others are compared with. */
static double filter_slope(const conv *v, const real *x, const real *dy, const int64_t at[4]) {
  double sum = 0;
  int64_t o = at[0], ch = o / v->o_per_group * v->per_group + at[1];
  for (int64_t b = 0; b < v->batch; b++)
    for (int64_t oh = 0; oh < v->out_h; oh++)
      for (int64_t ow = 0; ow < v->out_w; ow++) {
        int64_t ih = in_row(v, oh, at[2]), iw = in_col(v, ow, at[3]);
        if (ih < 0 || ih >= v->h || iw < 0 || iw >= v->w) continue;
        sum += (double)mynah__ref_operand(v->step, dy[((b * v->out_h + oh) * v->out_w + ow) * v->o + o]) *
               (double)mynah__ref_operand(v->step, x[((b * v->h + ih) * v->w + iw) * v->c + ch]);
      }
  return sum;
}

/* dw[o,c,kh,kw] = sum_{b,oh,ow} dy[b,oh,ow,o] x[b,ih,iw,c] ; db[o] = sum_{b,oh,ow} dy[b,oh,ow,o] */
static void run_conv2d_grad_w(const mynah__call *call) {
  const mynah__step *step = call->step;
  conv v = conv_of(step, step->in[0].shape.dims, step->out[0].shape.dims, step->in[1].shape.dims);
  const real *x = call->in[0];                      /* (batch,h,w,c) */
  const real *dy = call->in[1];                     /* (batch,out_h,out_w,o) */
  real *dw = call->out[0];                          /* (o,per_group,kh,kw) */
  real *db = step->n_out > 1 ? call->out[1] : NULL; /* (o) or NULL */
  for (int64_t o = 0; o < v.o; o++)
    for (int64_t c = 0; c < v.per_group; c++)
      for (int64_t kh = 0; kh < v.kh; kh++)
        for (int64_t kw = 0; kw < v.kw; kw++)
          dw[((o * v.per_group + c) * v.kh + kh) * v.kw + kw] =
              (real)filter_slope(&v, x, dy, (int64_t[]){o, c, kh, kw});
  for (int64_t o = 0; db && o < v.o; o++) {
    double sum = 0;
    for (int64_t i = 0; i < v.batch * v.out_h * v.out_w; i++) sum += (double)dy[i * v.o + o];
    db[o] = (real)sum;
  }
}
MYNAH__REF_KERNEL(conv2d_grad_w);
