/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The following simulator as a device: episodes, what is seen (a picture, and the target's place by truth, boxes or detector),
 * metrics. */
#include "follow_internal.h"

#include <math.h>
#include <string.h>

#define NEAR_M 0.8
#define FAR_M 2.6
#define AHEAD_RAD 0.4363 /* 25 degrees */
#define LOST_S 1.0
#define BOXES_MAX 300
#define STATE_MAX 160
#define LABELS 16 /* things at most, and a few */

#define FOLLOW_KEY(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_follow_config, type, field, name, value, low, high, unit, help)
static const mynah_key follow_keys[] = {MYNAH_FOLLOW_KEYS(FOLLOW_KEY)};
const mynah_config_table mynah_follow_table = {"follow simulator", follow_keys, sizeof follow_keys / sizeof *follow_keys,
                                               sizeof(mynah_follow_config)};

enum { STATE_TRUTH, STATE_BOXES, STATE_DETECTOR, STATE_NONE };

static const char *const class_names[MYNAH_FOLLOW_CLASSES + 1] = {"ball", "cone", "car", "person", NULL};
const char *mynah_follow_class(int label) { return label >= 0 && label < MYNAH_FOLLOW_CLASSES ? class_names[label] : "?"; }

typedef struct follow {
  mynah_device base; /* must be first */
  mynah_follow_config config;
  follow_world world;
  follow_canvas canvas;
  mynah_detector *detector;
  mynah_eye *eye;
  mynah_tracker *tracker;
  mynah_slots *slots;
  mynah_feature mark; /* its unit: that of the detector's state */
  mynah_str eyes;     /* base.eyes */
  float motion[2], state[STATE_MAX], labels[LABELS][5], action[2];
  int64_t n_state;
  bool is_drawn;    /* the picture shows the present step */
  int64_t n_followed;
  int n_lost;
  double unseen_s;
} follow;

static const follow *follow_of(const mynah_device *d) { return (const follow *)d; }

/* ---- opening and closing ------------------------------------------------------------------------------------------------ */

static mynah_feature camera_of(const follow *f) {
  mynah_feature camera = mynah_feature_image("observation.images.front", f->canvas.height, f->canvas.width);
  camera.is_mirrorable = true;
  return camera;
}

static void declare_features(follow *f) {
  mynah_feature *at = f->base.features;
  *at++ = camera_of(f);
  *at = mynah_feature_vector("observation.state", 2, "speed_m_s,turn_rad_s", "");
  mynah_feature_mirror(at++, (int[]){1, -2}, NULL);
  if (f->config.state == STATE_TRUTH) {
    *at = mynah_feature_vector("observation.environment_state", 4, "target.x_m,target.y_m,target.vx_m_s,target.vy_m_s", "");
    mynah_feature_mirror(at++, (int[]){1, -2, 3, -4}, NULL);
  } else if (f->config.state != STATE_NONE) {
    *at = mynah_slots_feature(f->slots);
    memcpy(at++->unit, f->mark.unit, sizeof f->mark.unit); /* of a detector */
  }
  if (f->config.state != STATE_NONE) f->n_state = mynah_feature_size(at - 1);
  if (f->config.has_labels) *at++ = mynah_feature_boxes("observation.images.front", LABELS);
  *at = mynah_feature_vector("action", 2, "speed,turn", "");
  mynah_feature_mirror(at++, (int[]){1, -2}, NULL);
  f->base.n_features = (int)(at - f->base.features);
  f->base.n_observations = f->base.n_features - 1;
}

static void follow_close(mynah_device *device) {
  follow *f = (follow *)device;
  if (!f) return;
  mynah_slots_destroy(f->slots);
  mynah_tracker_destroy(f->tracker);
  mynah_eye_destroy(f->eye);
  mynah_detector_destroy(f->detector);
  mynah_str_deinit(&f->eyes);
  mynah_free(f->canvas.rgb);
  mynah_free(f->canvas.depth);
  mynah_free(f->canvas.thing);
  mynah_free(f);
}

static mynah_status open_detector(follow *f, mynah_detect_config *c) {
  if (!f->config.detector[0]) return mynah_fail(MYNAH_INVALID, "sim=follow: state=detector needs detector=FILE");
  mynah_config_default(&mynah_detect_table, c);
  c->confidence = 0.1; /* the tracker's lower bound */
  c->size = f->canvas.width;
  MYNAH_TRY(mynah_detector_load(f->config.detector, &f->detector));
  return mynah_eye_create(f->detector, c, &f->eye);
}

/* The mark of the detector's state, and the words that go with it. */
static mynah_status describe_eyes(follow *f, const mynah_sight_config *sight) {
  mynah_json *j;
  mynah_feature camera = camera_of(f), seen = mynah_slots_feature(f->slots);
  MYNAH_TRY(mynah_sight_mark(f->detector, sight, &f->mark));
  MYNAH_TRY(mynah_sight_describe(f->detector, sight, &camera, &seen, &j));
  mynah_status status = mynah_json_dump(j, 0, &f->eyes);
  mynah_json_destroy(j);
  f->base.eyes = mynah_str_text(&f->eyes);
  return status;
}

/* Tracker and slots, of the detector's classes or the simulator's own. */
static mynah_status open_eyes(follow *f) {
  mynah_slots_config c;
  mynah_config_default(&mynah_slots_table, &c);
  c.has_motion = true;
  if (!f->config.slots[0] && f->config.target == MYNAH_FOLLOW_CLASSES)
    return mynah_fail(MYNAH_INVALID, "sim=follow: target=any has no slots of its own: slots= says which");
  if (f->config.slots[0]) memcpy(c.slots, f->config.slots, sizeof c.slots);
  else MYNAH_TRY(mynah_copy_text(c.slots, sizeof c.slots, class_names[f->config.target]));
  MYNAH_TRY(mynah_tracker_create(NULL, &f->tracker));
  if (f->config.state == STATE_BOXES) return mynah_slots_create_named(&c, class_names, MYNAH_FOLLOW_CLASSES, &f->slots);
  mynah_sight_config sight = {.slots = c};
  mynah_config_default(&mynah_tracker_table, &sight.tracker);
  MYNAH_TRY(open_detector(f, &sight.detect));
  MYNAH_TRY(mynah_slots_create(&c, f->detector, &f->slots));
  return describe_eyes(f, &sight);
}

static mynah_status follow_reset(mynah_device *device, uint64_t seed);

static mynah_status prepare(follow *f) {
  static const float still[2] = {0, 0};
  size_t n = (size_t)f->config.width * (size_t)(f->config.width * 3 / 4);
  f->canvas.width = (int)f->config.width;
  f->canvas.height = (int)(f->config.width * 3 / 4);
  f->canvas.rgb = mynah_calloc(n, 3);
  f->canvas.depth = mynah_calloc(n, sizeof *f->canvas.depth);
  f->canvas.thing = mynah_calloc(n, sizeof *f->canvas.thing);
  if (!f->canvas.rgb || !f->canvas.depth || !f->canvas.thing) return MYNAH_NO_MEMORY;
  if (f->config.state == STATE_BOXES || f->config.state == STATE_DETECTOR) MYNAH_TRY(open_eyes(f));
  declare_features(f);
  if (f->n_state > STATE_MAX) return mynah_fail(MYNAH_LIMIT, "sim=follow: slots of over %d numbers", STATE_MAX);
  f->base.type = &mynah_sim_follow;
  f->base.rate_hz = FOLLOW_RATE_HZ;
  f->base.rest = still;
  f->base.max_steps = (int64_t)ceil(f->config.limit_s * FOLLOW_RATE_HZ);
  return follow_reset(&f->base, 0);
}

static mynah_status follow_open(const void *config, mynah_device **out) {
  follow *f = mynah_calloc(1, sizeof *f);
  if (!f) return MYNAH_NO_MEMORY;
  if (config) f->config = *(const mynah_follow_config *)config;
  else mynah_config_default(&mynah_follow_table, &f->config);
  mynah_status status = prepare(f);
  if (status == MYNAH_OK) *out = &f->base;
  else follow_close(&f->base);
  return status;
}

/* ---- seeing --------------------------------------------------------------------------------------------------------------- */

int mynah_follow_boxes(mynah_device *device, mynah_box *out, int max) {
  follow *f = (follow *)device;
  int n = 0;
  if (!f->is_drawn) mynah__follow_render(&f->world, f->base.step, &f->canvas);
  f->is_drawn = true;
  for (int i = 0; i < f->world.n_things && n < max; i++) {
    const follow_seen *s = &f->canvas.seen[i];
    if (s->n_visible < 12 || 4 * s->n_visible < s->n_own) continue;
    out[n++] = (mynah_box){(float)s->x0, (float)s->y0, (float)s->x1 + 1, (float)s->y1 + 1, 1, f->world.things[i].label, -1};
  }
  return n;
}

static bool is_visible(const follow *f) {
  double x, y;
  mynah__follow_target(&f->world, &x, &y);
  return x > 0 && fabs(atan2(y, x)) < FOLLOW_FOV_RAD / 2;
}

static void look(follow *f) {
  mynah_box own[BOXES_MAX];
  const mynah_box *found;
  int n = mynah_follow_boxes(&f->base, own, BOXES_MAX), n_tracks;
  int64_t time_ns = f->base.step * (INT64_C(1000000000) / FOLLOW_RATE_HZ);
  if (f->eye) {
    mynah_image picture = {f->canvas.rgb, f->canvas.width, f->canvas.height};
    n = 0;
    if (mynah_eye_look(f->eye, &picture, &found, &n) == MYNAH_OK) {
      if (n > BOXES_MAX) n = BOXES_MAX;
      memcpy(own, found, (size_t)n * sizeof *own);
    }
  }
  mynah_tracker_update(f->tracker, time_ns, own, n);
  const mynah_tracked *tracks = mynah_tracker_all(f->tracker, &n_tracks);
  mynah_slots_update(f->slots, tracks, n_tracks, time_ns, f->canvas.width, f->canvas.height, f->state);
}

/* Place and velocity of the target in the robot's frame. */
static void tell_truth(follow *f) {
  const follow_thing *t = &f->world.things[0];
  double x, y, away = t->heading_rad - f->world.robot.heading_rad;
  mynah__follow_target(&f->world, &x, &y);
  const float truth[4] = {(float)x, (float)y, (float)(t->speed_m_s * cos(away)), (float)(t->speed_m_s * sin(away))};
  memcpy(f->state, truth, sizeof truth);
}

/* The exact boxes as shares of the picture. */
static void label(follow *f) {
  mynah_box boxes[LABELS];
  int n = mynah_follow_boxes(&f->base, boxes, LABELS);
  float w = (float)f->canvas.width, h = (float)f->canvas.height;
  for (int i = 0; i < LABELS; i++) {
    const mynah_box *b = &boxes[i];
    const float row[5] = {(float)b->label, (b->x1 + b->x2) / 2 / w, (b->y1 + b->y2) / 2 / h, (b->x2 - b->x1) / w, (b->y2 - b->y1) / h};
    const float none[5] = {-1};
    memcpy(f->labels[i], i < n ? row : none, sizeof row);
  }
}

static void follow_observe(mynah_device *device, mynah_value *values) {
  follow *f = (follow *)device;
  int64_t time_ns = f->base.step * (INT64_C(1000000000) / FOLLOW_RATE_HZ);
  if (!f->is_drawn) {
    if (f->slots) look(f);
    else mynah__follow_render(&f->world, f->base.step, &f->canvas);
  }
  f->is_drawn = true;
  if (f->config.state == STATE_TRUTH) tell_truth(f);
  f->motion[0] = (float)f->world.robot.speed_m_s;
  f->motion[1] = (float)f->world.robot.turn_rad_s;
  values[0] = (mynah_value){f->canvas.rgb, (size_t)(f->canvas.width * f->canvas.height * 3), time_ns};
  values[1] = (mynah_value){f->motion, sizeof f->motion, time_ns};
  if (f->n_state) values[2] = (mynah_value){f->state, (size_t)f->n_state * sizeof *f->state, time_ns};
  if (!f->config.has_labels) return;
  label(f);
  values[f->n_state ? 3 : 2] = (mynah_value){f->labels, sizeof f->labels, time_ns};
}

/* ---- episodes --------------------------------------------------------------------------------------------------------------- */

static mynah_status follow_reset(mynah_device *device, uint64_t seed) {
  follow *f = (follow *)device;
  mynah__follow_world_make(&f->world, &f->config, seed);
  if (f->tracker) mynah_tracker_reset(f->tracker);
  if (f->slots) mynah_slots_reset(f->slots);
  memset(f->state, 0, sizeof f->state);
  f->is_drawn = f->base.is_done = false;
  f->base.step = f->n_followed = 0;
  f->n_lost = 0;
  f->unseen_s = 0;
  f->action[0] = f->action[1] = 0;
  return MYNAH_OK;
}

/* A number outside [-1,1] is taken as the nearer end, one that is no number as 0. */
static float limit(float v) { return isnan(v) ? 0 : fmaxf(-1, fminf(1, v)); }

static void follow_act(mynah_device *device, const float *action) {
  follow *f = (follow *)device;
  double x, y, before = f->unseen_s;
  if (f->base.is_done) return;
  for (int i = 0; i < 2; i++) f->action[i] = limit(action[i]);
  mynah__follow_world_move(&f->world, f->action);
  f->is_drawn = false;
  mynah__follow_target(&f->world, &x, &y);
  double away = hypot(x, y);
  f->n_followed += away >= NEAR_M && away <= FAR_M && fabs(atan2(y, x)) <= AHEAD_RAD;
  f->unseen_s = is_visible(f) ? 0 : f->unseen_s + 1.0 / FOLLOW_RATE_HZ;
  f->n_lost += before < LOST_S && f->unseen_s >= LOST_S;
  f->base.step++;
  f->base.is_done = f->base.step >= f->base.max_steps;
}

static void follow_expert(mynah_device *device, float *action) { mynah__follow_expert(&follow_of(device)->world, action); }

static bool follow_is_blind(const mynah_device *device) {
  const follow *f = follow_of(device);
  return f->slots && mynah_slots_is_lost(f->slots);
}

static double distance_m(const follow *f) {
  double x, y;
  mynah__follow_target(&f->world, &x, &y);
  return hypot(x, y);
}

static int follow_metrics(const mynah_device *device, mynah_metric *out) {
  const follow *f = follow_of(device);
  double steps = f->base.step > 0 ? (double)f->base.step : 1;
  const mynah_metric metrics[] = {
      {"followed", MYNAH_METRIC_MEAN, (double)f->n_followed / steps, 1},
      {"lost_per_minute", MYNAH_METRIC_RATIO, f->n_lost, steps / FOLLOW_RATE_HZ / 60},
      {"distance_m", MYNAH_METRIC_SPREAD, distance_m(f) - FOLLOW_KEEP_M, 1},
  };
  memcpy(out, metrics, sizeof metrics);
  return (int)(sizeof metrics / sizeof *metrics);
}

static const char *const trace_names[] = {"x_m", "y_m", "heading_rad", "target_x_m", "target_y_m", "distance_m", "bearing_rad", "speed", "turn", NULL};

static void follow_trace(const mynah_device *device, double *row) {
  const follow *f = follow_of(device);
  const follow_robot *r = &f->world.robot;
  double x, y;
  mynah__follow_target(&f->world, &x, &y);
  const double values[] = {r->x_m, r->y_m, r->heading_rad, f->world.things[0].x_m, f->world.things[0].y_m, hypot(x, y) - FOLLOW_KEEP_M, atan2(y, x),
                           (double)f->action[0], (double)f->action[1]};
  memcpy(row, values, sizeof values);
}

const mynah_device_type mynah_sim_follow = {
    .name = "follow",
    .summary = "a robot with a camera follows a moving thing among others",
    .config = &mynah_follow_table,
    .open = follow_open,
    .close = follow_close,
    .reset = follow_reset,
    .observe = follow_observe,
    .act = follow_act,
    .expert = follow_expert,
    .metrics = follow_metrics,
    .trace_names = trace_names,
    .is_blind = follow_is_blind,
    .classes = class_names,
    .trace = follow_trace,
};
