/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What importers share: file and report from beginning to end, episodes frame by frame, names by one rule. */
#include "ingest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_SKIPPED 1000 /* listed; further ones are counted */

/* ---- going on with a killed import -----------------------------------------------------------------------------------
 * With each episode's seal the file notes how many calls of ingest_episode it stands for, and which of them were left out. */

static mynah_status note_progress(mynah__ingest *in) {
  mynah_str text = {0};
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "source", mynah_json_string(in->path));
  mynah_json_set(j, "calls", mynah_json_integer(in->n_calls));
  mynah_json_set(j, "bad", mynah_json_copy(in->bad));
  mynah_status status = mynah_json_dump(j, 0, &text);
  mynah_json_destroy(j);
  if (status == MYNAH_OK) status = mynah__put_note(in->file.dataset, MYNAH__PROGRESS_NOTE, mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

static mynah_status load_progress(mynah__ingest *in) {
  mynah_str text = {0};
  mynah_json *j = NULL;
  mynah_status status = mynah_dataset_get_note(in->file.dataset, MYNAH__PROGRESS_NOTE, &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &j);
  mynah_str_deinit(&text);
  MYNAH_TRY(status);
  const mynah_json *bad = mynah_json_get(j, "bad");
  if (strcmp(mynah_json_to_string(mynah_json_get(j, "source"), ""), in->path) != 0)
    status = mynah_fail(MYNAH_MISMATCH, "%s: was begun from another source: remove it", in->file.part_path);
  in->n_done = mynah_json_to_integer(mynah_json_get(j, "calls"), 0);
  for (size_t i = 0; i < mynah_json_size(bad); i++) {
    const mynah_json *one = mynah_json_at(bad, i);
    mynah_json_append(in->bad, mynah_json_copy(one));
    mynah__ingest_skip(in, "episode", mynah_json_to_integer(mynah_json_get(one, "episode"), -1), mynah_json_to_string(mynah_json_get(one, "why"), ""));
  }
  mynah_json_destroy(j);
  in->report.n_episodes = mynah_dataset_n_episodes(in->file.dataset);
  in->report.n_frames = mynah_dataset_n_frames(in->file.dataset);
  mynah_log(MYNAH_LOG_INFO, "%s: goes on after %lld episodes", in->file.part_path, (long long)in->report.n_episodes);
  return status;
}

static bool was_bad(const mynah__ingest *in, int64_t call) {
  for (size_t i = 0; i < mynah_json_size(in->bad); i++)
    if (mynah_json_to_integer(mynah_json_get(mynah_json_at(in->bad, i), "call"), -1) == call) return true;
  return false;
}

/* An episode that the killed import made: it must be the one that would be made now. */
static mynah_status pass(mynah__ingest *in, int64_t call, const mynah_episode *info, int64_t n_frames) {
  if (was_bad(in, call)) return MYNAH_OK;
  const mynah_episode *e = in->n_passed < mynah_dataset_n_episodes(in->file.dataset) ? mynah_dataset_episode(in->file.dataset, in->n_passed) : NULL;
  in->n_passed++;
  if (e && e->n_frames == n_frames && strcmp(e->task, info->task) == 0 && e->success == info->success) return MYNAH_OK;
  return mynah_fail(MYNAH_MISMATCH, "%s: was begun with other settings or from other data: remove it", in->file.part_path);
}

static mynah_status leave_out(mynah__ingest *in, int64_t number, const char *why) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "call", mynah_json_integer(in->n_calls - 1));
  mynah_json_set(j, "episode", mynah_json_integer(number));
  mynah_json_set(j, "why", mynah_json_string(why));
  mynah_json_append(in->bad, j);
  mynah__ingest_skip(in, "episode", number, why);
  return MYNAH_OK;
}

/* ---- one import ----------------------------------------------------------------------------------------------------
 */

mynah_status mynah__ingest_run(const char *path, const char *out_path, const mynah_progress *progress,
                               mynah__ingest_work work, void *context, mynah_import_report *report) {
  mynah__ingest *in = mynah_calloc(1, sizeof *in);
  if (!in) return MYNAH_NO_MEMORY;
  in->path = path;
  in->progress = progress;
  in->report.skipped = mynah_json_array();
  in->bad = mynah_json_array();
  mynah_status status = in->report.skipped && in->bad ? mynah__import_begin(out_path, &in->file) : MYNAH_NO_MEMORY;
  if (status == MYNAH_OK && !mynah_file_exists(path)) status = mynah_fail(MYNAH_NOT_FOUND, "%s: is not there", path);
  struct stat info;
  bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
  const char *before = mynah_confine(is_folder ? path : NULL);
  if (status == MYNAH_OK) status = work(in, context);
  mynah_confine(before);
  if (status == MYNAH_OK && in->report.n_frames == 0) {
    const mynah_json *why = mynah_json_get(mynah_json_at(in->report.skipped, 0), "why");
    status = mynah_fail(MYNAH_CORRUPT, "%s: no episode could be read%s%s", path, why ? "; first: " : "",
                        mynah_json_to_string(why, ""));
  }
  if (status == MYNAH_OK && in->file.may_resume) status = mynah__sql_run(in->file.dataset, "DELETE FROM meta WHERE key='" MYNAH__PROGRESS_NOTE "'");
  status = mynah__import_end(&in->file, status);
  mynah_json_destroy(in->bad);
  for (int i = 0; i < in->n; i++) mynah_free(in->values[i]);
  if (status == MYNAH_OK) *report = in->report;
  else mynah_json_destroy(in->report.skipped);
  mynah_free(in);
  return status;
}

mynah_status mynah__ingest_create(mynah__ingest *in, const mynah_dataset_config *config) {
  mynah_dataset_config c = *config;
  c.features = in->features;
  c.n_features = in->n;
  in->rate_hz = c.rate_hz;
  MYNAH_TRY(mynah__import_create(&in->file, &c)); /* which checks sizes */
  for (int i = 0; i < in->n; i++)
    if (!(in->values[i] = mynah_calloc(1, mynah_feature_bytes(&in->features[i])))) return MYNAH_NO_MEMORY;
  return in->file.is_resumed ? load_progress(in) : MYNAH_OK;
}

void mynah__ingest_skip(mynah__ingest *in, const char *key, int64_t number, const char *why) {
  if (in->report.n_skipped++ >= MAX_SKIPPED) return;
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, key, number < 0 ? mynah_json_null() : mynah_json_integer(number));
  mynah_json_set(j, "why", mynah_json_string(why));
  mynah_json_append(in->report.skipped, j);
}

bool mynah__ingest_is_bad(mynah_status status) {
  return status == MYNAH_CORRUPT || status == MYNAH_MISMATCH || status == MYNAH_UNSUPPORTED ||
         status == MYNAH_NONFINITE || status == MYNAH_NOT_FOUND || status == MYNAH_INVALID || status == MYNAH_LIMIT;
}

static mynah_status add_frames(mynah__ingest *in, int64_t n, mynah__fetch fetch, void *context) {
  for (int64_t t = 0; t < n; t++) {
    mynah_value values[MYNAH__MAX_FEATURES];
    bool is_encoded[MYNAH__MAX_FEATURES] = {false};
    int64_t time_ns = llround((double)t * 1e9 / in->rate_hz);
    for (int i = 0; i < in->n; i++) values[i] = (mynah_value){in->values[i], mynah_feature_bytes(&in->features[i]), 0};
    MYNAH_TRY(fetch(context, t, values, is_encoded, &time_ns));
    MYNAH_TRY(mynah_episode_add(in->file.dataset, time_ns, values, is_encoded));
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "import: interrupted; %s",
                                                 in->file.may_resume ? "the same command goes on from here" : "nothing was written");
  }
  return MYNAH_OK;
}

mynah_status mynah__ingest_episode(mynah__ingest *in, const mynah_episode *info, int64_t number, int64_t n_frames,
                                   mynah__fetch fetch, void *context) {
  int64_t call = in->n_calls++;
  if (call < in->n_done) return pass(in, call, info, n_frames);
  if (n_frames <= 0) return leave_out(in, number, "has no frames");
  MYNAH_TRY(mynah_episode_begin(in->file.dataset, info));
  mynah_status status = add_frames(in, n_frames, fetch, context);
  if (status != MYNAH_OK) {
    mynah_episode_discard(in->file.dataset);
    if (in->is_strict || !mynah__ingest_is_bad(status)) return status;
    return leave_out(in, number, mynah_error());
  }
  if (in->file.may_resume) MYNAH_TRY(note_progress(in)); /* one commit with the seal */
  MYNAH_TRY(mynah_episode_seal(in->file.dataset, NULL));
  in->report.n_episodes++;
  in->report.n_frames += n_frames;
  return MYNAH_OK;
}

/* ---- names ----------------------------------------------------------------------------------------------------------
 */

/* "ours:theirs,…"; true when `theirs` is in it. */
static bool find_in_map(const char *map, const char *theirs, char *out, size_t size) {
  size_t n = strlen(theirs);
  for (const char *at = map; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    size_t whole = strcspn(at, ","), ours = strcspn(at, ":");
    if (ours >= whole || whole - ours - 1 != n || strncmp(at + ours + 1, theirs, n) != 0) continue;
    snprintf(out, size, "%.*s", (int)ours, at);
    return true;
  }
  return false;
}

static bool starts(const char *text, const char *head) { return strncmp(text, head, strlen(head)) == 0; }

/* What other programs call actions, observations, rewards, ends; "" is left out. */
static const char *const known[][2] = {{"action", "action"},
                                       {"actions", "action"},
                                       {"acts", "action"},
                                       {"obs", "observation.state"},
                                       {"state", "observation.state"},
                                       {"observations", "observation.state"},
                                       {"observation", "observation.state"},
                                       {"qpos", "observation.state"},
                                       {"observations/qpos", "observation.state"},
                                       {"reward", "next.reward"},
                                       {"rewards", "next.reward"},
                                       {"rews", "next.reward"},
                                       {"done", "next.done"},
                                       {"dones", "next.done"},
                                       {"terminations", "next.done"},
                                       {"truncations", "next.truncated"},
                                       {"states", ""},
                                       {"next_obs", ""},
                                       {"infos", ""},
                                       {"info", ""},
                                       {"terminal", ""},
                                       {"indices", ""},
                                       {"timestamp", ""},
                                       {"time_ns", ""},
                                       {"time", ""},
                                       {"episode", ""},
                                       {"episode_ends", ""},
                                       {"episode_index", ""},
                                       {"episode_starts", ""},
                                       {"frame_index", ""},
                                       {"index", ""},
                                       {"task_index", ""}};

mynah_status mynah__map_name(const char *map, const char *theirs, bool is_image, char out[MYNAH_NAME_MAX]) {
  char name[2 * MYNAH_NAME_MAX];
  const char *rest = theirs;
  if (!find_in_map(map, theirs, name, sizeof name)) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
      bool is_picture = is_image && strcmp(known[i][1], "observation.state") == 0; /* all that is seen is a picture */
      if (strcmp(theirs, known[i][0]) == 0) return mynah_copy_text(out, MYNAH_NAME_MAX, is_picture ? "observation.images.main" : known[i][1]);
    }
    if (starts(theirs, "next_obs/") || starts(theirs, "infos/")) return out[0] = 0, MYNAH_OK;
    bool is_ours = starts(theirs, "observation.") || starts(theirs, "action.") || starts(theirs, "next.");
    static const char *const heads[] = {"obs/", "observations/", "images/"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) rest += starts(rest, heads[i]) ? strlen(heads[i]) : 0;
    size_t n = strlen(rest);
    if (is_image && n > 6 && strcmp(rest + n - 6, "_image") == 0) n -= 6;
    if (n >= MYNAH_NAME_MAX) return mynah_fail(MYNAH_LIMIT, "the name '%.40s…' is too long", theirs);
    snprintf(name, sizeof name, "%s%.*s",
             is_ours    ? ""
             : is_image ? "observation.images."
                        : "observation.",
             (int)n, rest);
  }
  for (char *p = name; *p; p++)
    if (*p == '/') *p = '.';
  return mynah_copy_text(out, MYNAH_NAME_MAX, name);
}

mynah_status mynah__ingest_field(mynah__ingest *in, const char *map, const char *theirs, const mynah__item *type,
                                 int n_dims, const int64_t *dims, int *index) {
  bool is_image = n_dims == 3 && dims[2] == 3 && type->kind == 'u' && type->bytes == 1;
  char name[MYNAH_NAME_MAX];
  int64_t size = 1;
  *index = -1;
  MYNAH_TRY(mynah__map_name(map, theirs, is_image, name));
  if (!name[0]) return MYNAH_OK;
  for (int i = 0; i < n_dims; i++)
    if (dims[i] < 1 || __builtin_mul_overflow(size, dims[i], &size))
      return mynah_fail(MYNAH_LIMIT, "%s: '%s' has an impossible shape", in->path, theirs);
  if (in->n == MYNAH__MAX_FEATURES)
    return mynah_fail(MYNAH_LIMIT, "%s: has over %d features: map= leaves some out", in->path, MYNAH__MAX_FEATURES);
  if (mynah_feature_find(in->features, in->n, name) >= 0)
    return mynah_fail(MYNAH_INVALID, "%s: '%s' and another field become '%s': map= names one otherwise", in->path,
                      theirs, name);
  mynah_feature *f = &in->features[in->n];
  *f = is_image ? mynah_feature_image(name, dims[0], dims[1]) : mynah_feature_vector(name, size, "", "");
  if (!is_image) f->dtype = type->dtype;
  mynah_status status = mynah_feature_check(f);
  if (status != MYNAH_OK) return mynah_error_context(status, "%s: '%s'", in->path, theirs);
  *index = in->n++;
  return MYNAH_OK;
}

/* ---- settings that several have -------------------------------------------------------------------------------------
 */

#define ARRAY_KEYS(K)                                                                                             \
  K(FLOAT, rate_hz, "rate_hz", 0, 0, 100000, "Hz", "control rate; 0: what the file says, else 10")                \
  K(STRING, map, "map", "", 0, 0, "", MYNAH__MAP_HELP)                                                            \
  K(STRING, task, "task", "", 0, 0, "", "what was done, in words, where the file does not say")                   \
  K(CHOICE, codec, "codec", "png", 0, 0, "jpeg|png|raw", "how raw pictures are kept; png and raw keep every bit") \
  K(INT, jpeg_quality, "jpeg.quality", 95, 1, 100, "", "of codec=jpeg")
#define ARRAY_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah__array_config, type, field, name, value, low, high, unit, help)
static const mynah_key array_keys[] = {ARRAY_KEYS(ARRAY_ROW)};
const mynah_config_table mynah__array_table = {"import", array_keys, sizeof array_keys / sizeof *array_keys,
                                               sizeof(mynah__array_config)};

mynah_status mynah__ingest_create_arrays(mynah__ingest *in, const mynah__array_config *c, double rate_hz,
                                         const char *source) {
  if (mynah_feature_find(in->features, in->n, "action") < 0)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: has no actions: map=action:NAME says which field they are", in->path);
  return mynah__ingest_create(in, &(mynah_dataset_config){.rate_hz = c->rate_hz > 0 ? c->rate_hz
                                                                     : rate_hz > 0  ? rate_hz
                                                                                    : 10,
                                                          .source = source,
                                                          .robot = in->robot,
                                                          .codec = (mynah_codec)c->codec,
                                                          .jpeg_quality = (int)c->jpeg_quality});
}

mynah_episode mynah__episode_of(const mynah__array_config *c, const char *expert) {
  mynah_episode e = {.success = -1};
  snprintf(e.task, sizeof e.task, "%.127s", c->task);
  snprintf(e.expert, sizeof e.expert, "%s", expert);
  return e;
}
