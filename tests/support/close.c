/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Comparing floating-point numbers in tests. */
#include "support/close.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* after the headers that it needs */
#include <cmocka.h>

bool mynah_test_is_close(double got, double want, double relative, double absolute) {
  if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
  if (isinf(got) || isinf(want)) return got == want;
  return fabs(got - want) <= absolute + relative * fabs(want);
}

typedef struct mismatch {
  size_t n, first;
  double worst;
} mismatch;

static void look(mismatch *m, size_t i, double got, double want, double relative, double absolute) {
  if (mynah_test_is_close(got, want, relative, absolute)) return;
  if (m->n++ == 0) m->first = i;
  double difference = fabs(got - want);
  if (!(difference <= m->worst)) m->worst = difference;
}

static void judge(const mismatch *m, const char *what, size_t n, double got, double want) {
  if (m->n == 0) return;
  fail_msg("%s: %zu of %zu differ; [%zu] is %.9g, should be %.9g; worst difference %.3g", what, m->n, n, m->first, got,
           want, m->worst);
}

void mynah_test_close(const char *what, const float *got, const float *want, size_t n, double relative,
                      double absolute) {
  mismatch m = {0};
  for (size_t i = 0; i < n; i++) look(&m, i, (double)got[i], (double)want[i], relative, absolute);
  if (n > 0) judge(&m, what, n, (double)got[m.first], (double)want[m.first]);
}

void mynah_test_close_double(const char *what, const double *got, const double *want, size_t n, double relative,
                             double absolute) {
  mismatch m = {0};
  for (size_t i = 0; i < n; i++) look(&m, i, got[i], want[i], relative, absolute);
  if (n > 0) judge(&m, what, n, got[m.first], want[m.first]);
}
