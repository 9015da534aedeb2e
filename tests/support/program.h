/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The built program, run as a user types it; the environment's MYNAH_PROGRAM says where it is. */
#ifndef MYNAH_TEST_PROGRAM_H
#define MYNAH_TEST_PROGRAM_H

#include <mynah/base.h>

#include <sys/types.h>

/* A new folder under /tmp in which commands run from now on, and its removal. */
const char *mynah_test_program_folder(void);
void mynah_test_program_remove(void);
/* `mynah ARGUMENTS` in a shell; what it printed goes to out, unless the arguments send it elsewhere. Returns the exit
 * status. */
int mynah_test_run(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* With --json --quiet; fails the test unless it succeeds and prints an object. The caller destroys it. */
mynah_json *mynah_test_run_json(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Begun in the background, its standard error going to the file `log` in the folder. */
pid_t mynah_test_start(const char *log, const char *arguments);

#endif
