/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Layer norm, group norm, batch norm (training, evaluating, frozen): shape rules and gradients.
 *
 * All three have the same form: y = (x - mean) * inv_std * gamma + beta, inv_std = 1 / sqrt(var + eps), and keep mean
 * and inv_std as outputs 1 and 2 for the reverse pass. gamma and beta (C) may be absent. Attributes: f[0] eps
 *   layer_norm, layer_norm_grad: none more · group_norm, group_norm_grad: i[0] groups
 *   batch_norm: i[0] 1: always the running statistics · f[1] momentum
 *   batch_norm_grad: i[0] 1: mean and inv_std are constants */
#include "ops.h"

#include "check.h"

#include <stdio.h>

/* x read twice (mean, variance) and once more to normalise. */
static double norm_flops(const mynah__step *step) { return 8.0 * (double)mynah_shape_size(step->in[0].shape); }

/* in: x (…,C) gamma (C) beta (C); step's vectors are checked, C written. */
static mynah_status norm_inputs_check(const mynah__step *step, int64_t *channels) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah_shape x = step->in[0].shape;
  *channels = x.dims[x.n_dims - 1];
  if (!(step->a.f[0] >= 0)) return mynah_fail(MYNAH_INVALID, "%s: eps must not be negative", step->op->name);
  MYNAH_TRY(mynah__check_vector(step, 1, *channels, "gamma"));
  return mynah__check_vector(step, 2, *channels, "beta");
}

/* Gradient inputs of all norms: 0 x, 1 dy, 2 mean, 3 inv_std, 4 gamma or none; outputs dx, dgamma (C), dbeta (C). */
static mynah_status norm_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 4));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  MYNAH_TRY(mynah__check_same(step, 2, 3));
  mynah_shape x = step->in[0].shape;
  int64_t channels = x.dims[x.n_dims - 1];
  MYNAH_TRY(mynah__check_vector(step, 4, channels, "gamma"));
  mynah__set_output(step, 0, x);
  mynah__set_output(step, 1, MYNAH_SHAPE(channels));
  mynah__set_output(step, 2, MYNAH_SHAPE(channels));
  return MYNAH_OK;
}

/* The reverse pass of any norm node n whose gradient op is `op`. */
static void norm_gradient(mynah_graph *g, mynah_node n, const mynah__op *op, const mynah__attributes *a,
                          const mynah_node *dy, mynah_node *dx) {
  mynah_node in[5] = {mynah__node_input(g, n, 0), dy[0], mynah__node_output(g, n, 1), mynah__node_output(g, n, 2),
                      mynah__node_input(g, n, 1)};
  mynah__attributes copy = *a;
  dx[0] = mynah__add_node(g, op, &copy, in, 5);
  dx[1] = mynah__node_output(g, dx[0], 1);
  dx[2] = mynah__node_output(g, dx[0], 2);
}

/* ---- layer norm (Ba et al. 2016) --------------------------------------------------------------------------------- */

/* out: y (…,C) mean, inv_std (rows), rows = all but the last axis */
static mynah_status layer_norm_shape(mynah__step *step) {
  int64_t channels = 0;
  MYNAH_TRY(norm_inputs_check(step, &channels));
  mynah_shape x = step->in[0].shape;
  mynah_shape rows = MYNAH_SHAPE(channels ? mynah_shape_size(x) / channels : 0);
  mynah__set_output(step, 0, x);
  mynah__set_output(step, 1, rows);
  mynah__set_output(step, 2, rows);
  return MYNAH_OK;
}

static void layer_norm_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  norm_gradient(g, n, &mynah__op_layer_norm_grad, mynah__node_attributes(g, n), dy, dx);
}

static const mynah__kernel *const layer_norm_kernels[] = {&mynah__fast_layer_norm, &mynah__ref32_layer_norm, &mynah__ref64_layer_norm, NULL};
const mynah__op mynah__op_layer_norm = {.name = "layer_norm",
                                        .shape = layer_norm_shape,
                                        .gradient = layer_norm_gradient,
                                        .flops = norm_flops,
                                        .kernels = layer_norm_kernels};

static const mynah__kernel *const layer_norm_grad_kernels[] = {&mynah__fast_layer_norm_grad, &mynah__ref32_layer_norm_grad,
                                                               &mynah__ref64_layer_norm_grad, NULL};
const mynah__op mynah__op_layer_norm_grad = {
    .name = "layer_norm_grad", .shape = norm_grad_shape, .flops = norm_flops, .kernels = layer_norm_grad_kernels};

mynah_node mynah_layer_norm(mynah_graph *g, mynah_node x, mynah_node gamma, mynah_node beta, float eps) {
  mynah__attributes a = {.f = {(double)eps}};
  return mynah__add_node(g, &mynah__op_layer_norm, &a, (mynah_node[]){x, gamma, beta}, 3);
}

/* ---- group norm (Wu and He 2018) --------------------------------------------------------------------------------- */

/* in: x (B,…,C); out: y (B,…,C) mean, inv_std (B,groups) */
static mynah_status group_norm_shape(mynah__step *step) {
  int64_t channels = 0, groups = step->a.i[0];
  MYNAH_TRY(norm_inputs_check(step, &channels));
  mynah_shape x = step->in[0].shape;
  if (x.n_dims < 2 || groups < 1 || channels % groups)
    return mynah_fail(MYNAH_MISMATCH,
                      "group_norm: takes (B,…,C) with C a multiple of the groups, not %" PRId64 " channels in %" PRId64
                      " groups",
                      channels, groups);
  mynah__set_output(step, 0, x);
  mynah__set_output(step, 1, MYNAH_SHAPE(x.dims[0], groups));
  mynah__set_output(step, 2, MYNAH_SHAPE(x.dims[0], groups));
  return MYNAH_OK;
}

static void group_norm_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  norm_gradient(g, n, &mynah__op_group_norm_grad, mynah__node_attributes(g, n), dy, dx);
}

static const mynah__kernel *const group_norm_kernels[] = {&mynah__fast_group_norm, &mynah__ref32_group_norm, &mynah__ref64_group_norm, NULL};
const mynah__op mynah__op_group_norm = {.name = "group_norm",
                                        .shape = group_norm_shape,
                                        .gradient = group_norm_gradient,
                                        .flops = norm_flops,
                                        .kernels = group_norm_kernels};

static const mynah__kernel *const group_norm_grad_kernels[] = {&mynah__fast_group_norm_grad, &mynah__ref32_group_norm_grad,
                                                               &mynah__ref64_group_norm_grad, NULL};
const mynah__op mynah__op_group_norm_grad = {
    .name = "group_norm_grad", .shape = norm_grad_shape, .flops = norm_flops, .kernels = group_norm_grad_kernels};

mynah_node mynah_group_norm(mynah_graph *g, mynah_node x, int groups, mynah_node gamma, mynah_node beta, float eps) {
  mynah__attributes a = {.i = {groups}, .f = {(double)eps}};
  return mynah__add_node(g, &mynah__op_group_norm, &a, (mynah_node[]){x, gamma, beta}, 3);
}

/* ---- batch norm (Ioffe and Szegedy 2015) ------------------------------------------------------------------------- */

/* in: x (…,C) gamma, beta or none, running mean, running variance (C)
 * out: y (…,C), the mean and inv_std it was normalised with (C), the biased variance (C) */
static mynah_status batch_norm_shape(mynah__step *step) {
  int64_t channels = 0;
  MYNAH_TRY(norm_inputs_check(step, &channels));
  if (mynah__is_absent(step, 3) || mynah__is_absent(step, 4))
    return mynah_fail(MYNAH_INVALID, "batch_norm: needs running mean and variance");
  MYNAH_TRY(mynah__check_vector(step, 3, channels, "running mean"));
  MYNAH_TRY(mynah__check_vector(step, 4, channels, "running variance"));
  mynah__set_output(step, 0, step->in[0].shape);
  for (int k = 1; k < 4; k++) mynah__set_output(step, k, MYNAH_SHAPE(channels));
  return MYNAH_OK;
}

/* Output update/NAME = (1 - momentum) * running + momentum * factor * batch, for the buffer that input i names. */
static void add_running_update(mynah_graph *g, mynah_node n, int i, mynah_node batch, double factor) {
  mynah_node running = mynah__node_input(g, n, i);
  const char *name = mynah__weight_name(g, running);
  if (!name) return; /* fed by something else than a buffer: nothing to keep */
  double momentum = mynah__node_attributes(g, n)->f[1];
  char output[MYNAH_NAME_MAX + 8];
  snprintf(output, sizeof output, "update/%s", name);
  mynah_output(g, output,
               mynah_add(g, mynah_affine(g, running, (float)(1 - momentum), 0),
                         mynah_affine(g, batch, (float)(momentum * factor), 0)));
}

/* Differentiating is what makes a graph a training graph, so this is also where the running statistics begin to move:
 * normalised with the biased variance, remembered with the unbiased one (n / (n-1)), as PyTorch. */
static void batch_norm_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  norm_gradient(g, n, &mynah__op_batch_norm_grad, &a, dy, dx);
  if (a.i[0]) return;
  mynah_shape x = mynah_node_shape(g, mynah__node_input(g, n, 0));
  double count = (double)(mynah_shape_size(x) / x.dims[x.n_dims - 1]);
  if (count < 2) {
    mynah_graph_fail(g, "batch_norm: training needs more than one value a channel");
    return;
  }
  add_running_update(g, n, 3, mynah__node_output(g, n, 1), 1);
  add_running_update(g, n, 4, mynah__node_output(g, n, 3), count / (count - 1));
}

static const mynah__kernel *const batch_norm_kernels[] = {&mynah__fast_batch_norm, &mynah__ref32_batch_norm, &mynah__ref64_batch_norm, NULL};
const mynah__op mynah__op_batch_norm = {.name = "batch_norm",
                                        .shape = batch_norm_shape,
                                        .gradient = batch_norm_gradient,
                                        .flops = norm_flops,
                                        .kernels = batch_norm_kernels};

static const mynah__kernel *const batch_norm_grad_kernels[] = {&mynah__fast_batch_norm_grad, &mynah__ref32_batch_norm_grad,
                                                               &mynah__ref64_batch_norm_grad, NULL};
const mynah__op mynah__op_batch_norm_grad = {
    .name = "batch_norm_grad", .shape = norm_grad_shape, .flops = norm_flops, .kernels = batch_norm_grad_kernels};

mynah_node mynah_batch_norm(mynah_graph *g, mynah_node x, mynah_node gamma, mynah_node beta, mynah_node mean,
                            mynah_node var, float eps, float momentum) {
  mynah__attributes a = {.f = {(double)eps, (double)momentum}};
  return mynah__add_node(g, &mynah__op_batch_norm, &a, (mynah_node[]){x, gamma, beta, mean, var}, 5);
}

mynah_node mynah_frozen_batch_norm(mynah_graph *g, mynah_node x, mynah_node gamma, mynah_node beta, mynah_node mean,
                                   mynah_node var, float eps) {
  mynah__attributes a = {.i = {1}, .f = {(double)eps}};
  return mynah__add_node(g, &mynah__op_batch_norm, &a, (mynah_node[]){x, gamma, beta, mean, var}, 5);
}
