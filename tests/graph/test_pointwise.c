/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pointwise ops: gradients in double, all kernels alike, broadcasting, pictures, dropout and noise. */
#include "graph_case.h"

static const char *const functions[] = {"relu",       "leaky_relu",  "leaky_relu:0.1",
                                        "sigmoid",    "tanh",        "silu",
                                        "mish",       "gelu",        "gelu_tanh",
                                        "softplus",   "log_sigmoid", "elu",
                                        "elu:0.5",    "selu",        "hard_sigmoid",
                                        "hard_swish", "exp",         "square",
                                        "abs",        "sin",         "cos",
                                        "log",        "sqrt"};
#define N_FUNCTIONS 23
#define FIRST_POSITIVE 21 /* log and sqrt take what is above 0 */

/* n: which function, what x is multiplied by */
static mynah_node build_unary(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(7, 19));
  x = c->n[0] < FIRST_POSITIVE ? mynah_affine(g, x, (float)c->n[1], 0) : mynah_affine(g, x, 1, 1.5f);
  return mynah_unary(g, functions[c->n[0]], x);
}

static void test_unary(void **state) {
  for (int f = 0; f < N_FUNCTIONS; f++)
    for (int scale = 1; scale <= 4; scale += 3) {
      graph_case c = {functions[f], build_unary, {f, scale}, false};
      graph_case_check_gradients(&c, 1e-7);
      graph_case_check_families(&c, 1e-5);
    }
}

/* Far arguments neither overflow nor lose their sign; not a number stays not a number. */
static void test_unary_far(void **state) {
  for (int f = 0; f < FIRST_POSITIVE; f++) {
    if (!strcmp(functions[f], "exp") || !strcmp(functions[f], "square")) continue;
    for (int k = 0; k < N_CASE_FAMILIES; k++) {
      graph_run r = {0};
      case_ok(mynah_graph_create(&r.graph));
      mynah_node x = mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(17));
      mynah_output(r.graph, "y", mynah_unary(r.graph, functions[f], x));
      mynah_output(r.graph, "loss", mynah_sum(r.graph, mynah_unary(r.graph, functions[f], x), NULL, 0, false));
      graph_run_compile(&r, case_families[k], false);
      float *in = mynah_state_input(r.state, "x");
      for (int i = 0; i < 17; i++) in[i] = (float)(i - 8) * 12.5f;
      in[3] = NAN;
      mynah_state_run(r.state);
      const float *y = mynah_state_output(r.state, "y");
      for (int i = 0; i < 17; i++)
        if (isfinite(y[i]) != (i != 3))
          fail_msg("%s(%g) = %g with %s", functions[f], (double)in[i], (double)y[i], case_families[k]);
      graph_run_end(&r);
    }
  }
}

typedef mynah_node (*binary_builder)(mynah_graph *g, mynah_node a, mynah_node b);
static const binary_builder binaries[] = {mynah_add, mynah_sub, mynah_mul, mynah_div};
static const mynah_shape pairs[][2] = {
    {{2, {3, 4}}, {2, {3, 4}}},
    {{2, {3, 4}}, {1, {4}}},
    {{2, {3, 4}}, {2, {3, 1}}},
    {{2, {3, 4}}, {1, {1}}},
    {{3, {2, 3, 4}}, {2, {3, 4}}},
    {{3, {2, 1, 4}}, {3, {1, 3, 1}}},
    {{1, {4}}, {3, {2, 3, 4}}},
    {{3, {2, 5, 33}}, {3, {2, 1, 33}}},
    {{4, {2, 3, 5, 4}}, {4, {2, 1, 1, 4}}},
    {{2, {37, 65}}, {1, {65}}},
};
#define N_PAIRS 10

static mynah_node build_binary(mynah_graph *g, const graph_case *c) {
  mynah_node a = case_input(g, "a", pairs[c->n[1]][0]), b = case_input(g, "b", pairs[c->n[1]][1]);
  if (c->n[0] == 3) b = mynah_affine(g, b, 0.5f, 2);
  return binaries[c->n[0]](g, a, b);
}

static void test_binary(void **state) {
  for (int f = 0; f < 4; f++)
    for (int p = 0; p < N_PAIRS; p++) {
      graph_case c = {"binary", build_binary, {f, p}, false};
      graph_case_check_gradients(&c, 1e-7);
      graph_case_check_families(&c, 1e-5);
    }
}

/* One value on both sides: gradients of both uses add up, and writing in place stays right. */
static mynah_node build_twice(mynah_graph *g, const graph_case *c) {
  mynah_node x = mynah_tanh(g, case_input(g, "x", MYNAH_SHAPE(3, 5)));
  mynah_node y = mynah_mul(g, x, x);
  y = mynah_add(g, y, mynah_reshape(g, mynah_affine(g, x, 3, 0), MYNAH_SHAPE(1, 3, 5)));
  return mynah_sub(g, mynah_add(g, y, y), mynah_clamp(g, x, -0.3f, 0.4f));
}

static mynah_node build_clamp(mynah_graph *g, const graph_case *c) {
  return mynah_clamp(g, case_input(g, "x", MYNAH_SHAPE(5, 9)), -0.5f, 0.25f);
}

static void test_rest(void **state) {
  const graph_case cases[] = {{"twice", build_twice, {0}, false}, {"clamp", build_clamp, {0}, false}};
  CASES_CHECK(cases);
}

static void test_from_u8(void **state) {
  const float scale[3] = {1 / 255.0f, 0.5f, 2}, shift[3] = {0, -1, 3};
  for (int n = 1; n <= 3; n += 2)
    for (int k = 0; k < N_CASE_FAMILIES; k++) {
      graph_run r = {0};
      case_ok(mynah_graph_create(&r.graph));
      mynah_node x = mynah_input(r.graph, "x", MYNAH_U8, MYNAH_SHAPE(2, 5, 7, 3));
      mynah_output(r.graph, "y", mynah_from_u8(r.graph, x, scale, shift, n));
      graph_run_compile(&r, case_families[k], false);
      uint8_t *in = mynah_state_input(r.state, "x");
      for (int i = 0; i < 210; i++) in[i] = (uint8_t)(i * 37 + i / 7);
      mynah_state_run(r.state);
      const float *y = mynah_state_output(r.state, "y");
      for (int i = 0; i < 210; i++) {
        int c = n == 1 ? 0 : i % 3;
        assert_true(fabs((double)(y[i] - (scale[c] * (float)in[i] + shift[c]))) < 1e-4);
      }
      graph_run_end(&r);
    }
}

/* ---- dropout and noise ------------------------------------------------------------------------------------------- */

#define N_RANDOM 20000

/* A graph of two random nodes over x, trained (so that they act) or not. */
static graph_run random_run(bool is_dropout, bool is_training, const char *kernels) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_graph *g = r.graph;
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(N_RANDOM)), y[2];
  for (int i = 0; i < 2; i++) y[i] = is_dropout ? mynah_dropout(g, x, 0.3f) : mynah_gaussian_noise(g, x, 0.5f);
  mynah_output(g, "y0", y[0]);
  mynah_output(g, "y1", y[1]);
  mynah_node loss = mynah_sum(g, mynah_add(g, y[0], y[1]), NULL, 0, false);
  mynah_output(g, "loss", loss);
  if (is_training) case_ok(mynah_differentiate_inputs(g, loss));
  graph_run_compile(&r, kernels, false);
  float *in = mynah_state_input(r.state, "x");
  for (int i = 0; i < N_RANDOM; i++) in[i] = 1;
  return r;
}

static int n_equal(const float *a, const float *b) {
  int n = 0;
  for (int i = 0; i < N_RANDOM; i++) n += a[i] == b[i];
  return n;
}

static void test_dropout(void **state) {
  for (int k = 0; k < N_CASE_FAMILIES; k++) {
    graph_run r = random_run(true, true, case_families[k]);
    static float first[N_RANDOM], again[N_RANDOM];
    mynah_state_seed(r.state, 5, 7);
    mynah_state_run(r.state);
    const float *y0 = mynah_state_output(r.state, "y0"), *y1 = mynah_state_output(r.state, "y1");
    const float *slope = mynah_state_output(r.state, "grad/x");
    int n_dropped = 0;
    for (int i = 0; i < N_RANDOM; i++) {
      assert_true(y0[i] == 0 || fabsf(y0[i] - 1 / 0.7f) < 1e-6f);
      assert_true(fabsf(slope[i] - (y0[i] + y1[i])) < 1e-6f); /* x = 1: the gradient is the mask */
      n_dropped += y0[i] == 0;
    }
    /* 20000 draws of 0.3: a standard deviation is 65 */
    assert_true(abs(n_dropped - 6000) < 400);
    /* Two nodes, two runs, two seeds: other masks; equal about 0.58 of the time by chance. The same seed: the same. */
    assert_true(n_equal(y0, y1) < 13000);
    memcpy(first, y0, sizeof first);
    mynah_state_run(r.state);
    assert_true(n_equal(y0, first) < 13000);
    memcpy(again, y0, sizeof again);
    mynah_state_seed(r.state, 6, 7);
    mynah_state_run(r.state);
    assert_true(n_equal(y0, first) < 13000);
    mynah_state_seed(r.state, 5, 8);
    mynah_state_run(r.state);
    assert_memory_equal(y0, again, sizeof again);
    mynah_state_seed(r.state, 5, 7);
    mynah_state_run(r.state);
    assert_memory_equal(y0, first, sizeof first);
    graph_run_end(&r);
  }
}

static void test_noise(void **state) {
  for (int k = 0; k < N_CASE_FAMILIES; k++) {
    graph_run r = random_run(false, true, case_families[k]);
    mynah_state_seed(r.state, 1, 0);
    mynah_state_run(r.state);
    const float *y = mynah_state_output(r.state, "y0"), *slope = mynah_state_output(r.state, "grad/x");
    double mean = 0, square = 0;
    for (int i = 0; i < N_RANDOM; i++) {
      mean += ((double)y[i] - 1) / N_RANDOM;
      square += ((double)y[i] - 1) * ((double)y[i] - 1) / N_RANDOM;
      assert_true(slope[i] == 2);
    }
    assert_true(fabs(mean) < 0.02 && fabs(sqrt(square) - 0.5) < 0.02);
    graph_run_end(&r);
  }
}

/* In a graph that does not train both are nothing, and cost no step. */
static void test_not_training(void **state) {
  for (int is_dropout = 0; is_dropout < 2; is_dropout++) {
    graph_run r = random_run(is_dropout, false, "fast,ref");
    assert_int_equal(mynah_program_n_steps(r.program), 2);
    mynah_state_run(r.state);
    assert_true(*(const float *)mynah_state_output(r.state, "loss") == 2 * N_RANDOM);
    assert_true(((const float *)mynah_state_output(r.state, "y0"))[17] == 1);
    graph_run_end(&r);
  }
}

static void test_refused(void **state) {
  mynah_graph *g;
  for (int i = 0; i < 8; i++) {
    case_ok(mynah_graph_create(&g));
    mynah_node x = mynah_fill(g, MYNAH_SHAPE(2, 3), 1), u = mynah_input(g, "u", MYNAH_U8, MYNAH_SHAPE(2, 3));
    const float one[2] = {1, 1};
    switch (i) {
    case 0:
      mynah_add(g, x, mynah_fill(g, MYNAH_SHAPE(2), 1));
      graph_case_check_refused(g, "(2,3) (2)");
      break;
    case 1:
      mynah_unary(g, "relux", x);
      graph_case_check_refused(g, "relux");
      break;
    case 2:
      mynah_unary(g, "elu:x", x);
      graph_case_check_refused(g, "elu:x");
      break;
    case 3:
      mynah_relu(g, u);
      graph_case_check_refused(g, "float32");
      break;
    case 4:
      mynah_from_u8(g, x, one, one, 1);
      graph_case_check_refused(g, "uint8");
      break;
    case 5:
      mynah_from_u8(g, u, one, one, 2);
      graph_case_check_refused(g, "channels");
      break;
    case 6:
      mynah_dropout(g, x, 1);
      graph_case_check_refused(g, "probability");
      break;
    default:
      mynah_clamp(g, x, 1, 0);
      graph_case_check_refused(g, "clamp");
      break;
    }
    mynah_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unary), cmocka_unit_test(test_unary_far),    cmocka_unit_test(test_binary),
      cmocka_unit_test(test_rest),  cmocka_unit_test(test_from_u8),      cmocka_unit_test(test_dropout),
      cmocka_unit_test(test_noise), cmocka_unit_test(test_not_training), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
