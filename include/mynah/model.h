/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Network blocks: functions that add layers to a graph. Weights are named under the given prefix.
 *
 * Threads: as the graph's. Fails: through the graph's sticky error; a null node comes back.
 * Initial values are PyTorch's defaults unless said: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases. */
#ifndef MYNAH_MODEL_H
#define MYNAH_MODEL_H

#include <mynah/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* PREFIX.weight (out,in), PREFIX.bias (out). x (…,in) -> (…,out) */
MYNAH_API mynah_node mynah_model_linear(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out);
/* The same, starting at zero: a residual branch that begins as the identity. */
MYNAH_API mynah_node mynah_model_linear_zero(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out);
/* PREFIX.weight, PREFIX.bias (C), eps 1e-5. */
MYNAH_API mynah_node mynah_model_layer_norm(mynah_graph *g, const char *prefix, mynah_node x);
/* PREFIX.weight (out,in,kernel,kernel), PREFIX.bias (out); padding "same" for odd kernels when is_padded, else none.
 * x (B,H,W,in) -> (B,H',W',out) */
typedef struct mynah_model_conv_config {
  int64_t n_out;
  int kernel, stride;
  bool is_padded;
} mynah_model_conv_config;
MYNAH_API mynah_node mynah_model_conv(mynah_graph *g, const char *prefix, mynah_node x,
                                      const mynah_model_conv_config *config);

/* A stack of linear layers with an activation after each: PREFIX.0, PREFIX.1, … x (B,in) -> (B,widths[n-1]) */
typedef struct mynah_mlp_config {
  const int64_t *widths;
  int n_layers;
  const char *activation; /* a unary function's name */
  float dropout;          /* after each activation; 0: none */
} mynah_mlp_config;
MYNAH_API mynah_node mynah_model_mlp(mynah_graph *g, const char *prefix, mynah_node x, const mynah_mlp_config *config);

/* Residual trunk: h = Linear(x); n_blocks times h += Linear0(silu(Linear(LayerNorm(h)))); LayerNorm(h).
 * Linear0 starts at zero. x (B,in) -> (B,width) */
typedef struct mynah_residual_config {
  int64_t width, hidden;
  int n_blocks;
  float dropout;        /* inside each branch */
  mynah_node condition; /* added to the stream after the first layer, (B,width); null: nothing */
} mynah_residual_config;
MYNAH_API mynah_node mynah_model_residual(mynah_graph *g, const char *prefix, mynah_node x,
                                          const mynah_residual_config *config);

/* Convolutions without padding, an activation after each, flattened: the encoder of DAVE-2 (Bojarski et al. 2016, fig. 4)
 * and its donkeycar relatives. x (B,H,W,3) -> (B,features) */
typedef struct mynah_cnn_config {
  const int64_t *filters, *kernels, *strides;
  int n_layers;
  const char *activation;
} mynah_cnn_config;
MYNAH_API mynah_node mynah_model_cnn(mynah_graph *g, const char *prefix, mynah_node x, const mynah_cnn_config *config);

/* A long short-term memory, PyTorch's names and layout: PREFIX.weight_ih_lK (4H,in), PREFIX.weight_hh_lK (4H,H), two
 * biases (4H) for layer K; rows are the gates i, f, g, o. h, c: one node (B,H) a layer, the state before and, on return,
 * after. x (B,T,in) -> (B,T,H) */
typedef struct mynah_lstm_config {
  int64_t hidden;
  int n_layers;
} mynah_lstm_config;
#define MYNAH_LSTM_LAYERS_MAX 8
typedef struct mynah_lstm_state {
  mynah_node h[MYNAH_LSTM_LAYERS_MAX], c[MYNAH_LSTM_LAYERS_MAX];
} mynah_lstm_state;
MYNAH_API mynah_node mynah_model_lstm(mynah_graph *g, const char *prefix, mynah_node x, const mynah_lstm_config *config,
                                      mynah_lstm_state *state);
/* One layer, one step, with weights that are any nodes. x (B,in), h, c (B,H): changed -> the new h */
typedef struct mynah_lstm_weights {
  mynah_node ih, hh, bias_ih, bias_hh;
} mynah_lstm_weights;
MYNAH_API mynah_node mynah_model_lstm_step(mynah_graph *g, mynah_node x, const mynah_lstm_weights *weights, mynah_node *h,
                                           mynah_node *c);

#ifdef __cplusplus
}
#endif
#endif
