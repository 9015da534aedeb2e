/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From a policy file to its first action, once, as a robot's program starts. Usage: bench_cold POLICY.safetensors [THREADS]; THREADS 0:
 * only reads the file, which is the least that loading can take. */
#include <mynah/policy.h>

#include <stdio.h>
#include <stdlib.h>

static double ms_since(int64_t start) { return (double)(mynah_now_ns() - start) * 1e-6; }

static mynah_status read_once(const char *path) {
  static char part[1 << 18];
  mynah_reader reader;
  int64_t start = mynah_now_ns();
  MYNAH_TRY(mynah_reader_open(path, &reader));
  mynah_status status = MYNAH_OK;
  for (size_t i = 0; i < reader.size && status == MYNAH_OK; i += sizeof part)
    status = mynah_reader_read(&reader, i, part, reader.size - i < sizeof part ? reader.size - i : sizeof part);
  mynah_reader_close(&reader);
  printf("read %.1f ms\n", ms_since(start));
  return status;
}

static mynah_status act_once(const char *path, int n_threads) {
  mynah_clone *clone = NULL;
  mynah_actor *actor = NULL;
  mynah_value input[MYNAH_POLICY_INPUTS_MAX];
  int64_t start = mynah_now_ns();
  MYNAH_TRY(mynah_clone_load_with(path, &(mynah_clone_config){.n_threads = n_threads}, &clone));
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
  int n_threads = argc == 3 ? atoi(argv[2]) : 1;
  bool has_arguments = argc == 2 || argc == 3;
  if (has_arguments && (n_threads > 0 ? act_once(argv[1], n_threads) : read_once(argv[1])) == MYNAH_OK) return 0;
  fprintf(stderr, "usage: bench_cold POLICY.safetensors [THREADS]: %s\n", mynah_error());
  return 1;
}
