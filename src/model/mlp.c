/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linear layers, layer norm, plain and residual multi-layer perceptrons. */
#include "model_internal.h"

#include <stdio.h>

static mynah_node linear(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out, bool is_zero) {
  char weight[MYNAH_NAME_MAX], bias[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims == 0 || !mynah__model_name(g, weight, prefix, "weight") ||
      !mynah__model_name(g, bias, prefix, "bias"))
    return MYNAH_NO_NODE;
  int64_t n_in = s.dims[s.n_dims - 1];
  mynah_init init = is_zero ? (mynah_init){MYNAH_INIT_ZERO, 0} : mynah__model_init_fan_in(n_in);
  mynah_node w = mynah_weight(g, weight, MYNAH_SHAPE(n_out, n_in), init);
  mynah_node b = mynah_weight(g, bias, MYNAH_SHAPE(n_out), init);
  return mynah_linear(g, x, w, b);
}

mynah_node mynah_model_linear(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out) {
  return linear(g, prefix, x, n_out, false);
}

mynah_node mynah_model_linear_zero(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out) {
  return linear(g, prefix, x, n_out, true);
}

mynah_node mynah_model_layer_norm(mynah_graph *g, const char *prefix, mynah_node x) {
  char weight[MYNAH_NAME_MAX], bias[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims == 0 || !mynah__model_name(g, weight, prefix, "weight") ||
      !mynah__model_name(g, bias, prefix, "bias"))
    return MYNAH_NO_NODE;
  int64_t n = s.dims[s.n_dims - 1];
  mynah_node gamma = mynah_weight(g, weight, MYNAH_SHAPE(n), (mynah_init){MYNAH_INIT_CONSTANT, 1});
  mynah_node beta = mynah_weight(g, bias, MYNAH_SHAPE(n), (mynah_init){MYNAH_INIT_ZERO, 0});
  return mynah_layer_norm(g, x, gamma, beta, 1e-5f);
}

mynah_node mynah_model_mlp(mynah_graph *g, const char *prefix, mynah_node x, const mynah_mlp_config *config) {
  for (int i = 0; i < config->n_layers; i++) {
    char name[MYNAH_NAME_MAX], number[16];
    snprintf(number, sizeof number, "%d", i);
    if (!mynah__model_name(g, name, prefix, number)) return MYNAH_NO_NODE;
    x = mynah_unary(g, config->activation, mynah_model_linear(g, name, x, config->widths[i]));
    if (config->dropout > 0) x = mynah_dropout(g, x, config->dropout);
  }
  return x;
}

/* h + Linear0(silu(Linear(LayerNorm(h)))): pre-norm residual branch. h (B,width) -> (B,width) */
static mynah_node residual_block(mynah_graph *g, const char *prefix, mynah_node h,
                                 const mynah_residual_config *config) {
  char norm[MYNAH_NAME_MAX], up[MYNAH_NAME_MAX], down[MYNAH_NAME_MAX];
  if (!mynah__model_name(g, norm, prefix, "norm") || !mynah__model_name(g, up, prefix, "up") ||
      !mynah__model_name(g, down, prefix, "down"))
    return MYNAH_NO_NODE;
  mynah_node branch = mynah_model_layer_norm(g, norm, h);
  branch = mynah_silu(g, mynah_model_linear(g, up, branch, config->hidden));
  if (config->dropout > 0) branch = mynah_dropout(g, branch, config->dropout);
  branch = mynah_model_linear_zero(g, down, branch, config->width);
  return mynah_add(g, branch, h);
}

mynah_node mynah_model_residual(mynah_graph *g, const char *prefix, mynah_node x,
                                const mynah_residual_config *config) {
  char name[MYNAH_NAME_MAX];
  if (!mynah__model_name(g, name, prefix, "in")) return MYNAH_NO_NODE;
  mynah_node h = mynah_model_linear(g, name, x, config->width);
  if (!mynah_node_is_null(config->condition)) h = mynah_add(g, h, config->condition);
  for (int i = 0; i < config->n_blocks; i++) {
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    if (!mynah__model_name(g, name, prefix, number)) return MYNAH_NO_NODE;
    h = residual_block(g, name, h, config);
  }
  if (!mynah__model_name(g, name, prefix, "norm")) return MYNAH_NO_NODE;
  return mynah_model_layer_norm(g, name, h);
}
