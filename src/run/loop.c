/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The control loop: observe, take what the worker predicted, command within limits, sleep until the next deadline. Between
 * the first step and the last the control thread allocates nothing, waits for nobody and touches no file. */
#include "run_internal.h"
#include "worker.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define LOOP_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_loop_config, type, field, name, value, low, high, unit, help)
static const mynah_key loop_keys[] = {MYNAH_LOOP_KEYS(LOOP_ROW)};
const mynah_config_table mynah_loop_table = {"loop", loop_keys, sizeof loop_keys / sizeof *loop_keys, sizeof(mynah_loop_config)};

#define ACTION_MAX 64
#define FIRST_CHUNK_NS (INT64_C(30) * 1000000000)
#define BRAKING (unsigned)(MYNAH_FAULT_STALE_SEEN | MYNAH_FAULT_CHUNK_USED_UP | MYNAH_FAULT_LOST_TARGET) /* as long as they last */
#define KEPT_MAX 4000000 /* samples of a measurement */

/* Measurements of a kind, kept for percentiles; room is made before the loop begins. */
typedef struct samples {
  int64_t *ns;
  int64_t n, room;
} samples;

static mynah_status samples_create(int64_t room, samples *out) {
  *out = (samples){mynah_calloc((size_t)(room < KEPT_MAX ? room : KEPT_MAX), sizeof(int64_t)), 0, room < KEPT_MAX ? room : KEPT_MAX};
  if (!out->ns) return MYNAH_NO_MEMORY;
  memset(out->ns, 0, (size_t)out->room * sizeof(int64_t)); /* no page fault later */
  return MYNAH_OK;
}
static void keep(samples *s, int64_t ns) {
  if (s->n < s->room) s->ns[s->n++] = ns;
}
static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}
static double percentile(const samples *s, double share) {
  return s->n > 0 ? (double)s->ns[(int64_t)(share * (double)(s->n - 1) + 0.5)] * 1e-6 : NAN;
}
static mynah_json *samples_json(samples *s) {
  mynah_json *j = mynah_json_object();
  qsort(s->ns, (size_t)s->n, sizeof *s->ns, by_size);
  mynah_json_set(j, "p50", mynah_json_number(percentile(s, 0.5)));
  mynah_json_set(j, "p99", mynah_json_number(percentile(s, 0.99)));
  mynah_json_set(j, "p99.9", mynah_json_number(percentile(s, 0.999)));
  mynah_json_set(j, "max", mynah_json_number(percentile(s, 1)));
  return j;
}

typedef struct loop {
  const mynah_loop_config *config;
  const mynah_loop_task *task;
  mynah_device *device;
  const float *rest;
  mynah__worker *worker;
  mynah__recorder *recorder;
  mynah_plan *plan;
  mynah_safety *safety;
  mynah_watchdog *watchdog;
  int64_t size, period_ns, steps_of_execution;
  int64_t step, episode_step, episode, n_episodes; /* of the whole run; of this episode; of which start; ended ones */
  int64_t asked_at;                               /* episode step of the prediction under way or last asked for; -1 */
  bool is_waiting;                                /* for it */
  bool is_person, was_person;                     /* commands this step, and the one before */
  unsigned events;                                /* of the person, not yet obeyed */
  int mark;                                       /* the person's word of this episode: 1 success, 0 failure, -1 none */
  int64_t n_kept;                                 /* episodes that were not thrown away */
  int64_t n_person;
  bool is_done;
  float action[ACTION_MAX], command[ACTION_MAX], last[ACTION_MAX];
  samples periods, lates, infers, ages;
  int64_t n_misses, n_chunks, n_rejected, n_lost_frames, n_held, fault_steps[MYNAH_FAULTS], n_seams;
  unsigned faults, first_faults; /* latched: all so far; of the first step that had any */
  int64_t first_fault_step;
  double seam_sum;
  int64_t n_allocations, page_faults;
  mynah_json *notes;
} loop;

/* ---- one step ---------------------------------------------------------------------------------------------------------- */

static void note_faults(loop *l, unsigned faults) {
  if (faults && !l->faults) l->first_faults = faults, l->first_fault_step = l->step;
  l->faults |= faults;
  for (int bit = 0; bit < MYNAH_FAULTS; bit++) l->fault_steps[bit] += faults >> bit & 1;
}

/* Chunks that came since the last step enter the plan. */
static unsigned take_chunks(loop *l) {
  const mynah__chunk *c;
  unsigned faults = 0;
  while ((c = mynah__worker_front(l->worker))) {
    bool is_present = c->episode == l->n_episodes;
    if (is_present && c->origin >= l->asked_at) l->is_waiting = false;
    keep(&l->infers, c->infer_ns);
    if (c->status != MYNAH_OK) faults |= MYNAH_FAULT_PREDICTION;
    else if (is_present && mynah_plan_arrive(l->plan, c->values, c->origin)) l->n_chunks++;
    else l->n_rejected++;
    mynah__worker_release(l->worker);
  }
  return faults;
}

/* The frame goes to the worker, with a question when the last answer has been used as far as it should be. */
static void show_worker(loop *l, const mynah_value *values) {
  mynah__seen seen = {.step = l->episode_step, .episode = l->n_episodes, .seed = (uint64_t)(l->config->seed + l->episode), .values = values};
  seen.is_asked = !l->is_waiting && (l->asked_at < 0 || l->episode_step - l->asked_at >= l->steps_of_execution);
  if (seen.is_asked) seen.n_prefix = mynah_plan_prefix(l->plan, &seen.prefix);
  if (!mynah__worker_show(l->worker, &seen)) {
    l->n_lost_frames++;
    return;
  }
  if (!seen.is_asked) return;
  l->asked_at = l->episode_step;
  l->is_waiting = true;
}

/* What the policy wants now. */
static unsigned plan_action(loop *l) {
  mynah_actor_source source;
  mynah_plan_next(l->plan, l->action, &source);
  if (source.age_steps >= 0) keep(&l->ages, source.age_steps * l->period_ns);
  l->n_held += source.is_held;
  if (source.is_seam) {
    double apart[ACTION_MAX];
    for (int64_t k = 0; k < l->size; k++) apart[k] = (double)l->action[k] - (double)l->last[k];
    l->seam_sum += mynah__share_of_range(l->task->predictor->policy, apart);
    l->n_seams++;
  }
  bool is_old = source.age_steps < 0 || (double)(source.age_steps * l->period_ns) > l->config->stale_s * 1e9 + 1;
  bool is_used_up = source.is_held || l->task->predictor->policy->common.chunk == 1; /* one action comes late, always */
  return is_used_up && is_old ? MYNAH_FAULT_CHUNK_USED_UP : 0;
}

static unsigned decide(loop *l, const mynah_value *values) {
  const mynah_loop_task *t = l->task;
  if (l->worker) return plan_action(l);
  if (t->replay) {
    int64_t i = l->episode_step < t->n_replay ? l->episode_step : t->n_replay - 1;
    memcpy(l->action, t->replay + i * l->size, (size_t)l->size * sizeof(float));
    l->is_done = l->episode_step + 1 >= t->n_replay;
  } else l->device->type->expert(l->device, l->action);
  (void)values;
  return 0;
}

/* A person who holds the button commands; what the policy wanted is not. */
static void ask_person(loop *l) {
  float wish[ACTION_MAX];
  l->was_person = l->is_person;
  l->is_person = mynah_person_action(l->task->person, wish) || l->task->is_person_only;
  l->events |= mynah_person_events(l->task->person);
  if (l->events & (MYNAH_PERSON_SUCCESS | MYNAH_PERSON_FAILURE)) l->mark = (l->events & MYNAH_PERSON_SUCCESS) != 0;
  l->events &= ~(unsigned)(MYNAH_PERSON_SUCCESS | MYNAH_PERSON_FAILURE);
  if (!l->is_person) return;
  l->n_person++;
  for (int64_t k = 0; k < l->size; k++) {
    double step = l->task->person_speed * (double)wish[k] * (double)l->period_ns * 1e-9;
    l->action[k] = l->task->person_speed > 0 ? (float)((double)l->command[k] + step) : wish[k];
  }
}

static bool is_stale(const loop *l, const mynah_value *values) {
  int64_t now = mynah_now_ns();
  for (int i = 0; l->device->is_live && i < l->device->n_observations; i++)
    if ((double)(now - values[i].time_ns) > l->config->stale_s * 1e9) return true;
  return false;
}

/* The command for an action, or for none when something is wrong. */
static unsigned make_command(loop *l, unsigned faults) {
  if (faults & (BRAKING | MYNAH_FAULT_DEVICE | MYNAH_FAULT_WATCHDOG)) {
    if (l->rest) faults |= mynah_safety_step(l->safety, l->rest, l->command) & ~(unsigned)MYNAH_FAULT_LIMITED;
    else mynah_safety_brake(l->safety, l->command);
    return faults;
  }
  return faults | mynah_safety_step(l->safety, l->action, l->command);
}

/* The person let go: what was commanded is an episode. */
static void end_stretch(loop *l) {
  bool is_thrown = l->events & (MYNAH_PERSON_REDO | MYNAH_PERSON_DISCARD);
  mynah__recorder_end(l->recorder, is_thrown ? MYNAH__DISCARD : l->mark);
  l->mark = -1;
}

static bool is_blind(const loop *l) {
  const mynah_predictor *p = l->task->predictor;
  return (l->device->type->is_blind && l->device->type->is_blind(l->device)) || (p->is_blind && p->is_blind(p));
}

static void one_step(loop *l) {
  mynah_value values[17];
  unsigned faults = 0;
  l->device->type->observe(l->device, values);
  if (l->task->watch) l->task->watch(l->task->watch_context, values);
  if (is_stale(l, values)) faults |= MYNAH_FAULT_STALE_SEEN;
  if (l->worker) {
    if (is_blind(l)) faults |= MYNAH_FAULT_LOST_TARGET;
    faults |= take_chunks(l);
    show_worker(l, values);
  }
  faults |= l->task->is_person_only ? 0 : decide(l, values);
  if (l->task->person) ask_person(l);
  if (l->is_person) faults &= ~(unsigned)(MYNAH_FAULT_CHUNK_USED_UP | MYNAH_FAULT_LOST_TARGET);
  if (l->watchdog && !mynah_watchdog_beat(l->watchdog)) faults |= MYNAH_FAULT_WATCHDOG, l->is_done = true;
  if (l->device->type->health && l->device->type->health(l->device) != MYNAH_OK) faults |= MYNAH_FAULT_DEVICE, l->is_done = true;
  faults = make_command(l, faults);
  note_faults(l, faults);
  bool is_kept = l->recorder && (l->is_person || !l->task->records_person_only);
  if (is_kept) mynah__recorder_frame(l->recorder, values, l->command, values[0].time_ns);
  else if (l->recorder && l->was_person) end_stretch(l);
  if (l->recorder && mynah__recorder_must_stop(l->recorder)) l->is_done = true;
  memcpy(l->last, l->action, sizeof l->last);
  if (!(faults & MYNAH_FAULT_WATCHDOG)) l->device->type->act(l->device, l->command);
  l->step++;
  l->episode_step++;
}

/* ---- episodes ------------------------------------------------------------------------------------------------------------ */

/* A robot waits for the first chunk before it moves. */
static mynah_status wait_for_first(loop *l) {
  mynah_value values[17];
  int64_t end = mynah_now_ns() + FIRST_CHUNK_NS;
  l->device->type->observe(l->device, values);
  show_worker(l, values);
  while (l->is_waiting) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "loop: interrupted");
    if (mynah_now_ns() > end) return mynah_fail(MYNAH_IO, "loop: the policy gave no actions within %d s", (int)(FIRST_CHUNK_NS / 1000000000));
    if (take_chunks(l) & MYNAH_FAULT_PREDICTION) return mynah_fail(MYNAH_IO, "loop: the first prediction failed");
    if (l->watchdog) mynah_watchdog_beat(l->watchdog);
    mynah_sleep_until_ns(mynah_now_ns() + 200000);
  }
  return MYNAH_OK;
}

/* The pose that commands begin from: the state's first elements where it has as many as the action and limits bind; else rest. */
static void begin_commands(loop *l) {
  mynah_value values[17];
  float pose[ACTION_MAX] = {0};
  const mynah_device *d = l->device;
  if (l->rest) memcpy(pose, l->rest, (size_t)l->size * sizeof(float));
  d->type->observe(l->device, values);
  for (int i = 0; d->is_live && i < d->n_observations; i++)
    if (strcmp(d->features[i].name, "observation.state") == 0 && d->features[i].dtype == MYNAH_F32 && mynah_feature_size(&d->features[i]) >= l->size)
      memcpy(pose, values[i].data, (size_t)l->size * sizeof(float));
  mynah_safety_start(l->safety, pose);
  memcpy(l->command, pose, sizeof l->command);
}

/* Time to put things back: nothing is recorded, the person commands a live device, a simulator stands still. */
static void reset_phase(loop *l) {
  mynah_value values[17];
  int64_t end = mynah_now_ns() + (int64_t)(l->config->reset_s * 1e9), deadline = mynah_now_ns();
  if (l->task->resetting) l->task->resetting(l->task->saved_context, l->config->reset_s);
  while (mynah_now_ns() < end && !mynah_is_interrupted() && !(l->events & (MYNAH_PERSON_SAVE | MYNAH_PERSON_END))) {
    mynah_sleep_until_ns(deadline += l->period_ns);
    l->device->type->observe(l->device, values);
    if (l->task->watch) l->task->watch(l->task->watch_context, values);
    if (l->task->person) ask_person(l);
    if (l->watchdog && !mynah_watchdog_beat(l->watchdog)) break;
    if (!l->device->is_live) continue;
    make_command(l, l->is_person ? 0 : MYNAH_FAULT_CHUNK_USED_UP);
    l->device->type->act(l->device, l->command);
  }
  l->events &= MYNAH_PERSON_END;
  l->mark = -1;
}

static mynah_status begin_episode(loop *l) {
  MYNAH_TRY(l->device->type->reset(l->device, (uint64_t)(l->config->seed + l->episode)));
  l->episode_step = 0;
  l->asked_at = -1;
  l->is_waiting = false;
  begin_commands(l);
  if (l->n_episodes > 0 && l->config->reset_s > 0) reset_phase(l);
  if (!l->worker) return MYNAH_OK;
  mynah_plan_reset(l->plan);
  return wait_for_first(l);
}

/* The episode is kept or thrown away; one that is to be redone begins from the same seed. */
static void end_episode(loop *l) {
  bool is_thrown = l->events & (MYNAH_PERSON_REDO | MYNAH_PERSON_DISCARD);
  int success = is_thrown ? MYNAH__DISCARD : l->mark >= 0 ? l->mark : mynah__success_of(l->device);
  if (l->recorder && l->episode_step > 0) mynah__recorder_end(l->recorder, success);
  l->n_episodes++;
  l->n_kept += !is_thrown;
  l->episode += !(l->events & MYNAH_PERSON_REDO) || l->task->records_person_only;
  l->episode_step = 0;
  l->events = 0;
  l->mark = -1;
}

/* ---- cadence ------------------------------------------------------------------------------------------------------------- */

static int64_t page_faults(void) {
  struct rusage u;
  getrusage(RUSAGE_THREAD, &u);
  return (int64_t)u.ru_minflt + (int64_t)u.ru_majflt;
}

/* Steps until the time is over. Deadlines are absolute; one missed by a period or more is counted and the following begin
 * from the present: no burst makes up for it. */
static mynah_status run_steps(loop *l) {
  int64_t n = (int64_t)ceil(l->config->seconds * 1e9 / (double)l->period_ns), warm = n / 10, faults_before = -1;
  int64_t deadline = mynah_now_ns() + l->period_ns, before = 0;
  mynah_alloc_trap(true);
  while (l->step < n && !l->is_done && !mynah_is_interrupted()) {
    mynah_sleep_until_ns(deadline);
    int64_t now = mynah_now_ns();
    if (before > 0) keep(&l->periods, now - before);
    keep(&l->lates, now - deadline);
    before = now;
    if (now - deadline >= l->period_ns) {
      l->n_misses++;
      deadline = now;
    }
    deadline += l->period_ns;
    if (l->step == warm) faults_before = page_faults();
    one_step(l);
    if (l->events & MYNAH_PERSON_END) break;
    bool is_over = l->device->is_done && !l->device->is_live;
    if (!is_over && !l->events) continue;
    l->n_allocations += mynah_alloc_trap(false);
    if (faults_before >= 0) l->page_faults += page_faults() - faults_before;
    end_episode(l);
    if (l->config->episodes > 0 && l->n_kept >= l->config->episodes) return MYNAH_OK;
    if (l->step < n) MYNAH_TRY(begin_episode(l));
    if (l->events & MYNAH_PERSON_END) return MYNAH_OK;
    mynah_alloc_trap(true);
    if (l->step > warm) faults_before = page_faults();
    deadline = mynah_now_ns() + l->period_ns;
    before = 0;
  }
  l->n_allocations += mynah_alloc_trap(false);
  if (faults_before >= 0) l->page_faults += page_faults() - faults_before;
  return MYNAH_OK;
}

/* Braked to rest: at most as long as an observation may be old. */
static void come_to_rest(loop *l) {
  int64_t n = (int64_t)(l->config->stale_s * 1e9 / (double)l->period_ns) + 1, deadline = mynah_now_ns();
  for (int64_t i = 0; l->device->is_live && i < n && (!l->watchdog || mynah_watchdog_beat(l->watchdog)); i++) {
    make_command(l, MYNAH_FAULT_CHUNK_USED_UP);
    l->device->type->act(l->device, l->command);
    mynah_sleep_until_ns(deadline += l->period_ns);
  }
}

/* ---- beginning and end --------------------------------------------------------------------------------------------------- */

static void note(loop *l, const char *text) { mynah_json_append(l->notes, mynah_json_string(text)); }

/* What the machine lets us have; what it does not is said. */
static void ask_machine(loop *l) {
  if (l->config->is_locked && mlockall(MCL_CURRENT | MCL_FUTURE) != 0) note(l, "memory is not locked: not allowed here");
  if (l->config->processor >= 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)l->config->processor, &one);
    if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0) note(l, "the control thread is not pinned: there is no such processor for it");
  }
  struct sched_param p = {.sched_priority = (int)l->config->priority};
  if (l->config->priority > 0 && pthread_setschedparam(pthread_self(), SCHED_FIFO, &p) != 0)
    note(l, "no real-time priority: not allowed here");
}

static mynah_status prepare_policy(loop *l) {
  const mynah_policy *p = l->task->predictor->policy;
  mynah_execute_config c = l->task->execute ? *l->task->execute : p->common.execute;
  MYNAH_TRY(mynah_plan_create(p, &c, &l->plan));
  l->steps_of_execution = c.steps > 0 ? c.steps : c.mode == MYNAH_EXECUTE_ENSEMBLE ? 1 : (p->common.chunk + 1) / 2;
  return mynah__worker_create(l->task->predictor, l->device, &l->worker);
}

static mynah_status prepare_recorder(loop *l, double rate_hz) {
  const mynah_loop_task *t = l->task;
  bool is_person = t->is_person_only || t->records_person_only;
  const char *expert = is_person ? "a person" : t->predictor ? "a clone" : t->replay ? "a recording" : "expert";
  mynah__recorder_config c = {rate_hz, expert, t->saved, t->saved_context, NULL, l->config->ballast_mb << 20};
  return t->record_path ? mynah__recorder_create(t->record_path, l->device, &c, &l->recorder) : MYNAH_OK;
}

static mynah_status prepare(loop *l) {
  const mynah_loop_task *t = l->task;
  mynah_limits none[ACTION_MAX];
  double rate = l->config->rate_hz > 0 ? l->config->rate_hz : l->device->rate_hz;
  l->size = mynah_feature_size(mynah_device_action(l->device));
  if (l->size > ACTION_MAX) return mynah_fail(MYNAH_LIMIT, "loop: an action of more than %d elements", ACTION_MAX);
  if (!t->predictor && !t->replay && !t->is_person_only && !l->device->type->expert)
    return mynah_fail(MYNAH_UNSUPPORTED, "%s has no expert: give a policy or a recorded episode", l->device->type->name);
  for (int i = 0; i < ACTION_MAX; i++) none[i] = (mynah_limits){-INFINITY, INFINITY, 0, 0, 0};
  l->period_ns = (int64_t)llround(1e9 / rate);
  int64_t n = (int64_t)ceil(l->config->seconds * rate) + 16;
  samples *const kinds[] = {&l->periods, &l->lates, &l->infers, &l->ages};
  for (int i = 0; i < 4; i++) MYNAH_TRY(samples_create(n, kinds[i]));
  MYNAH_TRY(mynah_safety_create(t->limits ? t->limits : none, l->size, rate, &l->safety));
  if (l->config->watchdog_s > 0 && t->stop) MYNAH_TRY(mynah_watchdog_start(l->config->watchdog_s, t->stop, t->stop_context, &l->watchdog));
  if (t->predictor) MYNAH_TRY(prepare_policy(l));
  MYNAH_TRY(prepare_recorder(l, rate));
  ask_machine(l);
  return begin_episode(l);
}

/* What was done about the worst that happened. */
static const char *response(unsigned faults) {
  if (faults & (MYNAH_FAULT_DEVICE | MYNAH_FAULT_WATCHDOG)) return "stopped";
  if (faults & BRAKING) return "braked";
  return faults ? "limited" : "none";
}

static void report_faults(const loop *l, mynah_json *out) {
  mynah_json *faults = mynah_json_object(), *first = mynah_json_object(), *reasons = mynah_json_array();
  for (int bit = 0; bit < MYNAH_FAULTS; bit++) {
    if (l->fault_steps[bit] > 0) mynah_json_set(faults, mynah_fault_name(bit), mynah_json_integer(l->fault_steps[bit]));
    if (l->first_faults >> bit & 1) mynah_json_append(reasons, mynah_json_string(mynah_fault_name(bit)));
  }
  mynah_json_set(out, "faults", faults);
  mynah_json_set(out, "fault_code", mynah_json_integer(l->faults));
  mynah_json_set(out, "response", mynah_json_string(response(l->faults)));
  mynah_json_set(first, "step", mynah_json_integer(l->first_fault_step));
  mynah_json_set(first, "reasons", reasons);
  if (l->faults) mynah_json_set(out, "first_fault", first);
  else mynah_json_destroy(first);
}

static void report(loop *l, mynah_json *out) {
  mynah_json_set(out, "steps", mynah_json_integer(l->step));
  mynah_json_set(out, "episodes", mynah_json_integer(l->n_episodes));
  mynah_json_set(out, "rate_hz", mynah_json_number(1e9 / (double)l->period_ns));
  mynah_json_set(out, "period_ms", samples_json(&l->periods));
  mynah_json_set(out, "late_ms", samples_json(&l->lates));
  mynah_json_set(out, "misses", mynah_json_integer(l->n_misses));
  if (l->worker) {
    mynah_json_set(out, "infer_ms", samples_json(&l->infers));
    mynah_json_set(out, "chunk_age_ms", samples_json(&l->ages));
    mynah_json_set(out, "seam_jump", mynah_json_number(l->n_seams > 0 ? l->seam_sum / (double)l->n_seams : 0));
    mynah_json_set(out, "chunks", mynah_json_integer(l->n_chunks));
    mynah_json_set(out, "rejected", mynah_json_integer(l->n_rejected));
    mynah_json_set(out, "dropped_frames", mynah_json_integer(l->n_lost_frames));
    mynah_json_set(out, "held_steps", mynah_json_integer(l->n_held));
  }
  if (l->task->person) mynah_json_set(out, "person_steps", mynah_json_integer(l->n_person));
  report_faults(l, out);
  mynah_json_set(out, "allocations", mynah_json_integer(l->n_allocations));
  mynah_json_set(out, "page_faults", mynah_json_integer(l->page_faults));
  mynah_json_set(out, "notes", mynah_json_copy(l->notes));
}

static mynah_status finish_recording(loop *l, mynah_json *out) {
  mynah__recorder_report r;
  if (!l->recorder) return MYNAH_OK;
  if (l->episode_step > 0) mynah__recorder_end(l->recorder, l->mark >= 0 ? l->mark : mynah__success_of(l->device));
  mynah_status status = mynah__recorder_close(l->recorder, &r);
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "episodes", mynah_json_integer(r.n_episodes));
  mynah_json_set(j, "frames", mynah_json_integer(r.n_frames));
  mynah_json_set(j, "dropped", mynah_json_integer(r.n_dropped));
  mynah_json_set(j, "late", mynah_json_integer(r.n_late));
  mynah_json_set(out, "recorded", j);
  return status;
}

mynah_status mynah_loop_run(const mynah_loop_config *config, const mynah_loop_task *task, mynah_json *result) {
  loop l = {.config = config, .task = task, .device = task->device, .asked_at = -1, .mark = -1, .notes = mynah_json_array()};
  l.rest = task->rest ? task->rest : task->device->rest;
  mynah_status status = prepare(&l);
  if (status == MYNAH_OK) {
    status = run_steps(&l);
    come_to_rest(&l);
    report(&l, result);
  }
  mynah_status recorded = finish_recording(&l, result);
  if (status == MYNAH_OK) status = recorded;
  mynah__worker_destroy(l.worker);
  mynah_watchdog_end(l.watchdog, NULL);
  mynah_plan_destroy(l.plan);
  mynah_safety_destroy(l.safety);
  munlockall();
  samples *const kinds[] = {&l.periods, &l.lates, &l.infers, &l.ages};
  for (int i = 0; i < 4; i++) mynah_free(kinds[i]->ns);
  mynah_json_destroy(l.notes);
  return status;
}
