/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Recording: labels are the expert's clean commands, also under noise; episodes are added to an existing file; gates
 * decide who drives and what is kept when a clone is at the wheel. */
#include "support/fake_device.h"
#include "support/policy_case.h"

#include <mynah/run.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64];

static int set_up(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/mynah-test-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  return mynah_remove_tree(folder) == MYNAH_OK ? 0 : -1;
}

static mynah_status record(const char *path, int64_t episodes, int64_t seed, double noise, mynah_record_report *report) {
  mynah_record_config c;
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = episodes;
  c.seed = seed;
  c.noise = noise;
  mynah_device *d;
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  mynah_status status = mynah_record_expert(d, &c, path, &(mynah_record_options){0}, report);
  fake_device.close(d);
  return status;
}

static void labels_are_clean(void **state) {
  (void)state;
  char path[128];
  snprintf(path, sizeof path, "%s/noisy.demos", folder);
  mynah_record_report report;
  assert_int_equal(record(path, 3, 1, 0.5, &report), MYNAH_OK);
  assert_int_equal(report.n_episodes, 3);
  assert_int_equal(report.n_frames, 150);
  mynah_dataset *d;
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  float x[50 * 2], u[50];
  double disturbance = 0;
  assert_int_equal(mynah_dataset_read(d, 1, "observation.state", 0, 50, x), MYNAH_OK);
  assert_int_equal(mynah_dataset_read(d, 1, "action", 0, 50, u), MYNAH_OK);
  for (int t = 0; t < 50; t++) assert_true(u[t] == -x[2 * t]); /* the clean command */
  for (int t = 0; t < 49; t++) disturbance += fabs((double)(x[2 * t + 2] - x[2 * t]) / 0.1 - (double)u[t]);
  assert_true(disturbance / 49 > 0.1); /* what was executed is not the label */
  mynah_dataset_close(d);
}

/* Of an episode without noise every seventh frame is kept as it was, at a seventh of the rate. */
static void every_seventh_frame(void **state) {
  (void)state;
  char path[128], thin[128];
  float all[50 * 2], some[8 * 2];
  mynah_record_report report;
  mynah_record_config c;
  mynah_dataset *d;
  mynah_device *device;
  snprintf(path, sizeof path, "%s/all.demos", folder);
  snprintf(thin, sizeof thin, "%s/thin.demos", folder);
  assert_int_equal(record(path, 1, 1, 0, &report), MYNAH_OK);
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = 1, c.every = 7;
  assert_int_equal(fake_device.open(NULL, &device), MYNAH_OK);
  assert_int_equal(mynah_record_expert(device, &c, thin, &(mynah_record_options){0}, &report), MYNAH_OK);
  double rate_hz = device->rate_hz;
  fake_device.close(device);
  assert_int_equal(report.n_frames, 8);
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  assert_int_equal(mynah_dataset_read(d, 0, "observation.state", 0, 50, all), MYNAH_OK);
  mynah_dataset_close(d);
  assert_int_equal(mynah_dataset_open(thin, MYNAH_OPEN_READ, &d), MYNAH_OK);
  assert_int_equal(mynah_dataset_read(d, 0, "observation.state", 0, 8, some), MYNAH_OK);
  assert_true(fabs(mynah_dataset_rate_hz(d) - rate_hz / 7) < 1e-9);
  mynah_dataset_close(d);
  for (int t = 0; t < 8; t++) assert_true(some[2 * t] == all[14 * t] && some[2 * t + 1] == all[14 * t + 1]);
}

static void episodes_are_added(void **state) {
  (void)state;
  char path[128];
  snprintf(path, sizeof path, "%s/grown.demos", folder);
  mynah_record_report report;
  assert_int_equal(record(path, 2, 1, 0, &report), MYNAH_OK);
  assert_int_equal(record(path, 2, 10, 0, &report), MYNAH_OK);
  mynah_dataset *d;
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  assert_int_equal(mynah_dataset_n_episodes(d), 4);
  assert_int_equal(mynah_dataset_episode(d, 3)->seed, 11);
  mynah_verify_report verify;
  assert_int_equal(mynah_dataset_verify(d, NULL, &verify), MYNAH_OK);
  assert_int_equal(verify.n_damaged, 0);
  mynah_dataset_close(d);
}

/* ---- noise with a covariance ---- */

static float two_clean[2];
static double two_sums[3]; /* of noise squared, of both multiplied, squared */

static void expert_of_two(mynah_device *d, float *action) {
  fake_device.expert(d, action);
  action[1] = 1 - action[0];
  two_clean[0] = action[0];
  two_clean[1] = action[1];
}

static void act_of_two(mynah_device *d, const float *action) {
  double a = (double)(action[0] - two_clean[0]), b = (double)(action[1] - two_clean[1]);
  two_sums[0] += a * a;
  two_sums[1] += a * b;
  two_sums[2] += b * b;
  fake_device.act(d, action);
}

static void noise_has_the_covariance_told(void **state) {
  (void)state;
  static const double factor[4] = {0.3, 0, -0.2, 0.1};
  mynah_device_type two = fake_device;
  mynah_device *d;
  mynah_record_config c;
  mynah_record_report report;
  char path[128];
  two.expert = expert_of_two;
  two.act = act_of_two;
  snprintf(path, sizeof path, "%s/two.demos", folder);
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = 100;
  c.noise_tau_s = 0.01;
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  d->type = &two;
  d->features[2] = mynah_feature_vector("action", 2, "u,v", "m/s");
  assert_int_equal(mynah_record_expert(d, &c, path, &(mynah_record_options){.noise_factor = factor}, &report), MYNAH_OK);
  fake_device.close(d);
  static const double want[3] = {0.09, -0.06, 0.05}; /* L L' */
  assert_int_equal(report.n_frames, 5000);
  for (int k = 0; k < 3; k++) assert_true(fabs(two_sums[k] / 5000 - want[k]) < 0.1 * fabs(want[k]));
}

/* ---- gates ---------------------------------------------------------------------------------------------------------- */

/* An untrained clone that sees the state alone, and what came of letting it drive. */
typedef struct gated {
  mynah_policy *policy;
  mynah_weights *weights;
  mynah_clone *clone;
  char path[128];
  mynah_record_report report;
  mynah_dataset *dataset;
  int64_t hold_steps;
} gated;

static void gated_open(gated *g) {
  static const char *const settings[] = {"inputs", "observation.state", "widths", "8"};
  *g = (gated){0};
  assert_int_equal(policy_case_make("mlp", settings, 4, &g->policy), MYNAH_OK);
  g->weights = policy_case_weights(g->policy);
  assert_int_equal(mynah_clone_create(g->policy, g->weights, &g->clone), MYNAH_OK);
}

static void gated_drive(gated *g, mynah_gate gate, double share, double threshold, int64_t max_frames) {
  mynah_record_config c;
  mynah_device *d;
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = 4;
  c.max_frames = max_frames;
  snprintf(g->path, sizeof g->path, "%s/gated.demos", policy_case_folder);
  mynah_dataset_close(g->dataset);
  g->dataset = NULL;
  assert_int_equal(mynah_file_remove(g->path), MYNAH_OK);
  mynah_record_options o = {.driver = g->clone, .gate = gate, .expert_share = share, .threshold = threshold, .hold_steps = g->hold_steps};
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  assert_int_equal(mynah_record_expert(d, &c, g->path, &o, &g->report), MYNAH_OK);
  fake_device.close(d);
  assert_int_equal(mynah_dataset_open(g->path, MYNAH_OPEN_READ, &g->dataset), MYNAH_OK);
  assert_int_equal(mynah_dataset_n_frames(g->dataset), g->report.n_frames);
  assert_int_equal(mynah_dataset_n_episodes(g->dataset), g->report.n_episodes);
}

static void gated_close(gated *g) {
  mynah_dataset_close(g->dataset);
  mynah_clone_destroy(g->clone);
  mynah_weights_destroy(g->weights);
  mynah_policy_destroy(g->policy);
}

/* What the clone answers at x. */
static double answer(const gated *g, double x) {
  float state[2] = {(float)x, 3}, action = 0;
  mynah_value value = {state, sizeof state, 0};
  mynah_actor *a;
  assert_int_equal(mynah_actor_create(g->clone, &a), MYNAH_OK);
  mynah_actor_act(a, &value, &action);
  mynah_actor_destroy(a);
  return (double)action;
}

/* The expert's -x and the clone's answer, as the gates compare them. */
static double apart(const gated *g, double x) {
  double range = (double)g->policy->action_norm.max[0] - (double)g->policy->action_norm.min[0];
  return fabs(-x - answer(g, x)) / range;
}

typedef struct stretch {
  int64_t n;
  float x[64], u[64];
  bool is_cut; /* it lasted to the last of the device's 50 steps */
} stretch;

/* Positions and labels of an episode of the file; a label is always the expert's. */
static stretch read_stretch(const gated *g, int64_t i) {
  stretch s = {.n = mynah_dataset_episode(g->dataset, i)->n_frames};
  float state[64 * 2];
  int64_t last_ns;
  assert_in_range(s.n, 1, 50);
  assert_int_equal(mynah_dataset_read_times(g->dataset, i, s.n - 1, 1, &last_ns), MYNAH_OK);
  s.is_cut = last_ns == 49 * INT64_C(100000000);
  assert_int_equal(mynah_dataset_read(g->dataset, i, "observation.state", 0, s.n, state), MYNAH_OK);
  assert_int_equal(mynah_dataset_read(g->dataset, i, "action", 0, s.n, s.u), MYNAH_OK);
  for (int64_t t = 0; t < s.n; t++) {
    s.x[t] = state[2 * t];
    assert_true(s.u[t] == -s.x[t]);
  }
  return s;
}

/* Frames of the file after which the expert's action was executed, and after which the clone's was. */
static void count_drivers(const gated *g, int *n_expert, int *n_clone) {
  *n_expert = *n_clone = 0;
  for (int64_t i = 0; i < g->report.n_episodes; i++) {
    stretch s = read_stretch(g, i);
    for (int64_t t = 0; t + 1 < s.n; t++) {
      double executed = (double)(s.x[t + 1] - s.x[t]) / 0.1, own = answer(g, (double)s.x[t]);
      assert_true(fabs(own - (double)s.u[t]) > 1e-4); /* they can be told apart */
      *n_expert += fabs(executed - (double)s.u[t]) < 1e-5;
      *n_clone += fabs(executed - own) < 1e-5;
    }
  }
}

static void mixture_keeps_all_and_shares_the_wheel(void **state) {
  (void)state;
  gated g;
  int n_expert, n_clone;
  gated_open(&g);
  for (int k = 0; k <= 4; k++) {
    double share = 0.25 * k;
    gated_drive(&g, MYNAH_GATE_MIX, share, 0, 0);
    assert_int_equal(g.report.n_frames, 200);
    assert_int_equal(g.report.n_driven, 200);
    assert_int_equal(g.report.n_episodes, 4);
    count_drivers(&g, &n_expert, &n_clone);
    assert_int_equal(n_expert + n_clone, 4 * 49); /* each frame is driven by one of the two */
    /* Binomial: within 4 standard deviations of the share, and exactly so at 0 and 1. */
    assert_true(fabs(n_expert - share * 196) <= 4 * sqrt(196 * share * (1 - share)));
  }
  gated_drive(&g, MYNAH_GATE_MIX, 0, 0, 60); /* the budget cuts the second episode */
  assert_int_equal(g.report.n_frames, 60);
  assert_int_equal(g.report.n_episodes, 2);
  gated_close(&g);
}

/* A gate of disagreement opens at `enters`, shuts at `leaves`; returns the frames at which it held on in between. */
static int check_gate(const gated *g, double enters, double leaves) {
  int n_between = 0;
  for (int64_t i = 0; i < g->report.n_episodes; i++) {
    stretch s = read_stretch(g, i);
    assert_true(apart(g, (double)s.x[0]) > enters);
    for (int64_t t = 0; t < s.n; t++) {
      double d = apart(g, (double)s.x[t]);
      assert_true(d > leaves);
      n_between += d <= enters;
      if (t + 1 < s.n) assert_true(fabs((double)(s.x[t + 1] - s.x[t]) / 0.1 - (double)s.u[t]) < 1e-5);
    }
    /* It shut because they agreed again. */
    double next = (double)s.x[s.n - 1] + 0.1 * (double)s.u[s.n - 1];
    if (!s.is_cut) assert_true(apart(g, next) <= leaves);
  }
  return n_between;
}

static void gates_of_disagreement_keep_what_the_expert_drives(void **state) {
  (void)state;
  static const mynah_gate gates[2] = {MYNAH_GATE_HANDOVER, MYNAH_GATE_SAFE};
  gated g;
  gated_open(&g);
  for (int k = 0; k < 2; k++) {
    gated_drive(&g, gates[k], 0, 100, 0); /* nothing is that far apart: the clone drives alone, nothing is kept */
    assert_int_equal(g.report.n_driven, 200);
    assert_int_equal(g.report.n_frames, 0);
    assert_int_equal(g.report.n_episodes, 0);
    gated_drive(&g, gates[k], 0, 0, 0); /* always apart: as recording the expert */
    assert_int_equal(g.report.n_frames, 200);
    assert_int_equal(g.report.n_episodes, 4);
  }
  gated_drive(&g, MYNAH_GATE_HANDOVER, 0, 0.2, 0);
  int64_t n_handed = g.report.n_frames;
  assert_in_range(n_handed, 1, 199);
  assert_true(check_gate(&g, 0.2, 0.1) > 0); /* it holds on below the threshold, down to half of it */
  gated_drive(&g, MYNAH_GATE_SAFE, 0, 0.2, 0);
  assert_in_range(g.report.n_frames, 1, 199);
  assert_int_equal(check_gate(&g, 0.2, 0.2), 0); /* it does not */
  gated_close(&g);
}

/* Stretches shorter than n that the episode's end did not cut. */
static int count_shorter(const gated *g, int64_t n) {
  int n_shorter = 0;
  for (int64_t i = 0; i < g->report.n_episodes; i++) {
    stretch s = read_stretch(g, i);
    n_shorter += s.n < n && !s.is_cut;
  }
  return n_shorter;
}

static void an_expert_that_took_over_stays_as_long_as_asked(void **state) {
  (void)state;
  gated g;
  gated_open(&g);
  gated_drive(&g, MYNAH_GATE_HANDOVER, 0, 0.2, 0);
  stretch first = read_stretch(&g, 0);
  assert_false(first.is_cut);
  g.hold_steps = first.n + 3;
  assert_true(count_shorter(&g, g.hold_steps) > 0);
  gated_drive(&g, MYNAH_GATE_HANDOVER, 0, 0.2, 0);
  assert_int_equal(count_shorter(&g, g.hold_steps), 0);
  assert_int_equal(read_stretch(&g, 0).n, g.hold_steps); /* and no longer: they agreed before */
  gated_close(&g);
}

static void drivers_must_fit_the_device(void **state) {
  (void)state;
  gated g;
  mynah_device *d;
  mynah_record_config c;
  mynah_record_report report;
  mynah_config_default(&mynah_record_table, &c);
  gated_open(&g);
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  d->features[0] = mynah_feature_vector("observation.state", 3, "x,three,more", "m");
  snprintf(g.path, sizeof g.path, "%s/misfit.demos", policy_case_folder);
  mynah_status status = mynah_record_expert(d, &c, g.path, &(mynah_record_options){.driver = g.clone}, &report);
  assert_int_equal(status, MYNAH_MISMATCH);
  assert_false(mynah_file_exists(g.path));
  fake_device.close(d);
  gated_close(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(labels_are_clean, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(episodes_are_added, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(every_seventh_frame, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(noise_has_the_covariance_told, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(mixture_keeps_all_and_shares_the_wheel,
                                                                     policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(gates_of_disagreement_keep_what_the_expert_drives,
                                                                     policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(an_expert_that_took_over_stays_as_long_as_asked,
                                                                     policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(drivers_must_fit_the_device, policy_case_set_up,
                                                                     policy_case_tear_down)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
