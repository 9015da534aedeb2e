/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Persistent worker threads that share a counter of tasks, woken quickly and asleep when idle. */
#include <mynah/base.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#define MAX_THREADS 1024
/* How long an idle thread looks before it sleeps, and how long of that without giving way to others: the gap between training
 * steps, and that of the longest step of a prediction that one thread does alone. Waking takes about as long as such a step. */
#define LOOK_NS 300000
#define SPIN_NS 30000
#define TASK_MASK 0xffffffffu
#define CLOSED TASK_MASK /* no task to take */

typedef struct pool_worker {
  mynah_pool *pool;
  pthread_t thread;
  int index;
} pool_worker;

/* `ticket` holds the job's number (high half) and its next task (low half). A task is taken by compare-and-swap of the
 * whole word, so a thread that comes late can never take a task of a job whose fields it has not read. */
struct mynah_pool {
  int n_threads;
  pool_worker *workers; /* (n_threads - 1): the caller is worker 0 */
  atomic_int n_tasks;
  _Atomic(mynah_task_fn) fn;
  _Atomic(void *) context;
  atomic_bool is_running;
  _Alignas(64) atomic_uint_fast64_t ticket;
  _Alignas(64) atomic_int n_left; /* tasks not finished */
  atomic_int n_sleeping;
  atomic_bool is_waiting, is_stopping;
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
};

static _Thread_local mynah_pool *current_pool; /* whose task this thread is in */
static _Thread_local int current_worker;

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Between two looks; false: it is time to sleep. */
static bool look_again(int64_t begin_ns) {
  int64_t waited = mynah_now_ns() - begin_ns;
  if (waited > SPIN_NS) sched_yield();
  return waited < LOOK_NS;
}

/* Takes and runs tasks of the present job until none is left. */
static void work_off(mynah_pool *pool, int worker) {
  for (;;) {
    uint_fast64_t ticket = atomic_load(&pool->ticket);
    uint32_t task = (uint32_t)(ticket & TASK_MASK);
    if (task == CLOSED || task >= (uint32_t)atomic_load_explicit(&pool->n_tasks, memory_order_relaxed)) return;
    if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) continue;
    mynah_task_fn fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
    fn(atomic_load_explicit(&pool->context, memory_order_relaxed), (int)task, worker);
    if (atomic_fetch_sub(&pool->n_left, 1) == 1 && atomic_load(&pool->is_waiting)) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

static bool has_new_job(mynah_pool *pool, uint32_t seen) {
  uint_fast64_t ticket = atomic_load(&pool->ticket);
  return (uint32_t)(ticket >> 32) != seen && (ticket & TASK_MASK) != CLOSED;
}

/* Waits for a job newer than `seen` (or the end): looking first, then asleep. */
static void wait_for_job(mynah_pool *pool, uint32_t seen) {
  int64_t begin_ns = mynah_now_ns();
  do {
    for (int i = 0; i < 16; i++) {
      if (has_new_job(pool, seen)) return;
      pause_briefly();
    }
  } while (look_again(begin_ns));
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->n_sleeping, 1);
  while (!atomic_load(&pool->is_stopping) && !has_new_job(pool, seen)) pthread_cond_wait(&pool->work, &pool->mutex);
  atomic_fetch_sub(&pool->n_sleeping, 1);
  pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument) {
  pool_worker *self = argument;
  mynah_pool *pool = self->pool;
  current_pool = pool;
  current_worker = self->index;
  uint32_t seen = 0;
  while (!atomic_load(&pool->is_stopping)) {
    wait_for_job(pool, seen);
    uint_fast64_t ticket = atomic_load(&pool->ticket);
    if ((ticket & TASK_MASK) == CLOSED) continue;
    seen = (uint32_t)(ticket >> 32);
    work_off(pool, self->index);
  }
  return NULL;
}

/* Signals go to the program's own threads, so that a worker never runs a handler. */
static int start_worker(mynah_pool *pool, int i) {
  sigset_t all, old;
  pool->workers[i] = (pool_worker){.pool = pool, .index = i + 1};
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int error = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return error;
}

static void stop(mynah_pool *pool, int n_started) {
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->is_stopping, true);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < n_started; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->done);
  pthread_mutex_destroy(&pool->mutex);
  mynah_free(pool->workers);
  mynah_free(pool);
}

mynah_status mynah_pool_create(int n_threads, mynah_pool **out) {
  if (n_threads < 1 || n_threads > MAX_THREADS)
    return mynah_fail(MYNAH_INVALID, "threads: %d is not between 1 and %d", n_threads, MAX_THREADS);
  mynah_pool *pool = mynah_calloc(1, sizeof *pool);
  if (!pool) return MYNAH_NO_MEMORY;
  pool->workers = mynah_calloc((size_t)n_threads, sizeof *pool->workers);
  if (!pool->workers) {
    mynah_free(pool);
    return MYNAH_NO_MEMORY;
  }
  pool->n_threads = n_threads;
  atomic_store(&pool->ticket, CLOSED);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);
  for (int i = 0; i < n_threads - 1; i++) {
    if (start_worker(pool, i) == 0) continue;
    stop(pool, i);
    return mynah_fail(MYNAH_LIMIT, "threads: cannot start thread %d of %d", i + 2, n_threads);
  }
  *out = pool;
  return MYNAH_OK;
}

void mynah_pool_destroy(mynah_pool *pool) {
  if (pool) stop(pool, pool->n_threads - 1);
}

int mynah_pool_size(const mynah_pool *pool) { return pool ? pool->n_threads : 1; }

/* Opens a new job: closed first, so that nobody takes a task while its fields change. */
static void open_job(mynah_pool *pool, int n_tasks, mynah_task_fn fn, void *context) {
  uint_fast64_t job = (uint_fast64_t)(uint32_t)((atomic_load(&pool->ticket) >> 32) + 1) << 32;
  atomic_store(&pool->ticket, job | CLOSED);
  atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
  atomic_store_explicit(&pool->context, context, memory_order_relaxed);
  atomic_store_explicit(&pool->n_tasks, n_tasks, memory_order_relaxed);
  atomic_store(&pool->n_left, n_tasks);
  atomic_store(&pool->ticket, job);
  if (atomic_load(&pool->n_sleeping) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  for (int i = 1; i < n_tasks && i < pool->n_threads; i++) pthread_cond_signal(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_rest(mynah_pool *pool) {
  int64_t begin_ns = mynah_now_ns();
  do {
    for (int i = 0; i < 16; i++) {
      if (atomic_load(&pool->n_left) == 0) return;
      pause_briefly();
    }
  } while (look_again(begin_ns));
  pthread_mutex_lock(&pool->mutex);
  atomic_store(&pool->is_waiting, true);
  while (atomic_load(&pool->n_left) > 0) pthread_cond_wait(&pool->done, &pool->mutex);
  atomic_store(&pool->is_waiting, false);
  pthread_mutex_unlock(&pool->mutex);
}

void mynah_pool_run(mynah_pool *pool, int n_tasks, mynah_task_fn fn, void *context) {
  if (n_tasks <= 0) return;
  /* No helper, nothing to share, or called from inside a task: the calling thread does it all, under its own number. */
  if (!pool || pool->n_threads == 1 || n_tasks == 1 || atomic_exchange(&pool->is_running, true)) {
    int worker = pool && current_pool == pool ? current_worker : 0;
    for (int i = 0; i < n_tasks; i++) fn(context, i, worker);
    return;
  }
  mynah_pool *outer_pool = current_pool; /* the caller may itself be in a task of another pool */
  int outer_worker = current_worker;
  current_pool = pool;
  current_worker = 0;
  open_job(pool, n_tasks, fn, context);
  work_off(pool, 0);
  wait_for_rest(pool);
  current_pool = outer_pool;
  current_worker = outer_worker;
  atomic_store(&pool->is_running, false);
}
