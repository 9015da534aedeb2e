/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The room, what moves in it, and the expert. */
#include "follow_internal.h"

#include <math.h>

#define PI 3.14159265358979323846
#define DT (1.0 / FOLLOW_RATE_HZ)
#define SPEED_MAX 1.2
#define TURN_MAX 1.6
#define LAG_S 0.15
#define WANDER_TAU_S 1.2

enum { STREAM_PLACES = 1, STREAM_LOOK, STREAM_MOTION, STREAM_TARGET };

static double wrap(double a) { return a - 2 * PI * floor((a + PI) / (2 * PI)); }

/* ---- making ----------------------------------------------------------------------------------------------------------- */

static void color(mynah_rng *r, double least, double most, float out[3]) {
  for (int c = 0; c < 3; c++) out[c] = (float)mynah_rng_range(r, least, most);
}

/* A strong colour: one or two of the three channels. */
static void strong_color(mynah_rng *r, float out[3]) {
  int which = 1 + (int)mynah_rng_below(r, 6);
  for (int c = 0; c < 3; c++) out[c] = (float)(which >> c & 1 ? mynah_rng_range(r, 0.65, 1) : mynah_rng_range(r, 0, 0.2));
}

static void dress(follow_thing *t, double variety, mynah_rng *r) {
  static const float usual[MYNAH_FOLLOW_CLASSES][2][3] = {{{0.9f, 0.15f, 0.1f}, {1, 1, 1}},
                                                          {{1, 0.45f, 0.05f}, {0.95f, 0.95f, 0.95f}},
                                                          {{0.1f, 0.3f, 0.85f}, {0.15f, 0.2f, 0.25f}},
                                                          {{0.2f, 0.6f, 0.3f}, {0.15f, 0.15f, 0.3f}}};
  float own[2][3];
  strong_color(r, own[0]);
  color(r, 0.05, 0.9, own[1]);
  double share = t->label == FOLLOW_CONE ? 0.25 * variety : variety; /* cones are orange */
  for (int c = 0; c < 3; c++) {
    t->color[c] = usual[t->label][0][c] + (float)share * (own[0][c] - usual[t->label][0][c]);
    t->second[c] = usual[t->label][1][c] + (float)share * (own[1][c] - usual[t->label][1][c]);
  }
  t->size = (float)(1 + 0.2 * variety * mynah_rng_range(r, -1, 1));
}

static void make_look(follow_look *k, double variety, uint64_t seed) {
  mynah_rng r = mynah_rng_make(seed, STREAM_LOOK);
  float floor[2][3], wall[2][3];
  for (int i = 0; i < 2; i++) color(&r, 0.15, 0.75, floor[i]), color(&r, 0.25, 0.85, wall[i]);
  for (int i = 0; i < 2; i++)
    for (int c = 0; c < 3; c++) { /* greyish as rooms are, and with variety less so */
      float grey_floor = 0.4f + 0.06f * (float)i, grey_wall = 0.65f - 0.05f * (float)i;
      k->floor[i][c] = grey_floor + (float)variety * (floor[i][c] - grey_floor);
      k->wall[i][c] = grey_wall + (float)variety * (wall[i][c] - grey_wall);
    }
  color(&r, 0.6, 1, k->top);
  double bright = 1 + variety * mynah_rng_range(&r, -0.45, 0.25), azimuth = mynah_rng_range(&r, -PI, PI);
  for (int c = 0; c < 3; c++) k->light[c] = (float)(bright * (1 + 0.12 * variety * mynah_rng_range(&r, -1, 1)));
  double rise = mynah_rng_range(&r, 0.5, 1.3);
  k->sun[0] = (float)(cos(rise) * cos(azimuth)), k->sun[1] = (float)(cos(rise) * sin(azimuth)), k->sun[2] = (float)sin(rise);
  k->ambient = (float)mynah_rng_range(&r, 0.35, 0.6);
  k->flicker = (float)(variety * mynah_rng_range(&r, 0, 0.25));
  k->flicker_rad_s = (float)mynah_rng_range(&r, 0.3, 1.5);
  k->grain = (float)(variety * mynah_rng_range(&r, 0.5, 5));
  k->tiles_per_m = (float)mynah_rng_range(&r, 0.7, 3);
  k->noise_seed = mynah_rng_u64(&r);
}

void mynah__follow_world_make(follow_world *w, const mynah_follow_config *config, uint64_t seed) {
  mynah_rng r = mynah_rng_make(seed, STREAM_PLACES);
  *w = (follow_world){.config = config, .rng = mynah_rng_make(seed, STREAM_MOTION)};
  int most = (int)config->others, least = (most + 1) / 2, target = (int)config->target;
  if (target == MYNAH_FOLLOW_CLASSES) { /* any */
    mynah_rng which = mynah_rng_make(seed, STREAM_TARGET);
    target = (int)mynah_rng_below(&which, MYNAH_FOLLOW_CLASSES);
  }
  w->n_things = 1 + least + (int)mynah_rng_below(&r, (uint64_t)(most - least + 1));
  w->robot.heading_rad = mynah_rng_range(&r, -PI, PI);
  w->robot.x_m = mynah_rng_range(&r, -2, 2), w->robot.y_m = mynah_rng_range(&r, -2, 2);
  for (int i = 0; i < w->n_things; i++) {
    follow_thing *t = &w->things[i];
    t->label = i == 0 ? target : (int)((target + 1 + (int64_t)mynah_rng_below(&r, MYNAH_FOLLOW_CLASSES - 1)) % MYNAH_FOLLOW_CLASSES);
    bool moves = i == 0 || (t->label != FOLLOW_CONE && mynah_rng_below(&r, 2));
    t->wanted_m_s = moves ? (i ? 0.5 : config->speed) * mynah_rng_range(&r, 0.7, 1.3) : 0;
    t->heading_rad = mynah_rng_range(&r, -PI, PI);
    t->x_m = mynah_rng_range(&r, -0.85, 0.85) * FOLLOW_ROOM_M, t->y_m = mynah_rng_range(&r, -0.85, 0.85) * FOLLOW_ROOM_M;
    dress(t, config->variety, &r);
  }
  /* The target begins in sight. */
  double away = mynah_rng_range(&r, 1.2, 2.5), side = w->robot.heading_rad + mynah_rng_range(&r, -0.4, 0.4);
  w->things[0].x_m = w->robot.x_m + away * cos(side);
  w->things[0].y_m = w->robot.y_m + away * sin(side);
  make_look(&w->look, config->variety, seed);
}

/* ---- moving ------------------------------------------------------------------------------------------------------------- */

/* Turns at random, and away from walls and from the robot's feet. */
static void wander(follow_world *w, follow_thing *t) {
  double keep = exp(-DT / WANDER_TAU_S), pull = 0;
  t->turn_rad_s = keep * t->turn_rad_s + sqrt(1 - keep * keep) * 0.9 * mynah_rng_normal(&w->rng);
  double reach = fmax(fabs(t->x_m), fabs(t->y_m));
  if (reach > 0.7 * FOLLOW_ROOM_M) pull = 2.5 * wrap(atan2(-t->y_m, -t->x_m) - t->heading_rad) * (reach / FOLLOW_ROOM_M - 0.7) / 0.3;
  double dx = t->x_m - w->robot.x_m, dy = t->y_m - w->robot.y_m, away = hypot(dx, dy);
  if (away < 0.7) pull += 3 * wrap(atan2(dy, dx) - t->heading_rad);
  t->heading_rad = wrap(t->heading_rad + (t->turn_rad_s + fmax(-3, fmin(3, pull))) * DT);
  t->speed_m_s += (t->wanted_m_s - t->speed_m_s) * DT / 0.5;
  t->x_m = fmax(-FOLLOW_ROOM_M + 0.3, fmin(FOLLOW_ROOM_M - 0.3, t->x_m + t->speed_m_s * cos(t->heading_rad) * DT));
  t->y_m = fmax(-FOLLOW_ROOM_M + 0.3, fmin(FOLLOW_ROOM_M - 0.3, t->y_m + t->speed_m_s * sin(t->heading_rad) * DT));
}

void mynah__follow_world_move(follow_world *w, const float *action) {
  follow_robot *r = &w->robot;
  double share = 1 - exp(-DT / LAG_S);
  r->speed_m_s += share * ((double)action[0] * SPEED_MAX - r->speed_m_s);
  r->turn_rad_s += share * ((double)action[1] * TURN_MAX - r->turn_rad_s);
  r->heading_rad = wrap(r->heading_rad + r->turn_rad_s * DT);
  r->x_m = fmax(-FOLLOW_ROOM_M + 0.2, fmin(FOLLOW_ROOM_M - 0.2, r->x_m + r->speed_m_s * cos(r->heading_rad) * DT));
  r->y_m = fmax(-FOLLOW_ROOM_M + 0.2, fmin(FOLLOW_ROOM_M - 0.2, r->y_m + r->speed_m_s * sin(r->heading_rad) * DT));
  for (int i = 0; i < w->n_things; i++)
    if (w->things[i].wanted_m_s > 0) wander(w, &w->things[i]);
}

void mynah__follow_target(const follow_world *w, double *x_m, double *y_m) {
  double dx = w->things[0].x_m - w->robot.x_m, dy = w->things[0].y_m - w->robot.y_m;
  double c = cos(w->robot.heading_rad), s = sin(w->robot.heading_rad);
  *x_m = c * dx + s * dy;
  *y_m = -s * dx + c * dy;
}

static float limited(double v) { return (float)fmax(-1, fmin(1, v)); }

void mynah__follow_expert(const follow_world *w, float *action) {
  double x, y;
  mynah__follow_target(w, &x, &y);
  double bearing = atan2(y, x), away = hypot(x, y);
  action[0] = limited((1.8 * (away - FOLLOW_KEEP_M) * fmax(0, cos(bearing))) / SPEED_MAX);
  action[1] = limited(2.5 * bearing / TURN_MAX);
}
