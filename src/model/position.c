/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Positions and steps as waves (Vaswani et al. 2017, section 3.5), as constants of a graph. */
#include "model_internal.h"

#include <math.h>

#define PI 3.14159265358979323846
#define MAX_NUMBERS ((int64_t)1 << 24)

/* Sine in even places, cosine in odd ones, of x / 10000^(2 floor(j/2) / n). Shape: out (n) */
static void interleaved(double x, int64_t n, float *out) {
  for (int64_t j = 0; j < n; j++) {
    double angle = x / pow(10000, (double)(2 * (j / 2)) / (double)n);
    out[j] = (float)(j % 2 ? cos(angle) : sin(angle));
  }
}

static float *room(mynah_graph *g, int64_t rows, int64_t width, const char *what) {
  float *data = NULL;
  if (rows > 0 && width > 1 && width % 2 == 0 && rows <= MAX_NUMBERS / width)
    data = mynah_calloc((size_t)(rows * width), sizeof *data);
  if (!data) mynah_graph_fail(g, "%s: no room for %lld positions of width %lld", what, (long long)rows, (long long)width);
  return data;
}

mynah_node mynah_model_positions(mynah_graph *g, int64_t n, int64_t width) {
  float *data = room(g, n, width, "positions");
  if (!data) return MYNAH_NO_NODE;
  for (int64_t i = 0; i < n; i++) interleaved((double)i, width, data + i * width);
  mynah_node node = mynah_constant(g, MYNAH_SHAPE(1, n, width), data);
  mynah_free(data);
  return node;
}

mynah_node mynah_model_positions_2d(mynah_graph *g, int64_t height, int64_t width, int64_t channels) {
  int64_t half = channels / 2;
  float *data = room(g, height * width, channels, "positions_2d");
  if (!data) return MYNAH_NO_NODE;
  for (int64_t i = 0; i < height * width; i++) {
    double y = (double)(i / width + 1) / ((double)height + 1e-6) * 2 * PI;
    double x = (double)(i % width + 1) / ((double)width + 1e-6) * 2 * PI;
    interleaved(y, half, data + i * channels);
    interleaved(x, half, data + i * channels + half);
  }
  mynah_node node = mynah_constant(g, MYNAH_SHAPE(1, height * width, channels), data);
  mynah_free(data);
  return node;
}

mynah_node mynah_model_waves(mynah_graph *g, mynah_node t, int64_t width) {
  int64_t half = width / 2;
  float *data = room(g, 1, width, "waves");
  if (!data) return MYNAH_NO_NODE;
  for (int64_t j = 0; j < half; j++) data[j] = (float)exp(-log(10000) * (double)j / (double)(half > 1 ? half - 1 : 1));
  mynah_node angles = mynah_mul(g, t, mynah_constant(g, MYNAH_SHAPE(1, half), data)); /* in float: no product */
  mynah_free(data);
  return mynah_concat(g, (mynah_node[]){mynah_unary(g, "sin", angles), mynah_unary(g, "cos", angles)}, 2, -1);
}
