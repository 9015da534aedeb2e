/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ten training steps follow PyTorch's from the same weights and batches to 1e-5: an MLP, the driving CNN, and a
 * residual network with a mixture of Gaussians. The numbers come from tests/support/peer_training.py, which says how to
 * make them again; weights and batches are a formula there and here (case_word). */
#include "graph_case.h"

enum { N_STEPS = 10 };

typedef struct training {
  const char *name;                    /* of the network's batches: "NAME.x.STEP", "NAME.y.STEP" */
  mynah_node (*build)(mynah_graph *g); /* inputs "x", "y"; the loss */
  bool is_sgd; /* Nesterov, lr 0.05, momentum 0.9; else AdamW, lr 1e-3, decay 1e-2 on matrices */
  double losses[N_STEPS], sum_absolute, sum_squares;
} training;

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static mynah_node weight(mynah_graph *g, const char *layer, const char *suffix, mynah_shape shape, float start) {
  char name[MYNAH_NAME_MAX];
  snprintf(name, sizeof name, "%s.%s", layer, suffix);
  return mynah_weight(g, name, shape, (mynah_init){MYNAH_INIT_CONSTANT, start});
}

static mynah_node linear(mynah_graph *g, const char *layer, mynah_node x, int64_t n_in, int64_t n_out) {
  return mynah_linear(g, x, weight(g, layer, "weight", MYNAH_SHAPE(n_out, n_in), 0),
                      weight(g, layer, "bias", MYNAH_SHAPE(n_out), 0));
}

static mynah_node build_mlp(mynah_graph *g) {
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(256, 7));
  x = mynah_relu(g, linear(g, "l0", x, 7, 256));
  x = mynah_relu(g, linear(g, "l1", x, 256, 256));
  mynah_node y = mynah_input(g, "y", MYNAH_F32, MYNAH_SHAPE(256, 2));
  return mynah_mse(g, linear(g, "l2", x, 256, 2), y, MYNAH_NO_NODE);
}

static mynah_node build_cnn(mynah_graph *g) {
  static const int64_t sizes[5][4] = {{3, 24, 5, 2}, {24, 36, 5, 2}, {36, 48, 5, 2}, {48, 64, 3, 1}, {64, 64, 3, 1}};
  const float scale = 1.0f / 128, shift = -1;
  mynah_node x = mynah_from_u8(g, mynah_input(g, "x", MYNAH_U8, MYNAH_SHAPE(4, 66, 66, 3)), &scale, &shift, 1);
  for (int k = 0; k < 5; k++) {
    const int64_t *s = sizes[k];
    char name[8];
    snprintf(name, sizeof name, "c%d", k);
    mynah_conv cfg = {.stride = {(int)s[3], (int)s[3]}};
    mynah_node w = weight(g, name, "weight", MYNAH_SHAPE(s[1], s[0], s[2], s[2]), 0);
    x = mynah_relu(g, mynah_conv2d(g, x, w, weight(g, name, "bias", MYNAH_SHAPE(s[1]), 0), &cfg));
  }
  x = mynah_reshape(g, x, MYNAH_SHAPE(4, 64));
  x = mynah_relu(g, linear(g, "l0", x, 64, 100));
  x = mynah_relu(g, linear(g, "l1", x, 100, 50));
  mynah_node y = mynah_input(g, "y", MYNAH_F32, MYNAH_SHAPE(4, 2));
  return mynah_mse(g, linear(g, "l2", x, 50, 2), y, MYNAH_NO_NODE);
}

static mynah_node norm(mynah_graph *g, const char *layer, mynah_node x) {
  return mynah_layer_norm(g, x, weight(g, layer, "weight", MYNAH_SHAPE(64), 1),
                          weight(g, layer, "bias", MYNAH_SHAPE(64), 0), 1e-5f);
}

static mynah_node build_mixture(mynah_graph *g) {
  mynah_node h = linear(g, "inp", mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(64, 14)), 14, 64);
  const char *const names[2][3] = {{"norm0", "up0", "down0"}, {"norm1", "up1", "down1"}};
  for (int k = 0; k < 2; k++) {
    mynah_node branch = mynah_silu(g, linear(g, names[k][1], norm(g, names[k][0], h), 64, 128));
    h = mynah_add(g, linear(g, names[k][2], branch, 128, 64), h);
  }
  mynah_node out = linear(g, "out", norm(g, "norm", h), 64, 85);
  mynah_node mean = mynah_reshape(g, mynah_slice(g, out, 1, 5, 40), MYNAH_SHAPE(64, 5, 8));
  mynah_node log_std = mynah_reshape(g, mynah_slice(g, out, 1, 45, 40), MYNAH_SHAPE(64, 5, 8));
  mynah_node y = mynah_input(g, "y", MYNAH_F32, MYNAH_SHAPE(64, 8));
  mynah_node loss =
      mynah_gmm_nll(g, mynah_slice(g, out, 1, 0, 5), mean, mynah_clamp(g, log_std, -4.6f, 2), y, MYNAH_NO_NODE);
  return mynah_affine(g, loss, 1.0f / 8, 0);
}

/* ---- PyTorch's numbers (float64) --------------------------------------------------------------------------------- */

static const training trainings[] = {
    {"mlp",
     build_mlp,
     false,
     {0.3336405568, 0.3315486267, 0.3289156571, 0.3421219020, 0.3510074756, 0.3239938817, 0.3391973319, 0.3734407481,
      0.3384761735, 0.3353095495},
     2462.3310471062,
     184.2618573981},
    {"mlp",
     build_mlp,
     true,
     {0.3336405568, 0.3267530547, 0.3261711343, 0.3407009559, 0.3511016661, 0.3189772441, 0.3326397354, 0.3669098059,
      0.3373415961, 0.3353989483},
     2459.9468392718,
     184.2099618684},
    {"cnn",
     build_cnn,
     false,
     {0.2984311944, 0.2905562677, 0.5902058966, 0.4028730155, 0.3125235894, 0.2558700195, 0.2337335074, 0.2195636316,
      0.4526380488, 0.3799781981},
     3389.2152258497,
     131.5765707606},
    {"cnn",
     build_cnn,
     true,
     {0.2984311944, 0.2946913552, 0.5969188401, 0.3575770844, 0.3337489178, 0.3469472886, 0.2712563964, 0.1839427191,
      0.3934487664, 0.3281157610},
     3371.4623496378,
     130.2261643522},
    {"gmm",
     build_mixture,
     false,
     {1.3475830780, 1.3189843176, 1.3030165088, 1.2737923199, 1.2275201263, 1.2329818735, 1.1636428777, 1.1820254430,
      1.1440080701, 1.1005268185},
     1777.3073729955,
     331.4170789078},
};

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* unit / sqrt(fan_in) for matrices, filters and biases; norms keep 1 and 0, `down` layers 0. */
static void fill_weights(mynah_weights *w) {
  int64_t fan_in = 1;
  for (int k = 0; k < mynah_weights_n_tensors(w); k++) {
    const mynah_tensor_info *t = mynah_weights_tensor(w, k);
    if (strstr(t->name, "norm") || strstr(t->name, "down")) continue;
    char layer[MYNAH_NAME_MAX];
    snprintf(layer, sizeof layer, "%.*s.weight", (int)strcspn(t->name, "."), t->name);
    const mynah_tensor_info *matrix = mynah_weights_find(w, layer);
    assert_non_null(matrix);
    fan_in = matrix->size / matrix->shape.dims[0];
    for (int64_t i = 0; i < t->size; i++)
      mynah_weights_data(w)[t->offset + i] = (float)(case_value(t->name, i) / sqrt((double)fan_in));
  }
}

static void fill_batch(const graph_run *r, const char *network, int step) {
  for (int k = 0; k < mynah_program_n_inputs(r->program); k++) {
    mynah_dtype dtype;
    mynah_shape shape;
    char name[MYNAH_NAME_MAX];
    const char *input = mynah_program_input(r->program, k, &dtype, &shape);
    snprintf(name, sizeof name, "%s.%s.%d", network, input, step);
    void *data = mynah_state_input(r->state, input);
    for (int64_t i = 0; i < mynah_shape_size(shape); i++)
      if (dtype == MYNAH_U8) ((uint8_t *)data)[i] = (uint8_t)(case_word(name, i) >> 56);
      else ((float *)data)[i] = (float)case_value(name, i);
  }
}

/* One optimiser step on every tensor; state holds m and v, or the momentum buffer, laid out as the weights. */
static void update(const graph_run *r, bool is_sgd, int step, float *m, float *v) {
  const float *gradient = mynah_state_gradients(r->state);
  assert_non_null(gradient);
  for (int k = 0; k < mynah_weights_n_tensors(r->weights); k++) {
    const mynah_tensor_info *t = mynah_weights_tensor(r->weights, k);
    float *w = mynah_weights_data(r->weights) + t->offset;
    mynah_adam a = {.lr = 1e-3f,
                    .beta1 = 0.9f,
                    .beta2 = 0.999f,
                    .eps = 1e-8f,
                    .decay = t->is_decayed ? 1e-2f : 0,
                    .gradient_scale = 1,
                    .is_decoupled = true};
    /* Of the float betas that the sweep uses: 1 - 0.999f is 5e-5 (relative) from 0.001, and only cancels this way. */
    a.correction1 = (float)(1 - pow((double)a.beta1, step + 1));
    a.correction2 = (float)(1 - pow((double)a.beta2, step + 1));
    mynah_sgd s = {.lr = 0.05f, .momentum = 0.9f, .gradient_scale = 1, .is_nesterov = true, .is_first = step == 0};
    if (is_sgd) mynah_sweep_sgd(&s, t->size, w, m + t->offset, gradient + t->offset);
    else mynah_sweep_adam(&a, t->size, w, m + t->offset, v + t->offset, gradient + t->offset);
  }
  mynah_binding_refresh(r->binding, NULL);
}

static void check_near(const training *t, const char *kernels, const char *what, int step, double ours, double theirs) {
  if (!(fabs(ours - theirs) <= 1e-5 * fabs(theirs)))
    fail_msg("%s with %s, %s: %s of step %d is %.9g, PyTorch's %.9g", t->name, t->is_sgd ? "SGD" : "AdamW", kernels,
             what, step, ours, theirs);
}

static void train(const training *t, const char *kernels) {
  graph_run r = {0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_node loss = t->build(r.graph);
  mynah_output(r.graph, "loss", loss);
  case_ok(mynah_differentiate(r.graph, loss));
  graph_run_compile(&r, kernels, false);
  fill_weights(r.weights);
  mynah_binding_refresh(r.binding, NULL);
  size_t n = (size_t)mynah_weights_n_floats(r.weights);
  float *m = calloc(n, sizeof *m), *v = calloc(n, sizeof *v);
  assert_true(m && v);
  for (int step = 0; step < N_STEPS; step++) {
    fill_batch(&r, t->name, step);
    mynah_state_run(r.state);
    check_near(t, kernels, "the loss", step, (double)*(const float *)mynah_state_output(r.state, "loss"),
               t->losses[step]);
    update(&r, t->is_sgd, step, m, v);
  }
  double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) { /* gaps between tensors are zero */
    double w = (double)mynah_weights_data(r.weights)[i];
    sum += fabs(w), squares += w * w;
  }
  check_near(t, kernels, "sum |w| after the end", N_STEPS, sum, t->sum_absolute);
  check_near(t, kernels, "sum w^2 after the end", N_STEPS, squares, t->sum_squares);
  free(m);
  free(v);
  graph_run_end(&r);
}

static void test_ten_steps(void **state) {
  for (size_t i = 0; i < sizeof trainings / sizeof *trainings; i++)
    for (int f = 0; f < N_CASE_FAMILIES; f++) train(&trainings[i], case_families[f]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ten_steps)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
