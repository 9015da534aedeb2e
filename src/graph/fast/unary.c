/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pointwise functions of one number and their slopes, vectorised; formulas and edge cases as the table of ops/unary.c.
 *
 * Accuracy against that table in double: within 4 ulp of the result, or 1e-7 where it passes through zero. */
#include "level.h"
#include "vec.h"

/* F(name): y from x and parameter p; D(name): slope from x (or y, where the table says so) */
#define F(name) INLINE vec name##_f(vec x, vec p)
#define D(name) INLINE vec name##_d(vec x, vec p)
#define ONE splat(1.0f)
#define ZERO ((vec){0})

/* ln(1 + e) for 0 <= e <= 1, exact also for tiny e: ln(u) e / (u - 1), u = 1 + e as rounded (Kahan) */
INLINE vec log_one_plus(vec e) {
  vec u = 1.0f + e;
  return choose(u == ONE, e, logarithm(u) * e / choose(u == ONE, ONE, u - 1.0f));
}
INLINE vec soft_plus(vec x) { return larger(x, ZERO) + log_one_plus(exponential(-absolute(x))); }

F(relu) { return choose(x < ZERO, ZERO, x); }
D(relu) { return choose(x > ZERO, ONE, ZERO); }
F(leaky_relu) { return choose(x < ZERO, p * x, x); }
D(leaky_relu) { return choose(x > ZERO, ONE, p); }
F(sigmoid) { return logistic(x); }
D(sigmoid) { return x * (1.0f - x); }
F(tanh) { return hyperbolic_tangent(x); }
D(tanh) { return 1.0f - x * x; }
/* -inf times 0 must give the limit 0, as nearly as the table's own NaN allows: it gives NaN there, and so does this. */
F(silu) { return x * logistic(x); }
D(silu) {
  vec s = logistic(x);
  return s * (1.0f + x * (1.0f - s));
}
/* tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); beyond 20 it is 1. */
F(mish) {
  vec e = exponential(smaller(splat(20), x)), n = e * (e + 2.0f);
  return x * (n * reciprocal(n + 2.0f));
}
/* … + x (1 - tanh^2) sigmoid x, which is 4 x e (1 + e) / (n + 2)^2 */
D(mish) {
  vec e = exponential(smaller(splat(20), x)), n = e * (e + 2.0f), r = reciprocal(n + 2.0f);
  return n * r + 4.0f * x * (e * r) * ((1.0f + e) * r);
}
/* The normal distribution up to x, (1 + erf(x / sqrt 2)) / 2, within 1e-7: Abramowitz and Stegun 1964, 7.1.26. density: e^(-x^2/2) */
INLINE vec normal_share(vec x, vec density) {
  vec z = absolute(x) * 0.70710678118654752f, t = reciprocal(1.0f + 0.3275911f * z);
  vec p = splat(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  vec tail = 0.5f * p * t * density;
  return choose(x < (vec){0}, tail, 1.0f - tail);
}
F(gelu) { return x * normal_share(x, exponential(-0.5f * x * x)); }
D(gelu) {
  vec density = exponential(-0.5f * x * x);
  return normal_share(x, density) + x * density * 0.39894228040143268f;
}
#define GELU_INNER(x) (0.79788456080286535588f * (x + 0.044715f * x * x * x))
F(gelu_tanh) { return 0.5f * x * (1.0f + hyperbolic_tangent(GELU_INNER(x))); }
D(gelu_tanh) {
  vec t = hyperbolic_tangent(GELU_INNER(x));
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * (0.79788456080286535588f * (1.0f + (3 * 0.044715f) * x * x));
}
F(softplus) { return choose(x == x, soft_plus(x), x); }
D(softplus) { return logistic(x); }
F(square) { return x * x; }
D(square) { return x + x; }
F(exp) { return exponential(x); }
D(exp) { return x; }
F(log) { return logarithm(x); }
D(log) { return 1.0f / x; }
F(hard_swish) { return choose(x <= splat(-3), ZERO, choose(x >= splat(3), x, x * (x + 3.0f) / 6.0f)); }
D(hard_swish) { return choose(x < splat(-3), ZERO, choose(x > splat(3), ONE, x / 3.0f + 0.5f)); }

/* x = q pi/2 + r with |r| <= pi/4 (pi/2 in three parts, Cody and Waite 1980), good for |x| below 10^4; the quarter q says
 * which of sine and cosine of r it is, and with which sign. Taylor polynomials: error below 1e-7. */
INLINE vec sine_of_quarter(vec x, int add) {
  vec q = nearest(x * 0.63661977236758134f);
  vec r = ((x - q * 1.5703125f) - q * 4.837512969970703125e-4f) - q * 7.54978995489188e-8f, z = r * r;
  vec s = r * (1.0f + z * (-0.16666667f + z * (8.3333333e-3f + z * (-1.9841270e-4f + z * 2.7557319e-6f))));
  vec c = 1.0f + z * (-0.5f + z * (4.1666667e-2f + z * (-1.3888889e-3f + z * 2.4801587e-5f)));
  ivec quarter = to_int(q) + isplat(add);
  vec y = choose((quarter & isplat(1)) != isplat(0), c, s);
  return choose((quarter & isplat(2)) != isplat(0), -y, y);
}
F(sin) { return sine_of_quarter(x, 0); }
D(sin) { return sine_of_quarter(x, 1); }
F(cos) { return sine_of_quarter(x, 1); }
D(cos) { return -sine_of_quarter(x, 0); }

#define LOOPS(name)                                                                                        \
  static void name##_apply(int64_t n, const float *x, float *y, float parameter) {                         \
    vec p = splat(parameter);                                                                              \
    int64_t i = 0;                                                                                         \
    for (; i + VL <= n; i += VL) store(y + i, name##_f(load(x + i), p));                                   \
    if (i < n) store_part(y + i, name##_f(load_part(x + i, n - i), p), n - i);                             \
  }                                                                                                        \
  static void name##_slope(int64_t n, const float *x, const float *dy, float *dx, float parameter) {       \
    vec p = splat(parameter);                                                                              \
    int64_t i = 0;                                                                                         \
    for (; i + VL <= n; i += VL) store(dx + i, load(dy + i) * name##_d(load(x + i), p));                   \
    if (i < n) store_part(dx + i, load_part(dy + i, n - i) * name##_d(load_part(x + i, n - i), p), n - i); \
  }
#define UNARIES(U) \
  U(relu) U(leaky_relu) U(sigmoid) U(tanh) U(silu) U(mish) U(gelu) U(gelu_tanh) U(softplus) U(square) U(exp) U(hard_swish)        \
  U(sin) U(cos) U(log)
UNARIES(LOOPS)

#define ROW(name) {#name, name##_apply, name##_slope},
static const mynah__fast_function table[] = {UNARIES(ROW)};

const mynah__fast_function *FAST(find_unary)(const char *name) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) return &table[i];
  return NULL;
}

/* plan: the row of the table */
void FAST(unary)(const mynah__call *call) {
  const mynah__fast_function *u = call->plan;
  int64_t n = mynah_shape_size(call->step->in[0].shape);
  mynah__share own = mynah__share_of((n + VL - 1) / VL, call); /* vectors, so that only the last is a part of one */
  int64_t first = own.first * VL, last = own.last * VL < n ? own.last * VL : n;
  u->apply(last - first, (const float *)call->in[0] + first, (float *)call->out[0] + first, (float)call->step->a.f[0]);
}

void FAST(unary_grad)(const mynah__call *call) {
  const mynah__fast_function *u = call->plan;
  u->slope(mynah_shape_size(call->step->in[0].shape), call->in[0], call->in[1], call->out[0],
           (float)call->step->a.f[0]);
}
