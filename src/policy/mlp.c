/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `mlp`: an encoder for each observation, a trunk, a head that predicts a chunk of actions. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_MEMBERS 16
#define MLP_KEYS(K)                                                                                \
  K(CHOICE, trunk, "trunk", "plain", 0, 0, "plain|residual", "linear layers, or residual blocks with layer norm") \
  K(STRING, widths, "widths", "256,256", 0, 0, "", "trunk=plain: the layers")                      \
  K(INT, width, "width", 256, 1, 65536, "", "trunk=residual: width of the stream")                 \
  K(INT, hidden, "hidden", 512, 1, 65536, "", "trunk=residual: width inside a block")              \
  K(INT, blocks, "blocks", 3, 1, 64, "", "trunk=residual: number of blocks")                       \
  K(FLOAT, dropout, "dropout", 0, 0, 0.95, "", "in the trunk, while training")                     \
  K(CHOICE, head, "head", "mse", 0, 0, "mse|l1|huber|gaussian|gmm|categorical", "what is predicted and how it is judged") \
  K(FLOAT, huber_delta, "huber.delta", 1, 1e-6, 1e6, "", "head=huber: where the square becomes a line") \
  K(INT, modes, "modes", 5, 1, 64, "", "head=gmm: Gaussians in the mixture")                       \
  K(FLOAT, log_std_min, "log_std.min", -4.6, -20, 10, "", "head=gaussian, gmm: smallest log standard deviation") \
  K(FLOAT, log_std_max, "log_std.max", 2, -20, 10, "", "and largest")                              \
  K(INT, members, "members", 1, 1, MAX_MEMBERS, "", "networks trained side by side on the same batches that decide together") \
  K(CHOICE, act, "act", "sample", 0, 0, "sample|best", "mixtures and classes: draw one, or take the most likely")

typedef struct mlp_config {
#define MLP_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MLP_KEYS(MLP_FIELD)
  mynah__encoder encoder;
} mlp_config;
#define MLP_ROW(type, field, name, value, low, high, unit, help)                                   \
  MYNAH_KEY_OF(mlp_config, type, field, name, value, low, high, unit, help)
#define MLP_ENCODER_ROW(type, field, name, value, low, high, unit, help)                           \
  MYNAH_KEY_OF(mlp_config, type, encoder.field, name, value, low, high, unit, help)
static const mynah_key mlp_keys[] = {MYNAH__ENCODER_KEYS(MLP_ENCODER_ROW) MLP_KEYS(MLP_ROW)};
static const mynah_config_table mlp_table = {"mlp policy", mlp_keys, sizeof mlp_keys / sizeof *mlp_keys,
                                             sizeof(mlp_config)};

enum { TRUNK_PLAIN, TRUNK_RESIDUAL };
enum { HEAD_MSE, HEAD_L1, HEAD_HUBER, HEAD_GAUSSIAN, HEAD_GMM, HEAD_CATEGORICAL };
enum { ACT_SAMPLE, ACT_BEST };

static int64_t action_size(const mynah_policy *p) { return mynah_feature_size(&p->action); }
static int64_t chunk_size(const mynah_policy *p) { return p->common.chunk * action_size(p); }
/* A Gaussian head is a mixture of one. */
static int64_t n_modes(const mlp_config *c) { return c->head == HEAD_GAUSSIAN ? 1 : c->modes; }
static int64_t n_classes(const mynah_policy *p) { return (int64_t)p->action_norm.max[0] + 1; }

static mynah_status check(const mynah_policy *p) {
  const mlp_config *c = p->config;
  int64_t list[MYNAH__LAYERS_MAX];
  size_t n;
  MYNAH_TRY(mynah__encoder_check(&c->encoder));
  if (mynah_parse_ints(c->widths, list, MYNAH__LAYERS_MAX, &n) != MYNAH_OK)
    return mynah_error_context(MYNAH_INVALID, "widths");
  bool is_class = p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32;
  if (is_class != (c->head == HEAD_CATEGORICAL))
    return mynah_fail(MYNAH_MISMATCH, "head=%s: the dataset's actions are %s", is_class ? "mse …" : "categorical",
                      is_class ? "classes: use head=categorical" : "real numbers: use another head");
  if (c->head == HEAD_CATEGORICAL &&
      (action_size(p) != 1 || p->action_norm.min[0] < 0 || p->action_norm.max[0] > 4095))
    return mynah_fail(MYNAH_UNSUPPORTED, "head=categorical: takes one class in 0 … 4095");
  if (c->log_std_min >= c->log_std_max)
    return mynah_fail(MYNAH_INVALID, "log_std.min=%g must be below log_std.max=%g", c->log_std_min, c->log_std_max);
  return MYNAH_OK;
}

/* ---- graphs -------------------------------------------------------------------------------------------------------- */

/* Width of the head's linear layer. */
static int64_t head_size(const mynah_policy *p) {
  const mlp_config *c = p->config;
  if (c->head == HEAD_GAUSSIAN || c->head == HEAD_GMM) return n_modes(c) * (1 + 2 * chunk_size(p));
  return c->head == HEAD_CATEGORICAL ? p->common.chunk * n_classes(p) : chunk_size(p);
}

/* "NAME", or "member.M.NAME" when there are several. */
typedef struct member_name {
  char text[MYNAH_NAME_MAX];
} member_name;
static member_name name_of(const mynah_policy *p, int member, const char *name, int number) {
  member_name n;
  char tail[32] = "";
  if (number >= 0) snprintf(tail, sizeof tail, ".%d", number);
  if (((const mlp_config *)p->config)->members == 1) snprintf(n.text, sizeof n.text, "%s%s", name, tail);
  else snprintf(n.text, sizeof n.text, "member.%d.%s%s", member, name, tail);
  return n;
}

/* One member: all observations, encoded and joined, through its trunk and head. seen: one node an input
 * -> (B,head_size) */
static mynah_node build_member(const mynah_policy *p, mynah_graph *g, const mynah_node *seen, int member, int64_t batch) {
  const mlp_config *c = p->config;
  mynah_node parts[MYNAH_POLICY_INPUTS_MAX];
  for (int i = 0; i < p->n_inputs; i++) {
    member_name prefix = name_of(p, member, "encoder", i);
    parts[i] = mynah__encode(p, &c->encoder, g, i, (mynah__encoding){seen[i], prefix.text, batch});
  }
  member_name trunk = name_of(p, member, "trunk", -1), head = name_of(p, member, "head", -1);
  mynah_node h = p->n_inputs == 1 ? parts[0] : mynah_concat(g, parts, p->n_inputs, -1);
  if (c->trunk == TRUNK_RESIDUAL) {
    mynah_residual_config residual = {c->width, c->hidden, (int)c->blocks, (float)c->dropout, MYNAH_NO_NODE};
    return mynah_model_linear(g, head.text, mynah_model_residual(g, trunk.text, h, &residual), head_size(p));
  }
  int64_t widths[MYNAH__LAYERS_MAX];
  size_t n = 0;
  if (mynah_parse_ints(c->widths, widths, MYNAH__LAYERS_MAX, &n) != MYNAH_OK) return mynah_graph_fail(g, "%s", mynah_error());
  mynah_mlp_config mlp = {widths, (int)n, mynah__encoder_activation(&c->encoder), (float)c->dropout};
  return mynah_model_linear(g, head.text, mynah_model_mlp(g, trunk.text, h, &mlp), head_size(p));
}

/* The head's parts. out (B,K + 2KD) -> logits (B,K), mean (B,K,D), log_std (B,K,D) with D = chunk * action size */
static void split_mixture(const mynah_policy *p, mynah_graph *g, mynah_node out, int64_t batch, mynah_node parts[3]) {
  const mlp_config *c = p->config;
  int64_t k = n_modes(c), d = chunk_size(p);
  parts[0] = mynah_slice(g, out, -1, 0, k);
  parts[1] = mynah_reshape(g, mynah_slice(g, out, -1, k, k * d), MYNAH_SHAPE(batch, k, d));
  mynah_node log_std = mynah_reshape(g, mynah_slice(g, out, -1, k + k * d, k * d), MYNAH_SHAPE(batch, k, d));
  parts[2] = mynah_clamp(g, log_std, (float)c->log_std_min, (float)c->log_std_max);
}

/* action.mask (B,chunk) -> (B,chunk*A), or null. */
static mynah_node build_mask(const mynah_policy *p, mynah_graph *g, int64_t batch) {
  if (!p->common.is_masked) return MYNAH_NO_NODE;
  int64_t chunk = p->common.chunk, size = action_size(p);
  mynah_node mask = mynah_input(g, "action.mask", MYNAH_F32, MYNAH_SHAPE(batch, chunk));
  mask = mynah_broadcast(g, mynah_reshape(g, mask, MYNAH_SHAPE(batch, chunk, 1)), MYNAH_SHAPE(batch, chunk, size));
  return mynah_reshape(g, mask, MYNAH_SHAPE(batch, chunk * size));
}

/* Loss of one member's output. target (B,chunk*A), or classes (B,chunk) */
static mynah_node judge(const mynah_policy *p, mynah_graph *g, mynah_node out, mynah_node target, mynah_node mask) {
  const mlp_config *c = p->config;
  int64_t batch = mynah_node_shape(g, out).dims[0];
  if (c->head == HEAD_CATEGORICAL)
    return mynah_cross_entropy(g, mynah_reshape(g, out, MYNAH_SHAPE(batch, p->common.chunk, n_classes(p))), target, 0);
  if (c->head == HEAD_MSE) return mynah_mse(g, out, target, mask);
  if (c->head == HEAD_L1) return mynah_l1(g, out, target, mask);
  if (c->head == HEAD_HUBER) return mynah_huber(g, out, target, mask, (float)c->huber_delta);
  mynah_node m[3];
  split_mixture(p, g, out, batch, m);
  return mynah_affine(g, mynah_gmm_nll(g, m[0], m[1], m[2], target, mask), 1 / (float)chunk_size(p), 0);
}

/* The loss is the mean over members: each learns as it would alone. */
static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const mlp_config *c = p->config;
  int64_t chunk = p->common.chunk;
  mynah_node seen[MYNAH_POLICY_INPUTS_MAX], target, mask = MYNAH_NO_NODE;
  for (int i = 0; i < p->n_inputs; i++) seen[i] = mynah__policy_observe(p, g, i, batch);
  if (c->head == HEAD_CATEGORICAL) {
    target = mynah_input(g, "action", MYNAH_I32, MYNAH_SHAPE(batch, chunk));
  } else {
    target = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, chunk, action_size(p)));
    target = mynah_reshape(g, mynah__policy_normalize_action(p, g, target), MYNAH_SHAPE(batch, chunk_size(p)));
    mask = build_mask(p, g, batch);
  }
  for (int k = 0; k < c->members; k++) {
    mynah_node one = judge(p, g, build_member(p, g, seen, k, batch), target, mask);
    *loss = k == 0 ? one : mynah_add(g, *loss, one);
  }
  if (c->members > 1) *loss = mynah_affine(g, *loss, 1 / (float)c->members, 0);
  return mynah_graph_status(g);
}

/* Normalised actions (…,chunk,A) -> their own units; min-max actions stay inside the demonstrated range. */
static mynah_node finish_action(const mynah_policy *p, mynah_graph *g, mynah_node x) {
  if (p->common.normalize_action == MYNAH_NORMALIZE_MINMAX) x = mynah_clamp(g, x, -1, 1);
  return mynah__policy_restore_action(p, g, x);
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  (void)which;
  const mlp_config *c = p->config;
  int64_t chunk = p->common.chunk, size = action_size(p), k = n_modes(c);
  mynah_node seen[MYNAH_POLICY_INPUTS_MAX], logits[MAX_MEMBERS], means[MAX_MEMBERS], total = MYNAH_NO_NODE;
  for (int i = 0; i < p->n_inputs; i++) seen[i] = mynah__policy_observe(p, g, i, 1);
  bool is_mixture = c->head == HEAD_GAUSSIAN || c->head == HEAD_GMM;
  for (int m = 0; m < c->members; m++) {
    mynah_node out = build_member(p, g, seen, m, 1);
    if (is_mixture) {
      logits[m] = mynah_slice(g, out, -1, 0, k);
      if (c->members > 1) logits[m] = mynah_log_softmax(g, logits[m]); /* each member has the same say */
      means[m] = mynah_reshape(g, mynah_slice(g, out, -1, k, k * chunk * size), MYNAH_SHAPE(k, chunk, size));
    } else {
      total = m == 0 ? out : mynah_add(g, total, out);
    }
  }
  if (is_mixture) {
    mynah_output(g, "logits", mynah_concat(g, logits, (int)c->members, -1));
    mynah_output(g, "mean", finish_action(p, g, mynah_concat(g, means, (int)c->members, 0)));
    return mynah_graph_status(g);
  }
  if (c->members > 1) total = mynah_affine(g, total, 1 / (float)c->members, 0);
  if (c->head == HEAD_CATEGORICAL) mynah_output(g, "logits", total);
  else mynah_output(g, "action", finish_action(p, g, mynah_reshape(g, total, MYNAH_SHAPE(chunk, size))));
  return mynah_graph_status(g);
}

/* ---- acting -------------------------------------------------------------------------------------------------------- */

/* An index drawn from softmax(logits), or the largest. Shape: logits (n) */
static int64_t choose(const float *logits, int64_t n, bool is_drawn, mynah_rng *rng) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (logits[i] > logits[best]) best = i;
  if (!is_drawn || n == 1) return best;
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += exp((double)logits[i] - logits[best]);
  double rest = mynah_rng_uniform(rng) * total;
  for (int64_t i = 0; i < n; i++) {
    rest -= exp((double)logits[i] - logits[best]);
    if (rest < 0) return i;
  }
  return best;
}

static void predict(const mynah_policy *p, const mynah_prediction *prediction) {
  const mlp_config *c = p->config;
  mynah_state *s = prediction->states[0];
  mynah_rng *rng = prediction->rng;
  float *chunk = prediction->chunk;
  mynah_state_run(s);
  bool is_drawn = c->act == ACT_SAMPLE;
  int64_t d = chunk_size(p);
  if (c->head == HEAD_CATEGORICAL) {
    const float *logits = mynah_state_output(s, "logits");
    int64_t n = n_classes(p);
    for (int64_t t = 0; t < p->common.chunk; t++) chunk[t] = (float)choose(logits + t * n, n, is_drawn, rng);
  } else if (c->head == HEAD_GAUSSIAN || c->head == HEAD_GMM) {
    const float *mean = mynah_state_output(s, "mean");
    int64_t k = choose(mynah_state_output(s, "logits"), n_modes(c) * c->members, is_drawn, rng);
    memcpy(chunk, mean + k * d, (size_t)d * sizeof(float));
  } else {
    memcpy(chunk, mynah_state_output(s, "action"), (size_t)d * sizeof(float));
  }
}

const mynah_policy_type mynah__policy_mlp = {
    .name = "mlp",
    .summary = "encoders for vectors and pictures, an MLP, a head for actions, mixtures or classes",
    .config = &mlp_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = 1,
    .build_act = build_act,
    .predict = predict,
};
