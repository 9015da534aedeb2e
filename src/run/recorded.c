/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Open-loop evaluation: recorded observations are shown to a clone and its actions compared with the recorded ones. */
#include <mynah/run.h>

#include <math.h>
#include <string.h>

#define MAX_ACTION 64

/* Running sums of one action element: x predicted, y recorded. */
typedef struct sums {
  double n, x, y, xx, yy, xy, error, constant;
} sums;

typedef struct playback {
  const mynah_policy *policy;
  mynah_dataset *dataset;
  mynah_actor *actor;
  mynah_compared compared;
  void *context;
  mynah_value values[MYNAH_POLICY_INPUTS_MAX];
  void *memory[MYNAH_POLICY_INPUTS_MAX];
} playback;

typedef struct agreement {
  const mynah_policy *policy;
  sums sums[MAX_ACTION];
} agreement;

static mynah_status prepare(playback *p, const mynah_clone *c) {
  mynah_feature features[64];
  int order[MYNAH_POLICY_INPUTS_MAX], n = mynah_dataset_n_features(p->dataset);
  if (n > 64) return mynah_fail(MYNAH_LIMIT, "%s: more than 64 features", mynah_dataset_path(p->dataset));
  for (int i = 0; i < n; i++) features[i] = *mynah_dataset_feature(p->dataset, i);
  MYNAH_TRY(mynah_policy_match(p->policy, features, n, order));
  for (int i = 0; i < p->policy->n_inputs; i++) {
    const mynah_feature *f = &p->policy->inputs[i];
    if (f->is_image && memcmp(features[order[i]].dims, f->dims, sizeof f->dims) != 0)
      return mynah_fail(MYNAH_MISMATCH, "'%s': pictures of another size than the policy was trained on", f->name);
    if (f->is_image) continue;
    p->memory[i] = mynah_calloc(1, mynah_feature_bytes(f) + 8);
    if (!p->memory[i]) return MYNAH_NO_MEMORY;
    p->values[i] = (mynah_value){p->memory[i], mynah_feature_bytes(f), 0};
  }
  return mynah_actor_create(c, &p->actor);
}

static void add(void *context, const mynah_compared_frame *frame) {
  agreement *p = context;
  for (int64_t k = 0; k < mynah_feature_size(&p->policy->action); k++) {
    sums *s = &p->sums[k];
    double x = (double)frame->predicted[k], y = (double)frame->recorded[k], c = y - (double)p->policy->action_norm.mean[k];
    s->n += 1;
    s->x += x;
    s->y += y;
    s->xx += x * x;
    s->yy += y * y;
    s->xy += x * y;
    s->error += (x - y) * (x - y);
    s->constant += c * c;
  }
}

static mynah_status play_frame(playback *p, int64_t episode, int64_t t) {
  mynah_image pictures[MYNAH_POLICY_INPUTS_MAX] = {{0}};
  mynah_status status = MYNAH_OK;
  float recorded[MAX_ACTION], predicted[MAX_ACTION];
  for (int i = 0; i < p->policy->n_inputs && status == MYNAH_OK; i++) {
    const mynah_feature *f = &p->policy->inputs[i];
    if (!f->is_image) {
      status = mynah_dataset_read_raw(p->dataset, episode, f->name, t, 1, p->memory[i]);
      continue;
    }
    status = mynah_dataset_read_image(p->dataset, episode, f->name, t, 0, 0, &pictures[i]);
    p->values[i] = (mynah_value){pictures[i].data, mynah_feature_bytes(f), 0};
  }
  int64_t time_ns = 0;
  if (status == MYNAH_OK) status = mynah_dataset_read_times(p->dataset, episode, t, 1, &time_ns);
  for (int i = 0; i < p->policy->n_inputs; i++) p->values[i].time_ns = time_ns;
  if (status == MYNAH_OK) status = mynah_dataset_read(p->dataset, episode, "action", t, 1, recorded);
  if (status == MYNAH_OK) {
    mynah_actor_act(p->actor, p->values, predicted);
    p->compared(p->context, &(mynah_compared_frame){episode, t, p->values, predicted, recorded});
  }
  for (int i = 0; i < p->policy->n_inputs; i++) mynah_image_deinit(&pictures[i]);
  return status;
}

static mynah_status play(playback *p, const mynah_frame_range *ranges, int64_t n, const mynah_progress *progress) {
  for (int64_t r = 0; r < n; r++) {
    mynah_actor_reset(p->actor, (uint64_t)r);
    for (int64_t t = ranges[r].from; t < ranges[r].to; t++) {
      MYNAH_TRY(play_frame(p, ranges[r].episode, t));
      if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "evaluation: interrupted");
    }
    mynah_progress_tell(progress, "evaluate", (double)(r + 1), (double)n, "ranges", "");
  }
  return MYNAH_OK;
}

mynah_status mynah_compare_recorded(const mynah_clone *c, mynah_dataset *d, const mynah_frame_range *ranges,
                                    int64_t n_ranges, const mynah_progress *progress, mynah_compared compared,
                                    void *context) {
  playback p = {.policy = mynah_clone_policy(c), .dataset = d, .compared = compared, .context = context};
  if (mynah_feature_size(&p.policy->action) > MAX_ACTION)
    return mynah_fail(MYNAH_LIMIT, "an action of more than %d elements", MAX_ACTION);
  mynah_status status = prepare(&p, c);
  if (status == MYNAH_OK) status = play(&p, ranges, n_ranges, progress);
  mynah_actor_destroy(p.actor);
  for (int i = 0; i < MYNAH_POLICY_INPUTS_MAX; i++) mynah_free(p.memory[i]);
  return status;
}

mynah_status mynah_evaluate_recorded(const mynah_clone *c, mynah_dataset *d, const mynah_frame_range *ranges,
                                     int64_t n_ranges, const mynah_progress *progress, mynah_agreement *out) {
  agreement a = {.policy = mynah_clone_policy(c)};
  MYNAH_TRY(mynah_compare_recorded(c, d, ranges, n_ranges, progress, add, &a));
  for (int64_t k = 0; k < mynah_feature_size(&a.policy->action); k++) {
    const sums *s = &a.sums[k];
    double cov = s->xy - s->x * s->y / s->n, vx = s->xx - s->x * s->x / s->n, vy = s->yy - s->y * s->y / s->n;
    out[k] = (mynah_agreement){(int64_t)s->n, cov / sqrt(vx * vy), s->error / s->n, s->constant / s->n};
  }
  return MYNAH_OK;
}
