/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The file: every type and codec comes back, what is no dataset or a newer one is refused, one writer at a time. */
#include "dataset_case.h"

#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void round_trip(mynah_codec codec, bool is_exact) {
  const char *path = case_path("store");
  static const int64_t lengths[] = {1, 63, 64, 65, 200};
  mynah_dataset *d;
  case_ok(case_create(path, codec, &d));
  for (uint64_t i = 0; i < 5; i++) case_ok(case_write(d, i + 1, lengths[i]));
  for (int64_t i = 0; i < 5; i++) case_check(d, i, is_exact);
  mynah_dataset_close(d);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_episodes(d), 5);
  assert_int_equal(mynah_dataset_n_frames(d), 393);
  for (int64_t i = 0; i < 5; i++) {
    assert_int_equal(mynah_dataset_episode(d, i)->n_frames, lengths[i]);
    case_check(d, i, is_exact);
  }
  case_verify(d);
  mynah_dataset_close(d);
}

static void test_png(void **state) { round_trip(MYNAH_CODEC_PNG, true); }
static void test_raw(void **state) { round_trip(MYNAH_CODEC_RAW, true); }
static void test_jpeg(void **state) { round_trip(MYNAH_CODEC_JPEG, false); }

/* A raw picture may begin as a JPEG does. */
static void test_raw_like_jpeg(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  case_frame f;
  mynah_value v[CASE_N_FEATURES];
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_begin(d, 1));
  case_fill(&f, 1, 0);
  memcpy(f.picture, "\xff\xd8\xff\xe0", 4);
  case_values(&f, v);
  case_ok(mynah_episode_add(d, 0, v, NULL));
  case_ok(mynah_episode_seal(d, NULL));
  mynah_image picture;
  case_ok(mynah_dataset_read_image(d, 0, "observation.images.top", 0, 0, 0, &picture));
  assert_memory_equal(picture.data, f.picture, sizeof f.picture);
  mynah_image_deinit(&picture);
  mynah_dataset_close(d);
}

static void test_jpeg_is_close(void **state) {
  const char *path = case_path("store");
  mynah_feature f = mynah_feature_image("observation.images.top", 64, 64);
  mynah_dataset_config c = {.features = &f, .n_features = 1, .rate_hz = 10, .jpeg_quality = 95};
  static uint8_t smooth[64 * 64 * 3];
  mynah_value v = {smooth, sizeof smooth, 0};
  mynah_image picture;
  mynah_dataset *d;
  for (int i = 0; i < 64 * 64; i++) memset(smooth + 3 * i, i % 64 * 2 + i / 64, 3);
  case_ok(mynah_dataset_create(path, &c, &d));
  case_ok(mynah_episode_begin(d, &(mynah_episode){0}));
  case_ok(mynah_episode_add(d, 0, &v, NULL));
  case_ok(mynah_episode_seal(d, NULL));
  case_ok(mynah_dataset_read_image(d, 0, f.name, 0, 0, 0, &picture));
  for (size_t i = 0; i < sizeof smooth; i++) assert_true(abs(picture.data[i] - smooth[i]) <= 6);
  mynah_image_deinit(&picture);
  case_ok(mynah_dataset_read_image(d, 0, f.name, 0, 16, 16, &picture)); /* decoded at a quarter */
  assert_int_equal(picture.width, 16);
  mynah_image_deinit(&picture);
  mynah_dataset_close(d);
}

/* A camera slower than the frames: each picture is stored once, and every frame shows the right one, in copies too. */
static void test_repeated(void **state) {
  char other[MYNAH_PATH_MAX + 8];
  const char *path = case_path("store");
  mynah_feature f = mynah_feature_image("observation.images.top", 8, 8);
  mynah_dataset_config c = {.features = &f, .n_features = 1, .rate_hz = 10, .codec = MYNAH_CODEC_RAW};
  uint8_t pixels[8 * 8 * 3];
  mynah_dataset *d, *copy;
  int64_t n_rows = 0;
  case_ok(mynah_dataset_create(path, &c, &d));
  case_ok(mynah_episode_begin(d, &(mynah_episode){0}));
  assert_int_equal(mynah_episode_add(d, 0, &(mynah_value){0}, NULL), MYNAH_MISMATCH); /* of nothing */
  for (int t = 0; t < 200; t++) {
    memset(pixels, t / 7, sizeof pixels);
    case_ok(mynah_episode_add(d, t, &(mynah_value){t % 7 == 0 ? pixels : NULL, t % 7 == 0 ? sizeof pixels : 0, 0}, NULL));
  }
  case_ok(mynah_episode_seal(d, NULL));
  case_verify(d);
  snprintf(other, sizeof other, "%s.copy", path);
  case_ok(mynah_dataset_copy(&d, 1, &(mynah_copy_options){0}, other));
  case_ok(mynah_dataset_trim(d, 1, 3, -1, &(int64_t){0})); /* from the middle of a repetition */
  case_ok(mynah_dataset_open(other, MYNAH_OPEN_READ, &copy));
  case_verify(d);
  case_verify(copy);
  for (int t = 0; t < 200; t++) {
    mynah_image picture;
    case_ok(mynah_dataset_read_image(copy, 0, f.name, t, 0, 0, &picture));
    assert_int_equal(picture.data[0], t / 7);
    mynah_image_deinit(&picture);
    if (t < 3) continue;
    case_ok(mynah_dataset_read_image(d, 0, f.name, t - 3, 0, 0, &picture));
    assert_int_equal(picture.data[0], t / 7);
    mynah_image_deinit(&picture);
  }
  mynah_dataset_close(copy);
  mynah_dataset_close(d);
  sqlite3 *db;
  sqlite3_stmt *q;
  assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM picture WHERE codec=2", -1, &q, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(q), SQLITE_ROW);
  n_rows = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  sqlite3_close(db);
  unlink(other);
  assert_int_equal(n_rows, 29);
}

/* Blobs that are given encoded are kept byte for byte. */
static void test_encoded(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  case_frame f;
  mynah_value v[CASE_N_FEATURES];
  bool is_encoded[CASE_N_FEATURES] = {[7] = true};
  case_fill(&f, 3, 0);
  mynah_image picture = {f.picture, CASE_WIDTH, CASE_HEIGHT};
  mynah_str blobs[2] = {{0}, {0}};
  case_ok(mynah_jpeg_encode(&picture, 80, &blobs[0]));
  case_ok(mynah_png_encode(&picture, &blobs[1]));
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_begin(d, 3));
  case_values(&f, v);
  for (int i = 0; i < 2; i++) {
    v[7] = (mynah_value){blobs[i].data, blobs[i].length, 0};
    case_ok(mynah_episode_add(d, i, v, is_encoded));
  }
  v[7] = (mynah_value){"no picture at all", 17, 0};
  case_fails(mynah_episode_add(d, 5, v, is_encoded), MYNAH_MISMATCH, "neither JPEG nor PNG");
  picture = (mynah_image){f.picture, CASE_HEIGHT, CASE_WIDTH};
  mynah_str turned = {0};
  case_ok(mynah_jpeg_encode(&picture, 80, &turned));
  v[7] = (mynah_value){turned.data, turned.length, 0};
  case_fails(mynah_episode_add(d, 5, v, is_encoded), MYNAH_MISMATCH, "8 x 12 pixels where 12 x 8 are due");
  case_ok(mynah_episode_seal(d, NULL)); /* refused frames leave no trace */
  assert_int_equal(mynah_dataset_episode(d, 0)->n_frames, 2);
  for (int i = 0; i < 2; i++) {
    const void *data;
    size_t n;
    case_ok(mynah_dataset_read_blob(d, 0, "observation.images.top", i, &data, &n));
    assert_int_equal(n, blobs[i].length);
    assert_memory_equal(data, blobs[i].data, n);
    mynah_str_deinit(&blobs[i]);
  }
  mynah_str_deinit(&turned);
  mynah_dataset_close(d);
}

static void test_read_as_floats(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  case_frame f;
  float got[130 * 4];
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 9, 130));
  case_ok(mynah_dataset_read(d, 0, "observation.i32", 60, 70, got));
  for (int t = 60; t < 130; t++) {
    case_fill(&f, 9, t);
    for (int k = 0; k < 2; k++) assert_true(got[2 * (t - 60) + k] == (float)f.i32[k]);
  }
  case_ok(mynah_dataset_read(d, 0, "observation.bf16", 129, 1, got));
  uint32_t bits = (uint32_t)f.bf16[1] << 16;
  assert_memory_equal(&got[1], &bits, 4);
  case_ok(mynah_dataset_read(d, 0, "action", 0, 130, got));
  case_fill(&f, 9, 77);
  assert_true(got[2 * 77 + 1] == f.action[1]);
  case_ok(mynah_dataset_read(d, 0, "action", 130, 0, got));
  case_fails(mynah_dataset_read(d, 0, "action", 0, 131, got), MYNAH_INVALID, "130 frames");
  case_fails(mynah_dataset_read(d, 0, "action", INT64_MAX, 2, got), MYNAH_INVALID, "asked for");
  case_fails(mynah_dataset_read(d, 1, "action", 0, 1, got), MYNAH_NOT_FOUND, "no episode number 1");
  case_fails(mynah_dataset_read(d, 0, "acton", 0, 1, got), MYNAH_NOT_FOUND, "acton");
  case_fails(mynah_dataset_read(d, 0, "observation.images.top", 0, 1, got), MYNAH_INVALID, "a picture");
  mynah_dataset_close(d);
}

/* ---- what a file says of itself ------------------------------------------------------------------------------------
 */

static void test_description(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  mynah_feature want[CASE_N_FEATURES];
  mynah_str text = {0};
  char before[65], after[65];
  case_features(want);
  case_ok(case_create(path, MYNAH_CODEC_PNG, &d));
  case_ok(mynah_dataset_hash(d, before));
  case_ok(mynah_dataset_set_note(d, "license", "MIT"));
  case_ok(case_begin(d, 1));
  case_fails(mynah_dataset_set_note(d, "license", "none"), MYNAH_BUSY, "episode is open");
  mynah_episode_discard(d);
  case_ok(case_write(d, 1, 3));
  case_ok(mynah_dataset_hash(d, after));
  assert_string_not_equal(before, after);
  mynah_dataset_close(d);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_features(d), CASE_N_FEATURES);
  for (int i = 0; i < CASE_N_FEATURES; i++) assert_memory_equal(mynah_dataset_feature(d, i), &want[i], sizeof want[i]);
  assert_ptr_equal(mynah_dataset_find(d, "action"), mynah_dataset_feature(d, 8));
  assert_null(mynah_dataset_find(d, "actions"));
  assert_true(mynah_dataset_rate_hz(d) == 20);
  assert_string_equal(mynah_dataset_robot(d), "sim:test");
  case_ok(mynah_dataset_get_note(d, "license", &text));
  assert_string_equal(mynah_str_text(&text), "MIT");
  mynah_str_deinit(&text);
  case_fails(mynah_dataset_get_note(d, "licence", &text), MYNAH_NOT_FOUND, "licence");
  case_fails(mynah_dataset_set_note(d, "license", "none"), MYNAH_INVALID, "reading only");
  case_fails(case_begin(d, 2), MYNAH_INVALID, "reading only");
  case_ok(mynah_dataset_hash(d, before));
  assert_string_equal(before, after);
  mynah_dataset_close(d);
}

/* The same frames make the same hashes, in any file, however they were timed. */
static void test_hash_depends_on_content_alone(void **state) {
  char path[2][MYNAH_PATH_MAX], hash[2][65];
  const char *folder = mynah_test_folder("store");
  for (int i = 0; i < 2; i++) {
    mynah_dataset *d;
    snprintf(path[i], sizeof path[i], "%s/%d.demos", folder, i);
    case_ok(case_create(path[i], MYNAH_CODEC_RAW, &d));
    if (i == 1) case_ok(case_write(d, 77, 5));
    case_ok(case_begin(d, 5));
    for (int64_t t = 0; t < 100; t++) {
      if (i == 1 && t == 50) usleep(510000); /* a commit comes between */
      case_ok(case_add(d, 5, t));
    }
    case_ok(mynah_episode_seal(d, NULL));
    snprintf(hash[i], 65, "%s", mynah_dataset_episode(d, i)->hash);
    mynah_dataset_close(d);
  }
  assert_string_equal(hash[0], hash[1]);
}

static void test_config_is_checked(void **state) {
  const char *path = case_path("store");
  mynah_feature f[2] = {mynah_feature_vector("a", 2, "", ""), mynah_feature_vector("a", 3, "", "")};
  mynah_dataset_config c = {.features = f, .n_features = 2, .rate_hz = 10};
  mynah_dataset *d;
  case_fails(mynah_dataset_create(path, &c, &d), MYNAH_INVALID, "twice");
  c.n_features = 0;
  case_fails(mynah_dataset_create(path, &c, &d), MYNAH_INVALID, "features");
  c.n_features = 1;
  c.rate_hz = (double)NAN;
  case_fails(mynah_dataset_create(path, &c, &d), MYNAH_INVALID, "Hz");
  c.rate_hz = 10;
  c.codec = (mynah_codec)7;
  case_fails(mynah_dataset_create(path, &c, &d), MYNAH_INVALID, "codec");
  c.codec = MYNAH_CODEC_PNG;
  assert_false(mynah_file_exists(path));
  case_fails(mynah_dataset_create("/nowhere/at/all.demos", &c, &d), MYNAH_NOT_FOUND, "nowhere");
  case_fails(mynah_dataset_create("", &c, &d), MYNAH_INVALID, "path");
  case_ok(mynah_dataset_create(path, &c, &d));
  mynah_dataset_close(d);
  case_fails(mynah_dataset_create(path, &c, &d), MYNAH_BUSY, "exists");
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_CREATE, &d), MYNAH_INVALID, "mynah_dataset_create");
}

/* ---- what is opened ------------------------------------------------------------------------------------------------
 */

static void sql(const char *path, const char *text) {
  sqlite3 *db;
  char *error = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
  if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s: %s", text, error);
  sqlite3_close(db);
}

static void test_strangers_are_refused(void **state) {
  static const struct {
    const char *sql;
    mynah_status status;
    const char *text;
  } cases[] = {
      {"PRAGMA user_version=2000", MYNAH_UNSUPPORTED, "newer mynah"},
      {"PRAGMA user_version=7", MYNAH_CORRUPT, "format number"},
      {"PRAGMA application_id=1", MYNAH_UNSUPPORTED, "not marked as .demos"},
      {"CREATE TRIGGER t AFTER INSERT ON episode BEGIN DELETE FROM block; END", MYNAH_CORRUPT, "tables"},
      {"CREATE VIEW v AS SELECT * FROM meta", MYNAH_CORRUPT, "tables"},
      {"CREATE TABLE more(x)", MYNAH_CORRUPT, "tables"},
      {"DROP INDEX picture_place", MYNAH_CORRUPT, "tables"},
      {"ALTER TABLE block ADD COLUMN x INTEGER", MYNAH_CORRUPT, "tables"},
      {"UPDATE meta SET value='{}' WHERE key='dataset'", MYNAH_CORRUPT, "note 'dataset'"},
      {"DELETE FROM meta", MYNAH_CORRUPT, "what it holds"},
      {"UPDATE feature SET description=replace(description,'m','M')", MYNAH_CORRUPT, "feature"},
      {"DELETE FROM feature WHERE id=0", MYNAH_CORRUPT, "feature"},
      {"UPDATE episode SET success=1-success", MYNAH_CORRUPT, "episode 1"},
      {"UPDATE episode SET is_sealed=0", MYNAH_CORRUPT, "episode 1"},
      {"UPDATE episode SET n_frames=64", MYNAH_CORRUPT, "episode 1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path = case_path("store");
    mynah_dataset *d;
    case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
    case_ok(case_write(d, 1, 100));
    mynah_dataset_close(d);
    sql(path, cases[i].sql);
    case_fails(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), cases[i].status, cases[i].text);
    case_fails(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d), cases[i].status, cases[i].text);
  }
}

/* A newer minor version brings tables that need not be known for reading. */
static void test_newer_minor_is_read(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 100));
  mynah_dataset_close(d);
  sql(path, "PRAGMA user_version=1001; CREATE TABLE tag(episode INTEGER, name TEXT)");
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  case_check(d, 0, true);
  mynah_dataset_close(d);
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d), MYNAH_UNSUPPORTED, "1.1");
  sql(path, "CREATE TRIGGER t AFTER INSERT ON episode BEGIN DELETE FROM block; END");
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_CORRUPT, "tables");
}

static void test_other_files(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  char folder[MYNAH_PATH_MAX];
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_NOT_FOUND, path);
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d), MYNAH_NOT_FOUND, path);
  case_ok(mynah_file_write(path, "", 0));
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_CORRUPT, "empty");
  case_ok(mynah_file_write(path, "center,left,right", 17));
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_UNSUPPORTED, "no .demos file");
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d), MYNAH_UNSUPPORTED, "no .demos file");
  unlink(path);
  sql(path, "CREATE TABLE a(x)");
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_UNSUPPORTED, "SQLite file");
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
  case_fails(mynah_dataset_open(folder, MYNAH_OPEN_READ, &d), MYNAH_UNSUPPORTED, "no file");
  case_fails(mynah_dataset_open("/dev/zero", MYNAH_OPEN_READ, &d), MYNAH_UNSUPPORTED, "no file");
  case_fails(mynah_dataset_open("", MYNAH_OPEN_READ, &d), MYNAH_INVALID, "path");
}

static void test_one_writer(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d, *other;
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &other), MYNAH_BUSY, "writing to it");
  mynah_dataset_close(d);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d));
  case_fails(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &other), MYNAH_BUSY, "writing to it");
  mynah_dataset_close(d);
  char **names;
  size_t n;
  char folder[MYNAH_PATH_MAX];
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
  case_ok(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  mynah_dataset_close(d);
  case_ok(mynah_list_dir(folder, &names, &n)); /* nothing is left beside a file at rest */
  assert_int_equal(n, 1);
  mynah_names_free(names, n);
}

/* Names that mean something to SQLite or in a URI are names here. */
static void test_odd_names(void **state) {
  static const char *const names[] = {"a b%41?mode=memory#x.demos", ":memory:", "file:x?immutable=1"};
  char old[MYNAH_PATH_MAX];
  assert_non_null(getcwd(old, sizeof old));
  assert_int_equal(chdir(mynah_test_folder("store")), 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    mynah_dataset *d;
    case_ok(case_create(names[i], MYNAH_CODEC_RAW, &d));
    case_ok(case_write(d, 1, 3));
    mynah_dataset_close(d);
    assert_true(mynah_file_exists(names[i]));
    case_ok(mynah_dataset_open(names[i], MYNAH_OPEN_READ, &d));
    case_check(d, 0, true);
    mynah_dataset_close(d);
  }
  assert_int_equal(chdir(old), 0);
}

/* A file in a folder that cannot be written, still marked as having a log. */
static void test_read_only_folder(void **state) {
  const char *path = case_path("store");
  mynah_dataset *d;
  char folder[MYNAH_PATH_MAX];
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(case_write(d, 1, 3));
  mynah_dataset_close(d);
  sql(path, "PRAGMA journal_mode=WAL; SELECT * FROM meta");
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
  bool is_mounted = false;
  if (geteuid() == 0) { /* whom permissions do not stop */
    is_mounted = mount(folder, folder, NULL, MS_BIND, NULL) == 0;
    if (is_mounted && mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0) {
      umount2(folder, MNT_DETACH);
      is_mounted = false;
    }
    if (!is_mounted) {
      print_message("skipped: nothing can be mounted here\n");
      skip();
    }
  } else assert_int_equal(chmod(folder, 0555), 0);
  mynah_status status = mynah_dataset_open(path, MYNAH_OPEN_READ, &d);
  bool is_right = status == MYNAH_OK && mynah_dataset_n_episodes(d) == 1;
  if (status == MYNAH_OK) {
    mynah_verify_report r;
    is_right = is_right && mynah_dataset_verify(d, NULL, &r) == MYNAH_OK && r.n_damaged == 0;
    mynah_dataset_close(d);
  }
  if (is_mounted) umount2(folder, MNT_DETACH);
  else chmod(folder, 0755);
  if (!is_right) fail_msg("%s: %s", mynah_status_name(status), mynah_error());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_png),
      cmocka_unit_test(test_raw),
      cmocka_unit_test(test_jpeg),
      cmocka_unit_test(test_raw_like_jpeg),
      cmocka_unit_test(test_jpeg_is_close),
      cmocka_unit_test(test_repeated), cmocka_unit_test(test_encoded),
      cmocka_unit_test(test_read_as_floats),
      cmocka_unit_test(test_description),
      cmocka_unit_test(test_hash_depends_on_content_alone),
      cmocka_unit_test(test_config_is_checked),
      cmocka_unit_test(test_strangers_are_refused),
      cmocka_unit_test(test_newer_minor_is_read),
      cmocka_unit_test(test_other_files),
      cmocka_unit_test(test_one_writer),
      cmocka_unit_test(test_odd_names),
      cmocka_unit_test(test_read_only_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
