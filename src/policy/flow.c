/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `flow`: chunks of actions by rectified flow matching (Liu et al. 2022, "Flow Straight and Fast"; Lipman et al.
 * 2022, "Flow Matching for Generative Modeling"). With noise x0 ~ N(0, 1), actions x1 and a time t in (0, 1)
 *   x_t = (1 - t) x0 + t x1,   loss = |v(x_t, t, observation) - (x1 - x0)|^2,
 * and acting integrates dx/dt = v from noise to actions in a few steps. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <math.h>
#include <string.h>

#define FLOW_KEYS(K)                                                                               \
  K(INT, solver_steps, "flow.steps", 6, 1, 1000, "steps", "integration steps from noise to actions") \
  K(CHOICE, solver, "flow.solver", "euler", 0, 0, "euler|heun", "heun: twice the work a step, second order") \
  K(FLOAT, time_scale, "flow.time.scale", 1.7, 0, 100, "", "training times are sigmoid(shift + scale N(0,1)); 1.7 is uniform within one percent") \
  K(FLOAT, time_shift, "flow.time.shift", 0, -10, 10, "", "above 0: more times near the actions") \
  K(FLOAT, temperature, "flow.temperature", 1, 0, 10, "", "standard deviation of the noise that acting begins with; below 1: nearer to the modes") \
  K(INT, prefix, "flow.prefix", 0, 0, 64, "actions", "train with up to so many first actions given, as in execution with delays; 0: prefixes are painted in")

typedef struct flow_config {
#define FLOW_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  FLOW_KEYS(FLOW_FIELD)
  mynah__encoder encoder;
  mynah__denoiser denoiser;
} flow_config;
#define FLOW_ROW(type, field, name, value, low, high, unit, help)                                  \
  MYNAH_KEY_OF(flow_config, type, field, name, value, low, high, unit, help)
#define FLOW_ENCODER_ROW(type, field, name, value, low, high, unit, help)                          \
  MYNAH_KEY_OF(flow_config, type, encoder.field, name, value, low, high, unit, help)
#define FLOW_DENOISER_ROW(type, field, name, value, low, high, unit, help)                         \
  MYNAH_KEY_OF(flow_config, type, denoiser.field, name, value, low, high, unit, help)
static const mynah_key flow_keys[] = {
    MYNAH__ENCODER_KEYS(FLOW_ENCODER_ROW) MYNAH__DENOISER_KEYS(FLOW_DENOISER_ROW, "mlp") FLOW_KEYS(FLOW_ROW)};
static const mynah_config_table flow_table = {"flow policy", flow_keys, sizeof flow_keys / sizeof *flow_keys,
                                              sizeof(flow_config)};

enum { SOLVER_EULER, SOLVER_HEUN };
enum { GRAPH_OBSERVE, GRAPH_DENOISE, N_GRAPHS };
#define N_FREQUENCIES 16

static int64_t action_size(const mynah_policy *p) { return mynah_feature_size(&p->action); }
static int64_t chunk_size(const mynah_policy *p) { return p->common.chunk * action_size(p); }

static mynah_status check(const mynah_policy *p) {
  const flow_config *c = p->config;
  MYNAH_TRY(mynah__encoder_check(&c->encoder));
  if (c->prefix >= p->common.chunk)
    return mynah_fail(MYNAH_INVALID, "flow.prefix=%lld leaves nothing of chunk=%lld to predict", (long long)c->prefix,
                      (long long)p->common.chunk);
  return mynah__denoiser_check(p, &c->denoiser, p->common.chunk);
}

/* ---- graphs -------------------------------------------------------------------------------------------------------- */

/* sin and cos of pi 2^(k/2) t, k = 0 … N_FREQUENCIES-1. t (B,1) -> (B,2*N_FREQUENCIES) */
static mynah_node embed_time(mynah_graph *g, mynah_node t) {
  mynah_node scaled[N_FREQUENCIES], waves[2];
  for (int k = 0; k < N_FREQUENCIES; k++) scaled[k] = mynah_affine(g, t, (float)(3.14159265358979 * pow(2, 0.5 * k)), 0);
  mynah_node angles = mynah_concat(g, scaled, N_FREQUENCIES, -1);
  waves[0] = mynah_unary(g, "sin", angles);
  waves[1] = mynah_unary(g, "cos", angles);
  return mynah_concat(g, waves, 2, -1);
}

/* What a velocity is asked for. Shape: x (B,chunk,A) t (B,1) condition (B,C); given (B,chunk,1): 1 where the action is given
 * and clean; null without trained prefixes */
typedef struct question {
  mynah_node x, t, condition, given;
} question;

/* v(x_t, t, observation) -> (B,chunk,A) */
static mynah_node velocity_of(const mynah_policy *p, mynah_graph *g, const question *q) {
  const flow_config *c = p->config;
  mynah_node x = q->x;
  if (c->prefix > 0) x = mynah_concat(g, (mynah_node[]){x, q->given}, 2, -1);
  return mynah__denoise(p, &c->denoiser, g, &(mynah__noisy){x, embed_time(g, q->t), q->condition});
}

/* Rows for prefixes of 0 … flow.prefix actions: 1 where given. -> (flow.prefix+1,chunk) */
static mynah_node prefix_table(const mynah_policy *p, mynah_graph *g) {
  int64_t n = ((const flow_config *)p->config)->prefix + 1, chunk = p->common.chunk;
  float rows[65 * 512];
  for (int64_t d = 0; d < n; d++)
    for (int64_t i = 0; i < chunk; i++) rows[d * chunk + i] = i < d;
  return mynah_constant(g, MYNAH_SHAPE(n, chunk), rows);
}

static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const flow_config *c = p->config;
  int64_t n = p->common.chunk;
  mynah_shape shape = MYNAH_SHAPE(batch, n, action_size(p));
  mynah_node x1 = mynah__policy_normalize_action(p, g, mynah_input(g, "action", MYNAH_F32, shape));
  mynah_node x0 = mynah_random_normal(g, shape), z = mynah_random_normal(g, MYNAH_SHAPE(batch, 1));
  question q = {.t = mynah_sigmoid(g, mynah_affine(g, z, (float)c->time_scale, (float)c->time_shift))};
  mynah_node way = mynah_sub(g, x1, x0), mask = MYNAH_NO_NODE;
  q.x = mynah_add(g, x0, mynah_mul(g, way, mynah_reshape(g, q.t, MYNAH_SHAPE(batch, 1, 1))));
  if (p->common.is_masked) mask = mynah__policy_mask(p, g, batch, n);
  if (c->prefix > 0) { /* given actions are clean and not judged (Black et al. 2025, "Training-Time Action Conditioning") */
    mynah_node given = mynah_gather(g, prefix_table(p, g), mynah_random_index(g, batch, c->prefix + 1));
    q.given = mynah_reshape(g, given, MYNAH_SHAPE(batch, n, 1));
    q.x = mynah_add(g, q.x, mynah_mul(g, mynah_sub(g, x1, q.x), q.given));
    mynah_node judged = mynah_mul(g, mynah_fill(g, shape, 1), mynah_affine(g, q.given, -1, 1));
    mask = mynah_node_is_null(mask) ? judged : mynah_mul(g, mask, judged);
  }
  q.condition = mynah__denoiser_observe(p, &c->encoder, &c->denoiser, g, batch);
  *loss = mynah_mse(g, velocity_of(p, g, &q), way, mask);
  return mynah_graph_status(g);
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  const flow_config *c = p->config;
  int64_t n = p->common.chunk, size = 0;
  if (which == GRAPH_OBSERVE) {
    mynah_output(g, "condition", mynah__denoiser_observe(p, &c->encoder, &c->denoiser, g, 1));
    return mynah_graph_status(g);
  }
  MYNAH_TRY(mynah__denoiser_condition_size(p, &c->encoder, &c->denoiser, &size));
  question q = {mynah_input(g, "sample", MYNAH_F32, MYNAH_SHAPE(1, n, action_size(p))),
                mynah_input(g, "time", MYNAH_F32, MYNAH_SHAPE(1, 1)),
                mynah_input(g, "condition", MYNAH_F32, MYNAH_SHAPE(1, size)), MYNAH_NO_NODE};
  if (c->prefix > 0) q.given = mynah_input(g, "given", MYNAH_F32, MYNAH_SHAPE(1, n, 1));
  mynah_output(g, "velocity", velocity_of(p, g, &q));
  return mynah_graph_status(g);
}

/* ---- acting -------------------------------------------------------------------------------------------------------- */

/* One generation: the sample, the noise it began as, and the prefix it has to begin with, all normalised. */
typedef struct generation {
  mynah_state *state;
  int64_t n, n_fixed; /* numbers in all; numbers of the prefix */
  bool is_given;      /* the network is told of the prefix */
  float x[MYNAH__SAMPLE_MAX], noise[MYNAH__SAMPLE_MAX], fixed[MYNAH__SAMPLE_MAX], slope[MYNAH__SAMPLE_MAX];
} generation;

static void velocity(generation *s, float t, const float *x, float *out) {
  memcpy(mynah_state_input(s->state, "sample"), x, (size_t)s->n * sizeof *x);
  *(float *)mynah_state_input(s->state, "time") = t;
  mynah_state_run(s->state);
  memcpy(out, mynah_state_output(s->state, "velocity"), (size_t)s->n * sizeof *out);
}

/* The prefix is not integrated: it is clean from the beginning where that was trained (is_given), else it lies on its own
 * straight way from its noise: in-painting by replacement. */
static void pin_prefix(generation *s, float t) {
  if (s->is_given) t = 1;
  for (int64_t i = 0; i < s->n_fixed; i++) s->x[i] = (1 - t) * s->noise[i] + t * s->fixed[i];
}

static void integrate(const flow_config *c, generation *s) {
  float step = 1 / (float)c->solver_steps;
  for (int64_t k = 0; k < c->solver_steps; k++) {
    float t = (float)k * step;
    pin_prefix(s, t);
    velocity(s, t, s->x, s->slope);
    if (c->solver == SOLVER_HEUN && k + 1 < c->solver_steps) {
      float ahead[MYNAH__SAMPLE_MAX], second[MYNAH__SAMPLE_MAX];
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
  mynah__affine maps[MYNAH__ACTION_MAX];
  for (int64_t i = 0; i < size; i++) maps[i] = mynah__norm_element(&p->action_norm, p->common.normalize_action, i);
  s.n_fixed = r->n_prefix * size;
  for (int64_t i = 0; i < s.n_fixed; i++) s.fixed[i] = mynah__affine_to(maps[i % size], r->prefix[i]);
  mynah_state_run(r->states[GRAPH_OBSERVE]);
  memcpy(mynah_state_input(s.state, "condition"), mynah_state_output(r->states[GRAPH_OBSERVE], "condition"),
         mynah_state_output_bytes(r->states[GRAPH_OBSERVE], "condition"));
  s.is_given = r->n_prefix <= c->prefix;
  float *given = c->prefix > 0 ? mynah_state_input(s.state, "given") : NULL; /* (chunk) */
  for (int64_t i = 0; given && i < p->common.chunk; i++) given[i] = s.is_given && i < r->n_prefix;
  mynah_rng_fill_normal(r->rng, s.noise, (size_t)s.n);
  for (int64_t i = 0; i < s.n; i++) s.noise[i] *= (float)c->temperature;
  memcpy(s.x, s.noise, (size_t)s.n * sizeof *s.x);
  integrate(c, &s);
  bool is_clamped = p->common.normalize_action == MYNAH_NORMALIZE_MINMAX;
  for (int64_t i = 0; i < s.n; i++) {
    float x = is_clamped ? fminf(1, fmaxf(-1, s.x[i])) : s.x[i];
    r->chunk[i] = i < s.n_fixed ? r->prefix[i] : mynah__affine_from(maps[i % size], x);
  }
}

const mynah_policy_type mynah__policy_flow = {
    .name = "flow",
    .summary = "chunks of actions by rectified flow matching, denoised by a residual MLP, a transformer or a U-Net",
    .config = &flow_table,
    .check = check,
    .build_train = build_train,
    .n_act_graphs = N_GRAPHS,
    .build_act = build_act,
    .hidden = "condition",
    .predict = predict,
    .takes_prefix = true,
};
