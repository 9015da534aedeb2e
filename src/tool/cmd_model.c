/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah import-model: a network exported elsewhere to a file of ours: a detector, or else a policy. */
#include "tool.h"

#include <string.h>

#define MODEL_KEYS(K)                                                                          \
  K(STRING, out, "out", "", 0, 0, "path", "the file to write, NAME.safetensors")               \
  K(STRING, data, "data", "", 0, 0, "",                                                        \
    "policies: a dataset whose features and statistics the network was trained with, X.demos") \
  K(STRING, stats, "stats", "", 0, 0, "", "policies: statistics, as LeRobot's meta/stats.json")
typedef struct model_config {
  MODEL_KEYS(MYNAH_FIELD_ROW)
} model_config;
#define MODEL_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(model_config, type, field, name, value, low, high, unit, help)
static const mynah_key model_keys[] = {MODEL_KEYS(MODEL_ROW)};
static const mynah_config_table model_table = {"import-model", model_keys, sizeof model_keys / sizeof *model_keys,
                                               sizeof(model_config)};

static mynah_status describe(const mynah_detector *d, const char *out, mynah_json *result) {
  const char scale[2] = {mynah_detector_scale(d), 0};
  const char *head = mynah_detector_is_end_to_end(d) ? "one-to-one" : "one-to-many";
  char hash[65];
  mynah_detector_hash(d, hash);
  mynah_json *names = mynah_json_array();
  for (int i = 0; i < mynah_detector_n_classes(d); i++)
    mynah_json_append(names, mynah_json_string(mynah_detector_class(d, i)));
  mynah_json_set(result, "out", mynah_json_string(out));
  mynah_json_set(result, "detector", mynah_json_string(mynah_detector_kind(d)));
  mynah_json_set(result, "scale", scale[0] ? mynah_json_string(scale) : mynah_json_null());
  mynah_json_set(result, "head", mynah_json_string(head));
  mynah_json_set(result, "classes", names);
  mynah_json_set(result, "imgsz", mynah_json_integer(mynah_detector_size(d)));
  mynah_json_set(result, "parameters", mynah_json_integer(mynah_detector_n_parameters(d)));
  mynah_json_set(result, "hash", mynah_json_string(hash));
  tool_say("%s%s, %s head, %d classes, %lld parameters: %s", scale[0] ? "YOLO26" : "network", scale, head,
           mynah_detector_n_classes(d), (long long)mynah_detector_n_parameters(d), out);
  return MYNAH_OK;
}

static mynah_status import_detector(const char *path, const model_config *c, mynah_json *result) {
  mynah_detector *d;
  MYNAH_TRY(mynah_detector_import(path, &d));
  mynah_status status = mynah_detector_save(d, c->out);
  if (status == MYNAH_OK) status = describe(d, c->out, result);
  mynah_detector_destroy(d);
  return status;
}

/* ---- policies
 * ----------------------------------------------------------------------------------------------------------- */

static mynah_status save_policy(const mynah_policy *p, const mynah_weights *w, const char *out, mynah_json *result) {
  mynah_json *inputs = mynah_json_array();
  MYNAH_TRY(mynah_policy_save(p, w, out));
  for (int i = 0; i < p->n_inputs; i++) mynah_json_append(inputs, mynah_json_string(p->inputs[i].name));
  mynah_json_set(result, "policy", mynah_json_string(out));
  mynah_json_set(result, "type", mynah_json_string(p->type->name));
  mynah_json_set(result, "inputs", inputs);
  mynah_json_set(result, "parameters", mynah_json_integer(mynah_weights_n_parameters(w)));
  mynah_json_set(result, "chunk", mynah_json_integer(p->common.chunk));
  tool_say("%s: policy %s with %lld parameters, %d inputs, chunk %lld", out, p->type->name,
           (long long)mynah_weights_n_parameters(w), p->n_inputs, (long long)p->common.chunk);
  return MYNAH_OK;
}

static mynah_status import_policy(const char *path, const model_config *c, const mynah_onnx_import_config *how,
                                  mynah_json *result) {
  mynah_dataset *data = NULL;
  mynah_json *stats = NULL;
  mynah_policy *p;
  mynah_weights *w;
  mynah_status status = c->data[0] ? mynah_dataset_open(c->data, MYNAH_OPEN_READ, &data) : MYNAH_OK;
  if (status == MYNAH_OK && c->stats[0]) status = mynah_json_load(c->stats, &stats);
  if (status == MYNAH_OK) status = mynah_policy_import_onnx(path, how, data, stats, &p, &w);
  mynah_dataset_close(data);
  mynah_json_destroy(stats);
  MYNAH_TRY(status);
  status = save_policy(p, w, c->out, result);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  return status;
}

static bool is_onnx(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot && strcmp(dot, ".onnx") == 0;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  model_config c;
  mynah_onnx_import_config how;
  mynah_config_default(&model_table, &c);
  mynah_config_default(&mynah_onnx_import_table, &how);
  mynah_config_bind binds[2] = {{&model_table, &c}, {&mynah_onnx_import_table, &how}};
  MYNAH_TRY(tool_apply(args, binds, 2));
  if (args->n_positional != 1) return tool_usage_error("name one file");
  if (!c.out[0]) return tool_usage_error("out=NAME.safetensors is missing");
  if (mynah_file_exists(c.out))
    return mynah_fail(MYNAH_BUSY, "%s: exists already: remove it or choose another name", c.out);
  mynah_status status = import_detector(args->positional[0], &c, result);
  return status == MYNAH_UNSUPPORTED && is_onnx(args->positional[0]) && !mynah_detector_is_named(args->positional[0])
             ? import_policy(args->positional[0], &c, &how, result)
             : status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  out[0] = &model_table;
  out[1] = &mynah_onnx_import_table;
  return 2;
}

const tool_command tool_import_model = {"import-model",
                                        "import-model FILE.onnx|FILE.safetensors out=M.safetensors [key=value ...]",
                                        "bring in a network from ONNX: a detector, else a policy", run, tables};
