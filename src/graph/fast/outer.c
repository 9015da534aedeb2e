/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Weight gradients: c (o, columns) = sum over rows of a^T b, a block of rows at a time. The columns of b are packed, and so
 * are those of a when they are read more than once: strides of a power of two, which layers have, would share few cache sets
 * (measured on convolutions of sequences: 65 -> 140 GFLOP/s). With few columns of a, b is read where it lies: packing it would
 * cost more than it saves. */
#include "tile.h"

/* Rows at once: with columns of b they fill the first-level cache, and c is read and written once a block. Where b is read as it
 * lies, its columns come with their neighbours. */
#define BLOCK (VL == 16 ? 192 : 256)
#define BLOCK_DIRECT (VL == 16 ? 192 : 64)
/* Up to so many columns of a, b is not packed. */
#define FEW 96

#define LINE 16 /* floats in a line of the cache */

typedef struct tile {
  const float *a;
  int64_t a_stride, n;
  const float *b; /* packed: (n, nv * VL); NULL: row i's vectors begin at rows[i] + offsets[j] */
  const float *const *rows;
  const int64_t *offsets;
  float *c;
  int64_t ldc;
  bool is_first; /* c is written, not added to */
} tile;

INLINE void outer(const int R, const int NV, const bool is_packed, const tile *t) {
  vec sum[OUTER_ROWS][OUTER_VECTORS];
  const float *a = t->a, *b = t->b, *const *rows = t->rows;
  const int64_t a_stride = t->a_stride, n = t->n, ldc = t->ldc;
  float *c = t->c;
  UNROLL for (int r = 0; r < R; r++) {
    UNROLL for (int j = 0; j < NV; j++) sum[r][j] = (vec){0};
    UNROLL for (int j = 0; j < NV * VL; j += LINE) __builtin_prefetch(c + r * ldc + j, 1);
  }
  int64_t at[OUTER_VECTORS];
  UNROLL for (int j = 0; j < NV; j++) at[j] = is_packed ? j * VL : t->offsets[j];
  for (int64_t i = 0; i < n; i++, a += a_stride) {
    const float *row = is_packed ? b + i * NV * VL : rows[i];
    vec bi[OUTER_VECTORS];
    UNROLL for (int j = 0; j < NV; j++) bi[j] = load(row + at[j]);
    UNROLL for (int r = 0; r < R; r++) {
      vec x = splat(a[r]);
      UNROLL for (int j = 0; j < NV; j++) multiply_add(&sum[r][j], x, bi[j]);
    }
  }
  if (!t->is_first)
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < NV; j++) sum[r][j] += load(c + r * ldc + j * VL);
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < NV; j++) store(c + r * ldc + j * VL, sum[r][j]);
}

#define OUTER(R, NV) \
  static void outer_##R##_##NV(const tile *t) {  \
    if (t->b) outer(R, NV, true, t);             \
    else outer(R, NV, false, t);                 \
  }
#if VL == 16
#define OUTERS(O, R) O(R, 1) O(R, 2) O(R, 3) O(R, 4)
#define OUTERS_WIDE(O, R) O(R, 5) O(R, 6)
#else
#define OUTERS(O, R) O(R, 1) O(R, 2)
#define OUTERS_WIDE(O, R)
#endif
OUTERS(OUTER, 6)
OUTERS(OUTER, 4)
OUTERS_WIDE(OUTER, 4)
OUTERS(OUTER, 1)
OUTERS_WIDE(OUTER, 1)

/* Rows of c computed at once of n_rows left: 6 + 4 rather than 6 + 1 + 1 + 1 + 1, and 4 + 4 rather than 6 + 1 + 1. */
static int rows_at_once(int64_t n_rows, int nv) {
  int most = VL != 16 || nv <= 4 ? 6 : 4;
  return most == 6 && n_rows >= 6 && n_rows != 8 ? 6 : n_rows >= 4 ? 4 : 1;
}

static void run_tile(const tile *t, int n, int nv) {
#define OUTER_NAME(R, NV) outer_##R##_##NV,
  static void (*const one[OUTER_VECTORS])(const tile *) = {OUTERS(OUTER_NAME, 1) OUTERS_WIDE(OUTER_NAME, 1)};
  static void (*const four[OUTER_VECTORS])(const tile *) = {OUTERS(OUTER_NAME, 4) OUTERS_WIDE(OUTER_NAME, 4)};
  static void (*const six[OUTER_VECTORS])(const tile *) = {OUTERS(OUTER_NAME, 6)};
  (n == 6 ? six : n == 4 ? four : one)[nv - 1](t);
}

/* The nv that wastes the fewest vectors; of equals 4, which needs the fewest loads of b a product. Of eight lanes always two: with
 * one, six sums wait for each other (measured: half the rate). */
static int group_of(int64_t vectors) {
  static const int order[] = {4, 6, 5, 3};
  if (VL != 16) return vectors < 2 ? (int)vectors : 2;
  int best = 1;
  int64_t least = INT64_MAX;
  for (int i = 0; i < 4; i++) {
    int nv = order[i];
    int64_t waste = (vectors + nv - 1) / nv * nv - vectors;
    if (waste < least) best = nv, least = waste;
  }
  return vectors < best ? (int)vectors : best;
}

int64_t FAST(outer_block)(int64_t o) { return o <= FEW ? BLOCK_DIRECT : BLOCK; }

int64_t FAST(outer_columns)(int64_t vectors) {
  int nv = group_of(vectors);
  return (vectors + nv - 1) / nv * nv * VL;
}

/* a's columns are packed when they are read for more than one group of b's. */
static bool packs_a(const outer_job *job) { return job->vectors > group_of(job->vectors); }

int64_t FAST(outer_room)(int64_t o) { return BLOCK * (o + 2 * OUTER_VECTORS * VL); }

/* Rows of a packed for all tiles before the next: they stay in the first-level cache. */
#define PACK_ROWS 8

INLINE void copy_rows(const int R, const float *a, int64_t o, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++, a += o, out += R) memcpy(out, a, (size_t)R * sizeof *a);
}

/* a (n,o) -> for each tile of R rows of c, (n,R) */
static void pack_a(const outer_job *job, int nv, float *out) {
  for (int64_t i = 0, n; i < job->n; i += n) {
    const float *a = job->a + i * job->o;
    n = job->n - i < PACK_ROWS ? job->n - i : PACK_ROWS;
    for (int64_t first = 0, r; first < job->o; first += r) {
      float *part = out + first * job->n + i * (r = rows_at_once(job->o - first, nv));
      if (r == 6) copy_rows(6, a + first, job->o, n, part);
      else if (r == 4) copy_rows(4, a + first, job->o, n, part);
      else copy_rows(1, a + first, job->o, n, part);
    }
  }
}

/* NV whole vectors of `count` rows of b; the rows that follow these by as many are brought nearer. */
INLINE void copy_vectors(const int NV, const outer_job *job, const int64_t *offsets, int64_t row, int64_t count, float *out) {
  const float *const *rows = job->rows + row, *const *next = row + 2 * count <= job->n ? rows + count : rows;
  int64_t at[OUTER_VECTORS];
  UNROLL for (int j = 0; j < NV; j++) at[j] = offsets[j];
  for (int64_t i = 0; i < count; i++, out += NV * VL) {
    UNROLL for (int j = 0; j < NV; j += LINE / VL) __builtin_prefetch(next[i] + at[j]);
    UNROLL for (int j = 0; j < NV; j++) store(out + j * VL, load(rows[i] + at[j]));
  }
}

/* Vectors first … first + nv of `count` rows of b from `row` on; beyond the last vector: zeros. */
static void pack_b(const outer_job *job, int64_t first, int nv, int64_t row, int64_t count, float *out) {
  out += row * nv * VL;
  if (nv == 2 && first + nv <= job->vectors - (job->last_part > 0)) {
    copy_vectors(2, job, job->offsets + first, row, count, out);
    return;
  }
  for (int64_t i = row; i < row + count; i++)
    for (int j = 0; j < nv; j++, out += VL) {
      int64_t v = first + j;
      bool is_part = job->last_part > 0 && v == job->vectors - 1;
      if (v >= job->vectors) store(out, (vec){0});
      else store(out, is_part ? load_part(job->rows[i] + job->offsets[v], job->last_part) : load(job->rows[i] + job->offsets[v]));
    }
}

/* While the tiles of one group of b's vectors run, the next group is packed, some rows between every two tiles: read at once,
 * rows that lie far apart would be waited for (measured: a sixth of the time). */
void FAST(outer_add)(const outer_job *job) {
  int nv = group_of(job->vectors);
  int64_t ldc = FAST(outer_columns)(job->vectors), group = BLOCK * OUTER_VECTORS * VL, n_tiles = (job->o + OUTER_ROWS - 1) / OUTER_ROWS;
  int64_t at_once = (job->n + n_tiles - 1) / n_tiles; /* rows of b packed after a tile */
  float *b = job->room, *next = b + group, *packed = next + group;
  bool is_direct = job->o <= FEW && job->last_part == 0, is_packed = packs_a(job) && !is_direct;
  ahead next_a = ahead_of(job->a + job->n * job->o, job->n_next_rows * job->o * (int64_t)sizeof(float), ldc / (nv * VL) * n_tiles);
  ahead next_b = ahead_of(job->next, job->n_next * (int64_t)sizeof(float), ldc / (nv * VL) * n_tiles);
  if (is_packed) pack_a(job, nv, packed);
  for (int64_t i = 0; i < job->n && !is_direct; i += PACK_ROWS) pack_b(job, 0, nv, i, job->n - i < PACK_ROWS ? job->n - i : PACK_ROWS, b);
  for (int64_t v = 0; v < job->vectors; v += nv) {
    int n = is_direct && job->vectors - v < nv ? (int)(job->vectors - v) : nv;
    tile t = {is_packed ? packed : job->a, job->o, job->n, is_direct ? NULL : b, job->rows, job->offsets + v, job->c + v * VL,
              ldc, job->is_first};
    for (int64_t first = 0, row = v + nv < job->vectors && !is_direct ? 0 : job->n; first < job->o;) {
      int r = rows_at_once(job->o - first, nv);
      if (is_packed) t.a_stride = r;
      run_tile(&t, r, n);
      t.a += is_packed ? r * job->n : r;
      t.c += r * ldc;
      first += r;
      bring(&next_a);
      bring(&next_b);
      if (row == job->n) continue;
      int64_t count = first < job->o && at_once < job->n - row ? at_once : job->n - row;
      pack_b(job, v + nv, nv, row, count, next);
      row += count;
    }
    float *last = b;
    b = next;
    next = last;
  }
}
