/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside lint: one episode as columns of numbers, what is known of each column, what is kept of all episodes. */
#ifndef MYNAH_DATASET_LINT_H
#define MYNAH_DATASET_LINT_H

#include "store.h"

#define LINT_COLUMNS 256 /* further elements are not looked at */
#define LINT_DISTINCT 20 /* a column with fewer values is a switch, not a measurement */
#define LINT_LAG_MAX 64
#define LINT_SIGNATURE 16 /* frames that an episode is compared by */
#define LINT_STEP_BINS 512

/* One element of a vector feature over all frames. */
typedef struct lint_column {
  int feature, element;
  bool is_action, is_state, is_angle; /* is_state: of observation.state, or of any observation if there is none */
  double min, max, sum, squares, n, n_at_min, n_at_max;
  float distinct[LINT_DISTINCT];
  int n_distinct;
  int64_t steps[LINT_STEP_BINS]; /* sizes of steps from frame to frame, four bins an octave */
} lint_column;

/* A pair of an action's element and the state's it commands, with products for each lag. */
typedef struct lint_pair {
  int action, state;
  double product[2 * LINT_LAG_MAX + 1], actions[2 * LINT_LAG_MAX + 1], states[2 * LINT_LAG_MAX + 1];
} lint_pair;

typedef struct lint_gram { /* four rows in a series, as a number */
  uint64_t hash;
  int64_t episode;
} lint_gram;

typedef struct lint {
  mynah_dataset *d;
  const mynah_lint_config *c;
  mynah_lint_report *report;
  int64_t n_of_kind[MYNAH_LINT_KINDS];
  lint_column *columns;
  int n_columns;
  lint_pair *pairs;
  int n_pairs, n_lags;
  /* The episode at hand. Shape: x (n, n_columns) frame by frame; times, scratch (n) */
  float *x;
  int64_t *times, *scratch, n;
  size_t cap_x, cap_times, cap_scratch;
  /* Of all. Shape: signatures (episodes, LINT_SIGNATURE, n_columns); samples (n_samples, n_columns), their places */
  float *signatures, *samples;
  int64_t *sample_episode, *sample_frame, n_samples, stride;
  size_t cap_samples, cap_sample_episode, cap_sample_frame, n_grams, cap_grams;
  lint_gram *grams;
} lint;

/* Notes a finding; episode −1: the whole set. The format says what was found and what to do. */
mynah_status lint_note(lint *l, mynah_lint_kind kind, mynah_severity severity, int64_t episode, int64_t first,
                       int64_t last, const char *format, ...) MYNAH_PRINTF(7, 8);
/* "observation.state[2] (yaw_rate)" in storage of this function. */
const char *lint_column_name(const lint *l, int column);
double lint_range(const lint_column *c);
bool lint_is_continuous(const lint_column *c);
int lint_by_value(const void *a, const void *b); /* int64_t, for qsort */

/* lint_series.c: first pass, second pass, and the set as a whole */
mynah_status lint_times(lint *l, int64_t i);
mynah_status lint_gather(lint *l, int64_t i);
mynah_status lint_motion(lint *l, int64_t i);
bool lint_moves(const lint *l, int64_t first, int64_t last); /* state or action leave the share of idle.share */
mynah_status lint_columns(lint *l);
mynah_status lint_lag(lint *l);
mynah_status lint_lengths(lint *l);
/* lint_pictures.c */
mynah_status lint_pictures(lint *l, int64_t i);
/* A camera's view changes in these frames: who cruises does not rest. */
mynah_status lint_sees_motion(lint *l, int64_t i, int64_t first, int64_t last, bool *out);
/* lint_pairs.c: episodes compared with each other. Shape: parts (episodes) or NULL */
mynah_status lint_keep(lint *l, int64_t i);
mynah_status lint_duplicates(lint *l, const int8_t *parts);
mynah_status lint_conflicts(lint *l);

#endif
