/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading Apache Parquet, as far as pyarrow writes it for LeRobot: numbers, texts, lists and structs of them; PLAIN,
 * dictionary, RLE and BYTE_STREAM_SPLIT; none, snappy, gzip, zstd. One column of one row group at a time. */
#ifndef MYNAH_DATASET_PARQUET_H
#define MYNAH_DATASET_PARQUET_H

#include <mynah/base.h>

#define MYNAH__PARQUET_DEPTH 8

typedef struct mynah__leaf {
  char name[160]; /* "observation.state.list.element", "observation.images.top.bytes" */
  char top[96];   /* "observation.state" */
  int type;       /* physical */
  int width;      /* bytes each; 0: of any length */
  int max_definition, max_repetition;
} mynah__leaf;

typedef struct mynah__chunk {
  int64_t offset, packed, n_values;
  int codec;
} mynah__chunk;

typedef struct mynah__parquet {
  char path[MYNAH_PATH_MAX];
  mynah_map map;
  mynah__leaf *leaves;
  mynah__chunk *chunks; /* (n_groups, n_leaves) */
  int64_t *group_rows;  /* (n_groups) */
  size_t n_leaves, n_groups, cap_leaves, cap_chunks, cap_groups;
} mynah__parquet;

/* A column of a row group. Row i holds values starts[i] … starts[i+1]-1. Numbers lie in `values`, width bytes each; of
 * texts values[i] lies at texts[i].data. */
typedef struct mynah__column {
  int64_t n_rows, n_values;
  int64_t *starts; /* (n_rows + 1) */
  uint8_t *values;
  uint8_t **pages; /* that texts lie in */
  struct {
    const uint8_t *data;
    size_t bytes;
  } * texts;
  size_t cap_starts, cap_values, cap_texts, n_pages, cap_pages;
} mynah__column;

/* Fails: CORRUPT, LIMIT, UNSUPPORTED (names what). */
mynah_status mynah__parquet_open(const char *path, mynah__parquet *out);
void mynah__parquet_close(mynah__parquet *p);
/* The leaf under a top-level name whose last part is `last` (NULL: the only one); −1: none. */
int mynah__parquet_find(const mynah__parquet *p, const char *top, const char *last);
mynah_status mynah__parquet_read(const mynah__parquet *p, size_t group, int leaf, mynah__column *out);
void mynah__column_deinit(mynah__column *c);
/* Value i as a number (booleans 0 and 1). */
double mynah__column_number(const mynah__leaf *leaf, const mynah__column *c, int64_t i);
int64_t mynah__column_integer(const mynah__leaf *leaf, const mynah__column *c, int64_t i);

#endif
