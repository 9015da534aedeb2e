/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Moving data and drawing random numbers: the same on every ISA level, so compiled once. Sizes are worked out when a step is
 * prepared; what is left is copying rows. */
#include "../kernels.h"

#include <string.h>

/* out row of out_stride bytes at out_start <- in row of in_stride bytes at in_start, `bytes` of each of n_rows. */
typedef struct rows {
  size_t n_rows, in_stride, out_stride, in_start, out_start, bytes;
} rows;

/* Rows of a few words, such as the parts of a state, are copied without a call. */
static void copy_rows(const rows *r, const char *in, char *out) {
  in += r->in_start;
  out += r->out_start;
  if (r->bytes == 4) {
    for (size_t i = 0; i < r->n_rows; i++) memcpy(out + i * r->out_stride, in + i * r->in_stride, 4);
  } else if (r->bytes == 8) {
    for (size_t i = 0; i < r->n_rows; i++) memcpy(out + i * r->out_stride, in + i * r->in_stride, 8);
  } else if (r->bytes == 16) {
    for (size_t i = 0; i < r->n_rows; i++) memcpy(out + i * r->out_stride, in + i * r->in_stride, 16);
  } else {
    for (size_t i = 0; i < r->n_rows; i++) memcpy(out + i * r->out_stride, in + i * r->in_stride, r->bytes);
  }
}

/* Rows before an axis, and bytes of one unit along it. */
static void split_at(const mynah__step *step, mynah_shape s, size_t *n_rows, size_t *unit) {
  int64_t axis = step->a.i[0];
  *n_rows = 1;
  *unit = mynah_dtype_bytes(step->in[0].dtype);
  for (int d = 0; d < s.n_dims; d++) {
    if (d < axis) *n_rows *= (size_t)s.dims[d];
    if (d > axis) *unit *= (size_t)s.dims[d];
  }
}

static mynah_status keep(mynah__plan *plan, const rows *r, size_t n) {
  plan->data = mynah_calloc(n, sizeof *r);
  if (!plan->data) return MYNAH_NO_MEMORY;
  memcpy(plan->data, r, n * sizeof *r);
  return MYNAH_OK;
}

static bool is_not_double(const mynah__step *step) { return step->precision != MYNAH_F64; }

/* ---- copy, slice, slice_grad, concat ------------------------------------------------------------------------------- */

static mynah_status prepare_copy(const mynah__step *step, mynah__plan *plan) {
  size_t bytes = (size_t)mynah_shape_size(step->in[0].shape) * mynah_dtype_bytes(step->in[0].dtype);
  return keep(plan, &(rows){1, 0, 0, 0, 0, bytes}, 1);
}

/* a: axis, start, length */
static mynah_status prepare_slice(const mynah__step *step, mynah__plan *plan) {
  rows r = {0};
  size_t unit;
  split_at(step, step->in[0].shape, &r.n_rows, &unit);
  r.in_stride = (size_t)step->in[0].shape.dims[step->a.i[0]] * unit;
  r.in_start = (size_t)step->a.i[1] * unit;
  r.bytes = r.out_stride = (size_t)step->a.i[2] * unit;
  return keep(plan, &r, 1);
}

/* a: axis, start, length of the whole; the rest is zero */
static mynah_status prepare_slice_grad(const mynah__step *step, mynah__plan *plan) {
  rows r = {0};
  size_t unit;
  split_at(step, step->in[0].shape, &r.n_rows, &unit);
  r.bytes = r.in_stride = (size_t)step->in[0].shape.dims[step->a.i[0]] * unit;
  r.out_start = (size_t)step->a.i[1] * unit;
  r.out_stride = (size_t)step->a.i[2] * unit;
  return keep(plan, &r, 1);
}

static mynah_status prepare_concat(const mynah__step *step, mynah__plan *plan) {
  rows r[MYNAH__MAX_INPUTS] = {{0}};
  size_t start = 0, unit, n_rows;
  split_at(step, step->out[0].shape, &n_rows, &unit);
  for (int k = 0; k < step->n_in; k++) {
    size_t bytes = (size_t)step->in[k].shape.dims[step->a.i[0]] * unit;
    r[k] = (rows){n_rows, bytes, (size_t)step->out[0].shape.dims[step->a.i[0]] * unit, 0, start, bytes};
    start += bytes;
  }
  return keep(plan, r, (size_t)step->n_in);
}

static void run_rows(const mynah__call *call) {
  const rows *whole = call->plan;
  for (int k = 0; k < call->step->n_in; k++) {
    rows r = whole[k];
    mynah__share own = mynah__share_of((int64_t)r.n_rows, call);
    r.in_start += (size_t)own.first * r.in_stride, r.out_start += (size_t)own.first * r.out_stride;
    r.n_rows = (size_t)(own.last - own.first);
    copy_rows(&r, call->in[k], call->out[0]);
  }
}

static void run_slice_grad(const mynah__call *call) {
  const rows *r = call->plan;
  memset(call->out[0], 0, r->n_rows * r->out_stride);
  copy_rows(r, call->in[0], call->out[0]);
}

/* ---- permute, broadcast --------------------------------------------------------------------------------------------- */

/* out, in order, <- in at the sum of index * stride over the axes, a run of `bytes` each. */
typedef struct walk {
  int n_dims;
  size_t bytes, size[MYNAH_MAX_DIMS], stride[MYNAH_MAX_DIMS];
} walk;

/* Trailing axes that lie side by side in both become the run; neighbours that step evenly become one axis. strides in
 * elements. */
static mynah_status prepare_walk(const mynah__step *step, const int64_t *stride, mynah__plan *plan) {
  mynah_shape s = step->out[0].shape;
  size_t element = mynah_dtype_bytes(step->in[0].dtype), run = 1;
  int n = s.n_dims;
  for (; n > 0 && (s.dims[n - 1] == 1 || stride[n - 1] == (int64_t)run); n--) run *= (size_t)s.dims[n - 1];
  walk w = {.bytes = run * element};
  for (int d = 0; d < n; d++) {
    size_t size = (size_t)s.dims[d], bytes = (size_t)stride[d] * element;
    if (size == 1) continue;
    if (w.n_dims > 0 && w.stride[w.n_dims - 1] == bytes * size) {
      w.size[w.n_dims - 1] *= size;
      w.stride[w.n_dims - 1] = bytes;
    } else {
      w.size[w.n_dims] = size;
      w.stride[w.n_dims++] = bytes;
    }
  }
  walk *kept = mynah_calloc(1, sizeof *kept);
  if (!kept) return MYNAH_NO_MEMORY;
  *kept = w;
  plan->data = kept;
  return MYNAH_OK;
}

static mynah_status prepare_permute(const mynah__step *step, mynah__plan *plan) {
  mynah_shape s = step->in[0].shape;
  int64_t dense[MYNAH_MAX_DIMS], stride[MYNAH_MAX_DIMS], size = 1;
  for (int d = s.n_dims - 1; d >= 0; d--) dense[d] = size, size *= s.dims[d];
  for (int d = 0; d < s.n_dims; d++) stride[d] = dense[step->a.i[d]];
  return prepare_walk(step, stride, plan);
}

static mynah_status prepare_broadcast(const mynah__step *step, mynah__plan *plan) {
  mynah_shape x = step->in[0].shape, y = step->out[0].shape;
  int64_t stride[MYNAH_MAX_DIMS] = {0}, size = 1;
  for (int d = y.n_dims - 1, k = x.n_dims - 1; k >= 0; d--, k--) {
    stride[d] = x.dims[k] == 1 ? 0 : size;
    size *= x.dims[k];
  }
  return prepare_walk(step, stride, plan);
}

/* The last axis of a walk: n runs, `stride` bytes apart. Returns the end of out. */
static char *copy_runs(char *out, const char *in, size_t n, size_t stride, size_t bytes) {
  if (bytes == 4) {
    for (size_t i = 0; i < n; i++) memcpy(out + 4 * i, in + i * stride, 4);
  } else {
    for (size_t i = 0; i < n; i++) memcpy(out + i * bytes, in + i * stride, bytes);
  }
  return out + n * bytes;
}

static void run_walk(const mynah__call *call) {
  const walk *w = call->plan;
  const char *in = call->in[0];
  char *out = call->out[0];
  size_t index[MYNAH_MAX_DIMS] = {0};
  int last = w->n_dims - 1;
  if (last < 0) {
    memcpy(out, in, w->bytes);
    return;
  }
  for (;;) {
    out = copy_runs(out, in, w->size[last], w->stride[last], w->bytes);
    int d = last - 1;
    for (; d >= 0; d--) {
      in += w->stride[d];
      if (++index[d] < w->size[d]) break;
      in -= w->size[d] * w->stride[d];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

#define MOVE(op, run_it, is_shared)                                                                       \
  const mynah__kernel mynah__fast_##op = {.name = "fast:" #op,                                            \
                                          .is_shared_out = is_shared,                                     \
                                          .is_rt = true,                                                  \
                                          .accepts = is_not_double,                                       \
                                          .prepare = prepare_##op,                                        \
                                          .release = mynah_free,                                          \
                                          .run = run_it};
MOVE(copy, run_rows, true)
MOVE(slice, run_rows, true)
MOVE(slice_grad, run_slice_grad, false)
MOVE(concat, run_rows, true)
MOVE(permute, run_walk, false)
MOVE(broadcast, run_walk, false)

/* ---- dropout, noise -------------------------------------------------------------------------------------------------- */

#define DRAWN 256 /* numbers drawn at once */

/* a.f[0]: the probability; out[1]: the mask, 0 or 1/(1-p), that the gradient multiplies by. */
static void run_dropout(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  double probability = call->step->a.f[0];
  uint64_t threshold = (uint64_t)(probability * 4294967296.0);
  float kept = (float)(1 / (1 - probability));
  const float *x = call->in[0];                  /* (n) */
  float *y = call->out[0], *mask = call->out[1]; /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  uint32_t drawn[DRAWN];
  for (int64_t i = 0; i < n; i += DRAWN) {
    int64_t m = n - i < DRAWN ? n - i : DRAWN;
    mynah_rng_fill_u32(&r, drawn, (size_t)m);
    for (int64_t k = 0; k < m; k++) mask[i + k] = drawn[k] < threshold ? 0 : kept;
    for (int64_t k = 0; k < m; k++) y[i + k] = x[i + k] * mask[i + k];
  }
}

/* a.f[0]: the standard deviation */
static void run_gaussian_noise(const mynah__call *call) {
  int64_t n = mynah_shape_size(call->step->out[0].shape);
  float sigma = (float)call->step->a.f[0];
  const float *x = call->in[0]; /* (n) */
  float *y = call->out[0];      /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  float drawn[DRAWN];
  for (int64_t i = 0; i < n; i += DRAWN) {
    int64_t m = n - i < DRAWN ? n - i : DRAWN;
    mynah_rng_fill_normal(&r, drawn, (size_t)m);
    for (int64_t k = 0; k < m; k++) y[i + k] = x[i + k] + sigma * drawn[k];
  }
}

static void run_random_normal(const mynah__call *call) {
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  mynah_rng_fill_normal(&r, call->out[0], (size_t)mynah_shape_size(call->step->out[0].shape));
}

static void run_random_index(const mynah__call *call) {
  int32_t *y = call->out[0]; /* (n) */
  mynah_rng r = mynah_rng_make(call->seed, call->position);
  for (int64_t i = 0, n = mynah_shape_size(call->step->out[0].shape); i < n; i++)
    y[i] = (int32_t)mynah_rng_below(&r, (uint64_t)call->step->a.i[10]);
}

/* ---- gather ---------------------------------------------------------------------------------------------------------- */

static int64_t row_of(int32_t index, int64_t n) { return index < 0 ? 0 : index < n ? index : n - 1; }

static void run_gather(const mynah__call *call) {
  const int64_t *s = call->step->in[0].shape.dims;
  const float *table = call->in[0];   /* (R,D) */
  const int32_t *index = call->in[1]; /* (B) */
  float *y = call->out[0];            /* (B,D) */
  for (int64_t b = 0; b < call->step->in[1].shape.dims[0]; b++)
    memcpy(y + b * s[1], table + row_of(index[b], s[0]) * s[1], (size_t)s[1] * sizeof *y);
}

static void run_gather_grad(const mynah__call *call) {
  const int64_t *s = call->step->out[0].shape.dims;
  const float *dy = call->in[0];      /* (B,D) */
  const int32_t *index = call->in[1]; /* (B) */
  float *d_table = call->out[0];      /* (R,D) */
  memset(d_table, 0, (size_t)(s[0] * s[1]) * sizeof *d_table);
  for (int64_t b = 0; b < call->step->in[1].shape.dims[0]; b++, dy += s[1]) {
    float *row = d_table + row_of(index[b], s[0]) * s[1];
    for (int64_t i = 0; i < s[1]; i++) row[i] += dy[i];
  }
}

static bool is_f32(const mynah__step *step) { return step->precision == MYNAH_F32; }
const mynah__kernel mynah__fast_dropout = {.name = "fast:dropout", .is_rt = true, .accepts = is_f32, .run = run_dropout};
const mynah__kernel mynah__fast_gaussian_noise = {
    .name = "fast:gaussian_noise", .is_rt = true, .accepts = is_f32, .run = run_gaussian_noise};
const mynah__kernel mynah__fast_random_normal = {
    .name = "fast:random_normal", .is_rt = true, .accepts = is_f32, .run = run_random_normal};
const mynah__kernel mynah__fast_random_index = {
    .name = "fast:random_index", .is_rt = true, .accepts = is_f32, .run = run_random_index};
const mynah__kernel mynah__fast_gather = {.name = "fast:gather", .is_rt = true, .accepts = is_f32, .run = run_gather};
const mynah__kernel mynah__fast_gather_grad = {
    .name = "fast:gather_grad", .is_rt = true, .accepts = is_f32, .run = run_gather_grad};
