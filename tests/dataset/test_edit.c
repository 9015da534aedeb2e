/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Edits: what they change is changed, everything else stays byte for byte, and versions tell what was there. */
#include "dataset_case.h"

#include <math.h>

static char path[MYNAH_PATH_MAX], other[MYNAH_PATH_MAX + 16];

static int set_up(void **state) {
  mynah_dataset *d;
  snprintf(path, sizeof path, "%s", case_path("edit"));
  snprintf(other, sizeof other, "%s.new.demos", path);
  case_ok(case_create(path, MYNAH_CODEC_PNG, &d));
  for (uint64_t i = 0; i < 6; i++) case_ok(case_write(d, i, 30 + 20 * (int64_t)i));
  mynah_dataset_close(d);
  return 0;
}

static mynah_dataset *open_file(const char *name, mynah_open_mode mode) {
  mynah_dataset *d;
  case_ok(mynah_dataset_open(name, mode, &d));
  return d;
}

static void test_delete(void **state) {
  char before[65], after[65];
  int64_t n = 0, ids[2] = {2, 5};
  mynah_dataset *d = open_file(path, MYNAH_OPEN_WRITE);
  case_ok(mynah_dataset_hash(d, before));
  case_ok(mynah_dataset_set_deleted(d, ids, 2, true));
  assert_int_equal(mynah_dataset_n_episodes(d), 4);
  case_fails(mynah_dataset_set_deleted(d, (int64_t[]){3, 99}, 2, true), MYNAH_NOT_FOUND, "no episode 99");
  assert_int_equal(mynah_dataset_n_episodes(d), 4); /* all or none */
  case_ok(mynah_dataset_set_deleted(d, ids, 1, false));
  assert_int_equal(mynah_dataset_n_episodes(d), 5);
  mynah_dataset_close(d);
  d = open_file(path, MYNAH_OPEN_WRITE);
  assert_int_equal(mynah_dataset_n_episodes(d), 5);
  for (int64_t i = 0; i < 5; i++) case_check(d, i, true);
  case_ok(mynah_dataset_vacuum(d, &n));
  assert_int_equal(n, 1);
  case_fails(mynah_dataset_set_deleted(d, ids + 1, 1, false), MYNAH_NOT_FOUND, "no episode 5");
  for (int64_t i = 0; i < 5; i++) case_check(d, i, true);
  case_verify(d);
  case_ok(mynah_dataset_hash(d, after));
  assert_string_not_equal(before, after);
  case_ok(case_write(d, 77, 9)); /* the number 5 is not given again */
  assert_int_equal(mynah_dataset_episode(d, 5)->id, 7);
  mynah_dataset_close(d);
}

static void test_tags(void **state) {
  int64_t counts[3];
  mynah_dataset *d = open_file(path, MYNAH_OPEN_WRITE);
  case_ok(mynah_dataset_tag(d, (int64_t[]){1, 4}, 2, "good", true));
  case_ok(mynah_dataset_tag(d, (int64_t[]){4}, 1, "short", true));
  case_ok(mynah_dataset_tag(d, (int64_t[]){1}, 1, "good", false));
  case_fails(mynah_dataset_tag(d, (int64_t[]){1}, 1, "two words", true), MYNAH_INVALID, "two words");
  case_ok(mynah_dataset_set_success(d, (int64_t[]){6}, 1, 1));
  mynah_dataset_close(d);
  d = open_file(path, MYNAH_OPEN_WRITE);
  for (int64_t i = 0; i < 6; i++) {
    assert_int_equal(mynah_dataset_has_tag(d, i, "good"), i == 3);
    assert_int_equal(mynah_dataset_has_tag(d, i, "short"), i == 3);
  }
  assert_int_equal(mynah_dataset_episode(d, 5)->success, 1);
  case_ok(mynah_dataset_split(d, &(mynah_split_config){0.33, 0.17, 4, MYNAH_SPLIT_BY_NONE}, counts));
  assert_int_equal(counts[0], 3);
  assert_int_equal(counts[1], 2);
  assert_int_equal(counts[2], 1);
  int parts[6];
  for (int64_t i = 0; i < 6; i++) parts[i] = mynah_dataset_part(d, i);
  case_ok(mynah_dataset_split(d, &(mynah_split_config){0.33, 0.17, 4, MYNAH_SPLIT_BY_NONE}, counts));
  for (int64_t i = 0; i < 6; i++) assert_int_equal(mynah_dataset_part(d, i), parts[i]);
  assert_true(mynah_dataset_has_tag(d, 3, "good"));
  case_fails(mynah_dataset_split(d, &(mynah_split_config){0.5, 0.5, 4, MYNAH_SPLIT_BY_NONE}, counts), MYNAH_INVALID,
             "nothing");
  mynah_dataset_close(d);
}

/* Two groups of 10 and 30: each gives a tenth to validation and to tests. */
static void test_strata(void **state) {
  mynah_dataset *d;
  int64_t counts[3], n[3][2] = {{0}};
  case_ok(mynah_file_remove(path));
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  for (int e = 0; e < 40; e++) {
    mynah_episode info = {.success = e % 4 == 0};
    case_ok(mynah_episode_begin(d, &info));
    case_ok(case_add(d, (uint64_t)e, 0));
    case_ok(mynah_episode_seal(d, NULL));
  }
  case_ok(mynah_dataset_split(d, &(mynah_split_config){0.1, 0.1, 1, MYNAH_SPLIT_BY_SUCCESS}, counts));
  for (int64_t i = 0; i < 40; i++) n[mynah_dataset_part(d, i)][mynah_dataset_episode(d, i)->success]++;
  assert_int_equal(n[1][0], 3);
  assert_int_equal(n[1][1], 1);
  assert_int_equal(n[2][0], 3);
  assert_int_equal(n[2][1], 1);
  mynah_dataset_close(d);
}

/* Groups of 10, 10 and 20 by their tags, in whatever order they were given; those of an earlier split say nothing. */
static void test_strata_of_tags(void **state) {
  static const char *const words[2][2] = {{"night", "rain"}, {"rain", "night"}};
  int64_t counts[3], ids[40], n_valid[3] = {0};
  case_ok(mynah_file_remove(path));
  mynah_dataset *d;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  for (int e = 0; e < 40; e++) {
    case_ok(mynah_episode_begin(d, &(mynah_episode){.success = -1}));
    case_ok(case_add(d, (uint64_t)e, 0));
    case_ok(mynah_episode_seal(d, &ids[e]));
  }
  for (int e = 0; e < 40; e += 4)
    for (int k = 0; k < 2; k++) case_ok(mynah_dataset_tag(d, &ids[e], 1, words[e % 8 / 4][k], true));
  for (int e = 1; e < 40; e += 4) case_ok(mynah_dataset_tag(d, &ids[e], 1, "rain", true));
  case_ok(mynah_dataset_split(d, &(mynah_split_config){0.5, 0, 7, MYNAH_SPLIT_BY_NONE}, counts));
  case_ok(mynah_dataset_split(d, &(mynah_split_config){0.2, 0, 1, MYNAH_SPLIT_BY_TAG}, counts));
  for (int e = 0; e < 40; e++) n_valid[e % 4 < 2 ? e % 4 : 2] += mynah_dataset_part(d, e) == 1;
  assert_int_equal(n_valid[0], 2);
  assert_int_equal(n_valid[1], 2);
  assert_int_equal(n_valid[2], 4);
  mynah_dataset_close(d);
}

/* Bytes that this process handed to write calls; -1: the kernel does not say. */
static int64_t n_written(void) {
  long long n = -1;
  char line[128];
  FILE *file = fopen("/proc/self/io", "r");
  while (file && n < 0 && fgets(line, sizeof line, file)) (void)sscanf(line, "wchar: %lld", &n);
  if (file) fclose(file);
  return n;
}

/* Changes write what they change: of 24 MB at most 1 MB in all, a trimmed episode of one frame included. */
static void test_little_is_written(void **state) {
  mynah_dataset *d;
  int64_t bytes, ids[8], counts[3];
  case_ok(mynah_file_remove(path));
  mynah_feature features[2] = {case_vector("observation.state", 1024, MYNAH_F32), case_vector("action", 1024, MYNAH_F32)};
  static float row[1024];
  case_ok(mynah_dataset_create(path, &(mynah_dataset_config){.features = features, .n_features = 2, .rate_hz = 20}, &d));
  mynah_rng r = mynah_rng_make(1, 1);
  for (int e = 0; e < 8; e++) {
    case_ok(mynah_episode_begin(d, &(mynah_episode){.success = -1}));
    for (int t = 0; t < 375; t++) {
      for (int k = 0; k < 1024; k++) row[k] = (float)mynah_rng_normal(&r);
      case_ok(mynah_episode_add(d, (int64_t)t * 50000000, (mynah_value[2]){{row, sizeof row, 0}, {row, sizeof row, 0}}, NULL));
    }
    case_ok(mynah_episode_seal(d, &ids[e]));
  }
  mynah_dataset_close(d);
  case_ok(mynah_file_size(path, &bytes));
  assert_true(bytes > 20000000);
  int64_t before = n_written();
  if (before < 0) skip();
  char hash[65];
  d = open_file(path, MYNAH_OPEN_WRITE);
  case_ok(mynah_dataset_tag(d, ids, 5, "good", true));
  case_ok(mynah_dataset_set_success(d, ids, 2, 1));
  case_ok(mynah_dataset_set_deleted(d, &ids[7], 1, true));
  case_ok(mynah_dataset_split(d, &(mynah_split_config){0.2, 0, 1, MYNAH_SPLIT_BY_TAG}, counts));
  case_ok(mynah_dataset_rename_feature(d, "observation.state", "observation.joints"));
  case_ok(mynah_dataset_trim(d, ids[0], 5, 5, &ids[7]));
  case_ok(mynah_dataset_save_version(d, "first", hash));
  mynah_dataset_close(d);
  assert_true(n_written() - before < 1000000);
}

static void test_trim(void **state) {
  int64_t id, time_ns;
  mynah_dataset *d = open_file(path, MYNAH_OPEN_WRITE);
  case_ok(mynah_dataset_tag(d, (int64_t[]){3}, 1, "good", true));
  case_fails(mynah_dataset_trim(d, 3, 10, 70, &id), MYNAH_INVALID, "frames 0 … 69");
  case_ok(mynah_dataset_trim(d, 3, 10, -5, &id));
  assert_int_equal(id, 7);
  assert_int_equal(mynah_dataset_n_episodes(d), 6);
  const mynah_episode *e = mynah_dataset_episode(d, 5);
  assert_int_equal(e->id, 7);
  assert_int_equal(e->n_frames, 56);
  assert_int_equal(e->seed, 2);
  assert_true(mynah_dataset_has_tag(d, 5, "good"));
  for (int64_t t = 0; t < 56; t++) {
    case_frame want;
    float got[3];
    mynah_image p;
    case_fill(&want, 2, t + 10);
    case_ok(mynah_dataset_read(d, 5, "observation.state", t, 1, got));
    assert_memory_equal(got, want.f32, sizeof got);
    case_ok(mynah_dataset_read_times(d, 5, t, 1, &time_ns));
    assert_int_equal(time_ns, want.time_ns);
    case_ok(mynah_dataset_read_image(d, 5, "observation.images.top", t, 0, 0, &p));
    assert_memory_equal(p.data, want.picture, sizeof want.picture);
    mynah_image_deinit(&p);
  }
  case_verify(d);
  mynah_dataset_close(d);
}

static void test_versions(void **state) {
  char first[65], named[65], now[65];
  mynah_json *a, *b, *diff = mynah_json_object();
  int64_t id;
  mynah_dataset *d = open_file(path, MYNAH_OPEN_WRITE);
  case_ok(mynah_dataset_hash(d, first)); /* what a policy trained now would hold; nobody saves it */
  case_ok(case_write(d, 50, 25));
  case_ok(mynah_dataset_save_version(d, "seven", named));
  case_ok(mynah_dataset_set_deleted(d, (int64_t[]){1, 2}, 2, true));
  case_ok(mynah_dataset_trim(d, 3, 5, 20, &id));
  case_fails(mynah_dataset_save_version(d, "seven", now), MYNAH_BUSY, "names another version");
  case_ok(mynah_dataset_rename_feature(d, "observation.f64", "observation.forces"));
  mynah_dataset_close(d);
  d = open_file(path, MYNAH_OPEN_READ);
  case_ok(mynah_dataset_hash(d, now));
  case_ok(mynah_dataset_read_version(d, first, &a));
  assert_int_equal(mynah_json_size(mynah_json_get(a, "episodes")), 6);
  case_ok(mynah_dataset_read_version(d, "", &b));
  mynah_version_diff(a, b, diff);
  assert_int_equal(mynah_json_size(mynah_json_get(diff, "episodes_removed")), 3);
  assert_int_equal(mynah_json_size(mynah_json_get(diff, "episodes_added")), 2);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(diff, "episodes_kept"), 0), 3);
  assert_string_equal(mynah_json_to_string(mynah_json_at(mynah_json_get(diff, "features_added"), 0), ""),
                      "observation.forces");
  mynah_json_destroy(a);
  named[12] = 0;
  case_ok(mynah_dataset_read_version(d, named, &a));
  assert_int_equal(mynah_json_size(mynah_json_get(a, "episodes")), 7);
  mynah_json_destroy(a);
  case_ok(mynah_dataset_read_version(d, "seven", &a));
  assert_int_equal(mynah_json_size(mynah_json_get(a, "episodes")), 7);
  mynah_json_destroy(a);
  case_fails(mynah_dataset_read_version(d, "0123456789", &a), MYNAH_NOT_FOUND, "no version");
  case_ok(mynah_dataset_list_versions(d, &a));
  assert_true(mynah_json_size(a) >= 3);
  mynah_json_destroy(a);
  mynah_json_destroy(b);
  mynah_json_destroy(diff);
  mynah_dataset_close(d);
}

static void test_merge(void **state) {
  mynah_dataset *from[2] = {open_file(path, MYNAH_OPEN_READ), NULL}, *d;
  mynah_copy_options all = {0}, some = {.features = "action,observation.images.top", .ids = (int64_t[]){4}, .n_ids = 1};
  from[1] = from[0];
  case_ok(mynah_dataset_copy(from, 2, &all, other));
  d = open_file(other, MYNAH_OPEN_READ);
  assert_int_equal(mynah_dataset_n_episodes(d), 12);
  for (int64_t i = 0; i < 12; i++) {
    case_check(d, i, true);
    assert_string_equal(mynah_dataset_episode(d, i)->hash, mynah_dataset_episode(from[0], i % 6)->hash);
  }
  case_verify(d);
  mynah_dataset_close(d);
  case_fails(mynah_dataset_copy(from, 1, &some, other), MYNAH_BUSY, "exists already");
  case_ok(mynah_file_remove(other));
  case_ok(mynah_dataset_copy(from, 1, &some, other));
  d = open_file(other, MYNAH_OPEN_READ);
  assert_int_equal(mynah_dataset_n_features(d), 2);
  assert_int_equal(mynah_dataset_n_episodes(d), 1);
  assert_string_equal(mynah_dataset_feature(d, 0)->name, "action");
  assert_int_equal(mynah_dataset_episode(d, 0)->n_frames, 90);
  case_fails(mynah_dataset_copy((mynah_dataset *[]){from[0], d}, 2, &all, "/nonexistent/x.demos"), MYNAH_NOT_FOUND,
             "nonexistent");
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(other));
  some.features = "action,no.such";
  case_fails(mynah_dataset_copy(from, 1, &some, other), MYNAH_NOT_FOUND, "no.such");
  assert_false(mynah_file_exists(other));
  mynah_dataset_close(from[0]);
}

/* 20 Hz to 50 Hz: a straight line stays one, an angle goes the short way, the end is kept. */
static void test_resample(void **state) {
  mynah_feature f[2] = {mynah_feature_vector("observation.state", 2, "x,angle", ""),
                        mynah_feature_vector("action", 1, "", "")};
  f[0].angle_mask = 2;
  mynah_dataset_config c = {.features = f, .n_features = 2, .rate_hz = 20};
  mynah_dataset *d;
  case_ok(mynah_file_remove(path));
  case_ok(mynah_dataset_create(path, &c, &d));
  case_ok(mynah_episode_begin(d, &(mynah_episode){.success = -1}));
  for (int t = 0; t < 41; t++) {
    float s[2] = {(float)t, (float)remainder(3.0 + 0.01 * t, 2 * 3.14159265358979)}, a = (float)t;
    mynah_value v[2] = {{s, sizeof s, 0}, {&a, sizeof a, 0}};
    case_ok(mynah_episode_add(d, 50000000LL * t, v, NULL));
  }
  case_ok(mynah_episode_seal(d, NULL));
  case_ok(mynah_dataset_copy(&d, 1, &(mynah_copy_options){.rate_hz = 50}, other));
  mynah_dataset_close(d);
  d = open_file(other, MYNAH_OPEN_READ);
  assert_int_equal(mynah_dataset_n_frames(d), 101);
  for (int t = 0; t < 101; t++) {
    float s[2];
    case_ok(mynah_dataset_read(d, 0, "observation.state", t, 1, s));
    assert_true(fabs((double)s[0] - 0.4 * t) < 1e-5);
    assert_true(fabs(remainder((double)s[1] - 3.0 - 0.004 * t, 2 * 3.14159265358979)) < 1e-5);
  }
  mynah_dataset_close(d);
}

static mynah_status work(void *context) {
  mynah_dataset *d;
  int64_t id;
  case_ok(mynah_file_remove(other));
  char *data;
  size_t n;
  MYNAH_TRY(mynah_file_read(path, 1 << 24, &data, &n));
  mynah_status status = mynah_file_write(other, data, n);
  mynah_free(data);
  MYNAH_TRY(status);
  MYNAH_TRY(mynah_dataset_open(other, MYNAH_OPEN_WRITE, &d));
  status = mynah_dataset_tag(d, (int64_t[]){1}, 1, "good", true);
  if (status == MYNAH_OK) status = mynah_dataset_trim(d, 1, 3, 5, &id);
  mynah_dataset_close(d);
  return status;
}

static void test_torture(void **state) {
  assert_true(mynah_test_torture(work, NULL) > 10);
  mynah_dataset *d = open_file(other, MYNAH_OPEN_READ);
  case_verify(d);
  mynah_dataset_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_delete, set_up),   cmocka_unit_test_setup(test_tags, set_up),
      cmocka_unit_test_setup(test_strata, set_up),   cmocka_unit_test_setup(test_strata_of_tags, set_up),
      cmocka_unit_test_setup(test_trim, set_up),     cmocka_unit_test_setup(test_versions, set_up),
      cmocka_unit_test_setup(test_merge, set_up),    cmocka_unit_test_setup(test_resample, set_up),
      cmocka_unit_test_setup(test_torture, set_up),
      cmocka_unit_test_setup(test_little_is_written, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
