/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which convolutions, and gradients of them, run as Winograd's minimal filtering, and with which tile. */
#ifndef MYNAH_GRAPH_FAST_WINOGRAD_H
#define MYNAH_GRAPH_FAST_WINOGRAD_H

#include "../internal.h"

/* The tile of least cost, by multiply-adds and memory: 4 (4x4 outputs), 2, or 0: direct. A function of the shapes
 * alone. The step is a convolution with a 3x3 kernel and stride 1 or 2, or a 1x5 kernel and stride 1, where 2 is F(2,5). */
int mynah__winograd_tile(const mynah__step *step);
bool mynah__winograd_is_line(const mynah__step *step); /* its kernel is 1x5 */
/* Tests only: the tile of all such convolutions from now on (0: that of least cost). */
void mynah__winograd_force(int tile);

#endif
