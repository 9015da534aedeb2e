/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The drift meter's page: curves over time, fits of growth, the alarm's scores, a table of intervals. */
#include "drift.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BINS 30

/* The member along a path of at most three keys, NULL: absent. */
static const mynah_json *at(const mynah_json *j, const char *a, const char *b, const char *c) {
  const char *const keys[] = {a, b, c};
  for (int i = 0; i < 3 && j && keys[i]; i++) j = mynah_json_get(j, keys[i]);
  return j;
}

static double number_at(const mynah_json *j, const char *a, const char *b, const char *c) {
  return mynah_json_to_number(at(j, a, b, c), NAN);
}

/* ---- curves --------------------------------------------------------------------------------------------------------- */

static mynah_json *point(double x, double y) { return mynah_json_numbers((double[]){x, y}, 2); }

static void add_points(mynah_json *list, const char *who, const char *what, mynah_json *points) {
  char name[128];
  mynah_json *j = mynah_json_object();
  snprintf(name, sizeof name, "%s: %s", who, what);
  mynah_json_set(j, "name", mynah_json_string(name));
  mynah_json_set(j, "points", points);
  mynah_json_append(list, j);
}

/* A curve over the result's times. */
static void add_series(mynah_json *list, const mynah_json *result, const char *who, const char *what, const mynah_json *curve) {
  const mynah_json *times = mynah_json_get(result, "time_s");
  mynah_json *points = mynah_json_array();
  for (size_t i = 0; curve && i < mynah_json_size(curve); i++)
    mynah_json_append(points, point(mynah_json_to_number(mynah_json_at(times, i), NAN),
                                    mynah_json_to_number(mynah_json_at(curve, i), NAN)));
  if (curve) add_points(list, who, what, points);
  else mynah_json_destroy(points);
}

/* Accumulated error as measured and as the best law says. */
static void add_growth(mynah_json *list, const mynah_json *result, const char *who) {
  const mynah_json *growth = mynah_json_get(result, "growth"), *curve = at(growth, "curve", NULL, NULL);
  const char *best = mynah_json_to_string(at(growth, "best", NULL, NULL), "");
  double dt_s = 1 / mynah_json_to_number(mynah_json_get(result, "rate_hz"), NAN);
  double a = number_at(growth, best, "a", "value"), b = number_at(growth, best, "b", "value");
  double c = number_at(growth, best, "c", "value");
  mynah_json *measured = mynah_json_array(), *fitted = mynah_json_array();
  for (size_t i = 0; curve && i < mynah_json_size(curve); i++) {
    double t = (double)(i + 1) * dt_s, y = isfinite(c) ? a * expm1(c * t) : a * t + (isfinite(b) ? b * t * t : 0);
    mynah_json_append(measured, point(t, mynah_json_to_number(mynah_json_at(curve, i), NAN)));
    mynah_json_append(fitted, point(t, y));
  }
  add_points(list, who, "accumulated", measured);
  add_points(list, who, best, fitted);
}

static mynah_json *chart(mynah_json *charts, const char *title, const char *y) {
  mynah_json *j = mynah_json_object(), *series = mynah_json_array();
  mynah_json_set(j, "title", mynah_json_string(title));
  mynah_json_set(j, "x", mynah_json_string("time, s"));
  mynah_json_set(j, "y", mynah_json_string(y));
  mynah_json_set(j, "series", series);
  mynah_json_append(charts, j);
  return series;
}

static mynah_json *curves(const drift_page *p) {
  mynah_json *charts = mynah_json_array();
  bool has_growth = at(p->results[0], "growth", NULL, NULL) != NULL;
  mynah_json *errors = chart(charts, "Error of the action", "share of the demonstrated range");
  mynah_json *growth = has_growth ? chart(charts, "Accumulated error at its own states", "share s") : NULL;
  mynah_json *distance = at(p->results[0], "distance", NULL, NULL)
                             ? chart(charts, "Distance to the nearest demonstrated frame", "deviations") : NULL;
  for (int i = 0; i < p->n; i++) {
    const mynah_json *r = p->results[i];
    add_series(errors, r, p->names[i], "at the expert's states", at(r, "expert_states", "curve", NULL));
    add_series(errors, r, p->names[i], "at its own states", at(r, "own_states", "curve", NULL));
    if (growth) add_growth(growth, r, p->names[i]);
    if (!distance) continue;
    add_series(distance, r, p->names[i], "the expert drives", at(r, "distance", "expert", "curve"));
    add_series(distance, r, p->names[i], "it drives", at(r, "distance", "own", "curve"));
  }
  return charts;
}

/* ---- the alarm's scores --------------------------------------------------------------------------------------------- */

static mynah_json *counts(const mynah_json *scores, double high) {
  double bins[BINS] = {0};
  for (size_t i = 0; scores && i < mynah_json_size(scores); i++) {
    int k = (int)(mynah_json_to_number(mynah_json_at(scores, i), 0) / high * BINS);
    bins[k < 0 ? 0 : k >= BINS ? BINS - 1 : k]++;
  }
  return mynah_json_numbers(bins, BINS);
}

static mynah_json *histogram(const drift_page *p, int i) {
  static const char *const kinds[] = {"success", "failure"};
  mynah_json *j = mynah_json_object(), *series = mynah_json_array();
  double edges[BINS + 1], high = 1e-9;
  char title[160];
  for (int k = 0; k < 2; k++) {
    const mynah_json *scores = at(p->results[i], "alarm", "scores", kinds[k]);
    for (size_t s = 0; scores && s < mynah_json_size(scores); s++)
      high = fmax(high, mynah_json_to_number(mynah_json_at(scores, s), 0));
  }
  for (int b = 0; b <= BINS; b++) edges[b] = high * b / BINS;
  for (int k = 0; k < 2; k++) {
    mynah_json *one = mynah_json_object();
    mynah_json_set(one, "name", mynah_json_string(kinds[k]));
    mynah_json_set(one, "counts", counts(at(p->results[i], "alarm", "scores", kinds[k]), high));
    mynah_json_append(series, one);
  }
  double threshold = number_at(p->results[i], "alarm", "threshold", NULL);
  int n = snprintf(title, sizeof title, "Highest alarm score of an episode, %s; ", p->names[i]);
  if (isfinite(threshold)) snprintf(title + n, sizeof title - (size_t)n, "threshold %.3g", threshold);
  else snprintf(title + n, sizeof title - (size_t)n, "too few successes for a threshold");
  mynah_json_set(j, "title", mynah_json_string(title));
  mynah_json_set(j, "edges", mynah_json_numbers(edges, BINS + 1));
  mynah_json_set(j, "series", series);
  return j;
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

/* "0.12 [0.10, 0.14]", with "k of n" before it where there is one. */
static void cell(char *out, size_t size, const mynah_json *j, const char *key) {
  const mynah_json *ci = at(j, "ci", NULL, NULL);
  int64_t n = mynah_json_to_integer(at(j, "n", NULL, NULL), 0);
  char of[64] = "";
  if (n > 0)
    snprintf(of, sizeof of, "%lld of %lld = ", (long long)mynah_json_to_integer(at(j, "k", NULL, NULL), 0), (long long)n);
  if (!isfinite(number_at(j, key, NULL, NULL))) snprintf(out, size, "–");
  else if (!ci) snprintf(out, size, "%.3g", number_at(j, key, NULL, NULL));
  else
    snprintf(out, size, "%s%.3f [%.3f, %.3f]", of, number_at(j, key, NULL, NULL),
             mynah_json_to_number(mynah_json_at(ci, 0), NAN), mynah_json_to_number(mynah_json_at(ci, 1), NAN));
}

/* The first rate among an evaluation's metrics, whatever the task calls it. */
static const mynah_json *first_rate(const mynah_json *result, const char **name) {
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(result, i, name, &value); i++)
    if (mynah_json_get(value, "rate")) return value;
  *name = "success";
  return NULL;
}

static void add_row(const drift_page *p, mynah_json *rows, const char *name, const mynah_json *const *values, const char *key) {
  char cells[DRIFT_POLICIES][128];
  const char *pointers[DRIFT_POLICIES + 1] = {name};
  for (int i = 0; i < p->n; i++) {
    cell(cells[i], sizeof cells[i], values[i], key);
    pointers[i + 1] = cells[i];
  }
  mynah_json_append(rows, tool_text_row(pointers, p->n + 1));
}

static void add_stress_rows(const drift_page *p, mynah_json *rows) {
  const mynah_json *first = at(p->results[0], "stress", NULL, NULL), *values[DRIFT_POLICIES];
  for (size_t s = 0; first && s < mynah_json_size(first); s++) {
    char name[128];
    const char *rate = "";
    for (int i = 0; i < p->n; i++) values[i] = first_rate(mynah_json_at(at(p->results[i], "stress", NULL, NULL), s), &rate);
    const char *kind = mynah_json_to_string(at(mynah_json_at(first, s), "kind", NULL, NULL), "");
    if (strcmp(kind, "none") == 0) snprintf(name, sizeof name, "%s undisturbed", rate);
    else snprintf(name, sizeof name, "%s with %s %.3g", rate, kind, number_at(mynah_json_at(first, s), "value", NULL, NULL));
    add_row(p, rows, name, values, "rate");
  }
}

static mynah_json *table(const drift_page *p) {
  static const struct {
    const char *name, *path[3], *key;
  } rows[] = {{"error at the expert's states, share of range", {"expert_states"}, "error"},
              {"error at its own states", {"own_states"}, "error"},
              {"own / expert's", {"ratio"}, "value"},
              {"order p of the accumulated error, t^p", {"growth", "order"}, "value"},
              {"distance to demonstrations, the expert drives", {"distance", "expert"}, "distance"},
              {"distance to demonstrations, it drives", {"distance", "own"}, "distance"},
              {"pushes recovered from", {"recovery", "clone"}, "rate"},
              {"pushes the expert recovers from", {"recovery", "expert"}, "rate"},
              {"false alarms on successes not calibrated on", {"alarm", "false_alarms"}, "rate"},
              {"failures foreseen", {"alarm", "detected"}, "rate"},
              {"balanced accuracy of the alarm", {"alarm"}, "balanced_accuracy"},
              {"median time from alarm to failure, s", {"alarm"}, "lead_s"},
              {"alarm by chunks that disagree: false alarms", {"chunk_alarm", "false_alarms"}, "rate"},
              {"its failures foreseen", {"chunk_alarm", "detected"}, "rate"},
              {"its balanced accuracy", {"chunk_alarm"}, "balanced_accuracy"}};
  mynah_json *j = mynah_json_object(), *list = mynah_json_array();
  const mynah_json *values[DRIFT_POLICIES];
  const char *columns[DRIFT_POLICIES + 1] = {"measured"}, *name = "";
  for (int i = 0; i < p->n; i++) columns[i + 1] = p->names[i], values[i] = first_rate(p->results[i], &name);
  add_row(p, list, name, values, "rate");
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    for (int i = 0; i < p->n; i++) values[i] = at(p->results[i], rows[r].path[0], rows[r].path[1], rows[r].path[2]);
    add_row(p, list, rows[r].name, values, rows[r].key);
  }
  add_stress_rows(p, list);
  mynah_json_set(j, "columns", tool_text_row(columns, p->n + 1));
  mynah_json_set(j, "rows", list);
  char note[512];
  snprintf(note, sizeof note, "%lld episodes of sim=%s from seed %lld; 95 %% intervals in brackets: Wilson for counts of "
           "episodes, bootstrap over episodes else. An episode that failed goes on with the error it failed with.",
           (long long)p->config->episodes, p->sim, (long long)p->config->seed);
  mynah_json_set(j, "note", mynah_json_string(note));
  return j;
}

mynah_status drift_page_write(const drift_page *p, const char *path) {
  mynah_json *data = mynah_json_object(), *story = mynah_json_array(), *settings = mynah_json_object();
  mynah_json *histograms = mynah_json_array(), *lists = mynah_json_array();
  tool_add_text(story, "Why a clone drifts", "A clone decides what it sees next. A small error brings it where nobody demonstrated, "
                "there it errs more, and errors compound: accumulated error then grows faster than time. A clone that was "
                "shown how to come back errs at its own states as little as at the expert's.");
  for (int i = 0; i < p->n; i++)
    if (at(p->results[i], "alarm", NULL, NULL)) mynah_json_append(histograms, histogram(p, i));
  mynah_json_set(settings, "heading", mynah_json_string("drift"));
  mynah_json_set(settings, "rows", tool_table_rows(&mynah_drift_table, p->config));
  mynah_json_append(lists, settings);
  mynah_json_set(data, "title", mynah_json_string("Drift"));
  mynah_json_set(data, "subtitle", mynah_json_string(p->sim));
  mynah_json_set(data, "results", table(p));
  mynah_json_set(data, "story", story);
  mynah_json_set(data, "curves", curves(p));
  mynah_json_set(data, "histograms_heading", mynah_json_string("The alarm"));
  if (mynah_json_size(histograms) > 0) mynah_json_set(data, "histograms", histograms);
  else mynah_json_destroy(histograms);
  mynah_json_set(data, "settings", lists);
  mynah_status status = mynah_report_write(data, path);
  mynah_json_destroy(data);
  return status;
}
