/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Recording: labels are the expert's clean commands, also under noise; episodes are added to an existing file. */
#include "support/fake_device.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(labels_are_clean, set_up, tear_down),
                                     cmocka_unit_test_setup_teardown(episodes_are_added, set_up, tear_down)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
