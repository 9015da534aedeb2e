/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WebSocket (RFC 6455) without a socket: handshake keys and frames, in memory. */
#ifndef MYNAH_SERVE_WEBSOCKET_H
#define MYNAH_SERVE_WEBSOCKET_H

#include <mynah/base.h>

enum { MYNAH__WS_MORE = 0, MYNAH__WS_TEXT = 1, MYNAH__WS_BINARY = 2, MYNAH__WS_CLOSE = 8, MYNAH__WS_PING = 9, MYNAH__WS_PONG = 10 };
enum { MYNAH__WS_NORMAL = 1000, MYNAH__WS_GOING = 1001, MYNAH__WS_WRONG = 1002, MYNAH__WS_POLICY = 1008, MYNAH__WS_TOO_BIG = 1009, MYNAH__WS_FAILED = 1011 };

typedef struct mynah__frame {
  int opcode;
  bool is_final;
  uint8_t *data; /* unmasked, in the buffer */
  size_t bytes;
} mynah__frame;
/* The frame at the beginning of a buffer, unmasked in place; *used: its bytes in all, 0 while it is not whole.
 * Fails: CORRUPT (reserved bits, a control frame that is long or in parts, masked or not against the rule), LIMIT. */
mynah_status mynah__frame_read(uint8_t *data, size_t n, bool is_masked, size_t max_bytes, mynah__frame *out, size_t *used);
/* Appends a whole frame; mask: 4 bytes, or NULL for a server. */
void mynah__frame_write(mynah_str *out, int opcode, const void *data, size_t n, const uint8_t *mask);
/* A close frame with code and reason. */
void mynah__frame_close(mynah_str *out, int code, const char *reason, const uint8_t *mask);
/* Sec-WebSocket-Accept of a Sec-WebSocket-Key. */
void mynah__ws_accept(const char *key, char out[32]);
/* Base64 of at most 32 bytes. */
void mynah__base64(const uint8_t *data, size_t n, char *out);
/* The value of a header of a request or response that ends with an empty line; false: none, or longer than size. */
bool mynah__http_header(const char *head, const char *name, char *out, size_t size);

#endif
