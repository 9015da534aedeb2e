/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A closed road from a seed.
 *
 * The centre line is a closed uniform cubic B-spline through the neighbourhood of points around a circle with random
 * radii: its curvature is continuous, so steering never has to jump. A draw whose bends are too tight, or that comes
 * too near to itself, has its radii smoothed step by step; that tends to a circle, which always fits. */
#include "track_internal.h"

#include <math.h>

#define PI 3.14159265358979323846
#define MAX_CONTROLS 24
#define FINE 32 /* samples of a spline piece, to measure its length */
#define MAX_SMOOTHINGS 400
#define VERGE_M 8.0 /* the grid reaches so far beyond the edge */

typedef struct spline {
  int n;
  double x[MAX_CONTROLS], y[MAX_CONTROLS];
  double length[MAX_CONTROLS * FINE + 1]; /* from the start to parameter i / FINE */
} spline;

/* Position, first and second derivative at parameter t of piece i; b(t) are the uniform cubic B-spline's basis. */
static void spline_at(const spline *c, double parameter, double p[2], double d1[2], double d2[2]) {
  int i = (int)parameter;
  double t = parameter - i, u = 1 - t;
  const double b[4] = {u * u * u / 6, (3 * t * t * t - 6 * t * t + 4) / 6, (-3 * t * t * t + 3 * t * t + 3 * t + 1) / 6,
                       t * t * t / 6};
  const double b1[4] = {-u * u / 2, (3 * t * t - 4 * t) / 2, (-3 * t * t + 2 * t + 1) / 2, t * t / 2};
  const double b2[4] = {u, 3 * t - 2, 1 - 3 * t, t};
  p[0] = p[1] = d1[0] = d1[1] = d2[0] = d2[1] = 0;
  for (int k = 0; k < 4; k++) {
    int j = (i + k) % c->n;
    p[0] += b[k] * c->x[j], p[1] += b[k] * c->y[j];
    d1[0] += b1[k] * c->x[j], d1[1] += b1[k] * c->y[j];
    d2[0] += b2[k] * c->x[j], d2[1] += b2[k] * c->y[j];
  }
}

/* Fills c->length by Simpson's rule over the speed |d1|. */
static double spline_measure(spline *c) {
  double p[2], d1[2], d2[2], total = 0;
  spline_at(c, 0, p, d1, d2);
  double before = hypot(d1[0], d1[1]);
  c->length[0] = 0;
  for (int i = 1; i <= c->n * FINE; i++) {
    spline_at(c, (i - 0.5) / FINE, p, d1, d2);
    double middle = hypot(d1[0], d1[1]);
    spline_at(c, i == c->n * FINE ? 0 : (double)i / FINE, p, d1, d2);
    double after = hypot(d1[0], d1[1]);
    total += (before + 4 * middle + after) / (6 * FINE);
    c->length[i] = total;
    before = after;
  }
  return total;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------
 */

typedef struct draft {
  int n;
  double angle[MAX_CONTROLS], radius[MAX_CONTROLS];
} draft;

/* Waves of two to six bends a lap, over uneven steps. */
static void draft_draw(draft *d, mynah_rng *rng, double winding) {
  enum { FIRST = 2, LAST = 6 };
  double size[LAST + 1], phase[LAST + 1];
  d->n = 14 + (int)mynah_rng_below(rng, 5);
  for (int k = FIRST; k <= LAST; k++) {
    size[k] = winding * mynah_rng_range(rng, 0, 1.3) / sqrt(k);
    phase[k] = mynah_rng_range(rng, 0, 2 * PI);
  }
  for (int i = 0; i < d->n; i++) {
    d->angle[i] = 2 * PI * (i + 0.3 * winding * mynah_rng_range(rng, -1, 1)) / d->n;
    double wave = 0.3 * winding * mynah_rng_range(rng, -1, 1);
    for (int k = FIRST; k <= LAST; k++) wave += size[k] * cos(k * d->angle[i] + phase[k]);
    d->radius[i] = exp(0.8 * wave); /* never negative */
  }
}

/* Smooths the radii around a point at this parameter, those further away less. */
static void draft_smooth(draft *d, double parameter) {
  double old[MAX_CONTROLS];
  for (int i = 0; i < d->n; i++) old[i] = d->radius[i];
  for (int i = 0; i < d->n; i++) {
    /* Piece k of the spline lies around its control points k + 1 and k + 2. */
    double away = fmod(i - parameter - 1 + 2 * d->n, d->n), rate = fmin(away, d->n - away) < 2 ? 0.08 : 0.004;
    d->radius[i] += rate * (old[(i + 1) % d->n] - 2 * old[i] + old[(i + d->n - 1) % d->n]);
  }
}

/* The draft as a spline of the wanted length; is_mirrored: driven clockwise. */
static void draft_to_spline(const draft *d, double length_m, bool is_mirrored, spline *c) {
  c->n = d->n;
  for (int i = 0; i < d->n; i++) {
    c->x[i] = d->radius[i] * cos(d->angle[i]);
    c->y[i] = d->radius[i] * sin(d->angle[i]) * (is_mirrored ? -1 : 1);
  }
  double scale = length_m / spline_measure(c);
  for (int i = 0; i < d->n; i++) c->x[i] *= scale, c->y[i] *= scale;
  for (int i = 0; i <= c->n * FINE; i++) c->length[i] *= scale;
}

/* The parameter at a distance from the start, to one part in FINE. */
static double spline_parameter(const spline *c, double s_m) {
  int i = 0;
  while (i + 1 < c->n * FINE && c->length[i + 1] <= s_m) i++;
  return (double)i / FINE;
}

/* Nodes at even distances. The parameter between two measured ones is interpolated; the spline itself is exact. */
static void place_nodes(track_road *road, const spline *c) {
  int piece = 0;
  for (int i = 0; i < road->n; i++) {
    double s = i * road->step_m, p[2], d1[2], d2[2];
    while (piece + 1 < c->n * FINE && c->length[piece + 1] <= s) piece++;
    double share = (s - c->length[piece]) / (c->length[piece + 1] - c->length[piece]);
    spline_at(c, (piece + fmin(share, 1 - 1e-12)) / FINE, p, d1, d2);
    double speed = hypot(d1[0], d1[1]);
    road->nodes[i] = (track_node){.x_m = p[0],
                                  .y_m = p[1],
                                  .tx = d1[0] / speed,
                                  .ty = d1[1] / speed,
                                  .curvature = (d1[0] * d2[1] - d1[1] * d2[0]) / (speed * speed * speed)};
  }
}

/* The worst fault of the line: a bend tighter than allowed, else a place nearer than `apart_m` to one that is not its
 * neighbour. -1: none. */
static int find_fault(const track_road *road, double radius_m, double apart_m) {
  int worst = 0;
  for (int i = 0; i < road->n; i++)
    if (fabs(road->nodes[i].curvature) > fabs(road->nodes[worst].curvature)) worst = i;
  if (fabs(road->nodes[worst].curvature) * radius_m > 1) return worst;
  int stride = (int)fmax(1, 2 / road->step_m), neighbours = (int)(PI * (apart_m / 2 + radius_m) / road->step_m);
  for (int i = 0; i < road->n; i += stride) {
    for (int j = i + neighbours; j < road->n && j <= i + road->n - neighbours; j += stride) {
      double dx = road->nodes[i].x_m - road->nodes[j].x_m, dy = road->nodes[i].y_m - road->nodes[j].y_m;
      if (dx * dx + dy * dy < apart_m * apart_m) return i;
    }
  }
  return -1;
}

/* ---- width, sections, outline ---------------------------------------------------------------------------------------
 */

static void set_widths(track_road *road, mynah_rng *rng, double width_m) {
  double half = width_m / 2 * mynah_rng_range(rng, 0.9, 1.1);
  double phase[2] = {mynah_rng_range(rng, 0, 2 * PI), mynah_rng_range(rng, 0, 2 * PI)};
  for (int i = 0; i < road->n; i++) {
    double a = 2 * PI * i / road->n;
    road->nodes[i].half_width_m = half * (1 + 0.05 * sin(2 * a + phase[0]) + 0.03 * sin(5 * a + phase[1]));
  }
}

static void set_lines(track_road *road, mynah_rng *rng) {
  road->n_sections = 2 + (int)mynah_rng_below(rng, TRACK_SECTIONS_MAX - 1);
  road->section_shift = (float)mynah_rng_range(rng, 0, road->n_sections);
  for (int i = 0; i < road->n; i++) {
    const track_node *p = &road->nodes[i];
    road->marks[i] = (track_mark){(float)p->x_m,
                                  (float)p->y_m,
                                  (float)p->tx,
                                  (float)p->ty,
                                  (float)p->curvature,
                                  (float)p->half_width_m,
                                  (float)(i * road->step_m),
                                  0};
    road->center[2 * i] = p->x_m, road->center[2 * i + 1] = p->y_m;
    road->left[2 * i] = p->x_m - p->half_width_m * p->ty, road->left[2 * i + 1] = p->y_m + p->half_width_m * p->tx;
    road->right[2 * i] = p->x_m + p->half_width_m * p->ty, road->right[2 * i + 1] = p->y_m - p->half_width_m * p->tx;
  }
}

/* ---- grid -----------------------------------------------------------------------------------------------------------
 */

static mynah_status size_grid(track_road *road, double reach_m) {
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (int i = 0; i < road->n; i++) {
    const track_node *p = &road->nodes[i];
    low[0] = fmin(low[0], p->x_m), low[1] = fmin(low[1], p->y_m);
    high[0] = fmax(high[0], p->x_m), high[1] = fmax(high[1], p->y_m);
  }
  road->x0_m = low[0] - reach_m, road->y0_m = low[1] - reach_m;
  road->columns = (int)ceil((high[0] + reach_m - road->x0_m) / TRACK_CELL_M);
  road->rows = (int)ceil((high[1] + reach_m - road->y0_m) / TRACK_CELL_M);
  size_t n = (size_t)road->columns * (size_t)road->rows;
  MYNAH_TRY(mynah_grow((void **)&road->grid, &road->grid_capacity, n, sizeof *road->grid));
  return mynah_grow((void **)&road->distance, &road->distance_capacity, n, sizeof *road->distance);
}

/* Each node claims the cells around it to which it is nearest so far. */
static mynah_status fill_grid(track_road *road) {
  double widest = 0;
  for (int i = 0; i < road->n; i++) widest = fmax(widest, road->nodes[i].half_width_m);
  double reach = widest + VERGE_M;
  MYNAH_TRY(size_grid(road, reach));
  size_t n_cells = (size_t)road->columns * (size_t)road->rows;
  for (size_t k = 0; k < n_cells; k++) road->grid[k] = TRACK_NOWHERE, road->distance[k] = (float)(reach * reach);
  int span = (int)(reach / TRACK_CELL_M);
  for (int i = 0; i < road->n; i++) {
    float x = (float)((road->nodes[i].x_m - road->x0_m) / TRACK_CELL_M - 0.5);
    float y = (float)((road->nodes[i].y_m - road->y0_m) / TRACK_CELL_M - 0.5);
    int column0 = (int)x - span < 0 ? 0 : (int)x - span, row0 = (int)y - span < 0 ? 0 : (int)y - span;
    int column1 = (int)x + span + 1 > road->columns ? road->columns : (int)x + span + 1;
    int row1 = (int)y + span + 1 > road->rows ? road->rows : (int)y + span + 1;
    for (int row = row0; row < row1; row++) {
      float *distance = road->distance + (size_t)row * (size_t)road->columns;
      uint16_t *grid = road->grid + (size_t)row * (size_t)road->columns;
      float dy = ((float)row - y) * (float)TRACK_CELL_M;
      for (int column = column0; column < column1; column++) {
        float dx = ((float)column - x) * (float)TRACK_CELL_M, d = dx * dx + dy * dy;
        bool is_nearer = d < distance[column];
        distance[column] = is_nearer ? d : distance[column];
        grid[column] = is_nearer ? (uint16_t)i : grid[column];
      }
    }
  }
  return MYNAH_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------
 */

static mynah_status size_lines(track_road *road, double length_m) {
  road->n = (int)lround(length_m / 0.5);
  road->length_m = length_m;
  road->step_m = length_m / road->n;
  size_t n = (size_t)road->n;
  MYNAH_TRY(mynah_grow((void **)&road->nodes, &road->node_capacity, n, sizeof *road->nodes));
  MYNAH_TRY(mynah_grow((void **)&road->marks, &road->mark_capacity, n, sizeof *road->marks));
  /* One block for the three lines. */
  MYNAH_TRY(mynah_grow((void **)&road->center, &road->line_capacity, 6 * n, sizeof(double)));
  road->left = road->center + 2 * n;
  road->right = road->left + 2 * n;
  return MYNAH_OK;
}

mynah_status mynah__track_road_make(track_road *road, const mynah_track_config *config, uint64_t seed) {
  mynah_rng rng = mynah_rng_make(seed, TRACK_STREAM_ROAD);
  MYNAH_TRY(size_lines(road, config->road_length_m * mynah_rng_range(&rng, 0.85, 1.15)));
  bool is_mirrored = mynah_rng_below(&rng, 2) != 0;
  draft d;
  spline c;
  draft_draw(&d, &rng, config->road_winding);
  for (int i = 0; i < MAX_SMOOTHINGS; i++) {
    draft_to_spline(&d, road->length_m, is_mirrored, &c);
    place_nodes(road, &c);
    int fault = find_fault(road, config->road_radius_m, config->road_width_m * 1.2 + 6);
    if (fault < 0) break;
    draft_smooth(&d, spline_parameter(&c, fault * road->step_m));
  }
  set_widths(road, &rng, config->road_width_m);
  set_lines(road, &rng);
  return fill_grid(road);
}

void mynah__track_road_deinit(track_road *road) {
  mynah_free(road->nodes);
  mynah_free(road->marks);
  mynah_free(road->center);
  mynah_free(road->grid);
  mynah_free(road->distance);
  *road = (track_road){0};
}

int mynah__track_node_at(const track_road *road, double s_m) {
  double lap = s_m - road->length_m * floor(s_m / road->length_m);
  int i = (int)(lap / road->step_m + 0.5);
  return i >= road->n ? i - road->n : i;
}

void mynah__track_locate(const track_road *road, double x_m, double y_m, int near, track_place *out) {
  const int window = 12;
  double best = INFINITY;
  int node = near;
  for (int k = -window; k <= window; k++) {
    int i = (near + k + road->n) % road->n;
    double dx = x_m - road->nodes[i].x_m, dy = y_m - road->nodes[i].y_m, d = dx * dx + dy * dy;
    if (d < best) best = d, node = i;
  }
  /* On the circle through the node: with a, l ahead and left in its frame, r = |(k a, 1 - k l)|, the offset is
   * (1 - r) / k = (2 l - k (a^2 + l^2)) / (1 + r), which also holds for k = 0. */
  const track_node *p = &road->nodes[node];
  double dx = x_m - p->x_m, dy = y_m - p->y_m, k = p->curvature;
  double a = dx * p->tx + dy * p->ty, l = dy * p->tx - dx * p->ty, r = hypot(k * a, 1 - k * l);
  double turn = atan2(k * a, 1 - k * l);
  double ahead = fabs(k) > 1e-9 ? turn / k : a;
  double s = node * road->step_m + ahead;
  *out = (track_place){.node = node,
                       .offset_m = (2 * l - k * (a * a + l * l)) / (1 + r),
                       .s_m = s - road->length_m * floor(s / road->length_m),
                       .heading_rad = atan2(p->ty, p->tx) + turn,
                       .curvature = k,
                       .half_width_m = p->half_width_m};
}
