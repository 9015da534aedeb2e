/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Chooses the ISA level once, and the public sweeps, which go through it. */
#include "fast.h"

#include <stdatomic.h>

extern const mynah__fast mynah__base_fast;
#if defined(__x86_64__)
extern const mynah__fast mynah__avx2_fast, mynah__avx512_fast, mynah__avx512bf16_fast;
#endif

static const mynah__fast *_Atomic chosen;

const mynah__fast *const *mynah__fast_levels(void) {
  static const mynah__fast *const none[] = {&mynah__base_fast, NULL};
#if defined(__x86_64__)
  static const mynah__fast *const all[] = {&mynah__avx512bf16_fast, &mynah__avx512_fast, &mynah__avx2_fast,
                                           &mynah__base_fast, NULL};
  __builtin_cpu_init();
  bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (has_avx512 && __builtin_cpu_supports("avx512bf16")) return all;
  if (has_avx512) return all + 1;
  if (has_avx2) return all + 2;
#endif
  return none;
}

void mynah__fast_force(const mynah__fast *level) { atomic_store(&chosen, level); }

/* Two threads that arrive together find the same level. */
const mynah__fast *mynah__fast_get(void) {
  const mynah__fast *level = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (!level) {
    level = mynah__fast_levels()[0];
    atomic_store(&chosen, level);
  }
  return level;
}

void mynah_sweep_adam(const mynah_adam *a, int64_t n, float *w, float *m, float *v, const float *gradient) {
  mynah__fast_get()->sweep_adam(a, n, w, m, v, gradient);
}
void mynah_sweep_sgd(const mynah_sgd *a, int64_t n, float *w, float *buffer, const float *gradient) {
  mynah__fast_get()->sweep_sgd(a, n, w, buffer, gradient);
}
void mynah_sweep_ema(float decay, int64_t n, float *average, const float *w) {
  mynah__fast_get()->sweep_ema(decay, n, average, w);
}
void mynah_sweep_tree_sum(int n_in, const float *const *in, float scale, int64_t n, float *out) {
  mynah__fast_get()->sweep_tree_sum(n_in, in, scale, n, out);
}
double mynah_sweep_sum_squares(int64_t n, const float *x) { return mynah__fast_get()->sweep_sum_squares(n, x); }
