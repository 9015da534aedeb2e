/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the drift meter's run and its page share. */
#ifndef MYNAH_TOOL_DRIFT_H
#define MYNAH_TOOL_DRIFT_H

#include "tool.h"

#define DRIFT_POLICIES 2

/* results: what mynah_drift said of each policy. Writes the page to path (drift_report.c). */
typedef struct drift_page {
  const char *names[DRIFT_POLICIES]; /* "before", "after", or the policy file */
  const mynah_json *results[DRIFT_POLICIES];
  int n;
  const char *sim;
  const mynah_drift_config *config;
} drift_page;
mynah_status drift_page_write(const drift_page *page, const char *path);

#endif
