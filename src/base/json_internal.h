/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What reading and writing JSON share. */
#ifndef MYNAH_BASE_JSON_INTERNAL_H
#define MYNAH_BASE_JSON_INTERNAL_H

#include <mynah/base.h>

/* NULL, or something could not be put in for want of memory. */
bool mynah__json_is_incomplete(const mynah_json *j);
/* The double with the fewest decimal digits that rounds to this float. */
double mynah__json_shortest_float(float v);

#endif
