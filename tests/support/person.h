/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A person at an input device: events written into a pipe. */
#ifndef MYNAH_TEST_PERSON_H
#define MYNAH_TEST_PERSON_H

typedef struct mynah_test_person {
  char path[256];
  int fd;
} mynah_test_person;
void mynah_test_person_open(mynah_test_person *t, const char *folder);
void mynah_test_person_event(mynah_test_person *t, int type, int code, int value);
void mynah_test_person_close(mynah_test_person *t);

#endif
