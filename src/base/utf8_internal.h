/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 checked and repaired. */
#ifndef MYNAH_BASE_UTF8_INTERNAL_H
#define MYNAH_BASE_UTF8_INTERNAL_H

#include <mynah/base.h>

/* Bytes of the valid character at `text` (1 to 4), or 0. Text ends with NUL. */
size_t mynah__utf8_char(const char *text);
/* Appends the text with each invalid byte replaced by U+FFFD. */
void mynah__utf8_repair(const char *text, mynah_str *out);

#endif
