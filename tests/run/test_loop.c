/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The control loop on a device that looks at what it gets: order, limits, recording, faults; and the watchdog. */
#include <mynah/run.h>

#include "support/fake_device.h"
#include "support/person.h"
#include "support/shared.h"
#include "support/soak.h"

#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/input.h>
#include <linux/seccomp.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define CHUNK 8

static mynah_loop_config config_of(double rate_hz, double seconds) {
  mynah_loop_config c;
  mynah_config_default(&mynah_loop_table, &c);
  c.rate_hz = rate_hz;
  c.seconds = seconds;
  c.is_locked = false;
  return c;
}

static int64_t number(const mynah_json *j, const char *key) { return mynah_json_to_integer(mynah_json_get(j, key), -1); }

static mynah_device *open_fake(void) {
  mynah_device *d;
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  return d;
}

/* ---- a predictor that can be told to be slow, wrong or broken -------------------------------------------------------- */

typedef struct oracle {
  mynah_predictor base;
  mynah_policy policy;
  mynah_policy_type type;
  float low, high;
  double x;               /* as last observed */
  int64_t slow_us, n_observed, n_predicted;
  int64_t breaks_at, nan_at; /* predictions; -1: never */
} oracle;

static void oracle_reset(mynah_predictor *p, uint64_t seed) { ((oracle *)p)->x = NAN; }
static mynah_status oracle_observe(mynah_predictor *p, const mynah_value *values) {
  oracle *o = (oracle *)p;
  o->x = (double)((const float *)values[0].data)[0];
  o->n_observed++;
  return MYNAH_OK;
}
/* u = -x as the expert, x following x' = x + 0.1 u over the chunk */
static mynah_status oracle_predict(mynah_predictor *p, const float *prefix, int64_t n_prefix, float *chunk) {
  oracle *o = (oracle *)p;
  int64_t n = o->n_predicted++;
  if (o->breaks_at >= 0 && n >= o->breaks_at) return mynah_fail(MYNAH_IO, "the wire is cut");
  if (o->slow_us > 0 && n > 0) usleep((useconds_t)o->slow_us);
  double x = o->x;
  for (int i = 0; i < p->policy->common.chunk; i++) {
    chunk[i] = o->nan_at >= 0 && n >= o->nan_at ? NAN : (float)-x;
    x -= 0.1 * x;
  }
  return MYNAH_OK;
}

static void make_oracle(oracle *o) {
  *o = (oracle){.low = -2, .high = 2, .breaks_at = -1, .nan_at = -1, .type = {.name = "oracle"}};
  o->policy = (mynah_policy){.type = &o->type, .n_inputs = 1, .inputs = {mynah_feature_vector("observation.state", 2, "", "")},
                             .action = mynah_feature_vector("action", 1, "", ""), .action_norm = {1, &o->low, &o->high, NULL, NULL}};
  o->policy.common.chunk = CHUNK;
  mynah_config_default(&mynah_execute_table, &o->policy.common.execute);
  o->policy.common.execute.steps = 4;
  o->base = (mynah_predictor){&o->policy, oracle_reset, oracle_observe, oracle_predict, NULL, NULL, 0};
}

static mynah_json *run_oracle(oracle *o, double rate_hz, double seconds) {
  mynah_device *d = open_fake();
  mynah_json *j = mynah_json_object();
  mynah_loop_config c = config_of(rate_hz, seconds);
  c.stale_s = 0.02;
  mynah_loop_task t = {.device = d, .predictor = &o->base};
  if (mynah_loop_run(&c, &t, j) != MYNAH_OK) fail_msg("%s", mynah_error());
  fake_device.close(d);
  return j;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void the_expert_is_recorded(void **state) {
  (void)state;
  char path[MYNAH_PATH_MAX];
  mynah_device *d = open_fake();
  mynah_json *j = mynah_json_object();
  mynah_loop_config c = config_of(2000, 0.06); /* 120 steps: two episodes of 50 and a part */
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("loop"), "l.demos"), MYNAH_OK);
  mynah_loop_task t = {.device = d, .record_path = path};
  if (mynah_loop_run(&c, &t, j) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(number(j, "steps"), 120);
  assert_int_equal(number(j, "episodes"), 2);
  assert_int_equal(number(j, "allocations"), 0);
  assert_int_equal(number(mynah_json_get(j, "recorded"), "frames"), 120);
  assert_int_equal(number(mynah_json_get(j, "recorded"), "dropped"), 0);
  mynah_json_destroy(j);
  mynah_dataset *set;
  float state0[2], action[1];
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &set), MYNAH_OK);
  assert_int_equal(mynah_dataset_n_episodes(set), 3);
  assert_int_equal(mynah_dataset_read(set, 1, "observation.state", 7, 1, state0), MYNAH_OK);
  assert_int_equal(mynah_dataset_read(set, 1, "action", 7, 1, action), MYNAH_OK);
  assert_float_equal(action[0], -state0[0], 1e-6);
  mynah_dataset_close(set);
  fake_device.close(d);
}

static void chunks_drive(void **state) {
  (void)state;
  oracle o;
  make_oracle(&o);
  mynah_json *j = run_oracle(&o, 100, 0.49); /* slow enough for a busy machine */
  assert_int_equal(number(j, "steps"), 49);
  assert_int_equal(number(j, "held_steps"), 0);
  assert_true(number(j, "chunks") >= 10); /* every fourth step, and the one before the first */
  assert_int_equal(mynah_json_size(mynah_json_get(j, "faults")), 0);
  assert_true(o.n_observed >= 49); /* every frame, in order, and the one before the first */
  mynah_json_destroy(j);
}

/* A policy of single actions is a step behind, and drives all the same; what is too old brakes. */
static void single_actions_drive(void **state) {
  (void)state;
  oracle o;
  make_oracle(&o);
  o.policy.common.chunk = o.policy.common.execute.steps = 1;
  mynah_json *j = run_oracle(&o, 100, 0.49);
  assert_int_equal(number(j, "steps"), 49);
  assert_true(number(j, "chunks") >= 25); /* of 49, on a busy machine */
  assert_true(number(j, "held_steps") <= 24);
  mynah_json_destroy(j);
  make_oracle(&o);
  o.policy.common.chunk = o.policy.common.execute.steps = 1;
  o.slow_us = 60000;
  j = run_oracle(&o, 100, 0.49);
  assert_true(number(mynah_json_get(j, "faults"), "chunk_used_up") > 30);
  mynah_json_destroy(j);
}

/* Slower than its chunks last: the loop keeps its rhythm, holds, and then brakes. */
static void slow_predictions_do_not_stop_the_loop(void **state) {
  (void)state;
  oracle o;
  make_oracle(&o);
  o.slow_us = 60000;
  mynah_json *j = run_oracle(&o, 1000, 0.045);
  assert_int_equal(number(j, "steps"), 45);
  assert_true(number(j, "held_steps") > 20);
  assert_true(number(mynah_json_get(j, "faults"), "chunk_used_up") > 5);
  assert_true(number(mynah_json_get(j, "first_fault"), "step") > 0);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "response"), ""), "braked");
  mynah_json_destroy(j);
}

static void broken_predictions_are_told(void **state) {
  (void)state;
  oracle o;
  make_oracle(&o);
  o.breaks_at = 3;
  mynah_json *j = run_oracle(&o, 1000, 0.045);
  assert_true(number(mynah_json_get(j, "faults"), "prediction") >= 1);
  mynah_json_destroy(j);
  make_oracle(&o);
  o.nan_at = 2;
  j = run_oracle(&o, 1000, 0.045);
  assert_true(number(j, "held_steps") > 10); /* what is no number does not enter the plan */
  mynah_json_destroy(j);
  make_oracle(&o);
  o.breaks_at = 0;
  mynah_device *d = open_fake();
  mynah_loop_config c = config_of(1000, 0.01);
  j = mynah_json_object();
  assert_int_equal(mynah_loop_run(&c, &(mynah_loop_task){.device = d, .predictor = &o.base}, j), MYNAH_IO);
  mynah_json_destroy(j);
  fake_device.close(d);
}

/* A device that is blind from step 10 to step 19, and notes its commands. */
static float commands[30];
static bool is_blind(const mynah_device *d) { return d->step >= 10 && d->step < 20; }
static void blind_act(mynah_device *d, const float *action) {
  if (d->step < 30) commands[d->step] = action[0];
  fake_device.act(d, action);
}

/* While the target is lost the loop brakes to rest, whatever the policy says; then it goes on; the report keeps it. */
static void a_blind_device_is_braked(void **state) {
  (void)state;
  static const float still = 0;
  mynah_device_type blind = fake_device;
  blind.is_blind = is_blind;
  blind.act = blind_act;
  for (int has_rest = 0; has_rest < 2; has_rest++) {
    oracle o;
    make_oracle(&o);
    mynah_device *d = open_fake();
    mynah_json *j = mynah_json_object();
    mynah_loop_config c = config_of(100, 0.3);
    d->type = &blind;
    d->rest = has_rest ? &still : NULL;
    memset(commands, 0, sizeof commands);
    if (mynah_loop_run(&c, &(mynah_loop_task){.device = d, .predictor = &o.base}, j) != MYNAH_OK) fail_msg("%s", mynah_error());
    assert_int_equal(number(mynah_json_get(j, "faults"), "lost_target"), 10);
    assert_int_equal(number(j, "fault_code") & MYNAH_FAULT_LOST_TARGET, MYNAH_FAULT_LOST_TARGET);
    assert_int_equal(number(mynah_json_get(j, "first_fault"), "step"), 10);
    assert_string_equal(mynah_json_to_string(mynah_json_get(j, "response"), ""), "braked");
    float held = has_rest ? 0 : commands[9];
    assert_true(fabsf(commands[9]) > 1e-3f);
    for (int i = 10; i < 20; i++) assert_float_equal(commands[i], held, 1e-6);
    assert_true(fabsf(commands[25] - held) > 1e-3f); /* it sees again */
    mynah_json_destroy(j);
    /* The expert looks with eyes of its own. */
    j = mynah_json_object();
    if (mynah_loop_run(&c, &(mynah_loop_task){.device = d}, j) != MYNAH_OK) fail_msg("%s", mynah_error());
    assert_int_equal(number(j, "fault_code"), 0);
    mynah_json_destroy(j);
    fake_device.close(d);
  }
}

static void limits_hold(void **state) {
  (void)state;
  float replay[30];
  mynah_limits l = {-0.5, 0.5, 0, 0, 0};
  for (int i = 0; i < 30; i++) replay[i] = i % 2 ? 3.0f : -3.0f;
  char path[MYNAH_PATH_MAX];
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("loop-limits"), "l.demos"), MYNAH_OK);
  mynah_device *d = open_fake();
  mynah_json *j = mynah_json_object();
  mynah_loop_config c = config_of(2000, 1);
  mynah_loop_task t = {.device = d, .replay = replay, .n_replay = 30, .limits = &l, .record_path = path};
  if (mynah_loop_run(&c, &t, j) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(number(j, "steps"), 30);
  assert_int_equal(number(mynah_json_get(j, "faults"), "limited"), 30);
  assert_int_equal(number(j, "fault_code"), MYNAH_FAULT_LIMITED);
  assert_int_equal(number(mynah_json_get(j, "first_fault"), "step"), 0);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "response"), ""), "limited");
  mynah_json_destroy(j);
  mynah_dataset *set;
  float actions[30];
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &set), MYNAH_OK);
  assert_int_equal(mynah_dataset_read(set, 0, "action", 0, 30, actions), MYNAH_OK);
  for (int i = 0; i < 30; i++) assert_float_equal(fabsf(actions[i]), 0.5f, 1e-6);
  mynah_dataset_close(set);
  fake_device.close(d);
}

/* ---- what the control thread may not do --------------------------------------------------------------------------------- */

/* From now on this thread is killed by SIGSYS when it touches a file or a socket, or waits on a lock without a time limit. */
static void forbid(void) {
#define NOT(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
  struct sock_filter filter[] = {LOAD(nr), NOT(SYS_openat), NOT(SYS_read), NOT(SYS_write), NOT(SYS_pread64), NOT(SYS_pwrite64),
                                 NOT(SYS_readv), NOT(SYS_writev), NOT(SYS_close), NOT(SYS_fsync), NOT(SYS_fdatasync), NOT(SYS_ftruncate),
                                 NOT(SYS_ioctl), NOT(SYS_socket), NOT(SYS_connect), NOT(SYS_sendto), NOT(SYS_recvfrom), NOT(SYS_sendmsg),
                                 NOT(SYS_recvmsg), NOT(SYS_ppoll), NOT(SYS_epoll_pwait),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 7), /* else: allowed */
                                 LOAD(args[1]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, FUTEX_CMD_MASK),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT, 1, 0),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT_BITSET, 0, 3),
                                 LOAD(args[3]), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(77);
}

static bool does_touch; /* the device of the test that the trap works */

static void trapped_act(mynah_device *d, const float *action) {
  static int n;
  fake_device.act(d, action);
  if (++n == 5) forbid();
  if (n == 100 && does_touch) (void)!write(2, "", 0);
  if (n == 150) _exit(0); /* three episodes, and nothing was touched */
}

/* In a process of its own: a policy in the worker, everything recorded. Returns its wait status. */
static int run_trapped(void) {
  pid_t child = fork();
  if (child == 0) {
    oracle o;
    mynah_device *d;
    char path[MYNAH_PATH_MAX];
    make_oracle(&o);
    mynah_device_type trapped = fake_device;
    trapped.act = trapped_act;
    if (mynah_path_join(path, sizeof path, mynah_test_folder("loop-trap"), "l.demos") != MYNAH_OK || trapped.open(NULL, &d) != MYNAH_OK) _exit(1);
    d->type = &trapped;
    mynah_loop_config c = config_of(500, 20);
    mynah_loop_task t = {.device = d, .predictor = &o.base, .record_path = path};
    mynah_status status = mynah_loop_run(&c, &t, mynah_json_object());
    fprintf(stderr, "the loop ended: %d %s\n", (int)status, mynah_error());
    _exit(1);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void the_control_thread_touches_nothing(void **state) {
  (void)state;
  does_touch = true;
  int status = run_trapped();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    print_message("skipped: this kernel lets no thread give up system calls\n");
    skip();
  }
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS); /* the trap works */
  does_touch = false;
  status = run_trapped();
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- a person ---------------------------------------------------------------------------------------------------------- */

/* Presses what the script says at its time. */
static void *press(void *context) {
  mynah_test_person *t = context;
  usleep(150000);
  mynah_test_person_event(t, EV_ABS, ABS_X, 32767);
  mynah_test_person_event(t, EV_KEY, BTN_TL, 1);
  usleep(150000);
  mynah_test_person_event(t, EV_KEY, BTN_TL, 0);
  usleep(150000);
  mynah_test_person_event(t, EV_KEY, BTN_TL, 1);
  usleep(100000);
  mynah_test_person_event(t, EV_KEY, BTN_SELECT, 1); /* that was nothing */
  mynah_test_person_event(t, EV_KEY, BTN_TL, 0);
  usleep(150000);
  mynah_test_person_event(t, EV_KEY, BTN_MODE, 1);
  return NULL;
}

static int64_t n_told;
static void told(void *context, int64_t episode, int64_t frames) { n_told += frames; }

/* The expert drives; a person takes over twice; the first time is recorded, the second thrown away. */
static void a_person_intervenes(void **state) {
  (void)state;
  char path[MYNAH_PATH_MAX];
  mynah_test_person t;
  mynah_person *person;
  pthread_t thread;
  assert_int_equal(mynah_path_join(path, sizeof path, mynah_test_folder("loop-person"), "l.demos"), MYNAH_OK);
  mynah_test_person_open(&t, "loop-pad");
  if (mynah_person_open(t.path, "", 1, &person) != MYNAH_OK) fail_msg("%s", mynah_error());
  mynah_device *d = open_fake();
  mynah_json *j = mynah_json_object();
  mynah_loop_config c = config_of(50, 60);
  mynah_loop_task task = {.device = d, .record_path = path, .records_person_only = true, .person = person, .saved = told};
  n_told = 0;
  assert_int_equal(pthread_create(&thread, NULL, press, &t), 0);
  if (mynah_loop_run(&c, &task, j) != MYNAH_OK) fail_msg("%s", mynah_error());
  pthread_join(thread, NULL);
  int64_t kept = number(mynah_json_get(j, "recorded"), "frames");
  assert_int_equal(number(mynah_json_get(j, "recorded"), "episodes"), 1);
  assert_int_equal(kept, n_told);
  assert_true(kept >= 1 && kept < number(j, "person_steps"));
  assert_true(number(j, "steps") > number(j, "person_steps"));
  mynah_json_destroy(j);
  mynah_dataset *set;
  float action[1];
  assert_int_equal(mynah_dataset_open(path, MYNAH_OPEN_READ, &set), MYNAH_OK);
  assert_string_equal(mynah_dataset_episode(set, 0)->expert, "a person");
  assert_int_equal(mynah_dataset_read(set, 0, "action", 0, 1, action), MYNAH_OK);
  assert_float_equal(action[0], 1, 1e-6);
  mynah_dataset_close(set);
  fake_device.close(d);
  mynah_person_close(person);
  mynah_test_person_close(&t);
}

/* ---- the watchdog ---------------------------------------------------------------------------------------------------- */

static atomic_int_fast64_t *stopped_ns; /* shared by all processes of the test */

static void stop(void *context) { atomic_store(stopped_ns, mynah_now_ns()); }

/* A runner that beats every 2 ms until a signal hits it. */
static void beat_until_killed(void) {
  mynah_watchdog *w;
  if (mynah_watchdog_start(0.05, stop, NULL, &w) != MYNAH_OK) _exit(1);
  for (;;) {
    mynah_watchdog_beat(w);
    usleep(2000);
  }
}

static void the_watchdog_stops_what_nobody_runs(void **state) {
  (void)state;
  int rounds = mynah_test_soak_seconds() > 0 ? 100 : 10, n_early = 0;
  int64_t worst = 0;
  stopped_ns = mmap(NULL, sizeof *stopped_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(stopped_ns, MAP_FAILED);
  for (int i = 0; i < rounds; i++) {
    atomic_store(stopped_ns, 0);
    pid_t child = fork();
    if (child == 0) beat_until_killed();
    usleep((useconds_t)(60000 + i % 7 * 1000));
    bool is_early = atomic_load(stopped_ns) != 0; /* not while it beats, unless this machine kept it from beating */
    n_early += is_early;
    int64_t hit = mynah_now_ns();
    kill(child, i % 2 ? SIGKILL : SIGSTOP);
    while (atomic_load(stopped_ns) == 0 && mynah_now_ns() - hit < 5000000000) usleep(500);
    int64_t took = atomic_load(stopped_ns) - hit;
    if (atomic_load(stopped_ns) == 0) fail_msg("round %d: never stopped", i);
    if (took > worst) worst = took;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
  print_message("the watchdog stopped %d times of %d, after %.1f ms at most; %d before their time\n", rounds, rounds, (double)worst * 1e-6, n_early);
  assert_true(n_early <= rounds / 5);
  if (mynah_test_soak_seconds() > 0) assert_true(worst <= 100000000); /* a check may share the machine with anything */
  munmap(stopped_ns, sizeof *stopped_ns);
}

static void the_watchdog_lets_go(void **state) {
  (void)state;
  mynah_watchdog *w;
  bool was_late;
  assert_int_equal(mynah_watchdog_start(5, NULL, NULL, &w), MYNAH_OK);
  assert_true(mynah_watchdog_beat(w));
  mynah_watchdog_end(w, &was_late);
  assert_false(was_late);
  assert_int_equal(mynah_watchdog_start(0.01, NULL, NULL, &w), MYNAH_OK);
  usleep(80000);
  assert_false(mynah_watchdog_beat(w));
  mynah_watchdog_end(w, &was_late);
  assert_true(was_late);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_expert_is_recorded), cmocka_unit_test(chunks_drive), cmocka_unit_test(slow_predictions_do_not_stop_the_loop),
      cmocka_unit_test(broken_predictions_are_told), cmocka_unit_test(limits_hold), cmocka_unit_test(the_control_thread_touches_nothing),
      cmocka_unit_test(single_actions_drive), cmocka_unit_test(a_person_intervenes), cmocka_unit_test(a_blind_device_is_braked),
      cmocka_unit_test(the_watchdog_stops_what_nobody_runs), cmocka_unit_test(the_watchdog_lets_go)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
