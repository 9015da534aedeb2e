/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Recording an expert: what it would do is the label, what is executed may be disturbed. */
#include <mynah/run.h>

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
  mynah_dataset *dataset;
  int order[16]; /* feature i of the dataset is feature order[i] of the device */
  int64_t n_frames;
} recording;

static mynah_status open_dataset(recording *r, const char *path) {
  const mynah_device *d = r->device;
  if (!mynah_file_exists(path)) {
    mynah_str robot = {0};
    mynah_str_printf(&robot, "sim:%s", d->type->name);
    mynah_dataset_config c = {.features = d->features, .n_features = d->n_features, .rate_hz = d->rate_hz,
                              .robot = mynah_str_text(&robot), .source = "recorded from the expert",
                              .codec = MYNAH_CODEC_JPEG, .jpeg_quality = (int)r->config->jpeg_quality};
    mynah_status status = mynah_dataset_create(path, &c, &r->dataset);
    mynah_str_deinit(&robot);
    if (status != MYNAH_OK) return status;
  } else {
    MYNAH_TRY(mynah_dataset_open(path, MYNAH_OPEN_WRITE, &r->dataset));
  }
  if (mynah_dataset_n_features(r->dataset) != d->n_features)
    return mynah_fail(MYNAH_MISMATCH, "%s: has %d features, the device %d", path, mynah_dataset_n_features(r->dataset),
                      d->n_features);
  for (int i = 0; i < d->n_features; i++) {
    const mynah_feature *f = mynah_dataset_feature(r->dataset, i);
    r->order[i] = mynah_feature_find(d->features, d->n_features, f->name);
    if (r->order[i] < 0 || mynah_feature_bytes(&d->features[r->order[i]]) != mynah_feature_bytes(f))
      return mynah_fail(MYNAH_MISMATCH, "%s: feature '%s' is not what the device gives", path, f->name);
  }
  return MYNAH_OK;
}

/* Ornstein-Uhlenbeck noise with stationary deviation sigma: n' = a n + sqrt(1 - a^2) sigma xi, a = exp(-dt/tau). */
static void disturb(const recording *r, mynah_rng *rng, float *noise, const float *clean, float *executed) {
  const mynah_record_config *c = r->config;
  int64_t n = mynah_feature_size(mynah_device_action(r->device));
  double a = exp(-1 / (r->device->rate_hz * c->noise_tau_s));
  for (int64_t i = 0; i < n; i++) {
    executed[i] = clean[i];
    if (c->noise <= 0 || i >= c->noise_elements) continue;
    noise[i] = (float)(a * (double)noise[i] + sqrt(1 - a * a) * c->noise * mynah_rng_normal(rng));
    executed[i] += noise[i];
  }
}

static mynah_status record_frames(recording *r, uint64_t seed) {
  mynah_device *d = r->device;
  mynah_value observed[16], ordered[16];
  float clean[MAX_ACTION], executed[MAX_ACTION], noise[MAX_ACTION] = {0};
  mynah_rng rng = mynah_rng_make(seed, NOISE_STREAM);
  while (!d->is_done && d->step < d->max_steps) {
    if (mynah_is_interrupted()) return mynah_fail(MYNAH_INTERRUPTED, "recording: interrupted");
    d->type->observe(d, observed);
    d->type->expert(d, clean);
    observed[d->n_observations] =
        (mynah_value){clean, mynah_feature_bytes(mynah_device_action(d)), observed[0].time_ns};
    for (int i = 0; i < d->n_features; i++) ordered[i] = observed[r->order[i]];
    MYNAH_TRY(mynah_episode_add(r->dataset, observed[0].time_ns, ordered, NULL));
    disturb(r, &rng, noise, clean, executed);
    d->type->act(d, executed);
    r->n_frames++;
    if (r->config->max_frames > 0 && r->n_frames >= r->config->max_frames) break;
  }
  return MYNAH_OK;
}

static mynah_status record_episode(recording *r, uint64_t seed, int64_t *id) {
  mynah_episode info = {.seed = seed, .success = -1};
  MYNAH_TRY(mynah_copy_text(info.task, sizeof info.task, r->device->type->name));
  MYNAH_TRY(mynah_copy_text(info.expert, sizeof info.expert, "expert"));
  MYNAH_TRY(r->device->type->reset(r->device, seed));
  MYNAH_TRY(mynah_episode_begin(r->dataset, &info));
  mynah_status status = record_frames(r, seed);
  if (status != MYNAH_OK) {
    mynah_episode_discard(r->dataset);
    return status;
  }
  return mynah_episode_seal(r->dataset, id);
}

mynah_status mynah_record_expert(mynah_device *device, const mynah_record_config *config, const char *path,
                                 const mynah_progress *progress,
                                 void (*saved)(void *context, int64_t episode, int64_t frames), void *context,
                                 mynah_record_report *out) {
  if (!device->type->expert) return mynah_fail(MYNAH_UNSUPPORTED, "sim=%s has no expert to record", device->type->name);
  if (mynah_feature_size(mynah_device_action(device)) > MAX_ACTION)
    return mynah_fail(MYNAH_LIMIT, "recording: an action of more than %d elements", MAX_ACTION);
  recording r = {.device = device, .config = config};
  mynah_record_report report = {0};
  int64_t start = mynah_now_ns();
  mynah_status status = open_dataset(&r, path);
  for (int64_t i = 0; status == MYNAH_OK && i < config->episodes; i++) {
    if (config->max_frames > 0 && r.n_frames >= config->max_frames) break;
    int64_t before = r.n_frames, id = 0;
    status = record_episode(&r, (uint64_t)(config->seed + i), &id);
    if (status != MYNAH_OK) break;
    report.n_episodes++;
    report.n_frames = r.n_frames;
    if (saved) saved(context, id, r.n_frames - before);
    mynah_progress_tell(progress, "record", (double)(i + 1), (double)config->episodes, "episodes", "");
  }
  mynah_dataset_close(r.dataset);
  report.seconds = (double)(mynah_now_ns() - start) * 1e-9;
  *out = report;
  return status;
}
