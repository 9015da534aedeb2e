/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of importers. */
#include "store.h"

#include <stdio.h>
#include <string.h>

static const mynah_importer *const importers[] = {&mynah__import_udacity, &mynah__import_zarr, NULL};

const mynah_importer *const *mynah_importers(void) { return importers; }

mynah_status mynah_importer_find(const char *name, const mynah_importer **out) {
  const char *names[8];
  size_t n = 0;
  for (; importers[n]; n++) {
    names[n] = importers[n]->name;
    if (strcmp(names[n], name) != 0) continue;
    *out = importers[n];
    return MYNAH_OK;
  }
  const char *near = mynah_nearest(name, names, n);
  return mynah_fail(MYNAH_NOT_FOUND, "there is no format '%s'%s%s%s", name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

mynah_status mynah__import_begin(const char *out_path, char temporary[MYNAH_PATH_MAX]) {
  static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
  if (snprintf(temporary, MYNAH_PATH_MAX, "%s.part", out_path) >= MYNAH_PATH_MAX - 16)
    return mynah_fail(MYNAH_INVALID, "%s: the path is too long", out_path);
  for (size_t i = 0; i < 4; i++) {
    char path[MYNAH_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s%s", temporary, tails[i]);
    MYNAH_TRY(mynah_file_remove(path));
  }
  return MYNAH_OK;
}

mynah_status mynah__import_end(mynah_status status, const char *temporary, const char *out_path) {
  char text[512], unused[MYNAH_PATH_MAX];
  if (status == MYNAH_OK && rename(temporary, out_path) != 0) status = mynah_fail_errno(out_path, "cannot rename into place");
  if (status == MYNAH_OK) return MYNAH_OK;
  snprintf(text, sizeof text, "%s", mynah_error());
  (void)!mynah__import_begin(out_path, unused);
  return mynah_fail(status, "%s", text);
}
