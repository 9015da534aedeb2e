/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah import-model: a detector exported elsewhere to a file of ours. */
#include "tool.h"

#define MODEL_KEYS(K) K(STRING, out, "out", "", 0, 0, "path", "the file to write, NAME.safetensors")
typedef struct model_config {
#define MODEL_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MODEL_KEYS(MODEL_FIELD)
} model_config;
#define MODEL_ROW(type, field, name, value, low, high, unit, help)                                 \
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
  for (int i = 0; i < mynah_detector_n_classes(d); i++) mynah_json_append(names, mynah_json_string(mynah_detector_class(d, i)));
  mynah_json_set(result, "out", mynah_json_string(out));
  mynah_json_set(result, "detector", mynah_json_string("yolo26"));
  mynah_json_set(result, "scale", mynah_json_string(scale));
  mynah_json_set(result, "head", mynah_json_string(head));
  mynah_json_set(result, "classes", names);
  mynah_json_set(result, "imgsz", mynah_json_integer(mynah_detector_size(d)));
  mynah_json_set(result, "parameters", mynah_json_integer(mynah_detector_n_parameters(d)));
  mynah_json_set(result, "hash", mynah_json_string(hash));
  tool_say("YOLO26%s, %s head, %d classes, %lld parameters: %s", scale, head, mynah_detector_n_classes(d),
           (long long)mynah_detector_n_parameters(d), out);
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  model_config c;
  mynah_config_default(&model_table, &c);
  MYNAH_TRY(tool_apply(args, &(mynah_config_bind){&model_table, &c}, 1));
  if (args->n_positional != 1) return tool_usage_error("name one file");
  if (!c.out[0]) return tool_usage_error("out=NAME.safetensors is missing");
  if (mynah_file_exists(c.out)) return mynah_fail(MYNAH_BUSY, "%s: exists already: remove it or choose another name", c.out);
  mynah_detector *d;
  MYNAH_TRY(mynah_detector_import(args->positional[0], &d));
  mynah_status status = mynah_detector_save(d, c.out);
  if (status == MYNAH_OK) status = describe(d, c.out, result);
  mynah_detector_destroy(d);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  out[0] = &model_table;
  return 1;
}

const tool_command tool_import_model = {"import-model", "import-model FILE.onnx|FILE.safetensors out=M.safetensors",
                                        "bring in a detector: YOLO26 exported to ONNX", run, tables};
