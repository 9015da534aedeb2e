/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Prototypes of the functions that each ISA level defines; included where MYNAH__ISA is set. */
#ifndef MYNAH_GRAPH_FAST_LEVEL_H
#define MYNAH_GRAPH_FAST_LEVEL_H

#include "fast.h"

#define MYNAH__DECLARE_RUN(run) void LEVEL(run)(const mynah__call *call);
MYNAH__FAST_RUNS(MYNAH__DECLARE_RUN)
#undef MYNAH__DECLARE_RUN

#define MYNAH__DECLARE_PRODUCT(name)                                          \
  void LEVEL(name##_plan)(const mynah__step *step, mynah__plan *plan);        \
  void LEVEL(bf16_##name##_plan)(const mynah__step *step, mynah__plan *plan); \
  void LEVEL(name)(const mynah__call *call);                                  \
  void LEVEL(bf16_##name)(const mynah__call *call);
MYNAH__FAST_PRODUCTS(MYNAH__DECLARE_PRODUCT)
#undef MYNAH__DECLARE_PRODUCT

#define MYNAH__DECLARE_PACK(name)                                                                          \
  void LEVEL(name##_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed); \
  void LEVEL(bf16_##name##_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed);
MYNAH__FAST_PACKS(MYNAH__DECLARE_PACK)
#undef MYNAH__DECLARE_PACK

void LEVEL(winograd_plan)(const mynah__step *step, mynah__plan *plan);
void LEVEL(winograd_grad_w_plan)(const mynah__step *step, mynah__plan *plan);
void LEVEL(winograd_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed);
const mynah__fast_function *LEVEL(find_unary)(const char *name);
void LEVEL(sweep_adam)(const mynah_adam *a, int64_t n, float *w, float *m, float *v, const float *gradient);
void LEVEL(sweep_sgd)(const mynah_sgd *a, int64_t n, float *w, float *buffer, const float *gradient);
void LEVEL(sweep_ema)(float decay, int64_t n, float *average, const float *w);
void LEVEL(sweep_tree_sum)(int n_in, const float *const *in, float scale, int64_t n, float *out);
double LEVEL(sweep_sum_squares)(int64_t n, const float *x);

#endif
