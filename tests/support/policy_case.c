/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Policies on demonstrations of the fake device. */
#include "policy_case.h"

#include "fake_device.h"

#include <mynah/run.h>

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

char policy_case_folder[64], policy_case_data[96], policy_case_path[96];

int policy_case_set_up(void **state) {
  (void)state;
  snprintf(policy_case_folder, sizeof policy_case_folder, "/tmp/mynah-test-XXXXXX");
  if (!mkdtemp(policy_case_folder)) return -1;
  snprintf(policy_case_data, sizeof policy_case_data, "%s/d.demos", policy_case_folder);
  snprintf(policy_case_path, sizeof policy_case_path, "%s/p.safetensors", policy_case_folder);
  mynah_record_config c;
  mynah_record_report report;
  mynah_device *d;
  mynah_config_default(&mynah_record_table, &c);
  c.episodes = 3;
  if (fake_device.open(NULL, &d) != MYNAH_OK) return -1;
  mynah_status status = mynah_record_expert(d, &c, policy_case_data, &(mynah_record_options){0}, &report);
  fake_device.close(d);
  return status == MYNAH_OK ? 0 : -1;
}

int policy_case_tear_down(void **state) {
  (void)state;
  return mynah_remove_tree(policy_case_folder) == MYNAH_OK ? 0 : -1;
}

mynah_status policy_case_make(const char *name, const char *const *settings, int n, mynah_policy **out) {
  const mynah_policy_type *type;
  mynah_policy_config common;
  mynah_dataset *d;
  MYNAH_TRY(mynah_policy_find(name, &type));
  void *config = mynah_calloc(1, type->config->bytes);
  mynah_config_default(&mynah_policy_table, &common);
  mynah_config_default(type->config, config);
  mynah_config_bind binds[2] = {{&mynah_policy_table, &common}, {type->config, config}};
  mynah_status status = MYNAH_OK;
  for (int i = 0; i + 1 < n && status == MYNAH_OK; i += 2) status = mynah_config_set(binds, 2, settings[i], settings[i + 1]);
  if (status == MYNAH_OK) status = mynah_dataset_open(policy_case_data, MYNAH_OPEN_READ, &d);
  if (status == MYNAH_OK) {
    status = mynah_policy_create(type, &common, config, d, NULL, 0, out);
    mynah_dataset_close(d);
  }
  mynah_free(config);
  return status;
}

mynah_weights *policy_case_weights(const mynah_policy *p) {
  mynah_graph *g;
  mynah_node loss;
  mynah_weights *w;
  assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
  assert_int_equal(p->type->build_train(p, g, 4, &loss), MYNAH_OK);
  assert_int_equal(mynah_weights_create(g, 1, &w), MYNAH_OK);
  mynah_graph_destroy(g);
  return w;
}

int policy_case_drive(const mynah_clone *c, float *actions, int n) {
  mynah_device *d;
  mynah_actor *a;
  mynah_value seen[4], input[4];
  int order[MYNAH_POLICY_INPUTS_MAX], n_predictions = 0;
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  assert_int_equal(mynah_policy_match(mynah_clone_policy(c), d->features, d->n_features, order), MYNAH_OK);
  assert_int_equal(mynah_actor_create(c, &a), MYNAH_OK);
  assert_int_equal(fake_device.reset(d, 5), MYNAH_OK);
  mynah_actor_reset(a, 9);
  for (int t = 0; t < n; t++) {
    fake_device.observe(d, seen);
    for (int i = 0; i < mynah_clone_policy(c)->n_inputs; i++) input[i] = seen[order[i]];
    mynah_actor_act(a, input, &actions[t]);
    n_predictions += mynah_actor_infer_ns(a) > 0;
    fake_device.act(d, &actions[t]);
  }
  int64_t n_hidden;
  const float *hidden = mynah_actor_hidden(a, &n_hidden);
  assert_int_equal(n_hidden > 0, mynah_clone_policy(c)->type->hidden != NULL);
  for (int64_t i = 0; i < n_hidden; i++) assert_true(isfinite(hidden[i]));
  mynah_actor_destroy(a);
  fake_device.close(d);
  return n_predictions;
}
