/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a fuzz target is: libFuzzer's entry, also called by replay.c. */
#ifndef MYNAH_TEST_FUZZ_H
#define MYNAH_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feeds one hostile input to a parser; aborts (by a sanitizer or a trap) when something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the program where a debugger and libFuzzer see it. */
#define FUZZ_CHECK(condition)           \
  do {                                  \
    if (!(condition)) __builtin_trap(); \
  } while (0)

#endif
