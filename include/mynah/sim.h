/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Simulated robots, as devices: driving with a camera (track), pushing a T-shaped block (pusht).
 *
 * Owns:    the device owns everything it shows. Threads: one device, one thread; any number of devices.
 * The same seed gives the same episode, on any machine of the same type. */
#ifndef MYNAH_SIM_H
#define MYNAH_SIM_H

#include <mynah/capture.h>

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

extern MYNAH_API const mynah_device_type mynah_sim_track;
/* The road of the present episode as closed polylines for drawing from above. Unit: m. Valid until reset.
 * Shape: center, left, right (n,2) */
typedef struct mynah_track_outline {
  int n;
  const double *center, *left, *right;
  double length_m;
} mynah_track_outline;
MYNAH_API void mynah_track_outline_get(const mynah_device *track, mynah_track_outline *out);

/* ---- pusht: gym-pusht 0.1.8 ----------------------------------------------------------------------------------- */

extern MYNAH_API const mynah_device_type mynah_sim_pusht;
/* Starts an episode from a given state instead of a seed, as gym-pusht's reset_to_state.
 * Shape: state (5) agent x, agent y, block x, block y in px, block angle in rad */
MYNAH_API MYNAH_CHECKED mynah_status mynah_pusht_reset_to(mynah_device *pusht, const double *state);
/* Everything gym-pusht could tell about the present step, in its float64. */
typedef struct mynah_pusht_state {
  double agent[2], agent_velocity[2], block[2], block_angle, block_velocity[2], block_angular_velocity;
  int contact_points;
  double coverage, reward;
  bool is_success;
} mynah_pusht_state;
MYNAH_API void mynah_pusht_state_get(const mynah_device *pusht, mynah_pusht_state *out);
/* Shape: rgb (size,size,3) */
MYNAH_API void mynah_pusht_render(const mynah_device *pusht, uint8_t *rgb, int size);
/* Share of the goal that a block at this pose covers. Shape: pose (3) x, y, angle */
MYNAH_API double mynah_pusht_coverage(const double *pose);

#ifdef __cplusplus
}
#endif
#endif
