/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What shape rules of several ops check: presence, type, rank and size of inputs. Error text begins with the op's name.
 */
#ifndef MYNAH_GRAPH_OPS_CHECK_H
#define MYNAH_GRAPH_OPS_CHECK_H

#include "../internal.h"

#include <inttypes.h>
#include <string.h>

static inline bool mynah__is_absent(const mynah__step *step, int i) {
  return i >= step->n_in || step->in[i].shape.n_dims == 0;
}

static inline bool mynah__same_shape(mynah_shape a, mynah_shape b) {
  return a.n_dims == b.n_dims && memcmp(a.dims, b.dims, (size_t)a.n_dims * sizeof *a.dims) == 0;
}

/* Inputs 0 … n-1 are there and hold real numbers. */
static inline mynah_status mynah__check_inputs(const mynah__step *step, int n) {
  for (int i = 0; i < n; i++) {
    if (mynah__is_absent(step, i)) return mynah_fail(MYNAH_INVALID, "%s: input %d is missing", step->op->name, i);
    if (step->in[i].dtype != MYNAH_F32)
      return mynah_fail(MYNAH_MISMATCH, "%s: input %d holds %s: it must hold float32", step->op->name, i,
                        mynah_dtype_name(step->in[i].dtype));
  }
  return MYNAH_OK;
}

/* Input i, when present, is a vector (n). */
static inline mynah_status mynah__check_vector(const mynah__step *step, int i, int64_t n, const char *what) {
  if (mynah__is_absent(step, i)) return MYNAH_OK;
  const mynah__tensor *t = &step->in[i];
  if (t->dtype != MYNAH_F32 || t->shape.n_dims != 1 || t->shape.dims[0] != n)
    return mynah_fail(MYNAH_MISMATCH, "%s: %s must be a float32 vector of %" PRId64 " values", step->op->name, what, n);
  return MYNAH_OK;
}

/* Inputs i and j have the same shape. */
static inline mynah_status mynah__check_same(const mynah__step *step, int i, int j) {
  if (mynah__same_shape(step->in[i].shape, step->in[j].shape)) return MYNAH_OK;
  return mynah_fail(MYNAH_MISMATCH, "%s: inputs %d and %d must have the same shape", step->op->name, i, j);
}

/* Output k is a float tensor of this shape. */
static inline void mynah__set_output(mynah__step *step, int k, mynah_shape shape) {
  step->out[k] = (mynah__tensor){MYNAH_F32, shape};
  if (step->n_out < k + 1) step->n_out = k + 1;
}

#endif
