/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A person at a gamepad or keyboard: events of the kernel become commands. */
#include <mynah/capture.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONTROLS_MAX 32
#define ELEMENTS_MAX 64
#define DEAD 0.05 /* of an axis around its middle */

static const struct {
  const char *name;
  int code;
} axes[] = {{"x", ABS_X},   {"y", ABS_Y},     {"z", ABS_Z},         {"rx", ABS_RX},       {"ry", ABS_RY},
            {"rz", ABS_RZ}, {"gas", ABS_GAS}, {"brake", ABS_BRAKE}, {"hat_x", ABS_HAT0X}, {"hat_y", ABS_HAT0Y}},
  keys[] = {{"left", KEY_LEFT}, {"right", KEY_RIGHT}, {"up", KEY_UP}, {"down", KEY_DOWN},
            {"a", KEY_A},       {"d", KEY_D},         {"s", KEY_S},   {"w", KEY_W}};
#define N_AXES ((int)(sizeof axes / sizeof *axes))
#define N_KEYS ((int)(sizeof keys / sizeof *keys))

/* One way to command an element; value: -1 … 1, scaled. */
typedef struct control {
  bool is_axis;
  int code, high_code; /* of an axis; of two keys */
  int element;
  double scale, low, high; /* an axis's range */
  bool is_low, is_high;    /* keys that are down */
  double value;
} control;

struct mynah_person {
  int fd;
  int64_t n_elements;
  control controls[CONTROLS_MAX];
  int n_controls;
  pthread_t thread;
  bool has_thread;
  atomic_bool is_ending, is_held;
  atomic_uint events;
  _Atomic float action[ELEMENTS_MAX];
};

/* ---- the map --------------------------------------------------------------------------------------------------------- */

static int code_of(const char *name, bool is_axis) {
  for (int i = 0; i < (is_axis ? N_AXES : N_KEYS); i++)
    if (strcmp(is_axis ? axes[i].name : keys[i].name, name) == 0) return is_axis ? axes[i].code : keys[i].code;
  return -1;
}

static mynah_status add_control(mynah_person *p, char *text) {
  char *rest = text, *name = strsep(&rest, ":"), *element = strsep(&rest, ":"), *scale = rest, *end = NULL;
  char *high = strchr(name, '/');
  if (p->n_controls == CONTROLS_MAX) return mynah_fail(MYNAH_LIMIT, "map: more than %d controls", CONTROLS_MAX);
  control *c = &p->controls[p->n_controls];
  *c = (control){.is_axis = !high, .scale = 1, .low = -32768, .high = 32767};
  if (high) *high++ = 0;
  c->code = code_of(name, c->is_axis);
  if (high) c->high_code = code_of(high, false);
  c->element = element ? (int)strtol(element, &end, 10) : -1;
  if (c->code < 0 || c->high_code < 0 || !element || end == element || *end) return mynah_fail(MYNAH_INVALID, "map: '%s' is no CONTROL:ELEMENT[:SCALE]", name);
  if (scale) {
    c->scale = strtod(scale, &end);
    if (end == scale || *end || !isfinite(c->scale)) return mynah_fail(MYNAH_INVALID, "map: '%s' is no scale", scale);
  }
  if (c->element < 0 || c->element >= p->n_elements) return MYNAH_OK; /* an action of fewer elements */
  p->n_controls++;
  return MYNAH_OK;
}

static mynah_status read_map(mynah_person *p, const char *map) {
  char text[MYNAH_TEXT_MAX], *rest = text;
  MYNAH_TRY(mynah_copy_text(text, sizeof text, map && map[0] ? map : "x:0,y:1:-1,left/right:0,down/up:1,a/d:0,s/w:1"));
  for (char *one; (one = strsep(&rest, ","));) MYNAH_TRY(add_control(p, one));
  return p->n_controls > 0 ? MYNAH_OK : mynah_fail(MYNAH_INVALID, "map: commands no element of the action");
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

static double position_on(const control *c, int value) {
  double middle = 0.5 * (c->low + c->high), half = 0.5 * (c->high - c->low);
  double x = half > 0 ? ((double)value - middle) / half : 0;
  if (fabs(x) < DEAD) return 0;
  return fmax(-1, fmin(1, copysign((fabs(x) - DEAD) / (1 - DEAD), x)));
}

/* What an element is commanded: the control furthest from its middle. */
static void publish(mynah_person *p) {
  for (int64_t e = 0; e < p->n_elements; e++) {
    double most = 0;
    for (int i = 0; i < p->n_controls; i++) {
      const control *c = &p->controls[i];
      double v = c->scale * c->value;
      if (c->element == e && fabs(v) > fabs(most)) most = v;
    }
    atomic_store(&p->action[e], (float)most);
  }
}

static void on_key(mynah_person *p, int code, bool is_down) {
  if (code == BTN_TL || code == BTN_TR || code == KEY_SPACE) atomic_store(&p->is_held, is_down);
  unsigned bits = code == BTN_START || code == KEY_ENTER ? MYNAH_PERSON_SAVE : code == BTN_SELECT || code == KEY_BACKSPACE ? MYNAH_PERSON_REDO
                  : code == BTN_MODE || code == KEY_ESC ? MYNAH_PERSON_END : 0;
  if (is_down) atomic_fetch_or(&p->events, bits);
  for (int i = 0; i < p->n_controls; i++) {
    control *c = &p->controls[i];
    if (c->is_axis) continue;
    if (c->code == code) c->is_low = is_down;
    if (c->high_code == code) c->is_high = is_down;
    c->value = (double)c->is_high - (double)c->is_low;
  }
}

static void on_event(mynah_person *p, const struct input_event *e) {
  if (e->type == EV_KEY && e->value != 2) on_key(p, e->code, e->value != 0); /* 2: a key that repeats */
  for (int i = 0; e->type == EV_ABS && i < p->n_controls; i++)
    if (p->controls[i].is_axis && p->controls[i].code == e->code) p->controls[i].value = position_on(&p->controls[i], e->value);
  publish(p);
}

/* A device that goes away commands nothing. */
static void let_go(mynah_person *p) {
  atomic_store(&p->is_held, false);
  for (int i = 0; i < p->n_controls; i++) p->controls[i].value = 0;
  publish(p);
  atomic_fetch_or(&p->events, MYNAH_PERSON_END);
}

static void *listen_to(void *context) {
  mynah_person *p = context;
  struct input_event e;
  while (!atomic_load(&p->is_ending)) {
    struct pollfd fd = {p->fd, POLLIN, 0};
    if (poll(&fd, 1, 50) <= 0) continue;
    ssize_t n = read(p->fd, &e, sizeof e);
    if (n == (ssize_t)sizeof e) on_event(p, &e);
    else if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    else {
      let_go(p);
      break;
    }
  }
  return NULL;
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

static mynah_status start(mynah_person *p, const char *path, const char *map) {
  MYNAH_TRY(read_map(p, map));
  p->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (p->fd < 0) return mynah_fail_errno(path, errno == EACCES ? "cannot be opened: is this user in the group input?" : "cannot be opened");
  for (int i = 0; i < p->n_controls; i++) {
    struct input_absinfo info;
    control *c = &p->controls[i];
    if (!c->is_axis || ioctl(p->fd, EVIOCGABS(c->code), &info) != 0 || info.maximum <= info.minimum) continue;
    c->low = info.minimum;
    c->high = info.maximum;
    c->value = position_on(c, info.value);
  }
  publish(p);
  if (pthread_create(&p->thread, NULL, listen_to, p) != 0) return mynah_fail(MYNAH_LIMIT, "%s: its thread cannot be made", path);
  p->has_thread = true;
  return MYNAH_OK;
}

mynah_status mynah_person_open(const char *path, const char *map, int64_t n_elements, mynah_person **out) {
  if (n_elements < 1 || n_elements > ELEMENTS_MAX) return mynah_fail(MYNAH_LIMIT, "a person commands 1 … %d elements", ELEMENTS_MAX);
  mynah_person *p = mynah_calloc(1, sizeof *p);
  if (!p) return MYNAH_NO_MEMORY;
  p->fd = -1;
  p->n_elements = n_elements;
  mynah_status status = start(p, path, map);
  if (status != MYNAH_OK) {
    mynah_person_close(p);
    return status;
  }
  *out = p;
  return MYNAH_OK;
}

void mynah_person_close(mynah_person *p) {
  if (!p) return;
  atomic_store(&p->is_ending, true);
  if (p->has_thread) pthread_join(p->thread, NULL);
  if (p->fd >= 0) close(p->fd);
  mynah_free(p);
}

bool mynah_person_action(const mynah_person *p, float *action) {
  for (int64_t e = 0; e < p->n_elements; e++) action[e] = atomic_load(&p->action[e]);
  return atomic_load(&p->is_held);
}

unsigned mynah_person_events(mynah_person *p) { return atomic_exchange(&p->events, 0); }
