/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From a policy file to its first action, once, as a robot's program starts. Usage: bench_cold POLICY.safetensors */
#include <mynah/policy.h>

#include <stdio.h>

static double ms_since(int64_t start) { return (double)(mynah_now_ns() - start) * 1e-6; }

static mynah_status act_once(const char *path) {
  mynah_clone *clone = NULL;
  mynah_actor *actor = NULL;
  mynah_value input[MYNAH_POLICY_INPUTS_MAX];
  int64_t start = mynah_now_ns();
  MYNAH_TRY(mynah_clone_load(path, &clone));
  mynah_status status = mynah_actor_create(clone, &actor);
  double loaded = ms_since(start);
  const mynah_policy *p = mynah_clone_policy(clone);
  float *action = mynah_calloc((size_t)mynah_feature_size(&p->action), sizeof *action);
  for (int i = 0; i < p->n_inputs && status == MYNAH_OK; i++) {
    input[i] = (mynah_value){.bytes = mynah_feature_bytes(&p->inputs[i])};
    input[i].data = mynah_calloc(1, input[i].bytes);
    if (!input[i].data) status = MYNAH_NO_MEMORY;
  }
  if (status == MYNAH_OK && action) {
    mynah_actor_reset(actor, 1);
    int64_t begin = mynah_now_ns();
    mynah_actor_act(actor, input, action);
    printf("load %.1f ms, first action %.1f ms, together %.1f ms\n", loaded, ms_since(begin), ms_since(start));
  }
  mynah_actor_destroy(actor);
  mynah_clone_destroy(clone);
  return status;
}

int main(int argc, char **argv) {
  if (argc == 2 && act_once(argv[1]) == MYNAH_OK) return 0;
  fprintf(stderr, "usage: bench_cold POLICY.safetensors: %s\n", mynah_error());
  return 1;
}
