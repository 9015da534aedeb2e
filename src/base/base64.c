/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes as text (RFC 4648, section 4). */
#include <mynah/base.h>

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void mynah_base64_encode(const void *bytes, size_t n, mynah_str *out) {
  const uint8_t *b = bytes;
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)b[i] << 16 | (uint32_t)(i + 1 < n ? b[i + 1] : 0) << 8 | (i + 2 < n ? b[i + 2] : 0);
    char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                    i + 2 < n ? digits[v & 63] : '='};
    mynah_str_append(out, four, 4);
  }
}

mynah_status mynah_base64_decode(const char *text, mynah_str *out) {
  size_t n = strlen(text);
  if (n % 4) return mynah_fail(MYNAH_CORRUPT, "base64: %zu letters are no multiple of 4", n);
  for (size_t i = 0; i < n; i += 4) {
    uint32_t v = 0;
    size_t n_pad = i + 4 < n ? 0 : (size_t)(text[i + 3] == '=') + (size_t)(text[i + 2] == '=' && text[i + 3] == '=');
    for (size_t k = 0; k < 4; k++) {
      const char *digit = k < 4 - n_pad ? strchr(digits, text[i + k]) : digits;
      if (!digit) return mynah_fail(MYNAH_CORRUPT, "base64: a wrong letter at %zu", i + k);
      v = v << 6 | (uint32_t)(digit - digits);
    }
    const char three[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
    mynah_str_append(out, three, 3 - n_pad);
  }
  return out->is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}
