/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Normalisation as part of the graph: statistics, and the nodes that apply them. */
#include "policy_internal.h"

#include <math.h>
#include <string.h>

mynah_status mynah__norm_create(int64_t size, mynah_norm *out) {
  float *block = mynah_calloc((size_t)size * 4, sizeof(float));
  if (!block) return MYNAH_NO_MEMORY;
  *out = (mynah_norm){size, block, block + size, block + 2 * size, block + 3 * size};
  return MYNAH_OK;
}

void mynah__norm_deinit(mynah_norm *n) {
  mynah_free(n->min);
  *n = (mynah_norm){0};
}

mynah_json *mynah__norm_to_json(const mynah_norm *n) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "min", mynah_json_floats(n->min, (size_t)n->size));
  mynah_json_set(j, "max", mynah_json_floats(n->max, (size_t)n->size));
  mynah_json_set(j, "mean", mynah_json_floats(n->mean, (size_t)n->size));
  mynah_json_set(j, "std", mynah_json_floats(n->std, (size_t)n->size));
  return j;
}

mynah_status mynah__norm_from_json(const mynah_json *j, int64_t size, const char *name, mynah_norm *out) {
  static const char *const keys[4] = {"min", "max", "mean", "std"};
  mynah_norm n;
  MYNAH_TRY(mynah__norm_create(size, &n));
  float *rows[4] = {n.min, n.max, n.mean, n.std};
  for (int k = 0; k < 4; k++) {
    const mynah_json *a = mynah_json_get(j, keys[k]);
    if (!mynah_json_is_array(a) || mynah_json_size(a) != (size_t)size) {
      mynah__norm_deinit(&n);
      return mynah_fail(MYNAH_CORRUPT, "policy: normaliser of '%s' lacks %lld numbers under '%s'", name, (long long)size,
                        keys[k]);
    }
    for (int64_t i = 0; i < size; i++) {
      rows[k][i] = (float)mynah_json_to_number(mynah_json_at(a, (size_t)i), NAN);
      if (!isfinite(rows[k][i])) {
        mynah__norm_deinit(&n);
        return mynah_fail(MYNAH_NONFINITE, "policy: normaliser of '%s': %s[%lld] is not a number", name, keys[k],
                          (long long)i);
      }
    }
  }
  *out = n;
  return MYNAH_OK;
}

mynah__affine mynah__norm_element(const mynah_norm *n, int64_t kind, int64_t i) {
  float range = n->max[i] - n->min[i];
  switch (kind) {
    case MYNAH_NORMALIZE_MINMAX: return range > 0 ? (mynah__affine){n->min[i], 2 / range, -1} : (mynah__affine){n->min[i], 1, 0};
    case MYNAH_NORMALIZE_MEANSTD: return (mynah__affine){n->mean[i], n->std[i] > 0 ? 1 / n->std[i] : 1, 0};
    default: return (mynah__affine){0, 1, 0};
  }
}

/* x (…,n) through n affine maps. */
static mynah_node map_elements(mynah_graph *g, mynah_node x, const mynah__affine *a, int64_t n) {
  float *rows = mynah_calloc((size_t)n * 3, sizeof *rows);
  if (!rows) return mynah_graph_fail(g, "policy: out of memory");
  bool is_moved = false, is_scaled = false, is_shifted = false;
  for (int64_t i = 0; i < n; i++) {
    is_moved = is_moved || a[i].offset != 0;
    is_scaled = is_scaled || a[i].scale != 1;
    is_shifted = is_shifted || a[i].shift != 0;
    rows[i] = a[i].offset;
    rows[n + i] = a[i].scale;
    rows[2 * n + i] = a[i].shift;
  }
  if (is_moved) x = mynah_sub(g, x, mynah_constant(g, MYNAH_SHAPE(n), rows));
  if (is_scaled) x = mynah_mul(g, x, mynah_constant(g, MYNAH_SHAPE(n), rows + n));
  if (is_shifted) x = mynah_add(g, x, mynah_constant(g, MYNAH_SHAPE(n), rows + 2 * n));
  mynah_free(rows);
  return x;
}

/* x (B,T,D) -> (B,T,D'): runs of plain elements normalised, then cos, sin of each angle. */
static mynah_node normalize_vector(const mynah_policy *p, mynah_graph *g, mynah_node x, int index) {
  const mynah_feature *f = &p->inputs[index];
  const mynah_norm *norm = &p->input_norms[index];
  int64_t n = norm->size;
  mynah__affine *maps = mynah_calloc((size_t)n, sizeof *maps);
  if (!maps) return mynah_graph_fail(g, "policy: out of memory");
  for (int64_t i = 0; i < n; i++) maps[i] = mynah__norm_element(norm, p->common.normalize, i);
  mynah_node parts[3 * 64];
  int n_parts = 0;
  for (int64_t i = 0; i < n;) {
    bool is_angle = i < 64 && (f->angle_mask >> i & 1);
    int64_t end = i + 1;
    while (!is_angle && end < n && !(end < 64 && (f->angle_mask >> end & 1))) end++;
    if (!is_angle) {
      mynah_node run = end - i == n ? x : mynah_slice(g, x, -1, i, end - i);
      parts[n_parts++] = map_elements(g, run, maps + i, end - i);
    }
    i = end;
  }
  for (int64_t i = 0; i < n && i < 64; i++) {
    if (!(f->angle_mask >> i & 1)) continue;
    mynah_node angle = mynah_slice(g, x, -1, i, 1);
    parts[n_parts++] = mynah_unary(g, "cos", angle);
    parts[n_parts++] = mynah_unary(g, "sin", angle);
  }
  mynah_free(maps);
  return n_parts == 1 ? parts[0] : mynah_concat(g, parts, n_parts, -1);
}

/* To [-1,1]; with statistics of its three channels, (x/255 - mean) / std. */
static mynah_node normalize_image(const mynah_norm *n, mynah_graph *g, mynah_node x) {
  float scale[3] = {1 / 127.5f}, shift[3] = {-1};
  if (n->size != 3) return mynah_from_u8(g, x, scale, shift, 1);
  for (int i = 0; i < 3; i++) {
    scale[i] = 1 / (255 * n->std[i]);
    shift[i] = -n->mean[i] / n->std[i];
  }
  return mynah_from_u8(g, x, scale, shift, 3);
}

mynah_node mynah__policy_observe(const mynah_policy *p, mynah_graph *g, int index, int64_t batch) {
  return mynah__policy_observe_frames(p, g, index, batch, p->common.n_obs);
}

mynah_node mynah__policy_observe_frames(const mynah_policy *p, mynah_graph *g, int index, int64_t batch, int64_t n_frames) {
  const mynah_feature *f = &p->inputs[index];
  mynah_node x;
  if (f->is_image) {
    mynah_window w = {0};
    mynah__policy_geometry(p, &w);
    x = mynah_input(g, f->name, MYNAH_U8, MYNAH_SHAPE(batch, n_frames, w.height, w.width, 3));
    x = mynah_reshape(g, x, MYNAH_SHAPE(batch * n_frames, w.height, w.width, 3));
    x = normalize_image(&p->input_norms[index], g, x);
  } else {
    x = mynah_input(g, f->name, MYNAH_F32, MYNAH_SHAPE(batch, n_frames, mynah_feature_size(f)));
    x = normalize_vector(p, g, x, index);
    if (p->common.obs_noise > 0) x = mynah_gaussian_noise(g, x, (float)p->common.obs_noise);
  }
  return x;
}

static mynah_node map_action(const mynah_policy *p, mynah_graph *g, mynah_node x, bool is_inverse) {
  int64_t n = p->action_norm.size;
  mynah__affine maps[64];
  if (n > 64) return mynah_graph_fail(g, "policy: an action of %lld elements is over the limit of 64", (long long)n);
  for (int64_t i = 0; i < n; i++) {
    mynah__affine a = mynah__norm_element(&p->action_norm, p->common.normalize_action, i);
    maps[i] = is_inverse ? (mynah__affine){a.shift, 1 / a.scale, a.offset} : a;
  }
  return map_elements(g, x, maps, n);
}

mynah_node mynah__policy_normalize_action(const mynah_policy *p, mynah_graph *g, mynah_node x) {
  return map_action(p, g, x, false);
}

mynah_node mynah__policy_restore_action(const mynah_policy *p, mynah_graph *g, mynah_node x) {
  return map_action(p, g, x, true);
}

mynah_node mynah__policy_mask(const mynah_policy *p, mynah_graph *g, int64_t batch, int64_t n) {
  mynah_node mask = mynah_input(g, "action.mask", MYNAH_F32, MYNAH_SHAPE(batch, n));
  mynah_node ones = mynah_fill(g, MYNAH_SHAPE(batch, n, mynah_feature_size(&p->action)), 1);
  return mynah_mul(g, ones, mynah_reshape(g, mask, MYNAH_SHAPE(batch, n, 1)));
}
