/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Optimiser sweeps against PyTorch's: ten steps each (../shared/goldens/blocks, optim_*). */
#include "graph_case.h"

#define FOLDER "../shared/goldens/blocks/"

static const float *values(const mynah_safetensors *file, const char *prefix, const char *which, int64_t *n) {
  char key[MYNAH_NAME_MAX];
  snprintf(key, sizeof key, "%s%s", prefix, which);
  const mynah_safetensor *t = mynah_safetensors_find(file, key);
  if (!t || t->dtype != MYNAH_F32) fail_msg("no tensor %s", key);
  *n = mynah_shape_size(t->shape);
  return t->data;
}

/* Gradients are given at twice their size with gradient_scale 1/2: exact, and the scale is seen to work. */
#define SCALE 0.5f
enum { MAX_SIZE = 16, N_STEPS = 10 };

typedef struct tensors {
  const float *start, *gradients, *expected; /* (n) (steps,n) (steps,n) */
  int64_t n;
} tensors;

static tensors tensors_of(const mynah_safetensors *file, const char *which) {
  tensors t;
  int64_t n_steps_n = 0;
  t.start = values(file, "param.", which, &t.n);
  t.gradients = values(file, "in.grad_", which, &n_steps_n);
  assert_true(t.n <= MAX_SIZE && n_steps_n == N_STEPS * t.n);
  t.expected = values(file, "out.", which, &n_steps_n);
  assert_true(n_steps_n == N_STEPS * t.n);
  return t;
}

static void check(const char *name, const tensors *t, int step, const float *w) {
  for (int64_t i = 0; i < t->n; i++) {
    double a = (double)w[i], b = (double)t->expected[step * t->n + i];
    if (!(fabs(a - b) <= 1e-6 + 1e-5 * fabs(b)))
      fail_msg("%s: weight %lld after step %d is %.9g, PyTorch's %.9g", name, (long long)i, step + 1, a, b);
  }
}

static void scaled_gradient(const tensors *t, int step, float *gradient) {
  for (int64_t i = 0; i < t->n; i++) gradient[i] = t->gradients[step * t->n + i] / SCALE;
}

static void check_adam(const char *name, const mynah_safetensors *file, const char *which, mynah_adam a) {
  tensors t = tensors_of(file, which);
  float w[MAX_SIZE] = {0}, m[MAX_SIZE] = {0}, v[MAX_SIZE] = {0}, gradient[MAX_SIZE] = {0};
  memcpy(w, t.start, (size_t)t.n * sizeof *w);
  for (int step = 0; step < N_STEPS; step++) {
    a.correction1 = (float)(1 - pow((double)a.beta1, step + 1));
    a.correction2 = (float)(1 - pow((double)a.beta2, step + 1));
    scaled_gradient(&t, step, gradient);
    mynah_sweep_adam(&a, t.n, w, m, v, gradient);
    check(name, &t, step, w);
  }
}

static void check_sgd(const char *name, const mynah_safetensors *file, const char *which, mynah_sgd s) {
  tensors t = tensors_of(file, which);
  float w[MAX_SIZE] = {0}, buffer[MAX_SIZE] = {0}, gradient[MAX_SIZE] = {0};
  memcpy(w, t.start, (size_t)t.n * sizeof *w);
  for (int step = 0; step < N_STEPS; step++) {
    s.is_first = step == 0;
    scaled_gradient(&t, step, gradient);
    mynah_sweep_sgd(&s, t.n, w, buffer, gradient);
    check(name, &t, step, w);
  }
}

/* NULL where the goldens are absent. */
static mynah_safetensors *open_golden(const char *name) {
  mynah_safetensors *file = NULL;
  char path[MYNAH_PATH_MAX];
  snprintf(path, sizeof path, FOLDER "optim_%s.safetensors", name);
  if (!mynah_file_exists(path)) {
    print_message("../shared/goldens/blocks is absent: %s is not compared with PyTorch\n", name);
    return NULL;
  }
  case_ok(mynah_safetensors_open(path, &file));
  return file;
}

static void test_adam(void **state) {
  const struct {
    const char *name;
    float lr, beta1, decay;
    bool is_decoupled;
  } rows[] = {{"adamw", 1e-2f, 0.9f, 1e-2f, true},
              {"adamw_act", 1e-5f, 0.9f, 1e-4f, true},
              {"adam_l2", 1e-2f, 0.95f, 1e-2f, false}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    mynah_safetensors *file = open_golden(rows[i].name);
    if (!file) skip();
    mynah_adam a = {.lr = rows[i].lr,
                    .beta1 = rows[i].beta1,
                    .beta2 = 0.999f,
                    .eps = 1e-8f,
                    .decay = rows[i].decay,
                    .gradient_scale = SCALE,
                    .is_decoupled = rows[i].is_decoupled};
    check_adam(rows[i].name, file, "w", a);
    check_adam(rows[i].name, file, "b", a);
    mynah_safetensors_close(file);
  }
}

static void test_sgd(void **state) {
  const struct {
    const char *name;
    float decay;
    bool is_nesterov;
  } rows[] = {{"sgd_momentum", 1e-3f, false}, {"sgd_nesterov", 0, true}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    mynah_safetensors *file = open_golden(rows[i].name);
    if (!file) skip();
    mynah_sgd s = {.lr = 1e-2f,
                   .momentum = 0.9f,
                   .decay = rows[i].decay,
                   .gradient_scale = SCALE,
                   .is_nesterov = rows[i].is_nesterov};
    check_sgd(rows[i].name, file, "w", s);
    check_sgd(rows[i].name, file, "b", s);
    mynah_safetensors_close(file);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_adam), cmocka_unit_test(test_sgd)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
