/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `rnn`: an LSTM over the steps of an episode, a head that predicts a chunk of actions at each of them, trained
 * on sequences (BC-RNN of Mandlekar et al. 2021, "What Matters in Learning from Offline Human Demonstrations"). */
#include "policy_internal.h"

#include <mynah/model.h>

#include <stdio.h>
#include <string.h>

#define RNN_KEYS(K)                                                                                \
  K(INT, sequence, "sequence", 10, 1, 512, "steps", "steps of a training sequence")                \
  K(INT, hidden, "hidden", 400, 1, 65536, "", "width of the LSTM")                                 \
  K(INT, layers, "layers", 2, 1, MYNAH_LSTM_LAYERS_MAX, "", "its layers")                          \
  K(INT, carry, "carry", 0, 0, 1000000, "steps", "acting: the state is forgotten after so many steps; 0: after `sequence`, as in training")

typedef struct rnn_config {
#define RNN_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  RNN_KEYS(RNN_FIELD)
  mynah__encoder encoder;
  mynah__head head;
} rnn_config;
#define RNN_ROW(type, field, name, value, low, high, unit, help)                                   \
  MYNAH_KEY_OF(rnn_config, type, field, name, value, low, high, unit, help)
#define HEAD_ROW(type, field, name, value, low, high, unit, help)                                  \
  MYNAH_KEY_OF(rnn_config, type, head.field, name, value, low, high, unit, help)
#define ENCODER_ROW(type, field, name, value, low, high, unit, help)                               \
  MYNAH_KEY_OF(rnn_config, type, encoder.field, name, value, low, high, unit, help)
static const mynah_key rnn_keys[] = {MYNAH__ENCODER_KEYS(ENCODER_ROW) RNN_KEYS(RNN_ROW) MYNAH__HEAD_KEYS(HEAD_ROW)};
static const mynah_config_table rnn_table = {"rnn policy", rnn_keys, sizeof rnn_keys / sizeof *rnn_keys,
                                             sizeof(rnn_config)};

/* h and c of all layers, and the number of steps they have seen. */
static int64_t state_size(const rnn_config *c) { return 2 * c->layers * c->hidden + 1; }

static mynah_status check(const mynah_policy *p) {
  const rnn_config *c = p->config;
  MYNAH_TRY(mynah__encoder_check(&c->encoder));
  if (p->common.n_obs != 1)
    return mynah_fail(MYNAH_INVALID, "n_obs=%lld: rnn remembers by itself: n_obs=1", (long long)p->common.n_obs);
  if (c->head.kind == MYNAH__HEAD_CATEGORICAL)
    return mynah_fail(MYNAH_UNSUPPORTED, "head=categorical: rnn predicts real numbers; use policy mlp");
  return mynah__head_check(p, &c->head);
}

/* Observations of `sequence` steps, and every action that one of their chunks reaches. */
static void fit_window(const mynah_policy *p, mynah_window *w) {
  const rnn_config *c = p->config;
  bool is_action = strcmp(w->feature, "action") == 0;
  w->first = 0;
  w->count = (int)(is_action ? c->sequence + p->common.chunk - 1 : c->sequence);
}

/* ---- graphs -------------------------------------------------------------------------------------------------------- */

/* Observations of n steps through the LSTM and the head's layer -> (B*n,head size) */
static mynah_node build_steps(const mynah_policy *p, mynah_graph *g, int64_t batch, int64_t n, mynah_lstm_state *state) {
  const rnn_config *c = p->config;
  mynah_node parts[MYNAH_POLICY_INPUTS_MAX];
  for (int i = 0; i < p->n_inputs; i++) {
    char prefix[32];
    snprintf(prefix, sizeof prefix, "encoder.%d", i);
    mynah__encoding x = {mynah__policy_observe_frames(p, g, i, batch, n), prefix, batch * n};
    parts[i] = mynah_reshape(g, mynah__encode(p, &c->encoder, g, i, x), MYNAH_SHAPE(batch, n, -1));
  }
  mynah_node x = p->n_inputs == 1 ? parts[0] : mynah_concat(g, parts, p->n_inputs, -1);
  x = mynah_model_lstm(g, "lstm", x, &(mynah_lstm_config){c->hidden, (int)c->layers}, state);
  x = mynah_reshape(g, x, MYNAH_SHAPE(batch * n, c->hidden));
  return mynah_model_linear(g, "head", x, mynah__head_size(p, &c->head));
}

/* Windows of `chunk` steps beginning at each of `sequence`: x (B,sequence+chunk-1,D) -> (B*sequence,chunk*D) */
static mynah_node chunks_of(const mynah_policy *p, mynah_graph *g, mynah_node x) {
  const rnn_config *c = p->config;
  mynah_shape s = mynah_node_shape(g, x);
  mynah_node rows[512]; /* as many as `sequence` may be */
  if (s.n_dims != 3) return MYNAH_NO_NODE;
  int64_t chunk = p->common.chunk;
  for (int64_t t = 0; t < c->sequence && chunk > 1; t++)
    rows[t] = mynah_reshape(g, mynah_slice(g, x, 1, t, chunk), MYNAH_SHAPE(s.dims[0], 1, chunk * s.dims[2]));
  if (chunk > 1) x = mynah_concat(g, rows, (int)c->sequence, 1);
  return mynah_reshape(g, x, MYNAH_SHAPE(s.dims[0] * c->sequence, chunk * s.dims[2]));
}

static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const rnn_config *c = p->config;
  int64_t n = c->sequence + p->common.chunk - 1, size = mynah_feature_size(&p->action);
  mynah_lstm_state state;
  for (int k = 0; k < c->layers; k++) state.h[k] = state.c[k] = mynah_fill(g, MYNAH_SHAPE(batch, c->hidden), 0);
  mynah_node target = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, n, size));
  mynah__head_target judged = {chunks_of(p, g, mynah__policy_normalize_action(p, g, target)), MYNAH_NO_NODE};
  if (p->common.is_masked) judged.mask = chunks_of(p, g, mynah__policy_mask(p, g, batch, n));
  *loss = mynah__head_loss(p, &c->head, g, build_steps(p, g, batch, c->sequence, &state), &judged);
  return mynah_graph_status(g);
}

/* One step; the input and the output "state" are h, c and a count of steps. */
static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  (void)which;
  const rnn_config *c = p->config;
  mynah_node all = mynah_input(g, "state", MYNAH_F32, MYNAH_SHAPE(1, state_size(c)));
  mynah_node parts[2 * MYNAH_LSTM_LAYERS_MAX + 1];
  int n = (int)c->layers;
  mynah_lstm_state state;
  for (int k = 0; k < n; k++) {
    state.h[k] = mynah_slice(g, all, -1, k * c->hidden, c->hidden);
    state.c[k] = mynah_slice(g, all, -1, (n + k) * c->hidden, c->hidden);
  }
  mynah_node out = build_steps(p, g, 1, 1, &state);
  for (int k = 0; k < n; k++) {
    parts[k] = state.h[k];
    parts[n + k] = state.c[k];
  }
  parts[2 * n] = mynah_affine(g, mynah_slice(g, all, -1, 2 * n * c->hidden, 1), 1, 1);
  mynah_output(g, "state", mynah_concat(g, parts, 2 * n + 1, -1));
  mynah_output(g, "hidden", state.h[n - 1]);
  mynah__head_outputs(p, &c->head, g, &out, 1);
  return mynah_graph_status(g);
}

/* ---- acting -------------------------------------------------------------------------------------------------------- */

static void reset(const mynah_policy *p, mynah_state *const *states) {
  const rnn_config *c = p->config;
  memset(mynah_state_input(states[0], "state"), 0, (size_t)state_size(c) * sizeof(float));
}

static void predict(const mynah_policy *p, const mynah_prediction *prediction) {
  const rnn_config *c = p->config;
  int64_t n = state_size(c), carry = c->carry > 0 ? c->carry : c->sequence;
  float *state = mynah_state_input(prediction->states[0], "state");
  if (state[n - 1] >= (float)carry) memset(state, 0, (size_t)n * sizeof(float));
  mynah_state_run(prediction->states[0]);
  memcpy(state, mynah_state_output(prediction->states[0], "state"), (size_t)n * sizeof(float));
  mynah__head_choose(p, &c->head, 1, prediction);
}

const mynah_policy_type mynah__policy_rnn = {
    .name = "rnn",
    .summary = "an LSTM that remembers the episode, trained on sequences, with the heads of mlp",
    .config = &rnn_table,
    .check = check,
    .build_train = build_train,
    .fit_window = fit_window,
    .n_act_graphs = 1,
    .build_act = build_act,
    .hidden = "hidden",
    .predict = predict,
    .reset = reset,
};
