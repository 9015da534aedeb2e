/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SHA-256 (FIPS 180-4), with the processor's own instructions where it has them. */
#include <mynah/base.h>

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#endif

#define BLOCK 64

static const uint32_t k256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* Section 6.2.2; the message schedule W is kept as a window of 16 words. */
static void compress_plain(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
  for (; n_blocks > 0; n_blocks--, p += BLOCK) {
    uint32_t w[16], s[8];
    memcpy(s, h, sizeof s);
    for (int t = 0; t < 64; t++) {
      uint32_t *wt = &w[t & 15];
      if (t < 16) {
        *wt = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
      } else {
        uint32_t w15 = w[(t + 1) & 15], w2 = w[(t + 14) & 15];
        *wt += (rotate(w15, 7) ^ rotate(w15, 18) ^ w15 >> 3) + w[(t + 9) & 15] +
               (rotate(w2, 17) ^ rotate(w2, 19) ^ w2 >> 10);
      }
      uint32_t e = s[4], a = s[0];
      uint32_t t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k256[t] + *wt;
      uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
      memmove(s + 1, s, 7 * sizeof *s);
      s[4] += t1;
      s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
  }
}

#if defined(__x86_64__)
/* The instructions keep the state as two vectors, {A,B,E,F} and {C,D,G,H} (highest word first), and do two rounds each;
 * four words of schedule w0 are replaced by the words 16 later while they are used. */
__attribute__((target("sha,sse4.1"))) static void compress_native(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m128i low = _mm_loadu_si128((const __m128i *)(const void *)h),
          high = _mm_loadu_si128((const __m128i *)(const void *)(h + 4));
  low = _mm_shuffle_epi32(low, 0xb1);   /* C D A B */
  high = _mm_shuffle_epi32(high, 0x1b); /* E F G H */
  __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; n_blocks > 0; n_blocks--, p += BLOCK) {
    __m128i w[4], abef_0 = abef, cdgh_0 = cdgh;
    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), swap);
    for (int i = 0; i < 16; i++) {
      __m128i *w0 = &w[i & 3];
      if (i >= 4) {
        __m128i w1 = w[(i + 1) & 3], w2 = w[(i + 2) & 3], w3 = w[(i + 3) & 3];
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*w0, w1), _mm_alignr_epi8(w3, w2, 4));
        *w0 = _mm_sha256msg2_epu32(sum, w3);
      }
      __m128i wk = _mm_add_epi32(*w0, _mm_loadu_si128((const __m128i *)(const void *)(k256 + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_0);
    cdgh = _mm_add_epi32(cdgh, cdgh_0);
  }
  low = _mm_shuffle_epi32(abef, 0x1b);  /* A B E F, lowest first */
  high = _mm_shuffle_epi32(cdgh, 0xb1); /* G H C D -> lowest first D C H G swapped pairs */
  _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(low, high, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(high, low, 8));
}

static bool has_native(void) {
  static atomic_int known; /* 0 not asked, 1 no, 2 yes */
  int answer = atomic_load_explicit(&known, memory_order_relaxed);
  if (answer == 0) {
    unsigned a, b = 0, c, d;
    bool has_sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29);
    answer = has_sha && __builtin_cpu_supports("sse4.1") ? 2 : 1;
    atomic_store_explicit(&known, answer, memory_order_relaxed);
  }
  return answer == 2;
}
#else
#define compress_native compress_plain
static bool has_native(void) { return false; }
#endif

static void compress(uint32_t h[8], const uint8_t *p, size_t n_blocks) {
  if (has_native()) compress_native(h, p, n_blocks);
  else compress_plain(h, p, n_blocks);
}

/* For the test that compares both ways. */
void mynah__sha256_compress_plain(uint32_t h[8], const uint8_t *p, size_t n_blocks);
void mynah__sha256_compress_plain(uint32_t h[8], const uint8_t *p, size_t n_blocks) { compress_plain(h, p, n_blocks); }

void mynah_sha256_init(mynah_sha256 *s) {
  *s = (mynah_sha256){
      .h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void mynah_sha256_update(mynah_sha256 *s, const void *data, size_t length) {
  const uint8_t *p = data;
  size_t used = (size_t)(s->n_bytes % BLOCK);
  s->n_bytes += length;
  if (used > 0) {
    size_t n = length < BLOCK - used ? length : BLOCK - used;
    if (n > 0) memcpy(s->block + used, p, n);
    if (used + n < BLOCK) return;
    compress(s->h, s->block, 1);
    p += n;
    length -= n;
  }
  if (length >= BLOCK) compress(s->h, p, length / BLOCK);
  if (length % BLOCK > 0) memcpy(s->block, p + length / BLOCK * BLOCK, length % BLOCK);
}

void mynah_sha256_final(mynah_sha256 *s, char hex[65]) {
  uint64_t n_bits = s->n_bytes * 8;
  size_t used = (size_t)(s->n_bytes % BLOCK), zeros = (used < 56 ? 56 : 56 + BLOCK) - used;
  uint8_t padding[BLOCK + 8] = {0x80};
  for (int i = 0; i < 8; i++) padding[zeros + (size_t)i] = (uint8_t)(n_bits >> (56 - 8 * i));
  mynah_sha256_update(s, padding, zeros + 8);
  for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[s->h[i / 8] >> (28 - 4 * (i % 8)) & 15];
  hex[64] = 0;
}

mynah_status mynah_sha256_file(const char *path, char hex[65]) {
  mynah_map map;
  MYNAH_TRY(mynah_map_open(path, &map));
  mynah_sha256 s;
  mynah_sha256_init(&s);
  mynah_sha256_update(&s, map.data, map.size);
  mynah_sha256_final(&s, hex);
  mynah_map_close(&map);
  return MYNAH_OK;
}
