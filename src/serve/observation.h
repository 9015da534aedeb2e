/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Between a policy's features and the keys of a message, both ways. */
#ifndef MYNAH_SERVE_OBSERVATION_H
#define MYNAH_SERVE_OBSERVATION_H

#include "msgpack.h"

#include <mynah/policy.h>

/* What feature i is called in messages, and where its value is kept. */
typedef struct mynah__slot {
  char key[MYNAH_NAME_MAX];
  void *value; /* mynah_feature_bytes */
} mynah__slot;
typedef struct mynah__observation {
  const mynah_feature *features;
  int n;
  mynah__slot slots[MYNAH_POLICY_INPUTS_MAX];
} mynah__observation;
/* keys: "FEATURE:KEY,…"; a feature that is not in it keeps its name. Fails: INVALID, NOT_FOUND, NO_MEMORY. */
mynah_status mynah__observation_init(mynah__observation *o, const mynah_feature *features, int n, const char *keys);
void mynah__observation_deinit(mynah__observation *o);
/* Takes every feature out of a message: vectors of any dtype, pictures (H,W,3) or (3,H,W), bytes or floats in 0 … 1, brought to the
 * feature's size. A key a.b is also found as a/b. Fails: NOT_FOUND, MISMATCH, NONFINITE. Shape: values (n) */
mynah_status mynah__observation_read(mynah__observation *o, const mynah__message *m, mynah_value *values);
/* A message of all features. Shape: values (n) */
void mynah__observation_write(const mynah__observation *o, const mynah_value *values, mynah_str *out);

#endif
