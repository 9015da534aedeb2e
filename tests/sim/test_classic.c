/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CartPole-v1 and Pendulum-v1: every recorded transition of another implementation's rollouts, by hand, and by contract. */
#include "support/close.h"
#include "support/shared.h"

#include <mynah/mynah.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define PI 3.141592653589793

static mynah_device *open_sim(const char *name) {
  mynah_device *d;
  assert_int_equal(mynah_sim_open(name, NULL, 0, &d), MYNAH_OK);
  return d;
}

/* The rollouts as a dataset. */
static mynah_dataset *import_rollouts(const char *name) {
  char source[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX];
  const mynah_importer *importer;
  mynah_import_report r;
  mynah_dataset *d;
  snprintf(source, sizeof source, "%s", mynah_test_shared(name));
  snprintf(path, sizeof path, "%s/rollouts.demos", mynah_test_folder("classic"));
  assert_int_equal(mynah_importer_find("rollouts", &importer), MYNAH_OK);
  void *config = mynah_calloc(1, importer->config->bytes);
  assert_non_null(config);
  mynah_config_default(importer->config, config);
  assert_int_equal(importer->run(source, path, config, NULL, &r), MYNAH_OK);
  mynah_json_destroy(r.skipped);
  mynah_free(config);
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  return d;
}

typedef void (*start_fn)(mynah_device *device, const float *observed);

static void start_cartpole(mynah_device *d, const float *o) {
  mynah_cartpole_reset_to(d, (double[]){(double)o[0], (double)o[1], (double)o[2], (double)o[3]});
}

static void start_pendulum(mynah_device *d, const float *o) {
  mynah_pendulum_reset_to(d, (double[]){atan2((double)o[1], (double)o[0]), (double)o[2]});
}

/* From each recorded observation the recorded action leads to the next, within the rounding of recorded floats. */
static int64_t replay(const char *sim, const char *rollouts, start_fn start, int64_t size, double tolerance) {
  mynah_dataset *data = import_rollouts(rollouts);
  mynah_device *d = open_sim(sim);
  static float observed[512 * 4], actions[512];
  int64_t n_checked = 0;
  for (int64_t e = 0; e < mynah_dataset_n_episodes(data); e++) {
    int64_t n = mynah_dataset_episode(data, e)->n_frames;
    assert_in_range(n, 2, 500);
    assert_int_equal(mynah_dataset_read(data, e, "observation.state", 0, n, observed), MYNAH_OK);
    assert_int_equal(mynah_dataset_read(data, e, "action", 0, n, actions), MYNAH_OK);
    for (int64_t t = 0; t + 1 < n; t++) {
      mynah_value value;
      start(d, observed + t * size);
      d->type->act(d, &actions[t]);
      d->type->observe(d, &value);
      mynah_test_close(sim, value.data, observed + (t + 1) * size, (size_t)size, 0, tolerance);
      n_checked++;
    }
  }
  d->type->close(d);
  mynah_dataset_close(data);
  return n_checked;
}

static void cartpole_is_the_recorded_one(void **state) {
  (void)state;
  int64_t n = replay("cartpole", "data/imitation_rollouts/cartpole_0_rollouts_final.npz", start_cartpole, 4, 1e-6);
  assert_int_equal(n, 26964 - 57);
}

static void pendulum_is_the_recorded_one(void **state) {
  (void)state;
  int64_t n = replay("pendulum", "data/imitation_rollouts/pendulum_0_rollouts_final.npz", start_pendulum, 3, 3e-6);
  assert_int_equal(n, 11200 - 56);
}

/* ---- by hand -------------------------------------------------------------------------------------------------------- */

static void cartpole_by_hand(void **state) {
  (void)state;
  mynah_device *d = open_sim("cartpole");
  double row[4];
  /* Upright and at rest, pushed right: push = 10/1.1, turn = -push / (0.5 (4/3 - 0.1/1.1)). */
  mynah_cartpole_reset_to(d, (double[]){0, 0, 0, 0});
  d->type->act(d, (float[]){1});
  d->type->trace(d, row);
  double push = 10 / 1.1, turn = -push / (0.5 * (4.0 / 3 - 0.1 / 1.1));
  mynah_test_close_double("step", row, (double[]){0, 0.02 * (push - 0.05 * turn / 1.1), 0, 0.02 * turn}, 4, 1e-12, 1e-15);
  assert_false(d->is_done);
  static const double over[4][4] = {{2.39, 1, 0, 0}, {-2.39, -1, 0, 0}, {0, 0, 0.205, 1}, {0, 0, -0.205, -1}};
  for (int i = 0; i < 4; i++) { /* it fails in the step that leads over an edge, which still pays */
    mynah_metric m[MYNAH_METRICS_MAX];
    mynah_cartpole_reset_to(d, over[i]);
    d->type->act(d, (float[]){0});
    assert_true(d->is_done);
    assert_int_equal(d->type->metrics(d, m), 2);
    assert_true(m[0].value == 1 && m[1].value == 0);
  }
  d->type->close(d);
}

static void pendulum_by_hand(void **state) {
  (void)state;
  mynah_device *d = open_sim("pendulum");
  double row[3];
  mynah_pendulum_reset_to(d, (double[]){PI / 2, 0.5});
  d->type->act(d, (float[]){5}); /* the motor gives 2 */
  d->type->trace(d, row);
  double spin = 0.5 + 0.05 * (15 + 6);
  double want[3] = {PI / 2 + 0.05 * spin, spin, -(PI * PI / 4 + 0.1 * 0.25 + 0.001 * 4)};
  mynah_test_close_double("step", row, want, 3, 1e-12, 0);
  mynah_pendulum_reset_to(d, (double[]){PI / 2, 7.9});
  d->type->act(d, (float[]){2});
  d->type->trace(d, row);
  assert_true(row[1] == 8); /* no faster */
  d->type->act(d, (float[]){NAN});
  d->type->trace(d, row);
  assert_true(isfinite(row[2]));
  d->type->close(d);
}

/* ---- by contract ---------------------------------------------------------------------------------------------------- */

static void experts_solve_them(void **state) {
  (void)state;
  static const struct {
    const char *sim;
    double least;
    int64_t steps;
  } cases[] = {{"cartpole", 500, 500}, {"pendulum", -180, 200}};
  for (int k = 0; k < 2; k++) {
    mynah_eval_config c = {.n_episodes = 100, .seed = 5, .n_threads = 1};
    mynah_eval_result r;
    assert_int_equal(mynah_sim_find(cases[k].sim, &c.device), MYNAH_OK);
    assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_OK);
    double sum = 0;
    for (int64_t i = 0; i < 100; i++) sum += mynah_eval_value(&r, "return", i);
    assert_true(sum / 100 >= cases[k].least);
    assert_int_equal(r.n_steps, 100 * cases[k].steps);
    assert_true(mynah_eval_value(&r, "return", 0) != mynah_eval_value(&r, "return", 1) || k == 0);
    mynah_eval_result_deinit(&r);
  }
}

static void same_seed_same_episode(void **state) {
  (void)state;
  static const char *const sims[] = {"cartpole", "pendulum"};
  for (int k = 0; k < 2; k++) {
    mynah_device *d = open_sim(sims[k]);
    float first[2][4] = {{0}};
    float action[1];
    for (int run = 0; run < 3; run++) {
      mynah_value value;
      assert_int_equal(d->type->reset(d, run < 2 ? 9 : 10), MYNAH_OK);
      for (int t = 0; t < 20; t++) {
        d->type->expert(d, action);
        d->type->act(d, action);
      }
      d->type->observe(d, &value);
      assert_int_equal(value.bytes, mynah_feature_bytes(&d->features[0]));
      if (run < 2) memcpy(first[run], value.data, value.bytes);
      else assert_memory_not_equal(first[0], value.data, value.bytes);
    }
    assert_memory_equal(first[0], first[1], sizeof first[0]);
    d->type->close(d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(cartpole_is_the_recorded_one),
                                     cmocka_unit_test(pendulum_is_the_recorded_one),
                                     cmocka_unit_test(cartpole_by_hand),
                                     cmocka_unit_test(pendulum_by_hand),
                                     cmocka_unit_test(experts_solve_them),
                                     cmocka_unit_test(same_seed_same_episode)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
