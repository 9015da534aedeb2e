/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Resizing, padding and running sums: along each axis a matrix of constants, but for the common cases that the engine knows. */
#include "onnx_internal.h"

#include <math.h>
#include <string.h>

#define MATRIX_MAX ((size_t)1 << 22)

/* ---- resizing
 * ----------------------------------------------------------------------------------------------------------- */

typedef struct resizing {
  const char *mode, *place, *nearest;
  double cubic;
} resizing;

/* Where in the input output j lies. */
static double origin(const resizing *r, int64_t j, int64_t n_in, int64_t n_out, double scale) {
  double x = (double)j;
  if (strcmp(r->place, "asymmetric") == 0) return x / scale;
  if (strcmp(r->place, "align_corners") == 0) return n_out > 1 ? x * (double)(n_in - 1) / (double)(n_out - 1) : 0;
  if (strcmp(r->place, "pytorch_half_pixel") == 0 && n_out <= 1) return 0;
  return (x + 0.5) / scale - 0.5;
}

static int64_t clamped(double at, int64_t n) { return at < 0 ? 0 : at > (double)(n - 1) ? n - 1 : (int64_t)at; }

static double nearest(const resizing *r, double at) {
  if (strcmp(r->nearest, "floor") == 0) return floor(at);
  if (strcmp(r->nearest, "ceil") == 0) return ceil(at);
  return strcmp(r->nearest, "round_prefer_ceil") == 0 ? floor(at + 0.5) : ceil(at - 0.5);
}

/* Cubic convolution with coefficient a (Keys 1981). */
static double cubic(double x, double a) {
  x = fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static void fill_row(const resizing *r, double at, int64_t n, double *row) {
  double low = floor(at);
  if (strcmp(r->mode, "nearest") == 0) row[clamped(nearest(r, at), n)] = 1;
  else if (strcmp(r->mode, "linear") == 0) {
    at = at < 0 ? 0 : at > (double)(n - 1) ? (double)(n - 1) : at;
    low = floor(at);
    row[clamped(low, n)] += 1 - (at - low);
    row[clamped(low + 1, n)] += at - low;
  } else {
    for (int k = -1; k <= 2; k++) row[clamped(low + k, n)] += cubic(at - low - k, r->cubic);
  }
}

static mynah_status resize_axis(mynah__lowering *l, const resizing *r, mynah__value *v, int axis, int64_t n_out,
                                double scale) {
  int64_t n = v->shape.dims[axis];
  size_t size;
  if (n_out < 1 || !mynah_mul_size((size_t)n, (size_t)n_out, &size) || size > MATRIX_MAX)
    return mynah_fail(MYNAH_LIMIT, "too large");
  double *matrix = mynah_calloc(size + 1, sizeof *matrix);
  if (!matrix) return MYNAH_NO_MEMORY;
  for (int64_t j = 0; j < n_out; j++) fill_row(r, origin(r, j, n, n_out, scale), n, matrix + j * n);
  mynah_status status = mynah__mix_axis(l, v, axis, matrix, n_out, v);
  mynah_free(matrix);
  return status;
}

/* The sizes and scales that come out, from `scales` or `sizes`. */
static mynah_status resize_target(mynah__lowering *l, const mynah__value *v, int64_t *dims, double *scales) {
  bool is_upsample = strcmp(l->node->op, "Upsample") == 0, is_old = is_upsample || l->o->opset < 11;
  mynah__value *by = mynah__in(l, is_old ? 1 : 2), *sizes = is_old ? NULL : mynah__in(l, 3);
  const mynah__onnx_attribute *a = mynah__attribute(l, "scales");
  const double *numbers;
  int n = v->shape.n_dims;
  if (mynah__attribute(l, "axes")) return mynah__refuse(l, "with axes is not known");
  if (by && mynah__count(by->shape) == 0) by = NULL;
  if (sizes && mynah__count(sizes->shape) == 0) sizes = NULL;
  if (!by && !sizes && !(a && a->n == (size_t)n)) return mynah__refuse(l, "needs scales or sizes");
  if (by && mynah__count(by->shape) != n) return mynah_fail(MYNAH_CORRUPT, "the scales do not fit");
  if (!by && sizes && mynah__count(sizes->shape) != n) return mynah_fail(MYNAH_CORRUPT, "the sizes do not fit");
  if (by || sizes) MYNAH_TRY(mynah__known(l, by ? by : sizes, &numbers));
  else numbers = n > 0 ? l->o->numbers + a->first : NULL;
  for (int k = 0; k < n; k++) {
    double in = (double)v->shape.dims[k], out = by || !sizes ? floor(in * numbers[k]) : numbers[k];
    if (!(out >= 1 && out <= 1 << 20)) return mynah_fail(MYNAH_CORRUPT, "a size of %g", out);
    dims[k] = (int64_t)out;
    scales[k] = by || !sizes ? numbers[k] : out / in;
  }
  return MYNAH_OK;
}

/* Each pixel becomes a square of equal ones: all ways of placing agree on that. */
static bool is_whole_nearest(const resizing *r, const mynah__value *v, const int64_t *dims) {
  const int64_t *in = v->shape.dims;
  if (strcmp(r->mode, "nearest") != 0 || v->shape.n_dims != 4 || dims[0] != in[0] || dims[1] != in[1]) return false;
  bool is_plain = strcmp(r->place, "asymmetric") == 0
                      ? strcmp(r->nearest, "floor") == 0
                      : strcmp(r->place, "half_pixel") == 0 || strcmp(r->place, "pytorch_half_pixel") == 0;
  return is_plain && dims[2] % in[2] == 0 && dims[3] % in[3] == 0 && dims[2] / in[2] == dims[3] / in[3] &&
         dims[2] / in[2] <= 64;
}

static mynah_status op_resize(mynah__lowering *l) {
  mynah__value *given;
  int64_t dims[MYNAH_MAX_DIMS];
  double scales[MYNAH_MAX_DIMS];
  bool is_old = strcmp(l->node->op, "Upsample") == 0 || l->o->opset < 11;
  resizing r = {mynah__text_attribute(l, "mode", "nearest"),
                mynah__text_attribute(l, "coordinate_transformation_mode", is_old ? "asymmetric" : "half_pixel"),
                mynah__text_attribute(l, "nearest_mode", is_old ? "floor" : "round_prefer_floor"),
                mynah__real_attribute(l, "cubic_coeff_a", -0.75)};
  MYNAH_TRY(mynah__need(l, 0, &given));
  mynah__value v = *given;
  if (v.shape.n_dims < 1 || mynah__count(v.shape) < 1) return mynah__refuse(l, "empty or too large values");
  bool is_known_place = strcmp(r.place, "asymmetric") == 0 || strcmp(r.place, "align_corners") == 0 ||
                        strcmp(r.place, "pytorch_half_pixel") == 0 || strcmp(r.place, "half_pixel") == 0;
  bool is_known_mode = strcmp(r.mode, "nearest") == 0 || strcmp(r.mode, "linear") == 0 || strcmp(r.mode, "cubic") == 0;
  if (!is_known_mode || !is_known_place)
    return mynah__refuse(l, "mode %.32s placed %.32s is not known", r.mode, r.place);
  if (mynah__whole_attribute(l, "antialias", 0) || mynah__whole_attribute(l, "exclude_outside", 0))
    return mynah__refuse(l, "antialias and exclude_outside are not known");
  MYNAH_TRY(resize_target(l, &v, dims, scales));
  if (is_whole_nearest(&r, &v, dims)) {
    int order[MYNAH_MAX_DIMS];
    mynah__channels_last(4, order);
    mynah_node y = mynah_upsample_nearest(l->g, mynah__arranged(l, &v, order), (int)(dims[2] / v.shape.dims[2]));
    return mynah__set_node(l, 0, y, MYNAH_SHAPE(dims[0], dims[1], dims[2], dims[3]), order);
  }
  for (int k = 0; k < v.shape.n_dims; k++)
    if (dims[k] != v.shape.dims[k]) MYNAH_TRY(resize_axis(l, &r, &v, k, dims[k], scales[k]));
  return mynah__set_same(l, 0, &v);
}

/* ---- padding
 * -------------------------------------------------------------------------------------------------------------- */

/* Which input element stands at place i of an axis padded by `before`; -1: none. */
static int64_t mirrored(const char *mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (strcmp(mode, "edge") == 0) return i < 0 ? 0 : n - 1;
  if (strcmp(mode, "wrap") == 0) return (i % n + n) % n;
  int64_t period = 2 * (n - 1);
  if (period < 1) return 0;
  i = (i % period + period) % period;
  return i < n ? i : period - i;
}

static mynah_status pad_by_matrix(mynah__lowering *l, const char *mode, mynah__value *v, int axis,
                                  const int64_t *pads) {
  int64_t n = v->shape.dims[axis], n_out = n + pads[0] + pads[1];
  size_t size;
  if (n_out < 1 || !mynah_mul_size((size_t)n, (size_t)n_out, &size) || size > MATRIX_MAX)
    return mynah_fail(MYNAH_LIMIT, "too large");
  double *matrix = mynah_calloc(size + 1, sizeof *matrix);
  if (!matrix) return MYNAH_NO_MEMORY;
  for (int64_t j = 0; j < n_out; j++) matrix[j * n + mirrored(mode, j - pads[0], n)] = 1;
  mynah_status status = mynah__mix_axis(l, v, axis, matrix, n_out, v);
  mynah_free(matrix);
  return status;
}

static mynah_status pad_by_constant(mynah__lowering *l, double value, mynah__value *v, int axis, const int64_t *pads) {
  int order[MYNAH_MAX_DIMS], n = v->shape.n_dims, n_parts = 0;
  mynah_node parts[3];
  mynah__order_of(v, order);
  mynah_node x = mynah__arranged(l, v, order);
  int at = mynah__position(order, n, axis);
  int64_t skip = pads[0] < 0 ? -pads[0] : 0, drop = pads[1] < 0 ? -pads[1] : 0;
  if (skip + drop >= v->shape.dims[axis]) return mynah__refuse(l, "an empty part");
  if (skip || drop) x = mynah_slice(l->g, x, at, skip, v->shape.dims[axis] - skip - drop);
  for (int side = 0; side < 2; side++) {
    mynah_shape s = mynah__physical(v->shape, order);
    s.dims[at] = pads[side];
    if (side == 1) parts[n_parts++] = x;
    if (pads[side] > 0) parts[n_parts++] = mynah_fill(l->g, s, (float)value);
  }
  mynah__value y = {.shape = v->shape, .is_set = true, .tensor = -1, .logistic_of = -1};
  y.shape.dims[axis] += pads[0] + pads[1];
  y.node = n_parts > 1 ? mynah_concat(l->g, parts, n_parts, at) : x;
  memcpy(y.order, order, sizeof order);
  *v = y;
  return mynah_graph_status(l->g);
}

static mynah_status op_pad(mynah__lowering *l) {
  mynah__value *given, *fill = mynah__in(l, 2);
  int64_t pads[2 * MYNAH_MAX_DIMS], axes[MYNAH_MAX_DIMS];
  int n_pads, n_axes, axis;
  const char *mode = mynah__text_attribute(l, "mode", "constant");
  double value = mynah__real_attribute(l, "value", 0);
  MYNAH_TRY(mynah__need(l, 0, &given));
  mynah__value v = *given;
  if (fill && mynah__count(fill->shape) > 0 && !mynah__known_number(l, fill, &value))
    return mynah__refuse(l, "the value must be a constant");
  MYNAH_TRY(mynah__whole_list(l, "pads", 1, pads, 2 * MYNAH_MAX_DIMS, &n_pads));
  MYNAH_TRY(mynah__whole_list(l, "axes", 3, axes, MYNAH_MAX_DIMS, &n_axes));
  int n = n_axes >= 0 ? n_axes : v.shape.n_dims;
  if (n_pads != 2 * n || mynah__count(v.shape) < 1) return mynah_fail(MYNAH_CORRUPT, "the pads do not fit");
  bool is_constant = strcmp(mode, "constant") == 0;
  if (!is_constant && strcmp(mode, "edge") != 0 && strcmp(mode, "reflect") != 0 && strcmp(mode, "wrap") != 0)
    return mynah__refuse(l, "mode %.32s is not known", mode);
  for (int i = 0; i < n; i++) {
    const int64_t sides[2] = {pads[i], pads[n + i]};
    MYNAH_TRY(mynah__axis(l, n_axes >= 0 ? axes[i] : i, v.shape.n_dims, &axis));
    if (sides[0] == 0 && sides[1] == 0) continue;
    if (sides[0] > 1 << 20 || sides[1] > 1 << 20 || sides[0] < -(1 << 20) || sides[1] < -(1 << 20))
      return mynah_fail(MYNAH_CORRUPT, "the pads are too large");
    MYNAH_TRY(is_constant ? pad_by_constant(l, value, &v, axis, sides) : pad_by_matrix(l, mode, &v, axis, sides));
  }
  return mynah__set_same(l, 0, &v);
}

/* ---- running sums
 * --------------------------------------------------------------------------------------------------------- */

/* Whether element i is in sum j. */
typedef struct running {
  bool is_reversed, is_exclusive;
} running;
static bool is_summed(const running *r, int64_t i, int64_t j) { return (i == j && !r->is_exclusive) || (r->is_reversed ? i > j : i < j); }

static mynah_status sum_known(mynah__lowering *l, const running *r, mynah__value *v, int axis) {
  const double *in;
  double *out;
  int64_t inner = 1, n = v->shape.dims[axis], total = mynah__count(v->shape);
  mynah_shape shape = v->shape;
  for (int k = axis + 1; k < shape.n_dims; k++) inner *= shape.dims[k];
  MYNAH_TRY(mynah__known(l, v, &in));
  MYNAH_TRY(mynah__set_known(l, 0, shape, v->is_whole, &out));
  for (int64_t at = 0; at < total; at++) {
    int64_t j = at / inner % n, first = at - j * inner;
    out[at] = 0;
    for (int64_t i = 0; i < n; i++) out[at] += is_summed(r, i, j) ? in[first + i * inner] : 0;
  }
  return MYNAH_OK;
}

static mynah_status op_cumsum(mynah__lowering *l) {
  mynah__value *given, *where;
  double at;
  int axis;
  size_t size;
  running r = {mynah__whole_attribute(l, "reverse", 0) != 0, mynah__whole_attribute(l, "exclusive", 0) != 0};
  MYNAH_TRY(mynah__need(l, 0, &given));
  MYNAH_TRY(mynah__need(l, 1, &where));
  if (!mynah__known_number(l, where, &at) || fabs(at) > MYNAH_MAX_DIMS) return mynah__refuse(l, "the axis must be a constant");
  MYNAH_TRY(mynah__axis(l, (int64_t)at, given->shape.n_dims, &axis));
  int64_t n = given->shape.dims[axis];
  if (n < 1 || !mynah_mul_size((size_t)n, (size_t)n, &size) || size > MATRIX_MAX) return mynah_fail(MYNAH_LIMIT, "too large");
  if (mynah__is_arithmetic(l)) return sum_known(l, &r, given, axis);
  mynah__value v = *given;
  double *matrix = mynah_calloc(size, sizeof *matrix);
  if (!matrix) return MYNAH_NO_MEMORY;
  for (int64_t k = 0; k < n * n; k++) matrix[k] = is_summed(&r, k % n, k / n);
  mynah_status status = mynah__mix_axis(l, &v, axis, matrix, n, &v);
  mynah_free(matrix);
  return status == MYNAH_OK ? mynah__set_same(l, 0, &v) : status;
}

const mynah__onnx_op mynah__onnx_resample_ops[] = {
    {"CumSum", op_cumsum}, {"Pad", op_pad}, {"Resize", op_resize}, {"Upsample", op_resize}, {NULL, NULL}};
