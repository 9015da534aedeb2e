/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linear layers, their gradients, and matrix products, on the tiles of tile.c. */
#include "tile.h"

/* Rows done for all panels before the next: their results are still in the cache when the post function follows. */
#define ROW_BLOCK 128
#define PANEL_ROWS 6 /* of most panels: see panel_rows */
/* With fewer rows a part, parts share the columns, so that weights are read once. */
#define FEW_ROWS 32

static int64_t last_dim(const mynah__tensor *t) { return t->shape.dims[t->shape.n_dims - 1]; }
static int64_t rows_of(const mynah__tensor *t) { return mynah_shape_size(t->shape) / last_dim(t); }

/* y (rows,n) = a (rows,k) B in the columns of these panels, B packed; n_next rows follow on a in another call. */
static void multiply_rows(const pack_shape *s, mynah__share panels, const operand *a, int64_t rows, int64_t n_next, const float *packed, float *y,
                          const epilogue *e) {
  int64_t n_tiles = rows / PANEL_ROWS + 1;
  ahead next_rows = ahead_of(a + rows * s->k, n_next * s->k * (int64_t)sizeof *a, n_tiles * (panels.last - panels.first));
  for (int64_t i = panels.first; i < panels.last; i++) {
    panel p = FAST(panel_at)(s, i);
    const float *end = packed + p.offset + panel_floats(s, p.nv, p.nt);
    ahead next_panel = ahead_of(end, i + 1 < panels.last ? panel_floats(s, PANEL_VECTORS, 0) * (int64_t)sizeof *end : 0, n_tiles);
    for (int64_t m = 0, n; m < rows; m += n) {
      row_tile t;
      n = FAST(panel_rows)(&p, rows - m);
      for (int r = 0; r < n; r++) {
        t.rows[r] = a + (m + r) * s->k;
        t.out[r] = y + (m + r) * s->n + p.first;
      }
      FAST(tile_rows)(s, &p, 0, packed, &t, (int)n, e);
      bring(&next_panel);
      bring(&next_rows);
    }
  }
}

/* Of the rows up to `last`, those of the block that begins at m. */
static int64_t block_rows(int64_t m, int64_t last) { return last - m < ROW_BLOCK ? last - m : ROW_BLOCK; }
/* The same where they are read as they lie; rounded ones are copied first. */
static int64_t next_rows(int64_t m, int64_t last) { return ROUNDS ? 0 : block_rows(m, last); }

/* Of the operands of a block of rows. */
static size_t block_bytes(int64_t rows, int64_t k) {
  return ROUNDS ? (size_t)((rows < ROW_BLOCK ? rows : ROW_BLOCK) * k) * sizeof(operand) : 0;
}

/* ---- linear ------------------------------------------------------------------------------------------------------ */

static pack_shape linear_shape(const mynah__step *step) {
  return (pack_shape){step->in[1].shape.dims[0], 1, step->in[1].shape.dims[1]};
}

void FAST(linear_plan)(const mynah__step *step, mynah__plan *plan) {
  pack_shape s = linear_shape(step);
  plan->packed_bytes = (size_t)FAST(packed_floats)(&s) * sizeof(float);
  plan->scratch_bytes = block_bytes(rows_of(&step->in[0]), s.k);
}

/* in: w (out,in): B = w^T */
void FAST(linear_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  pack_shape s = linear_shape(step);
  FAST(pack_panels)(&s, in[1], (int64_t[]){0, 1, s.k}, in[2], packed);
}

/* y = post(x w^T + b + residual); parts share the rows, or the columns. */
void FAST(linear)(const mynah__call *call) {
  const mynah__step *step = call->step;
  pack_shape s = linear_shape(step);
  int64_t rows = rows_of(&step->in[0]);
  const float *x = call->in[0]; /* (rows,in) */
  float *y = call->out[0];      /* (rows,out) */
  const mynah__fast_function *post = step->post ? LEVEL(find_unary)(step->post->name) : NULL;
  bool is_relu = post && !strcmp(post->name, "relu");
  epilogue e = {is_relu, step->residual >= 0 ? call->in[step->residual] : NULL, y, rows == 1};
  mynah__share lines = {0, rows}, panels = {0, panel_count(&s)};
  if (rows >= FEW_ROWS * call->n_parts) lines = mynah__share_of(rows, call);
  else panels = mynah__share_of(panels.last, call);
  for (int64_t m = lines.first; m < lines.last; m += ROW_BLOCK) {
    int64_t n = block_rows(m, lines.last);
    multiply_rows(&s, panels, operands_of(x + m * s.k, n * s.k, call->scratch), n, next_rows(m + n, lines.last), call->packed, y + m * s.n, &e);
    if (post && !is_relu)
      LEVEL(apply_columns)(post, (float)step->post_parameters[0], n, s.n, columns_of(&s, panels), y + m * s.n);
  }
}

static pack_shape grad_x_shape(const mynah__step *step) {
  return (pack_shape){step->in[1].shape.dims[1], 1, step->in[1].shape.dims[0]};
}

void FAST(linear_grad_x_plan)(const mynah__step *step, mynah__plan *plan) {
  pack_shape s = grad_x_shape(step);
  plan->packed_bytes = (size_t)FAST(packed_floats)(&s) * sizeof(float);
  plan->scratch_bytes = block_bytes(rows_of(&step->in[0]), s.k);
}

/* in: w (out,in): B = w */
void FAST(linear_grad_x_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  pack_shape s = grad_x_shape(step);
  FAST(pack_panels)(&s, in[1], (int64_t[]){0, s.n, 1}, NULL, packed);
}

/* dx = dy w + residual */
void FAST(linear_grad_x)(const mynah__call *call) {
  pack_shape s = grad_x_shape(call->step);
  int residual = call->step->residual;
  int64_t rows = rows_of(&call->step->in[0]);
  const float *dy = call->in[0]; /* (rows,out) */
  float *dx = call->out[0];      /* (rows,in) */
  epilogue e = {false, residual >= 0 ? call->in[residual] : NULL, dx, false};
  for (int64_t m = 0; m < rows; m += ROW_BLOCK) {
    int64_t n = block_rows(m, rows);
    multiply_rows(&s, (mynah__share){0, panel_count(&s)}, operands_of(dy + m * s.k, n * s.k, call->scratch), n, next_rows(m + n, rows), call->packed,
                  dx + m * s.n, &e);
  }
}

/* ---- weight gradient --------------------------------------------------------------------------------------------- */

static int64_t vectors_of(int64_t columns) { return (columns + VL - 1) / VL; }

/* scratch: the product's room, row pointers and offsets, then the sums where their rows are padded. */
typedef struct outer_scratch {
  int64_t pointers, offsets, sums, total; /* floats from the start */
} outer_scratch;

static outer_scratch outer_scratch_of(int64_t out, int64_t in) {
  int64_t v = vectors_of(in), columns = FAST(outer_columns)(v);
  outer_scratch s = {.pointers = FAST(outer_room)(out)};
  s.offsets = s.pointers + 2 * FAST(outer_block)(out);
  s.sums = (s.offsets + 2 * v + VL - 1) / VL * VL;
  s.total = s.sums + (columns == in ? 0 : out * columns);
  return s;
}

void FAST(linear_grad_w_plan)(const mynah__step *step, mynah__plan *plan) {
  const int64_t *w = step->out[0].shape.dims;
  plan->scratch_bytes = (size_t)outer_scratch_of(w[0], w[1]).total * sizeof(float);
}

/* dw (out,in) = dy^T x; dy (rows,out), x (rows,in) */
static void outer_product(const float *dy, const float *x, int64_t rows, int64_t out, int64_t in, float *scratch,
                          float *dw) {
  outer_scratch s = outer_scratch_of(out, in);
  const float **pointers = (const float **)(void *)(scratch + s.pointers);
  int64_t *offsets = (int64_t *)(void *)(scratch + s.offsets), v = vectors_of(in), columns = FAST(outer_columns)(v), block = FAST(outer_block)(out);
  outer_job job = {
      .o = out, .rows = pointers, .offsets = offsets, .vectors = v, .last_part = (int)(in % VL), .room = scratch};
  job.c = columns == in ? dw : scratch + s.sums;
  for (int64_t i = 0; i < v; i++) offsets[i] = i * VL;
  for (int64_t m = 0; m < rows; m += job.n) {
    job.n = rows - m < block ? rows - m : block;
    job.a = dy + m * out;
    job.is_first = m == 0;
    for (int64_t i = 0; i < job.n; i++) pointers[i] = x + (m + i) * in;
    FAST(outer_add)(&job);
  }
  for (int64_t r = 0; job.c != dw && r < out; r++) memcpy(dw + r * in, job.c + r * columns, (size_t)in * sizeof *dw);
}

/* dw = dy^T x ; db = sum over rows of dy */
void FAST(linear_grad_w)(const mynah__call *call) {
  const mynah__step *step = call->step;
  const int64_t *w = step->out[0].shape.dims;
  int64_t rows = rows_of(&step->in[0]);
  outer_product(call->in[1], call->in[0], rows, w[0], w[1], call->scratch, call->out[0]);
  if (step->n_out > 1) LEVEL(column_sums)(call->in[1], rows, w[0], call->out[1]);
}

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

typedef struct matrices {
  int64_t batch, m, k, n;
  bool a_transposed, b_transposed, is_shared; /* one b for all of a */
} matrices;

static matrices matrices_of(const mynah__step *step) {
  mynah_shape a = step->in[0].shape, b = step->in[1].shape;
  matrices v = {.a_transposed = step->a.i[0], .b_transposed = step->a.i[1], .is_shared = b.n_dims == 2};
  v.k = a.dims[a.n_dims - 1 - v.a_transposed];
  v.m = a.dims[a.n_dims - 1 - !v.a_transposed];
  v.n = last_dim(&step->out[0]);
  v.batch = mynah_shape_size(a) / (v.m * v.k);
  return v;
}

void FAST(matmul_plan)(const mynah__step *step, mynah__plan *plan) {
  matrices v = matrices_of(step);
  pack_shape s = {v.n, 1, v.k};
  plan->scratch_bytes = (size_t)FAST(packed_floats)(&s) * sizeof(float);
  if (ROUNDS || v.a_transposed) plan->scratch_bytes += (size_t)(v.m * v.k) * sizeof(operand);
}

/* a (k,m) -> out (m,k) */
static void transpose(const float *a, int64_t k, int64_t m, operand *out) {
  for (int64_t i = 0; i < m; i += VL)
    for (int64_t j = 0; j < k; j++)
      for (int64_t l = i; l < m && l < i + VL; l++) out[l * k + j] = to_operand(a[j * m + l]);
}

/* y = A B for each of the batch, which parts share, A = a or a^T, B = b or b^T */
void FAST(matmul)(const mynah__call *call) {
  matrices v = matrices_of(call->step);
  pack_shape s = {v.n, 1, v.k};
  const float *a = call->in[0], *b = call->in[1]; /* (batch,m,k) (batch,k,n), or transposed */
  float *y = call->out[0];                        /* (batch,m,n) */
  float *packed = call->scratch;
  operand *turned = (operand *)(void *)(packed + FAST(packed_floats)(&s));
  epilogue e = {.out = y};
  mynah__share own = mynah__share_of(v.batch, call);
  for (int64_t i = own.first; i < own.last; i++) {
    if (i == own.first || !v.is_shared) FAST(pack_panels)
    (&s, b + (v.is_shared ? 0 : i * v.k * v.n), (int64_t[]){0, v.b_transposed ? 1 : v.n, v.b_transposed ? v.k : 1},
     NULL, packed);
    const float *rows = a + i * v.m * v.k;
    if (v.a_transposed) transpose(rows, v.k, v.m, turned);
    multiply_rows(&s, (mynah__share){0, panel_count(&s)}, v.a_transposed ? turned : operands_of(rows, v.m * v.k, turned), v.m, 0, packed, y + i * v.m * v.n,
                  &e);
  }
}
