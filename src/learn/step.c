/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One training step: shards run forward and backward, gradients are summed, weights change. */
#include "trainer_internal.h"

#include <math.h>
#include <string.h>

/* ---- engines --------------------------------------------------------------------------------------------------------- */

static mynah_status compile(mynah_trainer *t, int64_t batch, bool is_training, mynah_program **out) {
  mynah_graph *g;
  mynah_node loss;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = t->task.build(t->task.context, batch, g, &loss);
  if (status == MYNAH_OK) {
    mynah_output(g, "loss", loss);
    status = is_training ? mynah_differentiate(g, loss) : mynah_graph_status(g);
  }
  mynah_compile_config config = mynah_compile_default();
  config.precision = t->task.precision;
  if (status == MYNAH_OK) status = mynah_compile(g, &config, out);
  mynah_graph_destroy(g);
  return status;
}

static mynah_status find_inputs(mynah_trainer *t, mynah__engine *e, int s) {
  e->inputs[s] = mynah_calloc((size_t)t->task.n_windows, sizeof **e->inputs);
  if (!e->inputs[s]) return MYNAH_NO_MEMORY;
  /* A window the loss does not look at has no input: its memory is not copied. */
  for (int i = 0; i < t->task.n_windows; i++) e->inputs[s][i] = mynah_state_input(e->states[s], t->task.windows[i].input);
  e->losses[s] = mynah_state_output(e->states[s], "loss");
  return e->losses[s] ? MYNAH_OK : mynah_fail(MYNAH_INTERNAL, "training: the graph has no loss");
}

static mynah_status check_inputs(const mynah_trainer *t, const mynah__engine *e) {
  for (int i = 0; i < mynah_program_n_inputs(e->program); i++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *name = mynah_program_input(e->program, i, &dtype, &shape);
    int k = 0;
    while (k < t->task.n_windows && strcmp(t->task.windows[k].input, name) != 0) k++;
    size_t due = (size_t)mynah_shape_size(shape) * mynah_dtype_bytes(dtype);
    if (k == t->task.n_windows || due != (size_t)e->batch * t->window_bytes[k])
      return mynah_fail(MYNAH_MISMATCH, "training: the graph's input '%s' does not fit its window", name);
  }
  return MYNAH_OK;
}

static mynah_status fill_engine(mynah_trainer *t, bool is_training, mynah_weights *w, mynah__engine *e) {
  size_t n = (size_t)e->n_states;
  MYNAH_TRY(compile(t, e->batch, is_training, &e->program));
  MYNAH_TRY(check_inputs(t, e));
  MYNAH_TRY(mynah_binding_create(e->program, w, &e->binding));
  e->states = mynah_calloc(n, sizeof *e->states);
  e->inputs = mynah_calloc(n, sizeof *e->inputs);
  e->losses = mynah_calloc(n, sizeof *e->losses);
  if (!e->states || !e->inputs || !e->losses) return MYNAH_NO_MEMORY;
  for (int s = 0; s < e->n_states; s++) {
    MYNAH_TRY(mynah_state_create(e->binding, &e->states[s]));
    MYNAH_TRY(find_inputs(t, e, s));
  }
  return MYNAH_OK;
}

mynah_status mynah__engine_create(mynah_trainer *t, int64_t batch, int n_states, bool is_training, mynah_weights *w,
                                  mynah__engine *out) {
  *out = (mynah__engine){.batch = batch, .n_states = n_states};
  mynah_status status = fill_engine(t, is_training, w, out);
  if (status != MYNAH_OK) mynah__engine_destroy(out);
  return status;
}

void mynah__engine_destroy(mynah__engine *e) {
  for (int s = 0; s < e->n_states; s++) {
    if (e->states) mynah_state_destroy(e->states[s]);
    if (e->inputs) mynah_free(e->inputs[s]);
  }
  mynah_free(e->states);
  mynah_free(e->inputs);
  mynah_free(e->losses);
  mynah_binding_destroy(e->binding);
  mynah_program_destroy(e->program);
  *e = (mynah__engine){0};
}

void mynah__engine_run(const mynah_trainer *t, const mynah__engine *e, int state, const mynah_batch *batch, int64_t from) {
  for (int i = 0; i < t->task.n_windows; i++) {
    if (!e->inputs[state][i]) continue;
    const char *data = batch->data[i];
    memcpy(e->inputs[state][i], data + (size_t)from * t->window_bytes[i], (size_t)e->batch * t->window_bytes[i]);
  }
  mynah_state_run(e->states[state]);
}

/* ---- batch-norm buffers ---------------------------------------------------------------------------------------------- */

/* With ranks the outputs of all shards are rows of one array. */
static mynah_status spread_updates(mynah_trainer *t) {
  mynah__part *p = &t->part;
  p->updates = mynah_calloc((size_t)t->n_shards, (size_t)p->n_updates * sizeof *p->updates);
  if (!p->updates) return MYNAH_NO_MEMORY;
  for (int i = 0; i < t->n_updates; i++)
    for (int s = 0; s < t->n_shards; s++) t->updates[i].outputs[s] = p->updates + s * p->n_updates + t->updates[i].at;
  return MYNAH_OK;
}

mynah_status mynah__updates_create(mynah_trainer *t) {
  size_t capacity = 0;
  for (int i = 0; i < mynah_program_n_outputs(t->train.program); i++) {
    const char *name = mynah_program_output(t->train.program, i, NULL);
    if (strncmp(name, "update/", 7) != 0) continue;
    const mynah_tensor_info *info = mynah_weights_find(t->task.weights, name + 7);
    if (!info) return mynah_fail(MYNAH_INTERNAL, "training: '%s' updates no weight", name);
    MYNAH_TRY(mynah_grow((void **)&t->updates, &capacity, (size_t)t->n_updates + 1, sizeof *t->updates));
    mynah__update *u = &t->updates[t->n_updates++];
    *u = (mynah__update){.offset = info->offset, .size = info->size, .at = t->part.n_updates};
    u->outputs = mynah_calloc((size_t)t->n_shards, sizeof *u->outputs);
    u->own = mynah_calloc((size_t)t->part.n_shards, sizeof *u->own);
    if (!u->outputs || !u->own) return MYNAH_NO_MEMORY;
    for (int s = 0; s < t->part.n_shards; s++) u->outputs[s] = u->own[s] = mynah_state_output(t->train.states[s], name);
    t->part.n_updates += u->size;
  }
  return t->part.ranks.count > 1 && t->n_updates > 0 ? spread_updates(t) : MYNAH_OK;
}

/* Own outputs to their rows, which go to all ranks with the gradients. */
static void put_updates(mynah_trainer *t) {
  for (int i = 0; i < t->n_updates && t->part.updates; i++) {
    const mynah__update *u = &t->updates[i];
    for (int s = 0; s < t->part.n_shards; s++)
      memcpy(t->part.updates + (t->part.first_shard + s) * t->part.n_updates + u->at, u->own[s], (size_t)u->size * sizeof(float));
  }
}

/* Buffers become the mean over shards; the average takes them as they are. */
static void apply_updates(mynah_trainer *t) {
  float *w = mynah_weights_data(t->task.weights);
  for (int i = 0; i < t->n_updates; i++) {
    const mynah__update *u = &t->updates[i];
    mynah_sweep_tree_sum(t->n_shards, u->outputs, 1 / (float)t->n_shards, u->size, w + u->offset);
    if (t->average) memcpy(mynah_weights_data(t->average) + u->offset, w + u->offset, (size_t)u->size * sizeof *w);
  }
}

/* ---- the step -------------------------------------------------------------------------------------------------------- */

static void run_shard(void *context, int task, int worker) {
  mynah_trainer *t = context;
  int shard = t->part.first_shard + task;
  (void)worker;
  mynah_state_seed(t->train.states[task], (uint64_t)t->config.seed, (uint64_t)t->cursor.step * (uint64_t)t->n_shards + (uint64_t)shard);
  mynah__engine_run(t, &t->train, task, &t->batch, shard * t->shard_batch);
  t->part.told[shard] = (mynah__told){(double)t->train.losses[task][0], mynah_is_interrupted()};
}

mynah_status mynah__step(mynah_trainer *t, bool *is_good) {
  MYNAH_TRY(mynah_feed_next(t->feed, &t->batch));
  mynah_pool_run(t->pool, t->part.n_shards, run_shard, t);
  mynah_feed_release(t->feed, &t->batch);
  put_updates(t);
  MYNAH_TRY(mynah__sum_gradients(t));
  t->loss = 0;
  for (int s = 0; s < t->n_shards; s++) {
    t->loss += t->part.told[s].loss;
    t->is_ending = t->is_ending || t->part.told[s].is_interrupted != 0;
  }
  t->loss /= t->n_shards;
  *is_good = isfinite(t->loss) && isfinite(t->norm);
  if (*is_good) {
    MYNAH_TRY(mynah__update_weights(t));
    apply_updates(t);
    mynah_binding_refresh(t->train.binding, t->pool);
  }
  t->cursor.step++;
  return MYNAH_OK;
}
