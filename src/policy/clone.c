/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A clone: a policy with weights, compiled and bound once, shared by any number of actors. */
#include "policy_internal.h"

#include <string.h>

struct mynah_clone {
  const mynah_policy *policy;
  mynah_dtype precision;
  mynah_weights *weights;
  mynah_policy *own_policy;   /* of a clone that was loaded; NULL when borrowed */
  mynah_weights *own_weights;
  mynah_program *programs[MYNAH_POLICY_GRAPHS_MAX];
  mynah_binding *bindings[MYNAH_POLICY_GRAPHS_MAX];
  int n_threads; /* of a prediction; 0: one */
  mynah__eyes eyes;
};

/* Acting graph `which`; or, -1, the training graph, which has all weights. */
static mynah_status describe(const mynah_policy *p, int which, mynah_graph **out) {
  mynah_graph *g;
  mynah_node loss;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = which < 0 ? p->type->build_train(p, g, 1, &loss) : p->type->build_act(p, which, g);
  if (status != MYNAH_OK) {
    mynah_graph_destroy(g);
    return status;
  }
  *out = g;
  return MYNAH_OK;
}

mynah_status mynah__policy_weights(const mynah_policy *p, mynah_weights **out) {
  mynah_graph *g = NULL;
  MYNAH_TRY(describe(p, -1, &g));
  mynah_status status = mynah_weights_create(g, 0, out);
  mynah_graph_destroy(g);
  return status;
}

static mynah_status bind(mynah_clone *c, mynah_dtype precision) {
  mynah_compile_config config = mynah_compile_default();
  config.precision = c->precision = precision;
  config.is_frozen = true;
  config.n_threads = c->n_threads;
  for (int k = 0; k < c->policy->type->n_act_graphs; k++) {
    mynah_graph *g = NULL;
    MYNAH_TRY(describe(c->policy, k, &g));
    mynah_status status = mynah_compile(g, &config, &c->programs[k]);
    mynah_graph_destroy(g);
    if (status != MYNAH_OK) return status;
    MYNAH_TRY(mynah_binding_create(c->programs[k], c->weights, &c->bindings[k]));
  }
  return MYNAH_OK;
}

static void unbind(mynah_clone *c) {
  for (int k = 0; k < MYNAH_POLICY_GRAPHS_MAX; k++) {
    mynah_binding_destroy(c->bindings[k]);
    mynah_program_destroy(c->programs[k]);
    c->bindings[k] = NULL, c->programs[k] = NULL;
  }
}

mynah_status mynah_clone_use_threads(mynah_clone *c, int n_threads) {
  if (c->eyes.is_open) return mynah_fail(MYNAH_INVALID, "clone: threads are chosen before its eyes are opened");
  unbind(c);
  c->n_threads = n_threads;
  return bind(c, c->precision);
}

mynah_status mynah_clone_create(const mynah_policy *p, mynah_weights *w, mynah_clone **out) {
  mynah_clone *c = mynah_calloc(1, sizeof *c);
  if (!c) return MYNAH_NO_MEMORY;
  c->policy = p;
  c->weights = w;
  mynah_status status = bind(c, mynah_policy_precision(&p->common));
  if (status != MYNAH_OK) {
    mynah_clone_destroy(c);
    return status;
  }
  *out = c;
  return MYNAH_OK;
}

/* Policy, weights, program from an open file; what was made stays in c for destroy. */
static mynah_status load(mynah_clone *c, const mynah_safetensors *f, const mynah_dtype *precision) {
  const char *text = mynah_safetensors_metadata(f, "mynah");
  if (!text) return mynah_fail(MYNAH_UNSUPPORTED, "no policy of this program: the metadata has no entry 'mynah'");
  mynah_json *j;
  MYNAH_TRY(mynah_json_parse(text, strlen(text), &j));
  mynah_status status = mynah__policy_from_json(j, &c->own_policy);
  mynah_json_destroy(j);
  if (status != MYNAH_OK) return status;
  c->policy = c->own_policy;
  status = mynah__policy_weights(c->policy, &c->own_weights);
  if (status == MYNAH_OK) status = mynah_weights_load(c->own_weights, f, false);
  c->weights = c->own_weights;
  mynah_dtype own = mynah_policy_precision(&c->policy->common);
  if (status == MYNAH_OK) status = bind(c, own);
  mynah_selfcheck check;
  if (status == MYNAH_OK && c->policy->golden) status = mynah_clone_selfcheck(c, &check);
  if (status != MYNAH_OK || !precision || *precision == own) return status;
  unbind(c);
  return bind(c, *precision);
}

/* precision NULL: the policy's own */
static mynah_status load_file(const char *path, const mynah_dtype *precision, mynah_clone **out) {
  mynah_safetensors *f;
  MYNAH_TRY(mynah_safetensors_open(path, &f));
  mynah_clone *c = mynah_calloc(1, sizeof *c);
  mynah_status status = c ? load(c, f, precision) : MYNAH_NO_MEMORY;
  mynah_safetensors_close(f);
  if (status != MYNAH_OK) {
    mynah_clone_destroy(c);
    return mynah_error_context(status, "%s", path);
  }
  *out = c;
  return MYNAH_OK;
}

mynah_status mynah_clone_load(const char *path, mynah_clone **out) { return load_file(path, NULL, out); }
mynah_status mynah_clone_load_at(const char *path, mynah_dtype precision, mynah_clone **out) {
  return load_file(path, &precision, out);
}

void mynah_clone_destroy(mynah_clone *c) {
  if (!c) return;
  unbind(c);
  mynah__eyes_close(&c->eyes);
  mynah_weights_destroy(c->own_weights);
  mynah_policy_destroy(c->own_policy);
  mynah_free(c);
}

mynah_status mynah_clone_open_eyes(mynah_clone *c, const char *detector, int n_threads) {
  if (!c->own_policy) return mynah_fail(MYNAH_UNSUPPORTED, "eyes: the clone is not from a file");
  if (c->eyes.is_open) return mynah_fail(MYNAH_INVALID, "eyes: the clone has some");
  return mynah__eyes_open(c->own_policy, detector, n_threads, &c->eyes);
}

int mynah_clone_eyes(const mynah_clone *c) { return c->eyes.is_open ? c->eyes.input : -1; }
const mynah__eyes *mynah__clone_eyes(const mynah_clone *c) { return &c->eyes; }

const mynah_policy *mynah_clone_policy(const mynah_clone *c) { return c->policy; }
const mynah_program *mynah_clone_program(const mynah_clone *c, int which) { return c->programs[which]; }
const mynah_weights *mynah_clone_weights(const mynah_clone *c) { return c->weights; }
mynah_dtype mynah_clone_precision(const mynah_clone *c) { return c->precision; }
const mynah_binding *mynah_clone_binding(const mynah_clone *c, int which) { return c->bindings[which]; }
