/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random changes of a picture together with its boxes: scaled, moved, flipped, or four pictures put together (mosaic).
 * What a picture does not reach is grey. */
#include "feed_internal.h"

#include <math.h>
#include <string.h>

#define GREY 114
#define LEAST_PX 2      /* a box whose side falls below is dropped */
#define LEAST_SHARE 0.1 /* and one of which less is left */
#define NO_OBJECT (-1)

typedef struct area {
  int x0, y0, x1, y1;
} area;

static int between(double v, int low, int high) { return v < low ? low : v > high ? high : (int)lround(v); }

/* Boxes of a picture whose part `from` now stands at `to` join those of the canvas. */
static void put_boxes(mynah__scene *s, const float *boxes, const area *from, const area *to) {
  double sx = (double)(to->x1 - to->x0) / (from->x1 - from->x0), sy = (double)(to->y1 - to->y0) / (from->y1 - from->y0);
  for (int64_t i = 0; i < s->n_boxes; i++, boxes += 5) {
    if (boxes[0] < 0 || s->n == s->n_boxes) continue;
    double w = (double)boxes[3] * s->width * sx, h = (double)boxes[4] * s->height * sy;
    double x = ((double)boxes[1] * s->width - from->x0) * sx + to->x0,
           y = ((double)boxes[2] * s->height - from->y0) * sy + to->y0;
    double x0 = fmax(x - w / 2, to->x0), x1 = fmin(x + w / 2, to->x1), y0 = fmax(y - h / 2, to->y0),
           y1 = fmin(y + h / 2, to->y1);
    if (x1 - x0 < LEAST_PX || y1 - y0 < LEAST_PX || (x1 - x0) * (y1 - y0) < LEAST_SHARE * w * h) continue;
    float *out = s->boxes + 5 * s->n++;
    out[0] = boxes[0];
    out[1] = (float)((x0 + x1) / 2 / s->width), out[2] = (float)((y0 + y1) / 2 / s->height);
    out[3] = (float)((x1 - x0) / s->width), out[4] = (float)((y1 - y0) / s->height);
  }
}

/* The picture, `scale` times as large, with its corner at (x,y), as far as it falls into `clip`. */
static void put_picture(mynah__scene *s, const uint8_t *picture, const float *boxes, double scale, double x, double y,
                        const area *clip) {
  area to = {between(x, clip->x0, clip->x1), between(y, clip->y0, clip->y1),
             between(x + scale * s->width, clip->x0, clip->x1), between(y + scale * s->height, clip->y0, clip->y1)};
  area from = {between((to.x0 - x) / scale, 0, s->width), between((to.y0 - y) / scale, 0, s->height),
               between((to.x1 - x) / scale, 0, s->width), between((to.y1 - y) / scale, 0, s->height)};
  int width = to.x1 - to.x0, height = to.y1 - to.y0;
  if (width < 1 || height < 1 || from.x1 <= from.x0 || from.y1 <= from.y0) return;
  mynah_image whole = {(uint8_t *)(uintptr_t)picture, s->width, s->height}, part = {s->scratch, width, height};
  mynah_image_resample(&whole, from.x0, from.y0, from.x1 - from.x0, from.y1 - from.y0, &part);
  for (int row = 0; row < height; row++)
    memcpy(s->picture + ((size_t)(to.y0 + row) * (size_t)s->width + (size_t)to.x0) * 3,
           s->scratch + (size_t)row * (size_t)width * 3, (size_t)width * 3);
  put_boxes(s, boxes, &from, &to);
}

static void mirror(mynah__scene *s) {
  for (int y = 0; y < s->height; y++) {
    uint8_t *row = s->picture + (size_t)y * (size_t)s->width * 3, kept[3];
    for (int i = 0, k = s->width - 1; i < k; i++, k--) {
      memcpy(kept, row + 3 * i, 3);
      memcpy(row + 3 * i, row + 3 * k, 3);
      memcpy(row + 3 * k, kept, 3);
    }
  }
  for (int64_t i = 0; i < s->n; i++) s->boxes[5 * i + 1] = 1 - s->boxes[5 * i + 1];
}

static void turn_over(mynah__scene *s) {
  size_t bytes = (size_t)s->width * 3;
  for (int y = 0, k = s->height - 1; y < k; y++, k--) {
    memcpy(s->scratch, s->picture + (size_t)y * bytes, bytes);
    memcpy(s->picture + (size_t)y * bytes, s->picture + (size_t)k * bytes, bytes);
    memcpy(s->picture + (size_t)k * bytes, s->scratch, bytes);
  }
  for (int64_t i = 0; i < s->n; i++) s->boxes[5 * i + 2] = 1 - s->boxes[5 * i + 2];
}

/* One picture about the middle of the canvas. */
static void compose_one(const mynah__augmentation *a, mynah__scene *s) {
  area all = {0, 0, s->width, s->height};
  double x = (1 - a->scale) / 2 + a->shift_x, y = (1 - a->scale) / 2 + a->shift_y;
  put_picture(s, s->sources[0].picture, s->sources[0].boxes, a->scale, x * s->width, y * s->height, &all);
}

/* Four around a point, each with a corner of its own at it (Bochkovskiy et al. 2020, sec. 3.3). */
static void compose_four(const mynah__augmentation *a, mynah__scene *s) {
  int x = (int)(a->mosaic_x * s->width), y = (int)(a->mosaic_y * s->height);
  const area quarters[4] = {{0, 0, x, y}, {x, 0, s->width, y}, {0, y, x, s->height}, {x, y, s->width, s->height}};
  for (int i = 0; i < 4; i++) {
    double left = i % 2 ? x : x - a->scale * s->width, top = i / 2 ? y : y - a->scale * s->height;
    put_picture(s, s->sources[i].picture, s->sources[i].boxes, a->scale, left, top, &quarters[i]);
  }
}

void mynah__scene_compose(const mynah__augmentation *a, mynah__scene *s) {
  memset(s->picture, GREY, (size_t)s->width * (size_t)s->height * 3);
  s->n = 0;
  if (a->is_mosaic) compose_four(a, s);
  else compose_one(a, s);
  if (a->is_mirrored) mirror(s);
  if (a->is_turned) turn_over(s);
  mynah__augment_colors(a, s->picture, s->width, s->height);
  for (int64_t i = s->n; i < s->n_boxes; i++) {
    memset(s->boxes + 5 * i, 0, 5 * sizeof *s->boxes);
    s->boxes[5 * i] = NO_OBJECT;
  }
}
