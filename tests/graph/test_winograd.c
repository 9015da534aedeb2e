/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Convolutions by Winograd's filtering against the double reference, for both tiles, over odd shapes, on each ISA
 * level: its error beside that of the direct sum; and which convolutions are given to it. */
#include "graph_case.h"

#include "src/graph/fast/fast.h"
#include "src/graph/fast/winograd.h"

/* n: batch, h, w, c, o, pad before, pad after, what follows: 1 relu, 2 silu, 3 a residual and relu, 4 a residual; 10 more: stride 2;
 * 1: the kernel is 1x5, else 3x3 */
static mynah_node build(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  int stride = 1 + (int)(n[7] / 10), after = (int)(n[7] % 10);
  int before = (int)n[5], end = (int)n[6], is_line = (int)n[8];
  mynah_conv cfg = {.stride = {stride, stride}, .pad = {is_line ? 0 : before, before, is_line ? 0 : end, end}};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[2], n[3]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[4], n[3], is_line ? 1 : 3, is_line ? 5 : 3));
  mynah_node y = mynah_conv2d(g, x, w, after == 4 ? MYNAH_NO_NODE : case_param(g, c, "b", MYNAH_SHAPE(n[4])), &cfg);
  if (after >= 3) y = mynah_add(g, y, case_input(g, "residual", mynah_node_shape(g, y)));
  return after == 1 || after == 3 ? mynah_relu(g, y) : after == 2 ? mynah_unary(g, "silu", y) : y;
}

static const graph_case cases[] = {
    {"one pixel", build, {1, 1, 1, 1, 1, 1, 1, 0}, 0},      {"one pixel, deep", build, {2, 1, 1, 37, 70, 1, 1, 1}, 0},
    {"one output", build, {1, 3, 3, 5, 3, 0, 0, 0}, 0},     {"one line", build, {1, 1, 19, 8, 24, 1, 1, 2}, 0},
    {"one column", build, {3, 13, 1, 16, 33, 1, 1, 3}, 0},  {"odd", build, {2, 7, 9, 3, 5, 1, 1, 4}, 0},
    {"whole tiles", build, {1, 8, 12, 32, 32, 1, 1, 1}, 0}, {"no frame", build, {1, 11, 10, 17, 20, 0, 0, 0}, 0},
    {"wide frame", build, {1, 4, 5, 6, 7, 3, 2, 2}, 0},     {"two blocks", build, {1, 41, 39, 9, 12, 1, 1, 3}, 0},
    {"many", build, {5, 6, 6, 15, 17, 1, 0, 4}, 0},         {"deep", build, {1, 9, 10, 130, 68, 1, 1, 3}, 0},
    {"one pixel, by two", build, {1, 1, 1, 3, 2, 1, 1, 10}, 0}, {"odd, by two", build, {2, 7, 9, 3, 5, 1, 1, 14}, 0},
    {"whole, by two", build, {1, 16, 24, 32, 32, 1, 0, 11}, 0}, {"line, by two", build, {1, 1, 19, 8, 24, 1, 1, 12}, 0},
    {"line", build, {3, 1, 16, 20, 24, 2, 2, 1, 1}, 0},     {"odd line", build, {2, 1, 7, 33, 5, 2, 2, 2, 1}, 0},
    {"short line", build, {4, 1, 1, 8, 16, 2, 2, 3, 1}, 0}, {"lines", build, {2, 3, 9, 17, 35, 0, 1, 4, 1}, 0},
    {"many lines", build, {61, 1, 8, 130, 68, 2, 2, 3, 1}, 0}, {"wide line", build, {1, 2, 5, 4, 3, 5, 4, 0, 1}, 0},
    {"blocks, by two", build, {1, 83, 79, 9, 12, 1, 1, 13}, 0}, {"deep, by two", build, {3, 18, 20, 130, 68, 0, 1, 13}, 0},
};

static bool uses(const graph_run *r, const char *name) {
  const char *kernel = NULL;
  for (int i = 0; i < mynah_program_n_steps(r->program); i++) {
    mynah_program_step(r->program, i, NULL, &kernel, NULL, NULL);
    if (!strcmp(kernel, name)) return true;
  }
  return false;
}

/* The largest error, relative to the largest output before what follows, which is bounded by the sum of all weights. */
static double error_of(const graph_case *c, const char *kernels, const char *name) {
  graph_run truth = graph_case_act(c, "ref", MYNAH_F64, 1), run = graph_case_act(c, kernels, MYNAH_F32, 1);
  if (!uses(&run, name)) fail_msg("%s: no %s", c->name, name);
  const void *a = mynah_state_output(run.state, "y"), *b = mynah_state_output(truth.state, "y");
  int64_t n = (int64_t)(mynah_state_output_bytes(run.state, "y") / sizeof(float));
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < n; i++) {
    double x = run_get(&run, a, i), t = run_get(&truth, b, i);
    worst = fmax(worst, x == x ? fabs(x - t) : INFINITY);
    largest = fmax(largest, fabs(t));
  }
  graph_run_end(&run);
  graph_run_end(&truth);
  return worst / (1 + largest);
}

/* Direct sums of these sizes are within 1e-6; the larger tile's intermediate numbers are up to 2.5^2 larger. */
static void check_error(void) {
  for (const mynah__fast *const *level = mynah__fast_levels(); *level; level++) {
    mynah__fast_force(*level);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      double error = error_of(&cases[i], "winograd,fast,ref", "winograd:conv2d"),
             direct = error_of(&cases[i], "fast,ref", "fast:conv2d");
      if (!(error <= 3e-6))
        fail_msg("%s %s: error %g, of the direct sum %g", (*level)->name, cases[i].name, error, direct);
    }
  }
  mynah__fast_force(NULL);
}

static void test_tile_of_four(void **state) {
  mynah__winograd_force(4);
  check_error();
  mynah__winograd_force(0);
}

static void test_tile_of_two(void **state) {
  mynah__winograd_force(2);
  check_error();
  mynah__winograd_force(0);
}

/* Gradients of x, filters and bias beside the double reference; those of stride 1 are filtered too. */
static void test_gradients(void **state) {
  for (const mynah__fast *const *level = mynah__fast_levels(); *level; level++)
    for (int tile = 2; tile <= 4; tile += 2)
      for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_filtered = cases[i].n[7] < 10;
        mynah__fast_force(*level);
        mynah__winograd_force(tile);
        graph_run run = graph_case_run_at(&cases[i], "winograd,fast,ref", MYNAH_F32, true);
        assert_int_equal(uses(&run, "winograd:conv2d_grad_w"), is_filtered);
        assert_int_equal(uses(&run, "winograd:conv2d_grad_x"), is_filtered && cases[i].n[5] <= (cases[i].n[8] ? 4 : 2));
        graph_run_end(&run);
        graph_case_check_kernels(&cases[i], "winograd,fast,ref", true, 1e-5); /* the loss sums hundreds of outputs */
      }
  mynah__winograd_force(0);
  mynah__fast_force(NULL);
}

/* As the layers of ResNet-18 on a 224x224 picture: 64 channels get the larger tile, 512 the smaller, whose weights stay
 * in the cache, and so do those of stride 2; few channels and other kernels get none. */
static void test_choice(void **state) {
  static const struct {
    int64_t h, c, o, stride;
    int tile;
  } rows[] = {{56, 64, 64, 1, 4}, {28, 128, 128, 1, 4}, {14, 256, 256, 1, 4}, {7, 512, 512, 1, 2}, {1, 64, 64, 1, 0}, {224, 3, 2, 1, 0},
              {40, 64, 64, 2, 4}, {20, 128, 128, 2, 4}, {10, 128, 256, 2, 2}, {160, 3, 16, 2, 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    mynah__step step = {.n_in = 2, .n_out = 1};
    step.a.i[0] = step.a.i[1] = rows[i].stride;
    step.in[0].shape = MYNAH_SHAPE(1, rows[i].stride * rows[i].h, rows[i].stride * rows[i].h, rows[i].c);
    step.out[0].shape = MYNAH_SHAPE(1, rows[i].h, rows[i].h, rows[i].o);
    assert_int_equal(mynah__winograd_tile(&step), rows[i].tile);
    step.is_training = true;
    assert_in_range(mynah__winograd_tile(&step), 0, 2);
  }
}

/* Parts share tiles or channels: the same bits for any number of threads. */
static void test_threads(void **state) {
  for (int tile = 2; tile <= 4; tile += 2)
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      mynah__winograd_force(tile);
      graph_run one = graph_case_act(&cases[i], "winograd,fast,ref", MYNAH_F32, 1);
      for (int n = 2; n <= 5; n += 3) {
        graph_run several = graph_case_act(&cases[i], "winograd,fast,ref", MYNAH_F32, n);
        assert_memory_equal(mynah_state_output(one.state, "y"), mynah_state_output(several.state, "y"),
                            mynah_state_output_bytes(one.state, "y"));
        graph_run_end(&several);
      }
      graph_run_end(&one);
    }
  mynah__winograd_force(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tile_of_four),
      cmocka_unit_test(test_tile_of_two),
      cmocka_unit_test(test_gradients),
      cmocka_unit_test(test_choice),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
