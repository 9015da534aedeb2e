/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* safetensors files: every rule of the format broken in turn, the same bytes for the same content. */
#include "graph_case.h"

#include "support/shared.h"

#include <unistd.h>

/* A file in memory: header text, then n_data bytes 0, 1, 2 …; length < 0: the header's own. */
static mynah_status parse(const char *header, int64_t length, size_t n_data, mynah_safetensors **f) {
  static _Alignas(8) uint8_t file[1 << 14];
  size_t n = strlen(header);
  uint64_t stated = length < 0 ? n : (uint64_t)length;
  assert_true(8 + n + n_data <= sizeof file);
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)(stated >> 8 * i);
  memcpy(file + 8, header, n);
  for (size_t i = 0; i < n_data; i++) file[8 + n + i] = (uint8_t)i;
  return mynah_safetensors_parse(file, 8 + n + n_data, f);
}

#define T(name, dtype, shape, begin, end) \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void test_good(void **state) {
  mynah_safetensors *f;
  case_ok(
      parse("{\"__metadata__\":{\"k\":\"v\"}," T("b", "F32", "[2]", 0, 8) "," T("a", "U8", "[3]", 8, 11) "," T(
                "s", "I64", "[]", 16, 24) "," T("e", "F64", "[0,5]", 11, 11) "," T("x", "BOOL", "[5]", 11, 16) "}   ",
            -1, 24, &f));
  assert_int_equal(mynah_safetensors_count(f), 5);
  assert_string_equal(mynah_safetensors_at(f, 0)->name, "a"); /* sorted by name */
  assert_null(mynah_safetensors_at(f, 5));
  assert_null(mynah_safetensors_find(f, "c"));
  assert_null(mynah_safetensors_find(f, "__metadata__"));
  const mynah_safetensor *s = mynah_safetensors_find(f, "s"), *b = mynah_safetensors_find(f, "b");
  const uint8_t numbers[8] = {16, 17, 18, 19, 20, 21, 22, 23};
  assert_int_equal(s->shape.n_dims, 0);
  assert_int_equal(s->bytes, 8);
  assert_int_equal((uintptr_t)s->data % 8, 0); /* wherever the file had it */
  assert_memory_equal(s->data, numbers, 8);
  assert_int_equal(b->dtype, MYNAH_F32);
  assert_int_equal(b->shape.dims[0], 2);
  assert_string_equal(mynah_safetensors_metadata(f, "k"), "v");
  assert_null(mynah_safetensors_metadata(f, "q"));
  mynah_safetensors_close(f);
  case_ok(parse("{}", -1, 0, &f));
  assert_int_equal(mynah_safetensors_count(f), 0);
  assert_null(mynah_safetensors_find(f, "a"));
  assert_null(mynah_safetensors_metadata(f, "k"));
  mynah_safetensors_close(f);
  mynah_safetensors_close(NULL);
}

static void test_every_rule(void **state) {
  static const struct {
    const char *header;
    int64_t length;
    size_t n_data;
    mynah_status status;
    const char *text;
  } bad[] = {
      {"{}", 3, 0, MYNAH_CORRUPT, "a header of 3 bytes"},
      {"{}", INT64_MAX, 0, MYNAH_CORRUPT, "header of"},
      {"{}", 0, 0, MYNAH_CORRUPT, "no JSON object"},
      {" {}", -1, 0, MYNAH_CORRUPT, "no JSON object"},
      {"[]", -1, 0, MYNAH_CORRUPT, "no JSON object"},
      {"{", -1, 0, MYNAH_CORRUPT, "header"},
      {"{}", -1, 1, MYNAH_CORRUPT, "1 bytes after the last tensor"},
      {"{" T("a", "F32", "[2]", 0, 8) "}", -1, 7, MYNAH_CORRUPT, "of 7"},
      {"{" T("a", "F32", "[2]", 0, 8) "}", -1, 9, MYNAH_CORRUPT, "after the last"},
      {"{" T("a", "F32", "[2]", 1, 9) "}", -1, 9, MYNAH_CORRUPT, "a hole"},
      {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "U8", "[2]", 7, 9) "}", -1, 9, MYNAH_CORRUPT, "overlap"},
      {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "U8", "[1]", 9, 10) "}", -1, 10, MYNAH_CORRUPT, "a hole"},
      {"{" T("a", "F32", "[3]", 0, 8) "}", -1, 8, MYNAH_CORRUPT, "another size"},
      {"{" T("a", "F32", "[2]", 8, 0) "}", -1, 8, MYNAH_CORRUPT, "'a'"},
      {"{" T("a", "F32", "[2]", -8, 0) "}", -1, 8, MYNAH_CORRUPT, "'a'"},
      {"{" T("a", "F32", "[2]", 0, 8.5) "}", -1, 8, MYNAH_CORRUPT, "'a'"},
      {"{" T("a", "F32", "[2]", 0, 1e300) "}", -1, 8, MYNAH_CORRUPT, "'a'"},
      {"{" T("a", "F32", "[-2]", 0, 8) "}", -1, 8, MYNAH_CORRUPT, "dimension 0"},
      {"{" T("a", "F32", "[2.5]", 0, 8) "}", -1, 8, MYNAH_CORRUPT, "dimension 0"},
      {"{" T("a", "F32", "[4294967296,4294967296,0]", 0, 0) "}", -1, 0, MYNAH_CORRUPT, "too large"},
      {"{" T("a", "F64", "[4294967296,536870912]", 0, 0) "}", -1, 0, MYNAH_CORRUPT, "too large"},
      {"{" T("a", "F32", "[1,1,1,1,1,1,1]", 0, 4) "}", -1, 4, MYNAH_UNSUPPORTED, "7 dimensions"},
      {"{" T("a", "F8_E4M3", "[4]", 0, 4) "}", -1, 4, MYNAH_UNSUPPORTED, "F8_E4M3"},
      {"{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 1, 2) "}", -1, 2, MYNAH_CORRUPT, "duplicate"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", -1, 1, MYNAH_CORRUPT, "'a'"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", -1, 1, MYNAH_CORRUPT, "no shape"},
      {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", -1, 1, MYNAH_CORRUPT, "no dtype"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", -1, 1, MYNAH_CORRUPT, "no data_offsets"},
      {"{\"a\":[]}", -1, 0, MYNAH_CORRUPT, "'a'"},
      {"{\"__metadata__\":[]}", -1, 0, MYNAH_CORRUPT, "__metadata__"},
      {"{\"__metadata__\":{\"a\":1}}", -1, 0, MYNAH_CORRUPT, "metadata 'a'"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    mynah_safetensors *f = NULL;
    mynah_status status = parse(bad[i].header, bad[i].length, bad[i].n_data, &f);
    if (status != bad[i].status || !strstr(mynah_error(), bad[i].text))
      fail_msg("%s: %s, \"%s\" where \"%s\" was due", bad[i].header, mynah_status_name(status), mynah_error(),
               bad[i].text);
    assert_null(f);
  }
  mynah_safetensors *f;
  for (size_t n = 0; n < 8; n++) assert_int_equal(mynah_safetensors_parse("\2\0\0\0\0\0\0\0", n, &f), MYNAH_CORRUPT);
}

/* The same tensors in another order: the same bytes; read back: the same values. */
static void test_write(void **state) {
  const float a[3] = {1, 2, 3};
  const double d[1] = {4};
  const uint8_t u[3] = {5, 6, 7};
  mynah_safetensor tensors[4] = {{"u", MYNAH_U8, MYNAH_SHAPE(3), u, 3},
                                 {"z", MYNAH_F32, MYNAH_SHAPE(3), a, 12},
                                 {"d", MYNAH_F64, MYNAH_SHAPE(1), d, 8},
                                 {"a\"\n\xc3\xa4", MYNAH_F32, MYNAH_SHAPE(1, 3), a, 12}};
  mynah_metadata metadata[2] = {{"b", "line\n\"two\""}, {"a", ""}};
  char path[MYNAH_PATH_MAX], *first, *second;
  size_t n_first, n_second;
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("safetensors"), "t.safetensors"));
  case_ok(mynah_safetensors_write(path, tensors, 4, metadata, 2));
  case_ok(mynah_file_read(path, 1 << 20, &first, &n_first));
  mynah_safetensor t = tensors[0];
  tensors[0] = tensors[3], tensors[3] = t;
  mynah_metadata m = metadata[0];
  metadata[0] = metadata[1], metadata[1] = m;
  case_ok(mynah_safetensors_write(path, tensors, 4, metadata, 2));
  case_ok(mynah_file_read(path, 1 << 20, &second, &n_second));
  assert_int_equal(n_first, n_second);
  assert_memory_equal(first, second, n_first);
  assert_int_equal(first[0] % 8, 0); /* the header's length */
  mynah_free(first);
  mynah_free(second);
  mynah_safetensors *f;
  case_ok(mynah_safetensors_open(path, &f));
  assert_string_equal(mynah_safetensors_metadata(f, "b"), "line\n\"two\"");
  assert_string_equal(mynah_safetensors_metadata(f, "a"), "");
  assert_memory_equal(mynah_safetensors_find(f, "a\"\n\xc3\xa4")->data, a, 12);
  assert_memory_equal(mynah_safetensors_find(f, "u")->data, u, 3);
  assert_int_equal(mynah_safetensors_count(f), 4);
  mynah_safetensors_close(f);
}

/* Every byte of a file changed in turn: it is not taken, or what it holds is what was written. Streamed and mapped alike. */
static void test_checksums(void **state) {
  const float a[3] = {1, 2, 3};
  const uint8_t u[5] = {5, 6, 7, 8, 9};
  mynah_safetensor tensors[2] = {{"a", MYNAH_F32, MYNAH_SHAPE(3), a, 12}, {"u", MYNAH_U8, MYNAH_SHAPE(5), u, 5}};
  mynah_metadata metadata[2] = {{"k", "value"}, {"other", "\xc3\xa4"}};
  char path[MYNAH_PATH_MAX], *bytes;
  size_t n;
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("safetensors"), "c.safetensors"));
  case_ok(mynah_safetensors_write(path, tensors, 2, metadata, 2));
  case_ok(mynah_file_read(path, 1 << 20, &bytes, &n));
  int n_taken = 0;
  for (size_t at = 0; at < n; at++)
    for (int is_streamed = 0; is_streamed < 2; is_streamed++) {
      mynah_safetensors *f = NULL;
      char out[12];
      char was = bytes[at];
      bytes[at] ^= at % 3 ? 0x01 : 0x20;
      case_ok(mynah_file_write(path, bytes, n));
      bytes[at] = was;
      mynah_status status = (is_streamed ? mynah_safetensors_stream : mynah_safetensors_open)(path, &f);
      if (status != MYNAH_OK) continue;
      const mynah_safetensor *ta = mynah_safetensors_find(f, "a"), *tu = mynah_safetensors_find(f, "u");
      if (ta && tu && mynah_safetensors_is_checked(f)) {
        status = mynah_safetensors_read(f, ta, out);
        if (status == MYNAH_OK) assert_memory_equal(out, a, 12);
        if (status == MYNAH_OK) status = mynah_safetensors_read(f, tu, out);
        if (status == MYNAH_OK) assert_memory_equal(out, u, 5);
        assert_true(status == MYNAH_OK || status == MYNAH_CORRUPT);
        if (at >= n - 17) assert_int_equal(status, MYNAH_CORRUPT);
        if (status == MYNAH_OK) assert_string_equal(mynah_safetensors_metadata(f, "k"), "value");
        n_taken += status == MYNAH_OK;
      }
      mynah_safetensors_close(f);
    }
  assert_true(n_taken < 20); /* what JSON does not mind */
  mynah_free(bytes);
}

/* A file that is cut behind the header while it is streamed. */
static void test_cut_while_open(void **state) {
  static float numbers[100000];
  mynah_safetensor tensor = {"a", MYNAH_F32, MYNAH_SHAPE(100000), numbers, sizeof numbers};
  char path[MYNAH_PATH_MAX];
  mynah_safetensors *f;
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("safetensors"), "cut.safetensors"));
  case_ok(mynah_safetensors_write(path, &tensor, 1, NULL, 0));
  case_ok(mynah_safetensors_stream(path, &f));
  case_ok(mynah_safetensors_read(f, mynah_safetensors_at(f, 0), numbers));
  assert_int_equal(truncate(path, 200000), 0);
  assert_int_equal(mynah_safetensors_read(f, mynah_safetensors_at(f, 0), numbers), MYNAH_CORRUPT);
  assert_non_null(strstr(mynah_error(), "cut"));
  mynah_safetensors_close(f);
  for (int length = 0; length < 9; length++) {
    assert_int_equal(truncate(path, length), 0);
    assert_int_equal(mynah_safetensors_stream(path, &f), MYNAH_CORRUPT);
  }
}

static void test_write_refused(void **state) {
  const float a[3] = {1, 2, 3};
  char path[MYNAH_PATH_MAX];
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder("safetensors_bad"), "t.safetensors"));
  mynah_safetensor twice[2] = {{"a", MYNAH_F32, MYNAH_SHAPE(3), a, 12}, {"a", MYNAH_F32, MYNAH_SHAPE(3), a, 12}};
  mynah_safetensor named = {"__metadata__", MYNAH_F32, MYNAH_SHAPE(3), a, 12};
  mynah_safetensor wrong = {"a", MYNAH_F32, MYNAH_SHAPE(4), a, 12};
  mynah_metadata keys[2] = {{"k", "1"}, {"k", "2"}};
  assert_int_equal(mynah_safetensors_write(path, twice, 2, NULL, 0), MYNAH_INVALID);
  assert_int_equal(mynah_safetensors_write(path, &named, 1, NULL, 0), MYNAH_INVALID);
  assert_int_equal(mynah_safetensors_write(path, &wrong, 1, NULL, 0), MYNAH_INVALID);
  assert_int_equal(mynah_safetensors_write(path, twice, 1, keys, 2), MYNAH_INVALID);
  assert_false(mynah_file_exists(path));
  mynah_safetensors *f = NULL;
  assert_int_equal(mynah_safetensors_open(path, &f), MYNAH_NOT_FOUND);
  case_ok(mynah_file_write(path, "short", 5));
  assert_int_equal(mynah_safetensors_open(path, &f), MYNAH_CORRUPT);
  assert_non_null(strstr(mynah_error(), path));
  assert_null(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),
      cmocka_unit_test(test_every_rule),
      cmocka_unit_test(test_write),
      cmocka_unit_test(test_checksums),
      cmocka_unit_test(test_cut_while_open),
      cmocka_unit_test(test_write_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
