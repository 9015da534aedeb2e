/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* MessagePack against what openpi's client packs, and against what nobody should send. */
#include "src/serve/msgpack.h"

#include "support/shared.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void read_golden(const char *name, char **data, size_t *n) {
  char path[256];
  snprintf(path, sizeof path, "../shared/goldens/openpi/%s", name);
  if (mynah_file_read(path, 1 << 20, data, n) != MYNAH_OK) fail_msg("%s", mynah_error());
}

/* Read and packed again, messages have the same bytes. */
static void messages_come_back(void **state) {
  (void)state;
  static const char *const names[] = {"metadata.bin", "metadata_empty.bin", "obs_libero.bin", "obs_aloha.bin", "obs_droid.bin",
                                      "obs_bad_shape.bin", "reply_libero.bin", "reply_aloha.bin", "reply_droid.bin", "decoder_types.bin"};
  if (!mynah_test_shared("goldens/openpi")) skip();
  mynah__message m = {0};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *data;
    size_t n;
    mynah_str again = {0};
    read_golden(names[i], &data, &n);
    if (mynah__unpack(data, n, &m) != MYNAH_OK) fail_msg("%s: %s", names[i], mynah_error());
    mynah__pack_again(&again, &m, m.nodes);
    if (again.length != n || memcmp(again.data, data, n) != 0) fail_msg("%s: %zu bytes became %zu others", names[i], n, again.length);
    mynah_str_deinit(&again);
    mynah_free(data);
  }
  mynah__message_deinit(&m);
}

static void values_are_found(void **state) {
  (void)state;
  char *data;
  size_t n;
  mynah__message m = {0};
  if (!mynah_test_shared("goldens/openpi")) skip();
  read_golden("obs_aloha.bin", &data, &n);
  assert_int_equal(mynah__unpack(data, n, &m), MYNAH_OK);
  const mynah__pack *v = mynah__pack_get(&m, m.nodes, "images/cam_low");
  assert_non_null(v);
  assert_int_equal(v->kind, MYNAH__PACK_ARRAY);
  assert_int_equal(v->n_dims, 3);
  assert_int_equal(v->shape[0], 3);
  v = mynah__pack_get(&m, m.nodes, "state");
  assert_float_equal(mynah__pack_element(v, 1), -0.6339437961578369, 1e-7);
  assert_null(mynah__pack_get(&m, m.nodes, "images/none"));
  mynah_free(data);
  read_golden("decoder_str_keys.bin", &data, &n); /* keys as text: taken too */
  assert_int_equal(mynah__unpack(data, n, &m), MYNAH_OK);
  v = mynah__pack_get(&m, m.nodes, "x");
  assert_int_equal(v->kind, MYNAH__PACK_ARRAY);
  assert_float_equal(mynah__pack_element(v, 3), 3, 0);
  mynah_free(data);
  read_golden("decoder_types.bin", &data, &n);
  assert_int_equal(mynah__unpack(data, n, &m), MYNAH_OK);
  assert_float_equal(mynah__pack_element(mynah__pack_get(&m, m.nodes, "f16"), 1), -2, 0);
  assert_float_equal(mynah__pack_element(mynah__pack_get(&m, m.nodes, "i8"), 0), -1, 0);
  assert_float_equal(mynah__pack_element(mynah__pack_get(&m, m.nodes, "u16"), 1), 65535, 0);
  mynah_free(data);
  mynah__message_deinit(&m);
}

static void bad_messages_are_refused(void **state) {
  (void)state;
  static const char *const names[] = {"bad_big_endian.bin", "bad_length.bin", "bad_negative_shape.bin", "bad_nesting.bin",
                                      "bad_object_dtype.bin", "bad_overflow_shape.bin", "bad_truncated.bin"};
  mynah__message m = {0};
  if (!mynah_test_shared("goldens/openpi")) skip();
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *data;
    size_t n;
    read_golden(names[i], &data, &n);
    if (mynah__unpack(data, n, &m) == MYNAH_OK) fail_msg("%s was taken", names[i]);
    mynah_free(data);
  }
  mynah__message_deinit(&m);
}

/* Every cut and many changes of a message: an error or a message, never a read outside (the sanitizer's business). */
static void damage_does_no_harm(void **state) {
  (void)state;
  mynah_str s = {0};
  mynah__message m = {0};
  mynah_rng r = mynah_rng_make(1, 2);
  float numbers[6] = {1, 2, 3, 4, 5, 6};
  mynah__pack_map(&s, 4);
  mynah__pack_key(&s, "actions");
  mynah__pack_array(&s, "<f4", (int64_t[]){2, 3}, 2, numbers);
  mynah__pack_key(&s, "n");
  mynah__pack_int(&s, -70000);
  mynah__pack_key(&s, "list");
  mynah__pack_list(&s, 3);
  mynah__pack_nil(&s);
  mynah__pack_bool(&s, true);
  mynah__pack_float(&s, 0.5);
  mynah__pack_key(&s, "b");
  mynah__pack_bytes(&s, "xyz", 3);
  assert_int_equal(mynah__unpack(s.data, s.length, &m), MYNAH_OK);
  assert_float_equal(mynah__pack_element(mynah__pack_get(&m, m.nodes, "actions"), 5), 6, 0);
  for (size_t n = 0; n < s.length; n++) assert_int_not_equal(mynah__unpack(s.data, n, &m), MYNAH_OK);
  for (int i = 0; i < 20000; i++) {
    char *copy = mynah_alloc(s.length); /* a block of its own, so that a sanitizer sees one byte too far */
    memcpy(copy, s.data, s.length);
    for (int k = 0; k < 3; k++) copy[mynah_rng_below(&r, s.length)] = (char)mynah_rng_u32(&r);
    mynah_status status = mynah__unpack(copy, s.length, &m);
    if (status == MYNAH_OK) {
      mynah_str again = {0};
      mynah__pack_again(&again, &m, m.nodes);
      mynah_str_deinit(&again);
    } else assert_true(mynah_error()[0] != 0);
    mynah_free(copy);
  }
  mynah_str_deinit(&s);
  mynah__message_deinit(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(messages_come_back), cmocka_unit_test(values_are_found),
                                     cmocka_unit_test(bad_messages_are_refused), cmocka_unit_test(damage_does_no_harm)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
