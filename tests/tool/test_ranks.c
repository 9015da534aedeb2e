/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training by several processes: the file is the one that a single process makes, a killed rank ends all with a word
 * and a checkpoint, and what is missing is said. Skipped where there is no mpirun or the build has no MPI. */
#include "support/program.h"

#include <mynah/base.h>

#include <dirent.h>
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

static const char *folder;
static char program[MYNAH_PATH_MAX];

/* Eight shards, dropout and noise and an average, so that everything a rank has to agree on matters. */
#define SMALL                                                                                                       \
  "train mlp data=d.demos inputs=observation.state widths=64,64 dropout=0.1 batch=64 shards=8 steps=60 ema=warmup " \
  "threads=1 "                                                                                                      \
  "valid.by=time valid.every=20 log.every=10 checkpoint.every=20"

static int set_up(void **state) {
  (void)state;
  const char *path = getenv("MYNAH_PROGRAM");
  snprintf(program, sizeof program, "%s", path ? path : "mynah");
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
  setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
  folder = mynah_test_program_folder();
  mynah_json_destroy(mynah_test_run_json("record sim=track out=d.demos episodes=2 seed=1 max_frames=400"));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  mynah_test_program_remove();
  return 0;
}

/* What the program is started as from here on: by n ranks. */
static void use_ranks(int n) {
  char command[MYNAH_PATH_MAX + 32];
  snprintf(command, sizeof command, "mpirun -n %d %s", n, program);
  setenv("MYNAH_PROGRAM", n > 1 ? command : program, 1);
}

static bool has_mpi(void) {
  char module[MYNAH_PATH_MAX + 16];
  const char *slash = strrchr(program, '/');
  snprintf(module, sizeof module, "%.*smynah-mpi.so", slash ? (int)(slash - program) + 1 : 0, program);
  if (access(module, R_OK) == 0 && system("command -v mpirun >/dev/null 2>&1") == 0) return true;
  print_message("skipped: there is no mpirun, or the build has no MPI\n");
  return false;
}

static int64_t number(const mynah_json *j, const char *key) {
  return mynah_json_to_integer(mynah_json_get(j, key), -1);
}

/* The policy's hash in one folder and each number of a training that does not depend on the clock. */
static void train(int n_ranks, const char *out, const char *more, char text[256]) {
  use_ranks(n_ranks);
  mynah_json *j = mynah_test_run_json(SMALL " out=%s %s", out, more);
  snprintf(text, 256, "%s %.17g %.17g %lld", mynah_json_to_string(mynah_json_get(j, "sha256"), ""),
           mynah_json_to_number(mynah_json_get(j, "train_loss"), NAN),
           mynah_json_to_number(mynah_json_get(j, "val_loss"), NAN), (long long)number(j, "best_step"));
  mynah_json_destroy(j);
  use_ranks(1);
}

static void ranks_give_the_same_file(void **state) {
  (void)state;
  static const char *const more[] = {"", "eval.sim=track eval.episodes=2 eval.every=30",
                                     "optimizer=sgd shards=7 batch=63"};
  char one[256], many[256];
  if (!has_mpi()) skip();
  for (int k = 0; k < 3; k++)
    for (int n = 1; n <= 3; n++) {
      char out[16];
      if (n == 2 && k > 0) continue;
      snprintf(out, sizeof out, "r%d-%d", k, n);
      train(n, out, more[k], n == 1 ? one : many);
      assert_true(strlen(one) > 64);
      if (n > 1) assert_string_equal(one, many);
    }
}

/* Batch norm's statistics and the place in the training are buffers that each shard moves on. */
static void buffers_are_shared(void **state) {
  (void)state;
  char hashes[2][80];
  if (!has_mpi()) skip();
  mynah_json_destroy(mynah_test_run_json(
      "record sim=follow target=any labels=true state=none width=64 limit=2 every=10 episodes=4 out=f.demos"));
  for (int n = 1; n <= 2; n++) {
    use_ranks(n);
    mynah_json *j = mynah_test_run_json(
        "train detector data=f.demos imgsz=64 batch=4 shards=2 steps=3 valid.every=100 threads=1 out=f%d", n);
    snprintf(hashes[n - 1], sizeof *hashes, "%s", mynah_json_to_string(mynah_json_get(j, "sha256"), ""));
    mynah_json_destroy(j);
  }
  use_ranks(1);
  assert_int_equal(strlen(hashes[0]), 64);
  assert_string_equal(hashes[0], hashes[1]);
}

/* Process id of a rank of ours; 0: not there. */
static pid_t find_rank(int rank) {
  pid_t found = 0;
  DIR *all = opendir("/proc");
  assert_non_null(all);
  for (struct dirent *d; (d = readdir(all)) && !found;) {
    static char text[65536];
    char path[300], place[96], want[64];
    snprintf(path, sizeof path, "/proc/%.20s/cwd", d->d_name);
    ssize_t n = readlink(path, place, sizeof place - 1);
    if (n <= 0) continue;
    place[n] = 0;
    snprintf(path, sizeof path, "/proc/%.20s/environ", d->d_name);
    FILE *file = strcmp(place, folder) == 0 ? fopen(path, "r") : NULL;
    if (!file) continue;
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    fclose(file);
    snprintf(want, sizeof want, "OMPI_COMM_WORLD_RANK=%d", rank);
    for (size_t i = 0; i < length; i += strlen(text + i) + 1)
      if (strcmp(text + i, want) == 0) found = (pid_t)strtol(d->d_name, NULL, 10);
  }
  closedir(all);
  return found;
}

static bool wait_for_file(const char *name) {
  char path[MYNAH_PATH_MAX];
  assert_int_equal(mynah_path_join(path, sizeof path, folder, name), MYNAH_OK);
  for (int i = 0; i < 4000; i++, usleep(50000)) /* a busy machine */
    if (mynah_file_exists(path)) return true;
  return false;
}

static void a_lost_rank_leaves_a_checkpoint(void **state) {
  (void)state;
  char one[256], resumed[256], path[MYNAH_PATH_MAX], *log;
  size_t n;
  int code;
  if (!has_mpi()) skip();
  train(1, "whole", "", one);
  setenv("OMPI_MCA_odls_base_sigkill_timeout", "3", 1); /* whoever is told to end has time to say so; mpirun waits twice as long, whatever happens */
  for (int rank = 0; rank < 2; rank++) {
    char start[512], out[16], last[32], go_on[64];
    snprintf(out, sizeof out, "lost%d", rank);
    snprintf(last, sizeof last, "%s/last", out);
    use_ranks(2);
    /* Too many steps to end by itself; the schedule does not depend on how many, so that the checkpoint fits. */
    snprintf(start, sizeof start,
             SMALL " steps=100000000 schedule=constant checkpoint.every=100 valid.every=100000000 out=%s", out);
    pid_t child = mynah_test_start("log", start);
    assert_true(wait_for_file(last));
    pid_t victim = find_rank(rank);
    assert_true(victim > 0);
    assert_int_equal(kill(victim, SIGKILL), 0);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(!WIFEXITED(code) || WEXITSTATUS(code) != 0);
    assert_int_equal(mynah_path_join(path, sizeof path, folder, "log"), MYNAH_OK);
    assert_int_equal(mynah_file_read(path, 256 << 20, &log, &n), MYNAH_OK);
    if (!strstr(log, "another rank was lost") || !strstr(log, "goes on from the checkpoint of step"))
      fail_msg("it said: %s", log);
    mynah_free(log);
    assert_int_equal(mynah_path_join(path, sizeof path, folder, last), MYNAH_OK);
    assert_int_equal(mynah_file_read(path, 64, &log, &n), MYNAH_OK);
    int64_t steps = strtoll(log, NULL, 10) + 30;
    mynah_free(log);
    /* On from there, by another number of ranks: as if nothing had happened. */
    snprintf(go_on, sizeof go_on, "schedule=constant steps=%lld", (long long)steps);
    mynah_json *j;
    use_ranks(2 - rank);
    j = mynah_test_run_json("train resume=%s threads=1 steps=%lld", out, (long long)steps);
    snprintf(resumed, sizeof resumed, "%s", mynah_json_to_string(mynah_json_get(j, "sha256"), ""));
    assert_int_equal(number(j, "steps"), steps);
    mynah_json_destroy(j);
    snprintf(out, sizeof out, "again%d", rank);
    use_ranks(1);
    j = mynah_test_run_json(SMALL " %s checkpoint.every=100 valid.every=100000000 out=%s", go_on, out);
    assert_string_equal(mynah_json_to_string(mynah_json_get(j, "sha256"), ""), resumed);
    mynah_json_destroy(j);
  }
}

static void what_is_missing_is_said(void **state) {
  (void)state;
  char out[8192];
  unsetenv("OMPI_MCA_odls_base_sigkill_timeout");
  use_ranks(1);
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("MYNAH_MPI", "/nowhere/mynah-mpi.so", 1);
  assert_int_equal(mynah_test_run(out, sizeof out, SMALL " out=n 2>&1"), 1);
  unsetenv("OMPI_COMM_WORLD_SIZE");
  unsetenv("MYNAH_MPI");
  if (!strstr(out, "started as one of 2") || !strstr(out, "libopenmpi-dev")) fail_msg("it said: %s", out);
  if (!has_mpi()) return;
  use_ranks(3);
  assert_int_not_equal(mynah_test_run(out, sizeof out, SMALL " shards=2 out=n --quiet 2>&1"), 0);
  use_ranks(1);
  if (!strstr(out, "too few for 3 ranks")) fail_msg("it said: %s", out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_give_the_same_file), cmocka_unit_test(buffers_are_shared),
                                     cmocka_unit_test(a_lost_rank_leaves_a_checkpoint),
                                     cmocka_unit_test(what_is_missing_is_said)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
