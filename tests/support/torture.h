/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Torture mode: a piece of work is run again and again while its allocation 1, 2, 3 … fails. */
#ifndef MYNAH_TEST_TORTURE_H
#define MYNAH_TEST_TORTURE_H

#include <mynah/base.h>

/* Does the work from nothing and takes all of it down again, whether or not it succeeded. */
typedef mynah_status (*mynah_test_work)(void *context);

/* Runs `work` first without failures (it must return OK), then with every allocation from the n-th on failing, n = 1,
 * 2, 3 …, until it succeeds again: each time an error must come back with a text, and no block may be left. Fails the
 * cmocka test otherwise. Returns how many allocations were failed. */
int mynah_test_torture(mynah_test_work work, void *context);

#endif
