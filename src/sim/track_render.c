/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The camera: a pinhole that looks down a little, over flat ground, one row of pixels at a time.
 *
 * A row below the horizon is a straight line on the ground, so its points are found by adding up. For each, the grid
 * names the nearest node of the road and the arc through that node gives the offset from the centre line and the
 * distance along it. Edges and lines are filtered with the width of the pixel's footprint across and along the road, so
 * that nothing flickers far away. Each step is a plain loop over a row: lookups apart from arithmetic, which the
 * compiler then turns into vectors. Compiled once for each instruction set (meson.build) under a name of its own; no
 * multiply-add is fused, so each gives the same picture. */
#include "track_internal.h"

#include <math.h>
#include <string.h>

#define W TRACK_WIDTH_PX
#define H TRACK_HEIGHT_PX
#define MASK (TRACK_NOISE_SIDE - 1)
#define FINE_PER_M 22.0f /* texels of the noise a metre: grain, patches, shade */
#define PATCH_PER_M 2.3f
#define SHADE_PER_M 0.31f
#define COARSE 4       /* smooth noise is looked up at every 4th column */
#define AWAY_M 2048.0f /* added so that texture coordinates are positive */

/* ---- one row --------------------------------------------------------------------------------------------------------
 */

/* Between 0 and 1, interpolated. */
static inline float noise_at(const uint8_t *noise, float x, float y) {
  int i = (int)x, j = (int)y;
  float u = x - (float)i, v = y - (float)j;
  const uint8_t *above = noise + (j & MASK) * TRACK_NOISE_SIDE, *below = noise + ((j + 1) & MASK) * TRACK_NOISE_SIDE;
  float a = above[i & MASK], b = above[(i + 1) & MASK], c = below[i & MASK], d = below[(i + 1) & MASK];
  return ((a + (b - a) * u) * (1 - v) + (c + (d - c) * u) * v) * (1.0f / 255);
}

/* What holds for the whole picture, and the row being made. */
typedef struct painter {
  const track_scene *scene;
  const track_camera *camera;
  float focal_px, sin_pitch, cos_pitch;
  float forward[2], right[2]; /* unit vectors on the ground */
  float column[W];            /* x of the ray through each column, at depth 1 */
  /* The row: points on the ground, and the road there. */
  float x[W], y[W], d[W], s[W], beyond[W]; /* offset, distance along, distance beyond the edge of the road */
  float across[W], along[W];               /* the pixel's footprint */
  float grain[W], patch[W], shade[W];
  float color[3][W];
  int section[W];
  /* Sizes of the footprint of this row's pixels, sideways and forward. */
  float side_m, deep_m;
} painter;

static inline float clamp01(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* Values at every COARSE-th column brought to every column. */
static void spread(const float *coarse, float *out) {
  for (int i = 0; i < W / COARSE; i++)
    for (int k = 0; k < COARSE; k++)
      out[i * COARSE + k] = coarse[i] + (coarse[i + 1] - coarse[i]) * ((float)k * (1.0f / COARSE));
}

/* Road coordinates and noise of each point of the row. */
static void look_up_row(painter *p) {
  const track_road *road = p->scene->road;
  const track_look *look = p->scene->look;
  const uint8_t *noise = p->scene->noise;
  static const track_mark nowhere = {.tx = 1, .half_width_m = -1000};
  float a[W], l[W], k[W], half[W], s[W], tx[W], ty[W], coarse[W / COARSE + 1];
  const float per_m = (float)(1 / TRACK_CELL_M), x0 = (float)road->x0_m, y0 = (float)road->y0_m;
  const float sections_per_m = (float)(road->n_sections / road->length_m);
  const float nx = look->noise_x_m + AWAY_M, ny = look->noise_y_m + AWAY_M;
  for (int u = 0; u < W; u++) {
    float cx = (p->x[u] - x0) * per_m, cy = (p->y[u] - y0) * per_m;
    const track_mark *m = &nowhere;
    if (cx >= 0 && cy >= 0 && cx < (float)road->columns && cy < (float)road->rows) {
      unsigned node = road->grid[(size_t)(int)cy * (size_t)road->columns + (size_t)(int)cx];
      if (node != TRACK_NOWHERE) m = &road->marks[node];
    }
    float dx = p->x[u] - m->x_m, dy = p->y[u] - m->y_m;
    a[u] = dx * m->tx + dy * m->ty;
    l[u] = dy * m->tx - dx * m->ty;
    k[u] = m->curvature, half[u] = m->half_width_m, s[u] = m->s_m, tx[u] = m->tx, ty[u] = m->ty;
    float tile_x = p->x[u] + nx, tile_y = p->y[u] + ny;
    p->grain[u] = noise[((int)(tile_y * FINE_PER_M) & MASK) * TRACK_NOISE_SIDE + ((int)(tile_x * FINE_PER_M) & MASK)];
    p->patch[u] = noise[((int)(tile_y * PATCH_PER_M) & MASK) * TRACK_NOISE_SIDE + ((int)(tile_x * PATCH_PER_M) & MASK)];
  }
  for (int u = 0; u <= W; u += COARSE) { /* a step beyond the last column belongs to the same line */
    float x = p->x[0] + (float)u * (p->x[1] - p->x[0]) + nx, y = p->y[0] + (float)u * (p->y[1] - p->y[0]) + ny;
    coarse[u / COARSE] = noise_at(noise, x * SHADE_PER_M, y * SHADE_PER_M);
  }
  spread(coarse, p->shade);
  for (int u = 0; u < W; u++) {
    /* To second order the offset of a point (a,l) from an arc is l - k a^2 / 2(1 - k l). */
    float bend = 1 - k[u] * l[u];
    bend = bend < 0.2f ? 0.2f : bend;
    p->d[u] = l[u] - 0.5f * k[u] * a[u] * a[u] / bend;
    p->s[u] = s[u] + a[u] / bend;
    p->beyond[u] = fabsf(p->d[u]) - half[u];
    int section = (int)(p->s[u] * sections_per_m + road->section_shift);
    p->section[u] = section < road->n_sections ? section : section - road->n_sections;
    /* The footprint: side_m to the right by deep_m forward, the latter leaning outwards with the column. */
    float t_right = tx[u] * p->right[0] + ty[u] * p->right[1],
          t_forward = tx[u] * p->forward[0] + ty[u] * p->forward[1];
    float lean = p->column[u] * p->cos_pitch;
    p->along[u] = fabsf(t_right) * p->side_m + fabsf(t_forward + lean * t_right) * p->deep_m;
    p->across[u] = fabsf(t_forward) * p->side_m + fabsf(lean * t_forward - t_right) * p->deep_m;
  }
}

/* Share of a footprint of width w at distance `v` from the middle of a line of this half width. */
static inline float line_cover(float v, float half, float w) {
  float low = v - 0.5f * w, high = v + 0.5f * w;
  low = low < -half ? -half : low;
  high = high > half ? half : high;
  return high > low ? (high - low) / w : 0;
}

/* Share of paint at s of a line painted for `dash` of every `period`. */
static inline float dash_cover(const track_line *line, float s, float w) {
  if (line->dash_m >= line->period_m) return 1;
  float turns = s / line->period_m;
  float from_middle = fabsf(turns - (float)(int)turns - 0.5f) * line->period_m;
  float sharp = clamp01((0.5f * line->dash_m - from_middle) / w + 0.5f);
  float blur = clamp01(w / line->period_m - 0.5f); /* dashes smaller than a pixel melt into their mean */
  return sharp + (line->dash_m / line->period_m - sharp) * blur;
}

/* Verge and shoulder everywhere, then the road of each section over it. */
static void color_row(painter *p) {
  const track_look *look = p->scene->look;
  float texels = p->side_m * p->deep_m;
  float fine = 1 / (1 + 0.25f * FINE_PER_M * FINE_PER_M * texels),
        coarse = 1 / (1 + 0.1f * PATCH_PER_M * PATCH_PER_M * texels);
  float grain[W];
  for (int u = 0; u < W; u++) {
    float rough = (p->grain[u] * (1.0f / 127) - 1) * fine + 0.7f * (p->patch[u] * (1.0f / 127) - 1) * coarse;
    float kind = clamp01((p->shade[u] - 0.4f) * 6 + (p->patch[u] * (1.0f / 255) - 0.5f) * 2 * coarse);
    float shoulder = clamp01(0.5f - (p->beyond[u] - look->shoulder_m) / p->across[u]);
    float bright = 1 + look->verge_grain * rough;
    for (int c = 0; c < 3; c++) {
      float verge = look->verge[0][c] + (look->verge[1][c] - look->verge[0][c]) * kind;
      p->color[c][u] = (verge + (look->shoulder[c] - verge) * shoulder) * bright;
    }
    grain[u] = rough;
  }
  int first = p->section[0], last = first;
  for (int u = 0; u < W; u++) {
    first = p->section[u] < first ? p->section[u] : first;
    last = p->section[u] > last ? p->section[u] : last;
  }
  for (int i = first < 0 ? 0 : first; i <= last && i < TRACK_SECTIONS_MAX; i++) {
    const track_surface *surface = &look->surfaces[i];
    for (int u = 0; u < W; u++) {
      float road = p->section[u] == i ? clamp01(0.5f - p->beyond[u] / p->across[u]) : 0;
      float center = line_cover(fabsf(p->d[u]) - surface->center.at_m, surface->center.half_m, p->across[u]) *
                     dash_cover(&surface->center, p->s[u], p->along[u]) * surface->center.strength;
      float edge = line_cover(p->beyond[u] + surface->edge.at_m, surface->edge.half_m, p->across[u]) *
                   dash_cover(&surface->edge, p->s[u], p->along[u]) * surface->edge.strength;
      float bright = 1 + surface->grain * grain[u];
      for (int c = 0; c < 3; c++) {
        float v = surface->color[c] + (surface->paint[c] - surface->color[c]) * center;
        v += (surface->edge_paint[c] - v) * edge;
        p->color[c][u] += (v * bright - p->color[c][u]) * road;
      }
    }
  }
}

/* Shade and light, then what the air between adds. */
static void light_row(painter *p, float distance_m) {
  const track_look *look = p->scene->look;
  float clear = 1 / (1 + look->haze_per_m * distance_m), haze = 0.6f * (1 - clear * clear);
  float step = 1 / (look->shade_soft + 0.15f * SHADE_PER_M * p->deep_m);
  for (int u = 0; u < W; u++) {
    float dark = clamp01((p->shade[u] - look->shade_above) * step + 0.5f), light = 1 - look->shade * dark;
    for (int c = 0; c < 3; c++) {
      float v = p->color[c][u] * light * look->light[c];
      p->color[c][u] = v + (look->haze[c] - v) * haze;
    }
  }
}

static void ground_row(painter *p, float y, float down) {
  float t = (float)p->camera->height_m / down;
  float forward_m = t * (p->cos_pitch - y * p->sin_pitch);
  p->side_m = t / p->focal_px;
  p->deep_m = t / (down * p->focal_px);
  float x = (float)p->camera->x_m + forward_m * p->forward[0], y0 = (float)p->camera->y_m + forward_m * p->forward[1];
  for (int u = 0; u < W; u++) {
    p->x[u] = x + t * p->column[u] * p->right[0];
    p->y[u] = y0 + t * p->column[u] * p->right[1];
  }
  look_up_row(p);
  color_row(p);
  light_row(p, forward_m);
}

/* ---- sky ------------------------------------------------------------------------------------------------------------
 */

/* Heights of the two silhouettes over each column and the glow around the sun: the same for all rows. */
typedef struct skyline {
  float hills[W], trees[W], glow[W], around[W];
} skyline;

static void make_skyline(const painter *p, skyline *line) {
  const track_look *look = p->scene->look;
  const uint8_t *noise = p->scene->noise;
  float heading = (float)p->camera->heading_rad;
  heading -= 6.2831853f * floorf(heading / 6.2831853f);
  for (int u = 0; u < W; u++) {
    float azimuth = heading - atanf(p->column[u]) + 6.2831853f;
    /* 256 texels a full turn, so that the horizon closes. */
    float turn = azimuth * (TRACK_NOISE_SIDE / 6.2831853f);
    line->hills[u] = look->hill_height * noise_at(noise, turn + look->noise_x_m, 40) * 1.3f;
    line->trees[u] = look->tree_height * (0.4f + 0.8f * noise_at(noise, turn * 4, look->noise_y_m));
    line->glow[u] = look->glow * (0.5f + 0.5f * cosf(azimuth - look->sun_azimuth_rad));
    line->around[u] = turn;
  }
}

static void sky_row(painter *p, const skyline *line, float rise) {
  const track_look *look = p->scene->look;
  float pixel = 1 / p->focal_px, up = clamp01(rise * 1.6f);
  float base[3], layer = 14.0f / (rise + 0.25f) + look->noise_x_m, coarse[W / COARSE + 1], clouds[W];
  for (int c = 0; c < 3; c++) base[c] = look->sky_low[c] + (look->sky_top[c] - look->sky_low[c]) * up;
  for (int i = 0; i <= W / COARSE; i++) {
    float around = line->around[i * COARSE < W ? i * COARSE : W - 1];
    coarse[i] = noise_at(p->scene->noise, around, layer);
  }
  spread(coarse, clouds);
  for (int u = 0; u < W; u++) {
    float cloud = clamp01((clouds[u] - 0.45f) * 4) * look->cloudiness * clamp01(rise * 6);
    float hills = clamp01((line->hills[u] - rise) / pixel + 0.5f),
          trees = clamp01((line->trees[u] - rise) / pixel + 0.5f);
    float glow = line->glow[u] * (1 - up);
    for (int c = 0; c < 3; c++) {
      float v = base[c] + (look->cloud[c] - base[c]) * clamp01(cloud);
      v += (255 - v) * glow;
      v += (look->hill[c] + 0.35f * (look->haze[c] - look->hill[c]) - v) * hills;
      p->color[c][u] = v + (look->trees[c] + 0.25f * (look->haze[c] - look->trees[c]) - v) * trees;
    }
  }
}

/* ---- the picture ----------------------------------------------------------------------------------------------------
 */

static void store_row(const painter *p, uint8_t *rgb) {
  uint8_t bytes[3][W];
  for (int c = 0; c < 3; c++) {
    for (int u = 0; u < W; u++) {
      float v = p->color[c][u] + 0.5f;
      v = v < 0 ? 0 : v > 255 ? 255 : v;
      bytes[c][u] = (uint8_t)(int)v;
    }
  }
  for (int u = 0; u < W; u++) rgb[3 * u] = bytes[0][u], rgb[3 * u + 1] = bytes[1][u], rgb[3 * u + 2] = bytes[2][u];
}

void TRACK_RENDER(const track_scene *scene, const track_camera *camera, uint8_t *rgb) {
  painter p;
  p.scene = scene;
  p.camera = camera;
  p.focal_px = (float)(W / 2 / tan(camera->fov_rad / 2));
  p.sin_pitch = (float)sin(camera->pitch_rad), p.cos_pitch = (float)cos(camera->pitch_rad);
  p.forward[0] = (float)cos(camera->heading_rad), p.forward[1] = (float)sin(camera->heading_rad);
  p.right[0] = p.forward[1], p.right[1] = -p.forward[0];
  for (int u = 0; u < W; u++) p.column[u] = ((float)u + 0.5f - W / 2) / p.focal_px;
  skyline line;
  make_skyline(&p, &line);
  for (int v = 0; v < H; v++) {
    float y = ((float)v + 0.5f - H / 2) / p.focal_px;
    float down = p.sin_pitch + y * p.cos_pitch, ahead = p.cos_pitch - y * p.sin_pitch;
    if (down > 0.004f) ground_row(&p, y, down);
    else sky_row(&p, &line, -down / ahead);
    store_row(&p, rgb + (size_t)v * W * 3);
  }
}
