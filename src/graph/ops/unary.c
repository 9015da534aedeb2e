/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of pointwise functions: name, f, f'. A new activation is one row here. */
#include "ops.h"

#include <math.h>
#include <string.h>

#define SQRT_HALF 0.70710678118654752440
#define SQRT_TWO_OVER_PI 0.79788456080286535588
#define SQRT_TWO_PI 2.50662827463100050242
#define SQRT_PI 1.77245385090551602730
#define F(name) static double name(double x, const double *p)
#define D(name) static double name##_d(double x, double y, const double *p)

static double logistic(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
/* log(1 + exp(x)) without overflow */
static double log1pexp(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* A NaN must pass: hence the comparisons the way round that keeps it. */
F(relu) { return x < 0 ? 0 : x; }
D(relu) { return y > 0; }
F(leaky_relu) { return x < 0 ? p[0] * x : x; }
D(leaky_relu) { return x > 0 ? 1 : p[0]; } /* the slope at 0 is the left one, as PyTorch's */
F(sigmoid) { return logistic(x); }
D(sigmoid) { return y * (1 - y); }
F(hyperbolic_tangent) { return tanh(x); }
D(hyperbolic_tangent) { return 1 - y * y; }
/* x sigmoid(x)   (Elfwing et al. 2017) */
F(silu) { return x * logistic(x); }
D(silu) { return logistic(x) * (1 + x * (1 - logistic(x))); }
/* x tanh(softplus(x))   (Misra 2019) */
F(mish) { return x * tanh(log1pexp(x)); }
D(mish) {
  double t = tanh(log1pexp(x));
  return t + x * (1 - t * t) * logistic(x);
}
/* x Phi(x)   (Hendrycks and Gimpel 2016) */
F(gelu) { return 0.5 * x * (1 + erf(x * SQRT_HALF)); }
D(gelu) { return 0.5 * (1 + erf(x * SQRT_HALF)) + x * exp(-0.5 * x * x) / SQRT_TWO_PI; }
F(gelu_tanh) { return 0.5 * x * (1 + tanh(SQRT_TWO_OVER_PI * (x + 0.044715 * x * x * x))); }
D(gelu_tanh) {
  double t = tanh(SQRT_TWO_OVER_PI * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_TWO_OVER_PI * (1 + 3 * 0.044715 * x * x);
}
F(softplus) { return log1pexp(x); }
D(softplus) { return logistic(x); }
F(log_sigmoid) { return -log1pexp(-x); }
D(log_sigmoid) { return logistic(-x); }
/* alpha (exp(x) - 1) below 0   (Clevert et al. 2015) */
F(elu) { return x > 0 ? x : p[0] * expm1(x); }
D(elu) { return x > 0 ? 1 : p[0] * exp(x); }
/* Constants of Klambauer et al. 2017, to double precision. */
#define SELU_SCALE 1.0507009873554804934
#define SELU_ALPHA 1.6732632423543772848
F(selu) { return SELU_SCALE * (x > 0 ? x : SELU_ALPHA * expm1(x)); }
D(selu) { return SELU_SCALE * (x > 0 ? 1 : SELU_ALPHA * exp(x)); }
F(hard_sigmoid) { return x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5; }
D(hard_sigmoid) { return x > -3 && x < 3 ? 1.0 / 6 : 0; }
F(hard_swish) { return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6; }
D(hard_swish) { return x < -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5; }
F(exponential) { return exp(x); }
D(exponential) { return y; }
F(logarithm) { return log(x); }
D(logarithm) { return 1 / x; }
F(square) { return x * x; }
D(square) { return 2 * x; }
F(square_root) { return sqrt(x); }
D(square_root) { return 0.5 / y; }
F(absolute) { return fabs(x); }
D(absolute) { return isnan(x) ? x : (double)(x > 0) - (double)(x < 0); }
F(sine) { return sin(x); }
D(sine) { return cos(x); }
F(cosine) { return cos(x); }
D(cosine) { return -sin(x); }
F(error_function) { return erf(x); }
D(error_function) { return 2 / SQRT_PI * exp(-x * x); }
F(reciprocal) { return 1 / x; }
D(reciprocal) { return -y * y; }
F(power) { return pow(x, p[0]); }
D(power) { return p[0] * pow(x, p[0] - 1); }
/* Steps: their slope is 0 wherever they have one. */
#define STEP(name, value) \
  F(name) { return isnan(x) ? x : (value); } \
  D(name) { return isnan(x) ? x : 0; }
STEP(signum, (double)(x > 0) - (double)(x < 0))
STEP(round_down, floor(x))
STEP(round_up, ceil(x))
STEP(round_even, nearbyint(x))
STEP(round_to_zero, trunc(x))
STEP(positive, x > 0)
STEP(zero, !(x > 0 || x < 0))
F(no_number) { return isnan(x) ? 1 : 0; }
D(no_number) { return 0; }
F(infinite) { return isinf(x) ? 1 : 0; }
D(infinite) { return 0; }

static const mynah__unary table[] = {
    {"relu", relu, relu_d, true, 0},
    {"leaky_relu", leaky_relu, leaky_relu_d, false, 0.01},
    {"sigmoid", sigmoid, sigmoid_d, true, 0},
    {"tanh", hyperbolic_tangent, hyperbolic_tangent_d, true, 0},
    {"silu", silu, silu_d, false, 0},
    {"mish", mish, mish_d, false, 0},
    {"gelu", gelu, gelu_d, false, 0},
    {"gelu_tanh", gelu_tanh, gelu_tanh_d, false, 0},
    {"softplus", softplus, softplus_d, false, 0},
    {"log_sigmoid", log_sigmoid, log_sigmoid_d, false, 0},
    {"elu", elu, elu_d, false, 1},
    {"selu", selu, selu_d, false, 0},
    {"hard_sigmoid", hard_sigmoid, hard_sigmoid_d, false, 0},
    {"hard_swish", hard_swish, hard_swish_d, false, 0},
    {"exp", exponential, exponential_d, true, 0},
    {"log", logarithm, logarithm_d, false, 0},
    {"square", square, square_d, false, 0},
    {"sqrt", square_root, square_root_d, true, 0},
    {"abs", absolute, absolute_d, false, 0},
    {"sin", sine, sine_d, false, 0},
    {"cos", cosine, cosine_d, false, 0},
    {"erf", error_function, error_function_d, false, 0},
    {"reciprocal", reciprocal, reciprocal_d, true, 0},
    {"pow", power, power_d, false, 1},
    {"sign", signum, signum_d, false, 0},
    {"floor", round_down, round_down_d, false, 0},
    {"ceil", round_up, round_up_d, false, 0},
    {"round", round_even, round_even_d, false, 0},
    {"trunc", round_to_zero, round_to_zero_d, false, 0},
    {"is_positive", positive, positive_d, false, 0},
    {"is_zero", zero, zero_d, false, 0},
    {"is_nan", no_number, no_number_d, false, 0},
    {"is_inf", infinite, infinite_d, false, 0},
};

const mynah__unary *mynah__unary_find(const char *name) {
  for (size_t i = 0; name && i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) return &table[i];
  return NULL;
}
