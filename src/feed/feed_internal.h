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
  int boxes;            /* of a picture: the column of its boxes; -1: none */
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
  uint8_t *picture;       /* (MYNAH__BUFFERS) for what is not kept */
  float *vector;
  size_t picture_bytes, vector_size; /* of one */
} mynah__reader;
mynah_status mynah__reader_init(const mynah_frames *f, mynah__reader *r);
void mynah__reader_deinit(mynah__reader *r);
#define MYNAH__BUFFERS 4
typedef struct mynah__place {
  int64_t episode, t;
  int view;   /* of pictures */
  int buffer; /* what is read stays until the reader's next call with this one */
} mynah__place;
/* Fails: what reading fails with, MISMATCH (the file was changed). */
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
  double hue;                   /* rad */
  double scale;                 /* pictures with boxes: times as large */
  bool is_turned, is_mosaic;
  double mosaic_x, mosaic_y;    /* where four pictures meet */
  uint64_t partners[3];         /* of a mosaic, as numbers of any size */
  uint64_t slots;               /* what the slots' changes are drawn from */
} mynah__augmentation;
void mynah__augmentation_draw(const mynah_frames *f, const mynah_feed_config *c, mynah_rng *rng, mynah__augmentation *out);
/* Shape: in, out (height,width,3); scratch as large */
void mynah__augment_picture(const mynah__augmentation *a, const uint8_t *in, int width, int height, uint8_t *scratch,
                            uint8_t *out);

/* A vector of slots (elements named obj.CLASS.N.valid, .cx and so on; see mynah_slots), in place: boxes jitter, slots are lost. The same for
 * all frames of a sample. Another vector stays as it is. Shape: x (size of the feature) */
void mynah__augment_slots(const mynah__augmentation *a, const mynah_feed_config *c, const mynah_feature *feature, float *x);

/* Colours alone, in place. Shape: picture (height,width,3) */
void mynah__augment_colors(const mynah__augmentation *a, uint8_t *picture, int width, int height);

/* A picture with its boxes, put together from one source or, as a mosaic, from four. */
typedef struct mynah__scene {
  int width, height;
  uint8_t *picture, *scratch; /* (height,width,3) */
  float *boxes;               /* (n_boxes,5) */
  int64_t n_boxes, n;         /* n: how many there are */
  struct {
    const uint8_t *picture; /* (height,width,3) */
    const float *boxes;     /* (n_boxes,5) */
  } sources[4];
} mynah__scene;
void mynah__scene_compose(const mynah__augmentation *a, mynah__scene *s);

#endif
