/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy `diffusion`: Diffusion Policy (Chi et al. 2023, "Diffusion Policy: Visuomotor Policy Learning via Action Diffusion").
 * Training adds noise of a drawn level t to the actions, x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps, and predicts eps or x0; acting
 * goes from noise to actions by DDPM (Ho et al. 2020, eq. 7) or DDIM (Song et al. 2021, eq. 12, eta 0).
 * The actions begin with those of the earlier observed frames, as the original's do: n_obs - 1 + chunk of them. */
#include "policy_internal.h"

#include <mynah/model.h>

#include <math.h>
#include <string.h>

#define MAX_STEPS 1000
#define DIFFUSION_KEYS(K)                                                                          \
  K(INT, n_steps, "diffusion.steps", 100, 2, MAX_STEPS, "steps", "noise levels of training")       \
  K(CHOICE, schedule, "diffusion.schedule", "squaredcos", 0, 0, "squaredcos|linear", "how noise grows over the levels") \
  K(FLOAT, beta_start, "diffusion.beta.start", 0.0001, 0, 1, "", "schedule=linear: variance added at the first level") \
  K(FLOAT, beta_end, "diffusion.beta.end", 0.02, 0, 1, "", "and at the last")                      \
  K(CHOICE, target, "diffusion.target", "epsilon", 0, 0, "epsilon|sample", "what is predicted: the noise, or the actions") \
  K(CHOICE, sampler, "diffusion.sampler", "ddim", 0, 0, "ddpm|ddim", "how actions are made of noise") \
  K(INT, sampler_steps, "diffusion.sampler.steps", 10, 1, MAX_STEPS, "steps", "in how many steps") \
  K(FLOAT, clip, "diffusion.clip", 1, 0, 1000, "", "predicted actions are kept within this, normalised; 0: not at all") \
  K(INT, step_width, "diffusion.step.width", 128, 4, 4096, "", "width of the step's waves")

typedef struct diffusion_config {
#define DIFFUSION_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  DIFFUSION_KEYS(DIFFUSION_FIELD)
  mynah__encoder encoder;
  mynah__denoiser denoiser;
} diffusion_config;
#define DIFFUSION_ROW(type, field, name, value, low, high, unit, help)                             \
  MYNAH_KEY_OF(diffusion_config, type, field, name, value, low, high, unit, help)
#define ENCODER_ROW(type, field, name, value, low, high, unit, help)                               \
  MYNAH_KEY_OF(diffusion_config, type, encoder.field, name, value, low, high, unit, help)
#define DENOISER_ROW(type, field, name, value, low, high, unit, help)                              \
  MYNAH_KEY_OF(diffusion_config, type, denoiser.field, name, value, low, high, unit, help)
static const mynah_key diffusion_keys[] = {
    MYNAH__ENCODER_KEYS(ENCODER_ROW) MYNAH__DENOISER_KEYS(DENOISER_ROW, "unet") DIFFUSION_KEYS(DIFFUSION_ROW)};
static const mynah_config_table diffusion_table = {"diffusion policy", diffusion_keys, sizeof diffusion_keys / sizeof *diffusion_keys,
                                                   sizeof(diffusion_config)};

enum { TARGET_EPSILON, TARGET_SAMPLE };
enum { SAMPLER_DDPM, SAMPLER_DDIM };
enum { GRAPH_OBSERVE, GRAPH_DENOISE, N_GRAPHS };

static int64_t action_size(const mynah_policy *p) { return mynah_feature_size(&p->action); }
static int64_t horizon_of(const mynah_policy *p) { return p->common.n_obs - 1 + p->common.chunk; }

static mynah_status check(const mynah_policy *p) {
  const diffusion_config *c = p->config;
  MYNAH_TRY(mynah__encoder_check(&c->encoder));
  if (c->step_width % 2) return mynah_fail(MYNAH_INVALID, "diffusion.step.width=%lld must be even", (long long)c->step_width);
  if (c->sampler_steps > c->n_steps)
    return mynah_fail(MYNAH_INVALID, "diffusion.sampler.steps=%lld is more than diffusion.steps=%lld", (long long)c->sampler_steps,
                      (long long)c->n_steps);
  return mynah__denoiser_check(p, &c->denoiser, horizon_of(p));
}

static void fit_window(const mynah_policy *p, mynah_window *w) {
  if (strcmp(w->feature, "action") != 0) return;
  w->first = (int)(1 - p->common.n_obs);
  w->count = (int)horizon_of(p);
}

/* ---- the noise schedule ----------------------------------------------------------------------------------------------- */

/* Nichol and Dhariwal 2021, eq. 17: abar(u) = cos^2((u + 0.008) / 1.008 * pi / 2) */
static double cosine_level(double u) {
  double c = cos((u + 0.008) / 1.008 * 3.14159265358979323846 / 2);
  return c * c;
}

/* abar_t, t = 0 … n-1: betas rounded to float and multiplied in float, as diffusers does. */
static void fill_schedule(const diffusion_config *c, float *abar) {
  float product = 1;
  double n = (double)c->n_steps;
  for (int64_t t = 0; t < c->n_steps; t++) {
    double beta = c->beta_start + (c->beta_end - c->beta_start) * (double)t / (n - 1);
    if (c->schedule == 0) beta = fmin(1 - cosine_level((double)(t + 1) / n) / cosine_level((double)t / n), 0.999);
    product *= 1 - (float)beta;
    abar[t] = product;
  }
}

void mynah__diffusion_schedule(const mynah_policy *p, float *abar) { fill_schedule(p->config, abar); }

/* ---- graphs ----------------------------------------------------------------------------------------------------------- */

/* t (B,1) -> waves (B,step_width) */
static mynah_node step_waves(const mynah_policy *p, mynah_graph *g, mynah_node t) {
  return mynah_model_waves(g, t, ((const diffusion_config *)p->config)->step_width);
}

mynah_status mynah__diffusion_loss(const mynah_policy *p, mynah_graph *g, int64_t batch, const mynah__diffusion_draw *draw, mynah_node *loss) {
  const diffusion_config *c = p->config;
  int64_t n = horizon_of(p), size = action_size(p);
  float abar[MAX_STEPS], table[3 * MAX_STEPS];
  fill_schedule(c, abar);
  for (int64_t t = 0; t < c->n_steps; t++) {
    table[3 * t] = (float)t;
    table[3 * t + 1] = sqrtf(abar[t]);
    table[3 * t + 2] = sqrtf(1 - abar[t]);
  }
  mynah_node x0 = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, n, size));
  x0 = mynah__policy_normalize_action(p, g, x0);
  mynah_node level = mynah_gather(g, mynah_constant(g, MYNAH_SHAPE(c->n_steps, 3), table), draw->step);
  mynah_node kept = mynah_reshape(g, mynah_slice(g, level, -1, 1, 1), MYNAH_SHAPE(batch, 1, 1));
  mynah_node added = mynah_reshape(g, mynah_slice(g, level, -1, 2, 1), MYNAH_SHAPE(batch, 1, 1));
  mynah__noisy in = {mynah_add(g, mynah_mul(g, x0, kept), mynah_mul(g, draw->noise, added)),
                     step_waves(p, g, mynah_slice(g, level, -1, 0, 1)),
                     mynah__denoiser_observe(p, &c->encoder, &c->denoiser, g, batch)};
  mynah_node mask = p->common.is_masked ? mynah__policy_mask(p, g, batch, n) : MYNAH_NO_NODE;
  *loss = mynah_mse(g, mynah__denoise(p, &c->denoiser, g, &in), c->target == TARGET_EPSILON ? draw->noise : x0, mask);
  return mynah_graph_status(g);
}

static mynah_status build_train(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss) {
  const diffusion_config *c = p->config;
  mynah__diffusion_draw draw = {mynah_random_normal(g, MYNAH_SHAPE(batch, horizon_of(p), action_size(p))),
                                mynah_random_index(g, batch, c->n_steps)};
  return mynah__diffusion_loss(p, g, batch, &draw, loss);
}

static mynah_status build_act(const mynah_policy *p, int which, mynah_graph *g) {
  const diffusion_config *c = p->config;
  if (which == GRAPH_OBSERVE) {
    mynah_output(g, "condition", mynah__denoiser_observe(p, &c->encoder, &c->denoiser, g, 1));
    return mynah_graph_status(g);
  }
  int64_t size = 0;
  MYNAH_TRY(mynah__denoiser_condition_size(p, &c->encoder, &c->denoiser, &size));
  mynah__noisy in = {mynah_input(g, "sample", MYNAH_F32, MYNAH_SHAPE(1, horizon_of(p), action_size(p))),
                     step_waves(p, g, mynah_input(g, "time", MYNAH_F32, MYNAH_SHAPE(1, 1))),
                     mynah_input(g, "condition", MYNAH_F32, MYNAH_SHAPE(1, size))};
  mynah_output(g, "prediction", mynah__denoise(p, &c->denoiser, g, &in));
  return mynah_graph_status(g);
}

/* ---- acting ----------------------------------------------------------------------------------------------------------- */

/* One generation: the sample, the noise it began as, and the prefix it has to hold, all normalised. */
typedef struct generation {
  const diffusion_config *c;
  mynah_state *state;
  mynah_rng *rng;
  const float *noises; /* instead of rng: n numbers a step that draws; NULL: rng */
  float abar[MAX_STEPS];
  int64_t n, first, n_fixed; /* numbers in all; the prefix lies at first … first + n_fixed - 1 */
  float x[MYNAH__SAMPLE_MAX], start[MYNAH__SAMPLE_MAX], fixed[MYNAH__SAMPLE_MAX];
} generation;

static void predict_noise(generation *s, int64_t t, float *out) {
  memcpy(mynah_state_input(s->state, "sample"), s->x, (size_t)s->n * sizeof *s->x);
  *(float *)mynah_state_input(s->state, "time") = (float)t;
  mynah_state_run(s->state);
  memcpy(out, mynah_state_output(s->state, "prediction"), (size_t)s->n * sizeof *out);
}

/* The prefix as it would be at this level of noise: in-painting by replacement (Lugmayr et al. 2022, without resampling). */
static void pin_prefix(generation *s, float abar) {
  for (int64_t i = 0; i < s->n_fixed; i++)
    s->x[s->first + i] = sqrtf(abar) * s->fixed[i] + sqrtf(1 - abar) * s->start[s->first + i];
}

static float clipped(const generation *s, float x) {
  float most = (float)s->c->clip;
  return most > 0 ? fminf(most, fmaxf(-most, x)) : x;
}

/* x_t -> x_before from the network's output. abar 1 stands before the first level. */
static void step_back(generation *s, const float *out, float abar, float before, bool is_last) {
  float kept = sqrtf(abar), added = sqrtf(1 - abar), noise[MYNAH__SAMPLE_MAX];
  bool is_ddpm = s->c->sampler == SAMPLER_DDPM;
  float alpha = abar / before, beta = 1 - alpha;
  float variance = fmaxf((1 - before) / (1 - abar) * beta, 1e-20f);
  if (is_ddpm && !is_last) {
    if (s->noises) memcpy(noise, s->noises, (size_t)s->n * sizeof *noise), s->noises += s->n;
    else mynah_rng_fill_normal(s->rng, noise, (size_t)s->n);
  }
  for (int64_t i = 0; i < s->n; i++) {
    bool is_noise = s->c->target == TARGET_EPSILON;
    float eps = is_noise ? out[i] : (s->x[i] - kept * out[i]) / added; /* of the actions before they are clipped, as diffusers has it */
    float x0 = clipped(s, is_noise ? (s->x[i] - added * out[i]) / kept : out[i]);
    if (is_ddpm) {
      s->x[i] = sqrtf(before) * beta / (1 - abar) * x0 + sqrtf(alpha) * (1 - before) / (1 - abar) * s->x[i];
      if (!is_last) s->x[i] += sqrtf(variance) * noise[i];
    } else {
      s->x[i] = sqrtf(before) * x0 + sqrtf(1 - before) * eps;
    }
  }
}

/* Levels are multiples of n_steps / sampler_steps, from the noisiest down to 0. */
static void generate(generation *s) {
  int64_t stride = s->c->n_steps / s->c->sampler_steps;
  float out[MYNAH__SAMPLE_MAX];
  for (int64_t k = s->c->sampler_steps - 1; k >= 0; k--) {
    int64_t t = k * stride;
    pin_prefix(s, s->abar[t]);
    predict_noise(s, t, out);
    step_back(s, out, s->abar[t], k > 0 ? s->abar[t - stride] : 1, k == 0);
  }
  pin_prefix(s, 1);
}

void mynah__diffusion_predict(const mynah_policy *p, const mynah_prediction *r, const float *start, const float *noises) {
  const diffusion_config *c = p->config;
  int64_t size = action_size(p), n = horizon_of(p) * size, first = (p->common.n_obs - 1) * size;
  generation s = {.c = c, .state = r->states[GRAPH_DENOISE], .rng = r->rng, .noises = noises, .n = n, .first = first};
  fill_schedule(c, s.abar);
  mynah__affine maps[MYNAH__ACTION_MAX];
  for (int64_t i = 0; i < size; i++) maps[i] = mynah__norm_element(&p->action_norm, p->common.normalize_action, i);
  s.n_fixed = r->n_prefix * size;
  for (int64_t i = 0; i < s.n_fixed; i++) s.fixed[i] = mynah__affine_to(maps[i % size], r->prefix[i]);
  mynah_state_run(r->states[GRAPH_OBSERVE]);
  const float *condition = mynah_state_output(r->states[GRAPH_OBSERVE], "condition");
  memcpy(mynah_state_input(s.state, "condition"), condition, mynah_state_output_bytes(r->states[GRAPH_OBSERVE], "condition"));
  if (start) memcpy(s.start, start, (size_t)n * sizeof *start);
  else mynah_rng_fill_normal(r->rng, s.start, (size_t)n);
  memcpy(s.x, s.start, (size_t)n * sizeof *s.x);
  generate(&s);
  for (int64_t i = 0; i < p->common.chunk * size; i++)
    r->chunk[i] = i < s.n_fixed ? r->prefix[i] : mynah__affine_from(maps[i % size], s.x[first + i]);
}

static void predict(const mynah_policy *p, const mynah_prediction *r) { mynah__diffusion_predict(p, r, NULL, NULL); }

const mynah_policy_type mynah__policy_diffusion = {
    .name = "diffusion",
    .summary = "chunks of actions by denoising diffusion: U-Net, residual MLP or transformer; DDPM and DDIM",
    .config = &diffusion_table,
    .check = check,
    .build_train = build_train,
    .fit_window = fit_window,
    .n_act_graphs = N_GRAPHS,
    .build_act = build_act,
    .hidden = "condition",
    .predict = predict,
    .takes_prefix = true,
};
