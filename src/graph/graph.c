/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Describing: the builder core. The first error sticks, so that a description reads without error checks. */
#include "core.h"

#include "ops/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t mynah_shape_size(mynah_shape s) {
  int64_t n = 1;
  for (int i = 0; i < s.n_dims; i++) n *= s.dims[i];
  return n;
}

bool mynah__shape_is(mynah_shape a, mynah_shape b) {
  return a.n_dims == b.n_dims && memcmp(a.dims, b.dims, (size_t)a.n_dims * sizeof *a.dims) == 0;
}

const char *mynah__shape_text(mynah_shape s, char text[MYNAH__SHAPE_TEXT]) {
  int n = snprintf(text, MYNAH__SHAPE_TEXT, "(");
  for (int i = 0; i < s.n_dims && n < MYNAH__SHAPE_TEXT; i++)
    n += snprintf(text + n, (size_t)(MYNAH__SHAPE_TEXT - n), i ? ",%lld" : "%lld", (long long)s.dims[i]);
  if (n < MYNAH__SHAPE_TEXT) snprintf(text + n, (size_t)(MYNAH__SHAPE_TEXT - n), ")");
  return text;
}

/* ---- the graph and its first error ------------------------------------------------------------------------------- */

mynah_status mynah_graph_create(mynah_graph **out) {
  mynah_graph *g = mynah_calloc(1, sizeof *g);
  if (!g) return MYNAH_NO_MEMORY;
  if (mynah_grow((void **)&g->values, &g->cap_values, 1, sizeof *g->values) != MYNAH_OK) {
    mynah_free(g);
    return MYNAH_NO_MEMORY;
  }
  g->values[0] = (mynah__value){.node = -1};
  g->n_values = 1;
  *out = g;
  return MYNAH_OK;
}

void mynah_graph_destroy(mynah_graph *g) {
  if (!g) return;
  for (size_t i = 0; i < g->n_nodes; i++) mynah_free((void *)(uintptr_t)g->nodes[i].a.array);
  for (size_t i = 0; i < g->n_inputs; i++) mynah_free(g->inputs[i].name);
  for (size_t i = 0; i < g->n_constants; i++) mynah_free(g->constants[i].data);
  for (size_t i = 0; i < g->n_weights; i++) mynah_free(g->weights[i].name);
  for (size_t i = 0; i < g->n_outputs; i++) mynah_free(g->outputs[i].name);
  mynah_free(g->nodes);
  mynah_free(g->values);
  mynah_free(g->inputs);
  mynah_free(g->constants);
  mynah_free(g->weights);
  mynah_free(g->outputs);
  mynah_free(g);
}

mynah_node mynah__graph_note(mynah_graph *g, mynah_status status) {
  if (g->status == MYNAH_OK) {
    g->status = status;
    snprintf(g->error, sizeof g->error, "%s", mynah_error());
  }
  return MYNAH_NO_NODE;
}

mynah_node mynah_graph_fail(mynah_graph *g, const char *format, ...) {
  char text[sizeof g->error];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (g->status != MYNAH_OK) return MYNAH_NO_NODE;
  return mynah__graph_note(g, mynah_fail(MYNAH_INVALID, "%s", text));
}

mynah_status mynah_graph_status(const mynah_graph *g) {
  if (g->status == MYNAH_OK) return MYNAH_OK;
  return mynah_fail(g->status, "%s", g->error);
}

void mynah_graph_scope(mynah_graph *g, const char *prefix) {
  if (mynah_copy_text(g->scope, sizeof g->scope, prefix ? prefix : "") != MYNAH_OK)
    mynah_graph_fail(g, "scope '%.40s…' is longer than %d characters", prefix, MYNAH_NAME_MAX - 1);
}

mynah_shape mynah_node_shape(const mynah_graph *g, mynah_node n) {
  if (n.id <= 0 || (size_t)n.id >= g->n_values) return (mynah_shape){0};
  return g->values[n.id].tensor.shape;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static mynah_status shape_check(const char *what, mynah_shape s) {
  int64_t n = 1;
  char text[MYNAH__SHAPE_TEXT];
  bool is_good = s.n_dims >= 1 && s.n_dims <= MYNAH_MAX_DIMS;
  for (int i = 0; is_good && i < s.n_dims; i++)
    is_good = s.dims[i] >= 1 && !__builtin_mul_overflow(n, s.dims[i], &n) && n <= MYNAH__MAX_ELEMENTS;
  if (is_good) return MYNAH_OK;
  if (s.n_dims < 1 || s.n_dims > MYNAH_MAX_DIMS)
    return mynah_fail(MYNAH_INVALID, "%s: %d dimensions: 1 to %d are possible", what, s.n_dims, MYNAH_MAX_DIMS);
  return mynah_fail(MYNAH_INVALID, "%s: shape %s: dimensions must be positive, and together at most 2^40 elements",
                    what, mynah__shape_text(s, text));
}

/* Appends a node and its values. The attribute array becomes the graph's own copy. */
static mynah_status node_append(mynah_graph *g, const mynah__node *node, const mynah__tensor *out) {
  size_t n_out = (size_t)node->n_out;
  MYNAH_TRY(mynah_grow((void **)&g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes));
  MYNAH_TRY(mynah_grow((void **)&g->values, &g->cap_values, g->n_values + n_out, sizeof *g->values));
  mynah__node *n = &g->nodes[g->n_nodes];
  *n = *node;
  n->out = (int32_t)g->n_values;
  if (node->a.array) {
    float *copy = mynah_calloc((size_t)node->a.n_array, sizeof *copy);
    if (!copy) return MYNAH_NO_MEMORY;
    memcpy(copy, node->a.array, (size_t)node->a.n_array * sizeof *copy);
    n->a.array = copy;
  }
  for (size_t k = 0; k < n_out; k++) g->values[g->n_values + k] = (mynah__value){out[k], (int32_t)g->n_nodes};
  g->n_nodes++;
  g->n_values += n_out;
  return MYNAH_OK;
}

/* The op's shape rule on these inputs; `step` is filled. */
static mynah_status step_describe(const mynah_graph *g, const mynah__op *op, const mynah__attributes *a,
                                  const mynah_node *in, mynah__step *step) {
  step->op = op;
  if (a) step->a = *a;
  step->residual = -1;
  for (int i = 0; i < step->n_in; i++) {
    if (in[i].id < 0 || (size_t)in[i].id >= g->n_values)
      return mynah_fail(MYNAH_INVALID, "%s: input %d is no value of this graph", op->name, i);
    if (in[i].id) step->in[i] = g->values[in[i].id].tensor;
  }
  MYNAH_TRY(op->shape(step));
  if (step->n_out < 1 || step->n_out > MYNAH__MAX_OUTPUTS)
    return mynah_fail(MYNAH_INTERNAL, "%s: the shape rule gave %d outputs", op->name, step->n_out);
  for (int k = 0; k < step->n_out; k++) MYNAH_TRY(shape_check(op->name, step->out[k].shape));
  return MYNAH_OK;
}

/* Appends the shapes of the inputs to the present error text: "linear: …: inputs (2,3) (4,5)". */
static mynah_status add_shapes(mynah_status status, const mynah__step *step) {
  char error[384], shapes[256] = "", text[MYNAH__SHAPE_TEXT];
  size_t n = 0;
  snprintf(error, sizeof error, "%s", mynah_error());
  for (int i = 0; i < step->n_in && n < sizeof shapes; i++)
    if (step->in[i].shape.n_dims)
      n += (size_t)snprintf(shapes + n, sizeof shapes - n, " %s", mynah__shape_text(step->in[i].shape, text));
  return mynah_fail(status, "%s; inputs are%s", error, n ? shapes : " all absent");
}

mynah_node mynah__add_node(mynah_graph *g, const mynah__op *op, const mynah__attributes *a, const mynah_node *in,
                           int n_in) {
  if (g->status != MYNAH_OK) return MYNAH_NO_NODE;
  if (n_in > MYNAH__MAX_INPUTS) return mynah_graph_fail(g, "%s: more than %d inputs", op->name, MYNAH__MAX_INPUTS);
  mynah__step step = {.n_in = n_in};
  mynah_status status = step_describe(g, op, a, in, &step);
  if (status != MYNAH_OK) return mynah__graph_note(g, add_shapes(status, &step));
  mynah__node node = {.op = op, .a = step.a, .n_in = n_in, .n_out = step.n_out};
  for (int i = 0; i < n_in; i++) node.in[i] = in[i].id;
  status = node_append(g, &node, step.out);
  if (status != MYNAH_OK) return mynah__graph_note(g, status);
  return (mynah_node){g->nodes[g->n_nodes - 1].out};
}

static const mynah__node *node_of(const mynah_graph *g, mynah_node n) {
  if (n.id <= 0 || (size_t)n.id >= g->n_values) return NULL;
  return &g->nodes[g->values[n.id].node];
}

mynah_node mynah__node_output(const mynah_graph *g, mynah_node n, int k) {
  const mynah__node *node = node_of(g, n);
  return node && k < node->n_out ? (mynah_node){node->out + k} : MYNAH_NO_NODE;
}

mynah_node mynah__node_input(const mynah_graph *g, mynah_node n, int k) {
  const mynah__node *node = node_of(g, n);
  return node && k < node->n_in ? (mynah_node){node->in[k]} : MYNAH_NO_NODE;
}

const mynah__attributes *mynah__node_attributes(const mynah_graph *g, mynah_node n) {
  static const mynah__attributes none;
  const mynah__node *node = node_of(g, n);
  return node ? &node->a : &none;
}

const char *mynah__weight_name(const mynah_graph *g, mynah_node n) {
  const mynah__node *node = node_of(g, n);
  return node && node->leaf == MYNAH__LEAF_WEIGHT ? g->weights[node->index].name : NULL;
}

/* ---- leaves ------------------------------------------------------------------------------------------------------ */

static mynah_status leaf_append(mynah_graph *g, mynah__leaf leaf, size_t index, mynah__tensor t, int32_t *value) {
  mynah__node node = {.leaf = leaf, .index = (int32_t)index, .n_out = 1};
  MYNAH_TRY(node_append(g, &node, &t));
  *value = g->nodes[g->n_nodes - 1].out;
  return MYNAH_OK;
}

static mynah_status name_check(const char *what, const char *name) {
  if (!name || !*name) return mynah_fail(MYNAH_INVALID, "%s: a name is missing", what);
  if (strlen(name) >= MYNAH_NAME_MAX)
    return mynah_fail(MYNAH_INVALID, "%s '%.40s…': longer than %d characters", what, name, MYNAH_NAME_MAX - 1);
  return MYNAH_OK;
}

static mynah_status input_add(mynah_graph *g, const char *name, mynah__tensor t, int32_t *value) {
  MYNAH_TRY(name_check("input", name));
  MYNAH_TRY(shape_check(name, t.shape));
  if (t.dtype != MYNAH_F32 && t.dtype != MYNAH_U8 && t.dtype != MYNAH_I32)
    return mynah_fail(MYNAH_UNSUPPORTED, "input '%s': %s: float32, uint8 or int32 are possible", name,
                      mynah_dtype_name(t.dtype));
  for (size_t i = 0; i < g->n_inputs; i++)
    if (!strcmp(g->inputs[i].name, name)) return mynah_fail(MYNAH_INVALID, "input '%s': there already is one", name);
  MYNAH_TRY(mynah_grow((void **)&g->inputs, &g->cap_inputs, g->n_inputs + 1, sizeof *g->inputs));
  char *copy = mynah_strdup(name);
  if (!copy) return MYNAH_NO_MEMORY;
  mynah_status status = leaf_append(g, MYNAH__LEAF_INPUT, g->n_inputs, t, value);
  if (status != MYNAH_OK) {
    mynah_free(copy);
    return status;
  }
  g->inputs[g->n_inputs++] = (mynah__input){copy, *value};
  return MYNAH_OK;
}

mynah_node mynah_input(mynah_graph *g, const char *name, mynah_dtype dtype, mynah_shape shape) {
  if (g->status != MYNAH_OK) return MYNAH_NO_NODE;
  int32_t value = 0;
  mynah_status status = input_add(g, name, (mynah__tensor){dtype, shape}, &value);
  return status == MYNAH_OK ? (mynah_node){value} : mynah__graph_note(g, status);
}

static mynah_status constant_add(mynah_graph *g, mynah_shape shape, const float *data, int64_t n, int32_t *value) {
  MYNAH_TRY(mynah_grow((void **)&g->constants, &g->cap_constants, g->n_constants + 1, sizeof *g->constants));
  float *copy = mynah_calloc((size_t)n, sizeof *copy);
  if (!copy) return MYNAH_NO_MEMORY;
  memcpy(copy, data, (size_t)n * sizeof *copy);
  mynah_status status = leaf_append(g, MYNAH__LEAF_CONSTANT, g->n_constants, (mynah__tensor){MYNAH_F32, shape}, value);
  if (status != MYNAH_OK) {
    mynah_free(copy);
    return status;
  }
  g->constants[g->n_constants++] = (mynah__constant){copy, n, *value};
  return MYNAH_OK;
}

mynah_node mynah_constant(mynah_graph *g, mynah_shape shape, const float *values) {
  if (g->status != MYNAH_OK) return MYNAH_NO_NODE;
  int32_t value = 0;
  mynah_status status = shape_check("constant", shape);
  if (status == MYNAH_OK) status = constant_add(g, shape, values, mynah_shape_size(shape), &value);
  return status == MYNAH_OK ? (mynah_node){value} : mynah__graph_note(g, status);
}

mynah_node mynah_fill(mynah_graph *g, mynah_shape shape, float number) {
  if (g->status != MYNAH_OK) return MYNAH_NO_NODE;
  int32_t value = 0;
  mynah_status status = shape_check("fill", shape);
  if (status == MYNAH_OK) status = constant_add(g, shape, &number, 1, &value);
  return status == MYNAH_OK ? (mynah_node){value} : mynah__graph_note(g, status);
}

/* The weight of that full name again, if it is the same; value 0 when there is none yet. */
static mynah_status weight_again(const mynah_graph *g, const char *name, mynah_shape shape, bool is_trained,
                                 int32_t *value) {
  char have[MYNAH__SHAPE_TEXT], want[MYNAH__SHAPE_TEXT];
  *value = 0;
  for (size_t i = 0; i < g->n_weights; i++) {
    const mynah__weight *w = &g->weights[i];
    if (strcmp(w->name, name)) continue;
    mynah_shape old = g->values[w->value].tensor.shape;
    if (w->is_trained != is_trained)
      return mynah_fail(MYNAH_MISMATCH, "weight '%s': used as a trained weight and as a buffer", name);
    if (!mynah__shape_is(old, shape))
      return mynah_fail(MYNAH_MISMATCH, "weight '%s': used with shapes %s and %s", name, mynah__shape_text(old, have),
                        mynah__shape_text(shape, want));
    *value = w->value;
  }
  return MYNAH_OK;
}

static mynah_status weight_add(mynah_graph *g, const char *name, mynah_shape shape, const mynah__weight *like,
                               int32_t *value) {
  char full[2 * MYNAH_NAME_MAX];
  MYNAH_TRY(name_check("weight", name));
  snprintf(full, sizeof full, "%s%s", g->scope, name);
  MYNAH_TRY(name_check("weight", full));
  MYNAH_TRY(shape_check(full, shape));
  MYNAH_TRY(weight_again(g, full, shape, like->is_trained, value));
  if (*value) return MYNAH_OK;
  MYNAH_TRY(mynah_grow((void **)&g->weights, &g->cap_weights, g->n_weights + 1, sizeof *g->weights));
  char *copy = mynah_strdup(full);
  if (!copy) return MYNAH_NO_MEMORY;
  mynah_status status = leaf_append(g, MYNAH__LEAF_WEIGHT, g->n_weights, (mynah__tensor){MYNAH_F32, shape}, value);
  if (status != MYNAH_OK) {
    mynah_free(copy);
    return status;
  }
  g->weights[g->n_weights++] = (mynah__weight){copy, *value, like->init, like->is_trained};
  return MYNAH_OK;
}

static mynah_node any_weight(mynah_graph *g, const char *name, mynah_shape shape, mynah_init init, bool is_trained) {
  if (g->status != MYNAH_OK) return MYNAH_NO_NODE;
  int32_t value = 0;
  mynah__weight like = {.init = init, .is_trained = is_trained};
  mynah_status status = weight_add(g, name, shape, &like, &value);
  return status == MYNAH_OK ? (mynah_node){value} : mynah__graph_note(g, status);
}

mynah_node mynah_weight(mynah_graph *g, const char *name, mynah_shape shape, mynah_init init) {
  return any_weight(g, name, shape, init, true);
}

mynah_node mynah_buffer(mynah_graph *g, const char *name, mynah_shape shape, mynah_init init) {
  return any_weight(g, name, shape, init, false);
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

static mynah_status output_add(mynah_graph *g, const char *name, mynah_node n, int32_t weight) {
  if (n.id <= 0 || (size_t)n.id >= g->n_values)
    return mynah_fail(MYNAH_INVALID, "output '%s': no value of this graph", name);
  for (size_t i = 0; i < g->n_outputs; i++)
    if (!strcmp(g->outputs[i].name, name)) return mynah_fail(MYNAH_INVALID, "output '%s': there already is one", name);
  MYNAH_TRY(mynah_grow((void **)&g->outputs, &g->cap_outputs, g->n_outputs + 1, sizeof *g->outputs));
  char *copy = mynah_strdup(name);
  if (!copy) return MYNAH_NO_MEMORY;
  g->outputs[g->n_outputs++] = (mynah__output){copy, n.id, weight};
  return MYNAH_OK;
}

void mynah__graph_output(mynah_graph *g, const char *name, mynah_node n, int32_t weight) {
  if (g->status != MYNAH_OK) return;
  mynah_status status = output_add(g, name, n, weight);
  if (status != MYNAH_OK) mynah__graph_note(g, status);
}

void mynah_output(mynah_graph *g, const char *name, mynah_node n) {
  if (g->status != MYNAH_OK) return;
  mynah_status status = name && *name ? MYNAH_OK : mynah_fail(MYNAH_INVALID, "output: a name is missing");
  if (status != MYNAH_OK) mynah__graph_note(g, status);
  mynah__graph_output(g, name, n, -1);
}
