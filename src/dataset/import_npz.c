/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Import of .npz: arrays over all frames, episodes by episode_ends, episode_starts, an index a frame, or `imitation`'s
 * indices, where each trajectory has one observation more than actions. */
#include "npz.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct import {
  const mynah__array_config *config;
  mynah__ingest *in;
  mynah__npz z;
  int array_of[MYNAH__MAX_FEATURES];
  int64_t n_frames, *ends, n_episodes;
  bool has_last[MYNAH__MAX_FEATURES]; /* one row more an episode, after its last action */
  int64_t from, episode;
  const mynah__npy *times;
  double time_scale;
} import;

/* ---- episodes
 * -------------------------------------------------------------------------------------------------------- */

static mynah_status add_end(import *m, size_t *capacity, int64_t end) {
  int64_t before = m->n_episodes > 0 ? m->ends[m->n_episodes - 1] : 0;
  if (end <= before || end > m->n_frames)
    return mynah_fail(MYNAH_CORRUPT, "%s: an episode ends at frame %lld, after %lld of %lld", m->in->path,
                      (long long)end, (long long)before, (long long)m->n_frames);
  MYNAH_TRY(mynah_grow((void **)&m->ends, capacity, (size_t)m->n_episodes + 1, sizeof *m->ends));
  m->ends[m->n_episodes++] = end;
  return MYNAH_OK;
}

static mynah_status find_episodes(import *m) {
  const mynah__npy *ends = mynah__npz_find(&m->z, "episode_ends"), *cuts = mynah__npz_find(&m->z, "indices");
  const mynah__npy *starts = mynah__npz_find(&m->z, "episode_starts"), *ids = mynah__npz_find(&m->z, "episode_index");
  size_t capacity = 0;
  if (!ends) ends = cuts;
  if (!ids) ids = mynah__npz_find(&m->z, "episode");
  if (ends && ends->n_dims == 1) {
    for (int64_t i = 0; i < ends->dims[0]; i++) MYNAH_TRY(add_end(m, &capacity, mynah__npy_integer(ends, i)));
  } else if (starts && starts->n_dims >= 1 && starts->dims[0] == m->n_frames) {
    for (int64_t i = 1; i < m->n_frames; i++)
      if (mynah__npy_integer(starts, i)) MYNAH_TRY(add_end(m, &capacity, i));
  } else if (ids && ids->n_dims >= 1 && ids->dims[0] == m->n_frames) {
    for (int64_t i = 1; i < m->n_frames; i++)
      if (mynah__npy_integer(ids, i) != mynah__npy_integer(ids, i - 1)) MYNAH_TRY(add_end(m, &capacity, i));
  }
  return m->n_episodes > 0 && m->ends[m->n_episodes - 1] == m->n_frames ? MYNAH_OK : add_end(m, &capacity, m->n_frames);
}

/* ---- fields
 * ---------------------------------------------------------------------------------------------------------- */

static mynah_status find_frames(import *m) {
  for (size_t i = 0; i < m->z.n; i++) {
    char name[MYNAH_NAME_MAX];
    MYNAH_TRY(mynah__map_name(m->config->map, m->z.arrays[i].name, false, name));
    if (strcmp(name, "action") != 0 || m->z.arrays[i].n_dims < 1) continue;
    m->n_frames = m->z.arrays[i].dims[0];
    return MYNAH_OK;
  }
  return mynah_fail(MYNAH_NOT_FOUND, "%s: has no array of actions: map=action:NAME says which it is", m->in->path);
}

static mynah_status find_fields(import *m) {
  for (size_t i = 0; i < m->z.n; i++) {
    const mynah__npy *a = &m->z.arrays[i];
    int64_t rows = a->n_dims > 0 ? a->dims[0] : -1;
    bool has_last = rows == m->n_frames + m->n_episodes;
    static const int64_t one = 1;
    int at = -1;
    if (rows == m->n_frames || has_last)
      MYNAH_TRY(mynah__ingest_field(m->in, m->config->map, a->name, &a->item, a->n_dims > 1 ? a->n_dims - 1 : 1,
                                    a->n_dims > 1 ? a->dims + 1 : &one, &at));
    if (at < 0) continue;
    m->array_of[at] = (int)i;
    m->has_last[at] = has_last;
  }
  m->times = mynah__npz_find(&m->z, "time_ns");
  m->time_scale = 1;
  if (!m->times) m->times = mynah__npz_find(&m->z, "timestamp"), m->time_scale = 1e9;
  if (m->times && (m->times->n_dims != 1 || m->times->dims[0] != m->n_frames)) m->times = NULL;
  return MYNAH_OK;
}

static mynah_status fetch(void *context, int64_t t, mynah_value *values, bool *is_encoded, int64_t *time_ns) {
  import *m = context;
  for (int i = 0; i < m->in->n; i++) {
    const mynah__npy *a = &m->z.arrays[m->array_of[i]];
    int64_t row = m->from + t + (m->has_last[i] ? m->episode : 0);
    mynah__items_convert(&a->item, a->data + (size_t)row * a->row_bytes, a->row_bytes / (size_t)a->item.bytes,
                         m->in->values[i]);
  }
  if (!m->times) return MYNAH_OK;
  if (m->time_scale == 1) *time_ns = mynah__npy_integer(m->times, m->from + t);
  else
    *time_ns =
        llround(fmax(-9e18, fmin(9e18, m->time_scale * mynah__item_number(&m->times->item,
                                                                          m->times->data + (size_t)(m->from + t) *
                                                                                               m->times->row_bytes))));
  return MYNAH_OK;
}

static mynah_status work(mynah__ingest *in, void *context) {
  import *m = context;
  m->in = in;
  MYNAH_TRY(mynah__npz_open(in->path, &m->z));
  MYNAH_TRY(find_frames(m));
  MYNAH_TRY(find_episodes(m));
  MYNAH_TRY(find_fields(m));
  const mynah__npy *rate = mynah__npz_find(&m->z, "rate_hz");
  in->file.may_resume = true;
  MYNAH_TRY(mynah__ingest_create_arrays(
      in, m->config, rate && rate->n_dims == 0 ? mynah__item_number(&rate->item, rate->data) : 0, "import npz"));
  mynah_episode info = mynah__episode_of(m->config, "");
  for (; m->episode < m->n_episodes; m->from = m->ends[m->episode++])
    MYNAH_TRY(mynah__ingest_episode(in, &info, m->episode, m->ends[m->episode] - m->from, fetch, m));
  return MYNAH_OK;
}

static mynah_status run(const char *path, const char *out_path, const void *config, const mynah_progress *progress,
                        mynah_import_report *report) {
  import *m = mynah_calloc(1, sizeof *m);
  if (!m) return MYNAH_NO_MEMORY;
  m->config = config;
  mynah_status status = mynah__ingest_run(path, out_path, progress, work, m, report);
  mynah__npz_close(&m->z);
  mynah_free(m->ends);
  mynah_free(m);
  return status;
}

const mynah_importer mynah__import_npz = {"npz", "NumPy .npz files (obs, acts, episode_ends …; also of `imitation`)",
                                          &mynah__array_table, run};
