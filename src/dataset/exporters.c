/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of exporters, and what they share. */
#include "export.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const mynah_exporter *const exporters[] = {&mynah__export_csv,
                                                  &mynah__export_lerobot,
                                                  &mynah__export_npz,
                                                  &mynah__export_yolo,
#ifdef MYNAH_HAS_HDF5
                                                  &mynah__export_robomimic,
#endif
                                                  NULL};
#define N_EXPORTERS (sizeof exporters / sizeof *exporters - 1)

const mynah_exporter *const *mynah_exporters(void) { return exporters; }

mynah_status mynah_exporter_find(const char *name, const mynah_exporter **out) {
  const char *names[N_EXPORTERS];
  for (size_t i = 0; i < N_EXPORTERS; i++) {
    names[i] = exporters[i]->name;
    if (strcmp(names[i], name) != 0) continue;
    *out = exporters[i];
    return MYNAH_OK;
  }
  const char *near = mynah_nearest(name, names, N_EXPORTERS);
  return mynah_fail(MYNAH_NOT_FOUND, "there is no format '%s' to export to%s%s%s", name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

mynah_status mynah__export_run(mynah_dataset *d, const char *out_path, const mynah_progress *progress,
                               mynah__export_work work) {
  char part[MYNAH_PATH_MAX];
  if (!out_path[0]) return mynah_fail(MYNAH_INVALID, "an export needs a path");
  if (mynah_file_exists(out_path))
    return mynah_fail(MYNAH_BUSY, "%s: exists already: remove it or choose another name", out_path);
  if (snprintf(part, sizeof part, "%s.part", out_path) >= (int)sizeof part)
    return mynah_fail(MYNAH_INVALID, "%s: is too long", out_path);
  if (mynah_dataset_n_episodes(d) == 0) return mynah_fail(MYNAH_INVALID, "%s: has no episodes", d->path);
  MYNAH_TRY(mynah_remove_tree(part));
  mynah_status status = work(d, part, progress);
  if (status == MYNAH_OK && rename(part, out_path) != 0) status = mynah_fail_errno(out_path, "cannot be put in place");
  char text[512];
  snprintf(text, sizeof text, "%s", mynah_error());
  if (status != MYNAH_OK && mynah_remove_tree(part) != MYNAH_OK) mynah_log(MYNAH_LOG_WARNING, "%s: is left", part);
  return status == MYNAH_OK ? status : mynah_fail(status, "%s", text);
}

mynah_status mynah__put_bytes(FILE *file, const char *path, const void *data, size_t n) {
  return n == 0 || fwrite(data, 1, n, file) == n ? MYNAH_OK : mynah_fail_errno(path, "cannot be written");
}

mynah_status mynah__put_picture(mynah_dataset *d, const char *folder, int64_t e, int feature, int64_t t,
                                const char *stem, const char **ending) {
  char name[MYNAH_NAME_MAX + 96], path[MYNAH_PATH_MAX];
  mynah_codec codec;
  size_t bytes;
  MYNAH_TRY(mynah__read_picture(d, &d->episodes[e], feature, t, &codec, &bytes));
  const char *own = codec == MYNAH_CODEC_JPEG ? "jpg" : "png";
  snprintf(name, sizeof name, "%s.%s", stem, own);
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, name));
  mynah_str png = {0};
  const mynah_feature *f = &d->features[feature];
  mynah_status status = MYNAH_OK;
  if (codec == MYNAH_CODEC_RAW)
    status = mynah_png_encode(&(mynah_image){d->picture, (int)f->dims[1], (int)f->dims[0]}, &png);
  FILE *file = status == MYNAH_OK ? fopen(path, "wbx") : NULL;
  if (status == MYNAH_OK && !file) status = mynah_fail_errno(path, "cannot make");
  if (status == MYNAH_OK)
    status = mynah__put_bytes(file, path, png.data ? png.data : (char *)d->picture, png.data ? png.length : bytes);
  if (file && fclose(file) != 0 && status == MYNAH_OK) status = mynah_fail_errno(path, "cannot be written");
  mynah_str_deinit(&png);
  if (status == MYNAH_OK) *ending = own;
  return status;
}

mynah_status mynah__close_file(FILE *file, const char *path, mynah_status status) {
  bool is_safe = fflush(file) == 0 && fsync(fileno(file)) == 0;
  bool is_closed = fclose(file) == 0;
  return status != MYNAH_OK || (is_safe && is_closed) ? status : mynah_fail_errno(path, "cannot be written");
}

void mynah__element_name(const mynah_feature *f, int64_t k, char *out, size_t size) {
  const char *at = f->names;
  for (; k > 0 && at; k--) at = (at = strchr(at, ',')) ? at + 1 : NULL;
  snprintf(out, size, "%.*s", at ? (int)strcspn(at, ",") : 0, at ? at : "");
}
