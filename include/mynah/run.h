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

/* One step of an episode, before it is executed. The hook may look at the device and change the action.
 * Shape: observed (device->n_observations; NULL when the expert drives), action (action size) */
typedef struct mynah_eval_step {
  int64_t episode;
  mynah_device *device;
  const mynah_value *observed;
  float *action;
  const mynah_actor *actor; /* NULL when the expert drives */
} mynah_eval_step;
/* Called from several threads at once, from one for each episode. */
typedef void (*mynah_eval_hook)(void *context, const mynah_eval_step *step);

typedef struct mynah_eval_config {
  const mynah_device_type *device;
  const void *device_config; /* NULL: defaults */
  const mynah_clone *clone;  /* NULL: the device's expert drives */
  const mynah_execute_config *execute; /* how its chunks are executed; NULL: as its own config says */
  int64_t n_episodes;
  uint64_t seed; /* episode i runs with seed + i */
  int n_threads; /* 0: all processors */
  int64_t n_traces; /* traces of the first so many episodes are kept */
  mynah_eval_hook hook; /* NULL: none */
  void *hook_context;
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
/* Frame t of an episode: what was seen, what the clone answered and what was recorded.
 * Shape: values (n_inputs of the policy), predicted, recorded (action size) */
typedef struct mynah_compared_frame {
  int64_t episode, t;
  const mynah_value *values;
  const float *predicted, *recorded;
  const mynah_actor *actor;
} mynah_compared_frame;
typedef void (*mynah_compared)(void *context, const mynah_compared_frame *frame);
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

/* ---- drift --------------------------------------------------------------------------------------------------------- */

/* What is measured of a clone whose actions decide what it sees next (Ross, Gordon, Bagnell 2011):
 * error      of its action against the expert's, sqrt(mean over elements of (difference / demonstrated range)^2), at the
 *            states the expert comes to and at those it comes to itself, by time step
 * growth     of the error accumulated at its own states, over the first `horizon` seconds: fits a t (linear),
 *            a t + b t^2 (quadratic), a (exp(c t) - 1) (exponential), the one with the least BIC, and p of a t^p (order).
 *            A failed episode goes on with the error it failed with.
 * distance   of what it sees to the nearest demonstrated frame
 * recovery   pushes after which no failure follows within recover.seconds, / all pushes; the expert's beside it
 * stress     the task's metrics with delayed, noisy and repeated actions
 * alarm      a score's smoothed maximum until failure against a threshold with at most `alarm.share` false alarms: split
 *            conformal (Vovk et al. 2005; Laxhammar and Falkman 2010), set on every second success, checked on the others and
 *            on all failures. The score is the mean distance to the k nearest demonstrated frames. Where a policy sees
 *            pictures, what is compared is what it makes of them, its hidden layer brought to length 1 (Sun et al. 2022,
 *            "Out-of-Distribution Detection with Deep Nearest Neighbors"), else the observations
 * A failure is the first step whose trace column "intervention" is not 0, or else the end of an episode whose first RATE
 * metric is 0. */
#define MYNAH_DRIFT_KEYS(K)                                                                        \
  K(INT, episodes, "episodes", 100, 2, 1.0e6, "episodes", "driven by the clone, and by the expert with the clone watching") \
  K(INT, seed, "seed", 100000, 0, 9.0e15, "", "episode i runs with seed + i")                      \
  K(INT, threads, "threads", 0, 0, 256, "threads", "0: all processors")                            \
  K(FLOAT, horizon_s, "horizon", 5, 0.05, 1000, "s", "over which growth is fitted")                \
  K(INT, neighbours, "neighbours", 5, 1, 64, "frames", "k")                                        \
  K(INT, index_frames, "neighbours.frames", 4000, 2, 1.0e6, "frames", "demonstrated frames compared with, evenly chosen") \
  K(FLOAT, alarm_share, "alarm.share", 0.05, 0.001, 0.5, "", "of successes on which the alarm may go off") \
  K(FLOAT, smooth_s, "alarm.seconds", 0.3, 0, 60, "s", "over which scores are averaged, older ones fading") \
  K(FLOAT, push, "push", 0.5, 0, 10, "", "added to the first element of the action, as a share of half its demonstrated range, to either side in turn; 0: recovery is not measured") \
  K(FLOAT, push_s, "push.seconds", 0.5, 0.01, 60, "s", "how long")                                 \
  K(FLOAT, recover_s, "recover.seconds", 4, 0.1, 600, "s", "time to recover; twice as long from push to push") \
  K(INT, stress_episodes, "stress.episodes", 20, 0, 1.0e6, "episodes", "for each condition; 0: none")

typedef struct mynah_drift_config {
#define MYNAH_DRIFT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_DRIFT_KEYS(MYNAH_DRIFT_FIELD)
#undef MYNAH_DRIFT_FIELD
} mynah_drift_config;
MYNAH_API extern const mynah_config_table mynah_drift_table;

typedef struct mynah_drift_task {
  const mynah_device_type *device; /* with an expert: errors; without one: all the rest */
  const void *device_config;       /* NULL: defaults */
  const mynah_clone *clone;
  mynah_dataset *data; /* the demonstrations; NULL: no distance and no alarm */
} mynah_drift_task;
/* Adds to result, each where it can be had: "time_s" [] of the curves; "expert_states", "own_states": {"error", "ci",
 * "curve"}; "ratio" {"value", "ci"}; "growth"; "distance" {"expert", "own"}; "recovery" {"clone", "expert"}; "stress"
 * [{"kind", "value", metrics}]; "alarm" {"threshold", "false_alarms", "detected", "balanced_accuracy", "lead_s",
 * "scores" {"success", "failure"}}, "chunk_alarm", the same of chunks' disagreement. Intervals resample episodes.
 * Fails: as mynah_evaluate and mynah_compare_recorded. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_drift(const mynah_drift_config *config, const mynah_drift_task *task,
                                                 const mynah_progress *progress, mynah_json *result);

/* Growth of accumulated error. Shape: curves (n_episodes, n), element t - 1 of each after t steps of dt_s.
 * Adds {"linear": {"a": {"value", "ci"}, "r2"}, "quadratic": {"a", "b", "r2"}, "exponential": {"a", "c", "r2"},
 * "order": {"value", "ci"}, "best", "chosen": {"linear": share of resamples, …}, "curve": the mean one}, fitted to the mean curve by least
 * squares, with 95 % percentile intervals from resampled episodes. Fails: INVALID (n < 4, no episodes), NO_MEMORY. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_growth_fit(const double *curves, int64_t n_episodes, int64_t n, double dt_s,
                                                      uint64_t seed, mynah_json *result);
/* The threshold that at most `share` of exchangeable scores exceed: the ceil((n + 1)(1 - share))-th smallest; INFINITY
 * when n is too small for that. Sorts the scores. */
MYNAH_API double mynah_conformal_threshold(double *scores, int64_t n, double share);

/* ---- scripts ---------------------------------------------------------------------------------------------------------
 * Actions from elsewhere, one a step. source: X.demos, whose episodes' actions are done again; a text file with a line of numbers a
 * step, separated by commas or spaces, where an empty line ends an episode and a first line of words is skipped; or "|COMMAND",
 * which reads {"episode":0,"step":0,"observation.state":[…]} a line and answers each with such a line.
 * Threads: one. */
typedef struct mynah_script mynah_script;
typedef enum mynah_script_word { MYNAH_SCRIPT_ACTS, MYNAH_SCRIPT_ENDS_EPISODE, MYNAH_SCRIPT_ENDS } mynah_script_word;
/* Fails: IO, NOT_FOUND, MISMATCH (a dataset of other actions). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_script_open(const char *source, int64_t n_elements, mynah_script **out);
MYNAH_API void mynah_script_close(mynah_script *s);
MYNAH_API void mynah_script_begin_episode(mynah_script *s, int64_t episode);
/* Fails: INVALID (a line that is no action), IO (a command that says nothing), LIMIT, INTERRUPTED. Shape: action (n_elements) */
MYNAH_API MYNAH_CHECKED mynah_status mynah_script_next(mynah_script *s, const mynah_device *d, const mynah_value *observed, float *action,
                                                       mynah_script_word *word);

/* ---- recording ------------------------------------------------------------------------------------------------------ */

#define MYNAH_RECORD_KEYS(K)                                                                       \
  K(INT, episodes, "episodes", 10, 1, 1.0e6, "episodes", "how many are recorded")                  \
  K(INT, seed, "seed", 1, 0, 9.0e15, "", "episode i starts from seed + i")                         \
  K(FLOAT, noise, "noise", 0, 0, 10, "", "standard deviation of slow noise on the executed action (share of half the action range); the clean action is the label") \
  K(FLOAT, noise_tau_s, "noise.tau_s", 0.5, 0.01, 60, "s", "its correlation time")                 \
  K(INT, noise_elements, "noise.elements", 1, 1, 64, "", "how many elements of the action get noise, from the first") \
  K(INT, max_frames, "max_frames", 0, 0, 1.0e12, "frames", "stop after so many frames in all; 0: no limit") \
  K(INT, every, "every", 1, 1, 100000, "frames", "only every n-th frame is seen and kept: pictures for a detector need not follow closely") \
  K(INT, jpeg_quality, "jpeg.quality", 92, 1, 100, "", "of stored pictures")                         \
  K(INT, ballast_mb, "ballast.mb", 16, 0, 1048576, "MiB", "of the disk kept free while recording, for the episode that meets a full disk")

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
  MYNAH_GATE_HANDOVER, /* the expert takes over when they disagree by more than threshold and hands back when by less than half
                        * of it, but not before hold_steps; the frames it drives are kept (HG-DAgger: Kelly et al. 2019, gated by a rule) */
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
  int64_t hold_steps;
  const double *noise_factor; /* not NULL: a lower triangle L; the slow noise on what is executed has the covariance L L'
                               * instead of the config's */
  mynah_script *script;        /* not NULL: acts instead of the expert, and ends episodes and the recording */
} mynah_record_options;

typedef struct mynah_record_report {
  int64_t n_episodes, n_frames; /* kept */
  int64_t n_driven;             /* frames driven in all */
  double seconds;
} mynah_record_report;
/* Records the device's expert, or a script, into a new or an existing dataset with the device's features.
 * Fails: UNSUPPORTED (no expert), MISMATCH, INTERRUPTED (sealed episodes stay), what the store fails with. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_record_expert(mynah_device *device, const mynah_record_config *config,
                                                         const char *path, const mynah_record_options *options,
                                                         mynah_record_report *out);

/* ---- the last layer before a motor ----------------------------------------------------------------------------------- */

/* What a joint may do; 0 or infinite limits do not bind. Unit: u, the action's */
typedef struct mynah_limits {
  double low, high;    /* position, u */
  double velocity;     /* u/s */
  double acceleration; /* u/s^2 */
  double jerk;         /* u/s^3 */
} mynah_limits;
/* Why a command was not what was asked for. A ladder: what is 1, 2, 4 or 32 is limited, held or passed by; 8, 16 and 256 brake to rest as long as they
 * last; 64 and 128 end the run. Reasons are latched: the run's report tells every one that there was, and the first. */
typedef enum mynah_fault {
  MYNAH_FAULT_NONFINITE = 1,    /* an action that is no number: the last command is held */
  MYNAH_FAULT_LIMITED = 2,      /* limits changed an action */
  MYNAH_FAULT_FAR_START = 4,    /* the first target was further than a period's way from where the joint was: it is gone to */
  MYNAH_FAULT_STALE_SEEN = 8,   /* an observation older than allowed */
  MYNAH_FAULT_CHUNK_USED_UP = 16, /* no chunk said what to do */
  MYNAH_FAULT_PREDICTION = 32,  /* the predictor failed */
  MYNAH_FAULT_DEVICE = 64,      /* the device failed */
  MYNAH_FAULT_WATCHDOG = 128,   /* the loop stood still and the watchdog stopped the device */
  MYNAH_FAULT_LOST_TARGET = 256 /* a policy commands, and it or the device is blind: a required slot is lost */
} mynah_fault;
#define MYNAH_FAULTS 9
MYNAH_API const char *mynah_fault_name(int bit); /* 0 … MYNAH_FAULTS-1: "nonfinite" … */

/* Commands that follow targets as fast as limits allow: position, velocity, acceleration and jerk within them at every
 * step, and always slow enough to stop before a position limit (braking distance). Whatever the targets are.
 * Threads: one. */
typedef struct mynah_safety mynah_safety;
/* Shape: limits (n). Fails: INVALID (low > high, a limit that is no number or below 0). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_safety_create(const mynah_limits *limits, int64_t n, double rate_hz, mynah_safety **out);
MYNAH_API void mynah_safety_destroy(mynah_safety *s);
/* Begins at rest in a measured pose, brought inside the limits. Shape: pose (n) */
MYNAH_API MYNAH_RT void mynah_safety_start(mynah_safety *s, const float *pose);
/* One period. Returns the faults of this step. Shape: target, command (n), which may be the same */
MYNAH_API MYNAH_RT unsigned mynah_safety_step(mynah_safety *s, const float *target, float *command);
/* One period of braking to rest, as hard as limits allow. Shape: command (n) */
MYNAH_API MYNAH_RT void mynah_safety_brake(mynah_safety *s, float *command);

/* ---- who predicts ---------------------------------------------------------------------------------------------------- */

/* A policy at work behind a table: a clone here, or a server elsewhere. All but `create` functions are called by one
 * worker thread. */
typedef struct mynah_predictor mynah_predictor;
struct mynah_predictor {
  const mynah_policy *policy; /* inputs, action, chunk, how it is executed; the predictor's */
  void (*reset)(mynah_predictor *p, uint64_t seed);
  /* values: one for each input of the policy */
  mynah_status (*observe)(mynah_predictor *p, const mynah_value *values);
  /* Shape: prefix (n_prefix, action size), chunk (chunk, action size) */
  mynah_status (*predict)(mynah_predictor *p, const float *prefix, int64_t n_prefix, float *chunk);
  void (*destroy)(mynah_predictor *p);
  /* It has lost sight of what it cannot do without: time for the loop's safe action. By the control thread: neither waits nor
   * allocates. NULL: never. */
  bool (*is_blind)(const mynah_predictor *p);
  int eyes; /* n > 0: input n - 1 is pictures that a detector looks at, which may be left out (data NULL) where newer ones wait */
};
/* The clone stays the caller's. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_predictor_of_clone(const mynah_clone *clone, mynah_predictor **out);

/* ---- the watchdog ---------------------------------------------------------------------------------------------------- */

/* A process of its own that watches a heartbeat; when it stops (the runner was killed or stopped, or hangs) for longer than
 * the timeout it calls `stop` once, in its own process, and ends. Made before threads are. */
typedef struct mynah_watchdog mynah_watchdog;
MYNAH_API MYNAH_CHECKED mynah_status mynah_watchdog_start(double timeout_s, void (*stop)(void *context), void *context,
                                                          mynah_watchdog **out);
/* False: it has called stop already. */
MYNAH_API MYNAH_RT bool mynah_watchdog_beat(mynah_watchdog *w);
/* Ends it; *was_late: it had called stop before. */
MYNAH_API void mynah_watchdog_end(mynah_watchdog *w, bool *was_late);

/* ---- the control loop ------------------------------------------------------------------------------------------------ */

#define MYNAH_LOOP_KEYS(K)                                                                                              \
  K(FLOAT, rate_hz, "rate", 0, 0, 20000, "Hz", "control rate; 0: the device's own")                                     \
  K(INT, episodes, "episodes", 0, 0, 1.0e6, "episodes", "ends after so many were saved; 0: no such end")                 \
  K(FLOAT, reset_s, "reset.seconds", 0, 0, 3600, "s", "between episodes: nothing is recorded, a person may command, a simulator stands still; save ends it early") \
  K(INT, ballast_mb, "ballast.mb", 64, 0, 1048576, "MiB", "of the disk kept free while recording, for the episode that meets a full disk") \
  K(FLOAT, seconds, "seconds", 10, 0.01, 1.0e7, "s", "how long; a simulated episode that ends before is followed by the next") \
  K(INT, seed, "seed", 100000, 0, 9.0e15, "", "episode i of a simulator runs with seed + i")                            \
  K(FLOAT, stale_s, "stale", 0.5, 0.001, 60, "s", "an observation or chunk older than this makes the loop brake to rest") \
  K(FLOAT, watchdog_s, "watchdog", 0.05, 0, 10, "s", "without a heartbeat for so long another process stops the device; 0: none") \
  K(INT, priority, "priority", 0, 0, 99, "", "real-time priority of the control thread where allowed; 0: none")         \
  K(INT, processor, "processor", -1, -1, 1023, "", "the control thread stays on this one; -1: any")                     \
  K(BOOL, is_locked, "lock", true, 0, 1, "", "memory stays in memory")

typedef struct mynah_loop_config {
#define MYNAH_LOOP_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_LOOP_KEYS(MYNAH_LOOP_FIELD)
#undef MYNAH_LOOP_FIELD
} mynah_loop_config;
MYNAH_API extern const mynah_config_table mynah_loop_table;

typedef struct mynah_loop_task {
  mynah_device *device;
  mynah_predictor *predictor;         /* NULL: the device's expert commands, or the recorded episode */
  const mynah_execute_config *execute; /* NULL: as the policy says */
  const mynah_limits *limits;          /* (action size); NULL: none */
  const float *rest;                   /* (action size): commanded when nobody commands; NULL: the device's; without one braking, then holding */
  const float *replay;                 /* not NULL: these actions. Shape: (n_replay, action size) */
  int64_t n_replay;
  const char *record_path;             /* not NULL: what was seen and commanded goes into this dataset */
  bool records_person_only;            /* of that, the stretches that the person commands, an episode each */
  void (*saved)(void *context, int64_t episode, int64_t frames); /* told by the recorder's thread after each seal; NULL: nobody */
  void *saved_context;
  void (*resetting)(void *context, double seconds); /* told before each reset phase, by the control thread; NULL: nobody */
  void (*watch)(void *context, const mynah_value *values); /* by the control thread at each step: must neither wait nor allocate; NULL: nobody */
  void *watch_context;
  mynah_person *person;                /* not NULL: takes over while holding; saves, redoes and ends episodes */
  bool is_person_only;                 /* commands always */
  double person_speed;                 /* 0: the person's -1 … 1 are the action; else they move it by so much a second */
  void (*stop)(void *context);         /* for the watchdog; NULL: nothing to stop */
  void *stop_context;
} mynah_loop_task;

/* Runs until the seconds are over, a fault that ends it, or an interrupt (which is no failure: the device is braked and the
 * report made). Adds to result: "steps", "episodes", "rate_hz", "period_ms" {"p50","p99","p99.9","max"}, "late_ms" (of the deadline, the
 * same), "misses" (deadlines missed by a period or more), "infer_ms" {"p50","p99"} (of predictions, a detector's look included),
 * "chunk_age_ms" {"p50","p99"}, "seam_jump", "chunks", "rejected",
 * "dropped_frames", "held_steps", "person_steps", "faults" {name: steps}, "fault_code" (MYNAH_FAULT_ bits of all of
 * them), "first_fault" {"step", "reasons"}, "response" (to the worst: "none", "limited", "braked", "stopped"),
 * "allocations", "page_faults" (of the control thread after the first tenth), "recorded" {"episodes","frames","dropped" (frames),
 * "late" (samples of features)}, "notes" [what was asked for and not allowed here].
 * Fails: MISMATCH, what devices, predictors and the store fail with before the first step. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_loop_run(const mynah_loop_config *config, const mynah_loop_task *task, mynah_json *result);

#ifdef __cplusplus
}
#endif
#endif
