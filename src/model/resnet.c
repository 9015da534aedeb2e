/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ResNets without their classifier (He et al. 2016, "Deep Residual Learning for Image Recognition", table 1), with frozen batch
 * norm folded into the filters or group norm in its place, and the spatial soft-max that turns features into points.
 * Names of weights, and the place of a bottleneck's stride, are torchvision's. */
#include "model_internal.h"

#include <math.h>
#include <stdio.h>

#define EPSILON 1e-5f
#define STAGES 4

typedef struct net {
  mynah_graph *g;
  mynah_resnet_norm norm;
} net;

typedef struct conv_shape {
  int64_t n_out;
  int kernel, stride;
} conv_shape;

/* Kaiming's N(0, 2 / fan_out), torchvision's initial filters. */
static mynah_node filter(mynah_graph *g, const char *prefix, int64_t n_in, conv_shape s) {
  char name[MYNAH_NAME_MAX];
  if (!mynah__model_name(g, name, prefix, "weight")) return MYNAH_NO_NODE;
  float deviation = (float)sqrt(2.0 / (double)(s.n_out * s.kernel * s.kernel));
  return mynah_weight(g, name, MYNAH_SHAPE(s.n_out, n_in, s.kernel, s.kernel), (mynah_init){MYNAH_INIT_NORMAL, deviation});
}

static mynah_node vector(const net *n, const char *prefix, const char *suffix, int64_t size, float value) {
  char name[MYNAH_NAME_MAX];
  mynah_init init = {MYNAH_INIT_CONSTANT, value};
  if (!mynah__model_name(n->g, name, prefix, suffix)) return MYNAH_NO_NODE;
  if (n->norm == MYNAH_RESNET_GROUP_NORM) return mynah_weight(n->g, name, MYNAH_SHAPE(size), init);
  return mynah_buffer(n->g, name, MYNAH_SHAPE(size), init);
}

static void fold_norm(const net *n, const char *norm, int64_t size, mynah_node *w, mynah_node *b) {
  mynah__norm_vectors v = {vector(n, norm, "weight", size, 1), vector(n, norm, "bias", size, 0),
                           vector(n, norm, "running_mean", size, 0), vector(n, norm, "running_var", size, 1)};
  mynah__model_fold_norm(n->g, &v, EPSILON, w, b);
}

static mynah_node conv_norm(const net *n, const char *prefix, const char *const names[2], mynah_node x, conv_shape s) {
  mynah_graph *g = n->g;
  char conv[MYNAH_NAME_MAX], norm[MYNAH_NAME_MAX];
  mynah_shape xs = mynah_node_shape(g, x);
  if (xs.n_dims != 4 || !mynah__model_name(g, conv, prefix, names[0]) || !mynah__model_name(g, norm, prefix, names[1]))
    return MYNAH_NO_NODE;
  int pad = s.kernel / 2;
  mynah_conv cfg = {.stride = {s.stride, s.stride}, .pad = {pad, pad, pad, pad}};
  mynah_node w = filter(g, conv, xs.dims[3], s), b = MYNAH_NO_NODE;
  if (n->norm == MYNAH_RESNET_FROZEN_NORM) {
    fold_norm(n, norm, s.n_out, &w, &b);
    return mynah_conv2d(g, x, w, b, &cfg);
  }
  x = mynah_conv2d(g, x, w, b, &cfg);
  mynah_node gamma = vector(n, norm, "weight", s.n_out, 1), beta = vector(n, norm, "bias", s.n_out, 0);
  return mynah_group_norm(g, x, (int)(s.n_out / 16), gamma, beta, EPSILON);
}

static mynah_node basic_block(const net *n, const char *prefix, mynah_node x, int64_t n_out, int stride) {
  static const char *const first[2] = {"conv1", "bn1"}, *const second[2] = {"conv2", "bn2"};
  static const char *const skip[2] = {"downsample.0", "downsample.1"};
  mynah_shape s = mynah_node_shape(n->g, x);
  mynah_node h = mynah_relu(n->g, conv_norm(n, prefix, first, x, (conv_shape){n_out, 3, stride}));
  h = conv_norm(n, prefix, second, h, (conv_shape){n_out, 3, 1});
  if (s.n_dims == 4 && (stride != 1 || s.dims[3] != n_out)) x = conv_norm(n, prefix, skip, x, (conv_shape){n_out, 1, stride});
  return mynah_relu(n->g, mynah_add(n->g, h, x));
}

/* 1x1, 3x3 that strides, 1x1 to four times as many. */
static mynah_node bottleneck(const net *n, const char *prefix, mynah_node x, int64_t n_mid, int stride) {
  static const char *const names[4][2] = {{"conv1", "bn1"}, {"conv2", "bn2"}, {"conv3", "bn3"}, {"downsample.0", "downsample.1"}};
  mynah_shape s = mynah_node_shape(n->g, x);
  mynah_node h = mynah_relu(n->g, conv_norm(n, prefix, names[0], x, (conv_shape){n_mid, 1, 1}));
  h = mynah_relu(n->g, conv_norm(n, prefix, names[1], h, (conv_shape){n_mid, 3, stride}));
  h = conv_norm(n, prefix, names[2], h, (conv_shape){4 * n_mid, 1, 1});
  if (s.n_dims == 4 && (stride != 1 || s.dims[3] != 4 * n_mid))
    x = conv_norm(n, prefix, names[3], x, (conv_shape){4 * n_mid, 1, stride});
  return mynah_relu(n->g, mynah_add(n->g, h, x));
}

typedef struct depth {
  int layers, n_blocks[STAGES];
  mynah_node (*block)(const net *n, const char *prefix, mynah_node x, int64_t width, int stride);
} depth;

static const depth *find_depth(int layers) {
  static const depth depths[] = {{18, {2, 2, 2, 2}, basic_block}, {34, {3, 4, 6, 3}, basic_block}, {50, {3, 4, 6, 3}, bottleneck}};
  for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
    if (depths[i].layers == layers) return &depths[i];
  return NULL;
}

mynah_node mynah_model_resnet(mynah_graph *g, const char *prefix, mynah_node x, const mynah_resnet_config *config) {
  static const char *const named[] = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"};
  static const char *const numbered[] = {"0", "1", "4", "5", "6", "7"};
  const char *const *names = config->is_numbered ? numbered : named;
  const depth *d = find_depth(config->layers);
  net n = {g, config->norm};
  if (!d) return mynah_graph_fail(g, "ResNet-%d: 18, 34 and 50 layers are known", config->layers);
  x = mynah_relu(g, conv_norm(&n, prefix, names, x, (conv_shape){64, 7, 2}));
  x = mynah_max_pool(g, x, &(mynah_pool2d){.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}});
  for (int stage = 0; stage < STAGES; stage++)
    for (int block = 0; block < d->n_blocks[stage]; block++) {
      char name[MYNAH_NAME_MAX], tail[32];
      snprintf(tail, sizeof tail, "%s.%d", names[2 + stage], block);
      if (!mynah__model_name(g, name, prefix, tail)) return MYNAH_NO_NODE;
      x = d->block(&n, name, x, (int64_t)64 << stage, stage > 0 && block == 0 ? 2 : 1);
    }
  return x;
}

mynah_node mynah_model_basic_block(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out, int stride,
                                   const mynah_resnet_config *config) {
  return basic_block(&(net){g, config->norm}, prefix, x, n_out, stride);
}

mynah_node mynah_model_spatial_softmax(mynah_graph *g, mynah_node x) {
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4) return mynah_graph_fail(g, "spatial soft-max: takes (B,H,W,C)");
  int64_t h = s.dims[1], w = s.dims[2];
  float *grid = mynah_calloc((size_t)(h * w), 2 * sizeof *grid);
  if (!grid) return mynah_graph_fail(g, "spatial soft-max: no memory");
  for (int64_t i = 0; i < h * w; i++) {
    grid[2 * i] = w > 1 ? 2 * (float)(i % w) / (float)(w - 1) - 1 : 0;
    grid[2 * i + 1] = h > 1 ? 2 * (float)(i / w) / (float)(h - 1) - 1 : 0;
  }
  mynah_node places = mynah_constant(g, MYNAH_SHAPE(h * w, 2), grid);
  mynah_free(grid);
  x = mynah_reshape(g, x, MYNAH_SHAPE(s.dims[0], h * w, s.dims[3]));
  x = mynah_softmax(g, mynah_permute(g, x, (int[]){0, 2, 1}));
  return mynah_matmul(g, x, places, false, false);
}
