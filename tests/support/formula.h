/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tensors and pictures that are functions of their names (../shared/goldens/formula_weights, spec 1): a big network's golden
 * numbers need no file of weights. */
#ifndef TESTS_FORMULA_H
#define TESTS_FORMULA_H

#include <mynah/graph.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static inline uint64_t formula_word(const char *name, int64_t i) {
  uint64_t z = 0xCBF29CE484222325u;
  for (const char *p = name; *p; p++) z = (z ^ (uint8_t)*p) * 0x100000001B3u;
  z += (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static inline double formula_unit(const char *name, int64_t i) {
  return ((double)(int64_t)(formula_word(name, i) >> 40) - 8388608.0) / 8388608.0;
}

static inline bool ends(const char *text, const char *with) {
  size_t n = strlen(text), m = strlen(with);
  return n >= m && strcmp(text + n - m, with) == 0;
}

/* gain: a factor of matrices and filters. Shape: out (size of s) */
static inline void formula_tensor(const char *name, mynah_shape s, double gain, float *out) {
  double offset = 0, scale = 0.125;
  int64_t size = mynah_shape_size(s);
  if (ends(name, "running_var")) offset = 1, scale = 0.5;
  else if (s.n_dims >= 2 && strstr(name, "embed")) scale = 1;
  else if (s.n_dims >= 2) scale = gain * sqrt(3.0 / (double)(size / s.dims[0]));
  else if (ends(name, "weight")) offset = 1;
  for (int64_t i = 0; i < size; i++) out[i] = (float)(offset + scale * formula_unit(name, i));
}

/* A picture (H,W,3) of the formula. */
static inline void formula_image(const char *name, int64_t h, int64_t w, uint8_t *out) {
  char block[160], pixel[160];
  snprintf(block, sizeof block, "%.128s:blk", name);
  snprintf(pixel, sizeof pixel, "%.128s:pix", name);
  for (int64_t c = 0; c < 3; c++)
    for (int64_t y = 0; y < h; y++)
      for (int64_t x = 0; x < w; x++) {
        uint64_t blk = formula_word(block, (c * ((h + 15) / 16) + y / 16) * ((w + 15) / 16) + x / 16) >> 56;
        uint64_t pix = formula_word(pixel, (c * h + y) * w + x) >> 56;
        out[(y * w + x) * 3 + c] = (uint8_t)((3 * blk + pix) >> 2);
      }
}

#endif
