/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Eyes: detectors, from a picture to boxes.
 *
 * Objects: detector (weights and description; const, shared by threads) -> eye (one runner with its memory; one thread).
 * Owns:    a detector outlives its eyes.
 * Units:   boxes in px of the picture that was shown, x to the right, y down, (0,0) the outer corner of the first pixel. */
#ifndef MYNAH_PERCEIVE_H
#define MYNAH_PERCEIVE_H

#include <mynah/graph.h>

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

/* ---- detectors ------------------------------------------------------------------------------------------------------- */

typedef struct mynah_detector mynah_detector;
/* Two kinds of safetensors file: those that mynah writes, and those with ultralytics' names of tensors (classes are '0', '1' …
 * then). What mynah wrote is run once and compared, see selfcheck.
 * Fails: NOT_FOUND, CORRUPT, UNSUPPORTED (not a network known here), MISMATCH. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_detector_load(const char *path, mynah_detector **out);
/* From an ONNX export of YOLO26 (n, s, m, l, x; end-to-end (1,N,6) or raw (1,4+classes,A)), of another detector with that raw
 * head (YOLOv8, YOLO11; for pictures of the size exported), or what load takes. Class names come from the metadata. Fails: as load; LIMIT. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_detector_import(const char *path, mynah_detector **out);
/* Whether an ONNX file says of itself that it is a detector (the metadata's task). */
MYNAH_API bool mynah_detector_is_named(const char *path);
MYNAH_API MYNAH_CHECKED mynah_status mynah_detector_save(const mynah_detector *d, const char *path);
MYNAH_API void mynah_detector_destroy(mynah_detector *d);
/* Runs a fixed picture again and compares with what came out when the file was written; largest error in px and in score.
 * Fails: NOT_FOUND (a file without golden numbers), MISMATCH (over MYNAH_DETECTOR_ERROR_PX or _SCORE, or other weights). */
#define MYNAH_DETECTOR_ERROR_PX 0.02
#define MYNAH_DETECTOR_ERROR_SCORE 1e-4
typedef struct mynah_detector_check {
  int64_t n_numbers;
  double error_px, error_score;
} mynah_detector_check;
MYNAH_API MYNAH_CHECKED mynah_status mynah_detector_selfcheck(const mynah_detector *d, mynah_detector_check *out);
MYNAH_API const char *mynah_detector_kind(const mynah_detector *d);        /* "yolo26", or "network": as the file describes it */
MYNAH_API char mynah_detector_scale(const mynah_detector *d);             /* of YOLO26: n, s, m, l, x; else 0 */
MYNAH_API bool mynah_detector_is_end_to_end(const mynah_detector *d);     /* else doubles are suppressed */
MYNAH_API int mynah_detector_size(const mynah_detector *d);               /* px a side it was made for; 0: not said */
MYNAH_API int mynah_detector_n_classes(const mynah_detector *d);
MYNAH_API const char *mynah_detector_class(const mynah_detector *d, int label); /* "person"; "?" when there is none */
MYNAH_API int mynah_detector_find_class(const mynah_detector *d, const char *name); /* -1: none */
MYNAH_API int64_t mynah_detector_n_parameters(const mynah_detector *d);
MYNAH_API void mynah_detector_hash(const mynah_detector *d, char hex[65]); /* of weights and their names */

/* ---- looking ---------------------------------------------------------------------------------------------------------- */

#define MYNAH_DETECT_KEYS(K)                                                                                            \
  K(INT, size, "imgsz", 0, 0, 8192, "px", "the longer side of the network's input; 0: what the model was made for")    \
  K(FLOAT, confidence, "conf", 0.25, 0, 1, "", "boxes with lower scores are left out")                                  \
  K(FLOAT, iou, "iou", 0.7, 0, 1, "", "raw heads: of boxes that overlap by more, the best stays")                       \
  K(INT, max, "max_det", 300, 1, 10000, "boxes", "boxes of a picture at most")                                          \
  K(INT, threads, "threads", 1, 1, 256, "threads", "that share the work on a picture")                                  \
  K(BOOL, is_rect, "rect", true, 0, 0, "", "borders only up to a multiple of 32; false: always square")                 \
  K(STRING, classes, "classes", "", 0, 0, "", "names or numbers of the classes wanted, with commas; empty: all")          \
  K(CHOICE, precision, "precision", "f32", 0, 0, "f32|bf16", "of the operands of convolutions and matrix products")
typedef struct mynah_detect_config {
  MYNAH_DETECT_KEYS(MYNAH_FIELD_ROW)
} mynah_detect_config;
MYNAH_API extern const mynah_config_table mynah_detect_table;

typedef struct mynah_eye mynah_eye;
/* Fails: NOT_FOUND (a class of that name), NO_MEMORY. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_eye_create(const mynah_detector *d, const mynah_detect_config *c, mynah_eye **out);
MYNAH_API void mynah_eye_destroy(mynah_eye *e);
/* Boxes in the picture, best first; they are the eye's and stay until it looks again. The first picture of a new shape makes
 * the network ready for it (the last eight shapes are kept); later ones allocate nothing when all kernels are our own. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_eye_look(mynah_eye *e, const mynah_image *image, const mynah_box **boxes, int *n);
/* Where the last look's time went. */
typedef struct mynah_eye_times {
  int64_t letterbox_ns, network_ns, select_ns;
} mynah_eye_times;
MYNAH_API mynah_eye_times mynah_eye_last_times(const mynah_eye *e);

/* Draws boxes with names and scores into the picture; a class keeps its colour. */
MYNAH_API void mynah_boxes_draw(mynah_image *image, const mynah_detector *d, const mynah_box *boxes, int n);

/* ---- training a detector -------------------------------------------------------------------------------------------------- */

#define MYNAH_DETECTOR_KEYS(K)                                                                                          \
  K(CHOICE, scale, "scale", "n", 0, 0, "n|s|m|l|x", "how large the network is")                                         \
  K(INT, size, "imgsz", 320, 32, 4096, "px", "the longer side of the network's input")                                  \
  K(FLOAT, box_gain, "gain.box", 7.5, 0, 1000, "", "weight of 1 - CIoU in the loss")                                    \
  K(FLOAT, class_gain, "gain.class", 0.5, 0, 1000, "", "weight of the classes' cross-entropy")                          \
  K(FLOAT, distance_gain, "gain.distance", 1.5, 0, 1000, "", "weight of the edges' distances in shares of the picture") \
  K(FLOAT, first_many, "many.first", 0.8, 0, 1, "", "share of the one-to-many head in the loss at the beginning")       \
  K(FLOAT, last_many, "many.last", 0.1, 0, 1, "", "and at the end")
typedef struct mynah_detector_config {
  MYNAH_DETECTOR_KEYS(MYNAH_FIELD_ROW)
} mynah_detector_config;
MYNAH_API extern const mynah_config_table mynah_detector_table;

/* What a training of a detector is about; all borrowed. */
typedef struct mynah_detector_training {
  const mynah_detector_config *config;
  const char *const *classes;
  int n_classes, n_boxes;    /* n_boxes: of a picture at most */
  mynah_letterbox letterbox; /* pictures come in its inner size */
  int64_t n_steps;           /* over which the heads' shares of the loss change */
} mynah_detector_training;
/* Where pictures of this size stand in the network's input. */
MYNAH_API mynah_letterbox mynah_detector_letterbox(const mynah_detector_config *c, int width, int height);
/* The loss of a batch, for mynah_learn_task: inputs "image" u8 (B,inner height,inner width,3) and "boxes" (B,n_boxes,5): class
 * (-1: none), centre x, y, width, height in shares of the picture. YOLO26 with both heads and batch norm (momentum 0.03, eps 1e-3).
 * Source: Sapkota et al. 2025, YOLO26 */
MYNAH_API MYNAH_CHECKED mynah_status mynah_detector_build_train(const mynah_detector_training *t, int64_t batch, mynah_graph *g,
                                                                mynah_node *loss);
/* The end-to-end detector that such weights are. Owns: *out is the caller's. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_detector_from_training(const mynah_detector_training *t, const mynah_weights *w,
                                                                  mynah_detector **out);

/* ---- how good a detector is ---------------------------------------------------------------------------------------------- */

/* Average precision as COCO defines it: 101 points of recall, at most 100 boxes of a class and picture, all sizes; classes without
 * objects are left out. Source: Lin et al. 2014; the same numbers as pycocotools */
typedef struct mynah_precision mynah_precision;
typedef struct mynah_precision_result {
  double map50, map50_95; /* at an overlap of 0.5; mean over 0.5, 0.55 … 0.95; NaN: no objects */
  int64_t n_pictures, n_objects;
} mynah_precision_result;
MYNAH_API MYNAH_CHECKED mynah_status mynah_precision_create(int n_classes, mynah_precision **out);
MYNAH_API void mynah_precision_destroy(mynah_precision *p);
/* One picture: what is there, and what was found. Shape: truth (n_truth), boxes (n) */
MYNAH_API MYNAH_CHECKED mynah_status mynah_precision_add(mynah_precision *p, const mynah_box *truth, int n_truth, const mynah_box *boxes, int n);
/* After the last picture. Shape: per_class (n_classes) of map50_95, or NULL */
MYNAH_API MYNAH_CHECKED mynah_status mynah_precision_finish(mynah_precision *p, mynah_precision_result *out, double *per_class);

/* ---- tracking ---------------------------------------------------------------------------------------------------------- */

#define MYNAH_TRACKER_KEYS(K)                                                                                           \
  K(FLOAT, high, "track.high", 0.25, 0, 1, "", "boxes of at least this score are matched first")                        \
  K(FLOAT, low, "track.low", 0.1, 0, 1, "", "and those of at least this to what is left")                               \
  K(FLOAT, start, "track.start", 0.25, 0, 1, "", "a track begins with a box of at least this score")                    \
  K(FLOAT, iou, "track.iou", 0.2, 0, 1, "", "a box and a track must overlap by this share")                             \
  K(FLOAT, max_age_s, "track.age", 1, 0, 60, "s", "a track unseen for longer is forgotten")
typedef struct mynah_tracker_config {
  MYNAH_TRACKER_KEYS(MYNAH_FIELD_ROW)
} mynah_tracker_config;
MYNAH_API extern const mynah_config_table mynah_tracker_table;

/* A track now: the filtered box, also while the object is hidden. */
typedef struct mynah_tracked {
  mynah_box box;
  float vx, vy;    /* px/s */
  int64_t seen_ns; /* when last */
} mynah_tracked;
typedef struct mynah_tracker mynah_tracker;
MYNAH_API MYNAH_CHECKED mynah_status mynah_tracker_create(const mynah_tracker_config *c, mynah_tracker **out); /* NULL: defaults */
MYNAH_API void mynah_tracker_destroy(mynah_tracker *t);
MYNAH_API MYNAH_RT void mynah_tracker_reset(mynah_tracker *t);
/* The boxes of a picture taken at this time, later than the one before: box.id becomes the id of its track, or -1. A track has
 * to be seen twice, or in the first picture. At most 512 boxes and 256 tracks; more are left out. */
MYNAH_API MYNAH_RT void mynah_tracker_update(mynah_tracker *t, int64_t time_ns, mynah_box *boxes, int n);
/* Valid until the next update. */
MYNAH_API MYNAH_RT const mynah_tracked *mynah_tracker_all(const mynah_tracker *t, int *n);

/* ---- slots: tracks as a vector ------------------------------------------------------------------------------------------- */

#define MYNAH_SLOTS_MAX 16
#define MYNAH_SLOTS_KEYS(K)                                                                                             \
  K(STRING, slots, "slots", "", 0, 0, "", "CLASS[*COUNT][@ORDER][!], with commas; ORDER: largest, lowest, left, best; !: required") \
  K(BOOL, has_motion, "slots.motion", false, 0, 0, "", "with conf, vx, vy and age behind valid, cx, cy, w, h")          \
  K(FLOAT, hold_s, "slots.hold", 0.5, 0, 60, "s", "a slot waits so long for its object before it takes another")
typedef struct mynah_slots_config {
  MYNAH_SLOTS_KEYS(MYNAH_FIELD_ROW)
} mynah_slots_config;
MYNAH_API extern const mynah_config_table mynah_slots_table;

/* Places for objects in a vector: each holds one track for as long as it lives, so two live slots never swap. Values are
 * normalised to the picture: cx, cy, w, h in 0 … 1, vx, vy in pictures a second, age in s since it was seen. What is not seen
 * has valid 0 and keeps its last values. */
typedef struct mynah_slots mynah_slots;
/* Classes are looked up in the detector. Fails: INVALID (text that is no list of slots), NOT_FOUND (a class), LIMIT. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_slots_create(const mynah_slots_config *c, const mynah_detector *d, mynah_slots **out);
/* The same with the classes' names given. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_slots_create_named(const mynah_slots_config *c, const char *const *classes, int n_classes,
                                                              mynah_slots **out);
MYNAH_API void mynah_slots_destroy(mynah_slots *s);
MYNAH_API MYNAH_RT void mynah_slots_reset(mynah_slots *s);
/* "observation.environment_state" with names obj.cone.0.valid, obj.cone.0.cx … */
MYNAH_API mynah_feature mynah_slots_feature(const mynah_slots *s);
/* Shape: out (size of the feature) */
MYNAH_API MYNAH_RT void mynah_slots_update(mynah_slots *s, const mynah_tracked *tracks, int n, int64_t time_ns, int width, int height,
                                           float *out);
/* A required slot has seen nothing for longer than the hold: time for the loop's safe action. */
MYNAH_API MYNAH_RT bool mynah_slots_is_lost(const mynah_slots *s);

/* ---- sight: pictures to a state ------------------------------------------------------------------------------------------- */

/* Detector, tracker and slots in a row: the same over recorded pictures and at run time. */
typedef struct mynah_sight_config {
  mynah_detect_config detect;
  mynah_tracker_config tracker;
  mynah_slots_config slots;
} mynah_sight_config;
typedef struct mynah_sight mynah_sight;
/* Borrows the detector. Fails: as eye and slots do. Thread: one. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_sight_create(const mynah_detector *d, const mynah_sight_config *c, mynah_sight **out);
MYNAH_API void mynah_sight_destroy(mynah_sight *s);
MYNAH_API void mynah_sight_reset(mynah_sight *s); /* an episode begins */
/* The slots' feature; its unit is the mark of these eyes. */
MYNAH_API const mynah_feature *mynah_sight_feature(const mynah_sight *s);
/* Shape: out (size of the feature). time_ns: of the picture, later than the one before. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_sight_look(mynah_sight *s, const mynah_image *image, int64_t time_ns, float *out);
MYNAH_API MYNAH_RT bool mynah_sight_is_lost(const mynah_sight *s); /* as mynah_slots_is_lost */
/* All that says how these eyes see, for a dataset's note "eyes" and a policy's file: {"feature", "camera": the pictures' feature,
 * "detector": its hash, "settings"}. Owns: *out is the caller's. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_sight_describe(const mynah_detector *d, const mynah_sight_config *c, const mynah_feature *camera,
                                                          const mynah_feature *seen, mynah_json **out);
/* And back. Fails: CORRUPT. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_sight_read(const mynah_json *j, mynah_sight_config *c, mynah_feature *camera);
/* Marks a feature as seen by this detector with these settings: its unit becomes "eyes " and 16 digits of their hash (the number of
 * threads, which changes nothing, is not in it). A policy
 * keeps the features it was trained on, so that mynah_policy_match refuses other eyes. */
#define MYNAH_SIGHT_MARK "eyes "
MYNAH_API MYNAH_CHECKED mynah_status mynah_sight_mark(const mynah_detector *d, const mynah_sight_config *c, mynah_feature *f);

#ifdef __cplusplus
}
#endif
#endif
