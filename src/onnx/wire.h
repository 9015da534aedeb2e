/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Protocol buffers' wire format, as deep as ONNX needs it: a message is walked field by field, without recursion of its
 * own. Source: the encoding page of protocol buffers. */
#ifndef MYNAH_ONNX_WIRE_H
#define MYNAH_ONNX_WIRE_H

#include <mynah/base.h>

enum { MYNAH__WIRE_VARINT = 0, MYNAH__WIRE_64 = 1, MYNAH__WIRE_BYTES = 2, MYNAH__WIRE_32 = 5 };

typedef struct mynah__span {
  const uint8_t *at, *end;
} mynah__span;
static inline size_t mynah__span_size(mynah__span s) { return (size_t)(s.end - s.at); }

typedef struct mynah__field {
  uint64_t number;
  int wire;
  uint64_t value;    /* of a varint */
  mynah__span bytes; /* of everything else */
  mynah__span whole; /* with its key, to be copied as it is */
} mynah__field;

mynah_status mynah__onnx_damaged(const char *what);
MYNAH_CHECKED mynah_status mynah__wire_varint(mynah__span *s, uint64_t *out);
/* The next field; wire -1 at the end. Fails: CORRUPT. */
MYNAH_CHECKED mynah_status mynah__wire_next(mynah__span *s, mynah__field *f);
/* What to do with each field of a message. */
typedef mynah_status (*mynah__field_fn)(void *context, const mynah__field *f);
MYNAH_CHECKED mynah_status mynah__wire_each(mynah__span message, mynah__field_fn fn, void *context);
static inline bool mynah__is_bytes(const mynah__field *f, uint64_t number) {
  return f->number == number && f->wire == MYNAH__WIRE_BYTES;
}
static inline bool mynah__is_number(const mynah__field *f, uint64_t number) {
  return f->number == number && f->wire == MYNAH__WIRE_VARINT;
}
/* A text without NUL inside. Replaces what was there: the last of several fields counts. */
MYNAH_CHECKED mynah_status mynah__wire_text(mynah__span s, char **out);
/* Appends a field of bytes, or of a number. */
void mynah__wire_put(mynah_str *out, int number, const void *bytes, size_t n);
void mynah__wire_put_number(mynah_str *out, int number, uint64_t value);

/* Field numbers, message by message (onnx.proto of the ONNX project). */
enum { MODEL_VERSION = 1, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_METADATA = 14 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum {
  ATTRIBUTE_NAME = 1,
  ATTRIBUTE_FLOAT = 2,
  ATTRIBUTE_INT = 3,
  ATTRIBUTE_TEXT = 4,
  ATTRIBUTE_TENSOR = 5,
  ATTRIBUTE_FLOATS = 7,
  ATTRIBUTE_INTS = 8
};
enum {
  TENSOR_DIMS = 1,
  TENSOR_TYPE = 2,
  TENSOR_FLOATS = 4,
  TENSOR_INT32S = 5,
  TENSOR_INT64S = 7,
  TENSOR_NAME = 8,
  TENSOR_RAW = 9,
  TENSOR_DOUBLES = 10,
  TENSOR_EXTERNAL = 13,
  TENSOR_LOCATION = 14
};
enum {
  VALUE_NAME = 1,
  VALUE_TYPE = 2,
  TYPE_TENSOR = 1,
  TENSOR_TYPE_ELEMENT = 1,
  TENSOR_TYPE_SHAPE = 2,
  SHAPE_DIM = 1,
  DIM_VALUE = 1
};
enum { NOTE_KEY = 1, NOTE_VALUE = 2 };
/* TensorProto.DataType */
enum {
  TYPE_FLOAT = 1,
  TYPE_UINT8 = 2,
  TYPE_INT8 = 3,
  TYPE_INT16 = 5,
  TYPE_INT32 = 6,
  TYPE_INT64 = 7,
  TYPE_BOOL = 9,
  TYPE_FLOAT16 = 10,
  TYPE_DOUBLE = 11
};

#endif
