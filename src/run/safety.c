/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Limits on what reaches a motor: each joint is a mass that follows its target with bounded velocity, acceleration and jerk
 * and can always come to rest before its end stop. */
#include <mynah/run.h>

#include <math.h>
#include <string.h>

typedef struct joint {
  mynah_limits limits; /* all finite: what does not bind is huge */
  double x, v, a;      /* the last command, u, and its derivatives as of the last step */
} joint;

struct mynah_safety {
  int64_t n;
  double dt;
  bool is_first;
  joint joints[];
};

static const char *const fault_names[MYNAH_FAULTS] = {"nonfinite", "limited",       "far_start", "stale_observation",
                                                      "chunk_used_up", "prediction", "device",  "watchdog", "lost_target"};
const char *mynah_fault_name(int bit) { return bit >= 0 && bit < MYNAH_FAULTS ? fault_names[bit] : "unknown"; }

/* What never binds at any rate and cannot overflow when squared. */
#define UNBOUND 1e15

static double or_unbound(double limit) { return limit > 0 && limit < UNBOUND ? limit : UNBOUND; }

static mynah_status check(const mynah_limits *l, int64_t i) {
  if (isnan(l->low) || isnan(l->high) || !(l->low <= l->high))
    return mynah_fail(MYNAH_INVALID, "limits of element %lld: low %g is over high %g", (long long)i, l->low, l->high);
  if (!(l->velocity >= 0) || !(l->acceleration >= 0) || !(l->jerk >= 0))
    return mynah_fail(MYNAH_INVALID, "limits of element %lld: velocity, acceleration and jerk are at least 0 (0: unlimited)",
                      (long long)i);
  return MYNAH_OK;
}

mynah_status mynah_safety_create(const mynah_limits *limits, int64_t n, double rate_hz, mynah_safety **out) {
  if (n < 1 || n > 4096 || !(rate_hz > 0)) return mynah_fail(MYNAH_INVALID, "limits: %lld elements at %g Hz", (long long)n, rate_hz);
  mynah_safety *s = mynah_calloc(1, sizeof *s + (size_t)n * sizeof(joint));
  if (!s) return MYNAH_NO_MEMORY;
  s->n = n;
  s->dt = 1 / rate_hz;
  s->is_first = true;
  for (int64_t i = 0; i < n; i++) {
    mynah_status status = check(&limits[i], i);
    if (status != MYNAH_OK) {
      mynah_free(s);
      return status;
    }
    mynah_limits *l = &s->joints[i].limits;
    *l = limits[i];
    l->low = fmax(l->low, -UNBOUND);
    l->high = fmin(l->high, UNBOUND);
    l->velocity = or_unbound(l->velocity);
    l->acceleration = or_unbound(l->acceleration);
    l->jerk = or_unbound(l->jerk);
  }
  *out = s;
  return MYNAH_OK;
}

void mynah_safety_destroy(mynah_safety *s) { mynah_free(s); }

void mynah_safety_start(mynah_safety *s, const float *pose) {
  for (int64_t i = 0; i < s->n; i++) {
    joint *j = &s->joints[i];
    double x = isfinite(pose[i]) ? (double)pose[i] : 0;
    *j = (joint){j->limits, fmin(j->limits.high, fmax(j->limits.low, x)), 0, 0};
  }
  s->is_first = true;
}

/* The next acceleration of a joint that brakes as hard as it may: a changes by at most jerk dt. */
static double brake_acceleration(const mynah_limits *l, double v, double a, double dt) {
  /* The acceleration from which, brought back to zero with full jerk, the velocity ends at zero: a^2 / 2 jerk = |v|. */
  double want = -copysign(fmin(l->acceleration, sqrt(2 * l->jerk * fabs(v))), v);
  if (fabs(want) * dt > fabs(v)) want = -v / dt;
  return fmin(a + l->jerk * dt, fmax(a - l->jerk * dt, want));
}

#define BRAKE_STEPS_MAX 4096
#define REST 1e-9 /* u/s */
#define HALVINGS 12

/* Whether after taking acceleration a for one step the joint can stop between low and high, all limits kept. */
static bool can_stop(const joint *j, double a, double dt, const double bounds[2]) {
  const mynah_limits *l = &j->limits;
  double v = j->v + a * dt, x = j->x + v * dt;
  for (int i = 0; i < BRAKE_STEPS_MAX; i++) {
    if (x > bounds[1] || x < bounds[0] || fabs(v) > l->velocity) return false;
    if (fabs(v) <= REST && fabs(a) <= l->jerk * dt) return true;
    a = brake_acceleration(l, v, a, dt);
    if (fabs(a) > l->acceleration) return false;
    v += a * dt;
    x += v * dt;
  }
  return false;
}

/* Moves by one step with acceleration a. */
static void advance(joint *j, double a, double dt) {
  j->a = a;
  j->v += a * dt;
  j->x += j->v * dt;
}

/* The acceleration that brings the joint to the target soonest, of those after which it can still stop at the target or
 * before; braking, if none is left. Braking is what was found possible a step ago, so limits hold by induction. */
static double choose(const joint *j, double target, double dt) {
  const mynah_limits *l = &j->limits;
  double low = fmax(-l->acceleration, j->a - l->jerk * dt), high = fmin(l->acceleration, j->a + l->jerk * dt);
  double safe = fmin(high, fmax(low, brake_acceleration(l, j->v, j->a, dt)));
  double slack = 1e-9 * (1 + fabs(target)), bounds[2] = {l->low, l->high};
  if (j->x <= target) bounds[1] = fmin(l->high, target + slack);
  else bounds[0] = fmax(l->low, target - slack);
  double speed = fmin(l->velocity, fmax(-l->velocity, (target - j->x) / dt));
  double want = fmin(high, fmax(low, (speed - j->v) / dt));
  if (can_stop(j, want, dt, bounds)) return want;
  double good = safe, bad = want;
  for (int i = 0; i < HALVINGS; i++) {
    double middle = 0.5 * (good + bad);
    if (can_stop(j, middle, dt, bounds)) good = middle;
    else bad = middle;
  }
  return good;
}

unsigned mynah_safety_step(mynah_safety *s, const float *target, float *command) {
  unsigned faults = 0;
  for (int64_t i = 0; i < s->n; i++) {
    joint *j = &s->joints[i];
    double want = (double)target[i];
    if (!isfinite(want)) {
      faults |= MYNAH_FAULT_NONFINITE;
      want = j->x;
    }
    double inside = fmin(j->limits.high, fmax(j->limits.low, want));
    if (s->is_first && fabs(inside - j->x) > j->limits.velocity * s->dt) faults |= MYNAH_FAULT_FAR_START;
    advance(j, choose(j, inside, s->dt), s->dt);
    j->x = fmin(j->limits.high, fmax(j->limits.low, j->x));
    command[i] = (float)j->x;
    if (fabs(j->x - want) > 1e-6 * (1 + fabs(want))) faults |= MYNAH_FAULT_LIMITED;
  }
  s->is_first = false;
  return faults;
}

void mynah_safety_brake(mynah_safety *s, float *command) {
  for (int64_t i = 0; i < s->n; i++) {
    joint *j = &s->joints[i];
    advance(j, brake_acceleration(&j->limits, j->v, j->a, s->dt), s->dt);
    j->x = fmin(j->limits.high, fmax(j->limits.low, j->x));
    command[i] = (float)j->x;
  }
}
