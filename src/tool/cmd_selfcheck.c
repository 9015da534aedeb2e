/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah selfcheck: does a policy or a detector still say what it did when its file was saved? */
#include "tool.h"

#include <stdio.h>
#include <string.h>

/* True when the file's own description says that it is a detector. */
static mynah_status is_detector(const char *path, bool *out) {
  mynah_safetensors *f;
  mynah_json *j;
  MYNAH_TRY(mynah_safetensors_open(path, &f));
  const char *text = mynah_safetensors_metadata(f, "mynah");
  *out = false;
  if (text && mynah_json_parse(text, strlen(text), &j) == MYNAH_OK) {
    *out = mynah_json_get(j, "detector") != NULL;
    mynah_json_destroy(j);
  }
  mynah_safetensors_close(f);
  return MYNAH_OK;
}

static mynah_status check_detector(const char *path, mynah_json *result) {
  mynah_detector *d;
  mynah_detector_check check;
  MYNAH_TRY(mynah_detector_load(path, &d));
  mynah_status status = mynah_detector_selfcheck(d, &check);
  mynah_detector_destroy(d);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s", path);
  tool_say("%s: sees what it did when it was saved: %lld numbers, boxes off by %.3g px (%.3g allowed), scores by %.3g (%.3g)", path,
           (long long)check.n_numbers, check.error_px, MYNAH_DETECTOR_ERROR_PX, check.error_score, MYNAH_DETECTOR_ERROR_SCORE);
  mynah_json_set(result, "detector", mynah_json_string(path));
  mynah_json_set(result, "numbers", mynah_json_integer(check.n_numbers));
  mynah_json_set(result, "error_px", mynah_json_number(check.error_px));
  mynah_json_set(result, "error_score", mynah_json_number(check.error_score));
  return MYNAH_OK;
}

static mynah_status check_policy(const char *path, mynah_json *result) {
  mynah_clone *c;
  mynah_selfcheck check;
  char version[65];
  MYNAH_TRY(mynah_clone_load(path, &c));
  mynah_status status = mynah_clone_selfcheck(c, &check);
  if (status == MYNAH_OK) status = mynah_clone_verify(c);
  snprintf(version, sizeof version, "%s", mynah_clone_policy(c)->dataset_hash);
  mynah_clone_destroy(c);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s", path);
  tool_say("%s: predicts what it did when it was saved: %lld numbers, largest error %.3g of the range (%.3g allowed)", path,
           (long long)check.n_actions, check.error, MYNAH_SELFCHECK_MAX);
  if (version[0]) tool_say("  trained on version %.12s of its dataset ('mynah data diff %s X.demos' compares)", version, path);
  mynah_json_set(result, "version", version[0] ? mynah_json_string(version) : mynah_json_null());
  mynah_json_set(result, "policy", mynah_json_string(path));
  mynah_json_set(result, "numbers", mynah_json_integer(check.n_actions));
  mynah_json_set(result, "error", mynah_json_number(check.error));
  mynah_json_set(result, "allowed", mynah_json_number(MYNAH_SELFCHECK_MAX));
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  if (args->n_positional != 1 || args->n_settings > 0) return tool_usage_error("name one policy or detector file");
  const char *path = args->positional[0];
  bool has_eyes;
  MYNAH_TRY(is_detector(path, &has_eyes));
  return (has_eyes ? check_detector : check_policy)(path, result);
}

const tool_command tool_selfcheck = {"selfcheck", "selfcheck FILE.safetensors",
                                     "check that a policy or detector says what it did when it was saved", run, NULL};
