/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Compiling: which steps become one, which kernels are taken, what a run may do, what is printed. */
#include "graph_case.h"

#define UNIFORM ((mynah_init){MYNAH_INIT_UNIFORM, 0.5f})

/* "linear+relu:ref:linear mse:ref:mse": the steps of a program. */
static const char *steps_text(const mynah_program *p) {
  static char text[2000];
  size_t n = 0;
  text[0] = 0;
  for (int i = 0; i < mynah_program_n_steps(p); i++) {
    const char *op = NULL, *kernel = NULL;
    mynah_program_step(p, i, &op, &kernel, NULL, NULL);
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? " " : "", op);
    assert_non_null(strchr(kernel, ':'));
  }
  return text;
}

static mynah_node layer(mynah_graph *g, mynah_node x, const char *name, int64_t n) {
  char weight[32], bias[32];
  mynah_shape s = mynah_node_shape(g, x);
  snprintf(weight, sizeof weight, "%s.w", name);
  snprintf(bias, sizeof bias, "%s.b", name);
  return mynah_linear(g, x, mynah_weight(g, weight, MYNAH_SHAPE(n, s.dims[s.n_dims - 1]), UNIFORM),
                      mynah_weight(g, bias, MYNAH_SHAPE(n), UNIFORM));
}

typedef mynah_node (*builder)(mynah_graph *g, mynah_node x);

static mynah_node with_function(mynah_graph *g, mynah_node x) { return mynah_silu(g, layer(g, x, "a", 6)); }
static mynah_node with_residual(mynah_graph *g, mynah_node x) { return mynah_add(g, layer(g, x, "a", 6), x); }
static mynah_node with_both(mynah_graph *g, mynah_node x) {
  return mynah_relu(g, mynah_add(g, x, layer(g, x, "a", 6)));
}
/* Two layers meet: one takes the other as residual. */
static mynah_node with_two(mynah_graph *g, mynah_node x) {
  return mynah_relu(g, mynah_add(g, layer(g, x, "a", 6), layer(g, x, "b", 6)));
}
/* Somebody else needs what lies between. */
static mynah_node kept_value(mynah_graph *g, mynah_node x) {
  mynah_node y = layer(g, x, "a", 6);
  return mynah_mul(g, mynah_sigmoid(g, y), y);
}
static mynah_node kept_view(mynah_graph *g, mynah_node x) {
  mynah_node y = layer(g, x, "a", 6);
  return mynah_mul(g, mynah_sigmoid(g, y), mynah_reshape(g, mynah_reshape(g, y, MYNAH_SHAPE(24)), MYNAH_SHAPE(4, 6)));
}
static mynah_node kept_output(mynah_graph *g, mynah_node x) {
  mynah_node y = layer(g, x, "a", 6);
  mynah_output(g, "between", y);
  return mynah_relu(g, y);
}
/* A residual that is stretched is none. */
static mynah_node stretched(mynah_graph *g, mynah_node x) {
  mynah_node y = layer(g, x, "a", 6);
  return mynah_add(g, y, mynah_slice(g, x, 0, 0, 1));
}
/* The residual is computed after the layer. */
static mynah_node late_residual(mynah_graph *g, mynah_node x) {
  mynah_node y = layer(g, x, "a", 6);
  return mynah_tanh(g, mynah_add(g, y, mynah_affine(g, mynah_mul(g, x, x), 3, 1)));
}

static const struct {
  const char *name;
  builder build;
  const char *steps; /* of inference */
} fusions[] = {
    {"function", with_function, "linear"},
    {"residual", with_residual, "linear"},
    {"both", with_both, "linear"},
    {"two", with_two, "linear linear"},
    {"kept value", kept_value, "linear unary mul"},
    {"kept view", kept_view, "linear unary mul"},
    {"kept output", kept_output, "linear unary"},
    {"stretched", stretched, "linear slice add"},
    {"late residual", late_residual, "mul affine linear"},
};
#define N_FUSIONS 9

/* The same graph with every value an output, so that nothing can be fused, gives the same numbers. */
static void check_same(builder build, bool is_training, const char *kernels) {
  graph_run r[2] = {{0}, {0}};
  for (int k = 0; k < 2; k++) {
    case_ok(mynah_graph_create(&r[k].graph));
    mynah_graph *g = r[k].graph;
    mynah_node y = build(g, mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(4, 6)));
    mynah_output(g, "y", y);
    mynah_node loss = mynah_sum(g, mynah_mul(g, y, y), NULL, 0, false);
    mynah_output(g, "loss", loss);
    if (is_training) case_ok(mynah_differentiate_inputs(g, loss));
    for (int32_t id = 1; k == 1 && mynah_node_shape(g, (mynah_node){id}).n_dims; id++) {
      char name[32];
      snprintf(name, sizeof name, "value %d", id);
      mynah_output(g, name, (mynah_node){id});
    }
    graph_run_compile(&r[k], kernels, false);
    graph_run_fill(&r[k]);
    mynah_state_run(r[k].state);
  }
  assert_true(mynah_program_n_steps(r[0].program) <= mynah_program_n_steps(r[1].program));
  for (int i = 0; i < mynah_program_n_outputs(r[0].program); i++) {
    mynah_shape shape;
    const char *name = mynah_program_output(r[0].program, i, &shape);
    const float *a = mynah_state_output(r[0].state, name), *b = mynah_state_output(r[1].state, name);
    for (int64_t n = 0; n < mynah_shape_size(shape); n++)
      if (!(fabsf(a[n] - b[n]) <= 2e-6f * (1 + fabsf(b[n]))))
        fail_msg("%s[%d]: %.9g fused, %.9g alone", name, (int)n, (double)a[n], (double)b[n]);
  }
  graph_run_end(&r[0]);
  graph_run_end(&r[1]);
}

static void test_fusion(void **state) {
  for (int i = 0; i < N_FUSIONS; i++) {
    graph_run r = {0};
    case_ok(mynah_graph_create(&r.graph));
    mynah_output(r.graph, "y", fusions[i].build(r.graph, mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(4, 6))));
    graph_run_compile(&r, "ref", false);
    if (strcmp(steps_text(r.program), fusions[i].steps))
      fail_msg("%s: steps are %s, not %s", fusions[i].name, steps_text(r.program), fusions[i].steps);
    graph_run_end(&r);
    for (int f = 0; f < N_CASE_FAMILIES; f++)
      for (int is_training = 0; is_training < 2; is_training++)
        check_same(fusions[i].build, is_training, case_families[f]);
  }
}

/* relu's derivative needs its output alone, silu's needs the input: the first fuses in training too. */
static void test_fusion_in_training(void **state) {
  for (int is_silu = 0; is_silu < 2; is_silu++) {
    graph_run r = {0};
    case_ok(mynah_graph_create(&r.graph));
    mynah_node y = layer(r.graph, mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(4, 6)), "a", 6);
    case_ok(mynah_differentiate(
        r.graph, mynah_sum(r.graph, is_silu ? mynah_silu(r.graph, y) : mynah_relu(r.graph, y), NULL, 0, false)));
    graph_run_compile(&r, "ref", false);
    assert_string_equal(steps_text(r.program), "linear unary_grad linear_grad_w");
    mynah_str text = {0};
    mynah_program_print(r.program, &text);
    bool is_fused = strstr(mynah_str_text(&text), "linear+relu") != NULL;
    assert_true(is_fused == !is_silu);
    mynah_str_deinit(&text);
    graph_run_end(&r);
  }
}

static mynah_graph *small_graph(void) {
  mynah_graph *g;
  case_ok(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(4, 6));
  mynah_output(g, "y", layer(g, mynah_relu(g, layer(g, x, "a", 8)), "b", 2));
  return g;
}

static void test_families(void **state) {
  mynah_graph *g = small_graph();
  mynah_program *p = NULL;
  const char *kernel;
  mynah_compile_config cfg = {.kernels = "ref"};
  case_ok(mynah_compile(g, &cfg, &p));
  mynah_program_step(p, 0, NULL, &kernel, NULL, NULL);
  assert_string_equal(kernel, "ref:linear");
  mynah_program_destroy(p);
  p = NULL;
  cfg.kernels = "nothing";
  assert_int_equal(mynah_compile(g, &cfg, &p), MYNAH_UNSUPPORTED);
  assert_non_null(strstr(mynah_error(), "no kernel of 'nothing' takes linear (4,6) -> (4,8)"));
  cfg = (mynah_compile_config){.kernels = "dnnl,fast,ref", .precision = MYNAH_F64}; /* only ref knows doubles */
  case_ok(mynah_compile(g, &cfg, &p));
  mynah_program_step(p, 0, NULL, &kernel, NULL, NULL);
  assert_string_equal(kernel, "ref:linear");
  mynah_program_destroy(p);
  p = NULL;
  cfg.precision = MYNAH_U8; /* refused, not quietly done in float */
  assert_int_equal(mynah_compile(g, &cfg, &p), MYNAH_UNSUPPORTED);
  assert_null(p);
  mynah_graph_destroy(g);
  case_ok(mynah_graph_create(&g));
  assert_int_equal(mynah_compile(g, NULL, &p), MYNAH_INVALID); /* no output */
  mynah_graph_destroy(g);
}

/* A program of fast and ref kernels says that it allocates nothing, and runs while every allocation is a trap. */
static void test_rt(void **state) {
  graph_run r = {.graph = small_graph()};
  graph_run_compile(&r, "fast,ref", false);
  assert_true(mynah_program_is_rt(r.program));
  graph_run_fill(&r);
  mynah_alloc_trap(true);
  mynah_state_seed(r.state, 1, 2);
  for (int i = 0; i < 10; i++) mynah_state_run(r.state);
  assert_int_equal(mynah_alloc_trap(false), 0);
  graph_run_end(&r);
}

static void test_print(void **state) {
  graph_run r = {.graph = small_graph()};
  graph_run_compile(&r, "ref", false);
  mynah_str text = {0};
  double flops, bytes;
  mynah_program_print(r.program, &text);
  const char *const parts[] = {"linear+relu", "(4,6) (8,6)w (8)w -> (4,8)", "ref:linear", "2 steps", "arena"};
  for (int i = 0; i < 5; i++)
    if (!strstr(mynah_str_text(&text), parts[i])) fail_msg("no \"%s\" in:\n%s", parts[i], mynah_str_text(&text));
  mynah_str_deinit(&text);
  mynah_program_step(r.program, 1, NULL, NULL, &flops, &bytes);
  assert_true(flops == 2.0 * 4 * 8 * 2);
  assert_true(bytes == 4.0 * (4 * 8 + 2 * 8 + 2 + 4 * 2));
  assert_true(mynah_program_flops(r.program) == flops + 2.0 * 4 * 6 * 8 + 4 * 8);
  int64_t ns[2] = {0, 0};
  graph_run_fill(&r);
  mynah_state_run_timed(r.state, ns);
  assert_true(ns[0] > 0 && ns[1] > 0);
  mynah_dtype dtype;
  mynah_shape shape;
  assert_string_equal(mynah_program_input(r.program, 0, &dtype, &shape), "x");
  assert_true(dtype == MYNAH_F32 && shape.dims[1] == 6);
  assert_null(mynah_program_input(r.program, 1, NULL, NULL));
  assert_null(mynah_program_output(r.program, -1, NULL));
  graph_run_end(&r);
}

/* The graph is gone, the weights changed, two states of one binding: each run is that of its own input. */
static void test_lives(void **state) {
  graph_run r = {.graph = small_graph()};
  mynah_state *other;
  graph_run_compile(&r, "fast,ref", false);
  mynah_graph_destroy(r.graph);
  r.graph = NULL;
  graph_run_fill(&r);
  case_ok(mynah_state_create(r.binding, &other));
  memset(mynah_state_input(other, "x"), 0, 24 * sizeof(float));
  mynah_state_run(r.state);
  float before[8];
  memcpy(before, mynah_state_output(r.state, "y"), sizeof before);
  mynah_state_run(other);
  assert_memory_equal(mynah_state_output(r.state, "y"), before, sizeof before);
  assert_memory_not_equal(mynah_state_output(other, "y"), before, sizeof before);
  /* x = 0 in row 1 as in row 0 */
  const float *y = mynah_state_output(other, "y");
  assert_true(y[0] == y[2] && y[1] == y[3]);
  mynah_weights_data(r.weights)[mynah_weights_find(r.weights, "b.b")->offset] += 1;
  mynah_binding_refresh(r.binding, NULL);
  float was = y[0];
  mynah_state_run(other);
  assert_true(fabsf(y[0] - was - 1) < 1e-6f);
  mynah_state_destroy(other);
  mynah_state_destroy(NULL);
  graph_run_end(&r);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define N_STATES 12
#define N_ROUNDS 20

typedef struct shards {
  mynah_state *states[N_STATES];
  const mynah_weights *weights;
  float gradients[N_STATES][4096];
} shards;

/* Shard i, several runs: what comes out must not depend on which thread does it. */
static void run_shard(void *context, int i, int worker) {
  shards *s = context;
  mynah_state_seed(s->states[i], 9, (uint64_t)i * N_ROUNDS);
  for (int round = 0; round < N_ROUNDS; round++) {
    float *x = mynah_state_input(s->states[i], "x");
    for (int k = 0; k < 24; k++) x[k] = (float)case_value("x", i * 1000 + round * 24 + k);
    mynah_state_run(s->states[i]);
  }
  size_t bytes = (size_t)mynah_weights_n_trained(s->weights) * sizeof(float);
  assert_true(bytes <= sizeof s->gradients[i]);
  memcpy(s->gradients[i], mynah_state_gradients(s->states[i]), bytes);
}

static void test_threads(void **state) {
  static shards one, many;
  mynah_pool *pool;
  for (int f = 0; f < N_CASE_FAMILIES; f++) {
    graph_run r = {0};
    case_ok(mynah_graph_create(&r.graph));
    mynah_graph *g = r.graph;
    mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(4, 6));
    mynah_node y = layer(g, mynah_dropout(g, mynah_relu(g, layer(g, x, "a", 50)), 0.3f), "b", 3);
    case_ok(mynah_differentiate(g, mynah_sum(g, mynah_mul(g, y, y), NULL, 0, false)));
    graph_run_compile(&r, case_families[f], false);
    one.weights = many.weights = r.weights;
    for (int i = 0; i < N_STATES; i++) {
      case_ok(mynah_state_create(r.binding, &one.states[i]));
      case_ok(mynah_state_create(r.binding, &many.states[i]));
      run_shard(&one, i, 0);
    }
    case_ok(mynah_pool_create(4, &pool));
    mynah_binding_refresh(r.binding, pool);
    mynah_pool_run(pool, N_STATES, run_shard, &many);
    mynah_pool_destroy(pool);
    for (int i = 0; i < N_STATES; i++) {
      assert_memory_equal(one.gradients[i], many.gradients[i], sizeof one.gradients[i]);
      if (i) assert_memory_not_equal(one.gradients[i], one.gradients[0], sizeof one.gradients[i]);
      mynah_state_destroy(one.states[i]);
      mynah_state_destroy(many.states[i]);
    }
    graph_run_end(&r);
  }
}

/* What is worked out of weights alone leaves the run, is packed as a weight is, and follows the weights. */
static void test_folding(void **state) {
  graph_run r = {0};
  mynah_init zero = {MYNAH_INIT_ZERO, 0};
  case_ok(mynah_graph_create(&r.graph));
  mynah_node w = mynah_weight(r.graph, "w", MYNAH_SHAPE(12, 6), zero), scale = mynah_buffer(r.graph, "s", MYNAH_SHAPE(6), zero);
  mynah_node half = mynah_mul(r.graph, mynah_slice(r.graph, w, 0, 6, 6), mynah_unary(r.graph, "exp", scale));
  mynah_node x = mynah_input(r.graph, "x", MYNAH_F32, MYNAH_SHAPE(4, 6));
  mynah_node y = mynah_linear(r.graph, x, half, MYNAH_NO_NODE);
  mynah_output(r.graph, "y", y);
  case_ok(mynah_differentiate(r.graph, mynah_sum(r.graph, mynah_mul(r.graph, y, y), NULL, 0, false)));
  graph_run_compile(&r, "fast", false);
  const char *steps = steps_text(r.program);
  assert_null(strstr(steps, "exp"));
  assert_int_equal(strncmp(steps, "linear ", 7), 0);
  graph_run_fill(&r);
  float *data = mynah_weights_data(r.weights);
  const float *ws = data + mynah_weights_find(r.weights, "w")->offset, *ss = data + mynah_weights_find(r.weights, "s")->offset;
  for (int round = 0; round < 2; round++) {
    for (int64_t i = 0; i < mynah_weights_n_floats(r.weights); i++) data[i] = (float)case_value(round ? "a" : "b", i);
    mynah_binding_refresh(r.binding, NULL);
    mynah_state_run(r.state);
    const float *in = mynah_state_input(r.state, "x"), *out = mynah_state_output(r.state, "y");
    const float *slope = mynah_state_output(r.state, "grad/w");
    for (int n = 0; n < 6; n++) {
      double first_slope = 0;
      for (int m = 0; m < 4; m++) {
        double sum = 0;
        for (int k = 0; k < 6; k++) sum += (double)in[6 * m + k] * (double)ws[36 + 6 * n + k] * exp((double)ss[k]);
        assert_true(fabs(sum - (double)out[6 * m + n]) < 1e-5);
        first_slope += 2 * sum * (double)in[6 * m] * exp((double)ss[0]);
      }
      assert_true(slope[6 * n] == 0);
      assert_true(fabs(first_slope - (double)slope[36 + 6 * n]) < 1e-4);
    }
  }
  graph_run_end(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fusion),   cmocka_unit_test(test_fusion_in_training),
      cmocka_unit_test(test_families), cmocka_unit_test(test_rt),
      cmocka_unit_test(test_print),    cmocka_unit_test(test_lives),
      cmocka_unit_test(test_threads),  cmocka_unit_test(test_folding),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
