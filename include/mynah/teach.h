/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Loops that act and learn in turn: DAgger and its kin, DART.
 *
 * Owns:    nothing; files are left in the folder that the task names.
 * Threads: called from one thread; evaluations make their own pool. Results depend on seeds alone.
 * How a policy is trained stays the caller's: the loop is given a function that makes a clone from a dataset. */
#ifndef MYNAH_TEACH_H
#define MYNAH_TEACH_H

#include <mynah/feed.h>
#include <mynah/run.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Methods:
 *   dagger     the clone drives, the expert labels each frame; while driving the expert takes a frame with probability
 *              beta^round (Ross, Gordon, Bagnell 2011, "A Reduction of Imitation Learning and Structured Prediction to
 *              No-Regret Online Learning", algorithm 3.1)
 *   hg-dagger  the expert takes over when it disagrees and hands back when it agrees again; its frames are kept
 *              (Kelly et al. 2019, "HG-DAgger", with a rule in the place of the human)
 *   safe       the expert drives and labels the frames on which it disagrees (Zhang and Cho 2017, "Query-Efficient
 *              Imitation Learning for End-to-End Simulated Driving")
 *   dart       the expert drives, disturbed by noise with the covariance of the clone's error on held-out frames; its
 *              clean command is the label (Laskey et al. 2017, "DART: Noise Injection for Robust Imitation Learning") */
#define MYNAH_DAGGER_KEYS(K)                                                                       \
  K(CHOICE, method, "method", "dagger", 0, 0, "dagger|hg-dagger|safe|dart", "who drives, and which frames the expert labels") \
  K(INT, rounds, "rounds", 9, 1, 1000, "rounds", "after the first demonstrations, which are round 0") \
  K(INT, frames, "frames", 1000, 10, 1.0e9, "frames", "labelled at most in each round, round 0 included") \
  K(INT, episodes, "round.episodes", 4, 1, 100000, "episodes", "that a round's frames are spread over") \
  K(FLOAT, beta, "beta", 0.5, 0, 1, "", "method=dagger: in round i the expert drives a frame with probability beta^i") \
  K(FLOAT, threshold, "threshold", 0.1, 0, 10, "", "method=hg-dagger, safe: disagreement, as a share of the demonstrated range, at which the expert takes over") \
  K(INT, hold_steps, "hold.steps", 0, 0, 1.0e6, "steps", "method=hg-dagger: that the expert drives at least once it took over; for chunk=K more than K, so that its chunks are whole") \
  K(FLOAT, dart_scale, "dart.scale", 4, 0, 1000, "", "method=dart: standard deviations of the noise over those of the clone's held-out error: above 1, as it errs more where it drives itself") \
  K(INT, eval_episodes, "eval.episodes", 50, 1, 1.0e6, "episodes", "of the closed-loop evaluation after each round") \
  K(INT, eval_every, "eval.every", 1, 0, 1000, "rounds", "from one evaluation to the next; the last round is always evaluated; 0: it alone") \
  K(INT, eval_seed, "eval.seed", 100000, 0, 9.0e15, "", "episode i of the evaluation runs with this seed + i: unseen ones") \
  K(BOOL, has_plain, "plain", true, 0, 1, "", "at the end also train on as many frames of the undisturbed expert, and evaluate")

typedef struct mynah_dagger_config {
#define MYNAH_DAGGER_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_DAGGER_KEYS(MYNAH_DAGGER_FIELD)
#undef MYNAH_DAGGER_FIELD
} mynah_dagger_config;
MYNAH_API extern const mynah_config_table mynah_dagger_table;
enum { MYNAH_DAGGER_MIX, MYNAH_DAGGER_HANDOVER, MYNAH_DAGGER_SAFE, MYNAH_DAGGER_DART };

/* Where the loop acts and how it learns. */
typedef struct mynah_dagger_task {
  const mynah_device_type *device;
  const void *device_config; /* NULL: defaults */
  const char *folder;        /* made if missing; FOLDER/labelled.demos must not exist */
  /* Trains on all of the dataset into the folder `out` and loads the policy. */
  mynah_status (*train)(void *context, const char *data, const char *out, mynah_clone **clone);
  /* Told of each round as soon as it is evaluated, and of the plain clone ("plain": true); may be NULL. */
  void (*told)(void *context, const mynah_json *round);
  void *context;
  const mynah_feed_config *feed; /* with seed: which frames `train` holds out */
  uint64_t seed;                 /* of the training; demonstrations are on episodes seed * 1000003 on */
  int n_threads;                 /* of evaluations; 0: all processors */
  const mynah_progress *progress;
} mynah_dagger_task;

/* Runs the rounds. The expert's frames and those of all rounds go to FOLDER/labelled.demos, policies to
 * FOLDER/round-N, with them FOLDER/plain.demos and FOLDER/plain. Adds to result:
 *   "method", "settings", "sim", "data",
 *   "rounds": [{"round", "frames" (labelled so far), "driven" (in this round), "episodes", "policy", the evaluation's
 *               metrics where there was one; "beta" or "threshold" or "noise": {"covariance", "tau_s"}}],
 *   "plain":  {"frames", "policy", metrics}: frames as many as the last round's
 * Fails: UNSUPPORTED (no expert), BUSY (the folder holds a run), INTERRUPTED (sealed episodes and policies stay), what
 * recording, training and evaluating fail with. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dagger(const mynah_dagger_config *config, const mynah_dagger_task *task,
                                                  mynah_json *result);

/* The clone's error on the frames that were held out of its training, as noise to be injected.
 * factor: lower triangle L with L L' = mean of (predicted - recorded)(predicted - recorded)'; its units are the action's.
 * tau_s: correlation time, 0.01 to 5, from the mean correlation of successive errors of an element.
 * Shape: factor, covariance (n, n), n the action size */
#define MYNAH_DART_MAX 64
typedef struct mynah_dart_noise {
  int64_t n, n_frames;
  double covariance[MYNAH_DART_MAX * MYNAH_DART_MAX], factor[MYNAH_DART_MAX * MYNAH_DART_MAX];
  double tau_s;
} mynah_dart_noise;
/* scale: of the standard deviations. Fails: INVALID (nothing was held out), MISMATCH. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dart_fit(const mynah_clone *c, mynah_dataset *d, const mynah_split *split,
                                                    double scale, mynah_dart_noise *out);

#ifdef __cplusplus
}
#endif
#endif
