/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "observation.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- names ----------------------------------------------------------------------------------------------------------- */

static mynah_status set_key(mynah__observation *o, char *pair) {
  char *colon = strchr(pair, ':');
  if (!colon) return mynah_fail(MYNAH_INVALID, "keys: '%s' is no FEATURE:KEY", pair);
  *colon = 0;
  int i = mynah_feature_find(o->features, o->n, pair);
  if (i < 0) return mynah_fail(MYNAH_NOT_FOUND, "keys: the policy sees no '%s'", pair);
  return mynah_copy_text(o->slots[i].key, sizeof o->slots[i].key, colon + 1);
}

mynah_status mynah__observation_init(mynah__observation *o, const mynah_feature *features, int n, const char *keys) {
  char text[MYNAH_TEXT_MAX], *rest = text;
  *o = (mynah__observation){.features = features, .n = n};
  if (n > MYNAH_POLICY_INPUTS_MAX) return mynah_fail(MYNAH_LIMIT, "observations: at most %d features", MYNAH_POLICY_INPUTS_MAX);
  for (int i = 0; i < n; i++) {
    memcpy(o->slots[i].key, features[i].name, sizeof o->slots[i].key);
    o->slots[i].value = mynah_calloc(1, mynah_feature_bytes(&features[i]));
    if (!o->slots[i].value) return MYNAH_NO_MEMORY;
  }
  if (!keys || !keys[0]) return MYNAH_OK;
  MYNAH_TRY(mynah_copy_text(text, sizeof text, keys));
  for (char *pair; (pair = strsep(&rest, ","));) MYNAH_TRY(set_key(o, pair));
  return MYNAH_OK;
}

void mynah__observation_deinit(mynah__observation *o) {
  for (int i = 0; i < o->n && i < MYNAH_POLICY_INPUTS_MAX; i++) {
    mynah_free(o->slots[i].value);
    mynah_free(o->slots[i].sent);
  }
  *o = (mynah__observation){0};
}

mynah_status mynah__observation_prepare(mynah__observation *o) {
  for (int i = 0; i < o->n; i++) {
    const mynah_feature *f = &o->features[i];
    if (!f->is_image || o->side == 0) continue;
    o->slots[i].sent = mynah_calloc((size_t)o->side * (size_t)o->side, 3);
    if (!o->slots[i].sent) return MYNAH_NO_MEMORY;
  }
  return MYNAH_OK;
}

static const mynah__pack *find(const mynah__message *m, const char *key) {
  char slashed[MYNAH_NAME_MAX];
  const mynah__pack *v = mynah__pack_get(m, m->nodes, key);
  if (v) return v;
  snprintf(slashed, sizeof slashed, "%s", key);
  for (char *c = slashed; *c; c++)
    if (*c == '.' || *c == '>') *c = '/';
  return mynah__pack_get(m, m->nodes, slashed);
}

/* ---- pictures --------------------------------------------------------------------------------------------------------- */

/* Brings a picture to another size: stretched, or with its proportions in the middle of black bars. */
static mynah_status fit(const mynah_image *from, mynah_image *to, bool is_padded) {
  double ratio = fmax((double)from->width / to->width, (double)from->height / to->height);
  mynah_image part = {NULL, (int)fmax(1, from->width / ratio), (int)fmax(1, from->height / ratio)};
  if (!is_padded || (part.width == to->width && part.height == to->height)) {
    mynah_image_resample(from, 0, 0, from->width, from->height, to);
    return MYNAH_OK;
  }
  size_t row = (size_t)part.width * 3, width = (size_t)to->width * 3;
  part.data = mynah_alloc(row * (size_t)part.height);
  if (!part.data) return MYNAH_NO_MEMORY;
  mynah_image_resample(from, 0, 0, from->width, from->height, &part);
  memset(to->data, 0, width * (size_t)to->height);
  uint8_t *corner = to->data + (size_t)((to->height - part.height) / 2) * width + (size_t)((to->width - part.width) / 2) * 3;
  for (size_t y = 0; y < (size_t)part.height; y++) memcpy(corner + y * width, part.data + y * row, row);
  mynah_free(part.data);
  return MYNAH_OK;
}

/* ---- out of a message ------------------------------------------------------------------------------------------------ */

static mynah_status read_vector(const mynah_feature *f, const mynah__pack *v, void *out) {
  int64_t n = mynah_feature_size(f);
  if (v->n != n) return mynah_fail(MYNAH_MISMATCH, "'%s' has %lld elements, %lld are due", f->name, (long long)v->n, (long long)n);
  for (int64_t i = 0; i < n; i++) {
    double x = mynah__pack_element(v, i);
    if (!isfinite(x)) return mynah_fail(MYNAH_NONFINITE, "'%s': element %lld is no number", f->name, (long long)i);
    bool is_whole = f->dtype != MYNAH_F32 && f->dtype != MYNAH_F64;
    if (is_whole && !(fabs(x) < 9e15)) return mynah_fail(MYNAH_MISMATCH, "'%s': element %lld is too large", f->name, (long long)i);
    if (f->dtype == MYNAH_F32) ((float *)out)[i] = (float)x;
    else if (f->dtype == MYNAH_F64) ((double *)out)[i] = x;
    else if (f->dtype == MYNAH_I64) ((int64_t *)out)[i] = (int64_t)x;
    else if (f->dtype == MYNAH_I32) ((int32_t *)out)[i] = (int32_t)fmin(INT32_MAX, fmax(INT32_MIN, x));
    else if (f->dtype == MYNAH_U8 || f->dtype == MYNAH_BOOL) ((uint8_t *)out)[i] = (uint8_t)fmin(255, fmax(0, x));
    else return mynah_fail(MYNAH_UNSUPPORTED, "'%s': its type is not served", f->name);
  }
  return MYNAH_OK;
}

/* A byte of a picture in rows of RGB. */
static uint8_t byte_at(const mynah__pack *v, int64_t i) {
  if (v->dtype[1] == 'u' && mynah__pack_dtype_bytes(v->dtype) == 1) return v->data[i];
  double x = mynah__pack_element(v, i) * (v->dtype[1] == 'f' ? 255 : 1);
  return x > 0 ? (uint8_t)fmin(255, x + 0.5) : 0;
}

static mynah_status read_picture(const mynah__observation *o, const mynah_feature *f, const mynah__pack *v, void *out) {
  bool is_planar = v->n_dims == 3 && v->shape[0] == 3 && (o->images == MYNAH__IMAGES_CHW || v->shape[2] != 3);
  if (o->images != MYNAH__IMAGES_ANY && is_planar != (o->images == MYNAH__IMAGES_CHW))
    return mynah_fail(MYNAH_MISMATCH, "'%s' lies otherwise than images=%s", f->name, o->images == MYNAH__IMAGES_CHW ? "chw" : "hwc");
  int64_t h = is_planar ? v->shape[1] : v->shape[0], w = is_planar ? v->shape[2] : v->shape[1];
  if (v->n_dims != 3 || (!is_planar && v->shape[2] != 3) || h < 1 || w < 1 || h > MYNAH_IMAGE_MAX_SIDE || w > MYNAH_IMAGE_MAX_SIDE)
    return mynah_fail(MYNAH_MISMATCH, "'%s' is no picture (H,W,3) or (3,H,W)", f->name);
  mynah_image to = {out, (int)f->dims[1], (int)f->dims[0]}, from = {mynah_alloc((size_t)(h * w * 3)), (int)w, (int)h};
  if (!from.data) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < h * w; i++)
    for (int64_t c = 0; c < 3; c++) from.data[3 * i + c] = byte_at(v, is_planar ? c * h * w + i : 3 * i + c);
  mynah_status status = fit(&from, &to, o->is_padded);
  mynah_free(from.data);
  return status;
}

mynah_status mynah__observation_read(mynah__observation *o, const mynah__message *m, mynah_value *values) {
  if (m->n < 1 || m->nodes[0].kind != MYNAH__PACK_MAP) return mynah_fail(MYNAH_CORRUPT, "an observation is a map");
  for (int i = 0; i < o->n; i++) {
    const mynah_feature *f = &o->features[i];
    const mynah__pack *v = find(m, o->slots[i].key);
    if (!v) return mynah_fail(MYNAH_NOT_FOUND, "the observation has no '%s'", o->slots[i].key);
    if (v->kind != MYNAH__PACK_ARRAY) return mynah_fail(MYNAH_MISMATCH, "'%s' is no array", o->slots[i].key);
    MYNAH_TRY(f->is_image ? read_picture(o, f, v, o->slots[i].value) : read_vector(f, v, o->slots[i].value));
    values[i] = (mynah_value){o->slots[i].value, mynah_feature_bytes(f), mynah_now_ns()};
  }
  return MYNAH_OK;
}

/* ---- into a message --------------------------------------------------------------------------------------------------- */

static const char *dtype_of(const mynah_feature *f) {
  if (f->is_image || f->dtype == MYNAH_U8) return "|u1";
  if (f->dtype == MYNAH_BOOL) return "|b1";
  return f->dtype == MYNAH_F64 ? "<f8" : f->dtype == MYNAH_I64 ? "<i8" : f->dtype == MYNAH_I32 ? "<i4" : "<f4";
}

static mynah_status write_picture(const mynah__observation *o, int i, const void *data, mynah_str *out) {
  const mynah_feature *f = &o->features[i];
  mynah_image from = {(uint8_t *)(uintptr_t)data, (int)f->dims[1], (int)f->dims[0]}, to = from;
  if (o->side > 0) {
    to = (mynah_image){o->slots[i].sent, o->side, o->side};
    MYNAH_TRY(fit(&from, &to, true));
  }
  int64_t h = to.height, w = to.width;
  if (o->images != MYNAH__IMAGES_CHW) {
    mynah__pack_array(out, "|u1", (int64_t[]){h, w, 3}, 3, to.data);
    return MYNAH_OK;
  }
  uint8_t *planes = mynah_alloc((size_t)(h * w * 3));
  if (!planes) return MYNAH_NO_MEMORY;
  for (int64_t k = 0; k < h * w; k++)
    for (int64_t c = 0; c < 3; c++) planes[c * h * w + k] = to.data[3 * k + c];
  mynah__pack_array(out, "|u1", (int64_t[]){3, h, w}, 3, planes);
  mynah_free(planes);
  return MYNAH_OK;
}

static mynah_status write_one(const mynah__observation *o, int i, const char *key, const mynah_value *v, mynah_str *out) {
  const mynah_feature *f = &o->features[i];
  int64_t size = mynah_feature_size(f);
  mynah__pack_key(out, key);
  if (f->is_image) return write_picture(o, i, v->data, out);
  mynah__pack_array(out, dtype_of(f), &size, 1, v->data);
  return MYNAH_OK;
}

/* Bytes of a key before its '>', 0: there is none. */
static size_t folder_of(const char *key) {
  const char *mark = strchr(key, '>');
  return mark ? (size_t)(mark - key) : 0;
}

static bool is_same_folder(const mynah__observation *o, int a, int b) {
  size_t n = folder_of(o->slots[a].key);
  return n > 0 && n == folder_of(o->slots[b].key) && memcmp(o->slots[a].key, o->slots[b].key, n) == 0;
}

mynah_status mynah__observation_write(const mynah__observation *o, const mynah_value *values, mynah_str *out) {
  bool has_prompt = o->prompt && o->prompt[0];
  size_t n = has_prompt;
  int first[MYNAH_POLICY_INPUTS_MAX]; /* of those in the same map; itself where there is none */
  for (int i = 0; i < o->n; i++) {
    first[i] = i;
    for (int k = i - 1; k >= 0; k--)
      if (is_same_folder(o, i, k)) first[i] = k;
    n += first[i] == i;
  }
  mynah__pack_map(out, n);
  for (int i = 0; i < o->n; i++) {
    size_t folder = folder_of(o->slots[i].key), inside = 0;
    char name[MYNAH_NAME_MAX];
    if (first[i] != i) continue;
    if (folder == 0) {
      MYNAH_TRY(write_one(o, i, o->slots[i].key, &values[i], out));
      continue;
    }
    for (int k = i; k < o->n; k++) inside += first[k] == i;
    snprintf(name, sizeof name, "%.*s", (int)folder, o->slots[i].key);
    mynah__pack_key(out, name);
    mynah__pack_map(out, inside);
    for (int k = i; k < o->n; k++)
      if (first[k] == i) MYNAH_TRY(write_one(o, k, o->slots[k].key + folder + 1, &values[k], out));
  }
  if (!has_prompt) return MYNAH_OK;
  mynah__pack_key(out, "prompt");
  mynah__pack_text(out, o->prompt, strlen(o->prompt));
  return MYNAH_OK;
}
