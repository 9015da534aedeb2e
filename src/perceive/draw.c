/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Boxes drawn into pictures, with a font of three by five dots: letters to read which is which, not to admire. */
#include <mynah/perceive.h>

#include <stdio.h>
#include <string.h>

/* A glyph is five octal digits, a row each, the most significant on top; its three bits are dots. */
static const uint16_t digits[10] = {075557, 026227, 071747, 071717, 055711, 074717, 074757, 071111, 075757, 075717};
static const uint16_t letters[26] = {025755, 065656, 034443, 065556, 074647, 074644, 034553, 055755, 072227, 011152,
                                     055655, 044447, 057755, 065555, 025552, 065644, 025563, 065655, 034216, 072222,
                                     055557, 055552, 055775, 055255, 055222, 071247};

static uint16_t glyph_of(char c) {
  if (c >= '0' && c <= '9') return digits[c - '0'];
  if (c >= 'a' && c <= 'z') return letters[c - 'a'];
  if (c >= 'A' && c <= 'Z') return letters[c - 'A'];
  return c == '.' ? 2 : c == '-' ? 0700 : c == '_' ? 7 : 0;
}

typedef struct colour {
  uint8_t r, g, b;
} colour;

/* Pairs of classes that stand side by side differ much. */
static colour colour_of(int label) {
  static const colour table[] = {{230, 60, 60},  {60, 160, 240}, {70, 200, 90},  {250, 180, 40}, {190, 90, 230},
                                 {40, 210, 210}, {250, 120, 180}, {150, 200, 40}, {120, 120, 250}, {240, 130, 60}};
  return table[(unsigned)label % (sizeof table / sizeof *table)];
}

/* [x0,x1) x [y0,y1), as far as it lies in the picture. */
static void fill(mynah_image *image, int x0, int y0, int x1, int y1, colour c) {
  if (x0 < 0) x0 = 0;
  if (y0 < 0) y0 = 0;
  if (x1 > image->width) x1 = image->width;
  if (y1 > image->height) y1 = image->height;
  for (int y = y0; y < y1; y++)
    for (int x = x0; x < x1; x++) {
      uint8_t *p = image->data + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
      p[0] = c.r, p[1] = c.g, p[2] = c.b;
    }
}

static void write_text(mynah_image *image, int x, int y, int size, const char *text, colour paper) {
  int n = (int)strlen(text);
  bool is_light = paper.r + paper.g + paper.b > 420;
  colour ink = is_light ? (colour){0, 0, 0} : (colour){255, 255, 255};
  fill(image, x, y, x + (4 * n + 1) * size, y + 7 * size, paper);
  for (int i = 0; i < n; i++)
    for (int dot = 0; dot < 15; dot++)
      if (glyph_of(text[i]) >> (14 - dot) & 1) {
        int left = x + (4 * i + 1 + dot % 3) * size, top = y + (1 + dot / 3) * size;
        fill(image, left, top, left + size, top + size, ink);
      }
}

static int clipped(float v, int size) { return v > 0 ? (v < (float)size ? (int)v : size) : 0; }

static void draw(mynah_image *image, const mynah_detector *d, const mynah_box *b) {
  int size = (image->width + image->height) / 640 + 1, line = size + 1;
  int x0 = clipped(b->x1, image->width), x1 = clipped(b->x2, image->width);
  int y0 = clipped(b->y1, image->height), y1 = clipped(b->y2, image->height);
  colour c = colour_of(b->label);
  fill(image, x0, y0, x1, y0 + line, c);
  fill(image, x0, y1 - line, x1, y1, c);
  fill(image, x0, y0, x0 + line, y1, c);
  fill(image, x1 - line, y0, x1, y1, c);
  char text[64];
  if (b->id >= 0) snprintf(text, sizeof text, "%.32s %.2f %lld", mynah_detector_class(d, b->label), (double)b->confidence, (long long)b->id);
  else snprintf(text, sizeof text, "%.32s %.2f", mynah_detector_class(d, b->label), (double)b->confidence);
  write_text(image, x0, y0 >= 7 * size ? y0 - 7 * size : y0, size, text, c);
}

void mynah_boxes_draw(mynah_image *image, const mynah_detector *d, const mynah_box *boxes, int n) {
  for (int i = n - 1; i >= 0; i--) draw(image, d, &boxes[i]); /* the best on top */
}
