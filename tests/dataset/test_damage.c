/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Damaged files: every changed byte is found, or changes nothing that can be read; nothing crashes. */
#include "dataset_case.h"

#include "support/soak.h"

#include <stdlib.h>
#include <unistd.h>

#define N_FLIPS 2500
#define N_CUTS 150
#define N_WRITES 300

static char path[MYNAH_PATH_MAX], other[MYNAH_PATH_MAX];
static char *whole, digest_of_whole[65];
static size_t n_bytes;

/* A hash of all that the library tells of a file; an error where it refuses or finds damage. */
static mynah_status digest(mynah_dataset *d, char hex[65]) {
  mynah_sha256 s;
  mynah_verify_report r;
  char hash[65];
  mynah_str note = {0};
  MYNAH_TRY(mynah_dataset_verify(d, NULL, &r));
  if (r.n_damaged > 0) return mynah_fail(MYNAH_CORRUPT, "%s", r.first_damage);
  MYNAH_TRY(mynah_dataset_hash(d, hash));
  mynah_status status = mynah_dataset_get_note(d, "license", &note);
  mynah_sha256_init(&s);
  mynah_sha256_update(&s, hash, sizeof hash);
  mynah_sha256_update(&s, mynah_str_text(&note), note.length);
  mynah_str_deinit(&note);
  MYNAH_TRY(status);
  double rate_hz = mynah_dataset_rate_hz(d);
  mynah_sha256_update(&s, &rate_hz, sizeof rate_hz);
  mynah_sha256_update(&s, mynah_dataset_robot(d), strlen(mynah_dataset_robot(d)));
  for (int64_t i = 0; i < mynah_dataset_n_episodes(d); i++) {
    const mynah_episode *e = mynah_dataset_episode(d, i);
    mynah_sha256_update(&s, e, sizeof *e);
    for (int k = 0; k < mynah_dataset_n_features(d); k++) { /* read in another order than verify does */
      const mynah_feature *f = mynah_dataset_feature(d, k);
      for (int64_t t = e->n_frames - 1; t >= 0; t -= 13) {
        uint8_t row[64];
        const void *data = row;
        size_t n = mynah_feature_bytes(f);
        if (f->is_image) MYNAH_TRY(mynah_dataset_read_blob(d, i, f->name, t, &data, &n));
        else MYNAH_TRY(mynah_dataset_read_raw(d, i, f->name, t, 1, row));
        mynah_sha256_update(&s, data, n);
      }
    }
  }
  mynah_sha256_final(&s, hex);
  return MYNAH_OK;
}

static mynah_status digest_file(const char *name, mynah_open_mode mode, char hex[65]) {
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(name, mode, &d));
  mynah_status status = digest(d, hex);
  mynah_dataset_close(d);
  return status;
}

static void write_other(const char *data, size_t n) {
  FILE *file = fopen(other, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, n, file), n);
  assert_int_equal(fclose(file), 0);
}

static int set_up(void **state) {
  const char *folder = mynah_test_folder("damage");
  mynah_dataset *d;
  snprintf(path, sizeof path, "%s/whole.demos", folder);
  snprintf(other, sizeof other, "%s/other.demos", folder);
  case_ok(case_create(path, MYNAH_CODEC_RAW, &d));
  case_ok(mynah_dataset_set_note(d, "license", "MIT"));
  for (uint64_t i = 1; i < 4; i++) case_ok(case_write(d, i, 70));
  mynah_dataset_close(d);
  case_ok(mynah_file_read(path, (size_t)16 << 20, &whole, &n_bytes));
  case_ok(digest_file(path, MYNAH_OPEN_READ, digest_of_whole));
  return 0;
}

static int tear_down(void **state) {
  mynah_free(whole);
  return 0;
}

/* Found, or without any effect. */
static bool is_found(const char *what, size_t at) {
  char hex[65];
  mynah_status status = digest_file(other, MYNAH_OPEN_READ, hex);
  if (status != MYNAH_OK && mynah_error()[0] == 0)
    fail_msg("%s at %zu: %s without a text", what, at, mynah_status_name(status));
  if (status == MYNAH_OK && strcmp(hex, digest_of_whole) != 0) fail_msg("%s at %zu goes unnoticed", what, at);
  return status != MYNAH_OK;
}

/* Changes one byte, in the header and the first page more often than elsewhere. */
static size_t flip(mynah_rng *r, int i, char *copy) {
  size_t at = i < 100                      ? (size_t)i
              : mynah_rng_below(r, 4) == 0 ? (size_t)mynah_rng_below(r, 16384)
                                           : (size_t)mynah_rng_below(r, n_bytes);
  uint32_t kind = mynah_rng_u32(r) % 4;
  char old = copy[at];
  if (kind == 0) copy[at] = (char)mynah_rng_u32(r);
  else if (kind == 1) copy[at] = kind % 2 ? 0 : (char)0xff;
  else copy[at] = (char)(copy[at] ^ 1 << mynah_rng_u32(r) % 8);
  if (copy[at] == old) copy[at] = (char)~old;
  return at;
}

static void test_flips(void **state) {
  mynah_rng r = mynah_rng_make(3, 1);
  char *copy = mynah_alloc(n_bytes);
  int n_found = 0, n_in_data = 0, i = 0;
  int64_t end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000;
  assert_non_null(copy);
  int64_t least = mynah_test_at_least(N_FLIPS, 25000); /* 10^5 with those of policies and checkpoints */
  for (; i < least || mynah_now_ns() < end; i++) {
    memcpy(copy, whole, n_bytes);
    size_t at = flip(&r, i, copy);
    write_other(copy, n_bytes);
    bool found = is_found("a flip", at);
    n_found += found;
    n_in_data += found && at > 16384;
  }
  mynah_free(copy);
  print_message("%d flips in %zu bytes: %d found, the rest without effect\n", i, n_bytes, n_found);
  assert_true(n_in_data > N_FLIPS / 8); /* most of the file is data */
}

/* A flip in a picture or a block is told by its episode, feature and frame when it is read. */
static void test_message_says_where(void **state) {
  case_frame f;
  char *copy = mynah_alloc(n_bytes), hex[65];
  assert_non_null(copy);
  memcpy(copy, whole, n_bytes);
  case_fill(&f, 2, 33);
  char *at = memmem(copy, n_bytes, f.picture, 200);
  assert_non_null(at);
  at[5] = (char)~at[5];
  write_other(copy, n_bytes);
  case_fails(digest_file(other, MYNAH_OPEN_READ, hex), MYNAH_CORRUPT, "episode 2, observation.images.top, frame 33");
  memcpy(copy, whole, n_bytes);
  case_fill(&f, 3, 65);
  at = memmem(copy, n_bytes, f.action, sizeof f.action);
  assert_non_null(at);
  at[1] = (char)~at[1];
  write_other(copy, n_bytes);
  case_fails(digest_file(other, MYNAH_OPEN_READ, hex), MYNAH_CORRUPT, "episode 3, action, frame 64");
  mynah_dataset *d; /* what is whole can still be read */
  case_ok(mynah_dataset_open(other, MYNAH_OPEN_READ, &d));
  case_check(d, 0, true);
  case_check(d, 1, true);
  mynah_dataset_close(d);
  mynah_free(copy);
}

/* Pages torn: a stretch of zeros, of another page, of noise. */
static void test_stretches(void **state) {
  mynah_rng r = mynah_rng_make(4, 1);
  char *copy = mynah_alloc(n_bytes);
  assert_non_null(copy);
  for (int i = 0; i < 300; i++) {
    memcpy(copy, whole, n_bytes);
    size_t length = (size_t)1 << mynah_rng_below(&r, 15), at = (size_t)mynah_rng_below(&r, n_bytes - length);
    if (i % 3 == 0) memset(copy + at, 0, length);
    else if (i % 3 == 1) memmove(copy + at, copy + mynah_rng_below(&r, n_bytes - length), length);
    else
      for (size_t k = 0; k < length; k++) copy[at + k] = (char)mynah_rng_u32(&r);
    write_other(copy, n_bytes);
    is_found("a stretch", at);
  }
  mynah_free(copy);
}

static void test_cuts(void **state) {
  mynah_rng r = mynah_rng_make(5, 1);
  for (int i = 0; i < N_CUTS; i++) {
    size_t n = i < 120 ? (size_t)i : (size_t)mynah_rng_below(&r, n_bytes);
    write_other(whole, n);
    assert_true(is_found("a cut", n));
  }
}

/* Opening for writing does not crash either, nor lose what is whole. */
static void test_writing_to_damaged(void **state) {
  mynah_rng r = mynah_rng_make(6, 1);
  char *copy = mynah_alloc(n_bytes);
  assert_non_null(copy);
  for (int i = 0; i < N_WRITES; i++) {
    mynah_dataset *d;
    memcpy(copy, whole, n_bytes);
    flip(&r, 100 + i, copy);
    write_other(copy, n_bytes);
    if (mynah_dataset_open(other, MYNAH_OPEN_WRITE, &d) != MYNAH_OK) continue;
    mynah_status status = case_write(d, 9, 30);
    if (status != MYNAH_OK && mynah_error()[0] == 0) fail_msg("%s without a text", mynah_status_name(status));
    mynah_dataset_close(d);
  }
  mynah_free(copy);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_flips), cmocka_unit_test(test_message_says_where),
                                     cmocka_unit_test(test_stretches), cmocka_unit_test(test_cuts),
                                     cmocka_unit_test(test_writing_to_damaged)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
