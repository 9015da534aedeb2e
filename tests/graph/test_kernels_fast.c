/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every vectorised kernel against the double reference, over odd shapes, on each ISA level this processor has; accuracy
 * and edge cases of the functions; sweeps; and that running allocates nothing. */
#include "graph_case.h"

#include "src/graph/fast/fast.h"

/* Runs `check` once a level. */
static void on_each_level(void (*check)(const mynah__fast *level)) {
  for (const mynah__fast *const *level = mynah__fast_levels(); *level; level++) {
    mynah__fast_force(*level);
    check(*level);
  }
  mynah__fast_force(NULL);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

/* n: rows, in, out, 1 with bias, 1 followed by relu, 2 by silu and a residual */
static mynah_node build_linear(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(c->n[2], c->n[1]));
  mynah_node b = c->n[3] ? case_param(g, c, "b", MYNAH_SHAPE(c->n[2])) : MYNAH_NO_NODE;
  mynah_node y = mynah_linear(g, x, w, b);
  if (c->n[4] == 2) y = mynah_add(g, y, case_input(g, "residual", MYNAH_SHAPE(c->n[0], c->n[2])));
  if (c->n[4]) y = mynah_unary(g, c->n[4] == 1 ? "relu" : "tanh", y);
  return y;
}

static const graph_case linear_cases[] = {
    {"one", build_linear, {1, 1, 1, 1}, 0},          {"row", build_linear, {1, 37, 70, 1, 1}, 0},
    {"quarters", build_linear, {5, 6, 36, 1, 0}, 0}, {"24", build_linear, {9, 75, 24, 1, 1}, 0},
    {"325", build_linear, {7, 33, 325, 0, 0}, 0},    {"60", build_linear, {13, 15, 60, 1, 2}, 0},
    {"wide", build_linear, {3, 7, 129, 1, 1}, 0},    {"56", build_linear, {6, 4, 56, 1, 0}, 0},
    {"tall", build_linear, {700, 9, 5, 1, 0}, 0},    {"whole", build_linear, {130, 96, 64, 1, 2}, 0},
    {"two", build_linear, {64, 40, 2, 1, 0}, 0},     {"3+11", build_linear, {11, 5, 59, 0, 1}, 0},
    {"23", build_linear, {9, 20, 23, 1, 2}, 0},      {"16+23", build_linear, {14, 13, 39, 1, 1}, 0},
    {"blocks", build_linear, {300, 40, 100, 1, 0}, 0}, {"part", build_linear, {270, 43, 100, 0, 0}, 0},
};

/* n: batch, h, w, c, o, kh, kw, stride, pad before, pad after, 1 relu */
static mynah_node build_conv(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_conv cfg = {.stride = {(int)n[7], (int)n[7]}, .pad = {(int)n[8], (int)n[8], (int)n[9], (int)n[9]}};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[4], n[3], n[5], n[6]));
  mynah_node y = mynah_conv2d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[4])), &cfg);
  return n[10] ? mynah_relu(g, y) : y;
}

static const graph_case conv_cases[] = {
    {"first layer", build_conv, {2, 13, 17, 3, 24, 5, 5, 2, 0, 0, 1}, 0},
    {"one pixel", build_conv, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}, 0},
    {"36 from 24", build_conv, {2, 9, 12, 24, 36, 5, 5, 2, 0, 0, 1}, 0},
    {"one line", build_conv, {3, 3, 8, 16, 20, 3, 3, 1, 0, 0, 0}, 0},
    {"same", build_conv, {2, 6, 5, 7, 18, 3, 3, 1, 1, 1, 1}, 0},
    {"uneven frame", build_conv, {1, 5, 6, 5, 4, 4, 3, 3, 2, 1, 0}, 0},
    {"stride over kernel", build_conv, {2, 9, 9, 4, 5, 2, 2, 3, 0, 0, 0}, 0},
    {"rows unread", build_conv, {1, 8, 8, 3, 3, 3, 3, 2, 0, 0, 0}, 0},
    {"big frame", build_conv, {1, 3, 3, 2, 3, 3, 3, 1, 3, 3, 0}, 0},
    {"wide", build_conv, {1, 4, 4, 3, 70, 3, 3, 1, 1, 1, 0}, 0},
    {"sequence", build_conv, {2, 1, 16, 17, 33, 1, 5, 1, 0, 0, 0}, 0},
};

/* n: batch, h, w, channels, stride, pad before, pad after, what follows: 1 relu, 2 silu, 3 a residual */
static mynah_node build_depthwise(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_conv cfg = {.stride = {(int)n[4], (int)n[4]},
                    .pad = {(int)n[5], (int)n[5], (int)n[6], (int)n[6]},
                    .groups = (int)n[3]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3]));
  mynah_node b = n[7] == 1 ? MYNAH_NO_NODE : case_param(g, c, "b", MYNAH_SHAPE(n[3]));
  mynah_node y = mynah_conv2d(g, x, case_param(g, c, "w", MYNAH_SHAPE(n[3], 1, 3, 3)), b, &cfg);
  if (n[7] == 3) y = mynah_add(g, y, case_input(g, "residual", mynah_node_shape(g, y)));
  return n[7] == 1 ? mynah_relu(g, y) : n[7] == 2 ? mynah_unary(g, "tanh", y) : y;
}

static const graph_case depthwise_cases[] = {
    {"one pixel", build_depthwise, {1, 1, 1, 2, 1, 1, 1, 0}, 0},
    {"odd", build_depthwise, {2, 5, 7, 19, 1, 1, 1, 2}, 0},
    {"no frame", build_depthwise, {1, 6, 4, 32, 1, 0, 0, 1}, 0},
    {"stride", build_depthwise, {2, 9, 8, 21, 2, 1, 0, 3}, 0},
    {"wide frame", build_depthwise, {1, 3, 2, 5, 1, 2, 3, 2}, 0},
};

/* n: batch, m, k, n, a transposed, b transposed, b shared */
static mynah_node build_matmul(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_shape a = MYNAH_SHAPE(n[0], n[4] ? n[2] : n[1], n[4] ? n[1] : n[2]);
  mynah_shape b = MYNAH_SHAPE(n[0], n[5] ? n[3] : n[2], n[5] ? n[2] : n[3]);
  if (n[6]) b = MYNAH_SHAPE(b.dims[1], b.dims[2]);
  return mynah_matmul(g, case_input(g, "a", a), case_input(g, "b", b), n[4], n[5]);
}

static const graph_case matmul_cases[] = {
    {"plain", build_matmul, {2, 5, 7, 21, 0, 0, 0}, 0},  {"a^T", build_matmul, {1, 19, 6, 36, 1, 0, 0}, 0},
    {"b^T", build_matmul, {3, 4, 33, 9, 0, 1, 0}, 0},    {"both", build_matmul, {2, 8, 3, 65, 1, 1, 0}, 0},
    {"shared", build_matmul, {3, 5, 4, 18, 0, 0, 1}, 0},
};

/* n: shape of a (3), of b (3): every kind of stretching; div's b is kept away from 0 by a square and 1 */
static mynah_node build_binary(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_node a = case_input(g, "a", MYNAH_SHAPE(n[0], n[1], n[2])),
             b = case_input(g, "b", MYNAH_SHAPE(n[3], n[4], n[5]));
  mynah_node sum = mynah_mul(g, mynah_add(g, a, b), mynah_sub(g, a, b));
  return mynah_div(g, sum, mynah_affine(g, mynah_mul(g, b, b), 1, 1));
}

static const graph_case binary_cases[] = {
    {"same", build_binary, {2, 3, 19, 2, 3, 19}, 0},  {"row", build_binary, {2, 3, 33, 1, 1, 33}, 0},
    {"column", build_binary, {2, 3, 5, 2, 3, 1}, 0},  {"middle", build_binary, {4, 3, 17, 4, 1, 17}, 0},
    {"scalar", build_binary, {2, 3, 20, 1, 1, 1}, 0}, {"both ways", build_binary, {1, 3, 1, 4, 1, 18}, 0},
    {"one", build_binary, {1, 1, 1, 1, 1, 1}, 0},
};

/* n: rows, columns */
static mynah_node build_norm(mynah_graph *g, const graph_case *c) {
  int64_t k = c->n[1];
  mynah_node x = mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], k)), 2, 3);
  return mynah_layer_norm(g, x, case_param(g, c, "gamma", MYNAH_SHAPE(k)), case_param(g, c, "beta", MYNAH_SHAPE(k)),
                          1e-5f);
}
static mynah_node build_softmax(mynah_graph *g, const graph_case *c) {
  mynah_node x = mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1])), 8, 0);
  return mynah_add(g, mynah_softmax(g, x), mynah_affine(g, mynah_log_softmax(g, x), 0.1f, 0));
}
static mynah_node build_losses(mynah_graph *g, const graph_case *c) {
  mynah_shape s = MYNAH_SHAPE(c->n[0], c->n[1]);
  mynah_node p = case_input(g, "p", s), t = case_input(g, "_t", s), mask = case_input(g, "_mask", s);
  mynah_node sum = mynah_add(g, mynah_mse(g, p, t, mask), mynah_l1(g, p, t, MYNAH_NO_NODE));
  return mynah_add(g, sum, mynah_huber(g, p, t, mask, 0.5f));
}
static mynah_node build_sums(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1], 5));
  mynah_node rows = mynah_mean(g, x, (int[]){1}, 1, true), last = mynah_sum(g, x, (int[]){2}, 1, true);
  mynah_node first = mynah_sum(g, x, (int[]){0, 1}, 2, true);
  return mynah_add(g, mynah_add(g, rows, last), first);
}
static mynah_node build_clamp(mynah_graph *g, const graph_case *c) {
  return mynah_clamp(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1])), -0.3f, 0.6f);
}
/* n: batch, components, numbers, 1 with mask */
static mynah_node build_mixture(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_shape wide = MYNAH_SHAPE(n[0], n[1], n[2]), narrow = MYNAH_SHAPE(n[0], n[2]);
  return mynah_gmm_nll(g, case_input(g, "x", MYNAH_SHAPE(n[0], n[1])), case_input(g, "m", wide),
                       case_input(g, "s", wide), case_input(g, "_t", narrow),
                       n[3] ? case_input(g, "_mask", narrow) : MYNAH_NO_NODE);
}

static const graph_case row_cases[] = {
    {"norm 1", build_norm, {3, 2}, 0},           {"norm 256", build_norm, {300, 256}, 0},
    {"norm 37", build_norm, {5, 37}, 0},         {"norm 16", build_norm, {4, 16}, 0},
    {"softmax 1", build_softmax, {3, 1}, 0},     {"softmax 33", build_softmax, {4, 33}, 0},
    {"softmax 64", build_softmax, {2, 64}, 0},   {"losses 7", build_losses, {1, 7}, 0},
    {"losses 1300", build_losses, {13, 100}, 0}, {"sums", build_sums, {3, 700}, 0},
    {"sums 2", build_sums, {19, 2}, 0},          {"clamp", build_clamp, {3, 21}, 0},
    {"mixture", build_mixture, {3, 5, 32}, 0},   {"mixture, mask", build_mixture, {2, 3, 7, 1}, 0},
};

static void check_table(const graph_case *cases, size_t n) {
  for (size_t i = 0; i < n; i++) graph_case_check_kernels(&cases[i], "fast,ref", true, 1e-5);
}
#define CHECK_TABLE(table) check_table(table, sizeof(table) / sizeof *(table))
static void check_linear(const mynah__fast *level) { CHECK_TABLE(linear_cases); }
static void check_conv(const mynah__fast *level) { CHECK_TABLE(conv_cases); }
static void check_depthwise(const mynah__fast *level) {
  CHECK_TABLE(depthwise_cases);
  graph_run r = graph_case_run(&depthwise_cases[1], "fast,ref", false, true);
  const char *kernel;
  mynah_program_step(r.program, 0, NULL, &kernel, NULL, NULL);
  assert_string_equal(kernel, "fast:depthwise");
  graph_run_end(&r);
}
static void check_matmul(const mynah__fast *level) { CHECK_TABLE(matmul_cases); }
static void check_binary(const mynah__fast *level) { CHECK_TABLE(binary_cases); }
static void check_rows(const mynah__fast *level) { CHECK_TABLE(row_cases); }
static void test_linear(void **state) { on_each_level(check_linear); }
static void test_conv(void **state) { on_each_level(check_conv); }
static void test_depthwise(void **state) { on_each_level(check_depthwise); }
static void test_matmul(void **state) { on_each_level(check_matmul); }
static void test_binary(void **state) { on_each_level(check_binary); }
static void test_rows(void **state) { on_each_level(check_rows); }

/* ---- bfloat16
 * ---------------------------------------------------------------------------------------------------------- */

/* More rows, odd and even sums, and panels of every width: a lane holds two numbers of a sum. */
static const graph_case bf16_cases[] = {
    {"1", build_linear, {1, 1, 1, 0, 0}, 0},        {"2", build_linear, {1, 2, 9, 1, 0}, 0},
    {"3", build_linear, {2, 3, 17, 1, 0}, 0},       {"64+1", build_linear, {1, 5, 65, 1, 1}, 0},
    {"gemv", build_linear, {1, 255, 130, 1, 0}, 0}, {"two rows", build_linear, {2, 66, 47, 1, 0}, 0},
    {"3 rows", build_linear, {3, 67, 33, 0, 0}, 0}, {"5 rows", build_linear, {5, 4, 48, 1, 0}, 0},
    {"193", build_linear, {193, 31, 40, 1, 0}, 0},  {"385", build_linear, {385, 8, 12, 1, 1}, 0},
    {"narrow", build_linear, {20, 7, 3, 0, 1}, 0},  {"even block", build_linear, {384, 16, 16, 1, 0}, 0},
};

/* The same rounded operands everywhere: what differs is the order of sums alone. Behind tanh the operands of a gradient
 * are not quite the same, and the nearest bfloat16 of one may be another. */
static void check_bf16_table(const graph_case *cases, size_t n) {
  for (size_t i = 0; i < n; i++)
    for (int w = 0; w < 2; w++) {
      int64_t post = cases[i].n[cases[i].build == build_linear ? 4 : 10];
      graph_case_compare(&cases[i], "fast,ref", MYNAH_BF16, MYNAH_BF16, w, post == 2 ? 1e-3 : 1e-5);
      /* Near the truth where no relu jumps; the loss is a sum that cancels. */
      if (!post) graph_case_compare(&cases[i], "fast,ref", MYNAH_BF16, MYNAH_F64, w, 3e-2);
    }
}
#define CHECK_BF16_TABLE(table) check_bf16_table(table, sizeof(table) / sizeof *(table))
static void check_bf16(const mynah__fast *level) {
  CHECK_BF16_TABLE(linear_cases);
  CHECK_BF16_TABLE(bf16_cases);
  CHECK_BF16_TABLE(conv_cases);
  CHECK_BF16_TABLE(matmul_cases);
}
static void test_bf16(void **state) { on_each_level(check_bf16); }

/* y = x w with w = 1: the nearest bfloat16 of x, ties to even. */
static void check_rounding(const char *kernels) {
  static const float x[][2] = {{1, 1},
                               {1.00390625f, 1},
                               {1.01171875f, 1.015625f},
                               {1.00390637f, 1.0078125f},
                               {-1.00390625f, -1},
                               {-1.01171875f, -1.015625f},
                               {3.4e38f, INFINITY},
                               {INFINITY, INFINITY},
                               {-INFINITY, -INFINITY},
                               {0, 0},
                               {65504, 65536}};
  enum { N = sizeof x / sizeof *x };
  graph_run r = {0};
  uint32_t odd = 0x7fffffff; /* rounded as a number, this NaN would be -0 */
  case_ok(mynah_graph_create(&r.graph));
  mynah_node w = mynah_weight(r.graph, "w", MYNAH_SHAPE(1, 1), (mynah_init){MYNAH_INIT_CONSTANT, 1});
  mynah_output(r.graph, "y",
               mynah_linear(r.graph, mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(N + 1, 1)), w, MYNAH_NO_NODE));
  graph_run_compile_at(&r, kernels, MYNAH_BF16);
  float *in = mynah_state_input(r.state, "x");
  const float *y = mynah_state_output(r.state, "y");
  for (int i = 0; i < N; i++) in[i] = x[i][0];
  memcpy(&in[N], &odd, sizeof odd);
  mynah_state_run(r.state);
  for (int i = 0; i < N; i++) {
    double off = fabs((double)y[i] - (double)x[i][1]);
    if (!(off <= 1e-5 * fabs((double)x[i][1])) && !(isinf(x[i][1]) && isinf(y[i]) && signbit(y[i]) == signbit(x[i][1])))
      fail_msg("%s: %.9g became %.9g", kernels, (double)x[i][0], (double)y[i]);
  }
  assert_true(isnan(y[N]));
  graph_run_end(&r);
}
static void check_level_rounding(const mynah__fast *level) { check_rounding("fast"); }
static void test_rounding(void **state) {
  check_rounding("ref");
  on_each_level(check_level_rounding);
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

static const char *const functions[] = {"relu",      "leaky_relu", "sigmoid", "tanh", "silu",      "mish",
                                        "gelu_tanh", "softplus",   "square",  "exp",  "hard_swish"};

/* Values and slopes at 4001 points of [-20, 20] and at the edges, against the table in double. */
static void check_functions(const mynah__fast *level) {
  enum { N = 4010 };
  static float x[N], y[N], kept[N], slope[N], one[N];
  static const float edges[] = {0, -0.0f, 1e-30f, -1e-30f, 88, -87, 0.625f, 200, -200};
  for (int i = 0; i < N; i++) x[i] = i < 4001 ? (float)(i - 2000) * 0.01f : edges[i - 4001], one[i] = 1;
  for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
    const mynah__unary *u = mynah__unary_find(functions[k]);
    const mynah__fast_function *f = level->find_unary(functions[k]);
    assert_non_null(f);
    double p[2] = {u->parameter, 0};
    f->apply(N, x, y, (float)p[0]);
    for (int i = 0; i < N; i++) kept[i] = u->is_from_output ? (float)u->f((double)x[i], p) : x[i];
    f->slope(N, kept, one, slope, (float)p[0]);
    for (int i = 0; i < N; i++) {
      double truth = u->f((double)x[i], p), d = u->derivative((double)x[i], (double)kept[i], p);
      if ((float)truth > 3e38f) continue; /* inf: the edges below */
      if (!(fabs((double)y[i] - truth) <= 1e-7 + 6e-7 * fabs(truth)))
        fail_msg("%s %s(%g) is %.9g, not %.9g", level->name, functions[k], (double)x[i], (double)y[i], truth);
      if (!u->is_from_output) d = u->derivative((double)x[i], truth, p);
      if (!(fabs((double)slope[i] - d) <= 1e-6 + 2e-6 * fabs(d)))
        fail_msg("%s %s'(%g) is %.9g, not %.9g", level->name, functions[k], (double)x[i], (double)slope[i], d);
    }
  }
}
static void test_functions(void **state) { on_each_level(check_functions); }

/* NaN passes through every function, and infinities give the limits. */
static void check_edges(const mynah__fast *level) {
  float x[3] = {NAN, INFINITY, -INFINITY}, y[3];
  for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
    level->find_unary(functions[k])->apply(3, x, y, 0.01f);
    if (!isnan(y[0])) fail_msg("%s %s(NaN) is %g", level->name, functions[k], (double)y[0]);
  }
  level->find_unary("exp")->apply(3, x, y, 0);
  assert_true(isinf(y[1]) && y[1] > 0 && fpclassify(y[2]) == FP_ZERO);
  level->find_unary("tanh")->apply(3, x, y, 0);
  assert_true(y[1] >= 1 && y[1] <= 1 && y[2] >= -1 && y[2] <= -1);
  level->find_unary("sigmoid")->apply(3, x, y, 0);
  assert_true(y[1] >= 1 && y[1] <= 1 && fpclassify(y[2]) == FP_ZERO);
}
static void test_edges(void **state) { on_each_level(check_edges); }

/* ---- sweeps ------------------------------------------------------------------------------------------------------ */

enum { N_SWEEP = 1000 };

static void fill(const char *name, float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = (float)case_value(name, i);
}

/* Any split at a multiple of 16 gives the same bits as one sweep; n is no multiple of anything. */
static void check_split(const mynah__fast *level) {
  static float w[2][N_SWEEP], m[2][N_SWEEP], v[2][N_SWEEP], average[2][N_SWEEP], sum[2][N_SWEEP], in[5][N_SWEEP];
  mynah_adam adam = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.1f, 0.001f, 0.5f, true};
  mynah_sgd sgd = {1e-2f, 0.9f, 0.01f, 0.5f, true, false};
  const char *const names[] = {"a", "b", "c", "d", "e"};
  for (int k = 0; k < 5; k++) fill(names[k], in[k], N_SWEEP);
  for (int way = 0; way < 2; way++) {
    fill("w", w[way], N_SWEEP);
    memset(m[way], 0, sizeof m[way]);
    memset(v[way], 0, sizeof v[way]);
    fill("average", average[way], N_SWEEP);
    for (int64_t i = 0, n; i < N_SWEEP; i += n) {
      n = way ? 16 * (1 + i % 3) : N_SWEEP;
      if (n > N_SWEEP - i) n = N_SWEEP - i;
      const float *from[5];
      for (int k = 0; k < 5; k++) from[k] = in[k] + i;
      mynah_sweep_tree_sum(5, from, 0.2f, n, sum[way] + i);
      mynah_sweep_adam(&adam, n, w[way] + i, m[way] + i, v[way] + i, sum[way] + i);
      mynah_sweep_sgd(&sgd, n, w[way] + i, m[way] + i, sum[way] + i);
      mynah_sweep_ema(0.9f, n, average[way] + i, w[way] + i);
    }
  }
  assert_memory_equal(w[0], w[1], sizeof w[0]);
  assert_memory_equal(m[0], m[1], sizeof m[0]);
  assert_memory_equal(average[0], average[1], sizeof average[0]);
  assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
  for (int i = 0; i < N_SWEEP; i++) { /* ((a+b) + (c+d)) + e */
    float tree = (((in[0][i] + in[1][i]) + (in[2][i] + in[3][i])) + in[4][i]) * 0.2f;
    assert_memory_equal(&tree, &sum[0][i], sizeof tree);
  }
}

/* AdamW as PyTorch writes it, in double. */
static void check_adam(const mynah__fast *level) {
  static float w[N_SWEEP], m[N_SWEEP], v[N_SWEEP], g[N_SWEEP], before[N_SWEEP];
  mynah_adam a = {1e-2f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.1f, 0.01f, 0.5f, true};
  fill("w", before, N_SWEEP);
  fill("g", g, N_SWEEP);
  for (int decoupled = 0; decoupled < 2; decoupled++) {
    a.is_decoupled = decoupled;
    memcpy(w, before, sizeof w);
    memset(m, 0, sizeof m);
    memset(v, 0, sizeof v);
    mynah_sweep_adam(&a, N_SWEEP, w, m, v, g);
    for (int i = 0; i < N_SWEEP; i++) {
      double gi = 0.5 * (double)g[i] + (decoupled ? 0 : 0.1 * (double)before[i]);
      double mi = 0.1 * gi, vi = 0.01 * gi * gi;
      double wi = (double)before[i] * (decoupled ? 1 - 1e-2 * 0.1 : 1) - 1e-2 * (mi / 0.1) / (sqrt(vi / 0.01) + 1e-8);
      if (!(fabs((double)w[i] - wi) <= 1e-6))
        fail_msg("%s adam: w[%d] is %.9g, not %.9g", level->name, i, (double)w[i], wi);
    }
  }
}

static double squares_of_first;
/* The same bits on every level; non-finite numbers show. */
static void check_squares(const mynah__fast *level) {
  static float x[N_SWEEP];
  fill("x", x, N_SWEEP);
  double sum = mynah_sweep_sum_squares(N_SWEEP, x), truth = 0;
  for (int i = 0; i < N_SWEEP; i++) truth += (double)x[i] * (double)x[i];
  assert_true(fabs(sum - truth) <= 1e-12 * truth);
  if (squares_of_first > 0) assert_memory_equal(&sum, &squares_of_first, sizeof sum);
  squares_of_first = sum;
  x[N_SWEEP - 1] = NAN;
  assert_true(isnan(mynah_sweep_sum_squares(N_SWEEP, x)));
}

static void test_split(void **state) { on_each_level(check_split); }
static void test_adam(void **state) { on_each_level(check_adam); }
static void test_squares(void **state) { on_each_level(check_squares); }

/* ---- real time --------------------------------------------------------------------------------------------------- */

/* No step of these cases allocates. */
static void test_runs_without_allocating(void **state) {
  const graph_case *const cases[] = {&linear_cases[9], &conv_cases[0], &conv_cases[4], &row_cases[1]};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int is_half = 0; is_half < 2; is_half++) {
      graph_run r = graph_case_run_at(cases[i], "fast,ref", is_half ? MYNAH_BF16 : MYNAH_F32, true);
      assert_true(mynah_program_is_rt(r.program));
      mynah_alloc_trap(true);
      mynah_state_run(r.state);
      assert_int_equal(mynah_alloc_trap(false), 0);
      graph_run_end(&r);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_linear),
      cmocka_unit_test(test_conv),
      cmocka_unit_test(test_depthwise),
      cmocka_unit_test(test_matmul),
      cmocka_unit_test(test_bf16),
      cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_binary),
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_functions),
      cmocka_unit_test(test_edges),
      cmocka_unit_test(test_split),
      cmocka_unit_test(test_adam),
      cmocka_unit_test(test_squares),
      cmocka_unit_test(test_runs_without_allocating),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
