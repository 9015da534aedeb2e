/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The driving simulator as a device: repeatable, drivable, honest about departures, silent for the allocator. */
#include <mynah/sim.h>

#include "support/close.h"
#include "support/torture.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
/* after the headers that it needs */
#include <cmocka.h>

#define LAPS 12

static mynah_device *open_track(const char *setting) {
  mynah_device *d = NULL;
  assert_int_equal(mynah_sim_open("track", &setting, setting ? 1 : 0, &d), MYNAH_OK);
  return d;
}

static int column(const mynah_device *d, const char *name) {
  for (int k = 0; d->type->trace_names[k]; k++)
    if (strcmp(d->type->trace_names[k], name) == 0) return k;
  fail_msg("no trace column %s", name);
  return -1;
}

static mynah_metric metric(const mynah_device *d, const char *name) {
  mynah_metric all[MYNAH_METRICS_MAX];
  int n = d->type->metrics(d, all);
  for (int i = 0; i < n; i++)
    if (strcmp(all[i].name, name) == 0) return all[i];
  fail_msg("no metric %s", name);
  return all[0];
}

static void features(void **state) {
  (void)state;
  mynah_device *d = open_track(NULL);
  assert_int_equal(d->n_features, 3);
  assert_int_equal(d->n_observations, 2);
  assert_string_equal(d->features[0].name, "observation.images.front");
  assert_string_equal(d->features[1].name, "observation.state");
  assert_string_equal(mynah_device_action(d)->name, "action");
  for (int i = 0; i < d->n_features; i++) assert_int_equal(mynah_feature_check(&d->features[i]), MYNAH_OK);
  assert_int_equal(mynah_feature_bytes(&d->features[0]), 160 * 120 * 3);
  assert_true(d->features[0].is_mirrorable);
  float state_of[2] = {5, 0.25f}, action[2] = {0.5f, 1};
  mynah_feature_apply_mirror(&d->features[1], state_of); /* yaw rate, not speed */
  mynah_feature_apply_mirror(&d->features[2], action);   /* steering, not throttle */
  assert_true(state_of[0] == 5 && state_of[1] == -0.25f && action[0] == -0.5f && action[1] == 1);
  assert_true(d->rate_hz == 20);
  d->type->close(d);
  d = open_track("cameras=3");
  assert_int_equal(d->n_observations, 4);
  assert_string_equal(d->features[1].name, "observation.images.left");
  assert_string_equal(d->features[2].name, "observation.images.right");
  mynah_value v[16];
  d->type->observe(d, v);
  assert_int_equal(v[2].bytes, 160 * 120 * 3);
  assert_memory_not_equal(v[0].data, v[1].data, v[0].bytes);
  assert_memory_not_equal(v[1].data, v[2].data, v[0].bytes);
  d->type->close(d);
}

static void metrics_are_the_contract(void **state) {
  (void)state;
  mynah_device *d = open_track(NULL);
  assert_int_equal(metric(d, "autonomy").kind, MYNAH_METRIC_MEAN);
  assert_int_equal(metric(d, "finished").kind, MYNAH_METRIC_RATE);
  assert_int_equal(metric(d, "offset_m").kind, MYNAH_METRIC_SPREAD);
  assert_int_equal(metric(d, "departures_per_km").kind, MYNAH_METRIC_RATIO);
  assert_int_equal(metric(d, "interventions").kind, MYNAH_METRIC_MEAN);
  static const char *const drawn[] = {"x_m", "y_m", "offset_m", "s_m", "steering", "throttle", "intervention"};
  for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) column(d, drawn[i]);
  int n = 0;
  while (d->type->trace_names[n]) n++;
  assert_true(n <= MYNAH_TRACE_MAX);
  d->type->close(d);
}

/* The expert's lap with a disturbance that depends on the step, hashed: every picture, state and trace row. */
static void drive_hash(mynah_device *d, uint64_t seed, int n_steps, char hex[65]) {
  mynah_sha256 h;
  mynah_value v[16];
  double row[MYNAH_TRACE_MAX] = {0};
  float a[2];
  mynah_sha256_init(&h);
  assert_int_equal(d->type->reset(d, seed), MYNAH_OK);
  for (int i = 0; i < n_steps && !d->is_done; i++) {
    d->type->observe(d, v);
    for (int k = 0; k < d->n_observations; k++) mynah_sha256_update(&h, v[k].data, v[k].bytes);
    d->type->trace(d, row);
    mynah_sha256_update(&h, row, sizeof row);
    d->type->expert(d, a);
    a[0] += (float)(i % 40 < 20 ? 0.1 : -0.1);
    d->type->act(d, a);
  }
  mynah_sha256_final(&h, hex);
}

static void same_seed_same_episode(void **state) {
  (void)state;
  mynah_device *a = open_track("gust=0.05"), *b = open_track("gust=0.05");
  char one[65], two[65], other[65];
  drive_hash(a, 7, 200, one);
  drive_hash(b, 8, 30, other);
  drive_hash(b, 7, 200, two);
  assert_string_equal(one, two);
  drive_hash(b, 8, 200, other);
  assert_string_not_equal(one, other);
  a->type->close(a);
  b->type->close(b);
}

static void expert_finishes(void **state) {
  (void)state;
  mynah_device *d = open_track(NULL);
  int offset = column(d, "offset_m"), along = column(d, "s_m");
  double total = 0, worst = 0;
  int64_t n = 0;
  for (uint64_t seed = 0; seed < LAPS; seed++) {
    assert_int_equal(d->type->reset(d, seed < LAPS / 2 ? seed : 100000 + seed), MYNAH_OK);
    double row[MYNAH_TRACE_MAX], before = 0;
    while (!d->is_done) {
      float a[2];
      d->type->expert(d, a);
      assert_true(fabsf(a[0]) < 1 && fabsf(a[1]) <= 1); /* steering never at its stop */
      d->type->act(d, a);
      d->type->trace(d, row);
      assert_true(row[along] > before);
      before = row[along];
      total += fabs(row[offset]);
      worst = fmax(worst, fabs(row[offset]));
      n++;
    }
    mynah_track_outline outline;
    mynah_track_outline_get(d, &outline);
    assert_true(row[along] >= outline.length_m && row[along] < outline.length_m + 1);
    assert_true(metric(d, "finished").value == 1);
    assert_true(metric(d, "autonomy").value == 1);
    assert_true(metric(d, "interventions").value == 0);
    double seconds = (double)d->step / d->rate_hz;
    if (seconds < 30 || seconds > 65) fail_msg("seed %d: a lap of %.0f s", (int)seed, seconds);
  }
  if (total / (double)n > 0.15 || worst > 0.8) fail_msg("offset: mean %.3f, worst %.3f m", total / (double)n, worst);
  d->type->close(d);
}

static void steering_off_is_counted(void **state) {
  (void)state;
  mynah_device *d = open_track("limit=30");
  assert_int_equal(d->type->reset(d, 3), MYNAH_OK);
  int intervention = column(d, "intervention"), offset = column(d, "offset_m"), width = column(d, "half_width_m");
  int marked = 0;
  while (!d->is_done) {
    double row[MYNAH_TRACE_MAX];
    d->type->act(d, (float[2]){1, 0.3f}); /* full right */
    d->type->trace(d, row);
    if (row[intervention] < 0.5) continue;
    marked++;
    assert_true(row[offset] < -row[width] / 2); /* left the road on the right */
    float a[2];
    d->type->expert(d, a); /* back on the centre line, the expert has little to do */
    assert_true(fabsf(a[0]) < 0.6f);
  }
  assert_true(marked >= 3);
  assert_int_equal(d->step, 600);
  assert_true(metric(d, "interventions").value == marked);
  mynah_metric departures = metric(d, "departures_per_km");
  assert_true(departures.value == marked && departures.weight > 0 && departures.weight < 0.5);
  mynah_test_close_double("autonomy", &(double){metric(d, "autonomy").value}, &(double){fmax(0, 1 - 6.0 * marked / 30)},
                          1, 1e-12, 1e-12);
  assert_true(metric(d, "finished").value == 0);
  d->type->close(d);
}

static void standing_still_is_no_autonomy(void **state) {
  (void)state;
  mynah_device *d = open_track("limit=60");
  assert_int_equal(d->type->reset(d, 5), MYNAH_OK);
  while (!d->is_done) {
    float a[2];
    d->type->expert(d, a);
    a[1] = -1;
    d->type->act(d, a);
  }
  assert_true(metric(d, "interventions").value >= 3);
  assert_true(metric(d, "departures_per_km").value == 0);
  assert_true(metric(d, "autonomy").value < 0.8);
  assert_true(metric(d, "finished").value == 0);
  d->type->close(d);
}

static void what_is_no_number_does_no_harm(void **state) {
  (void)state;
  mynah_device *d = open_track(NULL);
  double row[MYNAH_TRACE_MAX];
  for (int i = 0; i < 50; i++) {
    d->type->act(d, (float[2]){i % 2 ? NAN : INFINITY, i % 3 ? -INFINITY : NAN});
    d->type->trace(d, row);
    for (int k = 0; d->type->trace_names[k]; k++) assert_true(isfinite(row[k]));
  }
  d->type->close(d);
}

static void roads_are_sound(void **state) {
  (void)state;
  mynah_device *d = open_track(NULL);
  mynah_track_outline o;
  double turned_left = 0, first[2] = {0};
  for (uint64_t seed = 0; seed < 60; seed++) {
    uint64_t used = seed < 30 ? seed : 100000 + seed - 30;
    assert_int_equal(d->type->reset(d, used), MYNAH_OK);
    mynah_track_outline_get(d, &o);
    assert_true(o.length_m >= 420 * 0.85 && o.length_m <= 420 * 1.15);
    double area = 0, length = 0;
    for (int i = 0; i < o.n; i++) {
      const double *p = o.center + 2 * i, *q = o.center + 2 * ((i + 1) % o.n);
      length += hypot(q[0] - p[0], q[1] - p[1]);
      area += (p[0] * q[1] - p[1] * q[0]) / 2;
      /* Parts that are not neighbours keep apart: nothing crosses. */
      for (int j = i + 100; j < o.n && j < i + o.n - 100; j += 7)
        if (hypot(o.center[2 * j] - p[0], o.center[2 * j + 1] - p[1]) < 9)
          fail_msg("seed %d: the road comes too near to itself", (int)used);
      double half = hypot(o.left[2 * i] - p[0], o.left[2 * i + 1] - p[1]);
      assert_true(half > 2 && half < 3);
    }
    mynah_test_close_double("length", &length, &o.length_m, 1, 1e-3, 0);
    turned_left += area > 0;
    assert_true(o.center[0] != first[0] || o.center[1] != first[1]); /* no two alike */
    first[0] = o.center[0], first[1] = o.center[1];
  }
  assert_true(turned_left > 15 && turned_left < 45);
  d->type->close(d);
}

/* No recorded road comes again among those of the evaluation. */
static void seeds_are_roads(void **state) {
  (void)state;
  enum { N = 40 };
  mynah_device *d = open_track(NULL);
  double shape[2 * N][3];
  for (int i = 0; i < 2 * N; i++) {
    mynah_track_outline o;
    assert_int_equal(d->type->reset(d, (uint64_t)(i < N ? i : 100000 + i - N)), MYNAH_OK);
    mynah_track_outline_get(d, &o);
    int third = 2 * (o.n / 3);
    shape[i][0] = o.length_m, shape[i][1] = o.center[third], shape[i][2] = o.center[third + 1];
    for (int j = 0; j < i; j++)
      assert_true(fabs(shape[i][0] - shape[j][0]) + fabs(shape[i][1] - shape[j][1]) + fabs(shape[i][2] - shape[j][2]) >
                  0.01);
  }
  d->type->close(d);
}

static void stepping_allocates_nothing(void **state) {
  (void)state;
  mynah_device *d = open_track("cameras=3");
  assert_int_equal(d->type->reset(d, 2), MYNAH_OK);
  mynah_alloc_trap(true);
  for (int i = 0; i < 60; i++) {
    mynah_value v[16];
    double row[MYNAH_TRACE_MAX];
    mynah_metric m[MYNAH_METRICS_MAX];
    float a[2];
    d->type->observe(d, v);
    d->type->expert(d, a);
    d->type->act(d, i % 2 ? a : (float[2]){1, 1});
    d->type->trace(d, row);
    d->type->metrics(d, m);
  }
  assert_int_equal(mynah_alloc_trap(false), 0);
  d->type->close(d);
}

static mynah_status open_and_reset(void *context) {
  (void)context;
  mynah_device *d;
  MYNAH_TRY(mynah_sim_open("track", (const char *const[]){"road.length=250"}, 1, &d));
  mynah_status status = d->type->reset(d, 9);
  d->type->close(d);
  return status;
}

static void survives_lack_of_memory(void **state) {
  (void)state;
  assert_true(mynah_test_torture(open_and_reset, NULL) > 3);
}

static void bad_settings_are_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"cameras=2", "cameras=",       "road.width=1", "road.width=nan",
                                    "limit=0",   "camera.fov=180", "rode.width=6", "speed",
                                    "=3",        "laps=1.5"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    mynah_device *d = NULL;
    if (mynah_sim_open("track", &bad[i], 1, &d) != MYNAH_INVALID) fail_msg("'%s' was taken", bad[i]);
    assert_null(d);
    assert_true(mynah_error()[0] != 0);
  }
  mynah_track_config c;
  mynah_config_default(&mynah_track_table, &c);
  c.road_radius_m = NAN;
  mynah_device *d = NULL;
  assert_int_equal(mynah_sim_track.open(&c, &d), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "road.radius"));
  assert_null(d);
}

static void settings_reach_the_road(void **state) {
  (void)state;
  static const char *const extremes[][3] = {{"road.length=200", "road.radius=25", "road.winding=1"},
                                            {"road.length=2000", "road.radius=10", "road.width=12"},
                                            {"road.winding=0", "variety=0", "road.width=4"}};
  for (int i = 0; i < 3; i++) {
    mynah_device *d = NULL;
    assert_int_equal(mynah_sim_open("track", extremes[i], 3, &d), MYNAH_OK);
    for (uint64_t seed = 0; seed < 4; seed++) {
      assert_int_equal(d->type->reset(d, seed), MYNAH_OK);
      for (int k = 0; k < 300 && !d->is_done; k++) {
        float a[2];
        d->type->expert(d, a);
        d->type->act(d, a);
      }
      assert_true(metric(d, "interventions").value == 0);
    }
    d->type->close(d);
  }
}

static void side_correction_points_back(void **state) {
  (void)state;
  double left = mynah_track_side_correction(0.8, 8), right = mynah_track_side_correction(-0.8, 8);
  assert_true(left > 0.05 && left < 0.6); /* from the left, steer right */
  assert_true(left == -right);
  assert_true(mynah_track_side_correction(0.8, 5) > left); /* slower cars aim nearer */
  assert_true(mynah_track_side_correction(0, 8) == 0);
  /* It is what the expert does differently when the car really is that far to the left. */
  mynah_device *middle = open_track(NULL), *beside = open_track("start.offset=1");
  for (uint64_t seed = 0; seed < 20; seed++) {
    double row[MYNAH_TRACE_MAX];
    float straight[2], back[2];
    assert_int_equal(middle->type->reset(middle, seed), MYNAH_OK);
    assert_int_equal(beside->type->reset(beside, seed), MYNAH_OK);
    middle->type->expert(middle, straight);
    beside->type->expert(beside, back);
    beside->type->trace(beside, row);
    double offset = row[column(beside, "offset_m")], speed = row[column(beside, "speed_m_s")];
    double want = mynah_track_side_correction(offset, speed), got = (double)(back[0] - straight[0]);
    mynah_test_close_double("correction", &got, &want, 1, 0.15, 0.02);
  }
  middle->type->close(middle);
  beside->type->close(beside);
}

static void table_of_simulators(void **state) {
  (void)state;
  const mynah_device_type *type = NULL;
  assert_int_equal(mynah_sim_find("track", &type), MYNAH_OK);
  assert_ptr_equal(type, &mynah_sim_track);
  assert_int_equal(mynah_sim_find("trak", &type), MYNAH_NOT_FOUND);
  assert_non_null(strstr(mynah_error(), "track"));
  assert_int_equal(mynah_sim_find("a name like no other", &type), MYNAH_NOT_FOUND);
  assert_ptr_equal(mynah_sim_types()[0], &mynah_sim_track);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(features),
                                     cmocka_unit_test(metrics_are_the_contract),
                                     cmocka_unit_test(same_seed_same_episode),
                                     cmocka_unit_test(expert_finishes),
                                     cmocka_unit_test(steering_off_is_counted),
                                     cmocka_unit_test(standing_still_is_no_autonomy),
                                     cmocka_unit_test(what_is_no_number_does_no_harm),
                                     cmocka_unit_test(roads_are_sound),
                                     cmocka_unit_test(seeds_are_roads),
                                     cmocka_unit_test(stepping_allocates_nothing),
                                     cmocka_unit_test(survives_lack_of_memory),
                                     cmocka_unit_test(bad_settings_are_refused),
                                     cmocka_unit_test(settings_reach_the_road),
                                     cmocka_unit_test(side_correction_points_back),
                                     cmocka_unit_test(table_of_simulators)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
