/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The counted allocator as other libraries want it: 16-byte aligned blocks that plain free() could also take. */
#ifndef MYNAH_BASE_ALLOC_INTERNAL_H
#define MYNAH_BASE_ALLOC_INTERNAL_H

#include <stddef.h>

/* Counted and failed on demand like mynah_alloc; sets the error text when it fails. */
void *mynah__malloc(size_t bytes);
void mynah__free(void *block);

#endif
