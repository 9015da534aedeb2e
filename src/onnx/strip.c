/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing an ONNX file without its weights: fields are copied as they lie, but for what is left out. */
#include "onnx_internal.h"

typedef struct writing {
  const mynah_onnx *o;
  mynah_str *out;
} writing;

static void copy(const writing *w, const mynah__field *f) {
  mynah_str_append(w->out, f->whole.at, mynah__span_size(f->whole));
}

static mynah_status strip_tensor(void *context, const mynah__field *f) {
  const writing *w = context;
  if (f->number == TENSOR_DIMS || f->number == TENSOR_TYPE || f->number == TENSOR_NAME) copy(w, f);
  return MYNAH_OK;
}

static mynah_status strip_node(void *context, const mynah__field *f) {
  const writing *w = context;
  if (f->number <= NODE_ATTRIBUTE || f->number == NODE_DOMAIN) copy(w, f);
  return MYNAH_OK;
}

static const mynah__onnx_tensor *tensor_at(const mynah_onnx *o, const uint8_t *at) {
  for (size_t i = 0; i < o->n_tensors; i++)
    if (o->tensors[i].message.at == at) return &o->tensors[i];
  return NULL;
}

/* A message inside, rewritten by fn. */
static mynah_status put(const writing *w, const mynah__field *f, mynah__field_fn fn) {
  mynah_str inner = {0};
  mynah_status status = mynah__wire_each(f->bytes, fn, &(writing){w->o, &inner});
  if (inner.is_failed) status = MYNAH_NO_MEMORY;
  mynah__wire_put(w->out, (int)f->number, mynah_str_text(&inner), inner.length);
  mynah_str_deinit(&inner);
  return status;
}

static mynah_status strip_graph(void *context, const mynah__field *f) {
  const writing *w = context;
  const mynah__onnx_tensor *t = mynah__is_bytes(f, GRAPH_INITIALIZER) ? tensor_at(w->o, f->bytes.at) : NULL;
  if (t && t->is_weight && !t->is_read) return put(w, f, strip_tensor);
  if (mynah__is_bytes(f, GRAPH_NODE)) return put(w, f, strip_node);
  if (f->number == GRAPH_INITIALIZER || f->number == GRAPH_INPUT || f->number == GRAPH_OUTPUT) copy(w, f);
  return MYNAH_OK;
}

static mynah_status strip_model(void *context, const mynah__field *f) {
  const writing *w = context;
  if (mynah__is_bytes(f, MODEL_GRAPH)) return put(w, f, strip_graph);
  if (f->number == MODEL_VERSION || f->number == MODEL_OPSET) copy(w, f);
  return MYNAH_OK;
}

mynah_status mynah_onnx_strip(const mynah_onnx *o, mynah_str *out) {
  const uint8_t *bytes = (const uint8_t *)o->file.data;
  MYNAH_TRY(mynah__wire_each((mynah__span){bytes, bytes + o->file.length}, strip_model, &(writing){o, out}));
  return out->is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}
