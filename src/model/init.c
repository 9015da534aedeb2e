/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names of weights, PyTorch's initial values, and batch norm folded into filters. */
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

void mynah__model_fold_norm(mynah_graph *g, const mynah__norm_vectors *v, float eps, mynah_node *w, mynah_node *b) {
  mynah_node scale = mynah_div(g, v->weight, mynah_unary(g, "sqrt", mynah_affine(g, v->variance, 1, eps)));
  int64_t size = mynah_node_shape(g, v->weight).dims[0];
  *w = mynah_mul(g, *w, mynah_reshape(g, scale, MYNAH_SHAPE(size, 1, 1, 1)));
  *b = mynah_sub(g, v->bias, mynah_mul(g, v->mean, scale));
}
