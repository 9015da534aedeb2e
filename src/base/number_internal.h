/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Numbers to text and back, the same in every locale. */
#ifndef MYNAH_BASE_NUMBER_INTERNAL_H
#define MYNAH_BASE_NUMBER_INTERNAL_H

#include <stdbool.h>

#define MYNAH__NUMBER_BYTES 32
/* The shortest text that reads back as the same double: "0.001", "3", "1e+22". */
void mynah__number_text(double v, char out[MYNAH__NUMBER_BYTES]);
/* The whole text as a finite decimal number. */
bool mynah__number_parse(const char *text, double *out);

#endif
