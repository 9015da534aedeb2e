/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Loads a policy and lets it act in a simulator: what a robot's program does too.
 * usage: example_act POLICY.safetensors track|pusht [seed] */
#include <mynah/mynah.h>

#include <stdio.h>
#include <stdlib.h>

static mynah_status act(const char *path, const char *sim, uint64_t seed) {
  mynah_device *robot;
  mynah_clone *clone;
  mynah_actor *actor;
  mynah_value seen[16], input[MYNAH_POLICY_INPUTS_MAX];
  float action[64];
  int order[MYNAH_POLICY_INPUTS_MAX], n_steps = 0;
  MYNAH_TRY(mynah_sim_open(sim, NULL, 0, &robot));
  MYNAH_TRY(mynah_clone_load(path, &clone));
  MYNAH_TRY(mynah_actor_create(clone, &actor));
  MYNAH_TRY(mynah_policy_match(mynah_clone_policy(clone), robot->features, robot->n_features, order));
  MYNAH_TRY(robot->type->reset(robot, seed));
  mynah_actor_reset(actor, seed);
  for (; !robot->is_done && n_steps < robot->max_steps; n_steps++) {
    robot->type->observe(robot, seen);
    for (int i = 0; i < mynah_clone_policy(clone)->n_inputs; i++) input[i] = seen[order[i]];
    mynah_actor_act(actor, input, action);
    robot->type->act(robot, action);
  }
  mynah_metric metrics[MYNAH_METRICS_MAX];
  int n = robot->type->metrics(robot, metrics);
  printf("%d steps\n", n_steps);
  for (int i = 0; i < n; i++) printf("%s %g\n", metrics[i].name, metrics[i].value);
  mynah_actor_destroy(actor);
  mynah_clone_destroy(clone);
  robot->type->close(robot);
  return MYNAH_OK;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s POLICY.safetensors track|pusht [seed]\n", argv[0]);
    return 2;
  }
  if (act(argv[1], argv[2], argc > 3 ? strtoull(argv[3], NULL, 10) : 100000) == MYNAH_OK) return 0;
  fprintf(stderr, "%s\n", mynah_error());
  return 1;
}
