/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The initial states gym-pusht draws from a seed: NumPy's SeedSequence, PCG64, bounded integers and uniforms. */
#include "pusht.h"

#include <string.h>

#define PI 3.141592653589793

/* ---- SeedSequence: 32-bit hashing of the seed into a pool of four words (O'Neill 2015, "seed_seq_fe") ---------------- */

static uint32_t hash_in(uint32_t value, uint32_t *constant) {
  value ^= *constant;
  *constant *= 0x931e8875u;
  value *= *constant;
  return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y) {
  uint32_t r = 0xca01f9ddu * x - 0x4973f715u * y;
  return r ^ r >> 16;
}

static void seed_words(uint64_t seed, uint64_t out[4]) {
  uint32_t entropy[4] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, pool[4], constant = 0x43b0d7e5u, words[8];
  for (int i = 0; i < 4; i++) pool[i] = hash_in(entropy[i], &constant);
  for (int from = 0; from < 4; from++)
    for (int to = 0; to < 4; to++)
      if (from != to) pool[to] = mix(pool[to], hash_in(pool[from], &constant));
  constant = 0x8b51f9ddu;
  for (int i = 0; i < 8; i++) {
    uint32_t v = pool[i % 4] ^ constant;
    constant *= 0x58f38dedu;
    v *= constant;
    words[i] = v ^ v >> 16;
  }
  for (int i = 0; i < 4; i++) out[i] = words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
}

/* ---- PCG64: a 128-bit linear congruential generator, output XSL-RR (O'Neill 2014) ------------------------------------ */

/* 128-bit numbers as two halves: ISO C has no wider type. */
typedef struct wide {
  uint64_t high, low;
} wide;

static wide add(wide a, wide b) {
  wide r = {a.high + b.high, a.low + b.low};
  r.high += r.low < a.low;
  return r;
}

static uint64_t multiply_high(uint64_t a, uint64_t b) {
  uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
  uint64_t low = a0 * b0, mid1 = a1 * b0 + (low >> 32), mid2 = a0 * b1 + (uint32_t)mid1;
  return a1 * b1 + (mid1 >> 32) + (mid2 >> 32);
}

static wide multiply(wide a, wide b) {
  return (wide){multiply_high(a.low, b.low) + a.high * b.low + a.low * b.high, a.low * b.low};
}

typedef struct pcg {
  wide state, increment;
  bool has_half;
  uint32_t half;
} pcg;

static void step(pcg *g) {
  const wide multiplier = {2549297995355413924u, 4865540595714422341u};
  g->state = add(multiply(g->state, multiplier), g->increment);
}

static void pcg_seed(pcg *g, uint64_t seed) {
  uint64_t words[4];
  seed_words(seed, words);
  *g = (pcg){.increment = {words[2] << 1 | words[3] >> 63, words[3] << 1 | 1}};
  step(g);
  g->state = add(g->state, (wide){words[0], words[1]});
  step(g);
}

static uint64_t next64(pcg *g) {
  step(g);
  uint64_t x = g->state.high ^ g->state.low;
  int turn = (int)(g->state.high >> 58);
  return x >> turn | x << (-turn & 63);
}

/* Two 32-bit numbers a 64-bit one, the low half first. */
static uint32_t next32(pcg *g) {
  if (g->has_half) {
    g->has_half = false;
    return g->half;
  }
  uint64_t x = next64(g);
  g->has_half = true;
  g->half = (uint32_t)(x >> 32);
  return (uint32_t)x;
}

/* Generator.integers(low, high): the high half of a product, biased remainders thrown back (Lemire 2019). */
static double draw_integer(pcg *g, uint32_t low, uint32_t high) {
  uint32_t n = high - low, threshold = (0u - n) % n;
  uint64_t product = (uint64_t)next32(g) * n;
  while ((uint32_t)product < threshold) product = (uint64_t)next32(g) * n;
  return (double)(low + (uint32_t)(product >> 32));
}

void mynah__pusht_initial(uint64_t seed, double *state) {
  pcg g;
  pcg_seed(&g, seed);
  for (int i = 0; i < 2; i++) state[i] = draw_integer(&g, 50, 450);
  for (int i = 2; i < 4; i++) state[i] = draw_integer(&g, 100, 400);
  state[4] = -PI + (PI - -PI) * ((double)(next64(&g) >> 11) * 0x1p-53);
}
