/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the following simulator share: world and camera. */
#ifndef MYNAH_FOLLOW_INTERNAL_H
#define MYNAH_FOLLOW_INTERNAL_H

#include <mynah/sim.h>

#define FOLLOW_RATE_HZ 20
#define FOLLOW_ROOM_M 6.0 /* half its side */
#define FOLLOW_THINGS_MAX 13
#define FOLLOW_KEEP_M 1.5 /* the expert's distance */
#define FOLLOW_FOV_RAD 1.4

enum { FOLLOW_BALL, FOLLOW_CONE, FOLLOW_CAR, FOLLOW_PERSON };

/* A thing on the floor; thing 0 is the target. */
typedef struct follow_thing {
  int label;
  double x_m, y_m, heading_rad, speed_m_s, turn_rad_s;
  double wanted_m_s; /* 0: it stands */
  float size;        /* of its usual size */
  float color[3], second[3]; /* 0 … 1 */
} follow_thing;

typedef struct follow_robot {
  double x_m, y_m, heading_rad, speed_m_s, turn_rad_s;
} follow_robot;

/* How the room looks. Colours: 0 … 1. */
typedef struct follow_look {
  float floor[2][3], wall[2][3], top[3];
  float light[3], sun[3]; /* sun: towards it, length 1 */
  float ambient, flicker, flicker_rad_s, grain, tiles_per_m;
  uint64_t noise_seed;
} follow_look;

typedef struct follow_world {
  const mynah_follow_config *config;
  follow_robot robot;
  follow_thing things[FOLLOW_THINGS_MAX];
  int n_things;
  follow_look look;
  mynah_rng rng; /* of motion */
} follow_world;

/* ---- follow_world.c ---- */

void mynah__follow_world_make(follow_world *w, const mynah_follow_config *config, uint64_t seed);
/* One control period. Shape: action (2) speed, turn */
MYNAH_RT void mynah__follow_world_move(follow_world *w, const float *action);
/* The target from the robot: x ahead, y left. */
MYNAH_RT void mynah__follow_target(const follow_world *w, double *x_m, double *y_m);
/* Turns towards the target and keeps its distance. Shape: action (2) */
MYNAH_RT void mynah__follow_expert(const follow_world *w, float *action);

/* ---- follow_render.c ---- */

/* What was drawn of each thing: its own outline, and how many of its pixels nothing hides. */
typedef struct follow_seen {
  int x0, y0, x1, y1, n_own, n_visible;
} follow_seen;
typedef struct follow_canvas {
  int width, height;
  uint8_t *rgb;    /* (height,width,3) */
  float *depth;    /* (height,width) */
  int8_t *thing;   /* (height,width), -1: none */
  follow_seen seen[FOLLOW_THINGS_MAX];
} follow_canvas;
MYNAH_RT void mynah__follow_render(const follow_world *w, int64_t step, follow_canvas *canvas);

#endif
