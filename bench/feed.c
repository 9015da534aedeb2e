/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training's side of a dataset: how soon the first batch comes, how many random windows a second follow, how fast frames are recorded.
 *
 * usage: bench_feed make X.demos [gb=20]           a file that large, of 96 x 96 pictures
 *        bench_feed read X.demos [cache=2048] [seconds=5] [workers=0] [batch=64] [camera=observation.images.top]
 *        bench_feed record X.demos [frames=3000] [codec=1]   one 96 x 96 camera, encoded here (0 JPEG, 1 PNG)
 * Windows are 2 observations (a picture and a state) and 16 actions. Prints one JSON object. */
#include <mynah/feed.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SIDE 96
#define N_PICTURES 64
#define EPISODE 500
#define CAMERA "observation.images.top"

#define TRY_OR_EXIT(call)                          \
  do {                                             \
    if ((call) != MYNAH_OK) {                      \
      fprintf(stderr, "%s\n", mynah_error());      \
      exit(1);                                     \
    }                                              \
  } while (0)

static const char *setting(int argc, char **argv, const char *key, const char *otherwise) {
  size_t n = strlen(key);
  for (int i = 3; i < argc; i++)
    if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=') return argv[i] + n + 1;
  return otherwise;
}
static double number(int argc, char **argv, const char *key, const char *otherwise) { return atof(setting(argc, argv, key, otherwise)); }

/* A picture with some structure and some noise. */
static void draw(uint8_t *pixels, uint64_t k, int noise) {
  mynah_rng r = mynah_rng_make(7, k);
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++)
      for (int c = 0; c < 3; c++)
        pixels[3 * (y * SIDE + x) + c] = (uint8_t)((x * (int)(k % 5 + 1) + y * (c + 1)) / 3 % 200 + (int)mynah_rng_below(&r, (uint32_t)noise));
}

static mynah_dataset *create(const char *path, mynah_codec codec) {
  mynah_feature f[3] = {mynah_feature_vector("observation.state", 2, "x,y", ""), mynah_feature_image(CAMERA, SIDE, SIDE),
                        mynah_feature_vector("action", 2, "x,y", "")};
  mynah_dataset_config c = {.features = f, .n_features = 3, .rate_hz = 30, .codec = codec};
  mynah_dataset *d;
  TRY_OR_EXIT(mynah_dataset_create(path, &c, &d));
  return d;
}

static void add(mynah_dataset *d, int64_t t, const void *picture, size_t bytes, bool is_encoded) {
  float x[2] = {(float)t, (float)(t % 7)};
  mynah_value v[3] = {{x, sizeof x, 0}, {picture, bytes, 0}, {x, sizeof x, 0}};
  TRY_OR_EXIT(mynah_episode_add(d, t * 33333333, v, (bool[]){false, is_encoded, false}));
}

static void make(int argc, char **argv) {
  static uint8_t pixels[SIDE * SIDE * 3];
  mynah_str codes[N_PICTURES] = {{0}};
  double bytes = 0, most = number(argc, argv, "gb", "20") * 1e9;
  int64_t n = 0;
  for (int k = 0; k < N_PICTURES; k++) {
    draw(pixels, (uint64_t)k, 56);
    TRY_OR_EXIT(mynah_jpeg_encode(&(mynah_image){pixels, SIDE, SIDE}, 98, &codes[k]));
  }
  mynah_dataset *d = create(argv[2], MYNAH_CODEC_JPEG);
  while (bytes < most) {
    TRY_OR_EXIT(mynah_episode_begin(d, &(mynah_episode){.success = -1}));
    for (int64_t t = 0; t < EPISODE; t++, n++) {
      const mynah_str *p = &codes[(n * 11) % N_PICTURES];
      add(d, t, p->data, p->length, true);
      bytes += (double)p->length;
    }
    TRY_OR_EXIT(mynah_episode_seal(d, NULL));
  }
  mynah_dataset_close(d);
  for (int k = 0; k < N_PICTURES; k++) mynah_str_deinit(&codes[k]);
  printf("{\"frames\": %lld}\n", (long long)n);
}

static void record(int argc, char **argv) {
  static uint8_t pixels[N_PICTURES][SIDE * SIDE * 3];
  int64_t n = (int64_t)number(argc, argv, "frames", "3000");
  for (int k = 0; k < N_PICTURES; k++) draw(pixels[k], (uint64_t)k, 8);
  mynah_dataset *d = create(argv[2], (mynah_codec)number(argc, argv, "codec", "1"));
  int64_t start = mynah_now_ns();
  for (int64_t i = 0; i < n; i++) {
    if (i % EPISODE == 0) TRY_OR_EXIT(mynah_episode_begin(d, &(mynah_episode){.success = -1}));
    add(d, i % EPISODE, pixels[i % N_PICTURES], sizeof *pixels, false);
    if (i % EPISODE == EPISODE - 1 || i + 1 == n) TRY_OR_EXIT(mynah_episode_seal(d, NULL));
  }
  double seconds = (double)(mynah_now_ns() - start) * 1e-9;
  mynah_dataset_close(d);
  printf("{\"frames\": %lld, \"seconds\": %.3f, \"frames_per_s\": %.1f}\n", (long long)n, seconds, (double)n / seconds);
}

/* From nothing to the first batch, then windows a second. The file's pages are dropped from the system's cache first, where it lets us. */
static void read_windows(int argc, char **argv) {
  mynah_feed_config c;
  mynah_config_default(&mynah_feed_table, &c);
  c.cache_mb = (int64_t)number(argc, argv, "cache", "2048");
  double seconds = number(argc, argv, "seconds", "5");
  int64_t size = (int64_t)number(argc, argv, "batch", "64");
  mynah_window w[3] = {{.input = "state", .feature = "observation.state", .first = -1, .count = 2},
                       {.input = "picture", .first = -1, .count = 2, .width = SIDE, .height = SIDE},
                       {.input = "action", .feature = "action", .count = 16}};
  TRY_OR_EXIT(mynah_copy_text(w[1].feature, sizeof w[1].feature, setting(argc, argv, "camera", CAMERA)));
  int fd = open(argv[2], O_RDONLY);
  if (fd >= 0) {
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
  int64_t bytes = 0, start = mynah_now_ns();
  TRY_OR_EXIT(mynah_file_size(argv[2], &bytes));
  mynah_dataset *d;
  mynah_split split;
  mynah_frames *frames;
  mynah_feed *feed;
  mynah_batch batch;
  TRY_OR_EXIT(mynah_dataset_open(argv[2], MYNAH_OPEN_READ, &d));
  TRY_OR_EXIT(mynah_split_create(d, &c, 1, &split));
  TRY_OR_EXIT(mynah_frames_open(argv[2], &c, w, 3, &frames));
  mynah_feed_options o = {.ranges = split.train, .n_ranges = split.n_train, .batch = size, .seed = 1, .is_training = true,
                          .n_workers = (int)number(argc, argv, "workers", "0")};
  TRY_OR_EXIT(mynah_feed_create(frames, &c, &o, &feed));
  TRY_OR_EXIT(mynah_feed_next(feed, &batch));
  mynah_feed_release(feed, &batch);
  int64_t first = mynah_now_ns(), n = 0, now = first;
  while ((double)(now - first) < seconds * 1e9) {
    TRY_OR_EXIT(mynah_feed_next(feed, &batch));
    mynah_feed_release(feed, &batch);
    n += size;
    now = mynah_now_ns();
  }
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  printf("{\"megabytes\": %.1f, \"frames\": %lld, \"cache_mb\": %lld, \"first_batch_ms\": %.1f, "
         "\"windows\": %lld, \"windows_per_s\": %.1f, \"peak_memory_mb\": %.1f}\n",
         (double)bytes * 1e-6, (long long)mynah_dataset_n_frames(d), (long long)c.cache_mb, (double)(first - start) * 1e-6, (long long)n,
         (double)n / ((double)(now - first) * 1e-9), (double)u.ru_maxrss * 1024e-6);
  mynah_feed_destroy(feed);
  mynah_frames_destroy(frames);
  mynah_split_deinit(&split);
  mynah_dataset_close(d);
}

int main(int argc, char **argv) {
  const char *what = argc > 2 ? argv[1] : "";
  if (strcmp(what, "make") == 0) make(argc, argv);
  else if (strcmp(what, "read") == 0) read_windows(argc, argv);
  else if (strcmp(what, "record") == 0) record(argc, argv);
  else return fprintf(stderr, "usage: bench_feed make|read|record X.demos [key=value ...]\n"), 2;
  return 0;
}
