/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where frames come from: robots, cameras and simulators behind one table of functions.
 *
 * Owns:    a device owns the memory its values point to; they stay valid until the next observe or close.
 * Threads: one device, one thread at a time; different devices are independent.
 * A simulator advances by one control period in `act`; a real device sends the command and returns. */
#ifndef MYNAH_CAPTURE_H
#define MYNAH_CAPTURE_H

#include <mynah/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mynah_device mynah_device;

/* One feature's value now. data: elements in the feature's dtype, row-major. */
typedef struct mynah_value {
  const void *data;
  size_t bytes;
  int64_t time_ns; /* true capture time; simulators count simulated time */
} mynah_value;

/* What an episode achieved, by name; how many episodes are put together is said by `kind`. */
typedef enum mynah_metric_kind {
  MYNAH_METRIC_MEAN,     /* mean over episodes with a bootstrap interval */
  MYNAH_METRIC_RATE,     /* value is 0 or 1: k of n with a Wilson interval */
  MYNAH_METRIC_RATIO,    /* sum of value / sum of weight over episodes */
  MYNAH_METRIC_SPREAD    /* of |trace column of this name|, all steps pooled: mean and p95 */
} mynah_metric_kind;
typedef struct mynah_metric {
  const char *name; /* static text */
  mynah_metric_kind kind;
  double value, weight;
} mynah_metric;
#define MYNAH_METRICS_MAX 16
#define MYNAH_TRACE_MAX 16

/* What a kind of device can do; one row of a table. NULL members are not supported by it. */
typedef struct mynah_device_type {
  const char *name;                 /* "track": sim=track */
  const char *summary;              /* one line for help */
  const mynah_config_table *config; /* its keys; NULL: none */
  /* Opens with a config of that table (NULL: defaults). */
  mynah_status (*open)(const void *config, mynah_device **out);
  void (*close)(mynah_device *device);
  /* Starts an episode; the same seed gives the same episode. */
  mynah_status (*reset)(mynah_device *device, uint64_t seed);
  /* Fills n_observations values, in the order of device->features. */
  void (*observe)(mynah_device *device, mynah_value *values);
  /* Executes one action for one control period. Shape: action (action size) */
  void (*act)(mynah_device *device, const float *action);
  /* The clean action the expert would take now. */
  void (*expert)(mynah_device *device, float *action);
  /* Fills at most MYNAH_METRICS_MAX; returns how many. */
  int (*metrics)(const mynah_device *device, mynah_metric *out);
  /* Named numbers of the present step, e.g. x_m, y_m, offset_m: what reports and drift meters draw. */
  const char *const *trace_names; /* NULL-terminated, at most MYNAH_TRACE_MAX */
  void (*trace)(const mynah_device *device, double *row);
  /* Whether it still works; what fails says why. NULL: it cannot fail. */
  mynah_status (*health)(const mynah_device *device);
  /* Whether it has lost sight of what a policy cannot do without: time for the loop's safe action. Neither waits nor allocates.
   * NULL: never. */
  bool (*is_blind)(const mynah_device *device);
  /* What the classes in its boxes are called, NULL-terminated; NULL: it shows none. */
  const char *const *classes;
} mynah_device_type;

/* Every device begins with this; its type's open fills it. */
struct mynah_device {
  const mynah_device_type *type;
  mynah_feature features[16]; /* observations first, then the action as the last */
  int n_features;
  int n_observations; /* n_features - 1 */
  double rate_hz;     /* control rate */
  int64_t max_steps;  /* an episode ends here at the latest */
  bool is_done;       /* the episode has ended (set by reset and act) */
  bool is_live;       /* times are the monotonic clock's, and an observation can grow old; simulators: false */
  int64_t step;       /* actions executed in this episode */
  const char *eyes;   /* JSON, as mynah_sight_describe makes it: how a state among its features is seen; NULL: none is */
  const float *rest;  /* (action size): the action that makes it stand still; NULL: it stands still when its action stays */
};

/* The action feature of a device. */
static inline const mynah_feature *mynah_device_action(const mynah_device *d) { return &d->features[d->n_observations]; }

/* ---- robots -------------------------------------------------------------------------------------------------------- */

/* A joint as a robot's file describes it. Unit: rad, s */
typedef struct mynah_joint {
  char name[32];
  int id;             /* on the bus */
  double zero, sign;  /* of the servo's angle: joint angle = sign (servo angle - zero) */
  double low, high, velocity, acceleration, jerk; /* limits; 0 (velocity on): none */
} mynah_joint;
/* An arm of servos on a serial bus (Feetech STS, Dynamixel protocol 2), from a JSON file: docs/formats.md. Features:
 * observation.state (joints) rad, observation.images.NAME of each camera, action (joints) rad: where they are and shall be. Threads of their
 * own talk to the bus and read the cameras, so that observe and act neither wait nor fail; times are those of the answers. reset turns torque on and holds.
 * Fails: NOT_FOUND, CORRUPT, INVALID (the file), IO (the port, or a joint that does not answer). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_robot_open(const char *path, mynah_device **out);
extern MYNAH_API const mynah_device_type mynah_robot;
/* Shape: (action size) */
MYNAH_API const mynah_joint *mynah_robot_joints(const mynah_device *robot);
/* Every joint holds where it is now. May be called in another process than the one that runs the robot. */
MYNAH_API void mynah_robot_stop(void *robot);
/* What went wrong on the bus so far. */
typedef struct mynah_bus_counts {
  int64_t n_rounds, n_answers, n_missing, n_damaged;
} mynah_bus_counts;
MYNAH_API mynah_bus_counts mynah_robot_counts(const mynah_device *robot);

/* ---- cameras ------------------------------------------------------------------------------------------------------- */

/* A V4L2 camera (Linux), YUYV or motion JPEG. One camera, one thread at a time. */
typedef struct mynah_camera mynah_camera;
typedef struct mynah_camera_config {
  int width, height; /* 0: as the camera stands. Unit: px */
  double fps;        /* 0: as the camera stands. Unit: 1/s */
} mynah_camera_config;
/* What came so far: bad frames were short, garbled or marked as damaged; old ones gave way to a newer one. */
typedef struct mynah_camera_counts {
  int64_t n_frames, n_bad, n_old;
} mynah_camera_counts;
/* path: /dev/videoN. YUYV when it reaches the rate that is asked for, motion JPEG otherwise. Streams from here on.
 * Fails: NOT_FOUND, IO (the device), BUSY (another program streams), UNSUPPORTED (no camera, no such format), MISMATCH (it has no such size). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_camera_open(const char *path, const mynah_camera_config *config, mynah_camera **out);
MYNAH_API void mynah_camera_close(mynah_camera *c);
/* The newest frame, waited for up to timeout_s: one that became old in the full queue of a slow caller is thrown away, a bad one
 * counted and skipped. out->data is the caller's, of the camera's size. time_ns: when it was taken, of mynah_now_ns's clock.
 * No memory of ours is allocated. Fails: TIMEOUT, IO (unplugged). Unit: s, ns */
MYNAH_API MYNAH_CHECKED mynah_status mynah_camera_read(mynah_camera *c, double timeout_s, mynah_image *out, int64_t *time_ns);
/* Its frames' size, without data; frames a second (0: unknown); "YUYV" or "MJPG". */
MYNAH_API mynah_image mynah_camera_size(const mynah_camera *c);
MYNAH_API double mynah_camera_fps(const mynah_camera *c);
MYNAH_API const char *mynah_camera_format(const mynah_camera *c);
MYNAH_API mynah_camera_counts mynah_camera_count(const mynah_camera *c);
/* Two pixels of four bytes Y U Y V become RGB: BT.601, Y of 16 … 235. Shape: yuyv (height, stride bytes), out (height, width even) */
MYNAH_API MYNAH_RT void mynah_yuyv_to_rgb(const uint8_t *yuyv, size_t stride, mynah_image *out);

/* ---- a person ------------------------------------------------------------------------------------------------------ */

/* Someone at a gamepad, joystick or keyboard (Linux evdev), or at a terminal, read by a thread of its own. Commands are -1 … 1. */
typedef struct mynah_person mynah_person;
enum {
  MYNAH_PERSON_SAVE = 1,    /* the episode is over and kept */
  MYNAH_PERSON_REDO = 2,    /* it is thrown away and begins again from the same start */
  MYNAH_PERSON_END = 4,     /* of the session; the episode is kept */
  MYNAH_PERSON_SUCCESS = 8, /* marks of the episode */
  MYNAH_PERSON_FAILURE = 16,
  MYNAH_PERSON_DISCARD = 32 /* it is thrown away; the next begins */
};
/* path: /dev/input/eventN, or a terminal (/dev/tty). map: "CONTROL:ELEMENT[:SCALE],…"; a CONTROL is an axis (x y z rx ry rz gas brake hat_x hat_y) or two
 * keys LOW/HIGH (left/right down/up a/d s/w); "" is "x:0,y:1:-1,left/right:0,down/up:1,a/d:0,s/w:1". Held while a shoulder button or the space bar
 * is down. Save: start, enter. Redo: select, backspace. End: mode, escape. Success: south (A), y. Failure: east (B), n. Discard: north (Y), x.
 * A terminal tells of presses only: a key counts as down until 0.6 s after its first press or 0.15 s after a repetition; the
 * space bar takes over and gives back in turn; the terminal is as it was after close.
 * Fails: IO (the device), INVALID (the map). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_person_open(const char *path, const char *map, int64_t n_elements, mynah_person **out);
MYNAH_API void mynah_person_close(mynah_person *p);
/* What is commanded now; whether the person holds the button that takes over. Shape: action (n_elements) */
MYNAH_API MYNAH_RT bool mynah_person_action(const mynah_person *p, float *action);
/* MYNAH_PERSON_ bits since the last call. */
MYNAH_API MYNAH_RT unsigned mynah_person_events(mynah_person *p);

#ifdef __cplusplus
}
#endif
#endif
