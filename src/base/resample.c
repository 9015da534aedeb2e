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

/* Which source pixels make one output pixel along an axis: first and last have weights of their own (a single one is
 * the first; the tail then weighs nothing). */
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
    t.tail = t.n == 1 ? 0 : (uint32_t)(end - (int64_t)last * out);
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
static inline __attribute__((always_inline)) void add_row(const uint8_t *restrict row, uint32_t weight, int n,
                                                          bool is_first, uint32_t *restrict sum) {
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
  bool is_narrow;   /* 255 times that sum fits 31 bits */
} job;

/* One row of output columns from the weighted column sums, 32 bits wide: what real pictures need.
 * Shape: sum (n_in, 3) starting at source column `first`, across (n_out), to (n_out, 3). */
static inline __attribute__((always_inline)) void finish_row_narrow(const job *j, const uint32_t *sum,
                                                                    const taps *across, int n_out, int first,
                                                                    uint8_t *to) {
  int32_t total[STRIP_OUT * 3];
  for (int i = 0; i < n_out; i++) {
    const taps *t = &across[i];
    const uint32_t *from = sum + 3 * (t->first - first);
    const uint32_t *last = from + 3 * (t->n - 1);
    uint32_t r = from[0] * t->head + last[0] * t->tail;
    uint32_t g = from[1] * t->head + last[1] * t->tail;
    uint32_t b = from[2] * t->head + last[2] * t->tail;
    for (const uint32_t *between = from + 3; between < last; between += 3) {
      r += between[0] * t->body;
      g += between[1] * t->body;
      b += between[2] * t->body;
    }
    total[3 * i] = (int32_t)r;
    total[3 * i + 1] = (int32_t)g;
    total[3 * i + 2] = (int32_t)b;
  }
  for (int i = 0; i < 3 * n_out; i++) to[i] = (uint8_t)(int32_t)((double)total[i] * j->per_total + 0.5);
}

/* The same 64 bits wide, for very large reductions. */
static void finish_row_wide(const job *j, const uint32_t *sum, const taps *across, int n_out, int first, uint8_t *to) {
  for (int i = 0; i < n_out; i++, to += 3) {
    const taps *t = &across[i];
    const uint32_t *from = sum + 3 * (t->first - first);
    uint64_t total[3] = {0};
    for (int k = 0; k < t->n; k++)
      for (int c = 0; c < 3; c++) total[c] += (uint64_t)from[3 * k + c] * weight_at(t, k);
    for (int c = 0; c < 3; c++) to[c] = divide(total[c], j->per_total);
  }
}

/* Columns [o, o + n_out) of the output, which need source columns [first, first + n_in). */
static inline __attribute__((always_inline)) void columns(const job *j, int o, int n_out, int first, int n_in) {
  uint32_t sum[STRIP_PX * 3];
  taps across[STRIP_OUT];
  for (int i = 0; i < n_out; i++) across[i] = find_taps(o + i, j->w, j->out->width);
  for (int y = 0; y < j->out->height; y++) {
    taps down = find_taps(y, j->h, j->out->height);
    const uint8_t *row = j->in + (size_t)down.first * j->stride + (size_t)first * 3;
    for (int i = 0; i < down.n; i++, row += j->stride) add_row(row, weight_at(&down, i), 3 * n_in, i == 0, sum);
    uint8_t *to = j->out->data + ((size_t)y * (size_t)j->out->width + (size_t)o) * 3;
    if (j->is_narrow) finish_row_narrow(j, sum, across, n_out, first, to);
    else finish_row_wide(j, sum, across, n_out, first, to);
  }
}

/* Compiled for wider vectors too: whole numbers and exactly rounded steps give the same bytes. */
static void columns_plain(const job *j, int o, int n_out, int first, int n_in) { columns(j, o, n_out, first, n_in); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void columns_avx2(const job *j, int o, int n_out, int first, int n_in) {
  columns(j, o, n_out, first, n_in);
}

static void resample_columns(const job *j, int o, int n_out, int first, int n_in) {
  if (__builtin_cpu_supports("avx2")) columns_avx2(j, o, n_out, first, n_in);
  else columns_plain(j, o, n_out, first, n_in);
}
#else
static void resample_columns(const job *j, int o, int n_out, int first, int n_in) {
  columns_plain(j, o, n_out, first, n_in);
}
#endif

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
  j.is_narrow = 255.0 * across * down < 0x1p31;
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
