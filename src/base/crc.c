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
static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t length);

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

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_native(uint32_t crc, const uint8_t *p, size_t n) {
  uint64_t wide = crc;
  for (; n >= 8; p += 8, n -= 8) wide = _mm_crc32_u64(wide, load_64(p));
  crc = (uint32_t)wide;
  for (; n > 0; p++, n--) crc = _mm_crc32_u8(crc, *p);
  return crc;
}
static bool has_native(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(HAS_ARM_CRC)
__attribute__((target("+crc"))) static uint32_t update_native(uint32_t crc, const uint8_t *p, size_t n) {
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
