/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One vector of floats as wide as the ISA level this file is compiled for, and the few functions it needs.
 *
 * GCC/clang vector types, so that one source serves AVX-512 (16 lanes), AVX2 (8) and everything else (4). Intrinsics
 * stand only where both compilers miss the one instruction there is: masked loads and stores, and a repeated load of
 * four floats (gcc 12 builds it from sixteen inserts: measured 5 times slower in the tile kernels). */
#ifndef MYNAH_GRAPH_FAST_VEC_H
#define MYNAH_GRAPH_FAST_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VL 16
#include <immintrin.h>
#elif defined(__AVX2__)
#define VL 8
#include <immintrin.h>
#else
#define VL 4
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec __attribute__((vector_size(4 * VL)));
typedef int32_t ivec __attribute__((vector_size(4 * VL)));
typedef uint32_t uvec __attribute__((vector_size(4 * VL)));
typedef float loose_vec __attribute__((vector_size(4 * VL), aligned(4), may_alias)); /* in memory, any alignment */
typedef float loose_quad __attribute__((vector_size(16), aligned(4), may_alias));

INLINE vec load(const float *p) { return *(const loose_vec *)p; }
INLINE void store(float *p, vec v) { *(loose_vec *)p = v; }
INLINE vec splat(float a) { return a - (vec){0}; }
/* *sum += a b. Sixteen registers hold a tile's sums, a row of b and one number of a only if the sums stay where they are: gcc 12
 * moves them about and spills two of them in every step (measured on 6 by 16 sums: 82 % of the peak, so 88 %). */
#if VL == 8
INLINE void multiply_add(vec *sum, vec a, vec b) { __asm__("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b)); }
#else
INLINE void multiply_add(vec *sum, vec a, vec b) { *sum += a * b; }
#endif
INLINE ivec isplat(int32_t a) { return a - (ivec){0}; }
/* a where m (all ones or all zeros a lane), else b. */
INLINE vec choose(ivec m, vec a, vec b) { return (vec)((m & (ivec)a) | (~m & (ivec)b)); }
INLINE vec absolute(vec x) { return (vec)((ivec)x & isplat(0x7fffffff)); }
/* x > y ? x : y and x < y ? x : y: a NaN on either side gives y. */
#if VL == 16
INLINE vec larger(vec x, vec y) { return (vec)_mm512_max_ps((__m512)x, (__m512)y); }
INLINE vec smaller(vec x, vec y) { return (vec)_mm512_min_ps((__m512)x, (__m512)y); }
#elif VL == 8
INLINE vec larger(vec x, vec y) { return (vec)_mm256_max_ps((__m256)x, (__m256)y); }
INLINE vec smaller(vec x, vec y) { return (vec)_mm256_min_ps((__m256)x, (__m256)y); }
#else
INLINE vec larger(vec x, vec y) { return choose(x > y, x, y); }
INLINE vec smaller(vec x, vec y) { return choose(x < y, x, y); }
#endif

#if VL == 16
#define ZERO_OR_INF (0x02 | 0x04 | 0x08 | 0x10) /* classes of fpclass: +0, -0, +inf, -inf */
/* The first n < VL floats, zeros behind. */
INLINE vec load_part(const float *p, int64_t n) { return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void store_part(float *p, vec v, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
INLINE vec load_bytes(const uint8_t *p) {
  return (vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* 1 / x within 1 ulp for normal x: 14 bits, then one Newton step; half the time of a division. */
INLINE vec reciprocal(vec x) {
  vec y = (vec)_mm512_rcp14_ps((__m512)x), better = y + y * (1.0f - x * y);
  return (vec)_mm512_mask_blend_ps(_mm512_fpclass_ps_mask((__m512)y, ZERO_OR_INF), (__m512)better, (__m512)y);
}
/* sqrt(x) for x >= 0 within 2 ulp, a third of the time of the instruction. */
INLINE vec quick_root(vec x) {
  vec y = (vec)_mm512_rsqrt14_ps((__m512)x), root = x * (y * (1.5f - 0.5f * x * (y * y)));
  return (vec)_mm512_mask_blend_ps(_mm512_fpclass_ps_mask((__m512)x, ZERO_OR_INF), (__m512)root, (__m512)x);
}
/* p[0..3] in each quarter of the vector. */
INLINE vec repeat_quad(const float *p) { return (vec)_mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
INLINE vec square_root(vec x) { return (vec)_mm512_sqrt_ps((__m512)x); }
/* Nearest integer, as a float. */
INLINE vec nearest(vec x) {
  return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE ivec to_int(vec x) { return (ivec)_mm512_cvttps_epi32((__m512)x); }
#elif VL == 8
INLINE ivec part_mask(int64_t n) { return (ivec){0, 1, 2, 3, 4, 5, 6, 7} < isplat((int32_t)n); }
INLINE vec load_part(const float *p, int64_t n) { return (vec)_mm256_maskload_ps(p, (__m256i)part_mask(n)); }
/* In pieces: there is one instruction, but on some processors it takes tens of cycles. */
INLINE void store_part(float *p, vec v, int64_t n) {
  __m128 rest = _mm256_castps256_ps128((__m256)v);
  if (n & 4) {
    _mm_storeu_ps(p, rest);
    rest = _mm256_extractf128_ps((__m256)v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi((__m64 *)(void *)p, rest);
    rest = _mm_movehl_ps(rest, rest);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, rest);
}
INLINE vec load_bytes(const uint8_t *p) {
  return (vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
INLINE vec reciprocal(vec x) { return 1.0f / x; }
INLINE vec repeat_quad(const float *p) { return (vec)_mm256_broadcast_ps((const __m128 *)(const void *)p); }
INLINE vec square_root(vec x) { return (vec)_mm256_sqrt_ps((__m256)x); }
INLINE vec nearest(vec x) { return (vec)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE ivec to_int(vec x) { return (ivec)_mm256_cvttps_epi32((__m256)x); }
#else
INLINE vec load_part(const float *p, int64_t n) {
  vec v = {0};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void store_part(float *p, vec v, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
}
INLINE vec load_bytes(const uint8_t *p) { return (vec){(float)p[0], (float)p[1], (float)p[2], (float)p[3]}; }
INLINE vec reciprocal(vec x) { return 1.0f / x; }
INLINE vec repeat_quad(const float *p) { return load(p); }
INLINE vec square_root(vec x) {
  vec y;
  for (int i = 0; i < VL; i++) y[i] = __builtin_sqrtf(x[i]);
  return y;
}
INLINE ivec to_int(vec x) { return __builtin_convertvector(x, ivec); }
/* Adding and taking away 1.5 * 2^23 rounds, for |x| < 2^22. */
INLINE vec nearest(vec x) {
  vec shifted = x + splat(12582912.0f);
  return shifted - splat(12582912.0f);
}
#endif
#if VL != 16
INLINE vec quick_root(vec x) { return square_root(x); }
#endif

/* v with zeros from lane n on; n 0 means a whole vector, as in load_at. */
INLINE vec keep_part(vec v, int64_t n) {
  static const int32_t count[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  ivec lane;
  memcpy(&lane, count, sizeof lane);
  return n ? choose(lane < isplat((int32_t)n), v, (vec){0}) : v;
}

/* Sum of all lanes, in a fixed order. */
INLINE float sum_lanes(vec v) {
  float lane[VL];
  memcpy(lane, &v, sizeof lane);
  for (int half = VL / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}
INLINE float largest_lane(vec v) {
  float best = v[0];
  for (int i = 1; i < VL; i++) best = v[i] > best ? v[i] : best;
  return best;
}

/* A whole vector at p + i when part is 0, else its first `part` lanes: loops go i = 0, VL, 2 VL … < n with
 * part = n - i < VL ? n - i : 0. */
INLINE vec load_at(const float *p, int64_t i, int64_t part) { return part ? load_part(p + i, part) : load(p + i); }
INLINE void store_at(float *p, int64_t i, int64_t part, vec v) {
  if (part) store_part(p + i, v, part);
  else store(p + i, v);
}

/* p 2^n for whole n in [-127, 129]: in two factors, because 2^128 is no float. */
INLINE vec times_power(vec p, vec n) {
#if VL == 16
  return (vec)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
  ivec whole = to_int(n), half = whole >> 1, rest = whole - half;
  return p * (vec)((half + 127) << 23) * (vec)((rest + 127) << 23);
#endif
}

/* e^x within 1.5 ulp; below -87.33 it is 0 (no subnormals), above 88.72 inf; NaN stays. x = n ln 2 + r with ln 2 in two
 * pieces (Cody and Waite 1980), e^r as its Taylor polynomial to the 7th power: |r| <= 0.347, remainder < 6e-9. */
INLINE vec exponential(vec x) {
  vec bounded = smaller(splat(89.0f), larger(splat(-88.5f), x)); /* NaN passes: see larger */
  vec n = nearest(bounded * 1.44269504088896341f);
  vec r = bounded - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  vec p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  return choose(x < splat(-87.33654f), (vec){0}, times_power(p, n));
}

/* ln x within 1.5 ulp for normal x > 0; 0 and subnormals give -inf, negative NaN; inf and NaN stay.
 * x = 2^n m with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m-1)/(m+1), as its series to s^11. */
INLINE vec logarithm(vec x) {
  ivec bits = (ivec)x, n = ((bits - 0x3f3504f3) >> 23);
  vec m = (vec)(bits - (n << 23));
  vec f = m - 1.0f, s = f / (f + 2.0f), z = s * s;
  vec p = splat(2.0f / 11);
  p = p * z + 2.0f / 9;
  p = p * z + 2.0f / 7;
  p = p * z + 2.0f / 5;
  p = p * z + 2.0f / 3;
  /* 2 s = f - s f, which keeps f exact */
  vec whole = __builtin_convertvector(n, vec);
  vec y = whole * 0.693359375f + (f + (s * (z * p - f) + whole * -2.12194440e-4f));
  y = choose(x < splat(1.17549435e-38f), splat(-__builtin_inff()), y);
  y = choose(x < (vec){0}, splat(__builtin_nanf("")), y);
  return choose((x == splat(__builtin_inff())) | (x != x), x, y);
}

/* 1 / (1 + e^-x) within 3 ulp. */
INLINE vec logistic(vec x) { return reciprocal(1.0f + exponential(-x)); }

/* tanh x within 3 ulp: odd polynomial for |x| < 0.625 (coefficients fitted by least squares on Chebyshev nodes), else
 * 1 - 2 / (e^2|x| + 1). */
INLINE vec hyperbolic_tangent(vec x) {
  vec size = absolute(x), z = x * x;
  vec p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z + -5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z + -3.33332819422e-1f;
  vec near = p * z * x + x;
  vec far = 1.0f - 2.0f * reciprocal(exponential(size + size) + 1.0f);
  far = (vec)((ivec)far | ((ivec)x & isplat((int32_t)0x80000000u)));
  return choose(size < splat(0.625f), near, choose(x == x, far, x));
}

#endif
