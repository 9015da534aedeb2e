/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What exporters share: where things go, texts, rows of features. */
#ifndef MYNAH_DATASET_EXPORT_H
#define MYNAH_DATASET_EXPORT_H

#include "store.h"

#include <stdio.h>

/* Writes what is in d to `path`, which is not there yet and takes its place when all is written. */
typedef mynah_status (*mynah__export_work)(mynah_dataset *d, const char *path, const mynah_progress *progress);
mynah_status mynah__export_run(mynah_dataset *d, const char *out_path, const mynah_progress *progress,
                               mynah__export_work work);
mynah_status mynah__put_bytes(FILE *file, const char *path, const void *data, size_t n);
/* FOLDER/STEM.jpg or .png: the stored bytes of a picture as a file of their own; raw pictures as PNG. */
mynah_status mynah__put_picture(mynah_dataset *d, const char *folder, int64_t e, int feature, int64_t t,
                                const char *stem, const char **ending);
/* Closes and syncs; a failure of either is not swallowed. */
mynah_status mynah__close_file(FILE *file, const char *path, mynah_status status);
/* "x" of "x,y" or "" */
void mynah__element_name(const mynah_feature *f, int64_t k, char *out, size_t size);
extern const mynah_exporter mynah__export_csv, mynah__export_lerobot, mynah__export_npz, mynah__export_robomimic,
    mynah__export_yolo;

#endif
