/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dynamixel X servos, protocol 2. Packet: FF FF FD 00 id length(2) instruction parameters crc(2); FF FF FD inside is followed by
 * a stuffed FD. Source: Robotis' e-manual, "Protocol 2.0". */
#include "servo.h"

#include <string.h>

enum { TORQUE = 64, GOAL = 116, POSITION = 132, READ_ALL = 0x82, WRITE_ALL = 0x83, STATUS = 0x55, BROADCAST = 0xfe };

/* CRC-16 with polynomial 8005, not reflected, from 0. */
static uint16_t crc16(const uint8_t *p, size_t n) {
  uint16_t crc = 0;
  for (size_t i = 0; i < n; i++) {
    crc = (uint16_t)(crc ^ p[i] << 8);
    for (int k = 0; k < 8; k++) crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x8005 : crc << 1);
  }
  return crc;
}

/* Instruction and parameters, stuffed, between header and sum. Shape: body (n) */
static size_t finish(const uint8_t *body, size_t n, uint8_t *out) {
  static const uint8_t header[] = {0xff, 0xff, 0xfd, 0, BROADCAST};
  size_t at = 7;
  memcpy(out, header, sizeof header);
  for (size_t i = 0; i < n; i++) {
    out[at++] = body[i];
    if (at >= 10 && out[at - 1] == 0xfd && out[at - 2] == 0xff && out[at - 3] == 0xff) out[at++] = 0xfd;
  }
  size_t length = at - 7 + 2;
  out[5] = (uint8_t)length;
  out[6] = (uint8_t)(length >> 8);
  uint16_t crc = crc16(out, at);
  out[at++] = (uint8_t)crc;
  out[at++] = (uint8_t)(crc >> 8);
  return at;
}

static size_t ask_positions(const uint8_t *ids, int n, uint8_t *out) {
  uint8_t body[5 + MYNAH__SERVOS_MAX] = {READ_ALL, POSITION, 0, 4, 0};
  memcpy(body + 5, ids, (size_t)n);
  return finish(body, 5 + (size_t)n, out);
}

static size_t command(const uint8_t *ids, const int32_t *goals, int n, uint8_t *out) {
  uint8_t body[5 + 5 * MYNAH__SERVOS_MAX] = {WRITE_ALL, GOAL, 0, 4, 0};
  for (int i = 0; i < n; i++) {
    uint8_t *p = body + 5 + 5 * i;
    p[0] = ids[i];
    for (int k = 0; k < 4; k++) p[1 + k] = (uint8_t)((uint32_t)goals[i] >> 8 * k);
  }
  return finish(body, 5 + 5 * (size_t)n, out);
}

static size_t torque(const uint8_t *ids, int n, bool is_on, uint8_t *out) {
  uint8_t body[5 + 2 * MYNAH__SERVOS_MAX] = {WRITE_ALL, TORQUE, 0, 1, 0};
  for (int i = 0; i < n; i++) {
    body[5 + 2 * i] = ids[i];
    body[6 + 2 * i] = is_on;
  }
  return finish(body, 5 + 2 * (size_t)n, out);
}

/* id length(2) 55 error position(4) crc(2), 15 bytes and what was stuffed. */
static size_t read_reply(const uint8_t *in, size_t n, mynah__reply *out) {
  size_t skipped = 0, n_body = 0;
  uint8_t body[16];
  *out = (mynah__reply){MYNAH__REPLY_NONE, 0, 0};
  while (skipped + 3 < n && !(in[skipped] == 0xff && in[skipped + 1] == 0xff && in[skipped + 2] == 0xfd && in[skipped + 3] == 0)) skipped++;
  if (skipped > 0) return skipped;
  if (n < 7) return 0;
  size_t length = in[5] | (size_t)in[6] << 8, whole = 7 + length;
  out->kind = MYNAH__REPLY_DAMAGED;
  if (length < 8 || length > 16) return 4;
  if (n < whole) {
    out->kind = MYNAH__REPLY_NONE;
    return 0;
  }
  uint16_t crc = crc16(in, whole - 2);
  if (in[whole - 2] != (uint8_t)crc || in[whole - 1] != (uint8_t)(crc >> 8)) return 4;
  for (size_t i = 7; i < whole - 2; i++) {
    if (i >= 10 && in[i] == 0xfd && in[i - 1] == 0xfd && in[i - 2] == 0xff && in[i - 3] == 0xff) continue; /* stuffed */
    body[n_body++] = in[i];
  }
  if (n_body != 6 || body[0] != STATUS) return whole;
  uint32_t v = (uint32_t)body[2] | (uint32_t)body[3] << 8 | (uint32_t)body[4] << 16 | (uint32_t)body[5] << 24;
  *out = (mynah__reply){MYNAH__REPLY_GOOD, in[4], (int32_t)v};
  return whole;
}

const mynah__servo_protocol mynah__dynamixel = {"dynamixel", ask_positions, command, torque, read_reply};
