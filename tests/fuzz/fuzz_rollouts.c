/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A .npz of rollouts: whatever it says, what is written is whole. */
#include "scratch.h"

#include <mynah/dataset.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static char in[512], out[512];
  const mynah_importer *importer;
  mynah_import_report r;
  mynah_dataset *d;
  if (fuzz_make_folder()) {
    snprintf(in, sizeof in, "%s/r.npz", fuzz_folder);
    snprintf(out, sizeof out, "%s/out.demos", fuzz_folder);
  }
  FUZZ_CHECK(mynah_importer_find("rollouts", &importer) == MYNAH_OK);
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return 0;
  mynah_config_default(importer->config, config);
  fuzz_put("r.npz", data, size);
  remove(out);
  if (importer->run(in, out, config, NULL, &r) == MYNAH_OK) {
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
