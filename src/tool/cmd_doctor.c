/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah doctor: what this program and this machine can do. */
#include "tool.h"

#include <glob.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* Ports, cameras and input devices: whether they can be used, and if not, why. */
static mynah_json *look_for(const char *pattern, const char *what, const char *group) {
  mynah_json *list = mynah_json_array();
  glob_t found = {0};
  if (glob(pattern, 0, NULL, &found) != 0) found.gl_pathc = 0;
  for (size_t i = 0; i < found.gl_pathc; i++) {
    mynah_json *j = mynah_json_object();
    bool is_usable = access(found.gl_pathv[i], R_OK | W_OK) == 0;
    mynah_json_set(j, "path", mynah_json_string(found.gl_pathv[i]));
    mynah_json_set(j, "usable", mynah_json_bool(is_usable));
    mynah_json_append(list, j);
    if (is_usable) tool_say("%-9s %s", what, found.gl_pathv[i]);
    else tool_say("%-9s %s: not allowed: add this user to the group %s", what, found.gl_pathv[i], group);
  }
  globfree(&found);
  return list;
}

static void look_at_robots(mynah_json *result) {
  struct rlimit priority = {0}, locked = {0};
  mynah_json_set(result, "serial", look_for("/dev/tty[UA][SC][BM]*", "serial", "dialout"));
  mynah_json_set(result, "cameras", look_for("/dev/video*", "camera", "video"));
  mynah_json_set(result, "inputs", look_for("/dev/input/event*", "input", "input"));
  getrlimit(RLIMIT_RTPRIO, &priority);
  getrlimit(RLIMIT_MEMLOCK, &locked);
  mynah_json_set(result, "realtime_priority", mynah_json_integer(geteuid() == 0 ? 99 : (int64_t)priority.rlim_cur));
  if (geteuid() != 0 && priority.rlim_cur == 0)
    tool_say("loop      no real-time priority: rtprio in /etc/security/limits.conf allows it");
  if (geteuid() != 0 && locked.rlim_cur < (rlim_t)256 << 20)
    tool_say("loop      little memory can be locked: memlock in /etc/security/limits.conf allows more");
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
  look_at_robots(result);
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
