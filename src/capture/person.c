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
#include <termios.h>
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
  bool is_terminal;
  struct termios before; /* of the terminal */
  int64_t up_ns[KEY_MAX]; /* of a terminal: when a key that is down counts as let go; 0: it is up */
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

static const struct {
  int button, key;
  unsigned event;
} events[] = {{BTN_START, KEY_ENTER, MYNAH_PERSON_SAVE}, {BTN_SELECT, KEY_BACKSPACE, MYNAH_PERSON_REDO}, {BTN_MODE, KEY_ESC, MYNAH_PERSON_END},
              {BTN_SOUTH, KEY_Y, MYNAH_PERSON_SUCCESS}, {BTN_EAST, KEY_N, MYNAH_PERSON_FAILURE}, {BTN_NORTH, KEY_X, MYNAH_PERSON_DISCARD}};

static void on_key(mynah_person *p, int code, bool is_down) {
  if (code == BTN_TL || code == BTN_TR || code == KEY_SPACE) atomic_store(&p->is_held, is_down);
  for (size_t i = 0; is_down && i < sizeof events / sizeof *events; i++)
    if (code == events[i].button || code == events[i].key) atomic_fetch_or(&p->events, events[i].event);
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

/* ---- a terminal ------------------------------------------------------------------------------------------------------ */

#define FIRST_NS 600000000   /* a key counts as down: longer than terminals wait before they repeat it */
#define REPEAT_NS 150000000

static const struct {
  const char *bytes;
  int code;
} typed[] = {{"\x1b[A", KEY_UP}, {"\x1b[B", KEY_DOWN}, {"\x1b[C", KEY_RIGHT}, {"\x1b[D", KEY_LEFT}, {"\x1bOA", KEY_UP}, {"\x1bOB", KEY_DOWN},
             {"\x1bOC", KEY_RIGHT}, {"\x1bOD", KEY_LEFT}, {"a", KEY_A}, {"d", KEY_D}, {"s", KEY_S}, {"w", KEY_W}, {"\r", KEY_ENTER},
             {"\n", KEY_ENTER}, {"\x7f", KEY_BACKSPACE}, {"\b", KEY_BACKSPACE}, {"\x1b", KEY_ESC}, {"y", KEY_Y}, {"n", KEY_N}, {"x", KEY_X}};

static void on_typed(mynah_person *p, int code) {
  int64_t now = mynah_now_ns();
  bool is_repeated = p->up_ns[code] > 0;
  p->up_ns[code] = now + (is_repeated ? REPEAT_NS : FIRST_NS);
  if (!is_repeated) on_key(p, code, true);
}

/* Keys that were not repeated in time are up. */
static void let_keys_up(mynah_person *p) {
  int64_t now = mynah_now_ns();
  for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
    int code = typed[i].code;
    if (p->up_ns[code] == 0 || now < p->up_ns[code]) continue;
    p->up_ns[code] = 0;
    on_key(p, code, false);
  }
}

/* The bytes of one reading: sequences come whole, and an escape that nothing follows is the key. */
static void on_bytes(mynah_person *p, const char *bytes, size_t n) {
  for (size_t at = 0; at < n;) {
    size_t taken = 1;
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
      size_t length = strlen(typed[i].bytes);
      if (length > n - at || memcmp(typed[i].bytes, bytes + at, length) != 0) continue;
      taken = length;
      on_typed(p, typed[i].code);
      break;
    }
    if (bytes[at] == ' ') on_key(p, KEY_SPACE, !atomic_load(&p->is_held));
    at += taken;
  }
}

static void *listen_to_terminal(void *context) {
  mynah_person *p = context;
  char bytes[64];
  while (!atomic_load(&p->is_ending)) {
    struct pollfd fd = {p->fd, POLLIN, 0};
    if (poll(&fd, 1, 20) > 0) {
      ssize_t n = read(p->fd, bytes, sizeof bytes);
      if (n > 0) on_bytes(p, bytes, (size_t)n);
      else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        let_go(p);
        break;
      }
    }
    let_keys_up(p);
    publish(p);
  }
  return NULL;
}

/* Keys one by one and unseen; an interrupt stays one. */
static mynah_status take_terminal(mynah_person *p, const char *path) {
  if (tcgetattr(p->fd, &p->before) != 0) return mynah_fail_errno(path, "is no terminal");
  struct termios raw = p->before;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  if (tcsetattr(p->fd, TCSANOW, &raw) != 0) return mynah_fail_errno(path, "cannot be set");
  p->is_terminal = true;
  return MYNAH_OK;
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
  p->fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
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
  if (isatty(p->fd)) MYNAH_TRY(take_terminal(p, path));
  if (pthread_create(&p->thread, NULL, p->is_terminal ? listen_to_terminal : listen_to, p) != 0)
    return mynah_fail(MYNAH_LIMIT, "%s: its thread cannot be made", path);
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
  if (p->is_terminal) tcsetattr(p->fd, TCSANOW, &p->before);
  if (p->fd >= 0) close(p->fd);
  mynah_free(p);
}

bool mynah_person_action(const mynah_person *p, float *action) {
  for (int64_t e = 0; e < p->n_elements; e++) action[e] = atomic_load(&p->action[e]);
  return atomic_load(&p->is_held);
}

unsigned mynah_person_events(mynah_person *p) { return atomic_exchange(&p->events, 0); }
