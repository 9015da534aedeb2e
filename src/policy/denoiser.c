/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What diffusion and flow share: observations as one condition, and the network that looks at noisy actions, the step and the
 * condition. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <stdio.h>
#include <string.h>

enum { DENOISER_MLP, DENOISER_UNET, DENOISER_TRANSFORMER };

/* The U-Net's widths; how many there are, 0 when the text is bad. */
static int levels_of(const mynah__denoiser *d, int64_t widths[MYNAH_UNET_LEVELS_MAX]) {
  size_t n = 0;
  return mynah_parse_ints(d->unet_widths, widths, MYNAH_UNET_LEVELS_MAX, &n) == MYNAH_OK ? (int)n : 0;
}

static mynah_status check_unet(const mynah__denoiser *d, int64_t horizon) {
  int64_t widths[MYNAH_UNET_LEVELS_MAX];
  int n = levels_of(d, widths);
  if (n < 1) return mynah_error_context(MYNAH_INVALID, "unet.widths");
  for (int i = 0; i < n; i++)
    if (widths[i] < 1 || widths[i] % d->unet_groups)
      return mynah_fail(MYNAH_INVALID, "unet.widths: each must be a multiple of unet.groups=%lld", (long long)d->unet_groups);
  if (widths[0] % MYNAH_UNET_LAST_GROUPS)
    return mynah_fail(MYNAH_INVALID, "unet.widths: the first must be a multiple of %d, the groups of the last norm", MYNAH_UNET_LAST_GROUPS);
  if (d->unet_kernel % 2 == 0) return mynah_fail(MYNAH_INVALID, "unet.kernel=%lld must be odd", (long long)d->unet_kernel);
  int64_t unit = (int64_t)1 << (n - 1);
  if (horizon % unit)
    return mynah_fail(MYNAH_INVALID, "denoiser=unet: the actions from the first observed frame on, n_obs - 1 + chunk where the policy "
                      "predicts past ones too, are %lld: with %d levels they must be a multiple of %lld", (long long)horizon, n,
                      (long long)unit);
  return MYNAH_OK;
}

mynah_status mynah__denoiser_check(const mynah_policy *p, const mynah__denoiser *d, int64_t horizon) {
  int64_t size = mynah_feature_size(&p->action);
  if (p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32)
    return mynah_fail(MYNAH_MISMATCH, "%s: the dataset's actions are classes: use mlp with head=categorical", p->type->name);
  if (size > MYNAH__ACTION_MAX || size * horizon > MYNAH__SAMPLE_MAX)
    return mynah_fail(MYNAH_LIMIT, "%s: actions of at most %d elements, chunks of at most %d numbers", p->type->name, MYNAH__ACTION_MAX,
                      MYNAH__SAMPLE_MAX);
  if (d->kind == DENOISER_TRANSFORMER && d->width % d->heads)
    return mynah_fail(MYNAH_INVALID, "width=%lld must be a multiple of heads=%lld", (long long)d->width, (long long)d->heads);
  return d->kind == DENOISER_UNET ? check_unet(d, horizon) : MYNAH_OK;
}

/* Frame by frame: of each observed frame what all inputs give, older frames first. -> (B,n_obs*F) */
static mynah_node features(const mynah_policy *p, const mynah__encoder *e, mynah_graph *g, int64_t batch) {
  mynah_node parts[MYNAH_POLICY_INPUTS_MAX];
  int64_t n_obs = p->common.n_obs;
  bool is_by_frame = true;
  int n_cameras = 0;
  for (int i = 0; i < p->n_inputs; i++) {
    char prefix[32];
    bool is_resnet = p->inputs[i].is_image && e->picture == MYNAH__PICTURE_RESNET;
    if (is_resnet && !e->is_separate) snprintf(prefix, sizeof prefix, "rgb_encoder");
    else if (is_resnet) snprintf(prefix, sizeof prefix, "rgb_encoder.%d", n_cameras++);
    else snprintf(prefix, sizeof prefix, "encoder.%d", i);
    parts[i] = mynah__encode(p, e, g, i, (mynah__encoding){mynah__policy_observe(p, g, i, batch), prefix, batch});
    is_by_frame = is_by_frame && mynah__encodes_frames(p, e, i);
  }
  if (p->n_inputs == 1) return parts[0];
  for (int i = 0; is_by_frame && i < p->n_inputs; i++) parts[i] = mynah_reshape(g, parts[i], MYNAH_SHAPE(batch, n_obs, -1));
  return mynah_reshape(g, mynah_concat(g, parts, p->n_inputs, -1), MYNAH_SHAPE(batch, -1));
}

mynah_node mynah__denoiser_observe(const mynah_policy *p, const mynah__encoder *e, const mynah__denoiser *d, mynah_graph *g, int64_t batch) {
  mynah_node seen = features(p, e, g, batch);
  return d->kind == DENOISER_UNET ? seen : mynah_model_linear(g, "condition", seen, d->width);
}

mynah_status mynah__denoiser_condition_size(const mynah_policy *p, const mynah__encoder *e, const mynah__denoiser *d, int64_t *size) {
  mynah_graph *g;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_shape s = mynah_node_shape(g, mynah__denoiser_observe(p, e, d, g, 1));
  mynah_status status = mynah_graph_status(g);
  mynah_graph_destroy(g);
  *size = s.dims[1];
  return status;
}

/* The whole chunk as one vector beside the step, through the residual MLP. */
static mynah_node by_mlp(const mynah__denoiser *d, mynah_graph *g, const mynah__noisy *in, int64_t size) {
  mynah_shape s = mynah_node_shape(g, in->sample);
  mynah_node parts[2] = {mynah_reshape(g, in->sample, MYNAH_SHAPE(s.dims[0], s.dims[1] * s.dims[2])), in->step};
  mynah_residual_config residual = {d->width, d->hidden, (int)d->blocks, (float)d->dropout, in->condition};
  mynah_node h = mynah_model_residual(g, "trunk", mynah_concat(g, parts, 2, -1), &residual);
  return mynah_reshape(g, mynah_model_linear(g, "head", h, s.dims[1] * size), MYNAH_SHAPE(s.dims[0], s.dims[1], size));
}

static mynah_node by_unet(const mynah__denoiser *d, mynah_graph *g, const mynah__noisy *in, int64_t size) {
  int64_t widths[MYNAH_UNET_LEVELS_MAX];
  mynah_unet_config c = {widths, levels_of(d, widths), (int)d->unet_kernel, (int)d->unet_groups, d->is_scaled, size};
  return mynah_model_unet(g, "unet", in->sample, in->step, in->condition, &c);
}

/* A token for the step, one for the observations, one an action; pre-norm layers, then the actions' tokens alone. */
static mynah_node by_transformer(const mynah__denoiser *d, mynah_graph *g, const mynah__noisy *in, int64_t size) {
  mynah_shape s = mynah_node_shape(g, in->sample);
  int64_t batch = s.dims[0], n = s.dims[1], w = d->width;
  mynah_transformer_config layer = {d->heads, d->hidden, "gelu", (float)d->dropout, true};
  mynah_node tokens[3] = {mynah_reshape(g, mynah_model_linear(g, "step", in->step, w), MYNAH_SHAPE(batch, 1, w)),
                          mynah_reshape(g, in->condition, MYNAH_SHAPE(batch, 1, w)), mynah_model_linear(g, "sample", in->sample, w)};
  mynah_node places = mynah_weight(g, "places", MYNAH_SHAPE(n + 2, w), (mynah_init){MYNAH_INIT_NORMAL, 0.02f});
  mynah_node x = mynah_add(g, mynah_concat(g, tokens, 3, 1), mynah_reshape(g, places, MYNAH_SHAPE(1, n + 2, w)));
  for (int64_t i = 0; i < d->blocks; i++) {
    char name[32];
    snprintf(name, sizeof name, "layers.%lld", (long long)i);
    x = mynah_model_encoder_layer(g, name, x, MYNAH_NO_NODE, MYNAH_NO_NODE, &layer);
  }
  x = mynah_model_layer_norm(g, "norm", mynah_slice(g, x, 1, 2, n));
  return mynah_model_linear(g, "head", x, size);
}

mynah_node mynah__denoise(const mynah_policy *p, const mynah__denoiser *d, mynah_graph *g, const mynah__noisy *in) {
  int64_t size = mynah_feature_size(&p->action);
  if (mynah_node_is_null(in->sample) || mynah_node_is_null(in->step) || mynah_node_is_null(in->condition)) return MYNAH_NO_NODE;
  if (d->kind == DENOISER_UNET) return by_unet(d, g, in, size);
  return d->kind == DENOISER_MLP ? by_mlp(d, g, in, size) : by_transformer(d, g, in, size);
}
