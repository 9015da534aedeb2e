/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Videos: frames and their times, files that are none, that break off, that name other files, and a decoder gone wrong. */
#include "dataset_case.h"

#include "support/movie.h"

#include <stdlib.h>
#include <sys/stat.h>

#define WIDTH 48
#define HEIGHT 32
#define N 5

static const uint8_t colours[N][3] = {{200, 30, 30}, {30, 180, 60}, {40, 60, 210}, {220, 220, 220}, {90, 90, 20}};
static const int ms[N] = {40, 100, 10, 333, 40};
static const char *folder;

static const char *in_folder(const char *name) {
  static char path[MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void write_movie(const char *path) {
  static uint8_t pixels[N][WIDTH * HEIGHT * 3];
  mynah_image frames[N];
  for (int i = 0; i < N; i++) {
    for (int k = 0; k < WIDTH * HEIGHT * 3; k++) pixels[i][k] = colours[i][k % 3];
    frames[i] = (mynah_image){pixels[i], WIDTH, HEIGHT};
  }
  mynah_test_movie(path, frames, ms, N);
}

static int set_up(void **state) {
  folder = mynah_test_folder("video");
  write_movie(in_folder("a.mov"));
  return 0;
}

static void need_decoder(void) {
  if (mynah_video_is_supported()) return;
  print_message("skipped: mynah-video is not there\n");
  skip();
}

/* Reads on to the end; returns how many frames came. */
static mynah_status read_all(mynah_video *v, int *n) {
  uint8_t pixels[WIDTH * HEIGHT * 3];
  mynah_image image = {pixels, WIDTH, HEIGHT};
  int64_t time_ns, before = -1;
  for (bool is_over = false;;) {
    MYNAH_TRY(mynah_video_read(v, &image, &time_ns, &is_over));
    if (is_over) return MYNAH_OK;
    assert_true(time_ns > before);
    before = time_ns;
    ++*n;
  }
}

static void frames_and_times(void **state) {
  mynah_video *v;
  uint8_t pixels[WIDTH * HEIGHT * 3];
  mynah_image image = {pixels, WIDTH, HEIGHT};
  bool is_over = false;
  need_decoder();
  case_ok(mynah_video_open(in_folder("a.mov"), 0, &v));
  assert_int_equal(mynah_video_size(v).width, WIDTH);
  assert_int_equal(mynah_video_size(v).height, HEIGHT);
  assert_true(mynah_video_seconds(v) > 0.5 && mynah_video_seconds(v) < 0.55);
  int64_t due = 0, time_ns;
  for (int i = 0; i < N; i++) {
    assert_int_equal(mynah_video_position(v), i);
    case_ok(mynah_video_read(v, &image, &time_ns, &is_over));
    assert_false(is_over);
    assert_int_equal(time_ns, due);
    due += (int64_t)ms[i] * 1000000;
    for (int c = 0; c < 3; c++) assert_in_range(pixels[3 * (WIDTH * HEIGHT / 2) + c] + 4, colours[i][c], colours[i][c] + 8);
  }
  case_ok(mynah_video_read(v, &image, &time_ns, &is_over));
  assert_true(is_over);
  mynah_video_close(v);
  case_ok(mynah_video_open(in_folder("a.mov"), 2, &v));
  assert_int_equal(mynah_video_position(v), 2);
  case_ok(mynah_video_read(v, &image, &time_ns, &is_over));
  assert_int_equal(time_ns, 140000000);
  image.width--;
  case_fails(mynah_video_read(v, &image, &time_ns, &is_over), MYNAH_MISMATCH, "48 x 32");
  mynah_video_close(v);
}

static void no_videos(void **state) {
  mynah_video *v;
  char text[2000];
  need_decoder();
  case_fails(mynah_video_open(in_folder("none.mp4"), 0, &v), MYNAH_NOT_FOUND, "missing");
  case_fails(mynah_video_open(folder, 0, &v), MYNAH_INVALID, "no file");
  assert_int_equal(mkfifo(in_folder("pipe.mp4"), 0600), 0);
  case_fails(mynah_video_open(in_folder("pipe.mp4"), 0, &v), MYNAH_INVALID, "no file");
  const char *const contents[] = {"", "words", "ffconcat version 1.0\nfile a.mov\n",
                                  "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mov\n#EXT-X-ENDLIST\n"};
  for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
    snprintf(text, sizeof text, "%s", contents[i]);
    case_ok(mynah_file_write(in_folder("b.mp4"), text, strlen(text)));
    case_fails(mynah_video_open(in_folder("b.mp4"), 0, &v), MYNAH_CORRUPT, "is no video");
  }
}

/* Bytes changed anywhere: frames, or an error; never a hang. */
static void damaged(void **state) {
  char *bytes;
  size_t n;
  mynah_rng rng = mynah_rng_make(5, 0);
  need_decoder();
  case_ok(mynah_file_read(in_folder("a.mov"), 1 << 20, &bytes, &n));
  int n_failed = 0;
  for (int round = 0; round < 12; round++) {
    mynah_video *v;
    int n_frames = 0;
    char kept[16];
    size_t at = (size_t)mynah_rng_below(&rng, (uint32_t)n - 16);
    memcpy(kept, bytes + at, sizeof kept);
    for (size_t i = 0; i < sizeof kept; i++) bytes[at + i] = (char)mynah_rng_u32(&rng);
    case_ok(mynah_file_write(in_folder("c.mov"), bytes, n));
    memcpy(bytes + at, kept, sizeof kept);
    mynah_status status = mynah_video_open(in_folder("c.mov"), 0, &v);
    if (status == MYNAH_OK) {
      bool is_same = mynah_video_size(v).width == WIDTH && mynah_video_size(v).height == HEIGHT;
      if (is_same) status = read_all(v, &n_frames);
      mynah_video_close(v);
    }
    n_failed += status != MYNAH_OK;
    assert_true(status == MYNAH_OK || status == MYNAH_CORRUPT || status == MYNAH_LIMIT);
    assert_true(n_frames <= N);
  }
  assert_true(n_failed > 0);
  mynah_free(bytes);
}

/* What a program writes that a file has taken over. */
static void mad_decoder(void **state) {
  static const char *const says[] = {
      "printf '\\377\\377\\377\\377\\377\\377\\377\\177\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' >&3", "exit 1",
      "printf '\\60\\0\\0\\0\\0\\0\\0\\0\\40\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\1\\0\\0\\0\\0\\0\\0\\0abc' >&3"};
  char text[400];
  for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
    mynah_video *v;
    int n = 0;
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", says[i]);
    case_ok(mynah_file_write(in_folder("mad"), text, strlen(text)));
    assert_int_equal(chmod(in_folder("mad"), 0700), 0);
    setenv("MYNAH_VIDEO", in_folder("mad"), 1);
    mynah_status status = mynah_video_open(in_folder("a.mov"), 0, &v);
    if (i == 2) {
      assert_int_equal(status, MYNAH_OK);
      case_fails(read_all(v, &n), MYNAH_CORRUPT, "frame 0");
      mynah_video_close(v);
    } else assert_int_equal(status, i == 0 ? MYNAH_LIMIT : MYNAH_CORRUPT);
  }
  setenv("MYNAH_VIDEO", in_folder("not there"), 1);
  mynah_video *v;
  case_fails(mynah_video_open(in_folder("a.mov"), 0, &v), MYNAH_UNSUPPORTED, "mynah-video");
  assert_false(mynah_video_is_supported());
  unsetenv("MYNAH_VIDEO");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(frames_and_times), cmocka_unit_test(no_videos), cmocka_unit_test(damaged),
                                     cmocka_unit_test(mad_decoder)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
