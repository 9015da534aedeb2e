/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pendulum-v1: a pendulum that a weak motor has to swing up and hold, with gymnasium's constants and steps. */
#include <mynah/sim.h>

#include <math.h>

#define PI 3.14159265358979323846
#define GRAVITY 10.0
#define MASS_KG 1.0
#define LENGTH_M 1.0
#define STEP_S 0.05
#define SPIN_MAX 8.0
#define TORQUE_MAX 2.0
#define STEPS 200

typedef struct pendulum {
  mynah_device base;
  double angle, spin; /* rad from upright, rad/s */
  double reward;      /* so far */
  float state[3];
} pendulum;

/* To [-pi, pi). */
static double wrap(double a) { return a - 2 * PI * floor((a + PI) / (2 * PI)); }

void mynah_pendulum_reset_to(mynah_device *device, const double *state) {
  pendulum *p = (pendulum *)device;
  p->angle = state[0];
  p->spin = state[1];
  p->reward = 0;
  device->step = 0;
  device->is_done = false;
}

static mynah_status pendulum_reset(mynah_device *device, uint64_t seed) {
  mynah_rng rng = mynah_rng_make(seed, 42);
  double angle = mynah_rng_range(&rng, -PI, PI), spin = mynah_rng_range(&rng, -1, 1);
  mynah_pendulum_reset_to(device, (double[]){angle, spin});
  return MYNAH_OK;
}

static mynah_status pendulum_open(const void *config, mynah_device **out) {
  (void)config;
  pendulum *p = mynah_calloc(1, sizeof *p);
  if (!p) return MYNAH_NO_MEMORY;
  mynah_device *d = &p->base;
  d->type = &mynah_sim_pendulum;
  d->features[0] = mynah_feature_vector("observation.state", 3, "cos,sin,spin_rad_s", "");
  mynah_feature_mirror(&d->features[0], (int[]){1, -2, -3}, NULL);
  d->features[1] = mynah_feature_vector("action", 1, "torque", "N m");
  mynah_feature_mirror(&d->features[1], (int[]){-1}, NULL);
  d->n_features = 2;
  d->n_observations = 1;
  d->rate_hz = 1 / STEP_S;
  d->max_steps = STEPS;
  *out = d;
  return pendulum_reset(d, 0);
}

static void pendulum_close(mynah_device *device) { mynah_free(device); }

static void pendulum_observe(mynah_device *device, mynah_value *values) {
  pendulum *p = (pendulum *)device;
  p->state[0] = (float)cos(p->angle), p->state[1] = (float)sin(p->angle), p->state[2] = (float)p->spin;
  values[0] = (mynah_value){p->state, sizeof p->state, device->step * (int64_t)(STEP_S * 1e9)};
}

static double limited(double torque) { return isnan(torque) ? 0 : fmax(-TORQUE_MAX, fmin(TORQUE_MAX, torque)); }

/* spin' = 3 g / (2 l) sin a + 3 u / (m l^2); the angle moves with the new spin. A step costs a^2 + 0.1 spin^2 +
 * 0.001 u^2, of the state it began with. */
static void pendulum_act(mynah_device *device, const float *action) {
  pendulum *p = (pendulum *)device;
  if (device->is_done) return;
  double torque = limited((double)action[0]), angle = wrap(p->angle);
  p->reward -= angle * angle + 0.1 * p->spin * p->spin + 0.001 * torque * torque;
  double spin = p->spin + STEP_S * (3 * GRAVITY / (2 * LENGTH_M) * sin(p->angle) + 3 * torque / (MASS_KG * LENGTH_M * LENGTH_M));
  p->spin = fmax(-SPIN_MAX, fmin(SPIN_MAX, spin));
  p->angle += STEP_S * p->spin;
  device->step++;
  device->is_done = device->step >= STEPS;
}

/* Energy is pumped up to that of standing upright (Astrom and Furuta 2000), a PD controller catches the pendulum there. */
static void pendulum_expert(mynah_device *device, float *action) {
  const pendulum *p = (const pendulum *)device;
  double angle = wrap(p->angle);
  double missing = GRAVITY * LENGTH_M / 2 * MASS_KG * (1 - cos(angle)) - MASS_KG * LENGTH_M * LENGTH_M / 6 * p->spin * p->spin;
  bool is_near = fabs(angle) < 0.5 && fabs(p->spin) < 3;
  action[0] = (float)limited(is_near ? -12 * angle - 3 * p->spin : (p->spin >= 0 ? 1 : -1) * 4 * missing);
}

static int pendulum_metrics(const mynah_device *device, mynah_metric *out) {
  out[0] = (mynah_metric){"return", MYNAH_METRIC_MEAN, ((const pendulum *)device)->reward, 1};
  return 1;
}

static const char *const trace_names[] = {"angle_rad", "spin_rad_s", "return", NULL};

static void pendulum_trace(const mynah_device *device, double *row) {
  const pendulum *p = (const pendulum *)device;
  row[0] = wrap(p->angle), row[1] = p->spin, row[2] = p->reward;
}

const mynah_device_type mynah_sim_pendulum = {.name = "pendulum",
                                              .summary = "a pendulum swung up by a weak motor (Pendulum-v1)",
                                              .open = pendulum_open,
                                              .close = pendulum_close,
                                              .reset = pendulum_reset,
                                              .observe = pendulum_observe,
                                              .act = pendulum_act,
                                              .expert = pendulum_expert,
                                              .metrics = pendulum_metrics,
                                              .trace_names = trace_names,
                                              .trace = pendulum_trace};
