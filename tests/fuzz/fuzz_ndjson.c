/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An NDJSON list of pictures with boxes; a.jpg is there, and nothing outside its folder is taken. */
#include "fuzz.h"
#include "scratch.h"

#include "src/dataset/labels.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[MYNAH_PATH_MAX];
  mynah_labels *l;
  fuzz_make_folder();
  fuzz_put("a.jpg", (const uint8_t *)"", 0);
  fuzz_put("a.ndjson", data, size);
  if (mynah_path_join(path, sizeof path, fuzz_folder, "a.ndjson") != MYNAH_OK) return 0;
  if (mynah_labels_open(path, &l) == MYNAH_OK) {
    int n_classes;
    mynah_labels_classes(l, &n_classes);
    for (int64_t i = 0; i < mynah_labels_n(l); i++) {
      const mynah_labelled *p = mynah_labels_at(l, i);
      FUZZ_CHECK(strncmp(p->path, fuzz_folder, strlen(fuzz_folder)) == 0 && !strstr(p->path, "/../"));
      FUZZ_CHECK(p->n_boxes <= MYNAH_LABELS_BOXES_MAX && p->part >= 0 && p->part < 3);
      for (int k = 0; k < p->n_boxes; k++) FUZZ_CHECK(p->boxes[5 * k] >= 0 && p->boxes[5 * k] < (float)n_classes);
    }
    mynah_labels_close(l);
  }
  return 0;
}
