/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is wrong with demonstrations, said before training: two passes over the episodes, then a look at all together.
 */
#include "lint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_lint_config, type, field, name, value, low, high, unit, help)
static const mynah_key lint_keys[] = {MYNAH_LINT_CONFIG_KEYS(LINT_ROW)};
const mynah_config_table mynah_lint_table = {"lint", lint_keys, sizeof lint_keys / sizeof *lint_keys,
                                             sizeof(mynah_lint_config)};

const char *mynah_lint_kind_name(mynah_lint_kind kind) {
#define LINT_NAME(name, text) text,
  static const char *const names[] = {MYNAH_LINT_MAP(LINT_NAME)};
  return (unsigned)kind < MYNAH_LINT_KINDS ? names[kind] : "";
}

const char *mynah_severity_name(mynah_severity s) {
  static const char *const names[] = {"info", "warning", "error"};
  return (unsigned)s < 3 ? names[s] : "";
}

mynah_status lint_note(lint *l, mynah_lint_kind kind, mynah_severity severity, int64_t episode, int64_t first,
                       int64_t last, const char *format, ...) {
  mynah_lint_report *r = l->report;
  if (severity > r->worst) r->worst = severity;
  r->n_found++;
  if (l->n_of_kind[kind]++ >= l->c->limit) return MYNAH_OK;
  MYNAH_TRY(mynah_grow((void **)&r->findings, &r->capacity, r->n + 1, sizeof *r->findings));
  mynah_finding *f = &r->findings[r->n++];
  *f = (mynah_finding){kind, severity, episode < 0 ? -1 : l->d->episodes[episode].id, {first, last}, ""};
  va_list list;
  va_start(list, format);
  vsnprintf(f->advice, sizeof f->advice, format, list);
  va_end(list);
  return MYNAH_OK;
}

double lint_range(const lint_column *c) { return c->n > 0 ? c->max - c->min : 0; }
bool lint_is_continuous(const lint_column *c) { return c->n_distinct >= LINT_DISTINCT && lint_range(c) > 0; }

int lint_by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Element i of "a,b,c" as {start, length}. */
static int name_part(const char *names, int i, const char **start) {
  for (; i > 0 && names; i--) names = (names = strchr(names, ',')) ? names + 1 : NULL;
  *start = names ? names : "";
  return (int)strcspn(*start, ",");
}

const char *lint_column_name(const lint *l, int column) {
  static _Thread_local char text[MYNAH_NAME_MAX + 96];
  const lint_column *c = &l->columns[column];
  const mynah_feature *f = &l->d->features[c->feature];
  const char *part;
  int n = name_part(f->names, c->element, &part);
  snprintf(text, sizeof text, "%s[%d]%s%.*s%s", f->name, c->element, n ? " (" : "", n > 60 ? 60 : n, part,
           n ? ")" : "");
  return text;
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

/* Counters, flags of the end and rewards move by their own rules. */
static bool is_bookkeeping(const char *name) {
  static const char *const names[] = {"timestamp", "frame_index", "episode_index", "index", "task_index"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return strncmp(name, "next.", 5) == 0;
}

static void add_columns(lint *l, int feature, bool has_state) {
  const mynah_feature *f = &l->d->features[feature];
  if (f->is_image || is_bookkeeping(f->name)) return;
  bool is_action = strncmp(f->name, "action", 6) == 0;
  bool is_state = has_state ? strcmp(f->name, "observation.state") == 0 : !is_action;
  for (int64_t k = 0; k < mynah_feature_size(f) && l->n_columns < LINT_COLUMNS; k++)
    l->columns[l->n_columns++] = (lint_column){.feature = feature,
                                               .element = (int)k,
                                               .is_action = is_action,
                                               .is_state = is_state,
                                               .is_angle = k < 64 && (f->angle_mask >> k & 1)};
}

/* An action's element commands the state's of the same name ("x", "agent_x"), or without names that of its number. */
static bool commands(const lint *l, const lint_column *a, const lint_column *s) {
  const mynah_feature *fa = &l->d->features[a->feature], *fs = &l->d->features[s->feature];
  const char *pa, *ps;
  int na = name_part(fa->names, a->element, &pa), ns = name_part(fs->names, s->element, &ps);
  if (na == 0 || ns == 0) return mynah_feature_size(fa) == mynah_feature_size(fs) && a->element == s->element;
  return ns >= na && strncmp(ps + ns - na, pa, (size_t)na) == 0 && (ns == na || strchr("_./ ", ps[ns - na - 1]));
}

static mynah_status find_pairs(lint *l) {
  l->n_lags = (int)fmin(LINT_LAG_MAX, ceil(l->d->rate_hz));
  for (int a = 0; a < l->n_columns; a++)
    for (int s = 0; s < l->n_columns; s++) {
      size_t before = (size_t)l->n_pairs;
      if (!l->columns[a].is_action || !l->columns[s].is_state || !commands(l, &l->columns[a], &l->columns[s])) continue;
      lint_pair *grown = mynah_realloc(l->pairs, before + 1, sizeof *grown);
      if (!grown) return MYNAH_NO_MEMORY;
      l->pairs = grown;
      l->pairs[l->n_pairs++] = (lint_pair){.action = a, .state = s};
    }
  return MYNAH_OK;
}

static mynah_status set_up(lint *l) {
  bool has_state = mynah_dataset_find(l->d, "observation.state") != NULL;
  if (!(l->columns = mynah_calloc(LINT_COLUMNS, sizeof *l->columns))) return MYNAH_NO_MEMORY;
  for (int i = 0; i < l->d->n_features; i++) add_columns(l, i, has_state);
  l->stride = mynah_dataset_n_frames(l->d) / 2500 + 1;
  size_t each = (size_t)LINT_SIGNATURE * (size_t)(l->n_columns + 1);
  if (!(l->signatures = mynah_calloc(l->d->n_episodes, each * sizeof *l->signatures))) return MYNAH_NO_MEMORY;
  return find_pairs(l);
}

/* ---- episodes ---------------------------------------------------------------------------------------------------- */

static mynah_status load_episode(lint *l, int64_t i) {
  size_t n = (size_t)l->d->episodes[i].n_frames, total;
  if (!mynah_mul_size(n, (size_t)l->n_columns + 1, &total))
    return mynah_fail(MYNAH_LIMIT, "%s: an episode is too long", l->d->path);
  MYNAH_TRY(mynah_grow((void **)&l->x, &l->cap_x, total, sizeof *l->x));
  MYNAH_TRY(mynah_grow((void **)&l->times, &l->cap_times, n, sizeof *l->times));
  MYNAH_TRY(mynah_grow((void **)&l->scratch, &l->cap_scratch, n, sizeof *l->scratch));
  l->n = (int64_t)n;
  for (int k = 0; k < l->n_columns; k++) {
    const lint_column *c = &l->columns[k];
    const mynah_feature *f = &l->d->features[c->feature];
    size_t each = mynah_dtype_bytes(f->dtype), bytes = mynah_feature_bytes(f);
    for (int64_t t = 0; t < l->n; t++) {
      const mynah__block *b;
      MYNAH_TRY(mynah__read_block(l->d, &l->d->episodes[i], c->feature, t, &b));
      const uint8_t *row = b->data + (size_t)(t - b->start) * bytes;
      l->x[t * l->n_columns + k] = (float)mynah__to_double(f->dtype, row + (size_t)c->element * each);
    }
  }
  return mynah_dataset_read_times(l->d, i, 0, l->n, l->times);
}

static mynah_status first_pass(lint *l, int64_t i) {
  MYNAH_TRY(lint_times(l, i));
  return lint_gather(l, i);
}

static mynah_status second_pass(lint *l, int64_t i) {
  MYNAH_TRY(lint_motion(l, i));
  MYNAH_TRY(lint_keep(l, i));
  return l->c->pictures ? lint_pictures(l, i) : MYNAH_OK;
}

static mynah_status look(lint *l, const int8_t *parts, const mynah_progress *progress) {
  static mynah_status (*const passes[2])(lint *, int64_t) = {first_pass, second_pass};
  double n = (double)l->d->n_episodes;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < (int64_t)l->d->n_episodes; i++) {
      if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: lint was interrupted", l->d->path);
      MYNAH_TRY(load_episode(l, i));
      MYNAH_TRY(passes[pass](l, i));
      mynah_progress_tell(progress, "lint", pass * n + (double)i + 1, 2 * n, "episodes", "");
    }
  MYNAH_TRY(lint_columns(l));
  MYNAH_TRY(lint_lag(l));
  MYNAH_TRY(lint_lengths(l));
  MYNAH_TRY(lint_duplicates(l, parts));
  return lint_conflicts(l);
}

/* What most episodes have is a property of the set: said once. */
static void gather_common(lint *l) {
  mynah_lint_report *r = l->report;
  for (int kind = 0; kind < MYNAH_LINT_KINDS; kind++) {
    bool is_common = l->n_of_kind[kind] >= 8 && 2 * l->n_of_kind[kind] > (int64_t)l->d->n_episodes;
    for (size_t i = 0; i < r->n && is_common; i++) {
      mynah_finding *f = &r->findings[i];
      if ((int)f->kind != kind || f->episode < 0) continue;
      char text[sizeof f->advice];
      memcpy(text, f->advice, sizeof text);
      snprintf(f->advice, sizeof f->advice, "%lld times, first in episode %lld: %.250s", (long long)l->n_of_kind[kind],
               (long long)f->episode, text);
      f->episode = -1;
      f->frames[0] = 0;
      f->frames[1] = mynah_dataset_n_frames(l->d) - 1;
      break;
    }
    size_t kept = 0;
    for (size_t i = 0; i < r->n && is_common; i++)
      if ((int)r->findings[i].kind != kind || r->findings[i].episode < 0) r->findings[kept++] = r->findings[i];
    if (is_common) r->n = kept, r->n_found -= l->n_of_kind[kind] - 1;
  }
}

/* The worst first, then by place. */
static int by_weight(const void *a, const void *b) {
  const mynah_finding *x = a, *y = b;
  if (x->severity != y->severity) return x->severity < y->severity ? 1 : -1;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  if (x->episode != y->episode) return x->episode < y->episode ? -1 : 1;
  return (x->frames[0] > y->frames[0]) - (x->frames[0] < y->frames[0]);
}

mynah_status mynah_dataset_lint(mynah_dataset *d, const mynah_lint_config *config, const int8_t *parts,
                                const mynah_progress *progress, mynah_lint_report *out) {
  if (d->n_episodes == 0) return mynah_fail(MYNAH_INVALID, "%s: has no episodes", d->path);
  mynah_lint_report report = {0};
  lint *l = mynah_calloc(1, sizeof *l);
  if (!l) return MYNAH_NO_MEMORY;
  l->d = d;
  l->c = config;
  l->report = &report;
  mynah_status status = set_up(l);
  if (status == MYNAH_OK) status = look(l, parts, progress);
  if (status == MYNAH_OK) gather_common(l);
  void *const blocks[] = {l->columns,        l->pairs,        l->x,     l->times, l->scratch, l->signatures, l->samples,
                          l->sample_episode, l->sample_frame, l->grams, l};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mynah_free(blocks[i]);
  if (status != MYNAH_OK) {
    mynah_lint_report_deinit(&report);
    return status;
  }
  if (report.n > 0) qsort(report.findings, report.n, sizeof *report.findings, by_weight);
  *out = report;
  return MYNAH_OK;
}

void mynah_lint_report_deinit(mynah_lint_report *r) {
  mynah_free(r->findings);
  *r = (mynah_lint_report){0};
}

mynah_json *mynah_lint_report_to_json(const mynah_lint_report *r) {
  mynah_json *list = mynah_json_array();
  for (size_t i = 0; i < r->n; i++) {
    const mynah_finding *f = &r->findings[i];
    mynah_json *j = mynah_json_object(), *frames = mynah_json_array();
    mynah_json_append(frames, mynah_json_integer(f->frames[0]));
    mynah_json_append(frames, mynah_json_integer(f->frames[1]));
    mynah_json_set(j, "kind", mynah_json_string(mynah_lint_kind_name(f->kind)));
    mynah_json_set(j, "episode", f->episode < 0 ? mynah_json_null() : mynah_json_integer(f->episode));
    mynah_json_set(j, "frames", frames);
    mynah_json_set(j, "severity", mynah_json_string(mynah_severity_name(f->severity)));
    mynah_json_set(j, "advice", mynah_json_string(f->advice));
    mynah_json_append(list, j);
  }
  return list;
}
