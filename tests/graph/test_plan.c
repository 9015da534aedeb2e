/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory planning: no two values that live together overlap, memory is used again, what is kept is kept. */
#include "graph_case.h"

#include "../../src/graph/core.h"

/* Random blocks: none overlap in both time and place, and the arena is not far above what is alive at once. */
static void test_blocks(void **state) {
  mynah_rng r = mynah_rng_make(3, 1);
  for (int round = 0; round < 200; round++) {
    mynah__block blocks[60];
    int n = 1 + (int)mynah_rng_below(&r, 60);
    size_t arena, most = 0, sum = 0;
    for (int i = 0; i < n; i++) {
      int32_t first = (int32_t)mynah_rng_below(&r, 40);
      blocks[i] = (mynah__block){1 + mynah_rng_below(&r, 5000), 0, first, first + (int32_t)mynah_rng_below(&r, 8)};
      sum += mynah__align(blocks[i].bytes);
    }
    case_ok(mynah__plan_arena(blocks, n, &arena));
    for (int i = 0; i < n; i++) {
      assert_int_equal(blocks[i].offset % 64, 0);
      assert_true(blocks[i].offset + blocks[i].bytes <= arena);
      for (int k = 0; k < i; k++) {
        bool together = blocks[i].first <= blocks[k].last && blocks[k].first <= blocks[i].last;
        bool overlap = blocks[i].offset < blocks[k].offset + blocks[k].bytes &&
                       blocks[k].offset < blocks[i].offset + blocks[i].bytes;
        assert_false(together && overlap);
      }
    }
    for (int t = 0; t < 48; t++) {
      size_t alive = 0;
      for (int i = 0; i < n; i++)
        alive += blocks[i].first <= t && t <= blocks[i].last ? mynah__align(blocks[i].bytes) : 0;
      if (alive > most) most = alive;
    }
    assert_true(arena >= most && arena <= sum && arena <= 2 * most);
  }
}

/* A chain of 40 functions needs the memory of one or two values, not of 40. */
static void test_chain(void **state) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_node x = mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(1000));
  mynah_node y = x;
  for (int i = 0; i < 40; i++) y = i % 2 ? mynah_affine(r.graph, y, 2, 0) : mynah_add(r.graph, y, y);
  mynah_output(r.graph, "y", y);
  graph_run_compile(&r, "ref", false);
  assert_true(r.program->arena_bytes <= 2 * 4032);
  float *in = mynah_state_input(r.state, "x");
  for (int i = 0; i < 1000; i++) in[i] = (float)i;
  for (int round = 0; round < 2; round++) { /* the input is still there for a second run */
    mynah_state_run(r.state);
    const float *out = mynah_state_output(r.state, "y");
    for (int i = 0; i < 1000; i++) assert_true(out[i] == (float)i * 1099511627776.0f);
  }
  graph_run_end(&r);
}

/* Outputs in the middle of a chain, an output that is an input, one that is a view, one that is a constant. */
static void test_outputs_stay(void **state) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_graph *g = r.graph;
  const float numbers[2] = {5, 6};
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(2, 3)), y = mynah_affine(g, x, 2, 0);
  mynah_node w = mynah_weight(g, "w", MYNAH_SHAPE(2), (mynah_init){MYNAH_INIT_CONSTANT, 3});
  mynah_output(g, "x", x);
  mynah_output(g, "y", y);
  mynah_node z = mynah_affine(g, mynah_affine(g, mynah_affine(g, y, 3, 0), 1, 1), 1, 1);
  mynah_output(g, "z", z);
  mynah_output(g, "view", mynah_reshape(g, y, MYNAH_SHAPE(3, 2)));
  mynah_output(g, "constant", mynah_constant(g, MYNAH_SHAPE(2), numbers));
  mynah_output(g, "w", w);
  graph_run_compile(&r, "ref", false);
  float *in = mynah_state_input(r.state, "x");
  for (int i = 0; i < 6; i++) in[i] = (float)i;
  mynah_state_run(r.state);
  assert_ptr_equal(mynah_state_output(r.state, "x"), in);
  const float *got[] = {mynah_state_output(r.state, "y"), mynah_state_output(r.state, "view"),
                        mynah_state_output(r.state, "z")};
  assert_ptr_equal(got[0], got[1]);
  for (int i = 0; i < 6; i++)
    assert_true(in[i] == (float)i && got[0][i] == (float)(2 * i) && got[2][i] == (float)(6 * i + 2));
  assert_memory_equal(mynah_state_output(r.state, "constant"), numbers, sizeof numbers);
  assert_true(((const float *)mynah_state_output(r.state, "w"))[1] == 3);
  assert_null(mynah_state_output(r.state, "none"));
  assert_null(mynah_state_input(r.state, "none"));
  mynah_shape shape;
  assert_string_equal(mynah_program_output(r.program, 3, &shape), "view");
  assert_int_equal(shape.dims[0], 3);
  graph_run_end(&r);
}

/* A random graph of pointwise ops and views, with every intermediate an output (so that nothing is shared) or only the
 * last one (so that everything is): the same numbers. */
static mynah_node random_graph(mynah_graph *g, uint64_t seed, bool is_all_kept) {
  mynah_rng r = mynah_rng_make(seed, 2);
  mynah_node v[64];
  int n = 0;
  v[n++] = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(4, 6));
  v[n++] = mynah_constant(g, MYNAH_SHAPE(1, 6), (float[]){1, 2, 3, 4, 5, 6});
  while (n < 60) {
    mynah_node a = v[mynah_rng_below(&r, (uint64_t)n)], b = v[mynah_rng_below(&r, (uint64_t)n)];
    switch (mynah_rng_below(&r, 7)) {
    case 0: a = mynah_add(g, a, b); break;
    case 1: a = mynah_sub(g, b, a); break;
    case 2: a = mynah_tanh(g, a); break;
    case 3: a = mynah_mul(g, mynah_tanh(g, a), mynah_tanh(g, b)); break;
    case 4: a = mynah_reshape(g, mynah_reshape(g, a, MYNAH_SHAPE(-1)), mynah_node_shape(g, a)); break;
    case 5: a = mynah_mean(g, a, (int[]){0}, 1, true); break;
    default: a = mynah_affine(g, a, 0.5f, 1); break;
    }
    v[n++] = a;
    char name[16];
    snprintf(name, sizeof name, "v%d", n);
    if (is_all_kept) mynah_output(g, name, a);
  }
  mynah_node y = mynah_affine(g, v[2], 1, 0);
  for (int i = 3; i < n; i += 5) y = mynah_add(g, y, v[i]);
  mynah_output(g, "y", y);
  return y;
}

static void test_sharing_changes_nothing(void **state) {
  for (uint64_t seed = 0; seed < 30; seed++) {
    graph_run r[2] = {{0}, {0}};
    for (int k = 0; k < 2; k++) {
      case_ok(mynah_graph_create(&r[k].graph));
      random_graph(r[k].graph, seed, k == 0);
      graph_run_compile(&r[k], "ref", false);
      graph_run_fill(&r[k]);
      mynah_state_run(r[k].state);
      mynah_state_run(r[k].state);
    }
    size_t bytes =
        (size_t)mynah_shape_size(r[0].program->outputs[r[0].program->n_outputs - 1].tensor.shape) * sizeof(float);
    assert_memory_equal(mynah_state_output(r[0].state, "y"), mynah_state_output(r[1].state, "y"), bytes);
    assert_true(r[1].program->arena_bytes < r[0].program->arena_bytes);
    graph_run_end(&r[0]);
    graph_run_end(&r[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_chain),
      cmocka_unit_test(test_outputs_stay),
      cmocka_unit_test(test_sharing_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
