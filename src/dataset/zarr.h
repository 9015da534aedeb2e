/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading zarr v2 arrays from a folder, row by row. */
#ifndef MYNAH_DATASET_ZARR_H
#define MYNAH_DATASET_ZARR_H

#include "ingest.h"

#define MYNAH__ZARR_DIMS 4

typedef struct mynah__zarr {
  char path[MYNAH_PATH_MAX]; /* the array's folder */
  int n_dims;
  int64_t dims[MYNAH__ZARR_DIMS], chunks[MYNAH__ZARR_DIMS];
  mynah__item item;
  bool is_fortran;    /* chunks are column-major */
  char separator;     /* between chunk numbers in a name */
  int codec;          /* row of the table of decompressors */
  uint8_t fill[8];    /* one item */
  bool fills_missing; /* a missing chunk is the fill value, else an error */
  int64_t row_size;   /* elements of one row: product of dims[1…] */
  size_t chunk_bytes;
  uint8_t *chunk; /* one decoded chunk */
  uint8_t *rows;  /* rows first_row … first_row+n_rows-1 as items in this machine's byte order; (n_rows, row_size) */
  int64_t first_row, n_rows;
} mynah__zarr;

/* Fails: NOT_FOUND, CORRUPT, UNSUPPORTED (names what), LIMIT (chunks over 512 MiB). */
mynah_status mynah__zarr_open(const char *folder, const char *name, bool fills_missing, mynah__zarr *out);
void mynah__zarr_close(mynah__zarr *z);
/* Items of row `i`; valid until the next call. Shape: *row (row_size) */
mynah_status mynah__zarr_row(mynah__zarr *z, int64_t i, const uint8_t **row);

/* unpack.c: n bytes of a chunk into exactly `due` bytes at out. path names it in errors. */
typedef mynah_status (*mynah__unpack_fn)(const char *path, const uint8_t *data, size_t n, uint8_t *out, size_t due);
typedef struct mynah__unpacker {
  const char *name; /* the compressor's id in .zarray; "": none */
  mynah__unpack_fn run;
} mynah__unpacker;
extern const mynah__unpacker mynah__unpackers[];
extern const int mynah__n_unpackers;

#endif
