/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The program's entry: finds the command, reads its arguments, runs it, turns its status into an exit status. */
#include "tool.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const tool_command *const tool_commands[] = {
    &tool_demo,
    &tool_record,
    &tool_import,
    &tool_export,
    &tool_data,
    &tool_train,
    &tool_eval,
    &tool_run,
    &tool_serve,
    &tool_bench,
    &tool_dagger,
    &tool_drift,
    &tool_detect,
    &tool_import_model,
    &tool_import_policy,
    &tool_export_policy,
    &tool_selfcheck,
    &tool_doctor,
    NULL,
};

static void on_signal(int number) {
  (void)number;
  mynah_interrupt();
}

static void on_log(void *context, mynah_log_level level, const char *text) {
  (void)context;
  if (level >= MYNAH_LOG_WARNING) fprintf(stderr, "mynah: %s\n", text);
  else if (level == MYNAH_LOG_INFO) tool_say("%s", text);
}

/* "key=value" with a key of letters, digits, '.', '_' and '-'. */
static bool is_setting(const char *text) {
  size_t n = 0;
  while (isalnum((unsigned char)text[n]) || text[n] == '.' || text[n] == '_' || text[n] == '-') n++;
  return n > 0 && isalpha((unsigned char)text[0]) && text[n] == '=';
}

static mynah_status read_args(int argc, char **argv, tool_args *args) {
  for (int i = 0; i < argc; i++) {
    const char *text = argv[i];
    if (strcmp(text, "--json") == 0) args->is_json = true;
    else if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) args->is_help = true;
    else if (strcmp(text, "--quiet") == 0) args->is_quiet = true;
    else if (text[0] == '-' && text[1] == '-') return tool_usage_error("unknown option '%s': settings are typed key=value", text);
    else if (args->n_positional + args->n_settings >= TOOL_MAX_ARGS) return tool_usage_error("too many arguments");
    else if (is_setting(text)) args->settings[args->n_settings++] = text;
    else args->positional[args->n_positional++] = text;
  }
  return MYNAH_OK;
}

static void print_overview(FILE *to) {
  fprintf(to, "mynah %s: show it a task, it learns the task\n\nusage: mynah COMMAND [...] [key=value ...] [--json] [--quiet]\n\n",
          MYNAH_VERSION);
  for (int i = 0; tool_commands[i]; i++) fprintf(to, "  %-9s %s\n", tool_commands[i]->name, tool_commands[i]->summary);
  fprintf(to, "\nmynah COMMAND --help lists a command's keys with their defaults.\n");
}

static int print_help(const tool_command *command, const tool_args *args) {
  printf("usage: mynah %s\n\n%s\n", command->usage, command->summary);
  const mynah_config_table *tables[TOOL_MAX_BINDS];
  int n = command->tables ? command->tables(args, tables) : 0;
  for (int i = 0; i < n; i++) {
    mynah_str text = {0};
    mynah_config_help(tables[i], &text);
    printf("\n%s\n%s", tables[i]->name, mynah_str_text(&text));
    mynah_str_deinit(&text);
  }
  return TOOL_DONE;
}

static const tool_command *find_command(const char *name) {
  const char *names[64];
  size_t n = 0;
  for (; tool_commands[n]; n++) {
    if (strcmp(tool_commands[n]->name, name) == 0) return tool_commands[n];
    names[n] = tool_commands[n]->name;
  }
  const char *near = mynah_nearest(name, names, n);
  fprintf(stderr, "mynah: there is no command '%s'%s%s%s\n", name, near ? "; did you mean '" : "", near ? near : "",
          near ? "'?" : ": see mynah --help");
  return NULL;
}

static int exit_status(mynah_status status) {
  if (status == MYNAH_OK) return TOOL_DONE;
  if (status == MYNAH_INTERRUPTED) return TOOL_INTERRUPTED;
  return tool_is_usage_error() ? TOOL_USAGE : TOOL_FAILED;
}

static int print_result(const mynah_json *result) {
  mynah_str text = {0};
  int status = TOOL_DONE;
  if (mynah_json_dump(result, 0, &text) != MYNAH_OK || printf("%s\n", mynah_str_text(&text)) < 0 || fflush(stdout) != 0) {
    fprintf(stderr, "mynah: the result could not be written\n");
    status = TOOL_FAILED;
  }
  mynah_str_deinit(&text);
  return status;
}

int main(int argc, char **argv) {
  if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
    print_overview(argc < 2 ? stderr : stdout);
    return argc < 2 ? TOOL_USAGE : TOOL_DONE;
  }
  if (strcmp(argv[1], "--version") == 0) {
    printf("mynah %s\n", MYNAH_VERSION);
    return TOOL_DONE;
  }
  const tool_command *command = find_command(argv[1]);
  if (!command) return TOOL_USAGE;
  tool_args args = {.command = command->name};
  mynah_status status = read_args(argc - 2, argv + 2, &args);
  if (status == MYNAH_OK && args.is_help) return print_help(command, &args);
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  tool_output_begin(&args);
  mynah_log_set(on_log, NULL);
  mynah_json *result = mynah_json_object();
  if (status == MYNAH_OK) status = command->run(&args, result);
  tool_progress_end();
  int code = exit_status(status);
  mynah_ranks ranks = mynah_ranks_now();
  if (status != MYNAH_OK && ranks.count > 1) fprintf(stderr, "mynah %s: rank %d of %d: %s\n", command->name, ranks.index, ranks.count, mynah_error());
  else if (status != MYNAH_OK) fprintf(stderr, "mynah %s: %s\n", command->name, mynah_error());
  if (code == TOOL_USAGE) fprintf(stderr, "usage: mynah %s\n", command->usage);
  if (status == MYNAH_OK && args.is_json && ranks.index == 0) code = print_result(result);
  if (code == TOOL_DONE) code = tool_chosen_exit();
  mynah_json_destroy(result);
  mynah_ranks_end(status == MYNAH_INTERRUPTED ? TOOL_DONE : code);
  return code;
}
