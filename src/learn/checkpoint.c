/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Checkpoints: FOLDER/checkpoints/STEP/state.safetensors and its hash, whole or not there. */
#include "trainer_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- saving ---------------------------------------------------------------------------------------------------------- */

static mynah_safetensor flat(const char *name, const float *data, int64_t n) {
  return (mynah_safetensor){name, MYNAH_F32, MYNAH_SHAPE(n), data, (size_t)n * sizeof *data};
}

static mynah_status cursor_text(const mynah_trainer *t, mynah_str *out) {
  const mynah__cursor *c = &t->cursor;
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "step", mynah_json_integer(c->step));
  mynah_json_set(j, "n_ema", mynah_json_integer(c->n_ema));
  mynah_json_set(j, "n_nonfinite", mynah_json_integer(c->n_nonfinite));
  mynah_json_set(j, "best_step", mynah_json_integer(c->best_step));
  mynah_json_set(j, "best_loss", mynah_json_number(c->best_loss));
  mynah_json_set(j, "best_score", mynah_json_number(c->best_score));
  mynah_json_set(j, "log_loss", mynah_json_number(c->log_loss));
  mynah_json_set(j, "n_log", mynah_json_integer(c->n_log));
  mynah_json_set(j, "last_loss", mynah_json_number(c->last_loss));
  mynah_status status = mynah_json_dump(j, 0, out);
  mynah_json_destroy(j);
  return status;
}

static mynah_status write_state(mynah_trainer *t, const char *folder) {
  char path[MYNAH_PATH_MAX], hash[65];
  const mynah_weights *w = t->task.weights;
  int64_t n = mynah_weights_n_trained(w), all = mynah_weights_n_floats(w);
  mynah_safetensor tensors[4] = {flat("weights", mynah_weights_const_data(w), all), flat("first", t->first, n),
                                 flat("second", t->second, n)};
  if (t->average) tensors[3] = flat("average", mynah_weights_const_data(t->average), all);
  mynah_str text = {0};
  mynah_status status = cursor_text(t, &text);
  mynah_metadata metadata = {"cursor", mynah_str_text(&text)};
  if (status == MYNAH_OK) status = mynah_path_join(path, sizeof path, folder, "state.safetensors");
  if (status == MYNAH_OK) status = mynah_safetensors_write(path, tensors, t->average ? 4 : 3, &metadata, 1);
  mynah_str_deinit(&text);
  MYNAH_TRY(status);
  MYNAH_TRY(mynah_sha256_file(path, hash));
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, "hash"));
  return mynah_file_write(path, hash, 64);
}

static int64_t read_pointer(const mynah_trainer *t, const char *name) {
  char path[MYNAH_PATH_MAX], *text;
  size_t length;
  if (mynah_path_join(path, sizeof path, t->folder, name) != MYNAH_OK || mynah_file_read(path, 64, &text, &length) != MYNAH_OK)
    return -1;
  int64_t step = strtoll(text, NULL, 10);
  mynah_free(text);
  return step;
}

static mynah_status write_pointer(const mynah_trainer *t, const char *name) {
  char path[MYNAH_PATH_MAX], text[32];
  MYNAH_TRY(mynah_path_join(path, sizeof path, t->folder, name));
  int n = snprintf(text, sizeof text, "%lld\n", (long long)t->cursor.step);
  return mynah_file_write(path, text, (size_t)n);
}

/* "STEP" + ending; -1: another name. */
static int64_t step_of(const char *name, const char *ending) {
  char *end;
  long long step = strtoll(name, &end, 10);
  return end != name && strcmp(end, ending) == 0 && step >= 0 ? step : -1;
}

static int newest_first(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x < y) - (x > y);
}

/* Steps of the checkpoints there are (or of policies: by their ending), newest first; free with mynah_free. */
static mynah_status list_steps(const char *folder, const char *ending, int64_t **steps, size_t *n) {
  char **names;
  size_t count, kept = 0;
  MYNAH_TRY(mynah_list_dir(folder, &names, &count));
  int64_t *list = mynah_calloc(count + 1, sizeof *list);
  for (size_t i = 0; list && i < count; i++)
    if (step_of(names[i], ending) >= 0) list[kept++] = step_of(names[i], ending);
  mynah_names_free(names, count);
  if (!list) return MYNAH_NO_MEMORY;
  qsort(list, kept, sizeof *list, newest_first);
  *steps = list;
  *n = kept;
  return MYNAH_OK;
}

static mynah_status remove_old(mynah_trainer *t, const char *folder) {
  int64_t *steps, best = read_pointer(t, "best");
  size_t n;
  MYNAH_TRY(list_steps(folder, "", &steps, &n));
  mynah_status status = MYNAH_OK;
  for (size_t i = (size_t)t->config.checkpoint_keep; i < n && status == MYNAH_OK; i++) {
    char name[32], path[MYNAH_PATH_MAX];
    if (steps[i] == best) continue;
    snprintf(name, sizeof name, "%lld", (long long)steps[i]);
    status = mynah_path_join(path, sizeof path, folder, name);
    if (status == MYNAH_OK) status = mynah_remove_tree(path);
  }
  mynah_free(steps);
  return status;
}

/* policies/STEP.safetensors beside the checkpoint; those of older checkpoints go. */
static mynah_status keep_policy(mynah_trainer *t) {
  char folder[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX], name[48];
  int64_t *steps;
  size_t n;
  if (t->config.checkpoint_policies == 0 || !t->task.save) return MYNAH_OK;
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, t->folder, "policies"));
  MYNAH_TRY(mynah_make_dirs(folder));
  snprintf(name, sizeof name, "%lld.safetensors", (long long)t->cursor.step);
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, name));
  MYNAH_TRY(t->task.save(t->task.context, mynah__acting(t), NULL, path));
  MYNAH_TRY(list_steps(folder, ".safetensors", &steps, &n));
  mynah_status status = MYNAH_OK;
  for (size_t i = (size_t)t->config.checkpoint_policies; i < n && status == MYNAH_OK; i++) {
    snprintf(name, sizeof name, "%lld.safetensors", (long long)steps[i]);
    status = mynah_path_join(path, sizeof path, folder, name);
    if (status == MYNAH_OK) status = mynah_file_remove(path);
  }
  mynah_free(steps);
  return status;
}

mynah_status mynah__checkpoint_save(mynah_trainer *t, bool is_best) {
  char folder[MYNAH_PATH_MAX], temporary[MYNAH_PATH_MAX], final[MYNAH_PATH_MAX], name[32];
  MYNAH_TRY(mynah__part_gather(t, t->first));
  MYNAH_TRY(mynah__part_gather(t, t->second));
  if (t->average) MYNAH_TRY(mynah__part_gather(t, mynah_weights_data(t->average)));
  t->checkpoint_step = t->cursor.step;
  if (!t->folder[0]) return MYNAH_OK;
  snprintf(name, sizeof name, "%lld", (long long)t->cursor.step);
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, t->folder, "checkpoints"));
  MYNAH_TRY(mynah_path_join(temporary, sizeof temporary, folder, "unfinished"));
  MYNAH_TRY(mynah_path_join(final, sizeof final, folder, name));
  MYNAH_TRY(mynah_remove_tree(temporary));
  MYNAH_TRY(mynah_make_dirs(temporary));
  mynah_status status = write_state(t, temporary);
  if (status == MYNAH_OK) status = mynah_remove_tree(final);
  if (status == MYNAH_OK && rename(temporary, final) != 0) status = mynah_fail_errno(final, "cannot rename into place");
  if (status != MYNAH_OK) {
    char text[512];
    snprintf(text, sizeof text, "%s", mynah_error());
    (void)!mynah_remove_tree(temporary);
    return mynah_fail(status, "%s", text);
  }
  MYNAH_TRY(write_pointer(t, "last"));
  if (is_best) MYNAH_TRY(write_pointer(t, "best"));
  MYNAH_TRY(keep_policy(t));
  return remove_old(t, folder);
}

/* ---- loading --------------------------------------------------------------------------------------------------------- */

static mynah_status copy_flat(const mynah_safetensors *f, const char *name, float *out, int64_t n) {
  const mynah_safetensor *s = mynah_safetensors_find(f, name);
  if (!s || s->dtype != MYNAH_F32 || mynah_shape_size(s->shape) != n)
    return mynah_fail(MYNAH_MISMATCH, "the checkpoint's '%s' does not have %lld numbers", name, (long long)n);
  memcpy(out, s->data, (size_t)n * sizeof *out);
  return MYNAH_OK;
}

static mynah_status read_cursor(const mynah_safetensors *f, mynah__cursor *out) {
  const char *text = mynah_safetensors_metadata(f, "cursor");
  mynah_json *j;
  if (!text) return mynah_fail(MYNAH_CORRUPT, "the checkpoint has no cursor");
  MYNAH_TRY(mynah_json_parse(text, strlen(text), &j));
  mynah__cursor c = {.step = mynah_json_to_integer(mynah_json_get(j, "step"), -1),
                     .n_ema = mynah_json_to_integer(mynah_json_get(j, "n_ema"), 0),
                     .n_nonfinite = mynah_json_to_integer(mynah_json_get(j, "n_nonfinite"), 0),
                     .best_step = mynah_json_to_integer(mynah_json_get(j, "best_step"), 0),
                     .best_loss = mynah_json_to_number(mynah_json_get(j, "best_loss"), INFINITY),
                     .best_score = mynah_json_to_number(mynah_json_get(j, "best_score"), -INFINITY),
                     .log_loss = mynah_json_to_number(mynah_json_get(j, "log_loss"), 0),
                     .n_log = mynah_json_to_integer(mynah_json_get(j, "n_log"), 0),
                     .last_loss = mynah_json_to_number(mynah_json_get(j, "last_loss"), NAN)};
  mynah_json_destroy(j);
  if (c.step < 0) return mynah_fail(MYNAH_CORRUPT, "the checkpoint has no step");
  *out = c;
  return MYNAH_OK;
}

/* Every byte is compared with the hash before anything is taken over. */
static mynah_status load_folder(mynah_trainer *t, const char *folder) {
  char path[MYNAH_PATH_MAX], hash[65], *due;
  size_t length;
  mynah_safetensors *f;
  mynah_weights *w = t->task.weights;
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, "hash"));
  MYNAH_TRY(mynah_file_read(path, 128, &due, &length));
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, "state.safetensors"));
  mynah_status status = mynah_sha256_file(path, hash);
  if (status == MYNAH_OK && strcmp(hash, due) != 0) status = mynah_fail(MYNAH_CORRUPT, "%s: is damaged: its hash is wrong", path);
  mynah_free(due);
  MYNAH_TRY(status);
  MYNAH_TRY(mynah_safetensors_open(path, &f));
  status = read_cursor(f, &t->cursor);
  if (status == MYNAH_OK) status = copy_flat(f, "weights", mynah_weights_data(w), mynah_weights_n_floats(w));
  if (status == MYNAH_OK) status = copy_flat(f, "first", t->first, mynah_weights_n_trained(w));
  if (status == MYNAH_OK) status = copy_flat(f, "second", t->second, mynah_weights_n_trained(w));
  if (status == MYNAH_OK && t->average)
    status = copy_flat(f, "average", mynah_weights_data(t->average), mynah_weights_n_floats(w));
  mynah_safetensors_close(f);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}

/* What was loaded, from rank 0 to all. */
static mynah_status share_state(mynah_trainer *t, mynah_status status) {
  mynah_weights *w = t->task.weights;
  int64_t n = mynah_weights_n_trained(w), all = mynah_weights_n_floats(w);
  int32_t told = (int32_t)status;
  MYNAH_TRY(mynah__part_share(t, &told, 1));
  if (told != MYNAH_OK)
    return status == MYNAH_OK ? mynah_fail((mynah_status)told, "rank 0 has loaded no checkpoint") : status;
  MYNAH_TRY(mynah__part_share(t, &t->cursor, sizeof t->cursor / 4));
  MYNAH_TRY(mynah__part_share(t, mynah_weights_data(w), all));
  MYNAH_TRY(mynah__part_share(t, t->first, n));
  MYNAH_TRY(mynah__part_share(t, t->second, n));
  return t->average ? mynah__part_share(t, mynah_weights_data(t->average), all) : MYNAH_OK;
}

static mynah_status load_last(mynah_trainer *t) {
  char folder[MYNAH_PATH_MAX];
  int64_t *steps = NULL;
  size_t n = 0;
  if (!t->folder[0]) return mynah_fail(MYNAH_NOT_FOUND, "a run without a folder has no checkpoint");
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, t->folder, "checkpoints"));
  if (!mynah_file_exists(folder)) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no checkpoint yet", t->folder);
  MYNAH_TRY(list_steps(folder, "", &steps, &n));
  mynah_status status = mynah_fail(MYNAH_NOT_FOUND, "%s: has no checkpoint yet", t->folder);
  for (size_t i = 0; i < n; i++) {
    char name[32], path[MYNAH_PATH_MAX];
    snprintf(name, sizeof name, "%lld", (long long)steps[i]);
    status = mynah_path_join(path, sizeof path, folder, name);
    if (status == MYNAH_OK) status = load_folder(t, path);
    if (status == MYNAH_OK || status == MYNAH_MISMATCH || status == MYNAH_NO_MEMORY) break;
    mynah_log(MYNAH_LOG_WARNING, "%s; trying an older checkpoint", mynah_error());
  }
  mynah_free(steps);
  return status;
}

mynah_status mynah__checkpoint_load(mynah_trainer *t) {
  mynah_status status = t->part.ranks.index == 0 ? load_last(t) : MYNAH_OK;
  MYNAH_TRY(share_state(t, status));
  t->checkpoint_step = t->cursor.step;
  mynah_binding_refresh(t->train.binding, t->pool);
  return MYNAH_OK;
}
