/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Single-producer single-consumer ring of fixed-size items. */
#include <mynah/base.h>

#include <stdatomic.h>

#define LINE 64

/* Head and tail count items ever published and released; each lives in its own cache line, and so does each item. */
struct mynah_ring {
  size_t n_items, stride;
  uint8_t *items; /* (n_items, stride) */
  _Alignas(LINE) atomic_size_t head;
  _Alignas(LINE) atomic_size_t tail;
};

mynah_status mynah_ring_create(size_t n_items, size_t item_bytes, mynah_ring **out) {
  if (n_items == 0 || item_bytes == 0) return mynah_fail(MYNAH_INVALID, "ring: needs an item of at least one byte");
  if (item_bytes > SIZE_MAX - LINE) return mynah_fail(MYNAH_LIMIT, "ring: items of %zu bytes", item_bytes);
  mynah_ring *ring = mynah_calloc(1, sizeof *ring);
  if (!ring) return MYNAH_NO_MEMORY;
  ring->n_items = n_items;
  ring->stride = (item_bytes + LINE - 1) / LINE * LINE;
  ring->items = mynah_calloc(n_items, ring->stride);
  if (!ring->items) {
    mynah_free(ring);
    return MYNAH_NO_MEMORY;
  }
  atomic_init(&ring->head, 0);
  atomic_init(&ring->tail, 0);
  *out = ring;
  return MYNAH_OK;
}

void mynah_ring_destroy(mynah_ring *ring) {
  if (!ring) return;
  mynah_free(ring->items);
  mynah_free(ring);
}

static void *item_at(mynah_ring *ring, size_t count) { return ring->items + (count % ring->n_items) * ring->stride; }

void *mynah_ring_reserve(mynah_ring *ring) {
  size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
  return head - tail >= ring->n_items ? NULL : item_at(ring, head);
}

void mynah_ring_publish(mynah_ring *ring) {
  size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

void *mynah_ring_front(mynah_ring *ring) {
  size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
  return head == tail ? NULL : item_at(ring, tail);
}

void mynah_ring_release(mynah_ring *ring) {
  size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

size_t mynah_ring_used(const mynah_ring *ring) {
  size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
  return atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
}
