/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pooling over pictures: maximum, average, adaptive average, and their gradients.
 *
 * Attributes of max_pool, max_pool_grad, avg_pool, avg_pool_grad:
 *   i[0..1] window, i[2..3] stride (rows, columns) · i[4..7] padding top, left, bottom, right
 *   i[8] output size rounded up · i[9] average divides by the full window
 *   i[10..11] avg_pool_grad: height and width of x
 * Of adaptive_avg_pool: i[0..1] output height and width; of its gradient: i[0..1] height and width of x. */
#include "ops.h"

#include "check.h"

#define POOL_NUMBER_MAX (1 << 20)

/* Output size along one axis, as torch.nn.MaxPool2d; rounded up, the last window must still begin inside the input or
 * its leading padding. */
static int64_t pool_size(const mynah__attributes *a, int axis, int64_t n) {
  int64_t stride = a->i[2 + axis], before = a->i[4 + axis];
  int64_t span = n + before + a->i[6 + axis] - a->i[axis];
  if (span < 0) return 0;
  int64_t size = (span + (a->i[8] ? stride - 1 : 0)) / stride + 1;
  return a->i[8] && (size - 1) * stride >= n + before ? size - 1 : size;
}

static mynah_status pool_check(const mynah__step *step, int64_t height, int64_t width) {
  const int64_t *i = step->a.i;
  bool is_good = true;
  for (int k = 0; k < 4; k++) is_good = is_good && i[k] >= 1 && i[k] <= POOL_NUMBER_MAX;
  /* A window must touch the input, or a maximum would be taken of nothing: PyTorch's rule is half a window. */
  for (int k = 4; k < 8; k++) is_good = is_good && i[k] >= 0 && i[k] <= i[k & 1] / 2;
  if (!is_good)
    return mynah_fail(MYNAH_INVALID, "%s: window and stride must be in 1 … %d, padding at most half the window",
                      step->op->name, POOL_NUMBER_MAX);
  if (pool_size(&step->a, 0, height) < 1 || pool_size(&step->a, 1, width) < 1)
    return mynah_fail(MYNAH_MISMATCH, "%s: the window does not fit the padded %" PRId64 "x%" PRId64 " input",
                      step->op->name, height, width);
  return MYNAH_OK;
}

/* x (B,H,W,C) -> y (B,H',W',C) */
static mynah_status pool_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah_shape x = step->in[0].shape;
  if (x.n_dims != 4)
    return mynah_fail(MYNAH_MISMATCH, "%s: takes (B,H,W,C), not %d dimensions", step->op->name, x.n_dims);
  MYNAH_TRY(pool_check(step, x.dims[1], x.dims[2]));
  int64_t h = pool_size(&step->a, 0, x.dims[1]), w = pool_size(&step->a, 1, x.dims[2]);
  mynah__set_output(step, 0, MYNAH_SHAPE(x.dims[0], h, w, x.dims[3]));
  return MYNAH_OK;
}

static double pool_flops(const mynah__step *step) {
  return (double)mynah_shape_size(step->out[0].shape) * (double)(step->a.i[0] * step->a.i[1]);
}

static double pool_grad_flops(const mynah__step *step) {
  return (double)mynah_shape_size(step->in[step->n_in - 1].shape) * (double)(step->a.i[0] * step->a.i[1]);
}

/* ---- maximum ----------------------------------------------------------------------------------------------------- */

static void max_pool_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (!needs[0]) return;
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[2] = {mynah__node_input(g, n, 0), dy[0]};
  dx[0] = mynah__add_node(g, &mynah__op_max_pool_grad, &a, in, 2);
}

static const mynah__kernel *const max_pool_kernels[] = {&mynah__fast_max_pool, &mynah__ref32_max_pool, &mynah__ref64_max_pool, NULL};
const mynah__op mynah__op_max_pool = {.name = "max_pool",
                                      .shape = pool_shape,
                                      .gradient = max_pool_gradient,
                                      .flops = pool_flops,
                                      .kernels = max_pool_kernels};

/* in: x (B,H,W,C) dy (B,H',W',C); out: dx (B,H,W,C). Where the maxima lay is found again from x: cheaper than keeping
 * an index for each output through the whole forward pass. */
static mynah_status max_pool_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  mynah_shape x = step->in[0].shape, dy = step->in[1].shape;
  if (x.n_dims != 4 || dy.n_dims != 4 || x.dims[0] != dy.dims[0] || x.dims[3] != dy.dims[3])
    return mynah_fail(MYNAH_MISMATCH, "max_pool_grad: x and dy do not fit each other");
  MYNAH_TRY(pool_check(step, x.dims[1], x.dims[2]));
  if (pool_size(&step->a, 0, x.dims[1]) != dy.dims[1] || pool_size(&step->a, 1, x.dims[2]) != dy.dims[2])
    return mynah_fail(MYNAH_MISMATCH, "max_pool_grad: dy does not fit the pooling");
  mynah__set_output(step, 0, x);
  return MYNAH_OK;
}

static const mynah__kernel *const max_pool_grad_kernels[] = {&mynah__fast_max_pool_grad, &mynah__ref32_max_pool_grad, &mynah__ref64_max_pool_grad,
                                                             NULL};
const mynah__op mynah__op_max_pool_grad = {
    .name = "max_pool_grad", .shape = max_pool_grad_shape, .flops = pool_grad_flops, .kernels = max_pool_grad_kernels};

/* ---- average ----------------------------------------------------------------------------------------------------- */

static void avg_pool_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (!needs[0]) return;
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_shape x = mynah_node_shape(g, mynah__node_input(g, n, 0));
  a.i[10] = x.dims[1], a.i[11] = x.dims[2];
  dx[0] = mynah__add_node(g, &mynah__op_avg_pool_grad, &a, dy, 1);
}

static const mynah__kernel *const avg_pool_kernels[] = {&mynah__ref32_avg_pool, &mynah__ref64_avg_pool, NULL};
const mynah__op mynah__op_avg_pool = {.name = "avg_pool",
                                      .shape = pool_shape,
                                      .gradient = avg_pool_gradient,
                                      .flops = pool_flops,
                                      .kernels = avg_pool_kernels};

/* in: dy (B,H',W',C); out: dx (B,H,W,C) */
static mynah_status avg_pool_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah_shape dy = step->in[0].shape;
  int64_t height = step->a.i[10], width = step->a.i[11];
  if (dy.n_dims != 4 || height < 1 || width < 1)
    return mynah_fail(MYNAH_MISMATCH, "avg_pool_grad: takes dy (B,H',W',C) and the size of x");
  MYNAH_TRY(pool_check(step, height, width));
  if (pool_size(&step->a, 0, height) != dy.dims[1] || pool_size(&step->a, 1, width) != dy.dims[2])
    return mynah_fail(MYNAH_MISMATCH, "avg_pool_grad: dy does not fit the pooling");
  mynah__set_output(step, 0, MYNAH_SHAPE(dy.dims[0], height, width, dy.dims[3]));
  return MYNAH_OK;
}

static const mynah__kernel *const avg_pool_grad_kernels[] = {&mynah__ref32_avg_pool_grad, &mynah__ref64_avg_pool_grad,
                                                             NULL};
const mynah__op mynah__op_avg_pool_grad = {
    .name = "avg_pool_grad", .shape = avg_pool_grad_shape, .flops = pool_grad_flops, .kernels = avg_pool_grad_kernels};

/* ---- adaptive average -------------------------------------------------------------------------------------------- */

/* (B,H,W,C) -> (B,i[0],i[1],C), in both directions. */
static mynah_status adaptive_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah_shape x = step->in[0].shape;
  if (x.n_dims != 4)
    return mynah_fail(MYNAH_MISMATCH, "%s: takes (B,H,W,C), not %d dimensions", step->op->name, x.n_dims);
  if (step->a.i[0] < 1 || step->a.i[1] < 1)
    return mynah_fail(MYNAH_INVALID, "%s: height and width of the output must be positive", step->op->name);
  mynah__set_output(step, 0, MYNAH_SHAPE(x.dims[0], step->a.i[0], step->a.i[1], x.dims[3]));
  return MYNAH_OK;
}

static void adaptive_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (!needs[0]) return;
  mynah_shape x = mynah_node_shape(g, mynah__node_input(g, n, 0));
  mynah__attributes a = {.i = {x.dims[1], x.dims[2]}};
  dx[0] = mynah__add_node(g, &mynah__op_adaptive_avg_pool_grad, &a, dy, 1);
}

static const mynah__kernel *const adaptive_kernels[] = {&mynah__ref32_adaptive_avg_pool,
                                                        &mynah__ref64_adaptive_avg_pool, NULL};
const mynah__op mynah__op_adaptive_avg_pool = {
    .name = "adaptive_avg_pool", .shape = adaptive_shape, .gradient = adaptive_gradient, .kernels = adaptive_kernels};

static const mynah__kernel *const adaptive_grad_kernels[] = {&mynah__ref32_adaptive_avg_pool_grad,
                                                             &mynah__ref64_adaptive_avg_pool_grad, NULL};
const mynah__op mynah__op_adaptive_avg_pool_grad = {
    .name = "adaptive_avg_pool_grad", .shape = adaptive_shape, .kernels = adaptive_grad_kernels};

/* ---- builders ---------------------------------------------------------------------------------------------------- */

static mynah_node add_pool(mynah_graph *g, const mynah__op *op, mynah_node x, const mynah_pool2d *cfg) {
  mynah__attributes a = {0};
  for (int k = 0; k < 2; k++) {
    a.i[k] = cfg->kernel[k];
    a.i[2 + k] = cfg->stride[k] ? cfg->stride[k] : cfg->kernel[k];
  }
  for (int k = 0; k < 4; k++) a.i[4 + k] = cfg->pad[k];
  a.i[8] = cfg->is_ceil, a.i[9] = cfg->counts_padding;
  return mynah__add_node(g, op, &a, &x, 1);
}

mynah_node mynah_max_pool(mynah_graph *g, mynah_node x, const mynah_pool2d *cfg) {
  return add_pool(g, &mynah__op_max_pool, x, cfg);
}

mynah_node mynah_avg_pool(mynah_graph *g, mynah_node x, const mynah_pool2d *cfg) {
  return add_pool(g, &mynah__op_avg_pool, x, cfg);
}

mynah_node mynah_adaptive_avg_pool(mynah_graph *g, mynah_node x, int out_h, int out_w) {
  mynah__attributes a = {.i = {out_h, out_w}};
  return mynah__add_node(g, &mynah__op_adaptive_avg_pool, &a, &x, 1);
}
