/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading ONNX: a reader of protocol buffers' wire format that goes as deep as the parts we need and no deeper.
 * Source: onnx.proto of the ONNX project (field numbers below), the encoding page of protocol buffers.
 *
 * Files come from strangers: every length is checked against what encloses it, every count has a ceiling, and weights are
 * allocated only when the file really holds as many bytes. There is no recursion: subgraphs are not entered. */
#include "perceive_internal.h"

#include <inttypes.h>
#include <string.h>

#define TENSORS_MAX 65536
#define PORTS_MAX 1024
#define NOTES_MAX 1024
#define NODES_MAX 1000000
#define TEXT_MAX ((size_t)1 << 20)

/* Field numbers, message by message. */
enum { MODEL_GRAPH = 7, MODEL_METADATA = 14 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4, TENSOR_NAME = 8, TENSOR_RAW = 9, TENSOR_DOUBLES = 10,
       TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_TYPE_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1 };
enum { NOTE_KEY = 1, NOTE_VALUE = 2 };
/* TensorProto.DataType */
enum { TYPE_FLOAT = 1, TYPE_FLOAT16 = 10, TYPE_DOUBLE = 11 };

/* ---- the wire format ------------------------------------------------------------------------------------------------ */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct span {
  const uint8_t *at, *end;
} span;
static size_t span_size(span s) { return (size_t)(s.end - s.at); }

typedef struct field {
  uint64_t number;
  int wire;
  uint64_t value; /* of a varint */
  span bytes;     /* of everything else */
} field;

static mynah_status damaged(const char *what) { return mynah_fail(MYNAH_CORRUPT, "onnx: %s", what); }

static mynah_status read_varint(span *s, uint64_t *out) {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (s->at == s->end) return damaged("a number is cut off");
    uint8_t byte = *s->at++;
    v |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) {
      *out = v;
      return MYNAH_OK;
    }
  }
  return damaged("a number is too long");
}

/* The next field; wire -1 at the end. */
static mynah_status next_field(span *s, field *f) {
  uint64_t key = 0, n = 0;
  *f = (field){.wire = -1};
  if (s->at == s->end) return MYNAH_OK;
  MYNAH_TRY(read_varint(s, &key));
  f->number = key >> 3;
  f->wire = (int)(key & 7);
  if (f->number == 0) return damaged("a field has the number 0");
  switch (f->wire) {
  case WIRE_VARINT: return read_varint(s, &f->value);
  case WIRE_BYTES: MYNAH_TRY(read_varint(s, &n)); break;
  case WIRE_64: n = 8; break;
  case WIRE_32: n = 4; break;
  default: return damaged("a field has an unknown type");
  }
  if (n > span_size(*s)) return damaged("a field is longer than what holds it");
  f->bytes = (span){s->at, s->at + n};
  s->at += n;
  return MYNAH_OK;
}

/* What to do with each field of a message. */
typedef mynah_status (*field_fn)(void *context, const field *f);
static mynah_status each_field(span message, field_fn fn, void *context) {
  for (;;) {
    field f;
    MYNAH_TRY(next_field(&message, &f));
    if (f.wire < 0) return MYNAH_OK;
    MYNAH_TRY(fn(context, &f));
  }
}

static bool is_bytes(const field *f, uint64_t number) { return f->number == number && f->wire == WIRE_BYTES; }

/* A text without NUL inside. Replaces what was there: the last of several fields counts. */
static mynah_status take_text(span s, char **out) {
  size_t n = span_size(s);
  if (n > TEXT_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: a text of %zu bytes, at most %zu are read", n, TEXT_MAX);
  if (memchr(s.at, 0, n)) return damaged("a text has a NUL inside");
  char *text = mynah_alloc(n + 1);
  if (!text) return MYNAH_NO_MEMORY;
  memcpy(text, s.at, n);
  text[n] = 0;
  mynah_free(*out);
  *out = text;
  return MYNAH_OK;
}

/* ---- weights --------------------------------------------------------------------------------------------------------- */

typedef struct raw_tensor {
  char *name;
  mynah_shape shape;
  uint64_t type;
  span raw, floats, doubles;
  bool is_external, has_many_dims;
} raw_tensor;

static void add_dim(raw_tensor *t, uint64_t dim) {
  if (t->shape.n_dims < MYNAH_MAX_DIMS) t->shape.dims[t->shape.n_dims++] = (int64_t)dim;
  else t->has_many_dims = true;
}

static mynah_status tensor_field(void *context, const field *f) {
  raw_tensor *t = context;
  if (f->number == TENSOR_DIMS && f->wire == WIRE_VARINT) add_dim(t, f->value);
  if (f->number == TENSOR_TYPE && f->wire == WIRE_VARINT) t->type = f->value;
  if (f->number == TENSOR_LOCATION && f->wire == WIRE_VARINT) t->is_external = t->is_external || f->value != 0;
  if (is_bytes(f, TENSOR_EXTERNAL)) t->is_external = true;
  if (is_bytes(f, TENSOR_RAW)) t->raw = f->bytes;
  if (is_bytes(f, TENSOR_FLOATS)) t->floats = f->bytes;
  if (is_bytes(f, TENSOR_DOUBLES)) t->doubles = f->bytes;
  if (is_bytes(f, TENSOR_DIMS)) {
    span packed = f->bytes;
    for (uint64_t dim = 0; packed.at < packed.end && !t->has_many_dims; add_dim(t, dim)) MYNAH_TRY(read_varint(&packed, &dim));
  }
  return is_bytes(f, TENSOR_NAME) ? take_text(f->bytes, &t->name) : MYNAH_OK;
}

/* IEEE half precision. */
static float from_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023, bits;
  float out;
  if (exponent == 0) {
    out = (float)fraction * 0x1p-24f;
    return sign ? -out : out;
  }
  bits = sign | (exponent == 31 ? 0x7F800000 : (exponent + 112) << 23) | fraction << 13;
  memcpy(&out, &bits, sizeof out);
  return out;
}

static float number_at(const uint8_t *at, size_t width) {
  float f;
  double d;
  uint16_t h;
  switch (width) {
  case 2: memcpy(&h, at, sizeof h); return from_half(h);
  case 4: memcpy(&f, at, sizeof f); return f;
  default: memcpy(&d, at, sizeof d); return (float)d;
  }
}

/* The bytes of real numbers and how wide each is; width 0: another type, which nobody here needs. */
static size_t real_data(const raw_tensor *t, span *data) {
  *data = t->raw;
  if (t->type == TYPE_FLOAT16) return t->raw.at ? 2 : 0;
  if (t->type == TYPE_FLOAT && !t->raw.at) *data = t->floats;
  if (t->type == TYPE_DOUBLE && !t->raw.at) *data = t->doubles;
  return t->type == TYPE_FLOAT ? 4 : t->type == TYPE_DOUBLE ? 8 : 0;
}

static mynah_status tensor_size(const raw_tensor *t, size_t width, size_t bytes, size_t *n) {
  *n = 1;
  for (int i = 0; i < t->shape.n_dims; i++)
    if (t->shape.dims[i] < 0 || !mynah_mul_size(*n, (size_t)t->shape.dims[i], n)) return damaged("a tensor's shape is too large");
  if (*n > SIZE_MAX / 8 || *n * width != bytes)
    return mynah_fail(MYNAH_CORRUPT, "onnx: tensor '%.64s': %zu numbers of %zu bytes do not fit %zu bytes", t->name ? t->name : "", *n,
                      width, bytes);
  return MYNAH_OK;
}

/* Keeps a tensor of real numbers as float32; takes over its name. */
static mynah_status keep_tensor(mynah__onnx *o, raw_tensor *t) {
  span data;
  size_t n, width = real_data(t, &data);
  if (t->is_external)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: tensor '%.64s' lies in another file: export with the weights inside",
                      t->name ? t->name : "");
  if (!width || !t->name) return MYNAH_OK;
  if (t->has_many_dims) return mynah_fail(MYNAH_UNSUPPORTED, "onnx: tensor '%.64s' has over %d dimensions", t->name, MYNAH_MAX_DIMS);
  MYNAH_TRY(tensor_size(t, width, span_size(data), &n));
  if (o->n_tensors >= TENSORS_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d tensors", TENSORS_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->tensors, &o->cap_tensors, o->n_tensors + 1, sizeof *o->tensors));
  float *values = mynah_calloc(n + 1, sizeof *values);
  if (!values) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < n; i++) values[i] = number_at(data.at + i * width, width);
  o->tensors[o->n_tensors++] = (mynah_safetensor){t->name, MYNAH_F32, t->shape, values, n * sizeof *values};
  t->name = NULL;
  return MYNAH_OK;
}

static mynah_status add_tensor(mynah__onnx *o, span message) {
  raw_tensor t = {0};
  mynah_status status = each_field(message, tensor_field, &t);
  if (status == MYNAH_OK) status = keep_tensor(o, &t);
  mynah_free(t.name);
  return status;
}

/* ---- ports and notes --------------------------------------------------------------------------------------------------- */

static mynah_status dim_field(void *context, const field *f) {
  int64_t *dim = context;
  if (f->number == DIM_VALUE && f->wire == WIRE_VARINT) *dim = f->value <= INT32_MAX ? (int64_t)f->value : -1;
  return MYNAH_OK;
}

static mynah_status shape_field(void *context, const field *f) {
  mynah_shape *s = context;
  int64_t dim = -1;
  if (!is_bytes(f, SHAPE_DIM)) return MYNAH_OK;
  MYNAH_TRY(each_field(f->bytes, dim_field, &dim));
  if (s->n_dims < MYNAH_MAX_DIMS) s->dims[s->n_dims++] = dim;
  return MYNAH_OK;
}

static mynah_status tensor_type_field(void *context, const field *f) {
  return is_bytes(f, TENSOR_TYPE_SHAPE) ? each_field(f->bytes, shape_field, context) : MYNAH_OK;
}

static mynah_status type_field(void *context, const field *f) {
  return is_bytes(f, TYPE_TENSOR) ? each_field(f->bytes, tensor_type_field, context) : MYNAH_OK;
}

static mynah_status port_field(void *context, const field *f) {
  mynah__onnx_port *p = context;
  if (is_bytes(f, VALUE_NAME)) return take_text(f->bytes, &p->name);
  return is_bytes(f, VALUE_TYPE) ? each_field(f->bytes, type_field, &p->shape) : MYNAH_OK;
}

static mynah_status add_port(mynah__onnx_port **ports, size_t *n, size_t *capacity, span message) {
  if (*n >= PORTS_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d inputs or outputs", PORTS_MAX);
  MYNAH_TRY(mynah_grow((void **)ports, capacity, *n + 1, sizeof **ports));
  mynah__onnx_port *p = &(*ports)[(*n)++];
  *p = (mynah__onnx_port){0};
  return each_field(message, port_field, p);
}

static mynah_status note_field(void *context, const field *f) {
  mynah__onnx_note *note = context;
  if (is_bytes(f, NOTE_KEY)) return take_text(f->bytes, &note->key);
  return is_bytes(f, NOTE_VALUE) ? take_text(f->bytes, &note->value) : MYNAH_OK;
}

static mynah_status add_note(mynah__onnx *o, span message) {
  if (o->n_notes >= NOTES_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d notes in the metadata", NOTES_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->notes, &o->cap_notes, o->n_notes + 1, sizeof *o->notes));
  mynah__onnx_note *note = &o->notes[o->n_notes++];
  *note = (mynah__onnx_note){0};
  return each_field(message, note_field, note);
}

const char *mynah__onnx_note_of(const mynah__onnx *o, const char *key) {
  for (size_t i = 0; i < o->n_notes; i++)
    if (o->notes[i].key && strcmp(o->notes[i].key, key) == 0) return o->notes[i].value;
  return NULL;
}

/* ---- the file ---------------------------------------------------------------------------------------------------------- */

static mynah_status graph_field(void *context, const field *f) {
  mynah__onnx *o = context;
  if (is_bytes(f, GRAPH_NODE) && ++o->n_nodes > NODES_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d nodes", NODES_MAX);
  if (is_bytes(f, GRAPH_INITIALIZER)) return add_tensor(o, f->bytes);
  if (is_bytes(f, GRAPH_INPUT)) return add_port(&o->inputs, &o->n_inputs, &o->cap_inputs, f->bytes);
  if (is_bytes(f, GRAPH_OUTPUT)) return add_port(&o->outputs, &o->n_outputs, &o->cap_outputs, f->bytes);
  return MYNAH_OK;
}

static mynah_status model_field(void *context, const field *f) {
  if (is_bytes(f, MODEL_GRAPH)) return each_field(f->bytes, graph_field, context);
  return is_bytes(f, MODEL_METADATA) ? add_note(context, f->bytes) : MYNAH_OK;
}

mynah_status mynah__onnx_parse(const void *data, size_t size, mynah__onnx **out) {
  mynah__onnx *o = mynah_calloc(1, sizeof *o);
  if (!o) return MYNAH_NO_MEMORY;
  mynah_status status = MYNAH_OK;
  if (size) status = each_field((span){data, (const uint8_t *)data + size}, model_field, o);
  if (status == MYNAH_OK && o->n_nodes == 0) status = damaged("the file holds no graph: is it an ONNX file?");
  if (status != MYNAH_OK) {
    mynah__onnx_destroy(o);
    return status;
  }
  *out = o;
  return MYNAH_OK;
}

static void free_ports(mynah__onnx_port *ports, size_t n) {
  for (size_t i = 0; i < n; i++) mynah_free(ports[i].name);
  mynah_free(ports);
}

void mynah__onnx_destroy(mynah__onnx *o) {
  if (!o) return;
  for (size_t i = 0; i < o->n_tensors; i++) {
    mynah_free((void *)(uintptr_t)o->tensors[i].name);
    mynah_free((void *)(uintptr_t)o->tensors[i].data);
  }
  for (size_t i = 0; i < o->n_notes; i++) {
    mynah_free(o->notes[i].key);
    mynah_free(o->notes[i].value);
  }
  free_ports(o->inputs, o->n_inputs);
  free_ports(o->outputs, o->n_outputs);
  mynah_free(o->tensors);
  mynah_free(o->notes);
  mynah_free(o);
}
