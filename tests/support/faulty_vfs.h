/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file system for SQLite whose n-th operation fails, and which can tell what a power cut would have left on the disk. */
#ifndef MYNAH_TEST_FAULTY_VFS_H
#define MYNAH_TEST_FAULTY_VFS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum mynah_test_fault {
  MYNAH_TEST_FAULT_ONCE,  /* one operation fails, the next ones work */
  MYNAH_TEST_FAULT_STAYS, /* all from the n-th on fail: the disk is gone */
  MYNAH_TEST_FAULT_TORN,  /* half of what is written arrives, then the disk is full; later operations work */
} mynah_test_fault;

/* Becomes SQLite's default until removed. Threads: one at a time. */
void mynah_test_vfs_install(void);
void mynah_test_vfs_remove(void);
/* Counts writes, truncations, syncs and removals from now on; the n-th from now fails (n = 0: none). */
void mynah_test_vfs_fail(int64_t n, mynah_test_fault fault);
int64_t mynah_test_vfs_count(void);
/* Whether an operation failed since. */
bool mynah_test_vfs_has_failed(void);
/* Keeps every operation from now on in memory; files must not exist yet. */
void mynah_test_vfs_record(void);
/* What a power cut after n operations leaves of the recorded files, written under other names: FROM… becomes TO….
 * What was not synced is there whole, not at all, or in some of its sectors of 512 bytes: drawn from the seed. */
void mynah_test_vfs_cut(int64_t n, uint64_t seed, const char *from, const char *to);

#endif
