/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A Udacity driving_log.csv: whatever it says, only pictures of its folder are read, and what is written is whole. */
#include "scratch.h"

#include <mynah/dataset.h>

static char drive[512], out[512];

static void set_up(void) {
  uint8_t pixels[4 * 4 * 3] = {0};
  mynah_image picture = {pixels, 4, 4};
  mynah_str blob = {0};
  snprintf(drive, sizeof drive, "%s/IMG", fuzz_folder);
  FUZZ_CHECK(mynah_make_dirs(drive) == MYNAH_OK);
  snprintf(drive, sizeof drive, "%s", fuzz_folder);
  snprintf(out, sizeof out, "%s/out.demos", fuzz_folder);
  FUZZ_CHECK(mynah_jpeg_encode(&picture, 90, &blob) == MYNAH_OK);
  fuzz_put("IMG/a.jpg", blob.data, blob.length);
  fuzz_put("IMG/center_2016_12_01_13_30_48_287.jpg", blob.data, blob.length);
  fuzz_put("IMG/cut.jpg", blob.data, blob.length / 2);
  mynah_str_deinit(&blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (fuzz_make_folder()) set_up();
  const mynah_importer *importer;
  mynah_import_report r;
  mynah_dataset *d;
  FUZZ_CHECK(mynah_importer_find("udacity", &importer) == MYNAH_OK);
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return 0;
  mynah_config_default(importer->config, config);
  fuzz_put("driving_log.csv", data, size);
  remove(out);
  if (importer->run(drive, out, config, NULL, &r) == MYNAH_OK) {
    mynah_json_destroy(r.skipped);
    FUZZ_CHECK(mynah_dataset_open(out, MYNAH_OPEN_READ, &d) == MYNAH_OK);
    FUZZ_CHECK(mynah_dataset_n_frames(d) == r.n_frames && mynah_dataset_n_episodes(d) == r.n_episodes);
    mynah_dataset_close(d);
  } else {
    FUZZ_CHECK(mynah_error()[0] != 0 && !mynah_file_exists(out));
  }
  mynah_free(config);
  return 0;
}
