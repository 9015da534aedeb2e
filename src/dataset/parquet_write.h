/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing Parquet that pyarrow and LeRobot read: required columns, lists, pictures; PLAIN, not packed; one row group
 * after another, each column of a group in pages. */
#ifndef MYNAH_DATASET_PARQUET_WRITE_H
#define MYNAH_DATASET_PARQUET_WRITE_H

#include <mynah/base.h>

#include <stdio.h>

typedef enum mynah__pq_kind {
  MYNAH__PQ_BOOL,
  MYNAH__PQ_I32,
  MYNAH__PQ_I64,
  MYNAH__PQ_F32,
  MYNAH__PQ_F64,
  MYNAH__PQ_TEXT
} mynah__pq_kind;
typedef enum mynah__pq_shape {
  MYNAH__PQ_ONE,
  MYNAH__PQ_LIST,
  MYNAH__PQ_PICTURE
} mynah__pq_shape; /* PICTURE: a struct of bytes and path */

typedef struct mynah__pq_field {
  char name[128];
  mynah__pq_kind kind;
  mynah__pq_shape shape;
  int64_t size; /* elements of each list */
} mynah__pq_field;

typedef struct mynah__pq_writer {
  FILE *file;
  char path[MYNAH_PATH_MAX];
  const mynah__pq_field *fields;
  int n_fields;
  int64_t offset, n_rows;
  mynah_str groups, columns; /* of the footer so far; of the group at hand */
  int n_groups, n_columns;
  int64_t start, n_values; /* of the column at hand */
} mynah__pq_writer;

/* fields stay the caller's and must stay there. */
mynah_status mynah__pq_create(const char *path, const mynah__pq_field *fields, int n_fields, mynah__pq_writer *out);
/* Some rows of the column at hand. data: elements one after the other as PLAIN says (texts: length, bytes; booleans: a
 * byte each). Shape: data (n_rows, size) */
mynah_status mynah__pq_page(mynah__pq_writer *w, int field, int64_t n_rows, const void *data, size_t bytes);
/* The column is done. A picture is two columns: bytes, then path. part: 0, or 1 for a picture's path. */
void mynah__pq_end_column(mynah__pq_writer *w, int field, int part);
void mynah__pq_end_group(mynah__pq_writer *w, int64_t n_rows);
/* Writes the footer when status is MYNAH_OK, and closes. key, value: one entry of metadata, or NULL. */
mynah_status mynah__pq_close(mynah__pq_writer *w, const char *key, const char *value, mynah_status status);
/* Appends a text as PLAIN has it. */
void mynah__pq_put_text(mynah_str *s, const void *text, size_t n);

#endif
