/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Eyes: detectors, from a picture to boxes.
 *
 * Objects: detector (weights and description; const, shared by threads) -> eye (one runner with its memory; one thread).
 * Owns:    a detector outlives its eyes.
 * Units:   boxes in px of the picture that was shown, x to the right, y down, (0,0) the outer corner of the first pixel. */
#ifndef MYNAH_PERCEIVE_H
#define MYNAH_PERCEIVE_H

#include <mynah/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An object found. */
typedef struct mynah_box {
  float x1, y1, x2, y2; /* px */
  float confidence;     /* 0 … 1 */
  int32_t label;        /* which class */
  int64_t id;           /* of the track it belongs to; -1: none */
} mynah_box;

/* ---- fitting a picture into the network's input ------------------------------------------------------------------- */

/* A picture scaled to fit, its proportions kept, between grey borders (114). */
typedef struct mynah_letterbox {
  int in_width, in_height; /* the picture */
  int width, height;       /* all */
  int inner_width, inner_height, left, top;
} mynah_letterbox;
/* As ultralytics' predict: scale min(width/in_width, height/in_height), sizes and borders rounded half to even; is_rect:
 * borders no wider than make width and height multiples of 32. Unit: px, all positive. */
MYNAH_API MYNAH_RT mynah_letterbox mynah_letterbox_plan(int in_width, int in_height, int width, int height, bool is_rect);
MYNAH_API MYNAH_RT size_t mynah_letterbox_scratch(const mynah_letterbox *l); /* bytes */
/* Bilinear, in OpenCV's fixed-point arithmetic. Shape: image (in_height,in_width,3), out (height,width,3).
 * scratch: mynah_letterbox_scratch bytes, aligned as malloc does. */
MYNAH_API MYNAH_RT void mynah_letterbox_run(const mynah_letterbox *l, const mynah_image *image, void *scratch, uint8_t *out);
/* A box in the network's input to one in the picture, cut at its borders. */
MYNAH_API MYNAH_RT void mynah_letterbox_undo(const mynah_letterbox *l, mynah_box *box);

/* ---- choosing boxes ----------------------------------------------------------------------------------------------- */

/* What a head says. Shape: boxes (n_anchors,4) corners; scores (n_anchors,n_classes) */
typedef struct mynah_candidates {
  const float *boxes, *scores;
  int64_t n_anchors, n_classes;
} mynah_candidates;
typedef struct mynah_select {
  int max;               /* boxes at most */
  float confidence;      /* those below are left out */
  bool is_one_per_anchor; /* an anchor gives its best class only */
  float iou;             /* of boxes of a class that overlap by more, the best stays; 1 or more: no suppression */
} mynah_select;
MYNAH_API MYNAH_RT size_t mynah_select_scratch(const mynah_select *s, int64_t n_anchors); /* bytes */
/* Without suppression the two-stage rule of end-to-end heads: the `max` anchors with the best scores, then the `max` best of
 * all their classes. Best first, of equals the lower index first; NaN is no score. Returns how many. Shape: out (max) */
MYNAH_API MYNAH_RT int mynah_select_boxes(const mynah_select *s, const mynah_candidates *c, void *scratch, mynah_box *out);
/* Intersection over union, 0 … 1; 0 when both are empty. */
MYNAH_API MYNAH_RT float mynah_box_iou(const mynah_box *a, const mynah_box *b);

#ifdef __cplusplus
}
#endif
#endif
