/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of importers, and the file that an import writes: whole under its name, or not there. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const mynah_importer *const importers[] = {&mynah__import_csv,
                                                  &mynah__import_lerobot,
                                                  &mynah__import_npz,
                                                  &mynah__import_rollouts,
                                                  &mynah__import_tub,
                                                  &mynah__import_udacity,
                                                  &mynah__import_yolo,
                                                  &mynah__import_zarr,
#ifdef MYNAH_HAS_HDF5
                                                  &mynah__import_aloha,
                                                  &mynah__import_minari,
                                                  &mynah__import_robomimic,
#endif
                                                  NULL};
#define N_IMPORTERS (sizeof importers / sizeof *importers - 1)

const mynah_importer *const *mynah_importers(void) { return importers; }

mynah_status mynah_importer_find(const char *name, const mynah_importer **out) {
  const char *names[N_IMPORTERS];
  for (size_t i = 0; i < N_IMPORTERS; i++) {
    names[i] = importers[i]->name;
    if (strcmp(names[i], name) != 0) continue;
    *out = importers[i];
    return MYNAH_OK;
  }
  const char *near = mynah_nearest(name, names, N_IMPORTERS);
  return mynah_fail(MYNAH_NOT_FOUND, "there is no format '%s'%s%s%s", name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

/* ---- the file ------------------------------------------------------------------------------------------------------
 */

/* The log, its index and a journal beside a dataset: one that was removed by hand may have left them, and a log of
 * another file would be taken for this one's. */
static mynah_status remove_beside(const char *path) {
  static const char *const tails[] = {"-wal", "-shm", "-journal"};
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    char name[MYNAH_PATH_MAX + 16];
    snprintf(name, sizeof name, "%s%s", path, tails[i]);
    MYNAH_TRY(mynah_file_remove(name));
  }
  return MYNAH_OK;
}

/* Whether another import holds the temporary file. */
static bool is_locked(const char *path) {
  char name[MYNAH_PATH_MAX + 8];
  snprintf(name, sizeof name, "%s.lock", path);
  int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  bool is_held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  return is_held;
}

mynah_status mynah__import_begin(const char *out_path, mynah__import_file *file) {
  *file = (mynah__import_file){0};
  MYNAH_TRY(mynah_copy_text(file->out_path, sizeof file->out_path - 32, out_path)); /* room for ".part" and more */
  snprintf(file->part_path, sizeof file->part_path, "%.*s.part", MYNAH_PATH_MAX - 8, out_path);
  if (!out_path[0]) return mynah_fail(MYNAH_INVALID, "the new dataset needs a path");
  if (mynah_file_exists(out_path))
    return mynah_fail(MYNAH_BUSY, "%s: exists already: remove it or choose another name", out_path);
  return is_locked(file->part_path) ? mynah_fail(MYNAH_BUSY, "%s: another import is writing it", out_path) : MYNAH_OK;
}

static bool has_progress(mynah_dataset *d) {
  mynah_str text = {0};
  mynah_status status = mynah_dataset_get_note(d, MYNAH__PROGRESS_NOTE, &text);
  mynah_str_deinit(&text);
  return status == MYNAH_OK;
}

/* What a killed import left, if it says how far it came, is whole so far, and of these features. One that was killed
 * between the end of its work and its place under its name no longer says so: it is made anew. */
static bool resume(mynah__import_file *file, const mynah_dataset_config *c) {
  mynah_dataset *d;
  mynah_verify_report r = {.n_damaged = 1};
  if (!file->may_resume || !mynah_file_exists(file->part_path) ||
      mynah_dataset_open(file->part_path, MYNAH_OPEN_WRITE, &d) != MYNAH_OK)
    return false;
  bool is_same =
      d->n_features == c->n_features && d->n_episodes > 0 && c->rate_hz - d->rate_hz == 0 && d->codec == c->codec;
  for (int i = 0; i < c->n_features && is_same; i++) {
    const mynah_feature *a = &d->features[i], *b = &c->features[i];
    is_same = strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->n_dims == b->n_dims &&
              memcmp(a->dims, b->dims, sizeof a->dims) == 0;
  }
  if (is_same && has_progress(d) && mynah_dataset_verify(d, NULL, &r) == MYNAH_OK && r.n_damaged == 0 &&
      mynah__make_bulk(d) == MYNAH_OK) {
    file->dataset = d;
    return file->is_resumed = true;
  }
  mynah_dataset_close(d);
  return false;
}

mynah_status mynah__import_create(mynah__import_file *file, const mynah_dataset_config *config) {
  if (resume(file, config)) return MYNAH_OK;
  MYNAH_TRY(mynah_file_remove(file->part_path));
  MYNAH_TRY(remove_beside(file->part_path));
  return mynah__create(file->part_path, config, true, &file->dataset);
}

/* A rename is certain once the folder is on the disk; file systems that cannot sync a folder are let off. */
static mynah_status sync_folder_of(const char *path) {
  char folder[MYNAH_PATH_MAX];
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? MYNAH_OK : mynah_fail_errno(folder, "cannot open");
  mynah_status status = MYNAH_OK;
  if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) status = mynah_fail_errno(folder, "cannot sync");
  close(fd);
  return status;
}

/* Puts the file in place; another one that came there meanwhile is not replaced. */
static mynah_status put_in_place(const mynah__import_file *file) {
  MYNAH_TRY(remove_beside(file->out_path));
  if (link(file->part_path, file->out_path) == 0) {
    MYNAH_TRY(mynah_file_remove(file->part_path));
    return sync_folder_of(file->out_path);
  }
  if (errno == EEXIST) return mynah_fail(MYNAH_BUSY, "%s: exists already", file->out_path);
  /* Some file systems have no second names. */
  if (rename(file->part_path, file->out_path) != 0) return mynah_fail_errno(file->out_path, "cannot be put in place");
  return sync_folder_of(file->out_path);
}

mynah_status mynah__import_end(mynah__import_file *file, mynah_status status) {
  bool is_ours = file->dataset != NULL;
  if (is_ours && status == MYNAH_OK) status = mynah__sql_run(file->dataset, "PRAGMA synchronous=FULL");
  if (is_ours && status == MYNAH_OK) status = mynah__sql_make_safe(file->dataset);
  mynah_dataset_close(file->dataset);
  file->dataset = NULL;
  if (status == MYNAH_OK) status = put_in_place(file);
  if (status == MYNAH_OK || !is_ours || (status == MYNAH_INTERRUPTED && file->may_resume)) return status;
  unlink(file->part_path); /* the error text stays that of what went wrong */
  char name[MYNAH_PATH_MAX + 8];
  static const char *const tails[] = {"-wal", "-shm", "-journal"};
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    snprintf(name, sizeof name, "%s%s", file->part_path, tails[i]);
    unlink(name);
  }
  return status;
}
