/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Lists of pictures with boxes: a folder with dataset.yaml and YOLO's text files, or an NDJSON file. Nothing in them is
 * run or fetched: of dataset.yaml the keys path, train, val, test and names are read, of NDJSON files names and boxes.
 */
#include "labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define MAX_TEXT ((size_t)256 << 20)
#define MAX_DEPTH 8
#define MAX_PICTURES 10000000

void mynah_labels_close(mynah_labels *l) {
  if (!l) return;
  for (size_t i = 0; i < l->n_pictures; i++) {
    mynah_free(l->pictures[i].path);
    mynah_free(l->pictures[i].boxes);
  }
  mynah_free(l->pictures);
  mynah__classes_deinit(&l->classes);
  mynah_json_destroy(l->skipped);
  mynah_free(l);
}

/* Tells of a picture that is left out. */
static void skip(mynah_labels *l, const char *path, const char *why) {
  if (l->n_skipped++ >= 1000) return;
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "picture", mynah_json_string(path));
  mynah_json_set(j, "why", mynah_json_string(why));
  mynah_json_append(l->skipped, j);
}

static mynah_status add_picture(mynah_labels *l, const char *path, int part, float *boxes, size_t n) {
  if (l->n_pictures >= MAX_PICTURES) return mynah_fail(MYNAH_LIMIT, "%s: over %d pictures", path, MAX_PICTURES);
  MYNAH_TRY(mynah_grow((void **)&l->pictures, &l->capacity, l->n_pictures + 1, sizeof *l->pictures));
  char *copy = mynah_strdup(path);
  if (!copy) return MYNAH_NO_MEMORY;
  l->pictures[l->n_pictures++] = (mynah_labelled){copy, part, boxes, (int)n};
  if ((int)n > l->n_boxes_max) l->n_boxes_max = (int)n;
  return MYNAH_OK;
}

/* ---- label files ------------------------------------------------------------------------------------------------ */

/* Checks a row and makes a box of it: five numbers, or a class and the corners of an outline. */
static mynah_status take_row(const double *v, int n, int n_classes, float box[5]) {
  double x0 = 1, y0 = 1, x1 = 0, y1 = 0;
  if (n != 5 && (n < 7 || n % 2 == 0))
    return mynah_fail(MYNAH_CORRUPT, "%d numbers: a row is class, centre x, y, width, height", n);
  if (!(v[0] >= 0) || v[0] >= n_classes || v[0] != floor(v[0]))
    return mynah_fail(MYNAH_CORRUPT, "class %g: there are %d", v[0], n_classes);
  for (int i = 1; i < n; i++)
    if (!(v[i] >= 0) || !(v[i] <= 1))
      return mynah_fail(MYNAH_CORRUPT, "%g: places and sizes are shares of the picture, 0 … 1", v[i]);
  box[0] = (float)v[0];
  for (int i = 1; i < 5; i++) box[i] = (float)v[i];
  if (n == 5) return MYNAH_OK;
  for (int i = 1; i < n; i += 2)
    x0 = fmin(x0, v[i]), x1 = fmax(x1, v[i]), y0 = fmin(y0, v[i + 1]), y1 = fmax(y1, v[i + 1]);
  box[1] = (float)((x0 + x1) / 2), box[2] = (float)((y0 + y1) / 2), box[3] = (float)(x1 - x0),
  box[4] = (float)(y1 - y0);
  return MYNAH_OK;
}

#define ROW_MAX 4096

static mynah_status parse_row(char *line, int n_classes, float box[5], bool *is_empty) {
  double v[ROW_MAX];
  int n = 0;
  for (char *rest = line, *word; (word = strtok_r(rest, " \t\r", &rest)); n++) {
    char *end;
    if (n == ROW_MAX) return mynah_fail(MYNAH_LIMIT, "over %d numbers", ROW_MAX);
    v[n] = strtod(word, &end);
    if (end == word || *end) return mynah_fail(MYNAH_CORRUPT, "'%.20s' is no number", word);
  }
  *is_empty = n == 0;
  return n ? take_row(v, n, n_classes, box) : MYNAH_OK;
}

mynah_status mynah__label_text_parse(char *text, size_t length, int n_classes, float **boxes, size_t *n) {
  float *list = NULL;
  size_t capacity = 0, count = 0;
  mynah_status status = strlen(text) == length ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "is no text");
  char *rest = text, *line;
  for (int number = 1; status == MYNAH_OK && (line = strsep(&rest, "\n")); number++) {
    float box[5];
    bool is_empty;
    status = parse_row(line, n_classes, box, &is_empty);
    if (status != MYNAH_OK) status = mynah_error_context(status, "line %d", number);
    if (status == MYNAH_OK && count >= MYNAH_LABELS_BOXES_MAX)
      status = mynah_fail(MYNAH_LIMIT, "over %d boxes", MYNAH_LABELS_BOXES_MAX);
    if (status != MYNAH_OK || is_empty || box[3] <= 0 || box[4] <= 0) continue;
    status = mynah_grow((void **)&list, &capacity, 5 * (count + 1), sizeof *list);
    if (status == MYNAH_OK) memcpy(list + 5 * count++, box, sizeof box);
  }
  if (status != MYNAH_OK) {
    mynah_free(list);
    return status;
  }
  *boxes = list;
  *n = count;
  return MYNAH_OK;
}

/* .../images/a/b.jpg -> .../labels/a/b.txt: the last folder of that name; without one the file beside the picture. */
static mynah_status label_path(const char *picture, char out[MYNAH_PATH_MAX]) {
  const char *folder = NULL, *dot = strrchr(picture, '.');
  for (const char *at = picture; (at = strstr(at, "/images/")); at++) folder = at;
  int stem = (int)(dot - picture), head = folder ? (int)(folder - picture) : 0;
  int n = folder ? snprintf(out, MYNAH_PATH_MAX, "%.*s/labels/%.*s.txt", head, picture, stem - head - 8, folder + 8)
                 : snprintf(out, MYNAH_PATH_MAX, "%.*s.txt", stem, picture);
  return n < MYNAH_PATH_MAX ? MYNAH_OK : mynah_fail(MYNAH_INVALID, "%s: the path is too long", picture);
}

/* A picture without a label file shows nothing; one whose label file is bad is left out. */
static mynah_status add_from_folder(mynah_labels *l, const char *picture, int part) {
  char path[MYNAH_PATH_MAX], *text;
  size_t length, n = 0;
  float *boxes = NULL;
  MYNAH_TRY(label_path(picture, path));
  mynah_status status = mynah_file_read(path, MAX_TEXT, &text, &length);
  if (status == MYNAH_NOT_FOUND) return add_picture(l, picture, part, NULL, 0);
  if (status == MYNAH_OK) {
    status = mynah__label_text_parse(text, length, l->classes.n, &boxes, &n);
    mynah_free(text);
    if (status != MYNAH_OK) status = mynah_error_context(status, "%s", path);
  }
  if (status == MYNAH_NO_MEMORY) return status;
  if (status != MYNAH_OK) return skip(l, picture, mynah_error()), MYNAH_OK;
  status = add_picture(l, picture, part, boxes, n);
  if (status != MYNAH_OK) mynah_free(boxes);
  return status;
}

/* ---- folders ---------------------------------------------------------------------------------------------------- */

static bool is_picture(const char *name) {
  static const char *const endings[] = {".jpg", ".jpeg", ".png"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
    if (strcasecmp(dot, endings[i]) == 0) return true;
  return false;
}

static bool is_folder(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static mynah_status add_folder(mynah_labels *l, const char *folder, int part, int depth) {
  char **names, path[MYNAH_PATH_MAX];
  size_t n;
  MYNAH_TRY(mynah_list_dir(folder, &names, &n));
  mynah_status status = MYNAH_OK;
  for (size_t i = 0; i < n && status == MYNAH_OK; i++) {
    status = mynah_path_join(path, sizeof path, folder, names[i]);
    if (status == MYNAH_OK && mynah_is_interrupted()) status = mynah_fail(MYNAH_INTERRUPTED, "interrupted");
    if (status != MYNAH_OK) break;
    if (is_picture(names[i])) status = add_from_folder(l, path, part);
    else if (depth < MAX_DEPTH && is_folder(path)) status = add_folder(l, path, part, depth + 1);
  }
  mynah_names_free(names, n);
  return status;
}

/* A part's entry: a folder of pictures below `root`. "../x", which some tools write for "x", means "x". */
static mynah_status add_entry(mynah_labels *l, const char *root, const char *entry, int part) {
  char path[MYNAH_PATH_MAX];
  while (strncmp(entry, "./", 2) == 0 || strncmp(entry, "../", 3) == 0) entry = strchr(entry, '/') + 1;
  if (!mynah_path_is_inside(entry)) return mynah_fail(MYNAH_INVALID, "'%s' is no folder beside dataset.yaml", entry);
  MYNAH_TRY(mynah_path_join(path, sizeof path, root, entry));
  if (!is_folder(path)) return mynah_fail(MYNAH_NOT_FOUND, "%s: is no folder of pictures", path);
  return add_folder(l, path, part, 0);
}

/* A set without a part of its own for validation names the training folder twice. */
static bool is_named_before(const mynah__yaml *y, int part, const char *entry) {
  for (int p = 0; p < part; p++)
    for (int i = 0; i < y->n_entries[p]; i++)
      if (strcmp(y->entries[p][i], entry) == 0) return true;
  return false;
}

static mynah_status open_yaml(const char *path, mynah_labels *l) {
  char root[MYNAH_PATH_MAX], *text;
  size_t length;
  mynah__yaml y = {0};
  const char *slash = strrchr(path, '/');
  snprintf(root, sizeof root, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
  MYNAH_TRY(mynah_file_read(path, MYNAH__YAML_MAX, &text, &length));
  mynah_status status = mynah__yaml_parse(text, length, &y);
  mynah_free(text);
  if (status == MYNAH_OK && y.path[0] && strcmp(y.path, ".") != 0) {
    const char *own = strncmp(y.path, "./", 2) == 0 ? y.path + 2 : y.path;
    char joined[MYNAH_PATH_MAX];
    if (!mynah_path_is_inside(own))
      status = mynah_fail(MYNAH_INVALID, "path: '%s' leaves the folder: leave it out", y.path);
    if (status == MYNAH_OK) status = mynah_path_join(joined, sizeof joined, root, own);
    if (status == MYNAH_OK) memcpy(root, joined, sizeof root);
  }
  if (status == MYNAH_OK) l->classes = y.names, y.names = (mynah__classes){0};
  for (int part = 0; part < 3; part++)
    for (int i = 0; i < y.n_entries[part] && status == MYNAH_OK; i++)
      if (!is_named_before(&y, part, y.entries[part][i])) status = add_entry(l, root, y.entries[part][i], part);
  mynah__yaml_deinit(&y);
  return status;
}

/* ---- NDJSON ----------------------------------------------------------------------------------------------------- */

/* {"class_names": {"0": "person", …}} */
static mynah_status take_header(mynah_labels *l, const mynah_json *j) {
  const mynah_json *names = mynah_json_get(j, "class_names"), *value;
  const char *task = mynah_json_to_string(mynah_json_get(j, "task"), "detect"), *key;
  if (strcmp(task, "detect") != 0) return mynah_fail(MYNAH_UNSUPPORTED, "task '%s': only 'detect' is known", task);
  for (size_t i = 0; mynah_json_entry(names, i, &key, &value); i++) {
    char *end;
    long number = strtol(key, &end, 10);
    if (end == key || *end || number < 0) return mynah_fail(MYNAH_CORRUPT, "class_names: '%s' is no number", key);
    MYNAH_TRY(mynah__classes_put(&l->classes, number, mynah_json_to_string(value, "?")));
  }
  return mynah__classes_check(&l->classes);
}

static int part_of(const char *name) {
  static const char *const names[3] = {"train", "val", "test"};
  for (int i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return strcmp(name, "valid") == 0 ? 1 : 0;
}

static mynah_status take_boxes(const mynah_json *list, int n_classes, float **out, size_t *n) {
  size_t count = mynah_json_size(list);
  if (count > MYNAH_LABELS_BOXES_MAX) return mynah_fail(MYNAH_LIMIT, "over %d boxes", MYNAH_LABELS_BOXES_MAX);
  float *boxes = mynah_calloc(count + 1, 5 * sizeof *boxes);
  if (!boxes) return MYNAH_NO_MEMORY;
  for (size_t i = 0; i < count; i++) {
    double v[5];
    const mynah_json *row = mynah_json_at(list, i);
    mynah_status status = mynah_json_size(row) == 5 ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "a box is five numbers");
    for (size_t k = 0; k < 5; k++) v[k] = mynah_json_to_number(mynah_json_at(row, k), NAN);
    if (status == MYNAH_OK) status = take_row(v, 5, n_classes, boxes + 5 * i);
    if (status == MYNAH_OK) continue;
    mynah_free(boxes);
    return status;
  }
  *out = boxes;
  *n = count;
  return MYNAH_OK;
}

/* The picture lies at ROOT/FILE, or below images/, with or without its part's folder; "url" is not followed. */
static mynah_status find_file(const char *root, const char *file, const char *part, char out[MYNAH_PATH_MAX]) {
  if (!mynah_path_is_inside(file) || !mynah_path_is_inside(part))
    return mynah_fail(MYNAH_INVALID, "'%s' leaves the folder", file);
  if (!is_picture(file)) return mynah_fail(MYNAH_UNSUPPORTED, "'%s' is no .jpg, .jpeg or .png", file);
  for (int i = 0; i < 3; i++) {
    int n = snprintf(out, MYNAH_PATH_MAX, "%s%s%s%s/%s", root, i > 0 ? "/images" : "", i > 1 ? "/" : "",
                     i > 1 ? part : "", file);
    if (n < MYNAH_PATH_MAX && mynah_file_exists(out)) return MYNAH_OK;
  }
  return mynah_fail(MYNAH_NOT_FOUND, "'%s' is not there", file);
}

static mynah_status take_image(mynah_labels *l, const char *root, const mynah_json *j) {
  char path[MYNAH_PATH_MAX];
  const char *file = mynah_json_to_string(mynah_json_get(j, "file"), ""),
             *part = mynah_json_to_string(mynah_json_get(j, "split"), "train");
  float *boxes = NULL;
  size_t n = 0;
  mynah_status status = find_file(root, file, part, path);
  if (status == MYNAH_OK)
    status = take_boxes(mynah_json_get(mynah_json_get(j, "annotations"), "boxes"), l->classes.n, &boxes, &n);
  if (status == MYNAH_NO_MEMORY) return status;
  if (status != MYNAH_OK) return skip(l, file, mynah_error()), MYNAH_OK;
  status = add_picture(l, path, part_of(part), boxes, n);
  if (status != MYNAH_OK) mynah_free(boxes);
  return status;
}

mynah_status mynah__ndjson_parse(char *text, size_t length, const char *root, mynah_labels *l) {
  char *rest = text, *line;
  if (strlen(text) != length) return mynah_fail(MYNAH_CORRUPT, "is no text");
  for (int number = 1; (line = strsep(&rest, "\n")); number++) {
    mynah_json *j;
    if (line[strspn(line, " \t\r")] == 0) continue;
    mynah_status status = mynah_json_parse(line, strlen(line), &j);
    if (status == MYNAH_OK) {
      const char *type = mynah_json_to_string(mynah_json_get(j, "type"), "");
      if (strcmp(type, "dataset") == 0)
        status = l->classes.n ? mynah_fail(MYNAH_CORRUPT, "a second header") : take_header(l, j);
      else if (strcmp(type, "image") == 0)
        status = l->classes.n ? take_image(l, root, j) : mynah_fail(MYNAH_CORRUPT, "a picture before the header");
      mynah_json_destroy(j);
    }
    if (status != MYNAH_OK) return mynah_error_context(status, "line %d", number);
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "interrupted");
  }
  return l->classes.n ? MYNAH_OK : mynah_fail(MYNAH_CORRUPT, "has no header with class_names");
}

static mynah_status open_ndjson(const char *path, mynah_labels *l) {
  char root[MYNAH_PATH_MAX], *text;
  size_t length;
  const char *slash = strrchr(path, '/');
  snprintf(root, sizeof root, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
  MYNAH_TRY(mynah_file_read(path, MAX_TEXT, &text, &length));
  mynah_status status = mynah__ndjson_parse(text, length, root, l);
  mynah_free(text);
  return status;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *path, const char *ending) {
  size_t n = strlen(path), k = strlen(ending);
  return n >= k && strcasecmp(path + n - k, ending) == 0;
}

bool mynah_labels_is(const char *path) {
  return ends_with(path, ".yaml") || ends_with(path, ".yml") || ends_with(path, ".ndjson") || is_folder(path);
}

static mynah_status open_folder(const char *path, mynah_labels *l) {
  static const char *const names[] = {"dataset.yaml", "data.yaml", "dataset.ndjson"};
  char file[MYNAH_PATH_MAX];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    MYNAH_TRY(mynah_path_join(file, sizeof file, path, names[i]));
    if (mynah_file_exists(file)) return ends_with(file, ".ndjson") ? open_ndjson(file, l) : open_yaml(file, l);
  }
  return mynah_fail(MYNAH_NOT_FOUND, "holds no dataset.yaml, data.yaml or dataset.ndjson");
}

mynah_status mynah_labels_open(const char *path, mynah_labels **out) {
  mynah_labels *l = mynah_calloc(1, sizeof *l);
  if (!l) return MYNAH_NO_MEMORY;
  l->skipped = mynah_json_array();
  mynah_status status = is_folder(path)              ? open_folder(path, l)
                        : ends_with(path, ".ndjson") ? open_ndjson(path, l)
                                                     : open_yaml(path, l);
  if (status == MYNAH_OK && l->n_pictures == 0) {
    const mynah_json *why = mynah_json_get(mynah_json_at(l->skipped, 0), "why");
    status = mynah_fail(MYNAH_NOT_FOUND, "has no pictures%s%s", why ? "; first left out: " : "",
                        mynah_json_to_string(why, ""));
  }
  if (status == MYNAH_OK) *out = l;
  else mynah_labels_close(l);
  return status == MYNAH_OK ? MYNAH_OK : mynah_error_context(status, "%s", path);
}

const mynah_json *mynah_labels_skipped(const mynah_labels *l, int64_t *n) {
  *n = l->n_skipped;
  return l->skipped;
}
int64_t mynah_labels_n(const mynah_labels *l) { return (int64_t)l->n_pictures; }
const mynah_labelled *mynah_labels_at(const mynah_labels *l, int64_t i) { return &l->pictures[i]; }
int mynah_labels_n_boxes_max(const mynah_labels *l) { return l->n_boxes_max; }
const char *const *mynah_labels_classes(const mynah_labels *l, int *n) {
  *n = l->classes.n;
  return (const char *const *)l->classes.names;
}
