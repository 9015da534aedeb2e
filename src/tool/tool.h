/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The program: a table of commands, each in its own cmd_NAME.c, and what they share. */
#ifndef MYNAH_TOOL_H
#define MYNAH_TOOL_H

#include <mynah/mynah.h>

#define TOOL_MAX_ARGS 256
#define TOOL_MAX_BINDS 12

/* Exit statuses. */
enum { TOOL_DONE = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_INTERRUPTED = 130 };

/* What was typed after the command's name. */
typedef struct tool_args {
  const char *command;
  const char *positional[TOOL_MAX_ARGS];
  int n_positional;
  const char *settings[TOOL_MAX_ARGS]; /* "key=value" */
  int n_settings;
  bool is_json, is_help, is_quiet;
} tool_args;

typedef struct tool_command {
  const char *name;
  const char *usage;   /* "train POLICY data=X.demos out=DIR [key=value…]" */
  const char *summary; /* one line */
  /* Fills result (an object, printed on stdout under --json). */
  mynah_status (*run)(const tool_args *args, mynah_json *result);
  /* The tables of its keys, for --help; returns how many. NULL: no keys. */
  int (*tables)(const tool_args *args, const mynah_config_table **out);
} tool_command;

extern const tool_command tool_demo, tool_record, tool_import, tool_export, tool_data, tool_train, tool_eval,
    tool_bench;
extern const tool_command tool_run, tool_serve, tool_dagger, tool_drift, tool_detect, tool_selfcheck, tool_doctor;
extern const tool_command tool_import_model, tool_import_policy, tool_export_policy;
extern const tool_command *const tool_commands[]; /* NULL-terminated */

/* A mistake in how a command was typed: exit status 2. */
mynah_status tool_usage_error(const char *format, ...) MYNAH_PRINTF(1, 2);
bool tool_is_usage_error(void);

/* The exit status of a command that did its work and has bad news: its result is printed all the same. */
void tool_exit_with(int code);
int tool_chosen_exit(void);

/* Applies all settings to the binds; a wrong one is a usage error. */
mynah_status tool_apply(const tool_args *args, const mynah_config_bind *binds, int n_binds);
/* The value of a setting typed, or NULL. */
const char *tool_setting(const tool_args *args, const char *key);
/* Applies the preset NAME: a path to a JSON file, or one of those compiled in. */
mynah_status tool_apply_preset(const char *name, const mynah_config_bind *binds, int n_binds);
/* Names of the presets compiled in, NULL-terminated, and the text of one (NULL: none). */
const char *const *tool_preset_names(void);
const char *tool_preset_text(const char *name);

/* People's text: to stderr, dropped under --quiet. */
void tool_say(const char *format, ...) MYNAH_PRINTF(1, 2);
/* Under --json: a line on stdout now, before the result. */
void tool_announce(const char *format, ...) MYNAH_PRINTF(1, 2);
/* The metrics of an evaluation, a line each; other entries are left out or told as numbers (cmd_eval.c). */
void tool_say_metrics(const mynah_json *j);
/* A progress line on a terminal, plain lines every few seconds elsewhere. */
const mynah_progress *tool_progress(void);
void tool_progress_end(void);
void tool_be_silent(void); /* as under --quiet */
/* Sets how tool_say and progress behave. */
void tool_output_begin(const tool_args *args);

/* ---- acting (acting.c) ---- */

#define TOOL_ACTING_KEYS(K)                                                                        \
  K(CHOICE, precision, "precision", "policy", 0, 0, "policy|f32|bf16", "of the operands of matrix products and convolutions: as the policy says, or another") \
  K(STRING, detector, "detector", "", 0, 0, "path", "of a policy that was trained on `data detect`: its detector, which then looks at the camera's pictures while it acts") \
  K(INT, detector_threads, "detector.threads", 1, 1, 256, "threads", "that share the work on a picture")
typedef struct tool_acting_config {
#define TOOL_ACTING_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  TOOL_ACTING_KEYS(TOOL_ACTING_FIELD)
#undef TOOL_ACTING_FIELD
} tool_acting_config;
extern const mynah_config_table tool_acting_table;
/* Loads a policy in the precision and with the detector that were typed. A command that does so has a bind of the table too. */
mynah_status tool_load_clone(const tool_args *args, const char *path, mynah_clone **out);

/* ---- parts of report pages, as mynah_report_write takes them (demo_report.c) ---- */

mynah_json *tool_text_row(const char *const *cells, int n);
/* {"heading", "text"} at the end of the list. */
void tool_add_text(mynah_json *list, const char *heading, const char *text);
/* A row of name, value and help for each key. */
mynah_json *tool_table_rows(const mynah_config_table *table, const void *config);
/* Median and 99th percentile in ms of n times, which are sorted (timing.c). */
typedef struct tool_percentiles {
  double p50, p99;
} tool_percentiles;
tool_percentiles tool_percentiles_of(int64_t *ns, int64_t n);

/* ---- training, shared by train and demo (train_job.c) ---- */

#define TRAIN_COMMAND_KEYS(K)                                                                            \
  K(STRING, data, "data", "", 0, 0, "", "the dataset, NAME.demos")                                       \
  K(STRING, out, "out", "", 0, 0, "", "the run folder, made if missing")                                 \
  K(STRING, preset, "preset", "", 0, 0, "", "settings to begin with: a name or a JSON file")             \
  K(STRING, resume, "resume", "", 0, 0, "", "continue the run in this folder")                           \
  K(STRING, eval_sim, "eval.sim", "", 0, 0, "", "closed-loop evaluation while training: the simulator")  \
  K(INT, eval_episodes, "eval.episodes", 50, 1, 1000000, "episodes", "episodes of each such evaluation") \
  K(INT, eval_seed, "eval.seed", 50000, 0, 9.0e15, "", "its first seed: never a test seed")

typedef struct train_command_config {
#define TRAIN_COMMAND_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  TRAIN_COMMAND_KEYS(TRAIN_COMMAND_FIELD)
#undef TRAIN_COMMAND_FIELD
} train_command_config;
extern const mynah_config_table train_command_table;

/* All settings of one training; init fills defaults. */
typedef struct train_job {
  const mynah_policy_type *type;
  train_command_config command;
  mynah_train_config train;
  mynah_feed_config feed;
  mynah_policy_config policy;
  void *policy_config; /* of type->config */
} train_job;
mynah_status train_job_init(train_job *job, const char *policy_name);
void train_job_deinit(train_job *job);
/* Binds for applying settings; returns how many. */
int train_job_binds(train_job *job, mynah_config_bind *binds);
/* Trains; fills the report and, when policy_path is not NULL, the path of the policy file. */
mynah_status train_job_run(train_job *job, mynah_train_report *report, char policy_path[MYNAH_PATH_MAX]);
/* The report as JSON under the names that the page and scripts rely on. */
mynah_status train_report_to_json(const mynah_train_report *report, const char *policy_path, mynah_json *object);

/* Settings of a run folder's config.json, "config". */
mynah_status tool_load_run(const char *folder, const mynah_config_bind *binds, int n_binds);
/* What a run folder trains: a policy's name, or "detector" (train_detector.c). */
mynah_status tool_run_kind(const char *folder, char kind[MYNAH_NAME_MAX]);
/* The first boxes.NAME of a dataset with the name of its pictures. */
mynah_status tool_find_boxes(const mynah_dataset *d, char picture[MYNAH_NAME_MAX], const mynah_feature **boxes);
/* Average precision of the detector args->positional[0] (eval_detector.c). */
mynah_status eval_detector_run(const tool_args *args, mynah_json *result);
extern const mynah_config_table eval_detector_table;
/* On ranges of a dataset whose classes are the detector's. */
mynah_status eval_detector_ranges(const mynah_detector *detector, mynah_dataset *d, const mynah_range *ranges, int64_t n,
                                  mynah_precision_result *out);
mynah_status train_detector_run(const tool_args *args, mynah_json *result);
int train_detector_tables(const mynah_config_table **out);

/* ---- a robot, simulator or person at a fixed rate, shared by run and record (cmd_run.c, view.c) ---- */

mynah_status tool_run_robot(const tool_args *args, mynah_json *result);
/* What a device sees, drawn in the terminal on stderr by a thread of its own, eight times a second. */
typedef struct view view;
mynah_status view_open(const mynah_device *device, view **out);
void view_close(view *v);
/* For mynah_loop_task: keeps a copy of the newest values; never waits. */
void view_watch(void *context, const mynah_value *values);

/* ---- simulators by settings, shared by eval, record, train (sims.c) ---- */

/* A simulator type and a config of it with the settings that are its own applied. */
typedef struct sim_choice {
  const mynah_device_type *type;
  void *config; /* NULL when the type has no keys */
} sim_choice;
mynah_status sim_choice_init(sim_choice *s, const char *name);
/* A simulator that shows pictures only when asked is asked when the policy sees pictures. */
mynah_status sim_choice_fit(sim_choice *s, const mynah_policy *p);
void sim_choice_deinit(sim_choice *s);

#endif
