/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The inner loops under matrix products and convolutions: see tile.h.
 *
 * Each is one always-inlined function instantiated for every size that fits the registers; the compiler keeps the sums
 * in registers because all loops over them have constant bounds. */
#include "tile.h"

/* ---- packing ----------------------------------------------------------------------------------------------------- */

panel FAST(panel_at)(const pack_shape *s, int64_t i) {
  panel p = {.nv = PANEL_VECTORS, .first = i * PANEL_COLUMNS, .width = PANEL_COLUMNS};
  p.offset = i * panel_floats(s, PANEL_VECTORS, 0);
  if (i < panel_count(s) - 1) return p;
  p.width = s->n - p.first;
  p.nv = (int)(p.width / VL);
  p.nt = (int)((p.width % VL + QUARTER - 1) / QUARTER);
  if (p.nt > 3 || p.nv + p.nt > PANEL_VECTORS + 1) p.nv++, p.nt = 0;
  return p;
}

int64_t FAST(packed_floats)(const pack_shape *s) {
  panel last = FAST(panel_at)(s, panel_count(s) - 1);
  return last.offset + panel_floats(s, last.nv, last.nt);
}

/* Column c of the panel at one k; 0 beyond the width. */
INLINE float element(const float *b, int64_t stride, int64_t c, int64_t width) { return c < width ? b[c * stride] : 0; }

/* n columns from `first`, one k: contiguous columns are copied as vectors. */
INLINE void pack_row(const float *b, int64_t stride, int64_t width, int nv, float *out) {
  for (int j = 0; j < nv; j++, out += VL) {
    int64_t left = width - j * VL;
    if (stride == 1) store(out, left >= VL ? load(b + j * VL) : load_part(b + j * VL, left > 0 ? left : 0));
    else
      for (int l = 0; l < VL; l++) out[l] = element(b, stride, j * VL + l, width);
  }
}

/* Four k by QUARTER columns: lane 4 c + q holds column c at k + q. `only` < 4 keeps that q alone. */
INLINE void pack_quarter(const float *b, const int64_t strides[3], int64_t first, int64_t width, int only, float *out) {
  for (int c = 0; c < QUARTER; c++)
    for (int q = 0; q < 4; q++)
      out[4 * c + q] = only == 4   ? element(b + q * strides[1], strides[2], first + c, width)
                       : only == q ? element(b, strides[2], first + c, width)
                                   : 0;
}

INLINE loose_quad quad_of(const float *b, int64_t stride, int64_t c, int64_t width) {
  return c < width ? *(const loose_quad *)(b + c * stride) : (loose_quad){0};
}

/* Four k of a panel whose k are contiguous and columns `stride` apart (weights as stored, in the forward pass): four
 * columns by four k are turned at a time; quarter vectors want them as they are. */
INLINE void pack_turned(const float *b, int64_t stride, const panel *p, float *out) {
  for (int64_t c = 0; c < p->nv * VL; c += 4) {
    loose_quad r0 = quad_of(b, stride, c, p->width), r1 = quad_of(b, stride, c + 1, p->width);
    loose_quad r2 = quad_of(b, stride, c + 2, p->width), r3 = quad_of(b, stride, c + 3, p->width);
    loose_quad low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
               high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    loose_quad low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
               high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    *(loose_quad *)(out + c) = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    *(loose_quad *)(out + p->nv * VL + c) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    *(loose_quad *)(out + 2 * p->nv * VL + c) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    *(loose_quad *)(out + 3 * p->nv * VL + c) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  }
  out += 4 * p->nv * VL;
  for (int64_t c = 0; c < p->nt * QUARTER; c++)
    *(loose_quad *)(out + 4 * c) = quad_of(b, stride, p->nv * VL + c, p->width);
}

static void pack_panel(const pack_shape *s, const panel *p, const float *b, const int64_t strides[3], float *out) {
  b += p->first * strides[2];
  for (int64_t g = 0; g < s->n_segments; g++) {
    const float *segment = b + g * strides[0];
    for (int64_t k = 0; k + 4 <= s->k; k += 4) {
      if (strides[1] == 1) {
        pack_turned(segment + k, strides[2], p, out);
        out += (4 * p->nv + p->nt) * VL;
        continue;
      }
      for (int q = 0; q < 4; q++, out += p->nv * VL)
        pack_row(segment + (k + q) * strides[1], strides[2], p->width, p->nv, out);
      for (int j = 0; j < p->nt; j++, out += VL)
        pack_quarter(segment + k * strides[1], strides, p->nv * VL + j * QUARTER, p->width, 4, out);
    }
    for (int64_t k = s->k / 4 * 4; k < s->k; k++) {
      pack_row(segment + k * strides[1], strides[2], p->width, p->nv, out);
      out += p->nv * VL;
      for (int j = 0; j < p->nt; j++, out += VL)
        pack_quarter(segment + k * strides[1], strides, p->nv * VL + j * QUARTER, p->width, (int)(k % 4), out);
    }
  }
}

void FAST(pack_panels)(const pack_shape *s, const float *b, const int64_t strides[3], const float *bias,
                       float *packed) {
  for (int64_t i = 0; i < panel_count(s); i++) {
    panel p = FAST(panel_at)(s, i);
    float *out = packed + p.offset;
    int64_t n_bias = panel_bias_floats(p.nv, p.nt);
    for (int64_t c = 0; c < n_bias; c++) out[c] = bias && c < p.width ? bias[p.first + c] : 0;
    pack_panel(s, &p, b, strides, out + n_bias);
  }
}

/* ---- rows times packed columns ----------------------------------------------------------------------------------- */

#if VL == 16
INLINE vec swapped(vec t) { return __builtin_shufflevector(t, t, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14); }
INLINE vec swapped_pairs(vec t) { return __builtin_shufflevector(t, t, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13); }
INLINE loose_quad sum_quarter(vec t) {
  t += swapped(t);
  t += swapped_pairs(t);
  return __builtin_shufflevector(t, t, 0, 4, 8, 12);
}
#elif VL == 8
/* Sums of neighbours of a and b, by halves of the register: a0+a1, a2+a3, b0+b1, b2+b3, a4+a5 … */
INLINE vec sum_pairs(vec a, vec b) {
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
}
#endif

/* The columns of NT quarter vectors, each the sum of four neighbours: (0+1) + (2+3). */
INLINE vec sum_quarters(const int NT, const vec *t) {
#if VL == 16
  float columns[VL] = {0};
  vec out;
  UNROLL for (int j = 0; j < NT; j++) *(loose_quad *)(columns + j * QUARTER) = sum_quarter(t[j]);
  memcpy(&out, columns, sizeof out);
  return out;
#elif VL == 8
  vec last = NT > 2 ? t[2] : (vec){0}, both = sum_pairs(sum_pairs(t[0], NT > 1 ? t[1] : (vec){0}), sum_pairs(last, last));
  return __builtin_shufflevector(both, both, 0, 4, 1, 5, 2, 6, 3, 7);
#else
  vec out = {0};
  UNROLL for (int j = 0; j < NT; j++) out[j] = (t[j][0] + t[j][1]) + (t[j][2] + t[j][3]);
  return out;
#endif
}

typedef struct product {
  int64_t n_segments, k, stride, width, skip;
  const float *b; /* the panel: bias, then B */
} product;

/* Sums of R rows become outputs. What the epilogue says is read once, not once a store. */
INLINE void finish_tile(const int R, const int NV, const int NT, vec sum[][PANEL_VECTORS + 1], const product *p, const row_tile *t, const epilogue *e) {
  const epilogue own = *e;
  const int64_t width = p->width;
  const bool is_whole = NT == 0 && width >= NV * VL;
  const float *bias = p->b;
  float *const *out = t->out;
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < NV; j++) sum[r][j] += load(bias + j * VL);
  if (is_whole && own.residual)
    UNROLL for (int r = 0; r < R; r++) {
      const float *more = own.residual + (out[r] - own.out);
      UNROLL for (int j = 0; j < NV; j++) sum[r][j] += load(more + j * VL);
    }
  if (is_whole && own.is_relu)
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < NV; j++) store(out[r] + j * VL, larger((vec){0}, sum[r][j]));
  else if (is_whole)
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < NV; j++) store(out[r] + j * VL, sum[r][j]);
  else
    UNROLL for (int r = 0; r < R; r++) {
      UNROLL for (int j = 0; j < NV; j++) {
        int64_t left = width - j * VL;
        finish_vector(&own, sum[r][j], out[r] + j * VL, left < VL ? left : 0);
      }
      if (NT > 0) finish_vector(&own, sum_quarters(NT, sum[r] + NV) + load(bias + NV * VL), out[r] + NV * VL, width - NV * VL);
    }
}

INLINE void multiply(const int R, const int NV, const int NT, const product *p, const row_tile *t, const epilogue *e) {
  const float *b = p->b + panel_bias_floats(NV, NT) + p->skip, *a[TILE_ROWS_MAX];
  vec sum[TILE_ROWS_MAX][PANEL_VECTORS + 1];
  UNROLL for (int r = 0; r < R; r++) {
    a[r] = t->rows[r];
    UNROLL for (int j = 0; j < NV + NT; j++) sum[r][j] = (vec){0};
  }
  for (int64_t s = 0; s < p->n_segments; s++) {
    int64_t i = 0;
    for (; i + 4 <= p->k; i += 4) {
      UNROLL for (int q = 0; q < 4; q++) {
        vec bq[PANEL_VECTORS + 1];
        UNROLL for (int j = 0; j < NV; j++) bq[j] = load(b + (q * NV + j) * VL);
        UNROLL for (int r = 0; r < R; r++) {
          vec x = splat(a[r][i + q]);
          UNROLL for (int j = 0; j < NV; j++) multiply_add(&sum[r][j], x, bq[j]);
        }
      }
      if (NT > 0) {
        vec bt[4];
        UNROLL for (int j = 0; j < NT; j++) bt[j] = load(b + (4 * NV + j) * VL);
        UNROLL for (int r = 0; r < R; r++) {
          vec x = repeat_quad(a[r] + i);
          UNROLL for (int j = 0; j < NT; j++) multiply_add(&sum[r][NV + j], x, bt[j]);
        }
      }
      b += (4 * NV + NT) * VL;
    }
    for (; i < p->k; i++) { /* B's other three lanes are 0, so A's number may stand in all four */
      UNROLL for (int r = 0; r < R; r++) {
        vec x = splat(a[r][i]);
        UNROLL for (int j = 0; j < NV + NT; j++) multiply_add(&sum[r][j], x, load(b + j * VL));
      }
      b += (NV + NT) * VL;
    }
    UNROLL for (int r = 0; r < R; r++) a[r] += p->stride;
  }
  finish_tile(R, NV, NT, sum, p, t, e);
}

typedef void (*multiply_fn)(const product *p, const row_tile *t, const epilogue *e);

#define MULTIPLY(R, NV, NT)                                                                        \
  static void multiply_##R##_##NV##_##NT(const product *p, const row_tile *t, const epilogue *e) { \
    multiply(R, NV, NT, p, t, e);                                                                  \
  }
/* Every panel with its best number of rows, and 4, 2 and 1 for what is left. */
#if VL == 16
#define PANELS(P)                                                                                               \
  P(8, 0, 1)                                                                                                    \
  P(8, 0, 2) P(8, 0, 3) P(8, 1, 0) P(8, 1, 1) P(8, 1, 2) P(6, 1, 3) P(8, 2, 0) P(8, 2, 1) P(6, 2, 2) P(5, 2, 3) \
      P(8, 3, 0) P(6, 3, 1) P(5, 3, 2) P(6, 4, 0)
#else
#define PANELS(P) P(8, 0, 1) P(6, 0, 2) P(5, 0, 3) P(8, 1, 0) P(6, 1, 1) P(5, 1, 2) P(6, 2, 0) P(5, 2, 1)
#endif
#define INSTANTIATE(R, NV, NT) MULTIPLY(R, NV, NT) MULTIPLY(4, NV, NT) MULTIPLY(2, NV, NT) MULTIPLY(1, NV, NT)
PANELS(INSTANTIATE)
#if VL == 8
MULTIPLY(4, 3, 0) MULTIPLY(2, 3, 0) MULTIPLY(1, 3, 0)
#define WIDE(P) P(4, 3, 0)
#else
#define WIDE(P)
#endif

typedef struct panel_entry {
  int rows;
  multiply_fn most, four, two, one;
} panel_entry;
static const panel_entry panels[LAST_VECTORS + 1][4] = {
#define ENTRY(R, NV, NT) \
  [NV][NT] = {R, multiply_##R##_##NV##_##NT, multiply_4_##NV##_##NT, multiply_2_##NV##_##NT, multiply_1_##NV##_##NT},
    PANELS(ENTRY) WIDE(ENTRY)
#undef ENTRY
};

void LEVEL(apply_columns)(const mynah__fast_function *post, float parameter, int64_t rows, int64_t n, mynah__share columns, float *y) {
  int64_t width = columns.last - columns.first;
  if (width == n) post->apply(rows * n, y, y, parameter);
  else
    for (int64_t r = 0; r < rows; r++, y += n) post->apply(width, y + columns.first, y + columns.first, parameter);
}

int FAST(panel_rows)(const panel *p, int64_t n) {
  int most = panels[p->nv][p->nt].rows;
  return n == most + 2 && n <= 8 ? 4 : n < most ? (int)n : most;
}

void FAST(tile_rows)(const pack_shape *s, const panel *p, int64_t stride, const float *packed, const row_tile *t,
                     int n_rows, const epilogue *e) {
  const panel_entry *entry = &panels[p->nv][p->nt];
  product job = {s->n_segments, s->k, stride, p->width, p->skip, packed + p->offset};
  if (n_rows == entry->rows) {
    entry->most(&job, t, e);
    return;
  }
  row_tile rest = *t;
  while (n_rows > 0) {
    int n = n_rows >= 4 ? 4 : n_rows >= 2 ? 2 : 1;
    (n == 4 ? entry->four : n == 2 ? entry->two : entry->one)(&job, &rest, e);
    n_rows -= n;
    for (int r = 0; r < n_rows; r++) rest.rows[r] = rest.rows[r + n], rest.out[r] = rest.out[r + n];
  }
}

/* ---- sums ------------------------------------------------------------------------------------------------------------ */

/* Four rows at a time in separate sums, so that the additions do not wait for each other. */
INLINE void column_sum(const float *a, int64_t rows, int64_t n, int64_t part, float *out) {
  vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    s0 += load_at(a + r * n, 0, part);
    s1 += load_at(a + (r + 1) * n, 0, part);
    s2 += load_at(a + (r + 2) * n, 0, part);
    s3 += load_at(a + (r + 3) * n, 0, part);
  }
  for (; r < rows; r++) s0 += load_at(a + r * n, 0, part);
  store_at(out, 0, part, load_at(out, 0, part) + ((s0 + s1) + (s2 + s3)));
}

/* In blocks of rows whose sums are added up: one running float sum over 10^5 rows would lose three digits. */
#define SUM_ROWS 512

void FAST(column_sums)(const float *a, int64_t rows, int64_t n, float *out) {
  for (int64_t c = 0; c < n; c += VL) store_at(out, c, n - c < VL ? n - c : 0, (vec){0});
  for (int64_t r = 0; r < rows; r += SUM_ROWS)
    for (int64_t c = 0; c < n; c += VL)
      column_sum(a + r * n + c, rows - r < SUM_ROWS ? rows - r : SUM_ROWS, n, n - c < VL ? n - c : 0, out + c);
}
