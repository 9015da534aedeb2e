/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `mlp`: an encoder for each observation, a trunk, a head that predicts a chunk of actions. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <stdio.h>

#define MLP_KEYS(K)                                                                                \
  K(CHOICE, trunk, "trunk", "plain", 0, 0, "plain|residual", "linear layers, or residual blocks with layer norm") \
  K(STRING, widths, "widths", "256,256", 0, 0, "", "trunk=plain: the layers; empty: none, a linear policy")                      \
  K(INT, width, "width", 256, 1, 65536, "", "trunk=residual: width of the stream")                 \
  K(INT, hidden, "hidden", 512, 1, 65536, "", "trunk=residual: width inside a block")              \
  K(INT, blocks, "blocks", 3, 1, 64, "", "trunk=residual: number of blocks")                       \
  K(FLOAT, dropout, "dropout", 0, 0, 0.95, "", "in the trunk, while training")                     \
  K(INT, members, "members", 1, 1, MYNAH__HEAD_MEMBERS_MAX, "", "networks trained side by side on the same batches that decide together")

typedef struct mlp_config {
#define MLP_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MLP_KEYS(MLP_FIELD)
  mynah__encoder encoder;
  mynah__head head;
} mlp_config;
#define MLP_ROW(type, field, name, value, low, high, unit, help)                                   \
  MYNAH_KEY_OF(mlp_config, type, field, name, value, low, high, unit, help)
#define MLP_ENCODER_ROW(type, field, name, value, low, high, unit, help)                           \
  MYNAH_KEY_OF(mlp_config, type, encoder.field, name, value, low, high, unit, help)
#define MLP_HEAD_ROW(type, field, name, value, low, high, unit, help)                              \
  MYNAH_KEY_OF(mlp_config, type, head.field, name, value, low, high, unit, help)
static const mynah_key mlp_keys[] = {MYNAH__ENCODER_KEYS(MLP_ENCODER_ROW) MLP_KEYS(MLP_ROW) MYNAH__HEAD_KEYS(MLP_HEAD_ROW)};
static const mynah_config_table mlp_table = {"mlp policy", mlp_keys, sizeof mlp_keys / sizeof *mlp_keys,
                                             sizeof(mlp_config)};

enum { TRUNK_PLAIN, TRUNK_RESIDUAL };

static mynah_status check(const mynah_policy *p) {
  const mlp_config *c = p->config;
  int64_t list[MYNAH__LAYERS_MAX];
  size_t n;
  MYNAH_TRY(mynah__encoder_check(&c->encoder));
  if (c->widths[0] && mynah_parse_ints(c->widths, list, MYNAH__LAYERS_MAX, &n) != MYNAH_OK)
    return mynah_error_context(MYNAH_INVALID, "widths");
  return mynah__head_check(p, &c->head);
}

/* ---- graphs -------------------------------------------------------------------------------------------------------- */

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

/* One member: all observations, encoded and joined, through its trunk. seen: one node an input -> (B,hidden) */
static mynah_node build_trunk(const mynah_policy *p, mynah_graph *g, const mynah_node *seen, int member, int64_t batch) {
  const mlp_config *c = p->config;
  mynah_node parts[MYNAH_POLICY_INPUTS_MAX];
  for (int i = 0; i < p->n_inputs; i++) {
    member_name prefix = name_of(p, member, "encoder", i);
    parts[i] = mynah__encode(p, &c->encoder, g, i, (mynah__encoding){seen[i], prefix.text, batch});
  }
  member_name trunk = name_of(p, member, "trunk", -1);
  mynah_node h = p->n_inputs == 1 ? parts[0] : mynah_concat(g, parts, p->n_inputs, -1);
  if (c->trunk == TRUNK_RESIDUAL) {
    mynah_residual_config residual = {c->width, c->hidden, (int)c->blocks, (float)c->dropout, MYNAH_NO_NODE};
    return mynah_model_residual(g, trunk.text, h, &residual);
  }
  int64_t widths[MYNAH__LAYERS_MAX];
  size_t n = 0;
  if (c->widths[0] && mynah_parse_ints(c->widths, widths, MYNAH__LAYERS_MAX, &n) != MYNAH_OK) return mynah_graph_fail(g, "%s", mynah_error());
  mynah_mlp_config mlp = {widths, (int)n, mynah__encoder_activation(&c->encoder), (float)c->dropout};
  return mynah_model_mlp(g, trunk.text, h, &mlp);
}

/* A member's head on its trunk's last layer (B,hidden) -> (B,head size) */
static mynah_node build_head(const mynah_policy *p, mynah_graph *g, mynah_node hidden, int member) {
  const mlp_config *c = p->config;
  member_name head = name_of(p, member, "head", -1);
  return mynah_model_linear(g, head.text, hidden, mynah__head_size(p, &c->head));
}

/* The loss is the mean over members: each learns as it would alone. */
static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const mlp_config *c = p->config;
  int64_t chunk = p->common.chunk, size = mynah_feature_size(&p->action);
  mynah_node seen[MYNAH_POLICY_INPUTS_MAX];
  mynah__head_target target = {MYNAH_NO_NODE, MYNAH_NO_NODE};
  for (int i = 0; i < p->n_inputs; i++) seen[i] = mynah__policy_observe(p, g, i, batch);
  if (c->head.kind == MYNAH__HEAD_CATEGORICAL) {
    target.action = mynah_input(g, "action", MYNAH_I32, MYNAH_SHAPE(batch, chunk));
  } else {
    mynah_shape flat = MYNAH_SHAPE(batch, chunk * size);
    mynah_node action = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, chunk, size));
    target.action = mynah_reshape(g, mynah__policy_normalize_action(p, g, action), flat);
    if (p->common.is_masked) target.mask = mynah_reshape(g, mynah__policy_mask(p, g, batch, chunk), flat);
  }
  for (int k = 0; k < c->members; k++) {
    mynah_node out = build_head(p, g, build_trunk(p, g, seen, k, batch), k);
    mynah_node one = mynah__head_loss(p, &c->head, g, out, &target);
    *loss = k == 0 ? one : mynah_add(g, *loss, one);
  }
  if (c->members > 1) *loss = mynah_affine(g, *loss, 1 / (float)c->members, 0);
  return mynah_graph_status(g);
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  (void)which;
  const mlp_config *c = p->config;
  mynah_node seen[MYNAH_POLICY_INPUTS_MAX], hidden[MYNAH__HEAD_MEMBERS_MAX], outs[MYNAH__HEAD_MEMBERS_MAX];
  for (int i = 0; i < p->n_inputs; i++) seen[i] = mynah__policy_observe(p, g, i, 1);
  for (int m = 0; m < c->members; m++) {
    hidden[m] = build_trunk(p, g, seen, m, 1);
    outs[m] = build_head(p, g, hidden[m], m);
  }
  mynah__head_outputs(p, &c->head, g, outs, (int)c->members);
  mynah_output(g, "hidden", c->members == 1 ? hidden[0] : mynah_concat(g, hidden, (int)c->members, -1));
  return mynah_graph_status(g);
}

static void predict(const mynah_policy *p, const mynah_prediction *prediction) {
  const mlp_config *c = p->config;
  mynah_state_run(prediction->states[0]);
  mynah__head_choose(p, &c->head, (int)c->members, prediction);
}

const mynah_policy_type mynah__policy_mlp = {
    .name = "mlp",
    .summary = "encoders for vectors and pictures, an MLP, a head for actions, mixtures or classes",
    .config = &mlp_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = 1,
    .build_act = build_act,
    .hidden = "hidden",
    .predict = predict,
};
