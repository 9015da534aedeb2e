/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside dataset: the open file, its prepared statements, the episode being written. */
#ifndef MYNAH_DATASET_STORE_H
#define MYNAH_DATASET_STORE_H

#include <mynah/dataset.h>

#include <sqlite3.h>

/* Frames of a vector feature that lie in one block. */
#define MYNAH__BLOCK_FRAMES 64
/* Block "feature" of the time stamps. */
#define MYNAH__TIMES (-1)
#define MYNAH__MAX_FEATURES 64
#define MYNAH__APPLICATION_ID 0x4d794e61 /* "MyNa" */
#define MYNAH__FORMAT_VERSION 1

/* The episode being written. */
typedef struct mynah__open_episode {
  bool is_open;
  mynah_episode info;
  int64_t last_time_ns, committed_ns;
  int64_t times[MYNAH__BLOCK_FRAMES];
  uint8_t *rows[MYNAH__MAX_FEATURES]; /* of vector features: frames of the block not yet stored */
  int n_pending;
  mynah_sha256 hash;
} mynah__open_episode;

typedef enum mynah__query {
  MYNAH__PUT_BLOCK,
  MYNAH__PUT_PICTURE,
  MYNAH__GET_BLOCK,
  MYNAH__GET_PICTURE,
  MYNAH__SEAL,
  MYNAH__QUERY_COUNT
} mynah__query;

struct mynah_dataset {
  sqlite3 *db;
  char path[MYNAH_PATH_MAX];
  bool is_writable;
  int lock_fd; /* of a writer; -1 otherwise */
  mynah_feature features[MYNAH__MAX_FEATURES];
  int n_features;
  mynah_codec codec;
  int jpeg_quality;
  double rate_hz;
  char robot[128];
  mynah_episode *episodes; /* not deleted, in order */
  size_t n_episodes, cap_episodes;
  sqlite3_stmt *queries[MYNAH__QUERY_COUNT];
  mynah__open_episode writing;
  uint8_t *block; /* the block read last, checked */
  size_t block_capacity;
  int64_t block_episode, block_feature, block_start, block_count;
};

/* A SQLite failure as a status with text; busy, full, corrupt and the like keep their meaning. */
mynah_status mynah__sql_fail(mynah_dataset *d, const char *what);
mynah_status mynah__sql_run(mynah_dataset *d, const char *sql);
mynah_status mynah__sql_prepare(mynah_dataset *d, mynah__query q, sqlite3_stmt **out);
/* Reads the table of sealed, undeleted episodes. */
mynah_status mynah__load_episodes(mynah_dataset *d);
int mynah__feature_index(const mynah_dataset *d, const char *name);
/* What an episode's hash covers of one feature's values or of the times. */
void mynah__hash_item(mynah_sha256 *s, int64_t feature, const void *bytes, size_t n);
/* The checked block of frames that holds `frame`; feature MYNAH__TIMES: the times. */
mynah_status mynah__read_block(mynah_dataset *d, const mynah_episode *e, int64_t feature, int64_t frame);
mynah_status mynah__read_picture(mynah_dataset *d, const mynah_episode *e, int feature, int64_t frame, const void **data,
                                 size_t *bytes);

/* An import writes to OUT.part, which begin clears of a killed one's leavings; end renames it when status is MYNAH_OK and
 * removes it otherwise, passing the status on. */
mynah_status mynah__import_begin(const char *out_path, char temporary[MYNAH_PATH_MAX]);
mynah_status mynah__import_end(mynah_status status, const char *temporary, const char *out_path);
extern const mynah_importer mynah__import_udacity, mynah__import_zarr;

#endif
