/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ONNX reader on files made here byte by byte. */
#include "onnx_case.h"

#include "support/torture.h"

/* ---- reading
 * ------------------------------------------------------------------------------------------------------------ */

static void test_types(void **state) {
  static const float floats[4] = {1, -2.5f, 3, 1e-20f};
  static const double doubles[2] = {0.25, -7};
  static const uint16_t halves[6] = {0x3C00, 0xC500, 0x0001, 0x7BFF, 0x8000, 0x3555};
  mynah_onnx *o;
  int n;
  mynah_str t = tensor("f", 1, (int64_t[]){2, 2}, 2, floats, sizeof floats), m = model_of(&t);
  ok(parse(&m, &o));
  const mynah_safetensor *w = mynah_onnx_weights(o, &n);
  assert_int_equal(n, 1);
  assert_memory_equal(w[0].data, floats, sizeof floats);
  assert_int_equal(w[0].shape.n_dims, 2);
  mynah_onnx_destroy(o);
  t = tensor("d", 11, (int64_t[]){2}, 1, doubles, sizeof doubles), m = model_of(&t);
  ok(parse(&m, &o));
  w = mynah_onnx_weights(o, &n);
  assert_true(((const float *)w[0].data)[0] >= 0.25f && ((const float *)w[0].data)[1] <= -7);
  mynah_onnx_destroy(o);
  t = tensor("h", 10, (int64_t[]){6}, 1, halves, sizeof halves), m = model_of(&t);
  ok(parse(&m, &o));
  const float *h = mynah_onnx_weights(o, &n)[0].data;
  assert_true(fabsf(h[0] - 1) < 1e-9f && fabsf(h[1] + 5) < 1e-9f && fabsf(h[2] - 0x1p-24f) < 1e-12f && fabsf(h[3] - 65504) < 1 &&
              signbit(h[4]));
  assert_true(fabsf(h[5] - 0.33325195f) < 1e-7f);
  mynah_onnx_destroy(o);
  t = tensor("i", 7, (int64_t[]){1}, 1, doubles, 8), m = model_of(&t); /* whole numbers are no weights */
  ok(parse(&m, &o));
  mynah_onnx_weights(o, &n);
  assert_int_equal(n, 0);
  mynah_onnx_destroy(o);
  t = tensor("p", 1, (int64_t[]){4}, 1, NULL, 0); /* packed in the field of floats */
  put_bytes(&t, 4, floats, sizeof floats);
  m = model_of(&t);
  ok(parse(&m, &o));
  assert_memory_equal(mynah_onnx_weights(o, &n)[0].data, floats, sizeof floats);
  mynah_onnx_destroy(o);
}

static void refused(mynah_str *model, mynah_status status, const char *text) {
  mynah_onnx *o;
  mynah_status got = parse(model, &o);
  if (got != status || !strstr(mynah_error(), text))
    fail_msg("%s '%s', not %s '%s'", mynah_status_name(got), mynah_error(), mynah_status_name(status), text);
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

static mynah_status read_work(void *context) {
  const mynah_str *m = context;
  mynah_onnx *o;
  MYNAH_TRY(mynah_onnx_parse(m->data, m->length, &o));
  mynah_onnx_destroy(o);
  return MYNAH_OK;
}

/* A network of 80 MB, as an ACT policy has more. */
static void test_large(void **state) {
  const int64_t n = 20000000;
  const size_t most = (size_t)1 << 30;
  float *floats = mynah_calloc((size_t)n, sizeof *floats);
  floats[n - 1] = 3;
  mynah_str node = {0}, t = {.max = most}, graph = {.max = most}, model = {.max = most};
  put_number(&t, 1, (uint64_t)n);
  put_number(&t, 2, 1);
  put_bytes(&t, 8, "w", 1);
  put_bytes(&t, 9, floats, (size_t)n * sizeof *floats);
  put_bytes(&node, 4, "Conv", 4);
  put_message(&graph, 1, &node);
  put_message(&graph, 5, &t);
  put_message(&model, 7, &graph);
  mynah_onnx *o;
  int n_weights;
  ok(parse(&model, &o));
  const mynah_safetensor *w = mynah_onnx_weights(o, &n_weights);
  assert_int_equal(n_weights, 1);
  assert_true(w->shape.dims[0] == n && ((const float *)w->data)[n - 1] == 3);
  mynah_onnx_destroy(o);
  mynah_free(floats);
}

/* A convolution of this name whose filters and bias both are the tensor "one". */
static mynah_str shared_model(const char *node_name) {
  static const float floats[4] = {5};
  mynah_str t = tensor("one", 1, (int64_t[]){4}, 1, floats, sizeof floats), node = {0}, graph = {0}, model = {0};
  put_bytes(&node, 1, "x", 1);
  put_bytes(&node, 1, "one", 3);
  put_bytes(&node, 1, "one", 3);
  put_bytes(&node, 2, "y", 1);
  put_bytes(&node, 3, node_name, strlen(node_name));
  put_bytes(&node, 4, "Conv", 4);
  put_message(&graph, 1, &node);
  put_message(&graph, 5, &t);
  put_message(&model, 7, &graph);
  return model;
}

/* Equal tensors that became one are found under the names of the modules that had them. */
static void test_shared(void **state) {
  char deep[400] = "";
  for (int i = 0; i < 98; i++) strcat(deep, "/abc");
  const struct {
    const char *node, *name; /* NULL: none */
  } cases[] = {{"/model.0/conv/Conv", "model.0.conv.bias"}, {"/model.23/cv2.1/cv2.1.2/Conv", "model.23.cv2.1.2.bias"}, {"/a/a.b/a.b.c/Conv", "a.b.c.bias"},
               {"/a/ab/Conv", "a.ab.bias"}, {"/Conv", NULL}, {"Conv_7", NULL}, {"", NULL}, {"//", NULL}, {deep, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    mynah_str m = shared_model(cases[i].node);
    mynah_onnx *o;
    int n;
    ok(parse(&m, &o));
    const mynah_safetensor *w = mynah_onnx_weights(o, &n);
    assert_int_equal(n, cases[i].name ? 3 : 1);
    if (cases[i].name) assert_string_equal(w[2].name, cases[i].name);
    assert_true(*(const float *)w[n - 1].data == 5);
    mynah_onnx_destroy(o);
  }
}

static void test_torture(void **state) {
  mynah_str m = shared_model("/a/b/Conv"), note = {0};
  put_bytes(&note, 1, "names", 5);
  put_bytes(&note, 2, "{}", 2);
  put_message(&m, 14, &note);
  mynah_test_torture(read_work, &m);
  mynah_str_deinit(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_types), cmocka_unit_test(test_refused), cmocka_unit_test(test_large), cmocka_unit_test(test_shared),
                                     cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
