/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums and means over axes.
 *
 * Attributes of sum: i[0] bit d: axis d is summed over · i[1] 1: summed axes stay, as 1 · f[0] what the sum is
 * multiplied by */
#include "ops.h"

#include "check.h"

/* The shape after reducing, axes kept as 1 or left out; never without dimensions: a whole sum is (1). */
static mynah_shape reduced(mynah_shape x, int64_t mask, bool keep) {
  mynah_shape y = {0};
  for (int d = 0; d < x.n_dims; d++) {
    if (!(mask >> d & 1)) y.dims[y.n_dims++] = x.dims[d];
    else if (keep) y.dims[y.n_dims++] = 1;
  }
  return y.n_dims ? y : MYNAH_SHAPE(1);
}

static mynah_status sum_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah__set_output(step, 0, reduced(step->in[0].shape, step->a.i[0], step->a.i[1]));
  return MYNAH_OK;
}

static double sum_flops(const mynah__step *step) { return (double)mynah_shape_size(step->in[0].shape); }

static void sum_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  const mynah__attributes *a = mynah__node_attributes(g, n);
  mynah_shape x = mynah_node_shape(g, mynah__node_input(g, n, 0));
  double scale = a->f[0];
  if (!needs[0]) return;
  mynah_node d = mynah_reshape(g, dy[0], reduced(x, a->i[0], true));
  mynah__attributes scaling = {.f = {scale}};
  if (scale < 1 || scale > 1) d = mynah__add_node(g, &mynah__op_affine, &scaling, &d, 1);
  dx[0] = mynah_broadcast(g, d, x);
}

static const mynah__kernel *const sum_kernels[] = {&mynah__fast_sum, &mynah__ref32_sum, &mynah__ref64_sum, NULL};
const mynah__op mynah__op_sum = {
    .name = "sum", .shape = sum_shape, .gradient = sum_gradient, .flops = sum_flops, .kernels = sum_kernels};

static mynah_node reduce(mynah_graph *g, mynah_node x, const int *axes, int n_axes, bool keep, bool is_mean) {
  mynah_shape s = mynah_node_shape(g, x);
  mynah__attributes a = {.i = {0, keep}, .f = {1}};
  for (int i = 0; i < n_axes; i++) {
    int axis = axes[i] < 0 ? axes[i] + s.n_dims : axes[i];
    if (s.n_dims && (axis < 0 || axis >= s.n_dims))
      return mynah_graph_fail(g, "%s: no axis %d in %d dimensions", is_mean ? "mean" : "sum", axes[i], s.n_dims);
    a.i[0] |= (int64_t)1 << (axis & 31);
  }
  if (n_axes == 0) a.i[0] = ((int64_t)1 << MYNAH_MAX_DIMS) - 1;
  if (is_mean)
    for (int d = 0; d < s.n_dims; d++)
      if (a.i[0] >> d & 1) a.f[0] /= (double)s.dims[d];
  return mynah__add_node(g, &mynah__op_sum, &a, &x, 1);
}

mynah_node mynah_sum(mynah_graph *g, mynah_node x, const int *axes, int n_axes, bool keep) {
  return reduce(g, x, axes, n_axes, keep, false);
}

mynah_node mynah_mean(mynah_graph *g, mynah_node x, const int *axes, int n_axes, bool keep) {
  return reduce(g, x, axes, n_axes, keep, true);
}
