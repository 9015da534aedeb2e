/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Flat sweeps over weights: optimisers, moving average, sum over shards, sum of squares. All are bound by memory, so
 * each reads and writes every array once. Element i depends on element i alone: any split gives the same bits. */
#include "level.h"
#include "vec.h"

#include <math.h>

typedef struct adam_constants {
  vec keep_m, take_m, keep_v, take_v, scale, keep_w, decay_g, step, root, eps;
} adam_constants;

/* m = b1 m + (1-b1) g ; v = b2 v + (1-b2) g^2 ; w = w (1 - lr decay) - lr/c1 m / (sqrt(v)/sqrt(c2) + eps)
 * (Loshchilov and Hutter 2019, algorithm 2; operations in torch.optim.AdamW's order) */
INLINE void adam_step(const adam_constants *c, vec *w, vec *m, vec *v, vec g) {
  g = g * c->scale + c->decay_g * *w;
  *m = *m * c->keep_m + g * c->take_m;
  *v = *v * c->keep_v + g * g * c->take_v;
  *w = *w * c->keep_w - c->step * *m * reciprocal(quick_root(*v) * c->root + c->eps);
}

void FAST(sweep_adam)(const mynah_adam *a, int64_t n, float *w, float *m, float *v, const float *gradient) {
  adam_constants c = {splat(a->beta1),
                      splat(1 - a->beta1),
                      splat(a->beta2),
                      splat(1 - a->beta2),
                      splat(a->gradient_scale),
                      splat(a->is_decoupled ? 1 - a->lr * a->decay : 1),
                      splat(a->is_decoupled ? 0 : a->decay),
                      splat(a->lr / a->correction1),
                      splat(1 / sqrtf(a->correction2)),
                      splat(a->eps)};
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    vec wi = load_at(w, i, part), mi = load_at(m, i, part), vi = load_at(v, i, part);
    adam_step(&c, &wi, &mi, &vi, load_at(gradient, i, part));
    store_at(w, i, part, wi);
    store_at(m, i, part, mi);
    store_at(v, i, part, vi);
  }
}

void FAST(sweep_sgd)(const mynah_sgd *a, int64_t n, float *w, float *buffer, const float *gradient) {
  vec scale = splat(a->gradient_scale), decay = splat(a->decay), momentum = splat(a->is_first ? 0 : a->momentum);
  vec lr = splat(a->lr), ahead = splat(a->is_nesterov ? a->momentum : 0);
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    vec wi = load_at(w, i, part), g = load_at(gradient, i, part) * scale + decay * wi;
    vec bi = a->is_first ? g : load_at(buffer, i, part) * momentum + g;
    store_at(buffer, i, part, bi);
    store_at(w, i, part, wi - lr * (a->is_nesterov ? g + ahead * bi : bi));
  }
}

void FAST(sweep_ema)(float decay, int64_t n, float *average, const float *w) {
  vec keep = splat(decay), take = splat(1 - decay);
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    store_at(average, i, part, load_at(average, i, part) * keep + load_at(w, i, part) * take);
  }
}

/* A tree over 2^32 inputs needs 32 open partial sums. */
#define TREE_DEPTH 32

/* Partial sums of 1, 2, 4 … inputs are closed as soon as two of a size stand side by side, like carries in a binary
 * counter; what is open at the end is closed from the small end. The tree depends on n_in alone. */
INLINE vec tree_sum_at(int n_in, const float *const *in, int64_t i, int64_t part) {
  vec open[TREE_DEPTH];
  int n_open = 0;
  for (int k = 0; k < n_in; k++) {
    vec sum = load_at(in[k], i, part);
    for (int bit = k; bit & 1; bit >>= 1) sum = open[--n_open] + sum;
    open[n_open++] = sum;
  }
  vec sum = open[--n_open];
  while (n_open > 0) sum = open[--n_open] + sum;
  return sum;
}

void FAST(sweep_tree_sum)(int n_in, const float *const *in, float scale, int64_t n, float *out) {
  if (n_in < 1) {
    if (n > 0) memset(out, 0, (size_t)n * sizeof *out);
    return;
  }
  vec by = splat(scale);
  for (int64_t i = 0; i < n; i += VL) {
    int64_t part = n - i < VL ? n - i : 0;
    vec sum = n_in == 2 ? load_at(in[0], i, part) + load_at(in[1], i, part) : tree_sum_at(n_in, in, i, part);
    store_at(out, i, part, sum * by);
  }
}

#define N_SQUARES 16
typedef float half_vec __attribute__((vector_size(2 * VL), aligned(4), may_alias));
typedef double doubles __attribute__((vector_size(4 * VL)));

/* Sixteen sums in double, whatever the ISA level; squares of floats are exact in double, so a fused multiply-add
 * changes nothing and all levels agree to the bit. */
double FAST(sweep_sum_squares)(int64_t n, const float *x) {
  doubles sums[2 * N_SQUARES / VL] = {{0}};
  double sum[N_SQUARES];
  int64_t whole = n - n % N_SQUARES;
  for (int64_t i = 0; i < whole; i += N_SQUARES) {
    UNROLL for (int k = 0; k < 2 * N_SQUARES / VL; k++) {
      doubles a = __builtin_convertvector(*(const half_vec *)(x + i + k * VL / 2), doubles);
      sums[k] += a * a;
    }
  }
  memcpy(sum, sums, sizeof sum);
  for (int64_t i = whole; i < n; i++) sum[i - whole] += (double)x[i] * (double)x[i];
  for (int half = N_SQUARES / 2; half > 0; half /= 2)
    for (int k = 0; k < half; k++) sum[k] += sum[k + half];
  return sum[0];
}
