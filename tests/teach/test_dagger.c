/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rounds of driving and learning: what is labelled, on which episodes, within which budget; DART's noise is the error. */
#include "support/close.h"
#include "support/fake_device.h"
#include "support/policy_case.h"

#include <mynah/teach.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static int n_trained, n_told;

/* A policy with its first weights: what is learned is the trainer's concern. */
static mynah_status train(void *context, const char *data, const char *out, mynah_clone **clone) {
  mynah_policy *p;
  char path[MYNAH_PATH_MAX];
  (void)context;
  static const char *const settings[] = {"inputs", "observation.state", "widths", "8"};
  assert_int_equal(mynah_copy_text(policy_case_data, sizeof policy_case_data, data), MYNAH_OK);
  assert_int_equal(policy_case_make("mlp", settings, 4, &p), MYNAH_OK);
  mynah_weights *w = policy_case_weights(p);
  assert_int_equal(mynah_make_dirs(out), MYNAH_OK);
  assert_int_equal(mynah_path_join(path, sizeof path, out, "policy.safetensors"), MYNAH_OK);
  assert_int_equal(mynah_policy_save(p, w, path), MYNAH_OK);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  n_trained++;
  return mynah_clone_load(path, clone);
}

static void told(void *context, const mynah_json *round) {
  (void)context;
  assert_non_null(mynah_json_get(round, "home")); /* it has been measured */
  n_told++;
}

static mynah_dagger_config make_config(int64_t method) {
  mynah_dagger_config c;
  mynah_config_default(&mynah_dagger_table, &c);
  c.method = method;
  c.rounds = 2;
  c.frames = 40;
  c.episodes = 4;
  c.eval_episodes = 5;
  return c;
}

static mynah_status teach(const mynah_dagger_config *c, const char *name, mynah_json *result, char folder[128]) {
  static mynah_feed_config feed;
  mynah_config_default(&mynah_feed_table, &feed);
  snprintf(folder, 128, "%s/%s", policy_case_folder, name);
  n_trained = n_told = 0;
  mynah_dagger_task task = {.device = &fake_device, .folder = folder, .train = train, .told = told, .feed = &feed, .seed = 3};
  return mynah_dagger(c, &task, result);
}

static mynah_dataset *open_data(const char *folder, const char *name) {
  char path[192];
  mynah_dataset *d;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  return d;
}

static int64_t integer_of(const mynah_json *j, const char *key) { return mynah_json_to_integer(mynah_json_get(j, key), -1); }

static void rounds_add_labelled_frames(void **state) {
  (void)state;
  char folder[128];
  mynah_dagger_config c = make_config(MYNAH_DAGGER_MIX);
  mynah_json *j = mynah_json_object();
  assert_int_equal(teach(&c, "mix", j, folder), MYNAH_OK);
  assert_int_equal(n_trained, 4); /* three rounds and the plain clone */
  assert_int_equal(n_told, 4);
  const mynah_json *rounds = mynah_json_get(j, "rounds");
  assert_int_equal(mynah_json_size(rounds), 3);
  double beta[3] = {NAN, 0.5, 0.25};
  for (size_t i = 0; i < 3; i++) {
    const mynah_json *r = mynah_json_at(rounds, i);
    assert_int_equal(integer_of(r, "frames"), 40 * (i + 1));
    assert_int_equal(integer_of(r, "driven"), 40);
    assert_int_equal(integer_of(r, "episodes"), 4);
    assert_true(mynah_test_is_close(mynah_json_to_number(mynah_json_get(r, "beta"), NAN), beta[i], 0, 0));
    assert_int_equal(integer_of(mynah_json_get(r, "home"), "n"), 5);
  }
  assert_int_equal(integer_of(mynah_json_get(j, "plain"), "frames"), 120);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "method"), ""), "dagger");
  mynah_dataset *mixed = open_data(folder, "labelled.demos"), *plain = open_data(folder, "plain.demos");
  float x[10 * 2], u[10];
  int n_differ = 0;
  assert_int_equal(mynah_dataset_n_episodes(mixed), 12);
  assert_int_equal(mynah_dataset_n_episodes(plain), 12);
  for (int64_t i = 0; i < 12; i++) { /* the same beginnings; the label is the expert's whoever drives */
    const mynah_episode *e = mynah_dataset_episode(mixed, i);
    assert_int_equal(e->n_frames, 10);
    assert_int_equal(e->seed, 3 * 1000003 + (i / 4) * 40 + i % 4);
    assert_int_equal(mynah_dataset_episode(plain, i)->seed, e->seed);
    n_differ += strcmp(mynah_dataset_episode(plain, i)->hash, e->hash) != 0;
    assert_int_equal(mynah_dataset_read(mixed, i, "observation.state", 0, 10, x), MYNAH_OK);
    assert_int_equal(mynah_dataset_read(mixed, i, "action", 0, 10, u), MYNAH_OK);
    for (int t = 0; t < 10; t++) assert_true(u[t] == -x[2 * t]);
  }
  assert_int_equal(n_differ, 8); /* the expert's own are the same, those with a clone at the wheel are not */
  mynah_dataset_close(mixed);
  mynah_dataset_close(plain);
  assert_int_equal(teach(&c, "mix", j, folder), MYNAH_BUSY);
  mynah_json_destroy(j);
}

/* What a gate does not keep is not labelled: the budget is not used up, a round ends nevertheless, plain gets no more. */
static void gates_leave_budget(void **state) {
  (void)state;
  char folder[128];
  mynah_dagger_config c = make_config(MYNAH_DAGGER_SAFE);
  c.threshold = 10;
  mynah_json *j = mynah_json_object();
  assert_int_equal(teach(&c, "safe", j, folder), MYNAH_OK);
  const mynah_json *last = mynah_json_at(mynah_json_get(j, "rounds"), 2);
  assert_int_equal(integer_of(last, "frames"), 40);
  assert_int_equal(integer_of(last, "driven"), 10 * 4 * 10);
  assert_int_equal(integer_of(mynah_json_get(j, "plain"), "frames"), 40);
  mynah_json_destroy(j);
  j = mynah_json_object();
  c.threshold = 0; /* always apart: each round is full */
  c.method = MYNAH_DAGGER_HANDOVER;
  c.has_plain = false;
  assert_int_equal(teach(&c, "handover", j, folder), MYNAH_OK);
  assert_int_equal(integer_of(mynah_json_at(mynah_json_get(j, "rounds"), 2), "frames"), 120);
  assert_null(mynah_json_get(j, "plain"));
  mynah_json_destroy(j);
}

static void needs_an_expert(void **state) {
  (void)state;
  mynah_device_type dumb = fake_device;
  dumb.expert = NULL;
  mynah_dagger_config c = make_config(MYNAH_DAGGER_MIX);
  mynah_json *j = mynah_json_object();
  mynah_dagger_task task = {.device = &dumb, .folder = "nowhere", .train = train};
  assert_int_equal(mynah_dagger(&c, &task, j), MYNAH_UNSUPPORTED);
  assert_non_null(strstr(mynah_error(), "expert"));
  assert_false(mynah_file_exists("nowhere"));
  mynah_json_destroy(j);
}

/* ---- DART ----------------------------------------------------------------------------------------------------------- */

/* The clone's errors on all recorded frames, in order. */
static int64_t errors_of(const mynah_clone *clone, mynah_dataset *d, double *out) {
  mynah_actor *a;
  int64_t n = 0;
  float x[50 * 2], u[50], predicted;
  assert_int_equal(mynah_actor_create(clone, &a), MYNAH_OK);
  for (int64_t i = 0; i < mynah_dataset_n_episodes(d); i++) {
    assert_int_equal(mynah_dataset_read(d, i, "observation.state", 0, 50, x), MYNAH_OK);
    assert_int_equal(mynah_dataset_read(d, i, "action", 0, 50, u), MYNAH_OK);
    for (int t = 0; t < 50; t++) {
      mynah_value v = {x + 2 * t, 2 * sizeof *x, 0};
      mynah_actor_act(a, &v, &predicted);
      out[n++] = (double)predicted - (double)u[t];
    }
  }
  mynah_actor_destroy(a);
  return n;
}

static void noise_is_the_held_out_error(void **state) {
  (void)state;
  static mynah_dart_noise noise;
  static double e[3 * 50];
  mynah_clone *clone;
  mynah_dataset *d;
  mynah_device *device;
  mynah_record_config c;
  mynah_record_report report;
  char folder[128];
  snprintf(folder, sizeof folder, "%s/dart", policy_case_folder);
  snprintf(policy_case_data, sizeof policy_case_data, "%s/shaken.demos", policy_case_folder);
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = 3;
  c.noise = 3;
  c.noise_tau_s = 0.01; /* white: the errors forget within a second */
  assert_int_equal(fake_device.open(NULL, &device), MYNAH_OK);
  assert_int_equal(mynah_record_expert(device, &c, policy_case_data, &(mynah_record_options){0}, &report), MYNAH_OK);
  fake_device.close(device);
  assert_int_equal(train(NULL, policy_case_data, folder, &clone), MYNAH_OK);
  assert_int_equal(mynah_dataset_open(policy_case_data, MYNAH_OPEN_READ, &d), MYNAH_OK);
  mynah_range held[3] = {{0, 0, 50}, {1, 0, 50}, {2, 0, 50}};
  mynah_split split = {.valid = held, .n_valid = 3};
  assert_int_equal(mynah_dart_fit(clone, d, &split, 2, &noise), MYNAH_OK);
  int64_t n = errors_of(clone, d, e);
  double square = 0, now = 0, before = 0, lagged = 0;
  for (int64_t i = 0; i < n; i++) {
    square += e[i] * e[i];
    if (i % 50 == 0) continue; /* a new episode */
    now += e[i] * e[i];
    before += e[i - 1] * e[i - 1];
    lagged += e[i] * e[i - 1];
  }
  assert_int_equal(noise.n_frames, n);
  assert_true(mynah_test_is_close(noise.covariance[0], 4 * square / (double)n, 1e-9, 0));
  assert_true(mynah_test_is_close(noise.factor[0], 2 * sqrt(square / (double)n), 1e-9, 0));
  double tau_s = -0.1 / log(lagged / sqrt(now * before));
  assert_true(tau_s > 0.1 && tau_s < 5); /* neither end of what is allowed */
  assert_true(mynah_test_is_close(noise.tau_s, tau_s, 1e-9, 0));
  split.n_valid = 0;
  assert_int_equal(mynah_dart_fit(clone, d, &split, 1, &noise), MYNAH_INVALID);
  mynah_dataset_close(d);
  mynah_clone_destroy(clone);
}

static void dart_disturbs_the_expert(void **state) {
  (void)state;
  char folder[128];
  mynah_dagger_config c = make_config(MYNAH_DAGGER_DART);
  c.frames = 80;
  mynah_json *j = mynah_json_object();
  assert_int_equal(teach(&c, "dart", j, folder), MYNAH_OK);
  mynah_dataset *d = open_data(folder, "labelled.demos");
  float x[20 * 2], u[20];
  double disturbance[3] = {0};
  for (int64_t i = 0; i < 12; i++) {
    assert_int_equal(mynah_dataset_read(d, i, "observation.state", 0, 20, x), MYNAH_OK);
    assert_int_equal(mynah_dataset_read(d, i, "action", 0, 20, u), MYNAH_OK);
    for (int t = 0; t + 1 < 20; t++) {
      double noise = (double)(x[2 * t + 2] - x[2 * t]) / 0.1 - (double)u[t];
      disturbance[i / 4] += noise * noise / (4 * 19);
      assert_true(u[t] == -x[2 * t]);
    }
  }
  assert_true(disturbance[0] < 1e-9);
  for (size_t i = 1; i < 3; i++) { /* slow noise: few independent values, so the variance is met within a factor */
    const mynah_json *r = mynah_json_at(mynah_json_get(j, "rounds"), i);
    double want = mynah_json_to_number(mynah_json_at(mynah_json_get(mynah_json_get(r, "noise"), "covariance"), 0), NAN);
    assert_true(disturbance[i] > want / 20 && disturbance[i] < want * 4);
  }
  mynah_dataset_close(d);
  mynah_json_destroy(j);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, policy_case_set_up, policy_case_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {CASE(rounds_add_labelled_frames), CASE(gates_leave_budget), CASE(needs_an_expert),
                                     CASE(noise_is_the_held_out_error), CASE(dart_disturbs_the_expert)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
