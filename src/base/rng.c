/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Philox4x32-10 and what is drawn from it: uniform, bounded, normal, permuted.
 *
 * Draw number p of a stream is word p % 4 of the block with counter {p / 4, stream} and key {seed}. Normal number p
 * comes from the pair of draws p & ~1, p | 1 (even: cosine, odd: sine), so a normal also advances the position by one
 * and a value never depends on how a stream was cut up. sin, cos and log are our own and only use operations that IEEE
 * 754 rounds exactly: every machine draws the same numbers, whatever its vector width. */
#include <mynah/base.h>

#include <math.h>
#include <string.h>

#define M0 0xd2511f53u
#define M1 0xcd9e8d57u
#define W0 0x9e3779b9u
#define W1 0xbb67ae85u
#define N_ROUNDS 10

static void philox(const uint32_t counter[4], uint32_t k0, uint32_t k1, uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int i = 0; i < N_ROUNDS; i++, k0 += W0, k1 += W1) {
    uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* For the known-answer test. */
void mynah__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
void mynah__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  philox(counter, key[0], key[1], out);
}

static void draw_block(const mynah_rng *r, uint64_t index, uint32_t out[4]) {
  uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)r->stream, (uint32_t)(r->stream >> 32)};
  philox(counter, (uint32_t)r->seed, (uint32_t)(r->seed >> 32), out);
}

mynah_rng mynah_rng_make(uint64_t seed, uint64_t stream) { return (mynah_rng){.seed = seed, .stream = stream}; }

uint32_t mynah_rng_u32(mynah_rng *r) {
  uint32_t block[4];
  draw_block(r, r->position / 4, block);
  return block[r->position++ % 4];
}

void mynah_rng_fill_u32(mynah_rng *r, uint32_t *out, size_t n) {
  size_t i = 0;
  for (; i < n && r->position % 4 != 0; i++) out[i] = mynah_rng_u32(r);
  for (; i + 4 <= n; i += 4, r->position += 4) draw_block(r, r->position / 4, out + i);
  for (; i < n; i++) out[i] = mynah_rng_u32(r);
}

uint64_t mynah_rng_u64(mynah_rng *r) {
  uint32_t block[4];
  unsigned at = (unsigned)(r->position % 4);
  if (at == 3) {
    uint64_t low = mynah_rng_u32(r);
    return low | (uint64_t)mynah_rng_u32(r) << 32;
  }
  draw_block(r, r->position / 4, block);
  r->position += 2;
  return block[at] | (uint64_t)block[at + 1] << 32;
}

double mynah_rng_uniform(mynah_rng *r) { return (double)(mynah_rng_u64(r) >> 11) * 0x1p-53; }

double mynah_rng_range(mynah_rng *r, double low, double high) { return low + (high - low) * mynah_rng_uniform(r); }

/* Lemire 2019, "Fast random integer generation in an interval": the high half of a product, with rejection of the few
 * draws that would favour some values. */
uint64_t mynah_rng_below(mynah_rng *r, uint64_t n) {
  if (n <= 1) return 0;
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)mynah_rng_u64(r) * n;
  if ((uint64_t)product < n) {
    uint64_t threshold = (0 - n) % n;
    while ((uint64_t)product < threshold) product = (wide)mynah_rng_u64(r) * n;
  }
  return (uint64_t)(product >> 64);
}

static inline float bits_to_float(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

/* sqrt(-2 ln u) for u = (a / 2 + 1/2) / 2^31 in (0, 1], largest 6.76. With u = 2^e m, m in [sqrt(1/2), sqrt(2)), and
 * s = (m - 1) / (m + 1): ln m = 2 s (1 + s^2/3 + s^4/5 + s^6/7 + s^8/9), cut off at 2e-9. */
static inline float normal_radius(uint32_t a) {
  float u = ((float)(int32_t)(a >> 1) + 0.5f) * 0x1p-31f;
  uint32_t bits;
  memcpy(&bits, &u, sizeof bits);
  uint32_t shifted = bits - 0x3f3504f3u; /* the exponent steps at sqrt(1/2) instead of at 1 */
  int32_t e = (int32_t)shifted >> 23;
  float m = bits_to_float((shifted & 0x007fffffu) + 0x3f3504f3u);
  float s = (m - 1.0f) / (m + 1.0f), z = s * s;
  float series = 2.0f + z * (0.66666667f + z * (0.4f + z * (0.28571429f + z * 0.22222222f)));
  float ln = (float)e * 0.69314718f + s * series;
  return sqrtf(ln < 0.0f ? -2.0f * ln : 0.0f);
}

/* Cosine and sine of 2 pi b / 2^32: the two top bits (rounded) are the quarter turn, the rest an angle in +-pi/4 for
 * the Taylor polynomials (absolute error below 3e-8, besides rounding). */
static inline void turn(uint32_t b, float *cosine, float *sine) {
  uint32_t quarter = (b + 0x20000000u) >> 30;
  float x = (float)(int32_t)(b - (quarter << 30)) * 1.46291807e-9f; /* 2 pi / 2^32 */
  float z = x * x;
  float sin_x = x * (1.0f + z * (-0.16666667f + z * (8.3333333e-3f + z * (-1.9841270e-4f + z * 2.7557319e-6f))));
  float cos_x = 1.0f + z * (-0.5f + z * (4.1666667e-2f + z * (-1.3888889e-3f + z * 2.4801587e-5f)));
  bool is_swapped = (quarter & 1) != 0;
  float c = is_swapped ? sin_x : cos_x, s = is_swapped ? cos_x : sin_x;
  *cosine = ((quarter + 1) & 2) != 0 ? -c : c;
  *sine = (quarter & 2) != 0 ? -s : s;
}

double mynah_rng_normal(mynah_rng *r) {
  uint32_t block[4];
  float cosine, sine;
  unsigned at = (unsigned)(r->position % 4), pair = at & 2u;
  draw_block(r, r->position / 4, block);
  r->position++;
  turn(block[pair + 1], &cosine, &sine);
  return (double)(normal_radius(block[pair]) * (at & 1 ? sine : cosine));
}

#define LANES 64 /* blocks computed side by side */

/* Values of LANES blocks from block number `index` on. Loops over lanes are what the compiler turns into vectors.
 * Shape: out (LANES, 4). */
static inline __attribute__((always_inline)) void normal_lanes(const mynah_rng *r, uint64_t index,
                                                               float *restrict out) {
  uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
  uint32_t k0 = (uint32_t)r->seed, k1 = (uint32_t)(r->seed >> 32);
  for (int i = 0; i < LANES; i++) {
    c0[i] = (uint32_t)(index + (uint64_t)i);
    c1[i] = (uint32_t)((index + (uint64_t)i) >> 32);
    c2[i] = (uint32_t)r->stream;
    c3[i] = (uint32_t)(r->stream >> 32);
  }
  for (int round = 0; round < N_ROUNDS; round++, k0 += W0, k1 += W1) {
    for (int i = 0; i < LANES; i++) {
      uint64_t p0 = (uint64_t)M0 * c0[i], p1 = (uint64_t)M1 * c2[i];
      c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = (uint32_t)p1;
      c3[i] = (uint32_t)p0;
    }
  }
  float v0[LANES], v1[LANES], v2[LANES], v3[LANES];
  for (int i = 0; i < LANES; i++) {
    float radius = normal_radius(c0[i]), cosine, sine;
    turn(c1[i], &cosine, &sine);
    v0[i] = radius * cosine;
    v1[i] = radius * sine;
  }
  for (int i = 0; i < LANES; i++) {
    float radius = normal_radius(c2[i]), cosine, sine;
    turn(c3[i], &cosine, &sine);
    v2[i] = radius * cosine;
    v3[i] = radius * sine;
  }
  for (int i = 0; i < LANES; i++) {
    out[4 * i] = v0[i];
    out[4 * i + 1] = v1[i];
    out[4 * i + 2] = v2[i];
    out[4 * i + 3] = v3[i];
  }
}

static inline __attribute__((always_inline)) void fill_normal(mynah_rng *r, float *out, size_t n) {
  float values[4 * LANES];
  while (n > 0) {
    size_t skip = (size_t)(r->position % 4), count = 4 * LANES - skip;
    if (count > n) count = n;
    if (count == 4 * LANES) {
      normal_lanes(r, r->position / 4, out);
    } else {
      normal_lanes(r, r->position / 4, values);
      memcpy(out, values + skip, count * sizeof *out);
    }
    r->position += count;
    out += count;
    n -= count;
  }
}

static void fill_normal_plain(mynah_rng *r, float *out, size_t n) { fill_normal(r, out, n); }

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512dq"))) static void fill_normal_avx512(mynah_rng *r, float *out, size_t n) {
  fill_normal(r, out, n);
}
__attribute__((target("avx2"))) static void fill_normal_avx2(mynah_rng *r, float *out, size_t n) {
  fill_normal(r, out, n);
}

void mynah_rng_fill_normal(mynah_rng *r, float *out, size_t n) {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) fill_normal_avx512(r, out, n);
  else if (__builtin_cpu_supports("avx2")) fill_normal_avx2(r, out, n);
  else fill_normal_plain(r, out, n);
}
#else
void mynah_rng_fill_normal(mynah_rng *r, float *out, size_t n) { fill_normal_plain(r, out, n); }
#endif

/* For the test that compares vector widths. */
void mynah__rng_fill_normal_plain(mynah_rng *r, float *out, size_t n);
void mynah__rng_fill_normal_plain(mynah_rng *r, float *out, size_t n) { fill_normal_plain(r, out, n); }

/* Mixes 64 bits (the finaliser of MurmurHash3: shifts and odd multiplications). */
static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

/* A balanced Feistel network permutes 0 … 4^k - 1, the smallest such range that holds n; a result of n or more is fed
 * in again until it falls below n (at most four times on average), which leaves a permutation of 0 … n-1. */
uint64_t mynah_rng_permute(uint64_t i, uint64_t n, uint64_t seed) {
  if (n <= 1) return 0;
  int half = 1;
  while (half < 32 && (n - 1) >> (2 * half)) half++;
  uint64_t mask = half == 32 ? 0xffffffffu : (UINT64_C(1) << half) - 1;
  uint64_t key = mix(seed + 0x9e3779b97f4a7c15u);
  do {
    uint64_t left = i >> half, right = i & mask;
    for (uint64_t round = 0; round < 6; round++) {
      uint64_t next = left ^ (mix(key + (round << 32 | right) * 0x9e3779b97f4a7c15u) & mask);
      left = right;
      right = next;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}
