/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Puts a report's data and the built-in page together into one file. */
#include <mynah/studio.h>

#include <string.h>

#include "assets_embedded.h"

static const char *asset(const char *name) {
  for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
    if (strcmp(assets[i].name, name) == 0) return assets[i].text;
  return "";
}

/* A script element ends at the first "</": inside JSON text "<\/" means the same and does not. */
static void append_escaped(mynah_str *out, const char *text) {
  const char *from = text;
  for (const char *at = strstr(text, "</"); at; at = strstr(from, "</")) {
    mynah_str_append(out, from, (size_t)(at - from));
    mynah_str_append(out, "<\\/", 3);
    from = at + 2;
  }
  mynah_str_append(out, from, strlen(from));
}

/* The page with each {{name}} replaced by an asset, or by the data. */
static void append_page(mynah_str *out, const char *data) {
  const char *from = asset("report.html");
  for (const char *open = strstr(from, "{{"); open; open = strstr(from, "{{")) {
    const char *close = strstr(open, "}}");
    if (!close) break;
    mynah_str_append(out, from, (size_t)(open - from));
    char name[64] = {0};
    size_t n = (size_t)(close - open - 2);
    if (n < sizeof name) memcpy(name, open + 2, n);
    if (strcmp(name, "data") == 0) append_escaped(out, data);
    else mynah_str_append(out, asset(name), strlen(asset(name)));
    from = close + 2;
  }
  mynah_str_append(out, from, strlen(from));
}

mynah_status mynah_report_write(const mynah_json *data, const char *path) {
  mynah_str json = {0}, page = {.max = (size_t)256 << 20};
  json.max = page.max;
  mynah_status status = mynah_json_dump(data, 0, &json);
  if (status == MYNAH_OK) {
    append_page(&page, mynah_str_text(&json));
    status = page.is_failed ? mynah_fail(MYNAH_NO_MEMORY, "%s: the report does not fit into memory", path)
                            : mynah_file_write(path, mynah_str_text(&page), page.length);
  }
  mynah_str_deinit(&json);
  mynah_str_deinit(&page);
  return status;
}

void mynah_data_url(const char *mime, const void *bytes, size_t n, mynah_str *out) {
  mynah_str_printf(out, "data:%s;base64,", mime);
  mynah_base64_encode(bytes, n, out);
}
