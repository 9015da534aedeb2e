/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Chooses the ISA level once, and the public sweeps, which go through it. */
#include "fast.h"

#include <pthread.h>
#include <stdatomic.h>

extern const mynah__fast mynah__base_fast, mynah__avx2_fast, mynah__avx512_fast, mynah__avx512bf16_fast;

static const mynah__fast *_Atomic chosen;

static const mynah__fast *levels[5];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Those that were compiled and that this processor runs, best first. */
static void find_levels(void) {
  int n = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#if defined(MYNAH__HAS_AVX512BF16)
  if (has_avx512 && __builtin_cpu_supports("avx512bf16")) levels[n++] = &mynah__avx512bf16_fast;
#endif
#if defined(MYNAH__HAS_AVX512)
  if (has_avx512) levels[n++] = &mynah__avx512_fast;
#endif
#if defined(MYNAH__HAS_AVX2)
  if (has_avx2) levels[n++] = &mynah__avx2_fast;
#endif
  (void)has_avx512;
#endif
  levels[n++] = &mynah__base_fast;
  levels[n] = NULL;
}

const mynah__fast *const *mynah__fast_levels(void) {
  pthread_once(&once, find_levels);
  return levels;
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
