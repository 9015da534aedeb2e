/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Prototypes of the functions that each ISA level defines; included where MYNAH__ISA is set. */
#ifndef MYNAH_GRAPH_FAST_LEVEL_H
#define MYNAH_GRAPH_FAST_LEVEL_H

#include "fast.h"

#define MYNAH__DECLARE_RUN(run) void FAST(run)(const mynah__call *call);
MYNAH__FAST_RUNS(MYNAH__DECLARE_RUN)
#undef MYNAH__DECLARE_RUN

#define MYNAH__DECLARE_PLAN(name) void FAST(name##_plan)(const mynah__step *step, mynah__plan *plan);
MYNAH__FAST_PLANS(MYNAH__DECLARE_PLAN)
#undef MYNAH__DECLARE_PLAN

#define MYNAH__DECLARE_PACK(name) \
  void FAST(name##_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed);
MYNAH__FAST_PACKS(MYNAH__DECLARE_PACK)
#undef MYNAH__DECLARE_PACK

const mynah__fast_function *FAST(find_unary)(const char *name);
void FAST(sweep_adam)(const mynah_adam *a, int64_t n, float *w, float *m, float *v, const float *gradient);
void FAST(sweep_sgd)(const mynah_sgd *a, int64_t n, float *w, float *buffer, const float *gradient);
void FAST(sweep_ema)(float decay, int64_t n, float *average, const float *w);
void FAST(sweep_tree_sum)(int n_in, const float *const *in, float scale, int64_t n, float *out);
double FAST(sweep_sum_squares)(int64_t n, const float *x);

#endif
