/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of policies; making one from a dataset; the windows it wants to see. */
#include "policy_internal.h"

#include <mynah/perceive.h>

#include <stdio.h>
#include <string.h>

#define MYNAH_KEY_ROW(type, field, name, value, low, high, unit, help)                             \
  MYNAH_KEY_OF(mynah_policy_config, type, field, name, value, low, high, unit, help)
#define MYNAH_EXECUTE_PART(type, field, name, value, low, high, unit, help)                        \
  MYNAH_KEY_OF(mynah_policy_config, type, execute.field, name, value, low, high, unit, help)
static const mynah_key policy_keys[] = {MYNAH_POLICY_KEYS(MYNAH_KEY_ROW) MYNAH_EXECUTE_KEYS(MYNAH_EXECUTE_PART)};
#undef MYNAH_KEY_ROW
#undef MYNAH_EXECUTE_PART
const mynah_config_table mynah_policy_table = {"policy", policy_keys, sizeof policy_keys / sizeof *policy_keys,
                                               sizeof(mynah_policy_config)};

mynah_dtype mynah_policy_precision(const mynah_policy_config *c) { return c->precision == 1 ? MYNAH_BF16 : MYNAH_F32; }

static const mynah_policy_type *const types[] = {&mynah__policy_mlp, &mynah__policy_rnn, &mynah__policy_act, &mynah__policy_diffusion,
                                                 &mynah__policy_flow, &mynah__policy_onnx, &mynah__policy_onnx_rnn, NULL};

const mynah_policy_type *const *mynah_policy_types(void) { return types; }

mynah_status mynah_policy_find(const char *name, const mynah_policy_type **out) {
  const char *names[sizeof types / sizeof *types];
  size_t n = 0;
  for (; types[n]; n++) {
    if (strcmp(types[n]->name, name) == 0) {
      *out = types[n];
      return MYNAH_OK;
    }
    names[n] = types[n]->name;
  }
  const char *near = mynah_nearest(name, names, n);
  return mynah_fail(MYNAH_NOT_FOUND, "there is no policy '%s'%s%s%s", name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

mynah_status mynah__policy_new(const mynah_policy_type *type, mynah_policy **out) {
  mynah_policy *p = mynah_calloc(1, sizeof *p);
  if (!p) return MYNAH_NO_MEMORY;
  p->type = type;
  p->config = mynah_calloc(1, type->config->bytes);
  if (!p->config) {
    mynah_free(p);
    return MYNAH_NO_MEMORY;
  }
  mynah_config_default(&mynah_policy_table, &p->common);
  mynah_config_default(type->config, p->config);
  *out = p;
  return MYNAH_OK;
}

void mynah_policy_destroy(mynah_policy *p) {
  if (!p) return;
  for (int i = 0; i < p->n_inputs; i++) mynah__norm_deinit(&p->input_norms[i]);
  mynah__norm_deinit(&p->action_norm);
  mynah_json_destroy(p->training);
  mynah_json_destroy(p->network);
  mynah_json_destroy(p->eyes);
  mynah_json_destroy(p->golden);
  mynah_free(p->config);
  mynah_free(p);
}

/* A side camera (NAME.left, NAME.right) shows what the policy will not see when it acts. */
static bool is_side_camera(const mynah_dataset *d, const mynah_feature *f) {
  const char *dot = strrchr(f->name, '.');
  if (!f->is_image || !dot || (strcmp(dot, ".left") != 0 && strcmp(dot, ".right") != 0)) return false;
  char front[MYNAH_NAME_MAX];
  snprintf(front, sizeof front, "%.*s.front", (int)(dot - f->name), f->name);
  return mynah_dataset_find(d, front) != NULL;
}

static mynah_status add_input(mynah_policy *p, const mynah_dataset *d, const char *name) {
  const mynah_feature *f = mynah_dataset_find(d, name);
  if (!f) {
    const char *names[64];
    size_t n = 0;
    for (int i = 0; i < mynah_dataset_n_features(d) && n < 64; i++) names[n++] = mynah_dataset_feature(d, i)->name;
    const char *near = mynah_nearest(name, names, n);
    return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'%s%s%s", mynah_dataset_path(d), name,
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  }
  if (p->n_inputs == MYNAH_POLICY_INPUTS_MAX)
    return mynah_fail(MYNAH_LIMIT, "inputs: at most %d observation features", MYNAH_POLICY_INPUTS_MAX);
  if (mynah_feature_find(p->inputs, p->n_inputs, name) >= 0)
    return mynah_fail(MYNAH_INVALID, "inputs: '%s' is named twice", name);
  p->inputs[p->n_inputs++] = *f;
  return MYNAH_OK;
}

static mynah_status choose_inputs(mynah_policy *p, const mynah_dataset *d) {
  if (p->common.inputs[0] == 0) {
    for (int i = 0; i < mynah_dataset_n_features(d); i++) {
      const mynah_feature *f = mynah_dataset_feature(d, i);
      if (strncmp(f->name, "observation.", 12) == 0 && !is_side_camera(d, f)) MYNAH_TRY(add_input(p, d, f->name));
    }
  } else {
    char list[MYNAH_TEXT_MAX], *rest = NULL;
    MYNAH_TRY(mynah_copy_text(list, sizeof list, p->common.inputs));
    for (char *name = strtok_r(list, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest))
      MYNAH_TRY(add_input(p, d, name));
  }
  if (p->n_inputs == 0) return mynah_fail(MYNAH_INVALID, "%s: has no observation feature", mynah_dataset_path(d));
  const mynah_feature *action = mynah_dataset_find(d, "action");
  if (!action || action->is_image)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature 'action'", mynah_dataset_path(d));
  p->action = *action;
  return MYNAH_OK;
}

/* A range or a deviation below this, in the feature's own units, is a constant. */
#define CONSTANT_BELOW 1e-6f

mynah_status mynah__norm_of_dataset(mynah_dataset *d, const mynah_feature *f, const int64_t *episodes, int64_t n, mynah_norm *out) {
  mynah_stats s;
  MYNAH_TRY(mynah_dataset_stats(d, f->name, episodes, n, 0, &s));
  mynah_norm norm;
  mynah_status status = mynah__norm_create(s.size, &norm);
  if (status == MYNAH_OK) {
    for (int64_t i = 0; i < s.size; i++) {
      norm.min[i] = (float)s.min[i];
      norm.max[i] = (float)s.max[i];
      norm.mean[i] = (float)s.mean[i];
      norm.std[i] = (float)s.std[i];
      if (norm.max[i] - norm.min[i] <= CONSTANT_BELOW) norm.max[i] = norm.min[i];
      if (norm.std[i] <= CONSTANT_BELOW) norm.std[i] = 0;
    }
    *out = norm;
  }
  mynah_stats_deinit(&s);
  return status;
}

static bool is_seen(const mynah_feature *f) { return strncmp(f->unit, MYNAH_SIGHT_MARK, strlen(MYNAH_SIGHT_MARK)) == 0; }

/* How a detector's state among the inputs is seen, where the dataset knows. */
static mynah_status take_eyes(mynah_policy *p, mynah_dataset *d) {
  mynah_str text = {0};
  bool has_seen = false;
  for (int i = 0; i < p->n_inputs; i++) has_seen = has_seen || is_seen(&p->inputs[i]);
  if (!has_seen) return MYNAH_OK;
  mynah_status status = mynah_dataset_get_note(d, "eyes", &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &p->eyes);
  mynah_str_deinit(&text);
  return status == MYNAH_NOT_FOUND ? MYNAH_OK : status;
}

static mynah_status fill(mynah_policy *p, mynah_dataset *d, const int64_t *episodes, int64_t n_episodes) {
  MYNAH_TRY(choose_inputs(p, d));
  MYNAH_TRY(take_eyes(p, d));
  for (int i = 0; i < p->n_inputs; i++) {
    if (p->inputs[i].is_image) continue;
    MYNAH_TRY(mynah__norm_of_dataset(d, &p->inputs[i], episodes, n_episodes, &p->input_norms[i]));
  }
  MYNAH_TRY(mynah__norm_of_dataset(d, &p->action, episodes, n_episodes, &p->action_norm));
  p->rate_hz = mynah_dataset_rate_hz(d);
  MYNAH_TRY(mynah_dataset_hash(d, p->dataset_hash));
  mynah_execute_config resolved;
  MYNAH_TRY(mynah__execute_resolve(p, &p->common.execute, &resolved));
  return p->type->check(p);
}

mynah_status mynah_policy_create(const mynah_policy_type *type, const mynah_policy_config *common, const void *config,
                                 mynah_dataset *d, const int64_t *episodes, int64_t n_episodes, mynah_policy **out) {
  mynah_policy *p;
  MYNAH_TRY(mynah__policy_new(type, &p));
  p->common = *common;
  memcpy(p->config, config, type->config->bytes);
  mynah_status status = fill(p, d, episodes, n_episodes);
  if (status != MYNAH_OK) {
    mynah_policy_destroy(p);
    return status;
  }
  *out = p;
  return MYNAH_OK;
}

void mynah__policy_geometry(const mynah_policy *p, mynah_window *w) {
  w->width = (int)p->common.image_width;
  w->height = (int)p->common.image_height;
  w->crop[0] = p->common.crop_left;
  w->crop[1] = p->common.crop_top;
  w->crop[2] = p->common.crop_right;
  w->crop[3] = p->common.crop_bottom;
}

int mynah_policy_windows(const mynah_policy *p, mynah_window *out, int max) {
  int n = 0, n_obs = (int)p->common.n_obs;
  for (int i = 0; i < p->n_inputs && n < max; i++) {
    mynah_window w = {.first = 1 - n_obs, .count = n_obs};
    memcpy(w.input, p->inputs[i].name, sizeof w.input);
    memcpy(w.feature, p->inputs[i].name, sizeof w.feature);
    if (p->inputs[i].is_image) mynah__policy_geometry(p, &w);
    out[n++] = w;
  }
  mynah_window action = {.input = "action", .feature = "action", .count = (int)p->common.chunk};
  action.is_class = p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32;
  if (n < max) out[n++] = action;
  mynah_window mask = {.input = "action.mask", .feature = "action", .count = (int)p->common.chunk};
  mask.is_padding_mask = true;
  if (p->common.is_masked && n < max) out[n++] = mask;
  for (int i = 0; p->type->fit_window && i < n; i++) p->type->fit_window(p, &out[i]);
  return n;
}

mynah_status mynah_policy_match(const mynah_policy *p, const mynah_feature *features, int n, int *order) {
  for (int i = 0; i < p->n_inputs; i++) {
    const mynah_feature *want = &p->inputs[i];
    int at = mynah_feature_find(features, n, want->name);
    if (at < 0)
      return mynah_fail(MYNAH_NOT_FOUND, "the policy needs '%s', which is not offered here: %s", want->name,
                        is_seen(want) ? "name the detector that it sees with, detector=FILE" : "is it a policy for another robot or simulator?");
    const mynah_feature *have = &features[at];
    if (is_seen(want) && strcmp(want->unit, have->unit) != 0)
      return mynah_fail(MYNAH_MISMATCH, "'%s': the policy was trained with another detector or other settings of it (%s, here '%s'); "
                        "detector=FILE lets it look itself",
                        want->name, want->unit, have->unit);
    if (have->is_image != want->is_image || (!have->is_image && mynah_feature_size(have) != mynah_feature_size(want)))
      return mynah_fail(MYNAH_MISMATCH, "'%s': the policy was trained on %lld elements, here are %lld", want->name,
                        (long long)mynah_feature_size(want), (long long)mynah_feature_size(have));
    if (have->is_image && (have->dims[0] != want->dims[0] || have->dims[1] != want->dims[1]))
      return mynah_fail(MYNAH_MISMATCH, "'%s': the policy takes pictures of %lldx%lld px, here they are %lldx%lld", want->name,
                        (long long)want->dims[1], (long long)want->dims[0], (long long)have->dims[1], (long long)have->dims[0]);
    order[i] = at;
  }
  int at = mynah_feature_find(features, n, "action");
  if (at < 0 || mynah_feature_size(&features[at]) != mynah_feature_size(&p->action))
    return mynah_fail(MYNAH_MISMATCH, "'action': the policy gives %lld elements, here are %lld taken",
                      (long long)mynah_feature_size(&p->action),
                      at < 0 ? 0LL : (long long)mynah_feature_size(&features[at]));
  return MYNAH_OK;
}
