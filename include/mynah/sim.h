/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Simulated robots, as devices: driving with a camera (track), pushing a T-shaped block (pusht), following a thing (follow),
 * and the classic cartpole and pendulum.
 *
 * Owns:    the device owns everything it shows. Threads: one device, one thread; any number of devices.
 * The same seed gives the same episode, on any machine of the same type. */
#ifndef MYNAH_SIM_H
#define MYNAH_SIM_H

#include <mynah/capture.h>
#include <mynah/perceive.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All kinds, NULL-terminated, and one by name. Fails: NOT_FOUND, naming the nearest. */
MYNAH_API const mynah_device_type *const *mynah_sim_types(void);
MYNAH_API MYNAH_CHECKED mynah_status mynah_sim_find(const char *name, const mynah_device_type **out);
/* Opens a simulator by name with "key=value" settings over its defaults. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_sim_open(const char *name, const char *const *settings, int n_settings,
                                                    mynah_device **out);

/* ---- track: a car with a camera on a closed road drawn from the seed ------------------------------------------- */

/* Control at 20 Hz; one lap an episode. World: x east, y north, angles counterclockwise; offset_m is positive left of
 * the centre line and belongs to the middle of the rear axle. steering +1 is full right, as in DAVE-2 and Udacity's
 * simulator; yaw rate is positive to the left.
 * A departure (a side of the car more than 0.3 m beyond the edge of the road), standing still for 3 s, or facing
 * backwards is an intervention: the car is put back on the centre line where it was. Its trace row shows where it left.
 * Metrics:
 *   autonomy          MEAN   max(0, 1 - 6 s x interventions / driven time) (Bojarski et al. 2016, section 7.1)
 *   finished          RATE   1: all laps driven within the time limit without any intervention
 *   offset_m          SPREAD of the trace column: distance from the centre line
 *   departures_per_km RATIO  departures over km driven along the road
 *   interventions     MEAN   count, all kinds
 *   speed_m_s         MEAN   distance along the road over time */
#define MYNAH_TRACK_KEYS(K)                                                                        \
  K(CHOICE, cameras, "cameras", "1", 0, 0, "1|3", "3: with observation.images.left and .right beside .front") \
  K(FLOAT, camera_height_m, "camera.height", 1.4, 0.4, 4, "m", "of the cameras above the road")    \
  K(FLOAT, camera_pitch_deg, "camera.pitch", 12, 0, 40, "deg", "how far they look down")           \
  K(FLOAT, camera_fov_deg, "camera.fov", 90, 40, 130, "deg", "horizontal field of view")           \
  K(FLOAT, camera_side_m, "camera.side", 0.8, 0.1, 3, "m", "how far left and right of the middle the side cameras sit") \
  K(INT, laps, "laps", 1, 1, 20, "laps", "an episode ends after so many")                          \
  K(FLOAT, limit_s, "limit", 100, 5, 3600, "s", "an episode ends here at the latest")              \
  K(FLOAT, road_length_m, "road.length", 420, 200, 2000, "m", "of one lap, on average; a road has 0.85 to 1.15 of it") \
  K(FLOAT, road_width_m, "road.width", 5, 4, 12, "m", "on average; a road has 0.9 to 1.1 of it, and varies along the lap") \
  K(FLOAT, road_radius_m, "road.radius", 14, 10, 25, "m", "of the tightest bend allowed")          \
  K(FLOAT, road_winding, "road.winding", 0.7, 0, 1, "", "0: nearly round, 1: as many bends as fit") \
  K(FLOAT, variety, "variety", 1, 0, 1, "", "how much surface, markings, verge, light and sky vary between and along roads") \
  K(FLOAT, speed_m_s, "speed", 10, 3, 20, "m/s", "of the expert on straights")                      \
  K(FLOAT, lateral_m_s2, "lateral", 3.5, 0.5, 8, "m/s^2", "acceleration that the expert allows itself in bends") \
  K(FLOAT, steer_lag_s, "lag", 0.25, 0.01, 0.6, "s", "with which the wheels follow the steering") \
  K(FLOAT, start_offset_m, "start.offset", 0, 0, 1, "m", "an episode starts up to so far off the centre line") \
  K(FLOAT, start_heading_rad, "start.heading", 0, 0, 0.3, "rad", "and turned by up to so much") \
  K(FLOAT, gust_rad_s, "gust", 0, 0, 0.3, "rad/s", "standard deviation of slow random turning of the car")

typedef struct mynah_track_config {
#define MYNAH_TRACK_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_TRACK_KEYS(MYNAH_TRACK_FIELD)
#undef MYNAH_TRACK_FIELD
} mynah_track_config;
extern MYNAH_API const mynah_config_table mynah_track_table;
extern MYNAH_API const mynah_device_type mynah_sim_track;
/* The road of the present episode as closed polylines for drawing from above. Unit: m. Valid until reset.
 * Shape: center, left, right (n,2) */
typedef struct mynah_track_outline {
  int n;
  const double *center, *left, *right;
  double length_m;
} mynah_track_outline;
MYNAH_API void mynah_track_outline_get(const mynah_device *track, mynah_track_outline *out);
/* What to add to the steering label of a picture taken `shift_m` left of the car's middle, at this speed, so that the
 * sample says what the expert would do had the car been there (pure-pursuit geometry). speed_m_s <= 0: a typical one. */
MYNAH_API double mynah_track_side_correction(double shift_m, double speed_m_s);

/* ---- pusht: gym-pusht 0.1.8 ----------------------------------------------------------------------------------- */

/* 10 Hz, at most 300 steps. Expert: a planner that tries pushes out on a second world (go around the block, push straight at one of 44
 * contacts, or from where the agent is; the least of way, push and steps left); it depends on the present state alone. */
extern MYNAH_API const mynah_device_type mynah_sim_pusht;
/* Starts an episode from a given state instead of a seed, as gym-pusht's reset_to_state.
 * Shape: state (5) agent x, agent y, block x, block y in px, block angle in rad */
MYNAH_API MYNAH_CHECKED mynah_status mynah_pusht_reset_to(mynah_device *pusht, const double *state);
/* One control step with an action in double precision, as gym-pusht takes it. Shape: action (2) px */
MYNAH_API void mynah_pusht_act(mynah_device *pusht, const double *action);
/* Everything gym-pusht could tell about the present step, in its float64. */
typedef struct mynah_pusht_state {
  double agent[2], agent_velocity[2], block[2], block_angle, block_velocity[2], block_angular_velocity;
  int contact_points;
  double coverage, reward;
  bool is_success;
} mynah_pusht_state;
MYNAH_API void mynah_pusht_state_get(const mynah_device *pusht, mynah_pusht_state *out);
/* Shape: rgb (size,size,3) */
MYNAH_API MYNAH_CHECKED mynah_status mynah_pusht_render(const mynah_device *pusht, uint8_t *rgb, int size);
/* Share of the goal that a block at this pose covers. Shape: pose (3) x, y, angle */
MYNAH_API double mynah_pusht_coverage(const double *pose);

/* ---- cartpole and pendulum: gymnasium's CartPole-v1 and Pendulum-v1 ------------------------------------------- */

/* 50 Hz, at most 500 steps, from a seed of our own. observation.state (4) x m, v m/s, angle rad, spin rad/s; action (1):
 * above 0.5 pushes right, else left. An episode ends when the pole leans over 12 degrees or the cart leaves 2.4 m.
 * Metrics: return MEAN (steps), solved RATE (return >= 475). Expert: linear feedback.
 * Source: Barto, Sutton, Anderson 1983, "Neuronlike Adaptive Elements That Can Solve Difficult Learning Control Problems" */
extern MYNAH_API const mynah_device_type mynah_sim_cartpole;
/* 20 Hz, 200 steps. observation.state (3) cos, sin of the angle from upright, spin rad/s; action (1) torque N m, limited
 * to +-2. Metric: return MEAN, minus the sum of angle^2 + 0.1 spin^2 + 0.001 torque^2. Expert: energy pumping, then PD. */
extern MYNAH_API const mynah_device_type mynah_sim_pendulum;
/* Start an episode from a state instead of a seed. Shape: state (4) as cartpole observes; (2) angle, spin */
MYNAH_API void mynah_cartpole_reset_to(mynah_device *cartpole, const double *state);
MYNAH_API void mynah_pendulum_reset_to(mynah_device *pendulum, const double *state);

/* ---- follow: a robot with a camera follows a moving thing among others ------------------------------------------- */

/* Control at 20 Hz, in a walled room of 12 m. Robot frame: x ahead, y to the left. Actions: speed and turn, -1 … 1 of 1.2 m/s and
 * 1.6 rad/s. Things: ball, cone, car, person; the target is of one class, the others are distractors of the other classes.
 * Followed: the target is 0.8 … 2.6 m away and within 25 degrees of straight ahead. Lost: out of the picture for a second.
 * Metrics:
 *   followed        MEAN   share of the steps
 *   lost_per_minute RATIO  times lost over minutes
 *   distance_m      SPREAD of the trace column: from the 1.5 m that the expert keeps */
#define MYNAH_FOLLOW_CLASSES 4
#define MYNAH_FOLLOW_KEYS(K)                                                                                            \
  K(CHOICE, target, "target", "ball", 0, 0, "ball|cone|car|person|any", "what is followed; any: another class each episode") \
  K(CHOICE, state, "state", "truth", 0, 0, "truth|boxes|detector|none", "observation.environment_state: the target's true place; slots of exact boxes, or of a detector's; or nothing") \
  K(STRING, detector, "detector", "", 0, 0, "path", "state=detector: the detector's file")                              \
  K(STRING, slots, "slots", "", 0, 0, "", "state=boxes, detector: the slots, see mynah_slots; empty: the target's class") \
  K(BOOL, has_labels, "labels", false, 0, 0, "", "with boxes.front: the exact boxes of what is visible")                \
  K(INT, width, "width", 160, 64, 640, "px", "of the picture; its height is three quarters")                            \
  K(INT, others, "others", 5, 0, 12, "", "distractors at most; an episode has half of that or more")                    \
  K(FLOAT, speed, "target.speed", 0.6, 0, 1.1, "m/s", "the target's, on average")                                       \
  K(FLOAT, variety, "variety", 1, 0, 1, "", "how much colours, floor and light vary")                                   \
  K(FLOAT, limit_s, "limit", 30, 1, 3600, "s", "length of an episode")
typedef struct mynah_follow_config {
#define MYNAH_FOLLOW_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_FOLLOW_KEYS(MYNAH_FOLLOW_FIELD)
#undef MYNAH_FOLLOW_FIELD
} mynah_follow_config;
extern MYNAH_API const mynah_config_table mynah_follow_table;
extern MYNAH_API const mynah_device_type mynah_sim_follow;
MYNAH_API const char *mynah_follow_class(int label); /* "ball", "cone", "car", "person" */
/* The exact boxes of what is visible in the present picture, confidence 1; returns how many. A thing counts that shows at least
 * a quarter of itself and 12 px. Shape: out (max) */
MYNAH_API int mynah_follow_boxes(mynah_device *follow, mynah_box *out, int max);

#ifdef __cplusplus
}
#endif
#endif
