/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The trainer: shards, optimiser, schedule, EMA, clipping, validation, metrics, checkpoints. It knows no policy: it is
 * given graphs to build and batches whose windows are named like the graphs' inputs.
 *
 * Owns:    the trainer owns programs, states, optimiser memory; the task's weights, frames and ranges are borrowed.
 * Threads: create, run and destroy from one thread; it makes its own pool.
 * A batch is cut into a fixed number of shards; each shard runs forward and backward on one thread; gradients are summed
 * in a fixed tree. So the weights do not depend on the number of threads, bit for bit. */
#ifndef MYNAH_LEARN_H
#define MYNAH_LEARN_H

#include <mynah/feed.h>
#include <mynah/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MYNAH_TRAIN_KEYS(K)                                                                        \
  K(INT, seed, "seed", 1, 0, 9.0e15, "", "of initial weights, order, noise and split")             \
  K(INT, threads, "threads", 0, 0, 1024, "threads", "threads that train; 0: all processors")       \
  K(INT, batch, "batch", 256, 1, 65536, "samples", "samples a step")                               \
  K(INT, shards, "shards", 0, 0, 1024, "", "parts a batch is cut into; 0: by batch size alone")    \
  K(INT, steps, "steps", 0, 0, 1.0e9, "steps", "optimiser steps; 0: by epochs")                    \
  K(FLOAT, epochs, "epochs", 20, 0, 1.0e6, "", "passes over the training windows, when steps is 0") \
  K(CHOICE, optimizer, "optimizer", "adamw", 0, 0, "adamw|adam|sgd", "how weights are updated")    \
  K(FLOAT, lr, "lr", 1e-3, 0, 100, "", "highest learning rate")                                    \
  K(FLOAT, lr_end, "lr.end", 0, 0, 1, "", "final learning rate as a share of lr (cosine, linear)") \
  K(CHOICE, schedule, "schedule", "cosine", 0, 0, "cosine|linear|constant", "after the warm-up")   \
  K(INT, warmup, "warmup", 0, 0, 1.0e9, "steps", "linear from 0")                                  \
  K(FLOAT, beta1, "beta1", 0.9, 0, 1, "", "Adam")                                                  \
  K(FLOAT, beta2, "beta2", 0.999, 0, 1, "", "Adam")                                                \
  K(FLOAT, eps, "eps", 1e-8, 0, 1, "", "Adam")                                                     \
  K(FLOAT, momentum, "momentum", 0.9, 0, 1, "", "SGD")                                             \
  K(BOOL, nesterov, "nesterov", false, 0, 1, "", "SGD")                                            \
  K(FLOAT, decay, "decay", 1e-4, 0, 10, "", "weight decay, on matrices and filters only")          \
  K(FLOAT, clip, "clip", 1, 0, 1.0e9, "", "largest gradient norm; 0: no clipping")                 \
  K(CHOICE, ema, "ema", "none", 0, 0, "none|warmup|power", "average of the weights that acts: none, decay min(ema.decay,(1+s)/(10+s)), or 1-(1+n)^-ema.power") \
  K(FLOAT, ema_decay, "ema.decay", 0.999, 0, 1, "", "largest decay a step")                        \
  K(FLOAT, ema_power, "ema.power", 0.75, 0, 1, "", "of ema=power")                                 \
  K(INT, ema_every, "ema.every", 1, 1, 1000, "steps", "updated every n-th step with decay^n")      \
  K(INT, log_every, "log.every", 50, 1, 1.0e9, "steps", "a line in metrics.jsonl")                 \
  K(INT, valid_every, "valid.every", 0, 0, 1.0e9, "steps", "validation; 0: ten times a run")       \
  K(INT, checkpoint_every, "checkpoint.every", 0, 0, 1.0e9, "steps", "checkpoints; 0: with each validation") \
  K(INT, checkpoint_keep, "checkpoint.keep", 2, 1, 1000, "", "checkpoints kept")                   \
  K(INT, checkpoint_policies, "checkpoint.policies", 0, 0, 1000, "", "policy files of so many checkpoints are kept, the newest, as policies/STEP.safetensors") \
  K(INT, eval_every, "eval.every", 0, 0, 1.0e9, "steps", "closed-loop evaluation while training; 0: at the end alone")

typedef struct mynah_train_config {
#define MYNAH_TRAIN_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_TRAIN_KEYS(MYNAH_TRAIN_FIELD)
#undef MYNAH_TRAIN_FIELD
} mynah_train_config;
MYNAH_API extern const mynah_config_table mynah_train_table;
enum { MYNAH_OPTIMIZER_ADAMW, MYNAH_OPTIMIZER_ADAM, MYNAH_OPTIMIZER_SGD };
enum { MYNAH_SCHEDULE_COSINE, MYNAH_SCHEDULE_LINEAR, MYNAH_SCHEDULE_CONSTANT };
enum { MYNAH_EMA_NONE, MYNAH_EMA_WARMUP, MYNAH_EMA_POWER };

/* Learning rate of step s (the first is 0) of n: lr (s+1)/warmup while warming up, then the schedule down to lr lr.end. */
MYNAH_API double mynah_learning_rate(const mynah_train_config *c, int64_t step, int64_t n_steps);

/* What is to be learned. */
typedef struct mynah_learn_task {
  void *context;
  /* Describes the loss for a batch of this size; inputs are named after the windows. The graph's other outputs, scalars,
   * are averaged and logged beside the loss. */
  mynah_status (*build)(void *context, int64_t batch, mynah_graph *g, mynah_node *loss);
  mynah_dtype precision; /* MYNAH_F32; MYNAH_BF16: of products, see graph.h. Weights, sums and the optimiser's memory are floats */
  mynah_weights *weights;
  const mynah_frames *frames;
  const mynah_window *windows;
  int n_windows;
  const mynah_feed_config *feed;
  const mynah_split *split;
  /* Writes a policy from the weights that act (the average if there is one); may be NULL. */
  mynah_status (*save)(void *context, mynah_weights *acting, const mynah_json *summary, const char *path);
  /* Closed-loop score while training: greater is better; NULL: none. Decides `best` when present, else the validation
   * loss does. */
  mynah_status (*evaluate)(void *context, mynah_weights *acting, int64_t step, double *score, mynah_json **details);
} mynah_learn_task;

/* ---- ranks: one training by several processes ---- */

/* Which process this is, of how many; alone {0, 1}. */
typedef struct mynah_ranks {
  int index, count;
} mynah_ranks;
/* Begins MPI when a launcher (mpirun, srun) has started this process as one of several; else does nothing. From then on
 * each trainer runs its part of the shards, and rank 0's alone writes. The weights are those of one process, bit for bit.
 * Every rank reads the dataset by the same path.
 * Fails: UNSUPPORTED (this build has no MPI), MISMATCH (started by another kind of MPI), IO. Thread: the main one. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_ranks_begin(void);
MYNAH_API mynah_ranks mynah_ranks_now(void);
/* Before the program ends: 0 waits for the others, another code ends them too and does not come back. */
MYNAH_API void mynah_ranks_end(int code);

typedef struct mynah_train_report {
  int64_t steps, n_parameters, n_train_windows, n_valid_windows;
  double seconds;        /* of steps, without validation, evaluation and checkpoints */
  double total_seconds;
  double samples_per_s;
  double flops_per_step;
  double train_loss;     /* mean of the last log interval */
  double valid_loss;     /* of the final weights that act; NaN without a validation part */
  double best_loss;
  double best_score;     /* of closed-loop evaluations; NaN without */
  int64_t best_step, n_nonfinite;
  bool was_resumed;
} mynah_train_report;

typedef struct mynah_trainer mynah_trainer;
/* folder: the run folder, made if missing; NULL: nothing is written (benchmarks).
 * Fails: BUSY when the folder already holds a run and resume is false; NOT_FOUND/CORRUPT/MISMATCH on a bad resume. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_trainer_create(const mynah_train_config *config, const mynah_learn_task *task,
                                                          const char *folder, bool resume, mynah_trainer **out);
MYNAH_API void mynah_trainer_destroy(mynah_trainer *t);
/* Trains to the end, leaving FOLDER/policy.safetensors and the acting weights in task->weights. With task->evaluate
 * policy.safetensors is the policy of the best score (the first of equal ones) and policy-last.safetensors the last.
 * Fails: NONFINITE (three bad steps in a row after rewinds), INTERRUPTED (a checkpoint was written), NO_SPACE (the last
 * checkpoint stays whole), IO (another rank was lost). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_trainer_run(mynah_trainer *t, const mynah_progress *progress,
                                                       mynah_train_report *report);
/* One step without files or logs, for benchmarks. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_trainer_step(mynah_trainer *t, double *loss);

#ifdef __cplusplus
}
#endif
#endif
