/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Losses: scalars (1) by one fused op each, with one fused gradient op each.
 *
 * Attributes: mse, l1: none · huber, huber_grad: f[0] delta · cross_entropy(_grad): f[0] smoothing
 *             gaussian_nll(_grad): f[0] eps · gmm_nll(_grad): none
 * A gradient op takes the inputs of its loss, then what the loss saved, then dy (1) last. */
#include "ops.h"

#include "check.h"

#include <math.h>

/* ---- pointwise: mse, l1, huber ----------------------------------------------------------------------------------- */

/* in: prediction, target, mask or none: one shape; out: loss (1) */
static mynah_status pointwise_loss_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  if (!mynah__is_absent(step, 2)) MYNAH_TRY(mynah__check_same(step, 0, 2));
  mynah__set_output(step, 0, MYNAH_SHAPE(1));
  return MYNAH_OK;
}

/* in: prediction, target, mask or none, dy (1); out: gradient of the prediction */
static mynah_status pointwise_loss_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  if (!mynah__is_absent(step, 2)) MYNAH_TRY(mynah__check_same(step, 0, 2));
  if (mynah__is_absent(step, 3)) return mynah_fail(MYNAH_INVALID, "%s: dy is missing", step->op->name);
  MYNAH_TRY(mynah__check_vector(step, 3, 1, "dy"));
  mynah__set_output(step, 0, step->in[0].shape);
  return MYNAH_OK;
}

static double pointwise_loss_flops(const mynah__step *step) {
  return 3.0 * (double)mynah_shape_size(step->in[0].shape);
}

/* The target's gradient is the prediction's with the other sign. */
static void pointwise_loss_gradient(mynah_graph *g, mynah_node n, const mynah__op *op, const mynah_node *dy,
                                    const bool *needs, mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[4] = {mynah__node_input(g, n, 0), mynah__node_input(g, n, 1), mynah__node_input(g, n, 2), dy[0]};
  mynah_node slope = mynah__add_node(g, op, &a, in, 4);
  if (needs[0]) dx[0] = slope;
  if (needs[1]) dx[1] = mynah_affine(g, slope, -1, 0);
}

static void mse_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  pointwise_loss_gradient(g, n, &mynah__op_mse_grad, dy, needs, dx);
}
static void l1_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  pointwise_loss_gradient(g, n, &mynah__op_l1_grad, dy, needs, dx);
}
static void huber_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  pointwise_loss_gradient(g, n, &mynah__op_huber_grad, dy, needs, dx);
}

#define POINTWISE_LOSS(op)                                                                                       \
  static const mynah__kernel *const op##_kernels[] = {&mynah__fast_##op, &mynah__ref32_##op, &mynah__ref64_##op, \
                                                      NULL};                                                     \
  const mynah__op mynah__op_##op = {.name = #op,                                                                 \
                                    .shape = pointwise_loss_shape,                                               \
                                    .gradient = op##_gradient,                                                   \
                                    .flops = pointwise_loss_flops,                                               \
                                    .kernels = op##_kernels};                                                    \
  static const mynah__kernel *const op##_grad_kernels[] = {&mynah__fast_##op##_grad, &mynah__ref32_##op##_grad, &mynah__ref64_##op##_grad, \
                                                           NULL};                                                \
  const mynah__op mynah__op_##op##_grad = {.name = #op "_grad",                                                  \
                                           .shape = pointwise_loss_grad_shape,                                   \
                                           .flops = pointwise_loss_flops,                                        \
                                           .kernels = op##_grad_kernels}
POINTWISE_LOSS(mse);
POINTWISE_LOSS(l1);
POINTWISE_LOSS(huber);

static mynah_node add_pointwise_loss(mynah_graph *g, const mynah__op *op, const mynah__attributes *a, mynah_node p,
                                     mynah_node target, mynah_node mask) {
  if (!mynah_node_is_null(mask) && !mynah__same_shape(mynah_node_shape(g, mask), mynah_node_shape(g, p)))
    mask = mynah_broadcast(g, mask, mynah_node_shape(g, p));
  return mynah__add_node(g, op, a, (mynah_node[]){p, target, mask}, 3);
}

mynah_node mynah_mse(mynah_graph *g, mynah_node prediction, mynah_node target, mynah_node mask) {
  return add_pointwise_loss(g, &mynah__op_mse, &(mynah__attributes){0}, prediction, target, mask);
}

mynah_node mynah_l1(mynah_graph *g, mynah_node prediction, mynah_node target, mynah_node mask) {
  return add_pointwise_loss(g, &mynah__op_l1, &(mynah__attributes){0}, prediction, target, mask);
}

mynah_node mynah_huber(mynah_graph *g, mynah_node prediction, mynah_node target, mynah_node mask, float delta) {
  if (!(delta > 0) || !isfinite(delta))
    return mynah_graph_fail(g, "huber: delta must be positive, not %g", (double)delta);
  mynah__attributes a = {.f = {(double)delta}};
  return add_pointwise_loss(g, &mynah__op_huber, &a, prediction, target, mask);
}

/* ---- cross-entropy ----------------------------------------------------------------------------------------------- */

/* in: logits (…,K) target (…) int32; out: loss (1) */
static mynah_status cross_entropy_inputs_check(const mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah_shape logits = step->in[0].shape;
  if (mynah__is_absent(step, 1) || step->in[1].dtype != MYNAH_I32)
    return mynah_fail(MYNAH_MISMATCH, "%s: the target must be int32 class numbers", step->op->name);
  mynah_shape target = step->in[1].shape, rows = logits;
  rows.n_dims--;
  if (rows.n_dims == 0) rows = MYNAH_SHAPE(1);
  if (!mynah__same_shape(target, rows))
    return mynah_fail(MYNAH_MISMATCH, "%s: the target must have the shape of the logits without the last axis",
                      step->op->name);
  if (!(step->a.f[0] >= 0 && step->a.f[0] <= 1))
    return mynah_fail(MYNAH_INVALID, "%s: smoothing must be in 0 … 1", step->op->name);
  return MYNAH_OK;
}

static mynah_status cross_entropy_shape(mynah__step *step) {
  MYNAH_TRY(cross_entropy_inputs_check(step));
  mynah__set_output(step, 0, MYNAH_SHAPE(1));
  return MYNAH_OK;
}

static mynah_status cross_entropy_grad_shape(mynah__step *step) {
  MYNAH_TRY(cross_entropy_inputs_check(step));
  MYNAH_TRY(mynah__check_vector(step, 2, 1, "dy"));
  mynah__set_output(step, 0, step->in[0].shape);
  return MYNAH_OK;
}

static double cross_entropy_flops(const mynah__step *step) { return 5.0 * (double)mynah_shape_size(step->in[0].shape); }

static void cross_entropy_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs,
                                   mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[3] = {mynah__node_input(g, n, 0), mynah__node_input(g, n, 1), dy[0]};
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_cross_entropy_grad, &a, in, 3);
}

static const mynah__kernel *const cross_entropy_kernels[] = {&mynah__ref32_cross_entropy, &mynah__ref64_cross_entropy,
                                                             NULL};
const mynah__op mynah__op_cross_entropy = {.name = "cross_entropy",
                                           .shape = cross_entropy_shape,
                                           .gradient = cross_entropy_gradient,
                                           .flops = cross_entropy_flops,
                                           .kernels = cross_entropy_kernels};

static const mynah__kernel *const cross_entropy_grad_kernels[] = {&mynah__ref32_cross_entropy_grad,
                                                                  &mynah__ref64_cross_entropy_grad, NULL};
const mynah__op mynah__op_cross_entropy_grad = {.name = "cross_entropy_grad",
                                                .shape = cross_entropy_grad_shape,
                                                .flops = cross_entropy_flops,
                                                .kernels = cross_entropy_grad_kernels};

mynah_node mynah_cross_entropy(mynah_graph *g, mynah_node logits, mynah_node target, float smoothing) {
  mynah__attributes a = {.f = {(double)smoothing}};
  return mynah__add_node(g, &mynah__op_cross_entropy, &a, (mynah_node[]){logits, target}, 2);
}

/* ---- Gaussian ---------------------------------------------------------------------------------------------------- */

/* in: mean, var, target: one shape; out: loss (1) */
static mynah_status gaussian_nll_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 3));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  MYNAH_TRY(mynah__check_same(step, 0, 2));
  mynah__set_output(step, 0, MYNAH_SHAPE(1));
  return MYNAH_OK;
}

/* in: mean, var, target, dy (1); out: gradients of mean and var */
static mynah_status gaussian_nll_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 4));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  MYNAH_TRY(mynah__check_same(step, 0, 2));
  MYNAH_TRY(mynah__check_vector(step, 3, 1, "dy"));
  mynah__set_output(step, 0, step->in[0].shape);
  mynah__set_output(step, 1, step->in[0].shape);
  return MYNAH_OK;
}

static double gaussian_nll_flops(const mynah__step *step) { return 6.0 * (double)mynah_shape_size(step->in[0].shape); }

static void gaussian_nll_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs,
                                  mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[4] = {mynah__node_input(g, n, 0), mynah__node_input(g, n, 1), mynah__node_input(g, n, 2), dy[0]};
  dx[0] = mynah__add_node(g, &mynah__op_gaussian_nll_grad, &a, in, 4);
  dx[1] = mynah__node_output(g, dx[0], 1);
  if (needs[2]) dx[2] = mynah_affine(g, dx[0], -1, 0);
}

static const mynah__kernel *const gaussian_nll_kernels[] = {&mynah__ref32_gaussian_nll, &mynah__ref64_gaussian_nll,
                                                            NULL};
const mynah__op mynah__op_gaussian_nll = {.name = "gaussian_nll",
                                          .shape = gaussian_nll_shape,
                                          .gradient = gaussian_nll_gradient,
                                          .flops = gaussian_nll_flops,
                                          .kernels = gaussian_nll_kernels};

static const mynah__kernel *const gaussian_nll_grad_kernels[] = {&mynah__ref32_gaussian_nll_grad,
                                                                 &mynah__ref64_gaussian_nll_grad, NULL};
const mynah__op mynah__op_gaussian_nll_grad = {.name = "gaussian_nll_grad",
                                               .shape = gaussian_nll_grad_shape,
                                               .flops = gaussian_nll_flops,
                                               .kernels = gaussian_nll_grad_kernels};

mynah_node mynah_gaussian_nll(mynah_graph *g, mynah_node mean, mynah_node var, mynah_node target, float eps) {
  if (!(eps > 0)) return mynah_graph_fail(g, "gaussian_nll: eps must be positive, not %g", (double)eps);
  mynah__attributes a = {.f = {(double)eps}};
  return mynah__add_node(g, &mynah__op_gaussian_nll, &a, (mynah_node[]){mean, var, target}, 3);
}

/* ---- mixture of Gaussians (Bishop 1994, as robomimic's BC-GMM) --------------------------------------------------- */

/* in: logits (B,K) mean (B,K,D) log_std (B,K,D) target (B,D) mask (B,D) or none */
static mynah_status gmm_nll_inputs_check(const mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 4));
  mynah_shape logits = step->in[0].shape, mean = step->in[1].shape;
  if (logits.n_dims != 2 || mean.n_dims != 3 || mean.dims[0] != logits.dims[0] || mean.dims[1] != logits.dims[1])
    return mynah_fail(MYNAH_MISMATCH, "%s: takes logits (B,K) and means (B,K,D)", step->op->name);
  MYNAH_TRY(mynah__check_same(step, 1, 2));
  if (!mynah__same_shape(step->in[3].shape, MYNAH_SHAPE(mean.dims[0], mean.dims[2])))
    return mynah_fail(MYNAH_MISMATCH, "%s: the target must be (B,D)", step->op->name);
  return mynah__is_absent(step, 4) ? MYNAH_OK : mynah__check_same(step, 3, 4);
}

/* out: loss (1), and the responsibilities (B,K): the share of each component in the likelihood of its row */
static mynah_status gmm_nll_shape(mynah__step *step) {
  MYNAH_TRY(gmm_nll_inputs_check(step));
  mynah__set_output(step, 0, MYNAH_SHAPE(1));
  mynah__set_output(step, 1, step->in[0].shape);
  return MYNAH_OK;
}

/* in: the five of the loss, responsibilities (B,K), dy (1); out: gradients of logits, mean, log_std */
static mynah_status gmm_nll_grad_shape(mynah__step *step) {
  MYNAH_TRY(gmm_nll_inputs_check(step));
  if (mynah__is_absent(step, 5) || mynah__is_absent(step, 6))
    return mynah_fail(MYNAH_INVALID, "gmm_nll_grad: responsibilities and dy are missing");
  MYNAH_TRY(mynah__check_same(step, 0, 5));
  MYNAH_TRY(mynah__check_vector(step, 6, 1, "dy"));
  for (int k = 0; k < 3; k++) mynah__set_output(step, k, step->in[k].shape);
  return MYNAH_OK;
}

static double gmm_nll_flops(const mynah__step *step) { return 6.0 * (double)mynah_shape_size(step->in[1].shape); }

static void gmm_nll_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[7];
  for (int i = 0; i < 5; i++) in[i] = mynah__node_input(g, n, i);
  in[5] = mynah__node_output(g, n, 1), in[6] = dy[0];
  dx[0] = mynah__add_node(g, &mynah__op_gmm_nll_grad, &a, in, 7);
  dx[1] = mynah__node_output(g, dx[0], 1);
  dx[2] = mynah__node_output(g, dx[0], 2);
  /* Moving the target one way is moving all means the other way. */
  if (needs[3]) dx[3] = mynah_affine(g, mynah_sum(g, dx[1], (int[]){1}, 1, false), -1, 0);
}

static const mynah__kernel *const gmm_nll_kernels[] = {&mynah__fast_gmm_nll, &mynah__ref32_gmm_nll, &mynah__ref64_gmm_nll, NULL};
const mynah__op mynah__op_gmm_nll = {.name = "gmm_nll",
                                     .shape = gmm_nll_shape,
                                     .gradient = gmm_nll_gradient,
                                     .flops = gmm_nll_flops,
                                     .kernels = gmm_nll_kernels};

static const mynah__kernel *const gmm_nll_grad_kernels[] = {&mynah__fast_gmm_nll_grad, &mynah__ref32_gmm_nll_grad, &mynah__ref64_gmm_nll_grad,
                                                            NULL};
const mynah__op mynah__op_gmm_nll_grad = {
    .name = "gmm_nll_grad", .shape = gmm_nll_grad_shape, .flops = gmm_nll_flops, .kernels = gmm_nll_grad_kernels};

mynah_node mynah_gmm_nll(mynah_graph *g, mynah_node logits, mynah_node mean, mynah_node log_std, mynah_node target,
                         mynah_node mask) {
  if (!mynah_node_is_null(mask) && !mynah__same_shape(mynah_node_shape(g, mask), mynah_node_shape(g, target)))
    mask = mynah_broadcast(g, mask, mynah_node_shape(g, target));
  return mynah__add_node(g, &mynah__op_gmm_nll, &(mynah__attributes){0},
                         (mynah_node[]){logits, mean, log_std, target, mask}, 5);
}
