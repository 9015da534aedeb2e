/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The demonstration store: one SQLite file, NAME.demos, of sealed episodes; its writer, reader, statistics, importers.
 *
 * Owns:    values given to the writer are copied before it returns.
 * Threads: a dataset handle belongs to one thread; another thread opens its own (opening is cheap).
 * An episode is in the file once mynah_episode_seal returned MYNAH_OK, and survives a power cut from then on. */
#ifndef MYNAH_DATASET_H
#define MYNAH_DATASET_H

#include <mynah/capture.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mynah_dataset mynah_dataset;

typedef enum mynah_open_mode {
  MYNAH_OPEN_READ,  /* must exist; opened read-only and checked as a file from elsewhere */
  MYNAH_OPEN_WRITE, /* must exist; unsealed tails of a killed writer are removed and counted */
  MYNAH_OPEN_CREATE /* must not exist */
} mynah_open_mode;

/* How pictures of a feature are kept. */
typedef enum mynah_codec { MYNAH_CODEC_JPEG, MYNAH_CODEC_PNG, MYNAH_CODEC_RAW } mynah_codec;

/* What a new file is told. */
typedef struct mynah_dataset_config {
  const mynah_feature *features; /* observations and action, any order */
  int n_features;
  double rate_hz;     /* nominal control rate */
  const char *robot;  /* "sim:track"; NULL: "" */
  const char *source; /* how it came to be, e.g. "import udacity"; NULL: "" */
  mynah_codec codec;
  int jpeg_quality; /* 0: 92 */
  bool is_full_sync; /* PRAGMA synchronous=FULL instead of NORMAL */
} mynah_dataset_config;

/* Fails: NOT_FOUND, BUSY (another writer), CORRUPT (says what is damaged), UNSUPPORTED (a newer major version, or no
 * .demos file at all). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_open(const char *path, mynah_open_mode mode, mynah_dataset **out);
/* Fails: BUSY when the file exists. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_create(const char *path, const mynah_dataset_config *config,
                                                          mynah_dataset **out);
/* Finishes and closes. Without sealing, an open episode is lost. */
MYNAH_API void mynah_dataset_close(mynah_dataset *d);

MYNAH_API int mynah_dataset_n_features(const mynah_dataset *d);
MYNAH_API const mynah_feature *mynah_dataset_feature(const mynah_dataset *d, int i);
MYNAH_API const mynah_feature *mynah_dataset_find(const mynah_dataset *d, const char *name); /* NULL: none */
MYNAH_API double mynah_dataset_rate_hz(const mynah_dataset *d);
MYNAH_API const char *mynah_dataset_robot(const mynah_dataset *d);
MYNAH_API const char *mynah_dataset_path(const mynah_dataset *d);

/* What is known of an episode. */
typedef struct mynah_episode {
  int64_t id;       /* never reused within a file */
  int64_t n_frames;
  uint64_t seed;    /* of the simulator, 0 if none */
  int success;      /* 1 yes, 0 no, -1 unknown */
  bool is_deleted;
  char task[128];   /* what was to be done, in words */
  char expert[64];  /* who was imitated: "pure_pursuit", "human" */
  char hash[65];    /* SHA-256 over all frames' bytes and times, in hex */
} mynah_episode;
/* Episodes that are not deleted, in order; i in 0 … n-1. */
MYNAH_API int64_t mynah_dataset_n_episodes(const mynah_dataset *d);
MYNAH_API int64_t mynah_dataset_n_frames(const mynah_dataset *d);
MYNAH_API const mynah_episode *mynah_dataset_episode(const mynah_dataset *d, int64_t i);
/* SHA-256 over features and episode hashes: names the version a policy saw. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_hash(const mynah_dataset *d, char hex[65]);
/* Free text kept with the file ("split", "license" …); get gives NULL when absent. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_set_note(mynah_dataset *d, const char *key, const char *text);
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_get_note(mynah_dataset *d, const char *key, mynah_str *out);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One episode at a time. info: seed, success, task, expert are used. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_episode_begin(mynah_dataset *d, const mynah_episode *info);
/* One frame: a value for each feature in the file's order; images are raw RGB (and are encoded here), or, with
 * is_encoded[i], a JPEG or PNG blob kept as it is. time_ns must not go back.
 * Fails: MISMATCH (size), NONFINITE (names feature and element), NO_SPACE; the episode can then be discarded. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_episode_add(mynah_dataset *d, int64_t time_ns, const mynah_value *values,
                                                       const bool *is_encoded);
/* Changes what begin said, before the seal: success, task. */
MYNAH_API void mynah_episode_mark(mynah_dataset *d, int success);
/* The final commit, checkpoint and sync. *id (may be NULL) names it. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_episode_seal(mynah_dataset *d, int64_t *id);
MYNAH_API void mynah_episode_discard(mynah_dataset *d);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Frames start … start+count-1 of episode i as floats. Shape: out (count, size of feature) */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_read(mynah_dataset *d, int64_t i, const char *feature, int64_t start,
                                                        int64_t count, float *out);
/* The same in the feature's own dtype. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_read_raw(mynah_dataset *d, int64_t i, const char *feature,
                                                            int64_t start, int64_t count, void *out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_read_times(mynah_dataset *d, int64_t i, int64_t start, int64_t count,
                                                              int64_t *time_ns);
/* The stored bytes of one picture; valid until the next call on d. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_read_blob(mynah_dataset *d, int64_t i, const char *feature,
                                                             int64_t frame, const void **data, size_t *bytes);
/* Decoded; min_width/min_height as in mynah_image_decode. The caller frees it. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_read_image(mynah_dataset *d, int64_t i, const char *feature,
                                                              int64_t frame, int min_width, int min_height,
                                                              mynah_image *out);

/* ---- checking and statistics --------------------------------------------------------------------------------------- */

typedef struct mynah_verify_report {
  int64_t n_episodes, n_frames, n_blobs;
  int64_t n_damaged;      /* episodes with a wrong checksum, count or hash */
  char first_damage[256]; /* where and what */
} mynah_verify_report;
/* Reads everything and compares every checksum. A damaged file is no failure of the call: see the report. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_verify(mynah_dataset *d, const mynah_progress *progress,
                                                          mynah_verify_report *out);

/* Of one feature over all frames of the chosen episodes; images: per colour channel in [0,1].
 * Owns: arrays of size elements each, freed by mynah_stats_deinit. Standard deviations divide by n. */
typedef struct mynah_stats {
  int64_t size, n_frames;
  double *min, *max, *mean, *std;
} mynah_stats;
/* episodes: indices, or NULL for all. Images are sampled (at most max_images frames, evenly; 0: all). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_stats(mynah_dataset *d, const char *feature, const int64_t *episodes,
                                                         int64_t n_episodes, int64_t max_images, mynah_stats *out);
MYNAH_API void mynah_stats_deinit(mynah_stats *s);

/* ---- windows --------------------------------------------------------------------------------------------------------- */

/* What a model wants to see around a time step t: frames t+first … t+first+count-1 of a feature, clamped to the episode
 * (the nearest frame is repeated). This is how a policy describes its inputs to whoever reads datasets for it. */
typedef struct mynah_window {
  char input[MYNAH_NAME_MAX];   /* name of the graph input it fills */
  char feature[MYNAH_NAME_MAX]; /* of the dataset */
  int first, count;
  bool is_padding_mask;         /* float (count): 1 where the frame exists, 0 where it was repeated */
  bool is_class;                /* int32 (count): the first element, a whole number */
  /* Pictures: the crop (left, top, right, bottom shares in [0,1] taken away), then this size; u8 (count,H,W,3). */
  int width, height;
  double crop[4];
} mynah_window;
/* The part of a width x height picture that a window keeps. Shape: part (4) x, y, width, height in px, at least 1 x 1 */
MYNAH_API void mynah_window_part(const mynah_window *w, int width, int height, int part[4]);

/* ---- importers --------------------------------------------------------------------------------------------------------- */

/* What an import did; printed as JSON by the program. */
typedef struct mynah_import_report {
  int64_t n_episodes, n_frames, n_skipped;
  mynah_json *skipped; /* [{"episode":…,"why":…}] ; destroyed with mynah_json_destroy */
} mynah_import_report;

/* A format that can be brought in: one row of a table. */
typedef struct mynah_importer {
  const char *name; /* "zarr" */
  const char *summary;
  const mynah_config_table *config;
  /* Reads `path` into a new file `out_path`: written beside it and renamed when whole, so a killed import leaves none. */
  mynah_status (*run)(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                      mynah_import_report *report);
} mynah_importer;
MYNAH_API const mynah_importer *const *mynah_importers(void); /* NULL-terminated */
MYNAH_API MYNAH_CHECKED mynah_status mynah_importer_find(const char *name, const mynah_importer **out);

/* ---- well-known tasks ------------------------------------------------------------------------------------------- */

/* Push-T's observation.state, observation.environment_state (nine keypoints) and action: the same names, units, angles
 * and mirror image whether they come from a file or from a simulator. */
MYNAH_API void mynah_pusht_features(mynah_feature *state, mynah_feature *points, mynah_feature *action);

#ifdef __cplusplus
}
#endif
#endif
