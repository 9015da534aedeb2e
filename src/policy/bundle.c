/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy file: safetensors with the weights, and one metadata entry, "mynah", that holds everything else as JSON. */
#include "policy_internal.h"

#include <string.h>

#define FORMAT 1
#define METADATA_KEY "mynah"

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static mynah_json *feature_entry(const mynah_feature *f, const mynah_norm *norm) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "name", mynah_json_string(f->name));
  mynah_json_set(j, "feature", mynah_feature_to_json(f));
  if (norm->size > 0) mynah_json_set(j, "normalizer", mynah__norm_to_json(norm));
  return j;
}

static mynah_json *describe(const mynah_policy *p) {
  mynah_json *j = mynah_json_object(), *config = mynah_json_object(), *inputs = mynah_json_array();
  mynah_json_set(j, "format", mynah_json_integer(FORMAT));
  mynah_json_set(j, "policy", mynah_json_string(p->type->name));
  mynah_config_to_json(&mynah_policy_table, &p->common, config);
  mynah_config_to_json(p->type->config, p->config, config);
  mynah_json_set(j, "config", config);
  for (int i = 0; i < p->n_inputs; i++) mynah_json_append(inputs, feature_entry(&p->inputs[i], &p->input_norms[i]));
  mynah_json_set(j, "inputs", inputs);
  mynah_json_set(j, "action", feature_entry(&p->action, &p->action_norm));
  mynah_json_set(j, "rate_hz", mynah_json_number(p->rate_hz));
  mynah_json_set(j, "dataset_hash", mynah_json_string(p->dataset_hash));
  if (p->training) mynah_json_set(j, "training", mynah_json_copy(p->training));
  if (p->network) mynah_json_set(j, "network", mynah_json_copy(p->network));
  if (p->eyes) mynah_json_set(j, "eyes", mynah_json_copy(p->eyes));
  return j;
}

mynah_status mynah_policy_save(const mynah_policy *p, const mynah_weights *w, const char *path) {
  mynah_json *golden;
  MYNAH_TRY(mynah__golden_make(p, w, &golden));
  mynah_json *description = describe(p);
  mynah_json_set(description, "golden", golden);
  mynah_str text = {0};
  mynah_status status = mynah_json_dump(description, 0, &text);
  mynah_json_destroy(description);
  int n = mynah_weights_n_tensors(w);
  mynah_safetensor *tensors = mynah_calloc((size_t)n + 1, sizeof *tensors);
  if (status == MYNAH_OK && !tensors) status = MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) {
    mynah_weights_tensors(w, tensors, n);
    mynah_metadata metadata = {METADATA_KEY, mynah_str_text(&text)};
    status = mynah_safetensors_write(path, tensors, n, &metadata, 1);
  }
  mynah_free(tensors);
  mynah_str_deinit(&text);
  return status;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static mynah_status read_feature(const mynah_json *j, mynah_feature *f, mynah_norm *norm) {
  const char *name = mynah_json_to_string(mynah_json_get(j, "name"), "");
  MYNAH_TRY(mynah_feature_from_json(name, mynah_json_get(j, "feature"), f));
  const mynah_json *given = mynah_json_get(j, "normalizer");
  if (f->is_image && !given) return MYNAH_OK;
  return mynah__norm_from_json(given, f->is_image ? 3 : mynah_feature_size(f), name, norm);
}

static mynah_status read_description(const mynah_json *j, mynah_policy *p) {
  mynah_config_bind binds[2] = {{&mynah_policy_table, &p->common}, {p->type->config, p->config}};
  MYNAH_TRY(mynah_config_from_json(binds, 2, mynah_json_get(j, "config")));
  const mynah_json *inputs = mynah_json_get(j, "inputs");
  size_t n = mynah_json_size(inputs);
  if (!mynah_json_is_array(inputs) || n < 1 || n > MYNAH_POLICY_INPUTS_MAX)
    return mynah_fail(MYNAH_CORRUPT, "policy: 'inputs' must list 1 … %d features", MYNAH_POLICY_INPUTS_MAX);
  for (size_t i = 0; i < n; i++) {
    MYNAH_TRY(read_feature(mynah_json_at(inputs, i), &p->inputs[i], &p->input_norms[i]));
    p->n_inputs = (int)i + 1;
  }
  MYNAH_TRY(read_feature(mynah_json_get(j, "action"), &p->action, &p->action_norm));
  p->rate_hz = mynah_json_to_number(mynah_json_get(j, "rate_hz"), 0);
  const char *hash = mynah_json_to_string(mynah_json_get(j, "dataset_hash"), "");
  MYNAH_TRY(mynah_copy_text(p->dataset_hash, sizeof p->dataset_hash, hash));
  const mynah_json *training = mynah_json_get(j, "training");
  if (training && !(p->training = mynah_json_copy(training))) return MYNAH_NO_MEMORY;
  const mynah_json *network = mynah_json_get(j, "network");
  if (network && !(p->network = mynah_json_copy(network))) return MYNAH_NO_MEMORY;
  const mynah_json *eyes = mynah_json_get(j, "eyes");
  if (eyes && !(p->eyes = mynah_json_copy(eyes))) return MYNAH_NO_MEMORY;
  const mynah_json *golden = mynah_json_get(j, "golden");
  if (golden && !(p->golden = mynah_json_copy(golden))) return MYNAH_NO_MEMORY;
  if (p->action.is_image) return mynah_fail(MYNAH_CORRUPT, "policy: the action is a picture");
  mynah_execute_config resolved;
  MYNAH_TRY(mynah__execute_resolve(p, &p->common.execute, &resolved));
  return p->type->check(p);
}

mynah_status mynah__policy_from_json(const mynah_json *j, mynah_policy **out) {
  int64_t format = mynah_json_to_integer(mynah_json_get(j, "format"), 0);
  if (format < 1) return mynah_fail(MYNAH_CORRUPT, "policy: the description lacks 'format'");
  if (format > FORMAT)
    return mynah_fail(MYNAH_UNSUPPORTED, "policy: format %lld is newer than this program's %d", (long long)format,
                      FORMAT);
  const mynah_policy_type *type;
  MYNAH_TRY(mynah_policy_find(mynah_json_to_string(mynah_json_get(j, "policy"), ""), &type));
  mynah_policy *p;
  MYNAH_TRY(mynah__policy_new(type, &p));
  mynah_status status = read_description(j, p);
  if (status != MYNAH_OK) {
    mynah_policy_destroy(p);
    return status;
  }
  *out = p;
  return MYNAH_OK;
}
