/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside policy: what the policies share when they describe their graphs. */
#ifndef MYNAH_POLICY_INTERNAL_H
#define MYNAH_POLICY_INTERNAL_H

#include <mynah/onnx.h>
#include <mynah/perceive.h>
#include <mynah/policy.h>

#include <stdatomic.h>

extern const mynah_policy_type mynah__policy_act;
extern const mynah_policy_type mynah__policy_diffusion;
extern const mynah_policy_type mynah__policy_flow;
extern const mynah_policy_type mynah__policy_mlp;
extern const mynah_policy_type mynah__policy_onnx;
extern const mynah_policy_type mynah__policy_onnx_rnn;
extern const mynah_policy_type mynah__policy_rnn;

/* ---- normalizer.c ---- */

mynah_status mynah__norm_create(int64_t size, mynah_norm *out);
void mynah__norm_deinit(mynah_norm *n);
mynah_json *mynah__norm_to_json(const mynah_norm *n);
mynah_status mynah__norm_from_json(const mynah_json *j, int64_t size, const char *name, mynah_norm *out);
/* y = (x - offset) * scale + shift: the difference comes first, so that nothing of a small spread around a large value is lost. */
typedef struct mynah__affine {
  float offset, scale, shift;
} mynah__affine;
static inline float mynah__affine_to(mynah__affine a, float x) { return (x - a.offset) * a.scale + a.shift; }
static inline float mynah__affine_from(mynah__affine a, float y) { return (y - a.shift) / a.scale + a.offset; }
/* Of element i under a MYNAH_NORMALIZE_ kind. A constant element maps to 0. */
mynah__affine mynah__norm_element(const mynah_norm *n, int64_t kind, int64_t i);
/* The graph input of observation `index`, normalised; noisy while training when obs_noise says so. Vectors come with
 * their angles as cosine and sine after the other elements: (B,n_obs,D'); pictures as floats in [-1,1]:
 * (B*n_obs,H,W,3). */
mynah_node mynah__policy_observe(const mynah_policy *p, mynah_graph *g, int index, int64_t batch);
/* The same with another number of frames than n_obs: (B,n_frames,D'), pictures (B*n_frames,H,W,3). */
mynah_node mynah__policy_observe_frames(const mynah_policy *p, mynah_graph *g, int index, int64_t batch, int64_t n_frames);
/* x (…,A) in the action's units -> normalised, and back. */
mynah_node mynah__policy_normalize_action(const mynah_policy *p, mynah_graph *g, mynah_node x);
mynah_node mynah__policy_restore_action(const mynah_policy *p, mynah_graph *g, mynah_node x);
/* The graph input "action.mask" of n actions, one value an element -> (B,n,A) */
mynah_node mynah__policy_mask(const mynah_policy *p, mynah_graph *g, int64_t batch, int64_t n);

/* ---- encoder.c: what every policy does to its observations first ---- */

#define MYNAH__LAYERS_MAX 16
#define MYNAH__RESNET_KEY(K, help) K(CHOICE, resnet, "resnet.layers", "18", 0, 0, "18|34|50", help)
/* How many layers the choice of that key is. */
int mynah__resnet_layers(int64_t choice);
#define MYNAH__ENCODER_KEYS(K)                                                                     \
  K(STRING, widths, "encoder.widths", "", 0, 0, "", "layers each vector observation passes first; empty: none") \
  K(CHOICE, picture, "image.encoder", "cnn", 0, 0, "cnn|resnet", "what pictures pass: plain convolutions, or a ResNet and soft-max key points") \
  MYNAH__RESNET_KEY(K, "image.encoder=resnet: its layers")                                         \
  K(INT, key_points, "resnet.key_points", 32, 1, 512, "", "image.encoder=resnet: points a picture becomes") \
  K(BOOL, has_group_norm, "resnet.group_norm", true, 0, 1, "", "diffusion, flow: group norm in the ResNet; else batch norm with the statistics it came with") \
  K(BOOL, is_separate, "resnet.separate", false, 0, 1, "", "diffusion, flow: a ResNet for each camera instead of one for all") \
  K(STRING, filters, "cnn.filters", "24,36,48,64,64", 0, 0, "", "filters of the picture encoder's layers") \
  K(STRING, kernels, "cnn.kernels", "5,5,5,3,3", 0, 0, "px", "their kernels")                      \
  K(STRING, strides, "cnn.strides", "2,2,2,1,1", 0, 0, "px", "their strides")                      \
  K(INT, points, "cnn.points", 0, 0, 512, "", "points of soft-max attention that each picture becomes after them; 0: none")  \
  K(INT, features, "cnn.features", 0, 0, 65536, "", "width of a layer after them; 0: none")        \
  K(BOOL, is_stacked, "image.stack", false, 0, 1, "", "the n_obs pictures enter one encoder together, so that it can see motion") \
  K(CHOICE, activation, "activation", "relu", 0, 0, "relu|silu|tanh|elu|gelu", "of plain layers and convolutions")

typedef struct mynah__encoder {
#define MYNAH__ENCODER_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH__ENCODER_KEYS(MYNAH__ENCODER_FIELD)
#undef MYNAH__ENCODER_FIELD
} mynah__encoder;
enum { MYNAH__PICTURE_CNN, MYNAH__PICTURE_RESNET };
mynah_status mynah__encoder_check(const mynah__encoder *e);
/* The unary function that config names. */
const char *mynah__encoder_activation(const mynah__encoder *e);
typedef struct mynah__encoding {
  mynah_node seen; /* as mynah__policy_observe gives it */
  const char *prefix;
  int64_t batch;
} mynah__encoding;
/* Observation `index` -> (B, features) */
mynah_node mynah__encode(const mynah_policy *p, const mynah__encoder *e, mynah_graph *g, int index, mynah__encoding x);

/* Whether input `index` is encoded frame by frame, so that its features are (B, n_obs, F) in a row. */
bool mynah__encodes_frames(const mynah_policy *p, const mynah__encoder *e, int index);

/* ---- denoiser.c: what diffusion and flow share ---- */

#define MYNAH__ACTION_MAX 64
#define MYNAH__SAMPLE_MAX 4096 /* numbers of a chunk, past actions included */
#define MYNAH__DENOISER_KEYS(K, first)                                                             \
  K(CHOICE, kind, "denoiser", first, 0, 0, "mlp|unet|transformer", "the network that looks at noisy actions") \
  K(INT, width, "width", 384, 1, 65536, "", "mlp, transformer: width of the stream")               \
  K(INT, hidden, "hidden", 1024, 1, 65536, "", "mlp, transformer: width inside a block")           \
  K(INT, blocks, "blocks", 4, 1, 64, "", "mlp, transformer: number of blocks")                     \
  K(INT, heads, "heads", 8, 1, 256, "", "transformer: attention heads")                            \
  K(FLOAT, dropout, "dropout", 0, 0, 0.95, "", "mlp, transformer: in the blocks, while training")  \
  K(STRING, unet_widths, "unet.widths", "64,128,256", 0, 0, "", "unet: widths of its levels; each but the last halves the length") \
  K(INT, unet_kernel, "unet.kernel", 5, 1, 31, "actions", "unet: kernel of its convolutions, odd") \
  K(INT, unet_groups, "unet.groups", 8, 1, 1024, "", "unet: groups of its norms")                  \
  K(BOOL, is_scaled, "unet.scaled", true, 0, 1, "", "unet: the condition scales as well as shifts")
typedef struct mynah__denoiser {
#define MYNAH__DENOISER_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH__DENOISER_KEYS(MYNAH__DENOISER_FIELD, "")
#undef MYNAH__DENOISER_FIELD
} mynah__denoiser;
/* horizon: actions of a sample. */
mynah_status mynah__denoiser_check(const mynah_policy *p, const mynah__denoiser *d, int64_t horizon);
/* All observations as one condition -> (B,C) */
mynah_node mynah__denoiser_observe(const mynah_policy *p, const mynah__encoder *e, const mynah__denoiser *d, mynah_graph *g,
                                   int64_t batch);
/* C of the condition: builds a graph to find it. */
mynah_status mynah__denoiser_condition_size(const mynah_policy *p, const mynah__encoder *e, const mynah__denoiser *d,
                                            int64_t *size);
/* Shape: sample (B,T,A or more) step (B,W) condition (B,C) */
typedef struct mynah__noisy {
  mynah_node sample, step, condition;
} mynah__noisy;
/* -> (B,T,A) */
mynah_node mynah__denoise(const mynah_policy *p, const mynah__denoiser *d, mynah_graph *g, const mynah__noisy *in);

/* ---- diffusion.c ---- */

/* abar of each level. Shape: abar (diffusion.steps) */
void mynah__diffusion_schedule(const mynah_policy *p, float *abar);
/* What a loss draws. Shape: noise (B,n_obs-1+chunk,A) step (B) int32 */
typedef struct mynah__diffusion_draw {
  mynah_node noise, step;
} mynah__diffusion_draw;
mynah_status mynah__diffusion_loss(const mynah_policy *p, mynah_graph *g, int64_t batch, const mynah__diffusion_draw *draw,
                                   mynah_node *loss);
/* The policy's predict, from this noise and with these instead of drawn ones. Shape: start (n_obs-1+chunk,A), noises: as
 * many for each step but the last; NULL: drawn */
void mynah__diffusion_predict(const mynah_policy *p, const mynah_prediction *r, const float *start, const float *noises);

/* ---- policy.c ---- */

/* An empty policy with default configs of its type. */
mynah_status mynah__policy_new(const mynah_policy_type *type, mynah_policy **out);
/* Statistics of a feature over these episodes (NULL: all). */
mynah_status mynah__norm_of_dataset(mynah_dataset *d, const mynah_feature *f, const int64_t *episodes, int64_t n, mynah_norm *out);
/* How pictures reach the network; fills width, height and crop of a window. */
void mynah__policy_geometry(const mynah_policy *p, mynah_window *w);

/* ---- head.c ---- */

#define MYNAH__HEAD_KEYS(K)                                                                        \
  K(CHOICE, kind, "head", "mse", 0, 0, "mse|l1|huber|gaussian|gmm|categorical|tanh_gaussian", "what is predicted and how it is judged") \
  K(FLOAT, huber_delta, "huber.delta", 1, 1e-6, 1e6, "", "head=huber: where the square becomes a line") \
  K(INT, modes, "modes", 5, 1, 64, "", "head=gmm: Gaussians in the mixture")                       \
  K(FLOAT, log_std_min, "log_std.min", -4.6, -20, 10, "", "head=gaussian, gmm, tanh_gaussian: smallest log standard deviation") \
  K(FLOAT, log_std_max, "log_std.max", 2, -20, 10, "", "and largest")                              \
  K(CHOICE, act, "act", "sample", 0, 0, "sample|best", "mixtures and classes: draw one, or take the most likely")
typedef struct mynah__head {
#define MYNAH__HEAD_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH__HEAD_KEYS(MYNAH__HEAD_FIELD)
#undef MYNAH__HEAD_FIELD
} mynah__head;
enum {
  MYNAH__HEAD_MSE, MYNAH__HEAD_L1, MYNAH__HEAD_HUBER, MYNAH__HEAD_GAUSSIAN, MYNAH__HEAD_GMM, MYNAH__HEAD_CATEGORICAL,
  MYNAH__HEAD_TANH_GAUSSIAN
};
enum { MYNAH__HEAD_SAMPLE, MYNAH__HEAD_BEST };
#define MYNAH__HEAD_MEMBERS_MAX 16

mynah_status mynah__head_check(const mynah_policy *p, const mynah__head *h);
/* Width of the layer that the head reads. */
int64_t mynah__head_size(const mynah_policy *p, const mynah__head *h);
/* action: normalised (N, chunk * action size), or classes (N, chunk); mask: as action, or null. */
typedef struct mynah__head_target {
  mynah_node action, mask;
} mynah__head_target;
/* out (N,head size) -> the loss. */
mynah_node mynah__head_loss(const mynah_policy *p, const mynah__head *h, mynah_graph *g, mynah_node out,
                            const mynah__head_target *target);
/* -log p(a), mean over N, of a = tanh(u) with u ~ N(mean, exp(log_std)): log p(a) = sum over elements of log N(u) -
 * log(1 - a^2), u = atanh a (Haarnoja et al. 2018, "Soft Actor-Critic", appendix C; robomimic's TanhWrappedDistribution).
 * Shape: parts logits (N,1), mean (N,1,D), log_std (N,1,D); target (N,D) in [-1,1]; mask (N,D) or null */
mynah_node mynah__tanh_gaussian_nll(mynah_graph *g, const mynah_node parts[3], mynah_node target, mynah_node mask);
/* The acting graph's outputs from the last layers of n members, each (1,head size). */
void mynah__head_outputs(const mynah_policy *p, const mynah__head *h, mynah_graph *g, const mynah_node *outs, int n);
/* After the first acting graph ran: the chunk. */
void mynah__head_choose(const mynah_policy *p, const mynah__head *h, int n_members, const mynah_prediction *prediction);

/* ---- act.c ---- */

/* The parts of act's loss. Shape: mean, log_variance (B,latent); actions, normalised (B,chunk,A); l1, kl, loss (1) */
typedef struct mynah__act_parts {
  mynah_node mean, log_variance, actions, l1, kl, loss; /* mean, log_variance, kl: null without a VAE */
} mynah__act_parts;
/* noise (B,latent): what the latent is drawn with; null without a VAE. */
mynah_status mynah__act_loss(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node noise, mynah__act_parts *out);

/* ---- chunk.c ---- */

/* Checks an execution of p's chunks and replaces steps = 0 by what the mode means. */
mynah_status mynah__execute_resolve(const mynah_policy *p, const mynah_execute_config *in, mynah_execute_config *out);

/* ---- onnx.c ---- */

#define MYNAH__ONNX_PORTS_MAX 24
/* The pair (name, rest) of "a:b,c:d" that begins with this name; false: none. */
bool mynah__onnx_pair(const char *list, const char *name, char rest[MYNAH_TEXT_MAX]);
/* A port's shape, the batch being 1, other free dimensions 1. */
mynah_shape mynah__onnx_shape(const mynah_onnx_port *port);
/* The output that is the action. Fails: NOT_FOUND. */
MYNAH_CHECKED mynah_status mynah__onnx_action(const mynah_onnx *o, const char *wanted, const mynah_onnx_port **out);
/* Writes the network into p->network, without the weights; for import. */
MYNAH_CHECKED mynah_status mynah__onnx_keep(mynah_policy *p, const mynah_onnx *o);
/* Describes p's acting graph with this network. */
MYNAH_CHECKED mynah_status mynah__onnx_build(const mynah_policy *p, mynah_onnx *o, mynah_graph *g);

/* ---- clone.c ---- */

/* Initial weights of all that the policy trains. */
mynah_status mynah__policy_weights(const mynah_policy *p, mynah_weights **out);
const mynah_weights *mynah__clone_weights(const mynah_clone *c);

/* ---- eyes.c ---- */

/* Of a clone that looks itself. */
typedef struct mynah__eyes {
  bool is_open;
  int input; /* which of the policy's */
  mynah_detector *detector;
  mynah_sight_config config;
  mynah_feature seen; /* the input as it was: the slots */
  int width, height;  /* of the pictures */
} mynah__eyes;
/* The policy's input becomes the camera's pictures. */
mynah_status mynah__eyes_open(mynah_policy *p, const char *detector, int n_threads, mynah__eyes *out);
void mynah__eyes_close(mynah__eyes *e);
/* Of an actor. Shape: state (size of seen) */
typedef struct mynah__gaze {
  mynah_sight *sight;
  float *state;
  int64_t time_ns, ns; /* of the newest picture; what it took */
  atomic_bool is_blind;
} mynah__gaze;
mynah_status mynah__gaze_create(const mynah__eyes *e, mynah__gaze *out);
void mynah__gaze_destroy(mynah__gaze *l);
void mynah__gaze_reset(mynah__gaze *l, const mynah__eyes *e);
/* The state from a picture; none, or one no newer than the last: as it is. */
void mynah__look(mynah__gaze *l, const mynah__eyes *e, const mynah_value *picture);
const mynah__eyes *mynah__clone_eyes(const mynah_clone *c); /* is_open false: none */

/* ---- lerobot.c ---- */

/* A checkpoint's policy with initial weights: its folder needs no model.safetensors where the statistics lie in files. */
mynah_status mynah__lerobot_describe(const char *folder, mynah_policy **out, mynah_weights **weights);

/* ---- selfcheck.c ---- */

/* The golden vector of a policy with these weights. */
mynah_status mynah__golden_make(const mynah_policy *p, const mynah_weights *w, mynah_json **out);

/* ---- bundle.c ---- */

/* Reads the description in a policy file's metadata. */
mynah_status mynah__policy_read(const mynah_safetensors *f, mynah_policy **out);

#endif
