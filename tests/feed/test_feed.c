/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Batches: the same for any number of workers, every sample once an epoch, padding, mirroring, side cameras, splits. */
#include <mynah/feed.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define EPISODES 7
#define WIDTH 12
#define HEIGHT 8

static char folder[64], path[96];

static int64_t length_of(int e) { return 5 + e; }

/* Frame t of episode e: state = (e, t), action = 100 e + t; pictures are grey 10 e + t, the left half darker by 5, and
 * 100 or 200 brighter in the side cameras. */
static int set_up(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/mynah-test-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/d.demos", folder);
  mynah_feature f[5] = {mynah_feature_vector("observation.state", 2, "e,t", ""),
                        mynah_feature_image("observation.images.front", HEIGHT, WIDTH),
                        mynah_feature_image("observation.images.left", HEIGHT, WIDTH),
                        mynah_feature_image("observation.images.right", HEIGHT, WIDTH),
                        mynah_feature_vector("action", 1, "a", "")};
  for (int i = 0; i < 4; i++) f[i].is_mirrorable = true;
  mynah_feature_mirror(&f[4], (int[]){-1}, NULL);
  mynah_dataset_config c = {.features = f, .n_features = 5, .rate_hz = 10, .codec = MYNAH_CODEC_RAW};
  mynah_dataset *d;
  if (mynah_dataset_create(path, &c, &d) != MYNAH_OK) return -1;
  for (int e = 0; e < EPISODES; e++) {
    mynah_episode info = {.success = -1};
    if (mynah_episode_begin(d, &info) != MYNAH_OK) return -1;
    for (int t = 0; t < length_of(e); t++) {
      static uint8_t pictures[3][HEIGHT * WIDTH * 3];
      for (int v = 0; v < 3; v++)
        for (int p = 0; p < HEIGHT * WIDTH * 3; p++)
          pictures[v][p] = (uint8_t)(10 * e + t + 20 + (v == 1 ? 60 : v == 2 ? 120 : 0) - (p / 3 % WIDTH < WIDTH / 2 ? 5 : 0));
      float s[2] = {(float)e, (float)t}, a = (float)(100 * e + t);
      mynah_value values[5] = {{s, sizeof s, 0}, {pictures[0], sizeof pictures[0], 0}, {pictures[1], sizeof pictures[1], 0},
                               {pictures[2], sizeof pictures[2], 0}, {&a, sizeof a, 0}};
      if (mynah_episode_add(d, t, values, NULL) != MYNAH_OK) return -1;
    }
    if (mynah_episode_seal(d, NULL) != MYNAH_OK) return -1;
  }
  mynah_dataset_close(d);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  return mynah_remove_tree(folder) == MYNAH_OK ? 0 : -1;
}

static const mynah_window windows[4] = {
    {.input = "s", .feature = "observation.state", .first = -1, .count = 2},
    {.input = "p", .feature = "observation.images.front", .count = 1, .width = WIDTH, .height = HEIGHT},
    {.input = "a", .feature = "action", .count = 3},
    {.input = "m", .feature = "action", .count = 3, .is_padding_mask = true}};

static mynah_frames *load(const mynah_feed_config *c) {
  mynah_frames *f;
  if (mynah_frames_open(path, c, windows, 4, &f) != MYNAH_OK) fail_msg("%s", mynah_error());
  return f;
}

static mynah_feed_config defaults(void) {
  mynah_feed_config c;
  mynah_config_default(&mynah_feed_table, &c);
  return c;
}

static int all_ranges(mynah_range *r) {
  for (int e = 0; e < EPISODES; e++) r[e] = (mynah_range){e, 0, length_of(e)};
  return EPISODES;
}

/* By n_workers, or by the threads of a pool. */
static mynah_feed *make_by(const mynah_frames *f, const mynah_feed_config *c, int n_workers, mynah_pool *pool, bool is_training, int64_t batch) {
  mynah_range ranges[EPISODES];
  mynah_feed_options o = {.ranges = ranges, .n_ranges = all_ranges(ranges), .batch = batch, .seed = 4,
                          .is_training = is_training, .n_workers = n_workers, .pool = pool};
  mynah_feed *feed;
  assert_int_equal(mynah_feed_create(f, c, &o, &feed), MYNAH_OK);
  return feed;
}
static mynah_feed *make(const mynah_frames *f, const mynah_feed_config *c, int n_workers, bool is_training, int64_t batch) {
  return make_by(f, c, n_workers, NULL, is_training, batch);
}

/* Batches by 0, 1 and 3 workers, by a pool of three threads, and after a seek, are the same bytes. */
static void workers_do_not_matter(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  c.brightness = c.contrast = c.saturation = 0.3;
  c.shift = 0.2;
  c.zoom = 0.3;
  c.mirror = c.shadow = 0.5;
  c.side_share = 0.6;
  mynah_frames *f = load(&c);
  mynah_feed *one = make(f, &c, 0, true, 6);
  const int workers[3] = {1, 3, 0};
  mynah_pool *pool;
  assert_int_equal(mynah_pool_create(3, &pool), MYNAH_OK);
  for (int w = 0; w < 3; w++) {
    mynah_feed *other = make_by(f, &c, workers[w], workers[w] ? NULL : pool, true, 6);
    for (int round = 0; round < 2; round++) {
      mynah_feed_seek(one, round * 5);
      mynah_feed_seek(other, round * 5);
      for (int k = 0; k < 25; k++) {
        mynah_batch a, b;
        assert_int_equal(mynah_feed_next(one, &a), MYNAH_OK);
        assert_int_equal(mynah_feed_next(other, &b), MYNAH_OK);
        assert_int_equal(a.number, round * 5 + k);
        assert_memory_equal(a.data[0], b.data[0], 6 * 2 * 2 * sizeof(float));
        assert_memory_equal(a.data[1], b.data[1], 6 * HEIGHT * WIDTH * 3);
        assert_memory_equal(a.data[2], b.data[2], 6 * 3 * sizeof(float));
        mynah_feed_release(one, &a);
        mynah_feed_release(other, &b);
      }
    }
    mynah_feed_destroy(other);
  }
  mynah_pool_destroy(pool);
  mynah_feed_destroy(one);
  mynah_frames_destroy(f);
}

static void every_sample_once_an_epoch(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  mynah_frames *f = load(&c);
  mynah_feed *feed = make(f, &c, 2, true, 1);
  int64_t n = mynah_feed_n_samples(feed);
  assert_int_equal(n, 5 + 6 + 7 + 8 + 9 + 10 + 11);
  int seen[EPISODES][16] = {{0}}, in_order = 0;
  float before = -1;
  for (int64_t k = 0; k < 2 * n; k++) {
    mynah_batch b;
    assert_int_equal(mynah_feed_next(feed, &b), MYNAH_OK);
    const float *s = b.data[0];
    seen[(int)s[2]][(int)s[3]]++;
    in_order += s[2] * 100 + s[3] == before + 1;
    before = s[2] * 100 + s[3];
    mynah_feed_release(feed, &b);
  }
  for (int e = 0; e < EPISODES; e++)
    for (int t = 0; t < length_of(e); t++) assert_int_equal(seen[e][t], 2);
  assert_true(in_order < n / 2); /* shuffled */
  mynah_feed_destroy(feed);
  mynah_frames_destroy(f);
}

/* In order, whole, padded at both ends, nothing changed, the last batch smaller. */
static void validation_is_plain(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  c.brightness = c.mirror = c.side_share = 1;
  mynah_frames *f = load(&c);
  mynah_feed *feed = make(f, &c, 2, false, 10);
  int e = 0, t = 0;
  int64_t total = 0;
  for (;;) {
    mynah_batch b;
    assert_int_equal(mynah_feed_next(feed, &b), MYNAH_OK);
    if (b.size == 0) break;
    total += b.size;
    for (int64_t i = 0; i < b.size; i++) {
      const float *s = (float *)b.data[0] + 4 * i, *a = (float *)b.data[2] + 3 * i, *m = (float *)b.data[3] + 3 * i;
      assert_true(s[0] == (float)e && s[1] == (float)(t > 0 ? t - 1 : 0) && s[3] == (float)t);
      for (int k = 0; k < 3; k++) {
        int last = (int)length_of(e) - 1;
        assert_true(a[k] == (float)(100 * e + (t + k > last ? last : t + k)));
        assert_true(m[k] == (t + k <= last ? 1.0f : 0.0f));
      }
      const uint8_t *p = (uint8_t *)b.data[1] + i * HEIGHT * WIDTH * 3;
      assert_int_equal(p[0], 10 * e + t + 15);
      assert_int_equal(p[3 * WIDTH - 1], 10 * e + t + 20);
      if (++t == length_of(e)) t = 0, e++;
    }
    mynah_feed_release(feed, &b);
  }
  assert_int_equal(total, 56);
  mynah_feed_destroy(feed);
  mynah_frames_destroy(f);
}

/* A mirrored picture comes with a mirrored action; side cameras with a corrected one. */
static void labels_follow_pictures(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  c.mirror = 0.5;
  c.side_share = 0.66;
  c.side_correction = 0.25;
  mynah_frames *f = load(&c);
  mynah_feed *feed = make(f, &c, 0, true, 8);
  int n_mirrored = 0, n_left = 0, n_right = 0;
  for (int k = 0; k < 60; k++) {
    mynah_batch b;
    assert_int_equal(mynah_feed_next(feed, &b), MYNAH_OK);
    for (int i = 0; i < 8; i++) {
      const float *s = (float *)b.data[0] + 4 * i, *a = (float *)b.data[2] + 3 * i;
      const uint8_t *p = (uint8_t *)b.data[1] + i * HEIGHT * WIDTH * 3;
      bool is_mirrored = p[0] > p[3 * WIDTH - 1]; /* the darker half is on the right */
      int grey = p[is_mirrored ? 0 : 3 * WIDTH - 1] - 20 - (int)(10 * s[2] + s[3]);
      float clean = 100 * s[2] + s[3], due = grey == 0 ? clean : grey == 60 ? clean + 0.25f : clean - 0.25f;
      assert_true(grey == 0 || grey == 60 || grey == 120);
      assert_true(a[0] == (is_mirrored ? -due : due));
      n_mirrored += is_mirrored;
      n_left += grey == 60;
      n_right += grey == 120;
    }
    mynah_feed_release(feed, &b);
  }
  assert_in_range(n_mirrored, 180, 300); /* of 480 */
  assert_in_range(n_left, 110, 210);
  assert_in_range(n_right, 110, 210);
  mynah_feed_destroy(feed);
  mynah_frames_destroy(f);
}

static void splits(void **state) {
  (void)state;
  mynah_dataset *d;
  mynah_feed_config c = defaults();
  mynah_split a, b;
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &d), MYNAH_OK);
  c.valid_share = 0.3;
  assert_int_equal(mynah_split_create(d, &c, 5, &a), MYNAH_OK);
  assert_int_equal(mynah_split_create(d, &c, 5, &b), MYNAH_OK);
  assert_int_equal(a.n_train, 5);
  assert_int_equal(a.n_valid, 2);
  assert_memory_equal(a.valid, b.valid, 2 * sizeof *a.valid);
  for (int i = 0; i < 5; i++)
    for (int k = 0; k < 2; k++) assert_int_not_equal(a.train[i].episode, a.valid[k].episode);
  mynah_split_deinit(&a);
  mynah_split_deinit(&b);
  c.valid_by = MYNAH_VALID_LAST;
  assert_int_equal(mynah_split_create(d, &c, 5, &a), MYNAH_OK);
  assert_int_equal(a.valid[0].episode, 5);
  mynah_split_deinit(&a);
  c.valid_by = MYNAH_VALID_TIME;
  c.valid_share = 0.25;
  assert_int_equal(mynah_split_create(d, &c, 5, &a), MYNAH_OK);
  int64_t n_train = 0, n_valid = 0;
  for (int64_t i = 0; i < a.n_train; i++) n_train += a.train[i].to - a.train[i].from;
  for (int64_t i = 0; i < a.n_valid; i++) n_valid += a.valid[i].to - a.valid[i].from;
  assert_int_equal(n_train, 42);
  assert_int_equal(n_valid, 14);
  mynah_split_deinit(&a);
  c.valid_share = 0.0;
  assert_int_equal(mynah_split_create(d, &c, 5, &a), MYNAH_OK);
  assert_int_equal(a.n_valid, 0);
  mynah_split_deinit(&a);
  mynah_dataset_close(d);
}

/* What does not fit into memory is read anew each time, the same, whoever reads. */
static void cache_beyond_memory(void **state) {
  (void)state;
  mynah_feed_config c = defaults(), small = defaults();
  small.cache_mb = 0;
  mynah_frames *f = load(&c), *g = load(&small);
  mynah_feed *a = make(f, &c, 0, true, 6), *b = make(g, &small, 3, true, 6);
  for (int k = 0; k < 20; k++) {
    mynah_batch x, y;
    assert_int_equal(mynah_feed_next(a, &x), MYNAH_OK);
    assert_int_equal(mynah_feed_next(b, &y), MYNAH_OK);
    assert_memory_equal(x.data[0], y.data[0], 6 * 2 * 2 * sizeof(float));
    assert_memory_equal(x.data[1], y.data[1], 6 * HEIGHT * WIDTH * 3);
    assert_memory_equal(x.data[2], y.data[2], 6 * 3 * sizeof(float));
    mynah_feed_release(a, &x);
    mynah_feed_release(b, &y);
  }
  mynah_feed_destroy(a);
  mynah_feed_destroy(b);
  mynah_frames_destroy(f);
  mynah_frames_destroy(g);
}

/* A file that was changed since it was opened is not read on as if it had not been. */
static void changes_are_noticed(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  c.cache_mb = 0;
  mynah_dataset *d;
  mynah_batch b;
  mynah_frames *f = load(&c);
  mynah_feed *feed = make(f, &c, 2, true, 6);
  assert_int_equal(mynah_feed_next(feed, &b), MYNAH_OK);
  mynah_feed_destroy(feed);
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &d), MYNAH_OK);
  int64_t id = mynah_dataset_episode(d, 1)->id;
  assert_int_equal(mynah_dataset_set_deleted(d, &id, 1, true), MYNAH_OK);
  feed = make(f, &c, 2, true, 6);
  assert_int_equal(mynah_feed_next(feed, &b), MYNAH_MISMATCH);
  mynah_feed_destroy(feed);
  assert_int_equal(mynah_dataset_set_deleted(d, &id, 1, false), MYNAH_OK);
  mynah_dataset_close(d);
  mynah_frames_destroy(f);
}

static void misfits(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  mynah_frames *f;
  mynah_window w = {.input = "x", .feature = "observation.velocity", .count = 1};
  assert_int_equal(mynah_frames_open(path, &c, &w, 1, &f), MYNAH_NOT_FOUND);
  assert_int_equal(mynah_frames_open("/nowhere.demos", &c, windows, 4, &f), MYNAH_NOT_FOUND);
  c.side_share = 0.5;
  snprintf(c.side_camera, sizeof c.side_camera, "observation.images.back");
  assert_int_equal(mynah_frames_open(path, &c, windows, 4, &f), MYNAH_NOT_FOUND);
}

static void torture(void **state) {
  (void)state;
  mynah_feed_config c = defaults();
  for (int64_t n = 1; n < 5000; n++) {
    int64_t live = mynah_alloc_count().live_blocks;
    mynah_frames *f = NULL;
    mynah_feed *feed = NULL;
    mynah_range ranges[EPISODES];
    mynah_feed_options o = {.ranges = ranges, .n_ranges = all_ranges(ranges), .batch = 3, .is_training = true};
    mynah_alloc_fail_at(n);
    mynah_status status = mynah_frames_open(path, &c, windows, 4, &f);
    if (status == MYNAH_OK) status = mynah_feed_create(f, &c, &o, &feed);
    mynah_alloc_fail_at(0);
    mynah_feed_destroy(feed);
    mynah_frames_destroy(f);
    assert_int_equal(mynah_alloc_count().live_blocks, live);
    if (status == MYNAH_OK) return;
  }
  fail_msg("%s", "the feed was never made");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(workers_do_not_matter), cmocka_unit_test(every_sample_once_an_epoch),
      cmocka_unit_test(validation_is_plain),   cmocka_unit_test(labels_follow_pictures),
      cmocka_unit_test(splits),                cmocka_unit_test(cache_beyond_memory), cmocka_unit_test(changes_are_noticed),
      cmocka_unit_test(misfits),               cmocka_unit_test(torture)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
