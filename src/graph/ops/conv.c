/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolution over pictures and sequences, and its transpose: shape rules, data and weight gradients.
 *
 * Attributes of conv2d, conv2d_grad_x, conv2d_grad_w:
 *   i[0..1] stride, i[2..3] dilation (rows, columns) · i[4..7] padding top, left, bottom, right · i[8] groups
 *   i[9..10] conv2d_grad_x: height and width of x; conv2d_grad_w: height and width of the kernel
 *   i[11]    conv2d_grad_w: 1 when the bias gradient is wanted too (output 1)
 * A 1-D convolution is the same op on (B,1,T,C): the reshapes around it are views. */
#include "ops.h"

#include "check.h"

/* Far beyond any real network, and small enough that the products below cannot overflow. */
#define CONV_NUMBER_MAX (1 << 20)

/* Output size along one axis: floor((n + before + after - dilation (k-1) - 1) / stride) + 1, as torch.nn.Conv2d. */
static int64_t conv_size(const mynah__attributes *a, int axis, int64_t n, int64_t kernel) {
  int64_t span = n + a->i[4 + axis] + a->i[6 + axis] - a->i[2 + axis] * (kernel - 1) - 1;
  return span < 0 ? 0 : span / a->i[axis] + 1;
}

static mynah_status conv_attributes_check(const mynah__step *step) {
  const int64_t *i = step->a.i;
  bool is_good = i[8] >= 1 && i[8] <= CONV_NUMBER_MAX;
  for (int k = 0; k < 4; k++) is_good = is_good && i[k] >= 1 && i[k] <= CONV_NUMBER_MAX;
  for (int k = 4; k < 8; k++) is_good = is_good && i[k] >= 0 && i[k] <= CONV_NUMBER_MAX;
  if (!is_good)
    return mynah_fail(MYNAH_INVALID, "%s: stride, dilation and groups must be in 1 … %d, padding in 0 … %d",
                      step->op->name, CONV_NUMBER_MAX, CONV_NUMBER_MAX);
  return MYNAH_OK;
}

/* Channels of x (C) and filters w (O,C/groups,KH,KW) fit the groups. */
static mynah_status conv_groups_check(const mynah__step *step, int64_t channels, const int64_t *w) {
  int64_t groups = step->a.i[8];
  if (channels % groups || w[0] % groups || w[1] != channels / groups)
    return mynah_fail(MYNAH_MISMATCH,
                      "%s: weight (%" PRId64 ",%" PRId64 ",…) does not fit %" PRId64 " channels in %" PRId64 " groups",
                      step->op->name, w[0], w[1], channels, groups);
  return MYNAH_OK;
}

/* in: x (B,H,W,C) w (O,C/groups,KH,KW) b (O) or none; out: y (B,H',W',O) */
static mynah_status conv2d_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(conv_attributes_check(step));
  mynah_shape x = step->in[0].shape, w = step->in[1].shape;
  if (x.n_dims != 4 || w.n_dims != 4)
    return mynah_fail(MYNAH_MISMATCH, "conv2d: takes x (B,H,W,C) and w (O,C/groups,KH,KW), not %d and %d dimensions",
                      x.n_dims, w.n_dims);
  MYNAH_TRY(conv_groups_check(step, x.dims[3], w.dims));
  MYNAH_TRY(mynah__check_vector(step, 2, w.dims[0], "bias"));
  int64_t h = conv_size(&step->a, 0, x.dims[1], w.dims[2]), v = conv_size(&step->a, 1, x.dims[2], w.dims[3]);
  if (h < 1 || v < 1)
    return mynah_fail(MYNAH_MISMATCH,
                      "conv2d: a %" PRId64 "x%" PRId64 " kernel does not fit the padded %" PRId64 "x%" PRId64 " input",
                      w.dims[2], w.dims[3], x.dims[1], x.dims[2]);
  mynah__set_output(step, 0, MYNAH_SHAPE(x.dims[0], h, v, w.dims[0]));
  return MYNAH_OK;
}

static double conv2d_flops(const mynah__step *step) {
  const int64_t *w = step->in[1].shape.dims;
  return 2.0 * (double)mynah_shape_size(step->out[0].shape) * (double)(w[1] * w[2] * w[3]);
}

static void conv2d_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_node x = mynah__node_input(g, n, 0), w = mynah__node_input(g, n, 1);
  mynah_shape xs = mynah_node_shape(g, x), ws = mynah_node_shape(g, w);
  if (needs[0]) {
    mynah__attributes a = *mynah__node_attributes(g, n);
    a.i[9] = xs.dims[1], a.i[10] = xs.dims[2];
    dx[0] = mynah__add_node(g, &mynah__op_conv2d_grad_x, &a, (mynah_node[]){dy[0], w}, 2);
  }
  if (needs[1] || needs[2]) {
    mynah__attributes a = *mynah__node_attributes(g, n);
    a.i[9] = ws.dims[2], a.i[10] = ws.dims[3], a.i[11] = needs[2];
    dx[1] = mynah__add_node(g, &mynah__op_conv2d_grad_w, &a, (mynah_node[]){x, dy[0]}, 2);
    if (needs[2]) dx[2] = mynah__node_output(g, dx[1], 1);
  }
}

static const mynah__kernel *const conv2d_kernels[] = {&mynah__winograd_conv2d, &mynah__fast_conv2d,  &mynah__fast_depthwise,
                                                      &mynah__dnnl_conv2d,     &mynah__ref32_conv2d, &mynah__ref64_conv2d,
                                                      NULL};
const mynah__op mynah__op_conv2d = {.name = "conv2d",
                                    .shape = conv2d_shape,
                                    .gradient = conv2d_gradient,
                                    .flops = conv2d_flops,
                                    .kernels = conv2d_kernels,
                                    .is_product = true};

/* in: dy (B,H',W',O) w (O,C/groups,KH,KW); out: dx (B,H,W,C) */
static mynah_status conv2d_grad_x_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(conv_attributes_check(step));
  mynah_shape dy = step->in[0].shape, w = step->in[1].shape;
  int64_t height = step->a.i[9], width = step->a.i[10];
  if (dy.n_dims != 4 || w.n_dims != 4 || height < 1 || width < 1 || dy.dims[3] != w.dims[0] ||
      conv_size(&step->a, 0, height, w.dims[2]) != dy.dims[1] || conv_size(&step->a, 1, width, w.dims[3]) != dy.dims[2])
    return mynah_fail(MYNAH_MISMATCH, "conv2d_grad_x: dy and w do not fit the convolution");
  mynah__set_output(step, 0, MYNAH_SHAPE(dy.dims[0], height, width, w.dims[1] * step->a.i[8]));
  return MYNAH_OK;
}

static double conv2d_grad_x_flops(const mynah__step *step) {
  const int64_t *w = step->in[1].shape.dims;
  return 2.0 * (double)mynah_shape_size(step->in[0].shape) * (double)(w[1] * w[2] * w[3]);
}

/* As a layer of its own, the transposed convolution: what came in was dy, so the two exchange places. */
static void conv2d_grad_x_gradient(mynah_graph *g, mynah_node n, const mynah_node *dz, const bool *needs, mynah_node *dx) {
  mynah_node x = mynah__node_input(g, n, 0), w = mynah__node_input(g, n, 1);
  mynah_shape ws = mynah_node_shape(g, w);
  mynah__attributes a = *mynah__node_attributes(g, n);
  a.i[9] = a.i[10] = 0;
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_conv2d, &a, (mynah_node[]){dz[0], w, MYNAH_NO_NODE}, 3);
  a.i[9] = ws.dims[2], a.i[10] = ws.dims[3];
  if (needs[1]) dx[1] = mynah__add_node(g, &mynah__op_conv2d_grad_w, &a, (mynah_node[]){dz[0], x}, 2);
}

static const mynah__kernel *const conv2d_grad_x_kernels[] = {&mynah__winograd_conv2d_grad_x, &mynah__fast_conv2d_grad_x,  &mynah__dnnl_conv2d_grad_x,
                                                             &mynah__ref32_conv2d_grad_x,    &mynah__ref64_conv2d_grad_x, NULL};
const mynah__op mynah__op_conv2d_grad_x = {.name = "conv2d_grad_x",
                                           .shape = conv2d_grad_x_shape,
                                           .gradient = conv2d_grad_x_gradient,
                                           .flops = conv2d_grad_x_flops,
                                           .kernels = conv2d_grad_x_kernels,
                                           .is_product = true};

/* in: x (B,H,W,C) dy (B,H',W',O); out: dw (O,C/groups,KH,KW), and db (O) when i[11] */
static mynah_status conv2d_grad_w_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(conv_attributes_check(step));
  mynah_shape x = step->in[0].shape, dy = step->in[1].shape;
  int64_t kh = step->a.i[9], kw = step->a.i[10], groups = step->a.i[8];
  if (x.n_dims != 4 || dy.n_dims != 4 || kh < 1 || kw < 1 || x.dims[0] != dy.dims[0] || x.dims[3] % groups ||
      dy.dims[3] % groups || conv_size(&step->a, 0, x.dims[1], kh) != dy.dims[1] ||
      conv_size(&step->a, 1, x.dims[2], kw) != dy.dims[2])
    return mynah_fail(MYNAH_MISMATCH, "conv2d_grad_w: x and dy do not fit the convolution");
  mynah__set_output(step, 0, MYNAH_SHAPE(dy.dims[3], x.dims[3] / groups, kh, kw));
  if (step->a.i[11]) mynah__set_output(step, 1, MYNAH_SHAPE(dy.dims[3]));
  return MYNAH_OK;
}

static double conv2d_grad_w_flops(const mynah__step *step) {
  const int64_t *w = step->out[0].shape.dims;
  return 2.0 * (double)mynah_shape_size(step->in[1].shape) * (double)(w[1] * w[2] * w[3]);
}

static const mynah__kernel *const conv2d_grad_w_kernels[] = {&mynah__winograd_conv2d_grad_w, &mynah__fast_conv2d_grad_w,  &mynah__dnnl_conv2d_grad_w,
                                                             &mynah__ref32_conv2d_grad_w,    &mynah__ref64_conv2d_grad_w, NULL};
const mynah__op mynah__op_conv2d_grad_w = {.name = "conv2d_grad_w",
                                           .shape = conv2d_grad_w_shape,
                                           .flops = conv2d_grad_w_flops,
                                           .kernels = conv2d_grad_w_kernels,
                                           .is_product = true};

/* ---- builders ---------------------------------------------------------------------------------------------------- */

static mynah__attributes conv_attributes(const mynah_conv *cfg) {
  mynah__attributes a = {0};
  for (int k = 0; k < 2; k++) {
    a.i[k] = cfg->stride[k] ? cfg->stride[k] : 1;
    a.i[2 + k] = cfg->dilation[k] ? cfg->dilation[k] : 1;
  }
  for (int k = 0; k < 4; k++) a.i[4 + k] = cfg->pad[k];
  a.i[8] = cfg->groups ? cfg->groups : 1;
  return a;
}

mynah_node mynah_conv2d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg) {
  mynah__attributes a = conv_attributes(cfg ? cfg : &(mynah_conv){0});
  return mynah__add_node(g, &mynah__op_conv2d, &a, (mynah_node[]){x, w, b}, 3);
}

/* A convolution of sequences as one of pictures of one row. */
static mynah_conv row_conv(const mynah_conv *cfg) {
  mynah_conv flat = cfg ? *cfg : (mynah_conv){0};
  flat.stride[1] = flat.stride[0], flat.stride[0] = 1;
  flat.dilation[1] = flat.dilation[0], flat.dilation[0] = 1;
  flat.pad[1] = flat.pad[0], flat.pad[3] = flat.pad[2], flat.pad[0] = flat.pad[2] = 0;
  return flat;
}

mynah_node mynah_conv_transpose2d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg,
                                  const int *extra) {
  mynah__attributes a = conv_attributes(cfg ? cfg : &(mynah_conv){0});
  mynah_shape xs = mynah_node_shape(g, x), ws = mynah_node_shape(g, w);
  if (xs.n_dims != 4 || ws.n_dims != 4)
    return mynah_graph_fail(g, "conv_transpose2d: takes x (B,H,W,C) and w (C,O/groups,KH,KW), not %d and %d dimensions",
                            xs.n_dims, ws.n_dims);
  for (int k = 0; k < 2; k++)
    a.i[9 + k] = (xs.dims[1 + k] - 1) * a.i[k] - a.i[4 + k] - a.i[6 + k] + a.i[2 + k] * (ws.dims[2 + k] - 1) + 1 +
                 (extra ? extra[k] : 0);
  mynah_node y = mynah__add_node(g, &mynah__op_conv2d_grad_x, &a, (mynah_node[]){x, w}, 2);
  return mynah_node_is_null(b) ? y : mynah_add(g, y, b);
}

mynah_node mynah_conv_transpose1d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg, int extra) {
  mynah_shape xs = mynah_node_shape(g, x), ws = mynah_node_shape(g, w);
  if (xs.n_dims != 3 || ws.n_dims != 3)
    return mynah_graph_fail(g, "conv_transpose1d: takes x (B,T,C) and w (C,O/groups,K), not %d and %d dimensions", xs.n_dims,
                            ws.n_dims);
  mynah_conv flat = row_conv(cfg);
  mynah_node row = mynah_reshape(g, x, MYNAH_SHAPE(xs.dims[0], 1, xs.dims[1], xs.dims[2]));
  mynah_node filters = mynah_reshape(g, w, MYNAH_SHAPE(ws.dims[0], ws.dims[1], 1, ws.dims[2]));
  mynah_node y = mynah_conv_transpose2d(g, row, filters, b, &flat, (int[]){0, extra});
  mynah_shape ys = mynah_node_shape(g, y);
  if (ys.n_dims != 4) return MYNAH_NO_NODE;
  return mynah_reshape(g, y, MYNAH_SHAPE(ys.dims[0], ys.dims[2], ys.dims[3]));
}

mynah_node mynah_conv1d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg) {
  mynah_shape xs = mynah_node_shape(g, x), ws = mynah_node_shape(g, w);
  if (xs.n_dims != 3 || ws.n_dims != 3)
    return mynah_graph_fail(g, "conv1d: takes x (B,T,C) and w (O,C/groups,K), not %d and %d dimensions", xs.n_dims,
                            ws.n_dims);
  mynah_conv flat = row_conv(cfg);
  mynah_node row = mynah_reshape(g, x, MYNAH_SHAPE(xs.dims[0], 1, xs.dims[1], xs.dims[2]));
  mynah_node filters = mynah_reshape(g, w, MYNAH_SHAPE(ws.dims[0], ws.dims[1], 1, ws.dims[2]));
  mynah_node y = mynah_conv2d(g, row, filters, b, &flat);
  mynah_shape ys = mynah_node_shape(g, y);
  if (ys.n_dims != 4) return MYNAH_NO_NODE;
  return mynah_reshape(g, y, MYNAH_SHAPE(ys.dims[0], ys.dims[2], ys.dims[3]));
}
