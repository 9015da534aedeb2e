/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* metrics.jsonl: one JSON object a line, cut back to the checkpoint when a run resumes. */
#include "trainer_internal.h"

#include <errno.h>
#include <string.h>

/* Keeps the lines up to the step the run goes on from. */
static mynah_status cut_back(mynah_trainer *t, const char *path) {
  char *text, *rest = NULL;
  size_t length;
  mynah_status status = mynah_file_read(path, (size_t)1 << 30, &text, &length);
  if (status == MYNAH_NOT_FOUND) return MYNAH_OK;
  MYNAH_TRY(status);
  mynah_str kept = {.max = (size_t)1 << 30};
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    mynah_json *j;
    if (mynah_json_parse(line, strlen(line), &j) != MYNAH_OK) continue; /* the torn last line of a killed run */
    if (mynah_json_to_integer(mynah_json_get(j, "step"), INT64_MAX) <= t->cursor.step) {
      mynah_str_append(&kept, line, strlen(line));
      mynah_str_append(&kept, "\n", 1);
    }
    mynah_json_destroy(j);
  }
  mynah_free(text);
  status = kept.is_failed ? MYNAH_NO_MEMORY : mynah_file_write(path, mynah_str_text(&kept), kept.length);
  mynah_str_deinit(&kept);
  return status;
}

mynah_status mynah__metrics_open(mynah_trainer *t) {
  char path[MYNAH_PATH_MAX];
  if (!t->folder[0]) return MYNAH_OK;
  MYNAH_TRY(mynah_path_join(path, sizeof path, t->folder, "metrics.jsonl"));
  if (t->was_resumed) MYNAH_TRY(cut_back(t, path));
  t->metrics = fopen(path, t->was_resumed ? "ae" : "we");
  return t->metrics ? MYNAH_OK : mynah_fail_errno(path, "cannot be written");
}

mynah_status mynah__metrics_write(mynah_trainer *t, mynah_json *j) {
  mynah_str text = {0};
  mynah_status status = t->metrics ? mynah_json_dump(j, 0, &text) : MYNAH_OK;
  mynah_json_destroy(j);
  if (status == MYNAH_OK && t->metrics) {
    errno = 0;
    bool is_written = fprintf(t->metrics, "%s\n", mynah_str_text(&text)) > 0 && fflush(t->metrics) == 0;
    if (!is_written) status = mynah_fail_errno(t->folder, "metrics.jsonl cannot be written");
  }
  mynah_str_deinit(&text);
  return status;
}
