/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the reference kernels share: loops a student can read, compiled once at float and once at double. */
#ifndef MYNAH_GRAPH_REF_H
#define MYNAH_GRAPH_REF_H

#include "../internal.h"
#include "../kernels.h"

typedef MYNAH_REAL real;

/* The double build serves double programs, the float build all others. */
static inline bool mynah__ref_accepts(const mynah__step *step) {
  return (step->precision == MYNAH_F64) == (MYNAH__REF_DTYPE == MYNAH_F64);
}

/* An operand of a product: rounded to bfloat16 where the step asks for that. */
static inline real mynah__ref_operand(const mynah__step *step, real x) {
  return step->precision == MYNAH_BF16 ? (real)mynah__bf16_value(mynah__bf16_of((float)x)) : x;
}

/* The function fused to a step, of one number of output 0. */
static inline real mynah__ref_post(const mynah__step *step, real x) {
  return step->post ? (real)step->post->f((double)x, step->post_parameters) : x;
}

/* The kernel of op `op` whose run function is run_OP. */
#define MYNAH__REF_KERNEL(op)                                                                                          \
  const mynah__kernel MYNAH__REF(op) = {                                                                               \
      .name = "ref:" #op, .is_rt = true, .accepts = mynah__ref_accepts, .run = run_##op}

#endif
