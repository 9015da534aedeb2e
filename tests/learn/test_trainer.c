/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The trainer on a small regression: it learns, threads do not matter, killed runs resume to the same weights, damaged
 * checkpoints are passed over, numbers that are no numbers stop it. */
#include <mynah/learn.h>

#include "support/soak.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], data[96];
static float poison; /* multiplies the loss */
static bool is_evaluated; /* the best score decides */
static bool is_counted;   /* steps are taken one by one, and their allocations counted */

/* y = 2 x0 - x1 + 0.5, 5 episodes of 40 frames. */
static int set_up(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/mynah-test-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(data, sizeof data, "%s/d.demos", folder);
  mynah_feature f[2] = {mynah_feature_vector("observation.state", 2, "", ""), mynah_feature_vector("action", 1, "", "")};
  mynah_dataset_config c = {.features = f, .n_features = 2, .rate_hz = 10};
  mynah_dataset *d;
  mynah_rng rng = mynah_rng_make(1, 1);
  if (mynah_dataset_create(data, &c, &d) != MYNAH_OK) return -1;
  for (int e = 0; e < 5; e++) {
    mynah_episode info = {.success = -1};
    if (mynah_episode_begin(d, &info) != MYNAH_OK) return -1;
    for (int t = 0; t < 40; t++) {
      float x[2] = {(float)mynah_rng_normal(&rng), (float)mynah_rng_normal(&rng)}, y = 2 * x[0] - x[1] + 0.5f;
      mynah_value v[2] = {{x, sizeof x, 0}, {&y, sizeof y, 0}};
      if (mynah_episode_add(d, t, v, NULL) != MYNAH_OK) return -1;
    }
    if (mynah_episode_seal(d, NULL) != MYNAH_OK) return -1;
  }
  mynah_dataset_close(d);
  poison = 1;
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  return mynah_remove_tree(folder) == MYNAH_OK ? 0 : -1;
}

/* A hidden layer with dropout, so that the noise of a step matters too. */
static mynah_status build(void *context, int64_t batch, mynah_graph *g, mynah_node *loss) {
  (void)context;
  mynah_init init = {MYNAH_INIT_UNIFORM, 0.5f};
  mynah_node x = mynah_reshape(g, mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(batch, 1, 2)), MYNAH_SHAPE(batch, 2));
  mynah_node y = mynah_reshape(g, mynah_input(g, "y", MYNAH_F32, MYNAH_SHAPE(batch, 1, 1)), MYNAH_SHAPE(batch, 1));
  mynah_node h = mynah_linear(g, x, mynah_weight(g, "w0", MYNAH_SHAPE(40, 2), init), mynah_weight(g, "b0", MYNAH_SHAPE(40), init));
  h = mynah_dropout(g, mynah_relu(g, h), 0.1f);
  h = mynah_linear(g, h, mynah_weight(g, "w1", MYNAH_SHAPE(1, 40), init), mynah_weight(g, "b1", MYNAH_SHAPE(1), init));
  *loss = mynah_affine(g, mynah_mse(g, h, y, MYNAH_NO_NODE), poison, 0);
  return mynah_graph_status(g);
}

static mynah_status save(void *context, mynah_weights *acting, const mynah_json *summary, const char *path) {
  (void)context;
  (void)summary;
  return mynah_file_write(path, mynah_weights_const_data(acting), (size_t)mynah_weights_n_floats(acting) * sizeof(float));
}

/* Rises to step 150 and falls again; the first one is no number. */
static mynah_status evaluate(void *context, mynah_weights *acting, int64_t step, double *score, mynah_json **details) {
  (void)context;
  *details = NULL;
  *score = step == 50 ? NAN : -fabs((double)step - 150);
  return mynah_weights_n_floats(acting) > 0 ? MYNAH_OK : MYNAH_INTERNAL;
}

static mynah_train_config config(int threads) {
  mynah_train_config c;
  mynah_config_default(&mynah_train_table, &c);
  c.batch = 32;
  c.shards = 4;
  c.steps = 300;
  c.lr = 0.01;
  c.threads = threads;
  c.ema = MYNAH_EMA_WARMUP;
  c.checkpoint_every = 10;
  c.valid_every = 50;
  return c;
}

static mynah_dtype precision; /* of the trainings below; 0 is MYNAH_F32 */
static bool is_counted;       /* they take steps alone, and their allocations are counted */

/* Of all threads, in 40 steps after the first: eight epochs. */
static void steps_allocate_nothing(mynah_trainer *t) {
  double loss;
  assert_int_equal(mynah_trainer_step(t, &loss), MYNAH_OK);
  int64_t before = mynah_alloc_count().n_calls;
  for (int i = 0; i < 40; i++) assert_int_equal(mynah_trainer_step(t, &loss), MYNAH_OK);
  assert_int_equal(mynah_alloc_count().n_calls - before, 0);
}

/* Trains in `out` (NULL: no folder); the acting weights' bytes go to hash. */
static mynah_status train(const mynah_train_config *c, const char *out, bool resume, mynah_train_report *report, char hash[65]) {
  static const mynah_window windows[2] = {{.input = "x", .feature = "observation.state", .count = 1},
                                          {.input = "y", .feature = "action", .count = 1}};
  mynah_feed_config feed;
  mynah_config_default(&mynah_feed_table, &feed);
  feed.valid_share = 0.2;
  mynah_dataset *d;
  mynah_split split = {0};
  mynah_frames *frames = NULL;
  mynah_weights *w = NULL;
  mynah_trainer *t = NULL;
  mynah_graph *g = NULL;
  mynah_node loss;
  assert_int_equal(mynah_dataset_open(data, MYNAH_OPEN_READ, &d), MYNAH_OK);
  assert_int_equal(mynah_split_create(d, &feed, 1, &split), MYNAH_OK);
  mynah_dataset_close(d);
  assert_int_equal(mynah_frames_open(data, &feed, windows, 2, &frames), MYNAH_OK);
  assert_int_equal(mynah_graph_create(&g), MYNAH_OK);
  assert_int_equal(build(NULL, 1, g, &loss), MYNAH_OK);
  assert_int_equal(mynah_weights_create(g, 1, &w), MYNAH_OK);
  mynah_graph_destroy(g);
  mynah_learn_task task = {.build = build, .precision = precision, .weights = w, .frames = frames, .windows = windows, .n_windows = 2,
                           .feed = &feed, .split = &split, .save = save,
                           .evaluate = is_evaluated ? evaluate : NULL};
  mynah_status status = mynah_trainer_create(c, &task, out, resume, &t);
  if (status == MYNAH_OK && is_counted) steps_allocate_nothing(t);
  else if (status == MYNAH_OK) status = mynah_trainer_run(t, NULL, report);
  mynah_trainer_destroy(t);
  if (status == MYNAH_OK) {
    mynah_sha256 s;
    mynah_sha256_init(&s);
    mynah_sha256_update(&s, mynah_weights_const_data(w), (size_t)mynah_weights_n_floats(w) * sizeof(float));
    mynah_sha256_final(&s, hash);
  }
  mynah_weights_destroy(w);
  mynah_frames_destroy(frames);
  mynah_split_deinit(&split);
  return status;
}

static void place(char *out, const char *name) { snprintf(out, 96, "%s/%s", folder, name); }

static void learns_whatever_the_threads(void **state) {
  (void)state;
  mynah_train_report r;
  char one[65], many[65];
  mynah_train_config c = config(1);
  assert_int_equal(train(&c, NULL, false, &r, one), MYNAH_OK);
  assert_true(r.valid_loss < 0.05);
  assert_int_equal(r.steps, 300);
  assert_int_equal(r.n_train_windows, 160);
  assert_int_equal(r.n_valid_windows, 40);
  assert_int_equal(r.n_parameters, 40 * 2 + 40 + 40 + 1);
  for (int threads = 2; threads <= 5; threads += 3) {
    c = config(threads);
    assert_int_equal(train(&c, NULL, false, &r, many), MYNAH_OK);
    assert_string_equal(one, many);
  }
  c.seed = 2;
  assert_int_equal(train(&c, NULL, false, &r, many), MYNAH_OK);
  assert_string_not_equal(one, many);
}

/* In bfloat16 it learns as well, and is as indifferent to threads and interruptions. */
static void learns_in_bfloat16(void **state) {
  (void)state;
  mynah_train_report r;
  char f32[65], one[65], many[65], resumed[65], out[96], last[96];
  mynah_train_config c = config(1);
  assert_int_equal(train(&c, NULL, false, &r, f32), MYNAH_OK);
  double loss = r.valid_loss;
  precision = MYNAH_BF16;
  place(out, "half");
  assert_int_equal(train(&c, out, false, &r, one), MYNAH_OK);
  assert_string_not_equal(one, f32);
  assert_true(fabs(r.valid_loss - loss) < 0.2 * loss);
  c = config(3);
  assert_int_equal(train(&c, NULL, false, &r, many), MYNAH_OK);
  assert_string_equal(one, many);
  place(last, "half/checkpoints/300");
  assert_int_equal(mynah_remove_tree(last), MYNAH_OK);
  assert_int_equal(train(&c, out, true, &r, resumed), MYNAH_OK);
  assert_true(r.was_resumed);
  assert_string_equal(one, resumed);
  precision = MYNAH_U8; /* none to compute in */
  assert_int_equal(train(&c, NULL, false, &r, many), MYNAH_UNSUPPORTED);
  precision = MYNAH_F32;
}

static void takes_its_memory_at_once(void **state) {
  (void)state;
  mynah_train_report r;
  char hash[65];
  is_counted = true;
  for (int k = 0; k < 4; k++) {
    mynah_train_config c = config(1 + k / 2);
    precision = k % 2 ? MYNAH_BF16 : MYNAH_F32;
    assert_int_equal(train(&c, NULL, false, &r, hash), MYNAH_OK);
  }
  precision = MYNAH_F32;
  is_counted = false;
}

/* Killed three times at moments of chance, and resumed each time, the run ends in the same weights. */
static void killed_runs_end_the_same(void **state) {
  (void)state;
  char whole[65], resumed[65], out[96];
  mynah_train_report r;
  mynah_train_config c = config(2);
  c.steps = 1500;
  place(out, "whole");
  assert_int_equal(train(&c, out, false, &r, whole), MYNAH_OK);
  place(out, "killed");
  for (int k = 0; k < 3; k++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      mynah_train_report unused;
      char hash[65];
      _exit(train(&c, out, k > 0, &unused, hash) == MYNAH_OK ? 0 : 1);
    }
    usleep(60000 + 40000 * (useconds_t)k);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
  }
  assert_int_equal(train(&c, out, mynah_file_exists(out), &r, resumed), MYNAH_OK);
  assert_string_equal(whole, resumed);
  assert_int_equal(train(&c, out, false, &r, resumed), MYNAH_BUSY);
}

/* What failed before its first step is no run: once its settings are right, it begins in the same folder. */
static void a_failed_beginning_is_no_run(void **state) {
  (void)state;
  char hash[65], out[96];
  mynah_train_report r;
  mynah_train_config c = config(2), wrong = c;
  place(out, "begun");
  wrong.steps = 0, wrong.epochs = 0;
  assert_int_equal(train(&wrong, out, false, &r, hash), MYNAH_INVALID);
  assert_int_equal(train(&c, out, false, &r, hash), MYNAH_OK);
  assert_int_equal(train(&c, out, false, &r, hash), MYNAH_BUSY);
}

/* With its newest checkpoint damaged, a run goes on from the one before and still ends the same. */
static void damaged_checkpoints_are_passed_over(void **state) {
  (void)state;
  char whole[65], resumed[65], out[96], path[160];
  mynah_train_report r;
  mynah_train_config c = config(1);
  place(out, "damaged");
  assert_int_equal(train(&c, out, false, &r, whole), MYNAH_OK);
  snprintf(path, sizeof path, "%s/checkpoints/300/state.safetensors", out);
  char *bytes;
  size_t n;
  assert_int_equal(mynah_file_read(path, 1 << 24, &bytes, &n), MYNAH_OK);
  mynah_rng rng = mynah_rng_make(5, 5);
  int64_t least = mynah_test_at_least(3, 500), end = mynah_now_ns() + mynah_test_soak_seconds() * 1000000000, i = 0;
  for (; i < least || mynah_now_ns() < end; i++) {
    size_t at = i == 0 ? n / 2 : (size_t)mynah_rng_below(&rng, n);
    char old = bytes[at];
    bytes[at] = (char)(old ^ 1 << mynah_rng_below(&rng, 8));
    assert_int_equal(mynah_file_write(path, bytes, i % 4 == 3 ? at : n), MYNAH_OK);
    bytes[at] = old;
    assert_int_equal(train(&c, out, true, &r, resumed), MYNAH_OK);
    assert_true(r.was_resumed);
    assert_string_equal(whole, resumed);
  }
  mynah_free(bytes);
  print_message("%lld changed or cut checkpoints passed over\n", (long long)i);
}

/* Two files with the same bytes below the folder. */
static bool are_same(const char *a, const char *b) {
  char path[160], hashes[2][65];
  const char *const names[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    if (mynah_sha256_file(path, hashes[i]) != MYNAH_OK) fail_msg("%s", mynah_error());
  }
  return strcmp(hashes[0], hashes[1]) == 0;
}

/* policy.safetensors is that of the best score, for any number of threads and after a resume; the last is kept too. */
static void best_score_decides(void **state) {
  (void)state;
  mynah_train_report r;
  char hash[65], out[96], name[96];
  is_evaluated = true;
  mynah_train_config c = config(1);
  c.eval_every = c.checkpoint_every = 50;
  c.checkpoint_policies = 4;
  place(out, "scored");
  assert_int_equal(train(&c, out, false, &r, hash), MYNAH_OK);
  assert_int_equal(r.best_step, 150);
  assert_true(r.best_score == 0);
  assert_true(are_same("scored/policy.safetensors", "scored/policies/150.safetensors"));
  assert_true(are_same("scored/policy-last.safetensors", "scored/policies/300.safetensors"));
  assert_false(are_same("scored/policy.safetensors", "scored/policy-last.safetensors"));
  place(name, "scored/policies/100.safetensors");
  assert_false(mynah_file_exists(name));
  place(name, "scored/checkpoints/300"); /* as if killed after step 250, before 300 */
  assert_int_equal(mynah_remove_tree(name), MYNAH_OK);
  assert_int_equal(train(&c, out, true, &r, hash), MYNAH_OK);
  assert_int_equal(r.best_step, 150);
  c.threads = 3;
  place(out, "again");
  assert_int_equal(train(&c, out, false, &r, hash), MYNAH_OK);
  assert_true(are_same("scored/policy.safetensors", "again/policy.safetensors"));
  assert_true(are_same("scored/policy-last.safetensors", "again/policy-last.safetensors"));
  is_evaluated = false;
}

static void no_numbers_stop_it(void **state) {
  (void)state;
  mynah_train_report r;
  char hash[65], out[96];
  mynah_train_config c = config(1);
  poison = NAN;
  place(out, "poisoned");
  assert_int_equal(train(&c, out, false, &r, hash), MYNAH_NONFINITE);
}

static void wrong_settings(void **state) {
  (void)state;
  mynah_train_report r;
  char hash[65];
  mynah_train_config c = config(1);
  c.shards = 5;
  assert_int_equal(train(&c, NULL, false, &r, hash), MYNAH_INVALID);
  c = config(1);
  assert_int_equal(train(&c, "/proc/nowhere", false, &r, hash), MYNAH_NOT_FOUND);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {EACH(learns_whatever_the_threads), EACH(learns_in_bfloat16), EACH(takes_its_memory_at_once),
                                     EACH(killed_runs_end_the_same), EACH(a_failed_beginning_is_no_run),
                                     EACH(damaged_checkpoints_are_passed_over), EACH(best_score_decides),
                                     EACH(no_numbers_stop_it), EACH(wrong_settings)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
