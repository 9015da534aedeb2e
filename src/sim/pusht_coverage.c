/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Geometry of the block, and how much of the goal it covers: areas of clipped convex polygons. */
#include "pusht.h"

#include <math.h>
#include <string.h>

const mynah__point mynah__pusht_parts[2][4] = {{{-60, 0}, {60, 0}, {60, 30}, {-60, 30}},
                                               {{-15, 30}, {15, 30}, {15, 120}, {-15, 120}}};
const mynah__point mynah__pusht_walls[4][2] = {
    {{5, 506}, {5, 5}}, {{5, 5}, {506, 5}}, {{506, 5}, {506, 506}}, {{5, 506}, {506, 506}}};
const double mynah__pusht_goal[3] = {256, 256, 0.7853981633974483};

#define AREA 6300.0  /* px^2: bar 3600, stem 2700 */
#define REACH 140.0  /* px: no corner lies farther from the block's origin */
#define MAX_CORNERS 12

void mynah__pusht_place(const double *pose, int part, mynah__point out[4]) {
  double c = cos(pose[2]), s = sin(pose[2]);
  for (int i = 0; i < 4; i++) {
    mynah__point p = mynah__pusht_parts[part][i];
    out[i] = (mynah__point){pose[0] + c * p.x - s * p.y, pose[1] + s * p.x + c * p.y};
  }
}

static double side(mynah__point a, mynah__point b, mynah__point p) {
  return (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
}

/* What lies left of a -> b of a convex polygon (Sutherland and Hodgman 1974). Returns the number of corners. */
static int clip(const mynah__point *in, int n, mynah__point a, mynah__point b, mynah__point *out) {
  int m = 0;
  for (int i = 0; i < n; i++) {
    mynah__point p = in[i], q = in[i + 1 == n ? 0 : i + 1];
    double dp = side(a, b, p), dq = side(a, b, q);
    if (dp >= 0) out[m++] = p;
    if ((dp >= 0) != (dq >= 0)) {
      double t = dp / (dp - dq);
      out[m++] = (mynah__point){p.x + t * (q.x - p.x), p.y + t * (q.y - p.y)};
    }
  }
  return m;
}

static double overlap(const mynah__point a[4], const mynah__point b[4]) {
  mynah__point first[MAX_CORNERS], second[MAX_CORNERS];
  memcpy(first, a, 4 * sizeof *a);
  int n = 4;
  for (int i = 0; i < 4 && n > 0; i++) {
    n = clip(first, n, b[i], b[(i + 1) % 4], second);
    memcpy(first, second, (size_t)n * sizeof *first);
  }
  double twice = 0; /* about the first corner, so that no precision is lost to the position */
  for (int i = 1; i + 1 < n; i++) twice += side(first[0], first[i], first[i + 1]);
  return twice / 2;
}

double mynah_pusht_coverage(const double *pose) {
  double dx = pose[0] - mynah__pusht_goal[0], dy = pose[1] - mynah__pusht_goal[1], area = 0;
  if (dx * dx + dy * dy > 4 * REACH * REACH) return 0;
  for (int i = 0; i < 2; i++) {
    mynah__point block[4];
    mynah__pusht_place(pose, i, block);
    for (int k = 0; k < 2; k++) {
      mynah__point goal[4];
      mynah__pusht_place(mynah__pusht_goal, k, goal);
      area += overlap(block, goal);
    }
  }
  return area / AREA;
}
