/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A device for tests: a point on a line that the expert brings back to zero. */
#ifndef TESTS_FAKE_DEVICE_H
#define TESTS_FAKE_DEVICE_H

#include <mynah/capture.h>

/* Features: observation.state (2: x and a second element that is always 3), observation.images.eye (4,6), action (1).
 * x' = x + 0.1 u; the expert's u = -x. 50 steps; metrics: closeness MEAN (1/(1+|x|)), home RATE (|x| < 0.1),
 * x SPREAD, pushes_per_step RATIO. */
extern const mynah_device_type fake_device;

#endif
