/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64];

static const char *program(void) {
  const char *path = getenv("MYNAH_PROGRAM");
  return path ? path : "mynah";
}

const char *mynah_test_program_folder(void) {
  snprintf(folder, sizeof folder, "/tmp/mynah-program-XXXXXX");
  assert_non_null(mkdtemp(folder));
  return folder;
}

void mynah_test_program_remove(void) { assert_int_equal(mynah_remove_tree(folder), MYNAH_OK); }

static int run_list(char *out, size_t size, const char *format, va_list list) {
  char arguments[1024], command[2048], rest[512];
  vsnprintf(arguments, sizeof arguments, format, list);
  snprintf(command, sizeof command, "cd %s && %s %s", folder, program(), arguments);
  FILE *pipe = popen(command, "r");
  assert_non_null(pipe);
  size_t n = fread(out, 1, size - 1, pipe);
  out[n] = 0;
  while (fread(rest, 1, sizeof rest, pipe) > 0) continue;
  int status = pclose(pipe);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int mynah_test_run(char *out, size_t size, const char *format, ...) {
  va_list list;
  va_start(list, format);
  int status = run_list(out, size, format, list);
  va_end(list);
  return status;
}

mynah_json *mynah_test_run_json(const char *format, ...) {
  static char out[1 << 20];
  char arguments[1000];
  va_list list;
  va_start(list, format);
  vsnprintf(arguments, sizeof arguments, format, list);
  va_end(list);
  int status = mynah_test_run(out, sizeof out, "%s --json --quiet", arguments);
  if (status != 0) fail_msg("mynah %s: exit status %d: %s", arguments, status, out);
  mynah_json *j;
  if (mynah_json_parse(out, strlen(out), &j) != MYNAH_OK) fail_msg("mynah %s: no JSON: %s", arguments, out);
  return j;
}

pid_t mynah_test_start(const char *log, const char *arguments) {
  char command[2048];
  snprintf(command, sizeof command, "cd %s && exec %s %s >/dev/null 2>%s", folder, program(), arguments, log);
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  assert_true(child > 0);
  return child;
}
