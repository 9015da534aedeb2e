/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pointwise ops: functions of one number, sums and products with broadcasting, pictures to numbers, dropout, noise.
 *
 * Attributes: unary, unary_grad: text the function's name, f[0..1] its parameters · affine: f[0] scale, f[1] shift
 *             clamp, clamp_grad: f[0] low, f[1] high · from_u8: array scales then shifts, i[0] how many of each
 *             dropout: f[0] probability · gaussian_noise: f[0] sigma · add, sub, mul, div: none */
#include "ops.h"

#include "check.h"

#include <math.h>
#include <stdlib.h>

/* x (…) -> y (…) */
static mynah_status same_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah__set_output(step, 0, step->in[0].shape);
  return MYNAH_OK;
}

/* in: x or y, dy; out: dx: all (…) */
static mynah_status same_shape_grad(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  mynah__set_output(step, 0, step->in[0].shape);
  return MYNAH_OK;
}

/* ---- functions of one number ------------------------------------------------------------------------------------- */

static void unary_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  bool is_from_output = mynah__unary_find(a.text)->is_from_output;
  mynah_node in[2] = {is_from_output ? mynah__node_output(g, n, 0) : mynah__node_input(g, n, 0), dy[0]};
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_unary_grad, &a, in, 2);
}

static const mynah__kernel *const unary_kernels[] = {&mynah__fast_unary, &mynah__ref32_unary, &mynah__ref64_unary,
                                                     NULL};
const mynah__op mynah__op_unary = {
    .name = "unary", .shape = same_shape, .gradient = unary_gradient, .kernels = unary_kernels, .in_place = 1};

/* in: y when the derivative needs the output alone, else x; dy */
static const mynah__kernel *const unary_grad_kernels[] = {&mynah__fast_unary_grad, &mynah__ref32_unary_grad,
                                                          &mynah__ref64_unary_grad, NULL};
const mynah__op mynah__op_unary_grad = {
    .name = "unary_grad", .shape = same_shape_grad, .kernels = unary_grad_kernels, .in_place = 3};

/* "leaky_relu:0.1" is leaky_relu with that parameter; without one, the table's. */
mynah_node mynah_unary(mynah_graph *g, const char *function, mynah_node x) {
  char name[32];
  const char *colon = strchr(function, ':');
  size_t length = colon ? (size_t)(colon - function) : strlen(function);
  const mynah__unary *u = NULL;
  if (length < sizeof name) {
    memcpy(name, function, length);
    name[length] = 0;
    u = mynah__unary_find(name);
  }
  if (!u) return mynah_graph_fail(g, "unary: no function '%.40s'", function);
  mynah__attributes a = {.text = u->name, .f = {u->parameter}};
  if (colon) {
    char *end;
    a.f[0] = strtod(colon + 1, &end);
    if (end == colon + 1 || *end || !isfinite(a.f[0]))
      return mynah_graph_fail(g, "unary: '%.40s': the parameter is not a number", function);
  }
  return mynah__add_node(g, &mynah__op_unary, &a, &x, 1);
}

mynah_node mynah_relu(mynah_graph *g, mynah_node x) { return mynah_unary(g, "relu", x); }
mynah_node mynah_silu(mynah_graph *g, mynah_node x) { return mynah_unary(g, "silu", x); }
mynah_node mynah_tanh(mynah_graph *g, mynah_node x) { return mynah_unary(g, "tanh", x); }
mynah_node mynah_sigmoid(mynah_graph *g, mynah_node x) { return mynah_unary(g, "sigmoid", x); }

/* ---- two operands ------------------------------------------------------------------------------------------------ */

/* in: a, b; out: their common shape, aligned at the last axis, where 1 stretches (NumPy) */
static mynah_status binary_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  mynah_shape a = step->in[0].shape, b = step->in[1].shape, y = {.n_dims = a.n_dims > b.n_dims ? a.n_dims : b.n_dims};
  for (int i = 1; i <= y.n_dims; i++) {
    int64_t da = i <= a.n_dims ? a.dims[a.n_dims - i] : 1, db = i <= b.n_dims ? b.dims[b.n_dims - i] : 1;
    if (da != db && da != 1 && db != 1)
      return mynah_fail(MYNAH_MISMATCH, "%s: the shapes do not broadcast: %" PRId64 " meets %" PRId64, step->op->name,
                        da, db);
    y.dims[y.n_dims - i] = da == 1 ? db : da;
  }
  mynah__set_output(step, 0, y);
  return MYNAH_OK;
}

/* The gradient of something that was stretched to d's shape: summed over the stretched axes. */
static mynah_node reduce_to(mynah_graph *g, mynah_node d, mynah_shape shape) {
  mynah_shape wide = mynah_node_shape(g, d);
  int axes[MYNAH_MAX_DIMS], n = 0, shift = wide.n_dims - shape.n_dims;
  if (mynah__same_shape(wide, shape) || wide.n_dims == 0) return d;
  for (int i = 0; i < wide.n_dims; i++)
    if (i < shift || (shape.dims[i - shift] == 1 && wide.dims[i] != 1)) axes[n++] = i;
  if (n) d = mynah_sum(g, d, axes, n, true);
  return mynah_reshape(g, d, shape);
}

static mynah_node negative(mynah_graph *g, mynah_node x) { return mynah_affine(g, x, -1, 0); }

static void add_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  for (int i = 0; i < 2; i++)
    if (needs[i]) dx[i] = reduce_to(g, dy[0], mynah_node_shape(g, mynah__node_input(g, n, i)));
}

static void sub_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  add_gradient(g, n, dy, needs, dx);
  if (needs[1]) dx[1] = negative(g, dx[1]);
}

static void mul_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_node in[2] = {mynah__node_input(g, n, 0), mynah__node_input(g, n, 1)};
  for (int i = 0; i < 2; i++)
    if (needs[i]) dx[i] = reduce_to(g, mynah_mul(g, dy[0], in[1 - i]), mynah_node_shape(g, in[i]));
}

/* y = a / b:  da = dy / b ; db = -(dy / b) y */
static void div_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_node a = mynah__node_input(g, n, 0), b = mynah__node_input(g, n, 1);
  mynah_node d = mynah_div(g, dy[0], b);
  if (needs[0]) dx[0] = reduce_to(g, d, mynah_node_shape(g, a));
  if (needs[1]) dx[1] = negative(g, reduce_to(g, mynah_mul(g, d, mynah__node_output(g, n, 0)), mynah_node_shape(g, b)));
}

#define BINARY(op)                                                                                               \
  static const mynah__kernel *const op##_kernels[] = {&mynah__fast_##op, &mynah__ref32_##op, &mynah__ref64_##op, \
                                                      NULL};                                                     \
  const mynah__op mynah__op_##op = {                                                                             \
      .name = #op, .shape = binary_shape, .gradient = op##_gradient, .kernels = op##_kernels, .in_place = 3};    \
  mynah_node mynah_##op(mynah_graph *g, mynah_node a, mynah_node b) {                                            \
    return mynah__add_node(g, &mynah__op_##op, NULL, (mynah_node[]){a, b}, 2);                                   \
  }
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)

/* ---- affine, clamp ----------------------------------------------------------------------------------------------- */

static void affine_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah__attributes a = {.f = {mynah__node_attributes(g, n)->f[0]}};
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_affine, &a, dy, 1);
}

/* y = scale x + shift */
static const mynah__kernel *const affine_kernels[] = {&mynah__fast_affine, &mynah__ref32_affine, &mynah__ref64_affine,
                                                      NULL};
const mynah__op mynah__op_affine = {
    .name = "affine", .shape = same_shape, .gradient = affine_gradient, .kernels = affine_kernels, .in_place = 1};

mynah_node mynah_affine(mynah_graph *g, mynah_node x, float scale, float shift) {
  mynah__attributes a = {.f = {(double)scale, (double)shift}};
  return mynah__add_node(g, &mynah__op_affine, &a, &x, 1);
}

static void clamp_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[2] = {mynah__node_input(g, n, 0), dy[0]};
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_clamp_grad, &a, in, 2);
}

static const mynah__kernel *const clamp_kernels[] = {&mynah__fast_clamp, &mynah__ref32_clamp, &mynah__ref64_clamp,
                                                     NULL};
const mynah__op mynah__op_clamp = {
    .name = "clamp", .shape = same_shape, .gradient = clamp_gradient, .kernels = clamp_kernels, .in_place = 1};

/* dx = dy where low <= x <= high, else 0 */
static const mynah__kernel *const clamp_grad_kernels[] = {&mynah__fast_clamp_grad, &mynah__ref32_clamp_grad,
                                                          &mynah__ref64_clamp_grad, NULL};
const mynah__op mynah__op_clamp_grad = {
    .name = "clamp_grad", .shape = same_shape_grad, .kernels = clamp_grad_kernels, .in_place = 3};

mynah_node mynah_clamp(mynah_graph *g, mynah_node x, float low, float high) {
  if (!(low <= high)) return mynah_graph_fail(g, "clamp: low %g is not below high %g", (double)low, (double)high);
  mynah__attributes a = {.f = {(double)low, (double)high}};
  return mynah__add_node(g, &mynah__op_clamp, &a, &x, 1);
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* in: x (…,C) uint8; out: y (…,C) float */
static mynah_status from_u8_shape(mynah__step *step) {
  if (mynah__is_absent(step, 0)) return mynah_fail(MYNAH_INVALID, "from_u8: input 0 is missing");
  mynah_shape x = step->in[0].shape;
  if (step->in[0].dtype != MYNAH_U8) return mynah_fail(MYNAH_MISMATCH, "from_u8: the input must hold uint8");
  if (step->a.i[0] != 1 && step->a.i[0] != x.dims[x.n_dims - 1])
    return mynah_fail(MYNAH_MISMATCH, "from_u8: %" PRId64 " scales for %" PRId64 " channels", step->a.i[0],
                      x.dims[x.n_dims - 1]);
  mynah__set_output(step, 0, x);
  return MYNAH_OK;
}

static const mynah__kernel *const from_u8_kernels[] = {&mynah__fast_from_u8, &mynah__ref32_from_u8,
                                                       &mynah__ref64_from_u8, NULL};
const mynah__op mynah__op_from_u8 = {.name = "from_u8", .shape = from_u8_shape, .kernels = from_u8_kernels};

mynah_node mynah_from_u8(mynah_graph *g, mynah_node x, const float *scale, const float *shift, int n) {
  float both[512];
  if (n < 1 || n > 256) return mynah_graph_fail(g, "from_u8: %d scales: 1 to 256 are possible", n);
  memcpy(both, scale, (size_t)n * sizeof *both);
  memcpy(both + n, shift, (size_t)n * sizeof *both);
  mynah__attributes a = {.i = {n}, .array = both, .n_array = 2 * n};
  return mynah__add_node(g, &mynah__op_from_u8, &a, &x, 1);
}

/* ---- random ------------------------------------------------------------------------------------------------------ */

/* in: x; out: y = x mask, mask: 0 with the probability, else 1 / (1 - probability)   (Srivastava et al. 2014, inverted)
 */
static mynah_status dropout_shape(mynah__step *step) {
  MYNAH_TRY(same_shape(step));
  mynah__set_output(step, 1, step->in[0].shape);
  return MYNAH_OK;
}

static void dropout_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (needs[0]) dx[0] = mynah_mul(g, dy[0], mynah__node_output(g, n, 1));
}

static const mynah__kernel *const dropout_kernels[] = {&mynah__fast_dropout, &mynah__ref32_dropout, &mynah__ref64_dropout, NULL};
const mynah__op mynah__op_dropout = {.name = "dropout",
                                     .shape = dropout_shape,
                                     .gradient = dropout_gradient,
                                     .kernels = dropout_kernels,
                                     .in_place = 1,
                                     .is_random = true,
                                     .is_training_only = true};

mynah_node mynah_dropout(mynah_graph *g, mynah_node x, float probability) {
  if (!(probability >= 0 && probability < 1))
    return mynah_graph_fail(g, "dropout: probability %g is not in 0 … 1", (double)probability);
  mynah__attributes a = {.f = {(double)probability}};
  return mynah__add_node(g, &mynah__op_dropout, &a, &x, 1);
}

static void noise_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (needs[0]) dx[0] = dy[0];
}

static const mynah__kernel *const noise_kernels[] = {&mynah__fast_gaussian_noise, &mynah__ref32_gaussian_noise, &mynah__ref64_gaussian_noise, NULL};
const mynah__op mynah__op_gaussian_noise = {.name = "gaussian_noise",
                                            .shape = same_shape,
                                            .gradient = noise_gradient,
                                            .kernels = noise_kernels,
                                            .in_place = 1,
                                            .is_random = true,
                                            .is_training_only = true};

mynah_node mynah_gaussian_noise(mynah_graph *g, mynah_node x, float sigma) {
  if (!(sigma >= 0) || !isfinite(sigma))
    return mynah_graph_fail(g, "gaussian_noise: sigma %g is negative", (double)sigma);
  mynah__attributes a = {.f = {(double)sigma}};
  return mynah__add_node(g, &mynah__op_gaussian_noise, &a, &x, 1);
}
