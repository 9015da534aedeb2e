/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policies `onnx` and `onnx-rnn`: a network trained elsewhere, described from its ONNX file each time a graph is
 * built; the second carries values from step to step. The policy file holds the network without its weights, and these
 * as all weights. */
#include "policy_internal.h"

#include <stdio.h>
#include <string.h>

#define POLICY_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_onnx_policy_config, type, field, name, value, low, high, unit, help)
static const mynah_key policy_keys[] = {MYNAH_ONNX_POLICY_KEYS(POLICY_ROW)};
const mynah_config_table mynah_onnx_policy_table = {
    "onnx policy", policy_keys, sizeof policy_keys / sizeof *policy_keys, sizeof(mynah_onnx_policy_config)};

/* ---- names
 * ---------------------------------------------------------------------------------------------------------------- */

bool mynah__onnx_pair(const char *list, const char *name, char rest[MYNAH_TEXT_MAX]) {
  size_t n = strlen(name);
  while (*list) {
    size_t length = strcspn(list, ",");
    while (length && *list == ' ') list++, length--;
    if (length > n + 1 && strncmp(list, name, n) == 0 && list[n] == ':') {
      snprintf(rest, MYNAH_TEXT_MAX, "%.*s", (int)(length - n - 1), list + n + 1);
      return true;
    }
    list += length + (list[length] == ',');
  }
  return false;
}

mynah_shape mynah__onnx_shape(const mynah_onnx_port *port) {
  mynah_shape s = port->shape;
  for (int k = 0; k < s.n_dims; k++)
    if (s.dims[k] < 1) s.dims[k] = 1;
  return s;
}

mynah_status mynah__onnx_action(const mynah_onnx *o, const char *wanted, const mynah_onnx_port **out) {
  const mynah_onnx_port *port, *only = NULL;
  int n = 0;
  for (; (port = mynah_onnx_output(o, n)); n++) {
    if (strcmp(port->name, wanted[0] ? wanted : "action") == 0) {
      *out = port;
      return MYNAH_OK;
    }
    only = port;
  }
  if (n != 1 || wanted[0])
    return mynah_fail(MYNAH_NOT_FOUND, "onnx: which of %d outputs is the action? Say output=NAME%s%.40s", n,
                      n ? ", the last is " : "", only ? only->name : "");
  *out = only;
  return MYNAH_OK;
}

/* ---- the network in the policy file
 * ------------------------------------------------------------------------------------------ */

mynah_status mynah__onnx_keep(mynah_policy *p, const mynah_onnx *o) {
  mynah_str bytes = {0}, text = {0};
  mynah_status status = mynah_onnx_strip(o, &bytes);
  if (status == MYNAH_OK) mynah_base64_encode(mynah_str_text(&bytes), bytes.length, &text);
  if (text.is_failed) status = MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) {
    mynah_json_destroy(p->network);
    p->network = mynah_json_object();
    mynah_json_set(p->network, "onnx", mynah_json_string(mynah_str_text(&text)));
  }
  mynah_str_deinit(&bytes);
  mynah_str_deinit(&text);
  return status;
}

static mynah_status parse_network(const mynah_policy *p, mynah_onnx **out) {
  mynah_str bytes = {0};
  const char *text = mynah_json_to_string(mynah_json_get(p->network, "onnx"), "");
  mynah_status status = mynah_base64_decode(text, &bytes);
  if (status == MYNAH_OK) status = mynah_onnx_parse(mynah_str_text(&bytes), bytes.length, out);
  mynah_str_deinit(&bytes);
  return status;
}

static mynah_status check(const mynah_policy *p) {
  mynah_onnx *o;
  if (!p->network)
    return mynah_fail(MYNAH_UNSUPPORTED,
                      "policy onnx: it is not trained here, but made by mynah import-model FILE.onnx");
  if (p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32)
    return mynah_fail(MYNAH_UNSUPPORTED, "policy onnx: actions that are classes are not known");
  MYNAH_TRY(parse_network(p, &o));
  mynah_onnx_destroy(o);
  return MYNAH_OK;
}

/* ---- graphs
 * --------------------------------------------------------------------------------------------------------------------
 */

/* Observation `index` as the network takes it. */
static mynah_status feed_feature(const mynah_policy *p, mynah_graph *g, int index, const mynah_onnx_port *port,
                                 mynah_onnx_feed *out) {
  mynah_node x = mynah__policy_observe(p, g, index, 1);
  mynah_shape s = mynah_node_shape(g, x), wanted = mynah__onnx_shape(port);
  *out = (mynah_onnx_feed){0};
  if (s.n_dims == 0) return mynah_graph_status(g);
  if (!p->inputs[index].is_image) {
    for (int k = 1; k < port->shape.n_dims; k++) /* free dimensions are the feature's */
      if (port->shape.dims[k] < 1) wanted.dims[k] = k == port->shape.n_dims - 1 ? s.dims[2] : s.dims[1];
    out->node = mynah_reshape(g, x, wanted.n_dims ? wanted : MYNAH_SHAPE(s.dims[2]));
    return mynah_graph_status(g);
  }
  out->is_channels_last = wanted.n_dims == 4 && port->shape.dims[1] == 3;
  if (wanted.n_dims == 5) {
    x = mynah_permute(g, x, (int[]){0, 3, 1, 2});
    x = mynah_reshape(g, x, MYNAH_SHAPE(1, s.dims[0], s.dims[3], s.dims[1], s.dims[2]));
  }
  out->node = x;
  return mynah_graph_status(g);
}

/* Feeds of all inputs; what is carried is an input "carry.K" of the graph. names: outputs to describe, the action's
 * first. */
typedef struct wiring {
  mynah_onnx_feed feeds[MYNAH__ONNX_PORTS_MAX];
  const char *names[MYNAH__ONNX_PORTS_MAX];
  char carried[MYNAH__ONNX_PORTS_MAX][MYNAH_TEXT_MAX];
  int n_names;
} wiring;

static mynah_status wire(const mynah_policy *p, const mynah_onnx *o, mynah_graph *g, wiring *w) {
  const mynah_onnx_policy_config *c = p->config;
  const mynah_onnx_port *port = NULL;
  char text[MYNAH_TEXT_MAX];
  MYNAH_TRY(mynah__onnx_action(o, c->output, &port));
  w->names[0] = port->name;
  w->n_names = 1;
  for (int i = 0; (port = mynah_onnx_input(o, i)); i++) {
    if (i >= MYNAH__ONNX_PORTS_MAX - 1)
      return mynah_fail(MYNAH_LIMIT, "onnx: over %d inputs", MYNAH__ONNX_PORTS_MAX - 1);
    if (mynah__onnx_pair(c->carry, port->name, text)) {
      char name[32];
      snprintf(name, sizeof name, "carry.%d", w->n_names);
      mynah_shape s = mynah__onnx_shape(port);
      w->feeds[i] = (mynah_onnx_feed){mynah_input(g, name, MYNAH_F32, s.n_dims ? s : MYNAH_SHAPE(1)), false};
      memcpy(w->carried[w->n_names], text, sizeof text);
      w->names[w->n_names] = w->carried[w->n_names];
      w->n_names++;
      continue;
    }
    const char *feature = mynah__onnx_pair(c->map, port->name, text) ? text : port->name;
    int index = mynah_feature_find(p->inputs, p->n_inputs, feature);
    if (index < 0) return mynah_fail(MYNAH_NOT_FOUND, "onnx: input '%.64s' is no feature of the policy", port->name);
    MYNAH_TRY(feed_feature(p, g, index, port, &w->feeds[i]));
  }
  return MYNAH_OK;
}

mynah_status mynah__onnx_build(const mynah_policy *p, mynah_onnx *o, mynah_graph *g) {
  wiring w = {0};
  mynah_node nodes[MYNAH__ONNX_PORTS_MAX];
  int64_t size = mynah_feature_size(&p->action);
  MYNAH_TRY(wire(p, o, g, &w));
  MYNAH_TRY(mynah_onnx_lower(o, g, w.feeds, w.names, w.n_names, nodes));
  if (mynah_shape_size(mynah_node_shape(g, nodes[0])) != p->common.chunk * size)
    return mynah_fail(MYNAH_MISMATCH, "onnx: output '%.64s' does not have %lld x %lld numbers", w.names[0],
                      (long long)p->common.chunk, (long long)size);
  mynah_output(g, "action",
               mynah__policy_restore_action(p, g, mynah_reshape(g, nodes[0], MYNAH_SHAPE(p->common.chunk, size))));
  for (int k = 1; k < w.n_names; k++) {
    char name[32];
    snprintf(name, sizeof name, "carry.%d", k);
    mynah_output(g, name, nodes[k]);
  }
  return mynah_graph_status(g);
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  mynah_onnx *o;
  (void)which;
  MYNAH_TRY(parse_network(p, &o));
  mynah_status status = mynah__onnx_build(p, o, g);
  mynah_onnx_destroy(o);
  return status;
}

/* Names the weights; a network from elsewhere, whose batch is 1, is not trained. */
static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  if (batch != 1) return mynah_fail(MYNAH_UNSUPPORTED, "policy onnx: it is not trained here");
  *loss = mynah_fill(g, MYNAH_SHAPE(1), 0);
  return build_act(p, 0, g);
}

/* ---- acting
 * -------------------------------------------------------------------------------------------------------------------
 */

/* Memory and size of what is carried; false: there is no k-th. */
static bool carried(mynah_state *s, int k, float **in, const float **out, size_t *bytes) {
  char name[32];
  snprintf(name, sizeof name, "carry.%d", k);
  *in = mynah_state_input(s, name);
  *out = mynah_state_output(s, name);
  *bytes = mynah_state_output_bytes(s, name);
  return *out != NULL;
}

static void reset(const mynah_policy *p, mynah_state *const *states) {
  float *in;
  const float *out;
  size_t bytes;
  for (int k = 1; carried(states[0], k, &in, &out, &bytes); k++)
    if (in) memset(in, 0, bytes);
}

static void predict(const mynah_policy *p, const mynah_prediction *r) {
  float *in;
  const float *out;
  size_t bytes;
  mynah_state_run(r->states[0]);
  memcpy(r->chunk, mynah_state_output(r->states[0], "action"),
         (size_t)(p->common.chunk * mynah_feature_size(&p->action)) * sizeof(float));
  for (int k = 1; carried(r->states[0], k, &in, &out, &bytes); k++)
    if (in) memcpy(in, out, bytes);
}

const mynah_policy_type mynah__policy_onnx = {
    .name = "onnx",
    .summary = "a network trained elsewhere, from an ONNX file: see import-model",
    .config = &mynah_onnx_policy_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = 1,
    .build_act = build_act,
    .predict = predict,
};

const mynah_policy_type mynah__policy_onnx_rnn = {
    .name = "onnx-rnn",
    .summary = "the same with a state that is carried from step to step",
    .config = &mynah_onnx_policy_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = 1,
    .build_act = build_act,
    .predict = predict,
    .reset = reset,
};
