/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Detectors whose network is not written here, but described from an ONNX file: those with the raw head that YOLOv8 and
 * YOLO11 export, (1,4+classes,A): centre x, centre y, width, height in px of the network's input, then a score of each
 * class. */
#include "perceive_internal.h"

#include <stdio.h>
#include <string.h>

#define ANCHORS_MAX 1000000

bool mynah__detector_is_network(const mynah_detector *d) { return d->file.length > 0; }

/* ---- the graph
 * ---------------------------------------------------------------------------------------------------------- */

static mynah_node corners(mynah_graph *g, mynah_node rows) {
  mynah_node centre = mynah_slice(g, rows, 2, 0, 2), half = mynah_affine(g, mynah_slice(g, rows, 2, 2, 2), 0.5f, 0);
  return mynah_concat(g, (mynah_node[]){mynah_sub(g, centre, half), mynah_add(g, centre, half)}, 2, 2);
}

static mynah_status lower(const mynah_detector *d, mynah_onnx *o, mynah_graph *g) {
  float scale = 1.0f / 255, shift = 0;
  const mynah_onnx_port *in = mynah_onnx_input(o, 0), *out = mynah_onnx_output(o, 0);
  if (!in || !out || mynah_onnx_input(o, 1))
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: not a detector with one input");
  mynah_node x = mynah_input(g, "image", MYNAH_U8, MYNAH_SHAPE(1, d->height, d->width, 3)), y;
  x = mynah_from_u8(g, x, &scale, &shift, 1);
  MYNAH_TRY(mynah_onnx_lower(o, g, &(mynah_onnx_feed){x, true}, &out->name, 1, &y));
  mynah_shape s = mynah_node_shape(g, y);
  if (s.n_dims != 3 || s.dims[0] != 1 || s.dims[1] != d->network.n_classes + 4 || s.dims[2] > ANCHORS_MAX)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: the output is not (1,4+classes,A)");
  y = mynah_permute(g, y, (int[]){0, 2, 1});
  mynah_output(g, "boxes", corners(g, y));
  mynah_output(g, "scores", mynah_slice(g, y, 2, 4, d->network.n_classes));
  return mynah_graph_status(g);
}

mynah_status mynah__detector_describe_network(const mynah_detector *d, int height, int width, mynah_graph **out) {
  mynah_graph *g;
  mynah_onnx *o;
  if (height != d->height || width != d->width)
    return mynah_fail(MYNAH_UNSUPPORTED, "the network takes pictures of %dx%d only", d->width, d->height);
  MYNAH_TRY(mynah_onnx_parse(mynah_str_text(&d->file), d->file.length, &o));
  mynah_status status = mynah_graph_create(&g);
  if (status == MYNAH_OK) {
    status = lower(d, o, g);
    if (status == MYNAH_OK) *out = g;
    else mynah_graph_destroy(g);
  }
  mynah_onnx_destroy(o);
  return status;
}

/* ---- recognising
 * ---------------------------------------------------------------------------------------------------------- */

/* Height and width that the export fixes, or the metadata's. */
static mynah_status take_size(const mynah_onnx *o, mynah_detector *d) {
  const mynah_onnx_port *in = mynah_onnx_input(o, 0);
  const char *note = mynah_onnx_note(o, "imgsz");
  int h = 0, w = 0;
  if (!in || in->shape.n_dims != 4 || in->shape.dims[1] != 3)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: not a detector: its input is not (1,3,H,W)");
  if (in->shape.dims[2] > 0 && in->shape.dims[3] > 0 && in->shape.dims[2] <= MYNAH_IMAGE_MAX_SIDE &&
      in->shape.dims[3] <= MYNAH_IMAGE_MAX_SIDE) {
    h = (int)in->shape.dims[2];
    w = (int)in->shape.dims[3];
  } else if (!note || sscanf(note, "[%d, %d]", &h, &w) != 2) {
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: the size of the pictures is not said: export with fixed sizes");
  }
  if (h < 8 || w < 8 || h > MYNAH_IMAGE_MAX_SIDE || w > MYNAH_IMAGE_MAX_SIDE)
    return mynah_fail(MYNAH_CORRUPT, "onnx: pictures of %dx%d", w, h);
  d->height = h;
  d->width = w;
  return MYNAH_OK;
}

/* The classes: by the names in the metadata, or by the output's shape. */
static mynah_status take_classes(const mynah_onnx *o, mynah_detector *d) {
  const mynah_onnx_port *out = mynah_onnx_output(o, 0);
  const char *names = mynah_onnx_note(o, "names");
  if (!out || out->shape.n_dims != 3)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: not a detector: its output is not (1,4+classes,A)");
  if (out->shape.dims[2] == 6) return mynah_fail(MYNAH_UNSUPPORTED, "onnx: boxes that are chosen inside the network (nms=True): export without");
  d->network.n_classes = out->shape.dims[1] - 4;
  if (names) MYNAH_TRY(mynah__names_parse(names, &d->names));
  if (out->shape.dims[1] < 0 && names) d->network.n_classes = d->names.n;
  if (d->network.n_classes < 1 || d->network.n_classes > MYNAH_YOLO26_CLASSES_MAX ||
      (names && d->names.n != d->network.n_classes))
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: the output (1,%lld,…) does not fit %d class names",
                      (long long)out->shape.dims[1], d->names.n);
  return names ? MYNAH_OK : mynah__names_numbered(d->network.n_classes, &d->names);
}

/* Describes it on a graph that is thrown away: finds the weights, and what is not supported. */
static mynah_status take_weights(mynah_onnx *o, mynah_detector *d) {
  mynah_graph *g;
  int n;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = lower(d, o, g);
  if (status == MYNAH_OK) status = mynah_weights_create(g, 0, &d->weights);
  mynah_graph_destroy(g);
  MYNAH_TRY(status);
  const mynah_safetensor *tensors = mynah_onnx_weights(o, &n);
  MYNAH_TRY(mynah_weights_fill(d->weights, tensors, n));
  return mynah_onnx_strip(o, &d->file);
}

mynah_status mynah__detector_from_network(mynah_onnx *o, mynah_detector **out) {
  const char *task = mynah_onnx_note(o, "task");
  mynah_detector *d = mynah_calloc(1, sizeof *d);
  if (!d) return MYNAH_NO_MEMORY;
  mynah_status status =
      task && strcmp(task, "detect") == 0
          ? take_size(o, d)
          : mynah_fail(MYNAH_UNSUPPORTED, "onnx: not a detector: the metadata's task is not 'detect'");
  if (status == MYNAH_OK) status = take_classes(o, d);
  if (status == MYNAH_OK) status = take_weights(o, d);
  if (status == MYNAH_OK) *out = d;
  else mynah_detector_destroy(d);
  return status;
}

/* ---- our file
 * ----------------------------------------------------------------------------------------------------------------- */

mynah_status mynah__detector_load_network(const mynah_json *j, const mynah_safetensors *f, mynah_detector **out) {
  const mynah_json *size = mynah_json_get(j, "imgsz"), *names = mynah_json_get(j, "classes");
  int64_t h = mynah_json_to_integer(mynah_json_at(size, 0), 0), w = mynah_json_to_integer(mynah_json_at(size, 1), 0),
          n = (int64_t)mynah_json_size(names);
  if (h < 8 || w < 8 || h > MYNAH_IMAGE_MAX_SIDE || w > MYNAH_IMAGE_MAX_SIDE || n < 1 || n > MYNAH_YOLO26_CLASSES_MAX)
    return mynah_fail(MYNAH_CORRUPT, "a detector of %lld classes for pictures of %lldx%lld", (long long)n, (long long)w,
                      (long long)h);
  mynah_detector *d = mynah_calloc(1, sizeof *d);
  mynah_graph *g;
  if (!d) return MYNAH_NO_MEMORY;
  d->height = (int)h;
  d->width = (int)w;
  d->network.n_classes = n;
  mynah_status status = mynah__names_numbered(n, &d->names);
  if (status == MYNAH_OK)
    status = mynah_base64_decode(mynah_json_to_string(mynah_json_get(j, "network"), ""), &d->file);
  if (status == MYNAH_OK && d->file.length == 0) status = mynah_fail(MYNAH_CORRUPT, "the network is empty");
  if (status == MYNAH_OK) status = mynah__detector_describe_network(d, d->height, d->width, &g);
  if (status == MYNAH_OK) {
    status = mynah_weights_create(g, 0, &d->weights);
    mynah_graph_destroy(g);
  }
  if (status == MYNAH_OK) status = mynah_weights_load(d->weights, f, false);
  if (status == MYNAH_OK) *out = d;
  else mynah_detector_destroy(d);
  return status;
}
