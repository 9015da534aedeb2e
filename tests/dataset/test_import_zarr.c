/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Zarr replay buffers: stores made here in every variant, real ones in ../shared, and damaged ones. */
#include "dataset_case.h"

#include "src/dataset/zarr.h"

#include <blosc.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#define N 23 /* frames of the stores made here: episodes of 9 and 14 */
#define SIDE 6
#define CHUNK 5 /* rows */

static char store[MYNAH_PATH_MAX], out[MYNAH_PATH_MAX], part[MYNAH_PATH_MAX + 8];

/* ---- making a store
 * -------------------------------------------------------------------------------------------------- */

typedef struct array {
  const char *name, *dtype, *codec; /* "", "zlib", "gzip", "lz4" … of Blosc */
  int n_dims;
  int64_t dims[4];
  const void *data;
  size_t item;
} array;

static void write_file(const char *folder, const char *name, const void *data, size_t n) {
  char path[3 * MYNAH_PATH_MAX];
  assert_true(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path);
  case_ok(mynah_file_write(path, data, n));
}

static size_t pack(const char *codec, const uint8_t *data, size_t n, size_t item, uint8_t *to, size_t room) {
  if (!codec[0]) return memcpy(to, data, n), n;
  if (strcmp(codec, "zlib") != 0 && strcmp(codec, "gzip") != 0) {
    int packed = blosc_compress_ctx(5, BLOSC_SHUFFLE, item, n, data, to, room, codec, 0, 1);
    assert_true(packed > 0);
    return (size_t)packed;
  }
  z_stream s = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n, .next_out = to, .avail_out = (uInt)room};
  assert_int_equal(deflateInit2(&s, 5, Z_DEFLATED, codec[0] == 'g' ? 15 + 16 : 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
  deflateEnd(&s);
  return s.total_out;
}

/* An array in chunks of CHUNK rows, the last one filled up. */
static void put_array(const char *group, const array *a) {
  char folder[2 * MYNAH_PATH_MAX], name[64] = "", text[512], shape[128] = "", chunks[128] = "";
  size_t row = a->item;
  snprintf(folder, sizeof folder, "%s/%s/%s", store, group, a->name);
  case_ok(mynah_make_dirs(folder));
  for (int i = 0; i < a->n_dims; i++) {
    size_t n = strlen(shape), m = strlen(chunks);
    snprintf(shape + n, sizeof shape - n, "%s%lld", i ? "," : "", (long long)a->dims[i]);
    snprintf(chunks + m, sizeof chunks - m, "%s%lld", i ? "," : "", (long long)(i ? a->dims[i] : CHUNK));
    if (i > 0) row *= (size_t)a->dims[i];
  }
  bool is_plain = !a->codec[0], is_zlib = !is_plain && strchr("zg", a->codec[0]) && strcmp(a->codec, "zstd") != 0;
  int n =
      snprintf(text, sizeof text,
               "{\"zarr_format\":2,\"shape\":[%s],\"chunks\":[%s],\"dtype\":\"%s\",\"order\":\"C\",\"filters\":null,"
               "\"fill_value\":0.5,\"compressor\":%s%s%s}",
               shape, chunks, a->dtype, is_plain ? "null" : "{\"id\":\"",
               is_plain  ? ""
               : is_zlib ? a->codec
                         : "blosc",
               is_plain ? "" : "\"}");
  write_file(folder, ".zarray", text, (size_t)n);
  uint8_t *chunk = mynah_alloc(CHUNK * row), *packed = mynah_alloc(2 * CHUNK * row + 1000);
  assert_true(chunk && packed);
  for (int64_t at = 0; at < a->dims[0]; at += CHUNK) {
    int64_t rows = a->dims[0] - at < CHUNK ? a->dims[0] - at : CHUNK;
    memset(chunk, 0, CHUNK * row);
    memcpy(chunk, (const uint8_t *)a->data + (size_t)at * row, (size_t)rows * row);
    size_t bytes = pack(a->codec, chunk, CHUNK * row, a->item, packed, 2 * CHUNK * row + 1000);
    int used = snprintf(name, sizeof name, "%lld", (long long)(at / CHUNK));
    for (int i = 1; i < a->n_dims; i++) used += snprintf(name + used, sizeof name - (size_t)used, ".0");
    write_file(folder, name, packed, bytes);
  }
  mynah_free(chunk);
  mynah_free(packed);
}

/* What the stores hold. */
static float state[N][5], points[N][9][2], action[N][2], extra[N][3], float_pictures[N][SIDE][SIDE][3];
static uint8_t pictures[N][SIDE][SIDE][3];
static int64_t ends[2] = {9, N};

static void fill(float scale) {
  mynah_rng r = mynah_rng_make(1, 2);
  for (int t = 0; t < N; t++) {
    for (int i = 0; i < 5; i++) state[t][i] = (float)mynah_rng_range(&r, 0, 512);
    for (int i = 0; i < 18; i++) points[t][i / 2][i % 2] = (float)mynah_rng_range(&r, 0, 512);
    for (int i = 0; i < 2; i++) action[t][i] = (float)mynah_rng_range(&r, 0, 512);
    for (int i = 0; i < 3; i++) extra[t][i] = (float)mynah_rng_normal(&r);
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
      uint8_t v = (uint8_t)mynah_rng_u32(&r);
      (&pictures[t][0][0][0])[i] = v;
      (&float_pictures[t][0][0][0])[i] = (float)v * scale;
    }
  }
}

static void put_store(const char *codec, bool has_float_pictures) {
  const array list[] = {
      {"state", "<f4", codec, 2, {N, 5}, state, 4},
      {"keypoint", "<f4", codec, 3, {N, 9, 2}, points, 4},
      {"action", "<f4", codec, 2, {N, 2}, action, 4},
      {"speeds", "<f4", codec, 2, {N, 3}, extra, 4},
      {"img", "|u1", codec, 4, {N, SIDE, SIDE, 3}, pictures, 1},
      {"img", "<f4", codec, 4, {N, SIDE, SIDE, 3}, float_pictures, 4},
  };
  const array list_of_ends = {"episode_ends", "<i8", codec, 1, {2}, ends, 8};
  case_ok(mynah_remove_tree(store));
  for (int i = 0; i < 4; i++) put_array("data", &list[i]);
  put_array("data", &list[has_float_pictures ? 5 : 4]);
  put_array("meta", &list_of_ends);
}

static int set_up(void **state_) {
  const char *folder = mynah_test_folder("zarr");
  snprintf(store, sizeof store, "%s/s.zarr", folder);
  snprintf(out, sizeof out, "%s/out.demos", folder);
  snprintf(part, sizeof part, "%s.part", out);
  fill(1);
  put_store("zstd", false);
  return 0;
}

/* ---- importing
 * ------------------------------------------------------------------------------------------------------- */

/* settings: "key=value key=value" */
static mynah_status import(const char *path, const char *settings, mynah_import_report *report) {
  const mynah_importer *importer;
  char text[512], *rest = text;
  MYNAH_TRY(mynah_importer_find("zarr", &importer));
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return MYNAH_NO_MEMORY;
  mynah_config_default(importer->config, config);
  mynah_config_bind bind = {importer->config, config};
  snprintf(text, sizeof text, "%s", settings);
  mynah_status status = MYNAH_OK;
  for (char *key; status == MYNAH_OK && (key = strsep(&rest, " "));) {
    char *value = strchr(key, '=');
    if (!value) continue;
    *value++ = 0;
    status = mynah_config_set(&bind, 1, key, value);
  }
  if (status == MYNAH_OK) status = importer->run(path, out, config, NULL, report);
  mynah_free(config);
  return status;
}

/* Nothing half-written: neither the file nor what it was written to. */
static void expect_nothing(void) {
  char **names, folder[MYNAH_PATH_MAX];
  size_t n;
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(out, '/') - out), out);
  case_ok(mynah_list_dir(folder, &names, &n));
  for (size_t i = 0; i < n; i++)
    if (strstr(names[i], "out.demos")) fail_msg("%s is left", names[i]);
  mynah_names_free(names, n);
}

static void fails(const char *settings, mynah_status want, const char *text) {
  mynah_import_report r = {0};
  case_fails(import(store, settings, &r), want, text);
  assert_null(r.skipped);
  expect_nothing();
}

/* Imports, compares every value, removes. */
static void expect_store(const char *settings, bool is_pusht) {
  mynah_import_report r;
  mynah_dataset *d;
  case_ok(import(store, settings, &r));
  assert_int_equal(r.n_episodes, 2);
  assert_int_equal(r.n_frames, N);
  assert_int_equal(r.n_skipped, 0);
  mynah_json_destroy(r.skipped);
  assert_false(mynah_file_exists(part));
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  case_verify(d);
  const mynah_feature *f = mynah_dataset_find(d, "observation.state");
  assert_non_null(f);
  assert_string_equal(f->names, is_pusht ? "agent_x,agent_y,block_x,block_y,block_angle" : "");
  assert_int_equal(f->angle_mask, is_pusht ? 16 : 0);
  assert_string_equal(mynah_dataset_find(d, "action")->unit, is_pusht ? "px" : "");
  assert_true(mynah_dataset_rate_hz(d) == 10);
  int64_t at = 0;
  for (int64_t e = 0; e < 2; e++)
    for (int64_t t = 0; t < mynah_dataset_episode(d, e)->n_frames; t++, at++) {
      float row[18];
      int64_t time_ns;
      mynah_image picture;
      case_ok(mynah_dataset_read(d, e, "observation.state", t, 1, row));
      assert_memory_equal(row, state[at], sizeof state[at]);
      case_ok(mynah_dataset_read(d, e, "observation.environment_state", t, 1, row));
      assert_memory_equal(row, points[at], sizeof points[at]);
      case_ok(mynah_dataset_read(d, e, "action", t, 1, row));
      assert_memory_equal(row, action[at], sizeof action[at]);
      case_ok(mynah_dataset_read_image(d, e, "observation.images.top", t, 0, 0, &picture));
      assert_memory_equal(picture.data, pictures[at], sizeof pictures[at]);
      mynah_image_deinit(&picture);
      case_ok(mynah_dataset_read_times(d, e, t, 1, &time_ns));
      assert_int_equal(time_ns, t * 100000000);
    }
  assert_int_equal(at, N);
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(out));
}

static void test_codecs(void **state_) {
  static const char *const codecs[] = {"", "blosclz", "lz4", "lz4hc", "zlib", "gzip", "zstd"};
  for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
    put_store(codecs[i], false);
    expect_store("", true);
  }
  expect_store("codec=raw", true);
  expect_store("task=none", false);
}

static void test_float_pictures(void **state_) {
  fill(1);
  put_store("lz4", true);
  expect_store("", true);
  fill(1 / 255.0F);
  put_store("lz4", true);
  expect_store("", true);
}

static void test_keys(void **state_) {
  mynah_import_report r;
  mynah_dataset *d;
  float row[5];
  case_ok(import(store, "state=speeds environment= image= extra=keypoint,img rate_hz=25 camera=wrist", &r));
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_n_features(d), 4);
  assert_true(mynah_dataset_rate_hz(d) == 25);
  case_ok(mynah_dataset_read(d, 1, "observation.state", 3, 1, row)); /* of speeds */
  assert_memory_equal(row, extra[12], sizeof extra[12]);
  assert_non_null(mynah_dataset_find(d, "observation.images.img"));
  assert_int_equal(mynah_dataset_find(d, "action")->angle_mask, 0);
  mynah_dataset_close(d);
  mynah_import_report again;
  case_fails(import(store, "", &again), MYNAH_BUSY, "exists already");
  assert_true(mynah_file_exists(out));
  case_ok(mynah_file_remove(out));
  fails("state=none", MYNAH_NOT_FOUND, "none");
  fails("extra=../../secret", MYNAH_INVALID, "no array inside");
  fails("state=/etc", MYNAH_INVALID, "no array inside");
  fails("action=", MYNAH_INVALID, "action");
  fails("image=state", MYNAH_MISMATCH, "(frames, height, width, 3)");
  fails("task=pusht state=speeds", MYNAH_MISMATCH, "state of 5");
  fails("extra=state", MYNAH_INVALID, "twice");
}

/* ---- what is wrong with a store
 * ---------------------------------------------------------------------------------------- */

static void change(const char *file, const void *data, size_t n) { write_file(store, file, data, n); }

static void meta(const char *file, const char *shape, const char *chunks, const char *rest) {
  char text[512];
  int n = snprintf(text, sizeof text,
                   "{\"zarr_format\":2,\"shape\":%s,\"chunks\":%s,\"fill_value\":0,\"filters\":null,"
                   "\"order\":\"C\",%s}",
                   shape, chunks, rest);
  write_file(store, file, text, (size_t)n);
}

static void test_chunks(void **state_) {
  char path[MYNAH_PATH_MAX + 32], *data;
  size_t n;
  mynah_import_report r;
  mynah_dataset *d;
  float row[2];
  snprintf(path, sizeof path, "%s/data/action/2.0", store);
  case_ok(mynah_file_read(path, 10000, &data, &n));
  for (size_t cut = 0; cut < n; cut++) { /* every truncation */
    change("data/action/2.0", data, cut);
    fails("", MYNAH_CORRUPT, "action/2.0: the chunk is damaged or cut");
  }
  mynah_rng rng = mynah_rng_make(5, 5);
  for (int i = 0; i < 300; i++) { /* flips: an error, or other numbers; no crash */
    char copy[4096];
    assert_true(n < sizeof copy);
    memcpy(copy, data, n);
    copy[mynah_rng_below(&rng, n)] = (char)mynah_rng_u32(&rng);
    change("data/action/2.0", copy, n);
    if (import(store, "image=", &r) == MYNAH_OK) {
      mynah_json_destroy(r.skipped);
      case_ok(mynah_file_remove(out));
    }
    expect_nothing();
  }
  mynah_free(data);
  unlink(path);
  fails("", MYNAH_NOT_FOUND, "action/2.0: the chunk is missing; missing=fill");
  case_ok(import(store, "missing=fill", &r));
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  case_ok(mynah_dataset_read(d, 1, "action", 1, 1, row)); /* frame 10 */
  assert_true(row[0] == 0.5F && row[1] == 0.5F);
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(out));
}

static void test_not_finite(void **state_) {
  mynah_import_report r;
  action[11][1] = (float)NAN;
  put_store("zstd", false);
  fails("", MYNAH_NONFINITE, "action: row 11, element 1");
  case_ok(import(store, "nonfinite=skip", &r));
  assert_int_equal(r.n_episodes, 1);
  assert_int_equal(r.n_frames, 9);
  assert_int_equal(r.n_skipped, 1);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_at(r.skipped, 0), "episode"), -1), 1);
  assert_non_null(strstr(mynah_json_to_string(mynah_json_get(mynah_json_at(r.skipped, 0), "why"), ""), "row 11"));
  mynah_json_destroy(r.skipped);
  case_ok(mynah_file_remove(out));
  action[1][0] = (float)INFINITY;
  put_store("zstd", false);
  fails("nonfinite=skip", MYNAH_NONFINITE, "no episode is left");
  fill(1);
  float_pictures[4][1][1][2] = (float)NAN;
  put_store("", true);
  fails("", MYNAH_NONFINITE, "img: row 4, element 23");
}

static void test_bad_metadata(void **state_) {
  static const struct {
    const char *shape, *chunks, *rest;
    mynah_status status;
    const char *text;
  } cases[] = {
      {"[24,2]", "[5,2]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_MISMATCH, "24 rows"},
      {"[23,2]", "[5,2,1]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_CORRUPT, "differ"},
      {"[23,2]", "[0,2]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_CORRUPT, "chunks"},
      {"[-23,2]", "[5,2]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_CORRUPT, "shape"},
      {"[]", "[]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_UNSUPPORTED, "shape"},
      {"[23,1,1,1,2]", "[5,1,1,1,2]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_UNSUPPORTED, "shape"},
      {"[23,2]", "[1000000000,1000000000]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_LIMIT, "MiB"},
      {"[23,1000000000000]", "[1,1]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_LIMIT, "MiB"},
      {"[23,2]", "[5,2]", "\"dtype\":\"<c8\",\"compressor\":null", MYNAH_UNSUPPORTED, "<c8"},
      {"[23,2]", "[5,2]", "\"dtype\":\"|O\",\"compressor\":null", MYNAH_UNSUPPORTED, "|O"},
      {"[23,2]", "[5,2]", "\"dtype\":\"<f4\",\"compressor\":{\"id\":\"jpeg2k\"}", MYNAH_UNSUPPORTED, "jpeg2k"},
      {"[23,2]", "[5,2]", "\"dtype\":\"<f4\",\"compressor\":null,\"dimension_separator\":\"-\"", MYNAH_UNSUPPORTED,
       "separator"},
      {"[23,2]", "[5,2]", "\"dtype\":\"<f4\",\"compressor\":null,", MYNAH_CORRUPT, "action/.zarray"},
      {"[23,2]", "[5,2]", "\"dtype\":\"<f4\",\"compressor\":null", MYNAH_CORRUPT,
       "instead of 40"}, /* chunks are packed */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    meta("data/action/.zarray", cases[i].shape, cases[i].chunks, cases[i].rest);
    fails("", cases[i].status, cases[i].text);
  }
  put_store("zstd", false);
  change("data/action/.zarray", "{\"zarr_format\":3}", 17);
  fails("", MYNAH_UNSUPPORTED, "version 2");
  put_store("zstd", false);
  meta("data/action/.zarray", "[23,2]", "[5,2]",
       "\"dtype\":\"<f4\",\"compressor\":null,\"filters\":[{\"id\":\"delta\"}]");
  fails("", MYNAH_CORRUPT, "filters"); /* a key twice */
  mynah_import_report r;
  case_fails(import("/nowhere.zarr", "", &r), MYNAH_NOT_FOUND, "nowhere");
}

static void test_bad_ends(void **state_) {
  static const int64_t bad[][2] = {{9, 24}, {9, 9}, {0, 23}, {23, 9}, {-1, 23}, {INT64_MIN, INT64_MAX}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    memcpy(ends, bad[i], sizeof ends);
    put_store("zstd", false);
    fails("", MYNAH_CORRUPT, "episode_ends");
  }
  memcpy(ends, (const int64_t[2]){9, N}, sizeof ends);
}

/* ---- killed
 * ------------------------------------------------------------------------------------------------------------ */

static void test_killed_import(void **state_) {
  mynah_import_report r;
  int n_killed = 0;
  for (int i = 0; i < 12; i++) {
    int code;
    pid_t child = fork();
    if (child == 0) {
      for (;;) { /* again and again until it dies */
        if (import(store, "", &r) != MYNAH_OK) _exit(1);
        unlink(out);
      }
    }
    usleep((useconds_t)(1000 + 1700 * i));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFSIGNALED(code));
    mynah_dataset *d;
    if (mynah_file_exists(out)) { /* then it is whole */
      case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
      assert_int_equal(mynah_dataset_n_frames(d), N);
      case_verify(d);
      mynah_dataset_close(d);
      case_ok(mynah_file_remove(out));
    }
    n_killed += mynah_file_exists(part);
    expect_store("", true); /* over what the killed one left */
  }
  print_message("12 kills, %d in the middle\n", n_killed);
}

static mynah_status work(void *context) {
  mynah_import_report r;
  MYNAH_TRY(mynah_file_remove(out));
  MYNAH_TRY(import(store, "extra=speeds", &r));
  mynah_status status =
      mynah_json_size(r.skipped) == 0 && r.skipped ? MYNAH_OK : mynah_fail(MYNAH_NO_MEMORY, "no list");
  mynah_json_destroy(r.skipped);
  return status;
}

static void test_torture(void **state_) { assert_true(mynah_test_torture(work, NULL) > 50); }

/* ---- real stores
 * ------------------------------------------------------------------------------------------------------- */

/* The nested lists of an expected file against rows, element by element. */
static const mynah_json *leaf(const mynah_json *values, const mynah__zarr *z, int64_t row, int64_t k) {
  const mynah_json *j = mynah_json_at(values, (size_t)row);
  int64_t rest = z->row_size;
  for (int i = 1; i < z->n_dims; i++) {
    rest /= z->dims[i];
    j = mynah_json_at(j, (size_t)(k / rest));
    k %= rest;
  }
  return j;
}

static void test_goldens(void **state_) {
  char folder[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX + 16];
  mynah_json *expected;
  snprintf(folder, sizeof folder, "%s", mynah_test_shared("goldens/formats/zarr_v2.zarr"));
  snprintf(path, sizeof path, "%s.expected.json", folder);
  case_ok(mynah_json_load(path, &expected));
  const char *name;
  const mynah_json *j;
  size_t n_arrays = 0;
  for (; mynah_json_entry(expected, n_arrays, &name, &j); n_arrays++) {
    mynah__zarr z;
    case_ok(mynah__zarr_open(folder, name, strcmp(name, "data/missing_chunk") == 0, &z));
    const mynah_json *values = mynah_json_get(j, "values");
    assert_int_equal(mynah_json_size(values), z.dims[0]);
    for (int64_t i = z.dims[0] - 1; i >= 0; i--) { /* backwards, so that chunks come in any order */
      const uint8_t *row;
      case_ok(mynah__zarr_row(&z, i, &row));
      for (int64_t k = 0; k < z.row_size; k++) {
        const mynah_json *want = leaf(values, &z, i, k);
        double v = mynah_json_is_bool(want) ? mynah_json_to_bool(want, false) : mynah_json_to_number(want, (double)NAN);
        double got = mynah__item_number(&z.item, row + k * z.item.bytes);
        if (got != v)
          fail_msg("%s: row %lld element %lld is %g instead of %g", name, (long long)i, (long long)k, got, v);
      }
    }
    mynah__zarr_close(&z);
  }
  mynah_json_destroy(expected);
  assert_true(n_arrays >= 19);
}

static void test_pusht(void **state_) {
  const char *path = mynah_test_shared("data/pusht_cchi_v7/pusht_cchi_v7_replay.zarr");
  static const double low[5] = {13.456424, 32.938293, 57.471767, 108.27995, 2.155913e-4};
  static const double high[5] = {496.14618, 510.9579, 439.9153, 485.6641, 6.2830877};
  mynah_import_report r;
  mynah_dataset *d;
  mynah_stats s;
  case_ok(import(path, "image=", &r)); /* pictures have tests of their own; here they are most of the time */
  assert_int_equal(r.n_episodes, 206);
  assert_int_equal(r.n_frames, 25650);
  assert_int_equal(r.n_skipped, 0);
  mynah_json_destroy(r.skipped);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_episode(d, 0)->n_frames, 161);
  assert_int_equal(mynah_dataset_episode(d, 205)->n_frames, 49);
  case_ok(mynah_dataset_stats(d, "observation.state", NULL, 0, 0, &s));
  for (int k = 0; k < 5; k++) {
    assert_true((float)s.min[k] == (float)low[k] || fabs(s.min[k] - low[k]) < 1e-5);
    assert_true((float)s.max[k] == (float)high[k] || fabs(s.max[k] - high[k]) < 1e-4);
  }
  mynah_stats_deinit(&s);
  case_ok(mynah_dataset_stats(d, "action", NULL, 0, 0, &s));
  assert_true(s.min[0] == 12 && s.min[1] == 25 && s.max[0] == 511 && s.max[1] == 511);
  assert_true(fabs(s.mean[0] - 228.23965) < 1e-4 && fabs(s.mean[1] - 293.98907) < 1e-4);
  mynah_stats_deinit(&s);
  case_verify(d);
  mynah_dataset_close(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_codecs, set_up),     cmocka_unit_test_setup(test_float_pictures, set_up),
      cmocka_unit_test_setup(test_keys, set_up),       cmocka_unit_test_setup(test_chunks, set_up),
      cmocka_unit_test_setup(test_not_finite, set_up), cmocka_unit_test_setup(test_bad_metadata, set_up),
      cmocka_unit_test_setup(test_bad_ends, set_up),   cmocka_unit_test_setup(test_killed_import, set_up),
      cmocka_unit_test_setup(test_torture, set_up),    cmocka_unit_test_setup(test_goldens, set_up),
      cmocka_unit_test_setup(test_pusht, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
