/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The trainer: putting its parts together, the run from the first step or a checkpoint to the policy file. */
#include "trainer_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define BAD_IN_A_ROW 3

/* ---- making and ending ----------------------------------------------------------------------------------------------- */

/* By the batch alone, never by the machine: the largest of 8, 4, 2, 1 that leaves at least 8 samples a shard. */
static int choose_shards(const mynah_train_config *c) {
  if (c->shards > 0) return (int)c->shards;
  for (int n = 8; n > 1; n /= 2)
    if (c->batch % n == 0 && c->batch / n >= 8) return n;
  return 1;
}

static mynah_status check_config(mynah_trainer *t) {
  const mynah_train_config *c = &t->config;
  t->n_shards = choose_shards(c);
  if (c->batch % t->n_shards != 0 || t->n_shards > c->batch)
    return mynah_fail(MYNAH_INVALID, "batch=%lld cannot be cut into shards=%d equal parts", (long long)c->batch, t->n_shards);
  t->shard_batch = c->batch / t->n_shards;
  MYNAH_TRY(mynah__part_shards(t));
  t->n_threads = c->threads > 0 ? (int)c->threads : mynah_cpu_count();
  if (t->task.n_windows < 1 || t->task.n_windows > 32) return mynah_fail(MYNAH_INVALID, "training: 1 … 32 windows");
  return MYNAH_OK;
}

/* Bytes of one sample of each window, as the feed lays it out. */
static bool measure_windows(mynah_trainer *t, const mynah_program *p) {
  bool has_pictures = false;
  for (int i = 0; i < mynah_program_n_inputs(p); i++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *name = mynah_program_input(p, i, &dtype, &shape);
    for (int k = 0; k < t->task.n_windows; k++)
      if (strcmp(t->task.windows[k].input, name) == 0)
        t->window_bytes[k] = (size_t)mynah_shape_size(shape) * mynah_dtype_bytes(dtype) / (size_t)t->shard_batch;
    has_pictures = has_pictures || dtype == MYNAH_U8;
  }
  return has_pictures;
}

/* The windows' sizes come from a graph described once more: they are needed before the engines are made. */
static mynah_status find_windows(mynah_trainer *t, bool *has_pictures) {
  mynah_graph *g = NULL;
  mynah_program *p = NULL;
  mynah_node loss;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_compile_config config = mynah_compile_default();
  config.kernels = "ref,fast,dnnl"; /* it never runs */
  mynah_status status = t->task.build(t->task.context, t->shard_batch, g, &loss);
  if (status == MYNAH_OK) mynah_output(g, "loss", loss);
  if (status == MYNAH_OK) status = mynah_compile(g, &config, &p);
  if (status == MYNAH_OK) *has_pictures = measure_windows(t, p);
  mynah_program_destroy(p);
  mynah_graph_destroy(g);
  return status;
}

static mynah_status create_feed(mynah_trainer *t, bool has_pictures) {
  const mynah_split *s = t->task.split;
  mynah_feed_options o = {.ranges = s->train, .n_ranges = s->n_train, .batch = t->config.batch,
                          .seed = (uint64_t)t->config.seed, .is_training = true,
                          .first = t->part.first_shard * t->shard_batch, .count = t->part.n_shards * t->shard_batch,
                          .pool = t->pool};
  o.n_workers = (int)t->task.feed->feed_workers;
  /* Vectors alone are put together in little time, by the threads that train; pictures want threads of their own. */
  if (o.n_workers == 0 && has_pictures) o.n_workers = t->n_threads;
  MYNAH_TRY(mynah_feed_create(t->task.frames, t->task.feed, &o, &t->feed));
  int64_t n = mynah_feed_n_samples(t->feed);
  t->n_steps = t->config.steps > 0 ? t->config.steps : (int64_t)ceil(t->config.epochs * (double)n / (double)t->config.batch);
  return t->n_steps > 0 ? MYNAH_OK : mynah_fail(MYNAH_INVALID, "steps=0 and epochs=%g: nothing to do", t->config.epochs);
}

/* A beginning that failed, or was killed before its settings were written, is not a run: the same command may be typed again. */
static mynah_status holds_run(const mynah_trainer *t, const char *checkpoints, bool *out) {
  char path[MYNAH_PATH_MAX], **names = NULL;
  size_t n = 0;
  MYNAH_TRY(mynah_path_join(path, sizeof path, t->folder, "config.json"));
  *out = mynah_file_exists(path);
  if (*out || !mynah_file_exists(checkpoints)) return MYNAH_OK;
  MYNAH_TRY(mynah_list_dir(checkpoints, &names, &n));
  *out = n > 0;
  mynah_names_free(names, n);
  return MYNAH_OK;
}

static mynah_status open_folder(mynah_trainer *t, bool resume) {
  char path[MYNAH_PATH_MAX];
  bool is_taken = false;
  if (!t->folder[0]) return MYNAH_OK;
  MYNAH_TRY(mynah_path_join(path, sizeof path, t->folder, "checkpoints"));
  if (!resume) MYNAH_TRY(holds_run(t, path, &is_taken));
  if (is_taken)
    return mynah_fail(MYNAH_BUSY, "%s: holds a run already: train resume=%s goes on with it, or choose another folder",
                      t->folder, t->folder);
  MYNAH_TRY(mynah_make_dirs(path));
  return MYNAH_OK;
}

static mynah_status fill_trainer(mynah_trainer *t, bool resume) {
  bool has_pictures = false;
  MYNAH_TRY(check_config(t));
  MYNAH_TRY(open_folder(t, resume));
  MYNAH_TRY(mynah_pool_create(t->n_threads, &t->pool));
  MYNAH_TRY(find_windows(t, &has_pictures));
  MYNAH_TRY(mynah__engine_create(t, t->shard_batch, t->part.n_shards, true, t->task.weights, &t->train));
  MYNAH_TRY(mynah__optimizer_create(t));
  MYNAH_TRY(mynah__updates_create(t));
  MYNAH_TRY(create_feed(t, has_pictures));
  MYNAH_TRY(mynah__validation_create(t));
  MYNAH_TRY(mynah__part_check(t));
  t->cursor = (mynah__cursor){.best_loss = INFINITY, .best_score = -INFINITY, .last_loss = NAN};
  if (resume) {
    mynah_status status = mynah__checkpoint_load(t);
    if (status != MYNAH_NOT_FOUND) MYNAH_TRY(status); /* killed before the first checkpoint: from the beginning */
    t->was_resumed = true;
  }
  mynah_feed_seek(t->feed, t->cursor.step);
  t->start_step = t->cursor.step;
  return mynah__metrics_open(t);
}

mynah_status mynah_trainer_create(const mynah_train_config *config, const mynah_learn_task *task, const char *folder,
                                  bool resume, mynah_trainer **out) {
  mynah_trainer *t = mynah_calloc(1, sizeof *t);
  if (!t) return MYNAH_NO_MEMORY;
  t->config = *config;
  t->task = *task;
  /* Rank 0 alone writes. */
  mynah_status status = mynah_copy_text(t->folder, sizeof t->folder, folder && mynah_ranks_now().index == 0 ? folder : "");
  if (status == MYNAH_OK) status = fill_trainer(t, resume);
  if (status != MYNAH_OK) {
    mynah_trainer_destroy(t);
    return status;
  }
  *out = t;
  return MYNAH_OK;
}

void mynah_trainer_destroy(mynah_trainer *t) {
  if (!t) return;
  mynah_feed_destroy(t->feed);
  mynah_feed_destroy(t->valid_feed);
  mynah__engine_destroy(&t->train);
  mynah__engine_destroy(&t->valid);
  mynah__engine_destroy(&t->rest);
  mynah_weights_destroy(t->average);
  for (int i = 0; i < t->n_updates; i++) {
    mynah_free(t->updates[i].outputs);
    mynah_free(t->updates[i].own);
  }
  mynah__part_destroy(&t->part);
  mynah_free(t->updates);
  mynah_free(t->gradient);
  mynah_free(t->first);
  mynah_free(t->second);
  mynah_free(t->pieces);
  mynah_free(t->squares);
  mynah_pool_destroy(t->pool);
  if (t->metrics) fclose(t->metrics);
  mynah_free(t);
}

/* ---- the run --------------------------------------------------------------------------------------------------------- */

/* Numbers that are no number are skipped and counted; three in a row go back to the last checkpoint, once. */
static mynah_status handle_bad_step(mynah_trainer *t) {
  t->cursor.n_nonfinite++;
  if (++t->n_bad_in_a_row < BAD_IN_A_ROW) return MYNAH_OK;
  int64_t step = t->cursor.step;
  if (t->has_rewound || mynah__checkpoint_load(t) != MYNAH_OK)
    return mynah_fail(MYNAH_NONFINITE, "training: loss or gradient was not finite %d times up to step %lld: a smaller lr or "
                      "clip may help", BAD_IN_A_ROW, (long long)step);
  mynah_log(MYNAH_LOG_WARNING, "training: not finite at step %lld: back to step %lld", (long long)step, (long long)t->cursor.step);
  mynah_feed_seek(t->feed, t->cursor.step);
  t->has_rewound = true;
  t->n_bad_in_a_row = 0;
  return MYNAH_OK;
}

static mynah_status timed_step(mynah_trainer *t) {
  bool is_good = true;
  int64_t start = mynah_now_ns();
  MYNAH_TRY(mynah__step(t, &is_good));
  t->step_ns = mynah_now_ns() - start;
  t->step_seconds += (double)t->step_ns * 1e-9;
  if (!is_good) return handle_bad_step(t);
  t->n_bad_in_a_row = 0;
  t->cursor.log_loss += t->loss;
  t->cursor.n_log++;
  return MYNAH_OK;
}

static double samples_per_s(const mynah_trainer *t) {
  double n = (double)(t->cursor.step - t->start_step) * (double)t->config.batch;
  return t->step_seconds > 0 ? n / t->step_seconds : 0;
}

static mynah_json *metrics_line(const mynah_trainer *t) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "step", mynah_json_integer(t->cursor.step));
  mynah_json_set(j, "epoch", mynah_json_number((double)t->cursor.step * (double)t->config.batch / (double)mynah_feed_n_samples(t->feed)));
  return j;
}

static mynah_status log_step(mynah_trainer *t) {
  if (t->cursor.n_log > 0) t->cursor.last_loss = t->cursor.log_loss / (double)t->cursor.n_log;
  t->cursor.log_loss = 0;
  t->cursor.n_log = 0;
  mynah_json *j = metrics_line(t);
  mynah_json_set(j, "lr", mynah_json_number(mynah_learning_rate(&t->config, t->cursor.step - 1, t->n_steps)));
  mynah_json_set(j, "loss", mynah_json_number(t->cursor.last_loss));
  mynah_json_set(j, "grad_norm", mynah_json_number(t->norm));
  mynah_json_set(j, "samples_per_s", mynah_json_number(samples_per_s(t)));
  return mynah__metrics_write(t, j);
}

/* Validation; *is_best when it is the lowest so far and decides. */
static mynah_status validate(mynah_trainer *t, double *loss, bool *is_best) {
  MYNAH_TRY(mynah__validate(t, loss));
  bool is_lowest = *loss < t->cursor.best_loss;
  if (is_lowest) t->cursor.best_loss = *loss;
  *is_best = is_lowest && !t->task.evaluate;
  if (*is_best) t->cursor.best_step = t->cursor.step;
  mynah_json *j = metrics_line(t);
  mynah_json_set(j, "valid_loss", mynah_json_number(*loss));
  return mynah__metrics_write(t, j);
}

static mynah_status save_policy(mynah_trainer *t, const char *name) {
  char path[MYNAH_PATH_MAX];
  if (!t->folder[0] || !t->task.save) return MYNAH_OK;
  MYNAH_TRY(mynah_path_join(path, sizeof path, t->folder, name));
  return t->task.save(t->task.context, mynah__acting(t), NULL, path);
}

/* Closed loop: the policy file is the best one so far. Rank 0 does it. */
static mynah_status evaluate(mynah_trainer *t, bool *is_best) {
  double score = 0;
  mynah_json *details = NULL;
  if (t->average) MYNAH_TRY(mynah__part_gather(t, mynah_weights_data(t->average)));
  if (t->part.ranks.index == 0)
    MYNAH_TRY(t->task.evaluate(t->task.context, mynah__acting(t), t->cursor.step, &score, &details));
  mynah_status status = mynah__part_share(t, &score, sizeof score / 4);
  if (status != MYNAH_OK) {
    mynah_json_destroy(details);
    return status;
  }
  *is_best = score > t->cursor.best_score || t->cursor.best_step == 0;
  if (*is_best) {
    t->cursor.best_score = isnan(score) ? -INFINITY : score;
    t->cursor.best_step = t->cursor.step;
    MYNAH_TRY(save_policy(t, "policy.safetensors"));
  }
  mynah_json *j = metrics_line(t);
  mynah_json_set(j, "score", mynah_json_number(score));
  mynah_json_set(j, "evaluation", details ? details : mynah_json_null());
  return mynah__metrics_write(t, j);
}

static bool is_due(int64_t step, int64_t every, int64_t n_steps) { return every > 0 && (step % every == 0 || step == n_steps); }

/* What happens between steps. */
static mynah_status between_steps(mynah_trainer *t, double *valid_loss) {
  const mynah_train_config *c = &t->config;
  int64_t step = t->cursor.step, n = t->n_steps;
  int64_t valid_every = c->valid_every > 0 ? c->valid_every : n / 10 > 0 ? n / 10 : 1;
  bool is_best = false;
  if (is_due(step, c->log_every, n)) MYNAH_TRY(log_step(t));
  if (is_due(step, valid_every, n)) MYNAH_TRY(validate(t, valid_loss, &is_best));
  if (t->task.evaluate && is_due(step, c->eval_every > 0 ? c->eval_every : n, n)) MYNAH_TRY(evaluate(t, &is_best));
  if (is_due(step, c->checkpoint_every > 0 ? c->checkpoint_every : valid_every, n)) MYNAH_TRY(mynah__checkpoint_save(t, is_best));
  return MYNAH_OK;
}

static void tell(const mynah_trainer *t, const mynah_progress *progress, int64_t *told_ns, double valid_loss) {
  int64_t now = mynah_now_ns();
  if (now - *told_ns < 100000000 && t->cursor.step != t->n_steps) return;
  *told_ns = now;
  char extra[96];
  snprintf(extra, sizeof extra, "loss %.4g  validation %.4g", isnan(t->cursor.last_loss) ? t->loss : t->cursor.last_loss, valid_loss);
  mynah_progress_tell(progress, "train", (double)t->cursor.step, (double)t->n_steps, "steps", extra);
}

static mynah_status run_steps(mynah_trainer *t, const mynah_progress *progress, double *valid_loss) {
  int64_t told_ns = 0;
  while (t->cursor.step < t->n_steps) {
    MYNAH_TRY(timed_step(t));
    if (t->cursor.step > t->start_step) MYNAH_TRY(between_steps(t, valid_loss));
    tell(t, progress, &told_ns, *valid_loss);
    /* Ranks end at the same step, by what they told each other. */
    bool is_ending = t->part.ranks.count > 1 ? t->is_ending : mynah_is_interrupted();
    if (!is_ending || t->cursor.step == t->n_steps) continue;
    MYNAH_TRY(mynah__checkpoint_save(t, false));
    return mynah_fail(MYNAH_INTERRUPTED, "training: interrupted at step %lld of %lld; a checkpoint was saved in %s",
                      (long long)t->cursor.step, (long long)t->n_steps, t->folder);
  }
  return MYNAH_OK;
}

static void fill_report(const mynah_trainer *t, double valid_loss, double total_seconds, mynah_train_report *r) {
  *r = (mynah_train_report){.steps = t->cursor.step,
                            .n_parameters = mynah_weights_n_parameters(t->task.weights),
                            .n_train_windows = mynah_feed_n_samples(t->feed),
                            .n_valid_windows = t->valid_feed ? mynah_feed_n_samples(t->valid_feed) : 0,
                            .seconds = t->step_seconds,
                            .total_seconds = total_seconds,
                            .samples_per_s = samples_per_s(t),
                            .flops_per_step = mynah_program_flops(t->train.program) * t->n_shards,
                            .train_loss = t->cursor.last_loss,
                            .valid_loss = valid_loss,
                            .best_loss = t->cursor.best_loss,
                            .best_score = isfinite(t->cursor.best_score) ? t->cursor.best_score : NAN,
                            .best_step = t->cursor.best_step,
                            .n_nonfinite = t->cursor.n_nonfinite,
                            .was_resumed = t->was_resumed};
}

mynah_status mynah_trainer_run(mynah_trainer *t, const mynah_progress *progress, mynah_train_report *report) {
  int64_t start = mynah_now_ns();
  double valid_loss = NAN;
  MYNAH_TRY(run_steps(t, progress, &valid_loss));
  if (isnan(valid_loss)) MYNAH_TRY(mynah__validate(t, &valid_loss)); /* resumed after the last step */
  if (t->average) MYNAH_TRY(mynah__part_gather(t, mynah_weights_data(t->average)));
  MYNAH_TRY(save_policy(t, t->task.evaluate ? "policy-last.safetensors" : "policy.safetensors"));
  if (t->average)
    memcpy(mynah_weights_data(t->task.weights), mynah_weights_const_data(t->average),
           (size_t)mynah_weights_n_floats(t->average) * sizeof(float));
  fill_report(t, valid_loss, (double)(mynah_now_ns() - start) * 1e-9, report);
  return MYNAH_OK;
}

mynah_status mynah_trainer_step(mynah_trainer *t, double *loss) {
  bool is_good = true;
  MYNAH_TRY(mynah__step(t, &is_good));
  *loss = t->loss;
  return is_good ? MYNAH_OK : mynah_fail(MYNAH_NONFINITE, "training: loss or gradient is not finite");
}
