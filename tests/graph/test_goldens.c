/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Blocks against PyTorch's numbers (../shared/goldens/blocks): outputs and gradients, every kernel family, and double.
 *
 * A file holds in.*, param.*, buf.*, out.*, dout.*, grad.*; index.json says op, attributes and tolerance. A builder
 * makes the same function out of the engine's parts; layouts are PyTorch's, so channels are moved last on the way in.
 */
#include "graph_case.h"

#include "src/policy/policy_internal.h"

#include <mynah/model.h>

#define FOLDER "../shared/goldens/blocks/"

typedef struct golden {
  const char *name;
  const mynah_json *attrs;
  mynah_safetensors *file;
  mynah_graph *g;
  mynah_node loss;        /* sum of out * dout so far */
  mynah_dtype precision;  /* of the run */
  bool is_weighted;       /* parameters are weights (else inputs) */
  bool is_channels_first; /* in.*, out.* are (N,C,…) */
  bool is_out_plain;      /* but out.* is as the engine has it */
} golden;

/* ---- tensors of the file ----------------------------------------------------------------------------------------- */

static bool starts(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

static bool is_moved(const golden *c, const char *key, const mynah_safetensor *t) {
  if (starts(key, "param.") || starts(key, "grad.param.")) return false;
  if (c->is_out_plain && (starts(key, "out.") || starts(key, "dout."))) return false;
  return c->is_channels_first && t->shape.n_dims >= 3;
}

/* The shape the engine gives this tensor: channels last, scalars (1). */
static mynah_shape engine_shape(const golden *c, const char *key) {
  const mynah_safetensor *t = mynah_safetensors_find(c->file, key);
  if (!t) fail_msg("%s: no tensor %s", c->name, key);
  mynah_shape s = t->shape;
  if (s.n_dims == 0) return MYNAH_SHAPE(1);
  if (!is_moved(c, key, t)) return s;
  for (int i = 1; i + 1 < s.n_dims; i++) s.dims[i] = t->shape.dims[i + 1];
  s.dims[s.n_dims - 1] = t->shape.dims[1];
  return s;
}

/* Element i, counted in the engine's layout. */
static double element(const golden *c, const char *key, int64_t i) {
  const mynah_safetensor *t = mynah_safetensors_find(c->file, key);
  if (is_moved(c, key, t)) { /* (n,p,c) -> (n,c,p) */
    int64_t channels = t->shape.dims[1], places = mynah_shape_size(t->shape) / t->shape.dims[0] / channels;
    int64_t n = i / (channels * places), p = i / channels % places, ch = i % channels;
    i = (n * channels + ch) * places + p;
  }
  switch (t->dtype) {
  case MYNAH_F32: return (double)((const float *)t->data)[i];
  case MYNAH_F64: return ((const double *)t->data)[i];
  case MYNAH_I64: return (double)((const int64_t *)t->data)[i];
  case MYNAH_BOOL: return ((const uint8_t *)t->data)[i];
  default: fail_msg("%s: %s has an unexpected type", c->name, key);
  }
  return 0;
}

/* ---- pieces that builders use ------------------------------------------------------------------------------------ */

static mynah_node in(golden *c, const char *key) {
  const mynah_safetensor *t = mynah_safetensors_find(c->file, key);
  if (!t) fail_msg("%s: no tensor %s", c->name, key);
  return mynah_input(c->g, key, t->dtype == MYNAH_I64 ? MYNAH_I32 : MYNAH_F32, engine_shape(c, key));
}

/* A parameter, or null when the file has none of that name. */
static mynah_node param(golden *c, const char *key) {
  if (!mynah_safetensors_find(c->file, key)) return MYNAH_NO_NODE;
  if (!c->is_weighted) return in(c, key);
  return mynah_weight(c->g, key, engine_shape(c, key), (mynah_init){MYNAH_INIT_ZERO, 0});
}

static mynah_node buffer(golden *c, const char *key) {
  return mynah_buffer(c->g, key, engine_shape(c, key), (mynah_init){MYNAH_INIT_ZERO, 0});
}

/* Names an output and adds its share of the loss. */
static void out(golden *c, const char *key, mynah_node y) {
  mynah_shape s = engine_shape(c, key), have = mynah_node_shape(c->g, y);
  if (mynah_node_is_null(y)) return; /* the graph holds the reason */
  if (s.n_dims != have.n_dims || memcmp(s.dims, have.dims, (size_t)s.n_dims * sizeof *s.dims) != 0)
    fail_msg("%s: %s has another shape than the file's", c->name, key);
  mynah_output(c->g, key, y);
  char dout[MYNAH_NAME_MAX];
  snprintf(dout, sizeof dout, "d%s", key);
  if (!mynah_safetensors_find(c->file, dout)) return;
  mynah_node share = mynah_sum(c->g, mynah_mul(c->g, y, in(c, dout)), NULL, 0, false);
  c->loss = mynah_node_is_null(c->loss) ? share : mynah_add(c->g, c->loss, share);
}

static double number(const golden *c, const char *key, double fallback) {
  return mynah_json_to_number(mynah_json_get(c->attrs, key), fallback);
}

/* A number for both axes, or a pair. */
static void pair(const golden *c, const char *key, int fallback, int value[2]) {
  const mynah_json *j = mynah_json_get(c->attrs, key);
  for (int i = 0; i < 2; i++)
    value[i] = (int)mynah_json_to_number(mynah_json_is_array(j) ? mynah_json_at(j, (size_t)i) : j, fallback);
}

/* ---- builders ---------------------------------------------------------------------------------------------------- */

static void build_linear(golden *c) {
  out(c, "out.y", mynah_linear(c->g, in(c, "in.x"), param(c, "param.weight"), param(c, "param.bias")));
}

static void build_matmul(golden *c) { out(c, "out.y", mynah_matmul(c->g, in(c, "in.a"), in(c, "in.b"), false, false)); }

static void build_scale_shift(golden *c) {
  out(c, "out.y", mynah_add(c->g, mynah_mul(c->g, in(c, "in.x"), in(c, "in.s")), in(c, "in.b")));
}

static void build_permute_concat_slice(golden *c) {
  mynah_node parts[2] = {mynah_permute(c->g, in(c, "in.x"), (int[]){0, 2, 1}), in(c, "in.z")};
  out(c, "out.y", mynah_slice(c->g, mynah_concat(c->g, parts, 2, 1), 1, 1, 5));
}

static mynah_conv conv_of(const golden *c) {
  int stride[2], dilation[2], pad[2];
  pair(c, "stride", 1, stride), pair(c, "dilation", 1, dilation), pair(c, "pad", 0, pad);
  return (mynah_conv){.stride = {stride[0], stride[1]},
                      .dilation = {dilation[0], dilation[1]},
                      .pad = {pad[0], pad[1], pad[0], pad[1]},
                      .groups = (int)number(c, "groups", 1)};
}

static void build_conv2d(golden *c) {
  mynah_conv cfg = conv_of(c);
  out(c, "out.y", mynah_conv2d(c->g, in(c, "in.x"), param(c, "param.weight"), param(c, "param.bias"), &cfg));
}

static void build_conv1d(golden *c) {
  mynah_conv cfg = conv_of(c);
  out(c, "out.y", mynah_conv1d(c->g, in(c, "in.x"), param(c, "param.weight"), param(c, "param.bias"), &cfg));
}

static void build_batch_norm(golden *c) {
  const char *mode = mynah_json_to_string(mynah_json_get(c->attrs, "mode"), "");
  float eps = (float)number(c, "eps", 0), momentum = (float)number(c, "momentum", 0);
  mynah_node x = in(c, "in.x"), mean = buffer(c, "buf.running_mean"), var = buffer(c, "buf.running_var");
  bool is_frozen = strcmp(mode, "frozen") == 0;
  mynah_node gamma = is_frozen ? buffer(c, "buf.weight") : param(c, "param.weight");
  mynah_node beta = is_frozen ? buffer(c, "buf.bias") : param(c, "param.bias");
  out(c, "out.y",
      strcmp(mode, "train") == 0 ? mynah_batch_norm(c->g, x, gamma, beta, mean, var, eps, momentum)
                                 : mynah_frozen_batch_norm(c->g, x, gamma, beta, mean, var, eps));
}

static void build_group_norm(golden *c) {
  out(c, "out.y",
      mynah_group_norm(c->g, in(c, "in.x"), (int)number(c, "groups", 1), param(c, "param.weight"),
                       param(c, "param.bias"), (float)number(c, "eps", 0)));
}

/* Over the last axes named by "shape": flattened, normalised, brought back. */
static void build_layer_norm(golden *c) {
  const mynah_json *shape = mynah_json_get(c->attrs, "shape");
  int64_t size = 1;
  for (size_t i = 0; i < mynah_json_size(shape); i++) size *= mynah_json_to_integer(mynah_json_at(shape, i), 0);
  mynah_node x = in(c, "in.x"), gamma = param(c, "param.weight"), beta = param(c, "param.bias");
  mynah_shape s = mynah_node_shape(c->g, x);
  if (!mynah_node_is_null(gamma)) {
    gamma = mynah_reshape(c->g, gamma, MYNAH_SHAPE(size));
    beta = mynah_reshape(c->g, beta, MYNAH_SHAPE(size));
  }
  x = mynah_reshape(c->g, x, MYNAH_SHAPE(mynah_shape_size(s) / size, size));
  out(c, "out.y", mynah_reshape(c->g, mynah_layer_norm(c->g, x, gamma, beta, (float)number(c, "eps", 0)), s));
}

/* Over the axis named, which is exchanged with the last one for it. */
static void build_softmax(golden *c) {
  mynah_node x = in(c, "in.x");
  const int swap[3] = {0, 2, 1};
  bool is_swapped = number(c, "axis", -1) > 0;
  if (is_swapped) x = mynah_permute(c->g, x, swap);
  x = mynah_softmax(c->g, x);
  out(c, "out.y", is_swapped ? mynah_permute(c->g, x, swap) : x);
}

static void build_log_softmax(golden *c) { out(c, "out.y", mynah_log_softmax(c->g, in(c, "in.x"))); }

/* log sum exp x = x_0 - log_softmax(x)_0 */
static void build_log_sum_exp(golden *c) {
  mynah_node x = in(c, "in.x");
  mynah_node difference = mynah_sub(c->g, x, mynah_log_softmax(c->g, x));
  out(c, "out.y", mynah_reshape(c->g, mynah_slice(c->g, difference, -1, 0, 1), engine_shape(c, "out.y")));
}

static mynah_node half(golden *c, mynah_node x, int i) {
  mynah_shape s = mynah_node_shape(c->g, x);
  int64_t n = s.dims[s.n_dims - 1] / 2;
  return mynah_slice(c->g, x, -1, i * n, n);
}

static void build_glu(golden *c) {
  mynah_node x = in(c, "in.x");
  out(c, "out.y", mynah_mul(c->g, half(c, x, 0), mynah_sigmoid(c->g, half(c, x, 1))));
}

/* act_NAME, where our name is another one now and then */
static void build_unary(golden *c) {
  static const char *const names[][2] = {{"gelu_erf", "gelu"},
                                         {"hardsigmoid", "hard_sigmoid"},
                                         {"hardswish", "hard_swish"},
                                         {"logsigmoid", "log_sigmoid"},
                                         {"leaky_relu_0p1", "leaky_relu:0.1"}};
  const char *function = c->name + strlen("act_");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(function, names[i][0]) == 0) function = names[i][1];
  out(c, "out.y", mynah_unary(c->g, function, in(c, "in.x")));
}

static void build_exp(golden *c) {
  mynah_node x = in(c, "in.x");
  out(c, "out.y", mynah_unary(c->g, "exp", mynah_clamp(c->g, x, -1e30f, 20)));
}

static mynah_pool2d pool_of(const golden *c) {
  int kernel[2], stride[2], pad[2];
  pair(c, "kernel", 1, kernel), pair(c, "stride", 0, stride), pair(c, "pad", 0, pad);
  return (mynah_pool2d){.kernel = {kernel[0], kernel[1]},
                        .stride = {stride[0], stride[1]},
                        .pad = {pad[0], pad[1], pad[0], pad[1]},
                        .is_ceil = mynah_json_to_bool(mynah_json_get(c->attrs, "ceil_mode"), false),
                        .counts_padding = mynah_json_to_bool(mynah_json_get(c->attrs, "count_include_pad"), true)};
}

static void build_max_pool(golden *c) {
  mynah_pool2d cfg = pool_of(c);
  out(c, "out.y", mynah_max_pool(c->g, in(c, "in.x"), &cfg));
}

/* A sequence is a picture of one row. */
static void build_max_pool1d(golden *c) {
  mynah_pool2d cfg = pool_of(c);
  cfg.kernel[0] = cfg.stride[0] = 1, cfg.pad[0] = cfg.pad[2] = 0;
  mynah_node x = in(c, "in.x");
  mynah_shape s = mynah_node_shape(c->g, x);
  x = mynah_max_pool(c->g, mynah_reshape(c->g, x, MYNAH_SHAPE(s.dims[0], 1, s.dims[1], s.dims[2])), &cfg);
  out(c, "out.y", mynah_reshape(c->g, x, engine_shape(c, "out.y")));
}

static void build_avg_pool(golden *c) {
  mynah_pool2d cfg = pool_of(c);
  out(c, "out.y", mynah_avg_pool(c->g, in(c, "in.x"), &cfg));
}

static void build_adaptive(golden *c) {
  int size[2];
  pair(c, "out", 1, size);
  out(c, "out.y", mynah_adaptive_avg_pool(c->g, in(c, "in.x"), size[0], size[1]));
}

static void build_mean(golden *c) { out(c, "out.y", mynah_mean(c->g, in(c, "in.x"), (int[]){1, 2}, 2, false)); }

static void build_spatial_softmax(golden *c) {
  c->is_out_plain = true;
  out(c, "out.y", mynah_model_spatial_softmax(c->g, in(c, "in.x")));
}

static void build_spatial_softmax_conv(golden *c) {
  mynah_node x = mynah_conv2d(c->g, in(c, "in.x"), param(c, "param.nets.weight"), param(c, "param.nets.bias"), NULL);
  c->is_out_plain = true;
  out(c, "out.y", mynah_model_spatial_softmax(c->g, x));
}

static mynah_node not_padded(golden *c) {
  if (!mynah_safetensors_find(c->file, "in.is_pad")) return MYNAH_NO_NODE;
  mynah_node mask = mynah_affine(c->g, in(c, "in.is_pad"), -1, 1);
  mynah_shape s = mynah_node_shape(c->g, mask);
  return mynah_reshape(c->g, mask, MYNAH_SHAPE(s.dims[0], s.dims[1], 1));
}

static void build_mse(golden *c) {
  out(c, "out.loss", mynah_mse(c->g, in(c, "in.pred"), in(c, "in.target"), not_padded(c)));
}

static void build_l1(golden *c) {
  out(c, "out.loss", mynah_l1(c->g, in(c, "in.pred"), in(c, "in.target"), not_padded(c)));
}

static void build_huber(golden *c) {
  out(c, "out.loss",
      mynah_huber(c->g, in(c, "in.pred"), in(c, "in.target"), MYNAH_NO_NODE, (float)number(c, "delta", 1)));
}

/* smooth L1 with beta = Huber with delta, divided by it */
static void build_smooth_l1(golden *c) {
  float beta = (float)number(c, "beta", 1);
  mynah_node huber = mynah_huber(c->g, in(c, "in.pred"), in(c, "in.target"), MYNAH_NO_NODE, beta);
  out(c, "out.loss", mynah_affine(c->g, huber, 1 / beta, 0));
}

static void build_cross_entropy(golden *c) {
  out(c, "out.loss",
      mynah_cross_entropy(c->g, in(c, "in.logits"), in(c, "in.label"), (float)number(c, "label_smoothing", 0)));
}

/* mean of softplus(x) - x t */
static void build_bce(golden *c) {
  mynah_node x = in(c, "in.logits");
  mynah_node each = mynah_sub(c->g, mynah_unary(c->g, "softplus", x), mynah_mul(c->g, x, in(c, "in.target")));
  out(c, "out.loss", mynah_mean(c->g, each, NULL, 0, false));
}

/* To the precision of the run: its float, and what that lacks. */
static mynah_node pi(golden *c) {
  const float parts[2] = {3.14159274101257324f, -8.74227800037e-8f};
  mynah_node both = mynah_constant(c->g, MYNAH_SHAPE(2), parts);
  return mynah_sum(c->g, both, NULL, 0, false);
}

/* The file sums over columns and has the constant: D (loss + log(2 pi) / 2), var = exp(2 log std). */
static void build_gaussian(golden *c) {
  mynah_node var = mynah_unary(c->g, "exp", mynah_affine(c->g, in(c, "in.logstd"), 2, 0));
  mynah_node loss = mynah_gaussian_nll(c->g, in(c, "in.mean"), var, in(c, "in.action"), 1e-12f);
  mynah_node two_pi = mynah_unary(c->g, "log", mynah_affine(c->g, pi(c), 2, 0));
  out(c, "out.loss", mynah_affine(c->g, mynah_add(c->g, loss, mynah_affine(c->g, two_pi, 0.5f, 0)), 3, 0));
}

/* The same as a mixture of one. */
static void build_gaussian_as_mixture(golden *c) {
  mynah_node mean = mynah_reshape(c->g, in(c, "in.mean"), MYNAH_SHAPE(6, 1, 3));
  mynah_node log_std = mynah_reshape(c->g, in(c, "in.logstd"), MYNAH_SHAPE(6, 1, 3));
  mynah_node logits = mynah_fill(c->g, MYNAH_SHAPE(6, 1), 0);
  out(c, "out.loss", mynah_gmm_nll(c->g, logits, mean, log_std, in(c, "in.action"), MYNAH_NO_NODE));
}

static void build_gmm(golden *c) {
  mynah_node mean = mynah_tanh(c->g, in(c, "in.mean"));
  mynah_node std = mynah_affine(c->g, mynah_unary(c->g, "softplus", in(c, "in.scale")), 1, 1e-4f);
  mynah_node log_std = mynah_unary(c->g, "log", std);
  out(c, "out.loss", mynah_gmm_nll(c->g, in(c, "in.logits"), mean, log_std, in(c, "in.action"), MYNAH_NO_NODE));
}

/* sum over the latent, mean over the batch of -(1 + logvar - mu^2 - exp(logvar)) / 2 */
static void build_kl(golden *c) {
  mynah_node mu = in(c, "in.mu"), logvar = in(c, "in.logvar");
  mynah_node each = mynah_sub(c->g, mynah_add(c->g, mynah_mul(c->g, mu, mu), mynah_unary(c->g, "exp", logvar)),
                              mynah_affine(c->g, logvar, 1, 1));
  mynah_node sum = mynah_sum(c->g, each, (int[]){1}, 1, false);
  out(c, "out.loss", mynah_affine(c->g, mynah_mean(c->g, sum, NULL, 0, false), 0.5f, 0));
}

static void build_basic_block(golden *c) {
  mynah_resnet_config config = {.norm = MYNAH_RESNET_GROUP_NORM};
  out(c, "out.y", mynah_model_basic_block(c->g, "param", in(c, "in.x"), engine_shape(c, "out.y").dims[3], 2, &config));
}

static void build_diffusion_block(golden *c) {
  mynah_unet_config config = {.kernel = 5, .groups = 8, .is_scaled = mynah_json_to_bool(mynah_json_get(c->attrs, "film_scale"), false)};
  out(c, "out.y", mynah_model_unet_block(c->g, "param", in(c, "in.x"), in(c, "in.cond"), engine_shape(c, "out.y").dims[2], &config));
}

static void build_waves(golden *c) {
  mynah_shape s = engine_shape(c, "out.y");
  mynah_node t = mynah_input(c->g, "in.t", MYNAH_F32, engine_shape(c, "in.t"));
  out(c, "out.y", mynah_model_waves(c->g, mynah_reshape(c->g, t, MYNAH_SHAPE(s.dims[0], 1)), s.dims[1]));
}

static void build_transpose1d(golden *c) {
  mynah_conv cfg = conv_of(c);
  out(c, "out.y", mynah_conv_transpose1d(c->g, in(c, "in.x"), param(c, "param.weight"), param(c, "param.bias"), &cfg,
                                         (int)number(c, "output_pad", 0)));
}

static void build_transpose2d(golden *c) {
  mynah_conv cfg = conv_of(c);
  int extra[2];
  pair(c, "output_pad", 0, extra);
  out(c, "out.y", mynah_conv_transpose2d(c->g, in(c, "in.x"), param(c, "param.weight"), param(c, "param.bias"), &cfg, extra));
}

static void build_gather(golden *c) {
  mynah_node index = in(c, "in.idx");
  mynah_shape s = mynah_node_shape(c->g, index);
  mynah_node flat = mynah_reshape(c->g, index, MYNAH_SHAPE(mynah_shape_size(s)));
  out(c, "out.y", mynah_reshape(c->g, mynah_gather(c->g, param(c, "param.weight"), flat), engine_shape(c, "out.y")));
}

/* softmax(q k^T / sqrt(d) + bias) v (Vaswani et al. 2017, eq. 1). q (…,L,d) k, v (…,S,d) -> (…,L,d) */
static mynah_node attention(golden *c, mynah_node q, mynah_node k, mynah_node v, mynah_node bias) {
  mynah_shape s = mynah_node_shape(c->g, q);
  mynah_node scores = mynah_matmul(c->g, q, k, false, true);
  scores = mynah_affine(c->g, scores, (float)(1 / sqrt((double)s.dims[s.n_dims - 1])), 0);
  if (!mynah_node_is_null(bias)) scores = mynah_add(c->g, scores, bias);
  return mynah_matmul(c->g, mynah_softmax(c->g, scores), v, false, false);
}

static void build_attention(golden *c) {
  out(c, "out.y", attention(c, in(c, "in.q"), in(c, "in.k"), in(c, "in.v"), MYNAH_NO_NODE));
}

/* A sequence as the file has it, (L,B,E) or (B,L,E) -> (B,L,E) */
static mynah_node sequence(golden *c, const char *key, bool is_batch_first) {
  mynah_node x = in(c, key);
  return is_batch_first ? x : mynah_permute(c->g, x, (int[]){1, 0, 2});
}

/* 1 where a key must not be seen -> what is added to the scores (B,1,1,S); null when the file has no mask. */
static mynah_node hidden_keys(golden *c) {
  if (!mynah_safetensors_find(c->file, "in.key_padding_mask")) return MYNAH_NO_NODE;
  mynah_node mask = in(c, "in.key_padding_mask"); /* (B,S) */
  mynah_shape m = mynah_node_shape(c->g, mask);
  return mynah_reshape(c->g, mynah_affine(c->g, mask, -1e9f, 0), MYNAH_SHAPE(m.dims[0], 1, 1, m.dims[1]));
}

static void build_multi_head(golden *c) {
  bool is_first = mynah_json_to_bool(mynah_json_get(c->attrs, "batch_first"), false);
  mynah_attention seen = {sequence(c, "in.query", is_first), sequence(c, "in.key", is_first), sequence(c, "in.value", is_first),
                          hidden_keys(c)};
  mynah_node y = mynah_model_attention(c->g, "param", &seen, (int64_t)number(c, "heads", 1), 0);
  out(c, "out.y", is_first ? y : mynah_permute(c->g, y, (int[]){1, 0, 2}));
}

static mynah_transformer_config transformer_of(const golden *c) {
  return (mynah_transformer_config){(int64_t)number(c, "heads", 1), (int64_t)number(c, "ff", 1),
                                    mynah_json_to_string(mynah_json_get(c->attrs, "act"), ""), 0,
                                    mynah_json_to_bool(mynah_json_get(c->attrs, "pre_norm"), false)};
}

static void build_encoder_layer(golden *c) {
  mynah_transformer_config config = transformer_of(c);
  mynah_node y = mynah_model_encoder_layer(c->g, "param", sequence(c, "in.x", false), sequence(c, "in.pos", false), hidden_keys(c), &config);
  out(c, "out.y", mynah_permute(c->g, y, (int[]){1, 0, 2}));
}

static void build_decoder_layer(golden *c) {
  mynah_transformer_config config = transformer_of(c);
  mynah_decoder_memory memory = {sequence(c, "in.enc", false), sequence(c, "in.enc_pos", false), sequence(c, "in.dec_pos", false)};
  mynah_node y = mynah_model_decoder_layer(c->g, "param", sequence(c, "in.x", false), &memory, &config);
  out(c, "out.y", mynah_permute(c->g, y, (int[]){1, 0, 2}));
}

static mynah_node dot(golden *c, mynah_node a, mynah_node b) {
  return mynah_sum(c->g, mynah_mul(c->g, a, b), (int[]){2}, 1, false);
}

/* mean of 1 - p.t / (|p| |t|) */
static void build_cosine(golden *c) {
  mynah_node p = in(c, "in.pred"), t = in(c, "in.target");
  mynah_node size = mynah_mul(c->g, mynah_unary(c->g, "sqrt", dot(c, p, p)), mynah_unary(c->g, "sqrt", dot(c, t, t)));
  mynah_node cosine = mynah_div(c->g, dot(c, p, t), size);
  out(c, "out.loss", mynah_affine(c->g, mynah_mean(c->g, cosine, NULL, 0, false), -1, 1));
}

/* u = mean + exp(logstd) eps; a = tanh u; log p = sum log N(u) - sum 2 (log 2 - u - softplus(-2u))
 * (Haarnoja et al. 2018, appendix C), with log N(u) = -eps^2 / 2 - logstd - log(2 pi) / 2 */
static void build_tanh_gaussian(golden *c) {
  mynah_node logstd = in(c, "in.logstd"), eps = in(c, "in.eps");
  mynah_node u = mynah_add(c->g, in(c, "in.mean"), mynah_mul(c->g, mynah_unary(c->g, "exp", logstd), eps));
  out(c, "out.action", mynah_tanh(c->g, u));
  mynah_node normal = mynah_sub(c->g, mynah_affine(c->g, mynah_mul(c->g, eps, eps), -0.5f, 0), logstd);
  mynah_node soft = mynah_unary(c->g, "softplus", mynah_affine(c->g, u, -2, 0));
  mynah_node slope = mynah_affine(c->g, mynah_add(c->g, u, soft), 2, 0); /* without 2 log 2 */
  /* The two constants, from logarithms taken in the run's own precision. */
  mynah_node two = mynah_unary(c->g, "log", mynah_fill(c->g, MYNAH_SHAPE(1), 2));
  mynah_node half_log_pi = mynah_affine(c->g, mynah_unary(c->g, "log", pi(c)), -0.5f, 0);
  mynah_node constant = mynah_add(c->g, mynah_affine(c->g, two, -2.5f, 0), half_log_pi);
  mynah_node each = mynah_add(c->g, mynah_add(c->g, normal, slope), constant);
  out(c, "out.logp", mynah_sum(c->g, each, (int[]){1}, 1, false));
}

/* The head's loss on one row after the other, since it gives their mean. */
static void build_tanh_gaussian_given(golden *c) {
  mynah_node mean = in(c, "in.mean"), logstd = in(c, "in.logstd"), action = in(c, "in.action"), rows[16];
  mynah_shape s = mynah_node_shape(c->g, mean);
  int64_t n = s.dims[0], d = s.dims[1];
  for (int64_t i = 0; i < n && i < 16; i++) {
    mynah_node parts[3] = {mynah_fill(c->g, MYNAH_SHAPE(1, 1), 0)};
    parts[1] = mynah_reshape(c->g, mynah_slice(c->g, mean, 0, i, 1), MYNAH_SHAPE(1, 1, d));
    parts[2] = mynah_reshape(c->g, mynah_slice(c->g, logstd, 0, i, 1), MYNAH_SHAPE(1, 1, d));
    mynah_node nll = mynah__tanh_gaussian_nll(c->g, parts, mynah_slice(c->g, action, 0, i, 1), MYNAH_NO_NODE);
    rows[i] = mynah_affine(c->g, nll, -1, 0);
  }
  out(c, "out.logp", mynah_concat(c->g, rows, (int)n, 0));
}

static mynah_node lstm_param(golden *c, const char *kind, int layer) {
  char key[MYNAH_NAME_MAX];
  snprintf(key, sizeof key, "param.%s_l%d", kind, layer);
  return param(c, key);
}

/* By weights that are inputs where the run is in double, and as the whole block where they are weights. */
static void build_lstm(golden *c) {
  int n = (int)number(c, "layers", 1);
  mynah_node x = in(c, "in.x"), h0 = in(c, "in.h0"), c0 = in(c, "in.c0"), y, hs[MYNAH_LSTM_LAYERS_MAX], cs[MYNAH_LSTM_LAYERS_MAX];
  mynah_shape s = mynah_node_shape(c->g, x), state_shape = mynah_node_shape(c->g, h0);
  int64_t batch = s.dims[0], steps = s.dims[1], hidden = state_shape.dims[2];
  mynah_lstm_state state;
  for (int k = 0; k < n; k++) {
    state.h[k] = mynah_reshape(c->g, mynah_slice(c->g, h0, 0, k, 1), MYNAH_SHAPE(batch, hidden));
    state.c[k] = mynah_reshape(c->g, mynah_slice(c->g, c0, 0, k, 1), MYNAH_SHAPE(batch, hidden));
  }
  if (c->is_weighted) {
    y = mynah_model_lstm(c->g, "param", x, &(mynah_lstm_config){hidden, n}, &state);
  } else {
    mynah_lstm_weights w[MYNAH_LSTM_LAYERS_MAX];
    mynah_node tops[16];
    for (int k = 0; k < n; k++)
      w[k] = (mynah_lstm_weights){lstm_param(c, "weight_ih", k), lstm_param(c, "weight_hh", k), lstm_param(c, "bias_ih", k),
                                  lstm_param(c, "bias_hh", k)};
    for (int64_t t = 0; t < steps; t++) {
      mynah_node h = mynah_reshape(c->g, mynah_slice(c->g, x, 1, t, 1), MYNAH_SHAPE(batch, s.dims[2]));
      for (int k = 0; k < n; k++) h = mynah_model_lstm_step(c->g, h, &w[k], &state.h[k], &state.c[k]);
      tops[t] = mynah_reshape(c->g, h, MYNAH_SHAPE(batch, 1, hidden));
    }
    y = mynah_concat(c->g, tops, (int)steps, 1);
  }
  for (int k = 0; k < n; k++) {
    hs[k] = mynah_reshape(c->g, state.h[k], MYNAH_SHAPE(1, batch, hidden));
    cs[k] = mynah_reshape(c->g, state.c[k], MYNAH_SHAPE(1, batch, hidden));
  }
  out(c, "out.y", y);
  out(c, "out.hn", mynah_concat(c->g, hs, n, 0));
  out(c, "out.cn", mynah_concat(c->g, cs, n, 0));
}

typedef struct row {
  const char *name; /* of the case, up to a `*` */
  void (*build)(golden *c);
  bool is_channels_first;
  const char *without; /* outputs of the file that the engine has no use for */
  bool is_block;       /* a function of model/: its parameters are weights in double too */
} row;

/* The first row that fits a case's name builds it. */
static const row rows[] = {
    {"linear*", build_linear, false, "", false},
    {"matmul_batched", build_matmul, false, "", false},
    {"broadcast_mul_add", build_scale_shift, false, "", false},
    {"transpose_concat_slice", build_permute_concat_slice, false, "", false},
    {"conv2d_*", build_conv2d, true, "", false},
    {"conv1d_*", build_conv1d, true, "", false},
    {"batchnorm*", build_batch_norm, true, "", false},
    {"groupnorm*", build_group_norm, true, "", false},
    {"layernorm*", build_layer_norm, false, "", false},
    {"softmax_*", build_softmax, false, "", false},
    {"log_softmax", build_log_softmax, false, "", false},
    {"logsumexp", build_log_sum_exp, false, "", false},
    {"act_glu", build_glu, false, "", false},
    {"act_exp", build_exp, false, "", false},
    {"act_encoder*", build_encoder_layer, false, "", true},
    {"act_decoder*", build_decoder_layer, false, "", true},
    {"conv_transpose1d_*", build_transpose1d, true, "", false},
    {"conv_transpose2d_*", build_transpose2d, true, "", false},
    {"posemb_diffusion_step_*", build_waves, false, "", false},
    {"embedding", build_gather, false, "", false},
    {"act_*", build_unary, false, "", false},
    {"maxpool2d_*", build_max_pool, true, "", false},
    {"maxpool1d_*", build_max_pool1d, true, "", false},
    {"avgpool2d_*", build_avg_pool, true, "", false},
    {"adaptive_avgpool2d_*", build_adaptive, true, "", false},
    {"reduce_mean_axis", build_mean, true, "", false},
    {"spatial_softmax", build_spatial_softmax, true, "", false},
    {"spatial_softmax_conv1x1", build_spatial_softmax_conv, true, "", false},
    {"loss_mse*", build_mse, false, "", false},
    {"loss_l1*", build_l1, false, "", false},
    {"loss_huber*", build_huber, false, "", false},
    {"loss_smooth_l1_b05", build_smooth_l1, false, "", false},
    {"loss_ce*", build_cross_entropy, false, "", false},
    {"loss_bce_logits", build_bce, false, "", false},
    {"loss_gaussian_nll", build_gaussian, false, "", false},
    {"loss_gmm_nll*", build_gmm, false, "out.logp out.mixture_mean", false},
    {"loss_cosine", build_cosine, false, "", false},
    {"tanh_gaussian_rsample", build_tanh_gaussian, false, "", false},
    {"tanh_gaussian_logp_given", build_tanh_gaussian_given, false, "", false},
    {"lstm_*", build_lstm, false, "", false},
    {"sdpa", build_attention, false, "", false},
    {"mha_*", build_multi_head, false, "out.attn", true},
    {"loss_kl_act", build_kl, false, "", false},
    {"resnet_basicblock_gn_down", build_basic_block, true, "", true},
    {"diffusion_resblock_*", build_diffusion_block, true, "", true},
};

static const row *row_of(const char *name) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    size_t n = strlen(rows[i].name);
    bool is_prefix = rows[i].name[n - 1] == '*';
    if (is_prefix ? strncmp(name, rows[i].name, n - 1) == 0 : strcmp(name, rows[i].name) == 0)
      return rows[i].build ? &rows[i] : NULL;
  }
  return NULL;
}

/* ---- running one case -------------------------------------------------------------------------------------------- */

static void fill_run(const golden *c, graph_run *r) {
  for (int k = 0; k < mynah_program_n_inputs(r->program); k++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *key = mynah_program_input(r->program, k, &dtype, &shape);
    void *data = mynah_state_input(r->state, key);
    for (int64_t i = 0; i < mynah_shape_size(shape); i++)
      if (dtype == MYNAH_I32) ((int32_t *)data)[i] = (int32_t)element(c, key, i);
      else run_set(r, data, i, element(c, key, i));
  }
  for (int k = 0; k < mynah_weights_n_tensors(r->weights); k++) {
    const mynah_tensor_info *t = mynah_weights_tensor(r->weights, k);
    for (int64_t i = 0; i < t->size; i++) mynah_weights_data(r->weights)[t->offset + i] = (float)element(c, t->name, i);
  }
  mynah_binding_refresh(r->binding, NULL);
}

/* |ours - theirs| <= tolerance (1 + |theirs|) of the whole tensor: where a relu stands on the other side of zero,
 * single elements of a gradient are quite others. */
static void compare_norms(const golden *c, const graph_run *r, const char *key, const void *ours, int64_t n,
                          double tolerance) {
  double off = 0, size = 0;
  for (int64_t i = 0; i < n; i++) {
    double a = run_get(r, ours, i), b = element(c, key, i);
    off += (a - b) * (a - b), size += b * b;
  }
  if (!(sqrt(off) <= tolerance * (1 + sqrt(size))))
    fail_msg("%s in bfloat16: %s of size %.4g is off by %.4g", c->name, key, sqrt(size), sqrt(off));
}

/* |ours - theirs| <= atol + rtol |theirs| for every out.* and grad.* of the file. */
static void compare(const golden *c, const graph_run *r, const row *how, const char *kernels, double rtol,
                    double atol) {
  for (int k = 0; k < mynah_safetensors_count(c->file); k++) {
    const char *key = mynah_safetensors_at(c->file, k)->name;
    char output[MYNAH_NAME_MAX + 16];
    if (starts(key, "out.running_")) snprintf(output, sizeof output, "update/buf.%s", key + strlen("out."));
    else if (starts(key, "grad.")) snprintf(output, sizeof output, "grad/%s", key + strlen("grad."));
    else if (starts(key, "out.") && !strstr(how->without, key)) snprintf(output, sizeof output, "%s", key);
    else continue;
    const void *ours = mynah_state_output(r->state, output);
    if (!ours) fail_msg("%s: no output %s", c->name, output);
    int64_t n = mynah_shape_size(engine_shape(c, key));
    double largest = 0;
    if (c->precision == MYNAH_BF16) {
      compare_norms(c, r, key, ours, n, rtol);
      continue;
    }
    for (int64_t i = 0; i < n && r->is_double; i++) largest = fmax(largest, fabs(element(c, key, i)));
    for (int64_t i = 0; i < n; i++) {
      double a = run_get(r, ours, i), b = element(c, key, i);
      if (!(fabs(a - b) <= atol + rtol * fmax(fabs(b), largest)))
        fail_msg("%s, %s in %s: %s[%lld] is %.10g, PyTorch's %.10g", c->name, kernels, mynah_dtype_name(c->precision),
                 key, (long long)i, a, b);
    }
  }
}

static void run_case(golden *c, const row *how, const char *kernels, mynah_dtype precision, double rtol, double atol) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  c->g = r.graph, c->loss = MYNAH_NO_NODE, c->is_weighted = precision != MYNAH_F64 || how->is_block,
  c->is_channels_first = how->is_channels_first;
  c->is_out_plain = false, c->precision = precision;
  how->build(c);
  case_ok(mynah_graph_status(r.graph));
  if (!mynah_node_is_null(c->loss)) case_ok(mynah_differentiate_inputs(r.graph, c->loss));
  graph_run_compile_at(&r, kernels, precision);
  fill_run(c, &r);
  mynah_state_run(r.state);
  compare(c, &r, how, kernels, rtol, atol);
  graph_run_end(&r);
}

static mynah_json *load_index(void) {
  mynah_json *index = NULL;
  if (!mynah_file_exists(FOLDER "index.json")) {
    print_message("../shared/goldens/blocks is absent: not compared with PyTorch\n");
    return NULL;
  }
  case_ok(mynah_json_load(FOLDER "index.json", &index));
  return index;
}

/* The double build reaches the rounding of the file's float32 (6e-8), relative to the tensor's largest element:
 * upstream gradients were rounded too, and sums of them cancel. */
#define DOUBLE_TOLERANCE 2e-7
/* In bfloat16 operands are off by 2^-9 of themselves at most. A block has several products in a row, and a relu that falls on the
 * other side takes a gradient with it: its bound is not derived but set above the most that was seen (10.5 %, in the decoder
 * layer with norms first), so it finds gross faults only; what finds fine ones is the agreement of kernels at this precision. */
#define BF16_TOLERANCE 2e-2
#define BF16_BLOCK_TOLERANCE 1.5e-1

static void check_case(const mynah_json *entry, const row *how) {
  golden c = {.name = mynah_json_to_string(mynah_json_get(entry, "name"), ""), .attrs = mynah_json_get(entry, "attrs")};
  char path[MYNAH_PATH_MAX];
  case_ok(mynah_path_join(path, sizeof path, FOLDER, mynah_json_to_string(mynah_json_get(entry, "file"), "")));
  case_ok(mynah_safetensors_open(path, &c.file));
  const mynah_json *tol = mynah_json_get(entry, "tol");
  double rtol = mynah_json_to_number(mynah_json_get(tol, "rtol"), 0);
  double atol = mynah_json_to_number(mynah_json_get(tol, "atol"), 0);
  double half = how->is_block ? BF16_BLOCK_TOLERANCE : BF16_TOLERANCE;
  /* The waves' frequencies are floats in double too. */
  if (how->build != build_waves) run_case(&c, how, "ref", MYNAH_F64, DOUBLE_TOLERANCE, DOUBLE_TOLERANCE);
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    run_case(&c, how, case_families[f], MYNAH_F32, rtol, atol);
    run_case(&c, how, case_families[f], MYNAH_BF16, half, half);
  }
  mynah_safetensors_close(c.file);
}

static void test_blocks(void **state) {
  mynah_json *index = load_index();
  if (!index) skip();
  const mynah_json *cases = mynah_json_get(index, "cases");
  int n_done = 0;
  for (size_t i = 0; i < mynah_json_size(cases); i++) {
    const mynah_json *entry = mynah_json_at(cases, i);
    const row *how = row_of(mynah_json_to_string(mynah_json_get(entry, "name"), ""));
    if (!how) continue;
    check_case(entry, how);
    if (how->build == build_gaussian) check_case(entry, &(row){"", build_gaussian_as_mixture, false, "", false});
    n_done++;
  }
  print_message("%d of %d block goldens compared\n", n_done, (int)mynah_json_size(cases));
  /* As many as the table above covers: fewer means that a row has lost its cases. */
  assert_true(n_done >= 117);
  mynah_json_destroy(index);
}

/* A constant of the engine against a tensor of a file without inputs, element by element of the file. */
static void check_positions(const char *name, mynah_node (*build)(mynah_graph *g), int64_t places) {
  graph_run r = {0};
  golden c = {.name = name};
  char path[MYNAH_PATH_MAX];
  snprintf(path, sizeof path, FOLDER "%s.safetensors", name);
  case_ok(mynah_safetensors_open(path, &c.file));
  case_ok(mynah_graph_create(&r.graph));
  mynah_output(r.graph, "y", build(r.graph));
  graph_run_compile(&r, "fast", false);
  mynah_state_run(r.state);
  const float *y = mynah_state_output(r.state, "y"); /* (places,channels); the file's with places > 0 (channels,places) */
  int64_t n = mynah_shape_size(mynah_safetensors_find(c.file, "out.y")->shape), channels = places ? n / places : n;
  for (int64_t i = 0; i < n; i++) {
    double want = element(&c, "out.y", places ? i % channels * places + i / channels : i);
    if (fabs((double)y[i] - want) > 2e-5) fail_msg("%s: [%lld] is %.9g, PyTorch's %.9g", name, (long long)i, (double)y[i], want);
  }
  graph_run_end(&r);
  mynah_safetensors_close(c.file);
}

static mynah_node positions_1d(mynah_graph *g) { return mynah_model_positions(g, 22, 64); }
static mynah_node positions_2d(mynah_graph *g) { return mynah_model_positions_2d(g, 5, 7, 64); }

static void test_positions(void **state) {
  if (!mynah_file_exists(FOLDER "posemb_act_1d.safetensors")) skip();
  check_positions("posemb_act_1d", positions_1d, 0);
  check_positions("posemb_act_2d", positions_2d, 35);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks), cmocka_unit_test(test_positions)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
