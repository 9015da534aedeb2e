/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which convolutions run as Winograd's minimal filtering, and with which tile. */
#ifndef MYNAH_GRAPH_FAST_WINOGRAD_H
#define MYNAH_GRAPH_FAST_WINOGRAD_H

#include "../internal.h"

/* The tile of least cost, by multiply-adds and memory: 4 (4x4 outputs), 2, or 0: direct. A function of the shapes
 * alone. The step is a convolution with a 3x3 kernel and stride 1 or 2 whose weights stay. */
int mynah__winograd_tile(const mynah__step *step);
/* Tests only: the tile of all such convolutions from now on (0: that of least cost). */
void mynah__winograd_force(int tile);

#endif
