/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside lists of pictures with boxes: class names, dataset.yaml, and what the fuzz targets call. */
#ifndef MYNAH_DATASET_LABELS_H
#define MYNAH_DATASET_LABELS_H

#include <mynah/dataset.h>

/* ---- yaml.c ----------------------------------------------------------------------------------------------------- */

/* Names of the classes 0 … n-1. */
typedef struct mynah__classes {
  char **names; /* NULL: not said yet */
  int n;
  size_t capacity;
} mynah__classes;
void mynah__classes_deinit(mynah__classes *c);
/* Class `number` is called so. Fails: LIMIT, CORRUPT (said twice), NO_MEMORY. */
MYNAH_CHECKED mynah_status mynah__classes_put(mynah__classes *c, long number, const char *name);
/* Every class below the last one has a name. Fails: CORRUPT. */
MYNAH_CHECKED mynah_status mynah__classes_check(const mynah__classes *c);

#define MYNAH__YAML_MAX ((size_t)4 << 20)
#define MYNAH__YAML_ENTRIES 16
/* What is read of a dataset.yaml. */
typedef struct mynah__yaml {
  mynah__classes names;
  char path[MYNAH_PATH_MAX];
  char *entries[3][MYNAH__YAML_ENTRIES]; /* of train, val, test */
  int n_entries[3];
} mynah__yaml;
/* The keys path, train, val, test, names at the margin; values plain or quoted, lists and maps in a line or in lines of
 * their own. Other keys and what is indented below them are passed over. Fails: CORRUPT (with the line), LIMIT,
 * NO_MEMORY. */
MYNAH_CHECKED mynah_status mynah__yaml_parse(char *text, size_t length, mynah__yaml *out);
void mynah__yaml_deinit(mynah__yaml *y);

/* ---- labels.c --------------------------------------------------------------------------------------------------- */

struct mynah_labels {
  mynah__classes classes;
  mynah_labelled *pictures;
  size_t n_pictures, capacity;
  int n_boxes_max;
  mynah_json *skipped; /* [{"picture","why"}] */
  int64_t n_skipped;
};
/* Rows of a label file, whose text is changed. Shape: *boxes (*n,5), the caller's. Fails: CORRUPT (with the line),
 * LIMIT. */
MYNAH_CHECKED mynah_status mynah__label_text_parse(char *text, size_t length, int n_classes, float **boxes, size_t *n);
/* An NDJSON file's text, which is changed; pictures lie below root. */
MYNAH_CHECKED mynah_status mynah__ndjson_parse(char *text, size_t length, const char *root, mynah_labels *l);

#endif
