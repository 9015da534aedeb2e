/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Attention and transformer layers (Vaswani et al. 2017, "Attention Is All You Need"), positions added to queries and keys
 * of every layer (Carion et al. 2020, DETR), as the ACT policy has them. Names and layouts of weights are PyTorch's. */
#include "model_internal.h"

#include <math.h>
#include <stdio.h>

/* U(-sqrt(6 / (in + out)), …): Xavier's bound, which torch.nn.MultiheadAttention draws its joined projection from. */
static mynah_init xavier(int64_t n_in, int64_t n_out) {
  return (mynah_init){MYNAH_INIT_UNIFORM, (float)sqrt(6.0 / (double)(n_in + n_out))};
}

static mynah_node weight(mynah_graph *g, const char *prefix, const char *suffix, mynah_shape shape, mynah_init init) {
  char name[MYNAH_NAME_MAX];
  if (!mynah__model_name(g, name, prefix, suffix)) return MYNAH_NO_NODE;
  return mynah_weight(g, name, shape, init);
}

/* Rows of the joined projection: part 0 queries, 1 keys, 2 values. The slices are folded into the binding. */
typedef struct projection {
  mynah_node w, b; /* (3E,E) (3E) */
  int64_t heads;
} projection;

/* x (B,L,E) -> (B,heads,L,E/heads); queries come divided by sqrt(E/heads). */
static mynah_node project(mynah_graph *g, const projection *p, mynah_node x, int part) {
  mynah_shape s = mynah_node_shape(g, x);
  int64_t e = s.dims[2];
  mynah_node w = mynah_slice(g, p->w, 0, part * e, e), b = mynah_slice(g, p->b, 0, part * e, e);
  if (part == 0) {
    float scale = (float)(1 / sqrt((double)(e / p->heads)));
    w = mynah_affine(g, w, scale, 0);
    b = mynah_affine(g, b, scale, 0);
  }
  x = mynah_reshape(g, mynah_linear(g, x, w, b), MYNAH_SHAPE(s.dims[0], s.dims[1], p->heads, e / p->heads));
  return mynah_permute(g, x, (int[]){0, 2, 1, 3});
}

mynah_node mynah_model_attention(mynah_graph *g, const char *prefix, const mynah_attention *in, int64_t heads, float dropout) {
  mynah_shape s = mynah_node_shape(g, in->query), k = mynah_node_shape(g, in->key), v = mynah_node_shape(g, in->value);
  if (s.n_dims != 3 || k.n_dims != 3 || v.n_dims != 3 || heads < 1 || s.dims[2] % heads || k.dims[2] != s.dims[2])
    return mynah_graph_fail(g, "%s: attention takes (B,L,E) of the same width, a multiple of %lld heads", prefix,
                            (long long)heads);
  int64_t e = s.dims[2];
  char name[MYNAH_NAME_MAX];
  projection p = {weight(g, prefix, "in_proj_weight", MYNAH_SHAPE(3 * e, e), xavier(e, 3 * e)),
                  weight(g, prefix, "in_proj_bias", MYNAH_SHAPE(3 * e), (mynah_init){MYNAH_INIT_ZERO, 0}), heads};
  mynah_node scores = mynah_matmul(g, project(g, &p, in->query, 0), project(g, &p, in->key, 1), false, true);
  if (!mynah_node_is_null(in->bias)) scores = mynah_add(g, scores, in->bias);
  scores = mynah_softmax(g, scores);
  if (dropout > 0) scores = mynah_dropout(g, scores, dropout);
  mynah_node y = mynah_matmul(g, scores, project(g, &p, in->value, 2), false, false);
  y = mynah_reshape(g, mynah_permute(g, y, (int[]){0, 2, 1, 3}), s);
  if (!mynah__model_name(g, name, prefix, "out_proj")) return MYNAH_NO_NODE;
  return mynah_model_linear(g, name, y, e);
}

/* One layer as it is being built. */
typedef struct layer {
  mynah_graph *g;
  const char *prefix;
  const mynah_transformer_config *config;
} layer;

static mynah_node norm(const layer *l, int number, mynah_node x) {
  char name[MYNAH_NAME_MAX], suffix[16];
  snprintf(suffix, sizeof suffix, "norm%d", number);
  return mynah__model_name(l->g, name, l->prefix, suffix) ? mynah_model_layer_norm(l->g, name, x) : MYNAH_NO_NODE;
}

static mynah_node drop(const layer *l, mynah_node x) {
  return l->config->dropout > 0 ? mynah_dropout(l->g, x, l->config->dropout) : x;
}

static mynah_node attend(const layer *l, const char *suffix, const mynah_attention *in) {
  char name[MYNAH_NAME_MAX];
  if (!mynah__model_name(l->g, name, l->prefix, suffix)) return MYNAH_NO_NODE;
  return mynah_model_attention(l->g, name, in, l->config->heads, l->config->dropout);
}

static mynah_node feed_forward(const layer *l, mynah_node x) {
  char up[MYNAH_NAME_MAX], down[MYNAH_NAME_MAX];
  mynah_shape s = mynah_node_shape(l->g, x);
  if (s.n_dims != 3 || !mynah__model_name(l->g, up, l->prefix, "linear1") || !mynah__model_name(l->g, down, l->prefix, "linear2"))
    return MYNAH_NO_NODE;
  x = mynah_unary(l->g, l->config->activation, mynah_model_linear(l->g, up, x, l->config->feed_forward));
  return mynah_model_linear(l->g, down, drop(l, x), s.dims[2]);
}

static mynah_node plus(mynah_graph *g, mynah_node x, mynah_node position) {
  return mynah_node_is_null(position) ? x : mynah_add(g, x, position);
}

/* The stream and a branch become one; the norm stands before the branch (pre-norm) or here. */
static mynah_node join(const layer *l, int number, mynah_node x, mynah_node branch) {
  x = mynah_add(l->g, drop(l, branch), x);
  return l->config->is_pre_norm ? x : norm(l, number, x);
}

/* What a branch reads. */
static mynah_node enter(const layer *l, int number, mynah_node x) { return l->config->is_pre_norm ? norm(l, number, x) : x; }

mynah_node mynah_model_encoder_layer(mynah_graph *g, const char *prefix, mynah_node x, mynah_node position, mynah_node bias,
                                     const mynah_transformer_config *config) {
  layer l = {g, prefix, config};
  mynah_node h = enter(&l, 1, x), placed = plus(g, h, position);
  x = join(&l, 1, x, attend(&l, "self_attn", &(mynah_attention){placed, placed, h, bias}));
  return join(&l, 2, x, feed_forward(&l, enter(&l, 2, x)));
}

mynah_node mynah_model_decoder_layer(mynah_graph *g, const char *prefix, mynah_node x, const mynah_decoder_memory *memory,
                                     const mynah_transformer_config *config) {
  layer l = {g, prefix, config};
  mynah_node h = enter(&l, 1, x), placed = plus(g, h, memory->own_position);
  x = join(&l, 1, x, attend(&l, "self_attn", &(mynah_attention){placed, placed, h, MYNAH_NO_NODE}));
  h = plus(g, enter(&l, 2, x), memory->own_position);
  mynah_attention cross = {h, plus(g, memory->seen, memory->position), memory->seen, MYNAH_NO_NODE};
  x = join(&l, 2, x, attend(&l, "multihead_attn", &cross));
  return join(&l, 3, x, feed_forward(&l, enter(&l, 3, x)));
}
