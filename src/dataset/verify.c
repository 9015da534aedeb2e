/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The whole file compared with its checksums and hashes, and its structure looked through. */
#include "store.h"

#include <stdio.h>
#include <string.h>

/* Hashes in the order in which the writer did: the pictures of each frame, the blocks when they were full. */
static mynah_status verify_episode(mynah_dataset *d, const mynah_episode *e, mynah_verify_report *r) {
  mynah_sha256 s;
  char hash[65];
  mynah_sha256_init(&s);
  for (int64_t t = 0; t < e->n_frames; t++) {
    for (int i = 0; i < d->n_features; i++) {
      mynah_codec codec;
      size_t bytes;
      if (!d->features[i].is_image) continue;
      MYNAH_TRY(mynah__read_picture(d, e, i, t, &codec, &bytes));
      bool is_repeated = d->picture_frame != t;
      mynah__hash_item(&s, i, is_repeated ? (const void *)&d->picture_frame : d->picture, is_repeated ? sizeof d->picture_frame : bytes);
      r->n_blobs++;
    }
    if ((t + 1) % MYNAH__BLOCK_FRAMES != 0 && t + 1 != e->n_frames) continue;
    for (int64_t i = MYNAH__TIMES; i < d->n_features; i++) {
      const mynah__block *b;
      if (i >= 0 && d->features[i].is_image) continue;
      MYNAH_TRY(mynah__read_block(d, e, i, t, &b));
      size_t each = i == MYNAH__TIMES ? sizeof(int64_t) : mynah_feature_bytes(&d->features[i]);
      mynah__hash_item(&s, i, b->data, (size_t)b->count * each);
    }
  }
  mynah_sha256_final(&s, hash);
  if (strcmp(hash, e->hash) == 0) return MYNAH_OK;
  return mynah_fail(MYNAH_CORRUPT, "%s: damaged: episode %lld: its hash is wrong", d->path, (long long)e->id);
}

/* SQLite's own look at pages, cells, indexes. */
static mynah_status check_structure(mynah_dataset *d) {
  sqlite3_stmt *q;
  MYNAH_TRY(mynah__sql_prepare(d, "PRAGMA integrity_check(1)", &q));
  mynah_status status = MYNAH_OK;
  if (sqlite3_step(q) != SQLITE_ROW) status = mynah__sql_fail(d, "the structure cannot be read");
  const char *text = status == MYNAH_OK ? (const char *)sqlite3_column_text(q, 0) : NULL;
  if (status == MYNAH_OK && (!text || strcmp(text, "ok") != 0))
    status = mynah_fail(MYNAH_CORRUPT, "%s: damaged: structure: %.160s", d->path, text ? text : "unreadable");
  sqlite3_finalize(q);
  return status;
}

static void note_damage(mynah_verify_report *r) {
  if (r->n_damaged++ == 0) snprintf(r->first_damage, sizeof r->first_damage, "%s", mynah_error());
}

mynah_status mynah_dataset_verify(mynah_dataset *d, const mynah_progress *progress, mynah_verify_report *out) {
  mynah_verify_report r = {.n_episodes = (int64_t)d->n_episodes};
  for (size_t i = 0; i < d->n_episodes; i++) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "%s: verification was interrupted", d->path);
    mynah_status status = verify_episode(d, &d->episodes[i], &r);
    if (status == MYNAH_NO_MEMORY) return status;
    if (status != MYNAH_OK) note_damage(&r);
    r.n_frames += d->episodes[i].n_frames;
    mynah_progress_tell(progress, "verify", (double)(i + 1), (double)d->n_episodes, "episodes", "");
  }
  mynah_status status = r.n_damaged == 0 ? check_structure(d) : MYNAH_OK;
  if (status == MYNAH_NO_MEMORY) return status;
  if (status != MYNAH_OK) note_damage(&r);
  *out = r;
  return MYNAH_OK;
}
