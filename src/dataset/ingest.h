/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What importers share: the file they write, the report, names of features, elements of other programs' arrays. */
#ifndef MYNAH_DATASET_INGEST_H
#define MYNAH_DATASET_INGEST_H

#include "store.h"

/* ---- items.c: elements of arrays as NumPy names them --------------------------------------------------------------
 */

typedef struct mynah__item {
  char kind;         /* 'f' float, 'i' int, 'u' unsigned, 'b' bool */
  int bytes;         /* each */
  mynah_dtype dtype; /* that holds all its values */
  bool is_swapped;   /* the other byte order */
} mynah__item;
/* "<f4", ">i8", "|u1", "|b1"; where: names the array in errors. Fails: UNSUPPORTED. */
mynah_status mynah__item_parse(const char *where, const char *text, mynah__item *out);
void mynah__items_swap(uint8_t *items, size_t bytes, int each);
double mynah__item_number(const mynah__item *type, const uint8_t *item);
/* n items as type->dtype. */
void mynah__items_convert(const mynah__item *type, const uint8_t *items, size_t n, void *out);
/* n items times scale as 0 … 255, rounded; false: one is not finite. */
bool mynah__items_to_picture(const mynah__item *type, const uint8_t *items, size_t n, float scale, uint8_t *out);

/* ---- ingest.c: one import -----------------------------------------------------------------------------------------
 */

typedef struct mynah__ingest {
  const char *path, *robot; /* what is brought in; of whom, NULL: not known */
  mynah__import_file file;
  mynah_import_report report;
  const mynah_progress *progress;
  mynah_feature features[MYNAH__MAX_FEATURES];
  int n;
  double rate_hz;
  bool is_strict;                       /* a bad episode ends the import */
  int64_t n_calls, n_done, n_passed;    /* of ingest_episode: in all, of those a killed import made; episodes of it gone by */
  mynah_json *bad;                      /* what ingest_episode left out, as in the report, with "call" */
  uint8_t *values[MYNAH__MAX_FEATURES]; /* a frame of each feature, from create on */
} mynah__ingest;

/* Runs `work` between the beginning and the end of the file that is written; fills the report when all went well. */
typedef mynah_status (*mynah__ingest_work)(mynah__ingest *in, void *context);
mynah_status mynah__ingest_run(const char *path, const char *out_path, const mynah_progress *progress,
                               mynah__ingest_work work, void *context, mynah_import_report *report);
/* An importer whose episodes all go through mynah__ingest_episode, in an order that its input alone decides, may set
 * in->file.may_resume before create: then what a killed import sealed is not made again. */
/* Makes the file once in->features are known. config: rate_hz, robot, source, codec, jpeg_quality. */
mynah_status mynah__ingest_create(mynah__ingest *in, const mynah_dataset_config *config);
/* Reports what is left out: {"episode"|"line": number, "why": …}. */
void mynah__ingest_skip(mynah__ingest *in, const char *key, int64_t number, const char *why);
/* What a bad source gives, as against a full disk or an interrupt. */
bool mynah__ingest_is_bad(mynah_status status);

/* Fills frame t: vectors and raw pictures into in->values[i], or values[i] with is_encoded[i] set. time_ns holds t /
 * rate. */
typedef mynah_status (*mynah__fetch)(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns);
/* Writes and seals an episode; a bad one is left out and reported under its number. */
mynah_status mynah__ingest_episode(mynah__ingest *in, const mynah_episode *info, int64_t number, int64_t n_frames,
                                   mynah__fetch fetch, void *context);

/* ---- names: one helper for all formats -----------------------------------------------------------------------------
 */

#define MYNAH__MAP_HELP "names: OURS from THEIRS, as in observation.state:qpos,:unused (left out); others by rule"
/* The name here of a field there ("obs/agentview_image"); "": left out. is_image: a picture. map: "ours:theirs,…" or
 * "". */
mynah_status mynah__map_name(const char *map, const char *theirs, bool is_image, char out[MYNAH_NAME_MAX]);
/* Adds the feature that a field becomes. Shape: dims (n_dims), of one row. *index: −1 when it is left out. */
mynah_status mynah__ingest_field(mynah__ingest *in, const char *map, const char *theirs, const mynah__item *type,
                                 int n_dims, const int64_t *dims, int *index);

/* Settings that several importers have. */
typedef struct mynah__array_config {
  double rate_hz;
  char map[MYNAH_TEXT_MAX], task[MYNAH_TEXT_MAX];
  int64_t codec, jpeg_quality;
} mynah__array_config;
extern const mynah_config_table mynah__array_table;
mynah_status mynah__ingest_create_arrays(mynah__ingest *in, const mynah__array_config *c, double rate_hz,
                                         const char *source);
/* An empty episode with the task of the settings. */
mynah_episode mynah__episode_of(const mynah__array_config *c, const char *expert);

#endif
