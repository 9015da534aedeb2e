/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Recurrent layers, step by step, and sums of products in Einstein's notation. */
#include "onnx_internal.h"

#include <string.h>

#define STEPS_MAX 1024

/* ---- LSTM and GRU
 * --------------------------------------------------------------------------------------------------------- */

typedef struct recurrence {
  mynah__value *x, *w, *r, *b, *h0, *c0;
  int64_t steps, batch, n_in, hidden, gates;
  int n_directions;
  bool is_gru, is_reset_late, is_batch_first;
} recurrence;

static mynah_status check_activations(const mynah__lowering *l) {
  if (mynah__attribute(l, "clip") || mynah__attribute(l, "activations"))
    return mynah__refuse(l, "only the usual activations, without clip, are known");
  if (mynah__whole_attribute(l, "input_forget", 0)) return mynah__refuse(l, "input_forget is not known");
  return MYNAH_OK;
}

static bool is_shape(const mynah__value *v, int64_t a, int64_t b, int64_t c) {
  const int64_t *d = v->shape.dims;
  return v->shape.n_dims == (c ? 3 : 2) && d[0] == a && d[1] == b && (!c || d[2] == c);
}

static mynah_status read_recurrence(mynah__lowering *l, recurrence *r) {
  const char *direction = mynah__text_attribute(l, "direction", "forward");
  *r = (recurrence){.b = mynah__in(l, 3), .h0 = mynah__in(l, 5), .is_gru = strcmp(l->node->op, "GRU") == 0};
  r->c0 = r->is_gru ? NULL : mynah__in(l, 6);
  r->gates = r->is_gru ? 3 : 4;
  r->is_reset_late = mynah__whole_attribute(l, "linear_before_reset", 0) != 0;
  r->is_batch_first = mynah__whole_attribute(l, "layout", 0) != 0;
  r->n_directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
  MYNAH_TRY(mynah__need(l, 0, &r->x));
  MYNAH_TRY(mynah__need(l, 1, &r->w));
  MYNAH_TRY(mynah__need(l, 2, &r->r));
  MYNAH_TRY(check_activations(l));
  if (mynah__in(l, 4) || mynah__in(l, 7)) return mynah__refuse(l, "sequence_lens and peepholes are not known");
  if (r->x->shape.n_dims != 3 || r->w->shape.n_dims != 3)
    return mynah_fail(MYNAH_CORRUPT, "takes (T,B,in) and (directions,gates,in)");
  const int64_t *d = r->x->shape.dims;
  r->steps = d[r->is_batch_first ? 1 : 0];
  r->batch = d[r->is_batch_first ? 0 : 1];
  r->n_in = d[2];
  r->hidden = r->w->shape.dims[1] / r->gates;
  bool fits = r->hidden > 0 && is_shape(r->w, r->n_directions, r->gates * r->hidden, r->n_in) &&
              is_shape(r->r, r->n_directions, r->gates * r->hidden, r->hidden) &&
              (!r->b || is_shape(r->b, r->n_directions, 2 * r->gates * r->hidden, 0));
  mynah__value *const starts[2] = {r->h0, r->c0};
  for (int k = 0; k < 2; k++)
    if (starts[k])
      fits = fits && (r->is_batch_first ? is_shape(starts[k], r->batch, r->n_directions, r->hidden)
                                        : is_shape(starts[k], r->n_directions, r->batch, r->hidden));
  if (!fits || r->steps < 1 || r->batch < 1) return mynah_fail(MYNAH_MISMATCH, "the weights do not fit the input");
  return r->steps <= STEPS_MAX ? MYNAH_OK : mynah__refuse(l, "over %d steps", STEPS_MAX);
}

/* Part k of the first axis, of `size` rows from `start` on of the second: (size,…) */
static mynah_node part_of(mynah__lowering *l, mynah__value *v, int k, int64_t start, int64_t size) {
  mynah_shape s = v->shape;
  mynah_node x = mynah_slice(l->g, mynah__arranged(l, v, NULL), 0, k, 1);
  x = mynah_slice(l->g, x, 1, start, size);
  return mynah_reshape(l->g, x, s.n_dims == 3 ? MYNAH_SHAPE(size, s.dims[2]) : MYNAH_SHAPE(size));
}

static mynah_node start_of(mynah__lowering *l, const recurrence *r, mynah__value *v, int direction) {
  if (!v) return mynah_fill(l->g, MYNAH_SHAPE(r->batch, r->hidden), 0);
  mynah_node x = mynah__arranged(l, v, NULL);
  return mynah_reshape(l->g, mynah_slice(l->g, x, r->is_batch_first ? 1 : 0, direction, 1),
                       MYNAH_SHAPE(r->batch, r->hidden));
}

/* The weights of one direction. w (gates*H,in) r (gates*H,H) wb, rb (gates*H) */
typedef struct cell {
  mynah_node w, r, wb, rb;
} cell;

/* Gates in ONNX's order i, o, f, c: c' = f c + i tanh(…), h' = o tanh(c'). seen (B,4H): W x + Wb */
static void lstm_step(mynah_graph *g, const recurrence *r, const cell *k, mynah_node seen, mynah_node *h,
                      mynah_node *c) {
  int64_t n = r->hidden;
  mynah_node sum = mynah_add(g, seen, mynah_linear(g, *h, k->r, k->rb));
  mynah_node gates = mynah_sigmoid(g, mynah_slice(g, sum, -1, 0, 3 * n)),
             candidate = mynah_tanh(g, mynah_slice(g, sum, -1, 3 * n, n));
  mynah_node kept = mynah_mul(g, mynah_slice(g, gates, -1, 2 * n, n), *c);
  *c = mynah_add(g, kept, mynah_mul(g, mynah_slice(g, gates, -1, 0, n), candidate));
  *h = mynah_mul(g, mynah_slice(g, gates, -1, n, n), mynah_tanh(g, *c));
}

/* Gates z, r, h: h' = (1 - z) tanh(…) + z h; the reset gate multiplies the state before R (0), or what R makes of it
 * (1). */
static void gru_step(mynah_graph *g, const recurrence *r, const cell *k, mynah_node seen, mynah_node *h) {
  int64_t n = r->hidden;
  mynah_node sum = mynah_linear(g, *h, k->r, k->rb);
  mynah_node gates =
      mynah_sigmoid(g, mynah_add(g, mynah_slice(g, seen, -1, 0, 2 * n), mynah_slice(g, sum, -1, 0, 2 * n)));
  mynah_node z = mynah_slice(g, gates, -1, 0, n), reset = mynah_slice(g, gates, -1, n, n), rest;
  if (r->is_reset_late) {
    rest = mynah_mul(g, reset, mynah_slice(g, sum, -1, 2 * n, n));
  } else {
    mynah_node bias = mynah_node_is_null(k->rb) ? k->rb : mynah_slice(g, k->rb, 0, 2 * n, n);
    rest = mynah_linear(g, mynah_mul(g, reset, *h), mynah_slice(g, k->r, 0, 2 * n, n), bias);
  }
  mynah_node candidate = mynah_tanh(g, mynah_add(g, mynah_slice(g, seen, -1, 2 * n, n), rest));
  *h = mynah_add(g, candidate, mynah_mul(g, z, mynah_sub(g, *h, candidate)));
}

/* One direction: tops[t] (B,H) of each step, the last h and c. */
static void run_direction(mynah__lowering *l, const recurrence *r, int direction, mynah_node *tops, mynah_node *h,
                          mynah_node *c) {
  int64_t rows = r->gates * r->hidden;
  mynah_graph *g = l->g;
  bool is_reverse = direction == 1 || strcmp(mynah__text_attribute(l, "direction", "forward"), "reverse") == 0;
  cell k = {part_of(l, r->w, direction, 0, rows), part_of(l, r->r, direction, 0, rows), MYNAH_NO_NODE, MYNAH_NO_NODE};
  if (r->b) {
    k.wb = part_of(l, r->b, direction, 0, rows);
    k.rb = part_of(l, r->b, direction, rows, rows);
  }
  mynah_node seen = mynah_linear(g, mynah__arranged(l, r->x, NULL), k.w, k.wb);
  *h = start_of(l, r, r->h0, direction);
  *c = r->is_gru ? MYNAH_NO_NODE : start_of(l, r, r->c0, direction);
  for (int64_t i = 0; i < r->steps; i++) {
    int64_t t = is_reverse ? r->steps - 1 - i : i;
    mynah_node now =
        mynah_reshape(g, mynah_slice(g, seen, r->is_batch_first ? 1 : 0, t, 1), MYNAH_SHAPE(r->batch, rows));
    if (r->is_gru) gru_step(g, r, &k, now, h);
    else lstm_step(g, r, &k, now, h, c);
    tops[t] = *h;
  }
}

/* n values (B,H) joined along a new axis, at 0 or, batch first, behind the batch. */
static mynah_node stack(mynah__lowering *l, const recurrence *r, mynah_node *parts, int64_t n, int64_t inner) {
  mynah_shape one = r->is_batch_first ? MYNAH_SHAPE(r->batch, 1, inner) : MYNAH_SHAPE(1, r->batch, inner);
  for (int64_t i = 0; i < n; i++) parts[i] = mynah_reshape(l->g, parts[i], one);
  return mynah_concat(l->g, parts, (int)n, r->is_batch_first ? 1 : 0);
}

static mynah_status op_recurrent(mynah__lowering *l) {
  recurrence r;
  mynah_node tops[2][STEPS_MAX], h[2], c[2];
  MYNAH_TRY(read_recurrence(l, &r));
  int n = r.n_directions;
  for (int d = 0; d < n; d++) run_direction(l, &r, d, tops[d], &h[d], &c[d]);
  if (mynah__out_index(l, 0) >= 0) { /* (T,directions,B,H), or (B,T,directions,H) */
    for (int64_t t = 0; t < r.steps && n == 2; t++)
      tops[0][t] = mynah_concat(l->g, (mynah_node[]){tops[0][t], tops[1][t]}, 2, 1);
    mynah_node y = stack(l, &r, tops[0], r.steps, n * r.hidden);
    mynah_shape shape =
        r.is_batch_first ? MYNAH_SHAPE(r.batch, r.steps, n, r.hidden) : MYNAH_SHAPE(r.steps, n, r.batch, r.hidden);
    const int lies[4] = {0, 2, 1, 3}; /* directions lie behind the batch */
    y = mynah_reshape(l->g, y, r.is_batch_first ? shape : mynah__physical(shape, lies));
    MYNAH_TRY(mynah__set_node(l, 0, y, shape, r.is_batch_first ? NULL : lies));
  }
  mynah_shape last = r.is_batch_first ? MYNAH_SHAPE(r.batch, n, r.hidden) : MYNAH_SHAPE(n, r.batch, r.hidden);
  if (mynah__out_index(l, 1) >= 0) MYNAH_TRY(mynah__set_node(l, 1, stack(l, &r, h, n, r.hidden), last, NULL));
  if (mynah__out_index(l, 2) >= 0 && !r.is_gru)
    MYNAH_TRY(mynah__set_node(l, 2, stack(l, &r, c, n, r.hidden), last, NULL));
  return MYNAH_OK;
}

/* ---- Einstein's notation
 * ---------------------------------------------------------------------------------------------------- */

/* "bij,bjk->bik": the letters of each operand and of the result. */
typedef struct equation {
  char in[2][MYNAH_MAX_DIMS + 1], out[MYNAH_MAX_DIMS + 1];
  int n_in;
} equation;

static mynah_status read_equation(const mynah__lowering *l, equation *e) {
  const char *at = mynah__text_attribute(l, "equation", "");
  char *part = e->in[0];
  size_t n = 0;
  bool is_out = false;
  memset(e, 0, sizeof *e);
  for (; *at; at++) {
    if (*at == ' ') continue;
    if (*at == ',' && e->n_in == 0 && !is_out) part = e->in[++e->n_in], n = 0;
    else if (*at == '-' && at[1] == '>' && !is_out) at++, is_out = true, part = e->out, n = 0;
    else if (((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')) && n < MYNAH_MAX_DIMS && !strchr(part, *at))
      part[n++] = *at;
    else return mynah__refuse(l, "the equation '%.64s' is not known", mynah__text_attribute(l, "equation", ""));
  }
  e->n_in++;
  if (!is_out || e->n_in != (int)l->node->n_in) return mynah__refuse(l, "takes one or two operands and '->'");
  return MYNAH_OK;
}

static bool has(const char *letters, char c) { return strchr(letters, c) != NULL; }

/* One operand as (batch…, own…, shared): letters in this order, with their sizes. */
typedef struct operand {
  mynah_node node;
  int64_t batch, own, shared;
} operand;

static mynah_status arrange_operand(mynah__lowering *l, mynah__value *v, const equation *e, int which, operand *out) {
  const char *letters = e->in[which], *other = e->n_in == 2 ? e->in[1 - which] : "";
  int order[MYNAH_MAX_DIMS], n = 0, axes[MYNAH_MAX_DIMS], n_axes = 0;
  if ((int)strlen(letters) != v->shape.n_dims)
    return mynah_fail(MYNAH_MISMATCH, "%s does not fit %d dimensions", letters, v->shape.n_dims);
  *out = (operand){.batch = 1, .own = 1, .shared = 1};
  for (int role = 0; role < 4;
       role++) { /* batch, own: in the order of the result; shared: in that of operand 0; neither: summed */
    const char *by = role < 2 ? e->out : e->in[0];
    if (role == 3) by = letters;
    for (const char *c = by; *c; c++) {
      bool in_out = has(e->out, *c), in_other = has(other, *c);
      int kind = in_out ? (in_other ? 0 : 1) : in_other ? 2 : 3;
      if (!has(letters, *c) || kind != role) continue;
      int axis = (int)(strchr(letters, *c) - letters);
      if (role == 3) axes[n_axes++] = n;
      order[n++] = axis;
      int64_t *size = role == 0 ? &out->batch : role == 1 ? &out->own : role == 2 ? &out->shared : NULL;
      if (size) *size *= v->shape.dims[axis];
    }
  }
  if (n != v->shape.n_dims) return mynah__refuse(l, "the equation is not known");
  mynah_node x = mynah__arranged(l, v, order);
  if (n_axes) x = mynah_sum(l->g, x, axes, n_axes, true);
  out->node = mynah_reshape(l->g, x, MYNAH_SHAPE(out->batch, out->own, out->shared));
  return MYNAH_OK;
}

static int64_t size_of(const mynah__lowering *l, const equation *e, char letter) {
  for (int k = 0; k < e->n_in; k++)
    if (has(e->in[k], letter)) return mynah__in(l, (size_t)k)->shape.dims[strchr(e->in[k], letter) - e->in[k]];
  return -1;
}

static mynah_status op_einsum(mynah__lowering *l) {
  equation e;
  operand a, b;
  mynah__value *v;
  int order[MYNAH_MAX_DIMS], n = 0;
  mynah_shape shape = {0};
  MYNAH_TRY(read_equation(l, &e));
  for (size_t k = 0; k < (size_t)e.n_in; k++) {
    MYNAH_TRY(mynah__need(l, k, &v));
    if (mynah__count(v->shape) < 1) return mynah__refuse(l, "empty or too large values");
    MYNAH_TRY(arrange_operand(l, v, &e, (int)k, k == 0 ? &a : &b));
  }
  for (const char *c = e.in[0]; *c && e.n_in == 2; c++)
    if (has(e.in[1], *c) &&
        mynah__in(l, 0)->shape.dims[c - e.in[0]] != mynah__in(l, 1)->shape.dims[strchr(e.in[1], *c) - e.in[1]])
      return mynah_fail(MYNAH_MISMATCH, "'%c' has two sizes", *c);
  for (const char *c = e.out; *c; c++) {
    shape.dims[shape.n_dims++] = size_of(l, &e, *c);
    if (shape.dims[shape.n_dims - 1] < 1) return mynah_fail(MYNAH_CORRUPT, "'%c' comes from nowhere", *c);
  }
  mynah_node y = e.n_in == 2 ? mynah_matmul(l->g, a.node, b.node, false, true) : a.node;
  for (int role = 0; role < 3; role++) /* as it lies: batch, own of 0, own of 1 */
    for (int i = 0; i < shape.n_dims; i++) {
      bool in_a = has(e.in[0], e.out[i]), in_b = e.n_in == 2 && has(e.in[1], e.out[i]);
      if (role == (in_a && in_b ? 0 : in_a ? 1 : 2)) order[n++] = i;
    }
  if (mynah__count(shape) < 1) return mynah_fail(MYNAH_LIMIT, "too large");
  return mynah__set_node(l, 0, mynah_reshape(l->g, y, shape.n_dims ? mynah__physical(shape, order) : MYNAH_SHAPE(1)),
                         shape, order);
}

const mynah__onnx_op mynah__onnx_sequence_ops[] = {
    {"Einsum", op_einsum}, {"GRU", op_recurrent}, {"LSTM", op_recurrent}, {NULL, NULL}};
