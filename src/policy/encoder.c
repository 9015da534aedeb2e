/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Observations to features: layers for vectors, convolutions for pictures. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <stdio.h>

static const char *const activations[] = {"relu", "silu", "tanh", "elu", "gelu"};

const char *mynah__encoder_activation(const mynah__encoder *e) { return activations[e->activation]; }

mynah_status mynah__encoder_check(const mynah__encoder *e) {
  int64_t list[MYNAH__LAYERS_MAX];
  size_t n[3];
  const char *const cnn[3] = {e->filters, e->kernels, e->strides};
  for (int i = 0; i < 3; i++)
    if (mynah_parse_ints(cnn[i], list, MYNAH__LAYERS_MAX, &n[i]) != MYNAH_OK)
      return mynah_error_context(MYNAH_INVALID, "cnn.filters, cnn.kernels, cnn.strides");
  if (n[0] != n[1] || n[0] != n[2])
    return mynah_fail(MYNAH_INVALID, "cnn.filters, cnn.kernels and cnn.strides must have the same number of layers");
  if (e->widths[0] && mynah_parse_ints(e->widths, list, MYNAH__LAYERS_MAX, &n[0]) != MYNAH_OK)
    return mynah_error_context(MYNAH_INVALID, "encoder.widths");
  return MYNAH_OK;
}

/* (B*n_obs,H,W,3) -> (B,H,W,3*n_obs): the present frame last, before it what has changed since each earlier one. */
static mynah_node stack_frames(mynah_graph *g, mynah_node x, int64_t n_obs, int64_t batch) {
  mynah_node frames[64]; /* as many as n_obs may be */
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4) return MYNAH_NO_NODE;
  x = mynah_reshape(g, x, MYNAH_SHAPE(batch, n_obs, s.dims[1], s.dims[2], 3));
  for (int64_t t = 0; t < n_obs; t++)
    frames[t] = mynah_reshape(g, mynah_slice(g, x, 1, t, 1), MYNAH_SHAPE(batch, s.dims[1], s.dims[2], 3));
  for (int64_t t = 0; t + 1 < n_obs; t++) frames[t] = mynah_sub(g, frames[n_obs - 1], frames[t]);
  return mynah_concat(g, frames, (int)n_obs, -1);
}

int mynah__resnet_layers(int64_t choice) {
  static const int layers[] = {18, 34, 50};
  return layers[choice];
}

/* ResNet, 1x1 convolution to key_points maps, their soft-max points, a layer and relu (Chi et al. 2023, sec. IV-B).
 * -> (B*n_obs, 2*key_points) */
static mynah_node find_points(const mynah__encoder *e, mynah_graph *g, const mynah__encoding *x) {
  char backbone[MYNAH_NAME_MAX], maps[MYNAH_NAME_MAX], out[MYNAH_NAME_MAX];
  snprintf(backbone, sizeof backbone, "%s.backbone", x->prefix);
  snprintf(maps, sizeof maps, "%s.pool.nets", x->prefix);
  snprintf(out, sizeof out, "%s.out", x->prefix);
  mynah_resnet_config resnet = {mynah__resnet_layers(e->resnet), e->has_group_norm ? MYNAH_RESNET_GROUP_NORM : MYNAH_RESNET_FROZEN_NORM, true};
  mynah_model_conv_config conv = {e->key_points, 1, 1, false};
  mynah_node h = mynah_model_conv(g, maps, mynah_model_resnet(g, backbone, x->seen, &resnet), &conv);
  h = mynah_reshape(g, mynah_model_spatial_softmax(g, h), MYNAH_SHAPE(-1, 2 * e->key_points));
  return mynah_relu(g, mynah_model_linear(g, out, h, 2 * e->key_points));
}

bool mynah__encodes_frames(const mynah_policy *p, const mynah__encoder *e, int index) {
  return p->inputs[index].is_image ? e->picture == MYNAH__PICTURE_RESNET || !e->is_stacked : !e->widths[0];
}

/* -> (B, features), n_obs times as many when each frame is encoded alone. */
static mynah_node encode_image(const mynah__encoder *e, mynah_graph *g, mynah__encoding x, int64_t n_obs) {
  if (e->picture == MYNAH__PICTURE_RESNET) return mynah_reshape(g, find_points(e, g, &x), MYNAH_SHAPE(x.batch, -1));
  int64_t filters[MYNAH__LAYERS_MAX], kernels[MYNAH__LAYERS_MAX], strides[MYNAH__LAYERS_MAX];
  size_t n = 0;
  if (mynah_parse_ints(e->filters, filters, MYNAH__LAYERS_MAX, &n) != MYNAH_OK ||
      mynah_parse_ints(e->kernels, kernels, MYNAH__LAYERS_MAX, &n) != MYNAH_OK ||
      mynah_parse_ints(e->strides, strides, MYNAH__LAYERS_MAX, &n) != MYNAH_OK)
    return mynah_graph_fail(g, "%s", mynah_error());
  mynah_cnn_config cnn = {filters, kernels, strides, (int)n, mynah__encoder_activation(e), e->points > 0};
  if (e->is_stacked && n_obs > 1) x.seen = stack_frames(g, x.seen, n_obs, x.batch);
  mynah_node h = mynah_model_cnn(g, x.prefix, x.seen, &cnn);
  if (e->points > 0) {
    char maps[MYNAH_NAME_MAX];
    snprintf(maps, sizeof maps, "%s.maps", x.prefix);
    h = mynah_model_conv(g, maps, h, &(mynah_model_conv_config){e->points, 1, 1, false});
    h = mynah_reshape(g, mynah_model_spatial_softmax(g, h), MYNAH_SHAPE(-1, 2 * e->points));
  }
  if (e->features == 0) return mynah_reshape(g, h, MYNAH_SHAPE(x.batch, -1));
  mynah_shape seen = mynah_node_shape(g, x.seen);
  char out[MYNAH_NAME_MAX];
  snprintf(out, sizeof out, "%s.out", x.prefix);
  h = mynah_model_linear(g, out, mynah_reshape(g, h, MYNAH_SHAPE(seen.dims[0], -1)), e->features);
  return mynah_reshape(g, mynah_unary(g, mynah__encoder_activation(e), h), MYNAH_SHAPE(x.batch, -1));
}

mynah_node mynah__encode(const mynah_policy *p, const mynah__encoder *e, mynah_graph *g, int index, mynah__encoding x) {
  if (p->inputs[index].is_image) return encode_image(e, g, x, p->common.n_obs);
  mynah_node flat = mynah_reshape(g, x.seen, MYNAH_SHAPE(x.batch, -1));
  if (!e->widths[0]) return flat;
  int64_t widths[MYNAH__LAYERS_MAX];
  size_t n = 0;
  if (mynah_parse_ints(e->widths, widths, MYNAH__LAYERS_MAX, &n) != MYNAH_OK)
    return mynah_graph_fail(g, "%s", mynah_error());
  mynah_mlp_config mlp = {widths, (int)n, mynah__encoder_activation(e), 0};
  return mynah_model_mlp(g, x.prefix, flat, &mlp);
}
