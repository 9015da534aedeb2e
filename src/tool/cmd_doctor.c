/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah doctor: what this program and this machine can do. */
#include "tool.h"

#include <stdio.h>

/* Compiles a small network of each kind of layer and says which kernels were chosen. */
static mynah_status probe(mynah_json *kernels) {
  mynah_graph *g;
  mynah_program *p = NULL;
  MYNAH_TRY(mynah_graph_create(&g));
  mynah_node x = mynah_input(g, "picture", MYNAH_F32, MYNAH_SHAPE(1, 32, 32, 3));
  mynah_model_conv_config conv = {16, 5, 2, false};
  x = mynah_relu(g, mynah_model_conv(g, "conv", x, &conv));
  x = mynah_model_linear(g, "linear", mynah_reshape(g, x, MYNAH_SHAPE(1, -1)), 64);
  mynah_output(g, "out", mynah_model_layer_norm(g, "norm", mynah_silu(g, x)));
  mynah_compile_config config = mynah_compile_default();
  mynah_status status = mynah_compile(g, &config, &p);
  mynah_graph_destroy(g);
  if (status != MYNAH_OK) return status;
  for (int i = 0; i < mynah_program_n_steps(p); i++) {
    const char *op, *kernel;
    mynah_program_step(p, i, &op, &kernel, NULL, NULL);
    mynah_json_append(kernels, mynah_json_string(kernel));
    tool_say("  %-16s %s", op, kernel);
  }
  mynah_program_destroy(p);
  return MYNAH_OK;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  if (args->n_positional + args->n_settings > 0) return tool_usage_error("doctor takes no arguments");
  mynah_json *sims = mynah_json_array(), *policies = mynah_json_array(), *importers = mynah_json_array();
  mynah_json *kernels = mynah_json_array();
  tool_say("mynah %s, %d processors", MYNAH_VERSION, mynah_cpu_count());
  for (int i = 0; mynah_sim_types()[i]; i++) {
    mynah_json_append(sims, mynah_json_string(mynah_sim_types()[i]->name));
    tool_say("simulator %-10s %s", mynah_sim_types()[i]->name, mynah_sim_types()[i]->summary);
  }
  for (int i = 0; mynah_policy_types()[i]; i++) {
    mynah_json_append(policies, mynah_json_string(mynah_policy_types()[i]->name));
    tool_say("policy    %-10s %s", mynah_policy_types()[i]->name, mynah_policy_types()[i]->summary);
  }
  for (int i = 0; mynah_importers()[i]; i++) {
    mynah_json_append(importers, mynah_json_string(mynah_importers()[i]->name));
    tool_say("import    %-10s %s", mynah_importers()[i]->name, mynah_importers()[i]->summary);
  }
  tool_say("kernels chosen here:");
  mynah_status status = probe(kernels);
  mynah_json_set(result, "version", mynah_json_string(MYNAH_VERSION));
  mynah_json_set(result, "processors", mynah_json_integer(mynah_cpu_count()));
  mynah_json_set(result, "simulators", sims);
  mynah_json_set(result, "policies", policies);
  mynah_json_set(result, "importers", importers);
  mynah_json_set(result, "kernels", kernels);
  return status;
}

const tool_command tool_doctor = {"doctor", "doctor", "what is there and what is wrong", run, NULL};
