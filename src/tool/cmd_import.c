/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah import: demonstrations from elsewhere into a dataset. */
#include "tool.h"

#include <string.h>

#define IMPORT_KEYS(K) K(STRING, out, "out", "", 0, 0, "", "the new dataset, NAME.demos")
typedef struct import_config {
#define IMPORT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  IMPORT_KEYS(IMPORT_FIELD)
} import_config;
#define IMPORT_ROW(type, field, name, value, low, high, unit, help)                                \
  MYNAH_KEY_OF(import_config, type, field, name, value, low, high, unit, help)
static const mynah_key import_keys[] = {IMPORT_KEYS(IMPORT_ROW)};
static const mynah_config_table import_table = {"import", import_keys, sizeof import_keys / sizeof *import_keys,
                                                sizeof(import_config)};

/* The features of the file just written. */
static mynah_status features_json(const char *path, mynah_json *out) {
  mynah_dataset *d;
  MYNAH_TRY(mynah_dataset_open(path, MYNAH_OPEN_READ, &d));
  for (int i = 0; i < mynah_dataset_n_features(d); i++) {
    const mynah_feature *f = mynah_dataset_feature(d, i);
    mynah_json_set(out, f->name, mynah_feature_to_json(f));
  }
  mynah_dataset_close(d);
  return MYNAH_OK;
}

static mynah_status import(const tool_args *args, const mynah_importer *importer, void *config, mynah_json *result) {
  import_config c;
  mynah_config_default(&import_table, &c);
  if (config) mynah_config_default(importer->config, config);
  mynah_config_bind binds[2] = {{&import_table, &c}, {importer->config, config}};
  MYNAH_TRY(tool_apply(args, binds, config ? 2 : 1));
  if (!c.out[0]) return tool_usage_error("out=NAME.demos is missing");
  if (mynah_file_exists(c.out)) return mynah_fail(MYNAH_BUSY, "%s: exists already: remove it or choose another name", c.out);
  mynah_import_report report = {0};
  int64_t start = mynah_now_ns();
  MYNAH_TRY(importer->run(args->positional[1], c.out, config, tool_progress(), &report));
  mynah_json *features = mynah_json_object();
  mynah_status status = features_json(c.out, features);
  mynah_json_set(result, "out", mynah_json_string(c.out));
  mynah_json_set(result, "episodes", mynah_json_integer(report.n_episodes));
  mynah_json_set(result, "frames", mynah_json_integer(report.n_frames));
  mynah_json_set(result, "features", features);
  mynah_json_set(result, "n_skipped", mynah_json_integer(report.n_skipped));
  if (report.n_skipped == 0) { /* 0, or what was left out and why */
    mynah_json_destroy(report.skipped);
    report.skipped = NULL;
  }
  mynah_json_set(result, "skipped", report.skipped ? report.skipped : mynah_json_integer(0));
  mynah_json_set(result, "seconds", mynah_json_number((double)(mynah_now_ns() - start) * 1e-9));
  tool_say("imported %lld episodes, %lld frames, %lld skipped: %s", (long long)report.n_episodes,
           (long long)report.n_frames, (long long)report.n_skipped, c.out);
  return status;
}

static mynah_status run(const tool_args *args, mynah_json *result) {
  if (args->n_positional != 2) return tool_usage_error("name a format and a path");
  const mynah_importer *importer;
  if (mynah_importer_find(args->positional[0], &importer) != MYNAH_OK) return tool_usage_error("%s", mynah_error());
  void *config = NULL;
  if (importer->config && !(config = mynah_calloc(1, importer->config->bytes))) return MYNAH_NO_MEMORY;
  mynah_status status = import(args, importer, config, result);
  mynah_free(config);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  const mynah_importer *importer;
  int n = 0;
  out[n++] = &import_table;
  if (args->n_positional > 0 && mynah_importer_find(args->positional[0], &importer) == MYNAH_OK && importer->config)
    out[n++] = importer->config;
  return n;
}

const tool_command tool_import = {
    "import",
    "import FORMAT PATH out=X.demos [key=value ...]   (formats: aloha, csv, lerobot, minari, npz, robomimic, rollouts, tub, udacity, zarr)",
    "bring demonstrations in from another format", run, tables};
