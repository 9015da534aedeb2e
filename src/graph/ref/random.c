/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference sources of random numbers, and rows of a table by number. */
#include "ref.h"

static void run_random_normal(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  real *y = call->out[0]; /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  for (int64_t i = 0; i < n; i++) y[i] = (real)(float)mynah_rng_normal(&r);
}
MYNAH__REF_KERNEL(random_normal);

static void run_random_index(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  int32_t *y = call->out[0]; /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  for (int64_t i = 0; i < n; i++) y[i] = (int32_t)mynah_rng_below(&r, (uint64_t)call->step->a.i[10]);
}
MYNAH__REF_KERNEL(random_index);

static int64_t row_of(int32_t index, int64_t rows) { return index < 0 ? 0 : index < rows ? index : rows - 1; }

static void run_gather(const mynah__call *call) {
  const int64_t *s = call->step->in[0].shape.dims;
  const real *table = call->in[0];    /* (R,D) */
  const int32_t *index = call->in[1]; /* (B) */
  real *y = call->out[0];             /* (B,D) */
  for (int64_t b = 0; b < call->step->in[1].shape.dims[0]; b++)
    for (int64_t i = 0; i < s[1]; i++) *y++ = table[row_of(index[b], s[0]) * s[1] + i];
}
MYNAH__REF_KERNEL(gather);

static void run_gather_grad(const mynah__call *call) {
  const int64_t *s = call->step->out[0].shape.dims;
  const real *dy = call->in[0];       /* (B,D) */
  const int32_t *index = call->in[1]; /* (B) */
  real *d_table = call->out[0];       /* (R,D) */
  for (int64_t i = 0; i < s[0] * s[1]; i++) d_table[i] = 0;
  for (int64_t b = 0; b < call->step->in[1].shape.dims[0]; b++)
    for (int64_t i = 0; i < s[1]; i++) d_table[row_of(index[b], s[0]) * s[1] + i] += *dy++;
}
MYNAH__REF_KERNEL(gather_grad);
