/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the tests of ONNX share: making files byte by byte. */
#ifndef MYNAH_ONNX_CASE_H
#define MYNAH_ONNX_CASE_H

#include <mynah/onnx.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static inline void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

/* ---- making files
 * ----------------------------------------------------------------------------------------------------- */

static inline void put_varint(mynah_str *s, uint64_t v) {
  for (; v > 127; v >>= 7) mynah_str_append(s, &(uint8_t){(uint8_t)(v | 128)}, 1);
  mynah_str_append(s, &(uint8_t){(uint8_t)v}, 1);
}
static inline void put_number(mynah_str *s, int field, uint64_t v) {
  put_varint(s, (uint64_t)field << 3);
  put_varint(s, v);
}
static inline void put_bytes(mynah_str *s, int field, const void *bytes, size_t n) {
  put_varint(s, (uint64_t)field << 3 | 2);
  put_varint(s, n);
  mynah_str_append(s, bytes, n);
}
/* Puts the message and forgets it. */
static inline void put_message(mynah_str *s, int field, mynah_str *message) {
  put_bytes(s, field, mynah_str_text(message), message->length);
  mynah_str_deinit(message);
}

static inline mynah_str tensor(const char *name, int type, const int64_t *dims, int n_dims, const void *raw,
                               size_t bytes) {
  mynah_str t = {0};
  for (int i = 0; i < n_dims; i++) put_number(&t, 1, (uint64_t)dims[i]);
  put_number(&t, 2, (uint64_t)type);
  put_bytes(&t, 8, name, strlen(name));
  if (raw) put_bytes(&t, 9, raw, bytes);
  return t;
}

/* A model with one node and the tensor. */
static inline mynah_str model_of(mynah_str *t) {
  mynah_str node = {0}, graph = {0}, model = {0};
  put_bytes(&node, 4, "Conv", 4);
  put_message(&graph, 1, &node);
  put_message(&graph, 5, t);
  put_message(&model, 7, &graph);
  return model;
}

static inline mynah_status parse(mynah_str *model, mynah_onnx **out) {
  mynah_status status = mynah_onnx_parse(mynah_str_text(model), model->length, out);
  mynah_str_deinit(model);
  return status;
}

#endif
