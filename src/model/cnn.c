/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolution layers and the picture encoder of end-to-end driving. */
#include "model_internal.h"

#include <stdio.h>

mynah_node mynah_model_conv(mynah_graph *g, const char *prefix, mynah_node x, const mynah_model_conv_config *config) {
  char weight[MYNAH_NAME_MAX], bias[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4) return mynah_graph_fail(g, "%s: a convolution takes (B,H,W,C)", prefix);
  if (!mynah__model_name(g, weight, prefix, "weight") || !mynah__model_name(g, bias, prefix, "bias"))
    return MYNAH_NO_NODE;
  int64_t n_in = s.dims[3], k = config->kernel;
  mynah_init init = mynah__model_init_fan_in(n_in * k * k);
  mynah_node w = mynah_weight(g, weight, MYNAH_SHAPE(config->n_out, n_in, k, k), init);
  mynah_node b = mynah_weight(g, bias, MYNAH_SHAPE(config->n_out), init);
  int pad = config->is_padded ? config->kernel / 2 : 0;
  mynah_conv conv = {.stride = {config->stride, config->stride}, .pad = {pad, pad, pad, pad}};
  return mynah_conv2d(g, x, w, b, &conv);
}

mynah_node mynah_model_cnn(mynah_graph *g, const char *prefix, mynah_node x, const mynah_cnn_config *config) {
  for (int i = 0; i < config->n_layers; i++) {
    char name[MYNAH_NAME_MAX], number[16];
    snprintf(number, sizeof number, "%d", i);
    if (!mynah__model_name(g, name, prefix, number)) return MYNAH_NO_NODE;
    mynah_shape s = mynah_node_shape(g, x);
    int64_t k = config->kernels[i];
    if (s.n_dims == 4 && (s.dims[1] < k || s.dims[2] < k))
      return mynah_graph_fail(g, "%s: the picture has shrunk to %lld x %lld, smaller than the %lld x %lld kernel", name,
                              (long long)s.dims[2], (long long)s.dims[1], (long long)k, (long long)k);
    mynah_model_conv_config conv = {config->filters[i], (int)k, (int)config->strides[i], false};
    x = mynah_unary(g, config->activation, mynah_model_conv(g, name, x, &conv));
  }
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4 || config->is_map) return x;
  return mynah_reshape(g, x, MYNAH_SHAPE(s.dims[0], s.dims[1] * s.dims[2] * s.dims[3]));
}
