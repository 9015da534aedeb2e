/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Policies of networks in ONNX: the action is what PyTorch made of the same observation, also from our own file; states
 * are carried; pictures reach the network in its range; what is not said or does not fit is named. */
#include <mynah/policy.h>

#include "support/shared.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define NETWORKS "tests/onnx/networks/"

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

static mynah_status import(const char *name, const char *const *settings, mynah_policy **p, mynah_weights **w) {
  char path[128];
  mynah_onnx_import_config c;
  mynah_config_default(&mynah_onnx_import_table, &c);
  for (; settings && settings[0]; settings += 2)
    ok(mynah_config_set(&(mynah_config_bind){&mynah_onnx_import_table, &c}, 1, settings[0], settings[1]));
  snprintf(path, sizeof path, NETWORKS "%s.onnx", name);
  return mynah_policy_import_onnx(path, &c, NULL, NULL, p, w);
}

/* Saved and loaded again. */
static mynah_clone *clone_of(const char *name, const char *const *settings) {
  char path[512];
  mynah_policy *p;
  mynah_weights *w;
  mynah_clone *c;
  mynah_selfcheck check;
  ok(import(name, settings, &p, &w));
  snprintf(path, sizeof path, "%s/%s.safetensors", mynah_test_folder("onnx_policy"), name);
  ok(mynah_policy_save(p, w, path));
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  ok(mynah_clone_load(path, &c));
  ok(mynah_clone_selfcheck(c, &check));
  unlink(path);
  return c;
}

static void act(mynah_actor *a, const void *data, size_t bytes, float *action) {
  mynah_actor_act(a, &(mynah_value){data, bytes, 0}, action);
}

static void test_same_as_pytorch(void **state) {
  static const char *const names[] = {"mlp-new", "mlp-old"};
  for (int k = 0; k < 2; k++) {
    char path[128];
    float action[2];
    mynah_safetensors *f;
    mynah_actor *a;
    snprintf(path, sizeof path, NETWORKS "%s.safetensors", names[k]);
    ok(mynah_safetensors_open(path, &f));
    const mynah_safetensor *in = mynah_safetensors_find(f, "in.observation.state");
    const float *due = mynah_safetensors_find(f, "out.action")->data;
    mynah_clone *c = clone_of(names[k], NULL);
    assert_string_equal(mynah_clone_policy(c)->type->name, "onnx");
    ok(mynah_actor_create(c, &a));
    act(a, in->data, in->bytes, action);
    for (int i = 0; i < 2; i++)
      if (!(fabsf(action[i] - due[i]) <= 1e-5f)) fail_msg("%g is not %g", (double)action[i], (double)due[i]);
    mynah_actor_destroy(a);
    mynah_clone_destroy(c);
    mynah_safetensors_close(f);
  }
}

static void test_carried(void **state) {
  static const char *const settings[] = {"map",   "x:observation.state", "output", "out",
                                         "carry", "h:h_out,c:c_out",     NULL};
  float x[9] = {0.3f, -1, 0.5f, 0.1f, 0.2f, 0.7f, -0.4f, 0.9f, 0.25f}, first[2], second[2], again[2];
  mynah_actor *a;
  mynah_clone *c = clone_of("recurrent-old", settings);
  assert_int_equal(mynah_clone_policy(c)->common.n_obs, 3);
  ok(mynah_actor_create(c, &a));
  mynah_actor_reset(a, 1);
  for (int i = 0; i < 3; i++) act(a, x, 3 * sizeof *x, first); /* the same frame fills the window */
  act(a, x, 3 * sizeof *x, second);
  assert_true(fabsf(first[0] - second[0]) > 1e-6f || fabsf(first[1] - second[1]) > 1e-6f); /* the state has moved on */
  mynah_actor_reset(a, 1);
  for (int i = 0; i < 3; i++) act(a, x, 3 * sizeof *x, again);
  assert_memory_equal(first, again, sizeof first);
  mynah_actor_destroy(a);
  mynah_clone_destroy(c);
}

/* A picture of one grey, x / 255 or x - whatever the settings say: two ways to the same numbers, a third to others. */
static void test_pictures(void **state) {
  static const char *const unit[] = {"map", "x:observation.images.front", NULL};
  static const char *const same[] = {"map", "x:observation.images.front", "image.max", "1", "image.std", "255,255,255",
                                     NULL};
  static const char *const other[] = {
      "map", "x:observation.images.front", "image.mean", "0.5,0.5,0.5", "image.camera", "32x32", NULL};
  const char *const *const all[3] = {unit, same, other};
  uint8_t pixels[32 * 32 * 3];
  float actions[3][2];
  for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i / 96 * 7 % 256);
  for (int k = 0; k < 3; k++) {
    mynah_actor *a;
    mynah_clone *c = clone_of("pictures-new", all[k]);
    ok(mynah_actor_create(c, &a));
    act(a, pixels, k == 2 ? sizeof pixels : 16 * 16 * 3, actions[k]);
    assert_int_equal(mynah_clone_policy(c)->inputs[0].dims[0], k == 2 ? 32 : 16);
    mynah_actor_destroy(a);
    mynah_clone_destroy(c);
  }
  for (int i = 0; i < 2; i++)
    assert_true(fabsf(actions[0][i] - actions[1][i]) <= 1e-6f && fabsf(actions[0][i] - actions[2][i]) > 1e-5f);
}

static void refused(const char *name, const char *const *settings, mynah_status status, const char *text) {
  mynah_policy *p;
  mynah_weights *w;
  mynah_status got = import(name, settings, &p, &w);
  if (got != status || !strstr(mynah_error(), text)) fail_msg("%s '%s'", mynah_status_name(got), mynah_error());
}

static void test_refused(void **state) {
  refused("pictures-new", NULL, MYNAH_NOT_FOUND, "map=x:");
  refused("recurrent-old", (const char *const[]){"map", "x:observation.state", "carry", "h:h_out,c:c_out", NULL},
          MYNAH_NOT_FOUND, "output=");
  refused("mlp-new", (const char *const[]){"output", "speed", NULL}, MYNAH_NOT_FOUND, "output=");
  refused("mlp-new", (const char *const[]){"normalize", "minmax", NULL}, MYNAH_NOT_FOUND, "statistics");
  refused("pictures-new", (const char *const[]){"map", "x:observation.images.front", "image.std", "1,0,1", NULL},
          MYNAH_INVALID, "image.std");
  refused("pictures-new", (const char *const[]){"map", "x:observation.images.front", "image.camera", "0x4", NULL},
          MYNAH_INVALID, "image.camera");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_as_pytorch), cmocka_unit_test(test_carried),
                                     cmocka_unit_test(test_pictures), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
