/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 checked and repaired. */
#include "utf8_internal.h"

/* RFC 3629, section 4: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
size_t mynah__utf8_char(const char *text) {
  const unsigned char *p = (const unsigned char *)text;
  size_t n;
  unsigned low = 0x80, high = 0xbf; /* of the second byte */
  if (p[0] == 0) return 0;
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xc2 && p[0] <= 0xdf) n = 2;
  else if (p[0] >= 0xe0 && p[0] <= 0xef) n = 3;
  else if (p[0] >= 0xf0 && p[0] <= 0xf4) n = 4;
  else return 0;
  if (p[0] == 0xe0) low = 0xa0;
  if (p[0] == 0xed) high = 0x9f;
  if (p[0] == 0xf0) low = 0x90;
  if (p[0] == 0xf4) high = 0x8f;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  return n;
}

void mynah__utf8_repair(const char *text, mynah_str *out) {
  mynah_str_append(out, "", 0);
  while (*text) {
    size_t n = mynah__utf8_char(text);
    if (n > 0) mynah_str_append(out, text, n);
    else mynah_str_append(out, "\xef\xbf\xbd", 3);
    text += n > 0 ? n : 1;
  }
}
