/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Executing chunks: a plan of actions by absolute step, and how a new chunk enters it. */
#include "policy_internal.h"

#include <math.h>
#include <string.h>

#define EXECUTE_ROW(type, field, name, value, low, high, unit, help)                               \
  MYNAH_KEY_OF(mynah_execute_config, type, field, name, value, low, high, unit, help)
static const mynah_key execute_keys[] = {MYNAH_EXECUTE_KEYS(EXECUTE_ROW)};
const mynah_config_table mynah_execute_table = {"execute", execute_keys, sizeof execute_keys / sizeof *execute_keys,
                                                sizeof(mynah_execute_config)};

/* What is planned for one absolute step. A count says how many chunks are in it: the action itself cannot, since zero is
 * an action too. */
typedef struct planned {
  int64_t step;   /* -1: never used */
  int64_t origin; /* of the newest chunk in it */
  int64_t count;  /* chunks averaged */
  double weight;  /* sum of their weights */
} planned;

struct mynah_plan {
  mynah_execute_config config; /* steps > 0 */
  int64_t chunk, size;         /* actions a chunk, elements an action */
  bool takes_prefix;
  planned *slots;  /* (chunk): step s is in slot s mod chunk */
  float *rows;     /* (chunk, size): the slots' actions */
  float *pending;  /* (chunk, size): a chunk under way */
  float *incoming; /* (chunk, size): the arriving chunk, its seam limited; also the prefix of a prediction */
  float *last;     /* (size): the last action */
  float *jump_max; /* (size): in the action's units; 0: no limit */
  int64_t step;    /* the present one */
  int64_t newest;  /* origin of the newest chunk that arrived; -1: none */
  int64_t next_origin;    /* when the next prediction begins */
  int64_t pending_origin; /* -1: none under way */
  bool has_arrived;       /* at the present step */
};

/* ---- making ---------------------------------------------------------------------------------------------------------- */

mynah_status mynah__execute_resolve(const mynah_policy *p, const mynah_execute_config *in, mynah_execute_config *out) {
  mynah_execute_config c = *in;
  int64_t chunk = p->common.chunk, delay = c.delay_steps;
  bool is_class = p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32;
  if (is_class && (c.mode != MYNAH_EXECUTE_RECEDING || c.seam > 0))
    return mynah_fail(MYNAH_UNSUPPORTED, "execute: actions that are classes cannot be averaged: use execute.mode=receding "
                      "and execute.seam=0");
  if (2 * delay > chunk)
    return mynah_fail(MYNAH_INVALID, "execute.delay_steps=%lld: takes a chunk of at least %lld, this policy's is %lld",
                      (long long)delay, (long long)(2 * delay), (long long)chunk);
  if (c.steps == 0 && c.mode == MYNAH_EXECUTE_RECEDING) c.steps = chunk - delay;
  else if (c.steps == 0 && c.mode == MYNAH_EXECUTE_ENSEMBLE) c.steps = 1;
  else if (c.steps == 0) c.steps = (chunk - delay + 1) / 2;
  if (c.steps + delay > chunk)
    return mynah_fail(MYNAH_INVALID, "execute.steps=%lld: with execute.delay_steps=%lld a chunk of %lld lasts at most %lld",
                      (long long)c.steps, (long long)delay, (long long)chunk, (long long)(chunk - delay));
  *out = c;
  return MYNAH_OK;
}

static mynah_status fill(const mynah_policy *p, mynah_plan *plan) {
  plan->chunk = p->common.chunk;
  plan->size = mynah_feature_size(&p->action);
  plan->takes_prefix = p->type->takes_prefix;
  size_t n = (size_t)plan->chunk, size = (size_t)plan->size;
  plan->slots = mynah_calloc(n, sizeof *plan->slots);
  plan->rows = mynah_calloc((3 * n + 2) * size, sizeof(float));
  if (!plan->slots || !plan->rows) return MYNAH_NO_MEMORY;
  plan->pending = plan->rows + n * size;
  plan->incoming = plan->pending + n * size;
  plan->last = plan->incoming + n * size;
  plan->jump_max = plan->last + size;
  for (size_t k = 0; k < size; k++)
    plan->jump_max[k] = (float)plan->config.seam * (p->action_norm.max[k] - p->action_norm.min[k]);
  return MYNAH_OK;
}

mynah_status mynah_plan_create(const mynah_policy *p, const mynah_execute_config *config, mynah_plan **out) {
  mynah_execute_config resolved;
  MYNAH_TRY(mynah__execute_resolve(p, config, &resolved));
  mynah_plan *plan = mynah_calloc(1, sizeof *plan);
  if (!plan) return MYNAH_NO_MEMORY;
  plan->config = resolved;
  mynah_status status = fill(p, plan);
  if (status != MYNAH_OK) {
    mynah_plan_destroy(plan);
    return status;
  }
  mynah_plan_reset(plan);
  *out = plan;
  return MYNAH_OK;
}

void mynah_plan_destroy(mynah_plan *plan) {
  if (!plan) return;
  mynah_free(plan->slots);
  mynah_free(plan->rows);
  mynah_free(plan);
}

void mynah_plan_reset(mynah_plan *plan) {
  for (int64_t i = 0; i < plan->chunk; i++) plan->slots[i] = (planned){.step = -1};
  memset(plan->last, 0, (size_t)plan->size * sizeof(float));
  plan->step = 0;
  plan->newest = -1;
  plan->next_origin = 0;
  plan->pending_origin = -1;
  plan->has_arrived = false;
}

/* ---- entering the plan ----------------------------------------------------------------------------------------------- */

static planned *slot_of(mynah_plan *plan, int64_t step) { return &plan->slots[step % plan->chunk]; }
static float *row_of(mynah_plan *plan, int64_t step) { return plan->rows + step % plan->chunk * plan->size; }
static bool is_planned(mynah_plan *plan, int64_t step) {
  return slot_of(plan, step)->step == step && slot_of(plan, step)->count > 0;
}

static bool is_finite_row(const float *row, int64_t n) {
  for (int64_t k = 0; k < n; k++)
    if (!isfinite(row[k])) return false;
  return true;
}

/* An action that would jump by more than jump_max from `before` is brought as near as allowed; what was taken off is
 * given back linearly over the steps until the next chunk. Shape: rows (n, size), the first for the present step */
static void limit_seam(const mynah_plan *plan, const float *before, float *rows, int64_t n) {
  int64_t m = n < plan->config.steps ? n : plan->config.steps;
  for (int64_t k = 0; k < plan->size; k++) {
    float jump = rows[k] - before[k], limit = plan->jump_max[k];
    if (!(fabsf(jump) > limit)) continue;
    float excess = jump - copysignf(limit, jump);
    for (int64_t i = 0; i < m; i++) rows[i * plan->size + k] -= excess * (1 - (float)i / (float)m);
  }
}

/* Steps from the present one on, without a gap, that the plan covers already, `steps` at most. */
static int64_t overlap(mynah_plan *plan) {
  int64_t n = 0;
  while (n < plan->config.steps && is_planned(plan, plan->step + n)) n++;
  return n;
}

/* One action of the new chunk; share: of the new in what is mixed with the plan, unless weights say it. */
static void enter(mynah_plan *plan, const float *row, int64_t step, int64_t origin, float share) {
  planned *slot = slot_of(plan, step);
  float *to = row_of(plan, step);
  if (!is_planned(plan, step)) *slot = (planned){.step = step};
  if (plan->config.mode == MYNAH_EXECUTE_ENSEMBLE) {
    double weight = exp(-plan->config.ensemble_k * (double)slot->count);
    slot->weight += weight;
    share = (float)(weight / slot->weight);
  }
  bool is_mixed = slot->count > 0 && share < 1;
  for (int64_t k = 0; k < plan->size; k++) to[k] = is_mixed ? to[k] + share * (row[k] - to[k]) : row[k];
  slot->count = is_mixed ? slot->count + 1 : 1;
  slot->origin = origin;
}

bool mynah_plan_arrive(mynah_plan *plan, const float *chunk, int64_t origin) {
  int64_t passed = plan->step - origin, size = plan->size;
  if (origin <= plan->newest || passed < 0) return false;
  if (plan->chunk == 1) passed = 0; /* a policy of single actions: done when it comes */
  int64_t left = plan->chunk - passed;
  if (left <= 0) return false;
  float *rows = plan->incoming;
  memcpy(rows, chunk + passed * size, (size_t)(left * size) * sizeof(float));
  int mode = (int)plan->config.mode;
  bool fades = mode == MYNAH_EXECUTE_BLEND || (mode == MYNAH_EXECUTE_RTC && !plan->takes_prefix);
  bool has_before = is_planned(plan, plan->step) || plan->newest >= 0;
  if (plan->config.seam > 0 && has_before && is_finite_row(rows, size))
    limit_seam(plan, is_planned(plan, plan->step) ? row_of(plan, plan->step) : plan->last, rows, left);
  int64_t n_fade = fades ? overlap(plan) : 0;
  for (int64_t i = 0; i < left; i++) {
    if (!is_finite_row(rows + i * size, size)) continue;
    float share = i < n_fade ? (float)(i + 1) / (float)(n_fade + 1) : 1;
    enter(plan, rows + i * size, plan->step + i, origin, share);
  }
  plan->newest = origin;
  plan->has_arrived = true;
  return true;
}

/* ---- the course of an episode ---------------------------------------------------------------------------------------- */

static void deliver(mynah_plan *plan) {
  const mynah_execute_config *c = &plan->config;
  mynah_plan_arrive(plan, plan->pending, plan->pending_origin);
  int64_t next = plan->step + (c->steps > c->delay_steps ? c->steps - c->delay_steps : 0);
  plan->next_origin = next > plan->pending_origin ? next : plan->pending_origin + 1;
  plan->pending_origin = -1;
}

bool mynah_plan_begin(mynah_plan *plan) {
  if (plan->pending_origin >= 0 && plan->step >= plan->pending_origin + plan->config.delay_steps) deliver(plan);
  return plan->pending_origin < 0 && plan->step >= plan->next_origin;
}

int64_t mynah_plan_prefix(mynah_plan *plan, const float **rows) {
  int64_t n = 0;
  if (plan->config.mode != MYNAH_EXECUTE_RTC) return 0;
  for (; n < plan->config.delay_steps && is_planned(plan, plan->step + n); n++)
    memcpy(plan->incoming + n * plan->size, row_of(plan, plan->step + n), (size_t)plan->size * sizeof(float));
  *rows = plan->incoming;
  return n;
}

void mynah_plan_predicted(mynah_plan *plan, const float *chunk) {
  memcpy(plan->pending, chunk, (size_t)(plan->chunk * plan->size) * sizeof(float));
  plan->pending_origin = plan->step;
  if (plan->config.delay_steps == 0 || plan->newest < 0) deliver(plan); /* an episode waits for its first */
}

void mynah_plan_next(mynah_plan *plan, float *action, mynah_actor_source *source) {
  const mynah_execute_config *c = &plan->config;
  bool had_action = plan->step > 0;
  const planned *slot = slot_of(plan, plan->step);
  bool has_action = is_planned(plan, plan->step);
  if (has_action) memcpy(plan->last, row_of(plan, plan->step), (size_t)plan->size * sizeof(float));
  int64_t origin = has_action ? slot->origin : plan->newest;
  int64_t interval = c->steps > c->delay_steps ? c->steps : c->delay_steps;
  *source = (mynah_actor_source){.age_steps = origin < 0 ? -1 : plan->step - origin,
                                 .is_seam = plan->has_arrived && had_action,
                                 .is_stale = !has_action || plan->step - origin >= interval,
                                 .is_held = !has_action};
  memcpy(action, plan->last, (size_t)plan->size * sizeof(float));
  plan->has_arrived = false;
  plan->step++;
}
