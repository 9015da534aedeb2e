/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The recorder: frames go through a ring to a thread that writes them, so that a slow disk never holds up the loop. */
#include "worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SECONDS 3
#define RING_BYTES_MAX ((size_t)1 << 30)

typedef enum item_kind { ITEM_FRAME, ITEM_END } item_kind;
/* A frame on its way: the features' bytes follow, each at its offset. */
typedef struct item {
  item_kind kind;
  int success;
  int64_t time_ns, n_dropped; /* of the episode so far */
} item;

struct mynah__recorder {
  mynah_dataset *dataset;
  mynah_ring *ring;
  int n_features, order[16]; /* feature i of the dataset is feature order[i] of the device */
  size_t offsets[16], bytes[16];
  char task[64], expert[64];
  sem_t something;
  atomic_bool is_ending;
  pthread_t thread;
  bool has_thread, must_end; /* an end found no room and is told before the next frame */
  int end_success;
  int64_t n_dropped, n_dropped_here, n_end_dropped; /* control thread's: in all, in this episode, in the one that ended */
  mynah_status status;               /* writer's: the first failure; nothing is written after it */
  char error[256];
  mynah__recorder_report report;
  mynah_json *ledger; /* {"EPISODE": dropped frames} */
  mynah__recorder_config config;
  int64_t n_open; /* writer's: frames of the open episode */
};

/* ---- the ledger ------------------------------------------------------------------------------------------------------ */

/* What earlier sessions noted in the file stays. */
static mynah_status load_ledger(mynah__recorder *r) {
  mynah_str text = {0};
  mynah_status status = mynah_dataset_get_note(r->dataset, "dropped", &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &r->ledger);
  else if (status == MYNAH_NOT_FOUND) status = (r->ledger = mynah_json_object()) ? MYNAH_OK : MYNAH_NO_MEMORY;
  mynah_str_deinit(&text);
  return status;
}

/* Stored with each episode, so that a killed session leaves it too. */
static mynah_status note_dropped(mynah__recorder *r, int64_t episode, int64_t n_dropped) {
  char key[24];
  mynah_str text = {0};
  snprintf(key, sizeof key, "%lld", (long long)episode);
  mynah_json_set(r->ledger, key, mynah_json_integer(n_dropped));
  mynah_status status = mynah_json_dump(r->ledger, 0, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(r->dataset, "dropped", mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

/* ---- the writer ------------------------------------------------------------------------------------------------------ */

static mynah_status write_item(mynah__recorder *r, const item *x, bool *is_open) {
  mynah_value values[16];
  int64_t id = 0;
  if (x->kind == ITEM_END) {
    if (!*is_open) return MYNAH_OK;
    *is_open = false;
    if (x->success == MYNAH__DISCARD) {
      mynah_episode_discard(r->dataset);
      r->report.n_frames -= r->n_open;
      return MYNAH_OK;
    }
    mynah_episode_mark(r->dataset, x->success);
    MYNAH_TRY(mynah_episode_seal(r->dataset, &id));
    r->report.n_episodes++;
    if (r->config.saved) r->config.saved(r->config.context, id, r->n_open);
    return x->n_dropped > 0 ? note_dropped(r, id, x->n_dropped) : MYNAH_OK;
  }
  if (!*is_open) {
    mynah_episode info = {.success = -1};
    memcpy(info.task, r->task, sizeof r->task);
    memcpy(info.expert, r->expert, sizeof r->expert);
    MYNAH_TRY(mynah_episode_begin(r->dataset, &info));
    *is_open = true;
    r->n_open = 0;
  }
  for (int i = 0; i < r->n_features; i++)
    values[i] = (mynah_value){(const uint8_t *)x + r->offsets[r->order[i]], r->bytes[r->order[i]], x->time_ns};
  r->report.n_frames++;
  r->n_open++;
  return mynah_episode_add(r->dataset, x->time_ns, values, NULL);
}

static void *write_all(void *context) {
  mynah__recorder *r = context;
  bool is_open = false;
  for (;;) {
    bool is_ending = atomic_load_explicit(&r->is_ending, memory_order_acquire); /* read before the ring is found empty */
    const item *x = mynah_ring_front(r->ring);
    if (!x && is_ending) break;
    if (!x) {
      sem_wait(&r->something);
      continue;
    }
    if (r->status == MYNAH_OK) r->status = write_item(r, x, &is_open);
    if (r->status != MYNAH_OK && !r->error[0]) {
      snprintf(r->error, sizeof r->error, "%s", mynah_error());
      if (is_open) mynah_episode_discard(r->dataset);
      is_open = false;
    }
    mynah_ring_release(r->ring);
  }
  if (is_open) mynah_episode_discard(r->dataset);
  return NULL;
}

/* ---- making and ending ----------------------------------------------------------------------------------------------- */

static mynah_status open_dataset(mynah__recorder *r, const char *path, const mynah_device *d, double rate_hz) {
  mynah_dataset_config c = {.features = d->features, .n_features = d->n_features, .rate_hz = rate_hz, .robot = d->type->name,
                            .source = "recorded by the loop", .codec = MYNAH_CODEC_JPEG};
  MYNAH_TRY(mynah_file_exists(path) ? mynah_dataset_open(path, MYNAH_OPEN_WRITE, &r->dataset)
                                    : mynah_dataset_create(path, &c, &r->dataset));
  r->n_features = mynah_dataset_n_features(r->dataset);
  if (r->n_features != d->n_features)
    return mynah_fail(MYNAH_MISMATCH, "%s: has %d features, the device %d", path, r->n_features, d->n_features);
  for (int i = 0; i < r->n_features; i++) {
    const mynah_feature *f = mynah_dataset_feature(r->dataset, i);
    r->order[i] = mynah_feature_find(d->features, d->n_features, f->name);
    if (r->order[i] < 0 || mynah_feature_bytes(&d->features[r->order[i]]) != mynah_feature_bytes(f))
      return mynah_fail(MYNAH_MISMATCH, "%s: feature '%s' is not what the device gives", path, f->name);
  }
  return MYNAH_OK;
}

static mynah_status prepare(mynah__recorder *r, const char *path, const mynah_device *d, double rate_hz) {
  size_t at = (sizeof(item) + 63) / 64 * 64;
  MYNAH_TRY(open_dataset(r, path, d, rate_hz));
  for (int i = 0; i < d->n_features; i++) {
    r->offsets[i] = at;
    r->bytes[i] = mynah_feature_bytes(&d->features[i]);
    at += (r->bytes[i] + 63) / 64 * 64;
  }
  size_t n = (size_t)(SECONDS * rate_hz) + 8;
  if (n > RING_BYTES_MAX / at) n = RING_BYTES_MAX / at;
  MYNAH_TRY(mynah_ring_create(n > 8 ? n : 8, at, &r->ring));
  MYNAH_TRY(load_ledger(r));
  if (pthread_create(&r->thread, NULL, write_all, r) != 0) return mynah_fail(MYNAH_LIMIT, "the recorder's thread cannot be made");
  r->has_thread = true;
  return MYNAH_OK;
}

mynah_status mynah__recorder_create(const char *path, const mynah_device *device, const mynah__recorder_config *config,
                                    mynah__recorder **out) {
  mynah__recorder *r = mynah_calloc(1, sizeof *r);
  if (!r) return MYNAH_NO_MEMORY;
  snprintf(r->task, sizeof r->task, "%s", device->type->name);
  snprintf(r->expert, sizeof r->expert, "%s", config->expert);
  r->config = *config;
  sem_init(&r->something, 0, 0);
  mynah_status status = prepare(r, path, device, config->rate_hz);
  if (status != MYNAH_OK) {
    mynah__recorder_report unused;
    mynah_status ignored = mynah__recorder_close(r, &unused);
    (void)ignored;
    return status;
  }
  *out = r;
  return MYNAH_OK;
}

static bool tell_end(mynah__recorder *r) {
  item *x = mynah_ring_reserve(r->ring);
  if (!x) return false;
  *x = (item){ITEM_END, r->end_success, 0, r->n_end_dropped};
  mynah_ring_publish(r->ring);
  sem_post(&r->something);
  r->n_end_dropped = 0;
  r->must_end = false;
  return true;
}

mynah_status mynah__recorder_close(mynah__recorder *r, mynah__recorder_report *out) {
  *out = (mynah__recorder_report){0};
  if (!r) return MYNAH_OK;
  while (r->has_thread && r->must_end && !tell_end(r)) mynah_sleep_until_ns(mynah_now_ns() + 1000000); /* it is sealed too */
  atomic_store_explicit(&r->is_ending, true, memory_order_release);
  sem_post(&r->something);
  if (r->has_thread) pthread_join(r->thread, NULL);
  mynah_status status = r->status == MYNAH_OK ? MYNAH_OK : mynah_fail(r->status, "%s", r->error);
  *out = r->report;
  out->n_dropped = r->n_dropped;
  sem_destroy(&r->something);
  mynah_json_destroy(r->ledger);
  mynah_ring_destroy(r->ring);
  mynah_dataset_close(r->dataset);
  mynah_free(r);
  return status;
}

/* ---- from the control thread ----------------------------------------------------------------------------------------- */

bool mynah__recorder_frame(mynah__recorder *r, const mynah_value *values, const float *action, int64_t time_ns) {
  item *x = r->must_end && !tell_end(r) ? NULL : mynah_ring_reserve(r->ring);
  if (!x) {
    r->n_dropped++;
    r->n_dropped_here++;
    return false;
  }
  *x = (item){ITEM_FRAME, -1, time_ns, 0};
  int n = r->n_features - 1;
  for (int i = 0; i < n; i++) memcpy((uint8_t *)x + r->offsets[i], values[i].data, r->bytes[i]);
  memcpy((uint8_t *)x + r->offsets[n], action, r->bytes[n]);
  mynah_ring_publish(r->ring);
  sem_post(&r->something);
  return true;
}

/* Where an end still waits, no frame came after it: the episode that found no room at all is told of in the one before. */
void mynah__recorder_end(mynah__recorder *r, int success) {
  if (!r->must_end) r->end_success = success;
  r->must_end = true;
  r->n_end_dropped += r->n_dropped_here;
  r->n_dropped_here = 0;
  tell_end(r);
}
