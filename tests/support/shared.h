/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The folder of data sets and golden files beside the project, which a user need not have. */
#ifndef MYNAH_TEST_SHARED_H
#define MYNAH_TEST_SHARED_H

#include <stdbool.h>

/* The path of `name` below the shared folder (../shared, or MYNAH_SHARED if set), in storage of this function until it
 * is called again; when it is not there, says so in a line and skips the cmocka test. */
const char *mynah_test_shared(const char *name);
bool mynah_test_has_shared(const char *name);

/* A folder for a test's files, "build-tests/NAME" in the system's place for temporary files, emptied first. */
const char *mynah_test_folder(const char *name);

#endif
