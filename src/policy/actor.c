/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An actor: history of observations, prediction; chunk.c executes what was predicted. */
#include "policy_internal.h"

#include <math.h>
#include <string.h>

struct mynah_actor {
  const mynah_policy *policy;
  const mynah__eyes *eyes; /* is_open false: none */
  mynah__gaze gaze;
  mynah_state *states[MYNAH_POLICY_GRAPHS_MAX];
  void *memory[MYNAH_POLICY_INPUTS_MAX];      /* inputs in the state: n_obs frames, oldest first */
  size_t frame_bytes[MYNAH_POLICY_INPUTS_MAX];
  mynah_window geometry;
  float *chunk, *before; /* (chunk, A): as predicted; the one before it */
  int64_t step, predicted_at; /* the present step; the chunk's, -1: none */
  double disagreement;
  mynah_plan *plan;
  mynah_actor_source source;
  bool is_first;
  mynah_rng rng;
  int64_t infer_ns;
};

/* Input i as the network takes it, which is not what is shown where eyes are between. */
static const mynah_feature *input_of(const mynah_actor *a, int i) {
  return a->eyes->is_open && a->eyes->input == i ? &a->eyes->seen : &a->policy->inputs[i];
}

static mynah_status prepare(mynah_actor *a, const mynah_clone *c) {
  const mynah_policy *p = a->policy;
  for (int k = 0; k < p->type->n_act_graphs; k++)
    MYNAH_TRY(mynah_state_create(mynah_clone_binding(c, k), &a->states[k]));
  mynah__policy_geometry(p, &a->geometry);
  for (int i = 0; i < p->n_inputs; i++) {
    const mynah_feature *f = input_of(a, i);
    a->memory[i] = mynah_state_input(a->states[0], f->name);
    if (!a->memory[i]) return mynah_fail(MYNAH_INTERNAL, "policy: the graph lacks the input '%s'", f->name);
    a->frame_bytes[i] = f->is_image ? (size_t)a->geometry.width * (size_t)a->geometry.height * 3 : (size_t)mynah_feature_size(f) * sizeof(float);
  }
  size_t n = (size_t)p->common.chunk * (size_t)mynah_feature_size(&p->action);
  a->chunk = mynah_calloc(2 * n, sizeof(float));
  if (!a->chunk) return MYNAH_NO_MEMORY;
  a->before = a->chunk + n;
  MYNAH_TRY(mynah_plan_create(p, &p->common.execute, &a->plan));
  if (a->eyes->is_open) MYNAH_TRY(mynah__gaze_create(a->eyes, &a->gaze));
  mynah_actor_reset(a, 0);
  return MYNAH_OK;
}

mynah_status mynah_actor_create(const mynah_clone *c, mynah_actor **out) {
  mynah_actor *a = mynah_calloc(1, sizeof *a);
  if (!a) return MYNAH_NO_MEMORY;
  a->policy = mynah_clone_policy(c);
  a->eyes = mynah__clone_eyes(c);
  mynah_status status = prepare(a, c);
  if (status != MYNAH_OK) {
    mynah_actor_destroy(a);
    return status;
  }
  *out = a;
  return MYNAH_OK;
}

void mynah_actor_destroy(mynah_actor *a) {
  if (!a) return;
  for (int k = 0; k < MYNAH_POLICY_GRAPHS_MAX; k++) mynah_state_destroy(a->states[k]);
  mynah_plan_destroy(a->plan);
  mynah__gaze_destroy(&a->gaze);
  mynah_free(a->chunk);
  mynah_free(a);
}

mynah_status mynah_actor_configure(mynah_actor *a, const mynah_execute_config *config) {
  mynah_plan *plan;
  MYNAH_TRY(mynah_plan_create(a->policy, config, &plan));
  mynah_plan_destroy(a->plan);
  a->plan = plan;
  return MYNAH_OK;
}

void mynah_actor_reset(mynah_actor *a, uint64_t seed) {
  a->rng = mynah_rng_make(seed, 1);
  for (int k = 0; k < a->policy->type->n_act_graphs; k++) mynah_state_seed(a->states[k], seed, 0);
  if (a->policy->type->reset) a->policy->type->reset(a->policy, a->states);
  mynah_plan_reset(a->plan);
  mynah__gaze_reset(&a->gaze, a->eyes);
  a->is_first = true;
  a->step = 0;
  a->predicted_at = -1;
  a->disagreement = NAN;
}

/* One value as the network takes it: floats, or a cropped and resized picture. */
static void copy_value(const mynah_actor *a, int i, const mynah_value *v, uint8_t *out) {
  const mynah_feature *f = input_of(a, i);
  int64_t n = mynah_feature_size(f);
  if (f->is_image) {
    int part[4];
    mynah_window_part(&a->geometry, (int)f->dims[1], (int)f->dims[0], part);
    mynah_image in = {(uint8_t *)(uintptr_t)v->data, (int)f->dims[1], (int)f->dims[0]};
    mynah_image small = {out, a->geometry.width, a->geometry.height};
    mynah_image_resample(&in, part[0], part[1], part[2], part[3], &small);
    return;
  }
  float *to = (float *)(void *)out;
  for (int64_t k = 0; k < n; k++) {
    if (f->dtype == MYNAH_F64) to[k] = (float)((const double *)v->data)[k];
    else if (f->dtype == MYNAH_I64) to[k] = (float)((const int64_t *)v->data)[k];
    else if (f->dtype == MYNAH_I32) to[k] = (float)((const int32_t *)v->data)[k];
    else if (f->dtype == MYNAH_U8 || f->dtype == MYNAH_BOOL) to[k] = (float)((const uint8_t *)v->data)[k];
    else to[k] = ((const float *)v->data)[k];
  }
}

/* Moves the history by one frame and puts the new one last; the first frame of an episode stands for all before it. */
void mynah_actor_observe(mynah_actor *a, const mynah_value *values) {
  size_t n_obs = (size_t)a->policy->common.n_obs;
  if (a->eyes->is_open) mynah__look(&a->gaze, a->eyes, &values[a->eyes->input]);
  for (int i = 0; i < a->policy->n_inputs; i++) {
    uint8_t *memory = a->memory[i];
    size_t bytes = a->frame_bytes[i];
    if (n_obs > 1 && !a->is_first) memmove(memory, memory + bytes, (n_obs - 1) * bytes);
    bool is_seen = a->eyes->is_open && a->eyes->input == i;
    copy_value(a, i, is_seen ? &(mynah_value){a->gaze.state, bytes, 0} : &values[i], memory + (n_obs - 1) * bytes);
    for (size_t t = 0; a->is_first && t + 1 < n_obs; t++) memcpy(memory + t * bytes, memory + (n_obs - 1) * bytes, bytes);
  }
  a->is_first = false;
}

void mynah_actor_predict(mynah_actor *a, const float *prefix, int64_t n_prefix, float *chunk) {
  mynah_prediction prediction = {.states = a->states, .rng = &a->rng, .prefix = prefix, .n_prefix = n_prefix, .chunk = chunk};
  int64_t start = mynah_now_ns();
  a->policy->type->predict(a->policy, &prediction);
  a->infer_ns = mynah_now_ns() - start + a->gaze.ns;
}

/* Of the new chunk with the one before, which was predicted `passed` steps ago. */
static double compare_chunks(const mynah_actor *a, int64_t passed) {
  const mynah_norm *norm = &a->policy->action_norm;
  int64_t size = norm->size, n = a->policy->common.chunk - passed;
  double sum = 0, counted = 0;
  for (int64_t k = 0; k < size; k++) {
    double range = (double)norm->max[k] - (double)norm->min[k];
    if (!(range > 0)) continue;
    for (int64_t i = 0; i < n; i++) {
      double apart = ((double)a->chunk[i * size + k] - (double)a->before[(i + passed) * size + k]) / range;
      sum += apart * apart;
      counted++;
    }
  }
  return counted > 0 ? sqrt(sum / counted) : NAN;
}

static void predict_next(mynah_actor *a, bool is_due) {
  const float *prefix = NULL;
  int64_t n_prefix = is_due ? mynah_plan_prefix(a->plan, &prefix) : 0;
  memcpy(a->before, a->chunk, (size_t)(a->policy->common.chunk * mynah_feature_size(&a->policy->action)) * sizeof(float));
  mynah_actor_predict(a, prefix, n_prefix, a->chunk);
  if (a->predicted_at >= 0) a->disagreement = compare_chunks(a, a->step - a->predicted_at);
  a->predicted_at = a->step;
}

void mynah_actor_act(mynah_actor *a, const mynah_value *values, float *action) {
  mynah_actor_observe(a, values);
  a->infer_ns = 0;
  bool is_due = mynah_plan_begin(a->plan);
  if (is_due || a->policy->type->reset) predict_next(a, is_due);
  if (is_due) mynah_plan_predicted(a->plan, a->chunk);
  mynah_plan_next(a->plan, action, &a->source);
  a->step++;
}

double mynah_actor_disagreement(const mynah_actor *a) { return a->disagreement; }

mynah_actor_source mynah_actor_last(const mynah_actor *a) { return a->source; }

bool mynah_actor_is_blind(const mynah_actor *a) { return atomic_load(&a->gaze.is_blind); }

int64_t mynah_actor_infer_ns(const mynah_actor *a) { return a->infer_ns; }
