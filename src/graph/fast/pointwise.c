/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums and products with broadcasting, affine, clamp, pictures to numbers. */
#include "level.h"
#include "vec.h"

/* ---- two operands ------------------------------------------------------------------------------------------------ */

/* Axes of the output, outermost first, neighbours merged where both operands walk on without a jump; the strides of an
 * operand are 0 where it is stretched. */
typedef struct nest {
  int n;
  int64_t dim[MYNAH_MAX_DIMS], stride[2][MYNAH_MAX_DIMS];
} nest;

static nest nest_of(const mynah__step *step) {
  mynah_shape y = step->out[0].shape;
  int64_t stride[2][MYNAH_MAX_DIMS];
  for (int k = 0; k < 2; k++) {
    mynah_shape x = step->in[k].shape;
    int64_t walked = 1;
    for (int d = y.n_dims - 1, e = x.n_dims - 1; d >= 0; d--, e--) {
      stride[k][d] = e >= 0 && x.dims[e] != 1 ? walked : 0;
      if (e >= 0) walked *= x.dims[e];
    }
  }
  nest v = {0};
  for (int d = 0; d < y.n_dims; d++) {
    if (y.dims[d] == 1) continue;
    bool joins = v.n > 0;
    for (int k = 0; k < 2 && joins; k++) joins = v.stride[k][v.n - 1] == stride[k][d] * y.dims[d];
    if (joins) v.dim[--v.n] *= y.dims[d];
    else v.dim[v.n] = y.dims[d];
    for (int k = 0; k < 2; k++) v.stride[k][v.n] = stride[k][d];
    v.n++;
  }
  if (v.n == 0) v.n = 1, v.dim[0] = 1, v.stride[0][0] = v.stride[1][0] = 1;
  return v;
}

typedef void (*line_fn)(int64_t n, const float *a, const float *b, float *y);

/* Runs the innermost axis as lines: both walk, only a walks, or only b does. */
static void run_nest(const mynah__call *call, const line_fn lines[3]) {
  nest v = nest_of(call->step);
  int inner = v.n - 1;
  int64_t n = v.dim[inner], total = mynah_shape_size(call->step->out[0].shape), at[MYNAH_MAX_DIMS] = {0};
  line_fn line = lines[v.stride[0][inner] == 0 ? 2 : v.stride[1][inner] == 0 ? 1 : 0];
  const float *a = call->in[0], *b = call->in[1];
  float *y = call->out[0];
  for (int64_t i = 0; i < total; i += n, y += n) {
    line(n, a, b, y);
    for (int d = inner - 1; d >= 0; d--) {
      a += v.stride[0][d], b += v.stride[1][d];
      if (++at[d] < v.dim[d]) break;
      a -= v.stride[0][d] * v.dim[d], b -= v.stride[1][d] * v.dim[d];
      at[d] = 0;
    }
  }
}

#define LINE(name, a_at, b_at, operation)                                    \
  static void name(int64_t n, const float *pa, const float *pb, float *py) { \
    for (int64_t i = 0; i < n; i += VL) {                                    \
      int64_t part = n - i < VL ? n - i : 0;                                 \
      vec a = a_at, b = b_at;                                                \
      store_at(py, i, part, a operation b);                                  \
    }                                                                        \
  }
#define BINARY(name, operation)                                                \
  LINE(name##_both, load_at(pa, i, part), load_at(pb, i, part), operation)     \
  LINE(name##_left, load_at(pa, i, part), splat(*pb), operation)               \
  LINE(name##_right, splat(*pa), load_at(pb, i, part), operation)              \
  void FAST(name)(const mynah__call *call) {                                   \
    run_nest(call, (const line_fn[]){name##_both, name##_left, name##_right}); \
  }
BINARY(add, +)
BINARY(sub, -)
BINARY(mul, *)
BINARY(div, /)

/* ---- one operand ------------------------------------------------------------------------------------------------- */

/* y = scale x + shift */
void FAST(affine)(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  vec scale = splat((float)call->step->a.f[0]), shift = splat((float)call->step->a.f[1]);
  const float *x = call->in[0]; /* (n) */
  float *y = call->out[0];      /* (n) */
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    store_at(y, i, part, load_at(x, i, part) * scale + shift);
  }
}

void FAST(clamp)(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  vec low = splat((float)call->step->a.f[0]), high = splat((float)call->step->a.f[1]);
  const float *x = call->in[0]; /* (n) */
  float *y = call->out[0];      /* (n) */
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    store_at(y, i, part, smaller(high, larger(low, load_at(x, i, part)))); /* NaN stays: see vec.h */
  }
}

void FAST(clamp_grad)(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  vec low = splat((float)call->step->a.f[0]), high = splat((float)call->step->a.f[1]);
  const float *x = call->in[0], *dy = call->in[1]; /* (n) */
  float *dx = call->out[0];                        /* (n) */
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    vec v = load_at(x, i, part);
    store_at(dx, i, part, choose((v < low) | (v > high), (vec){0}, load_at(dy, i, part)));
  }
}

/* y_c = scale_c x_c + shift_c. The constants are laid out for `channels` whole vectors, after which the pattern
 * repeats. */
void FAST(from_u8)(const mynah__call *call) {
  mynah_shape s = call->step->out[0].shape;
  int64_t n = mynah_shape_size(s), n_scales = call->step->a.i[0], i = 0;
  const float *scale = call->step->a.array, *shift = scale + n_scales; /* (n_scales) */
  const uint8_t *x = call->in[0];                                      /* (…,channels) */
  float *y = call->out[0], period[2][256 * VL];                        /* (…,channels) */
  for (int64_t k = 0; k < n_scales * VL; k++) period[0][k] = scale[k % n_scales], period[1][k] = shift[k % n_scales];
  while (i + VL <= n)
    for (int64_t k = 0; k < n_scales * VL && i + VL <= n; k += VL, i += VL)
      store(y + i, load_bytes(x + i) * load(period[0] + k) + load(period[1] + k));
  for (; i < n; i++) y[i] = scale[i % n_scales] * (float)x[i] + shift[i % n_scales];
}
