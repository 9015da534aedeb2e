/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Enlarging by repetition, made of moves that exist: pixels are repeated along the row, then whole rows. Each of the two is
 * one broadcast over one axis, whose gradient is one sum over that axis, so both directions have quick kernels. */
#include "ops.h"

#define UPSAMPLE_FACTOR_MAX 64

mynah_node mynah_upsample_nearest(mynah_graph *g, mynah_node x, int factor) {
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4) return mynah_graph_fail(g, "upsample_nearest: takes (B,H,W,C), not %d dimensions", s.n_dims);
  if (factor < 1 || factor > UPSAMPLE_FACTOR_MAX)
    return mynah_graph_fail(g, "upsample_nearest: the factor must be in 1 … %d, not %d", UPSAMPLE_FACTOR_MAX, factor);
  int64_t b = s.dims[0], h = s.dims[1], w = s.dims[2], c = s.dims[3], f = factor;
  x = mynah_broadcast(g, mynah_reshape(g, x, MYNAH_SHAPE(b * h * w, 1, c)), MYNAH_SHAPE(b * h * w, f, c));
  x = mynah_broadcast(g, mynah_reshape(g, x, MYNAH_SHAPE(b * h, 1, w * f * c)), MYNAH_SHAPE(b * h, f, w * f * c));
  return mynah_reshape(g, x, MYNAH_SHAPE(b, h * f, w * f, c));
}
