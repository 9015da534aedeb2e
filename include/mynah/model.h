/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Network blocks: functions that add layers to a graph. Weights are named under the given prefix.
 *
 * Threads: as the graph's. Fails: through the graph's sticky error; a null node comes back.
 * Initial values are PyTorch's defaults unless said: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases. */
#ifndef MYNAH_MODEL_H
#define MYNAH_MODEL_H

#include <mynah/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* PREFIX.weight (out,in), PREFIX.bias (out). x (…,in) -> (…,out) */
MYNAH_API mynah_node mynah_model_linear(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out);
/* The same, starting at zero: a residual branch that begins as the identity. */
MYNAH_API mynah_node mynah_model_linear_zero(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out);
/* PREFIX.weight, PREFIX.bias (C), eps 1e-5. */
MYNAH_API mynah_node mynah_model_layer_norm(mynah_graph *g, const char *prefix, mynah_node x);
/* PREFIX.weight (out,in,kernel,kernel), PREFIX.bias (out); padding "same" for odd kernels when is_padded, else none.
 * x (B,H,W,in) -> (B,H',W',out) */
typedef struct mynah_model_conv_config {
  int64_t n_out;
  int kernel, stride;
  bool is_padded;
} mynah_model_conv_config;
MYNAH_API mynah_node mynah_model_conv(mynah_graph *g, const char *prefix, mynah_node x,
                                      const mynah_model_conv_config *config);

/* A stack of linear layers with an activation after each: PREFIX.0, PREFIX.1, … x (B,in) -> (B,widths[n-1]) */
typedef struct mynah_mlp_config {
  const int64_t *widths;
  int n_layers;
  const char *activation; /* a unary function's name */
  float dropout;          /* after each activation; 0: none */
} mynah_mlp_config;
MYNAH_API mynah_node mynah_model_mlp(mynah_graph *g, const char *prefix, mynah_node x, const mynah_mlp_config *config);

/* Residual trunk: h = Linear(x); n_blocks times h += Linear0(silu(Linear(LayerNorm(h)))); LayerNorm(h).
 * Linear0 starts at zero. x (B,in) -> (B,width) */
typedef struct mynah_residual_config {
  int64_t width, hidden;
  int n_blocks;
  float dropout;        /* inside each branch */
  mynah_node condition; /* added to the stream after the first layer, (B,width); null: nothing */
} mynah_residual_config;
MYNAH_API mynah_node mynah_model_residual(mynah_graph *g, const char *prefix, mynah_node x,
                                          const mynah_residual_config *config);

/* Convolutions without padding, an activation after each, flattened: the encoder of DAVE-2 (Bojarski et al. 2016, fig. 4)
 * and its donkeycar relatives. x (B,H,W,3) -> (B,features) */
typedef struct mynah_cnn_config {
  const int64_t *filters, *kernels, *strides;
  int n_layers;
  const char *activation;
  bool is_map; /* the last map (B,H',W',C) is given instead of all its numbers in a row */
} mynah_cnn_config;
MYNAH_API mynah_node mynah_model_cnn(mynah_graph *g, const char *prefix, mynah_node x, const mynah_cnn_config *config);

/* A long short-term memory, PyTorch's names and layout: PREFIX.weight_ih_lK (4H,in), PREFIX.weight_hh_lK (4H,H), two
 * biases (4H) for layer K; rows are the gates i, f, g, o. h, c: one node (B,H) a layer, the state before and, on return,
 * after. x (B,T,in) -> (B,T,H) */
typedef struct mynah_lstm_config {
  int64_t hidden;
  int n_layers;
} mynah_lstm_config;
#define MYNAH_LSTM_LAYERS_MAX 8
typedef struct mynah_lstm_state {
  mynah_node h[MYNAH_LSTM_LAYERS_MAX], c[MYNAH_LSTM_LAYERS_MAX];
} mynah_lstm_state;
MYNAH_API mynah_node mynah_model_lstm(mynah_graph *g, const char *prefix, mynah_node x, const mynah_lstm_config *config,
                                      mynah_lstm_state *state);
/* One layer, one step, with weights that are any nodes. x (B,in), h, c (B,H): changed -> the new h */
typedef struct mynah_lstm_weights {
  mynah_node ih, hh, bias_ih, bias_hh;
} mynah_lstm_weights;
MYNAH_API mynah_node mynah_model_lstm_step(mynah_graph *g, mynah_node x, const mynah_lstm_weights *weights, mynah_node *h,
                                           mynah_node *c);

/* ---- attention and transformers -------------------------------------------------------------------------------- */

/* What attention reads: queries (B,L,E), keys and values (B,S,E); bias: added to the scores, broadcast to (B,heads,L,S),
 * or null (-1e9 hides a key). */
typedef struct mynah_attention {
  mynah_node query, key, value, bias;
} mynah_attention;
/* Multi-head attention, softmax(q k^T / sqrt(E/heads) + bias) v (Vaswani et al. 2017, eq. 1). PREFIX.in_proj_weight (3E,E),
 * PREFIX.in_proj_bias, PREFIX.out_proj. -> (B,L,E) */
MYNAH_API mynah_node mynah_model_attention(mynah_graph *g, const char *prefix, const mynah_attention *in, int64_t heads,
                                           float dropout);
typedef struct mynah_transformer_config {
  int64_t heads, feed_forward;
  const char *activation; /* a unary function's name */
  float dropout;          /* of attention, of branches and inside the feed-forward part */
  bool is_pre_norm;
} mynah_transformer_config;
/* Self-attention and feed-forward part; position, (1 or B,L,E) or null, is added to queries and keys alone. PREFIX.self_attn,
 * linear1, linear2, norm1, norm2. x (B,L,E), bias as in attention -> (B,L,E) */
MYNAH_API mynah_node mynah_model_encoder_layer(mynah_graph *g, const char *prefix, mynah_node x, mynah_node position,
                                               mynah_node bias, const mynah_transformer_config *config);
/* What a decoder layer looks at: seen (B,S,E) with its position, and the position of its own stream; null: none. */
typedef struct mynah_decoder_memory {
  mynah_node seen, position, own_position;
} mynah_decoder_memory;
/* Self-attention, attention to what was seen, feed-forward part. PREFIX.self_attn, multihead_attn, linear1, linear2,
 * norm1, norm2, norm3. x (B,L,E) -> (B,L,E) */
MYNAH_API mynah_node mynah_model_decoder_layer(mynah_graph *g, const char *prefix, mynah_node x,
                                               const mynah_decoder_memory *memory, const mynah_transformer_config *config);

/* Sinusoidal positions 0 … n-1, a constant (1,n,width): sine in even places, cosine in odd. */
MYNAH_API mynah_node mynah_model_positions(mynah_graph *g, int64_t n, int64_t width);
/* Of a picture's places, row by row, a constant (1,height*width,channels): the first half of the channels from the row, the
 * rest from the column, both scaled to (0, 2 pi] (Carion et al. 2020). */
MYNAH_API mynah_node mynah_model_positions_2d(mynah_graph *g, int64_t height, int64_t width, int64_t channels);
/* Numbers as waves: sines, then cosines, of t 10000^(-j / (width/2 - 1)) (Ho et al. 2020, appendix B). t (B,1) -> (B,width) */
MYNAH_API mynah_node mynah_model_waves(mynah_graph *g, mynah_node t, int64_t width);

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

typedef enum mynah_resnet_norm {
  MYNAH_RESNET_FROZEN_NORM, /* batch norm whose four vectors are buffers; folded into the filters */
  MYNAH_RESNET_GROUP_NORM   /* 16 channels a group, trained */
} mynah_resnet_norm;
typedef struct mynah_resnet_config {
  int layers; /* 18, 34 or 50 */
  mynah_resnet_norm norm;
  bool is_numbered; /* PREFIX.0, PREFIX.1, PREFIX.4 … instead of PREFIX.conv1, PREFIX.bn1, PREFIX.layer1 … */
} mynah_resnet_config;
/* ResNet up to its last feature map. x (B,H,W,3) -> (B,H/32,W/32,C), sizes rounded up, C = 512, of 50 layers 2048 */
MYNAH_API mynah_node mynah_model_resnet(mynah_graph *g, const char *prefix, mynah_node x, const mynah_resnet_config *config);
/* One of its blocks. x (B,H,W,C) -> (B,H/stride,W/stride,n_out) */
MYNAH_API mynah_node mynah_model_basic_block(mynah_graph *g, const char *prefix, mynah_node x, int64_t n_out, int stride,
                                             const mynah_resnet_config *config);
/* Expected (x,y) of each channel's soft-max over places, on a grid -1 … 1 (Levine et al. 2016, sec. 5.2).
 * x (B,H,W,C) -> (B,C,2) */
MYNAH_API mynah_node mynah_model_spatial_softmax(mynah_graph *g, mynah_node x);

/* ---- detection --------------------------------------------------------------------------------------------------- */

#define MYNAH_YOLO26_LAYERS 23
#define MYNAH_YOLO26_LEVELS 3 /* grids, of cells of 8, 16 and 32 px */
#define MYNAH_YOLO26_STRIDE 32
#define MYNAH_YOLO26_CLASSES_MAX 10000
typedef enum mynah_yolo26_norm {
  MYNAH_YOLO26_FUSED,  /* filters with biases, as exported: X.conv.weight, X.conv.bias */
  MYNAH_YOLO26_FROZEN, /* batch norm (eps 1e-3) whose four vectors are buffers; folded into the filters */
  MYNAH_YOLO26_TRAINED /* batch norm, trained: X.conv.weight, X.bn.weight, bias, running_mean, running_var */
} mynah_yolo26_norm;
typedef struct mynah_yolo26_config {
  char scale; /* n, s, m, l or x */
  int64_t n_classes;
  mynah_yolo26_norm norm;
} mynah_yolo26_config;
/* The trunk. Weights are named as in ultralytics' files, model.0.conv.weight and so on. x (B,H,W,3) in 0 … 1, H and W
 * multiples of 32 -> levels (B,H/8,W/8,C), (B,H/16,W/16,C'), (B,H/32,W/32,C''). False: the graph holds the error. */
typedef struct mynah_yolo26_features {
  mynah_node layers[MYNAH_YOLO26_LAYERS], levels[MYNAH_YOLO26_LEVELS];
} mynah_yolo26_features;
MYNAH_API bool mynah_model_yolo26(mynah_graph *g, mynah_node x, const mynah_yolo26_config *config, mynah_yolo26_features *out);
/* A head: distances (B,A,4), from a cell's centre left, up, right and down in sizes of its cell; logits (B,A,classes). A cell
 * after cell of the three grids, row by row. The one-to-many head (model.23.cv2, cv3) names an object many times. */
typedef struct mynah_yolo26_head {
  mynah_node distances, logits;
} mynah_yolo26_head;
MYNAH_API bool mynah_model_yolo26_head(mynah_graph *g, const mynah_yolo26_features *features, const mynah_yolo26_config *config,
                                       bool is_one_to_one, mynah_yolo26_head *out);
/* Corners x1, y1, x2, y2 in px of a picture of this size. distances (B,A,4) -> (B,A,4) */
MYNAH_API mynah_node mynah_model_yolo26_boxes(mynah_graph *g, mynah_node distances, int64_t height, int64_t width);
/* Cells of a picture: how many, and centre x, centre y and size of each in px. Shape: out (A,3) */
MYNAH_API int64_t mynah_yolo26_n_anchors(int64_t height, int64_t width);
MYNAH_API void mynah_yolo26_anchors(int64_t height, int64_t width, float *out);

/* ---- the U-Net of diffusion policies ------------------------------------------------------------------------------ */

#define MYNAH_UNET_LEVELS_MAX 8
#define MYNAH_UNET_LAST_GROUPS 8 /* as in Chi et al.'s and LeRobot's networks, whatever `groups` is */
typedef struct mynah_unet_config {
  const int64_t *widths; /* of the levels; each but the last halves the length */
  int n_levels, kernel, groups; /* groups: of the norms in residual blocks; the one before the end has MYNAH_UNET_LAST_GROUPS */
  bool is_scaled; /* the condition scales and shifts; else it shifts */
  int64_t n_out;  /* channels that come out; 0: as many as went in */
} mynah_unet_config;
/* x (B,T,A), T a multiple of 2^(n_levels-1); step (B,W): waves of the step; seen (B,C): the observations, or null
 * -> (B,T,n_out) */
MYNAH_API mynah_node mynah_model_unet(mynah_graph *g, const char *prefix, mynah_node x, mynah_node step, mynah_node seen,
                                      const mynah_unet_config *config);
/* One of its residual blocks. x (B,T,C), condition (B,D) -> (B,T,n_out) */
MYNAH_API mynah_node mynah_model_unet_block(mynah_graph *g, const char *prefix, mynah_node x, mynah_node condition, int64_t n_out,
                                            const mynah_unet_config *config);

#ifdef __cplusplus
}
#endif
#endif
