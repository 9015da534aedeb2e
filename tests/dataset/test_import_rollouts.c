/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rollouts of the imitation library: archives made here, whole and damaged, and real ones in ../shared. */
#include "dataset_case.h"

#include <stdlib.h>
#include <zlib.h>

static char source[MYNAH_PATH_MAX], out[MYNAH_PATH_MAX];

static int set_up(void **state) {
  (void)state;
  const char *base = mynah_test_folder("rollouts");
  snprintf(source, sizeof source, "%s/r.npz", base);
  snprintf(out, sizeof out, "%s/out.demos", base);
  return 0;
}

/* ---- a .npz of stored members --------------------------------------------------------------------------------------- */

typedef struct archive {
  uint8_t bytes[4096], directory[1024];
  size_t n, n_directory;
  int n_members;
} archive;

static void put(uint8_t *to, uint32_t v, int n) {
  for (int i = 0; i < n; i++) to[i] = (uint8_t)(v >> 8 * i);
}

static void add_member(archive *a, const char *name, const char *header, const void *items, size_t n_items) {
  uint8_t member[1024] = "\x93NUMPY\x01";
  size_t n_name = strlen(name), n_header = strlen(header), n = 10 + n_header + n_items;
  put(member + 8, (uint32_t)n_header, 2);
  memcpy(member + 10, header, n_header);
  memcpy(member + 10 + n_header, items, n_items);
  uint8_t *row = a->directory + a->n_directory, *head = a->bytes + a->n;
  uint32_t crc = (uint32_t)crc32(0, member, (uInt)n);
  put(row, 0x02014b50, 4), put(row + 16, crc, 4), put(row + 20, (uint32_t)n, 4), put(row + 24, (uint32_t)n, 4);
  put(row + 28, (uint32_t)n_name, 2), put(row + 42, (uint32_t)a->n, 4);
  memcpy(row + 46, name, n_name);
  put(head, 0x04034b50, 4), put(head + 14, crc, 4), put(head + 26, (uint32_t)n_name, 2);
  memcpy(head + 30, name, n_name);
  memcpy(head + 30 + n_name, member, n);
  a->n += 30 + n_name + n;
  a->n_directory += 46 + n_name;
  a->n_members++;
}

static void finish(archive *a) {
  uint32_t at = (uint32_t)a->n;
  memcpy(a->bytes + a->n, a->directory, a->n_directory);
  a->n += a->n_directory;
  put(a->bytes + a->n, 0x06054b50, 4), put(a->bytes + a->n + 10, (uint32_t)a->n_members, 2), put(a->bytes + a->n + 16, at, 4);
  a->n += 22;
}

#define HEADER(descr, shape) "{'descr': '" descr "', 'fortran_order': False, 'shape': (" shape "), }\n"

/* Two episodes of 2 and 3 actions: obs counts rows, acts count classes. */
static archive make(const char *obs_header, int64_t border) {
  archive a = {.n = 0};
  float obs[7 * 2];
  int64_t acts[5] = {0, 1, 2, 1, 0};
  for (int i = 0; i < 14; i++) obs[i] = (float)i;
  add_member(&a, "obs.npy", obs_header, obs, sizeof obs);
  add_member(&a, "acts.npy", HEADER("<i8", "5,"), acts, sizeof acts);
  add_member(&a, "indices.npy", HEADER("<i8", "1,"), &border, sizeof border);
  finish(&a);
  return a;
}

#define OBS HEADER("<f4", "7, 2")

static mynah_status import(const char *path, mynah_import_report *r) {
  const mynah_importer *importer;
  MYNAH_TRY(mynah_importer_find("rollouts", &importer));
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return MYNAH_NO_MEMORY;
  mynah_config_default(importer->config, config);
  mynah_status status = importer->run(path, out, config, NULL, r);
  mynah_free(config);
  return status;
}

static void fails(const archive *a, size_t n, mynah_status want, const char *says) {
  mynah_import_report r;
  case_ok(mynah_file_write(source, a->bytes, n));
  mynah_status status = import(source, &r);
  if (status != want || !strstr(mynah_error(), says)) fail_msg("status %d, expected %d: %s", status, want, mynah_error());
  assert_false(mynah_file_exists(out));
}

static void episodes_are_cut_at_the_indices(void **state) {
  (void)state;
  archive a = make(OBS, 2);
  mynah_import_report r;
  mynah_dataset *d;
  float obs[6];
  int64_t acts[3];
  case_ok(mynah_file_write(source, a.bytes, a.n));
  case_ok(import(source, &r));
  mynah_json_destroy(r.skipped);
  assert_int_equal(r.n_episodes, 2);
  assert_int_equal(r.n_frames, 5);
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  assert_int_equal(mynah_dataset_find(d, "action")->dtype, MYNAH_I64);
  assert_true(mynah_dataset_rate_hz(d) == 50);
  assert_int_equal(mynah_dataset_episode(d, 0)->n_frames, 2);
  case_ok(mynah_dataset_read(d, 1, "observation.state", 0, 3, obs)); /* the last observation of episode 0 is left out */
  for (int i = 0; i < 6; i++) assert_true(obs[i] == (float)(6 + i));
  case_ok(mynah_dataset_read_raw(d, 1, "action", 0, 3, acts));
  assert_true(acts[0] == 2 && acts[1] == 1 && acts[2] == 0);
  mynah_dataset_close(d);
}

static void what_is_wrong_is_said(void **state) {
  (void)state;
  archive a = make(OBS, 2);
  for (size_t n = 0; n < a.n; n += 7) fails(&a, n, MYNAH_CORRUPT, "archive");
  a.bytes[90] ^= 1; /* a digit of obs */
  fails(&a, a.n, MYNAH_CORRUPT, "checksum");
  a = make(OBS, 5);
  fails(&a, a.n, MYNAH_CORRUPT, "episode 1");
  a = make(OBS, -1);
  fails(&a, a.n, MYNAH_CORRUPT, "episode 0");
  a = make(HEADER("<f4", "8, 2"), 2);
  fails(&a, a.n, MYNAH_CORRUPT, "obs.npy");
  a = make(HEADER("<f4", "14,"), 2);
  fails(&a, a.n, MYNAH_MISMATCH, "14 observations");
  a = make(HEADER("|O", "7, 2"), 2);
  fails(&a, a.n, MYNAH_UNSUPPORTED, "little-endian");
  a = make("{'descr': '<f4', 'fortran_order': True, 'shape': (7, 2), }\n", 2);
  fails(&a, a.n, MYNAH_UNSUPPORTED, "by rows");
  a = (archive){.n = 0};
  finish(&a);
  fails(&a, a.n, MYNAH_NOT_FOUND, "obs.npy");
}

/* Deflated members, as NumPy writes them. */
static void real_rollouts(void **state) {
  (void)state;
  mynah_import_report r;
  case_ok(import(mynah_test_shared("data/imitation_rollouts/pendulum_0_rollouts_final.npz"), &r));
  mynah_json_destroy(r.skipped);
  assert_int_equal(r.n_episodes, 56);
  assert_int_equal(r.n_frames, 11200);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(episodes_are_cut_at_the_indices, set_up),
                                     cmocka_unit_test_setup(what_is_wrong_is_said, set_up),
                                     cmocka_unit_test_setup(real_rollouts, set_up)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
