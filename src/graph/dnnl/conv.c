/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolutions and their gradients by oneDNN: activations NHWC, weights in the layout it asks for, packed once a step.
 * They take what the tiles of fast/ do not: groups and dilation. */
#include "engine.h"

/* oneDNN speaks of (N,C,H,W) whatever lies in memory. */
typedef struct conv {
  int64_t x[4], y[4];
  int64_t w[5], w_stride[5]; /* (G,O/G,C/G,KH,KW), or without G */
  int n_w;
  int64_t o;
  dnnl_dims_t stride, dilation, before, after; /* of rows and columns */
} conv;

static void to_nchw(const int64_t *nhwc, int64_t *nchw) {
  nchw[0] = nhwc[0], nchw[1] = nhwc[3], nchw[2] = nhwc[1], nchw[3] = nhwc[2];
}

static conv conv_of(const mynah__attributes *a, const int64_t *x, const int64_t *w, const int64_t *y) {
  conv v = {.o = w[0]};
  int64_t groups = a->i[8], size = 1;
  to_nchw(x, v.x);
  to_nchw(y, v.y);
  int64_t dims[5] = {groups, w[0] / groups, w[1], w[2], w[3]};
  v.n_w = groups > 1 ? 5 : 4;
  for (int i = v.n_w - 1; i >= 0; i--) {
    v.w[i] = dims[i + 5 - v.n_w];
    v.w_stride[i] = size;
    size *= v.w[i];
  }
  for (int k = 0; k < 2; k++) {
    v.stride[k] = a->i[k];
    v.dilation[k] = a->i[2 + k] - 1; /* here 0 means none */
    v.before[k] = a->i[4 + k];
    v.after[k] = a->i[6 + k];
  }
  return v;
}

typedef struct layouts {
  dnnl_memory_desc_t x, w, y, bias;
} layouts;

static mynah_status nhwc(dnnl_memory_desc_t *md, dnnl_data_type_t type, const int64_t d[4]) {
  return mynah__dnnl_strided(md, type, 4, d, (int64_t[]){d[1] * d[2] * d[3], 1, d[3] * d[1], d[1]});
}

/* Of x, w and y the one that is `result` is made of floats, the others as the step's precision says. */
static mynah_status layouts_of(const mynah__step *step, const conv *v, char result, layouts *l) {
  dnnl_data_type_t type = mynah__dnnl_type(step);
  MYNAH_TRY(nhwc(&l->x, result == 'x' ? dnnl_f32 : type, v->x));
  MYNAH_TRY(nhwc(&l->y, result == 'y' ? dnnl_f32 : type, v->y));
  MYNAH_TRY(mynah__dnnl_any(&l->w, result == 'w' ? dnnl_f32 : type, v->n_w, v->w));
  return mynah__dnnl_strided(&l->bias, dnnl_f32, 1, &v->o, (int64_t[]){1});
}

static mynah_status forward_op(const conv *v, const layouts *l, bool is_training, bool is_biased,
                               dnnl_convolution_desc_t *op) {
  DNNL_TRY(dnnl_dilated_convolution_forward_desc_init(
      op, is_training ? dnnl_forward_training : dnnl_forward_inference, dnnl_convolution_direct, &l->x, &l->w,
      is_biased ? &l->bias : NULL, &l->y, v->stride, v->dilation, v->before, v->after));
  return MYNAH_OK;
}

/* A backward primitive is made from the forward one's description. */
static mynah_status describe_backward(const mynah__step *step, const conv *v, const dnnl_convolution_desc_t *op,
                                      dnnl_plan *p) {
  dnnl_convolution_desc_t forward;
  layouts l;
  MYNAH_TRY(layouts_of(step, v, 'y', &l));
  dnnl_plan *hint;
  mynah__step plain = *step;
  plain.post = NULL;
  plain.residual = -1;
  MYNAH_TRY(mynah__dnnl_plan_create(&hint));
  mynah_status status = forward_op(v, &l, true, false, &forward);
  if (status == MYNAH_OK) status = mynah__dnnl_describe(&plain, &forward, NULL, hint);
  if (status == MYNAH_OK) status = mynah__dnnl_describe(step, op, hint->description, p);
  mynah__dnnl_release(hint);
  return status;
}

/* The weights operand, and the reorder between its layout and the stored one. */
static mynah_status add_weights(dnnl_plan *p, const conv *v, bool is_gradient) {
  MYNAH_TRY(mynah__dnnl_strided(&p->stored, dnnl_f32, v->n_w, v->w, v->w_stride));
  if (is_gradient) {
    p->unpacked_operand = p->n_operands;
    mynah__dnnl_operand(p, DNNL_ARG_DIFF_WEIGHTS, DNNL_SCRATCH, 0, dnnl_query_diff_weights_md);
    return mynah__dnnl_reorder(&p->operands[p->unpacked_operand].md, &p->stored, &p->unpack);
  }
  p->packed_input = 1;
  mynah__dnnl_operand(p, DNNL_ARG_WEIGHTS, DNNL_PACKED, 0, dnnl_query_weights_md);
  return mynah__dnnl_reorder(&p->stored, &p->operands[p->n_operands - 1].md, &p->pack);
}

static void add_vector(dnnl_plan *p, int argument, dnnl_place place, int index, const dnnl_memory_desc_t *md) {
  p->operands[p->n_operands++] = (dnnl_operand){argument, place, index, 0, .md = *md};
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static bool accepts_conv2d(const mynah__step *step) {
  return mynah__dnnl_computes(step) && step->is_weight[1] && mynah__dnnl_knows_post(step);
}

static mynah_status fill_conv2d(const mynah__step *step, dnnl_plan *p) {
  conv v = conv_of(&step->a, step->in[0].shape.dims, step->in[1].shape.dims, step->out[0].shape.dims);
  bool is_biased = step->n_in > 2 && step->in[2].shape.n_dims > 0;
  layouts l;
  dnnl_convolution_desc_t op;
  MYNAH_TRY(layouts_of(step, &v, 'y', &l));
  MYNAH_TRY(forward_op(&v, &l, step->is_training, is_biased, &op));
  MYNAH_TRY(mynah__dnnl_describe(step, &op, NULL, p));
  mynah__dnnl_operand(p, DNNL_ARG_SRC, DNNL_IN, 0, dnnl_query_src_md);
  mynah__dnnl_operand(p, DNNL_ARG_DST, DNNL_OUT, 0, dnnl_query_dst_md);
  if (is_biased) add_vector(p, DNNL_ARG_BIAS, DNNL_IN, 2, &l.bias);
  return add_weights(p, &v, false);
}

static mynah_status prepare_conv2d(const mynah__step *step, mynah__plan *plan) {
  dnnl_plan *p;
  MYNAH_TRY(mynah__dnnl_plan_create(&p));
  return mynah__dnnl_finish(fill_conv2d(step, p), p, plan);
}
DNNL_KERNEL(conv2d);

/* ---- gradients --------------------------------------------------------------------------------------------------- */

static bool accepts_conv2d_grad_x(const mynah__step *step) {
  return mynah__dnnl_computes(step) && step->is_weight[1] && !step->post && step->residual < 0;
}

/* oneDNN 2.6's jit_bf16_1x1 adds values in pairs and, when the output channels of a group are odd in number, takes the
 * last one's partner from the next pixel. */
static bool has_lone_channel(const mynah__step *step, const conv *v) {
  int64_t channels = v->w[v->n_w - 4], window = v->w[v->n_w - 2] * v->w[v->n_w - 1];
  return step->precision == MYNAH_BF16 && window == 1 && channels % 2 == 1;
}

static mynah_status fill_conv2d_grad_x(const mynah__step *step, dnnl_plan *p) {
  conv v = conv_of(&step->a, step->out[0].shape.dims, step->in[1].shape.dims, step->in[0].shape.dims);
  if (has_lone_channel(step, &v)) return mynah_fail(MYNAH_UNSUPPORTED, "dnnl: 1x1 in bf16 with an odd number of output channels");
  layouts l;
  dnnl_convolution_desc_t op;
  MYNAH_TRY(layouts_of(step, &v, 'x', &l));
  DNNL_TRY(dnnl_dilated_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, &l.x, &l.w, &l.y, v.stride,
                                                            v.dilation, v.before, v.after));
  MYNAH_TRY(describe_backward(step, &v, &op, p));
  mynah__dnnl_operand(p, DNNL_ARG_DIFF_DST, DNNL_IN, 0, dnnl_query_diff_dst_md);
  mynah__dnnl_operand(p, DNNL_ARG_DIFF_SRC, DNNL_OUT, 0, dnnl_query_diff_src_md);
  return add_weights(p, &v, false);
}

static mynah_status prepare_conv2d_grad_x(const mynah__step *step, mynah__plan *plan) {
  dnnl_plan *p;
  MYNAH_TRY(mynah__dnnl_plan_create(&p));
  return mynah__dnnl_finish(fill_conv2d_grad_x(step, p), p, plan);
}
DNNL_KERNEL(conv2d_grad_x);

static bool accepts_conv2d_grad_w(const mynah__step *step) { return mynah__dnnl_computes(step) && !step->post && step->residual < 0; }

static mynah_status fill_conv2d_grad_w(const mynah__step *step, dnnl_plan *p) {
  conv v = conv_of(&step->a, step->in[0].shape.dims, step->out[0].shape.dims, step->in[1].shape.dims);
  /* The sum of gradients is of floats that are not rounded. */
  bool is_biased = step->n_out > 1 && step->precision == MYNAH_F32;
  layouts l;
  dnnl_convolution_desc_t op;
  MYNAH_TRY(layouts_of(step, &v, 'w', &l));
  DNNL_TRY(dnnl_dilated_convolution_backward_weights_desc_init(&op, dnnl_convolution_direct, &l.x, &l.w,
                                                               is_biased ? &l.bias : NULL, &l.y, v.stride, v.dilation,
                                                               v.before, v.after));
  MYNAH_TRY(describe_backward(step, &v, &op, p));
  mynah__dnnl_operand(p, DNNL_ARG_SRC, DNNL_IN, 0, dnnl_query_src_md);
  mynah__dnnl_operand(p, DNNL_ARG_DIFF_DST, DNNL_IN, 1, dnnl_query_diff_dst_md);
  if (is_biased) add_vector(p, DNNL_ARG_DIFF_BIAS, DNNL_OUT, 1, &l.bias);
  p->sums_columns = step->n_out > 1 && !is_biased;
  return add_weights(p, &v, true);
}

static mynah_status prepare_conv2d_grad_w(const mynah__step *step, mynah__plan *plan) {
  dnnl_plan *p;
  MYNAH_TRY(mynah__dnnl_plan_create(&p));
  return mynah__dnnl_finish(fill_conv2d_grad_w(step, p), p, plan);
}
DNNL_KERNEL(conv2d_grad_w);
