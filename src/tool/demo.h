/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the demo's run and its report share. */
#ifndef MYNAH_TOOL_DEMO_H
#define MYNAH_TOOL_DEMO_H

#include "tool.h"

#define DEMO_DRIVERS 3 /* expert, clone, plain */
#define DEMO_TRACES 4  /* roads drawn from above */

#define DEMO_KEYS(K)                                                                               \
  K(STRING, out, "out", "demo", 0, 0, "", "the folder, made if missing")                           \
  K(INT, seed, "seed", 1, 0, 1.0e9, "", "of the roads demonstrated on, and of the training")       \
  K(INT, roads, "roads", 40, 2, 10000, "roads", "demonstrated on, each drawn anew")                \
  K(FLOAT, road_s, "roads.seconds", 20, 5, 3600, "s", "how long the expert drives on each")        \
  K(FLOAT, noise, "noise", 0.3, 0, 2, "", "disturbs the executed steering while recording; labels stay clean") \
  K(INT, steps, "steps", 0, 0, 1.0e9, "steps", "training steps; 0: as the preset says")            \
  K(INT, episodes, "episodes", 40, 1, 100000, "laps", "driven in the evaluation")                  \
  K(INT, eval_seed, "eval.seed", 100000, 0, 9.0e15, "", "roads of the evaluation begin here")      \
  K(INT, threads, "threads", 0, 0, 256, "threads", "0: all processors")

typedef struct demo_config {
#define DEMO_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  DEMO_KEYS(DEMO_FIELD)
#undef DEMO_FIELD
} demo_config;
extern const mynah_config_table demo_table;

typedef struct demo_training {
  train_job job;
  mynah_train_report report;
  char folder[MYNAH_PATH_MAX], policy[MYNAH_PATH_MAX];
} demo_training;

typedef struct demo {
  demo_config config;
  mynah_record_report recorded[2]; /* with noise and side cameras; plain */
  demo_training trained[2];
  mynah_eval_result results[DEMO_DRIVERS];
  mynah_json *metrics[DEMO_DRIVERS];
  char data[MYNAH_PATH_MAX], report[MYNAH_PATH_MAX];
  int64_t start_ns;
  double seconds;
} demo;
extern const char *const demo_driver_names[DEMO_DRIVERS];

/* Writes d->report from all of the above (demo_report.c). */
mynah_status demo_report_write(demo *d);

#endif
