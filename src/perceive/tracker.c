/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tracks through boxes: each box's centre and size move at constant velocity as far as a Kalman filter knows; boxes of high
 * score are matched to them first, those of low score to what is left (Zhang et al. 2022, "ByteTrack", algorithm 1). Times are
 * true ones, so a late or missing picture only lets the filter look further ahead.
 *
 * The four numbers are filtered apart, as their noises are independent: two states each, position and velocity. Deviations
 * are shares of the box's height, after Wojke et al. 2017 (DeepSORT), turned from steps of 1/30 s into time. */
#include "perceive_internal.h"

#include <math.h>
#include <string.h>

#define TRACKS_MAX 256
#define BOXES_MAX 512
#define MEASURED 0.05  /* deviation of a measured position, in heights */
#define WANDERS 1.0    /* of a velocity after one second, in heights a second */
#define FIRST_SPEED 2.0 /* of an unknown velocity, in heights a second */

#define TRACKER_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_tracker_config, type, field, name, value, low, high, unit, help)
static const mynah_key tracker_keys[] = {MYNAH_TRACKER_KEYS(TRACKER_ROW)};
const mynah_config_table mynah_tracker_table = {"tracker", tracker_keys, sizeof tracker_keys / sizeof *tracker_keys,
                                                sizeof(mynah_tracker_config)};

/* ---- one number over time ------------------------------------------------------------------------------------------------ */

typedef struct filter {
  double x, v;          /* position, velocity */
  double xx, xv, vv;    /* covariance */
} filter;

static void predict(filter *f, double dt, double wander) {
  double q = wander * wander; /* white acceleration */
  f->x += f->v * dt;
  f->xx += dt * (2 * f->xv + dt * f->vv) + q * dt * dt * dt / 3;
  f->xv += dt * f->vv + q * dt * dt / 2;
  f->vv += q * dt;
}

static void correct(filter *f, double measured, double deviation) {
  double total = f->xx + deviation * deviation, gain = f->xx / total, gain_v = f->xv / total, off = measured - f->x;
  f->x += gain * off;
  f->v += gain_v * off;
  f->vv -= gain_v * f->xv;
  f->xx *= 1 - gain;
  f->xv *= 1 - gain;
}

/* ---- tracks ---------------------------------------------------------------------------------------------------------------- */

typedef struct track {
  filter f[4]; /* centre x, centre y, width, height */
  int64_t seen_ns, born_ns;
  int n_seen;
  mynah_tracked shown;
} track;

struct mynah_tracker {
  mynah_tracker_config config;
  track tracks[TRACKS_MAX];
  int n_tracks;
  mynah_tracked shown[TRACKS_MAX];
  int n_shown;
  int64_t next_id, time_ns;
  bool has_begun;
  double *cost; /* (TRACKS_MAX, BOXES_MAX) */
  mynah__assign_room *room;
};

mynah_status mynah_tracker_create(const mynah_tracker_config *c, mynah_tracker **out) {
  mynah_tracker *t = mynah_calloc(1, sizeof *t);
  if (!t) return MYNAH_NO_MEMORY;
  if (c) t->config = *c;
  else mynah_config_default(&mynah_tracker_table, &t->config);
  t->cost = mynah_calloc(TRACKS_MAX * BOXES_MAX, sizeof *t->cost);
  t->room = mynah_calloc(1, sizeof *t->room);
  if (!t->cost || !t->room) {
    mynah_tracker_destroy(t);
    return MYNAH_NO_MEMORY;
  }
  *out = t;
  return MYNAH_OK;
}

void mynah_tracker_destroy(mynah_tracker *t) {
  if (!t) return;
  mynah_free(t->cost);
  mynah_free(t->room);
  mynah_free(t);
}

void mynah_tracker_reset(mynah_tracker *t) {
  t->n_tracks = t->n_shown = 0;
  t->next_id = 0;
  t->has_begun = false;
}

static void measured(const mynah_box *b, double out[4]) {
  out[0] = ((double)b->x1 + (double)b->x2) / 2;
  out[1] = ((double)b->y1 + (double)b->y2) / 2;
  out[2] = (double)b->x2 - (double)b->x1;
  out[3] = (double)b->y2 - (double)b->y1;
}

static double height_of(const track *k) { return fmax(k->f[3].x, 1); }

/* What a track shows: the filtered box with the last label and score. */
static void show(track *k) {
  double w = fmax(k->f[2].x, 0) / 2, h = fmax(k->f[3].x, 0) / 2;
  mynah_box *b = &k->shown.box;
  b->x1 = (float)(k->f[0].x - w), b->x2 = (float)(k->f[0].x + w);
  b->y1 = (float)(k->f[1].x - h), b->y2 = (float)(k->f[1].x + h);
  k->shown.vx = (float)k->f[0].v;
  k->shown.vy = (float)k->f[1].v;
  k->shown.seen_ns = k->seen_ns;
}

static void move_on(mynah_tracker *t, double dt) {
  for (int i = 0; i < t->n_tracks; i++) {
    track *k = &t->tracks[i];
    for (int c = 0; c < 4; c++) predict(&k->f[c], dt, WANDERS * height_of(k));
    show(k);
  }
}

static void see(track *k, const mynah_box *b, int64_t time_ns) {
  double m[4];
  measured(b, m);
  for (int c = 0; c < 4; c++) correct(&k->f[c], m[c], MEASURED * height_of(k));
  k->seen_ns = time_ns;
  k->n_seen++;
  k->shown.box.confidence = b->confidence;
  show(k);
}

static void begin(mynah_tracker *t, mynah_box *b, int64_t time_ns) {
  double m[4];
  if (t->n_tracks == TRACKS_MAX) return;
  track *k = &t->tracks[t->n_tracks++];
  *k = (track){.born_ns = time_ns, .seen_ns = time_ns, .n_seen = 1};
  measured(b, m);
  double h = fmax(m[3], 1);
  for (int c = 0; c < 4; c++)
    k->f[c] = (filter){m[c], 0, MEASURED * h * MEASURED * h, 0, FIRST_SPEED * h * FIRST_SPEED * h};
  k->shown.box = *b;
  k->shown.box.id = t->next_id++;
  show(k);
}

/* ---- matching --------------------------------------------------------------------------------------------------------------- */

/* Which boxes and tracks a round is about. */
typedef struct round {
  int tracks[TRACKS_MAX], boxes[BOXES_MAX];
  int n_tracks, n_boxes;
  double least_iou;
} round_of;

/* Matched pairs are taken out of both lists. */
static void match(mynah_tracker *t, round_of *r, mynah_box *boxes, int64_t time_ns) {
  int other[TRACKS_MAX], n = 0;
  for (int i = 0; i < r->n_tracks; i++)
    for (int j = 0; j < r->n_boxes; j++) {
      const mynah_box *a = &t->tracks[r->tracks[i]].shown.box, *b = &boxes[r->boxes[j]];
      double iou = a->label == b->label ? (double)mynah_box_iou(a, b) : 0;
      t->cost[i * r->n_boxes + j] = iou >= r->least_iou && iou > 0 ? 1 - iou : MYNAH__ASSIGN_NEVER;
    }
  mynah__assign(t->room, t->cost, r->n_tracks, r->n_boxes, other);
  bool is_taken[BOXES_MAX] = {false};
  for (int i = 0; i < r->n_tracks; i++) {
    if (other[i] < 0) {
      r->tracks[n++] = r->tracks[i];
      continue;
    }
    track *k = &t->tracks[r->tracks[i]];
    mynah_box *b = &boxes[r->boxes[other[i]]];
    is_taken[other[i]] = true;
    see(k, b, time_ns);
    if (k->n_seen > 1) b->id = k->shown.box.id;
  }
  r->n_tracks = n;
  n = 0;
  for (int j = 0; j < r->n_boxes; j++)
    if (!is_taken[j]) r->boxes[n++] = r->boxes[j];
  r->n_boxes = n;
}

static void collect_boxes(round_of *r, const mynah_box *boxes, int n, double low, double high) {
  r->n_boxes = 0;
  for (int j = 0; j < n && r->n_boxes < BOXES_MAX; j++)
    if ((double)boxes[j].confidence >= low && (double)boxes[j].confidence < high) r->boxes[r->n_boxes++] = j;
}

/* Before a picture is matched: what was unseen for longer than max_age_s must not take its boxes. */
static void forget_old(mynah_tracker *t, int64_t time_ns) {
  int n = 0;
  for (int i = 0; i < t->n_tracks; i++)
    if ((double)(time_ns - t->tracks[i].seen_ns) * 1e-9 <= t->config.max_age_s) t->tracks[n++] = t->tracks[i];
  t->n_tracks = n;
}

/* After that: what was seen once and not again was nothing. */
static void drop_doubtful(mynah_tracker *t, int64_t time_ns) {
  int n = 0;
  for (int i = 0; i < t->n_tracks; i++)
    if (t->tracks[i].n_seen > 1 || t->tracks[i].seen_ns == time_ns) t->tracks[n++] = t->tracks[i];
  t->n_tracks = n;
}

static void show_all(mynah_tracker *t) {
  t->n_shown = 0;
  for (int i = 0; i < t->n_tracks; i++)
    if (t->tracks[i].n_seen > 1) t->shown[t->n_shown++] = t->tracks[i].shown;
}

void mynah_tracker_update(mynah_tracker *t, int64_t time_ns, mynah_box *boxes, int n) {
  const mynah_tracker_config *c = &t->config;
  round_of r = {.least_iou = c->iou};
  bool is_first = !t->has_begun;
  for (int j = 0; j < n; j++) boxes[j].id = -1;
  forget_old(t, time_ns);
  if (!is_first && time_ns > t->time_ns) move_on(t, (double)(time_ns - t->time_ns) * 1e-9);
  t->time_ns = time_ns;
  t->has_begun = true;
  for (int i = 0; i < t->n_tracks; i++) r.tracks[r.n_tracks++] = i;
  collect_boxes(&r, boxes, n, c->high, INFINITY);
  match(t, &r, boxes, time_ns);
  int begun[BOXES_MAX], n_begun = r.n_boxes;
  memcpy(begun, r.boxes, (size_t)n_begun * sizeof *begun);
  collect_boxes(&r, boxes, n, c->low, c->high);
  r.least_iou = fmax(c->iou, 0.5);
  match(t, &r, boxes, time_ns);
  drop_doubtful(t, time_ns);
  for (int j = 0; j < n_begun; j++) {
    if ((double)boxes[begun[j]].confidence < c->start) continue;
    int before = t->n_tracks;
    begin(t, &boxes[begun[j]], time_ns);
    if (!is_first || t->n_tracks == before) continue; /* what is in the first picture need not wait */
    t->tracks[before].n_seen = 2;
    boxes[begun[j]].id = t->tracks[before].shown.box.id;
  }
  show_all(t);
}

const mynah_tracked *mynah_tracker_all(const mynah_tracker *t, int *n) {
  *n = t->n_shown;
  return t->shown;
}
