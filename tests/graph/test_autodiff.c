/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Differentiation: several uses add up, only what is needed is computed, gradients lie where the weights lie. */
#include "graph_case.h"

static const mynah_init zero = {MYNAH_INIT_ZERO, 0};

/* Uses of x along four ways, through views, residuals and broadcasting. */
static mynah_node build_diamond(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(4, 6)), w = case_param(g, c, "w", MYNAH_SHAPE(6, 6));
  mynah_node a = mynah_tanh(g, mynah_linear(g, x, w, MYNAH_NO_NODE));
  mynah_node b = mynah_sigmoid(g, mynah_linear(g, a, w, MYNAH_NO_NODE)); /* w twice */
  mynah_node flat = mynah_reshape(g, mynah_mul(g, a, b), MYNAH_SHAPE(24));
  mynah_node s = mynah_mean(g, x, (int[]){1}, 1, true);
  return mynah_add(g, mynah_add(g, mynah_reshape(g, flat, MYNAH_SHAPE(4, 6)), x), mynah_mul(g, s, a));
}

static void test_uses_add_up(void **state) {
  const graph_case cases[] = {{"diamond", build_diamond, {0}, false}};
  CASES_CHECK(cases);
}

static int count_steps(const mynah_program *p, const char *op) {
  int n = 0;
  for (int i = 0; i < mynah_program_n_steps(p); i++) {
    const char *name = NULL;
    mynah_program_step(p, i, &name, NULL, NULL, NULL);
    n += strcmp(name, op) == 0;
  }
  return n;
}

/* x -> linear w1 -> relu -> linear w2 -> mse: no gradient of x, w1's output feeds only relu. */
static void test_only_what_is_needed(void **state) {
  mynah_graph *g;
  mynah_program *p;
  mynah_compile_config cfg = {.kernels = "ref"};
  case_ok(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(4, 6)),
             t = mynah_input(g, "t", MYNAH_F32, MYNAH_SHAPE(4, 2));
  mynah_node h = mynah_relu(g, mynah_linear(g, x, mynah_weight(g, "w1", MYNAH_SHAPE(7, 6), zero), MYNAH_NO_NODE));
  mynah_node y = mynah_linear(g, h, mynah_weight(g, "w2", MYNAH_SHAPE(2, 7), zero), MYNAH_NO_NODE);
  mynah_silu(g, mynah_linear(g, x, mynah_weight(g, "unused", MYNAH_SHAPE(3, 6), zero), MYNAH_NO_NODE));
  mynah_node loss = mynah_mse(g, y, t, MYNAH_NO_NODE);
  case_ok(mynah_differentiate(g, loss));
  case_ok(mynah_compile(g, &cfg, &p));
  assert_int_equal(count_steps(p, "linear"), 2);
  assert_int_equal(count_steps(p, "unary"), 0); /* fused */
  assert_int_equal(count_steps(p, "mse"), 0);   /* the loss itself is no output */
  assert_int_equal(count_steps(p, "linear_grad_x"), 1);
  assert_int_equal(count_steps(p, "linear_grad_w"), 2);
  assert_int_equal(count_steps(p, "unary_grad"), 1);
  assert_int_equal(mynah_program_n_outputs(p), 2);
  assert_int_equal(mynah_program_n_inputs(p), 2);
  mynah_program_destroy(p);
  assert_int_equal(mynah_differentiate(g, loss), MYNAH_INVALID); /* a second time */
  mynah_graph_destroy(g);
}

/* n[0]: a value cut in three that cover it, in any order; cut with a gap; cut with an overlap; cut along two axes; cut
 * and used whole; one slice twice. */
static mynah_node build_cut(mynah_graph *g, const graph_case *c) {
  mynah_node x = mynah_tanh(g, case_input(g, "x", MYNAH_SHAPE(4, 9)));
  int64_t kind = c->n[0];
  mynah_node a = mynah_slice(g, x, 1, 4, kind == 1 ? 3 : 5), b = mynah_slice(g, x, -1, 0, 2);
  mynah_node m = kind == 3 ? mynah_slice(g, x, 0, 1, 2) : mynah_slice(g, x, 1, kind == 2 ? 1 : 2, 2);
  mynah_node y = mynah_mul(g, mynah_sum(g, a, (int[]){1}, 1, true), mynah_sum(g, b, (int[]){1}, 1, true));
  y = mynah_mul(g, y, mynah_sum(g, mynah_mul(g, m, m), NULL, 0, false));
  if (kind == 5) y = mynah_mul(g, y, mynah_unary(g, "sin", mynah_slice(g, x, 1, 0, 2)));
  return kind == 4 ? mynah_mul(g, x, y) : y;
}

static void test_slices(void **state) {
  const graph_case cases[] = {{"cover", build_cut, {0}, false},     {"gap", build_cut, {1}, false},
                              {"overlap", build_cut, {2}, false},   {"two axes", build_cut, {3}, false},
                              {"whole too", build_cut, {4}, false}, {"twice", build_cut, {5}, false}};
  CASES_CHECK(cases);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    graph_run r = graph_case_run(&cases[i], "ref", false, false);
    assert_int_equal(count_steps(r.program, "slice_grad") == 0, i == 0);
    assert_int_equal(count_steps(r.program, "concat"), i == 0);
    graph_run_end(&r);
  }
}

/* One block of gradients as the weights lie: what is not touched stays zero, the gradient of two weights is copied. */
static void test_flat_gradients(void **state) {
  mynah_graph *g;
  mynah_program *p;
  mynah_weights *w;
  mynah_binding *b;
  mynah_state *s;
  mynah_compile_config cfg = {.kernels = "ref"};
  case_ok(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(3));
  mynah_buffer(g, "mean", MYNAH_SHAPE(5), zero);
  mynah_weight(g, "untouched", MYNAH_SHAPE(20), zero);
  mynah_node a = mynah_weight(g, "a", MYNAH_SHAPE(3), zero), c = mynah_weight(g, "c", MYNAH_SHAPE(3), zero);
  mynah_node d = mynah_weight(g, "d", MYNAH_SHAPE(1, 3), zero);
  mynah_node sum = mynah_add(g, mynah_add(g, a, c), mynah_reshape(g, d, MYNAH_SHAPE(3)));
  mynah_node loss = mynah_sum(g, mynah_mul(g, sum, x), NULL, 0, false);
  mynah_output(g, "loss", loss);
  case_ok(mynah_differentiate(g, loss));
  case_ok(mynah_compile(g, &cfg, &p));
  case_ok(mynah_weights_create(g, 1, &w));
  case_ok(mynah_binding_create(p, w, &b));
  case_ok(mynah_state_create(b, &s));
  float *in = mynah_state_input(s, "x");
  for (int i = 0; i < 3; i++) in[i] = (float)(i + 1);
  mynah_state_run(s);
  const float *all = mynah_state_gradients(s);
  assert_int_equal(mynah_weights_n_trained(w), 32 + 16 + 16 + 16);
  const char *const names[] = {"a", "c", "d"};
  for (int k = 0; k < 3; k++) {
    const mynah_tensor_info *t = mynah_weights_find(w, names[k]);
    char output[32];
    snprintf(output, sizeof output, "grad/%s", names[k]);
    assert_ptr_equal(mynah_state_output(s, output), all + t->offset);
    for (int i = 0; i < 3; i++) assert_true(all[t->offset + i] == (float)(i + 1));
    for (int i = 3; i < 16; i++) assert_true(all[t->offset + i] == 0);
  }
  for (int i = 0; i < 32; i++) assert_true(all[mynah_weights_find(w, "untouched")->offset + i] == 0);
  assert_null(mynah_state_output(s, "grad/untouched"));
  mynah_state_destroy(s);
  mynah_binding_destroy(b);
  mynah_weights_destroy(w);
  mynah_program_destroy(p);
  mynah_graph_destroy(g);
}

/* The loss is the weight itself: its gradient is a constant. */
static void test_constant_gradient(void **state) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_node w = mynah_weight(r.graph, "w", MYNAH_SHAPE(1), zero);
  case_ok(mynah_differentiate(r.graph, w));
  graph_run_compile(&r, "ref", false);
  mynah_state_run(r.state);
  assert_true(mynah_state_gradients(r.state)[0] == 1);
  graph_run_end(&r);
}

static void test_refused(void **state) {
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(2, 3));
  assert_int_equal(mynah_differentiate(g, x), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "one number, not (2,3)"));
  mynah_graph_destroy(g);
  case_ok(mynah_graph_create(&g));
  assert_int_equal(mynah_differentiate(g, MYNAH_NO_NODE), MYNAH_INVALID);
  mynah_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_uses_add_up),    cmocka_unit_test(test_only_what_is_needed),
      cmocka_unit_test(test_flat_gradients), cmocka_unit_test(test_constant_gradient),
      cmocka_unit_test(test_slices),         cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
