/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The HTML report: one self-contained file, no network.
 *
 * Threads: any. A report is data (JSON) put into a page that draws it; the page and its scripts are built in. */
#ifndef MYNAH_STUDIO_H
#define MYNAH_STUDIO_H

#include <mynah/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the page. The members of data that the page knows, each optional:
 *   title, subtitle, created (text)
 *   story       [{"heading", "text"}]                         what was done, in paragraphs
 *   settings    [{"heading", "rows": [[key, value, help]]}]
 *   pictures    [{"caption", "images": [data URL]}]           sample frames
 *   curves      [{"title", "x", "y", "log", "series": [{"name", "points": [[x, y]]}]}]
 *   histograms_heading  text; absent: "Actions"
 *   histograms  [{"title", "x", "edges": [], "series": [{"name", "counts": []}]}]
 *   tracks      [{"title", "left": [[x,y]], "right": [[x,y]], "paths": [{"name", "points": [[x,y]],
 *                 "interventions": [[x,y]]}]}]                from above, m
 *   strips      [{"title", "rate_hz", "frames": [data URL], "labels": [text]}]   playable
 *   results     {"columns": [text], "rows": [[text]], "note"} with intervals
 *   howto       [{"heading", "text", "code"}]                 the same with one's own data
 * Fails: as mynah_file_write and mynah_json_dump. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_report_write(const mynah_json *data, const char *path);
/* Appends "data:image/jpeg;base64,…" of an encoded picture. */
MYNAH_API void mynah_data_url(const char *mime, const void *bytes, size_t n, mynah_str *out);

#ifdef __cplusplus
}
#endif
#endif
