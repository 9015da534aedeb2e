/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linear layers and matrix products: shape rules and gradients.
 *
 * Attributes of linear_grad_w: i[0] 1 when the bias gradient is wanted too (output 1)
 *            of matmul: i[0], i[1] 1: the last two axes of a, of b are exchanged first */
#include "ops.h"

#include "check.h"

static mynah_shape last_axis_replaced(mynah_shape s, int64_t n) {
  s.dims[s.n_dims - 1] = n;
  return s;
}

static int64_t last_dim(mynah_shape s) { return s.dims[s.n_dims - 1]; }

/* ---- linear ------------------------------------------------------------------------------------------------------ */

/* in: x (…,in) w (out,in) b (out) or none; out: y (…,out) */
static mynah_status linear_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  mynah_shape x = step->in[0].shape, w = step->in[1].shape;
  if (w.n_dims != 2) return mynah_fail(MYNAH_MISMATCH, "linear: the weight must be (out,in)");
  if (last_dim(x) != w.dims[1])
    return mynah_fail(MYNAH_MISMATCH, "linear: x (…,%" PRId64 ") does not fit a weight (%" PRId64 ",%" PRId64 ")",
                      last_dim(x), w.dims[0], w.dims[1]);
  MYNAH_TRY(mynah__check_vector(step, 2, w.dims[0], "bias"));
  mynah__set_output(step, 0, last_axis_replaced(x, w.dims[0]));
  return MYNAH_OK;
}

static double linear_flops(const mynah__step *step) {
  return 2.0 * (double)mynah_shape_size(step->in[0].shape) * (double)last_dim(step->out[0].shape);
}

/* dx = dy w ; dw = dy^T x ; db = sum over rows of dy */
static void linear_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_node x = mynah__node_input(g, n, 0), w = mynah__node_input(g, n, 1);
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_linear_grad_x, NULL, (mynah_node[]){dy[0], w}, 2);
  if (needs[1] || needs[2]) {
    mynah__attributes a = {.i = {needs[2]}};
    dx[1] = mynah__add_node(g, &mynah__op_linear_grad_w, &a, (mynah_node[]){x, dy[0]}, 2);
    if (needs[2]) dx[2] = mynah__node_output(g, dx[1], 1);
  }
}

static const mynah__kernel *const linear_kernels[] = {&mynah__fast_linear, &mynah__dnnl_linear, &mynah__ref32_linear, &mynah__ref64_linear,
                                                      NULL};
const mynah__op mynah__op_linear = {.name = "linear",
                                    .shape = linear_shape,
                                    .gradient = linear_gradient,
                                    .flops = linear_flops,
                                    .kernels = linear_kernels,
                                    .is_product = true};

/* in: dy (…,out) w (out,in); out: dx (…,in) */
static mynah_status linear_grad_x_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  mynah_shape dy = step->in[0].shape, w = step->in[1].shape;
  if (w.n_dims != 2 || last_dim(dy) != w.dims[0])
    return mynah_fail(MYNAH_MISMATCH, "linear_grad_x: dy and w do not fit each other");
  mynah__set_output(step, 0, last_axis_replaced(dy, w.dims[1]));
  return MYNAH_OK;
}

static const mynah__kernel *const linear_grad_x_kernels[] = {&mynah__fast_linear_grad_x, &mynah__dnnl_linear_grad_x, &mynah__ref32_linear_grad_x,
                                                             &mynah__ref64_linear_grad_x, NULL};
const mynah__op mynah__op_linear_grad_x = {.name = "linear_grad_x",
                                           .shape = linear_grad_x_shape,
                                           .flops = linear_flops,
                                           .kernels = linear_grad_x_kernels,
                                           .is_product = true};

/* in: x (…,in) dy (…,out); out: dw (out,in), and db (out) when i[0] */
static mynah_status linear_grad_w_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  mynah_shape x = step->in[0].shape, dy = step->in[1].shape;
  if (x.n_dims != dy.n_dims || mynah_shape_size(x) / last_dim(x) != mynah_shape_size(dy) / last_dim(dy))
    return mynah_fail(MYNAH_MISMATCH, "linear_grad_w: x and dy do not fit each other");
  mynah__set_output(step, 0, MYNAH_SHAPE(last_dim(dy), last_dim(x)));
  if (step->a.i[0]) mynah__set_output(step, 1, MYNAH_SHAPE(last_dim(dy)));
  return MYNAH_OK;
}

static double linear_grad_w_flops(const mynah__step *step) {
  return 2.0 * (double)mynah_shape_size(step->in[0].shape) * (double)last_dim(step->in[1].shape);
}

static const mynah__kernel *const linear_grad_w_kernels[] = {&mynah__fast_linear_grad_w, &mynah__dnnl_linear_grad_w, &mynah__ref32_linear_grad_w,
                                                             &mynah__ref64_linear_grad_w, NULL};
const mynah__op mynah__op_linear_grad_w = {.name = "linear_grad_w",
                                           .shape = linear_grad_w_shape,
                                           .flops = linear_grad_w_flops,
                                           .kernels = linear_grad_w_kernels,
                                           .is_product = true};

mynah_node mynah_linear(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b) {
  return mynah__add_node(g, &mynah__op_linear, NULL, (mynah_node[]){x, w, b}, 3);
}

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

/* in: a (…,M,K) b (…,K,N), or b (K,N) for all of a; out: (…,M,N) */
static mynah_status matmul_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  mynah_shape a = step->in[0].shape, b = step->in[1].shape;
  bool ta = step->a.i[0], tb = step->a.i[1];
  int na = a.n_dims, nb = b.n_dims;
  if (na < 2 || nb < 2 || (nb != 2 && nb != na))
    return mynah_fail(MYNAH_MISMATCH, "matmul: takes a (…,M,K) and b (…,K,N)");
  int64_t m = a.dims[na - 1 - !ta], k = a.dims[na - 1 - ta], kb = b.dims[nb - 1 - !tb], n = b.dims[nb - 1 - tb];
  bool is_good = k == kb;
  for (int i = 0; nb > 2 && i < na - 2; i++) is_good = is_good && a.dims[i] == b.dims[i];
  if (!is_good)
    return mynah_fail(MYNAH_MISMATCH,
                      "matmul: a%s and b%s do not fit: leading dimensions and %" PRId64 " with %" PRId64 " must agree",
                      ta ? " transposed" : "", tb ? " transposed" : "", k, kb);
  a.dims[na - 2] = m;
  a.dims[na - 1] = n;
  mynah__set_output(step, 0, a);
  return MYNAH_OK;
}

static double matmul_flops(const mynah__step *step) {
  const mynah__tensor *a = &step->in[0];
  return 2.0 * (double)mynah_shape_size(step->out[0].shape) *
         (double)a->shape.dims[a->shape.n_dims - 1 - (step->a.i[0] ? 1 : 0)];
}

/* (…,M,K) -> (rows,K) */
static mynah_node flatten_rows(mynah_graph *g, mynah_node x) {
  return mynah_reshape(g, x, MYNAH_SHAPE(-1, last_dim(mynah_node_shape(g, x))));
}

/* y = A B, A = a or a^T, B = b or b^T:  dA = dy B^T, dB = A^T dy, each transposed back as a or b was. */
static void matmul_gradient(mynah_graph *g, mynah_node node, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_node a = mynah__node_input(g, node, 0), b = mynah__node_input(g, node, 1), d = dy[0];
  bool ta = mynah__node_attributes(g, node)->i[0], tb = mynah__node_attributes(g, node)->i[1];
  mynah_shape as = mynah_node_shape(g, a), bs = mynah_node_shape(g, b);
  bool is_shared = bs.n_dims < as.n_dims; /* one b for all of a */
  if (needs[0]) {
    mynah_node bb = b;
    if (ta && is_shared) {
      mynah_shape wide = as;
      for (int i = 1; i <= 2; i++) wide.dims[as.n_dims - i] = bs.dims[bs.n_dims - i];
      bb = mynah_broadcast(g, b, wide);
    }
    dx[0] = ta ? mynah_matmul(g, bb, d, tb, true) : mynah_matmul(g, d, b, false, !tb);
  }
  if (!needs[1]) return;
  if (is_shared && !ta) a = flatten_rows(g, a), d = flatten_rows(g, d);
  dx[1] = tb ? mynah_matmul(g, d, a, true, ta) : mynah_matmul(g, a, d, !ta, false);
  if (is_shared && ta) {
    int axes[MYNAH_MAX_DIMS] = {0, 1, 2, 3, 4, 5};
    dx[1] = mynah_sum(g, dx[1], axes, as.n_dims - 2, false);
  }
}

static const mynah__kernel *const matmul_kernels[] = {&mynah__fast_matmul, &mynah__ref32_matmul, &mynah__ref64_matmul,
                                                      NULL};
const mynah__op mynah__op_matmul = {.name = "matmul",
                                    .shape = matmul_shape,
                                    .gradient = matmul_gradient,
                                    .flops = matmul_flops,
                                    .kernels = matmul_kernels,
                                    .is_product = true};

mynah_node mynah_matmul(mynah_graph *g, mynah_node a, mynah_node b, bool a_transposed, bool b_transposed) {
  mynah__attributes attributes = {.i = {a_transposed, b_transposed}};
  return mynah__add_node(g, &mynah__op_matmul, &attributes, (mynah_node[]){a, b}, 2);
}
