/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The loops of tile.h over operands of bfloat16 with sums in float: half the bytes of packed weights.
 *
 * A lane of packed B holds the numbers k (lower half) and k + 1 (upper half) of a column, as the instruction vdpbf16ps
 * multiplies them. Without that instruction a shift or a mask makes a float of either half: two operations a vector of
 * B, whatever the number of rows. */
#include "tile.h"

typedef uint32_t loose_word __attribute__((aligned(2), may_alias));

INLINE uvec load_words(const float *p) { return (uvec)load(p); }
#ifdef __AVX512BF16__
INLINE uvec splat_word(uint32_t a) { return a - (uvec){0}; }
#endif
INLINE uint32_t word_of(float low, float high) { return mynah__bf16_of(low) | (uint32_t)mynah__bf16_of(high) << 16; }
INLINE vec words_of(vec low, vec high) { return (vec)((uvec)rounded(low) >> 16 | (uvec)rounded(high)); }

/* ---- operands
 * ------------------------------------------------------------------------------------------------------------ */

void FAST(to_operands)(const float *x, int64_t n, operand *out) {
#ifdef __AVX512BF16__
  for (int64_t i = 0; i < n; i++) out[i] = mynah__bf16_of(x[i]);
#else
  for (int64_t i = 0, part; i < n; i += VL) {
    part = n - i < VL ? n - i : 0;
    store_at(out, i, part, rounded(load_at(x, i, part)));
  }
#endif
}

/* ---- packing
 * ------------------------------------------------------------------------------------------------------------- */

panel FAST(panel_at)(const pack_shape *s, int64_t i) {
  int64_t rest = s->n - i * PANEL_COLUMNS, width = rest < PANEL_COLUMNS ? rest : PANEL_COLUMNS;
  return (panel){.nv = (int)((width + VL - 1) / VL),
                 .first = i * PANEL_COLUMNS,
                 .width = width,
                 .offset = i * panel_floats(s, PANEL_VECTORS, 0)};
}

int64_t FAST(packed_floats)(const pack_shape *s) {
  panel last = FAST(panel_at)(s, panel_count(s) - 1);
  return last.offset + panel_floats(s, last.nv, 0);
}

/* Two rows of B whose columns are contiguous; high NULL: zeros. */
static void pack_rows(const float *low, const float *high, int64_t width, int nv, float *out) {
  for (int j = 0; j < nv; j++, out += VL) {
    int64_t part = width - j * VL < VL ? width - j * VL : 0;
    store(out, words_of(load_at(low, j * VL, part), high ? load_at(high, j * VL, part) : (vec){0}));
  }
}

/* A column whose numbers are contiguous, as of weights in the forward pass: every step-th word. */
static void pack_column(const float *b, int64_t k, int64_t step, float *out) {
  uint32_t *word = (uint32_t *)(void *)out;
  for (int64_t i = 0; i + 2 <= k; i += 2, word += step) *word = word_of(b[i], b[i + 1]);
  if (k % 2) *word = mynah__bf16_of(b[k - 1]);
}

static void pack_segment(const pack_shape *s, const panel *p, const float *b, const int64_t strides[3], float *out) {
  int64_t row = p->nv * VL, n_pairs = (s->k + 1) / 2;
  if (strides[2] == 1) {
    for (int64_t k = 0; k < s->k; k += 2, out += row)
      pack_rows(b + k * strides[1], k + 1 < s->k ? b + (k + 1) * strides[1] : NULL, p->width, p->nv, out);
    return;
  }
  memset(out, 0,
         (size_t)(n_pairs * row) * sizeof *out); /* all floats are contiguous one way or the other: see callers */
  for (int64_t c = 0; c < p->width; c++) pack_column(b + c * strides[2], s->k, row, out + c);
}

/* Either strides[1] or strides[2] is 1. */
void FAST(pack_panels)(const pack_shape *s, const float *b, const int64_t strides[3], const float *bias,
                       float *packed) {
  for (int64_t i = 0; i < panel_count(s); i++) {
    panel p = FAST(panel_at)(s, i);
    float *out = packed + p.offset;
    int64_t n_bias = panel_bias_floats(p.nv, 0);
    for (int64_t c = 0; c < n_bias; c++) out[c] = bias && c < p.width ? bias[p.first + c] : 0;
    out += n_bias;
    for (int64_t g = 0; g < s->n_segments; g++, out += segment_floats(s, p.nv, 0))
      pack_segment(s, &p, b + g * strides[0] + p.first * strides[2], strides, out);
  }
}

/* ---- rows times packed columns
 * ------------------------------------------------------------------------------------------- */

typedef struct product {
  int64_t n_segments, k, stride, width, skip;
  const float *b; /* the panel: bias, then B */
} product;

/* B is read once for a few rows: from memory, where the processor's own prefetching does not keep up (measured at batch
 * 1 on the U-Net 256/512/1024: 13.1 -> 9.3 ms). Floats. */
#define AHEAD 512
#define LINE 16

/* Separate sums of the only row, so that additions do not wait for each other. Rows of other products have one sum
 * each, so that their bits do not depend on which rows are done together. */
#define SUMS_MAX 4
typedef vec sums[SUMS_MAX][TILE_ROWS_MAX][PANEL_VECTORS];

/* Adds the products of numbers i, i + 1 of the rows; is_pair false: of i alone. q: which pair of a turn it is. */
INLINE void add_pair(const int R, const int NV, const int S, const int q, const bool is_pair, const operand *const *a,
                     int64_t i, const float *b, sums sum) {
#ifdef __AVX512BF16__
  UNROLL for (int r = 0; r < R; r++) {
    uvec x = splat_word(is_pair ? *(const loose_word *)(const void *)(a[r] + i) : a[r][i]);
    UNROLL for (int j = 0; j < NV; j++) sum[q % S][r][j] =
        (vec)_mm512_dpbf16_ps((__m512)sum[q % S][r][j], (__m512bh)x, (__m512bh)load_words(b + j * VL));
  }
#else
  UNROLL for (int half = 0; half < 2; half++) {
    if (half && !is_pair) break;
    vec bj[PANEL_VECTORS];
    UNROLL for (int j = 0; j < NV; j++) bj[j] =
        (vec)(half ? load_words(b + j * VL) & 0xffff0000u : load_words(b + j * VL) << 16);
    UNROLL for (int r = 0; r < R; r++) {
      vec x = splat(a[r][i + half]);
      UNROLL for (int j = 0; j < NV; j++) multiply_add(&sum[(2 * q + half) % S][r][j], x, bj[j]);
    }
  }
#endif
}

INLINE void multiply(const int R, const int NV, const int S, const product *p, const row_tile *t, const epilogue *e) {
  const float *b = p->b + panel_bias_floats(NV, 0) + p->skip;
  const operand *a[TILE_ROWS_MAX];
  sums sum;
  UNROLL for (int r = 0; r < R; r++) {
    a[r] = t->rows[r];
    UNROLL for (int c = 0; c < S; c++) UNROLL for (int j = 0; j < NV; j++) sum[c][r][j] = (vec){0};
  }
  for (int64_t s = 0; s < p->n_segments; s++) {
    int64_t i = 0;
    for (; i + 4 <= p->k; i += 4, b += 2 * NV * VL) {
      UNROLL for (int l = 0; l < 2 * NV * VL; l += LINE) __builtin_prefetch(b + AHEAD + l);
      add_pair(R, NV, S, 0, true, a, i, b, sum);
      add_pair(R, NV, S, 1, true, a, i + 2, b + NV * VL, sum);
    }
    for (; i + 2 <= p->k; i += 2, b += NV * VL) add_pair(R, NV, S, 0, true, a, i, b, sum);
    for (; i < p->k; i++, b += NV * VL) add_pair(R, NV, S, 0, false, a, i, b, sum);
    UNROLL for (int r = 0; r < R; r++) a[r] += p->stride;
  }
  UNROLL for (int r = 0; r < R; r++) {
    UNROLL for (int j = 0; j < NV; j++) {
      vec total = sum[0][r][j];
      UNROLL for (int c = 1; c < S; c++) total += sum[c][r][j];
      int64_t left = p->width - j * VL;
      finish_vector(e, total + load(p->b + j * VL), t->out[r] + j * VL, left < VL ? left : 0);
    }
  }
}

typedef void (*multiply_fn)(const product *p, const row_tile *t, const epilogue *e);

#define MULTIPLY(R, NV, S)                                                                        \
  static void multiply_##R##_##NV##_##S(const product *p, const row_tile *t, const epilogue *e) { \
    multiply(R, NV, S, p, t, e);                                                                  \
  }
/* Every panel with its best number of rows, 4, 2 and 1 for what is left, and the only row. */
#if VL == 16
#define PANELS(P) P(8, 1) P(8, 2) P(8, 3) P(6, 4)
#else
#define PANELS(P) P(8, 1) P(6, 2)
#endif
#define INSTANTIATE(R, NV) \
  MULTIPLY(R, NV, 1) MULTIPLY(4, NV, 1) MULTIPLY(2, NV, 1) MULTIPLY(1, NV, 1) MULTIPLY(1, NV, 4)
PANELS(INSTANTIATE)

typedef struct panel_entry {
  int rows;
  multiply_fn most, four, two, one, alone;
} panel_entry;
static const panel_entry panels[PANEL_VECTORS + 1] = {
#define ENTRY(R, NV) \
  [NV] = {           \
      R, multiply_##R##_##NV##_1, multiply_4_##NV##_1, multiply_2_##NV##_1, multiply_1_##NV##_1, multiply_1_##NV##_4},
    PANELS(ENTRY)
#undef ENTRY
};

int FAST(panel_rows)(const panel *p, int64_t n) {
  int most = panels[p->nv].rows;
  return n < most ? (int)n : most;
}

void FAST(tile_rows)(const pack_shape *s, const panel *p, int64_t stride, const float *packed, const row_tile *t,
                     int n_rows, const epilogue *e) {
  const panel_entry *entry = &panels[p->nv];
  product job = {s->n_segments, s->k, stride, p->width, p->skip, packed + p->offset};
  if (n_rows == entry->rows || e->is_row) {
    (e->is_row ? entry->alone : entry->most)(&job, t, e);
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

/* ---- columns times columns: weight gradients
 * ------------------------------------------------------------------------------ */

/* Rows at once; even, since they are packed by twos. */
#define BLOCK 192

int64_t FAST(outer_block)(int64_t o) {
  (void)o;
  return BLOCK;
}
int64_t FAST(outer_columns)(int64_t vectors) { return vectors * VL; }

/* room: a panel of b, then a turned: (o, BLOCK). */
static int64_t panel_room(void) { return panel_floats(&(pack_shape){PANEL_COLUMNS, 1, BLOCK}, PANEL_VECTORS, 0); }
int64_t FAST(outer_room)(int64_t o) {
  return panel_room() + (o * BLOCK * (int64_t)sizeof(operand) + (int64_t)sizeof(float) - 1) / (int64_t)sizeof(float);
}

/* a (n,o) -> (o, BLOCK) */
static void turn(const outer_job *job, operand *out) {
  for (int64_t i = 0; i < job->n; i++)
    for (int64_t r = 0; r < job->o; r++) out[r * BLOCK + i] = to_operand(job->a[i * job->o + r]);
}

INLINE vec row_vector(const outer_job *job, int64_t row, int64_t v) {
  if (row >= job->n) return (vec){0};
  return load_at(job->rows[row] + job->offsets[v], 0, v == job->vectors - 1 ? job->last_part : 0);
}

/* The columns of a panel of b, with a bias of zeros. */
static void pack_outer(const outer_job *job, int64_t first, int nv, float *out) {
  memset(out, 0, (size_t)panel_bias_floats(nv, 0) * sizeof *out);
  out += panel_bias_floats(nv, 0);
  for (int64_t i = 0; i < job->n; i += 2)
    for (int64_t v = first; v < first + nv; v++, out += VL)
      store(out, words_of(row_vector(job, i, v), row_vector(job, i + 1, v)));
}

/* The product of a turned and b, whose residual is what stands in c. */
void FAST(outer_add)(const outer_job *job) {
  operand *a = (operand *)(void *)(job->room + panel_room());
  pack_shape s = {job->vectors * VL, 1, job->n};
  epilogue e = {false, job->is_first ? NULL : job->c, job->c, false};
  turn(job, a);
  for (int64_t i = 0; i < panel_count(&s); i++) {
    panel p = FAST(panel_at)(&s, i);
    pack_outer(job, p.first / VL, p.nv, job->room);
    p.offset = 0;
    for (int64_t m = 0, n; m < job->o; m += n) {
      row_tile t;
      n = FAST(panel_rows)(&p, job->o - m);
      for (int r = 0; r < n; r++) t.rows[r] = a + (m + r) * BLOCK, t.out[r] = job->c + (m + r) * s.n + p.first;
      FAST(tile_rows)(&s, &p, 0, job->room, &t, (int)n, &e);
    }
  }
}
