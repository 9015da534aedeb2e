/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The car, and the driver that is imitated: pure pursuit (Coulter 1992) with a speed rule. */
#include "track_internal.h"

#include <math.h>

#define SUBSTEPS 4
#define LOOK_AHEAD_M 3.0   /* the pursued point lies this far ahead … */
#define LOOK_AHEAD_S 0.35  /* … and this much of the speed further */
#define SLOW_DOWN_M_S2 2.0 /* deceleration that the speed rule plans with */
#define PREVIEW_M 24.0     /* how far the speed rule looks */
#define SPEED_GAIN_1_S 1.5

/* ---- car ------------------------------------------------------------------------------------------------------------
 */

/* Kinematic bicycle about the rear axle: x' = v cos h, y' = v sin h, h' = v tan(wheel) / wheelbase, by midpoints;
 * wheels and drive follow their commands with first-order lags, exactly. */
void mynah__track_car_move(track_car *car, const mynah_track_config *config, const float *action) {
  double dt = 1.0 / TRACK_RATE_HZ / SUBSTEPS, wheel_to = -(double)action[0] * TRACK_WHEEL_MAX_RAD;
  double throttle = (double)action[1];
  double wheel_keep = exp(-dt / config->steer_lag_s), drive_keep = exp(-dt / TRACK_DRIVE_LAG_S);
  for (int i = 0; i < SUBSTEPS; i++) {
    double wheel = car->wheel_rad;
    car->wheel_rad = wheel_to + (wheel - wheel_to) * wheel_keep;
    car->drive = throttle + (car->drive - throttle) * drive_keep;
    double push = car->drive * (car->drive > 0 ? TRACK_ACCEL_M_S2 : TRACK_BRAKE_M_S2) - TRACK_DRAG_1_S * car->speed_m_s;
    double speed = fmax(0, car->speed_m_s + push * dt), middle = (car->speed_m_s + speed) / 2;
    double turn = middle * tan((wheel + car->wheel_rad) / 2) / TRACK_WHEELBASE_M * dt;
    car->x_m += middle * cos(car->heading_rad + turn / 2) * dt;
    car->y_m += middle * sin(car->heading_rad + turn / 2) * dt;
    car->heading_rad += turn;
    car->speed_m_s = speed;
  }
}

/* ---- driver ---------------------------------------------------------------------------------------------------------
 */

static double look_ahead_m(double speed_m_s) { return LOOK_AHEAD_M + LOOK_AHEAD_S * speed_m_s; }

/* v^2 <= lateral / |curvature| at each point ahead, plus what braking on the way there takes off. */
double mynah__track_speed_rule(const track_road *road, const mynah_track_config *config, int node) {
  double square = config->speed_m_s * config->speed_m_s;
  int n = (int)(PREVIEW_M / road->step_m);
  for (int k = 0; k < n; k++) {
    double curvature = fabs(road->nodes[(node + k) % road->n].curvature) + 1e-9;
    square = fmin(square, config->lateral_m_s2 / curvature + 2 * SLOW_DOWN_M_S2 * k * road->step_m);
  }
  return sqrt(square);
}

void mynah__track_expert(const track_road *road, const mynah_track_config *config, const track_car *car, int node,
                         float *action) {
  /* The driver aims from where the car will be when the wheels have turned. */
  double distance = car->speed_m_s * config->steer_lag_s;
  double turn = tan(car->wheel_rad) / TRACK_WHEELBASE_M * distance, heading = car->heading_rad + turn;
  double x = car->x_m + distance * cos(car->heading_rad + turn / 2);
  double y = car->y_m + distance * sin(car->heading_rad + turn / 2);
  track_place place;
  mynah__track_locate(road, x, y, node, &place);
  /* Front wheels for the arc through the pursued point: tan(wheel) = wheelbase 2 sin(angle) / distance. */
  const track_node *goal = &road->nodes[mynah__track_node_at(road, place.s_m + look_ahead_m(car->speed_m_s))];
  double dx = goal->x_m - x, dy = goal->y_m - y;
  double left = dy * cos(heading) - dx * sin(heading);
  double wheel = atan(TRACK_WHEELBASE_M * 2 * left / (dx * dx + dy * dy));
  double push = SPEED_GAIN_1_S * (mynah__track_speed_rule(road, config, place.node) - car->speed_m_s) +
                TRACK_DRAG_1_S * car->speed_m_s;
  double throttle = push / (push > 0 ? TRACK_ACCEL_M_S2 : TRACK_BRAKE_M_S2);
  action[0] = (float)fmax(-1, fmin(1, -wheel / TRACK_WHEEL_MAX_RAD));
  action[1] = (float)fmax(-1, fmin(1, throttle));
}

/* The pursued point seen from a car shifted left by `shift` lies that much further right: the wheels differ by
 * wheelbase 2 shift / distance^2. */
double mynah_track_side_correction(double shift_m, double speed_m_s) {
  double distance = look_ahead_m(speed_m_s > 0 ? speed_m_s : 9);
  return atan(TRACK_WHEELBASE_M * 2 * shift_m / (distance * distance)) / TRACK_WHEEL_MAX_RAD;
}
