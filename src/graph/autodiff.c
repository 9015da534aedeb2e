/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reverse-mode differentiation: walks the nodes backwards and lets each op append the nodes of its gradients.
 *
 * For a scalar L and y = f(x):  dL/dx = (dy/dx)^T dL/dy, summed over all uses of x   (Griewank and Walther 2008, ch.
 * 3). What is appended are ordinary nodes; those that no weight's gradient needs are dropped when compiling. */
#include "core.h"

#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

/* One use of a value: what it adds to the value's gradient. */
typedef struct part {
  mynah_node dx;
  int32_t next; /* in parts; -1: the last */
} part;

typedef struct differentiation {
  mynah_graph *g;
  bool *is_needed;      /* [n_values] depends on what is differentiated for */
  mynah_node *gradient; /* [n_values] dL/dvalue once asked for; null: not yet, or none */
  int32_t *first;       /* [n_values] its parts so far, in the order they came; -1: none */
  part *parts;
  size_t n_parts, cap_parts;
  size_t n_values, n_nodes; /* of the graph before it grew */
} differentiation;

/* What the loss is differentiated for, and everything computed from it. */
static void mark_needed(differentiation *d, bool with_inputs) {
  const mynah_graph *g = d->g;
  for (size_t i = 0; i < d->n_nodes; i++) {
    const mynah__node *n = &g->nodes[i];
    bool is_needed = (n->leaf == MYNAH__LEAF_WEIGHT && g->weights[n->index].is_trained) ||
                     (n->leaf == MYNAH__LEAF_INPUT && with_inputs);
    for (int k = 0; k < n->n_in; k++) is_needed = is_needed || d->is_needed[n->in[k]];
    /* Only real numbers have gradients: not pictures and not class numbers. */
    for (int k = 0; k < n->n_out; k++)
      d->is_needed[n->out + k] = is_needed && g->values[n->out + k].tensor.dtype == MYNAH_F32;
  }
}

/* Notes dx as a part of dL/dvalue. */
static void add_part(differentiation *d, int32_t value, mynah_node dx) {
  mynah_shape want = mynah_node_shape(d->g, (mynah_node){value}), have = mynah_node_shape(d->g, dx);
  char a[MYNAH__SHAPE_TEXT], b[MYNAH__SHAPE_TEXT];
  if (d->g->status != MYNAH_OK) return;
  if (!mynah__shape_is(want, have)) {
    mynah_graph_fail(d->g, "differentiate: a gradient of shape %s for a value of shape %s", mynah__shape_text(have, a),
                     mynah__shape_text(want, b));
    return;
  }
  mynah_status status = mynah_grow((void **)&d->parts, &d->cap_parts, d->n_parts + 1, sizeof *d->parts);
  if (status != MYNAH_OK) {
    mynah__graph_note(d->g, status);
    return;
  }
  int32_t *link = &d->first[value];
  while (*link >= 0) link = &d->parts[*link].next;
  *link = (int32_t)d->n_parts;
  d->parts[d->n_parts++] = (part){dx, -1};
}

/* The slice_grad node that made dx, or NULL. */
static const mynah__node *slice_of(const mynah_graph *g, mynah_node dx) {
  const mynah__node *n = &g->nodes[g->values[dx.id].node];
  return n->op == &mynah__op_slice_grad ? n : NULL;
}

/* A value that was cut into slices which together are all of it: its gradient is the gradients of the slices side by
 * side, which spares writing zeros and adding them up. Null when the parts are not of that kind. */
static mynah_node join_slices(const differentiation *d, int32_t value) {
  mynah_node pieces[MYNAH__MAX_INPUTS];
  int64_t axis = -1, size = 0, end = 0;
  int n_parts = 0, n = 0;
  for (int32_t i = d->first[value]; i >= 0; i = d->parts[i].next) {
    const mynah__node *s = slice_of(d->g, d->parts[i].dx);
    if (!s || (axis >= 0 && s->a.i[0] != axis) || ++n_parts > MYNAH__MAX_INPUTS) return MYNAH_NO_NODE;
    axis = s->a.i[0];
    size = s->a.i[2];
  }
  while (n_parts > 1 && end < size) {
    int64_t before = end;
    for (int32_t i = d->first[value]; i >= 0 && n < n_parts; i = d->parts[i].next) {
      const mynah__node *s = slice_of(d->g, d->parts[i].dx);
      if (s->a.i[1] != end) continue;
      pieces[n++] = (mynah_node){s->in[0]};
      end += mynah_node_shape(d->g, pieces[n - 1]).dims[axis];
    }
    if (end == before) return MYNAH_NO_NODE;
  }
  return n_parts > 1 && n == n_parts && end == size ? mynah_concat(d->g, pieces, n, (int)axis) : MYNAH_NO_NODE;
}

/* dL/dvalue: the sum of its parts; null when there are none. */
static mynah_node gradient_of(differentiation *d, int32_t value) {
  if (!mynah_node_is_null(d->gradient[value]) || d->first[value] < 0) return d->gradient[value];
  mynah_node sum = join_slices(d, value);
  int32_t i = d->first[value];
  if (mynah_node_is_null(sum))
    for (sum = d->parts[i].dx; (i = d->parts[i].next) >= 0;) sum = mynah_add(d->g, sum, d->parts[i].dx);
  return d->gradient[value] = sum;
}

/* Asks node i's op for the gradients of its inputs. */
static void node_differentiate(differentiation *d, size_t i) {
  mynah_graph *g = d->g;
  /* A copy: the array of nodes moves as nodes are appended. */
  const mynah__node n = g->nodes[i];
  mynah_node dy[MYNAH__MAX_OUTPUTS] = {{0}}, dx[MYNAH__MAX_INPUTS] = {{0}};
  bool needs[MYNAH__MAX_INPUTS] = {false}, has_dy = false, is_wanted = false;
  for (int k = 0; k < n.n_out; k++) {
    dy[k] = gradient_of(d, n.out + k);
    has_dy = has_dy || !mynah_node_is_null(dy[k]);
  }
  for (int k = 0; k < n.n_in; k++) {
    needs[k] = n.in[k] && d->is_needed[n.in[k]];
    is_wanted = is_wanted || needs[k];
  }
  if (!has_dy || !is_wanted) return;
  if (!n.op->gradient) {
    mynah_graph_fail(g, "%s: has no gradient", n.op->name);
    return;
  }
  /* Gradient rules may count on the first one. */
  if (mynah_node_is_null(dy[0])) dy[0] = mynah_fill(g, g->values[n.out].tensor.shape, 0);
  n.op->gradient(g, (mynah_node){n.out}, dy, needs, dx);
  for (int k = 0; k < n.n_in; k++)
    if (needs[k] && !mynah_node_is_null(dx[k])) add_part(d, n.in[k], dx[k]);
}

/* Output grad/NAME, if the loss depends on it. */
static void name_gradient(differentiation *d, const char *of, int32_t value, int32_t weight) {
  char name[MYNAH_NAME_MAX + 8];
  if ((size_t)value >= d->n_values || mynah_node_is_null(gradient_of(d, value))) return;
  snprintf(name, sizeof name, "grad/%s", of);
  mynah__graph_output(d->g, name, d->gradient[value], weight);
}

static void differentiate_all(differentiation *d, mynah_node loss, bool with_inputs) {
  mynah_graph *g = d->g;
  g->is_training = true;
  for (size_t v = 0; v < d->n_values; v++) d->first[v] = -1;
  mark_needed(d, with_inputs);
  d->gradient[loss.id] = mynah_fill(g, mynah_node_shape(g, loss), 1);
  for (size_t i = (size_t)g->values[loss.id].node + 1; i-- > 0 && g->status == MYNAH_OK;)
    if (g->nodes[i].op) node_differentiate(d, i);
  for (size_t i = 0; i < g->n_weights; i++) name_gradient(d, g->weights[i].name, g->weights[i].value, (int32_t)i);
  for (size_t i = 0; with_inputs && i < g->n_inputs; i++) name_gradient(d, g->inputs[i].name, g->inputs[i].value, -1);
}

static mynah_status differentiate(mynah_graph *g, mynah_node loss, bool with_inputs) {
  char text[MYNAH__SHAPE_TEXT];
  MYNAH_TRY(mynah_graph_status(g));
  mynah_shape shape = mynah_node_shape(g, loss);
  if (shape.n_dims == 0) mynah_graph_fail(g, "differentiate: the loss is no value of this graph");
  else if (mynah_shape_size(shape) != 1)
    mynah_graph_fail(g, "differentiate: the loss must be one number, not %s", mynah__shape_text(shape, text));
  else if (g->is_training) mynah_graph_fail(g, "differentiate: this graph was differentiated already");
  MYNAH_TRY(mynah_graph_status(g));
  differentiation d = {.g = g, .n_values = g->n_values, .n_nodes = g->n_nodes};
  d.is_needed = mynah_calloc(d.n_values, sizeof *d.is_needed);
  d.gradient = mynah_calloc(d.n_values, sizeof *d.gradient);
  d.first = mynah_calloc(d.n_values, sizeof *d.first);
  if (d.is_needed && d.gradient && d.first) differentiate_all(&d, loss, with_inputs);
  else mynah__graph_note(g, MYNAH_NO_MEMORY);
  mynah_free(d.is_needed);
  mynah_free(d.gradient);
  mynah_free(d.first);
  mynah_free(d.parts);
  return mynah_graph_status(g);
}

mynah_status mynah_differentiate(mynah_graph *g, mynah_node loss) { return differentiate(g, loss, false); }
mynah_status mynah_differentiate_inputs(mynah_graph *g, mynah_node loss) { return differentiate(g, loss, true); }
