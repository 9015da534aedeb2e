/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Export to .npz: each feature as one array over all frames, episode_ends, time_ns, rate_hz. Stored, not deflated. */
#include "export.h"

#include <string.h>
#include <zlib.h>

typedef struct npz {
  FILE *file;
  const char *path;
  mynah_str directory;
  int n_entries;
  uint64_t offset, start; /* of the entry at hand */
  uint32_t crc;
  char name[MYNAH_NAME_MAX + 8];
} npz;

static void put_int(uint8_t *out, uint64_t v, int n) {
  for (int i = 0; i < n; i++) out[i] = (uint8_t)(v >> 8 * i);
}

static mynah_status put(npz *z, const void *data, size_t n) {
  z->crc = (uint32_t)crc32(z->crc, data, (uInt)n);
  z->offset += n;
  return mynah__put_bytes(z->file, z->path, data, n);
}

/* The local header has the sizes; the checksum is filled in at the end. */
static mynah_status begin(npz *z, const char *name, const char *descr, const char *shape, uint64_t bytes) {
  char text[512] = "\x93NUMPY\x01", head[30] = "PK\x03\x04\x14";
  int n =
      snprintf(text + 10, sizeof text - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
  int padded = (10 + n + 1 + 63) / 64 * 64;
  memset(text + 10 + n, ' ', (size_t)(padded - 10 - n - 1));
  text[padded - 1] = '\n';
  put_int((uint8_t *)text + 8, (uint64_t)(padded - 10), 2);
  uint64_t size = bytes + (uint64_t)padded;
  if (size > 0xfffffff0u || z->offset > 0xfffffff0u - size)
    return mynah_fail(MYNAH_LIMIT, "%s: would be over 4 GiB: export fewer episodes or no pictures", z->path);
  snprintf(z->name, sizeof z->name, "%s.npy", name);
  put_int((uint8_t *)head + 18, size, 4);
  put_int((uint8_t *)head + 22, size, 4);
  put_int((uint8_t *)head + 26, strlen(z->name), 2);
  z->start = z->offset;
  MYNAH_TRY(put(z, head, sizeof head));
  MYNAH_TRY(put(z, z->name, strlen(z->name)));
  z->crc = 0;
  return put(z, text, (size_t)padded);
}

static mynah_status end(npz *z) {
  uint8_t crc[4], entry[46] = "PK\x01\x02\x14\x00\x14";
  size_t name = strlen(z->name);
  uint64_t size = z->offset - z->start - 30 - name;
  put_int(crc, z->crc, 4);
  put_int(entry + 16, z->crc, 4);
  put_int(entry + 20, size, 4);
  put_int(entry + 24, size, 4);
  put_int(entry + 28, name, 2);
  put_int(entry + 42, z->start, 4);
  mynah_str_append(&z->directory, entry, sizeof entry);
  mynah_str_append(&z->directory, z->name, name);
  z->n_entries++;
  if (fseeko(z->file, (off_t)z->start + 14, SEEK_SET) != 0 || fwrite(crc, 1, 4, z->file) != 4 ||
      fseeko(z->file, 0, SEEK_END) != 0)
    return mynah_fail_errno(z->path, "cannot be written");
  return MYNAH_OK;
}

static mynah_status finish(npz *z) {
  uint8_t tail[22] = "PK\x05\x06";
  put_int(tail + 8, (uint64_t)z->n_entries, 2);
  put_int(tail + 10, (uint64_t)z->n_entries, 2);
  put_int(tail + 12, z->directory.length, 4);
  put_int(tail + 16, z->offset, 4);
  if (z->directory.is_failed) return MYNAH_NO_MEMORY;
  MYNAH_TRY(put(z, z->directory.data, z->directory.length));
  return put(z, tail, sizeof tail);
}

static mynah_status put_frames(npz *z, mynah_dataset *d, int feature, int64_t e) {
  for (int64_t t = 0; t < d->episodes[e].n_frames;) {
    const mynah__block *b;
    if (feature < 0 || !d->features[feature].is_image) {
      MYNAH_TRY(mynah__read_block(d, &d->episodes[e], feature, t, &b));
      size_t each = feature < 0 ? sizeof(int64_t) : mynah_feature_bytes(&d->features[feature]);
      t = b->start + b->count;
      MYNAH_TRY(put(z, b->data, (size_t)b->count * each));
      continue;
    }
    mynah_image p;
    MYNAH_TRY(mynah_dataset_read_image(d, e, d->features[feature].name, t++, 0, 0, &p));
    mynah_status status = put(z, p.data, (size_t)p.width * (size_t)p.height * 3);
    mynah_image_deinit(&p);
    MYNAH_TRY(status);
  }
  return MYNAH_OK;
}

/* Feature MYNAH__TIMES: the times. bfloat16 is none of NumPy's types. */
static mynah_status put_feature(npz *z, mynah_dataset *d, int feature) {
  static const char *const types[MYNAH_DTYPE_COUNT] = {"<f4", "<f8", "<i8", "<i4", "|u1", "|b1", NULL};
  const mynah_feature *f = feature < 0 ? NULL : &d->features[feature];
  char shape[160];
  int64_t n = mynah_dataset_n_frames(d);
  int used = snprintf(shape, sizeof shape, "%lld,", (long long)n);
  for (int i = 0; f && i < f->n_dims; i++)
    used += snprintf(shape + used, sizeof shape - (size_t)used, " %lld,", (long long)f->dims[i]);
  const char *type = !f ? "<i8" : f->is_image ? "|u1" : types[f->dtype];
  if (!type) return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%s' has a type that NumPy lacks", d->path, f->name);
  MYNAH_TRY(
      begin(z, f ? f->name : "time_ns", type, shape, (uint64_t)n * (f ? mynah_feature_bytes(f) : sizeof(int64_t))));
  for (int64_t e = 0; e < (int64_t)d->n_episodes; e++) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "export: interrupted; nothing is left");
    MYNAH_TRY(put_frames(z, d, feature, e));
  }
  return end(z);
}

static mynah_status put_all(npz *z, mynah_dataset *d, const mynah_progress *progress) {
  char shape[32];
  int64_t so_far = 0;
  for (int i = MYNAH__TIMES; i < d->n_features; i++) {
    MYNAH_TRY(put_feature(z, d, i));
    mynah_progress_tell(progress, "export", i + 2, d->n_features + 1, "features", "");
  }
  snprintf(shape, sizeof shape, "%zu,", d->n_episodes);
  MYNAH_TRY(begin(z, "episode_ends", "<i8", shape, 8 * d->n_episodes));
  for (size_t e = 0; e < d->n_episodes; e++) {
    so_far += d->episodes[e].n_frames;
    MYNAH_TRY(put(z, &so_far, sizeof so_far));
  }
  MYNAH_TRY(end(z));
  MYNAH_TRY(begin(z, "rate_hz", "<f8", "", 8));
  MYNAH_TRY(put(z, &d->rate_hz, 8));
  MYNAH_TRY(end(z));
  return finish(z);
}

static mynah_status work(mynah_dataset *d, const char *path, const mynah_progress *progress) {
  npz z = {.file = fopen(path, "wbx"), .path = path};
  if (!z.file) return mynah_fail_errno(path, "cannot make");
  mynah_status status = mynah__close_file(z.file, path, put_all(&z, d, progress));
  mynah_str_deinit(&z.directory);
  return status;
}

static mynah_status run(mynah_dataset *d, const char *out_path, const mynah_progress *progress) {
  return mynah__export_run(d, out_path, progress, work);
}
const mynah_exporter mynah__export_npz = {"npz", "NumPy arrays over all frames, with episode_ends", run};
