/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Batches: a seeded order, samples put together, prepared ahead by threads. Batch k depends on k, not on who makes it. */
#include "feed_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define ORDER_STREAM 31
#define SAMPLE_STREAM 32
#define MAX_WORKERS 64

typedef struct sample {
  int32_t range;
  int64_t t;
} sample;

typedef struct slot {
  mynah_batch batch;
  bool is_ready;
  mynah_status status; /* of making it */
  char error[256];
} slot;

struct mynah_feed {
  const mynah_frames *frames;
  mynah_feed_config config;
  mynah_feed_options options;
  mynah_range *ranges;
  sample *samples;
  int64_t n_samples, n_batches;
  slot *slots;
  int n_slots;
  int n_makers;     /* workers, or threads of the pool, or the caller */
  uint8_t *scratch; /* (makers) pictures */
  size_t scratch_bytes;
  mynah__reader *readers; /* (makers) */
  pthread_t threads[MAX_WORKERS];
  int n_threads;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int64_t next_made, next_taken, n_released; /* batch numbers */
  int n_working;
  bool is_ending, is_seeking;
};

/* ---- one sample ------------------------------------------------------------------------------------------------------ */

static const sample *sample_at(const mynah_feed *f, int64_t number) {
  if (!f->options.is_training) return &f->samples[number];
  uint64_t n = (uint64_t)f->n_samples, epoch = (uint64_t)number / n;
  uint64_t key = (f->options.seed * 0x9e3779b97f4a7c15u + ORDER_STREAM) ^ (epoch + 1) * 0xd1342543de82ef95u;
  return &f->samples[mynah_rng_permute((uint64_t)number % n, n, key)];
}

/* What a thread makes samples with. */
typedef struct maker {
  mynah__reader *reader;
  uint8_t *scratch;
} maker;

static maker maker_of(const mynah_feed *f, int worker) { return (maker){&f->readers[worker], f->scratch + (size_t)worker * f->scratch_bytes}; }

static mynah_status put_vector(const mynah_feed *f, const mynah__column *c, const mynah__augmentation *a, const maker *m,
                               const mynah__place *at, void *out) {
  const float *in;
  MYNAH_TRY(mynah__read_vector_of(f->frames, c, m->reader, at, &in));
  if (c->window.is_class) {
    *(int32_t *)out = (int32_t)in[0];
    return MYNAH_OK;
  }
  float *to = out;
  memcpy(to, in, (size_t)mynah_feature_size(&c->feature) * sizeof *to);
  bool is_action = strcmp(c->feature.name, "action") == 0;
  if (is_action && a->view > 0) to[f->config.side_element] += (float)(a->view == 1 ? f->config.side_correction : -f->config.side_correction);
  if (a->is_mirrored) mynah_feature_apply_mirror(&c->feature, to);
  if (f->options.is_training) mynah__augment_slots(a, &f->config, &c->feature, to);
  return MYNAH_OK;
}

static mynah_status put_picture(const mynah_feed *f, const mynah__column *c, const mynah__augmentation *a, const maker *m,
                                const mynah__place *at, uint8_t *out) {
  const uint8_t *in;
  MYNAH_TRY(mynah__read_picture_of(f->frames, c, m->reader, at, &in));
  if (f->options.is_training) mynah__augment_picture(a, in, c->window.width, c->window.height, m->scratch, out);
  else memcpy(out, in, c->frame_bytes);
  return MYNAH_OK;
}

/* The frame that sample `number` begins with. */
static mynah__place place_of(const mynah_feed *f, const sample *s) { return (mynah__place){.episode = f->ranges[s->range].episode, .t = s->t}; }

/* A picture and its boxes. */
static mynah_status put_scene(const mynah_feed *f, int picture, const mynah__augmentation *a, const maker *m, const sample *own, uint8_t *out,
                              float *boxes) {
  const mynah__column *c = &f->frames->columns[picture], *b = &f->frames->columns[c->boxes];
  int64_t n = mynah_feature_size(&b->feature);
  int n_sources = f->options.is_training ? 4 : 1;
  mynah__scene s = {.width = c->window.width, .height = c->window.height, .picture = out, .scratch = m->scratch, .boxes = boxes, .n_boxes = n / 5};
  for (int i = 0; i < n_sources; i++) {
    mynah__place at = place_of(f, i ? &f->samples[a->partners[i - 1] % (uint64_t)f->n_samples] : own);
    at.buffer = i;
    MYNAH_TRY(mynah__read_picture_of(f->frames, c, m->reader, &at, &s.sources[i].picture));
    MYNAH_TRY(mynah__read_vector_of(f->frames, b, m->reader, &at, &s.sources[i].boxes));
  }
  if (f->options.is_training) {
    mynah__scene_compose(a, &s);
    return MYNAH_OK;
  }
  memcpy(out, s.sources[0].picture, c->frame_bytes);
  memcpy(boxes, s.sources[0].boxes, (size_t)n * sizeof *boxes);
  return MYNAH_OK;
}

static mynah_status put_sample(const mynah_feed *f, int64_t number, int64_t place, const maker *m, mynah_batch *batch) {
  const sample *s = sample_at(f, number);
  const mynah_range *r = &f->ranges[s->range];
  mynah__augmentation a = {.contrast = 1, .saturation = 1};
  if (f->options.is_training) {
    mynah_rng rng = mynah_rng_make(f->options.seed, (uint64_t)number << 8 | SAMPLE_STREAM);
    mynah__augmentation_draw(f->frames, &f->config, &rng, &a);
  }
  for (int i = 0; i < f->frames->n_columns; i++) {
    const mynah__column *c = &f->frames->columns[i];
    uint8_t *out = (uint8_t *)batch->data[i] + (size_t)place * (size_t)c->window.count * c->frame_bytes;
    if (c->window.is_boxes) continue; /* they came with their picture */
    if (c->boxes >= 0) {
      float *boxes = (float *)batch->data[c->boxes] + place * mynah_feature_size(&f->frames->columns[c->boxes].feature);
      MYNAH_TRY(put_scene(f, i, &a, m, s, out, boxes));
      continue;
    }
    for (int k = 0; k < c->window.count; k++, out += c->frame_bytes) {
      int64_t t = s->t + c->window.first + k, inside = t < r->from ? r->from : t >= r->to ? r->to - 1 : t;
      mynah__place at = {r->episode, inside, a.view, 0};
      if (c->window.is_padding_mask) *(float *)(void *)out = t == inside;
      else MYNAH_TRY(c->feature.is_image ? put_picture(f, c, &a, m, &at, out) : put_vector(f, c, &a, m, &at, out));
    }
  }
  return MYNAH_OK;
}

static void begin_batch(const mynah_feed *f, int64_t k, slot *to) {
  int64_t size = f->options.batch, start = k * size;
  if (!f->options.is_training && start + size > f->n_samples) size = f->n_samples > start ? f->n_samples - start : 0;
  to->batch.number = k;
  to->batch.size = size;
  to->status = MYNAH_OK;
}

/* Share `part` of `n_parts` of what this feed makes of a batch that was begun, by number `worker` of the makers. */
static mynah_status make_part(const mynah_feed *f, int worker, int part, int n_parts, slot *to) {
  const mynah_feed_options *o = &f->options;
  int64_t size = to->batch.size, last = o->count > 0 && o->first + o->count < size ? o->first + o->count : size;
  int64_t n = last > o->first ? last - o->first : 0, end = o->first + n * (part + 1) / n_parts;
  maker m = maker_of(f, worker);
  for (int64_t i = o->first + n * part / n_parts; i < end; i++) MYNAH_TRY(put_sample(f, to->batch.number * o->batch + i, i, &m, &to->batch));
  return MYNAH_OK;
}

static void keep_error(mynah_status status, slot *to) {
  to->status = status;
  if (status != MYNAH_OK) snprintf(to->error, sizeof to->error, "%s", mynah_error());
}

static void make_batch(const mynah_feed *f, int64_t k, int worker, slot *to) {
  begin_batch(f, k, to);
  keep_error(make_part(f, worker, 0, 1, to), to);
}

/* By the threads of the pool; of several errors the first sample's is kept. */
typedef struct joint {
  mynah_feed *feed;
  slot *to;
  int n_parts, failed;
} joint;

static void make_share(void *context, int task, int worker) {
  joint *j = context;
  (void)worker;
  mynah_status status = make_part(j->feed, task, task, j->n_parts, j->to);
  if (status == MYNAH_OK) return;
  pthread_mutex_lock(&j->feed->lock);
  if (task < j->failed) {
    keep_error(status, j->to);
    j->failed = task;
  }
  pthread_mutex_unlock(&j->feed->lock);
}

static void make_jointly(mynah_feed *f, int64_t k, slot *to) {
  int n = f->options.pool ? mynah_pool_size(f->options.pool) : 1;
  if (n == 1) {
    make_batch(f, k, 0, to);
    return;
  }
  joint j = {f, to, n, n};
  begin_batch(f, k, to);
  mynah_pool_run(f->options.pool, n, make_share, &j);
}

/* ---- threads --------------------------------------------------------------------------------------------------------- */

typedef struct start {
  mynah_feed *feed;
  int worker;
} start;

/* True when batch next_made has a slot to go to. */
static bool may_make(const mynah_feed *f) {
  bool is_past_end = !f->options.is_training && f->next_made >= f->n_batches;
  return !f->is_seeking && !is_past_end && f->next_made < f->n_released + f->n_slots;
}

static void *work(void *argument) {
  start s = *(start *)argument;
  mynah_free(argument);
  mynah_feed *f = s.feed;
  pthread_mutex_lock(&f->lock);
  while (!f->is_ending) {
    if (!may_make(f)) {
      pthread_cond_wait(&f->changed, &f->lock);
      continue;
    }
    int64_t k = f->next_made++;
    f->n_working++;
    pthread_mutex_unlock(&f->lock);
    slot *to = &f->slots[k % f->n_slots];
    make_batch(f, k, s.worker, to);
    pthread_mutex_lock(&f->lock);
    to->is_ready = true;
    f->n_working--;
    pthread_cond_broadcast(&f->changed);
  }
  pthread_mutex_unlock(&f->lock);
  return NULL;
}

static mynah_status start_threads(mynah_feed *f) {
  while (f->n_threads < f->options.n_workers) {
    start *s = mynah_alloc(sizeof *s);
    if (!s) return MYNAH_NO_MEMORY;
    *s = (start){f, f->n_threads};
    if (pthread_create(&f->threads[f->n_threads], NULL, work, s) != 0) {
      mynah_free(s);
      return mynah_fail(MYNAH_LIMIT, "feed: thread %d could not be started", f->n_threads);
    }
    f->n_threads++;
  }
  return MYNAH_OK;
}

/* ---- making and ending ----------------------------------------------------------------------------------------------- */

static mynah_status list_samples(mynah_feed *f) {
  const mynah_feed_options *o = &f->options;
  size_t capacity = 0;
  f->ranges = mynah_calloc((size_t)o->n_ranges + 1, sizeof *f->ranges);
  if (!f->ranges) return MYNAH_NO_MEMORY;
  if (o->n_ranges > 0) memcpy(f->ranges, o->ranges, (size_t)o->n_ranges * sizeof *f->ranges);
  for (int64_t i = 0; i < o->n_ranges; i++) {
    const mynah_range *r = &f->ranges[i];
    if (r->episode < 0 || r->episode >= f->frames->n_episodes || r->from < 0 || r->to <= r->from ||
        r->to > f->frames->first[r->episode + 1] - f->frames->first[r->episode])
      return mynah_fail(MYNAH_INVALID, "feed: range %lld does not lie in an episode", (long long)i);
    for (int64_t t = r->from; t < r->to; t += f->config.frame_stride) {
      MYNAH_TRY(mynah_grow((void **)&f->samples, &capacity, (size_t)f->n_samples + 1, sizeof *f->samples));
      f->samples[f->n_samples++] = (sample){(int32_t)i, t};
    }
  }
  if (o->is_training && f->n_samples == 0) return mynah_fail(MYNAH_INVALID, "feed: no samples to train on");
  f->n_batches = o->is_training ? f->n_samples / o->batch : (f->n_samples + o->batch - 1) / o->batch;
  return MYNAH_OK;
}

static mynah_status allocate_slots(mynah_feed *f) {
  f->slots = mynah_calloc((size_t)f->n_slots, sizeof *f->slots);
  if (!f->slots) return MYNAH_NO_MEMORY;
  for (int i = 0; i < f->frames->n_columns; i++) {
    const mynah__column *c = &f->frames->columns[i];
    size_t bytes;
    if (!mynah_mul_size((size_t)c->window.count * c->frame_bytes, (size_t)f->options.batch, &bytes))
      return mynah_fail(MYNAH_LIMIT, "feed: a batch of %lld is too large", (long long)f->options.batch);
    if (c->feature.is_image && c->frame_bytes > f->scratch_bytes) f->scratch_bytes = (c->frame_bytes + 63) / 64 * 64;
    for (int s = 0; s < f->n_slots; s++)
      if (!(f->slots[s].batch.data[i] = mynah_calloc(1, bytes))) return MYNAH_NO_MEMORY;
  }
  f->scratch = mynah_alloc((size_t)f->n_makers * f->scratch_bytes + 64);
  f->readers = mynah_calloc((size_t)f->n_makers, sizeof *f->readers);
  if (!f->scratch || !f->readers) return MYNAH_NO_MEMORY;
  for (int i = 0; i < f->n_makers; i++) MYNAH_TRY(mynah__reader_init(f->frames, &f->readers[i]));
  return MYNAH_OK;
}

mynah_status mynah_feed_create(const mynah_frames *frames, const mynah_feed_config *config,
                               const mynah_feed_options *options, mynah_feed **out) {
  if (options->batch < 1 || options->batch > 1 << 20) return mynah_fail(MYNAH_INVALID, "batch=%lld: makes no sense", (long long)options->batch);
  mynah_feed *f = mynah_calloc(1, sizeof *f);
  if (!f) return MYNAH_NO_MEMORY;
  f->frames = frames;
  f->config = *config;
  f->options = *options;
  if (f->options.n_workers > MAX_WORKERS) f->options.n_workers = MAX_WORKERS;
  f->n_makers = f->options.n_workers > 0 ? f->options.n_workers : f->options.pool ? mynah_pool_size(f->options.pool) : 1;
  f->n_slots = f->options.n_workers > 0 ? (int)config->feed_ahead + 1 : 1;
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->changed, NULL);
  mynah_status status = list_samples(f);
  if (status == MYNAH_OK) status = allocate_slots(f);
  if (status == MYNAH_OK) status = start_threads(f);
  if (status != MYNAH_OK) {
    mynah_feed_destroy(f);
    return status;
  }
  *out = f;
  return MYNAH_OK;
}

void mynah_feed_destroy(mynah_feed *f) {
  if (!f) return;
  pthread_mutex_lock(&f->lock);
  f->is_ending = true;
  pthread_cond_broadcast(&f->changed);
  pthread_mutex_unlock(&f->lock);
  for (int i = 0; i < f->n_threads; i++) pthread_join(f->threads[i], NULL);
  for (int s = 0; f->slots && s < f->n_slots; s++)
    for (int i = 0; i < f->frames->n_columns; i++) mynah_free(f->slots[s].batch.data[i]);
  pthread_cond_destroy(&f->changed);
  pthread_mutex_destroy(&f->lock);
  for (int i = 0; f->readers && i < f->n_makers; i++) mynah__reader_deinit(&f->readers[i]);
  mynah_free(f->readers);
  mynah_free(f->slots);
  mynah_free(f->scratch);
  mynah_free(f->samples);
  mynah_free(f->ranges);
  mynah_free(f);
}

/* ---- taking ---------------------------------------------------------------------------------------------------------- */

int64_t mynah_feed_n_samples(const mynah_feed *f) { return f->n_samples; }
int64_t mynah_feed_n_batches(const mynah_feed *f) { return f->n_batches; }

void mynah_feed_seek(mynah_feed *f, int64_t k) {
  pthread_mutex_lock(&f->lock);
  f->is_seeking = true;
  while (f->n_working > 0) pthread_cond_wait(&f->changed, &f->lock);
  for (int s = 0; s < f->n_slots; s++) f->slots[s].is_ready = false;
  f->next_made = f->next_taken = f->n_released = k;
  f->is_seeking = false;
  pthread_cond_broadcast(&f->changed);
  pthread_mutex_unlock(&f->lock);
}

mynah_status mynah_feed_next(mynah_feed *f, mynah_batch *out) {
  if (!f->options.is_training && f->next_taken >= f->n_batches) {
    *out = (mynah_batch){.number = f->next_taken};
    return MYNAH_OK;
  }
  if (f->next_taken >= f->n_released + f->n_slots)
    return mynah_fail(MYNAH_BUSY, "feed: %d batches are out and none was released", f->n_slots);
  slot *s = &f->slots[f->next_taken % f->n_slots];
  if (f->n_threads == 0) {
    make_jointly(f, f->next_taken, s);
  } else {
    pthread_mutex_lock(&f->lock);
    while (!s->is_ready) pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
  }
  if (s->status != MYNAH_OK) return mynah_fail(s->status, "%s", s->error);
  f->next_taken++;
  *out = s->batch;
  return MYNAH_OK;
}

void mynah_feed_release(mynah_feed *f, const mynah_batch *batch) {
  if (batch->size == 0) return;
  pthread_mutex_lock(&f->lock);
  f->slots[batch->number % f->n_slots].is_ready = false;
  f->n_released++;
  pthread_cond_broadcast(&f->changed);
  pthread_mutex_unlock(&f->lock);
}
