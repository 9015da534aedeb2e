/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Winograd's transforms along one axis, of vectors of channels: B^T d, G g and A^T s, and for gradients A y and G^T s.
 *
 * m: outputs of a tile; stride 1 is F(m,3), 2 the same with the odd inputs beside it, LINE F(2,5). See winograd.c. */
#ifndef MYNAH_GRAPH_FAST_WINOGRAD_LINES_H
#define MYNAH_GRAPH_FAST_WINOGRAD_LINES_H

#include "vec.h"

#define ROOT_HALF 0.70710678118654752f
#define ROOT_TWO 1.41421356237309505f
#define LINE 0 /* in place of a stride: F(2,5) along a line */
#define LINE_SIDE 6

/* Loops over a tile are unrolled, but not with the instruments of sanitizers in them, which would be compiled for minutes. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNROLLED _Pragma("clang loop unroll(disable)")
#endif
#endif
#ifndef UNROLLED
#define UNROLLED UNROLL
#endif

/* B^T d */
INLINE void input_line(const int m, const int stride, const vec *d, vec *t) {
  if (stride == 2) {
    UNROLLED for (int i = 0; i < m; i++) t[m + 1 + i] = d[2 * i + 1];
    if (m == 2) {
      t[0] = d[0] - d[2], t[1] = d[2], t[2] = d[4] - d[2];
      return;
    }
    vec high = d[6] - 2.0f * d[2], low = ROOT_HALF * d[4] - ROOT_TWO * d[0]; /* a (d4 - b^2 d0) */
    vec high2 = d[6] - 0.5f * d[2], low2 = ROOT_TWO * d[4] - ROOT_HALF * d[0];
    t[0] = high + low, t[1] = high - low;
    t[2] = high2 + low2, t[3] = high2 - low2;
    t[4] = d[0] - 2.5f * d[4] + d[8];
    return;
  }
  if (m == 2) {
    t[0] = d[0] - d[2], t[1] = d[1] + d[2], t[2] = d[2] - d[1], t[3] = d[3] - d[1];
    return;
  }
  vec even = d[4] - 2.0f * d[2], odd = ROOT_HALF * d[3] - ROOT_TWO * d[1]; /* a (d3 - b^2 d1) */
  vec even2 = d[4] - 0.5f * d[2], odd2 = ROOT_TWO * d[3] - ROOT_HALF * d[1];
  t[0] = d[0] - 2.5f * d[2] + d[4];
  t[1] = even + odd, t[2] = even - odd;
  t[3] = even2 + odd2, t[4] = even2 - odd2;
  t[5] = d[1] - 2.5f * d[3] + d[5];
}

/* G g, without the repetitions of the middle tap */
INLINE void filter_line(const int m, const int stride, const vec *g, vec *t) {
  if (stride == 2) {
    t[m] = g[2], t[m + 1] = g[1];
    if (m == 2) {
      t[0] = g[0], t[1] = g[0] + g[2];
      return;
    }
    vec third = g[2] * (1.0f / 3), first = g[0] * (1.0f / 3 * ROOT_TWO), first2 = g[0] * (1.0f / 3 * ROOT_HALF);
    t[0] = -first - third, t[1] = first - third;
    t[2] = third + first2, t[3] = third - first2;
    return;
  }
  if (m == 2) {
    vec half = 0.5f * (g[0] + g[2]);
    t[0] = g[0], t[1] = half + 0.5f * g[1], t[2] = half - 0.5f * g[1], t[3] = g[2];
    return;
  }
  vec even = (g[0] + 0.5f * g[2]) * (-2.0f / 3), odd = g[1] * (-2.0f / 3 * ROOT_HALF);
  vec even2 = (g[0] + 2.0f * g[2]) * (1.0f / 6), odd2 = g[1] * (1.0f / 6 * ROOT_TWO);
  t[0] = g[0];
  t[1] = even + odd, t[2] = even - odd;
  t[3] = even2 + odd2, t[4] = even2 - odd2;
  t[5] = g[2];
}

/* A^T s */
INLINE void output_line(const int m, const int stride, const vec *s, vec *y) {
  if (stride == 2) {
    if (m == 2) {
      y[0] = s[0] + s[1] + s[3], y[1] = s[1] + s[2] + s[4];
      return;
    }
    vec sum = s[0] + s[1], sum2 = s[2] + s[3], difference = s[0] - s[1], difference2 = s[2] - s[3];
    y[0] = sum + sum2 + s[5];
    y[1] = ROOT_HALF * difference + ROOT_TWO * difference2 + s[6];
    y[2] = 0.5f * sum + 2.0f * sum2 + s[7];
    y[3] = 0.5f * ROOT_HALF * difference + 2.0f * ROOT_TWO * difference2 + s[4] + s[8];
    return;
  }
  if (m == 2) {
    y[0] = s[0] + s[1] + s[2], y[1] = s[1] - s[2] + s[3];
    return;
  }
  vec sum = s[1] + s[2], sum2 = s[3] + s[4], difference = s[1] - s[2], difference2 = s[3] - s[4];
  y[0] = s[0] + sum + sum2;
  y[1] = ROOT_HALF * difference + ROOT_TWO * difference2;
  y[2] = 0.5f * sum + 2.0f * sum2;
  y[3] = 0.5f * ROOT_HALF * difference + 2.0f * ROOT_TWO * difference2 + s[5];
}

/* G g, A^T s of F(2,5); B^T is that of F(4,3) */
INLINE void filter_five(const vec *g, vec *t) {
  vec even = (g[0] + 0.5f * g[2] + 0.25f * g[4]) * (-2.0f / 3), odd = (g[1] + 0.5f * g[3]) * (-2.0f / 3 * ROOT_HALF);
  vec even2 = (g[0] + 2.0f * g[2] + 4.0f * g[4]) * (1.0f / 6), odd2 = (g[1] + 2.0f * g[3]) * (1.0f / 6 * ROOT_TWO);
  t[0] = g[0];
  t[1] = even + odd, t[2] = even - odd;
  t[3] = even2 + odd2, t[4] = even2 - odd2;
  t[5] = g[4];
}
INLINE void output_five(const vec *s, vec *y) {
  y[0] = s[0] + (s[1] + s[2]) + (s[3] + s[4]);
  y[1] = ROOT_HALF * (s[1] - s[2]) + ROOT_TWO * (s[3] - s[4]) + s[5];
}

/* A y: output_line, or output_five, turned around */
INLINE void spread_line(const int m, const int stride, const vec *y, vec *t) {
  if (stride == LINE) {
    vec odd = ROOT_HALF * y[1], odd2 = ROOT_TWO * y[1];
    t[0] = y[0], t[1] = y[0] + odd, t[2] = y[0] - odd, t[3] = y[0] + odd2, t[4] = y[0] - odd2, t[5] = y[1];
    return;
  }
  if (m == 2) {
    t[0] = y[0], t[1] = y[0] + y[1], t[2] = y[0] - y[1], t[3] = y[1];
    return;
  }
  vec even = y[0] + 0.5f * y[2], odd = ROOT_HALF * (y[1] + 0.5f * y[3]), even2 = y[0] + 2.0f * y[2], odd2 = ROOT_TWO * (y[1] + 2.0f * y[3]);
  t[0] = y[0];
  t[1] = even + odd, t[2] = even - odd;
  t[3] = even2 + odd2, t[4] = even2 - odd2;
  t[5] = y[3];
}

/* G^T s: filter_line, or filter_five, turned around */
INLINE void gather_five(const vec *s, vec *g) {
  vec sum = s[1] + s[2], sum2 = s[3] + s[4], odd = (-2.0f / 3 * ROOT_HALF) * (s[1] - s[2]), odd2 = (1.0f / 6 * ROOT_TWO) * (s[3] - s[4]);
  g[0] = s[0] + (1.0f / 6) * sum2 - (2.0f / 3) * sum;
  g[1] = odd2 + odd;
  g[2] = (1.0f / 3) * (sum2 - sum);
  g[3] = 2.0f * odd2 + 0.5f * odd;
  g[4] = s[5] + (2.0f / 3) * sum2 - (1.0f / 6) * sum;
}
INLINE void gather_line(const int m, const vec *s, vec *g) {
  if (m == 2) {
    vec half = 0.5f * (s[1] + s[2]);
    g[0] = s[0] + half, g[1] = 0.5f * (s[1] - s[2]), g[2] = s[3] + half;
    return;
  }
  vec sum = s[1] + s[2], sum2 = s[3] + s[4];
  g[0] = s[0] + (1.0f / 6) * sum2 - (2.0f / 3) * sum;
  g[1] = (1.0f / 6 * ROOT_TWO) * (s[3] - s[4]) - (2.0f / 3 * ROOT_HALF) * (s[1] - s[2]);
  g[2] = s[5] + (1.0f / 3) * (sum2 - sum);
}

#endif
