/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah data: what changes a dataset, makes one of others, or compares versions. */
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EDIT_KEYS(K)                                                                                       \
  K(STRING, episodes, "episodes", "", 0, 0, "", "ids, as in 3,7-9; a tag; success, failure; or all")       \
  K(STRING, add, "add", "", 0, 0, "", "a tag to give")                                                     \
  K(STRING, remove, "remove", "", 0, 0, "", "a tag to take away")                                          \
  K(CHOICE, success, "success", "keep", 0, 0, "keep|yes|no|unknown", "whether the task was done")          \
  K(INT, first, "first", 0, 0, 9.0e15, "frames", "the first frame to keep")                                \
  K(INT, last, "last", -1, -9.0e15, 9.0e15, "frames", "the last frame to keep; negative: from the end")    \
  K(FLOAT, valid, "valid", 0.1, 0, 0.9, "", "share of episodes that validate")                             \
  K(FLOAT, test, "test", 0, 0, 0.9, "", "share of episodes kept for tests")                                \
  K(INT, seed, "seed", 1, 0, 9.0e15, "", "of the split")                                                   \
  K(CHOICE, by, "by", "none", 0, 0, "none|task|success|expert|tag", "alike episodes give each part its share") \
  K(STRING, from, "from", "", 0, 0, "", "the feature's name")                                              \
  K(STRING, to, "to", "", 0, 0, "", "its new name")                                                        \
  K(STRING, features, "features", "", 0, 0, "", "features to keep, comma-separated; empty: all")           \
  K(FLOAT, rate_hz, "rate_hz", 0, 0, 100000, "Hz", "the new rate")                                         \
  K(CHOICE, codec, "codec", "jpeg", 0, 0, "jpeg|png|raw", "how pictures are kept") \
  K(INT, quality, "quality", 92, 1, 100, "", "codec=jpeg: of the pictures") \
  K(STRING, out, "out", "", 0, 0, "", "the new dataset, NAME.demos")                                       \
  K(STRING, name, "name", "", 0, 0, "", "a name that then always means this version")

typedef struct edit_config {
#define EDIT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  EDIT_KEYS(EDIT_FIELD)
} edit_config;
#define EDIT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(edit_config, type, field, name, value, low, high, unit, help)
static const mynah_key edit_keys[] = {EDIT_KEYS(EDIT_ROW)};
#define N_KEYS (sizeof edit_keys / sizeof *edit_keys)
static const mynah_config_table edit_table = {"data", edit_keys, N_KEYS, sizeof(edit_config)};

/* The keys that an action knows. */
static const char *const known_keys[][2] = {{"delete", " episodes "},
                                            {"undelete", " episodes "},
                                            {"tag", " episodes add remove success "},
                                            {"trim", " episodes first last "},
                                            {"split", " valid test seed by "},
                                            {"rename", " from to "},
                                            {"merge", " out rate_hz features "},
                                            {"select", " out features episodes "},
                                            {"resample", " out rate_hz "},
                                            {"reencode", " out codec quality "},
                                            {"version", " name "}};

static int edit_tables(const tool_args *args, const mynah_config_table **out) {
  static mynah_key keys[N_KEYS];
  static mynah_config_table table;
  table = edit_table;
  table.keys = keys;
  table.n_keys = 0;
  for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys; i++)
    for (size_t k = 0; k < N_KEYS && strcmp(known_keys[i][0], args->positional[0]) == 0; k++) {
      char word[64];
      snprintf(word, sizeof word, " %s ", edit_keys[k].name);
      if (strstr(known_keys[i][1], word)) keys[table.n_keys++] = edit_keys[k];
    }
  out[0] = &table;
  return table.n_keys > 0;
}

static mynah_status read_keys(const tool_args *args, edit_config *c) {
  const mynah_config_table *table;
  mynah_config_default(&edit_table, c);
  if (!edit_tables(args, &table))
    return args->n_settings > 0 ? tool_usage_error("unknown key in '%s'", args->settings[0]) : MYNAH_OK;
  return tool_apply(args, &(mynah_config_bind){table, c}, 1);
}

/* ---- which episodes ------------------------------------------------------------------------------------------------
 */

typedef struct id_list {
  int64_t *ids;
  size_t n, capacity;
} id_list;

static mynah_status add_id(id_list *l, int64_t id) {
  MYNAH_TRY(mynah_grow((void **)&l->ids, &l->capacity, l->n + 1, sizeof *l->ids));
  l->ids[l->n++] = id;
  return MYNAH_OK;
}

static bool is_meant(mynah_dataset *d, int64_t i, const char *word) {
  if (strcmp(word, "all") == 0) return true;
  int success = mynah_dataset_episode(d, i)->success;
  if (strcmp(word, "success") == 0 || strcmp(word, "failure") == 0) return success == (word[0] == 's');
  return mynah_dataset_has_tag(d, i, word);
}

/* Ids and ranges are taken as they are (deleted ones too); a word means those of the present episodes. */
static mynah_status choose(mynah_dataset *d, const char *text, id_list *out) {
  char copy[MYNAH_TEXT_MAX], *rest = copy;
  if (!text[0]) return tool_usage_error("episodes= is missing: ids as in 3,7-9, a tag, success, failure, or all");
  snprintf(copy, sizeof copy, "%s", text);
  for (char *part; (part = strsep(&rest, ","));) {
    char *end;
    long long first = strtoll(part, &end, 10), last = first;
    if (*end == '-') last = strtoll(end + 1, &end, 10);
    if (part[0] >= '0' && part[0] <= '9' && *end == 0) {
      if (last < first || last - first > 10000000) return tool_usage_error("episodes=%s: '%s' is no range", text, part);
      for (; first <= last; first++) MYNAH_TRY(add_id(out, first));
      continue;
    }
    for (int64_t i = 0; i < mynah_dataset_n_episodes(d); i++)
      if (is_meant(d, i, part)) MYNAH_TRY(add_id(out, mynah_dataset_episode(d, i)->id));
  }
  if (out->n == 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: no episode is '%s'", mynah_dataset_path(d), text);
  return MYNAH_OK;
}

/* ---- changes -------------------------------------------------------------------------------------------------------
 */

static mynah_status tell(mynah_dataset *d, const char *what, int64_t n, mynah_json *result) {
  char hash[65];
  MYNAH_TRY(mynah_dataset_hash(d, hash));
  mynah_json_set(result, what, mynah_json_integer(n));
  mynah_json_set(result, "episodes", mynah_json_integer(mynah_dataset_n_episodes(d)));
  mynah_json_set(result, "frames", mynah_json_integer(mynah_dataset_n_frames(d)));
  mynah_json_set(result, "hash", mynah_json_string(hash));
  tool_say("%s: %s: %lld; now %lld episodes, version %.12s", mynah_dataset_path(d), what, (long long)n,
           (long long)mynah_dataset_n_episodes(d), hash);
  return MYNAH_OK;
}

static mynah_status change(const tool_args *args, mynah_dataset *d, const edit_config *c, const id_list *l) {
  int64_t n = (int64_t)l->n;
  if (strcmp(args->positional[0], "tag") != 0)
    return mynah_dataset_set_deleted(d, l->ids, n, args->positional[0][0] == 'd');
  if (!c->add[0] && !c->remove[0] && c->success == 0)
    return tool_usage_error("give add=TAG, remove=TAG or success=yes|no|unknown");
  if (c->add[0]) MYNAH_TRY(mynah_dataset_tag(d, l->ids, n, c->add, true));
  if (c->remove[0]) MYNAH_TRY(mynah_dataset_tag(d, l->ids, n, c->remove, false));
  static const int values[] = {0, 1, 0, -1};
  return c->success ? mynah_dataset_set_success(d, l->ids, n, values[c->success]) : MYNAH_OK;
}

static mynah_status data_change(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  edit_config c;
  id_list l = {0};
  MYNAH_TRY(read_keys(args, &c));
  mynah_status status = choose(d, c.episodes, &l);
  if (status == MYNAH_OK) status = change(args, d, &c, &l);
  if (status == MYNAH_OK) status = tell(d, "changed", (int64_t)l.n, result);
  mynah_free(l.ids);
  return status;
}

static mynah_status data_trim(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  edit_config c;
  id_list l = {0};
  MYNAH_TRY(read_keys(args, &c));
  mynah_status status = choose(d, c.episodes, &l);
  mynah_json *made = mynah_json_array();
  for (size_t i = 0; i < l.n && status == MYNAH_OK; i++) {
    int64_t id;
    status = mynah_dataset_trim(d, l.ids[i], c.first, c.last, &id);
    if (status == MYNAH_OK) mynah_json_append(made, mynah_json_integer(id));
  }
  mynah_json_set(result, "new", made);
  if (status == MYNAH_OK) status = tell(d, "trimmed", (int64_t)l.n, result);
  mynah_free(l.ids);
  return status;
}

static mynah_status data_vacuum(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  edit_config c;
  int64_t n;
  MYNAH_TRY(read_keys(args, &c));
  MYNAH_TRY(mynah_dataset_vacuum(d, &n));
  return tell(d, "removed", n, result);
}

static mynah_status data_split(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  edit_config c;
  int64_t n[3];
  MYNAH_TRY(read_keys(args, &c));
  MYNAH_TRY(mynah_dataset_split(d, &(mynah_split_config){c.valid, c.test, (uint64_t)c.seed, (mynah_split_by)c.by}, n));
  mynah_json_set(result, "train", mynah_json_integer(n[0]));
  mynah_json_set(result, "valid", mynah_json_integer(n[1]));
  mynah_json_set(result, "test", mynah_json_integer(n[2]));
  tool_say("%s: %lld train, %lld validate, %lld test (valid.by=random takes this split)", mynah_dataset_path(d),
           (long long)n[0], (long long)n[1], (long long)n[2]);
  return MYNAH_OK;
}

static mynah_status data_rename(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  edit_config c;
  MYNAH_TRY(read_keys(args, &c));
  if (!c.from[0] || !c.to[0]) return tool_usage_error("from=NAME and to=NAME are needed");
  MYNAH_TRY(mynah_dataset_rename_feature(d, c.from, c.to));
  return tell(d, "renamed", 1, result);
}

static mynah_status data_version(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  edit_config c;
  char hash[65];
  mynah_json *list;
  MYNAH_TRY(read_keys(args, &c));
  MYNAH_TRY(mynah_dataset_save_version(d, c.name, hash));
  MYNAH_TRY(mynah_dataset_list_versions(d, &list));
  for (size_t i = 0; i < mynah_json_size(list); i++) {
    const mynah_json *v = mynah_json_at(list, i);
    const char *h = mynah_json_to_string(mynah_json_get(v, "hash"), "");
    tool_say("%c %.16s  %6lld episodes  %s", strcmp(h, hash) == 0 ? '*' : ' ', h,
             (long long)mynah_json_to_integer(mynah_json_get(v, "episodes"), 0),
             mynah_json_to_string(mynah_json_get(v, "name"), ""));
  }
  mynah_json_set(result, "hash", mynah_json_string(hash));
  mynah_json_set(result, "versions", list);
  return MYNAH_OK;
}

/* ---- new files -----------------------------------------------------------------------------------------------------
 */

static mynah_status copy_open(const tool_args *args, mynah_dataset **from, int n, const edit_config *c,
                              mynah_json *result) {
  id_list l = {0};
  mynah_status status = c->episodes[0] ? choose(from[0], c->episodes, &l) : MYNAH_OK;
  mynah_copy_options o = {.features = c->features, .ids = l.ids, .n_ids = (int64_t)l.n, .rate_hz = c->rate_hz,
                          .is_reencoded = strcmp(args->positional[0], "reencode") == 0, .codec = (mynah_codec)c->codec,
                          .jpeg_quality = (int)c->quality, .progress = tool_progress()};
  if (status == MYNAH_OK) status = mynah_dataset_copy(from, n, &o, c->out);
  mynah_free(l.ids);
  MYNAH_TRY(status);
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(c->out, MYNAH_OPEN_READ, &d));
  mynah_json_set(result, "out", mynah_json_string(c->out));
  status = tell(d, "files", n, result);
  mynah_dataset_close(d);
  return status;
}

static mynah_status data_copy(const tool_args *args, mynah_json *result) {
  edit_config c;
  mynah_dataset *from[TOOL_MAX_ARGS];
  int n = 0;
  MYNAH_TRY(read_keys(args, &c));
  if (!c.out[0]) return tool_usage_error("out=NAME.demos is missing");
  if (strcmp(args->positional[0], "resample") == 0 && c.rate_hz <= 0) return tool_usage_error("rate_hz= is missing");
  if (strcmp(args->positional[0], "merge") != 0 && args->n_positional != 2)
    return tool_usage_error("takes one dataset");
  mynah_status status = MYNAH_OK;
  for (; n < args->n_positional - 1 && status == MYNAH_OK; n += status == MYNAH_OK)
    status = mynah_dataset_open(args->positional[n + 1], MYNAH_OPEN_READ, &from[n]);
  if (status == MYNAH_OK) status = copy_open(args, from, n, &c, result);
  for (int i = 0; i < n; i++) mynah_dataset_close(from[i]);
  return status;
}

/* ---- versions compared ---------------------------------------------------------------------------------------------
 */

/* "X.demos", "X.demos@VERSION", or a policy file: the version it saw, looked for in the other one's dataset. */
static mynah_status read_version(const char *text, const char *other, mynah_json **out) {
  char path[MYNAH_PATH_MAX], which[MYNAH_TEXT_MAX] = "";
  size_t n = strlen(text);
  const char *at = strrchr(text, '@');
  bool is_policy = n > 12 && strcmp(text + n - 12, ".safetensors") == 0;
  if (is_policy) {
    mynah_clone *clone;
    MYNAH_TRY(mynah_clone_load(text, &clone));
    snprintf(which, sizeof which, "%s", mynah_clone_policy(clone)->dataset_hash);
    mynah_clone_destroy(clone);
    text = other;
    at = strrchr(other, '@');
  } else if (at) MYNAH_TRY(mynah_copy_text(which, sizeof which, at + 1));
  if (snprintf(path, sizeof path, "%.*s", at ? (int)(at - text) : (int)strlen(text), text) >= (int)sizeof path)
    return tool_usage_error("the path is too long");
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  mynah_status status = mynah_dataset_read_version(d, which, out);
  mynah_dataset_close(d);
  return status;
}

static void say_ids(const char *what, const mynah_json *ids) {
  char text[512] = "";
  size_t used = 0;
  for (size_t i = 0; i < mynah_json_size(ids) && used < sizeof text; i++)
    used += (size_t)snprintf(text + used, sizeof text - used, " %lld", (long long)mynah_json_to_integer(mynah_json_at(ids, i), 0));
  if (used > 0) tool_say("%s:%s%s", what, text, used < sizeof text ? "" : " …");
}

static mynah_status data_diff(const tool_args *args, mynah_json *result) {
  mynah_json *a = NULL, *b = NULL;
  if (args->n_positional != 3) return tool_usage_error("name two of X.demos, X.demos@VERSION, policy.safetensors");
  if (args->n_settings > 0) return tool_usage_error("unknown key in '%s'", args->settings[0]);
  mynah_status status = read_version(args->positional[1], args->positional[2], &a);
  if (status == MYNAH_OK) status = read_version(args->positional[2], args->positional[1], &b);
  if (status == MYNAH_OK) {
    mynah_version_diff(a, b, result);
    tool_say(
        "%lld episodes kept, %zu removed, %zu added; %lld frames before, %lld after; %zu features removed, %zu added",
        (long long)mynah_json_to_integer(mynah_json_get(result, "episodes_kept"), 0),
        mynah_json_size(mynah_json_get(result, "episodes_removed")),
        mynah_json_size(mynah_json_get(result, "episodes_added")),
        (long long)mynah_json_to_integer(mynah_json_get(result, "frames_before"), 0),
        (long long)mynah_json_to_integer(mynah_json_get(result, "frames_after"), 0),
        mynah_json_size(mynah_json_get(result, "features_removed")),
        mynah_json_size(mynah_json_get(result, "features_added")));
    say_ids("removed", mynah_json_get(result, "episodes_removed"));
    say_ids("added", mynah_json_get(result, "episodes_added"));
  }
  mynah_json_destroy(a);
  mynah_json_destroy(b);
  return status;
}

const data_action data_edits[] = {{"delete", MYNAH_OPEN_WRITE, data_change, edit_tables, NULL},
                                  {"undelete", MYNAH_OPEN_WRITE, data_change, edit_tables, NULL},
                                  {"tag", MYNAH_OPEN_WRITE, data_change, edit_tables, NULL},
                                  {"vacuum", MYNAH_OPEN_WRITE, data_vacuum, NULL, NULL},
                                  {"trim", MYNAH_OPEN_WRITE, data_trim, edit_tables, NULL},
                                  {"split", MYNAH_OPEN_WRITE, data_split, edit_tables, NULL},
                                  {"rename", MYNAH_OPEN_WRITE, data_rename, edit_tables, NULL},
                                  {"version", MYNAH_OPEN_WRITE, data_version, edit_tables, NULL},
                                  {"merge", MYNAH_OPEN_READ, NULL, edit_tables, data_copy},
                                  {"select", MYNAH_OPEN_READ, NULL, edit_tables, data_copy},
                                  {"resample", MYNAH_OPEN_READ, NULL, edit_tables, data_copy},
                                  {"reencode", MYNAH_OPEN_READ, NULL, edit_tables, data_copy},
                                  {"diff", MYNAH_OPEN_READ, NULL, NULL, data_diff}};
const int data_n_edits = sizeof data_edits / sizeof *data_edits;
