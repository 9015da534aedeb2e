/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolutions with a 3x3 kernel, and their gradients, by Winograd's minimal filtering. Stride 1: F(2x2,3x3) and F(4x4,3x3) of Lavin and Gray
 * 2015, "Fast Algorithms for Convolutional Neural Networks": 2.25 and 4 times fewer multiplications.
 *
 * Y = A^T [ (G g G^T) * (B^T d B) ] A for each tile of m x m outputs, d its (m+2) x (m+2) inputs; summed over channels,
 * the products are (m+2)^2 matrix products (tiles,c) x (c,o), which run on the tiles of tile.h. The matrices come of
 * Toom and Cook's interpolation at 0, 1, -1 and infinity for m = 2; for m = 4 at 0, +-a, +-b and infinity with a =
 * sqrt(1/2), b = sqrt(2): the error is a quarter of that with Lavin's +-1 and +-2, twice that of the direct sum
 * (tests/graph/test_winograd.c).
 *
 * Stride 2: along each axis the outer taps meet only every other input, so they are F(m,2), interpolated at 0, 1 and
 * infinity or at +-a, +-b and infinity, over the even inputs of a tile of 2m+1; the middle tap multiplies the m odd inputs as
 * they are, all by the same matrix. 1.44 and 1.78 times fewer multiplications, again (m+2)^2 matrices.
 *
 * Sequences, kernel 1x5: F(2,5) along the line, with the six points of F(4,3) and so its B; 1.67 times fewer multiplications. */
#include "winograd.h"

#include "tile.h"
#include "winograd_lines.h"

#define SIDE_MAX 9
#define SIDE(m, stride) ((stride) == 1 ? (m) + 2 : 2 * (m) + 1) /* inputs of a tile along an axis */
/* What the tiles of a block take, transformed, of the second-level cache; and fewest tiles, so that weights are not
 * read too often. */
#define BLOCK_FLOATS (128 * 1024)
#define BLOCK_LEAST 64
#define SHARED_LEAST 8 /* tiles of a part: with fewer, parts share out channels, and each transforms all tiles */
#define GAP 16 /* floats between slabs, which would otherwise share cache sets */

typedef struct winograd {
  int64_t batch, h, w, c, out_h, out_w, o, top, left;
  int m, stride, side;       /* outputs of a tile along a row, its inputs; LINE */
  int m_rows, side_rows;     /* the same along a column */
  int taps;
  bool is_turned;            /* the gradient of x: filters are turned around, and what comes out went in */
  int64_t rows, cols;        /* of tiles in a picture */
  int64_t n_tiles;           /* in all pictures */
  int64_t block;             /* tiles worked on at once */
  int64_t in_row, out_row;   /* floats of a tile in a slab: c and o, rounded up to vectors */
  int64_t in_slab, out_slab; /* floats from one of the places to the next */
} winograd;

static int64_t whole_vectors(int64_t n) { return (n + VL - 1) / VL * VL; }

/* x (batch,h,w,c), y (batch,out_h,out_w,o): of a convolution, or of one whose gradient of w is wanted. */
static winograd winograd_between(const mynah__step *step, const int64_t *x, const int64_t *y) {
  winograd v = {.batch = x[0], .h = x[1], .w = x[2], .c = x[3], .out_h = y[1], .out_w = y[2], .o = y[3]};
  v.top = step->a.i[4], v.left = step->a.i[5];
  v.m = mynah__winograd_tile(step);
  if (mynah__winograd_is_line(step)) v.stride = LINE, v.side = LINE_SIDE, v.taps = 5, v.m_rows = v.side_rows = 1;
  else v.stride = (int)step->a.i[0], v.side = v.side_rows = SIDE(v.m, v.stride), v.taps = 9, v.m_rows = v.m;
  v.rows = (v.out_h + v.m_rows - 1) / v.m_rows, v.cols = (v.out_w + v.m - 1) / v.m;
  v.n_tiles = v.batch * v.rows * v.cols;
  v.in_row = whole_vectors(v.c), v.out_row = whole_vectors(v.o);
  return v;
}

/* Blocks of about as many tiles each, at most so many. */
static void divide(winograd *v, int64_t most) {
  int64_t n_blocks = (v->n_tiles + most - 1) / most;
  v->block = (v->n_tiles + n_blocks - 1) / n_blocks;
  v->in_slab = v->block * v->in_row + GAP, v->out_slab = v->block * v->out_row + GAP;
}

static int64_t places(const winograd *v) { return v->side_rows * v->side; }

static winograd winograd_of(const mynah__step *step) {
  winograd v = winograd_between(step, step->in[0].shape.dims, step->out[0].shape.dims);
  v.is_turned = step->a.i[9] > 0; /* conv2d_grad_x */
  if (v.is_turned) v.top = step->in[1].shape.dims[2] - 1 - v.top, v.left = step->in[1].shape.dims[3] - 1 - v.left;
  int64_t most = BLOCK_FLOATS / (places(&v) * (v.in_row + v.out_row));
  divide(&v, most > BLOCK_LEAST ? most : BLOCK_LEAST);
  return v;
}

static pack_shape shape_of(const winograd *v) { return (pack_shape){v->o, 1, v->c}; }
static int64_t matrices(const winograd *v) { return v->stride == LINE ? LINE_SIDE : (v->m + 2) * (v->m + 2); }
/* That of place (i,j): the odd inputs of stride 2 share the last of a line. */
static int64_t matrix_of(const winograd *v, int64_t i, int64_t j) {
  int64_t last = v->m + 1;
  if (v->stride == LINE) return j;
  return (i < last ? i : last) * (v->m + 2) + (j < last ? j : last);
}

/* CALL(m, stride, ...) with constants, for the loops to unroll. */
#define WITH_FORM(v, CALL, ...)                                                    \
  ((v)->stride == LINE ? CALL(2, LINE, __VA_ARGS__)                                 \
   : (v)->stride == 1  ? ((v)->m == 4 ? CALL(4, 1, __VA_ARGS__) : CALL(2, 1, __VA_ARGS__)) \
                       : ((v)->m == 4 ? CALL(4, 2, __VA_ARGS__) : CALL(2, 2, __VA_ARGS__)))

static const char *name_of(const winograd *v) {
  if (v->stride == LINE) return "F(2,5)";
  if (v->stride == 2) return v->m == 4 ? "F(4x4,3x3/2)" : "F(2x2,3x3/2)";
  return v->m == 4 ? "F(4x4,3x3)" : "F(2x2,3x3)";
}

/* packed: the matrices, the bias, room for packing a panel. scratch: tiles going in, coming out, one tile of the
 * border. */
static int64_t turned_floats(const winograd *v) { return matrices(v) * PANEL_COLUMNS_MOST * v->in_row; }
void FAST(winograd_plan)(const mynah__step *step, mynah__plan *plan) {
  winograd v = winograd_of(step);
  pack_shape s = shape_of(&v);
  plan->packing_bytes = (size_t)turned_floats(&v) * sizeof(float);
  plan->packed_bytes = (size_t)(matrices(&v) * FAST(packed_floats)(&s) + v.out_row) * sizeof(float) + plan->packing_bytes;
  plan->scratch_bytes = (size_t)(places(&v) * (v.in_slab + v.out_slab + v.in_row)) * sizeof(float);
  plan->detail = name_of(&v);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* The columns `first` … of filters w (o,c,3,3), transformed: turned ((m+2)^2, width, in_row). */
INLINE void transform_filters(const int m, const int stride, const winograd *v, const float *w, int64_t first,
                              int64_t width, float *turned) {
  const int side = m + 2;
  const int n_taps = stride == LINE ? 5 : 9;
  int64_t slab = width * v->in_row, from_in = v->is_turned ? n_taps * v->o : n_taps, from_out = v->is_turned ? n_taps : n_taps * v->c;
  for (int64_t o = 0; o < width; o++, turned += v->in_row)
    for (int64_t c = 0; c < v->c; c += VL) {
      const float *filters = w + (first + o) * from_out + c * from_in;
      int64_t n = v->c - c < VL ? v->c - c : VL;
      vec taps[9], g[3][3], t[SIDE_MAX][3];
      for (int k = 0; k < n_taps; k++) {
        float lanes[VL] = {0};
        for (int64_t l = 0; l < n; l++) lanes[l] = filters[l * from_in + (v->is_turned ? n_taps - 1 - k : k)];
        taps[k] = load(lanes);
      }
      if (stride == LINE) {
        vec line[LINE_SIDE];
        filter_five(taps, line);
        UNROLLED for (int j = 0; j < LINE_SIDE; j++) store(turned + j * slab + c, line[j]);
        continue;
      }
      UNROLL for (int k = 0; k < 9; k++) g[k % 3][k / 3] = taps[k];
      UNROLLED for (int j = 0; j < 3; j++) {
        vec line[SIDE_MAX];
        filter_line(m, stride, g[j], line);
        UNROLLED for (int i = 0; i < side; i++) t[i][j] = line[i];
      }
      UNROLLED for (int i = 0; i < side; i++) {
        vec line[SIDE_MAX];
        filter_line(m, stride, t[i], line);
        UNROLLED for (int j = 0; j < side; j++) store(turned + (i * side + j) * slab + c, line[j]);
      }
    }
}

void FAST(winograd_pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  winograd v = winograd_of(step);
  pack_shape s = shape_of(&v);
  const float *w = in[1], *b = v.is_turned ? NULL : in[2]; /* (o,c,taps), of the gradient (c,o,taps); (o) */
  int64_t matrix = FAST(packed_floats)(&s);
  float *bias = (float *)packed + matrices(&v) * matrix, *turned = bias + v.out_row;
  for (int64_t o = 0; o < v.o; o++) bias[o] = b ? b[o] : 0;
  for (int64_t i = 0; i < panel_count(&s); i++) {
    panel p = FAST(panel_at)(&s, i);
    pack_shape one = {p.width, 1, v.c};
    WITH_FORM(&v, transform_filters, &v, w, p.first, p.width, turned);
    for (int64_t k = 0; k < matrices(&v); k++) FAST(pack_panels)
    (&one, turned + k * p.width * v.in_row, (int64_t[]){0, 1, v.in_row}, NULL, (float *)packed + k * matrix + p.offset);
  }
}

/* ---- a block of tiles -------------------------------------------------------------------------------------------- */

typedef struct place {
  int64_t sample, row, col; /* of the tile's first output */
} place;

static place place_of(const winograd *v, int64_t tile) {
  int64_t in_sample = tile % (v->rows * v->cols);
  return (place){tile / (v->rows * v->cols), in_sample / v->cols * v->m_rows, in_sample % v->cols * v->m};
}

/* B^T d B for channels c …: pixels of d are v->c apart, its lines `line`. */
INLINE void transform_input(const int m, const int stride, const float *d, int64_t pixel, int64_t line, int64_t part,
                            int64_t slab, float *out) {
  const int side = SIDE(m, stride);
  vec t[SIDE_MAX][SIDE_MAX];
  if (stride == LINE) {
    vec in[LINE_SIDE], turned[LINE_SIDE];
    UNROLLED for (int j = 0; j < LINE_SIDE; j++) in[j] = load_at(d + j * pixel, 0, part);
    input_line(4, 1, in, turned);
    UNROLLED for (int j = 0; j < LINE_SIDE; j++) store(out + j * slab, turned[j]);
    return;
  }
  UNROLLED for (int j = 0; j < side; j++) {
    vec in[SIDE_MAX], turned[SIDE_MAX];
    UNROLLED for (int i = 0; i < side; i++) in[i] = load_at(d + i * line + j * pixel, 0, part);
    input_line(m, stride, in, turned);
    UNROLLED for (int i = 0; i < side; i++) t[i][j] = turned[i];
  }
  UNROLLED for (int i = 0; i < side; i++) {
    vec turned[SIDE_MAX];
    input_line(m, stride, t[i], turned);
    UNROLLED for (int j = 0; j < side; j++) store(out + (i * side + j) * slab, turned[j]);
  }
}

typedef struct picture {
  const float *pixels; /* (h,w,c) */
  int64_t h, w, c;
} picture;

/* The rows x cols pixels from (row,col) on: where it lies, or, when it hangs over the border, in a frame with zeros there. */
typedef struct square {
  const float *pixels;
  int64_t line; /* floats */
} square;

static square square_at(const picture *x, place p, int64_t rows, int64_t cols, float *frame) {
  if (p.row >= 0 && p.col >= 0 && p.row + rows <= x->h && p.col + cols <= x->w)
    return (square){x->pixels + (p.row * x->w + p.col) * x->c, x->w * x->c};
  int64_t from = p.col < 0 ? -p.col : 0, to = x->w - p.col < cols ? x->w - p.col : cols;
  memset(frame, 0, (size_t)(rows * cols * x->c) * sizeof *frame);
  for (int64_t i = 0; i < rows; i++)
    if (p.row + i >= 0 && p.row + i < x->h && to > from)
      memcpy(frame + (i * cols + from) * x->c, x->pixels + ((p.row + i) * x->w + p.col + from) * x->c, (size_t)((to - from) * x->c) * sizeof *frame);
  return (square){frame, cols * x->c};
}

/* Tiles first … first + n - 1 of x (batch,h,w,c) -> slabs (places, n, in_row) */
static void transform_inputs(const winograd *v, const float *x, int64_t first, int64_t n, float *frame, float *slabs) {
  for (int64_t i = 0; i < n; i++, slabs += v->in_row) {
    place p = place_of(v, first + i);
    picture sample = {x + p.sample * v->h * v->w * v->c, v->h, v->w, v->c};
    int64_t step = v->stride == LINE ? 1 : v->stride;
    place from = {p.sample, p.row * step - v->top, p.col * step - v->left};
    square d = square_at(&sample, from, v->side_rows, v->side, frame);
    int64_t c = 0;
    for (; c + VL <= v->c; c += VL)
      WITH_FORM(v, transform_input, d.pixels + c, v->c, d.line, 0, v->in_slab, slabs + c);
    if (c < v->c) WITH_FORM(v, transform_input, d.pixels + c, v->c, d.line, v->c - c, v->in_slab, slabs + c);
  }
}

/* Of all products these panels: in (places, n, in_row) B -> out (places, n, out_row) */
static void multiply_slabs(const winograd *v, const float *packed, int64_t n, mynah__share panels, const float *in,
                           float *out) {
  pack_shape s = shape_of(v);
  int64_t matrix = FAST(packed_floats)(&s);
  for (int64_t k = 0; k < places(v); k++, in += v->in_slab, out += v->out_slab)
    for (int64_t i = panels.first; i < panels.last; i++) {
      panel p = FAST(panel_at)(&s, i);
      for (int64_t t = 0, n_rows; t < n; t += n_rows) {
        row_tile rows;
        n_rows = FAST(panel_rows)(&p, n - t);
        for (int r = 0; r < n_rows; r++) {
          rows.rows[r] = in + (t + r) * v->in_row;
          rows.out[r] = out + (t + r) * v->out_row + p.first;
        }
        FAST(tile_rows)(&s, &p, 0, packed + matrix_of(v, k / v->side, k % v->side) * matrix, &rows, (int)n_rows, &(epilogue){0});
      }
    }
}

/* y = post(sum + residual) of the output at `out`. */
INLINE void finish_output(const epilogue *e, vec sum, float *out, int64_t part) {
  if (e->residual) sum += load_at(e->residual + (out - e->out), 0, part);
  if (e->is_relu) sum = choose(sum < (vec){0}, (vec){0}, sum);
  store_at(out, 0, part, sum);
}

/* A^T s A for one vector of channels, and what follows. y: the tile's first output, of n_rows x n_cols that exist. */
INLINE void transform_output(const int m, const int stride, const winograd *v, const float *slabs, vec bias,
                             const int64_t n[2], int64_t part, const epilogue *e, float *y) {
  const int side = SIDE(m, stride);
  vec t[SIDE_MAX][SIDE_MAX];
  if (stride == LINE) {
    vec in[LINE_SIDE], turned[2];
    UNROLLED for (int j = 0; j < LINE_SIDE; j++) in[j] = load(slabs + j * v->out_slab);
    output_five(in, turned);
    UNROLLED for (int j = 0; j < 2; j++) if (j < n[1]) finish_output(e, turned[j] + bias, y + j * v->o, part);
    return;
  }
  UNROLLED for (int j = 0; j < side; j++) {
    vec in[SIDE_MAX], turned[SIDE_MAX];
    UNROLLED for (int i = 0; i < side; i++) in[i] = load(slabs + (i * side + j) * v->out_slab);
    output_line(m, stride, in, turned);
    UNROLLED for (int i = 0; i < m; i++) t[i][j] = turned[i];
  }
  UNROLLED for (int i = 0; i < m; i++) {
    vec turned[SIDE_MAX];
    output_line(m, stride, t[i], turned);
    UNROLLED for (int j = 0; j < m; j++) {
      if (i < n[0] && j < n[1]) finish_output(e, turned[j] + bias, y + (i * v->out_w + j) * v->o, part);
    }
  }
}

/* Slabs (places, n, out_row) -> these channels of tiles first … of y (batch,out_h,out_w,o) */
static void transform_outputs(const winograd *v, const float *slabs, const float *bias, int64_t first, int64_t n,
                              mynah__share columns, const epilogue *e, float *y) {
  for (int64_t i = 0; i < n; i++, slabs += v->out_row) {
    place p = place_of(v, first + i);
    float *out = y + ((p.sample * v->out_h + p.row) * v->out_w + p.col) * v->o;
    int64_t size[2] = {v->out_h - p.row, v->out_w - p.col};
    for (int64_t c = columns.first; c < columns.last; c += VL) {
      int64_t part = v->o - c < VL ? v->o - c : 0;
      WITH_FORM(v, transform_output, v, slabs + c, load(bias + c), size, part, e, out + c);
    }
  }
}

/* Another function than relu, over the outputs that transform_outputs has just written. */
static void apply_post(const winograd *v, const mynah__fast_function *post, float parameter, int64_t first, int64_t n,
                       mynah__share columns, float *y) {
  for (int64_t i = 0; i < n; i++) {
    place p = place_of(v, first + i);
    for (int64_t r = p.row; r < p.row + v->m_rows && r < v->out_h; r++) {
      int64_t cols = v->out_w - p.col < v->m ? v->out_w - p.col : v->m;
      LEVEL(apply_columns)
      (post, parameter, cols, v->o, columns, y + ((p.sample * v->out_h + r) * v->out_w + p.col) * v->o);
    }
  }
}

/* Parts share out the tiles, in blocks of about as many; where there are too few, the panels. A tile's numbers are the same in any block. */
static bool shares_tiles(winograd *v, int n_parts) {
  int64_t each = (v->n_tiles + n_parts - 1) / n_parts;
  if (n_parts > 1 && each < SHARED_LEAST) return false;
  int64_t n_blocks = (each + v->block - 1) / v->block;
  divide(v, (each + n_blocks - 1) / n_blocks);
  return true;
}

/* y = post(x * w + b + residual) */
void FAST(winograd)(const mynah__call *call) {
  const mynah__step *step = call->step;
  winograd v = winograd_of(step);
  bool has_blocks = shares_tiles(&v, call->n_parts);
  pack_shape s = shape_of(&v);
  float *in = call->scratch, *out = in + places(&v) * v.in_slab, *frame = out + places(&v) * v.out_slab;
  float *y = call->out[0];
  const float *bias = (const float *)call->packed + matrices(&v) * FAST(packed_floats)(&s);
  const mynah__fast_function *post = step->post ? FAST(find_unary)(step->post->name) : NULL;
  bool is_relu = post && !strcmp(post->name, "relu");
  epilogue e = {is_relu, step->residual >= 0 ? call->in[step->residual] : NULL, y, false};
  int64_t n_blocks = (v.n_tiles + v.block - 1) / v.block;
  mynah__share blocks = {0, n_blocks}, panels = {0, panel_count(&s)};
  if (has_blocks) blocks = mynah__share_of(n_blocks, call);
  else panels = mynah__share_of(panel_count(&s), call);
  if (panels.first == panels.last) return;
  for (int64_t b = blocks.first; b < blocks.last; b++) {
    int64_t first = b * v.block, n = v.n_tiles - first < v.block ? v.n_tiles - first : v.block;
    transform_inputs(&v, call->in[0], first, n, frame, in);
    multiply_slabs(&v, call->packed, n, panels, in, out);
    transform_outputs(&v, out, bias, first, n, columns_of(&s, panels), &e, y);
    if (post && !is_relu) apply_post(&v, post, (float)step->post_parameters[0], first, n, columns_of(&s, panels), y);
  }
}

/* ---- the gradient of the filters --------------------------------------------------------------------------------- */

/* All that is linear, turned around: dg = G^T [ sum over tiles of (B^T d B) * (A dy A^T) ] G. The sums are (m+2)^2 products
 * (o,tiles) x (tiles,c), which run on the tiles of outer.c. Of more tiles at once than forwards: the sums are read and
 * written once a block. */
#define BLOCK_W_FLOATS (1024 * 1024)

static winograd winograd_w_of(const mynah__step *step) {
  winograd v = winograd_between(step, step->in[0].shape.dims, step->in[1].shape.dims);
  int64_t least = 2 * BLOCK_LEAST, limit = FAST(outer_block)(v.out_row), most = BLOCK_W_FLOATS / (places(&v) * (v.in_row + v.out_row));
  most = most > least ? most : least;
  divide(&v, most < limit ? most : limit);
  return v;
}

/* A dy A^T for one vector of channels. */
INLINE void spread_output(const int m, const int stride, const square *d, int64_t pixel, int64_t c, int64_t part, int64_t slab, float *out) {
  const int side = m + 2;
  vec t[SIDE_MAX][SIDE_MAX];
  if (stride == LINE) {
    vec in[2], turned[LINE_SIDE];
    UNROLLED for (int j = 0; j < 2; j++) in[j] = load_at(d->pixels + j * pixel + c, 0, part);
    spread_line(2, LINE, in, turned);
    UNROLLED for (int j = 0; j < LINE_SIDE; j++) store(out + j * slab + c, turned[j]);
    return;
  }
  UNROLLED for (int j = 0; j < m; j++) {
    vec in[SIDE_MAX], turned[SIDE_MAX];
    UNROLLED for (int i = 0; i < m; i++) in[i] = load_at(d->pixels + i * d->line + j * pixel + c, 0, part);
    spread_line(m, stride, in, turned);
    UNROLLED for (int i = 0; i < side; i++) t[i][j] = turned[i];
  }
  UNROLLED for (int i = 0; i < side; i++) {
    vec turned[SIDE_MAX];
    spread_line(m, stride, t[i], turned);
    UNROLLED for (int j = 0; j < side; j++) store(out + (i * side + j) * slab + c, turned[j]);
  }
}

/* Tiles first … first + n - 1 of dy (batch,out_h,out_w,o) -> slabs (places, n, out_row) */
static void spread_outputs(const winograd *v, const float *dy, int64_t first, int64_t n, float *frame, float *slabs) {
  for (int64_t i = 0; i < n; i++, slabs += v->out_row) {
    place p = place_of(v, first + i);
    picture sample = {dy + p.sample * v->out_h * v->out_w * v->o, v->out_h, v->out_w, v->o};
    square d = square_at(&sample, p, v->m_rows, v->m, frame);
    for (int64_t c = 0; c < v->o; c += VL) {
      int64_t part = v->o - c < VL ? v->o - c : 0;
      if (v->stride == LINE) spread_output(2, LINE, &d, v->o, c, part, v->out_slab, slabs);
      else if (v->m == 4) spread_output(4, 1, &d, v->o, c, part, v->out_slab, slabs);
      else spread_output(2, 1, &d, v->o, c, part, v->out_slab, slabs);
    }
  }
}

/* G^T s G for n channels of one output. sums: slab floats from one place to the next; dw (n,taps) */
INLINE void gather_filters(const int m, const int stride, const float *sums, int64_t slab, int64_t n, float *dw) {
  const int side = m + 2;
  vec t[SIDE_MAX][3];
  if (stride == LINE) {
    vec line[LINE_SIDE], g[5];
    UNROLLED for (int j = 0; j < LINE_SIDE; j++) line[j] = load(sums + j * slab);
    gather_five(line, g);
    for (int j = 0; j < 5; j++)
      for (int64_t l = 0; l < n; l++) dw[l * 5 + j] = g[j][l];
    return;
  }
  UNROLLED for (int i = 0; i < side; i++) {
    vec line[SIDE_MAX];
    UNROLLED for (int j = 0; j < side; j++) line[j] = load(sums + (i * side + j) * slab);
    gather_line(m, line, t[i]);
  }
  for (int j = 0; j < 3; j++) {
    vec line[SIDE_MAX], g[3];
    UNROLLED for (int i = 0; i < side; i++) line[i] = t[i][j];
    gather_line(m, line, g);
    for (int i = 0; i < 3; i++)
      for (int64_t l = 0; l < n; l++) dw[l * 9 + i * 3 + j] = g[i][l];
  }
}

/* scratch: the product's room, row pointers and offsets, the sums, tiles of x and of dy, one tile of the border. */
typedef struct grad_w_scratch {
  int64_t columns, sum; /* floats of a row of sums, and from one place to the next */
  int64_t pointers, offsets, sums, in, out, frame, total;
} grad_w_scratch;

static grad_w_scratch grad_w_scratch_of(const winograd *v) {
  int64_t vectors = v->in_row / VL;
  grad_w_scratch s = {.columns = FAST(outer_columns)(vectors), .pointers = FAST(outer_room)(v->out_row)};
  s.sum = v->out_row * s.columns;
  s.offsets = s.pointers + 2 * v->block;
  s.sums = whole_vectors(s.offsets + 2 * vectors);
  s.in = s.sums + places(v) * s.sum;
  s.out = s.in + places(v) * v->in_slab;
  s.frame = s.out + places(v) * v->out_slab;
  s.total = s.frame + places(v) * (v->in_row > v->out_row ? v->in_row : v->out_row);
  return s;
}

void FAST(winograd_grad_w_plan)(const mynah__step *step, mynah__plan *plan) {
  winograd v = winograd_w_of(step);
  plan->scratch_bytes = (size_t)grad_w_scratch_of(&v).total * sizeof(float);
  plan->detail = name_of(&v);
}

void FAST(winograd_grad_w)(const mynah__call *call) {
  winograd v = winograd_w_of(call->step);
  grad_w_scratch s = grad_w_scratch_of(&v);
  const float *x = call->in[0], *dy = call->in[1];
  float *scratch = call->scratch, *in = scratch + s.in, *out = scratch + s.out, *frame = scratch + s.frame, *dw = call->out[0];
  const float **pointers = (const float **)(void *)(scratch + s.pointers);
  int64_t *offsets = (int64_t *)(void *)(scratch + s.offsets), n;
  outer_job job = {.o = v.out_row, .rows = pointers, .offsets = offsets, .vectors = v.in_row / VL, .room = scratch};
  for (int64_t j = 0; j < job.vectors; j++) offsets[j] = j * VL;
  for (int64_t first = 0; first < v.n_tiles; first += n) {
    n = v.n_tiles - first < v.block ? v.n_tiles - first : v.block;
    transform_inputs(&v, x, first, n, frame, in);
    spread_outputs(&v, dy, first, n, frame, out);
    job.n = n;
    job.is_first = first == 0;
    for (int64_t k = 0; k < places(&v); k++) {
      for (int64_t i = 0; i < n; i++) pointers[i] = in + k * v.in_slab + i * v.in_row;
      job.a = out + k * v.out_slab;
      job.c = scratch + s.sums + k * s.sum;
      FAST(outer_add)(&job);
    }
  }
  for (int64_t o = 0; o < v.o; o++)
    for (int64_t c = 0; c < v.c; c += VL) {
      const float *sums = scratch + s.sums + o * s.columns + c;
      int64_t width = v.c - c < VL ? v.c - c : VL;
      float *filters = dw + (o * v.c + c) * v.taps;
      if (v.stride == LINE) gather_filters(2, LINE, sums, s.sum, width, filters);
      else if (v.m == 4) gather_filters(4, 1, sums, s.sum, width, filters);
      else gather_filters(2, 1, sums, s.sum, width, filters);
    }
  if (call->step->n_out > 1) LEVEL(column_sums)(dy, v.batch * v.out_h * v.out_w, v.o, call->out[1]);
}
