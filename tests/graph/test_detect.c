/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Assignment and loss of detectors: against PyTorch (peer_detection.py), by differences, at their edges; detach. */
#include "graph_case.h"

#include "support/detection_vectors.h"

/* a is within tolerance of b; NaN is not. */
#define assert_near(a, b, tolerance)                                                             \
  do {                                                                                           \
    double a_ = (double)(a), b_ = (double)(b);                                                   \
    if (!(fabs(a_ - b_) <= (double)(tolerance))) fail_msg("%s is %.12g, not %.12g", #a, a_, b_); \
  } while (0)

#define SIDE 64
#define CELLS 84
#define CLASSES 3
#define BOXES 6

static const float boxes[2][BOXES][5] = {
    {{0, 20, 22, 18, 24},
     {1, 26, 24, 20, 18},
     {2, 45.25f, 12.75f, 5, 6},
     {1, 40, 40, 40, 36},
     {-1},
     {0, 10, 50, 12, 9}},
    {{2, 32, 32, 60, 60}, {2, 30, 33, 58, 50}, {0, 3, 3, 6, 6}, {-1}, {-1}, {1, 55, 50, 14, 20}}};
static const mynah_detect_gains gains = {7.5, 0.5, 1.5};

static mynah_node cells_of(mynah_graph *g) {
  float grid[CELLS][3];
  int n = 0;
  for (int size = 8; size <= 32; size *= 2)
    for (int i = 0; i < SIDE / size * (SIDE / size); i++, n++) {
      grid[n][0] = ((float)(i % (SIDE / size)) + 0.5f) * (float)size;
      grid[n][1] = ((float)(i / (SIDE / size)) + 0.5f) * (float)size;
      grid[n][2] = (float)size;
    }
  return mynah_constant(g, MYNAH_SHAPE(CELLS, 3), &grid[0][0]);
}

static mynah_cells head_of(mynah_graph *g, int64_t batch) {
  return (mynah_cells){
      .distances =
          mynah_affine(g, mynah_input(g, "det.distances", MYNAH_F32, MYNAH_SHAPE(batch, CELLS, 4)), 0.875f, 1.2f),
      .logits = mynah_affine(g, mynah_input(g, "det.logits", MYNAH_F32, MYNAH_SHAPE(batch, CELLS, CLASSES)), 2, -1),
      .boxes = mynah_constant(g, MYNAH_SHAPE(batch, BOXES, 5), &boxes[0][0][0]),
      .cells = cells_of(g)};
}

/* ---- against PyTorch -------------------------------------------------------------------------------------------- */

static graph_run run_peer(int claimed, int kept) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_cells c = head_of(r.graph, 2);
  mynah_node assigned = mynah_assign_cells(r.graph, &c, claimed, kept);
  mynah_node loss = mynah_detect_loss(r.graph, &c, assigned, &gains, SIDE, SIDE);
  mynah_output(r.graph, "assigned", assigned);
  mynah_output(r.graph, "loss", loss);
  case_ok(mynah_differentiate_inputs(r.graph, loss));
  graph_run_compile(&r, "ref", true);
  graph_run_fill(&r);
  mynah_state_run(r.state);
  return r;
}

static void check_peer(int claimed, int kept, const peer_cell *due, size_t n, double loss, double slopes) {
  graph_run r = run_peer(claimed, kept);
  const double *assigned = mynah_state_output(r.state, "assigned"),
               *dd = mynah_state_output(r.state, "grad/det.distances"),
               *dx = mynah_state_output(r.state, "grad/det.logits");
  size_t found = 0;
  for (int i = 0; i < 2 * CELLS; i++) {
    if (assigned[3 * i] < 0) {
      assert_near(assigned[3 * i + 1], 0, 0);
      for (int k = 0; k < 4; k++) assert_near(dd[4 * i + k], 0, 0);
      continue;
    }
    assert_true(found < n);
    const peer_cell *c = &due[found++];
    assert_int_equal(i, c->picture * CELLS + c->cell);
    assert_int_equal((int)assigned[3 * i], c->box);
    assert_near(assigned[3 * i + 1], c->score, 1e-6); /* inputs pass through affine's float factors */
    assert_near(assigned[3 * i + 2], c->alpha, 1e-6);
    for (int k = 0; k < 4; k++) assert_near(dd[4 * i + k] / (double)0.875f, c->slope[k], 1e-5);
  }
  assert_int_equal(found, n);
  double sum = 0;
  for (int i = 0; i < 2 * CELLS * CLASSES; i++) sum += fabs(dx[i]) / 2;
  assert_near(sum, slopes, 1e-5);
  assert_near(*(const double *)mynah_state_output(r.state, "loss"), loss, 1e-5);
  graph_run_end(&r);
}

static void test_as_pytorch(void **state) {
  (void)state;
  check_peer(10, 10, peer_many, sizeof peer_many / sizeof *peer_many, peer_many_loss, peer_many_slopes);
  check_peer(7, 1, peer_one, sizeof peer_one / sizeof *peer_one, peer_one_loss, peer_one_slopes);
}

/* ---- gradients -------------------------------------------------------------------------------------------------- */

/* What is assigned is given: every third cell answers for a box, with scores and aspect weights of its own. */
static mynah_node build_loss(mynah_graph *g, const graph_case *c) {
  (void)c;
  float assigned[2 * CELLS][3];
  for (int i = 0; i < 2 * CELLS; i++) {
    int box = i % 3 == 0 ? i / 3 % BOXES : -1;
    if (box >= 0 && boxes[i / CELLS][box][0] < 0) box = -1;
    assigned[i][0] = (float)box;
    assigned[i][1] = box < 0 ? 0 : 0.25f + 0.01f * (float)(i % 50);
    assigned[i][2] = box < 0 ? 0 : 0.3f;
  }
  mynah_cells head = head_of(g, 2);
  return mynah_detect_loss(g, &head, mynah_constant(g, MYNAH_SHAPE(2, CELLS, 3), &assigned[0][0]), &gains, SIDE, SIDE);
}

static void test_gradients(void **state) {
  (void)state;
  static const graph_case cases[] = {{"loss", build_loss, {0}, 0}};
  CASES_CHECK(cases);
}

/* Nothing flows through what is detached. */
static void test_detach(void **state) {
  (void)state;
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_node x = mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(3, 2)),
             y = mynah_mul(r.graph, x, mynah_detach(r.graph, x));
  mynah_node loss = mynah_sum(r.graph, y, NULL, 0, false);
  mynah_output(r.graph, "y", y);
  case_ok(mynah_differentiate_inputs(r.graph, loss));
  graph_run_compile(&r, NULL, false);
  graph_run_fill(&r);
  mynah_state_run(r.state);
  const float *in = mynah_state_input(r.state, "x"), *out = mynah_state_output(r.state, "y"),
              *dx = mynah_state_output(r.state, "grad/x");
  for (int i = 0; i < 6; i++) {
    assert_near(out[i], in[i] * in[i], 1e-6);
    assert_near(dx[i], in[i], 1e-6); /* and not twice that */
  }
  graph_run_end(&r);
}

/* ---- edges ------------------------------------------------------------------------------------------------------ */

/* No object, or one of a class that is not there: every score is pushed down, and the sum is divided by 1. */
static void test_no_objects(void **state) {
  (void)state;
  static const float none[3][5] = {{-1}, {CLASSES, 32, 32, 10, 10}, {0, 500, 500, 10, 10}};
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_cells c = head_of(r.graph, 1);
  c.boxes = mynah_constant(r.graph, MYNAH_SHAPE(1, 3, 5), &none[0][0]);
  mynah_node assigned = mynah_assign_cells(r.graph, &c, 10, 10);
  mynah_output(r.graph, "assigned", assigned);
  mynah_output(r.graph, "loss", mynah_detect_loss(r.graph, &c, assigned, &gains, SIDE, SIDE));
  graph_run_compile(&r, NULL, false);
  graph_run_fill(&r);
  mynah_state_run(r.state);
  const float *out = mynah_state_output(r.state, "assigned"), *x = mynah_state_input(r.state, "det.logits");
  double due = 0;
  for (int i = 0; i < CELLS; i++) assert_near(out[3 * i], -1, 0);
  for (int i = 0; i < CELLS * CLASSES; i++) due += 0.5 * log1p(exp(2 * (double)x[i] - 1));
  assert_near(*(const float *)mynah_state_output(r.state, "loss"), due, 1e-4 * due);
  graph_run_end(&r);
}

static void test_refused(void **state) {
  (void)state;
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_cells c = head_of(g, 2);
  mynah_assign_cells(g, &c, 65, 1);
  graph_case_check_refused(g, "cells an object");
  mynah_graph_destroy(g);
  case_ok(mynah_graph_create(&g));
  c = head_of(g, 2);
  c.boxes = c.distances;
  mynah_assign_cells(g, &c, 10, 10);
  graph_case_check_refused(g, "boxes (B,M,5)");
  mynah_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_pytorch), cmocka_unit_test(test_gradients),
                                     cmocka_unit_test(test_detach), cmocka_unit_test(test_no_objects),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
