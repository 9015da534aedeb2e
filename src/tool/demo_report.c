/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The demo's report: collects what was recorded, trained and driven as data for the page. */
#include "demo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const demo_driver_names[DEMO_DRIVERS] = {"expert", "clone", "plain"};

#define STRIP_FRAMES 160 /* of the clone's first lap */
#define STRIP_EVERY 4    /* steps between them */
#define BINS 40

mynah_json *tool_text_row(const char *const *cells, int n) {
  mynah_json *row = mynah_json_array();
  for (int i = 0; i < n; i++) mynah_json_append(row, mynah_json_string(cells[i]));
  return row;
}

/* ---- result table ------------------------------------------------------------------------------------------------- */

static mynah_json *result_row(const demo *d, int driver) {
  const mynah_json *m = d->metrics[driver];
  const mynah_json *autonomy = mynah_json_get(m, "autonomy"), *finished = mynah_json_get(m, "finished");
  const mynah_json *offset = mynah_json_get(m, "offset_m");
  const mynah_json *ci = mynah_json_get(autonomy, "ci"), *ci2 = mynah_json_get(finished, "ci");
  char cells[5][96];
  const char *pointers[5] = {cells[0], cells[1], cells[2], cells[3], cells[4]};
  static const char *const titles[DEMO_DRIVERS] = {"expert", "clone", "plain clone"};
  snprintf(cells[0], sizeof cells[0], "%s", titles[driver]);
  snprintf(cells[1], sizeof cells[1], "%.3f [%.3f, %.3f]", mynah_json_to_number(mynah_json_get(autonomy, "mean"), NAN),
           mynah_json_to_number(mynah_json_at(ci, 0), NAN), mynah_json_to_number(mynah_json_at(ci, 1), NAN));
  snprintf(cells[2], sizeof cells[2], "%lld of %lld [%.0f %%, %.0f %%]",
           (long long)mynah_json_to_integer(mynah_json_get(finished, "k"), 0),
           (long long)mynah_json_to_integer(mynah_json_get(finished, "n"), 0),
           100 * mynah_json_to_number(mynah_json_at(ci2, 0), NAN), 100 * mynah_json_to_number(mynah_json_at(ci2, 1), NAN));
  snprintf(cells[3], sizeof cells[3], "%.2f (p95 %.2f)", mynah_json_to_number(mynah_json_get(offset, "mean"), NAN),
           mynah_json_to_number(mynah_json_get(offset, "p95"), NAN));
  snprintf(cells[4], sizeof cells[4], "%.2f", mynah_json_to_number(mynah_json_get(m, "departures_per_km"), NAN));
  return tool_text_row(pointers, 5);
}

static mynah_json *results(const demo *d) {
  static const char *const columns[] = {"driver", "autonomy", "laps finished", "offset from the middle, m",
                                        "departures per km"};
  mynah_json *j = mynah_json_object(), *rows = mynah_json_array();
  for (int i = 0; i < DEMO_DRIVERS; i++) mynah_json_append(rows, result_row(d, i));
  mynah_json_set(j, "columns", tool_text_row(columns, 5));
  mynah_json_set(j, "rows", rows);
  char note[512];
  snprintf(note, sizeof note,
           "%lld roads that no training saw (seeds from %lld), the same for each driver; 95 %% intervals in brackets "
           "(bootstrap over roads for autonomy, Wilson for laps). Autonomy = 1 - 6 s x interventions / time; a lap counts "
           "as finished when no intervention was needed. One training seed (%lld).",
           (long long)d->config.episodes, (long long)d->config.eval_seed, (long long)d->config.seed);
  mynah_json_set(j, "note", mynah_json_string(note));
  return j;
}

/* ---- story, settings, how-to --------------------------------------------------------------------------------------- */

void tool_add_text(mynah_json *list, const char *heading, const char *text) {
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "heading", mynah_json_string(heading));
  mynah_json_set(j, "text", mynah_json_string(text));
  mynah_json_append(list, j);
}

static mynah_json *story(const demo *d) {
  mynah_json *list = mynah_json_array();
  char text[1024];
  snprintf(text, sizeof text,
           "An expert, a pure-pursuit driver that sees the true road, drove %.0f s on each of %lld roads: %lld frames at "
           "20 Hz from three cameras. Its steering was disturbed while it drove, and the clean command it would have given "
           "was kept as the label, so the demonstrations show how to come back from the side.",
           d->config.road_s, (long long)d->recorded[0].n_episodes, (long long)d->recorded[0].n_frames);
  tool_add_text(list, "Demonstrated", text);
  snprintf(text, sizeof text,
           "A convolutional network of %lld parameters learned steering and throttle from the front camera and the speed: "
           "%lld steps in %.0f s, %.0f pictures a second. Pictures from the left and right cameras came with a corrected "
           "steering label.",
           (long long)d->trained[0].report.n_parameters, (long long)d->trained[0].report.steps,
           d->trained[0].report.seconds, d->trained[0].report.samples_per_s);
  tool_add_text(list, "Learned", text);
  snprintf(text, sizeof text,
           "Expert and clone then drove %lld unseen roads. The plain clone is the same network trained as long on the same "
           "roads without noise and without side cameras (%lld frames): it has never seen how to recover, and what "
           "that costs is shown as it is. The whole took %.0f s.",
           (long long)d->config.episodes, (long long)d->recorded[1].n_frames, d->seconds);
  tool_add_text(list, "Driven", text);
  return list;
}

mynah_json *tool_table_rows(const mynah_config_table *table, const void *config) {
  mynah_json *rows = mynah_json_array();
  for (size_t i = 0; i < table->n_keys; i++) {
    mynah_str value = {0};
    mynah_config_value(&table->keys[i], config, &value);
    const char *cells[3] = {table->keys[i].name, mynah_str_text(&value), table->keys[i].help};
    mynah_json_append(rows, tool_text_row(cells, 3));
    mynah_str_deinit(&value);
  }
  return rows;
}

static mynah_json *settings(demo *d) {
  mynah_json *list = mynah_json_array();
  mynah_config_bind binds[TOOL_MAX_BINDS + 1];
  int n = train_job_binds(&d->trained[0].job, binds);
  binds[n++] = (mynah_config_bind){&demo_table, &d->config};
  for (int i = n - 1; i >= 0; i--) {
    mynah_json *j = mynah_json_object();
    mynah_json_set(j, "heading", mynah_json_string(binds[i].table->name));
    mynah_json_set(j, "rows", tool_table_rows(binds[i].table, binds[i].config));
    mynah_json_append(list, j);
  }
  return list;
}

static mynah_json *howto(void) {
  static const char *const rows[][3] = {
      {"Bring demonstrations in", "From the Udacity simulator's folder, or a diffusion-policy zarr store; each episode is "
       "checked and sealed.", "mynah import udacity FOLDER out=drive.demos\nmynah data verify drive.demos"},
      {"Train", "preset=drive is the network of this page for recorded driving; every key of the settings above can be "
       "typed after it.", "mynah train mlp preset=drive data=drive.demos out=run1"},
      {"Ask how good it is", "Against the recorded driver on the part kept aside, or in closed loop in a simulator.",
       "mynah eval run1/policy.safetensors data=drive.demos\nmynah eval run1/policy.safetensors sim=track episodes=50"},
  };
  mynah_json *list = mynah_json_array();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    tool_add_text(list, rows[i][0], rows[i][1]);
    mynah_json_set((mynah_json *)(uintptr_t)mynah_json_at(list, i), "code", mynah_json_string(rows[i][2]));
  }
  return list;
}

/* ---- pictures ------------------------------------------------------------------------------------------------------ */

static void add_picture(mynah_json *images, const void *bytes, size_t n) {
  mynah_str url = {0};
  mynah_data_url("image/jpeg", bytes, n, &url);
  mynah_json_append(images, mynah_json_string(mynah_str_text(&url)));
  mynah_str_deinit(&url);
}

/* Six frames of different episodes from one camera. */
static mynah_status sample_camera(mynah_dataset *set, const char *camera, const char *caption, mynah_json *list) {
  mynah_json *j = mynah_json_object(), *images = mynah_json_array();
  mynah_json_set(j, "caption", mynah_json_string(caption));
  mynah_status status = MYNAH_OK;
  int64_t n = mynah_dataset_n_episodes(set);
  for (int64_t i = 0; i < 6 && i < n && status == MYNAH_OK; i++) {
    int64_t episode = i * n / 6 < n ? i * n / 6 : n - 1;
    const void *bytes;
    size_t size;
    int64_t frame = mynah_dataset_episode(set, episode)->n_frames * (i + 1) / 8;
    status = mynah_dataset_read_blob(set, episode, camera, frame, &bytes, &size);
    if (status == MYNAH_OK) add_picture(images, bytes, size);
  }
  mynah_json_set(j, "images", images);
  mynah_json_append(list, j);
  return status;
}

static mynah_status pictures(const demo *d, mynah_json *list) {
  mynah_dataset *set;
  MYNAH_TRY(mynah_dataset_open(d->data, MYNAH_OPEN_READ, &set));
  mynah_status status = sample_camera(set, "observation.images.left", "left camera", list);
  if (status == MYNAH_OK) status = sample_camera(set, "observation.images.front", "front camera", list);
  if (status == MYNAH_OK) status = sample_camera(set, "observation.images.right", "right camera", list);
  mynah_dataset_close(set);
  return status;
}

/* ---- curves -------------------------------------------------------------------------------------------------------- */

static mynah_json *point(double x, double y) { return mynah_json_numbers((double[]){x, y}, 2); }

/* The numbers under `key` of a run's metrics.jsonl over its steps. */
static mynah_json *metric_points(const char *folder, const char *key) {
  mynah_json *points = mynah_json_array();
  char path[MYNAH_PATH_MAX], *text = NULL;
  size_t length = 0;
  if (mynah_path_join(path, sizeof path, folder, "metrics.jsonl") != MYNAH_OK ||
      mynah_file_read(path, (size_t)64 << 20, &text, &length) != MYNAH_OK)
    return points;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    mynah_json *j;
    if (mynah_json_parse(line, strlen(line), &j) != MYNAH_OK) continue;
    double x = mynah_json_to_number(mynah_json_get(j, "step"), NAN), y = mynah_json_to_number(mynah_json_get(j, key), NAN);
    if (isfinite(x) && isfinite(y)) mynah_json_append(points, point(x, y));
    mynah_json_destroy(j);
  }
  mynah_free(text);
  return points;
}

static void add_series(mynah_json *list, const char *name, mynah_json *points) {
  mynah_json *s = mynah_json_object();
  mynah_json_set(s, "name", mynah_json_string(name));
  mynah_json_set(s, "points", points);
  mynah_json_append(list, s);
}

static int column(const char *name) {
  for (int k = 0; mynah_sim_track.trace_names[k]; k++)
    if (strcmp(mynah_sim_track.trace_names[k], name) == 0) return k;
  return 0;
}

static double at(const mynah_trace *t, int64_t row, const char *name) {
  return t->rows[row * t->n_columns + column(name)];
}

/* Offset over distance on the first road. */
static mynah_json *offset_points(const mynah_trace *t) {
  mynah_json *points = mynah_json_array();
  for (int64_t row = 0; row < t->n_rows; row += 2)
    mynah_json_append(points, point(floor(at(t, row, "s_m") * 2) / 2, at(t, row, "offset_m")));
  return points;
}

static mynah_json *curve(const char *title, const char *x, const char *y, bool is_log, mynah_json *series) {
  mynah_json *c = mynah_json_object();
  mynah_json_set(c, "title", mynah_json_string(title));
  mynah_json_set(c, "x", mynah_json_string(x));
  mynah_json_set(c, "y", mynah_json_string(y));
  mynah_json_set(c, "log", mynah_json_bool(is_log));
  mynah_json_set(c, "series", series);
  return c;
}

static mynah_json *curves(const demo *d) {
  mynah_json *list = mynah_json_array();
  static const char *const titles[2] = {"Loss of the clone", "Loss of the plain clone"};
  for (int i = 0; i < 2; i++) {
    mynah_json *series = mynah_json_array();
    add_series(series, "training", metric_points(d->trained[i].folder, "loss"));
    add_series(series, "validation", metric_points(d->trained[i].folder, "valid_loss"));
    mynah_json_append(list, curve(titles[i], "step", "loss", true, series));
  }
  mynah_json *series = mynah_json_array();
  for (int i = 0; i < DEMO_DRIVERS; i++) add_series(series, demo_driver_names[i], offset_points(&d->results[i].traces[0]));
  mynah_json_append(list, curve("Offset over distance, first road", "distance, m", "offset, m", false, series));
  return list;
}

/* ---- actions -------------------------------------------------------------------------------------------------------- */

static void add_counts(mynah_json *series, const char *name, const double *counts) {
  mynah_json *s = mynah_json_object();
  mynah_json_set(s, "name", mynah_json_string(name));
  mynah_json_set(s, "counts", mynah_json_numbers(counts, BINS));
  mynah_json_append(series, s);
}

static mynah_json *histogram(const demo *d, const char *name) {
  mynah_json *h = mynah_json_object(), *series = mynah_json_array();
  double edges[BINS + 1];
  for (int i = 0; i <= BINS; i++) edges[i] = -1 + 2.0 * i / BINS;
  for (int driver = 0; driver < DEMO_DRIVERS; driver++) {
    double counts[BINS] = {0};
    for (int64_t e = 0; e < d->results[driver].n_traces; e++) {
      const mynah_trace *t = &d->results[driver].traces[e];
      for (int64_t row = 1; row < t->n_rows; row++) {
        double v = at(t, row, name);
        int bin = (int)((v + 1) / 2 * BINS);
        counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin] += 1;
      }
    }
    add_counts(series, demo_driver_names[driver], counts);
  }
  mynah_str title = {0};
  mynah_str_printf(&title, "%s: share of steps", name);
  mynah_json_set(h, "title", mynah_json_string(mynah_str_text(&title)));
  mynah_str_deinit(&title);
  mynah_json_set(h, "x", mynah_json_string(name));
  mynah_json_set(h, "edges", mynah_json_numbers(edges, BINS + 1));
  mynah_json_set(h, "series", series);
  return h;
}

/* ---- roads and what was seen ------------------------------------------------------------------------------------------ */

static mynah_json *polyline(const double *xy, int n) {
  mynah_json *points = mynah_json_array();
  for (int i = 0; i < n; i++) mynah_json_append(points, point(xy[2 * i], xy[2 * i + 1]));
  return points;
}

static mynah_json *path(const mynah_trace *t, const char *name) {
  mynah_json *p = mynah_json_object(), *points = mynah_json_array(), *interventions = mynah_json_array();
  for (int64_t row = 0; row < t->n_rows; row++) {
    double x = at(t, row, "x_m"), y = at(t, row, "y_m");
    if (row % 4 == 0) mynah_json_append(points, point(x, y));
    if (at(t, row, "intervention") > 0.5) mynah_json_append(interventions, point(x, y));
  }
  mynah_json_set(p, "name", mynah_json_string(name));
  mynah_json_set(p, "points", points);
  mynah_json_set(p, "interventions", interventions);
  return p;
}

static mynah_json *road(const demo *d, mynah_device *device, int64_t i) {
  mynah_track_outline outline;
  mynah_track_outline_get(device, &outline);
  mynah_json *j = mynah_json_object(), *paths = mynah_json_array();
  mynah_str title = {0};
  mynah_str_printf(&title, "Road %lld, %.0f m", (long long)(d->config.eval_seed + i), outline.length_m);
  mynah_json_set(j, "title", mynah_json_string(mynah_str_text(&title)));
  mynah_str_deinit(&title);
  mynah_json_set(j, "left", polyline(outline.left, outline.n));
  mynah_json_set(j, "right", polyline(outline.right, outline.n));
  for (int k = 0; k < DEMO_DRIVERS; k++) mynah_json_append(paths, path(&d->results[k].traces[i], demo_driver_names[k]));
  mynah_json_set(j, "paths", paths);
  return j;
}

/* Drives the clone's first lap again and keeps what the camera saw. */
static mynah_status film(const demo *d, mynah_device *device, mynah_actor *actor, const int *order, mynah_json *strip) {
  mynah_json *frames = mynah_json_array(), *labels = mynah_json_array();
  mynah_value observed[16], ordered[MYNAH_POLICY_INPUTS_MAX];
  float action[2];
  mynah_status status = device->type->reset(device, (uint64_t)d->config.eval_seed);
  mynah_actor_reset(actor, (uint64_t)d->config.eval_seed);
  for (int64_t step = 0; status == MYNAH_OK && step < STRIP_FRAMES * STRIP_EVERY && !device->is_done; step++) {
    device->type->observe(device, observed);
    for (int i = 0; i < MYNAH_POLICY_INPUTS_MAX; i++) ordered[i] = observed[order[i]];
    mynah_actor_act(actor, ordered, action);
    if (step % STRIP_EVERY == 0) {
      const mynah_feature *f = &device->features[0];
      mynah_image picture = {(uint8_t *)(uintptr_t)observed[0].data, (int)f->dims[1], (int)f->dims[0]};
      mynah_str jpeg = {0};
      char label[96];
      status = mynah_jpeg_encode(&picture, 80, &jpeg);
      if (status == MYNAH_OK) add_picture(frames, jpeg.data, jpeg.length);
      mynah_str_deinit(&jpeg);
      snprintf(label, sizeof label, "%.1f s   steering %+.2f   throttle %+.2f", (double)step / device->rate_hz,
               (double)action[0], (double)action[1]);
      mynah_json_append(labels, mynah_json_string(label));
    }
    device->type->act(device, action);
  }
  mynah_json_set(strip, "title", mynah_json_string("The clone's first unseen road"));
  mynah_json_set(strip, "rate_hz", mynah_json_number(device->rate_hz / STRIP_EVERY));
  mynah_json_set(strip, "frames", frames);
  mynah_json_set(strip, "labels", labels);
  return status;
}

static mynah_status film_clone(const demo *d, mynah_device *device, mynah_json *strips) {
  mynah_clone *clone;
  mynah_actor *actor = NULL;
  int order[MYNAH_POLICY_INPUTS_MAX] = {0};
  MYNAH_TRY(mynah_clone_load(d->trained[0].policy, &clone));
  mynah_status status = mynah_policy_match(mynah_clone_policy(clone), device->features, device->n_features, order);
  if (status == MYNAH_OK) status = mynah_actor_create(clone, &actor);
  mynah_json *strip = mynah_json_object();
  if (status == MYNAH_OK) status = film(d, device, actor, order, strip);
  mynah_json_append(strips, strip);
  mynah_actor_destroy(actor);
  mynah_clone_destroy(clone);
  return status;
}

static mynah_status roads_and_film(const demo *d, mynah_json *tracks, mynah_json *strips) {
  mynah_device *device;
  MYNAH_TRY(mynah_sim_track.open(NULL, &device));
  mynah_status status = MYNAH_OK;
  for (int64_t i = 0; status == MYNAH_OK && i < d->results[0].n_traces; i++) {
    status = device->type->reset(device, (uint64_t)(d->config.eval_seed + i));
    if (status == MYNAH_OK) mynah_json_append(tracks, road(d, device, i));
  }
  if (status == MYNAH_OK) status = film_clone(d, device, strips);
  device->type->close(device);
  return status;
}

/* ---- the page ------------------------------------------------------------------------------------------------------- */

mynah_status demo_report_write(demo *d) {
  mynah_json *j = mynah_json_object(), *sampled = mynah_json_array(), *histograms = mynah_json_array();
  mynah_json *tracks = mynah_json_array(), *strips = mynah_json_array();
  mynah_json_set(j, "title", mynah_json_string("A car that learned to drive by watching"));
  mynah_json_set(j, "subtitle", mynah_json_string("Behavioral cloning from camera pictures: demonstrated, learned and "
                                                  "driven on this computer."));
  char created[64];
  time_t now = time(NULL);
  struct tm when;
  strftime(created, sizeof created, "Made on %Y-%m-%d %H:%M UTC by mynah " MYNAH_VERSION, gmtime_r(&now, &when));
  mynah_json_set(j, "created", mynah_json_string(created));
  mynah_json_set(j, "results", results(d));
  mynah_json_set(j, "story", story(d));
  mynah_json_set(j, "settings", settings(d));
  mynah_json_set(j, "curves", curves(d));
  mynah_json_append(histograms, histogram(d, "steering"));
  mynah_json_append(histograms, histogram(d, "throttle"));
  mynah_json_set(j, "histograms", histograms);
  mynah_json_set(j, "howto", howto());
  mynah_status status = pictures(d, sampled);
  mynah_json_set(j, "pictures", sampled);
  if (status == MYNAH_OK) status = roads_and_film(d, tracks, strips);
  mynah_json_set(j, "tracks", tracks);
  mynah_json_set(j, "strips", strips);
  if (status == MYNAH_OK) status = mynah_report_write(j, d->report);
  mynah_json_destroy(j);
  return status;
}
