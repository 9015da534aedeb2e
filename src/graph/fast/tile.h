/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The inner loops under every matrix product and convolution of this folder, and how weights are packed for them.
 *
 * A panel is a group of output columns that one call computes: nv whole vectors and nt quarter vectors. A quarter
 * vector is VL/4 columns whose sums over k, k+1, k+2, k+3 stand side by side in one register (B's four rows
 * interleaved, four numbers of A repeated), so that 36 or 24 columns cost 2.25 or 1.5 vectors of work instead of 3
 * or 2. */
#ifndef MYNAH_GRAPH_FAST_TILE_H
#define MYNAH_GRAPH_FAST_TILE_H

#include "level.h"
#include "vec.h"

#define TILE_ROWS_MAX 8

/* A number of A as the inner loops take it: a float, which a bf16 product has rounded, or bfloat16 where there are
 * instructions for its products. */
#ifdef __AVX512BF16__
typedef uint16_t bf16_operand;
#else
typedef float bf16_operand;
#endif
#ifdef MYNAH__BF16
#define ROUNDS true
typedef bf16_operand operand;
#else
#define ROUNDS false
typedef float operand;
#endif
#if VL == 16
#define PANEL_VECTORS 4 /* 32 registers: 24 sums, 4 of B, 1 of A */
#else
#define PANEL_VECTORS 2 /* 16 registers: 12 sums */
#endif
#define QUARTER (VL / 4)
#define PANEL_COLUMNS (PANEL_VECTORS * VL)
/* The last panel may be wider: a vector alone by eight rows would wait for its loads, three by four rows do not. */
#define LAST_VECTORS (VL == 8 && !ROUNDS ? 3 : PANEL_VECTORS)
#define PANEL_COLUMNS_MOST (LAST_VECTORS * VL)

#ifdef MYNAH__BF16
/* The float whose upper half is the nearest bfloat16: see mynah__bf16_of. */
INLINE vec rounded(vec x) {
  uvec bits = (uvec)x, even = bits + 0x7fff + (bits >> 16 & 1);
  return choose(x == x, (vec)(even & 0xffff0000u), (vec)((bits | 0x400000) & 0xffff0000u));
}
void FAST(to_operands)(const float *x, int64_t n, operand *out);
INLINE operand to_operand(float x) {
#ifdef __AVX512BF16__
  return mynah__bf16_of(x);
#else
  return mynah__bf16_value(mynah__bf16_of(x));
#endif
}
#else
INLINE void FAST(to_operands)(const float *x, int64_t n, operand *out) { memcpy(out, x, (size_t)n * sizeof *x); }
INLINE operand to_operand(float x) { return x; }
#endif
/* x (n) as operands, in room when they are not what x is already. */
INLINE const operand *operands_of(const float *x, int64_t n, operand *room) {
  if (!ROUNDS) return (const operand *)(const void *)x;
  FAST(to_operands)(x, n, room);
  return room;
}

/* ---- rows times packed columns ----------------------------------------------------------------------------------- */

/* B (n_segments * k, n) in panels. The rows of A are n_segments pieces of k contiguous operands, stride apart. */
typedef struct pack_shape {
  int64_t n;          /* columns */
  int64_t n_segments; /* pieces of a row of A */
  int64_t k;          /* operands in a piece */
} pack_shape;

typedef struct panel {
  int nv, nt;
  int64_t first, width; /* columns */
  int64_t offset;       /* floats from the start of the packed memory: padded bias, then B */
  int64_t skip;         /* floats of B to leave out at its beginning */
} panel;

INLINE int64_t panel_count(const pack_shape *s) {
  int64_t whole = s->n / PANEL_COLUMNS, rest = s->n % PANEL_COLUMNS;
  bool is_wide = LAST_VECTORS > PANEL_VECTORS && whole > 0 && rest > 3 * QUARTER && rest <= VL;
  return whole + (rest > 0 && !is_wide);
}
INLINE int64_t panel_bias_floats(int nv, int nt) { return (nv + (nt > 0)) * VL; }
/* bf16: a lane holds two numbers of a column, k and k + 1; there are no quarter vectors. */
INLINE int64_t segment_floats(const pack_shape *s, int nv, int nt) {
  return (ROUNDS ? (s->k + 1) / 2 * nv : s->k / 4 * (4 * nv + nt) + s->k % 4 * (nv + nt)) * VL;
}
INLINE int64_t panel_floats(const pack_shape *s, int nv, int nt) {
  return panel_bias_floats(nv, nt) + s->n_segments * segment_floats(s, nv, nt);
}
panel FAST(panel_at)(const pack_shape *s, int64_t i);
int64_t FAST(packed_floats)(const pack_shape *s);
/* Packs B with B[(segment, k), column] = b[segment * strides[0] + k * strides[1] + column * strides[2]]; bias NULL: 0.
 */
void FAST(pack_panels)(const pack_shape *s, const float *b, const int64_t strides[3], const float *bias, float *packed);

/* What follows the sum: y = post(sum + bias + residual). */
typedef struct epilogue {
  bool is_relu;
  const float *residual; /* laid out as the output, or NULL */
  const float *out;      /* where the output begins, to find the place in residual */
  bool is_row;           /* the product has one row in all: however work is shared out, it comes alone */
} epilogue;

typedef struct row_tile {
  const operand *rows[TILE_ROWS_MAX]; /* of A */
  float *out[TILE_ROWS_MAX];          /* of the output, column 0 */
} row_tile;

INLINE void finish_vector(const epilogue *e, vec sum, float *out, int64_t part) {
  if (e->residual) sum += load_at(e->residual + (out - e->out), 0, part);
  if (e->is_relu) sum = choose(sum < (vec){0}, (vec){0}, sum);
  store_at(out, 0, part, sum);
}

/* What tiles to come will read, brought into the second-level cache a few lines between every two tiles: from the last cache
 * it comes too late for the sums (measured on layers of 256 by 512: 88 % of the peak, so 90 %). */
typedef struct ahead {
  const char *at, *end;
  int64_t step; /* bytes between two tiles */
} ahead;

#define LINE_BYTES 64
/* Brings all of p over n_tiles calls. */
INLINE ahead ahead_of(const void *p, int64_t bytes, int64_t n_tiles) {
  int64_t step = bytes / (n_tiles > 0 ? n_tiles : 1) + LINE_BYTES;
  if (bytes == 0) return (ahead){NULL, NULL, LINE_BYTES}; /* nothing comes after */
  return (ahead){p, (const char *)p + bytes, step - step % LINE_BYTES};
}
INLINE void bring(ahead *a) {
  const char *end = a->end - a->at < a->step ? a->end : a->at + a->step;
  for (; a->at < end; a->at += LINE_BYTES) __builtin_prefetch(a->at, 0, 2);
}

/* Computes n_rows rows of one panel; n_rows is at most panel_rows. */
void FAST(tile_rows)(const pack_shape *s, const panel *p, int64_t stride, const float *packed, const row_tile *t,
                     int n_rows, const epilogue *e);
/* The columns of panels p.first … p.last - 1. */
INLINE mynah__share columns_of(const pack_shape *s, mynah__share p) {
  return (mynah__share){p.first * PANEL_COLUMNS, p.last < panel_count(s) ? p.last * PANEL_COLUMNS : s->n};
}
/* y = post(y) in these columns of y (rows,n). */
void LEVEL(apply_columns)(const mynah__fast_function *post, float parameter, int64_t rows, int64_t n, mynah__share columns, float *y);
/* How many rows at once are best for this panel when n are left: 4 + 4 rather than 6 + 2. */
int FAST(panel_rows)(const panel *p, int64_t n);

/* ---- columns times columns: weight gradients --------------------------------------------------------------------- */

#define OUTER_ROWS 6
#define OUTER_VECTORS (VL == 16 ? 6 : 2)

/* c (o, columns) (+)= a^T b over n rows, at most outer_block. A row of b is made of vectors that begin at rows[i] + offsets[v];
 * of the last one only last_part numbers count (0: all). c's rows are outer_columns apart. room: outer_room floats. */
typedef struct outer_job {
  const float *a; /* (n,o) */
  int64_t o, n;
  const float *const *rows; /* (n) */
  const int64_t *offsets;   /* (vectors) */
  int64_t vectors;
  int last_part;
  float *room, *c;
  bool is_first; /* c is written, not added to */
  /* What the next call reads: so many rows behind a's, and n_next floats, brought nearer meanwhile; 0: not known. */
  int64_t n_next_rows, n_next;
  const float *next;
} outer_job;
int64_t FAST(outer_block)(int64_t o);
int64_t FAST(outer_columns)(int64_t vectors);
int64_t FAST(outer_room)(int64_t o);
void FAST(outer_add)(const outer_job *job);

/* Sums of the columns of a (rows,n): db = sum over rows of dy. */
void LEVEL(column_sums)(const float *a, int64_t rows, int64_t n, float *out);

#endif
