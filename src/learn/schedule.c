/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The trainer's keys, and the learning rate over the steps. */
#include <mynah/learn.h>

#include <math.h>

#define PI 3.141592653589793

#define TRAIN_ROW(type, field, name, value, low, high, unit, help)                                 \
  MYNAH_KEY_OF(mynah_train_config, type, field, name, value, low, high, unit, help)
static const mynah_key train_keys[] = {MYNAH_TRAIN_KEYS(TRAIN_ROW)};
const mynah_config_table mynah_train_table = {"training", train_keys, sizeof train_keys / sizeof *train_keys,
                                              sizeof(mynah_train_config)};

double mynah_learning_rate(const mynah_train_config *c, int64_t step, int64_t n_steps) {
  if (step < c->warmup) return c->lr * (double)(step + 1) / (double)c->warmup;
  int64_t n = n_steps - c->warmup;
  double done = n > 0 ? (double)(step - c->warmup) / (double)n : 1;
  if (c->schedule == MYNAH_SCHEDULE_CONSTANT) return c->lr;
  /* linear: 1 - x; cosine: (1 + cos(pi x)) / 2   (Loshchilov and Hutter 2017, eq. 5 without restarts) */
  double share = c->schedule == MYNAH_SCHEDULE_LINEAR ? 1 - done : 0.5 * (1 + cos(PI * done));
  return c->lr * (c->lr_end + (1 - c->lr_end) * share);
}
