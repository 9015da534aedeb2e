/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside perceive: Python literals, and a detector's parts. */
#ifndef MYNAH_PERCEIVE_INTERNAL_H
#define MYNAH_PERCEIVE_INTERNAL_H

#include <mynah/graph.h>
#include <mynah/model.h>
#include <mynah/onnx.h>
#include <mynah/perceive.h>

/* ---- literal.c ---- */

typedef struct mynah__names {
  char **text;
  int n;
} mynah__names;
void mynah__names_deinit(mynah__names *names);
/* A Python dict {0: 'person', 1: "car"} with the keys 0 … n-1, in any order, or a list of texts. Read, never evaluated.
 * Fails: CORRUPT (with the place), LIMIT, NO_MEMORY. */
MYNAH_CHECKED mynah_status mynah__names_parse(const char *text, mynah__names *out);
/* '0', '1', … */
MYNAH_CHECKED mynah_status mynah__names_numbered(int64_t n, mynah__names *out);

/* ---- detector.c ---- */

struct mynah_detector {
  mynah_yolo26_config network;
  mynah_str file;     /* of a detector whose network comes from a file: that, without the weights; empty: YOLO26 */
  bool is_one_to_one; /* the end-to-end head; else doubles are suppressed */
  int width, height;  /* of the input it was made for; 0: not said */
  mynah__names names;
  mynah_weights *weights;
  mynah_json *golden; /* NULL: none */
};
/* The graph for pictures of one size: input "image" (1,H,W,3) u8; outputs "boxes" (1,A,4), "scores" (1,A,classes). */
MYNAH_CHECKED mynah_status mynah__detector_describe(const mynah_detector *d, int height, int width, mynah_graph **out);
/* One size, ready to run. */
typedef struct mynah__detector_run {
  int height, width;
  int64_t n_anchors;
  mynah_program *program;
  mynah_binding *binding;
  mynah_state *state;
} mynah__detector_run;
/* config says precision and threads; NULL: float32, one. */
MYNAH_CHECKED mynah_status mynah__detector_run_init(const mynah_detector *d, int height, int width,
                                                    const mynah_detect_config *config, mynah__detector_run *out);
void mynah__detector_run_deinit(mynah__detector_run *r);
/* From tensors named as ultralytics names them; names are taken over on success. Fails: UNSUPPORTED (another network). */
MYNAH_CHECKED mynah_status mynah__detector_recognise(const mynah_safetensor *tensors, int n, mynah_detector **out);
MYNAH_CHECKED mynah_status mynah__detector_from_onnx(mynah_onnx *o, mynah_detector **out);

/* ---- network.c ---- */

bool mynah__detector_is_network(const mynah_detector *d);
MYNAH_CHECKED mynah_status mynah__detector_describe_network(const mynah_detector *d, int height, int width, mynah_graph **out);
/* Fails: UNSUPPORTED (not such a detector, or an operation). */
MYNAH_CHECKED mynah_status mynah__detector_from_network(mynah_onnx *o, mynah_detector **out);
MYNAH_CHECKED mynah_status mynah__detector_load_network(const mynah_json *j, const mynah_safetensors *f, mynah_detector **out);

/* ---- assign.c ---- */

#define MYNAH__ASSIGN_ROWS_MAX 256
#define MYNAH__ASSIGN_COLUMNS_MAX 512
#define MYNAH__ASSIGN_NEVER 1e6 /* the cost of a pair that may not be; others cost less than half of it */
typedef struct mynah__assign_room {
  double u[MYNAH__ASSIGN_ROWS_MAX + 1];
  double v[MYNAH__ASSIGN_ROWS_MAX + MYNAH__ASSIGN_COLUMNS_MAX + 1], least[MYNAH__ASSIGN_ROWS_MAX + MYNAH__ASSIGN_COLUMNS_MAX + 1];
  int row_of[MYNAH__ASSIGN_ROWS_MAX + MYNAH__ASSIGN_COLUMNS_MAX + 1], way[MYNAH__ASSIGN_ROWS_MAX + MYNAH__ASSIGN_COLUMNS_MAX + 1];
  bool is_used[MYNAH__ASSIGN_ROWS_MAX + MYNAH__ASSIGN_COLUMNS_MAX + 1];
} mynah__assign_room;
/* The column of each row, -1 for none, such that as many pairs as may be are made and their sum is least.
 * Shape: cost (n_rows,n_cols), column_of (n_rows) */
MYNAH_RT void mynah__assign(mynah__assign_room *m, const double *cost, int n_rows, int n_cols, int *column_of);

#endif
