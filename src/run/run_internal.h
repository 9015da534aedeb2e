/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside run: what its measurements share. */
#ifndef MYNAH_RUN_INTERNAL_H
#define MYNAH_RUN_INTERNAL_H

#include <mynah/run.h>

/* sqrt(mean over k of (d_k / R_k)^2), R_k the demonstrated range; elements without one are left out. (evaluate.c) */
double mynah__share_of_range(const mynah_policy *p, const double *d);
/* By the device's first RATE metric: 1 or 0; -1 where it has none. (record.c) */
int mynah__success_of(const mynah_device *d);
/* The trace column of this name, -1: there is none. (evaluate.c) */
int mynah__column_of(const mynah_device_type *type, const char *name);
/* For qsort of doubles, ascending. (interval.c) */
int mynah__by_value(const void *a, const void *b);
/* {key: value, "ci": [low, high]}; {"k", "n", "rate", "ci"} with Wilson's interval. (result.c) */
mynah_json *mynah__interval_json(const char *key, mynah_interval v);
mynah_json *mynah__rate_json(int64_t k, int64_t n);

/* ---- neighbours.c: how far an observation is from those that were demonstrated ---- */

/* Frames as points, of what was observed: vectors normalised by the policy's mean and deviation, pictures cropped as the policy
 * crops them, made 8 x 4, grey, of mean 0 and deviation 1; each feature divided by the root of its number of elements, so that
 * features weigh the same. And, of a policy that sees pictures and has a hidden layer of at most 4096 numbers, of that layer,
 * brought to length 1. Const once made, shared by threads. */
typedef struct mynah__neighbours mynah__neighbours;
/* At most max_frames of the dataset, evenly chosen. Fails: INVALID (fewer than k frames), as mynah_compare_recorded. */
mynah_status mynah__neighbours_create(const mynah_clone *c, mynah_dataset *d, int k, int64_t max_frames,
                                      mynah__neighbours **out);
void mynah__neighbours_destroy(mynah__neighbours *n);
/* Mean distance to the k nearest, by the hidden layer of the actor's newest prediction if points have one; *nearest: to the
 * nearest by what is observed. Shape: values (n_inputs of the policy) */
double mynah__neighbours_score(const mynah__neighbours *n, const mynah_value *values, const mynah_actor *actor, double *nearest);

#endif
