/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a device sees, in a terminal: two pixels a character, the upper one its colour, the lower its ground. */
#include "tool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define PERIOD_NS 125000000
#define NUMBERS_MAX 16

struct view {
  mynah_feature feature; /* the first picture, or else the first vector */
  int index;
  size_t bytes;
  uint8_t *newest, *drawn; /* (bytes) */
  bool has_newest;
  pthread_mutex_t lock;
  pthread_t thread;
  bool has_thread;
  atomic_bool is_ending;
};

void view_watch(void *context, const mynah_value *values) {
  view *v = context;
  if (values[v->index].bytes != v->bytes || pthread_mutex_trylock(&v->lock) != 0) return;
  memcpy(v->newest, values[v->index].data, v->bytes);
  v->has_newest = true;
  pthread_mutex_unlock(&v->lock);
}

static void draw_numbers(const view *v, mynah_str *text) {
  int64_t n = mynah_feature_size(&v->feature);
  mynah_str_printf(text, "%s", v->feature.name);
  for (int64_t i = 0; i < n && i < NUMBERS_MAX && v->feature.dtype == MYNAH_F32; i++)
    mynah_str_printf(text, " %8.3f", (double)((const float *)(const void *)v->drawn)[i]);
  mynah_str_printf(text, "\x1b[K");
}

/* As wide as the terminal and at most two thirds as high. */
static void draw_picture(const view *v, mynah_str *text) {
  struct winsize w = {0};
  if (ioctl(2, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0) w.ws_col = 80, w.ws_row = 24;
  int height = (int)v->feature.dims[0], width = (int)v->feature.dims[1];
  int columns = w.ws_col < width ? w.ws_col : width, rows = columns * height / width / 2, most = w.ws_row * 2 / 3;
  if (rows > most) rows = most, columns = rows * 2 * width / height;
  mynah_image in = {v->drawn, width, height}, small = {NULL, columns, 2 * rows};
  if (columns < 1 || rows < 1 || !(small.data = mynah_alloc((size_t)columns * (size_t)rows * 6))) return;
  mynah_image_resample(&in, 0, 0, width, height, &small);
  for (int y = 0; y < rows; y++) {
    for (int x = 0; x < columns; x++) {
      const uint8_t *a = small.data + 3 * ((size_t)(2 * y) * (size_t)columns + (size_t)x), *b = a + 3 * columns;
      mynah_str_printf(text, "\x1b[38;2;%d;%d;%d;48;2;%d;%d;%dm\u2580", a[0], a[1], a[2], b[0], b[1], b[2]);
    }
    mynah_str_printf(text, "\x1b[0m\x1b[K\n");
  }
  mynah_free(small.data);
}

static void *draw_all(void *context) {
  view *v = context;
  int64_t next = mynah_now_ns();
  while (!atomic_load(&v->is_ending)) {
    mynah_sleep_until_ns(next += PERIOD_NS);
    pthread_mutex_lock(&v->lock);
    bool is_new = v->has_newest;
    v->has_newest = false;
    if (is_new) memcpy(v->drawn, v->newest, v->bytes);
    pthread_mutex_unlock(&v->lock);
    if (!is_new) continue;
    mynah_str text = {0};
    mynah_str_printf(&text, "\x1b\x37\x1b[H"); /* the cursor comes back to where text is written */
    if (v->feature.is_image) draw_picture(v, &text);
    else draw_numbers(v, &text);
    mynah_str_printf(&text, "\x1b\x38");
    if (!text.is_failed) fwrite(text.data, 1, text.length, stderr);
    mynah_str_deinit(&text);
  }
  return NULL;
}

mynah_status view_open(const mynah_device *device, view **out) {
  view *v = mynah_calloc(1, sizeof *v);
  if (!v) return MYNAH_NO_MEMORY;
  for (int i = device->n_observations - 1; i >= 0; i--)
    if (device->features[i].is_image || !device->features[v->index].is_image) v->index = i;
  v->feature = device->features[v->index];
  v->bytes = mynah_feature_bytes(&v->feature);
  pthread_mutex_init(&v->lock, NULL);
  v->newest = mynah_calloc(1, v->bytes);
  v->drawn = mynah_calloc(1, v->bytes);
  if (v->newest && v->drawn) v->has_thread = pthread_create(&v->thread, NULL, draw_all, v) == 0;
  if (!v->has_thread) {
    view_close(v);
    return mynah_fail(MYNAH_NO_MEMORY, "view: its thread cannot be made");
  }
  fprintf(stderr, "\x1b[2J\x1b[%d;1H", 20); /* text goes below */
  *out = v;
  return MYNAH_OK;
}

void view_close(view *v) {
  if (!v) return;
  atomic_store(&v->is_ending, true);
  if (v->has_thread) pthread_join(v->thread, NULL);
  pthread_mutex_destroy(&v->lock);
  mynah_free(v->newest);
  mynah_free(v->drawn);
  mynah_free(v);
}
