/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* CartPole-v1: a pole on a cart that is pushed left or right (Barto, Sutton and Anderson 1983; Florian 2005 without
 * friction), with gymnasium's constants, explicit Euler steps and limits. */
#include <mynah/sim.h>

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
#define GRAVITY 9.8
#define CART_KG 1.0
#define POLE_KG 0.1
#define HALF_POLE_M 0.5
#define FORCE_N 10.0
#define STEP_S 0.02
#define ANGLE_MAX (12 * 2 * PI / 360)
#define PLACE_MAX_M 2.4
#define START 0.05
#define STEPS_MAX 500
#define SOLVED 475

typedef struct cartpole {
  mynah_device base;
  double x, v, angle, spin; /* m, m/s, rad, rad/s */
  float state[4];
} cartpole;

static mynah_status cartpole_reset(mynah_device *device, uint64_t seed) {
  mynah_rng rng = mynah_rng_make(seed, 41);
  double start[4];
  for (int i = 0; i < 4; i++) start[i] = mynah_rng_range(&rng, -START, START);
  mynah_cartpole_reset_to(device, start);
  return MYNAH_OK;
}

void mynah_cartpole_reset_to(mynah_device *device, const double *state) {
  cartpole *c = (cartpole *)device;
  c->x = state[0], c->v = state[1], c->angle = state[2], c->spin = state[3];
  device->step = 0;
  device->is_done = false;
}

static mynah_status cartpole_open(const void *config, mynah_device **out) {
  (void)config;
  cartpole *c = mynah_calloc(1, sizeof *c);
  if (!c) return MYNAH_NO_MEMORY;
  mynah_device *d = &c->base;
  d->type = &mynah_sim_cartpole;
  d->features[0] = mynah_feature_vector("observation.state", 4, "x_m,v_m_s,angle_rad,spin_rad_s", "");
  mynah_feature_mirror(&d->features[0], (int[]){-1, -2, -3, -4}, NULL);
  d->features[1] = mynah_feature_vector("action", 1, "right", "");
  d->n_features = 2;
  d->n_observations = 1;
  d->rate_hz = 1 / STEP_S;
  d->max_steps = STEPS_MAX;
  *out = d;
  return cartpole_reset(d, 0);
}

static void cartpole_close(mynah_device *device) { mynah_free(device); }

static void cartpole_observe(mynah_device *device, mynah_value *values) {
  cartpole *c = (cartpole *)device;
  c->state[0] = (float)c->x, c->state[1] = (float)c->v, c->state[2] = (float)c->angle, c->state[3] = (float)c->spin;
  values[0] = (mynah_value){c->state, sizeof c->state, device->step * (int64_t)(STEP_S * 1e9)};
}

/* spin' = (g sin a - cos a (F + m l spin^2 sin a) / M) / (l (4/3 - m cos^2 a / M)),
 * v' = (F + m l (spin^2 sin a - spin' cos a)) / M, M the mass of both; positions move with the old velocities. */
static void cartpole_act(mynah_device *device, const float *action) {
  cartpole *c = (cartpole *)device;
  if (device->is_done) return;
  double force = (double)action[0] > 0.5 ? FORCE_N : -FORCE_N, mass = CART_KG + POLE_KG, moment = POLE_KG * HALF_POLE_M;
  double s = sin(c->angle), k = cos(c->angle), push = (force + moment * c->spin * c->spin * s) / mass;
  double turn = (GRAVITY * s - k * push) / (HALF_POLE_M * (4.0 / 3.0 - POLE_KG * k * k / mass));
  double speed_up = push - moment * turn * k / mass;
  c->x += STEP_S * c->v;
  c->v += STEP_S * speed_up;
  c->angle += STEP_S * c->spin;
  c->spin += STEP_S * turn;
  device->step++;
  bool is_upright = fabs(c->x) <= PLACE_MAX_M && fabs(c->angle) <= ANGLE_MAX;
  device->is_done = !is_upright || device->step >= STEPS_MAX;
}

/* Linear feedback; the gains' signs push the cart under the pole, and the whole slowly back to the middle. */
static void cartpole_expert(mynah_device *device, float *action) {
  const cartpole *c = (const cartpole *)device;
  action[0] = 0.1 * c->x + 0.3 * c->v + 3 * c->angle + c->spin > 0 ? 1 : 0;
}

/* Each step pays 1, the one that fails too. */
static int cartpole_metrics(const mynah_device *device, mynah_metric *out) {
  out[0] = (mynah_metric){"return", MYNAH_METRIC_MEAN, (double)device->step, 1};
  out[1] = (mynah_metric){"solved", MYNAH_METRIC_RATE, device->step >= SOLVED, 1};
  return 2;
}

static const char *const trace_names[] = {"x_m", "v_m_s", "angle_rad", "spin_rad_s", NULL};

static void cartpole_trace(const mynah_device *device, double *row) {
  const cartpole *c = (const cartpole *)device;
  row[0] = c->x, row[1] = c->v, row[2] = c->angle, row[3] = c->spin;
}

const mynah_device_type mynah_sim_cartpole = {.name = "cartpole",
                                              .summary = "a pole kept upright on a pushed cart (CartPole-v1)",
                                              .open = cartpole_open,
                                              .close = cartpole_close,
                                              .reset = cartpole_reset,
                                              .observe = cartpole_observe,
                                              .act = cartpole_act,
                                              .expert = cartpole_expert,
                                              .metrics = cartpole_metrics,
                                              .trace_names = trace_names,
                                              .trace = cartpole_trace};
