/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The robot's camera: floor and walls pixel by pixel, then each thing as a few ellipsoids, boxes and cones that rays hit, within
 * the rectangle it can cover. So the outline of each thing is exact, and the boxes that follow from it are. */
#include "follow_internal.h"

#include <math.h>
#include <string.h>

#define EYE_M 0.55f    /* the camera above the floor */
#define PITCH_RAD 0.12f /* down */
#define WALL_M 1.8f
#define VISIBLE_SHARE 0.25f

typedef enum shape { ELLIPSOID, BOX, CONE } shape;
/* A part of a thing, in its frame (x ahead, z up); CONE: half[0] the radius at the bottom, half[2] half its height. */
typedef struct part {
  shape shape;
  float middle[3], half[3];
  int color; /* 0, 1: the thing's; 2: dark; 3: skin */
} part;

#define PARTS_MAX 6
typedef struct model {
  int n;
  float radius, height; /* of all of it */
  part parts[PARTS_MAX];
} model;

static const model models[MYNAH_FOLLOW_CLASSES] = {
    [FOLLOW_BALL] = {1, 0.16f, 0.32f, {{ELLIPSOID, {0, 0, 0.16f}, {0.16f, 0.16f, 0.16f}, 0}}},
    [FOLLOW_CONE] = {3, 0.2f, 0.46f,
                     {{BOX, {0, 0, 0.015f}, {0.16f, 0.16f, 0.015f}, 0},
                      {CONE, {0, 0, 0.24f}, {0.13f, 0.13f, 0.21f}, 0},
                      {ELLIPSOID, {0, 0, 0.22f}, {0.085f, 0.085f, 0.045f}, 1}}},
    [FOLLOW_CAR] = {6, 0.36f, 0.3f,
                    {{BOX, {0, 0, 0.12f}, {0.3f, 0.15f, 0.06f}, 0},
                     {BOX, {-0.04f, 0, 0.22f}, {0.15f, 0.12f, 0.05f}, 1},
                     {ELLIPSOID, {0.18f, 0.14f, 0.07f}, {0.07f, 0.03f, 0.07f}, 2},
                     {ELLIPSOID, {0.18f, -0.14f, 0.07f}, {0.07f, 0.03f, 0.07f}, 2},
                     {ELLIPSOID, {-0.18f, 0.14f, 0.07f}, {0.07f, 0.03f, 0.07f}, 2},
                     {ELLIPSOID, {-0.18f, -0.14f, 0.07f}, {0.07f, 0.03f, 0.07f}, 2}}},
    [FOLLOW_PERSON] = {5, 0.24f, 0.96f,
                       {{ELLIPSOID, {0, 0.07f, 0.22f}, {0.06f, 0.06f, 0.23f}, 1},
                        {ELLIPSOID, {0, -0.07f, 0.22f}, {0.06f, 0.06f, 0.23f}, 1},
                        {ELLIPSOID, {0, 0, 0.58f}, {0.1f, 0.15f, 0.2f}, 0},
                        {ELLIPSOID, {0, 0, 0.86f}, {0.085f, 0.085f, 0.1f}, 3},
                        {BOX, {0, 0, 0.64f}, {0.04f, 0.21f, 0.04f}, 0}}},
};

/* ---- rays ------------------------------------------------------------------------------------------------------------------- */

typedef struct hit {
  float t, normal[3];
} hit;

static bool hit_ellipsoid(const part *p, const float *from, const float *dir, hit *h) {
  float o[3], d[3], a = 0, b = 0, c = -1;
  for (int i = 0; i < 3; i++) o[i] = (from[i] - p->middle[i]) / p->half[i], d[i] = dir[i] / p->half[i];
  for (int i = 0; i < 3; i++) a += d[i] * d[i], b += o[i] * d[i], c += o[i] * o[i];
  float inside = b * b - a * c;
  if (inside < 0) return false;
  h->t = (-b - sqrtf(inside)) / a;
  for (int i = 0; i < 3; i++) h->normal[i] = (o[i] + h->t * d[i]) / p->half[i];
  return h->t > 0;
}

static bool hit_box(const part *p, const float *from, const float *dir, hit *h) {
  float in = -INFINITY, out = INFINITY;
  int face = 0;
  for (int i = 0; i < 3; i++) {
    float step = 1 / (fabsf(dir[i]) < 1e-9f ? 1e-9f : dir[i]);
    float a = (p->middle[i] - p->half[i] - from[i]) * step, b = (p->middle[i] + p->half[i] - from[i]) * step;
    float first = fminf(a, b);
    if (first > in) in = first, face = i;
    out = fminf(out, fmaxf(a, b));
  }
  h->t = in;
  for (int i = 0; i < 3; i++) h->normal[i] = 0;
  h->normal[face] = dir[face] > 0 ? -1 : 1;
  return in > 0 && in <= out;
}

static bool hit_cone(const part *p, const float *from, const float *dir, hit *h) {
  float slope = p->half[0] / (2 * p->half[2]), top = p->middle[2] + p->half[2];
  float ox = from[0] - p->middle[0], oy = from[1] - p->middle[1], oz = (top - from[2]) * slope, dz = -dir[2] * slope;
  float a = dir[0] * dir[0] + dir[1] * dir[1] - dz * dz, b = ox * dir[0] + oy * dir[1] - oz * dz, c = ox * ox + oy * oy - oz * oz;
  float inside = b * b - a * c;
  if (inside < 0 || fabsf(a) < 1e-12f) return false;
  for (int side = 0; side < 2; side++) {
    float t = (-b + (side ? 1.0f : -1.0f) * sqrtf(inside)) / a, z = from[2] + t * dir[2];
    if (t <= 0 || z > top || z < top - 2 * p->half[2]) continue;
    h->t = t;
    h->normal[0] = ox + t * dir[0], h->normal[1] = oy + t * dir[1], h->normal[2] = slope * (oz + t * dz);
    return true;
  }
  return false;
}

typedef bool (*hit_fn)(const part *p, const float *from, const float *dir, hit *h);
static const hit_fn hits[] = {[ELLIPSOID] = hit_ellipsoid, [BOX] = hit_box, [CONE] = hit_cone};

/* ---- the camera ---------------------------------------------------------------------------------------------------------------- */

typedef struct camera {
  const follow_world *world;
  follow_canvas *canvas;
  float focal, forward[3], left[3], up[3], at[3];
  float bright; /* of the light now */
} camera;

static void direction(const camera *c, int x, int y, float out[3]) {
  float u = (float)x + 0.5f - (float)c->canvas->width / 2, v = (float)y + 0.5f - (float)c->canvas->height / 2;
  for (int i = 0; i < 3; i++) out[i] = c->forward[i] - (u * c->left[i] + v * c->up[i]) / c->focal;
}

/* Grain: a number of -1 … 1 for pixel and step. */
static float grain_at(uint64_t seed, uint32_t i) {
  uint64_t z = seed + (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  return (float)(int32_t)(z >> 32) * 0x1p-31f;
}

static void put(const camera *c, int at, const float *color, float bright) {
  for (int i = 0; i < 3; i++) {
    float v = 255 * color[i] * c->world->look.light[i] * bright * c->bright;
    c->canvas->rgb[3 * at + i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
  }
}

/* Things darken the floor they stand on. */
static float shade_at(const follow_world *w, float x, float y) {
  float light = 1;
  for (int i = 0; i < w->n_things; i++) {
    const follow_thing *t = &w->things[i];
    float dx = x - (float)t->x_m, dy = y - (float)t->y_m, r = 1.3f * models[t->label].radius * t->size;
    float inside = 1 - (dx * dx + dy * dy) / (r * r);
    if (inside > 0) light *= 1 - 0.5f * inside;
  }
  return light;
}

static void draw_background(const camera *c, int x, int y, const float *dir) {
  const follow_look *k = &c->world->look;
  int at = y * c->canvas->width + x;
  float wall = INFINITY;
  int axis = 0;
  for (int i = 0; i < 2; i++) {
    float d = fabsf(dir[i]) < 1e-6f ? 1e-6f : dir[i], t = ((d > 0 ? (float)FOLLOW_ROOM_M : -(float)FOLLOW_ROOM_M) - c->at[i]) / d;
    if (t < wall) wall = t, axis = i;
  }
  float floor = dir[2] < 0 ? -c->at[2] / dir[2] : INFINITY, t = fminf(floor, wall), color[3];
  float px = c->at[0] + t * dir[0], py = c->at[1] + t * dir[1], pz = c->at[2] + t * dir[2];
  if (floor < wall) {
    int tile = ((int)floorf(px * k->tiles_per_m) + (int)floorf(py * k->tiles_per_m)) & 1;
    put(c, at, k->floor[tile], 0.9f * shade_at(c->world, px, py));
  } else if (pz < WALL_M) {
    float along = axis ? px : py, blend = 0.5f + 0.5f * sinf(along * 1.7f + (float)axis);
    for (int i = 0; i < 3; i++) color[i] = k->wall[0][i] + blend * (k->wall[1][i] - k->wall[0][i]);
    put(c, at, color, axis ? 0.85f : 1);
  } else {
    put(c, at, k->top, 0.9f);
  }
  c->canvas->depth[at] = t;
}

/* ---- things ---------------------------------------------------------------------------------------------------------------------- */

/* The rectangle that a thing can cover; false: it is behind. */
static bool cover(const camera *c, const follow_thing *t, int rect[4]) {
  const model *m = &models[t->label];
  float r = m->radius * t->size, h = m->height * t->size;
  float to[3] = {(float)t->x_m - c->at[0], (float)t->y_m - c->at[1], h / 2 - c->at[2]};
  float ahead = 0, left = 0, up = 0, reach = sqrtf(r * r + h * h / 4) * 1.1f;
  for (int i = 0; i < 3; i++) ahead += to[i] * c->forward[i], left += to[i] * c->left[i], up += to[i] * c->up[i];
  if (ahead < reach + 0.02f) return false;
  float near = ahead - reach, w = (float)c->canvas->width, hh = (float)c->canvas->height;
  rect[0] = (int)fmaxf(0, w / 2 - fmaxf((left + reach) / near, (left + reach) / ahead) * c->focal - 1);
  rect[2] = (int)fminf(w, w / 2 - fminf((left - reach) / near, (left - reach) / ahead) * c->focal + 2);
  rect[1] = (int)fmaxf(0, hh / 2 - fmaxf((up + reach) / near, (up + reach) / ahead) * c->focal - 1);
  rect[3] = (int)fminf(hh, hh / 2 - fminf((up - reach) / near, (up - reach) / ahead) * c->focal + 2);
  return rect[0] < rect[2] && rect[1] < rect[3];
}

static void note(follow_seen *s, int x, int y) {
  if (s->n_own == 0) s->x0 = s->x1 = x, s->y0 = s->y1 = y;
  if (x < s->x0) s->x0 = x;
  if (x > s->x1) s->x1 = x;
  if (y < s->y0) s->y0 = y;
  if (y > s->y1) s->y1 = y;
  s->n_own++;
}

/* The nearest part under a ray in the thing's frame; NULL: none. */
static const part *first_hit(const model *m, const float *from, const float *dir, hit *best) {
  const part *found = NULL;
  best->t = INFINITY;
  for (int i = 0; i < m->n; i++) {
    hit h;
    if (!hits[m->parts[i].shape](&m->parts[i], from, dir, &h) || h.t >= best->t) continue;
    *best = h;
    found = &m->parts[i];
  }
  return found;
}

static void draw_thing(const camera *c, int index) {
  static const float dark[3] = {0.06f, 0.06f, 0.06f}, skin[3] = {0.85f, 0.65f, 0.5f};
  const follow_thing *t = &c->world->things[index];
  const model *m = &models[t->label];
  const float *colors[4] = {t->color, t->second, dark, skin}, *sun = c->world->look.sun;
  float co = (float)cos(t->heading_rad), si = (float)sin(t->heading_rad), scale = 1 / t->size;
  float dx = c->at[0] - (float)t->x_m, dy = c->at[1] - (float)t->y_m;
  const float from[3] = {(co * dx + si * dy) * scale, (-si * dx + co * dy) * scale, c->at[2] * scale};
  const float light[3] = {co * sun[0] + si * sun[1], -si * sun[0] + co * sun[1], sun[2]};
  int rect[4];
  if (!cover(c, t, rect)) return;
  for (int y = rect[1]; y < rect[3]; y++)
    for (int x = rect[0]; x < rect[2]; x++) {
      float d[3];
      direction(c, x, y, d);
      const float dir[3] = {(co * d[0] + si * d[1]) * scale, (-si * d[0] + co * d[1]) * scale, d[2] * scale};
      hit h;
      const part *p = first_hit(m, from, dir, &h);
      if (!p) continue;
      int at = y * c->canvas->width + x;
      note(&c->canvas->seen[index], x, y);
      if (h.t >= c->canvas->depth[at]) continue;
      float length = sqrtf(h.normal[0] * h.normal[0] + h.normal[1] * h.normal[1] + h.normal[2] * h.normal[2]) + 1e-9f;
      float facing = (h.normal[0] * light[0] + h.normal[1] * light[1] + h.normal[2] * light[2]) / length;
      put(c, at, colors[p->color], c->world->look.ambient + (facing > 0 ? 0.75f * facing : 0));
      c->canvas->depth[at] = h.t;
      c->canvas->thing[at] = (int8_t)index;
    }
}

static void add_grain(const camera *c, int64_t step) {
  uint64_t seed = c->world->look.noise_seed + (uint64_t)step * 0xD1B54A32D192ED03u;
  float grain = c->world->look.grain;
  for (int i = 0; i < c->canvas->width * c->canvas->height * 3; i++) {
    float v = (float)c->canvas->rgb[i] + grain * grain_at(seed, (uint32_t)i);
    c->canvas->rgb[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
  }
}

void mynah__follow_render(const follow_world *w, int64_t step, follow_canvas *canvas) {
  float heading = (float)w->robot.heading_rad, co = cosf(heading), si = sinf(heading), cp = cosf(PITCH_RAD), sp = sinf(PITCH_RAD);
  float now_s = (float)step / FOLLOW_RATE_HZ;
  camera c = {.world = w,
              .canvas = canvas,
              .focal = (float)canvas->width / 2 / tanf((float)FOLLOW_FOV_RAD / 2),
              .forward = {co * cp, si * cp, -sp},
              .left = {-si, co, 0},
              .up = {co * sp, si * sp, cp},
              .at = {(float)w->robot.x_m, (float)w->robot.y_m, EYE_M},
              .bright = 1 + w->look.flicker * sinf(w->look.flicker_rad_s * now_s)};
  memset(canvas->thing, -1, (size_t)(canvas->width * canvas->height));
  memset(canvas->seen, 0, sizeof canvas->seen);
  for (int y = 0; y < canvas->height; y++)
    for (int x = 0; x < canvas->width; x++) {
      float d[3];
      direction(&c, x, y, d);
      draw_background(&c, x, y, d);
    }
  for (int i = 0; i < w->n_things; i++) draw_thing(&c, i);
  for (int i = 0; i < canvas->width * canvas->height; i++)
    if (canvas->thing[i] >= 0) canvas->seen[canvas->thing[i]].n_visible++;
  add_grain(&c, step);
}
