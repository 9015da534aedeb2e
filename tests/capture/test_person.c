/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Events of a gamepad and a keyboard, written by hand into a pipe, as commands. */
#include <mynah/capture.h>

#include "support/person.h"
#include "support/shared.h"

#include <linux/input.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pty.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

/* Waits until element 0 is commanded this. */
static void expect(const mynah_person *p, double x, double y, bool is_held) {
  float action[2];
  bool held = false;
  for (int i = 0; i < 500; i++) {
    held = mynah_person_action(p, action);
    if (action[0] > x - 0.01 && action[0] < x + 0.01 && action[1] > y - 0.01 && action[1] < y + 0.01 && held == is_held) return;
    usleep(2000);
  }
  fail_msg("%g %g, held %d; %g %g, %d is due", (double)action[0], (double)action[1], held, x, y, is_held);
}

static void gamepads_command(void **state) {
  mynah_test_person t;
  mynah_person *p;
  mynah_test_person_open(&t, "person");
  if (mynah_person_open(t.path, "", 2, &p) != MYNAH_OK) fail_msg("%s", mynah_error());
  expect(p, 0, 0, false);
  mynah_test_person_event(&t, EV_ABS, ABS_X, 32767);
  mynah_test_person_event(&t, EV_ABS, ABS_Y, 32767);
  mynah_test_person_event(&t, EV_KEY, BTN_TL, 1);
  expect(p, 1, -1, true);
  mynah_test_person_event(&t, EV_ABS, ABS_X, 500); /* near the middle is the middle */
  mynah_test_person_event(&t, EV_ABS, ABS_Y, -16000);
  expect(p, 0, 0.461, true);
  mynah_test_person_event(&t, EV_KEY, BTN_TL, 0);
  mynah_test_person_event(&t, EV_KEY, BTN_START, 1);
  mynah_test_person_event(&t, EV_KEY, BTN_SELECT, 1);
  expect(p, 0, 0.461, false);
  unsigned events = 0;
  for (int i = 0; i < 500 && events != (MYNAH_PERSON_SAVE | MYNAH_PERSON_REDO); i++, usleep(2000)) events |= mynah_person_events(p);
  assert_int_equal(events, MYNAH_PERSON_SAVE | MYNAH_PERSON_REDO);
  assert_int_equal(mynah_person_events(p), 0);
  mynah_test_person_close(&t); /* unplugged: nothing is commanded, and the run ends */
  expect(p, 0, 0, false);
  assert_true(mynah_person_events(p) & MYNAH_PERSON_END);
  mynah_person_close(p);
}

static void keyboards_command(void **state) {
  mynah_test_person t;
  mynah_person *p;
  mynah_test_person_open(&t, "person");
  if (mynah_person_open(t.path, "left/right:0:0.5,s/w:1", 2, &p) != MYNAH_OK) fail_msg("%s", mynah_error());
  mynah_test_person_event(&t, EV_KEY, KEY_LEFT, 1);
  mynah_test_person_event(&t, EV_KEY, KEY_LEFT, 2);
  mynah_test_person_event(&t, EV_KEY, KEY_W, 1);
  expect(p, -0.5, 1, false);
  mynah_test_person_event(&t, EV_KEY, KEY_RIGHT, 1);
  mynah_test_person_event(&t, EV_KEY, KEY_SPACE, 1);
  expect(p, 0, 1, true);
  mynah_test_person_event(&t, EV_KEY, KEY_LEFT, 0);
  expect(p, 0.5, 1, true);
  mynah_person_close(p);
  mynah_test_person_close(&t);
}

/* Waits for all of these events. */
static void expect_events(mynah_person *p, unsigned due) {
  unsigned events = 0;
  for (int i = 0; i < 500 && events != due; i++, usleep(2000)) events |= mynah_person_events(p);
  assert_int_equal(events, due);
}

/* Keys typed at a terminal: down until some time after the last repetition, and the terminal is left as it was. */
static void terminals_command(void **state) {
  int master, slave;
  char path[128];
  struct termios before, after;
  mynah_person *p;
  assert_int_equal(openpty(&master, &slave, path, NULL, NULL), 0);
  assert_int_equal(tcgetattr(slave, &before), 0);
  if (mynah_person_open(path, "", 2, &p) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(write(master, "\x1b[C", 3), 3);
  expect(p, 1, 0, false);
  assert_int_equal(write(master, "w \x1b[C", 5), 5);
  expect(p, 1, 1, true);
  expect(p, 0, 0, true); /* nothing more was typed */
  assert_int_equal(write(master, " ", 1), 1);
  expect(p, 0, 0, false);
  assert_int_equal(write(master, "\ry\x7f", 3), 3);
  expect_events(p, MYNAH_PERSON_SAVE | MYNAH_PERSON_SUCCESS | MYNAH_PERSON_REDO);
  assert_int_equal(write(master, "nx", 2), 2);
  expect_events(p, MYNAH_PERSON_FAILURE | MYNAH_PERSON_DISCARD);
  assert_int_equal(write(master, "\x1b", 1), 1);
  expect_events(p, MYNAH_PERSON_END);
  mynah_person_close(p);
  assert_int_equal(tcgetattr(slave, &after), 0);
  assert_int_equal(before.c_lflag, after.c_lflag);
  close(master);
  close(slave);
}

static void bad_maps_are_refused(void **state) {
  static const char *const maps[] = {"q:0", "x", "x:", "x:a", "left/up", "left/q:0", "x:0:z", "x:7", ":::"};
  mynah_test_person t;
  mynah_person *p;
  mynah_test_person_open(&t, "person");
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
    if (mynah_person_open(t.path, maps[i], 2, &p) != MYNAH_INVALID) fail_msg("'%s' was taken", maps[i]);
  mynah_test_person_close(&t);
  assert_int_not_equal(mynah_person_open("/dev/input/none", "", 2, &p), MYNAH_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(gamepads_command), cmocka_unit_test(keyboards_command),
                                     cmocka_unit_test(terminals_command), cmocka_unit_test(bad_maps_are_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
