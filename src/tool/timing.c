/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Percentiles of measured times. */
#include "tool.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

tool_percentiles tool_percentiles_of(int64_t *ns, int64_t n) {
  if (n < 1) return (tool_percentiles){0};
  qsort(ns, (size_t)n, sizeof *ns, by_value);
  return (tool_percentiles){(double)ns[n / 2] * 1e-6, (double)ns[n * 99 / 100] * 1e-6};
}
