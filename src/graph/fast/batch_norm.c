/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Batch norm and its gradient. The memory is the cost: x is read once for its statistics and once more to be
 * normalised.
 *
 * Few channels make short rows: as many rows as fill four vectors are then taken as one, and their sums joined at the
 * end. Sums run over 256 rows in floats and then go to doubles, always in the same order. */
#include "level.h"
#include "vec.h"

#include <math.h>

#define ROWS 256
#define VECTORS 4

/* x (rows,c), read as (rows/fold, width). */
typedef struct extent {
  int64_t rows, c, fold, width;
} extent;

static extent extent_of(const mynah__step *step) {
  mynah_shape s = step->in[0].shape;
  int64_t c = s.dims[s.n_dims - 1];
  extent e = {mynah_shape_size(s) / c, c, 1, c};
  while (e.width < VECTORS * VL && e.rows / e.fold % 2 == 0) e.fold *= 2, e.width *= 2;
  return e;
}

/* What each channel is worked out with (width), repeated `fold` times. */
typedef struct room {
  double *first, *second; /* sums */
  float *mean, *a, *b, *p;
} room;

static room room_of(const mynah__call *call, const extent *e) {
  double *d = call->scratch;
  float *f = (float *)(void *)(d + 2 * e->width);
  return (room){d, d + e->width, f, f + e->width, f + 2 * e->width, f + 3 * e->width};
}

static void repeat(const extent *e, float *v) {
  for (int64_t i = e->c; i < e->width; i++) v[i] = v[i - e->c];
}
/* The repeats' sums are added to the first ones. */
static void join(const extent *e, double *sum) {
  for (int64_t i = e->c; i < e->width; i++) sum[i % e->c] += sum[i];
}

/* Over n rows and `vectors` vectors of columns: sums of d and d (x - mean), where d is dy, or x - mean itself when dy
 * is NULL. */
INLINE void sum_columns(int vectors, int64_t part, int64_t n, int64_t width, const float *x, const float *dy,
                        const float *mean, double *first, double *second) {
  vec m[VECTORS], s0[VECTORS] = {{0}}, s1[VECTORS] = {{0}};
  UNROLL for (int j = 0; j < vectors; j++) m[j] = load_at(mean, j * VL, j == vectors - 1 ? part : 0);
  for (int64_t r = 0; r < n; r++, x += width) {
    UNROLL for (int j = 0; j < vectors; j++) {
      int64_t last = j == vectors - 1 ? part : 0;
      vec off = load_at(x, j * VL, last) - m[j], d = dy ? load_at(dy, j * VL, last) : off;
      s0[j] += d;
      s1[j] += d * off;
    }
    if (dy) dy += width;
  }
  for (int j = 0; j < vectors; j++)
    for (int i = 0; i < (j == vectors - 1 && part ? (int)part : VL); i++)
      first[j * VL + i] += (double)s0[j][i], second[j * VL + i] += (double)s1[j][i];
}

/* All rows: sums (width) per column, joined into the first c. */
INLINE void sum_all(const extent *e, const float *x, const float *dy, const room *m) {
  memset(m->first, 0, 2 * (size_t)e->width * sizeof *m->first);
  for (int64_t r = 0, n; r < e->rows / e->fold; r += n) {
    n = e->rows / e->fold - r < ROWS ? e->rows / e->fold - r : ROWS;
    for (int64_t i = 0; i < e->width;) {
      int64_t left = e->width - i;
      const float *at = x + r * e->width + i, *of = dy ? dy + r * e->width + i : NULL;
      if (left >= VECTORS * VL) {
        sum_columns(VECTORS, 0, n, e->width, at, of, m->mean + i, m->first + i, m->second + i);
        i += VECTORS * VL;
      } else {
        sum_columns(1, left < VL ? left : 0, n, e->width, at, of, m->mean + i, m->first + i, m->second + i);
        i += VL;
      }
    }
  }
  join(e, m->first);
  join(e, m->second);
}

/* Sums are taken around a mean of the first rows, so that the variance is no difference of large numbers. */
#define FIRST_ROWS 16
static void guess_mean(const extent *e, const float *x, float *mean) {
  int64_t n = e->rows < FIRST_ROWS ? e->rows : FIRST_ROWS;
  for (int64_t i = 0; i < e->c; i++) mean[i] = 0;
  for (int64_t r = 0; r < n; r++)
    for (int64_t i = 0; i < e->c; i++) mean[i] += x[r * e->c + i];
  for (int64_t i = 0; i < e->c; i++) mean[i] /= (float)n;
  repeat(e, mean);
}

static void statistics(const extent *e, const float *x, const room *m, float *mean, float *variance) {
  guess_mean(e, x, m->mean);
  sum_all(e, x, NULL, m);
  for (int64_t i = 0; i < e->c; i++) {
    double off = m->first[i] / (double)e->rows, v = m->second[i] / (double)e->rows - off * off;
    mean[i] = (float)((double)m->mean[i] + off);
    variance[i] = v > 0 ? (float)v : v == v ? 0 : (float)v;
  }
}

/* y = (x - mean) inv_std gamma + beta */
void FAST(batch_norm)(const mynah__call *call) {
  const mynah__step *step = call->step;
  extent e = extent_of(step);
  room m = room_of(call, &e);
  const float *x = call->in[0];                                                  /* (rows,c) */
  const float *gamma = call->in[1], *beta = call->in[2];                         /* (c) or NULL */
  float *y = call->out[0];                                                       /* (rows,c) */
  float *mean = call->out[1], *inv_std = call->out[2], *variance = call->out[3]; /* (c) */
  if (step->is_training && !step->a.i[0]) {
    statistics(&e, x, &m, mean, variance);
  } else {
    memcpy(mean, call->in[3], (size_t)e.c * sizeof *mean);
    memcpy(variance, call->in[4], (size_t)e.c * sizeof *variance);
  }
  for (int64_t i = 0; i < e.c; i++) {
    inv_std[i] = (float)(1 / sqrt((double)variance[i] + step->a.f[0]));
    m.mean[i] = mean[i];
    m.a[i] = gamma ? inv_std[i] * gamma[i] : inv_std[i];
    m.b[i] = beta ? beta[i] : 0;
  }
  repeat(&e, m.mean);
  repeat(&e, m.a);
  repeat(&e, m.b);
  for (int64_t r = 0; r < e.rows / e.fold; r++, x += e.width, y += e.width)
    for (int64_t i = 0; i < e.width; i += VL) {
      int64_t part = e.width - i < VL ? e.width - i : 0;
      store_at(y, i, part,
               (load_at(x, i, part) - load_at(m.mean, i, part)) * load_at(m.a, i, part) + load_at(m.b, i, part));
    }
}

/* dx = inv_std gamma (dy - mean(dy) - xhat mean(dy xhat)), or without the means when statistics were constants. */
void FAST(batch_norm_grad)(const mynah__call *call) {
  extent e = extent_of(call->step);
  room m = room_of(call, &e);
  const float *x = call->in[0], *dy = call->in[1];         /* (rows,c) */
  const float *mean = call->in[2], *inv_std = call->in[3]; /* (c) */
  const float *gamma = call->in[4];                        /* (c) or NULL */
  float *dx = call->out[0];                                /* (rows,c) */
  float *dgamma = call->out[1], *dbeta = call->out[2];     /* (c) */
  bool is_constant = call->step->a.i[0] != 0;
  memcpy(m.mean, mean, (size_t)e.c * sizeof *mean);
  repeat(&e, m.mean);
  sum_all(&e, x, dy, &m);
  for (int64_t i = 0; i < e.c; i++) {
    float scale = gamma ? inv_std[i] * gamma[i] : inv_std[i];
    dgamma[i] = (float)(m.second[i] * (double)inv_std[i]);
    dbeta[i] = (float)m.first[i];
    m.a[i] = scale;
    m.b[i] = is_constant ? 0 : -scale * (float)(m.first[i] / (double)e.rows);
    m.p[i] = is_constant ? 0 : -scale * inv_std[i] * inv_std[i] * (float)(m.second[i] / (double)e.rows);
  }
  repeat(&e, m.a);
  repeat(&e, m.b);
  repeat(&e, m.p);
  for (int64_t r = 0; r < e.rows / e.fold; r++, x += e.width, dy += e.width, dx += e.width)
    for (int64_t i = 0; i < e.width; i += VL) {
      int64_t part = e.width - i < VL ? e.width - i : 0;
      vec off = load_at(x, i, part) - load_at(m.mean, i, part);
      store_at(dx, i, part,
               load_at(dy, i, part) * load_at(m.a, i, part) + off * load_at(m.p, i, part) + load_at(m.b, i, part));
    }
}
