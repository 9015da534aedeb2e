/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks exported from PyTorch (tests/support/onnx_networks.py) against what PyTorch made of the same inputs; again
 * without the weights in the file; unknown and damaged ones named. */
#include "onnx_case.h"

#include <dirent.h>
#include <stdlib.h>

#ifndef MYNAH_ONNX_NETWORKS
#define MYNAH_ONNX_NETWORKS "tests/onnx/networks"
#endif

/* ---- one network
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct running {
  mynah_graph *g;
  mynah_weights *weights;
  mynah_program *program;
  mynah_binding *binding;
  mynah_state *state;
} running;

static void feed_all(const mynah_onnx *o, mynah_graph *g, const mynah_safetensors *f, bool is_last,
                     mynah_onnx_feed *feeds) {
  const mynah_onnx_port *port;
  for (int i = 0; (port = mynah_onnx_input(o, i)); i++) {
    char name[128];
    snprintf(name, sizeof name, "in.%s", port->name);
    const mynah_safetensor *t = mynah_safetensors_find(f, name);
    if (!t) fail_msg("no tensor %s", name);
    mynah_shape s = t->shape;
    bool turns = is_last && s.n_dims == 4;
    if (turns) s = MYNAH_SHAPE(t->shape.dims[0], t->shape.dims[2], t->shape.dims[3], t->shape.dims[1]);
    feeds[i] = (mynah_onnx_feed){mynah_input(g, port->name, MYNAH_F32, s), turns};
  }
}

static void fill_all(const mynah_onnx *o, mynah_state *state, const mynah_safetensors *f, bool is_last) {
  const mynah_onnx_port *port;
  for (int i = 0; (port = mynah_onnx_input(o, i)); i++) {
    char name[128];
    snprintf(name, sizeof name, "in.%s", port->name);
    const mynah_safetensor *t = mynah_safetensors_find(f, name);
    float *to = mynah_state_input(state, port->name);
    if (!to) continue; /* nothing depends on it */
    const int64_t *d = t->shape.dims;
    if (!is_last || t->shape.n_dims != 4) {
      memcpy(to, t->data, t->bytes);
      continue;
    }
    for (int64_t c = 0; c < d[1]; c++)
      for (int64_t k = 0; k < d[2] * d[3]; k++) to[k * d[1] + c] = ((const float *)t->data)[c * d[2] * d[3] + k];
  }
}

/* Describes and runs; from: what has the weights. */
static running run(mynah_onnx *o, const mynah_onnx *from, const mynah_safetensors *f, bool is_last) {
  running r = {0};
  mynah_onnx_feed feeds[16];
  const char *names[16];
  mynah_node nodes[16];
  int n = 0, n_weights;
  ok(mynah_graph_create(&r.g));
  feed_all(o, r.g, f, is_last, feeds);
  for (const mynah_onnx_port *port; (port = mynah_onnx_output(o, n)); n++) names[n] = port->name;
  ok(mynah_onnx_lower(o, r.g, feeds, names, n, nodes));
  for (int i = 0; i < n; i++) mynah_output(r.g, names[i], nodes[i]);
  ok(mynah_weights_create(r.g, 0, &r.weights));
  const mynah_safetensor *weights = mynah_onnx_weights(from, &n_weights);
  ok(mynah_weights_fill(r.weights, weights, n_weights));
  mynah_compile_config c = mynah_compile_default();
  c.is_frozen = true;
  ok(mynah_compile(r.g, &c, &r.program));
  ok(mynah_binding_create(r.program, r.weights, &r.binding));
  ok(mynah_state_create(r.binding, &r.state));
  fill_all(o, r.state, f, is_last);
  mynah_state_run(r.state);
  return r;
}

static void end(running *r) {
  mynah_state_destroy(r->state);
  mynah_binding_destroy(r->binding);
  mynah_program_destroy(r->program);
  mynah_weights_destroy(r->weights);
  mynah_graph_destroy(r->g);
}

/* Within 1e-5 of the largest number. */
static void compare(const char *what, const mynah_onnx *o, const running *r, const mynah_safetensors *f) {
  const mynah_onnx_port *port;
  for (int i = 0; (port = mynah_onnx_output(o, i)); i++) {
    char name[128];
    snprintf(name, sizeof name, "out.%s", port->name);
    const mynah_safetensor *t = mynah_safetensors_find(f, name);
    const float *due = t->data, *got = mynah_state_output(r->state, port->name);
    double worst = 0, scale = 1;
    assert_int_equal(mynah_state_output_bytes(r->state, port->name), t->bytes);
    for (int64_t k = 0; k < mynah_shape_size(t->shape); k++) {
      double off = fabs((double)due[k] - (double)got[k]);
      scale = fmax(scale, fabs((double)due[k]));
      if (!(off <= worst)) worst = off;
    }
    if (!(worst <= 1e-5 * scale)) fail_msg("%s: %s is off by %g of %g", what, port->name, worst, scale);
  }
}

static void check_network(const char *folder, const char *name) {
  char path[600];
  mynah_onnx *o, *bare;
  mynah_safetensors *f;
  mynah_str stripped = {0};
  snprintf(path, sizeof path, "%s/%.*s.safetensors", folder, (int)strlen(name) - 5, name);
  ok(mynah_safetensors_open(path, &f));
  snprintf(path, sizeof path, "%s/%s", folder, name);
  ok(mynah_onnx_open(path, &o));
  for (int is_last = 0; is_last < 2; is_last++) {
    running r = run(o, o, f, is_last);
    compare(name, o, &r, f);
    end(&r);
  }
  ok(mynah_onnx_strip(o, &stripped));
  ok(mynah_onnx_parse(stripped.data, stripped.length, &bare));
  running r = run(bare, o, f, false);
  compare(name, bare, &r, f);
  end(&r);
  mynah_str_deinit(&stripped);
  mynah_onnx_destroy(bare);
  mynah_onnx_destroy(o);
  mynah_safetensors_close(f);
}

static void test_networks(void **state) {
  const char *folder = getenv("MYNAH_ONNX_NETWORKS");
  char **names;
  size_t n, n_checked = 0;
  if (!folder) folder = MYNAH_ONNX_NETWORKS;
  ok(mynah_list_dir(folder, &names, &n));
  for (size_t i = 0; i < n; i++) {
    size_t length = strlen(names[i]);
    if (length < 6 || strcmp(names[i] + length - 5, ".onnx") != 0) continue;
    check_network(folder, names[i]);
    n_checked++;
  }
  assert_true(n_checked > 0);
  mynah_names_free(names, n);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
