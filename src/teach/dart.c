/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DART's noise (Laskey et al. 2017): as large, as directed and as slow as the clone's error on frames it did not see. */
#include <mynah/teach.h>

#include <math.h>
#include <string.h>

#define TAU_MIN_S 0.01
#define TAU_MAX_S 5.0

/* e e' over all frames, e(t) e(t-1) over successive ones of a range. */
typedef struct errors {
  mynah_dart_noise *noise;
  double last[MYNAH_DART_MAX], lagged[MYNAH_DART_MAX], now[MYNAH_DART_MAX], before[MYNAH_DART_MAX];
  int64_t last_episode, last_t;
} errors;

static void add(void *context, const mynah_compared_frame *f) {
  errors *e = context;
  mynah_dart_noise *o = e->noise;
  double now[MYNAH_DART_MAX];
  bool follows = f->episode == e->last_episode && f->t == e->last_t + 1;
  for (int64_t i = 0; i < o->n; i++) now[i] = (double)f->predicted[i] - (double)f->recorded[i];
  for (int64_t i = 0; i < o->n; i++) {
    for (int64_t j = 0; j < o->n; j++) o->covariance[i * o->n + j] += now[i] * now[j];
    if (!follows) continue;
    e->lagged[i] += now[i] * e->last[i];
    e->now[i] += now[i] * now[i];
    e->before[i] += e->last[i] * e->last[i];
  }
  memcpy(e->last, now, sizeof now);
  e->last_episode = f->episode;
  e->last_t = f->t;
  o->n_frames++;
}

/* Cholesky: L L' = covariance; what is not positive within rounding becomes a zero column. */
static void factorise(mynah_dart_noise *o) {
  int64_t n = o->n;
  memset(o->factor, 0, sizeof o->factor);
  for (int64_t j = 0; j < n; j++) {
    double rest = o->covariance[j * n + j];
    for (int64_t k = 0; k < j; k++) rest -= o->factor[j * n + k] * o->factor[j * n + k];
    if (!(rest > 1e-12 * o->covariance[j * n + j])) continue;
    o->factor[j * n + j] = sqrt(rest);
    for (int64_t i = j + 1; i < n; i++) {
      double sum = o->covariance[i * n + j];
      for (int64_t k = 0; k < j; k++) sum -= o->factor[i * n + k] * o->factor[j * n + k];
      o->factor[i * n + j] = sum / o->factor[j * n + j];
    }
  }
}

/* r = exp(-1 / (rate tau)), r the mean correlation of successive errors over the elements that err. */
static double correlation_time_s(const errors *e, double rate_hz) {
  double sum = 0;
  int n = 0;
  for (int64_t i = 0; i < e->noise->n; i++) {
    if (!(e->now[i] * e->before[i] > 0)) continue;
    sum += e->lagged[i] / sqrt(e->now[i] * e->before[i]);
    n++;
  }
  double r = n > 0 ? sum / n : 0;
  double tau_s = r > 0 ? -1 / (rate_hz * log(fmin(r, 1 - 1e-9))) : TAU_MIN_S;
  return fmax(TAU_MIN_S, fmin(TAU_MAX_S, tau_s));
}

mynah_status mynah_dart_fit(const mynah_clone *c, mynah_dataset *d, const mynah_split *split, double scale,
                            mynah_dart_noise *out) {
  const mynah_policy *p = mynah_clone_policy(c);
  int64_t n = mynah_feature_size(&p->action);
  if (n > MYNAH_DART_MAX) return mynah_fail(MYNAH_LIMIT, "dart: an action of more than %d elements", MYNAH_DART_MAX);
  if (split->n_valid == 0) return mynah_fail(MYNAH_INVALID, "dart: no frames were held out of training: raise valid.share");
  memset(out, 0, sizeof *out);
  out->n = n;
  errors e = {.noise = out, .last_episode = -1};
  for (int64_t i = 0; i < split->n_valid; i++) {
    mynah_frame_range range = {split->valid[i].episode, split->valid[i].from, split->valid[i].to};
    MYNAH_TRY(mynah_compare_recorded(c, d, &range, 1, NULL, add, &e));
  }
  for (int64_t i = 0; i < n * n; i++) out->covariance[i] *= scale * scale / (double)out->n_frames;
  out->tau_s = correlation_time_s(&e, p->rate_hz);
  factorise(out);
  return MYNAH_OK;
}
