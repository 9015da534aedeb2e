/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The threads beside the control thread: one predicts, one writes a dataset. What the control thread calls never blocks,
 * allocates or touches a file. */
#ifndef MYNAH_RUN_WORKER_H
#define MYNAH_RUN_WORKER_H

#include <mynah/run.h>

/* ---- worker.c: predictions ------------------------------------------------------------------------------------------- */

/* A chunk as it came out. */
typedef struct mynah__chunk {
  int64_t origin;   /* the step whose observation it was made from */
  int64_t episode;
  int64_t infer_ns;
  mynah_status status;
  float values[]; /* (chunk, action size) */
} mynah__chunk;

typedef struct mynah__worker mynah__worker;
/* Fails: MISMATCH when the device does not give what the policy sees. */
mynah_status mynah__worker_create(mynah_predictor *p, const mynah_device *device, mynah__worker **out);
void mynah__worker_destroy(mynah__worker *w);
/* What the worker is told of a step. Shape: prefix (n_prefix, action size) */
typedef struct mynah__seen {
  int64_t step, episode;
  uint64_t seed;         /* of the episode */
  bool is_asked;         /* a prediction is wanted from this one */
  int64_t n_prefix;
  const float *prefix;
  const mynah_value *values; /* of the device, in its order */
} mynah__seen;
/* False: the worker is so far behind that the frame is lost to it. */
bool mynah__worker_show(mynah__worker *w, const mynah__seen *seen);
/* The oldest chunk that came; NULL: none. It is the caller's until release. */
const mynah__chunk *mynah__worker_front(mynah__worker *w);
void mynah__worker_release(mynah__worker *w);

/* ---- recorder.c: a dataset ------------------------------------------------------------------------------------------- */

typedef struct mynah__recorder mynah__recorder;
typedef struct mynah__recorder_report {
  int64_t n_episodes, n_frames, n_dropped;
  int64_t n_late; /* samples of features, in saved episodes */
} mynah__recorder_report;
typedef struct mynah__recorder_config {
  double rate_hz;
  const char *expert;
  void (*saved)(void *context, int64_t episode, int64_t frames); /* by the writer; NULL: nobody is told */
  void *context;
  void (*committed)(void *context, int64_t ns, int64_t move_ns); /* how long each commit took, by the writer; NULL: nobody is told */
  int64_t ballast_bytes; /* kept free on the disk; 0: none */
} mynah__recorder_config;
/* A new dataset, or one that has the device's features. Shape: order (features of the dataset): which of the device's each is. */
mynah_status mynah__recording_open(const char *path, const mynah_device *d, const mynah_dataset_config *config, int *order,
                                  mynah_dataset **out);
/* Opens or makes the dataset; room for at least two seconds of frames. */
mynah_status mynah__recorder_create(const char *path, const mynah_device *device, const mynah__recorder_config *config,
                                    mynah__recorder **out);
/* One frame of the present episode; pictures as pixels or as JPEG or PNG. A picture of a live device that has the capture time it had
 * is stored once. False: there was no room. Shape: values (n_observations), action (action size) */
bool mynah__recorder_frame(mynah__recorder *r, const mynah_value *values, const float *action, int64_t time_ns);
/* The episode is over and is sealed, or thrown away; success: 1, 0, -1 unknown, or: */
#define MYNAH__DISCARD (-2)
void mynah__recorder_end(mynah__recorder *r, int success);
/* The disk is nearly full or failed: end and close. */
bool mynah__recorder_must_stop(mynah__recorder *r);
/* Seals nothing that was not ended, waits for the writer, closes. */
mynah_status mynah__recorder_close(mynah__recorder *r, mynah__recorder_report *out);

#endif
