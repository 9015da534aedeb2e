/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Statistics: exact extremes, means and deviations against sums in long double. */
#include "dataset_case.h"

#include "support/close.h"

#include <math.h>

static const int64_t lengths[] = {70, 1, 64};

static mynah_dataset *make(mynah_codec codec) {
  mynah_dataset *d;
  case_ok(case_create(case_path("stats"), codec, &d));
  for (uint64_t i = 0; i < 3; i++) case_ok(case_write(d, i + 1, lengths[i]));
  return d;
}

/* Element k of feature f64 (type 0) or f32 (type 1) over the chosen episodes. */
static void expect(const mynah_stats *s, int type, int k, const int64_t *episodes, int n) {
  long double sum = 0, squares = 0;
  double low = (double)INFINITY, high = -(double)INFINITY;
  int64_t count = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < n; i++)
      for (int64_t t = 0; t < lengths[episodes[i]]; t++) {
        case_frame f;
        case_fill(&f, (uint64_t)episodes[i] + 1, t);
        double x = type == 0 ? f.f64[k] : (double)f.f32[k];
        low = fmin(low, x);
        high = fmax(high, x);
        if (pass == 0) sum += (long double)x, count++;
        else squares += ((long double)x - sum) * ((long double)x - sum);
      }
    if (pass == 0) sum /= count;
  }
  assert_int_equal(s->n_frames, count);
  assert_true(s->min[k] == low && s->max[k] == high); /* exact */
  assert_true(mynah_test_is_close(s->mean[k], (double)sum, 1e-12, (high - low) * 1e-14));
  assert_true(mynah_test_is_close(s->std[k], (double)sqrtl(squares / count), 1e-12, 0));
}

static void test_vectors(void **state) {
  static const int64_t all[] = {0, 1, 2}, some[] = {2, 1};
  mynah_dataset *d = make(MYNAH_CODEC_RAW);
  mynah_stats s;
  case_ok(mynah_dataset_stats(d, "observation.f64", NULL, 0, 0, &s));
  assert_int_equal(s.size, 2);
  for (int k = 0; k < 2; k++) expect(&s, 0, k, all, 3);
  mynah_stats_deinit(&s);
  case_ok(mynah_dataset_stats(d, "observation.state", some, 2, 0, &s));
  for (int k = 0; k < 3; k++) expect(&s, 1, k, some, 2);
  mynah_stats_deinit(&s);
  case_ok(mynah_dataset_stats(d, "observation.is", NULL, 0, 0, &s));
  assert_true(s.min[0] == 0 && s.max[0] == 1 && s.mean[0] > 0.3 && s.mean[0] < 0.7);
  mynah_stats_deinit(&s);
  case_fails(mynah_dataset_stats(d, "nothing", NULL, 0, 0, &s), MYNAH_NOT_FOUND, "nothing");
  case_fails(mynah_dataset_stats(d, "action", (const int64_t[]){3}, 1, 0, &s), MYNAH_NOT_FOUND, "3");
  case_fails(mynah_dataset_stats(d, "action", all, 0, 0, &s), MYNAH_INVALID, "no frames");
  mynah_dataset_close(d);
}

static void test_pictures(void **state) {
  mynah_dataset *d = make(MYNAH_CODEC_PNG);
  mynah_stats s;
  long double sum[3] = {0}, squares[3] = {0}, n = 0;
  for (int i = 0; i < 3; i++)
    for (int64_t t = 0; t < lengths[i]; t++) {
      case_frame f;
      case_fill(&f, (uint64_t)i + 1, t);
      for (size_t p = 0; p < sizeof f.picture; p++) {
        long double x = f.picture[p] / 255.0L;
        sum[p % 3] += x;
        squares[p % 3] += x * x;
      }
      n += CASE_WIDTH * CASE_HEIGHT;
    }
  case_ok(mynah_dataset_stats(d, "observation.images.top", NULL, 0, 0, &s));
  assert_int_equal(s.size, 3);
  assert_int_equal(s.n_frames, 135);
  for (int k = 0; k < 3; k++) {
    long double mean = sum[k] / n;
    assert_true(s.min[k] == 0 && s.max[k] == 1);
    assert_true(mynah_test_is_close(s.mean[k], (double)mean, 1e-12, 0));
    assert_true(mynah_test_is_close(s.std[k], (double)sqrtl(squares[k] / n - mean * mean), 1e-10, 0));
  }
  mynah_stats_deinit(&s);
  case_ok(mynah_dataset_stats(d, "observation.images.top", NULL, 0, 10, &s));
  assert_true(s.n_frames > 0 && s.n_frames <= 10);
  assert_true(s.mean[0] > 0.45 && s.mean[0] < 0.55);
  mynah_stats_deinit(&s);
  mynah_dataset_close(d);
}

/* Constants have a deviation of exactly zero, far from zero too. */
static void test_constants(void **state) {
  mynah_feature f[2] = {mynah_feature_vector("action", 1, "", ""), mynah_feature_image("observation.images.top", 4, 4)};
  mynah_dataset_config c = {.features = f, .n_features = 2, .rate_hz = 10, .codec = MYNAH_CODEC_RAW};
  float action = 16777215.0F / 3;
  uint8_t picture[48];
  mynah_value v[2] = {{&action, 4, 0}, {picture, sizeof picture, 0}};
  mynah_dataset *d;
  mynah_stats s;
  memset(picture, 77, sizeof picture);
  case_ok(mynah_dataset_create(case_path("stats"), &c, &d));
  case_ok(mynah_episode_begin(d, &(mynah_episode){0}));
  for (int t = 0; t < 1000; t++) case_ok(mynah_episode_add(d, t, v, NULL));
  case_ok(mynah_episode_seal(d, NULL));
  case_ok(mynah_dataset_stats(d, "action", NULL, 0, 0, &s));
  assert_true(s.std[0] == 0 && s.mean[0] == (double)action && s.min[0] == (double)action);
  mynah_stats_deinit(&s);
  case_ok(mynah_dataset_stats(d, f[1].name, NULL, 0, 0, &s));
  assert_true(s.std[1] == 0 && s.mean[1] == 77 / 255.0);
  mynah_stats_deinit(&s);
  mynah_dataset_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_pictures),
                                     cmocka_unit_test(test_constants)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
