/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One runner of a program: its memory, and its steps with every pointer resolved, so that running is a plain loop. */
#include "core.h"

#include <string.h>

typedef struct runner {
  void (*run)(const mynah__call *call);
  mynah__call call;
  size_t part_scratch; /* bytes from one part's scratch to the next */
} runner;

struct mynah_state {
  runner *runners; /* [n] */
  int n;
  int *random; /* [n_random] which of them draw numbers */
  int n_random;
  const mynah_binding *binding;
  mynah_pool *pool; /* of a program for several threads; else NULL */
  char *arena;
  void *gradients; /* as the weights' trained part: floats, or doubles in a double program */
  uint64_t seed, position;
};

static void *resolve(const mynah_state *s, const mynah__place *place) {
  const mynah_binding *b = s->binding;
  size_t element = b->doubles ? sizeof(double) : sizeof(float);
  switch (place->where) {
  case MYNAH__AT_ARENA: return s->arena + place->offset;
  case MYNAH__AT_GRADIENT: return (char *)s->gradients + (size_t)b->tensor[place->weight]->offset * element;
  default: return (void *)(uintptr_t)mynah__binding_resolve(b, place);
  }
}

static mynah_status attach_step(mynah_state *s, int i) {
  const mynah_binding *b = s->binding;
  const mynah__program_step *st = &b->program->steps[i];
  mynah__call *call = &s->runners[i].call;
  s->runners[i].run = st->kernel->run;
  call->step = &st->step;
  call->plan = st->plan.data;
  call->packed = st->plan.packed_bytes ? b->packed + st->packed_offset : NULL;
  call->scratch = resolve(s, &st->scratch);
  call->n_parts = st->n_parts;
  s->runners[i].part_scratch = mynah__align(st->plan.scratch_bytes);
  for (int k = 0; k < st->step.n_in; k++) call->in[k] = resolve(s, &st->in[k]);
  for (int k = 0; k < st->step.n_out; k++) call->out[k] = resolve(s, &st->out[k]);
  if (st->step.op->is_random) s->random[s->n_random++] = i;
  if (st->kernel->attach) MYNAH_TRY(st->kernel->attach(&st->step, st->plan.data, &call->local));
  s->n = i + 1;
  return MYNAH_OK;
}

static mynah_status fill_state(mynah_state *s) {
  const mynah_binding *b = s->binding;
  const mynah_program *p = b->program;
  size_t element = b->doubles ? sizeof(double) : sizeof(float);
  s->runners = mynah_calloc((size_t)p->n_steps + 1, sizeof *s->runners);
  s->random = mynah_calloc((size_t)p->n_steps + 1, sizeof *s->random);
  s->arena = mynah_alloc(p->arena_bytes);
  if (!s->runners || !s->random || !s->arena) return MYNAH_NO_MEMORY;
  mynah_memory_huge(s->arena, p->arena_bytes);
  memset(s->arena, 0, p->arena_bytes); /* so that its pages are there before the first run */
  if (p->has_gradients) {
    s->gradients = mynah_calloc((size_t)b->weights->n_trained, element);
    if (!s->gradients) return MYNAH_NO_MEMORY;
  }
  if (p->n_threads > 1) MYNAH_TRY(mynah_pool_create(p->n_threads, &s->pool));
  for (int i = 0; i < p->n_steps; i++) MYNAH_TRY(attach_step(s, i));
  mynah_state_seed(s, 0, 0);
  return MYNAH_OK;
}

mynah_status mynah_state_create(const mynah_binding *b, mynah_state **out) {
  mynah_state *s = mynah_calloc(1, sizeof *s);
  if (!s) return MYNAH_NO_MEMORY;
  s->binding = b;
  mynah_status status = fill_state(s);
  if (status != MYNAH_OK) {
    mynah_state_destroy(s);
    return status;
  }
  *out = s;
  return MYNAH_OK;
}

void mynah_state_destroy(mynah_state *s) {
  if (!s) return;
  for (int i = 0; i < s->n; i++) {
    const mynah__kernel *k = s->binding->program->steps[i].kernel;
    if (k->detach) k->detach(s->runners[i].call.local);
  }
  mynah_pool_destroy(s->pool);
  mynah_free(s->runners);
  mynah_free(s->random);
  mynah_free(s->arena);
  mynah_free(s->gradients);
  mynah_free(s);
}

void *mynah_state_input(mynah_state *s, const char *name) {
  const mynah_program *p = s->binding->program;
  for (int i = 0; i < p->n_inputs; i++)
    if (!strcmp(p->inputs[i].name, name)) return resolve(s, &p->inputs[i].place);
  return NULL;
}

const void *mynah_state_output(const mynah_state *s, const char *name) {
  const mynah_program *p = s->binding->program;
  for (int i = 0; i < p->n_outputs; i++)
    if (!strcmp(p->outputs[i].name, name)) return resolve(s, &p->outputs[i].place);
  return NULL;
}

size_t mynah_state_output_bytes(const mynah_state *s, const char *name) {
  const mynah_program *p = s->binding->program;
  for (int i = 0; i < p->n_outputs; i++)
    if (!strcmp(p->outputs[i].name, name)) return mynah__tensor_bytes(&p->outputs[i].tensor);
  return 0;
}

const float *mynah_state_gradients(const mynah_state *s) {
  return s->binding->doubles ? NULL : (const float *)s->gradients;
}

/* A node draws from the stream (seed mixed with the node's number, run number): no two nodes or runs share numbers, and
 * which thread runs the state does not matter. The mixing constant is 2^64 over the golden ratio, made odd. */
void mynah_state_seed(mynah_state *s, uint64_t seed, uint64_t position) {
  s->seed = seed;
  s->position = position;
  for (int i = 0; i < s->n_random; i++) {
    uint64_t node = (uint64_t)s->binding->program->steps[s->random[i]].node;
    s->runners[s->random[i]].call.seed = seed ^ ((node + 1) * 0x9e3779b97f4a7c15u);
  }
}

static void next_draws(mynah_state *s) {
  for (int i = 0; i < s->n_random; i++) s->runners[s->random[i]].call.position = s->position;
  s->position++;
}

/* Any thread may do any part: which outputs a part writes depends on its number alone, and how they are summed on nothing. */
static void run_part(void *context, int part, int worker) {
  (void)worker;
  const runner *r = context;
  mynah__call call = r->call;
  call.part = part;
  if (call.scratch) call.scratch = (char *)call.scratch + (size_t)part * r->part_scratch;
  uint64_t before = mynah_flush_denormals();
  r->run(&call);
  mynah_restore_denormals(before);
}

static void run_step(mynah_state *s, runner *r) {
  if (r->call.n_parts == 1) r->run(&r->call);
  else mynah_pool_run(s->pool, r->call.n_parts, run_part, r);
}

void mynah_state_run(mynah_state *s) {
  uint64_t before = mynah_flush_denormals();
  next_draws(s);
  for (runner *r = s->runners, *end = r + s->n; r < end; r++) run_step(s, r);
  mynah_restore_denormals(before);
}

void mynah_state_run_timed(mynah_state *s, int64_t *ns) {
  uint64_t floats = mynah_flush_denormals();
  next_draws(s);
  int64_t before = mynah_now_ns();
  for (int i = 0; i < s->n; i++) {
    run_step(s, &s->runners[i]);
    int64_t now = mynah_now_ns();
    ns[i] += now - before;
    before = now;
  }
  mynah_restore_denormals(floats);
}
