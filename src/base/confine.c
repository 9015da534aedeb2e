/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Opening for reading, where a folder from elsewhere may hold links that lead out of it. */
#include <mynah/base.h>

#include "path_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local const char *confining;

const char *mynah_confine(const char *folder) {
  const char *before = confining;
  confining = folder;
  return before;
}

/* What of a path lies below the confining folder; NULL: it does not lie there. */
static const char *rest_below(const char *path) {
  size_t n = confining ? strlen(confining) : 0;
  while (n > 1 && confining[n - 1] == '/') n--;
  if (n == 0 || strncmp(path, confining, n) != 0) return NULL;
  if (strcmp(confining, "/") == 0 || (path[n] != '/' && path[n] != 0)) return NULL;
  path += n + strspn(path + n, "/");
  return *path ? path : NULL;
}

/* For kernels without openat2: part by part, and no part may be a link at all. */
static int open_by_parts(int folder, const char *rest, int flags) {
  char part[MYNAH_PATH_MAX];
  int at = dup(folder);
  while (at >= 0) {
    size_t n = strcspn(rest, "/"), next = n + strspn(rest + n, "/");
    bool is_last = rest[next] == 0, is_up = n == 2 && rest[0] == '.' && rest[1] == '.';
    snprintf(part, sizeof part, "%.*s", (int)n, rest);
    int below = is_up ? -1 : openat(at, part, O_NOFOLLOW | (is_last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC));
    int code = is_up || readlinkat(at, part, &(char){0}, 1) >= 0 ? ELOOP : errno;
    close(at);
    errno = code;
    at = below;
    if (is_last) return at;
    rest += next;
  }
  return at;
}

/* In one step, so that a link put in place meanwhile leads nowhere either. */
static int open_below(const char *rest, int flags) {
  int folder = open(confining, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  struct open_how how = {.flags = (uint64_t)(unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, folder, rest, &how, sizeof how);
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) fd = open_by_parts(folder, rest, flags);
  int code = errno;
  close(folder);
  errno = code;
  return fd;
}

mynah_status mynah__open_reading(const char *path, int flags, int *fd) {
  const char *rest = rest_below(path);
  flags |= O_RDONLY | O_CLOEXEC;
  /* A pipe with no writer would be waited for. */
  int opened = rest ? open_below(rest, flags | O_NONBLOCK) : open(path, flags);
  if (opened < 0 && rest && (errno == EXDEV || errno == ELOOP))
    return mynah_fail(MYNAH_INVALID, "%s: a link leads out of %s: 'cp -rL' makes a copy without links", path, confining);
  if (opened < 0) return mynah_fail_errno(path, flags & O_DIRECTORY ? "cannot list" : "cannot open");
  struct stat info;
  if (rest && !(flags & O_DIRECTORY) && fstat(opened, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
    close(opened);
    return mynah_fail(MYNAH_INVALID, "%s: not a plain file", path);
  }
  *fd = opened;
  return MYNAH_OK;
}

mynah_status mynah_file_open(const char *path, int *fd) { return mynah__open_reading(path, 0, fd); }
