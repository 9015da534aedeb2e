/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah selfcheck: does a policy file still predict what it did when it was saved? */
#include "tool.h"

static mynah_status run(const tool_args *args, mynah_json *result) {
  mynah_clone *c;
  mynah_selfcheck check;
  if (args->n_positional != 1 || args->n_settings > 0) return tool_usage_error("name one policy file");
  MYNAH_TRY(mynah_clone_load(args->positional[0], &c));
  mynah_status status = mynah_clone_selfcheck(c, &check);
  mynah_clone_destroy(c);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s", args->positional[0]);
  tool_say("%s: predicts what it did when it was saved: %lld numbers, largest error %.3g of the range (%.3g allowed)",
           args->positional[0], (long long)check.n_actions, check.error, MYNAH_SELFCHECK_MAX);
  mynah_json_set(result, "policy", mynah_json_string(args->positional[0]));
  mynah_json_set(result, "numbers", mynah_json_integer(check.n_actions));
  mynah_json_set(result, "error", mynah_json_number(check.error));
  mynah_json_set(result, "allowed", mynah_json_number(MYNAH_SELFCHECK_MAX));
  return MYNAH_OK;
}

const tool_command tool_selfcheck = {"selfcheck", "selfcheck POLICY.safetensors",
                                     "check that a policy predicts what it did when it was saved", run, NULL};
