/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames of a video from the program mynah-video, run as a child that has no files but the video and a pipe, no
 * environment, little memory and limited time. */
#include "video.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MEMORY ((rlim_t)4 << 30)
#define MAX_SECONDS 3600

/* Beside this program, or a folder above, or where MYNAH_VIDEO says. */
static bool find_program(char out[MYNAH_PATH_MAX]) {
  static const char *const places[] = {"mynah-video", "../mynah-video"};
  char self[MYNAH_PATH_MAX - 32];
  const char *chosen = getenv("MYNAH_VIDEO");
  if (chosen && chosen[0])
    return snprintf(out, MYNAH_PATH_MAX, "%s", chosen) < MYNAH_PATH_MAX && access(out, X_OK) == 0;
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0) return false;
  self[n] = 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    snprintf(out, MYNAH_PATH_MAX, "%.*s/%s", (int)(strrchr(self, '/') - self), self, places[i]);
    if (access(out, X_OK) == 0) return true;
  }
  return false;
}

bool mynah__video_is_supported(void) {
  char program[MYNAH_PATH_MAX];
  return find_program(program);
}

/* ---- the child, between fork and exec: only what a signal handler might do
 * ------------------------------------------------ */

/* in: the video, which becomes descriptor 4; out: where frames go, 3. */
static void run_child(const char *program, char *const *arguments, int in, int out) {
  static const struct {
    int what;
    rlim_t most;
  } limits[] = {{RLIMIT_AS, MAX_MEMORY}, {RLIMIT_CPU, MAX_SECONDS}, {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 64}};
  char *const nothing[] = {NULL};
  int null = open("/dev/null", O_RDWR), from = fcntl(in, F_DUPFD, 8), to = fcntl(out, F_DUPFD, 8);
  dup2(to, 3);
  dup2(from, 4);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  for (int fd = 5; fd < 1024; fd++) close(fd);
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    setrlimit(limits[i].what, &(struct rlimit){limits[i].most, limits[i].most});
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execve(program, arguments, nothing);
  _exit(127);
}

/* ---- the parent
 * ------------------------------------------------------------------------------------------------------ */

void mynah__video_close(mynah__video *v) {
  if (v->fd >= 0) close(v->fd);
  if (v->child > 0) {
    kill(v->child, SIGKILL);
    while (waitpid(v->child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  *v = (mynah__video){.fd = -1};
}

static mynah_status start(mynah__video *v, const char *path, int64_t frame, int width, int height) {
  int ends[2], video;
  char program[MYNAH_PATH_MAX], file[] = "file:/proc/self/fd/4", numbers[3][24]; /* never another protocol */
  mynah__video_close(v);
  if (!mynah_file_exists(path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: the video is missing", path);
  if (!find_program(program))
    return mynah_fail(MYNAH_UNSUPPORTED,
                      "%s: mynah-video, which decodes, is not there (it is built with libavformat-dev, libavcodec-dev, "
                      "libswscale-dev)",
                      path);
  MYNAH_TRY(mynah_copy_text(v->path, sizeof v->path, path));
  const int64_t values[3] = {width, height, frame};
  for (int i = 0; i < 3; i++) snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)values[i]);
  char *const arguments[] = {program, file, numbers[0], numbers[1], numbers[2], NULL};
  MYNAH_TRY(mynah_file_open(path, &video));
  if (pipe2(ends, O_CLOEXEC) != 0) {
    close(video);
    return mynah_fail_errno(path, "cannot make a pipe");
  }
  v->child = fork();
  if (v->child == 0) run_child(program, arguments, video, ends[1]);
  close(ends[1]);
  close(video);
  v->fd = ends[0];
  v->next = frame;
  v->width = width;
  v->height = height;
  return v->child > 0 ? MYNAH_OK : mynah_fail_errno(path, "cannot start a decoder");
}

static mynah_status read_frame(mynah__video *v, uint8_t *out) {
  size_t bytes = (size_t)v->width * (size_t)v->height * 3;
  for (size_t n = 0; n < bytes;) {
    ssize_t got = read(v->fd, out + n, bytes - n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return mynah_fail(MYNAH_CORRUPT, "%s: frame %lld cannot be decoded as %d x %d pixels, or is not there", v->path,
                        (long long)v->next, v->width, v->height);
    n += (size_t)got;
  }
  v->next++;
  return MYNAH_OK;
}

mynah_status mynah__video_read(mynah__video *v, const char *path, int64_t frame, int width, int height, uint8_t *out) {
  bool goes_on = v->fd >= 0 && v->child > 0 && strcmp(v->path, path) == 0 && v->width == width && v->height == height &&
                 v->next <= frame;
  if (!goes_on) MYNAH_TRY(start(v, path, frame, width, height));
  mynah_status status = MYNAH_OK;
  while (v->next <= frame && status == MYNAH_OK) status = read_frame(v, out);
  if (status != MYNAH_OK) mynah__video_close(v);
  return status;
}
