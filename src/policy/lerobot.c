/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reads a LeRobot checkpoint: config.json, model.safetensors, and the statistics, which lie in the state files that the
 * processors' JSON names (since 0.4) or as buffers inside model.safetensors (before). Whatever is not understood is refused
 * by name: a policy that is read wrongly moves a robot wrongly. */
#include "lerobot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME_MAX 256

typedef struct reading {
  const char *folder;
  mynah_json *config, *pre, *post; /* pre, post: NULL in the old layout */
  mynah_safetensors *model, *state;
  const mynah__lerobot_kind *kind;
  mynah_policy *p;
  mynah_weights *w;
} reading;

/* ---- files ------------------------------------------------------------------------------------------------------------ */

static mynah_status path_of(const reading *r, const char *name, char path[MYNAH_PATH_MAX]) {
  return mynah_path_join(path, MYNAH_PATH_MAX, r->folder, name);
}

static mynah_status read_json(const reading *r, const char *name, mynah_json **out) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(path_of(r, name, path));
  mynah_status status = mynah_json_load(path, out);
  return status == MYNAH_OK ? status : mynah_error_context(status, "%s", path);
}

static mynah_status open_tensors(const reading *r, const char *name, mynah_safetensors **out) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(path_of(r, name, path));
  if (!mynah_file_exists(path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no such file", path);
  mynah_status status = mynah_safetensors_open(path, out);
  return status == MYNAH_OK ? status : mynah_error_context(status, "%s", path);
}

/* ---- the configuration ------------------------------------------------------------------------------------------------ */

static const mynah__lerobot_key *find_key(const mynah__lerobot_key *keys, const char *name) {
  for (; keys->theirs; keys++)
    if (strcmp(keys->theirs, name) == 0) return keys;
  return NULL;
}

/* A JSON value as a setting is written: numbers, booleans, text, lists of whole numbers. */
static mynah_status text_of(const mynah_json *value, char text[MYNAH_TEXT_MAX]) {
  if (mynah_json_is_string(value)) return mynah_copy_text(text, MYNAH_TEXT_MAX, mynah_json_to_string(value, ""));
  size_t used = 0;
  text[0] = 0;
  for (size_t i = 0; mynah_json_is_array(value) && i < mynah_json_size(value); i++) {
    int n = snprintf(text + used, MYNAH_TEXT_MAX - used, i ? ",%lld" : "%lld", (long long)mynah_json_to_integer(mynah_json_at(value, i), 0));
    if (n < 0 || used + (size_t)n >= MYNAH_TEXT_MAX) return mynah_fail(MYNAH_LIMIT, "the list is too long");
    used += (size_t)n;
  }
  if (mynah_json_is_array(value)) return MYNAH_OK;
  mynah_str s = {0};
  mynah_status status = mynah_json_dump(value, 0, &s);
  if (status == MYNAH_OK) status = mynah_copy_text(text, MYNAH_TEXT_MAX, mynah_str_text(&s));
  mynah_str_deinit(&s);
  return status;
}

/* "DDPM" by "DDPM=ddpm,DDIM=ddim" -> "ddpm" */
static mynah_status translate(const char *names, char text[MYNAH_TEXT_MAX]) {
  char list[MYNAH_TEXT_MAX], *rest = NULL;
  MYNAH_TRY(mynah_copy_text(list, sizeof list, names));
  for (char *pair = strtok_r(list, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
    char *equals = strchr(pair, '=');
    *equals = 0;
    if (strcmp(pair, text) == 0) return mynah_copy_text(text, MYNAH_TEXT_MAX, equals + 1);
  }
  return mynah_fail(MYNAH_UNSUPPORTED, "'%s' is not one of %s", text, names);
}

static mynah_status set_key(reading *r, const char *key, const char *text) {
  mynah_config_bind binds[2] = {{&mynah_policy_table, &r->p->common}, {r->p->type->config, r->p->config}};
  return mynah_config_set(binds, 2, key, text);
}

static mynah_status set_number(reading *r, const char *key, int64_t value) {
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)value);
  return set_key(r, key, text);
}

static mynah_status must_be(const mynah_json *value, const char *want) {
  mynah_json *j;
  MYNAH_TRY(mynah_json_parse(want, strlen(want), &j));
  char have_text[MYNAH_TEXT_MAX] = "", want_text[MYNAH_TEXT_MAX] = "";
  mynah_status status = text_of(value, have_text);
  if (status == MYNAH_OK) status = text_of(j, want_text);
  mynah_json_destroy(j);
  MYNAH_TRY(status);
  if (strcmp(have_text, want_text) == 0 || (mynah_json_is_number(value) && atof(have_text) == atof(want_text))) return MYNAH_OK;
  return mynah_fail(MYNAH_UNSUPPORTED, "is %s: only %s is known here", have_text, want);
}

static mynah_status apply_key(reading *r, const mynah__lerobot_key *key, const mynah_json *value) {
  char text[MYNAH_TEXT_MAX];
  if (key->rule == MYNAH__LEROBOT_MUST) return must_be(value, key->text);
  if (key->rule != MYNAH__LEROBOT_COPY) return MYNAH_OK;
  MYNAH_TRY(text_of(value, text));
  if (key->names) MYNAH_TRY(translate(key->names, text));
  return set_key(r, key->ours, text);
}

static mynah_status apply_keys(reading *r) {
  const char *name;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(r->config, i, &name, &value); i++) {
    const mynah__lerobot_key *key = find_key(mynah__lerobot_common, name);
    if (!key) key = find_key(r->kind->keys, name);
    if (!key) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: unknown key '%s'", name);
    mynah_status status = apply_key(r, key, value);
    if (status != MYNAH_OK) return mynah_error_context(status, "config.json: %s", name);
  }
  return MYNAH_OK;
}

/* What does not copy: lengths that count otherwise, ensembling, clipping, the crop. */
static mynah_status apply_act(reading *r) {
  const mynah_json *ensemble = mynah_json_get(r->config, "temporal_ensemble_coeff");
  if (r->p->common.n_obs != 1) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: n_obs_steps: act takes 1");
  MYNAH_TRY(set_key(r, "mask", "true"));
  if (!mynah_json_is_number(ensemble)) return MYNAH_OK;
  char text[64];
  snprintf(text, sizeof text, "%.17g", mynah_json_to_number(ensemble, 0.01));
  MYNAH_TRY(set_key(r, "execute.mode", "ensemble"));
  return set_key(r, "execute.ensemble.k", text);
}

static mynah_status apply_diffusion(reading *r) {
  const mynah_json *steps = mynah_json_get(r->config, "num_inference_steps");
  int64_t horizon = mynah_json_to_integer(mynah_json_get(r->config, "horizon"), 16);
  int64_t n = mynah_json_to_integer(mynah_json_get(r->config, "num_train_timesteps"), 100);
  MYNAH_TRY(set_key(r, "denoiser", "unet"));
  MYNAH_TRY(set_key(r, "image.encoder", "resnet"));
  MYNAH_TRY(set_number(r, "chunk", horizon - r->p->common.n_obs + 1));
  MYNAH_TRY(set_number(r, "diffusion.sampler.steps", mynah_json_is_number(steps) ? mynah_json_to_integer(steps, n) : n));
  char text[64];
  bool is_clipped = mynah_json_to_bool(mynah_json_get(r->config, "clip_sample"), true);
  snprintf(text, sizeof text, "%.17g", is_clipped ? mynah_json_to_number(mynah_json_get(r->config, "clip_sample_range"), 1) : 0.0);
  return set_key(r, "diffusion.clip", text);
}

/* ---- features --------------------------------------------------------------------------------------------------------- */

static mynah_status shape_of(const mynah_json *feature, const char *name, int64_t dims[3], int *n_dims) {
  const mynah_json *shape = mynah_json_get(feature, "shape");
  size_t n = mynah_json_size(shape);
  if (!mynah_json_is_array(shape) || (n != 1 && n != 3))
    return mynah_fail(MYNAH_UNSUPPORTED, "config.json: feature '%s' must be a vector or a picture", name);
  for (size_t i = 0; i < n; i++) {
    dims[i] = mynah_json_to_integer(mynah_json_at(shape, i), 0);
    if (dims[i] < 1 || dims[i] > 1 << 20) return mynah_fail(MYNAH_CORRUPT, "config.json: feature '%s' has a bad shape", name);
  }
  *n_dims = (int)n;
  return MYNAH_OK;
}

static mynah_status add_feature(reading *r, const char *name, const mynah_json *value) {
  int64_t dims[3];
  int n_dims;
  MYNAH_TRY(shape_of(value, name, dims, &n_dims));
  if (strlen(name) >= MYNAH_NAME_MAX) return mynah_fail(MYNAH_LIMIT, "config.json: a feature's name is too long");
  if (r->p->n_inputs == MYNAH_POLICY_INPUTS_MAX) return mynah_fail(MYNAH_LIMIT, "config.json: at most %d inputs", MYNAH_POLICY_INPUTS_MAX);
  if (n_dims == 1) {
    r->p->inputs[r->p->n_inputs++] = mynah_feature_vector(name, dims[0], "", "");
    return MYNAH_OK;
  }
  if (dims[0] != 3) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: picture '%s' has %lld channels, not 3", name, (long long)dims[0]);
  r->p->inputs[r->p->n_inputs++] = mynah_feature_image(name, dims[1], dims[2]);
  return MYNAH_OK;
}

/* The order in which the network reads them: state, environment state and pictures for act; state, pictures, environment
 * state for diffusion. */
static mynah_status add_features(reading *r) {
  static const char *const orders[2][3] = {{"STATE", "ENV", "VISUAL"}, {"STATE", "VISUAL", "ENV"}};
  const char *const *order = orders[r->kind - mynah__lerobot_kinds];
  const mynah_json *features = mynah_json_get(r->config, "input_features"), *value;
  const char *name;
  size_t n_known = 0;
  for (int k = 0; k < 3; k++)
    for (size_t i = 0; mynah_json_entry(features, i, &name, &value); i++)
      if (strcmp(mynah_json_to_string(mynah_json_get(value, "type"), ""), order[k]) == 0) {
        MYNAH_TRY(add_feature(r, name, value));
        n_known++;
      }
  if (n_known != mynah_json_size(features) || n_known == 0)
    return mynah_fail(MYNAH_UNSUPPORTED, "config.json: input_features: each must be of type STATE, ENV or VISUAL");
  const mynah_json *action = mynah_json_get(mynah_json_get(r->config, "output_features"), "action");
  int64_t dims[3];
  int n_dims = 0;
  MYNAH_TRY(shape_of(action, "action", dims, &n_dims));
  if (n_dims != 1) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: the action must be a vector");
  r->p->action = mynah_feature_vector("action", dims[0], "", "");
  return MYNAH_OK;
}

/* All cameras are brought to one size; a centre crop (height, width) is said in shares. */
static mynah_status set_geometry(reading *r) {
  const mynah_feature *first = NULL;
  for (int i = 0; i < r->p->n_inputs; i++) {
    const mynah_feature *f = &r->p->inputs[i];
    if (!f->is_image) continue;
    if (first && (f->dims[0] != first->dims[0] || f->dims[1] != first->dims[1]))
      return mynah_fail(MYNAH_UNSUPPORTED, "config.json: '%s' and '%s' differ in size", first->name, f->name);
    first = f;
  }
  if (!first) return MYNAH_OK;
  const mynah_json *crop = mynah_json_get(r->config, "crop_shape");
  int64_t size[2] = {first->dims[0], first->dims[1]};
  for (size_t i = 0; mynah_json_is_array(crop) && i < 2; i++) {
    int64_t n = mynah_json_to_integer(mynah_json_at(crop, i), 0);
    if (n < 1 || n > size[i] || (size[i] - n) % 2) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: crop_shape does not lie in the middle");
    double share = (double)(size[i] - n) / 2 / (double)size[i];
    if (i == 0) r->p->common.crop_top = r->p->common.crop_bottom = share;
    else r->p->common.crop_left = r->p->common.crop_right = share;
    size[i] = n;
  }
  MYNAH_TRY(set_number(r, "image.height", size[0]));
  return set_number(r, "image.width", size[1]);
}

/* ---- statistics ------------------------------------------------------------------------------------------------------- */

/* Processors that change nothing here, and the one that normalises. */
static mynah_status check_steps(const mynah_json *pipeline, const char *file, const char *normalizer, const mynah_json **found) {
  static const char *const known[] = {"rename_observations_processor", "to_batch_processor", "device_processor"};
  const mynah_json *steps = mynah_json_get(pipeline, "steps");
  *found = NULL;
  for (size_t i = 0; i < mynah_json_size(steps); i++) {
    const mynah_json *step = mynah_json_at(steps, i);
    const char *name = mynah_json_to_string(mynah_json_get(step, "registry_name"), "");
    if (strcmp(name, normalizer) == 0 && !*found) {
      *found = step;
      continue;
    }
    bool is_known = false;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) is_known = is_known || strcmp(name, known[k]) == 0;
    if (!is_known) return mynah_fail(MYNAH_UNSUPPORTED, "%s: unknown processor step %zu, '%s'", file, i, name);
    if (mynah_json_size(mynah_json_get(mynah_json_get(step, "config"), "rename_map")) > 0)
      return mynah_fail(MYNAH_UNSUPPORTED, "%s: step %zu renames observations", file, i);
  }
  return *found ? MYNAH_OK : mynah_fail(MYNAH_UNSUPPORTED, "%s: has no step '%s'", file, normalizer);
}

static mynah_status open_state(reading *r) {
  const mynah_json *step, *inverse;
  MYNAH_TRY(check_steps(r->pre, "policy_preprocessor.json", "normalizer_processor", &step));
  MYNAH_TRY(check_steps(r->post, "policy_postprocessor.json", "unnormalizer_processor", &inverse));
  const char *file = mynah_json_to_string(mynah_json_get(step, "state_file"), "");
  if (!file[0] || strchr(file, '/') || file[0] == '.')
    return mynah_fail(MYNAH_CORRUPT, "policy_preprocessor.json: 'state_file' must name a file of the folder");
  return open_tensors(r, file, &r->state);
}

/* Statistic `which` ("mean") of a feature, or NULL: in the state file by name; in the old layout in a buffer whose name has
 * dots turned to underscores. */
static const mynah_safetensor *statistic(const reading *r, const char *feature, bool is_output, const char *which) {
  char name[2 * MYNAH_NAME_MAX], flat[MYNAH_NAME_MAX];
  if (r->state) {
    snprintf(name, sizeof name, "%s.%s", feature, which);
    return mynah_safetensors_find(r->state, name);
  }
  snprintf(flat, sizeof flat, "%s", feature);
  for (char *c = flat; *c; c++)
    if (*c == '.') *c = '_';
  snprintf(name, sizeof name, "%s.buffer_%s.%s", is_output ? "normalize_targets" : "normalize_inputs", flat, which);
  return mynah_safetensors_find(r->model, name);
}

static mynah_status read_statistic(const reading *r, const char *feature, bool is_output, const char *which, int64_t n, float *out) {
  const mynah_safetensor *t = statistic(r, feature, is_output, which);
  if (!t) return mynah_fail(MYNAH_NOT_FOUND, "the statistics lack '%s.%s'", feature, which);
  if (t->dtype != MYNAH_F32 || mynah_shape_size(t->shape) != n)
    return mynah_fail(MYNAH_MISMATCH, "the statistic '%s.%s' has %lld numbers, not %lld", feature, which,
                      (long long)mynah_shape_size(t->shape), (long long)n);
  memcpy(out, t->data, (size_t)n * sizeof *out);
  return MYNAH_OK;
}

/* A norm whose min-max and mean-std forms both are x -> (x - centre) / size. */
static void set_element(mynah_norm *n, int64_t i, float centre, float size) {
  n->mean[i] = centre;
  n->std[i] = size;
  n->min[i] = centre - size;
  n->max[i] = centre + size;
}

/* The statistics that a mode maps to -1 and 1, or NULL for one that does not: 2 (x - low) / (high - low) - 1. */
static const char *const *ends_of(const char *mode) {
  static const char *const ends[][3] = {{"MIN_MAX", "min", "max"}, {"QUANTILES", "q01", "q99"}, {"QUANTILE10", "q10", "q90"}};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (strcmp(mode, ends[i][0]) == 0) return &ends[i][1];
  return NULL;
}

/* Its rules: MEAN_STD (x - mean) / (std + eps); MIN_MAX and quantiles as in ends_of; a type that the mapping does not name
 * passes as it is. Where ours has the same form the very numbers are kept. */
static mynah_status read_norm(reading *r, const mynah_feature *f, const char *type, bool is_output, mynah_norm *out) {
  const char *mode = mynah_json_to_string(mynah_json_get(mynah_json_get(r->config, "normalization_mapping"), type), "IDENTITY");
  int64_t n = f->is_image ? 3 : mynah_feature_size(f);
  MYNAH_TRY(mynah__norm_create(n, out));
  for (int64_t i = 0; i < n; i++) set_element(out, i, 0, 1);
  if (strcmp(mode, "IDENTITY") == 0) return MYNAH_OK;
  if (strcmp(mode, "MEAN_STD") == 0) {
    MYNAH_TRY(read_statistic(r, f->name, is_output, "mean", n, out->mean));
    MYNAH_TRY(read_statistic(r, f->name, is_output, "std", n, out->std));
    for (int64_t i = 0; i < n; i++) set_element(out, i, out->mean[i], out->std[i] + MYNAH__LEROBOT_EPSILON);
    return MYNAH_OK;
  }
  const char *const *ends = ends_of(mode);
  if (!ends) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: normalization_mapping: '%s' for %s", mode, type);
  MYNAH_TRY(read_statistic(r, f->name, is_output, ends[0], n, out->min));
  MYNAH_TRY(read_statistic(r, f->name, is_output, ends[1], n, out->max));
  for (int64_t i = 0; i < n; i++) {
    float next = fmaxf(out->min[i] + MYNAH__LEROBOT_EPSILON, nextafterf(out->min[i], INFINITY)); /* its constants map to -1 */
    if (out->max[i] <= out->min[i]) out->max[i] = next;
    out->mean[i] = (out->min[i] + out->max[i]) / 2;
    out->std[i] = (out->max[i] - out->min[i]) / 2;
  }
  return MYNAH_OK;
}

static const char *type_of(const reading *r, const char *feature) {
  const mynah_json *value = mynah_json_get(mynah_json_get(r->config, "input_features"), feature);
  return mynah_json_to_string(mynah_json_get(value, "type"), "");
}

static mynah_status read_norms(reading *r) {
  const mynah_json *mapping = mynah_json_get(r->config, "normalization_mapping");
  const char *state = mynah_json_to_string(mynah_json_get(mapping, "STATE"), ""), *action = mynah_json_to_string(mynah_json_get(mapping, "ACTION"), "");
  MYNAH_TRY(set_key(r, "normalize", ends_of(state) ? "minmax" : "meanstd"));
  MYNAH_TRY(set_key(r, "normalize.action", ends_of(action) ? "minmax" : "meanstd"));
  for (int i = 0; i < r->p->n_inputs; i++) {
    const mynah_feature *f = &r->p->inputs[i];
    MYNAH_TRY(read_norm(r, f, type_of(r, f->name), false, &r->p->input_norms[i]));
  }
  return read_norm(r, &r->p->action, "ACTION", true, &r->p->action_norm);
}

/* ---- weights ---------------------------------------------------------------------------------------------------------- */

static bool is_expected(const reading *r, const char *name) {
  static const char *const old[] = {"normalize_inputs.", "normalize_targets.", "unnormalize_outputs."};
  for (size_t i = 0; i < sizeof old / sizeof *old; i++)
    if (strncmp(name, old[i], strlen(old[i])) == 0) return !r->state;
  size_t prefix = strlen(r->kind->prefix);
  if (strncmp(name, r->kind->prefix, prefix) != 0) return false;
  size_t length = strlen(name), end = strlen(r->kind->computed);
  if (length >= prefix + end && strcmp(name + length - end, r->kind->computed) == 0) return true;
  const char *dot = strrchr(name, '.');
  return mynah_weights_find(r->w, name + prefix) != NULL || (dot && strcmp(dot, ".num_batches_tracked") == 0);
}

static mynah_status read_weights(reading *r) {
  for (int i = 0; i < mynah_weights_n_tensors(r->w); i++) {
    const mynah_tensor_info *t = mynah_weights_tensor(r->w, i);
    char name[MYNAH_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s%s", r->kind->prefix, t->name);
    const mynah_safetensor *have = mynah_safetensors_find(r->model, name);
    if (!have) return mynah_fail(MYNAH_NOT_FOUND, "model.safetensors: lacks '%s'", name);
    bool is_same = have->dtype == MYNAH_F32 && have->shape.n_dims == t->shape.n_dims;
    for (int d = 0; is_same && d < t->shape.n_dims; d++) is_same = have->shape.dims[d] == t->shape.dims[d];
    if (!is_same) return mynah_fail(MYNAH_MISMATCH, "model.safetensors: '%s' has another shape or type than the configuration asks for", name);
    memcpy(mynah_weights_data(r->w) + t->offset, have->data, (size_t)t->size * sizeof(float));
  }
  for (int i = 0; i < mynah_safetensors_count(r->model); i++) {
    const char *name = mynah_safetensors_at(r->model, i)->name;
    if (!is_expected(r, name)) return mynah_fail(MYNAH_UNSUPPORTED, "model.safetensors: '%s' has no place in the policy", name);
  }
  return MYNAH_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static mynah_status read_description(reading *r) {
  MYNAH_TRY(read_json(r, "config.json", &r->config));
  const char *type = mynah_json_to_string(mynah_json_get(r->config, "type"), "");
  for (int k = 0; k < 2; k++)
    if (strcmp(mynah__lerobot_kinds[k].theirs, type) == 0) r->kind = &mynah__lerobot_kinds[k];
  if (!r->kind) return mynah_fail(MYNAH_UNSUPPORTED, "config.json: policy type '%s': act and diffusion can be read", type);
  const mynah_policy_type *ours;
  MYNAH_TRY(mynah_policy_find(r->kind->ours, &ours));
  MYNAH_TRY(mynah__policy_new(ours, &r->p));
  MYNAH_TRY(apply_keys(r));
  MYNAH_TRY(r->kind == &mynah__lerobot_kinds[0] ? apply_act(r) : apply_diffusion(r));
  MYNAH_TRY(add_features(r));
  return set_geometry(r);
}

static mynah_status read_state(reading *r) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(path_of(r, "policy_preprocessor.json", path));
  if (mynah_file_exists(path)) {
    MYNAH_TRY(read_json(r, "policy_preprocessor.json", &r->pre));
    MYNAH_TRY(read_json(r, "policy_postprocessor.json", &r->post));
    MYNAH_TRY(open_state(r));
  }
  return read_norms(r);
}

static mynah_status finish(reading *r) {
  mynah_execute_config resolved;
  MYNAH_TRY(mynah__execute_resolve(r->p, &r->p->common.execute, &resolved));
  MYNAH_TRY(r->p->type->check(r->p));
  return mynah__policy_weights(r->p, &r->w);
}

static mynah_status read_all(reading *r, bool has_weights) {
  if (has_weights) MYNAH_TRY(open_tensors(r, "model.safetensors", &r->model));
  MYNAH_TRY(read_description(r));
  MYNAH_TRY(read_state(r));
  MYNAH_TRY(finish(r));
  return has_weights ? read_weights(r) : MYNAH_OK;
}

static mynah_status import(const char *folder, bool has_weights, mynah_policy **out, mynah_weights **weights) {
  reading r = {.folder = folder};
  mynah_status status = read_all(&r, has_weights);
  mynah_json_destroy(r.config);
  mynah_json_destroy(r.pre);
  mynah_json_destroy(r.post);
  mynah_safetensors_close(r.state);
  mynah_safetensors_close(r.model);
  if (status != MYNAH_OK) {
    mynah_policy_destroy(r.p);
    mynah_weights_destroy(r.w);
    return status;
  }
  *out = r.p;
  *weights = r.w;
  return MYNAH_OK;
}

mynah_status mynah_policy_import_lerobot(const char *folder, mynah_policy **out, mynah_weights **weights) {
  return import(folder, true, out, weights);
}

mynah_status mynah__lerobot_describe(const char *folder, mynah_policy **out, mynah_weights **weights) {
  return import(folder, false, out, weights);
}
