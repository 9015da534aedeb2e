/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `flow`: chunks of actions by rectified flow matching (Liu et al. 2022, "Flow Straight and Fast"; Lipman et al.
 * 2022, "Flow Matching for Generative Modeling"). With noise x0 ~ N(0, 1), actions x1 and a time t in (0, 1)
 *   x_t = (1 - t) x0 + t x1,   loss = |v(x_t, t, observation) - (x1 - x0)|^2,
 * and acting integrates dx/dt = v from noise to actions in a few steps. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FLOW_KEYS(K)                                                                               \
  K(INT, width, "width", 384, 1, 65536, "", "width of the denoiser's stream")                      \
  K(INT, hidden, "hidden", 1024, 1, 65536, "", "width inside a block")                             \
  K(INT, blocks, "blocks", 4, 1, 64, "", "number of residual blocks")                              \
  K(FLOAT, dropout, "dropout", 0, 0, 0.95, "", "in the blocks, while training")                    \
  K(INT, solver_steps, "flow.steps", 6, 1, 1000, "steps", "integration steps from noise to actions") \
  K(CHOICE, solver, "flow.solver", "euler", 0, 0, "euler|heun", "heun: twice the work a step, second order") \
  K(FLOAT, time_scale, "flow.time.scale", 1.7, 0, 100, "", "training times are sigmoid(shift + scale N(0,1)); 1.7 is uniform within one percent") \
  K(FLOAT, time_shift, "flow.time.shift", 0, -10, 10, "", "above 0: more times near the actions")

typedef struct flow_config {
#define FLOW_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  FLOW_KEYS(FLOW_FIELD)
  mynah__encoder encoder;
} flow_config;
#define FLOW_ROW(type, field, name, value, low, high, unit, help)                                  \
  MYNAH_KEY_OF(flow_config, type, field, name, value, low, high, unit, help)
#define FLOW_ENCODER_ROW(type, field, name, value, low, high, unit, help)                          \
  MYNAH_KEY_OF(flow_config, type, encoder.field, name, value, low, high, unit, help)
static const mynah_key flow_keys[] = {MYNAH__ENCODER_KEYS(FLOW_ENCODER_ROW) FLOW_KEYS(FLOW_ROW)};
static const mynah_config_table flow_table = {"flow policy", flow_keys, sizeof flow_keys / sizeof *flow_keys,
                                              sizeof(flow_config)};

enum { SOLVER_EULER, SOLVER_HEUN };
enum { GRAPH_OBSERVE, GRAPH_DENOISE, N_GRAPHS };
#define N_FREQUENCIES 16
#define MAX_ACTION 64
#define MAX_CHUNK_FLOATS 4096

static int64_t action_size(const mynah_policy *p) { return mynah_feature_size(&p->action); }
static int64_t chunk_size(const mynah_policy *p) { return p->common.chunk * action_size(p); }

static mynah_status check(const mynah_policy *p) {
  const flow_config *c = p->config;
  if (p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32)
    return mynah_fail(MYNAH_MISMATCH, "flow: the dataset's actions are classes: use mlp with head=categorical");
  if (action_size(p) > MAX_ACTION || chunk_size(p) > MAX_CHUNK_FLOATS)
    return mynah_fail(MYNAH_LIMIT, "flow: actions of at most %d elements, chunks of at most %d numbers", MAX_ACTION,
                      MAX_CHUNK_FLOATS);
  return mynah__encoder_check(&c->encoder);
}

/* ---- graphs -------------------------------------------------------------------------------------------------------- */

/* All observations as one addition to the denoiser's stream -> (B,width) */
static mynah_node observe(const mynah_policy *p, mynah_graph *g, int64_t batch) {
  const flow_config *c = p->config;
  mynah_node parts[MYNAH_POLICY_INPUTS_MAX];
  for (int i = 0; i < p->n_inputs; i++) {
    char prefix[32];
    snprintf(prefix, sizeof prefix, "encoder.%d", i);
    mynah__encoding x = {mynah__policy_observe(p, g, i, batch), prefix, batch};
    parts[i] = mynah__encode(p, &c->encoder, g, i, x);
  }
  mynah_node h = p->n_inputs == 1 ? parts[0] : mynah_concat(g, parts, p->n_inputs, -1);
  return mynah_model_linear(g, "condition", h, c->width);
}

/* sin and cos of pi 2^(k/2) t, k = 0 … N_FREQUENCIES-1. t (B,1) -> (B,2*N_FREQUENCIES) */
static mynah_node embed_time(mynah_graph *g, mynah_node t) {
  mynah_node scaled[N_FREQUENCIES], waves[2];
  for (int k = 0; k < N_FREQUENCIES; k++) scaled[k] = mynah_affine(g, t, (float)(3.14159265358979 * pow(2, 0.5 * k)), 0);
  mynah_node angles = mynah_concat(g, scaled, N_FREQUENCIES, -1);
  waves[0] = mynah_unary(g, "sin", angles);
  waves[1] = mynah_unary(g, "cos", angles);
  return mynah_concat(g, waves, 2, -1);
}

/* v(x_t, t, observation). x (B,chunk*A) t (B,1) condition (B,width) -> (B,chunk*A) */
static mynah_node denoise(const mynah_policy *p, mynah_graph *g, mynah_node x, mynah_node t, mynah_node condition) {
  const flow_config *c = p->config;
  mynah_node parts[2] = {x, embed_time(g, t)};
  mynah_residual_config residual = {c->width, c->hidden, (int)c->blocks, (float)c->dropout, condition};
  mynah_node h = mynah_model_residual(g, "trunk", mynah_concat(g, parts, 2, -1), &residual);
  return mynah_model_linear(g, "head", h, chunk_size(p));
}

/* (B,1) -> (B,n), every column the same: doubled as often as needed. */
static mynah_node spread(mynah_graph *g, mynah_node x, int64_t n) {
  int64_t width = 1;
  for (; width < n; width *= 2) x = mynah_concat(g, (mynah_node[]){x, x}, 2, -1);
  return width == n ? x : mynah_slice(g, x, -1, 0, n);
}

static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const flow_config *c = p->config;
  int64_t d = chunk_size(p);
  mynah_node x1 = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, p->common.chunk, action_size(p)));
  x1 = mynah_reshape(g, mynah__policy_normalize_action(p, g, x1), MYNAH_SHAPE(batch, d));
  mynah_node x0 = mynah_random_normal(g, MYNAH_SHAPE(batch, d)), z = mynah_random_normal(g, MYNAH_SHAPE(batch, 1));
  mynah_node t = mynah_sigmoid(g, mynah_affine(g, z, (float)c->time_scale, (float)c->time_shift));
  mynah_node way = mynah_sub(g, x1, x0);
  mynah_node x = mynah_add(g, x0, mynah_mul(g, way, spread(g, t, d)));
  mynah_node v = denoise(p, g, x, t, observe(p, g, batch));
  mynah_node mask = MYNAH_NO_NODE;
  if (p->common.is_masked) mask = mynah_reshape(g, mynah__policy_mask(p, g, batch, p->common.chunk), MYNAH_SHAPE(batch, d));
  *loss = mynah_mse(g, v, way, mask);
  return mynah_graph_status(g);
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  const flow_config *c = p->config;
  if (which == GRAPH_OBSERVE) {
    mynah_output(g, "condition", observe(p, g, 1));
    return mynah_graph_status(g);
  }
  mynah_node x = mynah_input(g, "sample", MYNAH_F32, MYNAH_SHAPE(1, chunk_size(p)));
  mynah_node t = mynah_input(g, "time", MYNAH_F32, MYNAH_SHAPE(1, 1));
  mynah_node condition = mynah_input(g, "condition", MYNAH_F32, MYNAH_SHAPE(1, c->width));
  mynah_output(g, "velocity", denoise(p, g, x, t, condition));
  return mynah_graph_status(g);
}

/* ---- acting -------------------------------------------------------------------------------------------------------- */

/* One generation: the sample, the noise it began as, and the prefix it has to begin with, all normalised. */
typedef struct generation {
  mynah_state *state;
  int64_t n, n_fixed; /* numbers in all; numbers of the prefix */
  float x[MAX_CHUNK_FLOATS], noise[MAX_CHUNK_FLOATS], fixed[MAX_CHUNK_FLOATS], slope[MAX_CHUNK_FLOATS];
} generation;

static void velocity(generation *s, float t, const float *x, float *out) {
  memcpy(mynah_state_input(s->state, "sample"), x, (size_t)s->n * sizeof *x);
  *(float *)mynah_state_input(s->state, "time") = t;
  mynah_state_run(s->state);
  memcpy(out, mynah_state_output(s->state, "velocity"), (size_t)s->n * sizeof *out);
}

/* The prefix is not integrated but lies on its own straight way from its noise: in-painting by replacement. */
static void pin_prefix(generation *s, float t) {
  for (int64_t i = 0; i < s->n_fixed; i++) s->x[i] = (1 - t) * s->noise[i] + t * s->fixed[i];
}

static void integrate(const flow_config *c, generation *s) {
  float step = 1 / (float)c->solver_steps;
  for (int64_t k = 0; k < c->solver_steps; k++) {
    float t = (float)k * step;
    pin_prefix(s, t);
    velocity(s, t, s->x, s->slope);
    if (c->solver == SOLVER_HEUN && k + 1 < c->solver_steps) {
      float ahead[MAX_CHUNK_FLOATS], second[MAX_CHUNK_FLOATS];
      for (int64_t i = 0; i < s->n; i++) ahead[i] = s->x[i] + step * s->slope[i];
      velocity(s, t + step, ahead, second);
      for (int64_t i = 0; i < s->n; i++) s->slope[i] = 0.5f * (s->slope[i] + second[i]);
    }
    for (int64_t i = 0; i < s->n; i++) s->x[i] += step * s->slope[i];
  }
  pin_prefix(s, 1);
}

static void predict(const mynah_policy *p, const mynah_prediction *r) {
  const flow_config *c = p->config;
  generation s = {.state = r->states[GRAPH_DENOISE], .n = chunk_size(p)};
  int64_t size = action_size(p);
  float scale[MAX_ACTION], shift[MAX_ACTION];
  for (int64_t i = 0; i < size; i++)
    mynah__norm_element(&p->action_norm, p->common.normalize_action, i, &scale[i], &shift[i]);
  s.n_fixed = r->n_prefix * size;
  for (int64_t i = 0; i < s.n_fixed; i++) s.fixed[i] = r->prefix[i] * scale[i % size] + shift[i % size];
  mynah_state_run(r->states[GRAPH_OBSERVE]);
  memcpy(mynah_state_input(s.state, "condition"), mynah_state_output(r->states[GRAPH_OBSERVE], "condition"),
         (size_t)c->width * sizeof(float));
  mynah_rng_fill_normal(r->rng, s.noise, (size_t)s.n);
  memcpy(s.x, s.noise, (size_t)s.n * sizeof *s.x);
  integrate(c, &s);
  bool is_clamped = p->common.normalize_action == MYNAH_NORMALIZE_MINMAX;
  for (int64_t i = 0; i < s.n; i++) {
    float x = is_clamped ? fminf(1, fmaxf(-1, s.x[i])) : s.x[i];
    r->chunk[i] = i < s.n_fixed ? r->prefix[i] : (x - shift[i % size]) / scale[i % size];
  }
}

const mynah_policy_type mynah__policy_flow = {
    .name = "flow",
    .summary = "chunks of actions by rectified flow matching, a residual MLP as the denoiser",
    .config = &flow_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = N_GRAPHS,
    .build_act = build_act,
    .predict = predict,
    .takes_prefix = true,
};
