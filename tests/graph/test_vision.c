/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What detectors ask of the engine: enlarging by repetition, filters of one channel each, wide max-pooling with padding.
 * Gradients in double, all kernels alike, values by hand. */
#include "graph_case.h"

/* n: height, width, channels, factor */
static mynah_node build_upsample(mynah_graph *g, const graph_case *c) {
  return mynah_upsample_nearest(g, case_input(g, "x", MYNAH_SHAPE(2, c->n[0], c->n[1], c->n[2])), (int)c->n[3]);
}

/* n: height, width, channels, kernel, stride */
static mynah_node build_depthwise(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  int pad = (int)n[3] / 2, stride = (int)n[4];
  mynah_conv cfg = {.stride = {stride, stride}, .pad = {pad, pad, pad, pad}, .groups = (int)n[2]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(2, n[0], n[1], n[2]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[2], 1, n[3], n[3])), b = case_param(g, c, "b", MYNAH_SHAPE(n[2]));
  return mynah_silu(g, mynah_conv2d(g, x, w, b, &cfg));
}

/* n: height, width, channels */
static mynah_node build_pool(mynah_graph *g, const graph_case *c) {
  mynah_pool2d cfg = {.kernel = {5, 5}, .stride = {1, 1}, .pad = {2, 2, 2, 2}};
  return mynah_max_pool(g, case_input(g, "x", MYNAH_SHAPE(2, c->n[0], c->n[1], c->n[2])), &cfg);
}

static const graph_case cases[] = {
    {"upsample", build_upsample, {3, 2, 5, 2}, 0},      {"upsample one", build_upsample, {1, 1, 1, 3}, 0},
    {"upsample none", build_upsample, {2, 3, 4, 1}, 0}, {"upsample wide", build_upsample, {4, 3, 48, 2}, 0},
    {"depthwise", build_depthwise, {5, 4, 16, 3, 1}, 0}, {"depthwise odd", build_depthwise, {4, 7, 5, 3, 2}, 0},
    {"depthwise wide", build_depthwise, {6, 5, 80, 3, 1}, 0}, {"depthwise many", build_depthwise, {9, 11, 131, 3, 1}, 0},
    {"depthwise thin", build_depthwise, {2, 1, 32, 3, 1}, 0}, {"pool", build_pool, {6, 7, 5}, 0},
    {"pool small", build_pool, {2, 1, 20}, 0},
};

static void test_gradients(void **state) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) graph_case_check_gradients(&cases[i], 1e-6);
}

static void test_kernels(void **state) {
  static const char *const families[] = {"ref", "fast,ref", "dnnl,ref", "fast,dnnl,ref"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t k = 0; k < sizeof families / sizeof *families; k++) graph_case_check_kernels(&cases[i], families[k], true, 1e-5);
}

static void test_by_hand(void **state) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_node x = mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(1, 2, 2, 1));
  mynah_output(r.graph, "y", mynah_upsample_nearest(r.graph, x, 2));
  graph_run_compile(&r, NULL, false);
  memcpy(mynah_state_input(r.state, "x"), (float[]){1, 2, 3, 4}, 4 * sizeof(float));
  mynah_state_run(r.state);
  static const float due[16] = {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4};
  assert_memory_equal(mynah_state_output(r.state, "y"), due, sizeof due);
  graph_run_end(&r);
}

static void test_refused(void **state) {
  for (int which = 0; which < 2; which++) {
    mynah_graph *g;
    case_ok(mynah_graph_create(&g));
    mynah_node x = mynah_input(g, "x", MYNAH_F32, which ? MYNAH_SHAPE(1, 2, 2, 1) : MYNAH_SHAPE(2, 2, 1));
    mynah_upsample_nearest(g, x, which ? 0 : 2);
    graph_case_check_refused(g, "upsample_nearest");
    mynah_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_kernels),
                                     cmocka_unit_test(test_by_hand), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
