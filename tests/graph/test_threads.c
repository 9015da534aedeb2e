/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One run on several threads: the same bits as on one, for every kernel that is shared out, and nothing allocated. */
#include "graph_case.h"

#include "support/shared.h"

#include <mynah/model.h>

#include <unistd.h>

/* n: batch, size of the picture, channels, kernel, stride */
static mynah_node build_conv(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  int pad = (int)n[3] / 2;
  mynah_conv cfg = {.stride = {(int)n[4], (int)n[4]}, .pad = {pad, pad, pad, pad}};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[1], n[2]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[2] + 5, n[2], n[3], n[3]));
  mynah_node y = mynah_unary(g, "silu", mynah_conv2d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[2] + 5)), &cfg));
  mynah_node pooled = mynah_max_pool(g, y, &(mynah_pool2d){.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}});
  mynah_node parts[2] = {mynah_unary(g, "sigmoid", pooled), y};
  return mynah_concat(g, parts, 2, 3);
}

/* n: batch, size of the picture, channels, stride: a filter for each channel */
static mynah_node build_depthwise(mynah_graph *g, const graph_case *c) {
  const int64_t *n = c->n;
  mynah_conv cfg = {.stride = {(int)n[3], (int)n[3]}, .pad = {1, 1, 1, 1}, .groups = (int)n[2]};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(n[0], n[1], n[1] + 3, n[2]));
  mynah_node w = case_param(g, c, "w", MYNAH_SHAPE(n[2], 1, 3, 3));
  return mynah_unary(g, "silu", mynah_conv2d(g, x, w, case_param(g, c, "b", MYNAH_SHAPE(n[2])), &cfg));
}

/* n: rows, in, out */
static mynah_node build_linear(mynah_graph *g, const graph_case *c) {
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(c->n[0], c->n[1]));
  mynah_node y = mynah_linear(g, x, case_param(g, c, "w", MYNAH_SHAPE(c->n[2], c->n[1])),
                              case_param(g, c, "b", MYNAH_SHAPE(c->n[2])));
  return mynah_softmax(g, mynah_unary(g, "silu", y));
}

/* n: rows, width */
static mynah_node build_transformer(mynah_graph *g, const graph_case *c) {
  mynah_transformer_config layer = {4, 2 * c->n[1], "relu", 0, false};
  mynah_node x = case_input(g, "x", MYNAH_SHAPE(1, c->n[0], c->n[1]));
  return mynah_model_encoder_layer(g, "layer", x, MYNAH_NO_NODE, MYNAH_NO_NODE, &layer);
}

static const graph_case cases[] = {
    {"strips", build_conv, {2, 33, 19, 5, 2}, 0},   {"panels", build_conv, {1, 5, 70, 3, 1}, 0},
    {"winograd", build_conv, {1, 40, 40, 3, 1}, 0}, {"depthwise", build_depthwise, {2, 41, 37, 1}, 0},
    {"column", build_linear, {1, 300, 515}, 0},
    {"rows", build_linear, {301, 96, 40}, 0},       {"layer", build_transformer, {97, 64}, 0},
};

static void test_same_bits(void **state) {
  for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
    const graph_case *c = &cases[i / 2];
    mynah_dtype precision = i % 2 ? MYNAH_BF16 : MYNAH_F32;
    graph_run one = graph_case_act(c, NULL, precision, 1);
    for (int n = 2; n <= 7; n++) {
      graph_run several = graph_case_act(c, NULL, precision, n);
      size_t bytes = mynah_state_output_bytes(one.state, "y");
      if (memcmp(mynah_state_output(one.state, "y"), mynah_state_output(several.state, "y"), bytes) != 0)
        fail_msg("%s in %s: %d threads give other bits than one", c->name, mynah_dtype_name(precision), n);
      graph_run_end(&several);
    }
    graph_run_end(&one);
  }
}

/* n: size of the picture; frozen batch norm is folded into the filters, and so is what follows from weights alone */
static mynah_node build_resnet(mynah_graph *g, const graph_case *c) {
  return mynah_model_resnet(g, "resnet", case_input(g, "x", MYNAH_SHAPE(1, c->n[0], c->n[0], 3)), &(mynah_resnet_config){.layers = 18});
}
static const graph_case folded_case = {"folded", build_resnet, {32}, 0};

/* The run of `one` with weights that stay in a file: the same bits, and what the file lacks or has wrong is said. */
static void compare_with_file(const graph_case *c, const graph_run *one, const mynah_compile_config *cfg, const char *path) {
  mynah_safetensors *f;
  mynah_weights *w;
  mynah_program *p;
  mynah_binding *b;
  mynah_state *s;
  char hash[2][65];
  case_ok(mynah_safetensors_stream(path, &f));
  case_ok(mynah_weights_open(one->graph, f, &w));
  case_ok(mynah_compile(one->graph, cfg, &p));
  case_ok(mynah_binding_create(p, w, &b));
  case_ok(mynah_weights_check(w));
  case_ok(mynah_weights_hash(w, hash[0]));
  case_ok(mynah_weights_hash(one->weights, hash[1]));
  assert_string_equal(hash[0], hash[1]);
  case_ok(mynah_state_create(b, &s));
  for (int i = 0; i < mynah_program_n_inputs(p); i++) {
    mynah_shape shape;
    const char *name = mynah_program_input(p, i, NULL, &shape);
    memcpy(mynah_state_input(s, name), mynah_state_input(one->state, name), (size_t)mynah_shape_size(shape) * sizeof(float));
  }
  for (int k = 0; k < 2; k++) {
    mynah_state_run(s);
    if (memcmp(mynah_state_output(s, "y"), mynah_state_output(one->state, "y"), mynah_state_output_bytes(s, "y")) != 0)
      fail_msg("%s, %s in %s on %d threads: other bits with weights in a file", c->name, cfg->kernels, mynah_dtype_name(cfg->precision), cfg->n_threads);
  }
  mynah_state_destroy(s);
  mynah_binding_destroy(b);
  mynah_program_destroy(p);
  mynah_weights_destroy(w);
  mynah_safetensors_close(f);
}

static void test_weights_in_a_file(void **state) {
  static const char *const kernels[] = {"winograd,fast,dnnl,ref", "fast,ref", "dnnl,ref", "ref"};
  char path[MYNAH_PATH_MAX];
  mynah_safetensor tensors[256];
  size_t n_cases = sizeof cases / sizeof *cases;
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("threads"), "w.safetensors"));
  for (size_t i = 0; i < 8 * (n_cases + 1); i++) {
    const graph_case *c = i / 8 < n_cases ? &cases[i / 8] : &folded_case;
    if (c == &folded_case && i % 8 >= 4) continue; /* plain loops take long for a ResNet */
    mynah_compile_config cfg = mynah_compile_default();
    cfg.is_frozen = true;
    cfg.kernels = kernels[i / 2 % 4];
    cfg.precision = i % 2 ? MYNAH_BF16 : MYNAH_F32;
    graph_run one = graph_case_act(c, cfg.kernels, cfg.precision, 1);
    int n = mynah_weights_n_tensors(one.weights);
    assert_true(mynah_weights_tensors(one.weights, tensors, 256) == n && n <= 256);
    case_ok(mynah_safetensors_write(path, tensors, n, NULL, 0));
    for (cfg.n_threads = 1; cfg.n_threads <= 3; cfg.n_threads += 2) compare_with_file(c, &one, &cfg, path);
    graph_run_end(&one);
  }
}

/* Weights in a file are for frozen programs; a file that is cut while it is open is an error of the binding. */
static void test_bad_files(void **state) {
  char path[MYNAH_PATH_MAX];
  mynah_safetensor tensors[16];
  mynah_safetensors *f;
  mynah_weights *w;
  mynah_program *p;
  mynah_binding *b = NULL;
  graph_run one = graph_case_act(&cases[4], NULL, MYNAH_F32, 1);
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("threads"), "w.safetensors"));
  case_ok(mynah_safetensors_write(path, tensors, mynah_weights_tensors(one.weights, tensors, 16), NULL, 0));
  case_ok(mynah_safetensors_stream(path, &f));
  case_ok(mynah_weights_open(one.graph, f, &w));
  case_ok(mynah_compile(one.graph, NULL, &p));
  assert_int_equal(mynah_binding_create(p, w, &b), MYNAH_INVALID);
  mynah_program_destroy(p);
  for (int n_threads = 1; n_threads <= 2; n_threads++) {
    mynah_compile_config cfg = mynah_compile_default();
    cfg.is_frozen = true;
    cfg.n_threads = n_threads;
    case_ok(mynah_compile(one.graph, &cfg, &p));
    assert_int_equal(truncate(path, 4000), 0);
    assert_int_equal(mynah_binding_create(p, w, &b), MYNAH_CORRUPT);
    assert_non_null(strstr(mynah_error(), "cut"));
    assert_null(b);
    mynah_program_destroy(p);
  }
  mynah_weights_destroy(w);
  mynah_safetensors_close(f);
  graph_run_end(&one);
}

/* A program for one thread is fit for real time; one that waits for threads is not, but allocates as little. */
static void test_allocates_nothing(void **state) {
  graph_run one = graph_case_act(&cases[0], NULL, MYNAH_F32, 1), two = graph_case_act(&cases[0], NULL, MYNAH_F32, 2);
  assert_true(mynah_program_is_rt(one.program));
  assert_false(mynah_program_is_rt(two.program));
  mynah_alloc_trap(true);
  mynah_state_run(two.state);
  assert_int_equal(mynah_alloc_trap(false), 0);
  graph_run_end(&one);
  graph_run_end(&two);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_allocates_nothing),
                                     cmocka_unit_test(test_weights_in_a_file), cmocka_unit_test(test_bad_files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
