/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Describing a graph: shapes, scopes, weights shared by name, the first error that sticks, memory that runs out. */
#include "graph_case.h"

#include "support/torture.h"

static const mynah_init zero = {MYNAH_INIT_ZERO, 0};

static void test_shapes(void **state) {
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(8, 5));
  mynah_node w = mynah_weight(g, "w", MYNAH_SHAPE(3, 5), zero);
  mynah_shape y = mynah_node_shape(g, mynah_linear(g, x, w, MYNAH_NO_NODE));
  assert_int_equal(y.n_dims, 2);
  assert_int_equal(y.dims[0], 8);
  assert_int_equal(y.dims[1], 3);
  assert_int_equal(mynah_shape_size(y), 24);
  assert_int_equal(mynah_node_shape(g, MYNAH_NO_NODE).n_dims, 0);
  assert_int_equal(mynah_node_shape(g, (mynah_node){12345}).n_dims, 0);
  case_ok(mynah_graph_status(g));
  mynah_graph_destroy(g);
  mynah_graph_destroy(NULL);
}

/* Nothing after the first error changes it, and it comes out of every later operation. */
static void test_first_error(void **state) {
  mynah_graph *g;
  mynah_program *p = NULL;
  mynah_weights *w = NULL;
  case_ok(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(8, 5));
  mynah_node bad = mynah_linear(g, x, mynah_weight(g, "w", MYNAH_SHAPE(3, 6), zero), MYNAH_NO_NODE);
  assert_true(mynah_node_is_null(bad));
  mynah_node loss = mynah_sum(g, mynah_relu(g, bad), NULL, 0, false);
  assert_true(mynah_node_is_null(loss));
  mynah_graph_fail(g, "another error");
  mynah_output(g, "loss", loss);
  graph_case_check_refused(g, "linear: x (…,5) does not fit a weight (3,6); inputs are (8,5) (3,6)");
  assert_int_equal(mynah_differentiate(g, loss), MYNAH_MISMATCH);
  assert_non_null(strstr(mynah_error(), "linear"));
  assert_int_equal(mynah_compile(g, NULL, &p), MYNAH_MISMATCH);
  assert_int_equal(mynah_weights_create(g, 1, &w), MYNAH_MISMATCH);
  assert_null(p);
  assert_null(w);
  mynah_graph_destroy(g);
}

static void test_refused(void **state) {
  static const char *const texts[] = {"there already is one",
                                      "dimensions must be positive",
                                      "2^40",
                                      "float32, uint8 or int32",
                                      "a name is missing",
                                      "used with shapes (3) and (4)",
                                      "as a buffer",
                                      "longer than",
                                      "no value of this graph",
                                      "input 1 is missing",
                                      "my own words 7",
                                      "dimensions: 1 to 6",
                                      "output 'y'"};
  for (int i = 0; i < 13; i++) {
    mynah_graph *g;
    char name[200];
    case_ok(mynah_graph_create(&g));
    mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(2, 3));
    mynah_weight(g, "w", MYNAH_SHAPE(3), zero);
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    switch (i) {
    case 0: mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(1)); break;
    case 1: mynah_input(g, "y", MYNAH_F32, MYNAH_SHAPE(2, 0)); break;
    case 2: mynah_fill(g, MYNAH_SHAPE(INT64_MAX, INT64_MAX), 1); break;
    case 3: mynah_input(g, "y", MYNAH_F64, MYNAH_SHAPE(1)); break;
    case 4: mynah_input(g, "", MYNAH_F32, MYNAH_SHAPE(1)); break;
    case 5: mynah_weight(g, "w", MYNAH_SHAPE(4), zero); break;
    case 6: mynah_buffer(g, "w", MYNAH_SHAPE(3), zero); break;
    case 7: mynah_weight(g, name, MYNAH_SHAPE(3), zero); break;
    case 8: mynah_relu(g, (mynah_node){999}); break;
    case 9: mynah_add(g, x, MYNAH_NO_NODE); break;
    case 10: mynah_graph_fail(g, "my own words %d", 7); break;
    case 11: mynah_fill(g, (mynah_shape){.n_dims = 7, .dims = {1, 1, 1, 1, 1, 1}}, 1); break;
    default: mynah_output(g, "y", x), mynah_output(g, "y", x); break;
    }
    graph_case_check_refused(g, texts[i]);
    mynah_graph_destroy(g);
  }
}

static void test_scope(void **state) {
  mynah_graph *g;
  mynah_weights *w;
  case_ok(mynah_graph_create(&g));
  mynah_graph_scope(g, "trunk.0.");
  mynah_node a = mynah_weight(g, "weight", MYNAH_SHAPE(2, 3), zero);
  mynah_node again = mynah_weight(g, "weight", MYNAH_SHAPE(2, 3), zero);
  mynah_graph_scope(g, NULL);
  mynah_weight(g, "weight", MYNAH_SHAPE(4), zero);
  mynah_node full = mynah_weight(g, "trunk.0.weight", MYNAH_SHAPE(2, 3), zero);
  assert_int_equal(a.id, again.id);
  assert_int_equal(a.id, full.id);
  case_ok(mynah_weights_create(g, 1, &w));
  assert_int_equal(mynah_weights_n_tensors(w), 2);
  assert_non_null(mynah_weights_find(w, "trunk.0.weight"));
  assert_int_equal(mynah_weights_find(w, "weight")->size, 4);
  mynah_weights_destroy(w);
  mynah_graph_destroy(g);
}

/* A whole life, from describing to running, with whatever the work needs of memory failing. */
static mynah_status small_life(void *context) {
  const mynah_compile_config *config = context;
  mynah_graph *g = NULL;
  mynah_program *p = NULL;
  mynah_weights *w = NULL;
  mynah_binding *b = NULL;
  mynah_state *s = NULL;
  mynah_status status = mynah_graph_create(&g);
  if (status == MYNAH_OK) {
    const float scale[3] = {1, 2, 3};
    mynah_init init = {MYNAH_INIT_UNIFORM, 0.5f};
    mynah_node u = mynah_input(g, "u", MYNAH_U8, MYNAH_SHAPE(4, 3)),
               t = mynah_input(g, "t", MYNAH_F32, MYNAH_SHAPE(4, 2));
    mynah_node x = mynah_mul(g, mynah_from_u8(g, u, scale, scale, 3), mynah_constant(g, MYNAH_SHAPE(3), scale));
    mynah_node h = mynah_relu(g, mynah_linear(g, x, mynah_weight(g, "w1", MYNAH_SHAPE(6, 3), init),
                                              mynah_weight(g, "b1", MYNAH_SHAPE(6), init)));
    h = mynah_dropout(g, h, 0.1f);
    mynah_node y = mynah_linear(g, h, mynah_weight(g, "w2", MYNAH_SHAPE(2, 6), init), MYNAH_NO_NODE);
    mynah_node loss = mynah_mse(g, y, t, MYNAH_NO_NODE);
    mynah_output(g, "loss", loss);
    status = mynah_differentiate(g, loss);
  }
  if (status == MYNAH_OK) status = mynah_compile(g, config, &p);
  if (status == MYNAH_OK) status = mynah_weights_create(g, 1, &w);
  if (status == MYNAH_OK) status = mynah_binding_create(p, w, &b);
  if (status == MYNAH_OK) status = mynah_state_create(b, &s);
  if (status == MYNAH_OK) mynah_state_run(s);
  mynah_state_destroy(s);
  mynah_binding_destroy(b);
  mynah_weights_destroy(w);
  mynah_program_destroy(p);
  mynah_graph_destroy(g);
  return status;
}

static void test_torture(void **state) {
  for (int f = 0; f < 2; f++)
    for (int is_double = 0; is_double < 2; is_double++) {
      mynah_compile_config config = mynah_compile_default();
      config.kernels = case_families[is_double ? 0 : f];
      config.precision = is_double ? MYNAH_F64 : MYNAH_F32;
      assert_true(mynah_test_torture(small_life, &config) > 20);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shapes), cmocka_unit_test(test_first_error), cmocka_unit_test(test_refused),
      cmocka_unit_test(test_scope),  cmocka_unit_test(test_torture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
