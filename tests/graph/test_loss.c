/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Losses: gradients by finite differences, agreement of all kernels, values worked out by hand, refusals. */
#include "graph_case.h"

/* n: 0 rows, 1 columns, 2 loss, 3 mask: 0 none, 1 of each element, 2 of each row */
typedef mynah_node (*pointwise_loss)(mynah_graph *g, mynah_node p, mynah_node t, mynah_node mask);
static mynah_node huber_half(mynah_graph *g, mynah_node p, mynah_node t, mynah_node mask) {
  return mynah_huber(g, p, t, mask, 0.5f);
}
static const pointwise_loss losses[] = {mynah_mse, mynah_l1, huber_half};
enum { MSE, L1, HUBER };

static mynah_node build_pointwise(mynah_graph *g, const graph_case *c) {
  mynah_shape s = MYNAH_SHAPE(c->n[0], c->n[1]);
  mynah_node p = case_input(g, "p", s), t = case_input(g, "t", s), mask = MYNAH_NO_NODE;
  if (c->n[3]) mask = case_input(g, "_mask", c->n[3] == 1 ? s : MYNAH_SHAPE(c->n[0], 1));
  return losses[c->n[2]](g, p, t, mask);
}

static const graph_case pointwise_cases[] = {
    {"mse", build_pointwise, {4, 15, MSE, 0}, 0},      {"mse masked", build_pointwise, {5, 3, MSE, 1}, 0},
    {"mse rows", build_pointwise, {20, 7, MSE, 2}, 0}, {"mse one", build_pointwise, {1, 1, MSE, 0}, 0},
    {"l1", build_pointwise, {4, 15, L1, 0}, 0},        {"l1 rows", build_pointwise, {20, 7, L1, 2}, 0},
    {"huber", build_pointwise, {4, 15, HUBER, 0}, 0},  {"huber rows", build_pointwise, {20, 7, HUBER, 2}, 0},
};

/* n: 0 rows, 1 classes, 2 smoothing in percent */
static mynah_node build_cross_entropy(mynah_graph *g, const graph_case *c) {
  mynah_node logits = mynah_affine(g, case_input(g, "logits", MYNAH_SHAPE(c->n[0], c->n[1])), 3, 0);
  mynah_node target = mynah_input(g, "target", MYNAH_I32, MYNAH_SHAPE(c->n[0]));
  return mynah_cross_entropy(g, logits, target, (float)c->n[2] / 100);
}

static const graph_case cross_entropy_cases[] = {
    {"3 classes", build_cross_entropy, {5, 3, 0}, 0},
    {"17 classes", build_cross_entropy, {9, 17, 0}, 0},
    {"smoothed", build_cross_entropy, {6, 7, 10}, 0},
};

/* n: 0 rows, 1 columns; variances 0.4 … 1.6 */
static mynah_node build_gaussian(mynah_graph *g, const graph_case *c) {
  mynah_shape s = MYNAH_SHAPE(c->n[0], c->n[1]);
  mynah_node var = mynah_affine(g, case_input(g, "var", s), 0.6f, 1);
  return mynah_gaussian_nll(g, case_input(g, "mean", s), var, case_input(g, "t", s), 1e-6f);
}
static const graph_case gaussian_cases[] = {
    {"6x3", build_gaussian, {6, 3}, 0}, {"one", build_gaussian, {1, 1}, 0}, {"33x5", build_gaussian, {33, 5}, 0}};

/* n: 0 batch, 1 components, 2 columns, 3 mask: 0 none, 1 of each element, 2 of each row */
static mynah_node build_gmm(mynah_graph *g, const graph_case *c) {
  int64_t b = c->n[0], k = c->n[1], d = c->n[2];
  mynah_node logits = case_input(g, "logits", MYNAH_SHAPE(b, k)), mean = case_input(g, "mean", MYNAH_SHAPE(b, k, d));
  mynah_node log_std = case_input(g, "log_std", MYNAH_SHAPE(b, k, d)), t = case_input(g, "t", MYNAH_SHAPE(b, d));
  mynah_node mask = MYNAH_NO_NODE;
  if (c->n[3]) mask = case_input(g, "_mask", c->n[3] == 1 ? MYNAH_SHAPE(b, d) : MYNAH_SHAPE(b, 1));
  return mynah_gmm_nll(g, logits, mean, log_std, t, mask);
}
static const graph_case gmm_cases[] = {
    {"5 of 3", build_gmm, {6, 5, 3, 0}, 0},       {"5 of 32", build_gmm, {7, 5, 32, 0}, 0},
    {"one", build_gmm, {3, 1, 4, 0}, 0},          {"masked", build_gmm, {5, 4, 6, 1}, 0},
    {"rows masked", build_gmm, {5, 4, 19, 2}, 0}, {"17 components", build_gmm, {2, 17, 1, 0}, 0},
};

static void test_pointwise(void **state) { CASES_CHECK(pointwise_cases); }
static void test_cross_entropy(void **state) { CASES_CHECK(cross_entropy_cases); }
static void test_gaussian(void **state) { CASES_CHECK(gaussian_cases); }
static void test_gmm(void **state) { CASES_CHECK(gmm_cases); }

/* Runs a case with the given values in place of the hashed ones and returns y. */
typedef struct fill {
  const char *name;
  const float *values;
  int n;
} fill;
static double value_of(const graph_case *c, const char *kernels, const fill *fills, int n_fills, float *slopes,
                       const char *slopes_of, int n_slopes) {
  graph_run r = graph_case_run(c, kernels, false, false);
  for (int i = 0; i < n_fills; i++)
    memcpy(mynah_state_input(r.state, fills[i].name), fills[i].values, (size_t)fills[i].n * sizeof(float));
  *(float *)mynah_state_input(r.state, "dout") = 1;
  mynah_state_run(r.state);
  double y = (double)*(const float *)mynah_state_output(r.state, "y");
  if (slopes) memcpy(slopes, mynah_state_output(r.state, slopes_of), (size_t)n_slopes * sizeof(float));
  graph_run_end(&r);
  return y;
}

#define assert_near(x, expected, tolerance)                                \
  do {                                                                     \
    double x_ = (x), e_ = (expected);                                      \
    if (!(fabs(x_ - e_) <= (tolerance) * (1 + fabs(e_))))                  \
      fail_msg("%s is %.9g, not %.9g (%s)", #x, x_, e_, case_families[f]); \
  } while (0)

/* The mean divides by all elements, masked ones included. */
static void test_masks_divide_by_all(void **state) {
  const float p[4] = {1, 2, 3, 4}, t[4] = {0, 0, 0, 0}, mask[4] = {1, 0, 0, 1};
  const fill fills[] = {{"p", p, 4}, {"t", t, 4}, {"_mask", mask, 4}};
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    const graph_case mse = {"mse", build_pointwise, {2, 2, MSE, 1}, 0}, l1 = {"l1", build_pointwise, {2, 2, L1, 1}, 0};
    const graph_case huber = {"huber", build_pointwise, {2, 2, HUBER, 1}, 0};
    assert_near(value_of(&mse, case_families[f], fills, 3, NULL, NULL, 0), (1 + 16) / 4.0, 1e-6);
    assert_near(value_of(&l1, case_families[f], fills, 3, NULL, NULL, 0), (1 + 4) / 4.0, 1e-6);
    assert_near(value_of(&huber, case_families[f], fills, 3, NULL, NULL, 0), (0.5 * 0.75 + 0.5 * 3.75) / 4, 1e-6);
  }
}

/* A component narrower by far than the distance: log-likelihoods near -1e6 must not become infinite. */
static void test_gmm_far_and_narrow(void **state) {
  const float logits[2] = {0, 0}, mean[2] = {1, 2}, log_std[2] = {-7, -7}, t[1] = {0};
  const fill fills[] = {{"logits", logits, 2}, {"mean", mean, 2}, {"log_std", log_std, 2}, {"t", t, 1}};
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    const graph_case c = {"far", build_gmm, {1, 2, 1, 0}, 0};
    float slopes[2];
    /* Only the nearer component counts: log 2 + e^14 / 2 - 7 + log(2 pi) / 2. */
    double expected = log(2.0) + exp(14.0) / 2 - 7 + 0.9189385332046727;
    assert_near(value_of(&c, case_families[f], fills, 4, slopes, "grad/mean", 2), expected, 1e-5);
    assert_near((double)slopes[0], exp(14.0), 1e-5);
    assert_true(slopes[1] == 0);
  }
}

/* A class that does not exist makes the loss and its row's gradient NaN: the trainer stops there. */
static void test_unknown_class(void **state) {
  for (int f = 0; f < N_CASE_FAMILIES; f++)
    for (int bad = -1; bad <= 3; bad += 4) {
      graph_run r = graph_case_run(&cross_entropy_cases[0], case_families[f], false, false);
      ((int32_t *)mynah_state_input(r.state, "target"))[2] = bad;
      mynah_state_run(r.state);
      assert_true(isnan(*(const float *)mynah_state_output(r.state, "y")));
      assert_true(isnan(((const float *)mynah_state_output(r.state, "grad/logits"))[2 * 3]));
      graph_run_end(&r);
    }
}

/* NaN in, NaN out, in loss and gradient. */
static void test_nan_shows(void **state) {
  const float p[4] = {1, NAN, 3, 4}, t[4] = {0};
  const fill fills[] = {{"p", p, 4}, {"t", t, 4}};
  for (int f = 0; f < N_CASE_FAMILIES; f++)
    for (int kind = MSE; kind <= HUBER; kind++) {
      const graph_case c = {"nan", build_pointwise, {2, 2, kind, 0}, 0};
      float slopes[4];
      double y = value_of(&c, case_families[f], fills, 2, slopes, "grad/p", 4);
      if (!isnan(y) || !isnan(slopes[1])) fail_msg("%s: loss %d hides a NaN", case_families[f], kind);
    }
}

static void test_refused(void **state) {
  mynah_graph *g = NULL;
  case_ok(mynah_graph_create(&g));
  mynah_node a = case_input(g, "a", MYNAH_SHAPE(2, 3)), b = case_input(g, "b", MYNAH_SHAPE(3, 2));
  assert_true(mynah_node_is_null(mynah_mse(g, a, b, MYNAH_NO_NODE)));
  graph_case_check_refused(g, "mse");
  mynah_graph_destroy(g);

  case_ok(mynah_graph_create(&g));
  a = case_input(g, "a", MYNAH_SHAPE(2, 3));
  assert_true(mynah_node_is_null(mynah_cross_entropy(g, a, case_input(g, "t", MYNAH_SHAPE(2)), 0)));
  graph_case_check_refused(g, "int32");
  mynah_graph_destroy(g);

  case_ok(mynah_graph_create(&g));
  a = case_input(g, "a", MYNAH_SHAPE(2, 3)), b = case_input(g, "b", MYNAH_SHAPE(2, 3, 4));
  mynah_node t = case_input(g, "t", MYNAH_SHAPE(2, 5));
  assert_true(mynah_node_is_null(mynah_gmm_nll(g, a, b, b, t, MYNAH_NO_NODE)));
  graph_case_check_refused(g, "target");
  mynah_graph_destroy(g);

  case_ok(mynah_graph_create(&g));
  a = case_input(g, "a", MYNAH_SHAPE(2, 3));
  assert_true(mynah_node_is_null(mynah_huber(g, a, a, MYNAH_NO_NODE, 0)));
  graph_case_check_refused(g, "delta");
  mynah_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pointwise),
                                     cmocka_unit_test(test_cross_entropy),
                                     cmocka_unit_test(test_gaussian),
                                     cmocka_unit_test(test_gmm),
                                     cmocka_unit_test(test_masks_divide_by_all),
                                     cmocka_unit_test(test_gmm_far_and_narrow),
                                     cmocka_unit_test(test_unknown_class),
                                     cmocka_unit_test(test_nan_shows),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
