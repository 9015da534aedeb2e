/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy flow: solvers, files, noise, prefixes; misfits are refused. */
#include "support/policy_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SMALL                                                                                                       \
  "width", "16", "hidden", "24", "blocks", "2", "image.width", "12", "image.height", "12", "cnn.filters", "4,4",    \
      "cnn.kernels", "3,3", "cnn.strides", "2,1", "chunk", "8", "execute.steps", "4"

static void every_solver_survives_a_file(void **state) {
  (void)state;
  static const char *const solvers[] = {"euler", "heun"};
  float actions[2][12];
  for (int k = 0; k < 2; k++) {
    const char *settings[] = {SMALL, "n_obs", "2", "flow.solver", solvers[k], "flow.steps", "5"};
    mynah_policy *p;
    assert_int_equal(policy_case_make("flow", settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
    mynah_weights *w = policy_case_weights(p);
    assert_int_equal(mynah_policy_save(p, w, policy_case_path), MYNAH_OK);
    mynah_clone *a, *b;
    assert_int_equal(mynah_clone_create(p, w, &a), MYNAH_OK);
    assert_int_equal(mynah_clone_load(policy_case_path, &b), MYNAH_OK);
    float again[12];
    assert_int_equal(policy_case_drive(a, actions[k], 12), 3);
    assert_int_equal(policy_case_drive(b, again, 12), 3);
    assert_memory_equal(actions[k], again, sizeof again);
    for (int t = 0; t < 12; t++) assert_true(isfinite(again[t]));
    mynah_clone_destroy(a);
    mynah_clone_destroy(b);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
  assert_true(memcmp(actions[0], actions[1], sizeof actions[0]) != 0);
}

/* A chunk begins with the actions it is told, and they change what follows. */
static void prefixes_are_kept(void **state) {
  (void)state;
  const char *settings[] = {SMALL, "inputs", "observation.state"};
  mynah_policy *p;
  assert_int_equal(policy_case_make("flow", settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
  mynah_weights *w = policy_case_weights(p);
  mynah_clone *c;
  mynah_state *states[2];
  assert_int_equal(mynah_clone_create(p, w, &c), MYNAH_OK);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(mynah_state_create(mynah_clone_binding(c, i), &states[i]), MYNAH_OK);
    assert_true(mynah_program_is_rt(mynah_clone_program(c, i)));
  }
  float low = p->action_norm.min[0], high = p->action_norm.max[0], chunks[3][8];
  float prefix[2][3] = {{low, low, low}, {high, high, high}};
  memset(mynah_state_input(states[0], "observation.state"), 0, 2 * sizeof(float));
  for (int k = 0; k < 3; k++) {
    mynah_rng rng = mynah_rng_make(4, 4);
    mynah_prediction r = {.states = states, .rng = &rng, .chunk = chunks[k]};
    if (k < 2) r.prefix = prefix[k], r.n_prefix = 3;
    p->type->predict(p, &r);
    for (int i = 0; k < 2 && i < 3; i++) assert_true(chunks[k][i] == prefix[k][i]);
    for (int i = 0; i < 8; i++) assert_true(chunks[k][i] >= low - 1e-4f && chunks[k][i] <= high + 1e-4f);
  }
  assert_true(memcmp(chunks[0] + 3, chunks[1] + 3, 5 * sizeof(float)) != 0);
  for (int i = 0; i < 2; i++) mynah_state_destroy(states[i]);
  mynah_clone_destroy(c);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
}

static void misfits_are_refused(void **state) {
  (void)state;
  mynah_policy *p;
  const char *layers[] = {"cnn.filters", "8,8", "cnn.kernels", "3", "cnn.strides", "1,1"};
  assert_int_equal(policy_case_make("flow", layers, 6, &p), MYNAH_INVALID);
  const char *steps[] = {"flow.steps", "0"};
  assert_int_equal(policy_case_make("flow", steps, 2, &p), MYNAH_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(every_solver_survives_a_file, policy_case_set_up, policy_case_tear_down),
      cmocka_unit_test_setup_teardown(prefixes_are_kept, policy_case_set_up, policy_case_tear_down),
      cmocka_unit_test_setup_teardown(misfits_are_refused, policy_case_set_up, policy_case_tear_down)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
