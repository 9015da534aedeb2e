/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames of a video from the program mynah-video, run as a child that has no files but the video and a pipe, no
 * environment, little memory and limited time. */
#include <mynah/dataset.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MEMORY ((rlim_t)4 << 30)
#define MAX_SECONDS 3600

struct mynah_video {
  char path[MYNAH_PATH_MAX];
  int fd; /* where frames come from; -1: none */
  pid_t child;
  mynah_image size;
  double seconds;
  int64_t n_frames, time_ns; /* n_frames: read so far, what was skipped included */
};

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

bool mynah_video_is_supported(void) {
  char program[MYNAH_PATH_MAX];
  return find_program(program);
}

/* ---- the child, between fork and exec: only what a signal handler might do --------------------------------------------- */

static void run_child(const char *program, char *const *arguments, int out) {
  static const struct {
    int what;
    rlim_t most;
  } limits[] = {{RLIMIT_AS, MAX_MEMORY}, {RLIMIT_CPU, MAX_SECONDS}, {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 64}};
  char *const nothing[] = {NULL};
  int null = open("/dev/null", O_RDWR);
  if (out != 3) dup2(out, 3);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  for (int fd = 4; fd < 1024; fd++) close(fd);
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    setrlimit(limits[i].what, &(struct rlimit){limits[i].most, limits[i].most});
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execve(program, arguments, nothing);
  _exit(127);
}

/* ---- the parent --------------------------------------------------------------------------------------------------------- */

void mynah_video_close(mynah_video *v) {
  if (!v) return;
  if (v->fd >= 0) close(v->fd);
  if (v->child > 0) {
    kill(v->child, SIGKILL);
    while (waitpid(v->child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  mynah_free(v);
}

static mynah_status start(mynah_video *v, int64_t skip) {
  int ends[2];
  char program[MYNAH_PATH_MAX], file[MYNAH_PATH_MAX + 8], number[24];
  struct stat st;
  if (stat(v->path, &st) != 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: the video is missing", v->path);
  if (!S_ISREG(st.st_mode)) return mynah_fail(MYNAH_INVALID, "%s: is no file", v->path);
  if (!find_program(program))
    return mynah_fail(MYNAH_UNSUPPORTED,
                      "%s: mynah-video, which decodes, is not there (it is built with libavformat-dev, libavcodec-dev, "
                      "libswscale-dev)",
                      v->path);
  snprintf(file, sizeof file, "file:%s", v->path); /* never another protocol */
  snprintf(number, sizeof number, "%lld", (long long)skip);
  char *const arguments[] = {program, file, number, NULL};
  if (pipe2(ends, O_CLOEXEC) != 0) return mynah_fail_errno(v->path, "cannot make a pipe");
  v->child = fork();
  if (v->child == 0) run_child(program, arguments, ends[1]);
  close(ends[1]);
  v->fd = ends[0];
  v->n_frames = skip;
  return v->child > 0 ? MYNAH_OK : mynah_fail_errno(v->path, "cannot start a decoder");
}

/* CORRUPT when less came. */
static mynah_status receive(mynah_video *v, void *out, size_t bytes) {
  for (size_t n = 0; n < bytes;) {
    ssize_t got = read(v->fd, (uint8_t *)out + n, bytes - n);
    if (got < 0 && errno == EINTR && mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: interrupted", v->path);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return v->size.width ? mynah_fail(MYNAH_CORRUPT, "%s: damaged: frame %lld cannot be decoded", v->path, (long long)v->n_frames)
                           : mynah_fail(MYNAH_CORRUPT, "%s: is no video, or none that can be decoded here", v->path);
    n += (size_t)got;
  }
  return MYNAH_OK;
}

/* The decoder may have been taken over by the file: it is believed as little. */
static mynah_status read_head(mynah_video *v) {
  int64_t head[3];
  MYNAH_TRY(receive(v, head, sizeof head));
  for (int i = 0; i < 2; i++)
    if (head[i] < 1 || head[i] > MYNAH_IMAGE_MAX_SIDE)
      return mynah_fail(MYNAH_LIMIT, "%s: frames of %lld x %lld px", v->path, (long long)head[0], (long long)head[1]);
  v->size = (mynah_image){NULL, (int)head[0], (int)head[1]};
  v->seconds = head[2] > 0 ? (double)head[2] * 1e-9 : 0;
  return MYNAH_OK;
}

mynah_status mynah_video_open(const char *path, int64_t skip, mynah_video **out) {
  mynah_video *v = mynah_calloc(1, sizeof *v);
  if (!v) return MYNAH_NO_MEMORY;
  v->fd = -1;
  v->time_ns = -1;
  mynah_status status = mynah_copy_text(v->path, sizeof v->path, path);
  if (status == MYNAH_OK) status = start(v, skip);
  if (status == MYNAH_OK) status = read_head(v);
  if (status == MYNAH_OK) *out = v;
  else mynah_video_close(v);
  return status;
}

mynah_image mynah_video_size(const mynah_video *v) { return v->size; }
double mynah_video_seconds(const mynah_video *v) { return v->seconds; }
int64_t mynah_video_position(const mynah_video *v) { return v->n_frames; }

mynah_status mynah_video_read(mynah_video *v, const mynah_image *image, int64_t *time_ns, bool *is_over) {
  int64_t time;
  if (image->width != v->size.width || image->height != v->size.height)
    return mynah_fail(MYNAH_MISMATCH, "%s: frames are of %d x %d px, not %d x %d", v->path, v->size.width, v->size.height, image->width,
                      image->height);
  MYNAH_TRY(receive(v, &time, sizeof time));
  *is_over = time == -1;
  if (*is_over) return MYNAH_OK;
  MYNAH_TRY(receive(v, image->data, (size_t)image->width * (size_t)image->height * 3));
  if (time <= v->time_ns) time = v->time_ns + 1; /* frames that the file has at once, or back in time */
  if (time == INT64_MAX) return mynah_fail(MYNAH_CORRUPT, "%s: frame %lld has no time", v->path, (long long)v->n_frames);
  *time_ns = v->time_ns = time;
  v->n_frames++;
  return MYNAH_OK;
}
