/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Running policies: record demonstrations from an expert, evaluate clones in closed loop, say how sure one is.
 *
 * Threads: record and evaluate are called from one thread; evaluate makes its own pool.
 * Results depend on seeds alone, not on the number of threads. */
#ifndef MYNAH_RUN_H
#define MYNAH_RUN_H

#include <mynah/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- intervals ---------------------------------------------------------------------------------------------------- */

typedef struct mynah_interval {
  double value, low, high; /* 95 % */
} mynah_interval;
/* Rate k of n with Wilson's score interval (Wilson 1927). n = 0 gives NaN. */
MYNAH_API mynah_interval mynah_wilson(int64_t k, int64_t n);
/* Mean with a percentile bootstrap of 10,000 resamples (Efron 1979), drawn from `seed`. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_bootstrap_mean(const double *x, int64_t n, uint64_t seed, mynah_interval *out);
/* sum(x)/sum(w), episodes resampled together. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_bootstrap_ratio(const double *x, const double *w, int64_t n, uint64_t seed,
                                                           mynah_interval *out);

/* ---- evaluation ---------------------------------------------------------------------------------------------------- */

typedef struct mynah_eval_config {
  const mynah_device_type *device;
  const void *device_config; /* NULL: defaults */
  const mynah_clone *clone;  /* NULL: the device's expert drives */
  const mynah_execute_config *execute; /* how its chunks are executed; NULL: as its own config says */
  int64_t n_episodes;
  uint64_t seed; /* episode i runs with seed + i */
  int n_threads; /* 0: all processors */
  int64_t n_traces; /* traces of the first so many episodes are kept */
} mynah_eval_config;

/* One episode's trace: rows of the device's trace columns. Shape: rows (n_steps + 1, n_columns) */
typedef struct mynah_trace {
  int64_t n_rows;
  int n_columns;
  double *rows;
} mynah_trace;

/* How smoothly a clone acted, over all steps of all episodes. a_t(k) is element k of the action of step t, R_k its
 * demonstrated range (max - min over the training episodes; elements without one are left out), D a difference as a share
 * of the range: |D| = sqrt(mean over k of (D_k / R_k)^2). NaN where nothing was counted, and for the expert. */
typedef struct mynah_motion {
  double seam_jump;   /* mean of |a_t - a_(t-1)| over the steps t at which a new chunk took over. Unit: share of range */
  double jerk;        /* mean of |a_t - 3 a_(t-1) + 3 a_(t-2) - a_(t-3)| rate^3, t >= 3. Unit: share of range / s^3 */
  double stale_share; /* steps whose newest chunk was predicted max(execute.steps, execute.delay_steps) steps ago or
                       * longer, / all steps */
} mynah_motion;

typedef struct mynah_eval_result {
  int64_t n_episodes;
  uint64_t seed;
  int n_metrics;
  mynah_metric kinds[MYNAH_METRICS_MAX]; /* names and kinds */
  double *values, *weights;              /* (n_episodes, n_metrics) */
  double *spread;                        /* pooled |values| of the spread metrics, one block a metric */
  int64_t n_spread[MYNAH_METRICS_MAX];
  mynah_trace *traces;
  int64_t n_traces;
  int64_t n_steps;
  double seconds;
  double infer_ms_p50, infer_ms_p99; /* of predictions; NaN for the expert */
  mynah_motion motion;
} mynah_eval_result;
/* Fails: MISMATCH when the clone's features are not the device's; INTERRUPTED; what the device fails with. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_evaluate(const mynah_eval_config *config, const mynah_progress *progress,
                                                    mynah_eval_result *out);
MYNAH_API void mynah_eval_result_deinit(mynah_eval_result *r);
/* Metric by name of one episode; NaN if there is none. */
MYNAH_API double mynah_eval_value(const mynah_eval_result *r, const char *metric, int64_t episode);
/* {"mean_max_reward":{"mean":…,"ci":[…]},"finished":{"k":…,"n":…,"rate":…,"ci":[…]},"offset_m":{"mean":…,"p95":…},…};
 * of a clone also "seam_jump", "jerk", "stale_share". */
MYNAH_API MYNAH_CHECKED mynah_status mynah_eval_to_json(const mynah_eval_result *r, mynah_json *object);
/* {"METRIC":{"difference":…,"ci":[…]},…}: a minus b on shared seeds. Fails: MISMATCH (seeds, counts, metrics). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_eval_compare(const mynah_eval_result *a, const mynah_eval_result *b,
                                                        mynah_json *object);

/* ---- open loop ------------------------------------------------------------------------------------------------------- */

/* Frames [from,to) of episode index. */
typedef struct mynah_frame_range {
  int64_t episode, from, to;
} mynah_frame_range;
/* How well the clone's present action agrees with the recorded one, for one element of the action. */
typedef struct mynah_agreement {
  int64_t n_frames;
  double correlation;   /* Pearson's */
  double mse;           /* in the action's units squared */
  double constant_mse;  /* of always answering the mean action of the training episodes */
} mynah_agreement;
/* Told of frame t of an episode: what the clone answered and what was recorded.
 * Shape: predicted, recorded (action size) */
typedef void (*mynah_compared)(void *context, int64_t episode, int64_t t, const float *predicted, const float *recorded);
/* Shows recorded observations to the clone, frame by frame, and tells of each answer.
 * Fails: MISMATCH when the dataset's features are not the policy's; INTERRUPTED; LIMIT; what reading fails with. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_compare_recorded(const mynah_clone *c, mynah_dataset *d,
                                                            const mynah_frame_range *ranges, int64_t n_ranges,
                                                            const mynah_progress *progress, mynah_compared compared,
                                                            void *context);
/* The same, summed up. Shape: out (action size)
 * Fails: MISMATCH when the dataset's features are not the policy's. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_evaluate_recorded(const mynah_clone *c, mynah_dataset *d,
                                                             const mynah_frame_range *ranges, int64_t n_ranges,
                                                             const mynah_progress *progress, mynah_agreement *out);

/* ---- recording ------------------------------------------------------------------------------------------------------ */

#define MYNAH_RECORD_KEYS(K)                                                                       \
  K(INT, episodes, "episodes", 10, 1, 1.0e6, "episodes", "how many are recorded")                  \
  K(INT, seed, "seed", 1, 0, 9.0e15, "", "episode i starts from seed + i")                         \
  K(FLOAT, noise, "noise", 0, 0, 10, "", "standard deviation of slow noise on the executed action (share of half the action range); the clean action is the label") \
  K(FLOAT, noise_tau_s, "noise.tau_s", 0.5, 0.01, 60, "s", "its correlation time")                 \
  K(INT, noise_elements, "noise.elements", 1, 1, 64, "", "how many elements of the action get noise, from the first") \
  K(INT, max_frames, "max_frames", 0, 0, 1.0e12, "frames", "stop after so many frames in all; 0: no limit") \
  K(INT, jpeg_quality, "jpeg.quality", 92, 1, 100, "", "of stored pictures")

typedef struct mynah_record_config {
#define MYNAH_RECORD_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_RECORD_KEYS(MYNAH_RECORD_FIELD)
#undef MYNAH_RECORD_FIELD
} mynah_record_config;
MYNAH_API extern const mynah_config_table mynah_record_table;

/* Who drives while a clone is at the wheel, and which frames are labelled by the expert and kept. Two actions disagree by
 * the largest difference of an element as a share of its demonstrated range. */
typedef enum mynah_gate {
  MYNAH_GATE_MIX,      /* the expert drives a frame with probability expert_share; every frame is kept
                        * (DAgger: Ross, Gordon, Bagnell 2011, algorithm 3.1) */
  MYNAH_GATE_HANDOVER, /* the expert takes over when they disagree by more than threshold and hands back when by less
                        * than half of it; the frames it drives are kept (HG-DAgger: Kelly et al. 2019, gated by a rule) */
  MYNAH_GATE_SAFE      /* the expert drives the frames on which they disagree by more than threshold; these are kept
                        * (SafeDAgger: Zhang and Cho 2017) */
} mynah_gate;

/* All zeros: the expert drives, nobody is told. Shape: noise_factor (n, n), n the action size; units are the action's */
typedef struct mynah_record_options {
  const mynah_progress *progress;
  void (*saved)(void *context, int64_t episode, int64_t frames); /* told after each seal */
  void *context;
  const mynah_clone *driver; /* not NULL: this clone is at the wheel and the gate rules */
  mynah_gate gate;
  double expert_share, threshold;
  const double *noise_factor; /* not NULL: a lower triangle L; the slow noise on what is executed has the covariance L L'
                               * instead of the config's */
} mynah_record_options;

typedef struct mynah_record_report {
  int64_t n_episodes, n_frames; /* kept */
  int64_t n_driven;             /* frames driven in all */
  double seconds;
} mynah_record_report;
/* Records the device's expert into a new or an existing dataset with the device's features.
 * Fails: UNSUPPORTED (no expert), MISMATCH, INTERRUPTED (sealed episodes stay), what the store fails with. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_record_expert(mynah_device *device, const mynah_record_config *config,
                                                         const char *path, const mynah_record_options *options,
                                                         mynah_record_report *out);

#ifdef __cplusplus
}
#endif
#endif
