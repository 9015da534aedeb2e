/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "person.h"

#include "shared.h"

#include <fcntl.h>
#include <linux/input.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

void mynah_test_person_open(mynah_test_person *t, const char *folder) {
  snprintf(t->path, sizeof t->path, "%s/event0", mynah_test_folder(folder));
  assert_int_equal(mkfifo(t->path, 0600), 0);
  t->fd = open(t->path, O_RDWR);
  assert_true(t->fd >= 0);
}

void mynah_test_person_event(mynah_test_person *t, int type, int code, int value) {
  struct input_event e = {.type = (uint16_t)type, .code = (uint16_t)code, .value = value};
  assert_int_equal(write(t->fd, &e, sizeof e), sizeof e);
}

void mynah_test_person_close(mynah_test_person *t) { close(t->fd); }
