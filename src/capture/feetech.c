/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Feetech STS (and SMS) servos. Packet: FF FF id length instruction parameters checksum; length counts parameters + 2, the
 * checksum is the complement of the sum of all after the header. Source: Feetech's STS memory table and protocol manual. */
#include "servo.h"

#include <string.h>

enum { TORQUE = 40, GOAL = 42, POSITION = 56, WRITE_ALL = 0x83, READ_ALL = 0x82, BROADCAST = 0xfe };

static size_t finish(uint8_t *p, size_t n_parameters) {
  unsigned sum = 0;
  p[0] = p[1] = 0xff;
  p[2] = BROADCAST;
  p[3] = (uint8_t)(n_parameters + 2);
  for (size_t i = 2; i < 5 + n_parameters; i++) sum += p[i];
  p[5 + n_parameters] = (uint8_t)~sum;
  return 6 + n_parameters;
}

static size_t ask_positions(const uint8_t *ids, int n, uint8_t *out) {
  out[4] = READ_ALL;
  out[5] = POSITION;
  out[6] = 2;
  memcpy(out + 7, ids, (size_t)n);
  return finish(out, 2 + (size_t)n);
}

/* Sign in bit 15, magnitude below. */
static uint16_t to_register(int32_t v) {
  int32_t size = v < 0 ? -v : v;
  return (uint16_t)((size > 32767 ? 32767 : size) | (v < 0 ? 0x8000 : 0));
}

static size_t command(const uint8_t *ids, const int32_t *goals, int n, uint8_t *out) {
  out[4] = WRITE_ALL;
  out[5] = GOAL;
  out[6] = 2;
  for (int i = 0; i < n; i++) {
    uint16_t v = to_register(goals[i]);
    uint8_t *p = out + 7 + 3 * i;
    p[0] = ids[i], p[1] = (uint8_t)v, p[2] = (uint8_t)(v >> 8);
  }
  return finish(out, 2 + 3 * (size_t)n);
}

static size_t torque(const uint8_t *ids, int n, bool is_on, uint8_t *out) {
  out[4] = WRITE_ALL;
  out[5] = TORQUE;
  out[6] = 1;
  for (int i = 0; i < n; i++) {
    out[7 + 2 * i] = ids[i];
    out[8 + 2 * i] = is_on;
  }
  return finish(out, 2 + 2 * (size_t)n);
}

/* FF FF id length error position(2) checksum: 8 bytes. */
static size_t read_reply(const uint8_t *in, size_t n, mynah__reply *out) {
  size_t skipped = 0;
  unsigned sum = 0;
  *out = (mynah__reply){MYNAH__REPLY_NONE, 0, 0};
  while (skipped + 2 < n && !(in[skipped] == 0xff && in[skipped + 1] == 0xff && in[skipped + 2] != 0xff)) skipped++;
  const uint8_t *p = in + skipped;
  if (skipped > 0) return skipped;
  if (n < 4) return 0;
  if (p[3] != 4) { /* not an answer about positions: what follows is looked at again */
    out->kind = MYNAH__REPLY_DAMAGED;
    return 2;
  }
  if (n < 8) return 0;
  for (int i = 2; i < 7; i++) sum += p[i];
  if ((uint8_t)~sum != p[7]) {
    out->kind = MYNAH__REPLY_DAMAGED;
    return 2;
  }
  int32_t v = p[5] | p[6] << 8;
  *out = (mynah__reply){MYNAH__REPLY_GOOD, p[2], v & 0x8000 ? -(v & 0x7fff) : v};
  return 8;
}

const mynah__servo_protocol mynah__feetech = {"feetech", ask_positions, command, torque, read_reply};
