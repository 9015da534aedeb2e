/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fitting a picture into the network's input, exactly as ultralytics' LetterBox and OpenCV's bilinear resize do: a network
 * trained on their pictures should see their pictures. */
#include <mynah/perceive.h>

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

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
  int32_t first, step;
  int16_t head, tail;
} tap;

static tap tap_at(int o, int in, int out) {
  double scale = 1 / ((double)out / in); /* as OpenCV has it */
  float at = (float)((o + 0.5) * scale - 0.5);
  int first = (int)floorf(at);
  at -= (float)first;
  if (first < 0) first = 0, at = 0;
  if (first >= in - 1) first = in - 1, at = 0;
  int16_t tail = (int16_t)lrintf(at * ONE);
  return (tap){first, first < in - 1, (int16_t)lrintf((1 - at) * ONE), tail};
}

/* What resizing works with, for n columns of a picture. Each row is gathered into the pixels before and behind each column;
 * then all is sums of bytes with weights, without a jump. */
typedef struct columns {
  int n, n_safe; /* n_safe: columns at which four bytes may be read where three are meant */
  tap *taps;                /* (n) */
  int16_t *weights;         /* (3n,2) head and tail of each byte */
  int16_t *rows[2];         /* (3n) two lines of sums, a sixteenth of them: at most 255 * ONE / 16, which fits */
  uint8_t *before, *behind; /* (3n) and a byte more */
} columns;

size_t mynah_letterbox_scratch(const mynah_letterbox *l) {
  return (size_t)l->inner_width * (sizeof(tap) + 3 * (4 * sizeof(int16_t) + 2)) + 2;
}

static columns columns_in(const mynah_letterbox *l, void *scratch) {
  columns c = {.n = l->inner_width, .n_safe = l->inner_width, .taps = scratch};
  int n = c.n;
  c.weights = (int16_t *)(void *)(c.taps + n);
  c.rows[0] = c.weights + 6 * n;
  c.rows[1] = c.rows[0] + 3 * n;
  c.before = (uint8_t *)(c.rows[1] + 3 * n);
  c.behind = c.before + 3 * n + 1;
  for (int i = 0; i < n; i++) {
    tap t = c.taps[i] = tap_at(i, l->in_width, n);
    for (int k = 0; k < 3; k++) c.weights[6 * i + 2 * k] = t.head, c.weights[6 * i + 2 * k + 1] = t.tail;
  }
  while (c.n_safe > 0 && c.taps[c.n_safe - 1].first + c.taps[c.n_safe - 1].step >= l->in_width - 1) c.n_safe--;
  return c;
}

static void gather(const columns *c, const uint8_t *row) {
  for (int i = 0; i < c->n_safe; i++) {
    const uint8_t *from = row + 3 * c->taps[i].first;
    memcpy(c->before + 3 * i, from, 4);
    memcpy(c->behind + 3 * i, from + 3 * c->taps[i].step, 4);
  }
  for (int i = c->n_safe; i < c->n; i++) {
    const uint8_t *from = row + 3 * c->taps[i].first;
    memcpy(c->before + 3 * i, from, 3);
    memcpy(c->behind + 3 * i, from + 3 * c->taps[i].step, 3);
  }
}

/* out = (before * head + behind * tail) / 16. Shape: row (in_width,3), out (3n) */
static void across(const columns *c, const uint8_t *row, int16_t *restrict out) {
  const uint8_t *restrict before = c->before, *restrict behind = c->behind;
  const int16_t *restrict w = c->weights;
  int i = 0;
  gather(c, row);
#ifdef __SSE2__
  for (const __m128i zero = _mm_setzero_si128(); i + 8 <= 3 * c->n; i += 8) {
    __m128i a = _mm_loadl_epi64((const __m128i *)(const void *)(before + i)), b = _mm_loadl_epi64((const __m128i *)(const void *)(behind + i));
    __m128i pairs = _mm_unpacklo_epi8(a, b);
    __m128i low = _mm_madd_epi16(_mm_unpacklo_epi8(pairs, zero), _mm_loadu_si128((const __m128i *)(const void *)(w + 2 * i)));
    __m128i high = _mm_madd_epi16(_mm_unpackhi_epi8(pairs, zero), _mm_loadu_si128((const __m128i *)(const void *)(w + 2 * i + 8)));
    _mm_storeu_si128((__m128i *)(void *)(out + i), _mm_packs_epi32(_mm_srai_epi32(low, 4), _mm_srai_epi32(high, 4)));
  }
#endif
  for (; i < 3 * c->n; i++) out[i] = (int16_t)((before[i] * w[2 * i] + behind[i] * w[2 * i + 1]) >> 4);
}

/* out = the two rows weighted; products of 16 bits of which the upper half counts. Shape: all (n) */
static void down(const int16_t *restrict above, const int16_t *restrict below, tap t, int n, uint8_t *restrict out) {
  for (int i = 0; i < n; i++) {
    int16_t a = (int16_t)((t.head * above[i]) >> 16), b = (int16_t)((t.tail * below[i]) >> 16);
    out[i] = (uint8_t)((int16_t)(a + b + 2) >> 2);
  }
}

static void resize(const mynah_letterbox *l, const uint8_t *in, void *scratch, uint8_t *out) {
  columns c = columns_in(l, scratch);
  int holds[2] = {-1, -1}; /* which line of the picture */
  for (int y = 0; y < l->inner_height; y++, out += (size_t)l->width * 3) {
    tap t = tap_at(y, l->in_height, l->inner_height);
    int wanted[2] = {t.first, t.first + t.step};
    if (holds[1] == wanted[0]) { /* the lower line of before is the upper one now */
      int16_t *kept = c.rows[1];
      c.rows[1] = c.rows[0], c.rows[0] = kept;
      holds[1] = holds[0], holds[0] = wanted[0];
    }
    for (int k = 0; k < 2; k++)
      if (holds[k] != wanted[k]) {
        across(&c, in + (size_t)wanted[k] * (size_t)l->in_width * 3, c.rows[k]);
        holds[k] = wanted[k];
      }
    down(c.rows[0], c.rows[1], t, 3 * c.n, out);
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
