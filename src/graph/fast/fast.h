/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of vectorised functions, one table an ISA level, chosen once by what the processor can do.
 *
 * Files of this folder that include vec.h are compiled once a level, with MYNAH__ISA set to its name. */
#ifndef MYNAH_GRAPH_FAST_FAST_H
#define MYNAH_GRAPH_FAST_FAST_H

#include "../internal.h"

/* Functions of one step execution: void (*)(const mynah__call *). */
#define MYNAH__FAST_RUNS(R)                                                                                         \
  R(unary)                                                                                                          \
  R(unary_grad) R(add) R(sub) R(mul) R(div) R(affine) R(clamp) R(clamp_grad) R(from_u8) R(sum) R(layer_norm)        \
      R(layer_norm_grad) R(softmax) R(softmax_grad) R(log_softmax) R(log_softmax_grad) R(mse) R(mse_grad) R(l1)     \
          R(l1_grad) R(huber) R(huber_grad) R(gmm_nll) R(gmm_nll_grad) R(group_norm) R(group_norm_grad) R(batch_norm) R(batch_norm_grad) R(max_pool) \
              R(max_pool_grad) R(winograd) R(winograd_grad_w) R(depthwise)

/* One pointwise function: y[i] = f(x[i]), and dx[i] = f'(xy[i]) dy[i] with xy as mynah__unary says; parameter as there.
 */
typedef struct mynah__fast_function {
  const char *name;
  void (*apply)(int64_t n, const float *x, float *y, float parameter);
  void (*slope)(int64_t n, const float *xy, const float *dy, float *dx, float parameter);
} mynah__fast_function;

/* Products of matrices: what prepare asks of the level, the run, and of some the packing of weights. */
#define MYNAH__FAST_PRODUCTS(P) \
  P(linear) P(linear_grad_x) P(linear_grad_w) P(matmul) P(conv2d) P(conv2d_grad_x) P(conv2d_grad_w)
#define MYNAH__FAST_PACKS(P) P(linear) P(linear_grad_x) P(conv2d) P(conv2d_grad_x)

/* The products over operands of one precision. */
typedef struct mynah__fast_products {
#define MYNAH__FAST_PRODUCT_MEMBERS(name)                          \
  void (*name##_plan)(const mynah__step *step, mynah__plan *plan); \
  void (*name)(const mynah__call *call);
  MYNAH__FAST_PRODUCTS(MYNAH__FAST_PRODUCT_MEMBERS)
#undef MYNAH__FAST_PRODUCT_MEMBERS
#define MYNAH__FAST_PACK_MEMBER(name) \
  void (*name##_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed);
  MYNAH__FAST_PACKS(MYNAH__FAST_PACK_MEMBER)
#undef MYNAH__FAST_PACK_MEMBER
} mynah__fast_products;

typedef struct mynah__fast {
  const char *name;                                            /* "avx512" */
  int lanes;                                                   /* floats in a vector */
  const mynah__fast_function *(*find_unary)(const char *name); /* NULL: not in this folder */
#define MYNAH__FAST_MEMBER(run) void (*run)(const mynah__call *call);
  MYNAH__FAST_RUNS(MYNAH__FAST_MEMBER)
#undef MYNAH__FAST_MEMBER
  void (*winograd_plan)(const mynah__step *step, mynah__plan *plan);
  void (*winograd_grad_w_plan)(const mynah__step *step, mynah__plan *plan);
  void (*winograd_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed);
  mynah__fast_products f32, bf16;
  /* See graph.h. */
  void (*sweep_adam)(const mynah_adam *a, int64_t n, float *w, float *m, float *v, const float *gradient);
  void (*sweep_sgd)(const mynah_sgd *a, int64_t n, float *w, float *buffer, const float *gradient);
  void (*sweep_ema)(float decay, int64_t n, float *average, const float *w);
  void (*sweep_tree_sum)(int n_in, const float *const *in, float scale, int64_t n, float *out);
  double (*sweep_sum_squares)(int64_t n, const float *x);
} mynah__fast;

/* The best level of this processor. */
const mynah__fast *mynah__fast_get(void);
/* All levels compiled in that this processor can run, best first, ended by NULL: for tests. */
const mynah__fast *const *mynah__fast_levels(void);
/* Tests only: the level used from now on (NULL: the best). */
void mynah__fast_force(const mynah__fast *level);

#define MYNAH__JOIN_(a, b, c) a##b##_##c
#define MYNAH__JOIN(a, b, c) MYNAH__JOIN_(a, b, c)
/* The name of a function of this level: LEVEL(find_unary) is mynah__avx512_find_unary. Files over operands of either
 * precision are compiled twice a level: what they define there is FAST(linear), mynah__avx512_linear and
 * mynah__avx512_bf16_linear. */
#define LEVEL(name) MYNAH__JOIN(mynah__, MYNAH__ISA, name)
#ifdef MYNAH__BF16
#define FAST(name) LEVEL(bf16_##name)
#else
#define FAST(name) LEVEL(name)
#endif

#endif
