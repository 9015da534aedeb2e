/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Describing a network on a graph: which nodes are needed, and each by its operation's function. */
#include "onnx_internal.h"

#include <stdio.h>
#include <string.h>

static const mynah__onnx_op *find_op(const char *name) {
  const mynah__onnx_op *const tables[] = {mynah__onnx_math_ops, mynah__onnx_move_ops, mynah__onnx_network_ops,
                                          mynah__onnx_resample_ops, mynah__onnx_sequence_ops};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    for (const mynah__onnx_op *op = tables[i]; op->name; op++)
      if (strcmp(op->name, name) == 0) return op;
  return NULL;
}

/* ---- which nodes are needed
 * ----------------------------------------------------------------------------------------------- */

/* Marks, from the wanted values backwards; nodes lie in the order of computing, so one pass from the last on is enough.
 */
static mynah_status mark(const mynah_onnx *o, const char *const *names, int n_names, bool *is_wanted, bool *is_needed) {
  for (int i = 0; i < n_names; i++) {
    int value = mynah__onnx_find(o, names[i]);
    if (value < 0) return mynah_fail(MYNAH_NOT_FOUND, "onnx: the network has no value '%.64s'", names[i]);
    is_wanted[value] = true;
  }
  for (size_t k = o->n_nodes; k-- > 0;) {
    const mynah__onnx_node *n = &o->nodes[k];
    const int *in = o->links + n->first_in, *out = in + n->n_in;
    for (size_t i = 0; i < n->n_out; i++) is_needed[k] = is_needed[k] || (out[i] >= 0 && is_wanted[out[i]]);
    for (size_t i = 0; is_needed[k] && i < n->n_in; i++)
      if (in[i] >= 0) is_wanted[in[i]] = true;
  }
  return MYNAH_OK;
}

/* ---- beginning
 * ------------------------------------------------------------------------------------------------------------- */

static mynah_status feed(mynah__lowering *l, const mynah_onnx_port *port, const mynah_onnx_feed *given) {
  int value = mynah__onnx_find(l->o, port->name);
  if (value < 0 || mynah_node_is_null(given->node)) return MYNAH_OK;
  mynah_shape physical = mynah_node_shape(l->g, given->node), shape = physical;
  mynah__value v = {.shape = physical,
                    .is_set = true,
                    .is_whole = !port->is_real,
                    .node = given->node,
                    .tensor = -1,
                    .logistic_of = -1};
  for (int k = 0; k < physical.n_dims; k++) v.order[k] = k;
  if (given->is_channels_last) mynah__channels_last(physical.n_dims, v.order);
  for (int k = 0; k < physical.n_dims; k++) shape.dims[v.order[k]] = physical.dims[k];
  v.shape = shape;
  bool fits = port->shape.n_dims == shape.n_dims || port->shape.n_dims == 0;
  for (int k = 0; fits && k < port->shape.n_dims; k++)
    fits = port->shape.dims[k] < 0 || port->shape.dims[k] == shape.dims[k];
  if (!fits) return mynah_fail(MYNAH_MISMATCH, "onnx: input '%.64s' is of another shape than what is fed", port->name);
  l->values[value] = v;
  return MYNAH_OK;
}

static mynah_status begin(mynah__lowering *l, const mynah_onnx_feed *feeds) {
  for (size_t i = 0; i < l->o->n_values; i++) {
    int maker = l->o->values[i].maker;
    mynah__value *v = &l->values[i];
    *v = (mynah__value){.tensor = -1, .logistic_of = -1};
    if (maker >= -1) continue;
    const mynah__onnx_tensor *t = &l->o->tensors[-2 - maker];
    *v = (mynah__value){
        .shape = t->shape, .is_set = true, .is_whole = !t->is_real, .tensor = -2 - maker, .logistic_of = -1};
  }
  for (size_t i = 0; i < l->o->n_inputs; i++) MYNAH_TRY(feed(l, &l->o->inputs[i], &feeds[i]));
  return MYNAH_OK;
}

/* ---- nodes
 * ------------------------------------------------------------------------------------------------------------------ */

static mynah_status check_inputs(const mynah__lowering *l) {
  for (size_t k = 0; k < l->node->n_in; k++) {
    const mynah__value *v = mynah__in(l, k);
    if (v && !v->is_set)
      return mynah_fail(MYNAH_CORRUPT, "input '%.64s' comes from nowhere", l->o->values[mynah__in_index(l, k)].name);
  }
  return MYNAH_OK;
}

static mynah_status lower_node(mynah__lowering *l) {
  const mynah__onnx_node *n = l->node;
  const char *op_name = n->op ? n->op : "", *domain = n->domain ? n->domain : "";
  bool is_standard = !domain[0] || strcmp(domain, "ai.onnx") == 0;
  const mynah__onnx_op *op = is_standard ? find_op(op_name) : NULL;
  if (!op)
    return mynah_fail(MYNAH_UNSUPPORTED, "the operation %.64s%s%.64s is not known here", domain, domain[0] ? "." : "",
                      op_name);
  MYNAH_TRY(check_inputs(l));
  MYNAH_TRY(op->fn(l));
  MYNAH_TRY(mynah_graph_status(l->g));
  return MYNAH_OK;
}

static mynah_status name_node(const mynah__lowering *l, mynah_status status) {
  const mynah__onnx_node *n = l->node;
  const char *out = mynah__out_index(l, 0) >= 0 ? l->o->values[mynah__out_index(l, 0)].name : "";
  return mynah_error_context(status, "onnx: node '%.96s' (%.64s)", n->name && n->name[0] ? n->name : out,
                             n->op ? n->op : "");
}

static mynah_status run(mynah__lowering *l, const bool *is_needed) {
  for (size_t k = 0; k < l->o->n_nodes; k++) {
    if (!is_needed[k]) continue;
    l->node = &l->o->nodes[k];
    mynah_status status = lower_node(l);
    if (status != MYNAH_OK) return name_node(l, status);
  }
  return MYNAH_OK;
}

static mynah_status lower(mynah__lowering *l, const mynah_onnx_feed *feeds, const char *const *names, int n_names,
                          mynah_node *nodes) {
  mynah_onnx *o = l->o;
  bool *is_wanted = mynah_calloc(o->n_values + 1, sizeof *is_wanted),
       *is_needed = mynah_calloc(o->n_nodes + 1, sizeof *is_needed);
  mynah_status status = is_wanted && is_needed ? mark(o, names, n_names, is_wanted, is_needed) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) status = begin(l, feeds);
  if (status == MYNAH_OK) status = run(l, is_needed);
  mynah_free(is_wanted);
  mynah_free(is_needed);
  MYNAH_TRY(status);
  for (int i = 0; i < n_names; i++) {
    mynah__value *v = &l->values[mynah__onnx_find(o, names[i])];
    if (!v->is_set) return mynah_fail(MYNAH_NOT_FOUND, "onnx: nothing makes '%.64s'", names[i]);
    nodes[i] = mynah__arranged(l, v, NULL);
  }
  return mynah_graph_status(l->g);
}

mynah_status mynah_onnx_lower(mynah_onnx *o, mynah_graph *g, const mynah_onnx_feed *feeds, const char *const *names,
                              int n_names, mynah_node *nodes) {
  mynah__lowering l = {.o = o, .g = g};
  l.values = mynah_calloc(o->n_values + 1, sizeof *l.values);
  mynah_status status = l.values ? lower(&l, feeds, names, n_names, nodes) : MYNAH_NO_MEMORY;
  for (size_t i = 0; i < l.n_owned; i++) mynah_free(l.owned[i]);
  mynah_free(l.owned);
  mynah_free(l.values);
  return status;
}
