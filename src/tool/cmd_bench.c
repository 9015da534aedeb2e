/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah bench: where a policy's time goes, step by step, beside what the machine could do. */
#include "tool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_KEYS(K)                                                                              \
  K(INT, runs, "runs", 1000, 10, 1.0e7, "", "how often it is timed")                               \
  K(INT, batch, "batch", 0, 0, 65536, "samples", "a shard's training step of this size, forward and backward; 0: a prediction")
typedef struct bench_config {
#define BENCH_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  BENCH_KEYS(BENCH_FIELD)
} bench_config;
#define BENCH_ROW(type, field, name, value, low, high, unit, help)                                 \
  MYNAH_KEY_OF(bench_config, type, field, name, value, low, high, unit, help)
static const mynah_key bench_keys[] = {BENCH_KEYS(BENCH_ROW)};
static const mynah_config_table bench_table = {"bench", bench_keys, sizeof bench_keys / sizeof *bench_keys,
                                               sizeof(bench_config)};

typedef struct timed_step {
  int index;
  int64_t ns;
} timed_step;

static int slowest_first(const void *a, const void *b) {
  int64_t x = ((const timed_step *)a)->ns, y = ((const timed_step *)b)->ns;
  return (x < y) - (x > y);
}

/* Whole predictions, one by one. */
static mynah_status time_whole(mynah_state *s, int64_t runs, mynah_json *result) {
  int64_t *ns = mynah_calloc((size_t)runs, sizeof *ns);
  if (!ns) return MYNAH_NO_MEMORY;
  for (int64_t i = -runs / 10; i < runs; i++) {
    int64_t start = mynah_now_ns();
    mynah_state_run(s);
    if (i >= 0) ns[i] = mynah_now_ns() - start;
  }
  tool_percentiles p = tool_percentiles_of(ns, runs);
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "p50", mynah_json_number(p.p50));
  mynah_json_set(j, "p99", mynah_json_number(p.p99));
  mynah_json_set(result, "ms", j);
  tool_say("one run: p50 %.4f ms, p99 %.4f ms (%lld runs)", p.p50, p.p99, (long long)runs);
  mynah_free(ns);
  return MYNAH_OK;
}

/* One step, or all: its rates, and their shares of what one core can do. Memory's share may be over 1: caches are faster. */
typedef struct rates {
  double us, flops, bytes;
} rates;

static double share_of(double rate, double limit) { return limit > 0 ? rate / limit : 0; }

static mynah_json *rates_to_json(const rates *r, const mynah_machine *m) {
  mynah_json *j = mynah_json_object();
  double gflop_s = r->flops / r->us * 1e-3, gb_s = r->bytes / r->us * 1e-3;
  mynah_json_set(j, "us", mynah_json_number(r->us));
  mynah_json_set(j, "flop", mynah_json_number(r->flops));
  mynah_json_set(j, "bytes", mynah_json_number(r->bytes));
  mynah_json_set(j, "gflop_s", mynah_json_number(gflop_s));
  mynah_json_set(j, "gb_s", mynah_json_number(gb_s));
  mynah_json_set(j, "share_of_peak", mynah_json_number(share_of(gflop_s, m->gflops)));
  mynah_json_set(j, "share_of_memory", mynah_json_number(share_of(gb_s, m->gb_s)));
  return j;
}

static void say_rates(const char *name, const rates *r, const mynah_machine *m) {
  double gflop_s = r->flops / r->us * 1e-3, gb_s = r->bytes / r->us * 1e-3;
  tool_say("%s %10.3f %9.1f %5.1f %% %8.1f %6.1f %%", name, r->us, gflop_s, 100 * share_of(gflop_s, m->gflops), gb_s,
           100 * share_of(gb_s, m->gb_s));
}

/* The least time there is for so many operations and bytes, if nothing lies in a cache. */
static void say_floor(const rates *all, const mynah_machine *m, mynah_json *result) {
  double by_flops = share_of(all->flops * 1e-3, m->gflops), by_bytes = share_of(all->bytes * 1e-3, m->gb_s);
  tool_say("floor: %.4g MFLOP in %.3f us at this core's %.1f GFLOP/s; %.4g MB in %.3f us at %.1f GB/s from memory (less from caches)",
           all->flops * 1e-6, by_flops, m->gflops, all->bytes * 1e-6, by_bytes, m->gb_s);
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "peak_gflop_s", mynah_json_number(m->gflops));
  mynah_json_set(j, "memory_gb_s", mynah_json_number(m->gb_s));
  mynah_json_set(j, "us_by_flops", mynah_json_number(by_flops));
  mynah_json_set(j, "us_by_bytes", mynah_json_number(by_bytes));
  mynah_json_set(result, "floor", j);
}

static mynah_status time_steps(const mynah_program *p, mynah_state *s, int64_t runs, mynah_json *result) {
  int n = mynah_program_n_steps(p);
  int64_t *ns = mynah_calloc((size_t)n + 1, sizeof *ns);
  timed_step *order = mynah_calloc((size_t)n + 1, sizeof *order);
  if (!ns || !order) {
    mynah_free(ns);
    mynah_free(order);
    return MYNAH_NO_MEMORY;
  }
  for (int64_t i = 0; i < runs; i++) mynah_state_run_timed(s, ns);
  for (int i = 0; i < n; i++) order[i] = (timed_step){i, ns[i]};
  qsort(order, (size_t)n, sizeof *order, slowest_first);
  mynah_json *list = mynah_json_array();
  mynah_machine machine = mynah_machine_measure();
  rates all = {0};
  tool_say("%4s %-18s %-28s %10s %9s %7s %8s %8s", "step", "op", "kernel", "us", "GFLOP/s", "of peak", "GB/s", "of mem.");
  for (int i = 0; i < n; i++) {
    const char *op, *kernel;
    char name[64];
    rates r = {.us = fmax((double)order[i].ns, 1) * 1e-3 / (double)runs};
    mynah_program_step(p, order[i].index, &op, &kernel, &r.flops, &r.bytes);
    snprintf(name, sizeof name, "%4d %-18s %-28s", order[i].index, op, kernel);
    say_rates(name, &r, &machine);
    all = (rates){all.us + r.us, all.flops + r.flops, all.bytes + r.bytes};
    mynah_json *j = rates_to_json(&r, &machine);
    mynah_json_set(j, "step", mynah_json_integer(order[i].index));
    mynah_json_set(j, "op", mynah_json_string(op));
    mynah_json_set(j, "kernel", mynah_json_string(kernel));
    mynah_json_append(list, j);
  }
  mynah_json_set(result, "steps", list);
  if (n > 0) {
    char name[64];
    snprintf(name, sizeof name, "%-52s", "all steps");
    say_rates(name, &all, &machine);
    mynah_json_set(result, "all", rates_to_json(&all, &machine));
    say_floor(&all, &machine, result);
  }
  mynah_free(ns);
  mynah_free(order);
  return MYNAH_OK;
}

/* What is timed: the clone's own program, or a training program of its policy. */
typedef struct subject {
  mynah_clone *clone;
  const mynah_program *program;
  mynah_program *own_program;
  mynah_weights *weights;
  mynah_binding *binding;
  mynah_state *state;
} subject;

static mynah_status make_training(subject *s, int64_t batch) {
  mynah_compile_config config = mynah_compile_default();
  config.precision = mynah_clone_precision(s->clone);
  const mynah_policy *p = mynah_clone_policy(s->clone);
  mynah_graph *g;
  mynah_node loss;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = p->type->build_train(p, g, batch, &loss);
  if (status == MYNAH_OK) mynah_output(g, "loss", loss);
  if (status == MYNAH_OK) status = mynah_differentiate(g, loss);
  if (status == MYNAH_OK) status = mynah_weights_create(g, 1, &s->weights);
  if (status == MYNAH_OK) status = mynah_compile(g, &config, &s->own_program);
  if (status == MYNAH_OK) status = mynah_binding_create(s->own_program, s->weights, &s->binding);
  if (status == MYNAH_OK) status = mynah_state_create(s->binding, &s->state);
  s->program = s->own_program;
  mynah_graph_destroy(g);
  return status;
}

/* Numbers of a trained network's size everywhere. */
static void fill_inputs(const subject *s) {
  mynah_rng rng = mynah_rng_make(1, 0);
  for (int i = 0; i < mynah_program_n_inputs(s->program); i++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *name = mynah_program_input(s->program, i, &dtype, &shape);
    void *memory = mynah_state_input(s->state, name);
    int64_t n = mynah_shape_size(shape);
    if (dtype == MYNAH_F32) mynah_rng_fill_normal(&rng, memory, (size_t)n);
    else if (dtype == MYNAH_U8) for (int64_t k = 0; k < n; k++) ((uint8_t *)memory)[k] = (uint8_t)mynah_rng_u32(&rng);
  }
}

static mynah_status time_subject(const bench_config *c, subject *s, mynah_json *result) {
  s->program = mynah_clone_program(s->clone, 0);
  if (c->batch > 0) MYNAH_TRY(make_training(s, c->batch));
  else MYNAH_TRY(mynah_state_create(mynah_clone_binding(s->clone, 0), &s->state));
  fill_inputs(s);
  MYNAH_TRY(time_whole(s->state, c->runs, result));
  MYNAH_TRY(time_steps(s->program, s->state, c->runs, result));
  mynah_json_set(result, "gflop", mynah_json_number(mynah_program_flops(s->program) * 1e-9));
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  if (args->n_positional != 1) return tool_usage_error("name one policy file");
  bench_config c;
  subject s = {0};
  mynah_config_default(&bench_table, &c);
  tool_acting_config acting;
  mynah_config_bind binds[2] = {{&bench_table, &c}, {&tool_acting_table, &acting}};
  MYNAH_TRY(tool_apply(args, binds, 2));
  mynah_json_set(result, "policy", mynah_json_string(args->positional[0]));
  MYNAH_TRY(tool_load_clone(args, args->positional[0], &s.clone));
  mynah_json_set(result, "precision", mynah_json_string(mynah_dtype_name(mynah_clone_precision(s.clone))));
  mynah_status status = time_subject(&c, &s, result);
  mynah_state_destroy(s.state);
  mynah_binding_destroy(s.binding);
  mynah_program_destroy(s.own_program);
  mynah_weights_destroy(s.weights);
  mynah_clone_destroy(s.clone);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &bench_table;
  out[1] = &tool_acting_table;
  return 2;
}

const tool_command tool_bench = {"bench", "bench POLICY.safetensors [runs=1000] [batch=N] [threads=N] [precision=bf16]",
                                 "time a policy step by step", run, tables};
