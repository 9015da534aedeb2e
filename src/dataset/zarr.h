/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading zarr v2 arrays from a folder, row by row. */
#ifndef MYNAH_DATASET_ZARR_H
#define MYNAH_DATASET_ZARR_H

#include <mynah/base.h>

#define MYNAH__ZARR_DIMS 4

typedef struct mynah__zarr {
  char path[MYNAH_PATH_MAX]; /* the array's folder */
  int n_dims;
  int64_t dims[MYNAH__ZARR_DIMS], chunks[MYNAH__ZARR_DIMS];
  char kind;         /* 'f' float, 'i' int, 'u' unsigned, 'b' bool */
  int item_bytes;
  bool is_swapped;   /* the other byte order */
  bool is_fortran;   /* chunks are column-major */
  char separator;    /* between chunk numbers in a name */
  char codec[16];    /* "", "blosc", "zlib", "gzip" */
  double fill;
  bool fills_missing; /* a missing chunk is the fill value, else an error */
  int64_t row_size;   /* elements of one row: product of dims[1…] */
  double *rows;       /* decoded rows first_row … first_row+n_rows-1, (n_rows, row_size) */
  int64_t first_row, n_rows;
  uint8_t *chunk;     /* one decoded chunk */
} mynah__zarr;

/* Fails: NOT_FOUND, CORRUPT, UNSUPPORTED (names what), LIMIT (chunks over 1 GiB). */
mynah_status mynah__zarr_open(const char *folder, const char *name, bool fills_missing, mynah__zarr *out);
void mynah__zarr_close(mynah__zarr *z);
/* Row `i`; valid until the next call. Shape: *row (row_size) */
mynah_status mynah__zarr_row(mynah__zarr *z, int64_t i, const double **row);

#endif
