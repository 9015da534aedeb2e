/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums over axes that stand side by side: x is seen as (outer, summed, inner). */
#include "tile.h"

/* Floats summed in float before they go to the total in double. */
#define SUM_BLOCK 4096

static double sum_block(const float *x, int64_t n) {
  vec s0 = {0}, s1 = {0};
  int64_t i = 0;
  for (; i + 2 * VL <= n; i += 2 * VL) s0 += load(x + i), s1 += load(x + i + VL);
  for (; i < n; i += VL) s0 += load_at(x, i, n - i < VL ? n - i : 0);
  return (double)sum_lanes(s0 + s1);
}

/* y = scale sum x; plan of accepts: summed axes are neighbours */
void FAST(sum)(const mynah__call *call) {
  mynah_shape s = call->step->in[0].shape;
  int64_t outer = 1, summed = 1, inner = 1, mask = call->step->a.i[0];
  for (int d = 0; d < s.n_dims; d++) {
    if (mask >> d & 1) summed *= s.dims[d];
    else if (summed == 1 && (mask & ((1 << d) - 1)) == 0) outer *= s.dims[d];
    else inner *= s.dims[d];
  }
  const float *x = call->in[0]; /* (outer,summed,inner) */
  float *y = call->out[0];      /* (outer,inner) */
  double scale = call->step->a.f[0];
  for (int64_t o = 0; o < outer; o++, x += summed * inner, y += inner) {
    if (inner == 1) {
      double total = 0;
      for (int64_t i = 0; i < summed; i += SUM_BLOCK)
        total += sum_block(x + i, summed - i < SUM_BLOCK ? summed - i : SUM_BLOCK);
      *y = (float)(scale * total);
    } else {
      FAST(column_sums)(x, summed, inner, y);
      for (int64_t i = 0; i < inner; i++) y[i] *= (float)scale;
    }
  }
}
