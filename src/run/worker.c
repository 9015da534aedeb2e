/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The inference worker: sees every frame in order, so that its history has the control loop's rhythm, and predicts when
 * asked, at its own pace. */
#include "worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#define FRAMES_WAITING 64
#define CHUNKS_WAITING 4

/* A frame on its way: the inputs' bytes follow, each at its offset. */
typedef struct frame {
  int64_t step, episode;
  int64_t times_ns[MYNAH_POLICY_INPUTS_MAX]; /* of the inputs */
  uint64_t seed;
  bool is_asked;
  int64_t n_prefix;
} frame;

struct mynah__worker {
  mynah_predictor *predictor;
  mynah_ring *frames, *chunks;
  int order[MYNAH_POLICY_INPUTS_MAX]; /* input i is feature order[i] of the device */
  size_t offsets[MYNAH_POLICY_INPUTS_MAX], bytes[MYNAH_POLICY_INPUTS_MAX], prefix_offset;
  int64_t size, chunk; /* elements an action, actions a chunk */
  sem_t something;
  atomic_bool is_ending;
  pthread_t thread;
  bool has_thread;
};

static size_t aligned(size_t n) { return (n + 63) / 64 * 64; }

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

/* start: when the frame was taken up */
static void predict(mynah__worker *w, const frame *f, int64_t start, mynah_status status) {
  mynah__chunk *c = mynah_ring_reserve(w->chunks);
  if (!c) return; /* nobody takes them: the loop is at its end */
  const float *prefix = (const float *)(const void *)((const uint8_t *)f + w->prefix_offset);
  c->origin = f->step;
  c->episode = f->episode;
  c->status = status;
  if (status == MYNAH_OK) c->status = w->predictor->predict(w->predictor, prefix, f->n_prefix, c->values);
  c->infer_ns = mynah_now_ns() - start;
  mynah_ring_publish(w->chunks);
}

static void look(mynah__worker *w, const frame *f, int64_t *episode) {
  const mynah_policy *p = w->predictor->policy;
  mynah_value values[MYNAH_POLICY_INPUTS_MAX];
  int64_t start = mynah_now_ns();
  int eyes = w->predictor->eyes;
  if (f->episode != *episode) w->predictor->reset(w->predictor, f->seed);
  *episode = f->episode;
  for (int i = 0; i < p->n_inputs; i++)
    values[i] = (mynah_value){(const uint8_t *)f + w->offsets[i], w->bytes[i], f->times_ns[i]};
  if (eyes > 0 && !f->is_asked && mynah_ring_used(w->frames) > 1) values[eyes - 1].data = NULL; /* late: newer pictures wait */
  mynah_status status = w->predictor->observe(w->predictor, values);
  if (f->is_asked || p->type->reset) predict(w, f, start, status);
}

static void *work(void *context) {
  mynah__worker *w = context;
  int64_t episode = -1;
  uint64_t before = mynah_flush_denormals();
  while (!atomic_load_explicit(&w->is_ending, memory_order_acquire)) {
    const frame *f = mynah_ring_front(w->frames);
    if (!f) {
      sem_wait(&w->something);
      continue;
    }
    look(w, f, &episode);
    mynah_ring_release(w->frames);
  }
  mynah_restore_denormals(before);
  return NULL;
}

/* ---- making ---------------------------------------------------------------------------------------------------------- */

static mynah_status prepare(mynah__worker *w, const mynah_device *device) {
  const mynah_policy *p = w->predictor->policy;
  MYNAH_TRY(mynah_policy_match(p, device->features, device->n_features, w->order));
  size_t at = aligned(sizeof(frame));
  for (int i = 0; i < p->n_inputs; i++) {
    w->offsets[i] = at;
    w->bytes[i] = mynah_feature_bytes(&device->features[w->order[i]]);
    at += aligned(w->bytes[i]);
  }
  w->prefix_offset = at;
  w->size = mynah_feature_size(&p->action);
  w->chunk = p->common.chunk;
  size_t chunk_bytes = (size_t)(w->chunk * w->size) * sizeof(float);
  MYNAH_TRY(mynah_ring_create(FRAMES_WAITING, at + chunk_bytes, &w->frames));
  MYNAH_TRY(mynah_ring_create(CHUNKS_WAITING, sizeof(mynah__chunk) + chunk_bytes, &w->chunks));
  if (pthread_create(&w->thread, NULL, work, w) != 0) return mynah_fail(MYNAH_LIMIT, "the worker's thread cannot be made");
  w->has_thread = true;
  return MYNAH_OK;
}

mynah_status mynah__worker_create(mynah_predictor *p, const mynah_device *device, mynah__worker **out) {
  mynah__worker *w = mynah_calloc(1, sizeof *w);
  if (!w) return MYNAH_NO_MEMORY;
  w->predictor = p;
  sem_init(&w->something, 0, 0);
  mynah_status status = prepare(w, device);
  if (status != MYNAH_OK) {
    mynah__worker_destroy(w);
    return status;
  }
  *out = w;
  return MYNAH_OK;
}

void mynah__worker_destroy(mynah__worker *w) {
  if (!w) return;
  atomic_store_explicit(&w->is_ending, true, memory_order_release);
  sem_post(&w->something);
  if (w->has_thread) pthread_join(w->thread, NULL);
  sem_destroy(&w->something);
  mynah_ring_destroy(w->frames);
  mynah_ring_destroy(w->chunks);
  mynah_free(w);
}

/* ---- from the control thread ----------------------------------------------------------------------------------------- */

bool mynah__worker_show(mynah__worker *w, const mynah__seen *seen) {
  frame *f = mynah_ring_reserve(w->frames);
  if (!f) return false;
  uint8_t *bytes = (uint8_t *)f;
  *f = (frame){.step = seen->step, .episode = seen->episode, .seed = seen->seed, .is_asked = seen->is_asked, .n_prefix = seen->n_prefix};
  for (int i = 0; i < w->predictor->policy->n_inputs; i++) {
    memcpy(bytes + w->offsets[i], seen->values[w->order[i]].data, w->bytes[i]);
    f->times_ns[i] = seen->values[w->order[i]].time_ns;
  }
  if (seen->n_prefix > 0)
    memcpy(bytes + w->prefix_offset, seen->prefix, (size_t)(seen->n_prefix * w->size) * sizeof(float));
  mynah_ring_publish(w->frames);
  sem_post(&w->something);
  return true;
}

const mynah__chunk *mynah__worker_front(mynah__worker *w) { return mynah_ring_front(w->chunks); }
void mynah__worker_release(mynah__worker *w) { mynah_ring_release(w->chunks); }

/* ---- a clone as predictor -------------------------------------------------------------------------------------------- */

typedef struct local {
  mynah_predictor base;
  mynah_actor *actor;
} local;

static void local_reset(mynah_predictor *p, uint64_t seed) { mynah_actor_reset(((local *)p)->actor, seed); }

static mynah_status local_observe(mynah_predictor *p, const mynah_value *values) {
  mynah_actor_observe(((local *)p)->actor, values);
  return MYNAH_OK;
}

static mynah_status local_predict(mynah_predictor *p, const float *prefix, int64_t n_prefix, float *chunk) {
  mynah_actor_predict(((local *)p)->actor, prefix, n_prefix, chunk);
  return MYNAH_OK;
}

static bool local_is_blind(const mynah_predictor *p) { return mynah_actor_is_blind(((const local *)p)->actor); }

static void local_destroy(mynah_predictor *p) {
  mynah_actor_destroy(((local *)p)->actor);
  mynah_free(p);
}

mynah_status mynah_predictor_of_clone(const mynah_clone *clone, mynah_predictor **out) {
  local *l = mynah_calloc(1, sizeof *l);
  if (!l) return MYNAH_NO_MEMORY;
  l->base = (mynah_predictor){mynah_clone_policy(clone), local_reset, local_observe, local_predict, local_destroy, local_is_blind,
                              mynah_clone_eyes(clone) + 1};
  mynah_status status = mynah_actor_create(clone, &l->actor);
  if (status != MYNAH_OK) {
    mynah_free(l);
    return status;
  }
  *out = &l->base;
  return MYNAH_OK;
}
