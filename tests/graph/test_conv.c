/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolutions: gradients by finite differences, agreement of all kernels over odd shapes, refusals. */
#include "graph_case.h"

/* n: 0 batch, 1 h, 2 w, 3 channels, 4 filters, 5 kh, 6 kw, 7 stride h, 8 stride w, 9 dilation, 10 pad top, 11 left,
 * 12 bottom, 13 right, 14 groups, 15 has a bias */
static mynah_node build_conv(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_conv cfg = {.stride = {(int)n[7], (int)n[8]},
                    .dilation = {(int)n[9], (int)n[9]},
                    .pad = {(int)n[10], (int)n[11], (int)n[12], (int)n[13]},
                    .groups = (int)n[14]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[4], n[3] / (n[14] ? n[14] : 1), n[5], n[6]));
  mynah_node b = n[15] ? case_param(g, c, "b", MYNAH_SHAPE(n[4])) : MYNAH_NO_NODE;
  return mynah_conv2d(g, x, w, b, &cfg);
}

/* relu(conv + residual): what the compiler may fuse. */
static mynah_node build_fused(mynah_graph *g, const graph_case *c) {
  mynah_node y = build_conv(g, c);
  return mynah_silu(g, mynah_add(g, y, case_input(g, "residual", mynah_node_shape(g, y))));
}

static mynah_node build_activated(mynah_graph *g, const graph_case *c) { return mynah_tanh(g, build_conv(g, c)); }

static const graph_case conv_cases[] = {
    {"one pixel", build_conv, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1}, 0},
    {"pointwise", build_conv, {2, 5, 6, 5, 7, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1}, 0},
    {"3x3 same", build_conv, {1, 9, 8, 4, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 0},
    {"no bias", build_conv, {2, 6, 5, 4, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 0}, 0},
    {"stride 2 odd", build_conv, {3, 9, 7, 4, 6, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1}, 0},
    {"stride leaves a remainder", build_conv, {2, 13, 12, 3, 4, 3, 3, 3, 3, 2, 1, 1, 1, 1, 1, 1}, 0},
    {"5x5 of PilotNet", build_conv, {2, 20, 23, 3, 24, 5, 5, 2, 2, 1, 0, 0, 0, 0, 1, 1}, 0},
    {"7x7 stem", build_conv, {1, 17, 15, 3, 8, 7, 7, 2, 2, 1, 3, 3, 3, 3, 1, 1}, 0},
    {"all sides differ", build_conv, {2, 8, 9, 3, 4, 3, 5, 2, 1, 1, 1, 0, 2, 3, 1, 1}, 0},
    {"dilated", build_conv, {2, 9, 10, 4, 5, 3, 3, 1, 1, 2, 2, 2, 2, 2, 1, 1}, 0},
    {"two groups", build_conv, {2, 6, 7, 4, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 2, 1}, 0},
    {"depthwise", build_conv, {2, 7, 6, 6, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 6, 1}, 0},
    {"depthwise times two", build_conv, {1, 6, 6, 4, 8, 3, 3, 2, 2, 1, 1, 1, 1, 1, 4, 1}, 0},
    {"17 to 33 channels", build_conv, {3, 5, 5, 17, 33, 3, 3, 1, 1, 1, 0, 0, 0, 0, 1, 1}, 0},
    {"64 to 64 channels", build_conv, {2, 5, 6, 64, 64, 3, 3, 1, 1, 1, 0, 0, 0, 0, 1, 1}, 0},
    {"activated", build_activated, {2, 9, 8, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 0},
    {"residual and activation", build_fused, {2, 6, 5, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 0},
};

static void test_conv2d(void **state) { CASES_CHECK(conv_cases); }

/* n: 0 batch, 1 t, 2 channels, 3 filters, 4 k, 5 stride, 6 dilation, 7 pad left, 8 pad right, 9 groups */
static mynah_node build_conv1d(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_conv cfg = {
      .stride = {(int)n[5]}, .dilation = {(int)n[6]}, .pad = {(int)n[7], 0, (int)n[8], 0}, .groups = (int)n[9]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[3], n[2] / n[9], n[4]));
  return mynah_conv1d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[3])), &cfg);
}

static const graph_case conv1d_cases[] = {
    {"k5 same", build_conv1d, {2, 16, 4, 8, 5, 1, 1, 2, 2, 1}, 0},
    {"k3 stride 2", build_conv1d, {1, 15, 6, 6, 3, 2, 1, 1, 1, 1}, 0},
    {"causal", build_conv1d, {2, 9, 3, 5, 3, 1, 2, 4, 0, 1}, 0},
    {"groups", build_conv1d, {2, 11, 4, 6, 3, 1, 2, 2, 2, 2}, 0},
};

static void test_conv1d(void **state) { CASES_CHECK(conv1d_cases); }

/* A sum computed by hand: 3x3 of ones over 4x4 of ones, padded by 1, counts the pixels under the window. */
static void test_known_values(void **state) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  float one[16];
  for (int i = 0; i < 16; i++) one[i] = 1;
  mynah_node x = mynah_constant(r.graph, MYNAH_SHAPE(1, 4, 4, 1), one);
  mynah_node w = mynah_constant(r.graph, MYNAH_SHAPE(1, 1, 3, 3), one);
  mynah_output(r.graph, "y", mynah_conv2d(r.graph, x, w, MYNAH_NO_NODE, &(mynah_conv){.pad = {1, 1, 1, 1}}));
  graph_run_compile(&r, "ref", false);
  mynah_state_run(r.state);
  const float *y = mynah_state_output(r.state, "y");
  const float expected[16] = {4, 6, 6, 4, 6, 9, 9, 6, 6, 9, 9, 6, 4, 6, 6, 4};
  assert_memory_equal(y, expected, sizeof expected);
  graph_run_end(&r);
}

/* A filter that is 1 at one tap and 0 elsewhere picks one pixel: where stride, dilation and padding say it lies.
 * 6x7 picture, 3x2 kernel, stride 2 and 1, dilation 2, one row of padding above, two columns to the right. */
static void check_tap(const char *kernels, int tap) {
  const graph_case c = {"tap", build_conv, {1, 6, 7, 1, 1, 3, 2, 2, 1, 2, 1, 0, 0, 2, 1, 0}, 0};
  graph_run r = graph_case_run(&c, kernels, false, false);
  float *w = mynah_state_input(r.state, "w");
  for (int i = 0; i < 6; i++) w[i] = i == tap;
  mynah_state_run(r.state);
  const float *x = mynah_state_input(r.state, "x"), *y = mynah_state_output(r.state, "y");
  const int out_h = 2, out_w = 7; /* (6 + 1 - 4 - 1) / 2 + 1 and 7 + 2 - 2 - 1 + 1 */
  mynah_shape shape;
  mynah_program_output(r.program, 0, &shape);
  assert_true(shape.dims[1] == out_h && shape.dims[2] == out_w);
  for (int oh = 0; oh < out_h; oh++)
    for (int ow = 0; ow < out_w; ow++) {
      int ih = 2 * oh + 2 * (tap / 2) - 1, iw = ow + 2 * (tap % 2);
      float expected = ih >= 0 && ih < 6 && iw < 7 ? x[ih * 7 + iw] : 0;
      if (y[oh * out_w + ow] != expected) fail_msg("%s: tap %d at row %d, column %d", kernels, tap, oh, ow);
    }
  graph_run_end(&r);
}

static void test_taps(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++)
    for (int tap = 0; tap < 6; tap++) check_tap(case_families[f], tap);
}

typedef struct refusal {
  mynah_shape x, w;
  mynah_conv cfg;
  int64_t bias;
  const char *text;
} refusal;

static void test_refused(void **state) {
  const refusal refusals[] = {
      {MYNAH_SHAPE(1, 4, 4, 3), MYNAH_SHAPE(2, 4, 3, 3), {.groups = 1}, 2, "channels"},
      {MYNAH_SHAPE(1, 4, 4, 4), MYNAH_SHAPE(3, 2, 3, 3), {.groups = 2}, 3, "groups"},
      {MYNAH_SHAPE(1, 2, 4, 3), MYNAH_SHAPE(2, 3, 3, 3), {.groups = 1}, 2, "does not fit"},
      {MYNAH_SHAPE(1, 4, 4, 3), MYNAH_SHAPE(2, 3, 3, 3), {.groups = 1}, 3, "bias"},
      {MYNAH_SHAPE(1, 4, 4, 3), MYNAH_SHAPE(2, 3, 3, 3), {.stride = {-1, 1}}, 2, "stride"},
      {MYNAH_SHAPE(1, 4, 4, 3), MYNAH_SHAPE(2, 3, 3, 3), {.pad = {-1, 0, 0, 0}}, 2, "padding"},
      {MYNAH_SHAPE(4, 4, 3), MYNAH_SHAPE(2, 3, 3, 3), {.groups = 1}, 2, "dimensions"},
  };
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const refusal *t = &refusals[i];
    mynah_graph *g = NULL;
    case_ok(mynah_graph_create(&g));
    mynah_node x = case_input(g, "x", t->x), w = case_input(g, "w", t->w), b = case_input(g, "b", MYNAH_SHAPE(t->bias));
    assert_true(mynah_node_is_null(mynah_conv2d(g, x, w, b, &t->cfg)));
    graph_case_check_refused(g, t->text);
    mynah_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_conv2d), cmocka_unit_test(test_conv1d),
                                     cmocka_unit_test(test_known_values), cmocka_unit_test(test_taps),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
