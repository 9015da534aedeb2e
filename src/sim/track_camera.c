/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the camera needs beside its drawing: the noise that gives texture, and the choice of instruction set. */
#include "track_internal.h"

/* Octaves of lattice noise with smooth interpolation, and grain of single texels. */
void mynah__track_noise_make(uint8_t *noise) {
  enum { SIDE = TRACK_NOISE_SIDE };
  float lattice[64][64], ease[SIDE];
  mynah_rng rng = mynah_rng_make(20, 5);
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) noise[y * SIDE + x] = 0;
  for (int cells = 8, amplitude = 128; cells <= 64; cells *= 2, amplitude /= 2) {
    int size = SIDE / cells;
    for (int i = 0; i < cells * cells; i++) lattice[i / cells][i % cells] = (float)mynah_rng_uniform(&rng);
    for (int i = 0; i < size; i++) {
      float t = (float)i / (float)size;
      ease[i] = t * t * (3 - 2 * t);
    }
    for (int y = 0; y < SIDE; y++) {
      const float *above = lattice[y / size], *below = lattice[(y / size + 1) % cells];
      float v = ease[y % size];
      for (int x = 0; x < SIDE; x++) {
        int i = x / size, j = (i + 1) % cells;
        float u = ease[x % size];
        float value = (above[i] + (above[j] - above[i]) * u) * (1 - v) + (below[i] + (below[j] - below[i]) * u) * v;
        noise[y * SIDE + x] = (uint8_t)(noise[y * SIDE + x] + (uint8_t)(value * (float)amplitude));
      }
    }
  }
  for (int i = 0; i < SIDE * SIDE; i++) noise[i] = (uint8_t)(noise[i] + mynah_rng_below(&rng, 15));
}

mynah__track_render_fn mynah__track_render_choose(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return mynah__track_render_avx2;
#endif
  return mynah__track_render_base;
}
