/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000), step by step. */
#include "model_internal.h"

#include <stdio.h>

#define MAX_STEPS 1024

/* i, f, o = sigmoid(…), g = tanh(…): four rows of blocks of W_ih x + b_ih + W_hh h + b_hh;
 * c' = f c + i g, h' = o tanh(c') (torch.nn.LSTM). */
mynah_node mynah_model_lstm_step(mynah_graph *g, mynah_node x, const mynah_lstm_weights *w, mynah_node *h, mynah_node *c) {
  mynah_shape s = mynah_node_shape(g, *h);
  if (s.n_dims != 2) return mynah_graph_fail(g, "lstm: the state must be (B,H)");
  int64_t n = s.dims[1];
  mynah_node sum = mynah_add(g, mynah_linear(g, x, w->ih, w->bias_ih), mynah_linear(g, *h, w->hh, w->bias_hh));
  mynah_node keep = mynah_sigmoid(g, mynah_slice(g, sum, -1, 0, 2 * n));
  mynah_node candidate = mynah_tanh(g, mynah_slice(g, sum, -1, 2 * n, n));
  mynah_node out = mynah_sigmoid(g, mynah_slice(g, sum, -1, 3 * n, n));
  mynah_node kept = mynah_mul(g, mynah_slice(g, keep, -1, n, n), *c);
  *c = mynah_add(g, kept, mynah_mul(g, mynah_slice(g, keep, -1, 0, n), candidate));
  *h = mynah_mul(g, out, mynah_tanh(g, *c));
  return *h;
}

/* PyTorch draws all of an LSTM from U(-1/sqrt(H), 1/sqrt(H)). */
static mynah_node weight(mynah_graph *g, const char *prefix, const char *kind, int layer, mynah_shape shape) {
  char name[MYNAH_NAME_MAX], suffix[32];
  snprintf(suffix, sizeof suffix, "%s_l%d", kind, layer);
  if (!mynah__model_name(g, name, prefix, suffix)) return MYNAH_NO_NODE;
  return mynah_weight(g, name, shape, mynah__model_init_fan_in(shape.dims[0] / 4));
}

mynah_node mynah_model_lstm(mynah_graph *g, const char *prefix, mynah_node x, const mynah_lstm_config *config,
                            mynah_lstm_state *state) {
  mynah_shape s = mynah_node_shape(g, x);
  mynah_lstm_weights layers[MYNAH_LSTM_LAYERS_MAX];
  mynah_node tops[MAX_STEPS];
  int64_t n = config->hidden;
  if (s.n_dims != 3 || s.dims[1] > MAX_STEPS || config->n_layers < 1 || config->n_layers > MYNAH_LSTM_LAYERS_MAX)
    return mynah_graph_fail(g, "lstm: takes (B,T,in) with T up to %d, and 1 … %d layers", MAX_STEPS, MYNAH_LSTM_LAYERS_MAX);
  for (int k = 0; k < config->n_layers; k++)
    layers[k] = (mynah_lstm_weights){weight(g, prefix, "weight_ih", k, MYNAH_SHAPE(4 * n, k == 0 ? s.dims[2] : n)),
                                     weight(g, prefix, "weight_hh", k, MYNAH_SHAPE(4 * n, n)),
                                     weight(g, prefix, "bias_ih", k, MYNAH_SHAPE(4 * n)),
                                     weight(g, prefix, "bias_hh", k, MYNAH_SHAPE(4 * n))};
  for (int64_t t = 0; t < s.dims[1]; t++) {
    mynah_node h = mynah_reshape(g, mynah_slice(g, x, 1, t, 1), MYNAH_SHAPE(s.dims[0], s.dims[2]));
    for (int k = 0; k < config->n_layers; k++)
      h = mynah_model_lstm_step(g, h, &layers[k], &state->h[k], &state->c[k]);
    tops[t] = mynah_reshape(g, h, MYNAH_SHAPE(s.dims[0], 1, n));
  }
  return mynah_concat(g, tops, (int)s.dims[1], 1);
}
