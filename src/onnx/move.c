/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Operations that make, ask for or change shapes: on constants by the numbers, else as nodes. */
#include "onnx_internal.h"

#include <math.h>
#include <string.h>

#define LIST_MAX 4096 /* parts of a split, indices of a gather */
#define FILL_KNOWN_MAX 65536

static bool is_by_numbers(const mynah__lowering *l, const mynah__value *v) {
  return mynah__is_known(v) && mynah__is_arithmetic(l);
}

static mynah_status shape_of_list(const int64_t *dims, int n, mynah_shape *out) {
  mynah_shape s = {.n_dims = n};
  for (int i = 0; i < n; i++) s.dims[i] = dims[i];
  if (mynah__count(s) < 0) return mynah_fail(MYNAH_LIMIT, "a shape that is too large or negative");
  *out = s;
  return MYNAH_OK;
}

/* Numbers picked by place: out[i] = in[start + sum of steps along the axes of shape]. */
typedef struct picking {
  mynah_shape shape;
  int64_t start, steps[MYNAH_MAX_DIMS];
} picking;
static mynah_status pick(mynah__lowering *l, mynah__value *v, const picking *p) {
  const double *in;
  double *out;
  bool is_whole = v->is_whole;
  MYNAH_TRY(mynah__known(l, v, &in));
  MYNAH_TRY(mynah__set_known(l, 0, p->shape, is_whole, &out));
  for (int64_t i = 0, n = mynah__count(p->shape); i < n; i++) {
    int64_t at = p->start, rest = i;
    for (int k = p->shape.n_dims - 1; k >= 0; k--) {
      at += rest % p->shape.dims[k] * p->steps[k];
      rest /= p->shape.dims[k];
    }
    out[i] = in[at];
  }
  return MYNAH_OK;
}
static void row_steps(mynah_shape s, int64_t *steps) {
  int64_t step = 1;
  for (int k = s.n_dims - 1; k >= 0; k--) {
    steps[k] = step;
    step *= s.dims[k];
  }
}

/* ---- making constants
 * --------------------------------------------------------------------------------------------------- */

static mynah_status op_constant(mynah__lowering *l) {
  static const char *const lists[] = {"value_ints", "value_floats"}, *const scalars[] = {"value_int", "value_float"};
  const mynah__onnx_attribute *a = mynah__attribute(l, "value");
  double *out;
  if (a && a->tensor >= 0) {
    const mynah__onnx_tensor *t = &l->o->tensors[a->tensor];
    int index = mynah__out_index(l, 0);
    if (index >= 0)
      l->values[index] = (mynah__value){
          .shape = t->shape, .is_set = true, .is_whole = !t->is_real, .tensor = a->tensor, .logistic_of = -1};
    return MYNAH_OK;
  }
  for (int k = 0; k < 2; k++) {
    if ((a = mynah__attribute(l, lists[k]))) {
      MYNAH_TRY(mynah__set_known(l, 0, MYNAH_SHAPE((int64_t)a->n), k == 0, &out));
      if (a->n) memcpy(out, l->o->numbers + a->first, a->n * sizeof *out);
      return MYNAH_OK;
    }
    if ((a = mynah__attribute(l, scalars[k]))) {
      MYNAH_TRY(mynah__set_known(l, 0, (mynah_shape){0}, k == 0, &out));
      out[0] = a->number;
      return MYNAH_OK;
    }
  }
  return mynah__refuse(l, "a constant of this kind is not known");
}

static mynah_status op_constant_of_shape(mynah__lowering *l) {
  const mynah__onnx_attribute *a = mynah__attribute(l, "value");
  const mynah__onnx_tensor *t = a && a->tensor >= 0 ? &l->o->tensors[a->tensor] : NULL;
  int64_t dims[MYNAH_MAX_DIMS];
  int n;
  mynah_shape shape;
  double *out, value = t && t->floats && t->n ? (double)t->floats[0] : t && t->wholes && t->n ? t->wholes[0] : 0;
  MYNAH_TRY(mynah__whole_list(l, "shape", 0, dims, MYNAH_MAX_DIMS, &n));
  if (n < 0) return mynah__refuse(l, "the shape is missing");
  MYNAH_TRY(shape_of_list(dims, n, &shape));
  if (mynah__count(shape) > FILL_KNOWN_MAX)
    return mynah__set_node(l, 0, mynah_fill(l->g, shape, (float)value), shape, NULL);
  MYNAH_TRY(mynah__set_known(l, 0, shape, t && !t->is_real, &out));
  for (int64_t i = 0; i < mynah__count(shape); i++) out[i] = value;
  return MYNAH_OK;
}

static mynah_status op_range(mynah__lowering *l) {
  double limits[3], *out;
  mynah__value *v = NULL;
  for (size_t k = 0; k < 3; k++) {
    MYNAH_TRY(mynah__need(l, k, &v));
    if (!mynah__known_number(l, v, &limits[k]))
      return mynah__refuse(l, "the limits must be known when the network is read");
  }
  double n = ceil((limits[1] - limits[0]) / limits[2]);
  if (!(n >= 0)) n = 0;
  if (n > 1048576) return mynah_fail(MYNAH_LIMIT, "a range of %.0f numbers", n);
  MYNAH_TRY(mynah__set_known(l, 0, MYNAH_SHAPE((int64_t)n), v->is_whole, &out));
  for (int64_t i = 0; i < (int64_t)n; i++) out[i] = limits[0] + (double)i * limits[2];
  return MYNAH_OK;
}

static mynah_status op_shape(mynah__lowering *l) {
  mynah__value *v;
  double *out;
  MYNAH_TRY(mynah__need(l, 0, &v));
  mynah_shape s = v->shape;
  int64_t n = s.n_dims, start = mynah__whole_attribute(l, "start", 0), end = mynah__whole_attribute(l, "end", n);
  start = start < 0 ? (start + n < 0 ? 0 : start + n) : start > n ? n : start;
  end = end < 0 ? end + n : end > n ? n : end;
  if (end < start) end = start;
  MYNAH_TRY(mynah__set_known(l, 0, MYNAH_SHAPE(end - start), true, &out));
  for (int64_t i = start; i < end; i++) out[i - start] = (double)s.dims[i];
  return MYNAH_OK;
}

static mynah_status op_size(mynah__lowering *l) {
  mynah__value *v;
  double *out;
  MYNAH_TRY(mynah__need(l, 0, &v));
  double n = (double)mynah__count(v->shape);
  MYNAH_TRY(mynah__set_known(l, 0, (mynah_shape){0}, true, &out));
  out[0] = n;
  return MYNAH_OK;
}

/* ---- the same numbers in another shape
 * ------------------------------------------------------------------------------------ */

static mynah_status reshaped(mynah__lowering *l, mynah__value *v, mynah_shape shape) {
  if (mynah__count(shape) != mynah__count(v->shape))
    return mynah_fail(MYNAH_MISMATCH, "%lld numbers do not go into %lld", (long long)mynah__count(v->shape),
                      (long long)mynah__count(shape));
  if (is_by_numbers(l, v)) {
    picking p = {.shape = shape};
    row_steps(shape, p.steps);
    return pick(l, v, &p);
  }
  return mynah__set_node(l, 0, mynah_reshape(l->g, mynah__arranged(l, v, NULL), shape.n_dims ? shape : MYNAH_SHAPE(1)),
                         shape, NULL);
}

static mynah_status op_reshape(mynah__lowering *l) {
  mynah__value *v;
  int64_t dims[MYNAH_MAX_DIMS], known = 1;
  int n, open = -1;
  bool keeps_zero = mynah__whole_attribute(l, "allowzero", 0) != 0;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__whole_list(l, "shape", 1, dims, MYNAH_MAX_DIMS, &n));
  if (n < 0) return mynah__refuse(l, "the shape is missing");
  for (int i = 0; i < n; i++) {
    if (dims[i] == 0 && !keeps_zero && i < v->shape.n_dims) dims[i] = v->shape.dims[i];
    if (dims[i] == -1 && open < 0) open = i;
    else if (dims[i] < 0 || __builtin_mul_overflow(known, dims[i], &known))
      return mynah_fail(MYNAH_CORRUPT, "the shape is wrong");
  }
  if (open >= 0) dims[open] = known ? mynah__count(v->shape) / known : 0;
  mynah_shape shape;
  MYNAH_TRY(shape_of_list(dims, n, &shape));
  return reshaped(l, v, shape);
}

static mynah_status op_flatten(mynah__lowering *l) {
  mynah__value *v;
  MYNAH_TRY(mynah__need(l, 0, &v));
  int64_t axis = mynah__whole_attribute(l, "axis", 1), n = v->shape.n_dims, rows = 1;
  if (axis < 0) axis += n;
  if (axis < 0 || axis > n) return mynah_fail(MYNAH_CORRUPT, "there is no axis %lld", (long long)axis);
  for (int64_t i = 0; i < axis; i++) rows *= v->shape.dims[i];
  return reshaped(l, v, MYNAH_SHAPE(rows, rows ? mynah__count(v->shape) / rows : 0));
}

/* The value with its axes i kept for which axes[i] >= 0 names an old one, new ones of 1 elsewhere: nothing moves. */
static mynah_status renamed(mynah__lowering *l, mynah__value *v, const int *axes, int n) {
  mynah_shape shape = {.n_dims = n}, physical;
  int order[MYNAH_MAX_DIMS], k = 0, old[MYNAH_MAX_DIMS];
  for (int i = 0; i < n; i++) shape.dims[i] = axes[i] >= 0 ? v->shape.dims[axes[i]] : 1;
  if (is_by_numbers(l, v)) return reshaped(l, v, shape);
  mynah_node x = mynah__arranged(l, v, NULL);
  bool is_own = true;
  mynah__order_of(v, old);
  for (int i = 0; i < v->shape.n_dims; i++) is_own = is_own && old[i] == i;
  if (!is_own && !mynah_node_is_null(v->node)) {
    x = v->node; /* old axes in the order they lie in, new ones behind */
    for (int p = 0; p < v->shape.n_dims; p++)
      for (int i = 0; i < n; i++)
        if (axes[i] == old[p]) order[k++] = i;
    for (int i = 0; i < n; i++)
      if (axes[i] < 0) order[k++] = i;
  } else {
    for (int i = 0; i < n; i++) order[i] = i;
  }
  physical = mynah__physical(shape, order);
  return mynah__set_node(l, 0, mynah_reshape(l->g, x, n ? physical : MYNAH_SHAPE(1)), shape, order);
}

static mynah_status op_squeeze(mynah__lowering *l) {
  mynah__value *v;
  int64_t given[MYNAH_MAX_DIMS];
  int n_given, axes[MYNAH_MAX_DIMS], n = 0;
  bool is_dropped[MYNAH_MAX_DIMS] = {false};
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__whole_list(l, "axes", 1, given, MYNAH_MAX_DIMS, &n_given));
  for (int i = 0; i < v->shape.n_dims && n_given < 0; i++) is_dropped[i] = v->shape.dims[i] == 1;
  for (int i = 0; i < n_given; i++) {
    int axis;
    MYNAH_TRY(mynah__axis(l, given[i], v->shape.n_dims, &axis));
    if (v->shape.dims[axis] != 1) return mynah_fail(MYNAH_MISMATCH, "axis %d is not 1", axis);
    is_dropped[axis] = true;
  }
  for (int i = 0; i < v->shape.n_dims; i++)
    if (!is_dropped[i]) axes[n++] = i;
  return renamed(l, v, axes, n);
}

static mynah_status op_unsqueeze(mynah__lowering *l) {
  mynah__value *v;
  int64_t given[MYNAH_MAX_DIMS];
  int n_given, axes[MYNAH_MAX_DIMS], old = 0;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__whole_list(l, "axes", 1, given, MYNAH_MAX_DIMS, &n_given));
  int n = v->shape.n_dims + (n_given < 0 ? 0 : n_given);
  if (n > MYNAH_MAX_DIMS) return mynah_fail(MYNAH_UNSUPPORTED, "over %d dimensions", MYNAH_MAX_DIMS);
  for (int i = 0; i < n; i++) axes[i] = 0;
  for (int i = 0; i < n_given; i++) {
    int axis;
    MYNAH_TRY(mynah__axis(l, given[i], n, &axis));
    if (axes[axis] < 0) return mynah_fail(MYNAH_CORRUPT, "axis %d twice", axis);
    axes[axis] = -1;
  }
  for (int i = 0; i < n; i++)
    if (axes[i] >= 0) axes[i] = old++;
  return renamed(l, v, axes, n);
}

static mynah_status op_transpose(mynah__lowering *l) {
  mynah__value *v;
  int64_t perm[MYNAH_MAX_DIMS];
  int n_perm, order[MYNAH_MAX_DIMS], old[MYNAH_MAX_DIMS];
  unsigned seen = 0;
  MYNAH_TRY(mynah__need(l, 0, &v));
  int n = v->shape.n_dims;
  MYNAH_TRY(mynah__whole_list(l, "perm", -1, perm, MYNAH_MAX_DIMS, &n_perm));
  for (int i = 0; i < n && n_perm < 0; i++) perm[i] = n - 1 - i;
  if (n_perm >= 0 && n_perm != n) return mynah_fail(MYNAH_CORRUPT, "%d axes for %d dimensions", n_perm, n);
  mynah_shape shape = {.n_dims = n};
  for (int i = 0; i < n; i++) {
    if (perm[i] < 0 || perm[i] >= n || (seen >> perm[i] & 1))
      return mynah_fail(MYNAH_CORRUPT, "the axes are no permutation");
    seen |= 1u << perm[i];
    shape.dims[i] = v->shape.dims[perm[i]];
  }
  if (is_by_numbers(l, v)) {
    picking p = {.shape = shape};
    int64_t steps[MYNAH_MAX_DIMS];
    row_steps(v->shape, steps);
    for (int i = 0; i < n; i++) p.steps[i] = steps[perm[i]];
    return pick(l, v, &p);
  }
  mynah__order_of(v, old);
  mynah_node x = mynah__arranged(l, v, old);
  for (int k = 0; k < n; k++)
    for (int i = 0; i < n; i++)
      if (perm[i] == old[k]) order[k] = i;
  return mynah__set_node(l, 0, x, shape, order);
}

/* ---- parts
 * -------------------------------------------------------------------------------------------------------------------
 */

/* Along an axis: `length` numbers from `start` on, every `step`-th, backwards when that is negative. */
typedef struct section {
  int axis;
  int64_t start, length, step;
} section;

/* A node of every step-th element, by a matrix of zeros and ones. */
static mynah_status strided(mynah__lowering *l, mynah__value *v, section s, mynah__value *out) {
  int64_t n = v->shape.dims[s.axis];
  double *matrix;
  size_t size;
  if (!mynah_mul_size((size_t)n, (size_t)s.length, &size) || size > (size_t)1 << 22)
    return mynah__refuse(l, "steps over so many elements");
  if (!(matrix = mynah_calloc(size + 1, sizeof *matrix))) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < s.length; i++) matrix[i * n + s.start + i * s.step] = 1;
  mynah_status status = mynah__mix_axis(l, v, s.axis, matrix, s.length, out);
  mynah_free(matrix);
  return status;
}

/* The section as a value of its own, in the order that v has. */
static mynah_status cut(mynah__lowering *l, mynah__value *v, section s, mynah__value *out) {
  if (s.length < 1) return mynah__refuse(l, "an empty part");
  if (s.length == v->shape.dims[s.axis] && s.step == 1) {
    *out = *v;
    return MYNAH_OK;
  }
  if (s.step != 1 && s.length > 1) return strided(l, v, s, out);
  mynah__value y = {.shape = v->shape, .is_set = true, .is_whole = v->is_whole, .tensor = -1, .logistic_of = -1};
  mynah__order_of(v, y.order);
  y.shape.dims[s.axis] = s.length;
  int n = v->shape.n_dims;
  y.node = mynah_slice(l->g, mynah__arranged(l, v, y.order), mynah__position(y.order, n, s.axis), s.start, s.length);
  MYNAH_TRY(mynah_graph_status(l->g));
  *out = y;
  return MYNAH_OK;
}

static int64_t between(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

static mynah_status section_of(const mynah__lowering *l, const mynah__value *v, const int64_t given[4], section *out) {
  section s = {.step = given[3]};
  MYNAH_TRY(mynah__axis(l, given[2], v->shape.n_dims, &s.axis));
  int64_t n = v->shape.dims[s.axis], start = given[0] < 0 ? given[0] + n : given[0],
          end = given[1] < 0 ? given[1] + n : given[1];
  if (s.step == 0) return mynah_fail(MYNAH_CORRUPT, "a step of 0");
  if (s.step > 0) {
    start = between(start, 0, n);
    end = between(end, 0, n);
    s.length = end > start ? (end - start - 1) / s.step + 1 : 0;
  } else {
    start = between(start, -1, n - 1);
    end = between(end, -1, n - 1);
    s.length =
        start > end ? (start - end - 1) / (s.step < -MYNAH__ONNX_LARGEST ? MYNAH__ONNX_LARGEST : -s.step) + 1 : 0;
  }
  s.start = start < 0 ? 0 : start;
  if (s.length <= 1) s.step = 1;
  *out = s;
  return MYNAH_OK;
}

static mynah_status op_slice(mynah__lowering *l) {
  mynah__value *v;
  int64_t lists[4][MYNAH_MAX_DIMS];
  static const char *const names[4] = {"starts", "ends", "axes", "steps"};
  int n[4];
  MYNAH_TRY(mynah__need(l, 0, &v));
  for (int k = 0; k < 4; k++) MYNAH_TRY(mynah__whole_list(l, names[k], k + 1, lists[k], MYNAH_MAX_DIMS, &n[k]));
  if (n[0] < 0 || n[1] != n[0] || (n[2] >= 0 && n[2] != n[0]) || (n[3] >= 0 && n[3] != n[0]))
    return mynah_fail(MYNAH_CORRUPT, "starts, ends, axes and steps do not fit each other");
  bool is_known = is_by_numbers(l, v);
  picking p = {.shape = v->shape};
  mynah__value now = *v;
  row_steps(v->shape, p.steps);
  for (int i = 0; i < n[0]; i++) {
    section s = {0};
    MYNAH_TRY(section_of(
        l, &now, (int64_t[]){lists[0][i], lists[1][i], n[2] >= 0 ? lists[2][i] : i, n[3] >= 0 ? lists[3][i] : 1}, &s));
    if (is_known) {
      p.start += s.start * p.steps[s.axis];
      p.steps[s.axis] *= s.step;
      now.shape.dims[s.axis] = p.shape.dims[s.axis] = s.length;
    } else {
      MYNAH_TRY(cut(l, &now, s, &now));
    }
  }
  return is_known ? pick(l, v, &p) : mynah__set_same(l, 0, &now);
}

/* Sizes of the parts. */
static mynah_status split_sizes(mynah__lowering *l, int64_t whole, int64_t *sizes, int *n) {
  int64_t sum = 0, n_out = (int64_t)l->node->n_out;
  MYNAH_TRY(mynah__whole_list(l, "split", 1, sizes, LIST_MAX, n));
  if (*n < 0) {
    if (n_out > LIST_MAX) return mynah_fail(MYNAH_LIMIT, "over %d parts", LIST_MAX);
    int64_t each = (whole + n_out - 1) / n_out;
    for (int64_t i = 0; i < n_out; i++) sizes[i] = between(whole - i * each, 0, each);
    *n = (int)n_out;
  }
  for (int i = 0; i < *n; i++) sum += sizes[i] < 0 || sizes[i] > whole ? whole + 1 : sizes[i];
  if (sum != whole || *n < n_out) return mynah_fail(MYNAH_MISMATCH, "the parts do not make up the whole");
  return MYNAH_OK;
}

static mynah_status op_split(mynah__lowering *l) {
  mynah__value *given, part;
  int64_t sizes[LIST_MAX], start = 0;
  int n, axis;
  MYNAH_TRY(mynah__need(l, 0, &given));
  mynah__value v = *given;
  MYNAH_TRY(mynah__axis(l, mynah__whole_attribute(l, "axis", 0), v.shape.n_dims, &axis));
  MYNAH_TRY(split_sizes(l, v.shape.dims[axis], sizes, &n));
  for (size_t i = 0; i < l->node->n_out; i++) {
    section s = {axis, start, sizes[i], 1};
    if (mynah__out_index(l, i) >= 0) {
      MYNAH_TRY(cut(l, &v, s, &part));
      MYNAH_TRY(mynah__set_same(l, i, &part));
    }
    start += sizes[i];
  }
  return MYNAH_OK;
}

/* ---- joining
 * ------------------------------------------------------------------------------------------------------------------ */

static mynah_status join_numbers(mynah__lowering *l, int axis, mynah_shape shape) {
  double *out;
  int64_t inner = 1, outer = 1, filled = 0;
  for (int i = 0; i < shape.n_dims; i++) *(i < axis ? &outer : &inner) *= shape.dims[i];
  bool is_whole = true;
  for (size_t k = 0; k < l->node->n_in; k++) is_whole = is_whole && mynah__in(l, k)->is_whole;
  MYNAH_TRY(mynah__set_known(l, 0, shape, is_whole, &out));
  for (size_t k = 0; k < l->node->n_in; k++) {
    mynah__value *v = mynah__in(l, k);
    const double *in;
    MYNAH_TRY(mynah__known(l, v, &in));
    int64_t n = outer ? mynah__count(v->shape) / outer : 0;
    for (int64_t i = 0; i < outer; i++)
      if (n) memcpy(out + i * inner + filled, in + i * n, (size_t)n * sizeof *out);
    filled += n;
  }
  return MYNAH_OK;
}

/* Joins n values of the same shape but for `axis`, in the order of the first that has one of its own. */
static mynah_status join_nodes(mynah__lowering *l, mynah__value *const *parts, size_t n_parts, int axis,
                               mynah_shape shape) {
  int order[MYNAH_MAX_DIMS], n = shape.n_dims;
  mynah_node *nodes = mynah_calloc(n_parts + 1, sizeof *nodes);
  if (!nodes) return MYNAH_NO_MEMORY;
  const mynah__value *first = parts[0];
  for (size_t i = 0; i < n_parts && mynah_node_is_null(first->node); i++) first = parts[i];
  int n_nodes = 0;
  mynah__order_of(first, order);
  for (size_t i = 0; i < n_parts; i++)
    if (mynah__count(parts[i]->shape) > 0) nodes[n_nodes++] = mynah__arranged(l, parts[i], order);
  mynah_node y = n_nodes ? mynah_concat(l->g, nodes, n_nodes, mynah__position(order, n, axis)) : MYNAH_NO_NODE;
  mynah_free(nodes);
  return mynah__set_node(l, 0, y, shape, order);
}

static mynah_status op_concat(mynah__lowering *l) {
  mynah__value *v;
  size_t n = l->node->n_in;
  int axis;
  MYNAH_TRY(mynah__need(l, 0, &v));
  mynah_shape shape = v->shape;
  MYNAH_TRY(mynah__axis(l, mynah__whole_attribute(l, "axis", 0), shape.n_dims, &axis));
  mynah__value **parts = mynah_calloc(n + 1, sizeof *parts);
  mynah_status status = parts ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (size_t k = 0; k < n && status == MYNAH_OK; k++) {
    status = mynah__need(l, k, &parts[k]);
    if (status != MYNAH_OK || k == 0) continue;
    bool fits = parts[k]->shape.n_dims == shape.n_dims;
    for (int i = 0; fits && i < shape.n_dims; i++) fits = i == axis || parts[k]->shape.dims[i] == shape.dims[i];
    if (!fits) status = mynah_fail(MYNAH_MISMATCH, "input %zu differs elsewhere than along axis %d", k, axis);
    else shape.dims[axis] += parts[k]->shape.dims[axis];
    if (status == MYNAH_OK && mynah__count(shape) < 0) status = mynah_fail(MYNAH_LIMIT, "too large");
  }
  if (status == MYNAH_OK)
    status = mynah__is_arithmetic(l) ? join_numbers(l, axis, shape) : join_nodes(l, parts, n, axis, shape);
  mynah_free(parts);
  return status;
}

/* ---- stretching and repeating
 * --------------------------------------------------------------------------------------------------- */

static mynah_status op_expand(mynah__lowering *l) {
  mynah__value *v;
  int64_t dims[MYNAH_MAX_DIMS];
  int n;
  mynah_shape wanted, shape;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__whole_list(l, "shape", 1, dims, MYNAH_MAX_DIMS, &n));
  if (n < 0) return mynah__refuse(l, "the shape is missing");
  MYNAH_TRY(shape_of_list(dims, n, &wanted));
  MYNAH_TRY(mynah__broadcast_shape(l, v->shape, wanted, &shape));
  if (is_by_numbers(l, v) && mynah__count(shape) <= FILL_KNOWN_MAX) {
    picking p = {.shape = shape};
    int64_t steps[MYNAH_MAX_DIMS];
    int shift = shape.n_dims - v->shape.n_dims;
    row_steps(v->shape, steps);
    for (int i = shift; i < shape.n_dims; i++) p.steps[i] = v->shape.dims[i - shift] == 1 ? 0 : steps[i - shift];
    return pick(l, v, &p);
  }
  if (mynah__count(shape) == mynah__count(v->shape)) return reshaped(l, v, shape);
  if (mynah__count(shape) < 1) return mynah__refuse(l, "empty or too large values");
  return mynah__set_node(l, 0, mynah_broadcast(l->g, mynah__arranged(l, v, NULL), shape), shape, NULL);
}

static mynah_status op_tile(mynah__lowering *l) {
  mynah__value *v;
  int64_t repeats[MYNAH_MAX_DIMS];
  int n;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__whole_list(l, "repeats", 1, repeats, MYNAH_MAX_DIMS, &n));
  if (n != v->shape.n_dims) return mynah_fail(MYNAH_MISMATCH, "%d repeats for %d dimensions", n, v->shape.n_dims);
  mynah_node x = mynah__arranged(l, v, NULL);
  mynah_shape shape = v->shape;
  for (int k = 0; k < n; k++) {
    mynah_node parts[512];
    if (repeats[k] < 1 || repeats[k] > 512) return mynah__refuse(l, "%lld repeats", (long long)repeats[k]);
    for (int64_t i = 0; i < repeats[k]; i++) parts[i] = x;
    x = repeats[k] > 1 ? mynah_concat(l->g, parts, (int)repeats[k], k) : x;
    shape.dims[k] *= repeats[k];
    if (mynah__count(shape) < 0) return mynah_fail(MYNAH_LIMIT, "too large");
  }
  return mynah__set_node(l, 0, x, shape, NULL);
}

/* ---- gathering
 * --------------------------------------------------------------------------------------------------------------------
 */

static mynah_status gather_numbers(mynah__lowering *l, mynah__value *v, int axis, const int64_t *index,
                                   mynah_shape index_shape, mynah_shape shape) {
  const double *in;
  double *out;
  int64_t n_index = mynah__count(index_shape), n = v->shape.dims[axis], inner = 1, outer = 1;
  for (int i = 0; i < v->shape.n_dims; i++) {
    if (i < axis) outer *= v->shape.dims[i];
    if (i > axis) inner *= v->shape.dims[i];
  }
  bool is_whole = v->is_whole;
  MYNAH_TRY(mynah__known(l, v, &in));
  MYNAH_TRY(mynah__set_known(l, 0, shape, is_whole, &out));
  for (int64_t a = 0; a < outer; a++)
    for (int64_t k = 0; k < n_index; k++)
      if (inner) memcpy(out + (a * n_index + k) * inner, in + (a * n + index[k]) * inner, (size_t)inner * sizeof *out);
  return MYNAH_OK;
}

static mynah_status gather_nodes(mynah__lowering *l, mynah__value *v, int axis, const int64_t *index, int64_t n_index,
                                 mynah__value *out) {
  bool is_run = true;
  for (int64_t k = 1; k < n_index; k++) is_run = is_run && index[k] == index[0] + k;
  if (is_run) return cut(l, v, (section){axis, index[0], n_index, 1}, out);
  int64_t n = v->shape.dims[axis];
  size_t size;
  double *matrix;
  if (!mynah_mul_size((size_t)n, (size_t)n_index, &size) || size > (size_t)1 << 22)
    return mynah__refuse(l, "so many indices");
  if (!(matrix = mynah_calloc(size + 1, sizeof *matrix))) return MYNAH_NO_MEMORY;
  for (int64_t k = 0; k < n_index; k++) matrix[k * n + index[k]] = 1;
  mynah_status status = mynah__mix_axis(l, v, axis, matrix, n_index, out);
  mynah_free(matrix);
  return status;
}

/* Which elements of an axis, and the shape that they lie in. */
typedef struct choice {
  int axis;
  mynah_shape places;
  int64_t index[LIST_MAX];
  int n;
} choice;

static mynah_status gather(mynah__lowering *l, mynah__value *v, choice *c) {
  mynah__value part;
  int axis = c->axis, n = 0;
  mynah_shape shape = {0};
  if (v->shape.n_dims - 1 + c->places.n_dims > MYNAH_MAX_DIMS)
    return mynah_fail(MYNAH_UNSUPPORTED, "over %d dimensions", MYNAH_MAX_DIMS);
  for (int i = 0; i < c->n; i++) {
    if (c->index[i] < 0) c->index[i] += v->shape.dims[axis];
    if (c->index[i] < 0 || c->index[i] >= v->shape.dims[axis])
      return mynah_fail(MYNAH_CORRUPT, "index %lld is outside", (long long)c->index[i]);
  }
  for (int i = 0; i < axis; i++) shape.dims[n++] = v->shape.dims[i];
  for (int i = 0; i < c->places.n_dims; i++) shape.dims[n++] = c->places.dims[i];
  for (int i = axis + 1; i < v->shape.n_dims; i++) shape.dims[n++] = v->shape.dims[i];
  shape.n_dims = n;
  if (is_by_numbers(l, v)) return gather_numbers(l, v, axis, c->index, c->places, shape);
  if (c->n < 1) return mynah__refuse(l, "an empty part");
  MYNAH_TRY(gather_nodes(l, v, axis, c->index, c->n, &part));
  if (c->places.n_dims == 1) return mynah__set_same(l, 0, &part);
  if (c->places.n_dims == 0) {
    int axes[MYNAH_MAX_DIMS], k = 0;
    for (int i = 0; i < part.shape.n_dims; i++)
      if (i != axis) axes[k++] = i;
    return renamed(l, &part, axes, k);
  }
  return mynah__set_node(l, 0, mynah_reshape(l->g, mynah__arranged(l, &part, NULL), shape), shape, NULL);
}

static mynah_status op_gather(mynah__lowering *l) {
  mynah__value *v, *where;
  choice c;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__need(l, 1, &where));
  MYNAH_TRY(mynah__axis(l, mynah__whole_attribute(l, "axis", 0), v->shape.n_dims, &c.axis));
  MYNAH_TRY(mynah__whole_list(l, "indices", 1, c.index, LIST_MAX, &c.n));
  c.places = where->shape;
  return gather(l, v, &c);
}

/* Indices of several axes at once: as indices of these axes in a row. */
static mynah_status op_gather_nd(mynah__lowering *l) {
  mynah__value *v, *where, flat;
  choice c = {.axis = 0};
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__need(l, 1, &where));
  MYNAH_TRY(mynah__whole_list(l, "indices", 1, c.index, LIST_MAX, &c.n));
  int n = where->shape.n_dims, depth = n > 0 ? (int)where->shape.dims[n - 1] : 0;
  if (depth < 1 || depth > v->shape.n_dims) return mynah_fail(MYNAH_CORRUPT, "indices of %d axes", depth);
  if (mynah__whole_attribute(l, "batch_dims", 0) || mynah__count(v->shape) < 1)
    return mynah__refuse(l, "batch_dims is not known");
  c.places = where->shape;
  c.places.n_dims = n - 1;
  for (int i = 0; i < c.n / depth; i++) {
    int64_t at = 0;
    for (int k = 0; k < depth; k++) {
      int64_t dim = v->shape.dims[k], index = c.index[i * depth + k];
      if (index < 0) index += dim;
      if (index < 0 || index >= dim) return mynah_fail(MYNAH_CORRUPT, "index %lld is outside", (long long)index);
      at = at * dim + index;
    }
    c.index[i] = at;
  }
  c.n /= depth;
  mynah_shape rows = {.n_dims = 1, .dims = {1}};
  for (int k = 0; k < v->shape.n_dims; k++) {
    if (k < depth) rows.dims[0] *= v->shape.dims[k];
    else rows.dims[rows.n_dims++] = v->shape.dims[k];
  }
  if (depth == 1 || is_by_numbers(l, v)) {
    flat = *v;
    flat.shape = rows;
    return gather(l, depth == 1 ? v : &flat, &c);
  }
  flat = (mynah__value){.shape = rows, .is_set = true, .is_whole = v->is_whole, .tensor = -1, .logistic_of = -1};
  flat.node = mynah_reshape(l->g, mynah__arranged(l, v, NULL), rows);
  for (int k = 0; k < rows.n_dims; k++) flat.order[k] = k;
  return gather(l, &flat, &c);
}

/* The lower (or upper) triangle of constants: what masks of attention are made of. */
static mynah_status op_trilu(mynah__lowering *l) {
  mynah__value *v, *diagonal = mynah__in(l, 1);
  const double *in;
  double *out, k = 0;
  bool is_upper = mynah__whole_attribute(l, "upper", 1) != 0;
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (diagonal && !mynah__known_number(l, diagonal, &k)) return mynah__refuse(l, "the diagonal must be a constant");
  mynah_shape s = v->shape;
  if (s.n_dims < 2) return mynah_fail(MYNAH_CORRUPT, "takes a matrix");
  MYNAH_TRY(mynah__known(l, v, &in));
  MYNAH_TRY(mynah__set_known(l, 0, s, v->is_whole, &out));
  int64_t rows = s.dims[s.n_dims - 2], columns = s.dims[s.n_dims - 1];
  for (int64_t i = 0; i < mynah__count(s); i++) {
    double off = (double)(i % columns) - (double)(i / columns % rows) - k;
    if (is_upper ? off >= 0 : off <= 0) out[i] = in[i];
  }
  return MYNAH_OK;
}

/* ---- blocks of pixels
 * ------------------------------------------------------------------------------------------------------------------ */

static mynah_status op_depth_to_space(mynah__lowering *l) {
  mynah__value *v;
  bool is_crd = strcmp(mynah__text_attribute(l, "mode", "DCR"), "CRD") == 0,
       is_back = strcmp(l->node->op, "SpaceToDepth") == 0;
  MYNAH_TRY(mynah__need(l, 0, &v));
  int64_t b = mynah__whole_attribute(l, "blocksize", 0);
  const int64_t *d = v->shape.dims;
  bool fits =
      v->shape.n_dims == 4 && b >= 1 && b <= 1024 && (is_back ? d[2] % b == 0 && d[3] % b == 0 : d[1] % (b * b) == 0);
  if (!fits) return mynah_fail(MYNAH_MISMATCH, "blocks of %lld do not fit", (long long)b);
  mynah_node x = mynah__arranged(l, v, NULL);
  mynah_shape shape;
  if (is_back) {
    shape = MYNAH_SHAPE(d[0], d[1] * b * b, d[2] / b, d[3] / b);
    x = mynah_reshape(l->g, x, MYNAH_SHAPE(d[0], d[1], d[2] / b, b, d[3] / b, b));
    x = mynah_permute(l->g, x, (int[]){0, 3, 5, 1, 2, 4});
  } else {
    int64_t c = d[1] / (b * b);
    shape = MYNAH_SHAPE(d[0], c, d[2] * b, d[3] * b);
    x = mynah_reshape(l->g, x,
                      is_crd ? MYNAH_SHAPE(d[0], c, b, b, d[2], d[3]) : MYNAH_SHAPE(d[0], b, b, c, d[2], d[3]));
    x = mynah_permute(l->g, x, is_crd ? (int[]){0, 1, 4, 2, 5, 3} : (int[]){0, 3, 4, 1, 5, 2});
  }
  return mynah__set_node(l, 0, mynah_reshape(l->g, x, shape), shape, NULL);
}

const mynah__onnx_op mynah__onnx_move_ops[] = {
    {"Concat", op_concat},
    {"Constant", op_constant},
    {"ConstantOfShape", op_constant_of_shape},
    {"DepthToSpace", op_depth_to_space},
    {"Expand", op_expand},
    {"Flatten", op_flatten},
    {"Gather", op_gather},
    {"GatherND", op_gather_nd},
    {"Range", op_range},
    {"Reshape", op_reshape},
    {"Shape", op_shape},
    {"Size", op_size},
    {"Slice", op_slice},
    {"SpaceToDepth", op_depth_to_space},
    {"Split", op_split},
    {"Squeeze", op_squeeze},
    {"Tile", op_tile},
    {"Transpose", op_transpose},
    {"Trilu", op_trilu},
    {"Unsqueeze", op_unsqueeze},
    {NULL, NULL},
};
