/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Versions: manifests of features and episode hashes, kept in the file under the hash of what they list; never changed.
 */
#include "store.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "version:"
#define NAME_PREFIX "version-name:"

static mynah_status manifest_of(mynah_dataset *d, const char *hash, mynah_json **out) {
  mynah_json *m = mynah_json_object(), *features = mynah_json_array(), *episodes = mynah_json_array();
  mynah_status status = m && features && episodes ? MYNAH_OK : MYNAH_NO_MEMORY;
  mynah_json_set(m, "hash", mynah_json_string(hash));
  mynah_json_set(m, "rate_hz", mynah_json_number(d->rate_hz));
  for (int i = 0; i < d->n_features; i++) {
    mynah_json *f = mynah_json_object();
    mynah_json_set(f, "name", mynah_json_string(d->features[i].name));
    mynah_json_set(f, "feature", mynah_feature_to_json(&d->features[i]));
    mynah_json_append(features, f);
  }
  for (size_t i = 0; i < d->n_episodes && status == MYNAH_OK; i++) {
    mynah_json *e = mynah_json_object();
    const mynah_json *tags;
    mynah_json_set(e, "id", mynah_json_integer(d->episodes[i].id));
    mynah_json_set(e, "frames", mynah_json_integer(d->episodes[i].n_frames));
    mynah_json_set(e, "hash", mynah_json_string(d->episodes[i].hash));
    status = mynah__tags_of(d, d->episodes[i].id, &tags);
    if (status == MYNAH_OK && mynah_json_size(tags) > 0) mynah_json_set(e, "tags", mynah_json_copy(tags));
    mynah_json_append(episodes, e);
  }
  mynah_json_set(m, "features", features);
  mynah_json_set(m, "episodes", episodes);
  if (status == MYNAH_OK) *out = m;
  else mynah_json_destroy(m);
  return status;
}

/* Sets a note that must not be there with another text. */
static mynah_status put_once(mynah_dataset *d, const char *key, const char *text) {
  mynah_str before = {0};
  mynah_status status = mynah_dataset_get_note(d, key, &before);
  bool is_other = status == MYNAH_OK && strcmp(mynah_str_text(&before), text) != 0;
  mynah_str_deinit(&before);
  if (is_other)
    return mynah_fail(MYNAH_BUSY, "%s: '%s' names another version already", d->path, key + sizeof NAME_PREFIX - 1);
  return status == MYNAH_NOT_FOUND ? mynah_dataset_set_note(d, key, text) : status;
}

mynah_status mynah_dataset_save_version(mynah_dataset *d, const char *name, char hash[65]) {
  char key[MYNAH_TEXT_MAX + 32], now[65];
  mynah_str text = {0}, before = {0};
  mynah_json *m = NULL;
  MYNAH_TRY(mynah_dataset_hash(d, now));
  snprintf(key, sizeof key, PREFIX "%s", now);
  mynah_status status = mynah_dataset_get_note(d, key, &before);
  if (status == MYNAH_NOT_FOUND) {
    status = manifest_of(d, now, &m);
    if (status == MYNAH_OK) status = mynah_json_dump(m, 0, &text);
    if (status == MYNAH_OK) status = mynah_dataset_set_note(d, key, mynah_str_text(&text));
  }
  mynah_json_destroy(m);
  mynah_str_deinit(&text);
  mynah_str_deinit(&before);
  MYNAH_TRY(status);
  if (name[0]) {
    if (snprintf(key, sizeof key, NAME_PREFIX "%s", name) >= (int)sizeof key)
      return mynah_fail(MYNAH_INVALID, "name: too long");
    MYNAH_TRY(put_once(d, key, now));
  }
  memcpy(hash, now, 65);
  return MYNAH_OK;
}

/* ---- finding one ---------------------------------------------------------------------------------------------------
 */

/* The hash that the first n episodes of a manifest give: what mynah_dataset_hash gave when there were no more. */
static mynah_status hash_of(const mynah_json *m, const char *wanted, size_t *n_found) {
  const mynah_json *features = mynah_json_get(m, "features"), *episodes = mynah_json_get(m, "episodes");
  mynah_sha256 s;
  mynah_sha256_init(&s);
  for (size_t i = 0; i < mynah_json_size(features); i++) {
    const mynah_json *f = mynah_json_at(features, i);
    const char *name = mynah_json_to_string(mynah_json_get(f, "name"), "");
    mynah_str text = {0};
    mynah_status status = mynah_json_dump(mynah_json_get(f, "feature"), 0, &text);
    mynah_sha256_update(&s, name, strlen(name) + 1);
    mynah_sha256_update(&s, mynah_str_text(&text), text.length);
    mynah_str_deinit(&text);
    MYNAH_TRY(status);
  }
  for (size_t i = 0; i < mynah_json_size(episodes); i++) {
    const char *hash = mynah_json_to_string(mynah_json_get(mynah_json_at(episodes, i), "hash"), "");
    char hex[65];
    mynah_sha256_update(&s, hash, strlen(hash));
    mynah_sha256 so_far = s;
    mynah_sha256_final(&so_far, hex);
    if (strncmp(hex, wanted, strlen(wanted)) == 0) return *n_found = i + 1, MYNAH_OK;
  }
  return MYNAH_NOT_FOUND; /* no text: others may have it */
}

/* The manifest cut to the wanted version, or NULL when it is not in it. */
static mynah_status cut(mynah_json *m, const char *wanted, mynah_json **out) {
  size_t n = 0;
  mynah_status status = hash_of(m, wanted, &n);
  if (status == MYNAH_NOT_FOUND) return *out = NULL, MYNAH_OK;
  MYNAH_TRY(status);
  mynah_json *kept = mynah_json_array();
  for (size_t i = 0; i < n; i++)
    mynah_json_append(kept, mynah_json_copy(mynah_json_at(mynah_json_get(m, "episodes"), i)));
  mynah_json_set(m, "episodes", kept);
  *out = m;
  return MYNAH_OK;
}

static mynah_status list_notes(mynah_dataset *d, const char *prefix, mynah_json *out) {
  sqlite3_stmt *q;
  size_t n = strlen(prefix);
  MYNAH_TRY(mynah__sql_prepare(d, "SELECT key FROM meta ORDER BY rowid", &q));
  int code;
  while ((code = sqlite3_step(q)) == SQLITE_ROW) {
    const char *key = (const char *)sqlite3_column_text(q, 0);
    if (key && strncmp(key, prefix, n) == 0) mynah_json_append(out, mynah_json_string(key + n));
  }
  sqlite3_finalize(q);
  return code == SQLITE_DONE ? MYNAH_OK : mynah__sql_fail(d, "cannot be read");
}

static mynah_status load_manifest(mynah_dataset *d, const char *hash, mynah_json **out) {
  char key[128];
  mynah_str text = {0};
  snprintf(key, sizeof key, PREFIX "%.64s", hash);
  mynah_status status = mynah_dataset_get_note(d, key, &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, out);
  mynah_str_deinit(&text);
  return status;
}

static mynah_status search(mynah_dataset *d, const char *wanted, const mynah_json *hashes, mynah_json **out) {
  char now[65];
  mynah_json *m = NULL, *found = NULL;
  MYNAH_TRY(mynah_dataset_hash(d, now));
  mynah_status status = manifest_of(d, now, &m);
  for (size_t i = 0;; i++) {
    if (status == MYNAH_OK) status = cut(m, wanted, &found);
    if (status == MYNAH_OK && found) break;
    mynah_json_destroy(m);
    m = NULL;
    if (status != MYNAH_OK) return status;
    if (i == mynah_json_size(hashes)) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no version '%s'", d->path, wanted);
    status = load_manifest(d, mynah_json_to_string(mynah_json_at(hashes, i), ""), &m);
  }
  *out = found;
  return MYNAH_OK;
}

mynah_status mynah_dataset_read_version(mynah_dataset *d, const char *which, mynah_json **out) {
  char key[MYNAH_TEXT_MAX + 32], wanted[65];
  mynah_str text = {0};
  MYNAH_TRY(mynah_dataset_hash(d, wanted));
  if (which[0]) {
    snprintf(key, sizeof key, NAME_PREFIX "%.*s", MYNAH_TEXT_MAX, which);
    mynah_status status = mynah_dataset_get_note(d, key, &text);
    snprintf(wanted, sizeof wanted, "%.64s", status == MYNAH_OK ? mynah_str_text(&text) : which);
    mynah_str_deinit(&text);
    if (status != MYNAH_OK && status != MYNAH_NOT_FOUND) return status;
    if (strlen(wanted) < 6) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no version named '%s'", d->path, which);
  }
  mynah_json *hashes = mynah_json_array();
  mynah_status status = list_notes(d, PREFIX, hashes);
  if (status == MYNAH_OK) status = search(d, wanted, hashes, out);
  mynah_json_destroy(hashes);
  return status;
}

mynah_status mynah_dataset_list_versions(mynah_dataset *d, mynah_json **out) {
  mynah_json *list = mynah_json_array(), *names = mynah_json_array(), *hashes = mynah_json_array();
  mynah_status status = list_notes(d, PREFIX, hashes);
  if (status == MYNAH_OK) status = list_notes(d, NAME_PREFIX, names);
  for (size_t i = 0; status == MYNAH_OK && i < mynah_json_size(hashes); i++) {
    const char *hash = mynah_json_to_string(mynah_json_at(hashes, i), "");
    mynah_json *m, *j = mynah_json_object();
    if ((status = load_manifest(d, hash, &m)) == MYNAH_OK) {
      mynah_json_set(j, "hash", mynah_json_string(hash));
      mynah_json_set(j, "episodes", mynah_json_integer((int64_t)mynah_json_size(mynah_json_get(m, "episodes"))));
      mynah_json_destroy(m);
    }
    for (size_t k = 0; k < mynah_json_size(names); k++) {
      const char *name = mynah_json_to_string(mynah_json_at(names, k), "");
      char key[MYNAH_TEXT_MAX + 32];
      mynah_str text = {0};
      snprintf(key, sizeof key, NAME_PREFIX "%.*s", MYNAH_TEXT_MAX, name);
      if (mynah_dataset_get_note(d, key, &text) == MYNAH_OK && strcmp(mynah_str_text(&text), hash) == 0)
        mynah_json_set(j, "name", mynah_json_string(name));
      mynah_str_deinit(&text);
    }
    mynah_json_append(list, j);
  }
  mynah_json_destroy(names);
  mynah_json_destroy(hashes);
  if (status == MYNAH_OK) *out = list;
  else mynah_json_destroy(list);
  return status;
}

/* ---- two compared --------------------------------------------------------------------------------------------------
 */

/* Entries of `a` under `key` that are not in `b`, by the text of `by`; `show` of each is listed. */
static mynah_json *only_in(const mynah_json *a, const mynah_json *b, const char *key, const char *by,
                           const char *show) {
  const mynah_json *x = mynah_json_get(a, key), *y = mynah_json_get(b, key);
  mynah_json *known = mynah_json_object(), *out = mynah_json_array();
  for (size_t i = 0; i < mynah_json_size(y); i++)
    mynah_json_set(known, mynah_json_to_string(mynah_json_get(mynah_json_at(y, i), by), ""), mynah_json_bool(true));
  for (size_t i = 0; i < mynah_json_size(x); i++) {
    const mynah_json *e = mynah_json_at(x, i);
    if (!mynah_json_get(known, mynah_json_to_string(mynah_json_get(e, by), "")))
      mynah_json_append(out, mynah_json_copy(mynah_json_get(e, show)));
  }
  mynah_json_destroy(known);
  return out;
}

static int64_t count_frames(const mynah_json *m) {
  const mynah_json *episodes = mynah_json_get(m, "episodes");
  int64_t n = 0;
  for (size_t i = 0; i < mynah_json_size(episodes); i++)
    n += mynah_json_to_integer(mynah_json_get(mynah_json_at(episodes, i), "frames"), 0);
  return n;
}

void mynah_version_diff(const mynah_json *a, const mynah_json *b, mynah_json *out) {
  mynah_json *removed = only_in(a, b, "episodes", "hash", "id"), *added = only_in(b, a, "episodes", "hash", "id");
  int64_t n = (int64_t)mynah_json_size(mynah_json_get(a, "episodes")), n_removed = (int64_t)mynah_json_size(removed);
  mynah_json_set(out, "episodes_removed", removed);
  mynah_json_set(out, "episodes_added", added);
  mynah_json_set(out, "episodes_kept", mynah_json_integer(n - n_removed));
  mynah_json_set(out, "frames_before", mynah_json_integer(count_frames(a)));
  mynah_json_set(out, "frames_after", mynah_json_integer(count_frames(b)));
  mynah_json_set(out, "features_removed", only_in(a, b, "features", "name", "name"));
  mynah_json_set(out, "features_added", only_in(b, a, "features", "name", "name"));
}
