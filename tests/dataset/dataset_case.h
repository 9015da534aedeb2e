/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the tests of dataset share: a file with features of every type, episodes that can be told again from their seed.
 */
#ifndef TESTS_DATASET_CASE_H
#define TESTS_DATASET_CASE_H

#include <mynah/dataset.h>

#include "support/shared.h"
#include "support/torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define CASE_N_FEATURES 9
#define CASE_WIDTH 12
#define CASE_HEIGHT 8
#define case_ok(call)                                                 \
  do {                                                                \
    if ((call) != MYNAH_OK) fail_msg("%s: %s", #call, mynah_error()); \
  } while (0)
/* The call fails with this status and a text that names this. */
#define case_fails(call, want, text)                                                                      \
  do {                                                                                                    \
    mynah_status got_ = (call);                                                                           \
    if (got_ != (want)) fail_msg("%s: %s (%s)", #call, mynah_status_name(got_), mynah_error());           \
    if (!strstr(mynah_error(), text)) fail_msg("%s: '%s' does not say '%s'", #call, mynah_error(), text); \
  } while (0)

/* One frame of every feature, in their order. */
typedef struct case_frame {
  float f32[3];
  double f64[2];
  int64_t i64[1];
  int32_t i32[2];
  uint8_t u8[4], is[2];
  uint16_t bf16[2];
  uint8_t picture[CASE_HEIGHT * CASE_WIDTH * 3];
  float action[2];
  int64_t time_ns;
} case_frame;

static inline mynah_feature case_vector(const char *name, int64_t n, mynah_dtype dtype) {
  mynah_feature f = mynah_feature_vector(name, n, "", "");
  f.dtype = dtype;
  return f;
}

static inline void case_features(mynah_feature f[CASE_N_FEATURES]) {
  f[0] = mynah_feature_vector("observation.state", 3, "x,y,angle", "m");
  f[0].angle_mask = 4;
  f[1] = case_vector("observation.f64", 2, MYNAH_F64);
  f[2] = case_vector("observation.i64", 1, MYNAH_I64);
  f[3] = case_vector("observation.i32", 2, MYNAH_I32);
  f[4] = case_vector("observation.u8", 4, MYNAH_U8);
  f[5] = case_vector("observation.is", 2, MYNAH_BOOL);
  f[6] = case_vector("observation.bf16", 2, MYNAH_BF16);
  f[7] = mynah_feature_image("observation.images.top", CASE_HEIGHT, CASE_WIDTH);
  f[8] = case_vector("action", 2, MYNAH_F32);
}

/* The frame t of the episode of a seed. */
static inline void case_fill(case_frame *f, uint64_t seed, int64_t t) {
  mynah_rng r = mynah_rng_make(seed, (uint64_t)t);
  memset(f, 0, sizeof *f);
  for (int i = 0; i < 3; i++) f->f32[i] = (float)mynah_rng_normal(&r);
  for (int i = 0; i < 2; i++) f->f64[i] = mynah_rng_normal(&r) * 1e100;
  f->i64[0] = (int64_t)mynah_rng_u64(&r);
  for (int i = 0; i < 2; i++) f->i32[i] = (int32_t)mynah_rng_u32(&r);
  for (int i = 0; i < 4; i++) f->u8[i] = (uint8_t)mynah_rng_u32(&r);
  for (int i = 0; i < 2; i++) f->is[i] = mynah_rng_u32(&r) & 1;
  for (int i = 0; i < 2; i++) f->bf16[i] = (uint16_t)(mynah_rng_u32(&r) & 0xbfff); /* finite */
  for (size_t i = 0; i < sizeof f->picture; i++) f->picture[i] = (uint8_t)(mynah_rng_u32(&r) % 256);
  for (int i = 0; i < 2; i++) f->action[i] = (float)mynah_rng_normal(&r);
  f->time_ns = 1000000000 + t * 50000000 + (int64_t)(mynah_rng_u32(&r) % 1000);
}

static inline void case_values(const case_frame *f, mynah_value v[CASE_N_FEATURES]) {
  v[0] = (mynah_value){f->f32, sizeof f->f32, 0};
  v[1] = (mynah_value){f->f64, sizeof f->f64, 0};
  v[2] = (mynah_value){f->i64, sizeof f->i64, 0};
  v[3] = (mynah_value){f->i32, sizeof f->i32, 0};
  v[4] = (mynah_value){f->u8, sizeof f->u8, 0};
  v[5] = (mynah_value){f->is, sizeof f->is, 0};
  v[6] = (mynah_value){f->bf16, sizeof f->bf16, 0};
  v[7] = (mynah_value){f->picture, sizeof f->picture, 0};
  v[8] = (mynah_value){f->action, sizeof f->action, 0};
}

static inline mynah_status case_create(const char *path, mynah_codec codec, mynah_dataset **out) {
  mynah_feature f[CASE_N_FEATURES];
  case_features(f);
  mynah_dataset_config c = {.features = f,
                            .n_features = CASE_N_FEATURES,
                            .rate_hz = 20,
                            .robot = "sim:test",
                            .source = "a test",
                            .codec = codec};
  return mynah_dataset_create(path, &c, out);
}

static inline mynah_status case_begin(mynah_dataset *d, uint64_t seed) {
  mynah_episode info = {.seed = seed, .success = (int)(seed % 3) - 1};
  snprintf(info.task, sizeof info.task, "task %llu", (unsigned long long)seed);
  snprintf(info.expert, sizeof info.expert, "tester");
  return mynah_episode_begin(d, &info);
}

static inline mynah_status case_add(mynah_dataset *d, uint64_t seed, int64_t t) {
  case_frame f;
  mynah_value v[CASE_N_FEATURES];
  case_fill(&f, seed, t);
  case_values(&f, v);
  return mynah_episode_add(d, f.time_ns, v, NULL);
}

/* Begins, adds and seals; discards when that fails. */
static inline mynah_status case_write(mynah_dataset *d, uint64_t seed, int64_t n_frames) {
  MYNAH_TRY(case_begin(d, seed));
  for (int64_t t = 0; t < n_frames; t++) {
    mynah_status status = case_add(d, seed, t);
    if (status == MYNAH_OK) continue;
    mynah_episode_discard(d);
    return status;
  }
  return mynah_episode_seal(d, NULL);
}

/* Every frame of episode i is what its seed says, and so is what is known of it. Pictures are compared when is_exact.
 */
static inline void case_check(mynah_dataset *d, int64_t i, bool is_exact) {
  const mynah_episode *e = mynah_dataset_episode(d, i);
  char task[128];
  snprintf(task, sizeof task, "task %llu", (unsigned long long)e->seed);
  assert_string_equal(e->task, task);
  assert_string_equal(e->expert, "tester");
  assert_int_equal(e->success, (int)(e->seed % 3) - 1);
  assert_int_equal(strlen(e->hash), 64);
  for (int64_t t = 0; t < e->n_frames; t++) {
    case_frame want;
    mynah_value v[CASE_N_FEATURES];
    int64_t time_ns;
    uint64_t got[32];
    case_fill(&want, e->seed, t);
    case_values(&want, v);
    case_ok(mynah_dataset_read_times(d, i, t, 1, &time_ns));
    assert_int_equal(time_ns, want.time_ns);
    for (int k = 0; k < CASE_N_FEATURES; k++) {
      const mynah_feature *f = mynah_dataset_feature(d, k);
      if (!f->is_image) {
        case_ok(mynah_dataset_read_raw(d, i, f->name, t, 1, got));
        assert_memory_equal(got, v[k].data, v[k].bytes);
        continue;
      }
      mynah_image picture;
      case_ok(mynah_dataset_read_image(d, i, f->name, t, 0, 0, &picture));
      assert_int_equal(picture.width, CASE_WIDTH);
      assert_int_equal(picture.height, CASE_HEIGHT);
      if (is_exact) assert_memory_equal(picture.data, v[k].data, v[k].bytes);
      mynah_image_deinit(&picture);
    }
  }
}

/* Everything verifies. */
static inline void case_verify(mynah_dataset *d) {
  mynah_verify_report r;
  case_ok(mynah_dataset_verify(d, NULL, &r));
  if (r.n_damaged > 0) fail_msg("%s", r.first_damage);
  assert_int_equal(r.n_episodes, mynah_dataset_n_episodes(d));
  assert_int_equal(r.n_frames, mynah_dataset_n_frames(d));
}

/* A fresh folder's "set.demos". */
static inline const char *case_path(const char *folder) {
  static char path[MYNAH_PATH_MAX];
  case_ok(mynah_path_join(path, sizeof path, mynah_test_folder(folder), "set.demos"));
  return path;
}

#endif
