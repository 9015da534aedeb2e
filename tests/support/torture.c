/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Torture mode: a piece of work is run again and again while its allocation 1, 2, 3 … fails. */
#include "support/torture.h"

#include <setjmp.h>
/* after the headers that it needs */
#include <cmocka.h>

#define MAX_ROUNDS 100000

int mynah_test_torture(mynah_test_work work, void *context) {
  mynah_status status = work(context); /* also makes what is made once and kept */
  if (status != MYNAH_OK) fail_msg("torture: fails by itself: %s", mynah_error());
  for (int n = 1; n < MAX_ROUNDS; n++) {
    mynah_alloc_stats before = mynah_alloc_count();
    mynah_fail(MYNAH_OK, "%s", "");
    mynah_alloc_fail_at(n);
    status = work(context);
    mynah_alloc_fail_at(0);
    mynah_alloc_stats after = mynah_alloc_count();
    if (after.live_blocks != before.live_blocks || after.live_bytes != before.live_bytes)
      fail_msg("torture: allocation %d failing leaks %lld blocks, %lld bytes (status %s)", n,
               (long long)(after.live_blocks - before.live_blocks), (long long)(after.live_bytes - before.live_bytes),
               mynah_status_name(status));
    bool was_failed = after.n_calls - before.n_calls >= n;
    if (!was_failed && status == MYNAH_OK) return n - 1;
    if (status == MYNAH_OK) fail_msg("torture: allocation %d failed and nobody noticed", n);
    if (mynah_error()[0] == 0)
      fail_msg("torture: allocation %d failing gives %s without a text", n, mynah_status_name(status));
  }
  fail_msg("torture: no end after %d allocations", MAX_ROUNDS);
  return -1;
}
