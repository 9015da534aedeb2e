/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside Push-T: geometry shared by physics, coverage and pictures. */
#ifndef MYNAH_SIM_PUSHT_H
#define MYNAH_SIM_PUSHT_H

#include <mynah/sim.h>

#define MYNAH__PUSHT_SIZE 512        /* px, the world's side */
#define MYNAH__PUSHT_PICTURE 96      /* px, the picture's side */
#define MYNAH__PUSHT_AGENT_RADIUS 15 /* px */
#define MYNAH__PUSHT_WALL_RADIUS 2   /* px */
#define MYNAH__PUSHT_BLOCK_COG 45.0  /* px: y of the centre of gravity in the block's frame; x is 0 */
#define MYNAH__PUSHT_BLOCK_MOMENT 3000.0 /* px^2: of the block, whose mass is 1 */

typedef struct mynah__point {
  double x, y;
} mynah__point;

/* The block's two rectangles in its own frame, px: bar, then stem. */
extern const mynah__point mynah__pusht_parts[2][4];
/* The four walls' end points, px. */
extern const mynah__point mynah__pusht_walls[4][2];
/* Where the block shall go: x, y in px, angle in rad. */
extern const double mynah__pusht_goal[3];
/* A part's corners at a pose. Shape: pose (3) */
void mynah__pusht_place(const double *pose, int part, mynah__point out[4]);
/* What reset(seed) of gym-pusht draws. Shape: state (5) */
void mynah__pusht_initial(uint64_t seed, double *state);
/* Draws the world on a canvas and shrinks it. Shape: canvas (512,512,3) scratch, pose (3), rgb (size,size,3) */
void mynah__pusht_draw(const double *agent, const double *pose, uint8_t *canvas, uint8_t *rgb, int size);

/* As the device's open, but without a planner. */
mynah_status mynah__pusht_open_world(const void *config, mynah_device **out);
/* The world as it is in this state, the block at rest; nothing else of the device changes. */
void mynah__pusht_restore(mynah_device *pusht, const mynah_pusht_state *state);
/* One control step without counting and scoring it, and the block's pose. Shape: target (2), pose (3) */
void mynah__pusht_move(mynah_device *pusht, const double *target);
void mynah__pusht_pose(const mynah_device *pusht, double *pose);

/* Who is imitated (pusht_expert.c): goes around the block and pushes where trying it out promises the soonest end. */
typedef struct mynah__pusht_planner mynah__pusht_planner;
mynah_status mynah__pusht_planner_create(mynah__pusht_planner **out);
void mynah__pusht_planner_destroy(mynah__pusht_planner *p); /* NULL: nothing */
/* Shape: action (2) */
void mynah__pusht_plan(mynah__pusht_planner *p, const mynah_pusht_state *now, float *action);

#endif
