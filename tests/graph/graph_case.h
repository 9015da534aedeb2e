/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A small graph as a test case: run with any kernels, compared with any others, differentiated by finite differences.
 *
 * A case is a function that adds nodes and returns one, y. The harness adds loss = sum(y * dout), differentiates, fills
 * every input (and weight) from a hash of its name, and reads y, the loss and all gradients. */
#ifndef MYNAH_TESTS_GRAPH_CASE_H
#define MYNAH_TESTS_GRAPH_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mynah/graph.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct graph_case {
  const char *name;
  mynah_node (*build)(mynah_graph *g, const struct graph_case *c);
  int64_t n[16];    /* the case's own numbers: sizes, strides, … */
  bool is_weighted; /* set by the harness: parameters are weights, not inputs */
} graph_case;

/* A parameter of the case: an input, which double precision and finite differences need, or a weight, which kernels may
 * pack. */
static inline mynah_node case_param(mynah_graph *g, const graph_case *c, const char *name, mynah_shape shape) {
  if (c->is_weighted) return mynah_weight(g, name, shape, (mynah_init){MYNAH_INIT_ZERO, 0});
  return mynah_input(g, name, MYNAH_F32, shape);
}

static inline mynah_node case_input(mynah_graph *g, const char *name, mynah_shape shape) {
  return mynah_input(g, name, MYNAH_F32, shape);
}

/* Word i of a name: FNV-1a of the name seeds the splitmix64 sequence. peer_training.py has the same. */
static inline uint64_t case_word(const char *name, int64_t i) {
  uint64_t z = 0xCBF29CE484222325u;
  for (const char *p = name; *p; p++) z = (z ^ (uint8_t)*p) * 0x100000001B3u;
  z += (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* Number i of a name: in [-1,1), a multiple of 2^-23, so that it is the same in float and double. */
static inline double case_value(const char *name, int64_t i) {
  return ((double)(int64_t)(case_word(name, i) >> 40) - 8388608.0) / 8388608.0;
}

/* A compiled case with its memory. */
typedef struct graph_run {
  mynah_graph *graph;
  mynah_program *program;
  mynah_weights *weights;
  mynah_binding *binding;
  mynah_state *state;
  bool is_double;
} graph_run;

#define case_ok(call)                                                                       \
  do {                                                                                      \
    mynah_status status_ = (call);                                                          \
    if (status_ != MYNAH_OK) fail_msg("%s: %s", mynah_status_name(status_), mynah_error()); \
  } while (0)

static inline void graph_run_end(graph_run *r) {
  mynah_state_destroy(r->state);
  mynah_binding_destroy(r->binding);
  mynah_weights_destroy(r->weights);
  mynah_program_destroy(r->program);
  mynah_graph_destroy(r->graph);
  *r = (graph_run){0};
}

/* Compiles r->graph, whose weights start at zero, and makes its memory. */
static inline void graph_run_make(graph_run *r, const mynah_compile_config *cfg) {
  case_ok(mynah_compile(r->graph, cfg, &r->program));
  case_ok(mynah_weights_create(r->graph, 1, &r->weights));
  case_ok(mynah_binding_create(r->program, r->weights, &r->binding));
  case_ok(mynah_state_create(r->binding, &r->state));
}

static inline void graph_run_compile_at(graph_run *r, const char *kernels, mynah_dtype precision) {
  mynah_compile_config cfg = mynah_compile_default();
  cfg.kernels = kernels;
  cfg.precision = precision;
  r->is_double = precision == MYNAH_F64;
  graph_run_make(r, &cfg);
}

static inline void graph_run_compile(graph_run *r, const char *kernels, bool is_double) {
  graph_run_compile_at(r, kernels, is_double ? MYNAH_F64 : MYNAH_F32);
}

/* Element i of an input or output of the run. */
static inline double run_get(const graph_run *r, const void *data, int64_t i) {
  return r->is_double ? ((const double *)data)[i] : (double)((const float *)data)[i];
}
static inline void run_set(const graph_run *r, void *data, int64_t i, double v) {
  if (r->is_double) ((double *)data)[i] = v;
  else ((float *)data)[i] = (float)v;
}

/* Fills inputs and weights from their names; int32 inputs get classes 0 … 2. */
static inline void graph_run_fill(graph_run *r) {
  for (int k = 0; k < mynah_program_n_inputs(r->program); k++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *name = mynah_program_input(r->program, k, &dtype, &shape);
    void *data = mynah_state_input(r->state, name);
    assert_non_null(data);
    for (int64_t i = 0; i < mynah_shape_size(shape); i++) {
      double v = case_value(name, i);
      if (dtype == MYNAH_I32) ((int32_t *)data)[i] = (int32_t)floor((v + 1) * 1.5);
      else run_set(r, data, i, v);
    }
  }
  for (int k = 0; k < mynah_weights_n_tensors(r->weights); k++) {
    const mynah_tensor_info *t = mynah_weights_tensor(r->weights, k);
    for (int64_t i = 0; i < t->size; i++) mynah_weights_data(r->weights)[t->offset + i] = (float)case_value(t->name, i);
  }
  mynah_binding_refresh(r->binding, NULL);
}

/* The case as it acts, shared over so many threads, filled and run once: its output is y. */
static inline graph_run graph_case_act(const graph_case *c, const char *kernels, mynah_dtype precision, int n_threads) {
  graph_run r = {.is_double = precision == MYNAH_F64};
  graph_case own = *c;
  own.is_weighted = !r.is_double;
  mynah_compile_config cfg = mynah_compile_default();
  cfg.kernels = kernels;
  cfg.precision = precision;
  cfg.is_frozen = true;
  cfg.n_threads = n_threads;
  case_ok(mynah_graph_create(&r.graph));
  mynah_output(r.graph, "y", own.build(r.graph, &own));
  graph_run_make(&r, &cfg);
  graph_run_fill(&r);
  for (int k = 0; k < mynah_weights_n_tensors(r.weights); k++) { /* a variance is no negative number */
    const mynah_tensor_info *t = mynah_weights_tensor(r.weights, k);
    float *values = mynah_weights_data(r.weights) + t->offset;
    for (int64_t i = 0; strstr(t->name, "var") && i < t->size; i++) values[i] = 0.5f + fabsf(values[i]);
  }
  mynah_binding_refresh(r.binding, NULL);
  mynah_state_run(r.state);
  const float *y = mynah_state_output(r.state, "y");
  for (size_t i = 0; !r.is_double && i < mynah_state_output_bytes(r.state, "y") / sizeof *y; i++) assert_true(isfinite(y[i]));
  return r;
}

/* The case, differentiated, compiled, filled and run once. */
static inline graph_run graph_case_run_at(const graph_case *c, const char *kernels, mynah_dtype precision,
                                          bool is_weighted) {
  graph_run r = {0};
  graph_case own = *c;
  own.is_weighted = is_weighted;
  case_ok(mynah_graph_create(&r.graph));
  mynah_node y = own.build(r.graph, &own);
  mynah_node dout = mynah_input(r.graph, "dout", MYNAH_F32, mynah_node_shape(r.graph, y));
  mynah_node loss = mynah_sum(r.graph, mynah_mul(r.graph, y, dout), NULL, 0, false);
  mynah_output(r.graph, "y", y);
  mynah_output(r.graph, "loss", loss);
  case_ok(mynah_graph_status(r.graph));
  case_ok(mynah_differentiate_inputs(r.graph, loss));
  graph_run_compile_at(&r, kernels, precision);
  graph_run_fill(&r);
  mynah_state_run(r.state);
  return r;
}
static inline graph_run graph_case_run(const graph_case *c, const char *kernels, bool is_double, bool is_weighted) {
  return graph_case_run_at(c, kernels, is_double ? MYNAH_F64 : MYNAH_F32, is_weighted);
}

/* Every gradient of the case by central differences in double; at most 48 elements of an input, evenly taken. */
static inline void graph_case_check_gradients(const graph_case *c, double tolerance) {
  graph_run r = graph_case_run(c, "ref", true, false);
  const double h = 1e-5;
  int n_checked = 0;
  for (int k = 0; k < mynah_program_n_inputs(r.program); k++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *name = mynah_program_input(r.program, k, &dtype, &shape);
    char output[MYNAH_NAME_MAX + 8];
    snprintf(output, sizeof output, "grad/%s", name);
    const double *slopes = mynah_state_output(r.state, output);
    /* Names beginning with an underscore are constants of the case; dout is only the loss's own factor. */
    if (dtype == MYNAH_I32 || name[0] == '_' || strcmp(name, "dout") == 0) continue;
    if (!slopes) fail_msg("%s: no gradient of %s", c->name, name);
    double *x = mynah_state_input(r.state, name);
    int64_t size = mynah_shape_size(shape), stride = size > 48 ? size / 48 : 1;
    double *analytic = malloc((size_t)size * sizeof *analytic);
    assert_non_null(analytic);
    memcpy(analytic, slopes, (size_t)size * sizeof *analytic); /* the next runs write over them */
    for (int64_t i = 0; i < size; i += stride, n_checked++) {
      double at = x[i], loss[2];
      for (int side = 0; side < 2; side++) {
        x[i] = side ? at + h : at - h;
        mynah_state_run(r.state);
        loss[side] = *(const double *)mynah_state_output(r.state, "loss");
      }
      x[i] = at;
      mynah_state_run(r.state); /* the next input's gradient is read at this point, not beside it */
      double numeric = (loss[1] - loss[0]) / (2 * h), error = fabs(numeric - analytic[i]);
      if (!(error <= tolerance * (1 + fabs(numeric))))
        fail_msg("%s: d/d%s[%lld] is %.12g, by differences %.12g", c->name, name, (long long)i, analytic[i], numeric);
    }
    free(analytic);
  }
  assert_true(n_checked > 0);
  graph_run_end(&r);
}

/* y, loss and every gradient computed with `kernels` at one precision agree with the reference at another. */
static inline void graph_case_compare(const graph_case *c, const char *kernels, mynah_dtype precision,
                                      mynah_dtype reference, bool is_weighted, double tolerance) {
  graph_run truth = graph_case_run_at(c, "ref", reference, false);
  graph_run run = graph_case_run_at(c, kernels, precision, is_weighted);
  int n_compared = 0;
  for (int k = 0; k < mynah_program_n_outputs(run.program); k++) {
    mynah_shape shape;
    const char *name = mynah_program_output(run.program, k, &shape);
    const void *a = mynah_state_output(run.state, name), *b = mynah_state_output(truth.state, name);
    assert_non_null(a);
    if (!b) continue; /* update/… of a buffer that is an input in the other run */
    double largest = 0;
    for (int64_t i = 0; i < mynah_shape_size(shape); i++) largest = fmax(largest, fabs(run_get(&truth, b, i)));
    for (int64_t i = 0; i < mynah_shape_size(shape); i++, n_compared++) {
      double x = run_get(&run, a, i), t = run_get(&truth, b, i);
      /* Relative to the tensor's largest element: a sum of many terms may cancel to almost nothing. */
      if (!(fabs(x - t) <= tolerance * (1 + fmax(fabs(t), largest))))
        fail_msg("%s with %s: %s[%lld] is %.9g, the reference %.9g", c->name, kernels, name, (long long)i, x, t);
    }
  }
  assert_true(n_compared > 0);
  graph_run_end(&run);
  graph_run_end(&truth);
}

/* They agree with the double reference. */
static inline void graph_case_check_kernels(const graph_case *c, const char *kernels, bool is_weighted,
                                            double tolerance) {
  graph_case_compare(c, kernels, MYNAH_F32, MYNAH_F64, is_weighted, tolerance);
}

static const char *const case_families[] = {"ref", "fast,ref", "dnnl,fast,ref"};
#define N_CASE_FAMILIES 3

/* All families, with parameters as inputs and as weights. */
static inline void graph_case_check_families(const graph_case *c, double tolerance) {
  for (int f = 0; f < N_CASE_FAMILIES; f++)
    for (int w = 0; w < 2; w++) graph_case_check_kernels(c, case_families[f], w, tolerance);
}

/* Gradients in double and agreement of all kernels, for each row of a table. */
static inline void graph_cases_check(const graph_case *cases, size_t n, double gradient_tolerance) {
  for (size_t i = 0; i < n; i++) {
    graph_case_check_gradients(&cases[i], gradient_tolerance);
    graph_case_check_families(&cases[i], 1e-5);
  }
}

#define CASES_CHECK(table) graph_cases_check(table, sizeof(table) / sizeof *(table), 1e-7)

/* Building must fail with this text in the error. */
static inline void graph_case_check_refused(mynah_graph *g, const char *text) {
  mynah_status status = mynah_graph_status(g);
  assert_int_not_equal(status, MYNAH_OK);
  if (!strstr(mynah_error(), text)) fail_msg("error text \"%s\" lacks \"%s\"", mynah_error(), text);
}

#endif
