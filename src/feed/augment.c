/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random changes of pictures, in whole numbers and without branches on pixels. */
#include "feed_internal.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

void mynah__augmentation_draw(const mynah_frames *f, const mynah_feed_config *c, mynah_rng *rng, mynah__augmentation *a) {
  /* Every number is drawn whether it is used or not, so that one key does not change what another one draws. */
  double u[14];
  for (int i = 0; i < 14; i++) u[i] = mynah_rng_uniform(rng);
  *a = (mynah__augmentation){
      .is_mirrored = f->can_mirror && u[0] < c->mirror,
      .view = f->has_sides && u[1] < c->side_share ? 1 + (u[2] < 0.5) : 0,
      .brightness = c->brightness * (2 * u[3] - 1),
      .contrast = 1 + c->contrast * (2 * u[4] - 1),
      .saturation = 1 + c->saturation * (2 * u[5] - 1),
      .shift_x = c->shift * (2 * u[6] - 1),
      .shift_y = c->shift * (2 * u[7] - 1),
      .zoom = c->zoom * u[8],
      .zoom_x = u[9],
      .zoom_y = u[10],
      .has_shadow = u[11] < c->shadow,
      .shadow_top = 2 * u[12] - 0.5,
      .shadow_bottom = 2 * u[13] - 0.5,
  };
  double v[2];
  for (int i = 0; i < 2; i++) v[i] = mynah_rng_uniform(rng);
  a->shadow_gain = 0.45 + 0.4 * v[0];
  a->shadow_is_left = v[1] < 0.5;
  for (int i = 0; i < 6; i++) u[i] = mynah_rng_uniform(rng);
  a->hue = 2 * PI * c->hue * (2 * u[0] - 1);
  a->scale = 1 + c->scale * (2 * u[1] - 1);
  a->is_turned = u[2] < c->turn_over;
  a->is_mosaic = u[3] < c->mosaic;
  a->mosaic_x = 0.3 + 0.4 * u[4];
  a->mosaic_y = 0.3 + 0.4 * u[5];
  for (int i = 0; i < 3; i++) a->partners[i] = mynah_rng_u64(rng);
  a->slots = mynah_rng_u64(rng);
}

/* ---- slots ---------------------------------------------------------------------------------------------------------- */

static bool is_element(const char *name, size_t length, const char *what) {
  size_t n = strlen(what);
  return length > n && name[length - n - 1] == '.' && strncmp(name + length - n, what, n) == 0;
}

void mynah__augment_slots(const mynah__augmentation *a, const mynah_feed_config *c, const mynah_feature *feature, float *x) {
  const char *name = feature->names;
  mynah_rng rng = mynah_rng_make(a->slots, 0);
  bool is_seen = false, is_lost = false;
  if (strncmp(name, "obj.", 4) != 0 || (c->slots_jitter <= 0 && c->slots_drop <= 0)) return;
  for (int64_t i = 0, slot = 0; i < mynah_feature_size(feature) && *name; i++) {
    size_t length = strcspn(name, ",");
    if (is_element(name, length, "valid")) {
      rng = mynah_rng_make(a->slots, (uint64_t)slot++);
      is_seen = x[i] > 0;
      is_lost = mynah_rng_uniform(&rng) < c->slots_drop && is_seen;
      if (is_lost) x[i] = 0;
    } else if (is_lost && is_element(name, length, "conf")) {
      x[i] = 0;
    }
    bool is_place = is_element(name, length, "cx") || is_element(name, length, "cy"), is_size = is_element(name, length, "w") || is_element(name, length, "h");
    if (is_seen && (is_place || is_size)) {
      float off = (float)(c->slots_jitter * mynah_rng_normal(&rng));
      x[i] = is_place ? x[i] + off : fmaxf(0, x[i] * (1 + off));
    }
    name += length + (name[length] == ',');
  }
}

/* ---- pictures ------------------------------------------------------------------------------------------------------- */

/* out[x] = in[x - shift], the edge pixel repeated; mirrored when asked. */
static void move_row(const uint8_t *in, int width, int shift, bool is_mirrored, uint8_t *out) {
  if (!is_mirrored && shift == 0) {
    memcpy(out, in, (size_t)width * 3);
    return;
  }
  for (int x = 0; x < width; x++) {
    int from = (is_mirrored ? width - 1 - x : x) - shift;
    from = from < 0 ? 0 : from >= width ? width - 1 : from;
    memcpy(out + 3 * x, in + 3 * from, 3);
  }
}

static uint8_t saturate(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* row = (row * gain + offset) / 256, both in 1/256. */
static void scale_row(uint8_t *restrict row, int n, int gain, int offset) {
  for (int i = 0; i < n; i++) row[i] = saturate((row[i] * gain + offset) >> 8);
}

/* Each channel away from or towards the pixel's grey (luma of BT.601). */
static void saturate_row(uint8_t *row, int width, int gain) {
  for (int x = 0; x < width; x++) {
    int r = row[3 * x], g = row[3 * x + 1], b = row[3 * x + 2], grey = (77 * r + 150 * g + 29 * b) >> 8;
    row[3 * x] = saturate(grey + ((r - grey) * gain >> 8));
    row[3 * x + 1] = saturate(grey + ((g - grey) * gain >> 8));
    row[3 * x + 2] = saturate(grey + ((b - grey) * gain >> 8));
  }
}

/* Colours turned about the line of greys: a rotation matrix in 1/256. */
static void turn_row(uint8_t *row, int width, double angle) {
  double c = cos(angle), s = sin(angle) / sqrt(3), share = (1 - c) / 3;
  int same = (int)lround(256 * (c + share)), next = (int)lround(256 * (share - s)), last = 256 - same - next;
  for (int x = 0; x < width; x++) {
    int r = row[3 * x], g = row[3 * x + 1], b = row[3 * x + 2];
    row[3 * x] = saturate((same * r + next * g + last * b + 128) >> 8);
    row[3 * x + 1] = saturate((last * r + same * g + next * b + 128) >> 8);
    row[3 * x + 2] = saturate((next * r + last * g + same * b + 128) >> 8);
  }
}

/* One side of a slanted line grows darker. */
static void shade_row(const mynah__augmentation *a, uint8_t *row, int y, int width, int height) {
  double border = (a->shadow_top + (a->shadow_bottom - a->shadow_top) * y / height) * width;
  int at = border < 0 ? 0 : border > width ? width : (int)border, gain = (int)(a->shadow_gain * 256);
  if (a->shadow_is_left) scale_row(row, 3 * at, gain, 0);
  else scale_row(row + 3 * at, 3 * (width - at), gain, 0);
}

void mynah__augment_colors(const mynah__augmentation *a, uint8_t *picture, int width, int height) {
  /* (v - 128) contrast + 128 + 255 brightness */
  int gain = (int)lround(a->contrast * 256), offset = (int)lround((128 * (1 - a->contrast) + 255 * a->brightness) * 256) + 128;
  int saturation = (int)lround(a->saturation * 256);
  for (int y = 0; y < height; y++) {
    uint8_t *row = picture + (size_t)y * (size_t)width * 3;
    if (gain != 256 || offset != 128) scale_row(row, 3 * width, gain, offset);
    if (saturation != 256) saturate_row(row, width, saturation);
    if (a->hue != 0) turn_row(row, width, a->hue);
    if (a->has_shadow) shade_row(a, row, y, width, height);
  }
}

void mynah__augment_picture(const mynah__augmentation *a, const uint8_t *in, int width, int height, uint8_t *scratch,
                            uint8_t *out) {
  if (a->zoom > 0) {
    int w = (int)(width * (1 - a->zoom) + 0.5), h = (int)(height * (1 - a->zoom) + 0.5);
    w = w < 1 ? 1 : w;
    h = h < 1 ? 1 : h;
    mynah_image whole = {(uint8_t *)(uintptr_t)in, width, height}, zoomed = {scratch, width, height};
    mynah_image_resample(&whole, (int)(a->zoom_x * (width - w)), (int)(a->zoom_y * (height - h)), w, h, &zoomed);
    in = scratch;
  }
  int shift_x = (int)lround(a->shift_x * width), shift_y = (int)lround(a->shift_y * height);
  for (int y = 0; y < height; y++) {
    int from = y - shift_y;
    from = from < 0 ? 0 : from >= height ? height - 1 : from;
    uint8_t *row = out + (size_t)y * (size_t)width * 3;
    move_row(in + (size_t)from * (size_t)width * 3, width, shift_x, a->is_mirrored, row);
  }
  mynah__augment_colors(a, out, width, height);
}
