/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Values while a network is described: numbers that are known already, and nodes whose axes lie in any order. */
#include "onnx_internal.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KNOWN_MAX ((int64_t)1 << 20)     /* numbers of one value that are worked out here */
#define ALL_KNOWN_MAX ((int64_t)1 << 24) /* and of all */
#define ARITHMETIC_MAX 16                /* numbers of a weight that may be a mere parameter */

/* ---- inputs, outputs, attributes ------------------------------------------------------------------------------------
 */

int mynah__in_index(const mynah__lowering *l, size_t k) {
  return k < l->node->n_in ? l->o->links[l->node->first_in + k] : -1;
}
int mynah__out_index(const mynah__lowering *l, size_t k) {
  return k < l->node->n_out ? l->o->links[l->node->first_in + l->node->n_in + k] : -1;
}
mynah__value *mynah__in(const mynah__lowering *l, size_t k) {
  int index = mynah__in_index(l, k);
  return index >= 0 ? &l->values[index] : NULL;
}

mynah_status mynah__need(const mynah__lowering *l, size_t k, mynah__value **out) {
  *out = mynah__in(l, k);
  return *out ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "input %zu is missing", k);
}

mynah_status mynah__refuse(const mynah__lowering *l, const char *format, ...) {
  char text[256];
  va_list list;
  (void)l;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  return mynah_fail(MYNAH_UNSUPPORTED, "%s", text);
}

const mynah__onnx_attribute *mynah__attribute(const mynah__lowering *l, const char *name) {
  for (size_t i = 0; i < l->node->n_attributes; i++) {
    const mynah__onnx_attribute *a = &l->o->attributes[l->node->first_attribute + i];
    if (a->name && strcmp(a->name, name) == 0) return a;
  }
  return NULL;
}
int64_t mynah__whole_attribute(const mynah__lowering *l, const char *name, int64_t fallback) {
  const mynah__onnx_attribute *a = mynah__attribute(l, name);
  return a && fabs(a->number) <= (double)MYNAH__ONNX_LARGEST ? (int64_t)a->number : fallback;
}
double mynah__real_attribute(const mynah__lowering *l, const char *name, double fallback) {
  const mynah__onnx_attribute *a = mynah__attribute(l, name);
  return a ? a->number : fallback;
}
const char *mynah__text_attribute(const mynah__lowering *l, const char *name, const char *fallback) {
  const mynah__onnx_attribute *a = mynah__attribute(l, name);
  return a && a->text ? a->text : fallback;
}

static int64_t as_whole(double v) {
  if (isnan(v)) return 0;
  if (v >= (double)MYNAH__ONNX_LARGEST) return MYNAH__ONNX_LARGEST;
  return v <= -(double)MYNAH__ONNX_LARGEST ? -MYNAH__ONNX_LARGEST : (int64_t)v;
}

mynah_status mynah__whole_list(mynah__lowering *l, const char *name, int k, int64_t *out, int max, int *n) {
  const mynah__onnx_attribute *a = mynah__attribute(l, name);
  mynah__value *v = k >= 0 ? mynah__in(l, (size_t)k) : NULL;
  const double *numbers = a && a->n > 0 ? l->o->numbers + a->first : NULL;
  int64_t count = a ? (int64_t)a->n : -1;
  if (v) {
    MYNAH_TRY(mynah__known(l, v, &numbers));
    count = mynah__count(v->shape);
  }
  if (count > max)
    return mynah_fail(MYNAH_LIMIT, "'%s' has %lld numbers, at most %d are possible", name, (long long)count, max);
  for (int64_t i = 0; i < count; i++) out[i] = as_whole(numbers[i]);
  *n = (int)count;
  return MYNAH_OK;
}

mynah_status mynah__axis(const mynah__lowering *l, int64_t axis, int n_dims, int *out) {
  (void)l;
  if (axis < -n_dims || axis >= n_dims)
    return mynah_fail(MYNAH_CORRUPT, "there is no axis %lld in %d dimensions", (long long)axis, n_dims);
  *out = (int)(axis < 0 ? axis + n_dims : axis);
  return MYNAH_OK;
}

/* ---- shapes and orders
 * ------------------------------------------------------------------------------------------------- */

int64_t mynah__count(mynah_shape s) {
  int64_t n = 1;
  for (int i = 0; i < s.n_dims; i++)
    if (s.dims[i] < 0 || __builtin_mul_overflow(n, s.dims[i], &n) || n > MYNAH__ONNX_VALUE_MAX) return -1;
  return n;
}

static void own_order(int n, int *order) {
  for (int k = 0; k < n; k++) order[k] = k;
}

void mynah__order_of(const mynah__value *v, int *order) {
  if (mynah_node_is_null(v->node)) own_order(v->shape.n_dims, order);
  else memcpy(order, v->order, sizeof v->order);
}

int mynah__position(const int *order, int n, int axis) {
  for (int k = 0; k < n; k++)
    if (order[k] == axis) return k;
  return 0;
}

void mynah__channels_last(int n_dims, int *order) {
  own_order(n_dims, order);
  for (int k = 1; k + 1 < n_dims; k++) order[k] = k + 1;
  if (n_dims > 1) order[n_dims - 1] = 1;
}

mynah_status mynah__broadcast_shape(const mynah__lowering *l, mynah_shape a, mynah_shape b, mynah_shape *out) {
  mynah_shape y = {.n_dims = a.n_dims > b.n_dims ? a.n_dims : b.n_dims};
  (void)l;
  for (int i = 1; i <= y.n_dims; i++) {
    int64_t da = i <= a.n_dims ? a.dims[a.n_dims - i] : 1, db = i <= b.n_dims ? b.dims[b.n_dims - i] : 1;
    if (da != db && da != 1 && db != 1)
      return mynah_fail(MYNAH_MISMATCH, "the shapes do not broadcast: %lld meets %lld", (long long)da, (long long)db);
    y.dims[y.n_dims - i] = da == 1 ? db : da;
  }
  *out = y;
  return MYNAH_OK;
}

int64_t mynah__stretched_index(mynah_shape from, mynah_shape to, int64_t i) {
  int64_t index = 0, stride = 1;
  for (int k = 1; k <= to.n_dims && k <= from.n_dims; k++) {
    int64_t dim = to.dims[to.n_dims - k], here = from.dims[from.n_dims - k];
    index += (here == 1 ? 0 : i % dim) * stride;
    i /= dim;
    stride *= here;
  }
  return index;
}

/* ---- outputs
 * ------------------------------------------------------------------------------------------------------------ */

static mynah_status own(mynah__lowering *l, int64_t n, double **out) {
  if (n < 0 || n > KNOWN_MAX || n > ALL_KNOWN_MAX - l->n_known)
    return mynah_fail(MYNAH_LIMIT, "too many numbers would be worked out in advance");
  MYNAH_TRY(mynah_grow((void **)&l->owned, &l->cap_owned, l->n_owned + 1, sizeof *l->owned));
  double *numbers = mynah_calloc((size_t)n + 1, sizeof *numbers);
  if (!numbers) return MYNAH_NO_MEMORY;
  l->owned[l->n_owned++] = numbers;
  l->n_known += n + 1;
  *out = numbers;
  return MYNAH_OK;
}

mynah_status mynah__set_known(mynah__lowering *l, size_t k, mynah_shape shape, bool is_whole, double **out) {
  int index = mynah__out_index(l, k);
  double *numbers;
  MYNAH_TRY(own(l, mynah__count(shape), &numbers));
  if (index >= 0)
    l->values[index] = (mynah__value){
        .shape = shape, .is_set = true, .is_whole = is_whole, .known = numbers, .tensor = -1, .logistic_of = -1};
  *out = numbers;
  return MYNAH_OK;
}

mynah_status mynah__set_node(mynah__lowering *l, size_t k, mynah_node node, mynah_shape shape, const int *order) {
  int index = mynah__out_index(l, k);
  if (mynah_node_is_null(node)) {
    MYNAH_TRY(mynah_graph_status(l->g));
    return mynah_fail(MYNAH_INTERNAL, "onnx: no value came out");
  }
  int64_t n = mynah__count(shape);
  if (n < 0) return mynah_fail(MYNAH_LIMIT, "a value of over %lld numbers", (long long)MYNAH__ONNX_VALUE_MAX);
  if (n != mynah_shape_size(mynah_node_shape(l->g, node)))
    return mynah_fail(MYNAH_INTERNAL, "onnx: another size came out");
  if (index < 0) return MYNAH_OK;
  mynah__value v = {.shape = shape, .is_set = true, .node = node, .tensor = -1, .logistic_of = -1};
  if (order) memcpy(v.order, order, (size_t)shape.n_dims * sizeof *order);
  else own_order(shape.n_dims, v.order);
  l->values[index] = v;
  return MYNAH_OK;
}

mynah_status mynah__set_same(mynah__lowering *l, size_t k, const mynah__value *v) {
  int index = mynah__out_index(l, k);
  if (index >= 0) l->values[index] = *v;
  return MYNAH_OK;
}

/* ---- known numbers
 * ------------------------------------------------------------------------------------------------------ */

bool mynah__is_known(const mynah__value *v) { return v->known || v->tensor >= 0; }

bool mynah__is_arithmetic(const mynah__lowering *l) {
  for (size_t k = 0; k < l->node->n_in; k++) {
    const mynah__value *v = mynah__in(l, k);
    if (!v) continue;
    if (!mynah__is_known(v)) return false;
    const mynah__onnx_tensor *t = v->tensor >= 0 ? &l->o->tensors[v->tensor] : NULL;
    if (t && t->is_real && t->name && (t->shape.n_dims > 1 || t->n > ARITHMETIC_MAX)) return false;
    if (mynah__count(v->shape) > KNOWN_MAX) return false;
  }
  return true;
}

mynah_status mynah__known(mynah__lowering *l, mynah__value *v, const double **out) {
  if (!v->known && v->tensor < 0)
    return mynah_fail(MYNAH_UNSUPPORTED,
                      "an input must be known when the network is read, and here depends on what it sees");
  if (!v->known) {
    mynah__onnx_tensor *t = &l->o->tensors[v->tensor];
    double *numbers;
    if (!t->floats && !t->wholes && t->n > 0)
      return mynah_fail(MYNAH_CORRUPT, "the numbers of '%.64s' were left out", t->name ? t->name : "");
    MYNAH_TRY(own(l, t->n, &numbers));
    for (int64_t i = 0; i < t->n; i++) numbers[i] = t->is_real ? (double)t->floats[i] : t->wholes[i];
    t->is_read = true;
    v->known = numbers;
  }
  *out = v->known;
  return MYNAH_OK;
}

bool mynah__known_number(mynah__lowering *l, mynah__value *v, double *out) {
  const double *numbers;
  if (!mynah__is_known(v) || mynah__count(v->shape) != 1 || mynah__known(l, v, &numbers) != MYNAH_OK) return false;
  *out = numbers[0];
  return true;
}

/* ---- nodes
 * ---------------------------------------------------------------------------------------------------------------- */

static mynah_shape at_least_one(mynah_shape s) { return s.n_dims ? s : MYNAH_SHAPE(1); }

mynah_node mynah__constant(mynah__lowering *l, mynah_shape shape, const double *numbers) {
  int64_t n = mynah__count(shape);
  if (n < 1) return mynah_graph_fail(l->g, "a constant without numbers");
  float *floats = mynah_calloc((size_t)n, sizeof *floats);
  if (!floats) return mynah_graph_fail(l->g, "out of memory");
  for (int64_t i = 0; i < n; i++) floats[i] = (float)fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, numbers[i]));
  mynah_node node = mynah_constant(l->g, at_least_one(shape), floats);
  mynah_free(floats);
  return node;
}

/* A weight of the file becomes a weight of the graph; other constants are constants. */
static void make_node(mynah__lowering *l, mynah__value *v) {
  mynah__onnx_tensor *t = v->tensor >= 0 ? &l->o->tensors[v->tensor] : NULL;
  if (!mynah_node_is_null(v->node)) return;
  own_order(v->shape.n_dims, v->order);
  if (t && t->is_real && t->name && t->name[0] && t->shape.n_dims > 0 && t->n > 0 && !t->is_infinite) {
    v->node = mynah_weight(l->g, t->name, t->shape, (mynah_init){MYNAH_INIT_ZERO, 0});
    t->is_weight = true;
    return;
  }
  if (t && t->is_real && t->floats && t->n > 0 && !t->is_infinite) {
    v->node = mynah_constant(l->g, at_least_one(t->shape), t->floats);
    t->is_read = true;
    return;
  }
  const double *numbers;
  if (mynah__known(l, v, &numbers) == MYNAH_OK) v->node = mynah__constant(l, v->shape, numbers);
  else mynah_graph_fail(l->g, "%s", mynah_error());
}

/* Whether the axes that are longer than 1 come in the same order. */
static bool is_same_memory(mynah_shape s, const int *a, const int *b) {
  int i = 0, k = 0;
  for (;;) {
    while (i < s.n_dims && s.dims[a[i]] == 1) i++;
    while (k < s.n_dims && s.dims[b[k]] == 1) k++;
    if (i == s.n_dims || k == s.n_dims) return i == s.n_dims && k == s.n_dims;
    if (a[i++] != b[k++]) return false;
  }
}

mynah_node mynah__arranged(mynah__lowering *l, mynah__value *v, const int *order) {
  int own_axes[MYNAH_MAX_DIMS], axes[MYNAH_MAX_DIMS], n = v->shape.n_dims;
  make_node(l, v);
  own_order(n, own_axes);
  if (!order) order = own_axes;
  if (n == 0 || memcmp(order, v->order, (size_t)n * sizeof *order) == 0) return v->node;
  if (is_same_memory(v->shape, v->order, order)) return mynah_reshape(l->g, v->node, mynah__physical(v->shape, order));
  for (int k = 0; k < n; k++) axes[k] = mynah__position(v->order, n, order[k]);
  return mynah_permute(l->g, v->node, axes);
}

/* ---- mixing along an axis
 * ------------------------------------------------------------------------------------------------- */

mynah_status mynah__mix_axis(mynah__lowering *l, mynah__value *v, int axis, const double *matrix, int64_t n_out,
                             mynah__value *out) {
  int order[MYNAH_MAX_DIMS], n = v->shape.n_dims, k = 0;
  if (n < 1 || mynah_mul_size((size_t)n_out, (size_t)v->shape.dims[axis], &(size_t){0}) == false)
    return mynah_fail(MYNAH_LIMIT, "too large");
  for (int i = 0; i < n; i++)
    if (i != axis) order[k++] = i;
  order[n - 1] = axis;
  mynah_shape shape = v->shape;
  mynah_node w = mynah__constant(l, MYNAH_SHAPE(n_out, shape.dims[axis]), matrix);
  mynah_node y = mynah_linear(l->g, mynah__arranged(l, v, order), w, MYNAH_NO_NODE);
  shape.dims[axis] = n_out;
  MYNAH_TRY(mynah_graph_status(l->g));
  *out = (mynah__value){.shape = shape, .is_set = true, .node = y, .tensor = -1, .logistic_of = -1};
  memcpy(out->order, order, sizeof order);
  return MYNAH_OK;
}
