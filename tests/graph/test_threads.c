/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One run on several threads: the same bits as on one, for every kernel that is shared out, and nothing allocated. */
#include "graph_case.h"

#include <mynah/model.h>

/* n: batch, size of the picture, channels, kernel, stride */
static mynah_node build_conv(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  int pad = (int)n[3] / 2;
  mynah_conv cfg = {.stride = {(int)n[4], (int)n[4]}, .pad = {pad, pad, pad, pad}};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[1], n[2]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[2] + 5, n[2], n[3], n[3]));
  mynah_node y = mynah_unary(g, "silu", mynah_conv2d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[2] + 5)), &cfg));
  mynah_node pooled = mynah_max_pool(g, y, &(mynah_pool2d){.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}});
  mynah_node parts[2] = {mynah_unary(g, "sigmoid", pooled), y};
  return mynah_concat(g, parts, 2, 3);
}

/* n: batch, size of the picture, channels, stride: a filter for each channel */
static mynah_node build_depthwise(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_conv cfg = {.stride = {(int)n[3], (int)n[3]}, .pad = {1, 1, 1, 1}, .groups = (int)n[2]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[1] + 3, n[2]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[2], 1, 3, 3));
  return mynah_unary(g, "silu", mynah_conv2d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[2])), &cfg));
}

/* n: rows, in, out */
static mynah_node build_linear(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1]));
  mynah_node y = mynah_linear(g, x, case_param(g, c, "w", MYNAH_SHAPE(c->n[2], c->n[1])),
                              case_param(g, c, "b", MYNAH_SHAPE(c->n[2])));
  return mynah_softmax(g, mynah_unary(g, "silu", y));
}

/* n: rows, width */
static mynah_node build_transformer(mynah_graph *g, const graph_case *c) {
  mynah_transformer_config layer = {4, 2 * c->n[1], "relu", 0, false};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(1, c->n[0], c->n[1]));
  return mynah_model_encoder_layer(g, "layer", x, MYNAH_NO_NODE, MYNAH_NO_NODE, &layer);
}

static const graph_case cases[] = {
    {"strips", build_conv, {2, 33, 19, 5, 2}, 0},   {"panels", build_conv, {1, 5, 70, 3, 1}, 0},
    {"winograd", build_conv, {1, 40, 40, 3, 1}, 0}, {"depthwise", build_depthwise, {2, 41, 37, 1}, 0},
    {"column", build_linear, {1, 300, 515}, 0},
    {"rows", build_linear, {301, 96, 40}, 0},       {"layer", build_transformer, {97, 64}, 0},
};

static void test_same_bits(void **state) {
  for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
    const graph_case *c = &cases[i / 2];
    mynah_dtype precision = i % 2 ? MYNAH_BF16 : MYNAH_F32;
    graph_run one = graph_case_act(c, NULL, precision, 1);
    for (int n = 2; n <= 7; n++) {
      graph_run several = graph_case_act(c, NULL, precision, n);
      size_t bytes = mynah_state_output_bytes(one.state, "y");
      if (memcmp(mynah_state_output(one.state, "y"), mynah_state_output(several.state, "y"), bytes) != 0)
        fail_msg("%s in %s: %d threads give other bits than one", c->name, mynah_dtype_name(precision), n);
      graph_run_end(&several);
    }
    graph_run_end(&one);
  }
}

/* A program for one thread is fit for real time; one that waits for threads is not, but allocates as little. */
static void test_allocates_nothing(void **state) {
  graph_run one = graph_case_act(&cases[0], NULL, MYNAH_F32, 1), two = graph_case_act(&cases[0], NULL, MYNAH_F32, 2);
  assert_true(mynah_program_is_rt(one.program));
  assert_false(mynah_program_is_rt(two.program));
  mynah_alloc_trap(true);
  mynah_state_run(two.state);
  assert_int_equal(mynah_alloc_trap(false), 0);
  graph_run_end(&one);
  graph_run_end(&two);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_allocates_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
