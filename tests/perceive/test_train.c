/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The graph that trains a detector: its parameters, what learns what, its kernels, and the detector that comes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <mynah/perceive.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static mynah_detector_config config;
static const char *const classes[2] = {"cone", "ball"};

static mynah_detector_training about(int width, int height) {
  mynah_config_default(&mynah_detector_table, &config);
  config.size = 64;
  return (mynah_detector_training){.config = &config,
                                   .classes = classes,
                                   .n_classes = 2,
                                   .n_boxes = 4,
                                   .letterbox = mynah_detector_letterbox(&config, width, height),
                                   .n_steps = 4};
}

typedef struct run {
  mynah_program *program;
  mynah_weights *weights;
  mynah_binding *binding;
  mynah_state *state;
} run;

static run start(const mynah_detector_training *t) {
  run r;
  mynah_graph *g;
  mynah_node loss;
  mynah_compile_config c = mynah_compile_default();
  assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
  if (mynah_detector_build_train(t, 2, g, &loss) != MYNAH_OK) fail_msg("%s", mynah_error());
  mynah_output(g, "loss", loss);
  assert_int_equal(mynah_differentiate(g, loss), MYNAH_OK);
  if (mynah_compile(g, &c, &r.program) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(mynah_weights_create(g, 1, &r.weights), MYNAH_OK);
  mynah_graph_destroy(g);
  assert_int_equal(mynah_binding_create(r.program, r.weights, &r.binding), MYNAH_OK);
  assert_int_equal(mynah_state_create(r.binding, &r.state), MYNAH_OK);
  uint8_t *image = mynah_state_input(r.state, "image");
  float *boxes = mynah_state_input(r.state, "boxes");
  mynah_rng rng = mynah_rng_make(3, 0);
  for (int i = 0; i < 2 * t->letterbox.inner_height * t->letterbox.inner_width * 3; i++)
    image[i] = (uint8_t)mynah_rng_u32(&rng);
  for (int i = 0; i < 8; i++)
    memcpy(boxes + 5 * i, (const float[5]){i % 4 < 2 ? (float)(i % 2) : -1, 0.3f + 0.05f * (float)i, 0.5f, 0.3f, 0.4f},
           5 * sizeof *boxes);
  return r;
}

static void stop(run *r) {
  mynah_state_destroy(r->state);
  mynah_binding_destroy(r->binding);
  mynah_weights_destroy(r->weights);
  mynah_program_destroy(r->program);
}

static double slope_of(const run *r, const char *name) {
  const mynah_tensor_info *w = mynah_weights_find(r->weights, name);
  assert_non_null(w);
  return mynah_sweep_sum_squares(w->size, mynah_state_gradients(r->state) + w->offset);
}

/* Every trained weight is moved; of the reference kernels only the assignment and the loss run, which cost next to
 * nothing. */
static void test_step(void **state) {
  (void)state;
  mynah_detector_training t = about(64, 48);
  run r = start(&t);
  mynah_state_run(r.state);
  assert_true(isfinite(*(const float *)mynah_state_output(r.state, "loss")));
  for (int i = 0; i < mynah_weights_n_tensors(r.weights); i++) {
    const mynah_tensor_info *w = mynah_weights_tensor(r.weights, i);
    double sum = w->is_trained ? slope_of(&r, w->name) : 1;
    bool may_rest = strstr(w->name, "cv2.1.") || strstr(w->name, "cv2.2."); /* no object has a cell of that size */
    if (!(sum > 0 || (may_rest && w->name[6] == '2')) || !isfinite(sum)) fail_msg("gradient of %s: %g", w->name, sum);
  }
  for (int i = 0; i < mynah_program_n_steps(r.program); i++) {
    const char *op, *kernel;
    mynah_program_step(r.program, i, &op, &kernel, NULL, NULL);
    bool is_loss = strcmp(op, "assign_cells") == 0 || strncmp(op, "detect_loss", 11) == 0;
    if (!is_loss && strncmp(kernel, "ref:", 4) == 0) fail_msg("step %d, %s, runs on %s", i, op, kernel);
  }
  const float *next = mynah_state_output(r.state, "update/train.progress");
  assert_true(next[0] == 0.25f);
  stop(&r);
}

/* The one-to-one head forms no features: with its loss alone the trunk stands still. */
static void test_heads(void **state) {
  (void)state;
  mynah_detector_training t = about(64, 64);
  config.first_many = 0;
  run r = start(&t);
  mynah_state_run(r.state);
  assert_true(slope_of(&r, "model.0.conv.weight") == 0);
  assert_true(slope_of(&r, "model.23.cv2.0.2.weight") == 0);
  assert_true(slope_of(&r, "model.23.one2one_cv2.0.2.weight") > 0);
  stop(&r);
}

static void test_detector(void **state) {
  (void)state;
  mynah_detector_training t = about(64, 48);
  run r = start(&t);
  mynah_detector *d;
  if (mynah_detector_from_training(&t, r.weights, &d) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(mynah_detector_n_classes(d), 2);
  assert_string_equal(mynah_detector_class(d, 1), "ball");
  assert_true(mynah_detector_is_end_to_end(d));
  assert_int_equal(mynah_detector_size(d), 64);
  assert_int_equal(mynah_detector_scale(d), 'n');
  mynah_detector_destroy(d);
  stop(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_step), cmocka_unit_test(test_heads),
                                     cmocka_unit_test(test_detector)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
