/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reference kernels of training a detector: which cells answer for which object, and the loss of what they say. */
#include "ref.h"

#include <math.h>

#define IOU_EPSILON 1e-7
#define EPSILON 1e-9
#define PI 3.14159265358979323846

/* One sample, or the whole batch seen from it. */
typedef struct sample {
  int64_t cells, boxes, classes;
  const real *distances; /* (cells,4) */
  const real *logits;    /* (cells,classes) */
  const real *objects;   /* (boxes,5) class, centre x, y, width, height */
  const real *grid;      /* (cells,3) centre x, y, size */
} sample;

static sample sample_at(const mynah__call *call, int64_t b) {
  const int64_t *logits = call->step->in[1].shape.dims;
  sample s = {logits[1],  call->step->in[2].shape.dims[1], logits[2], call->in[0], call->in[1], call->in[2],
              call->in[3]};
  s.distances += b * s.cells * 4;
  s.logits += b * s.cells * s.classes;
  s.objects += b * s.boxes * 5;
  return s;
}

typedef struct rect {
  double x1, y1, x2, y2;
} rect;

static rect object_rect(const real *o) {
  double x = (double)o[1], y = (double)o[2], w = (double)o[3], h = (double)o[4];
  return (rect){x - w / 2, y - h / 2, x + w / 2, y + h / 2};
}
static rect cell_rect(const sample *s, int64_t a) {
  const real *g = s->grid + 3 * a, *d = s->distances + 4 * a;
  double x = (double)g[0], y = (double)g[1], size = (double)g[2];
  return (rect){x - (double)d[0] * size, y - (double)d[1] * size, x + (double)d[2] * size, y + (double)d[3] * size};
}
static int64_t class_of(const sample *s, int64_t m) {
  int64_t k = (int64_t)s->objects[5 * m];
  return k >= 0 && k < s->classes ? k : -1;
}

/* ---- complete IoU (Zheng et al. 2020) --------------------------------------------------------------------------- */

/* 4/pi^2 (atan W/H - atan w/h)^2 */
static double aspect_of(double angle) { return 4 / (PI * PI) * angle * angle; }

/* iou - rho^2 / c^2 - alpha v of predicted p and object o; *alpha is used when it is not negative, else worked out:
 * v / (v - iou + 1), which is no part of the gradient. slope, when not NULL: derivatives by p's four edges. */
static double complete_iou(const rect *p, const rect *o, double *alpha, double slope[4]) {
  double w = p->x2 - p->x1, h = p->y2 - p->y1 + IOU_EPSILON, ow = o->x2 - o->x1, oh = o->y2 - o->y1 + IOU_EPSILON;
  double iw = fmax(0, fmin(p->x2, o->x2) - fmax(p->x1, o->x1)), ih = fmax(0, fmin(p->y2, o->y2) - fmax(p->y1, o->y1));
  double inter = iw * ih, both = w * h + ow * oh - inter + IOU_EPSILON, iou = inter / both;
  double cw = fmax(p->x2, o->x2) - fmin(p->x1, o->x1), ch = fmax(p->y2, o->y2) - fmin(p->y1, o->y1);
  double c2 = cw * cw + ch * ch + IOU_EPSILON, dx = o->x1 + o->x2 - p->x1 - p->x2, dy = o->y1 + o->y2 - p->y1 - p->y2;
  double rho2 = (dx * dx + dy * dy) / 4, angle = atan(ow / oh) - atan(w / h), v = aspect_of(angle);
  if (*alpha < 0) *alpha = v / (v - iou + (1 + IOU_EPSILON));
  if (!slope) return iou - (rho2 / c2 + v * *alpha);
  double of_v = *alpha * 8 / (PI * PI) * angle / (w * w + h * h); /* alpha dv = -of_v (h dw - w dh) */
  for (int k = 0; k < 4; k++) {
    bool is_x = k % 2 == 0, is_far = k >= 2;
    double sign = is_far ? 1 : -1, mine = is_x ? (is_far ? p->x2 : p->x1) : (is_far ? p->y2 : p->y1);
    double its = is_x ? (is_far ? o->x2 : o->x1) : (is_far ? o->y2 : o->y1);
    bool cuts = (is_x ? iw : ih) > 0 && (is_far ? mine < its : mine > its); /* the edge bounds the intersection */
    bool spans = is_far ? mine > its : mine < its;                          /* and the box around both */
    double d_inter = cuts ? sign * (is_x ? ih : iw) : 0, d_both = sign * (is_x ? h : w) - d_inter;
    double d_c2 = spans ? 2 * sign * (is_x ? cw : ch) : 0, d_rho2 = -(is_x ? dx : dy) / 2;
    slope[k] = (d_inter - iou * d_both) / both - (d_rho2 - rho2 / c2 * d_c2) / c2 + of_v * sign * (is_x ? h : -w);
  }
  return iou - (rho2 / c2 + v * *alpha);
}

/* ---- assignment (Feng et al. 2021, eq. 5; YOLO26's rules for small objects and for one cell an object) ---------- */

/* A cell that may answer for an object. */
typedef struct claim {
  int64_t cell;
  double metric;
} claim;

#define TOP_MAX 64

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* The smallest size of cells, and the next larger one. */
static void cell_sizes(const sample *s, double *least, double *next) {
  *least = *next = INFINITY;
  for (int64_t a = 0; a < s->cells; a++) *least = fmin(*least, (double)s->grid[3 * a + 2]);
  for (int64_t a = 0; a < s->cells; a++)
    if ((double)s->grid[3 * a + 2] > *least) *next = fmin(*next, (double)s->grid[3 * a + 2]);
  if (isinf(*next)) *next = *least;
}

/* Where an object's cells may have their centres: its box, sides below the smallest cell's grown to the next size, so
 * that an object between the centres has cells as well. */
static rect area_of(const sample *s, int64_t m, double least, double next) {
  const real *o = s->objects + 5 * m;
  double w = (double)o[3] < least ? next : (double)o[3], h = (double)o[4] < least ? next : (double)o[4];
  return (rect){(double)o[1] - w / 2, (double)o[2] - h / 2, (double)o[1] + w / 2, (double)o[2] + h / 2};
}
static bool is_inside(const sample *s, const rect *r, int64_t a) {
  double x = (double)s->grid[3 * a], y = (double)s->grid[3 * a + 1];
  return fmin(fmin(x - r->x1, y - r->y1), fmin(r->x2 - x, r->y2 - y)) > EPSILON;
}

static double overlap_of(const sample *s, int64_t m, int64_t a) {
  rect p = cell_rect(s, a), o = object_rect(s->objects + 5 * m);
  double alpha = -1;
  return fmax(0, complete_iou(&o, &p, &alpha, NULL));
}
/* t = score^alpha overlap^beta */
static double metric_of(const mynah__step *step, const sample *s, int64_t m, int64_t a, double overlap) {
  double score = sigmoid((double)s->logits[a * s->classes + class_of(s, m)]);
  return pow(score, step->a.f[0]) * pow(overlap, step->a.f[1]);
}

/* Best first; of equals the lower cell. */
static int insert_claim(claim *list, int n, int max, claim c) {
  int i = n;
  while (i > 0 && c.metric > list[i - 1].metric) i--;
  if (i == max) return n;
  int end = n < max ? n : max - 1;
  for (int k = end; k > i; k--) list[k] = list[k - 1];
  list[i] = c;
  return n < max ? n + 1 : max;
}

/* While at work a row of out is: owner (-1 none, -2 contested), metric, overlap. */
enum { OWNER, METRIC, OVERLAP };

static void claim_cells(const mynah__step *step, const sample *s, int64_t m, const rect *area, real *out) {
  claim best[TOP_MAX];
  int n = 0, top = (int)step->a.i[0];
  for (int64_t a = 0; a < s->cells; a++) {
    if (!is_inside(s, area, a)) continue;
    double metric = metric_of(step, s, m, a, overlap_of(s, m, a));
    if (metric > 0) n = insert_claim(best, n, top, (claim){a, metric});
  }
  for (int i = 0; i < n; i++) {
    real *row = out + 3 * best[i].cell;
    row[OWNER] = row[OWNER] == -1 ? (real)m : -2;
  }
}

/* Of all objects whose area holds the cell, the one it overlaps most. */
static void settle(const sample *s, double least, double next, int64_t a, real *row) {
  double most = -1;
  for (int64_t m = 0; m < s->boxes; m++) {
    rect area = area_of(s, m, least, next);
    if (class_of(s, m) < 0 || !is_inside(s, &area, a)) continue;
    double overlap = overlap_of(s, m, a);
    if (overlap > most) most = overlap, row[OWNER] = (real)m;
  }
}

/* Of object m's cells the best i[1] stay; their scores are metrics scaled so that the best has the largest overlap. */
static void score_cells(const mynah__step *step, const sample *s, int64_t m, real *out) {
  claim best[TOP_MAX];
  int n = 0;
  double overlap = 0;
  for (int64_t a = 0; a < s->cells; a++)
    if (out[3 * a + OWNER] == (real)m)
      n = insert_claim(best, n, (int)step->a.i[1], (claim){a, (double)out[3 * a + METRIC]});
  for (int64_t a = 0; a < s->cells; a++) {
    if (out[3 * a + OWNER] != (real)m) continue;
    bool is_kept = false;
    for (int i = 0; i < n; i++) is_kept = is_kept || best[i].cell == a;
    if (is_kept) overlap = fmax(overlap, (double)out[3 * a + OVERLAP]);
    else out[3 * a + OWNER] = -1, out[3 * a + METRIC] = 0;
  }
  for (int i = 0; i < n; i++)
    out[3 * best[i].cell + METRIC] = (real)(best[i].metric * overlap / (best[0].metric + EPSILON));
}

/* The last column becomes the weight of the aspect term, which the gradient takes as a constant. */
static void weigh_aspects(const sample *s, real *out) {
  for (int64_t a = 0; a < s->cells; a++) {
    double alpha = -1;
    if (out[3 * a] < 0) {
      out[3 * a + 2] = 0;
      continue;
    }
    rect p = cell_rect(s, a), o = object_rect(s->objects + 5 * (int64_t)out[3 * a]);
    complete_iou(&p, &o, &alpha, NULL);
    out[3 * a + 2] = (real)alpha;
  }
}

static void run_assign_cells(const mynah__call *call) {
  int64_t batch = call->step->in[0].shape.dims[0];
  real *out = call->out[0]; /* (batch,cells,3) */
  for (int64_t b = 0; b < batch; b++) {
    sample s = sample_at(call, b);
    double least, next;
    cell_sizes(&s, &least, &next);
    for (int64_t a = 0; a < s.cells; a++) out[3 * a] = -1, out[3 * a + 1] = out[3 * a + 2] = 0;
    for (int64_t m = 0; m < s.boxes; m++) {
      rect area = area_of(&s, m, least, next);
      if (class_of(&s, m) >= 0) claim_cells(call->step, &s, m, &area, out);
    }
    for (int64_t a = 0; a < s.cells; a++) {
      real *row = out + 3 * a;
      if (row[OWNER] == -2) settle(&s, least, next, a, row);
      if (row[OWNER] < 0) continue;
      double overlap = overlap_of(&s, (int64_t)row[OWNER], a);
      row[METRIC] = (real)metric_of(call->step, &s, (int64_t)row[OWNER], a, overlap);
      row[OVERLAP] = (real)overlap;
    }
    for (int64_t m = 0; m < s.boxes; m++)
      if (class_of(&s, m) >= 0) score_cells(call->step, &s, m, out);
    weigh_aspects(&s, out);
    out += 3 * s.cells;
  }
}
MYNAH__REF_KERNEL(assign_cells);

/* ---- loss ------------------------------------------------------------------------------------------------------- */

/* max(sum of scores, 1) */
static double score_sum(const mynah__call *call) {
  mynah_shape shape = call->step->in[4].shape;
  const real *assigned = call->in[4]; /* (batch,cells,3) */
  double sum = 0;
  for (int64_t i = 0; i < shape.dims[0] * shape.dims[1]; i++)
    if (assigned[3 * i] >= 0) sum += (double)assigned[3 * i + 1];
  return fmax(sum, 1);
}

/* Edge distances of the object in shares of the picture minus those said, left, up, right, down. */
static double distance_error(const mynah__step *step, const sample *s, const rect *o, int64_t a, int k, double *scale) {
  const real *g = s->grid + 3 * a, *d = s->distances + 4 * a;
  double at = (double)g[k % 2], edge[4] = {at - o->x1, at - o->y1, o->x2 - at, o->y2 - at};
  double side = step->a.f[3 + k % 2];
  *scale = (double)g[2] / side;
  return (double)d[k] * *scale - edge[k] / side;
}

/* Box part of cell a's loss, before gains by the score; d (4), when not NULL: its gradient by the distances. */
static double box_loss(const mynah__step *step, const sample *s, const real *assigned, int64_t a, double *d) {
  double alpha = (double)assigned[2], slope[4], l1 = 0, scale, box = step->a.f[0], distance = step->a.f[2];
  rect p = cell_rect(s, a), o = object_rect(s->objects + 5 * (int64_t)assigned[0]);
  double iou = complete_iou(&p, &o, &alpha, d ? slope : NULL), size = (double)s->grid[3 * a + 2];
  for (int k = 0; k < 4; k++) {
    double e = distance_error(step, s, &o, a, k, &scale);
    l1 += fabs(e) / 4;
    if (d) d[k] = box * -slope[k] * (k < 2 ? -size : size) + distance * scale / 4 * (e > 0 ? 1 : e < 0 ? -1 : 0);
  }
  return box * (1 - iou) + distance * l1;
}

/* Sum over cells of score (f[0] (1 - ciou) + f[2] mean |distances|) + f[1] cross-entropy with the scores, over the sum
 * of scores. log(1 + e^x) - x y */
static void run_detect_loss(const mynah__call *call) {
  const mynah__step *step = call->step;
  const real *assigned = call->in[4];
  double sum = 0;
  for (int64_t b = 0; b < step->in[0].shape.dims[0]; b++) {
    sample s = sample_at(call, b);
    for (int64_t a = 0; a < s.cells; a++, assigned += 3) {
      const real *x = s.logits + a * s.classes;
      int64_t own = assigned[0] >= 0 ? class_of(&s, (int64_t)assigned[0]) : -1;
      for (int64_t k = 0; k < s.classes; k++)
        sum += step->a.f[1] * (fmax((double)x[k], 0) + log1p(exp(-fabs((double)x[k]))) -
                               (k == own ? (double)(x[k] * assigned[1]) : 0));
      if (own >= 0 && assigned[1] > 0) sum += (double)assigned[1] * box_loss(step, &s, assigned, a, NULL);
    }
  }
  *(real *)call->out[0] = (real)(sum / score_sum(call));
}
MYNAH__REF_KERNEL(detect_loss);

static void run_detect_loss_grad(const mynah__call *call) {
  const mynah__step *step = call->step;
  const real *assigned = call->in[4];
  real *dd = call->out[0], *dx = call->out[1]; /* (batch,cells,4), (batch,cells,classes) */
  double scale = (double)*(const real *)call->in[5] / score_sum(call);
  for (int64_t b = 0; b < step->in[0].shape.dims[0]; b++) {
    sample s = sample_at(call, b);
    for (int64_t a = 0; a < s.cells; a++, assigned += 3, dd += 4, dx += s.classes) {
      const real *x = s.logits + a * s.classes;
      int64_t own = assigned[0] >= 0 ? class_of(&s, (int64_t)assigned[0]) : -1;
      double d[4] = {0};
      if (own >= 0 && assigned[1] > 0) box_loss(step, &s, assigned, a, d);
      for (int k = 0; k < 4; k++) dd[k] = (real)(scale * (double)assigned[1] * d[k]);
      for (int64_t k = 0; k < s.classes; k++)
        dx[k] = (real)(scale * step->a.f[1] * (sigmoid((double)x[k]) - (k == own ? (double)assigned[1] : 0)));
    }
  }
}
MYNAH__REF_KERNEL(detect_loss_grad);
