/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah export: a dataset in another format. */
#include "tool.h"

#include <string.h>

#define EXPORT_KEYS(K) K(STRING, out, "out", "", 0, 0, "", "the file or folder to make")
typedef struct export_config {
#define EXPORT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  EXPORT_KEYS(EXPORT_FIELD)
} export_config;
#define EXPORT_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(export_config, type, field, name, value, low, high, unit, help)
static const mynah_key export_keys[] = {EXPORT_KEYS(EXPORT_ROW)};
static const mynah_config_table export_table = {"export", export_keys, sizeof export_keys / sizeof *export_keys,
                                                sizeof(export_config)};

static mynah_status run(const tool_args *args, mynah_json *result) {
  const mynah_exporter *exporter;
  export_config c;
  mynah_dataset *d;
  if (args->n_positional != 2) return tool_usage_error("name a format and a dataset");
  if (mynah_exporter_find(args->positional[0], &exporter) != MYNAH_OK) return tool_usage_error("%s", mynah_error());
  mynah_config_default(&export_table, &c);
  MYNAH_TRY(tool_apply(args, &(mynah_config_bind){&export_table, &c}, 1));
  if (!c.out[0]) return tool_usage_error("out=PATH is missing");
  MYNAH_TRY(mynah_dataset_open(args->positional[1], MYNAH_OPEN_READ, &d));
  mynah_status status = exporter->run(d, c.out, tool_progress());
  mynah_json_set(result, "out", mynah_json_string(c.out));
  mynah_json_set(result, "episodes", mynah_json_integer(mynah_dataset_n_episodes(d)));
  mynah_json_set(result, "frames", mynah_json_integer(mynah_dataset_n_frames(d)));
  if (status == MYNAH_OK)
    tool_say("exported %lld episodes, %lld frames: %s", (long long)mynah_dataset_n_episodes(d),
             (long long)mynah_dataset_n_frames(d), c.out);
  mynah_dataset_close(d);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &export_table;
  return 1;
}

const tool_command tool_export = {"export", "export FORMAT X.demos out=PATH   (formats: csv, lerobot, npz, robomimic)",
                                  "write demonstrations in another format", run, tables};
