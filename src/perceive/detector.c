/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A detector: what a file of weights turns out to be, its graph for a size of picture, its own file, and the golden numbers
 * in it that say whether it still sees what it saw. */
#include "perceive_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FORMAT 1
#define METADATA_KEY "mynah"

void mynah_detector_destroy(mynah_detector *d) {
  if (!d) return;
  mynah__names_deinit(&d->names);
  mynah_weights_destroy(d->weights);
  mynah_json_destroy(d->golden);
  mynah_str_deinit(&d->file);
  mynah_free(d);
}

/* ---- the network of one size ------------------------------------------------------------------------------------------ */

mynah_status mynah__detector_describe(const mynah_detector *d, int height, int width, mynah_graph **out) {
  mynah_graph *g;
  mynah_yolo26_features features;
  mynah_yolo26_head head = {0};
  float scale = 1.0f / 255, shift = 0;
  if (mynah__detector_is_network(d)) return mynah__detector_describe_network(d, height, width, out);
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "image", MYNAH_U8, MYNAH_SHAPE(1, height, width, 3));
  x = mynah_from_u8(g, x, &scale, &shift, 1);
  if (mynah_model_yolo26(g, x, &d->network, &features))
    mynah_model_yolo26_head(g, &features, &d->network, d->is_one_to_one, &head);
  mynah_output(g, "boxes", mynah_model_yolo26_boxes(g, head.distances, height, width));
  mynah_output(g, "scores", mynah_sigmoid(g, head.logits));
  mynah_status status = mynah_graph_status(g);
  if (status == MYNAH_OK) *out = g;
  else mynah_graph_destroy(g);
  return status;
}

mynah_status mynah__detector_run_init(const mynah_detector *d, int height, int width, const mynah_detect_config *config,
                                      mynah__detector_run *out) {
  mynah__detector_run r = {.height = height, .width = width};
  mynah_graph *g;
  mynah_compile_config c = mynah_compile_default();
  c.is_frozen = true;
  if (config && config->precision == 1) c.precision = MYNAH_BF16;
  if (config) c.n_threads = (int)config->threads;
  MYNAH_TRY(mynah__detector_describe(d, height, width, &g));
  mynah_status status = mynah_compile(g, &c, &r.program);
  mynah_graph_destroy(g);
  if (status == MYNAH_OK) status = mynah_binding_create(r.program, d->weights, &r.binding);
  if (status == MYNAH_OK) status = mynah_state_create(r.binding, &r.state);
  if (status == MYNAH_OK) r.n_anchors = (int64_t)(mynah_state_output_bytes(r.state, "boxes") / (4 * sizeof(float)));
  if (status == MYNAH_OK) *out = r;
  else mynah__detector_run_deinit(&r);
  return status;
}

void mynah__detector_run_deinit(mynah__detector_run *r) {
  mynah_state_destroy(r->state);
  mynah_binding_destroy(r->binding);
  mynah_program_destroy(r->program);
  *r = (mynah__detector_run){0};
}

/* Weights for the network that d describes, at their initial values. */
static mynah_status make_weights(mynah_detector *d) {
  mynah_graph *g;
  MYNAH_TRY(mynah__detector_describe(d, MYNAH_YOLO26_STRIDE, MYNAH_YOLO26_STRIDE, &g));
  mynah_status status = mynah_weights_create(g, 0, &d->weights);
  mynah_graph_destroy(g);
  return status;
}

/* ---- recognising -------------------------------------------------------------------------------------------------------- */

typedef struct table {
  const mynah_safetensor *tensors;
  int n;
} table;

static const mynah_safetensor *find(const table *t, const char *name) {
  for (int i = 0; i < t->n; i++)
    if (strcmp(t->tensors[i].name, name) == 0) return &t->tensors[i];
  return NULL;
}

/* The first dimension of a tensor; 0 when there is no such tensor. */
static int64_t n_out(const table *t, const char *name) {
  const mynah_safetensor *found = find(t, name);
  return found && found->shape.n_dims > 0 ? found->shape.dims[0] : 0;
}

static mynah_status recognise(mynah_detector *d, const table *t) {
  int64_t first = n_out(t, "model.0.conv.weight");
  bool is_long = find(t, "model.2.m.1.cv1.conv.weight") != NULL;
  d->network.scale = first == 16 ? 'n' : first == 32 ? 's' : first == 64 ? (is_long ? 'l' : 'm') : first == 96 ? 'x' : 0;
  d->is_one_to_one = find(t, "model.23.one2one_cv3.0.2.weight") != NULL;
  d->network.n_classes = n_out(t, d->is_one_to_one ? "model.23.one2one_cv3.0.2.weight" : "model.23.cv3.0.2.weight");
  d->network.norm = find(t, "model.0.bn.weight") ? MYNAH_YOLO26_FROZEN : MYNAH_YOLO26_FUSED;
  int64_t distances = n_out(t, d->is_one_to_one ? "model.23.one2one_cv2.0.2.weight" : "model.23.cv2.0.2.weight");
  if (n_out(t, "model.22.cv2.0.2.weight") == 64 || distances == 64)
    return mynah_fail(MYNAH_UNSUPPORTED, "a detector with distributions of box edges (YOLOv8, YOLO11): only YOLO26 is known here");
  if (!d->network.scale || distances != 4 || d->network.n_classes < 1 || d->network.n_classes > MYNAH_YOLO26_CLASSES_MAX)
    return mynah_fail(MYNAH_UNSUPPORTED, "not a YOLO26 detector by the names and shapes of its %d tensors of real numbers", t->n);
  return MYNAH_OK;
}

mynah_status mynah__detector_recognise(const mynah_safetensor *tensors, int n, mynah_detector **out) {
  table t = {tensors, n};
  mynah_detector *d = mynah_calloc(1, sizeof *d);
  if (!d) return MYNAH_NO_MEMORY;
  mynah_status status = recognise(d, &t);
  if (status == MYNAH_OK) status = make_weights(d);
  if (status == MYNAH_OK) status = mynah_weights_fill(d->weights, tensors, n);
  if (status == MYNAH_OK) status = mynah__names_numbered(d->network.n_classes, &d->names);
  if (status == MYNAH_OK) *out = d;
  else mynah_detector_destroy(d);
  return status;
}

/* "[640, 640]", height first */
static void read_size(const char *text, mynah_detector *d) {
  int height, width;
  if (!text || sscanf(text, "[%d, %d]", &height, &width) != 2) return;
  if (height < 1 || width < 1 || height > MYNAH_IMAGE_MAX_SIDE || width > MYNAH_IMAGE_MAX_SIDE) return;
  d->height = height;
  d->width = width;
}

/* The output says which head the export kept: (1,N,6) rows of boxes, or (1,4+classes,A). */
static mynah_status check_output(const mynah_onnx *o, const mynah_detector *d) {
  const mynah_onnx_port *port = mynah_onnx_output(o, 0);
  mynah_shape s = port ? port->shape : (mynah_shape){0};
  bool has_rows = s.n_dims == 3 && (s.dims[2] == 6 || s.dims[2] < 0); /* -1: an export whose shapes are open */
  bool has_classes = s.n_dims == 3 && (s.dims[1] == d->network.n_classes + 4 || s.dims[1] < 0);
  if (d->is_one_to_one ? has_rows : has_classes) return MYNAH_OK;
  return mynah_fail(MYNAH_UNSUPPORTED, "onnx: the weights are of YOLO26's %s head, whose output is (1,%s), not (%lld,%lld,%lld)",
                    d->is_one_to_one ? "one-to-one" : "one-to-many", d->is_one_to_one ? "N,6" : "4+classes,A",
                    (long long)s.dims[0], (long long)s.dims[1], (long long)s.dims[2]);
}

static mynah_status describe_onnx(const mynah_onnx *o, mynah_detector *d) {
  const char *task = mynah_onnx_note(o, "task"), *names = mynah_onnx_note(o, "names");
  if (task && strcmp(task, "detect") != 0)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: the model's task is '%.32s': only 'detect' is known", task);
  MYNAH_TRY(check_output(o, d));
  read_size(mynah_onnx_note(o, "imgsz"), d);
  if (!names) return MYNAH_OK;
  mynah__names given;
  MYNAH_TRY(mynah__names_parse(names, &given));
  mynah__names_deinit(&d->names);
  d->names = given;
  if (given.n == d->network.n_classes) return MYNAH_OK;
  return mynah_fail(MYNAH_MISMATCH, "onnx: %d class names for %lld classes", given.n, (long long)d->network.n_classes);
}

/* YOLO26 by its weights; else by its metadata and output. */
mynah_status mynah__detector_from_onnx(mynah_onnx *o, mynah_detector **out) {
  mynah_detector *d;
  int n;
  const mynah_safetensor *weights = mynah_onnx_weights(o, &n);
  mynah_status status = mynah__detector_recognise(weights, n, &d);
  if (status == MYNAH_UNSUPPORTED) return mynah__detector_from_network(o, out);
  MYNAH_TRY(status);
  status = describe_onnx(o, d);
  if (status == MYNAH_OK) *out = d;
  else mynah_detector_destroy(d);
  return status;
}

bool mynah_detector_is_named(const char *path) {
  mynah_onnx *o;
  if (mynah_onnx_open(path, &o) != MYNAH_OK) return false;
  const char *task = mynah_onnx_note(o, "task");
  bool is_named = task && strcmp(task, "detect") == 0;
  mynah_onnx_destroy(o);
  return is_named;
}

/* ---- golden numbers -------------------------------------------------------------------------------------------------------- */

#define GOLDEN_SEED 20240229
#define GOLDEN_WIDTH 96
#define GOLDEN_HEIGHT 64
#define GOLDEN_ANCHORS 256

/* Boxes (n,4) and the best score (n) of anchors, at most GOLDEN_ANCHORS of them, for a fixed random picture; the caller frees
 * them. */
static mynah_status run_golden(const mynah_detector *d, float **numbers, int64_t *n_anchors) {
  mynah__detector_run r;
  bool is_fixed = mynah__detector_is_network(d);
  int height = is_fixed ? d->height : GOLDEN_HEIGHT, width = is_fixed ? d->width : GOLDEN_WIDTH;
  MYNAH_TRY(mynah__detector_run_init(d, height, width, NULL, &r));
  int64_t n = r.n_anchors < GOLDEN_ANCHORS ? r.n_anchors : GOLDEN_ANCHORS, classes = d->network.n_classes;
  mynah_rng rng = mynah_rng_make(GOLDEN_SEED, 0);
  uint8_t *image = mynah_state_input(r.state, "image");
  for (int64_t i = 0; i < (int64_t)height * width * 3; i++) image[i] = (uint8_t)mynah_rng_u32(&rng);
  mynah_state_run(r.state);
  float *out = mynah_calloc((size_t)n, 5 * sizeof *out);
  for (int64_t i = 0; out && i < n; i++) {
    int64_t anchor = i * r.n_anchors / n;
    const float *scores = (const float *)mynah_state_output(r.state, "scores") + anchor * classes;
    memcpy(out + 4 * i, (const float *)mynah_state_output(r.state, "boxes") + 4 * anchor, 4 * sizeof *out);
    for (int64_t k = 0; k < classes; k++) out[4 * n + i] = fmaxf(out[4 * n + i], scores[k]);
  }
  mynah__detector_run_deinit(&r);
  if (!out) return MYNAH_NO_MEMORY;
  *numbers = out;
  *n_anchors = n;
  return MYNAH_OK;
}

static mynah_status make_golden(const mynah_detector *d, mynah_json **out) {
  float *numbers;
  int64_t n;
  char hash[65];
  MYNAH_TRY(run_golden(d, &numbers, &n));
  mynah_status status = mynah_weights_hash(d->weights, hash);
  if (status != MYNAH_OK) {
    mynah_free(numbers);
    return status;
  }
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "boxes", mynah_json_floats(numbers, (size_t)(4 * n)));
  mynah_json_set(j, "scores", mynah_json_floats(numbers + 4 * n, (size_t)n));
  mynah_json_set(j, "weights_hash", mynah_json_string(hash));
  mynah_free(numbers);
  *out = j;
  return MYNAH_OK;
}

/* The largest difference; NaN when a number is missing. */
static double worst(const float *numbers, const mynah_json *due, int64_t n) {
  double error = 0;
  if (mynah_json_size(due) != (size_t)n) return NAN;
  for (int64_t i = 0; i < n; i++) {
    double off = fabs((double)numbers[i] - mynah_json_to_number(mynah_json_at(due, (size_t)i), NAN));
    if (!(off <= error)) error = off;
    if (isnan(error)) break;
  }
  return error;
}

mynah_status mynah_detector_selfcheck(const mynah_detector *d, mynah_detector_check *out) {
  float *numbers;
  int64_t n;
  char hash[65];
  if (!d->golden) return mynah_fail(MYNAH_NOT_FOUND, "selfcheck: the detector's file has no golden numbers: import it again");
  MYNAH_TRY(run_golden(d, &numbers, &n));
  mynah_detector_check c = {5 * n, worst(numbers, mynah_json_get(d->golden, "boxes"), 4 * n),
                            worst(numbers + 4 * n, mynah_json_get(d->golden, "scores"), n)};
  mynah_free(numbers);
  if (!(c.error_px <= MYNAH_DETECTOR_ERROR_PX) || !(c.error_score <= MYNAH_DETECTOR_ERROR_SCORE))
    return mynah_fail(MYNAH_MISMATCH, "selfcheck: boxes are off by %.3g px and scores by %.3g from when the file was written: weights or "
                      "program are not the same", c.error_px, c.error_score);
  MYNAH_TRY(mynah_weights_hash(d->weights, hash));
  if (strcmp(hash, mynah_json_to_string(mynah_json_get(d->golden, "weights_hash"), "")) != 0)
    return mynah_fail(MYNAH_MISMATCH, "selfcheck: the weights are not those that were written");
  *out = c;
  return MYNAH_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

static mynah_json *describe(const mynah_detector *d) {
  mynah_json *j = mynah_json_object(), *names = mynah_json_array(), *size = mynah_json_array();
  const char scale[2] = {d->network.scale, 0};
  for (int i = 0; i < d->names.n; i++) mynah_json_append(names, mynah_json_string(d->names.text[i]));
  mynah_json_append(size, mynah_json_integer(d->height));
  mynah_json_append(size, mynah_json_integer(d->width));
  mynah_json_set(j, "format", mynah_json_integer(FORMAT));
  mynah_json_set(j, "detector", mynah_json_string(mynah_detector_kind(d)));
  if (scale[0]) mynah_json_set(j, "scale", mynah_json_string(scale));
  mynah_json_set(j, "head", mynah_json_string(d->is_one_to_one ? "one-to-one" : "one-to-many"));
  mynah_json_set(j, "imgsz", size);
  mynah_json_set(j, "classes", names);
  return j;
}

mynah_status mynah_detector_save(const mynah_detector *d, const char *path) {
  mynah_json *golden, *j;
  mynah_str text = {0};
  MYNAH_TRY(make_golden(d, &golden));
  j = describe(d);
  mynah_json_set(j, "golden", golden);
  if (mynah__detector_is_network(d)) {
    mynah_str network = {0};
    mynah_base64_encode(d->file.data, d->file.length, &network);
    mynah_json_set(j, "network", mynah_json_string(mynah_str_text(&network)));
    mynah_str_deinit(&network);
  }
  mynah_status status = mynah_json_dump(j, 0, &text);
  mynah_json_destroy(j);
  int n = mynah_weights_n_tensors(d->weights);
  mynah_safetensor *tensors = mynah_calloc((size_t)n + 1, sizeof *tensors);
  if (status == MYNAH_OK && !tensors) status = MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) {
    mynah_metadata metadata = {METADATA_KEY, mynah_str_text(&text)};
    mynah_weights_tensors(d->weights, tensors, n);
    status = mynah_safetensors_write(path, tensors, n, &metadata, 1);
  }
  mynah_free(tensors);
  mynah_str_deinit(&text);
  return status;
}

static mynah_status read_names(const mynah_json *j, mynah_detector *d) {
  int n = d->names.n;
  if (mynah_json_size(j) != (size_t)n)
    return mynah_fail(MYNAH_CORRUPT, "%zu class names for %d classes", mynah_json_size(j), n);
  for (int i = 0; i < n; i++) {
    char *name = mynah_strdup(mynah_json_to_string(mynah_json_at(j, (size_t)i), "?"));
    if (!name) return MYNAH_NO_MEMORY;
    mynah_free(d->names.text[i]);
    d->names.text[i] = name;
  }
  return MYNAH_OK;
}

/* What mynah wrote beside the weights. */
static mynah_status read_description(const mynah_json *j, mynah_detector *d) {
  int64_t format = mynah_json_to_integer(mynah_json_get(j, "format"), 0);
  if (!mynah_json_get(j, "detector")) return mynah_fail(MYNAH_UNSUPPORTED, "a file of mynah, but not a detector");
  if (format < 1 || format > FORMAT)
    return mynah_fail(MYNAH_UNSUPPORTED, "detector format %lld: this program knows %d", (long long)format, FORMAT);
  const mynah_json *size = mynah_json_get(j, "imgsz"), *golden = mynah_json_get(j, "golden");
  int64_t height = mynah_json_to_integer(mynah_json_at(size, 0), 0), width = mynah_json_to_integer(mynah_json_at(size, 1), 0);
  if (height < 0 || width < 0 || height > MYNAH_IMAGE_MAX_SIDE || width > MYNAH_IMAGE_MAX_SIDE)
    return mynah_fail(MYNAH_CORRUPT, "imgsz %lld x %lld", (long long)height, (long long)width);
  d->height = (int)height;
  d->width = (int)width;
  MYNAH_TRY(read_names(mynah_json_get(j, "classes"), d));
  if (golden && !(d->golden = mynah_json_copy(golden))) return MYNAH_NO_MEMORY;
  mynah_detector_check check;
  return mynah_detector_selfcheck(d, &check);
}

static mynah_status from_safetensors(const mynah_safetensors *f, mynah_detector **out) {
  const char *text = mynah_safetensors_metadata(f, METADATA_KEY);
  int n = mynah_safetensors_count(f);
  mynah_json *j = NULL;
  mynah_detector *d;
  if (text) MYNAH_TRY(mynah_json_parse(text, strlen(text), &j));
  mynah_status status = j && !mynah_json_get(j, "detector") ? mynah_fail(MYNAH_UNSUPPORTED, "a policy, not a detector") : MYNAH_OK;
  if (status == MYNAH_OK && j && mynah_json_get(j, "network")) status = mynah__detector_load_network(j, f, &d);
  else if (status == MYNAH_OK) status = mynah__detector_recognise(n ? mynah_safetensors_at(f, 0) : NULL, n, &d);
  if (status == MYNAH_OK) {
    if (j) status = read_description(j, d);
    if (status == MYNAH_OK) *out = d;
    else mynah_detector_destroy(d);
  }
  mynah_json_destroy(j);
  return status;
}

mynah_status mynah_detector_load(const char *path, mynah_detector **out) {
  mynah_safetensors *f;
  MYNAH_TRY(mynah_safetensors_open(path, &f));
  mynah_status status = from_safetensors(f, out);
  mynah_safetensors_close(f);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}

static mynah_status import_onnx(const char *path, mynah_detector **out) {
  mynah_onnx *o;
  MYNAH_TRY(mynah_onnx_open(path, &o));
  mynah_status status = mynah__detector_from_onnx(o, out);
  mynah_onnx_destroy(o);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}

mynah_status mynah_detector_import(const char *path, mynah_detector **out) {
  const char *dot = strrchr(path, '.');
  if (dot && strcmp(dot, ".safetensors") == 0) return mynah_detector_load(path, out);
  return import_onnx(path, out);
}

/* ---- what it is ------------------------------------------------------------------------------------------------------------- */

const char *mynah_detector_kind(const mynah_detector *d) { return mynah__detector_is_network(d) ? "network" : "yolo26"; }
char mynah_detector_scale(const mynah_detector *d) { return d->network.scale; }
bool mynah_detector_is_end_to_end(const mynah_detector *d) { return d->is_one_to_one; }
int mynah_detector_size(const mynah_detector *d) { return d->height > d->width ? d->height : d->width; }
int mynah_detector_n_classes(const mynah_detector *d) { return d->names.n; }
int64_t mynah_detector_n_parameters(const mynah_detector *d) { return mynah_weights_n_parameters(d->weights); }
void mynah_detector_hash(const mynah_detector *d, char hex[65]) {
  if (mynah_weights_hash(d->weights, hex) != MYNAH_OK) hex[0] = 0; /* never: they lie in memory */
}
const char *mynah_detector_class(const mynah_detector *d, int label) {
  return label >= 0 && label < d->names.n ? d->names.text[label] : "?";
}
int mynah_detector_find_class(const mynah_detector *d, const char *name) {
  for (int i = 0; i < d->names.n; i++)
    if (strcmp(d->names.text[i], name) == 0) return i;
  return -1;
}
