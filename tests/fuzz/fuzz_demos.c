/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A .demos file from elsewhere: read whole, verified, opened for writing. The input is a file, or changes to a good
 * one: groups of five bytes, where (3, little-endian) and what (2: a value, and how often it is repeated). */
#include "scratch.h"

#include <mynah/dataset.h>

static uint8_t *whole;
static size_t n_whole;
static char path[512];

static void use(mynah_open_mode mode) {
  mynah_dataset *d;
  mynah_verify_report r;
  char hash[65];
  if (mynah_dataset_open(path, mode, &d) != MYNAH_OK) {
    FUZZ_CHECK(mynah_error()[0] != 0);
    return;
  }
  if (mynah_dataset_verify(d, NULL, &r) == MYNAH_OK) FUZZ_CHECK(r.n_episodes == mynah_dataset_n_episodes(d));
  (void)!mynah_dataset_hash(d, hash);
  for (int64_t i = 0; i < mynah_dataset_n_episodes(d) && i < 4; i++)
    for (int k = 0; k < mynah_dataset_n_features(d); k++) {
      const mynah_feature *f = mynah_dataset_feature(d, k);
      int64_t last = mynah_dataset_episode(d, i)->n_frames - 1;
      mynah_image picture;
      float *row = mynah_calloc((size_t)mynah_feature_size(f), sizeof *row);
      if (row && !f->is_image) (void)!mynah_dataset_read(d, i, f->name, last, 1, row);
      if (f->is_image && mynah_dataset_read_image(d, i, f->name, last, 0, 0, &picture) == MYNAH_OK)
        mynah_image_deinit(&picture);
      mynah_free(row);
    }
  mynah_dataset_close(d);
}

static void add_episode(mynah_dataset *d, uint64_t seed) {
  mynah_rng r = mynah_rng_make(seed, 0);
  FUZZ_CHECK(mynah_episode_begin(d, &(mynah_episode){.seed = seed, .success = 1, .task = "a"}) == MYNAH_OK);
  for (int t = 0; t < 70; t++) {
    uint8_t picture[4 * 4 * 3];
    float action[2] = {(float)mynah_rng_normal(&r), 1};
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (uint8_t)mynah_rng_u32(&r);
    mynah_value v[2] = {{picture, sizeof picture, 0}, {action, sizeof action, 0}};
    FUZZ_CHECK(mynah_episode_add(d, t, v, NULL) == MYNAH_OK);
  }
  FUZZ_CHECK(mynah_episode_seal(d, NULL) == MYNAH_OK);
}

/* The good file, kept outside the counted memory because it stays. */
static void make_whole(void) {
  mynah_feature f[2] = {mynah_feature_image("observation.images.top", 4, 4), mynah_feature_vector("action", 2, "", "")};
  mynah_dataset_config c = {.features = f, .n_features = 2, .rate_hz = 10, .codec = MYNAH_CODEC_RAW};
  mynah_dataset *d;
  char *data;
  FUZZ_CHECK(mynah_dataset_create(path, &c, &d) == MYNAH_OK);
  add_episode(d, 1);
  add_episode(d, 2);
  mynah_dataset_close(d);
  FUZZ_CHECK(mynah_file_read(path, (size_t)1 << 24, &data, &n_whole) == MYNAH_OK);
  whole = malloc(n_whole);
  FUZZ_CHECK(whole != NULL);
  memcpy(whole, data, n_whole);
  mynah_free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (fuzz_make_folder()) {
    snprintf(path, sizeof path, "%s/a.demos", fuzz_folder);
    make_whole();
  }
  static const char *const tails[] = {"a.demos-wal", "a.demos-shm", "a.demos-journal"};
  for (int i = 0; i < 3; i++) {
    char name[512];
    snprintf(name, sizeof name, "%s/%s", fuzz_folder, tails[i]);
    remove(name);
  }
  if (size >= 16 && memcmp(data, "SQLite format 3", 16) == 0) {
    fuzz_put("a.demos", data, size);
  } else {
    uint8_t *changed = malloc(n_whole);
    FUZZ_CHECK(changed != NULL);
    memcpy(changed, whole, n_whole);
    for (size_t i = 0; i + 5 <= size; i += 5) {
      size_t at = ((size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) % n_whole;
      for (size_t k = at; k <= at + data[i + 4] / 8 && k < n_whole; k++) changed[k] = data[i + 3];
    }
    fuzz_put("a.demos", changed, n_whole);
    free(changed);
  }
  use(MYNAH_OPEN_READ);
  if (size % 4 == 0) use(MYNAH_OPEN_WRITE); /* which syncs, and takes its time */
  return 0;
}
