/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Exports read again by the importers: every value, picture and time is what it was. */
#include "dataset_case.h"

static char path[MYNAH_PATH_MAX], out[MYNAH_PATH_MAX + 16], again[MYNAH_PATH_MAX + 32];

/* Numbers of several types, a switch, pictures that survive exactly; episodes longer than a block. */
static mynah_status make(void) {
  mynah_feature f[5] = {mynah_feature_vector("observation.state", 3, "x,y,joint_1", "m"),
                        case_vector("observation.count", 2, MYNAH_I64),
                        mynah_feature_image("observation.images.top", CASE_HEIGHT, CASE_WIDTH),
                        case_vector("next.done", 1, MYNAH_BOOL), case_vector("action", 2, MYNAH_F64)};
  mynah_dataset_config c = {.features = f, .n_features = 5, .rate_hz = 20, .codec = MYNAH_CODEC_PNG};
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_create(path, &c, &d));
  for (int e = 0; e < 3; e++) {
    mynah_episode info = {.success = -1};
    snprintf(info.task, sizeof info.task, "task %d", e / 2);
    case_ok(mynah_episode_begin(d, &info));
    for (int64_t t = 0; t < 30 + 50 * e; t++) {
      case_frame frame;
      case_fill(&frame, (uint64_t)e, t);
      int64_t counts[2] = {frame.i64[0] >> 20, t};
      uint8_t is_done = t == 29 + 50 * e;
      double action[2] = {(double)(float)frame.f32[0], 0.5 * (double)t};
      mynah_value v[5] = {{frame.f32, 12, 0},
                          {counts, 16, 0},
                          {frame.picture, sizeof frame.picture, 0},
                          {&is_done, 1, 0},
                          {action, 16, 0}};
      case_ok(mynah_episode_add(d, 50000000 * t, v, NULL));
    }
    case_ok(mynah_episode_seal(d, NULL));
  }
  mynah_dataset_close(d);
  return MYNAH_OK;
}

static int set_up(void **state) {
  snprintf(path, sizeof path, "%s", case_path("export"));
  snprintf(out, sizeof out, "%s.out", path);
  snprintf(again, sizeof again, "%s.again.demos", path);
  case_ok(make());
  return 0;
}

/* Values of a feature, as doubles. */
static void expect_same(mynah_dataset *a, mynah_dataset *b, const char *ours, const char *theirs) {
  assert_int_equal(mynah_dataset_n_episodes(a), mynah_dataset_n_episodes(b));
  for (int64_t e = 0; e < mynah_dataset_n_episodes(a); e++) {
    int64_t n = mynah_dataset_episode(a, e)->n_frames;
    assert_int_equal(mynah_dataset_episode(b, e)->n_frames, n);
    for (int64_t t = 0; t < n; t++) {
      if (mynah_dataset_find(a, ours)->is_image) {
        mynah_image p, q;
        case_ok(mynah_dataset_read_image(a, e, ours, t, 0, 0, &p));
        case_ok(mynah_dataset_read_image(b, e, theirs, t, 0, 0, &q));
        assert_memory_equal(p.data, q.data, (size_t)p.width * (size_t)p.height * 3);
        mynah_image_deinit(&p);
        mynah_image_deinit(&q);
        continue;
      }
      float x[8], y[8];
      assert_non_null(mynah_dataset_find(b, theirs));
      assert_int_equal(mynah_feature_size(mynah_dataset_find(a, ours)),
                       mynah_feature_size(mynah_dataset_find(b, theirs)));
      case_ok(mynah_dataset_read(a, e, ours, t, 1, x));
      case_ok(mynah_dataset_read(b, e, theirs, t, 1, y));
      for (int64_t k = 0; k < mynah_feature_size(mynah_dataset_find(a, ours)); k++)
        if (x[k] != y[k])
          fail_msg("%s episode %lld frame %lld: %g, not %g", ours, (long long)e, (long long)t, (double)y[k],
                   (double)x[k]);
    }
  }
}

static void round_trip(const char *format, const char *inner, const char *const names[5]) {
  const mynah_exporter *exporter;
  const mynah_importer *importer;
  mynah_import_report r;
  mynah_dataset *a, *b;
  char from[MYNAH_PATH_MAX + 64];
  if (mynah_exporter_find(format, &exporter) != MYNAH_OK) {
    print_message("skipped: built without %s\n", format);
    skip();
  }
  case_ok(mynah_importer_find(format, &importer));
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &a));
  case_ok(exporter->run(a, out, NULL));
  case_fails(exporter->run(a, out, NULL), MYNAH_BUSY, "exists already");
  snprintf(from, sizeof from, "%s%s", out, inner);
  void *config = mynah_calloc(1, importer->config->bytes);
  mynah_config_default(importer->config, config);
  case_ok(importer->run(from, again, config, NULL, &r));
  mynah_free(config);
  assert_int_equal(r.n_skipped, 0);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(again, MYNAH_OPEN_READ, &b));
  case_verify(b);
  assert_true(mynah_dataset_rate_hz(b) == (strcmp(format, "csv") == 0 ? 10 : 20)); /* CSV does not say */
  for (int i = 0; i < 5; i++) expect_same(a, b, mynah_dataset_feature(a, i)->name, names[i]);
  mynah_dataset_close(a);
  mynah_dataset_close(b);
}

static const char *const same[5] = {"observation.state", "observation.count", "observation.images.top", "next.done",
                                    "action"};
static void test_csv(void **state) { round_trip("csv", "/frames.csv", same); }
static void test_npz(void **state) { round_trip("npz", "", same); }
static void test_lerobot(void **state) { round_trip("lerobot", "", same); }
static void test_robomimic(void **state) { round_trip("robomimic", "", same); }

static mynah_status work(void *format) {
  const mynah_exporter *exporter;
  mynah_dataset *d;
  MYNAH_TRY(mynah_remove_tree(out));
  MYNAH_TRY(mynah_exporter_find(format, &exporter));
  MYNAH_TRY(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  mynah_status status = exporter->run(d, out, NULL);
  mynah_dataset_close(d);
  return status;
}

static void test_torture(void **state) {
  mynah_dataset *d;
  case_ok(mynah_file_remove(path));
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 3));
  mynah_dataset_close(d);
  assert_true(mynah_test_torture(work, (void *)(uintptr_t) "csv") > 5);
  assert_true(mynah_test_torture(work, (void *)(uintptr_t) "lerobot") > 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_csv, set_up), cmocka_unit_test_setup(test_npz, set_up),
                                     cmocka_unit_test_setup(test_lerobot, set_up),
                                     cmocka_unit_test_setup(test_robomimic, set_up),
                                     cmocka_unit_test_setup(test_torture, set_up)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
