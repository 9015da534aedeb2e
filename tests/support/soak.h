/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How long tests that draw their cases go on: MYNAH_SOAK_SECONDS each, set by `make soak`; 0 otherwise. */
#ifndef MYNAH_TEST_SOAK_H
#define MYNAH_TEST_SOAK_H

#include <stdint.h>
#include <stdlib.h>

static inline int64_t mynah_test_soak_seconds(void) {
  const char *text = getenv("MYNAH_SOAK_SECONDS");
  long seconds = text ? strtol(text, NULL, 10) : 0;
  return seconds > 0 && seconds < 1000000 ? seconds : 0;
}

/* How many cases are drawn at least: a few in `make check`; in `make soak`, however short, as many as are promised. */
static inline int64_t mynah_test_at_least(int64_t in_check, int64_t in_soak) {
  return mynah_test_soak_seconds() > 0 ? in_soak : in_check;
}

#endif
