/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "websocket.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- SHA-1 (FIPS 180-4), for the handshake only ---------------------------------------------------------------------- */

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const uint8_t *p) {
  uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
  for (int t = 0; t < 16; t++) w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
  for (int t = 16; t < 80; t++) w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
  for (int t = 0; t < 80; t++) {
    uint32_t f = t < 20 ? (b & c) | (~b & d) : t < 40 ? b ^ c ^ d : t < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    uint32_t k = t < 20 ? 0x5a827999 : t < 40 ? 0x6ed9eba1 : t < 60 ? 0x8f1bbcdc : 0xca62c1d6;
    uint32_t sum = rotate(a, 5) + f + e + k + w[t];
    e = d, d = c, c = rotate(b, 30), b = a, a = sum;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* Of a text of at most 119 bytes. */
static void sha1(const char *text, uint8_t out[20]) {
  uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  uint8_t blocks[128] = {0};
  size_t n = strlen(text), total = n < 56 ? 64 : 128;
  memcpy(blocks, text, n);
  blocks[n] = 0x80;
  for (size_t i = 0; i < 8; i++) blocks[total - 1 - i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
  for (size_t at = 0; at < total; at += 64) sha1_block(h, blocks + at);
  for (int i = 0; i < 20; i++) out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void mynah__base64(const uint8_t *data, size_t n, char *out) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < n ? (uint32_t)data[i + 1] << 8 : 0) | (i + 2 < n ? data[i + 2] : 0u);
    for (size_t k = 0; k < 4; k++) *out++ = i + k <= n ? letters[v >> (18 - 6 * k) & 63] : '=';
  }
  *out = 0;
}

void mynah__ws_accept(const char *key, char out[32]) {
  char text[100];
  uint8_t digest[20];
  snprintf(text, sizeof text, "%.60s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key); /* RFC 6455, 1.3 */
  sha1(text, digest);
  mynah__base64(digest, sizeof digest, out);
}

bool mynah__http_header(const char *head, const char *name, char *out, size_t size) {
  size_t n = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, n) != 0 || line[n] != ':') continue;
    const char *value = line + n + 1, *end = strstr(value, "\r\n");
    while (*value == ' ' || *value == '\t') value++;
    while (end && end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (!end || end < value || (size_t)(end - value) >= size) return false;
    snprintf(out, size, "%.*s", (int)(end - value), value);
    return true;
  }
  return false;
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

mynah_status mynah__frame_read(uint8_t *data, size_t n, bool is_masked, size_t max_bytes, mynah__frame *out, size_t *used) {
  *used = 0;
  if (n < 2) return MYNAH_OK;
  int opcode = data[0] & 15;
  uint64_t bytes = data[1] & 127;
  size_t wide = bytes == 126 ? 2 : bytes == 127 ? 8 : 0, at = 2 + wide;
  bool is_control = opcode >= 8;
  if (data[0] & 0x70) return mynah_fail(MYNAH_CORRUPT, "frame: reserved bits are set");
  if (opcode > MYNAH__WS_BINARY && (opcode < MYNAH__WS_CLOSE || opcode > MYNAH__WS_PONG))
    return mynah_fail(MYNAH_CORRUPT, "frame: opcode %d", opcode);
  if ((data[1] >> 7 != 0) != is_masked)
    return mynah_fail(MYNAH_CORRUPT,
                      is_masked ? "frame: a client's frame is not masked" : "frame: a server's frame is masked");
  if (is_control && (bytes > 125 || !(data[0] & 0x80)))
    return mynah_fail(MYNAH_CORRUPT, "frame: a control frame is long or in parts");
  if (n < at) return MYNAH_OK;
  for (size_t i = 0; i < wide; i++) bytes = (i ? bytes << 8 : 0) | data[2 + i];
  if (bytes > max_bytes) return mynah_fail(MYNAH_LIMIT, "frame: %llu bytes, at most %zu are taken", (unsigned long long)bytes, max_bytes);
  size_t whole = at + (is_masked ? 4 : 0) + (size_t)bytes;
  if (n < whole) return MYNAH_OK;
  uint8_t *payload = data + whole - bytes;
  if (is_masked)
    for (size_t i = 0; i < bytes; i++) payload[i] ^= data[at + (i & 3)];
  *out = (mynah__frame){opcode, data[0] >> 7, payload, (size_t)bytes};
  *used = whole;
  return MYNAH_OK;
}

void mynah__frame_write(mynah_str *out, int opcode, const void *data, size_t n, const uint8_t *mask) {
  uint8_t head[14] = {(uint8_t)(0x80 | opcode)};
  size_t wide = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8, at = 2 + wide;
  head[1] = (uint8_t)((mask ? 0x80 : 0) | (wide == 0 ? (int)n : wide == 2 ? 126 : 127));
  for (size_t i = 0; i < wide; i++) head[2 + i] = (uint8_t)((uint64_t)n >> 8 * (wide - 1 - i));
  if (mask) memcpy(head + at, mask, 4);
  mynah_str_append(out, head, at + (mask ? 4 : 0));
  size_t start = out->length;
  mynah_str_append(out, data, n);
  if (out->is_failed || !mask) return;
  for (size_t i = 0; i < n; i++) out->data[start + i] = (char)((uint8_t)out->data[start + i] ^ mask[i & 3]);
}

void mynah__frame_close(mynah_str *out, int code, const char *reason, const uint8_t *mask) {
  char text[125] = {(char)(code >> 8), (char)(code & 255)};
  size_t n = strlen(reason);
  if (n > sizeof text - 2) n = sizeof text - 2;
  memcpy(text + 2, reason, n);
  mynah__frame_write(out, MYNAH__WS_CLOSE, text, n + 2, mask);
}
