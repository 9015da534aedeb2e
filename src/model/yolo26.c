/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* YOLO26, a one-stage detector without anchor boxes or box distributions: features of three sizes, and heads that give each
 * grid cell four distances and the classes' scores (Sapkota et al. 2025; the facts of the architecture are its published
 * table of layers). The one-to-one head is trained to name each object once, so nothing is left to suppress.
 *
 * One table describes all five sizes; names of weights are ultralytics', so its files fit. */
#include "model_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EPSILON 1e-3f
#define MOMENTUM 0.03f
#define HEAD 23 /* the head's number among the layers */

typedef struct scale {
  char name;
  double depth, width;
  int64_t max_channels;
  bool is_deep; /* every C3k2 has C3k inside */
} scale;

static const scale scales[] = {
    {'n', 0.5, 0.25, 1024, false}, {'s', 0.5, 0.5, 1024, false}, {'m', 0.5, 1, 512, true},
    {'l', 1, 1, 512, true},        {'x', 1, 1.5, 512, true},
};

typedef enum kind { CONV, C3K2, SPPF, C2PSA, UPSAMPLE, CONCAT } kind;
/* What repeats inside a C3k2. */
typedef enum inside { BOTTLENECK, C3K, ATTENTION } inside;

typedef struct layer {
  kind kind;
  int with;         /* CONCAT: the other layer */
  int64_t channels; /* before scaling */
  int repeats;
  inside inside;
  double expansion;
} layer;

static const layer layers[MYNAH_YOLO26_LAYERS] = {
    {CONV, 0, 64, 1, 0, 0},         {CONV, 0, 128, 1, 0, 0},
    {C3K2, 0, 256, 2, BOTTLENECK, 0.25}, {CONV, 0, 256, 1, 0, 0},
    {C3K2, 0, 512, 2, BOTTLENECK, 0.25}, {CONV, 0, 512, 1, 0, 0},
    {C3K2, 0, 512, 2, C3K, 0.5},    {CONV, 0, 1024, 1, 0, 0},
    {C3K2, 0, 1024, 2, C3K, 0.5},   {SPPF, 0, 1024, 1, 0, 0},
    {C2PSA, 0, 1024, 2, 0, 0},      {UPSAMPLE, 0, 0, 1, 0, 0},
    {CONCAT, 6, 0, 1, 0, 0},        {C3K2, 0, 512, 2, C3K, 0.5},
    {UPSAMPLE, 0, 0, 1, 0, 0},      {CONCAT, 4, 0, 1, 0, 0},
    {C3K2, 0, 256, 2, C3K, 0.5},    {CONV, 0, 256, 1, 0, 0},
    {CONCAT, 13, 0, 1, 0, 0},       {C3K2, 0, 512, 2, C3K, 0.5},
    {CONV, 0, 512, 1, 0, 0},        {CONCAT, 10, 0, 1, 0, 0},
    {C3K2, 0, 1024, 1, ATTENTION, 0.5},
};
static const int seen_by_head[MYNAH_YOLO26_LEVELS] = {16, 19, 22};

typedef struct net {
  mynah_graph *g;
  const mynah_yolo26_config *config;
  const scale *scale;
} net;

static const scale *find_scale(char name) {
  for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
    if (scales[i].name == name) return &scales[i];
  return NULL;
}

static mynah_status config_check(const mynah_yolo26_config *c) {
  if (!find_scale(c->scale)) return mynah_fail(MYNAH_INVALID, "yolo26: the scale must be n, s, m, l or x");
  if (c->n_classes < 1 || c->n_classes > MYNAH_YOLO26_CLASSES_MAX)
    return mynah_fail(MYNAH_INVALID, "yolo26: there may be 1 … %d classes", MYNAH_YOLO26_CLASSES_MAX);
  return MYNAH_OK;
}

static bool begin(net *n, mynah_graph *g, const mynah_yolo26_config *config) {
  if (config_check(config) != MYNAH_OK) {
    mynah_graph_fail(g, "%s", mynah_error());
    return false;
  }
  *n = (net){g, config, find_scale(config->scale)};
  return true;
}

static int64_t channels_of(const net *n, mynah_node x) {
  mynah_shape s = mynah_node_shape(n->g, x);
  return s.n_dims == 4 ? s.dims[3] : 1;
}

/* "PREFIX.SUFFIX", the suffix printed. A name that is too long is noted by the weight that gets it. */
typedef struct name {
  char text[MYNAH_NAME_MAX];
} name;
static name sub(const char *prefix, const char *suffix) {
  name n;
  snprintf(n.text, sizeof n.text, "%.64s.%.24s", prefix, suffix);
  return n;
}
static name sub_at(const char *prefix, const char *suffix, int i) {
  char text[32];
  snprintf(text, sizeof text, "%s%d", suffix, i);
  return sub(prefix, text);
}

/* ---- layers ------------------------------------------------------------------------------------------------------- */

typedef struct conv {
  int64_t n_out;
  int kernel, stride;
  int64_t groups; /* 0: 1 */
  bool is_linear; /* no SiLU behind it */
} conv;

static mynah_node vector(const net *n, const char *prefix, const char *suffix, int64_t size, float value, bool is_trained) {
  mynah_init init = {MYNAH_INIT_CONSTANT, value};
  name v = sub(prefix, suffix);
  return (is_trained ? mynah_weight : mynah_buffer)(n->g, v.text, MYNAH_SHAPE(size), init);
}

/* Filter, then batch norm in one of its three forms. PREFIX.conv.weight; PREFIX.conv.bias or PREFIX.bn.*. */
static mynah_node convolve_normed(const net *n, const char *prefix, mynah_node x, mynah_node w, int64_t n_out, const mynah_conv *cfg) {
  mynah_graph *g = n->g;
  if (n->config->norm == MYNAH_YOLO26_FUSED)
    return mynah_conv2d(g, x, w, vector(n, prefix, "conv.bias", n_out, 0, true), cfg);
  bool is_trained = n->config->norm == MYNAH_YOLO26_TRAINED;
  mynah__norm_vectors v = {vector(n, prefix, "bn.weight", n_out, 1, is_trained), vector(n, prefix, "bn.bias", n_out, 0, is_trained),
                           vector(n, prefix, "bn.running_mean", n_out, 0, false),
                           vector(n, prefix, "bn.running_var", n_out, 1, false)};
  if (is_trained) {
    mynah_node y = mynah_conv2d(g, x, w, MYNAH_NO_NODE, cfg);
    return mynah_batch_norm(g, y, v.weight, v.bias, v.mean, v.variance, EPSILON, MOMENTUM);
  }
  mynah_node b;
  mynah__model_fold_norm(g, &v, EPSILON, &w, &b);
  return mynah_conv2d(g, x, w, b, cfg);
}

static mynah_node convolve(const net *n, const char *prefix, mynah_node x, conv c) {
  int64_t groups = c.groups ? c.groups : 1, n_in = channels_of(n, x) / groups;
  int pad = c.kernel / 2;
  mynah_conv cfg = {.stride = {c.stride, c.stride}, .pad = {pad, pad, pad, pad}, .groups = (int)groups};
  name weight = sub(prefix, "conv.weight");
  mynah_init init = mynah__model_init_fan_in(n_in * c.kernel * c.kernel);
  mynah_node w = mynah_weight(n->g, weight.text, MYNAH_SHAPE(c.n_out, n_in, c.kernel, c.kernel), init);
  mynah_node y = convolve_normed(n, prefix, x, w, c.n_out, &cfg);
  return c.is_linear ? y : mynah_silu(n->g, y);
}

/* x + f(x), f two 3x3 convolutions. */
static mynah_node bottleneck(const net *n, const char *prefix, mynah_node x, int64_t hidden) {
  int64_t c = channels_of(n, x);
  mynah_node y = convolve(n, sub(prefix, "cv1").text, x, (conv){hidden, 3, 1, 0, false});
  y = convolve(n, sub(prefix, "cv2").text, y, (conv){c, 3, 1, 0, false});
  return mynah_add(n->g, x, y);
}

/* Two bottlenecks beside a shortcut. */
static mynah_node c3k(const net *n, const char *prefix, mynah_node x) {
  int64_t c = channels_of(n, x), hidden = c / 2;
  mynah_node parts[2] = {convolve(n, sub(prefix, "cv1").text, x, (conv){hidden, 1, 1, 0, false}),
                         convolve(n, sub(prefix, "cv2").text, x, (conv){hidden, 1, 1, 0, false})};
  for (int i = 0; i < 2; i++) parts[0] = bottleneck(n, sub_at(prefix, "m.", i).text, parts[0], hidden);
  return convolve(n, sub(prefix, "cv3").text, mynah_concat(n->g, parts, 2, 3), (conv){c, 1, 1, 0, false});
}

/* Self-attention over places with half-size keys, and a depthwise filter of the values as position.
 * softmax(q k^T / sqrt(d_k)) v + filter(v), projected. x (B,H,W,C) -> (B,H,W,C) */
static mynah_node attention(const net *n, const char *prefix, mynah_node x) {
  mynah_graph *g = n->g;
  mynah_shape s = mynah_node_shape(g, x);
  if (s.n_dims != 4) return MYNAH_NO_NODE;
  int64_t c = s.dims[3], places = s.dims[1] * s.dims[2], heads = c / 64 > 0 ? c / 64 : 1, value = c / heads, key = value / 2;
  mynah_node qkv = convolve(n, sub(prefix, "qkv").text, x, (conv){c + 2 * key * heads, 1, 1, 0, true});
  qkv = mynah_reshape(g, qkv, MYNAH_SHAPE(s.dims[0], places, heads, 2 * key + value));
  qkv = mynah_permute(g, qkv, (int[]){0, 2, 1, 3}); /* (B,heads,places,2 key + value) */
  mynah_node q = mynah_affine(g, mynah_slice(g, qkv, 3, 0, key), (float)(1 / sqrt((double)key)), 0);
  mynah_node k = mynah_slice(g, qkv, 3, key, key), v = mynah_slice(g, qkv, 3, 2 * key, value);
  mynah_node y = mynah_matmul(g, mynah_softmax(g, mynah_matmul(g, q, k, false, true)), v, false, false);
  y = mynah_reshape(g, mynah_permute(g, y, (int[]){0, 2, 1, 3}), s);
  v = mynah_reshape(g, mynah_permute(g, v, (int[]){0, 2, 1, 3}), s);
  y = mynah_add(g, convolve(n, sub(prefix, "pe").text, v, (conv){c, 3, 1, c, true}), y);
  return convolve(n, sub(prefix, "proj").text, y, (conv){c, 1, 1, 0, true});
}

/* Attention and a feed-forward part, each added to what came in. */
static mynah_node psa_block(const net *n, const char *prefix, mynah_node x) {
  int64_t c = channels_of(n, x);
  x = mynah_add(n->g, attention(n, sub(prefix, "attn").text, x), x);
  mynah_node y = convolve(n, sub(prefix, "ffn.0").text, x, (conv){2 * c, 1, 1, 0, false});
  return mynah_add(n->g, convolve(n, sub(prefix, "ffn.1").text, y, (conv){c, 1, 1, 0, true}), x);
}

static mynah_node c3k2_inside(const net *n, const char *prefix, mynah_node x, inside what) {
  int64_t c = channels_of(n, x);
  if (what == ATTENTION) return psa_block(n, sub(prefix, "1").text, bottleneck(n, sub(prefix, "0").text, x, c / 2));
  if (what == C3K) return c3k(n, prefix, x);
  return bottleneck(n, prefix, x, c / 2);
}

/* Halves of a first 1x1 convolution; blocks in a row on the second; all of them joined by a last one. */
static mynah_node c3k2(const net *n, const char *prefix, mynah_node x, const layer *l, int64_t n_out) {
  mynah_node parts[8];
  int64_t half = (int64_t)((double)n_out * l->expansion);
  int n_parts = 2, repeats = l->repeats > 1 ? (int)nearbyint(l->repeats * n->scale->depth) : 1;
  enum inside what = n->scale->is_deep && l->inside == BOTTLENECK ? C3K : l->inside;
  mynah_node y = convolve(n, sub(prefix, "cv1").text, x, (conv){2 * half, 1, 1, 0, false});
  for (int i = 0; i < 2; i++) parts[i] = mynah_slice(n->g, y, 3, i * half, half);
  for (int i = 0; i < repeats; i++, n_parts++)
    parts[n_parts] = c3k2_inside(n, sub_at(prefix, "m.", i).text, parts[n_parts - 1], what);
  return convolve(n, sub(prefix, "cv2").text, mynah_concat(n->g, parts, n_parts, 3), (conv){n_out, 1, 1, 0, false});
}

/* Maxima over 5, 9 and 13 pixels as one pooling three times over. */
static mynah_node sppf(const net *n, const char *prefix, mynah_node x, int64_t n_out) {
  mynah_pool2d pool = {.kernel = {5, 5}, .stride = {1, 1}, .pad = {2, 2, 2, 2}};
  int64_t c = channels_of(n, x);
  mynah_node parts[4] = {convolve(n, sub(prefix, "cv1").text, x, (conv){c / 2, 1, 1, 0, true})};
  for (int i = 1; i < 4; i++) parts[i] = mynah_max_pool(n->g, parts[i - 1], &pool);
  mynah_node y = convolve(n, sub(prefix, "cv2").text, mynah_concat(n->g, parts, 4, 3), (conv){n_out, 1, 1, 0, false});
  return c == n_out ? mynah_add(n->g, y, x) : y;
}

static mynah_node c2psa(const net *n, const char *prefix, mynah_node x, const layer *l) {
  int64_t c = channels_of(n, x), half = c / 2;
  int repeats = (int)nearbyint(l->repeats * n->scale->depth);
  mynah_node y = convolve(n, sub(prefix, "cv1").text, x, (conv){2 * half, 1, 1, 0, false});
  mynah_node parts[2] = {mynah_slice(n->g, y, 3, 0, half), mynah_slice(n->g, y, 3, half, half)};
  for (int i = 0; i < repeats; i++) parts[1] = psa_block(n, sub_at(prefix, "m.", i).text, parts[1]);
  return convolve(n, sub(prefix, "cv2").text, mynah_concat(n->g, parts, 2, 3), (conv){c, 1, 1, 0, false});
}

/* min(channels, max) * width, rounded up to a multiple of 8 */
static int64_t scaled(const net *n, int64_t channels) {
  double wide = (double)(channels < n->scale->max_channels ? channels : n->scale->max_channels) * n->scale->width;
  return (int64_t)ceil(wide / 8) * 8;
}

static mynah_node add_layer(const net *n, int i, mynah_node x, const mynah_node *before) {
  const layer *l = &layers[i];
  int64_t n_out = scaled(n, l->channels);
  name prefix = sub_at("model", "", i);
  switch (l->kind) {
  case CONV: return convolve(n, prefix.text, x, (conv){n_out, 3, 2, 0, false});
  case C3K2: return c3k2(n, prefix.text, x, l, n_out);
  case SPPF: return sppf(n, prefix.text, x, n_out);
  case C2PSA: return c2psa(n, prefix.text, x, l);
  case UPSAMPLE: return mynah_upsample_nearest(n->g, x, 2);
  default: return mynah_concat(n->g, (mynah_node[]){x, before[l->with]}, 2, 3);
  }
}

bool mynah_model_yolo26(mynah_graph *g, mynah_node x, const mynah_yolo26_config *config, mynah_yolo26_features *out) {
  net n;
  mynah_shape s = mynah_node_shape(g, x);
  if (!begin(&n, g, config)) return false;
  if (s.n_dims != 4 || s.dims[1] % MYNAH_YOLO26_STRIDE || s.dims[2] % MYNAH_YOLO26_STRIDE || s.dims[3] != 3) {
    mynah_graph_fail(g, "yolo26: takes (B,H,W,3) with H and W multiples of %d", MYNAH_YOLO26_STRIDE);
    return false;
  }
  for (int i = 0; i < MYNAH_YOLO26_LAYERS; i++) out->layers[i] = x = add_layer(&n, i, x, out->layers);
  for (int i = 0; i < MYNAH_YOLO26_LEVELS; i++) out->levels[i] = out->layers[seen_by_head[i]];
  return mynah_graph_status(g) == MYNAH_OK;
}

/* ---- heads -------------------------------------------------------------------------------------------------------- */

/* A plain 1x1 convolution PREFIX.weight, PREFIX.bias, (B,h,w,C) -> (B,h*w,n_out) */
static mynah_node last(const net *n, const char *prefix, mynah_node x, int64_t n_out, float bias) {
  mynah_shape s = mynah_node_shape(n->g, x);
  if (s.n_dims != 4) return MYNAH_NO_NODE;
  name weight = sub(prefix, "weight");
  mynah_node w = mynah_weight(n->g, weight.text, MYNAH_SHAPE(n_out, s.dims[3], 1, 1), mynah__model_init_fan_in(s.dims[3]));
  mynah_node y = mynah_conv2d(n->g, x, w, vector(n, prefix, "bias", n_out, bias, true), NULL);
  return mynah_reshape(n->g, y, MYNAH_SHAPE(s.dims[0], s.dims[1] * s.dims[2], n_out));
}

/* Scores begin as if 5 objects of n_classes were in a picture of 640 x 640. */
static float first_score(const net *n, int level) {
  double cells = 640.0 / (8 << level);
  return (float)log(5.0 / (double)n->config->n_classes / (cells * cells));
}

static mynah_node box_branch(const net *n, const char *prefix, mynah_node x, int64_t hidden) {
  for (int i = 0; i < 2; i++) x = convolve(n, sub_at(prefix, "", i).text, x, (conv){hidden, 3, 1, 0, false});
  return last(n, sub(prefix, "2").text, x, 4, 1);
}

static mynah_node class_branch(const net *n, const char *prefix, mynah_node x, int64_t hidden, int level) {
  for (int i = 0; i < 2; i++) {
    int64_t c = channels_of(n, x);
    name at = sub_at(prefix, "", i);
    x = convolve(n, sub(at.text, "0").text, x, (conv){c, 3, 1, c, false});
    x = convolve(n, sub(at.text, "1").text, x, (conv){hidden, 1, 1, 0, false});
  }
  return last(n, sub(prefix, "2").text, x, n->config->n_classes, first_score(n, level));
}

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

bool mynah_model_yolo26_head(mynah_graph *g, const mynah_yolo26_features *features, const mynah_yolo26_config *config,
                             bool is_one_to_one, mynah_yolo26_head *out) {
  net n;
  mynah_node boxes[MYNAH_YOLO26_LEVELS], scores[MYNAH_YOLO26_LEVELS];
  if (!begin(&n, g, config)) return false;
  int64_t first = channels_of(&n, features->levels[0]);
  int64_t box_hidden = at_least(16, first / 4), class_hidden = at_least(first, at_most(config->n_classes, 100));
  const char *head = is_one_to_one ? "one2one_cv" : "cv";
  char prefix[48];
  for (int i = 0; i < MYNAH_YOLO26_LEVELS; i++) {
    snprintf(prefix, sizeof prefix, "model.%d.%s2.%d", HEAD, head, i);
    boxes[i] = box_branch(&n, prefix, features->levels[i], box_hidden);
    snprintf(prefix, sizeof prefix, "model.%d.%s3.%d", HEAD, head, i);
    scores[i] = class_branch(&n, prefix, features->levels[i], class_hidden, i);
  }
  out->distances = mynah_concat(g, boxes, MYNAH_YOLO26_LEVELS, 1);
  out->logits = mynah_concat(g, scores, MYNAH_YOLO26_LEVELS, 1);
  return mynah_graph_status(g) == MYNAH_OK;
}

/* ---- boxes -------------------------------------------------------------------------------------------------------- */

int64_t mynah_yolo26_n_anchors(int64_t height, int64_t width) {
  int64_t n = 0;
  for (int i = 0; i < MYNAH_YOLO26_LEVELS; i++) n += (height >> (3 + i)) * (width >> (3 + i));
  return n;
}

void mynah_yolo26_anchors(int64_t height, int64_t width, float *out) {
  for (int level = 0; level < MYNAH_YOLO26_LEVELS; level++) {
    int64_t h = height >> (3 + level), w = width >> (3 + level);
    float stride = (float)(8 << level);
    for (int64_t i = 0; i < h * w; i++, out += 3) {
      out[0] = ((float)(i % w) + 0.5f) * stride;
      out[1] = ((float)(i / w) + 0.5f) * stride;
      out[2] = stride;
    }
  }
}

mynah_node mynah_model_yolo26_boxes(mynah_graph *g, mynah_node distances, int64_t height, int64_t width) {
  int64_t n = mynah_yolo26_n_anchors(height, width);
  float *anchors = mynah_calloc((size_t)n + 1, 3 * sizeof *anchors), *table = mynah_calloc((size_t)n + 1, 8 * sizeof *table);
  mynah_node y = MYNAH_NO_NODE;
  if (anchors && table) {
    mynah_yolo26_anchors(height, width, anchors);
    for (int64_t i = 0; i < n; i++)
      for (int k = 0; k < 4; k++) {
        table[4 * i + k] = k < 2 ? -anchors[3 * i + 2] : anchors[3 * i + 2];
        table[4 * (n + i) + k] = anchors[3 * i + k % 2];
      }
    y = mynah_mul(g, distances, mynah_constant(g, MYNAH_SHAPE(n, 4), table));
    y = mynah_add(g, y, mynah_constant(g, MYNAH_SHAPE(n, 4), table + 4 * n));
  } else {
    y = mynah_graph_fail(g, "yolo26: no memory");
  }
  mynah_free(anchors);
  mynah_free(table);
  return y;
}
