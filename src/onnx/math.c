/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pointwise operations: on constants by the numbers, else as nodes. */
#include "onnx_internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- functions of one number
 * ------------------------------------------------------------------------------------------ */

typedef struct function {
  const char *op, *unary; /* unary: the engine's name; NULL: an affine map */
  double (*f)(double);    /* NULL: not on constants */
} function;

static double relu(double x) { return x < 0 ? 0 : x; }
static double negative(double x) { return -x; }
static double reciprocal(double x) { return 1 / x; }
static double sign(double x) { return (double)(x > 0) - (double)(x < 0); }
static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double negation(double x) { return !(x > 0 || x < 0); }
static double is_nan(double x) { return isnan(x) ? 1 : 0; }
static double is_inf(double x) { return isinf(x) ? 1 : 0; }

static const function functions[] = {
    {"Abs", "abs", fabs},
    {"Ceil", "ceil", ceil},
    {"Cos", "cos", cos},
    {"Erf", "erf", erf},
    {"Exp", "exp", exp},
    {"Floor", "floor", floor},
    {"HardSwish", "hard_swish", NULL},
    {"IsNaN", "is_nan", is_nan},
    {"IsInf", "is_inf", is_inf},
    {"Log", "log", log},
    {"Mish", "mish", NULL},
    {"Neg", NULL, negative},
    {"Not", "is_zero", negation},
    {"Reciprocal", "reciprocal", reciprocal},
    {"Relu", "relu", relu},
    {"Round", "round", nearbyint},
    {"Sigmoid", "sigmoid", logistic},
    {"Sign", "sign", sign},
    {"Sin", "sin", sin},
    {"Softplus", "softplus", NULL},
    {"Sqrt", "sqrt", sqrt},
    {"Tanh", "tanh", tanh},
};

static mynah_status on_numbers(mynah__lowering *l, mynah__value *v, double (*f)(double), bool is_whole) {
  const double *in;
  double *out;
  MYNAH_TRY(mynah__known(l, v, &in));
  mynah_shape shape = v->shape;
  MYNAH_TRY(mynah__set_known(l, 0, shape, is_whole, &out));
  for (int64_t i = 0, n = mynah__count(shape); i < n; i++) out[i] = f(in[i]);
  return MYNAH_OK;
}

/* Output 0 = f(input 0) by the engine's table, in whatever order the input lies. */
static mynah_status apply(mynah__lowering *l, const char *unary) {
  mynah__value *v;
  int order[MYNAH_MAX_DIMS];
  MYNAH_TRY(mynah__need(l, 0, &v));
  mynah__order_of(v, order);
  mynah_node x = mynah__arranged(l, v, order);
  mynah_node y = unary ? mynah_unary(l->g, unary, x) : mynah_affine(l->g, x, -1, 0);
  return mynah__set_node(l, 0, y, v->shape, order);
}

static mynah_status op_unary(mynah__lowering *l) {
  mynah__value *v;
  const function *f = functions;
  while (strcmp(f->op, l->node->op) != 0) f++;
  if (f->f == is_inf &&
      !(mynah__whole_attribute(l, "detect_negative", 1) && mynah__whole_attribute(l, "detect_positive", 1)))
    return mynah__refuse(l, "one sign alone is not known");
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (f->f && mynah__is_arithmetic(l)) return on_numbers(l, v, f->f, v->is_whole && f->f != sqrt && f->f != exp);
  MYNAH_TRY(apply(l, f->unary));
  int out = mynah__out_index(l, 0);
  if (out >= 0 && strcmp(f->op, "Sigmoid") == 0) l->values[out].logistic_of = mynah__in_index(l, 0);
  return MYNAH_OK;
}

/* The inputs may be several; the first passes. */
static mynah_status op_identity(mynah__lowering *l) {
  mynah__value *v;
  MYNAH_TRY(mynah__need(l, 0, &v));
  return mynah__set_same(l, 0, v);
}

/* Functions whose parameters are attributes. */
static mynah_status with_parameter(mynah__lowering *l, const char *unary, double parameter) {
  char text[64];
  snprintf(text, sizeof text, "%s:%.17g", unary, parameter);
  return apply(l, text);
}
static mynah_status op_leaky_relu(mynah__lowering *l) {
  return with_parameter(l, "leaky_relu", mynah__real_attribute(l, "alpha", 0.01));
}
static mynah_status op_elu(mynah__lowering *l) {
  return with_parameter(l, "elu", mynah__real_attribute(l, "alpha", 1));
}
static mynah_status op_gelu(mynah__lowering *l) {
  return apply(l, strcmp(mynah__text_attribute(l, "approximate", "none"), "tanh") == 0 ? "gelu_tanh" : "gelu");
}
static mynah_status op_selu(mynah__lowering *l) {
  if (mynah__attribute(l, "alpha") || mynah__attribute(l, "gamma")) {
    bool is_usual = fabs(mynah__real_attribute(l, "alpha", 1.67326) - 1.67326) < 1e-4 &&
                    fabs(mynah__real_attribute(l, "gamma", 1.0507) - 1.0507) < 1e-4;
    if (!is_usual) return mynah__refuse(l, "only the usual alpha and gamma are known");
  }
  return apply(l, "selu");
}

/* max(0, min(1, alpha x + beta)) */
static mynah_status op_hard_sigmoid(mynah__lowering *l) {
  mynah__value *v;
  int order[MYNAH_MAX_DIMS];
  double alpha = mynah__real_attribute(l, "alpha", 0.2), beta = mynah__real_attribute(l, "beta", 0.5);
  MYNAH_TRY(mynah__need(l, 0, &v));
  mynah__order_of(v, order);
  mynah_node y = mynah_affine(l->g, mynah__arranged(l, v, order), (float)alpha, (float)beta);
  return mynah__set_node(l, 0, mynah_clamp(l->g, y, 0, 1), v->shape, order);
}

/* ---- two operands
 * -------------------------------------------------------------------------------------------------------- */

enum {
  ADD,
  SUBTRACT,
  MULTIPLY,
  DIVIDE,
  POWER,
  MODULO,
  LEAST,
  GREATEST,
  IS_EQUAL,
  IS_GREATER,
  IS_LESS,
  IS_AT_LEAST,
  IS_AT_MOST,
  BOTH,
  EITHER,
  ONE
};
static const char *const binary_names[] = {"Add",         "Sub", "Mul",   "Div",     "Pow",  "Mod",
                                           "Min",         "Max", "Equal", "Greater", "Less", "GreaterOrEqual",
                                           "LessOrEqual", "And", "Or",    "Xor"};

static double modulo(double a, double b) {
  if (b > -0.5 && b < 0.5) return NAN;
  double r = fmod(a, b);
  return (r < 0) != (b < 0) && (r > 0 || r < 0) ? r + b : r;
}
static double quotient(double a, double b, bool is_whole) {
  if (!is_whole) return a / b;
  return b > 0 || b < 0 ? trunc(a / b) : 0;
}

static double combine(int kind, double a, double b, bool is_whole) {
  switch (kind) {
  case ADD: return a + b;
  case SUBTRACT: return a - b;
  case MULTIPLY: return a * b;
  case DIVIDE: return quotient(a, b, is_whole);
  case POWER: return pow(a, b);
  case MODULO: return modulo(a, b);
  case LEAST: return a < b ? a : b;
  case GREATEST: return a > b ? a : b;
  case IS_EQUAL: return a <= b && a >= b;
  case IS_GREATER: return a > b;
  case IS_LESS: return a < b;
  case IS_AT_LEAST: return a >= b;
  case IS_AT_MOST: return a <= b;
  case BOTH: return (double)((a > 0 || a < 0) && (b > 0 || b < 0));
  case EITHER: return (double)(a > 0 || a < 0 || b > 0 || b < 0);
  default: return (double)((a > 0 || a < 0) != (b > 0 || b < 0));
  }
}

static mynah_status combine_numbers(mynah__lowering *l, int kind, mynah__value *a, mynah__value *b) {
  const double *na, *nb;
  double *out;
  mynah_shape shape;
  bool is_whole = a->is_whole && b->is_whole;
  MYNAH_TRY(mynah__broadcast_shape(l, a->shape, b->shape, &shape));
  MYNAH_TRY(mynah__known(l, a, &na));
  MYNAH_TRY(mynah__known(l, b, &nb));
  mynah_shape sa = a->shape, sb = b->shape;
  MYNAH_TRY(mynah__set_known(l, 0, shape, is_whole || kind >= IS_EQUAL, &out));
  for (int64_t i = 0, n = mynah__count(shape); i < n; i++)
    out[i] =
        combine(kind, na[mynah__stretched_index(sa, shape, i)], nb[mynah__stretched_index(sb, shape, i)], is_whole);
  return MYNAH_OK;
}

/* v with as many axes as `rank`, ones in front, in this order of all of them. */
static mynah_node widened(mynah__lowering *l, mynah__value *v, int rank, const int *order) {
  int n = v->shape.n_dims, shift = rank - n, own[MYNAH_MAX_DIMS], k = 0;
  if (n == 0 || mynah__count(v->shape) == 1) {
    mynah_shape ones = {.n_dims = rank ? rank : 1};
    for (int i = 0; i < ones.n_dims; i++) ones.dims[i] = 1;
    return mynah_reshape(l->g, mynah__arranged(l, v, NULL), ones);
  }
  for (int i = 0; i < rank; i++)
    if (order[i] >= shift) own[k++] = order[i] - shift;
  mynah_node x = mynah__arranged(l, v, own);
  if (shift == 0) return x;
  mynah_shape wide = {.n_dims = rank};
  for (int i = 0; i < rank; i++) wide.dims[i] = order[i] >= shift ? v->shape.dims[order[i] - shift] : 1;
  return mynah_reshape(l->g, x, wide);
}

/* The order that two operands meet in: that of the one with all axes that has one of its own. */
static void meeting_order(const mynah__value *a, const mynah__value *b, int rank, int *order) {
  const mynah__value *first = !mynah_node_is_null(a->node) && a->shape.n_dims == rank ? a : b;
  if (first->shape.n_dims == rank && !mynah_node_is_null(first->node)) mynah__order_of(first, order);
  else
    for (int k = 0; k < rank; k++) order[k] = k;
}

typedef struct pair {
  mynah_node a, b;
  mynah_shape shape;
  int order[MYNAH_MAX_DIMS];
} pair;
static mynah_status meet(mynah__lowering *l, mynah__value *a, mynah__value *b, pair *p) {
  MYNAH_TRY(mynah__broadcast_shape(l, a->shape, b->shape, &p->shape));
  if (mynah__count(p->shape) < 1) return mynah__refuse(l, "empty or too large values");
  meeting_order(a, b, p->shape.n_dims, p->order);
  p->a = widened(l, a, p->shape.n_dims, p->order);
  p->b = widened(l, b, p->shape.n_dims, p->order);
  return MYNAH_OK;
}

static mynah_node complement(mynah_graph *g, mynah_node x) { return mynah_affine(g, x, -1, 1); }
static mynah_node exceeds(mynah_graph *g, mynah_node a, mynah_node b) {
  return mynah_unary(g, "is_positive", mynah_sub(g, a, b));
}
/* mask a + (1 - mask) b, mask of zeros and ones */
static mynah_node select_of(mynah_graph *g, mynah_node mask, mynah_node a, mynah_node b) {
  return mynah_add(g, mynah_mul(g, a, mask), mynah_mul(g, b, complement(g, mask)));
}

static mynah_node combine_nodes(mynah_graph *g, int kind, mynah_node a, mynah_node b) {
  switch (kind) {
  case ADD: return mynah_add(g, a, b);
  case SUBTRACT: return mynah_sub(g, a, b);
  case MULTIPLY:
  case BOTH: return mynah_mul(g, a, b);
  case DIVIDE: return mynah_div(g, a, b);
  case LEAST: return select_of(g, exceeds(g, b, a), a, b);
  case GREATEST: return select_of(g, exceeds(g, a, b), a, b);
  case IS_EQUAL: return mynah_unary(g, "is_zero", mynah_sub(g, a, b));
  case IS_GREATER: return exceeds(g, a, b);
  case IS_LESS: return exceeds(g, b, a);
  case IS_AT_LEAST: return complement(g, exceeds(g, b, a));
  case IS_AT_MOST: return complement(g, exceeds(g, a, b));
  case EITHER: return mynah_sub(g, mynah_add(g, a, b), mynah_mul(g, a, b));
  case ONE: return mynah_unary(g, "abs", mynah_sub(g, a, b));
  default: return MYNAH_NO_NODE;
  }
}

/* x with one number: cheaper than two values that meet. False: not one of these. */
static bool combine_number(mynah_graph *g, int kind, mynah_node x, double c, bool is_second, mynah_node *out) {
  float f = (float)c;
  if (kind == ADD) *out = mynah_affine(g, x, 1, f);
  else if (kind == SUBTRACT) *out = is_second ? mynah_affine(g, x, 1, -f) : mynah_affine(g, x, -1, f);
  else if (kind == MULTIPLY) *out = mynah_affine(g, x, f, 0);
  else if (kind == DIVIDE && is_second) *out = mynah_affine(g, x, (float)(1 / c), 0);
  else if (kind == LEAST) *out = mynah_clamp(g, x, -FLT_MAX, f);
  else if (kind == GREATEST) *out = mynah_clamp(g, x, f, FLT_MAX);
  else return false;
  return true;
}

static mynah_status with_number(mynah__lowering *l, int kind, mynah__value *x, mynah__value *number, bool is_second,
                                bool *is_done) {
  double c;
  int order[MYNAH_MAX_DIMS];
  mynah_node y = MYNAH_NO_NODE;
  *is_done = false;
  if (mynah__is_known(x) || number->shape.n_dims > x->shape.n_dims || !mynah__known_number(l, number, &c))
    return MYNAH_OK;
  if (!isfinite((float)c) || (kind == DIVIDE && !isfinite((float)(1 / c)))) return MYNAH_OK;
  mynah__order_of(x, order);
  *is_done = combine_number(l->g, kind, mynah__arranged(l, x, order), c, is_second, &y);
  return *is_done ? mynah__set_node(l, 0, y, x->shape, order) : MYNAH_OK;
}

static mynah_status power(mynah__lowering *l, mynah__value *x, mynah__value *exponent) {
  double p;
  if (!mynah__known_number(l, exponent, &p)) return mynah__refuse(l, "the exponent must be one constant");
  if (p > 1.999999999 && p < 2.000000001) return apply(l, "square");
  if (p > 0.499999999 && p < 0.500000001) return apply(l, "sqrt");
  (void)x;
  return with_parameter(l, "pow", p);
}

static mynah_status combine_values(mynah__lowering *l, int kind, mynah__value *a, mynah__value *b) {
  bool is_done;
  pair p;
  if (mynah__is_arithmetic(l)) return combine_numbers(l, kind, a, b);
  if (kind == POWER) return power(l, a, b);
  if (kind == MODULO) return mynah__refuse(l, "is known on constants only");
  if (kind == DIVIDE && a->is_whole && b->is_whole)
    return mynah__refuse(l, "division of whole numbers is known on constants only");
  MYNAH_TRY(with_number(l, kind, a, b, true, &is_done));
  if (is_done) return MYNAH_OK;
  MYNAH_TRY(with_number(l, kind, b, a, false, &is_done));
  if (is_done) return MYNAH_OK;
  MYNAH_TRY(meet(l, a, b, &p));
  return mynah__set_node(l, 0, combine_nodes(l->g, kind, p.a, p.b), p.shape, p.order);
}

/* x sigmoid(x) is one function. */
static bool is_silu(const mynah__lowering *l) {
  const mynah__value *a = mynah__in(l, 0), *b = mynah__in(l, 1);
  return a && b &&
         ((b->logistic_of >= 0 && b->logistic_of == mynah__in_index(l, 0)) ||
          (a->logistic_of >= 0 && a->logistic_of == mynah__in_index(l, 1)));
}

static mynah_status op_binary(mynah__lowering *l) {
  mynah__value *a, *b;
  int kind = 0, order[MYNAH_MAX_DIMS];
  while (strcmp(binary_names[kind], l->node->op) != 0) kind++;
  MYNAH_TRY(mynah__need(l, 0, &a));
  if (l->node->n_in == 1 && (kind == LEAST || kind == GREATEST)) return mynah__set_same(l, 0, a);
  MYNAH_TRY(mynah__need(l, 1, &b));
  if (kind == MULTIPLY && is_silu(l)) {
    mynah__value *x = b->logistic_of == mynah__in_index(l, 0) ? a : b;
    mynah__order_of(x, order);
    return mynah__set_node(l, 0, mynah_silu(l->g, mynah__arranged(l, x, order)), x->shape, order);
  }
  MYNAH_TRY(combine_values(l, kind, a, b));
  for (size_t k = 2; k < l->node->n_in; k++) { /* Min, Max of several */
    mynah__value so_far = l->values[mynah__out_index(l, 0)], *next;
    MYNAH_TRY(mynah__need(l, k, &next));
    MYNAH_TRY(combine_values(l, kind, &so_far, next));
  }
  return MYNAH_OK;
}

/* ---- more than two
 * --------------------------------------------------------------------------------------------------------- */

static mynah_status op_sum(mynah__lowering *l) {
  mynah__value *v;
  MYNAH_TRY(mynah__need(l, 0, &v));
  mynah__value total = *v;
  MYNAH_TRY(mynah__set_same(l, 0, v));
  for (size_t k = 1; k < l->node->n_in; k++) {
    MYNAH_TRY(mynah__need(l, k, &v));
    MYNAH_TRY(combine_values(l, ADD, &total, v));
    total = l->values[mynah__out_index(l, 0)];
  }
  return MYNAH_OK;
}

static mynah_status bound(mynah__lowering *l, size_t k, const char *name, double fallback, double *out) {
  mynah__value *v = mynah__in(l, k);
  *out = mynah__real_attribute(l, name, fallback);
  if (v && !mynah__known_number(l, v, out)) return mynah__refuse(l, "the bounds must be constants");
  *out = fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, *out));
  return MYNAH_OK;
}

static mynah_status op_clip(mynah__lowering *l) {
  mynah__value *v;
  double low, high, *out;
  const double *in;
  int order[MYNAH_MAX_DIMS];
  MYNAH_TRY(mynah__need(l, 0, &v));
  MYNAH_TRY(bound(l, 1, "min", -(double)FLT_MAX, &low));
  MYNAH_TRY(bound(l, 2, "max", (double)FLT_MAX, &high));
  if (mynah__is_arithmetic(l)) {
    MYNAH_TRY(mynah__known(l, v, &in));
    mynah_shape shape = v->shape;
    MYNAH_TRY(mynah__set_known(l, 0, shape, v->is_whole, &out));
    for (int64_t i = 0, n = mynah__count(shape); i < n; i++) out[i] = fmin(fmax(in[i], low), high);
    return MYNAH_OK;
  }
  mynah__order_of(v, order);
  return mynah__set_node(l, 0, mynah_clamp(l->g, mynah__arranged(l, v, order), (float)low, (float)high), v->shape,
                         order);
}

/* Infinite constants, as masks have them, become the largest finite numbers, so that 0 times them is 0. */
static mynah_status make_finite(mynah__lowering *l, mynah__value *v) {
  const double *in;
  if (!mynah__is_known(v) || mynah__count(v->shape) > ((int64_t)1 << 20)) return MYNAH_OK;
  const mynah__onnx_tensor *t = v->tensor >= 0 ? &l->o->tensors[v->tensor] : NULL;
  if (t && t->name && t->n > 16) return MYNAH_OK; /* a weight */
  MYNAH_TRY(mynah__known(l, v, &in));
  double *numbers = (double *)(uintptr_t)in;
  for (int64_t i = 0, n = mynah__count(v->shape); i < n; i++)
    if (isinf((float)numbers[i])) numbers[i] = numbers[i] > 0 ? (double)FLT_MAX : -(double)FLT_MAX;
  v->tensor = -1;
  return MYNAH_OK;
}

static mynah_status where_numbers(mynah__lowering *l, mynah__value *const v[3], mynah_shape shape) {
  const double *in[3];
  double *out;
  for (int k = 0; k < 3; k++) MYNAH_TRY(mynah__known(l, v[k], &in[k]));
  MYNAH_TRY(mynah__set_known(l, 0, shape, v[1]->is_whole && v[2]->is_whole, &out));
  for (int64_t i = 0, n = mynah__count(shape); i < n; i++) {
    double c = in[0][mynah__stretched_index(v[0]->shape, shape, i)];
    int k = c > 0 || c < 0 ? 1 : 2;
    out[i] = in[k][mynah__stretched_index(v[k]->shape, shape, i)];
  }
  return MYNAH_OK;
}

static mynah_status op_where(mynah__lowering *l) {
  mynah__value *v[3], copy[3];
  mynah_shape shape;
  mynah_node in[3];
  int order[MYNAH_MAX_DIMS];
  for (size_t k = 0; k < 3; k++) MYNAH_TRY(mynah__need(l, k, &v[k]));
  MYNAH_TRY(mynah__broadcast_shape(l, v[1]->shape, v[2]->shape, &shape));
  MYNAH_TRY(mynah__broadcast_shape(l, v[0]->shape, shape, &shape));
  if (mynah__is_arithmetic(l)) {
    for (int k = 0; k < 3; k++) copy[k] = *v[k]; /* the output may grow no list, but stays apart from them */
    return where_numbers(l, (mynah__value *const[3]){&copy[0], &copy[1], &copy[2]}, shape);
  }
  if (mynah__count(shape) < 1) return mynah__refuse(l, "empty or too large values");
  for (int k = 1; k < 3; k++) MYNAH_TRY(make_finite(l, v[k]));
  meeting_order(mynah__is_known(v[1]) ? v[2] : v[1], v[0], shape.n_dims, order);
  for (int k = 0; k < 3; k++) in[k] = widened(l, v[k], shape.n_dims, order);
  return mynah__set_node(l, 0, select_of(l->g, in[0], in[1], in[2]), shape, order);
}

/* To reals nothing changes; to whole numbers towards 0; to truth, whether it is not 0. */
static mynah_status op_cast(mynah__lowering *l) {
  mynah__value *v;
  int64_t to = mynah__whole_attribute(l, "to", TYPE_FLOAT);
  bool is_whole = to != TYPE_FLOAT && to != TYPE_FLOAT16 && to != TYPE_DOUBLE && to != 16; /* 16: bfloat16 */
  int out = mynah__out_index(l, 0);
  MYNAH_TRY(mynah__need(l, 0, &v));
  if (mynah__is_arithmetic(l)) {
    const double *in;
    double *numbers;
    MYNAH_TRY(mynah__known(l, v, &in));
    mynah_shape shape = v->shape;
    MYNAH_TRY(mynah__set_known(l, 0, shape, is_whole, &numbers));
    for (int64_t i = 0, n = mynah__count(shape); i < n; i++)
      numbers[i] = to == TYPE_BOOL ? (double)(in[i] > 0 || in[i] < 0) : is_whole ? trunc(in[i]) : (double)(float)in[i];
    return MYNAH_OK;
  }
  if (!is_whole || (v->is_whole && to != TYPE_BOOL)) MYNAH_TRY(mynah__set_same(l, 0, v));
  else if (to != TYPE_BOOL) MYNAH_TRY(apply(l, "trunc"));
  else {
    int order[MYNAH_MAX_DIMS];
    mynah__order_of(v, order);
    mynah_node y = complement(l->g, mynah_unary(l->g, "is_zero", mynah__arranged(l, v, order)));
    MYNAH_TRY(mynah__set_node(l, 0, y, v->shape, order));
  }
  if (out >= 0) l->values[out].is_whole = is_whole;
  return MYNAH_OK;
}

/* x where x >= 0, else slope x */
static mynah_status op_prelu(mynah__lowering *l) {
  mynah__value *x, *slope;
  pair p;
  MYNAH_TRY(mynah__need(l, 0, &x));
  MYNAH_TRY(mynah__need(l, 1, &slope));
  MYNAH_TRY(meet(l, x, slope, &p));
  mynah_node positive = mynah_relu(l->g, p.a), rest = mynah_sub(l->g, p.a, positive);
  return mynah__set_node(l, 0, mynah_add(l->g, positive, mynah_mul(l->g, rest, p.b)), p.shape, p.order);
}

const mynah__onnx_op mynah__onnx_math_ops[] = {
    {"Abs", op_unary},
    {"Add", op_binary},
    {"And", op_binary},
    {"Cast", op_cast},
    {"Ceil", op_unary},
    {"Clip", op_clip},
    {"Cos", op_unary},
    {"Div", op_binary},
    {"Dropout", op_identity},
    {"Elu", op_elu},
    {"Equal", op_binary},
    {"Erf", op_unary},
    {"Exp", op_unary},
    {"Floor", op_unary},
    {"Gelu", op_gelu},
    {"Greater", op_binary},
    {"GreaterOrEqual", op_binary},
    {"HardSigmoid", op_hard_sigmoid},
    {"HardSwish", op_unary},
    {"Identity", op_identity},
    {"IsInf", op_unary},
    {"IsNaN", op_unary},
    {"LeakyRelu", op_leaky_relu},
    {"Less", op_binary},
    {"LessOrEqual", op_binary},
    {"Log", op_unary},
    {"Max", op_binary},
    {"Min", op_binary},
    {"Mish", op_unary},
    {"Mod", op_binary},
    {"Mul", op_binary},
    {"Neg", op_unary},
    {"Not", op_unary},
    {"Or", op_binary},
    {"PRelu", op_prelu},
    {"Pow", op_binary},
    {"Reciprocal", op_unary},
    {"Relu", op_unary},
    {"Round", op_unary},
    {"Selu", op_selu},
    {"Sigmoid", op_unary},
    {"Sign", op_unary},
    {"Sin", op_unary},
    {"Softplus", op_unary},
    {"Sqrt", op_unary},
    {"Sub", op_binary},
    {"Sum", op_sum},
    {"Tanh", op_unary},
    {"Where", op_where},
    {"Xor", op_binary},
    {NULL, NULL},
};
