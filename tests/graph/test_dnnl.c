/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* oneDNN's kernels against the double reference over odd shapes, groups and dilation, and that they are really used. */
#include "graph_case.h"

/* n: rows, in, out, 1 relu, 2 silu after a residual */
static mynah_node build_linear(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(c->n[2], c->n[1])), b = case_param(g, c, "b", MYNAH_SHAPE(c->n[2]));
  mynah_node y = mynah_linear(g, x, w, b);
  if (c->n[3] == 2) y = mynah_add(g, y, case_input(g, "residual", MYNAH_SHAPE(c->n[0], c->n[2])));
  return c->n[3] ? mynah_unary(g, c->n[3] == 1 ? "relu" : "tanh", y) : y;
}

static const graph_case linear_cases[] = {
    {"one", build_linear, {1, 1, 1}, 0},
    {"325", build_linear, {7, 33, 325, 1}, 0},
    {"tall", build_linear, {300, 9, 5, 0}, 0},
    {"residual", build_linear, {13, 15, 60, 2}, 0},
};

/* n: batch, h, w, c, o, kernel, stride, pad, groups, dilation */
static mynah_node build_conv(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  int pad = (int)n[7], stride = (int)n[6], dilation = (int)n[9];
  mynah_conv cfg = {{stride, stride}, {dilation, dilation}, {pad, pad, pad, pad}, (int)n[8]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[4], n[3] / n[8], n[5], n[5]));
  return mynah_relu(g, mynah_conv2d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[4])), &cfg));
}

static const graph_case conv_cases[] = {
    {"first layer", build_conv, {2, 13, 17, 3, 24, 5, 2, 0, 1, 1}, 0},
    {"36 from 24", build_conv, {2, 9, 12, 24, 36, 5, 2, 0, 1, 1}, 0},
    {"same", build_conv, {2, 6, 5, 16, 32, 3, 1, 1, 1, 1}, 0},
    {"dilated", build_conv, {1, 12, 12, 16, 16, 3, 1, 2, 1, 2}, 0},
    {"grouped", build_conv, {2, 8, 8, 32, 32, 3, 1, 1, 2, 1}, 0},
    {"depthwise", build_conv, {2, 8, 8, 16, 16, 3, 1, 1, 16, 1}, 0},
    {"one tap, 7 channels", build_conv, {2, 5, 6, 5, 7, 1, 1, 0, 1, 1}, 0},
    {"one tap, groups of 5", build_conv, {2, 5, 6, 6, 10, 1, 1, 0, 2, 1}, 0},
};

/* Agreement, and at least one step by oneDNN: the others were refused, as its reference is. */
static void check(const graph_case *c) {
  graph_case_check_kernels(c, "dnnl,fast,ref", true, 1e-5);
  graph_run r = graph_case_run(c, "dnnl,fast,ref", false, true);
  int n_dnnl = 0;
  for (int i = 0; i < mynah_program_n_steps(r.program); i++) {
    const char *kernel;
    mynah_program_step(r.program, i, NULL, &kernel, NULL, NULL);
    n_dnnl += strncmp(kernel, "dnnl:", 5) == 0;
  }
  if (n_dnnl == 0) fail_msg("%s: no step was done by oneDNN", c->name);
  assert_false(mynah_program_is_rt(r.program));
  graph_run_end(&r);
  /* In bfloat16: by its instructions, or in float over rounded operands. Behind tanh those are not quite the same. */
  bool is_curved = c->build == build_linear && c->n[3] == 2;
  for (int w = 0; w < 2; w++)
    graph_case_compare(c, "dnnl,ref", MYNAH_BF16, MYNAH_BF16, w, is_curved ? 1e-3 : 1e-5);
}

static void test_linear(void **state) {
  for (size_t i = 0; i < sizeof linear_cases / sizeof *linear_cases; i++) check(&linear_cases[i]);
}
static void test_conv(void **state) {
  for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) check(&conv_cases[i]);
}

/* Two states of one program on two threads share its primitives. */
static void run_state(void *context, int task, int worker) { mynah_state_run(((mynah_state **)context)[task]); }

static void test_threads(void **state) {
  graph_run r = graph_case_run(&conv_cases[2], "dnnl,fast,ref", false, true);
  mynah_state *states[2] = {r.state, NULL};
  case_ok(mynah_state_create(r.binding, &states[1]));
  for (int k = 0; k < mynah_program_n_inputs(r.program); k++) {
    mynah_shape shape;
    const char *name = mynah_program_input(r.program, k, NULL, &shape);
    memcpy(mynah_state_input(states[1], name), mynah_state_input(states[0], name),
           (size_t)mynah_shape_size(shape) * sizeof(float));
  }
  mynah_pool *pool;
  case_ok(mynah_pool_create(2, &pool));
  for (int i = 0; i < 20; i++) mynah_pool_run(pool, 2, run_state, states);
  size_t bytes = (size_t)mynah_weights_n_trained(r.weights) * sizeof(float);
  assert_memory_equal(mynah_state_gradients(states[0]), mynah_state_gradients(states[1]), bytes);
  mynah_pool_destroy(pool);
  mynah_state_destroy(states[1]);
  graph_run_end(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear), cmocka_unit_test(test_conv),
                                     cmocka_unit_test(test_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
