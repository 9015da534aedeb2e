/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Status names and texts, and each thread's last error text. */
#include <mynah/base.h>

#include "status_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERROR_BYTES 1024
static _Thread_local char error_text[ERROR_BYTES];
static _Thread_local mynah_status last_status;

static const char *const status_names[] = {
#define ROW(name, text) #name,
    MYNAH_STATUS_MAP(ROW)
#undef ROW
};
static const char *const status_texts[] = {
#define ROW(name, text) text,
    MYNAH_STATUS_MAP(ROW)
#undef ROW
};

static bool is_known(mynah_status status) { return (int)status >= 0 && status < MYNAH_STATUS_COUNT; }

const char *mynah_status_name(mynah_status status) { return is_known(status) ? status_names[status] : "UNKNOWN"; }
const char *mynah_status_text(mynah_status status) {
  return is_known(status) ? status_texts[status] : "unknown status";
}
const char *mynah_error(void) { return error_text; }

/* The new text is made beside the old one, because the arguments may point into it. */
mynah_status mynah_fail(mynah_status status, const char *format, ...) {
  char text[ERROR_BYTES];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  memcpy(error_text, text, sizeof text);
  last_status = status;
  return status;
}

void mynah__status_clear(void) { last_status = MYNAH_OK; }
mynah_status mynah__status_last(void) { return last_status; }

mynah_status mynah_fail_errno(const char *path, const char *what) {
  int code = errno;
  char buffer[128];
  const char *reason = strerror_r(code, buffer, sizeof buffer);
  mynah_status status = MYNAH_IO;
  if (code == ENOSPC || code == EDQUOT) status = MYNAH_NO_SPACE;
  else if (code == ENOENT || code == ENOTDIR) status = MYNAH_NOT_FOUND;
  else if (code == ENOMEM) status = MYNAH_NO_MEMORY;
  else if (code == EINTR) status = MYNAH_INTERRUPTED;
  else if (code == EBUSY || code == ETXTBSY) status = MYNAH_BUSY;
  return mynah_fail(status, "%s: %s: %s", path ? path : "?", what, reason);
}

mynah_status mynah_error_context(mynah_status status, const char *format, ...) {
  char text[ERROR_BYTES];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  size_t used = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
  const char *old = error_text[0] ? error_text : mynah_status_text(status);
  size_t room = sizeof text - used; /* a text too long for it is cut */
  if (room > 3) snprintf(text + used, room, ": %.*s", (int)room - 3, old);
  memcpy(error_text, text, sizeof text);
  return status;
}
