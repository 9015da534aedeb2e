/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ONNX files: what is accepted has texts that end and weights that fit their shapes; recognising, describing, and writing it
 * without its weights do not fail badly. The same bytes are also read as class names. */
#include "fuzz.h"

#include "src/perceive/perceive_internal.h"

#include <stdlib.h>
#include <string.h>

/* Inputs of the sizes that the file says, 1 where it says none. */
static void describe(mynah_onnx *o) {
  mynah_graph *g;
  mynah_onnx_feed feeds[1024];
  const mynah_onnx_port *port;
  mynah_node node;
  if (mynah_graph_create(&g) != MYNAH_OK) return;
  for (int i = 0; (port = mynah_onnx_input(o, i)); i++) {
    mynah_shape s = port->shape;
    for (int k = 0; k < s.n_dims; k++) s.dims[k] = s.dims[k] < 1 ? 1 : s.dims[k];
    feeds[i] = (mynah_onnx_feed){mynah_input(g, port->name, MYNAH_F32, s.n_dims ? s : MYNAH_SHAPE(1)), i % 2 == 1};
  }
  port = mynah_onnx_output(o, 0);
  if (port && mynah_graph_status(g) == MYNAH_OK && mynah_onnx_lower(o, g, feeds, &port->name, 1, &node) == MYNAH_OK) {
    mynah_str bare = {0};
    mynah_onnx *again;
    FUZZ_CHECK(mynah_node_shape(g, node).n_dims > 0);
    FUZZ_CHECK(mynah_onnx_strip(o, &bare) == MYNAH_OK);
    FUZZ_CHECK(mynah_onnx_parse(bare.data, bare.length, &again) == MYNAH_OK);
    mynah_onnx_destroy(again);
    mynah_str_deinit(&bare);
  }
  mynah_graph_destroy(g);
}

static void use(mynah_onnx *o) {
  volatile float sum = 0;
  mynah_detector *d;
  int n;
  const mynah_safetensor *weights = mynah_onnx_weights(o, &n);
  for (int i = 0; i < n; i++) {
    const mynah_safetensor *t = &weights[i];
    FUZZ_CHECK((size_t)mynah_shape_size(t->shape) * sizeof(float) == t->bytes);
    FUZZ_CHECK(strlen(t->name) < MYNAH_NAME_MAX);
    for (size_t k = 0; k < t->bytes / sizeof(float); k++) sum += ((const float *)t->data)[k];
  }
  (void)sum;
  const char *names = mynah_onnx_note(o, "names");
  FUZZ_CHECK(!names || strlen(names) < (size_t)1 << 21);
  if (mynah__detector_from_onnx(o, &d) == MYNAH_OK) mynah_detector_destroy(d);
  describe(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah_onnx *o;
  mynah__names names;
  char *text = malloc(size + 1); /* a block of its own, so that a sanitizer sees one byte too far */
  if (!text) return 0;
  if (size) memcpy(text, data, size);
  text[size] = 0;
  if (mynah__names_parse(text, &names) == MYNAH_OK) {
    for (int i = 0; i < names.n; i++) FUZZ_CHECK(names.text[i] != NULL);
    mynah__names_deinit(&names);
  }
  char *file = realloc(text, size ? size : 1);
  if (!file) file = text;
  if (mynah_onnx_parse(file, size, &o) == MYNAH_OK) {
    use(o);
    mynah_onnx_destroy(o);
  }
  free(file);
  return 0;
}
