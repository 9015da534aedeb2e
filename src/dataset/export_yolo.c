/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Export of pictures with boxes: images/PART, labels/PART with YOLO's text files, dataset.yaml and dataset.ndjson. */
#include "export.h"

#include <string.h>

static const char *const parts[3] = {"train", "val", "test"};

typedef struct export {
  mynah_dataset *d;
  const char *folder;
  int picture, boxes; /* features */
  char **classes;
  size_t n_classes;
  FILE *ndjson;
  char ndjson_path[MYNAH_PATH_MAX];
  int64_t n_pictures[3];
}
export;

/* boxes.NAME and observation.images.NAME */
static mynah_status find_features(export *x) {
  for (x->boxes = 0; x->boxes < x->d->n_features; x->boxes++) {
    const mynah_feature *f = &x->d->features[x->boxes];
    char name[MYNAH_NAME_MAX];
    if (strncmp(f->name, "boxes.", 6) != 0 || f->n_dims != 2 || f->dims[1] != 5 || f->dtype != MYNAH_F32) continue;
    snprintf(name, sizeof name, "observation.images.%.70s", f->name + 6);
    x->picture = mynah_feature_find(x->d->features, x->d->n_features, name);
    if (x->picture >= 0) return MYNAH_OK;
  }
  return mynah_fail(MYNAH_NOT_FOUND, "%s: has no boxes.NAME beside observation.images.NAME", x->d->path);
}

static mynah_status put_file(const char *folder, const char *kind, const char *part, const char *name,
                             const mynah_str *s) {
  char path[MYNAH_PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/%s/%s/%s", folder, kind, part, name);
  if (n >= (int)sizeof path) return mynah_fail(MYNAH_INVALID, "%s: the path is too long", folder);
  return s->is_failed ? MYNAH_NO_MEMORY : mynah_file_write(path, mynah_str_text(s), s->length);
}

/* The frame's boxes as label text, and as a list. */
static mynah_status put_boxes(export *x, int64_t e, int64_t t, mynah_str *text, mynah_json *list) {
  const mynah_feature *f = &x->d->features[x->boxes];
  const mynah__block *b;
  MYNAH_TRY(mynah__read_block(x->d, &x->d->episodes[e], x->boxes, t, &b));
  const uint8_t *row = b->data + (size_t)(t - b->start) * mynah_feature_bytes(f);
  for (int64_t i = 0; i < f->dims[0]; i++) {
    float v[5];
    memcpy(v, row + (size_t)i * sizeof v, sizeof v);
    if (v[0] < 0) continue;
    mynah_json *box = mynah_json_array();
    mynah_str_printf(text, "%d", (int)v[0]);
    mynah_json_append(box, mynah_json_integer((int64_t)v[0]));
    for (int k = 1; k < 5; k++) {
      mynah_str_printf(text, " %.6g", (double)v[k]);
      mynah_json_append(box, mynah_json_number((double)v[k]));
    }
    mynah_str_append(text, "\n", 1);
    mynah_json_append(list, box);
  }
  return MYNAH_OK;
}

static mynah_status put_line(export *x, mynah_json *j) {
  mynah_str line = {0};
  mynah_status status = mynah_json_dump(j, 0, &line);
  mynah_json_destroy(j);
  mynah_str_append(&line, "\n", 1);
  if (status == MYNAH_OK)
    status = line.is_failed ? MYNAH_NO_MEMORY : mynah__put_bytes(x->ndjson, x->ndjson_path, line.data, line.length);
  mynah_str_deinit(&line);
  return status;
}

static mynah_status put_frame(export *x, int64_t e, int64_t t, int part) {
  char stem[64], folder[MYNAH_PATH_MAX], name[80], file[160];
  const char *ending;
  const mynah_feature *f = &x->d->features[x->picture];
  snprintf(stem, sizeof stem, "%06lld_%06lld", (long long)x->d->episodes[e].id, (long long)t);
  snprintf(folder, sizeof folder, "%.900s/images/%s", x->folder, parts[part]);
  MYNAH_TRY(mynah__put_picture(x->d, folder, e, x->picture, t, stem, &ending));
  mynah_str text = {0};
  mynah_json *line = mynah_json_object(), *annotations = mynah_json_object(), *boxes = mynah_json_array();
  mynah_status status = put_boxes(x, e, t, &text, boxes);
  snprintf(name, sizeof name, "%s.txt", stem);
  snprintf(file, sizeof file, "%s.%s", stem, ending);
  if (status == MYNAH_OK) status = put_file(x->folder, "labels", parts[part], name, &text);
  mynah_str_deinit(&text);
  mynah_json_set(annotations, "boxes", boxes);
  mynah_json_set(line, "type", mynah_json_string("image"));
  mynah_json_set(line, "file", mynah_json_string(file));
  mynah_json_set(line, "width", mynah_json_integer(f->dims[1]));
  mynah_json_set(line, "height", mynah_json_integer(f->dims[0]));
  mynah_json_set(line, "split", mynah_json_string(parts[part]));
  mynah_json_set(line, "annotations", annotations);
  if (status == MYNAH_OK) return x->n_pictures[part]++, put_line(x, line);
  mynah_json_destroy(line);
  return status;
}

static mynah_status put_header(export *x) {
  mynah_json *line = mynah_json_object(), *names = mynah_json_object();
  for (size_t i = 0; i < x->n_classes; i++) {
    char key[32];
    snprintf(key, sizeof key, "%zu", i);
    mynah_json_set(names, key, mynah_json_string(x->classes[i]));
  }
  mynah_json_set(line, "type", mynah_json_string("dataset"));
  mynah_json_set(line, "task", mynah_json_string("detect"));
  mynah_json_set(line, "class_names", names);
  return put_line(x, line);
}

/* Names in double quotes, with what would end them replaced. */
static mynah_status put_yaml(const export *x) {
  char path[MYNAH_PATH_MAX];
  mynah_str s = {0};
  for (int part = 0; part < 3; part++)
    if (x->n_pictures[part]) mynah_str_printf(&s, "%s: images/%s\n", parts[part], parts[part]);
  if (!x->n_pictures[1]) mynah_str_printf(&s, "val: images/train\n");
  mynah_str_printf(&s, "names:\n");
  for (size_t i = 0; i < x->n_classes; i++) {
    mynah_str_printf(&s, "  %zu: \"", i);
    for (const char *c = x->classes[i]; *c; c++)
      mynah_str_printf(&s, "%c", *c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '_' : *c);
    mynah_str_printf(&s, "\"\n");
  }
  mynah_status status = s.is_failed ? MYNAH_NO_MEMORY : mynah_path_join(path, sizeof path, x->folder, "dataset.yaml");
  if (status == MYNAH_OK) status = mynah_file_write(path, mynah_str_text(&s), s.length);
  mynah_str_deinit(&s);
  return status;
}

static mynah_status put_all(export *x, const mynah_progress *progress) {
  mynah_dataset *d = x->d;
  MYNAH_TRY(put_header(x));
  for (int64_t e = 0; e < (int64_t)d->n_episodes; e++) {
    int part = mynah_dataset_part(d, e);
    for (int64_t t = 0; t < d->episodes[e].n_frames; t++) MYNAH_TRY(put_frame(x, e, t, part < 0 ? 0 : part));
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "export: interrupted; nothing is left");
    mynah_progress_tell(progress, "export", (double)e + 1, (double)d->n_episodes, "episodes", "");
  }
  return put_yaml(x);
}

static mynah_status make_folders(const char *folder) {
  char path[MYNAH_PATH_MAX];
  for (int i = 0; i < 6; i++) {
    if (snprintf(path, sizeof path, "%s/%s/%s", folder, i < 3 ? "images" : "labels", parts[i % 3]) >= (int)sizeof path)
      return mynah_fail(MYNAH_INVALID, "%s: the path is too long", folder);
    MYNAH_TRY(mynah_make_dirs(path));
  }
  return MYNAH_OK;
}

static mynah_status work(mynah_dataset *d, const char *folder, const mynah_progress *progress) {
  export x = {.d = d, .folder = folder};
  MYNAH_TRY(find_features(&x));
  MYNAH_TRY(make_folders(folder));
  MYNAH_TRY(mynah_path_join(x.ndjson_path, sizeof x.ndjson_path, folder, "dataset.ndjson"));
  MYNAH_TRY(mynah_dataset_get_classes(d, &x.classes, &x.n_classes));
  x.ndjson = fopen(x.ndjson_path, "wbx");
  mynah_status status = x.ndjson ? put_all(&x, progress) : mynah_fail_errno(x.ndjson_path, "cannot make");
  mynah_names_free(x.classes, x.n_classes);
  return x.ndjson ? mynah__close_file(x.ndjson, x.ndjson_path, status) : status;
}

static mynah_status run(mynah_dataset *d, const char *out_path, const mynah_progress *progress) {
  return mynah__export_run(d, out_path, progress, work);
}
const mynah_exporter mynah__export_yolo = {
    "yolo", "a folder of pictures with boxes: YOLO's label files, dataset.yaml, dataset.ndjson", run};
