/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The Udacity simulator's recordings: logs made here with every oddity seen in the wild, and a real one in ../shared.
 */
#include "dataset_case.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define WIDTH 16
#define HEIGHT 8

static char folder[MYNAH_PATH_MAX], out[MYNAH_PATH_MAX];

static int set_up(void **state) {
  char path[MYNAH_PATH_MAX + 8];
  const char *base = mynah_test_folder("udacity");
  snprintf(folder, sizeof folder, "%s/drive", base);
  snprintf(out, sizeof out, "%s/out.demos", base);
  snprintf(path, sizeof path, "%s/IMG", folder);
  case_ok(mynah_make_dirs(path));
  return 0;
}

static void put(const char *name, const void *data, size_t n) {
  char path[2 * MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  case_ok(mynah_file_write(path, data, n));
}

/* A picture whose grey tells it from others; in the folder's `name`. */
static void put_picture(const char *name, int grey, int width, mynah_str *blob) {
  uint8_t pixels[2 * WIDTH * HEIGHT * 3];
  mynah_image picture = {pixels, width, HEIGHT};
  mynah_str own = {0};
  memset(pixels, grey, sizeof pixels);
  case_ok(mynah_jpeg_encode(&picture, 90, &own));
  put(name, own.data, own.length);
  if (blob) *blob = own;
  else mynah_str_deinit(&own);
}

static void put_log(const char *text) { put("driving_log.csv", text, strlen(text)); }

static mynah_status import(const char *path, const char *key, const char *value, mynah_import_report *r) {
  const mynah_importer *importer;
  MYNAH_TRY(mynah_importer_find("udacity", &importer));
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return MYNAH_NO_MEMORY;
  mynah_config_default(importer->config, config);
  mynah_config_bind bind = {importer->config, config};
  mynah_status status = key ? mynah_config_set(&bind, 1, key, value) : MYNAH_OK;
  if (status == MYNAH_OK) status = importer->run(path, out, config, NULL, r);
  mynah_free(config);
  return status;
}

static void fails(mynah_status want, const char *text) {
  mynah_import_report r = {0};
  char part[MYNAH_PATH_MAX + 8];
  case_fails(import(folder, NULL, NULL, &r), want, text);
  snprintf(part, sizeof part, "%s.part", out);
  assert_false(mynah_file_exists(out) || mynah_file_exists(part));
}

static void test_log(void **state) {
  mynah_import_report r;
  mynah_dataset *d;
  mynah_str blob;
  put_picture("IMG/center_2016_12_01_13_30_48_287.jpg", 10, WIDTH, &blob);
  put_picture("IMG/center_2016_12_01_13_30_48_404.jpg", 20, WIDTH, NULL);
  put_picture("center_2016_12_01_13_30_48_500.jpg", 30, WIDTH, NULL); /* beside the log */
  put_picture("IMG/center_2016_12_01_13_30_52_000.jpg", 40, WIDTH, NULL);
  put_picture("IMG/center_2016_12_01_13_30_52_100.jpg", 50, 2 * WIDTH, NULL); /* of another size */
  put("IMG/center_2016_12_01_13_30_52_200.jpg", blob.data, blob.length / 2);  /* cut */
  put_log("center,left,right,steering,throttle,brake,speed\r\n"
          "IMG/center_2016_12_01_13_30_48_287.jpg, IMG/left_1.jpg, IMG/right_1.jpg, -0.25, 1, 0, 10\r\n"
          "C:\\Users\\me\\IMG\\center_2016_12_01_13_30_48_404.jpg,left.jpg,right.jpg,0.5,0.75,0.25,20\r\n"
          "/home/me/drive/IMG/center_2016_12_01_13_30_48_500.jpg,,,0,0,0,30.5\r\n"
          "IMG/center_gone.jpg,,,0,0,0,30\r\n"
          "IMG/center_2016_12_01_13_30_52_000.jpg,,,1e-3,0,0,0\r\n"
          "\r\n"
          "IMG/center_2016_12_01_13_30_52_100.jpg,,,0,0,0,0\r\n"
          "IMG/center_2016_12_01_13_30_52_200.jpg,,,0,0,0,0\r\n"
          "only,three,fields\r\n"
          "../../etc/passwd,,,0,0,0,0\r\n"
          "..,,,0,0,0,0");
  case_ok(import(folder, NULL, NULL, &r));
  assert_int_equal(r.n_episodes, 2); /* the pause of 3.5 s parts them */
  assert_int_equal(r.n_frames, 4);
  assert_int_equal(r.n_skipped, 6);
  assert_int_equal(mynah_json_size(r.skipped), 6);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_features(d), 3);
  const mynah_feature *camera = mynah_dataset_find(d, "observation.images.front"),
                      *action = mynah_dataset_find(d, "action");
  assert_true(camera->is_mirrorable && camera->dims[0] == HEIGHT && camera->dims[1] == WIDTH);
  assert_string_equal(action->names, "steering,throttle");
  assert_true(action->is_mirrorable && action->mirror_from[0] == -1 && action->mirror_from[1] == 2);
  assert_string_equal(mynah_dataset_find(d, "observation.state")->unit, "m/s");
  float row[6];
  int64_t times[3];
  const void *data;
  size_t n;
  case_ok(mynah_dataset_read(d, 0, "action", 0, 3, row));
  const float want[6] = {-0.25F, 1, 0.5F, 0.5F, 0, 0};
  assert_memory_equal(row, want, sizeof want);
  case_ok(mynah_dataset_read(d, 0, "observation.state", 2, 1, row));
  assert_true(fabs((double)row[0] - 30.5 * 0.44704) < 1e-6);
  case_ok(mynah_dataset_read_times(d, 0, 0, 3, times));
  assert_int_equal(times[0], 1480599048287000000); /* 2016-12-01 13:30:48.287 */
  assert_int_equal(times[1] - times[0], 117000000);
  assert_int_equal(times[2] - times[0], 213000000);
  case_ok(mynah_dataset_read_blob(d, 0, "observation.images.front", 0, &data, &n));
  assert_int_equal(n, blob.length); /* kept as it is */
  assert_memory_equal(data, blob.data, n);
  case_verify(d);
  mynah_dataset_close(d);
  mynah_str_deinit(&blob);
  case_ok(mynah_file_remove(out));
  case_ok(import(folder, "gap_s", "10", &r));
  assert_int_equal(r.n_episodes, 1);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_file_remove(out));
}

static void test_three_cameras(void **state) {
  static const char *const sides[3] = {"center", "left", "right"};
  mynah_import_report r;
  mynah_dataset *d;
  char log[1024] = "", name[64];
  for (int t = 0; t < 3; t++)
    for (int i = 0; i < 3; i++) {
      snprintf(name, sizeof name, "IMG/%s_2020_07_17_13_28_59_%03d.jpg", sides[i], 100 * t);
      put_picture(name, 10 * t + 60 * i, WIDTH, NULL);
      snprintf(log + strlen(log), sizeof log - strlen(log), "%s,", name);
      if (i == 2) strcat(log, "0.1,0.2,0.3,1\n");
    }
  put_log(log);
  case_ok(import(folder, "brake", "false", &r));
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_features(d), 5);
  assert_true(mynah_dataset_rate_hz(d) == 10);
  float row[2];
  case_ok(mynah_dataset_read(d, 0, "action", 1, 1, row));
  assert_true(row[1] == 0.2F);
  static const char *const cameras[3] = {"observation.images.front", "observation.images.left",
                                         "observation.images.right"};
  for (int i = 0; i < 3; i++) {
    mynah_image picture;
    case_ok(mynah_dataset_read_image(d, 0, cameras[i], 2, 0, 0, &picture));
    assert_true(abs(picture.data[0] - (20 + 60 * i)) < 3);
    mynah_image_deinit(&picture);
  }
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(out));
  char path[2 * MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%s/IMG/left_2020_07_17_13_28_59_100.jpg", folder);
  case_ok(mynah_file_remove(path)); /* one side picture gone: the centre camera alone, no row is lost */
  case_ok(import(folder, NULL, NULL, &r));
  assert_int_equal(r.n_frames, 3);
  assert_int_equal(r.n_skipped, 0);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_features(d), 3);
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(out));
}

static void test_refused(void **state) {
  fails(MYNAH_NOT_FOUND, "driving_log.csv");
  put_log("");
  fails(MYNAH_CORRUPT, "no rows");
  put_log("center,left,right,steering,throttle,brake,speed\n");
  fails(MYNAH_CORRUPT, "no rows");
  put_log("IMG/a.jpg,,,0,0,0,0\n");
  fails(MYNAH_NOT_FOUND, "none of the log's pictures");
  put("IMG/a.jpg", "not a picture", 13);
  fails(MYNAH_UNSUPPORTED, "");
  put_picture("IMG/a.jpg", 1, WIDTH, NULL);
  put_log("IMG/a.jpg,,,0,nan,0,0\n");
  fails(MYNAH_NONFINITE, "line 1");
  put("driving_log.csv", "IMG/a.jpg,,,0,0,0,0\n\0x", 22);
  fails(MYNAH_CORRUPT, "no text");
  mynah_import_report r;
  case_fails(import("/nowhere", NULL, NULL, &r), MYNAH_NOT_FOUND, "nowhere");
}

static mynah_status work(void *context) {
  mynah_import_report r;
  MYNAH_TRY(mynah_file_remove(out));
  MYNAH_TRY(import(folder, NULL, NULL, &r));
  mynah_status status = r.n_frames == 2 ? MYNAH_OK : mynah_fail(MYNAH_NO_MEMORY, "frames are missing");
  mynah_json_destroy(r.skipped);
  return status;
}

static void test_torture(void **state) {
  put_picture("IMG/a.jpg", 1, WIDTH, NULL);
  put_picture("IMG/b.jpg", 2, WIDTH, NULL);
  put_log("IMG/a.jpg,,,0,0,0,0\nIMG/b.jpg,,,0,0,0,0\n");
  assert_true(mynah_test_torture(work, NULL) > 20);
}

static void test_real(void **state) {
  const char *path = mynah_test_shared("data/udacity_sim_raspberrycar");
  mynah_import_report r;
  mynah_dataset *d;
  mynah_stats s;
  case_ok(import(path, NULL, NULL, &r));
  assert_int_equal(r.n_frames, 2740);
  assert_int_equal(r.n_skipped, 0);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  case_verify(d);
  case_ok(mynah_dataset_stats(d, "action", NULL, 0, 0, &s));
  assert_true(fabs(s.mean[0] + 0.03552) < 1e-5 && fabs(s.std[0] - 0.24004) < 1e-4 && s.min[0] == -1 && s.max[0] == 1);
  mynah_stats_deinit(&s);
  case_ok(mynah_dataset_stats(d, "observation.state", NULL, 0, 0, &s));
  assert_true(fabs(s.mean[0] / 0.44704 - 29.10) < 0.01 && fabs(s.max[0] / 0.44704 - 30.52) < 0.01);
  mynah_stats_deinit(&s);
  mynah_dataset_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_log, set_up),     cmocka_unit_test_setup(test_three_cameras, set_up),
      cmocka_unit_test_setup(test_refused, set_up), cmocka_unit_test_setup(test_torture, set_up),
      cmocka_unit_test_setup(test_real, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
