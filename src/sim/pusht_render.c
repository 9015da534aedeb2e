/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pictures of Push-T: drawn at 512 x 512, shrunk by bilinear sampling without smoothing, as gym-pusht's observations. */
#include "pusht.h"

#include <math.h>
#include <string.h>

#define SIDE MYNAH__PUSHT_SIZE

typedef uint8_t colour[3];
static const colour goal_colour = {144, 238, 144}, wall_colour = {211, 211, 211}, agent_colour = {65, 105, 225},
                    agent_light = {78, 126, 255}, block_fill = {143, 163, 184}, block_line = {119, 136, 153};

static void paint_row(uint8_t *canvas, int y, double x0, double x1, const colour c) {
  if (y < 0 || y >= SIDE) return;
  int from = (int)ceil(x0), to = (int)floor(x1);
  from = from < 0 ? 0 : from;
  to = to >= SIDE ? SIDE - 1 : to;
  for (int x = from; x <= to; x++) memcpy(canvas + 3 * (y * SIDE + x), c, 3);
}

/* All pixels whose centre lies in a convex polygon, borders included. */
static void paint_polygon(uint8_t *canvas, const mynah__point *p, int n, const colour c) {
  double low = p[0].y, high = p[0].y;
  for (int i = 1; i < n; i++) {
    low = fmin(low, p[i].y);
    high = fmax(high, p[i].y);
  }
  int last = (int)fmin(floor(high), SIDE - 1);
  for (int y = (int)fmax(ceil(low), 0); y <= last; y++) {
    double x0 = 1e9, x1 = -1e9;
    for (int i = 0; i < n; i++) {
      mynah__point a = p[i], b = p[(i + 1) % n];
      if ((a.y < y && b.y < y) || (a.y > y && b.y > y)) continue;
      double xa = a.y == b.y ? a.x : a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x), xb = a.y == b.y ? b.x : xa;
      x0 = fmin(x0, fmin(xa, xb));
      x1 = fmax(x1, fmax(xa, xb));
    }
    paint_row(canvas, y, x0, x1, c);
  }
}

static void paint_disc(uint8_t *canvas, double x, double y, double radius, const colour c) {
  for (int row = (int)ceil(y - radius); row <= (int)floor(y + radius); row++) {
    double half = sqrt(fmax(0, radius * radius - (row - y) * (row - y)));
    paint_row(canvas, row, x - half, x + half, c);
  }
}

/* A line with round ends. */
static void paint_fat_line(uint8_t *canvas, mynah__point a, mynah__point b, double radius, const colour c) {
  double dx = b.x - a.x, dy = b.y - a.y, length = sqrt(dx * dx + dy * dy);
  double nx = length > 0 ? -dy / length * radius : 0, ny = length > 0 ? dx / length * radius : 0;
  mynah__point box[4] = {{a.x + nx, a.y + ny}, {b.x + nx, b.y + ny}, {b.x - nx, b.y - ny}, {a.x - nx, a.y - ny}};
  paint_polygon(canvas, box, 4, c);
  paint_disc(canvas, a.x, a.y, radius, c);
  paint_disc(canvas, b.x, b.y, radius, c);
}

static void paint_world(uint8_t *canvas, const double *agent, const double *pose) {
  memset(canvas, 255, (size_t)SIDE * SIDE * 3);
  mynah__point p[4];
  for (int part = 0; part < 2; part++) {
    mynah__pusht_place(mynah__pusht_goal, part, p);
    for (int i = 0; i < 4; i++) p[i] = (mynah__point){nearbyint(p[i].x), nearbyint(p[i].y)};
    paint_polygon(canvas, p, 4, goal_colour);
  }
  for (int i = 0; i < 4; i++)
    paint_fat_line(canvas, mynah__pusht_walls[i][0], mynah__pusht_walls[i][1], MYNAH__PUSHT_WALL_RADIUS, wall_colour);
  double x = nearbyint(agent[0]), y = nearbyint(agent[1]);
  paint_disc(canvas, x, y, MYNAH__PUSHT_AGENT_RADIUS, agent_colour);
  paint_disc(canvas, x, y, MYNAH__PUSHT_AGENT_RADIUS - 4, agent_light);
  for (int part = 0; part < 2; part++) {
    mynah__pusht_place(pose, part, p);
    for (int i = 0; i < 4; i++) p[i] = (mynah__point){nearbyint(p[i].x), nearbyint(p[i].y)};
    paint_polygon(canvas, p, 4, block_fill);
    for (int i = 0; i < 4; i++) paint_fat_line(canvas, p[i], p[(i + 1) % 4], MYNAH__PUSHT_WALL_RADIUS, block_line);
  }
}

/* Source coordinate (i + 0.5) * 512/size - 0.5, four neighbours weighted. Shape: rgb (size,size,3) */
static void shrink(const uint8_t *canvas, uint8_t *rgb, int size) {
  double scale = (double)SIDE / size;
  for (int i = 0; i < size; i++) {
    double y = fmin(fmax((i + 0.5) * scale - 0.5, 0), SIDE - 1);
    int y0 = (int)y, y1 = y0 + 1 < SIDE ? y0 + 1 : y0;
    float fy = (float)(y - y0);
    for (int k = 0; k < size; k++) {
      double x = fmin(fmax((k + 0.5) * scale - 0.5, 0), SIDE - 1);
      int x0 = (int)x, x1 = x0 + 1 < SIDE ? x0 + 1 : x0;
      float fx = (float)(x - x0);
      for (int c = 0; c < 3; c++) {
        float a = canvas[3 * (y0 * SIDE + x0) + c], b = canvas[3 * (y0 * SIDE + x1) + c];
        float d = canvas[3 * (y1 * SIDE + x0) + c], e = canvas[3 * (y1 * SIDE + x1) + c];
        float top = a + fx * (b - a), bottom = d + fx * (e - d);
        rgb[3 * (i * size + k) + c] = (uint8_t)(top + fy * (bottom - top) + 0.5f);
      }
    }
  }
}

void mynah__pusht_draw(const double *agent, const double *pose, uint8_t *canvas, uint8_t *rgb, int size) {
  paint_world(canvas, agent, pose);
  shrink(canvas, rgb, size);
}
