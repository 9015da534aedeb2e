/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory: who may share bytes with whom. Every value gets a place; values in use at the same time never overlap.
 *
 * Blocks are placed largest first, each at the lowest gap among the blocks alive with it ("greedy by size": Pisarchyk
 * and Lee 2020, Efficient Memory Management for Deep Neural Net Inference). */
#include "core.h"

#include <stdlib.h>
#include <string.h>

/* ---- the arena --------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  const mynah__block *x = *(mynah__block *const *)a, *y = *(mynah__block *const *)b;
  if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
  return x < y ? -1 : 1; /* a fixed order, so that the same graph gives the same plan */
}

static int by_offset(const void *a, const void *b) {
  const mynah__block *x = *(mynah__block *const *)a, *y = *(mynah__block *const *)b;
  return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The lowest offset where `block` fits between the `n` placed ones, sorted by offset. */
static size_t lowest_gap(const mynah__block *block, mynah__block *const *placed, int n) {
  size_t offset = 0;
  for (int i = 0; i < n; i++) {
    const mynah__block *b = placed[i];
    if (b->last < block->first || b->first > block->last) continue;
    if (b->offset >= offset + mynah__align(block->bytes)) break;
    size_t end = b->offset + mynah__align(b->bytes);
    if (end > offset) offset = end;
  }
  return offset;
}

mynah_status mynah__plan_arena(mynah__block *blocks, int n, size_t *arena_bytes) {
  mynah__block **order = mynah_calloc((size_t)n + 1, sizeof *order), **placed = NULL;
  if (order) placed = mynah_calloc((size_t)n + 1, sizeof *placed);
  if (!placed) {
    mynah_free(order);
    return MYNAH_NO_MEMORY;
  }
  for (int i = 0; i < n; i++) order[i] = &blocks[i];
  qsort(order, (size_t)n, sizeof *order, by_size);
  size_t end = 0;
  for (int i = 0; i < n; i++) {
    order[i]->offset = lowest_gap(order[i], placed, i);
    /* Kept sorted by insertion. */
    int k = i;
    for (; k > 0 && by_offset(&placed[k - 1], &order[i]) > 0; k--) placed[k] = placed[k - 1];
    placed[k] = order[i];
    size_t top = order[i]->offset + mynah__align(order[i]->bytes);
    if (top > end) end = top;
  }
  mynah_free(order);
  mynah_free(placed);
  *arena_bytes = end;
  return MYNAH_OK;
}

/* ---- the values of a program ------------------------------------------------------------------------------------- */

#define NO_BLOCK (-1)

typedef struct placing {
  mynah__compiler *c;
  mynah__block *blocks;
  int n_blocks;
  int32_t *block;    /* [n_ids] of roots in the arena; NO_BLOCK */
  int32_t *last_use; /* [n_ids] of roots: the last step that reads it, n_steps when it stays to the end */
} placing;

static int32_t add_block(placing *p, size_t bytes, int32_t first, int32_t last) {
  p->blocks[p->n_blocks] = (mynah__block){bytes, 0, first, last};
  return p->n_blocks++;
}

static void find_last_uses(placing *p) {
  const mynah__compiler *c = p->c;
  for (int s = 0; s < c->p->n_steps; s++)
    for (int i = 0; i < c->p->steps[s].step.n_in; i++) p->last_use[c->root[c->p->steps[s].in_value[i]]] = s;
  for (size_t i = 0; i < c->g->n_outputs; i++) p->last_use[c->output_value[i]] = c->p->n_steps;
}

/* True when step s may write output 0 over its input i: the input dies here, has a block of the same size, and no other
 * input looks at that block through another shape. */
static bool may_overwrite(const placing *p, int s, int i) {
  const mynah__program_step *st = &p->c->p->steps[s];
  if (!(st->step.op->in_place >> i & 1) || st->in_value[i] == 0) return false;
  int32_t root = p->c->root[st->in_value[i]], block = p->block[root];
  if (block == NO_BLOCK || p->last_use[root] != s) return false;
  if (mynah__tensor_bytes(&st->step.in[i]) != mynah__tensor_bytes(&st->step.out[0]) ||
      p->blocks[block].bytes != mynah__tensor_bytes(&st->step.out[0]) || p->blocks[block].last > s)
    return false;
  for (int k = 0; k < st->step.n_in; k++) {
    if (k == i || st->in_value[k] == 0 || p->block[p->c->root[st->in_value[k]]] != block) continue;
    if (!mynah__shape_is(st->step.in[k].shape, st->step.in[i].shape)) return false;
  }
  return true;
}

/* Output k of step s: in the gradient block, over an input, or in a block of its own. */
static void place_output(placing *p, int s, int k) {
  const mynah__program_step *st = &p->c->p->steps[s];
  int32_t v = st->out_value[k];
  if (p->c->place[v].where == MYNAH__AT_GRADIENT) return;
  int32_t last = p->last_use[v] > s ? p->last_use[v] : s;
  p->c->place[v].where = MYNAH__AT_ARENA;
  for (int i = 0; k == 0 && i < st->step.n_in; i++) {
    if (!may_overwrite(p, s, i)) continue;
    p->block[v] = p->block[p->c->root[st->in_value[i]]];
    p->blocks[p->block[v]].last = last;
    return;
  }
  p->block[v] = add_block(p, mynah__tensor_bytes(&st->step.out[k]), s, last);
}

static void place_all(placing *p, int32_t *scratch_block) {
  const mynah__compiler *c = p->c;
  /* Inputs may be filled once and read by many runs: theirs from end to end. */
  for (size_t i = 0; i < c->g->n_inputs; i++) {
    int32_t v = c->g->inputs[i].value;
    c->place[v].where = MYNAH__AT_ARENA;
    p->block[v] = add_block(p, mynah__tensor_bytes(&c->p->inputs[i].tensor), 0, c->p->n_steps);
  }
  for (int s = 0; s < c->p->n_steps; s++) {
    for (int k = 0; k < c->p->steps[s].step.n_out; k++) place_output(p, s, k);
    size_t scratch = mynah__align(c->p->steps[s].plan.scratch_bytes) * (size_t)c->p->steps[s].n_parts;
    scratch_block[s] = scratch ? add_block(p, scratch, s, s) : NO_BLOCK;
  }
}

/* Writes where everything lies into the steps and ports. */
static void resolve(placing *p, const int32_t *scratch_block) {
  mynah__compiler *c = p->c;
  for (size_t v = 1; v < c->n_ids; v++)
    if (c->place[v].where == MYNAH__AT_ARENA && p->block[v] != NO_BLOCK)
      c->place[v].offset = p->blocks[p->block[v]].offset;
  for (int s = 0; s < c->p->n_steps; s++) {
    mynah__program_step *st = &c->p->steps[s];
    for (int i = 0; i < st->step.n_in; i++) st->in[i] = c->place[c->root[st->in_value[i]]];
    for (int k = 0; k < st->step.n_out; k++) st->out[k] = c->place[st->out_value[k]];
    if (scratch_block[s] != NO_BLOCK)
      st->scratch = (mynah__place){MYNAH__AT_ARENA, 0, p->blocks[scratch_block[s]].offset};
  }
  for (int s = 0; s < c->p->n_folded; s++) {
    mynah__program_step *st = &c->p->folded[s];
    for (int i = 0; i < st->step.n_in; i++) st->in[i] = c->place[c->root[st->in_value[i]]];
    for (int k = 0; k < st->step.n_out; k++) st->out[k] = c->place[st->out_value[k]];
  }
  for (size_t i = 0; i < c->g->n_inputs; i++) c->p->inputs[i].place = c->place[c->g->inputs[i].value];
  for (size_t i = 0; i < c->g->n_outputs; i++) c->p->outputs[i].place = c->place[c->output_value[i]];
}

mynah_status mynah__place_values(mynah__compiler *c) {
  size_t n_ids = c->n_ids, n_steps = (size_t)c->p->n_steps, most = c->g->n_inputs + n_ids + n_steps;
  placing p = {.c = c};
  p.blocks = mynah_calloc(most, sizeof *p.blocks);
  p.block = mynah_calloc(n_ids, sizeof *p.block);
  p.last_use = mynah_calloc(n_ids, sizeof *p.last_use);
  int32_t *scratch_block = mynah_calloc(n_steps + 1, sizeof *scratch_block);
  mynah_status status = MYNAH_NO_MEMORY;
  if (p.blocks && p.block && p.last_use && scratch_block) {
    for (size_t v = 0; v < n_ids; v++) p.block[v] = NO_BLOCK, p.last_use[v] = -1;
    find_last_uses(&p);
    place_all(&p, scratch_block);
    for (int i = 0; i < p.n_blocks; i++) c->p->unshared_bytes += mynah__align(p.blocks[i].bytes);
    status = mynah__plan_arena(p.blocks, p.n_blocks, &c->p->arena_bytes);
    if (status == MYNAH_OK) resolve(&p, scratch_block);
  }
  mynah_free(p.blocks);
  mynah_free(p.block);
  mynah_free(p.last_use);
  mynah_free(scratch_block);
  return status;
}
