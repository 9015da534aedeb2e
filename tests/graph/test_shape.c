/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ops that move values, and sums: gradients in double, all kernels alike, values by hand, shapes refused. */
#include "graph_case.h"

static mynah_node build_permute(mynah_graph *g, const graph_case *c) {
  int axes[4];
  for (int i = 0; i < 4; i++) axes[i] = (int)c->n[i];
  return mynah_permute(g, case_input(g, "x", MYNAH_SHAPE(2, 3, 4, 5)), axes);
}

/* n: how many parts, axis */
static mynah_node build_concat(mynah_graph *g, const graph_case *c) {
  mynah_node parts[40];
  for (int i = 0; i < c->n[0]; i++) {
    char name[8];
    snprintf(name, sizeof name, "x%d", i);
    mynah_shape s = MYNAH_SHAPE(3, 2, 4);
    s.dims[(c->n[1] + 3) % 3] = 1 + i % 3;
    parts[i] = case_input(g, name, s);
  }
  return mynah_concat(g, parts, (int)c->n[0], (int)c->n[1]);
}

/* n: axis, start, length */
static mynah_node build_slice(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(3, 4, 5));
  return mynah_slice(g, x, (int)c->n[0], c->n[1], c->n[2]);
}

/* A value cut in two overlapping pieces: the gradients of both add up. */
static mynah_node build_slices(mynah_graph *g, const graph_case *c) {
  mynah_node x = mynah_tanh(g, case_input(g, "x", MYNAH_SHAPE(3, 7)));
  return mynah_mul(g, mynah_slice(g, x, 1, 0, 4), mynah_slice(g, x, -1, 2, 4));
}

static mynah_node build_broadcast(mynah_graph *g, const graph_case *c) {
  return mynah_broadcast(g, case_input(g, "x", c->n[0] ? MYNAH_SHAPE(3, 1) : MYNAH_SHAPE(4)), MYNAH_SHAPE(2, 3, 4));
}

static mynah_node build_reshape(mynah_graph *g, const graph_case *c) {
  mynah_node x = mynah_reshape(g, case_input(g, "x", MYNAH_SHAPE(4, 6)), MYNAH_SHAPE(2, -1, 3));
  return mynah_tanh(g, x);
}

/* n: how many axes, the axes, kept, mean */
static mynah_node build_reduce(mynah_graph *g, const graph_case *c) {
  int axes[4];
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(2, 3, 4, 5));
  for (int i = 0; i < 4; i++) axes[i] = (int)c->n[1 + i];
  return (c->n[6] ? mynah_mean : mynah_sum)(g, x, axes, (int)c->n[0], c->n[5]);
}

static void test_moves(void **state) {
  const graph_case cases[] = {
      {"permute", build_permute, {0, 2, 3, 1}, false},
      {"permute back", build_permute, {0, 3, 1, 2}, false},
      {"permute all", build_permute, {3, 2, 1, 0}, false},
      {"permute negative", build_permute, {-1, 0, 1, 2}, false},
      {"permute none", build_permute, {0, 1, 2, 3}, false},
      {"concat", build_concat, {3, 1}, false},
      {"concat first", build_concat, {2, 0}, false},
      {"concat last", build_concat, {4, -1}, false},
      {"concat many", build_concat, {29, 2}, false},
      {"concat one", build_concat, {1, 2}, false},
      {"slice first", build_slice, {0, 1, 2}, false},
      {"slice middle", build_slice, {1, 2, 2}, false},
      {"slice last", build_slice, {-1, 0, 3}, false},
      {"slice all", build_slice, {1, 0, 4}, false},
      {"slices", build_slices, {0}, false},
      {"broadcast", build_broadcast, {0}, false},
      {"broadcast middle", build_broadcast, {1}, false},
      {"reshape", build_reshape, {0}, false},
  };
  CASES_CHECK(cases);
}

static void test_reduce(void **state) {
  const graph_case cases[] = {
      {"sum all", build_reduce, {0}, false},
      {"mean all kept", build_reduce, {0, 0, 0, 0, 0, 1, 1}, false},
      {"sum first", build_reduce, {1, 0}, false},
      {"sum last kept", build_reduce, {1, -1, 0, 0, 0, 1}, false},
      {"mean of pictures", build_reduce, {2, 1, 2, 0, 0, 0, 1}, false},
      {"mean of two apart", build_reduce, {2, 0, -2, 0, 0, 1, 1}, false},
      {"sum of three", build_reduce, {3, 0, 1, 2}, false},
      {"sum inner", build_reduce, {2, -2, -1}, false},
  };
  CASES_CHECK(cases);
}

/* x = 0 … 23 as (2,3,4). */
static void check_by_hand(mynah_node (*build)(mynah_graph *g, mynah_node x), const float *want, size_t n) {
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    graph_run r = {0};
    case_ok(mynah_graph_create(&r.graph));
    mynah_output(r.graph, "y", build(r.graph, mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(2, 3, 4))));
    graph_run_compile(&r, case_families[f], false);
    float *x = mynah_state_input(r.state, "x");
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    mynah_state_run(r.state);
    assert_memory_equal(mynah_state_output(r.state, "y"), want, n * sizeof *want);
    graph_run_end(&r);
  }
}

static mynah_node hand_permute(mynah_graph *g, mynah_node x) {
  return mynah_slice(g, mynah_permute(g, x, (int[]){2, 0, 1}), 0, 1, 2);
}
static mynah_node hand_concat(mynah_graph *g, mynah_node x) {
  mynah_node parts[2] = {mynah_slice(g, x, 2, 3, 1), mynah_slice(g, x, 2, 0, 1)};
  return mynah_concat(g, parts, 2, 2);
}
static mynah_node hand_sum(mynah_graph *g, mynah_node x) { return mynah_sum(g, x, (int[]){0, 2}, 2, false); }
static mynah_node hand_mean(mynah_graph *g, mynah_node x) { return mynah_mean(g, x, (int[]){1}, 1, true); }

static void test_by_hand(void **state) {
  const float permuted[] = {1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22};
  const float joined[] = {3, 0, 7, 4, 11, 8, 15, 12, 19, 16, 23, 20};
  const float sums[] = {0 + 1 + 2 + 3 + 12 + 13 + 14 + 15, 4 + 5 + 6 + 7 + 16 + 17 + 18 + 19,
                        8 + 9 + 10 + 11 + 20 + 21 + 22 + 23};
  const float means[] = {4, 5, 6, 7, 16, 17, 18, 19};
  check_by_hand(hand_permute, permuted, 12);
  check_by_hand(hand_concat, joined, 12);
  check_by_hand(hand_sum, sums, 3);
  check_by_hand(hand_mean, means, 8);
}

static void test_refused(void **state) {
  for (int i = 0; i < 8; i++) {
    mynah_graph *g;
    case_ok(mynah_graph_create(&g));
    mynah_node x = mynah_fill(g, MYNAH_SHAPE(2, 3, 4), 1), parts[2] = {x, mynah_fill(g, MYNAH_SHAPE(2, 3, 5), 1)};
    switch (i) {
    case 0:
      mynah_reshape(g, x, MYNAH_SHAPE(5, 5));
      graph_case_check_refused(g, "reshape: 24");
      break;
    case 1:
      mynah_reshape(g, x, MYNAH_SHAPE(-1, -1));
      graph_case_check_refused(g, "reshape");
      break;
    case 2:
      mynah_permute(g, x, (int[]){0, 0, 1});
      graph_case_check_refused(g, "permutation");
      break;
    case 3:
      mynah_concat(g, parts, 2, 0);
      graph_case_check_refused(g, "(2,3,4) (2,3,5)");
      break;
    case 4:
      mynah_slice(g, x, 1, 2, 2);
      graph_case_check_refused(g, "slice");
      break;
    case 5:
      mynah_slice(g, x, 1, INT64_MAX, INT64_MAX);
      graph_case_check_refused(g, "slice");
      break;
    case 6:
      mynah_broadcast(g, x, MYNAH_SHAPE(3, 4));
      graph_case_check_refused(g, "broadcast");
      break;
    default:
      mynah_sum(g, x, (int[]){3}, 1, false);
      graph_case_check_refused(g, "no axis 3");
      break;
    }
    mynah_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_moves),
      cmocka_unit_test(test_reduce),
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
