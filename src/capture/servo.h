/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Packets of servo buses: what is asked, and what an answer says. No input or output here. */
#ifndef MYNAH_CAPTURE_SERVO_H
#define MYNAH_CAPTURE_SERVO_H

#include <mynah/base.h>

#define MYNAH__SERVOS_MAX 32
#define MYNAH__PACKET_MAX 512
#define MYNAH__TICKS_A_TURN 4096

typedef enum mynah__reply_kind { MYNAH__REPLY_NONE, MYNAH__REPLY_GOOD, MYNAH__REPLY_DAMAGED } mynah__reply_kind;
typedef struct mynah__reply {
  mynah__reply_kind kind;
  int id;
  int32_t position; /* ticks */
} mynah__reply;

/* Each builder returns the packet's bytes. Shape: ids, goals (n), out (MYNAH__PACKET_MAX) */
typedef struct mynah__servo_protocol {
  const char *name;
  size_t (*ask_positions)(const uint8_t *ids, int n, uint8_t *out);
  size_t (*command)(const uint8_t *ids, const int32_t *goals, int n, uint8_t *out);
  size_t (*torque)(const uint8_t *ids, int n, bool is_on, uint8_t *out);
  /* Looks for one answer at the beginning; returns bytes to drop: those before a header, of a whole answer, or of one
   * that is damaged; 0: more is needed. */
  size_t (*read_reply)(const uint8_t *in, size_t n, mynah__reply *out);
} mynah__servo_protocol;
extern const mynah__servo_protocol mynah__feetech, mynah__dynamixel;

#endif
