/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training a detector: the graph of its loss, and the detector that a training's weights are.
 *
 * Both heads learn together. Gradients of the one-to-one head stop at the features, which the one-to-many head forms;
 * its share of the loss falls linearly over the training. The place in the training is a buffer that every step moves
 * on, so that it is in the checkpoints as all that is learned. */
#include "perceive_internal.h"

#include <string.h>

#define GREY 114
#define MANY_CLAIMED 10 /* cells an object of the one-to-many head */
#define ONE_CLAIMED 7   /* of the one-to-one head, of which one stays */
#define PROGRESS "train.progress"

#define DETECTOR_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_detector_config, type, field, name, value, low, high, unit, help)
static const mynah_key detector_keys[] = {MYNAH_DETECTOR_KEYS(DETECTOR_ROW)};
const mynah_config_table mynah_detector_table = {
    "detector", detector_keys, sizeof detector_keys / sizeof *detector_keys, sizeof(mynah_detector_config)};

static mynah_yolo26_config network_of(const mynah_detector_training *t) {
  return (mynah_yolo26_config){"nsmlx"[t->config->scale], t -> n_classes, MYNAH_YOLO26_TRAINED};
}

mynah_letterbox mynah_detector_letterbox(const mynah_detector_config *c, int width, int height) {
  int side = ((int)c->size + MYNAH_YOLO26_STRIDE - 1) / MYNAH_YOLO26_STRIDE * MYNAH_YOLO26_STRIDE;
  return mynah_letterbox_plan(width, height, side, side, true);
}

/* Grey borders of n lines (axis 1) or columns (axis 2) before and behind. */
static mynah_node add_border(mynah_graph *g, mynah_node x, int axis, int64_t before, int64_t behind) {
  mynah_node parts[3];
  mynah_shape s = mynah_node_shape(g, x);
  int n = 0;
  if (s.n_dims != 4) return MYNAH_NO_NODE;
  s.dims[axis] = before;
  if (before > 0) parts[n++] = mynah_fill(g, s, GREY / 255.0f);
  parts[n++] = x;
  s.dims[axis] = behind;
  if (behind > 0) parts[n++] = mynah_fill(g, s, GREY / 255.0f);
  return n > 1 ? mynah_concat(g, parts, n, axis) : x;
}

/* "boxes" in shares of the picture, as px of the network's input. */
static mynah_node boxes_input(const mynah_detector_training *t, int64_t batch, mynah_graph *g) {
  const mynah_letterbox *l = &t->letterbox;
  float w = (float)l->inner_width, h = (float)l->inner_height;
  mynah_node boxes = mynah_input(g, "boxes", MYNAH_F32, MYNAH_SHAPE(batch, t->n_boxes, 5));
  boxes = mynah_mul(g, boxes, mynah_constant(g, MYNAH_SHAPE(5), (float[]){1, w, h, w, h}));
  return mynah_add(g, boxes, mynah_constant(g, MYNAH_SHAPE(5), (float[]){0, (float)l->left, (float)l->top, 0, 0}));
}

static mynah_node cells_constant(mynah_graph *g, const mynah_letterbox *l) {
  int64_t n = mynah_yolo26_n_anchors(l->height, l->width);
  float *cells = mynah_calloc((size_t)n + 1, 3 * sizeof *cells);
  if (!cells) return mynah_graph_fail(g, "detector: no memory");
  mynah_yolo26_anchors(l->height, l->width, cells);
  mynah_node y = mynah_constant(g, MYNAH_SHAPE(n, 3), cells);
  mynah_free(cells);
  return y;
}

static mynah_node head_loss(const mynah_detector_training *t, mynah_graph *g, const mynah_yolo26_features *features,
                            mynah_cells cells, bool is_one_to_one) {
  mynah_yolo26_config network = network_of(t);
  mynah_yolo26_head head;
  mynah_detect_gains gains = {t->config->box_gain, t->config->class_gain, t->config->distance_gain};
  if (!mynah_model_yolo26_head(g, features, &network, is_one_to_one, &head)) return MYNAH_NO_NODE;
  cells.distances = head.distances;
  cells.logits = head.logits;
  mynah_node assigned = is_one_to_one ? mynah_assign_cells(g, &cells, ONE_CLAIMED, 1)
                                      : mynah_assign_cells(g, &cells, MANY_CLAIMED, MANY_CLAIMED);
  return mynah_detect_loss(g, &cells, assigned, &gains, t->letterbox.width, t->letterbox.height);
}

mynah_status mynah_detector_build_train(const mynah_detector_training *t, int64_t batch, mynah_graph *g,
                                        mynah_node *loss) {
  const mynah_letterbox *l = &t->letterbox;
  mynah_yolo26_config network = network_of(t);
  mynah_yolo26_features features;
  float scale = 1.0f / 255, shift = 0, first = (float)t->config->first_many, last = (float)t->config->last_many;
  mynah_node x = mynah_input(g, "image", MYNAH_U8, MYNAH_SHAPE(batch, l->inner_height, l->inner_width, 3));
  x = mynah_from_u8(g, x, &scale, &shift, 1);
  x = add_border(g, x, 1, l->top, l->height - l->top - l->inner_height);
  x = add_border(g, x, 2, l->left, l->width - l->left - l->inner_width);
  mynah_cells cells = {.boxes = boxes_input(t, batch, g), .cells = cells_constant(g, l)};
  if (!mynah_model_yolo26(g, x, &network, &features)) return mynah_graph_status(g);
  mynah_node many = head_loss(t, g, &features, cells, false);
  for (int i = 0; i < MYNAH_YOLO26_LEVELS; i++) features.levels[i] = mynah_detach(g, features.levels[i]);
  mynah_node one = head_loss(t, g, &features, cells, true);
  mynah_node progress = mynah_buffer(g, PROGRESS, MYNAH_SHAPE(1), (mynah_init){MYNAH_INIT_ZERO, 0});
  mynah_output(g, "update/" PROGRESS, mynah_clamp(g, mynah_affine(g, progress, 1, 1 / (float)t->n_steps), 0, 1));
  many = mynah_mul(g, many, mynah_affine(g, progress, last - first, first));
  one = mynah_mul(g, one, mynah_affine(g, progress, first - last, 1 - first));
  *loss = mynah_add(g, many, one);
  return mynah_graph_status(g);
}

static mynah_status name_classes(const mynah_detector_training *t, mynah_detector *d) {
  for (int i = 0; i < t->n_classes; i++) {
    char *name = mynah_strdup(t->classes[i]);
    if (!name) return MYNAH_NO_MEMORY;
    mynah_free(d->names.text[i]);
    d->names.text[i] = name;
  }
  return MYNAH_OK;
}

mynah_status mynah_detector_from_training(const mynah_detector_training *t, const mynah_weights *w,
                                          mynah_detector **out) {
  mynah_detector *d;
  int n = mynah_weights_n_tensors(w);
  mynah_safetensor *tensors = mynah_calloc((size_t)n + 1, sizeof *tensors);
  if (!tensors) return MYNAH_NO_MEMORY;
  mynah_weights_tensors(w, tensors, n);
  mynah_status status = mynah__detector_recognise(tensors, n, &d);
  mynah_free(tensors);
  MYNAH_TRY(status);
  d->height = t->letterbox.height;
  d->width = t->letterbox.width;
  status = name_classes(t, d);
  if (status == MYNAH_OK) *out = d;
  else mynah_detector_destroy(d);
  return status;
}
