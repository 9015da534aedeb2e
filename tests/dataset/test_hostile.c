/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Data from elsewhere that means harm: links and names that leave its folder, pictures and arrays that unpack to more memory than there is.
 * Each is refused in words, at once, and what is not hostile beside it still comes in where the format has parts. */
#include "dataset_case.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#ifdef MYNAH_HAS_HDF5
#include <hdf5.h>
#endif

static char folder[MYNAH_PATH_MAX - 64], set[MYNAH_PATH_MAX], out[MYNAH_PATH_MAX];

static int set_up(void **state) {
  snprintf(folder, sizeof folder, "%s", mynah_test_folder("hostile"));
  case_ok(mynah_remove_tree(folder));
  snprintf(set, sizeof set, "%s/set", folder);
  snprintf(out, sizeof out, "%s/out.demos", folder);
  case_ok(mynah_make_dirs(set));
  return 0;
}

static void put(const char *name, const void *data, size_t n) {
  char path[MYNAH_PATH_MAX + 64], *slash;
  snprintf(path, sizeof path, "%s/%s", set, name);
  if ((slash = strrchr(path, '/'))) {
    *slash = 0;
    case_ok(mynah_make_dirs(path));
    *slash = '/';
  }
  case_ok(mynah_file_write(path, data, n));
}
static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static mynah_status import(const char *format, const char *path, const char *key, const char *value, mynah_import_report *report) {
  const mynah_importer *importer;
  *report = (mynah_import_report){0};
  case_ok(mynah_importer_find(format, &importer));
  case_ok(mynah_file_remove(out));
  void *config = mynah_calloc(1, importer->config->bytes);
  mynah_config_default(importer->config, config);
  if (key) case_ok(mynah_config_set(&(mynah_config_bind){importer->config, config}, 1, key, value));
  mynah_status status = importer->run(path, out, config, NULL, report);
  mynah_free(config);
  return status;
}

/* It is refused, or the hostile part is left out; either way for this reason, and soon. */
static void refused(const char *format, const char *path, const char *why) {
  mynah_import_report r;
  int64_t start = mynah_now_ns();
  mynah_status status = import(format, path, NULL, NULL, &r);
  assert_true(mynah_now_ns() - start < INT64_C(20000000000));
  const char *said = status == MYNAH_OK ? "" : mynah_error();
  bool is_said = strstr(said, why) != NULL;
  for (size_t i = 0; status == MYNAH_OK && i < mynah_json_size(r.skipped) && !is_said; i++)
    is_said = strstr(said = mynah_json_to_string(mynah_json_get(mynah_json_at(r.skipped, i), "why"), ""), why) != NULL;
  if (!is_said) fail_msg("import %s: no '%s' in: %s", format, why, said);
  if (status == MYNAH_OK) mynah_json_destroy(r.skipped);
  else assert_false(mynah_file_exists(out));
}

/* ---- links ---------------------------------------------------------------------------------------------------------- */

/* A golden whose part is a link to that same part of the original: with the link followed all would come in. */
static void test_links(void **state) {
  static const char *const cases[][3] = {
      {"tub", "donkey_tub", "images/5_cam_image_array_.jpg"},
      {"tub", "donkey_tub", "images"},
      {"tub", "donkey_tub", "catalog_0.catalog"},
      {"tub", "donkey_tub", "manifest.json"},
      {"lerobot", "lerobot_v30_state", "meta/info.json"},
      {"lerobot", "lerobot_v30_state", "meta/tasks.parquet"},
      {"lerobot", "lerobot_v30_image", "data/chunk-000/file-000.parquet"},
      {"lerobot", "lerobot_v30_image", "data"},
      {"lerobot", "lerobot_v21_state", "data/chunk-000/episode_000001.parquet"},
      {"lerobot", "lerobot_v21_state", "meta/tasks.jsonl"},
      {"lerobot", "lerobot_v30_video", "videos/observation.images.top/chunk-000/file-000.mp4"},
#ifdef MYNAH_HAS_HDF5
      {"aloha", "aloha_act", "episode_1.hdf5"},
      {"minari", "minari/toy/box-v0", "data/main_data.hdf5"},
#endif
  };
  char golden[PATH_MAX], from[PATH_MAX + 128], to[PATH_MAX + 128], command[4 * PATH_MAX], name[128];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    mynah_import_report r;
    bool is_video = strstr(cases[i][2], "videos/") != NULL;
    snprintf(name, sizeof name, "goldens/formats/%s", cases[i][1]);
    if (!realpath(mynah_test_shared(name), golden)) fail_msg("%s", name);
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'", set, golden, set, set);
    assert_int_equal(system(command), 0);
    mynah_status status = import(cases[i][0], set, NULL, NULL, &r);
    if (status != MYNAH_OK && is_video) continue; /* built without the decoder */
    case_ok(status);
    bool has_decoder = !is_video || r.n_skipped == 0;
    mynah_json_destroy(r.skipped);
    snprintf(from, sizeof from, "%s/%s", golden, cases[i][2]);
    snprintf(to, sizeof to, "%s/%s", set, cases[i][2]);
    snprintf(command, sizeof command, "rm -rf '%s' && ln -s '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
    if (has_decoder) refused(cases[i][0], set, "a link leads out");
  }
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static void put_tub(const char *catalogue, const char *picture) {
  char text[MYNAH_PATH_MAX + 256];
  snprintf(text, sizeof text, "{\"paths\": [\"%s\"], \"current_index\": 1}\n", catalogue);
  put_text("manifest.json", text);
  snprintf(text, sizeof text, "{\"cam/image_array\": \"%s\", \"user/angle\": 0.5, \"user/throttle\": 0.5, \"_index\": 0}\n", picture);
  put_text("c.catalog", text);
}

static void put_jpeg(const char *name, int width, int height) {
  mynah_str jpeg = {0};
  uint8_t pixels[8 * 8 * 3] = {0};
  case_ok(mynah_jpeg_encode(&(mynah_image){pixels, 8, 8}, 90, &jpeg));
  for (size_t i = 0; width > 0 && i + 9 < jpeg.length; i++) {
    if ((uint8_t)jpeg.data[i] != 0xff || (uint8_t)jpeg.data[i + 1] != 0xc0) continue; /* the frame's header */
    const uint8_t sizes[4] = {(uint8_t)(height >> 8), (uint8_t)height, (uint8_t)(width >> 8), (uint8_t)width};
    memcpy(jpeg.data + i + 5, sizes, 4);
  }
  put(name, jpeg.data, jpeg.length);
  mynah_str_deinit(&jpeg);
}

static void test_names(void **state) {
  char absolute[MYNAH_PATH_MAX + 64];
  put_jpeg("../out.jpg", 0, 0);
  put_jpeg("images/in.jpg", 0, 0);
  put_tub("c.catalog", "../../out.jpg");
  refused("tub", set, "is not inside it");
  snprintf(absolute, sizeof absolute, "%s/out.jpg", folder);
  put_tub("c.catalog", absolute);
  refused("tub", set, "is not inside it");
  put_tub("../set/c.catalog", "in.jpg");
  refused("tub", set, "is not inside it");
  snprintf(absolute, sizeof absolute, "%s/set/c.catalog", folder);
  put_tub(absolute, "in.jpg");
  refused("tub", set, "is not inside it");
  put_text("driving_log.csv", "center,left,right,steering,throttle,brake,speed\n../out.jpg,,,0,0,0,0\n");
  refused("udacity", set, "none of the log's pictures");
  put_text("meta/info.json", "{\"codebase_version\": \"v2.1\", \"fps\": 10, \"total_episodes\": 1, \"features\": {\"../../x\": {\"dtype\": "
                             "\"float32\", \"shape\": [1]}}}");
  refused("lerobot", set, "cannot be in a path");
}

/* ---- pictures that claim to be huge ------------------------------------------------------------------------------------ */

static void test_pictures(void **state) {
  static const struct {
    uint32_t width, height;
  } sizes[] = {{1000000000, 1000000000}, {0x7fffffff, 1}, {16000, 16000}};
  put_tub("c.catalog", "in.png");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint8_t png[8 + 25 + 12] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", *p = png + 16;
    for (int k = 0; k < 4; k++) p[k] = (uint8_t)(sizes[i].width >> (24 - 8 * k)), p[4 + k] = (uint8_t)(sizes[i].height >> (24 - 8 * k));
    p[8] = 8, p[9] = 2;
    uint32_t crc = (uint32_t)crc32(0, png + 12, 17);
    for (int k = 0; k < 4; k++) png[29 + k] = (uint8_t)(crc >> (24 - 8 * k));
    memcpy(png + 33, "\0\0\0\0IDAT\x35\xaf\x06\x1e", 12);
    put("images/in.png", png, sizeof png);
    refused("tub", set, "too large");
    mynah_image picture;
    assert_int_not_equal(mynah_image_decode(png, sizeof png, 0, 0, &picture), MYNAH_OK);
  }
  put_jpeg("images/in.png", 65535, 65535); /* the largest that JPEG can say */
  refused("tub", set, "too large");
}

/* ---- arrays that unpack to more ---------------------------------------------------------------------------------------- */

/* n zero bytes packed; gzip: with gzip's header, else zlib's, else (raw) none. */
static uint8_t *pack_zeros(size_t n, int window, size_t *length) {
  static const uint8_t zeros[1 << 16];
  size_t room = n / 100 + 4096;
  uint8_t *packed = malloc(room);
  assert_non_null(packed);
  z_stream s = {.next_out = packed, .avail_out = (uInt)room};
  assert_int_equal(deflateInit2(&s, 1, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  for (size_t left = n; left > 0; left -= left < sizeof zeros ? left : sizeof zeros) {
    s.next_in = (Bytef *)(uintptr_t)zeros;
    s.avail_in = (uInt)(left < sizeof zeros ? left : sizeof zeros);
    assert_int_equal(deflate(&s, left <= sizeof zeros ? Z_FINISH : Z_NO_FLUSH), left <= sizeof zeros ? Z_STREAM_END : Z_OK);
  }
  *length = room - s.avail_out;
  deflateEnd(&s);
  return packed;
}

static void le(uint8_t *p, uint64_t v, int n) {
  for (int i = 0; i < n; i++) p[i] = (uint8_t)(v >> (8 * i));
}

/* One deflated entry "a.npy" that says it unpacks to `claim` bytes. */
static void put_npz(const char *name, const uint8_t *packed, size_t n, uint64_t claim) {
  size_t total = 35 + n + 51 + 22;
  uint8_t *zip = calloc(1, total), *at = zip;
  memcpy(at, "PK\3\4", 4), le(at + 8, 8, 2), le(at + 18, n, 4), le(at + 22, claim, 4), le(at + 26, 5, 2), memcpy(at + 30, "a.npy", 5);
  memcpy(at += 35, packed, n);
  memcpy(at += n, "PK\1\2", 4), le(at + 10, 8, 2), le(at + 20, n, 4), le(at + 24, claim, 4), le(at + 28, 5, 2), memcpy(at + 46, "a.npy", 5);
  memcpy(at += 51, "PK\5\6", 4), le(at + 10, 1, 2), le(at + 12, 51, 4), le(at + 16, 35 + n, 4);
  put(name, zip, total);
  free(zip);
}

static void test_npz(void **state) {
  char path[MYNAH_PATH_MAX + 16];
  size_t n;
  uint8_t *packed = pack_zeros(64 << 20, -15, &n);
  snprintf(path, sizeof path, "%s/a.npz", set);
  put_npz("a.npz", packed, n, 0xfffffffeu); /* more than anything packs to */
  refused("npz", path, "cannot be packed so small");
  put_npz("a.npz", packed, n, 200); /* 64 MiB where 200 bytes are announced */
  refused("npz", path, "cannot be unpacked");
  put_npz("a.npz", packed, n, 128 << 20); /* less than announced */
  refused("npz", path, "cannot be unpacked");
  free(packed);
}

static void test_zarr(void **state) {
  static const char meta[] = "{\"zarr_format\":2,\"shape\":[%d%s],\"chunks\":[%d%s],\"dtype\":\"%s\",\"order\":\"C\",\"fill_value\":0,"
                             "\"filters\":null,\"compressor\":%s}";
  const uint8_t ends[8] = {4};
  char text[512];
  size_t n;
  put("meta/episode_ends/0", ends, 8);
  snprintf(text, sizeof text, meta, 1, "", 1, "", "<i8", "null");
  put_text("meta/episode_ends/.zarray", text);
  uint8_t *packed = pack_zeros(256 << 20, 15 + 16, &n);
  snprintf(text, sizeof text, meta, 4, ",2", 4, ",2", "<f4", "{\"id\":\"gzip\"}");
  put_text("data/action/.zarray", text);
  put("data/action/0.0", packed, n);
  free(packed);
  refused("zarr", set, "damaged or cut");
  snprintf(text, sizeof text, meta, 4, ",2", 4, ",2", "<f4", "{\"id\":\"blosc\"}");
  put_text("data/action/.zarray", text);
  uint8_t blosc[64] = {2, 1, 0x21, 4}; /* says 2 GB */
  le(blosc + 4, 0x7fffffff, 4), le(blosc + 8, 0x7fffffff, 4), le(blosc + 12, sizeof blosc, 4);
  put("data/action/0.0", blosc, sizeof blosc);
  refused("zarr", set, "damaged or cut");
  snprintf(text, sizeof text, meta, 4, ",100000", 4, ",100000000", "<f4", "{\"id\":\"gzip\"}");
  put_text("data/action/.zarray", text);
  refused("zarr", set, "MiB");
}

/* ---- HDF5 -------------------------------------------------------------------------------------------------------------- */

#ifdef MYNAH_HAS_HDF5
#define FRAMES 4
enum { PLAIN, OUTSIDE, VIRTUAL, EXTERNAL_LINK, BIG_CHUNK, PACKED, BOMB, PACKED_TWICE, KINDS };

/* data/demo_0 with good actions and an obs/x of this kind. */
static void put_hdf5(const char *path, const char *other, int kind) {
  const hsize_t dims[2] = {FRAMES, 2}, chunk[2] = {kind == BIG_CHUNK ? 80000000 : 8192, 2}, most[2] = {H5S_UNLIMITED, 2};
  const float rows[FRAMES * 2] = {1, 2, 3, 4, 5, 6, 7, 8};
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), space = H5Screate_simple(2, dims, NULL);
  hid_t links = H5Pcreate(H5P_LINK_CREATE), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  hid_t set_ = H5Dcreate2(file, "data/demo_0/actions", H5T_IEEE_F32LE, space, links, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Dwrite(set_, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
  H5Dclose(set_);
  if (kind == EXTERNAL_LINK) {
    assert_true(H5Lcreate_external(other, "/data/demo_0/actions", file, "data/demo_0/obs/x", links, H5P_DEFAULT) >= 0);
  } else {
    if (kind == OUTSIDE) H5Pset_external(how, "/etc/passwd", 0, sizeof rows);
    if (kind == VIRTUAL) H5Pset_virtual(how, space, other, "/data/demo_0/actions", space);
    if (kind >= BIG_CHUNK) H5Pset_chunk(how, 2, chunk);
    for (int i = 0; i < (kind == PACKED_TWICE ? 2 : kind > BIG_CHUNK); i++) H5Pset_deflate(how, 4);
    hid_t whole = H5Screate_simple(2, dims, kind >= BIG_CHUNK ? most : NULL);
    hid_t x = H5Dcreate2(file, "data/demo_0/obs/x", H5T_IEEE_F32LE, whole, links, how, H5P_DEFAULT);
    assert_true(x >= 0);
    if (kind == PLAIN || kind == PACKED) H5Dwrite(x, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows);
    if (kind == BOMB) { /* 768 MiB of zeros in a chunk of 64 KiB */
      size_t n;
      uint8_t *packed = pack_zeros((size_t)768 << 20, 15, &n);
      assert_true(H5Dwrite_chunk(x, H5P_DEFAULT, 0, (hsize_t[]){0, 0}, n, packed) >= 0);
      free(packed);
    }
    H5Sclose(whole);
    H5Dclose(x);
  }
  H5Pclose(how);
  H5Pclose(links);
  H5Sclose(space);
  H5Fclose(file);
}

static void test_hdf5(void **state) {
  static const char *const why[KINDS] = {[OUTSIDE] = "another file holds 'obs/x'", [VIRTUAL] = "another file holds 'obs/x'",
                                         [BIG_CHUNK] = "chunks of over", [BOMB] = "unpack to more", [PACKED_TWICE] = "unpack to more"};
  char path[MYNAH_PATH_MAX + 16], other[MYNAH_PATH_MAX + 16];
  mynah_import_report r;
  mynah_dataset *d;
  snprintf(path, sizeof path, "%s/a.hdf5", set);
  snprintf(other, sizeof other, "%s/other.hdf5", folder);
  put_hdf5(other, NULL, PLAIN);
  for (int kind = 0; kind < KINDS; kind++) {
    put_hdf5(path, other, kind);
    if (why[kind]) {
      refused("robomimic", path, why[kind]);
      continue;
    }
    case_ok(import("robomimic", path, NULL, NULL, &r));
    mynah_json_destroy(r.skipped);
    case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
    assert_int_equal(mynah_dataset_n_features(d), kind == EXTERNAL_LINK ? 1 : 2); /* what is elsewhere is not followed */
    mynah_dataset_close(d);
  }
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_links, set_up), cmocka_unit_test_setup(test_names, set_up),
      cmocka_unit_test_setup(test_pictures, set_up), cmocka_unit_test_setup(test_npz, set_up),
      cmocka_unit_test_setup(test_zarr, set_up),
#ifdef MYNAH_HAS_HDF5
      cmocka_unit_test_setup(test_hdf5, set_up),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
