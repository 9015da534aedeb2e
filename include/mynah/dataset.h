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
  int jpeg_quality;  /* 0: 92 */
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
  int64_t id; /* never reused within a file */
  int64_t n_frames;
  uint64_t seed; /* of the simulator, 0 if none */
  int success;   /* 1 yes, 0 no, -1 unknown */
  bool is_deleted;
  char task[128];  /* what was to be done, in words */
  char expert[64]; /* who was imitated: "pure_pursuit", "human" */
  char hash[65];   /* SHA-256 over all frames' bytes and times, in hex */
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

/* Names of the classes in the file's boxes: the note "classes". get: *names are the caller's, freed with
 * mynah_names_free. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_set_classes(mynah_dataset *d, const char *const *names, int n);
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_get_classes(mynah_dataset *d, char ***names, size_t *n);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One episode at a time. info: seed, success, task, expert are used. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_episode_begin(mynah_dataset *d, const mynah_episode *info);
/* One frame: a value for each feature in the file's order; images are raw RGB (and are encoded here), or, with
 * is_encoded[i], a JPEG or PNG blob kept as it is; NULL data of an image: the same picture as in the frame before, which
 * is kept once (a camera slower than the frames). time_ns must not go back.
 * Fails: MISMATCH (size), NONFINITE (names feature and element), NO_SPACE; the episode can then be discarded. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_episode_add(mynah_dataset *d, int64_t time_ns, const mynah_value *values,
                                                       const bool *is_encoded);
/* How long the commit took that the last add made, and moving the log into the file, as it does now and then; 0: it did not. */
MYNAH_API int64_t mynah_dataset_commit_ns(const mynah_dataset *d, int64_t *move_ns);
/* Changes what begin said, before the seal: success, task. */
MYNAH_API void mynah_episode_mark(mynah_dataset *d, int success);
/* The final commit, checkpoint and sync. *id (may be NULL) names it. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_episode_seal(mynah_dataset *d, int64_t *id);
MYNAH_API void mynah_episode_discard(mynah_dataset *d);

/* Keeps so many bytes of the disk in a ballast file, NAME.demos.ballast, until d is closed. When space runs low the ballast is
 * given up: the open episode has room to be sealed, no other begins. Fails: NO_SPACE. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_keep_room(mynah_dataset *d, int64_t bytes);
/* The ballast was given up: seal and stop. */
MYNAH_API bool mynah_dataset_is_short(const mynah_dataset *d);

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

/* ---- checking and statistics ---------------------------------------------------------------------------------------
 */

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

/* ---- editing --------------------------------------------------------------------------------------------------------
 * Episodes are named by their ids. A change is whole or not at all, leaves other episodes' bytes alone, and first saves
 * the version that was there. Thread: d's. Fails: INVALID when d is not open for writing, NOT_FOUND for an id that is
 * not there, BUSY while an episode is being written. Shape: ids (n) */

/* Deleted episodes are left out everywhere and stay in the file until vacuum. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_set_deleted(mynah_dataset *d, const int64_t *ids, int64_t n,
                                                               bool is_deleted);
/* success: 1, 0 or -1 (unknown). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_set_success(mynah_dataset *d, const int64_t *ids, int64_t n,
                                                               int success);
/* Removes what was deleted for good and packs the file, which needs its size again while it works. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_vacuum(mynah_dataset *d, int64_t *n_removed);
/* A tag is a word of at most 63 letters. Fails: INVALID for another. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_tag(mynah_dataset *d, const int64_t *ids, int64_t n, const char *tag,
                                                       bool is_on);
MYNAH_API bool mynah_dataset_has_tag(mynah_dataset *d, int64_t i, const char *tag); /* i: an index, 0 … n-1 */
/* ["good","valid"] of index i, NULL: none. Until the next change. */
MYNAH_API const mynah_json *mynah_dataset_tags(mynah_dataset *d, int64_t i);

/* A split by whole episodes, kept as tags train, valid, test; each group of alike episodes gives each part its share.
 */
typedef enum mynah_split_by {
  MYNAH_SPLIT_BY_NONE,
  MYNAH_SPLIT_BY_TASK,
  MYNAH_SPLIT_BY_SUCCESS,
  MYNAH_SPLIT_BY_EXPERT,
  MYNAH_SPLIT_BY_TAG /* alike: the same tags, those of a split aside */
} mynah_split_by;
typedef struct mynah_split_config {
  double valid, test; /* shares in [0,1) */
  uint64_t seed;
  mynah_split_by by;
} mynah_split_config;
/* counts: episodes in train, valid, test. Fails: INVALID for shares that leave nothing to train on. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_split(mynah_dataset *d, const mynah_split_config *config,
                                                         int64_t counts[3]);
/* Which part episode index i is in: 0 train, 1 valid, 2 test, -1 none. */
MYNAH_API int mynah_dataset_part(mynah_dataset *d, int64_t i);
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_rename_feature(mynah_dataset *d, const char *from, const char *to);
/* Frames first … last (negative: from the end) become a new episode with the old one's tags; the old one is deleted. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_trim(mynah_dataset *d, int64_t id, int64_t first, int64_t last,
                                                        int64_t *new_id);

/* Episodes of some files into a new one, pictures as the bytes they are unless told: merge, select, resample, reencode.
 */
typedef struct mynah_frame_place {
  int64_t episode, frame, time_ns; /* episode: an index */
} mynah_frame_place;
typedef struct mynah_copy_options {
  const char *features; /* "a,b" to keep, in that order; NULL or "": all */
  const int64_t *ids;   /* episodes to keep; NULL: all */
  int64_t n_ids;
  double rate_hz;    /* > 0: frames at this rate, numbers interpolated (angles the short way), pictures the nearest */
  bool is_reencoded; /* pictures are decoded and kept as: */
  mynah_codec codec;
  int jpeg_quality; /* 0: 92 */
  /* A vector of floats that each frame gets beside its others, or instead of one of that name; NULL: none. Not with rate_hz. */
  const mynah_feature *added;
  mynah_status (*work_out)(void *context, mynah_dataset *from, const mynah_frame_place *at, float *out);
  void *context;
  const char *eyes; /* of a feature added: the note "eyes" that says how it is seen; NULL: as the first source has it */
  const mynah_progress *progress;
} mynah_copy_options;
/* Fails: MISMATCH when features or rates differ; BUSY when the file exists; nothing is left then. Shape: from (n) */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_copy(mynah_dataset *const *from, int n,
                                                        const mynah_copy_options *options, const char *out_path);

/* ---- versions
 * -------------------------------------------------------------------------------------------------------- A version is
 * a manifest {"hash","rate_hz","features":[…],"episodes":[{"id","frames","hash","tags"}]} under the hash that
 * mynah_dataset_hash gives; a policy file holds that hash. It is never changed. */

/* Keeps the present version; name: "" or a name that then always means it. Fails: BUSY for a name given to another. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_save_version(mynah_dataset *d, const char *name, char hash[65]);
/* which: "" (the present one), a name, or at least 6 digits of a hash; also finds what the file held before episodes
 * were added. Owns: *out is the caller's. Fails: NOT_FOUND. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_read_version(mynah_dataset *d, const char *which, mynah_json **out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_list_versions(mynah_dataset *d,
                                                                 mynah_json **out); /* [{"hash","episodes","name"}] */
/* Sets episodes_removed, episodes_added (ids), episodes_kept, frames_before, frames_after, features_removed, _added. */
MYNAH_API void mynah_version_diff(const mynah_json *a, const mynah_json *b, mynah_json *out);

/* ---- lint ----------------------------------------------------------------------------------------------------------
 */

/* What can be wrong with demonstrations: one row a kind of finding, with its name in JSON. */
#define MYNAH_LINT_MAP(X)                                                                                           \
  X(IDLE, "idle")                                                                                                   \
  X(TIME_GAP, "time_gap") X(TIME_REVERSAL, "time_reversal") X(RATE_DRIFT, "rate_drift")                             \
      X(FROZEN_CAMERA, "frozen_camera") X(BLACK_CAMERA, "black_camera") X(SATURATED, "saturated")                   \
          X(CONSTANT, "constant") X(JUMP, "jump") X(NONFINITE, "nonfinite") X(LAG, "lag") X(DUPLICATE, "duplicate") \
              X(LENGTH_OUTLIER, "length_outlier") X(CONFLICT, "conflict") X(LABEL_NOISE, "label_noise")             \
                  X(LEAKAGE, "leakage")

typedef enum mynah_lint_kind {
#define MYNAH_LINT_ENUM(name, text) MYNAH_LINT_##name,
  MYNAH_LINT_MAP(MYNAH_LINT_ENUM)
#undef MYNAH_LINT_ENUM
      MYNAH_LINT_KINDS
} mynah_lint_kind;
MYNAH_API const char *mynah_lint_kind_name(mynah_lint_kind kind); /* "time_gap" */

/* info: worth knowing; warning: costs quality; error: training on it goes wrong. */
typedef enum mynah_severity { MYNAH_SEVERITY_INFO, MYNAH_SEVERITY_WARNING, MYNAH_SEVERITY_ERROR } mynah_severity;
MYNAH_API const char *mynah_severity_name(mynah_severity s);

#define MYNAH_LINT_CONFIG_KEYS(K)                                                                                      \
  K(FLOAT, idle_s, "idle.seconds", 2, 0.1, 3600, "s", "state and action rest at least this long (and 8 frames)")       \
  K(FLOAT, idle_share, "idle.share", 0.01, 0, 1, "", "resting: no element leaves this share of its range")             \
  K(FLOAT, gap_factor, "gap.factor", 3, 1.1, 1000, "", "a step in time over this many usual ones is a gap")            \
  K(FLOAT, drift_share, "drift.share", 0.1, 0.001, 10, "", "a rate this far off the nominal or the early one drifts")  \
  K(FLOAT, frozen_s, "frozen.seconds", 1, 0.05, 3600, "s", "equal pictures for this long while something moves")       \
  K(FLOAT, saturated_share, "saturated.share", 0.25, 0.01, 1, "",                                                      \
    "of frames that sit at one end of an element's range")                                                             \
  K(FLOAT, jump_share, "jump.share", 0.25, 0.01, 1, "", "of the range: a step this large, and 10 times the usual")     \
  K(FLOAT, lag_s, "lag.seconds", 0.5, 0.001, 60, "s", "a state that follows its action later than this lags")          \
  K(FLOAT, noise_share, "noise.share", 0.1, 0.001, 1, "", "frame-to-frame noise of an action, in standard deviations") \
  K(BOOL, pictures, "pictures", true, 0, 1, "", "look at pictures, which reads the whole file")                        \
  K(INT, limit, "limit", 20, 1, 1000000, "", "findings listed of each kind; further ones are counted")

typedef struct mynah_lint_config {
#define MYNAH_LINT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_LINT_CONFIG_KEYS(MYNAH_LINT_FIELD)
#undef MYNAH_LINT_FIELD
} mynah_lint_config;
MYNAH_API extern const mynah_config_table mynah_lint_table;

typedef struct mynah_finding {
  mynah_lint_kind kind;
  mynah_severity severity;
  int64_t episode;   /* its id; -1: the whole set */
  int64_t frames[2]; /* first and last */
  char advice[320];  /* what was found, then what to do */
} mynah_finding;
typedef struct mynah_lint_report {
  mynah_finding *findings; /* the worst first */
  size_t n, capacity;
  int64_t n_found; /* with those that are counted only */
  mynah_severity worst;
} mynah_lint_report;
/* Reads the whole set (twice, but for pictures) and reports at most one finding of a kind for each episode and feature.
 * parts: which part of a split (0 train, 1 valid, 2 test, -1 none) each episode is in, or NULL: no look for leakage.
 * Shape: parts (episodes). Thread: d's. Owns: free with deinit. Fails: as reading does; INVALID: no episodes. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_dataset_lint(mynah_dataset *d, const mynah_lint_config *config,
                                                        const int8_t *parts, const mynah_progress *progress,
                                                        mynah_lint_report *out);
MYNAH_API void mynah_lint_report_deinit(mynah_lint_report *r);
/* [{"kind","episode" (null: the set),"frames":[a,b],"severity","advice"}] */
MYNAH_API mynah_json *mynah_lint_report_to_json(const mynah_lint_report *r);

/* ---- windows ------------------------------------------------------------------------------------------------- */

/* What a model wants to see around a time step t: frames t+first … t+first+count-1 of a feature, clamped to the episode
 * (the nearest frame is repeated). This is how a policy describes its inputs to whoever reads datasets for it. */
typedef struct mynah_window {
  char input[MYNAH_NAME_MAX];   /* name of the graph input it fills */
  char feature[MYNAH_NAME_MAX]; /* of the dataset */
  int first, count;
  bool is_padding_mask; /* float (count): 1 where the frame exists, 0 where it was repeated */
  bool is_class;        /* int32 (count): the first element, a whole number */
  bool is_boxes;        /* objects in the picture window before this one, with which they are changed; count is 1 */
  /* Pictures: the crop (left, top, right, bottom shares in [0,1] taken away), then this size; u8 (count,H,W,3). */
  int width, height;
  double crop[4];
} mynah_window;
/* The part of a width x height picture that a window keeps. Shape: part (4) x, y, width, height in px, at least 1 x 1
 */
MYNAH_API void mynah_window_part(const mynah_window *w, int width, int height, int part[4]);

/* ---- importers ----------------------------------------------------------------------------------------------- */

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
  /* Reads `path` into a new file `out_path`: written beside it and renamed when whole, so a killed import leaves none.
   */
  mynah_status (*run)(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                      mynah_import_report *report);
} mynah_importer;
MYNAH_API const mynah_importer *const *mynah_importers(void); /* NULL-terminated */
MYNAH_API MYNAH_CHECKED mynah_status mynah_importer_find(const char *name, const mynah_importer **out);

/* ---- videos -------------------------------------------------------------------------------------------------- */

/* Frames of a video file in their order, decoded by a child process (the program mynah-video) that can do nothing else.
 * Threads: one. */
typedef struct mynah_video mynah_video;
MYNAH_API bool mynah_video_is_supported(void); /* the program is there */
/* Begins behind the first `skip` frames. Fails: NOT_FOUND, CORRUPT (no video), LIMIT, UNSUPPORTED (no program). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_video_open(const char *path, int64_t skip, mynah_video **out);
MYNAH_API void mynah_video_close(mynah_video *v);
MYNAH_API mynah_image mynah_video_size(const mynah_video *v);   /* of frames; no data */
MYNAH_API double mynah_video_seconds(const mynah_video *v);     /* its length as the file says; 0: not said */
MYNAH_API int64_t mynah_video_position(const mynah_video *v);   /* number of the next frame */
/* The next frame and its time since the video's beginning, later than the one before; or *is_over.
 * Shape: image as mynah_video_size. Fails: CORRUPT (broken off), MISMATCH (another size), INTERRUPTED. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_video_read(mynah_video *v, const mynah_image *image, int64_t *time_ns, bool *is_over);

/* ---- pictures with boxes ------------------------------------------------------------------------------------- */

#define MYNAH_LABELS_BOXES_MAX 1000 /* of a picture */
/* A picture file and what it shows. Shape: boxes (n_boxes,5) class, centre x, y, width, height in shares of the picture
 */
typedef struct mynah_labelled {
  char *path;
  int part; /* 0 train, 1 valid, 2 test */
  float *boxes;
  int n_boxes;
} mynah_labelled;
/* A list of them, const once opened: a folder with dataset.yaml (or data.yaml) and YOLO's label files, that YAML file,
 * or an NDJSON file. Pictures themselves are not read; those whose labels are bad are left out and told by skipped:
 * [{"picture","why"}]. Nothing is run or fetched, whatever the files say. Fails: NOT_FOUND, CORRUPT (file and line),
 * UNSUPPORTED, LIMIT. */
typedef struct mynah_labels mynah_labels;
MYNAH_API bool mynah_labels_is(const char *path); /* looks like one: a folder, .yaml, .yml or .ndjson */
MYNAH_API MYNAH_CHECKED mynah_status mynah_labels_open(const char *path, mynah_labels **out);
MYNAH_API void mynah_labels_close(mynah_labels *l);
MYNAH_API int64_t mynah_labels_n(const mynah_labels *l);
MYNAH_API const mynah_labelled *mynah_labels_at(const mynah_labels *l, int64_t i);
MYNAH_API int mynah_labels_n_boxes_max(const mynah_labels *l);
MYNAH_API const char *const *mynah_labels_classes(const mynah_labels *l, int *n);
MYNAH_API const mynah_json *mynah_labels_skipped(const mynah_labels *l, int64_t *n);

/* ---- exporters ----------------------------------------------------------------------------------------------- */

/* A format that a dataset can be written in: one row of a table. */
typedef struct mynah_exporter {
  const char *name; /* "lerobot" */
  const char *summary;
  /* Writes all episodes of d to `out_path`, a file or a folder, which must not exist and is there only when whole. */
  mynah_status (*run)(mynah_dataset *d, const char *out_path, const mynah_progress *progress);
} mynah_exporter;
MYNAH_API const mynah_exporter *const *mynah_exporters(void); /* NULL-terminated */
MYNAH_API MYNAH_CHECKED mynah_status mynah_exporter_find(const char *name, const mynah_exporter **out);

/* ---- well-known tasks ------------------------------------------------------------------------------------------- */

/* Push-T's observation.state, observation.environment_state (nine keypoints) and action: the same names, units, angles
 * and mirror image whether they come from a file or from a simulator. */
MYNAH_API void mynah_pusht_features(mynah_feature *state, mynah_feature *points, mynah_feature *action);

#ifdef __cplusplus
}
#endif
#endif
