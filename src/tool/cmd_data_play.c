/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah data play: an episode looked at, in the terminal, as a contact sheet (PNG) or as a page (HTML). */
#include "data.h"

#include <mynah/studio.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLAY_KEYS(K)                                                                                                  \
  K(INT, episode, "episode", 0, 0, 9.0e15, "", "its id; 0: the first, and in a contact sheet all")                    \
  K(STRING, camera, "camera", "", 0, 0, "", "the picture feature; empty: the first there is")                         \
  K(STRING, out, "out", "", 0, 0, "", "NAME.png: contact sheet, NAME.html: page that plays; empty: the terminal")     \
  K(INT, frames, "frames", 0, 0, 2000, "frames", "shown of an episode, evenly spaced; 0: 8 a row of a sheet, else 240") \
  K(INT, width, "width", 160, 16, 1024, "px", "of a picture in a sheet or page; characters are half of it at most")

typedef struct play_config {
#define PLAY_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  PLAY_KEYS(PLAY_FIELD)
} play_config;
#define PLAY_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(play_config, type, field, name, value, low, high, unit, help)
static const mynah_key play_keys[] = {PLAY_KEYS(PLAY_ROW)};
static const mynah_config_table play_table = {"data play", play_keys, sizeof play_keys / sizeof *play_keys, sizeof(play_config)};

#define SHEET_ROWS 40
#define CURVES_MAX 64 /* elements drawn in all */

int data_play_tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &play_table;
  return 1;
}

/* What is to be shown. */
typedef struct play {
  play_config c;
  mynah_dataset *d;
  const mynah_feature *camera; /* NULL: none */
  int64_t index;               /* of the episode */
} play;

static mynah_status choose(play *p) {
  int64_t n = mynah_dataset_n_episodes(p->d);
  if (n == 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: has no episode", mynah_dataset_path(p->d));
  for (p->index = 0; p->c.episode > 0 && p->index < n && mynah_dataset_episode(p->d, p->index)->id != p->c.episode;) p->index++;
  if (p->index == n)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: has no episode %lld", mynah_dataset_path(p->d), (long long)p->c.episode);
  for (int i = 0; i < mynah_dataset_n_features(p->d); i++) {
    const mynah_feature *f = mynah_dataset_feature(p->d, i);
    if (f->is_image && !p->camera && (!p->c.camera[0] || strcmp(f->name, p->c.camera) == 0)) p->camera = f;
  }
  if (p->c.camera[0] && !p->camera)
    return mynah_fail(MYNAH_NOT_FOUND, "%s: has no picture feature '%s'", mynah_dataset_path(p->d), p->c.camera);
  return MYNAH_OK;
}

/* Frame of place k of n places. */
static int64_t frame_of(const mynah_episode *e, int64_t k, int64_t n) { return n > 1 ? k * (e->n_frames - 1) / (n - 1) : 0; }

/* One picture, shrunk to out's size. */
static mynah_status take(const play *p, int64_t episode, int64_t t, mynah_image *out) {
  mynah_image whole;
  MYNAH_TRY(mynah_dataset_read_image(p->d, episode, p->camera->name, t, out->width, out->height, &whole));
  mynah_image_resample(&whole, 0, 0, whole.width, whole.height, out);
  mynah_image_deinit(&whole);
  return MYNAH_OK;
}

static int height_for(const play *p, int width) {
  int h = (int)llround((double)width * (double)p->camera->dims[0] / (double)p->camera->dims[1]);
  return h < 1 ? 1 : h > 2048 ? 2048 : h;
}

/* ---- contact sheet --------------------------------------------------------------------------------------------------- */

/* A row an episode. */
static mynah_status fill_sheet(const play *p, int64_t first, int64_t n_rows, int64_t n_columns, mynah_image *sheet) {
  int w = sheet->width / (int)n_columns, h = sheet->height / (int)n_rows;
  mynah_image small = {.data = mynah_alloc((size_t)w * (size_t)h * 3), .width = w, .height = h};
  mynah_status status = small.data ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (int64_t k = 0; status == MYNAH_OK && k < n_rows * n_columns; k++) {
    int64_t row = k / n_columns, column = k % n_columns;
    status = take(p, first + row, frame_of(mynah_dataset_episode(p->d, first + row), column, n_columns), &small);
    for (int y = 0; status == MYNAH_OK && y < h; y++)
      memcpy(sheet->data + (((size_t)row * (size_t)h + (size_t)y) * (size_t)sheet->width + (size_t)(column * w)) * 3,
             small.data + (size_t)y * (size_t)w * 3, (size_t)w * 3);
    mynah_progress_tell(tool_progress(), "sheet", (double)(k + 1), (double)(n_rows * n_columns), "pictures", "");
  }
  mynah_free(small.data);
  return status;
}

static mynah_status write_sheet(const play *p) {
  int64_t n = mynah_dataset_n_episodes(p->d), n_columns = p->c.frames > 0 ? p->c.frames : 8;
  int64_t n_rows = p->c.episode > 0 ? 1 : n < SHEET_ROWS ? n : SHEET_ROWS;
  if (!p->camera) return mynah_fail(MYNAH_UNSUPPORTED, "%s: has no pictures for a contact sheet", mynah_dataset_path(p->d));
  int width = (int)p->c.width, height = height_for(p, width);
  if (n_columns * width > MYNAH_IMAGE_MAX_SIDE || n_rows * height > MYNAH_IMAGE_MAX_SIDE)
    return mynah_fail(MYNAH_LIMIT, "a sheet of %lld x %lld pixels: take less width or frames", (long long)(n_columns * width),
                      (long long)(n_rows * height));
  mynah_image sheet = {.width = (int)n_columns * width, .height = (int)n_rows * height};
  sheet.data = mynah_alloc((size_t)sheet.width * (size_t)sheet.height * 3);
  if (!sheet.data) return MYNAH_NO_MEMORY;
  mynah_str png = {0};
  mynah_status status = fill_sheet(p, p->index, n_rows, n_columns, &sheet);
  if (status == MYNAH_OK) status = mynah_png_encode(&sheet, &png);
  if (status == MYNAH_OK) status = mynah_file_write(p->c.out, png.data, png.length);
  mynah_str_deinit(&png);
  mynah_free(sheet.data);
  if (status == MYNAH_OK && n_rows < n && p->c.episode == 0) tool_say("the first %lld of %lld episodes", (long long)n_rows, (long long)n);
  return status;
}

/* ---- page ------------------------------------------------------------------------------------------------------------ */

static mynah_status add_strip(const play *p, mynah_json *page) {
  const mynah_episode *e = mynah_dataset_episode(p->d, p->index);
  int64_t most = p->c.frames > 0 ? p->c.frames : 240, n = e->n_frames < most ? e->n_frames : most;
  int width = (int)p->c.width * 2;
  mynah_image small = {.width = width, .height = height_for(p, width)};
  small.data = mynah_alloc((size_t)small.width * (size_t)small.height * 3);
  if (!small.data) return MYNAH_NO_MEMORY;
  mynah_json *frames = mynah_json_array(), *labels = mynah_json_array(), *strip = mynah_json_object(), *strips = mynah_json_array();
  mynah_status status = MYNAH_OK;
  for (int64_t k = 0; k < n && status == MYNAH_OK; k++) {
    mynah_str jpeg = {0}, url = {0};
    char label[32];
    int64_t t = frame_of(e, k, n);
    status = take(p, p->index, t, &small);
    if (status == MYNAH_OK) status = mynah_jpeg_encode(&small, 85, &jpeg);
    if (status == MYNAH_OK) mynah_data_url("image/jpeg", jpeg.data, jpeg.length, &url);
    snprintf(label, sizeof label, "frame %lld", (long long)t);
    mynah_json_append(frames, mynah_json_string(mynah_str_text(&url)));
    mynah_json_append(labels, mynah_json_string(label));
    mynah_str_deinit(&jpeg);
    mynah_str_deinit(&url);
  }
  mynah_free(small.data);
  mynah_json_set(strip, "title", mynah_json_string(p->camera->name));
  mynah_json_set(strip, "rate_hz", mynah_json_number(mynah_dataset_rate_hz(p->d) * (double)n / (double)e->n_frames));
  mynah_json_set(strip, "frames", frames);
  mynah_json_set(strip, "labels", labels);
  mynah_json_append(strips, strip);
  mynah_json_set(page, "strips", strips);
  return status;
}

/* A name for element k: one of the feature's, or its number. */
static void name_element(const mynah_feature *f, int64_t k, char *out, size_t size) {
  char names[sizeof f->names], *rest = names, *name = NULL;
  snprintf(names, sizeof names, "%s", f->names);
  for (int64_t i = 0; i <= k && f->names[0]; i++) name = strsep(&rest, ",");
  if (name) snprintf(out, size, "%s", name);
  else snprintf(out, size, "%lld", (long long)k);
}

static mynah_status add_curve(const play *p, const mynah_feature *f, mynah_json *curves) {
  const mynah_episode *e = mynah_dataset_episode(p->d, p->index);
  int64_t size = mynah_feature_size(f), n = e->n_frames;
  float *rows = mynah_calloc((size_t)(n * size), sizeof *rows);
  if (!rows) return MYNAH_NO_MEMORY;
  mynah_status status = mynah_dataset_read(p->d, p->index, f->name, 0, n, rows);
  mynah_json *curve = mynah_json_object(), *all = mynah_json_array();
  for (int64_t k = 0; k < size && k < CURVES_MAX && status == MYNAH_OK; k++) {
    mynah_json *series = mynah_json_object(), *points = mynah_json_array();
    char name[64];
    name_element(f, k, name, sizeof name);
    for (int64_t t = 0; t < n; t++) {
      double point[2] = {(double)t / mynah_dataset_rate_hz(p->d), (double)rows[t * size + k]};
      mynah_json_append(points, mynah_json_numbers(point, 2));
    }
    mynah_json_set(series, "name", mynah_json_string(name));
    mynah_json_set(series, "points", points);
    mynah_json_append(all, series);
  }
  mynah_free(rows);
  mynah_json_set(curve, "title", mynah_json_string(f->name));
  mynah_json_set(curve, "x", mynah_json_string("time, s"));
  mynah_json_set(curve, "y", mynah_json_string(f->unit));
  mynah_json_set(curve, "series", all);
  mynah_json_append(curves, curve);
  return status;
}

static mynah_status write_page(const play *p) {
  const mynah_episode *e = mynah_dataset_episode(p->d, p->index);
  char title[200], about[400];
  mynah_json *page = mynah_json_object(), *curves = mynah_json_array();
  mynah_status status = p->camera ? add_strip(p, page) : MYNAH_OK;
  for (int i = 0; i < mynah_dataset_n_features(p->d) && status == MYNAH_OK; i++) {
    const mynah_feature *f = mynah_dataset_feature(p->d, i);
    if (!f->is_image) status = add_curve(p, f, curves);
  }
  snprintf(title, sizeof title, "Episode %lld", (long long)e->id);
  snprintf(about, sizeof about, "%s · %lld frames, %.1f s · %s · %s", mynah_dataset_path(p->d), (long long)e->n_frames,
           (double)e->n_frames / mynah_dataset_rate_hz(p->d), e->task, e->expert);
  mynah_json_set(page, "title", mynah_json_string(title));
  mynah_json_set(page, "subtitle", mynah_json_string(about));
  mynah_json_set(page, "curves", curves);
  if (status == MYNAH_OK) status = mynah_report_write(page, p->c.out);
  mynah_json_destroy(page);
  return status;
}

/* ---- terminal -------------------------------------------------------------------------------------------------------- */

/* One line an element: how it goes over the episode, in eight heights. */
static mynah_status say_lines(const play *p, const mynah_feature *f) {
  static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const mynah_episode *e = mynah_dataset_episode(p->d, p->index);
  int64_t size = mynah_feature_size(f), n = e->n_frames < 64 ? e->n_frames : 64;
  float *rows = mynah_calloc((size_t)(e->n_frames * size), sizeof *rows);
  if (!rows) return MYNAH_NO_MEMORY;
  mynah_status status = mynah_dataset_read(p->d, p->index, f->name, 0, e->n_frames, rows);
  tool_say("%s", f->name);
  for (int64_t k = 0; k < size && k < 16 && status == MYNAH_OK; k++) {
    double low = INFINITY, high = -INFINITY;
    char name[64], line[64 * 4] = "";
    size_t at = 0;
    for (int64_t t = 0; t < e->n_frames; t++) {
      low = fmin(low, (double)rows[t * size + k]);
      high = fmax(high, (double)rows[t * size + k]);
    }
    for (int64_t i = 0; i < n; i++) {
      double x = high > low ? ((double)rows[frame_of(e, i, n) * size + k] - low) / (high - low) : 0;
      at += (size_t)snprintf(line + at, sizeof line - at, "%s", bars[(int)fmin(7, 8 * x)]);
    }
    name_element(f, k, name, sizeof name);
    tool_say("  %-12.12s %10.4g … %-10.4g %s", name, low, high, line);
  }
  mynah_free(rows);
  return status;
}

/* Two pixels a character: the upper one its colour, the lower one its background. */
static void show(const mynah_image *m) {
  for (int y = 0; y + 1 < m->height; y += 2) {
    for (int x = 0; x < m->width; x++) {
      const uint8_t *a = m->data + ((size_t)y * (size_t)m->width + (size_t)x) * 3, *b = a + (size_t)m->width * 3;
      fprintf(stderr, "\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm▀", a[0], a[1], a[2], b[0], b[1], b[2]);
    }
    fputs("\033[0m\n", stderr);
  }
}

static mynah_status show_film(const play *p) {
  const mynah_episode *e = mynah_dataset_episode(p->d, p->index);
  int width = p->c.width / 2 < 80 ? (int)p->c.width / 2 : 80;
  mynah_image small = {.width = width, .height = height_for(p, width)};
  small.data = mynah_alloc((size_t)small.width * (size_t)small.height * 3);
  if (!small.data) return MYNAH_NO_MEMORY;
  mynah_status status = MYNAH_OK;
  for (int64_t t = 0; t < e->n_frames && status == MYNAH_OK && !mynah_is_interrupted(); t++) {
    if (t > 0) fprintf(stderr, "\033[%dA", small.height / 2);
    status = take(p, p->index, t, &small);
    if (status == MYNAH_OK) show(&small);
    usleep((useconds_t)(1e6 / mynah_dataset_rate_hz(p->d)));
  }
  mynah_free(small.data);
  return status;
}

static bool ends_with(const char *text, const char *tail) {
  size_t n = strlen(text), m = strlen(tail);
  return n >= m && strcmp(text + n - m, tail) == 0;
}

mynah_status data_play(const tool_args *args, mynah_dataset *d, mynah_json *result) {
  play p = {.d = d};
  mynah_config_default(&play_table, &p.c);
  MYNAH_TRY(tool_apply(args, &(mynah_config_bind){&play_table, &p.c}, 1));
  MYNAH_TRY(choose(&p));
  const mynah_episode *e = mynah_dataset_episode(d, p.index);
  mynah_json_set(result, "episode", mynah_json_integer(e->id));
  mynah_json_set(result, "frames", mynah_json_integer(e->n_frames));
  if (p.c.out[0]) {
    bool is_sheet = ends_with(p.c.out, ".png");
    if (!is_sheet && !ends_with(p.c.out, ".html")) return tool_usage_error("out=%s: a sheet is NAME.png, a page NAME.html", p.c.out);
    MYNAH_TRY(is_sheet ? write_sheet(&p) : write_page(&p));
    mynah_json_set(result, "out", mynah_json_string(p.c.out));
    tool_say("written: %s", p.c.out);
    return MYNAH_OK;
  }
  tool_say("episode %lld: %lld frames, %.1f s, %s", (long long)e->id, (long long)e->n_frames,
           (double)e->n_frames / mynah_dataset_rate_hz(d), e->task);
  if (p.camera && isatty(STDERR_FILENO) && isatty(STDOUT_FILENO)) MYNAH_TRY(show_film(&p));
  for (int i = 0; i < mynah_dataset_n_features(d); i++)
    if (!mynah_dataset_feature(d, i)->is_image) MYNAH_TRY(say_lines(&p, mynah_dataset_feature(d, i)));
  return MYNAH_OK;
}
