/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the classes of a file's boxes are called: a JSON list in its notes. */
#include <mynah/dataset.h>

#include <string.h>

#define NOTE "classes"

mynah_status mynah_dataset_set_classes(mynah_dataset *d, const char *const *names, int n) {
  mynah_str text = {0};
  mynah_json *list = mynah_json_array();
  for (int i = 0; i < n; i++) mynah_json_append(list, mynah_json_string(names[i]));
  mynah_status status = mynah_json_dump(list, 0, &text);
  mynah_json_destroy(list);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(d, NOTE, mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

static mynah_status copy_names(const mynah_json *list, char ***out, size_t *n) {
  size_t count = mynah_json_size(list);
  if (!mynah_json_is_array(list) || count == 0)
    return mynah_fail(MYNAH_CORRUPT, "the note '" NOTE "' is no list of names");
  char **names = mynah_calloc(count, sizeof *names);
  if (!names) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < count; i++) {
    names[i] = mynah_strdup(mynah_json_to_string(mynah_json_at(list, i), "?"));
    if (names[i]) continue;
    mynah_names_free(names, i);
    return MYNAH_NO_MEMORY;
  }
  *out = names;
  *n = count;
  return MYNAH_OK;
}

mynah_status mynah_dataset_get_classes(mynah_dataset *d, char ***names, size_t *n) {
  mynah_str text = {0};
  mynah_json *list = NULL;
  mynah_status status = mynah_dataset_get_note(d, NOTE, &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &list);
  mynah_str_deinit(&text);
  if (status == MYNAH_OK) status = copy_names(list, names, n);
  mynah_json_destroy(list);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", mynah_dataset_path(d));
}
