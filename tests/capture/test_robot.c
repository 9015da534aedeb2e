/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Servo buses against servos emulated on a pseudo-terminal: both protocols; answers lost, late and damaged; packets by hand. */
#include "src/capture/servo.h"

#include <mynah/capture.h>

#include "support/shared.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define N 3

/* ---- servos that are not there ----------------------------------------------------------------------------------------- */

typedef struct bus {
  int master;
  bool is_dynamixel;
  char port[64];
  pthread_t thread;
  atomic_bool is_ending;
  atomic_int positions[N], goals[N], torque[N]; /* of ids 1 … N, ticks */
  atomic_int lose_every, damage_every, delay_us, mute; /* mute: the id that says nothing */
  int n_asked;
} bus;

static uint16_t crc_of(const uint8_t *p, size_t n) { /* bit by bit, as the manual defines it */
  uint32_t crc = 0;
  for (size_t i = 0; i < n; i++)
    for (int bit = 7; bit >= 0; bit--) {
      bool carry = (crc >> 15 & 1) != (uint32_t)(p[i] >> bit & 1);
      crc = (crc << 1 & 0xffff) ^ (carry ? 0x8005 : 0);
    }
  return (uint16_t)crc;
}

static size_t reply_of(const bus *b, int id, int32_t position, uint8_t *out) {
  if (b->is_dynamixel) {
    uint8_t p[] = {0xff,
                   0xff,
                   0xfd,
                   0,
                   (uint8_t)id,
                   8,
                   0,
                   0x55,
                   0,
                   (uint8_t)position,
                   (uint8_t)(position >> 8),
                   (uint8_t)(position >> 16),
                   (uint8_t)(position >> 24),
                   0,
                   0};
    uint16_t crc = crc_of(p, 13);
    p[13] = (uint8_t)crc, p[14] = (uint8_t)(crc >> 8);
    memcpy(out, p, sizeof p);
    return sizeof p;
  }
  int size = abs(position);
  uint8_t p[] = {0xff, 0xff, (uint8_t)id, 4, 0, (uint8_t)size, (uint8_t)(size >> 8 | (position < 0 ? 0x80 : 0)), 0};
  p[7] = (uint8_t)~(p[2] + p[3] + p[4] + p[5] + p[6]);
  memcpy(out, p, sizeof p);
  return sizeof p;
}

static void answer(bus *b, const uint8_t *ids, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint8_t p[32];
    int id = ids[i], k = ++b->n_asked;
    if (id < 1 || id > N || id == b->mute) continue;
    int at = b->positions[id - 1], to = b->goals[id - 1], step = to > at ? 40 : -40;
    if (b->torque[id - 1]) b->positions[id - 1] = abs(to - at) < 40 ? to : at + step;
    size_t bytes = reply_of(b, id, b->positions[id - 1], p);
    if (b->lose_every && k % b->lose_every == 0) continue;
    if (b->damage_every && k % b->damage_every == 0) p[bytes - 3] ^= 0x10;
    if (b->delay_us) usleep((useconds_t)b->delay_us);
    ssize_t sent = write(b->master, p, bytes);
    (void)sent;
  }
}

/* Instruction and parameters of one packet, unstuffed by the caller where that matters. */
static void obey(bus *b, const uint8_t *p, size_t n) {
  size_t head = b->is_dynamixel ? 5 : 3, wide = b->is_dynamixel ? 2 : 1;
  int address = p[1], bytes = b->is_dynamixel ? p[1 + wide] : p[2];
  if (p[0] == 0x82) answer(b, p + head, n - head);
  for (size_t at = head; p[0] == 0x83 && at + (size_t)bytes < n; at += 1 + (size_t)bytes) {
    int id = p[at];
    int32_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (int32_t)((uint32_t)p[at + 1 + (size_t)i] << 8 * i);
    if (id < 1 || id > N) continue;
    if (!b->is_dynamixel && bytes == 2 && v & 0x8000) v = -(v & 0x7fff);
    if (address == (b->is_dynamixel ? 116 : 42)) b->goals[id - 1] = v;
    if (address == (b->is_dynamixel ? 64 : 40)) b->torque[id - 1] = v;
  }
}

static void *serve(void *context) {
  bus *b = context;
  uint8_t in[2048];
  size_t n = 0, head = 5;
  while (!b->is_ending) {
    if (poll(&(struct pollfd){b->master, POLLIN, 0}, 1, 20) > 0) {
      ssize_t k = read(b->master, in + n, sizeof in - n);
      if (k > 0) n += (size_t)k;
    }
    for (;;) { /* whole packets, whose sums are right */
      size_t length = b->is_dynamixel ? (n >= 7 ? in[5] | (size_t)in[6] << 8 : 0) : n >= 4 ? in[3] : 0;
      size_t whole = (b->is_dynamixel ? 7 : 4) + length;
      if (length == 0 || n < whole) break;
      head = b->is_dynamixel ? 7 : 4;
      if (b->is_dynamixel) {
        assert_int_equal(crc_of(in, whole - 2), in[whole - 2] | in[whole - 1] << 8);
        obey(b, in + head, length - 2);
      } else obey(b, in + head, length - 1);
      memmove(in, in + whole, n - whole);
      n -= whole;
    }
  }
  return NULL;
}

static void start_bus(bus *b, bool is_dynamixel) {
  memset(b, 0, sizeof *b);
  b->is_dynamixel = is_dynamixel;
  b->master = posix_openpt(O_RDWR | O_NOCTTY);
  assert_true(b->master >= 0);
  assert_int_equal(grantpt(b->master), 0);
  assert_int_equal(unlockpt(b->master), 0);
  assert_int_equal(ptsname_r(b->master, b->port, sizeof b->port), 0);
  for (int i = 0; i < N; i++) b->positions[i] = b->goals[i] = 2048 + 100 * i;
  assert_int_equal(pthread_create(&b->thread, NULL, serve, b), 0);
}

static void end_bus(bus *b) {
  b->is_ending = true;
  pthread_join(b->thread, NULL);
  close(b->master);
}

static const char *write_file(const bus *b, const char *extra) {
  static char path[256];
  char text[2048];
  snprintf(path, sizeof path, "%s/arm.json", mynah_test_folder("robot"));
  int n = snprintf(text, sizeof text,
                   "{\"rate_hz\": 50, \"bus\": {\"type\": \"%s\", \"port\": \"%s\", \"baud\": 1000000, \"timeout_ms\": 30, \"lost_after\": 5},"
                   "\"joints\": [{\"name\": \"pan\", \"id\": 1, \"low\": -1, \"high\": 1, \"velocity\": 3},"
                   "{\"name\": \"lift\", \"id\": 2, \"reversed\": true}, {\"name\": \"grip\", \"id\": 3}]%s}",
                   b->is_dynamixel ? "dynamixel" : "feetech", b->port, extra);
  assert_int_equal(mynah_file_write(path, text, (size_t)n), MYNAH_OK);
  return path;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void an_arm_moves(bool is_dynamixel) {
  bus b;
  mynah_device *d;
  mynah_value v;
  start_bus(&b, is_dynamixel);
  if (mynah_robot_open(write_file(&b, ""), &d) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_string_equal(d->features[0].names, "pan,lift,grip");
  assert_float_equal(mynah_robot_joints(d)[0].velocity, 3, 0);
  assert_float_equal(mynah_robot_joints(d)[1].velocity, 2, 0); /* its file says none */
  d->type->observe(d, &v);
  const float *state = v.data;
  double tick = 6.283185307179586 / 4096;
  assert_float_equal(state[0], 0, 1e-6);
  assert_float_equal(state[1], -100 * tick, 1e-6); /* reversed */
  assert_float_equal(state[2], 200 * tick, 1e-6);
  assert_int_equal(d->type->reset(d, 0), MYNAH_OK);
  float goal[N] = {0.5f, 0.25f, NAN}; /* what is no number is not sent */
  for (int i = 0; i < 100 && fabs((double)state[0] - 0.5) > 2 * tick; i++) {
    d->type->act(d, goal);
    usleep(20000);
    d->type->observe(d, &v);
  }
  assert_float_equal(state[0], 0.5, 2 * tick);
  assert_float_equal(state[1], 0.25, 2 * tick);
  assert_float_equal(state[2], 200 * tick, 1e-6);
  assert_true(mynah_now_ns() - v.time_ns < 1000000000);
  assert_int_equal(d->type->health(d), MYNAH_OK);
  b.goals[0] = 4000; /* on its way elsewhere, it is stopped */
  usleep(60000);
  mynah_robot_stop(d);
  usleep(50000);
  assert_true(abs(b.goals[0] - b.positions[0]) < 200);
  d->type->close(d);
  end_bus(&b);
}
static void feetech_moves(void **state) { an_arm_moves(false); }
static void dynamixel_moves(void **state) { an_arm_moves(true); }

/* Answers that are lost, damaged or late are counted, and the arm goes on; a joint that is silent is named. */
static void a_bad_bus_is_survived(void **state) {
  for (int k = 0; k < 2; k++) {
    bus b;
    mynah_device *d;
    mynah_value v;
    start_bus(&b, k);
    if (mynah_robot_open(write_file(&b, ""), &d) != MYNAH_OK) fail_msg("%s", mynah_error());
    assert_int_equal(d->type->reset(d, 0), MYNAH_OK);
    b.lose_every = 4;
    b.damage_every = 5;
    b.delay_us = 300;
    float goal[N] = {0.4f, 0, 0};
    d->type->observe(d, &v);
    const float *at = v.data;
    for (int i = 0; i < 200 && fabs((double)at[0] - 0.4) > 0.01; i++) {
      d->type->act(d, goal);
      usleep(20000);
      d->type->observe(d, &v);
    }
    assert_float_equal(at[0], 0.4, 0.01);
    mynah_bus_counts c = mynah_robot_counts(d);
    assert_true(c.n_missing > 0 && c.n_damaged > 0);
    assert_int_equal(d->type->health(d), MYNAH_OK);
    b.lose_every = b.damage_every = 0;
    b.mute = 2;
    for (int i = 0; i < 200 && d->type->health(d) == MYNAH_OK; i++) usleep(20000);
    assert_int_equal(d->type->health(d), MYNAH_IO);
    assert_non_null(strstr(mynah_error(), "lift"));
    d->type->close(d);
    end_bus(&b);
  }
}

static void bad_files_are_refused(void **state) {
  static const char *const texts[] = {"", "{", "[]", "{\"bus\":{\"type\":\"can\"}}", "{\"bus\":{\"type\":\"feetech\"},\"joints\":[]}",
                                      "{\"bus\":{\"type\":\"feetech\"},\"joints\":[{\"name\":\"a\"}]}",
                                      "{\"bus\":{\"type\":\"feetech\"},\"joints\":[{\"name\":\"a\",\"id\":1},{\"name\":\"b\",\"id\":1}]}",
                                      "{\"bus\":{\"type\":\"feetech\"},\"joints\":[{\"name\":\"a\",\"id\":1,\"low\":2,\"high\":1}]}",
                                      "{\"bus\":{\"type\":\"feetech\",\"port\":\"/dev/null\"},\"joints\":[{\"name\":\"a\",\"id\":1}]}",
                                      "{\"bus\":{\"type\":\"feetech\",\"port\":\"/dev/none\",\"baud\":7},\"joints\":[{\"name\":\"a\",\"id\":1}]}"};
  char path[256];
  mynah_device *d;
  snprintf(path, sizeof path, "%s/bad.json", mynah_test_folder("robot-bad"));
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_int_equal(mynah_file_write(path, texts[i], strlen(texts[i])), MYNAH_OK);
    if (mynah_robot_open(path, &d) == MYNAH_OK) fail_msg("'%s' was taken", texts[i]);
    assert_true(mynah_error()[0] != 0);
  }
  bus b;
  start_bus(&b, false);
  b.mute = 3;
  assert_int_equal(mynah_robot_open(write_file(&b, ""), &d), MYNAH_IO);
  assert_non_null(strstr(mynah_error(), "grip"));
  b.mute = 0;
  static const char *const cameras[][2] = {{"1", "no list"}, {"[1]", "needs a name"}, {"[{\"name\":\"front\"}]", "a device"},
                                           {"[{\"name\":\"a/b\",\"device\":\"/dev/null\"}]", "needs a name"},
                                           {"[{\"name\":\"a\",\"device\":\"/dev/null\",\"width\":1e9,\"height\":2}]", "width"},
                                           {"[{\"name\":\"a\",\"device\":\"/dev/null\"}]", "no camera"},
                                           {"[{\"name\":\"a\",\"device\":\"/dev/video-none\"}]", "/dev/video-none"}};
  for (size_t i = 0; i < sizeof cameras / sizeof *cameras; i++) {
    char extra[256];
    snprintf(extra, sizeof extra, ", \"cameras\": %s", cameras[i][0]);
    if (mynah_robot_open(write_file(&b, extra), &d) == MYNAH_OK) fail_msg("'%s' was taken", cameras[i][0]);
    if (!strstr(mynah_error(), cameras[i][1])) fail_msg("'%s' does not say '%s'", mynah_error(), cameras[i][1]);
  }
  end_bus(&b);
}

/* Bytes of Robotis' manual, and a goal that needs stuffing. */
static void packets_are_right(void **state) {
  uint8_t out[MYNAH__PACKET_MAX];
  const uint8_t want[] = {0xff, 0xff, 0xfd, 0, 0xfe, 0x09, 0, 0x82, 0x84, 0, 4, 0, 1, 2, 0xce, 0xfa}; /* sync read of 1 and 2 */
  size_t n = mynah__dynamixel.ask_positions((const uint8_t[]){1, 2}, 2, out);
  assert_int_equal(n, sizeof want);
  assert_memory_equal(out, want, n);
  int32_t goal = 0x00fdffff; /* FF FF FD 00 on the wire */
  n = mynah__dynamixel.command((const uint8_t[]){1}, &goal, 1, out);
  assert_int_equal(n, 7 + 5 + 5 + 1 + 2);
  assert_int_equal(out[16], 0xfd);
  mynah__reply r;
  mynah_rng rng = mynah_rng_make(1, 1);
  for (int i = 0; i < 200000; i++) { /* rubbish: every call drops something or waits, within what is there */
    uint8_t in[24];
    size_t m = (size_t)mynah_rng_below(&rng, sizeof in + 1);
    for (size_t k = 0; k < m; k++) in[k] = mynah_rng_below(&rng, 3) ? (uint8_t)(0xff - mynah_rng_below(&rng, 3)) : (uint8_t)mynah_rng_u32(&rng);
    const mynah__servo_protocol *p = i % 2 ? &mynah__feetech : &mynah__dynamixel;
    assert_true(p->read_reply(in, m, &r) <= m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(feetech_moves), cmocka_unit_test(dynamixel_moves), cmocka_unit_test(a_bad_bus_is_survived),
                                     cmocka_unit_test(bad_files_are_refused), cmocka_unit_test(packets_are_right)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
