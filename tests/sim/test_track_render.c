/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The driving simulator's camera: the road appears where the equations of a pinhole put it, on every instruction set.
 */
#include "src/sim/track_internal.h"

#include <math.h>
#include <setjmp.h>
#include <string.h>
/* after the headers that it needs */
#include <cmocka.h>

#define PI 3.14159265358979323846

/* Where a point on the ground appears; false: not in the picture. offset: of the camera to the left of the car. */
static bool project(const double *car, double offset_m, const double *point, int pixel[2]) {
  double c = cos(car[2]), s = sin(car[2]), height = 1.4, pitch = 12 * PI / 180, focal = 80;
  double dx = point[0] - (car[0] + c - offset_m * s), dy = point[1] - (car[1] + s + offset_m * c);
  double forward = dx * c + dy * s, right = dx * s - dy * c;
  double depth = forward * cos(pitch) + height * sin(pitch);
  if (depth < 0.5) return false;
  pixel[0] = (int)floor(80 + focal * right / depth);
  pixel[1] = (int)floor(60 + focal * (height * cos(pitch) - forward * sin(pitch)) / depth);
  return pixel[0] >= 0 && pixel[0] < 160 && pixel[1] >= 0 && pixel[1] < 120;
}

/* Grass is greener than asphalt. */
static int greenness(const uint8_t *rgb, const int pixel[2]) {
  const uint8_t *p = rgb + 3 * (pixel[1] * 160 + pixel[0]);
  return 2 * p[1] - p[0] - p[2];
}

/* Along the next 25 m, points inside and outside of both edges. Returns how many were seen. */
static int check_edges(const mynah_device *d, const uint8_t *rgb, double offset_m, int node) {
  mynah_track_outline o;
  double row[MYNAH_TRACE_MAX];
  int seen = 0;
  d->type->trace(d, row);
  mynah_track_outline_get(d, &o);
  for (int k = 6; k < 50; k++) {
    int i = (node + k) % o.n;
    for (int side = 0; side < 2; side++) {
      const double *edge = (side ? o.right : o.left) + 2 * i, *center = o.center + 2 * i;
      double half = hypot(edge[0] - center[0], edge[1] - center[1]), away = 0.45 + 0.02 * k;
      for (int out = 0; out < 2; out++) {
        double scale = (half + (out ? away : -away)) / half;
        double point[2] = {center[0] + (edge[0] - center[0]) * scale, center[1] + (edge[1] - center[1]) * scale};
        int pixel[2];
        if (!project(row, offset_m, point, pixel)) continue;
        seen++;
        int green = greenness(rgb, pixel);
        if (out ? green < 25 : green > 25)
          fail_msg("%d m ahead, %s edge, %s: pixel %d,%d has greenness %d", k / 2, side ? "right" : "left",
                   out ? "outside" : "inside", pixel[0], pixel[1], green);
      }
    }
  }
  return seen;
}

static void road_is_where_it_should_be(void **state) {
  (void)state;
  mynah_device *d = NULL;
  const char *const settings[] = {"variety=0", "cameras=3"};
  assert_int_equal(mynah_sim_open("track", settings, 2, &d), MYNAH_OK);
  int seen = 0;
  for (uint64_t seed = 1; seed < 6; seed++) {
    assert_int_equal(d->type->reset(d, seed), MYNAH_OK);
    for (int step = 0; step < 300; step++) {
      float a[2];
      if (step % 30 == 0) {
        mynah_value v[16];
        double row[MYNAH_TRACE_MAX];
        mynah_track_outline o;
        d->type->observe(d, v);
        d->type->trace(d, row);
        mynah_track_outline_get(d, &o);
        int node = (int)(row[7] / o.length_m * o.n);
        seen += check_edges(d, v[0].data, 0, node);
        seen += check_edges(d, v[1].data, 0.8, node);
        seen += check_edges(d, v[2].data, -0.8, node);
      }
      d->type->expert(d, a);
      d->type->act(d, a);
    }
  }
  assert_true(seen > 5000);
  d->type->close(d);
}

static void sky_is_above(void **state) {
  (void)state;
  mynah_device *d = NULL;
  assert_int_equal(mynah_sim_open("track", NULL, 0, &d), MYNAH_OK);
  for (uint64_t seed = 0; seed < 20; seed++) {
    mynah_value v[16];
    long sum[2] = {0};
    assert_int_equal(d->type->reset(d, seed), MYNAH_OK);
    d->type->observe(d, v);
    const uint8_t *rgb = v[0].data;
    for (int i = 0; i < 20 * 160; i++) {
      sum[0] += rgb[3 * i] + rgb[3 * i + 1] + rgb[3 * i + 2];
      const uint8_t *low = rgb + 3 * (119 * 160 - i);
      sum[1] += low[0] + low[1] + low[2];
    }
    assert_true(sum[0] > sum[1]); /* the sky is brighter than the ground before the car */
  }
  d->type->close(d);
}

static void instruction_sets_agree(void **state) {
  (void)state;
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) skip();
  static uint8_t noise[TRACK_NOISE_SIDE * TRACK_NOISE_SIDE], one[TRACK_PIXEL_BYTES], two[TRACK_PIXEL_BYTES];
  mynah_track_config config;
  track_road road = {0};
  track_look look;
  mynah_config_default(&mynah_track_table, &config);
  mynah__track_noise_make(noise);
  for (uint64_t seed = 0; seed < 5; seed++) {
    assert_int_equal(mynah__track_road_make(&road, &config, seed), MYNAH_OK);
    mynah__track_look_make(&look, &config, seed);
    track_scene scene = {&road, &look, noise};
    for (int i = 0; i < road.n; i += 97) {
      const track_node *p = &road.nodes[i];
      track_camera camera = {p->x_m, p->y_m, atan2(p->ty, p->tx) + 0.1 * (i % 5 - 2), 1.4, 0.2, 1.5};
      mynah__track_render_base(&scene, &camera, one);
      mynah__track_render_avx2(&scene, &camera, two);
      assert_memory_equal(one, two, sizeof one);
    }
  }
  mynah__track_road_deinit(&road);
#else
  skip();
#endif
}

/* A camera anywhere, even far from the road, draws something and reads nothing it should not. */
static void far_from_the_road(void **state) {
  (void)state;
  static uint8_t noise[TRACK_NOISE_SIDE * TRACK_NOISE_SIDE], rgb[TRACK_PIXEL_BYTES];
  mynah_track_config config;
  track_road road = {0};
  track_look look;
  mynah_config_default(&mynah_track_table, &config);
  mynah__track_noise_make(noise);
  assert_int_equal(mynah__track_road_make(&road, &config, 1), MYNAH_OK);
  mynah__track_look_make(&look, &config, 1);
  track_scene scene = {&road, &look, noise};
  static const double places[][3] = {{0, 0, 0}, {-1500, 700, 40}, {900, -1200, -7}, {200, 200, 3}};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    track_camera camera = {places[i][0], places[i][1], places[i][2], 4, 0, 2.2};
    mynah__track_render_choose()(&scene, &camera, rgb);
    assert_true(rgb[3 * (110 * 160 + 80) + 1] > 0);
  }
  mynah__track_road_deinit(&road);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(road_is_where_it_should_be), cmocka_unit_test(sky_is_above),
                                     cmocka_unit_test(instruction_sets_agree), cmocka_unit_test(far_from_the_road)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
