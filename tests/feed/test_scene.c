/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pictures changed together with their boxes: where the box says a thing is, there it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "src/feed/feed_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 96
#define HEIGHT 64
#define BOXES 8

typedef struct rect {
  int x0, y0, x1, y1;
} rect;

/* A thing of a strong colour on grey. */
static void paint(uint8_t *picture, float box[5], int label, rect r) {
  static const uint8_t colors[4][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 0}};
  memset(picture, 90, WIDTH * HEIGHT * 3);
  for (int y = r.y0; y < r.y1; y++)
    for (int x = r.x0; x < r.x1; x++) memcpy(picture + (y * WIDTH + x) * 3, colors[label], 3);
  box[0] = (float)label;
  box[1] = (float)(r.x0 + r.x1) / 2 / WIDTH, box[2] = (float)(r.y0 + r.y1) / 2 / HEIGHT;
  box[3] = (float)(r.x1 - r.x0) / WIDTH, box[4] = (float)(r.y1 - r.y0) / HEIGHT;
}

/* Where pixels of the colour are. */
static bool find(const uint8_t *picture, int label, rect *out) {
  rect r = {WIDTH, HEIGHT, 0, 0};
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) {
      const uint8_t *p = picture + (y * WIDTH + x) * 3;
      bool is[3] = {p[0] > 150, p[1] > 150, p[2] > 150};
      int due = label == 3 ? 3 : 1 << label;
      if ((is[0] | is[1] << 1 | is[2] << 2) != due) continue;
      r.x0 = x < r.x0 ? x : r.x0, r.x1 = x >= r.x1 ? x + 1 : r.x1;
      r.y0 = y < r.y0 ? y : r.y0, r.y1 = y >= r.y1 ? y + 1 : r.y1;
    }
  *out = r;
  return r.x1 > r.x0;
}

typedef struct canvas {
  uint8_t pictures[4][WIDTH * HEIGHT * 3], out[WIDTH * HEIGHT * 3], scratch[WIDTH * HEIGHT * 3];
  float boxes[4][BOXES][5], made[BOXES][5];
} canvas;

static mynah__scene scene_of(canvas *c) {
  mynah__scene s = {.width = WIDTH,
                    .height = HEIGHT,
                    .picture = c->out,
                    .scratch = c->scratch,
                    .boxes = &c->made[0][0],
                    .n_boxes = BOXES};
  for (int i = 0; i < 4; i++) {
    for (int k = 0; k < BOXES; k++) c->boxes[i][k][0] = -1;
    paint(c->pictures[i], c->boxes[i][2], i, (rect){20 + 8 * i, 12 + 5 * i, 50 + 8 * i, 36 + 5 * i});
    s.sources[i].picture = c->pictures[i];
    s.sources[i].boxes = &c->boxes[i][0][0];
  }
  return s;
}

/* Every thing in the picture has its box, within a pixel and a half of where it is; returns how many. */
static int check(const canvas *c) {
  int n = 0;
  for (int i = 0; i < BOXES; i++) {
    const float *b = c->made[i];
    rect r;
    if (b[0] < 0) continue;
    n++;
    if (!find(c->out, (int)b[0], &r)) fail_msg("no thing of class %g where its box is", (double)b[0]);
    double off[4] = {(double)(b[1] - b[3] / 2) * WIDTH - r.x0, (double)(b[2] - b[4] / 2) * HEIGHT - r.y0,
                     (double)(b[1] + b[3] / 2) * WIDTH - r.x1, (double)(b[2] + b[4] / 2) * HEIGHT - r.y1};
    for (int k = 0; k < 4; k++)
      if (!(fabs(off[k]) <= 1.5)) fail_msg("class %g: edge %d is off by %.2f px", (double)b[0], k, off[k]);
  }
  return n;
}

static void test_plain(void **state) {
  (void)state;
  static canvas c;
  mynah__scene s = scene_of(&c);
  const mynah__augmentation none = {.contrast = 1, .saturation = 1, .scale = 1};
  mynah__scene_compose(&none, &s);
  assert_memory_equal(c.out, c.pictures[0], sizeof c.out);
  assert_memory_equal(c.made[0], c.boxes[0][2], sizeof c.made[0]);
  assert_true(c.made[1][0] < 0);
}

static void test_moved(void **state) {
  (void)state;
  static canvas c;
  mynah_frames frames = {.can_mirror = true};
  mynah_feed_config config;
  mynah_config_default(&mynah_feed_table, &config);
  config.scale = 0.5, config.shift = 0.2, config.mirror = 0.5, config.turn_over = 0.3;
  int n = 0;
  for (uint64_t i = 0; i < 300; i++) {
    mynah_rng rng = mynah_rng_make(7, i);
    mynah__augmentation a;
    mynah__scene s = scene_of(&c);
    mynah__augmentation_draw(&frames, &config, &rng, &a);
    mynah__scene_compose(&a, &s);
    n += check(&c);
  }
  assert_true(n > 250); /* seldom moved out */
}

static void test_mosaic(void **state) {
  (void)state;
  static canvas c;
  mynah_frames frames = {.can_mirror = true};
  mynah_feed_config config;
  mynah_config_default(&mynah_feed_table, &config);
  config.mosaic = 1, config.scale = 0.4, config.mirror = 0.5;
  int n = 0, most = 0;
  for (uint64_t i = 0; i < 200; i++) {
    mynah_rng rng = mynah_rng_make(8, i);
    mynah__augmentation a;
    mynah__scene s = scene_of(&c);
    mynah__augmentation_draw(&frames, &config, &rng, &a);
    mynah__scene_compose(&a, &s);
    int own = check(&c);
    n += own;
    most = own > most ? own : most;
  }
  assert_true(n > 300);
  assert_int_equal(most, 4);
}

/* More objects than places: the first stay, and nothing is written beyond. */
static void test_full(void **state) {
  (void)state;
  static canvas c;
  mynah__scene s = scene_of(&c);
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < BOXES; k++) memcpy(c.boxes[i][k], c.boxes[i][2], sizeof c.boxes[i][k]);
  const mynah__augmentation a = {
      .contrast = 1, .saturation = 1, .scale = 0.9, .is_mosaic = true, .mosaic_x = 0.5, .mosaic_y = 0.5};
  mynah__scene_compose(&a, &s);
  assert_int_equal(s.n, BOXES);
}

/* Colours turned by a third of the circle: red is green. */
static void test_hue(void **state) {
  (void)state;
  static canvas c;
  rect r, due;
  mynah__scene s = scene_of(&c);
  const mynah__augmentation a = {.contrast = 1, .saturation = 1, .scale = 1, .hue = 2 * 3.14159265358979 / 3};
  assert_true(find(c.pictures[0], 0, &due));
  mynah__scene_compose(&a, &s);
  assert_true(find(c.out, 1, &r));
  assert_memory_equal(&r, &due, sizeof r);
  assert_in_range(c.out[0], 89, 91); /* grey stays */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_moved),
                                     cmocka_unit_test(test_mosaic), cmocka_unit_test(test_full),
                                     cmocka_unit_test(test_hue)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
