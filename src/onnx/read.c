/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading ONNX: weights, nodes with their attributes, ports and metadata.
 *
 * Files come from strangers: every count has a ceiling, and weights are allocated only when the file really holds as
 * many bytes. There is no recursion: subgraphs are not entered. */
#include "onnx_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TENSORS_MAX 65536
#define PORTS_MAX 1024
#define NOTES_MAX 1024
#define NODES_MAX 65536
#define LINKS_MAX 1048576
#define NUMBERS_MAX 1048576
#define FILE_MAX ((size_t)1 << 31)

/* ---- values by name -------------------------------------------------------------------------------------------------
 */

static uint64_t hash_of(const char *name) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (; *name; name++) h = (h ^ (uint8_t)*name) * 1099511628211u;
  return h;
}

static size_t place_of(const mynah_onnx *o, const char *name) {
  size_t at = (size_t)hash_of(name) & (o->n_table - 1);
  while (o->table[at] >= 0 && strcmp(o->values[o->table[at]].name, name) != 0) at = (at + 1) & (o->n_table - 1);
  return at;
}

int mynah__onnx_find(const mynah_onnx *o, const char *name) { return o->n_table ? o->table[place_of(o, name)] : -1; }

/* Twice as large, with all values in it again. */
static mynah_status widen_table(mynah_onnx *o) {
  size_t n = o->n_table ? 2 * o->n_table : 1024;
  int *table = mynah_alloc(n * sizeof *table);
  if (!table) return MYNAH_NO_MEMORY;
  mynah_free(o->table);
  o->table = table;
  o->n_table = n;
  for (size_t i = 0; i < n; i++) table[i] = -1;
  for (size_t i = 0; i < o->n_values; i++) table[place_of(o, o->values[i].name)] = (int)i;
  return MYNAH_OK;
}

/* The value of that name, new if need be. name: its own, taken over. */
static mynah_status value_of(mynah_onnx *o, char *name, int *out) {
  if (2 * (o->n_values + 1) > o->n_table) {
    mynah_status status = widen_table(o);
    if (status != MYNAH_OK) {
      mynah_free(name);
      return status;
    }
  }
  size_t place = place_of(o, name);
  *out = o->table[place];
  if (*out >= 0) {
    mynah_free(name);
    return MYNAH_OK;
  }
  mynah_status status = mynah_grow((void **)&o->values, &o->cap_values, o->n_values + 1, sizeof *o->values);
  if (status != MYNAH_OK) {
    mynah_free(name);
    return status;
  }
  *out = o->table[place] = (int)o->n_values;
  o->values[o->n_values++] = (mynah__onnx_value){name, -1};
  return MYNAH_OK;
}

/* ---- tensors
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct raw_tensor {
  char *name;
  mynah_shape shape;
  uint64_t type;
  mynah__span raw, floats, doubles, int32s, int64s; /* packed */
  mynah_str loose;                                  /* whole numbers that came one by one, as double */
  bool is_external, has_many_dims;
} raw_tensor;

static void add_dim(raw_tensor *t, uint64_t dim) {
  if (t->shape.n_dims < MYNAH_MAX_DIMS) t->shape.dims[t->shape.n_dims++] = (int64_t)dim;
  else t->has_many_dims = true;
}

static double whole(uint64_t bits) {
  int64_t v = (int64_t)bits;
  return (double)(v > MYNAH__ONNX_LARGEST ? MYNAH__ONNX_LARGEST : v < -MYNAH__ONNX_LARGEST ? -MYNAH__ONNX_LARGEST : v);
}

static mynah_status tensor_field(void *context, const mynah__field *f) {
  raw_tensor *t = context;
  if (mynah__is_number(f, TENSOR_DIMS)) add_dim(t, f->value);
  if (mynah__is_number(f, TENSOR_TYPE)) t->type = f->value;
  if (mynah__is_number(f, TENSOR_LOCATION)) t->is_external = t->is_external || f->value != 0;
  if (mynah__is_number(f, TENSOR_INT32S) || mynah__is_number(f, TENSOR_INT64S)) {
    double number = whole(f->value);
    mynah_str_append(&t->loose, &number, sizeof number);
  }
  if (mynah__is_bytes(f, TENSOR_EXTERNAL)) t->is_external = true;
  if (mynah__is_bytes(f, TENSOR_RAW)) t->raw = f->bytes;
  if (mynah__is_bytes(f, TENSOR_FLOATS)) t->floats = f->bytes;
  if (mynah__is_bytes(f, TENSOR_DOUBLES)) t->doubles = f->bytes;
  if (mynah__is_bytes(f, TENSOR_INT32S)) t->int32s = f->bytes;
  if (mynah__is_bytes(f, TENSOR_INT64S)) t->int64s = f->bytes;
  if (mynah__is_bytes(f, TENSOR_DIMS)) {
    mynah__span packed = f->bytes;
    for (uint64_t dim = 0; packed.at < packed.end && !t->has_many_dims; add_dim(t, dim))
      MYNAH_TRY(mynah__wire_varint(&packed, &dim));
  }
  return mynah__is_bytes(f, TENSOR_NAME) ? mynah__wire_text(f->bytes, &t->name) : MYNAH_OK;
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

static float real_at(const uint8_t *at, size_t width) {
  float f;
  double d;
  uint16_t h;
  switch (width) {
  case 2: memcpy(&h, at, sizeof h); return from_half(h);
  case 4: memcpy(&f, at, sizeof f); return f;
  default: memcpy(&d, at, sizeof d); return (float)d;
  }
}

static double whole_at(const uint8_t *at, uint64_t type) {
  int64_t v64;
  int32_t v32;
  int16_t v16;
  switch (type) {
  case TYPE_INT64: memcpy(&v64, at, sizeof v64); return whole((uint64_t)v64);
  case TYPE_INT32: memcpy(&v32, at, sizeof v32); return v32;
  case TYPE_INT16: memcpy(&v16, at, sizeof v16); return v16;
  case TYPE_INT8: return (int8_t)*at;
  default: return *at;
  }
}

/* Bytes of an element in raw data; 0: a type that nobody here needs. */
static size_t width_of(uint64_t type) {
  switch (type) {
  case TYPE_FLOAT:
  case TYPE_INT32: return 4;
  case TYPE_DOUBLE:
  case TYPE_INT64: return 8;
  case TYPE_FLOAT16:
  case TYPE_INT16: return 2;
  case TYPE_INT8:
  case TYPE_UINT8:
  case TYPE_BOOL: return 1;
  default: return 0;
  }
}
static bool is_real_type(uint64_t type) { return type == TYPE_FLOAT || type == TYPE_FLOAT16 || type == TYPE_DOUBLE; }

static mynah_status wrong_size(const raw_tensor *t, int64_t n, size_t bytes) {
  return mynah_fail(MYNAH_CORRUPT, "onnx: tensor '%.64s': %lld numbers do not fit %zu bytes", t->name ? t->name : "",
                    (long long)n, bytes);
}

static mynah_status tensor_count(const raw_tensor *t, int64_t *n) {
  size_t product = 1;
  for (int i = 0; i < t->shape.n_dims; i++)
    if (t->shape.dims[i] < 0 || !mynah_mul_size(product, (size_t)t->shape.dims[i], &product))
      return mynah__onnx_damaged("a tensor's shape is too large");
  if (product > (size_t)MYNAH__ONNX_VALUE_MAX) return mynah__onnx_damaged("a tensor's shape is too large");
  *n = (int64_t)product;
  return MYNAH_OK;
}

static mynah_status read_reals(const raw_tensor *t, mynah__onnx_tensor *out) {
  mynah__span data = t->raw.at                ? t->raw
                     : t->type == TYPE_FLOAT  ? t->floats
                     : t->type == TYPE_DOUBLE ? t->doubles
                                              : t->raw;
  size_t width = width_of(t->type);
  bool is_halves = t->type == TYPE_FLOAT16 && !t->raw.at && t->int32s.at; /* each in a varint */
  if (!data.at && !is_halves && out->n > 0) return MYNAH_OK;              /* left out */
  if (!is_halves && (size_t)out->n * width != mynah__span_size(data))
    return wrong_size(t, out->n, mynah__span_size(data));
  if (is_halves && (size_t)out->n > mynah__span_size(t->int32s))
    return wrong_size(t, out->n, mynah__span_size(t->int32s));
  out->floats = mynah_calloc((size_t)out->n + 1, sizeof *out->floats);
  if (!out->floats) return MYNAH_NO_MEMORY;
  mynah__span packed = t->int32s;
  for (int64_t i = 0; i < out->n; i++) {
    uint64_t half = 0;
    if (is_halves) MYNAH_TRY(mynah__wire_varint(&packed, &half));
    out->floats[i] = is_halves ? from_half((uint16_t)half) : real_at(data.at + (size_t)i * width, width);
    out->is_infinite = out->is_infinite || !isfinite(out->floats[i]);
  }
  return MYNAH_OK;
}

static mynah_status read_wholes(const raw_tensor *t, mynah__onnx_tensor *out) {
  mynah__span packed = t->type == TYPE_INT64 ? t->int64s : t->int32s;
  size_t width = width_of(t->type), n_loose = t->loose.length / sizeof(double);
  size_t bytes = t->raw.at ? mynah__span_size(t->raw) : mynah__span_size(packed);
  bool fits = t->raw.at ? (size_t)out->n * width == bytes : (size_t)out->n <= bytes + n_loose;
  if (t->loose.is_failed) return MYNAH_NO_MEMORY;
  if (!fits) return wrong_size(t, out->n, bytes);
  out->wholes = mynah_calloc((size_t)out->n + 1, sizeof *out->wholes);
  if (!out->wholes) return MYNAH_NO_MEMORY;
  if (!t->raw.at && n_loose == (size_t)out->n && out->n > 0) {
    memcpy(out->wholes, t->loose.data, t->loose.length);
    return MYNAH_OK;
  }
  for (int64_t i = 0; i < out->n; i++) {
    uint64_t v = 0;
    if (!t->raw.at) MYNAH_TRY(mynah__wire_varint(&packed, &v));
    out->wholes[i] = t->raw.at ? whole_at(t->raw.at + (size_t)i * width, t->type) : whole(v);
  }
  return MYNAH_OK;
}

/* Weights' names are limited; a longer one keeps its beginning and gets a hash of all of it. */
static void shorten(char *name) {
  size_t n = strlen(name);
  if (n < MYNAH_NAME_MAX) return;
  static const char digits[] = "0123456789abcdef";
  uint64_t h = hash_of(name);
  name[MYNAH_NAME_MAX - 18] = '#';
  for (int i = 0; i < 16; i++, h >>= 4) name[MYNAH_NAME_MAX - 17 + i] = digits[h & 15];
  name[MYNAH_NAME_MAX - 1] = 0;
}

/* Keeps a tensor; takes over its name. index: -1 when it is of a type that nobody needs. */
static mynah_status keep_tensor(mynah_onnx *o, raw_tensor *t, mynah__span message, int *index) {
  mynah__onnx_tensor kept = {.shape = t->shape, .is_real = is_real_type(t->type), .message = message};
  *index = -1;
  if (t->is_external)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: tensor '%.64s' lies in another file: export with the weights inside",
                      t->name ? t->name : "");
  if (!width_of(t->type)) return MYNAH_OK;
  if (t->has_many_dims)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: tensor '%.64s' has over %d dimensions", t->name ? t->name : "",
                      MYNAH_MAX_DIMS);
  MYNAH_TRY(tensor_count(t, &kept.n));
  if (o->n_tensors >= TENSORS_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d tensors", TENSORS_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->tensors, &o->cap_tensors, o->n_tensors + 1, sizeof *o->tensors));
  mynah_status status = kept.is_real ? read_reals(t, &kept) : read_wholes(t, &kept);
  kept.name = t->name;
  t->name = NULL;
  *index = (int)o->n_tensors;
  o->tensors[o->n_tensors++] = kept;
  return status;
}

static mynah_status read_tensor(mynah_onnx *o, mynah__span message, int *index) {
  raw_tensor t = {0};
  mynah_status status = mynah__wire_each(message, tensor_field, &t);
  if (status == MYNAH_OK) status = keep_tensor(o, &t, message, index);
  mynah_free(t.name);
  mynah_str_deinit(&t.loose);
  return status;
}

static mynah_status add_initializer(mynah_onnx *o, mynah__span message) {
  int index, value;
  MYNAH_TRY(read_tensor(o, message, &index));
  if (index < 0) return MYNAH_OK;
  char *name = mynah_strdup(o->tensors[index].name ? o->tensors[index].name : "");
  if (!name) return MYNAH_NO_MEMORY;
  MYNAH_TRY(value_of(o, name, &value));
  if (o->values[value].maker != -1)
    return mynah_fail(MYNAH_CORRUPT, "onnx: '%.64s' is made twice", o->values[value].name);
  o->values[value].maker = -2 - index;
  if (o->tensors[index].name) shorten(o->tensors[index].name);
  return MYNAH_OK;
}

/* ---- nodes
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct reading {
  mynah_onnx *o;
  mynah__onnx_attribute *attribute;
  mynah__onnx_node *node;
  bool are_outputs;
} reading;

static mynah_status add_number(mynah_onnx *o, double number) {
  if (o->n_numbers >= NUMBERS_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d numbers in attributes", NUMBERS_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->numbers, &o->cap_numbers, o->n_numbers + 1, sizeof *o->numbers));
  o->numbers[o->n_numbers++] = number;
  return MYNAH_OK;
}

static double float_at(const uint8_t *at) {
  float f;
  memcpy(&f, at, sizeof f);
  return (double)f;
}

static mynah_status attribute_list(mynah_onnx *o, const mynah__field *f) {
  mynah__span packed = f->bytes;
  uint64_t v;
  if (mynah__is_number(f, ATTRIBUTE_INTS)) return add_number(o, whole(f->value));
  if (f->number == ATTRIBUTE_FLOATS && f->wire == MYNAH__WIRE_32) return add_number(o, float_at(f->bytes.at));
  if (mynah__is_bytes(f, ATTRIBUTE_INTS))
    while (packed.at < packed.end) {
      MYNAH_TRY(mynah__wire_varint(&packed, &v));
      MYNAH_TRY(add_number(o, whole(v)));
    }
  if (mynah__is_bytes(f, ATTRIBUTE_FLOATS))
    for (; mynah__span_size(packed) >= 4; packed.at += 4) MYNAH_TRY(add_number(o, float_at(packed.at)));
  return MYNAH_OK;
}

static mynah_status attribute_field(void *context, const mynah__field *f) {
  reading *r = context;
  mynah__onnx_attribute *a = r->attribute;
  if (mynah__is_bytes(f, ATTRIBUTE_NAME)) return mynah__wire_text(f->bytes, &a->name);
  if (mynah__is_bytes(f, ATTRIBUTE_TEXT)) return mynah__wire_text(f->bytes, &a->text);
  if (f->number == ATTRIBUTE_FLOAT && f->wire == MYNAH__WIRE_32) a->number = float_at(f->bytes.at);
  if (mynah__is_number(f, ATTRIBUTE_INT)) a->number = whole(f->value);
  if (mynah__is_bytes(f, ATTRIBUTE_TENSOR) && a->tensor < 0) return read_tensor(r->o, f->bytes, &a->tensor);
  return attribute_list(r->o, f);
}

static mynah_status add_attribute(reading *r, mynah__span message) {
  mynah_onnx *o = r->o;
  mynah__onnx_attribute a = {.first = o->n_numbers, .tensor = -1};
  if (o->n_attributes >= 8 * (size_t)NODES_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: too many attributes");
  MYNAH_TRY(mynah_grow((void **)&o->attributes, &o->cap_attributes, o->n_attributes + 1, sizeof *o->attributes));
  r->attribute = &a;
  mynah_status status = mynah__wire_each(message, attribute_field, r);
  a.n = o->n_numbers - a.first;
  if (a.tensor >= 0 && o->tensors[a.tensor].name) { /* an attribute's tensor is no weight */
    mynah_free(o->tensors[a.tensor].name);
    o->tensors[a.tensor].name = NULL;
  }
  o->attributes[o->n_attributes++] = a;
  r->node->n_attributes++;
  return status;
}

static mynah_status add_link(mynah_onnx *o, mynah__span text, int *value) {
  char *name = NULL;
  *value = -1;
  if (o->n_links >= LINKS_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d inputs and outputs of nodes", LINKS_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->links, &o->cap_links, o->n_links + 1, sizeof *o->links));
  MYNAH_TRY(mynah__wire_text(text, &name));
  if (name[0]) MYNAH_TRY(value_of(o, name, value));
  else mynah_free(name);
  o->links[o->n_links++] = *value;
  return MYNAH_OK;
}

static mynah_status node_link(void *context, const mynah__field *f) {
  reading *r = context;
  int value;
  if (!mynah__is_bytes(f, r->are_outputs ? NODE_OUTPUT : NODE_INPUT)) return MYNAH_OK;
  MYNAH_TRY(add_link(r->o, f->bytes, &value));
  if (!r->are_outputs) {
    r->node->n_in++;
    return MYNAH_OK;
  }
  r->node->n_out++;
  if (value < 0) return MYNAH_OK;
  if (r->o->values[value].maker != -1)
    return mynah_fail(MYNAH_CORRUPT, "onnx: '%.64s' is made twice", r->o->values[value].name);
  r->o->values[value].maker = (int)r->o->n_nodes - 1;
  return MYNAH_OK;
}

static mynah_status node_field(void *context, const mynah__field *f) {
  reading *r = context;
  if (mynah__is_bytes(f, NODE_NAME)) return mynah__wire_text(f->bytes, &r->node->name);
  if (mynah__is_bytes(f, NODE_OP)) return mynah__wire_text(f->bytes, &r->node->op);
  if (mynah__is_bytes(f, NODE_DOMAIN)) return mynah__wire_text(f->bytes, &r->node->domain);
  return mynah__is_bytes(f, NODE_ATTRIBUTE) ? add_attribute(r, f->bytes) : MYNAH_OK;
}

static mynah_status add_node(mynah_onnx *o, mynah__span message) {
  if (o->n_nodes >= NODES_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d nodes", NODES_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->nodes, &o->cap_nodes, o->n_nodes + 1, sizeof *o->nodes));
  mynah__onnx_node *n = &o->nodes[o->n_nodes++];
  *n = (mynah__onnx_node){.first_in = o->n_links, .first_attribute = o->n_attributes};
  reading r = {.o = o, .node = n};
  MYNAH_TRY(mynah__wire_each(message, node_field, &r));
  MYNAH_TRY(mynah__wire_each(message, node_link, &r));
  r.are_outputs = true;
  return mynah__wire_each(message, node_link, &r);
}

/* ---- ports and notes
 * --------------------------------------------------------------------------------------------------- */

static mynah_status dim_field(void *context, const mynah__field *f) {
  int64_t *dim = context;
  if (mynah__is_number(f, DIM_VALUE)) *dim = f->value <= INT32_MAX ? (int64_t)f->value : -1;
  return MYNAH_OK;
}

static mynah_status shape_field(void *context, const mynah__field *f) {
  mynah_shape *s = context;
  int64_t dim = -1;
  if (!mynah__is_bytes(f, SHAPE_DIM)) return MYNAH_OK;
  MYNAH_TRY(mynah__wire_each(f->bytes, dim_field, &dim));
  if (s->n_dims < MYNAH_MAX_DIMS) s->dims[s->n_dims++] = dim;
  return MYNAH_OK;
}

static mynah_status tensor_type_field(void *context, const mynah__field *f) {
  mynah_onnx_port *p = context;
  if (mynah__is_number(f, TENSOR_TYPE_ELEMENT)) {
    p->is_real = is_real_type(f->value);
    p->is_u8 = f->value == TYPE_UINT8;
  }
  return mynah__is_bytes(f, TENSOR_TYPE_SHAPE) ? mynah__wire_each(f->bytes, shape_field, &p->shape) : MYNAH_OK;
}

static mynah_status type_field(void *context, const mynah__field *f) {
  return mynah__is_bytes(f, TYPE_TENSOR) ? mynah__wire_each(f->bytes, tensor_type_field, context) : MYNAH_OK;
}

static mynah_status port_field(void *context, const mynah__field *f) {
  mynah_onnx_port *p = context;
  if (mynah__is_bytes(f, VALUE_NAME)) return mynah__wire_text(f->bytes, (char **)(uintptr_t)&p->name);
  return mynah__is_bytes(f, VALUE_TYPE) ? mynah__wire_each(f->bytes, type_field, p) : MYNAH_OK;
}

static mynah_status add_port(mynah_onnx_port **ports, size_t *n, size_t *capacity, mynah__span message) {
  if (*n >= PORTS_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d inputs or outputs", PORTS_MAX);
  MYNAH_TRY(mynah_grow((void **)ports, capacity, *n + 1, sizeof **ports));
  mynah_onnx_port *p = &(*ports)[(*n)++];
  *p = (mynah_onnx_port){0};
  MYNAH_TRY(mynah__wire_each(message, port_field, p));
  return p->name && p->name[0] ? MYNAH_OK : mynah__onnx_damaged("an input or output has no name");
}

static mynah_status note_field(void *context, const mynah__field *f) {
  mynah__onnx_note *note = context;
  if (mynah__is_bytes(f, NOTE_KEY)) return mynah__wire_text(f->bytes, &note->key);
  return mynah__is_bytes(f, NOTE_VALUE) ? mynah__wire_text(f->bytes, &note->value) : MYNAH_OK;
}

static mynah_status add_note(mynah_onnx *o, mynah__span message) {
  if (o->n_notes >= NOTES_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %d notes in the metadata", NOTES_MAX);
  MYNAH_TRY(mynah_grow((void **)&o->notes, &o->cap_notes, o->n_notes + 1, sizeof *o->notes));
  mynah__onnx_note *note = &o->notes[o->n_notes++];
  *note = (mynah__onnx_note){0};
  return mynah__wire_each(message, note_field, note);
}

const char *mynah_onnx_note(const mynah_onnx *o, const char *key) {
  for (size_t i = 0; i < o->n_notes; i++)
    if (o->notes[i].key && strcmp(o->notes[i].key, key) == 0) return o->notes[i].value;
  return NULL;
}

/* ---- the file
 * ---------------------------------------------------------------------------------------------------------- */

static mynah_status graph_field(void *context, const mynah__field *f) {
  mynah_onnx *o = context;
  if (mynah__is_bytes(f, GRAPH_NODE)) return add_node(o, f->bytes);
  if (mynah__is_bytes(f, GRAPH_INITIALIZER)) return add_initializer(o, f->bytes);
  if (mynah__is_bytes(f, GRAPH_INPUT)) return add_port(&o->inputs, &o->n_inputs, &o->cap_inputs, f->bytes);
  if (mynah__is_bytes(f, GRAPH_OUTPUT)) return add_port(&o->outputs, &o->n_outputs, &o->cap_outputs, f->bytes);
  return MYNAH_OK;
}

typedef struct opset {
  char *domain;
  int64_t version;
} opset;
static mynah_status opset_field(void *context, const mynah__field *f) {
  opset *s = context;
  if (mynah__is_number(f, OPSET_VERSION)) s->version = f->value < 1000 ? (int64_t)f->value : 1000;
  return mynah__is_bytes(f, OPSET_DOMAIN) ? mynah__wire_text(f->bytes, &s->domain) : MYNAH_OK;
}

static mynah_status model_field(void *context, const mynah__field *f) {
  mynah_onnx *o = context;
  if (mynah__is_bytes(f, MODEL_GRAPH)) return mynah__wire_each(f->bytes, graph_field, context);
  if (mynah__is_bytes(f, MODEL_OPSET)) {
    opset s = {0};
    mynah_status status = mynah__wire_each(f->bytes, opset_field, &s);
    if (status == MYNAH_OK && (!s.domain || !s.domain[0] || strcmp(s.domain, "ai.onnx") == 0)) o->opset = s.version;
    mynah_free(s.domain);
    return status;
  }
  return mynah__is_bytes(f, MODEL_METADATA) ? add_note(o, f->bytes) : MYNAH_OK;
}

/* Inputs that are weights, as old exporters list them, are left out. */
static void drop_weights(mynah_onnx *o) {
  size_t n = 0;
  for (size_t i = 0; i < o->n_inputs; i++) {
    int value = mynah__onnx_find(o, o->inputs[i].name);
    if (value >= 0 && o->values[value].maker < -1) mynah_free((void *)(uintptr_t)o->inputs[i].name);
    else o->inputs[n++] = o->inputs[i];
  }
  o->n_inputs = n;
}

/* Exporters keep one of several equal tensors and make the others from it by Identity: each is listed under its own name. */
static void list_copies(mynah_onnx *o) {
  for (size_t i = 0; i < o->n_nodes; i++) {
    const mynah__onnx_node *node = &o->nodes[i];
    if (!node->op || strcmp(node->op, "Identity") != 0 || node->n_in != 1 || node->n_out != 1) continue;
    int from = o->links[node->first_in], to = o->links[node->first_in + 1], maker = from < 0 ? -1 : o->values[from].maker;
    const mynah__onnx_tensor *t = maker < -1 ? &o->tensors[-2 - maker] : NULL;
    if (!t || !t->floats || t->is_infinite || to < 0 || !o->values[to].name) continue;
    mynah_shape shape = t->shape.n_dims ? t->shape : MYNAH_SHAPE(1);
    o->weights[o->n_weights++] = (mynah_safetensor){o->values[to].name, MYNAH_F32, shape, t->floats, (size_t)t->n * sizeof(float)};
  }
}

/* "/model.23/cv2.1/cv2.1.2/Conv", as PyTorch names the nodes of a module -> "model.23.cv2.1.2": a list's entry is named by list and
 * number again, so what the next part begins with is left out. Empty: no such name. */
static void module_of(const char *node, char out[MYNAH_NAME_MAX]) {
  size_t n = 0, last = 0; /* written; where the last part begins */
  out[0] = 0;
  while (*node == '/') {
    size_t part = strcspn(++node, "/");
    if (node[part] != '/') return; /* the operation */
    bool goes_on = n > last && part > n - last && strncmp(node, out + last, n - last) == 0 && node[n - last] == '.';
    if (goes_on) n = last;
    else if (n > 0) out[n++] = '.';
    if (n + part + 2 > MYNAH_NAME_MAX) break;
    last = n;
    memcpy(out + n, node, part);
    n += part;
    out[n] = 0;
    node += part;
  }
  out[0] = 0;
}

/* Simplifiers let equal tensors be one: a convolution's weights are also listed under its module's name. */
static mynah_status list_shared(mynah_onnx *o) {
  static const char *const parts[] = {NULL, "weight", "bias"};
  char module[MYNAH_NAME_MAX];
  for (size_t i = 0; i < o->n_nodes; i++) {
    const mynah__onnx_node *node = &o->nodes[i];
    if (!node->op || strcmp(node->op, "Conv") != 0 || !node->name) continue;
    module_of(node->name, module);
    for (size_t k = 1; k < 3 && k < node->n_in && module[0]; k++) {
      int from = o->links[node->first_in + k], maker = from < 0 ? -1 : o->values[from].maker;
      const mynah__onnx_tensor *t = maker < -1 ? &o->tensors[-2 - maker] : NULL;
      char name[MYNAH_NAME_MAX];
      if (!t || !t->floats || t->is_infinite || snprintf(name, sizeof name, "%s.%s", module, parts[k]) >= (int)sizeof name) continue;
      if (mynah__onnx_find(o, name) >= 0) continue;
      MYNAH_TRY(mynah_grow((void **)&o->shared, &o->cap_shared, o->n_shared + 1, sizeof *o->shared));
      char *kept = o->shared[o->n_shared] = mynah_strdup(name);
      if (!kept) return MYNAH_NO_MEMORY;
      o->n_shared++;
      o->weights[o->n_weights++] = (mynah_safetensor){kept, MYNAH_F32, t->shape.n_dims ? t->shape : MYNAH_SHAPE(1), t->floats, (size_t)t->n * sizeof(float)};
    }
  }
  return MYNAH_OK;
}

/* The list of named weights. */
static mynah_status list_weights(mynah_onnx *o) {
  o->weights = mynah_calloc(o->n_tensors + 2 * o->n_nodes + 1, sizeof *o->weights);
  if (!o->weights) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < o->n_tensors; i++) {
    const mynah__onnx_tensor *t = &o->tensors[i];
    if (!t->name || !t->name[0] || !t->floats || t->is_infinite) continue;
    mynah_shape shape = t->shape.n_dims ? t->shape : MYNAH_SHAPE(1);
    o->weights[o->n_weights++] = (mynah_safetensor){t->name, MYNAH_F32, shape, t->floats, (size_t)t->n * sizeof(float)};
  }
  list_copies(o);
  return list_shared(o);
}

static mynah_status parse(mynah_onnx *o, const void *data, size_t size) {
  if (size > FILE_MAX) return mynah_fail(MYNAH_LIMIT, "onnx: over %zu bytes", FILE_MAX);
  o->file.max = FILE_MAX + 1;
  mynah_str_append(&o->file, data, size);
  if (o->file.is_failed) return MYNAH_NO_MEMORY;
  const uint8_t *bytes = (const uint8_t *)o->file.data;
  if (size) MYNAH_TRY(mynah__wire_each((mynah__span){bytes, bytes + size}, model_field, o));
  if (o->n_nodes == 0) return mynah__onnx_damaged("the file holds no graph: is it an ONNX file?");
  drop_weights(o);
  return list_weights(o);
}

mynah_status mynah_onnx_parse(const void *data, size_t size, mynah_onnx **out) {
  mynah_onnx *o = mynah_calloc(1, sizeof *o);
  if (!o) return MYNAH_NO_MEMORY;
  mynah_status status = parse(o, data, size);
  if (status == MYNAH_OK) *out = o;
  else mynah_onnx_destroy(o);
  return status;
}

mynah_status mynah_onnx_open(const char *path, mynah_onnx **out) {
  mynah_map map;
  MYNAH_TRY(mynah_map_open(path, &map));
  mynah_status status = mynah_onnx_parse(map.data, map.size, out);
  mynah_map_close(&map);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}

void mynah_onnx_destroy(mynah_onnx *o) {
  if (!o) return;
  for (size_t i = 0; i < o->n_tensors; i++) {
    mynah_free(o->tensors[i].name);
    mynah_free(o->tensors[i].floats);
    mynah_free(o->tensors[i].wholes);
  }
  for (size_t i = 0; i < o->n_nodes; i++) {
    mynah_free(o->nodes[i].op);
    mynah_free(o->nodes[i].name);
    mynah_free(o->nodes[i].domain);
  }
  for (size_t i = 0; i < o->n_attributes; i++) {
    mynah_free(o->attributes[i].name);
    mynah_free(o->attributes[i].text);
  }
  for (size_t i = 0; i < o->n_values; i++) mynah_free(o->values[i].name);
  for (size_t i = 0; i < o->n_notes; i++) {
    mynah_free(o->notes[i].key);
    mynah_free(o->notes[i].value);
  }
  for (size_t i = 0; i < o->n_inputs; i++) mynah_free((void *)(uintptr_t)o->inputs[i].name);
  for (size_t i = 0; i < o->n_outputs; i++) mynah_free((void *)(uintptr_t)o->outputs[i].name);
  for (size_t i = 0; i < o->n_shared; i++) mynah_free(o->shared[i]);
  mynah_free(o->shared);
  mynah_free(o->tensors);
  mynah_free(o->nodes);
  mynah_free(o->attributes);
  mynah_free(o->numbers);
  mynah_free(o->links);
  mynah_free(o->values);
  mynah_free(o->table);
  mynah_free(o->inputs);
  mynah_free(o->outputs);
  mynah_free(o->notes);
  mynah_free(o->weights);
  mynah_str_deinit(&o->file);
  mynah_free(o);
}

const mynah_onnx_port *mynah_onnx_input(const mynah_onnx *o, int i) {
  return i >= 0 && (size_t)i < o->n_inputs ? &o->inputs[i] : NULL;
}
const mynah_onnx_port *mynah_onnx_output(const mynah_onnx *o, int i) {
  return i >= 0 && (size_t)i < o->n_outputs ? &o->outputs[i] : NULL;
}
const mynah_safetensor *mynah_onnx_weights(const mynah_onnx *o, int *n) {
  *n = (int)o->n_weights;
  return o->weights;
}
