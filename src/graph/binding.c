/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program joined to weights: where each weight lies, and copies of them packed as the kernels like them.
 *
 * Weights in a file pass through: each step that packs or folds reads its own into a room that the next one uses again, and
 * what a frozen program folded is given back once it is packed. So no value stays in memory twice. */
#include "core.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

const void *mynah__binding_resolve(const mynah_binding *b, const mynah__place *place) {
  switch (place->where) {
  case MYNAH__AT_WEIGHT: return b->at[place->weight];
  case MYNAH__AT_CONSTANT: return b->program->constants + place->offset;
  case MYNAH__AT_FOLDED: return b->folded + place->offset;
  default: return NULL;
  }
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

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

static bool is_in_file(const mynah_binding *b) { return b->weights->data == NULL; }
static size_t tensor_bytes(const mynah_tensor_info *t) { return mynah__align((size_t)t->size * sizeof(float)); }
static mynah_status read_tensor(const mynah_binding *b, int32_t weight, float *out) {
  return mynah__weights_read(b->weights, (int)(b->tensor[weight] - b->weights->tensors), out);
}

/* Of weights in a file: those that steps read as they are. */
static mynah_status keep_weights(mynah_binding *b) {
  const mynah_program *p = b->program;
  size_t bytes = 0;
  if (!p->is_frozen || p->precision == MYNAH_F64)
    return mynah_fail(MYNAH_INVALID, "bind: weights in a file are for frozen programs of floats");
  for (int i = 0; i < p->n_weights; i++) bytes += p->weights[i].is_kept ? tensor_bytes(b->tensor[i]) : 0;
  b->kept = mynah_alloc(bytes);
  if (!b->kept) return MYNAH_NO_MEMORY;
  float *next = b->kept;
  for (int i = 0; i < p->n_weights; i++) {
    if (!p->weights[i].is_kept) continue;
    MYNAH_TRY(read_tensor(b, i, next));
    b->at[i] = next;
    next += tensor_bytes(b->tensor[i]) / sizeof(float);
  }
  return MYNAH_OK;
}

static mynah_status place_weights(mynah_binding *b) {
  const mynah_program *p = b->program;
  b->tensor = mynah_calloc((size_t)p->n_weights + 1, sizeof *b->tensor);
  b->at = mynah_calloc((size_t)p->n_weights + 1, sizeof *b->at);
  if (!b->tensor || !b->at) return MYNAH_NO_MEMORY;
  MYNAH_TRY(find_weights(b));
  if (is_in_file(b)) return keep_weights(b);
  if (p->precision == MYNAH_F64) {
    b->doubles = mynah_calloc((size_t)b->weights->n_floats + 1, sizeof *b->doubles);
    if (!b->doubles) return MYNAH_NO_MEMORY;
  }
  for (int i = 0; i < p->n_weights; i++) {
    int64_t offset = b->tensor[i]->offset;
    b->at[i] = b->doubles ? (const void *)(b->doubles + offset) : (const void *)(b->weights->data + offset);
  }
  return MYNAH_OK;
}

/* ---- packing and folding ------------------------------------------------------------------------------------------- */

/* Where one thread reads weights for the step at hand. */
typedef struct room {
  float *memory;  /* program's read_bytes */
  int32_t weight; /* whose values lie at the beginning; -1: nobody's */
} room;

/* Pointers to a step's operands that are there before a run; others NULL. What is added to the result is no operand. */
static mynah_status operands(const mynah_binding *b, const mynah__program_step *st, room *r, const void **in) {
  size_t used = 0;
  for (int i = 0; i < st->step.n_in; i++) {
    const mynah__place *place = &st->in[i];
    if (i == st->step.residual) continue;
    in[i] = mynah__binding_resolve(b, place);
    if (in[i] || place->where != MYNAH__AT_WEIGHT) continue;
    float *to = r->memory + used / sizeof(float);
    if (used > 0 || r->weight != place->weight) {
      if (used == 0) r->weight = -1;
      MYNAH_TRY(read_tensor(b, place->weight, to));
      if (used == 0) r->weight = place->weight;
    }
    used += tensor_bytes(b->tensor[place->weight]);
    in[i] = to;
  }
  return MYNAH_OK;
}

/* What a frozen program needs no more. */
static void release(const mynah_binding *b, const mynah__program_step *st) {
  if (!b->program->is_frozen) return;
  for (int i = 0; i < st->step.n_in; i++)
    if (st->releases >> i & 1) mynah_memory_release(b->folded + st->in[i].offset, mynah__tensor_bytes(&st->step.in[i]));
  size_t packing = st->plan.packing_bytes;
  if (packing > 0) mynah_memory_release(b->packed + st->packed_offset + st->plan.packed_bytes - packing, packing);
}

static bool packs(const mynah__program_step *st) { return st->kernel->pack && st->plan.packed_bytes > 0; }

static mynah_status pack(const mynah_binding *b, const mynah__program_step *st, room *r) {
  const void *in[MYNAH__MAX_INPUTS] = {NULL};
  if (!packs(st)) return MYNAH_OK;
  MYNAH_TRY(operands(b, st, r, in));
  st->kernel->pack(&st->step, st->plan.data, in, b->packed + st->packed_offset);
  release(b, st);
  return MYNAH_OK;
}

/* Runs a step that sees weights and constants alone. Such a step draws nothing and needs no object of a state's own: see
 * mynah__choose_kernels. */
static mynah_status fold_step(const mynah_binding *b, const mynah__program_step *st, room *r) {
  if (b->has_constants && st->out[0].weight == 0) return MYNAH_OK;
  mynah__call call = {.step = &st->step, .plan = st->plan.data, .scratch = b->folded_scratch, .n_parts = 1};
  MYNAH_TRY(operands(b, st, r, call.in));
  if (packs(st)) {
    st->kernel->pack(&st->step, st->plan.data, call.in, b->packed + st->packed_offset);
    call.packed = b->packed + st->packed_offset;
  }
  for (int k = 0; k < st->step.n_out; k++) call.out[k] = b->folded + st->out[k].offset;
  st->kernel->run(&call);
  release(b, st);
  if (b->program->is_frozen && packs(st)) mynah_memory_release(b->packed + st->packed_offset, st->plan.packed_bytes);
  return MYNAH_OK;
}

/* One refresh by several threads; the first error is kept. */
typedef struct refreshing {
  mynah_binding *b;
  room *rooms; /* one a thread; NULL: the weights lie in memory */
  pthread_mutex_t lock;
  mynah_status status;
  char error[512];
} refreshing;

/* Packs the weights of one step; steps do not share packed memory, so any thread may do any of them. */
static void pack_step(void *context, int s, int worker) {
  refreshing *f = context;
  mynah_status status = pack(f->b, &f->b->program->steps[s], f->rooms ? &f->rooms[worker] : NULL);
  if (status == MYNAH_OK) return;
  pthread_mutex_lock(&f->lock);
  if (f->status == MYNAH_OK) {
    f->status = status;
    snprintf(f->error, sizeof f->error, "%s", mynah_error());
  }
  pthread_mutex_unlock(&f->lock);
}

static mynah_status refresh(mynah_binding *b, mynah_pool *pool, room *rooms) {
  const mynah_program *p = b->program;
  for (int64_t i = 0; b->doubles && i < b->weights->n_floats; i++) b->doubles[i] = (double)b->weights->data[i];
  for (int s = 0; s < p->n_folded; s++) MYNAH_TRY(fold_step(b, &p->folded[s], rooms));
  b->has_constants = !p->is_frozen; /* a frozen program gave some of them back */
  if (p->packed_bytes == 0) return MYNAH_OK;
  refreshing f = {.b = b, .rooms = rooms, .lock = PTHREAD_MUTEX_INITIALIZER};
  if (pool) mynah_pool_run(pool, p->n_steps, pack_step, &f);
  else
    for (int s = 0; s < p->n_steps && f.status == MYNAH_OK; s++) pack_step(&f, s, 0);
  pthread_mutex_destroy(&f.lock);
  return f.status == MYNAH_OK ? MYNAH_OK : mynah_fail(f.status, "%s", f.error);
}

void mynah_binding_refresh(mynah_binding *b, mynah_pool *pool) {
  if (!is_in_file(b)) (void)(refresh(b, pool, NULL) == MYNAH_OK); /* nothing is read, so nothing fails */
}

/* The first time: by as many threads as a run has, each with a room if there is something to read. */
static mynah_status fill(mynah_binding *b) {
  const mynah_program *p = b->program;
  int n = p->n_threads;
  mynah_pool *pool = NULL;
  if (!is_in_file(b)) return refresh(b, NULL, NULL);
  room *rooms = mynah_calloc((size_t)n, sizeof *rooms);
  char *memory = mynah_alloc(p->read_bytes * (size_t)n);
  mynah_status status = rooms && memory ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (int i = 0; status == MYNAH_OK && i < n; i++) rooms[i] = (room){(float *)(void *)(memory + p->read_bytes * (size_t)i), -1};
  if (status == MYNAH_OK && n > 1) status = mynah_pool_create(n, &pool);
  if (status == MYNAH_OK) status = refresh(b, pool, rooms);
  mynah_pool_destroy(pool);
  mynah_free(rooms);
  mynah_free(memory);
  return status;
}

/* ---- lifecycle ------------------------------------------------------------------------------------------------------ */

static mynah_status fill_binding(mynah_binding *b) {
  const mynah_program *p = b->program;
  MYNAH_TRY(place_weights(b));
  b->packed = mynah_alloc(p->packed_bytes);
  b->folded = mynah_alloc(p->folded_bytes);
  b->folded_scratch = mynah_alloc(p->folded_scratch_bytes);
  if (!b->packed || !b->folded || !b->folded_scratch) return MYNAH_NO_MEMORY;
  mynah_memory_huge(b->packed, p->packed_bytes);
  MYNAH_TRY(fill(b));
  if (p->is_frozen) mynah_memory_release(b->folded_scratch, p->folded_scratch_bytes);
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
  mynah_free(b->at);
  mynah_free(b->doubles);
  mynah_free(b->kept);
  mynah_free(b->packed);
  mynah_free(b->folded);
  mynah_free(b->folded_scratch);
  mynah_free(b);
}
