/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolutions of each channel with a 3x3 filter of its own: a vector of channels along a line, its nine taps in
 * registers. */
#include "tile.h"

#define SIDE 3

typedef struct depthwise {
  int64_t h, w, c, out_h, out_w; /* x (batch,h,w,c), y (batch,out_h,out_w,c) */
  int64_t sh, sw, top, left;
} depthwise;

/* Nine products of one vector of channels; x's pixel under the first tap is (row,col). is_inside: no tap lies beyond x.
 */
INLINE vec sum_taps(const depthwise *v, const float *x, int64_t row, int64_t col, const vec *taps, int64_t part,
                    bool is_inside) {
  vec sum = {0};
  UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j++) {
    if (!is_inside && (row + i < 0 || row + i >= v->h || col + j < 0 || col + j >= v->w)) continue;
    sum += load_at(x + ((row + i) * v->w + col + j) * v->c, 0, part) * taps[i * SIDE + j];
  }
  return sum;
}

/* One line of y for channels c …; x and y begin at these channels. */
INLINE void line_of(const depthwise *v, const float *x, int64_t oh, const float *packed, int64_t part,
                    const epilogue *e, float *y) {
  vec taps[SIDE * SIDE], bias = load_at(packed + SIDE * SIDE * v->c, 0, part);
  UNROLL for (int k = 0; k < SIDE * SIDE; k++) taps[k] = load_at(packed + k * v->c, 0, part);
  int64_t row = oh * v->sh - v->top;
  bool has_rows = row >= 0 && row + SIDE <= v->h;
  for (int64_t ow = 0; ow < v->out_w; ow++, y += v->c) {
    int64_t col = ow * v->sw - v->left;
    vec sum = has_rows && col >= 0 && col + SIDE <= v->w ? sum_taps(v, x, row, col, taps, part, true)
                                                         : sum_taps(v, x, row, col, taps, part, false);
    finish_vector(e, sum + bias, y, part);
  }
}

/* y = post(x * w + b + residual); packed: w (3,3,c), b (c). Parts share the lines. */
void FAST(depthwise)(const mynah__call *call) {
  const mynah__step *step = call->step;
  const int64_t *xs = step->in[0].shape.dims, *ys = step->out[0].shape.dims, *a = step->a.i;
  depthwise v = {xs[1], xs[2], xs[3], ys[1], ys[2], a[0], a[1], a[4], a[5]};
  const float *x = call->in[0], *packed = call->packed;
  float *y = call->out[0];
  const mynah__fast_function *post = step->post ? LEVEL(find_unary)(step->post->name) : NULL;
  bool is_relu = post && !strcmp(post->name, "relu");
  epilogue e = {is_relu, step->residual >= 0 ? call->in[step->residual] : NULL, y, false};
  mynah__share lines = mynah__share_of(ys[0] * v.out_h, call);
  for (int64_t l = lines.first; l < lines.last; l++) {
    const float *sample = x + l / v.out_h * v.h * v.w * v.c;
    float *line = y + l * v.out_w * v.c;
    int64_t c = 0;
    for (; c + VL <= v.c; c += VL) line_of(&v, sample + c, l % v.out_h, packed + c, 0, &e, line + c);
    if (c < v.c) line_of(&v, sample + c, l % v.out_h, packed + c, v.c - c, &e, line + c);
    if (post && !is_relu) post->apply(v.out_w * v.c, line, line, (float)step->post_parameters[0]);
  }
}
