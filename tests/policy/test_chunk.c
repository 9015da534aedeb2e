/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Executing chunks: every mode against what is computed by hand, delays, stale chunks, seams; LeRobot's sequences. */
#include "src/policy/policy_internal.h"
#include "support/close.h"
#include "support/shared.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static float lows[2] = {0, 0}, highs[2] = {10, 10};
static mynah_policy_type type = {.name = "test"};

/* A policy as far as a plan looks at it. */
static mynah_policy policy_of(int64_t chunk, int64_t size) {
  mynah_policy p = {.type = &type, .action = mynah_feature_vector("action", size, "", ""),
                    .action_norm = {size, lows, highs, NULL, NULL}};
  p.common.chunk = chunk;
  return p;
}

static mynah_execute_config config_of(int64_t mode, int64_t steps, int64_t delay) {
  mynah_execute_config c;
  mynah_config_default(&mynah_execute_table, &c);
  c.mode = mode;
  c.steps = steps;
  c.delay_steps = delay;
  return c;
}

static mynah_plan *plan_of(int64_t chunk, mynah_execute_config c) {
  mynah_policy p = policy_of(chunk, 1);
  mynah_plan *plan;
  assert_int_equal(mynah_plan_create(&p, &c, &plan), MYNAH_OK);
  return plan;
}

/* Element i of the chunk predicted at step s. */
static float element(int64_t s, int64_t i) { return (float)(100 * s + i); }

typedef struct course {
  float actions[40];
  mynah_actor_source sources[40];
  int64_t origins[40], n_origins; /* steps at which predictions began */
} course;

/* n steps of a plan whose chunks are element(s, i). */
static void follow(mynah_plan *plan, int64_t chunk, int64_t n, course *c) {
  *c = (course){0};
  for (int64_t s = 0; s < n; s++) {
    float values[64];
    if (mynah_plan_begin(plan)) {
      c->origins[c->n_origins++] = s;
      for (int64_t i = 0; i < chunk; i++) values[i] = element(s, i);
      mynah_plan_predicted(plan, values);
    }
    mynah_plan_next(plan, &c->actions[s], &c->sources[s]);
  }
  mynah_plan_destroy(plan);
}

static void receding(void **state) {
  (void)state;
  course c;
  follow(plan_of(4, config_of(MYNAH_EXECUTE_RECEDING, 0, 0)), 4, 12, &c);
  assert_int_equal(c.n_origins, 3);
  for (int64_t s = 0; s < 12; s++) {
    assert_true(c.actions[s] == element(s / 4 * 4, s % 4));
    assert_int_equal(c.sources[s].age_steps, s % 4);
    assert_int_equal(c.sources[s].is_seam, s > 0 && s % 4 == 0);
    assert_false(c.sources[s].is_stale);
  }
  follow(plan_of(4, config_of(MYNAH_EXECUTE_RECEDING, 3, 0)), 4, 12, &c);
  for (int64_t s = 0; s < 12; s++) assert_true(c.actions[s] == element(s / 3 * 3, s % 3));
}

/* A prediction that takes d steps: the first chunk is waited for; each later one comes n steps after the one before and
 * begins with its element d. */
static void delayed(void **state) {
  (void)state;
  course c;
  follow(plan_of(8, config_of(MYNAH_EXECUTE_RECEDING, 4, 2)), 8, 20, &c);
  const int64_t origins[] = {0, 2, 6, 10, 14, 18};
  assert_int_equal(c.n_origins, 6);
  assert_memory_equal(c.origins, origins, sizeof origins);
  for (int64_t s = 0; s < 20; s++) {
    int64_t origin = s < 4 ? 0 : s / 4 * 4 - 2;
    assert_true(c.actions[s] == element(origin, s - origin));
    assert_int_equal(c.sources[s].age_steps, s - origin);
    assert_int_equal(c.sources[s].is_stale, s - origin >= 4);
    assert_int_equal(c.sources[s].is_seam, s > 0 && s % 4 == 0);
  }
  /* Steps below the delay: one prediction at a time, so a chunk every d steps. */
  follow(plan_of(8, config_of(MYNAH_EXECUTE_RECEDING, 1, 3)), 8, 12, &c);
  const int64_t busy[] = {0, 1, 4, 7, 10};
  assert_int_equal(c.n_origins, 5);
  assert_memory_equal(c.origins, busy, sizeof busy);
  for (int64_t s = 4; s < 12; s++) assert_true(c.actions[s] == element((s - 4) / 3 * 3 + 1, (s - 4) % 3 + 3));
}

/* Weighted means written out; zeros are actions like any other. */
static void ensemble(void **state) {
  (void)state;
  mynah_execute_config config = config_of(MYNAH_EXECUTE_ENSEMBLE, 0, 0);
  config.ensemble_k = 0.3;
  course c;
  follow(plan_of(4, config), 4, 12, &c);
  assert_int_equal(c.n_origins, 12);
  for (int64_t s = 0; s < 12; s++) {
    double sum = 0, total = 0;
    int64_t first = s > 3 ? s - 3 : 0;
    for (int64_t o = first; o <= s; o++) {
      double w = exp(-0.3 * (double)(o - first));
      sum += w * (double)element(o, s - o);
      total += w;
    }
    assert_true(mynah_test_is_close((double)c.actions[s], sum / total, 1e-6, 1e-6));
  }
  config.ensemble_k = 0;
  mynah_plan *plan = plan_of(2, config);
  const float chunks[2][2] = {{0, 0}, {6, 0}};
  float action;
  mynah_actor_source source;
  for (int k = 0; k < 2; k++) {
    assert_true(mynah_plan_begin(plan));
    mynah_plan_predicted(plan, chunks[k]);
    mynah_plan_next(plan, &action, &source);
  }
  assert_true(action == 3); /* the mean of a predicted 0 and 6, not 6 */
  mynah_plan_destroy(plan);
}

static void blend(void **state) {
  (void)state;
  course c;
  follow(plan_of(6, config_of(MYNAH_EXECUTE_BLEND, 3, 0)), 6, 6, &c);
  for (int64_t i = 0; i < 3; i++) {
    float share = (float)(i + 1) / 4, old = element(0, 3 + i), new = element(3, i);
    assert_true(mynah_test_is_close((double)c.actions[3 + i], (double)(old + share * (new - old)), 1e-6, 0));
  }
}

/* The frozen prefix is what will be executed while the prediction runs. */
static void prefix_is_what_happens(void **state) {
  (void)state;
  mynah_execute_config config = config_of(MYNAH_EXECUTE_RTC, 4, 3);
  for (int takes = 0; takes < 2; takes++) {
    type.takes_prefix = takes;
    mynah_plan *plan = plan_of(10, config);
    float promised[3] = {0}, before = 0;
    int64_t origin = -1;
    for (int64_t s = 0; s < 30; s++) {
      float values[10], action;
      const float *rows;
      mynah_actor_source source;
      if (mynah_plan_begin(plan)) {
        int64_t n = mynah_plan_prefix(plan, &rows);
        assert_int_equal(n, s == 0 ? 0 : 3);
        memcpy(promised, rows, (size_t)n * sizeof *rows);
        if (n > 0) origin = s;
        for (int64_t i = 0; i < 10; i++) values[i] = element(s, i);
        memcpy(values, promised, (size_t)n * sizeof *rows);
        mynah_plan_predicted(plan, values);
      }
      mynah_plan_next(plan, &action, &source);
      if (origin >= 0 && s - origin < 3) assert_true(action == promised[s - origin]);
      if (origin >= 0 && s == origin + 3) {
        if (takes) assert_true(action == element(origin, 3));
        else assert_true(action > before && action < element(origin, 3)); /* faded in */
      }
      before = action;
    }
    mynah_plan_destroy(plan);
  }
  type.takes_prefix = false;
}

static void late_and_broken_chunks(void **state) {
  (void)state;
  mynah_plan *plan = plan_of(4, config_of(MYNAH_EXECUTE_RECEDING, 4, 0));
  const float a[4] = {1, 2, 3, 4}, b[4] = {5, 6, 7, 8}, broken[4] = {NAN, 9, INFINITY, 10};
  float action;
  mynah_actor_source source;
  assert_true(mynah_plan_arrive(plan, a, 0));
  assert_false(mynah_plan_arrive(plan, b, 0)); /* no newer than what acts */
  assert_false(mynah_plan_arrive(plan, b, 1)); /* from the future */
  mynah_plan_next(plan, &action, &source);
  mynah_plan_next(plan, &action, &source);
  assert_true(action == 2);
  assert_true(mynah_plan_arrive(plan, b, 1)); /* late by one step: 5 is lost */
  mynah_plan_next(plan, &action, &source);
  assert_true(action == 6 && source.age_steps == 1 && source.is_seam);
  assert_true(mynah_plan_arrive(plan, broken, 3)); /* 7 stays, then 9, then 9 again, then 10 */
  const float due[4] = {7, 9, 9, 10};
  for (int i = 0; i < 4; i++) {
    mynah_plan_next(plan, &action, &source);
    assert_true(action == due[i]);
  }
  mynah_plan_next(plan, &action, &source);
  assert_true(action == 10 && source.is_stale); /* nothing left: the last action again */
  assert_false(mynah_plan_arrive(plan, b, 4)); /* all of it has passed */
  mynah_plan_destroy(plan);
}

/* A jump of 6 is cut to a tenth of the range, 1, and given back over the 4 steps to come. */
static void limited_seam(void **state) {
  (void)state;
  mynah_execute_config config = config_of(MYNAH_EXECUTE_RECEDING, 4, 0);
  config.seam = 0.1;
  mynah_plan *plan = plan_of(4, config);
  const float a[4] = {1, 1, 1, 1}, b[4] = {7, 7, 7, 7}, due[8] = {1, 1, 1, 1, 2, 3.25f, 4.5f, 5.75f};
  float actions[8];
  mynah_actor_source source;
  for (int s = 0; s < 8; s++) {
    if (mynah_plan_begin(plan)) mynah_plan_predicted(plan, s == 0 ? a : b);
    mynah_plan_next(plan, &actions[s], &source);
  }
  mynah_test_close("actions", actions, due, 8, 0, 1e-6);
  mynah_plan_destroy(plan);
}

static void misfits_are_refused(void **state) {
  (void)state;
  mynah_policy p = policy_of(8, 1);
  mynah_execute_config out, c = config_of(MYNAH_EXECUTE_RECEDING, 9, 0);
  assert_int_equal(mynah__execute_resolve(&p, &c, &out), MYNAH_INVALID);
  c = config_of(MYNAH_EXECUTE_RECEDING, 0, 5);
  assert_int_equal(mynah__execute_resolve(&p, &c, &out), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "at least 10"));
  c = config_of(MYNAH_EXECUTE_RECEDING, 7, 2);
  assert_int_equal(mynah__execute_resolve(&p, &c, &out), MYNAH_INVALID);
  c = config_of(MYNAH_EXECUTE_RTC, 0, 2);
  assert_int_equal(mynah__execute_resolve(&p, &c, &out), MYNAH_OK);
  assert_int_equal(out.steps, 3);
  p.action.dtype = MYNAH_I64;
  assert_int_equal(mynah__execute_resolve(&p, &c, &out), MYNAH_UNSUPPORTED);
}

/* LeRobot 0.4.4's select_action over 30 steps: a queue of 10, and temporal ensembling. */
static void lerobot_sequences(void **state) {
  (void)state;
  char path[1024], stats[1024];
  snprintf(path, sizeof path, "%s", mynah_test_shared("goldens/lerobot_act/state/goldens.safetensors"));
  snprintf(stats, sizeof stats, "%s", mynah_test_shared("goldens/lerobot_act/state/pretrained_model/"
                                                        "policy_postprocessor_step_0_unnormalizer_processor.safetensors"));
  mynah_safetensors *f, *s;
  assert_int_equal(mynah_safetensors_open(path, &f), MYNAH_OK);
  assert_int_equal(mynah_safetensors_open(stats, &s), MYNAH_OK);
  const float *chunks = mynah_safetensors_find(f, "select.chunk_norm")->data;
  const float *mean = mynah_safetensors_find(s, "action.mean")->data, *std = mynah_safetensors_find(s, "action.std")->data;
  static const char *const names[2] = {"select.action_queue10", "select.action_ensemble_0.01"};
  const mynah_execute_config configs[2] = {config_of(MYNAH_EXECUTE_RECEDING, 10, 0),
                                           config_of(MYNAH_EXECUTE_ENSEMBLE, 1, 0)};
  mynah_policy p = policy_of(20, 2);
  for (int k = 0; k < 2; k++) {
    mynah_plan *plan;
    float actions[60], chunk[40];
    mynah_actor_source source;
    assert_int_equal(mynah_plan_create(&p, &configs[k], &plan), MYNAH_OK);
    for (int t = 0; t < 30; t++) {
      for (int i = 0; i < 40; i++) chunk[i] = chunks[t * 40 + i] * std[i % 2] + mean[i % 2];
      if (mynah_plan_begin(plan)) mynah_plan_predicted(plan, chunk);
      mynah_plan_next(plan, &actions[2 * t], &source);
    }
    mynah_test_close(names[k], actions, mynah_safetensors_find(f, names[k])->data, 60, 0, 1e-4); /* px */
    mynah_plan_destroy(plan);
  }
  mynah_safetensors_close(f);
  mynah_safetensors_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(receding),      cmocka_unit_test(delayed),
                                     cmocka_unit_test(ensemble),      cmocka_unit_test(blend),
                                     cmocka_unit_test(prefix_is_what_happens), cmocka_unit_test(late_and_broken_chunks),
                                     cmocka_unit_test(limited_seam),  cmocka_unit_test(misfits_are_refused),
                                     cmocka_unit_test(lerobot_sequences)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
