/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training a detector that has no anchor boxes: assigning cells to objects, and the loss of what the cells say.
 *
 * Inputs of both: 0 distances (B,A,4), 1 logits (B,A,K), 2 boxes (B,M,5), 3 cells (A,3); of the loss also 4 assigned
 * (B,A,3), of its gradient 5 dy (1). Attributes: assign_cells: i[0] cells claimed an object, i[1] kept, f[0] alpha,
 * f[1] beta detect_loss, detect_loss_grad: f[0] box gain, f[1] class gain, f[2] distance gain, f[3] width, f[4] height
 */
#include "ops.h"

#include "check.h"

#define TOP_MAX 64 /* as in ref/detect.c */

static mynah_status check_head(const mynah__step *step) {
  MYNAH_TRY(mynah__check_inputs(step, 4));
  mynah_shape d = step->in[0].shape, x = step->in[1].shape, boxes = step->in[2].shape;
  if (d.n_dims != 3 || d.dims[2] != 4 || x.n_dims != 3 || x.dims[0] != d.dims[0] || x.dims[1] != d.dims[1])
    return mynah_fail(MYNAH_MISMATCH, "%s: takes distances (B,A,4) and logits (B,A,K)", step->op->name);
  if (boxes.n_dims != 3 || boxes.dims[0] != d.dims[0] || boxes.dims[2] != 5)
    return mynah_fail(MYNAH_MISMATCH, "%s: takes boxes (B,M,5)", step->op->name);
  if (!mynah__same_shape(step->in[3].shape, MYNAH_SHAPE(d.dims[1], 3)))
    return mynah_fail(MYNAH_MISMATCH, "%s: takes cells (A,3)", step->op->name);
  return MYNAH_OK;
}

static mynah_shape assigned_shape(const mynah__step *step) {
  return MYNAH_SHAPE(step->in[0].shape.dims[0], step->in[0].shape.dims[1], 3);
}

/* ---- assignment ------------------------------------------------------------------------------------------------- */

static mynah_status assign_cells_shape(mynah__step *step) {
  MYNAH_TRY(check_head(step));
  if (step->a.i[0] < 1 || step->a.i[0] > TOP_MAX || step->a.i[1] < 1 || step->a.i[1] > step->a.i[0])
    return mynah_fail(MYNAH_INVALID, "assign_cells: claims 1 … %d cells an object and keeps 1 or more of them",
                      TOP_MAX);
  mynah__set_output(step, 0, assigned_shape(step));
  return MYNAH_OK;
}

/* What is assigned counts as given. */
static void assign_cells_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs,
                                  mynah_node *dx) {}

static const mynah__kernel *const assign_cells_kernels[] = {&mynah__ref32_assign_cells, &mynah__ref64_assign_cells,
                                                            NULL};
const mynah__op mynah__op_assign_cells = {.name = "assign_cells",
                                          .shape = assign_cells_shape,
                                          .gradient = assign_cells_gradient,
                                          .kernels = assign_cells_kernels};

mynah_node mynah_assign_cells(mynah_graph *g, const mynah_cells *c, int n_claimed, int n_kept) {
  mynah__attributes a = {.i = {n_claimed, n_kept}, .f = {0.5, 6}};
  return mynah__add_node(g, &mynah__op_assign_cells, &a, (mynah_node[]){c->distances, c->logits, c->boxes, c->cells},
                         4);
}

/* ---- loss ------------------------------------------------------------------------------------------------------- */

static mynah_status check_loss(const mynah__step *step) {
  MYNAH_TRY(check_head(step));
  if (mynah__is_absent(step, 4) || !mynah__same_shape(step->in[4].shape, assigned_shape(step)))
    return mynah_fail(MYNAH_MISMATCH, "%s: takes what assign_cells gives, (B,A,3)", step->op->name);
  if (!(step->a.f[3] > 0) || !(step->a.f[4] > 0))
    return mynah_fail(MYNAH_INVALID, "%s: the picture has no size", step->op->name);
  return MYNAH_OK;
}

static mynah_status detect_loss_shape(mynah__step *step) {
  MYNAH_TRY(check_loss(step));
  mynah__set_output(step, 0, MYNAH_SHAPE(1));
  return MYNAH_OK;
}

static mynah_status detect_loss_grad_shape(mynah__step *step) {
  MYNAH_TRY(check_loss(step));
  MYNAH_TRY(mynah__check_vector(step, 5, 1, "dy"));
  mynah__set_output(step, 0, step->in[0].shape);
  mynah__set_output(step, 1, step->in[1].shape);
  return MYNAH_OK;
}

static void detect_loss_gradient(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs,
                                 mynah_node *dx) {
  mynah__attributes a = *mynah__node_attributes(g, n);
  mynah_node in[6];
  for (int i = 0; i < 5; i++) in[i] = mynah__node_input(g, n, i);
  in[5] = dy[0];
  dx[0] = mynah__add_node(g, &mynah__op_detect_loss_grad, &a, in, 6);
  dx[1] = mynah__node_output(g, dx[0], 1);
}

static double detect_loss_flops(const mynah__step *step) { return 6.0 * (double)mynah_shape_size(step->in[1].shape); }

static const mynah__kernel *const detect_loss_kernels[] = {&mynah__ref32_detect_loss, &mynah__ref64_detect_loss, NULL};
const mynah__op mynah__op_detect_loss = {.name = "detect_loss",
                                         .shape = detect_loss_shape,
                                         .gradient = detect_loss_gradient,
                                         .flops = detect_loss_flops,
                                         .kernels = detect_loss_kernels};

static const mynah__kernel *const detect_loss_grad_kernels[] = {&mynah__ref32_detect_loss_grad,
                                                                &mynah__ref64_detect_loss_grad, NULL};
const mynah__op mynah__op_detect_loss_grad = {.name = "detect_loss_grad",
                                              .shape = detect_loss_grad_shape,
                                              .flops = detect_loss_flops,
                                              .kernels = detect_loss_grad_kernels};

mynah_node mynah_detect_loss(mynah_graph *g, const mynah_cells *c, mynah_node assigned, const mynah_detect_gains *gains,
                             int64_t width, int64_t height) {
  mynah__attributes a = {.f = {gains->box, gains->classes, gains->distance, (double)width, (double)height}};
  return mynah__add_node(g, &mynah__op_detect_loss, &a,
                         (mynah_node[]){c->distances, c->logits, c->boxes, c->cells, assigned}, 5);
}
