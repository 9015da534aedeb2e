/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The policy mlp: every head builds, saves, loads and acts the same; history and chunks; misfits are refused. */
#include "support/policy_case.h"
#include "support/soak.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static mynah_status make(const char *const *settings, int n, mynah_policy **out) {
  return policy_case_make("mlp", settings, n, out);
}

static void every_head_survives_a_file(void **state) {
  (void)state;
  static const char *const heads[] = {"mse", "l1", "huber", "gaussian", "gmm", "tanh_gaussian"};
  for (size_t h = 0; h < 6; h++) {
    const char *settings[] = {"head", heads[h], "n_obs", "3", "chunk", "4", "execute.steps", "2", "image.width", "12",
                              "image.height", "12", "cnn.filters", "4,4", "cnn.kernels", "3,3", "cnn.strides", "2,1",
                              "members", h == 0 || h == 4 ? "3" : "1", "trunk", h % 2 ? "residual" : "plain", "widths", "16", "width", "16", "hidden", "8"};
    mynah_policy *p;
    assert_int_equal(make(settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
    assert_int_equal(p->n_inputs, 2);
    mynah_window windows[8];
    assert_int_equal(mynah_policy_windows(p, windows, 8), 3);
    assert_int_equal(windows[0].first, -2);
    assert_int_equal(windows[2].count, 4);
    mynah_weights *w = policy_case_weights(p);
    assert_int_equal(mynah_policy_save(p, w, policy_case_path), MYNAH_OK);
    mynah_clone *a, *b;
    assert_int_equal(mynah_clone_create(p, w, &a), MYNAH_OK);
    assert_int_equal(mynah_clone_load(policy_case_path, &b), MYNAH_OK);
    float first[12], second[12];
    assert_int_equal(policy_case_drive(a, first, 12), 6); /* a prediction every second step */
    assert_int_equal(policy_case_drive(b, second, 12), 6);
    assert_memory_equal(first, second, sizeof first);
    for (int t = 0; t < 12; t++) assert_true(isfinite(first[t]));
    mynah_clone_destroy(a);
    mynah_clone_destroy(b);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
}

/* Frames enter as channels: the first layer sees n_obs times three, and the order of frames counts. */
static void stacked_pictures(void **state) {
  (void)state;
  const char *settings[] = {"inputs", "observation.images.eye", "n_obs", "3", "image.width", "12", "image.height", "12",
                            "image.stack", "true", "cnn.filters", "4", "cnn.kernels", "3", "cnn.strides", "2"};
  mynah_policy *p;
  assert_int_equal(make(settings, sizeof settings / sizeof *settings, &p), MYNAH_OK);
  mynah_weights *w = policy_case_weights(p);
  const mynah_tensor_info *info = mynah_weights_find(w, "encoder.0.0.weight");
  assert_non_null(info);
  assert_int_equal(info->shape.dims[1], 9);
  mynah_clone *c;
  mynah_actor *a;
  assert_int_equal(mynah_clone_create(p, w, &c), MYNAH_OK);
  assert_int_equal(mynah_actor_create(c, &a), MYNAH_OK);
  static uint8_t pictures[2][64 * 64 * 3];
  for (size_t i = 0; i < sizeof pictures[1]; i++) pictures[1][i] = (uint8_t)(i * 37);
  assert_true(mynah_feature_size(&p->inputs[0]) <= (int64_t)sizeof pictures[0]);
  float actions[2] = {0}; /* after frames 0 0 1 and 0 1 0 */
  for (int k = 0; k < 2; k++) {
    mynah_actor_reset(a, 1);
    for (int t = 0; t < 3; t++) {
      mynah_value v = {pictures[t == (k ? 1 : 2)], sizeof pictures[0], 0};
      mynah_actor_act(a, &v, &actions[k]);
    }
  }
  assert_true(actions[0] != actions[1]);
  mynah_actor_destroy(a);
  mynah_clone_destroy(c);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
}

static void misfits_are_refused(void **state) {
  (void)state;
  mynah_policy *p;
  const char *unknown[] = {"inputs", "observation.stat"};
  assert_int_equal(make(unknown, 2, &p), MYNAH_NOT_FOUND);
  assert_non_null(strstr(mynah_error(), "observation.state"));
  const char *classes[] = {"head", "categorical"};
  assert_int_equal(make(classes, 2, &p), MYNAH_MISMATCH);
  const char *layers[] = {"cnn.filters", "8,8", "cnn.kernels", "3", "cnn.strides", "1,1"};
  assert_int_equal(make(layers, 6, &p), MYNAH_INVALID);
  const char *execute[] = {"chunk", "2", "execute.steps", "3"};
  assert_int_equal(make(execute, 4, &p), MYNAH_INVALID);
  const char *state_only[] = {"inputs", "observation.state"};
  assert_int_equal(make(state_only, 2, &p), MYNAH_OK);
  int order[MYNAH_POLICY_INPUTS_MAX];
  mynah_feature other[2] = {mynah_feature_vector("observation.state", 3, "", ""), mynah_feature_vector("action", 1, "", "")};
  assert_int_equal(mynah_policy_match(p, other, 2, order), MYNAH_MISMATCH);
  other[0] = mynah_feature_vector("observation.velocity", 2, "", "");
  assert_int_equal(mynah_policy_match(p, other, 2, order), MYNAH_NOT_FOUND);
  mynah_policy_destroy(p);
}

/* A small policy, its weights and the bytes of the file they are saved in. */
typedef struct saved {
  mynah_policy *policy;
  mynah_weights *weights;
  char *bytes;
  size_t n;
} saved;

static saved save_small(void) {
  const char *settings[] = {"inputs", "observation.state", "widths", "8"};
  saved s;
  assert_int_equal(make(settings, 4, &s.policy), MYNAH_OK);
  s.weights = policy_case_weights(s.policy);
  assert_int_equal(mynah_policy_save(s.policy, s.weights, policy_case_path), MYNAH_OK);
  assert_int_equal(mynah_file_read(policy_case_path, 1 << 20, &s.bytes, &s.n), MYNAH_OK);
  return s;
}

static void saved_free(saved *s) {
  mynah_free(s->bytes);
  mynah_weights_destroy(s->weights);
  mynah_policy_destroy(s->policy);
}

/* Cuts and flipped bytes of a policy file: a message, or a file that still acts as it did, never a crash. */
static void damaged_files(void **state) {
  (void)state;
  saved s = save_small();
  mynah_rng rng = mynah_rng_make(3, 3);
  int64_t least = mynah_test_at_least(300, 75000), end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000, i = 0;
  for (; i < least || mynah_now_ns() < end; i++) {
    char *copy = mynah_alloc(s.n);
    memcpy(copy, s.bytes, s.n);
    size_t length = i % 3 ? s.n : mynah_rng_below(&rng, s.n);
    if (i % 3) copy[mynah_rng_below(&rng, i % 3 == 1 ? s.n : 400)] ^= (char)(1 + mynah_rng_below(&rng, 255));
    FILE *file = fopen(policy_case_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(copy, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    mynah_clone *c;
    mynah_status status = mynah_clone_load(policy_case_path, &c);
    mynah_selfcheck check;
    if (status != MYNAH_OK) {
      assert_true(mynah_error()[0] != 0);
    } else {
      if (mynah_clone_selfcheck(c, &check) != MYNAH_OK || mynah_clone_verify(c) != MYNAH_OK) fail_msg("loaded, though %s", mynah_error());
      mynah_clone_destroy(c);
    }
    if (i % 3 == 0) assert_int_not_equal(status, MYNAH_OK);
    mynah_free(copy);
  }
  print_message("%lld changed or cut policy files\n", (long long)i);
  saved_free(&s);
}

/* Writes the policy file again with `from` in its description replaced by `to`, and weight w of a tensor multiplied; without
 * checksums it is as one of an older program. */
static void tamper(const char *from, const char *to, float factor, bool has_checksums) {
  mynah_safetensors *f;
  mynah_safetensor tensors[32];
  assert_int_equal(mynah_safetensors_open(policy_case_path, &f), MYNAH_OK);
  int n = mynah_safetensors_count(f);
  assert_true(n <= 32);
  for (int i = 0; i < n; i++) tensors[i] = *mynah_safetensors_at(f, i);
  float *changed = mynah_alloc(tensors[0].bytes);
  memcpy(changed, tensors[0].data, tensors[0].bytes);
  changed[0] *= factor;
  tensors[0].data = changed;
  const char *text = mynah_safetensors_metadata(f, "mynah"), *at = strstr(text, from);
  assert_non_null(at);
  mynah_str edited = {0};
  mynah_str_printf(&edited, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  mynah_metadata metadata = {"mynah", mynah_str_text(&edited)};
  assert_int_equal(mynah_safetensors_write(policy_case_path, tensors, n, &metadata, 1), MYNAH_OK);
  mynah_str_deinit(&edited);
  mynah_free(changed);
  mynah_safetensors_close(f);
  if (has_checksums) return;
  char *bytes;
  size_t length;
  assert_int_equal(mynah_file_read(policy_case_path, 1 << 20, &bytes, &length), MYNAH_OK);
  char *key = memmem(bytes, length, "\"crc32c\"", 8);
  assert_non_null(key);
  memcpy(key, "\"no-crc\"", 8);
  assert_int_equal(mynah_file_write(policy_case_path, bytes, length), MYNAH_OK);
  mynah_free(bytes);
}

/* What loading a tampered file says, then selfcheck and verify. */
static mynah_status load_and_check(bool *is_loaded) {
  mynah_clone *c;
  mynah_selfcheck check;
  mynah_status status = mynah_clone_load(policy_case_path, &c);
  *is_loaded = status == MYNAH_OK;
  if (!*is_loaded) return status;
  status = mynah_clone_selfcheck(c, &check);
  if (status == MYNAH_OK) assert_true(check.error < 1e-5 && check.n_actions == 3);
  if (status == MYNAH_OK) status = mynah_clone_verify(c);
  mynah_clone_destroy(c);
  return status;
}

/* A file says what it must predict: normalisers and weights that were changed, checksums and all, are found by a selfcheck; in a file
 * without checksums at loading. */
static void selfcheck(void **state) {
  (void)state;
  static const char *const normalizers[] = {"minmax", "meanstd"};
  for (int k = 0; k < 2; k++) {
    const char *settings[] = {"inputs", "observation.state", "widths", "8", "chunk", "3", "normalize", normalizers[k]};
    mynah_policy *p;
    mynah_clone *c;
    mynah_selfcheck check;
    assert_int_equal(make(settings, 8, &p), MYNAH_OK);
    mynah_weights *w = policy_case_weights(p);
    assert_int_equal(mynah_clone_create(p, w, &c), MYNAH_OK);
    assert_int_equal(mynah_clone_selfcheck(c, &check), MYNAH_NOT_FOUND);
    assert_int_equal(mynah_clone_verify(c), MYNAH_NOT_FOUND);
    mynah_clone_destroy(c);
    const struct {
      const char *from, *to;
      float factor;
      mynah_status due;
    } cases[] = {{"\"format\":1", "\"format\":1", 1, MYNAH_OK},
                 {"\"max\":[", "\"max\":[1", 1, MYNAH_MISMATCH},
                 {"\"std\":[", "\"std\":[1", 1, MYNAH_MISMATCH},
                 {"\"format\":1", "\"format\":1", 1.000001f, MYNAH_MISMATCH},
                 {"\"format\":1", "\"format\":1", -3, MYNAH_MISMATCH},
                 {"\"golden\":", "\"silver\":", 1, MYNAH_NOT_FOUND},
                 {"\"chunk\":[", "\"chunk\":[0,", 1, MYNAH_CORRUPT}};
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
      size_t at = i / 2;
      bool has_checksums = i % 2, is_loaded;
      if ((at == 1 && k == 1) || (at == 2 && k == 0)) continue; /* a number that this kind of normaliser does not use */
      assert_int_equal(mynah_policy_save(p, w, policy_case_path), MYNAH_OK);
      tamper(cases[at].from, cases[at].to, cases[at].factor, has_checksums);
      mynah_status status = load_and_check(&is_loaded);
      if (status != cases[at].due) fail_msg("case %zu: %d: %s", i, (int)status, mynah_error());
      if (status == MYNAH_MISMATCH && at != 3) assert_non_null(strstr(mynah_error(), "range"));
      bool is_due_loaded = has_checksums || status == MYNAH_OK || status == MYNAH_NOT_FOUND;
      if (is_loaded != is_due_loaded) fail_msg("case %zu: loaded %d", i, is_loaded);
    }
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
}

/* One changed byte anywhere in the weights or in the description is found at loading, in tensors that acting does not need too. */
static void changed_bytes_are_found(void **state) {
  (void)state;
  saved s = save_small();
  char *bytes = s.bytes;
  size_t n = s.n;
  uint64_t header = 0;
  memcpy(&header, bytes, 8);
  const char *text = memmem(bytes, n, "normalizer", 10);
  assert_non_null(text);
  for (size_t i = 0; i < 200; i++) {
    size_t at = i < 150 ? 8 + header + i * (n - 8 - header) / 150 : (size_t)(text - bytes) + i - 150;
    bytes[at] ^= 1;
    assert_int_equal(mynah_file_write(policy_case_path, bytes, n), MYNAH_OK);
    bytes[at] ^= 1;
    mynah_clone *c;
    if (mynah_clone_load(policy_case_path, &c) == MYNAH_OK) fail_msg("byte %zu of %zu was changed, and nobody said so", at, n);
    assert_non_null(strstr(mynah_error(), policy_case_path));
  }
  saved_free(&s);
}

/* Actions for the same observations, as far as two clones may differ in precision: the largest difference. */
static double difference(const mynah_clone *a, const mynah_clone *b) {
  float first[12], second[12];
  double largest = 0;
  policy_case_drive(a, first, 12);
  policy_case_drive(b, second, 12);
  for (int i = 0; i < 12; i++) largest = fmax(largest, fabs((double)first[i] - (double)second[i]));
  return largest;
}

/* The file says the precision to act in; another can be asked for. */
static void acts_in_a_precision(void **state) {
  (void)state;
  for (int is_half = 0; is_half < 2; is_half++) {
    const char *settings[] = {"inputs", "observation.state", "widths", "64,64", "precision", is_half ? "bf16" : "f32"};
    mynah_policy *p;
    mynah_clone *own, *f32, *bf16;
    assert_int_equal(make(settings, 6, &p), MYNAH_OK);
    mynah_weights *w = policy_case_weights(p);
    assert_int_equal(mynah_policy_save(p, w, policy_case_path), MYNAH_OK);
    assert_int_equal(mynah_clone_load(policy_case_path, &own), MYNAH_OK);
    assert_int_equal(mynah_clone_load_with(policy_case_path, &(mynah_clone_config){MYNAH_CLONE_F32, 1}, &f32), MYNAH_OK);
    assert_int_equal(mynah_clone_load_with(policy_case_path, &(mynah_clone_config){MYNAH_CLONE_BF16, 1}, &bf16), MYNAH_OK);
    assert_int_equal(mynah_clone_precision(own), is_half ? MYNAH_BF16 : MYNAH_F32);
    assert_int_equal(mynah_clone_precision(f32), MYNAH_F32);
    assert_int_equal(mynah_clone_precision(bf16), MYNAH_BF16);
    assert_true(difference(own, is_half ? bf16 : f32) <= 0);
    double off = difference(f32, bf16);
    if (!(off > 1e-5 && off < 0.1)) fail_msg("f32 and bf16 differ by %g", off);
    mynah_clone_destroy(own);
    mynah_clone_destroy(f32);
    mynah_clone_destroy(bf16);
    mynah_weights_destroy(w);
    mynah_policy_destroy(p);
  }
  const char *wrong[] = {"precision", "f16"};
  mynah_policy *p;
  assert_int_equal(make(wrong, 2, &p), MYNAH_INVALID);
}

static void torture(void **state) {
  (void)state;
  const char *settings[] = {"inputs", "observation.state", "widths", "8"};
  mynah_policy *p;
  assert_int_equal(make(settings, 4, &p), MYNAH_OK);
  mynah_weights *w = policy_case_weights(p);
  assert_int_equal(mynah_policy_save(p, w, policy_case_path), MYNAH_OK);
  mynah_weights_destroy(w);
  mynah_policy_destroy(p);
  for (int64_t n = 1; n < 20000; n++) {
    int64_t live = mynah_alloc_count().live_blocks;
    mynah_clone *c = NULL;
    mynah_alloc_fail_at(n);
    mynah_status status = mynah_clone_load(policy_case_path, &c);
    mynah_alloc_fail_at(0);
    if (status == MYNAH_OK) mynah_clone_destroy(c);
    assert_true(mynah_alloc_count().live_blocks <= live + 8); /* caches may stay */
    if (status == MYNAH_OK) return;
  }
  fail_msg("%s", "the policy never loaded");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(every_head_survives_a_file, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(stacked_pictures, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(misfits_are_refused, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(damaged_files, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(selfcheck, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(changed_bytes_are_found, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(acts_in_a_precision, policy_case_set_up, policy_case_tear_down),
                                     cmocka_unit_test_setup_teardown(torture, policy_case_set_up, policy_case_tear_down)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
