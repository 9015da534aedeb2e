/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference data movement: bytes of any type are moved, except that slice_grad writes zeros. */
#include "ref.h"

#include <string.h>

static size_t element_bytes(const mynah__step *step) { return mynah_dtype_bytes(step->in[0].dtype); }

/* Elements before and after an axis: (outer, axis, inner). */
static void split_at(mynah_shape s, int64_t axis, size_t *outer, size_t *inner) {
  *outer = *inner = 1;
  for (int d = 0; d < s.n_dims; d++) {
    if (d < axis) *outer *= (size_t)s.dims[d];
    if (d > axis) *inner *= (size_t)s.dims[d];
  }
}

static void run_copy(const mynah__call *call) {
  memcpy(call->out[0], call->in[0], (size_t)mynah_shape_size(call->step->in[0].shape) * element_bytes(call->step));
}
MYNAH__REF_KERNEL(copy);

/* y[i] = x[sum_d index_d stride_d], index running over y's axes with the strides that x has along them */
static void gather(const mynah__call *call, const int64_t stride[MYNAH_MAX_DIMS]) {
  mynah_shape ys = call->step->out[0].shape;
  size_t bytes = element_bytes(call->step);
  int64_t n = mynah_shape_size(ys);
  const char *x = call->in[0];
  char *y = call->out[0]; /* (n) */
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i, from = 0;
    for (int d = ys.n_dims - 1; d >= 0; d--) {
      from += rest % ys.dims[d] * stride[d];
      rest /= ys.dims[d];
    }
    memcpy(y + (size_t)i * bytes, x + (size_t)from * bytes, bytes);
  }
}

/* Axis d of y is axis a.i[d] of x. */
static void run_permute(const mynah__call *call) {
  mynah_shape xs = call->step->in[0].shape;
  int64_t of_x[MYNAH_MAX_DIMS], stride[MYNAH_MAX_DIMS], step = 1;
  for (int d = xs.n_dims - 1; d >= 0; d--) {
    of_x[d] = step;
    step *= xs.dims[d];
  }
  for (int d = 0; d < xs.n_dims; d++) stride[d] = of_x[call->step->a.i[d]];
  gather(call, stride);
}
MYNAH__REF_KERNEL(permute);

/* Axes are aligned at the last; those where x has 1, or none, repeat. */
static void run_broadcast(const mynah__call *call) {
  mynah_shape xs = call->step->in[0].shape, ys = call->step->out[0].shape;
  int64_t stride[MYNAH_MAX_DIMS] = {0}, step = 1;
  for (int d = ys.n_dims - 1, k = xs.n_dims - 1; k >= 0; d--, k--) {
    stride[d] = xs.dims[k] == 1 ? 0 : step;
    step *= xs.dims[k];
  }
  gather(call, stride);
}
MYNAH__REF_KERNEL(broadcast);

static void run_concat(const mynah__call *call) {
  const mynah__step *step = call->step;
  int64_t axis = step->a.i[0];
  size_t outer, inner, start = 0;
  split_at(step->out[0].shape, axis, &outer, &inner);
  size_t row = (size_t)step->out[0].shape.dims[axis] * inner * element_bytes(step);
  for (int k = 0; k < step->n_in; k++) {
    size_t piece = (size_t)step->in[k].shape.dims[axis] * inner * element_bytes(step);
    for (size_t o = 0; o < outer; o++)
      memcpy((char *)call->out[0] + o * row + start, (const char *)call->in[k] + o * piece, piece);
    start += piece;
  }
}
MYNAH__REF_KERNEL(concat);

static void run_slice(const mynah__call *call) {
  const mynah__step *step = call->step;
  int64_t axis = step->a.i[0];
  size_t outer, inner;
  split_at(step->in[0].shape, axis, &outer, &inner);
  size_t unit = inner * element_bytes(step), row = (size_t)step->in[0].shape.dims[axis] * unit;
  size_t start = (size_t)step->a.i[1] * unit, piece = (size_t)step->a.i[2] * unit;
  for (size_t o = 0; o < outer; o++)
    memcpy((char *)call->out[0] + o * piece, (const char *)call->in[0] + o * row + start, piece);
}
MYNAH__REF_KERNEL(slice);

static void run_slice_grad(const mynah__call *call) {
  const mynah__step *step = call->step;
  int64_t axis = step->a.i[0];
  size_t outer, inner;
  split_at(step->in[0].shape, axis, &outer, &inner);
  size_t unit = inner * element_bytes(step), row = (size_t)step->a.i[2] * unit;
  size_t start = (size_t)step->a.i[1] * unit, piece = (size_t)step->in[0].shape.dims[axis] * unit;
  memset(call->out[0], 0, outer * row);
  for (size_t o = 0; o < outer; o++)
    memcpy((char *)call->out[0] + o * row + start, (const char *)call->in[0] + o * piece, piece);
}
MYNAH__REF_KERNEL(slice_grad);
