/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The monotonic clock, absolute sleep, how many processors there are for us, and the interrupt flag. */
#include <mynah/base.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static volatile sig_atomic_t is_interrupted;

int64_t mynah_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

void mynah_sleep_until_ns(int64_t time_ns) {
  if (time_ns <= 0) return;
  struct timespec t = {.tv_sec = (time_t)(time_ns / NS_PER_S), .tv_nsec = (long)(time_ns % NS_PER_S)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    if (is_interrupted) return;
  }
}

/* A container may be given less time than it sees processors: "QUOTA PERIOD" in microseconds, or "max PERIOD". */
static int quota_cpus(void) {
  long long quota = 0, period = 0;
  FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
  if (!file) return 0;
  int n = fscanf(file, "%lld %lld", &quota, &period);
  fclose(file);
  if (n != 2 || quota <= 0 || period <= 0) return 0;
  long long cpus = quota / period + (quota % period != 0);
  return cpus < 1024 ? (int)cpus : 0;
}

int mynah_cpu_count(void) {
  cpu_set_t set;
  long n = 0;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  if (n <= 0) n = sysconf(_SC_NPROCESSORS_ONLN);
  int quota = quota_cpus();
  if (quota > 0 && quota < n) n = quota;
  return n > 0 ? (int)n : 1;
}

void mynah_interrupt(void) { is_interrupted = 1; }
bool mynah_is_interrupted(void) { return is_interrupted != 0; }
