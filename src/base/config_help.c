/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The help text of a configuration table, in aligned columns. */
#include <mynah/base.h>

#include "number_internal.h"

#include <math.h>
#include <string.h>

#define N_COLUMNS 3   /* key, default, range or choices; the help text follows */
#define MAX_COLUMN 34 /* a longer cell does not widen its column */
#define CELL_BYTES 400
#define HUGE_RANGE 1e15 /* a limit this far away says nothing */

/* "1..64 frames", "> = 0", "a|b|c", "text" */
static void range_text(const mynah_key *key, char *out, size_t size) {
  char low[MYNAH__NUMBER_BYTES], high[MYNAH__NUMBER_BYTES];
  mynah_str text = {.max = size - 1};
  const char *unit = key->unit ? key->unit : "";
  if (key->type == MYNAH_KEY_BOOL) mynah_str_printf(&text, "true|false");
  else if (key->type == MYNAH_KEY_CHOICE) mynah_str_printf(&text, "%s", unit);
  else if (key->type == MYNAH_KEY_STRING) mynah_str_printf(&text, "%s", unit[0] ? unit : "text");
  else {
    bool has_low = fabs(key->min) < HUGE_RANGE, has_high = fabs(key->max) < HUGE_RANGE;
    mynah__number_text(key->min, low);
    mynah__number_text(key->max, high);
    if (has_low && has_high) mynah_str_printf(&text, "%s..%s", low, high);
    else if (has_low) mynah_str_printf(&text, "%s..", low);
    else if (has_high) mynah_str_printf(&text, "..%s", high);
    else mynah_str_printf(&text, "%s", key->type == MYNAH_KEY_INT ? "whole" : "number");
    if (unit[0]) mynah_str_printf(&text, " %s", unit);
  }
  const char *made = mynah_str_text(&text);
  size_t n = strlen(made) < size ? strlen(made) : size - 1;
  memcpy(out, made, n);
  out[n] = 0;
  mynah_str_deinit(&text);
}

static void cell(const mynah_key *key, int column, char out[CELL_BYTES]) {
  const char *text = column == 0 ? key->name : key->default_text;
  if (column == 2) {
    range_text(key, out, CELL_BYTES);
    return;
  }
  if (column == 1 && key->type == MYNAH_KEY_BOOL)
    text = strcmp(text, "1") == 0 || strcmp(text, "true") == 0 ? "true" : "false";
  if (column == 1 && !text[0]) text = "-";
  size_t n = strlen(text) < CELL_BYTES ? strlen(text) : CELL_BYTES - 1;
  memcpy(out, text, n);
  out[n] = 0;
}

void mynah_config_help(const mynah_config_table *table, mynah_str *out) {
  char text[CELL_BYTES];
  size_t widths[N_COLUMNS] = {0};
  for (size_t i = 0; i < table->n_keys; i++) {
    for (int c = 0; c < N_COLUMNS; c++) {
      cell(&table->keys[i], c, text);
      size_t n = strlen(text);
      if (n > widths[c] && n <= MAX_COLUMN) widths[c] = n;
    }
  }
  for (size_t i = 0; i < table->n_keys; i++) {
    mynah_str_printf(out, " ");
    for (int c = 0; c < N_COLUMNS; c++) {
      cell(&table->keys[i], c, text);
      mynah_str_printf(out, " %-*s ", (int)widths[c], text);
    }
    mynah_str_printf(out, " %s\n", table->keys[i].help);
  }
}
