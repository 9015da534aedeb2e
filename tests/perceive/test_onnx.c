/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ONNX reader on files made here byte by byte, and class names in Python's notation. */
#include "src/perceive/perceive_internal.h"

#include "support/torture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

/* ---- making files ----------------------------------------------------------------------------------------------------- */

static void put_varint(mynah_str *s, uint64_t v) {
  for (; v > 127; v >>= 7) mynah_str_append(s, &(uint8_t){(uint8_t)(v | 128)}, 1);
  mynah_str_append(s, &(uint8_t){(uint8_t)v}, 1);
}
static void put_number(mynah_str *s, int field, uint64_t v) {
  put_varint(s, (uint64_t)field << 3);
  put_varint(s, v);
}
static void put_bytes(mynah_str *s, int field, const void *bytes, size_t n) {
  put_varint(s, (uint64_t)field << 3 | 2);
  put_varint(s, n);
  mynah_str_append(s, bytes, n);
}
/* Puts the message and forgets it. */
static void put_message(mynah_str *s, int field, mynah_str *message) {
  put_bytes(s, field, mynah_str_text(message), message->length);
  mynah_str_deinit(message);
}

static mynah_str tensor(const char *name, int type, const int64_t *dims, int n_dims, const void *raw, size_t bytes) {
  mynah_str t = {0};
  for (int i = 0; i < n_dims; i++) put_number(&t, 1, (uint64_t)dims[i]);
  put_number(&t, 2, (uint64_t)type);
  put_bytes(&t, 8, name, strlen(name));
  if (raw) put_bytes(&t, 9, raw, bytes);
  return t;
}

/* A model with one node and the tensor. */
static mynah_str model_of(mynah_str *t) {
  mynah_str node = {0}, graph = {0}, model = {0};
  put_bytes(&node, 4, "Conv", 4);
  put_message(&graph, 1, &node);
  put_message(&graph, 5, t);
  put_message(&model, 7, &graph);
  return model;
}

static mynah_status parse(mynah_str *model, mynah__onnx **out) {
  mynah_status status = mynah__onnx_parse(mynah_str_text(model), model->length, out);
  mynah_str_deinit(model);
  return status;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static void test_types(void **state) {
  static const float floats[4] = {1, -2.5f, 3, 1e-20f};
  static const double doubles[2] = {0.25, -7};
  static const uint16_t halves[6] = {0x3C00, 0xC500, 0x0001, 0x7C00, 0x8000, 0x3555};
  mynah__onnx *o;
  mynah_str t = tensor("f", 1, (int64_t[]){2, 2}, 2, floats, sizeof floats), m = model_of(&t);
  ok(parse(&m, &o));
  assert_int_equal(o->n_tensors, 1);
  assert_memory_equal(o->tensors[0].data, floats, sizeof floats);
  assert_int_equal(o->tensors[0].shape.n_dims, 2);
  mynah__onnx_destroy(o);
  t = tensor("d", 11, (int64_t[]){2}, 1, doubles, sizeof doubles), m = model_of(&t);
  ok(parse(&m, &o));
  assert_true(((const float *)o->tensors[0].data)[0] >= 0.25f && ((const float *)o->tensors[0].data)[1] <= -7);
  mynah__onnx_destroy(o);
  t = tensor("h", 10, (int64_t[]){6}, 1, halves, sizeof halves), m = model_of(&t);
  ok(parse(&m, &o));
  const float *h = o->tensors[0].data;
  assert_true(fabsf(h[0] - 1) < 1e-9f && fabsf(h[1] + 5) < 1e-9f && fabsf(h[2] - 0x1p-24f) < 1e-12f && isinf(h[3]) && signbit(h[4]));
  assert_true(fabsf(h[5] - 0.33325195f) < 1e-7f);
  mynah__onnx_destroy(o);
  t = tensor("i", 7, (int64_t[]){1}, 1, doubles, 8), m = model_of(&t); /* whole numbers are left out */
  ok(parse(&m, &o));
  assert_int_equal(o->n_tensors, 0);
  mynah__onnx_destroy(o);
  t = tensor("p", 1, (int64_t[]){4}, 1, NULL, 0); /* packed in the field of floats */
  put_bytes(&t, 4, floats, sizeof floats);
  m = model_of(&t);
  ok(parse(&m, &o));
  assert_memory_equal(o->tensors[0].data, floats, sizeof floats);
  mynah__onnx_destroy(o);
}

static void refused(mynah_str *model, mynah_status status, const char *text) {
  mynah__onnx *o;
  mynah_status got = parse(model, &o);
  if (got != status || !strstr(mynah_error(), text)) fail_msg("%s '%s', not %s '%s'", mynah_status_name(got), mynah_error(), mynah_status_name(status), text);
}

static void test_refused(void **state) {
  static const float floats[4] = {0};
  mynah_str t = tensor("big", 1, (int64_t[]){INT64_MAX, 4}, 2, floats, sizeof floats), m = model_of(&t);
  refused(&m, MYNAH_CORRUPT, "shape");
  t = tensor("negative", 1, (int64_t[]){-1}, 1, floats, sizeof floats), m = model_of(&t);
  refused(&m, MYNAH_CORRUPT, "shape");
  t = tensor("short", 1, (int64_t[]){5}, 1, floats, sizeof floats), m = model_of(&t);
  refused(&m, MYNAH_CORRUPT, "short");
  t = tensor("deep", 1, (int64_t[]){1, 1, 1, 1, 1, 1, 4}, 7, floats, sizeof floats), m = model_of(&t);
  refused(&m, MYNAH_UNSUPPORTED, "dimensions");
  t = tensor("outside", 1, (int64_t[]){4}, 1, NULL, 0);
  put_number(&t, 14, 1);
  m = model_of(&t);
  refused(&m, MYNAH_UNSUPPORTED, "another file");
  t = tensor("cut", 1, (int64_t[]){4}, 1, floats, sizeof floats), m = model_of(&t);
  m.length -= 3;
  refused(&m, MYNAH_CORRUPT, "longer than");
  m = (mynah_str){0};
  refused(&m, MYNAH_CORRUPT, "no graph");
  mynah_str_append(&m, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
  refused(&m, MYNAH_CORRUPT, "too long");
  m = (mynah_str){0};
  mynah_str_append(&m, "\x07", 1);
  refused(&m, MYNAH_CORRUPT, "");
}

/* A graph of something else is told apart. */
static void test_not_a_detector(void **state) {
  static const float floats[4] = {0};
  mynah__onnx *o;
  mynah_detector *d;
  mynah_str t = tensor("fc.weight", 1, (int64_t[]){2, 2}, 2, floats, sizeof floats), m = model_of(&t);
  ok(parse(&m, &o));
  assert_int_equal(mynah__detector_from_onnx(o, &d), MYNAH_UNSUPPORTED);
  assert_non_null(strstr(mynah_error(), "YOLO26"));
  mynah__onnx_destroy(o);
}

/* ---- names -------------------------------------------------------------------------------------------------------------- */

static void test_names(void **state) {
  mynah__names n;
  ok(mynah__names_parse("{0: 'person', 2: \"it's\", 1: 'caf\\xe9 \\u2603 \\'x\\\\', }", &n));
  assert_int_equal(n.n, 3);
  assert_string_equal(n.text[0], "person");
  assert_string_equal(n.text[1], "caf\xc3\xa9 \xe2\x98\x83 'x\\");
  assert_string_equal(n.text[2], "it's");
  mynah__names_deinit(&n);
  ok(mynah__names_parse(" [ 'a' , \"b\" ] ", &n));
  assert_int_equal(n.n, 2);
  mynah__names_deinit(&n);
  ok(mynah__names_parse("{}", &n));
  assert_int_equal(n.n, 0);
  mynah__names_deinit(&n);
  ok(mynah__names_numbered(12, &n));
  assert_string_equal(n.text[11], "11");
  mynah__names_deinit(&n);
}

static void test_bad_names(void **state) {
  static const char *const bad[] = {"", "0", "{", "{0}", "{0:", "{0: 'a", "{0: 'a' 1: 'b'}", "{0: 'a', 0: 'b'}", "{1: 'a'}", "{0: __import__('os')}",
                                    "['a'] + ['b']", "{99999999999999999999: 'a'}", "{-1: 'a'}", "['\\q']", "['\\x4']", "['\\ud800']", "['\\", "['\\x00']",
                                    "['a\n']", "{0: 5}", "[[]]"};
  mynah__names n;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (mynah__names_parse(bad[i], &n) == MYNAH_OK) fail_msg("'%s' was taken", bad[i]);
}

static mynah_status names_work(void *context) {
  mynah__names n;
  MYNAH_TRY(mynah__names_parse("{0: 'a', 3: 'b', 1: 'c', 2: 'd'}", &n));
  mynah__names_deinit(&n);
  return MYNAH_OK;
}
static mynah_status onnx_work(void *context) {
  const mynah_str *m = context;
  mynah__onnx *o;
  MYNAH_TRY(mynah__onnx_parse(m->data, m->length, &o));
  mynah__onnx_destroy(o);
  return MYNAH_OK;
}

static void test_torture(void **state) {
  static const float floats[4] = {0};
  mynah_test_torture(names_work, NULL);
  mynah_str t = tensor("f", 1, (int64_t[]){4}, 1, floats, sizeof floats), m = model_of(&t), note = {0};
  put_bytes(&note, 1, "names", 5);
  put_bytes(&note, 2, "{}", 2);
  put_message(&m, 14, &note);
  mynah_test_torture(onnx_work, &m);
  mynah_str_deinit(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_types),     cmocka_unit_test(test_refused), cmocka_unit_test(test_not_a_detector),
                                     cmocka_unit_test(test_names),     cmocka_unit_test(test_bad_names), cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
