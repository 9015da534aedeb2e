/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah import-policy, export-policy: checkpoints of other systems to policy files and back. */
#include "tool.h"

#include <string.h>

#define EXCHANGE_KEYS(K) K(STRING, out, "out", "", 0, 0, "path", "where to write: a policy file, or a folder")

typedef struct exchange_config {
#define EXCHANGE_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  EXCHANGE_KEYS(EXCHANGE_FIELD)
} exchange_config;
#define EXCHANGE_ROW(type, field, name, value, low, high, unit, help)                              \
  MYNAH_KEY_OF(exchange_config, type, field, name, value, low, high, unit, help)
static const mynah_key exchange_keys[] = {EXCHANGE_KEYS(EXCHANGE_ROW)};
static const mynah_config_table exchange_table = {"exchange", exchange_keys, sizeof exchange_keys / sizeof *exchange_keys,
                                                  sizeof(exchange_config)};

static mynah_status begin(const tool_args *args, exchange_config *c) {
  mynah_config_bind bind = {&exchange_table, c};
  mynah_config_default(&exchange_table, c);
  MYNAH_TRY(tool_apply(args, &bind, 1));
  if (args->n_positional != 2) return tool_usage_error("name the format and what to read");
  if (strcmp(args->positional[0], "lerobot") != 0)
    return tool_usage_error("the format '%s' is not known: lerobot is", args->positional[0]);
  return c->out[0] ? MYNAH_OK : tool_usage_error("say where to write: out=PATH");
}

static mynah_status import(const tool_args *args, mynah_json *result) {
  exchange_config c;
  mynah_policy *p;
  mynah_weights *w;
  MYNAH_TRY(begin(args, &c));
  mynah_status status = mynah_policy_import_lerobot(args->positional[1], &p, &w);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s", args->positional[1]);
  status = mynah_policy_save(p, w, c.out);
  if (status == MYNAH_OK) {
    tool_say("%s: %s with %lld parameters, chunk %lld", c.out, p->type->name, (long long)mynah_weights_n_parameters(w),
             (long long)p->common.chunk);
    mynah_json_set(result, "policy", mynah_json_string(c.out));
    mynah_json_set(result, "type", mynah_json_string(p->type->name));
    mynah_json_set(result, "parameters", mynah_json_integer(mynah_weights_n_parameters(w)));
    mynah_json_set(result, "chunk", mynah_json_integer(p->common.chunk));
  }
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  return status;
}

static mynah_status export(const tool_args *args, mynah_json *result) {
  exchange_config c;
  mynah_policy *p;
  mynah_weights *w;
  MYNAH_TRY(begin(args, &c));
  MYNAH_TRY(mynah_policy_load(args->positional[1], &p, &w));
  mynah_status status = mynah_policy_export_lerobot(p, w, c.out);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s", args->positional[1]);
  tool_say("%s: written for LeRobot", c.out);
  mynah_json_set(result, "folder", mynah_json_string(c.out));
  return MYNAH_OK;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &exchange_table;
  return 1;
}

const tool_command tool_import_policy = {"import-policy", "import-policy lerobot FOLDER out=POLICY.safetensors",
                                         "read a LeRobot checkpoint (ACT, Diffusion; old and new layout)", import, tables};
const tool_command tool_export_policy = {"export-policy", "export-policy lerobot POLICY.safetensors out=FOLDER",
                                         "write a policy as a LeRobot checkpoint", export, tables};
