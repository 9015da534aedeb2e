/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah bench: where a policy's time goes when it acts. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define BENCH_KEYS(K)                                                                              \
  K(INT, runs, "runs", 1000, 10, 1.0e7, "", "predictions timed")
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

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
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
  qsort(ns, (size_t)runs, sizeof *ns, by_value);
  double p50 = (double)ns[runs / 2] * 1e-6, p99 = (double)ns[runs * 99 / 100] * 1e-6;
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "p50", mynah_json_number(p50));
  mynah_json_set(j, "p99", mynah_json_number(p99));
  mynah_json_set(result, "ms", j);
  tool_say("one prediction: p50 %.4f ms, p99 %.4f ms (%lld runs, one thread)", p50, p99, (long long)runs);
  mynah_free(ns);
  return MYNAH_OK;
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
  tool_say("%4s %-18s %-28s %10s %9s %8s", "step", "op", "kernel", "us", "GFLOP/s", "GB/s");
  for (int i = 0; i < n; i++) {
    const char *op, *kernel;
    double flops, bytes, us = (double)order[i].ns * 1e-3 / (double)runs;
    mynah_program_step(p, order[i].index, &op, &kernel, &flops, &bytes);
    tool_say("%4d %-18s %-28s %10.3f %9.1f %8.1f", order[i].index, op, kernel, us, flops / us * 1e-3, bytes / us * 1e-3);
    mynah_json *j = mynah_json_object();
    mynah_json_set(j, "step", mynah_json_integer(order[i].index));
    mynah_json_set(j, "op", mynah_json_string(op));
    mynah_json_set(j, "kernel", mynah_json_string(kernel));
    mynah_json_set(j, "us", mynah_json_number(us));
    mynah_json_set(j, "gflop_s", mynah_json_number(flops / us * 1e-3));
    mynah_json_set(j, "gb_s", mynah_json_number(bytes / us * 1e-3));
    mynah_json_append(list, j);
  }
  mynah_json_set(result, "steps", list);
  mynah_free(ns);
  mynah_free(order);
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  if (args->n_positional != 1) return tool_usage_error("name one policy file");
  bench_config c;
  mynah_config_default(&bench_table, &c);
  mynah_config_bind bind = {&bench_table, &c};
  MYNAH_TRY(tool_apply(args, &bind, 1));
  mynah_clone *clone;
  mynah_state *s = NULL;
  MYNAH_TRY(mynah_clone_load(args->positional[0], &clone));
  mynah_status status = mynah_state_create(mynah_clone_binding(clone), &s);
  mynah_json_set(result, "policy", mynah_json_string(args->positional[0]));
  if (status == MYNAH_OK) status = time_whole(s, c.runs, result);
  if (status == MYNAH_OK) status = time_steps(mynah_clone_program(clone), s, c.runs, result);
  mynah_state_destroy(s);
  mynah_clone_destroy(clone);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &bench_table;
  return 1;
}

const tool_command tool_bench = {"bench", "bench POLICY.safetensors [runs=1000]", "time a policy step by step", run, tables};
