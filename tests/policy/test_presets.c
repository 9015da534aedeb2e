/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every shipped preset parses, builds its graphs, and none of its steps falls back to a reference kernel. */
#include <mynah/mynah.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A short dataset with the features of both simulators' kinds. */
static void write_dataset(const char *path, bool is_pusht) {
  mynah_feature features[3];
  int n = 0;
  if (is_pusht) {
    features[n] = mynah_feature_vector("observation.state", 5, "", "px");
    features[n++].angle_mask = 16;
    features[n++] = mynah_feature_image("observation.images.top", 96, 96);
  } else {
    features[n++] = mynah_feature_vector("observation.state", 2, "", "");
    features[n++] = mynah_feature_image("observation.images.front", 120, 160);
  }
  features[n++] = mynah_feature_vector("action", 2, "", "");
  mynah_dataset_config c = {.features = features, .n_features = n, .rate_hz = 10};
  mynah_dataset *d;
  assert_int_equal(mynah_dataset_create(path, &c, &d), MYNAH_OK);
  uint8_t *picture = mynah_calloc(120 * 160, 3);
  for (int e = 0; e < 2; e++) {
    mynah_episode info = {.success = -1};
    assert_int_equal(mynah_episode_begin(d, &info), MYNAH_OK);
    for (int t = 0; t < 5; t++) {
      float state[5] = {(float)t, 1 - (float)t, 2, (float)(t * t), 0.1f * (float)t}, action[2] = {(float)t, -(float)t};
      mynah_value v[3] = {{state, mynah_feature_bytes(&features[0]), 0}, {picture, mynah_feature_bytes(&features[1]), 0}, {action, 8, 0}};
      assert_int_equal(mynah_episode_add(d, t, v, NULL), MYNAH_OK);
    }
    assert_int_equal(mynah_episode_seal(d, NULL), MYNAH_OK);
  }
  mynah_free(picture);
  mynah_dataset_close(d);
}

static void no_reference_kernels(mynah_graph *g, bool is_frozen, const char *preset) {
  mynah_compile_config c = mynah_compile_default();
  c.is_frozen = is_frozen;
  mynah_program *p;
  assert_int_equal(mynah_compile(g, &c, &p), MYNAH_OK);
  for (int i = 0; i < mynah_program_n_steps(p); i++) {
    const char *op, *kernel;
    mynah_program_step(p, i, &op, &kernel, NULL, NULL);
    if (strncmp(kernel, "ref:", 4) == 0) fail_msg("%s: step %d, %s, runs on %s", preset, i, op, kernel);
  }
  mynah_program_destroy(p);
}

static void check_preset(const char *policy, const char *name, bool is_pusht) {
  char path[128], folder[] = "/tmp/mynah-test-XXXXXX";
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/d.demos", folder);
  write_dataset(path, is_pusht);
  mynah_train_config train;
  mynah_feed_config feed;
  mynah_policy_config common;
  const mynah_policy_type *type;
  assert_int_equal(mynah_policy_find(policy, &type), MYNAH_OK);
  void *config = mynah_calloc(1, type->config->bytes);
  mynah_config_bind binds[] = {{&mynah_train_table, &train}, {&mynah_feed_table, &feed}, {&mynah_policy_table, &common}, {type->config, config}};
  for (int i = 0; i < 4; i++) mynah_config_default(binds[i].table, binds[i].config);
  char preset[128];
  mynah_json *j;
  snprintf(preset, sizeof preset, "configs/%s.json", name);
  assert_int_equal(mynah_json_load(preset, &j), MYNAH_OK);
  if (mynah_config_from_json(binds, 4, j) != MYNAH_OK) fail_msg("%s: %s", preset, mynah_error());
  mynah_json_destroy(j);
  mynah_dataset *d;
  mynah_policy *p;
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  if (mynah_policy_create(type, &common, config, d, NULL, 0, &p) != MYNAH_OK) fail_msg("%s: %s", preset, mynah_error());
  mynah_graph *g;
  mynah_node loss;
  assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
  assert_int_equal(type->build_train(p, g, train.batch / train.shards, &loss), MYNAH_OK);
  mynah_output(g, "loss", loss);
  assert_int_equal(mynah_differentiate(g, loss), MYNAH_OK);
  no_reference_kernels(g, false, name);
  mynah_graph_destroy(g);
  for (int k = 0; k < type->n_act_graphs; k++) {
    assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
    assert_int_equal(type->build_act(p, k, g), MYNAH_OK);
    no_reference_kernels(g, true, name);
    mynah_graph_destroy(g);
  }
  mynah_policy_destroy(p);
  mynah_dataset_close(d);
  mynah_free(config);
  assert_int_equal(mynah_remove_tree(folder), MYNAH_OK);
}

static void pusht_state(void **state) {
  (void)state;
  check_preset("mlp", "pusht-state", true);
}
static void pusht_gmm(void **state) {
  (void)state;
  check_preset("mlp", "pusht-gmm", true);
}
static void pusht_best(void **state) {
  (void)state;
  check_preset("flow", "pusht-best", true);
}
static void pusht_pixels(void **state) {
  (void)state;
  check_preset("flow", "pusht-pixels", true);
}
static void pusht_act(void **state) {
  (void)state;
  check_preset("act", "pusht-act", true);
}
static void pusht_diffusion(void **state) {
  (void)state;
  check_preset("diffusion", "pusht-diffusion", true);
}
static void pusht_rnn(void **state) {
  (void)state;
  check_preset("rnn", "pusht-rnn", true);
}
static void track(void **state) {
  (void)state;
  check_preset("mlp", "track", false);
  check_preset("mlp", "track-small", false);
}
static void drive(void **state) {
  (void)state;
  check_preset("mlp", "drive", false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pusht_state),     cmocka_unit_test(pusht_gmm), cmocka_unit_test(pusht_best),
      cmocka_unit_test(pusht_pixels),    cmocka_unit_test(pusht_rnn), cmocka_unit_test(pusht_act),
      cmocka_unit_test(pusht_diffusion), cmocka_unit_test(track),     cmocka_unit_test(drive)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
