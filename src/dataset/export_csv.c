/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Export to CSV, a row a frame: OUT is a folder with frames.csv and the pictures. What import csv reads again. */
#include "export.h"

#include <string.h>

static void put_text(mynah_str *s, const char *text) {
  mynah_str_append(s, "\"", 1);
  for (; *text; text++) mynah_str_printf(s, *text == '"' ? "\"\"" : "%c", *text == '\n' ? ' ' : *text);
  mynah_str_append(s, "\"", 1);
}

static void put_header(const mynah_dataset *d, mynah_str *s) {
  mynah_str_printf(s, "episode,time_ns,task");
  for (int i = 0; i < d->n_features; i++) {
    const mynah_feature *f = &d->features[i];
    int64_t n = f->is_image ? 1 : mynah_feature_size(f);
    for (int64_t k = 0; k < n; k++) {
      char name[128];
      mynah__element_name(f, k, name, sizeof name);
      if (n == 1) mynah_str_printf(s, ",%s", f->name);
      else if (name[0] && !strpbrk(name, "[]\"")) mynah_str_printf(s, ",%s.%s", f->name, name);
      else mynah_str_printf(s, ",%s[%lld]", f->name, (long long)k);
    }
  }
  mynah_str_append(s, "\n", 1);
}

static void put_number(mynah_str *s, mynah_dtype dtype, const uint8_t *item) {
  int64_t whole;
  if (dtype == MYNAH_I64) memcpy(&whole, item, 8), mynah_str_printf(s, ",%lld", (long long)whole);
  else mynah_str_printf(s, dtype == MYNAH_F64 ? ",%.17g" : ",%.9g", mynah__to_double(dtype, item));
}

static mynah_status put_picture(mynah_dataset *d, const char *folder, int64_t e, int feature, int64_t t, mynah_str *s) {
  char stem[MYNAH_NAME_MAX + 64];
  const char *ending;
  snprintf(stem, sizeof stem, "%s_%lld_%06lld", d->features[feature].name, (long long)d->episodes[e].id, (long long)t);
  MYNAH_TRY(mynah__put_picture(d, folder, e, feature, t, stem, &ending));
  mynah_str_printf(s, ",%s.%s", stem, ending);
  return MYNAH_OK;
}

static mynah_status put_frame(mynah_dataset *d, const char *folder, int64_t e, int64_t t, mynah_str *s) {
  int64_t time_ns;
  MYNAH_TRY(mynah_dataset_read_times(d, e, t, 1, &time_ns));
  mynah_str_printf(s, "%lld,%lld,", (long long)d->episodes[e].id, (long long)time_ns);
  put_text(s, d->episodes[e].task);
  for (int i = 0; i < d->n_features; i++) {
    const mynah_feature *f = &d->features[i];
    const mynah__block *b;
    if (f->is_image) {
      MYNAH_TRY(put_picture(d, folder, e, i, t, s));
      continue;
    }
    MYNAH_TRY(mynah__read_block(d, &d->episodes[e], i, t, &b));
    const uint8_t *row = b->data + (size_t)(t - b->start) * mynah_feature_bytes(f);
    for (int64_t k = 0; k < mynah_feature_size(f); k++)
      put_number(s, f->dtype, row + (size_t)k * mynah_dtype_bytes(f->dtype));
  }
  mynah_str_append(s, "\n", 1);
  return s->is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}

static mynah_status work(mynah_dataset *d, const char *folder, const mynah_progress *progress) {
  char path[MYNAH_PATH_MAX];
  mynah_str s = {0};
  MYNAH_TRY(mynah_make_dirs(folder));
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, "frames.csv"));
  FILE *file = fopen(path, "wbx");
  if (!file) return mynah_fail_errno(path, "cannot make");
  put_header(d, &s);
  mynah_status status = MYNAH_OK;
  for (int64_t e = 0; e < (int64_t)d->n_episodes && status == MYNAH_OK; e++) {
    for (int64_t t = 0; t < d->episodes[e].n_frames && status == MYNAH_OK; t++) {
      status = put_frame(d, folder, e, t, &s);
      if (status == MYNAH_OK) status = mynah__put_bytes(file, path, s.data, s.length);
      s.length = 0;
    }
    if (status == MYNAH_OK && mynah_is_interrupted())
      status = mynah_fail(MYNAH_INTERRUPTED, "export: interrupted; nothing is left");
    mynah_progress_tell(progress, "export", (double)e + 1, (double)d->n_episodes, "episodes", "");
  }
  mynah_str_deinit(&s);
  return mynah__close_file(file, path, status);
}

static mynah_status run(mynah_dataset *d, const char *out_path, const mynah_progress *progress) {
  return mynah__export_run(d, out_path, progress, work);
}
const mynah_exporter mynah__export_csv = {"csv", "a folder: frames.csv, a row a frame, and the pictures", run};
