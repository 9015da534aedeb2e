/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Actions from elsewhere, step by step: another dataset's, a text file's, or those a command answers with. */
#include <mynah/run.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536
#define ANSWER_NS (INT64_C(60) * 1000000000)
#define PATIENCE_NS 2000000000 /* for a command to end by itself */

struct mynah_script {
  char name[MYNAH_PATH_MAX];
  int64_t n_elements, episode, step; /* the step that is asked for next */
  mynah_dataset *dataset;            /* NULL: lines */
  int fd;                            /* lines come from here, observations go there if there is a child */
  pid_t child;                       /* 0: a file */
  char *line;                        /* (LINE_MAX_BYTES) */
  size_t n_line, n_lines;            /* bytes read ahead; lines taken */
  bool is_at_end;
};

/* ---- lines ----------------------------------------------------------------------------------------------------------- */

/* More bytes, or the end. A command that says nothing for long has failed. */
static mynah_status read_more(mynah_script *s) {
  int64_t end = mynah_now_ns() + ANSWER_NS;
  if (s->n_line == LINE_MAX_BYTES) return mynah_fail(MYNAH_LIMIT, "%s: line %zu: longer than %d bytes", s->name, s->n_lines + 1, LINE_MAX_BYTES);
  for (;;) {
    struct pollfd fd = {s->fd, POLLIN, 0};
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: interrupted", s->name);
    if (mynah_now_ns() > end) return mynah_fail(MYNAH_IO, "%s: no action within %d s", s->name, (int)(ANSWER_NS / 1000000000));
    if (poll(&fd, 1, 100) <= 0) continue;
    ssize_t n = read(s->fd, s->line + s->n_line, LINE_MAX_BYTES - s->n_line);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0 && errno != ECONNRESET) return mynah_fail_errno(s->name, "cannot be read");
    s->is_at_end = n <= 0;
    s->n_line += n > 0 ? (size_t)n : 0;
    return MYNAH_OK;
  }
}

/* The next line without its end, cut off from what was read ahead. False in *has_line: there is none. */
static mynah_status take_line(mynah_script *s, char *out, bool *has_line) {
  char *newline;
  while (!(newline = memchr(s->line, '\n', s->n_line)) && !s->is_at_end) MYNAH_TRY(read_more(s));
  size_t n = newline ? (size_t)(newline - s->line) : s->n_line, taken = newline ? n + 1 : n;
  *has_line = taken > 0;
  memcpy(out, s->line, n);
  out[n] = 0;
  s->n_line -= taken;
  memmove(s->line, s->line + taken, s->n_line);
  s->n_lines += *has_line;
  return MYNAH_OK;
}

static bool is_blank(const char *text) {
  while (*text && (isspace((unsigned char)*text) || *text == ',')) text++;
  return *text == 0;
}

/* As many numbers as the action has elements. */
static mynah_status parse_action(const mynah_script *s, const char *text, float *action) {
  for (int64_t i = 0; i < s->n_elements; i++) {
    char *end;
    action[i] = strtof(text, &end);
    if (end == text || !isfinite(action[i]))
      return mynah_fail(MYNAH_INVALID, "%s: line %zu: number %lld of %lld is missing", s->name, s->n_lines, (long long)i + 1, (long long)s->n_elements);
    text = end;
    while (isspace((unsigned char)*text)) text++;
    if (*text == ',') text++;
  }
  return is_blank(text) ? MYNAH_OK : mynah_fail(MYNAH_INVALID, "%s: line %zu: more than %lld numbers", s->name, s->n_lines, (long long)s->n_elements);
}

static mynah_status next_line(mynah_script *s, float *action, mynah_script_word *word) {
  char *text = mynah_alloc(LINE_MAX_BYTES + 1);
  bool has_line = false;
  if (!text) return MYNAH_NO_MEMORY;
  mynah_status status = take_line(s, text, &has_line);
  /* A first line of words says what the columns are. */
  if (status == MYNAH_OK && has_line && s->n_lines == 1 && isalpha((unsigned char)text[strspn(text, " \t\"")])) status = take_line(s, text, &has_line);
  if (status == MYNAH_OK) {
    *word = !has_line ? MYNAH_SCRIPT_ENDS : is_blank(text) ? MYNAH_SCRIPT_ENDS_EPISODE : MYNAH_SCRIPT_ACTS;
    if (*word == MYNAH_SCRIPT_ACTS) status = parse_action(s, text, action);
  }
  mynah_free(text);
  return status;
}

/* ---- a command ------------------------------------------------------------------------------------------------------- */

/* {"episode":0,"step":0,"observation.state":[…]}: the numbers that are seen; pictures are left out. */
static mynah_status tell(mynah_script *s, const mynah_device *d, const mynah_value *observed) {
  mynah_json *j = mynah_json_object();
  mynah_str text = {0};
  mynah_json_set(j, "episode", mynah_json_integer(s->episode));
  mynah_json_set(j, "step", mynah_json_integer(s->step));
  for (int i = 0; i < d->n_observations; i++) {
    const mynah_feature *f = &d->features[i];
    if (f->is_image || f->dtype != MYNAH_F32) continue;
    mynah_json *list = mynah_json_array();
    for (int64_t k = 0; k < mynah_feature_size(f); k++) mynah_json_append(list, mynah_json_number((double)((const float *)observed[i].data)[k]));
    mynah_json_set(j, f->name, list);
  }
  mynah_status status = mynah_json_dump(j, 0, &text);
  mynah_json_destroy(j);
  mynah_str_append(&text, "\n", 1);
  if (status == MYNAH_OK && text.is_failed) status = MYNAH_NO_MEMORY;
  /* A command that has ended is noticed when it is read from. */
  for (size_t at = 0; status == MYNAH_OK && at < text.length;) {
    ssize_t n = send(s->fd, text.data + at, text.length - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    at += (size_t)n;
  }
  mynah_str_deinit(&text);
  return status;
}

static mynah_status start_command(mynah_script *s, const char *command) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return mynah_fail_errno(command, "cannot be started");
  char *const arguments[] = {(char[]){"sh"}, (char[]){"-c"}, s->name + 1, NULL};
  posix_spawn_file_actions_t actions;
  s->fd = ends[0];
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  int code = posix_spawn(&s->child, "/bin/sh", &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (code == 0) return MYNAH_OK;
  s->child = 0;
  return mynah_fail(MYNAH_IO, "%s: cannot be started: %s", command, strerror(code));
}

/* Its input has ended; it is given some time, then ended. */
static void end_command(mynah_script *s) {
  int64_t end = mynah_now_ns() + PATIENCE_NS;
  while (waitpid(s->child, NULL, WNOHANG) == 0) {
    if (mynah_now_ns() > end) kill(s->child, SIGKILL);
    mynah_sleep_until_ns(mynah_now_ns() + 5000000);
  }
}

/* ---- public ---------------------------------------------------------------------------------------------------------- */

static mynah_status start(mynah_script *s, const char *source) {
  size_t n = strlen(source);
  MYNAH_TRY(mynah_copy_text(s->name, sizeof s->name, source));
  if (n > 6 && strcmp(source + n - 6, ".demos") == 0) {
    MYNAH_TRY(mynah_dataset_open(source, MYNAH_OPEN_READ, &s->dataset));
    const mynah_feature *f = mynah_dataset_find(s->dataset, "action");
    if (f && !f->is_image && mynah_feature_size(f) == s->n_elements) return MYNAH_OK;
    return mynah_fail(MYNAH_MISMATCH, "%s: its actions do not have the %lld elements of the device's", source, (long long)s->n_elements);
  }
  if (!(s->line = mynah_alloc(LINE_MAX_BYTES))) return MYNAH_NO_MEMORY;
  if (source[0] == '|') return start_command(s, source + 1);
  s->fd = open(source, O_RDONLY | O_CLOEXEC);
  return s->fd >= 0 ? MYNAH_OK : mynah_fail_errno(source, "cannot be opened");
}

mynah_status mynah_script_open(const char *source, int64_t n_elements, mynah_script **out) {
  mynah_script *s = mynah_calloc(1, sizeof *s);
  if (!s) return MYNAH_NO_MEMORY;
  s->fd = -1;
  s->n_elements = n_elements;
  mynah_status status = start(s, source);
  if (status != MYNAH_OK) {
    mynah_script_close(s);
    return status;
  }
  *out = s;
  return MYNAH_OK;
}

void mynah_script_close(mynah_script *s) {
  if (!s) return;
  if (s->fd >= 0) close(s->fd);
  if (s->child > 0) end_command(s);
  mynah_dataset_close(s->dataset);
  mynah_free(s->line);
  mynah_free(s);
}

mynah_status mynah_script_next(mynah_script *s, const mynah_device *d, const mynah_value *observed, float *action, mynah_script_word *word) {
  if (s->dataset) {
    int64_t n = mynah_dataset_n_episodes(s->dataset);
    bool is_there = s->episode < n && s->step < mynah_dataset_episode(s->dataset, s->episode)->n_frames;
    *word = is_there ? MYNAH_SCRIPT_ACTS : s->episode + 1 < n ? MYNAH_SCRIPT_ENDS_EPISODE : MYNAH_SCRIPT_ENDS;
    if (is_there) MYNAH_TRY(mynah_dataset_read(s->dataset, s->episode, "action", s->step, 1, action));
  } else {
    if (s->child > 0) MYNAH_TRY(tell(s, d, observed));
    MYNAH_TRY(next_line(s, action, word));
  }
  s->step++;
  return MYNAH_OK;
}

void mynah_script_begin_episode(mynah_script *s, int64_t episode) {
  s->episode = episode;
  s->step = 0;
}
