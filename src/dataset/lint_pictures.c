/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Cameras that stand still or see nothing. */
#include "lint.h"

#include <math.h>
#include <stdlib.h>

typedef struct stretch {
  int64_t first, n_found, best, best_end;
} stretch;

/* Ends the stretch before frame t and keeps the longest. */
static void end_stretch(stretch *s, int64_t t, int64_t least) {
  if (s->first >= 0 && t - s->first >= least) {
    s->n_found++;
    if (t - s->first > s->best_end - s->best) s->best = s->first, s->best_end = t;
  }
  s->first = -1;
}

/* Black or white all over: hardly any contrast, and at an end of the scale. */
static mynah_status is_blank(lint *l, int64_t i, const mynah_feature *f, int64_t t, bool *out) {
  mynah_image p;
  double sum = 0, squares = 0;
  MYNAH_TRY(mynah_dataset_read_image(l->d, i, f->name, t, 32, 32, &p));
  size_t n = (size_t)p.width * (size_t)p.height * 3;
  for (size_t k = 0; k < n; k++) {
    double v = p.data[k];
    sum += v;
    squares += v * v;
  }
  mynah_image_deinit(&p);
  double mean = sum / (double)n;
  *out = squares / (double)n - mean * mean < 4 && (mean < 10 || mean > 250);
  return MYNAH_OK;
}

/* Frames same … t-1 show one picture: frozen if that is long and something moves meanwhile. */
static void end_same(const lint *l, stretch *s, int64_t same, int64_t t, int64_t least) {
  if (t - same < least || !lint_moves(l, same, t - 1)) return;
  s->first = same;
  end_stretch(s, t, least);
}

static mynah_status look(lint *l, int64_t i, int feature, stretch *frozen, stretch *blank) {
  const mynah_feature *f = &l->d->features[feature];
  int64_t least = (int64_t)fmax(5, ceil(l->c->frozen_s * l->d->rate_hz)), stride = (int64_t)fmax(1, l->d->rate_hz / 2);
  int64_t same = 0; /* the first frame with this picture */
  uint32_t before = 0;
  size_t bytes_before = 0;
  double usual_bytes = 0;
  bool is_plain = false;
  for (int64_t t = 0; t < l->n; t++) {
    mynah_codec codec;
    size_t bytes;
    MYNAH_TRY(mynah__read_picture(l->d, &l->d->episodes[i], feature, t, &codec, &bytes));
    uint32_t crc = mynah_crc32c(0, l->d->picture, bytes);
    if (t == 0 || crc != before || bytes != bytes_before) {
      if (t > 0) end_same(l, frozen, same, t, least);
      same = t;
      /* A small file is a plain picture; of the others one is looked at now and then. */
      bool is_due = is_plain || t % stride == 0 || (double)bytes < 0.4 * usual_bytes;
      is_plain = false;
      if (is_due) MYNAH_TRY(is_blank(l, i, f, t, &is_plain));
    }
    if (!is_plain) end_stretch(blank, t, 2);
    else if (blank->first < 0) blank->first = t;
    usual_bytes += ((double)bytes - usual_bytes) / (double)(t + 1);
    before = crc;
    bytes_before = bytes;
  }
  end_same(l, frozen, same, l->n, least);
  end_stretch(blank, l->n, 2);
  return MYNAH_OK;
}

static mynah_status check(lint *l, int64_t i, int feature) {
  stretch frozen = {.first = -1}, blank = {.first = -1};
  const char *name = l->d->features[feature].name;
  MYNAH_TRY(look(l, i, feature, &frozen, &blank));
  if (blank.n_found > 0)
    MYNAH_TRY(lint_note(l, MYNAH_LINT_BLACK_CAMERA, MYNAH_SEVERITY_ERROR, i, blank.best, blank.best_end - 1,
                        "%s sees nothing but black or white (%lld stretches): trim or delete, look at the camera", name,
                        (long long)blank.n_found));
  if (frozen.n_found > 0 && !(blank.n_found > 0 && blank.best <= frozen.best && frozen.best_end <= blank.best_end))
    MYNAH_TRY(
        lint_note(l, MYNAH_LINT_FROZEN_CAMERA, MYNAH_SEVERITY_ERROR, i, frozen.best, frozen.best_end - 1,
                  "%s repeats one picture while the robot moves (%lld stretches): trim or delete, look at the camera",
                  name, (long long)frozen.n_found));
  return MYNAH_OK;
}

/* A small grey picture. Shape: out (SIDE * SIDE) */
#define SIDE 24
static mynah_status read_small(lint *l, int64_t i, const char *name, int64_t t, uint8_t *out) {
  mynah_image p;
  uint8_t colours[SIDE * SIDE * 3];
  mynah_image small = {colours, SIDE, SIDE};
  MYNAH_TRY(mynah_dataset_read_image(l->d, i, name, t, SIDE, SIDE, &p));
  mynah_image_resample(&p, 0, 0, p.width, p.height, &small);
  mynah_image_deinit(&p);
  for (int k = 0; k < SIDE * SIDE; k++)
    out[k] = (uint8_t)((colours[3 * k] + colours[3 * k + 1] + colours[3 * k + 2]) / 3);
  return MYNAH_OK;
}

mynah_status lint_sees_motion(lint *l, int64_t i, int64_t first, int64_t last, bool *out) {
  uint8_t before[SIDE * SIDE], now[SIDE * SIDE];
  for (int k = 0; k < l->d->n_features; k++) {
    if (!l->d->features[k].is_image) continue;
    MYNAH_TRY(read_small(l, i, l->d->features[k].name, first, before));
    for (int part = 1; part <= 3; part++) {
      int64_t n_changed = 0;
      MYNAH_TRY(read_small(l, i, l->d->features[k].name, first + (last - first) * part / 3, now));
      for (int p = 0; p < SIDE * SIDE; p++) n_changed += abs(now[p] - before[p]) > 12;
      if (n_changed > SIDE * SIDE / 100) return *out = true, MYNAH_OK;
    }
  }
  *out = false;
  return MYNAH_OK;
}

mynah_status lint_pictures(lint *l, int64_t i) {
  for (int k = 0; k < l->d->n_features; k++)
    if (l->d->features[k].is_image) MYNAH_TRY(check(l, i, k));
  return MYNAH_OK;
}
