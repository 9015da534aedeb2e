/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference sums over axes. Sums run in double: a float sum over a batch would lose digits that comparisons need. */
#include "ref.h"

/* Elements whose index differs only along summed axes go to one output; both are walked by strides. */
typedef struct walk {
  int n;
  int64_t dim[MYNAH_MAX_DIMS], stride[MYNAH_MAX_DIMS];
} walk;

static int64_t walk_size(const walk *w) {
  int64_t n = 1;
  for (int i = 0; i < w->n; i++) n *= w->dim[i];
  return n;
}

static int64_t walk_offset(const walk *w, int64_t i) {
  int64_t offset = 0;
  for (int d = w->n - 1; d >= 0; d--) {
    offset += i % w->dim[d] * w->stride[d];
    i /= w->dim[d];
  }
  return offset;
}

/* y_i = scale sum_j x_ij */
static void run_sum(const mynah__call *call) {
  mynah_shape xs = call->step->in[0].shape;
  const real *x = call->in[0];
  real *y = call->out[0];
  walk kept = {0}, summed = {0};
  int64_t stride = 1, strides[MYNAH_MAX_DIMS];
  for (int d = xs.n_dims - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= xs.dims[d];
  }
  for (int d = 0; d < xs.n_dims; d++) {
    walk *w = call->step->a.i[0] >> d & 1 ? &summed : &kept;
    w->dim[w->n] = xs.dims[d];
    w->stride[w->n++] = strides[d];
  }
  int64_t n = walk_size(&kept), m = walk_size(&summed);
  for (int64_t i = 0; i < n; i++) {
    const real *row = x + walk_offset(&kept, i);
    double sum = 0;
    for (int64_t j = 0; j < m; j++) sum += (double)row[walk_offset(&summed, j)];
    y[i] = (real)(call->step->a.f[0] * sum);
  }
}
MYNAH__REF_KERNEL(sum);
