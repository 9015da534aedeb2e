/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Steps a second of the simulators, on one core: Push-T with coverage, its planner, the track with its camera.
 * usage: bench_sim [seconds] */
#include <mynah/mynah.h>

#include <stdio.h>
#include <stdlib.h>

/* Random targets, a new episode every 100 steps, as bench/peer_pusht.py does. Returns steps a second. */
static double run_pusht(double seconds) {
  mynah_device *d;
  const char *settings[] = {"ends_at_success=false", "max_steps=1000000"};
  if (mynah_sim_open("pusht", settings, 2, &d) != MYNAH_OK) return 0;
  mynah_rng rng = mynah_rng_make(1, 0);
  mynah_value values[4];
  int64_t start = mynah_now_ns(), n = 0;
  while ((double)(mynah_now_ns() - start) * 1e-9 < seconds) {
    if (d->type->reset(d, (uint64_t)n) != MYNAH_OK) break;
    for (int i = 0; i < 100; i++, n++) {
      float action[2] = {(float)mynah_rng_range(&rng, 0, 512), (float)mynah_rng_range(&rng, 0, 512)};
      d->type->act(d, action);
      d->type->observe(d, values);
    }
  }
  double rate = (double)n / ((double)(mynah_now_ns() - start) * 1e-9);
  d->type->close(d);
  return rate;
}

/* Push-T's planner: its decisions a second, and what it reaches. */
static double run_planner(double seconds, double *reached) {
  mynah_device *d;
  mynah_metric m[MYNAH_METRICS_MAX];
  float action[2];
  if (mynah_sim_open("pusht", NULL, 0, &d) != MYNAH_OK) return 0;
  int64_t start = mynah_now_ns(), n = 0, episodes = 0;
  for (*reached = 0; (double)(mynah_now_ns() - start) * 1e-9 < seconds; episodes++) {
    if (d->type->reset(d, 100000 + (uint64_t)episodes) != MYNAH_OK) break;
    for (; !d->is_done; n++) {
      d->type->expert(d, action);
      d->type->act(d, action);
    }
    d->type->metrics(d, m);
    *reached += m[0].value;
  }
  double rate = (double)n / ((double)(mynah_now_ns() - start) * 1e-9);
  *reached /= (double)episodes;
  d->type->close(d);
  return rate;
}

/* The expert drives, the camera looks at every step. */
static double run_track(double seconds) {
  mynah_device *d;
  if (mynah_sim_open("track", NULL, 0, &d) != MYNAH_OK) return 0;
  mynah_value values[8];
  float action[2];
  int64_t start = mynah_now_ns(), n = 0;
  for (uint64_t seed = 1; (double)(mynah_now_ns() - start) * 1e-9 < seconds; seed++) {
    if (d->type->reset(d, seed) != MYNAH_OK) break;
    for (; !d->is_done; n++) {
      d->type->observe(d, values);
      d->type->expert(d, action);
      d->type->act(d, action);
    }
  }
  double rate = (double)n / ((double)(mynah_now_ns() - start) * 1e-9);
  d->type->close(d);
  return rate;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 3;
  printf("pusht %.0f steps/s (coverage included)\n", run_pusht(seconds));
  double reached, decisions = run_planner(seconds, &reached);
  printf("pusht's expert %.0f decisions/s, mean max reward %.3f\n", decisions, reached);
  printf("track %.0f frames/s (160 x 120, expert and physics included)\n", run_track(seconds));
  return 0;
}
