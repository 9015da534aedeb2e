/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Between a policy's features and the keys of a message, both ways. */
#ifndef MYNAH_SERVE_OBSERVATION_H
#define MYNAH_SERVE_OBSERVATION_H

#include "msgpack.h"

#include <mynah/policy.h>

/* What feature i is called in messages, and where its value is kept. */
typedef struct mynah__slot {
  char key[MYNAH_NAME_MAX];
  void *value;   /* mynah_feature_bytes */
  uint8_t *sent; /* a picture in the size it is sent in; NULL: its own */
} mynah__slot;
enum { MYNAH__IMAGES_ANY, MYNAH__IMAGES_HWC, MYNAH__IMAGES_CHW };
typedef struct mynah__observation {
  const mynah_feature *features;
  int n;
  int images;     /* how pictures lie in messages: MYNAH__IMAGES_; what is written is HWC unless it says CHW */
  bool is_padded; /* pictures of another shape keep their proportions between black bars; else they are stretched */
  int side;       /* px: pictures are written as squares, padded; 0: as they are */
  const char *prompt; /* written beside; NULL or "": none */
  mynah__slot slots[MYNAH_POLICY_INPUTS_MAX];
} mynah__observation;
/* keys: "FEATURE:KEY,…"; a feature that is not in it keeps its name. Fails: INVALID, NOT_FOUND, NO_MEMORY. */
mynah_status mynah__observation_init(mynah__observation *o, const mynah_feature *features, int n, const char *keys);
void mynah__observation_deinit(mynah__observation *o);
/* Makes room for pictures that are written in another size, once side is set. Fails: NO_MEMORY. */
mynah_status mynah__observation_prepare(mynah__observation *o);
/* Takes every feature out of a message: vectors of any dtype, pictures (H,W,3) or (3,H,W), bytes or floats in 0 … 1, brought to the
 * feature's size. A key a.b is also found as a/b. Fails: NOT_FOUND, MISMATCH, NONFINITE. Shape: values (n) */
mynah_status mynah__observation_read(mynah__observation *o, const mynah__message *m, mynah_value *values);
/* A message of all features; those called a>b lie in a map a. Fails: NO_MEMORY. Shape: values (n) */
mynah_status mynah__observation_write(const mynah__observation *o, const mynah_value *values, mynah_str *out);

#endif
