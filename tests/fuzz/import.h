/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Runs an importer over hostile input in the scratch folder: it may refuse, and must say why. */
#ifndef MYNAH_TEST_FUZZ_IMPORT_H
#define MYNAH_TEST_FUZZ_IMPORT_H

#include "scratch.h"

#include <mynah/dataset.h>

static inline void fuzz_import(const char *format, const char *name) {
  const mynah_importer *importer;
  char path[512], out[512];
  mynah_import_report report = {0};
  if (mynah_importer_find(format, &importer) != MYNAH_OK) return; /* built without its library */
  void *config = mynah_calloc(1, importer->config->bytes);
  FUZZ_CHECK(config != NULL);
  mynah_config_default(importer->config, config);
  snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
  snprintf(out, sizeof out, "%s.demos", fuzz_folder);
  mynah_status status = importer->run(path, out, config, NULL, &report);
  FUZZ_CHECK(status == MYNAH_OK || mynah_error()[0] != 0);
  mynah_json_destroy(report.skipped);
  mynah_free(config);
  FUZZ_CHECK(mynah_file_remove(out) == MYNAH_OK);
}

#endif
