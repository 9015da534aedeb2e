/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The kernels of this folder as the compiler sees them: what each takes, and the way to its vectorised function. */
#include "../kernels.h"
#include "fast.h"
#include "winograd.h"

static bool is_f32(const mynah__step *step) { return step->precision == MYNAH_F32; }

/* Products take both precisions. */
static bool is_f32_or_bf16(const mynah__step *step) { return is_f32(step) || step->precision == MYNAH_BF16; }
static const mynah__fast_products *products(const mynah__step *step) {
  return is_f32(step) ? &mynah__fast_get()->f32 : &mynah__fast_get()->bf16;
}

/* The post function is one that the vector code knows; a residual is always possible. */
static bool knows_post(const mynah__step *step) {
  return !step->post || mynah__fast_get()->find_unary(step->post->name) != NULL;
}

#define RUN(op) \
  static void run_##op(const mynah__call *call) { mynah__fast_get()->op(call); }
#define PRODUCT(op)                                                              \
  static mynah_status prepare_##op(const mynah__step *step, mynah__plan *plan) { \
    products(step)->op##_plan(step, plan);                                       \
    plan->detail = is_f32(step) ? NULL : "bf16";                                 \
    return MYNAH_OK;                                                             \
  }                                                                              \
  static void run_##op(const mynah__call *call) { products(call->step)->op(call); }
#define PACK(op)                                                                                          \
  static void pack_##op(const mynah__step *step, const void *plan, const void *const *in, void *packed) { \
    products(step)->op##_pack(step, plan, in, packed);                                                    \
  }
MYNAH__FAST_RUNS(RUN)
MYNAH__FAST_PRODUCTS(PRODUCT)
MYNAH__FAST_PACKS(PACK)

/* ---- linear, matmul ---------------------------------------------------------------------------------------------- */

/* Weights are packed between runs, so they must be weights; so must a bias, which is packed with them. */
static bool accepts_linear(const mynah__step *step) {
  bool has_bias = step->n_in > 2 && step->in[2].shape.n_dims > 0 && step->residual != 2;
  return is_f32_or_bf16(step) && step->is_weight[1] && (!has_bias || step->is_weight[2]) && knows_post(step);
}
static bool accepts_grad_x(const mynah__step *step) {
  return is_f32_or_bf16(step) && step->is_weight[1] && !step->post;
}

const mynah__kernel mynah__fast_linear = {.name = "fast:linear",
                                          .is_shared_out = true,
                                          .is_rt = true,
                                          .takes_post = true,
                                          .accepts = accepts_linear,
                                          .prepare = prepare_linear,
                                          .pack = pack_linear,
                                          .packs = 1u << 1 | 1u << 2,
                                          .run = run_linear};
const mynah__kernel mynah__fast_linear_grad_x = {.name = "fast:linear_grad_x",
                                                 .is_rt = true,
                                                 .takes_post = true,
                                                 .accepts = accepts_grad_x,
                                                 .prepare = prepare_linear_grad_x,
                                                 .pack = pack_linear_grad_x,
                                                 .packs = 1u << 1,
                                                 .run = run_linear_grad_x};
const mynah__kernel mynah__fast_linear_grad_w = {.name = "fast:linear_grad_w",
                                                 .is_rt = true,
                                                 .accepts = is_f32_or_bf16,
                                                 .prepare = prepare_linear_grad_w,
                                                 .run = run_linear_grad_w};
const mynah__kernel mynah__fast_matmul = {.name = "fast:matmul",
                                          .is_rt = true,
                                          .is_shared_out = true,
                                          .accepts = is_f32_or_bf16,
                                          .prepare = prepare_matmul,
                                          .run = run_matmul};

/* ---- convolution ------------------------------------------------------------------------------------------------- */

static bool is_plain_conv(const mynah__step *step) {
  return is_f32_or_bf16(step) && step->a.i[2] == 1 && step->a.i[3] == 1 && step->a.i[8] == 1;
}
static bool accepts_conv2d(const mynah__step *step) { return is_plain_conv(step) && accepts_linear(step); }
static bool accepts_conv2d_grad_x(const mynah__step *step) { return is_plain_conv(step) && accepts_grad_x(step); }

const mynah__kernel mynah__fast_conv2d = {.name = "fast:conv2d",
                                          .is_shared_out = true,
                                          .is_rt = true,
                                          .takes_post = true,
                                          .accepts = accepts_conv2d,
                                          .prepare = prepare_conv2d,
                                          .pack = pack_conv2d,
                                          .packs = 1u << 1 | 1u << 2,
                                          .run = run_conv2d};
const mynah__kernel mynah__fast_conv2d_grad_x = {.name = "fast:conv2d_grad_x",
                                                 .is_rt = true,
                                                 .takes_post = true,
                                                 .accepts = accepts_conv2d_grad_x,
                                                 .prepare = prepare_conv2d_grad_x,
                                                 .pack = pack_conv2d_grad_x,
                                                 .packs = 1u << 1,
                                                 .run = run_conv2d_grad_x};
const mynah__kernel mynah__fast_conv2d_grad_w = {.name = "fast:conv2d_grad_w",
                                                 .is_rt = true,
                                                 .accepts = is_plain_conv,
                                                 .prepare = prepare_conv2d_grad_w,
                                                 .run = run_conv2d_grad_w};

/* A 3x3 filter for each channel; packed: (3,3,c), then the bias. */
static bool accepts_depthwise(const mynah__step *step) {
  const int64_t *w = step->in[1].shape.dims, c = step->in[0].shape.dims[3];
  return is_f32(step) && accepts_linear(step) && step->a.i[2] == 1 && step->a.i[3] == 1 && step->a.i[8] == c && w[0] == c &&
         w[2] == 3 && w[3] == 3;
}
static mynah_status prepare_depthwise(const mynah__step *step, mynah__plan *plan) {
  plan->packed_bytes = 10 * (size_t)step->in[1].shape.dims[0] * sizeof(float);
  return MYNAH_OK;
}
static void pack_depthwise(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  (void)plan;
  int64_t n = step->in[1].shape.dims[0];
  const float *w = in[1], *b = in[2]; /* (c,1,3,3) (c) */
  float *out = packed;
  for (int64_t k = 0; k < 9; k++)
    for (int64_t c = 0; c < n; c++) *out++ = w[c * 9 + k];
  for (int64_t c = 0; c < n; c++) *out++ = b ? b[c] : 0;
}
const mynah__kernel mynah__fast_depthwise = {.name = "fast:depthwise",
                                             .is_rt = true,
                                             .takes_post = true,
                                             .is_shared_out = true,
                                             .accepts = accepts_depthwise,
                                             .prepare = prepare_depthwise,
                                             .pack = pack_depthwise,
                                             .packs = 1u << 1 | 1u << 2,
                                             .run = run_depthwise};

/* Costs in multiply-adds at full speed, of which a core of AVX2 did 40 in a nanosecond: making or using a number of a
 * transformed picture; reading a weight, once a run. */
#define TRANSFORM_COST 10
#define WEIGHT_COST 9
/* Of what transformed weights are larger than those given: more would come from memory instead of the last cache, and weigh on it. */
#define WINOGRAD_BYTES_MAX ((double)(20 << 20))

/* x (batch,h,w,c), y (batch,out_h,out_w,o) */
static double winograd_cost(const mynah__step *step, const int64_t *x, const int64_t *y, int m) {
  double c = (double)x[3], o = (double)y[3], batch = (double)y[0];
  bool is_line = mynah__winograd_is_line(step);
  if (m == 0) return (is_line ? 5 : 9) * c * o * (batch * (double)(y[1] * y[2]) + WEIGHT_COST);
  if (is_line) return 6 * batch * (double)(y[1] * ((y[2] + 1) / 2)) * (c * o + TRANSFORM_COST * (c + o)) + 6 * WEIGHT_COST * c * o;
  double tiles = batch * (double)((y[1] + m - 1) / m * ((y[2] + m - 1) / m)), n_matrices = (m + 2) * (m + 2);
  double n = step->a.i[0] == 1 ? n_matrices : (2 * m + 1) * (2 * m + 1);
  return n * tiles * (c * o + TRANSFORM_COST * (c + o)) + n_matrices * WEIGHT_COST * c * o;
}

static int forced_tile;
void mynah__winograd_force(int tile) { forced_tile = tile; }

/* The gradient of filters, conv2d_grad_w, is the step whose weights do not go in. */
static bool is_grad_w(const mynah__step *step) { return step->a.i[9] > 0 && !step->is_weight[1]; }

/* Height and width of the kernel. */
static const int64_t *kernel_of(const mynah__step *step) { return is_grad_w(step) ? &step->a.i[9] : &step->in[1].shape.dims[2]; }
bool mynah__winograd_is_line(const mynah__step *step) { return kernel_of(step)[0] == 1 && kernel_of(step)[1] == 5; }

/* Forwards in training: F(4x4)'s error puts more outputs on the other side of a relu's kink, which gradients see; F(2x2)'s is that of
 * the direct sum, and it is taken where it gains much. (tests/policy/test_lerobot.c has a kink in ResNet's first stage, 64 channels,
 * that lies within a float's usual error: on its other side a filter of the first layer is off by over 1e-4 of the largest.) */
#define TRAINING_CHANNELS 64
static int largest_tile(const mynah__step *step) {
  if (mynah__winograd_is_line(step)) return 2;
  if (step->is_training && step->a.i[9] == 0) return step->in[0].shape.dims[3] > TRAINING_CHANNELS ? 2 : 0;
  return 4;
}

int mynah__winograd_tile(const mynah__step *step) {
  const int64_t *x = step->in[0].shape.dims, *y = is_grad_w(step) ? step->in[1].shape.dims : step->out[0].shape.dims;
  double channels = (double)(x[3] * y[3]), least = winograd_cost(step, x, y, 0);
  int best = forced_tile > 2 && mynah__winograd_is_line(step) ? 2 : forced_tile;
  for (int m = 2; !forced_tile && m <= largest_tile(step); m += 2) {
    double cost = winograd_cost(step, x, y, m);
    double more = mynah__winograd_is_line(step) ? 6 - 5 : (m + 2) * (m + 2) - 9;
    if (channels * more * (double)sizeof(float) > WINOGRAD_BYTES_MAX || cost >= least) continue;
    best = m, least = cost;
  }
  return best;
}

/* A kernel of 3x3 that moves so many steps at a time at most, or one of 1x5 that moves one, and a gain. */
static bool has_gain(const mynah__step *step, int64_t stride_most) {
  const int64_t *k = kernel_of(step), *stride = step->a.i;
  bool is_line = mynah__winograd_is_line(step), is_square = k[0] == 3 && k[1] == 3;
  return is_f32(step) && (is_line || is_square) && stride[0] <= (is_line ? 1 : stride_most) && stride[0] == stride[1] && mynah__winograd_tile(step) > 0;
}
static bool accepts_winograd(const mynah__step *step) { return accepts_conv2d(step) && has_gain(step, 2); }
static bool accepts_winograd_grad_x(const mynah__step *step) {
  return accepts_conv2d_grad_x(step) && has_gain(step, 1) && step->a.i[4] < kernel_of(step)[0] && step->a.i[5] < kernel_of(step)[1];
}
static bool accepts_winograd_grad_w(const mynah__step *step) {
  return is_plain_conv(step) && is_grad_w(step) && has_gain(step, 1);
}
static mynah_status prepare_winograd_grad_w(const mynah__step *step, mynah__plan *plan) {
  mynah__fast_get()->winograd_grad_w_plan(step, plan);
  return MYNAH_OK;
}
static mynah_status prepare_winograd(const mynah__step *step, mynah__plan *plan) {
  mynah__fast_get()->winograd_plan(step, plan);
  return MYNAH_OK;
}
static void pack_winograd(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  (void)plan;
  mynah__fast_get()->winograd_pack(step, plan, in, packed);
}
const mynah__kernel mynah__winograd_conv2d = {.name = "winograd:conv2d",
                                              .is_rt = true,
                                              .takes_post = true,
                                              .is_shared_out = true,
                                              .accepts = accepts_winograd,
                                              .prepare = prepare_winograd,
                                              .pack = pack_winograd,
                                              .packs = 1u << 1 | 1u << 2,
                                              .run = run_winograd};
/* The gradient of x is a convolution of dy with the filters turned around. */
const mynah__kernel mynah__winograd_conv2d_grad_x = {.name = "winograd:conv2d_grad_x",
                                                     .is_rt = true,
                                                     .takes_post = true,
                                                     .accepts = accepts_winograd_grad_x,
                                                     .prepare = prepare_winograd,
                                                     .pack = pack_winograd,
                                                     .packs = 1u << 1,
                                                     .run = run_winograd};
const mynah__kernel mynah__winograd_conv2d_grad_w = {.name = "winograd:conv2d_grad_w",
                                                     .is_rt = true,
                                                     .accepts = accepts_winograd_grad_w,
                                                     .prepare = prepare_winograd_grad_w,
                                                     .run = run_winograd_grad_w};

/* ---- pointwise --------------------------------------------------------------------------------------------------- */

static bool accepts_unary(const mynah__step *step) {
  return is_f32(step) && mynah__fast_get()->find_unary(step->a.text) != NULL;
}
/* The plan is the table's row, which is nobody's to free. */
static mynah_status prepare_unary(const mynah__step *step, mynah__plan *plan) {
  plan->data = (void *)(uintptr_t)mynah__fast_get()->find_unary(step->a.text);
  return MYNAH_OK;
}
const mynah__kernel mynah__fast_unary = {.name = "fast:unary",
                                         .is_rt = true,
                                         .is_shared_out = true,
                                         .accepts = accepts_unary,
                                         .prepare = prepare_unary,
                                         .run = run_unary};
const mynah__kernel mynah__fast_unary_grad = {.name = "fast:unary_grad",
                                              .is_rt = true,
                                              .accepts = accepts_unary,
                                              .prepare = prepare_unary,
                                              .run = run_unary_grad};

#define PLAIN(op) \
  const mynah__kernel mynah__fast_##op = {.name = "fast:" #op, .is_rt = true, .accepts = is_f32, .run = run_##op};
#define SHARED_OUT(op)                     \
  const mynah__kernel mynah__fast_##op = { \
      .name = "fast:" #op, .is_rt = true, .is_shared_out = true, .accepts = is_f32, .run = run_##op};
PLAIN(add)
PLAIN(sub)
PLAIN(mul)
PLAIN(div)
PLAIN(affine)
PLAIN(clamp)
PLAIN(clamp_grad)
PLAIN(from_u8)

/* ---- reductions, norms, softmax, losses -------------------------------------------------------------------------- */

/* Once the summed axes have ended, none may follow: then x is (outer, summed, inner). */
static bool accepts_sum(const mynah__step *step) {
  mynah_shape s = step->in[0].shape;
  bool has_begun = false, has_ended = false;
  for (int d = 0; d < s.n_dims; d++) {
    bool is_summed = step->a.i[0] >> d & 1;
    if (is_summed && has_ended) return false;
    has_ended = has_begun && !is_summed;
    has_begun = has_begun || is_summed;
  }
  return is_f32(step);
}
const mynah__kernel mynah__fast_sum = {.name = "fast:sum", .is_rt = true, .accepts = accepts_sum, .run = run_sum};

static mynah_status prepare_layer_norm_grad(const mynah__step *step, mynah__plan *plan) {
  mynah_shape s = step->in[0].shape;
  plan->scratch_bytes = 2 * (size_t)s.dims[s.n_dims - 1] * sizeof(float);
  return MYNAH_OK;
}
SHARED_OUT(layer_norm)
const mynah__kernel mynah__fast_layer_norm_grad = {.name = "fast:layer_norm_grad",
                                                   .is_rt = true,
                                                   .accepts = is_f32,
                                                   .prepare = prepare_layer_norm_grad,
                                                   .run = run_layer_norm_grad};

/* Numbers a channel that a sample's pass keeps. */
static mynah_status prepare_group_norm(const mynah__step *step, mynah__plan *plan) {
  mynah_shape s = step->in[0].shape;
  plan->scratch_bytes = 4 * (size_t)s.dims[s.n_dims - 1] * sizeof(float);
  return MYNAH_OK;
}
const mynah__kernel mynah__fast_group_norm = {
    .name = "fast:group_norm", .is_rt = true, .accepts = is_f32, .prepare = prepare_group_norm, .run = run_group_norm};
const mynah__kernel mynah__fast_group_norm_grad = {.name = "fast:group_norm_grad",
                                                   .is_rt = true,
                                                   .accepts = is_f32,
                                                   .prepare = prepare_group_norm,
                                                   .run = run_group_norm_grad};

/* Two sums in double and four floats a channel; few channels are repeated, to less than eight vectors of any level. */
static mynah_status prepare_batch_norm(const mynah__step *step, mynah__plan *plan) {
  mynah_shape s = step->in[0].shape;
  int64_t c = s.dims[s.n_dims - 1];
  plan->scratch_bytes = (size_t)(c < 128 ? 128 : c) * (2 * sizeof(double) + 4 * sizeof(float));
  return MYNAH_OK;
}
const mynah__kernel mynah__fast_batch_norm = {
    .name = "fast:batch_norm", .is_rt = true, .accepts = is_f32, .prepare = prepare_batch_norm, .run = run_batch_norm};
const mynah__kernel mynah__fast_batch_norm_grad = {.name = "fast:batch_norm_grad",
                                                   .is_rt = true,
                                                   .accepts = is_f32,
                                                   .prepare = prepare_batch_norm,
                                                   .run = run_batch_norm_grad};

/* Places are counted in 32 bits. */
static bool accepts_pool(const mynah__step *step) {
  return is_f32(step) && step->in[0].shape.dims[1] * step->in[0].shape.dims[2] <= INT32_MAX;
}
const mynah__kernel mynah__fast_max_pool = {
    .name = "fast:max_pool", .is_rt = true, .is_shared_out = true, .accepts = accepts_pool, .run = run_max_pool};
const mynah__kernel mynah__fast_max_pool_grad = {
    .name = "fast:max_pool_grad", .is_rt = true, .accepts = accepts_pool, .run = run_max_pool_grad};

SHARED_OUT(softmax)
PLAIN(softmax_grad)
PLAIN(log_softmax)
PLAIN(log_softmax_grad)
PLAIN(mse)
PLAIN(mse_grad)
PLAIN(l1)
PLAIN(l1_grad)
PLAIN(huber)
PLAIN(huber_grad)
PLAIN(gmm_nll)
PLAIN(gmm_nll_grad)
