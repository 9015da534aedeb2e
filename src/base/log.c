/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where the library's words go: one log function, and progress of long work. */
#include <mynah/base.h>

#include <stdio.h>

static mynah_log_fn log_fn;
static void *log_context;

void mynah_log_set(mynah_log_fn fn, void *context) {
  log_fn = fn;
  log_context = context;
}

void mynah_log(mynah_log_level level, const char *format, ...) {
  if (!log_fn) return;
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  log_fn(log_context, level, text);
}

void mynah_progress_tell(const mynah_progress *p, const char *what, double done, double total, const char *unit,
                         const char *extra) {
  if (p && p->fn) p->fn(p->context, what, done, total, unit ? unit : "", extra ? extra : "");
}
