/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* NumPy's .npz: a zip file of .npy arrays, stored or deflated. */
#ifndef MYNAH_DATASET_NPZ_H
#define MYNAH_DATASET_NPZ_H

#include "ingest.h"

#define MYNAH__NPY_DIMS 6

typedef struct mynah__npy {
  char name[MYNAH_NAME_MAX]; /* without ".npy" */
  mynah__item item;
  int n_dims; /* 0: one number */
  int64_t dims[MYNAH__NPY_DIMS];
  size_t row_bytes; /* of dims[1…] */
  uint8_t *data;    /* in C order and this machine's bytes */
} mynah__npy;

typedef struct mynah__npz {
  mynah__npy *arrays;
  size_t n, capacity;
  int n_objects; /* arrays of Python objects, which are never read */
} mynah__npz;

/* Reads all arrays. Fails: CORRUPT, LIMIT (over 4 GiB, or more than deflate can pack), UNSUPPORTED. */
mynah_status mynah__npz_open(const char *path, mynah__npz *out);
mynah_status mynah__npz_parse(const char *path, const uint8_t *zip, size_t n, mynah__npz *out);
void mynah__npz_close(mynah__npz *z);
const mynah__npy *mynah__npz_find(const mynah__npz *z, const char *name); /* NULL: none */
/* Element i of an array as a whole number. */
int64_t mynah__npy_integer(const mynah__npy *a, int64_t i);

#endif
