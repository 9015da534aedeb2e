/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dataset to batches: episode-wise split, windows with padding, seeded order, augmentation, prefetch.
 *
 * Owns:    a feed borrows its frames; a batch belongs to the feed and is given back with mynah_feed_release.
 * Threads: a feed is used by one thread (its workers are its own).
 * Batch k is a function of (dataset, config, windows, k) alone: any number of workers gives the same bytes, and a run
 * resumes by seeking to a number. */
#ifndef MYNAH_FEED_H
#define MYNAH_FEED_H

#include <mynah/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MYNAH_FEED_KEYS(K)                                                                         \
  K(CHOICE, valid_by, "valid.by", "random", 0, 0, "random|last|time",                              \
    "which part validates: random episodes (or those that data split chose), the last episodes, or the last frames")                \
  K(FLOAT, valid_share, "valid.share", 0.1, 0, 0.9, "", "share of episodes (or frames) that validate") \
  K(INT, frame_stride, "frames.stride", 1, 1, 1000, "frames", "a window starts at every n-th frame of an episode") \
  K(INT, feed_workers, "feed.workers", 0, 0, 64, "threads", "threads preparing batches; 0: as many as train") \
  K(INT, feed_ahead, "feed.ahead", 4, 1, 64, "batches", "batches prepared ahead")                  \
  K(INT, cache_mb, "cache.mb", 2048, 0, 1048576, "MiB", "memory for frames and decoded pictures; what does not fit is read and decoded anew each time") \
  K(FLOAT, brightness, "augment.brightness", 0, 0, 1, "", "pictures: brightness changes by up to this share") \
  K(FLOAT, contrast, "augment.contrast", 0, 0, 1, "", "pictures: contrast changes by up to this share") \
  K(FLOAT, saturation, "augment.saturation", 0, 0, 1, "", "pictures: colour changes by up to this share") \
  K(FLOAT, shift, "augment.shift", 0, 0, 0.5, "", "pictures: moved by up to this share of their size, edges repeated") \
  K(FLOAT, zoom, "augment.crop", 0, 0, 0.5, "", "pictures: up to this share cut away at random, then stretched back") \
  K(FLOAT, mirror, "augment.mirror", 0, 0, 1, "", "probability of left-right mirroring, where the task allows it") \
  K(FLOAT, slots_jitter, "augment.slots.jitter", 0, 0, 0.5, "", "states of slots: boxes moved and stretched at random, a standard deviation in shares of the picture and of themselves") \
  K(FLOAT, slots_drop, "augment.slots.drop", 0, 0, 1, "", "states of slots: probability that an object is not seen, its slot holding what it held") \
  K(FLOAT, hue, "augment.hue", 0, 0, 0.5, "", "pictures: colours turned by up to this share of the circle") \
  K(FLOAT, scale, "augment.scale", 0, 0, 0.9, "", "pictures with boxes: larger or smaller by up to this share, grey around") \
  K(FLOAT, turn_over, "augment.flip", 0, 0, 1, "", "pictures with boxes: probability of being turned upside down") \
  K(FLOAT, mosaic, "augment.mosaic", 0, 0, 1, "", "pictures with boxes: probability of four put together as one") \
  K(FLOAT, shadow, "augment.shadow", 0, 0, 1, "", "probability of a random shadow over a picture") \
  K(FLOAT, side_share, "side.share", 0, 0, 1, "", "share of samples seen through the left or the right camera") \
  K(STRING, side_camera, "side.camera", "observation.images.front", 0, 0, "", "the camera whose .left/.right twins are used") \
  K(FLOAT, side_correction, "side.correction", 0.2, -10, 10, "", "added to the action when seen from the left, taken away from the right") \
  K(INT, side_element, "side.element", 0, 0, 63, "", "the element of the action that is corrected")

typedef struct mynah_feed_config {
#define MYNAH_FEED_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_FEED_KEYS(MYNAH_FEED_FIELD)
#undef MYNAH_FEED_FIELD
} mynah_feed_config;
MYNAH_API extern const mynah_config_table mynah_feed_table;
enum { MYNAH_VALID_RANDOM, MYNAH_VALID_LAST, MYNAH_VALID_TIME };

/* Which frames train and which validate. ranges: frames [from,to) of episode index. */
typedef struct mynah_range {
  int64_t episode, from, to;
} mynah_range;
typedef struct mynah_split {
  mynah_range *train, *valid;
  int64_t n_train, n_valid; /* ranges */
} mynah_split;
/* A split that the file holds (mynah_dataset_split) is taken for valid.by=random.
 * Fails: INVALID when either part would be empty (valid.share 0 is fine: nothing validates). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_split_create(mynah_dataset *d, const mynah_feed_config *config,
                                                        uint64_t seed, mynah_split *out);
MYNAH_API void mynah_split_deinit(mynah_split *s);

/* The frames of a dataset that some windows need. Opening reads none; what a batch needs is read then, pictures are cropped, shrunk and
 * decoded, and kept as far as cache.mb goes. The file must stay as it is meanwhile.
 * Threads: any number of feeds may share them. */
typedef struct mynah_frames mynah_frames;
MYNAH_API MYNAH_CHECKED mynah_status mynah_frames_open(const char *dataset_path, const mynah_feed_config *config,
                                                       const mynah_window *windows, int n_windows, mynah_frames **out);
MYNAH_API void mynah_frames_destroy(mynah_frames *f);

typedef struct mynah_batch {
  int64_t number; /* k */
  int64_t size;   /* samples; the last batch of a pass without repetition may be smaller */
  void *data[32]; /* per window: float, int32 or u8 (size, count, …) */
} mynah_batch;

typedef struct mynah_feed mynah_feed;
typedef struct mynah_feed_options {
  const mynah_range *ranges;
  int64_t n_ranges;
  int64_t batch;
  uint64_t seed;
  bool is_training; /* shuffled, augmented, endless, every batch full; else in order, plain, one pass */
  int64_t first, count; /* samples of each batch that are made, the others being somebody else's; 0, 0: all */
  int n_workers;    /* 0: batches are made by the caller in mynah_feed_next */
  mynah_pool *pool; /* of the caller, who makes them with its threads then; NULL: alone */
} mynah_feed_options;
MYNAH_API MYNAH_CHECKED mynah_status mynah_feed_create(const mynah_frames *f, const mynah_feed_config *config,
                                                       const mynah_feed_options *options, mynah_feed **out);
MYNAH_API void mynah_feed_destroy(mynah_feed *feed);
MYNAH_API int64_t mynah_feed_n_samples(const mynah_feed *feed);
MYNAH_API int64_t mynah_feed_n_batches(const mynah_feed *feed); /* of one pass */
/* The next mynah_feed_next gives batch k. */
MYNAH_API void mynah_feed_seek(mynah_feed *feed, int64_t k);
/* The next batch in order (fails as reading the dataset does), or NULL data at the end of a pass that does not repeat (batch->size 0). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_feed_next(mynah_feed *feed, mynah_batch *out);
MYNAH_API void mynah_feed_release(mynah_feed *feed, const mynah_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
