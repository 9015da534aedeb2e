/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pooling: gradients by finite differences, agreement of all kernels, ties, sizes rounded up, refusals. */
#include "graph_case.h"

/* n: 0 batch, 1 h, 2 w, 3 channels, 4 kh, 5 kw, 6 stride h, 7 stride w, 8 pad top, 9 left, 10 bottom, 11 right,
 * 12 rounded up, 13 counts padding */
static mynah_pool2d pool_of(const int64_t *n) {
  return (mynah_pool2d){.kernel = {(int)n[4], (int)n[5]},
                        .stride = {(int)n[6], (int)n[7]},
                        .pad = {(int)n[8], (int)n[9], (int)n[10], (int)n[11]},
                        .is_ceil = n[12] != 0,
                        .counts_padding = n[13] != 0};
}

static mynah_node build_max(mynah_graph *g, const graph_case *c) {
  mynah_pool2d cfg = pool_of(c->n);
  return mynah_max_pool(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1], c->n[2], c->n[3])), &cfg);
}

static mynah_node build_avg(mynah_graph *g, const graph_case *c) {
  mynah_pool2d cfg = pool_of(c->n);
  return mynah_avg_pool(g, case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1], c->n[2], c->n[3])), &cfg);
}

static mynah_node build_adaptive(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1], c->n[2], c->n[3]));
  return mynah_adaptive_avg_pool(g, x, (int)c->n[4], (int)c->n[5]);
}

static const graph_case max_cases[] = {
    {"2x2", build_max, {2, 7, 6, 3, 2, 2, 0, 0}, 0},
    {"3x3 stride 2 padded", build_max, {1, 9, 8, 5, 3, 3, 2, 2, 1, 1, 1, 1}, 0},
    {"5x5 overlapping", build_max, {2, 7, 6, 3, 5, 5, 1, 1, 2, 2, 2, 2}, 0},
    {"rounded up", build_max, {1, 8, 6, 2, 3, 3, 2, 2, 0, 0, 0, 0, 1}, 0},
    {"flat window", build_max, {2, 1, 9, 3, 1, 3, 1, 2, 0, 1, 0, 1}, 0},
    {"17 channels", build_max, {3, 4, 5, 17, 2, 3, 2, 2, 1, 0, 0, 1}, 0},
};
static const graph_case avg_cases[] = {
    {"2x2", build_avg, {2, 8, 7, 3, 2, 2, 0, 0}, 0},
    {"padding counted", build_avg, {2, 8, 7, 3, 3, 3, 2, 2, 1, 1, 1, 1, 0, 1}, 0},
    {"padding not counted", build_avg, {1, 8, 7, 17, 3, 3, 2, 2, 1, 1, 1, 1, 0, 0}, 0},
    {"rounded up", build_avg, {1, 8, 6, 2, 3, 3, 2, 2, 0, 0, 0, 0, 1, 1}, 0},
    {"rounded up, padded", build_avg, {1, 7, 8, 2, 4, 3, 3, 2, 1, 1, 2, 0, 1, 1}, 0},
};
static const graph_case adaptive_cases[] = {
    {"to one", build_adaptive, {2, 7, 5, 3, 1, 1}, 0},
    {"overlapping bins", build_adaptive, {1, 7, 5, 3, 3, 3}, 0},
    {"more rows than before", build_adaptive, {2, 3, 5, 17, 7, 4}, 0},
};

static void test_max_pool(void **state) { CASES_CHECK(max_cases); }
static void test_avg_pool(void **state) { CASES_CHECK(avg_cases); }
static void test_adaptive_avg_pool(void **state) { CASES_CHECK(adaptive_cases); }

/* All elements equal: each window's gradient goes to its first element in row-major order. */
static void test_ties(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    const graph_case ties = {"ties", build_max, {1, 3, 3, 1, 2, 2, 1, 1}, 0};
    graph_run r = graph_case_run(&ties, case_families[f], false, false);
    float *x = mynah_state_input(r.state, "x"), *dout = mynah_state_input(r.state, "dout");
    for (int i = 0; i < 9; i++) x[i] = 5;
    for (int i = 0; i < 4; i++) dout[i] = (float)(i + 1);
    mynah_state_run(r.state);
    const float expected[9] = {1, 2, 0, 3, 4, 0, 0, 0, 0};
    assert_memory_equal(mynah_state_output(r.state, "grad/x"), expected, sizeof expected);
    graph_run_end(&r);
  }
}

/* Rounded up, a last window that would begin beyond the input is left out: 4 by windows of 2, 4 apart, is one window.
 */
static void test_last_window(void **state) {
  const int64_t sizes[][5] = {/* input, window, stride, padding, output: torch.nn.MaxPool2d(ceil_mode=True) */
                              {4, 2, 4, 0, 1},
                              {5, 2, 4, 0, 2},
                              {8, 3, 2, 0, 4},
                              {3, 2, 3, 1, 2},
                              {6, 2, 2, 1, 4}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int64_t *s = sizes[i];
    mynah_graph *g = NULL;
    case_ok(mynah_graph_create(&g));
    mynah_pool2d cfg = {.kernel = {(int)s[1], (int)s[1]}, .stride = {(int)s[2], (int)s[2]}, .is_ceil = true};
    for (int k = 0; k < 4; k++) cfg.pad[k] = (int)s[3];
    mynah_node y = mynah_max_pool(g, case_input(g, "x", MYNAH_SHAPE(1, s[0], s[0], 1)), &cfg);
    case_ok(mynah_graph_status(g));
    assert_int_equal(mynah_node_shape(g, y).dims[1], s[4]);
    assert_int_equal(mynah_node_shape(g, y).dims[2], s[4]);
    mynah_graph_destroy(g);
  }
}

/* A NaN in the window is not hidden by the maximum. */
static void test_nan_shows(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    const graph_case one = {"nan", build_max, {1, 2, 2, 1, 2, 2, 0, 0}, 0};
    for (int at = 0; at < 4; at++) {
      graph_run r = graph_case_run(&one, case_families[f], false, false);
      float *x = mynah_state_input(r.state, "x");
      for (int i = 0; i < 4; i++) x[i] = i == at ? NAN : (float)i;
      mynah_state_run(r.state);
      if (!isnan(*(const float *)mynah_state_output(r.state, "y")))
        fail_msg("%s: a NaN at %d is lost", case_families[f], at);
      graph_run_end(&r);
    }
  }
}

static void test_refused(void **state) {
  const graph_case refusals[] = {
      {"window", build_max, {1, 2, 2, 1, 3, 3, 1, 1}, 0},
      {"padding", build_avg, {1, 4, 4, 1, 2, 2, 1, 1, 2, 0, 0, 0}, 0},
      {"window", build_max, {1, 4, 4, 1, 0, 2, 1, 1}, 0},
      {"stride", build_avg, {1, 4, 4, 1, 2, 2, -1, 1}, 0},
      {"positive", build_adaptive, {1, 4, 4, 1, 0, 2}, 0},
  };
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    mynah_graph *g = NULL;
    case_ok(mynah_graph_create(&g));
    assert_true(mynah_node_is_null(refusals[i].build(g, &refusals[i])));
    graph_case_check_refused(g, refusals[i].name);
    mynah_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_max_pool), cmocka_unit_test(test_avg_pool),    cmocka_unit_test(test_adaptive_avg_pool),
      cmocka_unit_test(test_ties),     cmocka_unit_test(test_last_window), cmocka_unit_test(test_nan_shows),
      cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
