/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whole files: read, written atomically, mapped, read in parts. */
#include <mynah/base.h>

#include "path_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP ((size_t)64 << 10) /* first guess for things without a size (pipes, /proc) */

static mynah_status open_for_reading(const char *path, int *fd, struct stat *info) {
  int opened;
  MYNAH_TRY(mynah__open_reading(path, 0, &opened));
  if (fstat(opened, info) != 0) {
    mynah_status status = mynah_fail_errno(path, "cannot look at");
    close(opened);
    return status;
  }
  if (S_ISDIR(info->st_mode)) {
    close(opened);
    return mynah_fail(MYNAH_INVALID, "%s: is a folder: a file is needed", path);
  }
  *fd = opened;
  return MYNAH_OK;
}

/* Reads to the end whatever the size said at first: the file may be growing. */
static mynah_status read_all(int fd, const char *path, size_t guess, size_t max_bytes, char **data, size_t *length) {
  size_t capacity = guess + 1, used = 0;
  char *buffer = mynah_alloc(capacity);
  if (!buffer) return mynah_error_context(MYNAH_NO_MEMORY, "%s", path);
  for (;;) {
    if (used + 1 >= capacity) {
      mynah_status status = mynah_grow((void **)&buffer, &capacity, capacity + READ_STEP, 1);
      if (status) {
        mynah_free(buffer);
        return mynah_error_context(status, "%s", path);
      }
    }
    ssize_t n = read(fd, buffer + used, capacity - used - 1);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) break;
    if (n > 0) used += (size_t)n;
    if (n < 0 || used > max_bytes) {
      mynah_status status = n < 0 ? mynah_fail_errno(path, "cannot read")
                                  : mynah_fail(MYNAH_LIMIT, "%s: larger than %zu bytes", path, max_bytes);
      mynah_free(buffer);
      return status;
    }
  }
  buffer[used] = 0;
  *data = buffer;
  *length = used;
  return MYNAH_OK;
}

mynah_status mynah_file_read(const char *path, size_t max_bytes, char **data, size_t *length) {
  int fd = -1;
  struct stat info = {0};
  MYNAH_TRY(open_for_reading(path, &fd, &info));
  mynah_status status;
  if (info.st_size > 0 && (uintmax_t)info.st_size > max_bytes)
    status =
        mynah_fail(MYNAH_LIMIT, "%s: %lld bytes, more than the %zu allowed", path, (long long)info.st_size, max_bytes);
  else status = read_all(fd, path, info.st_size > 0 ? (size_t)info.st_size + 1 : READ_STEP, max_bytes, data, length);
  close(fd);
  return status;
}

static mynah_status write_all(int fd, const char *path, const void *data, size_t length) {
  const char *at = data;
  while (length > 0) {
    ssize_t n = write(fd, at, length < ((size_t)1 << 30) ? length : (size_t)1 << 30);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return mynah_fail_errno(path, "cannot write");
    at += n;
    length -= (size_t)n;
  }
  return fsync(fd) == 0 ? MYNAH_OK : mynah_fail_errno(path, "cannot sync");
}

/* A rename is only certain once the folder is on the disk; file systems that cannot sync a folder are let off. */
static mynah_status sync_folder_of(const char *path) {
  char folder[MYNAH_PATH_MAX];
  mynah__path_folder(folder, path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? MYNAH_OK : mynah_fail_errno(folder, "cannot open");
  mynah_status status = MYNAH_OK;
  if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) status = mynah_fail_errno(folder, "cannot sync");
  close(fd);
  return status;
}

mynah_status mynah_file_write(const char *path, const void *data, size_t length) {
  static atomic_uint serial; /* two threads may write the same path: the last rename wins */
  char temporary[MYNAH_PATH_MAX];
  int n = snprintf(temporary, sizeof temporary, "%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
  if (n < 0 || (size_t)n >= sizeof temporary) return mynah_fail(MYNAH_INVALID, "%.80s...: path too long", path);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) return mynah_fail_errno(path, "cannot write");
  mynah_status status = write_all(fd, path, data, length);
  if (close(fd) != 0 && status == MYNAH_OK) status = mynah_fail_errno(path, "cannot write");
  if (status == MYNAH_OK && rename(temporary, path) != 0) status = mynah_fail_errno(path, "cannot replace");
  if (status != MYNAH_OK) {
    unlink(temporary);
    return status;
  }
  return sync_folder_of(path);
}

bool mynah_file_exists(const char *path) { return access(path, F_OK) == 0; }

mynah_status mynah_file_size(const char *path, int64_t *bytes) {
  struct stat info;
  if (stat(path, &info) != 0) return mynah_fail_errno(path, "cannot look at");
  *bytes = (int64_t)info.st_size;
  return MYNAH_OK;
}

mynah_status mynah_file_remove(const char *path) {
  return unlink(path) == 0 || errno == ENOENT ? MYNAH_OK : mynah_fail_errno(path, "cannot remove");
}

mynah_status mynah_map_open(const char *path, mynah_map *map) {
  int fd = -1;
  struct stat info = {0};
  MYNAH_TRY(open_for_reading(path, &fd, &info));
  mynah_status status = MYNAH_OK;
  mynah_map opened = {0};
  if (!S_ISREG(info.st_mode)) status = mynah_fail(MYNAH_UNSUPPORTED, "%s: not a plain file", path);
  else if ((uintmax_t)info.st_size > PTRDIFF_MAX) status = mynah_fail(MYNAH_LIMIT, "%s: too large to map", path);
  else if (info.st_size > 0) {
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) status = mynah_fail_errno(path, "cannot map");
    else opened = (mynah_map){.data = data, .size = (size_t)info.st_size};
  }
  close(fd);
  if (status == MYNAH_OK) *map = opened;
  return status;
}

void mynah_map_close(mynah_map *map) {
  if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
  *map = (mynah_map){0};
}

mynah_status mynah_reader_open(const char *path, mynah_reader *reader) {
  int fd = -1;
  struct stat info = {0};
  MYNAH_TRY(open_for_reading(path, &fd, &info));
  if (!S_ISREG(info.st_mode)) {
    close(fd);
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: not a plain file", path);
  }
  *reader = (mynah_reader){fd, (size_t)info.st_size};
  return MYNAH_OK;
}

mynah_status mynah_reader_read(const mynah_reader *reader, size_t offset, void *out, size_t bytes) {
  for (char *to = out; bytes > 0;) {
    ssize_t n = pread(reader->fd, to, bytes, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return mynah_fail_errno("a file that was open", "cannot read");
    if (n == 0) return mynah_fail(MYNAH_CORRUPT, "the file ends at byte %zu, %zu too early: it was cut", offset, bytes);
    to += n;
    offset += (size_t)n;
    bytes -= (size_t)n;
  }
  return MYNAH_OK;
}

void mynah_reader_close(mynah_reader *reader) {
  if (reader->fd >= 0) close(reader->fd);
  *reader = (mynah_reader){-1, 0};
}
