/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Image resampling: exact area averages when shrinking, bilinear when growing, each axis for itself.
 *
 * All weights are whole numbers, so that sums are exact and every machine gives the same bytes. Shrinking w to W: in
 * units of 1/W px, source pixel i covers [iW, (i+1)W) and output o covers [ow, (o+1)w); its weight is the overlap, the
 * sum of weights w. Growing: output o looks at o + 1/2 scaled to the source, less 1/2; in units of 1/2W px that is
 * (2o+1)w - W, the weights of the two pixels around it sum to 2W. */
#include <mynah/base.h>

#include <string.h>

#define STRIP_PX 512 /* source columns worked on at once: bounds the stack */
#define STRIP_OUT 256

/* Which source pixels make one output pixel along an axis: first and last have weights of their own. */
typedef struct taps {
  int first, n;
  uint32_t head, body, tail;
} taps;

static taps find_taps(int o, int in, int out) {
  taps t;
  if (in >= out) {
    int64_t begin = (int64_t)o * in, end = begin + in;
    int last = (int)((end - 1) / out);
    t.first = (int)(begin / out);
    t.n = last - t.first + 1;
    t.body = (uint32_t)out;
    t.head = t.n == 1 ? (uint32_t)in : (uint32_t)((int64_t)(t.first + 1) * out - begin);
    t.tail = (uint32_t)(end - (int64_t)last * out);
    return t;
  }
  int64_t at = (2 * (int64_t)o + 1) * in - out, unit = 2 * (int64_t)out;
  t.body = 0;
  if (at <= 0 || at >= (int64_t)(in - 1) * unit) {
    t = (taps){.first = at <= 0 ? 0 : in - 1, .n = 1, .head = (uint32_t)unit};
    return t;
  }
  t.first = (int)(at / unit);
  t.n = 2;
  t.tail = (uint32_t)(at % unit);
  t.head = (uint32_t)unit - t.tail;
  return t;
}

static uint32_t weight_at(const taps *t, int i) { return i == 0 ? t->head : i == t->n - 1 ? t->tail : t->body; }

/* sum = (or +=) weight * row. Shape: row (n), sum (n), n = 3 * pixels. */
static void add_row(const uint8_t *restrict row, uint32_t weight, int n, bool is_first, uint32_t *restrict sum) {
  if (is_first) {
    for (int i = 0; i < n; i++) sum[i] = weight * row[i];
  } else {
    for (int i = 0; i < n; i++) sum[i] += weight * row[i];
  }
}

/* Rounds half up. total < 2^53 and so is sum, so the quotient in double is off by less than one unit in the last place,
 * far less than the distance of any exact result to the next rounding border (1/total). */
static uint8_t divide(uint64_t sum, double per_total) { return (uint8_t)((double)sum * per_total + 0.5); }

typedef struct job {
  const uint8_t *in; /* top left of the part, rows of `stride` bytes */
  size_t stride;
  int w, h;
  mynah_image *out;
  double per_total; /* 1 / (sum of weights of one output pixel) */
} job;

/* Columns [o, o + n_out) of the output, which need source columns [first, first + n_in). */
static void resample_columns(const job *j, int o, int n_out, int first, int n_in) {
  uint32_t sum[STRIP_PX * 3];
  taps across[STRIP_OUT];
  for (int i = 0; i < n_out; i++) across[i] = find_taps(o + i, j->w, j->out->width);
  for (int y = 0; y < j->out->height; y++) {
    taps down = find_taps(y, j->h, j->out->height);
    const uint8_t *row = j->in + (size_t)down.first * j->stride + (size_t)first * 3;
    for (int i = 0; i < down.n; i++, row += j->stride) add_row(row, weight_at(&down, i), 3 * n_in, i == 0, sum);
    uint8_t *to = j->out->data + ((size_t)y * (size_t)j->out->width + (size_t)o) * 3;
    for (int i = 0; i < n_out; i++, to += 3) {
      const taps *t = &across[i];
      const uint32_t *from = sum + 3 * (t->first - first);
      uint64_t r = (uint64_t)from[0] * t->head, g = (uint64_t)from[1] * t->head, b = (uint64_t)from[2] * t->head;
      for (int k = 1; k < t->n; k++) {
        uint32_t weight = k == t->n - 1 ? t->tail : t->body;
        r += (uint64_t)from[3 * k] * weight;
        g += (uint64_t)from[3 * k + 1] * weight;
        b += (uint64_t)from[3 * k + 2] * weight;
      }
      to[0] = divide(r, j->per_total);
      to[1] = divide(g, j->per_total);
      to[2] = divide(b, j->per_total);
    }
  }
}

/* One output column that needs more source columns than fit: piece by piece. */
static void resample_wide_column(const job *j, int o) {
  uint32_t sum[STRIP_PX * 3];
  taps t = find_taps(o, j->w, j->out->width);
  for (int y = 0; y < j->out->height; y++) {
    taps down = find_taps(y, j->h, j->out->height);
    uint64_t total[3] = {0};
    for (int done = 0; done < t.n; done += STRIP_PX) {
      int n = t.n - done < STRIP_PX ? t.n - done : STRIP_PX;
      const uint8_t *row = j->in + (size_t)down.first * j->stride + (size_t)(t.first + done) * 3;
      for (int i = 0; i < down.n; i++, row += j->stride) add_row(row, weight_at(&down, i), 3 * n, i == 0, sum);
      for (int k = 0; k < n; k++)
        for (int c = 0; c < 3; c++) total[c] += (uint64_t)sum[3 * k + c] * weight_at(&t, done + k);
    }
    uint8_t *to = j->out->data + ((size_t)y * (size_t)j->out->width + (size_t)o) * 3;
    for (int c = 0; c < 3; c++) to[c] = divide(total[c], j->per_total);
  }
}

void mynah_image_resample(const mynah_image *in, int x, int y, int w, int h, mynah_image *out) {
  if (x < 0 || y < 0 || w < 1 || h < 1 || x > in->width - w || y > in->height - h || out->width < 1 || out->height < 1)
    return;
  job j = {.stride = (size_t)in->width * 3, .w = w, .h = h, .out = out};
  j.in = in->data + (size_t)y * j.stride + (size_t)x * 3;
  if (w == out->width && h == out->height) {
    for (int row = 0; row < h; row++)
      memcpy(out->data + (size_t)row * (size_t)w * 3, j.in + (size_t)row * j.stride, (size_t)w * 3);
    return;
  }
  double across = w >= out->width ? w : 2.0 * out->width, down = h >= out->height ? h : 2.0 * out->height;
  j.per_total = 1.0 / (across * down);
  for (int o = 0; o < out->width;) {
    taps t = find_taps(o, w, out->width);
    if (t.n > STRIP_PX) {
      resample_wide_column(&j, o++);
      continue;
    }
    int n_out = 1, end = t.first + t.n;
    while (n_out < STRIP_OUT && o + n_out < out->width) {
      taps next = find_taps(o + n_out, w, out->width);
      if (next.first + next.n > t.first + STRIP_PX) break;
      end = next.first + next.n;
      n_out++;
    }
    resample_columns(&j, o, n_out, t.first, end - t.first);
    o += n_out;
  }
}
