/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* JSON text: what is accepted must come back the same after writing and reading again. */
#include "fuzz.h"

#include <mynah/base.h>

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah_json *j, *again;
  mynah_str first = {0}, second = {0};
  mynah_feature feature;
  if (mynah_json_parse((const char *)data, size, &j) != MYNAH_OK) return 0;
  FUZZ_CHECK(mynah_json_dump(j, 2, &first) == MYNAH_OK);
  FUZZ_CHECK(mynah_json_parse(first.data, first.length, &again) == MYNAH_OK);
  FUZZ_CHECK(mynah_json_dump(again, 2, &second) == MYNAH_OK);
  FUZZ_CHECK(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
  if (mynah_feature_from_json("action", j, &feature) == MYNAH_OK) FUZZ_CHECK(mynah_feature_check(&feature) == MYNAH_OK);
  mynah_json_destroy(j);
  mynah_json_destroy(again);
  mynah_str_deinit(&first);
  mynah_str_deinit(&second);
  return 0;
}
