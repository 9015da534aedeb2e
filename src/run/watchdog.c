/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A second process that stops the device when the first one no longer beats: killed, stopped, or stuck. */
#include <mynah/run.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What both processes see. */
typedef struct shared {
  atomic_int_fast64_t beat_ns;
  atomic_bool is_over, has_fired;
} shared;

struct mynah_watchdog {
  shared *memory;
  pid_t child;
};

static void watch(shared *s, int64_t timeout_ns, void (*stop)(void *context), void *context) {
  while (!atomic_load(&s->is_over)) {
    int64_t due = atomic_load(&s->beat_ns) + timeout_ns, now = mynah_now_ns();
    if (now >= due) {
      atomic_store(&s->has_fired, true); /* before the stop: a runner that wakes up must not command after it */
      if (stop) stop(context);
      return;
    }
    int64_t nap = due - now < timeout_ns / 4 ? due - now : timeout_ns / 4;
    mynah_sleep_until_ns(now + nap);
  }
}

mynah_status mynah_watchdog_start(double timeout_s, void (*stop)(void *context), void *context, mynah_watchdog **out) {
  mynah_watchdog *w = mynah_calloc(1, sizeof *w);
  if (!w) return MYNAH_NO_MEMORY;
  w->memory = mmap(NULL, sizeof *w->memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (w->memory == MAP_FAILED) {
    mynah_free(w);
    return mynah_fail(MYNAH_NO_MEMORY, "watchdog: no shared memory");
  }
  atomic_store(&w->memory->beat_ns, mynah_now_ns());
  w->child = fork();
  if (w->child == 0) {
    setsid(); /* what the terminal sends to the runner must not reach it */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    watch(w->memory, (int64_t)(timeout_s * 1e9), stop, context);
    _exit(0);
  }
  if (w->child < 0) {
    munmap(w->memory, sizeof *w->memory);
    mynah_free(w);
    return mynah_fail(MYNAH_LIMIT, "watchdog: its process cannot be made");
  }
  *out = w;
  return MYNAH_OK;
}

bool mynah_watchdog_beat(mynah_watchdog *w) {
  atomic_store_explicit(&w->memory->beat_ns, mynah_now_ns(), memory_order_release);
  return !atomic_load_explicit(&w->memory->has_fired, memory_order_acquire);
}

void mynah_watchdog_end(mynah_watchdog *w, bool *was_late) {
  if (was_late) *was_late = false;
  if (!w) return;
  atomic_store(&w->memory->is_over, true);
  while (waitpid(w->child, NULL, 0) < 0 && errno == EINTR) continue;
  if (was_late) *was_late = atomic_load(&w->memory->has_fired);
  munmap(w->memory, sizeof *w->memory);
  mynah_free(w);
}
