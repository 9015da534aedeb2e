/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What an episode looks like, from its seed: surfaces, markings, verge, sky, light. */
#include "track_internal.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

typedef struct palette {
  float color[3], spread; /* the spread moves all three together, a third of it each alone */
} palette;

static const palette surfaces[] = {{{72, 74, 78}, 14},    {{98, 98, 100}, 16},  {{128, 126, 122}, 14},
                                   {{158, 153, 144}, 10}, {{112, 100, 92}, 12}, {{140, 116, 88}, 12}};
static const palette verges[] = {{{82, 112, 48}, 16},   {{58, 96, 44}, 14},  {{112, 122, 58}, 16}, {{150, 138, 84}, 14},
                                 {{176, 152, 108}, 14}, {{104, 84, 58}, 12}, {{66, 82, 40}, 12}};
static const palette skies[][3] = {/* top, low, cloud */
                                   {{{84, 138, 212}, 16}, {{178, 208, 236}, 10}, {{246, 246, 248}, 6}},
                                   {{{150, 160, 172}, 14}, {{196, 202, 208}, 10}, {{222, 224, 226}, 8}},
                                   {{{112, 136, 190}, 14}, {{240, 206, 164}, 12}, {{250, 224, 200}, 8}},
                                   {{{118, 168, 220}, 14}, {{214, 226, 234}, 8}, {{255, 255, 255}, 0}}};
enum {
  SURFACES = sizeof surfaces / sizeof *surfaces,
  VERGES = sizeof verges / sizeof *verges,
  SKIES = sizeof skies / sizeof *skies,
  TRACK_DIRT = SURFACES - 1
};

typedef struct artist {
  mynah_rng rng;
  double variety; /* 0: always the middle of each range and the first of each list */
} artist;

static float between(artist *a, double low, double high) {
  double middle = (low + high) / 2, u = mynah_rng_range(&a->rng, -1, 1);
  return (float)(middle + a->variety * u * (high - low) / 2);
}

static bool happens(artist *a, double chance) {
  double u = mynah_rng_uniform(&a->rng); /* drawn in any case, so that later draws stay in place */
  return a->variety > 0 && u < chance;
}

static int one_of(artist *a, int n) {
  int i = (int)mynah_rng_below(&a->rng, (uint64_t)n);
  return mynah_rng_uniform(&a->rng) < a->variety ? i : 0;
}

static void mix(artist *a, const palette *p, float *color) {
  float all = between(a, -1, 1);
  for (int k = 0; k < 3; k++)
    color[k] = fmaxf(0, fminf(255, p->color[k] + p->spread * (all + between(a, -0.33, 0.33))));
}

static float difference(const float *a, const float *b) {
  return fabsf(a[0] - b[0]) + fabsf(a[1] - b[1]) + fabsf(a[2] - b[2]);
}

static void paint(artist *a, float *color, double yellow) {
  static const palette white = {{228, 228, 222}, 18}, amber = {{222, 176, 60}, 14};
  mix(a, happens(a, yellow) ? &amber : &white, color);
}

/* ---- the road -------------------------------------------------------------------------------------------------------
 */

static void draw_lines(artist *a, track_surface *s, bool is_dirt) {
  float strength = between(a, 0.6, 1);
  paint(a, s->paint, 0.3);
  paint(a, s->edge_paint, 0.2);
  /* dashed, solid, double solid, none */
  int style = one_of(a, 8);
  float half = between(a, 0.06, 0.09), period = between(a, 6, 9), share = between(a, 0.35, 0.5);
  s->center = (track_line){style == 6 ? 0.16f : 0, half, share * period, period, strength};
  if (style >= 4 && style <= 6) s->center.dash_m = period;
  if (style == 7 || is_dirt) s->center.strength = 0;
  style = one_of(a, 8);
  s->edge = (track_line){between(a, 0.18, 0.32), half, period, period, strength};
  if (style == 6) s->edge.dash_m = 0.5f * period;
  if (style == 7 || is_dirt) s->edge.strength = 0;
}

/* A surface that differs enough from what lies beside the road, the way being visible without any paint; else the one
 * of all those tried that differs most. */
static void draw_surface(artist *a, const track_look *look, track_surface *s) {
  const float enough = 100;
  float best = -1;
  int kind = 0;
  for (int attempt = 0; attempt < 20 && best < enough; attempt++) {
    float color[3];
    int drawn = one_of(a, SURFACES);
    mix(a, &surfaces[drawn], color);
    float apart = fminf(difference(color, look->verge[0]), difference(color, look->verge[1]));
    if (apart <= best) continue;
    best = apart;
    kind = drawn;
    memcpy(s->color, color, sizeof color);
  }
  s->grain = between(a, 0.12, 0.36);
  draw_lines(a, s, kind == TRACK_DIRT);
}

static void draw_ground(artist *a, track_look *look) {
  int first = one_of(a, VERGES), second = one_of(a, VERGES);
  mix(a, &verges[first], look->verge[0]);
  mix(a, &verges[happens(a, 0.5) ? second : first], look->verge[1]);
  look->verge_grain = between(a, 0.3, 0.7);
  for (int i = 0; i < TRACK_SECTIONS_MAX; i++) draw_surface(a, look, &look->surfaces[i]);
  look->shoulder_m = happens(a, 0.6) ? between(a, 0.2, 0.9) : 0;
  for (int k = 0; k < 3; k++) look->shoulder[k] = 0.45f * look->verge[1][k] + 0.55f * look->surfaces[0].color[k] + 12;
}

/* ---- sky and light --------------------------------------------------------------------------------------------------
 */

static void draw_sky(artist *a, track_look *look) {
  const palette *sky = skies[one_of(a, SKIES)];
  static const palette hills = {{96, 112, 118}, 18}, trees = {{48, 66, 40}, 14};
  mix(a, &sky[0], look->sky_top);
  mix(a, &sky[1], look->sky_low);
  mix(a, &sky[2], look->cloud);
  mix(a, &hills, look->hill);
  mix(a, &trees, look->trees);
  look->cloudiness = between(a, 0, 1.2);
  look->sun_azimuth_rad = (float)mynah_rng_range(&a->rng, -PI, PI);
  look->glow = between(a, 0.05, 0.35);
  look->hill_height = between(a, 0.02, 0.16);
  look->tree_height = happens(a, 0.75) ? between(a, 0.02, 0.09) : 0;
  look->haze_per_m = between(a, 0.001, 0.009);
  for (int k = 0; k < 3; k++) look->haze[k] = 0.85f * look->sky_low[k] + 0.15f * look->hill[k];
}

static void draw_light(artist *a, track_look *look) {
  float brightness = between(a, 0.68, 1.22), warmth = between(a, -0.07, 0.07), cast = between(a, -0.03, 0.03);
  look->light[0] = brightness * (1 + warmth);
  look->light[1] = brightness * (1 + cast);
  look->light[2] = brightness * (1 - warmth);
  float dim = 0.35f + 0.65f * brightness; /* the sky follows the ground in part */
  for (int k = 0; k < 3; k++) {
    look->sky_top[k] *= fminf(dim, 1.05f);
    look->sky_low[k] *= fminf(dim, 1.05f);
    look->cloud[k] *= fminf(dim, 1.02f);
    look->haze[k] *= fminf(dim, 1.05f);
    look->hill[k] *= dim;
    look->trees[k] *= dim;
  }
  look->shade = happens(a, 0.7) ? between(a, 0.2, 0.5) : 0;
  look->shade_above = between(a, 0.47, 0.6);
  look->shade_soft = between(a, 0.02, 0.07);
}

void mynah__track_look_make(track_look *look, const mynah_track_config *config, uint64_t seed) {
  artist a = {mynah_rng_make(seed, TRACK_STREAM_LOOK), config->variety};
  *look = (track_look){0};
  draw_ground(&a, look);
  draw_sky(&a, look);
  draw_light(&a, look);
  look->noise_x_m = (float)mynah_rng_range(&a.rng, 0, 1000);
  look->noise_y_m = (float)mynah_rng_range(&a.rng, 0, 1000);
}
