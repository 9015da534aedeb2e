/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Weights: layout, first values, copies, files, binding them to programs. */
#include "graph_case.h"

#include "support/shared.h"
#include "support/torture.h"

#define UNIFORM ((mynah_init){MYNAH_INIT_UNIFORM, 0.25f})

static mynah_graph *weights_graph(void) {
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_buffer(g, "mean", MYNAH_SHAPE(3), (mynah_init){MYNAH_INIT_CONSTANT, 7});
  mynah_weight(g, "a", MYNAH_SHAPE(30, 50), UNIFORM);
  mynah_weight(g, "b", MYNAH_SHAPE(50), (mynah_init){MYNAH_INIT_NORMAL, 2});
  mynah_weight(g, "zero", MYNAH_SHAPE(1), (mynah_init){MYNAH_INIT_ZERO, 0});
  mynah_weight(g, "c", MYNAH_SHAPE(30, 50), UNIFORM);
  return g;
}

static void test_layout(void **state) {
  mynah_graph *g = weights_graph();
  mynah_weights *w, *again, *other, *copy;
  case_ok(mynah_weights_create(g, 1, &w));
  case_ok(mynah_weights_create(g, 1, &again));
  case_ok(mynah_weights_create(g, 2, &other));
  case_ok(mynah_weights_copy(w, &copy));
  const mynah_tensor_info *a = mynah_weights_find(w, "a"), *b = mynah_weights_find(w, "b");
  const mynah_tensor_info *c = mynah_weights_find(w, "c"), *mean = mynah_weights_find(w, "mean");
  assert_int_equal(mynah_weights_n_tensors(w), 5);
  assert_int_equal(a->offset, 0);
  assert_int_equal(b->offset, 1504); /* 1500 in steps of 16 */
  assert_true(a->is_decayed && a->is_trained && !b->is_decayed && b->is_trained && !mean->is_trained);
  assert_int_equal(mynah_weights_n_trained(w), mean->offset);
  assert_int_equal(mynah_weights_n_parameters(w), 1500 + 50 + 1 + 1500);
  size_t bytes = (size_t)mynah_weights_n_floats(w) * sizeof(float);
  assert_int_equal(mynah_weights_n_floats(w) % 16, 0);
  const float *data = mynah_weights_const_data(w);
  assert_int_equal((uintptr_t)data % 64, 0);
  assert_memory_equal(data, mynah_weights_const_data(again), bytes);
  assert_memory_equal(data, mynah_weights_const_data(copy), bytes);
  assert_memory_not_equal(data, mynah_weights_const_data(other), bytes);
  assert_memory_not_equal(data + a->offset, data + c->offset, 6000); /* same shape, another name */
  for (int i = 1500; i < 1504; i++) assert_true(data[i] == 0);
  double low = 0, high = 0, square = 0;
  for (int i = 0; i < 1500; i++) low = fmin(low, (double)data[i]), high = fmax(high, (double)data[i]);
  for (int i = 0; i < 50; i++) square += (double)(data[b->offset + i] * data[b->offset + i]) / 50;
  assert_true(low >= -0.25 && low < -0.24 && high <= 0.25 && high > 0.24);
  assert_true(sqrt(square) > 1.2 && sqrt(square) < 2.8);
  for (int i = 0; i < 3; i++) assert_true(data[mean->offset + i] == 7);
  mynah_weights_destroy(w);
  assert_string_equal(mynah_weights_tensor(copy, 0)->name, "a"); /* the copy stands by itself */
  assert_null(mynah_weights_tensor(copy, 5));
  assert_null(mynah_weights_find(copy, "d"));
  mynah_weights_destroy(again);
  mynah_weights_destroy(other);
  mynah_weights_destroy(copy);
  mynah_weights_destroy(NULL);
  mynah_graph_destroy(g);
}

/* Writes w's tensors but the last `n_dropped` and returns the file's path. */
static const char *write_weights(const mynah_weights *w, int n_dropped) {
  static char path[MYNAH_PATH_MAX];
  mynah_safetensor tensors[16];
  int n = mynah_weights_tensors(w, tensors, 16);
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("weights"), "w.safetensors"));
  case_ok(mynah_safetensors_write(path, tensors, n - n_dropped, NULL, 0));
  return path;
}

static void test_file(void **state) {
  mynah_graph *g = weights_graph();
  mynah_weights *w, *back;
  mynah_safetensors *f;
  case_ok(mynah_weights_create(g, 1, &w));
  case_ok(mynah_weights_create(g, 2, &back));
  case_ok(mynah_safetensors_open(write_weights(w, 0), &f));
  case_ok(mynah_weights_load(back, f, false));
  assert_memory_equal(mynah_weights_const_data(w), mynah_weights_const_data(back),
                      (size_t)mynah_weights_n_floats(w) * 4);
  mynah_safetensors_close(f);
  /* One tensor missing: nothing is changed. */
  mynah_weights_data(w)[0] = 99;
  case_ok(mynah_safetensors_open(write_weights(w, 1), &f));
  assert_int_equal(mynah_weights_load(back, f, false), MYNAH_NOT_FOUND);
  assert_non_null(strstr(mynah_error(), "'mean'"));
  assert_true(mynah_weights_const_data(back)[0] != 99);
  mynah_safetensors_close(f);
  /* Not a number. */
  mynah_weights_data(w)[1] = NAN;
  case_ok(mynah_safetensors_open(write_weights(w, 0), &f));
  assert_int_equal(mynah_weights_load(back, f, false), MYNAH_NONFINITE);
  assert_non_null(strstr(mynah_error(), "'a': element 1 "));
  mynah_safetensors_close(f);
  mynah_weights_destroy(w);
  mynah_weights_destroy(back);
  mynah_graph_destroy(g);
}

/* Loads one tensor "w" of the given type and shape into a weight (2,2). */
static mynah_status load_one(mynah_safetensor t, bool allow_extra, mynah_weights *w) {
  char path[MYNAH_PATH_MAX];
  mynah_safetensors *f;
  const uint8_t extra = 1;
  mynah_safetensor both[2] = {t, {"extra", MYNAH_U8, MYNAH_SHAPE(1), &extra, 1}};
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("weights_one"), "w.safetensors"));
  case_ok(mynah_safetensors_write(path, both, allow_extra ? 2 : 1, NULL, 0));
  case_ok(mynah_safetensors_open(path, &f));
  mynah_status status = mynah_weights_load(w, f, false);
  if (allow_extra) {
    assert_int_equal(status, MYNAH_MISMATCH);
    assert_non_null(strstr(mynah_error(), "'extra'"));
    status = mynah_weights_load(w, f, true);
  }
  mynah_safetensors_close(f);
  return status;
}

static void test_types(void **state) {
  mynah_graph *g;
  mynah_weights *w;
  const double doubles[4] = {1, 2, 3, 0.1};
  const uint16_t bf16[4] = {0x3f80, 0x4000, 0xc040, 0x3e80}; /* 1, 2, -3, 0.25 */
  const int32_t ints[4] = {1, 2, 3, 4};
  case_ok(mynah_graph_create(&g));
  mynah_weight(g, "w", MYNAH_SHAPE(2, 2), UNIFORM);
  case_ok(mynah_weights_create(g, 1, &w));
  const float *data = mynah_weights_const_data(w);
  case_ok(load_one((mynah_safetensor){"w", MYNAH_F64, MYNAH_SHAPE(2, 2), doubles, 32}, false, w));
  assert_true(data[0] == 1 && data[3] == 0.1f);
  case_ok(load_one((mynah_safetensor){"w", MYNAH_BF16, MYNAH_SHAPE(2, 2), bf16, 8}, true, w));
  assert_true(data[0] == 1 && data[2] == -3 && data[3] == 0.25f);
  assert_int_equal(load_one((mynah_safetensor){"w", MYNAH_I32, MYNAH_SHAPE(2, 2), ints, 16}, false, w),
                   MYNAH_UNSUPPORTED);
  assert_int_equal(load_one((mynah_safetensor){"w", MYNAH_F64, MYNAH_SHAPE(4), doubles, 32}, false, w), MYNAH_MISMATCH);
  assert_non_null(strstr(mynah_error(), "'w' is (4) in the file, (2,2) here"));
  assert_true(data[2] == -3);
  mynah_weights_destroy(w);
  mynah_graph_destroy(g);
}

/* Weights of one graph, program of another. */
static void test_binding(void **state) {
  mynah_graph *g, *h;
  mynah_program *p;
  mynah_weights *w;
  mynah_binding *b = NULL;
  for (int i = 0; i < 3; i++) {
    case_ok(mynah_graph_create(&g));
    case_ok(mynah_graph_create(&h));
    mynah_output(g, "y", mynah_relu(g, mynah_weight(g, "w", MYNAH_SHAPE(2, 2), UNIFORM)));
    mynah_weight(h, i == 0 ? "v" : "w", i == 1 ? MYNAH_SHAPE(2, 3) : MYNAH_SHAPE(2, 2), UNIFORM);
    mynah_weight(h, "more", MYNAH_SHAPE(4), UNIFORM);
    case_ok(mynah_compile(g, NULL, &p));
    case_ok(mynah_weights_create(h, 1, &w));
    mynah_status status = mynah_binding_create(p, w, &b);
    assert_int_equal(status, i == 0 ? MYNAH_NOT_FOUND : i == 1 ? MYNAH_MISMATCH : MYNAH_OK);
    if (i < 2) assert_non_null(strstr(mynah_error(), i == 0 ? "lack 'w'" : "'w' is (2,3), the program needs (2,2)"));
    mynah_binding_destroy(b);
    b = NULL;
    mynah_weights_destroy(w);
    mynah_program_destroy(p);
    mynah_graph_destroy(g);
    mynah_graph_destroy(h);
  }
}

static const char *folder;

static mynah_status file_work(void *context) {
  const mynah_graph *g = context;
  mynah_weights *w = NULL, *copy = NULL;
  mynah_safetensors *f = NULL;
  mynah_safetensor tensors[16];
  char path[MYNAH_PATH_MAX];
  mynah_metadata metadata = {"note", "text"};
  mynah_status status = mynah_path_join(path, sizeof path, folder, "torture.safetensors");
  if (status == MYNAH_OK) status = mynah_weights_create(g, 1, &w);
  if (status == MYNAH_OK) status = mynah_weights_copy(w, &copy);
  if (status == MYNAH_OK)
    status = mynah_safetensors_write(path, tensors, mynah_weights_tensors(w, tensors, 16), &metadata, 1);
  if (status == MYNAH_OK) status = mynah_safetensors_open(path, &f);
  if (status == MYNAH_OK) status = mynah_weights_load(copy, f, false);
  mynah_safetensors_close(f);
  mynah_weights_destroy(copy);
  mynah_weights_destroy(w);
  (void)!mynah_file_remove(path);
  return status;
}

static void test_torture(void **state) {
  mynah_graph *g = weights_graph();
  folder = mynah_test_folder("weights_torture");
  assert_true(mynah_test_torture(file_work, g) > 20);
  mynah_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layout),  cmocka_unit_test(test_file),    cmocka_unit_test(test_types),
      cmocka_unit_test(test_binding), cmocka_unit_test(test_torture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
