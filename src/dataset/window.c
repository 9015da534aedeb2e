/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which pixels a window keeps: one rule for training and acting. */
#include <mynah/dataset.h>

static int share_of(double share, int size) { return (int)(share * size + 0.5); }

void mynah_window_part(const mynah_window *w, int width, int height, int part[4]) {
  part[0] = share_of(w->crop[0], width);
  part[1] = share_of(w->crop[1], height);
  part[2] = width - part[0] - share_of(w->crop[2], width);
  part[3] = height - part[1] - share_of(w->crop[3], height);
  if (part[2] < 1 || part[3] < 1) { /* crops that leave nothing keep a pixel */
    part[0] = part[0] < width ? part[0] : width - 1;
    part[1] = part[1] < height ? part[1] : height - 1;
    part[2] = part[2] < 1 ? 1 : part[2];
    part[3] = part[3] < 1 ? 1 : part[3];
  }
}
