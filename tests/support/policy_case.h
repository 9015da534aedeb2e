/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Policies on demonstrations of the fake device: what tests of policies share. */
#ifndef TESTS_POLICY_CASE_H
#define TESTS_POLICY_CASE_H

#include <mynah/policy.h>

/* A temporary folder, three recorded episodes in it, and where a policy file may go. */
extern char policy_case_folder[64], policy_case_data[96], policy_case_path[96];
int policy_case_set_up(void **state);
int policy_case_tear_down(void **state);

/* A policy of this type with these settings (name, value, name, value …), on the recorded data. */
mynah_status policy_case_make(const char *name, const char *const *settings, int n, mynah_policy **out);
/* Its initial weights. */
mynah_weights *policy_case_weights(const mynah_policy *p);
/* Actions of one episode of the fake device. Returns the number of predictions. */
int policy_case_drive(const mynah_clone *c, float *actions, int n);

#endif
