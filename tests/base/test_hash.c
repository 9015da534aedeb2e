/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CRC-32C and SHA-256: published answers, the fast paths against the plain ones, any cut of the input. */
#include <mynah/base.h>

#include "support/shared.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
uint32_t mynah__crc32c_table(uint32_t crc, const void *data, size_t length);
void mynah__sha256_compress_plain(uint32_t h[8], const uint8_t *p, size_t n_blocks);

static uint8_t data[5000];

static int fill(void **state) {
  mynah_rng r = mynah_rng_make(1, 2);
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)mynah_rng_u32(&r);
  return 0;
}

/* RFC 3720, B.4, and the check value of the CRC catalogue. */
static void test_crc_known(void **state) {
  uint8_t bytes[32] = {0};
  assert_int_equal(mynah_crc32c(0, bytes, 32), 0x8a9136aa);
  memset(bytes, 0xff, 32);
  assert_int_equal(mynah_crc32c(0, bytes, 32), 0x62a8ab43);
  for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)i;
  assert_int_equal(mynah_crc32c(0, bytes, 32), 0x46dd794e);
  assert_int_equal(mynah_crc32c(0, "123456789", 9), 0xe3069283);
  assert_int_equal(mynah_crc32c(0, NULL, 0), 0);
}

static void test_crc_paths_agree(void **state) {
  for (size_t n = 0; n < sizeof data - 7; n += n < 300 ? 1 : 53) { /* beyond what is summed in lanes */
    uint32_t whole = mynah_crc32c(0, data + n % 7, n);
    assert_int_equal(whole, mynah__crc32c_table(0, data + n % 7, n));
    assert_int_equal(whole, mynah_crc32c(mynah_crc32c(0, data + n % 7, n / 3), data + n % 7 + n / 3, n - n / 3));
  }
}

static void expect_sha(const void *bytes, size_t n, const char *want) {
  mynah_sha256 s;
  char hex[65];
  mynah_sha256_init(&s);
  mynah_sha256_update(&s, bytes, n);
  mynah_sha256_final(&s, hex);
  assert_string_equal(hex, want);
}

/* FIPS 180-4 examples. */
static void test_sha_known(void **state) {
  expect_sha("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect_sha("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  static char million[1000000];
  memset(million, 'a', sizeof million);
  expect_sha(million, sizeof million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_sha_cuts_and_paths_agree(void **state) {
  for (size_t n = 0; n < 400; n += 7) {
    char whole[65], cut[65];
    mynah_sha256 s;
    mynah_sha256_init(&s);
    mynah_sha256_update(&s, data, n);
    mynah_sha256_final(&s, whole);
    mynah_sha256_init(&s);
    for (size_t at = 0, step = 1; at < n; at += step, step = step * 3 % 71 + 1)
      mynah_sha256_update(&s, data + at, at + step < n ? step : n - at);
    mynah_sha256_final(&s, cut);
    assert_string_equal(whole, cut);
  }
  mynah_sha256 fast, plain;
  mynah_sha256_init(&fast);
  mynah_sha256_init(&plain);
  mynah_sha256_update(&fast, data, 64 * 70);
  mynah__sha256_compress_plain(plain.h, data, 70);
  assert_memory_equal(fast.h, plain.h, sizeof plain.h);
}

static void test_sha_file(void **state) {
  char path[MYNAH_PATH_MAX], hex[65] = "";
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("hash"), "f"), MYNAH_OK);
  assert_int_equal(mynah_sha256_file(path, hex), MYNAH_NOT_FOUND);
  assert_int_equal(mynah_file_write(path, "abc", 3), MYNAH_OK);
  assert_int_equal(mynah_sha256_file(path, hex), MYNAH_OK);
  assert_memory_equal(hex, "ba7816bf", 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_crc_known), cmocka_unit_test(test_crc_paths_agree),
                                     cmocka_unit_test(test_sha_known), cmocka_unit_test(test_sha_cuts_and_paths_agree),
                                     cmocka_unit_test(test_sha_file)};
  return cmocka_run_group_tests(tests, fill, NULL);
}
