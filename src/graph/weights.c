/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Weights: one flat array of named tensors, trained ones first, gaps zero, so that equal weights are equal bytes. */
#include "core.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define FLOATS_ALIGN ((int64_t)(MYNAH__ALIGN / sizeof(float)))

/* FNV-1a, 64 bits: the stream a tensor draws its first values from depends on its name alone. */
static uint64_t name_hash(const char *name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
  return h;
}

static void tensor_init(const mynah_init *init, uint64_t seed, const mynah_tensor_info *t, float *data) {
  mynah_rng r = mynah_rng_make(seed, name_hash(t->name));
  switch (init->kind) {
  case MYNAH_INIT_ZERO: break;
  case MYNAH_INIT_CONSTANT:
    for (int64_t i = 0; i < t->size; i++) data[i] = init->value;
    break;
  case MYNAH_INIT_UNIFORM:
    for (int64_t i = 0; i < t->size; i++)
      data[i] = (float)mynah_rng_range(&r, -(double)init->value, (double)init->value);
    break;
  case MYNAH_INIT_NORMAL:
    mynah_rng_fill_normal(&r, data, (size_t)t->size);
    for (int64_t i = 0; i < t->size; i++) data[i] *= init->value;
    break;
  }
}

/* Room for n tensors and all their names. */
static mynah_status weights_alloc(int n, size_t names_bytes, mynah_weights **out) {
  mynah_weights *w = mynah_calloc(1, sizeof *w);
  if (!w) return MYNAH_NO_MEMORY;
  w->tensors = mynah_calloc((size_t)n + 1, sizeof *w->tensors);
  w->names = mynah_calloc(names_bytes + 1, 1);
  w->names_bytes = names_bytes;
  if (!w->tensors || !w->names) {
    mynah_weights_destroy(w);
    return MYNAH_NO_MEMORY;
  }
  *out = w;
  return MYNAH_OK;
}

/* Gives graph weight i its place at the end of the array. */
static void lay_out(const mynah_graph *g, size_t i, mynah_weights *w, char **name) {
  const mynah__weight *from = &g->weights[i];
  mynah_tensor_info *t = &w->tensors[w->n_tensors++];
  size_t length = strlen(from->name) + 1;
  memcpy(*name, from->name, length);
  mynah_shape shape = g->values[from->value].tensor.shape;
  int64_t size = mynah_shape_size(shape);
  *t = (mynah_tensor_info){*name, shape, w->n_floats, size, from->is_trained, from->is_trained && shape.n_dims >= 2};
  *name += length;
  w->n_floats += (size + FLOATS_ALIGN - 1) / FLOATS_ALIGN * FLOATS_ALIGN;
  if (!from->is_trained) return;
  w->n_parameters += size;
  w->n_trained = w->n_floats;
}

/* Names and places, without values. */
static mynah_status weights_describe(const mynah_graph *g, mynah_weights **out) {
  MYNAH_TRY(mynah_graph_status(g));
  size_t names_bytes = 0;
  for (size_t i = 0; i < g->n_weights; i++) names_bytes += strlen(g->weights[i].name) + 1;
  MYNAH_TRY(weights_alloc((int)g->n_weights, names_bytes, out));
  char *name = (*out)->names;
  for (int pass = 0; pass < 2; pass++)
    for (size_t i = 0; i < g->n_weights; i++)
      if (g->weights[i].is_trained == (pass == 0)) lay_out(g, i, *out, &name);
  return MYNAH_OK;
}

mynah_status mynah_weights_create(const mynah_graph *g, uint64_t seed, mynah_weights **out) {
  mynah_weights *w;
  MYNAH_TRY(weights_describe(g, &w));
  w->data = mynah_calloc((size_t)w->n_floats, sizeof *w->data);
  if (!w->data) {
    mynah_weights_destroy(w);
    return MYNAH_NO_MEMORY;
  }
  int k = 0;
  for (int pass = 0; pass < 2; pass++)
    for (size_t i = 0; i < g->n_weights; i++) {
      if (g->weights[i].is_trained != (pass == 0)) continue;
      tensor_init(&g->weights[i].init, seed, &w->tensors[k], w->data + w->tensors[k].offset);
      k++;
    }
  *out = w;
  return MYNAH_OK;
}

mynah_status mynah_weights_copy(const mynah_weights *from, mynah_weights **out) {
  mynah_weights *w;
  MYNAH_TRY(weights_alloc(from->n_tensors, from->names_bytes, &w));
  w->data = mynah_calloc((size_t)from->n_floats, sizeof *w->data);
  if (!w->data) {
    mynah_weights_destroy(w);
    return MYNAH_NO_MEMORY;
  }
  memcpy(w->names, from->names, from->names_bytes);
  memcpy(w->data, from->data, (size_t)from->n_floats * sizeof *w->data);
  for (int i = 0; i < from->n_tensors; i++) {
    w->tensors[i] = from->tensors[i];
    w->tensors[i].name = w->names + (from->tensors[i].name - from->names);
  }
  w->n_tensors = from->n_tensors;
  w->n_trained = from->n_trained;
  w->n_floats = from->n_floats;
  w->n_parameters = from->n_parameters;
  *out = w;
  return MYNAH_OK;
}

void mynah_weights_destroy(mynah_weights *w) {
  if (!w) return;
  mynah_free(w->in_file);
  mynah_free(w->is_read);
  mynah_free(w->tensors);
  mynah_free(w->names);
  mynah_free(w->data);
  mynah_free(w);
}

int mynah_weights_n_tensors(const mynah_weights *w) { return w->n_tensors; }

const mynah_tensor_info *mynah_weights_tensor(const mynah_weights *w, int i) {
  return i >= 0 && i < w->n_tensors ? &w->tensors[i] : NULL;
}

const mynah_tensor_info *mynah_weights_find(const mynah_weights *w, const char *name) {
  for (int i = 0; i < w->n_tensors; i++)
    if (!strcmp(w->tensors[i].name, name)) return &w->tensors[i];
  return NULL;
}

float *mynah_weights_data(mynah_weights *w) { return w->data; }
const float *mynah_weights_const_data(const mynah_weights *w) { return w->data; }
int64_t mynah_weights_n_trained(const mynah_weights *w) { return w->n_trained; }
int64_t mynah_weights_n_floats(const mynah_weights *w) { return w->n_floats; }
int64_t mynah_weights_n_parameters(const mynah_weights *w) { return w->n_parameters; }

/* ---- files ------------------------------------------------------------------------------------------------------- */

int mynah_weights_tensors(const mynah_weights *w, mynah_safetensor *out, int max) {
  for (int i = 0; i < w->n_tensors && i < max; i++) {
    const mynah_tensor_info *t = &w->tensors[i];
    out[i] = (mynah_safetensor){t->name, MYNAH_F32, t->shape, w->data + t->offset, (size_t)t->size * sizeof(float)};
  }
  return w->n_tensors;
}

/* Element i of a file's tensor as float; bfloat16 is the upper half of a float. */
static float element(const mynah_safetensor *t, int64_t i) {
  uint32_t bits;
  float value;
  switch (t->dtype) {
  case MYNAH_F64: return (float)((const double *)t->data)[i];
  case MYNAH_BF16:
    bits = (uint32_t)((const uint16_t *)t->data)[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
  default: return ((const float *)t->data)[i];
  }
}

/* The tensor of this name among n, the next one first: files often are in the order of the weights. */
static const mynah_safetensor *find_from(const mynah_safetensor *tensors, int n, int *next, const char *name) {
  for (int k = 0; k < n; k++) {
    int i = (*next + k) % n;
    if (strcmp(tensors[i].name, name) != 0) continue;
    *next = (i + 1) % n;
    return &tensors[i];
  }
  return NULL;
}

/* Name, shape and type; the values come later. */
static mynah_status tensor_fits(const mynah_tensor_info *t, const mynah_safetensor *from) {
  char have[MYNAH__SHAPE_TEXT], want[MYNAH__SHAPE_TEXT];
  if (!from) return mynah_fail(MYNAH_NOT_FOUND, "weights: the file has no tensor '%s'", t->name);
  if (!mynah__shape_is(from->shape, t->shape))
    return mynah_fail(MYNAH_MISMATCH, "weights: tensor '%s' is %s in the file, %s here", t->name,
                      mynah__shape_text(from->shape, have), mynah__shape_text(t->shape, want));
  if (from->dtype != MYNAH_F32 && from->dtype != MYNAH_F64 && from->dtype != MYNAH_BF16)
    return mynah_fail(MYNAH_UNSUPPORTED, "weights: tensor '%s' holds %s: real numbers are needed", t->name,
                      mynah_dtype_name(from->dtype));
  return MYNAH_OK;
}

/* An exponent of ones alone is infinity or no number. */
static mynah_status floats_check(const char *name, const float *x, int64_t n) {
  uint32_t bad = 0;
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bad |= (bits & 0x7f800000u) == 0x7f800000u;
  }
  for (int64_t i = 0; bad && i < n; i++)
    if (!isfinite(x[i])) return mynah_fail(MYNAH_NONFINITE, "weights: tensor '%s': element %" PRId64 " is not finite", name, i);
  return MYNAH_OK;
}

static mynah_status tensor_check(const mynah_tensor_info *t, const mynah_safetensor *from) {
  MYNAH_TRY(tensor_fits(t, from));
  if (from->dtype == MYNAH_F32) return floats_check(t->name, from->data, t->size);
  for (int64_t i = 0; i < t->size; i++)
    if (!isfinite(element(from, i)))
      return mynah_fail(MYNAH_NONFINITE, "weights: tensor '%s': element %" PRId64 " is not finite", t->name, i);
  return MYNAH_OK;
}

/* Everything is checked before the first value is replaced. */
mynah_status mynah_weights_fill(mynah_weights *w, const mynah_safetensor *tensors, int n) {
  int next = 0;
  for (int i = 0; i < w->n_tensors; i++)
    MYNAH_TRY(tensor_check(&w->tensors[i], find_from(tensors, n, &next, w->tensors[i].name)));
  for (int i = 0; i < w->n_tensors; i++) {
    const mynah_tensor_info *t = &w->tensors[i];
    const mynah_safetensor *from = find_from(tensors, n, &next, t->name);
    for (int64_t k = 0; k < t->size; k++) w->data[t->offset + k] = element(from, k);
  }
  return MYNAH_OK;
}

/* The file's tensors are w's, no more and no less; allow_extra: no less. */
static mynah_status file_fits(const mynah_weights *w, const mynah_safetensors *f, bool allow_extra) {
  for (int k = 0; k < w->n_tensors; k++) /* a missing tensor says more than one too many */
    MYNAH_TRY(tensor_fits(&w->tensors[k], mynah_safetensors_find(f, w->tensors[k].name)));
  for (int i = 0; !allow_extra && i < mynah_safetensors_count(f) && mynah_safetensors_count(f) > w->n_tensors; i++)
    if (!mynah_weights_find(w, mynah_safetensors_at(f, i)->name))
      return mynah_fail(MYNAH_MISMATCH, "weights: the file's tensor '%s' belongs nowhere here", mynah_safetensors_at(f, i)->name);
  return MYNAH_OK;
}

mynah_status mynah_weights_load(mynah_weights *w, const mynah_safetensors *f, bool allow_extra) {
  MYNAH_TRY(file_fits(w, f, allow_extra));
  int n = mynah_safetensors_count(f);
  for (int i = 0; i < w->n_tensors; i++)
    MYNAH_TRY(mynah__safetensors_verify(f, mynah_safetensors_find(f, w->tensors[i].name)));
  return mynah_weights_fill(w, n ? mynah_safetensors_at(f, 0) : NULL, n);
}

/* ---- weights that stay in a file ------------------------------------------------------------------------------------- */

mynah_status mynah_weights_open(const mynah_graph *g, const mynah_safetensors *f, mynah_weights **out) {
  mynah_weights *w;
  MYNAH_TRY(weights_describe(g, &w));
  w->file = f;
  w->in_file = mynah_calloc((size_t)w->n_tensors + 1, sizeof *w->in_file);
  w->is_read = mynah_calloc((size_t)w->n_tensors + 1, sizeof *w->is_read);
  mynah_status status = w->in_file && w->is_read ? file_fits(w, f, false) : MYNAH_NO_MEMORY;
  if (status != MYNAH_OK) {
    mynah_weights_destroy(w);
    return status;
  }
  for (int i = 0; i < w->n_tensors; i++) w->in_file[i] = mynah_safetensors_find(f, w->tensors[i].name);
  *out = w;
  return MYNAH_OK;
}

/* Through memory of its own: no file of ours has other types than floats. */
static mynah_status read_converted(const mynah_weights *w, int i, float *out) {
  mynah_safetensor t = *w->in_file[i];
  void *own = mynah_alloc(t.bytes);
  if (!own) return MYNAH_NO_MEMORY;
  t.data = own;
  mynah_status status = mynah_safetensors_read(w->file, w->in_file[i], own);
  for (int64_t k = 0; status == MYNAH_OK && k < w->tensors[i].size; k++) out[k] = element(&t, k);
  mynah_free(own);
  return status;
}

mynah_status mynah__weights_read(const mynah_weights *w, int i, float *out) {
  const mynah_tensor_info *t = &w->tensors[i];
  if (w->data) {
    memcpy(out, w->data + t->offset, (size_t)t->size * sizeof *out);
    return MYNAH_OK;
  }
  if (w->in_file[i]->dtype == MYNAH_F32) MYNAH_TRY(mynah_safetensors_read(w->file, w->in_file[i], out));
  else MYNAH_TRY(read_converted(w, i, out));
  MYNAH_TRY(floats_check(t->name, out, t->size));
  atomic_store_explicit(&w->is_read[i], true, memory_order_relaxed);
  return MYNAH_OK;
}

/* Reads each tensor, or those that were not read yet; hash (NULL: none) takes names and values. */
static mynah_status read_all(const mynah_weights *w, bool is_rest, mynah_sha256 *hash) {
  int64_t most = 0;
  for (int i = 0; i < w->n_tensors; i++) most = w->tensors[i].size > most ? w->tensors[i].size : most;
  float *values = mynah_alloc((size_t)most * sizeof *values);
  mynah_status status = values ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (int i = 0; i < w->n_tensors && status == MYNAH_OK; i++) {
    const mynah_tensor_info *t = &w->tensors[i];
    if (is_rest && atomic_load_explicit(&w->is_read[i], memory_order_relaxed)) continue;
    status = mynah__weights_read(w, i, values);
    if (status == MYNAH_OK && hash) {
      mynah_sha256_update(hash, t->name, strlen(t->name) + 1);
      mynah_sha256_update(hash, values, (size_t)t->size * sizeof(float));
    }
  }
  mynah_free(values);
  return status;
}

mynah_status mynah_weights_check(const mynah_weights *w) { return w->data ? MYNAH_OK : read_all(w, true, NULL); }

mynah_status mynah_weights_hash(const mynah_weights *w, char hex[65]) {
  mynah_sha256 s;
  mynah_sha256_init(&s);
  if (!w->data) MYNAH_TRY(read_all(w, false, &s));
  for (int i = 0; w->data && i < w->n_tensors; i++) {
    const mynah_tensor_info *t = &w->tensors[i];
    mynah_sha256_update(&s, t->name, strlen(t->name) + 1);
    mynah_sha256_update(&s, w->data + t->offset, (size_t)t->size * sizeof(float));
  }
  mynah_sha256_final(&s, hex);
  return MYNAH_OK;
}
