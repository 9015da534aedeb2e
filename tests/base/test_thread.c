/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Clock, pool and ring: every task once, nothing lost between threads, idle threads asleep. */
#include <mynah/base.h>

#include "support/torture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
static void test_clock(void **state) {
  int64_t start = mynah_now_ns();
  mynah_sleep_until_ns(start + 5000000);
  assert_true(mynah_now_ns() - start >= 5000000);
  mynah_sleep_until_ns(start); /* past: at once */
  mynah_sleep_until_ns(-5);
  assert_true(mynah_cpu_count() >= 1);
}

#define MAX_TASKS 64
typedef struct counts {
  atomic_int runs[MAX_TASKS];
  atomic_int bad_workers;
  int n_workers;
  mynah_pool *pool;
} counts;

static void count_task(void *context, int task, int worker) {
  counts *c = context;
  atomic_fetch_add(&c->runs[task], 1);
  if (worker < 0 || worker >= c->n_workers) atomic_fetch_add(&c->bad_workers, 1);
}

static void run_many(int n_threads, int n_runs) {
  counts *c = mynah_calloc(1, sizeof *c);
  mynah_pool *pool;
  assert_int_equal(mynah_pool_create(n_threads, &pool), MYNAH_OK);
  assert_int_equal(mynah_pool_size(pool), n_threads);
  c->n_workers = n_threads;
  int want[MAX_TASKS] = {0};
  for (int i = 0; i < n_runs; i++) {
    int n_tasks = i % 17;
    mynah_pool_run(pool, n_tasks, count_task, c);
    for (int t = 0; t < n_tasks; t++) assert_int_equal(atomic_load(&c->runs[t]), ++want[t]);
  }
  assert_int_equal(atomic_load(&c->bad_workers), 0);
  mynah_pool_destroy(pool);
  mynah_free(c);
}

static void test_pool_runs_each_task_once(void **state) {
  run_many(1, 200);
  run_many(2, 5000);
  run_many(5, 2000);
}

static void sleeping_task(void *context, int task, int worker) {
  mynah_sleep_until_ns(mynah_now_ns() + 300000);
  count_task(context, task, worker);
}

/* Longer than any spinning: both sides go through their sleep. */
static void test_pool_sleeps_and_wakes(void **state) {
  counts *c = mynah_calloc(1, sizeof *c);
  c->n_workers = 3;
  mynah_pool *pool;
  assert_int_equal(mynah_pool_create(3, &pool), MYNAH_OK);
  for (int i = 0; i < 100; i++) {
    mynah_pool_run(pool, 3, sleeping_task, c);
    mynah_sleep_until_ns(mynah_now_ns() + 200000);
  }
  for (int t = 0; t < 3; t++) assert_int_equal(atomic_load(&c->runs[t]), 100);
  struct timespec before, after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  mynah_sleep_until_ns(mynah_now_ns() + 50000000);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  double used = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
  assert_true(used < 0.02); /* idle threads do not burn */
  mynah_pool_destroy(pool);
  mynah_free(c);
}

static void outer_task(void *context, int task, int worker) {
  counts *c = context;
  mynah_pool_run(c->pool, 4, count_task, c);
}

static void test_pool_nested_runs_inline(void **state) {
  counts *c = mynah_calloc(1, sizeof *c);
  c->n_workers = 2;
  assert_int_equal(mynah_pool_create(2, &c->pool), MYNAH_OK);
  mynah_pool_run(c->pool, 8, outer_task, c);
  for (int t = 0; t < 4; t++) assert_int_equal(atomic_load(&c->runs[t]), 8);
  assert_int_equal(atomic_load(&c->bad_workers), 0);
  mynah_pool_destroy(c->pool);
  mynah_free(c);
}

static void test_pool_refuses(void **state) {
  mynah_pool *pool = NULL;
  assert_int_equal(mynah_pool_create(0, &pool), MYNAH_INVALID);
  assert_int_equal(mynah_pool_create(100000, &pool), MYNAH_INVALID);
  assert_null(pool);
  mynah_pool_destroy(NULL);
}

#define N_ITEMS 50000
static void *produce(void *argument) {
  mynah_ring *ring = argument;
  for (uint32_t i = 0; i < N_ITEMS;) {
    uint32_t *item = mynah_ring_reserve(ring);
    if (!item) {
      mynah_sleep_until_ns(mynah_now_ns() + 1000);
      continue;
    }
    item[0] = i;
    item[1] = ~i;
    mynah_ring_publish(ring);
    i++;
  }
  return NULL;
}

static void test_ring_between_threads(void **state) {
  mynah_ring *ring;
  pthread_t thread;
  assert_int_equal(mynah_ring_create(100, 2 * sizeof(uint32_t), &ring), MYNAH_OK);
  assert_int_equal(pthread_create(&thread, NULL, produce, ring), 0);
  for (uint32_t i = 0; i < N_ITEMS;) {
    const uint32_t *item = mynah_ring_front(ring);
    if (!item) {
      mynah_sleep_until_ns(mynah_now_ns() + 1000);
      continue;
    }
    assert_int_equal(item[0], i);
    assert_int_equal(item[1], ~i);
    mynah_ring_release(ring);
    i++;
  }
  pthread_join(thread, NULL);
  assert_null(mynah_ring_front(ring));
  mynah_ring_destroy(ring);
}

static void test_ring_full_and_empty(void **state) {
  mynah_ring *ring;
  assert_int_equal(mynah_ring_create(0, 4, &ring), MYNAH_INVALID);
  assert_int_equal(mynah_ring_create(SIZE_MAX / 2, 64, &ring), MYNAH_NO_MEMORY);
  assert_int_equal(mynah_ring_create(3, 4, &ring), MYNAH_OK);
  assert_int_equal(mynah_alloc_trap(true), 0);
  for (int i = 0; i < 3; i++) {
    assert_non_null(mynah_ring_reserve(ring));
    mynah_ring_publish(ring);
  }
  assert_null(mynah_ring_reserve(ring));
  assert_int_equal(mynah_ring_used(ring), 3);
  mynah_ring_release(ring);
  assert_non_null(mynah_ring_reserve(ring));
  assert_int_equal(mynah_alloc_trap(false), 0);
  mynah_ring_destroy(ring);
  mynah_ring_destroy(NULL);
}

static mynah_status make_both(void *context) {
  mynah_ring *ring;
  mynah_pool *pool;
  MYNAH_TRY(mynah_ring_create(3, 4, &ring));
  mynah_status status = mynah_pool_create(2, &pool);
  mynah_ring_destroy(ring);
  MYNAH_TRY(status);
  mynah_pool_destroy(pool);
  return MYNAH_OK;
}

static void test_torture(void **state) { assert_int_equal(mynah_test_torture(make_both, NULL), 4); }

static void test_interrupt(void **state) {
  assert_false(mynah_is_interrupted());
  mynah_interrupt();
  assert_true(mynah_is_interrupted());
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_clock),
                                     cmocka_unit_test(test_pool_runs_each_task_once),
                                     cmocka_unit_test(test_pool_sleeps_and_wakes),
                                     cmocka_unit_test(test_pool_nested_runs_inline),
                                     cmocka_unit_test(test_pool_refuses),
                                     cmocka_unit_test(test_ring_between_threads),
                                     cmocka_unit_test(test_ring_full_and_empty),
                                     cmocka_unit_test(test_torture),
                                     cmocka_unit_test(test_interrupt)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
