/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maximum pooling and its gradient, a vector of channels at a time. A NaN in a window is its maximum, and the first of
 * equal maxima in row-major order gets the gradient, as PyTorch. */
#include "level.h"
#include "vec.h"

typedef struct range {
  int64_t begin, end;
} range;

/* The rows (axis 0) or columns (axis 1) of n that the window of output position `out` covers. */
INLINE range window_of(const mynah__attributes *a, int axis, int64_t out, int64_t n) {
  int64_t begin = out * a->i[2 + axis] - a->i[4 + axis], end = begin + a->i[axis];
  return (range){begin < 0 ? 0 : begin, end > n ? n : end};
}

INLINE ivec is_better(vec v, vec best) { return (v > best) | ((v != v) & (best == best)); }

void FAST(max_pool)(const mynah__call *call) {
  const mynah__attributes *a = &call->step->a;
  const int64_t *xs = call->step->in[0].shape.dims, *ys = call->step->out[0].shape.dims;
  const float *x = call->in[0]; /* (B,H,W,C) */
  float *y = call->out[0];      /* (B,H',W',C) */
  int64_t c = xs[3];
  mynah__share lines = mynah__share_of(ys[0] * ys[1], call);
  y += lines.first * ys[2] * c;
  for (int64_t l = lines.first; l < lines.last; l++) {
    const float *sample = x + l / ys[1] * xs[1] * xs[2] * c;
    for (int64_t ow = 0; ow < ys[2]; ow++, y += c) {
      range rows = window_of(a, 0, l % ys[1], xs[1]), cols = window_of(a, 1, ow, xs[2]);
      for (int64_t i = 0; i < c; i += VL) {
        int64_t part = c - i < VL ? c - i : 0;
        vec best = load_at(sample + (rows.begin * xs[2] + cols.begin) * c, i, part);
        for (int64_t h = rows.begin; h < rows.end; h++)
          for (int64_t w = cols.begin; w < cols.end; w++) {
            vec v = load_at(sample + (h * xs[2] + w) * c, i, part);
            best = choose(is_better(v, best), v, best);
          }
        store_at(y, i, part, best);
      }
    }
  }
}

/* Of one window, channels i …: dx of the first maximum += dy. */
INLINE void scatter(const float *x, float *dx, const float *dy, range rows, range cols, const int64_t *xs, int64_t i, int64_t part) {
  int64_t c = xs[3], first = rows.begin * xs[2] + cols.begin;
  vec best = load_at(x + first * c, i, part), slope = load_at(dy, i, part);
  ivec place = isplat((int32_t)first);
  for (int64_t h = rows.begin; h < rows.end; h++)
    for (int64_t w = cols.begin; w < cols.end; w++) {
      int64_t at = h * xs[2] + w;
      vec v = load_at(x + at * c, i, part);
      ivec m = is_better(v, best);
      best = choose(m, v, best);
      place = (ivec)choose(m, (vec)isplat((int32_t)at), (vec)place);
    }
  for (int64_t h = rows.begin; h < rows.end; h++)
    for (int64_t w = cols.begin; w < cols.end; w++) {
      int64_t at = h * xs[2] + w;
      vec mine = choose(place == isplat((int32_t)at), slope, (vec){0});
      store_at(dx + at * c, i, part, load_at(dx + at * c, i, part) + mine);
    }
}

void FAST(max_pool_grad)(const mynah__call *call) {
  const mynah__attributes *a = &call->step->a;
  const int64_t *xs = call->step->in[0].shape.dims, *ys = call->step->in[1].shape.dims;
  const float *x = call->in[0];  /* (B,H,W,C) */
  const float *dy = call->in[1]; /* (B,H',W',C) */
  float *dx = call->out[0];      /* (B,H,W,C) */
  int64_t c = xs[3], sample = xs[1] * xs[2] * c;
  memset(dx, 0, (size_t)(xs[0] * sample) * sizeof *dx);
  for (int64_t b = 0; b < ys[0]; b++, x += sample, dx += sample)
    for (int64_t oh = 0; oh < ys[1]; oh++)
      for (int64_t ow = 0; ow < ys[2]; ow++, dy += c)
        for (int64_t i = 0; i < c; i += VL)
          scatter(x, dx, dy, window_of(a, 0, oh, xs[1]), window_of(a, 1, ow, xs[2]), xs, i, c - i < VL ? c - i : 0);
}
