/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the driving simulator share: road, look, camera, car, and the device that holds them. */
#ifndef MYNAH_TRACK_INTERNAL_H
#define MYNAH_TRACK_INTERNAL_H

#include <mynah/sim.h>

#define TRACK_RATE_HZ 20
#define TRACK_WIDTH_PX 160
#define TRACK_HEIGHT_PX 120
#define TRACK_PIXEL_BYTES (TRACK_WIDTH_PX * TRACK_HEIGHT_PX * 3)

/* Streams of the episode's seed. */
enum { TRACK_STREAM_ROAD = 1, TRACK_STREAM_LOOK, TRACK_STREAM_START, TRACK_STREAM_GUST };

/* ---- road (track_road.c) ------------------------------------------------------------------------------------------
 */

/* A point of the centre line; near it the road is an arc of this curvature (1/m, positive: bends left). */
typedef struct track_node {
  double x_m, y_m, tx, ty, curvature, half_width_m;
} track_node;

/* The same in single precision, for the camera: 32 bytes, so that a lap stays in the first cache. */
typedef struct track_mark {
  float x_m, y_m, tx, ty, curvature, half_width_m, s_m, unused;
} track_mark;

#define TRACK_SECTIONS_MAX 4
#define TRACK_NOWHERE 0xffffu /* a grid cell without road near it */
#define TRACK_CELL_M 0.5

typedef struct track_road {
  int n; /* nodes, evenly spaced along the lap */
  double length_m, step_m;
  track_node *nodes;             /* (n) */
  track_mark *marks;             /* (n) */
  double *center, *left, *right; /* (n,2) */
  size_t node_capacity, mark_capacity, line_capacity;
  /* Parts of equal length with surfaces of their own: at s, (s n_sections / length + section_shift) mod n_sections. */
  int n_sections;
  float section_shift;
  /* Which node is nearest to the middle of a cell of TRACK_CELL_M, around the road. */
  int columns, rows;
  double x0_m, y0_m;
  uint16_t *grid;  /* (rows, columns) */
  float *distance; /* (rows, columns) squared, m^2; only used while the grid is made */
  size_t grid_capacity, distance_capacity;
} track_road;

/* Where a point lies on the road. */
typedef struct track_place {
  int node;
  double s_m, offset_m; /* along the lap from its start, left of the centre line */
  double heading_rad, curvature, half_width_m;
} track_place;

MYNAH_CHECKED mynah_status mynah__track_road_make(track_road *road, const mynah_track_config *config, uint64_t seed);
void mynah__track_road_deinit(track_road *road);
/* Looks near node `near` only: the car moves less than that between two calls. */
MYNAH_RT void mynah__track_locate(const track_road *road, double x_m, double y_m, int near, track_place *out);
/* The node at a distance along the lap, any sign, wrapped. */
MYNAH_RT int mynah__track_node_at(const track_road *road, double s_m);

/* ---- look (track_look.c) ------------------------------------------------------------------------------------------
 */

/* Painted lines: |offset| within half of at, on for `dash` of every `period` metres. */
typedef struct track_line {
  float at_m, half_m, dash_m, period_m, strength;
} track_line;

typedef struct track_surface {
  float color[3], paint[3], edge_paint[3];
  float grain;       /* contrast of the texture */
  track_line center; /* two lines when at_m > 0 */
  track_line edge;   /* at_m counts inwards from the edge of the road */
} track_surface;

/* Everything about an episode's appearance. Colours: 0 … 255. */
typedef struct track_look {
  track_surface surfaces[TRACK_SECTIONS_MAX];
  float verge[2][3], verge_grain; /* two colours in patches */
  float shoulder[3], shoulder_m;
  float sky_top[3], sky_low[3], cloud[3], cloudiness, sun_azimuth_rad, glow;
  float hill[3], hill_height, trees[3], tree_height;
  float haze[3], haze_per_m;
  float light[3];                       /* multiplies what lies on the ground */
  float shade, shade_above, shade_soft; /* how dark; where the noise exceeds; width of the border */
  float noise_x_m, noise_y_m;           /* the texture begins here */
} track_look;

void mynah__track_look_make(track_look *look, const mynah_track_config *config, uint64_t seed);

/* ---- camera (track_camera.c, track_render.c) ------------------------------------------------------------------------
 */

#define TRACK_NOISE_SIDE 256
/* A tile of smooth noise that repeats; the same for all episodes. Shape: noise (TRACK_NOISE_SIDE, TRACK_NOISE_SIDE) */
void mynah__track_noise_make(uint8_t *noise);

typedef struct track_camera {
  double x_m, y_m, heading_rad;        /* of the camera */
  double height_m, pitch_rad, fov_rad; /* of the mount */
} track_camera;

typedef struct track_scene {
  const track_road *road;
  const track_look *look;
  const uint8_t *noise;
} track_scene;
/* Shape: rgb (TRACK_HEIGHT_PX, TRACK_WIDTH_PX, 3) */
typedef void (*mynah__track_render_fn)(const track_scene *scene, const track_camera *camera, uint8_t *rgb);
MYNAH_RT void mynah__track_render_base(const track_scene *scene, const track_camera *camera, uint8_t *rgb);
MYNAH_RT void mynah__track_render_avx2(const track_scene *scene, const track_camera *camera, uint8_t *rgb);
/* The fastest that this processor can do; all give the same picture. */
mynah__track_render_fn mynah__track_render_choose(void);

/* ---- car and expert -------------------------------------------------------------------------------------------------
 */

#define TRACK_WHEELBASE_M 2.5
#define TRACK_HALF_CAR_M 0.8    /* half the car's width */
#define TRACK_WHEEL_MAX_RAD 0.4 /* of the front wheels at steering 1 */
#define TRACK_DRIVE_LAG_S 0.2
#define TRACK_ACCEL_M_S2 3.0 /* at throttle 1 */
#define TRACK_BRAKE_M_S2 5.0 /* at throttle -1 */
#define TRACK_DRAG_1_S 0.05  /* deceleration by speed */

typedef struct track_car {
  double x_m, y_m, heading_rad; /* middle of the rear axle */
  double speed_m_s;
  double wheel_rad; /* front wheels, positive: left */
  double drive;     /* throttle as it arrives at the wheels */
} track_car;

/* Moves on by one control period with the action held. Shape: action (2) */
MYNAH_RT void mynah__track_car_move(track_car *car, const mynah_track_config *config, const float *action);
/* Speed that the rule asks for at a node, looking ahead. */
MYNAH_RT double mynah__track_speed_rule(const track_road *road, const mynah_track_config *config, int node);
/* Shape: action (2) */
MYNAH_RT void mynah__track_expert(const track_road *road, const mynah_track_config *config, const track_car *car,
                                  int node, float *action);

#endif
