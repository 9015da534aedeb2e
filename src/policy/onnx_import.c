/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A policy from an ONNX file: which features its inputs are, how they are normalised, how long its chunks are. */
#include "policy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_onnx_import_config, type, field, name, value, low, high, unit, help)
static const mynah_key import_keys[] = {MYNAH_ONNX_IMPORT_KEYS(IMPORT_ROW)};
const mynah_config_table mynah_onnx_import_table = {
    "import-model network", import_keys, sizeof import_keys / sizeof *import_keys, sizeof(mynah_onnx_import_config)};

typedef struct importing {
  mynah_onnx *o;
  const mynah_onnx_import_config *config;
  mynah_dataset *data;          /* NULL: none */
  const mynah_json *statistics; /* NULL: none */
  mynah_policy *p;
} importing;

/* ---- features
 * --------------------------------------------------------------------------------------------------------- */

/* "1,2,3" -> three numbers */
static mynah_status three(const char *name, const char *text, float out[3]) {
  for (int i = 0; i < 3; i++) {
    char *end;
    out[i] = strtof(text, &end);
    if (end == text || *end != (i < 2 ? ',' : 0))
      return mynah_fail(MYNAH_INVALID, "%s: three numbers with commas are expected", name);
    text = end + 1;
  }
  return MYNAH_OK;
}

static mynah_status picture_norm(const importing *m, mynah_norm *out) {
  float mean[3], std[3], scale = 255 / (float)m->config->image_max;
  mynah_norm n;
  MYNAH_TRY(three("image.mean", m->config->image_mean, mean));
  MYNAH_TRY(three("image.std", m->config->image_std, std));
  for (int i = 0; i < 3; i++)
    if (!(std[i] > 0)) return mynah_fail(MYNAH_INVALID, "image.std: must be over 0");
  MYNAH_TRY(mynah__norm_create(3, &n));
  for (int i = 0; i < 3; i++) { /* the graph takes (x / 255 - mean) / std */
    n.mean[i] = mean[i] / scale;
    n.std[i] = std[i] / scale;
    n.max[i] = 1;
  }
  *out = n;
  return MYNAH_OK;
}

static mynah_status vector_norm(const importing *m, const mynah_feature *f, mynah_norm *out) {
  const mynah_json *given = mynah_json_get(m->statistics, f->name);
  mynah_norm n;
  if (given) return mynah__norm_from_json(given, mynah_feature_size(f), f->name, out);
  if (m->data && mynah_dataset_find(m->data, f->name)) return mynah__norm_of_dataset(m->data, f, NULL, 0, out);
  MYNAH_TRY(mynah__norm_create(mynah_feature_size(f), &n));
  for (int64_t i = 0; i < n.size; i++) {
    n.min[i] = -1;
    n.max[i] = n.std[i] = 1;
  }
  *out = n;
  return MYNAH_OK;
}

static bool is_picture(const mynah_shape *s) {
  return (s->n_dims == 4 && (s->dims[1] == 3 || s->dims[3] == 3)) || (s->n_dims == 5 && s->dims[2] == 3);
}

/* Height, width and frames of a picture that the network takes. */
static mynah_status picture_size(const mynah_onnx_port *port, int64_t *h, int64_t *w, int64_t *frames) {
  const int64_t *d = port->shape.dims;
  int at = port->shape.n_dims == 5 ? 3 : d[1] == 3 ? 2 : 1;
  *h = d[at];
  *w = d[at + 1];
  *frames = port->shape.n_dims == 5 ? d[1] : 1;
  if (*h < 8 || *w < 8 || *h > 4096 || *w > 4096 || *frames < 1 || *frames > 64)
    return mynah_fail(
        MYNAH_UNSUPPORTED,
        "onnx: input '%.64s': pictures of 8 … 4096 px a side are possible, of a size that the export fixes",
        port->name);
  return MYNAH_OK;
}

static mynah_status set_frames(importing *m, const char *name, int64_t n) {
  if (m->p->n_inputs > 0 && m->p->common.n_obs != n)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: input '%.64s' takes %lld frames, another %lld", name, (long long)n,
                      (long long)m->p->common.n_obs);
  if (n < 1 || n > 64) return mynah_fail(MYNAH_UNSUPPORTED, "onnx: input '%.64s': 1 … 64 frames are possible", name);
  m->p->common.n_obs = n;
  return MYNAH_OK;
}

static mynah_status add_picture(importing *m, const mynah_onnx_port *port, const char *name, mynah_feature *f) {
  int64_t h, w, frames;
  bool is_first = true;
  MYNAH_TRY(picture_size(port, &h, &w, &frames));
  MYNAH_TRY(set_frames(m, port->name, frames));
  for (int i = 0; i < m->p->n_inputs; i++) is_first = is_first && !m->p->inputs[i].is_image;
  if (!is_first && (m->p->common.image_width != w || m->p->common.image_height != h))
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: input '%.64s': all pictures must have one size", port->name);
  m->p->common.image_width = w;
  m->p->common.image_height = h;
  const mynah_feature *known = m->data ? mynah_dataset_find(m->data, name) : NULL;
  int camera_w = (int)w, camera_h = (int)h;
  const char *text = m->config->camera;
  bool is_size = !text[0] || (sscanf(text, "%6dx%6d", &camera_w, &camera_h) == 2 && camera_w > 0 && camera_h > 0 &&
                              camera_w <= MYNAH_IMAGE_MAX_SIDE && camera_h <= MYNAH_IMAGE_MAX_SIDE);
  if (!is_size) return mynah_fail(MYNAH_INVALID, "image.camera: '%.32s': WIDTHxHEIGHT is expected", text);
  *f = known && !text[0] ? *known : mynah_feature_image(name, camera_h, camera_w);
  return MYNAH_OK;
}

static mynah_status add_vector(importing *m, const mynah_onnx_port *port, const char *name, mynah_feature *f) {
  const mynah_feature *known = m->data ? mynah_dataset_find(m->data, name) : NULL;
  mynah_shape s = port->shape;
  if (s.n_dims < 1 || s.n_dims > 3)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: input '%.64s' has %d dimensions", port->name, s.n_dims);
  int64_t size = s.dims[s.n_dims - 1], frames = s.n_dims == 3 ? s.dims[1] : 1;
  if (known && size < 1) size = mynah_feature_size(known);
  MYNAH_TRY(set_frames(m, port->name, frames < 1 ? 1 : frames));
  if (size < 1 || size > 1 << 20)
    return mynah_fail(MYNAH_UNSUPPORTED,
                      "onnx: input '%.64s': its size is not fixed: name data=X.demos, or export with it", port->name);
  if (known && mynah_feature_size(known) != size)
    return mynah_fail(MYNAH_MISMATCH, "onnx: input '%.64s' has %lld elements, the dataset's '%.64s' has %lld",
                      port->name, (long long)size, name, (long long)mynah_feature_size(known));
  *f = known ? *known : mynah_feature_vector(name, size, "", "");
  f->angle_mask = 0; /* the network sees the numbers as they are */
  return MYNAH_OK;
}

static mynah_status add_input(importing *m, const mynah_onnx_port *port) {
  char text[MYNAH_TEXT_MAX];
  mynah_feature f;
  mynah_policy *p = m->p;
  if (mynah__onnx_pair(m->config->carry, port->name, text)) return MYNAH_OK;
  bool is_mapped = mynah__onnx_pair(m->config->map, port->name, text);
  const char *name = is_mapped ? text : port->name;
  if (!is_mapped && strncmp(name, "observation.", 12) != 0 && !(m->data && mynah_dataset_find(m->data, name)))
    return mynah_fail(MYNAH_NOT_FOUND,
                      "onnx: input '%.64s': say which feature it is, map=%.64s:observation.state, or what it is "
                      "carried from, carry=%.64s:OUTPUT",
                      port->name, port->name, port->name);
  if (strlen(name) >= MYNAH_NAME_MAX || p->n_inputs == MYNAH_POLICY_INPUTS_MAX)
    return mynah_fail(MYNAH_LIMIT, "onnx: too many inputs, or too long a name");
  if (mynah_feature_find(p->inputs, p->n_inputs, name) >= 0)
    return mynah_fail(MYNAH_INVALID, "onnx: two inputs are '%.64s'", name);
  MYNAH_TRY(is_picture(&port->shape) ? add_picture(m, port, name, &f) : add_vector(m, port, name, &f));
  MYNAH_TRY(f.is_image ? picture_norm(m, &p->input_norms[p->n_inputs])
                       : vector_norm(m, &f, &p->input_norms[p->n_inputs]));
  p->inputs[p->n_inputs++] = f;
  return MYNAH_OK;
}

/* ---- the action
 * --------------------------------------------------------------------------------------------------------- */

static mynah_status set_action(importing *m) {
  const mynah_onnx_port *port = NULL;
  mynah_policy *p = m->p;
  const mynah_feature *known = m->data ? mynah_dataset_find(m->data, "action") : NULL;
  MYNAH_TRY(mynah__onnx_action(m->o, m->config->output, &port));
  mynah_shape s = mynah__onnx_shape(port);
  if (s.n_dims < 1 || s.n_dims > 3 || mynah_shape_size(s) > 1 << 20)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: output '%.64s' is no action or chunk of actions", port->name);
  int64_t size = known ? mynah_feature_size(known) : s.dims[s.n_dims - 1], n = mynah_shape_size(s);
  if (size < 1 || size > 64 || n % size || n / size > 512)
    return mynah_fail(MYNAH_UNSUPPORTED, "onnx: output '%.64s': %lld numbers are no actions of %lld", port->name,
                      (long long)n, (long long)size);
  p->common.chunk = n / size;
  p->action = known ? *known : mynah_feature_vector("action", size, "", "");
  return vector_norm(m, &p->action, &p->action_norm);
}

static mynah_status fill(importing *m) {
  const mynah_onnx_port *port;
  mynah_policy *p = m->p;
  mynah_onnx_policy_config *own = p->config;
  p->common.normalize = m->config->normalize;
  p->common.normalize_action = m->config->normalize_action;
  MYNAH_TRY(mynah_copy_text(own->map, sizeof own->map, m->config->map));
  MYNAH_TRY(mynah_copy_text(own->output, sizeof own->output, m->config->output));
  MYNAH_TRY(mynah_copy_text(own->carry, sizeof own->carry, m->config->carry));
  bool needs = p->common.normalize != MYNAH_NORMALIZE_NONE || p->common.normalize_action != MYNAH_NORMALIZE_NONE;
  if (needs && !m->data && !m->statistics)
    return mynah_fail(MYNAH_NOT_FOUND, "normalize: takes statistics: name data=X.demos or stats=FILE.json");
  for (int i = 0; (port = mynah_onnx_input(m->o, i)); i++) MYNAH_TRY(add_input(m, port));
  if (p->n_inputs == 0) return mynah_fail(MYNAH_UNSUPPORTED, "onnx: the network has no input that is a feature");
  MYNAH_TRY(set_action(m));
  p->rate_hz = m->config->rate_hz > 0 || !m->data ? m->config->rate_hz : mynah_dataset_rate_hz(m->data);
  return m->data ? mynah_dataset_hash(m->data, p->dataset_hash) : MYNAH_OK;
}

/* Describes it once, which finds what is not supported and which tensors are weights. */
static mynah_status describe(importing *m, mynah_weights **weights) {
  mynah_graph *g;
  int n;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = mynah__onnx_build(m->p, m->o, g);
  if (status == MYNAH_OK) status = mynah_weights_create(g, 0, weights);
  mynah_graph_destroy(g);
  MYNAH_TRY(status);
  const mynah_safetensor *tensors = mynah_onnx_weights(m->o, &n);
  status = mynah_weights_fill(*weights, tensors, n);
  if (status == MYNAH_OK) status = mynah__onnx_keep(m->p, m->o);
  if (status != MYNAH_OK) mynah_weights_destroy(*weights);
  return status;
}

mynah_status mynah_policy_import_onnx(const char *path, const mynah_onnx_import_config *config, mynah_dataset *data,
                                      const mynah_json *statistics, mynah_policy **out, mynah_weights **weights) {
  importing m = {.config = config, .data = data, .statistics = statistics};
  mynah_weights *w = NULL;
  MYNAH_TRY(mynah_onnx_open(path, &m.o));
  mynah_status status = mynah__policy_new(config->carry[0] ? &mynah__policy_onnx_rnn : &mynah__policy_onnx, &m.p);
  if (status == MYNAH_OK) status = fill(&m);
  if (status == MYNAH_OK) status = describe(&m, &w);
  mynah_onnx_destroy(m.o);
  if (status == MYNAH_OK) {
    *out = m.p;
    *weights = w;
    return MYNAH_OK;
  }
  mynah_policy_destroy(m.p);
  return mynah_error_context(status, "%s", path);
}
