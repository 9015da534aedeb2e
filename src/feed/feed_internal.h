/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside feed: frames and how they are come by, and what happens to a picture on its way into a batch. */
#ifndef MYNAH_FEED_INTERNAL_H
#define MYNAH_FEED_INTERNAL_H

#include <mynah/feed.h>

#include <stdatomic.h>

#define MYNAH__FEED_WINDOWS 32
#define MYNAH__VIEWS 3 /* the camera itself, its left and its right twin */

/* One window's frames. */
typedef struct mynah__column {
  mynah_window window;
  mynah_feature feature;
  size_t frame_bytes; /* of one frame in a batch */
  float *vectors;     /* (n_frames, size), by episodes; NULL for pictures and masks, and when they do not fit */
  int n_views;
  uint8_t *pictures[MYNAH__VIEWS];    /* (n_resident, H, W, 3) */
  atomic_uchar *states[MYNAH__VIEWS]; /* (n_resident) */
  int shared_with;      /* column whose memory this one uses; -1: its own */
} mynah__column;

struct mynah_frames {
  mynah__column columns[MYNAH__FEED_WINDOWS];
  int n_columns;
  char path[MYNAH_PATH_MAX], hash[65]; /* of the dataset */
  int64_t n_frames, n_resident;        /* frames whose pictures are kept, the first */
  atomic_uchar *episode_states;        /* (n_episodes), of the vectors */
  int64_t *first;  /* (n_episodes + 1): number of an episode's first frame */
  int64_t n_episodes;
  bool can_mirror; /* every feature declares it */
  bool has_sides;
};

/* ---- frames.c: a thread's way to the frames -------------------------------------------------------------------------- */

typedef struct mynah__reader {
  mynah_dataset *dataset; /* NULL until something is not in memory */
  uint8_t *picture;       /* one */
  float *vector;
} mynah__reader;
mynah_status mynah__reader_init(const mynah_frames *f, mynah__reader *r);
void mynah__reader_deinit(mynah__reader *r);
typedef struct mynah__place {
  int64_t episode, t;
  int view; /* of pictures */
} mynah__place;
/* *out stays until the reader's next call. Fails: what reading fails with, MISMATCH (the file was changed). */
mynah_status mynah__read_picture_of(const mynah_frames *f, const mynah__column *c, mynah__reader *r, const mynah__place *at, const uint8_t **out);
mynah_status mynah__read_vector_of(const mynah_frames *f, const mynah__column *c, mynah__reader *r, const mynah__place *at, const float **out);

/* ---- augment.c ------------------------------------------------------------------------------------------------------- */

/* One sample's random changes, drawn once and applied to all its pictures. */
typedef struct mynah__augmentation {
  bool is_mirrored;
  int view; /* 0 the camera itself, 1 left, 2 right */
  double brightness, contrast, saturation, shift_x, shift_y, zoom, zoom_x, zoom_y;
  bool has_shadow;
  double shadow_top, shadow_bottom, shadow_gain; /* the border's x at top and bottom, in widths */
  bool shadow_is_left;
} mynah__augmentation;
void mynah__augmentation_draw(const mynah_frames *f, const mynah_feed_config *c, mynah_rng *rng, mynah__augmentation *out);
/* Shape: in, out (height,width,3); scratch as large */
void mynah__augment_picture(const mynah__augmentation *a, const uint8_t *in, int width, int height, uint8_t *scratch,
                            uint8_t *out);

#endif
