/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Space kept free for what was begun: a ballast file beside the dataset, given up when the disk is nearly full. */
#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Beside the ballast so much must be free: what is written between two looks. */
#define MARGIN_SHARE 4

static void ballast_path(const mynah_dataset *d, char *out, size_t size) { snprintf(out, size, "%s.ballast", d->path); }

/* Bytes that may still be written; -1: not known. */
static int64_t free_bytes(int fd) {
  struct statvfs v;
  int64_t bytes;
  if (fstatvfs(fd, &v) != 0 || __builtin_mul_overflow((int64_t)v.f_bavail, (int64_t)v.f_frsize, &bytes)) return -1;
  return bytes;
}

static void give_up(mynah_dataset *d) {
  char path[MYNAH_PATH_MAX + 16];
  ballast_path(d, path, sizeof path);
  unlink(path);
  d->ballast_bytes = 0;
}

mynah_status mynah_dataset_keep_room(mynah_dataset *d, int64_t bytes) {
  char path[MYNAH_PATH_MAX + 16];
  if (!d->is_writable) return mynah_fail(MYNAH_INVALID, "%s: is open for reading only", d->path);
  if (bytes <= 0) return MYNAH_OK;
  ballast_path(d, path, sizeof path);
  unlink(path); /* a killed session's */
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return mynah_fail_errno(path, "cannot be made");
  int64_t room = free_bytes(fd);
  bool is_full = (room >= 0 && room < bytes + bytes / MARGIN_SHARE) || posix_fallocate(fd, 0, (off_t)bytes) != 0;
  close(fd);
  d->ballast_bytes = bytes;
  if (!is_full) return MYNAH_OK;
  give_up(d);
  return mynah_fail(MYNAH_NO_SPACE, "%s: fewer than %lld MB are free on the disk: free some, or keep less with ballast.mb", d->path,
                    (long long)((bytes + bytes / MARGIN_SHARE) >> 20));
}

void mynah__guard_look(mynah_dataset *d) {
  if (d->ballast_bytes == 0) return;
  int64_t room = free_bytes(d->lock_fd);
  if (room < 0 || room >= d->ballast_bytes / MARGIN_SHARE) return;
  give_up(d);
  d->is_short = true;
  mynah_log(MYNAH_LOG_WARNING, "%s: the disk is nearly full: the ballast is given up for the episode that is open", d->path);
}

void mynah__guard_end(mynah_dataset *d) {
  if (d->ballast_bytes > 0) give_up(d);
}

bool mynah_dataset_is_short(const mynah_dataset *d) { return d->is_short; }
