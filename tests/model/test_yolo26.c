/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* YOLO26 against its golden numbers (../shared/goldens/yolo26): sizes of all five scales, every layer, both heads. */
#include "support/formula.h"
#include "support/shared.h"

#include <mynah/model.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}

typedef struct eye {
  mynah_graph *graph;
  mynah_yolo26_features features;
  mynah_program *program;
  mynah_weights *weights;
  mynah_binding *binding;
  mynah_state *state;
} eye;

static void describe(eye *e, mynah_yolo26_config config, int64_t side, bool is_one_to_one) {
  mynah_yolo26_head head;
  float scale = 1.0f / 255, shift = 0;
  ok(mynah_graph_create(&e->graph));
  mynah_node x = mynah_input(e->graph, "image", MYNAH_U8, MYNAH_SHAPE(1, side, side, 3));
  x = mynah_from_u8(e->graph, x, &scale, &shift, 1);
  assert_true(mynah_model_yolo26(e->graph, x, &config, &e->features));
  assert_true(mynah_model_yolo26_head(e->graph, &e->features, &config, is_one_to_one, &head));
  mynah_output(e->graph, "boxes", mynah_model_yolo26_boxes(e->graph, head.distances, side, side));
  mynah_output(e->graph, "scores", mynah_sigmoid(e->graph, head.logits));
}

static void eye_end(eye *e) {
  mynah_state_destroy(e->state);
  mynah_binding_destroy(e->binding);
  mynah_weights_destroy(e->weights);
  mynah_program_destroy(e->program);
  mynah_graph_destroy(e->graph);
}

/* ---- sizes --------------------------------------------------------------------------------------------------------- */

static void test_parameters(void **state) {
  static const struct {
    char scale;
    int64_t n;
  } due[] = {{'n', 2572280}, {'s', 10009784}, {'m', 21896248}, {'l', 26299704}, {'x', 58993368}};
  for (size_t i = 0; i < sizeof due / sizeof *due; i++) {
    eye e = {0};
    mynah_yolo26_head head;
    mynah_yolo26_config config = {due[i].scale, 80, MYNAH_YOLO26_TRAINED};
    describe(&e, config, 64, true);
    assert_true(mynah_model_yolo26_head(e.graph, &e.features, &config, false, &head));
    ok(mynah_weights_create(e.graph, 1, &e.weights));
    if (mynah_weights_n_parameters(e.weights) != due[i].n)
      fail_msg("yolo26%c has %lld parameters, not %lld", due[i].scale, (long long)mynah_weights_n_parameters(e.weights),
               (long long)due[i].n);
    /* 708 tensors, of which a sixth of 708 - 24 are counters of batches, which we do not keep. */
    if (i < 2) assert_int_equal(mynah_weights_n_tensors(e.weights), 708 - (708 - 24) / 6);
    eye_end(&e);
  }
}

static void test_refused(void **state) {
  static const mynah_yolo26_config bad[] = {{'q', 80, MYNAH_YOLO26_FUSED}, {'n', 0, MYNAH_YOLO26_FUSED}, {'n', 80, MYNAH_YOLO26_FUSED}};
  for (int i = 0; i < 3; i++) {
    mynah_graph *g;
    mynah_yolo26_features f;
    ok(mynah_graph_create(&g));
    mynah_node x = mynah_input(g, "image", MYNAH_F32, MYNAH_SHAPE(1, 64, i == 2 ? 48 : 64, 3));
    assert_false(mynah_model_yolo26(g, x, &bad[i], &f));
    assert_int_not_equal(mynah_graph_status(g), MYNAH_OK);
    assert_non_null(strstr(mynah_error(), "yolo26"));
    mynah_graph_destroy(g);
  }
}

/* ---- golden numbers ------------------------------------------------------------------------------------------------ */

/* The set's own gains: the first that fits. */
static double gain_of(const char *name) {
  static const struct {
    const char *part;
    double gain;
  } rows[] = {{"cv3.0.2.", 0.12}, {"cv3.1.2.", 0.12}, {"cv3.2.2.", 0.12}, {"cv2.0.2.", 1.5}, {"cv2.1.2.", 1.5},
              {"cv2.2.2.", 1.5},  {"model.23", 1.7},  {"model.22.", 1.15}, {"model.10.", 1.1}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strstr(name, rows[i].part)) return rows[i].gain;
  return 1.52;
}

static void fill(eye *e, const char *picture, int64_t side) {
  for (int i = 0; i < mynah_weights_n_tensors(e->weights); i++) {
    const mynah_tensor_info *t = mynah_weights_tensor(e->weights, i);
    formula_tensor(t->name, t->shape, gain_of(t->name), mynah_weights_data(e->weights) + t->offset);
  }
  mynah_binding_refresh(e->binding, NULL);
  formula_image(picture, side, side, mynah_state_input(e->state, "image"));
}

static void start(eye *e, const char *picture, int64_t side) {
  mynah_compile_config compile = mynah_compile_default();
  compile.is_frozen = true;
  ok(mynah_compile(e->graph, &compile, &e->program));
  for (int i = 0; i < mynah_program_n_steps(e->program); i++) {
    const char *kernel;
    mynah_program_step(e->program, i, NULL, &kernel, NULL, NULL);
    if (strncmp(kernel, "ref:", 4) == 0) fail_msg("a step runs on %s", kernel);
  }
  ok(mynah_weights_create(e->graph, 1, &e->weights));
  ok(mynah_binding_create(e->program, e->weights, &e->binding));
  ok(mynah_state_create(e->binding, &e->state));
  fill(e, picture, side);
  mynah_state_run(e->state);
}

static const float *floats(const mynah_safetensors *f, const char *name) {
  const mynah_safetensor *t = mynah_safetensors_find(f, name);
  if (!t || t->dtype != MYNAH_F32) fail_msg("the file lacks %s", name);
  return t->data;
}

/* Channel means and samples of layer k, which is y (h,w,c). */
static void check_layer(const mynah_safetensors *f, int k, const float *y, mynah_shape s) {
  char name[48];
  int64_t h = s.dims[1], w = s.dims[2], c = s.dims[3];
  snprintf(name, sizeof name, "layer%02d.channel_mean", k);
  const float *mean = floats(f, name);
  for (int64_t i = 0; i < c; i++) {
    double sum = 0;
    for (int64_t p = 0; p < h * w; p++) sum += (double)y[p * c + i];
    double got = sum / (double)(h * w);
    if (!(fabs(got - (double)mean[i]) <= 3e-5 * (1 + fabs(got))))
      fail_msg("%s[%lld]: %g, not %g", name, (long long)i, got, (double)mean[i]);
  }
  snprintf(name, sizeof name, "layer%02d.slice", k);
  const mynah_safetensor *t = mynah_safetensors_find(f, name);
  const float *due = floats(f, name);
  int64_t dc = c / 8, dh = h / 4, dw = w / 4;
  for (int64_t i = 0; i < mynah_shape_size(t->shape); i++) {
    int64_t a = i / (t->shape.dims[1] * t->shape.dims[2]), b = i / t->shape.dims[2] % t->shape.dims[1], d = i % t->shape.dims[2];
    double got = (double)y[(b * dh * w + d * dw) * c + a * dc];
    if (!(fabs(got - (double)due[i]) <= 1e-4 * (1 + fabs(got))))
      fail_msg("%s[%lld]: %g, not %g", name, (long long)i, got, (double)due[i]);
  }
}

static void test_layers_and_one_to_one(void **state) {
  mynah_safetensors *f;
  eye e = {0};
  ok(mynah_safetensors_open(mynah_test_shared("goldens/yolo26/goldens.safetensors"), &f));
  describe(&e, (mynah_yolo26_config){'n', 80, MYNAH_YOLO26_FROZEN}, 640, true);
  for (int i = 0; i < MYNAH_YOLO26_LAYERS; i++) {
    char name[16];
    snprintf(name, sizeof name, "layer.%d", i);
    mynah_output(e.graph, name, e.features.layers[i]);
  }
  start(&e, "yolo.img.640", 640);
  for (int i = 0; i < MYNAH_YOLO26_LAYERS; i++) {
    char name[16];
    snprintf(name, sizeof name, "layer.%d", i);
    check_layer(f, i, mynah_state_output(e.state, name), mynah_node_shape(e.graph, e.features.layers[i]));
  }
  const float *due = floats(f, "pre_topk_640"), *boxes = mynah_state_output(e.state, "boxes");
  const float *scores = mynah_state_output(e.state, "scores");
  double box = 0, score = 0;
  for (int64_t i = 0; i < 8400; i++, due += 84) {
    for (int k = 0; k < 4; k++) box = fmax(box, fabs((double)boxes[4 * i + k] - (double)due[k]));
    for (int k = 0; k < 80; k++) score = fmax(score, fabs((double)scores[80 * i + k] - (double)due[4 + k]));
  }
  print_message("640 one-to-one: boxes %.2g px, scores %.2g\n", box, score);
  assert_true(box <= 0.02 && score <= 2e-5);
  eye_end(&e);
  mynah_safetensors_close(f);
}

static void test_one_to_many(void **state) {
  mynah_safetensors *f;
  eye e = {0};
  ok(mynah_safetensors_open(mynah_test_shared("goldens/yolo26/goldens.safetensors"), &f));
  describe(&e, (mynah_yolo26_config){'n', 80, MYNAH_YOLO26_FROZEN}, 320, false);
  start(&e, "yolo.img.320", 320);
  const float *due = floats(f, "raw_320"), *boxes = mynah_state_output(e.state, "boxes"); /* (84,2100) */
  const float *scores = mynah_state_output(e.state, "scores");
  double box = 0, score = 0;
  for (int64_t i = 0; i < 2100; i++) {
    for (int k = 0; k < 2; k++) {
      double low = (double)boxes[4 * i + k], high = (double)boxes[4 * i + 2 + k];
      box = fmax(box, fabs((low + high) / 2 - (double)due[k * 2100 + i]));
      box = fmax(box, fabs(high - low - (double)due[(2 + k) * 2100 + i]));
    }
    for (int k = 0; k < 80; k++) score = fmax(score, fabs((double)scores[80 * i + k] - (double)due[(4 + k) * 2100 + i]));
  }
  print_message("320 one-to-many: boxes %.2g px, scores %.2g\n", box, score);
  assert_true(box <= 0.02 && score <= 2e-5);
  eye_end(&e);
  mynah_safetensors_close(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_parameters), cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_layers_and_one_to_one), cmocka_unit_test(test_one_to_many)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
