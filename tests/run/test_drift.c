/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The drift meter: growth fits find the law that made the curve, thresholds keep their promise, and a clone whose error
 * is known is measured as such. */
#include "support/fake_device.h"
#include "support/policy_case.h"

#include <mynah/run.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static double number_at(const mynah_json *j, const char *a, const char *b, const char *c) {
  const char *const keys[] = {a, b, c};
  for (int i = 0; i < 3 && j && keys[i]; i++) j = mynah_json_get(j, keys[i]);
  return mynah_json_to_number(j, NAN);
}

/* ---- growth --------------------------------------------------------------------------------------------------------- */

#define STEPS 100
#define EPISODES 30
#define DT_S 0.05

/* Curves of one law, each scaled by a random factor around 1 and a little noisy. */
static mynah_json *fit(double (*law)(double t)) {
  static double curves[EPISODES * STEPS];
  mynah_rng rng = mynah_rng_make(1, 2);
  for (int e = 0; e < EPISODES; e++) {
    double scale = 1 + 0.2 * mynah_rng_normal(&rng);
    for (int t = 0; t < STEPS; t++) curves[e * STEPS + t] = scale * law((t + 1) * DT_S) + 0.005 * mynah_rng_normal(&rng);
  }
  mynah_json *j = mynah_json_object();
  assert_int_equal(mynah_growth_fit(curves, EPISODES, STEPS, DT_S, 3, j), MYNAH_OK);
  return j;
}

static double line(double t) { return 0.3 * t; }
static double square(double t) { return 0.1 * t + 0.2 * t * t; }
static double power(double t) { return 0.5 * exp(0.8 * t) - 0.5; }
static double root(double t) { return pow(t, 1.7); }

static void within(const mynah_json *j, const char *law, const char *key, double want) {
  const mynah_json *v = key ? mynah_json_get(mynah_json_get(j, law), key) : mynah_json_get(j, law);
  double low = mynah_json_to_number(mynah_json_at(mynah_json_get(v, "ci"), 0), NAN);
  double high = mynah_json_to_number(mynah_json_at(mynah_json_get(v, "ci"), 1), NAN);
  assert_true(low <= want && want <= high);
  assert_true(fabs(number_at(v, "value", NULL, NULL) - want) < 0.15 * want);
}

static void fits_find_the_law(void **state) {
  (void)state;
  mynah_json *j = fit(line);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "best"), ""), "linear");
  within(j, "linear", "a", 0.3);
  within(j, "order", NULL, 1);
  mynah_json_destroy(j);
  j = fit(square);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "best"), ""), "quadratic");
  within(j, "quadratic", "b", 0.2);
  assert_true(number_at(j, "chosen", "quadratic", NULL) > 0.9);
  assert_true(number_at(j, "linear", "r2", NULL) < number_at(j, "quadratic", "r2", NULL));
  mynah_json_destroy(j);
  j = fit(power);
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "best"), ""), "exponential");
  within(j, "exponential", "c", 0.8);
  within(j, "exponential", "a", 0.5);
  mynah_json_destroy(j);
  j = fit(root);
  within(j, "order", NULL, 1.7);
  mynah_json_destroy(j);
  double few[3] = {1, 2, 3};
  j = mynah_json_object();
  assert_int_equal(mynah_growth_fit(few, 1, 3, DT_S, 3, j), MYNAH_INVALID);
  mynah_json_destroy(j);
}

/* ---- the threshold -------------------------------------------------------------------------------------------------- */

static void thresholds_keep_their_promise(void **state) {
  (void)state;
  double scores[19], n_over = 0;
  for (int i = 0; i < 19; i++) scores[i] = (i * 7) % 19;
  assert_true(mynah_conformal_threshold(scores, 19, 0.05) == 18); /* the largest of 19 */
  assert_true(isinf(mynah_conformal_threshold(scores, 18, 0.05)));
  assert_true(mynah_conformal_threshold(scores, 19, 0.5) == 9);
  mynah_rng rng = mynah_rng_make(4, 5);
  for (int trial = 0; trial < 20000; trial++) { /* P(next > threshold) <= share, and here 1/20 exactly */
    for (int i = 0; i < 19; i++) scores[i] = mynah_rng_uniform(&rng);
    n_over += mynah_rng_uniform(&rng) > mynah_conformal_threshold(scores, 19, 0.05);
  }
  assert_true(fabs(n_over / 20000 - 0.05) < 0.006);
}

/* ---- a clone on the fake device ------------------------------------------------------------------------------------- */

typedef struct meter {
  mynah_policy *policy;
  mynah_weights *weights;
  mynah_clone *clone;
  mynah_dataset *data;
  mynah_drift_config config;
  mynah_json *result;
} meter;

static void meter_run(meter *m, const mynah_device_type *device) {
  mynah_drift_task task = {.device = device, .clone = m->clone, .data = m->data};
  mynah_json_destroy(m->result);
  m->result = mynah_json_object();
  assert_int_equal(mynah_drift(&m->config, &task, NULL, m->result), MYNAH_OK);
}

static void meter_open(meter *m) {
  static const char *const settings[] = {"inputs", "observation.state", "widths", "8"};
  *m = (meter){0};
  assert_int_equal(policy_case_make("mlp", settings, 4, &m->policy), MYNAH_OK);
  m->weights = policy_case_weights(m->policy);
  assert_int_equal(mynah_clone_create(m->policy, m->weights, &m->clone), MYNAH_OK);
  assert_int_equal(mynah_dataset_open(policy_case_data, MYNAH_OPEN_READ, &m->data), MYNAH_OK);
  mynah_config_default(&mynah_drift_table, &m->config);
  m->config.episodes = 12;
  m->config.stress_episodes = 4;
  m->config.recover_s = 1;
  m->config.horizon_s = 3;
}

static void meter_close(meter *m) {
  mynah_json_destroy(m->result);
  mynah_dataset_close(m->data);
  mynah_clone_destroy(m->clone);
  mynah_weights_destroy(m->weights);
  mynah_policy_destroy(m->policy);
}

/* The untrained clone's error at the expert's states, which are known: x(t) = x(0) 0.9^t. */
static double error_at_expert_states(const meter *m, int64_t n_episodes) {
  double sum = 0, range = (double)m->policy->action_norm.max[0] - (double)m->policy->action_norm.min[0];
  mynah_actor *a;
  mynah_device *d;
  mynah_value seen[3];
  float answer, label;
  assert_int_equal(mynah_actor_create(m->clone, &a), MYNAH_OK);
  assert_int_equal(fake_device.open(NULL, &d), MYNAH_OK);
  for (int64_t i = 0; i < n_episodes; i++) {
    assert_int_equal(fake_device.reset(d, 100000 + (uint64_t)i), MYNAH_OK);
    while (!d->is_done) {
      fake_device.observe(d, seen);
      fake_device.expert(d, &label);
      mynah_actor_act(a, &seen[0], &answer);
      sum += fabs((double)answer - (double)label) / range / 50;
      fake_device.act(d, &label);
    }
  }
  fake_device.close(d);
  mynah_actor_destroy(a);
  return sum / (double)n_episodes;
}

static void errors_are_the_known_ones(void **state) {
  (void)state;
  meter m;
  meter_open(&m);
  meter_run(&m, &fake_device);
  double want = error_at_expert_states(&m, 12), got = number_at(m.result, "expert_states", "error", NULL);
  assert_true(fabs(got - want) < 1e-5 * want);
  double own = number_at(m.result, "own_states", "error", NULL);
  assert_true(fabs(number_at(m.result, "ratio", "value", NULL) - own / got) < 1e-6);
  assert_true(own > got); /* it does not come home, where errors are small */
  assert_int_equal(mynah_json_size(mynah_json_get(mynah_json_get(m.result, "own_states"), "curve")), 50);
  assert_int_equal(mynah_json_size(mynah_json_get(m.result, "time_s")), 50);
  assert_non_null(mynah_json_get(mynah_json_get(m.result, "growth"), "best"));
  assert_int_equal(mynah_json_size(mynah_json_get(m.result, "stress")), 9);
  /* 50 steps of 0.1 s, a push each 2 s from 1 s on, 1 s to recover: at 1 and 3 s. The expert is the one that recovers;
   * each of its episodes ends at home. */
  assert_int_equal((int)number_at(m.result, "recovery", "expert", "n"), 24);
  assert_int_equal((int)number_at(m.result, "recovery", "expert", "k"), 24);
  meter_close(&m);
}

/* Where demonstrations were, the distance is 0; threads change nothing. */
static void distance_to_what_was_demonstrated(void **state) {
  (void)state;
  meter m;
  meter_open(&m);
  m.config.seed = 1; /* the recorded episodes themselves */
  m.config.episodes = 3;
  m.config.neighbours = 1;
  m.config.threads = 1;
  meter_run(&m, &fake_device);
  assert_true(number_at(m.result, "distance", "expert", "distance") < 1e-6);
  assert_true(number_at(m.result, "distance", "own", "distance") > 0.01);
  mynah_str one = {0}, three = {0};
  assert_int_equal(mynah_json_dump(m.result, 0, &one), MYNAH_OK);
  m.config.threads = 3;
  meter_run(&m, &fake_device);
  assert_int_equal(mynah_json_dump(m.result, 0, &three), MYNAH_OK);
  assert_string_equal(mynah_str_text(&one), mynah_str_text(&three));
  mynah_str_deinit(&one);
  mynah_str_deinit(&three);
  meter_close(&m);
}

static void works_without_an_expert(void **state) {
  (void)state;
  meter m;
  mynah_device_type alone = fake_device;
  alone.expert = NULL;
  meter_open(&m);
  mynah_dataset_close(m.data);
  m.data = NULL;
  meter_run(&m, &alone);
  assert_null(mynah_json_get(m.result, "own_states"));
  assert_null(mynah_json_get(m.result, "alarm"));
  assert_non_null(mynah_json_get(mynah_json_get(m.result, "recovery"), "clone"));
  meter_close(&m);
}

/* ---- failures and the alarm ----------------------------------------------------------------------------------------- */

static const char *const edge_names[] = {"x", "intervention", NULL};
static double edge_x;
static mynah_device_type edge;

static mynah_status edge_open(const void *config, mynah_device **out) {
  MYNAH_TRY(fake_device.open(config, out));
  (*out)->type = &edge;
  return MYNAH_OK;
}

/* Fails where the tenth step has led beyond the edge. */
static void edge_trace(const mynah_device *d, double *row) {
  fake_device.trace(d, row);
  row[1] = d->step == 10 && row[0] > edge_x;
}

static int edge_metrics(const mynah_device *d, mynah_metric *out) {
  (void)d;
  out[0] = (mynah_metric){"kept", MYNAH_METRIC_RATE, 1, 1};
  return 1;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Where the clone is after ten steps, in the middle of 200 episodes. */
static double middle_x(const meter *m) {
  double x[200];
  mynah_eval_config c = {.device = &fake_device, .clone = m->clone, .n_episodes = 200, .seed = 100000, .n_traces = 200};
  mynah_eval_result r;
  assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_OK);
  for (int i = 0; i < 200; i++) x[i] = r.traces[i].rows[2 * 10];
  mynah_eval_result_deinit(&r);
  qsort(x, 200, sizeof *x, by_value);
  assert_true(x[199] > x[0]);
  return x[99];
}

static void failures_are_told_from_successes(void **state) {
  (void)state;
  meter m;
  edge = fake_device;
  edge.open = edge_open;
  edge.trace_names = edge_names;
  edge.trace = edge_trace;
  edge.metrics = edge_metrics;
  meter_open(&m);
  m.config.episodes = 200;
  m.config.stress_episodes = 0;
  m.config.neighbours = 1;
  edge_x = middle_x(&m);
  meter_run(&m, &edge);
  const mynah_json *alarm = mynah_json_get(m.result, "alarm");
  assert_int_equal((int)number_at(alarm, "detected", "n", NULL), 100);
  assert_int_equal((int)number_at(alarm, "calibrated_on", NULL, NULL), 50);
  assert_int_equal((int)number_at(alarm, "false_alarms", "n", NULL), 50);
  double wrong = number_at(alarm, "false_alarms", "rate", NULL), right = number_at(alarm, "detected", "rate", NULL);
  assert_true(wrong < 0.2); /* 0.05 is promised on average */
  assert_true(fabs(number_at(alarm, "balanced_accuracy", NULL, NULL) - (right + 1 - wrong) / 2) < 1e-9);
  assert_int_equal(mynah_json_size(mynah_json_get(mynah_json_get(alarm, "scores"), "failure")), 100);
  meter_close(&m);
}

/* ---- what the alarm of a policy with pictures goes by --------------------------------------------------------------- */

#define WIDTH 8
typedef struct layers {
  float rows[200][WIDTH]; /* of length 1 */
  int n;
} layers;

static void keep_layer(layers *l, const mynah_actor *a) {
  int64_t n;
  double square = 0;
  const float *x = mynah_actor_hidden(a, &n);
  assert_int_equal(n, WIDTH);
  for (int i = 0; i < WIDTH; i++) square += (double)x[i] * (double)x[i];
  assert_true(square > 0);
  for (int i = 0; i < WIDTH; i++) l->rows[l->n][i] = (float)((double)x[i] / sqrt(square));
  l->n++;
}

static void keep_recorded(void *context, const mynah_compared_frame *frame) { keep_layer(context, frame->actor); }
static void keep_own(void *context, const mynah_eval_step *s) {
  if (s->episode == 0) keep_layer(context, s->actor);
}

static double distance_to_nearest(const layers *all, const float *row) {
  double best = INFINITY;
  for (int i = 0; i < all->n; i++) {
    double sum = 0;
    for (int k = 0; k < WIDTH; k++) sum += pow((double)all->rows[i][k] - (double)row[k], 2);
    best = fmin(best, sqrt(sum));
  }
  return best;
}

/* The first episode's highest score is the largest distance of its hidden layers to the demonstrations'. */
static void pictures_are_compared_by_the_hidden_layer(void **state) {
  (void)state;
  static const char *const settings[] = {"image.width", "12", "image.height", "12", "cnn.filters", "4", "cnn.kernels", "3",
                                         "cnn.strides", "2", "widths", "16,8", "activation", "tanh"};
  static layers demonstrated, own;
  demonstrated.n = own.n = 0;
  meter m;
  meter_open(&m);
  mynah_clone_destroy(m.clone);
  mynah_weights_destroy(m.weights);
  mynah_policy_destroy(m.policy);
  assert_int_equal(policy_case_make("mlp", settings, sizeof settings / sizeof *settings, &m.policy), MYNAH_OK);
  m.weights = policy_case_weights(m.policy);
  assert_int_equal(mynah_clone_create(m.policy, m.weights, &m.clone), MYNAH_OK);
  m.config.neighbours = 1;
  m.config.push = m.config.smooth_s = m.config.stress_episodes = 0;
  m.config.episodes = 2;
  edge = fake_device;
  edge.open = edge_open;
  edge.metrics = edge_metrics;
  meter_run(&m, &edge);
  for (int64_t i = 0; i < mynah_dataset_n_episodes(m.data); i++)
    assert_int_equal(mynah_compare_recorded(m.clone, m.data, &(mynah_frame_range){i, 0, mynah_dataset_episode(m.data, i)->n_frames}, 1,
                                            NULL, keep_recorded, &demonstrated), MYNAH_OK);
  mynah_eval_config c = {.device = &edge, .clone = m.clone, .n_episodes = 1, .seed = 100000, .hook = keep_own, .hook_context = &own};
  mynah_eval_result r;
  assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_OK);
  mynah_eval_result_deinit(&r);
  double want = 0;
  for (int t = 0; t < own.n; t++) want = fmax(want, distance_to_nearest(&demonstrated, own.rows[t]));
  const mynah_json *scores = mynah_json_get(mynah_json_get(mynah_json_get(m.result, "alarm"), "scores"), "success");
  assert_true(want > 1e-3);
  assert_true(fabs(mynah_json_to_number(mynah_json_at(scores, 0), NAN) - want) < 1e-5);
  meter_close(&m);
}

/* ---- the hook of evaluations ---------------------------------------------------------------------------------------- */

static void brake(void *context, const mynah_eval_step *s) {
  int *n = context;
  assert_null(s->observed);
  n[s->episode]++;
  s->action[0] = 0;
}

/* Chunks of four of which two are executed: each is compared with the two actions that the one before it planned for the same steps.
 * What the fake device shows shrinks, so the answers of a network do change. */
static void chunks_that_disagree_are_measured(void **state) {
  (void)state;
  static const char *const settings[] = {"inputs", "observation.state", "widths", "8", "chunk", "4", "execute.steps", "2"};
  meter m = {0};
  mynah_actor *a, *b;
  float action[1], first[4], second[4], x[2] = {1, 0.5f}, y[2] = {-1, 0.5f};
  assert_int_equal(policy_case_make("mlp", settings, 8, &m.policy), MYNAH_OK);
  m.weights = policy_case_weights(m.policy);
  assert_int_equal(mynah_clone_create(m.policy, m.weights, &m.clone), MYNAH_OK);
  assert_int_equal(mynah_actor_create(m.clone, &a), MYNAH_OK);
  assert_int_equal(mynah_actor_create(m.clone, &b), MYNAH_OK);
  mynah_value v = {x, sizeof x, 0}, w = {y, sizeof y, 0};
  for (int t = 0; t < 2; t++) {
    mynah_actor_act(a, &v, action);
    assert_true(isnan(mynah_actor_disagreement(a)));
  }
  mynah_actor_act(a, &w, action);
  mynah_actor_observe(b, &v);
  mynah_actor_predict(b, NULL, 0, first);
  mynah_actor_observe(b, &w);
  mynah_actor_predict(b, NULL, 0, second);
  double range = (double)m.policy->action_norm.max[0] - (double)m.policy->action_norm.min[0];
  double want = hypot((double)(second[0] - first[2]), (double)(second[1] - first[3])) / sqrt(2) / range;
  assert_true(want > 0);
  assert_float_equal(mynah_actor_disagreement(a), want, 1e-6 * want);
  mynah_actor_destroy(a);
  mynah_actor_destroy(b);
  mynah_config_default(&mynah_drift_table, &m.config);
  m.config.episodes = 8;
  m.config.push = m.config.stress_episodes = 0;
  meter_run(&m, &fake_device);
  const mynah_json *alarm = mynah_json_get(m.result, "chunk_alarm");
  assert_non_null(alarm);
  assert_null(mynah_json_get(m.result, "alarm")); /* no demonstrations were given */
  assert_null(mynah_json_get(mynah_json_get(m.result, "recovery"), "clone"));
  assert_true(mynah_json_size(mynah_json_get(mynah_json_get(alarm, "scores"), "success")) +
                  mynah_json_size(mynah_json_get(mynah_json_get(alarm, "scores"), "failure")) > 0);
  meter_close(&m);
}

static void hooks_see_and_change_each_step(void **state) {
  (void)state;
  int n[3] = {0};
  mynah_eval_config c = {.device = &fake_device, .n_episodes = 3, .seed = 4, .n_threads = 2, .n_traces = 3,
                         .hook = brake, .hook_context = n};
  mynah_eval_result r;
  assert_int_equal(mynah_evaluate(&c, NULL, &r), MYNAH_OK);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(n[i], 50);
    assert_true(r.traces[i].rows[0] == r.traces[i].rows[50 * 2]); /* it stood still */
  }
  mynah_eval_result_deinit(&r);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, policy_case_set_up, policy_case_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(fits_find_the_law),
                                     cmocka_unit_test(thresholds_keep_their_promise),
                                     CASE(chunks_that_disagree_are_measured),
                                     CASE(errors_are_the_known_ones),
                                     CASE(distance_to_what_was_demonstrated),
                                     CASE(works_without_an_expert),
                                     CASE(failures_are_told_from_successes),
                                     CASE(pictures_are_compared_by_the_hidden_layer),
                                     cmocka_unit_test(hooks_see_and_change_each_step)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
