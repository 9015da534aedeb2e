/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writes a policy as a LeRobot checkpoint (0.4): config.json, model.safetensors, the processors and their statistics. What
 * LeRobot cannot express is refused. */
#include "lerobot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_FILE "policy_preprocessor_step_3_normalizer_processor.safetensors"
#define INVERSE_FILE "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
#define MAX_TENSORS 64
#define MAX_COMPUTED ((int64_t)1 << 24)

typedef struct writing {
  const char *folder;
  const mynah_policy *p;
  const mynah_weights *w;
  const mynah__lerobot_kind *kind;
  mynah_json *ours; /* the policy's configuration */
} writing;

static const char *setting(const writing *w, const char *key) {
  return mynah_json_to_string(mynah_json_get(w->ours, key), "");
}
static int64_t whole(const writing *w, const char *key) { return mynah_json_to_integer(mynah_json_get(w->ours, key), 0); }

/* ---- what can be said ------------------------------------------------------------------------------------------------- */

static const char *type_of(const mynah_feature *f) {
  if (f->is_image) return "VISUAL";
  return strcmp(f->name, "observation.state") == 0 ? "STATE" : "ENV";
}

static mynah_status check_features(const writing *w) {
  const mynah_policy *p = w->p;
  for (int i = 0; i < p->n_inputs; i++) {
    const mynah_feature *f = &p->inputs[i];
    if (f->angle_mask) return mynah_fail(MYNAH_UNSUPPORTED, "'%s' has angles, whose cosine and sine LeRobot does not take", f->name);
    if (!f->is_image && strcmp(f->name, "observation.state") != 0 && strcmp(f->name, "observation.environment_state") != 0)
      return mynah_fail(MYNAH_UNSUPPORTED, "LeRobot's policies take no vector '%s'", f->name);
    if (f->is_image && ((int64_t)llround((double)f->dims[0] * (1 - p->common.crop_top - p->common.crop_bottom)) != p->common.image_height ||
                        (int64_t)llround((double)f->dims[1] * (1 - p->common.crop_left - p->common.crop_right)) != p->common.image_width))
      return mynah_fail(MYNAH_UNSUPPORTED, "'%s' is resized, which LeRobot's policy does not do", f->name);
  }
  return MYNAH_OK;
}

static mynah_status check_kind(const writing *w) {
  bool has_image = false;
  for (int i = 0; i < w->p->n_inputs; i++) has_image = has_image || w->p->inputs[i].is_image;
  if (w->kind == &mynah__lerobot_kinds[0])
    return w->p->common.n_obs == 1 ? MYNAH_OK : mynah_fail(MYNAH_UNSUPPORTED, "LeRobot's act takes n_obs=1");
  if (strcmp(setting(w, "denoiser"), "unet") != 0) return mynah_fail(MYNAH_UNSUPPORTED, "LeRobot's diffusion has denoiser=unet alone");
  if (setting(w, "encoder.widths")[0]) return mynah_fail(MYNAH_UNSUPPORTED, "LeRobot's diffusion has no encoder.widths");
  if (has_image && strcmp(setting(w, "image.encoder"), "resnet") != 0)
    return mynah_fail(MYNAH_UNSUPPORTED, "LeRobot's diffusion has image.encoder=resnet alone");
  return MYNAH_OK;
}

/* ---- config.json ------------------------------------------------------------------------------------------------------ */

static mynah_json *shape_json(const mynah_feature *f) {
  mynah_json *j = mynah_json_array();
  static const int order[3] = {2, 0, 1}; /* (H,W,C) -> (C,H,W) */
  for (int d = 0; d < f->n_dims; d++) mynah_json_append(j, mynah_json_integer(f->dims[f->is_image ? order[d] : d]));
  return j;
}

static mynah_json *feature_json(const mynah_feature *f, const char *type) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "type", mynah_json_string(type));
  mynah_json_set(j, "shape", shape_json(f));
  return j;
}

static mynah_json *inputs_json(const writing *w) {
  mynah_json *j = mynah_json_object();
  for (int i = 0; i < w->p->n_inputs; i++) mynah_json_set(j, w->p->inputs[i].name, feature_json(&w->p->inputs[i], type_of(&w->p->inputs[i])));
  return j;
}

static const char *mode_of(int64_t kind) {
  return kind == MYNAH_NORMALIZE_MINMAX ? "MIN_MAX" : kind == MYNAH_NORMALIZE_MEANSTD ? "MEAN_STD" : "IDENTITY";
}

static mynah_json *mapping_json(const writing *w) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "VISUAL", mynah_json_string("MEAN_STD"));
  mynah_json_set(j, "STATE", mynah_json_string(mode_of(w->p->common.normalize)));
  mynah_json_set(j, "ENV", mynah_json_string(mode_of(w->p->common.normalize)));
  mynah_json_set(j, "ACTION", mynah_json_string(mode_of(w->p->common.normalize_action)));
  return j;
}

/* The other way of "DDPM=ddpm,DDIM=ddim". */
static mynah_json *translate_back(const char *names, const char *ours) {
  char list[MYNAH_TEXT_MAX], *rest = NULL;
  if (mynah_copy_text(list, sizeof list, names) != MYNAH_OK) return NULL;
  for (char *pair = strtok_r(list, ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
    char *equals = strchr(pair, '=');
    *equals = 0;
    if (strcmp(equals + 1, ours) == 0) return mynah_json_string(pair);
  }
  return NULL;
}

/* "64,128,256" is a list there. */
static mynah_json *list_json(const char *text) {
  int64_t list[MYNAH__LAYERS_MAX];
  size_t n = 0;
  if (mynah_parse_ints(text, list, MYNAH__LAYERS_MAX, &n) != MYNAH_OK) return NULL;
  mynah_json *j = mynah_json_array();
  for (size_t i = 0; i < n; i++) mynah_json_append(j, mynah_json_integer(list[i]));
  return j;
}

static mynah_json *copied_json(const writing *w, const mynah__lerobot_key *key) {
  const mynah_json *ours = mynah_json_get(w->ours, key->ours);
  if (key->names) return translate_back(key->names, mynah_json_to_string(ours, ""));
  if (strcmp(key->ours, "unet.widths") == 0) return list_json(mynah_json_to_string(ours, ""));
  if (strcmp(key->ours, "execute.steps") == 0 && mynah_json_to_integer(ours, 0) == 0) {
    mynah_execute_config resolved;
    return mynah__execute_resolve(w->p, &w->p->common.execute, &resolved) == MYNAH_OK ? mynah_json_integer(resolved.steps) : NULL;
  }
  return mynah_json_copy(ours);
}

/* Keys that only one of the two has are asked for that one alone. */
static mynah_json *special_json(const writing *w, const char *key) {
  const mynah_policy_config *c = &w->p->common;
  if (strcmp(key, "type") == 0) return mynah_json_string(w->kind->theirs);
  if (strcmp(key, "input_features") == 0) return inputs_json(w);
  if (strcmp(key, "normalization_mapping") == 0) return mapping_json(w);
  if (strcmp(key, "output_features") == 0) {
    mynah_json *j = mynah_json_object();
    mynah_json_set(j, "action", feature_json(&w->p->action, "ACTION"));
    return j;
  }
  if (strcmp(key, "temporal_ensemble_coeff") == 0)
    return c->execute.mode == MYNAH_EXECUTE_ENSEMBLE ? mynah_json_number(c->execute.ensemble_k) : mynah_json_null();
  if (strcmp(key, "horizon") == 0) return mynah_json_integer(c->chunk + c->n_obs - 1);
  if (strcmp(key, "num_inference_steps") == 0) return mynah_json_integer(whole(w, "diffusion.sampler.steps"));
  double clip = mynah_json_to_number(mynah_json_get(w->ours, "diffusion.clip"), 1);
  if (strcmp(key, "clip_sample") == 0) return mynah_json_bool(clip > 0);
  if (strcmp(key, "clip_sample_range") == 0) return mynah_json_number(clip > 0 ? clip : 1);
  if (c->crop_top == 0 && c->crop_left == 0) return mynah_json_null(); /* crop_shape */
  return mynah_json_numbers((double[]){(double)c->image_height, (double)c->image_width}, 2);
}

static mynah_status add_keys(const writing *w, const mynah__lerobot_key *keys, mynah_json *config) {
  for (; keys->theirs; keys++) {
    mynah_json *value = NULL;
    if (keys->rule == MYNAH__LEROBOT_COPY) value = copied_json(w, keys);
    else if (keys->rule == MYNAH__LEROBOT_SPECIAL) value = special_json(w, keys->theirs);
    else MYNAH_TRY(mynah_json_parse(keys->text, strlen(keys->text), &value));
    if (!value) return mynah_fail(MYNAH_UNSUPPORTED, "%s: LeRobot has no word for this setting", keys->theirs);
    mynah_json_set(config, keys->theirs, value);
  }
  return MYNAH_OK;
}

static mynah_status save_json(const writing *w, const char *name, mynah_json *j) {
  char path[MYNAH_PATH_MAX];
  mynah_str text = {0};
  mynah_status status = mynah_path_join(path, sizeof path, w->folder, name);
  if (status == MYNAH_OK) status = mynah_json_dump(j, 2, &text);
  if (status == MYNAH_OK) status = mynah_file_write(path, mynah_str_text(&text), strlen(mynah_str_text(&text)));
  mynah_str_deinit(&text);
  mynah_json_destroy(j);
  return status;
}

static mynah_status write_config(const writing *w) {
  mynah_json *config = mynah_json_object();
  mynah_status status = add_keys(w, mynah__lerobot_common, config);
  if (status == MYNAH_OK) status = add_keys(w, w->kind->keys, config);
  if (status == MYNAH_OK) return save_json(w, "config.json", config);
  mynah_json_destroy(config);
  return status;
}

/* ---- processors and statistics ---------------------------------------------------------------------------------------- */

static mynah_json *step_json(const char *name, mynah_json *config, const char *state) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "registry_name", mynah_json_string(name));
  mynah_json_set(j, "config", config);
  if (state) mynah_json_set(j, "state_file", mynah_json_string(state));
  return j;
}

static mynah_json *device_json(void) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "device", mynah_json_string("cpu"));
  mynah_json_set(j, "float_dtype", mynah_json_null());
  return j;
}

static mynah_json *normalizer_json(const writing *w, bool has_inputs) {
  mynah_json *j = mynah_json_object(), *features = has_inputs ? inputs_json(w) : mynah_json_object();
  mynah_json_set(features, "action", feature_json(&w->p->action, "ACTION"));
  mynah_json_set(j, "eps", mynah_json_number(1e-8));
  mynah_json_set(j, "features", features);
  mynah_json_set(j, "norm_map", mapping_json(w));
  return j;
}

static mynah_status write_processors(const writing *w) {
  mynah_json *pre = mynah_json_object(), *post = mynah_json_object(), *before = mynah_json_array(), *after = mynah_json_array();
  mynah_json *rename = mynah_json_object();
  mynah_json_set(rename, "rename_map", mynah_json_object());
  mynah_json_append(before, step_json("rename_observations_processor", rename, NULL));
  mynah_json_append(before, step_json("to_batch_processor", mynah_json_object(), NULL));
  mynah_json_append(before, step_json("device_processor", device_json(), NULL));
  mynah_json_append(before, step_json("normalizer_processor", normalizer_json(w, true), STATE_FILE));
  mynah_json_append(after, step_json("unnormalizer_processor", normalizer_json(w, false), INVERSE_FILE));
  mynah_json_append(after, step_json("device_processor", device_json(), NULL));
  mynah_json_set(pre, "name", mynah_json_string("policy_preprocessor"));
  mynah_json_set(pre, "steps", before);
  mynah_json_set(post, "name", mynah_json_string("policy_postprocessor"));
  mynah_json_set(post, "steps", after);
  mynah_status status = save_json(w, "policy_preprocessor.json", pre);
  if (status != MYNAH_OK) {
    mynah_json_destroy(post);
    return status;
  }
  return save_json(w, "policy_postprocessor.json", post);
}

/* Tensors to be written, with their names. */
typedef struct tensors {
  mynah_safetensor list[MAX_TENSORS];
  char names[MAX_TENSORS][2 * MYNAH_NAME_MAX];
  int n;
} tensors;

static mynah_status add_tensor(tensors *t, const char *feature, const char *which, mynah_shape shape, const float *data) {
  if (t->n == MAX_TENSORS) return mynah_fail(MYNAH_LIMIT, "too many features");
  snprintf(t->names[t->n], sizeof t->names[0], "%s.%s", feature, which);
  t->list[t->n] = (mynah_safetensor){t->names[t->n], MYNAH_F32, shape, data, (size_t)mynah_shape_size(shape) * sizeof *data};
  t->n++;
  return MYNAH_OK;
}

/* What ours does to an element, said in both of its forms: (x - offset) scale + shift = (x - mean) / std. */
static mynah_status add_norm(tensors *t, const mynah_feature *f, const mynah_norm *norm, int64_t kind, mynah_norm *out) {
  int64_t n = f->is_image ? 3 : norm->size;
  MYNAH_TRY(mynah__norm_create(n, out));
  for (int64_t i = 0; i < n; i++) {
    mynah__affine a = {0, 2, -1}; /* pictures in [0,1] without statistics go to [-1,1] */
    if (f->is_image && norm->size == 3) a = (mynah__affine){norm->mean[i], 1 / norm->std[i], 0};
    else if (!f->is_image) a = mynah__norm_element(norm, kind, i);
    out->mean[i] = mynah__affine_from(a, 0);
    out->std[i] = 1 / a.scale;
    out->min[i] = mynah__affine_from(a, -1);
    out->max[i] = mynah__affine_from(a, 1);
  }
  mynah_shape shape = f->is_image ? MYNAH_SHAPE(3, 1, 1) : MYNAH_SHAPE(n);
  MYNAH_TRY(add_tensor(t, f->name, "mean", shape, out->mean));
  MYNAH_TRY(add_tensor(t, f->name, "std", shape, out->std));
  MYNAH_TRY(add_tensor(t, f->name, "min", shape, out->min));
  return add_tensor(t, f->name, "max", shape, out->max);
}

static mynah_status save_tensors(const writing *w, const char *name, const mynah_safetensor *list, int n) {
  char path[MYNAH_PATH_MAX];
  MYNAH_TRY(mynah_path_join(path, sizeof path, w->folder, name));
  return mynah_safetensors_write(path, list, n, NULL, 0);
}

static mynah_status write_statistics(const writing *w) {
  const mynah_policy *p = w->p;
  mynah_norm norms[MYNAH_POLICY_INPUTS_MAX + 1] = {{0}};
  tensors *t = mynah_calloc(1, sizeof *t);
  if (!t) return MYNAH_NO_MEMORY;
  mynah_status status = add_norm(t, &p->action, &p->action_norm, p->common.normalize_action, &norms[p->n_inputs]);
  if (status == MYNAH_OK) status = save_tensors(w, INVERSE_FILE, t->list, t->n);
  for (int i = 0; i < p->n_inputs && status == MYNAH_OK; i++)
    status = add_norm(t, &p->inputs[i], &p->input_norms[i], p->common.normalize, &norms[i]);
  if (status == MYNAH_OK) status = save_tensors(w, STATE_FILE, t->list, t->n);
  for (int i = 0; i <= p->n_inputs; i++) mynah__norm_deinit(&norms[i]);
  mynah_free(t);
  return status;
}

/* ---- model.safetensors ------------------------------------------------------------------------------------------------ */

/* The tensor that LeRobot stores though it could be computed: positions of the VAE's tokens, or the grid of the key points;
 * null when the policy has none. */
static mynah_status computed_tensor(const writing *w, mynah_shape *shape, float **out) {
  const mynah_policy *p = w->p;
  int64_t rows = 0, width = 2, columns = 1;
  bool has_image = false, is_act = w->kind == &mynah__lerobot_kinds[0];
  for (int i = 0; i < p->n_inputs; i++) has_image = has_image || p->inputs[i].is_image;
  if (is_act && mynah_json_to_bool(mynah_json_get(w->ours, "vae"), false)) {
    rows = 1 + p->common.chunk + (mynah_feature_find(p->inputs, p->n_inputs, "observation.state") >= 0);
    width = whole(w, "dim");
  } else if (!is_act && has_image) {
    columns = (p->common.image_width + 31) / 32;
    rows = columns * ((p->common.image_height + 31) / 32);
  }
  *out = NULL;
  if (rows == 0) return MYNAH_OK;
  if (rows > MAX_COMPUTED / width) return mynah_fail(MYNAH_LIMIT, "the positions are too many");
  float *data = mynah_calloc((size_t)(rows * width), sizeof *data);
  if (!data) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < rows * width; i++) {
    int64_t row = i / width, j = i % width;
    double angle = (double)row / pow(10000, (double)(2 * (j / 2)) / (double)width);
    int64_t at = j ? row / columns : row % columns, n = j ? rows / columns : columns; /* x, then y */
    data[i] = is_act ? (float)(j % 2 ? cos(angle) : sin(angle)) : n > 1 ? 2 * (float)at / (float)(n - 1) - 1 : 0;
  }
  *shape = is_act ? MYNAH_SHAPE(1, rows, width) : MYNAH_SHAPE(rows, width);
  *out = data;
  return MYNAH_OK;
}

/* How often it is stored: with an encoder for each camera, in each. */
static int n_computed(const writing *w) {
  int n = 0;
  if (!mynah_json_to_bool(mynah_json_get(w->ours, "resnet.separate"), false)) return 1;
  for (int i = 0; i < w->p->n_inputs; i++) n += w->p->inputs[i].is_image;
  return n;
}

static void name_computed(const writing *w, int camera, char out[MYNAH_NAME_MAX + 16]) {
  bool is_separate = mynah_json_to_bool(mynah_json_get(w->ours, "resnet.separate"), false);
  char owner[32] = "";
  if (is_separate) snprintf(owner, sizeof owner, "rgb_encoder.%d.", camera);
  else if (w->kind != &mynah__lerobot_kinds[0]) snprintf(owner, sizeof owner, "rgb_encoder.");
  snprintf(out, MYNAH_NAME_MAX + 16, "%s%s%s", w->kind->prefix, owner, w->kind->computed);
}

static mynah_status write_model(const writing *w) {
  int n = mynah_weights_n_tensors(w->w);
  mynah_safetensor *list = mynah_calloc((size_t)n + MYNAH_POLICY_INPUTS_MAX, sizeof *list);
  char(*names)[MYNAH_NAME_MAX + 16] = mynah_calloc((size_t)n + MYNAH_POLICY_INPUTS_MAX, sizeof *names);
  float *computed = NULL;
  mynah_shape shape;
  mynah_status status = list && names ? computed_tensor(w, &shape, &computed) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) {
    mynah_weights_tensors(w->w, list, n);
    for (int i = 0; i < n; i++) {
      snprintf(names[i], sizeof names[i], "%s%s", w->kind->prefix, list[i].name);
      list[i].name = names[i];
    }
    for (int i = 0, more = computed ? n_computed(w) : 0; i < more; i++, n++) {
      name_computed(w, i, names[n]);
      list[n] = (mynah_safetensor){names[n], MYNAH_F32, shape, computed, (size_t)mynah_shape_size(shape) * sizeof *computed};
    }
    status = save_tensors(w, "model.safetensors", list, n);
  }
  mynah_free(computed);
  mynah_free(names);
  mynah_free(list);
  return status;
}

static mynah_status write_all(const writing *w) {
  MYNAH_TRY(check_features(w));
  MYNAH_TRY(check_kind(w));
  MYNAH_TRY(mynah_make_dirs(w->folder));
  MYNAH_TRY(write_model(w));
  MYNAH_TRY(write_statistics(w));
  MYNAH_TRY(write_processors(w));
  return write_config(w); /* last: a folder with it is whole */
}

mynah_status mynah_policy_export_lerobot(const mynah_policy *p, const mynah_weights *weights, const char *folder) {
  writing w = {.folder = folder, .p = p, .w = weights};
  for (int k = 0; k < 2; k++)
    if (strcmp(mynah__lerobot_kinds[k].ours, p->type->name) == 0) w.kind = &mynah__lerobot_kinds[k];
  if (!w.kind) return mynah_fail(MYNAH_UNSUPPORTED, "LeRobot has no policy '%s': act and diffusion can be exported", p->type->name);
  w.ours = mynah_json_object();
  mynah_config_to_json(&mynah_policy_table, &p->common, w.ours);
  mynah_config_to_json(p->type->config, p->config, w.ours);
  mynah_status status = write_all(&w);
  mynah_json_destroy(w.ours);
  return status;
}
