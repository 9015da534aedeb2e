/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah detect: boxes in pictures, videos and a camera's frames, as a table, JSON, YOLO's text files, and drawn. */
#include "tool.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DETECT_COMMAND_KEYS(K)                                                                              \
  K(STRING, source, "source", "", 0, 0, "", "a picture, a folder, a pattern with * or ?, a video, X.demos, or a camera: /dev/videoN or camera:N") \
  K(INT, frames, "frames", 0, 0, 9.0e15, "", "of a video: at most, 0: all; of a camera: 0: until interrupted, and --json then lists no pictures") \
  K(INT, width, "camera.width", 0, 0, 16384, "px", "0: as the camera is set")                               \
  K(INT, height, "camera.height", 0, 0, 16384, "px", "0: as the camera is set")                             \
  K(FLOAT, camera_fps, "camera.fps", 0, 0, 1000, "1/s", "0: as the camera is set")                                \
  K(STRING, out, "out", "", 0, 0, "path", "folder for pictures with boxes drawn; empty: none")              \
  K(BOOL, save_txt, "save_txt", false, 0, 0, "", "write out/labels/NAME.txt: class, centre and size as shares of the picture") \
  K(BOOL, save_conf, "save_conf", false, 0, 0, "", "and the score as a sixth number")                       \
  K(BOOL, is_drawn, "draw", true, 0, 0, "", "false: no pictures in out=")                                     \
  K(BOOL, is_sequence, "track", false, 0, 0, "", "the pictures follow one another in the order of their names: boxes get the ids of their tracks; those of videos, X.demos and cameras always do") \
  K(FLOAT, fps, "fps", 30, 0.001, 100000, "Hz", "track=true: so many of them a second")
typedef struct detect_command {
#define DETECT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  DETECT_COMMAND_KEYS(DETECT_FIELD)
} detect_command;
#define DETECT_ROW(type, field, name, value, low, high, unit, help)                                \
  MYNAH_KEY_OF(detect_command, type, field, name, value, low, high, unit, help)
static const mynah_key detect_command_keys[] = {DETECT_COMMAND_KEYS(DETECT_ROW)};
static const mynah_config_table detect_command_table = {
    "detect command", detect_command_keys, sizeof detect_command_keys / sizeof *detect_command_keys, sizeof(detect_command)};

#define ALONE INT64_MIN /* a picture that follows no other */

enum { DECODE, LETTERBOX, NETWORK, SELECT, STAGES };
static const char *const stage_names[STAGES] = {"decode", "letterbox", "network", "select"};

/* The work on one source. */
typedef struct job {
  detect_command command;
  mynah_detect_config config;
  mynah_detector *detector;
  mynah_eye *eye;
  mynah_tracker_config tracking;
  mynah_tracker *tracker;
  mynah_box *boxes; /* [max_det], with ids */
  int64_t time_ns;  /* of the present picture, or ALONE */
  int64_t frame;    /* its number in what it comes from */
  mynah_json *images;
  int64_t *ns[STAGES];
  size_t n, capacity[STAGES];
  int64_t n_boxes, n_bad;
  bool is_endless; /* results are told, not kept */
} job;

/* ---- results of one picture ------------------------------------------------------------------------------------------ */

static mynah_json *box_json(const job *j, const mynah_box *b) {
  mynah_json *out = mynah_json_object();
  const float xyxy[4] = {b->x1, b->y1, b->x2, b->y2};
  mynah_json_set(out, "xyxy", mynah_json_floats(xyxy, 4));
  mynah_json_set(out, "conf", mynah_json_number(nearbyint((double)b->confidence * 1e6) / 1e6));
  mynah_json_set(out, "class", mynah_json_integer(b->label));
  mynah_json_set(out, "name", mynah_json_string(mynah_detector_class(j->detector, b->label)));
  mynah_json_set(out, "id", b->id >= 0 ? mynah_json_integer(b->id) : mynah_json_null());
  return out;
}

/* "12 person, 1 car" in the order of the classes */
static void count_classes(const job *j, const mynah_box *boxes, int n, mynah_str *out) {
  for (int label = 0; label < mynah_detector_n_classes(j->detector); label++) {
    int count = 0;
    for (int i = 0; i < n; i++) count += boxes[i].label == label;
    if (count) mynah_str_printf(out, "%s%d %s", out->length ? ", " : "", count, mynah_detector_class(j->detector, label));
  }
}

static void tell(const job *j, const char *name, const mynah_image *image, const mynah_box *boxes, int n) {
  mynah_str counts = {0};
  count_classes(j, boxes, n, &counts);
  tool_say("%s: %dx%d, %s", name, image->width, image->height, n ? mynah_str_text(&counts) : "nothing");
  mynah_str_deinit(&counts);
}

static mynah_status write_labels(const job *j, const char *stem, const mynah_image *image, const mynah_box *boxes, int n) {
  char folder[MYNAH_PATH_MAX], path[MYNAH_PATH_MAX], file[300];
  mynah_str text = {0};
  snprintf(file, sizeof file, "%.250s.txt", stem);
  MYNAH_TRY(mynah_path_join(folder, sizeof folder, j->command.out, "labels"));
  MYNAH_TRY(mynah_make_dirs(folder));
  MYNAH_TRY(mynah_path_join(path, sizeof path, folder, file));
  for (int i = 0; i < n; i++) {
    const mynah_box *b = &boxes[i];
    double w = image->width, h = image->height;
    mynah_str_printf(&text, "%d %.6g %.6g %.6g %.6g", b->label, (double)(b->x1 + b->x2) / 2 / w, (double)(b->y1 + b->y2) / 2 / h,
                     (double)(b->x2 - b->x1) / w, (double)(b->y2 - b->y1) / h);
    if (j->command.save_conf) mynah_str_printf(&text, " %.6g", (double)b->confidence);
    mynah_str_printf(&text, "\n");
  }
  mynah_status status = text.is_failed ? MYNAH_NO_MEMORY : mynah_file_write(path, mynah_str_text(&text), text.length);
  mynah_str_deinit(&text);
  return status;
}

static mynah_status write_picture(const job *j, const char *stem, mynah_image *image, const mynah_box *boxes, int n) {
  char path[MYNAH_PATH_MAX], file[300];
  mynah_str jpeg = {0};
  snprintf(file, sizeof file, "%.250s.jpg", stem);
  MYNAH_TRY(mynah_make_dirs(j->command.out));
  MYNAH_TRY(mynah_path_join(path, sizeof path, j->command.out, file));
  mynah_boxes_draw(image, j->detector, boxes, n);
  mynah_status status = mynah_jpeg_encode(image, 90, &jpeg);
  if (status == MYNAH_OK) status = mynah_file_write(path, jpeg.data, jpeg.length);
  mynah_str_deinit(&jpeg);
  return status;
}

static mynah_status keep_times(job *j, int64_t decode_ns) {
  mynah_eye_times t = mynah_eye_last_times(j->eye);
  const int64_t ns[STAGES] = {decode_ns, t.letterbox_ns, t.network_ns, t.select_ns};
  for (int k = 0; k < STAGES; k++) {
    MYNAH_TRY(mynah_grow((void **)&j->ns[k], &j->capacity[k], j->n + 1, sizeof *j->ns[k]));
    j->ns[k][j->n] = ns[k];
  }
  j->n++;
  return MYNAH_OK;
}

/* The same boxes with the ids of their tracks. */
static const mynah_box *track(job *j, const mynah_box *boxes, int n) {
  memcpy(j->boxes, boxes, (size_t)n * sizeof *boxes);
  mynah_tracker_update(j->tracker, j->time_ns, j->boxes, n);
  return j->boxes;
}

static void keep_entry(job *j, const char *name, const mynah_image *image, const mynah_box *boxes, int n) {
  mynah_json *entry = mynah_json_object(), *list = mynah_json_array(), *size = mynah_json_array();
  for (int i = 0; i < n; i++) mynah_json_append(list, box_json(j, &boxes[i]));
  mynah_json_append(size, mynah_json_integer(image->width));
  mynah_json_append(size, mynah_json_integer(image->height));
  mynah_json_set(entry, "path", mynah_json_string(name));
  mynah_json_set(entry, "size", size);
  if (j->time_ns != ALONE) {
    mynah_json_set(entry, "frame", mynah_json_integer(j->frame));
    mynah_json_set(entry, "time", mynah_json_number((double)j->time_ns / 1e9));
  }
  mynah_json_set(entry, "boxes", list);
  mynah_json_append(j->images, entry);
}

/* name: as shown; stem: of files written; the picture may be drawn on. */
static mynah_status look(job *j, const char *name, const char *stem, mynah_image *image, int64_t decode_ns) {
  const mynah_box *boxes;
  int n;
  MYNAH_TRY(mynah_eye_look(j->eye, image, &boxes, &n));
  MYNAH_TRY(keep_times(j, decode_ns));
  if (j->time_ns != ALONE) boxes = track(j, boxes, n);
  if (!j->is_endless) keep_entry(j, name, image, boxes, n);
  j->n_boxes += n;
  tell(j, name, image, boxes, n);
  if (j->command.save_txt) MYNAH_TRY(write_labels(j, stem, image, boxes, n));
  return j->command.out[0] && j->command.is_drawn ? write_picture(j, stem, image, boxes, n) : MYNAH_OK;
}

/* ---- sources ------------------------------------------------------------------------------------------------------------ */

static mynah_status look_at_file(job *j, const char *path) {
  char stem[MYNAH_PATH_MAX];
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
  mynah_image image;
  snprintf(stem, sizeof stem, "%.*s", dot && dot > name ? (int)(dot - name) : (int)strlen(name), name);
  int64_t start = mynah_now_ns();
  MYNAH_TRY(mynah_image_load(path, &image));
  mynah_status status = look(j, path, stem, &image, mynah_now_ns() - start);
  mynah_image_deinit(&image);
  return status;
}

/* endings: NULL-terminated */
static bool ends_in(const char *name, const char *const *endings) {
  const char *dot = strrchr(name, '.');
  for (; dot && *endings; endings++)
    if (strcasecmp(dot, *endings) == 0) return true;
  return false;
}

static bool is_picture(const char *name) { return ends_in(name, (const char *const[]){".jpg", ".jpeg", ".png", NULL}); }
static bool is_video(const char *name) {
  return ends_in(name, (const char *const[]){".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv", NULL});
}

/* A picture that cannot be read is named and counted; the others go on. */
static mynah_status look_at_list(job *j, char **paths, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (mynah_is_interrupted()) return MYNAH_INTERRUPTED;
    if (j->command.is_sequence) j->time_ns = llround((double)i * 1e9 / j->command.fps);
    j->frame = (int64_t)i;
    mynah_status status = look_at_file(j, paths[i]);
    mynah_progress_tell(tool_progress(), "detecting", (double)i + 1, (double)n, "pictures", "");
    if (status == MYNAH_OK) continue;
    if (n == 1 || status == MYNAH_NO_MEMORY || status == MYNAH_NO_SPACE) return status;
    tool_say("left out: %s", mynah_error());
    j->n_bad++;
  }
  return j->n > 0 ? MYNAH_OK : mynah_fail(MYNAH_NOT_FOUND, "%s: no picture could be read", j->command.source);
}

static mynah_status look_at_folder(job *j) {
  char **names, path[MYNAH_PATH_MAX];
  size_t n, kept = 0;
  MYNAH_TRY(mynah_list_dir(j->command.source, &names, &n));
  char **paths = mynah_calloc(n + 1, sizeof *paths);
  mynah_status status = paths ? MYNAH_OK : MYNAH_NO_MEMORY;
  for (size_t i = 0; i < n && status == MYNAH_OK; i++) {
    if (!is_picture(names[i])) continue;
    status = mynah_path_join(path, sizeof path, j->command.source, names[i]);
    if (status == MYNAH_OK && !(paths[kept++] = mynah_strdup(path))) status = MYNAH_NO_MEMORY;
  }
  if (status == MYNAH_OK && kept == 0) status = mynah_fail(MYNAH_NOT_FOUND, "%s: holds no .jpg, .jpeg or .png", j->command.source);
  if (status == MYNAH_OK) status = look_at_list(j, paths, kept);
  mynah_names_free(names, n);
  if (paths) mynah_names_free(paths, kept);
  return status;
}

static mynah_status look_at_pattern(job *j) {
  glob_t found;
  int rc = glob(j->command.source, 0, NULL, &found);
  if (rc == GLOB_NOSPACE) return MYNAH_NO_MEMORY;
  if (rc != 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: no file fits this pattern", j->command.source);
  mynah_status status = look_at_list(j, found.gl_pathv, found.gl_pathc);
  globfree(&found);
  return status;
}

/* All frames of episode i of one image feature; they follow one another at the times they were taken. */
static mynah_status look_at_episode(job *j, mynah_dataset *d, int64_t i, const char *feature) {
  int64_t n = mynah_dataset_episode(d, i)->n_frames;
  mynah_tracker_reset(j->tracker);
  for (int64_t t = 0; t < n; t++) {
    char name[MYNAH_PATH_MAX], stem[256];
    mynah_image image;
    if (mynah_is_interrupted()) return MYNAH_INTERRUPTED;
    MYNAH_TRY(mynah_dataset_read_times(d, i, t, 1, &j->time_ns));
    j->frame = t;
    int64_t start = mynah_now_ns();
    MYNAH_TRY(mynah_dataset_read_image(d, i, feature, t, 0, 0, &image));
    snprintf(name, sizeof name, "%.600s#%lld/%lld/%.90s", j->command.source, (long long)i, (long long)t, feature);
    snprintf(stem, sizeof stem, "%06lld-%06lld-%.90s", (long long)i, (long long)t, feature);
    mynah_status status = look(j, name, stem, &image, mynah_now_ns() - start);
    mynah_image_deinit(&image);
    MYNAH_TRY(status);
    mynah_progress_tell(tool_progress(), "detecting", (double)t + 1, (double)n, "frames", "");
  }
  return MYNAH_OK;
}

static mynah_status look_at_dataset(job *j) {
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(j->command.source, MYNAH_OPEN_READ, &d));
  mynah_status status = MYNAH_OK;
  int n_cameras = 0;
  for (int k = 0; k < mynah_dataset_n_features(d) && status == MYNAH_OK; k++) {
    const mynah_feature *f = mynah_dataset_feature(d, k);
    if (!f->is_image) continue;
    n_cameras++;
    for (int64_t i = 0; i < mynah_dataset_n_episodes(d) && status == MYNAH_OK; i++) status = look_at_episode(j, d, i, f->name);
  }
  mynah_dataset_close(d);
  if (status == MYNAH_OK && !n_cameras) status = mynah_fail(MYNAH_NOT_FOUND, "%s: holds no pictures", j->command.source);
  return status;
}

/* All frames, each at the time that the file says. */
static mynah_status look_at_video_frames(job *j, mynah_video *v, mynah_image *image) {
  double seconds = mynah_video_seconds(v);
  for (bool is_over = false;;) {
    char name[MYNAH_PATH_MAX], stem[32];
    if (mynah_is_interrupted()) return MYNAH_INTERRUPTED;
    j->frame = mynah_video_position(v);
    if (j->command.frames > 0 && j->frame == j->command.frames) return MYNAH_OK;
    int64_t start = mynah_now_ns();
    MYNAH_TRY(mynah_video_read(v, image, &j->time_ns, &is_over));
    if (is_over) return j->n > 0 ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "%s: has no frames", j->command.source);
    snprintf(name, sizeof name, "%.600s#%lld", j->command.source, (long long)j->frame);
    snprintf(stem, sizeof stem, "%06lld", (long long)j->frame);
    MYNAH_TRY(look(j, name, stem, image, mynah_now_ns() - start));
    if (seconds > 0) mynah_progress_tell(tool_progress(), "detecting", fmin((double)j->time_ns * 1e-9, seconds), seconds, "seconds", "");
  }
}

static mynah_status look_at_video(job *j) {
  mynah_video *v;
  MYNAH_TRY(mynah_video_open(j->command.source, 0, &v));
  mynah_image image = mynah_video_size(v);
  image.data = mynah_calloc((size_t)image.width * (size_t)image.height, 3);
  mynah_status status = image.data ? look_at_video_frames(j, v, &image) : MYNAH_NO_MEMORY;
  mynah_image_deinit(&image);
  mynah_video_close(v);
  return status;
}

static bool is_camera(const char *source) { return strncmp(source, "/dev/video", 10) == 0 || strncmp(source, "camera:", 7) == 0; }

/* The newest frame again and again; being interrupted is how it ends. */
static mynah_status look_at_frames(job *j, mynah_camera *camera, mynah_image *image) {
  const char *source = j->command.source;
  for (int64_t i = 0; (j->is_endless || i < j->command.frames) && !mynah_is_interrupted(); i++) {
    char name[MYNAH_PATH_MAX], stem[32];
    int64_t start = mynah_now_ns();
    mynah_status status = mynah_camera_read(camera, 5, image, &j->time_ns);
    if (status != MYNAH_OK) return mynah_is_interrupted() ? MYNAH_OK : status;
    j->frame = i;
    snprintf(name, sizeof name, "%.600s#%lld", source, (long long)i);
    snprintf(stem, sizeof stem, "%06lld", (long long)i);
    MYNAH_TRY(look(j, name, stem, image, mynah_now_ns() - start));
  }
  return MYNAH_OK;
}

static mynah_status look_at_camera(job *j) {
  const detect_command *c = &j->command;
  char path[MYNAH_PATH_MAX];
  mynah_camera *camera;
  bool is_number = strncmp(c->source, "camera:", 7) == 0;
  if (is_number && (!c->source[7] || strspn(c->source + 7, "0123456789") != strlen(c->source + 7)))
    return mynah_fail(MYNAH_INVALID, "%s: camera:N takes a number", c->source);
  snprintf(path, sizeof path, "%s%.600s", is_number ? "/dev/video" : "", c->source + (is_number ? 7 : 0));
  MYNAH_TRY(mynah_camera_open(path, &(mynah_camera_config){(int)c->width, (int)c->height, c->camera_fps}, &camera));
  mynah_image image = mynah_camera_size(camera);
  image.data = mynah_calloc((size_t)image.width * (size_t)image.height, 3);
  j->is_endless = c->frames == 0;
  tool_say("%s: %dx%d %s, %g frames a second", path, image.width, image.height, mynah_camera_format(camera), mynah_camera_fps(camera));
  mynah_status status = image.data ? look_at_frames(j, camera, &image) : MYNAH_NO_MEMORY;
  j->n_bad = mynah_camera_count(camera).n_bad;
  mynah_image_deinit(&image);
  mynah_camera_close(camera);
  return status;
}

static mynah_status look_at_source(job *j) {
  if (is_camera(j->command.source)) return look_at_camera(j);
  struct stat st;
  const char *source = j->command.source, *dot = strrchr(source, '.');
  bool is_there = stat(source, &st) == 0;
  if (is_there && S_ISDIR(st.st_mode)) return look_at_folder(j);
  if (dot && strcmp(dot, ".demos") == 0) return look_at_dataset(j);
  if (!is_there && strpbrk(source, "*?[")) return look_at_pattern(j);
  if (is_video(source)) return look_at_video(j);
  char *one = j->command.source;
  return look_at_list(j, &one, 1);
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static void report(job *j, mynah_json *result) {
  mynah_json *ms = mynah_json_object(), *p99 = mynah_json_object();
  mynah_str line = {0};
  for (int k = 0; k < STAGES; k++) {
    tool_percentiles p = tool_percentiles_of(j->ns[k], (int64_t)j->n);
    mynah_json_set(ms, stage_names[k], mynah_json_number(p.p50));
    mynah_json_set(p99, stage_names[k], mynah_json_number(p.p99));
    mynah_str_printf(&line, "%s%s %.2f (%.2f)", k ? ", " : "", stage_names[k], p.p50, p.p99);
  }
  tool_say("%zu pictures, %lld boxes; ms p50 (p99): %s", j->n, (long long)j->n_boxes, mynah_str_text(&line));
  mynah_str_deinit(&line);
  mynah_json_set(result, "images", j->images);
  mynah_json_set(result, "ms", ms);
  mynah_json_set(result, "p99_ms", p99);
  mynah_json_set(result, "left_out", mynah_json_integer(j->n_bad));
  j->images = NULL;
}

static mynah_status detect(job *j, const char *model, mynah_json *result) {
  MYNAH_TRY(mynah_detector_import(model, &j->detector));
  MYNAH_TRY(mynah_eye_create(j->detector, &j->config, &j->eye));
  MYNAH_TRY(mynah_tracker_create(&j->tracking, &j->tracker));
  if (!(j->boxes = mynah_calloc((size_t)j->config.max, sizeof *j->boxes))) return MYNAH_NO_MEMORY;
  j->images = mynah_json_array();
  mynah_status status = look_at_source(j);
  tool_progress_end();
  MYNAH_TRY(status);
  report(j, result);
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  job j = {.time_ns = ALONE};
  mynah_config_default(&detect_command_table, &j.command);
  mynah_config_default(&mynah_detect_table, &j.config);
  mynah_config_default(&mynah_tracker_table, &j.tracking);
  mynah_config_bind binds[3] = {
      {&detect_command_table, &j.command}, {&mynah_detect_table, &j.config}, {&mynah_tracker_table, &j.tracking}};
  MYNAH_TRY(tool_apply(args, binds, 3));
  if (args->n_positional != 1) return tool_usage_error("name one detector");
  if (!j.command.source[0]) return tool_usage_error("source= is missing");
  if (j.command.save_txt && !j.command.out[0]) return tool_usage_error("save_txt=true needs out=FOLDER");
  mynah_status status = detect(&j, args->positional[0], result);
  mynah_json_destroy(j.images);
  mynah_free(j.boxes);
  mynah_tracker_destroy(j.tracker);
  mynah_eye_destroy(j.eye);
  mynah_detector_destroy(j.detector);
  for (int k = 0; k < STAGES; k++) mynah_free(j.ns[k]);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  out[0] = &detect_command_table;
  out[1] = &mynah_detect_table;
  out[2] = &mynah_tracker_table;
  return 3;
}

const tool_command tool_detect = {"detect", "detect MODEL source=FILE|FOLDER|PATTERN|VIDEO|X.demos|camera:N [key=value ...]",
                                  "find objects in pictures", run, tables};
