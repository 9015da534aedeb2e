/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolution, its data gradient and its weight gradient, on the tiles of tile.h, without im2col.
 *
 * In NHWC the KW pixels under one kernel row are KW*C contiguous floats, so one output pixel is a row of A in KH pieces
 * and the whole convolution a matrix product of rows that overlap in memory. The data gradient is the same product over
 * dy, once for each residue of the input position modulo the stride. Padded inputs are copied, sample by sample, into a
 * frame of zeros. Taken are groups 1 and dilation 1. */
#include "tile.h"

typedef struct conv {
  int64_t batch, h, w, c;  /* x (batch,h,w,c) */
  int64_t out_h, out_w, o; /* y (batch,out_h,out_w,o) */
  int64_t kh, kw;
  int64_t sh, sw; /* stride */
  int64_t top, left;
  int64_t ph, pw; /* x with its frame: (ph,pw,c) */
} conv;

static conv conv_of(const mynah__step *step, const int64_t *x, const int64_t *w, const int64_t *y) {
  const int64_t *i = step->a.i;
  return (conv){x[0],
                x[1],
                x[2],
                x[3],
                y[1],
                y[2],
                y[3],
                w[2],
                w[3],
                i[0],
                i[1],
                i[4],
                i[5],
                x[1] + i[4] + i[6],
                x[2] + i[5] + i[7]};
}
static conv forward_of(const mynah__step *s) {
  return conv_of(s, s->in[0].shape.dims, s->in[1].shape.dims, s->out[0].shape.dims);
}
static conv grad_x_of(const mynah__step *s) {
  return conv_of(s, s->out[0].shape.dims, s->in[1].shape.dims, s->in[0].shape.dims);
}
static conv grad_w_of(const mynah__step *s) {
  return conv_of(s, s->in[0].shape.dims, s->out[0].shape.dims, s->in[1].shape.dims);
}

static bool has_frame(const conv *v) { return v->ph != v->h || v->pw != v->w; }

/* x (h,w,c) into the middle of frame (fh,fw,c), which is zero elsewhere. */
static void copy_framed(const float *x, int64_t h, int64_t w, int64_t c, int64_t top, int64_t left, int64_t fw,
                        float *frame) {
  for (int64_t i = 0; i < h; i++)
    memcpy(frame + ((top + i) * fw + left) * c, x + i * w * c, (size_t)(w * c) * sizeof *x);
}

static void zero(operand *x, int64_t n) {
  if (n > 0) memset(x, 0, (size_t)n * sizeof *x);
}

/* ---- a rectangle of output pixels -------------------------------------------------------------------------------- */

/* Output pixel (i,j): its A row begins at a + i a_row + j a_col, its result goes to y + i y_row + j y_col. */
typedef struct raster {
  int64_t rows, cols;
  const operand *a;
  float *y;
  int64_t a_row, a_col, y_row, y_col;
  int64_t segment; /* between the pieces of an A row */
} raster;

/* Pixels in reading order, panel_rows at a time, tiles running on over line ends. */
static void raster_panel(const pack_shape *s, const panel *p, const float *packed, const raster *v, const epilogue *e) {
  int64_t n = v->rows * v->cols, i = 0, j = 0;
  for (int64_t m = 0; m < n;) {
    int n_rows = FAST(panel_rows)(p, n - m);
    row_tile t;
    for (int r = 0; r < n_rows; r++) {
      t.rows[r] = v->a + i * v->a_row + j * v->a_col;
      t.out[r] = v->y + i * v->y_row + j * v->y_col + p->first;
      if (++j == v->cols) j = 0, i++;
    }
    FAST(tile_rows)(s, p, v->segment, packed, &t, n_rows, e);
    m += n_rows;
  }
}

/* B was packed with n_segments pieces, of which the first `skip` and those behind s->n_segments more are left out. */
static void raster_some(const pack_shape *s, mynah__share panels, int64_t n_segments, int64_t skip, const float *packed, const raster *v,
                        const epilogue *e) {
  pack_shape whole = *s;
  whole.n_segments = n_segments;
  for (int64_t i = panels.first; i < panels.last; i++) {
    panel p = FAST(panel_at)(&whole, i);
    p.skip = skip * segment_floats(s, p.nv, p.nt);
    raster_panel(s, &p, packed, v, e);
  }
}

static void raster_all(const pack_shape *s, int64_t n_segments, int64_t skip, const float *packed, const raster *v,
                       const epilogue *e) {
  raster_some(s, (mynah__share){0, panel_count(s)}, n_segments, skip, packed, v, e);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static pack_shape forward_shape(const conv *v) { return (pack_shape){v->o, v->kh, v->kw * v->c}; }

/* A sample is worked on in strips of output lines, so that what a strip reads and writes, and the function applied to it,
 * stays in the second-level cache. Weights that do not fit there are read once a strip: then strips are larger. */
#define STRIP_FLOATS (24 * 1024)
#define STRIP_FLOATS_MOST (128 * 1024)
static int64_t strip_lines(const conv *v) {
  int64_t floats = v->kh * v->kw * v->c * v->o > STRIP_FLOATS_MOST ? STRIP_FLOATS_MOST : STRIP_FLOATS;
  int64_t line = v->sh * v->pw * v->c + v->out_w * v->o, n = floats / (line > 0 ? line : 1);
  return n < 1 ? 1 : n > v->out_h ? v->out_h : n;
}
static int64_t strip_height(const conv *v, int64_t lines) { return (lines - 1) * v->sh + v->kh; }

/* Strips of x are copied: into a frame, or to be rounded. */
static bool is_copied(const conv *v) { return ROUNDS || has_frame(v); }

/* w (o,c,kh,kw) -> (kh,kw,c,o), which packs by whole vectors; with frames, a strip's frame is scratch. */
void FAST(conv2d_plan)(const mynah__step *step, mynah__plan *plan) {
  conv v = forward_of(step);
  pack_shape s = forward_shape(&v);
  plan->packing_bytes = (size_t)(v.kh * v.kw * v.c * v.o) * sizeof(float);
  plan->packed_bytes = (size_t)FAST(packed_floats)(&s) * sizeof(float) + plan->packing_bytes;
  plan->scratch_bytes = is_copied(&v) ? (size_t)(strip_height(&v, strip_lines(&v)) * v.pw * v.c) * sizeof(operand) : 0;
}

/* The lines of the padded x (h,w,c) under output lines first … first+n-1; the frame's sides are zero already. */
static void frame_strip(const conv *v, const float *x, int64_t first, int64_t n, operand *frame) {
  int64_t row = v->w * v->c, line = first * v->sh - v->top;
  frame += v->left * v->c;
  for (int64_t i = 0; i < strip_height(v, n); i++, line++, frame += v->pw * v->c) {
    if (line >= 0 && line < v->h) FAST(to_operands)(x + line * row, row, frame);
    else zero(frame, row);
  }
}

void FAST(conv2d_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  conv v = forward_of(step);
  pack_shape s = forward_shape(&v);
  const float *w = in[1];
  float *turned = (float *)packed + FAST(packed_floats)(&s), *out = turned;
  for (int64_t i = 0; i < v.kh; i++)
    for (int64_t j = 0; j < v.kw; j++)
      for (int64_t c = 0; c < v.c; c++)
        for (int64_t o = 0; o < v.o; o++) *out++ = w[((o * v.c + c) * v.kh + i) * v.kw + j];
  FAST(pack_panels)(&s, turned, (int64_t[]){v.kw * v.c * v.o, v.o, 1}, in[2], packed);
}

/* Parts share out the lines; where a part would have too few pixels to be worth reading all weights, the panels. */
#define SHARED_PIXELS 256
static bool shares_panels(const conv *v, int64_t n_panels, int n_parts) {
  bool is_even = n_panels % n_parts == 0, is_small = v->batch * v->out_h * v->out_w < SHARED_PIXELS * n_parts;
  return n_parts > 1 && ((is_even && is_small) || v->batch * v->out_h < n_parts);
}

/* y = post(sum_{i,j,c} x[oh sh + i - top, ow sw + j - left, c] w[o,c,i,j] + b + residual) */
void FAST(conv2d)(const mynah__call *call) {
  const mynah__step *step = call->step;
  conv v = forward_of(step);
  pack_shape s = forward_shape(&v);
  const float *x = call->in[0]; /* (batch,h,w,c) */
  float *y = call->out[0];      /* (batch,out_h,out_w,o) */
  operand *frame = call->scratch; /* a strip of (ph,pw,c) */
  const mynah__fast_function *post = step->post ? LEVEL(find_unary)(step->post->name) : NULL;
  bool is_relu = post && !strcmp(post->name, "relu");
  epilogue e = {is_relu, step->residual >= 0 ? call->in[step->residual] : NULL, y, v.batch * v.out_h * v.out_w == 1};
  int64_t strip = strip_lines(&v), line = v.out_w * v.o, n;
  if (is_copied(&v)) zero(frame, strip_height(&v, strip) * v.pw * v.c);
  mynah__share lines = {0, v.batch * v.out_h}, panels = {0, panel_count(&s)};
  if (shares_panels(&v, panels.last, call->n_parts)) panels = mynah__share_of(panels.last, call);
  else lines = mynah__share_of(lines.last, call);
  for (int64_t at = lines.first; at < lines.last; at += n) {
    int64_t first = at % v.out_h, most = v.out_h - first < strip ? v.out_h - first : strip;
    n = lines.last - at < most ? lines.last - at : most;
    const float *sample = x + at / v.out_h * v.h * v.w * v.c, *lines_in = sample + first * v.sh * v.w * v.c;
    const operand *a = is_copied(&v) ? frame : (const operand *)(const void *)lines_in;
    float *out = y + at * line;
    if (is_copied(&v)) frame_strip(&v, sample, first, n, frame);
    raster r = {n, v.out_w, a, out, v.sh * v.pw * v.c, v.sw * v.c, line, v.o, v.pw * v.c};
    raster_some(&s, panels, s.n_segments, 0, call->packed, &r, &e);
    if (post && !is_relu)
      LEVEL(apply_columns)(post, (float)step->post_parameters[0], n * v.out_w, v.o, columns_of(&s, panels), out);
  }
}

/* ---- data gradient ----------------------------------------------------------------------------------------------- */

/* Input position p (in the padded frame) = stride q + residue; it was seen through kernel positions residue, residue +
 * stride, …: `taps` of them, by outputs q, q - 1, …  One axis of that: */
typedef struct taps {
  int64_t residue, n;
  int64_t first, count; /* the q of positions that lie in x */
} taps;

static taps taps_of(int64_t residue, int64_t kernel, int64_t stride, int64_t before, int64_t n) {
  taps t = {residue, residue < kernel ? (kernel - residue + stride - 1) / stride : 0, 0, 0};
  t.first = before > residue ? (before - residue + stride - 1) / stride : 0;
  int64_t last = before + n - 1 - residue;
  t.count = last < 0 ? 0 : last / stride + 1 - t.first;
  if (t.count < 0) t.count = 0;
  return t;
}

/* Of the taps in the order they are packed (last first): how many to skip, how many to use, and dy's line under the
 * first used, for the line q of dx. */
typedef struct tap_range {
  int64_t skip, n, line;
} tap_range;

static tap_range taps_inside(const taps *t, int64_t out_h, int64_t q) {
  int64_t first = q - (t->n - 1), last = q; /* lines of dy */
  int64_t from = first < 0 ? 0 : first, to = last >= out_h ? out_h - 1 : last;
  return (tap_range){from - first, to < from ? 0 : to - from + 1, from};
}

/* dy between columns of zeros, so that no tap leaves it sideways; upwards and downwards taps are left out instead. */
typedef struct gradient_frame {
  int64_t left, w;
} gradient_frame;

static gradient_frame gradient_frame_of(const conv *v) {
  int64_t tw = (v->kw + v->sw - 1) / v->sw, last = (v->pw - 1) / v->sw + 1;
  return (gradient_frame){tw - 1, tw - 1 + v->out_w + (last > v->out_w ? last - v->out_w : 0)};
}

static pack_shape grad_x_shape(const conv *v, const taps *rows, const taps *cols) {
  return (pack_shape){v->c, rows->n, cols->n * v->o};
}

static int64_t grad_x_packed_floats(const conv *v) {
  int64_t floats = 0;
  for (int64_t i = 0; i < v->sh; i++)
    for (int64_t j = 0; j < v->sw; j++) {
      taps rows = taps_of(i, v->kh, v->sh, v->top, v->h), cols = taps_of(j, v->kw, v->sw, v->left, v->w);
      pack_shape s = grad_x_shape(v, &rows, &cols);
      floats += FAST(packed_floats)(&s);
    }
  return floats;
}

void FAST(conv2d_grad_x_plan)(const mynah__step *step, mynah__plan *plan) {
  conv v = grad_x_of(step);
  gradient_frame f = gradient_frame_of(&v);
  plan->packing_bytes = (size_t)(v.kh * v.kw * v.c * v.o) * sizeof(float);
  plan->packed_bytes = (size_t)grad_x_packed_floats(&v) * sizeof(float) + plan->packing_bytes;
  plan->scratch_bytes = (size_t)(v.out_h * f.w * v.o) * sizeof(operand);
}

/* B of one residue: (rows.n, cols.n, o, c), taps from the last to the first, as dy's pixels stand in memory. */
static void pack_residue(const conv *v, const taps *rows, const taps *cols, const float *w, float *turned,
                         float *packed) {
  pack_shape s = grad_x_shape(v, rows, cols);
  float *out = turned;
  for (int64_t i = rows->n - 1; i >= 0; i--)
    for (int64_t j = cols->n - 1; j >= 0; j--)
      for (int64_t o = 0; o < v->o; o++)
        for (int64_t c = 0; c < v->c; c++)
          *out++ = w[((o * v->c + c) * v->kh + rows->residue + i * v->sh) * v->kw + cols->residue + j * v->sw];
  FAST(pack_panels)(&s, turned, (int64_t[]){cols->n * v->o * v->c, v->c, 1}, NULL, packed);
}

void FAST(conv2d_grad_x_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  conv v = grad_x_of(step);
  float *out = packed, *turned = out + grad_x_packed_floats(&v);
  for (int64_t i = 0; i < v.sh; i++)
    for (int64_t j = 0; j < v.sw; j++) {
      taps rows = taps_of(i, v.kh, v.sh, v.top, v.h), cols = taps_of(j, v.kw, v.sw, v.left, v.w);
      pack_shape s = grad_x_shape(&v, &rows, &cols);
      pack_residue(&v, &rows, &cols, in[1], turned, out);
      out += FAST(packed_floats)(&s);
    }
}

/* One residue of dx, lines q = rows.first …: those that see the same taps (all, away from the border) in one raster.
 * Taps whose line of dy lies outside are left out: B begins behind them. */
static void grad_x_residue(const conv *v, const gradient_frame *f, const taps *rows, const taps *cols,
                           const operand *frame, const float *packed, float *dx, const epilogue *e) {
  int64_t y0 = rows->residue - v->top, x0 = cols->first * v->sw + cols->residue - v->left;
  int64_t col = cols->n ? cols->first - (cols->n - 1) + f->left : 0, end = rows->first + rows->count, next;
  pack_shape s = grad_x_shape(v, rows, cols);
  for (int64_t q = rows->first; q < end; q = next) {
    tap_range t = taps_inside(rows, v->out_h, q);
    for (next = q + 1; next < end; next++) {
      tap_range u = taps_inside(rows, v->out_h, next);
      if (u.skip != t.skip || u.n != t.n) break;
    }
    s.n_segments = t.n;
    raster r = {next - q,
                cols->count,
                frame + ((t.n ? t.line : 0) * f->w + col) * v->o,
                dx + ((q * v->sh + y0) * v->w + x0) * v->c,
                f->w * v->o,
                v->o,
                v->sh * v->w * v->c,
                v->sw * v->c,
                f->w * v->o};
    raster_all(&s, rows->n, t.skip, packed, &r, e);
  }
}

/* dx of one sample; dy in its frame */
static void grad_x_sample(const conv *v, const gradient_frame *f, const operand *frame, const float *packed, float *dx,
                          const epilogue *e) {
  for (int64_t i = 0; i < v->sh; i++)
    for (int64_t j = 0; j < v->sw; j++) {
      taps rows = taps_of(i, v->kh, v->sh, v->top, v->h), cols = taps_of(j, v->kw, v->sw, v->left, v->w);
      pack_shape s = grad_x_shape(v, &rows, &cols);
      grad_x_residue(v, f, &rows, &cols, frame, packed, dx, e);
      packed += FAST(packed_floats)(&s);
    }
}

void FAST(conv2d_grad_x)(const mynah__call *call) {
  conv v = grad_x_of(call->step);
  gradient_frame f = gradient_frame_of(&v);
  const float *dy = call->in[0]; /* (batch,out_h,out_w,o) */
  float *dx = call->out[0];      /* (batch,h,w,c) */
  operand *frame = call->scratch; /* (out_h,f.w,o) */
  int residual = call->step->residual;
  epilogue e = {false, residual >= 0 ? call->in[residual] : NULL, dx, false};
  zero(frame, v.out_h * f.w * v.o);
  for (int64_t b = 0; b < v.batch; b++, dy += v.out_h * v.out_w * v.o, dx += v.h * v.w * v.c) {
    for (int64_t i = 0; i < v.out_h; i++)
      FAST(to_operands)(dy + i * v.out_w * v.o, v.out_w * v.o, frame + (i * f.w + f.left) * v.o);
    grad_x_sample(&v, &f, frame, call->packed, dx, &e);
  }
}

/* ---- weight gradient --------------------------------------------------------------------------------------------- */

/* The columns of dw are the floats under the kernel, (kh, kw*c), in vectors; the last vector of a kernel row begins
 * early enough to end with the row, so no load leaves x. A kernel row shorter than a vector does read beyond: samples
 * are then copied to where that is harmless. */
static int64_t row_vectors(const conv *v) { return (v->kw * v->c + VL - 1) / VL; }
static int64_t vector_start(const conv *v, int64_t j) {
  int64_t last = v->kw * v->c - VL;
  return j * VL > last && last > 0 ? last : j * VL;
}
static bool reads_beyond(const conv *v) { return v->kw * v->c < VL; }

/* Samples that are framed together: as many as fill a block of rows, within reason. */
#define FRAMED_FLOATS (256 * 1024)
static bool needs_frame(const conv *v) { return has_frame(v) || reads_beyond(v); }
static int64_t samples_at_once(const conv *v) {
  int64_t most = FRAMED_FLOATS / (v->ph * v->pw * v->c), wanted = FAST(outer_block)(v->o) / (v->out_h * v->out_w);
  if (!needs_frame(v)) return v->batch;
  int64_t n = most < wanted ? most : wanted;
  return n < 1 ? 1 : n > v->batch ? v->batch : n;
}

/* scratch: the product's room, row pointers and offsets, the sums, the frames. */
typedef struct grad_w_scratch {
  int64_t pointers, offsets, sums, frame, total; /* floats from the start */
} grad_w_scratch;

static grad_w_scratch grad_w_scratch_of(const conv *v) {
  int64_t vectors = v->kh * row_vectors(v);
  grad_w_scratch s = {.pointers = FAST(outer_room)(v->o)};
  s.offsets = s.pointers + 2 * FAST(outer_block)(v->o);
  s.sums = (s.offsets + 2 * vectors + VL - 1) / VL * VL;
  s.frame = s.sums + v->o * FAST(outer_columns)(vectors);
  s.total = s.frame + (needs_frame(v) ? samples_at_once(v) * v->ph * v->pw * v->c + VL : 0);
  return s;
}

void FAST(conv2d_grad_w_plan)(const mynah__step *step, mynah__plan *plan) {
  conv v = grad_w_of(step);
  plan->scratch_bytes = (size_t)grad_w_scratch_of(&v).total * sizeof(float);
}

/* What the block after this one reads of x that this one does not: behind the last pixel's window, so many output lines' worth. */
static void expect_next(const conv *v, const float *last_window, const float *end, int64_t n_next, outer_job *job) {
  int64_t floats = (n_next / v->out_w + 1) * v->sh * v->pw * v->c, window = (v->kh - 1) * v->pw * v->c;
  job->n_next_rows = n_next;
  job->n_next = end - last_window > window ? end - last_window - window : 0;
  if (job->n_next > floats) job->n_next = floats;
  job->next = last_window + (job->n_next > 0 ? window : 0);
}

/* c += dy^T x over n_samples. dy (n_samples,out_h,out_w,o), x (n_samples,ph,pw,c) */
static void grad_w_samples(const conv *v, const float *dy, const float *x, int64_t n_samples, outer_job *job, const float **pointers) {
  int64_t pixels = v->out_h * v->out_w, total = n_samples * pixels, block = FAST(outer_block)(v->o), oh = 0, ow = 0, sample = 0;
  for (int64_t m = 0; m < total; m += job->n) {
    job->n = total - m < block ? total - m : block;
    job->a = dy + m * v->o;
    for (int64_t i = 0; i < job->n; i++) {
      pointers[i] = x + ((sample * v->ph + oh * v->sh) * v->pw + ow * v->sw) * v->c;
      if (++ow == v->out_w) ow = 0, oh++;
      if (oh == v->out_h) oh = 0, sample++;
    }
    int64_t rest = total - m - job->n;
    expect_next(v, pointers[job->n - 1], x + n_samples * v->ph * v->pw * v->c, rest < block ? rest : block, job);
    FAST(outer_add)(job);
    job->is_first = false;
  }
}

/* sums (o, columns): of each, (kh, row_vectors, VL) -> dw (o,c,kh,kw) */
static void unpack_sums(const conv *v, const float *sums, float *dw) {
  int64_t n_row = row_vectors(v), columns = FAST(outer_columns)(v->kh * n_row);
  for (int64_t o = 0; o < v->o; o++, sums += columns)
    for (int64_t i = 0; i < v->kh; i++)
      for (int64_t j = 0; j < v->kw; j++)
        for (int64_t c = 0; c < v->c; c++) {
          int64_t f = j * v->c + c, vector = f / VL, at = vector * VL + (f - vector_start(v, vector));
          dw[((o * v->c + c) * v->kh + i) * v->kw + j] = sums[i * n_row * VL + at];
        }
}

/* dw[o,c,i,j] = sum over batch and pixels of dy[oh,ow,o] x[oh sh + i - top, ow sw + j - left, c] ; db = sum of dy */
void FAST(conv2d_grad_w)(const mynah__call *call) {
  conv v = grad_w_of(call->step);
  grad_w_scratch s = grad_w_scratch_of(&v);
  const float *x = call->in[0];  /* (batch,h,w,c) */
  const float *dy = call->in[1]; /* (batch,out_h,out_w,o) */
  float *scratch = call->scratch, *frame = scratch + s.frame;
  const float **pointers = (const float **)(void *)(scratch + s.pointers);
  int64_t *offsets = (int64_t *)(void *)(scratch + s.offsets), n_row = row_vectors(&v), vectors = v.kh * n_row;
  int64_t at_once = samples_at_once(&v), framed = v.ph * v.pw * v.c, n;
  for (int64_t i = 0; i < vectors; i++) offsets[i] = i / n_row * v.pw * v.c + vector_start(&v, i % n_row);
  if (needs_frame(&v)) memset(frame, 0, (size_t)(at_once * framed + VL) * sizeof *frame);
  outer_job job = {.o = v.o, .rows = pointers, .offsets = offsets, .vectors = vectors, .room = scratch, .c = scratch + s.sums, .is_first = true};
  for (int64_t b = 0; b < v.batch; b += n) {
    const float *samples = x + b * v.h * v.w * v.c;
    n = v.batch - b < at_once ? v.batch - b : at_once;
    for (int64_t i = 0; needs_frame(&v) && i < n; i++)
      copy_framed(samples + i * v.h * v.w * v.c, v.h, v.w, v.c, v.top, v.left, v.pw, frame + i * framed);
    grad_w_samples(&v, dy + b * v.out_h * v.out_w * v.o, needs_frame(&v) ? frame : samples, n, &job, pointers);
  }
  unpack_sums(&v, scratch + s.sums, call->out[0]);
  if (call->step->n_out > 1) LEVEL(column_sums)(dy, v.batch * v.out_h * v.out_w, v.o, call->out[1]);
}
