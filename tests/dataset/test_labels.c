/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lists of pictures with boxes: label rows, dataset.yaml, NDJSON, import and export, and what is wrong in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "src/dataset/labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[64];

static int set_up(void **state) {
  (void)state;
  snprintf(root, sizeof root, "/tmp/mynah-labels-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}
static int tear_down(void **state) {
  (void)state;
  return mynah_remove_tree(root) == MYNAH_OK ? 0 : -1;
}

static const char *in_root(const char *name) {
  static char paths[4][MYNAH_PATH_MAX];
  static int turn;
  char *out = paths[turn = (turn + 1) % 4];
  if (mynah_path_join(out, MYNAH_PATH_MAX, root, name) != MYNAH_OK) fail_msg("%s", mynah_error());
  return out;
}

static void put(const char *name, const char *text, size_t n) {
  char folder[MYNAH_PATH_MAX];
  snprintf(folder, sizeof folder, "%s", in_root(name));
  *strrchr(folder, '/') = 0;
  if (mynah_make_dirs(folder) != MYNAH_OK || mynah_file_write(in_root(name), text, n) != MYNAH_OK)
    fail_msg("%s", mynah_error());
}
static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void put_picture(const char *name, int width, int height) {
  mynah_image image = {calloc((size_t)width * (size_t)height, 3), width, height};
  mynah_str png = {0};
  memset(image.data, 200, (size_t)width * (size_t)height * 3);
  if (mynah_png_encode(&image, &png) != MYNAH_OK) fail_msg("%s", mynah_error());
  put(name, png.data, png.length);
  mynah_str_deinit(&png);
  free(image.data);
}

static void ok(mynah_status status) {
  if (status != MYNAH_OK) fail_msg("%s", mynah_error());
}
static void refused(mynah_status status, const char *text) {
  if (status == MYNAH_OK || !strstr(mynah_error(), text))
    fail_msg("status %d, \"%s\" lacks \"%s\"", (int)status, mynah_error(), text);
}

/* ---- label rows ------------------------------------------------------------------------------------------------- */

static mynah_status parse(const char *text, float **boxes, size_t *n) {
  char *copy = mynah_strdup(text);
  mynah_status status = mynah__label_text_parse(copy, strlen(text), 3, boxes, n);
  mynah_free(copy);
  return status;
}

static void test_rows(void **state) {
  (void)state;
  float *boxes;
  size_t n;
  ok(parse("0 0.5 0.25 0.1 0.2\r\n\n  2\t0.1 0.2 0.1 0.1\n1 0.5 0.5 0 0.1\n1 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6", &boxes,
           &n));
  assert_int_equal(n, 3); /* one is empty */
  const float due[15] = {0, 0.5f, 0.25f, 0.1f, 0.2f, 2, 0.1f, 0.2f, 0.1f, 0.1f, 1, 0.3f, 0.4f, 0.4f, 0.4f};
  for (int i = 0; i < 15; i++) assert_true(fabsf(boxes[i] - due[i]) < 1e-6f);
  mynah_free(boxes);
  ok(parse("", &boxes, &n));
  assert_int_equal(n, 0);
  mynah_free(boxes);
}

static void test_bad_rows(void **state) {
  (void)state;
  float *boxes;
  size_t n;
  refused(parse("0 0.5 0.5 0.1 0.1\n3 0.5 0.5 0.1 0.1", &boxes, &n), "line 2: class 3");
  refused(parse("0.5 0.5 0.5 0.1 0.1", &boxes, &n), "class 0.5");
  refused(parse("-1 0.5 0.5 0.1 0.1", &boxes, &n), "class -1");
  refused(parse("0 0.5 0.5 1.5 0.1", &boxes, &n), "1.5: places");
  refused(parse("0 nan 0.5 0.5 0.1", &boxes, &n), "places");
  refused(parse("0 0.5 0.5 0.1", &boxes, &n), "4 numbers");
  refused(parse("0 0.5 0.5 0.1 0.1 0.9", &boxes, &n), "6 numbers");
  refused(parse("cat 0.5 0.5 0.1 0.1", &boxes, &n), "'cat' is no number");
}

/* ---- dataset.yaml ----------------------------------------------------------------------------------------------- */

static mynah_status parse_yaml(const char *text, mynah__yaml *y) {
  char *copy = mynah_strdup(text);
  mynah_status status = mynah__yaml_parse(copy, strlen(text), y);
  mynah_free(copy);
  return status;
}

static void check_names(const char *text) {
  mynah__yaml y;
  ok(parse_yaml(text, &y));
  assert_int_equal(y.names.n, 3);
  assert_string_equal(y.names.names[0], "cat");
  assert_string_equal(y.names.names[1], "big dog");
  assert_string_equal(y.names.names[2], "it's, #1");
  mynah__yaml_deinit(&y);
}

static void test_yaml_names(void **state) {
  (void)state;
  check_names("names: [cat, 'big dog', \"it's, #1\"]");
  check_names("names: {0: cat, 1: \"big dog\" , 2: \"it's, #1\"} # said here");
  check_names("# all\nnc: 3\nnames:\n  0: cat\n  2: \"it's, #1\"\n  1: big dog # large\nauthor: me\n");
  check_names("---\nnames:\n- cat\n- big dog\n- \"it's, #1\"\n");
}

static void test_yaml_parts(void **state) {
  (void)state;
  mynah__yaml y;
  /* What it would run is text below a key nobody asks for. */
  ok(parse_yaml("path: ./pets\ntrain:\n  - a/images\n  - b/images\nval: 'c d/images'\ntest:\nnames: [x]\ndownload: |\n "
                " import os\n  train: evil\n"
                "  os.system('rm -rf /')\n",
                &y));
  assert_string_equal(y.path, "./pets");
  assert_int_equal(y.n_entries[0], 2);
  assert_string_equal(y.entries[0][1], "b/images");
  assert_int_equal(y.n_entries[1], 1);
  assert_string_equal(y.entries[1][0], "c d/images");
  assert_int_equal(y.n_entries[2], 0);
  mynah__yaml_deinit(&y);
}

static void test_yaml_refused(void **state) {
  (void)state;
  mynah__yaml y;
  refused(parse_yaml("train: a\n", &y), "no names");
  refused(parse_yaml("names: [a, b\n", &y), "line 1: a list");
  refused(parse_yaml("names: {0: a, 2: b}\n", &y), "class 1 has no name");
  refused(parse_yaml("names: {0: a, 0: b}\n", &y), "two names");
  refused(parse_yaml("names: {99999: a}\n", &y), "0 …");
  refused(parse_yaml("names: [&x a]\n", &y), "beyond");
  refused(parse_yaml("names: [\"a]\n", &y), "quote");
  refused(parse_yaml("names: a\n", &y), "neither");
  refused(parse_yaml("train\n", &y), "line 1");
}

/* ---- whole sets ------------------------------------------------------------------------------------------------- */

static void make_set(void) {
  put_text("set/dataset.yaml",
           "train: images/train\nval: ../images/val\nnames: [cone, ball]\ndownload: https://example.org/x.zip\n");
  put_picture("set/images/train/a.png", 80, 40);
  put_picture("set/images/train/deep/b.png", 40, 80);
  put_picture("set/images/train/bad.png", 8, 8);
  put_text("set/images/train/torn.jpg", "\xff\xd8\xff\xe0 torn");
  put_picture("set/images/val/c.png", 64, 64);
  put_text("set/labels/train/a.txt", "1 0.5 0.5 0.5 0.5\n");
  put_text("set/labels/train/deep/b.txt", "0 0.25 0.25 0.25 0.25\n1 0.75 0.75 0.5 0.5\n");
  put_text("set/labels/train/bad.txt", "7 0.5 0.5 0.5 0.5\n");
}

static void test_folder(void **state) {
  (void)state;
  mynah_labels *l;
  int n;
  int64_t n_skipped;
  make_set();
  assert_true(mynah_labels_is(in_root("set")));
  ok(mynah_labels_open(in_root("set"), &l));
  assert_int_equal(mynah_labels_n(l), 4); /* torn.jpg is not looked into */
  assert_int_equal(mynah_labels_n_boxes_max(l), 2);
  assert_string_equal(mynah_labels_classes(l, &n)[1], "ball");
  assert_int_equal(n, 2);
  const mynah_json *skipped = mynah_labels_skipped(l, &n_skipped);
  assert_int_equal(n_skipped, 1);
  assert_non_null(strstr(mynah_json_to_string(mynah_json_get(mynah_json_at(skipped, 0), "why"), ""), "class 7"));
  const mynah_labelled *c = mynah_labels_at(l, 3);
  assert_int_equal(c->part, 1);
  assert_int_equal(c->n_boxes, 0);
  mynah_labels_close(l);
}

static void test_escapes(void **state) {
  (void)state;
  mynah_labels *l;
  put_text("out/dataset.yaml", "train: /etc\nnames: [a]\n");
  refused(mynah_labels_open(in_root("out"), &l), "no folder beside");
  put_text("out/dataset.yaml", "train: a/../../..\nnames: [a]\n");
  refused(mynah_labels_open(in_root("out"), &l), "no folder beside");
  put_text("out/dataset.yaml", "path: /etc\ntrain: x\nnames: [a]\n");
  refused(mynah_labels_open(in_root("out"), &l), "leaves the folder");
  put_text("out/d.ndjson",
           "{\"type\":\"dataset\",\"class_names\":{\"0\":\"a\"}}\n{\"type\":\"image\",\"file\":\"../../etc/x.jpg\"}\n");
  refused(mynah_labels_open(in_root("out/d.ndjson"), &l), "leaves the folder");
}

/* Import fits pictures into a square; boxes stay on what they were on. */
static void test_import(void **state) {
  (void)state;
  const mynah_importer *yolo;
  mynah_import_report report;
  mynah_dataset *d;
  float boxes[10];
  make_set();
  ok(mynah_importer_find("yolo", &yolo));
  void *config = calloc(1, yolo->config->bytes);
  mynah_config_bind bind = {yolo->config, config};
  mynah_config_default(yolo->config, config);
  ok(mynah_config_set(&bind, 1, "imgsz", "64"));
  ok(yolo->run(in_root("set"), in_root("set.demos"), config, NULL, &report));
  assert_int_equal(report.n_frames, 3);
  assert_int_equal(report.n_skipped, 2); /* bad labels; torn picture */
  mynah_json_destroy(report.skipped);
  free(config);
  ok(mynah_dataset_open(in_root("set.demos"), MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_part(d, 0), 0);
  assert_int_equal(mynah_dataset_part(d, 1), 1);
  ok(mynah_dataset_read(d, 0, "boxes.front", 0, 1, boxes));
  const float due[10] = {1, 0.5f, 0.5f, 0.5f, 0.25f, -1}; /* 80 x 40 stands in rows 16 … 47 */
  for (int i = 0; i < 10; i++) assert_true(fabsf(boxes[i] - due[i]) < 1e-6f);
  mynah_dataset_close(d);
}

/* What was exported reads the same, as YOLO's files and as NDJSON. */
static void test_export(void **state) {
  (void)state;
  static const char *const forms[] = {"again/dataset.yaml", "again/dataset.ndjson"};
  mynah_dataset *d;
  const mynah_exporter *yolo;
  test_import(NULL);
  ok(mynah_exporter_find("yolo", &yolo));
  ok(mynah_dataset_open(in_root("set.demos"), MYNAH_OPEN_READ, &d));
  ok(yolo->run(d, in_root("again"), NULL));
  mynah_dataset_close(d);
  for (int k = 0; k < 2; k++) {
    mynah_labels *l;
    int n;
    ok(mynah_labels_open(in_root(forms[k]), &l));
    assert_int_equal(mynah_labels_n(l), 3);
    assert_string_equal(mynah_labels_classes(l, &n)[0], "cone");
    for (int64_t i = 0; i < 3; i++) {
      const mynah_labelled *p = mynah_labels_at(l, i);
      assert_int_equal(p->n_boxes, 1 + (i == 1) - (i == 2));
      assert_int_equal(p->part, i == 2);
      if (i == 0) assert_true(p->boxes[0] == 1 && fabsf(p->boxes[4] - 0.25f) < 1e-5f);
    }
    mynah_labels_close(l);
  }
}

/* Classes go along when a file is copied. */
static void test_copy(void **state) {
  (void)state;
  mynah_dataset *d;
  char **names;
  size_t n;
  mynah_copy_options o = {0};
  test_import(NULL);
  ok(mynah_dataset_open(in_root("set.demos"), MYNAH_OPEN_READ, &d));
  ok(mynah_dataset_copy(&d, 1, &o, in_root("copy.demos")));
  mynah_dataset_close(d);
  ok(mynah_dataset_open(in_root("copy.demos"), MYNAH_OPEN_READ, &d));
  ok(mynah_dataset_get_classes(d, &names, &n));
  assert_int_equal(n, 2);
  assert_string_equal(names[1], "ball");
  mynah_names_free(names, n);
  mynah_dataset_close(d);
}

/* Between two pictures there is no mixture of their boxes. */
static void test_resample(void **state) {
  (void)state;
  mynah_dataset *d;
  mynah_copy_options o = {.rate_hz = 4};
  float two[2][10], all[5][10];
  test_import(NULL);
  ok(mynah_dataset_open(in_root("set.demos"), MYNAH_OPEN_READ, &d));
  ok(mynah_dataset_read(d, 0, "boxes.front", 0, 2, &two[0][0]));
  ok(mynah_dataset_copy(&d, 1, &o, in_root("fast.demos")));
  mynah_dataset_close(d);
  ok(mynah_dataset_open(in_root("fast.demos"), MYNAH_OPEN_READ, &d));
  ok(mynah_dataset_read(d, 0, "boxes.front", 0, 5, &all[0][0]));
  for (int t = 0; t < 5; t++) assert_memory_equal(all[t], two[t >= 2], sizeof all[t]);
  mynah_dataset_close(d);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_rows),   TEST(test_bad_rows), TEST(test_yaml_names), TEST(test_yaml_parts), TEST(test_yaml_refused),
      TEST(test_folder), TEST(test_escapes),  TEST(test_import),     TEST(test_export),     TEST(test_copy),
      TEST(test_resample)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
