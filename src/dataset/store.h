/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside dataset: the open file, its prepared statements, its checksums, the episode being written. */
#ifndef MYNAH_DATASET_STORE_H
#define MYNAH_DATASET_STORE_H

#include <mynah/dataset.h>

#include <sqlite3.h>

/* Frames of a vector feature that lie in one block. */
#define MYNAH__BLOCK_FRAMES 64
/* "Feature" of the blocks of time stamps. */
#define MYNAH__TIMES (-1)
#define MYNAH__MAX_FEATURES 64
#define MYNAH__APPLICATION_ID 0x4d794e61 /* "MyNa" */
/* user_version is 1000 * major + minor: a newer major is refused; a newer minor only adds tables, so it can be read. */
#define MYNAH__MAJOR 1
#define MYNAH__MINOR 0
/* Beside the codecs of pictures: the same picture as in an earlier frame, whose number (int64) is the data. */
#define MYNAH__CODEC_REPEAT 3
/* The largest encoded picture taken. */
#define MYNAH__MAX_PICTURE_BYTES ((size_t)1 << 27)

/* The episode being written. */
typedef struct mynah__open_episode {
  bool is_open;
  bool is_broken; /* a write failed half-way: it can only be discarded */
  mynah_episode info;
  int64_t last_time_ns, committed_ns, log_bytes; /* pictures since the log was moved into the file */
  int64_t times[MYNAH__BLOCK_FRAMES];
  uint8_t *rows[MYNAH__MAX_FEATURES];      /* of vector features: frames of the block not yet stored */
  mynah_str pictures[MYNAH__MAX_FEATURES]; /* of image features: this frame's, encoded */
  int64_t shown[MYNAH__MAX_FEATURES];      /* of image features: the frame whose picture was stored last */
  int n_pending;
  mynah_sha256 hash;
} mynah__open_episode;

typedef enum mynah__query {
  MYNAH__PUT_BLOCK,
  MYNAH__PUT_PICTURE,
  MYNAH__GET_BLOCK,
  MYNAH__GET_PICTURE,
  MYNAH__PUT_EPISODE,
  MYNAH__SET_EPISODE,
  MYNAH__QUERY_COUNT
} mynah__query;

/* The block of a feature that was read last, checked. */
typedef struct mynah__block {
  int64_t episode, start, count; /* episode 0: none */
  uint8_t *data;
  size_t capacity;
} mynah__block;

struct mynah_dataset {
  sqlite3 *db;
  char path[MYNAH_PATH_MAX];
  bool is_writable;
  bool is_bulk; /* an import: made safe once, at its end */
  int lock_fd;  /* of a writer; -1 otherwise */
  mynah_feature features[MYNAH__MAX_FEATURES];
  int n_features;
  mynah_codec codec;
  int jpeg_quality;
  double rate_hz;
  char robot[128];
  mynah_episode *episodes; /* not deleted, in order */
  size_t n_episodes, cap_episodes;
  int64_t n_unsealed; /* found at opening: a writer is at work, or was killed */
  sqlite3_stmt *queries[MYNAH__QUERY_COUNT];
  mynah__open_episode writing;
  mynah__block blocks[MYNAH__MAX_FEATURES + 1]; /* [0]: times, [1 + i]: feature i */
  uint8_t *picture;                             /* the picture read last */
  size_t picture_capacity;
  int64_t picture_frame; /* the frame under which it is stored: of a repeated one, the earlier */
  mynah_json *tags; /* the note, when it was asked for */
  int64_t ballast_bytes; /* of the ballast file beside it; 0: none */
  bool is_short;         /* of space: the ballast was given up */
  int64_t commit_ns, move_ns; /* the last add's commit took, and moving the log into the file; 0: it did not */
};

/* ---- guard.c -------------------------------------------------------------------------------------------------------
 */

/* Looks how much space is left, and gives the ballast up if it is too little. */
void mynah__guard_look(mynah_dataset *d);
void mynah__guard_end(mynah_dataset *d);

/* ---- store.c -------------------------------------------------------------------------------------------------------
 */

mynah_status mynah__create(const char *path, const mynah_dataset_config *config, bool is_bulk, mynah_dataset **out);
/* An open writer becomes one that is made safe once, at its end. */
mynah_status mynah__make_bulk(mynah_dataset *d);

/* ---- sql.c: SQLite with our errors ------------------------------------------------------------------------------- */

/* A SQLite failure as a status with text; busy, full, corrupt and the like keep their meaning. */
mynah_status mynah__sql_fail(mynah_dataset *d, const char *what);
mynah_status mynah__sql_run(mynah_dataset *d, const char *sql);
mynah_status mynah__sql_prepare(mynah_dataset *d, const char *sql, sqlite3_stmt **out); /* finalize it */
mynah_status mynah__sql_number(mynah_dataset *d, const char *sql, int64_t *out);
/* One of the statements that are kept, reset. */
mynah_status mynah__sql_query(mynah_dataset *d, mynah__query q, sqlite3_stmt **out);
/* Runs a statement that gives no rows, and resets it. */
mynah_status mynah__sql_step(mynah_dataset *d, sqlite3_stmt *q);
/* Opens d->path and makes SQLite careful with it. uri_tail: NULL, or what follows the path of a file: URI. */
mynah_status mynah__sql_open(mynah_dataset *d, int flags, const char *uri_tail);
/* The log on the disk, then in the file as far as readers allow: what was committed survives a power cut. */
mynah_status mynah__sql_make_safe(mynah_dataset *d);

/* ---- schema.c: tables, and the rows that describe
 * --------------------------------------------------------------------- */

mynah_status mynah__schema_create(mynah_dataset *d, const mynah_dataset_config *config);
/* Header, version, tables word by word, and the structure of the small tables. */
mynah_status mynah__schema_check(mynah_dataset *d);
mynah_status mynah__load_meta(mynah_dataset *d);
/* A note, in the transaction that may be open. */
mynah_status mynah__put_note(mynah_dataset *d, const char *key, const char *text);
mynah_status mynah__load_features(mynah_dataset *d);
mynah_status mynah__save_features(mynah_dataset *d);
mynah_status mynah__load_episodes(mynah_dataset *d);
/* A sealed episode by its id, deleted or not. Fails: NOT_FOUND. */
mynah_status mynah__find_episode(mynah_dataset *d, int64_t id, mynah_episode *out);
/* Adds an unsealed row and gives it its id. */
mynah_status mynah__insert_episode(mynah_dataset *d, mynah_episode *e);
/* Writes all of a row. */
mynah_status mynah__update_episode(mynah_dataset *d, const mynah_episode *e, bool is_sealed);

/* ---- codec.c: elements and pictures
 * ---------------------------------------------------------------------------------- */

/* CRC-32C of four little-endian int64, which say where the bytes belong, and of the bytes. */
uint32_t mynah__place_crc(int64_t a, int64_t b, int64_t c, int64_t d, const void *bytes, size_t n);
/* What an episode's hash covers of one feature's values or of the times. */
void mynah__hash_item(mynah_sha256 *s, int64_t feature, const void *bytes, size_t n);
double mynah__to_double(mynah_dtype dtype, const void *element);
/* Kind and size of an encoded picture by its first bytes; false: neither JPEG nor PNG. */
bool mynah__picture_size(const void *data, size_t n, mynah_codec *codec, int *width, int *height);

/* ---- reader.c ------------------------------------------------------------------------------------------------------
 */

/* The checked block of frames that holds `frame`; feature MYNAH__TIMES: the times. */
mynah_status mynah__read_block(mynah_dataset *d, const mynah_episode *e, int64_t feature, int64_t frame,
                               const mynah__block **out);
mynah_status mynah__read_picture(mynah_dataset *d, const mynah_episode *e, int feature, int64_t frame,
                                 mynah_codec *codec, size_t *bytes); /* into d->picture */

/* ---- edit.c, copy.c ------------------------------------------------------------------------------------------------
 */

/* An episode's tags, NULL if none; d's until it changes. */
mynah_status mynah__tags_of(mynah_dataset *d, int64_t id, const mynah_json **out);
/* Frames first … last (negative: the end) of an episode, at rate_hz if that is over 0; pictures decoded or as they are.
 */
typedef struct mynah__copy {
  int64_t first, last;
  double rate_hz;
  bool is_reencoded;
  mynah_status (*work_out)(void *context, mynah_dataset *from, const mynah_frame_place *at, float *out);
  void *context;
} mynah__copy;
/* Feature k of `to` is feature map[k] of `from`, which may be the same file; -1: it is worked out. */
mynah_status mynah__copy_episode(mynah_dataset *from, int64_t i, mynah_dataset *to, const int *map,
                                 const mynah__copy *how, int64_t *id);

/* ---- importers.c ---------------------------------------------------------------------------------------------------
 */

/* An import writes to OUT.part, which begin clears of a killed one's leavings (with may_resume, create does, unless it can go on from
 * them); end closes it, renames it when status is MYNAH_OK and removes it otherwise, passing the status on; what may be resumed is kept
 * after an interrupt. */
#define MYNAH__PROGRESS_NOTE "import progress" /* how far an import has come that may be resumed */
typedef struct mynah__import_file {
  char out_path[MYNAH_PATH_MAX], part_path[MYNAH_PATH_MAX];
  mynah_dataset *dataset; /* made by create */
  bool may_resume, is_resumed;
} mynah__import_file;
mynah_status mynah__import_begin(const char *out_path, mynah__import_file *file);
mynah_status mynah__import_create(mynah__import_file *file, const mynah_dataset_config *config);
mynah_status mynah__import_end(mynah__import_file *file, mynah_status status);
extern const mynah_importer mynah__import_csv, mynah__import_lerobot, mynah__import_npz, mynah__import_rollouts,
    mynah__import_tub, mynah__import_udacity, mynah__import_yolo, mynah__import_zarr;
extern const mynah_importer mynah__import_aloha, mynah__import_minari, mynah__import_robomimic; /* with libhdf5 */

#endif
