/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Closed-loop evaluation: results depend on seeds, not on threads; metrics of every kind; comparison. */
#include "support/fake_device.h"

#include <mynah/run.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static mynah_eval_result run(int n_threads, uint64_t seed, int64_t n) {
  mynah_eval_config c = {.device = &fake_device, .n_episodes = n, .seed = seed, .n_threads = n_threads, .n_traces = 2};
  mynah_eval_result r;
  assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_OK);
  return r;
}

static void threads_do_not_matter(void **state) {
  (void)state;
  mynah_eval_result a = run(1, 7, 20), b = run(4, 7, 20);
  assert_int_equal(a.n_metrics, 4);
  assert_memory_equal(a.values, b.values, 20 * 4 * sizeof(double));
  assert_int_equal(a.n_spread[2], 20 * 51);
  assert_memory_equal(a.spread, b.spread, 20 * 51 * sizeof(double));
  assert_int_equal(a.n_steps, 20 * 50);
  assert_int_equal(a.n_traces, 2);
  assert_int_equal(a.traces[0].n_rows, 51);
  assert_memory_equal(a.traces[1].rows, b.traces[1].rows, 51 * 2 * sizeof(double));
  mynah_eval_result_deinit(&a);
  mynah_eval_result_deinit(&b);
}

static void json_of_every_kind(void **state) {
  (void)state;
  mynah_eval_result r = run(2, 7, 20);
  mynah_json *j = mynah_json_object();
  assert_int_equal(mynah_eval_to_json(&r, j), MYNAH_OK);
  const mynah_json *home = mynah_json_get(j, "home"), *close = mynah_json_get(j, "closeness");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(home, "n"), 0), 20);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(home, "k"), 0), 20); /* the expert is always home after 50 steps */
  assert_int_equal(mynah_json_size(mynah_json_get(close, "ci")), 2);
  double mean = mynah_json_to_number(mynah_json_get(close, "mean"), NAN);
  assert_true(mean > 0.98 && mean <= 1);
  assert_true(mynah_json_to_number(mynah_json_get(mynah_json_get(j, "x"), "p95"), NAN) > 0);
  assert_true(mynah_json_to_number(mynah_json_get(j, "pushes_per_step"), NAN) > 0);
  mynah_json_destroy(j);
  mynah_eval_result_deinit(&r);
}

static void comparison_is_paired(void **state) {
  (void)state;
  mynah_eval_result a = run(2, 7, 10), b = run(1, 7, 10), other = run(1, 8, 10);
  mynah_json *j = mynah_json_object();
  assert_int_equal(mynah_eval_compare(&a, &b, j), MYNAH_OK);
  const mynah_json *d = mynah_json_get(j, "closeness");
  assert_true(mynah_json_to_number(mynah_json_get(d, "difference"), NAN) == 0);
  assert_int_equal(mynah_eval_compare(&a, &other, j), MYNAH_MISMATCH);
  mynah_json_destroy(j);
  mynah_eval_result_deinit(&a);
  mynah_eval_result_deinit(&b);
  mynah_eval_result_deinit(&other);
}

static void wrong_counts(void **state) {
  (void)state;
  mynah_eval_config c = {.device = &fake_device, .n_episodes = 0};
  mynah_eval_result r;
  assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_INVALID);
  mynah_device_type no_expert = fake_device;
  no_expert.expert = NULL;
  c = (mynah_eval_config){.device = &no_expert, .n_episodes = 1};
  assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_UNSUPPORTED);
}

/* Every allocation fails in turn: an error, no leak, no crash. */
static void torture(void **state) {
  (void)state;
  for (int64_t n = 1; n < 2000; n++) {
    int64_t live = mynah_alloc_count().live_blocks;
    mynah_eval_config c = {.device = &fake_device, .n_episodes = 3, .seed = 1, .n_threads = 1, .n_traces = 1};
    mynah_eval_result r;
    mynah_alloc_fail_at(n);
    mynah_status status = mynah_evaluate(&c, NULL, &r);
    mynah_alloc_fail_at(0);
    if (status == MYNAH_OK) mynah_eval_result_deinit(&r);
    assert_int_equal(mynah_alloc_count().live_blocks, live);
    if (status == MYNAH_OK) return;
    assert_int_equal(status, MYNAH_NO_MEMORY);
  }
  fail_msg("%s", "the evaluation never succeeded");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(threads_do_not_matter), cmocka_unit_test(json_of_every_kind),
                                     cmocka_unit_test(comparison_is_paired), cmocka_unit_test(wrong_counts),
                                     cmocka_unit_test(torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
