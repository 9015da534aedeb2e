/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Heads: what a network's last layer means as actions, mixtures or classes; how it is judged, and how one acts by it. */
#include "policy_internal.h"

#include <math.h>
#include <string.h>

/* Targets of a tanh-Gaussian are kept off the ends, where the inverse is infinite. */
#define TANH_EDGE (1 - 1e-6f)

static int64_t action_size(const mynah_policy *p) { return mynah_feature_size(&p->action); }
static int64_t chunk_size(const mynah_policy *p) { return p->common.chunk * action_size(p); }
static int64_t n_classes(const mynah_policy *p) { return (int64_t)p->action_norm.max[0] + 1; }
/* A Gaussian head is a mixture of one. */
static int64_t n_modes(const mynah__head *h) { return h->kind == MYNAH__HEAD_GMM ? h->modes : 1; }
static bool is_mixture(const mynah__head *h) {
  return h->kind == MYNAH__HEAD_GAUSSIAN || h->kind == MYNAH__HEAD_GMM || h->kind == MYNAH__HEAD_TANH_GAUSSIAN;
}

mynah_status mynah__head_check(const mynah_policy *p, const mynah__head *h) {
  bool is_class = p->action.dtype == MYNAH_I64 || p->action.dtype == MYNAH_I32;
  if (is_class != (h->kind == MYNAH__HEAD_CATEGORICAL))
    return mynah_fail(MYNAH_MISMATCH, "head=%s: the dataset's actions are %s", is_class ? "mse …" : "categorical",
                      is_class ? "classes: use head=categorical" : "real numbers: use another head");
  if (h->kind == MYNAH__HEAD_CATEGORICAL &&
      (action_size(p) != 1 || p->action_norm.min[0] < 0 || p->action_norm.max[0] > 4095))
    return mynah_fail(MYNAH_UNSUPPORTED, "head=categorical: takes one class in 0 … 4095");
  if (h->kind == MYNAH__HEAD_TANH_GAUSSIAN && p->common.normalize_action != MYNAH_NORMALIZE_MINMAX)
    return mynah_fail(MYNAH_INVALID, "head=tanh_gaussian: actions lie in [-1,1]: use normalize.action=minmax");
  if (h->log_std_min >= h->log_std_max)
    return mynah_fail(MYNAH_INVALID, "log_std.min=%g must be below log_std.max=%g", h->log_std_min, h->log_std_max);
  return MYNAH_OK;
}

int64_t mynah__head_size(const mynah_policy *p, const mynah__head *h) {
  if (is_mixture(h)) return n_modes(h) * (1 + 2 * chunk_size(p));
  return h->kind == MYNAH__HEAD_CATEGORICAL ? p->common.chunk * n_classes(p) : chunk_size(p);
}

/* ---- judging --------------------------------------------------------------------------------------------------------- */

/* out (N,K + 2KD) -> logits (N,K), mean (N,K,D), log_std (N,K,D) with D = chunk * action size */
static void split_mixture(const mynah_policy *p, const mynah__head *h, mynah_graph *g, mynah_node out,
                          mynah_node parts[3]) {
  int64_t k = n_modes(h), d = chunk_size(p), n = mynah_node_shape(g, out).dims[0];
  parts[0] = mynah_slice(g, out, -1, 0, k);
  parts[1] = mynah_reshape(g, mynah_slice(g, out, -1, k, k * d), MYNAH_SHAPE(n, k, d));
  mynah_node log_std = mynah_reshape(g, mynah_slice(g, out, -1, k + k * d, k * d), MYNAH_SHAPE(n, k, d));
  parts[2] = mynah_clamp(g, log_std, (float)h->log_std_min, (float)h->log_std_max);
}

mynah_node mynah__tanh_gaussian_nll(mynah_graph *g, const mynah_node parts[3], mynah_node target, mynah_node mask) {
  mynah_node a = mynah_clamp(g, target, -TANH_EDGE, TANH_EDGE);
  mynah_node above = mynah_unary(g, "log", mynah_affine(g, a, 1, 1)), below = mynah_unary(g, "log", mynah_affine(g, a, -1, 1));
  mynah_node u = mynah_affine(g, mynah_sub(g, above, below), 0.5f, 0); /* atanh a */
  mynah_node nll = mynah_gmm_nll(g, parts[0], parts[1], parts[2], u, mask);
  mynah_node slope = mynah_add(g, above, below); /* log (1 - a^2) */
  if (!mynah_node_is_null(mask)) slope = mynah_mul(g, slope, mask);
  float share = 1 / (float)mynah_node_shape(g, target).dims[0];
  return mynah_add(g, nll, mynah_affine(g, mynah_sum(g, slope, NULL, 0, false), share, 0));
}

mynah_node mynah__head_loss(const mynah_policy *p, const mynah__head *h, mynah_graph *g, mynah_node out,
                            const mynah__head_target *t) {
  int64_t n = mynah_node_shape(g, out).dims[0];
  if (mynah_node_is_null(out)) return out;
  if (h->kind == MYNAH__HEAD_CATEGORICAL)
    return mynah_cross_entropy(g, mynah_reshape(g, out, MYNAH_SHAPE(n, p->common.chunk, n_classes(p))), t->action, 0);
  if (h->kind == MYNAH__HEAD_MSE) return mynah_mse(g, out, t->action, t->mask);
  if (h->kind == MYNAH__HEAD_L1) return mynah_l1(g, out, t->action, t->mask);
  if (h->kind == MYNAH__HEAD_HUBER) return mynah_huber(g, out, t->action, t->mask, (float)h->huber_delta);
  mynah_node m[3];
  split_mixture(p, h, g, out, m);
  mynah_node nll = h->kind == MYNAH__HEAD_TANH_GAUSSIAN ? mynah__tanh_gaussian_nll(g, m, t->action, t->mask)
                                                        : mynah_gmm_nll(g, m[0], m[1], m[2], t->action, t->mask);
  return mynah_affine(g, nll, 1 / (float)chunk_size(p), 0);
}

/* ---- acting ---------------------------------------------------------------------------------------------------------- */

/* Normalised actions (…,chunk,A) -> their own units; min-max actions stay inside the demonstrated range. */
static mynah_node finish_action(const mynah_policy *p, mynah_graph *g, mynah_node x) {
  if (p->common.normalize_action == MYNAH_NORMALIZE_MINMAX) x = mynah_clamp(g, x, -1, 1);
  return mynah__policy_restore_action(p, g, x);
}

void mynah__head_outputs(const mynah_policy *p, const mynah__head *h, mynah_graph *g, const mynah_node *outs, int n) {
  int64_t chunk = p->common.chunk, size = action_size(p), k = n_modes(h);
  mynah_node logits[MYNAH__HEAD_MEMBERS_MAX], means[MYNAH__HEAD_MEMBERS_MAX], total = MYNAH_NO_NODE;
  for (int m = 0; m < n; m++) {
    if (is_mixture(h)) {
      logits[m] = mynah_slice(g, outs[m], -1, 0, k);
      if (n > 1) logits[m] = mynah_log_softmax(g, logits[m]); /* each member has the same say */
      means[m] = mynah_reshape(g, mynah_slice(g, outs[m], -1, k, k * chunk * size), MYNAH_SHAPE(k, chunk, size));
      if (h->kind == MYNAH__HEAD_TANH_GAUSSIAN) means[m] = mynah_tanh(g, means[m]);
    } else {
      total = m == 0 ? outs[m] : mynah_add(g, total, outs[m]);
    }
  }
  if (is_mixture(h)) {
    mynah_output(g, "logits", mynah_concat(g, logits, n, -1));
    mynah_output(g, "mean", finish_action(p, g, mynah_concat(g, means, n, 0)));
    return;
  }
  if (n > 1) total = mynah_affine(g, total, 1 / (float)n, 0);
  if (h->kind == MYNAH__HEAD_CATEGORICAL) mynah_output(g, "logits", total);
  else mynah_output(g, "action", finish_action(p, g, mynah_reshape(g, total, MYNAH_SHAPE(chunk, size))));
}

/* An index drawn from softmax(logits), or the largest. Shape: logits (n) */
static int64_t choose(const float *logits, int64_t n, bool is_drawn, mynah_rng *rng) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (logits[i] > logits[best]) best = i;
  if (!is_drawn || n == 1) return best;
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += exp((double)logits[i] - logits[best]);
  double rest = mynah_rng_uniform(rng) * total;
  for (int64_t i = 0; i < n; i++) {
    rest -= exp((double)logits[i] - logits[best]);
    if (rest < 0) return i;
  }
  return best;
}

void mynah__head_choose(const mynah_policy *p, const mynah__head *h, int n_members, const mynah_prediction *prediction) {
  const mynah_state *s = prediction->states[0];
  float *chunk = prediction->chunk;
  bool is_drawn = h->act == MYNAH__HEAD_SAMPLE;
  int64_t d = chunk_size(p);
  if (h->kind == MYNAH__HEAD_CATEGORICAL) {
    const float *logits = mynah_state_output(s, "logits");
    int64_t n = n_classes(p);
    for (int64_t t = 0; t < p->common.chunk; t++) chunk[t] = (float)choose(logits + t * n, n, is_drawn, prediction->rng);
  } else if (is_mixture(h)) {
    const float *mean = mynah_state_output(s, "mean");
    int64_t k = choose(mynah_state_output(s, "logits"), n_modes(h) * n_members, is_drawn, prediction->rng);
    memcpy(chunk, mean + k * d, (size_t)d * sizeof(float));
  } else {
    memcpy(chunk, mynah_state_output(s, "action"), (size_t)d * sizeof(float));
  }
}
