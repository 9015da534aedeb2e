/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `act`: Action Chunking with Transformers (Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation with
 * Low-Cost Hardware", sec. IV and app. C). A conditional VAE's encoder reads the demonstrated chunk and gives a latent; a
 * transformer reads the latent, vectors and the cameras' feature maps; a decoder's queries become the chunk. Acting sets the
 * latent to zero. Names of weights are LeRobot's, so that its checkpoints load as they are. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <stdio.h>
#include <string.h>

#define MAX_LAYERS 64
#define ACT_KEYS(K)                                                                                \
  MYNAH__RESNET_KEY(K, "the network that sees the pictures: ResNet of so many layers")             \
  K(INT, width, "dim", 512, 4, 16384, "", "width of the tokens")                                   \
  K(INT, heads, "heads", 8, 1, 256, "", "attention heads")                                         \
  K(INT, feed_forward, "feed_forward", 3200, 1, 65536, "", "width inside the feed-forward parts")  \
  K(INT, n_encoder, "encoder.layers", 4, 1, MAX_LAYERS, "", "layers of the encoder")               \
  K(INT, n_decoder, "decoder.layers", 1, 1, MAX_LAYERS, "", "layers of the decoder; the paper's code says 7 and uses the first") \
  K(BOOL, has_vae, "vae", true, 0, 1, "", "learn a latent of the demonstration's style")           \
  K(INT, n_vae, "vae.layers", 4, 1, MAX_LAYERS, "", "layers of its encoder")                       \
  K(INT, latent, "vae.latent", 32, 1, 4096, "", "numbers of the latent")                           \
  K(FLOAT, kl, "vae.kl", 10, 0, 1e6, "", "weight of the latent's divergence from N(0,1)")          \
  K(FLOAT, dropout, "dropout", 0.1, 0, 0.95, "", "in the transformer, while training")             \
  K(CHOICE, activation, "feed_forward.activation", "relu", 0, 0, "relu|gelu", "inside the feed-forward parts") \
  K(BOOL, is_pre_norm, "pre_norm", false, 0, 1, "", "layer norm before the branches instead of after them")

typedef struct act_config {
#define ACT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  ACT_KEYS(ACT_FIELD)
} act_config;
#define ACT_ROW(type, field, name, value, low, high, unit, help)                                   \
  MYNAH_KEY_OF(act_config, type, field, name, value, low, high, unit, help)
static const mynah_key act_keys[] = {ACT_KEYS(ACT_ROW)};
static const mynah_config_table act_table = {"act policy", act_keys, sizeof act_keys / sizeof *act_keys, sizeof(act_config)};

static int64_t action_size(const mynah_policy *p) { return mynah_feature_size(&p->action); }

static mynah_status check(const mynah_policy *p) {
  const act_config *c = p->config;
  if (p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32)
    return mynah_fail(MYNAH_MISMATCH, "act: the dataset's actions are classes: use mlp with head=categorical");
  if (c->width % c->heads || c->width % 4)
    return mynah_fail(MYNAH_INVALID, "dim=%lld must be a multiple of 4 and of heads=%lld", (long long)c->width, (long long)c->heads);
  return MYNAH_OK;
}

/* ---- pieces --------------------------------------------------------------------------------------------------------- */

/* What all pieces need. */
typedef struct act {
  const mynah_policy *p;
  const act_config *c;
  mynah_graph *g;
  int64_t batch;
  mynah_transformer_config layer;
  mynah_node vectors[MYNAH_POLICY_INPUTS_MAX]; /* normalised, (B,n_obs*D); null where the input is a picture */
} act;

static act begin(const mynah_policy *p, mynah_graph *g, int64_t batch) {
  static const char *const activations[] = {"relu", "gelu"};
  const act_config *c = p->config;
  act a = {.p = p, .c = c, .g = g, .batch = batch};
  a.layer = (mynah_transformer_config){c->heads, c->feed_forward, activations[c->activation], (float)c->dropout, c->is_pre_norm};
  for (int i = 0; i < p->n_inputs; i++)
    if (!p->inputs[i].is_image) a.vectors[i] = mynah_reshape(g, mynah__policy_observe(p, g, i, batch), MYNAH_SHAPE(batch, -1));
  return a;
}

/* LeRobot knows two vectors by name; others are numbered. */
static const char *projection_name(const mynah_policy *p, int input, char name[64]) {
  if (strcmp(p->inputs[input].name, "observation.state") == 0) return "encoder_robot_state_input_proj";
  if (strcmp(p->inputs[input].name, "observation.environment_state") == 0) return "encoder_env_state_input_proj";
  snprintf(name, 64, "encoder_input_proj.%d", input);
  return name;
}

static int state_input(const mynah_policy *p) { return mynah_feature_find(p->inputs, p->n_inputs, "observation.state"); }

/* One token. x (B,D) -> (B,1,dim) */
static mynah_node token(const act *a, const char *name, mynah_node x) {
  return mynah_reshape(a->g, mynah_model_linear(a->g, name, x, a->c->width), MYNAH_SHAPE(a->batch, 1, a->c->width));
}

/* A learned table (rows,dim) as positions or queries (1,rows,dim). */
static mynah_node table(const act *a, const char *name, int64_t rows) {
  mynah_node t = mynah_weight(a->g, name, MYNAH_SHAPE(rows, a->c->width), (mynah_init){MYNAH_INIT_NORMAL, 1});
  return mynah_reshape(a->g, t, MYNAH_SHAPE(1, rows, a->c->width));
}

static mynah_node final_norm(const act *a, const char *name, mynah_node x) { return mynah_model_layer_norm(a->g, name, x); }

/* The encoder of `n` layers under prefix. x (B,L,dim) */
static mynah_node encode(const act *a, const char *prefix, int64_t n, mynah_node x, mynah_node position, mynah_node bias) {
  char name[64];
  for (int64_t i = 0; i < n; i++) {
    snprintf(name, sizeof name, "%s.layers.%lld", prefix, (long long)i);
    x = mynah_model_encoder_layer(a->g, name, x, position, bias, &a->layer);
  }
  snprintf(name, sizeof name, "%s.norm", prefix);
  return a->c->is_pre_norm ? final_norm(a, name, x) : x;
}

/* The latent's distribution. actions: normalised (B,chunk,A); mask (B,chunk) or null -> (B,2*latent): mean, 2 log std */
static mynah_node encode_actions(const act *a, mynah_node actions, mynah_node mask) {
  mynah_graph *g = a->g;
  int64_t chunk = a->p->common.chunk, width = a->c->width;
  int state = state_input(a->p);
  mynah_node parts[3], bias = MYNAH_NO_NODE;
  int n = 0;
  parts[n++] = mynah_broadcast(g, table(a, "vae_encoder_cls_embed.weight", 1), MYNAH_SHAPE(a->batch, 1, width));
  if (state >= 0) parts[n++] = token(a, "vae_encoder_robot_state_input_proj", a->vectors[state]);
  parts[n++] = mynah_model_linear(g, "vae_encoder_action_input_proj", actions, width);
  int64_t length = chunk + n - 1;
  if (!mynah_node_is_null(mask)) {
    mynah_node hidden[2] = {mynah_fill(g, MYNAH_SHAPE(a->batch, n - 1), 0), mynah_affine(g, mask, 1e9f, -1e9f)};
    bias = mynah_reshape(g, mynah_concat(g, hidden, 2, 1), MYNAH_SHAPE(a->batch, 1, 1, length));
  }
  mynah_node x = encode(a, "vae_encoder", a->c->n_vae, mynah_concat(g, parts, n, 1), mynah_model_positions(g, length, width), bias);
  x = mynah_reshape(g, mynah_slice(g, x, 1, 0, 1), MYNAH_SHAPE(a->batch, width));
  return mynah_model_linear(g, "vae_encoder_latent_output_proj", x, 2 * a->c->latent);
}

/* A camera's tokens, one a place of the feature map, and their positions. -> (B,n_obs*h*w,dim) */
static mynah_node look(const act *a, int input, mynah_node *position) {
  mynah_graph *g = a->g;
  int64_t width = a->c->width, n_obs = a->p->common.n_obs;
  mynah_resnet_config resnet = {.layers = mynah__resnet_layers(a->c->resnet)};
  mynah_node x = mynah_model_resnet(g, "backbone", mynah__policy_observe(a->p, g, input, a->batch), &resnet);
  mynah_model_conv_config conv = {width, 1, 1, false};
  x = mynah_model_conv(g, "encoder_img_feat_input_proj", x, &conv);
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4) return MYNAH_NO_NODE;
  *position = mynah_model_positions_2d(g, s.dims[1], s.dims[2], width);
  if (n_obs > 1) { /* a frame's age is learned */
    mynah_node age = mynah_reshape(g, table(a, "encoder_frame_pos_embed.weight", n_obs), MYNAH_SHAPE(n_obs, 1, width));
    *position = mynah_reshape(g, mynah_add(g, mynah_broadcast(g, *position, MYNAH_SHAPE(n_obs, s.dims[1] * s.dims[2], width)), age),
                              MYNAH_SHAPE(1, -1, width));
  }
  return mynah_reshape(g, x, MYNAH_SHAPE(a->batch, n_obs * s.dims[1] * s.dims[2], width));
}

/* What a latent (B,latent) and the observations come to -> (B,chunk,dim) */
static mynah_node decode(const act *a, mynah_node latent) {
  mynah_graph *g = a->g;
  const mynah_policy *p = a->p;
  mynah_node tokens[1 + MYNAH_POLICY_INPUTS_MAX], positions[1 + MYNAH_POLICY_INPUTS_MAX];
  int n = 0, n_positions = 1;
  tokens[n++] = token(a, "encoder_latent_input_proj", latent);
  for (int i = 0; i < p->n_inputs; i++) {
    char name[64];
    if (!p->inputs[i].is_image) tokens[n++] = token(a, projection_name(p, i, name), a->vectors[i]);
  }
  positions[0] = table(a, "encoder_1d_feature_pos_embed.weight", n);
  for (int i = 0; i < p->n_inputs; i++)
    if (p->inputs[i].is_image) tokens[n++] = look(a, i, &positions[n_positions++]);
  mynah_node position = mynah_concat(g, positions, n_positions, 1);
  mynah_node seen = encode(a, "encoder", a->c->n_encoder, mynah_concat(g, tokens, n, 1), position, MYNAH_NO_NODE);
  mynah_decoder_memory memory = {seen, position, table(a, "decoder_pos_embed.weight", p->common.chunk)};
  mynah_node x = mynah_fill(g, MYNAH_SHAPE(a->batch, p->common.chunk, a->c->width), 0);
  for (int64_t i = 0; i < a->c->n_decoder; i++) {
    char name[64];
    snprintf(name, sizeof name, "decoder.layers.%lld", (long long)i);
    x = mynah_model_decoder_layer(g, name, x, &memory, &a->layer);
  }
  return final_norm(a, "decoder.norm", x);
}

/* decoded (B,chunk,dim) -> the normalised chunk (B,chunk,A) */
static mynah_node answer(const act *a, mynah_node decoded) {
  return mynah_model_linear(a->g, "action_head", decoded, action_size(a->p));
}

/* ---- graphs --------------------------------------------------------------------------------------------------------- */

/* Sum over the latent, mean over the batch of -(1 + v - m^2 - exp v) / 2, v = 2 log std (Kingma and Welling 2013, app. B). */
static mynah_node divergence(mynah_graph *g, mynah_node m, mynah_node v, int64_t batch) {
  mynah_node each = mynah_sub(g, mynah_add(g, mynah_mul(g, m, m), mynah_unary(g, "exp", v)), mynah_affine(g, v, 1, 1));
  return mynah_affine(g, mynah_sum(g, each, NULL, 0, false), 0.5f / (float)batch, 0);
}

mynah_status mynah__act_loss(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node noise, mynah__act_parts *out) {
  act a = begin(p, g, batch);
  int64_t chunk = p->common.chunk, n = a.c->latent;
  mynah_node actions = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, chunk, action_size(p)));
  actions = mynah__policy_normalize_action(p, g, actions);
  mynah_node mask = MYNAH_NO_NODE, latent = mynah_fill(g, MYNAH_SHAPE(batch, n), 0);
  if (p->common.is_masked) mask = mynah_input(g, "action.mask", MYNAH_F32, MYNAH_SHAPE(batch, chunk));
  *out = (mynah__act_parts){.kl = MYNAH_NO_NODE};
  if (a.c->has_vae) {
    mynah_node both = encode_actions(&a, actions, mask);
    out->mean = mynah_slice(g, both, -1, 0, n);
    out->log_variance = mynah_slice(g, both, -1, n, n);
    mynah_node std = mynah_unary(g, "exp", mynah_affine(g, out->log_variance, 0.5f, 0));
    latent = mynah_add(g, out->mean, mynah_mul(g, std, noise));
    out->kl = divergence(g, out->mean, out->log_variance, batch);
  }
  out->actions = answer(&a, decode(&a, latent));
  if (!mynah_node_is_null(mask)) mask = mynah_reshape(g, mask, MYNAH_SHAPE(batch, chunk, 1));
  out->l1 = out->loss = mynah_l1(g, out->actions, actions, mask);
  if (a.c->has_vae) out->loss = mynah_add(g, out->l1, mynah_affine(g, out->kl, (float)a.c->kl, 0));
  return mynah_graph_status(g);
}

static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const act_config *c = p->config;
  mynah__act_parts parts;
  mynah_node noise = c->has_vae ? mynah_random_normal(g, MYNAH_SHAPE(batch, c->latent)) : MYNAH_NO_NODE;
  MYNAH_TRY(mynah__act_loss(p, g, batch, noise, &parts));
  *loss = parts.loss;
  return MYNAH_OK;
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  (void)which;
  act a = begin(p, g, 1);
  mynah_node decoded = decode(&a, mynah_fill(g, MYNAH_SHAPE(1, a.c->latent), 0)), x = answer(&a, decoded);
  mynah_output(g, "hidden", mynah_slice(g, decoded, 1, 0, 1)); /* of the first action */
  mynah_output(g, "action", mynah__policy_restore_action(p, g, mynah_reshape(g, x, MYNAH_SHAPE(p->common.chunk, action_size(p)))));
  return mynah_graph_status(g);
}

static void predict(const mynah_policy *p, const mynah_prediction *r) {
  mynah_state_run(r->states[0]);
  memcpy(r->chunk, mynah_state_output(r->states[0], "action"), (size_t)(p->common.chunk * action_size(p)) * sizeof(float));
}

const mynah_policy_type mynah__policy_act = {
    .name = "act",
    .summary = "Action Chunking with Transformers: a conditional VAE whose decoder gives the whole chunk",
    .config = &act_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = 1,
    .build_act = build_act,
    .hidden = "hidden",
    .predict = predict,
};
