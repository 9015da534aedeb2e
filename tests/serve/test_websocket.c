/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames and handshakes in memory: against a recorded session of openpi's client, the RFC's example, and rubbish. */
#include "src/serve/websocket.h"

#include "support/shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void read_golden(const char *name, char **data, size_t *n) {
  char path[256];
  snprintf(path, sizeof path, "../shared/goldens/openpi/%s", name);
  if (mynah_file_read(path, 1 << 20, data, n) != MYNAH_OK) fail_msg("%s", mynah_error());
}

static void handshakes_agree(void **state) {
  (void)state;
  char out[32];
  mynah__ws_accept("dGhlIHNhbXBsZSBub25jZQ==", out); /* RFC 6455, 1.3 */
  assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* The binary frames of a recorded stream are these payloads, in order. */
static void check_stream(const char *stream, bool is_client, const char *const *payloads, int n_payloads, int last_code) {
  char *data, *want;
  size_t n, n_want, used = 1;
  int k = 0, code = 0;
  mynah__frame f;
  read_golden(stream, &data, &n);
  uint8_t *at = memmem(data, n, "\r\n\r\n", 4), *end = (uint8_t *)data + n;
  assert_non_null(at);
  for (at += 4; at < end; at += used) {
    if (mynah__frame_read(at, (size_t)(end - at), is_client, 1 << 20, &f, &used) != MYNAH_OK) fail_msg("%s", mynah_error());
    assert_true(used > 0);
    if (f.opcode == MYNAH__WS_CLOSE && f.bytes >= 2) code = f.data[0] << 8 | f.data[1];
    if (f.opcode != MYNAH__WS_BINARY) continue;
    assert_true(k < n_payloads);
    read_golden(payloads[k++], &want, &n_want);
    assert_int_equal(f.bytes, n_want);
    assert_memory_equal(f.data, want, n_want);
    mynah_free(want);
  }
  assert_int_equal(k, n_payloads);
  if (last_code) assert_int_equal(code, last_code);
  mynah_free(data);
}

static void recorded_streams_are_read(void **state) {
  (void)state;
  static const char *const sent[] = {"obs_libero.bin", "obs_aloha.bin", "obs_droid.bin", "obs_bad_shape.bin"};
  static const char *const came[] = {"metadata.bin", "reply_libero.bin", "reply_aloha.bin", "reply_droid.bin"};
  if (!mynah_test_shared("goldens/openpi")) skip();
  check_stream("stream_client.bin", true, sent, 4, 0);
  check_stream("stream_server.bin", false, came, 4, MYNAH__WS_FAILED);
}

/* What is written is read, at every length form, masked or not; no part of it is a frame. */
static void frames_come_back(void **state) {
  (void)state;
  static const size_t lengths[] = {0, 1, 125, 126, 300, 65535, 65536, 70001};
  static uint8_t data[70001];
  const uint8_t mask[4] = {1, 99, 200, 7};
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 31);
  for (size_t i = 0; i < 16; i++) {
    mynah_str s = {0};
    mynah__frame f;
    size_t used = 1, n = lengths[i / 2];
    mynah__frame_write(&s, MYNAH__WS_BINARY, data, n, i % 2 ? mask : NULL);
    for (size_t cut = 0; cut < s.length; cut += cut < 20 ? 1 : 9973) {
      assert_int_equal(mynah__frame_read((uint8_t *)s.data, cut, i % 2, 1 << 20, &f, &used), MYNAH_OK);
      assert_int_equal(used, 0);
    }
    assert_int_equal(mynah__frame_read((uint8_t *)s.data, s.length, i % 2, 1 << 20, &f, &used), MYNAH_OK);
    assert_int_equal(used, s.length);
    assert_int_equal(f.bytes, n);
    assert_memory_equal(f.data, data, n);
    mynah_str_deinit(&s);
  }
}

static void rubbish_is_refused(void **state) {
  (void)state;
  mynah__frame f;
  size_t used;
  uint8_t reserved[] = {0xc2, 0x80, 0, 0, 0, 0}, opcode[] = {0x83, 0x80, 0, 0, 0, 0}, bare[] = {0x82, 1, 7}, ping[] = {0x09, 0x80, 0, 0, 0, 0};
  uint8_t huge[] = {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, long_ping[] = {0x89, 0xfe, 1, 0, 0, 0, 0, 0};
  assert_int_equal(mynah__frame_read(reserved, sizeof reserved, true, 1000, &f, &used), MYNAH_CORRUPT);
  assert_int_equal(mynah__frame_read(opcode, sizeof opcode, true, 1000, &f, &used), MYNAH_CORRUPT);
  assert_int_equal(mynah__frame_read(bare, sizeof bare, true, 1000, &f, &used), MYNAH_CORRUPT);
  assert_int_equal(mynah__frame_read(bare, sizeof bare, false, 1000, &f, &used), MYNAH_OK);
  assert_int_equal(mynah__frame_read(ping, sizeof ping, true, 1000, &f, &used), MYNAH_CORRUPT);
  assert_int_equal(mynah__frame_read(long_ping, sizeof long_ping, true, 1000, &f, &used), MYNAH_CORRUPT);
  assert_int_equal(mynah__frame_read(huge, sizeof huge, true, 1000, &f, &used), MYNAH_LIMIT);
  mynah_rng r = mynah_rng_make(9, 9);
  for (int i = 0; i < 100000; i++) {
    size_t n = (size_t)mynah_rng_below(&r, 40);
    uint8_t *data = mynah_alloc(n ? n : 1);
    for (size_t k = 0; k < n; k++) data[k] = (uint8_t)mynah_rng_u32(&r);
    if (mynah__frame_read(data, n, true, 100, &f, &used) == MYNAH_OK) assert_true(used <= n);
    mynah_free(data);
  }
}

static void headers_are_found(void **state) {
  (void)state;
  char out[16];
  const char *head = "GET / HTTP/1.1\r\nHost: a\r\nUPGRADE:   websocket \r\nLong: 0123456789abcdefgh\r\n\r\n";
  assert_true(mynah__http_header(head, "Upgrade", out, sizeof out));
  assert_string_equal(out, "websocket");
  assert_false(mynah__http_header(head, "Long", out, sizeof out));
  assert_false(mynah__http_header(head, "Ho", out, sizeof out));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(handshakes_agree), cmocka_unit_test(recorded_streams_are_read),
                                     cmocka_unit_test(frames_come_back), cmocka_unit_test(rubbish_is_refused),
                                     cmocka_unit_test(headers_are_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
