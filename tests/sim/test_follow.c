/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The following simulator: the same seed gives the same episode, the expert follows, boxes are exact, what boxes and slots say
 * agrees with the truth. */
#include <mynah/sim.h>

#include "support/torture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static mynah_device *open(const char *const *settings, int n) {
  mynah_device *d;
  if (mynah_sim_open("follow", settings, n, &d) != MYNAH_OK) fail_msg("%s", mynah_error());
  return d;
}

static double metric(const mynah_device *d, const char *name) {
  mynah_metric m[MYNAH_METRICS_MAX];
  int n = d->type->metrics(d, m);
  for (int i = 0; i < n; i++)
    if (strcmp(m[i].name, name) == 0) return m[i].value;
  fail_msg("no metric %s", name);
  return 0;
}

static void reset(mynah_device *d, uint64_t seed) { assert_int_equal(d->type->reset(d, seed), MYNAH_OK); }

/* Drives by the expert and sums up what is seen. */
static uint32_t drive(mynah_device *d, uint64_t seed, int steps) {
  mynah_value v[16];
  float action[2];
  uint32_t crc = 0;
  reset(d, seed);
  for (int i = 0; i < steps && !d->is_done; i++) {
    d->type->observe(d, v);
    for (int k = 0; k < d->n_observations; k++) crc = mynah_crc32c(crc, v[k].data, v[k].bytes);
    d->type->expert(d, action);
    d->type->act(d, action);
  }
  return crc;
}

static void test_same_seed(void **state) {
  static const char *const settings[] = {"state=boxes"};
  mynah_device *a = open(settings, 1), *b = open(settings, 1);
  uint32_t first = drive(a, 7, 40);
  drive(b, 8, 25);
  assert_int_equal(first, drive(b, 7, 40));
  assert_int_not_equal(first, drive(b, 8, 40));
  a->type->close(a);
  b->type->close(b);
}

static void test_expert(void **state) {
  static const char *const targets[] = {"target=ball", "target=cone", "target=car", "target=person"};
  for (int i = 0; i < 4; i++) {
    const char *settings[] = {targets[i], "width=64"};
    mynah_device *d = open(settings, 2);
    double followed = 0;
    for (uint64_t seed = 0; seed < 5; seed++) {
      drive(d, seed, 100000);
      assert_true(d->is_done && d->step == 600);
      followed += metric(d, "followed") / 5;
      assert_true(metric(d, "lost_per_minute") <= 0);
    }
    if (!(followed > 0.95)) fail_msg("%s: followed %g", targets[i], followed);
    d->type->close(d);
  }
}

/* Standing still, the target is lost sooner or later. */
static void test_idle(void **state) {
  mynah_device *d = open(NULL, 0);
  double followed = 0;
  for (uint64_t seed = 0; seed < 8; seed++) {
    reset(d, seed);
    while (!d->is_done) d->type->act(d, (float[]){0, NAN});
    followed += metric(d, "followed") / 8;
  }
  assert_true(followed < 0.5);
  d->type->close(d);
}

/* The middle of the target's box is where a pinhole at this place sees it, and its slot says so. */
static void test_boxes(void **state) {
  static const char *const settings[] = {"state=boxes", "width=320", "others=0", "variety=0.5"};
  mynah_device *d = open(settings, 4);
  mynah_value v[16];
  for (uint64_t seed = 0; seed < 20; seed++) {
    mynah_box box;
    double row[MYNAH_TRACE_MAX];
    reset(d, seed);
    d->type->observe(d, v);
    assert_int_equal(mynah_follow_boxes(d, &box, 1), 1);
    assert_true(box.label == 0 && box.x2 > box.x1 && box.y2 > box.y1 && box.x2 <= 320 && box.y2 <= 240);
    d->type->trace(d, row);
    double column = 160 - tan(row[6]) * 160 / tan(0.7), size = (double)(box.x2 - box.x1);
    if (box.x1 > 0 && box.x2 < 320 && fabs((double)(box.x1 + box.x2) / 2 - column) > 2 + 0.08 * size)
      fail_msg("seed %d: at %g, not %g", (int)seed, (double)(box.x1 + box.x2) / 2, column);
    const float *slot = v[2].data; /* valid, cx, cy, w, h … */
    assert_true(slot[0] > 0 && fabsf(slot[1] - (box.x1 + box.x2) / 640) < 1e-5f && fabsf(slot[4] - (box.y2 - box.y1) / 240) < 1e-5f);
  }
  d->type->close(d);
}

/* Turned away from its target, a robot with a required slot is blind until it begins anew; one without never is. */
static void test_blind(void **state) {
  static const char *const required[] = {"state=boxes", "slots=ball!", "width=64", "others=0"}, *const plain[] = {"state=boxes", "width=64", "others=0"};
  mynah_device *ds[2] = {open(required, 4), open(plain, 3)};
  mynah_value v[16];
  for (int k = 0; k < 2; k++) {
    int n_blind = 0;
    reset(ds[k], 3);
    ds[k]->type->observe(ds[k], v);
    assert_false(ds[k]->type->is_blind(ds[k]));
    for (int i = 0; i < 60; i++) {
      ds[k]->type->act(ds[k], (float[]){0, 1});
      ds[k]->type->observe(ds[k], v);
      n_blind += ds[k]->type->is_blind(ds[k]);
    }
    assert_true(k ? n_blind == 0 : n_blind > 0);
    reset(ds[k], 3);
    assert_false(ds[k]->type->is_blind(ds[k]));
    ds[k]->type->close(ds[k]);
  }
}

static void test_features(void **state) {
  static const char *const settings[] = {"state=none"};
  mynah_device *d = open(settings, 1);
  assert_int_equal(d->n_observations, 2);
  d->type->close(d);
  d = open(NULL, 0);
  assert_int_equal(d->n_observations, 3);
  for (int i = 0; i < d->n_features; i++) assert_int_equal(mynah_feature_check(&d->features[i]), MYNAH_OK);
  d->type->close(d);
  static const char *const bad[] = {"state=detector", "state=boxes"};
  assert_int_not_equal(mynah_sim_open("follow", bad, 1, &d), MYNAH_OK);
  static const char *const zebra[] = {"state=boxes", "slots=zebra"};
  assert_int_equal(mynah_sim_open("follow", zebra, 2, &d), MYNAH_NOT_FOUND);
}

static mynah_status work(void *context) {
  static const char *const settings[] = {"state=boxes", "width=64"};
  mynah_device *d;
  mynah_value v[16];
  MYNAH_TRY(mynah_sim_open("follow", settings, 2, &d));
  d->type->observe(d, v);
  d->type->close(d);
  return MYNAH_OK;
}
/* Labels are the exact boxes in shares of the picture; target=any follows something else in another world. */
static void test_labels(void **state) {
  static const char *const settings[] = {"labels=true", "target=any", "state=none", "others=12"};
  mynah_device *d = open(settings, 4);
  unsigned seen = 0;
  assert_int_equal(d->n_observations, 3);
  assert_string_equal(d->features[2].name, "boxes.front");
  assert_string_equal(d->type->classes[3], "person");
  for (uint64_t seed = 0; seed < 24; seed++) {
    mynah_value v[16];
    mynah_box due[32];
    reset(d, seed);
    d->type->observe(d, v);
    int n = mynah_follow_boxes(d, due, 32);
    const float *row = v[2].data;
    assert_int_equal(v[2].bytes, mynah_feature_bytes(&d->features[2]));
    for (int64_t i = 0; i < d->features[2].dims[0]; i++, row += 5) {
      if (i >= n) {
        assert_true(row[0] == -1);
        continue;
      }
      assert_true(row[0] == (float)due[i].label);
      assert_true(fabsf((row[1] - row[3] / 2) * 160 - due[i].x1) < 1e-3f && fabsf((row[2] + row[4] / 2) * 120 - due[i].y2) < 1e-3f);
    }
    if (n) seen |= 1u << due[0].label; /* the target is the first thing */
  }
  assert_int_equal(seen, 15);
  d->type->close(d);
  static const char *const impossible[] = {"target=any", "state=boxes"};
  assert_int_not_equal(mynah_sim_open("follow", impossible, 2, &d), MYNAH_OK);
}

static void test_torture(void **state) { mynah_test_torture(work, NULL); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_seed), cmocka_unit_test(test_expert),   cmocka_unit_test(test_idle),
                                     cmocka_unit_test(test_boxes),     cmocka_unit_test(test_blind), cmocka_unit_test(test_features),
                                     cmocka_unit_test(test_labels),    cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
