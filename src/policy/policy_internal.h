/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside policy: what the policies share when they describe their graphs. */
#ifndef MYNAH_POLICY_INTERNAL_H
#define MYNAH_POLICY_INTERNAL_H

#include <mynah/policy.h>

extern const mynah_policy_type mynah__policy_mlp;

/* ---- normalizer.c ---- */

mynah_status mynah__norm_create(int64_t size, mynah_norm *out);
void mynah__norm_deinit(mynah_norm *n);
mynah_json *mynah__norm_to_json(const mynah_norm *n);
mynah_status mynah__norm_from_json(const mynah_json *j, int64_t size, const char *name, mynah_norm *out);
/* y = x * scale + shift of element i under a MYNAH_NORMALIZE_ kind. A constant element maps to 0. */
void mynah__norm_element(const mynah_norm *n, int64_t kind, int64_t i, float *scale, float *shift);
/* The graph input of observation `index`, normalised; noisy while training when obs_noise says so. Vectors come with
 * their angles as cosine and sine after the other elements: (B,n_obs,D'); pictures as floats in [-1,1]:
 * (B*n_obs,H,W,3). */
mynah_node mynah__policy_observe(const mynah_policy *p, mynah_graph *g, int index, int64_t batch);
/* x (…,A) in the action's units -> normalised, and back. */
mynah_node mynah__policy_normalize_action(const mynah_policy *p, mynah_graph *g, mynah_node x);
mynah_node mynah__policy_restore_action(const mynah_policy *p, mynah_graph *g, mynah_node x);

/* ---- policy.c ---- */

/* An empty policy with default configs of its type. */
mynah_status mynah__policy_new(const mynah_policy_type *type, mynah_policy **out);
/* How pictures reach the network; fills width, height and crop of a window. */
void mynah__policy_geometry(const mynah_policy *p, mynah_window *w);

/* ---- bundle.c ---- */

/* Reads the description from a policy file's metadata. */
mynah_status mynah__policy_from_json(const mynah_json *j, mynah_policy **out);

#endif
