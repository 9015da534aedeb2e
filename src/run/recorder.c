/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The recorder: frames go through a ring to a thread that writes them, so that a slow disk never holds up the loop. */
#include "worker.h"

#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SECONDS 3
#define RING_BYTES_MAX ((size_t)1 << 30)
#define PICTURES_HZ 120 /* no camera is faster */
#define FEATURES_MAX 16

/* What became of a feature's samples in an episode. */
typedef struct counts {
  int32_t dropped[FEATURES_MAX], late[FEATURES_MAX];
} counts;

typedef enum item_kind { ITEM_FRAME, ITEM_END } item_kind;
/* A frame on its way: the vectors' bytes follow, each at its offset; pictures come in rings of their own. */
typedef struct item {
  item_kind kind;
  int success;
  int64_t time_ns;
  uint32_t has_new;   /* bit i: feature i is not what it was in the frame before */
  int64_t n_dropped;  /* an end's: frames of the episode that had no room */
  counts counts;      /* an end's */
} item;
typedef struct picture {
  size_t bytes; /* of a code, or of the pixels */
  _Alignas(64) uint8_t data[];
} picture;

/* The control thread's view of a feature. */
typedef struct source {
  int64_t seen_ns, kept_ns; /* capture times of the newest sample, and of the newest that went on its way */
  double usual_ns;          /* between samples */
} source;

struct mynah__recorder {
  mynah_dataset *dataset;
  mynah_ring *ring, *pictures[FEATURES_MAX]; /* by feature of the device; NULL for vectors */
  int n_features, order[FEATURES_MAX];       /* feature i of the dataset is feature order[i] of the device */
  size_t offsets[FEATURES_MAX], bytes[FEATURES_MAX];
  char names[FEATURES_MAX][MYNAH_NAME_MAX];
  char task[64], expert[64];
  bool is_live;
  sem_t something;
  atomic_bool is_ending, must_stop;
  pthread_t thread;
  bool has_thread, must_end; /* an end found no room and is told before the next frame */
  bool is_first;             /* frame of an episode comes next */
  int end_success;
  int64_t n_dropped, n_dropped_here, n_end_dropped; /* control thread's: in all, in this episode, in the one that ended */
  source sources[FEATURES_MAX];
  counts here, ended;
  mynah_status status;               /* writer's: the first failure; nothing is written after it */
  char error[256];
  mynah__recorder_report report;
  mynah_json *ledger; /* {"EPISODE": {"frames": dropped, "dropped": {FEATURE: n}, "late": {FEATURE: n}}} */
  mynah__recorder_config config;
  int64_t n_open; /* writer's: frames of the open episode */
};

/* ---- the ledger ------------------------------------------------------------------------------------------------------ */

/* What earlier sessions noted in the file stays. */
static mynah_status load_ledger(mynah__recorder *r) {
  mynah_str text = {0};
  mynah_status status = mynah_dataset_get_note(r->dataset, "ledger", &text);
  if (status == MYNAH_OK) status = mynah_json_parse(mynah_str_text(&text), text.length, &r->ledger);
  else if (status == MYNAH_NOT_FOUND) status = (r->ledger = mynah_json_object()) ? MYNAH_OK : MYNAH_NO_MEMORY;
  mynah_str_deinit(&text);
  return status;
}

static void add_counts(const mynah__recorder *r, mynah_json *j, const char *key, const int32_t *n) {
  mynah_json *list = mynah_json_object();
  for (int i = 0; i < r->n_features; i++)
    if (n[i] > 0) mynah_json_set(list, r->names[i], mynah_json_integer(n[i]));
  mynah_json_set(j, key, list);
}

/* Stored with each episode that lacks something, so that a killed session leaves it too. */
static mynah_status note_counts(mynah__recorder *r, int64_t episode, const item *x) {
  char key[24];
  mynah_str text = {0};
  int64_t n = x->n_dropped;
  for (int i = 0; i < r->n_features; i++) {
    n += x->counts.dropped[i] + x->counts.late[i];
    r->report.n_late += x->counts.late[i];
  }
  if (n == 0) return MYNAH_OK;
  mynah_json *j = mynah_json_object();
  mynah_json_set(j, "frames", mynah_json_integer(x->n_dropped));
  add_counts(r, j, "dropped", x->counts.dropped);
  add_counts(r, j, "late", x->counts.late);
  snprintf(key, sizeof key, "%lld", (long long)episode);
  mynah_json_set(r->ledger, key, j);
  mynah_status status = mynah_json_dump(r->ledger, 0, &text);
  if (status == MYNAH_OK) status = mynah_dataset_set_note(r->dataset, "ledger", mynah_str_text(&text));
  mynah_str_deinit(&text);
  return status;
}

/* ---- the writer ------------------------------------------------------------------------------------------------------ */

static mynah_status end_episode(mynah__recorder *r, const item *x) {
  int64_t id = 0;
  if (x->success == MYNAH__DISCARD) {
    mynah_episode_discard(r->dataset);
    r->report.n_frames -= r->n_open;
    return MYNAH_OK;
  }
  mynah_episode_mark(r->dataset, x->success);
  MYNAH_TRY(mynah_episode_seal(r->dataset, &id));
  r->report.n_episodes++;
  if (r->config.saved) r->config.saved(r->config.context, id, r->n_open);
  return note_counts(r, id, x);
}

/* Shape: values, is_encoded (n_features of the dataset) */
static void take_values(mynah__recorder *r, const item *x, mynah_value *values, bool *is_encoded) {
  for (int i = 0; i < r->n_features; i++) {
    int of = r->order[i];
    is_encoded[i] = false;
    values[i] = (mynah_value){(const uint8_t *)x + r->offsets[of], r->bytes[of], x->time_ns};
    if (!r->pictures[of]) continue;
    const picture *p = x->has_new >> of & 1 ? mynah_ring_front(r->pictures[of]) : NULL;
    values[i] = p ? (mynah_value){p->data, p->bytes, x->time_ns} : (mynah_value){0};
    is_encoded[i] = p && p->bytes != r->bytes[of];
  }
}

static mynah_status write_item(mynah__recorder *r, const item *x, bool *is_open) {
  mynah_value values[FEATURES_MAX];
  bool is_encoded[FEATURES_MAX];
  if (x->kind == ITEM_END) {
    bool was_open = *is_open;
    *is_open = false;
    return was_open ? end_episode(r, x) : MYNAH_OK;
  }
  if (!*is_open) {
    mynah_episode info = {.success = -1};
    memcpy(info.task, r->task, sizeof r->task);
    memcpy(info.expert, r->expert, sizeof r->expert);
    MYNAH_TRY(mynah_episode_begin(r->dataset, &info));
    *is_open = true;
    r->n_open = 0;
  }
  take_values(r, x, values, is_encoded);
  r->report.n_frames++;
  r->n_open++;
  MYNAH_TRY(mynah_episode_add(r->dataset, x->time_ns, values, is_encoded));
  int64_t move_ns, ns = mynah_dataset_commit_ns(r->dataset, &move_ns);
  if (ns > 0 && r->config.committed) r->config.committed(r->config.context, ns, move_ns);
  return MYNAH_OK;
}

static void write_or_fail(mynah__recorder *r, const item *x, bool *is_open) {
  if (r->status == MYNAH_OK) r->status = write_item(r, x, is_open);
  if (mynah_dataset_is_short(r->dataset)) atomic_store(&r->must_stop, true);
  if (r->status == MYNAH_OK || r->error[0]) return;
  snprintf(r->error, sizeof r->error, "%s", mynah_error());
  atomic_store(&r->must_stop, true);
  if (*is_open) mynah_episode_discard(r->dataset);
  *is_open = false;
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
    write_or_fail(r, x, &is_open);
    for (int i = 0; i < r->n_features; i++)
      if (r->pictures[i] && x->kind == ITEM_FRAME && x->has_new >> i & 1) mynah_ring_release(r->pictures[i]);
    mynah_ring_release(r->ring);
  }
  if (is_open) mynah_episode_discard(r->dataset);
  return NULL;
}

/* ---- making and ending ----------------------------------------------------------------------------------------------- */

mynah_status mynah__recording_open(const char *path, const mynah_device *d, const mynah_dataset_config *config, int *order,
                                  mynah_dataset **out) {
  mynah_dataset *set;
  mynah_status status = MYNAH_OK;
  bool is_new = !mynah_file_exists(path);
  MYNAH_TRY(is_new ? mynah_dataset_create(path, config, &set) : mynah_dataset_open(path, MYNAH_OPEN_WRITE, &set));
  int n = mynah_dataset_n_features(set), n_classes = 0;
  while (d->type->classes && d->type->classes[n_classes]) n_classes++;
  if (is_new && n_classes) status = mynah_dataset_set_classes(set, d->type->classes, n_classes);
  if (status == MYNAH_OK && is_new && d->eyes) status = mynah_dataset_set_note(set, "eyes", d->eyes);
  if (n != d->n_features) status = mynah_fail(MYNAH_MISMATCH, "%s: has %d features, the device %d", path, n, d->n_features);
  for (int i = 0; i < n && status == MYNAH_OK; i++) {
    const mynah_feature *f = mynah_dataset_feature(set, i);
    order[i] = mynah_feature_find(d->features, d->n_features, f->name);
    if (order[i] < 0 || mynah_feature_bytes(&d->features[order[i]]) != mynah_feature_bytes(f) ||
        strcmp(d->features[order[i]].unit, f->unit) != 0)
      status = mynah_fail(MYNAH_MISMATCH, "%s: feature '%s' is not what the device gives", path, f->name);
  }
  if (status == MYNAH_OK) *out = set;
  else mynah_dataset_close(set);
  return status;
}

/* Rings for SECONDS: pictures as they are, the rest of a frame in one item. */
static mynah_status create_rings(mynah__recorder *r, const mynah_device *d) {
  size_t at = (sizeof(item) + 63) / 64 * 64, n_images = 0;
  double rate = r->config.rate_hz;
  for (int i = 0; i < d->n_features; i++) {
    r->offsets[i] = at;
    r->bytes[i] = mynah_feature_bytes(&d->features[i]);
    if (d->features[i].is_image) n_images++;
    else at += (r->bytes[i] + 63) / 64 * 64;
  }
  size_t n = (size_t)(SECONDS * rate) + 8, n_pictures = (size_t)(SECONDS * (rate < PICTURES_HZ ? rate : PICTURES_HZ)) + 8;
  MYNAH_TRY(mynah_ring_create(n, at, &r->ring));
  for (int i = 0; i < d->n_features; i++) {
    size_t bytes = sizeof(picture) + r->bytes[i], most = RING_BYTES_MAX / (n_images + 1) / bytes;
    if (!d->features[i].is_image) continue;
    MYNAH_TRY(mynah_ring_create(n_pictures < most ? n_pictures : most > 8 ? most : 8, bytes, &r->pictures[i]));
  }
  return MYNAH_OK;
}

static mynah_status prepare(mynah__recorder *r, const char *path, const mynah_device *d) {
  mynah_dataset_config c = {.features = d->features, .n_features = d->n_features, .rate_hz = r->config.rate_hz, .robot = d->type->name,
                            .source = "recorded by the loop", .codec = MYNAH_CODEC_JPEG};
  MYNAH_TRY(mynah__recording_open(path, d, &c, r->order, &r->dataset));
  r->n_features = d->n_features;
  r->is_live = d->is_live;
  for (int i = 0; i < d->n_features; i++) memcpy(r->names[i], d->features[i].name, MYNAH_NAME_MAX);
  MYNAH_TRY(mynah_dataset_keep_room(r->dataset, r->config.ballast_bytes));
  MYNAH_TRY(create_rings(r, d));
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
  r->is_first = true;
  sem_init(&r->something, 0, 0);
  mynah_status status = prepare(r, path, device);
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
  *x = (item){.kind = ITEM_END, .success = r->end_success, .n_dropped = r->n_end_dropped, .counts = r->ended};
  mynah_ring_publish(r->ring);
  sem_post(&r->something);
  r->n_end_dropped = 0;
  r->ended = (counts){0};
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
  if (status == MYNAH_OK && mynah_dataset_is_short(r->dataset))
    status = mynah_fail(MYNAH_NO_SPACE, "%s: the disk is nearly full: what was recorded is saved", mynah_dataset_path(r->dataset));
  mynah_json_destroy(r->ledger);
  mynah_ring_destroy(r->ring);
  for (int i = 0; i < FEATURES_MAX; i++) mynah_ring_destroy(r->pictures[i]);
  mynah_dataset_close(r->dataset);
  mynah_free(r);
  return status;
}

/* ---- from the control thread ----------------------------------------------------------------------------------------- */

/* Which features are not what they were, and whether there is room for them. */
static bool find_new(mynah__recorder *r, const mynah_value *values, uint32_t *has_new) {
  bool has_room = true;
  *has_new = 0;
  for (int i = 0; i < r->n_features - 1; i++) {
    if (r->is_live && !r->is_first && values[i].time_ns == r->sources[i].kept_ns) continue;
    *has_new |= 1u << i;
    if (r->pictures[i] && (values[i].bytes > r->bytes[i] || !mynah_ring_reserve(r->pictures[i]))) has_room = false;
  }
  return has_room;
}

/* A sample that was replaced by the next before there was room is dropped; one that comes after half as long again as
 * usual is late. Simulators' samples are neither old nor late. */
static void count(mynah__recorder *r, const mynah_value *values, uint32_t has_new, bool is_kept) {
  for (int i = 0; i < r->n_features - 1; i++) {
    source *s = &r->sources[i];
    if (!r->is_live) {
      r->here.dropped[i] += !is_kept;
      continue;
    }
    if (values[i].time_ns != s->seen_ns) {
      double gap = (double)(values[i].time_ns - s->seen_ns);
      if (!r->is_first && s->seen_ns != s->kept_ns) r->here.dropped[i]++;
      if (!r->is_first && s->usual_ns > 0 && gap > 1.5 * s->usual_ns) r->here.late[i]++;
      if (!r->is_first) s->usual_ns += s->usual_ns > 0 ? (fmin(gap, 2 * s->usual_ns) - s->usual_ns) / 16 : gap;
      s->seen_ns = values[i].time_ns;
    }
    if (is_kept && has_new >> i & 1) s->kept_ns = values[i].time_ns;
  }
}

bool mynah__recorder_frame(mynah__recorder *r, const mynah_value *values, const float *action, int64_t time_ns) {
  item *x = r->must_end && !tell_end(r) ? NULL : mynah_ring_reserve(r->ring);
  uint32_t has_new;
  bool is_kept = find_new(r, values, &has_new) && x;
  count(r, values, has_new, is_kept);
  if (!is_kept) {
    r->n_dropped++;
    r->n_dropped_here++;
    return false;
  }
  r->is_first = false;
  *x = (item){.kind = ITEM_FRAME, .success = -1, .time_ns = time_ns, .has_new = has_new};
  int n = r->n_features - 1;
  for (int i = 0; i < n; i++) {
    if (!r->pictures[i]) memcpy((uint8_t *)x + r->offsets[i], values[i].data, r->bytes[i]);
    else if (has_new >> i & 1) {
      picture *p = mynah_ring_reserve(r->pictures[i]);
      p->bytes = values[i].bytes;
      memcpy(p->data, values[i].data, values[i].bytes);
      mynah_ring_publish(r->pictures[i]);
    }
  }
  memcpy((uint8_t *)x + r->offsets[n], action, r->bytes[n]);
  mynah_ring_publish(r->ring);
  sem_post(&r->something);
  return true;
}

/* Where an end still waits, no frame came after it: the episode that found no room at all is told of in the one before. */
void mynah__recorder_end(mynah__recorder *r, int success) {
  if (!r->must_end) r->end_success = success;
  r->must_end = true;
  r->is_first = true;
  r->n_end_dropped += r->n_dropped_here;
  r->n_dropped_here = 0;
  for (int i = 0; i < r->n_features; i++) {
    r->here.dropped[i] += r->is_live && r->sources[i].seen_ns != r->sources[i].kept_ns;
    r->ended.dropped[i] += r->here.dropped[i];
    r->ended.late[i] += r->here.late[i];
  }
  r->here = (counts){0};
  tell_end(r);
}

bool mynah__recorder_must_stop(mynah__recorder *r) { return atomic_load_explicit(&r->must_stop, memory_order_relaxed); }
