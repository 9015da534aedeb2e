/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* LeRobot's ACT and Diffusion checkpoints: predictions, executed sequences, losses, gradients and optimiser steps against
 * ../shared/goldens/lerobot_act and lerobot_diffusion. */
#include "lerobot_case.h"

#include "support/policy_case.h"

#define ACT GOLDENS "lerobot_act/"
#define DIFFUSION GOLDENS "lerobot_diffusion/"

static bool is_absent(const char *path) {
  if (mynah_file_exists(path)) return false;
  print_message("%s is absent: not compared with LeRobot\n", path);
  return true;
}

static void set(mynah_policy *p, const char *key, const char *value) {
  mynah_config_bind binds[2] = {{&mynah_policy_table, &p->common}, {p->type->config, p->config}};
  ok(mynah_config_set(binds, 2, key, value));
}

/* The acting graphs' states, for predictions with inputs that the test fills. */
typedef struct acting {
  mynah_clone *clone;
  mynah_state *states[MYNAH_POLICY_GRAPHS_MAX];
  int n;
} acting;

static acting acting_begin(const mynah_policy *p, mynah_weights *w) {
  acting a = {.n = p->type->n_act_graphs};
  ok(mynah_clone_create(p, w, &a.clone));
  for (int k = 0; k < a.n; k++) ok(mynah_state_create(mynah_clone_binding(a.clone, k), &a.states[k]));
  return a;
}

static void acting_end(acting *a) {
  for (int k = 0; k < a->n; k++) mynah_state_destroy(a->states[k]);
  mynah_clone_destroy(a->clone);
}

/* Row b of a tensor (B,…) into the float input of the same observation. */
static void put_row(acting *a, const char *input, const mynah_safetensors *f, const char *name, int64_t b) {
  const mynah_safetensor *t = tensor(f, name);
  int64_t n = mynah_shape_size(t->shape) / t->shape.dims[0];
  memcpy(mynah_state_input(a->states[0], input), (const float *)t->data + b * n, (size_t)n * sizeof(float));
}

/* (x - y) in normalised units: by the scale of each action element. */
static void assert_chunk(const char *what, const mynah_policy *p, const float *ours, const float *theirs, int64_t n, double tolerance) {
  int64_t size = mynah_feature_size(&p->action);
  for (int64_t i = 0; i < n * size; i++) {
    double scale = (double)mynah__norm_element(&p->action_norm, p->common.normalize_action, i % size).scale;
    double error = ((double)ours[i] - (double)theirs[i]) * scale;
    if (!(fabs(error) <= tolerance)) fail_msg("%s: [%lld] is %.9g, LeRobot's %.9g", what, (long long)i, (double)ours[i], (double)theirs[i]);
  }
}

/* ---- ACT: states ------------------------------------------------------------------------------------------------------- */

static const char *const state_inputs[] = {"observation.state", "observation.environment_state"};

static void check_act_chunks(const mynah_policy *p, mynah_weights *w, const mynah_safetensors *f) {
  acting a = acting_begin(p, w);
  float chunk[40];
  for (int64_t b = 0; b < 4; b++) {
    put_row(&a, state_inputs[0], f, "raw.observation.state", b);
    put_row(&a, state_inputs[1], f, "raw.observation.environment_state", b);
    p->type->predict(p, &(mynah_prediction){.states = a.states, .chunk = chunk});
    assert_chunk("chunk", p, chunk, floats(f, "eval.chunk") + b * 40, 20, 2e-5);
  }
  acting_end(&a);
}

static void check_act_sequence(const mynah_policy *p, mynah_weights *w, const mynah_safetensors *f, const char *expected,
                               const mynah_execute_config *execute) {
  mynah_clone *clone;
  mynah_actor *actor;
  ok(mynah_clone_create(p, w, &clone));
  ok(mynah_actor_create(clone, &actor));
  ok(mynah_actor_configure(actor, execute));
  mynah_actor_reset(actor, 1);
  const float *state = floats(f, "select.raw.observation.state"), *points = floats(f, "select.raw.observation.environment_state");
  for (int t = 0; t < 30; t++) {
    mynah_value values[2] = {{state + 2 * t, 2 * sizeof *state, 0}, {points + 16 * t, 16 * sizeof *points, 0}};
    float action[2];
    mynah_actor_act(actor, values, action);
    assert_chunk(expected, p, action, floats(f, expected) + 2 * t, 1, 2e-5);
  }
  mynah_actor_destroy(actor);
  mynah_clone_destroy(clone);
}

static void act_predicts(void **state) {
  static const char *const folders[] = {ACT "state/pretrained_model", ACT "state/pretrained_model_old"};
  if (is_absent(ACT "state/goldens.safetensors")) skip();
  mynah_safetensors *f;
  ok(mynah_safetensors_open(ACT "state/goldens.safetensors", &f));
  for (int k = 0; k < 2; k++) {
    mynah_policy *p;
    mynah_weights *w;
    ok(mynah_policy_import_lerobot(folders[k], &p, &w));
    assert_int_equal(mynah_weights_n_parameters(w), 189202);
    check_act_chunks(p, w, f);
    mynah_execute_config execute = p->common.execute;
    check_act_sequence(p, w, f, "select.action_queue10", &execute);
    execute.mode = MYNAH_EXECUTE_ENSEMBLE;
    execute.steps = 1;
    check_act_sequence(p, w, f, "select.action_ensemble_0.01", &execute);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
  mynah_safetensors_close(f);
}

/* The loss with the noise as an input; actions' inputs are filled. */
static void act_loss(loss_run *r, const mynah_policy *p, int64_t batch, int64_t latent, const mynah_safetensors *f) {
  mynah__act_parts parts;
  ok(mynah_graph_create(&r->graph));
  ok(mynah__act_loss(p, r->graph, batch, mynah_input(r->graph, "eps", MYNAH_F32, MYNAH_SHAPE(batch, latent)), &parts));
  mynah_output(r->graph, "mu", parts.mean);
  mynah_output(r->graph, "log_sigma_x2", parts.log_variance);
  mynah_output(r->graph, "actions", parts.actions);
  mynah_output(r->graph, "l1", parts.l1);
  mynah_output(r->graph, "kl", parts.kl);
  loss_compile(r, parts.loss);
  loss_set(r, "action", f, "raw.action");
  loss_set(r, "eps", f, "train.eps");
  float *mask = mynah_state_input(r->state, "action.mask");
  for (int64_t i = 0; i < batch * p->common.chunk; i++) mask[i] = 1 - (float)number_at(f, "raw.action_is_pad", i);
}

static void assert_act_loss(const loss_run *r, const mynah_safetensors *f, double tolerance) {
  static const char *const names[] = {"mu", "log_sigma_x2", "actions"};
  static const char *const theirs[] = {"train.mu", "train.log_sigma_x2", "train.actions_hat"};
  for (int k = 0; k < 3; k++)
    assert_close(names[k], mynah_state_output(r->state, names[k]), floats(f, theirs[k]), mynah_shape_size(tensor(f, theirs[k])->shape), tolerance);
  assert_near("l1", loss_value(r, "l1"), number_at(f, "train.l1", 0), 1e-5);
  assert_near("kl", loss_value(r, "kl"), number_at(f, "train.kl", 0), 1e-5);
  assert_near("loss", loss_value(r, "loss"), number_at(f, "train.loss", 0), 1e-5);
}

/* One step of Adam on everything, norms included, after clipping at 10. Returns the norm. */
static double optimise(loss_run *r, float *moments[2], mynah_adam adam, int step) {
  int64_t n = mynah_weights_n_trained(r->weights);
  const float *gradient = mynah_state_gradients(r->state);
  double norm = sqrt(mynah_sweep_sum_squares(n, gradient));
  adam.correction1 = (float)(1 - pow((double)adam.beta1, step + 1));
  adam.correction2 = (float)(1 - pow((double)adam.beta2, step + 1));
  adam.gradient_scale = (float)fmin(1, 10 / (norm + 1e-6));
  mynah_sweep_adam(&adam, n, mynah_weights_data(r->weights), moments[0], moments[1], gradient);
  mynah_binding_refresh(r->binding, NULL);
  return norm;
}

static void moments_create(const mynah_weights *w, float *moments[2]) {
  for (int k = 0; k < 2; k++) {
    moments[k] = mynah_calloc((size_t)mynah_weights_n_trained(w) + 16, sizeof(float));
    assert_non_null(moments[k]);
  }
}

static void act_learns(void **state) {
  if (is_absent(ACT "state/goldens.safetensors")) skip();
  mynah_safetensors *f;
  mynah_policy *p;
  loss_run r = {0};
  ok(mynah_safetensors_open(ACT "state/goldens.safetensors", &f));
  ok(mynah_policy_import_lerobot(ACT "state/pretrained_model", &p, &r.weights));
  act_loss(&r, p, 4, 8, f);
  loss_set(&r, state_inputs[0], f, "raw.observation.state");
  loss_set(&r, state_inputs[1], f, "raw.observation.environment_state");
  mynah_state_run(r.state);
  assert_act_loss(&r, f, 2e-5);
  assert_gradients(&r, ACT "state/gradients.safetensors", "model.", 1e-4);
  float *moments[2];
  moments_create(r.weights, moments);
  mynah_adam adam = {.lr = 1e-4f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 1e-4f, .is_decoupled = true};
  for (int step = 0; step < 10; step++) {
    memcpy(mynah_state_input(r.state, "eps"), floats(f, "adamw.eps") + 32 * step, 32 * sizeof(float));
    mynah_state_run(r.state);
    assert_near("loss of a step", loss_value(&r, "loss"), number_at(f, "adamw.loss_l1_kl", 3 * step), 1e-5);
    assert_near("norm of a step", optimise(&r, moments, adam, step), number_at(f, "adamw.grad_norm", step), 1e-4);
  }
  assert_weights(r.weights, mynah_weights_const_data(r.weights), ACT "state/after_10_steps.safetensors", "adamw_param", "model.");
  for (int k = 0; k < 2; k++) mynah_free(moments[k]);
  loss_end(&r);
  mynah_weights_destroy(r.weights);
  mynah_policy_destroy(p);
  mynah_safetensors_close(f);
}

/* ---- ACT: pictures ------------------------------------------------------------------------------------------------------ */

/* A set of pictures: where, how large, which cameras, and how close float arithmetic comes. */
typedef struct picture_set {
  const char *folder, *name, *cameras[2];
  int n_cameras;
  int64_t height, width;
  double chunk_tolerance, gradient_tolerances[2];
} picture_set;

/* Camera c, sample b. */
static void put_picture(const picture_set *s, int c, int64_t b, uint8_t *out) {
  char name[128];
  snprintf(name, sizeof name, "act.%s.%s.%lld", s->name, s->cameras[c], (long long)b);
  formula_image(name, s->height, s->width, out);
}

static void check_pictures(const picture_set *s) {
  char path[256], camera[64];
  mynah_safetensors *f;
  mynah_policy *p;
  loss_run r = {0};
  snprintf(path, sizeof path, "%s/goldens.safetensors", s->folder);
  ok(mynah_safetensors_open(path, &f));
  snprintf(path, sizeof path, "%s/pretrained_model", s->folder);
  ok(mynah__lerobot_describe(path, &p, &r.weights));
  formula_weights(r.weights, "model.", "in_proj_weight");
  set(p, "dropout", "0");
  int64_t chunk = p->common.chunk, size = mynah_feature_size(&p->action), bytes = s->height * s->width * 3;
  float *actions = mynah_calloc((size_t)(chunk * size), sizeof *actions);
  acting a = acting_begin(p, r.weights);
  for (int64_t b = 0; b < 2; b++) {
    put_row(&a, "observation.state", f, "raw.observation.state", b);
    for (int c = 0; c < s->n_cameras; c++) {
      snprintf(camera, sizeof camera, "observation.images.%s", s->cameras[c]);
      put_picture(s, c, b, mynah_state_input(a.states[0], camera));
    }
    p->type->predict(p, &(mynah_prediction){.states = a.states, .chunk = actions});
    assert_chunk("chunk", p, actions, floats(f, "eval.chunk") + b * chunk * size, chunk, s->chunk_tolerance);
  }
  acting_end(&a);
  mynah_free(actions);
  act_loss(&r, p, 2, tensor(f, "train.eps")->shape.dims[1], f);
  loss_set(&r, "observation.state", f, "raw.observation.state");
  for (int c = 0; c < s->n_cameras; c++) {
    snprintf(camera, sizeof camera, "observation.images.%s", s->cameras[c]);
    for (int64_t b = 0; b < 2; b++) put_picture(s, c, b, (uint8_t *)mynah_state_input(r.state, camera) + b * bytes);
  }
  mynah_state_run(r.state);
  assert_act_loss(&r, f, 2 * s->chunk_tolerance);
  snprintf(path, sizeof path, "%s/gradient_names.json", s->folder);
  assert_gradient_heads(&r, path, f, "model.", s->gradient_tolerances);
  loss_end(&r);
  mynah_weights_destroy(r.weights);
  mynah_policy_destroy(p);
  mynah_safetensors_close(f);
}

static void act_sees(void **state) {
  if (is_absent(ACT "image_small/goldens.safetensors")) skip();
  check_pictures(&(picture_set){ACT "image_small", "image_small", {"top", "wrist"}, 2, 96, 96, 2e-5, {1e-4, 1e-4}});
}

static void act_sees_at_full_size(void **state) {
  if (is_absent(ACT "image_full/goldens.safetensors")) skip();
  check_pictures(&(picture_set){ACT "image_full", "image_full", {"top"}, 1, 480, 640, 5e-5, {1e-3, 5e-3}});
}

/* ---- diffusion ---------------------------------------------------------------------------------------------------------- */

/* Generations of two samples whose noise is given. Observations are put by the caller before each. */
typedef struct sampled {
  const char *sampler, *steps, *chunk;
  double tolerance;
} sampled;

static void check_sampled(acting *a, mynah_policy *p, const mynah_safetensors *f, const sampled *s, int64_t b) {
  set(p, "diffusion.sampler", s->sampler);
  set(p, "diffusion.sampler.steps", s->steps);
  float noises[100 * 32], chunk[30];
  const float *all = floats(f, "sample.noise"); /* (100,2,16,2) */
  for (int k = 0; k < 100; k++) memcpy(noises + 32 * k, all + (2 * k + b) * 32, 32 * sizeof *all);
  mynah__diffusion_predict(p, &(mynah_prediction){.states = a->states, .chunk = chunk}, floats(f, "sample.x_T") + 32 * b, noises);
  assert_chunk(s->chunk, p, chunk, floats(f, s->chunk) + 16 * b, 8, s->tolerance);
}

static void check_network(acting *a, const mynah_safetensors *f, int64_t condition) {
  for (int64_t b = 0; b < tensor(f, "unet.x")->shape.dims[0] && b < 2; b++) {
    memcpy(mynah_state_input(a->states[1], "sample"), floats(f, "unet.x") + 32 * b, 32 * sizeof(float));
    memcpy(mynah_state_input(a->states[1], "condition"), floats(f, "global_cond") + condition * b, (size_t)condition * sizeof(float));
    *(float *)mynah_state_input(a->states[1], "time") = (float)number_at(f, "unet.t", b);
    mynah_state_run(a->states[1]);
    assert_close("U-Net", mynah_state_output(a->states[1], "prediction"), floats(f, "unet.y") + 32 * b, 32, 2e-5);
  }
}

static void diffusion_predicts(void **state) {
  static const char *const folders[] = {DIFFUSION "state/pretrained_model", DIFFUSION "state/pretrained_model_old"};
  static const sampled ways[] = {
      {"ddpm", "100", "ddpm100.chunk", 2e-5}, {"ddim", "10", "ddim10.chunk", 2e-5}, {"ddpm", "10", "ddpm10.chunk", 2e-5}};
  if (is_absent(DIFFUSION "state/goldens.safetensors")) skip();
  mynah_safetensors *f;
  ok(mynah_safetensors_open(DIFFUSION "state/goldens.safetensors", &f));
  for (int k = 0; k < 2; k++) {
    mynah_policy *p;
    mynah_weights *w;
    ok(mynah_policy_import_lerobot(folders[k], &p, &w));
    acting a = acting_begin(p, w);
    check_network(&a, f, 36);
    for (int64_t b = 0; b < 2; b++) {
      put_row(&a, state_inputs[0], f, "raw.observation.state", b);
      put_row(&a, state_inputs[1], f, "raw.observation.environment_state", b);
      for (int i = 0; i < 3; i++) check_sampled(&a, p, f, &ways[i], b);
      assert_close("condition", mynah_state_output(a.states[0], "condition"), floats(f, "global_cond") + 36 * b, 36, 2e-6);
    }
    acting_end(&a);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
  mynah_safetensors_close(f);
}

/* 30 steps, a new plan every 8 from two frames of observation, the noise given. */
static void diffusion_acts(void **state) {
  if (is_absent(DIFFUSION "state/goldens.safetensors")) skip();
  mynah_safetensors *f;
  mynah_policy *p;
  mynah_weights *w;
  ok(mynah_safetensors_open(DIFFUSION "state/goldens.safetensors", &f));
  ok(mynah_policy_import_lerobot(DIFFUSION "state/pretrained_model", &p, &w));
  acting a = acting_begin(p, w);
  float chunk[30];
  for (int t = 0; t < 30; t++) {
    static const char *const names[] = {"select.raw.observation.state", "select.raw.observation.environment_state"};
    int before = t > 0 ? t - 1 : 0;
    for (int i = 0; i < 2 && t % 8 == 0; i++) {
      size_t n = i ? 16 : 2;
      float *to = mynah_state_input(a.states[0], state_inputs[i]);
      memcpy(to, floats(f, names[i]) + (size_t)before * n, n * sizeof *to);
      memcpy(to + n, floats(f, names[i]) + (size_t)t * n, n * sizeof *to);
    }
    if (t % 8 == 0)
      mynah__diffusion_predict(p, &(mynah_prediction){.states = a.states, .chunk = chunk}, floats(f, "select.x_T") + 32 * (t / 8),
                               floats(f, "select.noise") + 99 * 32 * (t / 8));
    assert_chunk("action", p, chunk + 2 * (t % 8), floats(f, "select.action") + 2 * t, 1, 2e-5);
  }
  acting_end(&a);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  mynah_safetensors_close(f);
}

static void diffusion_loss(loss_run *r, const mynah_policy *p, int64_t batch, const mynah_safetensors *f) {
  mynah_node loss;
  ok(mynah_graph_create(&r->graph));
  mynah__diffusion_draw draw = {mynah_input(r->graph, "eps", MYNAH_F32, MYNAH_SHAPE(batch, 16, 2)),
                                mynah_input(r->graph, "t", MYNAH_I32, MYNAH_SHAPE(batch))};
  ok(mynah__diffusion_loss(p, r->graph, batch, &draw, &loss));
  loss_compile(r, loss);
  loss_set(r, "action", f, "raw.action");
  loss_set(r, "eps", f, "train.eps");
  for (int64_t b = 0; b < batch; b++) ((int32_t *)mynah_state_input(r->state, "t"))[b] = (int32_t)number_at(f, "train.t", b);
}

static void state_loss(loss_run *r, const mynah_policy *p, const mynah_safetensors *f) {
  diffusion_loss(r, p, 4, f);
  loss_set(r, state_inputs[0], f, "raw.observation.state");
  loss_set(r, state_inputs[1], f, "raw.observation.environment_state");
  float *mask = mynah_state_input(r->state, "action.mask");
  for (int64_t i = 0; mask && i < 64; i++) mask[i] = 1 - (float)number_at(f, "raw.action_is_pad", i);
  mynah_state_run(r->state);
}

static void diffusion_learns(void **state) {
  if (is_absent(DIFFUSION "state/goldens.safetensors")) skip();
  mynah_safetensors *f;
  mynah_policy *p;
  mynah_weights *w;
  ok(mynah_safetensors_open(DIFFUSION "state/goldens.safetensors", &f));
  ok(mynah_policy_import_lerobot(DIFFUSION "state/pretrained_model", &p, &w));
  static const char *const losses[3] = {"train.loss_masked", "train.loss_sample_prediction", "train.loss"};
  loss_run r = {.weights = w};
  for (int k = 0; k < 3; k++) {
    set(p, "mask", k == 0 ? "true" : "false");
    set(p, "diffusion.target", k == 1 ? "sample" : "epsilon");
    state_loss(&r, p, f);
    assert_near(losses[k], loss_value(&r, "loss"), number_at(f, losses[k], 0), 2e-6);
    if (k < 2) loss_end(&r);
  }
  assert_gradients(&r, DIFFUSION "state/gradients.safetensors", "diffusion.", 1e-4);
  float *moments[2], *average = mynah_calloc((size_t)mynah_weights_n_trained(w) + 16, sizeof *average);
  moments_create(w, moments);
  for (int step = 0; step < 10; step++) {
    memcpy(mynah_state_input(r.state, "eps"), floats(f, "adam.eps") + 128 * step, 128 * sizeof(float));
    for (int b = 0; b < 4; b++) ((int32_t *)mynah_state_input(r.state, "t"))[b] = (int32_t)number_at(f, "adam.t", 4 * step + b);
    mynah_state_run(r.state);
    assert_near("loss of a step", loss_value(&r, "loss"), number_at(f, "adam.loss", step), 1e-5);
    mynah_adam adam = {.lr = (float)number_at(f, "adam.lr", step), .beta1 = 0.95f, .beta2 = 0.999f, .eps = 1e-8f, .decay = 1e-6f};
    assert_near("norm of a step", optimise(&r, moments, adam, step), number_at(f, "adam.grad_norm", step), 1e-4);
    mynah_sweep_ema((float)number_at(f, "adam.ema_decay", step), mynah_weights_n_trained(w), average, mynah_weights_const_data(w));
  }
  assert_weights(w, mynah_weights_const_data(w), DIFFUSION "state/after_10_steps.safetensors", "adam_param", "diffusion.");
  assert_weights(w, average, DIFFUSION "state/after_10_steps.safetensors", "adam_ema", "diffusion.");
  for (int k = 0; k < 2; k++) mynah_free(moments[k]);
  mynah_free(average);
  loss_end(&r);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  mynah_safetensors_close(f);
}

/* Picture of sample b at time t, its middle 84 x 84 -> out (84,84,3) */
static void put_crop(int64_t b, int64_t t, uint8_t *out) {
  char name[64];
  uint8_t whole[96 * 96 * 3];
  snprintf(name, sizeof name, "dp.img.%lld.%lld", (long long)b, (long long)t);
  formula_image(name, 96, 96, whole);
  for (int y = 0; y < 84; y++) memcpy(out + y * 84 * 3, whole + ((y + 6) * 96 + 6) * 3, 84 * 3);
}

static void diffusion_sees(void **state) {
  static const sampled ways[] = {{"ddim", "10", "ddim10.chunk", 1e-4}, {"ddpm", "100", "ddpm100.chunk", 1e-4}};
  static const double tolerances[2] = {1e-4, 1e-4};
  if (is_absent(DIFFUSION "image/goldens.safetensors")) skip();
  mynah_safetensors *f;
  mynah_policy *p;
  loss_run r = {0};
  ok(mynah_safetensors_open(DIFFUSION "image/goldens.safetensors", &f));
  ok(mynah__lerobot_describe(DIFFUSION "image/pretrained_model", &p, &r.weights));
  formula_weights(r.weights, "diffusion.", "");
  acting a = acting_begin(p, r.weights);
  check_network(&a, f, 132);
  for (int64_t b = 0; b < 2; b++) {
    put_row(&a, "observation.state", f, "raw.observation.state", b);
    for (int64_t t = 0; t < 2; t++) put_crop(b, t, (uint8_t *)mynah_state_input(a.states[0], "observation.image") + t * 84 * 84 * 3);
    for (int i = 0; i < 2; i++) check_sampled(&a, p, f, &ways[i], b);
    assert_close("condition", mynah_state_output(a.states[0], "condition"), floats(f, "global_cond") + 132 * b, 132, 2e-5);
  }
  acting_end(&a);
  diffusion_loss(&r, p, 2, f);
  loss_set(&r, "observation.state", f, "raw.observation.state");
  for (int64_t k = 0; k < 4; k++) put_crop(k / 2, k % 2, (uint8_t *)mynah_state_input(r.state, "observation.image") + k * 84 * 84 * 3);
  mynah_state_run(r.state);
  assert_near("loss", loss_value(&r, "loss"), number_at(f, "train.loss", 0), 1e-5);
  assert_gradient_heads(&r, DIFFUSION "image/gradient_names.json", f, "diffusion.", tolerances);
  loss_end(&r);
  mynah_weights_destroy(r.weights);
  mynah_policy_destroy(p);
  mynah_safetensors_close(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(act_predicts),       cmocka_unit_test(act_learns),     cmocka_unit_test(act_sees),
      cmocka_unit_test(act_sees_at_full_size), cmocka_unit_test(diffusion_predicts), cmocka_unit_test(diffusion_acts),
      cmocka_unit_test(diffusion_learns),   cmocka_unit_test(diffusion_sees),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
