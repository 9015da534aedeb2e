/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a program does, for people and for the benchmark: one line a step, with shapes, kernel, bytes and GFLOP. */
#include "core.h"

#include <stdio.h>

int mynah_program_n_steps(const mynah_program *p) { return p->n_steps; }

static double step_flops(const mynah__step *step) {
  double flops = step->op->flops ? step->op->flops(step) : (double)mynah_shape_size(step->out[0].shape);
  double n = (double)mynah_shape_size(step->out[0].shape);
  return flops + (step->post ? n : 0) + (step->residual >= 0 ? n : 0);
}

double mynah__step_bytes(const mynah__step *step) {
  double bytes = 0;
  for (int i = 0; i < step->n_in; i++)
    if (step->in[i].shape.n_dims) bytes += (double)mynah__tensor_bytes(&step->in[i]);
  for (int k = 0; k < step->n_out; k++) bytes += (double)mynah__tensor_bytes(&step->out[k]);
  return bytes;
}

void mynah_program_step(const mynah_program *p, int i, const char **op, const char **kernel, double *flops,
                        double *bytes) {
  if (i < 0 || i >= p->n_steps) return;
  const mynah__program_step *st = &p->steps[i];
  if (op) *op = st->step.op->name;
  if (kernel) *kernel = st->kernel->name;
  if (flops) *flops = step_flops(&st->step);
  if (bytes) *bytes = mynah__step_bytes(&st->step);
}

double mynah_program_flops(const mynah_program *p) {
  double sum = 0;
  for (int i = 0; i < p->n_steps; i++) sum += step_flops(&p->steps[i].step);
  return sum;
}

static void print_step(const mynah__program_step *st, int i, mynah_str *out) {
  const mynah__step *step = &st->step;
  char text[MYNAH__SHAPE_TEXT], op[64];
  snprintf(op, sizeof op, "%s%s%s%s%s", step->op->name, step->a.text ? " " : "", step->a.text ? step->a.text : "",
           step->residual >= 0 ? "+add" : "", step->post ? "+" : "");
  mynah_str_printf(out, "%4d  %s%-*s ", i, op, (int)(28 - (int)snprintf(NULL, 0, "%s", op)),
                   step->post ? step->post->name : "");
  for (int k = 0; k < step->n_in; k++)
    if (step->in[k].shape.n_dims)
      mynah_str_printf(out, "%s%s ", mynah__shape_text(step->in[k].shape, text), step->is_weight[k] ? "w" : "");
  mynah_str_printf(out, "->");
  for (int k = 0; k < step->n_out; k++) mynah_str_printf(out, " %s", mynah__shape_text(step->out[k].shape, text));
  mynah_str_printf(out, "  %s", st->kernel->name);
  if (st->plan.detail) mynah_str_printf(out, " [%s]", st->plan.detail);
  mynah_str_printf(out, "  %.1f kB  %.6f GFLOP\n", mynah__step_bytes(step) / 1e3, step_flops(step) / 1e9);
}

void mynah_program_print(const mynah_program *p, mynah_str *out) {
  double bytes = 0;
  for (int i = 0; i < p->n_steps; i++) {
    print_step(&p->steps[i], i, out);
    bytes += mynah__step_bytes(&p->steps[i].step);
  }
  mynah_str_printf(out, "%d steps, %.6f GFLOP, %.1f kB touched, %s precision%s\n", p->n_steps,
                   mynah_program_flops(p) / 1e9, bytes / 1e3, mynah_dtype_name(p->precision),
                   p->is_rt ? ", allocates nothing" : "");
  mynah_str_printf(out, "memory: arena %zu bytes (%zu without sharing), constants %zu, packed weights %zu\n",
                   p->arena_bytes, p->unshared_bytes, p->constants_bytes, p->packed_bytes);
}
