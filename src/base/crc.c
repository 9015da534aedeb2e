/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CRC-32C (Castagnoli), with the processor's own instruction where it has one. */
#include <mynah/base.h>

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__linux__) && (!defined(__clang__) || defined(__ARM_FEATURE_CRC32))
#define HAS_ARM_CRC /* clang declares the instructions only when they may be used everywhere */
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* reflected 0x1edc6f41 */

static uint32_t table[8][256]; /* table[k][b]: what byte b does to the remainder k bytes later */
static uint32_t zeros[4][256];   /* zeros[k][b]: what byte k of a remainder, b, becomes when LANE bytes of zeros follow */
static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t length);

/* The instruction takes three cycles and can begin anew in each: three lanes are summed side by side, then joined. */
#define LANE 1024

static uint64_t load_64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

static uint32_t update_table(uint32_t crc, const uint8_t *p, size_t n) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t v = load_64(p) ^ crc;
    crc = table[7][v & 255] ^ table[6][v >> 8 & 255] ^ table[5][v >> 16 & 255] ^ table[4][v >> 24 & 255] ^
          table[3][v >> 32 & 255] ^ table[2][v >> 40 & 255] ^ table[1][v >> 48 & 255] ^ table[0][v >> 56];
  }
#endif
  for (; n > 0; p++, n--) crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
  return crc;
}

static inline uint32_t after_lane(uint32_t crc) {
  return zeros[0][crc & 255] ^ zeros[1][crc >> 8 & 255] ^ zeros[2][crc >> 16 & 255] ^ zeros[3][crc >> 24];
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_native(uint32_t crc, const uint8_t *p, size_t n) {
  for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < LANE; i += 8) {
      a = _mm_crc32_u64(a, load_64(p + i));
      b = _mm_crc32_u64(b, load_64(p + LANE + i));
      c = _mm_crc32_u64(c, load_64(p + 2 * LANE + i));
    }
    crc = after_lane(after_lane((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
  }
  uint64_t wide = crc;
  for (; n >= 8; p += 8, n -= 8) wide = _mm_crc32_u64(wide, load_64(p));
  crc = (uint32_t)wide;
  for (; n > 0; p++, n--) crc = _mm_crc32_u8(crc, *p);
  return crc;
}
static bool has_native(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(HAS_ARM_CRC)
__attribute__((target("+crc"))) static uint32_t update_native(uint32_t crc, const uint8_t *p, size_t n) {
  for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE) {
    uint32_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < LANE; i += 8) {
      a = __crc32cd(a, load_64(p + i));
      b = __crc32cd(b, load_64(p + LANE + i));
      c = __crc32cd(c, load_64(p + 2 * LANE + i));
    }
    crc = after_lane(after_lane(a) ^ b) ^ c;
  }
  for (; n >= 8; p += 8, n -= 8) crc = __crc32cd(crc, load_64(p));
  for (; n > 0; p++, n--) crc = __crc32cb(crc, *p);
  return crc;
}
static bool has_native(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
#define update_native update_table
static bool has_native(void) { return false; }
#endif

static void prepare(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (POLYNOMIAL & (0u - (crc & 1)));
    table[0][b] = crc;
  }
  for (int k = 1; k < 8; k++)
    for (int b = 0; b < 256; b++) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
  static const uint8_t nothing[LANE];
  for (int bit = 0; bit < 32; bit++) { /* a remainder is the sum of its bits, and so is what becomes of it */
    uint32_t after = update_table(1u << bit, nothing, LANE);
    for (int b = 0; b < 256; b++)
      if (b >> bit % 8 & 1) zeros[bit / 8][b] ^= after;
  }
  update = has_native() ? update_native : update_table;
}

uint32_t mynah_crc32c(uint32_t crc, const void *data, size_t length) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  return ~update(~crc, data, length);
}

/* For the test that compares both ways. */
uint32_t mynah__crc32c_table(uint32_t crc, const void *data, size_t length);
uint32_t mynah__crc32c_table(uint32_t crc, const void *data, size_t length) {
  mynah_crc32c(0, "", 0);
  return ~update_table(~crc, data, length);
}
