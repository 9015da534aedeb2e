/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An arm on a serial bus, and its cameras. The bus thread asks for positions and sends goals round after round; control sees atomics only. */
#include "servo.h"
#include "watch.h"

#include <mynah/capture.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <termios.h>
#include <unistd.h>

#define CALM_RAD_S 2.0 /* of a joint whose file says no velocity: whatever comes first is gone to, not jumped to */
#define TURN 6.283185307179586
#define FILE_MAX 65536
#define CAMERAS_MAX 8
#define FIRST_ROUNDS 50 /* until every joint must have answered */

typedef struct robot {
  mynah_device base;
  const mynah__servo_protocol *protocol;
  int fd, n;
  mynah_joint joints[MYNAH__SERVOS_MAX];
  uint8_t ids[MYNAH__SERVOS_MAX];
  double timeout_s;  /* for the answers of a round */
  int64_t lost_after; /* rounds without an answer of a joint, then it counts as lost */
  pthread_t thread;
  bool has_thread;
  atomic_bool is_ending, has_goals, wants_torque;
  atomic_int positions[MYNAH__SERVOS_MAX], goals[MYNAH__SERVOS_MAX]; /* ticks */
  atomic_int_fast64_t times_ns[MYNAH__SERVOS_MAX];                  /* of the last answers; 0: none yet */
  atomic_int_fast64_t n_rounds, n_answers, n_missing, n_damaged, silent[MYNAH__SERVOS_MAX];
  float state[MYNAH__SERVOS_MAX];
  mynah__watch *cameras[CAMERAS_MAX];
  int n_cameras;
} robot;

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static double number(const mynah_json *j, const char *key, double fallback) {
  const mynah_json *v = mynah_json_get(j, key);
  return v ? mynah_json_to_number(v, NAN) : fallback;
}

static mynah_status read_joint(const char *path, const mynah_json *j, mynah_joint *out) {
  int64_t id = mynah_json_to_integer(mynah_json_get(j, "id"), -1);
  *out = (mynah_joint){.id = (int)id, .zero = number(j, "zero", TURN / 2), .sign = mynah_json_to_bool(mynah_json_get(j, "reversed"), false) ? -1 : 1,
                       .low = number(j, "low", -TURN / 2), .high = number(j, "high", TURN / 2), .velocity = number(j, "velocity", CALM_RAD_S),
                       .acceleration = number(j, "acceleration", 0), .jerk = number(j, "jerk", 0)};
  MYNAH_TRY(mynah_copy_text(out->name, sizeof out->name, mynah_json_to_string(mynah_json_get(j, "name"), "")));
  if (id < 0 || id > 252 || !out->name[0]) return mynah_fail(MYNAH_INVALID, "%s: a joint needs a name and an id of 0 … 252", path);
  if (!(out->low <= out->high) || !isfinite(out->zero) || !(out->velocity >= 0) || !(out->acceleration >= 0) || !(out->jerk >= 0))
    return mynah_fail(MYNAH_INVALID, "%s: joint '%s': low, high, velocity, acceleration, jerk are no limits", path, out->name);
  return MYNAH_OK;
}

static mynah_status read_joints(robot *r, const char *path, const mynah_json *list) {
  size_t n = mynah_json_is_array(list) ? mynah_json_size(list) : 0;
  char names[MYNAH__SERVOS_MAX * 33] = "";
  if (n < 1 || n > MYNAH__SERVOS_MAX) return mynah_fail(MYNAH_INVALID, "%s: 'joints' is no list of 1 … %d", path, MYNAH__SERVOS_MAX);
  for (size_t i = 0; i < n; i++) {
    MYNAH_TRY(read_joint(path, mynah_json_at(list, i), &r->joints[i]));
    r->ids[i] = (uint8_t)r->joints[i].id;
    for (size_t k = 0; k < i; k++)
      if (r->ids[k] == r->ids[i]) return mynah_fail(MYNAH_INVALID, "%s: two joints have the id %d", path, r->ids[i]);
    snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "," : "", r->joints[i].name);
  }
  r->n = (int)n;
  bool fits = strlen(names) < sizeof r->base.features[0].names;
  r->base.features[0] = mynah_feature_vector("observation.state", r->n, fits ? names : "", "rad");
  r->base.features[1] = mynah_feature_vector("action", r->n, fits ? names : "", "rad");
  return MYNAH_OK;
}

static mynah_status read_camera(robot *r, const char *path, const mynah_json *j) {
  const char *name = mynah_json_to_string(mynah_json_get(j, "name"), ""), *device = mynah_json_to_string(mynah_json_get(j, "device"), "");
  double width = number(j, "width", 0), height = number(j, "height", 0), fps = number(j, "fps", 0);
  char feature[MYNAH_NAME_MAX];
  mynah_camera *camera;
  if (!name[0] || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name) || !device[0])
    return mynah_fail(MYNAH_INVALID, "%s: a camera needs a name (a-z, 0-9, _) and a device", path);
  if (!(width >= 0 && width <= MYNAH_IMAGE_MAX_SIDE && height >= 0 && height <= MYNAH_IMAGE_MAX_SIDE))
    return mynah_fail(MYNAH_INVALID, "%s: camera '%.32s': no such width and height", path, name);
  if ((size_t)snprintf(feature, sizeof feature, "observation.images.%s", name) >= sizeof feature)
    return mynah_fail(MYNAH_INVALID, "%s: camera '%.32s…': the name is too long", path, name);
  for (int i = 0; i < r->n_cameras; i++)
    if (strcmp(r->base.features[1 + i].name, feature) == 0) return mynah_fail(MYNAH_INVALID, "%s: two cameras are called '%s'", path, name);
  MYNAH_TRY(mynah_camera_open(device, &(mynah_camera_config){(int)width, (int)height, fps}, &camera));
  mynah_image size = mynah_camera_size(camera);
  MYNAH_TRY(mynah__watch_start(camera, &r->cameras[r->n_cameras]));
  r->base.features[1 + r->n_cameras++] = mynah_feature_image(feature, size.height, size.width);
  return MYNAH_OK;
}

static mynah_status read_cameras(robot *r, const char *path, const mynah_json *list) {
  size_t n = mynah_json_is_array(list) ? mynah_json_size(list) : 0;
  mynah_feature action = r->base.features[1];
  if (list && (!mynah_json_is_array(list) || n > CAMERAS_MAX)) return mynah_fail(MYNAH_INVALID, "%s: 'cameras' is no list of 0 … %d", path, CAMERAS_MAX);
  for (size_t i = 0; i < n; i++) MYNAH_TRY(read_camera(r, path, mynah_json_at(list, i)));
  r->base.features[1 + r->n_cameras] = action;
  r->base.n_observations = 1 + r->n_cameras;
  r->base.n_features = r->base.n_observations + 1;
  return MYNAH_OK;
}

static mynah_status choose_speed(int64_t baud, speed_t *out) {
  static const struct {
    int64_t baud;
    speed_t speed;
  } speeds[] = {{57600, B57600}, {115200, B115200}, {500000, B500000}, {1000000, B1000000}, {2000000, B2000000}, {3000000, B3000000}, {4000000, B4000000}};
  for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++)
    if (speeds[i].baud == baud) {
      *out = speeds[i].speed;
      return MYNAH_OK;
    }
  return mynah_fail(MYNAH_INVALID, "baud %lld: 57600, 115200, 500000, 1000000 … 4000000 are known", (long long)baud);
}

static mynah_status open_port(robot *r, const char *port, int64_t baud) {
  struct termios t;
  speed_t speed = B1000000;
  MYNAH_TRY(choose_speed(baud, &speed));
  r->fd = open(port, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (r->fd < 0) return mynah_fail_errno(port, errno == EACCES ? "cannot be opened: is this user in the group dialout?" : "cannot be opened");
  if (flock(r->fd, LOCK_EX | LOCK_NB) != 0) return mynah_fail(MYNAH_BUSY, "%s: another program drives it", port);
  if (tcgetattr(r->fd, &t) != 0) return mynah_fail(MYNAH_IO, "%s: is no serial port", port);
  cfmakeraw(&t);
  t.c_cflag |= CLOCAL | CREAD;
  if (cfsetspeed(&t, speed) != 0 || tcsetattr(r->fd, TCSANOW, &t) != 0) return mynah_fail(MYNAH_IO, "%s: cannot be set to %lld baud", port, (long long)baud);
  tcflush(r->fd, TCIOFLUSH);
  return MYNAH_OK;
}

static mynah_status read_file(robot *r, const char *path, const mynah_json *j) {
  const mynah_json *bus = mynah_json_get(j, "bus");
  const char *type = mynah_json_to_string(mynah_json_get(bus, "type"), "");
  r->protocol = strcmp(type, "feetech") == 0 ? &mynah__feetech : strcmp(type, "dynamixel") == 0 ? &mynah__dynamixel : NULL;
  if (!r->protocol) return mynah_fail(MYNAH_INVALID, "%s: bus.type '%s' is neither feetech nor dynamixel", path, type);
  r->base.rate_hz = number(j, "rate_hz", 50);
  r->timeout_s = number(bus, "timeout_ms", 5) * 1e-3;
  r->lost_after = (int64_t)number(bus, "lost_after", 25);
  if (!(r->base.rate_hz > 0) || !(r->timeout_s > 0) || r->lost_after < 1)
    return mynah_fail(MYNAH_INVALID, "%s: rate_hz, timeout_ms and lost_after are above 0", path);
  MYNAH_TRY(read_joints(r, path, mynah_json_get(j, "joints")));
  MYNAH_TRY(open_port(r, mynah_json_to_string(mynah_json_get(bus, "port"), ""), (int64_t)number(bus, "baud", 1000000)));
  return read_cameras(r, path, mynah_json_get(j, "cameras"));
}

/* ---- the bus --------------------------------------------------------------------------------------------------------- */

static void send_packet(const robot *r, const uint8_t *p, size_t n) {
  while (n > 0) {
    ssize_t k = write(r->fd, p, n);
    if (k < 0 && errno != EAGAIN && errno != EINTR) return; /* answers will be missing */
    if (k > 0) p += k, n -= (size_t)k;
    else poll(&(struct pollfd){r->fd, POLLOUT, 0}, 1, 2);
  }
}

static int index_of(const robot *r, int id) {
  for (int i = 0; i < r->n; i++)
    if (r->ids[i] == id) return i;
  return -1;
}

/* Takes answers out of what came; returns the bytes left over. */
static size_t take_replies(robot *r, uint8_t *in, size_t n, bool *has, int *n_has) {
  mynah__reply reply;
  size_t used = 1;
  while (used > 0 && n > 0) {
    used = r->protocol->read_reply(in, n, &reply);
    memmove(in, in + used, n - used);
    n -= used;
    int i = reply.kind == MYNAH__REPLY_GOOD ? index_of(r, reply.id) : -1;
    if (reply.kind == MYNAH__REPLY_DAMAGED) r->n_damaged++;
    if (i < 0 || has[i]) continue;
    has[i] = true;
    ++*n_has;
    atomic_store(&r->positions[i], reply.position);
    atomic_store_explicit(&r->times_ns[i], mynah_now_ns(), memory_order_release);
    atomic_store(&r->silent[i], 0);
    r->n_answers++;
  }
  return n;
}

/* Asks all joints; what has not answered in time is counted. What was left from before is thrown away: it is late. */
static void ask_all(robot *r) {
  uint8_t packet[MYNAH__PACKET_MAX], in[MYNAH__PACKET_MAX];
  bool has[MYNAH__SERVOS_MAX] = {false};
  int n_has = 0;
  size_t n = 0;
  tcflush(r->fd, TCIFLUSH);
  send_packet(r, packet, r->protocol->ask_positions(r->ids, r->n, packet));
  int64_t end = mynah_now_ns() + (int64_t)(r->timeout_s * 1e9);
  while (n_has < r->n) {
    int64_t left = end - mynah_now_ns();
    if (left <= 0) break;
    struct timespec t = {.tv_nsec = left < 1000000000 ? (long)left : 999999999};
    if (ppoll(&(struct pollfd){r->fd, POLLIN, 0}, 1, &t, NULL) <= 0) continue;
    ssize_t k = read(r->fd, in + n, sizeof in - n);
    if (k <= 0) break;
    n = take_replies(r, in, n + (size_t)k, has, &n_has);
    if (n == sizeof in) n = 0; /* nothing but noise */
  }
  for (int i = 0; i < r->n; i++)
    if (!has[i]) {
      r->n_missing++;
      r->silent[i]++;
    }
  r->n_rounds++;
}

static void send_goals(const robot *r) {
  uint8_t packet[MYNAH__PACKET_MAX];
  int32_t goals[MYNAH__SERVOS_MAX];
  for (int i = 0; i < r->n; i++) goals[i] = atomic_load(&r->goals[i]);
  send_packet(r, packet, r->protocol->command(r->ids, goals, r->n, packet));
}

static void send_torque(const robot *r) {
  uint8_t packet[MYNAH__PACKET_MAX];
  send_packet(r, packet, r->protocol->torque(r->ids, r->n, true, packet));
}

/* One round after the other, about twice as often as control asks. */
static void *talk(void *context) {
  robot *r = context;
  int64_t period = (int64_t)(0.5e9 / r->base.rate_hz), next = mynah_now_ns();
  while (!atomic_load(&r->is_ending)) {
    if (atomic_exchange(&r->has_goals, false)) send_goals(r);
    if (atomic_exchange(&r->wants_torque, false)) send_torque(r);
    ask_all(r);
    next = next + period > mynah_now_ns() ? next + period : mynah_now_ns();
    mynah_sleep_until_ns(next);
  }
  return NULL;
}

/* ---- the device -------------------------------------------------------------------------------------------------------- */

static double angle_of(const mynah_joint *j, int32_t ticks) { return j->sign * ((double)ticks * TURN / MYNAH__TICKS_A_TURN - j->zero); }
static int32_t ticks_of(const mynah_joint *j, double angle) {
  double ticks = (angle * j->sign + j->zero) * MYNAH__TICKS_A_TURN / TURN;
  return isfinite(ticks) ? (int32_t)fmin(1e6, fmax(-1e6, round(ticks))) : 0;
}

static void close_robot(mynah_device *d) {
  robot *r = (robot *)d;
  if (!r) return;
  atomic_store(&r->is_ending, true);
  if (r->has_thread) pthread_join(r->thread, NULL);
  for (int i = 0; i < r->n_cameras; i++) mynah__watch_end(r->cameras[i]);
  if (r->fd >= 0) close(r->fd);
  mynah_free(r);
}

static mynah_status start_robot(robot *r) {
  int missing = -1;
  for (int k = 0; k < FIRST_ROUNDS; k++) {
    ask_all(r);
    missing = -1;
    for (int i = 0; i < r->n; i++)
      if (atomic_load(&r->times_ns[i]) == 0) missing = i;
    if (missing < 0) break;
  }
  if (missing >= 0)
    return mynah_fail(MYNAH_IO, "joint '%s' (id %d) does not answer: is it powered, and are id, baud and wires right?",
                      r->joints[missing].name, r->joints[missing].id);
  r->base.type = &mynah_robot;
  r->base.max_steps = INT64_MAX;
  r->base.is_live = true;
  if (pthread_create(&r->thread, NULL, talk, r) != 0) return mynah_fail(MYNAH_LIMIT, "the bus thread cannot be made");
  r->has_thread = true;
  return MYNAH_OK;
}

mynah_status mynah_robot_open(const char *path, mynah_device **out) {
  char *text;
  size_t n;
  mynah_json *j = NULL;
  robot *r = mynah_calloc(1, sizeof *r);
  if (!r) return MYNAH_NO_MEMORY;
  r->fd = -1;
  mynah_status status = mynah_file_read(path, FILE_MAX, &text, &n);
  if (status == MYNAH_OK) {
    status = mynah_json_parse(text, n, &j);
    mynah_free(text);
    if (status != MYNAH_OK) status = mynah_error_context(status, "%s", path);
  }
  if (status == MYNAH_OK) status = read_file(r, path, j);
  mynah_json_destroy(j);
  if (status == MYNAH_OK) status = start_robot(r);
  if (status != MYNAH_OK) {
    close_robot(&r->base);
    return status;
  }
  *out = &r->base;
  return MYNAH_OK;
}

static mynah_status reset_robot(mynah_device *d, uint64_t seed) {
  robot *r = (robot *)d;
  (void)seed;
  for (int i = 0; i < r->n; i++) atomic_store(&r->goals[i], atomic_load(&r->positions[i]));
  atomic_store(&r->has_goals, true);
  atomic_store(&r->wants_torque, true); /* after the goals: it must not jump to older ones */
  d->is_done = false;
  d->step = 0;
  return MYNAH_OK;
}

static void observe_robot(mynah_device *d, mynah_value *values) {
  robot *r = (robot *)d;
  int64_t oldest = INT64_MAX;
  for (int i = 0; i < r->n; i++) {
    int64_t t = atomic_load_explicit(&r->times_ns[i], memory_order_acquire);
    if (t < oldest) oldest = t;
    r->state[i] = (float)angle_of(&r->joints[i], atomic_load(&r->positions[i]));
  }
  values[0] = (mynah_value){r->state, (size_t)r->n * sizeof(float), oldest};
  for (int i = 0; i < r->n_cameras; i++) values[1 + i] = mynah__watch_latest(r->cameras[i]);
}

static void act_robot(mynah_device *d, const float *action) {
  robot *r = (robot *)d;
  for (int i = 0; i < r->n; i++)
    if (isfinite(action[i])) atomic_store(&r->goals[i], ticks_of(&r->joints[i], (double)action[i]));
  atomic_store(&r->has_goals, true);
  d->step++;
}

static mynah_status health_of_robot(const mynah_device *d) {
  const robot *r = (const robot *)d;
  for (int i = 0; i < r->n; i++)
    if (atomic_load(&r->silent[i]) >= r->lost_after)
      return mynah_fail(MYNAH_IO, "joint '%s' has not answered %lld times", r->joints[i].name, (long long)r->lost_after);
  for (int i = 0; i < r->n_cameras; i++) MYNAH_TRY(mynah__watch_health(r->cameras[i]));
  return MYNAH_OK;
}

const mynah_joint *mynah_robot_joints(const mynah_device *d) { return ((const robot *)d)->joints; }

void mynah_robot_stop(void *device) {
  robot *r = device;
  for (int k = 0; k < 3; k++) {
    ask_all(r);
    for (int i = 0; i < r->n; i++) atomic_store(&r->goals[i], atomic_load(&r->positions[i]));
    send_goals(r);
  }
}

mynah_bus_counts mynah_robot_counts(const mynah_device *d) {
  const robot *r = (const robot *)d;
  return (mynah_bus_counts){atomic_load(&r->n_rounds), atomic_load(&r->n_answers), atomic_load(&r->n_missing), atomic_load(&r->n_damaged)};
}

const mynah_device_type mynah_robot = {.name = "robot", .summary = "servos on a serial bus and cameras, described by a JSON file", .close = close_robot,
                                       .reset = reset_robot, .observe = observe_robot, .act = act_robot, .health = health_of_robot};
