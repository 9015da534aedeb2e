/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Recording an expert: what it would do is the label; what is executed may be disturbed, or a clone's. */
#include "run_internal.h"
#include "worker.h"

#include <math.h>
#include <string.h>

#define MYNAH_KEY_ROW(type, field, name, value, low, high, unit, help)                             \
  MYNAH_KEY_OF(mynah_record_config, type, field, name, value, low, high, unit, help)
static const mynah_key record_keys[] = {MYNAH_RECORD_KEYS(MYNAH_KEY_ROW)};
#undef MYNAH_KEY_ROW
const mynah_config_table mynah_record_table = {"recording", record_keys, sizeof record_keys / sizeof *record_keys,
                                               sizeof(mynah_record_config)};

#define MAX_ACTION 64
#define NOISE_STREAM 11

typedef struct recording {
  mynah_device *device;
  const mynah_record_config *config;
  const mynah_record_options *options;
  mynah_dataset *dataset;
  int order[16]; /* feature i of the dataset is feature order[i] of the device */
  mynah_actor *actor; /* of the clone that drives; NULL: the expert does */
  int inputs[MYNAH_POLICY_INPUTS_MAX]; /* input i of the clone is feature inputs[i] of the device */
  bool is_over; /* the script has ended */
  bool is_open, is_expert; /* an episode of the dataset; who drove the last frame */
  int64_t n_frames, n_before, n_sealed, n_driven, n_episodes; /* kept; before the open episode; safe; driven */
  int64_t n_held; /* frames that the expert has driven on since it took over */
} recording;

static mynah_status open_dataset(recording *r, const char *path) {
  const mynah_device *d = r->device;
  mynah_str robot = {0};
  mynah_str_printf(&robot, "sim:%s", d->type->name);
  mynah_dataset_config c = {.features = d->features, .n_features = d->n_features, .rate_hz = d->rate_hz / (double)r->config->every,
                            .robot = mynah_str_text(&robot), .source = "recorded from the expert",
                            .codec = MYNAH_CODEC_JPEG, .jpeg_quality = (int)r->config->jpeg_quality};
  mynah_status status = mynah__recording_open(path, d, &c, r->order, &r->dataset);
  mynah_str_deinit(&robot);
  return status == MYNAH_OK ? mynah_dataset_keep_room(r->dataset, r->config->ballast_mb << 20) : status;
}

int mynah__success_of(const mynah_device *d) {
  mynah_metric m[MYNAH_METRICS_MAX];
  int n = d->type->metrics ? d->type->metrics(d, m) : 0;
  for (int i = 0; i < n; i++)
    if (m[i].kind == MYNAH_METRIC_RATE) return m[i].value > 0.5;
  return -1;
}

/* Ornstein-Uhlenbeck noise with stationary deviation sigma: n' = a n + sqrt(1 - a^2) sigma xi, a = exp(-dt/tau); or, with
 * L of the options in the place of sigma, with stationary covariance L L'. */
static void disturb(const recording *r, mynah_rng *rng, float *noise, const float *clean, float *executed) {
  const mynah_record_config *c = r->config;
  int64_t n = mynah_feature_size(mynah_device_action(r->device));
  const double *factor = r->options->noise_factor;
  double a = exp(-1 / (r->device->rate_hz * c->noise_tau_s)), xi[MAX_ACTION];
  for (int64_t i = 0; i < n; i++) {
    executed[i] = clean[i];
    if (!factor && (c->noise <= 0 || i >= c->noise_elements)) continue;
    xi[i] = mynah_rng_normal(rng);
    double sum = 0;
    for (int64_t j = 0; factor && j <= i; j++) sum += factor[i * n + j] * xi[j];
    noise[i] = (float)(a * (double)noise[i] + sqrt(1 - a * a) * (factor ? sum : c->noise * xi[i]));
    executed[i] += noise[i];
  }
}

/* ---- who drives ----------------------------------------------------------------------------------------------------- */

/* The largest difference of an element as a share of its demonstrated range; elements without one are left out. */
static double disagreement(const mynah_policy *p, const float *a, const float *b) {
  double most = 0;
  for (int64_t i = 0; i < p->action_norm.size; i++) {
    double range = (double)p->action_norm.max[i] - (double)p->action_norm.min[i];
    if (range > 0) most = fmax(most, fabs((double)a[i] - (double)b[i]) / range);
  }
  return most;
}

/* Whether the expert drives this frame. */
static bool decide(recording *r, mynah_rng *rng, const float *clean, const float *own) {
  const mynah_record_options *o = r->options;
  if (!r->actor) return true;
  if (o->gate == MYNAH_GATE_MIX) return mynah_rng_uniform(rng) < o->expert_share;
  double apart = disagreement(mynah_clone_policy(o->driver), clean, own);
  bool holds_on = o->gate == MYNAH_GATE_HANDOVER && r->is_expert;
  r->n_held = holds_on ? r->n_held + 1 : 0;
  if (holds_on && r->n_held < o->hold_steps) return true;
  return apart > (holds_on ? 0.5 * o->threshold : o->threshold);
}

static mynah_status create_actor(recording *r) {
  const mynah_device *d = r->device;
  if (!r->options->driver) return MYNAH_OK;
  MYNAH_TRY(mynah_policy_match(mynah_clone_policy(r->options->driver), d->features, d->n_features, r->inputs));
  return mynah_actor_create(r->options->driver, &r->actor);
}

/* ---- frames --------------------------------------------------------------------------------------------------------- */

/* An episode of the dataset: a whole one of the device, or a stretch of frames that the gate keeps. */
static mynah_status open_episode(recording *r, uint64_t seed) {
  mynah_episode info = {.seed = seed, .success = -1};
  if (r->is_open) return MYNAH_OK;
  MYNAH_TRY(mynah_copy_text(info.task, sizeof info.task, r->device->type->name));
  MYNAH_TRY(mynah_copy_text(info.expert, sizeof info.expert,
                            r->options->script ? "a script" : r->actor ? "expert, a clone driving" : "expert"));
  MYNAH_TRY(mynah_episode_begin(r->dataset, &info));
  r->is_open = true;
  r->n_before = r->n_frames;
  return MYNAH_OK;
}

static mynah_status seal_episode(recording *r) {
  int64_t id = 0;
  if (!r->is_open) return MYNAH_OK;
  r->is_open = false;
  MYNAH_TRY(mynah_episode_seal(r->dataset, &id));
  r->n_episodes++;
  r->n_sealed = r->n_frames;
  if (r->options->saved) r->options->saved(r->options->context, id, r->n_frames - r->n_before);
  return MYNAH_OK;
}

static mynah_status keep_frame(recording *r, mynah_value *observed, const float *clean, uint64_t seed) {
  const mynah_device *d = r->device;
  mynah_value ordered[16];
  MYNAH_TRY(open_episode(r, seed));
  observed[d->n_observations] =
      (mynah_value){clean, mynah_feature_bytes(mynah_device_action(d)), observed[0].time_ns};
  for (int i = 0; i < d->n_features; i++) ordered[i] = observed[r->order[i]];
  r->n_frames++;
  return mynah_episode_add(r->dataset, observed[0].time_ns, ordered, NULL);
}

/* The label of this frame. False in *goes_on: the episode is over. */
static mynah_status ask_expert(recording *r, const mynah_value *observed, float *clean, bool *goes_on) {
  mynah_script_word word = MYNAH_SCRIPT_ACTS;
  if (!r->options->script) r->device->type->expert(r->device, clean);
  else MYNAH_TRY(mynah_script_next(r->options->script, r->device, observed, clean, &word));
  *goes_on = word == MYNAH_SCRIPT_ACTS;
  r->is_over = word == MYNAH_SCRIPT_ENDS;
  return MYNAH_OK;
}

static mynah_status record_frames(recording *r, uint64_t seed) {
  mynah_device *d = r->device;
  mynah_value observed[17], input[MYNAH_POLICY_INPUTS_MAX];
  float clean[MAX_ACTION], own[MAX_ACTION] = {0}, executed[MAX_ACTION], noise[MAX_ACTION] = {0};
  mynah_rng rng = mynah_rng_make(seed, NOISE_STREAM);
  while (!d->is_done && d->step < d->max_steps) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "recording: interrupted");
    bool is_seen = d->step % r->config->every == 0, goes_on = false;
    if (is_seen) d->type->observe(d, observed);
    MYNAH_TRY(ask_expert(r, observed, clean, &goes_on));
    if (!goes_on) break;
    if (r->actor) {
      for (int i = 0; i < mynah_clone_policy(r->options->driver)->n_inputs; i++) input[i] = observed[r->inputs[i]];
      mynah_actor_act(r->actor, input, own);
    }
    r->is_expert = decide(r, &rng, clean, own);
    bool is_kept = r->is_expert || r->options->gate == MYNAH_GATE_MIX;
    if (is_seen) MYNAH_TRY(is_kept ? keep_frame(r, observed, clean, seed) : seal_episode(r));
    disturb(r, &rng, noise, r->is_expert ? clean : own, executed);
    d->type->act(d, executed);
    r->n_driven++;
    if (mynah_dataset_is_short(r->dataset)) break; /* room enough to seal; the next does not begin */
    if (r->config->max_frames > 0 && r->n_frames >= r->config->max_frames) break;
  }
  return MYNAH_OK;
}

static mynah_status record_episode(recording *r, uint64_t seed) {
  if (r->options->script) mynah_script_begin_episode(r->options->script, (int64_t)seed - r->config->seed);
  MYNAH_TRY(r->device->type->reset(r->device, seed));
  if (r->actor) mynah_actor_reset(r->actor, seed);
  r->is_expert = false;
  mynah_status status = record_frames(r, seed);
  /* Of a whole episode the device says how it went. */
  bool is_whole = r->device->is_done || r->device->step >= r->device->max_steps || r->options->script;
  if (r->is_open && is_whole && !r->actor) mynah_episode_mark(r->dataset, mynah__success_of(r->device));
  if (status == MYNAH_OK) return seal_episode(r);
  if (r->is_open) mynah_episode_discard(r->dataset);
  r->is_open = false;
  return status;
}

mynah_status mynah_record_expert(mynah_device *device, const mynah_record_config *config, const char *path,
                                 const mynah_record_options *options, mynah_record_report *out) {
  if (!options->script && !device->type->expert) return mynah_fail(MYNAH_UNSUPPORTED, "sim=%s has no expert to record", device->type->name);
  if ((options->driver || options->script) && config->every > 1)
    return mynah_fail(MYNAH_INVALID, "every=%lld: a clone or a script that drives sees every frame", (long long)config->every);
  if (mynah_feature_size(mynah_device_action(device)) > MAX_ACTION)
    return mynah_fail(MYNAH_LIMIT, "recording: an action of more than %d elements", MAX_ACTION);
  recording r = {.device = device, .config = config, .options = options};
  int64_t start = mynah_now_ns();
  mynah_status status = create_actor(&r);
  if (status == MYNAH_OK) status = open_dataset(&r, path);
  for (int64_t i = 0; status == MYNAH_OK && i < config->episodes && !r.is_over; i++) {
    if (config->max_frames > 0 && r.n_frames >= config->max_frames) break;
    status = record_episode(&r, (uint64_t)(config->seed + i));
    if (status == MYNAH_OK)
      mynah_progress_tell(options->progress, "record", (double)(i + 1), (double)config->episodes, "episodes", "");
  }
  if (status == MYNAH_OK && options->script && r.n_frames == 0) status = mynah_fail(MYNAH_NOT_FOUND, "the script gave no action");
  mynah_dataset_close(r.dataset);
  mynah_actor_destroy(r.actor);
  *out = (mynah_record_report){r.n_episodes, r.n_sealed, r.n_driven, (double)(mynah_now_ns() - start) * 1e-9};
  return status;
}
