/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy rnn: acting step by step is what was trained as a sequence; its state is carried, forgotten, reset. */
#include "support/policy_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static mynah_status make(const char *const *settings, int n, mynah_policy **out) { return policy_case_make("rnn", settings, n, out); }

#define SMALL "inputs", "observation.state", "hidden", "12", "layers", "2", "sequence", "5"

/* Actions of n steps for the given states. Shape: states (n,2); actions (n) */
static void act(const mynah_clone *c, const float *states, int n, float *actions) {
  mynah_actor *a;
  assert_int_equal(mynah_actor_create(c, &a), MYNAH_OK);
  for (int repeat = 0; repeat < 2; repeat++) { /* a reset forgets the episode before */
    mynah_actor_reset(a, 4);
    for (int t = 0; t < n; t++) {
      mynah_value v = {&states[2 * t], 2 * sizeof(float), 0};
      float action;
      mynah_actor_act(a, &v, &action);
      assert_true(mynah_actor_infer_ns(a) > 0);
      if (repeat == 1) assert_true(action == actions[t]);
      actions[t] = action;
    }
  }
  mynah_actor_destroy(a);
}

static void acting_is_what_was_trained(void **state) {
  (void)state;
  const char *settings[] = {SMALL, "head", "mse"};
  mynah_policy *p;
  mynah_clone *c;
  assert_int_equal(make(settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
  mynah_window windows[4];
  assert_int_equal(mynah_policy_windows(p, windows, 4), 2);
  assert_int_equal(windows[0].first, 0);
  assert_int_equal(windows[0].count, 5);
  assert_int_equal(windows[1].count, 5);
  mynah_weights *w = policy_case_weights(p);
  assert_int_equal(mynah_clone_create(p, w, &c), MYNAH_OK);
  float states[10], actions[5];
  for (int i = 0; i < 10; i++) states[i] = i % 2 ? 3 : 0.3f * (float)(i - 5);
  act(c, states, 5, actions);
  /* The training graph's loss with these very actions as targets is 0. */
  mynah_graph *g;
  mynah_node loss;
  mynah_program *program;
  mynah_binding *binding;
  mynah_state *s;
  mynah_compile_config config = mynah_compile_default();
  assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
  assert_int_equal(p->type->build_train(p, g, 1, &loss), MYNAH_OK);
  mynah_output(g, "loss", loss);
  assert_int_equal(mynah_compile(g, &config, &program), MYNAH_OK);
  assert_int_equal(mynah_binding_create(program, w, &binding), MYNAH_OK);
  assert_int_equal(mynah_state_create(binding, &s), MYNAH_OK);
  memcpy(mynah_state_input(s, "observation.state"), states, sizeof states);
  memcpy(mynah_state_input(s, "action"), actions, sizeof actions);
  mynah_state_run(s);
  assert_true(*(const float *)mynah_state_output(s, "loss") < 1e-10f);
  actions[3] += 0.1f;
  memcpy(mynah_state_input(s, "action"), actions, sizeof actions);
  mynah_state_run(s);
  assert_true(*(const float *)mynah_state_output(s, "loss") > 1e-5f);
  mynah_state_destroy(s);
  mynah_binding_destroy(binding);
  mynah_program_destroy(program);
  mynah_graph_destroy(g);
  mynah_clone_destroy(c);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
}

static void state_is_carried_and_forgotten(void **state) {
  (void)state;
  static const char *const carries[] = {"0", "7"};
  for (int k = 0; k < 2; k++) {
    const char *settings[] = {SMALL, "carry", carries[k]};
    int period = k == 0 ? 5 : 7;
    mynah_policy *p;
    mynah_clone *c;
    assert_int_equal(make(settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
    mynah_weights *w = policy_case_weights(p);
    assert_int_equal(mynah_clone_create(p, w, &c), MYNAH_OK);
    float states[24], actions[12];
    for (int i = 0; i < 24; i++) states[i] = i % 2 ? 3 : 0.5f; /* always the same */
    act(c, states, 12, actions);
    for (int t = 1; t < period; t++) assert_true(actions[t] != actions[t - 1]);
    for (int t = period; t < 12; t++) assert_true(actions[t] == actions[t - period]);
    mynah_clone_destroy(c);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
}

/* No step of acting or training falls back on a reference kernel. */
static void kernels_are_fast(const mynah_policy *p, const mynah_clone *c) {
  mynah_graph *g;
  mynah_node loss;
  mynah_program *training;
  mynah_compile_config config = mynah_compile_default();
  assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
  assert_int_equal(p->type->build_train(p, g, 16, &loss), MYNAH_OK);
  assert_int_equal(mynah_differentiate(g, loss), MYNAH_OK);
  assert_int_equal(mynah_compile(g, &config, &training), MYNAH_OK);
  const mynah_program *const programs[2] = {training, mynah_clone_program(c, 0)};
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < mynah_program_n_steps(programs[k]); i++) {
      const char *op, *kernel;
      mynah_program_step(programs[k], i, &op, &kernel, NULL, NULL);
      if (strncmp(kernel, "ref:", 4) == 0) fail_msg("%s runs as %s", op, kernel);
    }
  mynah_program_destroy(training);
  mynah_graph_destroy(g);
}

static void every_head_survives_a_file(void **state) {
  (void)state;
  static const char *const heads[] = {"mse", "l1", "huber", "gaussian", "gmm", "tanh_gaussian"};
  for (size_t h = 0; h < 6; h++) {
    const char *settings[] = {"hidden", "8", "head", heads[h], "chunk", "3", "sequence", "4", "mask", h % 2 ? "true" : "false",
                              "image.width", "12", "image.height", "12", "cnn.filters", "4,4", "cnn.kernels", "3,3",
                              "cnn.strides", "2,1"};
    mynah_policy *p;
    mynah_clone *a, *b;
    assert_int_equal(make(settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
    mynah_window windows[4];
    int n = mynah_policy_windows(p, windows, 4);
    for (int i = 2; i < n; i++) assert_int_equal(windows[i].count, 6);
    mynah_weights *w = policy_case_weights(p);
    assert_int_equal(mynah_policy_save(p, w, policy_case_path), MYNAH_OK);
    assert_int_equal(mynah_clone_create(p, w, &a), MYNAH_OK);
    assert_int_equal(mynah_clone_load(policy_case_path, &b), MYNAH_OK);
    kernels_are_fast(p, a);
    float first[12], second[12];
    assert_int_equal(policy_case_drive(a, first, 12), 12); /* the state moves on at every step */
    assert_int_equal(policy_case_drive(b, second, 12), 12);
    assert_memory_equal(first, second, sizeof first);
    for (int t = 0; t < 12; t++) assert_true(isfinite(first[t]));
    mynah_clone_destroy(a);
    mynah_clone_destroy(b);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
}

static void misfits_are_refused(void **state) {
  (void)state;
  mynah_policy *p;
  const char *history[] = {"n_obs", "2"};
  assert_int_equal(make(history, 2, &p), MYNAH_INVALID);
  const char *classes[] = {"head", "categorical"};
  assert_int_equal(make(classes, 2, &p), MYNAH_UNSUPPORTED);
  const char *free_actions[] = {"head", "tanh_gaussian", "normalize.action", "meanstd"};
  assert_int_equal(make(free_actions, 4, &p), MYNAH_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(acting_is_what_was_trained, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(state_is_carried_and_forgotten, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(every_head_survives_a_file, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(misfits_are_refused, policy_case_set_up, policy_case_tear_down)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
