/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What `mynah data` can do: tables of actions, those that look and those that change. */
#ifndef MYNAH_TOOL_DATA_H
#define MYNAH_TOOL_DATA_H

#include "tool.h"

typedef struct data_action {
  const char *name;
  mynah_open_mode mode;
  mynah_status (*on_one)(const tool_args *args, mynah_dataset *d, mynah_json *result); /* the one dataset named, open */
  int (*tables)(const tool_args *args, const mynah_config_table **out);
  mynah_status (*run)(const tool_args *args, mynah_json *result); /* or: opens what it needs by itself */
} data_action;
extern const data_action data_edits[];
extern const int data_n_edits;

/* cmd_data_play.c */
mynah_status data_play(const tool_args *args, mynah_dataset *d, mynah_json *result);
int data_play_tables(const tool_args *args, const mynah_config_table **out);

/* cmd_data_detect.c */
mynah_status data_detect(const tool_args *args, mynah_dataset *d, mynah_json *result);
int data_detect_tables(const tool_args *args, const mynah_config_table **out);

#endif
