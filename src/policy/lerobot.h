/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What LeRobot's checkpoints are made of, for reading and writing them: its keys and ours, its processors, its statistics. */
#ifndef MYNAH_POLICY_LEROBOT_H
#define MYNAH_POLICY_LEROBOT_H

#include "policy_internal.h"

/* How one of its keys is understood. */
typedef enum mynah__lerobot_rule {
  MYNAH__LEROBOT_COPY,   /* value of our key `ours`, perhaps under another name: see names */
  MYNAH__LEROBOT_MUST,   /* no choice here: must be `text` */
  MYNAH__LEROBOT_IGNORE, /* says nothing about what the policy computes; written as `text` */
  MYNAH__LEROBOT_SPECIAL /* read and written by code */
} mynah__lerobot_rule;

typedef struct mynah__lerobot_key {
  const char *theirs;
  mynah__lerobot_rule rule;
  const char *ours;
  const char *text;  /* JSON */
  const char *names; /* COPY of choices: "theirs=ours,…"; NULL: as it is */
} mynah__lerobot_key;

/* One kind of policy. */
typedef struct mynah__lerobot_kind {
  const char *theirs, *ours;      /* "act" */
  const char *prefix;             /* of its tensors: "model." */
  const mynah__lerobot_key *keys; /* ended by theirs NULL */
  const char *computed;           /* how the names of tensors end that it stores and we compute */
} mynah__lerobot_kind;
extern const mynah__lerobot_kind mynah__lerobot_kinds[2];
/* Keys that every kind has; ended by theirs NULL. */
extern const mynah__lerobot_key mynah__lerobot_common[];

/* x' = x * scale + shift of one element, as its statistics say it. */
#define MYNAH__LEROBOT_EPSILON 1e-8f

#endif
