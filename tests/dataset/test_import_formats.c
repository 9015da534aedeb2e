/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Importers against files of the real writers in ../shared/goldens/formats: every number, each picture's sum of bytes.
 */
#include "dataset_case.h"


#include <math.h>
#include <sys/stat.h>

static char out[MYNAH_PATH_MAX];

static int set_up(void **state) {
  snprintf(out, sizeof out, "%s", case_path("formats"));
  return 0;
}

/* settings: "key=value key=value" */
static mynah_status import(const char *format, const char *path, const char *settings, mynah_import_report *report) {
  const mynah_importer *importer;
  char text[512], *rest = text;
  MYNAH_TRY(mynah_importer_find(format, &importer));
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return MYNAH_NO_MEMORY;
  mynah_config_default(importer->config, config);
  snprintf(text, sizeof text, "%s", settings);
  mynah_status status = MYNAH_OK;
  for (char *key; status == MYNAH_OK && (key = strsep(&rest, " "));) {
    char *value = strchr(key, '=');
    if (!value) continue;
    *value++ = 0;
    status = mynah_config_set(&(mynah_config_bind){importer->config, config}, 1, key, value);
  }
  if (status == MYNAH_OK) status = importer->run(path, out, config, NULL, report);
  mynah_free(config);
  return status;
}

/* Imports a golden and opens what came of it; skips the test where the file or the format is not there. */
static mynah_dataset *open_golden(const char *format, const char *name, mynah_json **expected, int64_t n_skipped) {
  char path[MYNAH_PATH_MAX], json[MYNAH_PATH_MAX + 16];
  const mynah_importer *importer;
  mynah_import_report r;
  mynah_dataset *d;
  if (mynah_importer_find(format, &importer) != MYNAH_OK) {
    print_message("skipped: built without %s\n", format);
    skip();
  }
  snprintf(json, sizeof json, "goldens/formats/%s", name);
  snprintf(path, sizeof path, "%s", mynah_test_shared(json));
  snprintf(json, sizeof json, "%.*s.expected.json",
           strchr(name, '/') ? (int)(strlen(path) - strlen(strchr(name, '/'))) : (int)strlen(path), path);
  if (expected) case_ok(mynah_json_load(json, expected));
  case_ok(mynah_file_remove(out));
  case_ok(import(format, path, strcmp(format, "lerobot") == 0 ? "codec=png" : "", &r));
  assert_int_equal(r.n_skipped, n_skipped);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  case_verify(d);
  return d;
}

static double number(const mynah_json *j) {
  return mynah_json_is_bool(j) ? mynah_json_to_bool(j, false) : mynah_json_to_number(j, (double)NAN);
}

/* Frame t of a feature is a list of numbers, or one. */
static void expect_row(mynah_dataset *d, int64_t i, const char *feature, int64_t t, const mynah_json *want) {
  const mynah_feature *f = mynah_dataset_find(d, feature);
  assert_non_null(f);
  double got[64];
  float floats[64];
  int64_t n = mynah_feature_size(f);
  assert_int_equal(n, mynah_json_is_array(want) ? mynah_json_size(want) : 1);
  case_ok(mynah_dataset_read(d, i, feature, t, 1, floats));
  if (f->dtype == MYNAH_F64) case_ok(mynah_dataset_read_raw(d, i, feature, t, 1, got));
  for (int64_t k = 0; k < n; k++) {
    double v = number(mynah_json_is_array(want) ? mynah_json_at(want, (size_t)k) : want);
    double g = f->dtype == MYNAH_F64 ? got[k] : (double)floats[k];
    if (g != (f->dtype == MYNAH_F64 ? v : (double)(float)v))
      fail_msg("%s frame %lld element %lld: %g, not %g", feature, (long long)t, (long long)k, g, v);
  }
}

static void expect_rows(mynah_dataset *d, int64_t i, const char *feature, const mynah_json *rows, size_t n) {
  assert_int_equal(mynah_dataset_episode(d, i)->n_frames, n);
  for (size_t t = 0; t < n; t++) expect_row(d, i, feature, (int64_t)t, mynah_json_at(rows, t));
}

/* Returns how far the mean of all bytes is off, which is at most the tolerance. */
static double expect_sum(mynah_dataset *d, int64_t i, const char *feature, int64_t t, int64_t want, double tolerance) {
  mynah_image p;
  double sum = 0;
  case_ok(mynah_dataset_read_image(d, i, feature, t, 0, 0, &p));
  size_t n = (size_t)p.width * (size_t)p.height * 3;
  for (size_t k = 0; k < n; k++) sum += p.data[k];
  mynah_image_deinit(&p);
  if (!(fabs(sum - (double)want) <= tolerance * (double)n))
    fail_msg("%s frame %lld: sum %g, not %lld", feature, (long long)t, sum, (long long)want);
  return fabs(sum - (double)want) / (double)n;
}

static void test_robomimic(void **state) {
  static const char *const files[] = {"robomimic_lowdim.hdf5", "robomimic_image_gzip.hdf5"}, *const demos[] = {
                                                                                                 "demo_0", "demo_1",
                                                                                                 "demo_2", "demo_10"};
  for (int file = 0; file < 2; file++) {
    mynah_json *expected;
    mynah_dataset *d = open_golden("robomimic", files[file], &expected, 0);
    assert_int_equal(mynah_dataset_n_episodes(d), 4);
    assert_true(mynah_dataset_rate_hz(d) == 20);
    for (int e = 0; e < 4; e++) {
      const mynah_json *j = mynah_json_get(mynah_json_get(expected, "demos"), demos[e]),
                       *obs = mynah_json_get(j, "obs");
      size_t n = (size_t)mynah_json_to_integer(mynah_json_get(j, "num_samples"), 0);
      expect_rows(d, e, "action", mynah_json_get(j, "actions"), n);
      expect_rows(d, e, "next.reward", mynah_json_get(j, "rewards"), n);
      expect_rows(d, e, "next.done", mynah_json_get(j, "dones"), n);
      expect_rows(d, e, "observation.object", mynah_json_get(obs, "object"), n);
      expect_rows(d, e, "observation.robot0_eef_pos", mynah_json_get(obs, "robot0_eef_pos"), n);
      for (size_t t = 0; t < n && file == 1; t++)
        expect_sum(d, e, "observation.images.agentview", (int64_t)t,
                   mynah_json_to_integer(mynah_json_at(mynah_json_get(j, "agentview_image_sum"), t), 0), 0);
      assert_int_equal(mynah_dataset_part(d, e), e == 1 ? 1 : 0); /* masks */
    }
    mynah_json_destroy(expected);
    mynah_dataset_close(d);
  }
}

static void test_aloha(void **state) {
  mynah_json *expected;
  mynah_dataset *d = open_golden("aloha", "aloha_act", &expected, 0);
  assert_int_equal(mynah_dataset_n_episodes(d), 2);
  for (int e = 0; e < 2; e++) {
    const mynah_json *j = mynah_json_at(expected, (size_t)e), *sums = mynah_json_get(j, "image_sum");
    expect_rows(d, e, "action", mynah_json_get(j, "action"), mynah_json_size(sums));
    expect_rows(d, e, "observation.state", mynah_json_get(j, "qpos"), mynah_json_size(sums));
    expect_rows(d, e, "observation.qvel", mynah_json_get(j, "qvel"), mynah_json_size(sums));
    for (size_t t = 0; t < mynah_json_size(sums); t++)
      expect_sum(d, e, "observation.images.top", (int64_t)t, mynah_json_to_integer(mynah_json_at(sums, t), 0), 0);
  }
  mynah_json_destroy(expected);
  mynah_dataset_close(d);
}

static void test_minari(void **state) {
  mynah_json *expected;
  mynah_dataset *d = open_golden("minari", "minari/toy/box-v0", &expected, 0);
  const mynah_json *list = mynah_json_get(expected, "toy/box-v0");
  for (int e = 0; e < 2; e++) {
    const mynah_json *j = mynah_json_at(list, (size_t)e);
    size_t n = (size_t)mynah_json_to_integer(mynah_json_get(j, "total_steps"), 0);
    expect_rows(d, e, "observation.state", mynah_json_get(j, "observations"), n);
    expect_rows(d, e, "action", mynah_json_get(j, "actions"), n);
    expect_rows(d, e, "next.reward", mynah_json_get(j, "rewards"), n);
    expect_rows(d, e, "next.done", mynah_json_get(j, "terminations"), n);
    expect_rows(d, e, "next.truncated", mynah_json_get(j, "truncations"), n);
  }
  mynah_dataset_close(d);
  mynah_json_destroy(expected);
  d = open_golden("minari", "minari/toy/dict-v0", &expected, 0);
  list = mynah_json_get(expected, "toy/dict-v0");
  for (int e = 0; e < 2; e++) {
    const mynah_json *j = mynah_json_at(list, (size_t)e);
    size_t n = (size_t)mynah_json_to_integer(mynah_json_get(j, "total_steps"), 0);
    expect_rows(d, e, "action", mynah_json_get(j, "actions"), n);
    expect_rows(d, e, "observation.pos", mynah_json_get(mynah_json_get(j, "observations"), "pos"), n);
    expect_rows(d, e, "observation.goal", mynah_json_get(mynah_json_get(j, "observations"), "goal"), n);
  }
  mynah_dataset_close(d);
  mynah_json_destroy(expected);
}

static void test_imitation(void **state) {
  static const char *const files[] = {"imitation_continuous.npz", "imitation_discrete.npz"};
  for (int file = 0; file < 2; file++) {
    mynah_json *expected;
    mynah_dataset *d = open_golden("npz", files[file], &expected, 0);
    const mynah_json *lengths = mynah_json_get(expected, "lengths");
    assert_int_equal(mynah_dataset_n_episodes(d), mynah_json_size(lengths));
    for (size_t e = 0; e < mynah_json_size(lengths); e++) {
      size_t n = (size_t)mynah_json_to_integer(mynah_json_at(lengths, e), 0);
      expect_rows(d, (int64_t)e, "observation.state", mynah_json_at(mynah_json_get(expected, "obs"), e), n);
      expect_rows(d, (int64_t)e, "action", mynah_json_at(mynah_json_get(expected, "acts"), e), n);
    }
    mynah_json_destroy(expected);
    mynah_dataset_close(d);
  }
}

/* Real rollouts of `imitation`: SOURCE.txt there says what they hold. */
static void test_rollouts(void **state) {
  char path[MYNAH_PATH_MAX];
  mynah_import_report r;
  mynah_dataset *d;
  mynah_stats s;
  snprintf(path, sizeof path, "%s", mynah_test_shared("data/imitation_rollouts/pendulum_0_rollouts_final.npz"));
  case_ok(import("npz", path, "", &r));
  assert_int_equal(r.n_episodes, 56);
  assert_int_equal(r.n_frames, 11200);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  case_ok(mynah_dataset_stats(d, "next.reward", NULL, 0, 0, &s));
  assert_true(fabs(200 * s.mean[0] + 189.4) < 0.05); /* the mean return */
  mynah_stats_deinit(&s);
  mynah_dataset_close(d);
}

/* Deleted records end an episode: 0–2, 5–8, 10–11. */
static void test_tub(void **state) {
  static const int64_t first[] = {0, 5, 10}, n[] = {3, 4, 2};
  mynah_json *expected;
  mynah_dataset *d = open_golden("tub", "donkey_tub", &expected, 0);
  const mynah_json *records = mynah_json_get(expected, "records");
  assert_int_equal(mynah_dataset_n_episodes(d), 3);
  assert_true(mynah_dataset_rate_hz(d) == 20);
  for (int64_t e = 0; e < 3; e++) {
    assert_int_equal(mynah_dataset_episode(d, e)->n_frames, n[e]);
    for (int64_t t = 0; t < n[e]; t++) {
      const mynah_json *r = mynah_json_at(records, (size_t)(first[e] + t));
      float action[2];
      case_ok(mynah_dataset_read(d, e, "action", t, 1, action));
      assert_true(action[0] == (float)mynah_json_to_number(mynah_json_get(r, "user/angle"), 9));
      assert_true(action[1] == (float)mynah_json_to_number(mynah_json_get(r, "user/throttle"), 9));
    }
  }
  mynah_json_destroy(expected);
  mynah_dataset_close(d);
}

/* ---- LeRobot
 * ------------------------------------------------------------------------------------------------------------ */

static void test_lerobot(void **state) {
  static const char *const names[] = {"lerobot_v21_state", "lerobot_v30_state", "lerobot_v30_image",
                                      "lerobot_v30_video"};
  for (int k = 0; k < 4; k++) {
    mynah_json *expected;
    bool has_decoder = mynah_video_is_supported();
    mynah_dataset *d = open_golden("lerobot", names[k], &expected, k == 3 && !has_decoder);
    const mynah_json *frames = mynah_json_get(expected, "frames"), *lengths = mynah_json_get(expected, "lengths"),
                     *tasks = mynah_json_get(expected, "tasks");
    assert_int_equal(mynah_dataset_n_episodes(d), mynah_json_size(lengths));
    assert_true(mynah_dataset_rate_hz(d) == mynah_json_to_number(mynah_json_get(expected, "fps"), 0));
    bool has_camera = mynah_dataset_find(d, "observation.images.top") != NULL;
    assert_int_equal(has_camera, k == 2 || (k == 3 && has_decoder));
    size_t at = 0;
    double off = 0; /* the sums of the video are those before it was encoded: 1.5 grey levels in the mean */
    for (size_t e = 0; e < mynah_json_size(lengths); e++) {
      assert_string_equal(mynah_dataset_episode(d, (int64_t)e)->task,
                          mynah_json_to_string(mynah_json_at(tasks, e), "?"));
      assert_int_equal(mynah_dataset_episode(d, (int64_t)e)->n_frames,
                       mynah_json_to_integer(mynah_json_at(lengths, e), 0));
      for (int64_t t = 0; t < mynah_json_to_integer(mynah_json_at(lengths, e), 0); t++, at++) {
        const mynah_json *f = mynah_json_at(frames, at);
        int64_t time_ns;
        expect_row(d, (int64_t)e, "observation.state", t, mynah_json_get(f, "observation.state"));
        expect_row(d, (int64_t)e, "action", t, mynah_json_get(f, "action"));
        case_ok(mynah_dataset_read_times(d, (int64_t)e, t, 1, &time_ns));
        assert_int_equal(time_ns, t * 100000000);
        if (!has_camera) continue;
        const mynah_json *sum = mynah_json_get(f, "image_sum");
        assert_non_null(sum);
        off += expect_sum(d, (int64_t)e, "observation.images.top", t, mynah_json_to_integer(sum, 0), k == 3 ? 4 : 0);
      }
    }
    assert_true(off <= 1.5 * (double)at);
    mynah_json_destroy(expected);
    mynah_dataset_close(d);
  }
}

/* The set's own statistics of each episode: extremes exactly, mean and deviation within 5e-6. */
static void expect_stats(mynah_dataset *d, int64_t episode, const char *feature, const mynah_json *want) {
  mynah_stats s;
  case_ok(mynah_dataset_stats(d, feature, &episode, 1, 0, &s));
  for (size_t k = 0; k < (size_t)s.size; k++) {
    double mean = mynah_json_to_number(mynah_json_at(mynah_json_get(want, "mean"), k), (double)NAN);
    double std = mynah_json_to_number(mynah_json_at(mynah_json_get(want, "std"), k), (double)NAN);
    assert_true(s.min[k] == (double)(float)mynah_json_to_number(mynah_json_at(mynah_json_get(want, "min"), k), 0));
    assert_true(s.max[k] == (double)(float)mynah_json_to_number(mynah_json_at(mynah_json_get(want, "max"), k), 0));
    if (!(fabs(s.mean[k] - mean) <= 5e-6 && fabs(s.std[k] - std) <= 5e-6))
      fail_msg("episode %lld %s[%zu]: mean %.9g, not %.9g; std %.9g, not %.9g", (long long)episode, feature, k,
               s.mean[k], mean, s.std[k], std);
  }
  mynah_stats_deinit(&s);
}

static void test_g1(void **state) {
  char path[MYNAH_PATH_MAX], stats[MYNAH_PATH_MAX + 32], *text;
  mynah_import_report r;
  mynah_dataset *d;
  size_t n;
  int64_t n_lines = 0;
  snprintf(path, sizeof path, "%s", mynah_test_shared("data/lerobot_g1_bottle"));
  case_ok(import("lerobot", path, "", &r));
  assert_int_equal(r.n_episodes, 100);
  assert_int_equal(r.n_frames, 35965);
  assert_int_equal(r.n_skipped, mynah_video_is_supported() ? 95 : 1); /* of 100 videos 5 are there */
  if (r.n_skipped > 1)
    assert_non_null(
        strstr(mynah_json_to_string(mynah_json_get(mynah_json_at(r.skipped, 0), "why"), ""), "video is missing"));
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  snprintf(stats, sizeof stats, "%s/meta/episodes_stats.jsonl", path);
  case_ok(mynah_file_read(stats, 1 << 26, &text, &n));
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));) {
    mynah_json *j;
    if (!line[0]) continue;
    case_ok(mynah_json_parse(line, strlen(line), &j));
    int64_t e = mynah_json_to_integer(mynah_json_get(j, "episode_index"), -1);
    expect_stats(d, e, "observation.state", mynah_json_get(mynah_json_get(j, "stats"), "observation.state"));
    expect_stats(d, e, "action", mynah_json_get(mynah_json_get(j, "stats"), "action"));
    mynah_json_destroy(j);
    n_lines++;
  }
  assert_int_equal(n_lines, 100);
  mynah_free(text);
  mynah_dataset_close(d);
}

/* ---- formats made here
 * ------------------------------------------------------------------------------------------------- */

static void write_text(const char *name, const char *text) {
  char path[2 * MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(out, '/') - out), out, name);
  case_ok(mynah_file_write(path, text, strlen(text)));
}

static void test_csv(void **state) {
  char path[MYNAH_PATH_MAX];
  mynah_import_report r;
  mynah_dataset *d;
  float v[3];
  int64_t time_ns;
  snprintf(path, sizeof path, "%.*s/a.csv", (int)(strrchr(out, '/') - out), out);
  write_text(
      "a.csv",
      "episode,time_s,task,action.x,action.y,observation.state[0],observation.state[1],observation.state[2],force\r\n"
      "0,0.5,\"push, \"\"it\"\"\",1,2,3,4,5,6\r\n0,0.6,,1.5,2,3,4,5,7\r\n"
      "1,0,reach,1,2,3,nan,5,6\n1,0.1,reach,1,2,3,4,5,6\n"
      "2,0,reach,1,2,3,4,x,6\n3,0,reach,1,2,3,4,6\n4,1,reach,-1,-2,-3,-4,-5,-6\n4,0.9,reach,1,1,1,1,1,1\n5,0,last,7,7,"
      "7,7,7,7\n");
  case_ok(import("csv", path, "rate_hz=10", &r));
  assert_int_equal(r.n_episodes, 2);
  assert_int_equal(r.n_frames, 3);
  assert_int_equal(r.n_skipped, 4); /* not finite, no number, a field short, time going back */
  assert_int_equal(mynah_json_size(r.skipped), 4);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_at(r.skipped, 3), "episode"), -1), 4);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_string_equal(mynah_dataset_episode(d, 0)->task, "push, \"it\"");
  assert_string_equal(mynah_dataset_find(d, "action")->names, "x,y");
  case_ok(mynah_dataset_read(d, 0, "observation.state", 1, 1, v));
  assert_true(v[0] == 3 && v[1] == 4 && v[2] == 5);
  case_ok(mynah_dataset_read(d, 0, "observation.force", 1, 1, v));
  assert_true(v[0] == 7);
  case_ok(mynah_dataset_read_times(d, 0, 1, 1, &time_ns));
  assert_int_equal(time_ns, 600000000);
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(out));
  case_ok(import("csv", path, "map=observation.load:force,:observation.state", &r));
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_non_null(mynah_dataset_find(d, "observation.load"));
  assert_null(mynah_dataset_find(d, "observation.state"));
  mynah_dataset_close(d);
  case_fails(import("csv", path, "", &r), MYNAH_BUSY, "exists already");
  case_ok(mynah_file_remove(out));
  write_text("a.csv", "x,y\n1,2\n");
  case_fails(import("csv", path, "", &r), MYNAH_NOT_FOUND, "has no actions");
  write_text("a.csv", "action,cam\n1,../../etc/passwd.jpg\n");
  case_fails(import("csv", path, "", &r), MYNAH_INVALID, "not below its folder");
  assert_false(mynah_file_exists(out));
}

/* Version 1: record_N.json beside the pictures; a broken record and a lost picture are reported. */
static void test_old_tub(void **state) {
  char path[MYNAH_PATH_MAX];
  uint8_t pixels[6 * 4 * 3] = {0};
  mynah_str jpeg = {0};
  mynah_import_report r;
  mynah_dataset *d;
  snprintf(path, sizeof path, "%.*s", (int)(strrchr(out, '/') - out), out);
  case_ok(mynah_jpeg_encode(&(mynah_image){pixels, 6, 4}, 90, &jpeg));
  for (int i = 1; i <= 12; i++) {
    char name[64], text[256], picture[MYNAH_PATH_MAX + 64];
    snprintf(name, sizeof name, "record_%d.json", i);
    snprintf(text, sizeof text,
             "{\"user/angle\": %g, \"user/throttle\": 0.5, \"cam/image_array\": \"%d_cam-image_array_.jpg\", "
             "\"milliseconds\": %d}",
             i / 10.0, i, 100 * i);
    write_text(name, i == 4 ? "{\"user/angle\": 0.1, \"us" : text);
    snprintf(picture, sizeof picture, "%s/%d_cam-image_array_.jpg", path, i);
    if (i != 8) case_ok(mynah_file_write(picture, jpeg.data, jpeg.length));
  }
  mynah_str_deinit(&jpeg);
  case_ok(import("tub", path, "", &r));
  assert_int_equal(r.n_frames, 10);
  assert_int_equal(r.n_episodes, 3);
  assert_int_equal(r.n_skipped, 2);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  float v[2];
  case_ok(mynah_dataset_read(d, 2, "action", 3, 1, v)); /* record 12: numbers, not text, give the order */
  assert_true(v[0] == 1.2F);
  mynah_dataset_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_robomimic, set_up), cmocka_unit_test_setup(test_aloha, set_up),
      cmocka_unit_test_setup(test_minari, set_up),    cmocka_unit_test_setup(test_imitation, set_up),
      cmocka_unit_test_setup(test_rollouts, set_up),  cmocka_unit_test_setup(test_tub, set_up),
      cmocka_unit_test_setup(test_lerobot, set_up),   cmocka_unit_test_setup(test_g1, set_up),
      cmocka_unit_test_setup(test_csv, set_up),       cmocka_unit_test_setup(test_old_tub, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
