/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Comparing floating-point numbers in tests. */
#ifndef MYNAH_TEST_CLOSE_H
#define MYNAH_TEST_CLOSE_H

#include <stdbool.h>
#include <stddef.h>

/* |got - want| <= absolute + relative * |want|; two NaNs are close, NaN and a number are not. */
bool mynah_test_is_close(double got, double want, double relative, double absolute);
/* Fails the cmocka test at the first element that is not close, saying which, both values and how many more. */
void mynah_test_close(const char *what, const float *got, const float *want, size_t n, double relative,
                      double absolute);
void mynah_test_close_double(const char *what, const double *got, const double *want, size_t n, double relative,
                             double absolute);

#endif
