/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sources of random numbers, also outside training: what a loss over noise levels draws. And rows of a table by number.
 *
 * Attributes of random_normal, random_index: i[0] number of dimensions, i[1 …] the dimensions; random_index: i[10] how many
 * numbers there are. Of gather_grad: i[0] rows of the table. */
#include "ops.h"

#include "check.h"

static mynah_shape shape_of(const mynah__step *step) {
  mynah_shape s = {.n_dims = (int)step->a.i[0]};
  for (int d = 0; d < s.n_dims; d++) s.dims[d] = step->a.i[1 + d];
  return s;
}

static mynah__attributes attributes_of(mynah_shape shape) {
  mynah__attributes a = {.i = {shape.n_dims}};
  for (int d = 0; d < shape.n_dims; d++) a.i[1 + d] = shape.dims[d];
  return a;
}

static mynah_status random_normal_shape(mynah__step *step) {
  mynah__set_output(step, 0, shape_of(step));
  return MYNAH_OK;
}

static mynah_status random_index_shape(mynah__step *step) {
  if (step->a.i[10] < 1 || step->a.i[10] > INT32_MAX) return mynah_fail(MYNAH_INVALID, "random_index: nothing to draw from");
  mynah__set_output(step, 0, shape_of(step));
  step->out[0].dtype = MYNAH_I32;
  return MYNAH_OK;
}

static const mynah__kernel *const normal_kernels[] = {&mynah__fast_random_normal, &mynah__ref32_random_normal,
                                                      &mynah__ref64_random_normal, NULL};
const mynah__op mynah__op_random_normal = {
    .name = "random_normal", .shape = random_normal_shape, .kernels = normal_kernels, .is_random = true};
static const mynah__kernel *const index_kernels[] = {&mynah__fast_random_index, &mynah__ref32_random_index,
                                                     &mynah__ref64_random_index, NULL};
const mynah__op mynah__op_random_index = {
    .name = "random_index", .shape = random_index_shape, .kernels = index_kernels, .is_random = true};

mynah_node mynah_random_normal(mynah_graph *g, mynah_shape shape) {
  mynah__attributes a = attributes_of(shape);
  return mynah__add_node(g, &mynah__op_random_normal, &a, NULL, 0);
}

mynah_node mynah_random_index(mynah_graph *g, int64_t batch, int64_t n) {
  mynah__attributes a = attributes_of(MYNAH_SHAPE(batch));
  a.i[10] = n;
  return mynah__add_node(g, &mynah__op_random_index, &a, NULL, 0);
}

/* ---- gather ------------------------------------------------------------------------------------------------------ */

static mynah_status index_check(const mynah__step *step, int i) {
  if (mynah__is_absent(step, i) || step->in[i].dtype != MYNAH_I32 || step->in[i].shape.n_dims != 1)
    return mynah_fail(MYNAH_MISMATCH, "%s: the numbers of rows must be int32 (B)", step->op->name);
  return MYNAH_OK;
}

/* in: table (R,D), index (B); out: (B,D). A number outside 0 … R-1 gives the nearest row. */
static mynah_status gather_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  MYNAH_TRY(index_check(step, 1));
  mynah_shape table = step->in[0].shape;
  if (table.n_dims != 2) return mynah_fail(MYNAH_MISMATCH, "gather: the table must be (R,D), not of %d dimensions", table.n_dims);
  mynah__set_output(step, 0, MYNAH_SHAPE(step->in[1].shape.dims[0], table.dims[1]));
  return MYNAH_OK;
}

static void gather_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx) {
  if (!needs[0]) return;
  mynah__attributes a = {.i = {mynah_node_shape(g, mynah__node_input(g, n, 0)).dims[0]}};
  dx[0] = mynah__add_node(g, &mynah__op_gather_grad, &a, (mynah_node[]){dy[0], mynah__node_input(g, n, 1)}, 2);
}

/* in: dy (B,D), index (B); out: d table (R,D) */
static mynah_status gather_grad_shape(mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 1));
  MYNAH_TRY(index_check(step, 1));
  mynah__set_output(step, 0, MYNAH_SHAPE(step->a.i[0], step->in[0].shape.dims[1]));
  return MYNAH_OK;
}

static const mynah__kernel *const gather_kernels[] = {&mynah__fast_gather, &mynah__ref32_gather, &mynah__ref64_gather, NULL};
const mynah__op mynah__op_gather = {
    .name = "gather", .shape = gather_shape, .gradient = gather_gradient, .kernels = gather_kernels};
static const mynah__kernel *const gather_grad_kernels[] = {&mynah__fast_gather_grad, &mynah__ref32_gather_grad,
                                                           &mynah__ref64_gather_grad, NULL};
const mynah__op mynah__op_gather_grad = {.name = "gather_grad", .shape = gather_grad_shape, .kernels = gather_grad_kernels};

mynah_node mynah_gather(mynah_graph *g, mynah_node table, mynah_node index) {
  mynah__attributes a = {0};
  return mynah__add_node(g, &mynah__op_gather, &a, (mynah_node[]){table, index}, 2);
}
