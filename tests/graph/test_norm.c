/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Layer, group and batch norm, softmax: gradients, agreement of all kernels, running statistics, refusals. */
#include "graph_case.h"

/* gamma around 1, so that a sign error cannot hide. */
static mynah_node gamma_of(mynah_graph *g, const graph_case *c, int64_t n) {
  return mynah_affine(g, case_param(g, c, "gamma", MYNAH_SHAPE(n)), 0.5f, 1);
}

/* n: 0 rows, 1 channels, 2 has gamma and beta; x is shifted, so that means matter */
static mynah_node build_layer_norm(mynah_graph *g, const graph_case *c) {
  mynah_node x = mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1])), 2, 3);
  if (!c->n[2]) return mynah_layer_norm(g, x, MYNAH_NO_NODE, MYNAH_NO_NODE, 1e-6f);
  return mynah_layer_norm(g, x, gamma_of(g, c, c->n[1]), case_param(g, c, "beta", MYNAH_SHAPE(c->n[1])), 1e-5f);
}

static mynah_node build_layer_norm_plain(mynah_graph *g, const graph_case *c) {
  mynah_node gamma = case_param(g, c, "gamma", MYNAH_SHAPE(c->n[1]));
  mynah_node y = mynah_layer_norm(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1])), gamma,
                                  case_param(g, c, "beta", MYNAH_SHAPE(c->n[1])), 1e-5f);
  return mynah_silu(g, y); /* norm + activation: what the compiler may fuse */
}

static const graph_case layer_cases[] = {
    {"12 wide", build_layer_norm, {7, 12, 1}, 0},         {"one row", build_layer_norm, {1, 33, 1}, 0},
    {"no affine", build_layer_norm, {5, 8, 0}, 0},        {"256 wide", build_layer_norm, {3, 256, 1}, 0},
    {"activated", build_layer_norm_plain, {9, 47, 1}, 0}, {"two wide", build_layer_norm, {3, 2, 1}, 0},
};

/* n: 0 batch, 1 h, 2 w, 3 channels, 4 groups */
static mynah_node build_group_norm(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_node x = mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3])), 2, -1);
  return mynah_group_norm(g, x, (int)n[4], gamma_of(g, c, n[3]), case_param(g, c, "beta", MYNAH_SHAPE(n[3])), 1e-5f);
}

static const graph_case group_cases[] = {
    {"8 groups of 16", build_group_norm, {2, 4, 4, 16, 8}, 0}, {"one group", build_group_norm, {2, 5, 4, 16, 1}, 0},
    {"each channel", build_group_norm, {2, 7, 1, 6, 6}, 0},    {"4 of 64", build_group_norm, {1, 3, 3, 64, 4}, 0},
    {"odd width", build_group_norm, {3, 3, 2, 21, 7}, 0},
};

/* n: 0 batch, 1 h, 2 w, 3 channels, 4: 0 training, 1 frozen. Statistics begin with an underscore: no gradient to them.
 */
static mynah_node build_batch_norm(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_node x = mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3])), 2, -1);
  mynah_node beta = case_param(g, c, "beta", MYNAH_SHAPE(n[3]));
  mynah_node mean = case_input(g, "_mean", MYNAH_SHAPE(n[3]));
  mynah_node var = mynah_affine(g, case_input(g, "_var", MYNAH_SHAPE(n[3])), 0.5f, 1);
  if (n[4]) return mynah_frozen_batch_norm(g, x, gamma_of(g, c, n[3]), beta, mean, var, 1e-5f);
  return mynah_batch_norm(g, x, gamma_of(g, c, n[3]), beta, mean, var, 1e-5f, 0.1f);
}

static const graph_case batch_cases[] = {
    {"training", build_batch_norm, {3, 4, 3, 5, 0}, 0},     {"training rows", build_batch_norm, {8, 1, 1, 6, 0}, 0},
    {"training 17", build_batch_norm, {2, 3, 3, 17, 0}, 0}, {"frozen", build_batch_norm, {3, 4, 3, 5, 1}, 0},
    {"frozen one", build_batch_norm, {1, 1, 1, 17, 1}, 0},
    {"folded rows", build_batch_norm, {2, 16, 16, 8, 0}, 0}, {"rows of several blocks", build_batch_norm, {1, 25, 43, 16, 0}, 0},
    {"wide", build_batch_norm, {1, 5, 3, 130, 0}, 0},        {"frozen, folded", build_batch_norm, {2, 4, 4, 12, 1}, 0},
};

static mynah_node build_softmax(mynah_graph *g, const graph_case *c) {
  return mynah_softmax(g, mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1])), 3, 0));
}
static mynah_node build_log_softmax(mynah_graph *g, const graph_case *c) {
  return mynah_log_softmax(g, mynah_affine(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1])), 3, 0));
}
static const graph_case softmax_cases[] = {
    {"4x9", build_softmax, {4, 9}, 0},         {"one column", build_softmax, {3, 1}, 0},
    {"33 wide", build_softmax, {2, 33}, 0},    {"log 4x9", build_log_softmax, {4, 9}, 0},
    {"log one", build_log_softmax, {3, 1}, 0}, {"log 33 wide", build_log_softmax, {2, 33}, 0},
};

static void test_layer_norm(void **state) { CASES_CHECK(layer_cases); }
static void test_group_norm(void **state) { CASES_CHECK(group_cases); }
static void test_batch_norm(void **state) { CASES_CHECK(batch_cases); }
static void test_softmax(void **state) { CASES_CHECK(softmax_cases); }

/* Values far apart: no overflow, rows still sum to one. */
static void test_softmax_large(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    graph_run r = graph_case_run(&softmax_cases[0], case_families[f], false, false);
    float *x = mynah_state_input(r.state, "x");
    for (int i = 0; i < 36; i++) x[i] = (float)(i % 9 - 4) * 100;
    mynah_state_run(r.state);
    const float *y = mynah_state_output(r.state, "y");
    for (int row = 0; row < 4; row++) {
      double sum = 0;
      for (int i = 0; i < 9; i++) sum += (double)y[row * 9 + i];
      assert_true(fabs(sum - 1) < 1e-6);
      assert_true(y[row * 9 + 8] == 1);
    }
    graph_run_end(&r);
  }
}

static mynah_node batch_norm_of_buffers(mynah_graph *g) {
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(4, 2));
  mynah_node gamma = mynah_weight(g, "gamma", MYNAH_SHAPE(2), (mynah_init){MYNAH_INIT_CONSTANT, 1});
  mynah_node beta = mynah_weight(g, "beta", MYNAH_SHAPE(2), (mynah_init){MYNAH_INIT_ZERO, 0});
  mynah_node mean = mynah_buffer(g, "running.mean", MYNAH_SHAPE(2), (mynah_init){MYNAH_INIT_ZERO, 0});
  mynah_node var = mynah_buffer(g, "running.var", MYNAH_SHAPE(2), (mynah_init){MYNAH_INIT_CONSTANT, 1});
  mynah_node y = mynah_batch_norm(g, x, gamma, beta, mean, var, 0, 0.25f);
  mynah_output(g, "y", y);
  return mynah_sum(g, y, NULL, 0, false);
}

/* Columns 1 2 3 4 and 10 10 10 14: means 2.5 and 11, unbiased variances 5/3 and 4. */
static void fill_columns(const graph_run *r) {
  const float x[8] = {1, 10, 2, 10, 3, 10, 4, 14};
  memcpy(mynah_state_input(r->state, "x"), x, sizeof x);
}

static void check_floats(const graph_run *r, const char *output, const double *expected, int n) {
  const float *y = mynah_state_output(r->state, output);
  if (!y) fail_msg("no output %s", output);
  for (int i = 0; i < n; i++)
    if (!(fabs((double)y[i] - expected[i]) < 1e-5))
      fail_msg("%s[%d] is %g, not %g", output, i, (double)y[i], expected[i]);
}

/* Training normalises with the biased variance and remembers the unbiased one. */
static void test_running_statistics(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    graph_run r = {0};
    case_ok(mynah_graph_create(&r.graph));
    case_ok(mynah_differentiate(r.graph, batch_norm_of_buffers(r.graph)));
    graph_run_compile(&r, case_families[f], false);
    fill_columns(&r);
    mynah_state_run(r.state);
    const double y[2] = {-1.5 / sqrt(1.25), -1 / sqrt(3)};
    check_floats(&r, "y", y, 2);
    check_floats(&r, "update/running.mean", (double[]){0.25 * 2.5, 0.25 * 11}, 2);
    check_floats(&r, "update/running.var", (double[]){0.75 + 0.25 * 5 / 3, 0.75 + 0.25 * 4}, 2);
    graph_run_end(&r);
  }
}

/* The same graph, not differentiated, uses the running statistics (0 and 1): the identity. */
static void test_evaluating(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    graph_run r = {0};
    case_ok(mynah_graph_create(&r.graph));
    batch_norm_of_buffers(r.graph);
    graph_run_compile(&r, case_families[f], false);
    fill_columns(&r);
    mynah_state_run(r.state);
    check_floats(&r, "y", (double[]){1, 10, 2, 10, 3, 10, 4, 14}, 8);
    assert_null(mynah_state_output(r.state, "update/running.mean"));
    graph_run_end(&r);
  }
}

static void test_refused(void **state) {
  mynah_graph *g = NULL;
  case_ok(mynah_graph_create(&g));
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(2, 3, 6)), v = case_input(g, "v", MYNAH_SHAPE(5));
  assert_true(mynah_node_is_null(mynah_layer_norm(g, x, v, MYNAH_NO_NODE, 1e-5f)));
  graph_case_check_refused(g, "gamma");
  mynah_graph_destroy(g);

  case_ok(mynah_graph_create(&g));
  x = case_input(g, "x", MYNAH_SHAPE(2, 3, 6));
  assert_true(mynah_node_is_null(mynah_group_norm(g, x, 4, MYNAH_NO_NODE, MYNAH_NO_NODE, 1e-5f)));
  graph_case_check_refused(g, "groups");
  mynah_graph_destroy(g);

  case_ok(mynah_graph_create(&g));
  x = case_input(g, "x", MYNAH_SHAPE(2, 6));
  mynah_node none = MYNAH_NO_NODE;
  assert_true(mynah_node_is_null(mynah_batch_norm(g, x, none, none, none, none, 1e-5f, 0.1f)));
  graph_case_check_refused(g, "running");
  mynah_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_layer_norm),    cmocka_unit_test(test_group_norm),
                                     cmocka_unit_test(test_batch_norm),    cmocka_unit_test(test_softmax),
                                     cmocka_unit_test(test_softmax_large), cmocka_unit_test(test_running_statistics),
                                     cmocka_unit_test(test_evaluating),    cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
