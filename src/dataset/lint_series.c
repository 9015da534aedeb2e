/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What numbers and times of an episode tell: gaps, rests, jumps, ends of ranges, noise, lag, odd lengths. */
#include "lint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIN_FRAMES 8 /* fewer say nothing */
#define TWO_PI 6.283185307179586

/* ---- times ------------------------------------------------------------------------------------------------------- */

/* The median of `n` steps that end at `first`+1 …; uses l->scratch. */
static double median_step(lint *l, int64_t first, int64_t n) {
  for (int64_t t = 0; t < n; t++) l->scratch[t] = l->times[first + t + 1] - l->times[first + t];
  qsort(l->scratch, (size_t)n, sizeof *l->scratch, lint_by_value);
  return (double)l->scratch[n / 2];
}

static bool is_off(double a, double b, double share) { return a > b * (1 + share) || b > a * (1 + share); }

static mynah_status check_rate(lint *l, int64_t i, double usual) {
  double nominal = 1e9 / l->d->rate_hz;
  int64_t third = (l->n - 1) / 3;
  if (l->n < MIN_FRAMES) return MYNAH_OK;
  if (is_off(usual, nominal, l->c->drift_share))
    return lint_note(l, MYNAH_LINT_RATE_DRIFT, MYNAH_SEVERITY_WARNING, i, 0, l->n - 1,
                     "frames come at %.4g Hz, the file says %.4g Hz: resample, or correct the rate", 1e9 / usual,
                     l->d->rate_hz);
  if (third < 2 * MIN_FRAMES) return MYNAH_OK;
  double early = median_step(l, 0, third), late = median_step(l, l->n - 1 - third, third);
  if (!is_off(early, late, l->c->drift_share)) return MYNAH_OK;
  return lint_note(l, MYNAH_LINT_RATE_DRIFT, MYNAH_SEVERITY_WARNING, i, 0, l->n - 1,
                   "the rate drifts from %.4g to %.4g Hz: resample this episode", 1e9 / early, 1e9 / late);
}

mynah_status lint_times(lint *l, int64_t i) {
  int64_t n_gaps = 0, n_back = 0, n_same = 0, widest = -1, back = -1, same = -1;
  if (l->n < 2) return MYNAH_OK;
  double usual = median_step(l, 0, l->n - 1);
  if (usual <= 0) usual = 1e9 / l->d->rate_hz;
  for (int64_t t = 1; t < l->n; t++) {
    int64_t step = l->times[t] - l->times[t - 1];
    if (step < 0 && n_back++ == 0) back = t;
    if (step == 0 && n_same++ == 0) same = t;
    if ((double)step <= l->c->gap_factor * usual) continue;
    n_gaps++;
    if (widest < 0 || step > l->times[widest] - l->times[widest - 1]) widest = t;
  }
  if (n_back > 0)
    MYNAH_TRY(lint_note(l, MYNAH_LINT_TIME_REVERSAL, MYNAH_SEVERITY_ERROR, i, back - 1, back,
                        "time goes back by %.4g s (%lld times): split the episode there, or delete it",
                        (double)(l->times[back - 1] - l->times[back]) * 1e-9, (long long)n_back));
  else if (n_same > 0)
    MYNAH_TRY(lint_note(l, MYNAH_LINT_TIME_REVERSAL, MYNAH_SEVERITY_WARNING, i, same - 1, same,
                        "two frames have one time (%lld times): the clock is too coarse, or frames were doubled",
                        (long long)n_same));
  if (n_gaps > 0)
    MYNAH_TRY(
        lint_note(l, MYNAH_LINT_TIME_GAP, MYNAH_SEVERITY_WARNING, i, widest - 1, widest,
                  "%.4g s without a frame where %.4g s are usual (%lld gaps): trim or delete the episode, or resample",
                  (double)(l->times[widest] - l->times[widest - 1]) * 1e-9, usual * 1e-9, (long long)n_gaps));
  return check_rate(l, i, usual);
}

/* ---- first pass: each column --------------------------------------------------------------------------------------
 */

static double step_of(const lint *l, const lint_column *c, int64_t t, int k) {
  double step = (double)l->x[t * l->n_columns + k] - (double)l->x[(t - 1) * l->n_columns + k];
  return c->is_angle ? remainder(step, TWO_PI) : step;
}

static int step_bin(double step) {
  if (step == 0) return 0;
  double bin = 4 * log2(fabs(step)) + LINT_STEP_BINS / 2.0;
  return bin < 0 ? 0 : bin >= LINT_STEP_BINS ? LINT_STEP_BINS - 1 : (int)bin;
}

static void add_value(lint_column *c, float v) {
  double x = (double)v;
  if (c->n == 0 || x < c->min) c->min = x, c->n_at_min = 0;
  if (c->n == 0 || x > c->max) c->max = x, c->n_at_max = 0;
  c->n_at_min += x == c->min;
  c->n_at_max += x == c->max;
  c->n++;
  c->sum += x;
  c->squares += x * x;
  for (int i = 0; i < c->n_distinct; i++)
    if (c->distinct[i] == v) return;
  if (c->n_distinct < LINT_DISTINCT) c->distinct[c->n_distinct++] = v;
}

mynah_status lint_gather(lint *l, int64_t i) {
  for (int k = 0; k < l->n_columns; k++) {
    lint_column *c = &l->columns[k];
    int64_t first = -1, n_bad = 0;
    for (int64_t t = 0; t < l->n; t++) {
      float v = l->x[t * l->n_columns + k];
      if (!isfinite(v)) {
        if (n_bad++ == 0) first = t;
        continue;
      }
      add_value(c, v);
      if (t > 0 && isfinite(l->x[(t - 1) * l->n_columns + k])) c->steps[step_bin(step_of(l, c, t, k))]++;
    }
    if (n_bad > 0)
      MYNAH_TRY(lint_note(l, MYNAH_LINT_NONFINITE, MYNAH_SEVERITY_ERROR, i, first, first,
                          "%s is not a finite number (%lld frames): trim or delete the episode", lint_column_name(l, k),
                          (long long)n_bad));
  }
  return MYNAH_OK;
}

/* ---- second pass: motion ------------------------------------------------------------------------------------------
 */

static bool is_watched(const lint_column *c) { return (c->is_state || c->is_action) && lint_range(c) > 0; }

bool lint_moves(const lint *l, int64_t first, int64_t last) {
  for (int k = 0; k < l->n_columns; k++) {
    if (!is_watched(&l->columns[k])) continue;
    float low = l->x[first * l->n_columns + k], high = low;
    for (int64_t t = first + 1; t <= last; t++) {
      low = fminf(low, l->x[t * l->n_columns + k]);
      high = fmaxf(high, l->x[t * l->n_columns + k]);
    }
    if ((double)(high - low) > l->c->idle_share * lint_range(&l->columns[k])) return true;
  }
  return false;
}

/* From `first` on, the frame after the last one until which nothing leaves its share of the range. */
static int64_t end_of_rest(const lint *l, int64_t first) {
  float low[LINT_COLUMNS], high[LINT_COLUMNS];
  for (int k = 0; k < l->n_columns; k++) low[k] = high[k] = l->x[first * l->n_columns + k];
  for (int64_t t = first + 1; t < l->n; t++)
    for (int k = 0; k < l->n_columns; k++) {
      float v = l->x[t * l->n_columns + k];
      low[k] = fminf(low[k], v);
      high[k] = fmaxf(high[k], v);
      if (is_watched(&l->columns[k]) && (double)(high[k] - low[k]) > l->c->idle_share * lint_range(&l->columns[k]))
        return t;
    }
  return l->n;
}

static mynah_status find_idle(lint *l, int64_t i) {
  int64_t best = 0, best_end = 0, n_found = 0, least = (int64_t)ceil(l->c->idle_s * l->d->rate_hz);
  if (least < MIN_FRAMES) least = MIN_FRAMES;
  bool has_watched = false;
  for (int k = 0; k < l->n_columns; k++) has_watched = has_watched || is_watched(&l->columns[k]);
  for (int64_t first = 0, end; has_watched && first < l->n; first = end) {
    end = end_of_rest(l, first);
    bool is_cruising = false;
    if (end - first < least) continue;
    if (l->c->pictures) MYNAH_TRY(lint_sees_motion(l, i, first, end - 1, &is_cruising));
    if (is_cruising) continue;
    n_found++;
    if (end - first > best_end - best) best = first, best_end = end;
  }
  if (n_found == 0) return MYNAH_OK;
  return lint_note(l, MYNAH_LINT_IDLE, MYNAH_SEVERITY_WARNING, i, best, best_end - 1,
                   "nothing moves for %.3g s (%lld such stretches): trim it, or the clone learns to wait",
                   (double)(best_end - best) / l->d->rate_hz, (long long)n_found);
}

/* The size that 98 of 100 steps stay under: the upper edge of its bin. What rests most of the time is a switch, and
 * any step of it usual. */
static double usual_step(const lint_column *c) {
  int64_t n = 0, seen = 0;
  for (int b = 0; b < LINT_STEP_BINS; b++) n += c->steps[b];
  if (2 * c->steps[0] > n) return INFINITY;
  for (int b = 0; b < LINT_STEP_BINS; b++)
    if ((double)(seen += c->steps[b]) >= 0.98 * (double)n) return b == 0 ? 0 : exp2((b + 1 - LINT_STEP_BINS / 2) / 4.0);
  return INFINITY;
}

static mynah_status find_jumps(lint *l, int64_t i, int k) {
  lint_column *c = &l->columns[k];
  double least = fmax(l->c->jump_share * lint_range(c), 10 * usual_step(c));
  int64_t worst = -1, n_found = 0;
  if (!lint_is_continuous(c)) return MYNAH_OK;
  for (int64_t t = 1; t < l->n; t++) {
    double step = fabs(step_of(l, c, t, k));
    if (!(step > least)) continue;
    if (n_found++ == 0 || step > fabs(step_of(l, c, worst, k))) worst = t;
  }
  if (n_found == 0) return MYNAH_OK;
  double step = step_of(l, c, worst, k);
  bool is_turn = fabs(fabs(step) - TWO_PI) < 0.3;
  return lint_note(l, MYNAH_LINT_JUMP, MYNAH_SEVERITY_WARNING, i, worst - 1, worst,
                   "%s jumps by %.4g, %.3g of its range (%lld times): %s", lint_column_name(l, k), step,
                   fabs(step) / lint_range(c), (long long)n_found,
                   is_turn ? "an angle that wraps? say so where it is described"
                           : "split the episode there, or delete it");
}

/* White noise of deviation s makes differences that alternate (correlation −1/2) and second ones of deviation s√6. */
static mynah_status find_noise(lint *l, int64_t i, int k) {
  const lint_column *c = &l->columns[k];
  if (!c->is_action || !lint_is_continuous(c) || l->n < 4 * MIN_FRAMES) return MYNAH_OK;
  double alternating = 0, squares = 0;
  for (int64_t t = 1; t + 1 < l->n; t++) {
    double a = step_of(l, c, t, k), b = step_of(l, c, t + 1, k);
    alternating += a * b;
    squares += (a * a + b * b) / 2;
    l->scratch[t - 1] = isfinite(b - a) ? (int64_t)(fabs(b - a) / lint_range(c) * 1e12) : 0;
  }
  qsort(l->scratch, (size_t)l->n - 2, sizeof *l->scratch, lint_by_value);
  double noise = (double)l->scratch[(l->n - 2) / 2] * 1e-12 * lint_range(c) / 0.6745 / sqrt(6), mean = c->sum / c->n;
  double spread = sqrt(fmax(0, c->squares / c->n - mean * mean));
  if (!(noise > l->c->noise_share * spread) || alternating > -0.25 * squares) return MYNAH_OK;
  return lint_note(l, MYNAH_LINT_LABEL_NOISE, MYNAH_SEVERITY_WARNING, i, 0, l->n - 1,
                   "%s shakes from frame to frame by %.3g of its spread: record the clean command, or smooth it",
                   lint_column_name(l, k), noise / spread);
}

static void add_lags(lint *l, lint_pair *p) {
  const lint_column *a = &l->columns[p->action], *s = &l->columns[p->state];
  double mean_a = a->sum / a->n, mean_s = s->sum / s->n;
  for (int lag = -l->n_lags; lag <= l->n_lags; lag++)
    for (int64_t t = lag < 0 ? -lag : 0; t < l->n && t + lag < l->n; t++) {
      double x = (double)l->x[t * l->n_columns + p->action] - mean_a;
      double y = (double)l->x[(t + lag) * l->n_columns + p->state] - mean_s;
      if (!isfinite(x * y)) continue;
      p->product[lag + l->n_lags] += x * y;
      p->actions[lag + l->n_lags] += x * x;
      p->states[lag + l->n_lags] += y * y;
    }
}

mynah_status lint_motion(lint *l, int64_t i) {
  MYNAH_TRY(find_idle(l, i));
  for (int k = 0; k < l->n_columns; k++) {
    MYNAH_TRY(find_jumps(l, i, k));
    MYNAH_TRY(find_noise(l, i, k));
  }
  for (int p = 0; p < l->n_pairs; p++) add_lags(l, &l->pairs[p]);
  return MYNAH_OK;
}

/* ---- the set as a whole -------------------------------------------------------------------------------------------
 */

mynah_status lint_columns(lint *l) {
  int64_t last = mynah_dataset_n_frames(l->d) - 1;
  for (int k = 0; k < l->n_columns && last > 0; k++) {
    const lint_column *c = &l->columns[k];
    mynah_severity severity = c->is_action ? MYNAH_SEVERITY_WARNING : MYNAH_SEVERITY_INFO;
    double share = fmax(c->min != 0 ? c->n_at_min : 0, c->max != 0 ? c->n_at_max : 0) / c->n;
    if (c->n == 0) continue;
    if (lint_range(c) <= 1e-9 * fabs(c->max))
      MYNAH_TRY(lint_note(l, MYNAH_LINT_CONSTANT, severity, -1, 0, last,
                          "%s is always %.6g: leave it out (data select)", lint_column_name(l, k), c->max));
    else if (lint_is_continuous(c) && share > l->c->saturated_share)
      MYNAH_TRY(lint_note(l, MYNAH_LINT_SATURATED, severity, -1, 0, last,
                          "%s sits at the end of its range (%.4g … %.4g) in %.0f%% of the frames: is it clipped?",
                          lint_column_name(l, k), c->min, c->max, 100 * share));
  }
  return MYNAH_OK;
}

static double correlation(const lint_pair *p, int at) {
  double d = sqrt(p->actions[at] * p->states[at]);
  return d > 0 ? p->product[at] / d : 0;
}

/* Flat peaks say nothing: the best lag must leave half of what lag 0 leaves unexplained. */
mynah_status lint_lag(lint *l) {
  int64_t last = mynah_dataset_n_frames(l->d) - 1;
  for (int i = 0; i < l->n_pairs; i++) {
    const lint_pair *p = &l->pairs[i];
    int best = l->n_lags;
    for (int at = 0; at <= 2 * l->n_lags; at++)
      if (correlation(p, at) > correlation(p, best)) best = at;
    double peak = correlation(p, best), zero = correlation(p, l->n_lags);
    int lag = best - l->n_lags;
    bool is_late = (double)lag > l->c->lag_s * l->d->rate_hz, is_early = lag <= -2;
    if (peak < 0.8 || 1 - peak > 0.5 * (1 - zero) || (!is_late && !is_early)) continue;
    char name[MYNAH_NAME_MAX + 96];
    MYNAH_TRY(mynah_copy_text(name, sizeof name, lint_column_name(l, p->action)));
    MYNAH_TRY(lint_note(
        l, MYNAH_LINT_LAG, MYNAH_SEVERITY_WARNING, -1, 0, last, "%s %s %s by %d frames (%.3g s, correlation %.2f): %s",
        lint_column_name(l, p->state), is_late ? "follows" : "runs ahead of", name, abs(lag), abs(lag) / l->d->rate_hz,
        peak, is_late ? "a slow robot or late states: shift the actions" : "actions were stored late: shift them"));
  }
  return MYNAH_OK;
}

mynah_status lint_lengths(lint *l) {
  size_t n = l->d->n_episodes;
  if (n < 5) return MYNAH_OK;
  MYNAH_TRY(mynah_grow((void **)&l->scratch, &l->cap_scratch, n, sizeof *l->scratch));
  for (size_t i = 0; i < n; i++) l->scratch[i] = l->d->episodes[i].n_frames;
  qsort(l->scratch, n, sizeof *l->scratch, lint_by_value);
  double middle = (double)l->scratch[n / 2];
  for (size_t i = 0; i < n; i++)
    l->scratch[i] = (int64_t)(1e6 * fabs(log((double)l->d->episodes[i].n_frames / middle)));
  qsort(l->scratch, n, sizeof *l->scratch, lint_by_value);
  double least = fmax(log(2), 5 * 1.4826e-6 * (double)l->scratch[n / 2]);
  for (size_t i = 0; i < n; i++) {
    int64_t frames = l->d->episodes[i].n_frames;
    if (fabs(log((double)frames / middle)) < least) continue;
    MYNAH_TRY(lint_note(l, MYNAH_LINT_LENGTH_OUTLIER, MYNAH_SEVERITY_WARNING, (int64_t)i, 0, frames - 1,
                        "%lld frames where %.0f are usual: %s", (long long)frames, middle,
                        (double)frames < middle ? "was it broken off? delete it"
                                                : "is it several, or does it wait? split or trim it"));
  }
  return MYNAH_OK;
}
