/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah data: look at a dataset. */
#include "data.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the recorder had to leave out, summed over episodes; nothing for a set without. */
static mynah_status say_ledger(mynah_dataset *d, mynah_json *result) {
  mynah_str text = {0};
  mynah_json *j = NULL;
  mynah_status status = mynah_dataset_get_note(d, "ledger", &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &j);
  mynah_str_deinit(&text);
  if (status != MYNAH_OK) return status == MYNAH_NOT_FOUND ? MYNAH_OK : status;
  const char *id, *name;
  const mynah_json *episode, *n;
  for (size_t i = 0; mynah_json_entry(j, i, &id, &episode); i++) {
    for (size_t k = 0; mynah_json_entry(mynah_json_get(episode, "dropped"), k, &name, &n); k++)
      tool_say("  episode %s: %s: %lld samples dropped", id, name, (long long)mynah_json_to_integer(n, 0));
    for (size_t k = 0; mynah_json_entry(mynah_json_get(episode, "late"), k, &name, &n); k++)
      tool_say("  episode %s: %s: %lld samples late", id, name, (long long)mynah_json_to_integer(n, 0));
  }
  mynah_json_set(result, "ledger", j);
  return MYNAH_OK;
}

static mynah_status data_info(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  (void)args;
  char hash[65];
  int64_t size = 0;
  MYNAH_TRY(mynah_dataset_hash(d, hash));
  MYNAH_TRY(mynah_file_size(mynah_dataset_path(d), &size));
  mynah_json *features = mynah_json_object();
  tool_say("%s: %lld episodes, %lld frames, %.3g Hz, %.1f MB, robot '%s'", mynah_dataset_path(d),
           (long long)mynah_dataset_n_episodes(d), (long long)mynah_dataset_n_frames(d), mynah_dataset_rate_hz(d),
           (double)size * 1e-6, mynah_dataset_robot(d));
  for (int i = 0; i < mynah_dataset_n_features(d); i++) {
    const mynah_feature *f = mynah_dataset_feature(d, i);
    mynah_json_set(features, f->name, mynah_feature_to_json(f));
    tool_say("  %-32s %s (%lld)%s%s", f->name, f->is_image ? "picture" : mynah_dtype_name(f->dtype),
             (long long)mynah_feature_size(f), f->names[0] ? "  " : "", f->names);
  }
  mynah_json_set(result, "path", mynah_json_string(mynah_dataset_path(d)));
  mynah_json_set(result, "episodes", mynah_json_integer(mynah_dataset_n_episodes(d)));
  mynah_json_set(result, "frames", mynah_json_integer(mynah_dataset_n_frames(d)));
  mynah_json_set(result, "rate_hz", mynah_json_number(mynah_dataset_rate_hz(d)));
  mynah_json_set(result, "robot", mynah_json_string(mynah_dataset_robot(d)));
  mynah_json_set(result, "bytes", mynah_json_integer(size));
  mynah_json_set(result, "features", features);
  mynah_json_set(result, "hash", mynah_json_string(hash));
  return say_ledger(d, result);
}

/* Adds "tags" to j and writes them to text, one after another. */
static void take_tags(mynah_dataset *d, int64_t i, mynah_json *j, char *text, size_t size) {
  const mynah_json *tags = mynah_dataset_tags(d, i);
  mynah_json *list = mynah_json_array();
  size_t used = 0;
  text[0] = 0;
  for (size_t k = 0; k < mynah_json_size(tags); k++) {
    const char *tag = mynah_json_to_string(mynah_json_at(tags, k), "");
    mynah_json_append(list, mynah_json_string(tag));
    if (used < size) used += (size_t)snprintf(text + used, size - used, " %s", tag);
  }
  mynah_json_set(j, "tags", list);
}

static mynah_status data_list(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  (void)args;
  mynah_json *list = mynah_json_array();
  for (int64_t i = 0; i < mynah_dataset_n_episodes(d); i++) {
    const mynah_episode *e = mynah_dataset_episode(d, i);
    static const char *const parts[] = {"train", "valid", "test"};
    int part = mynah_dataset_part(d, i);
    mynah_json *j = mynah_json_object();
    mynah_json_set(j, "id", mynah_json_integer(e->id));
    mynah_json_set(j, "frames", mynah_json_integer(e->n_frames));
    mynah_json_set(j, "seed", mynah_json_integer((int64_t)e->seed));
    mynah_json_set(j, "success", e->success < 0 ? mynah_json_null() : mynah_json_bool(e->success == 1));
    mynah_json_set(j, "task", mynah_json_string(e->task));
    mynah_json_set(j, "expert", mynah_json_string(e->expert));
    mynah_json_set(j, "hash", mynah_json_string(e->hash));
    mynah_json_set(j, "part", part < 0 ? mynah_json_null() : mynah_json_string(parts[part]));
    mynah_json_append(list, j);
    char tags[256];
    take_tags(d, i, j, tags, sizeof tags);
    tool_say("%6lld  %7lld frames  %-8s %-16s %-16s %.12s%s", (long long)e->id, (long long)e->n_frames,
             e->success < 0 ? ""
             : e->success   ? "success"
                            : "failure",
             e->task, e->expert, e->hash, tags);
  }
  mynah_json_set(result, "episodes", list);
  return MYNAH_OK;
}

static mynah_status data_stats(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  (void)args;
  for (int i = 0; i < mynah_dataset_n_features(d); i++) {
    const mynah_feature *f = mynah_dataset_feature(d, i);
    mynah_stats s;
    MYNAH_TRY(mynah_dataset_stats(d, f->name, NULL, 0, 500, &s));
    mynah_json *j = mynah_json_object();
    mynah_json_set(j, "min", mynah_json_numbers(s.min, (size_t)s.size));
    mynah_json_set(j, "max", mynah_json_numbers(s.max, (size_t)s.size));
    mynah_json_set(j, "mean", mynah_json_numbers(s.mean, (size_t)s.size));
    mynah_json_set(j, "std", mynah_json_numbers(s.std, (size_t)s.size));
    mynah_json_set(j, "frames", mynah_json_integer(s.n_frames));
    mynah_json_set(result, f->name, j);
    tool_say("%s (%lld frames)", f->name, (long long)s.n_frames);
    for (int64_t k = 0; k < s.size; k++)
      tool_say("  [%2lld]  min %12.6g  max %12.6g  mean %12.6g  std %12.6g", (long long)k, s.min[k], s.max[k],
               s.mean[k], s.std[k]);
    mynah_stats_deinit(&s);
  }
  return MYNAH_OK;
}

static mynah_status data_verify(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  (void)args;
  mynah_verify_report r;
  MYNAH_TRY(mynah_dataset_verify(d, tool_progress(), &r));
  mynah_json_set(result, "episodes", mynah_json_integer(r.n_episodes));
  mynah_json_set(result, "frames", mynah_json_integer(r.n_frames));
  mynah_json_set(result, "blobs", mynah_json_integer(r.n_blobs));
  mynah_json_set(result, "damaged", mynah_json_integer(r.n_damaged));
  if (r.n_damaged > 0)
    return mynah_fail(MYNAH_CORRUPT, "%s: %lld of %lld episodes are damaged; first: %s", mynah_dataset_path(d),
                      (long long)r.n_damaged, (long long)r.n_episodes, r.first_damage);
  tool_say("%s: %lld episodes, %lld frames, %lld pictures: every checksum is right", mynah_dataset_path(d),
           (long long)r.n_episodes, (long long)r.n_frames, (long long)r.n_blobs);
  return MYNAH_OK;
}

/* ---- lint -------------------------------------------------------------------------------------------------------- */

#define LINT_COMMAND_KEYS(K) \
  K(CHOICE, fail, "fail", "warning", 0, 0, "never|info|warning|error", "findings this bad make the exit status 1")

typedef struct lint_command {
#define LINT_COMMAND_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  LINT_COMMAND_KEYS(LINT_COMMAND_FIELD)
} lint_command;
#define LINT_COMMAND_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(lint_command, type, field, name, value, low, high, unit, help)
static const mynah_key lint_command_keys[] = {LINT_COMMAND_KEYS(LINT_COMMAND_ROW)};
static const mynah_config_table lint_command_table = {
    "data lint", lint_command_keys, sizeof lint_command_keys / sizeof *lint_command_keys, sizeof(lint_command)};

/* Which part of the split each episode is in: what data split stored, or training would do by itself. Shape: parts
 * (episodes) */
static void find_parts(mynah_dataset *d, int8_t *parts) {
  mynah_feed_config feed;
  mynah_split split;
  int64_t n = mynah_dataset_n_episodes(d), n_stored = 0;
  for (int64_t i = 0; i < n; i++) n_stored += (parts[i] = (int8_t)mynah_dataset_part(d, i)) >= 0;
  if (n_stored > 0) return;
  mynah_config_default(&mynah_feed_table, &feed);
  if (mynah_split_create(d, &feed, 1, &split) != MYNAH_OK) return; /* too few episodes to split */
  for (int64_t i = 0; i < split.n_train; i++) parts[split.train[i].episode] = 0;
  for (int64_t i = 0; i < split.n_valid; i++) parts[split.valid[i].episode] = 1;
  mynah_split_deinit(&split);
}

static mynah_status data_lint(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  mynah_lint_config c;
  lint_command command;
  mynah_config_default(&mynah_lint_table, &c);
  mynah_config_default(&lint_command_table, &command);
  MYNAH_TRY(tool_apply(args, (mynah_config_bind[]){{&mynah_lint_table, &c}, {&lint_command_table, &command}}, 2));
  int8_t *parts = mynah_alloc((size_t)mynah_dataset_n_episodes(d));
  mynah_lint_report r = {0};
  if (!parts) return MYNAH_NO_MEMORY;
  find_parts(d, parts);
  mynah_status status = mynah_dataset_lint(d, &c, parts, tool_progress(), &r);
  mynah_free(parts);
  MYNAH_TRY(status);
  for (size_t i = 0; i < r.n; i++) {
    const mynah_finding *f = &r.findings[i];
    char where[64] = "all";
    if (f->episode >= 0)
      snprintf(where, sizeof where, "%lld:%lld-%lld", (long long)f->episode, (long long)f->frames[0],
               (long long)f->frames[1]);
    tool_say("%-7s  %-14s  %-14s  %s", mynah_severity_name(f->severity), mynah_lint_kind_name(f->kind), where,
             f->advice);
  }
  tool_say("%s: %lld findings, %lld not listed", mynah_dataset_path(d), (long long)r.n_found,
           (long long)(r.n_found - (int64_t)r.n));
  mynah_json_set(result, "findings", mynah_lint_report_to_json(&r));
  mynah_json_set(result, "found", mynah_json_integer(r.n_found));
  if (r.n_found > 0 && command.fail > 0 && (int64_t)r.worst >= command.fail - 1) tool_exit_with(TOOL_FAILED);
  mynah_lint_report_deinit(&r);
  return MYNAH_OK;
}

static int lint_tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &lint_command_table;
  out[1] = &mynah_lint_table;
  return 2;
}

/* ---- the command --------------------------------------------------------------------------------------------------
 */

static const data_action looks[] = {{"info", MYNAH_OPEN_READ, data_info, NULL, NULL},
                                    {"list", MYNAH_OPEN_READ, data_list, NULL, NULL},
                                    {"stats", MYNAH_OPEN_READ, data_stats, NULL, NULL},
                                    {"verify", MYNAH_OPEN_READ, data_verify, NULL, NULL},
                                    {"lint", MYNAH_OPEN_READ, data_lint, lint_tables, NULL},
                                    {"detect", MYNAH_OPEN_READ, data_detect, data_detect_tables, NULL},
                                    {"play", MYNAH_OPEN_READ, data_play, data_play_tables, NULL}};
#define N_LOOKS ((int)(sizeof looks / sizeof *looks))

static const data_action *action_at(int i) { return i < N_LOOKS ? &looks[i] : &data_edits[i - N_LOOKS]; }

static mynah_status find_action(const char *name, const data_action **out) {
  const char *names[64];
  int n = N_LOOKS + data_n_edits;
  for (int i = 0; i < n; i++) {
    names[i] = action_at(i)->name;
    if (strcmp(names[i], name) != 0) continue;
    *out = action_at(i);
    return MYNAH_OK;
  }
  const char *near = mynah_nearest(name, names, (size_t)n);
  return tool_usage_error("data %s: there is no such action%s%s%s", name, near ? "; did you mean '" : "",
                          near ? near : "", near ? "'?" : "");
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  const data_action *action;
  if (args->n_positional < 2) return tool_usage_error("name what to do and a dataset");
  MYNAH_TRY(find_action(args->positional[0], &action));
  if (action->run) return action->run(args, result);
  if (args->n_positional != 2) return tool_usage_error("data %s takes one dataset", action->name);
  if (!action->tables && args->n_settings > 0) return tool_usage_error("unknown key in '%s'", args->settings[0]);
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(args->positional[1], action->mode, &d));
  mynah_status status = action->on_one(args, d, result);
  mynah_dataset_close(d);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  for (int i = 0; args->n_positional > 0 && i < N_LOOKS + data_n_edits; i++)
    if (strcmp(action_at(i)->name, args->positional[0]) == 0)
      return action_at(i)->tables ? action_at(i)->tables(args, out) : 0;
  return 0;
}

const tool_command tool_data = {
    "data",
    "data info|list|stats|verify|lint|detect|play|delete|undelete|vacuum|tag|trim|split|rename|merge|select|resample|reencode|version|diff "
    "X.demos [key=value ...]",
    "look after a dataset", run, tables};
