/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Changes within a file: marks, tags, splits, names, trimmed episodes. Frames of other episodes are never touched. */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a change, whole or not at all ---------------------------------------------------------------------------------
 */

/* The version that is there, so that it can be named later. */
static mynah_status save_before(mynah_dataset *d) {
  if (!d->is_writable) return mynah_fail(MYNAH_INVALID, "%s: is open for reading only", d->path);
  if (d->writing.is_open) return mynah_fail(MYNAH_BUSY, "%s: an episode is open", d->path);
  return mynah_dataset_save_version(d, "", (char[65]){0});
}

static mynah_status begin(mynah_dataset *d) {
  MYNAH_TRY(save_before(d));
  return mynah__sql_run(d, "BEGIN IMMEDIATE");
}

static mynah_status end(mynah_dataset *d, mynah_status status) {
  if (status == MYNAH_OK) status = mynah__sql_run(d, "COMMIT");
  if (status != MYNAH_OK) sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
  mynah_json_destroy(d->tags);
  d->tags = NULL;
  if (status == MYNAH_OK) status = mynah__load_episodes(d);
  return status == MYNAH_OK ? mynah__sql_make_safe(d) : status;
}

typedef mynah_status (*change_fn)(mynah_dataset *d, mynah_episode *e, const void *what);

static mynah_status change_each(mynah_dataset *d, const int64_t *ids, int64_t n, change_fn change, const void *what) {
  MYNAH_TRY(begin(d));
  mynah_status status = MYNAH_OK;
  for (int64_t i = 0; i < n && status == MYNAH_OK; i++) {
    mynah_episode e;
    status = mynah__find_episode(d, ids[i], &e);
    if (status == MYNAH_OK) status = change(d, &e, what);
  }
  return end(d, status);
}

static mynah_status set_deleted(mynah_dataset *d, mynah_episode *e, const void *what) {
  e->is_deleted = *(const bool *)what;
  return mynah__update_episode(d, e, true);
}

static mynah_status set_success(mynah_dataset *d, mynah_episode *e, const void *what) {
  e->success = *(const int *)what;
  return mynah__update_episode(d, e, true);
}

mynah_status mynah_dataset_set_deleted(mynah_dataset *d, const int64_t *ids, int64_t n, bool is_deleted) {
  return change_each(d, ids, n, set_deleted, &is_deleted);
}

mynah_status mynah_dataset_set_success(mynah_dataset *d, const int64_t *ids, int64_t n, int success) {
  if (success < -1 || success > 1)
    return mynah_fail(MYNAH_INVALID, "success must be 1, 0 or -1 (unknown), not %d", success);
  return change_each(d, ids, n, set_success, &success);
}

mynah_status mynah_dataset_vacuum(mynah_dataset *d, int64_t *n_removed) {
  static const char *const steps[] = {
      "DELETE FROM block WHERE episode IN (SELECT id FROM episode WHERE is_deleted=1)",
      "DELETE FROM picture WHERE episode IN (SELECT id FROM episode WHERE is_deleted=1)",
      "DELETE FROM episode WHERE is_deleted=1"};
  int64_t n = 0;
  MYNAH_TRY(begin(d));
  mynah_status status = mynah__sql_number(d, "SELECT count(*) FROM episode WHERE is_deleted=1", &n);
  for (size_t i = 0; i < sizeof steps / sizeof *steps && status == MYNAH_OK; i++) status = mynah__sql_run(d, steps[i]);
  MYNAH_TRY(end(d, status));
  sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 1); /* SQLite packs into a file of its own that it attaches */
  status = mynah__sql_run(d, "VACUUM");
  sqlite3_limit(d->db, SQLITE_LIMIT_ATTACHED, 0);
  if (status == MYNAH_OK) status = mynah__sql_make_safe(d);
  if (status == MYNAH_OK) *n_removed = n;
  return status;
}

/* ---- tags: a note {"ID":["good","valid"]} --------------------------------------------------------------------------
 */

static mynah_status load_tags(mynah_dataset *d) {
  mynah_str text = {0};
  if (d->tags) return MYNAH_OK;
  mynah_status status = mynah_dataset_get_note(d, "tags", &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &d->tags);
  else if (status == MYNAH_NOT_FOUND) status = (d->tags = mynah_json_object()) ? MYNAH_OK : MYNAH_NO_MEMORY;
  mynah_str_deinit(&text);
  return status;
}

static mynah_status save_tags(mynah_dataset *d) {
  mynah_str text = {0};
  mynah_status status = mynah_json_dump(d->tags, 0, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(d, "tags", mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

mynah_status mynah__tags_of(mynah_dataset *d, int64_t id, const mynah_json **out) {
  char key[24];
  MYNAH_TRY(load_tags(d));
  snprintf(key, sizeof key, "%lld", (long long)id);
  *out = mynah_json_get(d->tags, key);
  return MYNAH_OK;
}

const mynah_json *mynah_dataset_tags(mynah_dataset *d, int64_t i) {
  const mynah_json *list;
  return mynah__tags_of(d, d->episodes[i].id, &list) == MYNAH_OK ? list : NULL;
}

bool mynah_dataset_has_tag(mynah_dataset *d, int64_t i, const char *tag) {
  const mynah_json *list = mynah_dataset_tags(d, i);
  for (size_t k = 0; k < mynah_json_size(list); k++)
    if (strcmp(mynah_json_to_string(mynah_json_at(list, k), ""), tag) == 0) return true;
  return false;
}

/* In memory only. tags: the object; other tags stay. */
static mynah_status put_tag(mynah_dataset *d, int64_t id, const char *tag, bool is_on) {
  const mynah_json *before;
  char key[24];
  MYNAH_TRY(mynah__tags_of(d, id, &before));
  mynah_json *after = mynah_json_array();
  for (size_t k = 0; k < mynah_json_size(before); k++) {
    const char *text = mynah_json_to_string(mynah_json_at(before, k), "");
    if (strcmp(text, tag) != 0) mynah_json_append(after, mynah_json_string(text));
  }
  if (is_on) mynah_json_append(after, mynah_json_string(tag));
  snprintf(key, sizeof key, "%lld", (long long)id);
  mynah_json_set(d->tags, key, after);
  return MYNAH_OK;
}

typedef struct tagging {
  const char *tag;
  bool is_on;
} tagging;

static mynah_status tag_one(mynah_dataset *d, mynah_episode *e, const void *what) {
  const tagging *t = what;
  return put_tag(d, e->id, t->tag, t->is_on);
}

static mynah_status check_tag(const char *tag) {
  size_t n = strlen(tag);
  if (n > 0 && n < 64 && !strpbrk(tag, ", \t\n\"")) return MYNAH_OK;
  return mynah_fail(MYNAH_INVALID, "'%s': a tag is a word of at most 63 letters", tag);
}

static mynah_status tag_each(mynah_dataset *d, const int64_t *ids, int64_t n, const tagging *t) {
  mynah_status status = MYNAH_OK;
  for (int64_t i = 0; i < n && status == MYNAH_OK; i++) {
    mynah_episode e;
    status = mynah__find_episode(d, ids[i], &e);
    if (status == MYNAH_OK) status = tag_one(d, &e, t);
  }
  return status == MYNAH_OK ? save_tags(d) : status;
}

mynah_status mynah_dataset_tag(mynah_dataset *d, const int64_t *ids, int64_t n, const char *tag, bool is_on) {
  MYNAH_TRY(check_tag(tag));
  MYNAH_TRY(begin(d));
  return end(d, tag_each(d, ids, n, &(tagging){tag, is_on}));
}

/* ---- split ---------------------------------------------------------------------------------------------------------
 */

static const char *const part_names[] = {"train", "valid", "test"};

int mynah_dataset_part(mynah_dataset *d, int64_t i) {
  for (int p = 0; p < 3; p++)
    if (mynah_dataset_has_tag(d, i, part_names[p])) return p;
  return -1;
}

static bool is_part_name(const char *tag) {
  for (int p = 0; p < 3; p++)
    if (strcmp(tag, part_names[p]) == 0) return true;
  return false;
}

/* How many tags episode index a has, those of a split aside; -1: one of them is none of b's. */
static int64_t n_tags_within(mynah_dataset *d, size_t a, size_t b) {
  const mynah_json *list = mynah_dataset_tags(d, (int64_t)a);
  int64_t n = 0;
  for (size_t k = 0; k < mynah_json_size(list); k++) {
    const char *tag = mynah_json_to_string(mynah_json_at(list, k), "");
    if (is_part_name(tag)) continue;
    if (!mynah_dataset_has_tag(d, (int64_t)b, tag)) return -1;
    n++;
  }
  return n;
}

/* What episodes have in common that each part gets its share of. Shape: a, b: indices */
static bool is_alike(mynah_dataset *d, size_t a, size_t b, mynah_split_by by) {
  const mynah_episode *x = &d->episodes[a], *y = &d->episodes[b];
  switch (by) {
  case MYNAH_SPLIT_BY_TASK: return strcmp(x->task, y->task) == 0;
  case MYNAH_SPLIT_BY_SUCCESS: return x->success == y->success;
  case MYNAH_SPLIT_BY_EXPERT: return strcmp(x->expert, y->expert) == 0;
  case MYNAH_SPLIT_BY_TAG: return n_tags_within(d, a, b) >= 0 && n_tags_within(d, b, a) >= 0;
  default: return true;
  }
}

/* Within each group a seeded permutation: the first ones test, the next validate. Groups follow each other in one
 * count, so that small ones too get their share: episode k of the set validates where k·share passes a whole number. */
static void assign_parts(mynah_dataset *d, const mynah_split_config *c, int8_t *parts) {
  int64_t n = (int64_t)d->n_episodes, done = 0, group = 0;
  memset(parts, -1, (size_t)n);
  for (int64_t first = 0; first < n; first++) {
    int64_t size = 0;
    if (parts[first] >= 0) continue;
    for (int64_t i = first; i < n; i++) size += is_alike(d, (size_t)first, (size_t)i, c->by);
    for (int64_t i = first, at = 0; i < n; i++) {
      if (!is_alike(d, (size_t)first, (size_t)i, c->by)) continue;
      double k = (double)(done + (int64_t)mynah_rng_permute((uint64_t)at++, (uint64_t)size,
                                                            c->seed * 1000003u + (uint64_t)group));
      bool is_test = floor((k + 1) * c->test + 0.5) > floor(k * c->test + 0.5);
      double share = c->test < 1 ? c->valid / (1 - c->test) : 0, j = k - floor(k * c->test + 0.5);
      bool is_valid = floor((j + 1) * share + 0.5) > floor(j * share + 0.5);
      parts[i] = is_test ? 2 : is_valid ? 1 : 0;
    }
    done += size;
    group++;
  }
}

mynah_status mynah_dataset_split(mynah_dataset *d, const mynah_split_config *c, int64_t counts[3]) {
  if (!(c->valid >= 0 && c->test >= 0 && c->valid + c->test < 1))
    return mynah_fail(MYNAH_INVALID, "shares of %g and %g leave nothing to train on", c->valid, c->test);
  MYNAH_TRY(load_tags(d));
  int8_t *parts = mynah_alloc(d->n_episodes + 1);
  if (!parts) return MYNAH_NO_MEMORY;
  assign_parts(d, c, parts);
  int64_t n[3] = {0};
  mynah_status status = begin(d);
  if (status == MYNAH_OK) {
    for (size_t i = 0; i < d->n_episodes && status == MYNAH_OK; i++) {
      for (int p = 0; p < 3 && status == MYNAH_OK; p++)
        status = put_tag(d, d->episodes[i].id, part_names[p], parts[i] == p);
      n[parts[i]]++;
    }
    if (status == MYNAH_OK) status = save_tags(d);
    status = end(d, status);
  }
  mynah_free(parts);
  if (status == MYNAH_OK) memcpy(counts, n, sizeof n);
  return status;
}

/* ---- features and frames -------------------------------------------------------------------------------------------
 */

mynah_status mynah_dataset_rename_feature(mynah_dataset *d, const char *from, const char *to) {
  int i = mynah_feature_find(d->features, d->n_features, from);
  if (i < 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no feature '%s'", d->path, from);
  if (mynah_feature_find(d->features, d->n_features, to) >= 0)
    return mynah_fail(MYNAH_BUSY, "%s: has a feature '%s' already", d->path, to);
  mynah_feature f = d->features[i], before = f;
  MYNAH_TRY(mynah_copy_text(f.name, sizeof f.name, to));
  MYNAH_TRY(mynah_feature_check(&f));
  MYNAH_TRY(begin(d));
  d->features[i] = f;
  mynah_status status = mynah__sql_run(d, "DELETE FROM feature");
  if (status == MYNAH_OK) status = mynah__save_features(d);
  status = end(d, status);
  if (status != MYNAH_OK) d->features[i] = before;
  return status;
}

mynah_status mynah_dataset_trim(mynah_dataset *d, int64_t id, int64_t first, int64_t last, int64_t *new_id) {
  int64_t i = 0, made;
  const mynah_json *tags;
  while (i < (int64_t)d->n_episodes && d->episodes[i].id != id) i++;
  if (i == (int64_t)d->n_episodes)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: there is no episode %lld", d->path, (long long)id);
  int64_t n = d->episodes[i].n_frames;
  if (last < 0) last += n;
  if (first < 0 || last >= n || first > last)
    return mynah_fail(MYNAH_INVALID, "%s: episode %lld has frames 0 … %lld, not %lld … %lld", d->path, (long long)id,
                      (long long)n - 1, (long long)first, (long long)last);
  MYNAH_TRY(save_before(d));
  int map[MYNAH__MAX_FEATURES];
  for (int k = 0; k < d->n_features; k++) map[k] = k;
  MYNAH_TRY(mynah__copy_episode(d, i, d, map, &(mynah__copy){.first = first, .last = last}, &made));
  MYNAH_TRY(mynah__sql_run(d, "BEGIN IMMEDIATE"));
  mynah_episode e;
  mynah_status status = mynah__find_episode(d, id, &e);
  if (status == MYNAH_OK) status = set_deleted(d, &e, &(bool){true});
  if (status == MYNAH_OK) status = mynah__tags_of(d, id, &tags);
  for (size_t k = 0; status == MYNAH_OK && k < mynah_json_size(tags); k++)
    status = put_tag(d, made, mynah_json_to_string(mynah_json_at(tags, k), ""), true);
  if (status == MYNAH_OK && mynah_json_size(tags) > 0) status = save_tags(d);
  MYNAH_TRY(end(d, status));
  *new_id = made;
  return MYNAH_OK;
}
