/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Average precision as COCO defines it (Lin et al. 2014): greedy matching by score at ten overlaps, 101 points of
 * recall, at most 100 boxes of a class and picture, all sizes. Sums and orders are those of pycocotools, so that the
 * numbers are, too. */
#include <mynah/perceive.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAPS 10
#define RECALLS 101
#define FOUND_MAX 100 /* of a class and picture */

/* A box that was found: bit i of hits is set when it matched an object at overlap i. number: in order of pictures. */
typedef struct found {
  float score;
  uint16_t hits;
  int32_t label;
  int64_t number;
} found;

struct mynah_precision {
  int n_classes;
  int64_t *n_truth; /* [n_classes] */
  found *found;
  size_t n_found, capacity;
  int64_t n_pictures;
};

mynah_status mynah_precision_create(int n_classes, mynah_precision **out) {
  mynah_precision *p = mynah_calloc(1, sizeof *p);
  if (p) p->n_truth = mynah_calloc((size_t)n_classes + 1, sizeof *p->n_truth);
  if (!p || !p->n_truth) {
    mynah_precision_destroy(p);
    return MYNAH_NO_MEMORY;
  }
  p->n_classes = n_classes;
  *out = p;
  return MYNAH_OK;
}

void mynah_precision_destroy(mynah_precision *p) {
  if (!p) return;
  mynah_free(p->n_truth);
  mynah_free(p->found);
  mynah_free(p);
}

/* 0.5, 0.55 … 0.95, as numpy.linspace gives them. */
static double overlap_at(int i) { return i == OVERLAPS - 1 ? 0.95 : 0.5 + i * ((0.95 - 0.5) / (OVERLAPS - 1)); }

static double iou_of(const mynah_box *a, const mynah_box *b) {
  double aw = (double)a->x2 - (double)a->x1, ah = (double)a->y2 - (double)a->y1, bw = (double)b->x2 - (double)b->x1,
         bh = (double)b->y2 - (double)b->y1;
  double w = fmin((double)a->x2, (double)b->x2) - fmax((double)a->x1, (double)b->x1);
  double h = fmin((double)a->y2, (double)b->y2) - fmax((double)a->y1, (double)b->y1);
  if (w <= 0 || h <= 0) return 0;
  return w * h / (aw * ah + bw * bh - w * h);
}

/* ---- one picture ------------------------------------------------------------------------------------------------ */

static int better_first(const void *a, const void *b) {
  const found *x = a, *y = b;
  if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

/* Which of the class's objects box `b` takes at each overlap: of those still free the one it overlaps most, the later
 * of equals. taken [n_truth]: a bit for each overlap. */
static uint16_t match(const mynah_box *b, const mynah_box *truth, int n_truth, uint16_t *taken) {
  uint16_t hits = 0;
  for (int i = 0; i < OVERLAPS; i++) {
    double least = overlap_at(i);
    int best = -1;
    for (int k = 0; k < n_truth; k++) {
      if (truth[k].label != b->label || (taken[k] >> i & 1)) continue;
      double iou = iou_of(b, &truth[k]);
      if (iou >= least) least = iou, best = k;
    }
    if (best < 0) continue;
    taken[best] |= (uint16_t)(1u << i);
    hits |= (uint16_t)(1u << i);
  }
  return hits;
}

/* Boxes of one class, best first, into p->found. order [n]: room. */
static mynah_status add_class(mynah_precision *p, int label, const mynah_box *boxes, int n, const mynah_box *truth,
                              int n_truth, found *order, uint16_t *taken) {
  int n_own = 0;
  for (int i = 0; i < n; i++)
    if (boxes[i].label == label) order[n_own++] = (found){boxes[i].confidence, 0, label, i};
  qsort(order, (size_t)n_own, sizeof *order, better_first);
  if (n_own > FOUND_MAX) n_own = FOUND_MAX;
  MYNAH_TRY(mynah_grow((void **)&p->found, &p->capacity, p->n_found + (size_t)n_own, sizeof *p->found));
  for (int i = 0; i < n_own; i++) {
    found f = order[i];
    f.hits = match(&boxes[order[i].number], truth, n_truth, taken);
    f.number = (int64_t)p->n_found;
    p->found[p->n_found++] = f;
  }
  return MYNAH_OK;
}

mynah_status mynah_precision_add(mynah_precision *p, const mynah_box *truth, int n_truth, const mynah_box *boxes,
                                 int n) {
  found *order = mynah_calloc((size_t)n + 1, sizeof *order);
  uint16_t *taken = mynah_calloc((size_t)n_truth + 1, sizeof *taken);
  mynah_status status = order && taken ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (int i = 0; i < n_truth; i++)
    if (truth[i].label >= 0 && truth[i].label < p->n_classes) p->n_truth[truth[i].label]++;
  for (int label = 0; label < p->n_classes && status == MYNAH_OK; label++)
    status = add_class(p, label, boxes, n, truth, n_truth, order, taken);
  if (status == MYNAH_OK) p->n_pictures++;
  mynah_free(order);
  mynah_free(taken);
  return status;
}

/* ---- all pictures ----------------------------------------------------------------------------------------------- */

/* Area under the curve at overlap i of n boxes of one class, best first. recall, precision [n]: room. */
static double average_precision(const found *boxes, size_t n, int64_t n_truth, int i, double *recall,
                                double *precision) {
  double hits = 0, misses = 0, sum = 0;
  for (size_t k = 0; k < n; k++) {
    if (boxes[k].hits >> i & 1) hits++;
    else misses++;
    recall[k] = hits / (double)n_truth;
    precision[k] = hits / (misses + hits + 2.220446049250313e-16);
  }
  for (size_t k = n; k-- > 1;)
    if (precision[k] > precision[k - 1]) precision[k - 1] = precision[k];
  size_t k = 0;
  for (int r = 0; r < RECALLS; r++) {
    double wanted = r == RECALLS - 1 ? 1 : r * 0.01;
    while (k < n && recall[k] < wanted) k++;
    if (k == n) break;
    sum += precision[k];
  }
  return sum / RECALLS;
}

static int by_class(const void *a, const void *b) {
  const found *x = a, *y = b;
  if (x->label != y->label) return (x->label > y->label) - (x->label < y->label);
  return better_first(a, b);
}

mynah_status mynah_precision_finish(mynah_precision *p, mynah_precision_result *out, double *per_class) {
  double *room = mynah_calloc(2 * p->n_found + 1, sizeof *room), all = 0, half = 0;
  int n_classes = 0;
  if (!room) return MYNAH_NO_MEMORY;
  *out = (mynah_precision_result){.n_pictures = p->n_pictures, .map50 = NAN, .map50_95 = NAN};
  if (p->n_found) qsort(p->found, p->n_found, sizeof *p->found, by_class);
  size_t first = 0, n;
  for (int label = 0; label < p->n_classes; label++, first += n) {
    for (n = 0; first + n < p->n_found && p->found[first + n].label == label;) n++;
    if (per_class) per_class[label] = NAN;
    out->n_objects += p->n_truth[label];
    if (p->n_truth[label] == 0) continue;
    double own = 0;
    for (int i = 0; i < OVERLAPS; i++) {
      double ap = average_precision(n ? p->found + first : NULL, n, p->n_truth[label], i, room, room + p->n_found);
      own += ap / OVERLAPS;
      if (i == 0) half += ap;
    }
    if (per_class) per_class[label] = own;
    all += own;
    n_classes++;
  }
  mynah_free(room);
  if (n_classes) out->map50 = half / n_classes, out->map50_95 = all / n_classes;
  return MYNAH_OK;
}
