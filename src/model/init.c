/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names of weights and PyTorch's initial values. */
#include "model_internal.h"

#include <math.h>
#include <stdio.h>

bool mynah__model_name(mynah_graph *g, char name[MYNAH_NAME_MAX], const char *prefix, const char *suffix) {
  int n = snprintf(name, MYNAH_NAME_MAX, "%s.%s", prefix, suffix);
  if (n > 0 && n < MYNAH_NAME_MAX) return true;
  mynah_graph_fail(g, "model: the weight name '%s.%s' is too long", prefix, suffix);
  return false;
}

/* kaiming_uniform with a = sqrt(5) has the bound sqrt(6 / ((1 + 5) fan_in)) = 1/sqrt(fan_in), as the bias has. */
mynah_init mynah__model_init_fan_in(int64_t fan_in) {
  return (mynah_init){MYNAH_INIT_UNIFORM, (float)(1.0 / sqrt((double)(fan_in > 0 ? fan_in : 1)))};
}
