/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fitting a picture into the network's input, exactly as ultralytics' LetterBox and OpenCV's bilinear resize do: a network
 * trained on their pictures should see their pictures. */
#include <mynah/perceive.h>

#include <math.h>
#include <string.h>

#define GREY 114
#define STRIDE 32
#define ONE 2048 /* OpenCV's INTER_RESIZE_COEF_SCALE */

static int at_least_one(double v) { return v < 1 ? 1 : (int)v; }

mynah_letterbox mynah_letterbox_plan(int in_width, int in_height, int width, int height, bool is_rect) {
  double r = fmin((double)height / in_height, (double)width / in_width);
  mynah_letterbox l = {.in_width = in_width, .in_height = in_height};
  l.inner_width = at_least_one(nearbyint(in_width * r));
  l.inner_height = at_least_one(nearbyint(in_height * r));
  int across = width - l.inner_width, down = height - l.inner_height;
  if (is_rect) across %= STRIDE, down %= STRIDE;
  l.left = (int)nearbyint(across / 2.0 - 0.1);
  l.top = (int)nearbyint(down / 2.0 - 0.1);
  l.width = l.inner_width + l.left + (int)nearbyint(across / 2.0 + 0.1);
  l.height = l.inner_height + l.top + (int)nearbyint(down / 2.0 + 0.1);
  return l;
}

/* ---- bilinear ------------------------------------------------------------------------------------------------------ */

/* One output position along an axis: the pixel before it, the step to the one behind it (0 at the end), two weights of
 * together ONE. */
typedef struct tap {
  int32_t first, step, head, tail;
} tap;

static tap tap_at(int o, int in, int out) {
  double scale = 1 / ((double)out / in); /* as OpenCV has it */
  float at = (float)((o + 0.5) * scale - 0.5);
  int first = (int)floorf(at);
  at -= (float)first;
  if (first < 0) first = 0, at = 0;
  if (first >= in - 1) first = in - 1, at = 0;
  int32_t tail = (int32_t)lrintf(at * ONE);
  return (tap){first, first < in - 1, (int32_t)lrintf((1 - at) * ONE), tail};
}

/* Taps of the columns, then two rows of sums (inner_width, 3). */
size_t mynah_letterbox_scratch(const mynah_letterbox *l) {
  return (size_t)l->inner_width * (sizeof(tap) + 2 * 3 * sizeof(int32_t));
}

/* sum = row at the columns' taps. Shape: row (in_width,3), sum (n,3) */
static void across(const uint8_t *row, const tap *taps, int n, int32_t *sum) {
  for (int i = 0; i < n; i++, sum += 3) {
    const uint8_t *from = row + 3 * taps[i].first, *to = from + 3 * taps[i].step;
    for (int c = 0; c < 3; c++) sum[c] = from[c] * taps[i].head + to[c] * taps[i].tail;
  }
}

/* out = the two rows weighted. Shape: all (n) */
static void down(const int32_t *restrict above, const int32_t *restrict below, tap t, int n, uint8_t *restrict out) {
  for (int i = 0; i < n; i++)
    out[i] = (uint8_t)((((t.head * (above[i] >> 4)) >> 16) + ((t.tail * (below[i] >> 4)) >> 16) + 2) >> 2);
}

static void resize(const mynah_letterbox *l, const uint8_t *in, void *scratch, uint8_t *out) {
  int n = l->inner_width;
  tap *taps = scratch;
  int32_t *rows[2] = {(int32_t *)(void *)(taps + n), (int32_t *)(void *)(taps + n) + 3 * n};
  int holds[2] = {-1, -1}; /* which line of the picture */
  for (int i = 0; i < n; i++) taps[i] = tap_at(i, l->in_width, n);
  for (int y = 0; y < l->inner_height; y++, out += (size_t)l->width * 3) {
    tap t = tap_at(y, l->in_height, l->inner_height);
    int wanted[2] = {t.first, t.first + t.step};
    if (holds[1] == wanted[0]) { /* the lower line of before is the upper one now */
      int32_t *kept = rows[1];
      rows[1] = rows[0], rows[0] = kept;
      holds[1] = holds[0], holds[0] = wanted[0];
    }
    for (int k = 0; k < 2; k++)
      if (holds[k] != wanted[k]) {
        across(in + (size_t)wanted[k] * (size_t)l->in_width * 3, taps, n, rows[k]);
        holds[k] = wanted[k];
      }
    down(rows[0], rows[1], t, 3 * n, out);
  }
}

void mynah_letterbox_run(const mynah_letterbox *l, const mynah_image *image, void *scratch, uint8_t *out) {
  size_t row = (size_t)l->width * 3, inner = (size_t)l->inner_width * 3, left = (size_t)l->left * 3;
  memset(out, GREY, (size_t)l->top * row);
  uint8_t *first = out + (size_t)l->top * row;
  for (int y = 0; y < l->inner_height; y++) {
    uint8_t *line = first + (size_t)y * row;
    memset(line, GREY, left);
    memset(line + left + inner, GREY, row - left - inner);
    if (l->inner_width == l->in_width && l->inner_height == l->in_height)
      memcpy(line + left, image->data + (size_t)y * inner, inner);
  }
  memset(first + (size_t)l->inner_height * row, GREY, (size_t)(l->height - l->top - l->inner_height) * row);
  if (l->inner_width != l->in_width || l->inner_height != l->in_height) resize(l, image->data, scratch, first + left);
}

/* ---- back ---------------------------------------------------------------------------------------------------------- */

static float inside(double v, int size) { return (float)(v < 0 ? 0 : v > size ? size : v); }

/* As ultralytics' scale_boxes: the gain is worked out anew from the sizes. */
void mynah_letterbox_undo(const mynah_letterbox *l, mynah_box *box) {
  double gain = fmin((double)l->height / l->in_height, (double)l->width / l->in_width);
  double x = nearbyint((l->width - nearbyint(l->in_width * gain)) / 2 - 0.1);
  double y = nearbyint((l->height - nearbyint(l->in_height * gain)) / 2 - 0.1);
  box->x1 = inside(((double)box->x1 - x) / gain, l->in_width);
  box->x2 = inside(((double)box->x2 - x) / gain, l->in_width);
  box->y1 = inside(((double)box->y1 - y) / gain, l->in_height);
  box->y2 = inside(((double)box->y2 - y) / gain, l->in_height);
}
