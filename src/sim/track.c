/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The driving simulator as a device: episodes, observations, departures, metrics. */
#include "track_internal.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
#define N_CAMERAS_MAX 3
#define DEPARTURE_MARGIN_M 0.3
#define STANDSTILL_M_S 0.5
#define STANDSTILL_S 3.0
#define PENALTY_S 6.0  /* of an intervention, in autonomy */
#define GUST_TAU_S 0.5 /* correlation time */

#define TRACK_KEY(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_track_config, type, field, name, value, low, high, unit, help)
static const mynah_key track_keys[] = {MYNAH_TRACK_KEYS(TRACK_KEY)};
const mynah_config_table mynah_track_table = {"track simulator", track_keys, sizeof track_keys / sizeof *track_keys,
                                              sizeof(mynah_track_config)};

typedef struct track {
  mynah_device base; /* must be first */
  mynah_track_config config;
  track_road road;
  track_look look;
  track_car car;
  track_place place;
  mynah_rng gust_rng;
  double gust_rad_s, yaw_rate_rad_s;
  double progress_m; /* along the road since the start */
  double standstill_s;
  int n_departures, n_interventions;
  float action[2];    /* as executed */
  float state[2];     /* speed, yaw rate */
  bool is_rendered;   /* the pictures show the present step */
  bool is_intervened; /* in the present step; then `left` is where the car was taken from */
  track_car left;
  track_place left_place;
  int n_cameras;
  mynah__track_render_fn render;
  uint8_t noise[TRACK_NOISE_SIDE * TRACK_NOISE_SIDE];
  uint8_t pictures[N_CAMERAS_MAX][TRACK_PIXEL_BYTES]; /* front, left, right */
} track;

static const track *track_of(const mynah_device *d) { return (const track *)d; }

static double wrap_angle(double a) { return a - 2 * PI * floor((a + PI) / (2 * PI)); }

/* ---- opening and closing --------------------------------------------------------------------------------------------
 */

static void declare_features(track *t) {
  static const char *const cameras[N_CAMERAS_MAX] = {"observation.images.front", "observation.images.left",
                                                     "observation.images.right"};
  mynah_feature *f = t->base.features;
  for (int i = 0; i < t->n_cameras; i++) {
    *f = mynah_feature_image(cameras[i], TRACK_HEIGHT_PX, TRACK_WIDTH_PX);
    f++->is_mirrorable = true;
  }
  *f = mynah_feature_vector("observation.state", 2, "speed_m_s,yaw_rate_rad_s", "");
  mynah_feature_mirror(f++, (int[]){1, -2}, NULL);
  *f = mynah_feature_vector("action", 2, "steering,throttle", "");
  mynah_feature_mirror(f++, (int[]){-1, 2}, NULL);
  t->base.n_features = (int)(f - t->base.features);
  t->base.n_observations = t->base.n_features - 1;
}

static void track_close(mynah_device *device) {
  if (!device) return;
  mynah__track_road_deinit(&((track *)device)->road);
  mynah_free(device);
}

/* A config may come from code, not from the parser that knows the ranges. */
static mynah_status check_config(const mynah_track_config *c) {
  for (size_t k = 0; k < mynah_track_table.n_keys; k++) {
    const mynah_key *key = &track_keys[k];
    const char *field = (const char *)c + key->offset;
    double low = key->min, high = key->max, v;
    if (key->type == MYNAH_KEY_FLOAT) v = *(const double *)(const void *)field;
    else v = (double)*(const int64_t *)(const void *)field;
    if (key->type == MYNAH_KEY_CHOICE) low = 0, high = 1;
    if (!(v >= low && v <= high))
      return mynah_fail(MYNAH_INVALID, "sim=track: %s: %g is not from %g to %g", key->name, v, low, high);
  }
  return MYNAH_OK;
}

static mynah_status track_reset(mynah_device *device, uint64_t seed);

static mynah_status track_open(const void *config, mynah_device **out) {
  if (config) MYNAH_TRY(check_config(config));
  track *t = mynah_calloc(1, sizeof *t);
  if (!t) return MYNAH_NO_MEMORY;
  if (config) t->config = *(const mynah_track_config *)config;
  else mynah_config_default(&mynah_track_table, &t->config);
  t->n_cameras = t->config.cameras ? 3 : 1;
  t->base.type = &mynah_sim_track;
  t->base.rate_hz = TRACK_RATE_HZ;
  t->base.max_steps = (int64_t)ceil(t->config.limit_s * TRACK_RATE_HZ);
  declare_features(t);
  mynah__track_noise_make(t->noise);
  t->render = mynah__track_render_choose();
  mynah_status status = track_reset(&t->base, 0);
  if (status != MYNAH_OK) {
    track_close(&t->base);
    return status;
  }
  *out = &t->base;
  return MYNAH_OK;
}

/* ---- episodes -------------------------------------------------------------------------------------------------------
 */

/* On the road at a node, as if it had driven there: wheels along the bend, no faster than the rule. */
static void put_on_road(track *t, int node, double offset_m, double turn_rad, double speed_m_s) {
  const track_node *p = &t->road.nodes[node];
  double rule = mynah__track_speed_rule(&t->road, &t->config, node);
  t->car = (track_car){.x_m = p->x_m - offset_m * p->ty,
                       .y_m = p->y_m + offset_m * p->tx,
                       .heading_rad = atan2(p->ty, p->tx) + turn_rad,
                       .speed_m_s = fmin(speed_m_s, rule),
                       .wheel_rad = atan(TRACK_WHEELBASE_M * p->curvature),
                       .drive = TRACK_DRAG_1_S * rule / TRACK_ACCEL_M_S2};
  mynah__track_locate(&t->road, t->car.x_m, t->car.y_m, node, &t->place);
  t->yaw_rate_rad_s = t->car.speed_m_s * p->curvature;
  t->standstill_s = 0;
}

static mynah_status track_reset(mynah_device *device, uint64_t seed) {
  track *t = (track *)device;
  MYNAH_TRY(mynah__track_road_make(&t->road, &t->config, seed));
  mynah__track_look_make(&t->look, &t->config, seed);
  mynah_rng rng = mynah_rng_make(seed, TRACK_STREAM_START);
  double offset_m = t->config.start_offset_m * mynah_rng_range(&rng, -1, 1);
  double turn_rad = t->config.start_heading_rad * mynah_rng_range(&rng, -1, 1);
  put_on_road(t, 0, offset_m, turn_rad, INFINITY);
  t->gust_rng = mynah_rng_make(seed, TRACK_STREAM_GUST);
  t->gust_rad_s = t->progress_m = 0;
  t->n_departures = t->n_interventions = 0;
  t->action[0] = t->action[1] = 0;
  t->is_rendered = t->is_intervened = false;
  t->base.is_done = false;
  t->base.step = 0;
  return MYNAH_OK;
}

static void intervene(track *t, bool is_departure) {
  t->n_interventions++;
  t->n_departures += is_departure;
  t->is_intervened = true;
  t->left = t->car;
  t->left_place = t->place;
  /* A car that stood still gets going again. */
  put_on_road(t, t->place.node, 0, 0, t->standstill_s >= STANDSTILL_S ? INFINITY : t->car.speed_m_s);
}

/* A number outside [-1,1] is taken as the nearer end, one that is no number as 0. */
static float limit(float v) { return isnan(v) ? 0 : fmaxf(-1, fminf(1, v)); }

static void track_act(mynah_device *device, const float *action) {
  track *t = (track *)device;
  const double dt = 1.0 / TRACK_RATE_HZ;
  if (t->base.is_done) return;
  t->action[0] = limit(action[0]);
  t->action[1] = limit(action[1]);
  t->is_intervened = t->is_rendered = false;
  double heading = t->car.heading_rad, s = t->place.s_m, half = t->road.length_m / 2;
  mynah__track_car_move(&t->car, &t->config, t->action);
  if (t->config.gust_rad_s > 0) {
    double keep = exp(-dt / GUST_TAU_S);
    t->gust_rad_s =
        keep * t->gust_rad_s + sqrt(1 - keep * keep) * t->config.gust_rad_s * mynah_rng_normal(&t->gust_rng);
    t->car.heading_rad += t->gust_rad_s * dt;
  }
  t->yaw_rate_rad_s = (t->car.heading_rad - heading) / dt;
  mynah__track_locate(&t->road, t->car.x_m, t->car.y_m, t->place.node, &t->place);
  double moved = t->place.s_m - s;
  t->progress_m += moved > half ? moved - 2 * half : moved < -half ? moved + 2 * half : moved;
  t->standstill_s = t->car.speed_m_s < STANDSTILL_M_S ? t->standstill_s + dt : 0;
  bool is_departure = fabs(t->place.offset_m) + TRACK_HALF_CAR_M > t->place.half_width_m + DEPARTURE_MARGIN_M;
  bool is_backwards = cos(t->car.heading_rad - t->place.heading_rad) < 0;
  if (is_departure || is_backwards || t->standstill_s >= STANDSTILL_S) intervene(t, is_departure);
  t->base.step++;
  t->base.is_done = t->progress_m >= (double)t->config.laps * t->road.length_m || t->base.step >= t->base.max_steps;
}

/* ---- what is seen ---------------------------------------------------------------------------------------------------
 */

static void render(track *t) {
  static const double sides[N_CAMERAS_MAX] = {0, 1, -1};
  const double ahead_m = 1.0; /* the cameras sit before the rear axle, above the bonnet */
  track_scene scene = {&t->road, &t->look, t->noise};
  double c = cos(t->car.heading_rad), s = sin(t->car.heading_rad);
  for (int i = 0; i < t->n_cameras; i++) {
    double left_m = sides[i] * t->config.camera_side_m;
    track_camera camera = {.x_m = t->car.x_m + ahead_m * c - left_m * s,
                           .y_m = t->car.y_m + ahead_m * s + left_m * c,
                           .heading_rad = t->car.heading_rad,
                           .height_m = t->config.camera_height_m,
                           .pitch_rad = t->config.camera_pitch_deg * PI / 180,
                           .fov_rad = t->config.camera_fov_deg * PI / 180};
    t->render(&scene, &camera, t->pictures[i]);
  }
  t->is_rendered = true;
}

static void track_observe(mynah_device *device, mynah_value *values) {
  track *t = (track *)device;
  if (!t->is_rendered) render(t);
  int64_t time_ns = t->base.step * (INT64_C(1000000000) / TRACK_RATE_HZ);
  for (int i = 0; i < t->n_cameras; i++) values[i] = (mynah_value){t->pictures[i], TRACK_PIXEL_BYTES, time_ns};
  t->state[0] = (float)t->car.speed_m_s;
  t->state[1] = (float)t->yaw_rate_rad_s;
  values[t->n_cameras] = (mynah_value){t->state, sizeof t->state, time_ns};
}

static void track_expert(mynah_device *device, float *action) {
  track *t = (track *)device;
  mynah__track_expert(&t->road, &t->config, &t->car, t->place.node, action);
}

/* ---- what came of it ------------------------------------------------------------------------------------------------
 */

static int track_metrics(const mynah_device *device, mynah_metric *out) {
  const track *t = track_of(device);
  double time_s = (double)t->base.step / TRACK_RATE_HZ;
  double autonomy = time_s > 0 ? fmax(0, 1 - PENALTY_S * t->n_interventions / time_s) : 1;
  bool is_finished = t->progress_m >= (double)t->config.laps * t->road.length_m && t->n_interventions == 0;
  const mynah_metric metrics[] = {
      {"autonomy", MYNAH_METRIC_MEAN, autonomy, 1},
      {"finished", MYNAH_METRIC_RATE, is_finished, 1},
      {"offset_m", MYNAH_METRIC_SPREAD, t->place.offset_m, 1},
      {"departures_per_km", MYNAH_METRIC_RATIO, t->n_departures, fmax(t->progress_m, 0) / 1000},
      {"interventions", MYNAH_METRIC_MEAN, t->n_interventions, 1},
      {"speed_m_s", MYNAH_METRIC_MEAN, time_s > 0 ? t->progress_m / time_s : 0, 1},
  };
  memcpy(out, metrics, sizeof metrics);
  return (int)(sizeof metrics / sizeof *metrics);
}

static const char *const trace_names[] = {
    "x_m", "y_m",      "heading_rad", "speed_m_s",    "yaw_rate_rad_s", "offset_m",      "turned_rad",
    "s_m", "steering", "throttle",    "intervention", "half_width_m",   "curvature_1_m", NULL};

static void track_trace(const mynah_device *device, double *row) {
  const track *t = track_of(device);
  const track_car *car = t->is_intervened ? &t->left : &t->car;
  const track_place *place = t->is_intervened ? &t->left_place : &t->place;
  const double values[] = {car->x_m,
                           car->y_m,
                           wrap_angle(car->heading_rad),
                           car->speed_m_s,
                           t->yaw_rate_rad_s,
                           place->offset_m,
                           wrap_angle(car->heading_rad - place->heading_rad),
                           t->progress_m,
                           (double)t->action[0],
                           (double)t->action[1],
                           t->is_intervened,
                           place->half_width_m,
                           place->curvature};
  memcpy(row, values, sizeof values);
}

void mynah_track_outline_get(const mynah_device *device, mynah_track_outline *out) {
  const track_road *road = &track_of(device)->road;
  *out = (mynah_track_outline){road->n, road->center, road->left, road->right, road->length_m};
}

const mynah_device_type mynah_sim_track = {
    .name = "track",
    .summary = "a car with a camera on a closed road drawn from the seed",
    .config = &mynah_track_table,
    .open = track_open,
    .close = track_close,
    .reset = track_reset,
    .observe = track_observe,
    .act = track_act,
    .expert = track_expert,
    .metrics = track_metrics,
    .trace_names = trace_names,
    .trace = track_trace,
};
