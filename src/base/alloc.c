/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The library's allocator: aligned, counted, and failed on demand by tests. */
#include <mynah/base.h>

#include "alloc_internal.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64

static atomic_int_fast64_t n_calls, live_blocks, live_bytes, peak_bytes;
static atomic_bool is_armed;          /* mynah_alloc_fail_at is on */
static atomic_int_fast64_t countdown; /* the call that finds it at 1 or below fails */
static _Thread_local bool is_trapped;
static _Thread_local int64_t n_trapped;

/* Counts a call and says whether it may go on. */
static bool may_allocate(size_t bytes) {
  atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed);
  bool is_refused = bytes > PTRDIFF_MAX - 2 * ALIGNMENT;
  if (is_trapped) {
    n_trapped++;
    is_refused = true;
  }
  if (atomic_load_explicit(&is_armed, memory_order_relaxed) && atomic_fetch_sub(&countdown, 1) <= 1) is_refused = true;
  return !is_refused;
}

/* The heap knows each block's size, so no header of our own is needed (and sanitizers see the exact bounds). */
static void *count_block(void *block, size_t bytes) {
  if (!block) {
    mynah_fail(MYNAH_NO_MEMORY, "out of memory: %zu bytes asked for", bytes);
    return NULL;
  }
  int64_t usable = (int64_t)malloc_usable_size(block);
  atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
  int64_t now = atomic_fetch_add_explicit(&live_bytes, usable, memory_order_relaxed) + usable;
  int_fast64_t peak = atomic_load_explicit(&peak_bytes, memory_order_relaxed);
  while (now > peak &&
         !atomic_compare_exchange_weak_explicit(&peak_bytes, &peak, now, memory_order_relaxed, memory_order_relaxed)) {}
  return block;
}

void *mynah_alloc(size_t bytes) {
  void *block = NULL;
  if (may_allocate(bytes) && posix_memalign(&block, ALIGNMENT, bytes ? bytes : 1) != 0) block = NULL;
  return count_block(block, bytes);
}

void *mynah__malloc(size_t bytes) { return count_block(may_allocate(bytes) ? malloc(bytes ? bytes : 1) : NULL, bytes); }

void mynah__free(void *block) {
  if (!block) return;
  atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&live_bytes, (int64_t)malloc_usable_size(block), memory_order_relaxed);
  free(block);
}

void mynah_free(void *block) { mynah__free(block); }

void *mynah_calloc(size_t count, size_t bytes_each) {
  size_t bytes;
  if (!mynah_mul_size(count, bytes_each, &bytes)) bytes = SIZE_MAX;
  void *block = mynah_alloc(bytes);
  if (block) memset(block, 0, bytes);
  return block;
}

/* realloc() would lose the alignment, so a growing block is copied unless it already has the room. */
void *mynah_realloc(void *block, size_t count, size_t bytes_each) {
  size_t bytes;
  if (!mynah_mul_size(count, bytes_each, &bytes)) bytes = SIZE_MAX;
  void *grown = mynah_alloc(bytes);
  if (!grown || !block) return grown;
  size_t had = malloc_usable_size(block);
  memcpy(grown, block, had < bytes ? had : bytes);
  mynah_free(block);
  return grown;
}

char *mynah_strdup(const char *text) {
  size_t bytes = strlen(text) + 1;
  char *copy = mynah_alloc(bytes);
  if (copy) memcpy(copy, text, bytes);
  return copy;
}

/* ---- what lies under large blocks ------------------------------------------------------------------------------------- */

/* Advises on the whole pages inside; that an advice is not taken is no error. */
static void advise(void *part, size_t bytes, int advice) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)part + page - 1) / page * page;
  uintptr_t end = ((uintptr_t)part + bytes) / page * page;
  if (part && end > begin) (void)madvise((void *)begin, end - begin, advice);
}

void mynah_memory_huge(void *block, size_t bytes) {
#ifdef MADV_HUGEPAGE
  advise(block, bytes, MADV_HUGEPAGE);
#endif
}

void mynah_memory_release(void *part, size_t bytes) { advise(part, bytes, MADV_DONTNEED); }

mynah_alloc_stats mynah_alloc_count(void) {
  return (mynah_alloc_stats){.n_calls = atomic_load(&n_calls),
                             .live_blocks = atomic_load(&live_blocks),
                             .live_bytes = atomic_load(&live_bytes),
                             .peak_bytes = atomic_load(&peak_bytes)};
}

void mynah_alloc_fail_at(int64_t n) {
  atomic_store(&is_armed, false);
  atomic_store(&countdown, n);
  atomic_store(&is_armed, n > 0);
}

int64_t mynah_alloc_trap(bool is_on) {
  int64_t n = n_trapped;
  n_trapped = 0;
  is_trapped = is_on;
  return n;
}

mynah_status mynah_grow(void **data, size_t *capacity, size_t need, size_t bytes_each) {
  if (need <= *capacity) return MYNAH_OK;
  size_t wanted = *capacity + *capacity / 2 + 8;
  if (wanted < need) wanted = need;
  void *grown = mynah_realloc(*data, wanted, bytes_each);
  if (!grown) return MYNAH_NO_MEMORY;
  *data = grown;
  *capacity = wanted;
  return MYNAH_OK;
}
