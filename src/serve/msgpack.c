/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "msgpack.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers in bytes ------------------------------------------------------------------------------------------------ */

static uint64_t big_endian(const uint8_t *p, size_t n) {
  uint64_t v = 0;
  for (size_t i = 0; i < n; i++) v = v << 8 | p[i];
  return v;
}

static void put(mynah_str *s, uint8_t first, uint64_t v, size_t n) {
  uint8_t b[9] = {first};
  for (size_t i = 0; i < n; i++) b[1 + i] = (uint8_t)(v >> 8 * (n - 1 - i));
  mynah_str_append(s, b, n + 1);
}

static double from_bits(uint64_t bits) {
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

/* IEEE half precision. */
static double half(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  double m = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
  return h >> 15 ? -m : m;
}

/* ---- dtypes ---------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  size_t bytes;
} dtypes[] = {{"<f4", 4}, {"<f8", 8}, {"|u1", 1}, {"|i1", 1}, {"|b1", 1}, {"<i8", 8}, {"<i4", 4}, {"<i2", 2}, {"<u8", 8}, {"<u4", 4}, {"<u2", 2}, {"<f2", 2}};

size_t mynah__pack_dtype_bytes(const char *dtype) {
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (strcmp(dtypes[i].name, dtype) == 0) return dtypes[i].bytes;
  return 0;
}

double mynah__pack_element(const mynah__pack *a, int64_t i) {
  size_t n = mynah__pack_dtype_bytes(a->dtype);
  if (a->kind != MYNAH__PACK_ARRAY || i < 0 || i >= a->n) return NAN;
  uint64_t bits = 0;
  memcpy(&bits, a->data + (size_t)i * n, n); /* both little-endian */
  char kind = a->dtype[1];
  if (kind == 'f') {
    float f;
    memcpy(&f, &bits, sizeof f);
    return n == 8 ? from_bits(bits) : n == 4 ? (double)f : half((uint16_t)bits);
  }
  if (kind == 'i') return n == 8 ? (double)(int64_t)bits : n == 4 ? (double)(int32_t)bits : n == 2 ? (double)(int16_t)bits : (double)(int8_t)bits;
  return (double)bits;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

typedef struct reader {
  const uint8_t *p, *end;
  mynah__message *m;
} reader;

void mynah__message_deinit(mynah__message *m) {
  mynah_free(m->nodes);
  *m = (mynah__message){0};
}

static mynah_status cut_short(void) { return mynah_fail(MYNAH_CORRUPT, "message: ends in the middle of a value"); }

static mynah_status add(reader *r, int *out) {
  if (r->m->n >= MYNAH__PACK_NODES) return mynah_fail(MYNAH_LIMIT, "message: more than %d values", MYNAH__PACK_NODES);
  MYNAH_TRY(mynah_grow((void **)&r->m->nodes, &r->m->room, (size_t)r->m->n + 1, sizeof *r->m->nodes));
  r->m->nodes[r->m->n] = (mynah__pack){.first = -1, .next = -1};
  *out = r->m->n++;
  return MYNAH_OK;
}

/* How a first byte is read: what it begins, and how many bytes of length or value follow; small: the length is in it. */
typedef struct form {
  mynah__pack_kind kind;
  size_t n_bytes;
  uint64_t small;
  bool is_small;
} form;

static bool form_of(uint8_t b, form *f) {
  static const struct {
    uint8_t first;
    mynah__pack_kind kind;
    uint8_t n_bytes;
  } rows[] = {{0xc4, MYNAH__PACK_BYTES, 1}, {0xc5, MYNAH__PACK_BYTES, 2}, {0xc6, MYNAH__PACK_BYTES, 4}, {0xca, MYNAH__PACK_FLOAT, 4},
              {0xcb, MYNAH__PACK_FLOAT, 8}, {0xcc, MYNAH__PACK_UINT, 1},  {0xcd, MYNAH__PACK_UINT, 2},  {0xce, MYNAH__PACK_UINT, 4},
              {0xcf, MYNAH__PACK_UINT, 8},  {0xd0, MYNAH__PACK_INT, 1},   {0xd1, MYNAH__PACK_INT, 2},   {0xd2, MYNAH__PACK_INT, 4},
              {0xd3, MYNAH__PACK_INT, 8},   {0xd9, MYNAH__PACK_TEXT, 1},  {0xda, MYNAH__PACK_TEXT, 2},  {0xdb, MYNAH__PACK_TEXT, 4},
              {0xdc, MYNAH__PACK_LIST, 2},  {0xdd, MYNAH__PACK_LIST, 4},  {0xde, MYNAH__PACK_MAP, 2},   {0xdf, MYNAH__PACK_MAP, 4}};
  *f = (form){MYNAH__PACK_UINT, 0, b, true};
  if (b < 0x80) return true;
  if (b < 0x90) *f = (form){MYNAH__PACK_MAP, 0, b & 15, true};
  else if (b < 0xa0) *f = (form){MYNAH__PACK_LIST, 0, b & 15, true};
  else if (b < 0xc0) *f = (form){MYNAH__PACK_TEXT, 0, b & 31, true};
  else if (b == 0xc0) f->kind = MYNAH__PACK_NIL;
  else if (b == 0xc2 || b == 0xc3) *f = (form){MYNAH__PACK_BOOL, 0, b & 1, true};
  else if (b >= 0xe0) *f = (form){MYNAH__PACK_INT, 0, (uint64_t)(int64_t)(int8_t)b, true};
  else {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
      if (rows[i].first == b) {
        *f = (form){rows[i].kind, rows[i].n_bytes, 0, false};
        return true;
      }
    return false; /* 0xc1, extension types */
  }
  return true;
}

static mynah_status read_value(reader *r, int depth, int *out);

/* n values, chained from node `parent`. */
static mynah_status read_children(reader *r, int parent, uint64_t n, int depth) {
  int last = -1;
  if (n > (uint64_t)(r->end - r->p)) return cut_short(); /* each takes a byte at least */
  for (uint64_t i = 0; i < n; i++) {
    int child = -1;
    MYNAH_TRY(read_value(r, depth + 1, &child));
    if (last < 0) r->m->nodes[parent].first = child;
    else r->m->nodes[last].next = child;
    last = child;
  }
  return MYNAH_OK;
}

/* ---- NumPy's values --------------------------------------------------------------------------------------------------- */

static bool is_word(const mynah__pack *v, const char *word) {
  return (v->kind == MYNAH__PACK_TEXT || v->kind == MYNAH__PACK_BYTES) && v->bytes == strlen(word) && memcmp(v->data, word, v->bytes) == 0;
}

static const mynah__pack *find(const mynah__message *m, const mynah__pack *map, const char *key) {
  if (!map || map->kind != MYNAH__PACK_MAP) return NULL;
  for (int k = map->first; k >= 0 && m->nodes[k].next >= 0; k = m->nodes[m->nodes[k].next].next)
    if (is_word(&m->nodes[k], key)) return &m->nodes[m->nodes[k].next];
  return NULL;
}

static mynah_status take_dtype(const mynah__pack *dtype, char out[8]) {
  if (!dtype || (dtype->kind != MYNAH__PACK_TEXT && dtype->kind != MYNAH__PACK_BYTES) || dtype->bytes > 7)
    return mynah_fail(MYNAH_CORRUPT, "message: an array without a dtype");
  memcpy(out, dtype->data, dtype->bytes);
  out[dtype->bytes] = 0;
  if (mynah__pack_dtype_bytes(out) == 0) return mynah_fail(MYNAH_UNSUPPORTED, "message: an array of dtype '%s'", out);
  return MYNAH_OK;
}

static mynah_status take_shape(const mynah__message *m, const mynah__pack *shape, mynah__pack *v) {
  v->n = 1;
  v->n_dims = 0;
  if (!shape || shape->kind != MYNAH__PACK_LIST || shape->n > MYNAH__PACK_DIMS)
    return mynah_fail(MYNAH_CORRUPT, "message: an array without a shape of at most %d dimensions", MYNAH__PACK_DIMS);
  for (int k = shape->first; k >= 0; k = m->nodes[k].next) {
    const mynah__pack *d = &m->nodes[k];
    if ((d->kind != MYNAH__PACK_UINT && d->kind != MYNAH__PACK_INT) || d->integer < 0 || __builtin_mul_overflow(v->n, d->integer, &v->n))
      return mynah_fail(MYNAH_CORRUPT, "message: an array's shape is no shape");
    v->shape[v->n_dims++] = d->integer;
  }
  return MYNAH_OK;
}

/* A map that says it is an array or a scalar becomes one. */
static mynah_status recognise(reader *r, int index) {
  mynah__message *m = r->m;
  mynah__pack v = m->nodes[index];
  const mynah__pack *data = find(m, &v, "data");
  if (find(m, &v, "__ndarray__")) {
    MYNAH_TRY(take_dtype(find(m, &v, "dtype"), v.dtype));
    MYNAH_TRY(take_shape(m, find(m, &v, "shape"), &v));
    int64_t bytes;
    if (!data || data->kind != MYNAH__PACK_BYTES || __builtin_mul_overflow(v.n, (int64_t)mynah__pack_dtype_bytes(v.dtype), &bytes) ||
        (uint64_t)bytes != data->bytes)
      return mynah_fail(MYNAH_CORRUPT, "message: an array's data do not fill its shape");
    v.kind = MYNAH__PACK_ARRAY;
    v.data = data->data;
    v.bytes = data->bytes;
  } else if (find(m, &v, "__npgeneric__")) {
    MYNAH_TRY(take_dtype(find(m, &v, "dtype"), v.dtype));
    if (!data) return mynah_fail(MYNAH_CORRUPT, "message: a scalar without data");
    v.kind = MYNAH__PACK_SCALAR;
    v.integer = data->integer;
    v.number = data->kind == MYNAH__PACK_FLOAT ? data->number : (double)data->integer;
  }
  m->nodes[index] = v;
  return MYNAH_OK;
}

static mynah_status read_value(reader *r, int depth, int *out) {
  form f;
  int index = -1;
  if (depth > MYNAH__PACK_DEPTH) return mynah_fail(MYNAH_LIMIT, "message: nested deeper than %d", MYNAH__PACK_DEPTH);
  if (r->p == r->end) return cut_short();
  uint8_t first = *r->p++;
  if (!form_of(first, &f)) return mynah_fail(MYNAH_UNSUPPORTED, "message: byte 0x%02x begins no value that is taken", first);
  if ((size_t)(r->end - r->p) < f.n_bytes) return cut_short();
  uint64_t v = f.is_small ? f.small : big_endian(r->p, f.n_bytes);
  r->p += f.n_bytes;
  MYNAH_TRY(add(r, &index));
  mynah__pack *node = &r->m->nodes[index];
  node->kind = f.kind;
  node->integer = (int64_t)v;
  *out = index;
  if (f.kind == MYNAH__PACK_INT && !f.is_small) node->integer = f.n_bytes == 8 ? (int64_t)v : (int64_t)(v << (64 - 8 * f.n_bytes)) >> (64 - 8 * f.n_bytes);
  if (f.kind == MYNAH__PACK_FLOAT) {
    uint32_t bits = (uint32_t)v;
    float single;
    memcpy(&single, &bits, sizeof single);
    node->number = f.n_bytes == 4 ? (double)single : from_bits(v);
  }
  if (f.kind == MYNAH__PACK_TEXT || f.kind == MYNAH__PACK_BYTES) {
    if (v > (uint64_t)(r->end - r->p)) return cut_short();
    node->data = r->p;
    node->bytes = (size_t)v;
    r->p += v;
  }
  if (f.kind != MYNAH__PACK_LIST && f.kind != MYNAH__PACK_MAP) return MYNAH_OK;
  node->n = (int64_t)v;
  MYNAH_TRY(read_children(r, index, f.kind == MYNAH__PACK_MAP ? 2 * v : v, depth));
  return f.kind == MYNAH__PACK_MAP ? recognise(r, index) : MYNAH_OK;
}

mynah_status mynah__unpack(const void *data, size_t bytes, mynah__message *out) {
  reader r = {data, (const uint8_t *)data + bytes, out};
  int first;
  out->n = 0;
  MYNAH_TRY(read_value(&r, 0, &first));
  if (r.p != r.end) return mynah_fail(MYNAH_CORRUPT, "message: %zu bytes after its end", (size_t)(r.end - r.p));
  return MYNAH_OK;
}

const mynah__pack *mynah__pack_get(const mynah__message *m, const mynah__pack *map, const char *path) {
  const mynah__pack *v = find(m, map, path);
  const char *slash = strchr(path, '/');
  char head[128];
  if (v || !slash || (size_t)(slash - path) >= sizeof head) return v;
  snprintf(head, sizeof head, "%.*s", (int)(slash - path), path);
  return mynah__pack_get(m, find(m, map, head), slash + 1);
}

/* ---- packing --------------------------------------------------------------------------------------------------------- */

void mynah__pack_nil(mynah_str *s) { put(s, 0xc0, 0, 0); }
void mynah__pack_bool(mynah_str *s, bool v) { put(s, v ? 0xc3 : 0xc2, 0, 0); }

static void pack_unsigned(mynah_str *s, uint64_t v) {
  if (v < 0x80) put(s, (uint8_t)v, 0, 0);
  else if (v <= UINT8_MAX) put(s, 0xcc, v, 1);
  else if (v <= UINT16_MAX) put(s, 0xcd, v, 2);
  else if (v <= UINT32_MAX) put(s, 0xce, v, 4);
  else put(s, 0xcf, v, 8);
}

void mynah__pack_int(mynah_str *s, int64_t v) {
  if (v >= 0) pack_unsigned(s, (uint64_t)v);
  else if (v >= -32) put(s, (uint8_t)v, 0, 0);
  else if (v >= INT8_MIN) put(s, 0xd0, (uint64_t)v, 1);
  else if (v >= INT16_MIN) put(s, 0xd1, (uint64_t)v, 2);
  else if (v >= INT32_MIN) put(s, 0xd2, (uint64_t)v, 4);
  else put(s, 0xd3, (uint64_t)v, 8);
}

void mynah__pack_float(mynah_str *s, double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  put(s, 0xcb, bits, 8);
}

/* A length in the shortest of the forms that begin with `small` (up to `n_small`), `first`, and those after it. */
static void pack_length(mynah_str *s, size_t n, uint8_t small, size_t n_small, uint8_t first, bool has_8) {
  if (n < n_small) put(s, (uint8_t)(small | n), 0, 0);
  else if (has_8 && n <= UINT8_MAX) put(s, first, n, 1);
  else if (n <= UINT16_MAX) put(s, (uint8_t)(first + has_8), n, 2);
  else put(s, (uint8_t)(first + 1 + has_8), n, 4);
}

void mynah__pack_text(mynah_str *s, const char *text, size_t bytes) {
  pack_length(s, bytes, 0xa0, 32, 0xd9, true);
  mynah_str_append(s, text, bytes);
}
void mynah__pack_bytes(mynah_str *s, const void *data, size_t bytes) {
  pack_length(s, bytes, 0, 0, 0xc4, true);
  mynah_str_append(s, data, bytes);
}
void mynah__pack_list(mynah_str *s, size_t n) { pack_length(s, n, 0x90, 16, 0xdc, false); }
void mynah__pack_map(mynah_str *s, size_t n) { pack_length(s, n, 0x80, 16, 0xde, false); }
void mynah__pack_key(mynah_str *s, const char *key) { mynah__pack_text(s, key, strlen(key)); }

static void bytes_key(mynah_str *s, const char *key) { mynah__pack_bytes(s, key, strlen(key)); }

void mynah__pack_array(mynah_str *s, const char *dtype, const int64_t *shape, int n_dims, const void *data) {
  size_t bytes = mynah__pack_dtype_bytes(dtype);
  for (int i = 0; i < n_dims; i++) bytes *= (size_t)shape[i];
  mynah__pack_map(s, 4);
  bytes_key(s, "__ndarray__");
  mynah__pack_bool(s, true);
  bytes_key(s, "data");
  mynah__pack_bytes(s, data, bytes);
  bytes_key(s, "dtype");
  mynah__pack_text(s, dtype, strlen(dtype));
  bytes_key(s, "shape");
  mynah__pack_list(s, (size_t)n_dims);
  for (int i = 0; i < n_dims; i++) mynah__pack_int(s, shape[i]);
}

void mynah__pack_again(mynah_str *s, const mynah__message *m, const mynah__pack *v) {
  switch (v->kind) {
    case MYNAH__PACK_NIL: mynah__pack_nil(s); return;
    case MYNAH__PACK_BOOL: mynah__pack_bool(s, v->integer != 0); return;
    case MYNAH__PACK_INT: mynah__pack_int(s, v->integer); return;
    case MYNAH__PACK_UINT: pack_unsigned(s, (uint64_t)v->integer); return;
    case MYNAH__PACK_FLOAT: mynah__pack_float(s, v->number); return;
    case MYNAH__PACK_TEXT: mynah__pack_text(s, (const char *)v->data, v->bytes); return;
    case MYNAH__PACK_BYTES: mynah__pack_bytes(s, v->data, v->bytes); return;
    case MYNAH__PACK_ARRAY: mynah__pack_array(s, v->dtype, v->shape, v->n_dims, v->data); return;
    case MYNAH__PACK_LIST: mynah__pack_list(s, (size_t)v->n); break;
    case MYNAH__PACK_MAP:
    case MYNAH__PACK_SCALAR: mynah__pack_map(s, (size_t)v->n); break;
  }
  for (int k = v->first; k >= 0; k = m->nodes[k].next) mynah__pack_again(s, m, &m->nodes[k]);
}
