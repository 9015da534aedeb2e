/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Layers: products, convolutions, pools, norms, softmax, reductions. Pictures run with their channels last. */
#include "onnx_internal.h"

#include <math.h>
#include <string.h>

/* ---- products
 * ---------------------------------------------------------------------------------------------------------- */

/* A matrix (in,out) as the engine wants it, (out,in): exchanged, which for weights is done once. */
static mynah_node weight_of(mynah__lowering *l, mynah__value *v, bool is_transposed) {
  if (is_transposed) return mynah__arranged(l, v, NULL);
  return mynah__arranged(l, v, (int[]){1, 0});
}

/* Both with the same leading axes; v's last two stay. */
static mynah_node lead(mynah__lowering *l, mynah__value *v, mynah_shape leading, bool *is_exchanged) {
  int n = v->shape.n_dims, wanted[MYNAH_MAX_DIMS], rank = leading.n_dims + 2;
  for (int k = 0; k < n; k++) wanted[k] = k;
  bool is_swapped = !mynah_node_is_null(v->node) && n >= 2 && v->order[n - 2] == n - 1 && v->order[n - 1] == n - 2;
  for (int k = 0; is_swapped && k < n - 2; k++) is_swapped = v->order[k] == k;
  if (is_swapped) {
    wanted[n - 2] = n - 1;
    wanted[n - 1] = n - 2;
  }
  *is_exchanged = is_swapped;
  mynah_node x = mynah__arranged(l, v, wanted);
  mynah_shape own = mynah__physical(v->shape, wanted), wide = {.n_dims = rank}, full = leading;
  for (int i = 0; i < rank; i++) wide.dims[i] = i < rank - n ? 1 : own.dims[i - (rank - n)];
  if (rank != n) x = mynah_reshape(l->g, x, wide);
  full.n_dims = rank;
  full.dims[rank - 2] = own.dims[n - 2];
  full.dims[rank - 1] = own.dims[n - 1];
  bool is_same = true;
  for (int i = 0; i < rank; i++) is_same = is_same && full.dims[i] == wide.dims[i];
  return is_same ? x : mynah_broadcast(l->g, x, full);
}

static mynah_shape leading_of(mynah_shape s) {
  s.n_dims -= 2;
  return s;
}

/* a (…,M,K) b (…,K,N), both of two axes or more */
static mynah_status multiply(mynah__lowering *l, mynah__value *a, mynah__value *b, mynah_shape *shape,
                             mynah_node *out) {
  mynah_shape leading;
  int na = a->shape.n_dims, nb = b->shape.n_dims;
  bool ta, tb;
  if (a->shape.dims[na - 1] != b->shape.dims[nb - 2])
    return mynah_fail(MYNAH_MISMATCH, "%lld columns meet %lld rows", (long long)a->shape.dims[na - 1],
                      (long long)b->shape.dims[nb - 2]);
  MYNAH_TRY(mynah__broadcast_shape(l, leading_of(a->shape), leading_of(b->shape), &leading));
  *shape = leading;
  shape->n_dims = leading.n_dims + 2;
  shape->dims[leading.n_dims] = a->shape.dims[na - 2];
  shape->dims[leading.n_dims + 1] = b->shape.dims[nb - 1];
  if (mynah__count(*shape) < 1 || a->shape.dims[na - 1] < 1) return mynah__refuse(l, "empty or too large values");
  if (nb == 2 && mynah__is_known(b)) {
    *out = mynah_linear(l->g, mynah__arranged(l, a, NULL), weight_of(l, b, false), MYNAH_NO_NODE);
    return MYNAH_OK;
  }
  mynah_node x = lead(l, a, leading, &ta), y;
  if (nb == 2) {
    y = mynah__arranged(l, b, NULL);
    tb = false;
  } else {
    y = lead(l, b, leading, &tb);
  }
  *out = mynah_matmul(l->g, x, y, ta, tb);
  return MYNAH_OK;
}

/* A vector on the left is a row, on the right a column; the axis is dropped again. */
static mynah_status op_matmul(mynah__lowering *l) {
  mynah__value *a, *b, row, column;
  mynah_shape shape;
  mynah_node y;
  MYNAH_TRY(mynah__need(l, 0, &a));
  MYNAH_TRY(mynah__need(l, 1, &b));
  if (a->shape.n_dims < 1 || b->shape.n_dims < 1) return mynah_fail(MYNAH_CORRUPT, "scalars");
  bool is_row = a->shape.n_dims == 1, is_column = b->shape.n_dims == 1;
  if (is_row) {
    row = (mynah__value){.shape = MYNAH_SHAPE(1, a->shape.dims[0]), .tensor = -1, .order = {0, 1}};
    row.node = mynah_reshape(l->g, mynah__arranged(l, a, NULL), row.shape);
    a = &row;
  }
  if (is_column) {
    column = (mynah__value){.shape = MYNAH_SHAPE(b->shape.dims[0], 1), .tensor = -1, .order = {0, 1}};
    column.node = mynah_reshape(l->g, mynah__arranged(l, b, NULL), column.shape);
    b = &column;
  }
  MYNAH_TRY(multiply(l, a, b, &shape, &y));
  if (!is_row && !is_column) return mynah__set_node(l, 0, y, shape, NULL);
  mynah_shape rest = {0};
  for (int i = 0; i < shape.n_dims; i++)
    if (!(is_row && i == shape.n_dims - 2) && !(is_column && i == shape.n_dims - 1))
      rest.dims[rest.n_dims++] = shape.dims[i];
  return mynah__set_node(l, 0, mynah_reshape(l->g, y, rest.n_dims ? rest : MYNAH_SHAPE(1)), rest, NULL);
}

/* alpha A B + beta C */
static mynah_status op_gemm(mynah__lowering *l) {
  mynah__value *a, *b, *c = mynah__in(l, 2);
  double alpha = mynah__real_attribute(l, "alpha", 1), beta = mynah__real_attribute(l, "beta", 1);
  bool ta = mynah__whole_attribute(l, "transA", 0) != 0, tb = mynah__whole_attribute(l, "transB", 0) != 0;
  MYNAH_TRY(mynah__need(l, 0, &a));
  MYNAH_TRY(mynah__need(l, 1, &b));
  if (a->shape.n_dims != 2 || b->shape.n_dims != 2) return mynah_fail(MYNAH_CORRUPT, "takes matrices");
  int64_t m = a->shape.dims[ta], k = a->shape.dims[!ta], n = b->shape.dims[!tb];
  if (b->shape.dims[tb] != k)
    return mynah_fail(MYNAH_MISMATCH, "%lld columns meet %lld rows", (long long)k, (long long)b->shape.dims[tb]);
  mynah_shape shape = MYNAH_SHAPE(m, n);
  if (mynah__count(shape) < 1 || k < 1) return mynah__refuse(l, "empty or too large values");
  bool is_plain = alpha >= 1 && alpha <= 1 && beta >= 1 && beta <= 1;
  bool is_bias = c && is_plain && mynah__is_known(c) && mynah__count(c->shape) == n &&
                 c->shape.dims[c->shape.n_dims - 1] == n && c->shape.n_dims > 0;
  mynah_node x = ta ? mynah__arranged(l, a, (int[]){1, 0}) : mynah__arranged(l, a, NULL), bias = MYNAH_NO_NODE;
  if (is_bias) bias = mynah_reshape(l->g, mynah__arranged(l, c, NULL), MYNAH_SHAPE(n));
  mynah_node y = mynah_linear(l->g, x, weight_of(l, b, tb), bias);
  if (alpha < 1 || alpha > 1) y = mynah_affine(l->g, y, (float)alpha, 0);
  if (c && !is_bias) {
    mynah_node z = mynah__arranged(l, c, NULL);
    if (beta < 1 || beta > 1) z = mynah_affine(l->g, z, (float)beta, 0);
    y = mynah_add(l->g, y, z);
  }
  return mynah__set_node(l, 0, y, shape, NULL);
}

/* ---- windows over pictures and sequences
 * ------------------------------------------------------------------------------ */

/* What slides: kernel, strides, dilations, pads (rows, columns; a sequence is a picture of one row). */
typedef struct window {
  int n;                                             /* 1 or 2 axes */
  int64_t kernel[2], stride[2], dilation[2], pad[4]; /* pad: top, left, bottom, right */
} window;

static mynah_status read_pair(mynah__lowering *l, const char *name, int n, int64_t fallback, int64_t out[2]) {
  int64_t given[2];
  int count;
  MYNAH_TRY(mynah__whole_list(l, name, -1, given, 2, &count));
  if (count >= 0 && count != n) return mynah_fail(MYNAH_CORRUPT, "'%s' does not have %d numbers", name, n);
  out[0] = out[1] = 1;
  for (int i = 0; i < n; i++) {
    out[2 - n + i] = count > 0 ? given[i] : fallback;
    if (out[2 - n + i] < 1 || out[2 - n + i] > 1 << 20) return mynah_fail(MYNAH_CORRUPT, "'%s' is wrong", name);
  }
  return MYNAH_OK;
}

/* Kernel sizes (n of them) are known; spatial: the sizes of what is slid over. */
static mynah_status read_window(mynah__lowering *l, const int64_t *kernel, const int64_t *spatial, int n, window *w) {
  int64_t pads[4];
  int count;
  const char *automatic = mynah__text_attribute(l, "auto_pad", "NOTSET");
  *w = (window){.n = n, .kernel = {1, 1}};
  for (int i = 0; i < n; i++) w->kernel[2 - n + i] = kernel[i];
  MYNAH_TRY(read_pair(l, "strides", n, 1, w->stride));
  MYNAH_TRY(read_pair(l, "dilations", n, 1, w->dilation));
  MYNAH_TRY(mynah__whole_list(l, "pads", -1, pads, 4, &count));
  if (count > 0 && count != 2 * n) return mynah_fail(MYNAH_CORRUPT, "'pads' does not have %d numbers", 2 * n);
  bool is_same = strncmp(automatic, "SAME_", 5) == 0;
  for (int i = 0; i < n; i++) {
    int axis = 2 - n + i;
    int64_t reach = (w->kernel[axis] - 1) * w->dilation[axis] + 1, stride = w->stride[axis];
    int64_t total = ((spatial[i] + stride - 1) / stride - 1) * stride + reach - spatial[i];
    if (total < 0) total = 0;
    int64_t less = total / 2, more = total - less;
    bool is_upper = strcmp(automatic, "SAME_UPPER") == 0;
    w->pad[axis] = is_same ? (is_upper ? less : more) : count > 0 ? pads[i] : 0;
    w->pad[2 + axis] = is_same ? (is_upper ? more : less) : count > 0 ? pads[n + i] : 0;
    if (w->pad[axis] < 0 || w->pad[2 + axis] < 0 || w->pad[axis] > 1 << 20 || w->pad[2 + axis] > 1 << 20)
      return mynah__refuse(l, "padding of this size");
  }
  return MYNAH_OK;
}

/* x (B,C,W) or (B,C,H,W) with the channels last, as a picture. */
static mynah_node as_picture(mynah__lowering *l, mynah__value *v) {
  int order[MYNAH_MAX_DIMS];
  mynah__channels_last(v->shape.n_dims, order);
  mynah_node x = mynah__arranged(l, v, order);
  if (v->shape.n_dims == 4) return x;
  return mynah_reshape(l->g, x, MYNAH_SHAPE(v->shape.dims[0], 1, v->shape.dims[2], v->shape.dims[1]));
}

/* Sets the output from y (B,H,W,C). */
static mynah_status from_picture(mynah__lowering *l, mynah_node y, int n_dims) {
  int order[MYNAH_MAX_DIMS];
  mynah_shape s = mynah_node_shape(l->g, y), shape;
  if (s.n_dims != 4) return mynah_graph_status(l->g);
  mynah__channels_last(n_dims, order);
  if (n_dims == 4) shape = MYNAH_SHAPE(s.dims[0], s.dims[3], s.dims[1], s.dims[2]);
  else shape = MYNAH_SHAPE(s.dims[0], s.dims[3], s.dims[2]);
  if (n_dims == 3) y = mynah_reshape(l->g, y, MYNAH_SHAPE(s.dims[0], s.dims[2], s.dims[3]));
  return mynah__set_node(l, 0, y, shape, order);
}

static mynah_status check_picture(const mynah__lowering *l, const mynah__value *v) {
  if (v->shape.n_dims != 3 && v->shape.n_dims != 4)
    return mynah__refuse(l, "is known for sequences and pictures, not for %d dimensions", v->shape.n_dims);
  return mynah__count(v->shape) > 0 ? MYNAH_OK : mynah__refuse(l, "empty or too large values");
}

static mynah_node filters_of(mynah__lowering *l, mynah__value *w) {
  mynah_node x = mynah__arranged(l, w, NULL);
  return w->shape.n_dims == 4
             ? x
             : mynah_reshape(l->g, x, MYNAH_SHAPE(w->shape.dims[0], w->shape.dims[1], 1, w->shape.dims[2]));
}

static mynah_conv conv_of(const window *w, int64_t groups) {
  mynah_conv c = {.groups = (int)groups};
  for (int k = 0; k < 2; k++) {
    c.stride[k] = (int)w->stride[k];
    c.dilation[k] = (int)w->dilation[k];
  }
  for (int k = 0; k < 4; k++) c.pad[k] = (int)w->pad[k];
  return c;
}

typedef struct convolution {
  mynah__value *x, *w;
  mynah_node bias;
  window window;
  int64_t groups;
} convolution;
static mynah_status read_convolution(mynah__lowering *l, convolution *c) {
  mynah__value *b = mynah__in(l, 2);
  *c = (convolution){.groups = mynah__whole_attribute(l, "group", 1)};
  MYNAH_TRY(mynah__need(l, 0, &c->x));
  MYNAH_TRY(mynah__need(l, 1, &c->w));
  MYNAH_TRY(check_picture(l, c->x));
  int n = c->x->shape.n_dims - 2;
  if (c->w->shape.n_dims != n + 2 || mynah__count(c->w->shape) < 1)
    return mynah_fail(MYNAH_CORRUPT, "the filters do not fit the input");
  if (c->groups < 1 || c->groups > 1 << 20) return mynah_fail(MYNAH_CORRUPT, "groups %lld", (long long)c->groups);
  if (b) c->bias = mynah__arranged(l, b, NULL);
  return read_window(l, c->w->shape.dims + 2, c->x->shape.dims + 2, n, &c->window);
}

static mynah_status op_conv(mynah__lowering *l) {
  convolution c;
  MYNAH_TRY(read_convolution(l, &c));
  mynah_conv conv = conv_of(&c.window, c.groups);
  return from_picture(l, mynah_conv2d(l->g, as_picture(l, c.x), filters_of(l, c.w), c.bias, &conv), c.x->shape.n_dims);
}

static mynah_status op_conv_transpose(mynah__lowering *l) {
  convolution c;
  int64_t extra[2] = {0, 0}, given[2];
  int n_given;
  MYNAH_TRY(read_convolution(l, &c));
  int n = c.window.n;
  if (mynah__attribute(l, "output_shape") || strncmp(mynah__text_attribute(l, "auto_pad", "NOTSET"), "SAME", 4) == 0)
    return mynah__refuse(l, "output_shape and auto_pad are not known");
  MYNAH_TRY(mynah__whole_list(l, "output_padding", -1, given, 2, &n_given));
  for (int i = 0; i < n_given && i < n; i++) extra[2 - n + i] = given[i];
  if (extra[0] < 0 || extra[1] < 0 || extra[0] > 1024 || extra[1] > 1024)
    return mynah_fail(MYNAH_CORRUPT, "'output_padding' is wrong");
  mynah_conv conv = conv_of(&c.window, c.groups);
  mynah_node y = mynah_conv_transpose2d(l->g, as_picture(l, c.x), filters_of(l, c.w), c.bias, &conv,
                                        (int[]){(int)extra[0], (int)extra[1]});
  return from_picture(l, y, c.x->shape.n_dims);
}

static mynah_status op_pool(mynah__lowering *l) {
  mynah__value *v;
  int64_t kernel[2];
  int n;
  window w;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(check_picture(l, v));
  MYNAH_TRY(mynah__whole_list(l, "kernel_shape", -1, kernel, 2, &n));
  if (n != v->shape.n_dims - 2) return mynah_fail(MYNAH_CORRUPT, "the window does not fit the input");
  for (int i = 0; i < n; i++)
    if (kernel[i] < 1 || kernel[i] > 1 << 20) return mynah_fail(MYNAH_CORRUPT, "'kernel_shape' is wrong");
  MYNAH_TRY(read_window(l, kernel, v->shape.dims + 2, n, &w));
  if (w.dilation[0] != 1 || w.dilation[1] != 1) return mynah__refuse(l, "dilations are not known");
  mynah_pool2d p = {.is_ceil = mynah__whole_attribute(l, "ceil_mode", 0) != 0,
                    .counts_padding = mynah__whole_attribute(l, "count_include_pad", 0) != 0};
  for (int k = 0; k < 2; k++) {
    p.kernel[k] = (int)w.kernel[k];
    p.stride[k] = (int)w.stride[k];
  }
  for (int k = 0; k < 4; k++) p.pad[k] = (int)w.pad[k];
  mynah_node x = as_picture(l, v);
  return from_picture(l,
                      strcmp(l->node->op, "MaxPool") == 0 ? mynah_max_pool(l->g, x, &p) : mynah_avg_pool(l->g, x, &p),
                      v->shape.n_dims);
}

/* ---- reductions
 * ------------------------------------------------------------------------------------------------------------ */

enum { SUM, MEAN, MAXIMUM, MINIMUM, PRODUCT, SQUARES, ABSOLUTES, NORM };
static const char *const reduce_names[] = {"ReduceSum",  "ReduceMean",      "ReduceMax", "ReduceMin",
                                           "ReduceProd", "ReduceSumSquare", "ReduceL1",  "ReduceL2"};

static mynah_status reduced_axes(mynah__lowering *l, const mynah__value *v, bool *is_reduced) {
  int64_t given[MYNAH_MAX_DIMS];
  int n;
  MYNAH_TRY(mynah__whole_list(l, "axes", 1, given, MYNAH_MAX_DIMS, &n));
  if (n <= 0 && mynah__whole_attribute(l, "noop_with_empty_axes", 0)) return mynah__refuse(l, "reducing over no axes");
  for (int i = 0; i < v->shape.n_dims; i++) is_reduced[i] = n <= 0;
  for (int i = 0; i < n; i++) {
    int axis;
    MYNAH_TRY(mynah__axis(l, given[i], v->shape.n_dims, &axis));
    is_reduced[axis] = true;
  }
  return MYNAH_OK;
}

static double join(int kind, double so_far, double x) {
  switch (kind) {
  case MAXIMUM: return x > so_far ? x : so_far;
  case MINIMUM: return x < so_far ? x : so_far;
  case PRODUCT: return so_far * x;
  case SQUARES:
  case NORM: return so_far + x * x;
  case ABSOLUTES: return so_far + fabs(x);
  default: return so_far + x;
  }
}

static mynah_status reduce_numbers(mynah__lowering *l, int kind, mynah__value *v, const bool *is_reduced,
                                   mynah_shape kept, mynah_shape shape) {
  const double *in;
  double *out;
  mynah_shape full = v->shape;
  bool is_whole = v->is_whole;
  MYNAH_TRY(mynah__known(l, v, &in));
  MYNAH_TRY(mynah__set_known(l, 0, shape, is_whole, &out));
  int64_t n = mynah__count(full), n_out = mynah__count(shape);
  (void)is_reduced;
  for (int64_t i = 0; i < n_out; i++)
    out[i] = kind == PRODUCT ? 1 : kind == MAXIMUM ? -INFINITY : kind == MINIMUM ? INFINITY : 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t at = mynah__stretched_index(kept, full, i);
    out[at] = join(kind, out[at], in[i]);
  }
  for (int64_t i = 0; i < n_out && n > 0; i++) {
    if (kind == MEAN) out[i] = out[i] * (double)n_out / (double)n;
    if (kind == NORM) out[i] = sqrt(out[i]);
  }
  return MYNAH_OK;
}

/* The largest along the reduced axes: a window as large as they are. */
static mynah_node largest(mynah__lowering *l, mynah__value *v, const bool *is_reduced, mynah_shape kept) {
  int order[MYNAH_MAX_DIMS], n = 0;
  int64_t rows = 1, columns = 1;
  for (int i = 0; i < v->shape.n_dims; i++) *(is_reduced[i] ? &columns : &rows) *= v->shape.dims[i];
  if (rows > INT32_MAX || columns > 1 << 20) return mynah_graph_fail(l->g, "too large");
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < v->shape.n_dims; i++)
      if (is_reduced[i] == (round == 1)) order[n++] = i;
  mynah_node x = mynah_reshape(l->g, mynah__arranged(l, v, order), MYNAH_SHAPE(1, rows, columns, 1));
  mynah_pool2d p = {.kernel = {1, (int)columns}};
  return mynah_reshape(l->g, mynah_max_pool(l->g, x, &p), kept.n_dims ? kept : MYNAH_SHAPE(1));
}

static mynah_node added(mynah__lowering *l, mynah__value *v, const bool *is_reduced, const int *order, int kind) {
  int axes[MYNAH_MAX_DIMS], n = 0;
  mynah_node x = mynah__arranged(l, v, order);
  if (kind == SQUARES || kind == NORM) x = mynah_unary(l->g, "square", x);
  if (kind == ABSOLUTES) x = mynah_unary(l->g, "abs", x);
  for (int k = 0; k < v->shape.n_dims; k++)
    if (is_reduced[order[k]]) axes[n++] = k;
  if (n == 0) return x;
  x = kind == MEAN ? mynah_mean(l->g, x, axes, n, true) : mynah_sum(l->g, x, axes, n, true);
  return kind == NORM ? mynah_unary(l->g, "sqrt", x) : x;
}

static mynah_status op_reduce(mynah__lowering *l) {
  mynah__value *v;
  bool is_reduced[MYNAH_MAX_DIMS], keeps = mynah__whole_attribute(l, "keepdims", 1) != 0;
  int kind = 0, order[MYNAH_MAX_DIMS], rest[MYNAH_MAX_DIMS], n = 0;
  while (strcmp(reduce_names[kind], l->node->op) != 0) kind++;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(reduced_axes(l, v, is_reduced));
  mynah_shape kept = v->shape, shape = {0};
  int renumbered[MYNAH_MAX_DIMS];
  for (int i = 0; i < v->shape.n_dims; i++) {
    if (is_reduced[i]) kept.dims[i] = 1;
    renumbered[i] = shape.n_dims;
    if (keeps || !is_reduced[i]) shape.dims[shape.n_dims++] = kept.dims[i];
  }
  if (mynah__is_arithmetic(l)) return reduce_numbers(l, kind, v, is_reduced, kept, shape);
  if (kind == PRODUCT) return mynah__refuse(l, "is known on constants only");
  if (mynah__count(v->shape) < 1) return mynah__refuse(l, "empty or too large values");
  if (kind == MAXIMUM || kind == MINIMUM) {
    mynah__value negative = *v;
    mynah__order_of(v, order);
    if (kind == MINIMUM) {
      negative.node = mynah_affine(l->g, mynah__arranged(l, v, order), -1, 0);
      memcpy(negative.order, order, sizeof order);
    }
    mynah_node y = largest(l, kind == MINIMUM ? &negative : v, is_reduced, shape);
    return mynah__set_node(l, 0, kind == MINIMUM ? mynah_affine(l->g, y, -1, 0) : y, shape, NULL);
  }
  mynah__order_of(v, order);
  mynah_node y = added(l, v, is_reduced, order, kind);
  for (int k = 0; k < v->shape.n_dims; k++)
    if (keeps || !is_reduced[order[k]]) rest[n++] = keeps ? order[k] : renumbered[order[k]];
  if (!keeps) y = mynah_reshape(l->g, y, n ? mynah__physical(shape, rest) : MYNAH_SHAPE(1));
  return mynah__set_node(l, 0, y, shape, rest);
}

static mynah_status op_global_pool(mynah__lowering *l) {
  mynah__value *v;
  bool is_reduced[MYNAH_MAX_DIMS];
  int order[MYNAH_MAX_DIMS];
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (v->shape.n_dims < 3 || mynah__count(v->shape) < 1) return mynah_fail(MYNAH_CORRUPT, "takes pictures");
  mynah_shape kept = v->shape;
  for (int i = 0; i < v->shape.n_dims; i++) {
    is_reduced[i] = i >= 2;
    if (is_reduced[i]) kept.dims[i] = 1;
  }
  if (strcmp(l->node->op, "GlobalMaxPool") == 0)
    return mynah__set_node(l, 0, largest(l, v, is_reduced, kept), kept, NULL);
  mynah__channels_last(v->shape.n_dims, order);
  return mynah__set_node(l, 0, added(l, v, is_reduced, order, MEAN), kept, order);
}

/* ---- softmax
 * ----------------------------------------------------------------------------------------------------------------- */

static mynah_status op_softmax(mynah__lowering *l) {
  mynah__value *v;
  int axis, order[MYNAH_MAX_DIMS], k = 0;
  bool is_old = l->o->opset < 13, is_log = strcmp(l->node->op, "LogSoftmax") == 0;
  MYNAH_TRY(mynah__need(l, 0, &v));
  int n = v->shape.n_dims;
  MYNAH_TRY(mynah__axis(l, mynah__whole_attribute(l, "axis", is_old ? 1 : -1), n, &axis));
  if (mynah__count(v->shape) < 1) return mynah__refuse(l, "empty or too large values");
  if (is_old && axis != n - 1) { /* over all axes from this one on */
    int64_t rows = 1;
    for (int i = 0; i < axis; i++) rows *= v->shape.dims[i];
    mynah_node x = mynah_reshape(l->g, mynah__arranged(l, v, NULL), MYNAH_SHAPE(rows, -1));
    x = is_log ? mynah_log_softmax(l->g, x) : mynah_softmax(l->g, x);
    return mynah__set_node(l, 0, mynah_reshape(l->g, x, v->shape), v->shape, NULL);
  }
  for (int i = 0; i < n; i++)
    if (i != axis) order[k++] = i;
  order[n - 1] = axis;
  mynah_node x = mynah__arranged(l, v, order);
  return mynah__set_node(l, 0, is_log ? mynah_log_softmax(l->g, x) : mynah_softmax(l->g, x), v->shape, order);
}

/* ---- norms
 * ----------------------------------------------------------------------------------------------------------------------
 */

/* A vector of `n` numbers of input k as a node; null where there is none. */
static mynah_status vector_of(mynah__lowering *l, size_t k, int64_t n, mynah_node *out) {
  mynah__value *v = mynah__in(l, k);
  *out = MYNAH_NO_NODE;
  if (!v) return MYNAH_OK;
  if (mynah__count(v->shape) != n)
    return mynah_fail(MYNAH_MISMATCH, "input %zu does not have %lld numbers", k, (long long)n);
  *out = mynah_reshape(l->g, mynah__arranged(l, v, NULL), MYNAH_SHAPE(n));
  return MYNAH_OK;
}

static mynah_status op_batch_norm(mynah__lowering *l) {
  mynah__value *v;
  mynah_node parts[4];
  int order[MYNAH_MAX_DIMS];
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (v->shape.n_dims < 2 || mynah__count(v->shape) < 1) return mynah_fail(MYNAH_CORRUPT, "takes (B,C,…)");
  if (mynah__whole_attribute(l, "training_mode", 0))
    return mynah__refuse(l, "exported for training: call model.eval() first");
  for (size_t k = 0; k < 4; k++) MYNAH_TRY(vector_of(l, k + 1, v->shape.dims[1], &parts[k]));
  mynah__channels_last(v->shape.n_dims, order);
  mynah_node x = mynah__arranged(l, v, order);
  float eps = (float)mynah__real_attribute(l, "epsilon", 1e-5);
  return mynah__set_node(l, 0, mynah_frozen_batch_norm(l->g, x, parts[0], parts[1], parts[2], parts[3], eps), v->shape,
                         order);
}

/* Over the axes from `axis` on. */
static mynah_status op_layer_norm(mynah__lowering *l) {
  mynah__value *v;
  int axis;
  int64_t n = 1;
  mynah_node gamma, beta;
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(mynah__axis(l, mynah__whole_attribute(l, "axis", -1), v->shape.n_dims, &axis));
  if (mynah__count(v->shape) < 1) return mynah__refuse(l, "empty or too large values");
  for (int i = axis; i < v->shape.n_dims; i++) n *= v->shape.dims[i];
  MYNAH_TRY(vector_of(l, 1, n, &gamma));
  MYNAH_TRY(vector_of(l, 2, n, &beta));
  mynah_node x = mynah__arranged(l, v, NULL);
  bool is_last = axis == v->shape.n_dims - 1;
  if (!is_last) x = mynah_reshape(l->g, x, MYNAH_SHAPE(-1, n));
  x = mynah_layer_norm(l->g, x, gamma, beta, (float)mynah__real_attribute(l, "epsilon", 1e-5));
  return mynah__set_node(l, 0, is_last ? x : mynah_reshape(l->g, x, v->shape), v->shape, NULL);
}

/* Each channel of each picture by itself: a layer norm over its pixels. */
static mynah_status op_instance_norm(mynah__lowering *l) {
  mynah__value *v;
  mynah_node gamma, beta;
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (v->shape.n_dims < 3 || mynah__count(v->shape) < 1) return mynah_fail(MYNAH_CORRUPT, "takes (B,C,…)");
  int64_t batch = v->shape.dims[0], channels = v->shape.dims[1];
  MYNAH_TRY(vector_of(l, 1, channels, &gamma));
  MYNAH_TRY(vector_of(l, 2, channels, &beta));
  mynah_node x = mynah_reshape(l->g, mynah__arranged(l, v, NULL), MYNAH_SHAPE(batch, channels, -1));
  x = mynah_layer_norm(l->g, x, MYNAH_NO_NODE, MYNAH_NO_NODE, (float)mynah__real_attribute(l, "epsilon", 1e-5));
  if (!mynah_node_is_null(gamma)) x = mynah_mul(l->g, x, mynah_reshape(l->g, gamma, MYNAH_SHAPE(channels, 1)));
  if (!mynah_node_is_null(beta)) x = mynah_add(l->g, x, mynah_reshape(l->g, beta, MYNAH_SHAPE(channels, 1)));
  return mynah__set_node(l, 0, mynah_reshape(l->g, x, v->shape), v->shape, NULL);
}

/* gamma, beta: of each channel, or, in the first version of the operation, of each group. */
static mynah_status op_group_norm(mynah__lowering *l) {
  mynah__value *v;
  mynah_node parts[2];
  int order[MYNAH_MAX_DIMS];
  int64_t groups = mynah__whole_attribute(l, "num_groups", 0);
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (v->shape.n_dims < 2 || mynah__count(v->shape) < 1) return mynah_fail(MYNAH_CORRUPT, "takes (B,C,…)");
  int64_t channels = v->shape.dims[1];
  if (groups < 1 || channels % groups)
    return mynah_fail(MYNAH_MISMATCH, "%lld channels in %lld groups", (long long)channels, (long long)groups);
  for (size_t k = 0; k < 2; k++) {
    mynah__value *given = mynah__in(l, k + 1);
    bool is_by_group = given && mynah__count(given->shape) == groups && groups != channels;
    MYNAH_TRY(vector_of(l, k + 1, is_by_group ? groups : channels, &parts[k]));
    if (!is_by_group) continue;
    mynah_node wide = mynah_broadcast(l->g, mynah_reshape(l->g, parts[k], MYNAH_SHAPE(groups, 1)),
                                      MYNAH_SHAPE(groups, channels / groups));
    parts[k] = mynah_reshape(l->g, wide, MYNAH_SHAPE(channels));
  }
  mynah__channels_last(v->shape.n_dims, order);
  mynah_node x = mynah__arranged(l, v, order);
  float eps = (float)mynah__real_attribute(l, "epsilon", 1e-5);
  return mynah__set_node(l, 0, mynah_group_norm(l->g, x, (int)groups, parts[0], parts[1], eps), v->shape, order);
}

const mynah__onnx_op mynah__onnx_network_ops[] = {
    {"AveragePool", op_pool},
    {"BatchNormalization", op_batch_norm},
    {"Conv", op_conv},
    {"ConvTranspose", op_conv_transpose},
    {"Gemm", op_gemm},
    {"GlobalAveragePool", op_global_pool},
    {"GlobalMaxPool", op_global_pool},
    {"GroupNormalization", op_group_norm},
    {"InstanceNormalization", op_instance_norm},
    {"LayerNormalization", op_layer_norm},
    {"LogSoftmax", op_softmax},
    {"MatMul", op_matmul},
    {"MaxPool", op_pool},
    {"ReduceL1", op_reduce},
    {"ReduceL2", op_reduce},
    {"ReduceMax", op_reduce},
    {"ReduceMean", op_reduce},
    {"ReduceMin", op_reduce},
    {"ReduceProd", op_reduce},
    {"ReduceSum", op_reduce},
    {"ReduceSumSquare", op_reduce},
    {"Softmax", op_softmax},
    {NULL, NULL},
};
