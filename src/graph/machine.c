/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What one core of this machine can do: the limits that times are compared with. */
#include <mynah/graph.h>

#define READ_BYTES ((size_t)96 << 20) /* more than a core's share of most caches */
#define READ_ROUNDS 6
#define PEAK_ROUNDS 10
#define PEAK_CALLS 1000000

#if defined(__x86_64__)
/* Independent sums in 24 registers of 16 lanes, or in 12 of 8: neither latency nor memory limits them. */
#define PEAK(level, isa, lanes, n_sums, sums, ...)                                                 \
  __attribute__((target(isa))) static double multiply_adds_##level(int64_t n) {                    \
    typedef float wide __attribute__((vector_size(4 * lanes)));                                    \
    wide x = {1}, y = {2};                                                                         \
    int64_t begin = mynah_now_ns();                                                                \
    for (int64_t i = 0; i < n; i++) __asm__ volatile(sums : : "v"(x), "v"(y) : __VA_ARGS__);       \
    return (double)n * n_sums * lanes * 2 / (double)(mynah_now_ns() - begin);                      \
  }
#define Y(r) "vfmadd231ps %0, %1, %%ymm" #r "\n\t"
#define Z(r) "vfmadd231ps %0, %1, %%zmm" #r "\n\t"
PEAK(avx2, "avx2,fma", 8, 12, Y(4) Y(5) Y(6) Y(7) Y(8) Y(9) Y(10) Y(11) Y(12) Y(13) Y(14) Y(15), "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
     "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")
PEAK(avx512, "avx512f", 16, 24,
     Z(8) Z(9) Z(10) Z(11) Z(12) Z(13) Z(14) Z(15) Z(16) Z(17) Z(18) Z(19) Z(20) Z(21) Z(22) Z(23) Z(24) Z(25) Z(26) Z(27) Z(28) Z(29)
         Z(30) Z(31),
     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
     "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31")

static double measure_gflops(void) {
  double best = 0;
  double (*measure)(int64_t) = NULL;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) measure = multiply_adds_avx2;
  if (__builtin_cpu_supports("avx512f")) measure = multiply_adds_avx512;
  for (int i = 0; measure && i < PEAK_ROUNDS; i++) {
    double rate = measure(PEAK_CALLS);
    if (rate > best) best = rate;
  }
  return best;
}
#else
static double measure_gflops(void) { return 0; }
#endif

/* Sums in as many registers as loads can be under way. */
static double read_once(const uint64_t *data, size_t n, uint64_t *sum) {
  typedef uint64_t wide __attribute__((vector_size(64), may_alias));
  const wide *in = (const wide *)(const void *)data;
  wide sums[4] = {{0}};
  int64_t begin = mynah_now_ns();
  for (size_t i = 0; i + 4 <= n / 8; i += 4)
    for (int k = 0; k < 4; k++) sums[k] += in[i + (size_t)k];
  double ns = (double)(mynah_now_ns() - begin);
  for (int k = 0; k < 4; k++) *sum += sums[k][0];
  return ns;
}

static double measure_gb_s(void) {
  uint64_t *data = mynah_alloc(READ_BYTES), sum = 0;
  double best = 0;
  if (!data) return 0;
  for (size_t i = 0; i < READ_BYTES / sizeof *data; i++) data[i] = i;
  for (int i = 0; i < READ_ROUNDS; i++) {
    double rate = (double)READ_BYTES / read_once(data, READ_BYTES / sizeof *data, &sum);
    if (rate > best) best = rate;
  }
  __asm__ volatile("" : : "r"(sum));
  mynah_free(data);
  return best;
}

mynah_machine mynah_machine_measure(void) { return (mynah_machine){measure_gflops(), measure_gb_s()}; }
