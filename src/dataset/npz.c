/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading .npz. Sources: PKWARE's APPNOTE 6.3 (zip), NumPy's NEP 1 (npy). Nothing is believed: places, sizes and
 * checksums are compared before and after. */
#include "npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_BYTES ((uint64_t)1 << 32)
#define MAX_ENTRIES 4096
#define DEFLATE_RATIO 1040 /* deflate packs at most 1032 to 1 */

typedef struct zip_entry {
  const char *name;
  size_t name_length;
  int method;
  uint32_t crc;
  uint64_t packed, unpacked, offset;
} zip_entry;

static uint64_t little(const uint8_t *p, int n) {
  uint64_t v = 0;
  for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

static mynah_status damaged(const char *path, const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "%s: damaged: %s", path, what);
}

/* ---- arrays
 * ---------------------------------------------------------------------------------------------------------- */

/* The text after 'KEY': in the header's Python literal. */
static const char *find_key(const char *header, const char *key) {
  char quoted[32];
  snprintf(quoted, sizeof quoted, "'%s':", key);
  const char *at = strstr(header, quoted);
  return at ? at + strlen(quoted) + strspn(at + strlen(quoted), " ") : NULL;
}

/* "(3, 4)", "(5,)", "()" */
static mynah_status read_shape(const char *path, const char *text, mynah__npy *a, size_t *n_items) {
  size_t n = 1;
  if (!text || *text++ != '(') return damaged(path, "an array has no shape");
  for (; *text != ')';) {
    char *end;
    long long dim = strtoll(text, &end, 10);
    if (end == text || dim < 0 || a->n_dims == MYNAH__NPY_DIMS || !mynah_mul_size(n, (size_t)dim, &n))
      return damaged(path, "an array's shape makes no sense");
    a->dims[a->n_dims++] = dim;
    text = end + strspn(end, " ,");
  }
  *n_items = n;
  return MYNAH_OK;
}

/* Column-major to row-major. */
static void to_c_order(const mynah__npy *a, const uint8_t *from, uint8_t *to, size_t n) {
  size_t item = (size_t)a->item.bytes;
  for (size_t i = 0; i < n; i++) {
    size_t rest = i, place = 0;
    for (int k = 0; k < a->n_dims; k++) {
      place = place * (size_t)a->dims[k] + rest % (size_t)a->dims[k];
      rest /= (size_t)a->dims[k];
    }
    memcpy(to + place * item, from + i * item, item);
  }
}

/* One .npy; objects are pickles and are left out. */
static mynah_status parse_npy(const char *path, const uint8_t *data, size_t size, mynah__npy *a, bool *is_object) {
  char header[4096], descr[16];
  size_t head = size >= 10 && data[6] == 1 ? 10 : 12, length, n = 0;
  if (size < 12 || memcmp(data, "\x93NUMPY", 6) != 0) return damaged(path, "an array does not begin as one");
  length = (size_t)little(data + 8, head == 10 ? 2 : 4);
  if (length > size - head || length >= sizeof header) return damaged(path, "an array's header is cut");
  memcpy(header, data + head, length);
  header[length] = 0;
  const char *type = find_key(header, "descr"), *order = find_key(header, "fortran_order");
  if (!type || !order || *type != '\'')
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%s' is no plain array", path, a->name);
  snprintf(descr, sizeof descr, "%.*s", (int)(strcspn(type + 1, "'") & 15), type + 1);
  *is_object = strchr(descr, 'O') || strchr(descr, 'U') || strchr(descr, 'S');
  if (*is_object) return MYNAH_OK;
  MYNAH_TRY(mynah__item_parse(path, descr, &a->item));
  MYNAH_TRY(read_shape(path, find_key(header, "shape"), a, &n));
  if (n > size / (size_t)a->item.bytes || n * (size_t)a->item.bytes != size - head - length)
    return damaged(path, "an array's size is not that of its shape");
  a->row_bytes =
      a->n_dims > 0 && a->dims[0] > 0 ? n / (size_t)a->dims[0] * (size_t)a->item.bytes : (size_t)a->item.bytes;
  if (!(a->data = mynah_alloc(size - head - length + 1))) return MYNAH_NO_MEMORY;
  if (strncmp(order, "True", 4) == 0) to_c_order(a, data + head + length, a->data, n);
  else memcpy(a->data, data + head + length, size - head - length);
  if (a->item.is_swapped) mynah__items_swap(a->data, size - head - length, a->item.bytes);
  return MYNAH_OK;
}

/* ---- the zip file
 * ----------------------------------------------------------------------------------------------------- */

static mynah_status inflate_entry(const char *path, const zip_entry *e, const uint8_t *packed, uint8_t *out) {
  z_stream s = {.next_in = (Bytef *)(uintptr_t)packed,
                .avail_in = (uInt)e->packed,
                .next_out = out,
                .avail_out = (uInt)e->unpacked};
  if (inflateInit2(&s, -15) != Z_OK) return MYNAH_NO_MEMORY;
  int code = inflate(&s, Z_FINISH);
  size_t left = s.avail_out;
  inflateEnd(&s);
  return code == Z_STREAM_END && left == 0 ? MYNAH_OK : damaged(path, "an array cannot be unpacked");
}

static mynah_status take_array(const char *path, const uint8_t *zip, size_t n, const zip_entry *e, mynah__npz *out) {
  if (e->packed >= MAX_BYTES || e->unpacked >= MAX_BYTES || e->unpacked / DEFLATE_RATIO > e->packed + 1)
    return mynah_fail(MYNAH_LIMIT, "%s: an array of over %llu MiB, or one that cannot be packed so small", path,
                      (unsigned long long)(MAX_BYTES >> 20));
  if (e->offset > n || n - e->offset < 30 || little(zip + e->offset, 4) != 0x04034b50)
    return damaged(path, "an array is not where it is said to be");
  size_t start = e->offset + 30 + (size_t)little(zip + e->offset + 26, 2) + (size_t)little(zip + e->offset + 28, 2);
  if (start > n || e->packed > n - start) return damaged(path, "an array is cut");
  if (e->method != 0 && e->method != 8)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: compression %d cannot be read", path, e->method);
  if (e->method == 0 && e->packed != e->unpacked) return damaged(path, "a stored array has two sizes");
  MYNAH_TRY(mynah_grow((void **)&out->arrays, &out->capacity, out->n + 1, sizeof *out->arrays));
  mynah__npy a = {0};
  snprintf(a.name, sizeof a.name, "%.*s",
           (int)(e->name_length - 4 < sizeof a.name - 1 ? e->name_length - 4 : sizeof a.name - 1), e->name);
  const uint8_t *data = zip + start;
  uint8_t *unpacked = NULL;
  mynah_status status = MYNAH_OK;
  if (e->method == 8) {
    data = unpacked = mynah_alloc((size_t)e->unpacked + 1);
    status = unpacked ? inflate_entry(path, e, zip + start, unpacked) : MYNAH_NO_MEMORY;
  }
  if (status == MYNAH_OK && crc32(0, data, (uInt)e->unpacked) != e->crc)
    status = damaged(path, "an array's checksum is wrong");
  bool is_object = false;
  if (status == MYNAH_OK) status = parse_npy(path, data, (size_t)e->unpacked, &a, &is_object);
  mynah_free(unpacked);
  if (status != MYNAH_OK) mynah_free(a.data);
  else if (is_object) out->n_objects++;
  else out->arrays[out->n++] = a;
  return status;
}

/* One row of the directory; *at moves on. */
static mynah_status read_entry(const char *path, const uint8_t *zip, size_t n, size_t *at, zip_entry *e) {
  const uint8_t *p = zip + *at;
  if (n - *at < 46 || little(p, 4) != 0x02014b50) return damaged(path, "its directory");
  size_t name = (size_t)little(p + 28, 2), extra = (size_t)little(p + 30, 2), comment = (size_t)little(p + 32, 2);
  if (n - *at - 46 < name + extra + comment) return damaged(path, "its directory is cut");
  *e = (zip_entry){(const char *)p + 46,   name,
                   (int)little(p + 10, 2), (uint32_t)little(p + 16, 4),
                   little(p + 20, 4),      little(p + 24, 4),
                   little(p + 42, 4)};
  uint64_t *const wide[] = {&e->unpacked, &e->packed, &e->offset};
  for (size_t k = 0; k + 4 <= extra;) { /* zip64: what does not fit 32 bits stands here, in this order */
    const uint8_t *x = p + 46 + name + k;
    size_t id = (size_t)little(x, 2), bytes = (size_t)little(x + 2, 2), used = 4;
    if (bytes > extra - k - 4) return damaged(path, "its directory is cut");
    for (int i = 0; id == 1 && i < 3; i++)
      if (*wide[i] == 0xffffffffu && used + 8 <= bytes + 4) *wide[i] = little(x + used, 8), used += 8;
    k += 4 + bytes;
  }
  *at += 46 + name + extra + comment;
  return MYNAH_OK;
}

static mynah_status read_arrays(const char *path, const uint8_t *zip, size_t n, mynah__npz *out) {
  size_t end = n < 22 ? 0 : n - 22, least = n > 22 + 65535 ? n - 22 - 65535 : 0;
  if (n < 22) return mynah_fail(MYNAH_CORRUPT, "%s: is no zip file", path);
  while (end > least && little(zip + end, 4) != 0x06054b50) end--;
  if (little(zip + end, 4) != 0x06054b50) return mynah_fail(MYNAH_CORRUPT, "%s: is no zip file", path);
  size_t count = (size_t)little(zip + end + 10, 2), at = (size_t)little(zip + end + 16, 4);
  uint64_t total = 0;
  if (at > end || count > MAX_ENTRIES) return damaged(path, "its directory");
  for (size_t i = 0; i < count; i++) {
    zip_entry e;
    MYNAH_TRY(read_entry(path, zip, end, &at, &e));
    if (e.name_length <= 4 || memcmp(e.name + e.name_length - 4, ".npy", 4) != 0) continue;
    if (__builtin_add_overflow(total, e.unpacked, &total) || total > MAX_BYTES)
      return mynah_fail(MYNAH_LIMIT, "%s: unpacks to over %llu MiB", path, (unsigned long long)(MAX_BYTES >> 20));
    MYNAH_TRY(take_array(path, zip, n, &e, out));
  }
  return MYNAH_OK;
}

mynah_status mynah__npz_parse(const char *path, const uint8_t *zip, size_t n, mynah__npz *out) {
  mynah__npz z = {0};
  mynah_status status = read_arrays(path, zip, n, &z);
  if (status != MYNAH_OK) {
    mynah__npz_close(&z);
    return status == MYNAH_NO_MEMORY ? mynah_error_context(status, "%s", path) : status;
  }
  *out = z;
  return MYNAH_OK;
}

mynah_status mynah__npz_open(const char *path, mynah__npz *out) {
  mynah_map map;
  MYNAH_TRY(mynah_map_open(path, &map));
  mynah_status status = mynah__npz_parse(path, map.data, map.size, out);
  mynah_map_close(&map);
  return status;
}

void mynah__npz_close(mynah__npz *z) {
  for (size_t i = 0; i < z->n; i++) mynah_free(z->arrays[i].data);
  mynah_free(z->arrays);
  *z = (mynah__npz){0};
}

const mynah__npy *mynah__npz_find(const mynah__npz *z, const char *name) {
  for (size_t i = 0; i < z->n; i++)
    if (strcmp(z->arrays[i].name, name) == 0) return &z->arrays[i];
  return NULL;
}

int64_t mynah__npy_integer(const mynah__npy *a, int64_t i) {
  double v = mynah__item_number(&a->item, a->data + (size_t)i * a->row_bytes);
  return v >= -9e18 && v <= 9e18 ? (int64_t)v : -1;
}
