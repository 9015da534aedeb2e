/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the tests of LeRobot's checkpoints share: tensors of a file, formula weights, a loss with its gradients and steps. */
#ifndef TESTS_LEROBOT_CASE_H
#define TESTS_LEROBOT_CASE_H

#include "src/policy/policy_internal.h"
#include "support/formula.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GOLDENS "../shared/goldens/"

static inline void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

/* ---- numbers of a file ------------------------------------------------------------------------------------------------ */

static inline const mynah_safetensor *tensor(const mynah_safetensors *f, const char *name) {
  const mynah_safetensor *t = mynah_safetensors_find(f, name);
  if (!t) fail_msg("the file lacks %s", name);
  return t;
}

static inline const float *floats(const mynah_safetensors *f, const char *name) {
  const mynah_safetensor *t = tensor(f, name);
  assert_int_equal(t->dtype, MYNAH_F32);
  return t->data;
}

static inline double number_at(const mynah_safetensors *f, const char *name, int64_t i) {
  const mynah_safetensor *t = tensor(f, name);
  if (t->dtype == MYNAH_F64) return ((const double *)t->data)[i];
  if (t->dtype == MYNAH_I64) return (double)((const int64_t *)t->data)[i];
  if (t->dtype == MYNAH_BOOL) return ((const uint8_t *)t->data)[i];
  return (double)((const float *)t->data)[i];
}

/* |a - b| <= tolerance * max(1, scale) for all n. */
static inline void assert_close(const char *what, const float *a, const float *b, int64_t n, double tolerance) {
  for (int64_t i = 0; i < n; i++)
    if (!(fabs((double)a[i] - (double)b[i]) <= tolerance))
      fail_msg("%s: [%lld] is %.9g, LeRobot's %.9g", what, (long long)i, (double)a[i], (double)b[i]);
}

static inline void assert_near(const char *what, double a, double b, double relative) {
  if (!(fabs(a - b) <= relative * fabs(b))) fail_msg("%s: %.9g, LeRobot's %.9g", what, a, b);
}

/* ---- formula weights -------------------------------------------------------------------------------------------------- */

static inline void formula_fill(const mynah_tensor_info *t, const char *prefix, const char *sharp, float *out) {
  char name[2 * MYNAH_NAME_MAX];
  snprintf(name, sizeof name, "%s%s", prefix, t->name);
  formula_tensor(name, t->shape, *sharp && strstr(name, sharp) ? 2 : 1, out);
}

static inline void formula_weights(mynah_weights *w, const char *prefix, const char *sharp) {
  for (int i = 0; i < mynah_weights_n_tensors(w); i++) {
    const mynah_tensor_info *t = mynah_weights_tensor(w, i);
    formula_fill(t, prefix, sharp, mynah_weights_data(w) + t->offset);
  }
}

/* ---- a loss ------------------------------------------------------------------------------------------------------------ */

typedef struct loss_run {
  mynah_graph *graph;
  mynah_program *program;
  mynah_binding *binding;
  mynah_state *state;
  mynah_weights *weights; /* the caller's */
} loss_run;

static inline void loss_compile(loss_run *r, mynah_node loss) {
  mynah_output(r->graph, "loss", loss);
  ok(mynah_differentiate(r->graph, loss));
  ok(mynah_compile(r->graph, NULL, &r->program));
  for (int i = 0; i < mynah_program_n_steps(r->program); i++) {
    const char *kernel;
    mynah_program_step(r->program, i, NULL, &kernel, NULL, NULL);
    if (strncmp(kernel, "ref:", 4) == 0) fail_msg("a step runs on %s", kernel);
  }
  ok(mynah_binding_create(r->program, r->weights, &r->binding));
  ok(mynah_state_create(r->binding, &r->state));
}

static inline void loss_end(loss_run *r) {
  mynah_state_destroy(r->state);
  mynah_binding_destroy(r->binding);
  mynah_program_destroy(r->program);
  mynah_graph_destroy(r->graph);
}

/* Fills a float input from a tensor, as it is. */
static inline void loss_set(loss_run *r, const char *input, const mynah_safetensors *f, const char *name) {
  float *to = mynah_state_input(r->state, input);
  if (!to) fail_msg("the graph has no input %s", input);
  for (int64_t i = 0, n = mynah_shape_size(tensor(f, name)->shape); i < n; i++) to[i] = (float)number_at(f, name, i);
}

static inline double loss_value(const loss_run *r, const char *name) { return (double)*(const float *)mynah_state_output(r->state, name); }

/* "grad.PREFIX…" of a file against ours, to `tolerance` of the tensor's largest value. */
static inline void assert_gradients(const loss_run *r, const char *path, const char *prefix, double tolerance) {
  mynah_safetensors *f;
  ok(mynah_safetensors_open(path, &f));
  char skip[64];
  int n_skip = snprintf(skip, sizeof skip, "grad.%s", prefix);
  double top = 0;
  for (int k = 0; k < mynah_safetensors_count(f); k++)
    for (int64_t i = 0, n = mynah_shape_size(mynah_safetensors_at(f, k)->shape); i < n; i++)
      top = fmax(top, fabs((double)((const float *)mynah_safetensors_at(f, k)->data)[i]));
  for (int k = 0; k < mynah_safetensors_count(f); k++) {
    const mynah_safetensor *t = mynah_safetensors_at(f, k);
    assert_int_equal(strncmp(t->name, skip, (size_t)n_skip), 0);
    const mynah_tensor_info *w = mynah_weights_find(r->weights, t->name + n_skip);
    if (!w) fail_msg("we have no weight for %s", t->name);
    const float *ours = mynah_state_gradients(r->state) + w->offset, *theirs = t->data;
    double largest = 1e-7 * top; /* a gradient that is zero but for rounding */
    for (int64_t i = 0; i < w->size; i++) largest = fmax(largest, fabs((double)theirs[i]));
    assert_close(t->name, ours, theirs, w->size, tolerance * largest);
  }
  mynah_safetensors_close(f);
}

/* Norm and first eight elements of the gradients named in gradient_names.json. */
static inline void assert_gradient_heads(const loss_run *r, const char *names_path, const mynah_safetensors *f, const char *prefix,
                                         const double tolerances[2]) {
  mynah_json *names;
  ok(mynah_json_load(names_path, &names));
  double top = 0;
  for (size_t k = 0; k < mynah_json_size(names); k++) top = fmax(top, number_at(f, "train.grad_norm", (int64_t)k));
  for (size_t k = 0; k < mynah_json_size(names); k++) {
    const char *name = mynah_json_to_string(mynah_json_at(names, k), "");
    const mynah_tensor_info *w = mynah_weights_find(r->weights, name + strlen(prefix));
    if (!w) fail_msg("we have no weight for %s", name);
    const float *ours = mynah_state_gradients(r->state) + w->offset;
    double squares = 0, largest = 1e-5 * top, norm = number_at(f, "train.grad_norm", (int64_t)k);
    for (int64_t i = 0; i < w->size; i++) {
      squares += (double)ours[i] * (double)ours[i];
      largest = fmax(largest, fabs((double)ours[i]));
    }
    if (!(fabs(sqrt(squares) - norm) <= tolerances[0] * norm + 1e-7 * top))
      fail_msg("%s: gradient norm %.9g, LeRobot's %.9g", name, sqrt(squares), norm);
    for (int64_t i = 0; i < w->size && i < 8; i++) {
      double theirs = number_at(f, "train.grad_first8", (int64_t)k * 8 + i);
      if (!(fabs((double)ours[i] - theirs) <= tolerances[1] * largest))
        fail_msg("%s: gradient [%lld] %.9g, LeRobot's %.9g", name, (long long)i, (double)ours[i], theirs);
    }
  }
  mynah_json_destroy(names);
}

/* "KIND.PREFIX…" of a file against an array laid out as the weights. */
static inline void assert_weights(const mynah_weights *w, const float *ours, const char *path, const char *kind, const char *prefix) {
  mynah_safetensors *f;
  ok(mynah_safetensors_open(path, &f));
  char skip[64];
  size_t n_skip = (size_t)snprintf(skip, sizeof skip, "%s.%s", kind, prefix);
  int n_done = 0;
  for (int k = 0; k < mynah_safetensors_count(f); k++) {
    const mynah_safetensor *t = mynah_safetensors_at(f, k);
    if (strncmp(t->name, skip, n_skip) != 0) continue;
    const mynah_tensor_info *info = mynah_weights_find(w, t->name + n_skip);
    if (!info) fail_msg("we have no weight for %s", t->name);
    /* A shift of all keys changes no attention: the gradient of their bias is rounding, which Adam makes steps of. */
    bool has_keys = ends(t->name, "attn.in_proj_bias");
    int64_t third = has_keys ? info->size / 3 : info->size;
    assert_close(t->name, ours + info->offset, t->data, third, 2e-6);
    if (has_keys) assert_close(t->name, ours + info->offset + 2 * third, (const float *)t->data + 2 * third, third, 2e-6);
    n_done++;
  }
  assert_true(n_done > 10);
  mynah_safetensors_close(f);
}

#endif
