/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A device for tests: a point on a line that the expert brings back to zero. */
#include "fake_device.h"

#include <math.h>
#include <string.h>

typedef struct fake {
  mynah_device base;
  double x, effort;
  float state[2];
  uint8_t picture[4 * 6 * 3];
} fake;

static mynah_status fake_open(const void *config, mynah_device **out) {
  (void)config;
  fake *f = mynah_calloc(1, sizeof *f);
  if (!f) return MYNAH_NO_MEMORY;
  f->base.type = &fake_device;
  f->base.features[0] = mynah_feature_vector("observation.state", 2, "x,three", "m");
  mynah_feature_mirror(&f->base.features[0], (int[]){-1, 2}, NULL);
  f->base.features[1] = mynah_feature_image("observation.images.eye", 4, 6);
  f->base.features[1].is_mirrorable = true;
  f->base.features[2] = mynah_feature_vector("action", 1, "u", "m/s");
  mynah_feature_mirror(&f->base.features[2], (int[]){-1}, NULL);
  f->base.n_features = 3;
  f->base.n_observations = 2;
  f->base.rate_hz = 10;
  f->base.max_steps = 50;
  *out = &f->base;
  return MYNAH_OK;
}

static void fake_close(mynah_device *d) { mynah_free(d); }

static mynah_status fake_reset(mynah_device *d, uint64_t seed) {
  fake *f = (fake *)d;
  mynah_rng rng = mynah_rng_make(seed, 3);
  f->x = mynah_rng_range(&rng, -2, 2);
  f->effort = 0;
  d->step = 0;
  d->is_done = false;
  return MYNAH_OK;
}

static void fake_observe(mynah_device *d, mynah_value *values) {
  fake *f = (fake *)d;
  f->state[0] = (float)f->x;
  f->state[1] = 3;
  memset(f->picture, f->x > 0 ? 200 : 40, sizeof f->picture);
  int64_t time_ns = d->step * 100000000;
  values[0] = (mynah_value){f->state, sizeof f->state, time_ns};
  values[1] = (mynah_value){f->picture, sizeof f->picture, time_ns};
}

static void fake_act(mynah_device *d, const float *action) {
  fake *f = (fake *)d;
  f->x += 0.1 * (double)action[0];
  f->effort += fabs((double)action[0]);
  d->step++;
  d->is_done = d->step >= d->max_steps;
}

static void fake_expert(mynah_device *d, float *action) { action[0] = (float)-((fake *)d)->x; }

static int fake_metrics(const mynah_device *d, mynah_metric *out) {
  const fake *f = (const fake *)d;
  out[0] = (mynah_metric){"closeness", MYNAH_METRIC_MEAN, 1 / (1 + fabs(f->x)), 1};
  out[1] = (mynah_metric){"home", MYNAH_METRIC_RATE, fabs(f->x) < 0.1, 1};
  out[2] = (mynah_metric){"x", MYNAH_METRIC_SPREAD, f->x, 1};
  out[3] = (mynah_metric){"pushes_per_step", MYNAH_METRIC_RATIO, f->effort, (double)d->step};
  return 4;
}

static const char *const trace_names[] = {"x", "step", NULL};

static void fake_trace(const mynah_device *d, double *row) {
  row[0] = ((const fake *)d)->x;
  row[1] = (double)d->step;
}

const mynah_device_type fake_device = {.name = "fake",
                                       .summary = "a point on a line",
                                       .open = fake_open,
                                       .close = fake_close,
                                       .reset = fake_reset,
                                       .observe = fake_observe,
                                       .act = fake_act,
                                       .expert = fake_expert,
                                       .metrics = fake_metrics,
                                       .trace_names = trace_names,
                                       .trace = fake_trace};
