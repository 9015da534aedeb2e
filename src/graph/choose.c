/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which kernel runs a step, and which steps become one.
 *
 * Fused are: a step, then the addition of something of its own shape (a residual), then a pointwise function, when
 * nobody else needs what lies between and the kernel that would run the step anyway can do them on the way out. The
 * derivative of relu, tanh or sigmoid needs only the function's value, so training fuses those too. Folding frozen
 * batch norm into the preceding convolution belongs here as well, as a change of the step's packed weights. */
#include "core.h"

#include "ops/ops.h"

#include <string.h>

/* ---- one step ---------------------------------------------------------------------------------------------------- */

/* The next family of "winograd,fast,dnnl,ref" after *text; false at the end. */
static bool next_family(const char **text, const char **name, size_t *length) {
  while (**text == ',' || **text == ' ') (*text)++;
  *name = *text;
  *length = strcspn(*text, ", ");
  *text += *length;
  return *length > 0;
}

static bool kernel_takes(const mynah__kernel *k, const mynah__step *step, const char *family, size_t length) {
  if (strncmp(k->name, family, length) != 0 || k->name[length] != ':') return false;
  if ((step->post || step->residual >= 0) && !k->takes_post) return false;
  return !k->accepts || k->accepts(step);
}

/* The first kernel that takes the step, prepared when out is given; a folded step takes none that needs an object of a
 * state's own. rank counts families. Fails: UNSUPPORTED. */
static mynah_status choose(const mynah__compiler *c, const mynah__program_step *st, mynah__program_step *out, int *rank) {
  const mynah__step *step = &st->step;
  bool is_folded = st->is_folded;
  const char *text = c->config->kernels ? c->config->kernels : "winograd,fast,dnnl,ref", *family;
  size_t length;
  for (*rank = 0; next_family(&text, &family, &length); ++*rank) {
    for (const mynah__kernel *const *k = step->op->kernels; k && *k; k++) {
      if (!kernel_takes(*k, step, family, length) || (is_folded && (*k)->attach)) continue;
      mynah__plan plan = {0};
      mynah_status status = out && (*k)->prepare ? (*k)->prepare(step, &plan) : MYNAH_OK;
      if (status == MYNAH_UNSUPPORTED) continue;
      MYNAH_TRY(status);
      if (out) out->kernel = *k, out->plan = plan;
      return MYNAH_OK;
    }
  }
  return MYNAH_UNSUPPORTED;
}

static mynah_status no_kernel(const mynah__compiler *c, const mynah__step *step) {
  char in[MYNAH__SHAPE_TEXT], out[MYNAH__SHAPE_TEXT];
  return mynah_fail(MYNAH_UNSUPPORTED, "compile: no kernel of '%s' takes %s %s -> %s in %s",
                    c->config->kernels ? c->config->kernels : "winograd,fast,dnnl,ref", step->op->name,
                    mynah__shape_text(step->in[0].shape, in), mynah__shape_text(step->out[0].shape, out),
                    mynah_dtype_name(step->precision));
}

/* ---- fusing ------------------------------------------------------------------------------------------------------ */

typedef struct users {
  int32_t *n;    /* [n_ids] how many operands and outputs read this memory */
  int32_t *step; /* [n_ids] one of the steps that do */
} users;

static void count_users(const mynah__compiler *c, users *u) {
  for (int s = 0; s < c->p->n_steps; s++)
    for (int i = 0; i < c->p->steps[s].step.n_in; i++) {
      /* Both under its own number and under its root's: a view of the value counts as a use of it. */
      int32_t v = c->p->steps[s].in_value[i];
      u->n[c->root[v]]++;
      u->step[c->root[v]] = s;
    }
  for (size_t i = 0; i < c->g->n_outputs; i++) u->n[c->output_value[i]]++;
}

/* The only step that reads output 0 of step s, and under its own shape; -1: none. */
static int only_user(const mynah__compiler *c, const users *u, int s) {
  int32_t v = c->p->steps[s].out_value[0];
  if (c->root[v] != v || u->n[v] != 1 || c->place[v].where != MYNAH__AT_NONE) return -1;
  int user = u->step[v];
  const mynah__program_step *st = &c->p->steps[user];
  if (st->is_dead || st->kernel || st->is_folded) return -1; /* taken by another fusion, or not in the run */
  for (int i = 0; i < st->step.n_in; i++)
    if (st->in_value[i] == v) return user;
  return -1;
}

/* Adds step `add`, which sums the result of `st` and something else of its shape, to `fused`. */
static bool fuse_residual(const mynah__program_step *add, int32_t value, mynah__program_step *fused) {
  mynah__step *step = &fused->step;
  if (add->step.op != &mynah__op_add || step->n_in >= MYNAH__MAX_INPUTS) return false;
  int other = add->in_value[0] == value;
  if (!mynah__shape_is(add->step.in[other].shape, step->out[0].shape)) return false;
  step->residual = step->n_in;
  step->in[step->n_in] = add->step.in[other];
  step->is_weight[step->n_in] = add->step.is_weight[other];
  fused->in_value[step->n_in++] = add->in_value[other];
  fused->out_value[0] = add->out_value[0];
  return true;
}

static bool fuse_unary(const mynah__program_step *unary, mynah__program_step *fused) {
  if (unary->step.op != &mynah__op_unary) return false;
  fused->step.post = mynah__unary_find(unary->step.a.text);
  for (int i = 0; i < 2; i++) fused->step.post_parameters[i] = unary->step.a.f[i];
  fused->out_value[0] = unary->out_value[0];
  return fused->step.post != NULL;
}

/* Tries to run `fused` in place of step s and those up to `last`, by a kernel as good as step s alone would get. */
static mynah_status commit(mynah__compiler *c, int s, int last, mynah__program_step *fused, bool *is_done) {
  int alone, together;
  mynah_program *p = c->p;
  if (choose(c, &p->steps[s], NULL, &alone) != MYNAH_OK) return MYNAH_OK;
  if (choose(c, fused, NULL, &together) != MYNAH_OK || together != alone) return MYNAH_OK;
  mynah_status status = choose(c, fused, fused, &together);
  if (status == MYNAH_UNSUPPORTED) return MYNAH_OK;
  MYNAH_TRY(status);
  if (together != alone) {
    if (fused->kernel->release) fused->kernel->release(fused->plan.data);
    return MYNAH_OK;
  }
  p->steps[s].is_dead = true;
  p->steps[last] = *fused;
  *is_done = true;
  return MYNAH_OK;
}

/* Step s with what follows it: residual and function, residual alone, or function alone. */
static mynah_status fuse_from(mynah__compiler *c, const users *u, int s) {
  mynah__program_step *steps = c->p->steps;
  bool is_done = false;
  int next = only_user(c, u, s);
  if (next < 0) return MYNAH_OK;
  mynah__program_step fused = steps[s];
  if (fuse_residual(&steps[next], steps[s].out_value[0], &fused)) {
    mynah__program_step both = fused;
    int after = only_user(c, u, next);
    if (after >= 0 && fuse_unary(&steps[after], &both)) {
      MYNAH_TRY(commit(c, s, after, &both, &is_done));
      if (is_done) steps[next].is_dead = true;
    }
    if (!is_done) MYNAH_TRY(commit(c, s, next, &fused, &is_done));
  } else if (fuse_unary(&steps[next], &fused)) {
    MYNAH_TRY(commit(c, s, next, &fused, &is_done));
  }
  return MYNAH_OK;
}

static bool may_take_post(const mynah__op *op) {
  for (const mynah__kernel *const *k = op->kernels; k && *k; k++)
    if ((*k)->takes_post) return true;
  return false;
}

static mynah_status fuse(mynah__compiler *c) {
  users u = {mynah_calloc(c->n_ids, sizeof *u.n), NULL};
  if (u.n) u.step = mynah_calloc(c->n_ids, sizeof *u.step);
  mynah_status status = u.step ? MYNAH_OK : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) count_users(c, &u);
  for (int s = 0; status == MYNAH_OK && s < c->p->n_steps; s++) {
    const mynah__program_step *st = &c->p->steps[s];
    if (!st->is_dead && !st->kernel && !st->is_folded && may_take_post(st->step.op)) status = fuse_from(c, &u, s);
  }
  mynah_free(u.n);
  mynah_free(u.step);
  return status;
}

static mynah_status choose_all(const mynah__compiler *c, mynah__program_step *steps, int n) {
  int rank;
  for (int s = 0; s < n; s++) {
    if (steps[s].kernel) continue;
    mynah_status status = choose(c, &steps[s], &steps[s], &rank);
    if (status == MYNAH_UNSUPPORTED) return no_kernel(c, &steps[s].step);
    MYNAH_TRY(status);
  }
  return MYNAH_OK;
}

/* Waking and awaiting threads takes some microseconds: steps shorter than that (at 50 GFLOP/s and 20 GB/s) stay on one. */
#define SHARED_LEAST_US 6
static int parts_of(const mynah__compiler *c, const mynah__program_step *st) {
  if (!st->kernel->is_shared_out) return 1;
  double flops = st->step.op->flops ? st->step.op->flops(&st->step) : 0;
  return flops / 5e4 + mynah__step_bytes(&st->step) / 2e4 < SHARED_LEAST_US ? 1 : c->p->n_threads;
}

mynah_status mynah__choose_kernels(mynah__compiler *c) {
  mynah_program *p = c->p;
  int n = 0;
  MYNAH_TRY(fuse(c));
  p->folded = mynah_calloc((size_t)p->n_steps + 1, sizeof *p->folded);
  if (!p->folded) return MYNAH_NO_MEMORY;
  for (int s = 0; s < p->n_steps; s++) {
    if (p->steps[s].is_dead) continue;
    if (p->steps[s].is_folded) p->folded[p->n_folded++] = p->steps[s];
    else p->steps[n++] = p->steps[s];
  }
  p->n_steps = n;
  MYNAH_TRY(choose_all(c, p->folded, p->n_folded));
  MYNAH_TRY(choose_all(c, p->steps, n));
  for (int s = 0; s < n; s++) p->steps[s].n_parts = parts_of(c, &p->steps[s]);
  return MYNAH_OK;
}
