/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reverse-mode differentiation: walks the nodes backwards and lets each op append the nodes of its gradients.
 *
 * For a scalar L and y = f(x):  dL/dx = (dy/dx)^T dL/dy, summed over all uses of x   (Griewank and Walther 2008, ch.
 * 3). What is appended are ordinary nodes; those that no weight's gradient needs are dropped when compiling. */
#include "core.h"

#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

typedef struct differentiation {
  mynah_graph *g;
  bool *is_needed;          /* [n_values] depends on what is differentiated for */
  mynah_node *gradient;     /* [n_values] dL/dvalue so far; null: none */
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

/* dL/dvalue += dx */
static void accumulate(differentiation *d, int32_t value, mynah_node dx) {
  mynah_shape want = mynah_node_shape(d->g, (mynah_node){value}), have = mynah_node_shape(d->g, dx);
  char a[MYNAH__SHAPE_TEXT], b[MYNAH__SHAPE_TEXT];
  if (d->g->status != MYNAH_OK) return;
  if (!mynah__shape_is(want, have)) {
    mynah_graph_fail(d->g, "differentiate: a gradient of shape %s for a value of shape %s", mynah__shape_text(have, a),
                     mynah__shape_text(want, b));
    return;
  }
  mynah_node *sum = &d->gradient[value];
  *sum = mynah_node_is_null(*sum) ? dx : mynah_add(d->g, *sum, dx);
}

/* Asks node i's op for the gradients of its inputs. */
static void node_differentiate(differentiation *d, size_t i) {
  mynah_graph *g = d->g;
  /* A copy: the array of nodes moves as nodes are appended. */
  const mynah__node n = g->nodes[i];
  mynah_node dy[MYNAH__MAX_OUTPUTS] = {{0}}, dx[MYNAH__MAX_INPUTS] = {{0}};
  bool needs[MYNAH__MAX_INPUTS] = {false}, has_dy = false, is_wanted = false;
  for (int k = 0; k < n.n_out; k++) {
    dy[k] = d->gradient[n.out + k];
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
    if (needs[k] && !mynah_node_is_null(dx[k])) accumulate(d, n.in[k], dx[k]);
}

static void name_gradients(differentiation *d, bool with_inputs) {
  mynah_graph *g = d->g;
  char name[MYNAH_NAME_MAX + 8];
  for (size_t i = 0; i < g->n_weights; i++) {
    int32_t value = g->weights[i].value;
    if ((size_t)value >= d->n_values || mynah_node_is_null(d->gradient[value])) continue;
    snprintf(name, sizeof name, "grad/%s", g->weights[i].name);
    mynah__graph_output(g, name, d->gradient[value], (int32_t)i);
  }
  for (size_t i = 0; with_inputs && i < g->n_inputs; i++) {
    int32_t value = g->inputs[i].value;
    if ((size_t)value >= d->n_values || mynah_node_is_null(d->gradient[value])) continue;
    snprintf(name, sizeof name, "grad/%s", g->inputs[i].name);
    mynah__graph_output(g, name, d->gradient[value], -1);
  }
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
  if (d.is_needed && d.gradient) {
    g->is_training = true;
    mark_needed(&d, with_inputs);
    d.gradient[loss.id] = mynah_fill(g, shape, 1);
    for (size_t i = (size_t)g->values[loss.id].node + 1; i-- > 0 && g->status == MYNAH_OK;)
      if (g->nodes[i].op) node_differentiate(&d, i);
    name_gradients(&d, with_inputs);
  } else {
    mynah__graph_note(g, MYNAH_NO_MEMORY);
  }
  mynah_free(d.is_needed);
  mynah_free(d.gradient);
  return mynah_graph_status(g);
}

mynah_status mynah_differentiate(mynah_graph *g, mynah_node loss) { return differentiate(g, loss, false); }
mynah_status mynah_differentiate_inputs(mynah_graph *g, mynah_node loss) { return differentiate(g, loss, true); }
