/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What people see while they wait: text on stderr, and a progress line with rate and time left. */
#include "tool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_PERIOD_NS 100000000
#define PLAIN_PERIOD_NS 5000000000

static struct {
  bool is_quiet, is_json, is_terminal, is_line_open;
  char what[32];
  int64_t start_ns, shown_ns;
  double first_done;
} line;

void tool_output_begin(const tool_args *args) {
  line.is_quiet = args->is_quiet;
  line.is_json = args->is_json;
  line.is_terminal = isatty(STDERR_FILENO) == 1;
}

void tool_be_silent(void) { line.is_quiet = true; }

void tool_progress_end(void) {
  if (line.is_line_open) fputc('\n', stderr);
  line.is_line_open = false;
  line.what[0] = 0;
}

void tool_say(const char *format, ...) {
  if (line.is_quiet) return;
  tool_progress_end();
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
}

void tool_announce(const char *format, ...) {
  if (!line.is_json) return;
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  fflush(stdout);
}

static void format_time(char *out, size_t size, double s) {
  if (s < 0 || s > 1e7) snprintf(out, size, "--");
  else if (s < 100) snprintf(out, size, "%.0f s", s);
  else snprintf(out, size, "%d min %02d s", (int)s / 60, (int)s % 60);
}

static void show(void *context, const char *what, double done, double total, const char *unit, const char *extra) {
  (void)context;
  if (line.is_quiet) return;
  int64_t now = mynah_now_ns();
  if (strcmp(line.what, what) != 0) {
    tool_progress_end();
    snprintf(line.what, sizeof line.what, "%s", what);
    line.start_ns = line.shown_ns = now;
    line.first_done = done;
    if (!line.is_terminal) return;
  }
  bool is_last = total > 0 && done >= total;
  if (!is_last && now - line.shown_ns < (line.is_terminal ? TERMINAL_PERIOD_NS : PLAIN_PERIOD_NS)) return;
  line.shown_ns = now;
  double seconds = (double)(now - line.start_ns) * 1e-9, rate = seconds > 0 ? (done - line.first_done) / seconds : 0;
  char left[32];
  format_time(left, sizeof left, rate > 0 ? (total - done) / rate : -1);
  fprintf(stderr, "%s%-9s %3.0f %%  %.0f/%.0f %s  %.4g/s  left %s%s%s%s", line.is_terminal ? "\r" : "", what,
          total > 0 ? 100 * done / total : 0, done, total, unit, rate, left, extra && extra[0] ? "  " : "",
          extra ? extra : "", line.is_terminal ? "\033[K" : "\n");
  line.is_line_open = line.is_terminal;
  if (is_last) tool_progress_end();
}

const mynah_progress *tool_progress(void) {
  static const mynah_progress progress = {show, NULL};
  return &progress;
}
