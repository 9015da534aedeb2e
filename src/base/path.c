/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Paths and folders: joining, making, listing, removing. */
#include <mynah/base.h>

#include "path_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 256 /* of a tree to remove: one open folder a level */

void mynah__path_folder(char out[MYNAH_PATH_MAX], const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) snprintf(out, MYNAH_PATH_MAX, ".");
  else if (slash == path) snprintf(out, MYNAH_PATH_MAX, "/");
  else snprintf(out, MYNAH_PATH_MAX, "%.*s", (int)(slash - path), path);
}

mynah_status mynah_path_join(char *out, size_t size, const char *dir, const char *name) {
  char joined[2 * MYNAH_PATH_MAX];
  size_t n = strlen(dir);
  const char *between = n == 0 || dir[n - 1] == '/' ? "" : "/";
  int written = snprintf(joined, sizeof joined, "%s%s%s", dir, between, name);
  if (written < 0 || (size_t)written >= sizeof joined || (size_t)written >= size)
    return mynah_fail(MYNAH_INVALID, "%.60s/%.60s: path too long", dir, name);
  memcpy(out, joined, (size_t)written + 1);
  return MYNAH_OK;
}

bool mynah_path_is_inside(const char *name) {
  if (!name[0] || name[0] == '/' || strchr(name, '\\')) return false;
  for (const char *part = name; part;) {
    size_t n = strcspn(part, "/");
    if (n == 2 && part[0] == '.' && part[1] == '.') return false;
    part = part[n] ? part + n + 1 : NULL;
  }
  return true;
}

static mynah_status make_dir(const char *path) {
  if (mkdir(path, 0777) == 0) return MYNAH_OK;
  int code = errno; /* an existing folder is what we want, whatever mkdir complained about first */
  struct stat info;
  if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return MYNAH_OK;
  errno = code;
  return mynah_fail_errno(path, "cannot make folder");
}

mynah_status mynah_make_dirs(const char *path) {
  char part[MYNAH_PATH_MAX];
  if (!path[0]) return mynah_fail(MYNAH_INVALID, "a folder needs a name");
  MYNAH_TRY(mynah_copy_text(part, sizeof part, path));
  for (char *at = part + 1; *at; at++) {
    if (*at != '/' || at[-1] == '/') continue;
    *at = 0;
    MYNAH_TRY(make_dir(part));
    *at = '/';
  }
  return make_dir(part);
}

static bool is_dot(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* Removes what lies in the folder `fd` (which it closes). Works by descriptors, so that a link put in place of a folder
 * meanwhile cannot lead outside. */
static mynah_status remove_inside(int fd, const char *path, int depth) {
  DIR *folder = fdopendir(fd);
  if (!folder) {
    mynah_status status = mynah_fail_errno(path, "cannot list");
    close(fd);
    return status;
  }
  mynah_status status = MYNAH_OK;
  struct dirent *entry;
  while (status == MYNAH_OK && (errno = 0, entry = readdir(folder)) != NULL) {
    const char *name = entry->d_name;
    if (is_dot(name) || unlinkat(dirfd(folder), name, 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM && errno != ENOENT) status = mynah_fail_errno(path, "cannot remove");
    else if (depth >= MAX_DEPTH) status = mynah_fail(MYNAH_LIMIT, "%s: folders nested deeper than %d", path, MAX_DEPTH);
    else {
      int inner = openat(dirfd(folder), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner >= 0) status = remove_inside(inner, path, depth + 1);
      if (status == MYNAH_OK && unlinkat(dirfd(folder), name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        status = mynah_fail_errno(path, "cannot remove");
    }
  }
  closedir(folder);
  return status;
}

mynah_status mynah_remove_tree(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && (errno == ENOTDIR || errno == ELOOP || errno == ENOENT)) return mynah_file_remove(path);
  if (fd < 0) return mynah_fail_errno(path, "cannot open");
  MYNAH_TRY(remove_inside(fd, path, 0));
  return rmdir(path) == 0 || errno == ENOENT ? MYNAH_OK : mynah_fail_errno(path, "cannot remove");
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static mynah_status collect_names(DIR *folder, const char *path, char ***names, size_t *n) {
  size_t capacity = 0;
  struct dirent *entry;
  for (;;) {
    errno = 0;
    entry = readdir(folder);
    if (!entry) return errno == 0 ? MYNAH_OK : mynah_fail_errno(path, "cannot list");
    if (is_dot(entry->d_name)) continue;
    MYNAH_TRY(mynah_grow((void **)names, &capacity, *n + 1, sizeof **names));
    if (!((*names)[*n] = mynah_strdup(entry->d_name))) return MYNAH_NO_MEMORY;
    ++*n;
  }
}

mynah_status mynah_list_dir(const char *path, char ***names, size_t *n) {
  int fd;
  MYNAH_TRY(mynah__open_reading(path, O_DIRECTORY, &fd));
  DIR *folder = fdopendir(fd);
  if (!folder) {
    mynah_status status = mynah_fail_errno(path, "cannot list");
    close(fd);
    return status;
  }
  char **found = NULL;
  size_t count = 0;
  mynah_status status = collect_names(folder, path, &found, &count);
  closedir(folder);
  if (status != MYNAH_OK) {
    mynah_names_free(found, count);
    return status;
  }
  if (count > 0) qsort(found, count, sizeof *found, compare_names);
  *names = found;
  *n = count;
  return MYNAH_OK;
}

void mynah_names_free(char **names, size_t n) {
  for (size_t i = 0; names && i < n; i++) mynah_free(names[i]);
  mynah_free(names);
}
