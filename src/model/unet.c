/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The conditional 1-D U-Net of Diffusion Policy (Chi et al. 2023, "Diffusion Policy: Visuomotor Policy Learning via Action
 * Diffusion", sec. IV-A; Janner et al. 2022), conditioned by feature-wise affine maps (Perez et al. 2018, FiLM). Names and
 * layouts of weights are LeRobot's. */
#include "model_internal.h"

#include <stdio.h>

typedef struct unet {
  mynah_graph *g;
  const mynah_unet_config *config;
  mynah_node condition; /* mish of step and observations, (B,C) */
} unet;

/* PREFIX.weight, PREFIX.bias of a convolution of sequences. x (B,T,C) -> (B,T',n_out) */
static mynah_node conv(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out, int kernel, int stride) {
  char weight[MYNAH_NAME_MAX], bias[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 3 || !mynah__model_name(g, weight, prefix, "weight") || !mynah__model_name(g, bias, prefix, "bias"))
    return MYNAH_NO_NODE;
  mynah_init init = mynah__model_init_fan_in(s.dims[2] * kernel);
  mynah_conv cfg = {.stride = {stride}, .pad = {kernel / 2, 0, kernel / 2, 0}};
  return mynah_conv1d(g, x, mynah_weight(g, weight, MYNAH_SHAPE(n_out, s.dims[2], kernel), init),
                      mynah_weight(g, bias, MYNAH_SHAPE(n_out), init), &cfg);
}

/* Twice as long. x (B,T,C) -> (B,2T,C) */
static mynah_node stretch(mynah_graph *g, const char *prefix, mynah_node x) {
  enum { KERNEL = 4 };
  char weight[MYNAH_NAME_MAX], bias[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 3 || !mynah__model_name(g, weight, prefix, "weight") || !mynah__model_name(g, bias, prefix, "bias"))
    return MYNAH_NO_NODE;
  int64_t c = s.dims[2];
  mynah_init init = mynah__model_init_fan_in(c * KERNEL);
  mynah_conv cfg = {.stride = {2}, .pad = {1, 0, 1, 0}};
  return mynah_conv_transpose1d(g, x, mynah_weight(g, weight, MYNAH_SHAPE(c, c, KERNEL), init),
                                mynah_weight(g, bias, MYNAH_SHAPE(c), init), &cfg, 0);
}

/* Convolution, group norm, mish: PREFIX.block.0, PREFIX.block.1 */
static mynah_node conv_block(const unet *u, const char *prefix, mynah_node x, int64_t n_out, int groups) {
  mynah_graph *g = u->g;
  char name[MYNAH_NAME_MAX], gamma[MYNAH_NAME_MAX], beta[MYNAH_NAME_MAX];
  if (!mynah__model_name(g, name, prefix, "block.0") || !mynah__model_name(g, gamma, prefix, "block.1.weight") ||
      !mynah__model_name(g, beta, prefix, "block.1.bias"))
    return MYNAH_NO_NODE;
  x = conv(g, name, x, n_out, u->config->kernel, 1);
  x = mynah_group_norm(g, x, groups, mynah_weight(g, gamma, MYNAH_SHAPE(n_out), (mynah_init){MYNAH_INIT_CONSTANT, 1}),
                       mynah_weight(g, beta, MYNAH_SHAPE(n_out), (mynah_init){MYNAH_INIT_ZERO, 0}), 1e-5f);
  return mynah_unary(g, "mish", x);
}

/* h = block1 x; h = scale(c) h + shift(c); h = block2 h; h + x, x through a 1x1 convolution when widths differ. */
static mynah_node residual_block(const unet *u, const char *prefix, mynah_node x, int64_t n_out) {
  mynah_graph *g = u->g;
  char first[MYNAH_NAME_MAX], second[MYNAH_NAME_MAX], film[MYNAH_NAME_MAX], skip[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 3 || !mynah__model_name(g, first, prefix, "conv1") || !mynah__model_name(g, second, prefix, "conv2") ||
      !mynah__model_name(g, film, prefix, "cond_encoder.1") || !mynah__model_name(g, skip, prefix, "residual_conv"))
    return MYNAH_NO_NODE;
  bool is_scaled = u->config->is_scaled;
  int groups = u->config->groups;
  mynah_node h = conv_block(u, first, x, n_out, groups), e = mynah_model_linear(g, film, u->condition, is_scaled ? 2 * n_out : n_out);
  e = mynah_reshape(g, e, MYNAH_SHAPE(s.dims[0], 1, is_scaled ? 2 * n_out : n_out));
  if (is_scaled) {
    h = mynah_mul(g, h, mynah_slice(g, e, -1, 0, n_out));
    e = mynah_slice(g, e, -1, n_out, n_out);
  }
  h = conv_block(u, second, mynah_add(g, h, e), n_out, groups);
  if (s.dims[2] != n_out) x = conv(g, skip, x, n_out, 1, 1);
  return mynah_add(g, h, x);
}

/* PREFIX.LEVEL.PART, e.g. "unet.down_modules.0.1" */
static const char *part_name(const unet *u, char name[MYNAH_NAME_MAX], const char *prefix, const char *way, int level, int part) {
  char tail[64];
  if (level < 0) snprintf(tail, sizeof tail, "%s.%d", way, part);
  else snprintf(tail, sizeof tail, "%s.%d.%d", way, level, part);
  return mynah__model_name(u->g, name, prefix, tail) ? name : "";
}

static mynah_node condition_of(mynah_graph *g, const char *prefix, mynah_node step, mynah_node seen) {
  char up[MYNAH_NAME_MAX], down[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(g, step);
  if (s.n_dims != 2 || !mynah__model_name(g, up, prefix, "diffusion_step_encoder.1") ||
      !mynah__model_name(g, down, prefix, "diffusion_step_encoder.3"))
    return MYNAH_NO_NODE;
  mynah_node h = mynah_unary(g, "mish", mynah_model_linear(g, up, step, 4 * s.dims[1]));
  mynah_node parts[2] = {mynah_model_linear(g, down, h, s.dims[1]), seen};
  return mynah_unary(g, "mish", mynah_node_is_null(seen) ? parts[0] : mynah_concat(g, parts, 2, -1));
}

/* The same block alone, for tests: its condition is not yet through mish. */
mynah_node mynah_model_unet_block(mynah_graph *g, const char *prefix, mynah_node x, mynah_node condition, int64_t n_out,
                                  const mynah_unet_config *config) {
  unet u = {g, config, mynah_unary(g, "mish", condition)};
  return residual_block(&u, prefix, x, n_out);
}

mynah_node mynah_model_unet(mynah_graph *g, const char *prefix, mynah_node x, mynah_node step, mynah_node seen,
                            const mynah_unet_config *config) {
  mynah_shape s = mynah_node_shape(g, x);
  int n = config->n_levels;
  const int64_t *widths = config->widths;
  if (s.n_dims != 3 || n < 1 || n > MYNAH_UNET_LEVELS_MAX || s.dims[1] % (1 << (n - 1)))
    return mynah_graph_fail(g, "%s: the U-Net takes (B,T,A), T a multiple of %d for %d levels", prefix, 1 << (n > 0 ? n - 1 : 0), n);
  unet u = {g, config, condition_of(g, prefix, step, seen)};
  mynah_node skips[MYNAH_UNET_LEVELS_MAX];
  char name[MYNAH_NAME_MAX];
  for (int i = 0; i < n; i++) {
    x = residual_block(&u, part_name(&u, name, prefix, "down_modules", i, 0), x, widths[i]);
    x = skips[i] = residual_block(&u, part_name(&u, name, prefix, "down_modules", i, 1), x, widths[i]);
    if (i + 1 < n) x = conv(g, part_name(&u, name, prefix, "down_modules", i, 2), x, widths[i], 3, 2);
  }
  for (int i = 0; i < 2; i++) x = residual_block(&u, part_name(&u, name, prefix, "mid_modules", -1, i), x, widths[n - 1]);
  for (int i = 0; i + 1 < n; i++) {
    int level = n - 2 - i; /* the width it comes down to */
    x = mynah_concat(g, (mynah_node[]){x, skips[level + 1]}, 2, -1);
    x = residual_block(&u, part_name(&u, name, prefix, "up_modules", i, 0), x, widths[level]);
    x = residual_block(&u, part_name(&u, name, prefix, "up_modules", i, 1), x, widths[level]);
    x = stretch(g, part_name(&u, name, prefix, "up_modules", i, 2), x);
  }
  x = conv_block(&u, part_name(&u, name, prefix, "final_conv", -1, 0), x, widths[0], MYNAH_UNET_LAST_GROUPS);
  return conv(g, part_name(&u, name, prefix, "final_conv", -1, 1), x, config->n_out ? config->n_out : s.dims[2], 1, 1);
}
