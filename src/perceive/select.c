/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From scores to boxes: the two-stage choice of end-to-end heads, and suppression of doubles for heads that need it. */
#include <mynah/perceive.h>

#include <math.h>

/* A score and where it stands. Better is higher; of equals, the one further front. */
typedef struct entry {
  float score;
  int32_t label;
  int64_t anchor;
} entry;

static bool is_better(const entry *a, const entry *b) {
  if (a->score > b->score || a->score < b->score) return a->score > b->score;
  return a->anchor != b->anchor ? a->anchor < b->anchor : a->label < b->label;
}

/* ---- the best n of a stream: a heap whose root is the worst kept ------------------------------------------------------- */

typedef struct heap {
  entry *entries;
  int64_t n, max;
} heap;

static void sink(entry *e, int64_t n, int64_t i) {
  entry moved = e[i];
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && is_better(&e[child], &e[child + 1])) child++;
    if (!is_better(&moved, &e[child])) break;
    e[i] = e[child];
  }
  e[i] = moved;
}

static void offer(heap *h, entry e) {
  if (h->n == h->max) {
    if (!is_better(&e, &h->entries[0])) return;
    h->entries[0] = e;
    sink(h->entries, h->n, 0);
    return;
  }
  int64_t i = h->n++;
  for (; i > 0 && is_better(&h->entries[(i - 1) / 2], &e); i = (i - 1) / 2) h->entries[i] = h->entries[(i - 1) / 2];
  h->entries[i] = e;
}

/* Best first. */
static void sort(heap *h) {
  for (int64_t n = h->n - 1; n > 0; n--) {
    entry worst = h->entries[0];
    h->entries[0] = h->entries[n];
    h->entries[n] = worst;
    sink(h->entries, n, 0);
  }
}

/* ---- scores ----------------------------------------------------------------------------------------------------------- */

/* The maximum of n scores, eight at a time; NaN never wins. */
static float best_score(const float *scores, int64_t n) {
  float best[8] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; k++) best[k] = scores[i + k] > best[k] ? scores[i + k] : best[k];
  for (; i < n; i++) best[0] = scores[i] > best[0] ? scores[i] : best[0];
  for (int k = 1; k < 8; k++) best[0] = best[k] > best[0] ? best[k] : best[0];
  return best[0];
}

static int32_t first_with(const float *scores, int64_t n, float value) {
  for (int64_t i = 0; i < n; i++)
    if (scores[i] >= value) return (int32_t)i;
  return 0;
}

static mynah_box box_of(const mynah_candidates *c, const entry *e) {
  const float *b = c->boxes + 4 * e->anchor;
  return (mynah_box){b[0], b[1], b[2], b[3], e->score, e->label, -1};
}

float mynah_box_iou(const mynah_box *a, const mynah_box *b) {
  float w = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1), h = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1);
  float common = w > 0 && h > 0 ? w * h : 0;
  float all = (a->x2 - a->x1) * (a->y2 - a->y1) + (b->x2 - b->x1) * (b->y2 - b->y1) - common;
  return all > 0 ? common / all : 0;
}

/* ---- choosing --------------------------------------------------------------------------------------------------------- */

static bool suppresses(const mynah_select *s) { return s->iou < 1; }

size_t mynah_select_scratch(const mynah_select *s, int64_t n_anchors) {
  return (size_t)(suppresses(s) ? n_anchors : 2 * (int64_t)s->max) * sizeof(entry);
}

/* In order of score; a box that overlaps a kept one of its class is dropped (as torchvision's batched NMS). */
static int suppress(const mynah_select *s, const mynah_candidates *c, const heap *h, mynah_box *out) {
  int n = 0;
  for (int64_t i = 0; i < h->n && n < s->max; i++) {
    mynah_box box = box_of(c, &h->entries[i]);
    int k = 0;
    while (k < n && (out[k].label != box.label || mynah_box_iou(&out[k], &box) <= s->iou)) k++;
    if (k == n) out[n++] = box;
  }
  return n;
}

int mynah_select_boxes(const mynah_select *s, const mynah_candidates *c, void *scratch, mynah_box *out) {
  bool is_one = s->is_one_per_anchor || suppresses(s);
  heap anchors = {scratch, 0, suppresses(s) ? c->n_anchors : s->max};
  for (int64_t a = 0; a < c->n_anchors; a++) {
    const float *scores = c->scores + a * c->n_classes;
    float best = best_score(scores, c->n_classes);
    if (best >= s->confidence) offer(&anchors, (entry){best, is_one ? first_with(scores, c->n_classes, best) : 0, a});
  }
  sort(&anchors);
  if (suppresses(s)) return suppress(s, c, &anchors, out);
  heap all = anchors;
  if (!is_one) { /* the anchors' order, best first, is what the second stage counts by */
    all = (heap){anchors.entries + s->max, 0, s->max};
    for (int64_t i = 0; i < anchors.n; i++) {
      const float *scores = c->scores + anchors.entries[i].anchor * c->n_classes;
      for (int64_t k = 0; k < c->n_classes; k++)
        if (scores[k] >= s->confidence) offer(&all, (entry){scores[k], (int32_t)k, i});
    }
    sort(&all);
    for (int64_t i = 0; i < all.n; i++) all.entries[i].anchor = anchors.entries[all.entries[i].anchor].anchor;
  }
  for (int64_t i = 0; i < all.n; i++) out[i] = box_of(c, &all.entries[i]);
  return (int)all.n;
}
