/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah train detector: from pictures with boxes to a detector's file. Wires dataset, feed, trainer and the network, as
 * train_job.c does for policies. */
#include "tool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BOXES_PREFIX "boxes."
#define HEAD "model.23."

#define START_KEYS(K) K(STRING, from, "from", "", 0, 0, "path", "a detector whose weights this one begins with, as far as they fit")
typedef struct start_config {
  START_KEYS(MYNAH_FIELD_ROW)
} start_config;
#define START_ROW(type, field, name, value, low, high, unit, help) MYNAH_KEY_OF(start_config, type, field, name, value, low, high, unit, help)
static const mynah_key start_keys[] = {START_KEYS(START_ROW)};
static const mynah_config_table start_table = {"start", start_keys, sizeof start_keys / sizeof *start_keys, sizeof(start_config)};

/* All settings of one training. */
typedef struct job {
  train_command_config command;
  mynah_train_config train;
  mynah_feed_config feed;
  mynah_detector_config detector;
  start_config start;
} job;

static int binds_of(job *j, mynah_config_bind *binds) {
  binds[0] = (mynah_config_bind){&train_command_table, &j->command};
  binds[1] = (mynah_config_bind){&mynah_train_table, &j->train};
  binds[2] = (mynah_config_bind){&mynah_feed_table, &j->feed};
  binds[3] = (mynah_config_bind){&mynah_detector_table, &j->detector};
  binds[4] = (mynah_config_bind){&start_table, &j->start};
  return 5;
}

/* ---- what the trainer calls back -------------------------------------------------------------------------------- */

typedef struct training {
  job *job;
  mynah_detector_training about;
  char **classes;
  size_t n_classes;
  mynah_dataset *dataset;
  mynah_split split;
  mynah_window windows[2]; /* image, boxes */
  mynah_weights *weights;
  mynah_frames *frames;
  mynah_trainer *trainer;
} training;

static mynah_status build(void *context, int64_t batch, mynah_graph *g, mynah_node *loss) {
  return mynah_detector_build_train(&((training *)context)->about, batch, g, loss);
}

static mynah_status save(void *context, mynah_weights *acting, const mynah_json *summary, const char *path) {
  mynah_detector *d;
  (void)summary;
  MYNAH_TRY(mynah_detector_from_training(&((training *)context)->about, acting, &d));
  mynah_status status = mynah_detector_save(d, path);
  mynah_detector_destroy(d);
  return status;
}

/* Average precision on the part that validates. */
static mynah_status evaluate(void *context, mynah_weights *acting, int64_t step, double *score, mynah_json **details) {
  training *t = context;
  mynah_detector *d;
  mynah_precision_result r;
  (void)step;
  MYNAH_TRY(mynah_detector_from_training(&t->about, acting, &d));
  mynah_status status = eval_detector_ranges(d, t->dataset, t->split.valid, t->split.n_valid, &r);
  mynah_detector_destroy(d);
  MYNAH_TRY(status);
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "map50", mynah_json_number(r.map50));
  mynah_json_set(j, "map50_95", mynah_json_number(r.map50_95));
  *score = r.map50_95;
  *details = j;
  return MYNAH_OK;
}

/* ---- preparation ------------------------------------------------------------------------------------------------ */

mynah_status tool_find_boxes(const mynah_dataset *d, char picture[MYNAH_NAME_MAX], const mynah_feature **boxes) {
  for (int i = 0; i < mynah_dataset_n_features(d); i++) {
    const mynah_feature *f = mynah_dataset_feature(d, i);
    if (strncmp(f->name, BOXES_PREFIX, strlen(BOXES_PREFIX)) != 0 || f->n_dims != 2 || f->dims[1] != 5 ||
        f->dtype != MYNAH_F32)
      continue;
    snprintf(picture, MYNAH_NAME_MAX, "observation.images.%.70s", f->name + strlen(BOXES_PREFIX));
    *boxes = f;
    if (mynah_dataset_find(d, picture)) return MYNAH_OK;
  }
  return mynah_fail(MYNAH_NOT_FOUND,
                    "%s: has no boxes.NAME beside observation.images.NAME: record with labels=true, or import yolo",
                    mynah_dataset_path(d));
}

static mynah_status describe(training *t) {
  char name[MYNAH_NAME_MAX];
  const mynah_feature *boxes = NULL;
  MYNAH_TRY(tool_find_boxes(t->dataset, name, &boxes));
  const mynah_feature *picture = mynah_dataset_find(t->dataset, name);
  MYNAH_TRY(mynah_dataset_get_classes(t->dataset, &t->classes, &t->n_classes));
  mynah_letterbox l = mynah_detector_letterbox(&t->job->detector, (int)picture->dims[1], (int)picture->dims[0]);
  t->about = (mynah_detector_training){.config = &t->job->detector,
                                       .classes = (const char *const *)t->classes,
                                       .n_classes = (int)t->n_classes,
                                       .n_boxes = (int)boxes->dims[0],
                                       .letterbox = l};
  t->windows[0] = (mynah_window){.input = "image", .count = 1, .width = l.inner_width, .height = l.inner_height};
  t->windows[1] = (mynah_window){.input = "boxes", .count = 1, .is_boxes = true};
  MYNAH_TRY(mynah_copy_text(t->windows[0].feature, sizeof t->windows[0].feature, picture->name));
  return mynah_copy_text(t->windows[1].feature, sizeof t->windows[1].feature, boxes->name);
}

/* As many steps as the trainer will take: the loss changes over them. */
static void count_steps(training *t) {
  const mynah_train_config *c = &t->job->train;
  int64_t n = 0, stride = t->job->feed.frame_stride;
  for (int64_t i = 0; i < t->split.n_train; i++)
    n += (t->split.train[i].to - t->split.train[i].from + stride - 1) / stride;
  t->about.n_steps = c->steps > 0 ? c->steps : (int64_t)ceil(c->epochs * (double)n / (double)c->batch);
  if (t->about.n_steps < 1) t->about.n_steps = 1;
}

static mynah_status make_weights(training *t) {
  mynah_graph *g;
  mynah_node loss;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_status status = build(t, 1, g, &loss);
  if (status == MYNAH_OK) status = mynah_weights_create(g, (uint64_t)t->job->train.seed, &t->weights);
  mynah_graph_destroy(g);
  return status;
}

/* The tensor that weight `name` can begin with; the one-to-many head, which a finished detector lacks, as the other one. */
static const mynah_safetensor *find_like(const mynah_safetensors *f, const mynah_tensor_info *w) {
  char other[MYNAH_NAME_MAX];
  const mynah_safetensor *s = mynah_safetensors_find(f, w->name);
  if (!s && strncmp(w->name, HEAD "cv", strlen(HEAD "cv")) == 0) {
    snprintf(other, sizeof other, HEAD "one2one_%.60s", w->name + strlen(HEAD));
    s = mynah_safetensors_find(f, other);
  }
  bool fits = s && s->dtype == MYNAH_F32 && s->shape.n_dims == w->shape.n_dims &&
              memcmp(s->shape.dims, w->shape.dims, (size_t)s->shape.n_dims * sizeof *s->shape.dims) == 0;
  return fits ? s : NULL;
}

/* What another detector has of the same name and shape: with other classes all but the last layers of the classes. */
static mynah_status begin_with(training *t, const char *path) {
  mynah_safetensors *f;
  int n_taken = 0, n = mynah_weights_n_tensors(t->weights);
  MYNAH_TRY(mynah_safetensors_open(path, &f));
  for (int i = 0; i < n; i++) {
    const mynah_tensor_info *w = mynah_weights_tensor(t->weights, i);
    const mynah_safetensor *s = find_like(f, w);
    if (!s) continue;
    memcpy(mynah_weights_data(t->weights) + w->offset, s->data, s->bytes);
    n_taken++;
  }
  mynah_safetensors_close(f);
  tool_say("%d of %d tensors begin as in %s", n_taken, n, path);
  return n_taken ? MYNAH_OK : mynah_fail(MYNAH_MISMATCH, "from=%s: has no tensor of this network (batch norm, not folded)", path);
}

/* config.json: every key, resolved. */
static mynah_status write_config(job *j) {
  mynah_config_bind binds[TOOL_MAX_BINDS];
  int n = binds_of(j, binds);
  mynah_json *whole = mynah_json_object(), *config = mynah_json_object();
  mynah_str text = {0};
  char path[MYNAH_PATH_MAX];
  for (int i = 0; i < n; i++) mynah_config_to_json(binds[i].table, binds[i].config, config);
  mynah_json_set(whole, "policy", mynah_json_string("detector"));
  mynah_json_set(whole, "config", config);
  mynah_status status = mynah_json_dump(whole, 2, &text);
  mynah_json_destroy(whole);
  if (status == MYNAH_OK) status = mynah_make_dirs(j->command.out);
  if (status == MYNAH_OK) status = mynah_path_join(path, sizeof path, j->command.out, "config.json");
  if (status == MYNAH_OK) status = mynah_file_write(path, mynah_str_text(&text), text.length);
  mynah_str_deinit(&text);
  return status;
}

/* Lists of pictures are brought into the run folder first, once, fitted to the network's input. */
static mynah_status bring_in(job *j) {
  const mynah_importer *yolo;
  mynah_import_report report;
  char path[MYNAH_PATH_MAX], size[32];
  void *config;
  if (!mynah_labels_is(j->command.data)) return MYNAH_OK;
  if (mynah_ranks_now().count > 1) return mynah_fail(MYNAH_UNSUPPORTED, "%s: several ranks train on a .demos: import yolo makes one", j->command.data);
  MYNAH_TRY(mynah_make_dirs(j->command.out));
  MYNAH_TRY(mynah_path_join(path, sizeof path, j->command.out, "data.demos"));
  if (!mynah_file_exists(path)) {
    MYNAH_TRY(mynah_importer_find("yolo", &yolo));
    if (!(config = mynah_calloc(1, yolo->config->bytes))) return MYNAH_NO_MEMORY;
    mynah_config_bind bind = {yolo->config, config};
    mynah_config_default(yolo->config, config);
    snprintf(size, sizeof size, "%lld", (long long)j->detector.size);
    mynah_status status = mynah_config_set(&bind, 1, "imgsz", size);
    if (status == MYNAH_OK) status = yolo->run(j->command.data, path, config, tool_progress(), &report);
    mynah_free(config);
    MYNAH_TRY(status);
    tool_say("%lld pictures brought in, %lld left out: %s", (long long)report.n_frames, (long long)report.n_skipped,
             path);
    mynah_json_destroy(report.skipped);
  }
  return mynah_copy_text(j->command.data, sizeof j->command.data, path);
}

static mynah_status prepare(training *t) {
  job *j = t->job;
  bool is_resumed = j->command.resume[0] != 0;
  MYNAH_TRY(bring_in(j));
  MYNAH_TRY(mynah_dataset_open(j->command.data, MYNAH_OPEN_READ, &t->dataset));
  MYNAH_TRY(mynah_split_create(t->dataset, &j->feed, (uint64_t)j->train.seed, &t->split));
  MYNAH_TRY(describe(t));
  count_steps(t);
  MYNAH_TRY(make_weights(t));
  if (j->start.from[0] && !is_resumed) MYNAH_TRY(begin_with(t, j->start.from));
  MYNAH_TRY(mynah_frames_open(j->command.data, &j->feed, t->windows, 2, &t->frames));
  mynah_learn_task task = {.context = t,
                           .build = build,
                           .weights = t->weights,
                           .frames = t->frames,
                           .windows = t->windows,
                           .n_windows = 2,
                           .feed = &j->feed,
                           .split = &t->split,
                           .save = save,
                           .evaluate = t->split.n_valid > 0 ? evaluate : NULL};
  MYNAH_TRY(mynah_trainer_create(&j->train, &task, j->command.out, is_resumed, &t->trainer));
  return is_resumed || mynah_ranks_now().index > 0 ? MYNAH_OK : write_config(j);
}

static void clean_up(training *t) {
  mynah_trainer_destroy(t->trainer);
  mynah_frames_destroy(t->frames);
  mynah_weights_destroy(t->weights);
  mynah_split_deinit(&t->split);
  mynah_dataset_close(t->dataset);
  if (t->classes) mynah_names_free(t->classes, t->n_classes);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static mynah_status configure(const tool_args *args, job *j) {
  const char *resume = tool_setting(args, "resume"), *preset = tool_setting(args, "preset");
  mynah_config_bind binds[TOOL_MAX_BINDS];
  int n = binds_of(j, binds);
  for (int i = 0; i < n; i++) mynah_config_default(binds[i].table, binds[i].config);
  if (resume) {
    MYNAH_TRY(tool_load_run(resume, binds, n));
    MYNAH_TRY(mynah_copy_text(j->command.out, sizeof j->command.out, resume));
    return tool_apply(args, binds, n);
  }
  if (preset) MYNAH_TRY(tool_apply_preset(preset, binds, n));
  MYNAH_TRY(tool_apply(args, binds, n));
  if (!j->command.data[0]) return tool_usage_error("data=NAME.demos or dataset.yaml is missing");
  if (j->command.eval_sim[0]) return tool_usage_error("eval.sim= is for policies: a detector is measured on what validates");
  return j->command.out[0] ? MYNAH_OK : tool_usage_error("out=FOLDER is missing");
}

mynah_status train_detector_run(const tool_args *args, mynah_json *result) {
  job j;
  mynah_train_report report;
  char path[MYNAH_PATH_MAX];
  training t = {.job = &j};
  MYNAH_TRY(configure(args, &j));
  mynah_status status = prepare(&t);
  if (status == MYNAH_OK) status = mynah_trainer_run(t.trainer, tool_progress(), &report);
  clean_up(&t);
  if (status == MYNAH_INTERRUPTED) tool_say("stopped; go on with: mynah train resume=%s", j.command.out);
  if (status != MYNAH_OK || mynah_ranks_now().index > 0) return status;
  MYNAH_TRY(mynah_path_join(path, sizeof path, j.command.out, "policy.safetensors"));
  tool_say("trained a detector: %lld steps in %.1f s (%.1f pictures/s), loss %.5g; of what validates: loss %.5g, mAP50-95 %.4f\n%s",
           (long long)report.steps, report.seconds, report.samples_per_s, report.train_loss, report.valid_loss, report.best_score, path);
  return train_report_to_json(&report, path, result);
}

int train_detector_tables(const mynah_config_table **out) {
  job j;
  mynah_config_bind binds[TOOL_MAX_BINDS];
  int n = binds_of(&j, binds);
  for (int i = 0; i < n; i++) out[i] = binds[i].table;
  return n;
}
