/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Element types and features: what a value of a frame is called, its type and shape. */
#include <mynah/base.h>

#include <stdio.h>
#include <string.h>

#define MAX_ELEMENTS (INT64_C(1) << 31)

static const struct {
  const char *name;
  size_t bytes;
} dtypes[] = {
    [MYNAH_F32] = {"float32", 4},   [MYNAH_F64] = {"float64", 8}, [MYNAH_I64] = {"int64", 8},
    [MYNAH_I32] = {"int32", 4},     [MYNAH_U8] = {"uint8", 1},    [MYNAH_BOOL] = {"bool", 1},
    [MYNAH_BF16] = {"bfloat16", 2},
};

static bool is_dtype(mynah_dtype dtype) { return (int)dtype >= 0 && dtype < MYNAH_DTYPE_COUNT; }

size_t mynah_dtype_bytes(mynah_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].bytes : 0; }
const char *mynah_dtype_name(mynah_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].name : "unknown"; }

bool mynah_dtype_parse(const char *name, mynah_dtype *out) {
  for (int i = 0; i < MYNAH_DTYPE_COUNT; i++) {
    if (strcmp(name, dtypes[i].name) != 0) continue;
    *out = (mynah_dtype)i;
    return true;
  }
  return false;
}

int64_t mynah_feature_size(const mynah_feature *f) {
  int64_t n = 1;
  for (int i = 0; i < f->n_dims && i < MYNAH_MAX_DIMS; i++)
    if (f->dims[i] < 0 || __builtin_mul_overflow(n, f->dims[i], &n)) return 0;
  return n;
}

size_t mynah_feature_bytes(const mynah_feature *f) {
  size_t bytes;
  return mynah_mul_size((size_t)mynah_feature_size(f), mynah_dtype_bytes(f->dtype), &bytes) ? bytes : 0;
}

/* A text that does not fit is cut here and refused by mynah_feature_check, which sees it unterminated. */
static void put_text(char *out, size_t size, const char *text) {
  size_t n = text ? strlen(text) : 0;
  memset(out, 0, size);
  if (n > 0) memcpy(out, text, n < size ? n : size);
}

mynah_feature mynah_feature_vector(const char *name, int64_t n, const char *names, const char *unit) {
  mynah_feature f = {.dtype = MYNAH_F32, .n_dims = 1, .dims = {n}};
  put_text(f.name, sizeof f.name, name);
  put_text(f.names, sizeof f.names, names);
  put_text(f.unit, sizeof f.unit, unit);
  return f;
}

mynah_feature mynah_feature_image(const char *name, int64_t height, int64_t width) {
  mynah_feature f = {.dtype = MYNAH_U8, .n_dims = 3, .dims = {height, width, 3}, .is_image = true};
  put_text(f.name, sizeof f.name, name);
  return f;
}

/* Whoever mirrors the picture mirrors its boxes: no element is another one's image. */
mynah_feature mynah_feature_boxes(const char *camera, int64_t n) {
  char name[MYNAH_NAME_MAX];
  const char *dot = strrchr(camera, '.');
  snprintf(name, sizeof name, "boxes.%.80s", dot ? dot + 1 : camera);
  mynah_feature f = mynah_feature_vector(name, n, "", "");
  f.n_dims = 2;
  f.dims[1] = 5;
  f.is_mirrorable = true;
  return f;
}

void mynah_feature_mirror(mynah_feature *f, const int *from, const float *offset) {
  int64_t n = mynah_feature_size(f);
  f->is_mirrorable = true;
  for (int64_t i = 0; i < n && i < MYNAH_MIRROR_MAX; i++) {
    f->mirror_from[i] = (int8_t)from[i];
    f->mirror_offset[i] = offset ? offset[i] : 0;
  }
}

void mynah_feature_apply_mirror(const mynah_feature *f, float *x) {
  float old[MYNAH_MIRROR_MAX];
  int64_t n = mynah_feature_size(f);
  if (n > MYNAH_MIRROR_MAX) n = MYNAH_MIRROR_MAX;
  for (int64_t i = 0; i < n; i++) old[i] = x[i];
  for (int64_t i = 0; i < n; i++) {
    int from = f->mirror_from[i];
    if (from) x[i] = (from < 0 ? -old[-from - 1] : old[from - 1]) + f->mirror_offset[i];
  }
}

static bool is_name(const char *name) {
  if (!name[0] || name[0] == '.') return false;
  for (; *name; name++) {
    bool is_letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9');
    if (!is_letter && *name != '.' && *name != '_' && *name != '-' && *name != '/') return false;
  }
  return true;
}

static int64_t count_names(const char *names) {
  int64_t n = names[0] ? 1 : 0;
  for (; *names; names++) n += *names == ',';
  return n;
}

mynah_status mynah_feature_check(const mynah_feature *f) {
  if (!memchr(f->name, 0, sizeof f->name))
    return mynah_fail(MYNAH_LIMIT, "feature name of over %d bytes", MYNAH_NAME_MAX - 1);
  if (!is_name(f->name))
    return mynah_fail(MYNAH_INVALID, "feature '%s': a name has letters, digits and . _ - /", f->name);
  if (!memchr(f->unit, 0, sizeof f->unit) || !memchr(f->names, 0, sizeof f->names))
    return mynah_fail(MYNAH_LIMIT, "feature '%s': unit or element names are too long", f->name);
  if (!is_dtype(f->dtype)) return mynah_fail(MYNAH_INVALID, "feature '%s': unknown element type", f->name);
  if (f->n_dims < 0 || f->n_dims > MYNAH_MAX_DIMS)
    return mynah_fail(MYNAH_LIMIT, "feature '%s': %d dimensions, at most %d", f->name, f->n_dims, MYNAH_MAX_DIMS);
  int64_t n = 1;
  for (int i = 0; i < f->n_dims; i++) {
    if (f->dims[i] < 1)
      return mynah_fail(MYNAH_INVALID, "feature '%s': dimension %d is %lld", f->name, i, (long long)f->dims[i]);
    if (__builtin_mul_overflow(n, f->dims[i], &n) || n > MAX_ELEMENTS)
      return mynah_fail(MYNAH_LIMIT, "feature '%s': too many elements", f->name);
  }
  if (f->is_image && (f->n_dims != 3 || f->dims[2] != 3 || f->dtype != MYNAH_U8 || f->dims[0] > MYNAH_IMAGE_MAX_SIDE ||
                      f->dims[1] > MYNAH_IMAGE_MAX_SIDE))
    return mynah_fail(MYNAH_INVALID, "feature '%s': an image is uint8 (height, width, 3)", f->name);
  for (int i = 0; i < MYNAH_MIRROR_MAX; i++)
    if (f->mirror_from[i] != 0 && (f->is_image || i >= n || f->mirror_from[i] > n || f->mirror_from[i] < -n))
      return mynah_fail(MYNAH_INVALID, "feature '%s': its mirror image names an element beyond %lld", f->name,
                        (long long)n);
  uint64_t elements = n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
  if (!f->is_image && (f->angle_mask & ~elements))
    return mynah_fail(MYNAH_INVALID, "feature '%s': a mask names an element beyond %lld", f->name, (long long)n);
  if (f->names[0] && count_names(f->names) != n)
    return mynah_fail(MYNAH_MISMATCH, "feature '%s': %lld element names for %lld elements", f->name,
                      (long long)count_names(f->names), (long long)n);
  return MYNAH_OK;
}

int mynah_feature_find(const mynah_feature *features, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(features[i].name, name) == 0) return i;
  return -1;
}

/* A mask as the list of its bits, so that JSON readers without 64-bit integers can use it. */
static mynah_json *mask_to_json(uint64_t mask) {
  mynah_json *array = mynah_json_array();
  for (int i = 0; i < 64; i++)
    if (mask >> i & 1) mynah_json_append(array, mynah_json_integer(i));
  return array;
}

/* {"from":[…],"offset":[…]}; NULL when a mirrored vector is the same. */
static mynah_json *mirror_to_json(const mynah_feature *f) {
  int64_t n = mynah_feature_size(f);
  if (n > MYNAH_MIRROR_MAX) n = MYNAH_MIRROR_MAX;
  bool is_same = true;
  for (int64_t i = 0; i < n; i++) is_same = is_same && f->mirror_from[i] == 0;
  if (is_same || f->is_image) return NULL;
  mynah_json *j = mynah_json_object(), *from = mynah_json_array(), *offset = mynah_json_array();
  for (int64_t i = 0; i < n; i++) {
    mynah_json_append(from, mynah_json_integer(f->mirror_from[i]));
    mynah_json_append(offset, mynah_json_number((double)f->mirror_offset[i]));
  }
  mynah_json_set(j, "from", from);
  mynah_json_set(j, "offset", offset);
  return j;
}

static mynah_status mirror_from_json(const mynah_json *j, mynah_feature *f) {
  const mynah_json *from = mynah_json_get(j, "from"), *offset = mynah_json_get(j, "offset");
  if (!j) return MYNAH_OK;
  size_t n = mynah_json_size(from);
  if (!mynah_json_is_array(from) || n > MYNAH_MIRROR_MAX || !mynah_json_is_array(offset) || mynah_json_size(offset) != n)
    return mynah_fail(MYNAH_CORRUPT, "mirror: 'from' and 'offset' are lists of the same length, at most %d",
                      MYNAH_MIRROR_MAX);
  for (size_t i = 0; i < n; i++) {
    int64_t k = mynah_json_to_integer(mynah_json_at(from, i), 127);
    if (k < -MYNAH_MIRROR_MAX || k > MYNAH_MIRROR_MAX) return mynah_fail(MYNAH_CORRUPT, "mirror: from[%zu] names no element", i);
    f->mirror_from[i] = (int8_t)k;
    f->mirror_offset[i] = (float)mynah_json_to_number(mynah_json_at(offset, i), 0);
  }
  return MYNAH_OK;
}

static mynah_json *names_to_json(const char *names) {
  mynah_json *array = mynah_json_array();
  while (*names) {
    char name[sizeof((mynah_feature *)0)->names];
    size_t n = strcspn(names, ",");
    memcpy(name, names, n);
    name[n] = 0;
    mynah_json_append(array, mynah_json_string(name));
    names += n + (names[n] == ',');
  }
  return array;
}

/* Keys as in LeRobot's info.json (dtype, shape, names), where images have the type "image"; ours beside them. */
mynah_json *mynah_feature_to_json(const mynah_feature *f) {
  mynah_json *j = mynah_json_object(), *shape = mynah_json_array();
  mynah_json_set(j, "dtype", mynah_json_string(f->is_image ? "image" : mynah_dtype_name(f->dtype)));
  for (int i = 0; i < f->n_dims; i++) mynah_json_append(shape, mynah_json_integer(f->dims[i]));
  mynah_json_set(j, "shape", shape);
  if (f->names[0]) mynah_json_set(j, "names", names_to_json(f->names));
  if (f->unit[0]) mynah_json_set(j, "unit", mynah_json_string(f->unit));
  if (f->angle_mask) mynah_json_set(j, "angles", mask_to_json(f->angle_mask));
  mynah_json *mirror = mirror_to_json(f);
  if (mirror) mynah_json_set(j, "mirror", mirror);
  if (f->is_mirrorable) mynah_json_set(j, "is_mirrorable", mynah_json_bool(true));
  return j;
}

static mynah_status mask_from_json(const mynah_json *j, uint64_t *out) {
  uint64_t mask = 0;
  if (j && !mynah_json_is_array(j)) return mynah_fail(MYNAH_CORRUPT, "a list of element numbers is needed");
  for (size_t i = 0; i < mynah_json_size(j); i++) {
    int64_t bit = mynah_json_to_integer(mynah_json_at(j, i), -1);
    if (bit < 0 || bit > 63) return mynah_fail(MYNAH_CORRUPT, "element numbers go from 0 to 63");
    mask |= UINT64_C(1) << bit;
  }
  *out = mask;
  return MYNAH_OK;
}

static mynah_status names_from_json(const mynah_json *j, char *out, size_t size) {
  size_t used = 0;
  for (size_t i = 0; mynah_json_is_array(j) && i < mynah_json_size(j); i++) {
    const char *name = mynah_json_to_string(mynah_json_at(j, i), NULL);
    if (!name || strchr(name, ',')) return mynah_fail(MYNAH_CORRUPT, "element names are texts without commas");
    int n = snprintf(out + used, size - used, "%s%s", used > 0 ? "," : "", name);
    if (n < 0 || (size_t)n >= size - used) return mynah_fail(MYNAH_LIMIT, "element names of over %zu bytes", size - 1);
    used += (size_t)n;
  }
  return MYNAH_OK;
}

static mynah_status read_json(const mynah_json *j, mynah_feature *f) {
  const mynah_json *shape = mynah_json_get(j, "shape"), *unit = mynah_json_get(j, "unit");
  const char *dtype = mynah_json_to_string(mynah_json_get(j, "dtype"), "");
  f->is_image = strcmp(dtype, "image") == 0;
  if (f->is_image) f->dtype = MYNAH_U8;
  else if (!mynah_dtype_parse(dtype, &f->dtype)) return mynah_fail(MYNAH_CORRUPT, "unknown dtype '%.40s'", dtype);
  if (!mynah_json_is_array(shape) || mynah_json_size(shape) > MYNAH_MAX_DIMS)
    return mynah_fail(MYNAH_CORRUPT, "shape must be a list of at most %d numbers", MYNAH_MAX_DIMS);
  f->n_dims = (int)mynah_json_size(shape);
  for (int i = 0; i < f->n_dims; i++) f->dims[i] = mynah_json_to_integer(mynah_json_at(shape, (size_t)i), -1);
  if (unit) MYNAH_TRY(mynah_copy_text(f->unit, sizeof f->unit, mynah_json_to_string(unit, "")));
  MYNAH_TRY(names_from_json(mynah_json_get(j, "names"), f->names, sizeof f->names));
  MYNAH_TRY(mask_from_json(mynah_json_get(j, "angles"), &f->angle_mask));
  MYNAH_TRY(mirror_from_json(mynah_json_get(j, "mirror"), f));
  f->is_mirrorable = mynah_json_to_bool(mynah_json_get(j, "is_mirrorable"), false);
  return MYNAH_OK;
}

mynah_status mynah_feature_from_json(const char *name, const mynah_json *j, mynah_feature *out) {
  mynah_feature f = {0};
  if (!mynah_json_is_object(j)) return mynah_fail(MYNAH_CORRUPT, "feature '%.60s': a JSON object is needed", name);
  MYNAH_TRY(mynah_copy_text(f.name, sizeof f.name, name));
  mynah_status status = read_json(j, &f);
  if (status != MYNAH_OK) return mynah_error_context(status, "feature '%.60s'", name);
  MYNAH_TRY(mynah_feature_check(&f));
  *out = f;
  return MYNAH_OK;
}
