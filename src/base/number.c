/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Numbers to text and back, the same in every locale. */
#include "number_internal.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What this process's locale writes between whole and fraction. */
static char radix(void) {
  const struct lconv *conventions = localeconv();
  return conventions && conventions->decimal_point && conventions->decimal_point[0] ? conventions->decimal_point[0]
                                                                                    : '.';
}

void mynah__number_text(double v, char out[MYNAH__NUMBER_BYTES]) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, MYNAH__NUMBER_BYTES, "%.*g", digits, v);
    if (!isfinite(v) || strtod(out, NULL) == v) break;
  }
  char *point = strchr(out, radix());
  if (point) *point = '.';
}

bool mynah__number_parse(const char *text, double *out) {
  char copy[64];
  size_t n = strlen(text);
  /* digits only: no "inf", "nan", hexadecimal or spaces */
  if (n == 0 || n >= sizeof copy || strspn(text, "0123456789+-.eE") != n) return false;
  memcpy(copy, text, n + 1);
  char *point = strchr(copy, '.'), *end;
  if (point) *point = radix();
  double v = strtod(copy, &end);
  if (end != copy + n || !isfinite(v)) return false;
  *out = v;
  return true;
}
