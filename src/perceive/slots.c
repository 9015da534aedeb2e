/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tracks in named places of a vector, which a policy can take as any other state. */
#include "perceive_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURE "observation.environment_state"

#define SLOTS_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_slots_config, type, field, name, value, low, high, unit, help)
static const mynah_key slots_keys[] = {MYNAH_SLOTS_KEYS(SLOTS_ROW)};
const mynah_config_table mynah_slots_table = {"slots", slots_keys, sizeof slots_keys / sizeof *slots_keys,
                                              sizeof(mynah_slots_config)};

/* Elements of a slot; the last four only with motion. */
enum { VALID, CX, CY, W, H, CONF, VX, VY, AGE, N_ELEMENTS };
static const char *const element_names[N_ELEMENTS] = {"valid", "cx", "cy", "w", "h", "conf", "vx", "vy", "age"};

/* Which of several objects a free slot takes: the one with the highest number. */
typedef double (*order_fn)(const mynah_box *b);
static double largest(const mynah_box *b) { return (double)(b->x2 - b->x1) * (double)(b->y2 - b->y1); }
static double lowest(const mynah_box *b) { return (double)b->y2; }
static double leftmost(const mynah_box *b) { return -(double)b->x1; }
static double best(const mynah_box *b) { return (double)b->confidence; }
static const struct {
  const char *name;
  order_fn fn;
} orders[] = {{"largest", largest}, {"lowest", lowest}, {"left", leftmost}, {"best", best}};

typedef struct slot {
  char name[48]; /* "cone.0" */
  int label;
  order_fn order;
  bool is_required;
  int64_t id;      /* of its track; -1: none */
  int64_t seen_ns; /* when last; -1: never */
  float values[N_ELEMENTS];
} slot;

struct mynah_slots {
  mynah_slots_config config;
  slot slots[MYNAH_SLOTS_MAX];
  int n;
  int64_t start_ns, time_ns;
  bool has_begun;
};

/* ---- the list ---------------------------------------------------------------------------------------------------------------- */

typedef struct classes {
  const char *const *names;
  int n;
} classes;

static mynah_status add_slots(mynah_slots *s, const char *name, int label, int count, const slot *like) {
  if (count < 1 || count > MYNAH_SLOTS_MAX - s->n) return mynah_fail(MYNAH_LIMIT, "slots: at most %d in all", MYNAH_SLOTS_MAX);
  for (int i = 0; i < count; i++) {
    slot *k = &s->slots[s->n++];
    *k = *like;
    k->label = label;
    snprintf(k->name, sizeof k->name, "%.40s.%d", name, i);
  }
  return MYNAH_OK;
}

/* "cone*2@left!" */
static mynah_status parse_entry(mynah_slots *s, const classes *c, char *entry) {
  slot like = {.order = largest, .id = -1, .seen_ns = -1};
  size_t length = strlen(entry);
  long count = 1;
  if (length && entry[length - 1] == '!') like.is_required = true, entry[--length] = 0;
  char *at = strrchr(entry, '@'), *end;
  if (at) {
    like.order = NULL;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
      if (strcmp(orders[i].name, at + 1) == 0) like.order = orders[i].fn;
    if (!like.order) return mynah_fail(MYNAH_INVALID, "slots: '@%s' is none of largest, lowest, left, best", at + 1);
    *at = 0;
  }
  char *star = strrchr(entry, '*');
  if (star) {
    count = strtol(star + 1, &end, 10);
    if (end == star + 1 || *end || count < 1) return mynah_fail(MYNAH_INVALID, "slots: '*%s' is no count", star + 1);
    *star = 0;
  }
  for (int i = 0; i < s->n; i++)
    for (int k = 0; k < c->n; k++)
      if (strcmp(c->names[k], entry) == 0 && s->slots[i].label == k)
        return mynah_fail(MYNAH_INVALID, "slots: '%s' stands there twice: write %s*2", entry, entry);
  for (int k = 0; k < c->n; k++)
    if (strcmp(c->names[k], entry) == 0) return add_slots(s, entry, k, count > MYNAH_SLOTS_MAX ? -1 : (int)count, &like);
  const char *near = mynah_nearest(entry, c->names, (size_t)c->n);
  return mynah_fail(MYNAH_NOT_FOUND, "slots: there is no class '%s'%s%s%s", entry, near ? "; did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
}

static int n_elements(const mynah_slots *s) { return s->config.has_motion ? N_ELEMENTS : CONF; }

static mynah_status parse_list(mynah_slots *s, const classes *c) {
  char text[MYNAH_TEXT_MAX];
  size_t n_names = 0;
  memcpy(text, s->config.slots, sizeof text);
  for (char *entry = text, *end; entry; entry = end) {
    end = strchr(entry, ',');
    if (end) *end++ = 0;
    while (*entry == ' ') entry++;
    if (!*entry) return mynah_fail(MYNAH_INVALID, "slots: name at least one class: slots=cone*2,ball!");
    MYNAH_TRY(parse_entry(s, c, entry));
  }
  for (int i = 0; i < s->n; i++)
    for (int e = 0; e < n_elements(s); e++) n_names += strlen(s->slots[i].name) + strlen(element_names[e]) + sizeof "obj..";
  if (n_names >= sizeof((mynah_feature *)0)->names)
    return mynah_fail(MYNAH_LIMIT, "slots: the elements' names have %zu bytes, %zu fit: take fewer slots or shorter names", n_names,
                      sizeof((mynah_feature *)0)->names);
  return MYNAH_OK;
}

mynah_status mynah_slots_create_named(const mynah_slots_config *c, const char *const *names, int n_classes, mynah_slots **out) {
  mynah_slots *s = mynah_calloc(1, sizeof *s);
  if (!s) return MYNAH_NO_MEMORY;
  s->config = *c;
  mynah_status status = parse_list(s, &(classes){names, n_classes});
  if (status == MYNAH_OK) *out = s;
  else mynah_free(s);
  return status;
}

mynah_status mynah_slots_create(const mynah_slots_config *c, const mynah_detector *d, mynah_slots **out) {
  return mynah_slots_create_named(c, (const char *const *)d->names.text, d->names.n, out);
}

void mynah_slots_destroy(mynah_slots *s) { mynah_free(s); }

void mynah_slots_reset(mynah_slots *s) {
  for (int i = 0; i < s->n; i++) {
    s->slots[i].id = s->slots[i].seen_ns = -1;
    memset(s->slots[i].values, 0, sizeof s->slots[i].values);
  }
  s->has_begun = false;
}

mynah_feature mynah_slots_feature(const mynah_slots *s) {
  char names[sizeof((mynah_feature *)0)->names];
  int from[MYNAH_MIRROR_MAX], n = 0, length = 0;
  float offset[MYNAH_MIRROR_MAX] = {0};
  bool is_mirrorable = s->n * n_elements(s) <= MYNAH_MIRROR_MAX;
  names[0] = 0;
  for (int i = 0; i < s->n; i++)
    for (int e = 0; e < n_elements(s); e++, n++) {
      length += snprintf(names + length, sizeof names - (size_t)length, "%sobj.%s.%s", n ? "," : "", s->slots[i].name, element_names[e]);
      if (n >= MYNAH_MIRROR_MAX) continue;
      from[n] = e == CX || e == VX ? -(n + 1) : n + 1;
      offset[n] = e == CX ? 1 : 0;
    }
  mynah_feature f = mynah_feature_vector(FEATURE, n, names, "");
  for (int i = 0; i < s->n; i++) is_mirrorable = is_mirrorable && s->slots[i].order != leftmost;
  if (is_mirrorable) mynah_feature_mirror(&f, from, offset);
  return f;
}

/* ---- each picture -------------------------------------------------------------------------------------------------------------- */

static bool is_held(const mynah_slots *s, int64_t id) {
  for (int i = 0; i < s->n; i++)
    if (s->slots[i].id == id) return true;
  return false;
}

static const mynah_tracked *find_track(const mynah_tracked *tracks, int n, int64_t id) {
  for (int i = 0; i < n && id >= 0; i++)
    if (tracks[i].box.id == id) return &tracks[i];
  return NULL;
}

/* The best object of its class that is seen now and that no slot holds. */
static const mynah_tracked *find_new(const mynah_slots *s, const slot *k, const mynah_tracked *tracks, int n) {
  const mynah_tracked *found = NULL;
  for (int i = 0; i < n; i++) {
    const mynah_tracked *t = &tracks[i];
    if (t->box.label != k->label || t->seen_ns != s->time_ns || is_held(s, t->box.id)) continue;
    if (!found || k->order(&t->box) > k->order(&found->box)) found = t;
  }
  return found;
}

static double unseen_s(const mynah_slots *s, const slot *k) {
  return (double)(s->time_ns - (k->seen_ns < 0 ? s->start_ns : k->seen_ns)) * 1e-9;
}

static void fill(slot *k, const mynah_tracked *t, int width, int height) {
  const mynah_box *b = &t->box;
  float w = (float)width, h = (float)height;
  const float values[N_ELEMENTS] = {1,
                                    (b->x1 + b->x2) / 2 / w,
                                    (b->y1 + b->y2) / 2 / h,
                                    (b->x2 - b->x1) / w,
                                    (b->y2 - b->y1) / h,
                                    b->confidence,
                                    t->vx / w,
                                    t->vy / h,
                                    0};
  memcpy(k->values, values, sizeof values);
}

void mynah_slots_update(mynah_slots *s, const mynah_tracked *tracks, int n, int64_t time_ns, int width, int height, float *out) {
  if (!s->has_begun) s->start_ns = time_ns;
  s->has_begun = true;
  s->time_ns = time_ns;
  for (int i = 0; i < s->n; i++) {
    slot *k = &s->slots[i];
    if (k->id >= 0 && !find_track(tracks, n, k->id) && unseen_s(s, k) > s->config.hold_s) k->id = -1;
    const mynah_tracked *own = find_track(tracks, n, k->id);
    if (own && own->seen_ns != time_ns && unseen_s(s, k) > s->config.hold_s) own = NULL, k->id = -1;
    if (k->id < 0 && (own = find_new(s, k, tracks, n))) k->id = own->box.id;
    bool is_seen = own && own->seen_ns == time_ns;
    if (is_seen) fill(k, own, width, height), k->seen_ns = time_ns;
    k->values[VALID] = is_seen;
    k->values[AGE] = is_seen ? 0 : (float)unseen_s(s, k);
    memcpy(out, k->values, (size_t)n_elements(s) * sizeof *out);
    out += n_elements(s);
  }
}

bool mynah_slots_is_lost(const mynah_slots *s) {
  for (int i = 0; i < s->n; i++)
    if (s->slots[i].is_required && s->has_begun && unseen_s(s, &s->slots[i]) > s->config.hold_s) return true;
  return false;
}
