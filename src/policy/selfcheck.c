/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The golden vector of a policy file: fixed observations and the chunk they must lead to, made at saving, run again later.
 * Vectors are kept in the file and not drawn again, because drawing inside a tampered range would hide the tampering. */
#include "policy_internal.h"

#include <math.h>
#include <string.h>

#define GOLDEN_SEED 20240229
#define CONSTANT_BELOW 1e-6 /* of its value: an element that varies by less is shown as it is */

/* ---- running --------------------------------------------------------------------------------------------------------- */

/* Observations for every input: pictures are drawn anew, vectors come from `vectors`, or are drawn and kept there. */
typedef struct observer {
  const mynah_policy *policy;
  mynah_state *state;
  const mynah_json *kept; /* NULL: draw */
  mynah_json *vectors;    /* what was drawn */
} observer;

static mynah_status draw_vector(const observer *o, int i, mynah_rng *rng, float *out, int64_t n) {
  const mynah_norm *norm = &o->policy->input_norms[i];
  for (int64_t k = 0; k < n; k++) {
    double low = (double)norm->min[k % norm->size], high = (double)norm->max[k % norm->size], x = mynah_rng_range(rng, low, high);
    out[k] = (float)(high - low > CONSTANT_BELOW * fabs(low) ? x : low);
  }
  mynah_json_set(o->vectors, o->policy->inputs[i].name, mynah_json_floats(out, (size_t)n));
  return MYNAH_OK;
}

static mynah_status take_vector(const observer *o, int i, float *out, int64_t n) {
  const char *name = o->policy->inputs[i].name;
  const mynah_json *j = mynah_json_get(o->kept, name);
  if (mynah_json_size(j) != (size_t)n)
    return mynah_fail(MYNAH_CORRUPT, "selfcheck: the golden observation '%s' does not have %lld numbers", name, (long long)n);
  for (int64_t k = 0; k < n; k++) out[k] = (float)mynah_json_to_number(mynah_json_at(j, (size_t)k), NAN);
  return MYNAH_OK;
}

static mynah_status observe(const observer *o) {
  const mynah_policy *p = o->policy;
  mynah_window w = {0};
  mynah__policy_geometry(p, &w);
  for (int i = 0; i < p->n_inputs; i++) {
    mynah_rng rng = mynah_rng_make(GOLDEN_SEED, (uint64_t)i);
    void *input = mynah_state_input(o->state, p->inputs[i].name);
    if (!input) return mynah_fail(MYNAH_INTERNAL, "policy: the graph lacks the input '%s'", p->inputs[i].name);
    if (p->inputs[i].is_image) {
      uint8_t *pixels = input;
      for (int64_t k = 0; k < p->common.n_obs * w.width * w.height * 3; k++) pixels[k] = (uint8_t)mynah_rng_u32(&rng);
      continue;
    }
    int64_t n = p->common.n_obs * mynah_feature_size(&p->inputs[i]);
    MYNAH_TRY(o->kept ? take_vector(o, i, input, n) : draw_vector(o, i, &rng, input, n));
  }
  return MYNAH_OK;
}

/* The chunk for the golden observations; draws come from the golden seed. Shape: chunk (chunk, action size) */
static mynah_status predict(const mynah_clone *c, const mynah_json *kept, mynah_json *vectors, float *chunk) {
  const mynah_policy *p = mynah_clone_policy(c);
  mynah_state *states[MYNAH_POLICY_GRAPHS_MAX] = {NULL};
  mynah_status status = MYNAH_OK;
  for (int k = 0; k < p->type->n_act_graphs && status == MYNAH_OK; k++) {
    status = mynah_state_create(mynah_clone_binding(c, k), &states[k]);
    if (status == MYNAH_OK) mynah_state_seed(states[k], GOLDEN_SEED, 0);
  }
  if (status == MYNAH_OK) status = observe(&(observer){p, states[0], kept, vectors});
  if (status == MYNAH_OK) {
    mynah_rng rng = mynah_rng_make(GOLDEN_SEED, MYNAH_POLICY_INPUTS_MAX);
    mynah_prediction prediction = {.states = states, .rng = &rng, .chunk = chunk};
    if (p->type->reset) p->type->reset(p, states);
    p->type->predict(p, &prediction);
  }
  for (int k = 0; k < MYNAH_POLICY_GRAPHS_MAX; k++) mynah_state_destroy(states[k]);
  return status;
}

static int64_t golden_size(const mynah_policy *p) { return p->common.chunk * mynah_feature_size(&p->action); }

mynah_status mynah__golden_make(const mynah_policy *p, const mynah_weights *w, mynah_json **out) {
  mynah_clone *c;
  char hash[65];
  MYNAH_TRY(mynah_clone_create(p, (mynah_weights *)(uintptr_t)w, &c)); /* acting only reads them */
  mynah_json *vectors = mynah_json_object();
  float *chunk = mynah_calloc((size_t)golden_size(p), sizeof *chunk);
  mynah_status status = chunk ? predict(c, NULL, vectors, chunk) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) status = mynah_weights_hash(w, hash);
  mynah_clone_destroy(c);
  if (status == MYNAH_OK) {
    mynah_json *j = mynah_json_object();
    mynah_json_set(j, "observations", vectors);
    mynah_json_set(j, "chunk", mynah_json_floats(chunk, (size_t)golden_size(p)));
    mynah_json_set(j, "weights_hash", mynah_json_string(hash));
    *out = j;
  } else {
    mynah_json_destroy(vectors);
  }
  mynah_free(chunk);
  return status;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------- */

/* Fails with the element that is farthest off. */
static mynah_status compare(const mynah_clone *c, const mynah_json *due, const float *chunk, mynah_selfcheck *out) {
  const mynah_policy *p = mynah_clone_policy(c);
  int64_t size = mynah_feature_size(&p->action), n = golden_size(p), worst = 0;
  if (mynah_json_size(due) != (size_t)n)
    return mynah_fail(MYNAH_CORRUPT, "selfcheck: the golden chunk does not have %lld numbers", (long long)n);
  *out = (mynah_selfcheck){.n_actions = n};
  for (int64_t i = 0; i < n; i++) {
    double range = (double)p->action_norm.max[i % size] - (double)p->action_norm.min[i % size];
    double off = fabs((double)chunk[i] - (double)(float)mynah_json_to_number(mynah_json_at(due, (size_t)i), NAN));
    double error = range > 0 ? off / range : off;
    if (error <= out->error) continue; /* no number is the worst of all */
    out->error = error;
    worst = i;
    if (isnan(error)) break;
  }
  bool is_float = mynah_policy_precision(&p->common) == MYNAH_F32 && mynah_clone_precision(c) == MYNAH_F32;
  if (out->error <= (is_float ? MYNAH_SELFCHECK_MAX : MYNAH_SELFCHECK_MAX_BF16)) return MYNAH_OK;
  return mynah_fail(MYNAH_MISMATCH, "selfcheck: element %lld of action %lld is %g and was %g when the policy was saved, "
                    "%.3g of its range: normaliser, weights or program are not the same", (long long)(worst % size),
                    (long long)(worst / size), (double)chunk[worst],
                    mynah_json_to_number(mynah_json_at(due, (size_t)worst), NAN), out->error);
}

static mynah_status no_golden(void) {
  return mynah_fail(MYNAH_NOT_FOUND, "selfcheck: the policy file has no golden vector: train it again");
}

mynah_status mynah_clone_selfcheck(const mynah_clone *c, mynah_selfcheck *out) {
  const mynah_policy *p = mynah_clone_policy(c);
  if (!p->golden) return no_golden();
  float *chunk = mynah_calloc((size_t)golden_size(p), sizeof *chunk);
  if (!chunk) return MYNAH_NO_MEMORY;
  mynah_selfcheck check;
  mynah_status status = predict(c, mynah_json_get(p->golden, "observations"), NULL, chunk);
  if (status == MYNAH_OK) status = compare(c, mynah_json_get(p->golden, "chunk"), chunk, &check);
  mynah_free(chunk);
  if (status == MYNAH_OK) *out = check;
  return status;
}

mynah_status mynah_clone_verify(const mynah_clone *c) {
  const mynah_json *golden = mynah_clone_policy(c)->golden;
  char hash[65];
  if (!golden) return no_golden();
  MYNAH_TRY(mynah_weights_hash(mynah__clone_weights(c), hash));
  if (strcmp(hash, mynah_json_to_string(mynah_json_get(golden, "weights_hash"), "")) != 0)
    return mynah_fail(MYNAH_MISMATCH, "selfcheck: the weights are not those that were saved");
  return MYNAH_OK;
}
