/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ops that move values and change none: reshape, detach, permute, concat, slice, broadcast, copy.
 *
 * Attributes: reshape, broadcast: i[0..] the new shape, i[11] its number of dimensions · permute: i[0..] axes
 *             concat: i[0] axis · slice: i[0] axis, i[1] start, i[2] length
 *             slice_grad: i[0] axis, i[1] start, i[2] size of that axis before slicing */
#include "ops.h"

#include "check.h"

static mynah_status any_input(const mynah__step *step) {
  if (!mynah__is_absent(step, 0)) return MYNAH_OK;
  return mynah_fail(MYNAH_INVALID, "%s: input 0 is missing", step->op->name);
}

static void set_typed_output(mynah__step *step, mynah_shape shape) {
  step->out[0] = (mynah__tensor){step->in[0].dtype, shape};
  step->n_out = 1;
}

/* Axis -1 is the last. */
static int axis_from_end(int axis, int n_dims) { return axis < 0 ? axis + n_dims : axis; }

static mynah_shape shape_attribute(const mynah__attributes *a) {
  mynah_shape s = {.n_dims = (int)a->i[11]};
  memcpy(s.dims, a->i, sizeof s.dims);
  return s;
}

static mynah__attributes shape_attributes(mynah_shape s) {
  mynah__attributes a = {.i = {[11] = s.n_dims}};
  memcpy(a.i, s.dims, sizeof s.dims);
  return a;
}

/* ---- reshape, detach, copy ----------------------------------------------------------------------------------------------- */

static mynah_status reshape_shape(mynah__step *step) {
  MYNAH_TRY(any_input(step));
  mynah_shape s = shape_attribute(&step->a);
  int64_t size = mynah_shape_size(step->in[0].shape), known = 1;
  int open = -1;
  if (s.n_dims < 1 || s.n_dims > MYNAH_MAX_DIMS) return mynah_fail(MYNAH_INVALID, "reshape: %d dimensions", s.n_dims);
  for (int i = 0; i < s.n_dims; i++) {
    if (s.dims[i] == -1 && open < 0) open = i;
    else if (s.dims[i] < 1 || __builtin_mul_overflow(known, s.dims[i], &known))
      return mynah_fail(MYNAH_INVALID, "reshape: dimension %d is %" PRId64, i, s.dims[i]);
  }
  if (open >= 0) {
    s.dims[open] = size / known;
    known *= s.dims[open];
  }
  if (known != size) return mynah_fail(MYNAH_MISMATCH, "reshape: %" PRId64 " elements into %" PRId64, size, known);
  set_typed_output(step, s);
  return MYNAH_OK;
}

static void reshape_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (needs[0]) dx[0] = mynah_reshape(g, dy[0], mynah_node_shape(g, mynah__node_input(g, n, 0)));
}

const mynah__op mynah__op_reshape = {
    .name = "reshape", .shape = reshape_shape, .gradient = reshape_gradient, .is_view = true};

mynah_node mynah_reshape(mynah_graph *g, mynah_node x, mynah_shape shape) {
  if (shape.n_dims < 0 || shape.n_dims > MYNAH_MAX_DIMS)
    return mynah_graph_fail(g, "reshape: %d dimensions", shape.n_dims);
  mynah__attributes a = shape_attributes(shape);
  return mynah__add_node(g, &mynah__op_reshape, &a, &x, 1);
}

static mynah_status copy_shape(mynah__step *step) {
  MYNAH_TRY(any_input(step));
  set_typed_output(step, step->in[0].shape);
  return MYNAH_OK;
}

/* Made by the compiler alone, for gradients that lie elsewhere. */
static const mynah__kernel *const copy_kernels[] = {&mynah__fast_copy, &mynah__ref32_copy, &mynah__ref64_copy, NULL};
const mynah__op mynah__op_copy = {.name = "copy", .shape = copy_shape, .kernels = copy_kernels};

static void detach_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {}

const mynah__op mynah__op_detach = {.name = "detach", .shape = copy_shape, .gradient = detach_gradient, .is_view = true};

mynah_node mynah_detach(mynah_graph *g, mynah_node x) { return mynah__add_node(g, &mynah__op_detach, &(mynah__attributes){0}, &x, 1); }

/* ---- permute ----------------------------------------------------------------------------------------------------- */

static mynah_status permute_shape(mynah__step *step) {
  MYNAH_TRY(any_input(step));
  mynah_shape x = step->in[0].shape, y = {.n_dims = x.n_dims};
  unsigned seen = 0;
  for (int i = 0; i < x.n_dims; i++) {
    int64_t axis = step->a.i[i];
    if (axis < 0 || axis >= x.n_dims || (seen >> axis & 1))
      return mynah_fail(MYNAH_INVALID, "permute: axes must be a permutation of 0 … %d", x.n_dims - 1);
    seen |= 1u << axis;
    y.dims[i] = x.dims[axis];
  }
  set_typed_output(step, y);
  return MYNAH_OK;
}

static void permute_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  const mynah__attributes *a = mynah__node_attributes(g, n);
  int inverse[MYNAH_MAX_DIMS] = {0};
  for (int i = 0; i < mynah_node_shape(g, n).n_dims; i++) inverse[a->i[i]] = i;
  if (needs[0]) dx[0] = mynah_permute(g, dy[0], inverse);
}

static const mynah__kernel *const permute_kernels[] = {&mynah__fast_permute, &mynah__ref32_permute, &mynah__ref64_permute, NULL};
const mynah__op mynah__op_permute = {
    .name = "permute", .shape = permute_shape, .gradient = permute_gradient, .kernels = permute_kernels};

mynah_node mynah_permute(mynah_graph *g, mynah_node x, const int *axes) {
  mynah__attributes a = {0};
  int n = mynah_node_shape(g, x).n_dims;
  for (int i = 0; i < n; i++) a.i[i] = axis_from_end(axes[i], n);
  return mynah__add_node(g, &mynah__op_permute, &a, &x, 1);
}

/* ---- concat ------------------------------------------------------------------------------------------------------ */

static mynah_status concat_shape(mynah__step *step) {
  mynah_shape y = step->in[0].shape;
  int64_t axis = step->a.i[0];
  for (int i = 0; i < step->n_in; i++) {
    mynah_shape x = step->in[i].shape;
    if (mynah__is_absent(step, i)) return mynah_fail(MYNAH_INVALID, "concat: input %d is missing", i);
    if (axis < 0 || axis >= y.n_dims) return mynah_fail(MYNAH_INVALID, "concat: no axis %" PRId64, axis);
    bool is_good = x.n_dims == y.n_dims && step->in[i].dtype == step->in[0].dtype;
    for (int d = 0; is_good && d < y.n_dims; d++) is_good = d == axis || x.dims[d] == y.dims[d];
    if (!is_good)
      return mynah_fail(MYNAH_MISMATCH, "concat: input %d differs from input 0 elsewhere than along axis %" PRId64, i,
                        axis);
    if (i && __builtin_add_overflow(y.dims[axis], x.dims[axis], &y.dims[axis]))
      return mynah_fail(MYNAH_LIMIT, "concat: too large");
  }
  set_typed_output(step, y);
  return MYNAH_OK;
}

static void concat_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  int axis = (int)mynah__node_attributes(g, n)->i[0];
  int64_t start = 0;
  for (int i = 0; i < MYNAH__MAX_INPUTS; i++) {
    mynah_node x = mynah__node_input(g, n, i);
    if (mynah_node_is_null(x)) break;
    int64_t length = mynah_node_shape(g, x).dims[axis];
    if (needs[i]) dx[i] = mynah_slice(g, dy[0], axis, start, length);
    start += length;
  }
}

static const mynah__kernel *const concat_kernels[] = {&mynah__fast_concat, &mynah__ref32_concat, &mynah__ref64_concat, NULL};
const mynah__op mynah__op_concat = {
    .name = "concat", .shape = concat_shape, .gradient = concat_gradient, .kernels = concat_kernels};

/* More parts than a node takes are joined in groups first. */
mynah_node mynah_concat(mynah_graph *g, const mynah_node *parts, int n, int axis) {
  mynah_node group[MYNAH__MAX_INPUTS];
  if (n < 1) return mynah_graph_fail(g, "concat: nothing to join");
  axis = axis_from_end(axis, mynah_node_shape(g, parts[0]).n_dims);
  if (n == 1) return parts[0];
  if (n <= MYNAH__MAX_INPUTS) {
    mynah__attributes a = {.i = {axis}};
    return mynah__add_node(g, &mynah__op_concat, &a, parts, n);
  }
  int size = (n + MYNAH__MAX_INPUTS - 1) / MYNAH__MAX_INPUTS, n_groups = 0;
  for (int i = 0; i < n; i += size) group[n_groups++] = mynah_concat(g, parts + i, n - i < size ? n - i : size, axis);
  return mynah_concat(g, group, n_groups, axis);
}

/* ---- slice ------------------------------------------------------------------------------------------------------- */

static mynah_status slice_shape(mynah__step *step) {
  MYNAH_TRY(any_input(step));
  mynah_shape s = step->in[0].shape;
  int64_t axis = step->a.i[0], start = step->a.i[1], length = step->a.i[2];
  if (axis < 0 || axis >= s.n_dims) return mynah_fail(MYNAH_INVALID, "slice: no axis %" PRId64, axis);
  if (start < 0 || length < 1 || start >= s.dims[axis] || length > s.dims[axis] - start)
    return mynah_fail(MYNAH_MISMATCH, "slice: %" PRId64 " from %" PRId64 " on lies not within axis %" PRId64, length,
                      start, axis);
  s.dims[axis] = length;
  set_typed_output(step, s);
  return MYNAH_OK;
}

static void slice_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  a.i[2] = mynah_node_shape(g, mynah__node_input(g, n, 0)).dims[a.i[0]];
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_slice_grad, &a, dy, 1);
}

static const mynah__kernel *const slice_kernels[] = {&mynah__fast_slice, &mynah__ref32_slice, &mynah__ref64_slice, NULL};
const mynah__op mynah__op_slice = {
    .name = "slice", .shape = slice_shape, .gradient = slice_gradient, .kernels = slice_kernels};

mynah_node mynah_slice(mynah_graph *g, mynah_node x, int axis, int64_t start, int64_t length) {
  mynah__attributes a = {.i = {axis_from_end(axis, mynah_node_shape(g, x).n_dims), start, length}};
  return mynah__add_node(g, &mynah__op_slice, &a, &x, 1);
}

/* dx is dy where the slice was, zero elsewhere */
static mynah_status slice_grad_shape(mynah__step *step) {
  MYNAH_TRY(any_input(step));
  mynah_shape s = step->in[0].shape;
  if (step->a.i[0] >= s.n_dims || step->a.i[1] + s.dims[step->a.i[0]] > step->a.i[2])
    return mynah_fail(MYNAH_MISMATCH, "slice_grad: dy does not fit the slice");
  s.dims[step->a.i[0]] = step->a.i[2];
  set_typed_output(step, s);
  return MYNAH_OK;
}

static void slice_grad_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  const mynah__attributes *a = mynah__node_attributes(g, n);
  int64_t length = mynah_node_shape(g, mynah__node_input(g, n, 0)).dims[a->i[0]];
  if (needs[0]) dx[0] = mynah_slice(g, dy[0], (int)a->i[0], a->i[1], length);
}

static const mynah__kernel *const slice_grad_kernels[] = {&mynah__fast_slice_grad, &mynah__ref32_slice_grad, &mynah__ref64_slice_grad, NULL};
const mynah__op mynah__op_slice_grad = {
    .name = "slice_grad", .shape = slice_grad_shape, .gradient = slice_grad_gradient, .kernels = slice_grad_kernels};

/* ---- broadcast --------------------------------------------------------------------------------------------------- */

static mynah_status broadcast_shape(mynah__step *step) {
  MYNAH_TRY(any_input(step));
  mynah_shape x = step->in[0].shape, y = shape_attribute(&step->a);
  bool is_good = x.n_dims <= y.n_dims;
  for (int i = 1; is_good && i <= x.n_dims; i++)
    is_good = x.dims[x.n_dims - i] == y.dims[y.n_dims - i] || x.dims[x.n_dims - i] == 1;
  if (!is_good) return mynah_fail(MYNAH_MISMATCH, "broadcast: the input does not stretch to the wanted shape");
  set_typed_output(step, y);
  return MYNAH_OK;
}

static void broadcast_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_shape x = mynah_node_shape(g, mynah__node_input(g, n, 0)), y = mynah_node_shape(g, n);
  int axes[MYNAH_MAX_DIMS], n_axes = 0, shift = y.n_dims - x.n_dims;
  for (int i = 0; i < y.n_dims; i++)
    if (i < shift || x.dims[i - shift] != y.dims[i]) axes[n_axes++] = i;
  if (!needs[0]) return;
  mynah_node d = n_axes ? mynah_sum(g, dy[0], axes, n_axes, true) : dy[0];
  dx[0] = mynah_reshape(g, d, x);
}

static const mynah__kernel *const broadcast_kernels[] = {&mynah__fast_broadcast, &mynah__ref32_broadcast, &mynah__ref64_broadcast, NULL};
const mynah__op mynah__op_broadcast = {
    .name = "broadcast", .shape = broadcast_shape, .gradient = broadcast_gradient, .kernels = broadcast_kernels};

mynah_node mynah_broadcast(mynah_graph *g, mynah_node x, mynah_shape shape) {
  if (shape.n_dims < 1 || shape.n_dims > MYNAH_MAX_DIMS)
    return mynah_graph_fail(g, "broadcast: %d dimensions", shape.n_dims);
  mynah__attributes a = shape_attributes(shape);
  return mynah__add_node(g, &mynah__op_broadcast, &a, &x, 1);
}
