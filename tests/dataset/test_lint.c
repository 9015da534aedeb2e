/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lint: a clean set without a finding, and each fault planted into it, found where it was planted. */
#include "dataset_case.h"

#include "src/dataset/store.h"

#include <math.h>
#include <sqlite3.h>

#define EPISODES 12
#define FRAMES 200
#define RATE 20
#define WHERE 5 /* the episode with the fault, from 0 */

typedef struct moment {
  double x[2], v[2], action[2], time_s;
  int picture; /* its number: another one for each frame */
  bool is_black;
} moment;

/* One fault: what it changes, or how it lengthens and copies. */
typedef struct fault {
  mynah_lint_kind kind;
  void (*plant)(moment *m, int episode, int t);
  int n_frames;        /* of episode WHERE; 0: as usual */
  int copy_of;         /* episode WHERE moves as this one; -1: by itself */
  int64_t first, last; /* the finding's frames lie within; last < 0: of the whole set */
  const char *forge;   /* an element or time changed behind the writer's back: "nan" or "time" */
} fault;

/* Two sines a direction, by the episode's number. */
static void move(int seed, double t, double x[2], double v[2]) {
  for (int k = 0; k < 2; k++) {
    double a = 0.9 + 0.05 * seed, b = 1.7 + 0.11 * k, p = 1.3 * seed + 2 * k;
    x[k] = sin(a * t + p) + 0.5 * sin(b * t + 2 * p);
    v[k] = a * cos(a * t + p) + 0.5 * b * cos(b * t + 2 * p);
  }
}

static void draw(int number, bool is_black, uint8_t *out) {
  for (int y = 0; y < CASE_HEIGHT; y++)
    for (int x = 0; x < CASE_WIDTH * 3; x++)
      out[y * CASE_WIDTH * 3 + x] = is_black ? 0 : (uint8_t)(20 * y + 5 * x + number);
}

static void add_frame(mynah_dataset *d, const fault *f, int episode, int t) {
  moment m = {.time_s = (double)t / RATE, .picture = t};
  int seed = f && episode == WHERE && f->copy_of >= 0 ? f->copy_of : episode;
  double ahead[2], unused[2];
  uint8_t picture[CASE_HEIGHT * CASE_WIDTH * 3];
  move(seed, (double)t / RATE, m.x, m.v);
  move(seed, (double)(t + 2) / RATE, ahead, unused);
  memcpy(m.action, ahead, sizeof ahead);
  if (f && f->plant) f->plant(&m, episode, t);
  draw(m.picture, m.is_black, picture);
  float state[4] = {(float)m.x[0], (float)m.x[1], (float)m.v[0], (float)m.v[1]};
  float action[2] = {(float)m.action[0], (float)m.action[1]};
  mynah_value v[3] = {{state, sizeof state, 0}, {picture, sizeof picture, 0}, {action, sizeof action, 0}};
  case_ok(mynah_episode_add(d, (int64_t)(m.time_s * 1e9), v, NULL));
}

static void make(const char *path, const fault *f) {
  mynah_feature features[3] = {mynah_feature_vector("observation.state", 4, "x,y,vx,vy", "m"),
                               mynah_feature_image("observation.images.top", CASE_HEIGHT, CASE_WIDTH),
                               mynah_feature_vector("action", 2, "x,y", "m")};
  mynah_dataset_config c = {.features = features, .n_features = 3, .rate_hz = RATE, .codec = MYNAH_CODEC_PNG};
  mynah_dataset *d;
  case_ok(mynah_dataset_create(path, &c, &d));
  for (int e = 0; e < EPISODES; e++) {
    int n = f && f->n_frames && e == WHERE ? f->n_frames : FRAMES;
    case_ok(mynah_episode_begin(d, &(mynah_episode){.success = -1}));
    for (int t = 0; t < n; t++) add_frame(d, f, e, t);
    case_ok(mynah_episode_seal(d, NULL));
  }
  mynah_dataset_close(d);
}

/* Frame 100 of the episode, changed with a checksum that fits: what a writer refuses, another program may write. */
static void forge(const char *path, const char *what) {
  sqlite3 *db;
  sqlite3_stmt *q;
  uint8_t data[4096];
  bool is_time = strcmp(what, "time") == 0;
  int feature = is_time ? MYNAH__TIMES : 2, start = 64;
  char sql[256];
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  snprintf(sql, sizeof sql, "SELECT data FROM block WHERE episode=%d AND feature=%d AND start=%d", WHERE + 1, feature,
           start);
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(q), SQLITE_ROW);
  int n = sqlite3_column_bytes(q, 0);
  memcpy(data, sqlite3_column_blob(q, 0), (size_t)n);
  sqlite3_finalize(q);
  if (is_time) ((int64_t *)(void *)data)[100 - start] -= 300000000;
  else ((float *)(void *)data)[2 * (100 - start)] = NAN;
  uint32_t crc = mynah__place_crc(WHERE + 1, feature, start, 64, data, (size_t)n);
  snprintf(sql, sizeof sql, "UPDATE block SET data=?1, crc=?2 WHERE episode=%d AND feature=%d AND start=%d", WHERE + 1,
           feature, start);
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
  sqlite3_bind_blob(q, 1, data, n, SQLITE_STATIC);
  sqlite3_bind_int64(q, 2, crc);
  assert_int_equal(sqlite3_step(q), SQLITE_DONE);
  sqlite3_finalize(q);
  sqlite3_close(db);
}

static mynah_status lint_file(const char *path, const int8_t *parts, mynah_lint_report *out) {
  mynah_dataset *d;
  mynah_lint_config c;
  mynah_config_default(&mynah_lint_table, &c);
  MYNAH_TRY(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  mynah_status status = mynah_dataset_lint(d, &c, parts, NULL, out);
  mynah_dataset_close(d);
  return status;
}

static void expect(const char *folder, const fault *f) {
  const char *path = case_path(folder);
  int8_t parts[EPISODES] = {0};
  mynah_lint_report r;
  bool is_found = false;
  make(path, f);
  if (f->forge) forge(path, f->forge);
  parts[WHERE] = 1;
  case_ok(lint_file(path, parts, &r));
  for (size_t i = 0; i < r.n; i++) {
    const mynah_finding *g = &r.findings[i];
    bool is_there =
        f->last < 0 ? g->episode == -1 : g->episode == WHERE + 1 && g->frames[0] >= f->first && g->frames[1] <= f->last;
    is_found = is_found || (g->kind == f->kind && is_there && strlen(g->advice) > 20);
  }
  if (!is_found) {
    for (size_t i = 0; i < r.n; i++)
      print_message("  found %s %lld:%lld-%lld %s\n", mynah_lint_kind_name(r.findings[i].kind),
                    (long long)r.findings[i].episode, (long long)r.findings[i].frames[0],
                    (long long)r.findings[i].frames[1], r.findings[i].advice);
    fail_msg("%s was planted and not found", mynah_lint_kind_name(f->kind));
  }
  mynah_lint_report_deinit(&r);
}

/* ---- the faults -------------------------------------------------------------------------------------------------- */

static bool is_here(int episode, int t, int first, int last) { return episode == WHERE && t >= first && t <= last; }
static void rest(moment *m, int e, int t) {
  double unused[2];
  if (!is_here(e, t, 80, 139)) return;
  move(WHERE, 80.0 / RATE, m->x, unused);
  move(WHERE, 80.0 / RATE, m->action, unused);
  m->v[0] = m->v[1] = 0;
  m->picture = 80;
}
static void gap(moment *m, int e, int t) { m->time_s += is_here(e, t, 100, FRAMES) ? 0.4 : 0; }
static void drift(moment *m, int e, int t) { m->time_s *= e == WHERE ? 1 + 0.2 * t / FRAMES : 1; }
static void freeze(moment *m, int e, int t) { m->picture = is_here(e, t, 50, 99) ? 50 : m->picture; }
static void blacken(moment *m, int e, int t) { m->is_black = is_here(e, t, 50, 99); }
static void clip(moment *m, int e, int t) { m->action[0] = fmin(m->action[0], 0.1); }
static void hold(moment *m, int e, int t) { m->action[1] = 0.25; }
static void spike(moment *m, int e, int t) { m->x[1] += is_here(e, t, 100, 100) ? 2 : 0; }
static void delay(moment *m, int e, int t) {
  double unused[2];
  move(e, (double)(t - 6) / RATE, m->action, unused);
}
static void turn_round(moment *m, int e, int t) {
  for (int k = 0; k < 2 && e == WHERE; k++) m->action[k] = -m->action[k];
}
static void shake(moment *m, int e, int t) {
  mynah_rng r = mynah_rng_make(7, (uint64_t)t);
  for (int k = 0; k < 2 && e == WHERE; k++) m->action[k] += 0.3 * mynah_rng_normal(&r);
}
static void copy_inexactly(moment *m, int e, int t) { m->x[0] += e == WHERE ? 1e-4 * (t % 3) : 0; }

static const fault faults[] = {
    {MYNAH_LINT_IDLE, rest, 0, -1, 76, 142, NULL},
    {MYNAH_LINT_TIME_GAP, gap, 0, -1, 99, 100, NULL},
    {MYNAH_LINT_TIME_REVERSAL, NULL, 0, -1, 99, 100, "time"},
    {MYNAH_LINT_RATE_DRIFT, drift, 0, -1, 0, FRAMES - 1, NULL},
    {MYNAH_LINT_FROZEN_CAMERA, freeze, 0, -1, 50, 99, NULL},
    {MYNAH_LINT_BLACK_CAMERA, blacken, 0, -1, 50, 99, NULL},
    {MYNAH_LINT_SATURATED, clip, 0, -1, 0, -1, NULL},
    {MYNAH_LINT_CONSTANT, hold, 0, -1, 0, -1, NULL},
    {MYNAH_LINT_JUMP, spike, 0, -1, 99, 101, NULL},
    {MYNAH_LINT_NONFINITE, NULL, 0, -1, 100, 100, "nan"},
    {MYNAH_LINT_LAG, delay, 0, -1, 0, -1, NULL},
    {MYNAH_LINT_DUPLICATE, NULL, 0, 2, 0, FRAMES - 1, NULL},
    {MYNAH_LINT_DUPLICATE, NULL, 150, 2, 0, FRAMES - 1, NULL},
    {MYNAH_LINT_DUPLICATE, copy_inexactly, 0, 2, 0, FRAMES - 1, NULL},
    {MYNAH_LINT_LENGTH_OUTLIER, NULL, 60, -1, 0, 59, NULL},
    {MYNAH_LINT_LENGTH_OUTLIER, NULL, 900, -1, 0, 899, NULL},
    {MYNAH_LINT_CONFLICT, turn_round, 0, 2, 0, FRAMES - 1, NULL},
    {MYNAH_LINT_LABEL_NOISE, shake, 0, -1, 0, FRAMES - 1, NULL},
    {MYNAH_LINT_LEAKAGE, NULL, 0, 2, 0, FRAMES - 1, NULL},
};

static void test_planted(void **state) {
  unsigned seen = 0;
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    expect("lint", &faults[i]);
    seen |= 1u << faults[i].kind;
  }
  assert_int_equal(seen, (1u << MYNAH_LINT_KINDS) - 1); /* every kind has a test */
}

static void test_clean(void **state) {
  const char *path = case_path("lint");
  int8_t parts[EPISODES] = {0};
  mynah_lint_report r;
  make(path, NULL);
  parts[WHERE] = 1;
  case_ok(lint_file(path, parts, &r));
  if (r.n > 0) fail_msg("a clean set has %s: %s", mynah_lint_kind_name(r.findings[0].kind), r.findings[0].advice);
  mynah_lint_report_deinit(&r);
}

static mynah_status work(void *path) {
  mynah_lint_report r;
  MYNAH_TRY(lint_file(path, NULL, &r));
  mynah_lint_report_deinit(&r);
  return MYNAH_OK;
}

static void test_torture(void **state) {
  char path[MYNAH_PATH_MAX];
  snprintf(path, sizeof path, "%s", case_path("lint"));
  mynah_dataset *d;
  case_ok(case_create(path, MYNAH_CODEC_PNG, &d));
  for (uint64_t i = 0; i < 4; i++) case_ok(case_write(d, i, 12));
  mynah_dataset_close(d);
  assert_true(mynah_test_torture(work, path) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_clean), cmocka_unit_test(test_planted),
                                     cmocka_unit_test(test_torture)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
