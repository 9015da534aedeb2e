/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Gradients summed over shards, clipping, the optimiser and the moving average: flat sweeps in fixed pieces. */
#include "trainer_internal.h"

#include <math.h>
#include <string.h>

mynah_weights *mynah__acting(mynah_trainer *t) { return t->average ? t->average : t->task.weights; }

/* Pieces of at most MYNAH__PIECE floats, none across a change of weight decay. */
static mynah_status make_pieces(mynah_trainer *t) {
  const mynah_weights *w = t->task.weights;
  int64_t n_trained = mynah_weights_n_trained(w);
  size_t capacity = 0;
  for (int i = 0; i < mynah_weights_n_tensors(w); i++) {
    const mynah_tensor_info *info = mynah_weights_tensor(w, i);
    if (!info->is_trained) continue;
    /* Up to where the next tensor begins: the gap's gradient is zero, so its weight stays zero. */
    int64_t end = n_trained;
    if (i + 1 < mynah_weights_n_tensors(w) && mynah_weights_tensor(w, i + 1)->is_trained)
      end = mynah_weights_tensor(w, i + 1)->offset;
    for (int64_t at = info->offset; at < end;) {
      mynah__piece *last = t->n_pieces > 0 ? &t->pieces[t->n_pieces - 1] : NULL;
      int64_t n = end - at < MYNAH__PIECE ? end - at : MYNAH__PIECE;
      if (last && last->is_decayed == info->is_decayed && last->offset + last->n == at && last->n + n <= MYNAH__PIECE) {
        last->n += n;
      } else {
        MYNAH_TRY(mynah_grow((void **)&t->pieces, &capacity, (size_t)t->n_pieces + 1, sizeof *t->pieces));
        t->pieces[t->n_pieces++] = (mynah__piece){at, n, info->is_decayed};
      }
      at += n;
    }
  }
  return MYNAH_OK;
}

mynah_status mynah__optimizer_create(mynah_trainer *t) {
  size_t n = (size_t)mynah_weights_n_trained(t->task.weights);
  if (n == 0) return mynah_fail(MYNAH_INVALID, "training: nothing to train");
  MYNAH_TRY(make_pieces(t));
  t->gradient = mynah_calloc(n, sizeof *t->gradient);
  t->first = mynah_calloc(n, sizeof *t->first);
  t->second = mynah_calloc(n, sizeof *t->second);
  t->squares = mynah_calloc((size_t)t->n_pieces, sizeof *t->squares);
  if (!t->gradient || !t->first || !t->second || !t->squares) return MYNAH_NO_MEMORY;
  MYNAH_TRY(mynah__part_floats(t));
  return t->config.ema == MYNAH_EMA_NONE ? MYNAH_OK : mynah_weights_copy(t->task.weights, &t->average);
}

static void sum_piece(void *context, int task, int worker) {
  mynah_trainer *t = context;
  int i = t->part.first_piece + task;
  const mynah__piece *p = &t->pieces[i];
  const float *in[1024];
  (void)worker;
  uint64_t floats = mynah_flush_denormals();
  for (int s = 0; s < t->part.n_sources; s++) in[s] = t->part.sources[s] + (p->offset - t->part.offset);
  mynah_sweep_tree_sum(t->part.n_sources, in, 1 / (float)t->n_shards, p->n, t->gradient + p->offset);
  t->squares[i] = mynah_sweep_sum_squares(p->n, t->gradient + p->offset);
  mynah_restore_denormals(floats);
}

mynah_status mynah__sum_gradients(mynah_trainer *t) {
  MYNAH_TRY(mynah__part_exchange(t));
  mynah_pool_run(t->pool, t->part.n_pieces, sum_piece, t);
  MYNAH_TRY(mynah__part_gather_squares(t));
  double total = 0;
  for (int i = 0; i < t->n_pieces; i++) total += t->squares[i];
  t->norm = sqrt(total);
  return MYNAH_OK;
}

/* What a sweep of one step needs: the optimiser's numbers, and the average's decay (0 … 1; negative: not now). */
typedef struct sweep {
  mynah_trainer *t;
  mynah_adam adam;
  mynah_sgd sgd;
  float ema_decay;
} sweep;

static void update_piece(void *context, int task, int worker) {
  const sweep *s = context;
  mynah_trainer *t = s->t;
  const mynah__piece *p = &t->pieces[t->part.first_piece + task];
  float *w = mynah_weights_data(t->task.weights) + p->offset;
  (void)worker;
  uint64_t floats = mynah_flush_denormals();
  if (t->config.optimizer == MYNAH_OPTIMIZER_SGD) {
    mynah_sgd sgd = s->sgd;
    if (!p->is_decayed) sgd.decay = 0;
    mynah_sweep_sgd(&sgd, p->n, w, t->first + p->offset, t->gradient + p->offset);
  } else {
    mynah_adam adam = s->adam;
    if (!p->is_decayed) adam.decay = 0;
    mynah_sweep_adam(&adam, p->n, w, t->first + p->offset, t->second + p->offset, t->gradient + p->offset);
  }
  if (s->ema_decay >= 0) mynah_sweep_ema(s->ema_decay, p->n, mynah_weights_data(t->average) + p->offset, w);
  mynah_restore_denormals(floats);
}

/* Decay of the average after this step; -1 when it is not its turn.
 * warmup: min(ema.decay, (1+s)/(10+s))^every. power: 1 - n^-power at the n-th update, so the first one copies. */
static float ema_decay(mynah_trainer *t) {
  const mynah_train_config *c = &t->config;
  int64_t s = t->cursor.step;
  if (c->ema == MYNAH_EMA_NONE || (s + 1) % c->ema_every != 0) return -1;
  t->cursor.n_ema++;
  if (c->ema == MYNAH_EMA_POWER) return (float)fmin(c->ema_decay, 1 - pow((double)t->cursor.n_ema, -c->ema_power));
  return (float)pow(fmin(c->ema_decay, (1 + (double)s) / (10 + (double)s)), (double)c->ema_every);
}

mynah_status mynah__update_weights(mynah_trainer *t) {
  const mynah_train_config *c = &t->config;
  double clip = c->clip > 0 ? fmin(1, c->clip / (t->norm + 1e-6)) : 1;
  float lr = (float)mynah_learning_rate(c, t->cursor.step, t->n_steps), beta1 = (float)c->beta1, beta2 = (float)c->beta2;
  double n = (double)t->cursor.step + 1;
  sweep s = {.t = t, .ema_decay = ema_decay(t)};
  /* The corrections are taken of the same rounded betas as the sweeps use. */
  s.adam = (mynah_adam){.lr = lr, .beta1 = beta1, .beta2 = beta2, .eps = (float)c->eps, .decay = (float)c->decay,
                        .correction1 = (float)(1 - pow((double)beta1, n)), .correction2 = (float)(1 - pow((double)beta2, n)),
                        .gradient_scale = (float)clip, .is_decoupled = c->optimizer == MYNAH_OPTIMIZER_ADAMW};
  s.sgd = (mynah_sgd){.lr = lr, .momentum = (float)c->momentum, .decay = (float)c->decay, .gradient_scale = (float)clip,
                      .is_nesterov = c->nesterov, .is_first = t->cursor.step == 0};
  mynah_pool_run(t->pool, t->part.n_pieces, update_piece, &s);
  return mynah__part_gather(t, mynah_weights_data(t->task.weights));
}
