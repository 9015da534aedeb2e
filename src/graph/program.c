/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Compiling a graph: drops what no output needs, lists the steps, has kernels chosen and memory planned. */
#include "core.h"

#include "ops/ops.h"

#include <string.h>

mynah_compile_config mynah_compile_default(void) {
  return (mynah_compile_config){.kernels = "winograd,fast,dnnl,ref", .precision = MYNAH_F32, .n_threads = 1};
}

/* ---- what is needed, and whose memory it is ---------------------------------------------------------------------- */

static void mark_live(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  for (size_t i = 0; i < g->n_outputs; i++) c->is_live[g->values[g->outputs[i].value].node] = true;
  for (size_t i = g->n_nodes; i-- > 0;)
    for (int k = 0; c->is_live[i] && k < g->nodes[i].n_in; k++)
      if (g->nodes[i].in[k]) c->is_live[g->values[g->nodes[i].in[k]].node] = true;
}

/* A training-only node vanishes elsewhere: its output is its input. A view is its input's memory under another shape.
 */
static bool is_vanishing(const mynah_graph *g, const mynah__node *n) {
  return n->op && n->op->is_training_only && !g->is_training;
}

static void find_roots(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  for (size_t v = 0; v < c->n_ids; v++) c->same_as[v] = c->root[v] = (int32_t)v;
  for (size_t i = 0; i < g->n_nodes; i++) {
    const mynah__node *n = &g->nodes[i];
    if (is_vanishing(g, n)) {
      c->same_as[n->out] = c->same_as[n->in[0]];
      c->root[n->out] = c->root[n->in[0]];
    } else if (n->op && n->op->is_view) {
      c->root[n->out] = c->root[c->same_as[n->in[0]]];
    }
  }
  for (size_t i = 0; i < g->n_outputs; i++) c->output_value[i] = c->root[g->outputs[i].value];
}

/* ---- leaves ------------------------------------------------------------------------------------------------------ */

static mynah__tensor compiled_tensor(const mynah__compiler *c, mynah__tensor t) {
  if (c->config->precision == MYNAH_F64 && t.dtype == MYNAH_F32) t.dtype = MYNAH_F64;
  return t;
}

static mynah_status add_inputs(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  mynah_program *p = c->p;
  p->inputs = mynah_calloc(g->n_inputs + 1, sizeof *p->inputs);
  p->outputs = mynah_calloc(g->n_outputs + 1, sizeof *p->outputs);
  if (!p->inputs || !p->outputs) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < g->n_inputs; i++) {
    mynah__port *port = &p->inputs[p->n_inputs++];
    port->tensor = compiled_tensor(c, g->values[g->inputs[i].value].tensor);
    port->name = mynah_strdup(g->inputs[i].name);
    if (!port->name) return MYNAH_NO_MEMORY;
  }
  for (size_t i = 0; i < g->n_outputs; i++) {
    mynah__port *port = &p->outputs[p->n_outputs++];
    port->tensor = compiled_tensor(c, g->values[g->outputs[i].value].tensor);
    port->name = mynah_strdup(g->outputs[i].name);
    if (!port->name) return MYNAH_NO_MEMORY;
  }
  return MYNAH_OK;
}

/* A weight whose gradient is a constant is needed too: it says where the gradient lies. */
static bool has_gradient(const mynah_graph *g, size_t weight) {
  for (size_t i = 0; i < g->n_outputs; i++)
    if (g->outputs[i].weight == (int32_t)weight) return true;
  return false;
}

static mynah_status add_weights(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  mynah_program *p = c->p;
  p->weights = mynah_calloc(g->n_weights + 1, sizeof *p->weights);
  if (!p->weights) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < g->n_weights; i++) {
    const mynah__value *v = &g->values[g->weights[i].value];
    c->weight[i] = -1;
    if (!c->is_live[v->node] && !has_gradient(g, i)) continue;
    c->weight[i] = p->n_weights;
    c->place[g->weights[i].value] = (mynah__place){MYNAH__AT_WEIGHT, p->n_weights, 0};
    mynah__program_weight *w = &p->weights[p->n_weights++];
    *w = (mynah__program_weight){mynah_strdup(g->weights[i].name), v->tensor.shape, g->weights[i].is_trained, false};
    if (!w->name) return MYNAH_NO_MEMORY;
  }
  return MYNAH_OK;
}

static void write_constant(mynah__compiler *c, const mynah__constant *k, void *out) {
  int64_t n = mynah_shape_size(c->g->values[k->value].tensor.shape);
  float *f = out;
  double *d = out;
  for (int64_t i = 0; i < n; i++) {
    float value = k->data[k->n == 1 ? 0 : i];
    if (c->config->precision == MYNAH_F64) d[i] = (double)value;
    else f[i] = value;
  }
}

static mynah_status add_constants(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  for (int pass = 0; pass < 2; pass++) {
    size_t bytes = 0;
    for (size_t i = 0; i < g->n_constants; i++) {
      const mynah__constant *k = &g->constants[i];
      if (!c->is_live[g->values[k->value].node]) continue;
      mynah__tensor t = compiled_tensor(c, g->values[k->value].tensor);
      c->place[k->value] = (mynah__place){MYNAH__AT_CONSTANT, 0, bytes};
      if (pass) write_constant(c, k, c->p->constants + bytes);
      bytes += mynah__align(mynah__tensor_bytes(&t));
    }
    if (pass || bytes == 0) continue;
    c->p->constants = mynah_calloc(bytes, 1);
    c->p->constants_bytes = bytes;
    if (!c->p->constants) return MYNAH_NO_MEMORY;
  }
  return MYNAH_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* True when value v changes only between runs: a weight, or worked out of weights and constants; a constant too if asked. */
static bool is_kept(const mynah__compiler *c, int32_t v, bool is_constant_too) {
  mynah__where where = c->place[c->root[v]].where;
  return where == MYNAH__AT_WEIGHT || where == MYNAH__AT_FOLDED || (is_constant_too && where == MYNAH__AT_CONSTANT);
}

/* A step whose every operand is kept runs when a binding is refreshed: slices of a joined weight, batch norm folded into a
 * filter, positions, attention over queries that are learned. Its outputs get memory of their own. */
static void fold(mynah__compiler *c, mynah__program_step *st) {
  if (st->step.op->is_random) return;
  for (int i = 0; i < st->step.n_in; i++)
    if (st->in_value[i] && !is_kept(c, st->in_value[i], true)) return;
  st->is_folded = true;
  int32_t has_weight = 0;
  for (int i = 0; i < st->step.n_in; i++) {
    mynah__place place = c->place[c->root[st->in_value[i]]];
    if (place.where == MYNAH__AT_WEIGHT || (place.where == MYNAH__AT_FOLDED && place.weight)) has_weight = 1;
  }
  for (int k = 0; k < st->step.n_out; k++) {
    c->place[st->out_value[k]] = (mynah__place){MYNAH__AT_FOLDED, has_weight, c->p->folded_bytes};
    c->p->folded_bytes += mynah__align(mynah__tensor_bytes(&st->step.out[k]));
  }
}

/* Only products compute in bfloat16. */
static mynah_dtype step_precision(const mynah__compiler *c, const mynah__op *op) {
  return c->config->precision == MYNAH_BF16 && !op->is_product ? MYNAH_F32 : c->config->precision;
}

static void describe_step(mynah__compiler *c, size_t index, mynah__program_step *st) {
  const mynah_graph *g = c->g;
  const mynah__node *n = &g->nodes[index];
  mynah__step *step = &st->step;
  *step = (mynah__step){.op = n->op, .a = n->a, .n_in = n->n_in, .n_out = n->n_out, .residual = -1};
  step->is_training = g->is_training;
  step->is_frozen = c->p->is_frozen;
  step->precision = step_precision(c, n->op);
  st->node = (int32_t)index;
  for (int i = 0; i < n->n_in; i++) {
    int32_t v = c->same_as[n->in[i]];
    st->in_value[i] = v;
    if (v) step->in[i] = compiled_tensor(c, g->values[v].tensor);
    step->is_weight[i] = v && is_kept(c, v, false);
  }
  for (int k = 0; k < n->n_out; k++) {
    st->out_value[k] = n->out + k;
    step->out[k] = compiled_tensor(c, g->values[n->out + k].tensor);
  }
  fold(c, st);
}

/* The attribute arrays of all steps, copied so that the program outlives the graph. */
static mynah_status copy_arrays(mynah_program *p) {
  size_t n = 0;
  for (int s = 0; s < p->n_steps; s++)
    if (p->steps[s].step.a.array) n += (size_t)p->steps[s].step.a.n_array;
  if (n == 0) return MYNAH_OK;
  p->arrays = mynah_calloc(n, sizeof *p->arrays);
  if (!p->arrays) return MYNAH_NO_MEMORY;
  float *next = p->arrays;
  for (int s = 0; s < p->n_steps; s++) {
    mynah__attributes *a = &p->steps[s].step.a;
    if (!a->array) continue;
    memcpy(next, a->array, (size_t)a->n_array * sizeof *next);
    a->array = next;
    next += a->n_array;
  }
  return MYNAH_OK;
}

static void add_copy(mynah__compiler *c, int32_t from, int32_t to, mynah__tensor t) {
  mynah__program_step *st = &c->p->steps[c->p->n_steps++];
  *st = (mynah__program_step){.step = {.op = &mynah__op_copy, .n_in = 1, .n_out = 1, .residual = -1}};
  st->step.is_training = true;
  st->step.precision = step_precision(c, &mynah__op_copy);
  st->step.in[0] = st->step.out[0] = t;
  st->step.is_weight[0] = c->place[c->root[from]].where == MYNAH__AT_WEIGHT;
  st->in_value[0] = from;
  st->out_value[0] = to;
}

/* The gradient of a weight is written straight into the state's flat gradient block, where that block is laid out as
 * the weights. A value that cannot lie there (it is the gradient of two weights, or a constant) is copied. */
static void place_gradients(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  for (size_t i = 0; i < g->n_outputs; i++) {
    const mynah__output *o = &g->outputs[i];
    if (o->weight < 0) continue;
    int32_t root = c->output_value[i];
    const mynah__tensor t = compiled_tensor(c, g->values[o->value].tensor);
    bool is_computed = g->nodes[g->values[root].node].op != NULL;
    if (!is_computed || c->place[root].where != MYNAH__AT_NONE ||
        mynah_shape_size(g->values[root].tensor.shape) != mynah_shape_size(t.shape)) {
      int32_t copy = (int32_t)(g->n_values + i);
      add_copy(c, root, copy, t);
      root = c->output_value[i] = copy;
    }
    c->place[root] = (mynah__place){MYNAH__AT_GRADIENT, c->weight[o->weight], 0};
    c->p->has_gradients = true;
  }
}

static mynah_status add_steps(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  mynah_program *p = c->p;
  p->steps = mynah_calloc(g->n_nodes + g->n_outputs + 1, sizeof *p->steps);
  if (!p->steps) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < g->n_nodes; i++) {
    const mynah__node *n = &g->nodes[i];
    if (c->is_live[i] && n->op && !n->op->is_view && !is_vanishing(g, n)) describe_step(c, i, &p->steps[p->n_steps++]);
  }
  place_gradients(c);
  return copy_arrays(p);
}

static void add_packed(mynah_program *p, mynah__program_step *st) {
  st->packed_offset = p->packed_bytes;
  p->packed_bytes += mynah__align(st->plan.packed_bytes);
}

/* Input i of a step that packs is not looked at again. */
static bool is_packed_alone(const mynah__program_step *st, int i) {
  return st->kernel->pack && st->plan.packed_bytes > 0 && (st->kernel->packs >> i & 1) && i != st->step.residual;
}

/* What weights a step reads before a run, and which folded values it is the last to need; uses: [n_ids] of roots. */
static void plan_reading(const mynah__compiler *c, const int32_t *uses, mynah__program_step *st) {
  size_t bytes = 0;
  for (int i = 0; i < st->step.n_in; i++) {
    if (st->in[i].where == MYNAH__AT_WEIGHT) {
      bytes += mynah__align(mynah__tensor_bytes(&st->step.in[i]));
      if (!st->is_folded && !is_packed_alone(st, i)) c->p->weights[st->in[i].weight].is_kept = true;
    }
    bool is_last = st->in[i].where == MYNAH__AT_FOLDED && uses[c->root[st->in_value[i]]] == 1;
    if (is_last && (st->is_folded || is_packed_alone(st, i))) st->releases |= 1u << i;
  }
  if (bytes > c->p->read_bytes) c->p->read_bytes = bytes;
}

/* What of the weights and of what is folded has to stay once a frozen binding has packed. */
static mynah_status plan_keeping(mynah__compiler *c) {
  mynah_program *p = c->p;
  int32_t *uses = mynah_calloc(c->n_ids, sizeof *uses);
  if (!uses) return MYNAH_NO_MEMORY;
  for (int s = 0; s < p->n_steps + p->n_folded; s++) {
    const mynah__program_step *st = s < p->n_steps ? &p->steps[s] : &p->folded[s - p->n_steps];
    for (int i = 0; i < st->step.n_in; i++) uses[c->root[st->in_value[i]]]++;
  }
  for (size_t i = 0; i < c->g->n_outputs; i++) uses[c->output_value[i]]++;
  for (int s = 0; s < p->n_steps; s++) plan_reading(c, uses, &p->steps[s]);
  for (int s = 0; s < p->n_folded; s++) plan_reading(c, uses, &p->folded[s]);
  for (int i = 0; i < p->n_outputs; i++)
    if (p->outputs[i].place.where == MYNAH__AT_WEIGHT) p->weights[p->outputs[i].place.weight].is_kept = true;
  mynah_free(uses);
  return MYNAH_OK;
}

static void total(mynah_program *p) {
  p->is_rt = p->n_threads == 1; /* waiting for a thread takes a lock */
  for (int s = 0; s < p->n_steps; s++) {
    p->is_rt = p->is_rt && p->steps[s].kernel->is_rt;
    add_packed(p, &p->steps[s]);
  }
  for (int s = 0; s < p->n_folded; s++) {
    add_packed(p, &p->folded[s]);
    size_t scratch = p->folded[s].plan.scratch_bytes;
    if (scratch > p->folded_scratch_bytes) p->folded_scratch_bytes = scratch;
  }
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

static mynah_status compile(mynah__compiler *c) {
  const mynah_graph *g = c->g;
  c->is_live = mynah_calloc(g->n_nodes + 1, sizeof *c->is_live);
  c->same_as = mynah_calloc(c->n_ids, sizeof *c->same_as);
  c->root = mynah_calloc(c->n_ids, sizeof *c->root);
  c->place = mynah_calloc(c->n_ids, sizeof *c->place);
  c->weight = mynah_calloc(g->n_weights + 1, sizeof *c->weight);
  c->output_value = mynah_calloc(g->n_outputs + 1, sizeof *c->output_value);
  if (!c->is_live || !c->same_as || !c->root || !c->place || !c->weight || !c->output_value) return MYNAH_NO_MEMORY;
  mark_live(c);
  find_roots(c);
  MYNAH_TRY(add_inputs(c));
  MYNAH_TRY(add_weights(c));
  MYNAH_TRY(add_constants(c));
  MYNAH_TRY(add_steps(c));
  MYNAH_TRY(mynah__choose_kernels(c));
  MYNAH_TRY(mynah__place_values(c));
  MYNAH_TRY(plan_keeping(c));
  total(c->p);
  return MYNAH_OK;
}

static void compiler_deinit(mynah__compiler *c) {
  mynah_free(c->is_live);
  mynah_free(c->same_as);
  mynah_free(c->root);
  mynah_free(c->place);
  mynah_free(c->weight);
  mynah_free(c->output_value);
}

mynah_status mynah_compile(const mynah_graph *g, const mynah_compile_config *config, mynah_program **out) {
  mynah_compile_config defaults = mynah_compile_default();
  MYNAH_TRY(mynah_graph_status(g));
  if (!config) config = &defaults;
  if (g->n_outputs == 0) return mynah_fail(MYNAH_INVALID, "compile: the graph has no output");
  if (config->precision != MYNAH_F32 && config->precision != MYNAH_BF16 && config->precision != MYNAH_F64)
    return mynah_fail(MYNAH_UNSUPPORTED, "compile: precision %s: float32, bfloat16 or float64 are possible",
                      mynah_dtype_name(config->precision));
  mynah__compiler c = {.g = g, .config = config, .n_ids = g->n_values + g->n_outputs};
  c.p = mynah_calloc(1, sizeof *c.p);
  if (!c.p) return MYNAH_NO_MEMORY;
  c.p->precision = config->precision;
  c.p->is_training = g->is_training;
  c.p->is_frozen = config->is_frozen && !g->is_training;
  c.p->n_threads = config->n_threads > 0 && !g->is_training ? config->n_threads : 1;
  mynah_status status = compile(&c);
  compiler_deinit(&c);
  if (status != MYNAH_OK) {
    mynah_program_destroy(c.p);
    return status;
  }
  *out = c.p;
  return MYNAH_OK;
}

void mynah_program_destroy(mynah_program *p) {
  if (!p) return;
  for (int s = 0; s < p->n_steps; s++)
    if (p->steps[s].kernel && p->steps[s].kernel->release) p->steps[s].kernel->release(p->steps[s].plan.data);
  for (int i = 0; i < p->n_inputs; i++) mynah_free(p->inputs[i].name);
  for (int i = 0; i < p->n_outputs; i++) mynah_free(p->outputs[i].name);
  for (int i = 0; i < p->n_weights; i++) mynah_free(p->weights[i].name);
  for (int s = 0; s < p->n_folded; s++)
    if (p->folded[s].kernel && p->folded[s].kernel->release) p->folded[s].kernel->release(p->folded[s].plan.data);
  mynah_free(p->steps);
  mynah_free(p->folded);
  mynah_free(p->inputs);
  mynah_free(p->outputs);
  mynah_free(p->weights);
  mynah_free(p->constants);
  mynah_free(p->arrays);
  mynah_free(p);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

bool mynah_program_is_rt(const mynah_program *p) { return p->is_rt; }
int mynah_program_n_inputs(const mynah_program *p) { return p->n_inputs; }
int mynah_program_n_outputs(const mynah_program *p) { return p->n_outputs; }

const char *mynah_program_input(const mynah_program *p, int i, mynah_dtype *dtype, mynah_shape *shape) {
  if (i < 0 || i >= p->n_inputs) return NULL;
  if (dtype) *dtype = p->inputs[i].tensor.dtype;
  if (shape) *shape = p->inputs[i].tensor.shape;
  return p->inputs[i].name;
}

const char *mynah_program_output(const mynah_program *p, int i, mynah_shape *shape) {
  if (i < 0 || i >= p->n_outputs) return NULL;
  if (shape) *shape = p->outputs[i].tensor.shape;
  return p->outputs[i].name;
}
