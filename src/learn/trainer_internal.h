/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside learn: the trainer's parts, a file each: step, optimizer, ranks, evaluate, checkpoint, metrics. */
#ifndef MYNAH_LEARN_TRAINER_INTERNAL_H
#define MYNAH_LEARN_TRAINER_INTERNAL_H

#include <mynah/learn.h>

#include <stdio.h>

/* Floats one task of a sweep works on: fixed, so that sums do not depend on the number of threads. */
#define MYNAH__PIECE 16384

/* A run of the flat weights that one sweep call handles. */
typedef struct mynah__piece {
  int64_t offset, n;
  bool is_decayed;
} mynah__piece;

/* A compiled graph for some batch size, bound, with a state for each part that runs at once. */
typedef struct mynah__engine {
  int64_t batch;
  mynah_program *program;
  mynah_binding *binding;
  mynah_state **states;
  int n_states;
  void ***inputs;      /* [state][window] */
  const float **losses; /* [state] */
} mynah__engine;

/* A batch-norm buffer whose new value is an output of each shard. */
typedef struct mynah__update {
  int64_t offset, size, at;     /* in the weights, floats, in a row of all updates */
  const float **outputs, **own; /* [shard]: what the mean is of; [own shard]: what the states put out */
} mynah__update;

/* What ranks tell each other of a shard in each step. */
typedef struct mynah__told {
  double loss, is_interrupted;
} mynah__told;

/* The part of the work that is this rank's; alone, all of it. */
typedef struct mynah__part {
  mynah_ranks ranks;
  int first_shard, n_shards, block; /* block: shards whose sum is sent as one */
  int first_piece, n_pieces;
  int64_t offset;         /* in the weights, of the first piece */
  int n_sources;
  const float **sources;  /* [source]: what a gradient is the sum of, from offset on */
  float *sums, *received; /* (own blocks, n_trained), (other blocks, floats of the pieces); NULL when not needed */
  mynah__told *told;      /* [shard] */
  float *updates;         /* (shards, n_updates); NULL alone */
  int64_t n_updates;
} mynah__part;

/* What a checkpoint keeps besides the flat arrays. */
typedef struct mynah__cursor {
  int64_t step, n_ema, n_nonfinite, best_step;
  double best_loss, best_score, log_loss; /* log_loss: sum since the last line */
  int64_t n_log;
  double last_loss;                       /* mean of the last logged interval */
} mynah__cursor;

struct mynah_trainer {
  mynah_train_config config;
  mynah_learn_task task;
  char folder[MYNAH_PATH_MAX]; /* "": nothing is written */
  int64_t n_steps;
  int n_shards, n_threads;
  int64_t shard_batch, valid_batch; /* windows of a shard; which batch a validation is at */
  size_t window_bytes[32]; /* of one sample */
  mynah_pool *pool;
  mynah_feed *feed, *valid_feed;
  mynah__engine train, valid, rest; /* rest: the last, smaller part of a validation */
  mynah_weights *average;           /* NULL without EMA */
  float *gradient, *first, *second; /* (n_trained): summed gradient, optimiser moments */
  mynah__piece *pieces;
  int n_pieces;
  double *squares; /* [piece] */
  mynah__part part;
  mynah__update *updates;
  int n_updates;
  mynah_batch batch; /* of the step at work */
  mynah__cursor cursor;
  double loss, norm; /* of the step at work */
  FILE *metrics;
  bool was_resumed;
  int64_t start_step, checkpoint_step; /* checkpoint_step: of the last one */
  double step_seconds;
  int64_t step_ns; /* of the last step */
  bool is_ending;  /* some rank was interrupted */
  int n_bad_in_a_row;
  bool has_rewound;
};

/* step.c: engines, and one training step. */
mynah_status mynah__engine_create(mynah_trainer *t, int64_t batch, int n_states, bool is_training, mynah_weights *w,
                                  mynah__engine *out);
void mynah__engine_destroy(mynah__engine *e);
/* Copies samples from … from+e->batch-1 of a batch into a state's inputs and runs it. */
void mynah__engine_run(const mynah_trainer *t, const mynah__engine *e, int state, const mynah_batch *batch, int64_t from);
mynah_status mynah__updates_create(mynah_trainer *t);
/* One step from batch cursor.step; sets loss and norm; *is_good false: the step was skipped (not finite). */
mynah_status mynah__step(mynah_trainer *t, bool *is_good);

/* optimizer.c */
mynah_status mynah__optimizer_create(mynah_trainer *t);
/* Sums gradients over shards, in pieces; sets norm. */
mynah_status mynah__sum_gradients(mynah_trainer *t);
/* Clips, updates weights and average. */
mynah_status mynah__update_weights(mynah_trainer *t);
/* The weights that act. */
mynah_weights *mynah__acting(mynah_trainer *t);

/* ranks.c. Alone these do nothing. All ranks call the same in the same order; each fails with IO when one is lost. */
mynah_status mynah__part_shards(mynah_trainer *t); /* needs n_shards */
mynah_status mynah__part_floats(mynah_trainer *t); /* needs pieces and engines */
void mynah__part_destroy(mynah__part *p);
/* All train the same; afterwards all have the weights of rank 0. Fails: MISMATCH. */
mynah_status mynah__part_check(mynah_trainer *t);
/* Rank 0's data (words of 4 bytes) to all. */
mynah_status mynah__part_share(const mynah_trainer *t, void *data, int64_t n_words);
/* Fills received, told and updates. */
mynah_status mynah__part_exchange(mynah_trainer *t);
mynah_status mynah__part_gather_told(mynah_trainer *t);
mynah_status mynah__part_gather_squares(mynah_trainer *t);
/* Every rank's slice of flat (n_trained) to all. */
mynah_status mynah__part_gather(mynah_trainer *t, float *flat);

/* evaluate.c */
mynah_status mynah__validate(mynah_trainer *t, double *loss);
mynah_status mynah__validation_create(mynah_trainer *t);

/* checkpoint.c */
mynah_status mynah__checkpoint_save(mynah_trainer *t, bool is_best);
/* Loads the last whole one, to all ranks. Fails: NOT_FOUND when there is none. */
mynah_status mynah__checkpoint_load(mynah_trainer *t);

/* metrics.c */
mynah_status mynah__metrics_open(mynah_trainer *t);
/* Appends one line and takes j. */
mynah_status mynah__metrics_write(mynah_trainer *t, mynah_json *j);

#endif
