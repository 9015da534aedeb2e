/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The recorder under load: cameras that give JPEG and a fast state, at their true rates, into one file.
 *
 * usage: bench_record OUT.demos [seconds=600] [cameras=4] [hz=60] [kb=60] [state_hz=1000] [episode=60]
 * Prints one JSON object: frames, dropped, late, commit_ms, move_ms (the log into the file), seal_ms (from the end of an episode until it is
 * safe), megabytes. Exit status 1: something was dropped. */
#include "src/run/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PICTURES 64 /* of a camera, shown in turn */
#define TIMES_MAX 100000

typedef struct times {
  double ms[TIMES_MAX];
  int n;
} times;
static times commits, moves, lags;

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
static double at(times *t, double share) {
  qsort(t->ms, (size_t)t->n, sizeof *t->ms, by_size);
  return t->n > 0 ? t->ms[(int)(share * (t->n - 1) + 0.999999)] : 0;
}
static void committed(void *context, int64_t ns, int64_t move_ns) {
  if (move_ns > 0 && moves.n < TIMES_MAX) moves.ms[moves.n++] = (double)move_ns * 1e-6;
  if (commits.n < TIMES_MAX) commits.ms[commits.n++] = (double)ns * 1e-6;
}

/* When the last episode was ended, to know how long its seal took from there. */
static atomic_int_fast64_t ended_ns;
static atomic_int n_sealed;
static void saved(void *context, int64_t episode, int64_t frames) {
  if (lags.n < TIMES_MAX) lags.ms[lags.n++] = (double)(mynah_now_ns() - atomic_load(&ended_ns)) * 1e-6;
  atomic_fetch_add(&n_sealed, 1);
}

/* Coloured noise of a strength that gives about so many bytes. */
static void make_pictures(double kb, mynah_str *out) {
  static uint8_t pixels[480 * 640 * 3];
  for (int k = 0; k < N_PICTURES; k++) {
    mynah_rng r = mynah_rng_make(1, (uint64_t)k);
    int quality = 50;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(128 + (int)mynah_rng_below(&r, 24) + (int)(i / 3 % 640) / 10);
    do {
      out[k].length = 0;
      if (mynah_jpeg_encode(&(mynah_image){pixels, 640, 480}, quality, &out[k]) != MYNAH_OK) exit(1);
      quality += (double)out[k].length < kb * 1000 ? 1 : -1;
    } while (quality > 1 && quality < 100 && (quality > 50) == ((double)out[k].length < kb * 1000));
  }
}

static double setting(int argc, char **argv, const char *key, double otherwise) {
  size_t n = strlen(key);
  for (int i = 2; i < argc; i++)
    if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=') return atof(argv[i] + n + 1);
  return otherwise;
}

int main(int argc, char **argv) {
  static mynah_str pictures[N_PICTURES];
  if (argc < 2) return fprintf(stderr, "usage: bench_record OUT.demos [seconds=600] [cameras=4] [hz=60] [kb=60] [state_hz=1000] [episode=60]\n"), 2;
  double seconds = setting(argc, argv, "seconds", 600), hz = setting(argc, argv, "hz", 60), rate = setting(argc, argv, "state_hz", 1000);
  double episode_s = setting(argc, argv, "episode", 60);
  int n_cameras = (int)setting(argc, argv, "cameras", 4);
  static const mynah_device_type type = {.name = "bench"};
  mynah_device d = {.type = &type, .n_observations = n_cameras + 1, .n_features = n_cameras + 2, .rate_hz = rate, .is_live = true};
  if (n_cameras < 0 || n_cameras > 8) return 2;
  d.features[0] = mynah_feature_vector("observation.state", 14, "", "rad");
  for (int i = 0; i < n_cameras; i++) {
    char name[MYNAH_NAME_MAX];
    snprintf(name, sizeof name, "observation.images.camera%d", i);
    d.features[1 + i] = mynah_feature_image(name, 480, 640);
  }
  d.features[n_cameras + 1] = mynah_feature_vector("action", 14, "", "rad");
  make_pictures(setting(argc, argv, "kb", 60), pictures);
  mynah__recorder *r;
  mynah__recorder_config c = {.rate_hz = rate, .expert = "bench", .saved = saved, .committed = committed, .ballast_bytes = (int64_t)64 << 20};
  if (mynah__recorder_create(argv[1], &d, &c, &r) != MYNAH_OK) return fprintf(stderr, "%s\n", mynah_error()), 1;
  int64_t period = (int64_t)(1e9 / rate), camera_ns = (int64_t)(1e9 / hz), start = mynah_now_ns(), next = start, n_offered = 0, began = start;
  int n_ended = 0;
  float state[14] = {0}, action[14] = {0};
  while (next - start < (int64_t)(seconds * 1e9)) {
    mynah_sleep_until_ns(next);
    int64_t shot = (next - start) / camera_ns;
    mynah_value values[16] = {{state, sizeof state, next}};
    state[0] = (float)n_offered;
    for (int i = 0; i < n_cameras; i++) {
      const mynah_str *p = &pictures[(shot + 7 * i) % N_PICTURES];
      values[1 + i] = (mynah_value){p->data, p->length, start + shot * camera_ns};
    }
    mynah__recorder_frame(r, values, action, next);
    n_offered++;
    next += period;
    if ((double)(next - began) * 1e-9 >= episode_s || next - start >= (int64_t)(seconds * 1e9)) {
      atomic_store(&ended_ns, mynah_now_ns());
      mynah__recorder_end(r, 1);
      n_ended++;
      began = next;
    }
  }
  mynah__recorder_report report;
  if (mynah__recorder_close(r, &report) != MYNAH_OK) return fprintf(stderr, "%s\n", mynah_error()), 1;
  int64_t bytes = 0;
  if (mynah_file_size(argv[1], &bytes) != MYNAH_OK) return 1;
  printf("{\"seconds\": %g, \"cameras\": %d, \"camera_hz\": %g, \"state_hz\": %g, \"picture_kb\": %.1f, "
         "\"offered\": %lld, \"frames\": %lld, \"episodes\": %lld, "
         "\"dropped\": %lld, \"late\": %lld, \"commits\": %d, \"commit_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"p99.9\": %.3f, \"max\": %.3f}, "
         "\"move_ms\": {\"p50\": %.0f, \"max\": %.0f}, \"seal_ms\": {\"p50\": %.0f, \"max\": %.0f}, \"megabytes\": %.1f}\n",
         seconds, n_cameras, hz, rate, (double)pictures[0].length * 1e-3, (long long)n_offered, (long long)report.n_frames, (long long)report.n_episodes,
         (long long)report.n_dropped, (long long)report.n_late, commits.n, at(&commits, 0.5), at(&commits, 0.99), at(&commits, 0.999), at(&commits, 1),
         at(&moves, 0.5), at(&moves, 1), at(&lags, 0.5), at(&lags, 1), (double)bytes * 1e-6);
  for (int k = 0; k < N_PICTURES; k++) mynah_str_deinit(&pictures[k]);
  return report.n_dropped > 0 || n_ended != atomic_load(&n_sealed);
}
