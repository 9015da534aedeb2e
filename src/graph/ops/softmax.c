/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Softmax and its logarithm over the last axis, and their gradients from the outputs alone. */
#include "ops.h"

#include "check.h"

/* x (…,N) -> y (…,N) */
static mynah_status softmax_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  mynah__set_output(step, 0, step->in[0].shape);
  return MYNAH_OK;
}

/* in: y, dy; out: dx: all (…,N) */
static mynah_status softmax_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 2));
  MYNAH_TRY(mynah__check_same(step, 0, 1));
  mynah__set_output(step, 0, step->in[0].shape);
  return MYNAH_OK;
}

/* Maximum, subtraction, exponential, sum, division: five an element, the exponential counted once. */
static double softmax_flops(const mynah__step *step) { return 5.0 * (double)mynah_shape_size(step->out[0].shape); }

static void softmax_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  mynah_node in[2] = {mynah__node_output(g, n, 0), dy[0]};
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_softmax_grad, &(mynah__attributes){0}, in, 2);
}

static const mynah__kernel *const softmax_kernels[] = {&mynah__fast_softmax, &mynah__ref32_softmax, &mynah__ref64_softmax, NULL};
const mynah__op mynah__op_softmax = {.name = "softmax",
                                     .shape = softmax_shape,
                                     .gradient = softmax_gradient,
                                     .flops = softmax_flops,
                                     .kernels = softmax_kernels,
                                     .in_place = 1};

static const mynah__kernel *const softmax_grad_kernels[] = {&mynah__fast_softmax_grad, &mynah__ref32_softmax_grad, &mynah__ref64_softmax_grad,
                                                            NULL};
const mynah__op mynah__op_softmax_grad = {
    .name = "softmax_grad", .shape = softmax_grad_shape, .flops = softmax_flops, .kernels = softmax_grad_kernels};

static void log_softmax_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs,
                                 mynah_node *dx) {
  mynah_node in[2] = {mynah__node_output(g, n, 0), dy[0]};
  if (needs[0]) dx[0] = mynah__add_node(g, &mynah__op_log_softmax_grad, &(mynah__attributes){0}, in, 2);
}

static const mynah__kernel *const log_softmax_kernels[] = {&mynah__fast_log_softmax, &mynah__ref32_log_softmax, &mynah__ref64_log_softmax, NULL};
const mynah__op mynah__op_log_softmax = {.name = "log_softmax",
                                         .shape = softmax_shape,
                                         .gradient = log_softmax_gradient,
                                         .flops = softmax_flops,
                                         .kernels = log_softmax_kernels,
                                         .in_place = 1};

static const mynah__kernel *const log_softmax_grad_kernels[] = {&mynah__fast_log_softmax_grad, &mynah__ref32_log_softmax_grad,
                                                                &mynah__ref64_log_softmax_grad, NULL};
const mynah__op mynah__op_log_softmax_grad = {.name = "log_softmax_grad",
                                              .shape = softmax_grad_shape,
                                              .flops = softmax_flops,
                                              .kernels = log_softmax_grad_kernels};

mynah_node mynah_softmax(mynah_graph *g, mynah_node x) {
  return mynah__add_node(g, &mynah__op_softmax, &(mynah__attributes){0}, &x, 1);
}

mynah_node mynah_log_softmax(mynah_graph *g, mynah_node x) {
  return mynah__add_node(g, &mynah__op_log_softmax, &(mynah__attributes){0}, &x, 1);
}
