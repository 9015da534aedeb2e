/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linear layers and matrix products: gradients in double, all kernels alike, shapes refused. */
#include "graph_case.h"

/* n: rows, in, out, bias, a leading axis or 0 */
static mynah_node build_linear(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_shape xs = n[4] ? MYNAH_SHAPE(n[4], n[0], n[1]) : MYNAH_SHAPE(n[0], n[1]);
  mynah_node x = case_input(g, "x", xs), w = case_param(g, c, "w", MYNAH_SHAPE(n[2], n[1]));
  mynah_node b = n[3] ? case_param(g, c, "b", MYNAH_SHAPE(n[2])) : MYNAH_NO_NODE;
  return mynah_linear(g, x, w, b);
}

/* n: leading axes (0: none), M, K, N, a transposed, b transposed, one b for all */
static mynah_node build_matmul(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  int64_t ar = n[4] ? n[2] : n[1], ac = n[4] ? n[1] : n[2], br = n[5] ? n[3] : n[2], bc = n[5] ? n[2] : n[3];
  bool is_flat = n[0] == 0;
  mynah_node a = case_input(g, "a", is_flat ? MYNAH_SHAPE(ar, ac) : MYNAH_SHAPE(n[0], 2, ar, ac));
  mynah_node b = case_input(g, "b", is_flat || n[6] ? MYNAH_SHAPE(br, bc) : MYNAH_SHAPE(n[0], 2, br, bc));
  return mynah_matmul(g, a, b, n[4], n[5]);
}

/* What follows a linear layer in one step: n[0] residual, n[1] which function, n[2] the residual comes first. */
static const char *const functions[] = {"relu", "tanh", "sigmoid", "silu", "leaky_relu:0.2", "gelu"};
static mynah_node build_post(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(5, 6)), w = case_param(g, c, "w", MYNAH_SHAPE(9, 6));
  mynah_node y = mynah_linear(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(9)));
  mynah_node r = c->n[0] ? mynah_affine(g, case_input(g, "r", MYNAH_SHAPE(5, 9)), 2, 1) : MYNAH_NO_NODE;
  if (c->n[0]) y = c->n[2] ? mynah_add(g, r, y) : mynah_add(g, y, r);
  return mynah_unary(g, functions[c->n[1]], y);
}

static void test_linear(void **state) {
  const graph_case cases[] = {
      {"linear", build_linear, {5, 7, 9, 1}, false},       {"no bias", build_linear, {5, 7, 9, 0}, false},
      {"3-D", build_linear, {3, 6, 8, 1, 2}, false},       {"one row", build_linear, {1, 33, 17, 1}, false},
      {"one output", build_linear, {4, 5, 1, 1}, false},   {"one input", build_linear, {4, 1, 3, 1}, false},
      {"odd sizes", build_linear, {37, 65, 35, 1}, false},
  };
  CASES_CHECK(cases);
}

static void test_matmul(void **state) {
  const graph_case cases[] = {
      {"plain", build_matmul, {0, 4, 5, 6, 0, 0}, false},
      {"a^T b", build_matmul, {0, 4, 5, 6, 1, 0}, false},
      {"a b^T", build_matmul, {0, 4, 5, 6, 0, 1}, false},
      {"a^T b^T", build_matmul, {0, 4, 5, 6, 1, 1}, false},
      {"batched", build_matmul, {3, 4, 5, 6, 0, 0}, false},
      {"batched a^T", build_matmul, {3, 4, 5, 6, 1, 0}, false},
      {"batched b^T", build_matmul, {3, 4, 5, 6, 0, 1}, false},
      {"batched both", build_matmul, {3, 4, 5, 6, 1, 1}, false},
      {"one b", build_matmul, {3, 4, 5, 6, 0, 0, 1}, false},
      {"one b, b^T", build_matmul, {3, 4, 5, 6, 0, 1, 1}, false},
      {"one b, a^T", build_matmul, {3, 4, 5, 6, 1, 0, 1}, false},
      {"one b, both", build_matmul, {3, 4, 5, 6, 1, 1, 1}, false},
  };
  CASES_CHECK(cases);
}

static void test_fused(void **state) {
  for (int f = 0; f < 6; f++)
    for (int residual = 0; residual < 3; residual++) {
      graph_case c = {functions[f], build_post, {residual > 0, f, residual > 1}, false};
      graph_case_check_gradients(&c, f == 0 || f == 4 ? 1e-4 : 1e-7);
      graph_case_check_families(&c, 1e-5);
    }
}

/* y = W x + b by hand: W = [1 2; 3 4; 5 6], x = (10,100), b = (1,2,3). */
static void test_by_hand(void **state) {
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  const float w[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 2, 3}, want[] = {211, 432, 653};
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(1, 2));
  mynah_output(g, "y",
               mynah_linear(g, x, mynah_constant(g, MYNAH_SHAPE(3, 2), w), mynah_constant(g, MYNAH_SHAPE(3), b)));
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    graph_run r = {.graph = g};
    graph_run_compile(&r, case_families[f], false);
    float *in = mynah_state_input(r.state, "x");
    in[0] = 10, in[1] = 100;
    mynah_state_run(r.state);
    assert_memory_equal(mynah_state_output(r.state, "y"), want, sizeof want);
    r.graph = NULL;
    graph_run_end(&r);
  }
  mynah_graph_destroy(g);
}

static void check_refused(mynah_shape x, mynah_shape w, mynah_shape b, const char *text) {
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_node bias = b.n_dims ? mynah_input(g, "b", MYNAH_F32, b) : MYNAH_NO_NODE;
  mynah_linear(g, mynah_input(g, "x", MYNAH_F32, x), mynah_input(g, "w", MYNAH_F32, w), bias);
  graph_case_check_refused(g, text);
  mynah_graph_destroy(g);
}

static void test_refused(void **state) {
  check_refused(MYNAH_SHAPE(2, 5), MYNAH_SHAPE(3, 6), (mynah_shape){0}, "(2,5) (3,6)");
  check_refused(MYNAH_SHAPE(2, 5), MYNAH_SHAPE(3, 5, 1), (mynah_shape){0}, "(out,in)");
  check_refused(MYNAH_SHAPE(2, 5), MYNAH_SHAPE(3, 5), MYNAH_SHAPE(4), "bias");
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_matmul(g, mynah_fill(g, MYNAH_SHAPE(2, 3, 4), 1), mynah_fill(g, MYNAH_SHAPE(3, 4, 5), 1), false, false);
  graph_case_check_refused(g, "matmul");
  mynah_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_linear),  cmocka_unit_test(test_matmul),  cmocka_unit_test(test_fused),
      cmocka_unit_test(test_by_hand), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
