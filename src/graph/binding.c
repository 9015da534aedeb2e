/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program joined to weights: where each weight lies, and copies of them packed as the kernels like them. */
#include "core.h"

#include <string.h>

static const void *weight_at(const mynah_binding *b, int32_t i) {
  int64_t offset = b->tensor[i]->offset;
  return b->doubles ? (const void *)(b->doubles + offset) : (const void *)(b->weights->data + offset);
}

const void *mynah__binding_resolve(const mynah_binding *b, const mynah__place *place) {
  switch (place->where) {
  case MYNAH__AT_WEIGHT: return weight_at(b, place->weight);
  case MYNAH__AT_CONSTANT: return b->program->constants + place->offset;
  case MYNAH__AT_FOLDED: return b->folded + place->offset;
  default: return NULL;
  }
}

static mynah_status find_weights(mynah_binding *b) {
  const mynah_program *p = b->program;
  char have[MYNAH__SHAPE_TEXT], want[MYNAH__SHAPE_TEXT];
  for (int i = 0; i < p->n_weights; i++) {
    const mynah__program_weight *w = &p->weights[i];
    const mynah_tensor_info *t = mynah_weights_find(b->weights, w->name);
    if (!t) return mynah_fail(MYNAH_NOT_FOUND, "bind: the weights lack '%s'", w->name);
    if (!mynah__shape_is(t->shape, w->shape))
      return mynah_fail(MYNAH_MISMATCH, "bind: weight '%s' is %s, the program needs %s", w->name,
                        mynah__shape_text(t->shape, have), mynah__shape_text(w->shape, want));
    if (p->has_gradients && w->is_trained && !t->is_trained)
      return mynah_fail(MYNAH_MISMATCH, "bind: '%s' is a buffer, the program trains it", w->name);
    b->tensor[i] = t;
  }
  return MYNAH_OK;
}

static mynah_status fill_binding(mynah_binding *b) {
  const mynah_program *p = b->program;
  b->tensor = mynah_calloc((size_t)p->n_weights + 1, sizeof *b->tensor);
  if (!b->tensor) return MYNAH_NO_MEMORY;
  MYNAH_TRY(find_weights(b));
  if (p->precision == MYNAH_F64) {
    b->doubles = mynah_calloc((size_t)b->weights->n_floats + 1, sizeof *b->doubles);
    if (!b->doubles) return MYNAH_NO_MEMORY;
  }
  if (p->packed_bytes) {
    b->packed = mynah_calloc(p->packed_bytes, 1);
    if (!b->packed) return MYNAH_NO_MEMORY;
  }
  b->folded = mynah_calloc(p->folded_bytes + 1, 1);
  b->folded_scratch = mynah_calloc(p->folded_scratch_bytes + 1, 1);
  if (!b->folded || !b->folded_scratch) return MYNAH_NO_MEMORY;
  mynah_binding_refresh(b, NULL);
  return MYNAH_OK;
}

mynah_status mynah_binding_create(const mynah_program *p, mynah_weights *w, mynah_binding **out) {
  mynah_binding *b = mynah_calloc(1, sizeof *b);
  if (!b) return MYNAH_NO_MEMORY;
  b->program = p;
  b->weights = w;
  mynah_status status = fill_binding(b);
  if (status != MYNAH_OK) {
    mynah_binding_destroy(b);
    return status;
  }
  *out = b;
  return MYNAH_OK;
}

void mynah_binding_destroy(mynah_binding *b) {
  if (!b) return;
  mynah_free(b->tensor);
  mynah_free(b->doubles);
  mynah_free(b->packed);
  mynah_free(b->folded);
  mynah_free(b->folded_scratch);
  mynah_free(b);
}

static void pack(mynah_binding *b, const mynah__program_step *st) {
  const void *in[MYNAH__MAX_INPUTS] = {NULL};
  if (!st->kernel->pack || st->plan.packed_bytes == 0) return;
  for (int i = 0; i < st->step.n_in; i++) in[i] = mynah__binding_resolve(b, &st->in[i]);
  st->kernel->pack(&st->step, st->plan.data, in, b->packed + st->packed_offset);
}

/* Packs the weights of one step; steps do not share packed memory, so any thread may do any of them. */
static void pack_step(void *context, int s, int worker) {
  mynah_binding *b = context;
  pack(b, &b->program->steps[s]);
}

/* Runs a step that sees weights and constants alone. Such a step draws nothing and needs no object of a state's own: see
 * mynah__choose_kernels. */
static void fold_step(mynah_binding *b, const mynah__program_step *st) {
  if (b->has_constants && st->out[0].weight == 0) return;
  pack(b, st);
  mynah__call call = {.step = &st->step, .plan = st->plan.data, .scratch = b->folded_scratch, .n_parts = 1};
  if (st->plan.packed_bytes) call.packed = b->packed + st->packed_offset;
  for (int i = 0; i < st->step.n_in; i++) call.in[i] = mynah__binding_resolve(b, &st->in[i]);
  for (int k = 0; k < st->step.n_out; k++) call.out[k] = b->folded + st->out[k].offset;
  st->kernel->run(&call);
}

void mynah_binding_refresh(mynah_binding *b, mynah_pool *pool) {
  for (int64_t i = 0; b->doubles && i < b->weights->n_floats; i++) b->doubles[i] = (double)b->weights->data[i];
  for (int s = 0; s < b->program->n_folded; s++) fold_step(b, &b->program->folded[s]);
  b->has_constants = true;
  if (b->program->packed_bytes == 0) return;
  if (pool) mynah_pool_run(pool, b->program->n_steps, pack_step, b);
  else
    for (int s = 0; s < b->program->n_steps; s++) pack_step(b, s, 0);
}
